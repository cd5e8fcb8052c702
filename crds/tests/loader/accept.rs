//! What must load.

use tetragon_crds::policy::Scope;
use tetragon_crds::{Origin, load_json};

use crate::samples::POLICIES;
use crate::{load, with_kprobe, with_selector, with_spec};

#[test]
fn the_samples() {
    for (name, yaml) in POLICIES {
        load(yaml).unwrap_or_else(|errors| panic!("{name}: {errors}"));
    }
}

#[test]
fn the_same_as_json_from_the_cluster() {
    for (name, yaml) in POLICIES {
        // Anchors and the booleans of YAML 1.1 are not JSON's.
        if ["team", "loader"].contains(name) {
            continue;
        }
        let mut object: serde_json::Value = serde_norway::from_str(yaml).expect("YAML");
        for key in ["uid", "resourceVersion", "creationTimestamp"] {
            object["metadata"][key] = "1".into();
        }
        object["metadata"]["managedFields"] = serde_json::json!([{ "manager": "kubectl" }]);
        // What the API server would not let pass: numbers in lists of texts.
        let from_json = load_json(&object, &Origin::Grpc).unwrap_or_else(|errors| panic!("{name}: {errors}"));
        let mut from_text = load(yaml).expect("loads");
        let places = from_text.warnings.iter_mut().map(|warning| warning.position.take());
        assert!(places.into_iter().all(|place| place.is_some()));
        let mut from_json = from_json;
        from_json.warnings.sort_by_key(|warning| warning.to_string());
        from_text.warnings.sort_by_key(|warning| warning.to_string());
        assert_eq!(from_json, from_text, "{name}");
    }
}

#[test]
fn fields_that_are_null_or_empty() {
    let policy = load(&with_spec("{kprobes: null, podSelector: {}, containerSelector: {matchLabels: {}}}"))
        .expect("loads");
    assert_eq!((policy.hooks.len(), policy.scope.clone(), policy.is_scoped()), (0, Scope::default(), false));
    load(&with_kprobe("call: sys_mount, args: , selectors: , tags: , message: ''")).expect("loads");
    load(&with_selector("matchPIDs: , matchArgs: , matchActions: ")).expect("loads");
}

#[test]
fn combinations_that_are_allowed() {
    let kprobe = "kprobes: [{call: sys_mount}]";
    let uprobe = "uprobes: [{path: /bin/sh, symbols: [main]}]";
    load(&with_spec(&format!("{{{kprobe}, {uprobe}, loader: true}}"))).expect("loads");
    // The same function twice: two hooks.
    let twice = load(&with_spec("{kprobes: [{call: sys_mount}, {call: sys_mount}]}")).expect("loads");
    assert_eq!(twice.hooks.len(), 2);
}

#[test]
fn ten_thousand_values() {
    let numbers: Vec<String> = (0..10_000).map(|number| format!("'{}'", number * 2)).collect();
    let texts: Vec<String> = (0..10_000).map(|number| format!("/path/{number}")).collect();
    for (index, operator, values) in [(0, "InMap", &numbers), (0, "Equal", &numbers), (1, "NotEqual", &texts)]
    {
        let selector =
            format!("matchArgs: [{{index: {index}, operator: {operator}, values: [{}]}}]", values.join(", "));
        load(&with_selector(&selector)).expect("loads");
    }
}

#[test]
fn ten_thousand_wrong_values_are_ten_thousand_errors() {
    let values: Vec<String> = (0..10_000).map(|number| format!("x{number}")).collect();
    let selector = format!("matchArgs: [{{index: 0, operator: Equal, values: [{}]}}]", values.join(", "));
    let errors = load(&with_selector(&selector)).expect_err("refused");
    assert_eq!(errors.errors.len(), 10_000);
    assert!(errors.brief(20).len() < 4096);
}
