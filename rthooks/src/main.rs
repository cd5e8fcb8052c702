//! `tetragon-rthooks`: connects container runtimes with the agent.

mod agent;
mod cgroup;
mod cli;
mod containerd_conf;
mod counters;
mod inject;
mod install;
mod known;
mod logging;
mod nri_hook;
mod plugin;
mod replay;
mod request;
mod spool;
mod status;
mod verdict;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    // Exits with 2 on a command line that makes no sense.
    let cli = Cli::parse();
    logging::start(cli.log_level, cli.log_format);
    let result = match cli.command {
        Command::NriHook(options) => nri_hook::run(*options),
        Command::Install(options) => install::install(&options),
        Command::Uninstall(options) => install::uninstall(&options),
        Command::PrintConfig(options) => install::print_config(&options),
        Command::PatchContainerdConf(patch) => containerd_conf::run(&patch),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
