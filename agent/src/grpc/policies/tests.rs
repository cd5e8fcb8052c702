use tonic::Code;

use super::*;
use crate::policies::test_engine::{TestEngine, manager, text};

fn adding(yaml: String) -> AddTracingPolicyRequest {
    AddTracingPolicyRequest { yaml, ..Default::default() }
}

/// An agent with policies `a`, and `b` of namespace `shop`.
fn with_two() -> (TestEngine, Manager) {
    let (engine, manager) = manager(true);
    add(&manager, &adding(text("a", ""))).expect("added");
    add(&manager, &adding(text("b", "shop"))).expect("added");
    (engine, manager)
}

fn listed(manager: &Manager) -> Vec<TracingPolicyStatus> {
    list(manager, &ListTracingPoliciesRequest::default()).policies
}

fn deleting(name: &str, namespace: &str, domain: &str) -> DeleteTracingPolicyRequest {
    let [name, namespace, domain] = [name, namespace, domain].map(str::to_owned);
    DeleteTracingPolicyRequest { name, namespace, domain }
}

#[test]
fn policies_are_listed_with_all_that_is_known() {
    let (_engine, manager) = with_two();
    let [a, b] = &listed(&manager)[..] else { panic!("two policies") };
    assert_eq!((&*a.name, &*a.namespace, a.filter_id, &*a.domain), ("a", "", 0, "grpc"));
    assert_eq!((&*b.name, &*b.namespace, b.filter_id), ("b", "shop", 2));
    assert!(a.enabled && a.state() == TracingPolicyState::TpStateEnabled);
    assert_eq!(a.mode(), TracingPolicyMode::TpModeMonitorOnly);
    assert_eq!((a.kernel_memory_bytes, &a.sensors[..]), (4096, &["generic_kprobe-0".to_owned()][..]));
    assert!(a.figures.is_some() && a.stats.is_some());
    assert_eq!(domains(&manager).domains, ["grpc"]);
    let elsewhere = ListTracingPoliciesRequest { domain: "static".to_owned(), ..Default::default() };
    assert!(list(&manager, &elsewhere).policies.is_empty());
    let all = sensors(&manager).sensors;
    let all: Vec<_> = all.iter().map(|it| (&*it.collection, &*it.name, it.enabled)).collect();
    let expected = [
        ("__base__", "__base__", true),
        ("a", "generic_kprobe-0", true),
        ("shop/b", "generic_kprobe-0", true),
    ];
    assert_eq!(all, expected);
    assert_eq!(counts(&manager), [PolicyCount { state: "enabled".to_owned(), count: 2 }]);
}

#[test]
fn what_is_wrong_has_a_code_of_its_own() {
    let (engine, manager) = with_two();
    let code = |result: Result<AddTracingPolicyResponse, Status>| {
        let status = result.expect_err("refused");
        (status.code(), status.message().to_owned())
    };
    let (taken, text_of_it) = code(add(&manager, &adding(text("a", ""))));
    assert_eq!(taken, Code::AlreadyExists);
    assert!(text_of_it.contains("tracing policy a,"), "{text_of_it}");
    let (bad, why) = code(add(&manager, &adding("kind: Pod".to_owned())));
    assert_eq!(bad, Code::InvalidArgument);
    assert!(why.contains("kind"), "{why}");
    let other = AddTracingPolicyRequest { domain: "k8s".to_owned(), ..adding(text("c", "")) };
    assert_eq!(code(add(&manager, &other)).0, Code::InvalidArgument);
    engine.inside().refused.insert("c".to_owned());
    let (refused, why) = code(add(&manager, &adding(text("c", ""))));
    assert_eq!(refused, Code::FailedPrecondition);
    assert!(why.contains("no such function"), "{why}");

    let failed = listed(&manager).into_iter().find(|it| it.name == "c").expect("listed");
    assert_eq!((failed.state(), &*failed.verifier_log), (TracingPolicyState::TpStateLoadError, ""));
    let request = ListTracingPoliciesRequest { verifier_logs: true, ..Default::default() };
    let failed = list(&manager, &request).policies.into_iter().find(|it| it.name == "c").expect("listed");
    assert_eq!(failed.verifier_log, "R1 invalid");

    for (request, expected) in [
        (deleting("", "", ""), Code::InvalidArgument),
        (deleting("z", "", ""), Code::NotFound),
        (deleting("b", "", ""), Code::NotFound),
        (deleting("a", "", "static"), Code::NotFound),
    ] {
        assert_eq!(delete(&manager, request.clone()).expect_err("refused").code(), expected, "{request:?}");
    }
    delete(&manager, deleting("b", "shop", "grpc")).expect("deleted");
}

#[test]
fn a_policy_is_switched_by_each_of_the_calls() {
    let (engine, manager) = with_two();
    let holds = |engine: &TestEngine| engine.loaded().iter().map(|(.., holds)| *holds).collect::<Vec<_>>();
    let request = DisableTracingPolicyRequest { name: "a".to_owned(), ..Default::default() };
    disable(&manager, request.clone()).expect("disabled");
    assert_eq!(holds(&engine), [false, true]);
    assert_eq!(disable(&manager, request).expect_err("disabled already").code(), Code::FailedPrecondition);
    let request = EnableTracingPolicyRequest { name: "a".to_owned(), ..Default::default() };
    enable(&manager, request).expect("enabled");
    assert_eq!(holds(&engine), [true, true]);

    let wanted = |enable: Option<bool>, mode: Option<TracingPolicyMode>| ConfigureTracingPolicyRequest {
        name: "a".to_owned(),
        enable,
        mode: mode.map(i32::from),
        ..Default::default()
    };
    for (enabled, expected) in [(false, [false, true]), (false, [false, true]), (true, [true, true])] {
        configure(&manager, wanted(Some(enabled), None)).expect("configured");
        assert_eq!(holds(&engine), expected);
    }
    // All or nothing.
    let other = wanted(Some(false), Some(TracingPolicyMode::TpModeEnforce));
    assert_eq!(configure(&manager, other).expect_err("refused").code(), Code::FailedPrecondition);
    assert_eq!(holds(&engine), [true, true]);
    let same = wanted(None, Some(TracingPolicyMode::TpModeMonitorOnly));
    configure(&manager, same).expect("nothing to do");
}

#[test]
fn long_messages_are_cut_where_a_character_ends() {
    assert_eq!(message("short"), "short");
    let long = message(&"ä".repeat(MESSAGE_BYTES));
    assert!(long.len() < MESSAGE_BYTES + 64 && long.ends_with("(more is in the agent's log)"), "{long}");
}
