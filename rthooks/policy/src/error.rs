//! What can be wrong with the options.

use std::fmt;

/// Options that make no policy. The message names the option as the command lines do, the place, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A pattern is no regular expression, or is too large.
    #[error(
        "--fail-allow-namespaces-regex, pattern {number} ('{pattern}'): {message}; correct it, or list the \
         namespaces in --fail-allow-namespaces"
    )]
    Pattern {
        /// Which one, counted from 1.
        number: usize,
        /// As it was given.
        pattern: String,
        /// What is wrong, on one line.
        message: String,
    },
    /// A pattern is empty, so it would match every namespace.
    #[error(
        "--fail-allow-namespaces-regex, pattern {number} is empty and would allow every namespace; remove it, or \
         write '.*' if that is meant"
    )]
    EmptyPattern {
        /// Which one, counted from 1.
        number: usize,
    },
    /// The expression cannot be read, or cannot work for any container.
    #[error("--fail-cel-expr{position}: {message}; {remedy}")]
    Expression {
        /// Where in the expression, if that is known.
        position: Position,
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// No key says which annotation holds the namespace, and nothing else could.
    #[error(
        "--annotations-namespace-key is empty; name at least one annotation that holds the pod's namespace"
    )]
    NoNamespaceKey,
}

/// A place in an expression; the default is "not known".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Counted from 1; 0 if not known.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { line: 0, .. } => Ok(()),
            Self { line, column } => write!(f, ", line {line}, column {column}"),
        }
    }
}
