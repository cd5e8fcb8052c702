//! Names of levels and forms.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use thiserror::Error;

/// How severe a message is, most severe first; numbered as in the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// A defect that ends the process.
    Panic,
    /// A failure that ends the process.
    Fatal,
    /// Something did not work.
    Error,
    /// Something works less well.
    Warning,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    pub(super) const ALL: [Self; 7] =
        [Self::Panic, Self::Fatal, Self::Error, Self::Warning, Self::Info, Self::Debug, Self::Trace];

    /// The name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A name that is none of the known ones.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not one of {known}")]
pub struct UnknownName {
    known: &'static str,
}

impl FromStr for Level {
    type Err = UnknownName;

    /// Reads a name in any case; `warn` is `warning`.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let name = text.to_ascii_lowercase();
        let name = if name == "warn" { "warning" } else { name.as_str() };
        Self::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or(UnknownName { known: "panic, fatal, error, warn, info, debug, trace" })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `key=value` pairs.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for Format {
    type Err = UnknownName;

    /// Reads a name in any case.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text.to_ascii_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownName { known: "text, json" }),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The level of the running log, shared by all who read or change it.
#[derive(Clone, Debug)]
pub struct LevelHandle(Arc<AtomicU8>);

impl LevelHandle {
    /// A handle that starts at `level`.
    pub fn new(level: Level) -> Self {
        Self(Arc::new(AtomicU8::new(level as u8)))
    }

    /// The least severe level that is logged.
    pub fn get(&self) -> Level {
        let number = usize::from(self.0.load(Ordering::Relaxed));
        Level::ALL.get(number).copied().unwrap_or_default()
    }

    /// Changes the level for all messages from now on.
    pub fn set(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
        // Each place that logs remembers whether it is wanted.
        tracing::callsite::rebuild_interest_cache();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_print_back() {
        for level in Level::ALL {
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(level.name().to_uppercase().parse(), Ok(level));
        }
        assert_eq!("WARN".parse(), Ok(Level::Warning));
        assert!("verbose".parse::<Level>().is_err());
        assert_eq!("JSON".parse(), Ok(Format::Json));
        assert!("yaml".parse::<Format>().is_err());
    }

    #[test]
    fn a_handle_keeps_each_level() {
        let handle = LevelHandle::new(Level::Info);
        for level in Level::ALL {
            handle.set(level);
            assert_eq!(handle.get(), level);
        }
    }
}
