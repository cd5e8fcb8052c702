//! Why a connection was not made, or has ended.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ttrpc::{CallError, LinkError};

/// Why a connection was not made, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No runtime behind the socket.
    #[error("cannot connect to {}: {source} (is the runtime up, and NRI enabled in it?)", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime did not accept the plugin.
    #[error("registration failed: {0}")]
    Register(#[source] CallError),
    /// The runtime accepted the plugin and did not go on.
    #[error("runtime did not call Configure within {0:?} of the registration")]
    NotConfigured(Duration),
    /// The runtime configured the plugin and did not go on.
    #[error("runtime did not complete Synchronize within {0:?} of Configure")]
    NotSynchronized(Duration),
    /// The connection has ended.
    #[error(transparent)]
    Link(#[from] LinkError),
}
