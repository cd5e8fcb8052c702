/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whether a call matches: selectors, chains of comparisons, comparisons. */
#ifndef TETRAGON_POLICY_MATCH_H
#define TETRAGON_POLICY_MATCH_H

#include "facts.h"
#include "read.h"
#include "text.h"

enum verdict {
	NO = 0,
	YES = 1,
	NEVER = -1, /* whether it is negated or not */
	ALWAYS = 2, /* likewise */
};

/* A comparison of the plan that is looked at. */
static __always_inline struct plan_op *op_get(struct policy_scratch *s, __u32 index)
{
	struct plan *plan;

	if (index >= PLAN_OPS)
		return NULL;
	CHECKED(index);
	plan = plan_get(s);
	return plan ? &plan->op[index] : NULL;
}

/* 2^20 ranges in a set at most. */
#define SEARCH_STEPS 20

__noinline int number_in_set(__u64 value, __u32 slot)
{
	void *set = bpf_map_lookup_elem(&numbers, &slot);
	struct number_range *range;
	__u32 low = 1, high, zero = 0;

	if (!set)
		return NO;
	range = bpf_map_lookup_elem(set, &zero);
	if (!range)
		return NO;
	high = range->low;
	for (int i = 0; i < SEARCH_STEPS && low <= high; i++) {
		__u32 middle = low + (high - low) / 2;

		range = bpf_map_lookup_elem(set, &middle);
		if (!range)
			return NO;
		if (value < range->low)
			high = middle - 1;
		else if (value > range->high)
			low = middle + 1;
		else
			return YES;
	}
	return NO;
}

static __always_inline int compare_number(struct plan_op *op, __u64 value, bool is_set)
{
	if (is_set)
		return number_in_set(value, op->slot);
	return value >= op->value[0] && value <= op->value[1];
}

/* An argument that could not be read: the policy says what that means. */
static __always_inline int unreadable(struct policy_scratch *s)
{
	struct plan *plan = plan_get(s);

	return plan && plan->flags & PLAN_MATCH_UNREADABLE ? ALWAYS : NEVER;
}

static __always_inline bool is_v4_mapped(const __u8 *address)
{
	const __u32 *words = (const void *)address;

	return !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
}

struct address4 {
	__u32 bits;
	__u8 bytes[4];
};

struct address6 {
	__u32 bits;
	__u8 bytes[16];
};

static __always_inline int compare_address(struct plan_op *op, __u32 family, const __u8 *address)
{
	__u32 slot4 = op->slot, slot6 = op->value[0];
	void *set;

	if (family == AF_INET6 && is_v4_mapped(address)) {
		family = AF_INET;
		address += 12;
	}
	if (family == AF_INET) {
		struct address4 key = { .bits = 32 };

		set = bpf_map_lookup_elem(&networks4, &slot4);
		if (!slot4 || !set)
			return NEVER;
		__builtin_memcpy(key.bytes, address, 4);
		return bpf_map_lookup_elem(set, &key) != NULL;
	}
	if (family == AF_INET6) {
		struct address6 key = { .bits = 128 };

		set = bpf_map_lookup_elem(&networks6, &slot6);
		if (!slot6 || !set)
			return NEVER;
		__builtin_memcpy(key.bytes, address, 16);
		return bpf_map_lookup_elem(set, &key) != NULL;
	}
	return NEVER;
}

__noinline int match_net(__u32 place, __u32 index)
{
	struct policy_scratch *s = scratch_get(place);
	struct captured_sock *sock;
	struct captured_skb *skb;
	struct captured *c;
	struct plan_op *op;
	__u32 value = 0, family, arg;
	bool is_sock;

	if (!s)
		return NEVER;
	op = op_get(s, index);
	if (!op)
		return NEVER;
	arg = op->arg;
	if (arg > PLAN_READERS)
		return NEVER;
	CHECKED(arg);
	c = &s->record.arg[arg];
	sock = (void *)&s->data[c->offset & DATA_OFFSET_MASK];
	skb = (void *)sock;
	is_sock = c->capture == CAPTURE_SOCK;
	family = is_sock ? sock->family : skb->family;
	switch (op->what) {
	case NET_SOURCE_ADDRESS:
		return compare_address(op, family, sock->source);
	case NET_DESTINATION_ADDRESS:
		return compare_address(op, family, sock->destination);
	case NET_SOURCE_PORT:
		value = is_sock ? sock->source_port : skb->source_port;
		break;
	case NET_DESTINATION_PORT:
		value = is_sock ? sock->destination_port : skb->destination_port;
		break;
	case NET_PROTOCOL:
		value = is_sock ? sock->protocol : skb->protocol;
		break;
	case NET_FAMILY:
		value = family;
		break;
	case NET_STATE:
		/* No packet has one. */
		if (!is_sock)
			return NEVER;
		value = sock->state;
		break;
	}
	return compare_number(op, value, op->kind == OP_NET_NUMBER_SET);
}

/* One of 9 generations of the process tree: the process and its ancestors. */
#define PID_GENERATIONS 9

__noinline int match_pid(__u32 place, __u32 index)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct policy_scratch *s = scratch_get(place);
	struct plan_op *op;

	if (!s)
		return NEVER;
	op = op_get(s, index);
	if (!op)
		return NEVER;
	for (int i = 0; i < PID_GENERATIONS && task; i++) {
		struct task_struct *parent;
		__u32 pid;

		if (op->what & PID_IN_NAMESPACE)
			pid = read_nspid(task, NULL);
		else
			pid = BPF_CORE_READ(task, tgid);
		if (pid && compare_number(op, pid, op->kind == OP_PID_SET) == YES)
			return YES;
		/* Of the host, no process has an id of its own namespace. */
		if (!i && !pid)
			return op->what & PID_IN_NAMESPACE ? NEVER : NO;
		if (!(op->what & PID_FOLLOW_FORKS))
			break;
		parent = BPF_CORE_READ(task, group_leader, real_parent);
		if (parent == task)
			break;
		task = parent;
	}
	return NO;
}

__noinline int match_binary(__u32 place, __u32 index)
{
	struct policy_scratch *s = scratch_get(place);
	struct text_scratch *t = text_get(place);
	struct plan_op *op;

	if (!s || !t)
		return NEVER;
	op = op_get(s, index);
	if (!op)
		return NEVER;
	facts_load(place);
	if (!t->facts.path_known)
		return NEVER;
	if (op->what && op->what <= FOLLOWERS_MAX && t->facts.followed >> (op->what - 1) & 1)
		return YES;
	facts_text(t, &t->facts);
	s->text = TEXT_OF_PROGRAM;
	switch (op->kind) {
	case OP_BINARY_EQUAL:
		/* A longer one was cut, and is equal to no value. */
		if (t->facts.path_whole_len > FACTS_PATH)
			return NO;
		return text_equal(place, op->value[0], op->value[1]);
	case OP_BINARY_PREFIX:
		return text_prefix(place, op->slot);
	default:
		return text_postfix(place, op->slot);
	}
}

static __always_inline __u32 namespace_of(struct task_struct *task, __u32 index)
{
	struct nsproxy *proxy = BPF_CORE_READ(task, nsproxy);
	__u32 inode = 0;

	switch (index) {
	case NAMESPACE_UTS:
		return BPF_CORE_READ(proxy, uts_ns, ns.inum);
	case NAMESPACE_IPC:
		return BPF_CORE_READ(proxy, ipc_ns, ns.inum);
	case NAMESPACE_MNT:
		return BPF_CORE_READ(proxy, mnt_ns, ns.inum);
	case NAMESPACE_PID:
		read_nspid(task, &inode);
		return inode;
	case NAMESPACE_PID_FOR_CHILDREN:
		return BPF_CORE_READ(proxy, pid_ns_for_children, ns.inum);
	case NAMESPACE_NET:
		return BPF_CORE_READ(proxy, net_ns, ns.inum);
	case NAMESPACE_TIME:
		return BPF_CORE_READ(proxy, time_ns, ns.inum);
	case NAMESPACE_TIME_FOR_CHILDREN:
		return BPF_CORE_READ(proxy, time_ns_for_children, ns.inum);
	case NAMESPACE_CGROUP:
		return BPF_CORE_READ(proxy, cgroup_ns, ns.inum);
	default:
		return BPF_CORE_READ(task, cred, user_ns, ns.inum);
	}
}

/* Comparisons of what the process is. */
__noinline int match_process(__u32 place, __u32 index)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct policy_scratch *s = scratch_get(place);
	struct text_scratch *t = text_get(place);
	struct plan_op *op;
	__u64 now, then, mask;

	if (!s || !t)
		return NEVER;
	op = op_get(s, index);
	if (!op)
		return NEVER;
	if (op->kind == OP_NAMESPACE)
		return namespace_of(task, op->what) == op->value[0];
	if (op->kind == OP_CAPABILITIES || op->kind == OP_CAPABILITIES_CHANGED) {
		if (op->what & CAPABILITY_OUTSIDE && namespace_of(task, NAMESPACE_USER) == op->value[1])
			return NEVER;
		now = capabilities_of(BPF_CORE_READ(task, cred), op->what & CAPABILITY_SET);
		mask = op->value[0];
		if (op->kind == OP_CAPABILITIES)
			return (now & mask) != 0;
		facts_load(place);
		then = (op->what & CAPABILITY_SET) == CAPABILITY_EFFECTIVE     ? t->facts.effective
		       : (op->what & CAPABILITY_SET) == CAPABILITY_INHERITABLE ? t->facts.inheritable
									       : t->facts.permitted;
		now ^= then;
		if (!now)
			return NEVER;
		s->changed |= 2;
		return (now & mask) != 0;
	}
	/* OP_NAMESPACE_CHANGED */
	facts_load(place);
	for (__u32 i = 0; i < NAMESPACES; i++) {
		const __u32 *before = (const void *)&t->facts.ns;

		if (op->value[0] >> i & 1 && namespace_of(task, i) != before[i]) {
			s->changed |= 2;
			return YES;
		}
	}
	return NO;
}

static __always_inline bool is_file_like(__u32 capture)
{
	return capture == CAPTURE_FILE || capture == CAPTURE_PATH || capture == CAPTURE_FD ||
	       capture == CAPTURE_KIOCB || capture == CAPTURE_LINUX_BINPRM;
}

__noinline int match_text(__u32 place, __u32 index)
{
	struct policy_scratch *s = scratch_get(place);
	struct text_scratch *t = text_get(place);
	struct captured *c;
	struct plan_op *op;
	__u32 arg;

	if (!s || !t)
		return NEVER;
	op = op_get(s, index);
	if (!op)
		return NEVER;
	arg = op->arg;
	if (arg > PLAN_READERS)
		return NEVER;
	CHECKED(arg);
	c = &s->record.arg[arg];
	/* Pipes and anonymous files have no path. */
	if (!c->len && is_file_like(c->capture))
		return NEVER;
	if (s->text != arg + 1) {
		text_set(t, &s->data[c->offset & DATA_OFFSET_MASK], c->len);
		s->text = arg + 1;
	}
	switch (op->kind) {
	case OP_TEXT_EQUAL:
		return text_equal(place, op->value[0], op->value[1]);
	case OP_TEXT_PREFIX:
		return text_prefix(place, op->slot);
	default:
		return text_postfix(place, op->slot);
	}
}

__noinline int match_arg(__u32 place, __u32 index)
{
	struct policy_scratch *s = scratch_get(place);
	struct captured *c;
	struct plan_op *op;
	__u64 value;
	__u32 arg;

	if (!s)
		return NEVER;
	op = op_get(s, index);
	if (!op)
		return NEVER;
	arg = op->arg;
	if (arg > PLAN_READERS)
		return NEVER;
	CHECKED(arg);
	arg_load(place, arg);
	c = &s->record.arg[arg];
	if (c->flags & CAPTURED_UNREADABLE)
		return unreadable(s);
	switch (op->kind) {
	case OP_NUMBER_RANGE:
	case OP_NUMBER_SET:
		/* Signed ones in the order of unsigned ones. */
		value = c->value ^ (op->what ? 1ULL << 63 : 0);
		return compare_number(op, value, op->kind == OP_NUMBER_SET);
	case OP_NUMBER_MASK:
		return (c->value & op->value[0]) != 0;
	case OP_TEXT_EQUAL:
	case OP_TEXT_PREFIX:
	case OP_TEXT_POSTFIX:
		return match_text(place, index);
	default:
		return match_net(place, index);
	}
}

/* One comparison. Part of the loop, since the number of nested calls is limited. */
static __always_inline int match_op(__u32 place, __u32 index, __u32 kind)
{
	switch (kind) {
	case OP_PID_RANGE:
	case OP_PID_SET:
		return match_pid(place, index);
	case OP_BINARY_EQUAL:
	case OP_BINARY_PREFIX:
	case OP_BINARY_POSTFIX:
		return match_binary(place, index);
	case OP_NAMESPACE:
	case OP_NAMESPACE_CHANGED:
	case OP_CAPABILITIES:
	case OP_CAPABILITIES_CHANGED:
		return match_process(place, index);
	default:
		return match_arg(place, index);
	}
}

/* Whether all chains of comparisons hold. */
__noinline int match_ops(__u32 place, __u32 first, __u32 count)
{
	struct policy_scratch *s = scratch_get(place);
	struct plan *plan;
	int any = NO;

	if (!s)
		return NO;
	plan = plan_get(s);
	if (!plan)
		return NO;
	for (__u32 i = 0; i < PLAN_OPS; i++) {
		__u32 index = first + i, flags;

		if (i >= count || index >= PLAN_OPS)
			break;
		CHECKED(index);
		flags = plan->op[index].flags;
		/* A chain that holds already is not looked at further. */
		if (any <= NO) {
			int verdict = match_op(place, index, plan->op[index].kind);

			if (verdict != NO)
				any = verdict;
		}
		if (flags & OP_MORE)
			continue;
		if (any == NEVER)
			return NO;
		if (any != ALWAYS && (any == YES) == !!(flags & OP_NEGATED))
			return NO;
		any = NO;
	}
	return YES;
}

#endif
