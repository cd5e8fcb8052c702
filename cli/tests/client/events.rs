//! `getevents`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

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

fn from_stdin(args: &[&str], input: &[u8]) -> crate::tetra::Outcome {
    let mut child = command(&[&["getevents"], args].concat()).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A client that refuses its arguments closes the pipe early.
    let _ = stdin.write_all(input);
    drop(stdin);
    finish(child)
}

#[test]
fn a_pipe_on_standard_input_is_read_instead_of_the_agent() {
    let input = format!("{}\n{}\n", json::event_to_string(&exec("a")), json::event_to_string(&exec("b")));
    let outcome = from_stdin(&["-o", "compact"], input.as_bytes());
    assert_eq!(outcome.stdout, "🚀 process n /bin/true a\n🚀 process n /bin/true b\n", "{outcome:?}");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn filters_hold_for_standard_input_too() {
    let mut other = exec("c");
    if let Some(Event::ProcessExec(it)) = &mut other.event {
        it.process.as_mut().expect("set").binary = "/bin/false".to_owned();
    }
    let input = format!("{}\n{}\n", json::event_to_string(&exec("a")), json::event_to_string(&other));
    let outcome = from_stdin(&["--process", "fals", "-f", "process.arguments"], input.as_bytes());
    let expected = "{\"process_exec\":{\"process\":{\"arguments\":\"c\"}},\"node_name\":\"n\"}\n";
    assert_eq!(outcome.stdout, expected, "{outcome:?}");
    let outcome = from_stdin(&["-e", "PROCESS_EXIT"], input.as_bytes());
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    let outcome = from_stdin(&["--process", "("], input.as_bytes());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
}

#[test]
fn lines_that_are_no_events_are_skipped_and_counted() {
    let good = json::event_to_string(&exec("a"));
    let newer = good.replacen('{', "{\"field_of_tomorrow\":1,", 1);
    let input = [good.as_bytes(), b"\n{\"process_exec\":\nnot json\n\xff\xfe\n\n", newer.as_bytes()].concat();
    let outcome = from_stdin(&["-o", "compact"], &input);
    assert_eq!(outcome.stdout, "🚀 process n /bin/true a\n".repeat(2), "{outcome:?}");
    assert_eq!(outcome.code, Some(0));
    assert_eq!(outcome.stderr, "getevents: 3 lines were no events and were skipped (--debug shows why)\n");
    let outcome = from_stdin(&["-o", "compact", "--debug"], &input);
    assert!(outcome.stderr.contains("line 3"), "{outcome:?}");
}

#[test]
fn long_lines_are_events_like_others() {
    let long = "x".repeat(300 << 10);
    let input = json::event_to_string(&exec(&long));
    let outcome = from_stdin(&["-o", "compact"], input.as_bytes());
    assert_eq!(outcome.stdout, format!("🚀 process n /bin/true {long}\n"));
}

#[test]
fn a_field_that_does_not_exist_is_told() {
    let outcome = from_stdin(&["-f", "process.binray,process.pid"], b"");
    assert!(
        outcome.stderr.contains("process.binray") && !outcome.stderr.contains("process.pid"),
        "{outcome:?}"
    );
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn a_file_is_read_like_a_pipe() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("events.log");
    std::fs::write(&path, json::event_to_string(&exec("a")) + "\n").expect("written");
    let file = std::fs::File::open(&path).expect("opens");
    let outcome = finish(command(&["getevents", "-o", "compact"]).stdin(file).spawn().expect("starts"));
    assert_eq!(outcome.stdout, "🚀 process n /bin/true a\n", "{outcome:?}");
}
