//! Calls that wait for their return.

use std::collections::{HashMap, VecDeque};

use tetragon_bpf::plan::PolicyRecord;

/// Most calls that wait.
const WAITING_MAX: usize = 4096;

/// What a call and its return have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallKey {
    tid: u32,
    /// Place of the plan.
    pub plan: u32,
    /// Of the plan.
    pub generation: u64,
    entry_ns: u64,
}

impl From<&PolicyRecord> for CallKey {
    fn from(record: &PolicyRecord) -> Self {
        let PolicyRecord { tid, plan, generation, entry_ns, .. } = *record;
        Self { tid, plan, generation, entry_ns }
    }
}

#[derive(Debug)]
struct Waiting<T> {
    tgid: u32,
    call: T,
}

/// Calls by key, in the order of their coming. One that never returns waits until its process ends or it is the oldest
/// of too many.
#[derive(Debug)]
pub struct Joining<T> {
    calls: HashMap<CallKey, Waiting<T>>,
    /// Keys of calls that have left may still be here.
    order: VecDeque<CallKey>,
    by_process: HashMap<u32, usize>,
}

impl<T> Default for Joining<T> {
    fn default() -> Self {
        Self { calls: HashMap::new(), order: VecDeque::new(), by_process: HashMap::new() }
    }
}

impl<T> Joining<T> {
    /// A call begins to wait. What gives way to it, if there are too many.
    pub fn insert(&mut self, key: CallKey, tgid: u32, call: T) -> Option<T> {
        let evicted = if self.calls.len() >= WAITING_MAX { self.oldest() } else { None };
        *self.by_process.entry(tgid).or_default() += 1;
        let before = self.calls.insert(key, Waiting { tgid, call });
        if let Some(before) = &before {
            self.left(before.tgid);
        } else {
            self.order.push_back(key);
        }
        if self.order.len() > 2 * WAITING_MAX {
            self.order.retain(|key| self.calls.contains_key(key));
        }
        evicted.or(before.map(|it| it.call))
    }

    /// A call returns.
    pub fn take(&mut self, key: &CallKey) -> Option<T> {
        let waiting = self.calls.remove(key)?;
        self.left(waiting.tgid);
        if self.calls.is_empty() {
            self.order.clear();
        }
        Some(waiting.call)
    }

    /// A process has ended: its calls do not return any more. In the order of their coming.
    pub fn end(&mut self, tgid: u32) -> Vec<T> {
        if !self.by_process.contains_key(&tgid) {
            return Vec::new();
        }
        let of_process = |key: &&CallKey| self.calls.get(*key).is_some_and(|it| it.tgid == tgid);
        let keys: Vec<CallKey> = self.order.iter().filter(of_process).copied().collect();
        keys.iter().filter_map(|key| self.take(key)).collect()
    }

    /// Takes the calls whose keys are such. In the order of their coming.
    pub fn end_those(&mut self, such: impl Fn(&CallKey) -> bool) -> Vec<T> {
        let those = |key: &&CallKey| self.calls.contains_key(*key) && such(key);
        let keys: Vec<CallKey> = self.order.iter().filter(those).copied().collect();
        keys.iter().filter_map(|key| self.take(key)).collect()
    }

    /// All of them, in the order of their coming.
    pub fn end_all(&mut self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.calls.len());
        while let Some(call) = self.oldest() {
            all.push(call);
        }
        all
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn oldest(&mut self) -> Option<T> {
        while let Some(key) = self.order.pop_front() {
            if let Some(call) = self.take(&key) {
                return Some(call);
            }
        }
        None
    }

    fn left(&mut self, tgid: u32) {
        if let Some(count) = self.by_process.get_mut(&tgid) {
            *count -= 1;
            if *count == 0 {
                self.by_process.remove(&tgid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tid: u32, entry_ns: u64) -> CallKey {
        CallKey { tid, plan: 1, generation: 1, entry_ns }
    }

    #[test]
    fn a_return_finds_its_own_call_and_finds_it_once() {
        let mut joining = Joining::default();
        joining.insert(key(1, 10), 1, "outer");
        joining.insert(key(1, 11), 1, "inner");
        joining.insert(key(2, 10), 1, "other thread");
        let other_plan = CallKey { plan: 2, ..key(1, 10) };
        let other_generation = CallKey { generation: 2, ..key(1, 10) };
        assert_eq!((joining.take(&other_plan), joining.take(&other_generation)), (None, None));
        assert_eq!(joining.take(&key(1, 11)), Some("inner"));
        assert_eq!((joining.take(&key(1, 10)), joining.take(&key(1, 10))), (Some("outer"), None));
        assert_eq!(joining.len(), 1);
    }

    #[test]
    fn the_end_of_a_process_ends_its_calls_alone() {
        let mut joining = Joining::default();
        joining.insert(key(1, 10), 1, "a");
        joining.insert(key(2, 10), 2, "b");
        joining.insert(key(3, 11), 1, "c");
        assert_eq!(joining.end(9), Vec::<&str>::new());
        assert_eq!(joining.end(1), ["a", "c"]);
        assert_eq!(joining.end(1), Vec::<&str>::new());
        assert_eq!(joining.end_all(), ["b"]);
        assert!(joining.is_empty() && joining.by_process.is_empty());
    }

    #[test]
    fn the_end_of_a_plan_ends_its_calls_alone() {
        let mut joining = Joining::default();
        joining.insert(key(1, 10), 1, "a");
        joining.insert(CallKey { plan: 2, ..key(1, 10) }, 1, "b");
        joining.insert(key(2, 10), 2, "c");
        joining.take(&key(2, 10));
        assert_eq!(joining.end_those(|key| key.plan == 1), ["a"]);
        assert_eq!(joining.end_all(), ["b"]);
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut joining = Joining::default();
        for at in 0..WAITING_MAX as u64 {
            assert_eq!(joining.insert(key(1, at), 1, at), None);
        }
        assert_eq!(joining.take(&key(1, 0)), Some(0));
        assert_eq!(joining.insert(key(1, 5000), 1, 5000), None);
        assert_eq!(joining.insert(key(1, 5001), 1, 5001), Some(1));
        assert_eq!(joining.len(), WAITING_MAX);
    }

    #[test]
    fn calls_that_come_and_go_leave_nothing_behind() {
        let mut joining = Joining::default();
        joining.insert(key(9, 1), 9, 0);
        for at in 0..10 * WAITING_MAX as u64 {
            joining.insert(key(1, at), 1, at);
            assert_eq!(joining.take(&key(1, at)), Some(at));
        }
        assert!(joining.order.len() <= 2 * WAITING_MAX + 1);
        assert_eq!((joining.len(), joining.by_process.len()), (1, 1));
    }
}
