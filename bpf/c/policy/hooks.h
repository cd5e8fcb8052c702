/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is done at a hook, whatever its kind: a call costs what the policies of its cgroup's class cost,
 * however many others are loaded. */
#ifndef TETRAGON_POLICY_HOOKS_H
#define TETRAGON_POLICY_HOOKS_H

#include "act.h"

/* Puts the plans of one element of a rule into the scratch. Returns how many, or -1 where there is none. */
__noinline int rule_take(__u32 place, __u32 chunk)
{
	struct policy_scratch *s = scratch_get(place);
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
	emit(s->place, ip);
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
	count = rule_take(s->place, 0);
	if (count <= 0)
		return 0;
	read_identity(&s->identity, s->cgroup_id);
	s->pending.count = 0;
	s->pending.entry_ns = bpf_ktime_get_boot_ns();
	s->changed = 0;
	s->verdict = 0;
	for (__u32 chunk = 1; chunk <= RULE_CHUNKS_MAX; chunk++) {
		for (__u32 i = 0; i < RULE_PLANS; i++) {
			if (i >= s->plan_count)
				break;
			finish(ctx, s, run_plan(s->place, i), ip);
		}
		if (count <= RULE_PLANS)
			break;
		count = rule_take(s->place, chunk);
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

/* The return of a call, if it is one that is waited for. */
static __always_inline void returned(void *ctx, struct policy_scratch *s, __u64 stack, __u32 hook,
				     __u64 value)
{
	struct pending_call *call;
	struct pending_key key = {};

	key.pid_tgid = bpf_get_current_pid_tgid();
	key.stack = stack;
	key.hook = hook;
	call = bpf_map_lookup_elem(&pending, &key);
	if (!call)
		return;
	bpf_probe_read_kernel(&s->pending, sizeof(s->pending), call);
	bpf_map_delete_elem(&pending, &key);
	for (int i = 0; i < 6; i++)
		s->argument[i] = s->pending.argument[i];
	s->returned = value;
	s->context = 0;
	s->hook = hook;
	s->cgroup_id = bpf_get_current_cgroup_id();
	read_identity(&s->identity, s->cgroup_id);
	for (__u32 i = 0; i < PENDING_PLANS; i++) {
		if (i >= s->pending.count)
			break;
		finish(ctx, s, run_return(s->place, i), s->pending.ip);
	}
}

#endif
