//! `tetra getevents`: events from the agent as they happen, or from standard input.

mod live;
mod request;
mod stdin;
mod writer;

use std::env;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::Result;
use clap::{ArgAction, Args, ValueEnum};
use tetragon_filters::{FieldFilters, FilterSet};

use self::request::Selection;
use self::writer::{EventWriter, Form};
use crate::cli::Global;
use crate::compact::Style;
use crate::signals::Stop;
use crate::{go, output};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Json)]
    output: Output,

    /// Colours of compact output; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,

    /// Begin each compact line with the event's time
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(value_parser = go::boolean, action = ArgAction::Set, hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    timestamps: bool,

    /// Show stack traces below compact lines [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_parser = go::boolean, action = ArgAction::Set, hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    stack_traces: bool,

    #[command(flatten)]
    selection: Selection,

    /// Print only what was written to this file, byte for byte (for policies that hook writes to a terminal)
    #[arg(short, long, value_name = "PATH", default_value = "", hide_default_value = true)]
    tty_encode: String,

    /// Connect again when the agent goes away
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(value_parser = go::boolean, action = ArgAction::Set, hide_possible_values = true, hide_default_value = true, value_name = "BOOL")]
    reconnect: bool,

    /// How long to wait before connecting again
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = go::duration)]
    reconnect_wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Compact,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Options {
    fn form(&self) -> Form {
        match self.output {
            _ if !self.tty_encode.is_empty() => Form::Terminal { path: self.tty_encode.clone() },
            Output::Json => Form::Json,
            Output::Compact => Form::Compact(Style {
                color: self.color.enabled(
                    |name| env::var_os(name).unwrap_or_default().to_string_lossy().into_owned(),
                    io::stdout().is_terminal(),
                ),
                timestamps: self.timestamps,
                stack_traces: self.stack_traces,
            }),
        }
    }
}

impl Color {
    fn enabled(self, variable: impl Fn(&str) -> String, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && variable("NO_COLOR").is_empty() && variable("TERM") != "dumb",
        }
    }
}

/// What was recorded is there to be filtered by anything.
const ANY_FILTER: tetragon_filters::Options =
    tetragon_filters::Options { process_credentials: true, pid_set: true };

/// Prints events until the source ends or a signal comes; both are success.
pub(crate) async fn run(global: &Global, options: &Options, stop: Stop) -> Result<()> {
    let request = options.selection.request();
    let (fields, unknown) = FieldFilters::new(&request.field_filters)?;
    for field in unknown {
        output::to_stderr(&format!("getevents: {field}"));
    }
    let writer = EventWriter::new(options.form(), io::stdout().lock());
    if stdin::has_events() {
        global.debug(|| "reading events from standard input".to_owned());
        let filters = FilterSet::new(&request.allow_list, &request.deny_list, ANY_FILTER)?;
        let select = |event| filters.matches(&event).then(|| fields.apply(event));
        return stdin::run(global, select, writer);
    }
    let reconnect = options.reconnect.then_some(options.reconnect_wait);
    live::run(global, &request, reconnect, writer, stop).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_is_for_terminals_that_want_it() {
        let plain = |_: &str| String::new();
        assert!(Color::Auto.enabled(plain, true));
        assert!(!Color::Auto.enabled(plain, false));
        assert!(Color::Always.enabled(plain, false));
        assert!(!Color::Never.enabled(plain, true));
        let set = |name: &'static str, value: &'static str| {
            move |asked: &str| if asked == name { value.to_owned() } else { String::new() }
        };
        assert!(!Color::Auto.enabled(set("NO_COLOR", "1"), true));
        assert!(!Color::Auto.enabled(set("TERM", "dumb"), true));
        assert!(Color::Auto.enabled(set("TERM", "xterm"), true));
    }
}
