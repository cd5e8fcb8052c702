//! What is done about a match.

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::KprobeAction;
use tetragon_api::tetragon::get_events_response::Event as Payload;
use tetragon_e2e::kit::expect::Expect;
use tetragon_e2e::kit::{Env, EventExt};
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
