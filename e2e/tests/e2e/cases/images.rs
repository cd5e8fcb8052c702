//! What a process executes, and how it was asked for.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::Process;
use tetragon_e2e::kit::{Env, EventExt, Watch, exec};
use tetragon_e2e::{Test, test};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(a_memfd),
        test!(a_deleted_binary),
        test!(a_shebang_script),
        test!(execveat_with_a_directory),
        test!(execveat_with_an_empty_path),
        test!(an_exec_from_another_thread),
        test!(an_exec_in_the_same_process),
        test!(an_exec_that_fails),
        test!(a_symbolic_link),
        test!(a_binary_with_a_long_path),
    ]
}

/// Performs `verbs` that end in an exec, and returns what is told of its image.
fn executed(watch: &Watch<'_>, verbs: &[&str]) -> Result<Process> {
    let (ended, life) = watch.act(verbs)?;
    ended.expect_code(3)?;
    ensure!(life.execs.len() == 2, "{} execs", life.execs.len());
    Ok(life.last()?.clone())
}

/// The inode shown for a binary without a name.
fn unlinked_inode(process: &Process) -> Result<u64> {
    let properties = process.binary_properties.as_ref().context("no properties of the binary")?;
    let inode = properties.file.as_ref().and_then(|file| file.inode.as_ref()).context("no inode")?;
    ensure!(inode.links == Some(0), "{inode:?}");
    Ok(inode.number)
}

fn a_memfd(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let process = executed(&watch, &["memfd", "secret", "name", "exit", "3"])?;
    ensure!(process.binary.starts_with("/dev/fd/"), "binary is {:?}", process.binary);
    ensure!(process.arguments == "exit 3", "arguments are {:?}", process.arguments);
    ensure!(unlinked_inode(&process)? != 0, "{process:#?}");
    watch.finish()
}

fn a_deleted_binary(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let copy = env.actor_copy("deleted")?;
    let inode = fs::metadata(&copy)?.ino();
    let process = executed(&watch, &["unlink-exec", copy.to_str().context("path")?, "name", "exit", "3"])?;
    ensure!(unlinked_inode(&process)? == inode, "{process:#?} is not {inode}");
    watch.finish()
}

fn a_shebang_script(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let script = env.file("script");
    fs::write(&script, format!("#!{} script\n", env.binary("actor")?.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let path = script.to_str().context("path")?;
    let process = executed(&watch, &["run", path, "exit", "3"])?;
    ensure!(process.binary == path, "binary is {:?}", process.binary);
    ensure!(process.arguments == format!("script {path} exit 3"), "arguments are {:?}", process.arguments);
    watch.finish()
}

fn execveat_with_a_directory(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    env.actor_copy("copy")?;
    let directory = env.dir().to_str().context("path")?;
    let process = executed(&watch, &["execveat", directory, "copy", "name", "exit", "3"])?;
    // The kernel's own name for it.
    let shown = process.binary.strip_prefix("/dev/fd/").and_then(|rest| rest.strip_suffix("/copy"));
    ensure!(shown.is_some_and(|number| number.parse::<u32>().is_ok()), "binary is {:?}", process.binary);
    ensure!(process.binary_properties.is_none(), "{process:#?}");
    watch.finish()
}

fn execveat_with_an_empty_path(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let copy = env.actor_copy("copy")?;
    let process = executed(&watch, &["execveat-fd", copy.to_str().context("path")?, "name", "exit", "3"])?;
    let shown = process.binary.strip_prefix("/dev/fd/");
    ensure!(shown.is_some_and(|number| number.parse::<u32>().is_ok()), "binary is {:?}", process.binary);
    watch.finish()
}

fn an_exec_from_another_thread(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let copy = env.actor_copy("copy")?;
    let path = copy.to_str().context("path")?;
    // The thread takes over the id of the leader, which ends.
    let process = executed(&watch, &["thread-exec", path, "name", "exit", "3"])?;
    ensure!(process.binary == path && process.tid == process.pid, "{process:#?}");
    watch.finish()
}

fn an_exec_in_the_same_process(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let copy = env.actor_copy("copy")?;
    let (_, life) = watch.act(["run", copy.to_str().context("path")?, "exit", "3"])?;
    let [first, second] = &life.execs[..] else { anyhow::bail!("{} execs", life.execs.len()) };
    let (first, second) = (first.process().context("process")?, second.process().context("process")?);
    ensure!(first.exec_id != second.exec_id, "both are {}", first.exec_id);
    ensure!(second.parent_exec_id == first.exec_id, "parent of the second is {}", second.parent_exec_id);
    let clones = [first, second].map(|process| process.flags.split(' ').any(|flag| flag == "clone"));
    ensure!(clones == [true, false], "flags are {:?} and {:?}", first.flags, second.flags);
    life.last()?;
    watch.finish()
}

fn an_exec_that_fails(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let data = env.file("data");
    fs::write(&data, "no program")?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
    let data = data.to_str().context("path")?;
    let (ended, life) = watch.act(["failed-exec", "/nonexistent", "failed-exec", data, "exit", "3"])?;
    ended.expect_code(3)?;
    life.only()?;
    watch.finish()
}

fn a_symbolic_link(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let link = env.file("link");
    symlink(env.binary("actor")?, &link)?;
    let process = executed(&watch, &["run", link.to_str().context("path")?, "exit", "3"])?;
    ensure!(process.binary == link.to_string_lossy(), "binary is {:?}", process.binary);
    watch.finish()
}

fn a_binary_with_a_long_path(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let mut directory = env.dir().to_owned();
    for _ in 0..15 {
        directory.push("p".repeat(200));
    }
    fs::create_dir_all(&directory)?;
    let copy = directory.join("copy");
    fs::copy(env.binary("actor")?, &copy)?;
    let path = copy.to_str().context("path")?;
    let (ended, life) = watch.run(std::process::Command::new(&copy).args(["exit", "0"]))?;
    ended.expect_code(0)?;
    ensure!(life.last()?.binary == path, "binary is {:?}", life.last()?.binary);
    watch.events.expect(&exec().binary(path))?;
    watch.finish()
}
