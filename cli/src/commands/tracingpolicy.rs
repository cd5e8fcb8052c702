//! `tetra tracingpolicy`: everything about policies.

mod change;
mod explain;
mod generate;
mod list;
mod validate;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::interruptible;
use crate::cli::Global;

#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Have the agent load a policy
    Add(change::Add),
    /// Have the agent remove a policy
    Delete(change::Named),
    /// Have a disabled policy hold again
    Enable(change::Named),
    /// Keep a policy loaded, but have it hold no more
    Disable(change::Named),
    /// Show the agent's policies
    List(list::Options),
    /// Tell everything that is wrong with policies, without an agent and without a kernel
    Validate(validate::Options),
    /// Show what policies become on this machine's kernel, without an agent
    Explain(explain::Options),
    /// Print a policy to start from
    Generate(generate::Options),
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    match &options.action {
        Action::Add(options) => interruptible(change::add(global, options)).await,
        Action::Delete(options) => interruptible(change::delete(global, options)).await,
        Action::Enable(options) => interruptible(change::enable(global, options)).await,
        Action::Disable(options) => interruptible(change::disable(global, options)).await,
        Action::List(options) => interruptible(list::run(global, options)).await,
        Action::Validate(options) => validate::run(options),
        Action::Explain(options) => explain::run(options),
        Action::Generate(options) => generate::run(options),
    }
}
