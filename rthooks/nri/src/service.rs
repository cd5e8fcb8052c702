//! The plugin's methods, turned into callbacks.

mod snapshot;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use prost::Message;
use tokio::sync::watch;

use crate::api::{
    ConfigureRequest, ConfigureResponse, Container, ContainerRequest, CreateContainerRequest, Empty, Event,
    PodRequest, PodSandbox, StateChangeEvent, StopContainerResponse, SynchronizeRequest, SynchronizeResponse,
    UpdateContainerRequest, UpdatePodSandboxRequest, ValidateContainerAdjustmentRequest,
};
use crate::link::Handler;
use crate::plugin::{Plugin, Result};
use crate::ttrpc::envelope::Request;
use crate::ttrpc::{Code, Status};

use snapshot::Snapshot;

const PLUGIN: &str = "nri.pkg.api.v1alpha1.Plugin";

/// How far the runtime has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Connected,
    Configured,
    Synchronized,
}

/// Serves one connection.
pub(crate) struct Service<P> {
    plugin: Arc<P>,
    phase: watch::Sender<Phase>,
    snapshot: Mutex<Snapshot>,
}

impl<P: Plugin> Service<P> {
    pub(crate) fn new(plugin: Arc<P>) -> (Self, watch::Receiver<Phase>) {
        let (phase, phases) = watch::channel(Phase::Connected);
        (Self { plugin, phase, snapshot: Mutex::default() }, phases)
    }

    fn reached(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let further = *now < phase;
            *now = phase.max(*now);
            further
        });
    }

    async fn configure(&self, request: ConfigureRequest) -> Result<ConfigureResponse> {
        let events = self.plugin.configure(request).await?.bits();
        self.reached(Phase::Configured);
        Ok(ConfigureResponse { events })
    }

    async fn synchronize(&self, request: SynchronizeRequest, bytes: usize) -> Result<SynchronizeResponse> {
        let more = request.more;
        let snapshot = {
            let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
            snapshot.add(request, bytes)?;
            if more {
                return Ok(SynchronizeResponse { update: Vec::new(), more });
            }
            std::mem::take(&mut *snapshot)
        };
        let update = self.plugin.synchronize(snapshot.pods, snapshot.containers).await?;
        self.reached(Phase::Synchronized);
        Ok(SynchronizeResponse { update, more })
    }

    /// The events that take no answer, whichever way they came.
    async fn event(
        &self,
        event: Event,
        pod: Option<PodSandbox>,
        container: Option<Container>,
    ) -> Result<Empty> {
        let (plugin, pod) = (&self.plugin, required(pod, "pod"));
        let container = required(container, "container");
        match event {
            Event::RunPodSandbox => plugin.run_pod_sandbox(pod?).await,
            Event::StopPodSandbox => plugin.stop_pod_sandbox(pod?).await,
            Event::RemovePodSandbox => plugin.remove_pod_sandbox(pod?).await,
            Event::PostUpdatePodSandbox => plugin.post_update_pod_sandbox(pod?).await,
            Event::PostCreateContainer => plugin.post_create_container(pod?, container?).await,
            Event::StartContainer => plugin.start_container(pod?, container?).await,
            Event::PostStartContainer => plugin.post_start_container(pod?, container?).await,
            Event::PostUpdateContainer => plugin.post_update_container(pod?, container?).await,
            Event::RemoveContainer => plugin.remove_container(pod?, container?).await,
            // Has a method of its own in every runtime, or is newer than this crate. Refusing what is only told
            // could stop a container.
            Event::Unknown
            | Event::CreateContainer
            | Event::UpdateContainer
            | Event::StopContainer
            | Event::UpdatePodSandbox
            | Event::ValidateContainerAdjustment => {
                tracing::debug!(?event, "event without a callback skipped");
                Ok(())
            }
        }?;
        Ok(Empty {})
    }

    async fn pod_event(&self, event: Event, payload: Bytes) -> Result<Bytes> {
        let request: PodRequest = decode(payload)?;
        self.event(event, request.pod, None).await.map(encode)
    }

    async fn container_event(&self, event: Event, payload: Bytes) -> Result<Bytes> {
        let request: ContainerRequest = decode(payload)?;
        self.event(event, request.pod, request.container).await.map(encode)
    }
}

impl<P: Plugin> Handler for Service<P> {
    async fn serve(&self, request: Request) -> Result<Bytes> {
        let Request { service, method, payload, .. } = request;
        if service != PLUGIN {
            return Err(Status::new(Code::UNIMPLEMENTED, format!("no service {service}")));
        }
        let plugin = &self.plugin;
        match method.as_str() {
            "Configure" => self.configure(decode(payload)?).await.map(encode),
            "Synchronize" => {
                let bytes = payload.len();
                self.synchronize(decode(payload)?, bytes).await.map(encode)
            }
            "Shutdown" => {
                plugin.shutdown().await;
                Ok(encode(Empty {}))
            }
            "CreateContainer" => {
                let CreateContainerRequest { pod, container } = decode(payload)?;
                let (pod, container) = (required(pod, "pod")?, required(container, "container")?);
                plugin.create_container(pod, container).await.map(encode)
            }
            "UpdateContainer" => {
                let UpdateContainerRequest { pod, container, linux_resources } = decode(payload)?;
                let (pod, container) = (required(pod, "pod")?, required(container, "container")?);
                plugin.update_container(pod, container, linux_resources).await.map(encode)
            }
            "StopContainer" => {
                let ContainerRequest { pod, container } = decode(payload)?;
                let (pod, container) = (required(pod, "pod")?, required(container, "container")?);
                let update = plugin.stop_container(pod, container).await?;
                Ok(encode(StopContainerResponse { update }))
            }
            "UpdatePodSandbox" => {
                let request: UpdatePodSandboxRequest = decode(payload)?;
                plugin.update_pod_sandbox(request).await.map(|()| encode(Empty {}))
            }
            "ValidateContainerAdjustment" => {
                let request: ValidateContainerAdjustmentRequest = decode(payload)?;
                plugin.validate_container_adjustment(request).await.map(encode)
            }
            "StateChange" => {
                let change: StateChangeEvent = decode(payload)?;
                self.event(change.event(), change.pod, change.container).await.map(encode)
            }
            "RunPodSandbox" => self.pod_event(Event::RunPodSandbox, payload).await,
            "StopPodSandbox" => self.pod_event(Event::StopPodSandbox, payload).await,
            "RemovePodSandbox" => self.pod_event(Event::RemovePodSandbox, payload).await,
            "PostUpdatePodSandbox" => self.pod_event(Event::PostUpdatePodSandbox, payload).await,
            "PostCreateContainer" => self.container_event(Event::PostCreateContainer, payload).await,
            "StartContainer" => self.container_event(Event::StartContainer, payload).await,
            "PostStartContainer" => self.container_event(Event::PostStartContainer, payload).await,
            "PostUpdateContainer" => self.container_event(Event::PostUpdateContainer, payload).await,
            "RemoveContainer" => self.container_event(Event::RemoveContainer, payload).await,
            _ => Err(Status::new(Code::UNIMPLEMENTED, format!("no method {method}"))),
        }
    }
}

fn decode<M: Message + Default>(payload: Bytes) -> Result<M> {
    M::decode(payload)
        .map_err(|error| Status::new(Code::INVALID_ARGUMENT, format!("request cannot be read: {error}")))
}

#[expect(clippy::needless_pass_by_value, reason = "reads better at the end of a chain")]
fn encode(message: impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn required<T>(part: Option<T>, name: &str) -> Result<T> {
    part.ok_or_else(|| Status::new(Code::INVALID_ARGUMENT, format!("request has no {name}")))
}
