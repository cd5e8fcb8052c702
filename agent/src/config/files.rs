//! Settings in files: a directory with one file per option, and a flat YAML file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_norway::Value;

use super::error::{ConfigError, Source};
use super::nearest::nearest;
use super::resolve::{Given, Reports};
use super::spec::Spec;
use super::table::OPTIONS;

/// No setting is this long; what is longer was put there by mistake.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a directory with one file per option. `from` is what named the directory; a default directory
/// ([`Source::Default`]) may be missing.
pub(super) fn read_directory(path: &Path, from: &Source, given: &mut Given, reports: &mut Reports) {
    let mut entries = match std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && *from == Source::Default => return,
        Err(error) => {
            let (path, from, reason) = (path.to_owned(), from.clone(), error.to_string());
            reports.errors.push(ConfigError::Directory { path, from, reason });
            return;
        }
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Follows links: a ConfigMap mount is made of links to files and one to a directory.
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => continue,
            Ok(found) if found.is_file() => {}
            Ok(_) => {
                reports.warn(format!("{} is not a regular file and is skipped", path.display()));
                continue;
            }
            Err(error) => {
                reports.warn(format!("{} cannot be read and is skipped: {error}", path.display()));
                continue;
            }
        }
        let key = entry.file_name();
        let Some(spec) = lookup(&key.to_string_lossy(), &path, reports) else { continue };
        match read_file(&path) {
            Ok(text) => given.set(spec, Source::File(path), text.trim().to_owned()),
            Err(Unread::Io(error)) => {
                reports.warn(format!("{} cannot be read and is skipped: {error}", path.display()));
            }
            Err(Unread::Bad(reason)) => {
                reports.errors.push(ConfigError::File { path, reason: reason.to_owned() });
            }
        }
    }
}

/// Reads a flat YAML file, if there is one. A key without value goes back to the default.
pub(super) fn read_yaml(path: &Path, given: &mut Given, reports: &mut Reports) {
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Ok(found) if !found.is_file() => Err("not a regular file".to_owned()),
        Ok(_) => read_file(path).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let entries = text.and_then(|text| yaml_entries(&text));
    let entries = match entries {
        Ok(entries) => entries,
        Err(reason) => {
            reports.errors.push(ConfigError::File { path: path.to_owned(), reason });
            return;
        }
    };
    let source = Source::Yaml(path.to_owned());
    let mut seen = HashSet::new();
    for (key, entry) in entries {
        let Some(spec) = lookup(&key, path, reports) else { continue };
        if !seen.insert(spec.name) {
            let reason = format!("key {} stands there twice", spec.name);
            reports.errors.push(ConfigError::File { path: path.to_owned(), reason });
            continue;
        }
        match entry {
            Entry::Null => given.clear(spec),
            Entry::Text(text) => given.set(spec, source.clone(), text),
            Entry::List(words) if spec.list => given.set(spec, source.clone(), words.join(",")),
            Entry::List(_) | Entry::Other => {
                let reason = format!("key {key}: the value must be a single text, number or truth value");
                reports.errors.push(ConfigError::File { path: path.to_owned(), reason });
            }
        }
    }
}

fn lookup(key: &str, place: &Path, reports: &mut Reports) -> Option<&'static Spec> {
    let spec = OPTIONS.iter().find(|spec| spec.name.eq_ignore_ascii_case(key));
    if spec.is_none() {
        let hint = match nearest(key) {
            Some(name) => format!("; did you mean {name}?"),
            None => String::new(),
        };
        reports.warn(format!("{}: unknown setting {key:?} is ignored{hint}", place.display()));
    }
    spec
}

enum Unread {
    Io(io::Error),
    Bad(&'static str),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Bad(reason) => f.write_str(reason),
        }
    }
}

fn read_file(path: &Path) -> Result<String, Unread> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Unread::Io)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(Unread::Io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Unread::Bad("longer than 1 MiB, so not a setting"));
    }
    String::from_utf8(bytes).map_err(|_| Unread::Bad("not UTF-8 text"))
}

enum Entry {
    Null,
    Text(String),
    List(Vec<String>),
    Other,
}

/// The entries of a flat YAML map, with scalars as they are written (`0600` stays `0600`).
fn yaml_entries(text: &str) -> Result<Vec<(String, Entry)>, String> {
    // The first pass finds the shape of each value, the second reads the texts.
    let shapes: BTreeMap<String, Value> =
        match serde_norway::from_str(text).map_err(|error| error.to_string())? {
            Value::Null => return Ok(Vec::new()),
            Value::Mapping(map) => map
                .into_iter()
                .map(|(key, value)| match key {
                    Value::String(key) => Ok((key, value)),
                    other => Err(format!("a key must be the name of a setting, not {other:?}")),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err("must be a map from settings to values".to_owned()),
        };
    Entries(&shapes)
        .deserialize(serde_norway::Deserializer::from_str(text))
        .map_err(|error| error.to_string())
}

struct Entries<'a>(&'a BTreeMap<String, Value>);

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = Vec<(String, Entry)>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from settings to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let entry = match self.0.get(&key) {
                Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => Entry::Text(map.next_value()?),
                Some(Value::Sequence(items)) if items.iter().all(Value::is_string) => {
                    Entry::List(map.next_value()?)
                }
                Some(Value::Null) => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                    Entry::Null
                }
                _ => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                    Entry::Other
                }
            };
            entries.push((key, entry));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    fn yaml(text: &str) -> (Given, Reports) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let (mut given, mut reports) = (Given::default(), Reports::default());
        read_yaml(file.path(), &mut given, &mut reports);
        (given, reports)
    }

    fn text<'a>(given: &'a Given, name: &str) -> Option<&'a str> {
        given.get(name).map(|(_, text)| text.as_str())
    }

    #[test]
    fn yaml_scalars_keep_their_spelling() {
        let (given, reports) = yaml(
            "export-file-perm: 0600\nDebug: True\nrb-size: 64K\nprocfs: '/p'\nexport-rate-limit: -1\n\
             server-address: \"\"\nenable-ancestors: [base, lsm]\nexport-denylist: |-\n  {\"pid\":[1]}\n  {}\n",
        );
        assert!(reports.errors.is_empty() && reports.warnings.is_empty(), "{reports:?}");
        assert_eq!(text(&given, "export-file-perm"), Some("0600"));
        assert_eq!(text(&given, "debug"), Some("True"));
        assert_eq!(text(&given, "export-rate-limit"), Some("-1"));
        assert_eq!(text(&given, "server-address"), Some(""));
        assert_eq!(text(&given, "enable-ancestors"), Some("base,lsm"));
        assert_eq!(text(&given, "export-denylist"), Some("{\"pid\":[1]}\n{}"));
    }

    #[test]
    fn a_yaml_key_without_value_erases_lower_layers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "btf:\nkernel: ~\n").unwrap();
        let (mut given, mut reports) = (Given::default(), Reports::default());
        for name in ["btf", "kernel"] {
            let spec = OPTIONS.iter().find(|spec| spec.name == name).unwrap();
            given.set(spec, Source::Flag, "lower".to_owned());
        }
        read_yaml(file.path(), &mut given, &mut reports);
        assert_eq!((text(&given, "btf"), text(&given, "kernel")), (None, None));
        assert!(reports.errors.is_empty());
    }

    #[test]
    fn an_empty_yaml_file_sets_nothing() {
        for content in ["", "---\n", "# only a comment\n", "{}"] {
            let (_, reports) = yaml(content);
            assert!(reports.errors.is_empty(), "{content:?}: {reports:?}");
        }
    }

    #[test]
    fn broken_yaml_is_an_error_that_names_the_file() {
        for content in
            ["a: [", "- btf", "just text", "1: 2", "btf: {a: b}", "btf: [a]", "btf: a\nBTF: b", "a: b: c"]
        {
            let (_, reports) = yaml(content);
            assert_eq!(reports.errors.len(), 1, "{content:?}: {reports:?}");
            assert!(reports.errors[0].to_string().starts_with("configuration file /"));
        }
    }

    #[test]
    fn unknown_keys_are_warned_about_with_the_nearest_name() {
        let (_, reports) = yaml("tcp-stats-sample-segs: 5\nlog-levle: info\n");
        assert!(reports.errors.is_empty());
        assert!(reports.warnings[0].0.ends_with("\"tcp-stats-sample-segs\" is ignored"));
        assert!(reports.warnings[1].0.ends_with("did you mean log-level?"));
    }

    #[test]
    fn a_config_map_mount_reads_like_plain_files() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("..2024_01_01");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("log-level"), " debug\n").unwrap();
        std::fs::write(data.join("server-address"), "\n").unwrap();
        std::fs::write(data.join("rb-size"), "").unwrap();
        symlink("..2024_01_01", dir.path().join("..data")).unwrap();
        for name in ["log-level", "server-address", "rb-size"] {
            symlink(format!("..data/{name}"), dir.path().join(name)).unwrap();
        }
        symlink("gone", dir.path().join("btf")).unwrap();
        let (mut given, mut reports) = (Given::default(), Reports::default());
        read_directory(dir.path(), &Source::Flag, &mut given, &mut reports);
        assert_eq!(text(&given, "log-level"), Some("debug"));
        assert_eq!(text(&given, "server-address"), Some(""));
        assert_eq!(text(&given, "rb-size"), None);
        assert!(reports.errors.is_empty());
        assert_eq!(reports.warnings.len(), 1, "{reports:?}");
        assert_eq!(given.get("log-level").unwrap().0, Source::File(dir.path().join("log-level")),);
    }

    #[test]
    fn files_that_are_not_text_or_far_too_long_are_errors_and_pipes_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("btf"), [0xff, 0xfe]).unwrap();
        std::fs::write(dir.path().join("kernel"), vec![b'x'; 2 << 20]).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("procfs")).unwrap();
        let (mut given, mut reports) = (Given::default(), Reports::default());
        read_directory(dir.path(), &Source::Flag, &mut given, &mut reports);
        drop(socket);
        assert_eq!((reports.errors.len(), reports.warnings.len()), (2, 1), "{reports:?}");
    }

    #[test]
    fn only_a_default_directory_may_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let gone = dir.path().join("gone");
        for (path, from, errors) in [
            (&gone, Source::Default, 0),
            (&gone, Source::Flag, 1),
            (&file, Source::Default, 1),
            (&file, Source::Flag, 1),
        ] {
            let (mut given, mut reports) = (Given::default(), Reports::default());
            read_directory(path, &from, &mut given, &mut reports);
            assert_eq!(reports.errors.len(), errors, "{reports:?}");
        }
    }

    proptest! {
        #[test]
        fn no_yaml_makes_the_reader_panic(content in prop_oneof!["\\PC*", "[-:{}\\[\\]~&*!|> \n\"'a-f0-9]{0,60}"]) {
            let _ = yaml_entries(&content);
        }
    }
}
