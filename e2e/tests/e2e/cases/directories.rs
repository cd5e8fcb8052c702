//! Where a process runs.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::{Env, Watch};
use tetragon_e2e::{Test, test};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(the_root),
        test!(a_plain_directory),
        test!(a_directory_of_4000_bytes),
        test!(a_deleted_directory),
        test!(a_directory_that_is_not_utf8),
        test!(a_directory_on_another_mount),
        test!(a_relative_binary_is_made_absolute),
    ]
}

/// Runs something in `directory` and compares the directory shown.
fn shown_in(env: &Env, directory: &Path, expected: &str) -> Result<()> {
    let watch = Watch::start(env)?;
    let (_, life) = watch.run(env.actor(["exit", "0"])?.current_dir(directory))?;
    let process = life.only()?;
    ensure!(process.cwd == expected, "cwd is {:?}, expected {expected:?}", process.cwd);
    ensure!(process.flags.contains("rootcwd") == (expected == "/"), "flags are {:?}", process.flags);
    ensure!(!process.flags.contains("error"), "flags are {:?}", process.flags);
    watch.finish()
}

fn the_root(env: &Env) -> Result<()> {
    shown_in(env, Path::new("/"), "/")
}

fn a_plain_directory(env: &Env) -> Result<()> {
    let directory = env.file("a b");
    fs::create_dir(&directory)?;
    shown_in(env, &directory, directory.to_str().context("path")?)
}

fn a_directory_of_4000_bytes(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let base = env.dir().to_str().context("path")?.to_owned();
    let name = "d".repeat(180);
    let count = (4000 - base.len()) / (name.len() + 1);
    let last = "e".repeat(4000 - base.len() - count * (name.len() + 1) - 1);
    let expected = format!("{base}{}/{last}", format!("/{name}").repeat(count));
    ensure!(expected.len() == 4000, "{}", expected.len());
    let actor = env.binary("actor")?;
    let actor = actor.to_str().context("path")?;
    let count = count.to_string();
    let (ended, life) =
        watch.act(["deep-chdir", &count, &name, "deep-chdir", "1", &last, "run", actor, "exit", "0"])?;
    ended.expect_code(0)?;
    let process = life.last()?;
    ensure!(process.cwd == expected, "{} bytes of cwd: {:?}", process.cwd.len(), process.cwd);
    ensure!(!process.flags.contains("error"), "flags are {:?}", process.flags);
    watch.finish()
}

fn a_deleted_directory(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let directory = env.file("gone");
    fs::create_dir(&directory)?;
    let directory = directory.to_str().context("path")?;
    let actor = env.binary("actor")?;
    let actor = actor.to_str().context("path")?;
    let (ended, life) = watch.act(["chdir", directory, "rmdir-cwd", "run", actor, "exit", "0"])?;
    ended.expect_code(0)?;
    let process = life.last()?;
    ensure!(process.cwd == format!("{directory} (deleted)"), "cwd is {:?}", process.cwd);
    watch.finish()
}

fn a_directory_that_is_not_utf8(env: &Env) -> Result<()> {
    let directory = env.file(PathBuf::from(std::ffi::OsString::from_vec(b"x\xff\xfey".to_vec())));
    fs::create_dir(&directory)?;
    let expected = format!("{}/x\u{fffd}y", env.dir().display());
    shown_in(env, &directory, &expected)
}

fn a_directory_on_another_mount(env: &Env) -> Result<()> {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let point = env.file("mount");
    fs::create_dir(&point)?;
    mount("tmpfs", &point, "tmpfs", MountFlags::empty(), None).context("mount")?;
    let inside = point.join("inside");
    fs::create_dir(&inside)?;
    let outcome = shown_in(env, &inside, inside.to_str().context("path")?);
    unmount(&point, UnmountFlags::DETACH)?;
    outcome
}

fn a_relative_binary_is_made_absolute(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let copy = env.actor_copy("copy")?;
    fs::create_dir(env.file("sub"))?;
    let (ended, life) = watch.act(["run", "./sub/../copy", "exit", "0"])?;
    ended.expect_code(0)?;
    let process = life.last()?;
    ensure!(process.binary == copy.to_string_lossy(), "binary is {:?}", process.binary);
    watch.finish()
}
