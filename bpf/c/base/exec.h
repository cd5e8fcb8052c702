/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A successful exec, at sched_process_exec: credentials are committed, the new image is mapped, nothing of it
 * has run. The same body serves the BTF and the classic tracepoint; user space loads the one that this kernel
 * never skips. Both run with preemption off, which makes the per-CPU scratch safe.
 */
#ifndef TETRAGON_BASE_EXEC_H
#define TETRAGON_BASE_EXEC_H

#include "../ledger.h"
#include "../path.h"
#include "../task.h"
#include "creds.h"

/* Where a string may begin: a mask that the verifier understands. The last string may then be
 * ARGS_INLINE_MAX. */
#define EXEC_OFFSET_MASK 0x3fff
#define EXEC_DATA_MAX	 (EXEC_OFFSET_MASK + 1 + ARGS_INLINE_MAX)

struct exec_scratch {
	struct exec_record record;
	__u8 data[EXEC_DATA_MAX];
	/* Above: what is sent. Below: state of the loops. */
	struct {
		struct dentry *dentry;
		struct vfsmount *mnt;
		struct dentry *root_dentry;
		struct vfsmount *root_mnt;
		__u32 written;
	} walk;
	unsigned long args_start;
};

_Static_assert(FILENAME_MAX_LEN + CGROUP_NAME_MAX + CWD_BYTES_MAX + 256 <= EXEC_OFFSET_MASK,
	       "every string must begin below the mask");
_Static_assert(sizeof(struct exec_scratch) <= 32768, "largest value of a per-CPU array");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} scratch SEC(".maps");

static __always_inline __u32 exec_read_filename(struct exec_scratch *s, const char *filename)
{
	long len = bpf_probe_read_kernel_str(s->data, FILENAME_MAX_LEN, filename);

	if (len <= 0) {
		s->record.flags |= EXEC_FILENAME_UNREADABLE;
		return 0;
	}
	return (len - 1) & (FILENAME_MAX_LEN - 1);
}

static __always_inline __u32 exec_read_cgroup_name(struct exec_scratch *s, __u32 offset,
						   struct task_struct *task)
{
	const char *name = BPF_CORE_READ(task_cgroup_node(task), name);
	long len = bpf_probe_read_kernel_str(&s->data[offset & EXEC_OFFSET_MASK], CGROUP_NAME_MAX, name);

	if (len <= 0) {
		s->record.flags |= EXEC_CGROUP_NAME_UNREADABLE;
		return 0;
	}
	return (len - 1) & (CGROUP_NAME_MAX - 1);
}

/*
 * The loop bodies are global functions: the verifier checks each once, on its own, instead of once per
 * iteration (inlined, the two loops exceed its million instructions). Their state lives in the scratch for
 * that reason.
 */

/* One component of the working directory. Returns 1 to go on, 0 at the root, -1 if a name cannot be read. */
__noinline int exec_cwd_step(__u32 offset)
{
	__u32 zero = 0;
	struct exec_scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	struct dentry *dentry, *parent;
	struct vfsmount *mnt;
	long len;

	if (!s)
		return -1;
	dentry = s->walk.dentry;
	mnt = s->walk.mnt;
	if (dentry == s->walk.root_dentry && mnt == s->walk.root_mnt)
		return 0;
	parent = BPF_CORE_READ(dentry, d_parent);
	if (dentry == parent || dentry == BPF_CORE_READ(mnt, mnt_root)) {
		struct mount *child = mount_of(mnt);
		struct mount *above = BPF_CORE_READ(child, mnt_parent);

		if (above == child || !above)
			return 0;
		s->walk.dentry = BPF_CORE_READ(child, mnt_mountpoint);
		s->walk.mnt = (void *)above + bpf_core_field_offset(struct mount, mnt);
		return 1;
	}
	if (s->walk.written > CWD_BYTES_MAX)
		return -1;
	len = bpf_probe_read_kernel_str(&s->data[(offset + s->walk.written) & EXEC_OFFSET_MASK], 256,
					BPF_CORE_READ(dentry, d_name.name));
	if (len <= 0)
		return -1;
	s->walk.written += len;
	s->walk.dentry = parent;
	return 1;
}

/* Bytes written. */
static __always_inline __u32 exec_read_cwd(struct exec_scratch *s, __u32 offset, struct task_struct *task)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	int more = 1;

	s->walk.dentry = BPF_CORE_READ(fs, pwd.dentry);
	s->walk.mnt = BPF_CORE_READ(fs, pwd.mnt);
	s->walk.root_dentry = BPF_CORE_READ(fs, root.dentry);
	s->walk.root_mnt = BPF_CORE_READ(fs, root.mnt);
	s->walk.written = 0;
	if (!s->walk.dentry) {
		s->record.flags |= EXEC_CWD_UNREADABLE;
		return 0;
	}
	if (dentry_unlinked(s->walk.dentry))
		s->record.flags |= EXEC_CWD_UNLINKED;
	for (int i = 0; i < CWD_COMPONENTS_MAX && more > 0; i++)
		more = exec_cwd_step(offset);
	if (more)
		s->record.flags |= EXEC_CWD_INCOMPLETE;
	return s->walk.written;
}

/* Sends one piece of the arguments ahead of the exec record. Returns 1 to go on, 0 at the end or on failure.
 */
__noinline int exec_send_chunk(__u32 offset)
{
	__u32 zero = 0, len;
	struct exec_scratch *s = bpf_map_lookup_elem(&scratch, &zero);
	struct data_record *chunk;

	if (!s || offset >= s->record.args_total_len)
		return 0;
	LEDGER_COUNT(HOOK_DATA, entered);
	chunk = bpf_ringbuf_reserve(&events, sizeof(*chunk), 0);
	if (!chunk) {
		ledger_reserve_failed(HOOK_DATA);
		s->record.flags |= EXEC_ARGS_TRUNCATED;
		return 0;
	}
	header_fill(&chunk->header, RECORD_DATA, sizeof(*chunk));
	chunk->key = s->record.task.key;
	chunk->offset = offset;
	len = s->record.args_total_len - offset;
	if (len > DATA_CHUNK)
		len = DATA_CHUNK;
	if (bpf_probe_read_user(chunk->bytes, len, (void *)s->args_start + offset)) {
		s->record.flags |= EXEC_ARGS_UNREADABLE;
		len = 0;
	}
	chunk->len = len;
	bpf_ringbuf_submit(chunk, 0);
	LEDGER_COUNT(HOOK_DATA, submitted);
	s->record.args_data_len += len;
	return len != 0;
}

/* Bytes written inline. */
static __always_inline __u32 exec_read_args(struct exec_scratch *s, __u32 offset, struct task_struct *task)
{
	unsigned long start = BPF_CORE_READ(task, mm, arg_start);
	unsigned long end = BPF_CORE_READ(task, mm, arg_end);
	__u32 total = end > start ? end - start : 0;

	s->record.args_total_len = total;
	if (total > ARGS_INLINE_MAX) {
		s->args_start = start;
		for (int i = 0; i < DATA_CHUNKS_MAX; i++) {
			if (!exec_send_chunk(i * DATA_CHUNK))
				break;
		}
		return 0;
	}
	if (!total)
		return 0;
	if (bpf_probe_read_user(&s->data[offset & EXEC_OFFSET_MASK], total, (void *)start)) {
		s->record.flags |= EXEC_ARGS_UNREADABLE;
		return 0;
	}
	return total;
}

static __always_inline int exec_record(const char *filename, __u32 old_tid)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 zero = 0, used = 0;
	struct exec_scratch *s = bpf_map_lookup_elem(&scratch, &zero);

	LEDGER_COUNT(HOOK_EXEC, entered);
	if (!s) /* cannot happen: the key is constant and within the array */
		return 0;

	s->record.flags = 0;
	s->record.args_data_len = 0;
	s->record.reserved = 0;
	s->record.old_tid = old_tid;
	s->record.mono_ns = bpf_ktime_get_ns();
	read_task(&s->record.task, task);
	identity_note_start(&s->record.task.identity, s->record.task.key.tgid);
	s->record.transitions = creds_take_transitions(s->record.task.key.tgid);

	used = exec_read_filename(s, filename);
	s->record.filename_len = used;
	s->record.cgroup_name_len = exec_read_cgroup_name(s, used, task);
	used += s->record.cgroup_name_len;
	s->record.cwd_len = exec_read_cwd(s, used, task);
	used += s->record.cwd_len;
	s->record.args_inline_len = exec_read_args(s, used, task);
	used += s->record.args_inline_len;

	used += sizeof(s->record);
	if (used > sizeof(s->record) + sizeof(s->data))
		used = sizeof(s->record) + sizeof(s->data);
	header_fill(&s->record.header, RECORD_EXEC, used);
	if (bpf_ringbuf_output(&lifecycle, s, used, 0))
		ledger_reserve_failed(HOOK_EXEC);
	else
		LEDGER_COUNT(HOOK_EXEC, submitted);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int exec_btf(__u64 *ctx)
{
	/* struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm */
	struct linux_binprm *bprm = (void *)ctx[2];

	return exec_record(BPF_CORE_READ(bprm, filename), (__u32)ctx[1]);
}

SEC("tracepoint/sched/sched_process_exec")
int exec_classic(struct trace_event_raw_sched_process_exec *ctx)
{
	return exec_record((void *)ctx + (ctx->__data_loc_filename & 0xffff), ctx->old_pid);
}

#endif
