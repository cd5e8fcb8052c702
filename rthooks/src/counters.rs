//! What was told, let through, refused and lost.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// A count that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts since the start of the process.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[doc = $doc])+ pub(crate) $name: Count,)+
        }

        /// The counts at one moment.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        pub(crate) struct Snapshot {
            $(pub(crate) $name: u64,)+
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)+ }
            }
        }
    };
}

counters! {
    /// Containers whose creation the agent has taken.
    announce_ok,
    /// Containers whose creation it has not.
    announce_failed,
    /// Containers whose start the agent has taken.
    verify_ok,
    /// Containers whose start it has not.
    verify_failed,
    /// Sandboxes whose start the agent has taken.
    sandbox_ok,
    /// Sandboxes whose start it has not.
    sandbox_failed,
    /// Containers that the agent was told again, or late, and has taken: found by a synchronization, let through
    /// before, or known to an agent that is gone.
    replayed,
    /// Attempts of that which failed.
    replay_failed,
    /// Containers that were to be told again, and had ended.
    replay_gone,
    /// Removals the agent has taken.
    removed_ok,
    /// Removals it has not.
    removed_failed,
    /// Containers that the agent does not know, let through by the failure policy.
    allowed,
    /// Containers that the agent does not know, let through because a node has to boot: static pods and our own.
    exempted,
    /// Containers refused at their creation.
    refused,
    /// Containers refused at their start.
    refused_at_start,
    /// Containers created or started while this plugin was not connected, found afterwards.
    recovered,
    /// Times the agent went away.
    agent_lost,
    /// Notes for the agent's next start written.
    spooled,
    /// Notes that could not be written.
    spool_failed,
}
