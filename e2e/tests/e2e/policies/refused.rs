//! What must be refused: by the agent, by `validate` where that needs no kernel, and without any effect on what is loaded.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::TracingPolicyState;
use tetragon_e2e::kit::{Env, Watch};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, policy, start, told};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(whatever_must_be_refused),
        test!(what_the_kernel_does_not_have),
        test!(types_that_contradict_the_kernels).on(VMS),
        test!(ten_thousand_values),
        test!(a_value_of_1025_bytes),
    ]
}

fn place(env: &Env) -> At {
    if env.place().is_native() { At::Tracepoint } else { At::Kprobe }
}

/// The policy that must go on, whatever else is refused.
const GOOD: &str = "good";

fn add_good(watch: &Watch<'_>, at: At) -> Result<()> {
    let (mark, _) = at.indices();
    let filter = format!("{{index: {mark}, operator: Equal, values: ['{MARK}']}}");
    let spec = format!("{}, selectors: [{{matchArgs: [{filter}]}}]}}]", at.prctl("uint64"));
    watch.agent.add_policy(&policy(GOOD, &spec))
}

/// It is enabled, tells of a call once, and `listed` others are there, none of which holds.
fn check_good(watch: &Watch<'_>, listed: usize) -> Result<()> {
    let policies = watch.agent.policies()?;
    ensure!(policies.len() == listed + 1, "{policies:?}");
    for it in policies {
        let (state, good) = (it.state(), it.name == GOOD);
        let expected =
            if good { TracingPolicyState::TpStateEnabled } else { TracingPolicyState::TpStateLoadError };
        ensure!(state == expected && good == it.error.is_empty(), "{it:?}");
    }
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
    let events = watch.events.all();
    ensure!(told(&events, ended.pid).into_iter().eq([GOOD.to_owned()]), "{:?}", told(&events, ended.pid));
    Ok(())
}

/// The error of a policy that is refused.
fn refusal(watch: &Watch<'_>, text: &str) -> Result<String> {
    match watch.agent.add_policy(text) {
        Ok(()) => bail!("was loaded:\n{text}"),
        // What was sent is told as well; quotes within a message are escaped.
        Err(error) => {
            let told: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
            Ok(told.join(": ").replace("\\\"", "\""))
        }
    }
}

/// What `tetra tracingpolicy validate` says of a policy that it refuses.
fn invalid(env: &Env, text: &str) -> Result<String> {
    let file = env.file("policy.yaml");
    fs::write(&file, text)?;
    let mut command = Command::new(env.binary("tetra")?);
    let output = command.args(["tracingpolicy", "validate"]).arg(&file).output()?;
    ensure!(!output.status.success(), "is valid:\n{text}");
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

const KPROBE: &str = "kprobes: [{call: sys_mount, syscall: true, args: [{index: 0, type: int}, {index: 1, type: string}, \
                      {index: 2, type: sock}]";

/// The contract's list of what must be rejected, as far as it needs no kernel: what is wrong, where, and what it says.
#[rustfmt::skip]
const CASES: &[(&str, &str, &[&str])] = &[
    ("colour: red", "spec.colour", &["unknown field"]),
    ("loader: false, loader: true", "spec.loader", &["duplicate"]),
    ("kprobes: [{call: sys_mount, return: perhaps}]", "spec.kprobes[0].return", &["perhaps", "true or false"]),
    ("kprobes: [{call: sys_mount}], tracepoints: [{subsystem: a, event: b}]", "spec.tracepoints", &["cannot be combined"]),
    ("kprobes: [{call: 'list:a'}]", "spec.kprobes[0].call", &["list 'a' not found"]),
    ("lists: [{name: a, type: generated_syscalls, values: [sys_read]}]", "spec.lists[0].values", &["cannot have values"]),
    ("lists: [{name: a, type: generated_ftrace}]", "spec.lists[0].pattern", &["missing"]),
    ("lists: [{name: a, type: syscall}]", "spec.lists[0].type", &["\"syscall\"", "\"syscalls\""]),
    ("kprobes: [{call: sys_mount, args: [{index: 0, type: auto}]}]", "spec.kprobes[0].args[0].type", &["auto"]),
    ("kprobes: [{call: sys_mount, args: [{index: 0, type: unit64}]}]", "spec.kprobes[0].args[0].type", &["unit64", "uint64"]),
    ("kprobes: [{call: sys_mount, args: [{index: 5, type: int}]}]", "spec.kprobes[0].args[0].index", &["5", "out of bounds"]),
    ("tracepoints: [{subsystem: a, event: b, args: [{index: 4}, {index: 5}, {index: 6}, {index: 7}, {index: 8}, {index: 9}]}]", "spec.tracepoints[0].args", &["up to 5"]),
    ("kprobes: [{call: sys_mount, args: [{index: 0, type: char_buf, sizeArgIndex: 16}]}]", "spec.kprobes[0].args[0].sizeArgIndex", &["16", "15"]),
    ("kprobes: [{call: sys_mount, return: true}]", "spec.kprobes[0].returnArg", &["ReturnArg not specified"]),
    ("kprobes: [{call: sys_mount, return: true, returnArg: {index: 0, type: number}}]", "spec.kprobes[0].returnArg.type", &["number"]),
    ("kprobes: [{call: sys_mount, return: true, returnArg: {index: 0, type: int}, returnArgAction: Track}]", "spec.kprobes[0].returnArgAction", &["Track", "TrackSock"]),
    ("kprobes: [{call: sys_mount, message: x}]", "spec.kprobes[0].message", &["too short"]),
    ("kprobes: [{call: sys_mount, tags: [y]}]", "spec.kprobes[0].tags[0]", &["too short"]),
    ("kprobes: [{call: sys_mount, tags: [aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa, aa]}]", "spec.kprobes[0].tags", &["16"]),
    ("{FILTER: matchArgs: [{index: 4, operator: Equal, values: ['1']}]}", "matchArgs[0].index", &["4", "argFilter for unknown index"]),
    ("{FILTER: matchArgs: [{index: 0, operator: Equal, values: [one]}]}", "matchArgs[0].values[0]", &["one", "not a number"]),
    ("{FILTER: matchArgs: [{index: 0, operator: Equal, values: ['4294967296']}]}", "matchArgs[0].values[0]", &["4294967296"]),
    ("{FILTER: matchArgs: [{index: 0, operator: InMap, values: ['1:x']}]}", "matchArgs[0].values[0]", &["1:x"]),
    ("{FILTER: matchArgs: [{index: 2, operator: DAddr, values: ['10.0.0.0/33']}]}", "matchArgs[0].values[0]", &["10.0.0.0/33"]),
    ("{FILTER: matchArgs: [{index: 2, operator: DPort, values: ['70000']}]}", "matchArgs[0].values[0]", &["70000"]),
    ("{FILTER: matchArgs: [{index: 2, operator: Family, values: [AF_INTE]}]}", "matchArgs[0].values[0]", &["AF_INTE", "AF_INET"]),
    ("{FILTER: matchArgs: [{index: 0, operator: DPort, values: ['1']}]}", "matchArgs[0].operator", &["DPort"]),
    ("{FILTER: matchArgs: [{index: 2, operator: Equal, values: ['1']}]}", "matchArgs[0].operator", &["Equal"]),
    ("{FILTER: matchArgs: [{index: 1, operator: Equals, values: [a]}]}", "matchArgs[0].operator", &["Equals", "Equal"]),
    ("{FILTER: matchArgs: [{index: 1, operator: Equal, values: ['']}]}", "matchArgs[0].values[0]", &["empty"]),
    ("{FILTER: matchBinaries: [{operator: In, values: [/a]}, {operator: In, values: [/b]}]}", "matchBinaries", &["supports up to 1"]),
    ("{FILTER: matchBinaries: [{operator: NotIn, values: [/a], followChildren: true}]}", "matchBinaries[0].followChildren", &["In"]),
    ("{FILTER: matchActions: [{action: Post}, {action: Post}, {action: Post}, {action: Post}]}", "matchActions", &["supports up to 3"]),
    ("{FILTER: matchNamespaces: [{namespace: Pids, operator: In, values: ['1']}]}", "matchNamespaces[0].namespace", &["Pids", "Pid"]),
    ("{FILTER: matchNamespaces: [{namespace: Pid, operator: Equal, values: ['1']}]}", "matchNamespaces[0].operator", &["Equal", "In, NotIn"]),
    ("{FILTER: matchNamespaces: [{namespace: Pid, operator: In, values: ['1', '2', '3', '4', '5']}]}", "matchNamespaces[0].values", &["supports up to 4"]),
    ("{FILTER: matchCapabilities: [{operator: In, values: [CAP_ROOT]}]}", "matchCapabilities[0].values[0]", &["CAP_ROOT"]),
    ("{FILTER: matchActions: [{action: Sigkill, rateLimit: 1m}]}", "matchActions[0].rateLimit", &["Post"]),
    ("{FILTER: matchActions: [{action: Post, rateLimit: soon}]}", "matchActions[0].rateLimit", &["soon"]),
    ("{FILTER: matchActions: [{action: Post, rateLimit: 1m, rateLimitScope: pod}]}", "matchActions[0].rateLimitScope", &["pod"]),
    ("{FILTER: matchActions: [{action: Sigkill, kernelStackTrace: true}]}", "matchActions[0].kernelStackTrace", &["Post"]),
    ("{FILTER: matchActions: [{action: Kill}]}", "matchActions[0].action", &["Kill"]),
    ("{FILTER: matchActions: [{action: Signal}]}", "matchActions[0].argSig", &["needs the number"]),
    ("{FILTER: matchActions: [{action: Signal, argSig: 65}]}", "matchActions[0].argSig", &["65"]),
    ("enforcers: [{calls: [sys_read]}, {calls: [sys_write]}]", "spec.enforcers", &["1"]),
    ("podSelector: {matchExpressions: [{key: a, operator: Like, values: [b]}]}", "spec.podSelector.matchExpressions[0].operator", &["Like", "NotIn"]),
    ("loader: true, podSelector: {matchLabels: {a: b}}", "spec.loader", &["cannot be limited"]),
    ("options: [{name: policy-mode, value: watch}]", "spec.options[0].value", &["watch", "monitor"]),
];

/// What the table means: a whole spec, or what is in the selector of a kprobe; and the field's whole path.
fn case(spec: &str, field: &str) -> (String, String) {
    match spec.strip_prefix("{FILTER: ").and_then(|rest| rest.strip_suffix('}')) {
        Some(filter) => (
            format!("{KPROBE}, selectors: [{{{filter}}}]}}]"),
            format!("spec.kprobes[0].selectors[0].{field}"),
        ),
        None => (spec.to_owned(), field.to_owned()),
    }
}

fn whatever_must_be_refused(env: &Env) -> Result<()> {
    let watch = start(env)?;
    add_good(&watch, place(env))?;
    let mut texts: Vec<(String, String, Vec<&str>)> = CASES
        .iter()
        .map(|(spec, field, words)| {
            let (spec, field) = case(spec, field);
            (policy("bad", &spec), field, words.to_vec())
        })
        .collect();
    let six = ["{}"; 6].join(", ");
    texts.push((
        policy("bad", &format!("{KPROBE}, selectors: [{six}]}}]")),
        "spec.kprobes[0].selectors".into(),
        vec!["6 provided"],
    ));
    texts.push((policy("Bad_Name", ""), "metadata.name".into(), vec!["Bad_Name", "lower case"]));
    let teams = policy("bad", "").replace("kind: TracingPolicy", "kind: TracingPolicyNamespaced");
    texts.push((teams, "metadata.namespace".into(), vec!["missing"]));
    for (text, field, words) in &texts {
        let answers = [("the agent", refusal(&watch, text)?), ("validate", invalid(env, text)?)];
        for (who, answer) in answers {
            ensure!(answer.contains(&format!("{field}: ")), "{who} does not tell {field}: {answer}\n{text}");
            for word in words {
                ensure!(answer.contains(word), "{who} does not tell {word:?}: {answer}\n{text}");
            }
        }
    }
    // Nothing of it is listed: it was no policy.
    check_good(&watch, 0)?;
    watch.finish()
}

/// What only the kernel can tell is refused at load; the policy is listed with what is wrong.
fn what_the_kernel_does_not_have(env: &Env) -> Result<()> {
    let watch = start(env)?;
    add_good(&watch, place(env))?;
    let tracepoint = |event: &str, args: &str| {
        format!("tracepoints: [{{subsystem: syscalls, event: {event}, args: [{args}]}}]")
    };
    let mut cases = vec![
        ("kprobes: [{call: sys_prctll}]".to_owned(), "spec.kprobes[0].call", vec!["sys_prctll", "prctl\""]),
        (
            "kprobes: [{call: tcp_conect, syscall: false}]".to_owned(),
            "spec.kprobes[0].call",
            vec!["tcp_conect", "tcp_connect"],
        ),
        (
            "lists: [{name: a, values: [tcp_close, vfs_raed]}], kprobes: [{call: 'list:a', syscall: false}]"
                .to_owned(),
            "spec.lists[0].values[1]",
            vec!["vfs_raed", "vfs_read"],
        ),
        (
            tracepoint("sys_enter_prctll", ""),
            "spec.tracepoints[0].event",
            vec!["syscalls/sys_enter_prctll not supported", "\"sys_enter_prctl\""],
        ),
        (tracepoint("sys_enter_prctl", "{index: 30}"), "spec.tracepoints[0].args[0].index", vec!["30"]),
    ];
    if env.place().is_native() {
        cases.push(("kprobes: [{call: sys_prctl}]".to_owned(), "", vec!["no kprobes"]));
    }
    cases.push((
        format!("podSelector: {{matchLabels: {{a: b}}}}, {}", tracepoint("sys_enter_prctl", "")),
        "",
        vec!["--enable-policy-filter"],
    ));
    for (number, (spec, field, words)) in cases.iter().enumerate() {
        let name = format!("bad-{number}");
        let answer = refusal(&watch, &policy(&name, spec))?;
        let listed = watch.agent.policies()?.into_iter().find(|it| it.name == name).context("not listed")?;
        for (who, answer) in [("the answer", answer), ("the list", listed.error)] {
            ensure!(answer.contains(field), "{who} does not tell {field}: {answer}");
            for word in words {
                ensure!(answer.contains(word), "{who} does not tell {word:?}: {answer}");
            }
        }
    }
    check_good(&watch, cases.len())?;
    // A name that failed can be used again.
    let again = tracepoint("sys_enter_umask", "");
    watch.agent.add_policy(&policy("bad-0", &again))?;
    let taken = refusal(&watch, &policy("bad-0", &again))?;
    ensure!(taken.contains("bad-0") && taken.contains("already exists"), "{taken}");
    watch.finish()
}

/// A type that cannot be right is a warning, as in the reference: the policy loads, and the warning names the kernel's.
fn types_that_contradict_the_kernels(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy(
        "wrong",
        "kprobes: [{call: tcp_connect, syscall: false, args: [{index: 0, type: file}, {index: 3, type: int}]}]",
    ))?;
    let listed = watch.agent.policies()?.into_iter().next().context("not listed")?;
    ensure!(listed.state() == TracingPolicyState::TpStateEnabled, "{listed:?}");
    let warnings = listed.warnings.join("\n");
    for word in [
        "spec.kprobes[0].args[0].type",
        "struct sock",
        "may be sock",
        "spec.kprobes[0].args[1].index",
        "takes 1",
    ] {
        ensure!(warnings.contains(word), "no {word:?}: {warnings}");
    }
    watch.finish()
}

/// Ten thousand numbers, and ten thousand texts: the first, the last, and none of them.
fn ten_thousand_values(env: &Env) -> Result<()> {
    const COUNT: u32 = 10_000;
    let at = place(env);
    let (mark, second) = at.indices();
    let watch = start(env)?;
    let list = |value: &dyn Fn(u32) -> String| {
        (0..COUNT).map(|n| format!("'{}'", value(n))).collect::<Vec<_>>().join(", ")
    };
    let numbers = list(&|n| (100_000 + 2 * n).to_string());
    let texts = list(&|n| format!("/some/where/{n}"));
    for (name, index, operator, values) in
        [("numbers", mark, "InMap", numbers), ("texts", second, "Equal", texts)]
    {
        let filter = format!("{{index: {index}, operator: {operator}, values: [{values}]}}");
        let spec = format!("{}, selectors: [{{matchArgs: [{filter}]}}]}}]", at.prctl("string"));
        watch.agent.add_policy(&policy(name, &spec))?;
    }
    for (number, text, expected) in [
        ("100000", "s:/some/where/0", vec!["numbers", "texts"]),
        ("119998", "s:/some/where/9999", vec!["numbers", "texts"]),
        ("110002", "s:/some/where/10000", vec!["numbers"]),
        ("110001", "s:/some/where/5000", vec!["texts"]),
        ("120000", "s:/some/where", vec![]),
    ] {
        let (ended, _) = watch.act(["syscall", PRCTL, number, text, ".", "exit", "0"])?;
        let told: Vec<String> = told(&watch.events.all(), ended.pid).into_iter().collect();
        ensure!(told == expected, "{number}, {text}: {told:?}");
    }
    let memory = watch.agent.policies()?.iter().map(|it| it.kernel_memory_bytes).max().unwrap_or(0);
    env.record("bytes of kernel memory of 10,000 values", f64::from(u32::try_from(memory)?));
    watch.finish()
}

fn a_value_of_1025_bytes(env: &Env) -> Result<()> {
    let at = place(env);
    let (_, second) = at.indices();
    let watch = start(env)?;
    add_good(&watch, at)?;
    let long = "v".repeat(1025);
    let filter = format!("{{index: {second}, operator: Equal, values: ['{long}']}}");
    let text = policy("long", &format!("{}, selectors: [{{matchArgs: [{filter}]}}]}}]", at.prctl("string")));
    if env.place().to_string().starts_with("vm-5.10") {
        let answer = refusal(&watch, &text)?;
        let place = "spec.kprobes[0].selectors[0].matchArgs[0]";
        ensure!(answer.contains("508 bytes") && answer.contains(place), "{answer}");
        check_good(&watch, 1)?;
    } else {
        watch.agent.add_policy(&text)?;
        for (value, matches) in
            [(long.clone(), true), (long.clone() + "v", false), (long[1..].to_owned(), false)]
        {
            let (ended, _) = watch.act(["syscall", PRCTL, "1", &format!("s:{value}"), ".", "exit", "0"])?;
            let told = told(&watch.events.all(), ended.pid).contains("long");
            ensure!(told == matches, "{} bytes: {told}", value.len());
        }
    }
    watch.finish()
}
