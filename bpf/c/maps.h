/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * name        key            value                written by      read by
 * events      -              data_record          exec            agent
 * lifecycle   -              exec, fork, exit     exec fork exit  agent
 * ledger      enum hook      hook_counters        every hook      agent
 * lost        0              records lost         every hook      every hook
 * scratch     0              exec_scratch         exec            exec
 * transitions tgid           exec_transitions     creds           exec
 * cgroups     cgroup id      identity             agent, mkdir    every hook
 * announced   leaf name      identity             agent           mkdir
 * containers  container      container_state      agent, exec     every hook
 *
 * User space sets the sizes of the rings before it loads the object.
 */
#ifndef TETRAGON_MAPS_H
#define TETRAGON_MAPS_H

#include "kernel.h"
#include "records.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 * 1024 * 1024);
} events SEC(".maps");

/* Apart from the big records, so that one exec's arguments cannot crowd out life and death. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} lifecycle SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOKS);
	__type(key, __u32); /* enum hook */
	__type(value, struct hook_counters);
} ledger SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/*
 * Whose a cgroup is. Only cgroups of containers have an entry. None of the three is preallocated, but in the
 * object for kernels before 6.1: there, kprobes and classic tracepoints, which policies use, must not read
 * other hashes.
 */
#ifdef PREALLOCATE
#define GROWING	       0
#define CGROUPS_MAX    8192
#define CONTAINERS_MAX 4096
#else
#define GROWING	       BPF_F_NO_PREALLOC
#define CGROUPS_MAX    32768
#define CONTAINERS_MAX 32768
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, GROWING);
	__uint(max_entries, CGROUPS_MAX);
	__type(key, __u64); /* cgroup id */
	__type(value, struct identity);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct announced_name);
	__type(value, struct identity);
} announced SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, GROWING);
	__uint(max_entries, CONTAINERS_MAX);
	__type(key, __u64); /* identity.container */
	__type(value, struct container_state);
} containers SEC(".maps");

#endif
