//! Whose a process is, with real runtimes: every process of every container told with its pod and container.

mod account;
mod cluster;
mod fleet;
mod restarts;
mod starts;
mod unhooked;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tetragon_e2e::host::daemons;
use tetragon_e2e::kit::containerd::{Containerd, Options, Version};
use tetragon_e2e::kit::{Agent, Env, Launch, NriHook, Truth, agent};
use tetragon_e2e::place::NATIVE;
use tetragon_e2e::{Suite, test};

use crate::runtimes::nothing_is_left;
use account::Account;
use cluster::workloads_of_a_cluster;
use fleet::Fleet;
use restarts::{an_agent_killed_in_the_middle, containerd_killed_in_the_middle};
use starts::a_container_starts_hardly_later_with_the_plugin;
use unhooked::without_hooks_the_runtime_is_asked;

/// Runs of a thousand containers take minutes on two processors.
const LONG: Duration = Duration::from_secs(600);
/// Kilobytes per processor for a trace of all that.
const TRACE: u32 = 32 * 1024;

pub(crate) fn suite() -> Suite {
    Suite::new(
        "identity",
        NATIVE,
        [
            test!(thousand_containers_of_containerd_2_4).within(LONG),
            test!(hundred_containers_of_containerd_1_7).within(LONG),
            test!(an_agent_killed_in_the_middle).within(LONG),
            test!(containerd_killed_in_the_middle).within(LONG),
            test!(a_container_starts_hardly_later_with_the_plugin).within(LONG),
            test!(without_hooks_the_runtime_is_asked).within(LONG),
            test!(workloads_of_a_cluster).within(LONG),
        ],
    )
    .after(daemons::prepare)
}

/// A containerd, an agent and the plugin between them.
struct Node<'env> {
    containerd: Containerd,
    launch: Launch<'env>,
    agent: Agent,
    hook: NriHook,
}

impl<'env> Node<'env> {
    fn start(env: &'env Env, version: Version) -> Result<Self> {
        let containerd = Containerd::start(env, "node", version, &Options::default())?;
        fleet::import(env, &containerd)?;
        let launch = Launch::new(env)?;
        let agent = launch.start()?;
        let hook = NriHook::start(env, &containerd, &agent.socket(), [] as [&str; 0])?;
        Ok(Self { containerd, launch, agent, hook })
    }

    /// Lets everything that happened be told, and ends all parts; returns what was told.
    fn finish(self, env: &Env) -> Result<Account> {
        self.agent.settled_ledger()?.check_lossless()?;
        self.hook.stop()?;
        self.containerd.stop()?;
        self.agent.stop()?;
        nothing_is_left(env)?;
        Ok(Account::of(agent::exported(&self.launch.path("events.json"))?))
    }
}

fn thousand_containers_of_containerd_2_4(env: &Env) -> Result<()> {
    short_containers(env, Version::V2_4, 8, 125)
}

fn hundred_containers_of_containerd_1_7(env: &Env) -> Result<()> {
    short_containers(env, Version::V1_7, 4, 25)
}

/// Containers whose program exits at once, in `pods` pods at a time.
fn short_containers(env: &Env, version: Version, pods: usize, containers: usize) -> Result<()> {
    let node = Node::start(env, version)?;
    let truth = Truth::record(TRACE)?;
    let begun = Instant::now();
    let fleet = Fleet::run(&node.containerd, "short", pods, containers)?;
    let seconds = begun.elapsed().as_secs_f64();
    let facts = truth.finish()?;
    let status = node.hook.status_where("the last start to be counted", |status| {
        status["verify_ok"].as_u64() >= Some((pods * containers) as u64)
    })?;
    let known = node.agent.ledger()?;
    let account = node.finish(env)?;

    ensure!(fleet.len() == pods * containers, "{} containers", fleet.len());
    account.check_against(&facts).context("against the kernel's own trace")?;
    let figures = account.check(&fleet)?;
    env.record("containers", fleet.len() as f64);
    env.record("containers a second", fleet.len() as f64 / seconds);
    env.record("own execs", figures.execs as f64);
    env.record("own execs known in the kernel", figures.in_kernel as f64);
    env.record("exits", figures.exits as f64);
    env.record("execs of the runtime's set-up", figures.setup as f64);
    env.record("other execs in containers", figures.strangers as f64);
    env.record("execs of pause", figures.pauses as f64);
    env.record("execs of pause told with their pod", figures.pauses_with_pod as f64);
    ensure!(figures.execs == fleet.len(), "{figures:?}");
    ensure!(figures.in_kernel == fleet.len(), "not known in the kernel: {figures:?}, plugin: {status}");
    ensure!(figures.exits == fleet.len(), "{figures:?}");
    ensure!(status["refused"] == 0 && status["allowed"] == 0, "{status}");
    println!("{:#?}", known.0.identity);
    Ok(())
}
