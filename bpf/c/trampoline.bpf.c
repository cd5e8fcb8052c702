// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The matcher for LSM hooks, and for functions by fentry and fexit: loaded once for each of them. */
#include "kernel.h"

#include "policy/trampoline.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
