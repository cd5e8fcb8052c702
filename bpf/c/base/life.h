/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The beginning and the end of a process. */
#ifndef TETRAGON_BASE_LIFE_H
#define TETRAGON_BASE_LIFE_H

#include "../ledger.h"
#include "../task.h"

/*
 * sched_wakeup_new fires with the run queue locked and interrupts off, so no kernel ever skips a program
 * there, and before the new task can run, so its record precedes all others of its own.
 */
SEC("tp_btf/sched_wakeup_new")
int fork_btf(__u64 *ctx)
{
	struct task_struct *child = (void *)ctx[0];
	struct fork_record *record;
	int tgid = BPF_CORE_READ(child, tgid);

	LEDGER_COUNT(HOOK_FORK, entered);
	if (BPF_CORE_READ(child, pid) != tgid) {
		LEDGER_COUNT(HOOK_FORK, suppressed);
		return 0;
	}
	record = bpf_ringbuf_reserve(&lifecycle, sizeof(*record), 0);
	if (!record) {
		ledger_reserve_failed(HOOK_FORK);
		return 0;
	}
	header_fill(&record->header, RECORD_FORK, sizeof(*record));
	read_key(&record->key, child);
	read_parent_key(&record->parent, child);
	read_key(&record->creator, (void *)bpf_get_current_task());
	record->cgroup_id = BPF_CORE_READ(task_cgroup_node(child), id);
	read_identity(&record->identity, record->cgroup_id);
	record->nspid = read_nspid(child, NULL);
	record->flags = read_task_flags(child);
	BPF_CORE_READ_INTO(&record->comm, child, comm);
	bpf_ringbuf_submit(record, 0);
	LEDGER_COUNT(HOOK_FORK, submitted);
	return 0;
}

/*
 * Up to 6.16 the tracepoint does not say whether the whole group is dead, and two last threads that exit at
 * once both see no live thread: user space drops the second record of a process.
 */
static __always_inline int exit_record(bool group_dead)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct exit_record *record;
	struct signal_struct *signal;

	LEDGER_COUNT(HOOK_EXIT, entered);
	if (!group_dead) {
		LEDGER_COUNT(HOOK_EXIT, suppressed);
		return 0;
	}
	record = bpf_ringbuf_reserve(&lifecycle, sizeof(*record), 0);
	if (!record) {
		ledger_reserve_failed(HOOK_EXIT);
		return 0;
	}
	header_fill(&record->header, RECORD_EXIT, sizeof(*record));
	read_key(&record->key, task);
	read_parent_key(&record->parent, task);
	record->cgroup_id = BPF_CORE_READ(task_cgroup_node(task), id);
	read_identity(&record->identity, record->cgroup_id);
	record->tid = BPF_CORE_READ(task, pid);
	/* What wait(2) will tell the parent: the group's code if one was set, else the leader's own. */
	signal = BPF_CORE_READ(task, signal);
	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
		record->code = BPF_CORE_READ(signal, group_exit_code);
	else
		record->code = BPF_CORE_READ(task, group_leader, exit_code);
	record->flags = read_task_flags(task);
	record->nspid = read_nspid(task, NULL);
	bpf_ringbuf_submit(record, 0);
	LEDGER_COUNT(HOOK_EXIT, submitted);
	return 0;
}

static __always_inline bool no_thread_lives(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, signal, live.counter) == 0;
}

SEC("tp_btf/sched_process_exit")
int exit_btf(__u64 *ctx)
{
	/* struct task_struct *task, bool group_dead (6.17+) */
	if (bpf_core_field_exists(struct trace_event_raw_sched_process_exit, group_dead))
		return exit_record((__u8)ctx[1]);
	return exit_record(no_thread_lives());
}

SEC("tracepoint/sched/sched_process_exit")
int exit_classic(struct trace_event_raw_sched_process_exit *ctx)
{
	if (bpf_core_field_exists(ctx->group_dead))
		return exit_record(ctx->group_dead);
	return exit_record(no_thread_lives());
}

#endif
