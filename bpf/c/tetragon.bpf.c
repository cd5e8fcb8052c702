// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The one object for every kernel. User space loads those of its programs that the running kernel can carry.
 */
#include "kernel.h"

#include <asm/ptrace.h>
#include <bpf/bpf_tracing.h>

#include "base/cgroup.h"
#include "base/exec.h"
#include "base/life.h"
#include "base/scan.h"

/* Only here so that these types are in the object's BTF, where a test compares them with Rust. */
volatile const struct {
	struct fork_record fork[0];
	struct exit_record exit[0];
	struct data_record data[0];
	struct scan_record scan[0];
	struct cgroup_record cgroup[0];
	enum hook hook;
} record_types = {};

char LICENSE[] SEC("license") = "Dual BSD/GPL";
