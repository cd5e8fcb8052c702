/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The loss ledger: per-CPU counters. Programs that run with preemption off, which do not nest, add to them
 * plainly; others atomically.
 */
#ifndef TETRAGON_LEDGER_H
#define TETRAGON_LEDGER_H

#include "maps.h"

#ifdef PREEMPTIBLE
#define LEDGER_ADD(counter) __sync_fetch_and_add(&(counter), 1)
#else
#define LEDGER_ADD(counter) (counter)++
#endif

static __always_inline struct hook_counters *ledger_of(__u32 hook)
{
	return bpf_map_lookup_elem(&ledger, &hook);
}

#define LEDGER_COUNT(hook, counter)                                 \
	do {                                                        \
		struct hook_counters *__counters = ledger_of(hook); \
		if (__counters)                                     \
			LEDGER_ADD(__counters->counter);            \
	} while (0)

static __always_inline void ledger_reserve_failed(enum hook hook)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&lost, &zero);

	LEDGER_COUNT(hook, reserve_failed);
	if (count)
		LEDGER_ADD(*count);
}

static __always_inline void header_fill(struct record_header *header, enum record_kind kind, __u32 size)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&lost, &zero);

	header->size = size;
	header->kind = kind;
	header->cpu = bpf_get_smp_processor_id();
	header->reserved = 0;
	header->boot_ns = bpf_ktime_get_boot_ns();
	header->lost = count ? *count : 0;
}

#endif
