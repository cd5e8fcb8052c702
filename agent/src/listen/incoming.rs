//! Accepted connections, as a stream for a gRPC server.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::unix::SocketFile;

/// How long to wait when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections that come in on a listener. Never ends; dropping it closes the listener.
#[derive(Debug)]
pub struct Incoming {
    socket: Socket,
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "removes the socket's file when dropped")] SocketFile),
}

impl Incoming {
    pub(super) fn tcp(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Socket::Tcp(TcpListener::from_std(socket)?), pause: None })
    }

    pub(super) fn unix(socket: std::os::unix::net::UnixListener, file: SocketFile) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Socket::Unix(UnixListener::from_std(socket)?, file), pause: None })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        Poll::Ready(match &self.socket {
            Socket::Tcp(socket) => ready!(socket.poll_accept(cx)).map(|(stream, _)| {
                // Events are small and should not wait for more; without the option they only come later.
                let _ = stream.set_nodelay(true);
                Connection::Tcp(stream)
            }),
            Socket::Unix(socket, _) => {
                ready!(socket.poll_accept(cx)).map(|(stream, _)| Connection::Unix(stream))
            }
        })
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(pause) = self.pause.as_mut() {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let accepted = ready!(self.poll_accept(cx));
        if let Err(error) = &accepted {
            // Typically no free file descriptor: without a pause, the loop would spin on the same connection.
            tracing::warn!(error = %error, "cannot accept a connection");
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
        Poll::Ready(Some(accepted))
    }
}

/// One accepted connection.
#[derive(Debug)]
pub enum Connection {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client, where the kernel still knows it.
    Tcp(Option<SocketAddr>),
    /// A process on this machine, as far as known.
    Unix {
        /// Its process id in the agent's pid namespace.
        pid: Option<i32>,
        /// Its user id.
        uid: Option<u32>,
    },
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Tcp(stream) => Peer::Tcp(stream.peer_addr().ok()),
            Self::Unix(stream) => {
                let credentials = stream.peer_cred().ok();
                Peer::Unix {
                    pid: credentials.as_ref().and_then(tokio::net::unix::UCred::pid),
                    uid: credentials.as_ref().map(tokio::net::unix::UCred::uid),
                }
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Address, ListenError, Listener};
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    fn unix(path: &std::path::Path) -> Address {
        Address::Unix(path.to_owned())
    }

    fn local(port: u16) -> Address {
        Address::Tcp { host: "localhost".to_owned(), port }
    }

    #[tokio::test]
    async fn a_unix_socket_is_private_serves_and_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sock");
        let mut incoming = Listener::bind(&unix(&path), "server-address").unwrap().incoming().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

        let mut client = UnixStream::connect(&path).await.unwrap();
        client.write_all(b"hi").await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        let mut bytes = [0; 2];
        connection.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hi");
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(
            matches!(connection.connect_info(), Peer::Unix { pid: Some(pid), uid: Some(_) } if pid == me)
        );

        drop(incoming);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let live = Listener::bind(&unix(&path), "server-address").unwrap();
        let error = Listener::bind(&unix(&path), "server-address").unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }));
        assert!(error.to_string().contains("--server-address"));
        drop(live);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_was_replaced_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sock");
        let first = Listener::bind(&unix(&path), "server-address").unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = Listener::bind(&unix(&path), "server-address").unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn other_files_are_never_replaced_and_the_directory_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "precious").unwrap();
        let error = Listener::bind(&unix(&path), "server-address").unwrap_err();
        assert!(matches!(error, ListenError::NotASocket { .. }));
        let error = Listener::bind(&unix(&dir.path().join("gone/t.sock")), "server-address").unwrap_err();
        assert!(error.to_string().ends_with("the directory of the socket must exist"), "{error}");
    }

    #[tokio::test]
    async fn tcp_serves_and_a_busy_port_is_named() {
        let listener = Listener::bind(&local(0), "health-server-address").unwrap();
        let Address::Tcp { port, .. } = listener.address() else { panic!("not tcp") };
        assert_ne!(port, 0);
        let error = Listener::bind(&local(port), "health-server-address").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "health-server-address: address localhost:{port} is in use; stop the other process or set \
                 --health-server-address to another address"
            )
        );
        let mut incoming = listener.incoming().unwrap();
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let connection = incoming.next().await.unwrap().unwrap();
        assert_eq!(connection.connect_info(), Peer::Tcp(client.local_addr().ok()));
    }

    #[test]
    fn an_empty_host_reaches_ipv4_clients() {
        let listener = Listener::bind(&Address::Tcp { host: String::new(), port: 0 }, "x").unwrap();
        let Address::Tcp { port, .. } = listener.address() else { panic!("not tcp") };
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
}
