//! Why a filter cannot be used.

/// A filter that makes no sense, found when it is built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{list} {index}: {field}: {reason}")]
pub struct FilterError {
    /// Which list: "allow filter", "deny filter", "field filter", "redaction filter".
    pub list: &'static str,
    /// Position in that list, from 1.
    pub index: usize,
    /// Name of the field at fault.
    pub field: &'static str,
    /// What is wrong, and the remedy where there is one.
    pub reason: String,
}

/// A field at fault, before it is known where its filter stands.
#[derive(Debug)]
pub(crate) struct FieldError {
    pub(crate) field: &'static str,
    pub(crate) reason: String,
}

impl FieldError {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }

    /// Adds the place; `position` counts from 0.
    pub(crate) fn at(self, list: &'static str, position: usize) -> FilterError {
        FilterError { list, index: position + 1, field: self.field, reason: self.reason }
    }
}
