//! Policies, checked without an agent.

use std::fs;

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
