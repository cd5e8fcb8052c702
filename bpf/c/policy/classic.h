/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Programs of kprobes and classic tracepoints: each is loaded once and attached to every hook of its kind. */
#ifndef TETRAGON_POLICY_CLASSIC_H
#define TETRAGON_POLICY_CLASSIC_H

#include "hooks.h"

/* Which hook a function is, for kernels without attach cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64); /* address */
	__type(value, __u32);
} hooks_by_address SEC(".maps");

/* Which hook a numbered program is attached to, for kernels without attach cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} hooks_by_program SEC(".maps");

static __always_inline int at_function(struct pt_regs *ctx, __u32 hook, __u32 pending_hook)
{
	struct policy_scratch *s = scratch_get(0);

	if (!s)
		return 0;
	s->argument[0] = PT_REGS_PARM1(ctx);
	s->argument[1] = PT_REGS_PARM2(ctx);
	s->argument[2] = PT_REGS_PARM3(ctx);
	s->argument[3] = PT_REGS_PARM4(ctx);
	s->argument[4] = PT_REGS_PARM5(ctx);
	s->context = 0;
	s->stack = PT_REGS_SP(ctx);
	if (dispatch(ctx, s, hook, PT_REGS_IP(ctx)))
		remember(s, pending_hook, PT_REGS_IP(ctx));
	return 0;
}

static __always_inline int at_return(struct pt_regs *ctx, __u32 hook)
{
	__u64 stack = PT_REGS_SP(ctx);
	struct policy_scratch *s = scratch_get(0);

#if defined(__TARGET_ARCH_x86)
	/* The return address has been taken from the stack. */
	stack -= 8;
#endif
	if (s)
		returned(ctx, s, stack, hook, PT_REGS_RC(ctx));
	return 0;
}

SEC("kprobe")
int policy_kprobe(struct pt_regs *ctx)
{
	__u32 hook = bpf_get_attach_cookie(ctx);

	return at_function(ctx, hook, hook);
}

SEC("kretprobe")
int policy_kretprobe(struct pt_regs *ctx)
{
	return at_return(ctx, bpf_get_attach_cookie(ctx));
}

/* Without cookies the return does not know which function it is of; thread and stack tell. */
SEC("kprobe")
int policy_kprobe_by_address(struct pt_regs *ctx)
{
	/* One byte behind, where the breakpoint's instruction ends. */
	__u64 address = PT_REGS_IP(ctx) - 1;
	__u32 *hook = bpf_map_lookup_elem(&hooks_by_address, &address);

	return hook ? at_function(ctx, *hook, 0) : 0;
}

SEC("kretprobe")
int policy_kretprobe_by_stack(struct pt_regs *ctx)
{
	return at_return(ctx, 0);
}

static __always_inline int at_tracepoint(void *ctx, __u32 hook)
{
	struct policy_scratch *s = scratch_get(0);

	if (!s)
		return 0;
	s->context = (__u64)ctx;
	dispatch(ctx, s, hook, 0);
	return 0;
}

SEC("tracepoint")
int policy_tracepoint(void *ctx)
{
	return at_tracepoint(ctx, bpf_get_attach_cookie(ctx));
}

/* Without cookies, a program is of one tracepoint. */
#define NUMBERED_TRACEPOINT(number)                                             \
	SEC("tracepoint")                                                       \
	int policy_tracepoint_##number(void *ctx)                               \
	{                                                                       \
		__u32 program = number;                                         \
		__u32 *hook = bpf_map_lookup_elem(&hooks_by_program, &program); \
                                                                                \
		return hook ? at_tracepoint(ctx, *hook) : 0;                    \
	}

NUMBERED_TRACEPOINT(0)
NUMBERED_TRACEPOINT(1)
NUMBERED_TRACEPOINT(2)
NUMBERED_TRACEPOINT(3)
NUMBERED_TRACEPOINT(4)
NUMBERED_TRACEPOINT(5)
NUMBERED_TRACEPOINT(6)
NUMBERED_TRACEPOINT(7)

#endif
