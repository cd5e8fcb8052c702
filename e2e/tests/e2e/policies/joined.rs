//! Returns that race: calls that nest, that overlap, that wait, that never return.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeAction, ProcessKprobe, TracingPolicyFigures};
use tetragon_e2e::kit::{Env, EventExt, Watch};
use tetragon_e2e::place::{VMS, VMS_AND_PREEMPTIBLE};
use tetragon_e2e::{Test, test};

use super::{MARK, PRCTL, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(hooks_within_hooks).on(VMS),
        test!(threads_in_one_call).on(VMS_AND_PREEMPTIBLE),
        test!(calls_at_once).on(VMS_AND_PREEMPTIBLE),
        test!(a_function_within_itself).on(VMS),
        test!(calls_that_never_return).on(VMS).within(Duration::from_secs(30)),
    ]
}

/// The policy's events of the process.
fn events(watch: &Watch<'_>, name: &str, pid: u32) -> Result<Vec<ProcessKprobe>> {
    let all = watch.events.all().into_iter();
    let of = all.filter(|event| event.pid() == pid && event.policy() == Some(name));
    of.map(|event| match event.event {
        Some(Payload::ProcessKprobe(it)) => Ok(it),
        other => bail!("no kprobe event: {other:?}"),
    })
    .collect()
}

/// An integer, of whatever type.
fn number(arg: Option<&Arg>) -> Result<i64> {
    Ok(match arg.context("no argument")? {
        Arg::IntArg(it) => (*it).into(),
        Arg::UintArg(it) => (*it).into(),
        Arg::LongArg(it) => *it,
        Arg::SizeArg(it) => i64::try_from(*it)?,
        other => bail!("no number: {other:?}"),
    })
}

/// The argument at this place, and what was returned.
fn pair(event: &ProcessKprobe, position: usize) -> Result<(i64, i64)> {
    let argument = event.args.get(position).and_then(|it| it.arg.as_ref());
    let returned = event.r#return.as_ref().and_then(|it| it.arg.as_ref());
    Ok((number(argument)?, number(returned)?))
}

fn figures(watch: &Watch<'_>, name: &str) -> Result<TracingPolicyFigures> {
    let policies = watch.agent.policies()?;
    policies.iter().find(|it| it.name == name).and_then(|it| it.figures).context("no figures")
}

/// A system call, and within it a function that is hooked too: each has its own return.
fn hooks_within_hooks(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let hook = |call: &str, syscall: bool| {
        format!(
            "{{call: {call}, syscall: {syscall}, return: true, returnArg: {{index: 0, type: int}}, \
             args: [{{index: 0, type: int}}, {{index: 1, type: uint64}}], \
             selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{MARK}']}}]}}]}}"
        )
    };
    let spec = format!("kprobes: [{}, {}]", hook("sys_prctl", true), hook("security_task_prctl", false));
    watch.agent.add_policy(&policy("within", &spec))?;
    let calls: Vec<String> =
        (1..=20).flat_map(|n| ["syscall", PRCTL, MARK, &n.to_string(), "."].map(str::to_owned)).collect();
    let (ended, _) = watch.act(calls.iter().map(String::as_str).chain(["exit", "0"]))?;
    let mut told: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    for event in events(&watch, "within", ended.pid)? {
        told.entry(event.function_name.clone()).or_default().push(pair(&event, 1)?);
    }
    // -EINVAL of the one, -ENOSYS of the other.
    for (function, returned) in [("__x64_sys_prctl", -22), ("security_task_prctl", -38)] {
        let expected: Vec<(i64, i64)> = (1..=20).map(|n| (n, returned)).collect();
        ensure!(told.get(function) == Some(&expected), "{function}: {told:?}");
    }
    watch.finish()
}

/// Threads that wait in one call, and return in the reverse order. The selector that matched at entry decides what
/// counts at the return and what is done.
fn threads_in_one_call(env: &Env) -> Result<()> {
    // Without preemption, a kernel before 6.1 follows as many calls of a function at a time as it has processors.
    let threads: u32 = if old(env) { 2 } else { 8 };
    let watch = start(env)?;
    let selector = |rest: u32, returned: &str, action: &str| {
        let values: Vec<String> =
            (1..=threads).filter(|n| n % 4 == rest).map(|n| format!("'{}'", 70_000 + n)).collect();
        format!(
            "{{matchArgs: [{{index: 2, operator: InMap, values: ['1000000', {}]}}], \
             matchReturnArgs: [{{index: 0, operator: {returned}}}], matchReturnActions: [{{action: {action}}}]}}",
            values.join(", ")
        )
    };
    let selectors = [
        selector(3, "GT, values: ['1000']", "Post"),
        selector(1, "LT, values: ['1000']", "Signal, argSig: 23"),
        selector(2, "LT, values: ['1000']", "Post"),
        selector(0, "LT, values: ['1000']", "NoPost"),
    ];
    watch.agent.add_policy(&policy(
        "waiting",
        &format!(
            "kprobes: [{{call: sys_read, syscall: true, return: true, returnArg: {{index: 0, type: int64}}, \
             args: [{{index: 2, type: uint64}}], selectors: [{}]}}]",
            selectors.join(", ")
        ),
    ))?;
    for _ in 0..3 {
        let (ended, _) = watch.act(["waiting-reads", &threads.to_string(), "70000", "exit", "0"])?;
        let ended = ended.expect_code(0)?;
        let mut told = Vec::new();
        for event in events(&watch, "waiting", ended.pid)? {
            let (asked, got) = pair(&event, 0)?;
            told.push((asked - 70_000, got, event.return_action()));
        }
        let expected: Vec<(i64, i64, KprobeAction)> = (1..=i64::from(threads))
            .rev()
            .filter_map(|n| match n % 4 {
                1 => Some((n, n, KprobeAction::Signal)),
                2 => Some((n, n, KprobeAction::Post)),
                _ => None,
            })
            .collect();
        ensure!(told == expected, "{told:?}, {:?}", figures(&watch, "waiting")?);
    }
    let figures = figures(&watch, "waiting")?;
    ensure!(figures.returns_missing == 0 && figures.returns_lost == 0, "{figures:?}");
    watch.finish()
}

/// Whether the kernel is 5.10.
fn old(env: &Env) -> bool {
    env.place().to_string().starts_with("vm-5.10")
}

/// Threads that call as fast as they can: the offset that was asked for is the one that is returned.
fn calls_at_once(env: &Env) -> Result<()> {
    let (threads, calls) = (4, 300);
    let watch = start(env)?;
    let selector = |thread: i64| {
        let range = format!("'{}:{}'", thread * 1_000_000, thread * 1_000_000 + calls);
        format!(
            "{{matchArgs: [{{index: 1, operator: InMap, values: [{range}]}}], \
             matchReturnArgs: [{{index: 0, operator: InMap, values: [{range}]}}]}}"
        )
    };
    let selectors: Vec<String> = (1..=threads).rev().map(selector).collect();
    watch.agent.add_policy(&policy(
        "seeks",
        &format!(
            "kprobes: [{{call: sys_lseek, syscall: true, return: true, returnArg: {{index: 0, type: int64}}, \
             args: [{{index: 1, type: int64}}], selectors: [{}]}}]",
            selectors.join(", ")
        ),
    ))?;
    let (ended, _) = watch.act(["seeks", &threads.to_string(), &calls.to_string(), "exit", "0"])?;
    let mut told: Vec<i64> = Vec::new();
    for event in events(&watch, "seeks", ended.pid)? {
        let (asked, got) = pair(&event, 0)?;
        ensure!(asked == got, "asked for {asked}, got {got}");
        told.push(asked);
    }
    told.sort_unstable();
    let all = usize::try_from(threads * calls)?;
    let counted = figures(&watch, "seeks")?;
    env.record("returns of calls at once that were told", f64::from(u32::try_from(told.len())?));
    told.dedup();
    // What the kernel skips in its return probes is counted, and what it skips at entry is no call that matched.
    let missing = counted.returns_missing + counted.returns_lost;
    ensure!(u64::try_from(told.len())? + missing == counted.matched, "{} told, {counted:?}", told.len());
    // 5.10 follows as many calls at a time as it has processors, and one may be put aside while it waits for a lock.
    if env.place().to_string().contains("preempt") || old(env) {
        ensure!(told.len() * 10 >= all * 9, "{} of {all} told, {counted:?}", told.len());
    } else {
        ensure!(told.len() == all, "{} of {all} told, {counted:?}", told.len());
    }
    watch.finish()
}

/// Over loopback, the acknowledgement of a packet is sent before the call that sent the packet is back: `ip_queue_xmit`
/// within `ip_queue_xmit`, in one thread. The outer call matched another selector than the inner one.
fn a_function_within_itself(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy(
        "nested",
        "kprobes: [{call: ip_queue_xmit, syscall: false, return: true, returnArg: {index: 0, type: int}, \
         args: [{index: 0, type: sock}, {index: 1, type: skb}], selectors: [\
         {matchArgs: [{index: 0, operator: DPort, values: ['8765']}], matchReturnActions: [{action: Post}]}, \
         {matchArgs: [{index: 0, operator: SPort, values: ['8765']}], \
         matchActions: [{action: Post, kernelStackTrace: true}], matchReturnActions: [{action: Post}]}]}]",
    ))?;
    let (ended, _) = watch.act(["tcp", "127.0.0.1:8764", "127.0.0.1:8765", "text", "exit", "0"])?;
    let ended = ended.expect_code(0)?;
    let told = events(&watch, "nested", ended.pid)?;
    // Before 5.15, a stack ends at the first function whose return is awaited.
    let mut within = 0;
    for event in &told {
        let returned = number(event.r#return.as_ref().and_then(|it| it.arg.as_ref()))?;
        ensure!(returned == 0 && event.return_action() == KprobeAction::Post, "{event:?}");
        let below = |name: &str| event.kernel_stack_trace.iter().any(|it| it.symbol.contains(name));
        within += u32::from(below("softirq") && (below("tcp_sendmsg") || below("kretprobe_trampoline")));
    }
    ensure!(within > 0, "none was within another: {told:#?}");
    let figures = figures(&watch, "nested")?;
    ensure!(u64::try_from(told.len())? == figures.matched, "{} told, {figures:?}", told.len());
    ensure!(figures.returns_missing == 0 && figures.returns_lost == 0, "{figures:?}");
    watch.finish()
}

/// More calls than can wait, none of which ever returns: they are counted, and others still have their returns.
fn calls_that_never_return(env: &Env) -> Result<()> {
    // There is room for 8,192; once is enough, since it takes long.
    let endings: u32 = if old(env) { 9000 } else { 300 };
    let watch = start(env)?;
    let hook = |call: &str, selectors: &str| {
        format!(
            "kprobes: [{{call: {call}, syscall: true, return: true, returnArg: {{index: 0, type: int}}, \
             args: [{{index: 0, type: int}}]{selectors}}}]"
        )
    };
    let mark = format!(", selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ['{MARK}']}}]}}]");
    // Two policies: functions that are hooked together share the kernel's room for their returns.
    watch.agent.add_policy(&policy("endless", &hook("sys_exit", "")))?;
    watch.agent.add_policy(&policy("ends", &hook("sys_prctl", &mark)))?;
    let number = endings.to_string();
    let line =
        ["syscall", PRCTL, MARK, ".", "brief-threads", &number, "syscall", PRCTL, MARK, ".", "exit", "0"];
    let (ended, _) = watch.act(line)?;
    let ended = ended.expect_code(0)?;
    for event in events(&watch, "ends", ended.pid)? {
        ensure!(pair(&event, 0)? == (MARK.parse()?, -22), "{event:?}");
    }
    let (endless, ends) = (figures(&watch, "endless")?, figures(&watch, "ends")?);
    ensure!((ends.matched, ends.returns_missing, ends.returns_lost) == (2, 0, 0), "{ends:?}");
    ensure!(endless.returns_missing >= endings.into() && endless.returns_lost == 0, "{endless:?}");
    watch.finish()
}
