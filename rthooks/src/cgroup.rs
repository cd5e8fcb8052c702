//! Where a container's cgroup is, from how runtimes write it.

use std::fmt::Write as _;

/// A cgroup path that no rule covers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Neither a path nor `slice:prefix:name`.
    #[error("cgroup path {0:?} is neither a directory nor of the form slice:prefix:name")]
    Form(String),
    /// Not the name of a systemd slice.
    #[error("{0:?} is not the name of a systemd slice")]
    Slice(String),
}

/// The directory below the root of the hierarchy that an OCI `cgroupsPath` stands for. What has a `/` is a directory
/// already; `slice:prefix:name` is systemd's.
pub(crate) fn directory(oci: &str) -> Result<String, Malformed> {
    if oci.contains('/') {
        return Ok(oci.to_owned());
    }
    let parts: Vec<&str> = oci.split(':').collect();
    let [slice, prefix, name] = parts[..] else { return Err(Malformed::Form(oci.to_owned())) };
    let parent = expand(slice)?;
    let leaf = if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") };
    Ok(format!("{}/{leaf}", parent.trim_end_matches('/')))
}

/// Where a runtime puts container `id` of a pod whose cgroup is `parent`, if it does not say so itself.
pub(crate) fn below_pod(parent: &str, id: &str, crio: bool) -> Result<String, Malformed> {
    let base = parent.rsplit('/').next().unwrap_or_default();
    match (base.ends_with(".slice"), crio) {
        (true, true) => directory(&format!("{base}:crio:{id}")),
        (true, false) => directory(&format!("{base}:cri-containerd:{id}")),
        (false, true) => Ok(format!("{}/crio-{id}", parent.trim_end_matches('/'))),
        (false, false) => Ok(format!("{}/{id}", parent.trim_end_matches('/'))),
    }
}

/// The directory of a slice: each part of its name is a slice within the one before.
fn expand(slice: &str) -> Result<String, Malformed> {
    let malformed = || Malformed::Slice(slice.to_owned());
    if slice == "-.slice" {
        return Ok("/".to_owned());
    }
    let name = slice.strip_suffix(".slice").ok_or_else(malformed)?;
    let (mut path, mut prefix) = (String::new(), String::new());
    for part in name.split('-') {
        if part.is_empty() {
            return Err(malformed());
        }
        if !prefix.is_empty() {
            prefix.push('-');
        }
        prefix.push_str(part);
        let _ = write!(path, "/{prefix}.slice");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_paths_become_directories() {
        let cases = [
            (
                "kubepods-burstable-pod1_2.slice:cri-containerd:abc",
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-abc.scope",
            ),
            ("system.slice:docker:abc", "/system.slice/docker-abc.scope"),
            ("-.slice:crio:abc", "/crio-abc.scope"),
            ("a.slice::b.slice", "/a.slice/b.slice"),
        ];
        for (oci, path) in cases {
            assert_eq!(directory(oci).as_deref(), Ok(path), "{oci}");
        }
    }

    #[test]
    fn what_is_a_directory_stays_as_it_is() {
        for path in ["/kubepods/pod1/abc", "/a-b.slice:cri-containerd:abc", "relative/abc"] {
            assert_eq!(directory(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn what_no_rule_covers_is_named() {
        for oci in ["", "abc", "a.slice:b", "a.slice:b:c:d"] {
            assert_eq!(directory(oci), Err(Malformed::Form(oci.to_owned())));
        }
        for slice in ["a--b.slice", "-a.slice", "a", ".slice"] {
            assert_eq!(directory(&format!("{slice}:p:n")), Err(Malformed::Slice(slice.to_owned())));
        }
    }

    #[test]
    fn a_pods_cgroup_tells_its_containers() {
        let slice = "/kubepods.slice/kubepods-pod1.slice";
        let cases = [
            (slice, false, "/kubepods.slice/kubepods-pod1.slice/cri-containerd-x.scope"),
            (slice, true, "/kubepods.slice/kubepods-pod1.slice/crio-x.scope"),
            ("/kubepods/pod1/", false, "/kubepods/pod1/x"),
            ("/kubepods/pod1", true, "/kubepods/pod1/crio-x"),
        ];
        for (parent, crio, path) in cases {
            assert_eq!(below_pod(parent, "x", crio).as_deref(), Ok(path));
        }
    }
}
