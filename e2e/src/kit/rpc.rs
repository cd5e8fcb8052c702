//! Calls to the agent, for tests that have no use for `async`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use tetragon_api::tetragon::agent_status_client::AgentStatusClient;
use tetragon_api::tetragon::{GetStatusRequest, GetStatusResponse};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// Runs a future to its end on this thread.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?.block_on(future)
}

/// Connects to the agent behind this unix socket.
pub async fn connect(socket: PathBuf) -> Result<Channel> {
    let shown = socket.display().to_string();
    // The address is required and not used.
    Endpoint::from_static("http://agent")
        .connect_with_connector(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .with_context(|| format!("connect to {shown}"))
}

/// What the agent knows about itself.
pub fn status(socket: &Path) -> Result<GetStatusResponse> {
    let socket = socket.to_owned();
    block_on(async {
        let mut client = AgentStatusClient::new(connect(socket).await?).max_decoding_message_size(64 << 20);
        Ok(client.get_status(GetStatusRequest {}).await.context("AgentStatus.GetStatus")?.into_inner())
    })
}
