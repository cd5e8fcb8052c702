//! One connection to the agent, which tells when it ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::address::{Address, Target};

/// Connects, once: when the connection ends, the channel is of no more use, and the receiver is ready.
pub(super) async fn connect(address: &Address) -> io::Result<(Channel, oneshot::Receiver<()>)> {
    let stream = open(&address.target).await?;
    let (end, ended) = oneshot::channel();
    let mut stream = Some(TokioIo::new(Watched { stream, _end: end }));
    let once = service_fn(move |_| {
        let stream = stream.take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    // The URI only fills in the authority of the requests.
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(once).await;
    Ok((channel.map_err(|error| io::Error::other(root(&error)))?, ended))
}

fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

async fn open(target: &Target) -> io::Result<Box<dyn Stream>> {
    Ok(match target {
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Target::Tcp(host, port) => {
            let stream = match host.as_str() {
                // By definition these; a bare root file system has no file that says so.
                "localhost" => {
                    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                    TcpStream::connect(&loopback.map(|ip| SocketAddr::new(ip, *port))[..]).await?
                }
                host => TcpStream::connect((host, *port)).await?,
            };
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    })
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Dropped when the connection has ended, and with it the sender.
struct Watched {
    stream: Box<dyn Stream>,
    _end: oneshot::Sender<()>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
