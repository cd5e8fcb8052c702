//! What can be wrong with an agent, and what then is behind its socket.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::task::{self, Poll};

use anyhow::{Context, Result};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Status};

/// What is wrong with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Killed; its socket is gone.
    Absent,
    /// Stopped by a signal.
    Stopped,
    /// Its socket takes connections, and nothing is ever answered.
    Hanging,
    /// It answers other calls, and hooks never.
    HangingInHooks,
    /// It answers with an error.
    Answering(Code),
}

/// What an agent that fails says.
const EXCUSE: &str = "as the test wants";

impl Trouble {
    pub(super) const ALL: [Self; 6] = [
        Self::Absent,
        Self::Stopped,
        Self::Hanging,
        Self::HangingInHooks,
        Self::Answering(Code::Internal),
        Self::Answering(Code::Unavailable),
    ];

    /// How the plugin tells it to people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Absent => "nothing answers at",
            Self::Stopped | Self::Hanging | Self::HangingInHooks => "did not answer within",
            Self::Answering(_) => EXCUSE,
        }
    }

    /// How the OCI hook tells it.
    pub(super) fn words_of_the_hook(self) -> &'static str {
        match self {
            Self::Absent => "no agent can be reached at",
            _ => self.words(),
        }
    }
}

/// What is behind the socket instead of an agent; dropped, it ends with all connections.
pub(super) struct Substitute(Option<Runtime>);

impl Substitute {
    /// Takes the agent's place, if there is to be something.
    pub(super) fn begin(trouble: Trouble, socket: &Path) -> Result<Option<Self>> {
        if matches!(trouble, Trouble::Absent | Trouble::Stopped) {
            return Ok(None);
        }
        let listener = StdListener::bind(socket).context("listen in the agent's place")?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::from_std(listener)?
        };
        match trouble {
            Trouble::Hanging => drop(runtime.spawn(hold(listener))),
            _ => {
                let routes = Routes::new(Failing(trouble));
                drop(
                    runtime.spawn(
                        Server::builder()
                            .add_routes(routes)
                            .serve_with_incoming(UnixListenerStream::new(listener)),
                    ),
                );
            }
        }
        Ok(Some(Self(Some(runtime))))
    }
}

impl Drop for Substitute {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Takes all connections, and leaves it at that.
async fn hold(listener: UnixListener) {
    let mut held = Vec::new();
    while let Ok((connection, _)) = listener.accept().await {
        held.push(connection);
    }
}

/// A gRPC service that fails in every call.
#[derive(Clone)]
struct Failing(Trouble);

impl NamedService for Failing {
    const NAME: &'static str = "tetragon.FineGuidanceSensors";
}

impl Service<http::Request<Body>> for Failing {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let code = match self.0 {
            Trouble::Answering(code) => code,
            _ if request.uri().path().ends_with("/RuntimeHook") => return Box::pin(pending()),
            _ => Code::Unimplemented,
        };
        Box::pin(ready(Ok(Status::new(code, EXCUSE).into_http())))
    }
}
