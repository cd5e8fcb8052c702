//! An agent that dies and comes back: containers made before, in between and after are known.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tetragon_e2e::kit::container::{Owner, PodNames};
use tetragon_e2e::kit::hook::OciHook;
use tetragon_e2e::kit::oci::{Oci, engines};
use tetragon_e2e::kit::podman::Podman;
use tetragon_e2e::kit::{Agent, Env, Launch, Watch};

use super::{hooked, own_exec};

/// Kills an agent without any chance to write something down.
fn kill(agent: &Agent, env: &Env) -> Result<()> {
    agent.signal(Signal::KILL)?;
    env.eventually("the agent's end", std::time::Duration::from_secs(10), || {
        Ok((!agent.is_running()?).then_some(()))
    })
}

/// Lets pass all that the agent cannot be told of; the address is one that agents come and go behind.
fn hook(env: &Env, socket: &Path) -> Result<OciHook> {
    Ok(OciHook::new(env, socket)?.option("--fail-cel-expr=false").option("--grpc-timeout=2s"))
}

fn watch<'env>(env: &'env Env, socket: &Path) -> Result<Watch<'env>> {
    Watch::launch(env, &Launch::new(env)?.showing_all().serving(socket))
}

pub(super) fn podman_containers_survive_an_agent(env: &Env) -> Result<()> {
    let podman = Podman::new(env)?;
    let socket = env.file("agent.sock");
    let hook = hook(env, &socket)?;
    podman.create_runtime_hook("tetragon", &hook.line())?;
    let start = |name: &str| -> Result<(String, Owner)> {
        let pod = PodNames::new("shop", name)?;
        let id = podman.container(name).pod(&pod).spawn(["sleep", "3600000"])?;
        Ok((name.to_owned(), Owner { id, pod: Some(pod) }))
    };
    let first = watch(env, &socket)?;
    let mut containers = vec![start("before")?];
    kill(&first.agent, env)?;
    drop(first);
    containers.push(start("during")?);
    let next = watch(env, &socket)?;
    containers.push(start("after")?);
    for (number, (name, owner)) in containers.iter().enumerate() {
        let code = i32::try_from(number)? + 21;
        podman.exec(name, ["exit", &code.to_string()])?.expect_code(code)?;
        let executed = own_exec(&next.events, &format!("exit {code}"))?;
        owner
            .check_in_kernel(&executed)
            .with_context(|| format!("{name}; the hook's log:\n{}", hook.log()))?;
    }
    podman.remove_all()?;
    podman.expect_nothing_left()?;
    next.finish()
}

pub(super) fn containers_are_known_to_the_next_agent(env: &Env) -> Result<()> {
    let socket = env.file("agent.sock");
    let hook = hook(env, &socket)?;
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        let start = |name: &'static str| -> Result<(&'static str, Owner)> {
            let (bundle, owner) = hooked(oci.bundle(["sleep", "3600000"])?, &hook)?;
            oci.create(&bundle)?;
            oci.start(bundle.id())?;
            Ok((name, owner))
        };
        let first = watch(env, &socket)?;
        let mut containers = vec![start("before")?];
        kill(&first.agent, env)?;
        drop(first);
        containers.push(start("during")?);
        let next = watch(env, &socket)?;
        containers.push(start("after")?);
        for (number, (name, owner)) in containers.iter().enumerate() {
            let code = i32::try_from(number)? + 21;
            oci.exec(&owner.id, ["exit", &code.to_string()])?.expect_code(code)?;
            let executed = own_exec(&next.events, &format!("exit {code}"))?;
            let told = owner.check_in_kernel(&executed);
            told.with_context(|| format!("{engine}, {name}; the hook's log:\n{}", hook.log()))?;
        }
        for (_, owner) in &containers {
            oci.delete(&owner.id)?;
        }
        oci.expect_nothing_left()?;
        next.finish()?;
        let _ = fs::remove_file(&socket);
    }
    Ok(())
}
