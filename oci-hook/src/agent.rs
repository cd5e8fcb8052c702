//! Calls to the agent: one connection, one call, one limit of time for both.

use std::time::{Duration, Instant};

use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::{GetVersionRequest, RuntimeHookRequest, RuntimeHookResponse};
use tokio::runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::failure::{Failure, root_cause};

/// Where the agent is, and how long a call may take in all.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) address: String,
    pub(crate) limit: Duration,
}

type Client = FineGuidanceSensorsClient<Channel>;

impl Agent {
    /// # Errors
    /// The agent cannot be reached, does not answer in time, or answers with an error.
    pub(crate) fn runtime_hook(
        &self,
        request: RuntimeHookRequest,
        deadline: Instant,
    ) -> Result<RuntimeHookResponse, Failure> {
        self.call(deadline, async |client: &mut Client| {
            client.runtime_hook(request).await.map(tonic::Response::into_inner)
        })
    }

    /// # Errors
    /// As of [`Self::runtime_hook`].
    pub(crate) fn version(&self) -> Result<String, Failure> {
        self.call(self.deadline(), async |client: &mut Client| {
            client.get_version(GetVersionRequest {}).await.map(|it| it.into_inner().version)
        })
    }

    /// The end of a call that begins now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    fn call<T>(
        &self,
        deadline: Instant,
        call: impl AsyncFnOnce(&mut Client) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        let endpoint = self.endpoint()?;
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|error| {
            Failure::new(format!("no connection can be made: {error}"), "check the limits of the runtime")
        })?;
        runtime.block_on(async {
            let attempt = async {
                let channel =
                    endpoint.connect().await.map_err(|error| self.unreachable(&root_cause(&error)))?;
                call(&mut Client::new(channel)).await.map_err(|status| self.refused(&status))
            };
            tokio::time::timeout_at(deadline.into(), attempt).await.unwrap_or_else(|_| Err(self.late()))
        })
    }

    fn endpoint(&self) -> Result<Endpoint, Failure> {
        let uri = match self.address.strip_prefix("unix:") {
            // Both unix:///path and unix:/path.
            Some(path) => format!("unix:{}", path.strip_prefix("//").unwrap_or(path)),
            None => format!("http://{}", self.address),
        };
        Endpoint::from_shared(uri).map_err(|error| {
            Failure::new(
                format!("--grpc-address {:?} is no address: {}", self.address, root_cause(&error)),
                "give unix:///path/to/socket or host:port",
            )
        })
    }

    fn unreachable(&self, cause: &str) -> Failure {
        Failure::passing(
            format!("no agent can be reached at {}: {cause}", self.address),
            "start the agent on this node (see its DaemonSet), or correct --grpc-address",
        )
    }

    fn late(&self) -> Failure {
        Failure::new(
            format!("the agent at {} did not answer within {:?}", self.address, self.limit),
            "look at the agent's log on this node; --grpc-timeout allows more",
        )
    }

    fn refused(&self, status: &Status) -> Failure {
        let (code, message) = (status.code(), status.message());
        let address = &self.address;
        match code {
            Code::Unavailable => Failure::passing(
                format!("the agent at {address} is not ready: {message}"),
                "wait until the agent on this node is ready",
            ),
            Code::Unimplemented => Failure::new(
                format!("what answers at {address} is no agent that knows runtime hooks: {message}"),
                "correct --grpc-address, or bring agent and hook to the same version",
            ),
            code => Failure::new(
                format!("the agent at {address} answered with an error: {message} ({code:?})"),
                "look at the agent's log on this node",
            ),
        }
    }
}
