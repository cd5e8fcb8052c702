//! Policies: checked without an agent, and managed with one.

use std::fs;

use tetragon_api::tetragon::{TracingPolicyState, TracingPolicyStatus};

use crate::agent::Agent;
use crate::tetra::run;

const GOOD: &str = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: good}\nspec:\n  kprobes:\n  - call: sys_openat\n";
const BAD: &str = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: Bad}\nspec:\n  kprobes:\n  - call: f\n    syscal: false\n";

#[test]
fn every_error_of_every_file_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let (good, bad) = (folder.path().join("good.yaml"), folder.path().join("bad.yaml"));
    fs::write(&good, GOOD).expect("written");
    fs::write(&bad, BAD).expect("written");
    let (good, bad) = (good.to_string_lossy(), bad.to_string_lossy());

    let outcome = run(&["tp", "validate", &good]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.ends_with(&format!("{good}: good is valid\n")), "{outcome:?}");
    assert!(outcome.stdout.contains(&format!("{good}:6:5: warning: spec.kprobes[0].call: ")), "{outcome:?}");

    let directory = folder.path().to_string_lossy();
    for files in [&[&*bad, &*good][..], &[&*directory]] {
        let outcome = run(&[&["tracingpolicy", "validate"], files].concat());
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert_eq!(outcome.stderr, "Error: 1 of 2 policies would be refused\n");
        for line in [
            format!("{bad}:3:12: error: metadata.name: \"Bad\": "),
            format!("{bad}:7:5: error: spec.kprobes[0].syscal: unknown field; did you mean \"syscall\"?"),
            format!("{good}: good is valid"),
        ] {
            assert!(outcome.stdout.contains(&line), "{line}: {outcome:?}");
        }
    }

    let outcome = run(&["tp", "validate", "-o", "json", &bad]);
    let reports: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(reports[0]["errors"][1]["path"], "spec.kprobes[0].syscal", "{reports}");
    assert_eq!(reports[0]["errors"][1]["position"]["line"], 7);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let outcome = run(&["tp", "validate", "/nonexistent/policy.yaml"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("/nonexistent/policy.yaml: error: cannot read the file"), "{outcome:?}");
    assert_eq!(run(&["tp", "validate"]).code, Some(1));
}

#[test]
fn the_empty_policy_can_be_generated_and_is_valid() {
    let outcome = run(&["tp", "generate", "empty"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("empty.yaml");
    fs::write(&file, &outcome.stdout).expect("written");
    assert_eq!(run(&["tp", "validate", &file.to_string_lossy()]).code, Some(0));
}

#[test]
fn policies_are_added_changed_and_deleted() {
    let agent = Agent::on_tcp();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("good.yaml");
    fs::write(&file, GOOD).expect("written");
    let file = file.to_string_lossy();
    for (command, said) in [
        (&["tp", "add", &*file][..], format!("tracing policy \"{file}\" added\n")),
        (&["tp", "add", "--replace", &*file], format!("tracing policy \"{file}\" added\n")),
        (&["tp", "disable", "good"], "tracing policy \"good\" disabled\n".to_owned()),
        (&["tracingpolicy", "enable", "good", "-n", "shop"], "tracing policy \"good\" enabled\n".to_owned()),
        (&["tp", "delete", "--namespace", "shop", "good"], "tracing policy \"good\" deleted\n".to_owned()),
    ] {
        let outcome = run(&[command, &["--server-address", &agent.address]].concat());
        assert_eq!((outcome.code, &outcome.stdout), (Some(0), &said), "{outcome:?}");
    }
    let calls = agent.policy_calls();
    let calls: Vec<_> =
        calls.iter().map(|[what, which, namespace]| (&**what, &**which, &**namespace)).collect();
    assert_eq!(
        calls,
        [
            ("add", GOOD, ""),
            ("replace", GOOD, ""),
            ("disable", "good", ""),
            ("enable", "good", "shop"),
            ("delete", "good", "shop"),
        ]
    );
    for command in ["delete", "enable", "disable"] {
        let outcome = run(&["tp", command, "refused", "--server-address", &agent.address]);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let said = format!("cannot {command} tracing policy \"refused\"");
        assert!(outcome.stderr.contains(&said), "{outcome:?}");
        assert!(outcome.stderr.contains("refused does not exist"), "{outcome:?}");
    }
    let outcome = run(&["tp", "add", "/nonexistent.yaml", "--server-address", &agent.address]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("cannot read /nonexistent.yaml"), "{outcome:?}");
}

#[test]
fn policies_and_sensors_are_listed() {
    let agent = Agent::on_tcp();
    let policy = |id, name: &str, namespace: &str| TracingPolicyStatus {
        id,
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        state: TracingPolicyState::TpStateEnabled.into(),
        ..Default::default()
    };
    agent.has_policies(vec![policy(2, "b", "shop"), policy(1, "a", "")]);
    let outcome = run(&["tp", "list", "--server-address", &agent.address]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let lines: Vec<Vec<&str>> =
        outcome.stdout.lines().map(|line| line.split_whitespace().take(5).collect()).collect();
    assert_eq!(lines[0], ["ID", "NAME", "STATE", "FILTERID", "NAMESPACE"]);
    assert_eq!(lines[1], ["1", "a", "enabled", "0", "(global)"]);
    assert_eq!(lines[2], ["2", "b", "enabled", "0", "shop"]);

    let outcome = run(&["tp", "list", "-n", "shop", "-o", "json", "--server-address", &agent.address]);
    let answer: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(answer["policies"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!(answer["policies"][0]["state"], "TP_STATE_ENABLED");

    let outcome = run(&["sensors", "list", "--server-address", &agent.address]);
    assert_eq!(outcome.stdout, "__base__ (enabled) __base__\ngeneric_kprobe-0 (not enabled) shop/a\n");
}
