//! What is done.

use serde::Serialize;

/// Something to do. Arguments are given by their position in [`Hook::args`](super::Hook::args).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Emit the event.
    Post {
        /// How often at most.
        rate_limit: Option<RateLimit>,
        /// With the kernel's stack.
        kernel_stack_trace: bool,
        /// With the program's stack.
        user_stack_trace: bool,
    },
    /// Emit no event.
    NoPost,
    /// Kill the process.
    Sigkill,
    /// Send a signal, 1 to 64.
    Signal {
        /// Its number.
        signal: u8,
    },
    /// Skip the function.
    Override {
        /// What it returns instead.
        error: i32,
    },
    /// Leave a task for the enforcer.
    NotifyEnforcer {
        /// What the function returns; 0: it runs.
        error: i16,
        /// The signal to send; 0: none.
        signal: u8,
    },
    /// Remember the path of a file descriptor.
    FollowFd {
        /// The argument that holds the descriptor.
        fd: usize,
        /// The argument that holds the file.
        name: usize,
    },
    /// Forget the path of a file descriptor.
    UnfollowFd {
        /// The argument that holds the descriptor.
        fd: usize,
    },
    /// Remember the path of a file descriptor for another one.
    CopyFd {
        /// The argument that holds the descriptor.
        from: usize,
        /// The argument that holds the other one.
        to: usize,
    },
    /// Request a URL.
    GetUrl {
        /// Which.
        url: String,
    },
    /// Look a name up.
    DnsLookup {
        /// Which.
        name: String,
    },
    /// Remember the owner of a socket.
    TrackSock {
        /// The argument that holds the socket.
        sock: usize,
    },
    /// Forget the owner of a socket.
    UntrackSock {
        /// The argument that holds the socket.
        sock: usize,
    },
}

impl Action {
    /// Whether it intervenes in what the process does.
    #[must_use]
    pub fn is_enforcement(&self) -> bool {
        matches!(
            self,
            Self::Sigkill | Self::Signal { .. } | Self::Override { .. } | Self::NotifyEnforcer { .. }
        )
    }
}

/// At most one like event in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// The time, in milliseconds; at least 1.
    pub milliseconds: u32,
    /// Whose events are like each other.
    pub scope: RateLimitScope,
}

/// Whose events a rate limit counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitScope {
    /// A thread's.
    #[default]
    Thread,
    /// A process's.
    Process,
    /// All.
    Global,
}
