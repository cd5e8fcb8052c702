//! What a cluster's administrator sees of a node that cannot tell its agent.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tetragon_e2e::kit::containerd::{ACTOR, Options};
use tetragon_e2e::kit::{Cluster, Env, Launch, NriHook};

use crate::runtimes::{nothing_is_left, workload};

/// How long a kubelet takes to look after its pods, on a busy machine.
const CAP: Duration = Duration::from_secs(90);

/// Fail-closed everywhere, and nothing runs yet: static pods and the agent's own pods start. Others wait, say why, and
/// start by themselves once the agent is there.
pub(super) fn a_bare_node_of_a_cluster_boots(env: &Env) -> Result<()> {
    let cluster = Cluster::start(env, "node", &Options::default())?;
    let socket = env.file("agent.sock");
    let flags = ["--fail-allow-namespaces=", "--fail-cel-expr=true", "--own-namespace=default"];
    let hook = NriHook::start_before_agent(env, cluster.containerd(), &socket, flags)?;

    cluster.apply_static("boots", &static_pod("boots"))?;
    let mut own = workload("DaemonSet", "agent", 0);
    own["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] = "tetragon".into();
    cluster.apply(&own)?;
    cluster.apply(&workload("Deployment", "waits", 1))?;
    cluster.rolled_out("daemonset/agent", "default")?;
    env.eventually("the static pod to run", CAP, || {
        let pods = pods_named(&cluster, "boots-")?;
        Ok(pods.iter().any(|pod| pod["status"]["phase"] == "Running").then_some(()))
    })?;
    let waiting = env.eventually("the other pod to say why it does not start", CAP, || {
        let pods = pods_named(&cluster, "waits-")?;
        let state = pods.first().map(|pod| &pod["status"]["containerStatuses"][0]["state"]["waiting"]);
        Ok(state.filter(|state| state["reason"] == "CreateContainerError").cloned())
    })?;
    let message = waiting["message"].as_str().context("no message")?;
    for word in ["tetragon refuses container stays", "default/waits-", "nothing answers at", "tetragon pod"] {
        ensure!(message.contains(word), "it does not say {word:?}: {message}");
    }

    let agent = Launch::new(env)?.serving(&socket).start()?;
    cluster.rolled_out("deployment/waits", "default").context("with the agent there")?;
    hook.status_where("everything to be told", |status| status["untold"] == 0)?;
    hook.stop()?;
    cluster.stop()?;
    agent.stop()?;
    nothing_is_left(env)
}

fn pods_named(cluster: &Cluster, prefix: &str) -> Result<Vec<Value>> {
    let mut list = cluster.get("pods", "default")?;
    let pods = list["items"].as_array_mut().context("no list of pods")?;
    let named = |pod: &Value| pod["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(prefix));
    Ok(pods.drain(..).filter(named).collect())
}

fn static_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "hostNetwork": true, "containers": [{
            "name": "stays",
            "image": ACTOR,
            "imagePullPolicy": "Never",
            "command": ["/actor", "until-terminated"],
        }] },
    })
}
