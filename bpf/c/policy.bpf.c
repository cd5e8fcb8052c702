// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What policies need, apart from the base sensor: loaded with the first policy. */
#include "kernel.h"

#include <asm/ptrace.h>
#include <bpf/bpf_tracing.h>

#include "policy/classic.h"
#include "policy/lives.h"

/* Only here so that these types are in the object's BTF, where a test compares them with Rust. */
volatile const struct {
	enum plan_source_kind source;
	enum capture_type capture;
	enum reader_flags reader;
	enum op_kind op;
	enum op_flags op_flags;
	enum net_part net;
	enum pid_flags pid;
	enum namespace_index ns;
	enum capability_flags capability;
	enum action_kind action;
	enum action_flags action_flags;
	enum rate_scope rate;
	enum plan_flags plan;
	enum captured_flags captured;
	enum policy_phase phase;
	struct plan whole[0];
	struct rule rule_type[0];
	struct policy_record record[0];
	struct captured_sock sock[0];
	struct captured_skb skb[0];
	struct captured_cred cred[0];
	struct captured_bpf_attr bpf_attr[0];
	struct captured_bpf_map bpf_map[0];
	struct captured_perf_event perf_event[0];
	struct captured_module module[0];
} policy_types = {};

char LICENSE[] SEC("license") = "Dual BSD/GPL";
