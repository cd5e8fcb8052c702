//! An agent that answers over a real connection: the generated services, with answers that a test sets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tetragon_api::EncodedEvent;
use tetragon_api::tetragon::agent_identity_server::{AgentIdentity, AgentIdentityServer};
use tetragon_api::tetragon::agent_status_server::{AgentStatus, AgentStatusServer};
use tetragon_api::tetragon::fine_guidance_sensors_server::{FineGuidanceSensors, FineGuidanceSensorsServer};
use tetragon_api::tetragon::{
    self as wire, GetDebugResponse, GetEventsRequest, GetEventsResponse, GetHealthStatusResponse,
    GetStatusRequest, GetStatusResponse, GetVersionResponse, HealthStatus, KnownContainer,
    ListContainersRequest, ListContainersResponse, LogLevel, RuntimeHookRequest, RuntimeHookResponse,
    SetDebugResponse, TracingPolicyStatus, get_debug_response, set_debug_request, set_debug_response,
};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What one `GetEvents` call is answered with.
pub(crate) struct Script {
    pub(crate) events: Vec<GetEventsResponse>,
    /// After these events: end the stream, fail it, or leave it open.
    pub(crate) end: End,
}

#[derive(Clone, Copy)]
pub(crate) enum End {
    Orderly,
    Failure,
    Never,
}

#[derive(Default)]
struct State {
    /// Calls to refuse as UNAVAILABLE before answering.
    refusals: u32,
    never_answer: bool,
    scripts: VecDeque<Script>,
    requests: Vec<GetEventsRequest>,
    status: Option<GetStatusResponse>,
    containers: Vec<KnownContainer>,
    lists: Vec<ListContainersRequest>,
    hooks: Vec<RuntimeHookRequest>,
    hook_answer: Option<Result<RuntimeHookResponse, Status>>,
    policies: Vec<TracingPolicyStatus>,
    policy_calls: Vec<[String; 3]>,
}

/// A running agent; it ends when dropped.
pub(crate) struct Agent {
    _runtime: Runtime,
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl Agent {
    pub(crate) fn on_tcp() -> Self {
        let (runtime, state) = (Runtime::new().expect("runtime"), Arc::default());
        let address: SocketAddr = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
            let address = listener.local_addr().expect("address");
            let server = Server::builder().add_routes(routes(&state));
            tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
            address
        });
        Self { _runtime: runtime, address: address.to_string(), state }
    }

    pub(crate) fn on_unix(path: PathBuf) -> Self {
        let (runtime, state) = (Runtime::new().expect("runtime"), Arc::default());
        let address = format!("unix://{}", Path::new(&path).display());
        runtime.block_on(async {
            let listener = UnixListener::bind(path).expect("listens");
            let server = Server::builder().add_routes(routes(&state));
            tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        });
        Self { _runtime: runtime, address, state }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    pub(crate) fn refuse(&self, calls: u32) {
        self.state().refusals = calls;
    }

    pub(crate) fn never_answer(&self) {
        self.state().never_answer = true;
    }

    pub(crate) fn script(&self, events: Vec<GetEventsResponse>, end: End) {
        self.state().scripts.push_back(Script { events, end });
    }

    pub(crate) fn has_status(&self, status: GetStatusResponse) {
        self.state().status = Some(status);
    }

    pub(crate) fn knows(&self, containers: Vec<KnownContainer>) {
        self.state().containers = containers;
    }

    pub(crate) fn answers_hooks_with(&self, answer: Result<RuntimeHookResponse, Status>) {
        self.state().hook_answer = Some(answer);
    }

    pub(crate) fn has_policies(&self, policies: Vec<TracingPolicyStatus>) {
        self.state().policies = policies;
    }

    /// What has been asked for policies so far: what, which or its text, namespace.
    pub(crate) fn policy_calls(&self) -> Vec<[String; 3]> {
        self.state().policy_calls.clone()
    }

    /// The requests for containers so far.
    pub(crate) fn lists(&self) -> Vec<ListContainersRequest> {
        self.state().lists.clone()
    }

    /// The calls of hooks so far.
    pub(crate) fn hooks(&self) -> Vec<RuntimeHookRequest> {
        self.state().hooks.clone()
    }

    /// The requests for events so far.
    pub(crate) fn requests(&self) -> Vec<GetEventsRequest> {
        self.state().requests.clone()
    }
}

fn routes(state: &Arc<Mutex<State>>) -> Routes {
    let service = Service(Arc::clone(state));
    Routes::new(FineGuidanceSensorsServer::new(service.clone()))
        .add_service(AgentIdentityServer::new(service.clone()))
        .add_service(AgentStatusServer::new(service))
}

#[derive(Clone)]
struct Service(Arc<Mutex<State>>);

impl Service {
    /// Waits, refuses, or lets the call through, as the test has set.
    async fn admit(&self) -> Result<(), Status> {
        if self.0.lock().expect("not poisoned").never_answer {
            std::future::pending::<()>().await;
        }
        let mut state = self.0.lock().expect("not poisoned");
        if state.refusals > 0 {
            state.refusals -= 1;
            return Err(Status::unavailable("not yet"));
        }
        Ok(())
    }

    async fn get_events(&self, request: GetEventsRequest) -> Result<EventStream, Status> {
        self.admit().await?;
        let mut state = self.0.lock().expect("not poisoned");
        state.requests.push(request);
        let Script { events, end } = state.scripts.pop_front().ok_or(Status::internal("no script"))?;
        let events = tokio_stream::iter(events).map(|event| Ok(EncodedEvent::from(&event)));
        Ok(match end {
            End::Orderly => Box::pin(events),
            End::Failure => Box::pin(events.chain(tokio_stream::once(Err(Status::data_loss("torn"))))),
            End::Never => Box::pin(events.chain(tokio_stream::pending())),
        })
    }

    async fn get_health(&self, _: wire::GetHealthStatusRequest) -> Result<GetHealthStatusResponse, Status> {
        self.admit().await?;
        let status = HealthStatus { event: 1, status: 1, details: "running".to_owned() };
        Ok(GetHealthStatusResponse { health_status: vec![status] })
    }

    async fn get_version(&self, _: wire::GetVersionRequest) -> Result<GetVersionResponse, Status> {
        self.admit().await?;
        Ok(GetVersionResponse { version: "v9.9.9".to_owned() })
    }

    async fn get_debug(&self, request: wire::GetDebugRequest) -> Result<GetDebugResponse, Status> {
        self.admit().await?;
        let arg = get_debug_response::Arg::Level(LogLevel::Warn.into());
        Ok(GetDebugResponse { flag: request.flag, arg: Some(arg) })
    }

    async fn set_debug(&self, request: wire::SetDebugRequest) -> Result<SetDebugResponse, Status> {
        self.admit().await?;
        let set_debug_request::Arg::Level(level) = request.arg.ok_or(Status::invalid_argument("no level"))?;
        Ok(SetDebugResponse { flag: request.flag, arg: Some(set_debug_response::Arg::Level(level)) })
    }

    async fn runtime_hook(&self, request: RuntimeHookRequest) -> Result<RuntimeHookResponse, Status> {
        self.admit().await?;
        let mut state = self.0.lock().expect("not poisoned");
        state.hooks.push(request);
        state.hook_answer.clone().unwrap_or_else(|| Ok(RuntimeHookResponse::default()))
    }

    /// Keeps what is asked for a policy; refuses what is about the policy `refused`.
    async fn told(&self, words: [&str; 3]) -> Result<(), Status> {
        self.admit().await?;
        self.0.lock().expect("not poisoned").policy_calls.push(words.map(str::to_owned));
        if words[1] == "refused" { Err(Status::not_found("refused does not exist")) } else { Ok(()) }
    }

    async fn add_tracing_policy(
        &self,
        request: wire::AddTracingPolicyRequest,
    ) -> Result<wire::AddTracingPolicyResponse, Status> {
        let how = if request.replace { "replace" } else { "add" };
        self.told([how, &request.yaml, &request.domain]).await?;
        Ok(wire::AddTracingPolicyResponse {})
    }

    async fn delete_tracing_policy(
        &self,
        request: wire::DeleteTracingPolicyRequest,
    ) -> Result<wire::DeleteTracingPolicyResponse, Status> {
        self.told(["delete", &request.name, &request.namespace]).await?;
        Ok(wire::DeleteTracingPolicyResponse {})
    }

    async fn enable_tracing_policy(
        &self,
        request: wire::EnableTracingPolicyRequest,
    ) -> Result<wire::EnableTracingPolicyResponse, Status> {
        self.told(["enable", &request.name, &request.namespace]).await?;
        Ok(wire::EnableTracingPolicyResponse {})
    }

    async fn disable_tracing_policy(
        &self,
        request: wire::DisableTracingPolicyRequest,
    ) -> Result<wire::DisableTracingPolicyResponse, Status> {
        self.told(["disable", &request.name, &request.namespace]).await?;
        Ok(wire::DisableTracingPolicyResponse {})
    }

    async fn list_tracing_policies(
        &self,
        _: wire::ListTracingPoliciesRequest,
    ) -> Result<wire::ListTracingPoliciesResponse, Status> {
        self.admit().await?;
        let policies = self.0.lock().expect("not poisoned").policies.clone();
        Ok(wire::ListTracingPoliciesResponse { policies })
    }

    async fn list_sensors(&self, _: wire::ListSensorsRequest) -> Result<wire::ListSensorsResponse, Status> {
        self.admit().await?;
        let sensor = |name: &str, enabled, collection: &str| wire::SensorStatus {
            name: name.to_owned(),
            enabled,
            collection: collection.to_owned(),
        };
        let sensors = vec![sensor("__base__", true, "__base__"), sensor("generic_kprobe-0", false, "shop/a")];
        Ok(wire::ListSensorsResponse { sensors })
    }
}

type EventStream = Pin<Box<dyn Stream<Item = Result<EncodedEvent, Status>> + Send>>;
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// A method of the service in its expanded form, answered by the method of [`Service`] of that name.
macro_rules! answered {
    ($($name:ident($request:ident) -> $response:ty;)*) => {
        $(fn $name<'a, 'b>(&'a self, request: Request<wire::$request>) -> Answer<'b, $response>
        where 'a: 'b, Self: 'b {
            Box::pin(async move { Service::$name(self, request.into_inner()).await.map(Response::new) })
        })*
    };
}

/// A method of the service that no test calls.
macro_rules! unused {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        $(fn $name<'a, 'b>(&'a self, _: Request<wire::$request>) -> Answer<'b, wire::$response>
        where 'a: 'b, Self: 'b {
            Box::pin(async { Err(Status::unimplemented(stringify!($name))) })
        })*
    };
}

impl FineGuidanceSensors for Service {
    type GetEventsStream = EventStream;

    answered! {
        get_events(GetEventsRequest) -> EventStream;
        get_health(GetHealthStatusRequest) -> GetHealthStatusResponse;
        get_version(GetVersionRequest) -> GetVersionResponse;
        get_debug(GetDebugRequest) -> GetDebugResponse;
        set_debug(SetDebugRequest) -> SetDebugResponse;
        runtime_hook(RuntimeHookRequest) -> RuntimeHookResponse;
        add_tracing_policy(AddTracingPolicyRequest) -> wire::AddTracingPolicyResponse;
        delete_tracing_policy(DeleteTracingPolicyRequest) -> wire::DeleteTracingPolicyResponse;
        enable_tracing_policy(EnableTracingPolicyRequest) -> wire::EnableTracingPolicyResponse;
        disable_tracing_policy(DisableTracingPolicyRequest) -> wire::DisableTracingPolicyResponse;
        list_tracing_policies(ListTracingPoliciesRequest) -> wire::ListTracingPoliciesResponse;
        list_sensors(ListSensorsRequest) -> wire::ListSensorsResponse;
    }

    unused! {
        configure_tracing_policy(ConfigureTracingPolicyRequest) -> ConfigureTracingPolicyResponse;
        enable_sensor(EnableSensorRequest) -> EnableSensorResponse;
        disable_sensor(DisableSensorRequest) -> DisableSensorResponse;
        remove_sensor(RemoveSensorRequest) -> RemoveSensorResponse;
        list_domains(ListDomainsRequest) -> ListDomainsResponse;
        get_info(GetInfoRequest) -> GetInfoResponse;
        get_stack_trace_tree(GetStackTraceTreeRequest) -> GetStackTraceTreeResponse;
    }
}

#[tonic::async_trait]
impl AgentStatus for Service {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        self.admit().await?;
        let status = self.0.lock().expect("not poisoned").status.clone();
        status.map(Response::new).ok_or(Status::unimplemented("no such service"))
    }
}

#[tonic::async_trait]
impl AgentIdentity for Service {
    async fn list_containers(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Result<Response<ListContainersResponse>, Status> {
        self.admit().await?;
        let mut state = self.0.lock().expect("not poisoned");
        let request = request.into_inner();
        let fits = |it: &&KnownContainer| it.id.starts_with(&request.container_id);
        let containers = state.containers.iter().filter(fits).cloned().collect();
        state.lists.push(request);
        Ok(Response::new(ListContainersResponse { containers }))
    }
}
