//! A plugin that is absent or stopped. Runtimes let containers pass then, unless something else refuses them.
//!
//! A plugin that hangs is one that is stopped: the runtime sees the same. One that answers an error refuses: see
//! `agent` and `policy`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tetragon_e2e::kit::Env;
use tetragon_e2e::kit::containerd::{Options, Version};
use tetragon_e2e::kit::cri::PodSpec;

use super::node::{BY_NAMESPACE, Node, OPEN, SHOP, refused};

/// How long containerd waits for a plugin; what the options of these tests say.
const PATIENCE: Duration = Duration::from_secs(2);
/// By which pods say that they may run without required plugins.
const TOLERANCE: &str = "example.com/without-plugins";

pub(super) fn plugin_cells_of_containerd_2_4(env: &Env) -> Result<()> {
    plugin_cells(env, Version::V2_4)
}

pub(super) fn plugin_cells_of_containerd_1_7(env: &Env) -> Result<()> {
    plugin_cells(env, Version::V1_7)
}

fn plugin_cells(env: &Env, version: Version) -> Result<()> {
    let options = Options { plugin_request_timeout: PATIENCE, ..Options::default() };
    let mut node = Node::start(env, version, &options)?;
    let injected = node.with_oci_hook()?;
    let arguments = [BY_NAMESPACE, injected.as_str()];
    node.start_hook(arguments)?;
    absent(&mut node, &arguments).context("plugin absent")?;
    stopped(&mut node).context("plugin stopped")?;
    node.finish()
}

/// At its creation a container passes; one that has the hook is asked about once more at its start.
fn absent(node: &mut Node<'_>, arguments: &[&str]) -> Result<()> {
    let [first, second] = ["hooked-1", "hooked-2"].map(|name| node.pod(SHOP, name));
    let (first, second) = (first?, second?);
    let (told, untold) = (node.create(&first)?, node.create(&second)?);
    let exempt = node.create(&node.pod(OPEN, "exempt")?)?;
    node.kill_hook()?;

    node.start_container(&told).context("start: its hook tells the agent")?;
    node.is_known(&told).context("told by its hook")?;
    let unseen =
        node.run(&node.pod(SHOP, "unseen")?).context("create and start: nobody is there to refuse")?;
    node.kill_agent()?;
    let words = ["tetragon-oci-hook", SHOP, "no agent can be reached at", "To let it start"];
    refused(node.start_container(&untold), &words).context("start, agent absent too")?;
    node.start_container(&exempt).context("start of what needs no agent")?;

    node.start_agent()?;
    node.start_hook(arguments.iter().copied())?;
    for owner in [&unseen, &exempt] {
        node.is_known(owner).context("found by the synchronization")?;
    }
    let again = node.run(&second).context("the same container again")?;
    node.is_known(&again)
}

/// The runtime waits, gives the plugin up, and goes on. The plugin comes back by itself.
fn stopped(node: &mut Node<'_>) -> Result<()> {
    let [first, second, third] = ["first", "second", "third"].map(|name| node.pod(SHOP, name));
    let (first, second, third) = (first?, second?, third?);
    let passed = {
        stop(node)?;
        let begun = Instant::now();
        let passed = node.create(&first).context("create: passes after the runtime's patience")?;
        ensure!(begun.elapsed() >= PATIENCE, "created after {:?} already", begun.elapsed());
        let next = node.run(&second).context("create: passes, nobody is asked any more")?;
        node.start_container(&passed)?;
        go_on(node)?;
        [passed, next]
    };
    for owner in &passed {
        node.is_known(owner).context("found by the synchronization")?;
    }
    let created = node.create(&third)?;
    stop(node)?;
    let begun = Instant::now();
    node.start_container(&created).context("start: passes after the runtime's patience")?;
    ensure!(begun.elapsed() >= PATIENCE, "started after {:?} already", begun.elapsed());
    // The hook, which it got when it was created, has told the agent.
    node.is_known(&created).context("told by its hook")?;
    go_on(node)
}

fn stop(node: &Node<'_>) -> Result<()> {
    node.hook()?.signal(Signal::STOP)
}

fn go_on(node: &Node<'_>) -> Result<()> {
    let before = node.hook()?.status()?["nri_registrations"].as_u64();
    node.hook()?.signal(Signal::CONT)?;
    node.hook()?.status_where("the plugin to be registered again", |status| {
        status["nri_registrations"].as_u64() > before && status["runtime_connected"] == true
    })?;
    node.all_is_told()
}

/// With a plugin that is required, the runtime itself refuses, from the first request on that it found nobody for.
pub(super) fn required_plugin_cells_of_containerd_2_4(env: &Env) -> Result<()> {
    let options = Options {
        plugin_request_timeout: PATIENCE,
        required_plugins: vec!["tetragon".to_owned()],
        tolerate_missing_plugins_annotation: Some(TOLERANCE.to_owned()),
        ..Options::default()
    };
    let words = ["required plugin", "tetragon", "not present"];
    let mut node = Node::start(env, Version::V2_4, &options)?;

    let early = node.pod(SHOP, "early")?;
    refused(node.create(&early), &words).context("create, never started")?;
    let tolerant = node.pod_with(PodSpec::new("kube-system", "static").annotation(TOLERANCE, "true"))?;
    let tolerated = node.run(&tolerant).context("create and start of what tolerates it")?;
    node.start_hook([BY_NAMESPACE])?;
    node.is_known(&tolerated).context("found by the synchronization")?;
    let owner = node.run(&early).context("the same container again")?;
    node.is_known(&owner)?;

    // The first that is created after it died: it counts as present until the runtime has called it in vain.
    let (restarted, created) = (node.pod(SHOP, "restarted")?, node.create(&node.pod(SHOP, "created")?)?);
    node.kill_hook()?;
    let unseen = node.run(&restarted).context("create, the first since it was killed")?;
    refused(node.create(&early), &words).context("create, the second since it was killed")?;
    refused(node.create(&node.pod(OPEN, "open")?), &words)
        .context("namespaces mean nothing to the runtime")?;
    node.start_container(&created).context("start: only creations are validated")?;
    node.start_hook([BY_NAMESPACE])?;
    for owner in [&unseen, &created] {
        node.is_known(owner).context("found by the synchronization")?;
    }

    // Stopped: the same, after the runtime's patience.
    let (first, second) = (node.pod(SHOP, "first")?, node.pod(SHOP, "second")?);
    stop(&node)?;
    let passed = node.run(&first).context("create, the one that it was given up at")?;
    refused(node.create(&second), &words).context("create, after it was given up")?;
    go_on(&node)?;
    node.is_known(&passed).context("found by the synchronization")?;
    let again = node.run(&second).context("the same container again")?;
    node.is_known(&again)?;
    node.finish()
}
