//! The harness tests itself: what every other test takes for granted.

use std::fs;

use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::{Env, Fact, Truth, process};
use tetragon_e2e::place::{EVERYWHERE_AND_PREEMPTIBLE, PREEMPT_FULL};
use tetragon_e2e::{Place, Suite, test};

pub(crate) fn suite() -> Suite {
    Suite::new(
        "harness",
        EVERYWHERE_AND_PREEMPTIBLE,
        [
            test!(the_kernel_is_the_one_asked_for),
            test!(the_kernel_describes_its_types),
            test!(tests_run_as_root_in_their_own_directory),
            test!(the_kernel_is_fully_preemptible).on(PREEMPT_FULL),
            test!(the_actor_ends_as_told),
            test!(the_actor_executes_in_every_way),
            test!(an_orphan_gets_another_parent),
            test!(threads_are_not_processes),
            test!(a_pid_namespace_counts_from_one),
            test!(the_kernel_tells_the_truth),
        ],
    )
}

fn the_kernel_is_the_one_asked_for(env: &Env) -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    if let Place::Vm { kernel, .. } = env.place() {
        ensure!(release.starts_with(&format!("{kernel}.")), "{release:?} is not a {kernel}");
    }
    Ok(())
}

fn the_kernel_describes_its_types(_: &Env) -> Result<()> {
    let btf = fs::read("/sys/kernel/btf/vmlinux")?;
    ensure!(btf.starts_with(&[0x9f, 0xeb]), "no BTF: {:x?}", &btf[..2.min(btf.len())]);
    Ok(())
}

fn tests_run_as_root_in_their_own_directory(env: &Env) -> Result<()> {
    fs::write(env.file("x"), "y")?;
    ensure!(fs::read_dir(env.dir())?.count() == 1, "the directory is shared");
    ensure!(fs::read_to_string("/proc/self/status")?.contains("\nUid:\t0\t0\t0\t0\n"), "not root");
    Ok(())
}

fn the_kernel_is_fully_preemptible(_: &Env) -> Result<()> {
    let line = fs::read_to_string("/proc/cmdline")?;
    ensure!(line.contains("preempt=full"), "{line}");
    // A kernel that can choose says what it chose.
    let debugfs = tempfile::tempdir()?;
    rustix::mount::mount("debugfs", debugfs.path(), "debugfs", rustix::mount::MountFlags::empty(), None)?;
    let mode = fs::read_to_string(debugfs.path().join("sched/preempt"));
    rustix::mount::unmount(debugfs.path(), rustix::mount::UnmountFlags::DETACH)?;
    let mode = mode?;
    ensure!(mode.contains("(full)"), "preemption is {mode:?}");
    Ok(())
}

fn the_actor_ends_as_told(env: &Env) -> Result<()> {
    for code in [0, 1, 255] {
        env.act(["exit", &code.to_string()])?.expect_code(code)?;
    }
    let signalled = env.act(["signal", "15"])?.expect_signal(15)?;
    ensure!(!signalled.status.core_dumped(), "a core was dumped");
    let dumped = env.act(["core", "6"])?.expect_signal(6)?;
    ensure!(dumped.status.core_dumped(), "no core was dumped");
    Ok(())
}

fn the_actor_executes_in_every_way(env: &Env) -> Result<()> {
    let actor = env.binary("actor")?;
    let path = actor.to_str().context("path")?;
    let directory = actor.parent().and_then(|directory| directory.to_str()).context("directory")?;
    let ways: [&[&str]; 9] = [
        &["exec", path],
        &["fork", "exec", path],
        &["vfork", path],
        &["execveat", directory, "actor"],
        &["execveat-fd", path],
        &["memfd", "name"],
        &["thread-exec", path],
        &["as", "1000", "1000", "exec", path],
        &["failed-exec", "/nonexistent", "exec", path],
    ];
    for way in ways {
        let verbs = [way, &["actor", "exit", "7"]].concat();
        env.act(&verbs)?.expect_code(7).with_context(|| format!("{verbs:?}"))?;
    }
    env.act(["nest", "3", path, "exit", "8"])?.expect_code(8)?;
    env.act(["storm", "3", path, "report", "storm", "exit", "0"])?.expect_code(0)?;
    ensure!(env.reported("storm")?.len() == 3, "{:?}", env.reported("storm"));
    Ok(())
}

fn an_orphan_gets_another_parent(env: &Env) -> Result<()> {
    let middle = env.act(["double-fork", "report", "orphan", "exit", "0"])?.expect_code(0)?;
    let orphan = env.eventually("the orphan's report", std::time::Duration::from_secs(5), || {
        Ok(env.reported("orphan").ok().and_then(|reports| reports.into_iter().next()))
    })?;
    ensure!(orphan.parent != middle.pid && orphan.pid != middle.pid, "{orphan:?}");
    ensure!(orphan.start_ticks >= middle.start_ticks, "{orphan:?} before {middle:?}");
    Ok(())
}

fn threads_are_not_processes(env: &Env) -> Result<()> {
    let truth = Truth::record(1024)?;
    let process = env.act(["threads", "5", "exit", "0"])?.expect_code(0)?;
    let facts = truth.finish()?;
    let made = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::Fork { parent, .. } if *parent == process.pid))
        .count();
    ensure!(made == 5, "{made} threads: {facts:?}");
    env.act(["leader-exits", "20", "exit", "4"])?.expect_code(4)?;
    Ok(())
}

fn a_pid_namespace_counts_from_one(env: &Env) -> Result<()> {
    env.act(["pidns", "report", "inside", "exit", "0"])?.expect_code(0)?;
    let inside = env.reported("inside")?;
    ensure!(inside.first().is_some_and(|process| process.inner_pid == 1 && process.pid != 1), "{inside:?}");
    Ok(())
}

fn the_kernel_tells_the_truth(env: &Env) -> Result<()> {
    let copy = env.actor_copy("a copy pid=1")?;
    let truth = Truth::record(1024)?;
    let processes = (0..20)
        .map(|_| process::run(std::process::Command::new(&copy).args(["exit", "0"])))
        .collect::<Result<Vec<_>>>()?;
    let facts = truth.finish()?;
    for process in &processes {
        let executed = Fact::Exec { pid: process.pid, filename: copy.to_string_lossy().into_owned() };
        ensure!(facts.contains(&executed), "{executed:?} is missing");
        ensure!(facts.contains(&Fact::Exit { tid: process.pid }), "the exit of {} is missing", process.pid);
    }
    Ok(())
}
