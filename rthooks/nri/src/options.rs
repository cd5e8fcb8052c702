//! Who a plugin is, and how long it waits.

use std::sync::Arc;
use std::time::Duration;

use crate::counters::Counters;

/// Who a plugin is, and how long it waits for the runtime.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) name: String,
    pub(crate) index: String,
    pub(crate) registration_timeout: Duration,
    pub(crate) synchronize_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) counters: Arc<Counters>,
}

/// A name or index that runtimes refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The name.
    #[error("plugin name {0:?} is empty or has characters other than letters, digits and _ . + -")]
    Name(String),
    /// The index.
    #[error("plugin index {0} is not in 0 to 99")]
    Index(u8),
}

impl Options {
    /// A plugin of the given name, called in ascending order of `index` (0 to 99) among all plugins.
    ///
    /// # Errors
    /// A name or index that runtimes refuse.
    pub fn new(name: impl Into<String>, index: u8) -> Result<Self, InvalidName> {
        let name = name.into();
        let allowed = |it: u8| it.is_ascii_alphanumeric() || b"_.+-".contains(&it);
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(InvalidName::Name(name));
        }
        if index > 99 {
            return Err(InvalidName::Index(index));
        }
        Ok(Self {
            name,
            index: format!("{index:02}"),
            registration_timeout: Duration::from_secs(5),
            synchronize_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(2),
            counters: Arc::default(),
        })
    }

    /// How long the runtime may take to answer the registration, and then again to configure the plugin. 5 seconds
    /// unless told, as long as runtimes wait for plugins.
    #[must_use]
    pub fn registration_timeout(mut self, timeout: Duration) -> Self {
        self.registration_timeout = timeout;
        self
    }

    /// How long the runtime may take from configuring the plugin to the end of synchronizing it, the plugin's own
    /// time included. A minute unless told: runtimes wait for containers that are half created.
    #[must_use]
    pub fn synchronize_timeout(mut self, timeout: Duration) -> Self {
        self.synchronize_timeout = timeout;
        self
    }

    /// How long the runtime may pause in the middle of a message, or leave one of ours untaken. 10 seconds unless
    /// told.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// How long requests in progress may take to end once the plugin is asked to. 2 seconds unless told.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Counts of all connections made with these options or clones of them.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_runtimes_refuse_are_refused() {
        for name in ["", "a b", "ä", "a/b"] {
            assert_eq!(Options::new(name, 1).expect_err(name), InvalidName::Name(name.to_owned()));
        }
        assert_eq!(Options::new("x", 100).expect_err("three digits"), InvalidName::Index(100));
    }

    #[test]
    fn an_index_has_two_digits() {
        assert_eq!(Options::new("A_b.c+d-9", 7).expect("valid").index, "07");
        assert_eq!(Options::new("x", 99).expect("valid").index, "99");
    }
}
