/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a process was when its program began: its path, namespaces and capabilities, and whose descendant it
 * is. Noted at exec; of a process that runs already, at the first call that asks. Later changes do not
 * matter: a program cannot get out of a policy by renaming itself.
 */
#ifndef TETRAGON_POLICY_FACTS_H
#define TETRAGON_POLICY_FACTS_H

#include "../task.h"
#include "path.h"
#include "text.h"

/* Adds the bit of a follower whose programs include the one in the scratch. */
__noinline int follow_step(__u32 place, __u32 bit)
{
	struct text_scratch *t = text_get(place);
	struct follower *follower;

	bit &= FOLLOWERS_MAX - 1;
	follower = bpf_map_lookup_elem(&followers, &bit);
	if (!t || !follower || !follower->active)
		return 0;
	if (text_equal(place, *(__u64 *)&follower->slots[0], *(__u64 *)&follower->slots[4]))
		t->facts.followed |= 1ULL << bit;
	return 0;
}

/* Puts the path of the facts in place as the text to be compared. */
static __always_inline void facts_text(struct text_scratch *t, struct process_facts *f)
{
	text_set(t, f->path, f->path_len & (2 * FACTS_PATH - 1));
}

/* One of the sets of a process; enum capability_flags. */
static __always_inline __u64 capabilities_of(const struct cred *cred, __u32 set)
{
	__u64 caps = 0;
	__u32 at;

	if (set == CAPABILITY_EFFECTIVE)
		at = bpf_core_field_offset(struct cred, cap_effective);
	else if (set == CAPABILITY_INHERITABLE)
		at = bpf_core_field_offset(struct cred, cap_inheritable);
	else
		at = bpf_core_field_offset(struct cred, cap_permitted);
	bpf_probe_read_kernel(&caps, sizeof(caps), (void *)cred + at);
	return caps;
}

static __always_inline void facts_read_changing(struct process_facts *f, struct task_struct *task)
{
	const struct cred *cred = BPF_CORE_READ(task, cred);

	read_namespaces(&f->ns, task);
	read_nspid(task, &f->ns.pid);
	f->ns.user = BPF_CORE_READ(cred, user_ns, ns.inum);
	f->permitted = capabilities_of(cred, CAPABILITY_PERMITTED);
	f->effective = capabilities_of(cred, CAPABILITY_EFFECTIVE);
	f->inheritable = capabilities_of(cred, CAPABILITY_INHERITABLE);
}

static __always_inline void facts_read_path(__u32 place, struct text_scratch *t, struct task_struct *task)
{
	struct process_facts *f = &t->facts;
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	__u32 len, at;

	f->path_len = 0;
	f->path_known = 0;
	f->path_whole_len = 0;
	if (!exe || path_walk(place, t, (void *)exe + bpf_core_field_offset(struct file, f_path)) &
			    CAPTURED_UNREADABLE)
		return;
	at = t->walk.at & TEXT_MASK;
	len = TEXT_MASK - at;
	f->path_known = 1;
	f->path_whole_len = len;
	if (len <= FACTS_PATH) {
		bpf_probe_read_kernel(f->path, len, &t->path[at]);
		f->path_len = len;
		return;
	}
	bpf_probe_read_kernel(f->path, FACTS_PATH_HEAD, &t->path[at]);
	bpf_probe_read_kernel(&f->path[FACTS_PATH_HEAD], FACTS_PATH_TAIL,
			      &t->path[TEXT_MASK - FACTS_PATH_TAIL]);
	f->path_len = FACTS_PATH;
}

/* Makes the facts of the current process anew, for what it runs now. Returns 0. */
__noinline int facts_make(__u32 place, __u32 at_exec)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct text_scratch *t = text_get(place);
	struct policy_scratch *s = scratch_get(place);
	struct process_facts *f, *before;
	__u32 tgid = BPF_CORE_READ(task, tgid), parent;

	if (!t || !s)
		return 0;
	f = &t->facts;
	f->start_boot_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	f->exec_id = (__u32)BPF_CORE_READ(task, self_exec_id);
	facts_read_path(place, t, task);
	facts_read_changing(f, task);
	f->followed = 0;
	/* What it ran before the exec, else what its parent runs. */
	before = bpf_map_lookup_elem(&facts, &tgid);
	if (!before || (before->start_boot_ns && before->start_boot_ns != f->start_boot_ns)) {
		parent = BPF_CORE_READ(task, real_parent, tgid);
		before = bpf_map_lookup_elem(&facts, &parent);
		/* A child of an image remembers what that was when it began. */
		if (before && !at_exec && before->exec_id == f->exec_id) {
			f->ns = before->ns;
			f->permitted = before->permitted;
			f->effective = before->effective;
			f->inheritable = before->inheritable;
		}
	}
	if (before)
		f->followed = before->followed;
	facts_text(t, f);
	s->text = TEXT_OF_PROGRAM;
	for (__u32 i = 0; i < FOLLOWERS_MAX; i++)
		follow_step(place, i);
	bpf_map_update_elem(&facts, &tgid, f, BPF_ANY);
	return 0;
}

/* The facts of the current process are in the scratch afterwards. */
static __always_inline int facts_load(__u32 place)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct text_scratch *t = text_get(place);
	struct process_facts *known;
	__u32 tgid = BPF_CORE_READ(task, tgid);

	if (!t)
		return -1;
	known = bpf_map_lookup_elem(&facts, &tgid);
	if (known && known->start_boot_ns == BPF_CORE_READ(task, group_leader, start_boottime) &&
	    known->exec_id == (__u32)BPF_CORE_READ(task, self_exec_id)) {
		bpf_probe_read_kernel(&t->facts, sizeof(t->facts), known);
		return 0;
	}
	facts_make(place, 0);
	return 0;
}

/* A change has been reported: from now on, it is what was. */
__noinline int facts_renew(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct process_facts *known = bpf_map_lookup_elem(&facts, &tgid);

	if (known)
		facts_read_changing(known, task);
	return 0;
}

#endif
