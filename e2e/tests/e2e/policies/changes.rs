//! Policies that come, go, and give way to others; policies of several teams.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::{
    CreateContainer, RuntimeHookRequest, RuntimeHookStage, TracingPolicyState, runtime_hook_request::Event,
};
use tetragon_e2e::kit::{Env, EventExt, Launch, Watch, cgroups, rpc};
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, policy, start, told};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(a_policy_comes_and_goes),
        test!(a_policy_that_cannot_be_loaded),
        test!(replaced_under_load).within(Duration::from_secs(60)),
        test!(two_teams),
        test!(a_thousand_teams).within(Duration::from_secs(60)),
    ]
}

fn place(env: &Env) -> At {
    if env.place().is_native() { At::Tracepoint } else { At::Kprobe }
}

fn spec(at: At) -> String {
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

const CALL: [&str; 6] = ["syscall", PRCTL, MARK, ".", "exit", "0"];

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

/// A container of a pod in a namespace, as a runtime hook tells of it. Its cgroup's directory.
fn container(watch: &Watch<'_>, env: &Env, namespace: &str, number: u32) -> Result<String> {
    let id = format!("{number:08x}").repeat(8);
    let uid = format!("{number:08x}-9d1b-4c5e-8a77-0123456789ab");
    let path = format!("{}/kubepods/pod{uid}/{id}", env.cgroup()?);
    let told = |stage: RuntimeHookStage| CreateContainer {
        cgroups_path: path.clone(),
        container_id: id.clone(),
        container_name: "main".to_owned(),
        pod_name: format!("pod-{number}"),
        pod_namespace: namespace.to_owned(),
        pod_uid: uid.clone(),
        stage: stage.into(),
        ..CreateContainer::default()
    };
    let socket = watch.agent.socket();
    rpc::block_on(async {
        let mut client = FineGuidanceSensorsClient::new(rpc::connect(socket).await?);
        let mut call = async |it: CreateContainer| -> Result<()> {
            let request = RuntimeHookRequest { event: Some(Event::CreateContainer(it)) };
            client.runtime_hook(request).await.context("RuntimeHook").map(drop)
        };
        call(told(RuntimeHookStage::Announce)).await?;
        fs::create_dir_all(cgroups::directory(&path))?;
        call(told(RuntimeHookStage::Verify)).await
    })?;
    Ok(cgroups::directory(&path).to_string_lossy().into_owned())
}

fn of_team(at: At, team: &str, name: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicyNamespaced\nmetadata: {{name: {name}, namespace: {team}}}\n\
         spec: {{{}}}\n",
        spec(at)
    )
}

/// Runs a program of the container that makes the call, from its very first exec. What policies tell of it.
fn call_in(watch: &Watch<'_>, env: &Env, cgroup: &str) -> Result<BTreeSet<String>> {
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    let line: Vec<&str> = ["cgroup", cgroup, "exec", &actor, "actor"].into_iter().chain(CALL).collect();
    let (ended, _) = watch.act(line)?;
    Ok(told(&watch.events.all(), ended.pid))
}

fn two_teams(env: &Env) -> Result<()> {
    let at = place(env);
    let watch = Watch::launch(env, &Launch::new(env)?.arg("--enable-policy-filter"))?;
    watch.agent.add_policy(&of_team(at, "red", "of-red"))?;
    let red = container(&watch, env, "red", 1)?;
    let blue = container(&watch, env, "blue", 2)?;
    // Known before its policy comes.
    watch.agent.add_policy(&of_team(at, "blue", "of-blue"))?;
    let only = |name: &str| BTreeSet::from([name.to_owned()]);
    ensure!(call_in(&watch, env, &red)? == only("of-red"), "red");
    ensure!(call_in(&watch, env, &blue)? == only("of-blue"), "blue");
    let (ended, _) = watch.act(CALL)?;
    ensure!(told(&watch.events.all(), ended.pid).is_empty(), "a process of the host");
    watch.agent.delete_policy("red", "of-red")?;
    ensure!(call_in(&watch, env, &red)?.is_empty(), "red, deleted");
    ensure!(call_in(&watch, env, &blue)? == only("of-blue"), "blue, after red's was deleted");
    watch.agent.add_policy(&policy("of-all", &spec(at)))?;
    ensure!(call_in(&watch, env, &red)? == only("of-all"), "red, under the policy for all");
    let both = BTreeSet::from(["of-all".to_owned(), "of-blue".to_owned()]);
    ensure!(call_in(&watch, env, &blue)? == both, "blue, under both");
    watch.finish()
}

fn a_thousand_teams(env: &Env) -> Result<()> {
    let teams = if env.place().is_native() { 1000 } else { 200 };
    let at = place(env);
    let watch = Watch::launch(env, &Launch::new(env)?.arg("--enable-policy-filter"))?;
    watch
        .agent
        .add_policies((0..teams).map(|team| of_team(at, &format!("team-{team}"), &format!("of-{team}"))))?;
    for team in [0, 1, teams / 2, teams - 1] {
        let cgroup = container(&watch, env, &format!("team-{team}"), team + 10)?;
        let told = call_in(&watch, env, &cgroup)?;
        ensure!(told == BTreeSet::from([format!("of-{team}")]), "team {team}: {told:?}");
    }
    watch.finish()
}
