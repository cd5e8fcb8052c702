//! Containers that the agent cannot be told of, on real runtimes: who refuses them and with which words, who passes, and
//! what the agent knows of them once it is back. The table is in `docs/identity.md`.

mod agent;
mod cluster;
mod node;
mod plugin;
mod policy;
mod trouble;

use std::time::Duration;

use tetragon_e2e::host::daemons;
use tetragon_e2e::place::NATIVE;
use tetragon_e2e::{Suite, test};

use agent::{agent_cells_of_containerd_1_7, agent_cells_of_containerd_2_4};
use cluster::a_bare_node_of_a_cluster_boots;
use plugin::{
    plugin_cells_of_containerd_1_7, plugin_cells_of_containerd_2_4, required_plugin_cells_of_containerd_2_4,
};
use policy::{
    a_bare_node_boots_with_containerd_1_7, a_bare_node_boots_with_containerd_2_4, policies_of_containerd_1_7,
    policies_of_containerd_2_4,
};

/// A test waits out many time limits.
const LONG: Duration = Duration::from_secs(400);

pub(crate) fn suite() -> Suite {
    Suite::new(
        "fail_closed",
        NATIVE,
        [
            test!(agent_cells_of_containerd_2_4).within(LONG),
            test!(agent_cells_of_containerd_1_7).within(LONG),
            test!(plugin_cells_of_containerd_2_4).within(LONG),
            test!(plugin_cells_of_containerd_1_7).within(LONG),
            test!(required_plugin_cells_of_containerd_2_4).within(LONG),
            test!(policies_of_containerd_2_4).within(LONG),
            test!(policies_of_containerd_1_7).within(LONG),
            test!(a_bare_node_boots_with_containerd_2_4).within(LONG),
            test!(a_bare_node_boots_with_containerd_1_7).within(LONG),
            test!(a_bare_node_of_a_cluster_boots).within(LONG),
        ],
    )
    .after(daemons::prepare)
}
