//! The words of a policy: types, operators, actions.

use super::spelled::spelled;

spelled! {
    /// How an argument is read, and what its values are compared as.
    pub enum ArgType {
        /// From the tracepoint's format; elsewhere an error.
        Auto = "auto",
        /// 32 bits, signed.
        Int = "int",
        /// 8 bits, signed.
        Int8 = "int8",
        /// 8 bits, unsigned.
        Uint8 = "uint8",
        /// 16 bits, signed.
        Int16 = "int16",
        /// 16 bits, unsigned.
        Uint16 = "uint16",
        /// 32 bits, unsigned.
        Uint32 = "uint32",
        /// 32 bits, signed.
        Int32 = "int32",
        /// 64 bits, unsigned.
        Uint64 = "uint64",
        /// 64 bits, signed.
        Int64 = "int64",
        /// Bytes whose number another argument or the return value tells.
        CharBuf = "char_buf",
        /// Bytes scattered over an array of `struct iovec`.
        CharIovec = "char_iovec",
        /// 64 bits, unsigned.
        SizeT = "size_t",
        /// `struct sk_buff *`.
        Skb = "skb",
        /// `struct sock *`.
        Sock = "sock",
        /// Text that ends with a zero byte.
        String = "string",
        /// A file descriptor, shown and compared as the path of its file.
        Fd = "fd",
        /// `struct file *`.
        File = "file",
        /// `struct filename *`.
        Filename = "filename",
        /// `struct path *`.
        Path = "path",
        /// Not read and not shown.
        Nop = "nop",
        /// `union bpf_attr *`.
        BpfAttr = "bpf_attr",
        /// `struct perf_event *`.
        PerfEvent = "perf_event",
        /// `struct bpf_map *`.
        BpfMap = "bpf_map",
        /// `struct user_namespace *`.
        UserNamespace = "user_namespace",
        /// A capability's number.
        Capability = "capability",
        /// `struct kiocb *`.
        Kiocb = "kiocb",
        /// `struct iov_iter *`.
        IovIter = "iov_iter",
        /// `struct cred *`.
        Cred = "cred",
        /// `struct load_info *`.
        LoadInfo = "load_info",
        /// `struct module *`.
        Module = "module",
        /// A system call's number, with its ABI.
        Syscall64 = "syscall64",
        /// `kernel_cap_t *`.
        KernelCap = "kernel_cap_t",
        /// `kernel_cap_t *`, the inheritable set.
        CapInheritable = "cap_inheritable",
        /// `kernel_cap_t *`, the permitted set.
        CapPermitted = "cap_permitted",
        /// `kernel_cap_t *`, the effective set.
        CapEffective = "cap_effective",
        /// `struct linux_binprm *`.
        LinuxBinprm = "linux_binprm",
        /// A tracepoint's text of variable length.
        DataLoc = "data_loc",
        /// `struct net_device *`.
        NetDevice = "net_device",
    }
}

spelled! {
    /// How an argument relates to the values of a filter.
    pub enum ArgOperator {
        /// Any of the values.
        Equal = "Equal",
        /// None of the values.
        NotEqual = "NotEqual",
        /// Begins with any of the values.
        Prefix = "Prefix",
        /// Begins with none of the values.
        NotPrefix = "NotPrefix",
        /// Ends with any of the values.
        Postfix = "Postfix",
        /// Ends with none of the values.
        NotPostfix = "NotPostfix",
        /// Greater than any of the values.
        GreaterThan = "GreaterThan",
        /// Less than any of the values.
        LessThan = "LessThan",
        /// The same as GreaterThan.
        Gt = "GT",
        /// The same as LessThan.
        Lt = "LT",
        /// Has a bit of any of the values set.
        Mask = "Mask",
        /// The source port is one of the values.
        SPort = "SPort",
        /// The source port is none of the values.
        NotSPort = "NotSPort",
        /// The source port is below 1024.
        SPortPriv = "SPortPriv",
        /// The source port is not below 1024.
        NotSPortPriv = "NotSportPriv",
        /// The destination port is one of the values.
        DPort = "DPort",
        /// The destination port is none of the values.
        NotDPort = "NotDPort",
        /// The destination port is below 1024.
        DPortPriv = "DPortPriv",
        /// The destination port is not below 1024.
        NotDPortPriv = "NotDPortPriv",
        /// The source address is in one of the networks.
        SAddr = "SAddr",
        /// The source address is in none of the networks.
        NotSAddr = "NotSAddr",
        /// The destination address is in one of the networks.
        DAddr = "DAddr",
        /// The destination address is in none of the networks.
        NotDAddr = "NotDAddr",
        /// The transport protocol is one of the values.
        Protocol = "Protocol",
        /// The address family is one of the values.
        Family = "Family",
        /// The state of the socket is one of the values.
        State = "State",
        /// A member of a large set.
        InMap = "InMap",
        /// No member of a large set.
        NotInMap = "NotInMap",
    }
}

spelled! {
    /// Whether something is, or is not, among the values.
    pub enum Membership {
        /// Among them.
        In = "In",
        /// Not among them.
        NotIn = "NotIn",
    }
}

spelled! {
    /// How the path of a process's program relates to the values.
    pub enum BinaryOperator {
        /// One of the values.
        In = "In",
        /// None of the values.
        NotIn = "NotIn",
        /// Begins with one of the values.
        Prefix = "Prefix",
        /// Begins with none of the values.
        NotPrefix = "NotPrefix",
        /// Ends with one of the values.
        Postfix = "Postfix",
        /// Ends with none of the values.
        NotPostfix = "NotPostfix",
    }
}

spelled! {
    /// How a label relates to the values of a requirement.
    pub enum LabelOperator {
        /// The label is there with one of the values.
        In = "In",
        /// The label is not there, or with none of the values.
        NotIn = "NotIn",
        /// The label is there.
        Exists = "Exists",
        /// The label is not there.
        DoesNotExist = "DoesNotExist",
    }
}

spelled! {
    /// A kind of namespace.
    pub enum NamespaceName {
        /// Host name.
        Uts = "Uts",
        /// System V IPC and message queues.
        Ipc = "Ipc",
        /// Mounts.
        Mnt = "Mnt",
        /// Process ids.
        Pid = "Pid",
        /// Process ids of future children.
        PidForChildren = "PidForChildren",
        /// Network.
        Net = "Net",
        /// Clocks.
        Time = "Time",
        /// Clocks of future children.
        TimeForChildren = "TimeForChildren",
        /// Control groups.
        Cgroup = "Cgroup",
        /// Users and capabilities.
        User = "User",
    }
}

spelled! {
    /// One of a process's capability sets.
    pub enum CapabilitySet {
        /// What the process can do.
        Effective = "Effective",
        /// What survives an exec.
        Inheritable = "Inheritable",
        /// What the process may make effective.
        Permitted = "Permitted",
    }
}

spelled! {
    /// What is done when a selector matches.
    pub enum ActionName {
        /// Emit the event.
        Post = "Post",
        /// Remember the path of a file descriptor.
        FollowFd = "FollowFD",
        /// Forget the path of a file descriptor.
        UnfollowFd = "UnfollowFD",
        /// Kill the process.
        Sigkill = "Sigkill",
        /// Remember the path of a file descriptor for another one.
        CopyFd = "CopyFD",
        /// Skip the function and return a value of the policy's.
        Override = "Override",
        /// Request a URL.
        GetUrl = "GetUrl",
        /// Look a name up.
        DnsLookup = "DnsLookup",
        /// Emit no event.
        NoPost = "NoPost",
        /// Send the process a signal.
        Signal = "Signal",
        /// Remember the owner of a socket.
        TrackSock = "TrackSock",
        /// Forget the owner of a socket.
        UntrackSock = "UntrackSock",
        /// Have the enforcer act.
        NotifyEnforcer = "NotifyEnforcer",
    }
}

spelled! {
    /// What the values of a list are.
    pub enum ListType {
        /// System calls.
        Syscalls = "syscalls",
        /// All system calls of the running kernel.
        GeneratedSyscalls = "generated_syscalls",
        /// All traceable functions of the running kernel whose names match a pattern.
        GeneratedFtrace = "generated_ftrace",
    }
}
