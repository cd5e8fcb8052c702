//! The command line: flags that all commands share, the list of commands, and how misuse is reported.

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands::{
    completion, containers, cri, getevents, loglevel, policyfilter, probe, rthooks, sensors, status,
    tracingpolicy, version,
};
use crate::{go, output};

/// Client of the tetragon agent.
#[derive(Debug, Parser)]
#[command(name = "tetra", subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Tell on standard error what is being done
    #[arg(short, long, global = true, default_missing_value = "true", default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, action = ArgAction::Set, value_parser = go::boolean, hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    pub(crate) debug: bool,

    /// Address of the agent, host:port or unix:///path [default: that of the agent running here]
    #[arg(long, global = true, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub(crate) server_address: String,

    /// Limit of a whole call, connecting and retries included (getevents has none)
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = go::duration)]
    pub(crate) timeout: Duration,

    /// Further attempts when the agent cannot be reached, from 1s apart, doubling
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    pub(crate) retries: u32,

    /// Largest message to accept from the agent, in bytes
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 10 << 20)]
    pub(crate) max_recv_size: usize,
}

impl Global {
    /// Reports progress to those who asked for it.
    pub(crate) fn debug(&self, message: impl FnOnce() -> String) {
        if self.debug {
            output::to_stderr(&format!("debug: {}", message()));
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print events as they happen, or read them as JSON from standard input
    #[command(name = "getevents")]
    GetEvents(Box<getevents::Options>),
    /// Show the agent's health, and where every kernel record went
    Status(status::Options),
    /// Show the versions of client and agent
    Version(version::Options),
    /// Show what this machine's kernel can do, as the running agent found it
    Probe(probe::Options),
    /// Get or set the agent's log level
    #[command(name = "loglevel", visible_alias = "log")]
    LogLevel(loglevel::Options),
    /// Show the containers that the agent knows, and from whom it knows them
    #[command(alias = "cgidmap")]
    Containers(containers::Options),
    /// Ask the container runtime itself
    Cri(cri::Options),
    /// Tell the agent of a container, as a hook of the runtime does
    #[command(name = "rthooks", hide = true)]
    RtHooks(rthooks::Options),
    /// Show which policies apply in which cgroups
    #[command(name = "policyfilter", hide = true)]
    PolicyFilter(policyfilter::Options),
    /// Show what is in the kernel
    #[command(hide = true)]
    Dump(policyfilter::Dump),
    /// Debug the agent
    #[command(hide = true)]
    Debug(policyfilter::Debug),
    /// Show the sensors of policies
    #[command(hide = true)]
    Sensors(sensors::Options),
    /// Add, list, check, explain and generate tracing policies
    #[command(name = "tracingpolicy", visible_alias = "tp")]
    TracingPolicy(tracingpolicy::Options),
    /// Write a completion script for a shell
    Completion(completion::Options),
}

/// Help and version are wanted output; everything else is an error, told in the words of the argument parser.
pub(crate) fn usage_error(error: &clap::Error) -> Result<()> {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Ok(output::print(&error.to_string())?),
        _ => {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            // The usage would bury the message.
            let text = text.split("\n\nUsage:").next().unwrap_or(text);
            Err(anyhow!("{}", text.trim_end()))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let cli = Cli::try_parse_from(["tetra", "status"]).expect("parses");
        assert!(!cli.global.debug);
        assert_eq!(cli.global.server_address, "");
        assert_eq!(cli.global.timeout, Duration::from_secs(10));
        assert_eq!(cli.global.retries, 0);
    }

    #[test]
    fn global_flags_may_follow_the_command() {
        let cli = Cli::try_parse_from(["tetra", "status", "-d", "--retries", "3"]).expect("parses");
        assert!(cli.global.debug);
        assert_eq!(cli.global.retries, 3);
        let cli = Cli::try_parse_from(["tetra", "--debug=false", "status"]).expect("parses");
        assert!(!cli.global.debug);
    }

    #[test]
    fn misuse_is_an_error_without_the_usage_text() {
        let error = Cli::try_parse_from(["tetra", "status", "--no-such-flag"]).expect_err("refused");
        let message = usage_error(&error).expect_err("an error").to_string();
        assert!(message.contains("--no-such-flag"), "{message}");
        assert!(!message.contains("Usage"), "{message}");
    }
}
