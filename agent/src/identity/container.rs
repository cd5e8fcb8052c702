//! One container, as all sources together describe it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use prost_types::Timestamp;
use tetragon_api::tetragon::{Container as WireContainer, Image, Pod};

use super::classes::{ClassId, PolicyId};
use super::{CgroupId, Facts, Source, name, workload};

/// What kubelets add to the labels of a pod for the runtime's sake. The API does not have them.
const KUBELET_KEYS: [&str; 4] = [
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.namespace",
    "io.kubernetes.pod.uid",
    "io.kubernetes.container.name",
];

/// The kernel's short name for a container; never used again for another one while the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerNumber(pub u64);

/// What an event shows of the container of its process.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Which container.
    pub number: ContainerNumber,
    /// As much of its id as events show.
    pub docker: String,
    /// Its pod; none if it has none, or none is known.
    pub pod: Option<Arc<Pod>>,
    /// Commands of its pod's exec probes, if they are known.
    pub probes: Option<Arc<[Vec<String>]>>,
    /// Whether a source that knows containers has told of it: nothing more is to be waited for.
    pub complete: bool,
    /// Whether everybody who could be asked does not know it.
    pub hopeless: bool,
}

/// A value, and the rank of who gave it.
#[derive(Debug, Clone, Default)]
struct Ranked<T> {
    value: T,
    rank: u8,
}

impl<T: PartialEq> Ranked<T> {
    /// Takes a value of the same or a higher rank. Whether it contradicts the one before.
    fn offer(&mut self, value: T, rank: u8) -> bool {
        let contradicts = self.rank > 0 && self.value != value;
        if rank >= self.rank {
            *self = Self { value, rank };
        }
        contradicts
    }
}

/// How far a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Announced,
    Created,
    Running,
    Removed,
}

/// A cgroup of a container.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    pub path: String,
    pub nested: bool,
    pub bound_in_kernel: bool,
}

#[derive(Debug)]
pub(super) struct Container {
    pub number: ContainerNumber,
    pub id: String,
    pub state: State,
    pub pid: u32,
    pub cgroups: BTreeMap<CgroupId, Cgroup>,
    /// The name that is announced for its cgroup, while it is.
    pub leaf: Option<String>,
    pub class: ClassId,
    pub policies: Arc<[PolicyId]>,
    /// The runtime does not know it, or does not answer.
    pub hopeless: bool,
    /// First and last word of each source.
    pub sources: BTreeMap<Source, (SystemTime, SystemTime)>,
    name: Ranked<String>,
    image: Ranked<String>,
    image_id: Ranked<String>,
    runtime: Ranked<String>,
    pub sandbox: bool,
    pod_name: Ranked<String>,
    pod_namespace: Ranked<String>,
    pod_uid: Ranked<String>,
    pod_labels: Ranked<BTreeMap<String, String>>,
    pod_annotations: Ranked<BTreeMap<String, String>>,
    start_time: Option<Timestamp>,
    probes: Option<Arc<[Vec<String>]>>,
    workload: Option<(String, String)>,
    pod: Option<Arc<Pod>>,
}

impl Container {
    pub(super) fn new(number: ContainerNumber, id: String) -> Self {
        Self {
            number,
            id,
            state: State::Announced,
            pid: 0,
            cgroups: BTreeMap::new(),
            leaf: None,
            class: ClassId::UNIDENTIFIED,
            policies: Arc::default(),
            hopeless: false,
            sources: BTreeMap::new(),
            name: Ranked::default(),
            image: Ranked::default(),
            image_id: Ranked::default(),
            runtime: Ranked::default(),
            sandbox: false,
            pod_name: Ranked::default(),
            pod_namespace: Ranked::default(),
            pod_uid: Ranked::default(),
            pod_labels: Ranked::default(),
            pod_annotations: Ranked::default(),
            start_time: None,
            probes: None,
            workload: None,
            pod: None,
        }
    }

    /// Takes in what a source says. How many of its words contradict what was known of who the container is.
    pub(super) fn merge(&mut self, source: Source, facts: Facts, with_annotations: bool) -> u64 {
        let now = SystemTime::now();
        self.sources.entry(source).and_modify(|seen| seen.1 = now).or_insert((now, now));
        let rank = source.rank();
        let mut conflicts = 0;
        for (field, value) in [
            (&mut self.name, facts.name),
            (&mut self.pod_name, facts.pod_name),
            (&mut self.pod_namespace, facts.pod_namespace),
            (&mut self.pod_uid, facts.pod_uid),
        ] {
            if !value.is_empty() {
                conflicts += u64::from(field.offer(value, rank));
            }
        }
        for (field, value) in [
            (&mut self.image, facts.image),
            (&mut self.image_id, facts.image_id),
            (&mut self.runtime, facts.runtime),
        ] {
            if !value.is_empty() {
                field.offer(value, rank);
            }
        }
        for (field, value) in
            [(&mut self.pod_labels, facts.pod_labels), (&mut self.pod_annotations, facts.pod_annotations)]
        {
            if let Some(mut value) = value {
                value.retain(|key, _| !KUBELET_KEYS.contains(&key.as_str()));
                // Labels change; that is no contradiction.
                field.offer(value, rank);
            }
        }
        self.sandbox |= facts.sandbox;
        self.start_time = facts.start_time.or(self.start_time);
        if let Some(probes) = facts.probes {
            self.probes = Some(probes.into());
        }
        self.workload = facts.workload.or(self.workload.take());
        if facts.pid != 0 {
            self.pid = facts.pid;
        }
        self.pod = self.describe_pod(with_annotations).map(Arc::new);
        conflicts
    }

    pub(super) fn started(&mut self, at: Timestamp, with_annotations: bool) {
        if self.start_time.is_none() {
            self.start_time = Some(at);
            self.pod = self.describe_pod(with_annotations).map(Arc::new);
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.sources.keys().any(|source| source.is_authority())
    }

    pub(super) fn resolved(&self) -> Resolved {
        Resolved {
            number: self.number,
            docker: name::shown(&self.id).to_owned(),
            pod: self.pod.clone(),
            probes: self.probes.clone(),
            complete: self.is_complete(),
            hopeless: self.hopeless,
        }
    }

    pub(super) fn pod(&self) -> Option<&Arc<Pod>> {
        self.pod.as_ref()
    }

    pub(super) fn name(&self) -> &str {
        &self.name.value
    }

    pub(super) fn namespace(&self) -> &str {
        &self.pod_namespace.value
    }

    pub(super) fn pod_uid(&self) -> &str {
        &self.pod_uid.value
    }

    pub(super) fn labels(&self) -> &BTreeMap<String, String> {
        &self.pod_labels.value
    }

    pub(super) fn image(&self) -> (&str, &str) {
        (&self.image.value, &self.image_id.value)
    }

    pub(super) fn runtime(&self) -> &str {
        &self.runtime.value
    }

    /// As events carry it, without what differs from process to process.
    fn describe_pod(&self, with_annotations: bool) -> Option<Pod> {
        let pod_name = &self.pod_name.value;
        if pod_name.is_empty() {
            return None;
        }
        let labels = &self.pod_labels.value;
        let (workload, workload_kind) = match &self.workload {
            Some(known) => known.clone(),
            None => {
                let (name, kind) = workload::of(pod_name, labels);
                (name, kind.to_owned())
            }
        };
        let id = match self.runtime.value.as_str() {
            "" => self.id.clone(),
            runtime => format!("{runtime}://{}", self.id),
        };
        let image = (!self.image.value.is_empty() || !self.image_id.value.is_empty())
            .then(|| Image { id: self.image_id.value.clone(), name: self.image.value.clone() });
        let container = WireContainer {
            id,
            name: self.name.value.clone(),
            image,
            start_time: self.start_time,
            ..WireContainer::default()
        };
        Some(Pod {
            namespace: self.pod_namespace.value.clone(),
            name: pod_name.clone(),
            uid: self.pod_uid.value.clone(),
            container: Some(container),
            pod_labels: labels.clone(),
            workload,
            workload_kind,
            pod_annotations: if with_annotations {
                self.pod_annotations.value.clone()
            } else {
                BTreeMap::new()
            },
        })
    }
}
