//! What is done about a match.

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::KprobeAction;
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_e2e::kit::expect::Expect;
use tetragon_e2e::kit::{Env, EventExt, Watch};
use tetragon_e2e::place::{EVERYWHERE_AND_PREEMPTIBLE, VMS};
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, policy, start, told};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(no_instruction_after_a_kill).on(EVERYWHERE_AND_PREEMPTIBLE),
        test!(a_signal),
        test!(monitoring_does_not_kill),
        test!(no_event),
        test!(a_rate_limit),
        test!(rate_limits_by_scope),
        test!(several_signals),
        test!(no_event_of_a_signal),
        test!(a_signal_then_a_kill).on(EVERYWHERE_AND_PREEMPTIBLE),
        test!(a_signal_that_cannot_be_sent),
        test!(stacks).on(VMS),
    ]
}

fn place(env: &Env) -> At {
    if env.place().is_native() { At::Tracepoint } else { At::Kprobe }
}

fn acting(at: At, name: &str, options: &str, actions: &str) -> String {
    let (mark, _) = at.indices();
    policy(
        name,
        &format!(
            "{options}{}, selectors: [{{matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}], \
             matchActions: [{actions}]}}]}}]",
            at.prctl("uint64")
        ),
    )
}

fn action_of(payload: &Payload) -> Result<KprobeAction> {
    match payload {
        Payload::ProcessKprobe(it) => Ok(it.action()),
        Payload::ProcessTracepoint(it) => Ok(it.action()),
        other => bail!("no policy event: {other:?}"),
    }
}

fn no_instruction_after_a_kill(env: &Env) -> Result<()> {
    for at in At::all(env) {
        let watch = start(env)?;
        watch.agent.add_policy(&acting(*at, "kill", "", "{action: Sigkill}"))?;
        let mark = env.file(format!("after-{at:?}"));
        for _ in 0..20 {
            let line = ["syscall", PRCTL, MARK, ".", "mkdir", &*mark.to_string_lossy(), "exit", "0"];
            let (ended, _) = watch.act(line)?;
            let pid = ended.expect_signal(9)?.pid;
            ensure!(!mark.exists(), "the process went on after the signal");
            let of =
                Expect::any().that("kill", move |event| event.policy() == Some("kill") && event.pid() == pid);
            let event = watch.events.expect(&of)?;
            let action = action_of(event.event.as_ref().context("empty event")?)?;
            ensure!(action == KprobeAction::Sigkill, "{action:?}");
        }
        watch.finish()?;
    }
    Ok(())
}

fn a_signal(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&acting(place(env), "signal", "", "{action: Signal, argSig: 15}"))?;
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
    let pid = ended.expect_signal(15)?.pid;
    ensure!(told(&watch.events.all(), pid).contains("signal"), "no event");
    watch.finish()
}

fn monitoring_does_not_kill(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let options = "options: [{name: policy-mode, value: monitor}], ";
    watch.agent.add_policy(&acting(place(env), "monitor", options, "{action: Sigkill}"))?;
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "3"])?;
    let pid = ended.expect_code(3)?.pid;
    ensure!(told(&watch.events.all(), pid).contains("monitor"), "no event");
    watch.finish()
}

fn no_event(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&acting(place(env), "silent", "", "{action: NoPost}"))?;
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
    ensure!(told(&watch.events.all(), ended.pid).is_empty(), "an event");
    let suppressed =
        watch.agent.policies()?.first().and_then(|policy| policy.figures).map(|it| it.suppressed);
    ensure!(suppressed == Some(1), "it has not matched: {suppressed:?}");
    watch.finish()
}

fn a_rate_limit(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&acting(place(env), "limited", "", "{action: Post, rateLimit: 5m}"))?;
    let call = ["syscall", PRCTL, MARK, "1", "."];
    let other = ["syscall", PRCTL, MARK, "2", "."];
    let line: Vec<&str> = [&call[..], &call[..], &other[..], &call[..], &["exit", "0"]].concat();
    let (ended, _) = watch.act(line)?;
    let events = watch.events.all();
    let count =
        events.iter().filter(|event| event.pid() == ended.pid && event.policy() == Some("limited")).count();
    ensure!(count == 2, "{count} events of three like calls and another one");
    watch.finish()
}

fn stacks(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let action = "{action: Post, kernelStackTrace: true, userStackTrace: true}";
    watch.agent.add_policy(&acting(At::Kprobe, "stacks", "", action))?;
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
    let of = Expect::any()
        .that("stacks", move |event| event.policy() == Some("stacks") && event.pid() == ended.pid);
    let Some(Payload::ProcessKprobe(event)) = watch.events.expect(&of)?.event else {
        bail!("no kprobe event")
    };
    let symbols: Vec<&str> = event.kernel_stack_trace.iter().map(|frame| frame.symbol.as_str()).collect();
    ensure!(symbols.iter().any(|symbol| symbol.contains("do_syscall_64")), "{symbols:?}");
    ensure!(!event.user_stack_trace.is_empty(), "no user stack: {event:?}");
    watch.finish()
}

/// Like events of one thread, of one process, and of all: three threads of each of two processes make two calls each.
fn rate_limits_by_scope(env: &Env) -> Result<()> {
    let watch = start(env)?;
    for scope in ["thread", "process", "global"] {
        let action = format!("{{action: Post, rateLimit: 10m, rateLimitScope: {scope}}}");
        watch.agent.add_policy(&acting(place(env), scope, "", &action))?;
    }
    watch.agent.add_policy(&acting(place(env), "unlimited", "", "{action: Post}"))?;
    let pids = [0, 1].map(|_| {
        let (ended, _) = watch.act(["thread-prctls", "3", "2", MARK, "exit", "0"])?;
        ended.expect_code(0).map(|ended| ended.pid)
    });
    let pids = pids.into_iter().collect::<Result<Vec<u32>>>()?;
    let events = watch.events.all();
    for (name, expected) in
        [("thread", [3, 3]), ("process", [1, 1]), ("global", [1, 0]), ("unlimited", [6, 6])]
    {
        let count =
            |pid: u32| events.iter().filter(|it| it.pid() == pid && it.policy() == Some(name)).count();
        let told: Vec<usize> = pids.iter().map(|pid| count(*pid)).collect();
        ensure!(told == expected, "{name}: {told:?} of 6 each");
    }
    watch.finish()
}

/// The only event of the policy about the process: what was done, and the error of it.
fn done(watch: &Watch<'_>, name: &'static str, pid: u32) -> Result<(KprobeAction, i32)> {
    let of = Expect::any().that(name, move |event| event.policy() == Some(name) && event.pid() == pid);
    watch.events.expect(&of)?;
    let all = watch.events.matching(&of);
    ensure!(all.len() == 1, "{} events of {name}", all.len());
    match all.into_iter().next().and_then(|event| event.event) {
        Some(Payload::ProcessKprobe(it)) => Ok((it.action(), it.action_errno)),
        Some(Payload::ProcessTracepoint(it)) => Ok((it.action(), it.action_errno)),
        other => bail!("no policy event: {other:?}"),
    }
}

fn repeats(env: &Env) -> u32 {
    if env.place().is_native() { 20 } else { 4 }
}

/// All signals of a selector are sent, and of several policies; the event tells the last action.
fn several_signals(env: &Env) -> Result<()> {
    for at in At::all(env) {
        let watch = start(env)?;
        let signals = "{action: Signal, argSig: 10}, {action: Signal, argSig: 12}";
        watch.agent.add_policies([
            acting(*at, "signals", "", &format!("{signals}, {{action: Post}}")),
            acting(*at, "more", "", "{action: Post}, {action: Signal, argSig: 40}"),
        ])?;
        for _ in 0..repeats(env) {
            let line = [
                "block",
                "10",
                "block",
                "12",
                "block",
                "40",
                "syscall",
                PRCTL,
                MARK,
                ".",
                "exit-pending",
                "10",
                "12",
                "40",
            ];
            let (ended, _) = watch.act(line)?;
            let told = (done(&watch, "signals", ended.pid)?, done(&watch, "more", ended.pid)?);
            let pid = ended.expect_code(0b111).with_context(|| format!("{at:?}: {told:?}"))?.pid;
            ensure!(told == ((KprobeAction::Post, 0), (KprobeAction::Signal, 0)), "{at:?}, {pid}: {told:?}");
        }
        watch.finish()?;
    }
    Ok(())
}

/// A kill is not lost behind another signal: in one selector, and in two policies.
fn a_signal_then_a_kill(env: &Env) -> Result<()> {
    for at in At::all(env) {
        for policies in [
            vec![acting(*at, "both", "", "{action: Signal, argSig: 23}, {action: Sigkill}")],
            vec![
                acting(*at, "signal", "", "{action: Signal, argSig: 23}"),
                acting(*at, "kill", "", "{action: Sigkill}"),
            ],
        ] {
            let watch = start(env)?;
            watch.agent.add_policies(policies)?;
            for _ in 0..repeats(env) {
                let (ended, _) = watch.act(["block", "23", "syscall", PRCTL, MARK, ".", "exit", "0"])?;
                ended.expect_signal(9).with_context(|| format!("{at:?}"))?;
            }
            watch.finish()?;
        }
    }
    Ok(())
}

/// NoPost leaves the event out, wherever it stands; the signal is sent all the same.
fn no_event_of_a_signal(env: &Env) -> Result<()> {
    for actions in
        ["{action: NoPost}, {action: Signal, argSig: 15}", "{action: Signal, argSig: 15}, {action: NoPost}"]
    {
        let watch = start(env)?;
        watch.agent.add_policy(&acting(place(env), "silent", "", actions))?;
        let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
        let pid = ended.expect_signal(15)?.pid;
        ensure!(told(&watch.events.all(), pid).is_empty(), "an event");
        watch.finish()?;
    }
    Ok(())
}

/// A task that ends takes no signals any more: the kernel refuses, and the event says so.
fn a_signal_that_cannot_be_sent(env: &Env) -> Result<()> {
    let hooks = [
        (At::Tracepoint, "tracepoints: [{subsystem: sched, event: sched_process_exit"),
        (At::Kprobe, "kprobes: [{call: exit_files, syscall: false"),
    ];
    for (_, hook) in hooks.iter().filter(|(at, _)| At::all(env).contains(at)) {
        let watch = start(env)?;
        let go = env.file("go");
        let mut actor = env.actor(["wait", &*go.to_string_lossy(), "exit", "3"])?.spawn()?;
        let pid = actor.id();
        watch.agent.add_policy(&policy(
            "late",
            &format!(
                "{hook}, selectors: [{{matchPIDs: [{{operator: In, values: [{pid}]}}], \
                 matchActions: [{{action: Signal, argSig: 10}}]}}]}}]"
            ),
        ))?;
        std::fs::write(&go, "")?;
        ensure!(actor.wait()?.code() == Some(3), "it did not end by itself");
        let told = done(&watch, "late", pid)?;
        ensure!(told == (KprobeAction::Signal, 1), "{hook}: {told:?}");
        let errors = watch.agent.policies()?.first().and_then(|it| it.figures).map(|it| it.signal_errors);
        ensure!(errors == Some(1), "{errors:?} errors");
        std::fs::remove_file(&go)?;
        watch.finish()?;
    }
    Ok(())
}
