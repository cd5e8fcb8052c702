/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The kernel's types that only arguments of policies need; see ../kernel.h. */
#ifndef TETRAGON_POLICY_TYPES_H
#define TETRAGON_POLICY_TYPES_H

#include "../kernel.h"

#define AF_INET	 2
#define AF_INET6 10

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct filename {
	const char *name;
};

struct in6_addr {
	__u8 bytes[16];
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	__u32 sk_priority;
	__u32 sk_mark;
};

struct skb_ext {
	__u8 offset[1];
	__u8 chunks;
};

struct sk_buff {
	__u32 hash;
	unsigned int len;
	__u32 priority;
	__u32 mark;
	__u16 network_header;
	__u8 active_extensions;
	unsigned char *head;
	struct skb_ext *extensions;
};

enum skb_ext_id {
	SKB_EXT_SEC_PATH = 1,
};

struct sec_path {
	int len;
	int olen;
};

struct iovec {
	void *iov_base;
	__u64 iov_len;
};

enum iter_type {
	ITER_IOVEC = 0,
	ITER_UBUF = 5,
};

struct iov_iter {
	__u8 iter_type;
	__u64 iov_offset;
	__u64 count;
	const struct iovec *__iov;
	void *ubuf;
};

/* Up to 5.13. */
struct iov_iter___type {
	unsigned int type;
};

/* Up to 6.3. */
struct iov_iter___iov {
	const struct iovec *iov;
};

struct kiocb {
	struct file *ki_filp;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct net_device {
	char name[16];
};

struct bpf_map {
	enum bpf_map_type map_type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	char name[16];
};

struct perf_event {
	struct {
		__u32 type;
	} attr;
};

struct module {
	char name[56];
	unsigned long taints;
};

struct load_info {
	const char *name;
	struct module *mod;
	bool sig_ok;
};

struct thread_info___x86 {
	__u32 status;
};

struct task_struct___x86 {
	struct thread_info___x86 thread_info;
};

#pragma clang attribute pop

/* arch/x86/include/asm/thread_info.h: in a system call of the 32-bit interface. */
#define TS_COMPAT 0x0002

#endif
