//! Calls with one answer, and how they fail.

use std::fs;
use std::time::{Duration, Instant};

use tetragon_api::tetragon::{Feature, GetStatusResponse};

use crate::agent::Agent;
use crate::tetra::run;

#[test]
fn version_asks_over_tcp_and_unix_sockets() {
    let folder = tempfile::tempdir().expect("folder");
    let (tcp, unix) = (Agent::on_tcp(), Agent::on_unix(folder.path().join("x.sock")));
    let by_name = tcp.address.replace("127.0.0.1", "localhost");
    for address in [&tcp.address, &by_name, &unix.address] {
        let outcome = run(&["version", "--server", "--server-address", address]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.ends_with("\nServer version: v9.9.9\n"), "{outcome:?}");
    }
}

#[test]
fn version_alone_needs_no_agent() {
    let outcome = run(&["--server-address", "unix:///nonexistent", "version"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
fn an_agent_that_is_not_there_is_an_error_with_a_remedy() {
    for address in ["127.0.0.1:1", "unix:///nonexistent/x.sock"] {
        for command in [
            &["status"][..],
            &["version", "-s"],
            &["loglevel", "get"],
            &["probe"],
            &["getevents"],
            &["containers"],
            &["policyfilter", "dump"],
            &["tracingpolicy", "list"],
            &["tp", "delete", "x"],
            &["sensors", "list"],
            &["rthooks", "remove-container", "--container-id", "x"],
        ] {
            let outcome = run(&[command, &["--server-address", address]].concat());
            assert_eq!(outcome.code, Some(1), "{outcome:?}");
            assert!(outcome.stderr.starts_with("Error: "), "{outcome:?}");
            assert!(
                outcome.stderr.contains(address) && outcome.stderr.contains("is it running?"),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn an_unavailable_agent_is_asked_again_as_often_as_wished() {
    let agent = Agent::on_tcp();
    agent.refuse(1);
    let outcome = run(&["status", "--server-address", &agent.address]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("not yet"), "{outcome:?}");

    agent.refuse(1);
    let start = Instant::now();
    let outcome = run(&["status", "--server-address", &agent.address, "--retries", "1"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
}

#[test]
fn other_errors_are_not_retried() {
    let agent = Agent::on_tcp();
    let start = Instant::now();
    // The agent has no such service and says so.
    let outcome = run(&["probe", "--server-address", &agent.address, "--retries", "5"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
}

#[test]
fn the_timeout_covers_all_attempts() {
    let agent = Agent::on_tcp();
    agent.never_answer();
    let outcome = run(&["status", "--server-address", &agent.address, "--timeout", "300ms"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("no answer within 300ms"), "{outcome:?}");

    let agent = Agent::on_tcp();
    agent.refuse(100);
    let start = Instant::now();
    let outcome =
        run(&["status", "--server-address", &agent.address, "--timeout", "1500ms", "--retries", "9"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn status_is_one_line_from_agents_that_know_no_more() {
    let agent = Agent::on_tcp();
    let outcome = run(&["status", "--server-address", &agent.address]);
    assert_eq!(outcome.stdout, "Health Status: running\n", "{outcome:?}");
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn status_and_probe_show_what_the_agent_knows() {
    let agent = Agent::on_tcp();
    let feature = Feature { name: "tp_btf".to_owned(), enabled: true, detail: String::new() };
    agent.has_status(GetStatusResponse { events_emitted: 42, features: vec![feature], ..Default::default() });
    let outcome = run(&["status", "--server-address", &agent.address]);
    assert!(outcome.stdout.starts_with("Health Status: running\n"), "{outcome:?}");
    assert!(outcome.stdout.contains("Events: 42\n"), "{outcome:?}");
    let outcome = run(&["status", "-o", "json", "--server-address", &agent.address]);
    let value: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(value["agent"]["events_emitted"], "42", "{outcome:?}");
    let outcome = run(&["probe", "--server-address", &agent.address]);
    assert_eq!(outcome.stdout, "tp_btf: true\n", "{outcome:?}");
}

#[test]
fn the_log_level_is_read_and_set() {
    let agent = Agent::on_tcp();
    let outcome = run(&["loglevel", "get", "--server-address", &agent.address]);
    assert_eq!(outcome.stdout, "Current log level: warning\n", "{outcome:?}");
    let outcome = run(&["log", "set", "debug", "--server-address", &agent.address]);
    assert_eq!(outcome.stdout, "Log level set to: debug\n", "{outcome:?}");
    let outcome = run(&["log", "set", "loud", "--server-address", &agent.address]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
}

#[test]
fn misuse_is_an_error_and_help_is_not() {
    let outcome = run(&["getevents", "-e", "NO_SUCH"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.starts_with("Error: ") && outcome.stderr.contains("PROCESS_LSM"), "{outcome:?}");
    for args in [&[][..], &["help"], &["help", "getevents"], &["getevents", "--help"]] {
        let outcome = run(args);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("Usage: tetra"), "{outcome:?}");
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn a_message_beyond_the_limit_is_an_error() {
    let agent = Agent::on_tcp();
    agent.has_status(GetStatusResponse { version: "x".repeat(4096), ..Default::default() });
    let outcome = run(&["status", "--server-address", &agent.address, "--max-recv-size", "2048"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("--max-recv-size"), "{outcome:?}");
}

#[test]
fn a_full_disk_is_reported() {
    let full = fs::File::options().write(true).open("/dev/full").expect("exists");
    let mut command = crate::tetra::command(&["completion", "bash"]);
    let outcome = crate::tetra::finish(command.stdout(full).spawn().expect("starts"));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("No space left"), "{outcome:?}");
}
