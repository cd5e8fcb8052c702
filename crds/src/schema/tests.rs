use serde_json::json;

use super::*;
use crate::source;
use crate::spec::TracingPolicySpec;

fn checked(text: &str) -> (Value, Vec<String>) {
    let mut findings = Vec::new();
    let node = source::parse(text, &mut findings).expect("parses");
    let (value, _) = apply(&node, &Path::root().field("spec"), &mut findings);
    // Whatever the text says, what comes out has the right types.
    serde_json::from_value::<TracingPolicySpec>(value.clone()).expect("decodes");
    (value, findings.iter().map(ToString::to_string).collect())
}

#[test]
fn defaults_are_filled_in() {
    let (value, findings) = checked("kprobes:\n- call: sys_open\n  args: [{index: 1}]\n  selectors:\n");
    assert_eq!(findings, [""; 0]);
    let arg = json!({ "index": 1, "type": "auto", "sizeArgIndex": 0, "returnCopy": false, "maxData": false });
    let kprobe = json!({ "call": "sys_open", "syscall": true, "return": false, "args": [arg] });
    assert_eq!(value, json!({ "kprobes": [kprobe], "loader": false }));
}

#[test]
fn numbers_in_lists_of_texts_keep_the_text_they_were_written_with() {
    let text = "lists: [{name: 1, values: [0x10, 007, yes, 1.50, x]}]";
    let (value, findings) = checked(text);
    assert_eq!(findings, [""; 0]);
    assert_eq!(value["lists"][0], json!({ "name": "1", "values": ["0x10", "007", "yes", "1.50", "x"] }));
}

#[test]
fn every_structural_error_is_found_at_once() {
    let text = "\
kprobe: []
hostSelector: {}
loader: 'true'
kprobes:
- syscal: true
  args:
  - index: -1
    type: unit64
  - index: \"0\"
    type: sockaddr
  selectors:
    matchPIDs: []
  tags: [aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa]
tracepoints: one
lists:
- - name: x
enforcers:
- calls: sys_open
";
    let (_, findings) = checked(text);
    assert_eq!(
        findings,
        [
            "spec.kprobe: unknown field; did you mean \"kprobes\"?",
            "spec.hostSelector: unknown field; later versions of the interface have it, v1.2 does not",
            "spec.loader: \"true\": a text where true or false is needed; write true without quotes",
            "spec.kprobes[0].syscal: unknown field; did you mean \"syscall\"?",
            "spec.kprobes[0].args[0].index: \"-1\": out of range; from 0 to 4294967295",
            "spec.kprobes[0].args[0].type: \"unit64\": not a word that is known here; did you mean \"uint64\"?",
            "spec.kprobes[0].args[1].index: \"0\": a text where a whole number is needed; write 0 without quotes",
            "spec.kprobes[0].args[1].type: \"sockaddr\": not a word that is known here; later versions of the \
             interface have it, v1.2 does not",
            "spec.kprobes[0].selectors: an object where a list is needed; put \"- \" before its first field",
            "spec.kprobes[0].tags: 17 elements; no more than 16 are allowed",
            "spec.kprobes[0].call: missing; a text is required",
            "spec.tracepoints: \"one\": a text where a list is needed; write [\"one\"]",
            "spec.lists[0]: a list where an object is needed; leave out the \"- \"",
            "spec.enforcers[0].calls: \"sys_open\": a text where a list is needed; write [\"sys_open\"]",
        ]
    );
}

#[test]
fn what_is_replaced_is_known_to_be_broken() {
    let mut findings = Vec::new();
    let node = source::parse("kprobes: [{args: [{index: 1, type: x}]}]", &mut findings).expect("parses");
    let spec = Path::root().field("spec");
    let (_, broken) = apply(&node, &spec, &mut findings);
    let kprobe = spec.field("kprobes").index(0);
    assert!(broken.contains(&kprobe.field("call")));
    assert!(broken.contains(&kprobe.field("args").index(0).field("type")));
    assert!(!broken.contains(&kprobe.field("args").index(0).field("index")));
}

#[test]
fn a_missing_index_is_zero_and_labels_have_a_form() {
    let (value, findings) = checked("tracepoints: [{subsystem: a, event: b, args: [{type: int}]}]");
    assert_eq!((findings, &value["tracepoints"][0]["args"][0]["index"]), (vec![], &json!(0)));
    let (_, findings) = checked("podSelector: {matchLabels: {app.io/x: '-', y: ok}}");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("spec.podSelector.matchLabels[\"app.io/x\"]: \"-\": "), "{findings:?}");
}
