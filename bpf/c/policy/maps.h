/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * name        key              value               written by        read by
 * rules       hook, class      plans that apply    agent             every hook
 * plans       plan             array of one plan   agent, counters   every hook
 * numbers     set              sorted ranges       agent             filters
 * texts_*     set              texts of a length   agent             filters
 * prefixes    set              beginnings          agent             filters
 * postfixes   set              ends, backwards     agent             filters
 * networks4/6 set              networks            agent             filters
 * followers   bit              set of programs     agent             exec
 * facts       tgid             process_facts       exec, first call  filters
 * pending     thread, stack    pending_call        entry             return
 * rates       hash             time of last event  actions           actions
 *
 * and of the base sensor's maps events, lost, cgroups, containers. Nothing but what gives way to the new
 * (pending, rates) is preallocated, unless an old kernel demands it; user space sets the flags, and the
 * sizes of everything.
 */
#ifndef TETRAGON_POLICY_MAPS_H
#define TETRAGON_POLICY_MAPS_H

#include "../maps.h"
#include "plan.h"

#define SETS_MAX 16384

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct rule_key);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__type(key, __u32);
			__uint(value_size, sizeof(struct plan));
		});
} plans SEC(".maps");

/* Element 0 says in `low` how many follow; those are sorted, and do not overlap. */
struct number_range {
	__u64 low;
	__u64 high;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SETS_MAX);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP);
			__uint(max_entries, 2);
			__type(key, __u32);
			__uint(value_size, sizeof(struct number_range));
		});
} numbers SEC(".maps");

/* A text, behind its length, padded with zeros up to the size of its class. */
#define MAPS_OF(name, kind, bytes)                                    \
	struct {                                                      \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);             \
		__uint(max_entries, SETS_MAX);                        \
		__type(key, __u32);                                   \
		__array(                                              \
			values, struct {                              \
				__uint(type, kind);                   \
				__uint(map_flags, BPF_F_NO_PREALLOC); \
				__uint(max_entries, 1);               \
				__uint(key_size, bytes);              \
				__uint(value_size, 4);                \
			});                                           \
	} name SEC(".maps")

#define TEXT_SETS(name, bytes) MAPS_OF(name, BPF_MAP_TYPE_HASH, bytes)

TEXT_SETS(texts_32, 32);
TEXT_SETS(texts_64, 64);
TEXT_SETS(texts_128, 128);
TEXT_SETS(texts_256, 256);
TEXT_SETS(texts_512, 512);
TEXT_SETS(texts_1024, 1024);
TEXT_SETS(texts_2048, 2048);
TEXT_SETS(texts_4100, 4100);

/* Keys begin with their length in bits. */
#define TRIE_SETS(name, bytes) MAPS_OF(name, BPF_MAP_TYPE_LPM_TRIE, 4 + bytes)

#define PREFIX_MAX  256
#define POSTFIX_MAX 128

TRIE_SETS(prefixes, 256);
TRIE_SETS(postfixes, 128);
TRIE_SETS(networks4, 4);
TRIE_SETS(networks6, 16);

/* Whose descendants a policy follows. */
struct follower {
	__u16 slots[TEXT_CLASSES];
	__u32 active;
	__u32 reserved;
};

#define FOLLOWERS_MAX 64

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FOLLOWERS_MAX);
	__type(key, __u32);
	__type(value, struct follower);
} followers SEC(".maps");

/* What a process was when its program began; of a longer path the first and the last bytes. */
#define FACTS_PATH_HEAD 384
#define FACTS_PATH_TAIL 128
#define FACTS_PATH	(FACTS_PATH_HEAD + FACTS_PATH_TAIL)

struct process_facts {
	__u64 start_boot_ns;
	__u32 exec_id;
	__u32 path_len; /* stored */
	__u32 path_whole_len;
	__u32 path_known;
	__u64 followed; /* by the numbers of followers */
	__u64 permitted;
	__u64 effective;
	__u64 inheritable;
	struct namespaces ns;
	char path[FACTS_PATH];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct process_facts);
} facts SEC(".maps");

struct pending_key {
	__u64 pid_tgid;
	__u64 stack; /* pointer at entry: tells recursive calls apart */
	__u32 hook;
	__u32 reserved;
};

#define PENDING_PLANS 8

struct pending_call {
	__u64 entry_ns;
	__u64 ip;
	__u64 argument[6];
	__u32 count;
	__u32 reserved;
	struct {
		__u64 generation;
		__u32 plan;
		__u32 selector;
	} match[PENDING_PLANS];
};

/* Calls within which their thread ends never return: the oldest give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct pending_key);
	__type(value, struct pending_call);
} pending SEC(".maps");

struct rate_key {
	__u64 low;
	__u64 high;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct rate_key);
	__type(value, __u64);
} rates SEC(".maps");

#endif
