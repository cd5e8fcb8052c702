//! Policies of several teams, each for its own namespace.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::fine_guidance_sensors_client::FineGuidanceSensorsClient;
use tetragon_api::tetragon::{
    CreateContainer, RuntimeHookRequest, RuntimeHookStage, runtime_hook_request::Event,
};
use tetragon_e2e::kit::{Env, Launch, Watch, cgroups, rpc};
use tetragon_e2e::place::EVERYWHERE;
use tetragon_e2e::{Suite, test};

use super::changes::{CALL, place, spec};
use super::{At, policy, told};

/// Their agents are started with the filter for namespaces.
pub(crate) fn suite() -> Suite {
    let tests = [test!(two_teams), test!(a_thousand_teams).within(Duration::from_secs(60))];
    Suite::new("teams", EVERYWHERE, tests)
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
