//! `tetra policyfilter` and `tetra dump`: which policies apply in which cgroups, for debugging.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use clap::{Args, Subcommand};
use tetragon_api::tetragon::{KnownContainer, ListContainersRequest};

use super::containers::list;
use crate::cgroup::Cgroup;
use crate::cli::Global;
use crate::client::Client;
use crate::output;

const EMPTY: &str = "(empty)\n";

/// The agent is asked: it pins no maps that could be read without it.
#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the number by which the kernel knows a cgroup
    #[command(name = "cgroupid")]
    CgroupId {
        /// Directory of the cgroup, or fname:<path>, or id:<number>
        #[arg(value_parser = Cgroup::parse)]
        cgroup: Cgroup,
    },
    /// Show the cgroups in which each policy applies, as the agent tells (it pins no maps)
    Dump,
    /// Show whose each cgroup is, by the kernel's number of the container, as the agent tells (it pins no maps)
    #[command(name = "dumpcgrp")]
    DumpCgroups,
}

/// Groups of commands that show what is in the kernel.
#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Dump {
    #[command(subcommand)]
    what: Dumped,
}

#[derive(Debug, Subcommand)]
enum Dumped {
    /// Show the cgroups in which each policy applies, as the agent tells (it pins no maps)
    #[command(name = "policyfilter")]
    PolicyFilter,
}

/// Commands for those who debug the agent.
#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Debug {
    #[command(subcommand)]
    action: Debugging,
}

#[derive(Debug, Subcommand)]
enum Debugging {
    /// Show what is in the kernel
    Dump(Dump),
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    match &options.action {
        Action::CgroupId { cgroup } => Ok(output::print(&format!("{}\n", cgroup.id()?))?),
        Action::Dump => dump_policies(global).await,
        Action::DumpCgroups => Ok(output::print(&cgroups(&all(global).await?))?),
    }
}

pub(crate) async fn dump(global: &Global, Dump { what: Dumped::PolicyFilter }: &Dump) -> Result<()> {
    dump_policies(global).await
}

pub(crate) async fn debug(global: &Global, Debug { action: Debugging::Dump(it) }: &Debug) -> Result<()> {
    dump(global, it).await
}

async fn dump_policies(global: &Global) -> Result<()> {
    Ok(output::print(&policies(&all(global).await?))?)
}

async fn all(global: &Global) -> Result<Vec<KnownContainer>> {
    Ok(list(&Client::new(global)?, ListContainersRequest::default()).await?.containers)
}

/// `<policy id>: <cgroup id>,<cgroup id>` for each policy that applies somewhere.
fn policies(containers: &[KnownContainer]) -> String {
    let mut policies: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for container in containers {
        for policy in &container.policy_ids {
            policies.entry(*policy).or_default().extend(container.cgroups.iter().map(|it| it.id));
        }
    }
    if policies.is_empty() {
        return EMPTY.to_owned();
    }
    let line = |(policy, cgroups): (u32, BTreeSet<u64>)| {
        let cgroups: Vec<_> = cgroups.iter().map(u64::to_string).collect();
        format!("{policy}: {}\n", cgroups.join(","))
    };
    policies.into_iter().map(line).collect()
}

/// `<cgroup id>: <container's number>` for each cgroup.
fn cgroups(containers: &[KnownContainer]) -> String {
    let pairs: BTreeMap<u64, u64> = containers
        .iter()
        .flat_map(|container| container.cgroups.iter().map(|cgroup| (cgroup.id, container.number)))
        .collect();
    let mut text = "cgroupId: stableId\n".to_owned();
    text.extend(pairs.iter().map(|(cgroup, number)| format!("{cgroup}: {number}\n")));
    if pairs.is_empty() {
        text.push_str(EMPTY);
    }
    text
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::KnownCgroup;

    use super::*;

    fn container(number: u64, cgroups: &[u64], policies: &[u32]) -> KnownContainer {
        KnownContainer {
            number,
            cgroups: cgroups.iter().map(|id| KnownCgroup { id: *id, ..Default::default() }).collect(),
            policy_ids: policies.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn cgroups_are_listed_by_policy() {
        let containers =
            [container(2, &[20, 10], &[5, 3]), container(1, &[30], &[3]), container(3, &[40], &[])];
        assert_eq!(policies(&containers), "3: 10,20,30\n5: 10,20\n");
        assert_eq!(cgroups(&containers), "cgroupId: stableId\n10: 2\n20: 2\n30: 1\n40: 3\n");
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert_eq!(policies(&[]), "(empty)\n");
        assert_eq!(cgroups(&[]), "cgroupId: stableId\n(empty)\n");
    }
}
