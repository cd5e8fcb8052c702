//! What the store believes, for people.

use std::time::SystemTime;

use tetragon_api::tetragon::{
    IdentitySource, IdentityStatus, KnownCgroup, KnownContainer, ListContainersRequest,
    ListContainersResponse,
};

use super::container::{Container, State};
use super::store::Store;
use super::{CgroupId, Mode};

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Created => "created",
            Self::Running => "running",
            Self::Removed => "removed",
        }
    }
}

impl Store {
    /// Containers that fit the request, in the order in which they became known.
    pub fn list(&self, request: &ListContainersRequest) -> ListContainersResponse {
        let inner = self.lock();
        let of_cgroup = match request.cgroup_id {
            0 => None,
            id => Some(inner.by_cgroup(CgroupId(id))),
        };
        let fits = |container: &&Container| {
            of_cgroup.is_none_or(|number| number == Some(container.number))
                && container.id.starts_with(&request.container_id)
                && (request.pod_namespace.is_empty() || request.pod_namespace == container.namespace())
        };
        ListContainersResponse { containers: inner.containers.values().filter(fits).map(known).collect() }
    }

    /// In figures; those of the queue and of CRI are the caller's.
    pub fn status(&self) -> IdentityStatus {
        let mut status = IdentityStatus {
            cgroup_mode: self.fs.as_ref().map_or(Mode::Legacy, super::CgroupFs::mode).name().to_owned(),
            ..IdentityStatus::default()
        };
        self.counters.show(&mut status);
        let inner = self.lock();
        let living = || inner.containers.values().filter(|it| it.state != State::Removed);
        let mut pods: Vec<&str> = living().map(Container::pod_uid).filter(|uid| !uid.is_empty()).collect();
        pods.sort_unstable();
        pods.dedup();
        status.containers = living().count() as u64;
        status.pods = pods.len() as u64;
        status.cgroups = inner.cgroup_count() as u64;
        status.announced = inner.announced_count() as u64;
        status
    }
}

fn known(container: &Container) -> KnownContainer {
    let (image, image_id) = container.image();
    let (workload, workload_kind) =
        container.pod().map(|pod| (pod.workload.clone(), pod.workload_kind.clone())).unwrap_or_default();
    let at = |time: SystemTime| Some(time.into());
    KnownContainer {
        number: container.number.0,
        id: container.id.clone(),
        name: container.name().to_owned(),
        image: image.to_owned(),
        image_id: image_id.to_owned(),
        runtime: container.runtime().to_owned(),
        sandbox: container.sandbox,
        pod_name: container.pod().map(|pod| pod.name.clone()).unwrap_or_default(),
        pod_namespace: container.namespace().to_owned(),
        pod_uid: container.pod_uid().to_owned(),
        pod_labels: container.labels().clone(),
        workload,
        workload_kind,
        state: container.state.name().to_owned(),
        pid: container.pid,
        cgroups: container
            .cgroups
            .iter()
            .map(|(id, cgroup)| KnownCgroup {
                id: id.0,
                path: cgroup.path.clone(),
                nested: cgroup.nested,
                bound_in_kernel: cgroup.bound_in_kernel,
            })
            .collect(),
        sources: container
            .sources
            .iter()
            .map(|(source, (first, last))| IdentitySource {
                name: source.name().to_owned(),
                first: at(*first),
                last: at(*last),
            })
            .collect(),
        policy_class: container.class.0,
        policy_ids: container.policies.iter().map(|policy| policy.0).collect(),
    }
}
