//! Who passes while no agent is there: by namespace, by expression, and what a node needs to boot.

use anyhow::{Context, Result};
use tetragon_e2e::kit::Env;
use tetragon_e2e::kit::containerd::{Options, Version};
use tetragon_e2e::kit::cri::PodSpec;

use super::node::{BY_NAMESPACE, Node, OPEN, SHOP, refused};

/// Flags of the plugin, and what its refusal says of them; namespace `open` passes with each, `shop` does not.
const POLICIES: [(&str, &str); 3] = [
    (BY_NAMESPACE, "neither in --fail-allow-namespaces"),
    ("--fail-allow-namespaces-regex=^op", "nor matched by --fail-allow-namespaces-regex"),
    (r#"--fail-cel-expr=pod_namespace != "open""#, "--fail-cel-expr is true for it"),
];

pub(super) fn policies_of_containerd_2_4(env: &Env) -> Result<()> {
    policies(env, Version::V2_4)
}

pub(super) fn policies_of_containerd_1_7(env: &Env) -> Result<()> {
    policies(env, Version::V1_7)
}

fn words<'a>(pod: &'a str, reason: &'a str) -> [&'a str; 4] {
    ["tetragon refuses container main", pod, "nothing answers at", reason]
}

fn policies(env: &Env, version: Version) -> Result<()> {
    let mut node = Node::bare(env, version, &Options::default())?;
    let (mut passed, mut again) = (Vec::new(), Vec::new());
    for (number, (flag, reason)) in POLICIES.into_iter().enumerate() {
        // Created while nobody was there to be asked: what the plugin decides about at the start.
        let pod = |namespace, name: &str| node.pod(namespace, &format!("{name}-{number}"));
        let unseen = [pod(SHOP, "unseen")?, pod(OPEN, "unseen")?];
        let [closed, open] = [node.create(&unseen[0])?, node.create(&unseen[1])?];
        let (new_closed, new_open) = (pod(SHOP, "new")?, pod(OPEN, "new")?);
        node.start_hook([flag])?;
        refused(node.create(&new_closed), &words(&new_closed.shown(), reason))
            .with_context(|| format!("create, {flag}"))?;
        passed.push(node.run(&new_open).with_context(|| format!("create, fail-open, {flag}"))?);
        refused(node.start_container(&closed), &words(&unseen[0].shown(), reason))
            .with_context(|| format!("start, {flag}"))?;
        node.start_container(&open).with_context(|| format!("start, fail-open, {flag}"))?;
        passed.push(open);
        let [refused_at_start, _] = unseen;
        again.extend([new_closed, refused_at_start]);
        node.kill_hook()?;
    }
    node.start_hook([BY_NAMESPACE])?;
    node.start_agent()?;
    node.all_is_told()?;
    for owner in &passed {
        node.is_known(owner).context("let through")?;
    }
    for web in &again {
        let owner = node.run(web).context("refused, and created again")?;
        node.is_known(&owner)?;
    }
    node.finish()
}

pub(super) fn a_bare_node_boots_with_containerd_2_4(env: &Env) -> Result<()> {
    a_bare_node_boots(env, Version::V2_4)
}

pub(super) fn a_bare_node_boots_with_containerd_1_7(env: &Env) -> Result<()> {
    a_bare_node_boots(env, Version::V1_7)
}

/// No agent, no namespace that is exempt, an expression that refuses all: what makes a node is created all the same.
fn a_bare_node_boots(env: &Env, version: Version) -> Result<()> {
    const NAME: &str = "app.kubernetes.io/name";
    let mut node = Node::bare(env, version, &Options::default())?;
    node.start_hook(["--fail-allow-namespaces=", "--fail-cel-expr=true", "--own-namespace=security"])?;
    let pods = [
        // The kubelet writes that itself, over what a pod's author wrote.
        PodSpec::new("kube-system", "apiserver").annotation("kubernetes.io/config.source", "file"),
        PodSpec::new("security", "agent").label(NAME, "tetragon"),
        PodSpec::new("security", "operator").label(NAME, "tetragon-operator"),
        PodSpec::new("security", "hooks").label(NAME, "tetragon-rthooks"),
    ];
    let mut exempt = Vec::new();
    for pod in pods {
        let web = node.pod_with(pod)?;
        exempt.push(node.run(&web).with_context(|| web.shown())?);
    }
    let others = [
        PodSpec::new("kube-system", "dns"),
        PodSpec::new("kube-system", "forged").annotation("kubernetes.io/config.source", "api"),
        PodSpec::new("security", "stranger"),
        PodSpec::new(SHOP, "ours").label(NAME, "tetragon"),
    ];
    let mut closed = Vec::new();
    for pod in others {
        let web = node.pod_with(pod)?;
        let shown = web.shown();
        refused(node.create(&web), &["tetragon refuses", &shown, "--fail-cel-expr is true for it"])
            .with_context(|| shown.clone())?;
        closed.push(web);
    }
    node.start_agent()?;
    node.all_is_told()?;
    for owner in &exempt {
        node.is_known(owner)?;
    }
    for web in &closed {
        let owner = node.run(web).context("created again, with the agent there")?;
        node.is_known(&owner)?;
    }
    node.finish()
}
