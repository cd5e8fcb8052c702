//! Sockets and packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeSkb, KprobeSock};
use tetragon_bpf::plan::{CapturedSkb, CapturedSock};

use super::names;

/// A socket.
pub(super) fn sock(it: &CapturedSock) -> Arg {
    Arg::SockArg(KprobeSock {
        family: names::family(it.family),
        r#type: names::socket_type(it.sock_type),
        protocol: names::protocol(it.protocol),
        mark: it.mark,
        priority: it.priority,
        saddr: address(it.family, &it.source),
        daddr: address(it.family, &it.destination),
        sport: it.source_port.into(),
        dport: it.destination_port.into(),
        cookie: it.cookie,
        state: names::state(it.state),
    })
}

/// A packet. Of one that is not IP, only what its buffer says.
pub(super) fn packet(it: &CapturedSkb) -> Arg {
    let ip = it.family != 0;
    Arg::SkbArg(KprobeSkb {
        hash: it.hash,
        len: it.len,
        priority: it.priority,
        mark: it.mark,
        saddr: address(it.family, &it.source),
        daddr: address(it.family, &it.destination),
        sport: it.source_port.into(),
        dport: it.destination_port.into(),
        proto: it.protocol.into(),
        sec_path_len: it.secpath_len,
        sec_path_olen: it.secpath_olen,
        protocol: if ip { names::protocol(it.protocol) } else { String::new() },
        family: names::family(it.family),
    })
}

/// Empty for families without IP addresses.
fn address(family: u16, bytes: &[u8; 16]) -> String {
    match i32::from(family) {
        libc::AF_INET => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).to_string(),
        // One of IPv4 in a socket of IPv6 is shown as what it is.
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical().to_string(),
        _ => String::new(),
    }
}
