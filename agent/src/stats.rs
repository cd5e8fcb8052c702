//! The user-space side of the loss ledger, and other figures that the pipeline keeps for the status.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tetragon_api::tetragon::{PolicyEventStatus, ProcessTableStatus, RecordLedger, ScanStatus};
use tetragon_bpf::records::kind;

/// Where the records of one kind went: `consumed = emitted + absorbed + duplicate + malformed`.
#[derive(Debug, Default)]
pub struct RecordCounters {
    emitted: AtomicU64,
    absorbed: AtomicU64,
    duplicate: AtomicU64,
    malformed: AtomicU64,
}

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// An event.
    Emitted,
    /// Needed inside only.
    Absorbed,
    /// The same thing was known already.
    Duplicate,
    /// Not readable.
    Malformed,
}

/// Kinds in the order of the status.
const KINDS: [(u32, &str); 6] = [
    (kind::EXEC, "exec"),
    (kind::FORK, "fork"),
    (kind::EXIT, "exit"),
    (kind::CGROUP, "cgroup"),
    (kind::DATA, "data"),
    (kind::POLICY, "policy"),
];

/// All of it.
#[derive(Debug, Default)]
pub struct Stats {
    records: [RecordCounters; KINDS.len()],
    unreadable: AtomicU64,
    table: Mutex<ProcessTableStatus>,
    scan: Mutex<ScanStatus>,
    policies: Mutex<PolicyEventStatus>,
}

impl Stats {
    /// Counts one record.
    pub fn count(&self, record_kind: u32, fate: Fate) {
        let Some(index) = KINDS.iter().position(|(kind, _)| *kind == record_kind) else {
            self.unreadable.fetch_add(1, Relaxed);
            return;
        };
        let counters = &self.records[index];
        let counter = match fate {
            Fate::Emitted => &counters.emitted,
            Fate::Absorbed => &counters.absorbed,
            Fate::Duplicate => &counters.duplicate,
            Fate::Malformed => &counters.malformed,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Records of one kind (of [`kind`]) that were read.
    pub fn consumed(&self, record_kind: u32) -> u64 {
        let rows = self.records();
        KINDS.iter().position(|(kind, _)| *kind == record_kind).map_or(0, |index| rows[index].consumed)
    }

    /// A row a kind; one more for records of no known kind, if there were any.
    pub fn records(&self) -> Vec<RecordLedger> {
        let mut rows: Vec<RecordLedger> = KINDS
            .iter()
            .zip(&self.records)
            .map(|((_, name), counters)| {
                let [emitted, absorbed, duplicate, malformed] =
                    [&counters.emitted, &counters.absorbed, &counters.duplicate, &counters.malformed]
                        .map(|counter| counter.load(Relaxed));
                RecordLedger {
                    kind: (*name).to_owned(),
                    consumed: emitted + absorbed + duplicate + malformed,
                    emitted,
                    absorbed,
                    duplicate,
                    malformed,
                }
            })
            .collect();
        let unreadable = self.unreadable.load(Relaxed);
        if unreadable > 0 {
            rows.push(RecordLedger {
                kind: "unknown".to_owned(),
                consumed: unreadable,
                malformed: unreadable,
                ..RecordLedger::default()
            });
        }
        rows
    }

    /// Changes what is shown of the process table.
    pub fn table(&self, change: impl FnOnce(&mut ProcessTableStatus)) -> ProcessTableStatus {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut table);
        *table
    }

    /// Changes what is shown of the records of policies.
    pub fn policies(&self, change: impl FnOnce(&mut PolicyEventStatus)) -> PolicyEventStatus {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut policies);
        *policies
    }

    /// Changes what is shown of scans.
    pub fn scan(&self, change: impl FnOnce(&mut ScanStatus)) -> ScanStatus {
        let mut scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut scan);
        scan.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_in_one_row_and_one_column() {
        let stats = Stats::default();
        let fates = [Fate::Emitted, Fate::Absorbed, Fate::Duplicate, Fate::Malformed];
        for (number, (kind, _)) in (1u64..).zip(KINDS) {
            for fate in fates {
                (0..number).for_each(|_| stats.count(kind, fate));
            }
        }
        let rows = stats.records();
        assert_eq!(
            rows.iter().map(|row| &*row.kind).collect::<Vec<_>>(),
            ["exec", "fork", "exit", "cgroup", "data", "policy"]
        );
        for (number, row) in (1..).zip(&rows) {
            let parts = [row.emitted, row.absorbed, row.duplicate, row.malformed];
            assert_eq!((parts, row.consumed), ([number; 4], 4 * number));
        }
        assert_eq!(stats.consumed(kind::EXIT), 12);
    }

    #[test]
    fn records_of_no_known_kind_are_counted_as_malformed() {
        let stats = Stats::default();
        stats.count(99, Fate::Malformed);
        stats.count(kind::SCAN, Fate::Malformed);
        let rows = stats.records();
        let row = rows.last().unwrap();
        assert_eq!((rows.len(), &*row.kind, row.consumed, row.malformed), (7, "unknown", 2, 2));
        assert_eq!(stats.consumed(99), 0);
    }

    #[test]
    fn figures_of_table_and_scans_are_kept() {
        let stats = Stats::default();
        stats.table(|shown| shown.entries = 3);
        assert_eq!(stats.table(|_| ()).entries, 3);
        stats.scan(|shown| shown.scans += 1);
        assert_eq!(stats.scan(|shown| shown.scans += 1).scans, 2);
    }
}
