//! Finding the runtime, and finding it again.
//!
//! The socket is looked for every 50 ms, and not watched with inotify: a look is one failing system call of a few
//! microseconds, and it is right in every case. A watch would have to follow folders that do not exist yet, symbolic
//! links and mounts, would still have to try again between the runtime's bind and its listen, and takes one of the
//! few inotify instances that a user has on a node.

use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::options::Options;
use crate::plugin::Plugin;
use crate::session;

/// Where runtimes listen unless configured otherwise. Of a container, mount the folder, not the socket: a restarted
/// runtime makes another socket.
pub const DEFAULT_SOCKET: &str = "/var/run/nri/nri.sock";

/// Half of what a restarted runtime's containers may have to wait for us.
const POLL: Duration = Duration::from_millis(50);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// A connection that lasted this long past its start was a good one.
const GOOD: Duration = Duration::from_secs(1);

/// Connects to the runtime, once.
///
/// # Errors
/// No socket, or no runtime behind it.
pub async fn connect(path: impl AsRef<Path>) -> Result<UnixStream, Error> {
    let path = path.as_ref();
    UnixStream::connect(path).await.map_err(|source| Error::Connect { path: path.to_owned(), source })
}

/// Keeps `plugin` connected to the runtime behind the socket `path` until `shutdown` is ready.
///
/// A runtime that is not there (yet), or comes back, is noticed within 50 ms. Each connection starts with a
/// synchronization, which tells what happened in between. A runtime that ends connections soon after they are made
/// is left alone for longer each time, up to 10 s, until its socket is another one: then it has restarted.
pub async fn serve<P: Plugin>(
    path: impl AsRef<Path>,
    options: &Options,
    plugin: Arc<P>,
    shutdown: impl Future<Output = ()>,
) {
    let path = path.as_ref();
    let mut shutdown = pin!(shutdown);
    let mut backoff = FIRST_BACKOFF;
    loop {
        let (stream, socket) = tokio::select! {
            found = find(path) => found,
            () = &mut shutdown => return,
        };
        let mut good_since = None;
        let note = || good_since = Some(Instant::now());
        let result = session::run_noting(stream, options, Arc::clone(&plugin), &mut shutdown, note).await;
        let Err(error) = result else { return };
        if good_since.is_some_and(|since| since.elapsed() >= GOOD) {
            backoff = FIRST_BACKOFF;
            tracing::warn!(%error, path = %path.display(), "connection to the runtime lost, looking for it");
            continue;
        }
        tracing::warn!(%error, path = %path.display(), ?backoff, "no lasting connection to the runtime");
        tokio::select! {
            changed = wait_or_change(path, socket, backoff) => {
                backoff = if changed { FIRST_BACKOFF } else { LAST_BACKOFF.min(2 * backoff) };
            }
            () = &mut shutdown => return,
        }
    }
}

/// Which socket file it is: device, inode, and the time of its making in seconds and nanoseconds.
type Socket = (u64, u64, i64, i64);

fn socket_at(path: &Path) -> Option<Socket> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec()))
}

/// Waits for a runtime to take a connection.
async fn find(path: &Path) -> (UnixStream, Option<Socket>) {
    let mut told: Option<io::ErrorKind> = None;
    loop {
        // Before the connection: if the socket is replaced in between, it counts as changed, and only time is lost.
        let socket = socket_at(path);
        match connect(path).await {
            Ok(stream) => return (stream, socket),
            Err(error) => {
                let kind = match &error {
                    Error::Connect { source, .. } => source.kind(),
                    _ => io::ErrorKind::Other,
                };
                if told.replace(kind) != Some(kind) {
                    tracing::info!(%error, "waiting for the runtime");
                }
            }
        }
        sleep(POLL).await;
    }
}

/// Waits for `time`, or until the socket is not `socket` any more; true in the latter case.
async fn wait_or_change(path: &Path, socket: Option<Socket>, time: Duration) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        sleep(POLL.min(until - Instant::now())).await;
        if socket_at(path) != socket {
            return true;
        }
    }
    false
}
