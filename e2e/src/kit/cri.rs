//! Pods and containers by the Container Runtime Interface, the way a kubelet asks for them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use super::{process, rpc};
use proto::runtime_service_client::RuntimeServiceClient;
pub use proto::{ContainerState, ContainerStatus, ExecSyncResponse};

#[expect(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod proto {
    tonic::include_proto!("runtime.v1");
}

/// For one call; starting a container on a busy machine takes a while.
const CALL_CAP: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A pod to be run.
#[derive(Debug, Clone, Default)]
pub struct PodSpec {
    /// Its name.
    pub name: String,
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its uid; made from the name when empty.
    pub uid: String,
    /// Labels of the pod.
    pub labels: HashMap<String, String>,
    /// Annotations of the pod.
    pub annotations: HashMap<String, String>,
    /// In a network of its own, which needs [`Network::Bridge`](super::containerd::Network).
    pub own_network: bool,
    /// One pid namespace for all its containers.
    pub shared_pids: bool,
}

impl PodSpec {
    /// A pod on the node's network.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { name: name.into(), namespace: namespace.into(), ..Self::default() }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }
}

/// A pod that runs.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Id of its sandbox.
    pub id: String,
    /// Its uid.
    pub uid: String,
    config: proto::PodSandboxConfig,
}

impl Pod {
    /// Its name.
    pub fn name(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.name)
    }
}

/// A container to be made.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// Its name in the pod.
    pub name: String,
    /// Full name of a present image.
    pub image: String,
    /// Program and arguments; the image's when empty.
    pub command: Vec<String>,
    /// Files of the machine and where they appear, writable.
    pub mounts: Vec<(PathBuf, String)>,
    /// Which start of this container it is; tells apart containers of one name in a pod.
    pub attempt: u32,
    /// With all rights of root.
    pub privileged: bool,
}

impl ContainerSpec {
    /// A container that runs this command.
    pub fn new<S: Into<String>>(name: &str, image: &str, command: impl IntoIterator<Item = S>) -> Self {
        let command = command.into_iter().map(Into::into).collect();
        Self { name: name.into(), image: image.into(), command, ..Self::default() }
    }
}

/// A connection to a runtime. Each thread needs one of its own.
pub struct Cri {
    runtime: Runtime,
    client: RuntimeServiceClient<Channel>,
    /// Where pods get their control groups.
    cgroup_parent: String,
}

impl Cri {
    /// Connects to the runtime behind `socket`.
    pub fn connect(socket: &Path, cgroup_parent: impl Into<String>) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
        let channel = runtime.block_on(rpc::connect(socket.to_owned()))?;
        let client = RuntimeServiceClient::new(channel).max_decoding_message_size(64 << 20);
        Ok(Self { runtime, client, cgroup_parent: cgroup_parent.into() })
    }

    fn call<T, F>(&self, what: &str, call: impl FnOnce(RuntimeServiceClient<Channel>) -> F) -> Result<T>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let call = call(self.client.clone());
        let outcome = self.runtime.block_on(async { tokio::time::timeout(CALL_CAP, call).await });
        let answer = outcome.with_context(|| format!("CRI {what}: no answer within {CALL_CAP:?}"))?;
        Ok(answer.with_context(|| format!("CRI {what}"))?.into_inner())
    }

    /// Name and version of the runtime.
    pub fn version(&self) -> Result<(String, String)> {
        let answer =
            self.call("Version", async |mut client| client.version(proto::VersionRequest::default()).await)?;
        Ok((answer.runtime_name, answer.runtime_version))
    }

    /// Runs a pod without containers.
    pub fn run_pod(&self, spec: &PodSpec) -> Result<Pod> {
        let uid = if spec.uid.is_empty() {
            format!("uid-{}-{}", spec.namespace, spec.name)
        } else {
            spec.uid.clone()
        };
        let mut labels = spec.labels.clone();
        labels.extend(kubelet_labels(&spec.namespace, &spec.name, &uid));
        let mode = |own: bool| if own { proto::NamespaceMode::Pod } else { proto::NamespaceMode::Node };
        let pids = if spec.shared_pids { proto::NamespaceMode::Pod } else { proto::NamespaceMode::Container };
        let namespaces = proto::NamespaceOption {
            network: mode(spec.own_network).into(),
            pid: pids.into(),
            ipc: proto::NamespaceMode::Pod.into(),
        };
        let config = proto::PodSandboxConfig {
            metadata: Some(proto::PodSandboxMetadata {
                name: spec.name.clone(),
                uid: uid.clone(),
                namespace: spec.namespace.clone(),
                attempt: 0,
            }),
            // A pod on the node's network has the node's name.
            hostname: if spec.own_network { spec.name.clone() } else { String::new() },
            labels,
            annotations: spec.annotations.clone(),
            linux: Some(proto::LinuxPodSandboxConfig {
                cgroup_parent: format!("{}/kubepods/besteffort/pod{uid}", self.cgroup_parent),
                security_context: Some(proto::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces),
                }),
            }),
            ..proto::PodSandboxConfig::default()
        };
        let request =
            proto::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() };
        let answer = self.call("RunPodSandbox", async |mut client| client.run_pod_sandbox(request).await)?;
        Ok(Pod { id: answer.pod_sandbox_id, uid, config })
    }

    /// Makes a container in a pod, and returns its id.
    pub fn create(&self, pod: &Pod, spec: &ContainerSpec) -> Result<String> {
        let of_pod = pod.config.metadata.clone().context("a pod without a name")?;
        let mut labels = kubelet_labels(&of_pod.namespace, &of_pod.name, &pod.uid);
        labels.insert("io.kubernetes.container.name".into(), spec.name.clone());
        let mount = |(host, inside): &(PathBuf, String)| proto::Mount {
            container_path: inside.clone(),
            host_path: host.to_string_lossy().into_owned(),
            readonly: false,
        };
        let namespaces = pod.config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
        let config = proto::ContainerConfig {
            metadata: Some(proto::ContainerMetadata { name: spec.name.clone(), attempt: spec.attempt }),
            image: Some(proto::ImageSpec { image: spec.image.clone() }),
            command: spec.command.clone(),
            mounts: spec.mounts.iter().map(mount).collect(),
            labels,
            annotations: HashMap::from([(
                "io.kubernetes.container.restartCount".to_owned(),
                spec.attempt.to_string(),
            )]),
            linux: Some(proto::LinuxContainerConfig {
                security_context: Some(proto::LinuxContainerSecurityContext {
                    privileged: spec.privileged,
                    namespace_options: namespaces.and_then(|context| context.namespace_options),
                }),
            }),
            ..proto::ContainerConfig::default()
        };
        let request = proto::CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let answer =
            self.call("CreateContainer", async |mut client| client.create_container(request).await)?;
        Ok(answer.container_id)
    }

    /// Lets a container's program run.
    pub fn start(&self, container: &str) -> Result<()> {
        let request = proto::StartContainerRequest { container_id: container.into() };
        self.call("StartContainer", async |mut client| client.start_container(request).await).map(drop)
    }

    /// Makes a container and lets it run; returns its id.
    pub fn run(&self, pod: &Pod, spec: &ContainerSpec) -> Result<String> {
        let container = self.create(pod, spec)?;
        self.start(&container)?;
        Ok(container)
    }

    /// Runs a command in a running container and waits for its end, at most `cap`.
    pub fn exec<S: Into<String>>(
        &self,
        container: &str,
        command: impl IntoIterator<Item = S>,
        cap: Duration,
    ) -> Result<ExecSyncResponse> {
        let request = proto::ExecSyncRequest {
            container_id: container.into(),
            cmd: command.into_iter().map(Into::into).collect(),
            timeout: cap.as_secs().try_into()?,
        };
        self.call("ExecSync", async |mut client| client.exec_sync(request).await)
    }

    /// How a container is doing.
    pub fn status(&self, container: &str) -> Result<ContainerStatus> {
        let request = proto::ContainerStatusRequest { container_id: container.into(), verbose: false };
        let answer =
            self.call("ContainerStatus", async |mut client| client.container_status(request).await)?;
        answer.status.context("CRI ContainerStatus: no status")
    }

    /// Waits for the end of a container, and returns its exit status.
    pub fn wait(&self, container: &str) -> Result<i32> {
        process::eventually_every(POLL, &format!("the end of container {container}"), CALL_CAP, || {
            let status = self.status(container)?;
            Ok((status.state() == ContainerState::ContainerExited).then_some(status.exit_code))
        })
    }

    /// Ends a container, by force after `grace`.
    pub fn stop(&self, container: &str, grace: Duration) -> Result<()> {
        let request = proto::StopContainerRequest {
            container_id: container.into(),
            timeout: grace.as_secs().try_into()?,
        };
        self.call("StopContainer", async |mut client| client.stop_container(request).await).map(drop)
    }

    /// Removes a container.
    pub fn remove(&self, container: &str) -> Result<()> {
        let request = proto::RemoveContainerRequest { container_id: container.into() };
        self.call("RemoveContainer", async |mut client| client.remove_container(request).await).map(drop)
    }

    /// Ends a pod and removes it with all its containers.
    pub fn remove_pod(&self, id: &str) -> Result<()> {
        let request = proto::StopPodSandboxRequest { pod_sandbox_id: id.into() };
        self.call("StopPodSandbox", async |mut client| client.stop_pod_sandbox(request).await)?;
        let request = proto::RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        self.call("RemovePodSandbox", async |mut client| client.remove_pod_sandbox(request).await).map(drop)
    }

    /// Ids of all pods.
    pub fn pods(&self) -> Result<Vec<String>> {
        let request = proto::ListPodSandboxRequest {};
        let answer =
            self.call("ListPodSandbox", async |mut client| client.list_pod_sandbox(request).await)?;
        Ok(answer.items.into_iter().map(|pod| pod.id).collect())
    }
}

/// What a kubelet writes onto everything of a pod.
fn kubelet_labels(namespace: &str, name: &str, uid: &str) -> HashMap<String, String> {
    [("namespace", namespace), ("name", name), ("uid", uid)]
        .map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.to_owned()))
        .into()
}
