//! Standard input and places that are not as they should be.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use crate::agent::Agent;
use crate::kit::{Node, containerd, containerd_annotations, end, start};

fn node() -> (Node, Agent) {
    let node = Node::new();
    node.has_config(&containerd());
    let agent = node.agent();
    (node, agent)
}

#[test]
fn states_that_are_none_leave_the_bundle() {
    let (node, agent) = node();
    let huge = "[".repeat(8 << 20);
    let odd = [
        "",
        "{",
        "null",
        "\u{0}",
        "[]",
        r#"{"id":7}"#,
        r#"{"status":"of tomorrow"}"#,
        r#"{"pid":-1}"#,
        r#"{"bundle":"relative"}"#,
        r#"{"bundle":"/no/such/folder"}"#,
        r#"{"annotations":{"a":1}}"#,
        &huge,
    ];
    for (index, state) in odd.iter().enumerate() {
        node.call(&["createRuntime"], state).allowed();
        assert_eq!(agent.requests().len(), index + 1, "{state:.40}");
    }
    assert!(node.logged("gave no state") && node.logged("malformed") && node.logged("is larger than"));
}

#[test]
fn an_input_that_stays_open_is_not_waited_for() {
    let (node, agent) = node();
    end(start(&mut node.command(&["createRuntime"])), None).allowed();
    assert!(node.logged("did not arrive"), "{:?}", node.log());
    assert_eq!(agent.creation().container_name, "web");
}

#[test]
fn a_closed_input_is_no_state() {
    let (node, agent) = node();
    let mut command = node.command(&["createRuntime"]);
    let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status().expect("ends");
    assert!(status.success());
    assert_eq!(agent.creation().pid, 0);
}

#[test]
fn a_log_that_cannot_be_written_is_named_where_it_matters() {
    let (node, agent) = node();
    for log in ["/proc/nowhere/hook.log", "/proc", "/dev/full"] {
        let log = format!("--log-fname={log}");
        node.create(&[&log], &json!({})).allowed();
        node.create(&[&log, "--grpc-address=unix:/none", "--grpc-timeout=300ms"], &json!({}))
            .refused(&["cannot be written"]);
    }
    assert_eq!(agent.requests().len(), 3);
    // A pipe that nobody reads from.
    let pipe = node.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    node.create(&[&format!("--log-fname={}", pipe.display())], &json!({})).allowed();
}

#[test]
fn a_bundle_that_hangs_ends_in_the_policy() {
    let (node, _agent) = node();
    fs::remove_file(node.bundle().join("config.json")).expect("removed");
    let pipe = node.bundle().join("config.json");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    // What the state said is known by then.
    let create = |namespace| node.create(&["--grpc-timeout=200ms"], &containerd_annotations(namespace));
    create("shop")
        .refused(&["did not get done within", r#"container "web" of pod "web-1" in namespace "shop""#]);
    create("kube-system").allowed();
}
