//! Sockets, packets and devices: every operator on each, against a model of its own.

mod devices;
mod packets;
mod sockets;

use std::net::{IpAddr, SocketAddr};

use tetragon_e2e::Test;

pub(super) fn tests() -> Vec<Test> {
    [packets::tests(), sockets::tests(), devices::tests()].concat()
}

const NETWORKS: [&[&str]; 8] = [
    &["127.0.0.2"],
    // Bits of the host are ignored.
    &["127.0.0.3/31"],
    &["127.0.0.4/30", "192.0.2.0/24"],
    &["0.0.0.0/0"],
    &["fd00::2"],
    &["fd00::/127", "2001:db8::/32"],
    &["::/0"],
    &["127.0.0.0/30", "fd00::3", "::1"],
];
/// Sets of more than four are looked up.
const PORTS: [&[&str]; 5] = [&["4001"], &["700:799"], &["80", "5005", "0"], &["4000:6000", "1"], &SET];
const SET: [&str; 6] = ["1", "80", "700", "4002", "5000:5010", "65535"];
const PROTOCOLS: [&[&str]; 6] = [
    &["IPPROTO_TCP"],
    &["IPPROTO_UDP"],
    &["1"],
    &["58", "IPPROTO_ICMP"],
    &["2:17"],
    &["1", "3", "5", "6", "9", "58"],
];
const FAMILIES: [&[&str]; 5] = [&["AF_INET"], &["10"], &["AF_UNIX"], &["2:10"], &["AF_INET6", "AF_INET"]];
const STATES: [&[&str]; 7] = [
    &["TCP_ESTABLISHED"],
    &["TCP_SYN_SENT"],
    &["TCP_CLOSE_WAIT", "TCP_FIN_WAIT1"],
    &["7"],
    &["TCP_LISTEN"],
    &["1:12"],
    &["1", "3", "5", "7", "9", "11"],
];

/// An operator with its values.
struct Filter {
    name: String,
    operator: &'static str,
    values: &'static [&'static str],
}

/// All operators of sockets and packets.
fn filters() -> Vec<Filter> {
    let groups: [(&[&'static str], &[&'static [&'static str]]); 6] = [
        (&["SAddr", "NotSAddr", "DAddr", "NotDAddr"], &NETWORKS),
        (&["SPort", "NotSPort", "DPort", "NotDPort"], &PORTS),
        // As users write them, and one with a value, which is ignored.
        (&["SPortPriv", "NotSportPriv", "DPortPriv", "NotDPortPriv"], &[&[], &["4001"]]),
        (&["Protocol"], &PROTOCOLS),
        (&["Family"], &FAMILIES),
        (&["State"], &STATES),
    ];
    let each = |(operators, values): (&[&'static str], &'static [&'static [&'static str]])| {
        let named = |operator: &'static str| {
            let name = operator.to_lowercase();
            let filter = move |(number, values): (usize, &&'static [&'static str])| Filter {
                name: format!("{name}-{number}"),
                operator,
                values,
            };
            values.iter().enumerate().map(filter).collect::<Vec<_>>()
        };
        operators.iter().flat_map(|operator| named(operator)).collect::<Vec<_>>()
    };
    groups.into_iter().flat_map(each).collect()
}

impl Filter {
    fn text(&self, index: u32) -> String {
        let values: Vec<String> = self.values.iter().map(|value| format!("'{value}'")).collect();
        format!("{{index: {index}, operator: {}, values: [{}]}}", self.operator, values.join(", "))
    }
}

/// What a socket or a packet is.
#[derive(Clone, Debug)]
struct Tuple {
    family: u16,
    source: SocketAddr,
    destination: SocketAddr,
    protocol: u16,
    /// No packet has one.
    state: Option<u16>,
}

impl Tuple {
    fn new(source: &str, destination: &str, protocol: u16) -> Self {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap_or_else(|_| unreachable!("{text}"));
        let (source, destination) = (parse(source), parse(destination));
        Self { family: if source.is_ipv4() { 2 } else { 10 }, source, destination, protocol, state: None }
    }

    fn matches(&self, filter: &Filter) -> bool {
        let network = |end: SocketAddr, negated| {
            let ip = end.ip().to_canonical();
            let mut values =
                filter.values.iter().filter_map(|value| inside(ip, value)).collect::<Vec<_>>().into_iter();
            // With no value of the family, the address is neither in the networks nor outside.
            values.len() > 0 && values.any(|inside| inside) != negated
        };
        let number = |it: u16| filter.values.iter().any(|value| within(it, value));
        match filter.operator {
            "SAddr" => network(self.source, false),
            "NotSAddr" => network(self.source, true),
            "DAddr" => network(self.destination, false),
            "NotDAddr" => network(self.destination, true),
            "SPort" => number(self.source.port()),
            "NotSPort" => !number(self.source.port()),
            "DPort" => number(self.destination.port()),
            "NotDPort" => !number(self.destination.port()),
            "SPortPriv" => self.source.port() < 1024,
            "NotSportPriv" => self.source.port() >= 1024,
            "DPortPriv" => self.destination.port() < 1024,
            "NotDPortPriv" => self.destination.port() >= 1024,
            "Protocol" => number(self.protocol),
            "Family" => number(self.family),
            "State" => self.state.is_some_and(number),
            other => unreachable!("{other}"),
        }
    }
}

/// Whether the address is in the network; `None` if they are of different families.
fn inside(ip: IpAddr, network: &str) -> Option<bool> {
    let (address, length) = network.split_once('/').unwrap_or((network, ""));
    let address: IpAddr = address.parse().ok()?;
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    let ((ip_bits, width), (address_bits, _)) = (bits(ip), bits(address));
    let length: u32 = length.parse().unwrap_or(width);
    (ip.is_ipv4() == address.is_ipv4())
        .then(|| (ip_bits ^ address_bits).checked_shr(width - length).unwrap_or(0) == 0)
}

/// Whether the number is that value or in that range.
fn within(it: u16, value: &str) -> bool {
    let number = |text: &str| match text {
        "IPPROTO_ICMP" | "TCP_ESTABLISHED" | "AF_UNIX" => 1,
        "AF_INET" | "TCP_SYN_SENT" => 2,
        "TCP_FIN_WAIT1" => 4,
        "IPPROTO_TCP" => 6,
        "TCP_CLOSE_WAIT" => 8,
        "TCP_LISTEN" | "AF_INET6" => 10,
        "IPPROTO_UDP" => 17,
        text => text.parse().unwrap_or_else(|_| unreachable!("{text}")),
    };
    let (low, high) = value.split_once(':').unwrap_or((value, value));
    (number(low)..=number(high)).contains(&it)
}
