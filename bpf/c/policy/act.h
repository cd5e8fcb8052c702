/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is done about a match: signals, rate limits, the record. */
#ifndef TETRAGON_POLICY_ACT_H
#define TETRAGON_POLICY_ACT_H

#include "../ledger.h"
#include "../task.h"
#include "match.h"

/* What of an argument tells like events apart, in words. */
#define RATE_WORDS 5
#define SIGKILL	   9

/* The secret with which arguments are hashed, so that nobody can make events look alike. */
volatile const __u64 rate_seed[2] = { 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9 };

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9fb21c651e98df25;
	return hash ^ hash >> 32;
}

/* Whether there was no like event within the time that the action gives. */
__noinline int rate_allows(__u32 place, __u32 selector, __u32 action, __u32 at_return)
{
	struct policy_scratch *s = scratch_get(place);
	__u64 now = bpf_ktime_get_boot_ns(), id = bpf_get_current_pid_tgid();
	struct plan_action *limit;
	struct rate_key key;
	struct plan *plan;
	__u64 *last;

	if (!s || selector >= PLAN_SELECTORS || action >= PLAN_ACTIONS)
		return 1;
	CHECKED(selector);
	CHECKED(action);
	plan = plan_get(s);
	if (!plan)
		return 1;
	limit = at_return ? &plan->selector[selector].return_action[action]
			  : &plan->selector[selector].action[action];
	if (limit->scope == RATE_PROCESS)
		id >>= 32;
	else if (limit->scope == RATE_GLOBAL)
		id = 0;
	key.low = mix(mix(rate_seed[0], plan->generation), id);
	key.high = mix(mix(rate_seed[1], id), selector << 16 | action << 8 | at_return);
	for (__u32 i = 0; i <= PLAN_READERS; i++) {
		struct captured *c = &s->record.arg[i];
		__u32 len = c->len;

		key.low = mix(key.low, c->value);
		key.high = mix(key.high, c->value + i);
		for (__u32 word = 0; word < RATE_WORDS; word++) {
			__u64 bytes = 0;
			__u32 rest;

			if (word * 8 >= len)
				break;
			rest = len - word * 8;
			bpf_probe_read_kernel(&bytes, rest >= 8 ? 8 : rest & 7,
					      &s->data[(c->offset + word * 8) & DATA_OFFSET_MASK]);
			key.low = mix(key.low, bytes);
			key.high = mix(key.high, bytes + word);
		}
	}
	last = bpf_map_lookup_elem(&rates, &key);
	if (last && now - *last < limit->value * 1000000ULL)
		return 0;
	bpf_map_update_elem(&rates, &key, &now, BPF_ANY);
	return 1;
}

enum outcome {
	OUTCOME_POST = 1 << 0,
	OUTCOME_KERNEL_STACK = 1 << 1,
	OUTCOME_USER_STACK = 1 << 2,
};

/* Carries out the actions of a selector. Returns enum outcome. */
static __always_inline int act(struct policy_scratch *s, struct plan *plan, __u32 selector, bool at_return)
{
	bool may_act = !(plan->flags & PLAN_MONITOR) && !(s->identity.flags & IDENTITY_SETUP);
	struct plan_selector *chosen;
	int outcome = OUTCOME_POST;
	__u32 count;

	if (selector >= PLAN_SELECTORS)
		return 0;
	CHECKED(selector);
	chosen = &plan->selector[selector];
	count = at_return ? chosen->return_actions : chosen->actions;
	s->record.action = ACTION_POST;
	s->record.action_error = 0;
	for (__u32 i = 0; i < PLAN_ACTIONS; i++) {
		struct plan_action *action = at_return ? &chosen->return_action[i] : &chosen->action[i];
		__u32 signal = action->signal;
		long error;

		if (i >= count)
			break;
		s->record.action = action->kind;
		switch (action->kind) {
		case ACTION_NO_POST:
			outcome &= ~OUTCOME_POST;
			COUNT(plan, suppressed);
			break;
		case ACTION_SIGKILL:
			signal = SIGKILL;
			/* fall through */
		case ACTION_SIGNAL:
			if (!may_act)
				break;
			error = bpf_send_signal(signal);
			if (error) {
				s->record.action_error = error;
				COUNT(plan, signal_errors);
			} else {
				COUNT(plan, signals);
			}
			break;
		case ACTION_OVERRIDE:
			if (!may_act)
				break;
			/* Of several policies, the first one decides. */
			if (!s->verdict)
				s->verdict = -(__s32)action->value;
			COUNT(plan, overridden);
			break;
		case ACTION_POST:
			if (action->flags & ACTION_KERNEL_STACK)
				outcome |= OUTCOME_KERNEL_STACK;
			if (action->flags & ACTION_USER_STACK)
				outcome |= OUTCOME_USER_STACK;
			if (action->value && !rate_allows(s->place, selector, i, at_return)) {
				outcome &= ~OUTCOME_POST;
				COUNT(plan, limited);
			}
			break;
		}
	}
	return outcome & OUTCOME_POST ? outcome : 0;
}

/* Forgets the arguments of the plan before. */
static __always_inline void begin_plan(struct policy_scratch *s)
{
	s->used = 0;
	s->text = 0;
	for (int i = 0; i <= PLAN_READERS; i++) {
		struct captured *c = &s->record.arg[i];

		c->capture = 0;
		c->flags = 0;
		c->offset = 0;
		c->len = 0;
		c->mode = 0;
		c->value = 0;
	}
	s->record.kernel_stack_at = 0;
	s->record.kernel_stack_len = 0;
	s->record.user_stack_at = 0;
	s->record.user_stack_len = 0;
}

static __always_inline void load_args(__u32 place, struct plan *plan, bool at_return)
{
	for (__u32 i = 0; i < PLAN_READERS; i++) {
		if (i >= plan->readers)
			break;
		if (plan->reader[i].capture != CAPTURE_NONE &&
		    !(plan->reader[i].flags & READER_AT_RETURN) == !at_return)
			arg_load(place, i);
	}
}

/*
 * Looks at the plan at this place of the rule: which selector matches, what it does. Returns enum outcome:
 * what is to be sent, which emit() does.
 */
__noinline int run_plan(__u32 place, __u32 index)
{
	struct policy_scratch *s = scratch_get(place);
	__u32 zero = 0, id;
	struct plan *plan;
	int outcome;
	void *map;

	if (!s || index >= RULE_PLANS)
		return 0;
	CHECKED(index);
	id = s->rule_plan[index];
	map = bpf_map_lookup_elem(&plans, &id);
	if (!map)
		return 0;
	plan = bpf_map_lookup_elem(map, &zero);
	if (!plan)
		return 0;
	s->plan = id;
	s->generation = plan->generation;
	begin_plan(s);
	for (__u32 i = 0; i < PLAN_SELECTORS; i++) {
		if (i >= plan->selectors)
			return 0;
		if (match_ops(place, plan->selector[i].first_op, plan->selector[i].ops) != YES)
			continue;
		s->selector = i;
		COUNT(plan, matched);
		/* Before a signal: nothing of the process's memory may be needed afterwards. */
		load_args(place, plan, false);
		outcome = act(s, plan, i, false);
		s->record.phase = plan->flags & PLAN_RETURNS ? PHASE_ENTRY : PHASE_CALL;
		s->record.policy = plan->policy;
		s->record.readers = plan->readers;
		if (outcome && s->changed & 2)
			s->changed |= 1;
		return outcome;
	}
	return 0;
}

/* The return of a call that a plan waits for. Returns enum outcome. */
__noinline int run_return(__u32 place, __u32 index)
{
	struct policy_scratch *s = scratch_get(place);
	struct plan_selector *selector;
	struct plan *plan;
	__u32 chosen;
	int outcome;

	if (!s || index >= PENDING_PLANS)
		return 0;
	CHECKED(index);
	s->plan = s->pending.match[index].plan;
	s->generation = s->pending.match[index].generation;
	s->selector = s->pending.match[index].selector;
	plan = plan_get(s);
	chosen = s->selector;
	if (!plan || chosen >= PLAN_SELECTORS)
		return 0;
	CHECKED(chosen);
	COUNT(plan, joined);
	begin_plan(s);
	selector = &plan->selector[chosen];
	s->record.policy = plan->policy;
	s->record.readers = plan->readers;
	if (match_ops(place, selector->first_return_op, selector->return_ops) != YES) {
		COUNT(plan, return_unmatched);
		s->record.phase = PHASE_CANCELLED;
		s->record.action = ACTION_NO_POST;
		s->record.action_error = 0;
		return OUTCOME_POST;
	}
	if (plan->reader[PLAN_READERS].capture != CAPTURE_NONE)
		arg_load(place, PLAN_READERS);
	load_args(place, plan, true);
	outcome = act(s, plan, chosen, true);
	s->record.phase = outcome ? PHASE_RETURN : PHASE_CANCELLED;
	return outcome | OUTCOME_POST;
}

/* Sends the record. Returns 0. */
__noinline int emit(__u32 place, __u64 ip)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct policy_scratch *s = scratch_get(place);
	struct plan *plan;
	__u32 size, n;

	if (!s)
		return 0;
	plan = plan_get(s);
	if (!plan)
		return 0;
	read_key(&s->record.key, task);
	s->record.tid = (__u32)bpf_get_current_pid_tgid();
	s->record.cgroup_id = s->cgroup_id;
	s->record.identity = s->identity;
	s->record.generation = s->generation;
	s->record.plan = s->plan;
	s->record.hook = s->hook;
	s->record.selector = s->selector;
	s->record.entry_ns = s->pending.entry_ns;
	s->record.ip = ip;
	s->record.data_len = s->used;
	s->record.reserved = 0;
	size = sizeof(s->record) + s->used;
	if (size > sizeof(s->record) + sizeof(s->data))
		size = sizeof(s->record) + sizeof(s->data);
	header_fill(&s->record.header, RECORD_POLICY, size);
	LEDGER_COUNT(HOOK_POLICY, entered);
	if (bpf_ringbuf_output(&events, s, size, 0)) {
		ledger_reserve_failed(HOOK_POLICY);
		COUNT(plan, lost);
		return 0;
	}
	LEDGER_COUNT(HOOK_POLICY, submitted);
	if (s->record.phase != PHASE_CANCELLED && s->record.phase != PHASE_RETURN)
		COUNT(plan, posted);
	if (s->record.phase != PHASE_ENTRY)
		return 0;
	n = s->pending.count;
	if (n >= PENDING_PLANS) {
		COUNT(plan, pending_lost);
		return 0;
	}
	CHECKED(n);
	s->pending.match[n].generation = s->generation;
	s->pending.match[n].plan = s->plan;
	s->pending.match[n].selector = s->selector;
	s->pending.count = n + 1;
	COUNT(plan, pending);
	return 0;
}

#endif
