//! How a process ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::{Env, Watch, exit};
use tetragon_e2e::{Test, test};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(every_exit_code).within(Duration::from_secs(60)),
        test!(death_by_signal),
        test!(a_core_dump),
        test!(the_last_thread_ends_the_process),
        test!(threads_end_silently),
    ]
}

fn every_exit_code(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    for code in 0..=255 {
        let (ended, life) = watch.act(["exit", &code.to_string()])?;
        ended.expect_code(code)?;
        let told = life.exit.event.context("empty event")?;
        let tetragon_api::tetragon::get_events_response::Event::ProcessExit(told) = told else {
            anyhow::bail!("not an exit")
        };
        ensure!(i64::from(told.status) == i64::from(code) && told.signal.is_empty(), "{code}: {told:#?}");
        ensure!(told.time.is_some(), "no time: {told:#?}");
    }
    watch.finish()
}

fn death_by_signal(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    for (number, name) in [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
        (31, "SIGSYS"),
    ] {
        let (ended, _) = watch.act(["signal", &number.to_string()])?;
        let pid = ended.expect_signal(number)?.pid;
        watch.events.expect(&exit().pid(pid).signal(name).status(0))?;
    }
    watch.finish()
}

fn a_core_dump(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let (ended, _) = watch.act(["core", "6"])?;
    let ended = ended.expect_signal(6)?;
    ensure!(std::os::unix::process::ExitStatusExt::core_dumped(&ended.status), "no core was dumped");
    watch.events.expect(&exit().pid(ended.pid).signal("SIGABRT").status(0))?;
    watch.finish()
}

fn the_last_thread_ends_the_process(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let (ended, life) = watch.act(["leader-exits", "50", "exit", "4"])?;
    let ended = ended.expect_code(4)?;
    life.only()?;
    life.last()?;
    watch.events.expect(&exit().pid(ended.pid).status(4))?;
    watch.finish()
}

fn threads_end_silently(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let (ended, life) = watch.act(["threads", "20", "exit", "0"])?;
    ended.expect_code(0)?;
    let process = life.only()?;
    ensure!(process.tid == process.pid, "{process:#?}");
    watch.catch_up()?;
    let exits = watch.events.matching(&exit().exec_id(&process.exec_id));
    ensure!(exits.len() == 1, "{} exits", exits.len());
    watch.finish()
}
