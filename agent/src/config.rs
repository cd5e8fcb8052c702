//! Settings: one table of options, read from flags, environment and files, checked all at once.
//!
//! Highest first: flags, `TETRAGON_*` variables, the directory named by `config-dir`,
//! `/etc/tetragon/tetragon.conf.d/`, `/etc/tetragon/tetragon.yaml`, the drop-ins of `/usr/local/lib` and
//! `/usr/lib`, the built-in default. [`load`] collects texts, layer by layer, and then reads the winning one of
//! each option; everything that is wrong comes back in one [`ConfigErrors`].

mod args;
mod environment;
mod error;
mod files;
mod help;
pub mod kinds;
mod nearest;
mod number;
mod resolve;
mod rings;
mod spec;
mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

pub use error::{ConfigError, ConfigErrors, Source, Warning};
pub use kinds::{CgroupLimit, Kind, UserNameSource};
pub use number::{parse_duration, parse_size, show_duration};
pub use rings::{DEFAULT_EVENTS_BYTES, LARGEST_RING_BYTES, RingError, RingSizes};
pub use spec::{Effect, Spec};
pub use table::{Config, OPTIONS};

use resolve::{Given, Reports};

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Run with these settings; the warnings belong into the log.
    Run(Box<Config>, Vec<Warning>),
    /// Print this text and exit.
    Print(String),
}

/// Reads all sources. `args` is without the program's name; the default files are looked up below `root`.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    root: &Path,
) -> Result<Request, ConfigErrors> {
    let mut reports = Reports::default();
    let flags = args::read(args, &mut reports);
    if flags.get("help").is_some_and(|(_, text)| number::parse_bool(text) == Ok(true)) {
        return Ok(Request::Print(help::help()));
    }
    let environment = environment::read(environment, &mut reports);

    let dropins = |base: &str| root.join(base).join("tetragon/tetragon.conf.d");
    let etc = dropins("etc");
    let mut given = Given::default();
    for directory in [dropins("usr/lib"), dropins("usr/local/lib")] {
        files::read_directory(&directory, &Source::Default, &mut given, &mut reports);
    }
    files::read_yaml(&root.join("etc/tetragon/tetragon.yaml"), &mut given, &mut reports);
    files::read_directory(&etc, &Source::Default, &mut given, &mut reports);

    let config_dir =
        [&flags, &environment, &given].into_iter().find_map(|layer| layer.get("config-dir")).cloned();
    if let Some((source, path)) = config_dir
        && !path.is_empty()
    {
        let path = PathBuf::from(path);
        // A ConfigMap is commonly mounted on the default directory and named by the flag as well.
        let canonical = path.canonicalize();
        if canonical.is_err() || canonical.ok() != etc.canonicalize().ok() {
            files::read_directory(&path, &source, &mut given, &mut reports);
        }
    }
    given.overlay(environment);
    given.overlay(flags);

    given.rename(&mut reports);
    let mut config = Config::read(given, &mut reports);
    resolve::check(&mut config, &mut reports);
    if !reports.errors.is_empty() {
        return Err(ConfigErrors(reports.errors));
    }
    if config.help {
        return Ok(Request::Print(help::help()));
    }
    if config.generate_docs {
        return Ok(Request::Print(help::docs()));
    }
    Ok(Request::Run(Box::new(config), reports.warnings))
}

impl Config {
    /// Where the value of an option came from.
    pub fn source_of(&self, name: &str) -> Source {
        self.sources.get(name).cloned().unwrap_or_default()
    }

    /// The sizes of the kernel ring buffers on a machine with so many CPUs and pages of so many bytes.
    pub fn rings(&self, cpus: usize, page_bytes: usize) -> Result<RingSizes, RingError> {
        RingSizes::new(self.rb_size, self.rb_size_total, cpus, page_bytes)
    }

    /// How long events wait for what is not known of their container yet.
    pub fn identity_wait(&self) -> Duration {
        // At most a minute, whatever is set: events in memory are events that nobody sees.
        let seconds = self.event_cache_retries.saturating_mul(self.event_cache_retry_delay).min(60);
        Duration::from_secs(seconds)
    }

    /// Whether events of this type (`base`, `kprobe`, ...) carry all ancestors.
    pub fn ancestors_for(&self, event_type: &str) -> bool {
        self.enable_ancestors.iter().any(|word| word == event_type)
    }

    /// The level to log at: `--debug` wins over `--log-level`.
    pub fn effective_log_level(&self) -> crate::logging::Level {
        if self.debug { crate::logging::Level::Debug } else { self.log_level }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::read(Given::default(), &mut Reports::default())
    }
}

/// A map from names to texts, as the settings are logged.
impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings = self.settings();
        let mut map = serializer.serialize_map(Some(settings.len()))?;
        for (name, value) in settings {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
