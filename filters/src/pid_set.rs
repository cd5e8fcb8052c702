//! Processes and all that descend from them.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use tetragon_api::tetragon::Process;

use crate::view::EventView;

/// Descendants remembered in one generation; two generations are kept, 16 bytes and a little for each.
const GENERATION: usize = 16_384;

/// The pids a filter names, and the descendants seen so far.
///
/// Descendants are known by their execution id, so that a pid that is used again is not taken for one. Memory is
/// bounded: of more than 16,384 living descendants, those without an event for the longest time are forgotten.
#[derive(Debug)]
pub(crate) struct PidSet {
    pids: HashSet<u32>,
    descendants: Mutex<Descendants>,
    hasher: RandomState,
}

/// Hashes of execution ids, in two generations: what is met again moves to the current one.
#[derive(Debug, Default)]
struct Descendants {
    current: HashSet<u64>,
    previous: HashSet<u64>,
}

impl PidSet {
    pub(crate) fn new(pids: &[u32]) -> Self {
        Self {
            pids: pids.iter().copied().collect(),
            descendants: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// Learns from an event, whether or not it passes the rest of the filter.
    pub(crate) fn observe(&self, event: &dyn EventView) {
        let Some(process) = event.process() else { return };
        let mut descendants = self.descendants.lock().unwrap_or_else(PoisonError::into_inner);
        let mut belongs =
            |process: &Process| self.is_named(process) || descendants.contains(self.key(process));
        if event.parent().is_some_and(&mut belongs) || event.any_ancestor(&mut belongs) {
            descendants.insert(self.key(process));
        }
    }

    pub(crate) fn contains(&self, process: &Process) -> bool {
        self.is_named(process)
            || self.descendants.lock().unwrap_or_else(PoisonError::into_inner).contains(self.key(process))
    }

    fn is_named(&self, process: &Process) -> bool {
        process.pid.is_some_and(|pid| self.pids.contains(&pid))
    }

    /// Events that a field filter has been over may lack the execution id.
    fn key(&self, process: &Process) -> u64 {
        if process.exec_id.is_empty() {
            self.hasher.hash_one(process.pid)
        } else {
            self.hasher.hash_one(&process.exec_id)
        }
    }
}

impl Descendants {
    fn contains(&mut self, key: u64) -> bool {
        if self.current.contains(&key) {
            return true;
        }
        let known = self.previous.contains(&key);
        if known {
            self.insert(key);
        }
        known
    }

    fn insert(&mut self, key: u64) {
        if self.current.len() >= GENERATION && !self.current.contains(&key) {
            self.previous = std::mem::take(&mut self.current);
        }
        self.current.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{exec, process};

    #[test]
    fn descendants_of_any_depth_belong() {
        let set = PidSet::new(&[10]);
        for (parent, child) in [(10, 11), (11, 12), (12, 13), (1, 99)] {
            set.observe(&exec(process(child), Some(process(parent))));
        }
        for (pid, expected) in [(10, true), (11, true), (13, true), (1, false), (99, false)] {
            assert_eq!(set.contains(&process(pid)), expected, "{pid}");
        }
    }

    #[test]
    fn a_pid_used_again_does_not_belong() {
        let set = PidSet::new(&[10]);
        set.observe(&exec(process(11), Some(process(10))));
        let mut another = process(11);
        another.exec_id = "another".to_owned();
        assert!(!set.contains(&another));
    }

    #[test]
    fn memory_is_bounded_and_those_with_events_stay() {
        let set = PidSet::new(&[1]);
        let busy = exec(process(2), Some(process(1)));
        for pid in 3..200_000 {
            set.observe(&exec(process(pid), Some(process(1))));
            if pid % 1_000 == 0 {
                set.observe(&busy);
            }
        }
        let descendants = set.descendants.lock().unwrap();
        assert!(descendants.current.len() + descendants.previous.len() <= 2 * GENERATION);
        drop(descendants);
        assert!(set.contains(&process(2)));
        assert!(set.contains(&process(199_999)));
        assert!(!set.contains(&process(3)));
    }
}
