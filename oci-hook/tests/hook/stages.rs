//! The other stages, and the command line.

use serde_json::json;
use tetragon_api::tetragon::runtime_hook_request::Event;
use tetragon_api::tetragon::{RemoveContainer, RuntimeHookRequest};
use tonic::Status;

use crate::agent::Mood;
use crate::kit::{ID, Node, containerd};

#[test]
fn what_is_gone_is_told_and_forgotten() {
    let node = Node::new();
    node.has_config(&containerd());
    node.create(&["--fail-allow-namespaces=shop"], &json!({})).allowed();
    assert!(node.spooled().exists());
    let agent = node.agent();
    node.call(&["poststop"], &node.state(&json!({}))).allowed();
    let removal = RemoveContainer { container_id: ID.to_owned(), source: "oci-hook".to_owned() };
    assert_eq!(agent.requests(), [RuntimeHookRequest { event: Some(Event::RemoveContainer(removal)) }]);
    assert!(!node.spooled().exists());
}

#[test]
fn removal_succeeds_whatever_happens() {
    let node = Node::new();
    let state = node.state(&json!({}));
    node.call(&["poststop"], &state).allowed();
    node.call(&["poststop"], "no state").allowed();
    let agent = node.agent();
    for mood in [Mood::Refusing(Status::internal("no")), Mood::Silent] {
        agent.is(mood);
        node.call(&["poststop"], &state).allowed();
    }
    assert_eq!(node.log().iter().filter(|line| line["level"] == "WARN").count(), 5, "{:?}", node.log());
}

#[test]
fn other_stages_do_nothing() {
    let node = Node::new();
    let agent = node.agent();
    node.call(&["createContainer"], "").allowed();
    assert!(node.logged("nothing to do"));
    node.call(&["prestart"], "").allowed();
    assert!(node.logged("unknown stage"));
    assert!(agent.requests().is_empty());
}

#[test]
fn the_agent_tells_its_version() {
    let node = Node::new();
    let absent = node.call(&["server-version"], "");
    assert_eq!(absent.code, Some(1));
    assert!(absent.stderr.contains("no agent can be reached"), "{absent:?}");
    let _agent = node.agent();
    let present = node.call(&["server-version"], "");
    assert_eq!((present.code, present.stdout.as_str()), (Some(0), "v9.9.9\n"));
    assert!(node.logged("v9.9.9"));
}

#[test]
fn a_wrong_command_line_says_what_is_wrong() {
    let node = Node::new();
    for (args, words) in [
        (&[][..], "name the stage"),
        (&["createRuntime", "--no-such"], "there is no flag --no-such"),
        (&["createRuntime", "--grpc-timeout=soon"], "--grpc-timeout: 'soon'"),
    ] {
        let outcome = node.call(args, "");
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains(words), "{outcome:?}");
    }
}

#[test]
fn settings_and_help_can_be_shown() {
    let node = Node::new();
    let shown = node.call(&["createRuntime", "--just-print-config"], "");
    assert_eq!(shown.code, Some(0));
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(shown["spool_dir"], node.path("run/containers").display().to_string());
    assert!(node.call(&["--help"], "").stdout.contains("--grpc-timeout"));
}
