//! The container id that a cgroup's name carries, by the conventions of the runtimes.

/// How much of a container id is shown.
const SHOWN: usize = 31;
/// Length of a whole container id.
const WHOLE: usize = 64;

/// From the name of the leaf cgroup: `cri-containerd-<id>.scope`, `docker-<id>.scope`, `<id>`, `prefix:cri:<id>`...
/// Returns the first 31 characters of the id.
pub fn id_of_cgroup_name(name: &str) -> Option<&str> {
    if name.ends_with("service") {
        return None;
    }
    let name = name.rsplit(':').next().unwrap_or(name);
    let name = name.rsplit('-').next().unwrap_or(name);
    let id = name.strip_suffix(".scope").unwrap_or(name);
    if id.len() < WHOLE || !id.is_char_boundary(SHOWN) {
        return None;
    }
    id.get(..SHOWN)
}

/// From a whole cgroup path, as `/proc/<pid>/cgroup` shows it. Understands podman's `libpod-<id>.scope/container`.
pub fn id_of_cgroup_path(path: &str) -> Option<&str> {
    let mut parts = path.rsplit('/');
    let leaf = parts.next()?;
    if leaf == "container" && path.contains("libpod") {
        return parts.find_map(id_of_cgroup_name);
    }
    if path.contains("syscont-cgroup-root") && path.split('/').count() > 4 {
        return path.split('/').nth(4).and_then(id_of_cgroup_name);
    }
    id_of_cgroup_name(leaf)
}

/// From the text of `/proc/<pid>/cgroup`: the first line that yields an id.
pub fn id_of_proc_cgroup(text: &str) -> Option<&str> {
    text.lines()
        .filter(|line| ["pods", "docker", "libpod"].iter().any(|word| line.contains(word)))
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find_map(id_of_cgroup_path)
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
            assert_eq!(id_of_cgroup_name(&name), Some(&ID[..31]), "{name}");
        }
    }

    #[test]
    fn other_cgroups_yield_none() {
        for name in ["", "system.slice", "user@1000.service", "init.scope", &ID[..40], "\u{fc}\u{fc}"] {
            assert_eq!(id_of_cgroup_name(name), None, "{name}");
        }
        assert_eq!(id_of_cgroup_name(&format!("docker-{ID}.service")), None);
    }

    #[test]
    fn paths_and_proc_files_yield_the_id() {
        let podman = format!("/machine.slice/libpod-{ID}.scope/container");
        assert_eq!(id_of_cgroup_path(&podman), Some(&ID[..31]));
        let proc = format!("12:pids:/\n0::/kubepods.slice/pod1/cri-containerd-{ID}.scope\n");
        assert_eq!(id_of_proc_cgroup(&proc), Some(&ID[..31]));
        assert_eq!(id_of_proc_cgroup("0::/user.slice\n"), None);
    }
}
