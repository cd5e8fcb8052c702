//! Policies that come, go, and give way to others.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::TracingPolicyState;
use tetragon_e2e::kit::{Env, EventExt};
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, policy, start, told};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(a_policy_comes_and_goes),
        test!(a_policy_that_cannot_be_loaded),
        test!(replaced_under_load).within(Duration::from_secs(60)),
    ]
}

pub(super) fn place(env: &Env) -> At {
    if env.place().is_native() { At::Tracepoint } else { At::Kprobe }
}

pub(super) fn spec(at: At) -> String {
    let (mark, _) = at.indices();
    format!(
        "{}, selectors: [{{matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}]}}]}}]",
        at.prctl("uint64")
    )
}

/// The error that is expected.
fn refusal(result: Result<()>) -> Result<String> {
    match result {
        Ok(()) => bail!("the policy was taken"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

pub(super) const CALL: [&str; 6] = ["syscall", PRCTL, MARK, ".", "exit", "0"];

fn a_policy_comes_and_goes(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let tells = |what: &str, expected: bool| -> Result<()> {
        let (ended, _) = watch.act(CALL)?;
        let told = !told(&watch.events.all(), ended.pid).is_empty();
        ensure!(told == expected, "{what}: {told}");
        Ok(())
    };
    let state = || -> Result<Option<TracingPolicyState>> {
        Ok(watch.agent.policies()?.first().map(|policy| policy.state()))
    };
    tells("before", false)?;
    watch.agent.add_policy(&policy("mine", &spec(place(env))))?;
    tells("added", true)?;
    ensure!(state()? == Some(TracingPolicyState::TpStateEnabled), "{:?}", watch.agent.policies()?);
    let memory = watch.agent.policies()?.first().map_or(0, |policy| policy.kernel_memory_bytes);
    ensure!(memory > 0 && memory < 65536, "{memory} bytes of kernel memory");
    env.record("bytes of kernel memory of a policy", f64::from(u32::try_from(memory)?));
    let again = refusal(watch.agent.add_policy(&policy("mine", &spec(place(env)))))?;
    ensure!(again.contains("already exists"), "{again}");
    watch.agent.switch_policy("mine", false)?;
    tells("disabled", false)?;
    ensure!(state()? == Some(TracingPolicyState::TpStateDisabled), "{:?}", watch.agent.policies()?);
    watch.agent.switch_policy("mine", true)?;
    tells("enabled", true)?;
    watch.agent.delete_policy("", "mine")?;
    tells("deleted", false)?;
    ensure!(state()?.is_none(), "{:?}", watch.agent.policies()?);
    watch.finish()
}

fn a_policy_that_cannot_be_loaded(env: &Env) -> Result<()> {
    let watch = start(env)?;
    watch.agent.add_policy(&policy("good", &spec(place(env))))?;
    let bad = "kprobes: [{call: sys_prctll, syscall: true}]";
    let error = refusal(watch.agent.add_policy(&policy("bad", bad)))?;
    ensure!(error.contains("spec.kprobes[0].call") && error.contains("prctl"), "{error}");
    let (ended, _) = watch.act(CALL)?;
    ensure!(told(&watch.events.all(), ended.pid).contains("good"), "the good policy is gone");
    watch.finish()
}

/// Not one call passes unseen while a policy is replaced over and over, and none is seen twice.
fn replaced_under_load(env: &Env) -> Result<()> {
    let rounds = if env.place().is_native() { 1000 } else { 100 };
    let watch = start(env)?;
    let text = policy("mine", &spec(place(env)));
    watch.agent.add_policy(&text)?;
    let (enough, number) = (env.file("enough"), env.file("calls"));
    let line =
        ["prctls-until", &*enough.to_string_lossy(), "20", MARK, &*number.to_string_lossy(), "exit", "0"];
    let mut actor = env.actor(line)?.spawn().context("start the actor")?;
    for _ in 0..rounds {
        watch.agent.replace_policy(&text)?;
    }
    fs::write(&enough, "")?;
    let pid = actor.id();
    ensure!(actor.wait()?.success(), "the actor failed");
    watch.events.life_of(pid)?;
    let count = watch
        .events
        .all()
        .iter()
        .filter(|event| event.pid() == pid && event.policy() == Some("mine"))
        .count();
    let calls: usize = fs::read_to_string(&number)?.parse()?;
    env.record("calls while a policy was replaced", f64::from(u32::try_from(calls)?));
    // There were calls all the while.
    ensure!(calls >= rounds, "{calls} calls only");
    ensure!(count == calls, "{count} events of {calls} calls, while the policy was replaced {rounds} times");
    watch.finish()
}
