//! Lists: of system calls by number, and of functions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_e2e::kit::{Env, EventExt, Watch};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{MARK, PRCTL, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(calls_by_number),
        test!(functions_by_name_and_pattern).on(VMS),
        test!(a_call_without_arguments).on(VMS),
        test!(every_system_call).on(VMS).within(Duration::from_secs(90)),
        test!(lists_that_cannot_be).on(VMS),
    ]
}

/// Marks the numbers of 32-bit calls.
const COMPAT: u64 = 1 << 31;

/// 64-bit calls: prctl, umask, writev, getppid, and one that does not exist.
const CALLS: [u64; 5] = [157, 95, 20, 110, 5000];
/// 32-bit ones: getpid, which has the number of the 64-bit writev, and prctl.
const CALLS_32: [u64; 2] = [20, 172];

/// `syscall64`: every operator with numbers and with lists, of both interfaces.
fn calls_by_number(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let actor = env.actor_copy("caller")?;
    // This machine's kernel need not have the interface of 32-bit programs.
    let compat: &[u64] = if env.place().is_native() { &[] } else { &CALLS_32 };
    let [getpid, prctl] = CALLS_32.map(|number| number | COMPAT);
    let cases: [(&str, &str, String, BTreeSet<u64>); 13] = [
        ("in-list", "InMap", "'list:some'".to_owned(), [157, 95].into()),
        ("not-in-list", "NotInMap", "'list:some'".to_owned(), [20, 110, 5000, getpid, prctl].into()),
        ("in-compat", "InMap", "'list:compat'".to_owned(), [getpid].into()),
        ("in-both", "InMap", "'list:both', '110'".to_owned(), [157, 110, prctl].into()),
        ("in-two", "InMap", "'list:some', 'list:compat'".to_owned(), [157, 95, getpid].into()),
        ("in-any", "InMap", "'list:all'".to_owned(), [157, 95, 20, 110].into()),
        ("in-none", "NotInMap", "'list:all'".to_owned(), [5000, getpid, prctl].into()),
        ("in-range", "InMap", "'95:157'".to_owned(), [157, 95, 110].into()),
        ("equal", "Equal", format!("'157', '{prctl}'"), [157, prctl].into()),
        ("not-equal", "NotEqual", format!("'157', '{prctl}'"), [95, 20, 110, 5000, getpid].into()),
        ("greater", "GT", "'157'".to_owned(), [5000, getpid, prctl].into()),
        ("less", "LT", "'95'".to_owned(), [20].into()),
        ("mask", "Mask", format!("'{COMPAT}'"), [getpid, prctl].into()),
    ];
    watch.agent.add_policies(cases.iter().map(|(name, operator, values, _)| {
        policy(
            name,
            &format!(
                "lists: [{{name: some, type: syscalls, values: [sys_prctl, sys_umask]}}, \
                 {{name: compat, type: syscalls, values: [__ia32_sys_getpid]}}, \
                 {{name: both, type: syscalls, values: [__x64_sys_prctl, __ia32_sys_prctl]}}, \
                 {{name: all, type: generated_syscalls}}], \
                 tracepoints: [{{subsystem: raw_syscalls, event: sys_enter, args: [{{index: 4, type: syscall64}}], \
                 selectors: [{{matchBinaries: [{{operator: In, values: ['{}']}}], \
                 matchArgs: [{{index: 4, operator: {operator}, values: [{values}]}}]}}]}}]",
                actor.display()
            ),
        )
    }))?;
    let path = actor.to_string_lossy().into_owned();
    let mut line = vec!["exec".to_owned(), path, "actor".to_owned()];
    // What they do not get as a descriptor, an option or a mask does no harm.
    for (verb, numbers) in [("syscall", &CALLS[..]), ("syscall32", compat)] {
        for number in numbers {
            line.extend([verb.to_owned(), number.to_string(), "-1".to_owned(), ".".to_owned()]);
        }
    }
    line.extend(["exit", "0"].map(str::to_owned));
    let (ended, _) = watch.act(line)?;
    let made: BTreeSet<u64> = CALLS.into_iter().chain(compat.iter().map(|number| number | COMPAT)).collect();
    let told = numbers_told(&watch, ended.pid);
    for (name, _, _, expected) in &cases {
        let expected: BTreeSet<u64> = expected.intersection(&made).copied().collect();
        let told: BTreeSet<u64> =
            told.get(*name).map(|told| told.intersection(&made).copied().collect()).unwrap_or_default();
        ensure!(told == expected, "{name}: {told:x?} instead of {expected:x?}");
    }
    watch.finish()
}

/// The first argument of each policy's events about the process, where that is a number.
fn numbers_told(watch: &Watch<'_>, pid: u32) -> BTreeMap<String, BTreeSet<u64>> {
    let mut told = BTreeMap::<String, BTreeSet<u64>>::new();
    for event in watch.events.all().into_iter().filter(|event| event.pid() == pid) {
        let Some(name) = event.policy().map(str::to_owned) else { continue };
        let Some(Payload::ProcessTracepoint(it)) = event.event else { continue };
        if let Some(Arg::SizeArg(number)) = it.args.first().and_then(|it| it.arg.as_ref()) {
            told.entry(name).or_default().insert(*number);
        }
    }
    told
}

/// The functions of the policy's events about the process, as often as they are told.
fn functions(watch: &Watch<'_>, name: &str, pid: u32) -> Vec<String> {
    let of = watch.events.all().into_iter().filter(|it| it.pid() == pid && it.policy() == Some(name));
    let mut functions: Vec<String> = of
        .filter_map(|event| match event.event {
            Some(Payload::ProcessKprobe(it)) => Some(it.function_name),
            _ => None,
        })
        .collect();
    functions.sort();
    functions
}

/// A policy for calls of the list's functions with the mark as their first argument.
fn marked(name: &str, list: &str) -> String {
    policy(
        name,
        &format!(
            "lists: [{{name: those, {list}}}], kprobes: [{{call: 'list:those', args: [{{index: 0, type: int}}], \
             selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{MARK}']}}]}}]}}]"
        ),
    )
}

fn functions_by_name_and_pattern(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let checks = ["cap_task_prctl", "security_task_prctl"];
    let calls = ["__ia32_sys_prctl", "__x64_sys_prctl"];
    let cases = [
        ("plain", "values: [security_task_prctl, cap_task_prctl]", &checks),
        ("pattern", "type: generated_ftrace, pattern: '^(security|cap)_task_prctl$'", &checks),
        // What the list calls system calls, and what it gives as functions, differ in how arguments are passed.
        ("calls", "type: syscalls, values: [sys_prctl, __ia32_sys_prctl]", &calls),
    ];
    watch.agent.add_policies(cases.iter().map(|(name, list, _)| marked(name, list)))?;
    // prctl, by both interfaces.
    let other = (MARK.parse::<u64>()? + 1).to_string();
    for (option, matching) in [(MARK, true), (other.as_str(), false)] {
        let line = ["syscall", PRCTL, option, ".", "syscall32", "172", option, ".", "exit", "0"];
        let (ended, _) = watch.act(line)?;
        for (name, _, expected) in &cases {
            let told = functions(&watch, name, ended.pid);
            // The functions that both calls reach are told twice.
            let times = usize::from(matching) * if *name == "calls" { 1 } else { 2 };
            let expected: Vec<&str> =
                expected.iter().flat_map(|it| std::iter::repeat_n(*it, times)).collect();
            ensure!(told == expected, "{name}, {option}: {told:?} instead of {expected:?}");
        }
    }
    watch.finish()
}

/// Calls without arguments have one function for both interfaces, which the kernel's types know by a third name only.
fn a_call_without_arguments(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let Err(error) = watch.agent.add_policy(&policy("bad", "kprobes: [{call: sys_getppid}]")) else {
        bail!("sys_getppid was accepted; then this test is to show what it tells");
    };
    let error = format!("{error:#}");
    ensure!(error.contains("call: __do_sys_getppid"), "{error}");
    watch.agent.add_policy(&policy("parent", "kprobes: [{call: __do_sys_getppid, syscall: false}]"))?;
    let (ended, _) = watch.act(["syscall", "110", ".", "syscall32", "64", ".", "exit", "0"])?;
    let told = functions(&watch, "parent", ended.pid);
    ensure!(told == ["__do_sys_getppid"; 2], "{told:?}");
    watch.finish()
}

fn every_system_call(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let begun = Instant::now();
    watch.agent.add_policy(&marked("every", "type: generated_syscalls"))?;
    env.record("load a policy for every system call, s", begun.elapsed().as_secs_f64());
    let line = [
        "syscall", PRCTL, MARK, ".", "syscall", "95", MARK, ".", "syscall", "110", ".", "syscall", PRCTL, "1",
    ];
    let (ended, _) = watch.act(line.into_iter().chain([".", "exit", "0"]))?;
    let told = functions(&watch, "every", ended.pid);
    ensure!(told == ["__x64_sys_prctl", "__x64_sys_umask"], "{told:?}");
    let begun = Instant::now();
    watch.agent.delete_policy("", "every")?;
    env.record("delete it, s", begun.elapsed().as_secs_f64());
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
    ensure!(functions(&watch, "every", ended.pid).is_empty(), "deleted, and it still holds");
    watch.finish()
}

fn lists_that_cannot_be(env: &Env) -> Result<()> {
    let watch = start(env)?;
    for (list, reason) in [
        ("values: [security_task_prctl, security_task_prctlx]", "security_task_prctl"),
        ("type: syscalls, values: [sys_prctl, sys_prctlx]", "sys_prctl"),
        ("type: generated_ftrace, pattern: '^no_function_is_called_so$'", "no function"),
        ("type: generated_ftrace, pattern: '('", "regular expression"),
        ("type: generated_syscalls, values: [sys_prctl]", "generated list"),
    ] {
        let Err(error) = watch.agent.add_policy(&marked("bad", list)) else {
            bail!("{list} was accepted");
        };
        ensure!(format!("{error:#}").contains(reason), "{list}: {error:#}");
    }
    // Nothing of them stayed.
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
    ensure!(functions(&watch, "bad", ended.pid).is_empty(), "half a list was attached");
    watch.finish()
}
