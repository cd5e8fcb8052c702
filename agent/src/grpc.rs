//! The gRPC services: the reference's own, our status, health.

mod events;
mod identity;
mod policies;
mod sensors;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tetragon_api::tetragon::agent_identity_server::AgentIdentityServer;
use tetragon_api::tetragon::agent_status_server::AgentStatusServer;
use tetragon_api::tetragon::fine_guidance_sensors_server::FineGuidanceSensorsServer;
use tetragon_filters::Options;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tracing::info;

use crate::config::Config;
use crate::cri::Resolver;
use crate::fanout::Fanout;
use crate::identity::{Journal, Store};
use crate::kernel::features::Feature;
use crate::kernel::ledger::KernelLedger;
use crate::kernel::rings::RingGauge;
use crate::kernel::sensor::Attached;
use crate::listen::Listener;
use crate::logging::LevelHandle;
use crate::policies::Manager;
use crate::stats::Stats;

pub use status::VERSION;

/// Largest request that is read, bytes. Policies are the largest requests.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// What exists only once the sensors are loaded.
pub struct KernelView {
    /// Counters of the programs.
    pub ledger: Arc<KernelLedger>,
    /// The programs.
    pub attached: Arc<Vec<Attached>>,
    /// How full the rings are: lifecycle, events.
    pub rings: [RingGauge; 2],
    /// What the kernel can do.
    pub features: Vec<Feature>,
}

/// What the services answer from.
pub struct Context {
    /// Where events come from.
    pub fanout: Arc<Fanout>,
    /// Whose processes are.
    pub store: Arc<Store>,
    /// Which policies there are.
    pub policies: Arc<Manager>,
    /// Keeps what hooks tell; none if it could not be opened.
    pub journal: Option<Journal>,
    /// Asks the container runtime; none unless the settings want it.
    pub resolver: Option<Resolver>,
    /// Figures of the pipeline.
    pub stats: Arc<Stats>,
    /// The kernel side.
    pub kernel: KernelView,
    /// Settings as they are in force.
    pub config: Arc<Config>,
    /// The log's level.
    pub log_level: LevelHandle,
    /// When the agent started.
    pub started: SystemTime,
    /// False once the pipeline has ended.
    pub pipeline_alive: Arc<AtomicBool>,
}

impl Context {
    fn filter_options(&self) -> Options {
        Options { process_credentials: self.config.enable_process_cred, pid_set: true }
    }

    /// Whether events flow.
    pub fn is_healthy(&self) -> bool {
        self.pipeline_alive.load(Relaxed)
    }
}

/// Serves until `stop` becomes true; streams end when the fan-out has closed.
pub async fn serve(
    listener: Listener,
    context: Arc<Context>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let address = listener.address();
    let sensors = FineGuidanceSensorsServer::new(sensors::Sensors::new(Arc::clone(&context)))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let identity = AgentIdentityServer::new(identity::Containers::new(Arc::clone(&context)));
    let status = AgentStatusServer::new(status::Status::new(context));
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", ServingStatus::Serving).await;
    info!(%address, "gRPC server listens");
    Server::builder()
        .add_service(sensors)
        .add_service(status)
        .add_service(identity)
        .add_service(health)
        .serve_with_incoming_shutdown(listener.incoming()?, async move {
            // An error means that the sender is gone, which is a stop as well.
            let _ = stop.wait_for(|stopped| *stopped).await;
        })
        .await?;
    Ok(())
}

/// The health server on its own port: `liveness` and the empty name follow the self-check.
pub async fn serve_health(
    listener: Listener,
    context: Arc<Context>,
    interval: Duration,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let address = listener.address();
    let (reporter, health) = tonic_health::server::health_reporter();
    let checks = reporter.clone();
    let mut stopping = stop.clone();
    tokio::spawn(async move {
        loop {
            let status =
                if context.is_healthy() { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in ["", "liveness"] {
                checks.set_service_status(service, status).await;
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                _ = stopping.wait_for(|stopped| *stopped) => break,
            }
        }
        for service in ["", "liveness"] {
            checks.set_service_status(service, ServingStatus::NotServing).await;
        }
    });
    info!(%address, "health server listens");
    Server::builder()
        .add_service(health)
        .serve_with_incoming_shutdown(listener.incoming()?, async move {
            let _ = stop.wait_for(|stopped| *stopped).await;
        })
        .await?;
    Ok(())
}
