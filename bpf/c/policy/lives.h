/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Programs that keep the facts of processes: at exec, fork and exit. */
#ifndef TETRAGON_POLICY_LIVES_H
#define TETRAGON_POLICY_LIVES_H

#include "facts.h"

SEC("tracepoint/sched/sched_process_exec")
int facts_exec(void *ctx)
{
	facts_make(0, 1);
	return 0;
}

/*
 * A child is followed like its parent, also when that is gone before the child's exec. The record's fields
 * differ between kernels, so user space tells where the child's id is.
 */
volatile const __u32 fork_child_offset = 44;

SEC("tracepoint/sched/sched_process_fork")
int facts_fork(void *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, child = 0;
	struct process_facts *known = bpf_map_lookup_elem(&facts, &tgid);
	struct text_scratch *t = text_get(0);

	if (!known || !t || !known->followed)
		return 0;
	bpf_probe_read_kernel(&child, sizeof(child), ctx + fork_child_offset);
	bpf_probe_read_kernel(&t->facts, sizeof(t->facts), known);
	/* Not its own image yet: whoever asks makes the rest anew. */
	t->facts.start_boot_ns = 0;
	bpf_map_update_elem(&facts, &child, &t->facts, BPF_NOEXIST);
	return 0;
}

SEC("tracepoint/sched/sched_process_exit")
int facts_exit(void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32;

	if (tgid == (__u32)id)
		bpf_map_delete_elem(&facts, &tgid);
	return 0;
}

#endif
