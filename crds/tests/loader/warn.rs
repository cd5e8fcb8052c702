//! What loads with a warning.

use crate::{load, with_kprobe, with_selector, with_spec};

fn warnings(yaml: &str) -> Vec<String> {
    let policy = load(yaml).unwrap_or_else(|errors| panic!("{errors}"));
    policy.warnings.iter().map(ToString::to_string).collect()
}

/// Exactly one warning, about this field and with these words.
#[track_caller]
fn warned(yaml: &str, path: &str, words: &str) {
    let warnings = warnings(yaml);
    let [warning] = &warnings[..] else { panic!("{warnings:#?}\n{yaml}") };
    assert!(warning.contains(&format!(" {path}: ")) && warning.contains(words), "{warning}");
}

#[test]
fn ordinary_policies_have_none() {
    for yaml in [
        with_spec("{}"),
        with_selector("matchArgs: [{index: 1, operator: Equal, values: [a]}]"),
        with_spec("{lsmhooks: [{hook: file_open, args: [{index: 0, type: file}]}]}"),
    ] {
        assert_eq!(warnings(&yaml), [""; 0], "{yaml}");
    }
}

#[test]
fn ways_round_a_system_call() {
    let yaml = with_kprobe(
        "call: sys_openat, args: [{index: 1, type: string}], \
         selectors: [{matchArgs: [{index: 1, operator: Equal, values: [/etc/shadow]}]}]",
    );
    let warnings = warnings(&yaml);
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    let [ways, memory] = &warnings[..] else { unreachable!() };
    for words in
        ["spec.kprobes[0].call", "sys_openat2", "__ia32_sys_openat", "io_uring", "the LSM hook file_open"]
    {
        assert!(ways.contains(words), "{words}: {ways}");
    }
    for words in ["spec.kprobes[0].selectors[0].matchArgs[0]", "not in memory", "the LSM hook file_open"] {
        assert!(memory.contains(words), "{words}: {memory}");
    }
}

#[test]
fn ways_that_are_hooked_are_not_told() {
    let calls = ["sys_execve", "sys_execveat", "__ia32_sys_execve", "__ia32_sys_execveat"];
    let kprobes: Vec<String> = calls.iter().map(|call| format!("{{call: {call}}}")).collect();
    assert_eq!(warnings(&with_spec(&format!("{{kprobes: [{}]}}", kprobes.join(", ")))), [""; 0]);
}

#[test]
fn tracepoints_of_system_calls_read_the_callers_memory_too() {
    let yaml = with_spec(
        "{tracepoints: [{subsystem: syscalls, event: sys_enter_unlinkat, args: [{index: 6, type: string}], \
         selectors: [{matchArgs: [{index: 6, operator: Prefix, values: [/etc]}]}]}]}",
    );
    let warnings = warnings(&yaml);
    assert!(warnings.iter().any(|warning| warning.contains(".event: ") && warning.contains("sys_unlink")));
    assert!(
        warnings.iter().any(|warning| warning.contains("not in memory") && warning.contains("inode_unlink"))
    );
}

#[test]
fn what_has_no_effect() {
    let function = "call: f, syscall: false";
    for (yaml, path, words) in [
        (
            with_spec("{options: [{name: disable-kprobe-mult, value: '1'}]}"),
            "spec.options[0].name",
            "did you mean",
        ),
        (with_kprobe("call: tcp_connect"), "spec.kprobes[0].call", "set syscall: false"),
        (with_kprobe("call: sys_mount, syscall: false"), "spec.kprobes[0].call", "set syscall: true"),
        (
            with_kprobe(&format!("{function}, returnArg: {{type: int}}")),
            "spec.kprobes[0].returnArg",
            "return: true",
        ),
        (
            with_kprobe(&format!("{function}, returnArgAction: Sigkill")),
            "spec.kprobes[0].returnArgAction",
            "has no effect",
        ),
        (
            with_kprobe(&format!("{function}, args: [{{index: 0, type: char_buf}}]")),
            "spec.kprobes[0].args[0]",
            "sizeArgIndex",
        ),
        (
            with_kprobe(&format!("{function}, args: [{{index: 0, type: int, returnCopy: true}}]")),
            "spec.kprobes[0].args[0].returnCopy",
            "char_buf",
        ),
        (
            with_kprobe(&format!("{function}, args: [{{index: 0, type: file, maxData: true}}]")),
            "spec.kprobes[0].args[0].maxData",
            "iov_iter",
        ),
        (
            with_kprobe(&format!("{function}, args: [{{index: 0, type: int, sizeArgIndex: 6}}]")),
            "spec.kprobes[0].args[0].sizeArgIndex",
            "counted from 1",
        ),
        (
            with_kprobe(&format!("{function}, message: {}", "é".repeat(200))),
            "spec.kprobes[0].message",
            "400 bytes, cut to 256",
        ),
        (
            with_kprobe(&format!("{function}, tags: [{}]", "t".repeat(129))),
            "spec.kprobes[0].tags[0]",
            "129 bytes, cut to 128",
        ),
        (
            with_spec("{containerSelector: {matchLabels: {image: x}}}"),
            "spec.containerSelector.matchLabels.image",
            "no such label",
        ),
        (
            with_spec("{enforcers: [{calls: [sys_mount]}]}"),
            "spec.enforcers[0]",
            "nothing notifies the enforcer",
        ),
        (
            with_spec("{lists: [{name: l, type: syscalls, values: [sys_openatt]}]}"),
            "spec.lists[0].values[0]",
            "did you mean \"sys_openat\"?",
        ),
        (
            with_spec("{lists: [{name: l, values: [f], pattern: x}]}"),
            "spec.lists[0].pattern",
            "generated_ftrace",
        ),
    ] {
        warned(&yaml, path, words);
    }
}

#[test]
fn selectors_that_do_less_than_they_seem_to() {
    for (selector, field, words) in [
        ("matchBinaries: [{operator: In, values: []}]", "matchBinaries[0].values", "every program matches"),
        ("matchBinaries: [{operator: In, values: [bash]}]", "matchBinaries[0].values[0]", "begin with \"/\""),
        (
            "matchArgs: [{index: 2, operator: NotDAddr, values: [::1]}]",
            "matchArgs[0].values",
            "no value is IPv4",
        ),
        (
            "matchArgs: [{index: 3, operator: State, values: ['1']}]",
            "matchArgs[0].operator",
            "a packet has no state",
        ),
        (
            "matchArgs: [{index: 2, operator: SPortPriv, values: ['1']}]",
            "matchArgs[0].values",
            "ignores values",
        ),
        ("matchArgs: [{index: 0, operator: Mask, values: ['0']}]", "matchArgs[0].values", "never matches"),
        ("matchReturnArgs: [{index: 0, operator: Equal, values: ['0']}]", "matchReturnArgs", "return: true"),
        ("matchReturnActions: [{action: Post}]", "matchReturnActions", "return: true"),
        ("matchActions: [{action: Post, argSig: 9}]", "matchActions[0].argSig", "it belongs to Signal"),
        (
            "matchActions: [{action: Post, rateLimitScope: global}]",
            "matchActions[0].rateLimitScope",
            "without rateLimit",
        ),
        ("matchActions: [{action: Post, rateLimit: 0}]", "matchActions[0].rateLimit", "limits nothing"),
    ] {
        warned(&with_selector(selector), &format!("spec.kprobes[0].selectors[0].{field}"), words);
    }
}

#[test]
fn overriding_with_a_value_that_is_no_error() {
    let lsm = |error: &str| {
        with_spec(&format!(
            "{{lsmhooks: [{{hook: file_open, selectors: [{{matchActions: [{{action: Override{error}}}]}}]}}]}}"
        ))
    };
    let action = "spec.lsmhooks[0].selectors[0].matchActions[0]";
    warned(&lsm(", argError: 1"), &format!("{action}.argError"), "from -4095 to 0");
    warned(&lsm(""), action, "seems to succeed");
    assert_eq!(warnings(&lsm(", argError: -4095")), [""; 0]);
}
