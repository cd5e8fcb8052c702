//! Why the runtime could not be asked, or would not answer.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tonic::{Code, Status};

/// One socket that was tried, and why it is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The socket.
    pub socket: PathBuf,
    /// What happened.
    pub reason: String,
}

/// Why a question has no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CriError {
    /// The address is not that of a unix socket.
    #[error("{0:?} is no address of a container runtime: give unix:// and an absolute path")]
    Address(String),
    /// No runtime speaks the interface on any of the sockets.
    #[error("no container runtime answers: {}", list(.0))]
    Unreachable(Vec<Attempt>),
    /// The runtime took too long.
    #[error("{}: no answer to {method} within {limit:?}", socket.display())]
    TimedOut {
        /// Where it was asked.
        socket: PathBuf,
        /// What it was asked.
        method: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke, or the runtime is about to end or has not fully started.
    #[error("{}: {method}: {reason}", socket.display())]
    Lost {
        /// Where it was asked.
        socket: PathBuf,
        /// What it was asked.
        method: &'static str,
        /// What the transport or the runtime said.
        reason: String,
    },
    /// The runtime answered with an error.
    #[error("{}: {method}: {message} ({code:?})", socket.display())]
    Refused {
        /// Where it was asked.
        socket: PathBuf,
        /// What it was asked.
        method: &'static str,
        /// The kind of error.
        code: Code,
        /// The runtime's words.
        message: String,
    },
    /// This cannot be the beginning of a container id, so nobody was asked.
    #[error("{0:?} is no container id: 4 to 64 hexadecimal digits are expected")]
    Id(String),
}

impl CriError {
    /// Whether the runtime, or the way to it, is out of order, so that other questions would fare no better.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut { .. } | Self::Lost { .. })
    }

    /// Whether the runtime says that it has no such container or sandbox.
    pub(crate) fn is_not_found(&self) -> bool {
        let Self::Refused { code, message, .. } = self else { return false };
        match code {
            Code::NotFound => true,
            // Not every runtime translates the errors of what it is built on.
            Code::Unknown => {
                let message = message.to_ascii_lowercase();
                ["not found", "no such container", "does not exist"].iter().any(|it| message.contains(it))
            }
            _ => false,
        }
    }
}

/// The innermost cause of a failed call: the outer ones only say that transport failed.
pub(crate) fn reason(status: &Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if std::ptr::addr_eq(cause, status) { status.message().to_owned() } else { cause.to_string() }
}

fn list(attempts: &[Attempt]) -> String {
    let attempts: Vec<_> =
        attempts.iter().map(|it| format!("{}: {}", it.socket.display(), it.reason)).collect();
    attempts.join("; ")
}
