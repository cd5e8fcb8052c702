//! Names of rotated files, and which of them to keep.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// Length of a time in that form.
const TIME_LENGTH: usize = "2024-01-31T23-59-59.123".len();

/// How the rotated files of one export file are called: `<stem>-<time><extension>`, with `.gz` when compressed.
#[derive(Clone, Debug)]
pub(super) struct Names {
    directory: PathBuf,
    prefix: String,
    extension: String,
}

/// The files of one rotation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Backup {
    pub(super) plain: Option<PathBuf>,
    pub(super) compressed: Option<PathBuf>,
}

impl Names {
    pub(super) fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (stem, extension) = match name.rfind('.') {
            Some(dot) => name.split_at(dot),
            None => (name.as_str(), ""),
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { directory, prefix: format!("{stem}-"), extension: extension.to_owned() }
    }

    /// A name that no file has yet, from the given time on.
    pub(super) fn fresh(&self, mut time: Timestamp) -> PathBuf {
        loop {
            let text = time.to_zoned(TimeZone::UTC).strftime(TIME).to_string();
            let path = self.directory.join(format!("{}{text}{}", self.prefix, self.extension));
            let taken = |path: &Path| path.symlink_metadata().is_ok();
            if !taken(&path) && !taken(&compressed_name(&path)) {
                return path;
            }
            let Ok(next) = time.checked_add(jiff::SignedDuration::from_millis(1)) else { return path };
            time = next;
        }
    }

    /// The time in the name of a rotated file and what follows the regular name (nothing, `.gz`, ...).
    fn parse<'a>(&self, name: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = name.strip_prefix(&self.prefix)?;
        let (time, rest) = rest.split_at_checked(TIME_LENGTH)?;
        DateTime::strptime(TIME, time).ok()?;
        Some((time, rest.strip_prefix(&self.extension)?))
    }

    /// All rotated files, oldest first, and leftovers of compressions that were cut short.
    pub(super) fn list(&self) -> io::Result<(BTreeMap<String, Backup>, Vec<PathBuf>)> {
        let (mut backups, mut leftovers) = (BTreeMap::<String, Backup>::new(), Vec::new());
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((time, suffix)) = name.to_str().and_then(|name| self.parse(name)) else { continue };
            match suffix {
                "" => backups.entry(time.to_owned()).or_default().plain = Some(entry.path()),
                ".gz" => backups.entry(time.to_owned()).or_default().compressed = Some(entry.path()),
                ".gz.tmp" => leftovers.push(entry.path()),
                _ => {}
            }
        }
        Ok((backups, leftovers))
    }
}

/// The name of the compressed form of a file.
pub(super) fn compressed_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> Timestamp {
        "2024-01-31T23:59:59.123Z".parse().unwrap()
    }

    #[test]
    fn names_split_at_the_last_dot_and_carry_utc() {
        for (path, expected) in [
            ("/v/tetragon.log", "/v/tetragon-2024-01-31T23-59-59.123.log"),
            ("/v/a.b.json", "/v/a.b-2024-01-31T23-59-59.123.json"),
            ("/v/plain", "/v/plain-2024-01-31T23-59-59.123"),
            ("here.log", "./here-2024-01-31T23-59-59.123.log"),
        ] {
            assert_eq!(Names::of(Path::new(path)).fresh(time()), PathBuf::from(expected));
        }
    }

    #[test]
    fn a_taken_name_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::of(&dir.path().join("t.log"));
        std::fs::write(names.fresh(time()), "").unwrap();
        std::fs::write(compressed_name(&names.fresh(time())), "").unwrap();
        assert!(names.fresh(time()).ends_with("t-2024-01-31T23-59-59.125.log"));
    }

    #[test]
    fn only_rotated_files_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::of(&dir.path().join("t.log"));
        for name in [
            "t.log",
            "t-2024-01-31T23-59-59.123.log",
            "t-2024-01-31T23-59-59.123.log.gz",
            "t-2024-02-31T23-59-59.123.log",
            "t-2024-01-31T23-59-58.000.log.gz",
            "t-2024-01-31T23-59-58.000.log.gz.tmp",
            "t-notes.log",
            "t-2024-01-31T23-59-58.000.log.bak",
            "tt-2024-01-31T23-59-59.123.log",
            "t-äääääääääääääää.log",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let (backups, leftovers) = names.list().unwrap();
        let times: Vec<_> = backups.keys().map(String::as_str).collect();
        assert_eq!(times, ["2024-01-31T23-59-58.000", "2024-01-31T23-59-59.123"]);
        assert!(backups["2024-01-31T23-59-59.123"].plain.is_some());
        assert!(backups["2024-01-31T23-59-59.123"].compressed.is_some());
        assert!(backups["2024-01-31T23-59-58.000"].plain.is_none());
        assert_eq!(leftovers.len(), 1);
    }
}
