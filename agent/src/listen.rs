//! Where servers listen: addresses as settings write them, and the TCP and unix sockets made from them.

mod address;
mod incoming;
mod tcp;
mod unix;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use address::{Address, AddressError};
pub use incoming::{Connection, Incoming, Peer};
use unix::SocketFile;

/// Why no socket listens.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "{option}: address {address} is in use; stop the other process or set --{option} to another address"
    )]
    InUse {
        /// The option that holds the address.
        option: &'static str,
        /// The address.
        address: Address,
    },
    /// A host name without an address.
    #[error("{option}: cannot find the address of {host:?}: {error}; use an IP address")]
    Resolve {
        /// The option that holds the address.
        option: &'static str,
        /// The name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The path of a unix socket is taken by something that is no socket.
    #[error("{option}: {} exists and is not a socket; remove it or set --{option} to another path", path.display())]
    NotASocket {
        /// The option that holds the path.
        option: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// Any other failure of the system.
    #[error("{option}: cannot listen on {address}: {error}{}", hint(error))]
    Io {
        /// The option that holds the address.
        option: &'static str,
        /// The address.
        address: Address,
        /// What the system said.
        error: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; the directory of the socket must exist",
        io::ErrorKind::AddrNotAvailable => "; the address must belong to this machine",
        io::ErrorKind::PermissionDenied => "; run as root or choose another place",
        _ => "",
    }
}

/// A socket that listens. Dropping it closes the socket and removes the file of a unix socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

impl Listener {
    /// Listens on `address`; `option` names the setting in errors. Needs no async runtime.
    pub fn bind(address: &Address, option: &'static str) -> Result<Self, ListenError> {
        let socket = match address {
            Address::Tcp { host, port } => tcp::bind(address, host, *port, option).map(Socket::Tcp),
            Address::Unix(path) => {
                unix::bind(address, path, option).map(|(listener, file)| Socket::Unix(listener, file))
            }
        }?;
        Ok(Self { socket, address: address.clone() })
    }

    /// The address asked for, with the real port where 0 was asked for.
    pub fn address(&self) -> Address {
        match (&self.socket, &self.address) {
            (Socket::Tcp(socket), Address::Tcp { host, port: 0 }) => {
                let port = socket.local_addr().map_or(0, |local| local.port());
                Address::Tcp { host: host.clone(), port }
            }
            _ => self.address.clone(),
        }
    }

    /// The stream of connections, for a server of the async runtime that this is called in.
    pub fn incoming(self) -> io::Result<Incoming> {
        match self.socket {
            Socket::Tcp(socket) => Incoming::tcp(socket),
            Socket::Unix(socket, file) => Incoming::unix(socket, file),
        }
    }
}
