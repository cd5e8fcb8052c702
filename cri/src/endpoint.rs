//! Where a runtime is looked for, and how patiently.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::CriError;

/// The sockets that are tried where none is named, most wanted first.
pub const DEFAULT_SOCKETS: [&str; 3] =
    ["/run/containerd/containerd.sock", "/run/crio/crio.sock", "/var/run/cri-dockerd.sock"];

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The sockets to try, most wanted first.
    pub sockets: Vec<PathBuf>,
    /// Limit of finding out whether a runtime answers on a socket.
    pub probe_timeout: Duration,
    /// Limit of every call.
    pub call_timeout: Duration,
    /// Calls at a time: the runtime has work to do for the kubelet as well.
    pub concurrency: usize,
    /// First pause after no runtime was found; it doubles up to `longest_pause`. Calls in the pause fail at once.
    pub first_pause: Duration,
    /// Longest pause between two searches for a runtime.
    pub longest_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sockets: DEFAULT_SOCKETS.map(PathBuf::from).to_vec(),
            probe_timeout: Duration::from_secs(1),
            call_timeout: Duration::from_secs(2),
            concurrency: 8,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(15),
        }
    }
}

impl Options {
    /// The defaults, with this socket only; or with [`DEFAULT_SOCKETS`] if none is named.
    pub fn for_socket(socket: Option<&Path>) -> Self {
        match socket {
            Some(socket) => Self { sockets: vec![socket.to_owned()], ..Self::default() },
            None => Self::default(),
        }
    }
}

/// The path in `unix:///run/x.sock`.
///
/// # Errors
/// [`CriError::Address`] for everything else.
pub fn socket_of_url(url: &str) -> Result<PathBuf, CriError> {
    match url.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(path.into()),
        _ => Err(CriError::Address(url.to_owned())),
    }
}

/// The runtime that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Where.
    pub socket: PathBuf,
    /// "containerd", "cri-o", "docker": the scheme of container ids in the Kubernetes API.
    pub name: String,
    /// The runtime's version, in its own form.
    pub version: String,
    /// Version of the interface, "v1".
    pub api_version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_unix_sockets_are_addresses() {
        assert_eq!(socket_of_url("unix:///run/crio/crio.sock"), Ok("/run/crio/crio.sock".into()));
        for url in
            ["", "/run/crio/crio.sock", "unix://run/x", "unix:/run/x", "tcp://127.0.0.1:1", "npipe:////x"]
        {
            assert_eq!(socket_of_url(url), Err(CriError::Address(url.to_owned())), "{url}");
        }
    }
}
