//! TCP sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::{Address, ListenError};

const BACKLOG: i32 = 1024;

/// Listens on the first address of `host` that works.
pub(super) fn bind(
    address: &Address,
    host: &str,
    port: u16,
    option: &'static str,
) -> Result<TcpListener, ListenError> {
    let mut last = None;
    for candidate in candidates(host, port, option)? {
        match listen(candidate) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(ListenError::InUse { option, address: address.clone() });
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable));
    Err(ListenError::Io { option, address: address.clone(), error })
}

fn candidates(host: &str, port: u16, option: &'static str) -> Result<Vec<SocketAddr>, ListenError> {
    let addresses: Vec<IpAddr> = match host {
        // All addresses of both families, or of IPv4 alone where the kernel has no IPv6.
        "" => vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
        // Known without a resolver, which a static program in an empty root directory may not have.
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        _ => match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                return (host, port)
                    .to_socket_addrs()
                    .map(Iterator::collect)
                    .map_err(|error| ListenError::Resolve { option, host: host.to_owned(), error });
            }
        },
    };
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket =
        rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    if address.is_ipv6() {
        let only = !address.ip().is_unspecified();
        sockopt::set_ipv6_v6only(&socket, only)?;
    }
    // A restart must not wait for the old connections to time out.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}
