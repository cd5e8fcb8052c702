//! The records of `c/records.h`, byte for byte.
//!
//! Each is declared through [`record!`] so that its members, offsets and sizes are also there as data, which the
//! test `records_match_the_object` compares with the object's BTF.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where one member of a record lies: name, offset, size (bytes).
pub type Member = (&'static str, usize, usize);

macro_rules! record {
    ($(#[$meta:meta])* $c_name:literal $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable)]
        #[repr(C)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl $name {
            /// The name of the C structure.
            pub const C_NAME: &'static str = $c_name;
            /// Members in order.
            pub const MEMBERS: &'static [Member] =
                &[$((stringify!($field), core::mem::offset_of!($name, $field), size_of::<$type>()),)*];
        }
    };
}

pub(crate) use record;

record! {
    /// A process image: a new one begins with every successful exec.
    #[derive(PartialEq, Eq, Hash, Default, PartialOrd, Ord, IntoBytes)]
    "process_key" ProcessKey {
        /// Start of the process on the boot clock, ns; an exec does not change it.
        start_boot_ns: u64,
        /// Process id in the host's pid namespace.
        tgid: u32,
        /// Goes up with every exec.
        exec_id: u32,
    }
}

record! {
    /// The beginning of every record.
    #[derive(IntoBytes)]
    "record_header" RecordHeader {
        /// Bytes of the whole record, this header included.
        size: u32,
        /// One of [`RecordKind`].
        kind: u32,
        /// The CPU that wrote it.
        cpu: u32,
        /// Zero.
        reserved: u32,
        /// When, on the boot clock, ns.
        boot_ns: u64,
        /// Records that this CPU has lost so far because a ring was full.
        lost: u64,
    }
}

record! {
    /// User and group ids, capabilities.
    #[derive(IntoBytes)]
    "credentials" Credentials {
        /// Real user id.
        uid: u32,
        /// Real group id.
        gid: u32,
        /// Effective user id.
        euid: u32,
        /// Effective group id.
        egid: u32,
        /// Saved user id.
        suid: u32,
        /// Saved group id.
        sgid: u32,
        /// User id for file access.
        fsuid: u32,
        /// Group id for file access.
        fsgid: u32,
        /// As in `prctl(PR_GET_SECUREBITS)`.
        securebits: u32,
        /// Inode number of the user namespace.
        user_ns: u32,
        /// Bit mask by capability number.
        permitted: u64,
        /// Bit mask by capability number.
        effective: u64,
        /// Bit mask by capability number.
        inheritable: u64,
        /// Bit mask by capability number.
        ambient: u64,
    }
}

record! {
    /// Inode numbers of namespaces; 0 where the kernel has no such namespace.
    "namespaces" Namespaces {
        /// Host and domain name.
        uts: u32,
        /// System V IPC.
        ipc: u32,
        /// Mounts.
        mnt: u32,
        /// The one the process is in.
        pid: u32,
        /// The one its children will be in.
        pid_for_children: u32,
        /// Network.
        net: u32,
        /// Clock offsets.
        time: u32,
        /// Clock offsets of children.
        time_for_children: u32,
        /// Cgroup root.
        cgroup: u32,
        /// User ids.
        user: u32,
    }
}

record! {
    /// What the kernel knows of the container of a cgroup: a map value, and a part of records.
    #[derive(PartialEq, Eq, Default, IntoBytes)]
    "identity" Identity {
        /// User space's number for the container; 0: none.
        container: u64,
        /// Of [`identity_flags`].
        flags: u32,
        /// The set of policies that applies; 0: those of the host.
        class: u32,
    }
}

record! {
    /// What is read from a task, in the exec hook as in the scan.
    "task_info" TaskInfo {
        /// Who.
        key: ProcessKey,
        /// Its parent in the process tree.
        parent: ProcessKey,
        /// Thread id.
        tid: u32,
        /// Process id in its own pid namespace; 0 in the host's.
        nspid: u32,
        /// Login user id; `u32::MAX` if never set.
        auid: u32,
        /// Of [`task_flags`].
        flags: u32,
        /// Of the v2 hierarchy; 0 if unknown.
        cgroup_id: u64,
        /// Whose that cgroup is.
        identity: Identity,
        /// Inode number of the executable.
        exe_inode: u64,
        /// Its hard links; 0 for a deleted file or a memfd.
        exe_links: u32,
        /// Zero.
        reserved: u32,
        /// Credentials after the exec.
        cred: Credentials,
        /// Namespaces.
        ns: Namespaces,
        /// Command name, padded with NUL.
        comm: [u8; 16],
    }
}

record! {
    /// A successful exec. Four byte strings follow: file name, cgroup name, working directory, arguments.
    "exec_record" ExecRecord {
        /// Kind [`RecordKind::Exec`].
        header: RecordHeader,
        /// The process as it is after the exec.
        task: TaskInfo,
        /// The moment of the header on the monotonic clock, ns.
        mono_ns: u64,
        /// The thread that called exec; afterwards it is the leader.
        old_tid: u32,
        /// Of [`exec_flags`].
        flags: u32,
        /// Of [`transitions`].
        transitions: u32,
        /// Bytes of the first string.
        filename_len: u32,
        /// Bytes of the second string.
        cgroup_name_len: u32,
        /// Bytes of the third string: components, leaf first, each ended by NUL.
        cwd_len: u32,
        /// Bytes of the fourth string: arguments, each ended by NUL, argv[0] included.
        args_inline_len: u32,
        /// Bytes that the kernel has of them.
        args_total_len: u32,
        /// Bytes of them that were sent ahead in data records.
        args_data_len: u32,
        /// Zero.
        reserved: u32,
    }
}

record! {
    /// A new process, before its first instruction.
    "fork_record" ForkRecord {
        /// Kind [`RecordKind::Fork`].
        header: RecordHeader,
        /// The new process.
        key: ProcessKey,
        /// Its parent in the process tree.
        parent: ProcessKey,
        /// The process whose image it copies.
        creator: ProcessKey,
        /// Of the v2 hierarchy; 0 if unknown.
        cgroup_id: u64,
        /// Whose that cgroup is.
        identity: Identity,
        /// Process id in its own pid namespace; 0 in the host's.
        nspid: u32,
        /// Of [`task_flags`].
        flags: u32,
        /// Command name, padded with NUL.
        comm: [u8; 16],
    }
}

record! {
    /// The end of a process.
    #[derive(IntoBytes)]
    "exit_record" ExitRecord {
        /// Kind [`RecordKind::Exit`].
        header: RecordHeader,
        /// Who.
        key: ProcessKey,
        /// Its parent at this moment (1 or a sub-reaper if the first one is gone).
        parent: ProcessKey,
        /// Of the v2 hierarchy; 0 if unknown.
        cgroup_id: u64,
        /// Whose that cgroup is.
        identity: Identity,
        /// The last thread.
        tid: u32,
        /// As wait(2) has it: status << 8 | core flag 0x80 | signal.
        code: u32,
        /// Of [`task_flags`].
        flags: u32,
        /// Process id in its own pid namespace; 0 in the host's.
        nspid: u32,
    }
}

record! {
    /// One piece of a long argument list; comes before its exec record.
    "data_record" DataRecord {
        /// Kind [`RecordKind::Data`].
        header: RecordHeader,
        /// Whose.
        key: ProcessKey,
        /// Bytes of the list before this piece.
        offset: u32,
        /// Bytes of `bytes` that count.
        len: u32,
        /// The piece.
        bytes: [u8; 16384],
    }
}

record! {
    /// One process found by the task iterator.
    "scan_record" ScanRecord {
        /// Kind [`RecordKind::Scan`].
        header: RecordHeader,
        /// The process.
        task: TaskInfo,
    }
}

record! {
    /// A cgroup of the v2 hierarchy appears or disappears.
    "cgroup_record" CgroupRecord {
        /// Kind [`RecordKind::Cgroup`].
        header: RecordHeader,
        /// Its id.
        cgroup_id: u64,
        /// Id of the cgroup that it is in.
        parent_id: u64,
        /// Whose it is.
        identity: Identity,
        /// Of [`cgroup_action`].
        action: u32,
        /// Bytes of `path` that count.
        path_len: u32,
        /// From the root of the hierarchy.
        path: [u8; 1024],
    }
}

record! {
    /// The key of an announced container: the name of its last cgroup directory, padded with NUL.
    #[derive(IntoBytes)]
    "announced_name" AnnouncedName {
        /// At most 127 bytes.
        name: [u8; 128],
    }
}

record! {
    /// How far a container is: a map value, made by user space and then changed by the exec hook alone.
    #[derive(PartialEq, Eq, Default, IntoBytes)]
    "container_state" ContainerState {
        /// Its first process; 0: not known, then the next exec is its start.
        init_tgid: u32,
        /// Of [`container_flags`].
        flags: u32,
    }
}

record! {
    /// Where the entries of one hook went, on one CPU: `entered = suppressed + reserve_failed + submitted`.
    #[derive(Default)]
    "hook_counters" HookCounters {
        /// Times the program ran.
        entered: u64,
        /// Not an event by definition.
        suppressed: u64,
        /// The ring was full.
        reserve_failed: u64,
        /// Records placed in a ring.
        submitted: u64,
    }
}

macro_rules! constants {
    ($(#[$meta:meta])* $c_name:literal $module:ident { $($(#[$const_meta:meta])* $name:ident = $c_const:literal $value:expr,)* }) => {
        $(#[$meta])*
        pub mod $module {
            $($(#[$const_meta])* pub const $name: u32 = $value;)*
            /// The name of the C enumeration.
            pub const C_NAME: &str = $c_name;
            /// Members with their C names.
            pub const MEMBERS: &[(&str, u32)] = &[$(($c_const, $name),)*];
        }
    };
}

pub(crate) use constants;

constants! {
    /// Values of [`RecordHeader::kind`].
    "record_kind" kind {
        /// [`ExecRecord`](super::ExecRecord).
        EXEC = "RECORD_EXEC" 1,
        /// [`ForkRecord`](super::ForkRecord).
        FORK = "RECORD_FORK" 2,
        /// [`ExitRecord`](super::ExitRecord).
        EXIT = "RECORD_EXIT" 3,
        /// [`DataRecord`](super::DataRecord).
        DATA = "RECORD_DATA" 4,
        /// [`ScanRecord`](super::ScanRecord).
        SCAN = "RECORD_SCAN" 5,
        /// [`CgroupRecord`](super::CgroupRecord).
        CGROUP = "RECORD_CGROUP" 6,
        /// [`PolicyRecord`](crate::plan::PolicyRecord).
        POLICY = "RECORD_POLICY" 7,
    }
}

constants! {
    /// Bits of [`Identity::flags`].
    "identity_flags" identity_flags {
        /// User space has told whose it is.
        KNOWN = "IDENTITY_KNOWN" 1,
        /// Its name is that of a container; whose is not known.
        PATH = "IDENTITY_PATH" 2,
        /// Made inside a container's cgroup.
        NESTED = "IDENTITY_NESTED" 4,
        /// Recognised by its announced name when it was made.
        BOUND = "IDENTITY_BOUND" 8,
        /// Of a task: its container's own program has not been executed yet.
        SETUP = "IDENTITY_SETUP" 16,
        /// Of an exec: it is that of the container's own program.
        FIRST = "IDENTITY_FIRST" 32,
        /// Of a new cgroup: the map had no room for it.
        LOST = "IDENTITY_LOST" 64,
    }
}

constants! {
    /// Values of [`CgroupRecord::action`].
    "cgroup_action" cgroup_action {
        /// It is new.
        MADE = "CGROUP_MADE" 1,
        /// It is gone.
        REMOVED = "CGROUP_REMOVED" 2,
    }
}

constants! {
    /// Bits of [`ContainerState::flags`].
    "container_flags" container_flags {
        /// Created; its first process waits for the start.
        VERIFIED = "CONTAINER_VERIFIED" 1,
        /// Its own program has been executed.
        STARTED = "CONTAINER_STARTED" 2,
    }
}

/// The class of cgroups whose names are those of containers, before user space has told whose they are.
pub const CLASS_UNIDENTIFIED: u32 = 1;

constants! {
    /// Bits of [`TaskInfo::flags`] and its like.
    "task_flags" task_flags {
        /// A kernel thread.
        KTHREAD = "TASK_KTHREAD" 1,
        /// Somewhere inside execve.
        IN_EXEC = "TASK_IN_EXEC" 2,
        /// On its way out.
        EXITING = "TASK_EXITING" 4,
        /// A task without css_set.
        NO_CGROUP = "TASK_NO_CGROUP" 8,
        /// Its cgroup has no id.
        NO_CGROUP_ID = "TASK_NO_CGROUP_ID" 16,
        /// None of its group's threads lives any more.
        DEAD = "TASK_DEAD" 32,
    }
}

constants! {
    /// Bits of [`ExecRecord::flags`].
    "exec_flags" exec_flags {
        /// No file name in the record.
        FILENAME_UNREADABLE = "EXEC_FILENAME_UNREADABLE" 1,
        /// Arguments missing from `args_data_len` on.
        ARGS_UNREADABLE = "EXEC_ARGS_UNREADABLE" 2,
        /// The data ring was full.
        ARGS_TRUNCATED = "EXEC_ARGS_TRUNCATED" 4,
        /// No working directory in the record.
        CWD_UNREADABLE = "EXEC_CWD_UNREADABLE" 8,
        /// Only the last components.
        CWD_INCOMPLETE = "EXEC_CWD_INCOMPLETE" 16,
        /// The directory is deleted.
        CWD_UNLINKED = "EXEC_CWD_UNLINKED" 32,
        /// No cgroup name in the record.
        CGROUP_NAME_UNREADABLE = "EXEC_CGROUP_NAME_UNREADABLE" 64,
    }
}

constants! {
    /// Bits of [`ExecRecord::transitions`].
    "exec_transitions" transitions {
        /// A set-uid binary changed the effective uid.
        EUID = "TRANSITION_EUID" 1,
        /// A set-gid binary changed the effective gid.
        EGID = "TRANSITION_EGID" 2,
        /// Gained permitted capabilities from the file.
        FILE_CAPS = "TRANSITION_FILE_CAPS" 4,
        /// Non-root became root.
        ROOT_UID = "TRANSITION_ROOT_UID" 8,
        /// Non-root group became root's.
        ROOT_GID = "TRANSITION_ROOT_GID" 16,
    }
}

constants! {
    /// Rows of the ledger.
    "hook" hook {
        /// Successful execs.
        EXEC = "HOOK_EXEC" 0,
        /// New tasks.
        FORK = "HOOK_FORK" 1,
        /// Ending tasks.
        EXIT = "HOOK_EXIT" 2,
        /// Pieces of arguments.
        DATA = "HOOK_DATA" 3,
        /// Commits of credentials.
        CREDS = "HOOK_CREDS" 4,
        /// New cgroups.
        CGROUP_MKDIR = "HOOK_CGROUP_MKDIR" 5,
        /// Removed cgroups.
        CGROUP_RMDIR = "HOOK_CGROUP_RMDIR" 6,
        /// Records of policies.
        POLICY = "HOOK_POLICY" 7,
        /// How many there are.
        COUNT = "HOOKS" 8,
    }
}
