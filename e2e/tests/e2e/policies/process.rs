//! Filters on what the process is.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use tetragon_e2e::kit::Env;
use tetragon_e2e::{Test, test};

use super::{At, MARK, PRCTL, expect_exactly, policy, start, told};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(programs),
        test!(namespaces_and_capabilities),
        test!(process_ids),
        test!(descendants),
        test!(changes),
    ]
}

fn place(env: &Env) -> At {
    if env.place().is_native() { At::Tracepoint } else { At::Kprobe }
}

/// A policy on prctl with the mark, and more filters.
fn with(at: At, name: &str, filters: &str) -> String {
    let (mark, _) = at.indices();
    policy(
        name,
        &format!(
            "{}, selectors: [{{matchArgs: [{{index: {mark}, operator: Equal, values: ['{MARK}']}}], {filters}}}]}}]",
            at.prctl("uint64")
        ),
    )
}

/// Which of the policies tell of an actor's call.
fn check(env: &Env, cases: &[(&str, String, bool)]) -> Result<()> {
    let at = place(env);
    let watch = start(env)?;
    watch.agent.add_policies(cases.iter().map(|(name, filters, _)| with(at, name, filters)))?;
    let (ended, _) = watch.act(["syscall", PRCTL, MARK, ".", "exit", "0"])?;
    let expected: BTreeSet<String> =
        cases.iter().filter(|(_, _, matches)| *matches).map(|(name, ..)| (*name).to_owned()).collect();
    expect_exactly(&watch, ended.pid, &expected, "filters on the process")?;
    watch.finish()
}

fn programs(env: &Env) -> Result<()> {
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    let binaries = |operator: &str, values: &str| {
        format!("matchBinaries: [{{operator: {operator}, values: [{values}]}}]")
    };
    let folder = actor.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
    check(
        env,
        &[
            ("in", binaries("In", &format!("/no/such, {actor}")), true),
            ("in-other", binaries("In", "/bin/other"), false),
            ("not-in", binaries("NotIn", &format!("/no/such, {actor}")), false),
            ("not-in-other", binaries("NotIn", "/bin/other, /bin/more"), true),
            ("prefix", binaries("Prefix", &folder), true),
            ("not-prefix", binaries("NotPrefix", &folder), false),
            ("postfix", binaries("Postfix", "/actor"), true),
            ("not-postfix", binaries("NotPostfix", "/actor"), false),
            ("not-postfix-other", binaries("NotPostfix", "/other"), true),
        ],
    )
}

fn namespaces_and_capabilities(env: &Env) -> Result<()> {
    let namespace = |operator: &str, values: &str| {
        format!("matchNamespaces: [{{namespace: Uts, operator: {operator}, values: [{values}]}}]")
    };
    let capabilities = |operator: &str, values: &str| {
        format!("matchCapabilities: [{{type: Effective, operator: {operator}, values: [{values}]}}]")
    };
    let own = std::fs::metadata("/proc/self/ns/uts").map(|it| std::os::unix::fs::MetadataExt::ino(&it))?;
    check(
        env,
        &[
            ("own", namespace("In", &format!("'1', '{own}'")), true),
            ("not-own", namespace("NotIn", &format!("'1', '{own}'")), false),
            ("not-others", namespace("NotIn", "'1', '2'"), true),
            ("others", namespace("In", "'1', '2'"), false),
            ("can", capabilities("In", "CAP_CHOWN, CAP_KILL"), true),
            ("cannot", capabilities("NotIn", "CAP_CHOWN"), false),
        ],
    )
}

fn process_ids(env: &Env) -> Result<()> {
    let own = std::process::id();
    let pids = |operator: &str, values: &str, forks: bool| {
        format!("matchPIDs: [{{operator: {operator}, followForks: {forks}, values: [{values}]}}]")
    };
    check(
        env,
        &[
            ("child-of", pids("In", &format!("1000000, {own}"), true), true),
            ("no-child-of", pids("NotIn", &format!("1000000, {own}"), true), false),
            ("is", pids("In", &own.to_string(), false), false),
            ("is-none-of", pids("NotIn", "1000000, 1000001", false), true),
        ],
    )
}

/// Each change is told once.
fn changes(env: &Env) -> Result<()> {
    let at = place(env);
    let watch = start(env)?;
    watch.agent.add_policy(&with(
        at,
        "moved",
        "matchNamespaceChanges: [{operator: In, values: [Uts, Ipc]}]",
    ))?;
    let capabilities = "matchCapabilityChanges: [{type: Effective, operator: In, values: [CAP_CHOWN]}]";
    watch.agent.add_policy(&with(at, "dropped", capabilities))?;
    let call = ["syscall", PRCTL, MARK, "."];
    // unshare(CLONE_NEWUTS)
    let unshare = ["syscall", "272", "67108864", "."];
    let line: Vec<&str> = [
        &call[..],
        &unshare[..],
        &call[..],
        &call[..],
        &["as", "1000", "1000"],
        &call[..],
        &call[..],
        &["exit", "0"],
    ]
    .concat();
    let (ended, _) = watch.act(line)?;
    let events = watch.events.all();
    let count = |name: &str| {
        use tetragon_e2e::kit::EventExt as _;
        events.iter().filter(|event| event.pid() == ended.pid && event.policy() == Some(name)).count()
    };
    ensure!(count("moved") == 1, "{} changes of namespaces", count("moved"));
    ensure!(count("dropped") == 1, "{} changes of capabilities", count("dropped"));
    watch.finish()
}

/// Descendants of a program are followed, also once their parent is gone.
fn descendants(env: &Env) -> Result<()> {
    let at = place(env);
    let watch = start(env)?;
    let actor = env.binary("actor")?;
    let ancestor = env.file("ancestor");
    std::fs::copy(&actor, &ancestor)?;
    let (actor, ancestor) = (actor.to_string_lossy().into_owned(), ancestor.to_string_lossy().into_owned());
    let filter = |follow: bool| {
        format!("matchBinaries: [{{operator: In, values: ['{ancestor}'], followChildren: {follow}}}]")
    };
    watch.agent.add_policy(&with(at, "followed", &filter(true)))?;
    watch.agent.add_policy(&with(at, "alone", &filter(false)))?;
    let call = ["syscall", PRCTL, MARK, ".", "exit", "0"];
    let line: Vec<&str> =
        ["exec", &ancestor, "actor", "fork", "exec", &actor, "actor"].into_iter().chain(call).collect();
    watch.act(line)?;
    watch.act(call)?;
    watch.catch_up()?;
    let all = watch.events.all();
    let pids: BTreeSet<u32> = all.iter().map(tetragon_e2e::kit::EventExt::pid).collect();
    let tellers: Vec<BTreeSet<String>> =
        pids.into_iter().map(|pid| told(&all, pid)).filter(|told| !told.is_empty()).collect();
    ensure!(tellers == [BTreeSet::from(["followed".to_owned()])], "{tellers:?}");
    watch.finish()
}
