//! Whatever the input, the loader answers, and what it lets pass is whole.

use proptest::prelude::*;
use serde_json::{Map, Value};
use tetragon_crds::policy::{Action, Hook, HookPoint, Policy, Predicate};
use tetragon_crds::spec::ArgType;
use tetragon_crds::{Origin, limits, load_json};

use crate::load;
use crate::samples::POLICIES;

/// What holds for every policy that was loaded.
fn check(policy: &Policy) {
    assert!(!policy.name.name.is_empty());
    for hook in &policy.hooks {
        assert!(hook.selectors.len() <= limits::SELECTORS && hook.args.len() <= limits::ARGS);
        assert!(hook.message.len() <= limits::MESSAGE);
        for selector in &hook.selectors {
            assert!(!selector.actions.is_empty() && selector.actions.len() <= limits::ACTIONS);
            assert!(selector.args.iter().all(|filter| filter.arg < hook.args.len()));
            assert!(selector.args.iter().all(|filter| is_typed(hook, &filter.predicate)));
            assert!(hook.returns.is_some() || selector.return_args.is_empty());
            for action in selector.actions.iter().chain(&selector.return_actions) {
                if let Action::NotifyEnforcer { .. } = action {
                    assert!(policy.enforcer.is_some());
                }
            }
        }
        if !matches!(hook.point, HookPoint::Tracepoint { .. }) {
            assert!(hook.args.iter().all(|arg| arg.ty != ArgType::Auto && arg.index <= limits::LAST_ARG));
        }
    }
    serde_json::to_string(policy).expect("can be printed");
}

fn is_typed(hook: &Hook, predicate: &Predicate) -> bool {
    match predicate {
        Predicate::Untyped { .. } => matches!(hook.point, HookPoint::Tracepoint { .. }),
        Predicate::Text { values, .. } => values.iter().all(|value| !value.is_empty()),
        _ => true,
    }
}

/// Loads, and checks the outcome.
fn outcome(text: &str) {
    match load(text) {
        Ok(policy) => check(&policy),
        Err(errors) => {
            assert!(!errors.errors.is_empty());
            assert!(!errors.to_string().is_empty());
        }
    }
}

/// Words that policies are made of, and others.
fn word() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "Equal", "Prefix", "InMap", "In", "NotIn", "int", "string", "sock", "auto", "file", "Post", "Sigkill",
            "Override", "sys_openat", "list:a", "a", "", "host_ns", "CAP_BPF", "1:2", "::1", "Pid", "1m", "\0", "é",
        ]).prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => (0..12_i64).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => ".{0,12}".prop_map(Value::from),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::sample::select(vec![
            "kprobes", "tracepoints", "lsmhooks", "uprobes", "lists", "enforcers", "options", "podSelector", "call",
            "args", "index", "type", "selectors", "matchArgs", "matchPIDs", "matchActions", "operator", "values",
            "action", "argError", "name", "value", "return", "returnArg", "hook", "subsystem", "event", "calls",
        ]).prop_map(str::to_owned),
        1 => ".{0,6}",
    ]
}

/// A tree of such words.
fn tree() -> impl Strategy<Value = Value> {
    word().prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Every place in a tree, as the choices that lead there.
fn places(value: &Value, here: &[usize], all: &mut Vec<Vec<usize>>) {
    all.push(here.to_vec());
    let children: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => return,
    };
    for (index, child) in children.into_iter().enumerate() {
        places(child, &[here, &[index]].concat(), all);
    }
}

fn place<'v>(value: &'v mut Value, steps: &[usize]) -> &'v mut Value {
    match steps.split_first() {
        None => value,
        Some((step, rest)) => match value {
            Value::Array(items) => place(&mut items[*step], rest),
            Value::Object(fields) => place(fields.values_mut().nth(*step).expect("a place"), rest),
            other => other,
        },
    }
}

fn sample_values() -> Vec<Value> {
    let values = POLICIES.iter().map(|(_, yaml)| serde_norway::from_str(yaml).expect("YAML"));
    values.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        outcome(&text);
    }

    #[test]
    fn any_text_that_looks_like_yaml(text in "[-a-c:{}\\[\\]&*!|>'\"%@#,? \n\t0-9<~.]{0,120}") {
        outcome(&text);
    }

    #[test]
    fn any_spec(spec in tree()) {
        let object = serde_json::json!({
            "apiVersion": "cilium.io/v1alpha1",
            "kind": "TracingPolicy",
            "metadata": { "name": "any" },
            "spec": spec,
        });
        match load_json(&object, &Origin::Grpc) {
            Ok(policy) => check(&policy),
            Err(errors) => prop_assert!(!errors.errors.is_empty()),
        }
        // The same as text has the same outcome.
        let text = serde_norway::to_string(&object).expect("YAML");
        prop_assert_eq!(load(&text).is_ok(), load_json(&object, &Origin::Grpc).is_ok());
    }

    /// Valid policies with one or two places replaced.
    #[test]
    fn mutations(
        sample in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), tree()), 1..3),
    ) {
        let mut samples = sample_values();
        let at = sample.index(samples.len());
        let mut object = samples.swap_remove(at);
        for (at, value) in changes {
            let mut all = Vec::new();
            places(&object, &[], &mut all);
            *place(&mut object, &all[at.index(all.len())]) = value;
        }
        match load_json(&object, &Origin::Grpc) {
            Ok(policy) => check(&policy),
            Err(errors) => prop_assert!(!errors.errors.is_empty()),
        }
    }

    /// Valid texts with bytes cut out, doubled or replaced.
    #[test]
    fn damaged_texts(
        sample in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, ".{0,3}"), 1..4),
    ) {
        let mut text = sample.get(POLICIES).1.to_owned();
        for (at, length, insert) in cuts {
            let start = text.floor_char_boundary(at.index(text.len().max(1)));
            let end = text.floor_char_boundary((start + length).min(text.len())).max(start);
            text.replace_range(start..end, &insert);
        }
        outcome(&text);
    }
}
