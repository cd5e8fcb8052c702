//! The container runtimes that other tests build on: containers run in them, and nothing of them is left.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tetragon_e2e::host::daemons;
use tetragon_e2e::kit::containerd::{ACTOR, Containerd, Network, Options, Version};
use tetragon_e2e::kit::cri::{ContainerSpec, PodSpec};
use tetragon_e2e::kit::{Cluster, Env, Truth, cgroups, mounts, truth};
use tetragon_e2e::place::NATIVE;
use tetragon_e2e::{Suite, test};

pub(crate) fn suite() -> Suite {
    Suite::new(
        "runtimes",
        NATIVE,
        [
            test!(containers_run_in_containerd_2_4),
            test!(containers_run_in_containerd_1_7),
            test!(a_restarted_containerd_knows_its_containers),
            test!(a_cluster_runs_deployments_and_daemon_sets).within(Duration::from_secs(180)),
        ],
    )
    .after(daemons::prepare)
}

fn containers_run_in_containerd_2_4(env: &Env) -> Result<()> {
    containers_run(env, Version::V2_4, "2.4.")
}

fn containers_run_in_containerd_1_7(env: &Env) -> Result<()> {
    containers_run(env, Version::V1_7, "1.7.")
}

/// Two containers that exit at once and one that stays, in a pod with a network of its own.
fn containers_run(env: &Env, version: Version, number: &str) -> Result<()> {
    let options = Options { network: Network::Bridge, ..Options::default() };
    let begun = std::time::Instant::now();
    let containerd = Containerd::start(env, "node", version, &options)?;
    env.record("seconds to start", begun.elapsed().as_secs_f64());
    let cri = containerd.cri()?;
    let (name, actual) = cri.version()?;
    ensure!(name == "containerd" && actual.trim_start_matches('v').starts_with(number), "{name} {actual}");

    let truth = Truth::record(1024)?;
    let pod = cri.run_pod(&PodSpec { own_network: true, ..PodSpec::new("default", "short") })?;
    for (name, code) in [("zero", "0"), ("seven", "7")] {
        let container = cri.run(&pod, &ContainerSpec::new(name, ACTOR, ["/actor", "exit", code]))?;
        ensure!(cri.wait(&container)? == code.parse::<i32>()?, "{name}: {:?}", cri.status(&container)?);
    }
    let stays =
        cri.run(&pod, &ContainerSpec::new("stays", ACTOR, ["/actor", "until-terminated", "exit", "3"]))?;
    let inside = cri.exec(&stays, ["/actor", "exit", "5"], Duration::from_secs(10))?;
    ensure!(inside.exit_code == 5, "{inside:?}");
    ensure!(!containerd.cgroup().processes()?.is_empty(), "no process is in the control group of the test");
    cri.stop(&stays, Duration::from_secs(10))?;
    ensure!(cri.wait(&stays)? == 3, "{:?}", cri.status(&stays)?);
    let facts = truth.finish()?;
    let programs = |path: &str| {
        facts
            .iter()
            .filter(|fact| matches!(fact, truth::Fact::Exec { filename, .. } if filename == path))
            .count()
    };
    ensure!(programs("/actor") == 4 && programs("/pause") == 1, "{facts:?}");

    containerd.stop()?;
    nothing_is_left(env)
}

fn a_restarted_containerd_knows_its_containers(env: &Env) -> Result<()> {
    let mut containerd = Containerd::start(env, "node", Version::V2_4, &Options::default())?;
    let cri = containerd.cri()?;
    let pod = cri.run_pod(&PodSpec::new("default", "long"))?;
    let container = cri.run(&pod, &ContainerSpec::new("stays", ACTOR, ["/actor", "until-terminated"]))?;
    for kill in [false, true] {
        if kill {
            containerd.kill()?;
        } else {
            containerd.halt()?;
        }
        containerd.resume()?;
        // A connection survives the other side, as long as nothing is sent meanwhile.
        let status = containerd.cri()?.status(&container)?;
        ensure!(status.finished_at == 0 && status.started_at != 0, "{status:?}");
    }
    containerd.stop()?;
    nothing_is_left(env)
}

fn a_cluster_runs_deployments_and_daemon_sets(env: &Env) -> Result<()> {
    let begun = std::time::Instant::now();
    let cluster = Cluster::start(env, "node", &Options::default())?;
    env.record("seconds to start", begun.elapsed().as_secs_f64());
    cluster.apply(&workload("Deployment", "three", 3))?;
    cluster.apply(&workload("DaemonSet", "everywhere", 0))?;
    cluster.rolled_out("deployment/three", "default")?;
    cluster.rolled_out("daemonset/everywhere", "default")?;
    env.record("seconds until pods were ready", begun.elapsed().as_secs_f64());
    let pods = cluster.get("pods", "default")?;
    ensure!(pods["items"].as_array().map(Vec::len) == Some(4), "{pods:#}");
    let said = cluster.kubectl(["exec", "daemonset/everywhere", "--", "/actor", "report", "/dev/stdout"])?;
    ensure!(said.split(' ').count() == 4, "{said:?}");
    cluster.stop()?;
    nothing_is_left(env)
}

/// A workload of pods that stay until they are ended.
pub(crate) fn workload(kind: &str, name: &str, replicas: u32) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "containers": [{
                        "name": "stays",
                        "image": ACTOR,
                        "imagePullPolicy": "Never",
                        "command": ["/actor", "until-terminated"],
                    }],
                },
            },
        },
    });
    if replicas > 0 {
        object["spec"]["replicas"] = replicas.into();
    }
    object
}

/// Fails if a control group, a mount or a network of this test is still there.
pub(crate) fn nothing_is_left(env: &Env) -> Result<()> {
    let groups = cgroups::existing(&env.cgroup()?)?;
    ensure!(groups.is_empty(), "left: {groups:?}");
    let mounts = mounts::below(env.dir())?;
    ensure!(mounts.is_empty(), "left: {mounts:?}");
    let networks: Vec<_> = std::fs::read_dir("/run/netns")?.collect();
    ensure!(networks.is_empty(), "left: {networks:?}");
    Ok(())
}
