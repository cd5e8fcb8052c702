//! Kernels that are locked down: with Secure Boot many are to integrity; confidentiality takes from BPF programs what
//! they read kernel memory with, so that the verifier refuses programs that it took before.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tetragon_api::tetragon::TracingPolicyState;
use tetragon_e2e::kit::{Env, Launch, Watch, process};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Suite, test};

use super::{At, MARK, PRCTL, expect_exactly, policy};

/// What is locked stays so until the machine is booted again: this has to be the last suite.
pub(crate) fn suite() -> Suite {
    Suite::new(
        "locked",
        VMS,
        [test!(an_agent_on_a_kernel_of_integrity), test!(a_program_that_the_verifier_refuses)],
    )
}

const SWITCH: &str = "/sys/kernel/security/lockdown";

/// Locks this kernel down, unless a test that was tried before did so.
fn lock(level: &str) -> Result<()> {
    let written = fs::write(SWITCH, level);
    let now = fs::read_to_string(SWITCH).with_context(|| format!("read {SWITCH}"))?;
    ensure!(now.contains(&format!("[{level}]")), "{level} cannot be chosen ({written:?}): {now}");
    Ok(())
}

/// A policy about calls with the mark.
fn marked(name: &str, at: At) -> String {
    let (mark, _) = at.indices();
    let selector = format!("{{matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}]}}");
    policy(name, &format!("{}, selectors: [{selector}]}}]", at.prctl("uint64")))
}

/// A policy about an LSM hook, which needs a program that no other one has.
fn at_lsm(name: &str) -> String {
    policy(
        name,
        "lsmhooks: [{hook: file_open, args: [{index: 0, type: file}], \
         selectors: [{matchArgs: [{index: 0, operator: Postfix, values: ['/locked-guarded']}]}]}]",
    )
}

/// What a call with the mark and the opening of the guarded file is told by.
fn check(env: &Env, watch: &Watch<'_>, expected: &[&str]) -> Result<()> {
    let file = env.file("locked-guarded");
    fs::write(&file, "x")?;
    let open = format!("s:{}", file.display());
    let (ended, _) =
        watch.act(["syscall", PRCTL, MARK, ".", "syscall", "2", &open, "0", ".", "exit", "0"])?;
    let expected = expected.iter().map(|&name| name.to_owned()).collect();
    expect_exactly(watch, ended.pid, &expected, "a call and an open file")
}

fn an_agent_on_a_kernel_of_integrity(env: &Env) -> Result<()> {
    lock("integrity")?;
    let watch = Watch::launch(env, &Launch::new(env)?)?;
    watch.agent.add_policy(&marked("kprobe", At::Kprobe))?;
    watch.agent.add_policy(&marked("tracepoint", At::Tracepoint))?;
    watch.agent.add_policy(&at_lsm("lsm"))?;
    check(env, &watch, &["kprobe", "lsm", "tracepoint"])?;
    watch.finish()
}

fn a_program_that_the_verifier_refuses(env: &Env) -> Result<()> {
    let launch = Launch::new(env)?;
    let watch = Watch::launch(env, &launch)?;
    watch.agent.add_policy(&marked("before", At::Tracepoint))?;
    lock("confidentiality")?;
    let error = watch.agent.add_policy(&at_lsm("refused")).err().context("the verifier took the program")?;
    let message = format!("{error:#}");
    for word in ["locked down to confidentiality", "bpf_probe_read_kernel"] {
        ensure!(message.contains(word), "no {word:?}: {message}");
    }

    // It is listed with what the verifier said, for those who ask.
    let listed = watch.agent.policies()?;
    let refused = listed.iter().find(|it| it.name == "refused").context("not listed")?;
    ensure!(refused.state() == TracingPolicyState::TpStateLoadError, "{refused:?}");
    ensure!(refused.error.contains("bpf_probe_read_kernel"), "{refused:?}");
    ensure!(refused.verifier_log.is_empty(), "{refused:?}");
    let address = format!("--server-address=unix://{}", watch.agent.socket().display());
    let shown = process::checked(Command::new(env.binary("tetra")?).args([
        &*address,
        "tracingpolicy",
        "list",
        "--verifier-logs",
    ]))?;
    let log: Vec<&str> = shown.lines().filter(|line| line.contains("bpf_probe_read_kernel")).collect();
    ensure!(shown.contains("load_error") && log.len() > 1, "{shown}");

    // The other policy goes on, can be changed, and others can be added for which the program is there.
    check(env, &watch, &["before"])?;
    watch.agent.replace_policy(&marked("before", At::Tracepoint))?;
    watch.agent.add_policy(&marked("after", At::Tracepoint))?;
    check(env, &watch, &["after", "before"])?;
    watch.agent.delete_policy("", "refused")?;
    check(env, &watch, &["after", "before"])?;
    watch.finish()?;

    // An agent that starts on such a kernel says what is in its way.
    let (status, log) = launch.start_in_vain()?;
    ensure!(!status.success() && log.contains("locked down to confidentiality"), "{status}: {log}");
    Ok(())
}
