//! An agent that answers runtime hooks over a real socket, as a test tells it to.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use tetragon_api::EncodedEvent;
use tetragon_api::tetragon::fine_guidance_sensors_server::{FineGuidanceSensors, FineGuidanceSensorsServer};
use tetragon_api::tetragon::runtime_hook_request::Event;
use tetragon_api::tetragon::{
    self as wire, CreateContainer, GetVersionResponse, RuntimeHookRequest, RuntimeHookResponse,
    RuntimeHookState,
};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// How every call is answered.
#[derive(Clone, Default)]
pub(crate) enum Mood {
    #[default]
    Willing,
    /// Never.
    Silent,
    Refusing(Status),
}

#[derive(Default)]
struct State {
    mood: Mood,
    requests: Vec<RuntimeHookRequest>,
}

/// A running agent; it ends when dropped.
pub(crate) struct Agent {
    runtime: Option<Runtime>,
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl Agent {
    pub(crate) fn on_unix(path: &Path) -> Self {
        let agent = Self::new(format!("unix://{}", path.display()));
        agent.runtime().block_on(async {
            let listener = UnixListener::bind(path).expect("listens");
            tokio::spawn(agent.server().serve_with_incoming(UnixListenerStream::new(listener)));
        });
        agent
    }

    pub(crate) fn on_tcp() -> Self {
        let mut agent = Self::new(String::new());
        let address: SocketAddr = agent.runtime().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
            let address = listener.local_addr().expect("address");
            tokio::spawn(agent.server().serve_with_incoming(TcpListenerStream::new(listener)));
            address
        });
        agent.address = address.to_string();
        agent
    }

    fn new(address: String) -> Self {
        Self { runtime: Some(Runtime::new().expect("runtime")), address, state: Arc::default() }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("present until dropped")
    }

    fn server(&self) -> tonic::transport::server::Router {
        let service = FineGuidanceSensorsServer::new(Service(Arc::clone(&self.state)));
        Server::builder().add_service(service)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<RuntimeHookRequest> {
        self.state().requests.clone()
    }

    /// The only request so far.
    pub(crate) fn creation(&self) -> CreateContainer {
        match &self.requests()[..] {
            [RuntimeHookRequest { event: Some(Event::CreateContainer(creation)) }] => creation.clone(),
            other => panic!("not one creation: {other:?}"),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Arc<Mutex<State>>);

impl Service {
    async fn admit(&self) -> Result<(), Status> {
        let mood = self.0.lock().expect("not poisoned").mood.clone();
        match mood {
            Mood::Willing => Ok(()),
            Mood::Silent => std::future::pending().await,
            Mood::Refusing(status) => Err(status),
        }
    }
}

type EventStream = Pin<Box<dyn Stream<Item = Result<EncodedEvent, Status>> + Send>>;
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// Methods of the service that no hook calls.
macro_rules! unused {
    ($($name:ident($request:ident) -> $response:ty;)*) => {
        $(fn $name<'a, 'b>(&'a self, _: Request<wire::$request>) -> Answer<'b, $response>
        where 'a: 'b, Self: 'b {
            Box::pin(async { Err(Status::unimplemented(stringify!($name))) })
        })*
    };
}

impl FineGuidanceSensors for Service {
    type GetEventsStream = EventStream;

    fn runtime_hook<'a, 'b>(&'a self, request: Request<RuntimeHookRequest>) -> Answer<'b, RuntimeHookResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            self.0.lock().expect("not poisoned").requests.push(request.into_inner());
            self.admit().await?;
            Ok(Response::new(RuntimeHookResponse { state: RuntimeHookState::Known.into(), cgroup_id: 7 }))
        })
    }

    fn get_version<'a, 'b>(&'a self, _: Request<wire::GetVersionRequest>) -> Answer<'b, GetVersionResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async {
            self.admit().await?;
            Ok(Response::new(GetVersionResponse { version: "v9.9.9".to_owned() }))
        })
    }

    unused! {
        get_events(GetEventsRequest) -> EventStream;
        get_health(GetHealthStatusRequest) -> wire::GetHealthStatusResponse;
        get_debug(GetDebugRequest) -> wire::GetDebugResponse;
        set_debug(SetDebugRequest) -> wire::SetDebugResponse;
        add_tracing_policy(AddTracingPolicyRequest) -> wire::AddTracingPolicyResponse;
        delete_tracing_policy(DeleteTracingPolicyRequest) -> wire::DeleteTracingPolicyResponse;
        list_tracing_policies(ListTracingPoliciesRequest) -> wire::ListTracingPoliciesResponse;
        configure_tracing_policy(ConfigureTracingPolicyRequest) -> wire::ConfigureTracingPolicyResponse;
        enable_tracing_policy(EnableTracingPolicyRequest) -> wire::EnableTracingPolicyResponse;
        disable_tracing_policy(DisableTracingPolicyRequest) -> wire::DisableTracingPolicyResponse;
        list_sensors(ListSensorsRequest) -> wire::ListSensorsResponse;
        enable_sensor(EnableSensorRequest) -> wire::EnableSensorResponse;
        disable_sensor(DisableSensorRequest) -> wire::DisableSensorResponse;
        remove_sensor(RemoveSensorRequest) -> wire::RemoveSensorResponse;
        list_domains(ListDomainsRequest) -> wire::ListDomainsResponse;
        get_info(GetInfoRequest) -> wire::GetInfoResponse;
        get_stack_trace_tree(GetStackTraceTreeRequest) -> wire::GetStackTraceTreeResponse;
    }
}
