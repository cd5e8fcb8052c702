//! All processes that live, and for a short while those that have ended.
//!
//! A process is found by (pid, start time), its image by the exec id on top; both come from the kernel with every
//! record, so a reused pid is another process and a replaced image another image. Entries hold their parent's
//! description, not a count: nothing can leak, and a parent stays known to its children after it has gone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tetragon_bpf::records::ProcessKey;

use super::info::ProcessInfo;

/// How long an ended process is still found: late records of other CPUs, a second exit record of the same process.
const KEEP_EXITED_NS: u64 = 5_000_000_000;
/// Most ended processes that are kept: what may still refer to them is in the ring already, and in a storm of short
/// processes they would otherwise be most of the memory.
const KEEP_EXITED: usize = 1024;

/// A process, whatever it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ProcessId {
    start_boot_ns: u64,
    tgid: u32,
}

impl From<&ProcessKey> for ProcessId {
    fn from(key: &ProcessKey) -> Self {
        Self { start_boot_ns: key.start_boot_ns, tgid: key.tgid }
    }
}

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Born, still running its creator's program.
    Cloned,
    /// Running a program of its own; its exec event is out.
    Running,
    /// Found by a scan on its way out; its exec event goes out only if its exit does.
    Dying,
    /// Ended.
    Exited,
}

/// One process.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its present image.
    pub info: Arc<ProcessInfo>,
    /// Its parent, as events show it.
    pub parent: Option<Arc<ProcessInfo>>,
    /// Grandparents upwards, where the settings ask for them.
    pub ancestors: Arc<[Arc<ProcessInfo>]>,
    /// Where it is in its life.
    pub stage: Stage,
    /// A scan did not find it any more. A record of its end can still come.
    pub missing: bool,
}

impl Entry {
    fn is_over(&self) -> bool {
        self.missing || self.stage == Stage::Exited
    }
}

/// The table.
#[derive(Debug)]
pub struct Table {
    entries: HashMap<ProcessId, Entry>,
    /// Those that are over, in the order of their end; each once.
    exited: VecDeque<(u64, ProcessId)>,
    capacity: usize,
    evicted: u64,
    kernel: Arc<ProcessInfo>,
}

impl Table {
    /// Holds at most `capacity` processes; `kernel` stands for pid 0.
    pub fn new(capacity: usize, kernel: ProcessInfo) -> Self {
        Self {
            entries: HashMap::new(),
            exited: VecDeque::new(),
            capacity,
            evicted: 0,
            kernel: Arc::new(kernel),
        }
    }

    /// The stand-in for pid 0.
    pub fn kernel(&self) -> &Arc<ProcessInfo> {
        &self.kernel
    }

    /// The process of this key, whatever image it runs now.
    pub fn get(&self, key: &ProcessKey) -> Option<&Entry> {
        self.entries.get(&key.into())
    }

    /// The very image of this key. An older or newer image of the same process is not an answer.
    pub fn image(&self, key: &ProcessKey) -> Option<Arc<ProcessInfo>> {
        if key.tgid == 0 {
            return Some(Arc::clone(&self.kernel));
        }
        let entry = self.get(key)?;
        (entry.info.key.exec_id == key.exec_id).then(|| Arc::clone(&entry.info))
    }

    /// The parent to show for a process whose parent has this key. The parent may have started another program
    /// between the two records; it is the same process all the same.
    pub fn parent(&self, key: &ProcessKey) -> Option<Arc<ProcessInfo>> {
        self.image(key).or_else(|| self.get(key).map(|entry| Arc::clone(&entry.info)))
    }

    /// The line above a parent, at most `limit` long. The kernel is not part of it.
    pub fn ancestors(&self, parent: &ProcessInfo, limit: usize) -> Arc<[Arc<ProcessInfo>]> {
        let Some(entry) = self.get(&parent.key) else { return Arc::default() };
        let mut line = entry.parent.iter().chain(&*entry.ancestors);
        if entry.info.key != parent.key {
            // It runs another program by now; the image in question is further up in its own line.
            line.find(|info| info.key == parent.key);
        }
        line.filter(|info| info.key.tgid != 0).take(limit).cloned().collect()
    }

    /// Puts a process in, or its new image in place of the old one.
    pub fn insert(&mut self, entry: Entry) {
        let id = ProcessId::from(&entry.info.key);
        match self.entries.get(&id) {
            // It is not over after all.
            Some(old) if old.is_over() => self.exited.retain(|(_, other)| *other != id),
            Some(_) => {}
            None if self.entries.len() >= self.capacity => self.make_room(),
            None => {}
        }
        self.entries.insert(id, entry);
    }

    /// Marks the process as ended.
    pub fn exit(&mut self, key: &ProcessKey, boot_ns: u64) {
        self.end(key, boot_ns, |entry| entry.stage = Stage::Exited);
    }

    /// Marks the process as not found any more.
    pub fn miss(&mut self, key: &ProcessKey, boot_ns: u64) {
        self.end(key, boot_ns, |entry| entry.missing = true);
    }

    fn end(&mut self, key: &ProcessKey, boot_ns: u64, mark: impl FnOnce(&mut Entry)) {
        let id = ProcessId::from(key);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if !entry.is_over() {
            self.exited.push_back((boot_ns, id));
        }
        mark(entry);
        if self.exited.len() > KEEP_EXITED
            && let Some((_, oldest)) = self.exited.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// Gives the image of this process another description.
    pub fn describe(&mut self, key: &ProcessKey, info: &Arc<ProcessInfo>) {
        if let Some(entry) = self.entries.get_mut(&key.into()) {
            entry.info = Arc::clone(info);
        }
    }

    /// Puts other descriptions in the place of those for which `renew` has one.
    pub fn renew(&mut self, mut renew: impl FnMut(&Arc<ProcessInfo>) -> Option<Arc<ProcessInfo>>) {
        for entry in self.entries.values_mut() {
            if let Some(info) = renew(&entry.info) {
                entry.info = info;
            }
            if let Some(parent) = entry.parent.as_ref().and_then(&mut renew) {
                entry.parent = Some(parent);
            }
            if entry.ancestors.iter().any(|info| renew(info).is_some()) {
                entry.ancestors = entry
                    .ancestors
                    .iter()
                    .map(|info| renew(info).unwrap_or_else(|| Arc::clone(info)))
                    .collect();
            }
        }
    }

    /// Takes out what ended long enough ago.
    pub fn expire(&mut self, now_boot_ns: u64) {
        while let Some((ended, id)) = self.exited.front().copied() {
            if ended.saturating_add(KEEP_EXITED_NS) > now_boot_ns {
                break;
            }
            self.exited.pop_front();
            self.entries.remove(&id);
        }
        if self.exited.is_empty() && self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Keys of all processes that have not ended and were there before this moment.
    pub fn living_since_before(&self, boot_ns: u64) -> Vec<(ProcessKey, Stage)> {
        self.entries
            .values()
            .filter(|entry| !entry.is_over() && entry.info.key.start_boot_ns < boot_ns)
            .map(|entry| (entry.info.key, entry.stage))
            .collect()
    }

    /// Processes in the table, ended ones among them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Ended processes still in the table.
    pub fn exited(&self) -> usize {
        self.exited.len()
    }

    /// How many were taken out for lack of room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Most it holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn make_room(&mut self) {
        let victim = match self.exited.pop_front() {
            Some((_, id)) => Some(id),
            None => self.entries.keys().next().copied(),
        };
        if let Some(id) = victim {
            self.entries.remove(&id);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests;
