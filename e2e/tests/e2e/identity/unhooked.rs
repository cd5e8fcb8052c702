//! A node without any hook: the container runtime is asked.

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::containerd::{self, Containerd, Options, Version};
use tetragon_e2e::kit::{Env, Launch, agent};

use super::account::{Account, belongs};
use super::fleet::{self, Fleet};
use super::nothing_is_left;
use super::restarts::{check_visits, stay, visit};

const LANES: usize = 4;
const EACH: usize = 10;

pub(super) fn without_hooks_the_runtime_is_asked(env: &Env) -> Result<()> {
    let containerd = Containerd::start(env, "node", Version::V2_4, &Options::default())?;
    fleet::import(env, &containerd)?;
    let cri = containerd.cri()?;
    let before = stay(&cri, "before")?;
    let endpoint = format!("--cri-endpoint={}", containerd::endpoint(&containerd.socket()));
    let launch = Launch::new(env)?.arg("--enable-cri").arg(endpoint);
    let agent = launch.start()?;
    let after = stay(&cri, "after")?;
    let mut visits = Vec::new();
    for member in [before, after] {
        visits.push((visit(&cri, &member)?, member));
    }
    let fleet = Fleet::run(&containerd, "unhooked", LANES, EACH)?;
    let ledger = agent.settled_ledger()?;
    ledger.check_lossless()?;
    let identity = ledger.0.identity.context("no figures about containers")?;
    containerd.stop()?;
    agent.stop()?;
    nothing_is_left(env)?;
    let account = Account::of(agent::exported(&launch.path("events.json"))?);

    // What stays is known, whether it ran before the agent or not; what was gone before the runtime could be asked, not.
    check_visits(&account, &visits)?;
    let (told, known) = account.known(&fleet);
    ensure!(told == 2 * fleet.len(), "{told} events of {} containers", fleet.len());
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let record = |name: &str, count: u64| env.record(name, count as f64);
    record("events of containers", identity.events);
    record("known when the record came", identity.events_early);
    record("known late, by asking", identity.events_late);
    record("never known", identity.events_unknown);
    record("events of programs that ended at once", told as u64);
    record("of these known", known as u64);
    ensure!(identity.events_in_kernel == 0 || identity.events_late > 0, "{identity:?}");
    ensure!(known > 0, "not one short container was known");
    let cri = identity.cri.as_ref().context("no figures about the runtime")?;
    ensure!(cri.resolved > 0 && cri.dropped == 0, "{cri:?}");
    let balance =
        identity.events_in_kernel + identity.events_early + identity.events_late + identity.events_unknown;
    ensure!(identity.events == balance, "{identity:?}");
    Ok(())
}

impl Account {
    /// Events of the fleet's programs, and how many of them are told as the member's that they are.
    fn known(&self, fleet: &Fleet) -> (usize, usize) {
        let of_members = self.own().filter_map(|(_, process)| {
            Some((process, fleet.member(process.arguments.trim_start_matches("exit 0 "))?))
        });
        of_members.fold((0, 0), |(told, known), (process, member)| {
            (told + 1, known + usize::from(belongs(process, member).is_ok()))
        })
    }
}
