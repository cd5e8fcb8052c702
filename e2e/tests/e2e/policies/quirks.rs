//! Where the reference goes wrong: gaps between selectors, large selectors, sets of several hooks in one policy.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::KprobeArgument;
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::{Env, EventExt, Watch};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(gaps_between_selectors),
        test!(selectors_of_many_kilobytes),
        test!(sets_of_two_tracepoints),
        test!(sets_of_two_lists).on(VMS),
        test!(networks_of_two_functions).on(VMS),
    ]
}

/// The number of ustat(2), which nothing calls any more. It takes a number and a pointer.
const USTAT: &str = "136";

/// A signal for each selector: which one acted is what is pending afterwards.
const SIGNALS: [&str; 5] = ["40", "41", "42", "43", "44"];

/// Filters that do not match an actor's call, or do: on the process, on the program, on arguments, none at all.
fn filter(at: At, kind: char) -> String {
    let (mark, _) = at.indices();
    match kind {
        'p' => "matchPIDs: [{operator: In, values: [1000000]}], ".to_owned(),
        'P' => "matchPIDs: [{operator: NotIn, values: [1000000]}], ".to_owned(),
        'b' => "matchBinaries: [{operator: In, values: [/no/such]}], ".to_owned(),
        'B' => "matchBinaries: [{operator: Postfix, values: [/actor]}], ".to_owned(),
        'a' => format!("matchArgs: [{{index: {mark}, operator: Equal, values: ['1']}}], "),
        'A' => format!("matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}], "),
        // Matches as far as the process, and then does not.
        'x' => filter(at, 'P') + &filter(at, 'a'),
        _ => String::new(),
    }
}

/// Selectors are looked at in order, whatever kind of filter those before did not match by; the first one acts.
fn gaps_between_selectors(env: &Env) -> Result<()> {
    let watch = start(env)?;
    for at in At::all(env) {
        // Not prctl: a selector without filters acts on every process's calls, and nothing calls ustat(2) any more.
        let hook = at.prctl("uint64").replace("prctl", "ustat");
        for (kinds, acts) in [
            ("ppA", Some(2)),
            ("apP", Some(2)),
            ("paxbA", Some(4)),
            ("xpbpB", Some(4)),
            ("pbpbA", Some(4)),
            ("a-A", Some(1)),
            ("p-", Some(1)),
            ("xbPpA", Some(2)),
            ("ApA", Some(0)),
            ("paxbp", None),
        ] {
            let selectors: Vec<String> = kinds
                .chars()
                .zip(SIGNALS)
                .map(|(kind, signal)| {
                    let filters = filter(*at, kind);
                    format!("{{{filters}matchActions: [{{action: Signal, argSig: {signal}}}]}}")
                })
                .collect();
            watch
                .agent
                .add_policy(&policy("gaps", &format!("{hook}, selectors: [{}]}}]", selectors.join(", "))))?;
            let (ended, _) = watch.act(blocked(&["syscall", USTAT, MARK, "."]))?;
            watch.agent.delete_policy("", "gaps")?;
            let expected = acts.map_or(0, |selector: usize| 1 << selector);
            ended.expect_code(expected).with_context(|| format!("{at:?}, selectors {kinds}"))?;
        }
    }
    watch.finish()
}

/// The verbs, with all signals blocked; then an exit with what is pending.
fn blocked<'a>(verbs: &[&'a str]) -> Vec<&'a str> {
    let block = SIGNALS.iter().flat_map(|signal| ["block", signal]);
    block.chain(verbs.iter().copied()).chain(["exit-pending"]).chain(SIGNALS).collect()
}

fn quoted(values: impl IntoIterator<Item = String>) -> String {
    values.into_iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ")
}

/// Five selectors with five filters of hundreds of values each: of the reference's 1 KiB and 4 KiB nothing is left.
fn selectors_of_many_kilobytes(env: &Env) -> Result<()> {
    let text = "t".repeat(200);
    for at in At::all(env) {
        let watch = start(env)?;
        let (mark, second) = at.indices();
        let (last, texts) = (400, 150);
        let numbers =
            |extra: &str| quoted((0..last).map(|n| (70_000 + 2 * n).to_string()).chain([extra.to_owned()]));
        let many = |suffix: &str| quoted((0..texts).map(|n| format!("{text}{n}{suffix}")));
        let selector = |extra: &str, suffix: &str, signal: &str| {
            format!(
                "{{matchArgs: [{{index: {mark}, operator: InMap, values: [{}]}}, \
                 {{index: {mark}, operator: NotInMap, values: [{}]}}, \
                 {{index: {second}, operator: Equal, values: [{}]}}, \
                 {{index: {second}, operator: NotEqual, values: [{}]}}, \
                 {{index: {second}, operator: Prefix, values: [{}]}}], \
                 matchActions: [{{action: Signal, argSig: {signal}}}]}}",
                numbers(extra),
                numbers("1"),
                many(suffix),
                many("-no"),
                many(""),
            )
        };
        let selectors = [
            selector("2", "", SIGNALS[0]),
            selector(MARK, "a", SIGNALS[1]),
            selector(MARK, "b", SIGNALS[2]),
            selector(MARK, "c", SIGNALS[3]),
            selector(MARK, "", SIGNALS[4]),
        ];
        let spec = format!("{}, selectors: [{}]}}]", at.prctl("string"), selectors.join(", "));
        ensure!(spec.len() > 100 << 10, "{} bytes", spec.len());
        watch.agent.add_policy(&policy("large", &spec))?;
        for (mark, suffix, expected) in [
            (MARK, "149", 1 << 4),
            (MARK, "0", 1 << 4),
            (MARK, "75b", 1 << 2),
            (MARK, "150", 0),
            (MARK, "7-no", 0),
            ("2", "149", 1),
        ] {
            let (ended, _) =
                watch.act(blocked(&["syscall", PRCTL, mark, &format!("s:{text}{suffix}"), "."]))?;
            ended.expect_code(expected).with_context(|| format!("{at:?}, prctl({mark}, ...{suffix})"))?;
        }
        watch.finish()?;
    }
    Ok(())
}

/// The calls that a policy has told of: name and first argument.
fn calls(watch: &Watch<'_>, name: &str, pid: u32) -> Vec<(String, i32)> {
    let first = |args: &[KprobeArgument]| match args.first().and_then(|it| it.arg.as_ref()) {
        Some(Arg::IntArg(number)) => *number,
        _ => -1,
    };
    let events = watch.events.all().into_iter();
    let of = events.filter(|event| event.pid() == pid && event.policy() == Some(name));
    of.filter_map(|event| match event.event {
        Some(Payload::ProcessKprobe(it)) => {
            Some((it.function_name.trim_start_matches("__x64_sys_").to_owned(), first(&it.args)))
        }
        Some(Payload::ProcessTracepoint(it)) => {
            Some((it.event.trim_start_matches("sys_enter_").to_owned(), first(&it.args)))
        }
        _ => None,
    })
    .collect()
}

const CALLS: [&str; 22] = [
    "syscall", PRCTL, "70001", "s:one", ".", "syscall", PRCTL, "70002", "s:two", ".", "syscall", USTAT,
    "70001", "s:one", ".", "syscall", USTAT, "70002", "s:two", ".", "exit", "0",
];

/// Selectors of two hooks with sets of every kind, each of which belongs to one of them.
fn own_sets(actor: &str, number: (u32, u32), value: &str, text: &str, binary: bool) -> String {
    let program = if binary { actor } else { "/no/such" };
    let numbers = quoted((0..50).map(|n| (80_000 + 3 * n).to_string()).chain([value.to_owned()]));
    format!(
        "[{{matchBinaries: [{{operator: In, values: [/bin/x, '{program}']}}], \
         matchArgs: [{{index: {}, operator: InMap, values: [{numbers}]}}, \
         {{index: {}, operator: Equal, values: [other, {text}]}}]}}]",
        number.0, number.1
    )
}

fn sets_of_two_tracepoints(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    let hook = |call: &str, selectors: &str| {
        format!(
            "{{subsystem: syscalls, event: sys_enter_{call}, args: [{{index: 5, type: int}}, {{index: 6, type: string}}], \
             selectors: {selectors}}}"
        )
    };
    let sets = |value: &str, text: &str, binary: bool| own_sets(&actor, (5, 6), value, text, binary);
    for (name, first, second) in [
        ("numbers", sets("70001", "one", true), sets("70002", "two", true)),
        ("programs", sets("70001", "one", true), sets("70001", "one", false)),
    ] {
        let spec = format!("tracepoints: [{}, {}]", hook("prctl", &first), hook("ustat", &second));
        watch.agent.add_policy(&policy(name, &spec))?;
    }
    check_sets(watch)
}

/// Kprobes of lists, which are attached at once where the kernel can.
fn sets_of_two_lists(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    let hook = |list: &str, selectors: &str| {
        format!(
            "{{call: 'list:{list}', syscall: true, args: [{{index: 0, type: int}}, {{index: 1, type: string}}], \
             selectors: {selectors}}}"
        )
    };
    let sets = |value: &str, text: &str, binary: bool| own_sets(&actor, (0, 1), value, text, binary);
    for (name, first, second) in [
        ("numbers", sets("70001", "one", true), sets("70002", "two", true)),
        ("programs", sets("70001", "one", true), sets("70001", "one", false)),
    ] {
        let spec = format!(
            "lists: [{{name: a, type: syscalls, values: [sys_prctl, sys_pivot_root]}}, \
             {{name: b, type: syscalls, values: [sys_ustat, sys_acct]}}], kprobes: [{}, {}]",
            hook("a", &first),
            hook("b", &second)
        );
        watch.agent.add_policy(&policy(name, &spec))?;
    }
    check_sets(watch)
}

fn check_sets(watch: Watch<'_>) -> Result<()> {
    let (ended, _) = watch.act(CALLS)?;
    let told = calls(&watch, "numbers", ended.pid);
    ensure!(told == [("prctl".to_owned(), 70001), ("ustat".to_owned(), 70002)], "numbers: {told:?}");
    let told = calls(&watch, "programs", ended.pid);
    ensure!(told == [("prctl".to_owned(), 70001)], "programs: {told:?}");
    watch.finish()
}

fn networks_of_two_functions(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let hook = |function: &str, networks: &str| {
        format!(
            "{{call: {function}, syscall: false, args: [{{index: 0, type: sock}}], \
             selectors: [{{matchArgs: [{{index: 0, operator: DAddr, values: [{networks}]}}]}}]}}"
        )
    };
    let (here, there) = ("'127.0.0.0/8', '::1'", "'10.0.0.0/8', '2001:db8::/32'");
    for (name, first, second) in [("first", here, there), ("second", there, here)] {
        let spec = format!("kprobes: [{}, {}]", hook("tcp_connect", first), hook("tcp_set_state", second));
        watch.agent.add_policy(&policy(name, &spec))?;
    }
    let (ended, _) = watch.act(["connect", "127.0.0.1:8765", "exit", "0"])?;
    for (name, function) in [("first", "tcp_connect"), ("second", "tcp_set_state")] {
        let told: BTreeSet<String> =
            calls(&watch, name, ended.pid).into_iter().map(|(call, _)| call).collect();
        ensure!(told == BTreeSet::from([function.to_owned()]), "{name}: {told:?}");
    }
    watch.finish()
}
