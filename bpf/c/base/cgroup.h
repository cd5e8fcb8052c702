/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Cgroups of the v2 hierarchy as they come and go. A new one gets its identity here, before a task can be in
 * it.
 *
 * The kernel calls both tracepoints with a spin lock held, so that the programs are never skipped.
 */
#ifndef TETRAGON_BASE_CGROUP_H
#define TETRAGON_BASE_CGROUP_H

#include "../identity.h"
#include "../ledger.h"

#define CONTAINER_ID_LEN 64

static __always_inline bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/*
 * Whether a name ends in a container id, with or without ".scope". The monitors of CRI-O and podman carry the
 * id as well, but are no part of the container.
 */
static __always_inline bool is_container_name(const char *name, long len)
{
	char id[CONTAINER_ID_LEN], scope[6], monitor[7];

	if (len < CONTAINER_ID_LEN)
		return false;
	if (len >= CONTAINER_ID_LEN + 6 && !bpf_probe_read_kernel(scope, sizeof(scope), name + len - 6) &&
	    scope[0] == '.' && scope[1] == 's' && scope[2] == 'c' && scope[3] == 'o' && scope[4] == 'p' &&
	    scope[5] == 'e')
		len -= 6;
	if (bpf_probe_read_kernel(id, sizeof(id), name + len - CONTAINER_ID_LEN))
		return false;
#pragma unroll
	for (int i = 0; i < CONTAINER_ID_LEN; i++) {
		if (!is_hex(id[i]))
			return false;
	}
	len -= CONTAINER_ID_LEN;
	return len < 7 || bpf_probe_read_kernel(monitor, sizeof(monitor), name + len - 7) ||
	       monitor[0] != 'c' || monitor[1] != 'o' || monitor[2] != 'n' || monitor[3] != 'm' ||
	       monitor[4] != 'o' || monitor[5] != 'n' || monitor[6] != '-';
}

/* What a new cgroup is: part of a container, an announced container, or something named like one. */
static __always_inline void identify_new(struct identity *out, __u64 parent_id, const char *name)
{
	struct identity *parent = bpf_map_lookup_elem(&cgroups, &parent_id), *known = NULL;
	struct announced_name key = {};
	long len;

	__builtin_memset(out, 0, sizeof(*out));
	len = bpf_probe_read_kernel_str(key.name, sizeof(key.name), name) - 1;
	/* A container cannot pass for another one by a name; but nobody may have told of the one that is a
	 * node. */
	if (len > 0 && (!parent || !parent->container))
		known = bpf_map_lookup_elem(&announced, &key);
	if (known) {
		*out = *known;
		out->flags |= IDENTITY_BOUND;
	} else if (parent) {
		*out = *parent;
		out->flags &= ~IDENTITY_BOUND;
		out->flags |= IDENTITY_NESTED;
	} else if (len > 0 && is_container_name(name, len)) {
		out->flags = IDENTITY_PATH;
		out->class = CLASS_UNIDENTIFIED;
	}
}

static __always_inline void cgroup_record(struct cgroup *cgroup, const char *path, enum cgroup_action action,
					  enum hook hook, struct identity *identity, __u64 parent_id)
{
	struct cgroup_record *record = bpf_ringbuf_reserve(&lifecycle, sizeof(*record), 0);
	long len;

	if (!record) {
		ledger_reserve_failed(hook);
		return;
	}
	header_fill(&record->header, RECORD_CGROUP, sizeof(*record));
	record->cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	record->parent_id = parent_id;
	record->identity = *identity;
	record->action = action;
	len = bpf_probe_read_kernel_str(record->path, sizeof(record->path), path);
	record->path_len = len > 0 ? len - 1 : 0;
	bpf_ringbuf_submit(record, 0);
	LEDGER_COUNT(hook, submitted);
}

/* struct cgroup *cgroup, const char *path */
SEC("tp_btf/cgroup_mkdir")
int cgroup_mkdir(__u64 *ctx)
{
	struct cgroup *cgroup = (void *)ctx[0];
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	__u64 parent = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id);
	struct identity identity;

	LEDGER_COUNT(HOOK_CGROUP_MKDIR, entered);
	/* The v2 hierarchy has this number. */
	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0) {
		LEDGER_COUNT(HOOK_CGROUP_MKDIR, suppressed);
		return 0;
	}
	identify_new(&identity, parent, BPF_CORE_READ(cgroup, kn, name));
	if (identity.flags && bpf_map_update_elem(&cgroups, &id, &identity, BPF_ANY))
		identity.flags |= IDENTITY_LOST;
	cgroup_record(cgroup, (void *)ctx[1], CGROUP_MADE, HOOK_CGROUP_MKDIR, &identity, parent);
	return 0;
}

/* struct cgroup *cgroup, const char *path */
SEC("tp_btf/cgroup_rmdir")
int cgroup_rmdir(__u64 *ctx)
{
	struct cgroup *cgroup = (void *)ctx[0];
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct identity identity = {}, *known;

	LEDGER_COUNT(HOOK_CGROUP_RMDIR, entered);
	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0) {
		LEDGER_COUNT(HOOK_CGROUP_RMDIR, suppressed);
		return 0;
	}
	known = bpf_map_lookup_elem(&cgroups, &id);
	if (known) {
		identity = *known;
		/* No task is left in it, and ids are not used again. */
		bpf_map_delete_elem(&cgroups, &id);
	}
	cgroup_record(cgroup, (void *)ctx[1], CGROUP_REMOVED, HOOK_CGROUP_RMDIR, &identity,
		      BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id));
	return 0;
}

#endif
