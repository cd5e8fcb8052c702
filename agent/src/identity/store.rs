//! The store: containers by number, by id and by cgroup, and the kernel maps that follow them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{EventfdFlags, eventfd};
use tetragon_bpf::records::{
    CgroupRecord, ContainerState, Identity, cgroup_action, container_flags, identity_flags,
};
use tracing::{debug, warn};

use super::classes::{Classes, PolicyId, Scope};
use super::container::{Cgroup, Container, ContainerNumber, Resolved, State};
use super::counters::Counters;
use super::maps::{IdentityMaps, LEAF_MAX};
use super::{CgroupFs, CgroupId, Facts, Source, name};

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
        let path = record.path.get(..record.path_len as usize).unwrap_or_default();
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
            Place::At { cgroup, path, started } => self.place(&mut inner, number, cgroup, path, started),
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

    /// A policy is gone.
    pub fn remove_scope(&self, policy: PolicyId) {
        let mut inner = self.lock();
        inner.classes.remove_scope(policy);
        self.classify_all(&mut inner);
    }

    /// Looks through the hierarchy for cgroups of containers, as at the start and after losses.
    pub fn scan(&self) {
        let mut inner = self.lock();
        self.search(&mut inner);
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

    fn find(&self, inner: &mut Inner, task: Task<'_>) -> Option<ContainerNumber> {
        let told = ContainerNumber(task.identity.container);
        if told.0 != 0 && inner.containers.contains_key(&told) {
            return Some(told);
        }
        if let Some(number) = inner.by_cgroup.get(&task.cgroup) {
            return Some(*number);
        }
        if task.cgroup.0 == 0 {
            return None;
        }
        // A cgroup whose making was not seen.
        let path = task.cgroup_name.unwrap_or_default();
        if name::container_id_of_path(path).is_some() {
            return self.found_by_path(inner, task.cgroup, path.to_owned());
        }
        let suspicious = task.identity.flags & (identity_flags::PATH | identity_flags::NESTED) != 0;
        if suspicious && inner.last_search.is_none_or(|last| last.elapsed() >= SEARCH_PAUSE) {
            self.search(inner);
            return inner.by_cgroup.get(&task.cgroup).copied();
        }
        None
    }

    fn search(&self, inner: &mut Inner) {
        inner.last_search = Some(Instant::now());
        let Some(fs) = &self.fs else { return };
        let mut nested_in: Vec<(String, ContainerNumber)> = Vec::new();
        for (id, path) in fs.below("/") {
            let outer = nested_in.iter().rev().find(|(outer, _)| is_below(&path, outer)).map(|it| it.1);
            if let Some(number) = inner.by_cgroup.get(&id).copied() {
                nested_in.push((path, number));
            } else if let Some(number) = outer {
                self.add_cgroup(inner, number, id, Cgroup { path, nested: true, bound_in_kernel: false });
            } else if let Some(number) = self.found_by_path(inner, id, path.clone()) {
                nested_in.push((path, number));
            }
        }
    }

    fn found_by_path(&self, inner: &mut Inner, cgroup: CgroupId, path: String) -> Option<ContainerNumber> {
        let number = inner.number_of(name::container_id_of_path(&path)?);
        let facts =
            Facts { pod_uid: name::pod_uid(&path).unwrap_or_default().into_owned(), ..Facts::default() };
        self.merge(inner, number, Source::Path, facts);
        if let Some(container) = inner.containers.get_mut(&number)
            && container.state == State::Announced
        {
            container.state = State::Created;
        }
        self.add_cgroup(inner, number, cgroup, Cgroup { path, nested: false, bound_in_kernel: false });
        Some(number)
    }

    fn cgroup_made(&self, inner: &mut Inner, id: CgroupId, path: String, record: &CgroupRecord) {
        let flags = record.identity.flags;
        let told = ContainerNumber(record.identity.container);
        let parent = inner.by_cgroup.get(&CgroupId(record.parent_id)).copied();
        let number = if told.0 != 0 && inner.containers.contains_key(&told) { Some(told) } else { parent };
        if let Some(number) = number {
            let nested = flags & identity_flags::NESTED != 0 || parent.is_some();
            let bound_in_kernel = flags & identity_flags::BOUND != 0;
            if let Some(container) = inner.containers.get_mut(&number)
                && container.state == State::Announced
            {
                container.state = State::Created;
            }
            // The kernel's entry is made already, unless it could not be, or was made before user space knew more.
            let told_kernel = told.0 != 0 && flags & identity_flags::LOST == 0;
            let cgroup = Cgroup { path, nested, bound_in_kernel };
            if told_kernel {
                inner.note_cgroup(number, id, cgroup);
            } else {
                self.add_cgroup(inner, number, id, cgroup);
            }
        } else if flags & (identity_flags::PATH | identity_flags::LOST) != 0 {
            self.found_by_path(inner, id, path);
        }
    }

    fn cgroup_removed(&self, inner: &mut Inner, id: CgroupId) {
        // The kernel has taken it out already; a source that spoke at the same moment may have put it back.
        self.write(inner, |maps| maps.remove_cgroup(id));
        let Some(number) = inner.by_cgroup.remove(&id) else { return };
        let Some(container) = inner.containers.get_mut(&number) else { return };
        if let Some(gone) = container.cgroups.remove(&id)
            && !gone.nested
        {
            // Those below it have gone before, even if that was not seen.
            let below = |cgroup: &Cgroup| cgroup.nested && is_below(&cgroup.path, &gone.path);
            let lost: Vec<CgroupId> =
                container.cgroups.iter().filter(|(_, it)| below(it)).map(|(id, _)| *id).collect();
            container.cgroups.retain(|_, it| !below(it));
            for id in &lost {
                inner.by_cgroup.remove(id);
            }
        }
        let Some(container) = inner.containers.get_mut(&number) else { return };
        if container.cgroups.is_empty() {
            inner.retire(number);
        }
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

    fn announce(&self, inner: &mut Inner, number: ContainerNumber, path: &str) {
        let existing = self.fs.as_ref().and_then(|fs| fs.id(path).ok());
        if let Some(cgroup) = existing {
            // Made already, by a runtime that works in another order or by an earlier attempt.
            self.add_cgroup(
                inner,
                number,
                cgroup,
                Cgroup { path: path.to_owned(), nested: false, bound_in_kernel: false },
            );
        }
        let leaf = path.rsplit('/').next().unwrap_or(path).to_owned();
        if leaf.len() > LEAF_MAX {
            warn!(leaf, limit = LEAF_MAX, "the name is too long to be announced to the kernel");
            self.counters.map_failure();
            return;
        }
        self.unannounce(inner, number);
        while inner.announced.len() >= ANNOUNCED_MAX {
            if let Some(oldest) = inner.announced.pop_front() {
                self.unannounce(inner, oldest);
            }
        }
        let Some(container) = inner.containers.get_mut(&number) else { return };
        container.leaf = Some(leaf.clone());
        let identity = identity_of(container, false);
        inner.announced.push_back(number);
        self.write(inner, |maps| maps.announce(&leaf, identity));
    }

    fn unannounce(&self, inner: &mut Inner, number: ContainerNumber) {
        let Some(leaf) = inner.containers.get_mut(&number).and_then(|it| it.leaf.take()) else { return };
        inner.announced.retain(|other| *other != number);
        self.write(inner, |maps| maps.unannounce(&leaf));
    }

    /// The container is in this cgroup: all that the kernel must know before its own program may run.
    fn place(
        &self,
        inner: &mut Inner,
        number: ContainerNumber,
        cgroup: CgroupId,
        path: String,
        started: bool,
    ) {
        let Some(container) = inner.containers.get_mut(&number) else { return };
        let known = container.cgroups.get(&cgroup).is_some_and(|it| !it.nested);
        let bound_in_kernel = container.cgroups.get(&cgroup).is_some_and(|it| it.bound_in_kernel);
        // The same container in another cgroup has been started again, by another first process.
        let again = !known && container.state != State::Announced;
        if started {
            container.started(SystemTime::now().into(), self.options.pod_annotations);
        }
        let was_running = container.state == State::Running && !again;
        container.state = if started || was_running { State::Running } else { State::Created };
        if !was_running {
            let flags = container_flags::VERIFIED | if started { container_flags::STARTED } else { 0 };
            let state = ContainerState { init_tgid: container.pid, flags };
            self.write(inner, |maps| maps.set_state(number, state));
        }
        // Below it first nothing: what is made from here on inherits, what is there already is looked up.
        self.add_cgroup(inner, number, cgroup, Cgroup { path: path.clone(), nested: false, bound_in_kernel });
        if let Some(fs) = &self.fs {
            for (id, path) in fs.below(&path) {
                self.add_cgroup(inner, number, id, Cgroup { path, nested: true, bound_in_kernel: false });
            }
        }
        self.unannounce(inner, number);
    }

    /// Its own program runs, says the kernel.
    pub fn started(&self, number: ContainerNumber, at: prost_types::Timestamp) {
        let mut inner = self.lock();
        if let Some(container) = inner.containers.get_mut(&number) {
            container.started(at, self.options.pod_annotations);
            container.state = State::Running;
        }
    }

    fn add_cgroup(&self, inner: &mut Inner, number: ContainerNumber, id: CgroupId, cgroup: Cgroup) {
        let nested = cgroup.nested;
        inner.note_cgroup(number, id, cgroup);
        let Some(container) = inner.containers.get(&number) else { return };
        let identity = identity_of(container, nested);
        self.write(inner, |maps| maps.set_cgroup(id, identity));
    }

    fn classify_all(&self, inner: &mut Inner) {
        let numbers: Vec<ContainerNumber> = inner.containers.keys().copied().collect();
        for number in numbers {
            let Inner { containers, classes, .. } = &mut *inner;
            let Some(container) = containers.get_mut(&number) else { continue };
            if container.is_complete() && classes.classify(container) {
                self.write_class(inner, number);
            }
        }
    }

    /// Everything of the container in the kernel gets its class.
    fn write_class(&self, inner: &mut Inner, number: ContainerNumber) {
        let Some(container) = inner.containers.get(&number) else { return };
        let cgroups: Vec<_> =
            container.cgroups.iter().map(|(id, it)| (*id, identity_of(container, it.nested))).collect();
        let announced = container.leaf.clone().map(|leaf| (leaf, identity_of(container, false)));
        for (id, identity) in cgroups {
            self.write(inner, |maps| maps.set_cgroup(id, identity));
        }
        if let Some((leaf, identity)) = announced {
            self.write(inner, |maps| maps.announce(&leaf, identity));
        }
    }

    fn write(&self, inner: &mut Inner, change: impl FnOnce(&mut dyn IdentityMaps) -> std::io::Result<()>) {
        let Some(maps) = &mut inner.maps else { return };
        if let Err(error) = change(&mut **maps) {
            self.counters.map_failure();
            warn!(%error, "a kernel map of containers cannot be changed");
        }
    }

    fn drop_container(&self, inner: &mut Inner, number: ContainerNumber) {
        self.unannounce(inner, number);
        self.write(inner, |maps| maps.remove_state(number));
        let Some(mut container) = inner.containers.remove(&number) else { return };
        inner.classes.release(&mut container);
        inner.by_id.remove(&container.id);
        inner.awaited.remove(&number);
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
            container.cgroups.insert(id, cgroup);
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

/// As the kernel has it. Nobody but a path has told of an incomplete one: that is no knowledge of whose it is.
fn identity_of(container: &Container, nested: bool) -> Identity {
    let nested = if nested { identity_flags::NESTED } else { 0 };
    if container.is_complete() {
        Identity {
            container: container.number.0,
            flags: identity_flags::KNOWN | nested,
            class: container.class.0,
        }
    } else {
        Identity { container: 0, flags: identity_flags::PATH | nested, class: container.class.0 }
    }
}

fn is_below(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
