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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// The body of the next test, in a process of its own: a process has one log only.
    #[test]
    fn log_child() {
        let Some(path) = std::env::var_os("LOG_CHILD_FILE") else { return };
        let log = start(Level::Info, Format::Text, Some(Path::new(&path))).unwrap();
        assert!(matches!(start(Level::Info, Format::Text, None), Err(LogError::Started)));
        tracing::info!(number = 1, "first line");
        log.level().set(Level::Error);
        tracing::warn!("hidden");
        log::error!("through the other crate");
        log.flush(Duration::from_secs(10));
        assert_eq!(log.dropped(), 0);
        std::thread::spawn(|| panic!("on purpose")).join().unwrap_err();
    }

    fn run(path: &Path, stderr: Stdio) -> std::process::Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "logging::tests::log_child", "--nocapture"])
            .env("LOG_CHILD_FILE", path)
            .stderr(stderr)
            .output()
            .unwrap()
    }

    fn messages(text: &str) -> Vec<&str> {
        text.lines().filter_map(|line| line.split_once(" level=")).map(|(_, rest)| rest).collect()
    }

    #[test]
    fn the_log_goes_to_standard_error_and_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "emptied at start").unwrap();
        let output = run(&path, Stdio::piped());
        assert!(output.status.success(), "{output:?}");
        let expected = ["info msg=\"first line\" number=1", "error msg=\"through the other crate\""];
        assert_eq!(messages(&std::fs::read_to_string(&path).unwrap()), expected);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let lines = messages(&stderr);
        assert_eq!(lines[..2], expected);
        assert!(lines[2].starts_with("panic msg=\"on purpose\" place=\"agent/src/logging.rs:"), "{stderr}");
    }

    #[test]
    fn a_standard_error_that_takes_nothing_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (gone, stderr) = io::pipe().unwrap();
        drop(gone);
        assert!(run(&path, stderr.into()).status.success());
        assert_eq!(messages(&std::fs::read_to_string(&path).unwrap()).len(), 2);
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert!(run(&path, full.into()).status.success());
    }

    #[test]
    fn a_log_file_that_cannot_be_made_is_named() {
        let error = start(Level::Info, Format::Text, Some(Path::new("/no/such/dir/log"))).unwrap_err();
        assert!(error.to_string().contains("/no/such/dir/log"));
    }
}
