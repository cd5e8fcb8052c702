//! The process: signals, exit codes, messages.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::agent::Behaviour;
use crate::node::{Node, until};
use crate::runtime::pod;

#[tokio::test]
async fn it_ends_when_asked_with_success_and_a_last_report() {
    for signal in [Signal::TERM, Signal::INT] {
        let node = Node::new();
        let _agent = node.agent(Behaviour::Take);
        let mut plugin = node.plugin(&[]);
        let mut runtime = node.runtime().await;
        runtime.synchronize(Vec::new(), Vec::new()).await;
        plugin.sees_agent("here").await;
        runtime.create(&pod("prod"), "c1").await.expect("taken");
        plugin.signal(signal);
        assert_eq!(plugin.end().code(), Some(0), "{}", plugin.log());
        assert_eq!(plugin.count("announce_ok"), 1, "the file is the last word");
    }
}

#[tokio::test]
async fn a_missing_runtime_is_told_once_and_waited_for() {
    let node = Node::new();
    let mut plugin = node.plugin(&[]);
    until("told", || plugin.log().contains("NRI enabled")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = plugin.log();
    assert_eq!(log.matches("waiting for the runtime").count(), 1, "{log}");
    assert_eq!(log.matches("waiting for the agent").count(), 1, "{log}");
    plugin.signal(Signal::USR1);
    until("reported", || plugin.log().contains("\"agent\":\"away\"") || plugin.log().contains("so far"))
        .await;
    plugin.signal(Signal::TERM);
    assert_eq!(plugin.end().code(), Some(0));
}

#[test]
fn misuse_is_told_before_anything_begins() {
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--no-such-flag"], 2, "--no-such-flag"),
        (&["--grpc-address=nowhere:port"], 2, "no port"),
        (&["--grpc-timeout=0s"], 2, "more than 0"),
        (&["--fail-cel-expr=annotations["], 1, "--fail-cel-expr"),
        (&["--fail-allow-namespaces-regex=("], 1, "--fail-allow-namespaces-regex"),
        (&["--nri-name=a b"], 1, "--nri-name"),
    ];
    for (flags, code, word) in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_tetragon-rthooks"))
            .arg("nri-hook")
            .args(flags)
            .output()
            .expect("runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {text}");
        assert!(text.contains(word), "{flags:?}: {text}");
    }
}
