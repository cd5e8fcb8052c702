//! The log: one line per message, as text or JSON, at a level that can change while running.

mod level;

pub use level::{Format, Level, UnknownName};
