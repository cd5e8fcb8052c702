//! A runtime: NRI's wire protocol on a real socket, and the pods and containers of the tests.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use nri_plugin::api::{
    ConfigureRequest, ConfigureResponse, Container, ContainerRequest, ContainerState, CreateContainerRequest,
    CreateContainerResponse, Empty, Event, LinuxContainer, LinuxPodSandbox, PodRequest, PodSandbox,
    RegisterPluginRequest, StateChangeEvent, SynchronizeRequest, SynchronizeResponse,
};
use nri_plugin::mux::{self, Demux, PLUGIN_SERVICE, RUNTIME_SERVICE};
use nri_plugin::ttrpc::envelope::{Request, Response};
use nri_plugin::ttrpc::{self, Code, Decoder, Message as Frame, REQUEST, RESPONSE, Status};
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A runtime with one plugin.
pub(crate) struct Runtime {
    stream: UnixStream,
    demux: Demux,
    decoders: [Decoder; 2],
    inbox: VecDeque<(u32, u32, Bytes)>,
    last_stream: u32,
    /// Events come by `StateChange`, as from runtimes of before NRI 0.12.
    pub(crate) old: bool,
}

/// Takes the plugin that connects to the socket `path`, and configures it.
pub(crate) async fn accept(path: &Path, request_timeout: Duration) -> Runtime {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).expect("listens");
    let (stream, _) =
        timeout(PATIENCE, listener.accept()).await.expect("the plugin comes").expect("a socket");
    let mut runtime = Runtime {
        stream,
        demux: Demux::default(),
        decoders: Default::default(),
        inbox: VecDeque::new(),
        last_stream: 1,
        old: false,
    };
    let (id, stream, request) = runtime.receive().await;
    let request = Request::decode(request).expect("a request");
    assert_eq!((id, request.method.as_str()), (RUNTIME_SERVICE, "RegisterPlugin"));
    let registration = RegisterPluginRequest::decode(request.payload).expect("a registration");
    assert_eq!((registration.plugin_idx.as_str(), registration.plugin_name.as_str()), ("01", "tetragon"));
    runtime.send(RUNTIME_SERVICE, stream, RESPONSE, &Response::default()).await;
    let configure = ConfigureRequest {
        runtime_name: "containerd".to_owned(),
        runtime_version: "v2".to_owned(),
        request_timeout: i64::try_from(request_timeout.as_millis()).expect("small"),
        ..ConfigureRequest::default()
    };
    let configured: ConfigureResponse = runtime.call("Configure", &configure).await.expect("configured");
    let events = [
        Event::RunPodSandbox,
        Event::RemovePodSandbox,
        Event::CreateContainer,
        Event::StartContainer,
        Event::RemoveContainer,
    ];
    assert_eq!(configured.events, nri_plugin::EventMask::of(&events).bits());
    runtime
}

impl Runtime {
    /// Connection, number and bytes of the plugin's next message.
    async fn receive(&mut self) -> (u32, u32, Bytes) {
        let mut buffer = [0; 8192];
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return message;
            }
            let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("the plugin writes");
            let count = read.expect("the plugin is connected");
            assert_ne!(count, 0, "the plugin has closed the connection");
            let mut input = &buffer[..count];
            while let Some(piece) = self.demux.next(&mut input).expect("frames") {
                let mut bytes = piece.bytes;
                let decoder = &mut self.decoders[usize::from(piece.id == PLUGIN_SERVICE)];
                while let Some(message) = decoder.next(&mut bytes) {
                    let Frame::Whole(header, data) = message else { panic!("{message:?}") };
                    self.inbox.push_back((piece.id, header.stream, data));
                }
            }
        }
    }

    async fn send(&mut self, id: u32, stream: u32, kind: u8, data: &impl Message) {
        let message = ttrpc::encode(stream, kind, &data.encode_to_vec()).expect("fits");
        self.stream.write_all(&mux::encode(id, &message)).await.expect("the plugin is connected");
    }

    async fn call<R: Message + Default>(
        &mut self,
        method: &str,
        message: &impl Message,
    ) -> Result<R, Status> {
        let stream = self.last_stream;
        self.last_stream += 2;
        let request = Request {
            service: "nri.pkg.api.v1alpha1.Plugin".to_owned(),
            method: method.to_owned(),
            payload: message.encode_to_vec().into(),
            ..Request::default()
        };
        self.send(PLUGIN_SERVICE, stream, REQUEST, &request).await;
        let (id, answered, data) = self.receive().await;
        assert_eq!((id, answered), (PLUGIN_SERVICE, stream));
        let response = Response::decode(data).expect("a response");
        match response.status {
            Some(status) if status.code != 0 => Err(Status::new(Code(status.code), status.message)),
            _ => Ok(R::decode(response.payload).expect("the response")),
        }
    }

    pub(crate) async fn synchronize(&mut self, pods: Vec<PodSandbox>, containers: Vec<Container>) {
        let request = SynchronizeRequest { pods, containers, more: false };
        let answer: SynchronizeResponse = self.call("Synchronize", &request).await.expect("synchronized");
        assert!(answer.update.is_empty(), "an observer changes nothing");
    }

    async fn event(
        &mut self,
        event: Event,
        method: &str,
        pod: &PodSandbox,
        container: Option<&Container>,
    ) -> Result<(), Status> {
        let (pod, container) = (Some(pod.clone()), container.cloned());
        let answer: Result<Empty, Status> = if self.old {
            let change = StateChangeEvent { event: event.into(), pod, container };
            self.call("StateChange", &change).await
        } else if container.is_some() {
            self.call(method, &ContainerRequest { pod, container }).await
        } else {
            self.call(method, &PodRequest { pod }).await
        };
        answer.map(|Empty {}| ())
    }

    pub(crate) async fn run_pod(&mut self, pod: &PodSandbox) {
        self.event(Event::RunPodSandbox, "RunPodSandbox", pod, None).await.expect("never refused");
    }

    pub(crate) async fn remove_pod(&mut self, pod: &PodSandbox) {
        self.event(Event::RemovePodSandbox, "RemovePodSandbox", pod, None).await.expect("never refused");
    }

    pub(crate) async fn create(
        &mut self,
        pod: &PodSandbox,
        id: &str,
    ) -> Result<CreateContainerResponse, Status> {
        let container = Some(Container { pid: 0, ..container(pod, id) });
        self.call("CreateContainer", &CreateContainerRequest { pod: Some(pod.clone()), container }).await
    }

    pub(crate) async fn start(&mut self, pod: &PodSandbox, id: &str) -> Result<(), Status> {
        self.event(Event::StartContainer, "StartContainer", pod, Some(&container(pod, id))).await
    }

    pub(crate) async fn remove(&mut self, pod: &PodSandbox, id: &str) {
        let container = container(pod, id);
        self.event(Event::RemoveContainer, "RemoveContainer", pod, Some(&container))
            .await
            .expect("never refused");
    }
}

/// A pod of a namespace.
pub(crate) fn pod(namespace: &str) -> PodSandbox {
    PodSandbox {
        id: format!("sandbox-{namespace}"),
        name: "web-1".to_owned(),
        uid: "0b0b6a70-0000-4000-8000-000000000001".to_owned(),
        namespace: namespace.to_owned(),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        annotations: [("kubernetes.io/config.source".to_owned(), "api".to_owned())].into(),
        linux: Some(LinuxPodSandbox {
            cgroup_parent: "/kubepods.slice/kubepods-pod1.slice".to_owned(),
            cgroups_path: format!("kubepods-pod1.slice:cri-containerd:sandbox-{namespace}"),
            ..LinuxPodSandbox::default()
        }),
        pid: 40,
        ..PodSandbox::default()
    }
}

/// A running container of a pod.
pub(crate) fn container(pod: &PodSandbox, id: &str) -> Container {
    Container {
        id: id.to_owned(),
        pod_sandbox_id: pod.id.clone(),
        name: "nginx".to_owned(),
        state: ContainerState::ContainerRunning.into(),
        annotations: [
            ("io.kubernetes.cri.image-name".to_owned(), "nginx:1".to_owned()),
            ("io.kubernetes.cri.sandbox-namespace".to_owned(), pod.namespace.clone()),
        ]
        .into(),
        linux: Some(LinuxContainer {
            cgroups_path: format!("kubepods-pod1.slice:cri-containerd:{id}"),
            ..LinuxContainer::default()
        }),
        pid: 42,
        ..Container::default()
    }
}
