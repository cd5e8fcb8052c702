/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Texts against sets of texts, of beginnings, of ends. */
#ifndef TETRAGON_POLICY_TEXT_H
#define TETRAGON_POLICY_TEXT_H

#include "scratch.h"

/* Text at `from` becomes the key. The length is at most TEXT_MASK. */
static __always_inline void text_set(struct text_scratch *t, const void *from, __u32 len)
{
	len &= TEXT_MASK;
	t->text_len = len;
	bpf_probe_read_kernel(t->key.bytes, len, from);
}

/* The class of a length: keys of 32, 64, 128 bytes and so on, the length's four included. */
static __always_inline __u32 text_class(__u32 len)
{
	if (len <= 28)
		return 0;
	if (len <= 60)
		return 1;
	if (len <= 124)
		return 2;
	if (len <= 252)
		return 3;
	if (len <= 508)
		return 4;
	if (len <= 1020)
		return 5;
	if (len <= 2044)
		return 6;
	return 7;
}

#define TEXT_LOOKUP(name)                                         \
	do {                                                      \
		void *set = bpf_map_lookup_elem(&name, &slot);    \
                                                                  \
		if (!set)                                         \
			return 0;                                 \
		return bpf_map_lookup_elem(set, &t->key) != NULL; \
	} while (0)

/* Whether the text of the scratch is in the set of its class. `low` and `high` hold the slots of the classes.
 */
__noinline int text_equal(__u32 place, __u64 low, __u64 high)
{
	struct text_scratch *t = text_get(place);
	__u32 class, slot, len, padding;

	if (!t)
		return 0;
	len = t->text_len & TEXT_MASK;
	class = text_class(len);
	slot = (class < 4 ? low >> (class * 16) : high >> ((class - 4) * 16)) & 0xffff;
	if (!slot)
		return 0;
	t->key.len = len;
	padding = (class == 7 ? 4096 : (32U << class) - 4) - len;
	bpf_probe_read_kernel(&t->key.bytes[len], padding & (2 * TEXT_MASK + 1), t->zeros);
	switch (class) {
	case 0:
		TEXT_LOOKUP(texts_32);
	case 1:
		TEXT_LOOKUP(texts_64);
	case 2:
		TEXT_LOOKUP(texts_128);
	case 3:
		TEXT_LOOKUP(texts_256);
	case 4:
		TEXT_LOOKUP(texts_512);
	case 5:
		TEXT_LOOKUP(texts_1024);
	case 6:
		TEXT_LOOKUP(texts_2048);
	default:
		TEXT_LOOKUP(texts_4100);
	}
}

__noinline int text_prefix(__u32 place, __u32 slot)
{
	struct text_scratch *t = text_get(place);
	void *set = bpf_map_lookup_elem(&prefixes, &slot);
	__u32 len;

	if (!t || !set)
		return 0;
	len = t->text_len;
	if (len > PREFIX_MAX)
		len = PREFIX_MAX;
	t->key.len = len * 8;
	return bpf_map_lookup_elem(set, &t->key) != NULL;
}

__noinline int text_postfix(__u32 place, __u32 slot)
{
	struct text_scratch *t = text_get(place);
	void *set = bpf_map_lookup_elem(&postfixes, &slot);
	__u32 len, n;

	if (!t || !set)
		return 0;
	len = t->text_len & TEXT_MASK;
	n = len > POSTFIX_MAX ? POSTFIX_MAX : len;
	for (__u32 i = 0; i < POSTFIX_MAX; i++) {
		if (i >= n)
			break;
		t->reversed.bytes[i] = t->key.bytes[(len - 1 - i) & TEXT_MASK];
	}
	t->reversed.bits = n * 8;
	return bpf_map_lookup_elem(set, &t->reversed) != NULL;
}

#endif
