//! Real container runtimes, as the harness drives them: what the tests of identity take for granted.

use std::fs;

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::container::{ACTOR, PodNames};
use tetragon_e2e::kit::oci::{Oci, engines};
use tetragon_e2e::kit::podman::Podman;
use tetragon_e2e::kit::{Env, Fact, Truth, cgroups};
use tetragon_e2e::place::{NATIVE, NATIVE_AND_ONE};
use tetragon_e2e::{Suite, test};

pub(crate) fn suite() -> Suite {
    Suite::new(
        "oci",
        NATIVE_AND_ONE,
        [
            test!(a_container_ends_as_its_program_does),
            test!(a_container_waits_to_be_started),
            test!(a_hook_runs_before_the_program),
            test!(a_hook_refuses_a_container),
            test!(a_container_makes_cgroups_of_its_own),
            test!(podman_containers_end_as_their_programs_do).on(NATIVE),
            test!(podman_containers_start_again).on(NATIVE),
            test!(podman_runs_hooks_with_annotations).on(NATIVE),
        ],
    )
    .with_runtimes()
}

fn a_container_ends_as_its_program_does(env: &Env) -> Result<()> {
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        let bundle = oci.bundle(["exit", "7"])?;
        let truth = Truth::record(4096)?;
        oci.run(&bundle)?.expect_code(7).with_context(|| engine.to_string())?;
        let facts = truth.finish()?;
        let executed = facts
            .iter()
            .filter(|fact| matches!(fact, Fact::Exec { filename, .. } if filename == ACTOR))
            .count();
        // Other tests may run containers on this machine at the same time.
        ensure!(executed >= 1, "{engine}: {ACTOR} was not executed");
        oci.delete(bundle.id())?;
        oci.expect_nothing_left().with_context(|| engine.to_string())?;
    }
    Ok(())
}

fn a_container_waits_to_be_started(env: &Env) -> Result<()> {
    let shared = env.file("shared");
    fs::create_dir(&shared)?;
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        let report = engine.to_string();
        let bundle =
            oci.bundle(["report", &format!("/shared/{report}"), "exit", "0"])?.bind(&shared, "/shared")?;
        let created = oci.create(&bundle)?;
        ensure!(created.status == "created", "{engine}: {created:?}");
        ensure!(!shared.join(&report).exists(), "{engine}: its program ran before it was started");
        ensure!(
            cgroups::of(created.pid)? == bundle.cgroups_path()?,
            "{engine}: {}",
            cgroups::of(created.pid)?
        );
        ensure!(cgroups::id(&cgroups::directory(bundle.cgroups_path()?))? > 1, "{engine}: no cgroup id");
        oci.start(bundle.id())?;
        oci.wait_stopped(bundle.id())?;
        let reported = env.reported(format!("shared/{report}"))?;
        ensure!(reported.len() == 1 && reported[0].inner_pid == 1, "{engine}: {reported:?}");
        oci.delete(bundle.id())?;
        oci.expect_nothing_left().with_context(|| engine.to_string())?;
    }
    Ok(())
}

fn a_hook_runs_before_the_program(env: &Env) -> Result<()> {
    let actor = env.binary("actor")?;
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        let report = env.file(engine.to_string());
        let hook = [&actor.to_string_lossy(), "report", &*report.to_string_lossy()];
        let pod = PodNames::new("shop", "till")?;
        let bundle = oci.bundle(["exit", "0"])?.pod(&pod).create_runtime_hook(&hook)?;
        oci.create(&bundle)?;
        ensure!(report.exists(), "{engine}: the hook did not run");
        oci.delete(bundle.id())?;
        oci.expect_nothing_left().with_context(|| engine.to_string())?;
    }
    Ok(())
}

fn a_hook_refuses_a_container(env: &Env) -> Result<()> {
    let actor = env.binary("actor")?;
    let shared = env.file("shared");
    fs::create_dir(&shared)?;
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        let bundle = oci
            .bundle(["report", "/shared/ran", "exit", "0"])?
            .bind(&shared, "/shared")?
            .create_runtime_hook(&[&actor.to_string_lossy(), "exit", "1"])?;
        let said = oci.run(&bundle)?;
        ensure!(!said.status.success() && said.errors.contains("hook"), "{engine}: {said:?}");
        oci.delete(bundle.id())?;
        oci.expect_nothing_left().with_context(|| engine.to_string())?;
    }
    ensure!(!shared.join("ran").exists(), "the program of a refused container ran");
    Ok(())
}

fn a_container_makes_cgroups_of_its_own(env: &Env) -> Result<()> {
    for engine in engines(env) {
        let oci = Oci::new(env, *engine)?;
        let bundle = oci
            .bundle(["mkdir", "/sys/fs/cgroup/inner", "cgroup", "/sys/fs/cgroup/inner", "sleep", "3600000"])?
            .writable_cgroups()?;
        let created = oci.create(&bundle)?;
        oci.start(bundle.id())?;
        let inner = format!("{}/inner", bundle.cgroups_path()?);
        env.eventually("a move into the inner cgroup", std::time::Duration::from_secs(10), || {
            Ok((cgroups::of(created.pid)? == inner).then_some(()))
        })
        .with_context(|| engine.to_string())?;
        oci.delete(bundle.id())?;
        oci.expect_nothing_left().with_context(|| engine.to_string())?;
    }
    Ok(())
}

fn podman_containers_end_as_their_programs_do(env: &Env) -> Result<()> {
    let podman = Podman::new(env)?;
    podman.container("seven").run(["exit", "7"])?.expect_code(7)?;
    podman.container("gone").option("--rm").run(["exit", "3"])?.expect_code(3)?;
    let id = podman.container("rests").host_network().spawn(["sleep", "3600000"])?;
    let running = podman.inspect("rests")?;
    ensure!(running.id == id && running.state.status == "running", "{running:?}");
    let cgroup = cgroups::of(running.state.pid)?;
    ensure!(cgroup == format!("{}/libpod-{id}", env.cgroup()?), "{cgroup}");
    podman.exec("rests", ["exit", "4"])?.expect_code(4)?;
    podman.remove_all()?;
    podman.expect_nothing_left()
}

fn podman_containers_start_again(env: &Env) -> Result<()> {
    let podman = Podman::new(env)?;
    let first = podman.container("again").spawn(["sleep", "3600000"])?;
    let cgroup = |pid| cgroups::id(&cgroups::directory(&cgroups::of(pid)?));
    let before = cgroup(podman.inspect("again")?.state.pid)?;
    podman.stop("again")?;
    podman.start("again")?;
    let running = podman.inspect("again")?;
    ensure!(running.id == first, "another container: {running:?}");
    ensure!(cgroup(running.state.pid)? != before, "the same cgroup");
    podman.remove("again")?;
    podman.expect_nothing_left()
}

fn podman_runs_hooks_with_annotations(env: &Env) -> Result<()> {
    let podman = Podman::new(env)?;
    let (actor, report) = (env.binary("actor")?, env.file("report"));
    podman.create_runtime_hook("test", &[&*actor.to_string_lossy(), "report", &*report.to_string_lossy()])?;
    let pod = PodNames::new("shop", "till")?;
    podman.container("hooked").pod(&pod).run(["exit", "0"])?.expect_code(0)?;
    ensure!(env.reported("report")?.len() == 1, "the hook ran {} times", env.reported("report")?.len());
    podman.create_runtime_hook("test", &[&*actor.to_string_lossy(), "exit", "1"])?;
    let refused = podman.container("refused").pod(&pod).run(["exit", "0"])?;
    ensure!(!refused.status.success() && refused.errors.contains("hook"), "{refused:?}");
    podman.remove_all()?;
    podman.expect_nothing_left()
}
