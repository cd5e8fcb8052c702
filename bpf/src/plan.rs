//! What the matcher is told and what it tells: `c/policy/plan.h`, byte for byte.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::{Credentials, Identity, Member, ProcessKey, RecordHeader, constants, record};

/// Arguments of a hook.
pub const PLAN_READERS: usize = 5;
/// Selectors of a hook.
pub const PLAN_SELECTORS: usize = 5;
/// Actions of a selector.
pub const PLAN_ACTIONS: usize = 3;
/// Comparisons of a hook.
pub const PLAN_OPS: usize = 112;
/// Maps of texts, by their length.
pub const TEXT_CLASSES: usize = 8;
/// Bytes of a key of each of these maps, the length's four included (`c/policy/maps.h`).
pub const TEXT_KEYS: [usize; TEXT_CLASSES] = [32, 64, 128, 256, 512, 1024, 2048, 4100];
/// Bytes of a beginning that is compared (`c/policy/maps.h`).
pub const PREFIX_BYTES: usize = 256;
/// Bytes of an end that is compared (`c/policy/maps.h`).
pub const POSTFIX_BYTES: usize = 128;
/// The class whose rules hold for classes without any.
pub const CLASS_OTHERS: u32 = u32::MAX;
/// Plans of one element of the rules.
pub const RULE_PLANS: usize = 14;
/// Elements of the rules for one class at one hook.
pub const RULE_CHUNKS_MAX: usize = 16;
/// Bytes of arguments that a record can carry.
pub const POLICY_DATA_MAX: usize = 20480;
/// Frames of a stack.
pub const STACK_FRAMES_MAX: usize = 127;

constants! {
    /// Where a value is.
    "plan_source_kind" source {
        /// None.
        NONE = "SOURCE_NONE" 0,
        /// Of a function, from 0.
        ARGUMENT = "SOURCE_ARGUMENT" 1,
        /// Of a system call, from 0.
        SYSCALL = "SOURCE_SYSCALL" 2,
        /// Of a tracepoint's record.
        FIELD = "SOURCE_FIELD" 3,
        /// Return.
        RETURN = "SOURCE_RETURN" 4,
    }
}

record! {
    /// Plan source.
    #[derive(PartialEq, Eq, IntoBytes)]
    "plan_source" PlanSource {
        /// One of `enum plan_source_kind`.
        kind: u8,
        /// Of an argument; of a field its bytes: 1, 2, 4 or 8.
        index: u8,
        /// Of a field, in bytes.
        offset: u16,
    }
}

constants! {
    /// As what a value is read. The numbers are those of the contract's table of types.
    "capture_type" capture {
        /// Not read.
        NONE = "CAPTURE_NONE" 0,
        /// Int.
        INT = "CAPTURE_INT" 1,
        /// Char buf.
        CHAR_BUF = "CAPTURE_CHAR_BUF" 2,
        /// Char iovec.
        CHAR_IOVEC = "CAPTURE_CHAR_IOVEC" 3,
        /// Size.
        SIZE = "CAPTURE_SIZE" 4,
        /// Skb.
        SKB = "CAPTURE_SKB" 5,
        /// String.
        STRING = "CAPTURE_STRING" 6,
        /// Sock.
        SOCK = "CAPTURE_SOCK" 7,
        /// Cred.
        CRED = "CAPTURE_CRED" 8,
        /// S64.
        S64 = "CAPTURE_S64" 10,
        /// U64.
        U64 = "CAPTURE_U64" 11,
        /// S32.
        S32 = "CAPTURE_S32" 12,
        /// U32.
        U32 = "CAPTURE_U32" 13,
        /// Filename.
        FILENAME = "CAPTURE_FILENAME" 14,
        /// Path.
        PATH = "CAPTURE_PATH" 15,
        /// File.
        FILE = "CAPTURE_FILE" 16,
        /// Fd.
        FD = "CAPTURE_FD" 17,
        /// Plan_reader.array_size bytes of the tracepoint's record.
        CONST_BUF = "CAPTURE_CONST_BUF" 18,
        /// Bpf attr.
        BPF_ATTR = "CAPTURE_BPF_ATTR" 19,
        /// Perf event.
        PERF_EVENT = "CAPTURE_PERF_EVENT" 20,
        /// Bpf map.
        BPF_MAP = "CAPTURE_BPF_MAP" 21,
        /// User namespace.
        USER_NAMESPACE = "CAPTURE_USER_NAMESPACE" 22,
        /// Capability.
        CAPABILITY = "CAPTURE_CAPABILITY" 23,
        /// Kiocb.
        KIOCB = "CAPTURE_KIOCB" 24,
        /// Iov iter.
        IOV_ITER = "CAPTURE_IOV_ITER" 25,
        /// Load info.
        LOAD_INFO = "CAPTURE_LOAD_INFO" 26,
        /// Module.
        MODULE = "CAPTURE_MODULE" 27,
        /// Syscall64.
        SYSCALL64 = "CAPTURE_SYSCALL64" 28,
        /// S16.
        S16 = "CAPTURE_S16" 29,
        /// U16.
        U16 = "CAPTURE_U16" 30,
        /// S8.
        S8 = "CAPTURE_S8" 31,
        /// U8.
        U8 = "CAPTURE_U8" 32,
        /// Kernel cap.
        KERNEL_CAP = "CAPTURE_KERNEL_CAP" 33,
        /// Cap inheritable.
        CAP_INHERITABLE = "CAPTURE_CAP_INHERITABLE" 34,
        /// Cap permitted.
        CAP_PERMITTED = "CAPTURE_CAP_PERMITTED" 35,
        /// Cap effective.
        CAP_EFFECTIVE = "CAPTURE_CAP_EFFECTIVE" 36,
        /// Linux binprm.
        LINUX_BINPRM = "CAPTURE_LINUX_BINPRM" 37,
        /// Data loc.
        DATA_LOC = "CAPTURE_DATA_LOC" 38,
        /// Net device.
        NET_DEVICE = "CAPTURE_NET_DEVICE" 39,
    }
}

constants! {
    /// Reader flags.
    "reader_flags" reader_flags {
        /// At return.
        AT_RETURN = "READER_AT_RETURN" 1,
        /// Max data.
        MAX_DATA = "READER_MAX_DATA" 2,
    }
}

record! {
    /// Plan reader.
    #[derive(PartialEq, Eq, IntoBytes)]
    "plan_reader" PlanReader {
        /// Value.
        value: PlanSource,
        /// Of bytes: where their number is.
        size: PlanSource,
        /// One of `enum capture_type`.
        capture: u16,
        /// One of `enum reader_flags`.
        flags: u16,
        /// Bytes.
        array_size: u32,
    }
}

constants! {
    /// One comparison. Numbers are compared as unsigned; of a signed type, with the sign bit turned round.
    "op_kind" op_kind {
        /// Argument within a to b, both included.
        NUMBER_RANGE = "OP_NUMBER_RANGE" 1,
        /// Argument within a range of the set `slot`.
        NUMBER_SET = "OP_NUMBER_SET" 2,
        /// Argument & a.
        NUMBER_MASK = "OP_NUMBER_MASK" 3,
        /// Argument in the sets of its length class.
        TEXT_EQUAL = "OP_TEXT_EQUAL" 4,
        /// Text prefix.
        TEXT_PREFIX = "OP_TEXT_PREFIX" 5,
        /// Text postfix.
        TEXT_POSTFIX = "OP_TEXT_POSTFIX" 6,
        /// `slot` for IPv4, a for IPv6; 0: no network of that family.
        NET_ADDRESS = "OP_NET_ADDRESS" 7,
        /// One of `enum net_part` within a to b.
        NET_NUMBER_RANGE = "OP_NET_NUMBER_RANGE" 8,
        /// Net number set.
        NET_NUMBER_SET = "OP_NET_NUMBER_SET" 9,
        /// One of `enum pid_flags` in `what`.
        PID_RANGE = "OP_PID_RANGE" 10,
        /// Pid set.
        PID_SET = "OP_PID_SET" 11,
        /// Of the process's program; `what`: 1 + bit for its descendants, 0: none.
        BINARY_EQUAL = "OP_BINARY_EQUAL" 12,
        /// Binary prefix.
        BINARY_PREFIX = "OP_BINARY_PREFIX" 13,
        /// Binary postfix.
        BINARY_POSTFIX = "OP_BINARY_POSTFIX" 14,
        /// One of `enum namespace_index` has inode a.
        NAMESPACE = "OP_NAMESPACE" 15,
        /// Any of the bits a (by enum namespace_index).
        NAMESPACE_CHANGED = "OP_NAMESPACE_CHANGED" 16,
        /// Any of the bits a; enum capability_flags in `what`.
        CAPABILITIES = "OP_CAPABILITIES" 17,
        /// Any of the bits a has changed; negated: none has, but another has.
        CAPABILITIES_CHANGED = "OP_CAPABILITIES_CHANGED" 18,
    }
}

constants! {
    /// Op flags.
    "op_flags" op_flags {
        /// Or the next one.
        MORE = "OP_MORE" 1,
        /// On the last of a chain: none of them.
        NEGATED = "OP_NEGATED" 2,
    }
}

constants! {
    /// Net part.
    "net_part" net_part {
        /// Source port.
        SOURCE_PORT = "NET_SOURCE_PORT" 0,
        /// Destination port.
        DESTINATION_PORT = "NET_DESTINATION_PORT" 1,
        /// Protocol.
        PROTOCOL = "NET_PROTOCOL" 2,
        /// Family.
        FAMILY = "NET_FAMILY" 3,
        /// State.
        STATE = "NET_STATE" 4,
        /// Source address.
        SOURCE_ADDRESS = "NET_SOURCE_ADDRESS" 5,
        /// Destination address.
        DESTINATION_ADDRESS = "NET_DESTINATION_ADDRESS" 6,
    }
}

constants! {
    /// Pid flags.
    "pid_flags" pid_flags {
        /// In namespace.
        IN_NAMESPACE = "PID_IN_NAMESPACE" 1,
        /// Follow forks.
        FOLLOW_FORKS = "PID_FOLLOW_FORKS" 2,
    }
}

constants! {
    /// In the order of struct namespaces.
    "namespace_index" namespace_index {
        /// Uts.
        UTS = "NAMESPACE_UTS" 0,
        /// Ipc.
        IPC = "NAMESPACE_IPC" 1,
        /// Mnt.
        MNT = "NAMESPACE_MNT" 2,
        /// Pid.
        PID = "NAMESPACE_PID" 3,
        /// Pid for children.
        PID_FOR_CHILDREN = "NAMESPACE_PID_FOR_CHILDREN" 4,
        /// Net.
        NET = "NAMESPACE_NET" 5,
        /// Time.
        TIME = "NAMESPACE_TIME" 6,
        /// Time for children.
        TIME_FOR_CHILDREN = "NAMESPACE_TIME_FOR_CHILDREN" 7,
        /// Cgroup.
        CGROUP = "NAMESPACE_CGROUP" 8,
        /// User.
        USER = "NAMESPACE_USER" 9,
        /// How many there are.
        COUNT = "NAMESPACES" 10,
    }
}

constants! {
    /// Capability flags.
    "capability_flags" capability_flags {
        /// Effective.
        EFFECTIVE = "CAPABILITY_EFFECTIVE" 0,
        /// Inheritable.
        INHERITABLE = "CAPABILITY_INHERITABLE" 1,
        /// Permitted.
        PERMITTED = "CAPABILITY_PERMITTED" 2,
        /// Mask of the above.
        SET = "CAPABILITY_SET" 3,
        /// Outside the user namespace of the machine's process 1.
        OUTSIDE = "CAPABILITY_OUTSIDE" 4,
    }
}

record! {
    /// Plan op.
    #[derive(PartialEq, Eq, IntoBytes)]
    "plan_op" PlanOp {
        /// One of `enum op_kind`.
        kind: u8,
        /// One of `enum op_flags`.
        flags: u8,
        /// Position of the reader; PLAN_READERS: the return value.
        arg: u8,
        /// What.
        what: u8,
        /// Slot.
        slot: u32,
        /// A and b; of OP_TEXT_EQUAL and OP_BINARY_EQUAL instead a __u16 slot for each length class, 0: no value.
        value: [u64; 2],
    }
}

constants! {
    /// The numbers of the contract.
    "action_kind" action_kind {
        /// Post.
        POST = "ACTION_POST" 0,
        /// Follow fd.
        FOLLOW_FD = "ACTION_FOLLOW_FD" 1,
        /// Sigkill.
        SIGKILL = "ACTION_SIGKILL" 2,
        /// Unfollow fd.
        UNFOLLOW_FD = "ACTION_UNFOLLOW_FD" 3,
        /// Override.
        OVERRIDE = "ACTION_OVERRIDE" 4,
        /// Copy fd.
        COPY_FD = "ACTION_COPY_FD" 5,
        /// Get url.
        GET_URL = "ACTION_GET_URL" 6,
        /// Dns lookup.
        DNS_LOOKUP = "ACTION_DNS_LOOKUP" 7,
        /// No post.
        NO_POST = "ACTION_NO_POST" 8,
        /// Signal.
        SIGNAL = "ACTION_SIGNAL" 9,
        /// Track sock.
        TRACK_SOCK = "ACTION_TRACK_SOCK" 10,
        /// Untrack sock.
        UNTRACK_SOCK = "ACTION_UNTRACK_SOCK" 11,
        /// Notify enforcer.
        NOTIFY_ENFORCER = "ACTION_NOTIFY_ENFORCER" 12,
    }
}

constants! {
    /// Action flags.
    "action_flags" action_flags {
        /// Kernel stack.
        KERNEL_STACK = "ACTION_KERNEL_STACK" 1,
        /// User stack.
        USER_STACK = "ACTION_USER_STACK" 2,
    }
}

constants! {
    /// Rate scope.
    "rate_scope" rate_scope {
        /// Thread.
        THREAD = "RATE_THREAD" 0,
        /// Process.
        PROCESS = "RATE_PROCESS" 1,
        /// Global.
        GLOBAL = "RATE_GLOBAL" 2,
    }
}

record! {
    /// Plan action.
    #[derive(PartialEq, Eq, IntoBytes)]
    "plan_action" PlanAction {
        /// One of `enum action_kind`.
        kind: u8,
        /// One of `enum action_flags`.
        flags: u8,
        /// Of ACTION_SIGNAL.
        signal: u8,
        /// One of `enum rate_scope`.
        scope: u8,
        /// `ACTION_POST`: milliseconds between events, 0: no limit. `ACTION_OVERRIDE`: the errno to be returned.
        value: u32,
    }
}

record! {
    /// Plan selector.
    #[derive(PartialEq, Eq, IntoBytes)]
    "plan_selector" PlanSelector {
        /// First op.
        first_op: u16,
        /// Ops.
        ops: u16,
        /// First return op.
        first_return_op: u16,
        /// Return ops.
        return_ops: u16,
        /// Actions.
        actions: u8,
        /// Return actions.
        return_actions: u8,
        /// Zero.
        reserved: [u8; 6],
        /// Action.
        action: [PlanAction; PLAN_ACTIONS],
        /// Return action.
        return_action: [PlanAction; PLAN_ACTIONS],
    }
}

constants! {
    /// Plan flags.
    "plan_flags" plan_flags {
        /// A return record follows each entry record.
        RETURNS = "PLAN_RETURNS" 1,
        /// Signals are not sent.
        MONITOR = "PLAN_MONITOR" 2,
        /// A filter on an argument that cannot be read matches.
        MATCH_UNREADABLE = "PLAN_MATCH_UNREADABLE" 4,
    }
}

record! {
    /// Written by the kernel only; sums over all CPUs.
    #[derive(PartialEq, Eq, IntoBytes)]
    "plan_counters" PlanCounters {
        /// Matched.
        matched: u64,
        /// Records in the ring.
        posted: u64,
        /// By NoPost.
        suppressed: u64,
        /// By a rate limit.
        limited: u64,
        /// No room in the ring.
        lost: u64,
        /// Sent.
        signals: u64,
        /// Signal errors.
        signal_errors: u64,
        /// Calls whose return is awaited, in all.
        pending: u64,
        /// Of those, returned.
        joined: u64,
        /// No room to remember the call.
        pending_lost: u64,
        /// No return filter matched.
        return_unmatched: u64,
        /// Calls that were to be refused.
        overridden: u64,
    }
}

record! {
    /// Plan.
    #[derive(PartialEq, Eq, IntoBytes)]
    "plan" Plan {
        /// Never used twice.
        generation: u64,
        /// Policy.
        policy: u32,
        /// One of `enum plan_flags`.
        flags: u16,
        /// Readers.
        readers: u8,
        /// Selectors.
        selectors: u8,
        /// The last one reads the return value.
        reader: [PlanReader; PLAN_READERS + 1],
        /// Selector.
        selector: [PlanSelector; PLAN_SELECTORS],
        /// Op.
        op: [PlanOp; PLAN_OPS],
        /// Counters.
        counters: PlanCounters,
    }
}

record! {
    /// Rule key.
    #[derive(PartialEq, Eq, IntoBytes)]
    "rule_key" RuleKey {
        /// Hook.
        hook: u32,
        /// Class.
        class: u32,
        /// 0, then on while `more`.
        chunk: u32,
        /// Zero.
        reserved: u32,
    }
}

record! {
    /// Rule.
    #[derive(PartialEq, Eq, IntoBytes)]
    "rule" Rule {
        /// Elements of old kernels' maps may be reused while they are read.
        key: RuleKey,
        /// Count.
        count: u32,
        /// More.
        more: u32,
        /// Plan.
        plan: [u32; RULE_PLANS],
    }
}

constants! {
    /// Captured flags.
    "captured_flags" captured_flags {
        /// It was tried.
        READ = "CAPTURED_READ" 1,
        /// Not faulted in, or a bad pointer.
        UNREADABLE = "CAPTURED_UNREADABLE" 2,
        /// `extra` has the original size.
        TRUNCATED = "CAPTURED_TRUNCATED" 4,
        /// Of a path: the beginning is missing.
        INCOMPLETE = "CAPTURED_INCOMPLETE" 8,
        /// Of a path: the file has no name any more.
        UNLINKED = "CAPTURED_UNLINKED" 16,
        /// The bytes came in data records before this one.
        IN_PIECES = "CAPTURED_IN_PIECES" 32,
    }
}

record! {
    /// An argument in a record.
    #[derive(IntoBytes)]
    "captured" Captured {
        /// One of `enum capture_type`.
        capture: u16,
        /// One of `enum captured_flags`.
        flags: u16,
        /// Of its bytes in the data that follows the record.
        offset: u32,
        /// Bytes there; 0 for numbers.
        len: u32,
        /// Of a file: st_mode.
        mode: u32,
        /// A number, sign-extended if it has a sign; of bytes, how many there were.
        value: u64,
    }
}

constants! {
    /// Policy phase.
    "policy_phase" phase {
        /// All there is.
        CALL = "PHASE_CALL" 0,
        /// Its return will follow.
        ENTRY = "PHASE_ENTRY" 1,
        /// Return.
        RETURN = "PHASE_RETURN" 2,
        /// It has returned, and no return filter matched: the entry is no event.
        CANCELLED = "PHASE_CANCELLED" 3,
    }
}

record! {
    /// A matching call. Followed by data_len bytes: what arguments and stacks refer to.
    #[derive(IntoBytes)]
    "policy_record" PolicyRecord {
        /// Header.
        header: RecordHeader,
        /// Key.
        key: ProcessKey,
        /// Cgroup id.
        cgroup_id: u64,
        /// Identity.
        identity: Identity,
        /// Of the plan.
        generation: u64,
        /// Boot clock at entry: with tid, joins entry and return.
        entry_ns: u64,
        /// Within the hooked function; 0 at tracepoints.
        ip: u64,
        /// Plan.
        plan: u32,
        /// Policy.
        policy: u32,
        /// Hook.
        hook: u32,
        /// Tid.
        tid: u32,
        /// One of `enum policy_phase`.
        phase: u8,
        /// Selector.
        selector: u8,
        /// One of `enum action_kind`: the last one that ran.
        action: u8,
        /// How many of `arg` are the policy's; arg[PLAN_READERS] is the return value.
        readers: u8,
        /// 0, or the negative errno with which a signal could not be sent.
        action_error: i32,
        /// Kernel stack at.
        kernel_stack_at: u32,
        /// Bytes, 8 a frame, leaf first.
        kernel_stack_len: u32,
        /// User stack at.
        user_stack_at: u32,
        /// User stack len.
        user_stack_len: u32,
        /// Data len.
        data_len: u32,
        /// Zero.
        reserved: u32,
        /// Arg.
        arg: [Captured; PLAN_READERS + 1],
    }
}

record! {
    /// What is read of the kernel's structures: the bytes of an argument of that type. Addresses in network order.
    #[derive(IntoBytes)]
    "captured_sock" CapturedSock {
        /// IPv4: the first four.
        source: [u8; 16],
        /// Destination.
        destination: [u8; 16],
        /// Address of the sock.
        cookie: u64,
        /// Mark.
        mark: u32,
        /// Priority.
        priority: u32,
        /// Family.
        family: u16,
        /// Sock type.
        sock_type: u16,
        /// Protocol.
        protocol: u16,
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// State.
        state: u8,
        /// Zero.
        reserved: [u8; 5],
    }
}

record! {
    /// Captured skb.
    #[derive(IntoBytes)]
    "captured_skb" CapturedSkb {
        /// Source.
        source: [u8; 16],
        /// Destination.
        destination: [u8; 16],
        /// Hash.
        hash: u32,
        /// Len.
        len: u32,
        /// Priority.
        priority: u32,
        /// Mark.
        mark: u32,
        /// Secpath len.
        secpath_len: u32,
        /// Secpath olen.
        secpath_olen: u32,
        /// 0: no IP packet.
        family: u16,
        /// Protocol.
        protocol: u16,
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
    }
}

record! {
    /// Captured user ns.
    #[derive(IntoBytes)]
    "captured_user_ns" CapturedUserNs {
        /// Level.
        level: i32,
        /// Uid.
        uid: u32,
        /// Gid.
        gid: u32,
        /// Inode.
        inode: u32,
    }
}

record! {
    /// Captured cred.
    #[derive(IntoBytes)]
    "captured_cred" CapturedCred {
        /// Cred.
        cred: Credentials,
        /// User ns.
        user_ns: CapturedUserNs,
    }
}

record! {
    /// Captured bpf attr.
    #[derive(IntoBytes)]
    "captured_bpf_attr" CapturedBpfAttr {
        /// Prog type.
        prog_type: u32,
        /// Insn cnt.
        insn_cnt: u32,
        /// Prog name.
        prog_name: [u8; 16],
    }
}

record! {
    /// Captured bpf map.
    #[derive(IntoBytes)]
    "captured_bpf_map" CapturedBpfMap {
        /// Map type.
        map_type: u32,
        /// Key size.
        key_size: u32,
        /// Value size.
        value_size: u32,
        /// Max entries.
        max_entries: u32,
        /// Map name.
        map_name: [u8; 16],
    }
}

record! {
    /// Captured perf event.
    #[derive(IntoBytes)]
    "captured_perf_event" CapturedPerfEvent {
        /// Config.
        config: u64,
        /// Probe offset.
        probe_offset: u64,
        /// Event type.
        event_type: u32,
        /// Zero.
        reserved: u32,
        /// Function.
        function: [u8; 128],
    }
}

record! {
    /// Captured module.
    #[derive(IntoBytes)]
    "captured_module" CapturedModule {
        /// Taints.
        taints: u64,
        /// Signature ok.
        signature_ok: u32,
        /// Zero.
        reserved: u32,
        /// Name.
        name: [u8; 64],
    }
}
