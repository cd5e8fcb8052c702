//! Everything that must be refused, one case each: the path of the field, and words of problem or remedy.

mod consequences;

use tetragon_crds::Errors;

use crate::{load, with_kprobe, with_selector, with_spec};

/// The only error of a policy.
fn only_error(yaml: &str) -> String {
    let Errors { errors, .. } = load(yaml).err().unwrap_or_else(|| panic!("was loaded:\n{yaml}"));
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 1, "{texts:#?}\n{yaml}");
    assert!(errors[0].position.is_some() || errors[0].path.is_root(), "no place: {texts:?}");
    texts[0].clone()
}

#[track_caller]
fn refused(cases: &[(String, &str, &str)]) {
    for (yaml, path, words) in cases {
        let error = only_error(yaml);
        let place = error.split_once(": ").map_or("", |(_, rest)| rest);
        assert!(place.starts_with(&format!("{path}: ")), "expected {path}, got: {error}\n{yaml}");
        assert!(error.contains(words), "expected {words:?}, got: {error}\n{yaml}");
    }
}

fn kprobe(fields: &str) -> String {
    with_kprobe(fields)
}

fn selector(fields: &str) -> String {
    with_selector(fields)
}

#[test]
fn what_is_no_policy() {
    for (yaml, words) in [
        ("", "the text is empty"),
        ("a: [", "not YAML"),
        ("just a text", "a text where a policy is needed"),
        ("- a\n- b\n", "a list where a policy is needed"),
        (&format!("{0}---\n{0}", with_spec("{}")), "a second document"),
    ] {
        assert!(only_error(yaml).contains(words), "{yaml}");
    }
}

#[test]
fn metadata() {
    let policy = |kind: &str, metadata: &str| {
        format!("apiVersion: cilium.io/v1alpha1\nkind: {kind}\nmetadata: {metadata}\nspec: {{}}\n")
    };
    let cluster = |metadata: &str| policy("TracingPolicy", metadata);
    refused(&[
        (cluster("{name: Upper}"), "metadata.name", "lower case"),
        (cluster("{name: -x}"), "metadata.name", "both ends"),
        (cluster("{name: a..b}"), "metadata.name", "every part"),
        (cluster("{name: a_b}"), "metadata.name", "not a name"),
        (cluster(&format!("{{name: {}}}", "a".repeat(254))), "metadata.name", "253"),
        (cluster("{}"), "metadata.name", "missing"),
        (cluster("{name: ''}"), "metadata.name", "missing"),
        (cluster("{name: [a]}"), "metadata.name", "a list where a text is needed"),
        (cluster("{name: a, namespace: b}"), "metadata.namespace", "TracingPolicyNamespaced"),
        (cluster("{name: a, nmae: b}"), "metadata.nmae", "did you mean \"name\"?"),
        (cluster("{name: a, labels: {'-x': y}}"), "metadata.labels.-x", "not a key"),
        (cluster("{name: a, labels: {x: 'a b'}}"), "metadata.labels.x", "not a label's value"),
        (cluster("{name: a, annotations: [x]}"), "metadata.annotations", "an object is needed"),
        (policy("TracingPolicyNamespaced", "{name: a}"), "metadata.namespace", "missing"),
        (policy("TracingPolicyNamespaced", "{name: a, namespace: B}"), "metadata.namespace", "lower case"),
        (policy("TracingPolice", "{name: a}"), "kind", "did you mean \"TracingPolicy\"?"),
        (with_spec("{}").replace("v1alpha1", "v1"), "apiVersion", "cilium.io/v1alpha1"),
        (with_spec("{}").replace("kind: TracingPolicy\n", ""), "kind", "missing"),
        (with_spec("{}").replace("spec: {}\n", ""), "spec", "missing"),
        (with_spec("{}") + "status: {}\n", "status", "unknown field"),
        (with_spec("{}") + "kind: TracingPolicy\n", "kind", "duplicate field"),
    ]);
}

#[test]
fn sections_and_options() {
    refused(&[
        (
            with_spec("{kprobes: [{call: sys_mount}], tracepoints: [{subsystem: a, event: b}]}"),
            "spec.tracepoints",
            "cannot be combined",
        ),
        (
            with_spec("{lsmhooks: [{hook: file_open}], tracepoints: [{subsystem: a, event: b}]}"),
            "spec.lsmhooks",
            "cannot be combined",
        ),
        (
            with_spec("{options: [{name: disable-kprobe-multi, value: sure}]}"),
            "spec.options[0].value",
            "not a value",
        ),
        (
            with_spec("{options: [{name: override-method, value: fmod_ret}]}"),
            "spec.options[0].value",
            "fmod-ret",
        ),
        (
            with_spec("{options: [{name: policy-mode, value: monitr}]}"),
            "spec.options[0].value",
            "\"monitor\"",
        ),
        (with_spec("{options: [{value: x}]}"), "spec.options[0].name", "missing"),
        (with_spec("{podSelector: {matchLabels: {a: '-'}}}"), "spec.podSelector.matchLabels.a", "must match"),
        (
            with_spec("{podSelector: {matchExpressions: [{key: a, operator: Matches}]}}"),
            "spec.podSelector.matchExpressions[0].operator",
            "In, NotIn, Exists, DoesNotExist",
        ),
        (
            with_spec("{containerSelector: {matchExpressions: [{key: name, operator: In}]}}"),
            "spec.containerSelector.matchExpressions[0].values",
            "In needs one",
        ),
        (
            with_spec("{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}"),
            "spec.podSelector.matchExpressions[0].values",
            "takes no values",
        ),
        (with_spec("{loader: true, podSelector: {matchLabels: {a: b}}}"), "spec.loader", "cannot be limited"),
        (
            with_spec("{uprobes: [{path: /bin/sh, symbols: [main]}]}")
                .replace("TracingPolicy", "TracingPolicyNamespaced")
                .replace("name: test", "{name: test, namespace: team}")
                .replace("metadata:\n  ", "metadata: "),
            "spec.uprobes",
            "cannot be limited",
        ),
    ]);
}

#[test]
fn lists() {
    refused(&[
        (kprobe("call: 'list:a'"), "spec.kprobes[0].call", "list 'a' not found"),
        (
            with_spec("{lists: [{name: opens, values: [do_open]}], kprobes: [{call: 'list:open'}]}"),
            "spec.kprobes[0].call",
            "did you mean \"opens\"?",
        ),
        (with_spec("{lists: [{values: [a]}]}"), "spec.lists[0].name", "missing"),
        (
            with_spec("{lists: [{name: a, values: [b]}, {name: a, values: [c]}]}"),
            "spec.lists[1].name",
            "duplicate",
        ),
        (with_spec("{lists: [{name: a, type: syscall, values: [b]}]}"), "spec.lists[0].type", "\"syscalls\""),
        (
            with_spec("{lists: [{name: a, type: generated_syscalls, values: [sys_read]}]}"),
            "spec.lists[0].values",
            "cannot have values",
        ),
        (
            with_spec("{lists: [{name: a, type: generated_ftrace, pattern: x, values: [b]}]}"),
            "spec.lists[0].values",
            "cannot have values",
        ),
        (with_spec("{lists: [{name: a, type: generated_ftrace}]}"), "spec.lists[0].pattern", "missing"),
        (
            with_spec("{lists: [{name: a, type: generated_ftrace, pattern: '('}]}"),
            "spec.lists[0].pattern",
            "not a regular expression",
        ),
        (with_spec("{lists: [{name: a, type: syscalls}]}"), "spec.lists[0].values", "no values"),
        (
            with_spec("{lists: [{name: a, type: syscalls, values: [read]}]}"),
            "spec.lists[0].values[0]",
            "sys_read",
        ),
        (
            with_spec("{lists: [{name: a, type: syscalls, values: [__arm64_sys_read]}]}"),
            "spec.lists[0].values[0]",
            "of arm64",
        ),
        (with_spec("{lists: [{name: a, values: ['a b']}]}"), "spec.lists[0].values[0]", "not the name"),
    ]);
}

#[test]
fn lists_as_values() {
    let raw = |list: &str, ty: &str, operator: &str| {
        with_spec(&format!(
            "{{lists: [{list}], tracepoints: [{{subsystem: raw_syscalls, event: sys_enter, \
             args: [{{index: 4, type: {ty}}}], selectors: [{{matchArgs: [{{index: 0, operator: {operator}, \
             values: ['list:a']}}]}}]}}]}}"
        ))
    };
    let syscalls = "{name: a, type: syscalls, values: [sys_read]}";
    let values = "spec.tracepoints[0].selectors[0].matchArgs[0].values[0]";
    refused(&[
        (raw("{name: b, values: [x]}", "syscall64", "InMap"), values, "list 'a' not found"),
        (raw("{name: a, values: [x]}", "syscall64", "InMap"), values, "not of syscall type"),
        (raw(syscalls, "int64", "NotInMap"), values, "argument of type syscall64"),
        (raw(syscalls, "auto", "InMap"), values, "argument of type syscall64"),
        (raw(syscalls, "syscall64", "Equal"), values, "not a number"),
        (
            raw("{name: a, type: syscalls, values: [sys_reed]}", "syscall64", "InMap"),
            "spec.lists[0].values[0]",
            "cannot translate syscall",
        ),
        (
            selector("matchArgs: [{index: 0, operator: InMap, values: ['list:a']}]"),
            "spec.kprobes[0].selectors[0].matchArgs[0].values[0]",
            "list values loading is not supported",
        ),
    ]);
}

#[test]
fn hooks() {
    let tracepoint = |fields: &str| with_spec(&format!("{{tracepoints: [{{{fields}}}]}}"));
    let uprobe = |fields: &str| with_spec(&format!("{{uprobes: [{{{fields}}}]}}"));
    let lsm = |fields: &str| with_spec(&format!("{{lsmhooks: [{{{fields}}}]}}"));
    refused(&[
        (kprobe("syscall: false"), "spec.kprobes[0].call", "missing"),
        (kprobe("call: ''"), "spec.kprobes[0].call", "empty"),
        (kprobe("call: 'a b'"), "spec.kprobes[0].call", "not the name"),
        (kprobe("call: __arm64_sys_openat"), "spec.kprobes[0].call", "write sys_openat"),
        (kprobe("call: sys_mount, message: x"), "spec.kprobes[0].message", "too short"),
        (kprobe("call: sys_mount, tags: [ab, c]"), "spec.kprobes[0].tags[1]", "too short"),
        (
            kprobe(&format!("call: sys_mount, tags: [{}]", ["ab"; 17].join(", "))),
            "spec.kprobes[0].tags",
            "no more than 16",
        ),
        (kprobe("call: sys_mount, sycall: false"), "spec.kprobes[0].sycall", "did you mean \"syscall\"?"),
        (kprobe("call: sys_mount, syscall: maybe"), "spec.kprobes[0].syscall", "true or false"),
        (tracepoint("subsystem: syscalls"), "spec.tracepoints[0].event", "missing"),
        (tracepoint("subsystem: ../x, event: y"), "spec.tracepoints[0].subsystem", "not a name"),
        (tracepoint("subsystem: x, event: ''"), "spec.tracepoints[0].event", "empty"),
        (uprobe("path: sh, symbols: [main]"), "spec.uprobes[0].path", "whole path"),
        (uprobe("path: /bin/sh"), "spec.uprobes[0].symbols", "missing"),
        (uprobe("path: /bin/sh, symbols: []"), "spec.uprobes[0].symbols", "no symbols"),
        (lsm("hook: security_file_open"), "spec.lsmhooks[0].hook", "write file_open"),
        (lsm("hook: bpf_lsm_file_open"), "spec.lsmhooks[0].hook", "write file_open"),
        (lsm("args: []"), "spec.lsmhooks[0].hook", "missing"),
    ]);
}

#[test]
fn arguments() {
    let args = |args: &str| kprobe(&format!("call: fd_install, syscall: false, args: [{args}]"));
    let tracepoint =
        |args: &str| with_spec(&format!("{{tracepoints: [{{subsystem: a, event: b, args: [{args}]}}]}}"));
    refused(&[
        (args("{index: 0}"), "spec.kprobes[0].args[0].type", "do not tell types"),
        (args("{index: 0, type: auto}"), "spec.kprobes[0].args[0].type", "do not tell types"),
        (args("{index: 0, type: unit64}"), "spec.kprobes[0].args[0].type", "did you mean \"uint64\"?"),
        (args("{index: 0, type: sockaddr}"), "spec.kprobes[0].args[0].type", "later versions"),
        (args("{index: 5, type: int}"), "spec.kprobes[0].args[0].index", "out of bounds"),
        (args("{index: -1, type: int}"), "spec.kprobes[0].args[0].index", "out of range"),
        (args("{index: 1, type: char_buf, sizeArgIndex: 16}"), "spec.kprobes[0].args[0].sizeArgIndex", "15"),
        (
            args(&(0..6).map(|i| format!("{{index: {}, type: int}}", i % 5)).collect::<Vec<_>>().join(", ")),
            "spec.kprobes[0].args",
            "supports up to 5",
        ),
        (
            tracepoint(
                &(4..9).map(|i| format!("{{index: {i}, sizeArgIndex: 11}}")).collect::<Vec<_>>().join(", "),
            ),
            "spec.tracepoints[0].args",
            "supports up to 5",
        ),
        (
            with_spec("{lsmhooks: [{hook: file_open, args: [{index: 9, type: file}]}]}"),
            "spec.lsmhooks[0].args[0].index",
            "out of bounds",
        ),
        (
            with_spec("{uprobes: [{path: /bin/sh, symbols: [main], args: [{index: 5, type: int}]}]}"),
            "spec.uprobes[0].args[0].index",
            "out of bounds",
        ),
    ]);
}

#[test]
fn return_values() {
    let returning = |fields: &str| kprobe(&format!("call: sys_openat, return: true, {fields}"));
    refused(&[
        (kprobe("call: sys_openat, return: true"), "spec.kprobes[0].returnArg", "ReturnArg not specified"),
        (returning("returnArg: {index: 1, type: int}"), "spec.kprobes[0].returnArg.index", "its index is 0"),
        (returning("returnArg: {index: 0}"), "spec.kprobes[0].returnArg.type", "do not tell types"),
        (returning("returnArg: {type: integer}"), "spec.kprobes[0].returnArg.type", "not a word"),
        (
            returning("returnArg: {type: int}, returnArgAction: TrackSok"),
            "spec.kprobes[0].returnArgAction",
            "did you mean \"TrackSock\"?",
        ),
        (
            returning("returnArg: {type: int}, returnArgAction: TrackSock"),
            "spec.kprobes[0].returnArgAction",
            "the type sock",
        ),
        (
            returning(
                "returnArg: {type: int}, selectors: [{matchReturnArgs: [{index: 1, operator: GT, values: ['0']}]}]",
            ),
            "spec.kprobes[0].selectors[0].matchReturnArgs[0].index",
            "argFilter for unknown index",
        ),
        (
            returning(
                "returnArg: {type: int}, selectors: [{matchReturnArgs: [{index: 0, operator: GT, values: [x]}]}]",
            ),
            "spec.kprobes[0].selectors[0].matchReturnArgs[0].values[0]",
            "not a number",
        ),
    ]);
}

#[test]
fn limits_of_selectors() {
    let many = |entry: &str, count: usize| vec![entry; count].join(", ");
    let at = |field: &str| format!("spec.kprobes[0].selectors[0].{field}");
    let arg = "{index: 0, operator: Equal, values: ['1']}";
    for (yaml, path, words) in [
        (
            kprobe(&format!("call: sys_mount, selectors: [{}]", many("{}", 6))),
            "spec.kprobes[0].selectors".to_owned(),
            "no more than 5 selectors supported (6 provided)",
        ),
        (selector(&format!("matchArgs: [{}]", many(arg, 6))), at("matchArgs"), "supports up to 5"),
        (
            selector(&format!("matchBinaries: [{}]", many("{operator: In, values: [/a]}", 2))),
            at("matchBinaries"),
            "supports up to 1",
        ),
        (
            selector(&format!("matchActions: [{}]", many("{action: Post}", 4))),
            at("matchActions"),
            "supports up to 3",
        ),
        (
            selector(&format!(
                "matchNamespaces: [{}]",
                many("{namespace: Pid, operator: In, values: [host_ns]}", 11)
            )),
            at("matchNamespaces"),
            "supports up to 10",
        ),
        (
            selector("matchNamespaces: [{namespace: Pid, operator: In, values: [1, 2, 3, 4, 5]}]"),
            at("matchNamespaces[0].values"),
            "supports up to 4",
        ),
        (
            selector(&format!("matchNamespaceChanges: [{}]", many("{operator: In, values: [Mnt]}", 2))),
            at("matchNamespaceChanges"),
            "supports up to 1",
        ),
        (
            selector(&format!("matchPIDs: [{}]", many("{operator: In, values: [1]}", 5))),
            at("matchPIDs"),
            "supports up to 4",
        ),
        (
            selector(&format!("matchCapabilities: [{}]", many("{operator: In, values: [CAP_BPF]}", 5))),
            at("matchCapabilities"),
            "supports up to 4",
        ),
    ] {
        refused(&[(yaml, &path, words)]);
    }
}

#[test]
fn filters_on_processes() {
    for (filter, path, words) in [
        ("matchPIDs: [{operator: Equal, values: [1]}]", "matchPIDs[0].operator", "In, NotIn"),
        ("matchPIDs: [{operator: In}]", "matchPIDs[0].values", "missing"),
        ("matchPIDs: [{operator: In, values: []}]", "matchPIDs[0].values", "no values"),
        ("matchPIDs: [{operator: In, values: [4294967296]}]", "matchPIDs[0].values[0]", "out of range"),
        ("matchPIDs: [{operator: In, values: [init]}]", "matchPIDs[0].values[0]", "a whole number is needed"),
        ("matchBinaries: [{operator: Equal, values: [/a]}]", "matchBinaries[0].operator", "not a word"),
        ("matchBinaries: [{operator: In, values: ['']}]", "matchBinaries[0].values[0]", "empty"),
        (
            "matchBinaries: [{operator: Prefix, values: [/a], followChildren: true}]",
            "matchBinaries[0].followChildren",
            "only with the operator In",
        ),
        (
            "matchBinaries: [{operator: NotIn, values: [/a], followChildren: true}]",
            "matchBinaries[0].followChildren",
            "only with the operator In",
        ),
        (
            "matchNamespaces: [{namespace: pid, operator: In, values: [1]}]",
            "matchNamespaces[0].namespace",
            "did you mean \"Pid\"?",
        ),
        (
            "matchNamespaces: [{namespace: Pid, operator: Equal, values: [1]}]",
            "matchNamespaces[0].operator",
            "In, NotIn",
        ),
        (
            "matchNamespaces: [{namespace: Pid, operator: In, values: [hostns]}]",
            "matchNamespaces[0].values[0]",
            "did you mean \"host_ns\"?",
        ),
        (
            "matchNamespaces: [{namespace: Pid, operator: In, values: ['0x10']}]",
            "matchNamespaces[0].values[0]",
            "inode number",
        ),
        (
            "matchNamespaceChanges: [{operator: In, values: [Mount]}]",
            "matchNamespaceChanges[0].values[0]",
            "no kind of namespace",
        ),
        (
            "matchNamespaceChanges: [{operator: Equal, values: [Mnt]}]",
            "matchNamespaceChanges[0].operator",
            "In, NotIn",
        ),
        (
            "matchCapabilities: [{operator: In, values: [CAP_SYS_ADMIM]}]",
            "matchCapabilities[0].values[0]",
            "did you mean \"CAP_SYS_ADMIN\"?",
        ),
        (
            "matchCapabilities: [{operator: In, values: [SYS_ADMIN]}]",
            "matchCapabilities[0].values[0]",
            "did you mean \"CAP_SYS_ADMIN\"?",
        ),
        (
            "matchCapabilityChanges: [{type: Effectiv, operator: In, values: [CAP_BPF]}]",
            "matchCapabilityChanges[0].type",
            "did you mean \"Effective\"?",
        ),
        (
            "matchCapabilityChanges: [{operator: Equal, values: [CAP_BPF]}]",
            "matchCapabilityChanges[0].operator",
            "In, NotIn",
        ),
    ] {
        refused(&[(selector(filter), &format!("spec.kprobes[0].selectors[0].{path}"), words)]);
    }
    for (operator, length, limit) in [("In", 256, 255), ("Prefix", 256, 255), ("Postfix", 128, 127)] {
        let value = format!("/{}", "a".repeat(length - 1));
        let filter = format!("matchBinaries: [{{operator: {operator}, values: [{value}]}}]");
        let path = "spec.kprobes[0].selectors[0].matchBinaries[0].values[0]";
        refused(&[(selector(&filter), path, &format!("no more than {limit}"))]);
    }
}

#[test]
fn filters_on_arguments() {
    for (filter, field, words) in [
        ("index: 4, operator: Equal, values: ['1']", "index", "argFilter for unknown index"),
        ("index: 0, operator: Equl, values: ['1']", "operator", "did you mean \"Equal\"?"),
        ("index: 0, operator: equal, values: ['1']", "operator", "did you mean \"Equal\"?"),
        ("index: 0, operator: InRange, values: ['1:2']", "operator", "later versions"),
        ("index: 2, operator: NotSPortPriv", "operator", "did you mean \"NotSportPriv\"?"),
        ("index: 0, operator: Equal", "values", "no values"),
        ("index: 0, operator: Equal, values: [ten]", "values[0]", "not a number"),
        ("index: 0, operator: Equal, values: ['1', '2147483648']", "values[1]", "does not fit"),
        (
            "index: 0, operator: NotEqual, values: ['0xffffffff']",
            "values[0]",
            "from -2147483648 to 2147483647",
        ),
        ("index: 0, operator: GT, values: ['1.5']", "values[0]", "not a number"),
        ("index: 0, operator: Mask, values: ['0x']", "values[0]", "not a number"),
        ("index: 0, operator: InMap, values: ['0x10']", "values[0]", "write 16"),
        ("index: 0, operator: InMap, values: ['1:']", "values[0]", "not a decimal number or range"),
        ("index: 0, operator: NotInMap, values: ['1:9999999999']", "values[0]", "does not fit"),
        (
            "index: 0, operator: Prefix, values: ['1']",
            "operator",
            "does not apply to an argument of type int",
        ),
        ("index: 0, operator: SAddr, values: ['::1']", "operator", "does not apply"),
        ("index: 1, operator: GT, values: ['1']", "operator", "does not apply to an argument of type string"),
        ("index: 1, operator: Equal, values: ['']", "values[0]", "empty"),
        ("index: 1, operator: Equal, values: [\"\\0\\0\"]", "values[0]", "empty"),
        (
            "index: 2, operator: Equal, values: ['1']",
            "operator",
            "does not apply to an argument of type sock",
        ),
        ("index: 3, operator: Equal, values: ['1']", "operator", "does not apply to an argument of type skb"),
        (
            "index: 2, operator: DAddr, values: ['10.0.0.0/33']",
            "values[0]",
            "neither an address nor a network",
        ),
        ("index: 2, operator: SAddr, values: [localhost]", "values[0]", "neither an address nor a network"),
        ("index: 2, operator: DPort, values: ['65536']", "values[0]", "from 0 to 65535"),
        ("index: 2, operator: NotSPort, values: [http]", "values[0]", "not a decimal number or range"),
        ("index: 2, operator: Protocol, values: [TCP]", "values[0]", "did you mean \"IPPROTO_TCP\"?"),
        ("index: 2, operator: Family, values: [AF_INET7]", "values[0]", "did you mean"),
        ("index: 2, operator: State, values: [TCP_OPEN]", "values[0]", "neither a number nor a name"),
        ("index: 2, operator: State, values: ['256']", "values[0]", "from 0 to 255"),
    ] {
        let path = format!("spec.kprobes[0].selectors[0].matchArgs[0].{field}");
        refused(&[(selector(&format!("matchArgs: [{{{filter}}}]")), &path, words)]);
    }
    for (operator, longest) in [("Equal", 4096), ("Prefix", 256), ("NotPostfix", 127)] {
        let filter = |length: usize| {
            let value = "a".repeat(length);
            selector(&format!("matchArgs: [{{index: 1, operator: {operator}, values: [{value}]}}]"))
        };
        let path = "spec.kprobes[0].selectors[0].matchArgs[0].values[0]";
        refused(&[(filter(longest + 1), path, &format!("no more than {longest}"))]);
        load(&filter(longest)).expect("just fits");
    }
}

#[test]
fn filters_on_types_without_values() {
    for ty in [
        "nop",
        "char_iovec",
        "iov_iter",
        "cred",
        "user_namespace",
        "capability",
        "bpf_attr",
        "perf_event",
        "bpf_map",
        "load_info",
        "module",
    ] {
        let yaml = kprobe(&format!(
            "call: f, syscall: false, args: [{{index: 0, type: {ty}, sizeArgIndex: 2}}], \
             selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['1']}}]}}]"
        ));
        let path = "spec.kprobes[0].selectors[0].matchArgs[0].operator";
        refused(&[(yaml, path, "does not apply to an argument of type")]);
    }
}
