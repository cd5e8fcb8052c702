//! What each record means, given the processes that are known: the rules of the process table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tetragon_api::tetragon::ProcessTableStatus;
use tetragon_bpf::plan::PolicyRecord;
use tetragon_bpf::records::{ExecRecord, ExitRecord, ForkRecord, ProcessKey, task_flags};

use crate::event::{Kin, Payload, signal_name};
use crate::identity::Resolved;
use crate::process::describe::{ExecStrings, Sighting};
use crate::process::scan::Found;
use crate::process::table::{Entry, Stage};
use crate::process::{Describer, ProcessInfo, Table};

/// Most ancestors that an event shows.
const ANCESTORS_MAX: usize = 64;

/// What follows from a record.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing: it was known.
    Known,
    /// Nothing to be seen outside.
    Silent,
    /// An event.
    Event(Payload),
    /// An event that had been held back, and the event itself.
    Late(Payload, Payload),
}

/// New descriptions of the processes of one container.
#[derive(Debug)]
pub struct Renewal {
    resolved: Resolved,
    renewed: HashMap<ProcessKey, Arc<ProcessInfo>>,
}

impl Renewal {
    /// The new description; none where the old one is as good.
    fn of(&mut self, describer: &Describer, info: &Arc<ProcessInfo>) -> Option<Arc<ProcessInfo>> {
        let belonging = info.belonging?;
        if belonging.complete || belonging.container != self.resolved.number {
            return None;
        }
        let renewed = self
            .renewed
            .entry(info.key)
            .or_insert_with(|| Arc::new(describer.identified(info, &self.resolved)));
        Some(Arc::clone(renewed))
    }
}

/// Follows processes.
#[derive(Debug)]
pub struct Tracker {
    describer: Describer,
    table: Table,
    with_ancestors: bool,
    unknown: u64,
    exit_missed: u64,
}

impl Tracker {
    /// Knows no process but the kernel. `capacity` bounds the table.
    pub fn new(describer: Describer, capacity: usize, with_ancestors: bool) -> Self {
        let table = Table::new(capacity, describer.kernel());
        Self { describer, table, with_ancestors, unknown: 0, exit_missed: 0 }
    }

    /// The event that shows the kernel itself, parent of the first processes.
    pub fn kernel(&self) -> Payload {
        let process = Arc::clone(self.table.kernel());
        Payload::Exec(Kin { process, parent: None, ancestors: Arc::default() })
    }

    /// A process has started a program.
    pub fn exec(&mut self, record: &ExecRecord, strings: ExecStrings<'_>) -> Verdict {
        let key = record.task.key;
        let before = self.table.get(&key).cloned();
        let mut cloned = false;
        let parent = match &before {
            Some(entry) if entry.info.key.exec_id >= key.exec_id && entry.stage != Stage::Cloned => {
                return Verdict::Known;
            }
            Some(entry) if entry.stage == Stage::Cloned => {
                cloned = true;
                self.table.parent(&record.task.parent)
            }
            // It replaces its own image: that one is the parent.
            Some(entry) => Some(Arc::clone(&entry.info)),
            None => self.table.parent(&record.task.parent),
        };
        if parent.is_none() {
            self.unknown += 1;
        }
        let before = before.map(|entry| entry.info);
        let info = self.describer.exec(record, strings, parent.as_deref(), before.as_deref(), cloned);
        Verdict::Event(Payload::Exec(self.enter(info, parent, Stage::Running)))
    }

    /// A process was born; it runs its creator's program.
    pub fn fork(&mut self, record: &ForkRecord) {
        if self.table.get(&record.key).is_some() {
            return;
        }
        let parent = self.table.parent(&record.parent);
        let creator = self.table.image(&record.creator).or_else(|| parent.clone()).unwrap_or_else(|| {
            self.unknown += 1;
            Arc::new(self.describer.unknown(record.creator, None, &ProcessKey::default(), None))
        });
        let info = self.describer.fork(record, &creator, parent.as_deref());
        self.enter(info, parent, Stage::Cloned);
    }

    /// A process has ended.
    pub fn exit(&mut self, record: &ExitRecord) -> Verdict {
        let key = record.key;
        let before = self.table.get(&key).cloned();
        let mut held_back = None;
        if before.as_ref().is_some_and(|entry| entry.missing) {
            self.exit_missed = self.exit_missed.saturating_sub(1);
        }
        let kin = match before {
            Some(Entry { stage: Stage::Exited, .. }) => return Verdict::Known,
            Some(entry) if entry.info.kernel_thread || record.flags & task_flags::KTHREAD != 0 => {
                self.table.exit(&entry.info.key, record.header.boot_ns);
                return Verdict::Silent;
            }
            Some(entry) if entry.info.key.exec_id == key.exec_id => {
                let kin = Kin { process: entry.info, parent: entry.parent, ancestors: entry.ancestors };
                if entry.stage == Stage::Dying {
                    held_back = Some(Payload::Exec(kin.clone()));
                }
                kin
            }
            Some(entry) if entry.stage == Stage::Cloned => self.stranger(record, entry.parent),
            // Its last exec was lost: what is known is of an older image, which then is its parent.
            Some(entry) => self.stranger(record, Some(entry.info)),
            None if record.flags & task_flags::KTHREAD != 0 => return Verdict::Silent,
            None => {
                let parent = self.table.parent(&record.parent);
                self.stranger(record, parent)
            }
        };
        let payload =
            Payload::Exit { kin, signal: signal_name(record.code & 0x7f), status: record.code >> 8 & 0xff };
        self.table.exit(&key, record.header.boot_ns);
        match held_back {
            Some(exec) => Verdict::Late(exec, payload),
            None => Verdict::Event(payload),
        }
    }

    /// The processes that an event about this call shows. `None` if the image that called is not known.
    pub fn caller(&mut self, record: &PolicyRecord) -> Option<Kin> {
        let key = &record.key;
        if key.tgid == 0 {
            let process = Arc::clone(self.table.kernel());
            return Some(Kin { process, parent: None, ancestors: Arc::default() });
        }
        let entry = self.table.get(key)?;
        if entry.info.key.exec_id != key.exec_id {
            // It was replaced; then it is in the line of the image that runs now.
            let mut line = entry.parent.iter().chain(&*entry.ancestors);
            let process = Arc::clone(line.find(|info| info.key == *key)?);
            let parent = line.next().cloned();
            return Some(Kin { process, parent, ancestors: line.cloned().collect() });
        }
        if let Some(moved) = self.describer.moved(&entry.info, sighting(record)) {
            let moved = Entry { info: Arc::new(moved), ..entry.clone() };
            self.table.describe(key, &moved.info);
            return Some(Kin { process: moved.info, parent: moved.parent, ancestors: moved.ancestors });
        }
        let Entry { info, parent, ancestors, .. } = entry;
        Some(Kin { process: Arc::clone(info), parent: parent.clone(), ancestors: Arc::clone(ancestors) })
    }

    /// The same for a caller that is not known. It does not become so: a scan will report it.
    pub fn unknown_caller(&mut self, record: &PolicyRecord) -> Kin {
        self.unknown += 1;
        // What is known is of an older image, which then is its parent.
        let parent = self.table.get(&record.key).map(|entry| Arc::clone(&entry.info));
        let seen = Some(sighting(record));
        let info = self.describer.unknown(record.key, parent.as_deref(), &ProcessKey::default(), seen);
        Kin { process: Arc::new(info), parent, ancestors: Arc::default() }
    }

    /// Whether the process is known, whatever it runs.
    pub fn has(&self, key: &ProcessKey) -> bool {
        self.table.get(key).is_some()
    }

    /// Whether this very image is known.
    pub fn knows(&self, key: &ProcessKey) -> bool {
        self.table.get(key).is_some_and(|entry| entry.info.key.exec_id >= key.exec_id)
    }

    /// Takes in a process that a scan has found. Kernel threads and the dying have no event.
    pub fn adopt(&mut self, found: &Found) -> Option<Payload> {
        let task = &found.task;
        let before = self.table.get(&task.key).cloned();
        let parent = match &before {
            Some(entry) if entry.info.key.exec_id >= task.key.exec_id => return None,
            Some(entry) if entry.stage == Stage::Running => Some(Arc::clone(&entry.info)),
            _ => self.table.parent(&task.parent),
        };
        let info = self.describer.scanned(task, &found.facts, parent.as_deref());
        let silent = info.kernel_thread || found.is_dying();
        let stage = if found.is_dying() { Stage::Dying } else { Stage::Running };
        let kin = self.enter(info, parent, stage);
        (!silent).then_some(Payload::Exec(kin))
    }

    /// Removes processes that were there before a scan began and that it did not find, unless a record that is still
    /// to be read tells of their end. How many there were.
    pub fn bury_missing(
        &mut self,
        present: &HashSet<(u32, u64)>,
        ended: &HashSet<(u32, u64)>,
        began_boot_ns: u64,
    ) -> u64 {
        let mut count = 0;
        for (key, stage) in self.table.living_since_before(began_boot_ns) {
            let id = (key.tgid, key.start_boot_ns);
            if present.contains(&id) || ended.contains(&id) {
                continue;
            }
            self.table.miss(&key, began_boot_ns);
            // One that was dying when we came had ended before; nobody misses that record.
            count += u64::from(stage != Stage::Dying);
        }
        self.exit_missed += count;
        count
    }

    /// Forgets what ended long ago.
    pub fn expire(&mut self, now_boot_ns: u64) {
        self.table.expire(now_boot_ns);
    }

    /// The table in figures.
    pub fn show(&self, status: &mut ProcessTableStatus) {
        *status = ProcessTableStatus {
            entries: self.table.len() as u64,
            capacity: self.table.capacity() as u64,
            exited: self.table.exited() as u64,
            evicted: self.table.evicted(),
            unknown_process: self.unknown,
            exit_missed: self.exit_missed,
        };
    }

    /// Now that a container is known: its processes get new descriptions, in the table and in what `Renewal` is shown.
    pub fn identify(&mut self, resolved: Resolved) -> Renewal {
        let mut renewal = Renewal { resolved, renewed: HashMap::new() };
        let Self { table, describer, .. } = self;
        table.renew(|info| renewal.of(describer, info));
        renewal
    }

    /// The event with the new descriptions.
    pub fn renewed(&self, renewal: &mut Renewal, payload: Payload) -> Payload {
        let mut renew = |kin: Kin| {
            let mut of = |info: Arc<ProcessInfo>| renewal.of(&self.describer, &info).unwrap_or(info);
            Kin {
                process: of(kin.process),
                parent: kin.parent.map(&mut of),
                ancestors: kin.ancestors.iter().cloned().map(&mut of).collect(),
            }
        };
        match payload {
            Payload::Exec(kin) => Payload::Exec(renew(kin)),
            Payload::Exit { kin, signal, status } => Payload::Exit { kin: renew(kin), signal, status },
            Payload::Call { kin, call } => Payload::Call { kin: renew(kin), call },
            other => other,
        }
    }

    fn stranger(&mut self, end: &ExitRecord, parent: Option<Arc<ProcessInfo>>) -> Kin {
        self.unknown += 1;
        let seen = Sighting { cgroup_id: end.cgroup_id, identity: end.identity, nspid: end.nspid };
        let info = self.describer.unknown(end.key, parent.as_deref(), &end.parent, Some(seen));
        self.enter(info, parent, Stage::Running)
    }

    fn enter(&mut self, info: ProcessInfo, parent: Option<Arc<ProcessInfo>>, stage: Stage) -> Kin {
        let info = Arc::new(info);
        let ancestors = match &parent {
            Some(parent) if self.with_ancestors => self.table.ancestors(parent, ANCESTORS_MAX),
            _ => Arc::default(),
        };
        self.table.insert(Entry {
            info: Arc::clone(&info),
            parent: parent.clone(),
            ancestors: Arc::clone(&ancestors),
            stage,
            missing: false,
        });
        Kin { process: info, parent, ancestors }
    }
}

fn sighting(record: &PolicyRecord) -> Sighting {
    Sighting { cgroup_id: record.cgroup_id, identity: record.identity, nspid: 0 }
}

#[cfg(test)]
mod tests;
