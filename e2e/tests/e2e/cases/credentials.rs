//! Who a process runs as, and what raised it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{XattrFlags, setxattr};
use tetragon_api::tetragon::{CapabilitiesType, Process, ProcessPrivilegesChanged};
use tetragon_e2e::kit::{Env, Watch};
use tetragon_e2e::{Test, test};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(root),
        test!(another_user),
        test!(set_uid),
        test!(set_uid_of_another_user),
        test!(set_gid),
        test!(file_capabilities),
        test!(namespaces_are_those_of_the_process),
    ]
}

const USER: &str = "4242";
const UID: u32 = 4242;

/// Lets an unprivileged user run `program`, and returns what is told of it.
fn run_as_user(watch: &Watch<'_>, program: &Path) -> Result<Process> {
    let program = program.to_str().context("path")?;
    let (ended, life) = watch.act(["as", USER, USER, "run", program, "exit", "0"])?;
    ended.expect_code(0)?;
    Ok(life.last()?.clone())
}

fn reasons(process: &Process) -> Vec<ProcessPrivilegesChanged> {
    process.binary_properties.iter().flat_map(|properties| properties.privileges_changed()).collect()
}

fn root(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let (_, life) = watch.act(["exit", "0"])?;
    let process = life.only()?;
    let login = fs::read_to_string("/proc/self/loginuid")?.trim().parse()?;
    ensure!(process.uid == Some(0) && process.auid == Some(login), "{process:#?}");
    ensure!(process.binary_properties.is_none(), "{process:#?}");
    let capabilities = process.cap.as_ref().context("no capabilities")?;
    ensure!(capabilities.permitted().any(|one| one == CapabilitiesType::CapSysAdmin), "{capabilities:#?}");
    watch.finish()
}

fn another_user(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let process = run_as_user(&watch, &env.actor_copy("plain")?)?;
    ensure!(process.uid == Some(UID) && process.binary_properties.is_none(), "{process:#?}");
    let ids = process.process_credentials.context("no credentials")?;
    let all = [ids.uid, ids.euid, ids.suid, ids.fsuid, ids.gid, ids.egid, ids.sgid, ids.fsgid];
    ensure!(all == [Some(UID); 8], "{all:?}");
    let capabilities = process.cap.unwrap_or_default();
    ensure!(capabilities.permitted.is_empty() && capabilities.effective.is_empty(), "{capabilities:#?}");
    watch.finish()
}

fn set_uid(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let program = env.actor_copy("set-uid")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    let process = run_as_user(&watch, &program)?;
    ensure!(process.uid == Some(0), "{process:#?}");
    let properties = process.binary_properties.clone().context("no properties")?;
    ensure!(properties.setuid == Some(0) && properties.setgid.is_none(), "{properties:#?}");
    ensure!(
        reasons(&process) == [ProcessPrivilegesChanged::PrivilegesRaisedExecFileSetuid],
        "{properties:#?}"
    );
    let ids = process.process_credentials.context("no credentials")?;
    ensure!((ids.uid, ids.euid, ids.suid) == (Some(UID), Some(0), Some(0)), "{ids:#?}");
    watch.finish()
}

fn set_uid_of_another_user(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let program = env.actor_copy("set-uid")?;
    chown(&program, Some(77), Some(0))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    let process = run_as_user(&watch, &program)?;
    ensure!(process.uid == Some(77), "{process:#?}");
    let properties = process.binary_properties.clone().context("no properties")?;
    ensure!(properties.setuid == Some(77), "{properties:#?}");
    ensure!(reasons(&process).is_empty(), "user 77 has no privileges: {properties:#?}");
    watch.finish()
}

fn set_gid(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let program = env.actor_copy("set-gid")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o2755))?;
    let process = run_as_user(&watch, &program)?;
    ensure!(process.uid == Some(UID), "{process:#?}");
    let properties = process.binary_properties.clone().context("no properties")?;
    ensure!(properties.setgid == Some(0) && properties.setuid.is_none(), "{properties:#?}");
    ensure!(
        reasons(&process) == [ProcessPrivilegesChanged::PrivilegesRaisedExecFileSetgid],
        "{properties:#?}"
    );
    watch.finish()
}

fn file_capabilities(env: &Env) -> Result<()> {
    const NET_RAW: u32 = 13;
    let watch = Watch::start(env)?;
    let program = env.actor_copy("capable")?;
    // Version 2 with the effective bit; permitted and inheritable, low words then high ones.
    let words = [0x0200_0001_u32, 1 << NET_RAW, 0, 0, 0];
    let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    setxattr(&program, "security.capability", &value, XattrFlags::empty())
        .context("set file capabilities")?;
    let process = run_as_user(&watch, &program)?;
    ensure!(process.uid == Some(UID), "{process:#?}");
    let capabilities = process.cap.clone().context("no capabilities")?;
    for set in [capabilities.permitted().collect::<Vec<_>>(), capabilities.effective().collect()] {
        ensure!(set == [CapabilitiesType::CapNetRaw], "{capabilities:#?}");
    }
    ensure!(reasons(&process) == [ProcessPrivilegesChanged::PrivilegesRaisedExecFileCap], "{process:#?}");
    watch.finish()
}

fn namespaces_are_those_of_the_process(env: &Env) -> Result<()> {
    let watch = Watch::start(env)?;
    let (_, life) = watch.act(["exit", "0"])?;
    let spaces = life.only()?.ns.context("no namespaces")?;
    let shown = [
        ("uts", &spaces.uts),
        ("ipc", &spaces.ipc),
        ("mnt", &spaces.mnt),
        ("pid", &spaces.pid),
        ("pid_for_children", &spaces.pid_for_children),
        ("net", &spaces.net),
        ("time", &spaces.time),
        ("time_for_children", &spaces.time_for_children),
        ("cgroup", &spaces.cgroup),
        ("user", &spaces.user),
    ];
    for (name, shown) in shown {
        let path = format!("/proc/self/ns/{name}");
        let shown = shown.as_ref().with_context(|| format!("{name} is not shown"))?;
        let inode = fs::metadata(&path).context(path)?.ino();
        ensure!(u64::from(shown.inum) == inode, "{name}: {shown:?}, not {inode}");
        // A process 1 that hides from root leaves nothing to compare with.
        if let Ok(host) = fs::metadata(format!("/proc/1/ns/{name}")) {
            ensure!(
                shown.is_host == (host.ino() == inode),
                "{name}: {shown:?}, the host's is {}",
                host.ino()
            );
        }
    }
    watch.finish()
}
