//! The log: a file of JSON lines that many hooks write at the same time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// Bytes after which the file is put aside.
const LARGEST: u64 = 50 << 20;
/// Files put aside that are kept.
const BACKUPS: usize = 3;
/// How long they are kept.
const OLDEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How much matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "debug" | "trace" => Self::Debug,
            "info" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" => Self::Error,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// The log of one call. A hook that cannot log still does its work.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    level: Level,
    /// In every line.
    common: Map<String, Value>,
    problem: Mutex<Option<String>>,
}

/// Attributes of a line.
pub(crate) type Attributes<'a> = &'a [(&'a str, Value)];

impl Log {
    pub(crate) fn new(path: PathBuf, level: Level, hook: &str) -> Self {
        let common = [("hook", hook.into()), ("start-time", Timestamp::now().to_string().into())];
        let common = common.into_iter().map(|(key, value): (&str, Value)| (key.to_owned(), value)).collect();
        Self { path, level, common, problem: Mutex::default() }
    }

    pub(crate) fn has(&self, level: Level) -> bool {
        level >= self.level
    }

    pub(crate) fn info(&self, message: &str, attributes: Attributes<'_>) {
        self.line(Level::Info, message, attributes);
    }

    pub(crate) fn warn(&self, message: &str, attributes: Attributes<'_>) {
        self.line(Level::Warn, message, attributes);
    }

    pub(crate) fn error(&self, message: &str, attributes: Attributes<'_>) {
        self.line(Level::Error, message, attributes);
    }

    /// Where to look for more: the file, or why there is none.
    pub(crate) fn whereabouts(&self) -> String {
        let path = self.path.display();
        match &*self.problem.lock().unwrap_or_else(PoisonError::into_inner) {
            None => path.to_string(),
            Some(problem) => format!("{path}, which cannot be written: {problem}"),
        }
    }

    fn line(&self, level: Level, message: &str, attributes: Attributes<'_>) {
        if !self.has(level) {
            return;
        }
        let mut line = Map::new();
        line.insert("time".to_owned(), Timestamp::now().to_string().into());
        line.insert("level".to_owned(), level.name().into());
        line.insert("msg".to_owned(), message.into());
        line.extend(self.common.clone());
        line.extend(attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let mut line = Value::Object(line).to_string();
        line.push('\n');
        if let Err(error) = append(&self.path, line.as_bytes(), LARGEST) {
            *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }
}

/// One write a line, so that lines of several hooks do not mix.
fn append(path: &Path, line: &[u8], largest: u64) -> io::Result<()> {
    let mut file = open(path)?;
    if file.metadata()?.len() >= largest {
        put_aside(path, &file, largest)?;
        file = open(path)?;
    }
    file.write_all(line)
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // A pipe in the file's place must not hold the container back.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}

/// Renames the file, unless another hook does or has done so.
fn put_aside(path: &Path, file: &File, largest: u64) -> io::Result<()> {
    if file.try_lock().is_err() || path.metadata()?.len() < largest {
        return Ok(());
    }
    let (stem, extension) = parts(path);
    // As in the lines, but without colons, which some tools take for a host's name.
    let time = format!("{:.3}", Timestamp::now()).replace(':', "-");
    let time = time.trim_end_matches('Z');
    fs::rename(path, path.with_file_name(format!("{stem}-{time}{extension}")))?;
    // Too many files are no reason to write none.
    let _ = clean(path);
    Ok(())
}

/// What a name begins with and ends with where the time of a file put aside goes between.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    (text(path.file_stem()), extension.unwrap_or_default())
}

/// Deletes files put aside that are too many or too old.
fn clean(path: &Path) -> io::Result<()> {
    let (stem, extension) = parts(path);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut backups = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let time = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&extension));
        // Ours have a time in their names, and times sort as texts.
        if time.is_some_and(|time| time.len() == 23 && time.contains('T')) {
            backups.push((name, entry));
        }
    }
    backups.sort_by(|(one, _), (other, _)| other.cmp(one));
    for (index, (_, entry)) in backups.iter().enumerate() {
        let age = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .map(|time| SystemTime::now().duration_since(time));
        if index >= BACKUPS || age.is_ok_and(|age| age.is_ok_and(|age| age > OLDEST)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
