/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* All processes that exist, as one stream of scan_record read from the iterator's file descriptor. */
#ifndef TETRAGON_BASE_SCAN_H
#define TETRAGON_BASE_SCAN_H

#include "../ledger.h"
#include "../task.h"

SEC("iter/task")
int scan_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct scan_record record = {};

	if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	header_fill(&record.header, RECORD_SCAN, sizeof(record));
	read_task(&record.task, task);
	if (bpf_core_field_exists(task->in_execve) && BPF_CORE_READ_BITFIELD_PROBED(task, in_execve))
		record.task.flags |= TASK_IN_EXEC;
	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		record.task.flags |= TASK_DEAD;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

#endif
