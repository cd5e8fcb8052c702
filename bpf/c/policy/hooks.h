/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The programs. Each is loaded once and attached to every hook of its kind; a call costs what the policies of
 * its cgroup's class cost, however many others are loaded.
 */
#ifndef TETRAGON_POLICY_HOOKS_H
#define TETRAGON_POLICY_HOOKS_H

#include "act.h"

/* Which hook a function is, for kernels without attach cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64); /* address */
	__type(value, __u32);
} hooks_by_address SEC(".maps");

/* Which hook a numbered program is attached to, for kernels without attach cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} hooks_by_program SEC(".maps");

/* Puts the plans of one element of a rule into the scratch. Returns how many, or -1 where there is none. */
__noinline int rule_take(__u32 chunk)
{
	struct policy_scratch *s = scratch_get();
	struct rule_key key = {};
	struct rule *rule;

	if (!s)
		return -1;
	key.hook = s->hook;
	key.class = s->class;
	key.chunk = chunk;
	rule = bpf_map_lookup_elem(&rules, &key);
	if (!rule && !chunk) {
		key.class = s->class = CLASS_OTHERS;
		rule = bpf_map_lookup_elem(&rules, &key);
	}
	if (!rule)
		return -1;
	bpf_probe_read_kernel(s->rule_plan, sizeof(rule->plan), rule->plan);
	/* Where elements are reused, this one may have become another's in the meantime. */
	if (rule->key.hook != key.hook || rule->key.class != key.class || rule->key.chunk != chunk)
		return -1;
	s->plan_count = rule->count;
	return rule->more ? RULE_PLANS + rule->count : rule->count;
}

/* Takes the stacks that are wanted, and sends the record. */
static __always_inline void finish(void *ctx, struct policy_scratch *s, int outcome, __u64 ip)
{
	long len;

	if (!outcome)
		return;
	if (outcome & OUTCOME_KERNEL_STACK && s->used <= DATA_OFFSET_MASK) {
		len = bpf_get_stack(ctx, data_at(s), STACK_FRAMES_MAX * 8, 0);
		if (len > 0) {
			s->record.kernel_stack_at = s->used;
			s->record.kernel_stack_len = len;
			s->used += (len + 7) & 0xff8;
		}
	}
	if (outcome & OUTCOME_USER_STACK && s->used <= DATA_OFFSET_MASK) {
		len = bpf_get_stack(ctx, data_at(s), STACK_FRAMES_MAX * 8, BPF_F_USER_STACK);
		if (len > 0) {
			s->record.user_stack_at = s->used;
			s->record.user_stack_len = len;
			s->used += (len + 7) & 0xff8;
		}
	}
	emit(ip);
}

/* All policies of the current cgroup's class at a hook. The scratch holds the arguments. */
static __always_inline int dispatch(void *ctx, struct policy_scratch *s, __u32 hook, __u64 ip)
{
	struct identity *known;
	int count;

	s->cgroup_id = bpf_get_current_cgroup_id();
	known = bpf_map_lookup_elem(&cgroups, &s->cgroup_id);
	s->class = known ? known->class : 0;
	s->hook = hook;
	count = rule_take(0);
	if (count <= 0)
		return 0;
	read_identity(&s->identity, s->cgroup_id);
	s->pending.count = 0;
	s->pending.entry_ns = bpf_ktime_get_boot_ns();
	s->changed = 0;
	for (__u32 chunk = 1; chunk <= RULE_CHUNKS_MAX; chunk++) {
		for (__u32 i = 0; i < RULE_PLANS; i++) {
			if (i >= s->plan_count)
				break;
			finish(ctx, s, run_plan(i), ip);
		}
		if (count <= RULE_PLANS)
			break;
		count = rule_take(chunk);
		if (count < 0)
			break;
	}
	if (s->changed & 1)
		facts_renew();
	return s->pending.count;
}

/* Remembers a call until it returns. */
static __always_inline void remember(struct policy_scratch *s, __u32 hook, __u64 ip)
{
	struct pending_key key = {};

	key.pid_tgid = bpf_get_current_pid_tgid();
	key.stack = s->stack;
	key.hook = hook;
	s->pending.ip = ip;
	for (int i = 0; i < 6; i++)
		s->pending.argument[i] = s->argument[i];
	if (bpf_map_update_elem(&pending, &key, &s->pending, BPF_ANY)) {
		struct plan *plan = plan_get(s);

		/* Of several policies, the last one is told. */
		if (plan)
			COUNT(plan, pending_lost);
	}
}

static __always_inline int at_function(struct pt_regs *ctx, __u32 hook, __u32 pending_hook)
{
	struct policy_scratch *s = scratch_get();

	if (!s)
		return 0;
	s->argument[0] = PT_REGS_PARM1(ctx);
	s->argument[1] = PT_REGS_PARM2(ctx);
	s->argument[2] = PT_REGS_PARM3(ctx);
	s->argument[3] = PT_REGS_PARM4(ctx);
	s->argument[4] = PT_REGS_PARM5(ctx);
	s->context = 0;
	s->stack = PT_REGS_SP(ctx);
	if (dispatch(ctx, s, hook, PT_REGS_IP(ctx)))
		remember(s, pending_hook, PT_REGS_IP(ctx));
	return 0;
}

static __always_inline int at_return(struct pt_regs *ctx, __u32 hook)
{
	struct policy_scratch *s = scratch_get();
	struct pending_call *call;
	struct pending_key key = {};

	if (!s)
		return 0;
	key.pid_tgid = bpf_get_current_pid_tgid();
#if defined(__TARGET_ARCH_x86)
	/* The return address has been taken from the stack. */
	key.stack = PT_REGS_SP(ctx) - 8;
#else
	key.stack = PT_REGS_SP(ctx);
#endif
	key.hook = hook;
	call = bpf_map_lookup_elem(&pending, &key);
	if (!call)
		return 0;
	bpf_probe_read_kernel(&s->pending, sizeof(s->pending), call);
	bpf_map_delete_elem(&pending, &key);
	for (int i = 0; i < 6; i++)
		s->argument[i] = s->pending.argument[i];
	s->returned = PT_REGS_RC(ctx);
	s->context = 0;
	s->hook = hook;
	s->cgroup_id = bpf_get_current_cgroup_id();
	read_identity(&s->identity, s->cgroup_id);
	for (__u32 i = 0; i < PENDING_PLANS; i++) {
		if (i >= s->pending.count)
			break;
		finish(ctx, s, run_return(i), s->pending.ip);
	}
	return 0;
}

SEC("kprobe")
int policy_kprobe(struct pt_regs *ctx)
{
	__u32 hook = bpf_get_attach_cookie(ctx);

	return at_function(ctx, hook, hook);
}

SEC("kretprobe")
int policy_kretprobe(struct pt_regs *ctx)
{
	return at_return(ctx, bpf_get_attach_cookie(ctx));
}

/* Without cookies the return does not know which function it is of; thread and stack tell. */
SEC("kprobe")
int policy_kprobe_by_address(struct pt_regs *ctx)
{
	/* One byte behind, where the breakpoint's instruction ends. */
	__u64 address = PT_REGS_IP(ctx) - 1;
	__u32 *hook = bpf_map_lookup_elem(&hooks_by_address, &address);

	return hook ? at_function(ctx, *hook, 0) : 0;
}

SEC("kretprobe")
int policy_kretprobe_by_stack(struct pt_regs *ctx)
{
	return at_return(ctx, 0);
}

static __always_inline int at_tracepoint(void *ctx, __u32 hook)
{
	struct policy_scratch *s = scratch_get();

	if (!s)
		return 0;
	s->context = (__u64)ctx;
	dispatch(ctx, s, hook, 0);
	return 0;
}

SEC("tracepoint")
int policy_tracepoint(void *ctx)
{
	return at_tracepoint(ctx, bpf_get_attach_cookie(ctx));
}

/* Without cookies, a program is of one tracepoint. */
#define NUMBERED_TRACEPOINT(number)                                             \
	SEC("tracepoint")                                                       \
	int policy_tracepoint_##number(void *ctx)                               \
	{                                                                       \
		__u32 program = number;                                         \
		__u32 *hook = bpf_map_lookup_elem(&hooks_by_program, &program); \
                                                                                \
		return hook ? at_tracepoint(ctx, *hook) : 0;                    \
	}

NUMBERED_TRACEPOINT(0)
NUMBERED_TRACEPOINT(1)
NUMBERED_TRACEPOINT(2)
NUMBERED_TRACEPOINT(3)
NUMBERED_TRACEPOINT(4)
NUMBERED_TRACEPOINT(5)
NUMBERED_TRACEPOINT(6)
NUMBERED_TRACEPOINT(7)

#endif
