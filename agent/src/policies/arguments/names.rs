//! Names of the kernel's numbers.

/// The name that stands at the number's place, or the number.
pub(super) fn in_order(prefix: &str, names: &[&str], number: u32) -> String {
    match names.get(number as usize).filter(|name| !name.is_empty()) {
        Some(name) => format!("{prefix}{name}"),
        None => number.to_string(),
    }
}

/// The name that stands beside the number, or the number.
pub(super) fn listed(prefix: &str, names: &[(u16, &str)], number: u16) -> String {
    match names.iter().find(|(other, _)| *other == number) {
        Some((_, name)) => format!("{prefix}{name}"),
        None => number.to_string(),
    }
}

/// Address families.
pub(super) fn family(number: u16) -> String {
    const NAMES: [&str; 46] = [
        "UNSPEC",
        "UNIX",
        "INET",
        "AX25",
        "IPX",
        "APPLETALK",
        "NETROM",
        "BRIDGE",
        "ATMPVC",
        "X25",
        "INET6",
        "ROSE",
        "DECnet",
        "NETBEUI",
        "SECURITY",
        "KEY",
        "NETLINK",
        "PACKET",
        "ASH",
        "ECONET",
        "ATMSVC",
        "RDS",
        "",
        "IRDA",
        "PPPOX",
        "WANPIPE",
        "LLC",
        "IB",
        "MPLS",
        "CAN",
        "TIPC",
        "BLUETOOTH",
        "IUCV",
        "RXRPC",
        "ISDN",
        "PHONET",
        "IEEE802154",
        "CAIF",
        "ALG",
        "NFC",
        "VSOCK",
        "KCM",
        "QIPCRTR",
        "SMC",
        "XDP",
        "MCTP",
    ];
    in_order("AF_", &NAMES, number.into())
}

/// Types of sockets.
pub(super) fn socket_type(number: u16) -> String {
    const NAMES: [(u16, &str); 7] =
        [(1, "STREAM"), (2, "DGRAM"), (3, "RAW"), (4, "RDM"), (5, "SEQPACKET"), (6, "DCCP"), (10, "PACKET")];
    listed("SOCK_", &NAMES, number)
}

/// Transport protocols.
pub(super) fn protocol(number: u16) -> String {
    const NAMES: [(u16, &str); 27] = [
        (0, "IP"),
        (1, "ICMP"),
        (2, "IGMP"),
        (4, "IPIP"),
        (6, "TCP"),
        (8, "EGP"),
        (12, "PUP"),
        (17, "UDP"),
        (22, "IDP"),
        (29, "TP"),
        (33, "DCCP"),
        (41, "IPV6"),
        (46, "RSVP"),
        (47, "GRE"),
        (50, "ESP"),
        (51, "AH"),
        (92, "MTP"),
        (94, "BEETPH"),
        (98, "ENCAP"),
        (103, "PIM"),
        (108, "COMP"),
        (132, "SCTP"),
        (136, "UDPLITE"),
        (137, "MPLS"),
        (143, "ETHERNET"),
        (255, "RAW"),
        (262, "MPTCP"),
    ];
    listed("IPPROTO_", &NAMES, number)
}

/// States of sockets, of all kinds in the terms of TCP.
pub(super) fn state(number: u8) -> String {
    const NAMES: [&str; 13] = [
        "",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    in_order("TCP_", &NAMES, number.into())
}

/// Types of BPF maps.
pub(super) fn map_type(number: u32) -> String {
    const NAMES: [&str; 34] = [
        "UNSPEC",
        "HASH",
        "ARRAY",
        "PROG_ARRAY",
        "PERF_EVENT_ARRAY",
        "PERCPU_HASH",
        "PERCPU_ARRAY",
        "STACK_TRACE",
        "CGROUP_ARRAY",
        "LRU_HASH",
        "LRU_PERCPU_HASH",
        "LPM_TRIE",
        "ARRAY_OF_MAPS",
        "HASH_OF_MAPS",
        "DEVMAP",
        "SOCKMAP",
        "CPUMAP",
        "XSKMAP",
        "SOCKHASH",
        "CGROUP_STORAGE",
        "REUSEPORT_SOCKARRAY",
        "PERCPU_CGROUP_STORAGE",
        "QUEUE",
        "STACK",
        "SK_STORAGE",
        "DEVMAP_HASH",
        "STRUCT_OPS",
        "RINGBUF",
        "INODE_STORAGE",
        "TASK_STORAGE",
        "BLOOM_FILTER",
        "USER_RINGBUF",
        "CGRP_STORAGE",
        "ARENA",
    ];
    in_order("BPF_MAP_TYPE_", &NAMES, number)
}

/// Types of perf events.
pub(super) fn perf_type(number: u32) -> String {
    const NAMES: [&str; 7] = ["HARDWARE", "SOFTWARE", "TRACEPOINT", "HW_CACHE", "RAW", "BREAKPOINT", "MAX"];
    in_order("PERF_TYPE_", &NAMES, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_the_kernel_s_numbers() {
        let numbers = [
            (libc::AF_UNSPEC, "AF_UNSPEC"),
            (libc::AF_UNIX, "AF_UNIX"),
            (libc::AF_INET, "AF_INET"),
            (libc::AF_APPLETALK, "AF_APPLETALK"),
            (libc::AF_INET6, "AF_INET6"),
            (libc::AF_NETLINK, "AF_NETLINK"),
            (libc::AF_PACKET, "AF_PACKET"),
            (libc::AF_RDS, "AF_RDS"),
            (libc::AF_IRDA, "AF_IRDA"),
            (libc::AF_LLC, "AF_LLC"),
            (libc::AF_CAN, "AF_CAN"),
            (libc::AF_TIPC, "AF_TIPC"),
            (libc::AF_BLUETOOTH, "AF_BLUETOOTH"),
            (libc::AF_ALG, "AF_ALG"),
            (libc::AF_VSOCK, "AF_VSOCK"),
            (libc::AF_XDP, "AF_XDP"),
            (45, "AF_MCTP"),
            (22, "22"),
            (99, "99"),
        ];
        for (number, name) in numbers {
            assert_eq!(family(u16::try_from(number).unwrap()), name);
        }
    }

    #[test]
    fn other_numbers_have_their_names_too() {
        let types: Vec<String> = [1, 2, 3, 4, 5, 6, 10, 7].map(socket_type).into();
        assert_eq!(
            types,
            [
                "SOCK_STREAM",
                "SOCK_DGRAM",
                "SOCK_RAW",
                "SOCK_RDM",
                "SOCK_SEQPACKET",
                "SOCK_DCCP",
                "SOCK_PACKET",
                "7"
            ]
        );
        let protocols: Vec<String> = [0, 6, 17, 58, 132, 255, 262, 65535].map(protocol).into();
        assert_eq!(
            protocols,
            [
                "IPPROTO_IP",
                "IPPROTO_TCP",
                "IPPROTO_UDP",
                "58",
                "IPPROTO_SCTP",
                "IPPROTO_RAW",
                "IPPROTO_MPTCP",
                "65535"
            ]
        );
        let states: Vec<String> = [0, 1, 7, 10, 12, 13].map(state).into();
        assert_eq!(states, ["0", "TCP_ESTABLISHED", "TCP_CLOSE", "TCP_LISTEN", "TCP_NEW_SYN_RECV", "13"]);
        let maps: Vec<String> = [0, 9, 27, 30, 33, 34].map(map_type).into();
        assert_eq!(
            maps,
            [
                "BPF_MAP_TYPE_UNSPEC",
                "BPF_MAP_TYPE_LRU_HASH",
                "BPF_MAP_TYPE_RINGBUF",
                "BPF_MAP_TYPE_BLOOM_FILTER",
                "BPF_MAP_TYPE_ARENA",
                "34"
            ]
        );
        let perf: Vec<String> = [0, 2, 5, 6, 7].map(perf_type).into();
        assert_eq!(
            perf,
            ["PERF_TYPE_HARDWARE", "PERF_TYPE_TRACEPOINT", "PERF_TYPE_BREAKPOINT", "PERF_TYPE_MAX", "7"]
        );
    }
}
