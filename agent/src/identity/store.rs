//! The store: containers by number, by id and by cgroup, and the kernel maps that follow them.

mod cgroups;
mod kernel;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use tetragon_bpf::records::{CgroupRecord, Identity, cgroup_action};
use tracing::debug;

use super::classes::{ClassRules, Classes, PolicyId, Scope};
use super::container::{Cgroup, Container, ContainerNumber, Resolved, State};
use super::counters::Counters;
use super::maps::IdentityMaps;
use super::{CgroupFs, CgroupId, Facts, Source};

/// How long a container that has ended is still found: events about its processes can be on their way.
const KEEP_REMOVED: Duration = Duration::from_secs(60);
/// Most of those that are kept.
const REMOVED_MAX: usize = 1024;
/// Most containers that are announced and have no cgroup yet; beyond, the oldest announcement is taken back. Less than
/// what the kernel map holds.
const ANNOUNCED_MAX: usize = 4096;
/// Least time between two searches of the whole hierarchy for a cgroup that nobody has told of.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// A task as a record shows it.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// Its cgroup; 0 if unknown.
    pub cgroup: CgroupId,
    /// What the kernel knew of it.
    pub identity: Identity,
    /// Name or path of the cgroup, if the record has it.
    pub cgroup_name: Option<&'a str>,
}

/// Where a container is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Not told.
    Nowhere,
    /// Its cgroup will be made, at this path.
    Announced(String),
    /// It is there.
    At {
        cgroup: CgroupId,
        path: String,
        /// Its own program has been executed.
        started: bool,
    },
}

/// Settings of the store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Show the annotations of pods in events.
    pub pod_annotations: bool,
}

/// What is known about containers. Shared by the pipeline, the servers and the sources.
pub struct Store {
    /// The hierarchy; none if it could not be found.
    pub(super) fs: Option<CgroupFs>,
    /// Figures.
    pub counters: Counters,
    pub(super) options: Options,
    pub(super) policies_loaded: AtomicBool,
    inner: Mutex<Inner>,
    changed: OwnedFd,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("fs", &self.fs).field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) containers: BTreeMap<ContainerNumber, Container>,
    by_id: BTreeMap<String, ContainerNumber>,
    by_cgroup: HashMap<CgroupId, ContainerNumber>,
    classes: Classes,
    maps: Option<Box<dyn IdentityMaps>>,
    /// Those that were announced, oldest first; may hold some that are past that.
    announced: VecDeque<ContainerNumber>,
    removed: VecDeque<(Instant, ContainerNumber)>,
    /// Containers whose events wait.
    awaited: BTreeSet<ContainerNumber>,
    last_number: u64,
    last_search: Option<Instant>,
}

impl Store {
    /// Knows nothing yet, and writes into no kernel maps.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(fs: Option<CgroupFs>, options: Options) -> std::io::Result<Self> {
        Ok(Self {
            fs: fs.filter(CgroupFs::tells_containers_apart),
            counters: Counters::default(),
            options,
            policies_loaded: AtomicBool::new(false),
            inner: Mutex::default(),
            changed: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Gives it the kernel's maps. To be called before any source speaks.
    pub fn connect(&self, maps: Box<dyn IdentityMaps>) {
        self.lock().maps = Some(maps);
    }

    /// Has the rules of classes follow. To be called before there are scopes.
    pub fn connect_rules(&self, rules: Box<dyn ClassRules>) {
        self.lock().classes.connect(rules);
    }

    /// The policies of the start are loaded: from now on, hooks are told so.
    pub fn policies_are_loaded(&self) {
        self.policies_loaded.store(true, Relaxed);
    }

    /// Readable when something has become known that events wait for.
    pub fn changed(&self) -> BorrowedFd<'_> {
        self.changed.as_fd()
    }

    /// To be called once [`changed`](Self::changed) is readable.
    pub fn acknowledge(&self) {
        let mut count = [0u8; 8];
        // Nothing to read means that nothing has changed, which is just as good.
        let _ = rustix::io::read(&self.changed, &mut count);
    }

    /// Whose a task is; `None` if it is the host's.
    pub fn resolve(&self, task: Task<'_>) -> Option<Resolved> {
        let mut inner = self.lock();
        let number = self.find(&mut inner, task)?;
        inner.containers.get(&number).map(Container::resolved)
    }

    /// What is known of a container now.
    pub fn container(&self, number: ContainerNumber) -> Option<Resolved> {
        self.lock().containers.get(&number).map(Container::resolved)
    }

    /// Nobody who could be asked knows this container: events need not wait for it.
    pub fn give_up(&self, id: &str) {
        let mut inner = self.lock();
        let Some(number) = inner.number_by_prefix(id) else { return };
        let awaited = inner.awaited.contains(&number);
        if let Some(container) = inner.containers.get_mut(&number) {
            container.hopeless = true;
        }
        if awaited {
            self.announce_change();
        }
    }

    /// The cgroup that the container with this id was seen in.
    pub(super) fn own_cgroup(&self, id: &str) -> Option<(CgroupId, String)> {
        let inner = self.lock();
        let container = inner.containers.get(inner.by_id.get(id)?)?;
        let (cgroup, seen) = container.cgroups.iter().find(|(_, it)| !it.nested && !it.path.is_empty())?;
        Some((*cgroup, seen.path.clone()))
    }

    /// Whether a hook has ever told of a container.
    pub fn has_hooks(&self) -> bool {
        self.counters.has_hooks()
    }

    /// Its whole id, as far as it is known.
    pub fn id_of(&self, number: ContainerNumber) -> Option<String> {
        self.lock().containers.get(&number).map(|container| container.id.clone())
    }

    /// Says that events wait for this container, or do not any more.
    pub fn await_container(&self, number: ContainerNumber, waits: bool) {
        let mut inner = self.lock();
        if waits {
            inner.awaited.insert(number);
        } else {
            inner.awaited.remove(&number);
        }
    }

    /// The kernel has seen a cgroup come or go.
    pub fn cgroup(&self, record: &CgroupRecord) {
        let id = CgroupId(record.cgroup_id);
        // One that fills its place, but for the NUL, may have been cut, and would be looked for in vain.
        let whole = (record.path_len as usize) < record.path.len() - 1;
        let path = record.path.get(..record.path_len as usize).filter(|_| whole).unwrap_or_default();
        let path = String::from_utf8_lossy(path).into_owned();
        let mut inner = self.lock();
        if record.action == cgroup_action::REMOVED {
            self.cgroup_removed(&mut inner, id);
        } else {
            self.cgroup_made(&mut inner, id, path, record);
        }
    }

    /// What one source says.
    pub(super) fn observe(&self, source: Source, id: &str, facts: Facts, place: Place) -> ContainerNumber {
        let mut inner = self.lock();
        let number = inner.number_of(id);
        self.merge(&mut inner, number, source, facts);
        match place {
            Place::Nowhere => {}
            Place::Announced(path) => self.announce(&mut inner, number, &path),
            Place::At { cgroup, path, started } => self.place(&mut inner, number, cgroup, &path, started),
        }
        inner.revive(number);
        number
    }

    /// A source says that the container is gone. Its cgroups are gone when the kernel says so.
    pub(super) fn forget(&self, id: &str) -> bool {
        let mut inner = self.lock();
        let Some(number) = inner.by_id.get(id).copied() else { return false };
        self.unannounce(&mut inner, number);
        if inner.containers.get(&number).is_some_and(|it| it.cgroups.is_empty()) {
            inner.retire(number);
        }
        true
    }

    /// A policy for some of the containers is there, or its scope has changed.
    pub fn set_scope(&self, policy: PolicyId, scope: Scope) {
        let mut inner = self.lock();
        inner.classes.set_scope(policy, scope);
        self.classify_all(&mut inner);
    }

    /// A policy takes the place of another one: each container changes from the one to the other in one step.
    pub fn replace_scope(&self, old: PolicyId, policy: PolicyId, scope: Scope) {
        let mut inner = self.lock();
        inner.classes.remove_scope(old);
        inner.classes.set_scope(policy, scope);
        self.classify_all(&mut inner);
    }

    /// A policy is gone.
    pub fn remove_scope(&self, policy: PolicyId) {
        let mut inner = self.lock();
        inner.classes.remove_scope(policy);
        self.classify_all(&mut inner);
    }

    /// Looks through the hierarchy for cgroups of containers, as at the start and after losses.
    pub fn scan(&self) {
        // Before the lock is taken: hooks must not wait for a walk through thousands of directories.
        let hierarchy = self.hierarchy();
        self.take_in(&mut self.lock(), hierarchy);
    }

    fn hierarchy(&self) -> Vec<(CgroupId, String)> {
        self.fs.as_ref().map(|fs| fs.below("/").collect()).unwrap_or_default()
    }

    /// The id of the container that this cgroup belongs to.
    pub fn id_of_cgroup(&self, cgroup: CgroupId) -> Option<String> {
        let inner = self.lock();
        inner.containers.get(inner.by_cgroup.get(&cgroup)?).map(|container| container.id.clone())
    }

    /// Forgets what ended long ago.
    pub fn expire(&self) {
        let mut inner = self.lock();
        while let Some((since, number)) = inner.removed.front().copied() {
            if since.elapsed() < KEEP_REMOVED && inner.removed.len() <= REMOVED_MAX {
                break;
            }
            inner.removed.pop_front();
            if inner.containers.get(&number).is_some_and(|it| it.state == State::Removed) {
                self.drop_container(&mut inner, number);
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while it was held has ended the agent.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn merge(&self, inner: &mut Inner, number: ContainerNumber, source: Source, facts: Facts) {
        let Inner { containers, classes, .. } = inner;
        let Some(container) = containers.get_mut(&number) else { return };
        let conflicts = container.merge(source, facts, self.options.pod_annotations);
        if conflicts > 0 {
            debug!(container = container.id, source = source.name(), "a source contradicts what is known");
            (0..conflicts).for_each(|_| self.counters.conflict());
        }
        if container.is_complete() && classes.classify(container) {
            self.write_class(inner, number);
        }
        if inner.awaited.contains(&number)
            && inner.containers.get(&number).is_some_and(Container::is_complete)
        {
            self.announce_change();
        }
    }

    /// Its own program runs, says the kernel.
    pub fn started(&self, number: ContainerNumber, at: prost_types::Timestamp) {
        let mut inner = self.lock();
        if let Some(container) = inner.containers.get_mut(&number) {
            container.started(at, self.options.pod_annotations);
            container.state = State::Running;
        }
    }

    fn announce_change(&self) {
        // A full counter is readable as well.
        let _ = rustix::io::write(&self.changed, &1u64.to_ne_bytes());
    }
}

impl Inner {
    /// The number of the container with this id, of which one side may know the beginning only.
    fn number_of(&mut self, id: &str) -> ContainerNumber {
        if let Some(number) = self.number_by_prefix(id) {
            if let Some(container) = self.containers.get_mut(&number)
                && container.id.len() < id.len()
            {
                self.by_id.remove(&container.id);
                id.clone_into(&mut container.id);
                self.by_id.insert(id.to_owned(), number);
            }
            return number;
        }
        self.last_number += 1;
        let number = ContainerNumber(self.last_number);
        self.by_id.insert(id.to_owned(), number);
        self.containers.insert(number, Container::new(number, id.to_owned()));
        number
    }

    pub(super) fn number_by_prefix(&self, id: &str) -> Option<ContainerNumber> {
        let longer = self.by_id.range(id.to_owned()..).next().filter(|(known, _)| known.starts_with(id));
        let shorter =
            || self.by_id.range(..id.to_owned()).next_back().filter(|(known, _)| id.starts_with(*known));
        longer.or_else(shorter).map(|(_, number)| *number)
    }

    fn note_cgroup(&mut self, number: ContainerNumber, id: CgroupId, cgroup: Cgroup) {
        if let Some(other) = self.by_cgroup.insert(id, number)
            && other != number
            && let Some(other) = self.containers.get_mut(&other)
        {
            other.cgroups.remove(&id);
        }
        if let Some(container) = self.containers.get_mut(&number) {
            // Kernel and hooks tell of the same one, in any order.
            container
                .cgroups
                .entry(id)
                .and_modify(|known| {
                    known.nested &= cgroup.nested;
                    known.bound_in_kernel |= cgroup.bound_in_kernel;
                })
                .or_insert(cgroup);
        }
        self.revive(number);
    }

    /// It has ended; it is forgotten after a while.
    fn retire(&mut self, number: ContainerNumber) {
        if let Some(container) = self.containers.get_mut(&number)
            && container.state != State::Removed
        {
            container.state = State::Removed;
            self.removed.push_back((Instant::now(), number));
        }
    }

    /// It has not ended after all, or is started again.
    fn revive(&mut self, number: ContainerNumber) {
        if let Some(container) = self.containers.get_mut(&number)
            && container.state == State::Removed
        {
            container.state = if container.cgroups.is_empty() { State::Announced } else { State::Created };
            self.removed.retain(|(_, other)| *other != number);
        }
    }

    pub(super) fn announced_count(&self) -> usize {
        self.announced.len()
    }

    pub(super) fn cgroup_count(&self) -> usize {
        self.by_cgroup.len()
    }

    pub(super) fn by_cgroup(&self, id: CgroupId) -> Option<ContainerNumber> {
        self.by_cgroup.get(&id).copied()
    }
}

#[cfg(test)]
mod tests;
