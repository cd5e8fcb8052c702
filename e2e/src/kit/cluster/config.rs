//! Credentials, configuration files and command lines of the parts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::super::containerd::{Containerd, endpoint};
use super::super::daemon::text;
use super::super::netns::NODE_ADDRESS;
use super::super::process::checked;
use super::NODE;

pub(super) const KUBECONFIG: &str = "kubeconfig";
const TOKEN: &str = "the-administrator-of-a-test";
const TOKENS: &str = "tokens.csv";
/// Signs the tokens of service accounts.
const ACCOUNT_KEY: &str = "accounts.key";
/// The API server makes this certificate and its key itself.
const CERTIFICATES: &str = "certificates";
const KUBELET: &str = "kubelet.json";
/// Manifests of pods that the kubelet runs by itself.
pub(super) const STATIC_PODS: &str = "static-pods";
const API_PORT: u16 = 6443;
const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";
/// Addresses of services; from a range that documents use.
const SERVICES: &str = "203.0.113.0/24";

/// Writes what the parts read.
pub(super) fn write(dir: &Path, containerd: &Containerd) -> Result<()> {
    fs::create_dir(dir.join(CERTIFICATES))?;
    fs::create_dir(dir.join(STATIC_PODS))?;
    fs::write(dir.join(TOKENS), format!("{TOKEN},admin,admin,system:masters\n"))?;
    checked(Command::new("openssl").args(["genrsa", "-out"]).arg(dir.join(ACCOUNT_KEY)).arg("2048"))
        .context("make a key")?;
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "e2e", "cluster": {
            "server": format!("https://{NODE_ADDRESS}:{API_PORT}"),
            "certificate-authority": text(&dir.join(CERTIFICATES).join("apiserver.crt"))?,
        } }],
        "users": [{ "name": "admin", "user": { "token": TOKEN } }],
        "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": "admin" } }],
        "current-context": "e2e",
    });
    fs::write(dir.join(KUBECONFIG), serde_json::to_vec_pretty(&kubeconfig)?)?;
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // The network is the test's own.
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "containerRuntimeEndpoint": endpoint(&containerd.socket()),
        "staticPodPath": text(&dir.join(STATIC_PODS))?,
        "podLogsDir": text(&dir.join("pod-logs"))?,
        "volumePluginDir": text(&dir.join("volume-plugins"))?,
        // Hybrid cgroups, and a root that shares the machine with others.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": containerd.cgroup().path(),
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        "resolvConf": "",
        "nodeStatusUpdateFrequency": "1s",
        "syncFrequency": "1s",
    });
    fs::write(dir.join(KUBELET), serde_json::to_vec_pretty(&kubelet)?)?;
    Ok(())
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn file_flag(name: &str, dir: &Path, file: &str) -> String {
    flag(name, dir.join(file).display())
}

pub(super) fn etcd(dir: &Path) -> Vec<String> {
    vec![
        file_flag("data-dir", dir, "etcd"),
        "--unsafe-no-fsync".into(),
        flag("listen-client-urls", ETCD),
        flag("advertise-client-urls", ETCD),
        flag("listen-peer-urls", ETCD_PEERS),
        flag("initial-advertise-peer-urls", ETCD_PEERS),
        flag("initial-cluster", format!("default={ETCD_PEERS}")),
    ]
}

pub(super) fn api_server(dir: &Path) -> Vec<String> {
    vec![
        flag("etcd-servers", ETCD),
        file_flag("cert-dir", dir, CERTIFICATES),
        file_flag("token-auth-file", dir, TOKENS),
        flag("authorization-mode", "Node,RBAC"),
        flag("kubelet-preferred-address-types", "InternalIP"),
        flag("advertise-address", NODE_ADDRESS),
        flag("secure-port", API_PORT),
        flag("service-account-issuer", "https://kubernetes.default.svc"),
        file_flag("service-account-key-file", dir, ACCOUNT_KEY),
        file_flag("service-account-signing-key-file", dir, ACCOUNT_KEY),
        flag("service-cluster-ip-range", SERVICES),
        // DaemonSets like the agent's.
        "--allow-privileged=true".into(),
    ]
}

/// The controller manager or the scheduler.
pub(super) fn controller(name: &str, dir: &Path) -> Vec<String> {
    let mut arguments = vec![
        file_flag("kubeconfig", dir, KUBECONFIG),
        "--leader-elect=false".into(),
        file_flag("cert-dir", dir, CERTIFICATES),
    ];
    if name == "kube-controller-manager" {
        arguments.push(file_flag("service-account-private-key-file", dir, ACCOUNT_KEY));
        arguments.push(file_flag("flex-volume-plugin-dir", dir, "volume-plugins"));
        arguments.push(flag("root-ca-file", dir.join(CERTIFICATES).join("apiserver.crt").display()));
    }
    arguments
}

pub(super) fn kubelet(dir: &Path) -> Vec<String> {
    vec![
        file_flag("config", dir, KUBELET),
        file_flag("kubeconfig", dir, KUBECONFIG),
        file_flag("root-dir", dir, "kubelet"),
        file_flag("cert-dir", dir, "kubelet-certificates"),
        flag("hostname-override", NODE),
        flag("node-ip", NODE_ADDRESS),
    ]
}
