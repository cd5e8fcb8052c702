/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whose a task is, by the cgroup that it is in. */
#ifndef TETRAGON_IDENTITY_H
#define TETRAGON_IDENTITY_H

#include "maps.h"

/* Zeroed for tasks of the host. */
static __always_inline void read_identity(struct identity *out, __u64 cgroup_id)
{
	struct identity *known = bpf_map_lookup_elem(&cgroups, &cgroup_id);
	struct container_state *state;
	__u64 container;

	__builtin_memset(out, 0, sizeof(*out));
	if (!known)
		return;
	*out = *known;
	/* Older kernels take no key from a ring buffer, where `out` may be. */
	container = known->container;
	if (!container)
		return;
	state = bpf_map_lookup_elem(&containers, &container);
	if (!state || !(state->flags & CONTAINER_STARTED))
		out->flags |= IDENTITY_SETUP;
}

/*
 * Of an exec: once the container is verified, the next exec of its first process is its own program. Until
 * then, and of other processes, it is the runtime's work, such as its helper's exec of itself or an OCI hook.
 */
static __always_inline void identity_note_start(struct identity *identity, __u32 tgid)
{
	struct container_state *state;
	__u64 container = identity->container;

	if (!(identity->flags & IDENTITY_SETUP))
		return;
	state = bpf_map_lookup_elem(&containers, &container);
	if (!state || !(state->flags & CONTAINER_VERIFIED))
		return;
	if (state->init_tgid && state->init_tgid != tgid)
		return;
	state->flags |= CONTAINER_STARTED;
	identity->flags &= ~IDENTITY_SETUP;
	identity->flags |= IDENTITY_FIRST;
}

#endif
