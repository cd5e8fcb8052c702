//! A plugin that writes down what it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nri_plugin::api::{
    ConfigureRequest, Container, ContainerUpdate, CreateContainerResponse, LinuxResources, PodSandbox,
    UpdateContainerResponse, UpdatePodSandboxRequest, ValidateContainerAdjustmentRequest,
    ValidateContainerAdjustmentResponse,
};
use nri_plugin::{Error, EventMask, Plugin, Result, Runtime, Status};
use tokio::sync::{Notify, Semaphore};

/// Callbacks on containers named `refuse`, `panic` and `wait` do so; `wait` lasts until [`Self::release`] has a
/// permit.
#[derive(Debug)]
pub(crate) struct Recorder {
    log: Mutex<Vec<String>>,
    pub(crate) changed: Notify,
    pub(crate) release: Semaphore,
    runtime: Mutex<Option<Runtime>>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::default(),
            changed: Notify::new(),
            release: Semaphore::new(0),
            runtime: Mutex::default(),
        })
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("not poisoned").clone()
    }

    /// The connection's runtime, once there is one.
    pub(crate) fn runtime(&self) -> Runtime {
        self.runtime.lock().expect("not poisoned").clone().expect("connected")
    }

    /// Waits until `entry` has been written down `times` times.
    pub(crate) async fn told(&self, entry: &str, times: usize) {
        let all = async {
            loop {
                let changed = self.changed.notified();
                if self.log().iter().filter(|it| *it == entry).count() >= times {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all)
            .await
            .unwrap_or_else(|_| panic!("{entry} not told {times} times: {:?}", self.log()));
    }

    fn note(&self, entry: String) {
        self.log.lock().expect("not poisoned").push(entry);
        self.changed.notify_waiters();
    }

    async fn event(&self, event: &str, pod: &PodSandbox, container: &Container) -> Result<()> {
        self.note(format!("{event} {}/{}", pod.name, container.name));
        match container.name.as_str() {
            "refuse" => Err(Status::unknown("refused by the test")),
            "panic" => panic!("the test wants a panic"),
            "wait" => {
                self.release.acquire().await.expect("never closed").forget();
                self.note(format!("released {}/{}", pod.name, container.name));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Plugin for Recorder {
    async fn configure(&self, runtime: ConfigureRequest) -> Result<EventMask> {
        self.note(format!("configure {} {}", runtime.runtime_name, runtime.request_timeout));
        if runtime.config == "refuse" {
            return Err(Status::unknown("refused by the test"));
        }
        Ok(EventMask::EVERYWHERE)
    }

    async fn synchronize(
        &self,
        pods: Vec<PodSandbox>,
        containers: Vec<Container>,
    ) -> Result<Vec<ContainerUpdate>> {
        let names = |names: Vec<String>| names.join(",");
        self.note(format!(
            "synchronize {}/{}",
            names(pods.into_iter().map(|it| it.name).collect()),
            names(containers.iter().map(|it| it.name.clone()).collect()),
        ));
        let update = |it: Container| ContainerUpdate { container_id: it.id, ..ContainerUpdate::default() };
        Ok(containers.into_iter().map(update).collect())
    }

    async fn run_pod_sandbox(&self, pod: PodSandbox) -> Result<()> {
        self.event("run_pod", &pod, &Container::default()).await
    }

    async fn stop_pod_sandbox(&self, pod: PodSandbox) -> Result<()> {
        self.event("stop_pod", &pod, &Container::default()).await
    }

    async fn remove_pod_sandbox(&self, pod: PodSandbox) -> Result<()> {
        self.event("remove_pod", &pod, &Container::default()).await
    }

    async fn update_pod_sandbox(&self, request: UpdatePodSandboxRequest) -> Result<()> {
        self.event("update_pod", &request.pod.unwrap_or_default(), &Container::default()).await
    }

    async fn post_update_pod_sandbox(&self, pod: PodSandbox) -> Result<()> {
        self.event("post_update_pod", &pod, &Container::default()).await
    }

    async fn create_container(
        &self,
        pod: PodSandbox,
        container: Container,
    ) -> Result<CreateContainerResponse> {
        self.event("create", &pod, &container).await?;
        let evict = nri_plugin::api::ContainerEviction { container_id: container.id, ..Default::default() };
        Ok(CreateContainerResponse { evict: vec![evict], ..Default::default() })
    }

    async fn post_create_container(&self, pod: PodSandbox, container: Container) -> Result<()> {
        self.event("post_create", &pod, &container).await
    }

    async fn start_container(&self, pod: PodSandbox, container: Container) -> Result<()> {
        self.event("start", &pod, &container).await
    }

    async fn post_start_container(&self, pod: PodSandbox, container: Container) -> Result<()> {
        self.event("post_start", &pod, &container).await
    }

    async fn update_container(
        &self,
        pod: PodSandbox,
        container: Container,
        resources: Option<LinuxResources>,
    ) -> Result<UpdateContainerResponse> {
        let limit = resources.and_then(|it| it.pids).map_or(0, |pids| pids.limit);
        self.event(&format!("update to {limit} pids"), &pod, &container).await?;
        Ok(UpdateContainerResponse::default())
    }

    async fn post_update_container(&self, pod: PodSandbox, container: Container) -> Result<()> {
        self.event("post_update", &pod, &container).await
    }

    async fn stop_container(&self, pod: PodSandbox, container: Container) -> Result<Vec<ContainerUpdate>> {
        self.event("stop", &pod, &container).await?;
        Ok(vec![ContainerUpdate { container_id: container.id, ..ContainerUpdate::default() }])
    }

    async fn remove_container(&self, pod: PodSandbox, container: Container) -> Result<()> {
        self.event("remove", &pod, &container).await
    }

    async fn validate_container_adjustment(
        &self,
        request: ValidateContainerAdjustmentRequest,
    ) -> Result<ValidateContainerAdjustmentResponse> {
        let container = request.container.unwrap_or_default();
        self.event("validate", &request.pod.unwrap_or_default(), &container).await?;
        // Longer than a message can be, for the test that asks for it.
        let length = if container.name == "oversize" { 5 << 20 } else { 3 };
        Ok(ValidateContainerAdjustmentResponse { reject: true, reason: "x".repeat(length) })
    }

    async fn shutdown(&self) {
        self.note("shutdown".to_owned());
    }

    fn connected(&self, runtime: Runtime) {
        *self.runtime.lock().expect("not poisoned") = Some(runtime);
        self.note("connected".to_owned());
    }

    fn disconnected(&self, reason: Option<&Error>) {
        self.note(format!("disconnected: {}", reason.map_or("asked".to_owned(), Error::to_string)));
    }
}
