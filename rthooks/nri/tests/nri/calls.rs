//! Calls in both directions, good and bad.

use std::collections::HashMap;
use std::time::Duration;

use nri_plugin::api::{
    ContainerUpdate, CreateContainerResponse, Empty, Event, LinuxPids, LinuxResources, PodRequest,
    StateChangeEvent, StopContainerResponse, UpdateContainerRequest, UpdateContainersRequest,
    UpdateContainersResponse, UpdatePodSandboxRequest, ValidateContainerAdjustmentRequest,
    ValidateContainerAdjustmentResponse,
};
use nri_plugin::mux::{self, PLUGIN_SERVICE, RUNTIME_SERVICE};
use nri_plugin::ttrpc::envelope::Response;
use nri_plugin::ttrpc::{self, REQUEST, RESPONSE};
use nri_plugin::{CallError, Code, Error, LinkError, Status};
use prost::Message;

use crate::peer::{Running, about, container, decode_answer, pod, request, synchronize};

const SECOND: Duration = Duration::from_secs(1);

fn update(id: &str) -> ContainerUpdate {
    ContainerUpdate { container_id: id.to_owned(), ..ContainerUpdate::default() }
}

#[tokio::test(start_paused = true)]
async fn every_method_reaches_its_callback() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    let sandbox = PodRequest { pod: Some(pod("p")) };
    for method in ["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "PostUpdatePodSandbox"] {
        peer.call::<Empty>(method, &sandbox).await.expect(method);
    }
    let created: CreateContainerResponse = peer.call("CreateContainer", &about("c")).await.expect("created");
    assert_eq!(created.evict[0].container_id, "c-id");
    for method in [
        "PostCreateContainer",
        "StartContainer",
        "PostStartContainer",
        "PostUpdateContainer",
        "RemoveContainer",
    ] {
        peer.call::<Empty>(method, &about("c")).await.expect(method);
    }
    let stopped: StopContainerResponse = peer.call("StopContainer", &about("c")).await.expect("stopped");
    assert_eq!(stopped.update, [update("c-id")]);
    let resources = LinuxResources { pids: Some(LinuxPids { limit: 7 }), ..LinuxResources::default() };
    let request = UpdateContainerRequest {
        pod: Some(pod("p")),
        container: Some(container("c")),
        linux_resources: Some(resources),
    };
    peer.call::<Empty>("UpdateContainer", &request).await.expect("updated");
    let request = UpdatePodSandboxRequest { pod: Some(pod("p")), ..Default::default() };
    peer.call::<Empty>("UpdatePodSandbox", &request).await.expect("updated");
    let request = ValidateContainerAdjustmentRequest { pod: Some(pod("p")), ..Default::default() };
    let judged: ValidateContainerAdjustmentResponse =
        peer.call("ValidateContainerAdjustment", &request).await.expect("judged");
    assert_eq!((judged.reject, judged.reason.as_str()), (true, "xxx"));
    peer.call::<Empty>("Shutdown", &Empty {}).await.expect("taken");
    let log = running.plugin.log();
    let events = [
        "run_pod p/",
        "stop_pod p/",
        "remove_pod p/",
        "post_update_pod p/",
        "create p/c",
        "post_create p/c",
        "start p/c",
        "post_start p/c",
        "post_update p/c",
        "remove p/c",
        "stop p/c",
        "update to 7 pids p/c",
        "update_pod p/",
        "validate p/",
        "shutdown",
    ];
    assert_eq!(log[3..], events);
}

#[tokio::test(start_paused = true)]
async fn state_changes_reach_the_same_callbacks() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    for number in [1, 2, 3, 5, 6, 7, 9, 11, 13] {
        let container = (!matches!(number, 1..=3 | 13)).then(|| container("c"));
        let change = StateChangeEvent { event: number, pod: Some(pod("p")), container };
        peer.call::<Empty>("StateChange", &change).await.expect("taken");
    }
    let events = [
        "run_pod p/",
        "stop_pod p/",
        "remove_pod p/",
        "post_create p/c",
        "start p/c",
        "post_start p/c",
        "post_update p/c",
        "remove p/c",
        "post_update_pod p/",
    ];
    assert_eq!(running.plugin.log()[3..], events);
}

#[tokio::test(start_paused = true)]
async fn a_state_change_of_a_later_runtime_is_let_pass() {
    let (_running, mut peer) = Running::start();
    peer.introduce().await;
    let change = StateChangeEvent { event: 77, ..Default::default() };
    peer.call::<Empty>("StateChange", &change).await.expect("no refusal");
    let change = StateChangeEvent { event: Event::CreateContainer as i32, ..Default::default() };
    peer.call::<Empty>("StateChange", &change).await.expect("no refusal");
}

#[tokio::test(start_paused = true)]
async fn refusals_panics_and_nonsense_are_answered_and_the_connection_goes_on() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    let refused = peer.call::<CreateContainerResponse>("CreateContainer", &about("refuse")).await;
    assert_eq!(refused, Err(Status::unknown("refused by the test")));
    let panicked = peer.call::<Empty>("StartContainer", &about("panic")).await;
    assert_eq!(panicked, Err(Status::unknown("plugin panicked")));
    let partial = PodRequest { pod: Some(pod("p")) };
    let status = peer.call::<Empty>("CreateContainer", &partial).await.expect_err("no container");
    assert_eq!(status, Status::new(Code::INVALID_ARGUMENT, "request has no container"));

    let mut garbled = request("CreateContainer", &Empty {});
    garbled.payload = vec![0xFF; 3].into();
    let stream = peer.next_stream();
    peer.send(PLUGIN_SERVICE, stream, REQUEST, &garbled).await;
    let status = peer.answer::<Empty>(stream).await.expect_err("garbled");
    assert_eq!(status.code, Code::INVALID_ARGUMENT);

    let stream = peer.next_stream();
    let message = ttrpc::encode(stream, REQUEST, &[0xFF; 3]).expect("fits");
    peer.send_bytes(&mux::encode(PLUGIN_SERVICE, &message)).await;
    assert_eq!(peer.answer::<Empty>(stream).await.expect_err("garbled").code, Code::INVALID_ARGUMENT);

    peer.call::<Empty>("StartContainer", &about("fine")).await.expect("still there");
    assert_eq!(running.plugin.log().last().expect("told"), "start p/fine");
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_as_they_complete() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    let slow = peer.request("StartContainer", &about("wait")).await;
    peer.call::<Empty>("StartContainer", &about("quick")).await.expect("overtakes");
    running.plugin.release.add_permits(1);
    peer.answer::<Empty>(slow).await.expect("answered");
}

#[tokio::test(start_paused = true)]
async fn many_calls_go_both_ways_at_once() {
    const MANY: usize = 20;
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    let mut requests = Vec::new();
    for _ in 0..MANY {
        requests.push(peer.request("StopContainer", &about("wait")).await);
    }
    running.plugin.told("stop p/wait", MANY).await;

    // While all of these wait, the plugin makes as many calls, which are answered last to first.
    let runtime = running.plugin.runtime();
    let calls: Vec<_> = (0..MANY)
        .map(|number| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let id = format!("c{number}");
                let failed = runtime.update_containers(vec![update(&id)], Vec::new(), SECOND).await;
                assert_eq!(failed.expect("answered"), [update(&id)]);
            })
        })
        .collect();
    let mut taken = Vec::new();
    for _ in 0..MANY {
        let (method, stream, request) = peer.called::<UpdateContainersRequest>().await;
        assert_eq!(method, "UpdateContainers");
        taken.push((stream, request.update));
    }
    let streams: Vec<u32> = taken.iter().map(|(stream, _)| *stream).collect();
    assert!(streams.windows(2).all(|pair| pair[0] < pair[1] && pair[1] % 2 == 1), "{streams:?}");
    for (stream, failed) in taken.into_iter().rev() {
        let payload = UpdateContainersResponse { failed }.encode_to_vec().into();
        peer.send(RUNTIME_SERVICE, stream, RESPONSE, &Response { status: None, payload }).await;
    }
    for call in calls {
        call.await.expect("each gets its own answer");
    }

    running.plugin.release.add_permits(MANY);
    let mut answers = HashMap::new();
    for _ in 0..MANY {
        let received = peer.receive().await.expect("an answer");
        let answer: StopContainerResponse = decode_answer(received.data).expect("success");
        answers.insert(received.stream, answer);
    }
    assert!(requests.iter().all(|stream| answers[stream].update == [update("wait-id")]));
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_can_be_served_are_refused() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    for _ in 0..32 {
        peer.request("StopContainer", &about("wait")).await;
    }
    let status = peer.call::<Empty>("StopContainer", &about("wait")).await.expect_err("refused");
    assert_eq!(status.code, Code::RESOURCE_EXHAUSTED);
    running.plugin.release.add_permits(32);
    for _ in 0..32 {
        let received = peer.receive().await.expect("an answer");
        decode_answer::<StopContainerResponse>(received.data).expect("success");
    }
    peer.call::<Empty>("StartContainer", &about("c")).await.expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_sends_without_reading_is_given_up() {
    let (mut running, mut peer) = Running::start_with_buffer(1 << 10);
    peer.introduce().await;
    let even = ttrpc::encode(2, REQUEST, &[]).expect("fits");
    let flood: Vec<u8> = (0..400).flat_map(|_| mux::encode(PLUGIN_SERVICE, &even)).collect();
    let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &flood).await;
    let error = running.end().await.expect_err("given up");
    assert!(matches!(error, Error::Link(LinkError::Flooded)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_runtimes_deadline_is_kept() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    let mut slow = request("StartContainer", &about("wait"));
    slow.timeout_nano = 1_500_000_000;
    let stream = peer.next_stream();
    let before = tokio::time::Instant::now();
    peer.send(PLUGIN_SERVICE, stream, REQUEST, &slow).await;
    let status = peer.answer::<Empty>(stream).await.expect_err("too late");
    assert_eq!(status.code, Code::DEADLINE_EXCEEDED);
    assert_eq!(before.elapsed().as_millis() / 10, 150);
    running.plugin.release.add_permits(1);
    peer.call::<Empty>("StartContainer", &about("c")).await.expect("still there");
    assert!(!running.plugin.log().contains(&"released p/wait".to_owned()), "the callback was dropped");
}

#[tokio::test(start_paused = true)]
async fn stream_ids_that_do_not_ascend_in_odd_numbers_are_refused() {
    let (_running, mut peer) = Running::start();
    peer.introduce().await;
    for stream in [8, 0, 3, 1] {
        peer.send(PLUGIN_SERVICE, stream, REQUEST, &request("StartContainer", &about("c"))).await;
        let status = peer.answer::<Empty>(stream).await.expect_err("refused");
        assert_eq!(status.code, Code::INVALID_ARGUMENT, "{stream}");
    }
    peer.send(PLUGIN_SERVICE, u32::MAX, REQUEST, &request("StartContainer", &about("c"))).await;
    peer.answer::<Empty>(u32::MAX).await.expect("gaps are allowed");
}

#[tokio::test(start_paused = true)]
async fn unknown_connections_and_message_types_are_dropped_and_counted() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    let data_frame = ttrpc::encode(1, 3, b"data").expect("fits");
    for id in [0, 3, u32::MAX] {
        peer.send_bytes(&mux::encode(id, &data_frame)).await;
    }
    peer.send_bytes(&mux::encode(9, &[7; 9000])).await;
    peer.send_bytes(&mux::encode(PLUGIN_SERVICE, &data_frame)).await;
    peer.send_bytes(&mux::encode(RUNTIME_SERVICE, &data_frame)).await;
    let nobodys = ttrpc::encode(99, RESPONSE, &[]).expect("fits");
    peer.send_bytes(&mux::encode(RUNTIME_SERVICE, &nobodys)).await;
    peer.call::<Empty>("StartContainer", &about("c")).await.expect("still there");
    let counters = running.counters();
    assert_eq!(counters.unknown_connection_frames, 5, "one of them in two frames");
    assert_eq!((counters.unexpected_messages, counters.late_answers), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn oversize_messages_are_refused_both_ways_and_the_connection_goes_on() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;

    // A request of one byte too many.
    let stream = peer.next_stream();
    let mut bytes = vec![0, 0x40, 0, 1];
    bytes.extend(stream.to_be_bytes());
    bytes.extend([REQUEST, 0]);
    bytes.resize(bytes.len() + ttrpc::MAX_DATA + 1, 0);
    peer.send_bytes(&mux::encode(PLUGIN_SERVICE, &bytes)).await;
    assert_eq!(peer.answer::<Empty>(stream).await.expect_err("refused").code, Code::RESOURCE_EXHAUSTED);

    // A callback's answer that does not fit.
    let oversize = ValidateContainerAdjustmentRequest {
        container: Some(container("oversize")),
        ..ValidateContainerAdjustmentRequest::default()
    };
    let status = peer.call::<Empty>("ValidateContainerAdjustment", &oversize).await.expect_err("refused");
    assert_eq!(status.code, Code::RESOURCE_EXHAUSTED);

    // A call that does not fit.
    let runtime = running.plugin.runtime();
    let huge = runtime.update_containers(vec![update(&"x".repeat(5 << 20))], Vec::new(), SECOND).await;
    assert!(matches!(huge, Err(CallError::TooLarge(_))), "{huge:?}");

    // The runtime's answer to a call.
    let call = tokio::spawn(async move { runtime.update_containers(Vec::new(), Vec::new(), SECOND).await });
    let (_, stream, _) = peer.called::<UpdateContainersRequest>().await;
    let mut bytes = vec![0, 0x40, 0, 1];
    bytes.extend(stream.to_be_bytes());
    bytes.extend([RESPONSE, 0]);
    bytes.resize(bytes.len() + ttrpc::MAX_DATA + 1, 0);
    peer.send_bytes(&mux::encode(RUNTIME_SERVICE, &bytes)).await;
    let answer = call.await.expect("no panic");
    assert!(
        matches!(&answer, Err(CallError::Status(it)) if it.code == Code::RESOURCE_EXHAUSTED),
        "{answer:?}"
    );
    assert_eq!(running.counters().oversize_messages, 2);
    peer.call::<Empty>("StartContainer", &about("c")).await.expect("still there");
}

#[tokio::test(start_paused = true)]
async fn the_longest_messages_pass() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    // Half of it, as the container's id is as long as its name; and room for the envelope.
    let name = "n".repeat(ttrpc::MAX_DATA / 2 - 100);
    let taken: nri_plugin::api::SynchronizeResponse =
        peer.call("Synchronize", &synchronize(&[&name], false)).await.expect("fits");
    assert_eq!(taken.update[0].container_id.len(), name.len() + 3);
    assert_eq!(running.plugin.log().last().expect("told").len(), "synchronize /".len() + name.len());
}

#[tokio::test(start_paused = true)]
async fn a_mux_frame_beyond_all_bounds_ends_the_connection() {
    let (mut running, mut peer) = Running::start();
    peer.introduce().await;
    peer.send_bytes(&[0, 0, 0, 1, 1, 0, 0, 1]).await;
    let error = running.end().await.expect_err("out of step");
    assert!(matches!(error, Error::Link(LinkError::Frame(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_is_forgotten_and_its_answer_dropped() {
    let (running, mut peer) = Running::start();
    peer.introduce().await;
    let runtime = running.plugin.runtime();
    let timed_out = runtime.update_containers(Vec::new(), Vec::new(), SECOND);
    assert_eq!(timed_out.await, Err(CallError::Timeout(SECOND)));
    let (_, stream, _) = peer.called::<UpdateContainersRequest>().await;
    peer.send(RUNTIME_SERVICE, stream, RESPONSE, &Response::default()).await;
    let call = tokio::spawn(async move { runtime.update_containers(Vec::new(), Vec::new(), SECOND).await });
    let (_, stream, _) = peer.called::<UpdateContainersRequest>().await;
    let garbled = Response { payload: vec![0xFF; 3].into(), ..Response::default() };
    peer.send(RUNTIME_SERVICE, stream, RESPONSE, &garbled).await;
    assert!(matches!(call.await.expect("no panic"), Err(CallError::Malformed(_))));
    assert_eq!(running.counters().late_answers, 1);
}

#[tokio::test(start_paused = true)]
async fn calls_fail_at_once_when_the_connection_ends_and_after() {
    let (mut running, mut peer) = Running::start();
    peer.introduce().await;
    let runtime = running.plugin.runtime();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let runtime = runtime.clone();
            tokio::spawn(async move { runtime.update_containers(Vec::new(), Vec::new(), 60 * SECOND).await })
        })
        .collect();
    peer.called::<UpdateContainersRequest>().await;
    drop(peer);
    let before = tokio::time::Instant::now();
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Err(CallError::Closed));
    }
    running.end().await.expect_err("closed");
    let after = runtime.update_containers(Vec::new(), Vec::new(), 60 * SECOND).await;
    assert_eq!(after, Err(CallError::Closed));
    assert!(before.elapsed() < SECOND);
}
