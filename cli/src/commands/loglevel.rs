//! `tetra loglevel`: how much the running agent logs.

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use tetragon_api::tetragon::{
    ConfigFlag, GetDebugRequest, LogLevel, SetDebugRequest, get_debug_response, set_debug_request,
    set_debug_response,
};

use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::output;

#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the agent's log level
    Get,
    /// Change the agent's log level
    Set {
        /// The new level
        level: Level,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Trace,
    Debug,
    Info,
    #[value(alias = "warn")]
    Warning,
    Error,
    Fatal,
    Panic,
}

const LEVELS: [(Level, LogLevel, &str); 7] = [
    (Level::Trace, LogLevel::Trace, "trace"),
    (Level::Debug, LogLevel::Debug, "debug"),
    (Level::Info, LogLevel::Info, "info"),
    (Level::Warning, LogLevel::Warn, "warning"),
    (Level::Error, LogLevel::Error, "error"),
    (Level::Fatal, LogLevel::Fatal, "fatal"),
    (Level::Panic, LogLevel::Panic, "panic"),
];

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    let client = Client::new(global)?;
    let text = match options.action {
        Action::Get => format!("Current log level: {}\n", get(&client).await?),
        Action::Set { level } => format!("Log level set to: {}\n", set(&client, level).await?),
    };
    Ok(output::print(&text)?)
}

async fn get(client: &Client) -> Result<String> {
    let request = GetDebugRequest { flag: ConfigFlag::LogLevel.into(), ..Default::default() };
    let call = async || client.sensors().get_debug(request).await;
    let response = client.unary(call).await.or_explain(client, "cannot get the log level")?.into_inner();
    match response.arg {
        Some(get_debug_response::Arg::Level(level)) => Ok(name(level)),
        _ => bail!("the agent answered without a log level"),
    }
}

async fn set(client: &Client, level: Level) -> Result<String> {
    let wire = LEVELS.iter().find(|(it, ..)| *it == level).map_or(LogLevel::Info, |(_, wire, _)| *wire);
    let request = SetDebugRequest {
        flag: ConfigFlag::LogLevel.into(),
        arg: Some(set_debug_request::Arg::Level(wire.into())),
    };
    let call = async || client.sensors().set_debug(request).await;
    let response = client.unary(call).await.or_explain(client, "cannot set the log level")?.into_inner();
    match response.arg {
        Some(set_debug_response::Arg::Level(level)) => Ok(name(level)),
        _ => bail!("the agent answered without a log level"),
    }
}

/// The level's name, or its number when it is none of ours.
fn name(level: i32) -> String {
    let known = LEVELS.iter().find(|(_, wire, _)| *wire as i32 == level);
    known.map_or_else(|| level.to_string(), |(.., name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_named_as_they_are_typed() {
        for (level, wire, text) in LEVELS {
            assert_eq!(Level::from_str(text, false), Ok(level));
            assert_eq!(name(wire.into()), text);
        }
        assert_eq!(name(42), "42");
    }
}
