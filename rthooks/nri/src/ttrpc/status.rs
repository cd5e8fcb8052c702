//! How calls fail.

use std::io;
use std::time::Duration;

use crate::mux::FrameTooLong;

use super::envelope;

/// A gRPC status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub i32);

impl Code {
    /// Success.
    pub const OK: Self = Self(0);
    /// Any failure that no other code names.
    pub const UNKNOWN: Self = Self(2);
    /// The request makes no sense.
    pub const INVALID_ARGUMENT: Self = Self(3);
    /// It took longer than the caller waits.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// Not allowed.
    pub const PERMISSION_DENIED: Self = Self(7);
    /// Too large, or too many.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// Not possible in the present state.
    pub const FAILED_PRECONDITION: Self = Self(9);
    /// No such service or method.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// Not possible now; later perhaps.
    pub const UNAVAILABLE: Self = Self(14);
}

/// An answer that says no: from a plugin's callback to the runtime, or from the runtime.
///
/// The message reaches whoever asked for the container, so it should tell what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {})", code.0)]
pub struct Status {
    /// The kind of failure.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Status {
    /// A failure of a given kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failure of no particular kind.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Code::UNKNOWN, message)
    }
}

impl From<envelope::Status> for Status {
    fn from(status: envelope::Status) -> Self {
        Self::new(Code(status.code), status.message)
    }
}

impl From<Status> for envelope::Status {
    fn from(status: Status) -> Self {
        // Code 0 would turn a refusal into a success.
        let code = if status.code == Code::OK { Code::UNKNOWN } else { status.code };
        Self { code: code.0, message: status.message }
    }
}

/// A call to the runtime failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The runtime said no.
    #[error("runtime answered: {0}")]
    Status(Status),
    /// The runtime did not answer in time.
    #[error("runtime did not answer within {0:?}")]
    Timeout(Duration),
    /// The connection has ended.
    #[error("connection to the runtime has ended")]
    Closed,
    /// The request does not fit a frame.
    #[error("request of {0} bytes is longer than a frame can be: send less at a time")]
    TooLarge(usize),
    /// The answer is not what this call is answered with.
    #[error("runtime's answer cannot be read: {0}")]
    Malformed(String),
}

/// A connection has ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The runtime closed it, between messages.
    #[error("runtime closed the connection")]
    Closed,
    /// The runtime closed it in the middle of a message.
    #[error("runtime closed the connection in the middle of a message")]
    Truncated,
    /// The socket failed.
    #[error("socket failed: {0}")]
    Io(#[from] io::Error),
    /// The bytes make no sense.
    #[error(transparent)]
    Frame(#[from] FrameTooLong),
    /// The runtime does not go on with a message it began, or does not take one from us.
    #[error("runtime neither completed its message nor took ours for {0:?}")]
    Stalled(Duration),
    /// The runtime sends requests faster than it takes the answers.
    #[error("runtime sends requests without taking the answers")]
    Flooded,
}
