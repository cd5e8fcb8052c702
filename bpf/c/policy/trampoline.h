/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Programs of LSM hooks, and of functions by fentry and fexit. The kernel wants to know the function when it
 * loads the program, so each hook has its own copy.
 */
#ifndef TETRAGON_POLICY_TRAMPOLINE_H
#define TETRAGON_POLICY_TRAMPOLINE_H

#include "hooks.h"

/* What the copy is for; user space sets it. */
volatile const __u32 hook_number = 0;
volatile const __u32 argument_count = 0;
volatile const __u32 has_return = 0;
/*
 * Those that the verifier of every kernel lets be loaded, a bit each; the one after the arguments is the
 * value that is returned. Others (pointers to numbers, to pointers, to const void) are read as any kernel
 * memory.
 */
volatile const __u32 plain_arguments = 0;
/* How many places there are. */
volatile const __u32 place_count = 1;

/* What security hooks may return: 0 or a negative errno. */
#define ERRNO_MAX 4095

#ifdef PREEMPTIBLE
/* Tried one after the other. Others' are taken only while a CPU's own are held by calls that were preempted.
 */
#define PLACES_OF_CPU 2
#define PLACES_TRIED  8

/* A place that is nobody else's until it is left. */
static __always_inline struct policy_scratch *place_take(void)
{
	__u32 first = bpf_get_smp_processor_id() * PLACES_OF_CPU;

	for (__u32 i = 0; i < PLACES_TRIED; i++) {
		__u32 place = (first + i) % place_count;
		struct policy_scratch *s = scratch_get(place);

		if (s && !__sync_val_compare_and_swap(&s->busy, 0, 1)) {
			s->place = place;
			return s;
		}
	}
	/* A call that nobody looks at is lost, as far as anybody knows. */
	LEDGER_COUNT(HOOK_POLICY, entered);
	ledger_reserve_failed(HOOK_POLICY);
	return NULL;
}

static __always_inline void place_leave(struct policy_scratch *s)
{
	__sync_lock_test_and_set(&s->busy, 0);
}
#else
/* Kernels that cannot be preempted: one place per CPU is enough. */
static __always_inline struct policy_scratch *place_take(void)
{
	return scratch_get(0);
}

static __always_inline void place_leave(struct policy_scratch *s)
{
}
#endif

static __always_inline __u64 read_context(__u64 *ctx, __u32 index)
{
	__u64 at = (__u64)ctx;
	__u64 value = 0;

	/* Else the compiler uses the sum to load others by, which the verifier forbids. */
	asm volatile("" : "+r"(at));
	bpf_probe_read_kernel(&value, sizeof(value), (void *)(at + index * sizeof(value)));
	return value;
}

static __always_inline void take_arguments(struct policy_scratch *s, __u64 *ctx)
{
	/* The verifier knows the numbers, and does not look at what is not for this hook. */
#define TAKE(index)                                                      \
	if (argument_count > (index)) {                                  \
		if (plain_arguments & (1 << (index)))                    \
			s->argument[index] = ctx[index];                 \
		else                                                     \
			s->argument[index] = read_context(ctx, (index)); \
	}
	TAKE(0)
	TAKE(1)
	TAKE(2)
	TAKE(3)
	TAKE(4)
#undef TAKE
	s->context = 0;
}

SEC("lsm")
int policy_lsm(__u64 *ctx)
{
	struct policy_scratch *s = place_take();
	long verdict;

	if (!s)
		return 0;
	take_arguments(s, ctx);
	s->verdict = 0;
	dispatch(ctx, s, hook_number, 0);
	verdict = s->verdict;
	place_leave(s);
	/* One comparison after the other, or the verifier loses track. */
	if (verdict < -ERRNO_MAX)
		return 0;
	CHECKED(verdict);
	if (verdict > 0)
		return 0;
	CHECKED(verdict);
	return verdict;
}

/* The place of the arguments is the same at entry and return of a call. */
SEC("fentry")
int policy_fentry(__u64 *ctx)
{
	struct policy_scratch *s = place_take();

	if (!s)
		return 0;
	take_arguments(s, ctx);
	s->stack = (__u64)ctx;
	if (dispatch(ctx, s, hook_number, 0))
		remember(s, hook_number, 0);
	place_leave(s);
	return 0;
}

static __always_inline __u64 return_value(__u64 *ctx)
{
	__u64 value = 0;

	if (!has_return)
		return 0;
	if (!(plain_arguments & (1 << (argument_count & 31))))
		return read_context(ctx, argument_count);
	/* By hand: the verifier allows nothing but constant offsets, which compilers like to compute. */
#define AFTER(count)                                                                               \
	if (argument_count == (count)) {                                                           \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(ctx), "i"((count) * 8)); \
		return value;                                                                      \
	}
	AFTER(0)
	AFTER(1)
	AFTER(2)
	AFTER(3)
	AFTER(4)
	AFTER(5)
	AFTER(6)
#undef AFTER
	return 0;
}

SEC("fexit")
int policy_fexit(__u64 *ctx)
{
	struct pending_key key = {};
	struct policy_scratch *s;

	key.pid_tgid = bpf_get_current_pid_tgid();
	key.stack = (__u64)ctx;
	key.hook = hook_number;
	if (!bpf_map_lookup_elem(&pending, &key))
		return 0;
	s = place_take();
	if (!s)
		return 0;
	returned(ctx, s, key.stack, hook_number, return_value(ctx));
	place_leave(s);
	return 0;
}

#endif
