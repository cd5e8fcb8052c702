//! A container in one piece, put together from the messages about it and about its pod.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::api;
use crate::verbose::Info;

/// In which part of its life a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its own program has not been started.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Exited,
    /// The runtime does not know.
    Unknown,
}

/// What the runtime knows about one container, or about the sandbox of a pod. Text that is not known is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriContainer {
    /// Whole id, without the runtime's name.
    pub id: String,
    /// Name in the pod; empty for a sandbox.
    pub name: String,
    /// As the pod names it.
    pub image: String,
    /// What the image was resolved to; `imageID` of the Kubernetes API.
    pub image_id: String,
    /// Id of the pod's sandbox; of a sandbox its own.
    pub sandbox_id: String,
    /// Whether it is the sandbox itself.
    pub is_sandbox: bool,
    /// Name of the pod.
    pub pod_name: String,
    /// Namespace of the pod.
    pub pod_namespace: String,
    /// Uid of the pod; of a static pod the hash of its configuration.
    pub pod_uid: String,
    /// Labels of the pod, among them those that the kubelet adds, such as `io.kubernetes.pod.name`.
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of the pod, among them those that the kubelet adds, such as `kubernetes.io/config.hash`.
    pub pod_annotations: BTreeMap<String, String>,
    /// Directory of its cgroup below the root of the hierarchy. `None` where the runtime does not tell.
    pub cgroups_path: Option<String>,
    /// First process, in the runtime's pid namespace; 0 if not known or not running.
    pub pid: u32,
    /// In which part of its life it is.
    pub state: State,
    /// When it was created.
    pub created_at: Option<SystemTime>,
    /// When it was started. `None` for sandboxes and where it has not been.
    pub started_at: Option<SystemTime>,
    /// "containerd", "cri-o", "docker": the scheme of container ids in the Kubernetes API.
    pub runtime: String,
}

/// What a container takes from its pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pod {
    metadata: api::PodSandboxMetadata,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl From<&api::PodSandbox> for Pod {
    fn from(it: &api::PodSandbox) -> Self {
        Self {
            metadata: it.metadata.clone().unwrap_or_default(),
            labels: it.labels.clone(),
            annotations: it.annotations.clone(),
        }
    }
}

impl From<&api::PodSandboxStatus> for Pod {
    fn from(it: &api::PodSandboxStatus) -> Self {
        Self {
            metadata: it.metadata.clone().unwrap_or_default(),
            labels: it.labels.clone(),
            annotations: it.annotations.clone(),
        }
    }
}

impl From<&CriContainer> for Pod {
    fn from(it: &CriContainer) -> Self {
        Self {
            metadata: api::PodSandboxMetadata {
                name: it.pod_name.clone(),
                uid: it.pod_uid.clone(),
                namespace: it.pod_namespace.clone(),
            },
            labels: it.pod_labels.clone(),
            annotations: it.pod_annotations.clone(),
        }
    }
}

impl Pod {
    /// From the labels of a container, where the runtime does not know the pod any more.
    pub(crate) fn of_labels(labels: &BTreeMap<String, String>) -> Self {
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let metadata = api::PodSandboxMetadata {
            name: label("io.kubernetes.pod.name"),
            uid: label("io.kubernetes.pod.uid"),
            namespace: label("io.kubernetes.pod.namespace"),
        };
        Self { metadata, ..Self::default() }
    }
}

impl CriContainer {
    /// A container of a list, without the details that only a status has.
    pub(crate) fn listed(it: api::Container, pod: Pod, runtime: &str) -> Self {
        let state = state(it.state());
        let name = it.metadata.unwrap_or_default().name;
        Self {
            name: or_label(name, &it.labels),
            image: it.image.unwrap_or_default().image,
            image_id: it.image_ref,
            sandbox_id: it.pod_sandbox_id,
            state,
            created_at: time(it.created_at),
            ..Self::of_pod(it.id, pod, runtime)
        }
    }

    /// A container of which the status is known.
    pub(crate) fn detailed(it: api::ContainerStatus, info: &Info, pod: Pod, runtime: &str) -> Self {
        let state = state(it.state());
        let name = it.metadata.unwrap_or_default().name;
        Self {
            name: or_label(name, &it.labels),
            image: it.image.unwrap_or_default().image,
            image_id: it.image_ref,
            sandbox_id: info.sandbox_id.clone(),
            cgroups_path: info.cgroups_path(),
            pid: info.pid(),
            state,
            created_at: time(it.created_at),
            started_at: time(it.started_at),
            ..Self::of_pod(it.id, pod, runtime)
        }
    }

    /// The sandbox of a list.
    pub(crate) fn listed_sandbox(it: api::PodSandbox, runtime: &str) -> Self {
        let pod = Pod::from(&it);
        Self {
            sandbox_id: it.id.clone(),
            is_sandbox: true,
            state: sandbox_state(it.state()),
            created_at: time(it.created_at),
            ..Self::of_pod(it.id, pod, runtime)
        }
    }

    /// A sandbox of which the status is known.
    pub(crate) fn detailed_sandbox(it: api::PodSandboxStatus, info: &Info, runtime: &str) -> Self {
        let pod = Pod::from(&it);
        Self {
            image: info.image.clone(),
            sandbox_id: it.id.clone(),
            is_sandbox: true,
            cgroups_path: info.cgroups_path(),
            pid: info.pid(),
            state: sandbox_state(it.state()),
            created_at: time(it.created_at),
            ..Self::of_pod(it.id, pod, runtime)
        }
    }

    fn of_pod(id: String, pod: Pod, runtime: &str) -> Self {
        let api::PodSandboxMetadata { name, uid, namespace } = pod.metadata;
        Self {
            id,
            name: String::new(),
            image: String::new(),
            image_id: String::new(),
            sandbox_id: String::new(),
            is_sandbox: false,
            pod_name: name,
            pod_namespace: namespace,
            pod_uid: uid,
            pod_labels: pod.labels,
            pod_annotations: pod.annotations,
            cgroups_path: None,
            pid: 0,
            state: State::Unknown,
            created_at: None,
            started_at: None,
            runtime: runtime.to_owned(),
        }
    }
}

fn or_label(name: String, labels: &BTreeMap<String, String>) -> String {
    if name.is_empty() {
        labels.get("io.kubernetes.container.name").cloned().unwrap_or_default()
    } else {
        name
    }
}

fn state(state: api::ContainerState) -> State {
    match state {
        api::ContainerState::ContainerCreated => State::Created,
        api::ContainerState::ContainerRunning => State::Running,
        api::ContainerState::ContainerExited => State::Exited,
        api::ContainerState::ContainerUnknown => State::Unknown,
    }
}

fn sandbox_state(state: api::PodSandboxState) -> State {
    match state {
        api::PodSandboxState::SandboxReady => State::Running,
        api::PodSandboxState::SandboxNotready => State::Exited,
    }
}

/// Nanoseconds since the epoch; 0 stands for "never".
fn time(nanoseconds: i64) -> Option<SystemTime> {
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|it| *it > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds))
}
