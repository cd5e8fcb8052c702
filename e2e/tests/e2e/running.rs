//! Processes that were there before the agent, and when things happened.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::{Env, EventExt, Launch, Watch, agent, exec, exit, process};
use tetragon_e2e::place::EVERYWHERE;
use tetragon_e2e::{Suite, test};

pub(crate) fn suite() -> Suite {
    Suite::new(
        "running",
        EVERYWHERE,
        [
            test!(a_process_older_than_the_agent),
            test!(a_child_of_a_process_older_than_the_agent),
            test!(every_running_process_is_reported_once),
            test!(times_are_those_of_the_wall_clock),
            test!(the_start_time_is_not_before_the_process),
        ],
    )
}

fn a_process_older_than_the_agent(env: &Env) -> Result<()> {
    let copy = env.actor_copy("older")?;
    let child =
        env.actor(["run", copy.to_str().context("path")?, "wait", "go", "exit", "6", "a b"])?.spawn()?;
    let pid = child.id();
    env.eventually("the exec", Duration::from_secs(5), || {
        Ok((std::fs::read_link(format!("/proc/{pid}/exe"))? == copy).then_some(()))
    })?;
    let launch = Launch::new(env)?;
    let watch = Watch::launch(env, &launch)?;
    std::fs::write(env.file("go"), "")?;
    process::wait(child)?.expect_code(6)?;
    let exited = watch.events.expect(&exit().pid(pid).status(6).binary(&copy))?;
    watch.finish()?;
    // The stream begins after the scan; the file has it all.
    let exported = agent::exported(&launch.path("events.json"))?;
    let scanned: Vec<_> = exported.iter().filter(|event| exec().pid(pid).is_met_by(event)).collect();
    let [scanned] = scanned[..] else { anyhow::bail!("{} exec events", scanned.len()) };
    let told = scanned.process().context("process")?;
    ensure!(exited.process().is_some_and(|process| process.exec_id == told.exec_id), "{}", exited.json());
    ensure!(told.binary == copy.to_string_lossy(), "{}", scanned.json());
    ensure!(told.arguments == "wait go exit 6 \"a b\"", "{}", scanned.json());
    ensure!(told.cwd == env.dir().to_string_lossy(), "{}", scanned.json());
    ensure!(told.flags.split(' ').any(|flag| flag == "procFS"), "{}", scanned.json());
    ensure!(
        scanned.parent().is_some_and(|parent| parent.pid == Some(std::process::id())),
        "{}",
        scanned.json()
    );
    Ok(())
}

fn a_child_of_a_process_older_than_the_agent(env: &Env) -> Result<()> {
    let actor = env.binary("actor")?;
    let actor = actor.to_str().context("path")?;
    let parent = env.actor(["wait", "go", "fork", "run", actor, "report", "child", "exit", "6"])?.spawn()?;
    let watch = Watch::start(env)?;
    std::fs::write(env.file("go"), "")?;
    let parent = process::wait(parent)?.expect_code(6)?;
    let [child] = &env.reported("child")?[..] else { anyhow::bail!("not one report") };
    let executed = watch.events.expect(&exec().pid(child.pid).parent_pid(parent.pid))?;
    let exited = watch.events.expect(&exit().pid(parent.pid))?;
    let link = &executed.process().context("process")?.parent_exec_id;
    ensure!(exited.process().is_some_and(|process| &process.exec_id == link), "{}", exited.json());
    watch.finish()
}

fn every_running_process_is_reported_once(env: &Env) -> Result<()> {
    let children = (0..20)
        .map(|_| Ok(env.actor(["wait", "go", "exit", "0"])?.stdout(Stdio::null()).spawn()?))
        .collect::<Result<Vec<_>>>()?;
    let launch = Launch::new(env)?;
    let watch = Watch::launch(env, &launch)?;
    std::fs::write(env.file("go"), "")?;
    let ended = children.into_iter().map(process::wait).collect::<Result<Vec<_>>>()?;
    watch.catch_up()?;
    watch.finish()?;
    let exported = agent::exported(&launch.path("events.json"))?;
    for process in ended {
        for (what, expected) in [("exec", exec().pid(process.pid)), ("exit", exit().pid(process.pid))] {
            let told = exported.iter().filter(|event| expected.is_met_by(event)).count();
            ensure!(told == 1, "process {} has {told} {what} events", process.pid);
        }
    }
    // Process 1 was there too; kernel threads are not reported.
    ensure!(exported.iter().filter(|event| exec().pid(1).is_met_by(event)).count() == 1, "process 1");
    ensure!(!exported.iter().any(|event| exec().pid(2).is_met_by(event)), "a kernel thread is reported");
    Ok(())
}

fn seconds(time: Option<&prost_types::Timestamp>) -> Result<f64> {
    let time = time.context("no time")?;
    Ok(time.seconds as f64 + f64::from(time.nanos) / 1e9)
}

fn times_are_those_of_the_wall_clock(env: &Env) -> Result<()> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map(|now| now.as_secs_f64());
    let watch = Watch::start(env)?;
    let before = now()?;
    let (_, life) = watch.act(["sleep", "50", "exit", "0"])?;
    let after = now()?;
    let executed = seconds(life.execs[0].time.as_ref())?;
    let exited = seconds(life.exit.time.as_ref())?;
    let start = seconds(life.only()?.start_time.as_ref())?;
    // The two clocks may be read some microseconds apart.
    let slack = 0.01;
    ensure!(before - slack <= start && start <= executed + slack, "{before} {start} {executed}");
    ensure!(executed + 0.05 - slack <= exited && exited <= after + slack, "{executed} {exited} {after}");
    watch.finish()
}

fn the_start_time_is_not_before_the_process(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let (ended, life) = watch.act(["exit", "0"])?;
    let uptime: f64 =
        std::fs::read_to_string("/proc/uptime")?.split(' ').next().context("uptime")?.parse()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let truth = now - uptime + ended.start_ticks as f64 / 100.0;
    let told = seconds(life.only()?.start_time.as_ref())?;
    // The kernel shows hundredths.
    let slack = 0.05 * f64::from(env.place().slowness());
    ensure!((told - truth).abs() <= slack, "told {told}, true {truth}");
    watch.finish()
}
