//! `tetra tracingpolicy`: everything about policies.

mod generate;
mod validate;

use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Tell everything that is wrong with policies, without an agent and without a kernel
    Validate(validate::Options),
    /// Print a policy to start from
    Generate(generate::Options),
}

pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.action {
        Action::Validate(options) => validate::run(options),
        Action::Generate(options) => generate::run(options),
    }
}
