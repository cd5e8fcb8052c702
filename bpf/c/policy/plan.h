/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a policy does at one hook, as user space tells it to the matcher, and what the matcher tells back.
 * This is the definition; bpf/src/plan.rs mirrors it, and a test compares the two through the object's BTF.
 *
 * A plan is the value of an array with one element, so that user space replaces it as a whole.
 */
#ifndef TETRAGON_POLICY_PLAN_H
#define TETRAGON_POLICY_PLAN_H

#include "../records.h"

/* Limits, held against those of the loader by user space. */
#define PLAN_READERS   5
#define PLAN_SELECTORS 5
#define PLAN_ACTIONS   3
#define PLAN_OPS       112
/* Values that are looked up by their length class: bytes of text in each of the eight maps. */
#define TEXT_CLASSES 8

/* Where a value is. */
enum plan_source_kind {
	SOURCE_NONE = 0,
	SOURCE_ARGUMENT = 1, /* of a function, from 0 */
	SOURCE_SYSCALL = 2,  /* of a system call, from 0 */
	SOURCE_FIELD = 3,    /* of a tracepoint's record */
	SOURCE_RETURN = 4,
};

struct plan_source {
	__u8 kind;    /* enum plan_source_kind */
	__u8 index;   /* of an argument; of a field its bytes: 1, 2, 4 or 8 */
	__u16 offset; /* of a field, in bytes */
};

/* As what a value is read. The numbers are those of the contract's table of types. */
enum capture_type {
	CAPTURE_NONE = 0, /* not read */
	CAPTURE_INT = 1,
	CAPTURE_CHAR_BUF = 2,
	CAPTURE_CHAR_IOVEC = 3,
	CAPTURE_SIZE = 4,
	CAPTURE_SKB = 5,
	CAPTURE_STRING = 6,
	CAPTURE_SOCK = 7,
	CAPTURE_CRED = 8,
	CAPTURE_S64 = 10,
	CAPTURE_U64 = 11,
	CAPTURE_S32 = 12,
	CAPTURE_U32 = 13,
	CAPTURE_FILENAME = 14,
	CAPTURE_PATH = 15,
	CAPTURE_FILE = 16,
	CAPTURE_FD = 17,
	CAPTURE_CONST_BUF = 18, /* plan_reader.array_size bytes of the tracepoint's record */
	CAPTURE_BPF_ATTR = 19,
	CAPTURE_PERF_EVENT = 20,
	CAPTURE_BPF_MAP = 21,
	CAPTURE_USER_NAMESPACE = 22,
	CAPTURE_CAPABILITY = 23,
	CAPTURE_KIOCB = 24,
	CAPTURE_IOV_ITER = 25,
	CAPTURE_LOAD_INFO = 26,
	CAPTURE_MODULE = 27,
	CAPTURE_SYSCALL64 = 28,
	CAPTURE_S16 = 29,
	CAPTURE_U16 = 30,
	CAPTURE_S8 = 31,
	CAPTURE_U8 = 32,
	CAPTURE_KERNEL_CAP = 33,
	CAPTURE_CAP_INHERITABLE = 34,
	CAPTURE_CAP_PERMITTED = 35,
	CAPTURE_CAP_EFFECTIVE = 36,
	CAPTURE_LINUX_BINPRM = 37,
	CAPTURE_DATA_LOC = 38,
	CAPTURE_NET_DEVICE = 39,
};

enum reader_flags {
	READER_AT_RETURN = 1 << 0,
	READER_MAX_DATA = 1 << 1,
};

struct plan_reader {
	struct plan_source value;
	struct plan_source size; /* of bytes: where their number is */
	__u16 capture;		 /* enum capture_type */
	__u16 flags;		 /* enum reader_flags */
	__u32 array_size;	 /* bytes */
};

/* One comparison. Numbers are compared as unsigned; of a signed type, with the sign bit turned round. */
enum op_kind {
	OP_NUMBER_RANGE = 1, /* argument within a to b, both included */
	OP_NUMBER_SET = 2,   /* argument within a range of the set `slot` */
	OP_NUMBER_MASK = 3,  /* argument & a */
	OP_TEXT_EQUAL = 4,   /* argument in the sets of its length class */
	OP_TEXT_PREFIX = 5,
	OP_TEXT_POSTFIX = 6,
	OP_NET_ADDRESS = 7,	 /* `slot` for IPv4, a for IPv6; 0: no network of that family */
	OP_NET_NUMBER_RANGE = 8, /* enum net_part within a to b */
	OP_NET_NUMBER_SET = 9,
	OP_PID_RANGE = 10, /* enum pid_flags in `what` */
	OP_PID_SET = 11,
	OP_BINARY_EQUAL = 12, /* of the process's program; `what`: 1 + bit for its descendants, 0: none */
	OP_BINARY_PREFIX = 13,
	OP_BINARY_POSTFIX = 14,
	OP_NAMESPACE = 15,	   /* enum namespace_index has inode a */
	OP_NAMESPACE_CHANGED = 16, /* any of the bits a (by enum namespace_index) */
	OP_CAPABILITIES = 17,	   /* any of the bits a; enum capability_flags in `what` */
	/* Any of the bits a has changed; negated: none has, but another has. */
	OP_CAPABILITIES_CHANGED = 18,
};

enum op_flags {
	OP_MORE = 1 << 0,    /* or the next one */
	OP_NEGATED = 1 << 1, /* on the last of a chain: none of them */
};

enum net_part {
	NET_SOURCE_PORT = 0,
	NET_DESTINATION_PORT = 1,
	NET_PROTOCOL = 2,
	NET_FAMILY = 3,
	NET_STATE = 4,
	NET_SOURCE_ADDRESS = 5,
	NET_DESTINATION_ADDRESS = 6,
};

enum pid_flags {
	PID_IN_NAMESPACE = 1 << 0,
	PID_FOLLOW_FORKS = 1 << 1,
};

/* In the order of struct namespaces. */
enum namespace_index {
	NAMESPACE_UTS = 0,
	NAMESPACE_IPC = 1,
	NAMESPACE_MNT = 2,
	NAMESPACE_PID = 3,
	NAMESPACE_PID_FOR_CHILDREN = 4,
	NAMESPACE_NET = 5,
	NAMESPACE_TIME = 6,
	NAMESPACE_TIME_FOR_CHILDREN = 7,
	NAMESPACE_CGROUP = 8,
	NAMESPACE_USER = 9,
	NAMESPACES = 10,
};

enum capability_flags {
	CAPABILITY_EFFECTIVE = 0,
	CAPABILITY_INHERITABLE = 1,
	CAPABILITY_PERMITTED = 2,
	CAPABILITY_SET = 3,	     /* mask of the above */
	CAPABILITY_OUTSIDE = 1 << 2, /* outside the user namespace of the machine's process 1 */
};

struct plan_op {
	__u8 kind;  /* enum op_kind */
	__u8 flags; /* enum op_flags */
	__u8 arg;   /* position of the reader; PLAN_READERS: the return value */
	__u8 what;
	__u32 slot;
	/* a and b; of OP_TEXT_EQUAL and OP_BINARY_EQUAL instead a __u16 slot for each length class, 0: no
	 * value */
	__u64 value[2];
};

/* The numbers of the contract. */
enum action_kind {
	ACTION_POST = 0,
	ACTION_FOLLOW_FD = 1,
	ACTION_SIGKILL = 2,
	ACTION_UNFOLLOW_FD = 3,
	ACTION_OVERRIDE = 4,
	ACTION_COPY_FD = 5,
	ACTION_GET_URL = 6,
	ACTION_DNS_LOOKUP = 7,
	ACTION_NO_POST = 8,
	ACTION_SIGNAL = 9,
	ACTION_TRACK_SOCK = 10,
	ACTION_UNTRACK_SOCK = 11,
	ACTION_NOTIFY_ENFORCER = 12,
};

enum action_flags {
	ACTION_KERNEL_STACK = 1 << 0,
	ACTION_USER_STACK = 1 << 1,
};

enum rate_scope {
	RATE_THREAD = 0,
	RATE_PROCESS = 1,
	RATE_GLOBAL = 2,
};

struct plan_action {
	__u8 kind;   /* enum action_kind */
	__u8 flags;  /* enum action_flags */
	__u8 signal; /* of ACTION_SIGNAL */
	__u8 scope;  /* enum rate_scope */
	/* ACTION_POST: milliseconds between events, 0: no limit. ACTION_OVERRIDE: the errno to be returned.
	 */
	__u32 value;
};

struct plan_selector {
	__u16 first_op;
	__u16 ops;
	__u16 first_return_op;
	__u16 return_ops;
	__u8 actions;
	__u8 return_actions;
	__u8 reserved[6];
	struct plan_action action[PLAN_ACTIONS];
	struct plan_action return_action[PLAN_ACTIONS];
};

enum plan_flags {
	PLAN_RETURNS = 1 << 0,		/* a return record follows each entry record */
	PLAN_MONITOR = 1 << 1,		/* signals are not sent */
	PLAN_MATCH_UNREADABLE = 1 << 2, /* a filter on an argument that cannot be read matches */
};

/* Written by the kernel only; sums over all CPUs. */
struct plan_counters {
	__u64 matched;
	__u64 posted;	  /* records in the ring */
	__u64 suppressed; /* by NoPost */
	__u64 limited;	  /* by a rate limit */
	__u64 lost;	  /* no room in the ring */
	__u64 signals;	  /* sent */
	__u64 signal_errors;
	__u64 pending;		/* calls whose return is awaited, in all */
	__u64 joined;		/* of those, returned */
	__u64 pending_lost;	/* no room to remember the call */
	__u64 return_unmatched; /* no return filter matched */
	__u64 overridden;	/* calls that were to be refused */
};

struct plan {
	__u64 generation; /* never used twice */
	__u32 policy;
	__u16 flags; /* enum plan_flags */
	__u8 readers;
	__u8 selectors;
	struct plan_reader reader[PLAN_READERS + 1]; /* the last one reads the return value */
	struct plan_selector selector[PLAN_SELECTORS];
	struct plan_op op[PLAN_OPS];
	struct plan_counters counters;
};

/* Which plans apply to a class of cgroups at a hook. A class without an entry has that of CLASS_OTHERS. */
#define CLASS_OTHERS	0xffffffff
#define RULE_PLANS	14
#define RULE_CHUNKS_MAX 16

struct rule_key {
	__u32 hook;
	__u32 class;
	__u32 chunk; /* 0, then on while `more` */
	__u32 reserved;
};

struct rule {
	struct rule_key key; /* elements of old kernels' maps may be reused while they are read */
	__u32 count;
	__u32 more;
	__u32 plan[RULE_PLANS];
};

enum captured_flags {
	CAPTURED_READ = 1 << 0,	      /* it was tried */
	CAPTURED_UNREADABLE = 1 << 1, /* not faulted in, or a bad pointer */
	CAPTURED_TRUNCATED = 1 << 2,  /* `extra` has the original size */
	CAPTURED_INCOMPLETE = 1 << 3, /* of a path: the beginning is missing */
	CAPTURED_UNLINKED = 1 << 4,   /* of a path: the file has no name any more */
	CAPTURED_IN_PIECES = 1 << 5,  /* the bytes came in data records before this one */
};

/* An argument in a record. */
struct captured {
	__u16 capture; /* enum capture_type */
	__u16 flags;   /* enum captured_flags */
	__u32 offset;  /* of its bytes in the data that follows the record */
	__u32 len;     /* bytes there; 0 for numbers */
	__u32 mode;    /* of a file: st_mode */
	/* A number, sign-extended if it has a sign; of bytes, how many there were. */
	__u64 value;
};

enum policy_phase {
	PHASE_CALL = 0,	 /* all there is */
	PHASE_ENTRY = 1, /* its return will follow */
	PHASE_RETURN = 2,
	PHASE_CANCELLED = 3, /* it has returned, and no return filter matched: the entry is no event */
};

/* A matching call. Followed by data_len bytes: what arguments and stacks refer to. */
struct policy_record {
	struct record_header header;
	struct process_key key;
	__u64 cgroup_id;
	struct identity identity;
	__u64 generation; /* of the plan */
	__u64 entry_ns;	  /* boot clock at entry: with tid, joins entry and return */
	__u64 ip;	  /* within the hooked function; 0 at tracepoints */
	__u32 plan;
	__u32 policy;
	__u32 hook;
	__u32 tid;
	__u8 phase; /* enum policy_phase */
	__u8 selector;
	__u8 action;	    /* enum action_kind: the last one that ran */
	__u8 readers;	    /* how many of `arg` are the policy's; arg[PLAN_READERS] is the return value */
	__s32 action_error; /* 0, or the negative errno with which a signal could not be sent */
	__u32 kernel_stack_at;
	__u32 kernel_stack_len; /* bytes, 8 a frame, leaf first */
	__u32 user_stack_at;
	__u32 user_stack_len;
	__u32 data_len;
	__u32 reserved;
	struct captured arg[PLAN_READERS + 1];
};

/* Bytes of arguments that a record can carry. */
#define POLICY_DATA_MAX 20480
/* Frames of a stack at most. */
#define STACK_FRAMES_MAX 127

/* What is read of the kernel's structures: the bytes of an argument of that type. Addresses in network order.
 */
struct captured_sock {
	__u8 source[16]; /* IPv4: the first four */
	__u8 destination[16];
	__u64 cookie; /* address of the sock */
	__u32 mark;
	__u32 priority;
	__u16 family;
	__u16 sock_type;
	__u16 protocol;
	__u16 source_port;
	__u16 destination_port;
	__u8 state;
	__u8 reserved[5];
};

struct captured_skb {
	__u8 source[16];
	__u8 destination[16];
	__u32 hash;
	__u32 len;
	__u32 priority;
	__u32 mark;
	__u32 secpath_len;
	__u32 secpath_olen;
	__u16 family; /* 0: no IP packet */
	__u16 protocol;
	__u16 source_port;
	__u16 destination_port;
};

struct captured_user_ns {
	__s32 level;
	__u32 uid;
	__u32 gid;
	__u32 inode;
};

struct captured_cred {
	struct credentials cred;
	struct captured_user_ns user_ns;
};

struct captured_bpf_attr {
	__u32 prog_type;
	__u32 insn_cnt;
	char prog_name[16];
};

struct captured_bpf_map {
	__u32 map_type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	char map_name[16];
};

struct captured_perf_event {
	__u64 config;
	__u64 probe_offset;
	__u32 event_type;
	__u32 reserved;
	char function[128];
};

struct captured_module {
	__u64 taints;
	__u32 signature_ok;
	__u32 reserved;
	char name[64];
};

#endif
