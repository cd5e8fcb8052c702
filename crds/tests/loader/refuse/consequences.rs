//! Actions, what carries them out, and everything that is wrong at once.

use super::{refused, selector};
use crate::{load, with_spec};

#[test]
fn actions() {
    for (action, field, words) in [
        ("action: post", "action", "did you mean \"Post\"?"),
        ("action: Set", "action", "later versions"),
        ("argError: -1", "action", "missing"),
        ("action: Sigkill, rateLimit: 1m", "rateLimit", "it belongs to Post"),
        ("action: Post, rateLimit: fast", "rateLimit", "such as 30"),
        ("action: Post, rateLimit: 10ms", "rateLimit", "not a time"),
        ("action: Post, rateLimit: '-1'", "rateLimit", "not a time"),
        ("action: Post, rateLimit: 1m, rateLimitScope: node", "rateLimitScope", "thread, process, global"),
        ("action: NoPost, kernelStackTrace: true", "kernelStackTrace", "it belongs to Post"),
        ("action: Signal, userStackTrace: true, argSig: 9", "userStackTrace", "it belongs to Post"),
        ("action: Signal", "argSig", "from 1 to 64"),
        ("action: Signal, argSig: 65", "argSig", "from 1 to 64"),
        ("action: Override, argError: -1", "action", "fd_install is neither"),
        ("action: NotifyEnforcer, argError: -1", "action", "there is no enforcer"),
        ("action: UnfollowFD, argFd: 4", "argFd", "no argument has this index"),
        ("action: FollowFD, argFd: 0, argName: 1", "argName", "the type string"),
        ("action: UnfollowFD, argFd: 1", "argFd", "it must be fd or int"),
        ("action: CopyFD, argFd: 0, argName: 3", "argName", "the type skb"),
        ("action: GetUrl", "argUrl", "GetUrl needs it"),
        ("action: DnsLookup", "argFqdn", "DnsLookup needs it"),
        ("action: TrackSock, argSock: 0", "argSock", "it must be sock"),
        ("action: UntrackSock, argSock: 9", "argSock", "no argument has this index"),
    ] {
        let path = format!("spec.kprobes[0].selectors[0].matchActions[0].{field}");
        refused(&[(selector(&format!("matchActions: [{{{action}}}]")), &path, words)]);
    }
}

#[test]
fn overriding_needs_what_can_be_overridden() {
    let select = "selectors: [{matchActions: [{action: Override, argError: -1}]}]";
    refused(&[
        (
            with_spec(&format!("{{tracepoints: [{{subsystem: a, event: b, {select}}}]}}")),
            "spec.tracepoints[0].selectors[0].matchActions[0].action",
            "a tracepoint is neither",
        ),
        (
            with_spec(&format!(
                "{{lists: [{{name: l, values: [do_open]}}], kprobes: [{{call: 'list:l', {select}}}]}}"
            )),
            "spec.kprobes[0].selectors[0].matchActions[0].action",
            "the list may hold others",
        ),
    ]);
}

#[test]
fn what_lsm_hooks_and_uprobes_do_not_support() {
    let lsm =
        |fields: &str| with_spec(&format!("{{lsmhooks: [{{hook: file_open, selectors: [{{{fields}}}]}}]}}"));
    let at = "spec.lsmhooks[0].selectors[0].";
    refused(&[
        (
            lsm("matchActions: [{action: NoPost}, {action: GetUrl, argUrl: x}]"),
            &format!("{at}matchActions[1].action"),
            "not supported by lsmhooks",
        ),
        (lsm("matchActions: [{action: NotifyEnforcer}]"), &format!("{at}matchActions[0].action"), "Override"),
        (
            lsm("matchActions: [{action: Post, kernelStackTrace: true}]"),
            &format!("{at}matchActions[0].kernelStackTrace"),
            "kprobe",
        ),
        (
            lsm("matchReturnArgs: [{index: 0, operator: Equal, values: ['0']}]"),
            &format!("{at}matchReturnArgs"),
            "only kprobes",
        ),
        (lsm("matchReturnActions: [{action: Post}]"), &format!("{at}matchReturnActions"), "only kprobes"),
    ]);
    for (filter, field) in [
        ("matchArgs: [{index: 0, operator: Equal, values: ['0']}]", "matchArgs"),
        ("matchActions: [{action: Sigkill}]", "matchActions"),
        ("matchReturnArgs: [{index: 0, operator: Equal, values: ['0']}]", "matchReturnArgs"),
        ("matchNamespaces: [{namespace: Pid, operator: In, values: [host_ns]}]", "matchNamespaces"),
        ("matchNamespaceChanges: [{operator: In, values: [Mnt]}]", "matchNamespaceChanges"),
        ("matchCapabilities: [{operator: In, values: [CAP_BPF]}]", "matchCapabilities"),
        ("matchCapabilityChanges: [{operator: In, values: [CAP_BPF]}]", "matchCapabilityChanges"),
    ] {
        let yaml = with_spec(&format!(
            "{{uprobes: [{{path: /bin/sh, symbols: [main], args: [{{index: 0, type: int}}], selectors: [{{{filter}}}]}}]}}"
        ));
        refused(&[(
            yaml,
            &format!("spec.uprobes[0].selectors[0].{field}"),
            "matchPIDs and matchBinaries are",
        )]);
    }
}

#[test]
fn enforcers() {
    let enforcer = |calls: &str, options: &str| {
        with_spec(&format!(
            "{{enforcers: [{{calls: [{calls}]}}], options: [{options}], lists: [{{name: l, values: [do_open]}}], \
             kprobes: [{{call: sys_mount, selectors: [{{matchActions: [{{action: NotifyEnforcer, argSig: 9}}]}}]}}]}}"
        ))
    };
    let calls = "spec.enforcers[0].calls";
    refused(&[
        (enforcer("do_open", ""), &format!("{calls}[0]"), "system calls (sys_…) and security_ functions"),
        (enforcer("'list:l'", ""), &format!("{calls}[0]"), "do_open is neither"),
        (enforcer("'list:x'", ""), &format!("{calls}[0]"), "list 'x' not found"),
        (enforcer("", ""), calls, "no calls"),
        (
            enforcer("security_file_open", "{name: override-method, value: override-return}"),
            &format!("{calls}[0]"),
            "fmod-ret",
        ),
        (
            enforcer("sys_mount", "").replace("enforcers: [", "enforcers: [{calls: [sys_mount]}, "),
            "spec.enforcers",
            "supports up to 1 enforcer",
        ),
        (
            enforcer("sys_mount", "").replace("argSig: 9", "argError: 40000"),
            "spec.kprobes[0].selectors[0].matchActions[0].argError",
            "out of range",
        ),
        (
            enforcer("sys_mount", "").replace("argSig: 9", "argSig: 300"),
            "spec.kprobes[0].selectors[0].matchActions[0].argSig",
            "no signal",
        ),
    ]);
}

#[test]
fn everything_at_once_in_the_order_of_the_text() {
    let yaml = "\
apiVersion: cilium.io/v1
kind: TracingPolicy
metadata:
  name: Wrong
spec:
  kprobes:
  - call: sys_openat
    call: sys_open
    return: true
    args:
    - index: 7
      type: int
    - index: 1
      type: sting
    selectors:
    - matchArgs:
      - index: 1
        operator: Equal
        values: [\"\"]
      - index: 3
        operator: Postfix
        values: [a]
      matchActions:
      - action: Sigkill
        rateLimit: 1m
      - action: Overide
  - calll: x
";
    let errors = load(yaml).expect_err("refused").errors;
    let places: Vec<String> = errors
        .iter()
        .map(|error| format!("{} {}", error.position.expect("a place").line, error.path))
        .collect();
    assert_eq!(
        places,
        [
            "1 apiVersion",
            "4 metadata.name",
            "7 spec.kprobes[0].returnArg",
            "8 spec.kprobes[0].call",
            "11 spec.kprobes[0].args[0].index",
            "14 spec.kprobes[0].args[1].type",
            "20 spec.kprobes[0].selectors[0].matchArgs[1].index",
            "25 spec.kprobes[0].selectors[0].matchActions[0].rateLimit",
            "26 spec.kprobes[0].selectors[0].matchActions[1].action",
            "27 spec.kprobes[1].calll",
            "27 spec.kprobes[1].call",
        ]
    );
}
