//! Files, in all the forms in which functions get them: every operator, against a model of its own.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{KprobeFile, KprobePath};
use tetragon_e2e::kit::{Env, Watch};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::{arg, expect_exactly, only, policy, start, texts};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(a_file_by_its_path).on(VMS).within(Duration::from_secs(30)),
        test!(a_descriptor_by_its_path).on(VMS).within(Duration::from_secs(30)),
        test!(a_name_before_it_is_resolved).on(VMS).within(Duration::from_secs(30)),
        test!(a_path).on(VMS).within(Duration::from_secs(30)),
        test!(a_file_that_is_written).on(VMS).within(Duration::from_secs(30)),
        test!(a_descriptor_without_a_path).on(VMS),
    ]
}

/// read(2), write(2), open(2) and stat(2).
const READ: &str = "0";
const WRITE: &str = "1";
const OPEN: &str = "2";
const STAT: &str = "4";

/// A function that gets a file.
struct Hook<'a> {
    function: &'a str,
    syscall: bool,
    index: u32,
    ty: &'a str,
    /// Whether it gets what a link leads to.
    resolved: bool,
}

/// A file of a test, by the path that is used and the path that it has.
struct Target {
    used: String,
    real: String,
    permission: &'static str,
}

fn targets(env: &Env) -> Result<Vec<Target>> {
    let dir = env.dir().to_string_lossy().into_owned();
    let deep = (0..5).fold(dir.clone(), |path, _| format!("{path}/{}", "deep-".repeat(12)));
    std::fs::create_dir_all(&deep)?;
    let mut all = Vec::new();
    for (path, mode, permission) in [
        (format!("{dir}/secret"), 0o640, "-rw-r-----"),
        (format!("{dir}/secret2"), 0o4755, "-rwsr-xr-x"),
        (format!("{dir}/other"), 0o600, "-rw-------"),
        (format!("{deep}/secret"), 0o666, "-rw-rw-rw-"),
    ] {
        std::fs::write(&path, "text")?;
        std::fs::set_permissions(&path, Permissions::from_mode(mode))?;
        all.push(Target { used: path.clone(), real: path, permission });
    }
    symlink(&all[0].real, format!("{dir}/link"))?;
    all.push(Target { used: format!("{dir}/link"), real: all[0].real.clone(), permission: "-rw-r-----" });
    Ok(all)
}

/// Every operator at the hook; `act` has the actor use the file.
fn check(
    env: &Env,
    hook: &Hook<'_>,
    act: impl Fn(&Watch<'_>, &Target) -> Result<u32>,
    content: impl Fn(&Target) -> Arg,
) -> Result<()> {
    let watch = start(env)?;
    let targets = targets(env)?;
    let dir = env.dir().to_string_lossy().into_owned();
    let (short, deep) = (targets[0].real.clone(), targets[3].real.clone());
    let cases = [
        ("equal", "Equal", vec![short.clone()]),
        ("equal-longer", "Equal", vec![format!("{short}/"), format!("{short}22")]),
        ("equal-one-of", "Equal", vec!["/no/such".to_owned(), short.clone(), deep.clone()]),
        ("not-equal", "NotEqual", vec![short.clone()]),
        ("not-equal-some", "NotEqual", vec![deep.clone(), format!("{dir}/other")]),
        ("prefix", "Prefix", vec![format!("{dir}/sec")]),
        ("prefix-long", "Prefix", vec![deep[..250].to_owned(), format!("{dir}/l")]),
        ("not-prefix", "NotPrefix", vec![format!("{dir}/sec"), "/zz".to_owned()]),
        ("postfix", "Postfix", vec!["/secret".to_owned()]),
        ("postfix-some", "Postfix", vec!["2".to_owned(), "ther".to_owned()]),
        ("not-postfix", "NotPostfix", vec!["secret".to_owned(), "link".to_owned()]),
    ];
    let Hook { function, syscall, index, ty, resolved } = hook;
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    let load = |name: &str, more: &str| {
        // Processes use more files than those of the test, and the agent writes one of these.
        let filter = format!("{{index: {index}, operator: Prefix, values: ['{dir}/']}}{more}");
        watch.agent.add_policy(&policy(
            name,
            &format!(
                "kprobes: [{{call: {function}, syscall: {syscall}, args: [{{index: {index}, type: {ty}}}], \
                 selectors: [{{matchBinaries: [{{operator: In, values: ['{actor}']}}], matchArgs: [{filter}]}}]}}]"
            ),
        ))
    };
    load("all", "")?;
    for (name, operator, values) in &cases {
        let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
        load(name, &format!(", {{index: {index}, operator: {operator}, values: [{}]}}", quoted.join(", ")))?;
    }
    for target in &targets {
        let pid = act(&watch, target)?;
        let path = if *resolved { &target.real } else { &target.used };
        let expected: BTreeSet<String> = cases
            .iter()
            .filter(|(_, operator, values)| texts::matches(operator, values, path))
            .map(|(name, ..)| (*name).to_owned())
            .chain(["all".to_owned()])
            .collect();
        expect_exactly(&watch, pid, &expected, &format!("{ty}, {}", target.used))?;
        let event = only(&watch, "all", pid)?;
        ensure!(arg(&event, 0)? == &content(target), "{event:?}");
    }
    watch.finish()
}

/// Has the actor make a system call whose first argument is the path.
fn by_path(watch: &Watch<'_>, call: &str, target: &Target, second: &str) -> Result<u32> {
    let path = format!("s:{}", target.used);
    Ok(watch.act(["syscall", call, &path, second, "0", ".", "exit", "0"])?.0.pid)
}

/// Has the actor make a system call on the file, which is open.
fn by_descriptor(env: &Env, watch: &Watch<'_>, call: &str, target: &Target, buffer: &str) -> Result<u32> {
    let file = File::options().read(true).write(true).open(&target.used)?;
    let mut command = env.actor(["syscall", call, "0", buffer, "4", ".", "exit", "0"])?;
    Ok(watch.run(command.stdin(file))?.0.pid)
}

fn as_file(target: &Target) -> Arg {
    Arg::FileArg(KprobeFile {
        path: target.real.clone(),
        permission: target.permission.to_owned(),
        ..KprobeFile::default()
    })
}

fn a_file_by_its_path(env: &Env) -> Result<()> {
    let hook = Hook { function: "security_file_open", syscall: false, index: 0, ty: "file", resolved: true };
    check(env, &hook, |watch, target| by_path(watch, OPEN, target, "0"), as_file)
}

fn a_descriptor_by_its_path(env: &Env) -> Result<()> {
    let hook = Hook { function: "sys_read", syscall: true, index: 0, ty: "fd", resolved: true };
    check(env, &hook, |watch, target| by_descriptor(env, watch, READ, target, "unmapped"), as_file)
}

fn a_name_before_it_is_resolved(env: &Env) -> Result<()> {
    // Renamed in 7.x.
    let symbols = std::fs::read_to_string("/proc/kallsyms")?;
    let is_old = symbols.lines().any(|line| line.ends_with(" do_filp_open"));
    let function = if is_old { "do_filp_open" } else { "do_file_open" };
    let hook = Hook { function, syscall: false, index: 1, ty: "filename", resolved: false };
    let content = |target: &Target| Arg::StringArg(target.used.clone());
    check(env, &hook, |watch, target| by_path(watch, OPEN, target, "0"), content)
}

fn a_path(env: &Env) -> Result<()> {
    let hook =
        Hook { function: "security_inode_getattr", syscall: false, index: 0, ty: "path", resolved: true };
    let content = |target: &Target| {
        Arg::PathArg(KprobePath {
            path: target.real.clone(),
            permission: target.permission.to_owned(),
            ..KprobePath::default()
        })
    };
    check(env, &hook, |watch, target| by_path(watch, STAT, target, "unmapped"), content)
}

fn a_file_that_is_written(env: &Env) -> Result<()> {
    // What writes to files in memory has a function of its own since 6.6.
    let symbols = std::fs::read_to_string("/proc/kallsyms")?;
    let own = "shmem_file_write_iter";
    let function =
        if symbols.lines().any(|line| line.ends_with(own)) { own } else { "generic_file_write_iter" };
    let hook = Hook { function, syscall: false, index: 0, ty: "kiocb", resolved: true };
    check(env, &hook, |watch, target| by_descriptor(env, watch, WRITE, target, "s:text"), as_file)
}

/// Pipes have no path, descriptors may not be open, and files may have gone.
fn a_descriptor_without_a_path(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let dir = env.dir().to_string_lossy().into_owned();
    // No other process reads that many bytes.
    let load = |name: &str, filter: &str| {
        watch.agent.add_policy(&policy(
            name,
            &format!(
                "kprobes: [{{call: sys_read, syscall: true, \
                 args: [{{index: 0, type: fd}}, {{index: 2, type: size_t}}], \
                 selectors: [{{matchArgs: [{{index: 2, operator: Equal, values: ['7777']}}{filter}]}}]}}]"
            ),
        ))
    };
    load("all", "")?;
    load("prefix", &format!(", {{index: 0, operator: Prefix, values: ['{dir}/']}}"))?;
    load("not-prefix", &format!(", {{index: 0, operator: NotPrefix, values: ['{dir}/']}}"))?;
    let read = |descriptor: &'static str| ["syscall", READ, descriptor, "unmapped", "7777", ".", "exit", "0"];

    let (pipe, _writer) = std::io::pipe()?;
    drop(_writer);
    let (ended, _) = watch.run(env.actor(read("0"))?.stdin(pipe))?;
    expect_exactly(&watch, ended.pid, &BTreeSet::from(["all".to_owned()]), "a pipe")?;
    let event = only(&watch, "all", ended.pid)?;
    let Arg::FileArg(told) = arg(&event, 0)? else { bail!("no file: {event:?}") };
    ensure!(told.path.is_empty() && told.permission == "prw-------", "{told:?}");

    let (ended, _) = watch.act(read("99"))?;
    expect_exactly(&watch, ended.pid, &BTreeSet::from(["all".to_owned()]), "nothing open")?;
    let event = only(&watch, "all", ended.pid)?;
    let Arg::ErrorArg(told) = arg(&event, 0)? else { bail!("no error: {event:?}") };
    ensure!(told.message == "Bad file descriptor", "{told:?}");

    let path = env.file("gone");
    let gone = File::create_new(&path).context("create a file")?;
    std::fs::remove_file(&path)?;
    let (ended, _) = watch.run(env.actor(read("0"))?.stdin(gone))?;
    let expected = BTreeSet::from(["all", "prefix"].map(str::to_owned));
    expect_exactly(&watch, ended.pid, &expected, "a file that has gone")?;
    let event = only(&watch, "all", ended.pid)?;
    let Arg::FileArg(told) = arg(&event, 0)? else { bail!("no file: {event:?}") };
    ensure!(told.path == format!("{dir}/gone (deleted)"), "{told:?}");
    watch.finish()
}
