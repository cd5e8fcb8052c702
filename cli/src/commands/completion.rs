//! `tetra completion`: scripts that make shells complete our command line.

use anyhow::Result;
use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::{go, output};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Shell to write the script for
    shell: Kind,
    /// Leave out the descriptions
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(value_parser = go::boolean, action = clap::ArgAction::Set, hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    no_descriptions: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let shell = match options.shell {
        Kind::Bash => Shell::Bash,
        Kind::Zsh => Shell::Zsh,
        Kind::Fish => Shell::Fish,
        Kind::Powershell => Shell::PowerShell,
    };
    Ok(output::print(&script(shell, !options.no_descriptions))?)
}

fn script(shell: Shell, descriptions: bool) -> String {
    let mut command = Cli::command();
    if !descriptions {
        command = without_descriptions(command);
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "tetra", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn without_descriptions(command: clap::Command) -> clap::Command {
    command.about("").mut_args(|arg| arg.help("").long_help("")).mut_subcommands(without_descriptions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_our_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let script = script(shell, true);
            assert!(script.contains("getevents") && script.contains("server-address"), "{shell}");
        }
    }

    #[test]
    fn descriptions_can_be_left_out() {
        let words = "Print events as they happen";
        assert!(script(Shell::Fish, true).contains(words));
        assert!(!script(Shell::Fish, false).contains(words));
    }
}
