//! Asking the runtime.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::api::runtime_service_client::RuntimeServiceClient;
use crate::api::{
    Container, ContainerFilter, ContainerState, ContainerStatus, ContainerStatusRequest,
    ListContainersRequest, ListPodSandboxRequest, PodSandbox, PodSandboxState, PodSandboxStatus,
    PodSandboxStatusRequest,
};
use crate::container::Pod;
use crate::error::reason;
use crate::link::Link;
use crate::verbose::Info;
use crate::{CriContainer, CriError, Options, Runtime};

/// Fewer digits would name many containers.
const SHORTEST_ID: usize = 4;
/// Length of a whole id.
const WHOLE_ID: usize = 64;

/// A client; clones share the connection. Must be used in a Tokio runtime with time and I/O.
#[derive(Clone, Debug)]
pub struct CriClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: Link,
    options: Options,
    permits: Semaphore,
}

/// Everything that exists.
#[derive(Debug)]
pub struct Listing {
    /// Sandboxes that are ready, and containers that are created or running.
    pub containers: Vec<CriContainer>,
    /// Why some of them lack what only a status tells (`cgroups_path`, `pid`, `started_at`). `None`: none does.
    pub incomplete: Option<CriError>,
}

impl CriClient {
    /// A client. Nothing is connected before the first question.
    pub fn new(options: Options) -> Self {
        let permits = Semaphore::new(options.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        Self(Arc::new(Inner { link: Link::new(options.clone()), options, permits }))
    }

    /// The runtime that answered last; `None` before the first answer and after a failure.
    pub fn connected(&self) -> Option<Runtime> {
        self.0.link.runtime()
    }

    /// The runtime that answers, sought if need be.
    ///
    /// # Errors
    /// [`CriError::Unreachable`] if none does.
    pub async fn runtime(&self) -> Result<Runtime, CriError> {
        Ok(self.0.link.connection().await?.runtime.clone())
    }

    /// Everything that exists now.
    ///
    /// # Errors
    /// If the lists cannot be had. If only details of single containers cannot, the result says so.
    pub async fn list(&self) -> Result<Listing, CriError> {
        let runtime = self.runtime().await?.name;
        // Containers first: whatever is listed has its sandbox then in the later list.
        let request = ListContainersRequest { filter: None };
        let containers =
            self.call("ListContainers", |mut it| async move { it.list_containers(request).await }).await?;
        let sandboxes =
            self.call("ListPodSandbox", |mut it| async move {
                it.list_pod_sandbox(ListPodSandboxRequest {}).await
            })
            .await?;
        let pods: HashMap<String, Pod> =
            sandboxes.items.iter().map(|it| (it.id.clone(), Pod::from(it))).collect();
        let listed = sandboxes
            .items
            .into_iter()
            .filter(is_ready)
            .map(|it| CriContainer::listed_sandbox(it, &runtime))
            .chain(containers.containers.into_iter().filter(is_alive).map(|it| {
                let pod = pods.get(&it.pod_sandbox_id).cloned();
                let pod = pod.unwrap_or_else(|| Pod::of_labels(&it.labels));
                CriContainer::listed(it, pod, &runtime)
            }))
            .collect();
        Ok(self.with_details(listed).await)
    }

    /// The container or sandbox whose id is, or begins with, `id`. `None` if the runtime has no such.
    ///
    /// # Errors
    /// If `id` cannot be the beginning of an id, or the runtime cannot be asked.
    pub async fn container(&self, id: &str) -> Result<Option<CriContainer>, CriError> {
        let hexadecimal = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !(SHORTEST_ID..=WHOLE_ID).contains(&id.len()) || !hexadecimal {
            return Err(CriError::Id(id.to_owned()));
        }
        match self.status(id).await? {
            Some(container) => Ok(Some(container)),
            None => self.sandbox_status(id).await,
        }
    }

    /// Asks for the status of each. Those that are gone by now are left out.
    async fn with_details(&self, listed: Vec<CriContainer>) -> Listing {
        let mut tasks = JoinSet::new();
        for container in listed.clone() {
            let client = self.clone();
            tasks.spawn(async move { (client.details(&container).await, container.id) });
        }
        let mut listing = Listing { containers: Vec::with_capacity(listed.len()), incomplete: None };
        let mut left: HashMap<String, CriContainer> =
            listed.into_iter().map(|container| (container.id.clone(), container)).collect();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((Ok(details), id)) => {
                    left.remove(&id);
                    listing.containers.extend(details);
                }
                Ok((Err(error), _)) => {
                    let outage = error.is_outage();
                    listing.incomplete.get_or_insert(error);
                    if outage {
                        break;
                    }
                }
                // Only a panic ends a task early; its container is listed without details.
                Err(_) => {}
            }
        }
        listing.containers.extend(left.into_values());
        listing
    }

    /// The same container with what only its status tells. `None` if it is gone by now.
    async fn details(&self, listed: &CriContainer) -> Result<Option<CriContainer>, CriError> {
        if listed.is_sandbox {
            return self.sandbox_status(&listed.id).await;
        }
        let Some((status, mut info)) = self.raw_status(&listed.id).await? else { return Ok(None) };
        info.sandbox_id.clone_from(&listed.sandbox_id);
        Ok(Some(CriContainer::detailed(status, &info, Pod::from(listed), &listed.runtime)))
    }

    async fn status(&self, id: &str) -> Result<Option<CriContainer>, CriError> {
        let Some((status, mut info)) = self.raw_status(id).await? else { return Ok(None) };
        if info.sandbox_id.is_empty() {
            info.sandbox_id = self.sandbox_of(&status.id).await?.unwrap_or_default();
        }
        let sandbox = match info.sandbox_id.as_str() {
            "" => None,
            sandbox => self.raw_sandbox_status(sandbox, false).await?,
        };
        let pod = sandbox.map_or_else(|| Pod::of_labels(&status.labels), |(it, _)| Pod::from(&it));
        let runtime = self.runtime().await?.name;
        Ok(Some(CriContainer::detailed(status, &info, pod, &runtime)))
    }

    async fn sandbox_status(&self, id: &str) -> Result<Option<CriContainer>, CriError> {
        let Some((status, info)) = self.raw_sandbox_status(id, true).await? else { return Ok(None) };
        let runtime = self.runtime().await?.name;
        Ok(Some(CriContainer::detailed_sandbox(status, &info, &runtime)))
    }

    /// The sandbox of a container, where the status does not name it.
    async fn sandbox_of(&self, id: &str) -> Result<Option<String>, CriError> {
        let request = ListContainersRequest { filter: Some(ContainerFilter { id: id.to_owned() }) };
        let list =
            self.call("ListContainers", |mut it| async move { it.list_containers(request).await }).await?;
        Ok(list.containers.into_iter().find(|it| it.id == id).map(|it| it.pod_sandbox_id))
    }

    async fn raw_status(&self, id: &str) -> Result<Option<(ContainerStatus, Info)>, CriError> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        let answer =
            self.call("ContainerStatus", |mut it| async move { it.container_status(request).await }).await;
        Ok(found(answer)?.and_then(|it| {
            let status = it.status.filter(|status| status.id.starts_with(id))?;
            Some((status, Info::read(&it.info)))
        }))
    }

    async fn raw_sandbox_status(
        &self,
        id: &str,
        verbose: bool,
    ) -> Result<Option<(PodSandboxStatus, Info)>, CriError> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose };
        let answer =
            self.call("PodSandboxStatus", |mut it| async move { it.pod_sandbox_status(request).await }).await;
        Ok(found(answer)?.and_then(|it| {
            let status = it.status.filter(|status| status.id.starts_with(id))?;
            Some((status, Info::read(&it.info)))
        }))
    }

    /// One call, limited in time from the moment that it is its turn.
    async fn call<T, F>(
        &self,
        method: &'static str,
        call: impl FnOnce(RuntimeServiceClient<Channel>) -> F,
    ) -> Result<T, CriError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let Inner { link, options, permits } = &*self.0;
        // Never closed.
        let _permit = permits.acquire().await.ok();
        let connection = link.connection().await?;
        let limit = options.call_timeout;
        let outcome = timeout(limit, call(connection.client())).await;
        let socket = connection.runtime.socket.clone();
        let error = match outcome {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) if status.code() == Code::Unavailable || status.source().is_some() => {
                CriError::Lost { socket, method, reason: reason(&status) }
            }
            Ok(Err(status)) => {
                let message = status.message().to_owned();
                return Err(CriError::Refused { socket, method, code: status.code(), message });
            }
            Err(_) => CriError::TimedOut { socket, method, limit },
        };
        link.lost(&connection);
        Err(error)
    }
}

/// An answer that there is no such thing is no failure.
fn found<T>(answer: Result<T, CriError>) -> Result<Option<T>, CriError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_ready(sandbox: &PodSandbox) -> bool {
    sandbox.state() == PodSandboxState::SandboxReady
}

fn is_alive(container: &Container) -> bool {
    matches!(container.state(), ContainerState::ContainerCreated | ContainerState::ContainerRunning)
}
