/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Sockets and packets. */
#ifndef TETRAGON_POLICY_NET_H
#define TETRAGON_POLICY_NET_H

#include <bpf/bpf_endian.h>

#include "scratch.h"

static __always_inline void read_sock(struct captured_sock *out, struct sock *sk)
{
	struct sock_common *common = &sk->__sk_common;

	__builtin_memset(out, 0, sizeof(*out));
	out->cookie = (__u64)sk;
	out->family = BPF_CORE_READ(common, skc_family);
	out->state = BPF_CORE_READ(common, skc_state);
	out->sock_type = BPF_CORE_READ(sk, sk_type);
	out->protocol = BPF_CORE_READ(sk, sk_protocol);
	out->mark = BPF_CORE_READ(sk, sk_mark);
	out->priority = BPF_CORE_READ(sk, sk_priority);
	if (out->family != AF_INET && out->family != AF_INET6)
		return;
	out->source_port = BPF_CORE_READ(common, skc_num);
	out->destination_port = bpf_ntohs(BPF_CORE_READ(common, skc_dport));
	if (out->family == AF_INET) {
		BPF_CORE_READ_INTO((__u32 *)out->source, common, skc_rcv_saddr);
		BPF_CORE_READ_INTO((__u32 *)out->destination, common, skc_daddr);
	} else if (bpf_core_field_exists(common->skc_v6_daddr)) {
		BPF_CORE_READ_INTO((struct in6_addr *)out->source, common, skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO((struct in6_addr *)out->destination, common, skc_v6_daddr);
	}
}

/* IPv6 headers between the fixed one and the payload (RFC 8200, RFC 4302). */
#define IP6_EXTENSIONS_MAX 7

static __always_inline bool is_ip6_extension(__u8 next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static __always_inline void read_skb(struct captured_skb *out, struct sk_buff *skb)
{
	unsigned char *ip = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	unsigned char *payload;
	__u8 version = 0, next = 0, pair[2] = {};
	__u16 ports[2] = {};

	__builtin_memset(out, 0, sizeof(*out));
	out->hash = BPF_CORE_READ(skb, hash);
	out->len = BPF_CORE_READ(skb, len);
	out->priority = BPF_CORE_READ(skb, priority);
	out->mark = BPF_CORE_READ(skb, mark);
	if (bpf_core_field_exists(skb->extensions) &&
	    bpf_core_enum_value_exists(enum skb_ext_id, SKB_EXT_SEC_PATH)) {
		__u32 id = bpf_core_enum_value(enum skb_ext_id, SKB_EXT_SEC_PATH);
		struct skb_ext *ext = BPF_CORE_READ(skb, extensions);
		struct sec_path *sp;
		__u8 at = 0;

		if (BPF_CORE_READ(skb, active_extensions) & (1 << id)) {
			bpf_probe_read_kernel(
				&at, 1, (void *)ext + bpf_core_field_offset(struct skb_ext, offset) + id);
			sp = (void *)ext + at * 8;
			out->secpath_len = BPF_CORE_READ(sp, len);
			out->secpath_olen = BPF_CORE_READ(sp, olen);
		}
	}
	if (bpf_probe_read_kernel(&version, 1, ip))
		return;
	if (version >> 4 == 4) {
		out->family = AF_INET;
		bpf_probe_read_kernel(&next, 1, ip + 9);
		bpf_probe_read_kernel(out->source, 4, ip + 12);
		bpf_probe_read_kernel(out->destination, 4, ip + 16);
		payload = ip + (version & 0xf) * 4;
	} else if (version >> 4 == 6) {
		out->family = AF_INET6;
		bpf_probe_read_kernel(&next, 1, ip + 6);
		bpf_probe_read_kernel(out->source, 16, ip + 8);
		bpf_probe_read_kernel(out->destination, 16, ip + 24);
		payload = ip + 40;
		for (int i = 0; i < IP6_EXTENSIONS_MAX && is_ip6_extension(next); i++) {
			__u8 kind = next;

			bpf_probe_read_kernel(pair, 2, payload);
			next = pair[0];
			/* Fragments have a fixed size; authentication counts words of 4 bytes. */
			if (kind == 44)
				payload += 8;
			else if (kind == 51)
				payload += (pair[1] + 2) * 4;
			else
				payload += (pair[1] + 1) * 8;
		}
	} else {
		return;
	}
	out->protocol = next;
	if (next == 6 || next == 17) {
		bpf_probe_read_kernel(ports, 4, payload);
		out->source_port = bpf_ntohs(ports[0]);
		out->destination_port = bpf_ntohs(ports[1]);
	}
}

#endif
