//! The way to the runtime: found by trying, kept while it works, sought again after it failed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::api::VersionRequest;
use crate::api::runtime_service_client::RuntimeServiceClient;
use crate::error::reason;
use crate::{Attempt, CriError, Options, Runtime};

/// The kubelet's limit; the default of 4 MiB is too little for the lists of a full node.
const LARGEST_MESSAGE: usize = 16 << 20;

/// A runtime that has answered.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) runtime: Runtime,
    channel: Channel,
}

impl Connection {
    pub(crate) fn client(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }
}

#[derive(Debug)]
enum State {
    /// Nothing is known: search.
    Unknown,
    Connected(Arc<Connection>),
    /// Nothing was found; do not search again before this.
    Pausing {
        until: Instant,
        error: CriError,
    },
}

#[derive(Debug)]
pub(crate) struct Link {
    options: Options,
    state: Mutex<State>,
    /// Whoever holds this searches; it keeps the next pause, should nothing be found.
    search: tokio::sync::Mutex<Duration>,
}

impl Link {
    pub(crate) fn new(options: Options) -> Self {
        let search = tokio::sync::Mutex::new(options.first_pause);
        Self { options, state: Mutex::new(State::Unknown), search }
    }

    /// The runtime of the last answer, unless it has failed since.
    pub(crate) fn runtime(&self) -> Option<Runtime> {
        match &*self.state() {
            State::Connected(connection) => Some(connection.runtime.clone()),
            _ => None,
        }
    }

    /// The connection, sought if there is none.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, CriError> {
        if let Some(settled) = self.settled() {
            return settled;
        }
        let mut pause = self.search.lock().await;
        // Another call may have searched in the meantime.
        if let Some(settled) = self.settled() {
            return settled;
        }
        match self.find().await {
            Ok(connection) => {
                *pause = self.options.first_pause;
                *self.state() = State::Connected(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                *self.state() = State::Pausing { until: Instant::now() + *pause, error: error.clone() };
                *pause = (*pause * 2).min(self.options.longest_pause);
                Err(error)
            }
        }
    }

    /// This connection is of no use any more; the next call searches again.
    pub(crate) fn lost(&self, connection: &Arc<Connection>) {
        let mut state = self.state();
        if matches!(&*state, State::Connected(current) if Arc::ptr_eq(current, connection)) {
            *state = State::Unknown;
        }
    }

    fn settled(&self) -> Option<Result<Arc<Connection>, CriError>> {
        match &*self.state() {
            State::Connected(connection) => Some(Ok(Arc::clone(connection))),
            State::Pausing { until, error } if Instant::now() < *until => Some(Err(error.clone())),
            State::Unknown | State::Pausing { .. } => None,
        }
    }

    /// Tries all sockets at the same time, so that one that hangs costs the others nothing.
    async fn find(&self) -> Result<Arc<Connection>, CriError> {
        let limit = self.options.probe_timeout;
        let sockets = self.options.sockets.iter();
        let probes: Vec<_> =
            sockets.map(|socket| (socket, Abort(tokio::spawn(probe(socket.clone(), limit))))).collect();
        let mut attempts = Vec::new();
        for (socket, mut probe) in probes {
            match (&mut probe.0).await {
                Ok(Ok(connection)) => return Ok(Arc::new(connection)),
                Ok(Err(reason)) => attempts.push(Attempt { socket: socket.clone(), reason }),
                Err(error) => attempts.push(Attempt { socket: socket.clone(), reason: error.to_string() }),
            }
        }
        Err(CriError::Unreachable(attempts))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that ends with its owner.
struct Abort<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether a runtime speaks the interface on this socket; if not, why not.
async fn probe(socket: PathBuf, limit: Duration) -> Result<Connection, String> {
    let channel = open(&socket);
    let mut client = RuntimeServiceClient::new(channel.clone());
    let request = VersionRequest { version: "v1".to_owned() };
    let answer = timeout(limit, client.version(request)).await;
    let answer = answer.map_err(|_| format!("no answer within {limit:?}"))?;
    let answer = answer.map_err(|status| reason(&status))?.into_inner();
    let runtime = Runtime {
        socket,
        name: answer.runtime_name,
        version: answer.runtime_version,
        api_version: answer.runtime_api_version,
    };
    Ok(Connection { runtime, channel })
}

fn open(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connector = service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The URI only fills in the authority of the requests; the connector knows the way.
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
}
