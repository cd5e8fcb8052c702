//! Parts that end in the middle of their work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tetragon_e2e::kit::containerd::{ACTOR, Containerd, Version};
use tetragon_e2e::kit::cri::{ContainerSpec, Cri, PodSpec};
use tetragon_e2e::kit::{Env, agent};

use super::account::{Account, belongs};
use super::fleet::{Fleet, Member};
use super::{Node, nothing_is_left};

const LANES: usize = 4;
const EACH: usize = 25;
/// How often containerd is killed.
const KILLS: usize = 5;
/// How long a part is away.
const AWAY: Duration = Duration::from_secs(2);

/// A connection for lanes that outlive the containerd that they began with.
fn connector(containerd: &Containerd) -> impl Fn() -> Result<Cri> + Sync + use<> {
    let (socket, cgroup) = (containerd.socket(), containerd.cgroup().path().to_owned());
    move || Cri::connect(&socket, cgroup.clone())
}

/// A container that stays.
pub(super) fn stay(cri: &Cri, pod: &str) -> Result<Member> {
    let namespace = format!("ns-{pod}");
    let pod = cri.run_pod(&PodSpec::new(&namespace, pod))?;
    let name = "stays".to_owned();
    let id = cri.run(&pod, &ContainerSpec::new(&name, ACTOR, ["/actor", "until-terminated"]))?;
    Ok(Member { namespace, pod: pod.name().to_owned(), uid: pod.uid, name, id: Some(id) })
}

/// Runs a program in a container that stays; its arguments are the answer.
pub(super) fn visit(cri: &Cri, member: &Member) -> Result<String> {
    let id = member.id.as_ref().context("no id")?;
    let tag = format!("visit-{}", member.pod);
    let answer = cri.exec(id, ["/actor", "exit", "0", &tag], Duration::from_secs(20))?;
    ensure!(answer.exit_code == 0, "{answer:?}");
    Ok(format!("exit 0 {tag}"))
}

/// Fails unless the visit to each container was told as that container's.
pub(super) fn check_visits(account: &Account, visits: &[(String, Member)]) -> Result<()> {
    for (arguments, member) in visits {
        let execs = account.execs_with(arguments);
        ensure!(execs.len() == 1, "{arguments}: {} execs", execs.len());
        belongs(execs[0], member).with_context(|| format!("{arguments}: {:?}", execs[0]))?;
    }
    Ok(())
}

fn wait_for(done: &AtomicUsize, count: usize) {
    while done.load(Ordering::Relaxed) < count {
        thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn an_agent_killed_in_the_middle(env: &Env) -> Result<()> {
    let mut node = Node::start(env, Version::V2_4)?;
    let cri = node.containerd.cri()?;
    let before = stay(&cri, "before")?;
    let (connect, done) = (connector(&node.containerd), AtomicUsize::new(0));
    let (fleet, during, refused, dead_events) = thread::scope(|scope| -> Result<_> {
        let (connect, done) = (&connect, &done);
        let fleet = scope.spawn(move || Fleet::run_with(connect, "middle", LANES, EACH, done));
        wait_for(done, LANES * EACH / 3);
        node.agent.kill()?;
        // Let through by the failure policy, as it would be by namespace.
        let during = stay_in(&cri, "kube-system", "during")?;
        let refused = stay(&cri, "refused");
        thread::sleep(AWAY);
        let dead_events = agent::exported(&node.launch.path("events.json"))?.len();
        node.agent = node.launch.start()?;
        let fleet = fleet.join().map_err(|_| anyhow!("the fleet panicked"))??;
        Ok((fleet, during, refused, dead_events))
    })?;
    let refusal = refused.err().context("a container was created while no agent was there to be told")?;
    ensure!(
        format!("{refusal:#}").contains("tetragon"),
        "a refusal that does not say who refuses: {refusal:#}"
    );
    let status = node.hook.status_where("everything to be told to the new agent", |status| {
        status["untold"] == 0 && status["agent"] == "here"
    })?;
    let after = stay(&cri, "after")?;
    let mut visits = Vec::new();
    for member in [before, during, after] {
        visits.push((visit(&cri, &member)?, member));
    }
    let account = node.finish(env)?;
    check_visits(&account, &visits)?;
    let figures = account.check(&fleet)?;
    ensure!(fleet.len() == LANES * EACH, "{} containers", fleet.len());
    env.record("containers", fleet.len() as f64);
    env.record("own execs told", figures.execs as f64);
    env.record("own execs known in the kernel", figures.in_kernel as f64);
    env.record("events before the kill", dead_events as f64);
    // Refused while the agent is away, so that all that ran ran under its eyes, but for those already let go.
    ensure!(figures.execs + LANES >= fleet.len(), "{figures:?} of {}", fleet.len());
    ensure!(status["refused"].as_u64() > Some(0), "{status}");
    Ok(())
}

/// The same in a namespace that is told.
fn stay_in(cri: &Cri, namespace: &str, pod: &str) -> Result<Member> {
    let pod = cri.run_pod(&PodSpec::new(namespace, pod))?;
    let name = "stays".to_owned();
    let id = cri.run(&pod, &ContainerSpec::new(&name, ACTOR, ["/actor", "until-terminated"]))?;
    Ok(Member { namespace: namespace.into(), pod: pod.name().to_owned(), uid: pod.uid, name, id: Some(id) })
}

pub(super) fn containerd_killed_in_the_middle(env: &Env) -> Result<()> {
    let mut node = Node::start(env, Version::V2_4)?;
    let before = stay(&node.containerd.cri()?, "before")?;
    let (connect, done) = (connector(&node.containerd), AtomicUsize::new(0));
    let fleet = thread::scope(|scope| -> Result<_> {
        let (connect, done) = (&connect, &done);
        let fleet = scope.spawn(move || Fleet::run_with(connect, "middle", LANES, EACH, done));
        for kill in 1..=KILLS {
            wait_for(done, LANES * EACH * kill / (KILLS + 1));
            node.containerd.kill()?;
            thread::sleep(AWAY / 4);
            node.containerd.resume()?;
        }
        fleet.join().map_err(|_| anyhow!("the fleet panicked"))?
    })?;
    let status = node.hook.status_where("the plugin to be registered again", |status| {
        status["runtime_connected"] == true
            && status["nri_registrations"].as_u64() > Some(KILLS as u64)
            && status["untold"] == 0
    })?;
    let cri = node.containerd.cri()?;
    let after = stay(&cri, "after")?;
    let mut visits = Vec::new();
    for member in [before, after] {
        visits.push((visit(&cri, &member)?, member));
    }
    let known = node.agent.ledger()?.0.identity;
    let account = node.finish(env)?;
    check_visits(&account, &visits)?;
    let figures = account.check(&fleet)?;
    ensure!(fleet.len() == LANES * EACH, "{} containers", fleet.len());
    for tag in fleet.tags() {
        ensure!(account.execs_with(&format!("exit 0 {tag}")).len() == 1, "{tag} was not told once");
    }
    env.record("containers", fleet.len() as f64);
    env.record("own execs told", figures.execs as f64);
    env.record("own execs known in the kernel", figures.in_kernel as f64);
    env.record("found by the synchronization", status["recovered"].as_f64().unwrap_or(0.0));
    println!("{known:#?}");
    nothing_is_left(env)
}
