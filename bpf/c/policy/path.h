/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The path of a file, as the current task sees it: from the file up to the task's root, across mounts.
 * Written from its end, so that it can be compared as it is. Nothing is locked: a rename at this very moment
 * can mix names.
 */
#ifndef TETRAGON_POLICY_PATH_H
#define TETRAGON_POLICY_PATH_H

#include "../path.h"
#include "scratch.h"

/* Two pages of names of one byte; a path that can be opened by name has at most this many. */
#define PATH_COMPONENTS_MAX 512

enum path_step {
	PATH_MORE = 1,
	PATH_DONE = 0,
	PATH_CUT = -1, /* no room, or a name that cannot be read */
};

__noinline int path_step(__u32 place)
{
	struct text_scratch *t = text_get(place);
	struct dentry *dentry, *parent;
	struct vfsmount *mnt;
	const unsigned char *name;
	__u32 len, at;

	if (!t)
		return PATH_CUT;
	dentry = t->walk.dentry;
	mnt = t->walk.mnt;
	if (dentry == t->walk.root_dentry && mnt == t->walk.root_mnt)
		return PATH_DONE;
	parent = BPF_CORE_READ(dentry, d_parent);
	if (dentry == parent || dentry == BPF_CORE_READ(mnt, mnt_root)) {
		struct mount *child = mount_of(mnt);
		struct mount *above = BPF_CORE_READ(child, mnt_parent);

		if (above == child || !above)
			return PATH_DONE;
		t->walk.dentry = BPF_CORE_READ(child, mnt_mountpoint);
		t->walk.mnt = (void *)above + bpf_core_field_offset(struct mount, mnt);
		return PATH_MORE;
	}
	len = BPF_CORE_READ(dentry, d_name.len) & 0xff;
	name = BPF_CORE_READ(dentry, d_name.name);
	at = t->walk.at;
	if (at < len + 1)
		return PATH_CUT;
	at -= len;
	if (bpf_probe_read_kernel(&t->path[at & TEXT_MASK], len, name))
		return PATH_CUT;
	at--;
	t->path[at & TEXT_MASK] = '/';
	t->walk.at = at;
	t->walk.dentry = parent;
	return PATH_MORE;
}

/*
 * Walks from where t->walk stands. The path is then t->path[t->walk.at] up to TEXT_MASK. Returns enum
 * captured_flags.
 */
static __always_inline __u32 path_walk(__u32 place, struct text_scratch *t, struct path *path)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	__u32 flags = 0;
	int more = PATH_MORE;

	t->walk.dentry = BPF_CORE_READ(path, dentry);
	t->walk.mnt = BPF_CORE_READ(path, mnt);
	t->walk.root_dentry = BPF_CORE_READ(fs, root.dentry);
	t->walk.root_mnt = BPF_CORE_READ(fs, root.mnt);
	t->walk.at = TEXT_MASK;
	if (!t->walk.dentry)
		return CAPTURED_UNREADABLE;
	if (dentry_unlinked(t->walk.dentry))
		flags |= CAPTURED_UNLINKED;
	if (t->walk.dentry == t->walk.root_dentry && t->walk.mnt == t->walk.root_mnt) {
		t->walk.at = TEXT_MASK - 1;
		t->path[TEXT_MASK - 1] = '/';
		return flags;
	}
	for (int i = 0; i < PATH_COMPONENTS_MAX && more == PATH_MORE; i++)
		more = path_step(place);
	if (more != PATH_DONE)
		flags |= CAPTURED_INCOMPLETE;
	return flags;
}

#endif
