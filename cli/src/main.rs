//! `tetra`, the command line client of the agent.

mod age;
mod cgroup;
mod cli;
mod client;
mod commands;
mod compact;
mod go;
mod output;
mod signals;
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => commands::run(cli),
        Err(error) => cli::usage_error(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough; that is no failure of ours.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::to_stderr(&format!("Error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
