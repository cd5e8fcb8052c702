/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the kernel programs tell user space. This is the definition; bpf/src/records.rs mirrors it, and a test
 * compares the two member by member through the object's BTF. No implicit padding, no bool;
 * enums are 4 bytes here, and their members are compared too.
 *
 * Times are nanoseconds of the boot clock (CLOCK_BOOTTIME) unless the name says otherwise: it goes on
 * counting while the machine is suspended.
 */
#ifndef TETRAGON_RECORDS_H
#define TETRAGON_RECORDS_H

#include <linux/types.h>

enum record_kind {
	RECORD_EXEC = 1,
	RECORD_FORK = 2,
	RECORD_EXIT = 3,
	RECORD_DATA = 4,
	RECORD_SCAN = 5,
	RECORD_CGROUP = 6,
	RECORD_POLICY = 7, /* policy/plan.h */
};

/* A process image: a new one begins with every successful exec. Needs no map, is never used twice. */
struct process_key {
	__u64 start_boot_ns; /* of the process, so it survives an exec */
	__u32 tgid;	     /* in the host's pid namespace */
	__u32 exec_id;	     /* task_struct.self_exec_id, low half */
};

struct record_header {
	__u32 size; /* of the whole record, this header included */
	enum record_kind kind;
	__u32 cpu;
	__u32 reserved;
	__u64 boot_ns;
	/* Records lost so far on this CPU because a ring was full: tells where in the stream a gap lies. */
	__u64 lost;
};

struct credentials {
	__u32 uid;
	__u32 gid;
	__u32 euid;
	__u32 egid;
	__u32 suid;
	__u32 sgid;
	__u32 fsuid;
	__u32 fsgid;
	__u32 securebits;
	__u32 user_ns; /* inode number */
	__u64 permitted;
	__u64 effective;
	__u64 inheritable;
	__u64 ambient;
};

/* Inode numbers; 0 where the kernel has no such namespace. */
struct namespaces {
	__u32 uts;
	__u32 ipc;
	__u32 mnt;
	__u32 pid;
	__u32 pid_for_children;
	__u32 net;
	__u32 time;
	__u32 time_for_children;
	__u32 cgroup;
	__u32 user;
};

enum task_flags {
	TASK_KTHREAD = 1 << 0,
	TASK_IN_EXEC = 1 << 1, /* somewhere inside execve */
	TASK_EXITING = 1 << 2,
	TASK_NO_CGROUP = 1 << 3, /* task without css_set */
	TASK_NO_CGROUP_ID = 1 << 4,
	TASK_DEAD = 1 << 5, /* none of its group's threads lives any more */
};

/* What the kernel knows of the container of a cgroup, or of the task in it. */
enum identity_flags {
	IDENTITY_KNOWN = 1 << 0,  /* user space has told whose it is */
	IDENTITY_PATH = 1 << 1,	  /* its name is that of a container; whose is not known */
	IDENTITY_NESTED = 1 << 2, /* made inside a container's cgroup */
	IDENTITY_BOUND = 1 << 3,  /* recognised by its announced name when it was made */
	IDENTITY_SETUP = 1 << 4,  /* of a task: its container's own program has not been executed yet */
	IDENTITY_FIRST = 1 << 5,  /* of an exec: it is that of the container's own program */
	IDENTITY_LOST = 1 << 6,	  /* of a new cgroup: the map had no room for it */
};

/* The value of a cgroup in the map, and a part of the records about tasks. */
struct identity {
	__u64 container; /* user space's number for it; 0: none */
	enum identity_flags flags;
	__u32 class; /* the set of policies that applies; 0: those of the host */
};

/* Cgroups whose names are those of containers, before user space has told whose they are. */
#define CLASS_UNIDENTIFIED 1

/* Everything about a process that is read from its task, in the exec hook as in the scan. */
struct task_info {
	struct process_key key;
	struct process_key parent;
	__u32 tid;
	__u32 nspid; /* pid in its own pid namespace; 0 in the host's */
	__u32 auid;
	enum task_flags flags;
	__u64 cgroup_id;
	struct identity identity;
	__u64 exe_inode;
	__u32 exe_links;
	__u32 reserved;
	struct credentials cred;
	struct namespaces ns;
	char comm[16];
};

enum exec_flags {
	EXEC_FILENAME_UNREADABLE = 1 << 0,
	EXEC_ARGS_UNREADABLE = 1 << 1,
	EXEC_ARGS_TRUNCATED = 1 << 2, /* the data ring was full */
	EXEC_CWD_UNREADABLE = 1 << 3,
	EXEC_CWD_INCOMPLETE = 1 << 4, /* deeper than CWD_COMPONENTS_MAX */
	EXEC_CWD_UNLINKED = 1 << 5,
	EXEC_CGROUP_NAME_UNREADABLE = 1 << 6,
};

/* What the exec changed about the process's privileges. */
enum exec_transitions {
	TRANSITION_EUID = 1 << 0, /* a set-uid binary changed the effective uid */
	TRANSITION_EGID = 1 << 1,
	TRANSITION_FILE_CAPS = 1 << 2, /* gained permitted capabilities, same euid, no ambient ones */
	TRANSITION_ROOT_UID = 1 << 3,  /* non-root to root */
	TRANSITION_ROOT_GID = 1 << 4,
};

/* Arguments up to this length travel inside the exec record, longer ones by data records. Bytes. */
#define ARGS_INLINE_MAX	   8192
#define FILENAME_MAX_LEN   4096
#define CGROUP_NAME_MAX	   256
#define CWD_COMPONENTS_MAX 512
#define CWD_BYTES_MAX	   8192
#define DATA_CHUNK	   16384
/* The kernel allows 6 MiB of arguments and environment together (3/4 of the 8 MiB _STK_LIM). */
#define DATA_CHUNKS_MAX 400

/*
 * Followed by four byte strings without terminators, in this order: file name as given to the kernel, name of
 * the leaf cgroup, the components of the working directory (leaf first, each ended by NUL), and the inline
 * arguments (each ended by NUL, argv[0] included).
 */
struct exec_record {
	struct record_header header;
	struct task_info task;
	__u64 mono_ns; /* the same moment on CLOCK_MONOTONIC */
	__u32 old_tid; /* of the thread that called exec; it takes over the leader's tid */
	enum exec_flags flags;
	enum exec_transitions transitions;
	__u32 filename_len;
	__u32 cgroup_name_len;
	__u32 cwd_len;
	__u32 args_inline_len;
	__u32 args_total_len; /* as the kernel has them, argv[0] included */
	__u32 args_data_len;  /* how much of them went into data records before this record */
	__u32 reserved;
};

/* A new process (not thread), before it runs its first instruction. */
struct fork_record {
	struct record_header header;
	struct process_key key;
	struct process_key parent;  /* in the process tree */
	struct process_key creator; /* whose image it copies; differs from parent with CLONE_PARENT */
	__u64 cgroup_id;
	struct identity identity;
	__u32 nspid;
	enum task_flags flags;
	char comm[16];
};

/* The end of a process: its last thread is exiting. */
struct exit_record {
	struct record_header header;
	struct process_key key;
	struct process_key parent;
	__u64 cgroup_id;
	struct identity identity;
	__u32 tid;  /* of the last thread */
	__u32 code; /* as wait(2) reports it: status << 8 | core flag 0x80 | signal */
	enum task_flags flags;
	__u32 nspid;
};

/* One piece of an argument list, sent before the exec record that it belongs to. */
struct data_record {
	struct record_header header;
	struct process_key key;
	__u32 offset;
	__u32 len;
	__u8 bytes[DATA_CHUNK];
};

/* One process found by the task iterator. */
struct scan_record {
	struct record_header header;
	struct task_info task;
};

enum cgroup_action {
	CGROUP_MADE = 1,
	CGROUP_REMOVED = 2,
};

/* The longest path of a cgroup that is told whole; of a longer one, the beginning. */
#define CGROUP_PATH_MAX 1024

/* A cgroup of the v2 hierarchy appears or disappears. */
struct cgroup_record {
	struct record_header header;
	__u64 cgroup_id;
	__u64 parent_id;
	struct identity identity;
	enum cgroup_action action;
	__u32 path_len;		    /* without NUL */
	char path[CGROUP_PATH_MAX]; /* from the root of the hierarchy */
};

/* Whose cgroup it will be, by the name of its last directory. */
struct announced_name {
	char name[128]; /* padded with NUL */
};

enum container_flags {
	CONTAINER_VERIFIED = 1 << 0, /* created; its first process waits for the start */
	CONTAINER_STARTED = 1 << 1,  /* its own program has been executed */
};

/* How far a container is. Made by user space, after which only the exec hook changes it. */
struct container_state {
	__u32 init_tgid; /* of its first process; 0: not known, then the next exec is its start */
	enum container_flags flags;
};

/* The hooks that the ledger counts. */
enum hook {
	HOOK_EXEC = 0,
	HOOK_FORK = 1,
	HOOK_EXIT = 2,
	HOOK_DATA = 3,	/* one entry per data record wanted */
	HOOK_CREDS = 4, /* notes privilege changes for the exec hook; submits nothing */
	HOOK_CGROUP_MKDIR = 5,
	HOOK_CGROUP_RMDIR = 6,
	HOOK_POLICY = 7, /* one entry per policy record wanted */
	HOOKS = 8,
};

/*
 * Per CPU and hook. Every entry ends in exactly one of the others:
 * entered == suppressed + reserve_failed + submitted.
 */
struct hook_counters {
	__u64 entered;
	__u64 suppressed;
	__u64 reserve_failed;
	__u64 submitted;
};

#endif
