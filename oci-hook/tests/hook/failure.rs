//! What becomes of containers that the agent cannot be told of.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use prost::Message;
use serde_json::{Value, json};
use tetragon_api::tetragon::runtime_hook_request::Event;
use tetragon_api::tetragon::{RuntimeHookRequest, RuntimeHookStage};
use tonic::Status;

use crate::agent::Mood;
use crate::kit::{ID, Node, containerd, containerd_annotations};

/// Nobody will come.
const SOON: &str = "--grpc-timeout=300ms";

/// A node without an agent, and the bundle of a container in this namespace.
fn alone(namespace: &str) -> Node {
    let node = Node::new();
    let mut config = containerd();
    config["annotations"] = containerd_annotations(namespace);
    node.has_config(&config);
    node
}

#[test]
fn without_an_agent_containers_are_refused_in_words() {
    let node = alone("shop");
    let log = node.path("hook.log").display().to_string();
    let outcome = node.create(&[SOON], &json!({}));
    outcome.refused(&[
        r#"container "web" of pod "web-1" in namespace "shop" (id 5cfea8d1b6d1)"#,
        "no agent can be reached at unix://",
        "No such file or directory",
        "start the agent on this node",
        "--fail-allow-namespaces",
        &log,
    ]);
    assert!(node.logged("refused"));
    assert!(!node.spooled().exists());
}

#[test]
fn exempt_namespaces_start_and_the_agent_learns_of_it_later() {
    let node = alone("kube-system");
    node.create(&[], &json!({})).allowed();
    let kept = RuntimeHookRequest::decode(&*fs::read(node.spooled()).expect("spooled")).expect("a message");
    let Some(Event::CreateContainer(kept)) = kept.event else { panic!() };
    assert_eq!((kept.stage(), kept.container_id.as_str()), (RuntimeHookStage::Running, ID));
    assert_eq!((kept.pod_namespace.as_str(), kept.pid), ("kube-system", std::process::id()));
    let line = node.log().pop().expect("a line");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["spooled"], node.spooled().display().to_string());
}

#[test]
fn a_spool_that_cannot_be_written_refuses_nobody() {
    let node = alone("kube-system");
    node.create(&["--spool-dir=/proc/nowhere/containers"], &json!({})).allowed();
    assert!(node.logged("no: /proc/nowhere/containers"), "{:?}", node.log());
    node.create(&["--spool-dir="], &json!({})).allowed();
}

#[test]
fn namespaces_are_listed_or_matched() {
    let node = alone("team-web");
    node.create(&["--fail-allow-namespaces=other,team-web"], &json!({})).allowed();
    node.create(&["--fail-allow-namespaces-regex=^kube-,^team-[a-z]{2,4}$"], &json!({})).allowed();
    node.create(&[SOON, "--fail-allow-namespaces-regex=^web"], &json!({}))
        .refused(&["neither in --fail-allow"]);
    node.create(&[SOON, "--annotations-namespace-key=nobody.has/it"], &json!({})).refused(&["nobody.has/it"]);
    node.create(&["--fail-allow-namespaces-regex=("], &json!({})).refused(&["pattern 1", "open group"]);
}

#[test]
fn an_expression_decides() {
    let node = alone("shop");
    let cel = |text: &str| format!("--fail-cel-expr={text}");
    node.create(&[&cel("annotations[annotations_namespace_key] != 'shop'")], &json!({})).allowed();
    node.create(&[SOON, &cel("pod_namespace == 'shop'")], &json!({})).refused(&["--fail-cel-expr is true"]);
    node.create(&[SOON, &cel("annotations['no such'] == ''")], &json!({})).refused(&["cannot be evaluated"]);
    for bad in ["1 +", "no_such_name", "'text'"] {
        node.create(&[&cel(bad)], &json!({})).refused(&["policy is malformed", "--fail-cel-expr"]);
    }
}

#[test]
fn an_agent_that_hangs_is_an_agent_that_is_absent() {
    let node = alone("shop");
    let agent = node.agent();
    agent.is(Mood::Silent);
    node.create(&[SOON], &json!({})).refused(&["did not answer within 300ms", "--grpc-timeout"]);
    assert_eq!(agent.requests().len(), 1);
    let exempt = [SOON, "--fail-allow-namespaces=shop"];
    node.create(&exempt, &json!({})).allowed();
    assert!(node.spooled().exists());
}

#[test]
fn an_agent_that_restarts_is_waited_for() {
    let node = alone("shop");
    let agent = std::thread::scope(|scope| {
        let call = scope.spawn(|| node.create(&["--grpc-timeout=30s"], &json!({})));
        // Long enough for some attempts; were it too short, the test would only be easier.
        std::thread::sleep(Duration::from_millis(500));
        let agent = node.agent();
        call.join().expect("ended").allowed();
        agent
    });
    assert_eq!(agent.creation().container_name, "web");
}

#[test]
fn an_exempt_container_does_not_wait_for_an_agent() {
    let node = alone("kube-system");
    let outcome = node.create(&["--grpc-timeout=10m"], &json!({}));
    // `allowed` also asserts that it took nowhere near that long.
    outcome.allowed();
}

#[test]
fn a_socket_behind_which_nobody_reads() {
    let node = alone("shop");
    let _listener = UnixListener::bind(node.path("tetragon.sock")).expect("listens");
    node.create(&[SOON], &json!({})).refused(&["did not answer within 300ms"]);
}

#[test]
fn a_socket_that_nobody_listens_at() {
    let node = alone("shop");
    drop(UnixListener::bind(node.path("tetragon.sock")).expect("listens"));
    node.create(&[SOON], &json!({})).refused(&["Connection refused"]);
}

#[test]
fn a_peer_that_speaks_something_else() {
    let node = alone("shop");
    let listener = UnixListener::bind(node.path("tetragon.sock")).expect("listens");
    let thread = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("a hook");
        std::io::Write::write_all(&mut peer, b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
    });
    node.create(&[SOON], &json!({})).refused(&["start: "]);
    thread.join().expect("ended");
}

#[test]
fn errors_of_the_agent_are_told() {
    let node = alone("shop");
    let agent = node.agent();
    for (status, words) in [
        (Status::not_found("cgroup /x does not exist"), &["cgroup /x does not exist", "NotFound"][..]),
        (Status::unavailable("policies are being loaded"), &["is not ready: policies are being loaded"]),
        (Status::unimplemented("what?"), &["no agent that knows runtime hooks"]),
        (Status::invalid_argument("no podUID"), &["no podUID", "InvalidArgument"]),
    ] {
        agent.is(Mood::Refusing(status));
        node.create(&[SOON], &json!({})).refused(words);
        node.create(&["--fail-allow-namespaces=shop"], &json!({})).allowed();
    }
}

#[test]
fn addresses_that_are_none_are_failures_as_well() {
    let node = alone("shop");
    for address in ["no spaces allowed", "unix:relative", "host:port:port"] {
        let args = [&format!("--grpc-address={address}"), SOON];
        node.create(&args, &json!({})).refused(&[address]);
    }
}

#[test]
fn a_bundle_that_is_broken_goes_by_the_policy() {
    let node = alone("any");
    for broken in [&b"{"[..], b"", b"\xff\xfe\x00", b"[1]", b"null"] {
        fs::write(node.bundle().join("config.json"), broken).expect("file");
        // The state has the annotations that count.
        node.create(&[], &containerd_annotations("kube-system")).allowed();
        node.create(&[SOON], &containerd_annotations("shop")).refused(&[r#"namespace "shop""#]);
        node.create(&[SOON], &Value::Null).refused(&["its namespace is not known"]);
    }
}

#[test]
fn static_pods_always_start() {
    let node = alone("shop");
    let mut annotations = containerd_annotations("shop");
    annotations["kubernetes.io/config.source"] = "file".into();
    node.create(&["--fail-cel-expr=true"], &annotations).allowed();
}
