//! What a plugin is.

use std::future::Future;
use std::time::Duration;

use crate::api::{
    ConfigureRequest, Container, ContainerEviction, ContainerUpdate, CreateContainerResponse, LinuxResources,
    PodSandbox, UpdateContainerResponse, UpdateContainersRequest, UpdateContainersResponse,
    UpdatePodSandboxRequest, ValidateContainerAdjustmentRequest, ValidateContainerAdjustmentResponse,
};
use crate::error::Error;
use crate::events::EventMask;
use crate::link::Client;
use crate::ttrpc::{CallError, Status};

/// What a callback answers; the status goes to the runtime.
pub type Result<T> = std::result::Result<T, Status>;

/// A plugin's callbacks. All but [`configure`](Self::configure) have a default that lets everything pass.
///
/// Runtimes call one plugin after the other, one event at a time on the whole node, and wait for each answer: be
/// quick. A plugin that takes longer than [`ConfigureRequest::request_timeout`] is thrown out, *and what it was asked
/// about goes on as if it had agreed*. To refuse, answer an error in time.
///
/// A callback is dropped at its next `.await` when the runtime's time is over or the connection ends; what must not
/// be cut short belongs into a task of its own.
pub trait Plugin: Send + Sync + 'static {
    /// The runtime has accepted the registration and introduces itself. The answer tells which events to send.
    ///
    /// An error, or an event that the runtime does not know, ends the connection.
    fn configure(&self, runtime: ConfigureRequest) -> impl Future<Output = Result<EventMask>> + Send;

    /// What exists before the first event: all pods, and the containers that are created, running or paused. May
    /// answer with changes to them. No event comes meanwhile. An error ends the connection.
    fn synchronize(
        &self,
        pods: Vec<PodSandbox>,
        containers: Vec<Container>,
    ) -> impl Future<Output = Result<Vec<ContainerUpdate>>> + Send {
        let _ = (pods, containers);
        async { Ok(Vec::new()) }
    }

    /// A pod's sandbox runs. An error makes the pod fail.
    fn run_pod_sandbox(&self, pod: PodSandbox) -> impl Future<Output = Result<()>> + Send {
        let _ = pod;
        async { Ok(()) }
    }

    /// A pod is being stopped.
    fn stop_pod_sandbox(&self, pod: PodSandbox) -> impl Future<Output = Result<()>> + Send {
        let _ = pod;
        async { Ok(()) }
    }

    /// A pod is being removed.
    fn remove_pod_sandbox(&self, pod: PodSandbox) -> impl Future<Output = Result<()>> + Send {
        let _ = pod;
        async { Ok(()) }
    }

    /// A pod's resources are about to change (NRI 0.10 and later).
    fn update_pod_sandbox(
        &self,
        request: UpdatePodSandboxRequest,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = request;
        async { Ok(()) }
    }

    /// A pod's resources have changed (NRI 0.10 and later).
    fn post_update_pod_sandbox(&self, pod: PodSandbox) -> impl Future<Output = Result<()>> + Send {
        let _ = pod;
        async { Ok(()) }
    }

    /// A container is about to be created: nothing of it exists yet, no cgroup and no process. May change the
    /// container, for example add OCI hooks, and others. An error refuses the container.
    fn create_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> impl Future<Output = Result<CreateContainerResponse>> + Send {
        let _ = (pod, container);
        async { Ok(CreateContainerResponse::default()) }
    }

    /// The runtime has a record of the container. An error is only logged.
    fn post_create_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (pod, container);
        async { Ok(()) }
    }

    /// A container is about to be started: its cgroup and its init process exist, its program does not run yet. An
    /// error refuses the start with containerd, and is only logged by CRI-O.
    fn start_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (pod, container);
        async { Ok(()) }
    }

    /// A container has been started. An error is only logged.
    fn post_start_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (pod, container);
        async { Ok(()) }
    }

    /// A container's resources are about to change to `resources`. May change them, and other containers.
    fn update_container(
        &self,
        pod: PodSandbox,
        container: Container,
        resources: Option<LinuxResources>,
    ) -> impl Future<Output = Result<UpdateContainerResponse>> + Send {
        let _ = (pod, container, resources);
        async { Ok(UpdateContainerResponse::default()) }
    }

    /// A container's resources have changed.
    fn post_update_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (pod, container);
        async { Ok(()) }
    }

    /// A container is being stopped, or has exited. May change other containers.
    fn stop_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> impl Future<Output = Result<Vec<ContainerUpdate>>> + Send {
        let _ = (pod, container);
        async { Ok(Vec::new()) }
    }

    /// A container is being removed.
    fn remove_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (pod, container);
        async { Ok(()) }
    }

    /// What all plugins together want to change about a new container (NRI 0.10 and later). May reject it.
    fn validate_container_adjustment(
        &self,
        request: ValidateContainerAdjustmentRequest,
    ) -> impl Future<Output = Result<ValidateContainerAdjustmentResponse>> + Send {
        let _ = request;
        async { Ok(ValidateContainerAdjustmentResponse::default()) }
    }

    /// The runtime is about to close the connection. Runtimes may close it without telling.
    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Registered, configured and synchronized: events follow. `runtime` is for calls to it, outside of the callbacks.
    fn connected(&self, runtime: Runtime) {
        let _ = runtime;
    }

    /// The connection has ended, and all callbacks with it. `None` if it was ended from this side.
    fn disconnected(&self, reason: Option<&Error>) {
        let _ = reason;
    }
}

/// Calls to the runtime. Clones share the connection; when it has ended, all calls fail.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) client: Client,
}

impl Runtime {
    /// Changes and evicts containers, unasked. Answers with the updates that failed.
    ///
    /// Never call this from within a callback: the runtime takes it only once the event is over, so that each waits
    /// for the other.
    ///
    /// # Errors
    /// The runtime refused, did not answer within `timeout`, or is gone.
    pub async fn update_containers(
        &self,
        update: Vec<ContainerUpdate>,
        evict: Vec<ContainerEviction>,
        timeout: Duration,
    ) -> std::result::Result<Vec<ContainerUpdate>, CallError> {
        let request = UpdateContainersRequest { update, evict };
        let response: UpdateContainersResponse =
            self.client.call("UpdateContainers", &request, timeout).await?;
        Ok(response.failed)
    }
}
