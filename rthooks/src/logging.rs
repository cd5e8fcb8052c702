//! The log: to standard error, as text or JSON.

use clap::ValueEnum;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt, registry};

/// Whose lines have the level that was asked for; libraries have no more than warnings to add.
const OWN: [&str; 2] = ["tetragon_rthooks", "nri_plugin"];

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Starts the log of this process.
pub(crate) fn start(level: LevelFilter, format: Format) {
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OWN.map(|target| (target, level)));
    registry().with(lines(format).with_filter(filter)).init();
}

fn lines<S: Subscriber + for<'span> LookupSpan<'span>>(format: Format) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    match format {
        Format::Text => lines.with_ansi(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    }
}
