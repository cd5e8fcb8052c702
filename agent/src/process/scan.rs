//! Finds the processes that no live record has told of: those from before the start, and those whose records the
//! kernel lost.
//!
//! Hooks are attached before a scan begins, so everything that changes while it runs is in the ring as well. A
//! process image has one key in both; what the ring tells live is left to the ring:
//!
//! 1. the iterator lists all processes with their keys;
//! 2. `/proc` adds the path, the arguments and the directory of those that are new to us;
//! 3. the iterator runs again until no process of interest is in the middle of an exec, whose record would otherwise
//!    come after we have decided;
//! 4. what is in the ring by now is taken out: images that begin there are not reported from the scan.

use std::collections::{HashMap, HashSet};
use std::thread::sleep;
use std::time::Duration;

use tetragon_bpf::records::{ProcessKey, ScanRecord, TaskInfo, task_flags};

use super::procfs::{ProcFacts, ProcFs};
use crate::kernel::KernelError;
use crate::kernel::sensor::BaseSensor;

/// Waits for execs to finish, at most this often.
const SETTLE_TRIES: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(5);
/// Processes read from `/proc` between two emptyings of the ring.
const BATCH: usize = 32;

/// A process found by a scan.
#[derive(Debug)]
pub struct Found {
    /// What its task said at first sight.
    pub task: TaskInfo,
    /// What `/proc` added; empty for kernel threads.
    pub facts: ProcFacts,
}

impl Found {
    /// Whether a process is on its way out and no live thread is left.
    pub fn is_dying(&self) -> bool {
        self.task.flags & task_flags::DEAD != 0
    }
}

/// What a scan saw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// New to us, parents before children.
    pub found: Vec<Found>,
    /// Everything there was at the beginning.
    pub present: HashSet<(u32, u64)>,
}

/// Scans. `is_known` says which images need no more facts; `relieve` is called often, to empty the ring.
pub fn scan(
    sensor: &mut BaseSensor,
    procfs: &ProcFs,
    is_known: impl Fn(&ProcessKey) -> bool,
    mut relieve: impl FnMut(),
) -> Result<Outcome, KernelError> {
    let first = sensor.scan()?;
    let keys = first.iter().flat_map(|record| [record.task.key, record.task.parent]);
    let present = keys.map(|key| (key.tgid, key.start_boot_ns)).collect();
    let mut found = Vec::new();
    for (index, record) in first.iter().filter(|record| !is_known(&record.task.key)).enumerate() {
        if index % BATCH == 0 {
            relieve();
        }
        let wanted = record.task.flags & task_flags::KTHREAD == 0;
        let facts = if wanted { procfs.facts(record.task.key.tgid) } else { ProcFacts::default() };
        found.push(Found { task: record.task, facts });
    }
    let hidden = hidden_parents(&first, procfs);
    found.extend(hidden.into_iter().filter(|one| !is_known(&one.task.key)));

    let mut last = settle(sensor, &found, &mut relieve)?;
    // A process that has started another program meanwhile may have lent us the facts of that one.
    for one in &mut found {
        let now = last.remove(&one.task.key.tgid);
        if now.is_some_and(|now| now.key != one.task.key) {
            one.facts = ProcFacts { cgroup: one.facts.cgroup.take(), ..ProcFacts::default() };
        }
    }
    found.sort_by_key(|one| (one.task.key.start_boot_ns, one.task.key.tgid));
    Ok(Outcome { found, present })
}

/// Some systems keep processes out of the iterator (a hypervisor's guest agent as pid 1, for example). Those that have
/// children are found through them: a child's task holds its parent's key. The rest of what is known comes from `/proc`.
fn hidden_parents(tasks: &[ScanRecord], procfs: &ProcFs) -> Vec<Found> {
    let listed: HashSet<u32> = tasks.iter().map(|record| record.task.key.tgid).collect();
    let hidden: HashSet<ProcessKey> = tasks
        .iter()
        .map(|record| record.task.parent)
        .filter(|parent| parent.tgid != 0 && !listed.contains(&parent.tgid))
        .collect();
    hidden.into_iter().map(|key| Found { task: procfs.task(key), facts: procfs.facts(key.tgid) }).collect()
}

/// The tasks as they are once none of those found is inside an exec.
fn settle(
    sensor: &mut BaseSensor,
    found: &[Found],
    relieve: &mut impl FnMut(),
) -> Result<HashMap<u32, TaskInfo>, KernelError> {
    let keys: HashSet<ProcessKey> = found.iter().map(|one| one.task.key).collect();
    let mut tries = 0;
    loop {
        let tasks: Vec<ScanRecord> = sensor.scan()?;
        relieve();
        let busy = tasks
            .iter()
            .any(|record| record.task.flags & task_flags::IN_EXEC != 0 && keys.contains(&record.task.key));
        if !busy || tries == SETTLE_TRIES {
            return Ok(tasks.into_iter().map(|record| (record.task.key.tgid, record.task)).collect());
        }
        tries += 1;
        sleep(SETTLE_PAUSE);
    }
}
