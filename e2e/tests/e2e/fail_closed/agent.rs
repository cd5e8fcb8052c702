//! An agent that is absent, stopped, hanging or failing, while containers are created and started.

use std::time::Instant;

use anyhow::{Context, Result};
use tetragon_e2e::kit::Env;
use tetragon_e2e::kit::container::Owner;
use tetragon_e2e::kit::containerd::{Options, Version};

use super::node::{BY_NAMESPACE, Node, OPEN, SHOP, refused};
use super::trouble::Trouble;

pub(super) fn agent_cells_of_containerd_2_4(env: &Env) -> Result<()> {
    agent_cells(env, Version::V2_4)
}

pub(super) fn agent_cells_of_containerd_1_7(env: &Env) -> Result<()> {
    agent_cells(env, Version::V1_7)
}

fn agent_cells(env: &Env, version: Version) -> Result<()> {
    let mut node = Node::start(env, version, &Options::default())?;
    // Created by a plugin that leaves the start to itself.
    node.start_hook([BY_NAMESPACE])?;
    let mut announced = Vec::new();
    for number in 0..Trouble::ALL.len() {
        let web = node.pod(SHOP, &format!("announced-{number}"))?;
        announced.push(node.create(&web)?);
    }
    node.kill_hook()?;
    let injected = node.with_oci_hook()?;
    node.start_hook([BY_NAMESPACE, injected.as_str()])?;
    for (number, (trouble, announced)) in Trouble::ALL.into_iter().zip(announced).enumerate() {
        cells(&mut node, trouble, number, &announced).with_context(|| format!("agent: {trouble:?}"))?;
    }
    node.finish()
}

/// The cells of one trouble. `announced` was created without an OCI hook, while the agent was well.
fn cells(node: &mut Node<'_>, trouble: Trouble, number: usize, announced: &Owner) -> Result<()> {
    let hooked = node.pod(SHOP, &format!("hooked-{number}"))?;
    let created = node.create(&hooked)?;
    let closed = node.pod(SHOP, &format!("closed-{number}"))?;
    let open = node.pod(OPEN, &format!("open-{number}"))?;

    let outage = node.arise(trouble)?;
    let words = [
        "tetragon refuses container main",
        &closed.shown(),
        trouble.words(),
        "is neither in --fail-allow-namespaces",
        "it is created again",
        "tetragon pod of this node",
    ];
    let begun = Instant::now();
    refused(node.create(&closed), &words).context("create, fail-closed")?;
    node.record(format!("seconds until refused, agent {trouble:?}"), begun.elapsed());
    let passed = node.run(&open).context("create and start, fail-open")?;
    node.start_container(announced).context("start of what an agent took when it was created")?;
    let words = ["tetragon-oci-hook", SHOP, trouble.words_of_the_hook(), "To let it start"];
    refused(node.start_container(&created), &words).context("start, fail-closed by the injected hook")?;
    node.mend(outage)?;

    node.is_known(&passed).context("let through at its creation")?;
    node.is_known(announced).context("let through at its start")?;
    for web in [closed, hooked] {
        let again = node.run(&web).context("the same container again")?;
        node.is_known(&again).context("created again")?;
    }
    Ok(())
}
