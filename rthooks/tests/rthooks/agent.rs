//! An agent that answers hooks as a test says, over a real connection.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tetragon_api::EncodedEvent;
use tetragon_api::tetragon::fine_guidance_sensors_server::{FineGuidanceSensors, FineGuidanceSensorsServer};
use tetragon_api::tetragon::runtime_hook_request::Event;
use tetragon_api::tetragon::{
    self as wire, CreateContainer, GetVersionResponse, RuntimeHookRequest, RuntimeHookResponse,
    RuntimeHookStage, RuntimeHookState,
};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

/// What it does with hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Take,
    /// As an agent that does not get round to it.
    Hang,
    /// As an agent that is stopped: nothing at all is answered.
    HangWholly,
    Fail(Code),
}

#[derive(Default)]
struct State {
    behaviour: Option<Behaviour>,
    taken: Vec<RuntimeHookRequest>,
}

/// A running agent; when dropped it ends, and all its connections.
pub(crate) struct Agent {
    runtime: Option<Runtime>,
    state: Arc<Mutex<State>>,
}

impl Agent {
    pub(crate) fn start(path: &Path, behaviour: Behaviour) -> Self {
        let state = Arc::new(Mutex::new(State { behaviour: Some(behaviour), taken: Vec::new() }));
        let _ = std::fs::remove_file(path);
        let listener = std::os::unix::net::UnixListener::bind(path).expect("listens");
        listener.set_nonblocking(true).expect("a socket");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let routes = Routes::new(FineGuidanceSensorsServer::new(Service(Arc::clone(&state))));
        runtime.spawn(async move {
            let listener = UnixListener::from_std(listener).expect("a socket");
            Server::builder().add_routes(routes).serve_with_incoming(UnixListenerStream::new(listener)).await
        });
        Self { runtime: Some(runtime), state }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = Some(behaviour);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Stage and id of the containers it has taken, in this order.
    pub(crate) fn taken(&self) -> Vec<(RuntimeHookStage, String)> {
        let created = |it: &RuntimeHookRequest| match &it.event {
            Some(Event::CreateContainer(it)) => Some((it.stage(), it.container_id.clone())),
            _ => None,
        };
        self.state().taken.iter().filter_map(created).collect()
    }

    /// The last that it was told of a container at a stage.
    pub(crate) fn told(&self, stage: RuntimeHookStage, id: &str) -> Option<CreateContainer> {
        self.state().taken.iter().rev().find_map(|it| match &it.event {
            Some(Event::CreateContainer(it)) if it.stage() == stage && it.container_id == id => {
                Some(it.clone())
            }
            _ => None,
        })
    }

    pub(crate) fn removed(&self) -> Vec<String> {
        let removed = |it: &RuntimeHookRequest| match &it.event {
            Some(Event::RemoveContainer(it)) => Some(it.container_id.clone()),
            _ => None,
        };
        self.state().taken.iter().filter_map(removed).collect()
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
    fn behaviour(&self) -> Behaviour {
        self.0.lock().expect("not poisoned").behaviour.expect("set")
    }

    /// Like a stopped process: what was asked meanwhile is answered once it goes on.
    async fn while_stopped(&self, stopped: impl Fn(Behaviour) -> bool) {
        while stopped(self.behaviour()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn hook(&self, request: RuntimeHookRequest) -> Result<RuntimeHookResponse, Status> {
        self.while_stopped(|it| matches!(it, Behaviour::Hang | Behaviour::HangWholly)).await;
        if let Behaviour::Fail(code) = self.behaviour() {
            return Err(Status::new(code, "as the test wants"));
        }
        self.0.lock().expect("not poisoned").taken.push(request);
        Ok(RuntimeHookResponse { state: RuntimeHookState::Known.into(), cgroup_id: 7 })
    }
}

type EventStream = Pin<Box<dyn Stream<Item = Result<EncodedEvent, Status>> + Send>>;
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// Methods of the service that hooks do not call, in their expanded form.
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

    fn get_version<'a, 'b>(&'a self, _: Request<wire::GetVersionRequest>) -> Answer<'b, GetVersionResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async {
            self.while_stopped(|it| it == Behaviour::HangWholly).await;
            Ok(Response::new(GetVersionResponse { version: "v0".to_owned() }))
        })
    }

    fn runtime_hook<'a, 'b>(&'a self, request: Request<RuntimeHookRequest>) -> Answer<'b, RuntimeHookResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async { self.hook(request.into_inner()).await.map(Response::new) })
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
