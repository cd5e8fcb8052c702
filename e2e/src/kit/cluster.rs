//! A Kubernetes cluster of one node: its control plane and kubelet from source, in a test's own network.

mod config;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::containerd::{Containerd, Network, Options, Version};
use super::daemon::{Daemon, path_with};
use super::process::{checked, eventually_every};
use super::{Env, agent, mounts};
use crate::host::daemons;

/// On two processors that others use too.
const START_CAP: Duration = Duration::from_secs(90);
const STOP_CAP: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// The grace of a deleted pod is at most this.
const DELETE_CAP: Duration = Duration::from_secs(60);
/// Name of the node: the one that the harness tells the agent.
pub const NODE: &str = agent::NODE;

/// A running cluster; dropped, it goes with all its pods.
pub struct Cluster {
    dir: PathBuf,
    bin: PathBuf,
    // In the order in which they have to go.
    kubelet: Option<Daemon>,
    controllers: Vec<Daemon>,
    api_server: Option<Daemon>,
    etcd: Option<Daemon>,
    containerd: Containerd,
}

impl Cluster {
    /// Starts one, with containerd 2.4 and a network for pods, and waits until it takes pods.
    pub fn start(env: &Env, name: &str, options: &Options) -> Result<Self> {
        mounts::empty("/var/log")?;
        mounts::empty("/var/lib/kubelet")?;
        let bin = daemons::kubernetes()?;
        let options = Options { network: Network::Bridge, ..options.clone() };
        let containerd = Containerd::start(env, name, Version::V2_4, &options)?;
        let dir = env.file(name).join("cluster");
        fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        config::write(&dir, &containerd)?;
        let mut cluster = Self {
            dir,
            bin,
            kubelet: None,
            controllers: Vec::new(),
            api_server: None,
            etcd: None,
            containerd,
        };
        cluster.launch()?;
        Ok(cluster)
    }

    fn launch(&mut self) -> Result<()> {
        self.etcd = Some(self.daemon("etcd", &config::etcd(&self.dir))?);
        let mut api_server = self.daemon("kube-apiserver", &config::api_server(&self.dir))?;
        // It starts anew until etcd is there, and ends if that takes long.
        api_server.wait_ready(START_CAP, || self.kubectl(["get", "--raw=/readyz"]).map(drop))?;
        self.api_server = Some(api_server);
        for controller in ["kube-controller-manager", "kube-scheduler"] {
            let daemon = self.daemon(controller, &config::controller(controller, &self.dir))?;
            self.controllers.push(daemon);
        }
        let mut kubelet = self.daemon("kubelet", &config::kubelet(&self.dir))?;
        kubelet.wait_ready(START_CAP, || self.takes_pods())?;
        self.kubelet = Some(kubelet);
        Ok(())
    }

    fn daemon(&self, name: &str, arguments: &[String]) -> Result<Daemon> {
        let mut command = self.containerd.netns().command(self.bin.join(name));
        command.args(arguments).env("PATH", path_with(Path::new("/usr/sbin"))?);
        let cgroup = self.containerd.cgroup().unified_child("daemons")?;
        Daemon::start(name, &command, &cgroup, &self.dir)
    }

    /// The node is ready, and the account of pods that name none is there.
    fn takes_pods(&self) -> Result<()> {
        let node = self.get(&format!("node/{NODE}"), "default")?;
        let conditions = node["status"]["conditions"].as_array().context("no conditions")?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").context("not ready")?;
        ensure!(ready["status"] == "True", "{ready}");
        self.get("serviceaccount/default", "default").map(drop)
    }

    /// The node's runtime.
    pub fn containerd(&self) -> &Containerd {
        &self.containerd
    }

    /// The node's runtime, to be killed and started again.
    pub fn containerd_mut(&mut self) -> &mut Containerd {
        &mut self.containerd
    }

    /// Access to the API server with all rights, for programs in the cluster's network.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join(config::KUBECONFIG)
    }

    /// The client, to be given its arguments.
    pub fn kubectl_command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.containerd.netns().command(self.bin.join("kubectl"));
        // It keeps what it has discovered in the home directory otherwise.
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--cache-dir")
            .arg(self.dir.join("discovered"));
        command.args(arguments);
        command
    }

    /// Runs the client, and returns what it printed; an error if it complained.
    pub fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        checked(&mut self.kubectl_command(arguments))
    }

    /// An object, or a list of them, by what the client calls it: `pods`, `node/x`.
    pub fn get(&self, what: &str, namespace: &str) -> Result<Value> {
        let text = self.kubectl(["get", what, "--namespace", namespace, "--output=json"])?;
        serde_json::from_str(&text).with_context(|| format!("{what} as JSON"))
    }

    /// Creates or changes an object.
    pub fn apply(&self, object: &Value) -> Result<()> {
        let file = self.dir.join("object.json");
        fs::write(&file, serde_json::to_vec(object)?)?;
        self.kubectl([OsStr::new("apply"), OsStr::new("--filename"), file.as_os_str()]).map(drop)
    }

    /// Gives the kubelet a pod to run by itself. The API server shows it with the node's name at the end of its own.
    pub fn apply_static(&self, name: &str, pod: &Value) -> Result<()> {
        // The kubelet reads what it finds, at once.
        let (written, path) = (self.dir.join("static-pod.json"), self.dir.join(config::STATIC_PODS));
        fs::write(&written, serde_json::to_vec(pod)?)?;
        fs::rename(written, path.join(format!("{name}.json"))).context("hand over a static pod")
    }

    /// Waits until a Deployment or DaemonSet (`deployment/x`) has all its pods ready.
    pub fn rolled_out(&self, what: &str, namespace: &str) -> Result<()> {
        let patience = format!("--timeout={}s", START_CAP.as_secs());
        let outcome = self.kubectl(["rollout", "status", what, "--namespace", namespace, &patience]);
        outcome.map(drop).with_context(|| {
            let pods = self.kubectl(["describe", "pods", "--namespace", namespace]);
            format!("{what}; pods:\n{}", pods.unwrap_or_default())
        })
    }

    /// Removes all pods, and what would make them anew, from every namespace.
    pub fn delete_workloads(&self) -> Result<()> {
        for manifest in fs::read_dir(self.dir.join(config::STATIC_PODS))? {
            fs::remove_file(manifest?.path()).context("remove a static pod")?;
        }
        let kinds = "deployments,daemonsets,statefulsets,replicasets,jobs,cronjobs,pods";
        self.kubectl(["delete", kinds, "--all", "--all-namespaces", "--wait=false"])?;
        let mut left = String::new();
        eventually_every(POLL, "the end of all pods", DELETE_CAP, || {
            // A kubelet leaves ended sandboxes to a collector that comes by once a minute.
            left = self.kubectl(["get", "pods", "--all-namespaces", "--no-headers"])?;
            Ok(left.is_empty().then_some(()))
        })
        .with_context(|| format!("left:\n{left}"))
    }

    /// Kills the kubelet; pods live on.
    pub fn kill_kubelet(&mut self) -> Result<()> {
        self.kubelet.take().context("the kubelet does not run")?.kill()
    }

    /// Starts the kubelet again.
    pub fn resume_kubelet(&mut self) -> Result<()> {
        ensure!(self.kubelet.is_none(), "the kubelet runs already");
        let mut kubelet = self.daemon("kubelet", &config::kubelet(&self.dir))?;
        kubelet.wait_ready(START_CAP, || self.takes_pods())?;
        self.kubelet = Some(kubelet);
        Ok(())
    }

    /// Removes all pods and ends all parts in an orderly way. Fails if that leaves a process.
    pub fn stop(mut self) -> Result<()> {
        self.delete_workloads()?;
        self.kubelet.take().context("the kubelet does not run")?.stop(STOP_CAP)?;
        for mut controller in self.controllers.drain(..) {
            controller.stop(STOP_CAP)?;
        }
        // It would wait for its clients' watches, which are gone.
        self.api_server.take().context("the API server does not run")?.kill()?;
        self.etcd.take().context("etcd does not run")?.stop(STOP_CAP)?;
        self.containerd.stop()
    }
}
