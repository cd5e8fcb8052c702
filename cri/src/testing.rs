//! A container runtime to test against: a real server of the interface on a unix socket, whose world and manners a
//! test sets.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use crate::api::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use crate::api::{
    Container, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    ContainerStatusResponse, ImageSpec, ListContainersRequest, ListContainersResponse, ListPodSandboxRequest,
    ListPodSandboxResponse, PodSandbox, PodSandboxMetadata, PodSandboxState, PodSandboxStatus,
    PodSandboxStatusRequest, PodSandboxStatusResponse, VersionRequest, VersionResponse,
};

/// How calls are answered.
#[derive(Clone, Debug, Default)]
pub enum Manner {
    /// At once and truly.
    #[default]
    Normal,
    /// Truly, but after this time.
    Slow(Duration),
    /// Never.
    Hang,
    /// With this error.
    Fail(Code, String),
}

/// The pod of a container in the runtime's world.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// Whole id.
    pub id: String,
    /// Name of the pod.
    pub name: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Uid of the pod.
    pub uid: String,
    /// Labels of the pod.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod.
    pub annotations: BTreeMap<String, String>,
    /// The JSON of a verbose status; empty for none.
    pub info: String,
    /// Whether it has ended.
    pub ended: bool,
}

/// A container in the runtime's world.
#[derive(Clone, Debug, Default)]
pub struct FakeContainer {
    /// Whole id.
    pub id: String,
    /// Id of the sandbox.
    pub sandbox_id: String,
    /// Name in the pod.
    pub name: String,
    /// State; the default is "created".
    pub state: ContainerState,
    /// Labels, from which the pod can be told without its sandbox.
    pub labels: BTreeMap<String, String>,
    /// The JSON of a verbose status; empty for none.
    pub info: String,
}

#[derive(Debug, Default)]
struct World {
    sandboxes: Vec<Sandbox>,
    containers: Vec<FakeContainer>,
    manner: Manner,
    /// Instead of `manner`, of these methods.
    manners: BTreeMap<&'static str, Manner>,
    calls: Vec<(&'static str, String)>,
}

/// A runtime that serves until it is dropped.
#[derive(Debug)]
pub struct FakeRuntime {
    socket: PathBuf,
    world: Arc<Mutex<World>>,
    serving: Option<Runtime>,
}

impl FakeRuntime {
    /// Serves on this socket. The files of sockets of the past are replaced.
    ///
    /// # Errors
    /// Those of the system.
    pub fn start(socket: &Path) -> io::Result<Self> {
        let mut this = Self { socket: socket.to_owned(), world: Arc::default(), serving: None };
        this.restart()?;
        Ok(this)
    }

    /// Cuts all connections and serves no more until `restart`.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.serving.take() {
            runtime.shutdown_background();
        }
    }

    /// Serves again, or anew, in the same world.
    ///
    /// # Errors
    /// Those of the system.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop();
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(&self.socket)?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let service = Service(Arc::clone(&self.world));
        let listener = {
            let _context = runtime.enter();
            UnixListenerStream::new(UnixListener::from_std(listener)?)
        };
        runtime.spawn(
            Server::builder().add_service(RuntimeServiceServer::new(service)).serve_with_incoming(listener),
        );
        self.serving = Some(runtime);
        Ok(())
    }

    /// How all calls are answered from now on.
    pub fn behave(&self, manner: Manner) {
        let mut world = self.world();
        world.manners.clear();
        world.manner = manner;
    }

    /// How calls of one method, such as "ContainerStatus", are answered from now on.
    pub fn behave_in(&self, method: &'static str, manner: Manner) {
        self.world().manners.insert(method, manner);
    }

    /// Adds a sandbox to the world.
    pub fn add_sandbox(&self, sandbox: Sandbox) {
        self.world().sandboxes.push(sandbox);
    }

    /// Adds a container to the world.
    pub fn add(&self, container: FakeContainer) {
        self.world().containers.push(container);
    }

    /// The calls so far: method, and the id asked for.
    pub fn calls(&self) -> Vec<(&'static str, String)> {
        self.world().calls.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

impl Drop for FakeRuntime {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug)]
struct Service(Arc<Mutex<World>>);

impl Service {
    /// Notes the call and behaves as the test has set.
    async fn admit(&self, method: &'static str, id: &str) -> Result<(), Status> {
        let manner = {
            let mut world = lock(&self.0);
            world.calls.push((method, id.to_owned()));
            world.manners.get(method).unwrap_or(&world.manner).clone()
        };
        match manner {
            Manner::Normal => Ok(()),
            Manner::Slow(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Manner::Hang => std::future::pending().await,
            Manner::Fail(code, message) => Err(Status::new(code, message)),
        }
    }
}

fn info(json: &str) -> BTreeMap<String, String> {
    let json = Some(json).filter(|json| !json.is_empty());
    json.map(|json| ("info".to_owned(), json.to_owned())).into_iter().collect()
}

impl From<&Sandbox> for PodSandbox {
    fn from(it: &Sandbox) -> Self {
        let metadata = PodSandboxMetadata {
            name: it.name.clone(),
            uid: it.uid.clone(),
            namespace: it.namespace.clone(),
        };
        let state = if it.ended { PodSandboxState::SandboxNotready } else { PodSandboxState::SandboxReady };
        Self {
            id: it.id.clone(),
            metadata: Some(metadata),
            state: state.into(),
            created_at: 1_000_000_000,
            labels: it.labels.clone(),
            annotations: it.annotations.clone(),
        }
    }
}

#[tonic::async_trait]
impl RuntimeService for Service {
    async fn version(&self, _: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        self.admit("Version", "").await?;
        Ok(Response::new(VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "containerd".to_owned(),
            runtime_version: "v9.9.9".to_owned(),
            runtime_api_version: "v1".to_owned(),
        }))
    }

    async fn list_pod_sandbox(
        &self,
        _: Request<ListPodSandboxRequest>,
    ) -> Result<Response<ListPodSandboxResponse>, Status> {
        self.admit("ListPodSandbox", "").await?;
        let items = lock(&self.0).sandboxes.iter().map(PodSandbox::from).collect();
        Ok(Response::new(ListPodSandboxResponse { items }))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<PodSandboxStatusRequest>,
    ) -> Result<Response<PodSandboxStatusResponse>, Status> {
        let request = request.into_inner();
        self.admit("PodSandboxStatus", &request.pod_sandbox_id).await?;
        let world = lock(&self.0);
        let sandbox = world.sandboxes.iter().find(|it| it.id.starts_with(&request.pod_sandbox_id));
        let sandbox = sandbox.ok_or_else(|| Status::not_found("no such sandbox"))?;
        let listed = PodSandbox::from(sandbox);
        let status = PodSandboxStatus {
            id: listed.id,
            metadata: listed.metadata,
            state: listed.state,
            created_at: listed.created_at,
            labels: listed.labels,
            annotations: listed.annotations,
        };
        let info = if request.verbose { info(&sandbox.info) } else { BTreeMap::new() };
        Ok(Response::new(PodSandboxStatusResponse { status: Some(status), info }))
    }

    async fn list_containers(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Result<Response<ListContainersResponse>, Status> {
        let filter = request.into_inner().filter.unwrap_or_default();
        self.admit("ListContainers", &filter.id).await?;
        let world = lock(&self.0);
        let wanted = world.containers.iter().filter(|it| it.id.starts_with(&filter.id));
        let containers = wanted.map(|it| Container {
            id: it.id.clone(),
            pod_sandbox_id: it.sandbox_id.clone(),
            metadata: Some(ContainerMetadata { name: it.name.clone() }),
            image: Some(ImageSpec { image: "sha256:1234".to_owned() }),
            image_ref: "sha256:1234".to_owned(),
            state: it.state.into(),
            created_at: 1_000_000_000,
            labels: it.labels.clone(),
        });
        Ok(Response::new(ListContainersResponse { containers: containers.collect() }))
    }

    async fn container_status(
        &self,
        request: Request<ContainerStatusRequest>,
    ) -> Result<Response<ContainerStatusResponse>, Status> {
        let request = request.into_inner();
        self.admit("ContainerStatus", &request.container_id).await?;
        let world = lock(&self.0);
        let container = world.containers.iter().find(|it| it.id.starts_with(&request.container_id));
        let container = container.ok_or_else(|| Status::not_found("no such container"))?;
        let status = ContainerStatus {
            id: container.id.clone(),
            metadata: Some(ContainerMetadata { name: container.name.clone() }),
            state: container.state.into(),
            created_at: 1_000_000_000,
            started_at: if container.state == ContainerState::ContainerCreated { 0 } else { 2_000_000_000 },
            image: Some(ImageSpec { image: "registry.test/app:1".to_owned() }),
            image_ref: "registry.test/app@sha256:1234".to_owned(),
            labels: container.labels.clone(),
        };
        let info = if request.verbose { info(&container.info) } else { BTreeMap::new() };
        Ok(Response::new(ContainerStatusResponse { status: Some(status), info }))
    }
}
