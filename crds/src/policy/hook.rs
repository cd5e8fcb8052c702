//! What is hooked, and what is read there.

use serde::Serialize;

use super::selector::Selector;
use crate::report::Path;
use crate::spec::ArgType;
use crate::syscalls::SyscallRef;

/// A place where the policy looks, and what it does there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hook {
    /// Where it is in the policy.
    pub path: Path,
    /// What is hooked.
    pub point: HookPoint,
    /// What is read, in the order in which the event shows it.
    pub args: Vec<Arg>,
    /// What is read when the function returns.
    pub returns: Option<Return>,
    /// The first selector that matches decides. None at all: everything matches.
    pub selectors: Vec<Selector>,
    /// What the event says, at most 256 bytes; empty: nothing.
    pub message: String,
    /// What the event is tagged with, each at most 128 bytes.
    pub tags: Vec<String>,
}

/// What is hooked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// Kernel functions.
    Kprobe {
        /// Which.
        call: Call,
        /// Whether their arguments are those of a system call, behind a pointer to the caller's registers.
        syscall: bool,
    },
    /// A tracepoint.
    Tracepoint {
        /// Its group.
        subsystem: String,
        /// Its name.
        event: String,
    },
    /// Functions of a program or library.
    Uprobe {
        /// The file.
        path: String,
        /// The functions.
        symbols: Vec<String>,
    },
    /// A hook of the security modules.
    Lsm {
        /// Its name without prefix.
        hook: String,
    },
}

/// A function, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// A kernel function.
    Function(String),
    /// The function of a system call.
    Syscall(SyscallRef),
    /// A list, by its position in the policy's.
    List(usize),
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Arg {
    /// Where it is in the policy.
    pub path: Path,
    /// Its position, from 0; of a tracepoint the number of the field, common fields included.
    pub index: u32,
    /// How it is read. [`ArgType::Auto`] only at tracepoints.
    #[serde(rename = "type")]
    pub ty: ArgType,
    /// The position, from 0, of the argument that holds its size.
    pub size_from: Option<u32>,
    /// Whether it is read when the function returns.
    pub return_copy: bool,
    /// Whether up to 327360 bytes are read.
    pub max_data: bool,
    /// What the event calls it; empty: nothing.
    pub label: String,
}

/// What a function returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Return {
    /// How it is read; never [`ArgType::Auto`].
    pub arg: Arg,
    /// What is done with it.
    pub action: Option<ReturnAction>,
}

/// What is done with a returned socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnAction {
    /// Its owner is remembered.
    TrackSock,
    /// Its owner is forgotten.
    UntrackSock,
}
