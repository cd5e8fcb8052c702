//! Generated server and client over a real connection.

use std::pin::Pin;

use tetragon_api::EncodedEvent;
use tetragon_api::tetragon::agent_status_server::{AgentStatus, AgentStatusServer};
use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::fine_guidance_sensors_server::{FineGuidanceSensors, FineGuidanceSensorsServer};
use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::*;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// Serves two events that it has only as bytes.
struct Node(EncodedEvent);

macro_rules! unimplemented_methods {
    ($($method:ident: $request:ident => $response:ident,)*) => {
        #[tonic::async_trait]
        impl FineGuidanceSensors for Node {
            type GetEventsStream = Pin<Box<dyn Stream<Item = Result<EncodedEvent, Status>> + Send>>;

            async fn get_events(
                &self,
                _: Request<GetEventsRequest>,
            ) -> Result<Response<Self::GetEventsStream>, Status> {
                let events = [Ok(self.0.clone()), Ok(self.0.clone())];
                Ok(Response::new(Box::pin(tokio_stream::iter(events))))
            }

            async fn get_version(
                &self,
                _: Request<GetVersionRequest>,
            ) -> Result<Response<GetVersionResponse>, Status> {
                Ok(Response::new(GetVersionResponse { version: "v1".to_owned() }))
            }

            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::unimplemented("not part of this test"))
            })*
        }
    };
}

unimplemented_methods! {
    get_health: GetHealthStatusRequest => GetHealthStatusResponse,
    add_tracing_policy: AddTracingPolicyRequest => AddTracingPolicyResponse,
    delete_tracing_policy: DeleteTracingPolicyRequest => DeleteTracingPolicyResponse,
    list_tracing_policies: ListTracingPoliciesRequest => ListTracingPoliciesResponse,
    configure_tracing_policy: ConfigureTracingPolicyRequest => ConfigureTracingPolicyResponse,
    enable_tracing_policy: EnableTracingPolicyRequest => EnableTracingPolicyResponse,
    disable_tracing_policy: DisableTracingPolicyRequest => DisableTracingPolicyResponse,
    list_sensors: ListSensorsRequest => ListSensorsResponse,
    enable_sensor: EnableSensorRequest => EnableSensorResponse,
    disable_sensor: DisableSensorRequest => DisableSensorResponse,
    remove_sensor: RemoveSensorRequest => RemoveSensorResponse,
    list_domains: ListDomainsRequest => ListDomainsResponse,
    get_info: GetInfoRequest => GetInfoResponse,
    runtime_hook: RuntimeHookRequest => RuntimeHookResponse,
    get_debug: GetDebugRequest => GetDebugResponse,
    set_debug: SetDebugRequest => SetDebugResponse,
    get_stack_trace_tree: GetStackTraceTreeRequest => GetStackTraceTreeResponse,
}

#[tonic::async_trait]
impl AgentStatus for Node {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse::default()))
    }
}

#[tokio::test]
async fn encoded_events_arrive_as_events() {
    let process = Process { binary: "/usr/bin/ls".to_owned(), pid: Some(0), ..Default::default() };
    let event = GetEventsResponse {
        event: Some(Event::ProcessExec(ProcessExec { process: Some(process), ..Default::default() })),
        node_name: "node1".to_owned(),
        ..Default::default()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(FineGuidanceSensorsServer::new(Node((&event).into())))
        .add_service(AgentStatusServer::new(Node((&event).into())))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let server = tokio::spawn(server);

    let mut client = FineGuidanceSensorsClient::connect(format!("http://{address}")).await.unwrap();
    assert_eq!(client.get_version(GetVersionRequest {}).await.unwrap().into_inner().version, "v1");
    let stream = client.get_events(GetEventsRequest::default()).await.unwrap().into_inner();
    let received: Vec<_> = stream.map(Result::unwrap).collect().await;
    assert_eq!(received, [event.clone(), event]);
    server.abort();
}

#[test]
fn services_have_the_names_of_the_contract() {
    assert_eq!(fine_guidance_sensors_server::SERVICE_NAME, "tetragon.FineGuidanceSensors");
    assert_eq!(event_log_service_server::SERVICE_NAME, "tetragon.EventLogService");
}
