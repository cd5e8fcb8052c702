/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a program works with, at a place of its own. Kprobes and classic tracepoints run with preemption off,
 * and the kernel skips such a program where another one runs on the same CPU, so there one place per CPU is
 * enough, number 0. Others can be preempted, and take a place from a pool.
 *
 * The parts of the matcher are global functions: the verifier checks each once and not for every path that
 * leads there. They take numbers only, since old kernels allow nothing else, and find everything at the
 * place.
 */
#ifndef TETRAGON_POLICY_SCRATCH_H
#define TETRAGON_POLICY_SCRATCH_H

#include "maps.h"
#include "types.h"

/* Where the bytes of an argument may begin: a mask that the verifier understands. */
#define DATA_OFFSET_MASK 0x3fff
#define ARG_BYTES_MAX	 4096

_Static_assert(DATA_OFFSET_MASK + 1 + ARG_BYTES_MAX <= POLICY_DATA_MAX, "the last argument must fit");

struct policy_scratch {
	struct policy_record record;
	__u8 data[POLICY_DATA_MAX];
	/* Above: what is sent. Below: the call. */
	__u64 argument[8]; /* of the function */
	__u64 context;	   /* address of the tracepoint's record */
	__u64 returned;
	__u64 stack;
	__u64 cgroup_id;
	struct identity identity;
	__u64 generation; /* of the plan that is looked at */
	__u32 hook;
	__u32 class;
	__u32 plan;
	__u32 selector;
	__u32 used;    /* of data */
	__u32 text;    /* 1 + argument whose text is in the other scratch; TEXT_OF_PROGRAM */
	__u32 changed; /* the facts must be renewed: a change was reported */
	__u32 place;   /* of this */
	__u32 busy;    /* somebody works here */
	__s32 verdict; /* what a security hook returns */
	__u32 plan_count;
	__u32 rule_plan[RULE_PLANS + 2];
	struct pending_call pending;
};

_Static_assert(sizeof(struct policy_scratch) <= 32768, "largest value of a per-CPU array");

#define TEXT_OF_PROGRAM 100

#ifdef PREEMPTIBLE
#define SCRATCH_MAP BPF_MAP_TYPE_ARRAY
/* The other object's maps have the other names. */
#define SCRATCHES policy_places
#define TEXTS	  text_places
#else
#define SCRATCH_MAP BPF_MAP_TYPE_PERCPU_ARRAY
#define SCRATCHES   policy_scratch
#define TEXTS	    text_scratch
#endif

struct {
	__uint(type, SCRATCH_MAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct policy_scratch);
} SCRATCHES SEC(".maps");

#define TEXT_MASK 0xfff

struct text_scratch {
	/* A key: the length, or for tries that in bits, and the bytes, padded with zeros. */
	struct {
		__u32 len;
		__u8 bytes[2 * (TEXT_MASK + 1)];
	} key;
	__u8 zeros[TEXT_MASK + 1];
	struct {
		__u32 bits;
		__u8 bytes[POSTFIX_MAX];
	} reversed;
	__u32 text_len;
	/* A path, written from its end. */
	__u8 path[TEXT_MASK + 1 + 256];
	struct {
		struct dentry *dentry;
		struct vfsmount *mnt;
		struct dentry *root_dentry;
		struct vfsmount *root_mnt;
		__u32 at;
		__u32 reserved;
	} walk;
	struct process_facts facts;
};

_Static_assert(sizeof(struct text_scratch) <= 32768, "largest value of a per-CPU array");

struct {
	__uint(type, SCRATCH_MAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text_scratch);
} TEXTS SEC(".maps");

static __always_inline struct policy_scratch *scratch_get(__u32 place)
{
	return bpf_map_lookup_elem(&SCRATCHES, &place);
}

static __always_inline struct text_scratch *text_get(__u32 place)
{
	return bpf_map_lookup_elem(&TEXTS, &place);
}

/* The plan that is looked at, if it is still that one. */
static __always_inline struct plan *plan_get(struct policy_scratch *s)
{
	__u32 id = s->plan, zero = 0;
	void *map = bpf_map_lookup_elem(&plans, &id);
	struct plan *plan;

	if (!map)
		return NULL;
	plan = bpf_map_lookup_elem(map, &zero);
	if (!plan || plan->generation != s->generation)
		return NULL;
	return plan;
}

/* After a check of a number: what is computed with it must not come before the check, or the verifier would
 * not see it. */
#define CHECKED(number) asm volatile("" : "+r"(number))

#define COUNT(plan, counter) __sync_fetch_and_add(&(plan)->counters.counter, 1)

#endif
