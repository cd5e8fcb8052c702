//! What the kernel is told of containers, and when.

use std::time::SystemTime;

use tetragon_bpf::records::{ContainerState, Identity, container_flags, identity_flags};
use tracing::warn;

use super::super::CgroupId;
use super::super::container::{Cgroup, Container, ContainerNumber, State};
use super::super::maps::{IdentityMaps, LEAF_MAX};
use super::{ANNOUNCED_MAX, Inner, Store};

impl Store {
    pub(super) fn announce(&self, inner: &mut Inner, number: ContainerNumber, path: &str) {
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

    pub(super) fn unannounce(&self, inner: &mut Inner, number: ContainerNumber) {
        let Some(leaf) = inner.containers.get_mut(&number).and_then(|it| it.leaf.take()) else { return };
        inner.announced.retain(|other| *other != number);
        self.write(inner, |maps| maps.unannounce(&leaf));
    }

    /// The container is in this cgroup: all that the kernel must know before its own program may run.
    pub(super) fn place(
        &self,
        inner: &mut Inner,
        number: ContainerNumber,
        cgroup: CgroupId,
        path: &str,
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
        self.add_cgroup(
            inner,
            number,
            cgroup,
            Cgroup { path: path.to_owned(), nested: false, bound_in_kernel },
        );
        if let Some(fs) = &self.fs {
            for (id, path) in fs.below(path) {
                self.add_cgroup(inner, number, id, Cgroup { path, nested: true, bound_in_kernel: false });
            }
        }
        self.unannounce(inner, number);
    }

    pub(super) fn add_cgroup(
        &self,
        inner: &mut Inner,
        number: ContainerNumber,
        id: CgroupId,
        cgroup: Cgroup,
    ) {
        let nested = cgroup.nested;
        inner.note_cgroup(number, id, cgroup);
        let Some(container) = inner.containers.get(&number) else { return };
        let identity = identity_of(container, nested);
        self.write(inner, |maps| maps.set_cgroup(id, identity));
    }

    pub(super) fn classify_all(&self, inner: &mut Inner) {
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
    pub(super) fn write_class(&self, inner: &mut Inner, number: ContainerNumber) {
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

    pub(super) fn write(
        &self,
        inner: &mut Inner,
        change: impl FnOnce(&mut dyn IdentityMaps) -> std::io::Result<()>,
    ) {
        let Some(maps) = &mut inner.maps else { return };
        if let Err(error) = change(&mut **maps) {
            self.counters.map_failure();
            warn!(%error, "a kernel map of containers cannot be changed");
        }
    }

    pub(super) fn drop_container(&self, inner: &mut Inner, number: ContainerNumber) {
        self.unannounce(inner, number);
        self.write(inner, |maps| maps.remove_state(number));
        let Some(mut container) = inner.containers.remove(&number) else { return };
        inner.classes.release(&mut container);
        inner.by_id.remove(&container.id);
        inner.awaited.remove(&number);
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
