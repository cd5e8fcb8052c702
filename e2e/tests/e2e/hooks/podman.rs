//! Containers without Kubernetes, started again, and watched by monitors.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::container::{Owner, PodNames, check_host};
use tetragon_e2e::kit::hook::OciHook;
use tetragon_e2e::kit::podman::Podman;
use tetragon_e2e::kit::{Env, EventExt, Watch, cgroups, exec, exit};

use super::{own_exec, own_life};

/// How long containers rest that end only when they are stopped.
const LONG: &str = "3600000";

fn prepare(env: &Env) -> Result<(Podman, Watch<'_>)> {
    let podman = Podman::new(env)?;
    let watch = Watch::start(env)?;
    podman.create_runtime_hook("tetragon", &OciHook::new(env, &watch.agent.socket())?.line())?;
    Ok((podman, watch))
}

fn end(podman: &Podman, watch: Watch<'_>) -> Result<()> {
    podman.remove_all()?;
    podman.expect_nothing_left()?;
    watch.finish()
}

/// podman has no annotations of its own; a policy that asks for a namespace would refuse these.
const LET_PASS: &str = "--fail-cel-expr=false";

pub(super) fn plain_podman_containers_have_their_id(env: &Env) -> Result<()> {
    let (podman, watch) = prepare(env)?;
    let hook = OciHook::new(env, &watch.agent.socket())?.option(LET_PASS);
    podman.create_runtime_hook("tetragon", &hook.line())?;
    for number in 0..5 {
        let name = format!("plain-{number}");
        podman.container(&name).run(["exit", &number.to_string()])?.expect_code(number)?;
        let owner = Owner { id: podman.inspect(&name)?.id, pod: None };
        let executed = own_exec(&watch.events, &format!("exit {number}"))?;
        owner.check_in_kernel(&executed)?;
        owner.check(&own_life(&watch.events, executed.pid())?.1)?;
    }
    end(&podman, watch)
}

pub(super) fn a_container_started_again(env: &Env) -> Result<()> {
    let (podman, watch) = prepare(env)?;
    let pod = PodNames::new("shop", "again")?;
    let id = podman.container("again").pod(&pod).spawn(["sleep", LONG])?;
    let owner = Owner { id, pod: Some(pod) };
    let mut seen = Vec::new();
    for round in 0..3 {
        let running = podman.inspect("again")?;
        ensure!(running.id == owner.id, "another container: {running:?}");
        let pid = running.state.pid;
        let cgroup = cgroups::id(&cgroups::directory(&cgroups::of(pid)?))?;
        ensure!(!seen.contains(&cgroup), "round {round} has the cgroup of an earlier one");
        seen.push(cgroup);
        podman.stop("again")?;
        let (executed, exited) = own_life(&watch.events, pid)?;
        owner.check_in_kernel(&executed).with_context(|| format!("round {round}"))?;
        owner.check(&exited)?;
        let identity = executed.process().and_then(|process| process.identity.as_ref());
        ensure!(identity.is_some_and(|identity| identity.cgroup_id == cgroup), "not {cgroup}: {identity:?}");
        podman.start("again")?;
    }
    end(&podman, watch)
}

/// Row `0::/libpod_parent/conmon` of the contract: podman's monitor, and a process in the monitors' cgroup.
pub(super) fn a_monitor_is_not_its_container(env: &Env) -> Result<()> {
    let (podman, watch) = prepare(env)?;
    let pod = PodNames::new("shop", "watched")?;
    podman.container("watched").pod(&pod).spawn(["sleep", LONG])?;
    let monitor = podman.inspect("watched")?.state.conmon_pid;
    podman.stop("watched")?;
    // It executes runc (to make the container) and podman (to clean up) as well.
    watch.events.expect_within(Duration::from_secs(20), &exit().pid(monitor))?;
    let told = watch.events.all();
    let about: Vec<_> = told
        .iter()
        .filter(|event| {
            let binary = event.process().map_or("", |process| process.binary.as_str());
            binary.ends_with("/conmon") || binary.ends_with("/podman")
        })
        .collect();
    ensure!(about.iter().any(|event| event.exec().is_some()), "the monitor was not told");
    for event in about {
        check_host(event)?;
    }
    // On this machine conmon's cgroup is one of version 1 only; where it is one of version 2, the same holds.
    let parent = env.cgroup()?;
    for name in ["conmon", &format!("crio-conmon-{}", "ab".repeat(32))] {
        let directory = cgroups::directory(&format!("{parent}/{name}"));
        let actor = env.binary("actor")?;
        let (cgroup, actor) = (directory.to_string_lossy(), actor.to_string_lossy());
        let (ended, life) =
            watch.act(["mkdir", &cgroup, "cgroup", &cgroup, "exec", &actor, "monitor", "exit", "0"])?;
        ended.expect_code(0)?;
        for event in life.execs.iter().chain([&life.exit]) {
            check_host(event).with_context(|| name.to_owned())?;
        }
        std::fs::remove_dir(&directory)?;
    }
    ensure!(!watch.events.matching(&exec()).is_empty(), "nothing was told");
    end(&podman, watch)
}
