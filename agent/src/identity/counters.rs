//! Figures of the store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use tetragon_api::tetragon::{HookCallCount, IdentityStatus};

/// When it was known whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// By the kernel, when it wrote the record.
    InKernel,
    /// By user space, when the record arrived.
    Early,
    /// While the event waited.
    Late,
    /// Not when the event was sent.
    Unknown,
}

/// Figures that only go up.
#[derive(Debug, Default)]
pub struct Counters {
    in_kernel: AtomicU64,
    early: AtomicU64,
    late: AtomicU64,
    unknown: AtomicU64,
    setup: AtomicU64,
    conflicts: AtomicU64,
    migrated: AtomicU64,
    map_failures: AtomicU64,
    waiting: AtomicU64,
    hook_calls: Mutex<BTreeMap<(&'static str, String), u64>>,
}

impl Counters {
    /// An event of a process in a container is sent.
    pub fn event(&self, knowledge: Knowledge, setup: bool) {
        let counter = match knowledge {
            Knowledge::InKernel => &self.in_kernel,
            Knowledge::Early => &self.early,
            Knowledge::Late => &self.late,
            Knowledge::Unknown => &self.unknown,
        };
        counter.fetch_add(1, Relaxed);
        if setup {
            self.setup.fetch_add(1, Relaxed);
        }
    }

    /// Two sources contradict each other.
    pub(super) fn conflict(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    /// A process has left its container's cgroup for one that is nobody's.
    pub fn migrated(&self) {
        self.migrated.fetch_add(1, Relaxed);
    }

    /// So many events wait now.
    pub fn set_waiting(&self, count: usize) {
        self.waiting.store(count as u64, Relaxed);
    }

    /// A kernel map could not be changed.
    pub(super) fn map_failure(&self) {
        self.map_failures.fetch_add(1, Relaxed);
    }

    /// A hook has been answered; `error` is empty for success.
    pub(super) fn hook_call(&self, stage: &'static str, error: String) {
        let mut calls = self.hook_calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((stage, error)).or_default() += 1;
    }

    /// Whether a hook has ever told of a container.
    pub(super) fn has_hooks(&self) -> bool {
        let calls = self.hook_calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.keys().any(|(_, error)| error.is_empty())
    }

    /// Fills in what is counted here.
    pub(super) fn show(&self, status: &mut IdentityStatus) {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        status.events_in_kernel = read(&self.in_kernel);
        status.events_early = read(&self.early);
        status.events_late = read(&self.late);
        status.events_unknown = read(&self.unknown);
        status.events =
            status.events_in_kernel + status.events_early + status.events_late + status.events_unknown;
        status.events_setup = read(&self.setup);
        status.conflicts = read(&self.conflicts);
        status.migrated = read(&self.migrated);
        status.waiting = read(&self.waiting);
        status.map_failures = read(&self.map_failures);
        let calls = self.hook_calls.lock().unwrap_or_else(PoisonError::into_inner);
        status.hook_calls = calls
            .iter()
            .map(|((stage, error), count)| HookCallCount {
                stage: (*stage).to_owned(),
                error: error.clone(),
                count: *count,
            })
            .collect();
    }
}
