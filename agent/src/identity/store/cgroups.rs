//! Cgroups, as the kernel tells of them and as the hierarchy shows them.

use std::collections::HashSet;
use std::time::Instant;

use tetragon_bpf::records::{CgroupRecord, identity_flags};

use super::super::container::{Cgroup, ContainerNumber, State};
use super::super::{CgroupId, Facts, Source, name};
use super::{Inner, SEARCH_PAUSE, Store, Task};

impl Store {
    pub(super) fn find(&self, inner: &mut Inner, task: Task<'_>) -> Option<ContainerNumber> {
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
            let hierarchy = self.hierarchy();
            self.take_in(inner, hierarchy);
            return inner.by_cgroup.get(&task.cgroup).copied();
        }
        None
    }

    /// Takes in what the hierarchy shows: cgroups that were not seen made, parents before their children. Those that
    /// are gone, and were not seen to go, are removed.
    pub(super) fn take_in(&self, inner: &mut Inner, hierarchy: Vec<(CgroupId, String)>) {
        inner.last_search = Some(Instant::now());
        let present: HashSet<CgroupId> = hierarchy.iter().map(|(id, _)| *id).collect();
        // The containers that the walk is in, outermost first.
        let mut inside: Vec<(String, ContainerNumber)> = Vec::new();
        for (id, path) in hierarchy {
            while inside.last().is_some_and(|(outer, _)| !is_below(&path, outer)) {
                inside.pop();
            }
            let outer = inside.last().map(|(_, number)| *number);
            if let Some(number) = inner.by_cgroup.get(&id).copied() {
                inside.push((path, number));
            } else if let Some(number) = outer
                && !inner.is_of_another_container(Some(number), &path)
            {
                self.add_cgroup(inner, number, id, Cgroup { path, nested: true, bound_in_kernel: false });
            } else if let Some(number) = self.found_by_path(inner, id, path.clone()) {
                inside.push((path, number));
            }
        }
        let missing: Vec<CgroupId> =
            inner.by_cgroup.keys().filter(|id| !present.contains(id)).copied().collect();
        for id in missing {
            if !self.is_there(inner, id) {
                self.cgroup_removed(inner, id);
            }
        }
    }

    /// Looks again: it may have been made since the hierarchy was read.
    fn is_there(&self, inner: &Inner, id: CgroupId) -> bool {
        let Some(fs) = &self.fs else { return true };
        let number = inner.by_cgroup.get(&id);
        let cgroup = number.and_then(|number| inner.containers.get(number)?.cgroups.get(&id));
        // Without a path there is nothing to look at.
        cgroup.is_none_or(|it| it.path.is_empty() || fs.id(&it.path).is_ok_and(|found| found == id))
    }

    pub(super) fn found_by_path(
        &self,
        inner: &mut Inner,
        cgroup: CgroupId,
        path: String,
    ) -> Option<ContainerNumber> {
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

    pub(super) fn cgroup_made(&self, inner: &mut Inner, id: CgroupId, path: String, record: &CgroupRecord) {
        let flags = record.identity.flags;
        let told = ContainerNumber(record.identity.container);
        let told = Some(told).filter(|told| inner.containers.contains_key(told));
        let parent = inner.by_cgroup.get(&CgroupId(record.parent_id)).copied();
        let own = told.is_none() && inner.is_of_another_container(parent, &path);
        if let Some(number) = told.or(parent)
            && !own
        {
            let nested = told.is_none() || flags & identity_flags::NESTED != 0;
            let bound_in_kernel = flags & identity_flags::BOUND != 0;
            if let Some(container) = inner.containers.get_mut(&number)
                && container.state == State::Announced
            {
                container.state = State::Created;
            }
            // The kernel's entry is made already, unless it could not be, or was made before user space knew more.
            let told_kernel = told.is_some() && flags & identity_flags::LOST == 0;
            let cgroup = Cgroup { path, nested, bound_in_kernel };
            if told_kernel {
                inner.note_cgroup(number, id, cgroup);
            } else {
                self.add_cgroup(inner, number, id, cgroup);
            }
        } else if own || flags & (identity_flags::PATH | identity_flags::LOST) != 0 {
            self.found_by_path(inner, id, path);
        }
    }

    pub(super) fn cgroup_removed(&self, inner: &mut Inner, id: CgroupId) {
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
            for id in lost {
                inner.by_cgroup.remove(&id);
                self.write(inner, |maps| maps.remove_cgroup(id));
            }
        }
        let Some(container) = inner.containers.get_mut(&number) else { return };
        if container.cgroups.is_empty() {
            inner.retire(number);
        }
    }
}

impl Inner {
    /// Whether a cgroup below a container's is named like another container's. That counts only where nobody has told
    /// of the outer one, such as a node that is a container itself: else any container could pass for another.
    fn is_of_another_container(&self, outer: Option<ContainerNumber>, path: &str) -> bool {
        let Some(outer) = outer.and_then(|outer| self.containers.get(&outer)) else { return false };
        !outer.is_complete() && name::container_id_of_path(path).is_some_and(|id| id != outer.id)
    }
}

fn is_below(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}
