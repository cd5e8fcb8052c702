//! Where a container is: the cgroup that a hook means, however little of it the hook can know.

use super::hook::HookError;
use super::store::Store;
use super::{CgroupId, name};

/// A container's cgroup.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) cgroup: CgroupId,
    pub(super) path: String,
    /// Its first process; 0 if what was told is in no cgroup of the container's.
    pub(super) pid: u32,
}

impl Store {
    /// The cgroup of the container with this id, of which a path and its first process may be told.
    ///
    /// A process that is in a cgroup of the container's is believed more than a path: a runtime may have put it
    /// elsewhere than it was told to. One that is not has gone already, or its number is of another pid namespace, as
    /// where the runtime itself runs in a container (a kubelet in a container tells paths, too, that begin further
    /// down). Then it is the path, else where the kernel has seen the cgroup made, else where one of that name is.
    ///
    /// The last of these is a walk through the whole hierarchy, for callers who know that the container must be there:
    /// with `must_exist` false it is left out.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn locate(
        &self,
        id: &str,
        given: Option<&str>,
        pid: u32,
        must_exist: bool,
    ) -> Result<Located, HookError> {
        let Some(fs) = &self.fs else { return Err(HookError::NoPlace) };
        let actual = if pid == 0 { None } else { fs.of_process(pid).ok() };
        let of_process = actual.and_then(|actual| container_part(&actual, id, given));
        if let Some(path) = of_process
            && let Ok(cgroup) = fs.id(&path)
        {
            return Ok(Located { cgroup, path, pid });
        }
        let Some(given) = given else { return Err(HookError::NoPlace) };
        let source = match fs.id(given) {
            Ok(cgroup) => return Ok(Located { cgroup, path: given.to_owned(), pid: 0 }),
            Err(error) => error,
        };
        if let Some((cgroup, path)) = self.own_cgroup(id) {
            return Ok(Located { cgroup, path, pid: 0 });
        }
        let leaf = leaf_of(given);
        let found = must_exist.then(|| fs.below("/").find(|(_, path)| leaf_of(path) == leaf)).flatten();
        match found {
            Some((cgroup, path)) => Ok(Located { cgroup, path, pid: 0 }),
            None => Err(HookError::NoCgroup { path: given.to_owned(), source }),
        }
    }
}

/// As much of a process's path as is the container's; a runtime may have made cgroups further down.
fn container_part(actual: &str, id: &str, given: Option<&str>) -> Option<String> {
    let Some(given) = given else { return (actual != "/").then(|| actual.to_owned()) };
    if actual == given || actual.strip_prefix(given).is_some_and(|rest| rest.starts_with('/')) {
        return Some(given.to_owned());
    }
    let leaf = leaf_of(given);
    let known_id = (id.len() >= name::SHOWN).then_some(id);
    let mut end = 0;
    for part in actual.split('/').skip(1) {
        end += 1 + part.len();
        // Not the monitor's, which carries the id as well.
        if part == leaf || known_id.is_some_and(|id| name::container_id(part) == Some(id)) {
            return Some(actual[..end].to_owned());
        }
    }
    None
}

fn leaf_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_the_part_up_to_the_container_is_taken() {
        let id = "0123456789abcdef".repeat(4);
        let given = format!("/kubepods/pod1/{id}");
        let part = |actual: &str| container_part(actual, &id, Some(&given));
        assert_eq!(part(&given).as_deref(), Some(&*given));
        assert_eq!(part(&format!("{given}/init.scope")).as_deref(), Some(&*given));
        let inner = format!("/docker/node/kubelet/kubepods/pod1/{id}");
        assert_eq!(part(&format!("{inner}/x")).as_deref(), Some(&*inner));
        let scope = format!("/kubepods.slice/cri-containerd-{id}.scope");
        assert_eq!(part(&scope).as_deref(), Some(&*scope), "another driver than was told");
        for other in ["/", "/system.slice/sshd.service", &format!("/crio-conmon-{id}.scope"), "/../x"] {
            assert_eq!(part(other), None, "{other}");
        }
        assert_eq!(container_part("/a/b", &id, None).as_deref(), Some("/a/b"));
        assert_eq!(container_part("/", &id, None), None);
    }
}
