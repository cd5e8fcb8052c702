//! Whom a policy lets start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::{Position, is_static_pod};

const CRIO: &str = "io.kubernetes.pod.namespace";
const CONTAINERD: &str = "io.kubernetes.cri.sandbox-namespace";

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn cel(text: &str) -> Options {
    Options { cel_expression: Some(text.to_owned()), ..Options::default() }
}

/// The policy's word on a container with these annotations.
fn decide(options: &Options, pairs: &[(&str, &str)]) -> Decision {
    let policy = FailurePolicy::new(options).expect("valid options");
    policy.decide(&Subject { annotations: &annotations(pairs), namespace: None, static_pod: false })
}

fn allows(options: &Options, pairs: &[(&str, &str)]) -> bool {
    decide(options, pairs).is_allowed()
}

fn error(options: &Options) -> PolicyError {
    FailurePolicy::new(options).expect_err("invalid options")
}

#[test]
fn by_default_only_the_system_namespace_starts_unseen() {
    let options = Options::default();
    for key in [CRIO, CONTAINERD] {
        assert!(allows(&options, &[(key, "kube-system")]), "{key}");
        assert!(!allows(&options, &[(key, "default")]), "{key}");
        assert!(!allows(&options, &[(key, "")]), "{key}");
    }
    let refused = decide(&options, &[("io.kubernetes.pod.name", "kube-system")]);
    assert_eq!(
        refused.reason(),
        "its namespace is not known: no annotation io.kubernetes.pod.namespace or io.kubernetes.cri.sandbox-namespace"
    );
}

#[test]
fn a_second_annotation_exempts_nobody() {
    let refused = decide(&Options::default(), &[(CRIO, "kube-system"), (CONTAINERD, "shop")]);
    assert!(!refused.is_allowed());
    assert!(refused.reason().contains(r#""kube-system", "shop""#), "{refused:?}");
    let both = Options { allow_namespaces: vec!["kube-system".into(), "shop".into()], ..Options::default() };
    assert!(allows(&both, &[(CRIO, "kube-system"), (CONTAINERD, "shop")]));
}

#[test]
fn what_the_runtime_knows_counts_more_than_annotations() {
    let policy = FailurePolicy::new(&Options::default()).expect("valid");
    let claimed = annotations(&[(CRIO, "kube-system")]);
    let subject = Subject { annotations: &claimed, namespace: Some("shop"), static_pod: false };
    assert!(!policy.decide(&subject).is_allowed());
    assert!(policy.decide(&Subject { namespace: Some(""), ..subject }).is_allowed());
}

#[test]
fn patterns_match_anywhere_unless_anchored() {
    let with = |pattern: &str| Options {
        allow_namespaces: Vec::new(),
        allow_namespace_patterns: vec![pattern.to_owned()],
        ..Options::default()
    };
    assert!(allows(&with("kube"), &[(CRIO, "my-kube-tools")]));
    assert!(!allows(&with("^kube"), &[(CRIO, "my-kube-tools")]));
    assert!(!allows(&with("^kube-system$"), &[(CRIO, "kube-system\n")]));
}

#[test]
fn static_pods_boot_a_node() {
    let options = cel("true");
    let policy = FailurePolicy::new(&options).expect("valid");
    let pod = annotations(&[("kubernetes.io/config.source", "file")]);
    let subject = Subject { annotations: &pod, namespace: Some("any"), static_pod: is_static_pod(&pod) };
    assert!(policy.decide(&subject).is_allowed());
    assert!(!is_static_pod(&annotations(&[("kubernetes.io/config.source", "api")])));
    let strict = Options { exempt_static_pods: false, ..options };
    assert!(!FailurePolicy::new(&strict).expect("valid").decide(&subject).is_allowed());
}

#[test]
fn an_expression_decides_alone() {
    let by_label = cel("!('team' in annotations) || annotations['team'] != 'infra'");
    assert!(allows(&by_label, &[("team", "infra")]));
    assert!(!allows(&by_label, &[("team", "shop"), (CRIO, "kube-system")]));
    assert!(!allows(&by_label, &[]));
    let by_prefix = cel("pod_namespace.matches('^shop')");
    assert!(allows(&by_prefix, &[(CRIO, "bakery")]));
    assert!(!allows(&by_prefix, &[(CRIO, "shop-1")]));
    assert!(!allows(&cel("matches(pod_namespace, 'ery$')"), &[(CRIO, "bakery")]));
    assert!(decide(&cel("pod_namespace.matches('(')"), &[]).reason().contains("open group"));
}

#[test]
fn every_documented_variable_has_a_value() {
    let pod = [(CONTAINERD, "shop")];
    for expression in [
        "annotations[annotations_namespace_key] != 'shop'",
        "!annotations_namespace_keys.exists(k, k in annotations && annotations[k] == 'shop')",
        "pod_namespace != 'shop'",
        "!('kube-system' in allow_namespaces)",
        "size(allow_namespace_patterns) != 0",
        "static_pod",
    ] {
        assert!(allows(&cel(expression), &pod), "{expression}");
    }
    // The key of an annotation that is missing makes an error, and an error refuses.
    let refused = decide(&cel("annotations[annotations_namespace_key] != 'shop'"), &[]);
    assert!(refused.reason().contains("cannot be evaluated"), "{refused:?}");
}

#[test]
fn what_is_no_bool_refuses() {
    let options = cel("'a' in annotations ? annotations['a'] : false");
    assert!(allows(&options, &[]));
    assert!(decide(&options, &[("a", "b")]).reason().contains("type string"));
}

#[test]
fn errors_name_option_place_and_remedy() {
    let pattern = |text: &str| Options {
        allow_namespace_patterns: vec!["fine".to_owned(), text.to_owned()],
        ..Options::default()
    };
    assert_eq!(
        error(&pattern("a(")).to_string(),
        "--fail-allow-namespaces-regex, pattern 2 ('a('): found open group without closing ')'; correct it, or list the namespaces in \
         --fail-allow-namespaces"
    );
    assert_eq!(error(&pattern("")), PolicyError::EmptyPattern { number: 2 });
    assert_eq!(error(&Options { namespace_keys: vec![], ..Options::default() }), PolicyError::NoNamespaceKey);

    let PolicyError::Expression { position, .. } = error(&cel("pod_namespace ==\n 'a' ||")) else { panic!() };
    assert_eq!(position.line, 2);
    let unknown = error(&cel("name == 'a'")).to_string();
    assert!(unknown.contains("'name'") && unknown.contains("annotations_namespace_key"), "{unknown}");
    let number = error(&cel("1 + 1")).to_string();
    assert!(number.contains("type int"), "{number}");
    let PolicyError::Expression { position, .. } = error(&cel(&"a".repeat(5000))) else { panic!() };
    assert_eq!(position, Position::default());
}

#[test]
fn deep_expressions_end_in_a_word() {
    for (unit, close) in [
        ("(", ")"),
        ("[", "]"),
        ("!", ""),
        ("-", ""),
        ("a.", ""),
        ("true||", ""),
        ("true?true:", ""),
        ("1+", ""),
        ("{1:", "}"),
        ("size(", ")"),
        ("[1].map(x,", ")"),
        ("a[", "]"),
    ] {
        for times in [40, 90, 1300 / unit.len(), 4000 / (unit.len() + close.len())] {
            let text = format!("{}true{}", unit.repeat(times), close.repeat(times));
            if let Ok(policy) = FailurePolicy::new(&cel(&text)) {
                let _ =
                    policy.decide(&Subject { annotations: &[].into(), namespace: None, static_pod: false });
            }
        }
    }
}

#[test]
fn an_expression_that_runs_away_refuses_in_time() {
    let options =
        cel("annotations.all(a, annotations.all(b, annotations.all(c, annotations.all(d, a != 'x'))))");
    let many: Vec<(String, String)> = (0..300).map(|i| (format!("key{i}"), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let begun = Instant::now();
    let decision = decide(&options, &many);
    assert!(!decision.is_allowed() && decision.reason().contains("half a second"), "{decision:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

fn words() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("annotations"),
        Just("pod_namespace"),
        Just("annotations_namespace_key"),
        Just("'kube'"),
        Just("1"),
        Just("0u"),
        Just("-9223372036854775808"),
        Just("2.5"),
        Just("true"),
        Just("null"),
        Just("["),
        Just("]"),
        Just("("),
        Just(")"),
        Just("."),
        Just(","),
        Just(" in "),
        Just("=="),
        Just("&&"),
        Just("||"),
        Just("!"),
        Just("?"),
        Just(":"),
        Just("+"),
        Just("-"),
        Just("/"),
        Just("%"),
        Just("*"),
        Just("matches("),
        Just("size("),
        Just("int("),
        Just(".all(x,"),
        Just(".map(x,"),
        Just("has(annotations.a)"),
        Just("{"),
        Just("}"),
        Just("b'\\xff'"),
        Just("\"\\"),
        Just("é"),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    // A panic inside an expression would show as "failed unexpectedly", never here; that is the point.
    #[test]
    fn no_expression_ends_the_caller(
        text in prop_oneof![words(), any::<String>()],
        pairs in prop::collection::btree_map(any::<String>(), any::<String>(), 0..6),
        namespace in prop::option::of(any::<String>()),
    ) {
        if let Ok(policy) = FailurePolicy::new(&cel(&text)) {
            let decision = policy.decide(&Subject {
                annotations: &pairs, namespace: namespace.as_deref(), static_pod: false,
            });
            prop_assert!(!decision.reason().is_empty());
        }
    }

    #[test]
    fn only_listed_namespaces_start(
        namespace in "[a-z-]{1,12}",
        listed in prop::collection::vec("[a-z-]{1,12}", 0..4),
        pattern in any::<String>(),
    ) {
        let options = Options { allow_namespaces: listed.clone(), ..Options::default() };
        prop_assert_eq!(allows(&options, &[(CRIO, &namespace)]), listed.contains(&namespace));
        // Anything may be given as a pattern; only an error may come of it.
        let _ = FailurePolicy::new(&Options { allow_namespace_patterns: vec![pattern], ..Options::default() });
    }
}
