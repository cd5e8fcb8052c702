//! What was dropped, refused and lost.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts over all connections made with the same [`crate::Options`].
        #[derive(Debug, Default)]
        pub struct Counters {
            $(pub(crate) $name: Count,)+
        }

        /// The counts at one moment.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct CountersSnapshot {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// The counts now.
            #[must_use]
            pub fn snapshot(&self) -> CountersSnapshot {
                CountersSnapshot { $($name: self.$name.get(),)+ }
            }
        }
    };
}

counters! {
    /// Connections that got as far as a registration accepted by the runtime.
    registrations,
    /// Requests that were served, well or badly.
    requests,
    /// Requests answered with a status other than success, whoever caused it.
    failed_requests,
    /// Frames for a connection id that nobody has; dropped.
    unknown_connection_frames,
    /// Messages of a type that is not used in that direction; dropped.
    unexpected_messages,
    /// Answers to calls that nobody waits for any more; dropped.
    late_answers,
    /// Messages longer than the protocol allows; passed over and refused.
    oversize_messages,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
