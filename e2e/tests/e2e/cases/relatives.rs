//! Whose child a process is.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::Process;
use tetragon_e2e::kit::{Env, EventExt, Reported, Watch, exec, exit};
use tetragon_e2e::{Test, test};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(a_child_by_fork),
        test!(a_child_by_vfork),
        test!(a_child_that_never_executes),
        test!(an_orphan_by_double_fork),
        test!(a_child_in_a_pid_namespace),
        test!(three_generations),
    ]
}

/// The exec event of the process that reported itself, checked to be the child of `parent`.
fn child_of(watch: &Watch<'_>, child: &Reported, parent: &Process) -> Result<Process> {
    let event = watch.events.expect(&exec().pid(child.pid))?;
    let told = event.process().context("no process")?;
    ensure!(told.parent_exec_id == parent.exec_id, "{} is not the child of {}", event.json(), parent.exec_id);
    let shown = event.parent().context("no parent shown")?;
    ensure!(shown.exec_id == parent.exec_id && shown.pid == parent.pid, "{}", event.json());
    ensure!(told.flags.split(' ').any(|flag| flag == "clone"), "{}", event.json());
    let life = watch.events.life_of(child.pid)?;
    life.last()?;
    let at_exit = life.exit.parent().context("no parent at the exit")?;
    ensure!(at_exit.exec_id == parent.exec_id, "{}", life.exit.json());
    Ok(told.clone())
}

/// Makes a child by `verb` that executes and reports itself; checks it.
fn child_by(env: &Env, verb: &[&str]) -> Result<()> {
    let watch = Watch::start(env)?;
    let actor = env.binary("actor")?;
    let actor = actor.to_str().context("path")?;
    let (ended, life) = watch.act([verb, &[actor, "name", "report", "child", "exit", "6"]].concat())?;
    let ended = ended.expect_code(6)?;
    let [child] = &env.reported("child")?[..] else { anyhow::bail!("not one report") };
    ensure!(child.parent == ended.pid, "{child:?} is not a child of {ended:?}");
    child_of(&watch, child, life.only()?)?;
    watch.finish()
}

fn a_child_by_fork(env: &Env) -> Result<()> {
    child_by(env, &["fork", "exec"])
}

fn a_child_by_vfork(env: &Env) -> Result<()> {
    child_by(env, &["vfork"])
}

fn a_child_that_never_executes(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let (_, life) = watch.act(["fork", "report", "child", "exit", "6"])?;
    let [child] = &env.reported("child")?[..] else { anyhow::bail!("not one report") };
    let exited = watch.events.expect(&exit().pid(child.pid).status(6))?;
    let parent = life.only()?;
    let told = exited.process().context("no process")?;
    ensure!(told.exec_id != parent.exec_id && told.parent_exec_id == parent.exec_id, "{}", exited.json());
    ensure!(told.binary == parent.binary && told.arguments == parent.arguments, "{}", exited.json());
    watch.catch_up()?;
    ensure!(watch.events.matching(&exec().pid(child.pid)).is_empty(), "an exec was invented");
    watch.finish()
}

fn an_orphan_by_double_fork(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let actor = env.binary("actor")?;
    let actor = actor.to_str().context("path")?;
    let (ended, _) = watch.act(["double-fork", "run", actor, "report", "orphan", "exit", "6"])?;
    let middle = ended.expect_code(0)?;
    let orphan = env.eventually("the orphan's report", Duration::from_secs(5), || {
        Ok(env.reported("orphan").ok().and_then(|reports| reports.into_iter().next()))
    })?;
    ensure!(orphan.parent != middle.pid, "{orphan:?} has kept its parent");
    // At the moment of its exec it belonged to its new parent.
    let executed = watch.events.expect(&exec().pid(orphan.pid).parent_pid(orphan.parent))?;
    let life = watch.events.life_of(orphan.pid)?;
    ensure!(life.last()?.exec_id == executed.process().context("process")?.exec_id, "{}", life.exit.json());
    watch.events.expect(&exit().pid(orphan.pid).status(6))?;
    watch.finish()
}

fn a_child_in_a_pid_namespace(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let actor = env.binary("actor")?;
    let actor = actor.to_str().context("path")?;
    let (_, life) = watch.act(["pidns", "run", actor, "report", "inside", "exit", "6"])?;
    let [inside] = &env.reported("inside")?[..] else { anyhow::bail!("not one report") };
    ensure!(inside.inner_pid == 1, "{inside:?}");
    let told = child_of(&watch, inside, life.only()?)?;
    let spaces = told.ns.context("no namespaces")?;
    let own = life.only()?.ns.context("no namespaces")?;
    ensure!(spaces.pid.is_some() && spaces.pid != own.pid && spaces.mnt == own.mnt, "{spaces:#?}");
    ensure!(spaces.pid.is_some_and(|space| !space.is_host), "{:?}", spaces.pid);
    watch.events.expect(&exit().pid(inside.pid).status(6))?;
    watch.finish()
}

fn three_generations(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let copy = env.actor_copy("copy")?;
    let copy = copy.to_str().context("path")?;
    // The first of them is the actor itself, the others are copies.
    let (ended, life) = watch.act(["nest", "3", copy, "report", "innermost", "exit", "6"])?;
    ended.expect_code(6)?;
    let [innermost] = &env.reported("innermost")?[..] else { anyhow::bail!("not one report") };
    let middle = watch.events.expect(&exec().pid(innermost.parent).binary(copy))?;
    let middle = middle.process().context("process")?;
    ensure!(middle.parent_exec_id == life.only()?.exec_id, "{middle:#?}");
    child_of(&watch, innermost, middle)?;
    watch.finish()
}
