//! A runtime that hangs or closes, at every step.

use std::time::Duration;

use nri_plugin::mux::{self, PLUGIN_SERVICE, RUNTIME_SERVICE};
use nri_plugin::ttrpc::{self, CallError, Code, LinkError, REQUEST, RESPONSE, Status};
use nri_plugin::{Error, api};
use prost::Message;
use tokio::io::DuplexStream;

use crate::peer::{self, Peer, Running, about, configure, synchronize};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connected,
    RegistrationReceived,
    InRegistrationAnswer,
    RegistrationAnswered,
    InConfigureHeader,
    InConfigure,
    Configured,
    FirstPartSynchronized,
    InSynchronize,
    Synchronized,
    InEventMuxHeader,
    InEvent,
    InCallback,
}

impl Step {
    const ALL: [Self; 13] = [
        Self::Connected,
        Self::RegistrationReceived,
        Self::InRegistrationAnswer,
        Self::RegistrationAnswered,
        Self::InConfigureHeader,
        Self::InConfigure,
        Self::Configured,
        Self::FirstPartSynchronized,
        Self::InSynchronize,
        Self::Synchronized,
        Self::InEventMuxHeader,
        Self::InEvent,
        Self::InCallback,
    ];

    /// The runtime plays its part up to here.
    async fn reach(self, peer: &mut Peer<DuplexStream>) {
        if self == Self::Connected {
            return;
        }
        let stream = peer.registered().await;
        if self == Self::RegistrationReceived {
            return;
        }
        let answer = ttrpc::encode(stream, RESPONSE, &[]).expect("fits");
        let answer = mux::encode(RUNTIME_SERVICE, &answer);
        if self == Self::InRegistrationAnswer {
            return peer.send_bytes(&answer[..answer.len() - 1]).await;
        }
        peer.send_bytes(&answer).await;
        if self == Self::RegistrationAnswered {
            return;
        }
        if matches!(self, Self::InConfigureHeader | Self::InConfigure) {
            let bytes = request_bytes(peer, "Configure", &configure());
            let cut = if self == Self::InConfigure { bytes.len() - 1 } else { 12 };
            return peer.send_bytes(&bytes[..cut]).await;
        }
        peer.configure().await.expect("configured");
        if self == Self::Configured {
            return;
        }
        let part: api::SynchronizeResponse =
            peer.call("Synchronize", &synchronize(&["a"], true)).await.expect("taken");
        assert!(part.more);
        if self == Self::FirstPartSynchronized {
            return;
        }
        if self == Self::InSynchronize {
            let bytes = request_bytes(peer, "Synchronize", &synchronize(&["b"], false));
            return peer.send_bytes(&bytes[..bytes.len() - 1]).await;
        }
        peer.synchronize().await.expect("synchronized");
        match self {
            Self::InEventMuxHeader => peer.send_bytes(&[0, 0, 0]).await,
            Self::InEvent => {
                let bytes = request_bytes(peer, "CreateContainer", &about("new"));
                peer.send_bytes(&bytes[..20]).await;
            }
            Self::InCallback => {
                peer.request("CreateContainer", &about("wait")).await;
            }
            _ => {}
        }
    }

    /// What the plugin is left to say when the runtime hangs here; nothing where a quiet runtime is a good one.
    fn after_hang(self) -> Option<String> {
        let seconds = Duration::from_secs;
        let error = match self {
            Self::Connected | Self::RegistrationReceived | Self::InRegistrationAnswer => {
                Error::Register(CallError::Timeout(seconds(5)))
            }
            Self::RegistrationAnswered | Self::InConfigureHeader | Self::InConfigure => {
                Error::NotConfigured(seconds(5))
            }
            Self::Configured | Self::FirstPartSynchronized => Error::NotSynchronized(seconds(60)),
            Self::InSynchronize | Self::InEventMuxHeader | Self::InEvent => {
                LinkError::Stalled(seconds(10)).into()
            }
            Self::Synchronized | Self::InCallback => return None,
        };
        Some(error.to_string())
    }

    fn after_close(self) -> String {
        let error = match self {
            Self::InRegistrationAnswer
            | Self::InConfigureHeader
            | Self::InConfigure
            | Self::InSynchronize
            | Self::InEventMuxHeader
            | Self::InEvent => LinkError::Truncated,
            _ => LinkError::Closed,
        };
        Error::from(error).to_string()
    }
}

fn request_bytes(peer: &mut Peer<DuplexStream>, method: &str, message: &impl Message) -> Vec<u8> {
    let data = peer::request(method, message).encode_to_vec();
    let message = ttrpc::encode(peer.next_stream(), REQUEST, &data).expect("fits");
    mux::encode(PLUGIN_SERVICE, &message).to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_hangs_is_given_up_at_every_step() {
    for step in Step::ALL {
        let (mut running, mut peer) = Running::start();
        step.reach(&mut peer).await;
        if let Some(error) = step.after_hang() {
            assert_eq!(running.end().await.expect_err("given up").to_string(), error, "{step:?}");
            continue;
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(running.is_running(), "{step:?}: quiet is not hung");
        running.plugin.release.add_permits(1);
        let (method, message) = ("RemoveContainer", about("late"));
        let stream = peer.request(method, &message).await;
        while peer.receive().await.expect("alive").stream != stream {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_closes_ends_the_connection_at_every_step() {
    for step in Step::ALL {
        let (mut running, mut peer) = Running::start();
        step.reach(&mut peer).await;
        if step == Step::InCallback {
            running.plugin.told("create p/wait", 1).await;
        }
        let before = tokio::time::Instant::now();
        drop(peer);
        let error = running.end().await.expect_err("closed").to_string();
        assert_eq!(error, step.after_close(), "{step:?}");
        assert!(before.elapsed() < Duration::from_millis(10), "{step:?}: at once");
        let log = running.plugin.log();
        assert_eq!(log.last(), Some(&format!("disconnected: {error}")), "{step:?}");
        assert!(!log.contains(&"released p/wait".to_owned()), "{step:?}: the callback is cut off");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_take_an_answer_is_given_up() {
    let (mut running, mut peer) = Running::start_with_buffer(1 << 10);
    peer.introduce().await;
    let names: Vec<String> = (0..500).map(|number| format!("container {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    peer.request("Synchronize", &synchronize(&names, false)).await;
    let error = running.end().await.expect_err("given up");
    assert!(matches!(error, Error::Link(LinkError::Stalled(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_registration_is_told_though_the_runtime_closes_at_once() {
    let (mut running, mut peer) = Running::start();
    let stream = peer.registered().await;
    let status = ttrpc::envelope::Status { code: 3, message: "bad plugin name".to_owned() };
    let response = ttrpc::envelope::Response { status: Some(status), ..Default::default() };
    peer.send(RUNTIME_SERVICE, stream, RESPONSE, &response).await;
    drop(peer);
    let error = running.end().await.expect_err("refused");
    let Error::Register(CallError::Status(status)) = error else { panic!("{error}") };
    assert_eq!(status, Status::new(Code::INVALID_ARGUMENT, "bad plugin name"));
    assert_eq!(running.counters().registrations, 0);
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_refuses_its_configuration_says_so() {
    let (_running, mut peer) = Running::start();
    peer.accept().await;
    let request = api::ConfigureRequest { config: "refuse".to_owned(), ..configure() };
    let answer = peer.call::<api::ConfigureResponse>("Configure", &request).await;
    assert_eq!(answer, Err(Status::unknown("refused by the test")));
}

#[tokio::test(start_paused = true)]
async fn asked_to_end_it_completes_what_it_is_at_and_closes() {
    let (mut running, mut peer) = Running::start();
    peer.introduce().await;
    let stream = peer.request("CreateContainer", &about("wait")).await;
    running.plugin.told("create p/wait", 1).await;
    running.ask_to_end();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(running.is_running());
    running.plugin.release.add_permits(1);
    peer.answer::<api::CreateContainerResponse>(stream).await.expect("answered");
    assert!(peer.receive().await.is_none(), "closed after the answer");
    running.end().await.expect("as asked");
    assert_eq!(running.plugin.log().last().expect("told"), "disconnected: asked");
}

#[tokio::test(start_paused = true)]
async fn asked_to_end_it_does_not_wait_for_ever() {
    let (mut running, mut peer) = Running::start();
    peer.introduce().await;
    peer.request("CreateContainer", &about("wait")).await;
    running.plugin.told("create p/wait", 1).await;
    let before = tokio::time::Instant::now();
    running.ask_to_end();
    running.end().await.expect("as asked");
    assert_eq!(before.elapsed().as_secs(), 2);
    assert!(peer.receive().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn asked_to_end_before_the_runtime_says_anything_it_ends() {
    let (mut running, mut peer) = Running::start();
    peer.registered().await;
    running.ask_to_end();
    running.end().await.expect("as asked");
}
