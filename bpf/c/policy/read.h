/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reads an argument, at most once, and only when a filter or the event asks for it. */
#ifndef TETRAGON_POLICY_READ_H
#define TETRAGON_POLICY_READ_H

#include "net.h"
#include "path.h"

#include "../task.h"

/* The most bytes of a buffer, as the contract has it. */
#define BUFFER_MAX  4095
#define IOVECS_MAX  7
#define MODULE_NAME 56

/* Whether an address is the kernel's. Policies say only that something is a text, not whose. */
static __always_inline bool is_kernel_address(__u64 address)
{
	return (__s64)address < 0;
}

static __always_inline long read_bytes(void *to, __u32 len, __u64 address)
{
	if (is_kernel_address(address))
		return bpf_probe_read_kernel(to, len, (void *)address);
	return bpf_probe_read_user(to, len, (void *)address);
}

/* Byte offsets of the arguments of a system call in the registers that the caller left. */
static __always_inline __u32 syscall_register(__u32 index, bool compat)
{
#if defined(__TARGET_ARCH_x86)
	/* asm/ptrace.h: r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di */
	if (compat) {
		switch (index) {
		case 0:
			return 5 * 8; /* bx */
		case 1:
			return 11 * 8; /* cx */
		case 2:
			return 12 * 8; /* dx */
		case 3:
			return 13 * 8; /* si */
		case 4:
			return 14 * 8; /* di */
		default:
			return 4 * 8; /* bp */
		}
	}
	switch (index) {
	case 0:
		return 14 * 8;
	case 1:
		return 13 * 8;
	case 2:
		return 12 * 8;
	case 3:
		return 7 * 8; /* r10 */
	case 4:
		return 9 * 8; /* r8 */
	default:
		return 8 * 8; /* r9 */
	}
#else
	return index * 8; /* x0 to x5 */
#endif
}

/* Reads where a value is. Returns 0, or -1 where nothing can be read. */
static __always_inline int source_value(struct policy_scratch *s, struct plan_source *from, __u64 *out)
{
	__u32 index = from->index;
	__u64 value = 0;
	__u32 small = 0;
	long error = 0;

	switch (from->kind) {
	case SOURCE_ARGUMENT:
		value = s->argument[index & 7];
		break;
	case SOURCE_SYSCALL:
		error = bpf_probe_read_kernel(&value, 8,
					      (void *)s->argument[0] + syscall_register(index, from->offset));
		if (from->offset)
			value = (__u32)value;
		break;
	case SOURCE_FIELD:
		if (index == 8) {
			error = bpf_probe_read_kernel(&value, 8, (void *)s->context + from->offset);
		} else {
			__u32 size = index == 1 ? 1 : index == 2 ? 2 : 4;

			error = bpf_probe_read_kernel(&small, size, (void *)s->context + from->offset);
			value = small;
		}
		break;
	case SOURCE_RETURN:
		value = s->returned;
		break;
	default:
		return -1;
	}
	*out = value;
	return error ? -1 : 0;
}

/* Room for `len` more bytes at s->used, which then moves on. */
static __always_inline void data_take(struct policy_scratch *s, struct captured *c, __u32 len)
{
	c->offset = s->used;
	c->len = len;
	s->used += (len + 7) & ~7U;
}

static __always_inline void *data_at(struct policy_scratch *s)
{
	return &s->data[s->used & DATA_OFFSET_MASK];
}

static __always_inline bool data_full(struct policy_scratch *s, struct captured *c)
{
	if (s->used <= DATA_OFFSET_MASK)
		return false;
	c->flags |= CAPTURED_TRUNCATED;
	c->offset = 0;
	c->len = 0;
	return true;
}

static __always_inline void read_text(struct policy_scratch *s, struct captured *c, __u64 address)
{
	void *to = data_at(s);
	long len;

	if (is_kernel_address(address))
		len = bpf_probe_read_kernel_str(to, ARG_BYTES_MAX, (void *)address);
	else
		len = bpf_probe_read_user_str(to, ARG_BYTES_MAX, (void *)address);
	if (len <= 0) {
		c->flags |= CAPTURED_UNREADABLE;
		return;
	}
	if (len == ARG_BYTES_MAX)
		c->flags |= CAPTURED_TRUNCATED;
	data_take(s, c, (len - 1) & (ARG_BYTES_MAX - 1));
	c->value = c->len;
}

static __always_inline void read_buffer(struct policy_scratch *s, struct captured *c, __u64 address,
					__s64 size)
{
	__u32 len;

	c->value = size > 0 ? size : 0;
	if (size <= 0)
		return;
	len = size > BUFFER_MAX ? BUFFER_MAX : size;
	if (size > BUFFER_MAX)
		c->flags |= CAPTURED_TRUNCATED;
	if (read_bytes(data_at(s), len & BUFFER_MAX, address)) {
		c->flags |= CAPTURED_UNREADABLE;
		return;
	}
	data_take(s, c, len);
}

/* One more entry of an array of struct iovec. Returns 1 to go on. */
__noinline int read_iovec(__u32 place, __u64 address, __u32 index)
{
	struct policy_scratch *s = scratch_get(place);
	struct captured *c;
	struct iovec entry = {};
	__u32 len;

	if (!s || index > PLAN_READERS)
		return 0;
	CHECKED(index);
	c = &s->record.arg[index];
	if (read_bytes(&entry, sizeof(entry), address)) {
		c->flags |= CAPTURED_UNREADABLE;
		return 0;
	}
	c->value += entry.iov_len;
	len = entry.iov_len > BUFFER_MAX - 1 ? BUFFER_MAX - 1 : entry.iov_len;
	/* All of them together fill one place. */
	if (c->len + len > BUFFER_MAX)
		len = BUFFER_MAX - c->len;
	if (len < entry.iov_len)
		c->flags |= CAPTURED_TRUNCATED;
	if (c->offset > DATA_OFFSET_MASK - BUFFER_MAX)
		return 0;
	if (len && read_bytes(&s->data[(c->offset + c->len) & DATA_OFFSET_MASK], len & BUFFER_MAX,
			      (__u64)entry.iov_base)) {
		c->flags |= CAPTURED_UNREADABLE;
		return 0;
	}
	c->len += len;
	return 1;
}

static __always_inline void read_iovecs(struct policy_scratch *s, struct captured *c, __u32 index,
					__u64 address, __u64 count)
{
	c->offset = s->used;
	c->len = 0;
	for (__u32 i = 0; i < IOVECS_MAX; i++) {
		if (i >= count || !read_iovec(s->place, address + i * sizeof(struct iovec), index))
			break;
	}
	if (count > IOVECS_MAX)
		c->flags |= CAPTURED_TRUNCATED;
	s->used += (c->len + 7) & ~7U;
}

/* How many bytes the call says that it filled. */
static __always_inline __s64 returned_size(struct policy_scratch *s, struct plan *plan)
{
	__u32 capture = plan->reader[PLAN_READERS].capture;

	/* The upper half of the register of an int means nothing. */
	if (capture == CAPTURE_INT || capture == CAPTURE_S32)
		return (__s32)s->returned;
	return s->returned;
}

/* What lies behind what the call filled is not of the call. */
static __always_inline void limit_to_returned(struct captured *c, __s64 size)
{
	c->value = size > 0 ? size : 0;
	if (c->value > c->len)
		return;
	c->len = c->value;
	c->flags &= ~CAPTURED_TRUNCATED;
}

/* The first segment of an iterator over user memory. */
static __always_inline void read_iov_iter(struct policy_scratch *s, struct captured *c, struct iov_iter *iter)
{
	struct iov_iter___type *typed = (void *)iter;
	struct iov_iter___iov *older = (void *)iter;
	__u64 offset = BPF_CORE_READ(iter, iov_offset);
	__u64 count = BPF_CORE_READ(iter, count);
	const struct iovec *iov;
	struct iovec entry = {};

	if (bpf_core_field_exists(iter->iter_type)) {
		__u8 kind = BPF_CORE_READ(iter, iter_type);

		if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
		    kind == bpf_core_enum_value(enum iter_type, ITER_UBUF)) {
			read_buffer(s, c, (__u64)BPF_CORE_READ(iter, ubuf) + offset, count);
			return;
		}
		if (kind != bpf_core_enum_value(enum iter_type, ITER_IOVEC))
			return;
	} else if (bpf_core_field_exists(typed->type)) {
		/* Bit 0 is the direction. */
		if ((BPF_CORE_READ(typed, type) & ~1U) != bpf_core_enum_value(enum iter_type, ITER_IOVEC))
			return;
	}
	if (bpf_core_field_exists(iter->__iov))
		iov = BPF_CORE_READ(iter, __iov);
	else
		iov = BPF_CORE_READ(older, iov);
	if (bpf_probe_read_kernel(&entry, sizeof(entry), iov) || offset > entry.iov_len)
		return;
	entry.iov_len -= offset;
	read_buffer(s, c, (__u64)entry.iov_base + offset, entry.iov_len < count ? entry.iov_len : count);
}

static __always_inline void read_path(struct policy_scratch *s, struct captured *c, struct path *path)
{
	struct text_scratch *t = text_get(s->place);
	struct dentry *dentry;
	__u32 len;

	if (!t)
		return;
	if (!path) {
		c->flags |= CAPTURED_UNREADABLE;
		return;
	}
	c->flags |= path_walk(s->place, t, path);
	if (c->flags & CAPTURED_UNREADABLE)
		return;
	dentry = BPF_CORE_READ(path, dentry);
	c->mode = BPF_CORE_READ(dentry, d_inode, i_mode);
	len = (TEXT_MASK - t->walk.at) & TEXT_MASK;
	bpf_probe_read_kernel(data_at(s), len, &t->path[t->walk.at & TEXT_MASK]);
	data_take(s, c, len);
	c->value = len;
}

static __always_inline struct file *file_of_fd(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **array = BPF_CORE_READ(table, fd);
	struct file *file = NULL;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), array + fd);
	return file;
}

static __always_inline void read_file(struct policy_scratch *s, struct captured *c, struct file *file)
{
	read_path(s, c, file ? (void *)file + bpf_core_field_offset(struct file, f_path) : NULL);
}

__noinline int read_file_arg(__u32 place, __u32 index, __u64 value)
{
	struct policy_scratch *s = scratch_get(place);
	struct captured *c;

	if (!s || index > PLAN_READERS)
		return 0;
	CHECKED(index);
	c = &s->record.arg[index];
	switch (c->capture) {
	case CAPTURE_PATH:
		read_path(s, c, (void *)value);
		break;
	case CAPTURE_FILE:
		read_file(s, c, (void *)value);
		break;
	case CAPTURE_KIOCB:
		read_file(s, c, BPF_CORE_READ((struct kiocb *)value, ki_filp));
		break;
	case CAPTURE_LINUX_BINPRM:
		read_file(s, c, BPF_CORE_READ((struct linux_binprm *)value, file));
		break;
	default:
		read_file(s, c, file_of_fd(value));
	}
	return 0;
}

static __always_inline void read_user_ns(struct captured_user_ns *out, struct user_namespace *ns)
{
	out->level = BPF_CORE_READ(ns, level);
	out->uid = BPF_CORE_READ(ns, owner.val);
	out->gid = BPF_CORE_READ(ns, group.val);
	out->inode = BPF_CORE_READ(ns, ns.inum);
}

static __always_inline void read_module(struct captured_module *out, struct module *module)
{
	out->taints = BPF_CORE_READ(module, taints);
	bpf_probe_read_kernel_str(out->name, MODULE_NAME, module->name);
}

/* Structures: what is read has a fixed size. */
__noinline int read_structure(__u32 place, __u32 index, __u64 value)
{
	struct policy_scratch *s = scratch_get(place);
	void *from = (void *)value, *to;
	struct captured *c;
	__u32 size = 0;

	if (!s || index > PLAN_READERS)
		return 0;
	CHECKED(index);
	c = &s->record.arg[index];
	to = data_at(s);
	if (bpf_probe_read_kernel(to, 1, from)) {
		c->flags |= CAPTURED_UNREADABLE;
		return 0;
	}
	__builtin_memset(to, 0, 160);
	switch (c->capture) {
	case CAPTURE_SOCK:
		read_sock(to, from);
		size = sizeof(struct captured_sock);
		break;
	case CAPTURE_SKB:
		read_skb(to, from);
		size = sizeof(struct captured_skb);
		break;
	case CAPTURE_CRED: {
		struct captured_cred *out = to;

		read_credentials(&out->cred, from);
		read_user_ns(&out->user_ns, BPF_CORE_READ((struct cred *)from, user_ns));
		size = sizeof(*out);
		break;
	}
	case CAPTURE_USER_NAMESPACE:
		read_user_ns(to, from);
		size = sizeof(struct captured_user_ns);
		break;
	case CAPTURE_BPF_ATTR: {
		/* union bpf_attr of BPF_PROG_LOAD, a stable interface */
		struct captured_bpf_attr *out = to;

		bpf_probe_read_kernel(&out->prog_type, 4, from);
		bpf_probe_read_kernel(&out->insn_cnt, 4, from + 4);
		bpf_probe_read_kernel(out->prog_name, 16, from + 48);
		size = sizeof(*out);
		break;
	}
	case CAPTURE_BPF_MAP: {
		struct captured_bpf_map *out = to;
		struct bpf_map *map = from;

		out->map_type = BPF_CORE_READ(map, map_type);
		out->key_size = BPF_CORE_READ(map, key_size);
		out->value_size = BPF_CORE_READ(map, value_size);
		out->max_entries = BPF_CORE_READ(map, max_entries);
		bpf_probe_read_kernel(out->map_name, 16, map->name);
		size = sizeof(*out);
		break;
	}
	case CAPTURE_PERF_EVENT: {
		/* struct perf_event_attr, a stable interface, in a kernel structure */
		struct captured_perf_event *out = to;
		void *attr = from + bpf_core_field_offset(struct perf_event, attr);
		__u64 name = 0;

		bpf_probe_read_kernel(&out->event_type, 4, attr);
		bpf_probe_read_kernel(&out->config, 8, attr + 8);
		bpf_probe_read_kernel(&name, 8, attr + 56);
		bpf_probe_read_kernel(&out->probe_offset, 8, attr + 64);
		if (name && !is_kernel_address(name))
			bpf_probe_read_user_str(out->function, sizeof(out->function), (void *)name);
		size = sizeof(*out);
		break;
	}
	case CAPTURE_LOAD_INFO: {
		struct captured_module *out = to;
		struct load_info *info = from;

		/* Not in kernels without modules. */
		if (!bpf_core_type_exists(struct load_info))
			break;
		read_module(out, BPF_CORE_READ(info, mod));
		out->signature_ok = BPF_CORE_READ(info, sig_ok);
		bpf_probe_read_kernel_str(out->name, MODULE_NAME, BPF_CORE_READ(info, name));
		size = sizeof(*out);
		break;
	}
	case CAPTURE_MODULE:
		if (!bpf_core_field_exists(((struct module *)from)->taints))
			break;
		read_module(to, from);
		size = sizeof(struct captured_module);
		break;
	}
	data_take(s, c, size);
	return 0;
}

static __always_inline __u64 compat_bit(void)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct___x86 *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT ? 0x80000000 : 0;
#else
	return 0;
#endif
}

/* Reads the argument at this position, if that has not been tried. Returns 0; -1 if there is none. */
__noinline int arg_load(__u32 place, __u32 index)
{
	struct policy_scratch *s = scratch_get(place);
	struct plan_reader *reader;
	struct captured *c;
	struct plan *plan;
	__u64 value = 0, size = 0;

	if (!s || index > PLAN_READERS)
		return -1;
	CHECKED(index);
	plan = plan_get(s);
	if (!plan)
		return -1;
	c = &s->record.arg[index];
	if (c->flags & CAPTURED_READ)
		return 0;
	reader = &plan->reader[index];
	c->capture = reader->capture;
	c->flags = CAPTURED_READ;
	if (source_value(s, &reader->value, &value)) {
		c->flags |= CAPTURED_UNREADABLE;
		return 0;
	}
	if (data_full(s, c))
		return 0;
	if (reader->size.kind && source_value(s, &reader->size, &size))
		size = 0;
	switch (reader->capture) {
	case CAPTURE_INT:
	case CAPTURE_S32:
		c->value = (__s64)(__s32)value;
		break;
	case CAPTURE_U32:
		c->value = (__u32)value;
		break;
	case CAPTURE_S16:
		c->value = (__s64)(__s16)value;
		break;
	case CAPTURE_U16:
		c->value = (__u16)value;
		break;
	case CAPTURE_S8:
		c->value = (__s64)(__s8)value;
		break;
	case CAPTURE_U8:
		c->value = (__u8)value;
		break;
	case CAPTURE_S64:
	case CAPTURE_U64:
	case CAPTURE_SIZE:
		c->value = value;
		break;
	case CAPTURE_CAPABILITY:
		c->value = (__u32)value;
		break;
	case CAPTURE_SYSCALL64:
		c->value = value | compat_bit();
		break;
	case CAPTURE_KERNEL_CAP:
	case CAPTURE_CAP_INHERITABLE:
	case CAPTURE_CAP_PERMITTED:
	case CAPTURE_CAP_EFFECTIVE:
		if (bpf_probe_read_kernel(&c->value, 8, (void *)value))
			c->flags |= CAPTURED_UNREADABLE;
		break;
	case CAPTURE_STRING:
		read_text(s, c, value);
		break;
	case CAPTURE_FILENAME:
		read_text(s, c, (__u64)BPF_CORE_READ((struct filename *)value, name));
		break;
	case CAPTURE_NET_DEVICE:
		read_text(s, c, (__u64)((struct net_device *)value)->name);
		break;
	case CAPTURE_DATA_LOC:
		/* Offset in the low half, size with NUL in the high one. */
		read_text(s, c, s->context + (value & 0xffff));
		break;
	case CAPTURE_CHAR_BUF:
		if (reader->flags & READER_AT_RETURN && !reader->size.kind)
			size = returned_size(s, plan);
		read_buffer(s, c, value, size);
		break;
	case CAPTURE_CONST_BUF:
		read_buffer(s, c, s->context + reader->value.offset, reader->array_size);
		break;
	case CAPTURE_CHAR_IOVEC:
		read_iovecs(s, c, index, value, size);
		if (reader->flags & READER_AT_RETURN)
			limit_to_returned(c, returned_size(s, plan));
		break;
	case CAPTURE_IOV_ITER:
		read_iov_iter(s, c, (void *)value);
		break;
	case CAPTURE_FILE:
	case CAPTURE_PATH:
	case CAPTURE_FD:
	case CAPTURE_KIOCB:
	case CAPTURE_LINUX_BINPRM:
		read_file_arg(place, index, value);
		break;
	default:
		read_structure(place, index, value);
	}
	return 0;
}

#endif
