//! Pods that a real kubelet makes for a real control plane.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tetragon_e2e::kit::containerd::Options;
use tetragon_e2e::kit::{Cluster, Env, Launch, NriHook, agent};

use super::account::{Account, belongs};
use super::fleet::Member;
use crate::runtimes::{nothing_is_left, workload};

/// Deployments and DaemonSets, each pod visited once: told with the names that the API server gave.
pub(super) fn workloads_of_a_cluster(env: &Env) -> Result<()> {
    let cluster = Cluster::start(env, "node", &Options::default())?;
    let launch = Launch::new(env)?;
    let agent = launch.start()?;
    let hook = NriHook::start(env, cluster.containerd(), &agent.socket(), [] as [&str; 0])?;
    cluster.apply(&workload("Deployment", "three", 3))?;
    cluster.apply(&workload("DaemonSet", "everywhere", 0))?;
    cluster.rolled_out("deployment/three", "default")?;
    cluster.rolled_out("daemonset/everywhere", "default")?;
    let pods = cluster.get("pods", "default")?;
    let pods = pods["items"].as_array().context("no pods")?;
    ensure!(pods.len() == 4, "{} pods", pods.len());
    let cri = cluster.containerd().cri()?;
    let mut members = Vec::new();
    for pod in pods {
        let member = member(pod)?;
        let id = member.id.clone().unwrap_or_default();
        let answer = cri.exec(&id, ["/actor", "exit", "0", &member.pod], Duration::from_secs(20))?;
        ensure!(answer.exit_code == 0, "{answer:?}");
        members.push(member);
    }
    agent.settled_ledger()?.check_lossless()?;
    let status = hook.status()?;
    hook.stop()?;
    cluster.stop()?;
    agent.stop()?;
    nothing_is_left(env)?;

    let account = Account::of(agent::exported(&launch.path("events.json"))?);
    let starts = account.execs_with("until-terminated");
    let own: Vec<_> = starts.iter().filter(|process| process.binary == "/actor").collect();
    ensure!(own.len() == members.len(), "{} starts of the pods' programs", own.len());
    let in_kernel = own.iter().filter(|process| process.identity.is_some_and(|it| it.in_kernel && !it.setup));
    let in_kernel = in_kernel.count();
    env.record("pods", members.len() as f64);
    env.record("own first execs known in the kernel", in_kernel as f64);
    ensure!(in_kernel == members.len(), "{in_kernel} of {}; plugin: {status}", members.len());
    for member in &members {
        let first = own.iter().find(|process| process.pod.as_ref().is_some_and(|pod| pod.name == member.pod));
        belongs(first.with_context(|| format!("no start of {member:?}"))?, member)?;
        let visits = account.execs_with(&format!("exit 0 {}", member.pod));
        ensure!(visits.len() == 1, "{member:?}: {} visits", visits.len());
        belongs(visits[0], member)?;
    }
    Ok(())
}

/// The only container of a pod, as the API server has it.
fn member(pod: &Value) -> Result<Member> {
    let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("{pod:#}"));
    let status = &pod["status"]["containerStatuses"][0];
    Ok(Member {
        namespace: text(&pod["metadata"]["namespace"])?,
        pod: text(&pod["metadata"]["name"])?,
        uid: text(&pod["metadata"]["uid"])?,
        name: text(&status["name"])?,
        id: Some(text(&status["containerID"])?.trim_start_matches("containerd://").to_owned()),
    })
}
