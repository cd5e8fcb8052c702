//! `getevents`.

use std::io::{BufRead as _, BufReader};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use tetragon_api::json;
use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::{Filter, GetEventsRequest, GetEventsResponse, Process, ProcessExec};

use crate::agent::{Agent, End};
use crate::tetra::{command, finish, run};

fn exec(arguments: &str) -> GetEventsResponse {
    let process =
        Process { binary: "/bin/true".to_owned(), arguments: arguments.to_owned(), ..Default::default() };
    let event = Event::ProcessExec(ProcessExec { process: Some(process), ..Default::default() });
    GetEventsResponse { event: Some(event), node_name: "n".to_owned(), ..Default::default() }
}

fn lines(child: &mut Child, count: usize) -> Vec<String> {
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut lines = Vec::new();
    for _ in 0..count {
        let mut line = String::new();
        stdout.read_line(&mut line).expect("read");
        lines.push(line.trim_end().to_owned());
    }
    child.stdout = Some(stdout.into_inner());
    lines
}

#[test]
fn events_are_printed_as_they_come_until_a_signal() {
    for signal in [Signal::INT, Signal::TERM] {
        let agent = Agent::on_tcp();
        agent.script(vec![exec("a"), exec("b")], End::Never);
        let args = ["getevents", "-o", "compact", "--server-address", &agent.address];
        let mut child = command(&args).spawn().expect("starts");
        // They are here although the stream goes on: nothing waits in a buffer.
        assert_eq!(lines(&mut child, 2), ["🚀 process n /bin/true a", "🚀 process n /bin/true b"]);
        kill_process(Pid::from_child(&child), signal).expect("sent");
        let outcome = finish(child);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn json_is_the_default() {
    let agent = Agent::on_tcp();
    agent.script(vec![exec("a")], End::Orderly);
    let outcome = run(&["getevents", "--server-address", &agent.address]);
    assert_eq!(outcome.stdout, json::event_to_string(&exec("a")) + "\n");
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("the agent ended the stream"), "{outcome:?}");
}

#[test]
fn flags_reach_the_agent_as_one_filter() {
    let agent = Agent::on_tcp();
    agent.script(vec![], End::Orderly);
    run(&["getevents", "--server-address", &agent.address, "-n", "a,b", "--process", "curl"]);
    let filter = Filter {
        namespace: vec!["a".to_owned(), "b".to_owned()],
        binary_regex: vec!["curl".to_owned()],
        ..Default::default()
    };
    assert_eq!(agent.requests(), [GetEventsRequest { allow_list: vec![filter], ..Default::default() }]);
}

#[test]
fn a_broken_stream_is_an_error_after_its_events() {
    let agent = Agent::on_tcp();
    agent.script(vec![exec("a")], End::Failure);
    let outcome = run(&["getevents", "-o", "compact", "--server-address", &agent.address]);
    assert_eq!(outcome.stdout, "🚀 process n /bin/true a\n");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("torn"), "{outcome:?}");
}

#[test]
fn with_reconnect_the_next_stream_follows() {
    let agent = Agent::on_tcp();
    agent.script(vec![exec("a")], End::Failure);
    agent.script(vec![exec("b")], End::Orderly);
    agent.script(vec![exec("c")], End::Never);
    let args = ["getevents", "-o", "compact", "--reconnect", "--reconnect-wait", "50ms", "--server-address"];
    let mut child = command(&[&args[..], &[&agent.address]].concat()).spawn().expect("starts");
    let printed = lines(&mut child, 3);
    assert_eq!(printed, ["a", "b", "c"].map(|it| format!("🚀 process n /bin/true {it}")));
    kill_process(Pid::from_child(&child), Signal::INT).expect("sent");
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr.matches("retrying in 50ms").count(), 2, "{outcome:?}");
    assert!(outcome.stderr.starts_with("getevents: err:"), "{outcome:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let agent = Agent::on_tcp();
    agent.script((0..20_000).map(|n| exec(&n.to_string())).collect(), End::Never);
    let mut child = command(&["getevents", "--server-address", &agent.address]).spawn().expect("starts");
    lines(&mut child, 1);
    drop(child.stdout.take());
    let outcome = finish(child);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_stuck_reader_does_not_hold_back_the_end() {
    let agent = Agent::on_tcp();
    agent.script((0..50_000).map(|n| exec(&n.to_string())).collect(), End::Never);
    let mut child = command(&["getevents", "--server-address", &agent.address]).spawn().expect("starts");
    lines(&mut child, 1);
    // The pipe is full by now or soon, and nobody reads on.
    std::thread::sleep(std::time::Duration::from_millis(300));
    kill_process(Pid::from_child(&child), Signal::INT).expect("sent");
    let mut stdout = child.stdout.take().expect("piped");
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    std::io::copy(&mut stdout, &mut std::io::sink()).expect("the pipe is closed");
}
