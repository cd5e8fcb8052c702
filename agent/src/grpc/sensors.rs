//! `FineGuidanceSensors`: the reference's service.

use std::sync::Arc;

use tetragon_api::EncodedEvent;
use tetragon_api::tetragon::fine_guidance_sensors_server::FineGuidanceSensors;
use tetragon_api::tetragon::*;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::info;

use super::{Context, VERSION, events, identity, policies, status};
use crate::logging::Level;
use crate::policies::Manager;

pub(super) struct Sensors(Arc<Context>);

impl Sensors {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Does what takes the kernel a while on a thread that may wait.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Manager) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let policies = Arc::clone(&self.0.policies);
        let done = tokio::task::spawn_blocking(move || change(&policies)).await;
        done.map_err(|error| Status::internal(error.to_string()))?.map(Response::new)
    }
}

fn deprecated<T>(method: &str) -> Result<Response<T>, Status> {
    Err(Status::unknown(format!("{method} is deprecated")))
}

#[tonic::async_trait]
impl FineGuidanceSensors for Sensors {
    type GetEventsStream = ReceiverStream<Result<EncodedEvent, Status>>;

    async fn get_events(
        &self,
        request: Request<GetEventsRequest>,
    ) -> Result<Response<Self::GetEventsStream>, Status> {
        events::stream(&self.0, request.get_ref()).map(Response::new)
    }

    async fn get_health(
        &self,
        _: Request<GetHealthStatusRequest>,
    ) -> Result<Response<GetHealthStatusResponse>, Status> {
        let (status, details) = if self.0.is_healthy() {
            (HealthStatusResult::HealthStatusRunning, "running")
        } else {
            (HealthStatusResult::HealthStatusError, "the event pipeline has ended")
        };
        Ok(Response::new(GetHealthStatusResponse {
            health_status: vec![HealthStatus {
                event: HealthStatusType::Status.into(),
                status: status.into(),
                details: details.to_owned(),
            }],
        }))
    }

    async fn get_version(
        &self,
        _: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        Ok(Response::new(GetVersionResponse { version: VERSION.to_owned() }))
    }

    async fn get_info(&self, _: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let probes = status::features(&self.0.kernel)
            .into_iter()
            .map(|feature| get_info_response::Probe { name: feature.name, enabled: Some(feature.enabled) })
            .collect();
        Ok(Response::new(GetInfoResponse {
            version: VERSION.to_owned(),
            name: env!("CARGO_PKG_NAME").to_owned(),
            probes,
            ..GetInfoResponse::default()
        }))
    }

    async fn get_debug(
        &self,
        request: Request<GetDebugRequest>,
    ) -> Result<Response<GetDebugResponse>, Status> {
        let flag = request.get_ref().flag;
        if flag != i32::from(ConfigFlag::LogLevel) {
            return Err(Status::unknown(format!("client requested unknown config flag {flag}")));
        }
        let level = wire_level(self.0.log_level.get());
        Ok(Response::new(GetDebugResponse { flag, arg: Some(get_debug_response::Arg::Level(level.into())) }))
    }

    async fn set_debug(
        &self,
        request: Request<SetDebugRequest>,
    ) -> Result<Response<SetDebugResponse>, Status> {
        let SetDebugRequest { flag, arg } = request.into_inner();
        if flag != i32::from(ConfigFlag::LogLevel) {
            return Err(Status::unknown(format!("client requested change of unknown config flag {flag}")));
        }
        // A missing oneof reads as its first value.
        let number = arg.map_or(0, |set_debug_request::Arg::Level(number)| number);
        let level = LogLevel::try_from(number).map_err(|_| {
            Status::invalid_argument(format!("{number} is not a log level (0 panic to 6 trace)"))
        })?;
        let level = own_level(level);
        info!(%level, "log level set by a client");
        self.0.log_level.set(level);
        Ok(Response::new(SetDebugResponse { flag, arg: Some(set_debug_response::Arg::Level(number)) }))
    }

    async fn list_tracing_policies(
        &self,
        request: Request<ListTracingPoliciesRequest>,
    ) -> Result<Response<ListTracingPoliciesResponse>, Status> {
        self.change(move |policies| Ok(policies::list(policies, request.get_ref()))).await
    }

    async fn list_domains(
        &self,
        _: Request<ListDomainsRequest>,
    ) -> Result<Response<ListDomainsResponse>, Status> {
        Ok(Response::new(policies::domains(&self.0.policies)))
    }

    async fn add_tracing_policy(
        &self,
        request: Request<AddTracingPolicyRequest>,
    ) -> Result<Response<AddTracingPolicyResponse>, Status> {
        let request = request.into_inner();
        self.change(move |policies| policies::add(policies, &request)).await
    }

    async fn delete_tracing_policy(
        &self,
        request: Request<DeleteTracingPolicyRequest>,
    ) -> Result<Response<DeleteTracingPolicyResponse>, Status> {
        let request = request.into_inner();
        self.change(move |policies| policies::delete(policies, request)).await
    }

    async fn configure_tracing_policy(
        &self,
        request: Request<ConfigureTracingPolicyRequest>,
    ) -> Result<Response<ConfigureTracingPolicyResponse>, Status> {
        let request = request.into_inner();
        self.change(move |policies| policies::configure(policies, request)).await
    }

    async fn enable_tracing_policy(
        &self,
        request: Request<EnableTracingPolicyRequest>,
    ) -> Result<Response<EnableTracingPolicyResponse>, Status> {
        let request = request.into_inner();
        self.change(move |policies| policies::enable(policies, request)).await
    }

    async fn disable_tracing_policy(
        &self,
        request: Request<DisableTracingPolicyRequest>,
    ) -> Result<Response<DisableTracingPolicyResponse>, Status> {
        let request = request.into_inner();
        self.change(move |policies| policies::disable(policies, request)).await
    }

    async fn list_sensors(
        &self,
        _: Request<ListSensorsRequest>,
    ) -> Result<Response<ListSensorsResponse>, Status> {
        Ok(Response::new(policies::sensors(&self.0.policies)))
    }

    async fn enable_sensor(
        &self,
        _: Request<EnableSensorRequest>,
    ) -> Result<Response<EnableSensorResponse>, Status> {
        deprecated("EnableSensor")
    }

    async fn disable_sensor(
        &self,
        _: Request<DisableSensorRequest>,
    ) -> Result<Response<DisableSensorResponse>, Status> {
        deprecated("DisableSensor")
    }

    async fn remove_sensor(
        &self,
        _: Request<RemoveSensorRequest>,
    ) -> Result<Response<RemoveSensorResponse>, Status> {
        deprecated("RemoveSensor")
    }

    async fn runtime_hook(
        &self,
        request: Request<RuntimeHookRequest>,
    ) -> Result<Response<RuntimeHookResponse>, Status> {
        identity::runtime_hook(&self.0, request.into_inner()).map(Response::new)
    }

    async fn get_stack_trace_tree(
        &self,
        _: Request<GetStackTraceTreeRequest>,
    ) -> Result<Response<GetStackTraceTreeResponse>, Status> {
        Err(Status::unknown("Unsupported GetStackTraceTree"))
    }
}

fn wire_level(level: Level) -> LogLevel {
    match level {
        Level::Panic => LogLevel::Panic,
        Level::Fatal => LogLevel::Fatal,
        Level::Error => LogLevel::Error,
        Level::Warning => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace => LogLevel::Trace,
    }
}

fn own_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Panic => Level::Panic,
        LogLevel::Fatal => Level::Fatal,
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warning,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
        LogLevel::Trace => Level::Trace,
    }
}
