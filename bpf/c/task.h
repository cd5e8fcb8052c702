/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reads what a record says about a task. Pointers may come from any hook, so every access is a checked read.
 */
#ifndef TETRAGON_TASK_H
#define TETRAGON_TASK_H

#include "identity.h"
#include "kernel.h"
#include "records.h"

/* All threads of a process have the same exec id: they descend from the thread that did the exec. */
static __always_inline void read_key(struct process_key *key, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	key->start_boot_ns = BPF_CORE_READ(leader, start_boottime);
	key->tgid = BPF_CORE_READ(task, tgid);
	key->exec_id = (__u32)BPF_CORE_READ(task, self_exec_id);
}

static __always_inline void read_parent_key(struct process_key *key, struct task_struct *task)
{
	read_key(key, BPF_CORE_READ(task, group_leader, real_parent));
}

static __always_inline __u32 read_nspid(struct task_struct *task, __u32 *pid_ns)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	struct upid upid = {};
	/* The array grows with the nesting of pid namespaces, hence no plain member access. */
	void *number = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
		       level * bpf_core_type_size(struct upid);

	bpf_probe_read_kernel(&upid.nr, sizeof(upid.nr), number + bpf_core_field_offset(struct upid, nr));
	bpf_probe_read_kernel(&upid.ns, sizeof(upid.ns), number + bpf_core_field_offset(struct upid, ns));
	if (pid_ns)
		*pid_ns = BPF_CORE_READ(upid.ns, ns.inum);
	return level ? upid.nr : 0;
}

static __always_inline void read_credentials(struct credentials *out, const struct cred *cred)
{
	out->uid = BPF_CORE_READ(cred, uid.val);
	out->gid = BPF_CORE_READ(cred, gid.val);
	out->euid = BPF_CORE_READ(cred, euid.val);
	out->egid = BPF_CORE_READ(cred, egid.val);
	out->suid = BPF_CORE_READ(cred, suid.val);
	out->sgid = BPF_CORE_READ(cred, sgid.val);
	out->fsuid = BPF_CORE_READ(cred, fsuid.val);
	out->fsgid = BPF_CORE_READ(cred, fsgid.val);
	out->securebits = BPF_CORE_READ(cred, securebits);
	out->user_ns = BPF_CORE_READ(cred, user_ns, ns.inum);
	bpf_probe_read_kernel(&out->permitted, 8,
			      (void *)cred + bpf_core_field_offset(struct cred, cap_permitted));
	bpf_probe_read_kernel(&out->effective, 8,
			      (void *)cred + bpf_core_field_offset(struct cred, cap_effective));
	bpf_probe_read_kernel(&out->inheritable, 8,
			      (void *)cred + bpf_core_field_offset(struct cred, cap_inheritable));
	bpf_probe_read_kernel(&out->ambient, 8,
			      (void *)cred + bpf_core_field_offset(struct cred, cap_ambient));
}

static __always_inline void read_namespaces(struct namespaces *out, struct task_struct *task)
{
	struct nsproxy *proxy = BPF_CORE_READ(task, nsproxy);

	out->uts = BPF_CORE_READ(proxy, uts_ns, ns.inum);
	out->ipc = BPF_CORE_READ(proxy, ipc_ns, ns.inum);
	out->mnt = BPF_CORE_READ(proxy, mnt_ns, ns.inum);
	out->pid_for_children = BPF_CORE_READ(proxy, pid_ns_for_children, ns.inum);
	out->net = BPF_CORE_READ(proxy, net_ns, ns.inum);
	out->time = BPF_CORE_READ(proxy, time_ns, ns.inum);
	out->time_for_children = BPF_CORE_READ(proxy, time_ns_for_children, ns.inum);
	out->cgroup = BPF_CORE_READ(proxy, cgroup_ns, ns.inum);
}

static __always_inline struct kernfs_node *task_cgroup_node(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
}

static __always_inline __u32 read_task_flags(struct task_struct *task)
{
	__u32 pf = BPF_CORE_READ(task, flags);
	__u32 flags = 0;

	if (pf & PF_KTHREAD)
		flags |= TASK_KTHREAD;
	if (pf & PF_EXITING)
		flags |= TASK_EXITING;
	return flags;
}

static __always_inline void read_task(struct task_info *out, struct task_struct *task)
{
	struct kernfs_node *node = task_cgroup_node(task);
	struct inode *inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	const struct cred *cred = BPF_CORE_READ(task, cred);

	read_key(&out->key, task);
	read_parent_key(&out->parent, task);
	out->tid = BPF_CORE_READ(task, pid);
	out->nspid = read_nspid(task, &out->ns.pid);
	out->auid = ~0U;
	if (bpf_core_field_exists(task->loginuid))
		out->auid = BPF_CORE_READ(task, loginuid.val);
	out->flags = read_task_flags(task);
	out->cgroup_id = BPF_CORE_READ(node, id);
	if (!node)
		out->flags |= TASK_NO_CGROUP;
	else if (!out->cgroup_id)
		out->flags |= TASK_NO_CGROUP_ID;
	read_identity(&out->identity, out->cgroup_id);
	out->exe_inode = BPF_CORE_READ(inode, i_ino);
	out->exe_links = BPF_CORE_READ(inode, i_nlink);
	out->reserved = 0;
	read_credentials(&out->cred, cred);
	read_namespaces(&out->ns, task);
	out->ns.user = out->cred.user_ns;
	BPF_CORE_READ_INTO(&out->comm, task, comm);
}

#endif
