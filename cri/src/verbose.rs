//! What runtimes add to a status when they are asked to be verbose: JSON in the entry `info`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The parts of it that matter here. containerd and CRI-O use the same names for these; others have none of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    #[serde(rename = "sandboxID")]
    pub(crate) sandbox_id: String,
    /// Of sandboxes.
    pub(crate) image: String,
    pid: i64,
    #[serde(rename = "runtimeSpec")]
    spec: Option<Spec>,
}

#[derive(Debug, Deserialize)]
struct Spec {
    linux: Option<Linux>,
}

#[derive(Debug, Deserialize)]
struct Linux {
    #[serde(rename = "cgroupsPath")]
    cgroups_path: Option<String>,
}

impl Info {
    /// What there is; a form that is not known leaves everything empty.
    pub(crate) fn read(info: &BTreeMap<String, String>) -> Self {
        info.get("info").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// The first process, in the runtime's pid namespace; 0 if not known or not running.
    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(self.pid).unwrap_or_default()
    }

    /// As a directory below the root of the cgroup hierarchy.
    pub(crate) fn cgroups_path(&self) -> Option<String> {
        let path = self.spec.as_ref()?.linux.as_ref()?.cgroups_path.as_deref()?;
        tetragon_api::cgroups_path::directory(path).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Info {
        Info::read(&BTreeMap::from([("info".to_owned(), json.to_owned())]))
    }

    #[test]
    fn what_is_needed_is_found_among_the_rest() {
        let info = read(
            r#"{"sandboxID":"ab","pid":42,"removing":false,"config":{"pid":1,"linux":{}},
                "runtimeSpec":{"ociVersion":"1.2.0","process":{"args":["x"]},
                "linux":{"resources":{},"cgroupsPath":"a-b.slice:cri-containerd:ab"}}}"#,
        );
        assert_eq!((info.sandbox_id.as_str(), info.pid()), ("ab", 42));
        assert_eq!(info.cgroups_path().as_deref(), Some("/a.slice/a-b.slice/cri-containerd-ab.scope"));
    }

    #[test]
    fn what_is_missing_or_strange_is_left_empty() {
        for json in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"pid":-1}"#,
            r#"{"runtimeSpec":null}"#,
            r#"{"runtimeSpec":{"linux":null}}"#,
            r#"{"runtimeSpec":{"linux":{"cgroupsPath":""}}}"#,
            r#"{"runtimeSpec":{"linux":{"cgroupsPath":"a:b"}}}"#,
        ] {
            let info = read(json);
            assert_eq!((info.pid(), info.cgroups_path()), (0, None), "{json}");
        }
        assert_eq!(Info::read(&BTreeMap::new()).cgroups_path(), None);
    }
}
