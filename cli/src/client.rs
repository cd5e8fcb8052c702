//! Calling the agent: where it is, how to get there, and what to do when it does not answer.

mod address;
mod backoff;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use hyper_util::rt::TokioIo;
use tetragon_api::tetragon::agent_identity_client::AgentIdentityClient;
use tetragon_api::tetragon::agent_status_client::AgentStatusClient;
use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::service_fn;

use self::address::{Address, Target};
use crate::cli::Global;

/// Where the agent says how it is reached.
const INFO_FILE: &str = "/var/run/tetragon/tetragon-info.json";

/// A connection to the agent, made when the first call needs it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    global: Global,
    address: Address,
    channel: Channel,
}

impl Client {
    /// Finds the agent's address. Must be called in a Tokio runtime. Nothing is connected yet.
    ///
    /// # Errors
    /// When the address is malformed, or the agent running here has no server.
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let address = Address::find(&global.server_address, INFO_FILE.as_ref())?;
        global.debug(|| format!("agent at {address}"));
        let target = address.target.clone();
        // The URI only fills in the authority of the requests; the connector knows the way.
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(service_fn(move |_| {
                let target = target.clone();
                async move { connect(&target).await }
            }));
        Ok(Self { global: global.clone(), address, channel })
    }

    /// The agent's main service.
    pub(crate) fn sensors(&self) -> FineGuidanceSensorsClient<Channel> {
        FineGuidanceSensorsClient::new(self.channel.clone())
            .max_decoding_message_size(self.global.max_recv_size)
    }

    /// What the agent knows about itself.
    pub(crate) fn agent_status(&self) -> AgentStatusClient<Channel> {
        AgentStatusClient::new(self.channel.clone()).max_decoding_message_size(self.global.max_recv_size)
    }

    /// What the agent knows about containers.
    pub(crate) fn identity(&self) -> AgentIdentityClient<Channel> {
        AgentIdentityClient::new(self.channel.clone()).max_decoding_message_size(self.global.max_recv_size)
    }

    /// A call with one answer: limited by `--timeout` in all, retried as `--retries` says.
    ///
    /// # Errors
    /// The agent's answer, or that there was none in time.
    pub(crate) async fn unary<T>(&self, call: impl AsyncFn() -> Result<T, Status>) -> Result<T, Status> {
        let limit = self.global.timeout;
        let answer = tokio::time::timeout(limit, self.with_retries(call)).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("no answer within {limit:?}"))))
    }

    /// A call without a time limit, retried as `--retries` says.
    ///
    /// # Errors
    /// The agent's answer, or that it cannot be reached.
    pub(crate) async fn with_retries<T>(
        &self,
        call: impl AsyncFn() -> Result<T, Status>,
    ) -> Result<T, Status> {
        let mut delays = backoff::delays();
        let mut left = self.global.retries;
        loop {
            match call().await {
                Err(status) if status.code() == Code::Unavailable && left > 0 => {
                    left -= 1;
                    let delay = delays.next().unwrap_or(Duration::ZERO);
                    self.global.debug(|| format!("{}; next attempt in {delay:.1?}", self.explain(&status)));
                    tokio::time::sleep(delay).await;
                }
                answer => return answer,
            }
        }
    }

    /// A failed call in words, with the remedy where there is one.
    pub(crate) fn explain(&self, status: &Status) -> anyhow::Error {
        let address = &self.address;
        match (status.code(), root_cause(status)) {
            (Code::Unavailable, Some(cause)) => {
                anyhow!(
                    "cannot reach the agent at {address}: {cause}; is it running? (--server-address names another)"
                )
            }
            (Code::DeadlineExceeded, _) => {
                anyhow!("{} from the agent at {address} (--timeout allows more)", status.message())
            }
            (Code::OutOfRange, _) => anyhow!("{} (--max-recv-size allows more)", status.message()),
            (code, _) => anyhow!("{} ({code:?})", status.message()),
        }
    }
}

/// What the transport failed of; `None` when the agent itself answered.
fn root_cause(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

/// A byte stream to the agent.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(target: &Target) -> std::io::Result<TokioIo<Box<dyn Stream>>> {
    let stream: Box<dyn Stream> = match target {
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Target::Tcp(host, port) => {
            let stream = match host.as_str() {
                // By definition these; a bare root file system has no file that says so.
                "localhost" => {
                    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                    TcpStream::connect(&loopback.map(|ip| SocketAddr::new(ip, *port))[..]).await?
                }
                host => TcpStream::connect((host, *port)).await?,
            };
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    };
    Ok(TokioIo::new(stream))
}

/// Turns the outcome of a call into a result with a message.
pub(crate) trait Explain<T> {
    /// Names what was attempted; the rest is told by the client.
    fn or_explain(self, client: &Client, what: &str) -> Result<T>;
}

impl<T> Explain<T> for Result<T, Status> {
    fn or_explain(self, client: &Client, what: &str) -> Result<T> {
        self.map_err(|status| client.explain(&status)).with_context(|| what.to_owned())
    }
}
