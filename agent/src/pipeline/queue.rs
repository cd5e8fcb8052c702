//! Records of policies that have left their ring and are not handled yet.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use crate::decode;

/// How long a record may wait for its process to become known: the record of its exec or birth can be hidden for a
/// moment behind an unfinished one of another CPU.
const STRANDED_LIMIT: Duration = Duration::from_millis(200);
/// Bytes that may wait. What is more is handled at once, in whatever order.
const BYTES_MAX: usize = 32 << 20;
/// Buffers kept for reuse, and the largest that are.
const SPARE_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 4096;

/// A record of a policy outside its ring.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    buffer: Buffer,
    boot_ns: u64,
    /// Since when its process is awaited.
    since: Option<Instant>,
}

impl Waiting {
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }
}

/// Records in the order of their times, and those whose process is not known in the order of their coming.
#[derive(Debug, Default)]
pub(super) struct Queue {
    fresh: VecDeque<Waiting>,
    stranded: VecDeque<(u32, Waiting)>,
    /// Whose these are.
    by_process: HashSet<u32>,
    spare: Vec<Waiting>,
    bytes: usize,
}

impl Queue {
    /// Copies a record. CPUs write at the same time, so a record may be a little older than the one before it.
    pub(super) fn push(&mut self, record: &[u8]) {
        let mut waiting = self.spare.pop().unwrap_or_default();
        waiting.buffer.copy(record);
        waiting.boot_ns = decode::header(record).map_or(0, |header| header.boot_ns);
        self.bytes += waiting.buffer.capacity();
        let at = self.fresh.iter().rposition(|other| other.boot_ns <= waiting.boot_ns).map_or(0, |at| at + 1);
        self.fresh.insert(at, waiting);
    }

    /// Whether more would be too much.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// Takes the oldest record of before this moment.
    pub(super) fn pop_before(&mut self, boot_ns: u64) -> Option<Waiting> {
        if self.fresh.front()?.boot_ns >= boot_ns {
            return None;
        }
        self.fresh.pop_front()
    }

    /// A record of a process that is not known.
    pub(super) fn strand(&mut self, tgid: u32, mut waiting: Waiting) {
        waiting.since.get_or_insert_with(Instant::now);
        self.stranded.push_back((tgid, waiting));
        self.by_process.insert(tgid);
    }

    /// Whether an earlier record of the process waits for it to become known.
    pub(super) fn strands(&self, tgid: u32) -> bool {
        !self.by_process.is_empty() && self.by_process.contains(&tgid)
    }

    /// Takes out all that are stranded, to be tried again; each with whether it has waited long enough.
    pub(super) fn take_stranded(&mut self) -> impl Iterator<Item = (Waiting, bool)> + use<> {
        let full = self.is_full();
        let long_enough = |since: Option<Instant>| since.is_none_or(|it| it.elapsed() >= STRANDED_LIMIT);
        self.by_process.clear();
        let stranded = mem::take(&mut self.stranded).into_iter();
        stranded.map(move |(_, waiting)| {
            let over = full || long_enough(waiting.since);
            (waiting, over)
        })
    }

    /// A record is done with.
    pub(super) fn release(&mut self, mut waiting: Waiting) {
        waiting.since = None;
        let capacity = waiting.buffer.capacity();
        self.bytes = self.bytes.saturating_sub(capacity);
        if self.spare.len() < SPARE_MAX && capacity <= SPARE_BYTES_MAX {
            self.spare.push(waiting);
        }
    }

    /// When the oldest stranded record will have waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.stranded.front()?.1.since.map(|since| since + STRANDED_LIMIT)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.stranded.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{mk_call, mk_call_bytes, mk_key};
    use zerocopy::IntoBytes;

    fn push(queue: &mut Queue, boot_ns: u64) {
        let record = mk_call(mk_key(1, 1, 1), boot_ns);
        queue.push(mk_call_bytes(&record, b"").as_bytes());
    }

    fn times(queue: &mut Queue, before: u64) -> Vec<u64> {
        std::iter::from_fn(|| {
            let waiting = queue.pop_before(before)?;
            let time = decode::header(waiting.bytes()).unwrap().boot_ns;
            queue.release(waiting);
            Some(time)
        })
        .collect()
    }

    #[test]
    fn records_come_out_by_time_and_no_newer_ones() {
        let mut queue = Queue::default();
        [3, 1, 5, 4, 4, 9].into_iter().for_each(|at| push(&mut queue, at));
        assert_eq!(times(&mut queue, 5), [1, 3, 4, 4]);
        push(&mut queue, 2);
        assert_eq!(times(&mut queue, u64::MAX), [2, 5, 9]);
        assert_eq!((queue.len(), queue.bytes), (0, 0));
    }

    #[test]
    fn the_stranded_keep_their_order_and_the_beginning_of_their_wait() {
        let mut queue = Queue::default();
        [1, 2].into_iter().for_each(|at| push(&mut queue, at));
        for tgid in [7, 8] {
            let waiting = queue.pop_before(u64::MAX).unwrap();
            queue.strand(tgid, waiting);
        }
        assert!(queue.strands(7) && queue.strands(8) && !queue.strands(9));
        let deadline = queue.next_deadline().unwrap();
        let mut again: Vec<_> = queue.take_stranded().collect();
        assert!(again.iter().all(|(_, over)| !over) && queue.next_deadline().is_none());
        let (second, _) = again.pop().unwrap();
        let (first, _) = again.pop().unwrap();
        queue.strand(7, first);
        queue.strand(8, second);
        assert_eq!(queue.next_deadline(), Some(deadline));
        std::thread::sleep(STRANDED_LIMIT);
        assert!(queue.take_stranded().all(|(_, over)| over));
    }

    #[test]
    fn too_much_is_noticed() {
        let mut queue = Queue::default();
        let bytes = mk_call_bytes(&mk_call(mk_key(1, 1, 1), 1), &[0; 20_000]);
        let mut count = 0;
        while !queue.is_full() {
            queue.push(bytes.as_bytes());
            count += 1;
        }
        assert!((BYTES_MAX / 21_000..=BYTES_MAX / 20_000).contains(&count), "{count}");
        times(&mut queue, u64::MAX);
        assert!(!queue.is_full());
    }
}
