//! What the parts of the harness tell one another, as lines of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a guest is to do; packed into its initramfs.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Plan {
    /// Name of the place the guest is.
    pub(crate) place: String,
    pub(crate) tests: Vec<PlannedTest>,
}

/// One test to run.
#[derive(Serialize, Deserialize, Debug, Clone)]
pub(crate) struct PlannedTest {
    pub(crate) name: String,
    pub(crate) cap_ms: u64,
    /// Neighbours of the same group run in one process, and share its agent.
    pub(crate) group: Option<String>,
    /// A machine must have container runtimes on board.
    pub(crate) runtimes: bool,
}

/// How one test went.
#[derive(Serialize, Deserialize, Debug, Clone, Default)]
pub(crate) struct Report {
    /// Why it failed; absent if it passed.
    pub(crate) failure: Option<String>,
    /// End of what it printed.
    pub(crate) log: String,
    pub(crate) millis: u64,
    /// Measurements it recorded.
    pub(crate) figures: BTreeMap<String, f64>,
}

impl Report {
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self { failure: Some(reason.into()), ..Self::default() }
    }
}

/// One line from a guest.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// User space is up.
    Booted {
        release: String,
    },
    Started {
        test: String,
    },
    Finished {
        test: String,
        report: Report,
    },
    /// All tests are done.
    Done,
    /// The guest cannot go on.
    Broken {
        reason: String,
    },
}
