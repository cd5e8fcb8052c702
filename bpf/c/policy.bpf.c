// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What policies need, apart from the base sensor: loaded with the first policy. */
#include "kernel.h"

#include <asm/ptrace.h>
#include <bpf/bpf_tracing.h>

#include "policy/plan.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
