/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * name        key            value                written by      read by
 * events      -              data_record          exec            agent
 * lifecycle   -              exec, fork, exit     exec fork exit  agent
 * ledger      enum hook      hook_counters        every hook      agent
 * lost        0              records lost         every hook      every hook
 * scratch     0              exec_scratch         exec            exec
 * transitions tgid           exec_transitions     creds           exec
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

#endif
