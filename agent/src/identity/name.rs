//! What the path of a cgroup tells, by the conventions of runtimes and kubelets.

use std::borrow::Cow;

/// How much of a container id events show.
pub const SHOWN: usize = 31;
/// Length of a whole container id.
pub const WHOLE: usize = 64;

/// The container id in the name of a leaf cgroup: `cri-containerd-<id>.scope`, `docker-<id>.scope`, `<id>`,
/// `prefix:cri:<id>`... None for the monitors of CRI-O and podman, which carry the id of their container as well.
pub fn container_id(name: &str) -> Option<&str> {
    if name.ends_with("service") {
        return None;
    }
    let name = name.rsplit(':').next().unwrap_or(name);
    let (prefix, name) = name.rsplit_once('-').unwrap_or(("", name));
    if prefix == "conmon" || prefix.ends_with("-conmon") {
        return None;
    }
    let id = name.strip_suffix(".scope").unwrap_or(name);
    if id.len() < WHOLE || !id.is_char_boundary(SHOWN) {
        return None;
    }
    Some(id)
}

/// The container id in a whole cgroup path. Understands podman's `libpod-<id>.scope/container`.
pub fn container_id_of_path(path: &str) -> Option<&str> {
    let mut parts = path.rsplit('/');
    let leaf = parts.next()?;
    if leaf == "container" && path.contains("libpod") {
        return parts.find_map(container_id);
    }
    if path.contains("syscont-cgroup-root") && path.split('/').count() > 4 {
        return path.split('/').nth(4).and_then(container_id);
    }
    container_id(leaf)
}

/// The container id in the text of `/proc/<pid>/cgroup`: of the first line that yields one.
pub fn container_id_of_proc_cgroup(text: &str) -> Option<&str> {
    text.lines()
        .filter(|line| ["pods", "docker", "libpod"].iter().any(|word| line.contains(word)))
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find_map(container_id_of_path)
}

/// The uid of the pod in whose cgroup the path lies: `pod<uid>`, or `kubepods-burstable-pod<uid with _>.slice`.
pub fn pod_uid(path: &str) -> Option<Cow<'_, str>> {
    path.rsplit('/').skip(1).find_map(|part| {
        let part = part.strip_suffix(".slice").unwrap_or(part);
        let uid = match part.rsplit_once("-pod") {
            Some((_, uid)) => uid,
            None => part.strip_prefix("pod")?,
        };
        let plausible =
            uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_' || b == b'-');
        let owned = || if uid.contains('_') { Cow::Owned(uid.replace('_', "-")) } else { Cow::Borrowed(uid) };
        plausible.then(owned)
    })
}

/// As events show a container id.
pub fn shown(id: &str) -> &str {
    id.get(..SHOWN).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_of_all_runtimes_yield_the_id() {
        for name in [
            ID.to_owned(),
            format!("cri-containerd-{ID}.scope"),
            format!("docker-{ID}.scope"),
            format!("crio-{ID}.scope"),
            format!("libpod-{ID}.scope"),
            format!("kubepods-besteffort-pod1:cri-containerd:{ID}"),
        ] {
            assert_eq!(container_id(&name), Some(ID), "{name}");
        }
    }

    #[test]
    fn other_cgroups_yield_none() {
        for name in ["", "system.slice", "user@1000.service", "init.scope", &ID[..40], "\u{fc}\u{fc}"] {
            assert_eq!(container_id(name), None, "{name}");
        }
        for prefix in ["docker-{}.service", "crio-conmon-{}.scope", "libpod-conmon-{}.scope", "conmon-{}"] {
            assert_eq!(container_id(&prefix.replace("{}", ID)), None, "{prefix}");
        }
    }

    #[test]
    fn paths_and_proc_files_yield_the_id() {
        let podman = format!("/machine.slice/libpod-{ID}.scope/container");
        assert_eq!(container_id_of_path(&podman), Some(ID));
        let proc = format!("12:pids:/\n0::/kubepods.slice/pod1/cri-containerd-{ID}.scope\n");
        assert_eq!(container_id_of_proc_cgroup(&proc), Some(ID));
        assert_eq!(container_id_of_proc_cgroup("0::/user.slice\n"), None);
        // Docker inside docker: the inner one where it is the leaf, nobody's where a nested init is.
        assert_eq!(container_id_of_path(&format!("/docker-{ID}.scope/init.scope")), None);
        let inner = ID.replace('0', "f");
        let nested = format!("/docker-{ID}.scope/kubepods/burstable/pod1/{inner}");
        assert_eq!(container_id_of_path(&nested), Some(&*inner));
        assert_eq!(container_id_of_path("/libpod_parent/conmon"), None);
    }

    #[test]
    fn pods_are_found_under_both_cgroup_drivers() {
        let uid = "6f3e2a14-9d1b-4c5e-8a77-0123456789ab";
        assert_eq!(pod_uid(&format!("/kubepods/burstable/pod{uid}/{ID}")).as_deref(), Some(uid));
        let slice = format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{ID}.scope",
            uid.replace('-', "_")
        );
        assert_eq!(pod_uid(&slice).as_deref(), Some(uid));
        // A static pod's is a hash.
        let hash = "0123456789abcdef0123456789abcdef";
        assert_eq!(pod_uid(&format!("/kubepods/pod{hash}/{ID}/nested")).as_deref(), Some(hash));
        for path in
            [format!("/system.slice/docker-{ID}.scope"), format!("/podium/{ID}"), format!("/pods/pod1/{ID}")]
        {
            assert_eq!(pod_uid(&path), None, "{path}");
        }
    }
}
