//! Where a container's cgroup is, from how runtimes write it.

pub(crate) use tetragon_api::cgroups_path::{CgroupsPathError, directory};

/// Where a runtime puts container `id` of a pod whose cgroup is `parent`, if it does not say so itself.
pub(crate) fn below_pod(parent: &str, id: &str, crio: bool) -> Result<String, CgroupsPathError> {
    let base = parent.rsplit('/').next().unwrap_or_default();
    match (base.ends_with(".slice"), crio) {
        (true, true) => directory(&format!("{base}:crio:{id}")),
        (true, false) => directory(&format!("{base}:cri-containerd:{id}")),
        (false, true) => Ok(format!("{}/crio-{id}", parent.trim_end_matches('/'))),
        (false, false) => Ok(format!("{}/{id}", parent.trim_end_matches('/'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
