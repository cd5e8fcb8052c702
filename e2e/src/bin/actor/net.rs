//! Sockets and packets, on the loopback device.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};

use super::{Line, broken, perform, raise_loopback, text, word};

/// What the sockets here have, so that tests can find it again.
const MARK: c_int = 77;
const PRIORITY: c_int = 5;

/// How long an address may take until it can be used.
const PATIENCE: Duration = Duration::from_secs(10);

/// `udp FROM TO TEXT HOW ...`: a datagram. How: `plain`, `connected`, or `optioned` with a header of options (IPv6).
pub(crate) fn udp(line: Line<'_>) -> ! {
    let (from, to, line) = ends(line);
    let (payload, line) = word(line, "text");
    let (how, rest) = text(line, "how");
    // So that nobody answers that the port is closed.
    let _receiver = bound(SocketType::DGRAM, None, to);
    let sender = bound(SocketType::DGRAM, None, from);
    if how == "optioned" {
        // For the destination (RFC 8200, 4.6): next header, length, four bytes of padding.
        option(&sender, libc::IPPROTO_IPV6, libc::IPV6_DSTOPTS, &[0u8, 0, 1, 4, 0, 0, 0, 0]);
    }
    let sent = if how == "connected" {
        rustix::net::connect(&sender, &to)
            .and_then(|()| rustix::net::send(&sender, payload.to_bytes(), SendFlags::empty()))
    } else {
        rustix::net::sendto(&sender, payload.to_bytes(), SendFlags::empty(), &to)
    };
    sent.unwrap_or_else(|_| broken("send"));
    perform(rest)
}

/// `tcp FROM TO TEXT ...`: a whole connection; who opened it closes first, then who accepted it, then who listened. One
/// to an IPv4 address may come from an IPv6 socket, by a mapped address.
pub(crate) fn tcp(line: Line<'_>) -> ! {
    let (from, to, line) = ends(line);
    let (payload, rest) = word(line, "text");
    let listener = bound(SocketType::STREAM, None, to);
    rustix::net::listen(&listener, 1).unwrap_or_else(|_| broken("listen"));
    let client = bound(SocketType::STREAM, None, from);
    let target = match (from.ip(), to.ip()) {
        (IpAddr::V6(_), IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    };
    rustix::net::connect(&client, &target).unwrap_or_else(|_| broken("connect"));
    let accepted = rustix::net::accept(&listener).unwrap_or_else(|_| broken("accept"));
    rustix::net::send(&client, payload.to_bytes(), SendFlags::empty()).unwrap_or_else(|_| broken("send"));
    drop(client);
    let mut buffer = [0; 512];
    while rustix::net::recv(&accepted, &mut buffer[..], RecvFlags::empty())
        .is_ok_and(|(received, _)| received > 0)
    {}
    drop(accepted);
    drop(listener);
    perform(rest)
}

/// `icmp FROM TO ...`: an answer to an echo that nobody asked for, so that nothing answers it.
pub(crate) fn icmp(line: Line<'_>) -> ! {
    let (from, to, rest) = ends(line);
    let (protocol, kind) = if to.is_ipv4() { (ipproto::ICMP, 0) } else { (ipproto::ICMPV6, 129) };
    let socket = bound(SocketType::RAW, Some(protocol), SocketAddr::new(from.ip(), 0));
    let target = SocketAddr::new(to.ip(), 0);
    rustix::net::sendto(&socket, &[kind, 0, 0, 0, 0, 1, 0, 1], SendFlags::empty(), &target)
        .unwrap_or_else(|_| broken("send"));
    perform(rest)
}

/// `name-loopback NAME ...`: in a network of its own, whose loopback device gets that name, with an address.
pub(crate) fn name_loopback(line: Line<'_>) -> ! {
    let (name, rest) = word(line, "name");
    // SAFETY: the request is a whole ifreq, whose names end with NUL.
    let failed = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[..2].copy_from_slice(&[b'l'.cast_signed(), b'o'.cast_signed()]);
        for (to, from) in request.ifr_ifru.ifru_newname.iter_mut().zip(name.to_bytes()) {
            *to = from.cast_signed();
        }
        let mut failed = libc::unshare(libc::CLONE_NEWNET) != 0;
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        failed |= libc::ioctl(socket, libc::SIOCSIFNAME, &raw mut request) != 0;
        request.ifr_name = request.ifr_ifru.ifru_newname;
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).unwrap_or(1);
        failed |= libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw mut request) != 0;
        libc::close(socket);
        failed
    };
    if failed {
        broken("name the loopback device");
    }
    perform(rest)
}

fn ends(line: Line<'_>) -> (SocketAddr, SocketAddr, Line<'_>) {
    raise_loopback();
    let (from, line) = text(line, "source");
    let (to, rest) = text(line, "destination");
    let parse = |address: &str| address.parse::<SocketAddr>().unwrap_or_else(|_| broken("parse an address"));
    let ends = (parse(from), parse(to));
    for end in [ends.0, ends.1] {
        if let IpAddr::V6(ip) = end.ip()
            && ip.to_ipv4_mapped().is_none()
            && !ip.is_loopback()
        {
            own(ip);
        }
    }
    (ends.0, ends.1, rest)
}

/// Gives the loopback device an address; all of 127.0.0.0/8 are its own anyway.
fn own(ip: Ipv6Addr) {
    let request = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr { s6_addr: ip.octets() },
        ifr6_prefixlen: 128,
        // It is the first of every network.
        ifr6_ifindex: 1,
    };
    // SAFETY: a whole request; a failure shows when the address is used.
    unsafe {
        let socket = libc::socket(libc::AF_INET6, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        libc::ioctl(socket, libc::SIOCSIFADDR, &raw const request);
        libc::close(socket);
    }
}

fn bound(kind: SocketType, protocol: Option<Protocol>, at: SocketAddr) -> OwnedFd {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)
        .unwrap_or_else(|_| broken("socket"));
    option(&socket, libc::SOL_SOCKET, libc::SO_MARK, &MARK);
    option(&socket, libc::SOL_SOCKET, libc::SO_PRIORITY, &PRIORITY);
    let _ = sockopt::set_socket_reuseaddr(&socket, true);
    let begun = Instant::now();
    while rustix::net::bind(&socket, &at).is_err() {
        if begun.elapsed() > PATIENCE {
            broken("bind");
        }
        thread::sleep(Duration::from_millis(2));
    }
    socket
}

fn option<T>(socket: &OwnedFd, level: c_int, name: c_int, value: &T) {
    let size = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: a whole value of that size.
    if unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size) }
        != 0
    {
        broken("setsockopt");
    }
}
