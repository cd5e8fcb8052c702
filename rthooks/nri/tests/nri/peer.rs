//! The runtime's side of a connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nri_plugin::api::{
    ConfigureRequest, ConfigureResponse, Container, ContainerRequest, PodSandbox, RegisterPluginRequest,
    SynchronizeRequest, SynchronizeResponse,
};
use nri_plugin::mux::{self, Demux, PLUGIN_SERVICE, RUNTIME_SERVICE};
use nri_plugin::ttrpc::envelope::{Request, Response};
use nri_plugin::ttrpc::{self, Code, Decoder, Message as Frame, REQUEST, RESPONSE, Status};
use nri_plugin::{CountersSnapshot, Error, Options, run};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::recorder::Recorder;

pub(crate) const PLUGIN: &str = "nri.pkg.api.v1alpha1.Plugin";
/// Longer than all of the plugin's own, and in most tests on a clock that jumps.
const PATIENCE: Duration = Duration::from_secs(100);

/// A plugin that runs, and the way to end it.
pub(crate) struct Running {
    pub(crate) plugin: Arc<Recorder>,
    pub(crate) options: Options,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// A plugin on one end of a pipe of `buffer` bytes, and the other end.
    pub(crate) fn start_with_buffer(buffer: usize) -> (Self, Peer<DuplexStream>) {
        let (ours, theirs) = tokio::io::duplex(buffer);
        let (shutdown, asked) = oneshot::channel();
        let (plugin, options) = (Recorder::new(), options());
        let task = tokio::spawn({
            let (plugin, options) = (Arc::clone(&plugin), options.clone());
            async move {
                let asked = async {
                    // Only a message asks; the test's end does not.
                    if asked.await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                run(ours, &options, plugin, asked).await
            }
        });
        (Self { plugin, options, shutdown: Some(shutdown), task }, Peer::new(theirs))
    }

    pub(crate) fn start() -> (Self, Peer<DuplexStream>) {
        Self::start_with_buffer(64 << 10)
    }

    pub(crate) fn ask_to_end(&mut self) {
        self.shutdown.take().expect("asked once").send(()).expect("runs");
    }

    /// How it ended.
    pub(crate) async fn end(&mut self) -> Result<(), Error> {
        timeout(PATIENCE, &mut self.task).await.expect("the plugin ends").expect("the plugin does not panic")
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    pub(crate) fn counters(&self) -> CountersSnapshot {
        self.options.counters().snapshot()
    }
}

pub(crate) fn options() -> Options {
    Options::new("t", 5).expect("valid")
}

/// A message from the plugin.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) id: u32,
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) data: Bytes,
}

/// The runtime.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    demux: Demux,
    answers: Decoder,
    calls: Decoder,
    inbox: VecDeque<Received>,
    last_stream: Option<u32>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            demux: Demux::default(),
            answers: Decoder::default(),
            calls: Decoder::default(),
            inbox: VecDeque::new(),
            last_stream: None,
        }
    }

    /// The plugin's next message; `None` if it has closed the connection.
    pub(crate) async fn receive(&mut self) -> Option<Received> {
        let mut buffer = [0; 8192];
        while self.inbox.is_empty() {
            let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("the plugin writes");
            let count = read.unwrap_or(0);
            if count == 0 {
                return None;
            }
            let mut input = &buffer[..count];
            while let Some(piece) = self.demux.next(&mut input).expect("frames") {
                let mut bytes = piece.bytes;
                let decoder = match piece.id {
                    PLUGIN_SERVICE => &mut self.answers,
                    RUNTIME_SERVICE => &mut self.calls,
                    id => panic!("frame for {id}"),
                };
                while let Some(message) = decoder.next(&mut bytes) {
                    let Frame::Whole(header, data) = message else { panic!("{message:?}") };
                    let (kind, stream) = (header.kind, header.stream);
                    self.inbox.push_back(Received { id: piece.id, kind, stream, data });
                }
            }
        }
        self.inbox.pop_front()
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the plugin reads").expect("open");
    }

    pub(crate) async fn send(&mut self, id: u32, stream: u32, kind: u8, data: &impl Message) {
        let message = ttrpc::encode(stream, kind, &data.encode_to_vec()).expect("fits");
        self.send_bytes(&mux::encode(id, &message)).await;
    }

    /// Sends a request; its number.
    pub(crate) async fn request(&mut self, method: &str, message: &impl Message) -> u32 {
        let stream = self.next_stream();
        self.send(PLUGIN_SERVICE, stream, REQUEST, &request(method, message)).await;
        stream
    }

    pub(crate) fn next_stream(&mut self) -> u32 {
        let stream = self.last_stream.map_or(1, |last| last + 2);
        self.last_stream = Some(stream);
        stream
    }

    /// The plugin's next message, which has to be the answer to request `stream`.
    pub(crate) async fn answer<R: Message + Default>(&mut self, stream: u32) -> Result<R, Status> {
        let received = self.receive().await.expect("an answer");
        assert_eq!((received.id, received.kind, received.stream), (PLUGIN_SERVICE, RESPONSE, stream));
        decode_answer(received.data)
    }

    pub(crate) async fn call<R: Message + Default>(
        &mut self,
        method: &str,
        message: &impl Message,
    ) -> Result<R, Status> {
        let stream = self.request(method, message).await;
        self.answer(stream).await
    }

    /// The plugin's next message, which has to be a call: method, number and request.
    pub(crate) async fn called<R: Message + Default>(&mut self) -> (String, u32, R) {
        let received = self.receive().await.expect("a call");
        assert_eq!((received.id, received.kind), (RUNTIME_SERVICE, REQUEST));
        let request = Request::decode(received.data).expect("a request");
        assert_eq!(request.service, "nri.pkg.api.v1alpha1.Runtime");
        (request.method, received.stream, R::decode(request.payload).expect("the request"))
    }

    /// Takes the plugin's registration and leaves it without an answer.
    pub(crate) async fn registered(&mut self) -> u32 {
        let (method, stream, request) = self.called::<RegisterPluginRequest>().await;
        assert_eq!((method.as_str(), request.plugin_name.as_str()), ("RegisterPlugin", "t"));
        stream
    }

    pub(crate) async fn accept(&mut self) {
        let stream = self.registered().await;
        self.send(RUNTIME_SERVICE, stream, RESPONSE, &Response::default()).await;
    }

    pub(crate) async fn configure(&mut self) -> Result<ConfigureResponse, Status> {
        self.call("Configure", &configure()).await
    }

    pub(crate) async fn synchronize(&mut self) -> Result<SynchronizeResponse, Status> {
        self.call("Synchronize", &synchronize(&["old"], false)).await
    }

    /// All that comes before the first event.
    pub(crate) async fn introduce(&mut self) {
        self.accept().await;
        self.configure().await.expect("configured");
        self.synchronize().await.expect("synchronized");
    }
}

pub(crate) fn decode_answer<R: Message + Default>(data: Bytes) -> Result<R, Status> {
    let response = Response::decode(data).expect("a response");
    match response.status {
        Some(status) if status.code != 0 => Err(Status::new(Code(status.code), status.message)),
        _ => Ok(R::decode(response.payload).expect("the response")),
    }
}

pub(crate) fn request(method: &str, message: &impl Message) -> Request {
    Request {
        service: PLUGIN.to_owned(),
        method: method.to_owned(),
        payload: message.encode_to_vec().into(),
        ..Request::default()
    }
}

pub(crate) fn configure() -> ConfigureRequest {
    ConfigureRequest { runtime_name: "peer".to_owned(), request_timeout: 2000, ..ConfigureRequest::default() }
}

pub(crate) fn synchronize(containers: &[&str], more: bool) -> SynchronizeRequest {
    let containers = containers.iter().map(|name| container(name)).collect();
    SynchronizeRequest { pods: Vec::new(), containers, more }
}

pub(crate) fn pod(name: &str) -> PodSandbox {
    PodSandbox { name: name.to_owned(), id: format!("{name}-id"), ..PodSandbox::default() }
}

pub(crate) fn container(name: &str) -> Container {
    Container { name: name.to_owned(), id: format!("{name}-id"), ..Container::default() }
}

/// What a container's event carries, in pod `p`.
pub(crate) fn about(name: &str) -> ContainerRequest {
    ContainerRequest { pod: Some(pod("p")), container: Some(container(name)) }
}
