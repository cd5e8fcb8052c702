//! Processes and cgroups that do not stay where the runtime has put them.

use std::fs;

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::LinuxNamespaceType;
use tetragon_e2e::kit::container::{ACTOR, Owner};
use tetragon_e2e::kit::hook::OciHook;
use tetragon_e2e::kit::oci::{Bundle, Engine, Oci, engines};
use tetragon_e2e::kit::{Env, Event, EventExt, Watch, cgroups};

use super::{hooked, own_exec, own_life};

/// Runs a hooked container of every engine, and lets `check` look at what was told of it.
fn with_each(
    env: &Env,
    make: impl Fn(&Oci<'_>, Engine) -> Result<Bundle>,
    check: impl Fn(&Watch<'_>, &Oci<'_>, &Bundle, &Owner) -> Result<()>,
) -> Result<()> {
    let watch = Watch::start(env)?;
    let hook = OciHook::new(env, &watch.agent.socket())?;
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        let (bundle, owner) = hooked(make(&oci, *engine)?, &hook)?;
        let checked = oci
            .create(&bundle)
            .and_then(|_| oci.start(bundle.id()))
            .and_then(|()| check(&watch, &oci, &bundle, &owner));
        checked.with_context(|| format!("{engine}; the hook's log:\n{}", hook.log()))?;
        oci.delete(bundle.id())?;
        oci.expect_nothing_left()?;
    }
    watch.finish()
}

/// Both events of a life that a container's program lived with these arguments.
fn life_with(watch: &Watch<'_>, arguments: &str) -> Result<[Event; 2]> {
    let executed = own_exec(&watch.events, arguments)?;
    let (executed, exited) = own_life(&watch.events, executed.pid())?;
    Ok([executed, exited])
}

pub(super) fn cgroups_made_inside_a_container(env: &Env) -> Result<()> {
    const INNER: &str = "/sys/fs/cgroup/inner";
    const INNERMOST: &str = "/sys/fs/cgroup/inner/most";
    let make = |oci: &Oci<'_>, engine: Engine| {
        let code = code_of(engine);
        let inner = [
            "mkdir", INNER, "mkdir", INNERMOST, "cgroup", INNERMOST, "fork", "exec", ACTOR, ACTOR, "exit",
            code,
        ];
        oci.bundle(inner)?.writable_cgroups()
    };
    with_each(env, make, |watch, oci, bundle, owner| {
        let [executed, exited] = life_with(watch, &format!("exit {}", code_of(oci.engine())))?;
        owner.check_in_kernel(&executed)?;
        owner.check(&exited)?;
        let identity =
            executed.process().and_then(|process| process.identity.as_ref()).context("identity")?;
        // The container has ended: runc leaves its cgroup until it is deleted.
        let inside = cgroups::directory(&format!("{}/inner/most", bundle.cgroups_path()?));
        ensure!(identity.cgroup_id == cgroups::id(&inside)?, "{identity:?} is not {}", inside.display());
        ensure!(!identity.migrated, "a cgroup of the container's own is no other: {identity:?}");
        Ok(())
    })
}

/// Exit statuses tell the containers of the engines apart.
fn code_of(engine: Engine) -> &'static str {
    match engine {
        Engine::Runc => "11",
        Engine::Crun => "12",
    }
}

pub(super) fn a_container_of_a_private_cgroup_namespace(env: &Env) -> Result<()> {
    let private =
        |oci: &Oci<'_>, engine: Engine| oci.bundle(["fork", "exec", ACTOR, ACTOR, "exit", code_of(engine)]);
    let shared = |oci: &Oci<'_>, engine: Engine| private(oci, engine)?.sharing(LinuxNamespaceType::Cgroup);
    let check = |watch: &Watch<'_>, oci: &Oci<'_>, _: &Bundle, owner: &Owner| {
        for event in life_with(watch, &format!("exit {}", code_of(oci.engine())))? {
            owner.check_in_kernel(&event)?;
        }
        Ok(())
    };
    with_each(env, private, check)?;
    with_each(env, shared, check)
}

/// What crun does for `run.oci.systemd.subgroup`, which needs systemd: the processes are in the only child of the
/// container's cgroup.
pub(super) fn a_first_process_in_a_cgroup_below(env: &Env) -> Result<()> {
    let make = |oci: &Oci<'_>, engine: Engine| {
        let bundle = oci.bundle(["exit", code_of(engine)])?;
        let below = cgroups::directory(&format!("{}/container", bundle.cgroups_path()?));
        // Hooks run in the order in which they are given: this one before ours.
        let actor = env.binary("actor")?;
        bundle.create_runtime_hook(&[&actor.to_string_lossy(), "adopt", &below.to_string_lossy()])
    };
    with_each(env, make, |watch, oci, _, owner| {
        let [executed, exited] = life_with(watch, &format!("exit {}", code_of(oci.engine())))?;
        owner.check_in_kernel(&executed)?;
        owner.check(&exited)
    })
}

pub(super) fn a_process_that_leaves_its_cgroup(env: &Env) -> Result<()> {
    let elsewhere = format!("{}/elsewhere", env.cgroup()?);
    let make = |oci: &Oci<'_>, engine: Engine| {
        fs::create_dir_all(cgroups::directory(&elsewhere))?;
        let inside = format!("/all{elsewhere}");
        oci.bundle(["cgroup", &inside, "fork", "exec", ACTOR, ACTOR, "exit", code_of(engine)])?
            .sharing(LinuxNamespaceType::Cgroup)?
            .bind(cgroups::unified(), "/all")
    };
    with_each(env, make, |watch, oci, bundle, owner| {
        for event in life_with(watch, &format!("exit {}", code_of(oci.engine())))? {
            owner.check(&event)?;
            let identity =
                event.process().and_then(|process| process.identity.as_ref()).context("identity")?;
            ensure!(identity.migrated, "it has left {}: {}", bundle.cgroups_path()?, event.json());
        }
        oci.wait_stopped(bundle.id())?;
        fs::remove_dir(cgroups::directory(&elsewhere)).context("the cgroup elsewhere")
    })
}

pub(super) fn executed_into_a_container(env: &Env) -> Result<()> {
    let make = |oci: &Oci<'_>, _: Engine| oci.bundle(["sleep", "3600000"]);
    with_each(env, make, |watch, oci, bundle, owner| {
        let code = code_of(oci.engine());
        oci.exec(bundle.id(), ["exit", code])?.expect_code(code.parse()?)?;
        for event in life_with(watch, &format!("exit {code}"))? {
            owner.check_in_kernel(&event)?;
        }
        Ok(())
    })
}
