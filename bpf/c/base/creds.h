/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What an exec does to credentials can be seen only while old and new ones both exist: just before they are
 * committed. The result is nearly always "nothing", so it is kept for the exec hook only when it is not.
 *
 * Two ways to the same moment: a kprobe where the kernel has them, else the sched_prepare_exec tracepoint
 * (6.10+).
 */
#ifndef TETRAGON_BASE_CREDS_H
#define TETRAGON_BASE_CREDS_H

#include "../ledger.h"
#include "../task.h"

/*
 * An entry lives from commit to the exec hook, that is, for microseconds, unless the exec fails in between:
 * the kernel kills that process, and what it leaves is pushed out here by age. By process, not by thread:
 * only one thread can exec at a time, and by the time of one of the hooks it has taken over the leader's id.
 * Preallocated, as 5.10 demands in kprobes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, __u32); /* tgid */
	__type(value, __u32);
} transitions SEC(".maps");

static __always_inline int creds_note(struct linux_binprm *bprm)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct credentials before, after;
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 found = 0;

	LEDGER_COUNT(HOOK_CREDS, entered);
	read_credentials(&before, BPF_CORE_READ(task, cred));
	read_credentials(&after, BPF_CORE_READ(bprm, cred));
	if (after.euid != before.euid) {
		found |= TRANSITION_EUID;
		if (!after.euid)
			found |= TRANSITION_ROOT_UID;
	}
	if (after.egid != before.egid) {
		found |= TRANSITION_EGID;
		if (!after.egid)
			found |= TRANSITION_ROOT_GID;
	}
	if (after.euid == before.euid && (after.permitted & ~before.permitted) && !after.ambient)
		found |= TRANSITION_FILE_CAPS;

	if (found && bpf_map_update_elem(&transitions, &tgid, &found, BPF_ANY)) {
		/* Not a record, so it leaves no gap in the stream. */
		LEDGER_COUNT(HOOK_CREDS, reserve_failed);
		return 0;
	}
	if (!found) /* nor may an earlier, failed exec of a process with this id speak for this one */
		bpf_map_delete_elem(&transitions, &tgid);
	LEDGER_COUNT(HOOK_CREDS, suppressed);
	return 0;
}

static __always_inline __u32 creds_take_transitions(__u32 tgid)
{
	__u32 *found = bpf_map_lookup_elem(&transitions, &tgid), value;

	if (!found)
		return 0;
	value = *found;
	bpf_map_delete_elem(&transitions, &tgid);
	return value;
}

/* void security_bprm_committing_creds(const struct linux_binprm *bprm) */
SEC("kprobe/security_bprm_committing_creds")
int creds_kprobe(struct pt_regs *ctx)
{
	return creds_note((void *)PT_REGS_PARM1(ctx));
}

/* struct task_struct *task, struct linux_binprm *bprm */
SEC("tp_btf/sched_prepare_exec")
int creds_btf(__u64 *ctx)
{
	return creds_note((void *)ctx[1]);
}

#endif
