//! What is attached where, and what is done there.

use std::collections::BTreeSet;

use serde::Serialize;
use tetragon_crds::policy::{PolicyName, Selector};
use tetragon_crds::spec::ArgType;
use tetragon_crds::{Diagnostic, Path};

/// A policy, compiled for one kernel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Program {
    /// The policy.
    pub policy: PolicyName,
    /// What is attached. A list is one hook with many functions.
    pub hooks: Vec<HookProgram>,
    /// What only this kernel shows.
    pub warnings: Vec<Diagnostic>,
}

/// A hook, ready to be attached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HookProgram {
    /// Where it is in the policy.
    pub path: Path,
    /// What it is attached to.
    pub attach: Attach,
    /// What is read, in the order in which the event shows it. A filter's argument is a position here.
    pub readers: Vec<Reader>,
    /// What is read when the function returns.
    pub returns: Option<Reader>,
    /// What decides. No predicate is untyped.
    pub selectors: Vec<Selector>,
    /// What the event says.
    pub message: String,
    /// What the event is tagged with.
    pub tags: Vec<String>,
    /// What the kernel must be able to do.
    pub needs: BTreeSet<Need>,
    /// Bytes of all values that are too many or too long to be part of the program.
    pub value_bytes: usize,
}

/// What a hook is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attach {
    /// Kernel functions; at least one.
    Kprobe {
        /// Their names.
        symbols: Vec<String>,
        /// Whether their arguments are those of a system call.
        syscall: bool,
    },
    /// A tracepoint.
    Tracepoint {
        /// Its group.
        subsystem: String,
        /// Its name.
        event: String,
    },
    /// A hook of the security modules.
    Lsm {
        /// Its name without prefix.
        hook: String,
    },
    /// Functions of a program or library.
    Uprobe {
        /// The file.
        path: String,
        /// The functions.
        symbols: Vec<String>,
    },
}

/// Reads a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// Where the value is.
    pub source: Source,
    /// As what it is read.
    pub capture: Capture,
    /// Where its number of bytes is, if it is no text.
    pub size: Option<Source>,
    /// Whether it is read when the function returns.
    pub at_return: bool,
    /// Whether up to 327360 bytes are read.
    pub max_data: bool,
    /// What the event calls it.
    pub label: String,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An argument of the function, from 0.
    Argument(u32),
    /// An argument of the system call, from 0.
    SyscallArgument(u32),
    /// A field of the tracepoint's record.
    Field {
        /// Bytes from its beginning.
        offset: u32,
        /// Bytes.
        size: u32,
    },
    /// The return value.
    Return,
}

/// As what a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// As a type; never [`ArgType::Auto`].
    Typed(ArgType),
    /// As the bytes of an array in the record.
    Array {
        /// How many.
        size: u32,
        /// How many of them are an element.
        element: u32,
    },
}

/// What a kernel must be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Tell when a function returns.
    Return,
    /// Send signals from programs (5.3).
    SendSignal,
    /// Skip system calls.
    OverrideReturn,
    /// Skip security functions (5.7).
    ModifyReturn,
    /// Programs at security hooks (5.7, and `bpf` among the enabled security modules).
    BpfLsm,
    /// Keep stacks.
    StackTraces,
    /// Texts over 510 bytes as values (5.11).
    LongTexts,
}
