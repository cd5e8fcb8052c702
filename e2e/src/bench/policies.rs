//! What a hooked call costs: without a policy, under one, and under one of a thousand.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

use super::hooks::{self, Client};
use crate::kit::process::run;
use crate::kit::{Agent, Env, Launch, cgroups, rpc};

/// An option of prctl(2) that does not exist: a call without effect.
const OPTION: i64 = 32343;
/// Calls of a run, and of one whose calls all become events.
const CALLS: u32 = 200_000;
const POSTED_CALLS: u32 = 2_000;
/// Runs, of which the fastest counts: others were disturbed.
const RUNS: u32 = 7;
/// Policies that are loaded, of which one is the caller's.
const LOADED: [u32; 4] = [1, 10, 100, 1_000];
/// And once as many.
const MANY: u32 = 10_000;

/// Kinds of hooks.
pub(super) const HOOKS: [&str; 4] = ["tracepoint", "kprobe", "fentry", "lsm"];

pub(super) fn measure(env: &Env) -> Result<()> {
    let native = env.place().is_native();
    // This machine's kernel has tracepoints only.
    let hooks = if native { &HOOKS[..1] } else { &HOOKS[..] };
    let calls = if native { CALLS } else { CALLS / 20 };
    for hook in hooks {
        env.record(format!("without/{hook}_call_ns"), fastest(env, None, calls)?);
        let agent = Launch::new(env)?.arg("--enable-policy-filter").start()?;
        for (name, value, action, calls) in [
            ("unmatched", OPTION + 1, "Post", calls),
            ("no_post", OPTION, "NoPost", calls),
            ("post", OPTION, "Post", POSTED_CALLS),
        ] {
            agent.add_policy(&text("TracingPolicy", "name: one", hook, value, action))?;
            env.record(format!("tetragon/{hook}_{name}_call_ns"), fastest(env, None, calls)?);
            agent.delete_policy("", "one")?;
        }
        let parent = format!("{}/kubepods", env.cgroup()?);
        rpc::block_on(async {
            let mut client = Client::new(rpc::connect(agent.socket()).await?);
            hooks::one(&mut client, &parent, 0).await.map(drop)
        })?;
        let cgroup = cgroups::directory(&hooks::path_of(&parent, 0)).to_string_lossy().into_owned();
        let mut loaded = 0;
        let mut load = |agent: &Agent, upto: u32| -> Result<f64> {
            let begun = Instant::now();
            agent.add_policies((loaded..upto).map(|team| {
                let metadata = format!("name: of-{team}, namespace: team-{team}");
                text("TracingPolicyNamespaced", &metadata, hook, OPTION, "NoPost")
            }))?;
            let each = begun.elapsed().as_secs_f64() * 1e3 / f64::from((upto - loaded).max(1));
            loaded = upto;
            Ok(each)
        };
        for count in LOADED {
            let each = load(&agent, count)?;
            env.record(format!("tetragon/{hook}_of_{count}_call_ns"), fastest(env, Some(&cgroup), calls)?);
            if count == 1_000 {
                env.record(format!("tetragon/{hook}_load_ms"), each);
            }
        }
        let policies = agent.policies()?;
        let memory = policies.iter().map(|policy| policy.kernel_memory_bytes).max().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "some kilobytes")]
        env.record(format!("tetragon/{hook}_memory_bytes"), memory as f64);
        if native {
            let each = load(&agent, MANY)?;
            env.record(format!("tetragon/{hook}_load_of_{MANY}_ms"), each);
            env.record(format!("tetragon/{hook}_of_{MANY}_call_ns"), fastest(env, Some(&cgroup), calls)?);
        }
        agent.stop()?;
    }
    Ok(())
}

/// A policy whose filter is on the number of the option.
fn text(kind: &str, metadata: &str, hook: &str, value: i64, action: &str) -> String {
    let (place, index) = match hook {
        "kprobe" => ("kprobes: [{call: sys_prctl, syscall: true, args: [{index: 0, type: int}]", 0),
        "fentry" => (
            "options: [{name: attach-method, value: fentry}], \
             kprobes: [{call: sys_prctl, syscall: true, args: [{index: 0, type: int}]",
            0,
        ),
        "lsm" => ("lsmhooks: [{hook: task_prctl, args: [{index: 0, type: int}]", 0),
        _ => ("tracepoints: [{subsystem: syscalls, event: sys_enter_prctl, args: [{index: 5, type: int}]", 5),
    };
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{{place}, selectors: \
         [{{matchArgs: [{{index: {index}, operator: Equal, values: ['{value}']}}], \
         matchActions: [{{action: {action}}}]}}]}}]}}\n"
    )
}

/// Nanoseconds a call, of the fastest run.
fn fastest(env: &Env, cgroup: Option<&str>, calls: u32) -> Result<f64> {
    let file = env.file("nanoseconds");
    let actor = env.binary("actor")?.to_string_lossy().into_owned();
    let (calls, option) = (calls.to_string(), OPTION.to_string());
    let file_name = file.to_string_lossy().into_owned();
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let timed = ["timed-prctls", &calls, &option, &file_name, "exit", "0"];
        let mut line = Vec::new();
        if let Some(cgroup) = cgroup {
            line.extend(["cgroup", cgroup, "exec", &actor, "actor"]);
        }
        line.extend(timed);
        run(&mut env.actor(line)?)?.expect_code(0)?;
        let each: f64 = fs::read_to_string(&file)?.trim().parse().context("a number of nanoseconds")?;
        best = best.min(each);
    }
    Ok(best)
}
