//! What the bundle's `config.json` says, read leniently: a part that this version does not understand costs that
//! part alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Root};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tetragon_api::tetragon as wire;

const FILE: &str = "config.json";
/// Where the bundle is, seen from the folder that the runtime starts the hook in: containerd's `createRuntime`,
/// containerd's `createContainer`, CRI-O.
const PLACES: [&str; 3] = [".", "..", "../userdata"];
/// Bytes.
const LARGEST: u64 = 32 << 20;

/// The parts of a bundle's specification that the agent wants.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) cgroups_path: Option<String>,
    /// Of the container's file system; the bundle itself if it names none.
    pub(crate) root_dir: PathBuf,
    pub(crate) mounts: Vec<wire::Mount>,
    /// Parts that could not be understood, and why.
    pub(crate) doubts: Vec<String>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error("no config.json in the bundle ({}) nor around the hook's working directory ({})", .bundle.display(), .cwd.display())]
    Missing { bundle: PathBuf, cwd: PathBuf },
    #[error("{} cannot be read: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is malformed: {error}", .path.display())]
    Malformed { path: PathBuf, error: serde_json::Error },
}

/// The bundle in the folder that the runtime's state names, else around the hook's working directory.
pub(crate) fn read(named: Option<&Path>, cwd: &Path) -> Result<Bundle, BundleError> {
    let around = PLACES.iter().map(|place| cwd.join(place));
    let mut candidates = named.map(Path::to_owned).into_iter().chain(around);
    let Some(folder) = candidates.find(|folder| folder.join(FILE).exists()) else {
        return Err(BundleError::Missing {
            bundle: named.unwrap_or(Path::new("")).into(),
            cwd: cwd.to_owned(),
        });
    };
    // Without the dots, if that is possible: the agent shows it to people.
    let folder = folder.canonicalize().unwrap_or(folder);
    let path = folder.join(FILE);
    let text = match read_bounded(&path) {
        Ok(text) => text,
        Err(error) => return Err(BundleError::Unreadable { path, error }),
    };
    parse(&text, &folder).map_err(|error| BundleError::Malformed { path, error })
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(text)
}

/// The top level, whose parts are looked into one by one.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    linux: Option<&'a RawValue>,
    #[serde(borrow)]
    root: Option<&'a RawValue>,
    #[serde(borrow)]
    mounts: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    cgroups_path: Option<String>,
}

fn parse(text: &[u8], folder: &Path) -> Result<Bundle, serde_json::Error> {
    let parts: Parts<'_> = serde_json::from_slice(text)?;
    let mut doubts = Vec::new();
    let linux: Option<Linux> = part(parts.linux, "linux", &mut doubts);
    let root: Option<Root> = part(parts.root, "root", &mut doubts);
    let mounts: Vec<&RawValue> = part(parts.mounts, "mounts", &mut doubts).unwrap_or_default();
    let mounts =
        mounts.into_iter().filter_map(|mount| part(Some(mount), "mounts", &mut doubts)).collect::<Vec<_>>();
    Ok(Bundle {
        annotations: annotations(parts.annotations, &mut doubts),
        cgroups_path: linux.and_then(|linux| linux.cgroups_path).filter(|path| !path.is_empty()),
        root_dir: root.map_or_else(|| folder.to_owned(), |root| folder.join(root.path())),
        mounts: mounts.iter().map(mount).collect(),
        doubts,
    })
}

fn part<'a, T: Deserialize<'a>>(
    part: Option<&'a RawValue>,
    name: &str,
    doubts: &mut Vec<String>,
) -> Option<T> {
    serde_json::from_str::<Option<T>>(part?.get()).unwrap_or_else(|error| {
        doubts.push(format!("config.json, {name}: {error}"));
        None
    })
}

/// Those that are strings, as all of them should be.
fn annotations(raw: Option<&RawValue>, doubts: &mut Vec<String>) -> BTreeMap<String, String> {
    let all: BTreeMap<String, &RawValue> = part(raw, "annotations", doubts).unwrap_or_default();
    let strings = all.into_iter().filter_map(|(key, value)| {
        let value = part(Some(value), &format!("annotation {key:?}"), doubts)?;
        Some((key, value))
    });
    strings.collect()
}

fn mount(mount: &Mount) -> wire::Mount {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    wire::Mount {
        destination: text(mount.destination()),
        r#type: mount.typ().clone().unwrap_or_default(),
        source: mount.source().as_deref().map(text).unwrap_or_default(),
        options: mount.options().clone().unwrap_or_default(),
    }
}

/// A map of strings inside an annotation, as CRI-O keeps labels.
pub(crate) fn map_in<T: DeserializeOwned + Default>(annotation: Option<&String>) -> T {
    annotation.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const CONFIG: &str = r#"{"ociVersion":"9.9","hooks":{"createRuntime":[{"path":1}]},
        "process":{"capabilities":{"bounding":["CAP_OF_TOMORROW"]}},
        "root":{"path":"rootfs","readonly":true},
        "annotations":{"a":"b","n":1},
        "mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid"]},{"destination":3}],
        "linux":{"cgroupsPath":"/kubepods/pod1/c1","namespaces":[{"type":"of-tomorrow"}]}}"#;

    #[test]
    fn only_what_is_not_understood_is_missing() {
        let bundle = parse(CONFIG.as_bytes(), Path::new("/b")).expect("an object");
        assert_eq!(bundle.cgroups_path.as_deref(), Some("/kubepods/pod1/c1"));
        assert_eq!(bundle.root_dir, Path::new("/b/rootfs"));
        assert_eq!(bundle.annotations, [("a".to_owned(), "b".to_owned())].into());
        assert_eq!(bundle.mounts.len(), 1);
        assert_eq!(bundle.mounts[0].options, ["nosuid"]);
        assert_eq!(bundle.doubts.len(), 2, "{:?}", bundle.doubts);
        assert!(bundle.doubts[1].contains(r#"annotation "n""#), "{:?}", bundle.doubts);
    }

    #[test]
    fn an_absolute_root_stays_and_none_is_the_bundle() {
        let root = |text: &str| parse(text.as_bytes(), Path::new("/b")).expect("an object").root_dir;
        assert_eq!(root(r#"{"root":{"path":"/merged"}}"#), Path::new("/merged"));
        assert_eq!(root("{}"), Path::new("/b"));
        assert_eq!(root(r#"{"root":null,"linux":null,"mounts":null}"#), Path::new("/b"));
    }

    #[test]
    fn bundles_are_found_where_runtimes_put_them() {
        let dir = tempfile::tempdir().expect("folder");
        let at = |place: &str| dir.path().join(place);
        for place in ["ctr/work", "crio/run", "crio/userdata", "named"] {
            fs::create_dir_all(at(place)).expect("folder");
        }
        for (place, key) in [("ctr", "parent"), ("crio/userdata", "userdata"), ("named", "named")] {
            fs::write(at(place).join(FILE), format!(r#"{{"annotations":{{"{key}":""}}}}"#)).expect("file");
        }
        let found = |named: Option<&Path>, cwd: &str| {
            read(named, &at(cwd)).expect("found").annotations.into_keys().next().expect("one")
        };
        assert_eq!(found(None, "ctr"), "parent");
        assert_eq!(found(None, "ctr/work"), "parent");
        assert_eq!(found(None, "crio/run"), "userdata");
        assert_eq!(found(Some(&at("named")), "ctr"), "named");
        assert_eq!(found(Some(&at("gone")), "ctr"), "parent");
        assert!(matches!(read(Some(&at("gone")), Path::new("/proc/self")), Err(BundleError::Missing { .. })));
        fs::create_dir(at("crio").join(FILE)).expect("folder");
        assert!(matches!(read(Some(&at("crio")), &at("ctr")), Err(BundleError::Unreadable { .. })));
        fs::write(at("named").join(FILE), "[]{").expect("file");
        assert!(matches!(read(Some(&at("named")), &at("ctr")), Err(BundleError::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn nothing_in_a_bundle_panics(text in prop_oneof![
            any::<Vec<u8>>(),
            r#"\{"(annotations|linux|root|mounts)":[\[{"a:}\] 0-9]{0,20}\}"#.prop_map(String::into_bytes),
        ]) {
            let _ = parse(&text, Path::new("/b"));
        }
    }
}
