//! What went wrong, in the words of those who load policies.

use tetragon_crds::{Diagnostic, Errors};

use crate::kernel::object::ObjectError;
use crate::kernel::policy::AttachError;
use crate::policies::encode::EncodeError;
use crate::policies::engine::LoadError;

pub(super) fn error(message: impl Into<String>) -> LoadError {
    LoadError { message: message.into(), verifier_log: None }
}

impl From<ObjectError> for LoadError {
    fn from(error: ObjectError) -> Self {
        let message = error.to_string();
        match error {
            ObjectError::Program { log, .. } if !log.is_empty() => Self { message, verifier_log: Some(log) },
            _ => Self { message, verifier_log: None },
        }
    }
}

impl From<AttachError> for LoadError {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Program(error) => error.into(),
            AttachError::Place { .. } => self::error(error.to_string()),
        }
    }
}

impl From<std::io::Error> for LoadError {
    fn from(error: std::io::Error) -> Self {
        self::error(format!("the kernel does not take the policy: {error}"))
    }
}

impl From<EncodeError> for LoadError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Policy(diagnostic) => diagnostics(&[diagnostic]),
            EncodeError::Kernel(error) => error.into(),
        }
    }
}

pub(super) fn diagnostics(all: &[Diagnostic]) -> LoadError {
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    error(lines.join("\n"))
}

/// All that is wrong with a policy, for those who load it.
impl From<Errors> for LoadError {
    fn from(errors: Errors) -> Self {
        error(errors.to_string())
    }
}
