//! What one source says of one container.

use std::collections::BTreeMap;

use prost_types::Timestamp;

/// One source's word. What it does not know is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Name of the container in its pod.
    pub name: String,
    /// Name of its image.
    pub image: String,
    /// Id or digest of its image.
    pub image_id: String,
    /// `containerd`, `cri-o`...: the scheme of the id in events.
    pub runtime: String,
    /// Whether it is the sandbox of a pod.
    pub sandbox: bool,
    /// Name of its pod.
    pub pod_name: String,
    /// Namespace of its pod.
    pub pod_namespace: String,
    /// Uid of its pod, as the source has it: of a static pod, runtimes know the hash of its configuration.
    pub pod_uid: String,
    /// Labels of its pod; `None` if the source does not know them.
    pub pod_labels: Option<BTreeMap<String, String>>,
    /// Annotations of its pod.
    pub pod_annotations: Option<BTreeMap<String, String>>,
    /// When its own program was started.
    pub start_time: Option<Timestamp>,
    /// Its first process, in the host's pid namespace; 0 if not known.
    pub pid: u32,
    /// Commands of its exec probes, each with its arguments. Only the API knows these.
    pub probes: Option<Vec<Vec<String>>>,
    /// Workload and its kind. Only the API knows these for certain.
    pub workload: Option<(String, String)>,
}
