/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The working directory by name. bpf_d_path() is not for tracepoints, so we walk from the directory's dentry
 * up to the task's root, across mounts, and write each name behind the last: leaf first. User space turns it
 * round. Nothing is locked; a rename at this very moment can mix old and new names.
 */
#ifndef TETRAGON_PATH_H
#define TETRAGON_PATH_H

#include "kernel.h"
#include "records.h"

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

static __always_inline bool dentry_unlinked(struct dentry *dentry)
{
	return !BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry;
}

#endif
