//! What a filter asks of an argument.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::Serialize;

use super::numbers::{NumberKind, Ranges};

/// What a filter asks of an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// Of a number.
    Number {
        /// How it is compared.
        kind: NumberKind,
        /// With what.
        test: NumberTest,
    },
    /// Of a text, a path, or bytes.
    Text {
        /// Which part is compared.
        how: TextMatch,
        /// Whether it must be none of the values.
        negated: bool,
        /// The values, none empty.
        values: BTreeSet<String>,
    },
    /// Of a packet or a socket.
    Net(NetTest),
    /// Of an argument whose type only the kernel tells: to be made by [`predicate`](crate::predicate) then.
    Untyped {
        /// The values as the policy gives them.
        values: Vec<String>,
    },
}

/// What a number is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberTest {
    /// A set.
    Member {
        /// Whether the number must not be in it.
        negated: bool,
        /// The set. System calls of a 32-bit ABI have bit 31 set.
        numbers: Ranges,
        /// Whether all system calls of the running kernel are in it, too.
        all_syscalls: bool,
    },
    /// The number is greater.
    Greater(i128),
    /// The number is less.
    Less(i128),
    /// The number has one of the bits set.
    Mask(u64),
}

/// Which part of a text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TextMatch {
    /// All of it.
    Whole,
    /// Its beginning.
    Prefix,
    /// Its end.
    Postfix,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Where the packet comes from, or the local end.
    Source,
    /// Where the packet goes to, or the remote end.
    Destination,
}

/// What is asked of a packet or a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetTest {
    /// The address is in one of the networks.
    Address {
        /// Which address.
        end: End,
        /// Whether it must be in none of them; it is in none only if one of them has its family.
        negated: bool,
        /// The networks, host bits cleared, IPv4 in IPv6 folded.
        networks: BTreeSet<IpNet>,
    },
    /// The port is in a set.
    Port {
        /// Which port.
        end: End,
        /// Whether it must not be in it.
        negated: bool,
        /// The set, within 0 to 65535.
        ports: Ranges,
    },
    /// The port is below 1024.
    PrivilegedPort {
        /// Which port.
        end: End,
        /// Whether it must not be.
        negated: bool,
    },
    /// The transport protocol is one of these, within 0 to 65535.
    Protocol(Ranges),
    /// The address family is one of these, within 0 to 65535.
    Family(Ranges),
    /// The state of the socket is one of these, within 0 to 255. No packet has one.
    State(Ranges),
}
