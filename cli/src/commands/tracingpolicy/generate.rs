//! `tetra tracingpolicy generate`: policies to start from.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::output;

#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    template: Template,
}

#[derive(Debug, Subcommand)]
enum Template {
    /// A policy that does nothing
    Empty,
}

const EMPTY: &str = "\
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: empty
spec: {}
";

pub(super) fn run(options: &Options) -> Result<()> {
    match options.template {
        Template::Empty => Ok(output::print(EMPTY)?),
    }
}

#[cfg(test)]
mod tests {
    use tetragon_crds::{Origin, load};

    #[test]
    fn the_empty_policy_is_one() {
        let policy = load(super::EMPTY, &Origin::Grpc).expect("loads");
        assert_eq!((policy.name.name.as_str(), policy.hooks.len()), ("empty", 0));
    }
}
