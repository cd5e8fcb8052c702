//! The log: one line per message to standard error, as text or JSON, at a level that can change while running.
//!
//! Messages are formatted where they arise and written by a thread of their own, so that a reader of the log who
//! has stopped reading holds nothing back. What does not fit into the queue is dropped and counted, and the count
//! is logged once there is room again.

mod fields;
mod layer;
mod level;
mod line;
mod queue;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use fields::Fields;
use layer::LogLayer;
use queue::Queue;

pub use layer::FATAL;
pub use level::{Format, Level, LevelHandle, UnknownName};

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The copy of the log has no place.
    #[error("log-file: cannot write {}: {error}; create its directory or set log-file to another path", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No thread for the log.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[from] io::Error),
    /// The process has a log already.
    #[error("the log is started already")]
    Started,
}

/// The running log. Dropping it waits a moment for the last lines.
#[derive(Clone, Debug)]
pub struct Log {
    level: LevelHandle,
    queue: Queue,
}

/// Starts the log of this process. `file`, if given, is emptied and gets a copy.
pub fn start(level: Level, format: Format, file: Option<&Path>) -> Result<Log, LogError> {
    let mut sinks: Vec<Box<dyn Write + Send>> = vec![Box::new(io::stderr())];
    if let Some(path) = file {
        let file = File::create(path).map_err(|error| LogError::File { path: path.to_owned(), error })?;
        sinks.push(Box::new(file));
    }
    let queue = Queue::start(sinks, format)?;
    let level = LevelHandle::new(level);
    let layer = LogLayer::new(level.clone(), format, queue.clone());
    tracing::subscriber::set_global_default(Registry::default().with(layer))
        .map_err(|_| LogError::Started)?;
    // Libraries that log through the `log` crate; a failure only means that somebody else collects those.
    let _ = tracing_log::LogTracer::init();
    let log = Log { level, queue };
    log_panics(log.clone(), format);
    Ok(log)
}

/// Makes a panic the last line of the log.
fn log_panics(log: Log, format: Format) {
    std::panic::set_hook(Box::new(move |panic| {
        log.flush(Duration::from_millis(200));
        let mut fields = Fields::default();
        if let Some(place) = panic.location() {
            fields.text("place", place.to_string());
        }
        let text = panic.payload_as_str().unwrap_or("panic without text");
        let line = line::format(format, Level::Panic, text, &fields);
        // Past the queue, whose thread may be the one that panics.
        let _ = io::stderr().write_all(&line);
    }));
}

impl Log {
    /// The level, to be read and changed from anywhere.
    pub fn level(&self) -> &LevelHandle {
        &self.level
    }

    /// Lines dropped so far: the queue was full, or no sink could take them.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Waits until all lines so far are written, or the time is over. Call it before the process exits.
    pub fn flush(&self, limit: Duration) {
        self.queue.flush(limit);
    }
}
