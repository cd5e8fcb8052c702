//! Credentials, capabilities, user namespaces.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{CapabilitiesType, ProcessCredentials, ProcessKprobe, UserNamespace};
use tetragon_e2e::kit::{Env, Watch, process};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Test, test};

use super::capability_sets::capset;
use super::objects::{all, at, exit, names};
use super::{arg, only};
use super::{expect_exactly, policy, start};

pub(super) fn tests() -> Vec<Test> {
    vec![test!(credentials).on(VMS), test!(a_namespace_and_a_capability).on(VMS)]
}

const CAP_ARGS: &str = "{index: 0, type: cred}, {index: 1, type: cred}, {index: 2, type: cap_effective}, \
                        {index: 3, type: cap_inheritable}, {index: 4, type: cap_permitted}";

fn credentials(env: &Env) -> Result<()> {
    let watch = start(env)?;
    let filter =
        |index: u32, set: u64| format!("matchArgs: [{{index: {index}, operator: Equal, values: ['{set}']}}]");
    watch.agent.add_policies([
        at("set", "security_capset", CAP_ARGS, &filter(2, 1)),
        at("set-other", "security_capset", CAP_ARGS, &filter(3, 1)),
        // Also by every exec.
        at("committed", "commit_creds", "{index: 0, type: cred}", ""),
        at("confined", "create_user_ns", "{index: 0, type: cred}", ""),
    ])?;
    let own: u32 = std::fs::metadata("/proc/self/ns/user")?.ino().try_into()?;

    // CAP_CHOWN of CAP_CHOWN and CAP_KILL, and to inherit CAP_BPF.
    let line: Vec<String> = capset(1, 0x21, 1 << 39).into_iter().chain(exit()).collect();
    let (ended, _) = watch.act(line)?;
    expect_exactly(&watch, ended.pid, &names(["set", "committed"]), "capset")?;
    let event = only(&watch, "set", ended.pid)?;
    for position in [0, 1] {
        check_credentials(cred(&event, position)?, [0, 0], own)?;
        // Root's, as the test's own process has them.
        let all = effective_capabilities()?;
        ensure!(cred(&event, position)?.caps.as_ref().is_some_and(|it| it.effective == all), "{event:?}");
    }
    ensure!(arg(&event, 2)? == &Arg::CapEffectiveArg("0000000000000001".to_owned()), "{event:?}");
    ensure!(arg(&event, 3)? == &Arg::CapInheritableArg("0000008000000000".to_owned()), "{event:?}");
    ensure!(arg(&event, 4)? == &Arg::CapPermittedArg("0000000000000021".to_owned()), "{event:?}");
    let committed = last(&watch, "committed", ended.pid)?;
    let caps = cred(&committed, 0)?.caps.clone().context("no capabilities")?;
    ensure!(caps.effective == [CapabilitiesType::CapChown as i32], "{caps:?}");
    let permitted = [CapabilitiesType::CapChown, CapabilitiesType::CapKill].map(|it| it as i32);
    ensure!(caps.permitted == permitted, "{caps:?}");

    // setresgid(2), setresuid(2), and securebits before, while that is allowed: SECURE_NO_SETUID_FIXUP
    let (ended, _) = watch.act(
        ["syscall", "157", "28", "4", ".", "syscall", "119", "1001", "1002", "1003", "."]
            .into_iter()
            .chain(["syscall", "117", "2001", "2002", "2003", ".", "exit", "0"]),
    )?;
    expect_exactly(&watch, ended.pid, &names(["committed"]), "setresuid")?;
    let committed = last(&watch, "committed", ended.pid)?;
    let it = cred(&committed, 0)?;
    let users = [it.uid, it.euid, it.suid, it.fsuid].map(Option::unwrap_or_default);
    let groups = [it.gid, it.egid, it.sgid, it.fsgid].map(Option::unwrap_or_default);
    ensure!(users == [2001, 2002, 2003, 2002] && groups == [1001, 1002, 1003, 1002], "{it:?}");
    ensure!(it.securebits == [4], "{it:?}");

    // unshare(CLONE_NEWUSER) as somebody
    let (ended, _) = watch.act(["as", "1000", "1001", "syscall", "272", "268435456", ".", "exit", "0"])?;
    expect_exactly(&watch, ended.pid, &names(["committed", "confined"]), "unshare")?;
    // Before its call it is in our namespace, afterwards in its own, in which it can do everything.
    let event = only(&watch, "confined", ended.pid)?;
    check_credentials(cred(&event, 0)?, [1000, 1001], own)?;
    ensure!(cred(&event, 0)?.caps.as_ref().is_none_or(|it| it.effective.is_empty()), "{event:?}");
    let committed = last(&watch, "committed", ended.pid)?;
    let it = cred(&committed, 0)?;
    let caps = it.caps.as_ref().map(|it| it.effective.clone()).unwrap_or_default();
    ensure!(caps == effective_capabilities()?, "{it:?}");
    check_namespace(it.user_ns.as_ref(), 1, [1000, 1001])?;
    watch.finish()
}

/// The last event of the policy about the process.
fn last(watch: &Watch<'_>, name: &str, pid: u32) -> Result<ProcessKprobe> {
    all(watch, name, pid).pop().with_context(|| format!("no event of {name}"))
}

fn cred(event: &ProcessKprobe, position: usize) -> Result<&ProcessCredentials> {
    match arg(event, position)? {
        Arg::ProcessCredentialsArg(it) => Ok(it),
        other => bail!("no credentials: {other:?}"),
    }
}

/// All ids are these, in the machine's user namespace.
fn check_credentials(it: &ProcessCredentials, [user, group]: [u32; 2], namespace: u32) -> Result<()> {
    ensure!([it.uid, it.euid, it.suid, it.fsuid] == [Some(user); 4], "{it:?}");
    ensure!([it.gid, it.egid, it.sgid, it.fsgid] == [Some(group); 4], "{it:?}");
    ensure!(it.securebits.is_empty(), "{it:?}");
    let ns = check_namespace(it.user_ns.as_ref(), 0, [0, 0])?;
    ensure!(ns == namespace, "in namespace {ns}, not {namespace}");
    Ok(())
}

/// Its level, and who made it. Returns its number.
fn check_namespace(it: Option<&UserNamespace>, level: i32, owner: [u32; 2]) -> Result<u32> {
    let it = it.context("no user namespace")?;
    let ns = it.ns.as_ref().context("no number")?;
    ensure!(it.level == Some(level) && [it.uid, it.gid] == owner.map(Some), "{it:?}");
    ensure!(ns.inum != 0 && ns.is_host == (level == 0), "{it:?}");
    Ok(ns.inum)
}

/// Of this process, which is root.
fn effective_capabilities() -> Result<Vec<i32>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:")).context("no CapEff")?;
    let mask = u64::from_str_radix(mask.trim(), 16)?;
    Ok((0..64).filter(|bit| mask >> bit & 1 == 1).collect())
}

/// Somebody asks whether it has a capability in a namespace.
fn a_namespace_and_a_capability(env: &Env) -> Result<()> {
    let watch = start(env)?;
    // The agent itself asks for capabilities, also when it tells of one.
    let ours = format!("matchBinaries: [{{operator: In, values: ['{}']}}]", env.binary("actor")?.display());
    // The capability is filtered by where it can be, as a number.
    let asks = "{index: 0, type: user_namespace}, {index: 1, type: int}";
    let filter = |index: u32, value: i32| {
        format!("matchArgs: [{{index: {index}, operator: Equal, values: ['{value}']}}]")
    };
    let checks = "{index: 0, type: cred}, {index: 1, type: user_namespace}, {index: 2, type: capability}";
    let answered = |name: &str, answer: i32| {
        policy(
            name,
            &format!(
                "kprobes: [{{call: cap_capable, syscall: false, return: true, \
                 returnArg: {{index: 0, type: int}}, args: [{checks}], selectors: [{{{ours}, \
                 matchReturnArgs: [{{index: 0, operator: Equal, values: ['{answer}']}}]}}]}}]"
            ),
        )
    };
    watch.agent.add_policies([
        at("asks", "ns_capable", asks, &filter(1, 21)),
        at("asks-else", "ns_capable", asks, &filter(1, 39)),
        answered("granted", 0),
        answered("denied", -1),
    ])?;
    // sethostname(2) asks for CAP_SYS_ADMIN in the owner of the UTS namespace, before it looks at the length.
    let sethostname = ["syscall", "170", "0", "1000", "."];
    let end = ["exit", "0"];

    let (ended, _) = watch.act(sethostname.into_iter().chain(end))?;
    check_namespace(namespace(&last(&watch, "asks", ended.pid)?, 0)?, 0, [0, 0])?;
    let asked =
        |pid: u32, name: &str, user: u32| check_of(&watch, pid, name, user, CapabilitiesType::CapSysAdmin);
    ensure!(asked(ended.pid, "granted", 0)?.is_some() && asked(ended.pid, "denied", 0)?.is_none(), "root");
    ensure!(!super::told(&watch.events.all(), ended.pid).contains("asks-else"), "another capability matched");

    let (ended, _) = watch.act(["as", "1000", "1000"].into_iter().chain(sethostname).chain(end))?;
    check_namespace(namespace(&last(&watch, "asks", ended.pid)?, 0)?, 0, [0, 0])?;
    let [granted, denied] = ["granted", "denied"].map(|name| asked(ended.pid, name, 1000));
    ensure!(granted?.is_none() && denied?.is_some(), "somebody");

    // Of namespaces of its own, unshare(CLONE_NEWUSER | CLONE_NEWUTS), it is the master.
    let [inside, go] = ["inside", "go"].map(|name| env.file(name));
    std::fs::write(&inside, "")?;
    let (inside_text, go_text) = (inside.to_string_lossy(), go.to_string_lossy());
    let line = ["syscall", "272", "335544320", ".", "report", &inside_text, "wait", &go_text];
    let child = env.actor(line.into_iter().chain(sethostname).chain(end))?.spawn()?;
    let pid = child.id();
    env.eventually("the process in its namespaces", Duration::from_secs(5), || {
        Ok(std::fs::metadata(&inside)?.len().checked_sub(1))
    })?;
    let number: u32 = std::fs::metadata(format!("/proc/{pid}/ns/user"))?.ino().try_into()?;
    std::fs::write(&go, "")?;
    process::wait(child)?;
    watch.events.life_of(pid)?;
    let event = last(&watch, "asks", pid)?;
    let told_number = check_namespace(namespace(&event, 0)?, 1, [0, 0])?;
    ensure!(told_number == number, "namespace {told_number}, not {number}");
    let granted = asked(pid, "granted", 0)?.context("not granted")?;
    let told_number = check_namespace(namespace(&granted, 1)?, 1, [0, 0])?;
    ensure!(told_number == number, "namespace {told_number}, not {number}");
    watch.finish()
}

fn namespace(event: &ProcessKprobe, position: usize) -> Result<Option<&UserNamespace>> {
    match arg(event, position)? {
        Arg::UserNsArg(it) => Ok(Some(it)),
        other => bail!("no user namespace: {other:?}"),
    }
}

/// The last check for the capability that the policy told of the process while it was that user.
fn check_of(
    watch: &Watch<'_>,
    pid: u32,
    name: &str,
    user: u32,
    capability: CapabilitiesType,
) -> Result<Option<ProcessKprobe>> {
    let mut found = None;
    for event in all(watch, name, pid) {
        let Arg::CapabilityArg(asked) = arg(&event, 2)? else { bail!("no capability: {event:?}") };
        let known = CapabilitiesType::try_from(asked.value.unwrap_or(-1)).map_or("", |it| it.as_str_name());
        ensure!(asked.name == known, "{asked:?}");
        if asked.value == Some(capability as i32) && cred(&event, 0)?.euid == Some(user) {
            found = Some(event);
        }
    }
    Ok(found)
}
