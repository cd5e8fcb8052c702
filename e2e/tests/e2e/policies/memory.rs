//! A kernel without memory for another policy.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tetragon_api::tetragon::TracingPolicyState;
use tetragon_e2e::kit::cgroup::Cgroup;
use tetragon_e2e::kit::{Env, Launch, Watch, cgroups};
use tetragon_e2e::place::VMS;
use tetragon_e2e::{Suite, test};

use super::{MARK, PRCTL, policy, told};

/// Their agents are given little, and may die of it.
pub(crate) fn suite() -> Suite {
    Suite::new("memory", VMS, [test!(no_memory_for_another_policy)])
}

/// What an agent may take of the kernel's memory.
enum Limit {
    /// Before 5.11: locked memory.
    Locked(Pid),
    /// Later: that of its cgroup, with the file that says so.
    Cgroup { limit: PathBuf, _group: Cgroup },
}

/// Bytes that are left to the agent.
const LEFT: u64 = 48 << 20;

impl Limit {
    fn set(env: &Env, watch: &Watch<'_>) -> Result<Self> {
        let pid = watch.agent.pid();
        if env.place().to_string().starts_with("vm-5.10") {
            let pid = Pid::from_raw(pid.cast_signed()).context("no process")?;
            prlimit(Some(pid), Resource::Memlock, Rlimit { current: Some(0), maximum: None })?;
            return Ok(Self::Locked(pid));
        }
        let group = Cgroup::create(env, "memory")?;
        let directory = cgroups::directory(group.path());
        // From the root down, what is enabled above can be enabled below.
        let above = directory.ancestors().skip(1).take_while(|it| it.starts_with(cgroups::unified()));
        for above in above.collect::<Vec<_>>().into_iter().rev() {
            fs::write(above.join("cgroup.subtree_control"), "+memory")?;
        }
        // The kernel refuses memory for maps; for what the agent touches meanwhile it would kill, and is to wait instead.
        fs::write(format!("/proc/{pid}/oom_score_adj"), "-1000")?;
        fs::write(directory.join("cgroup.procs"), pid.to_string())?;
        let limit = directory.join("memory.max");
        fs::write(&limit, LEFT.to_string()).with_context(|| format!("write {}", limit.display()))?;
        Ok(Self::Cgroup { limit, _group: group })
    }

    fn lift(&self) -> Result<()> {
        match self {
            Self::Locked(pid) => {
                prlimit(Some(*pid), Resource::Memlock, Rlimit { current: None, maximum: None })?;
                Ok(())
            }
            Self::Cgroup { limit, .. } => Ok(fs::write(limit, (8 * LEFT).to_string())?),
        }
    }
}

/// Policies with many values each, until one finds no memory: it is listed with the error, and nothing else changes.
fn no_memory_for_another_policy(env: &Env) -> Result<()> {
    let watch = Watch::launch(env, &Launch::new(env)?)?;
    let filter = |more: &str| {
        policy(
            if more.is_empty() { "good" } else { "NAME" },
            &format!(
                "tracepoints: [{{subsystem: syscalls, event: sys_enter_prctl, args: [{{index: 5, type: int}}, \
                 {{index: 6, type: string}}], selectors: [{{matchArgs: [{{index: 5, operator: Equal, values: ['{MARK}']}}\
                 {more}]}}]}}]"
            ),
        )
    };
    watch.agent.add_policy(&filter(""))?;
    let values: Vec<String> = (0..4000).map(|n| format!("/some/where/{n}/")).collect();
    let large = filter(&format!(", {{index: 6, operator: Prefix, values: [{}]}}", values.join(", ")));
    let limit = Limit::set(env, &watch)?;
    let refused = (0..100).find_map(|number| {
        let name = format!("large-{number}");
        watch.agent.add_policy(&large.replace("NAME", &name)).err().map(|_| (number, name))
    });
    let (number, name) = refused.context("there was memory for all")?;
    env.record("large policies until there was no memory", number.into());
    ensure!(watch.agent.is_running()?, "the agent has ended:\n{}", watch.agent.log());
    let call = ["syscall", PRCTL, MARK, "s:/some/where/7/", ".", "exit", "0"];
    let check = |failed: usize| -> Result<()> {
        let policies = watch.agent.policies()?;
        let of = |state: TracingPolicyState| policies.iter().filter(move |it| it.state() == state);
        ensure!(of(TracingPolicyState::TpStateLoadError).count() == failed, "{policies:?}");
        let loaded: BTreeSet<String> =
            of(TracingPolicyState::TpStateEnabled).map(|it| it.name.clone()).collect();
        ensure!(loaded.len() + failed == policies.len(), "{policies:?}");
        let (ended, _) = watch.act(call)?;
        let told = told(&watch.events.all(), ended.pid);
        ensure!(told == loaded, "told by {told:?}, loaded are {loaded:?}");
        Ok(())
    };
    check(1)?;
    let failed = watch.agent.policies()?.into_iter().find(|it| it.name == name).context("not listed")?;
    ensure!(
        failed.state() == TracingPolicyState::TpStateLoadError && failed.error.contains("memory"),
        "{failed:?}"
    );
    // With memory, it can be loaded.
    limit.lift()?;
    watch.agent.add_policy(&large.replace("NAME", &name))?;
    check(0)?;
    watch.finish()
}
