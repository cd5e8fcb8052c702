//! What decides which events, and which parts of them, reach a reader: the agent's exporter and streams, and the
//! client when it reads events from its standard input.
//!
//! ```text
//! arguments ── Redactor ──▶ event ── FilterSet ──▶ FieldFilters ──▶ reader
//! ```
//!
//! Filters come as messages of the API or as configuration text ([`parse_filters`] and its siblings). Everything that
//! can be wrong with a filter is found when it is built; applying one cannot fail.

mod capabilities;
mod condition;
mod config;
mod dialect;
mod error;
mod fields;
mod labels;
mod pid_set;
mod redact;
mod set;
mod view;

pub use config::{ConfigError, parse_field_filters, parse_filters, parse_redaction_filters};
pub use error::FilterError;
pub use fields::{FieldFilters, UnknownField};
pub use redact::Redactor;
pub use set::{FilterSet, Options};
pub use view::EventView;

#[cfg(test)]
mod samples;
