//! What the export did, for metrics and status.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters of one export, shared with those who show them.
#[derive(Debug, Default)]
pub struct ExportCounters {
    pub(super) lines: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) failed_lines: AtomicU64,
    pub(super) write_errors: AtomicU64,
    pub(super) rotations: AtomicU64,
    pub(super) rotation_errors: AtomicU64,
    pub(super) degraded: AtomicBool,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportSnapshot {
    /// Lines written in full.
    pub lines: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Lines that were not written: longer than a file may be, or given up while the output could not be written.
    pub failed_lines: u64,
    /// Attempts to write that failed.
    pub write_errors: u64,
    /// Rotations made.
    pub rotations: u64,
    /// Rotations that failed.
    pub rotation_errors: u64,
    /// The output cannot be written at the moment.
    pub degraded: bool,
}

impl ExportCounters {
    /// All counters now.
    pub fn snapshot(&self) -> ExportSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ExportSnapshot {
            lines: read(&self.lines),
            bytes: read(&self.bytes),
            failed_lines: read(&self.failed_lines),
            write_errors: read(&self.write_errors),
            rotations: read(&self.rotations),
            rotation_errors: read(&self.rotation_errors),
            degraded: self.degraded.load(Ordering::Relaxed),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
