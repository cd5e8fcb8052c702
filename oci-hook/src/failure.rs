//! Why the agent could not be told, in words for a cluster's administrator.

use std::fmt;
use std::io::Write;

/// Why the agent could not be told of a container, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) remedy: String,
    /// The agent may be on its way: another attempt can succeed.
    pub(crate) passing: bool,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), passing: false }
    }

    pub(crate) fn passing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { passing: true, ..Self::new(what, remedy) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The innermost cause, which is the one that says something.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Nobody may be reading, which is no reason to fail.
pub(crate) fn to_stderr(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// As [`to_stderr`].
pub(crate) fn to_stdout(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
