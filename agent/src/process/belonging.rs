//! The container part of a process, as events show it.

use tetragon_api::tetragon::{Container, Pod, Process, ProcessIdentity};
use tetragon_bpf::records::identity_flags;

use super::text;
use crate::identity::{ContainerNumber, Knowledge, Resolved, Task};

/// To which container a process belongs, and since when that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belonging {
    /// The container.
    pub container: ContainerNumber,
    /// Everything is known that hooks and runtimes can tell.
    pub complete: bool,
    /// When it was known.
    pub knowledge: Knowledge,
    /// Work of the runtime, before the container's own program.
    pub setup: bool,
    /// Process id in the container; 0 in the host's namespace.
    nspid: u32,
}

impl Belonging {
    /// As the record of a task shows it, and what the store has found about it.
    pub(super) fn new(task: &Task<'_>, resolved: &Resolved, nspid: u32) -> Self {
        let flags = task.identity.flags;
        let in_kernel = flags & identity_flags::KNOWN != 0 && task.identity.container == resolved.number.0;
        let knowledge = match (in_kernel, resolved.complete) {
            (true, _) => Knowledge::InKernel,
            (false, true) => Knowledge::Early,
            (false, false) => Knowledge::Unknown,
        };
        Self {
            container: resolved.number,
            complete: resolved.complete,
            knowledge,
            setup: flags & identity_flags::SETUP != 0,
            nspid,
        }
    }

    pub(super) fn nspid(&self) -> u32 {
        self.nspid
    }

    /// The same for a process that is out of its container's cgroup.
    pub(super) fn migrated(self, nspid: u32) -> Self {
        let knowledge = if self.complete { Knowledge::Early } else { Knowledge::Unknown };
        Self { knowledge, nspid, ..self }
    }

    /// The same once the container is known.
    pub(super) fn late(self) -> Self {
        Self { complete: true, knowledge: Knowledge::Late, ..self }
    }

    /// Writes it into a process whose other fields are all there.
    pub(super) fn show(&self, wire: &mut Process, resolved: &Resolved) {
        wire.docker.clone_from(&resolved.docker);
        wire.pod = resolved.pod.as_ref().map(|pod| {
            let probe = resolved.probes.as_deref().is_some_and(|probes| is_probe(wire, probes));
            self.pod(pod, probe)
        });
    }

    fn pod(&self, pod: &Pod, maybe_exec_probe: bool) -> Pod {
        let container = pod.container.as_ref().map(|container| Container {
            pid: (self.nspid > 0).then_some(self.nspid),
            maybe_exec_probe,
            ..container.clone()
        });
        Pod { container, ..pod.clone() }
    }

    /// How it was found out, as events show it.
    pub(super) fn identity(&self, cgroup_id: u64, migrated: bool) -> ProcessIdentity {
        ProcessIdentity {
            in_kernel: self.knowledge == Knowledge::InKernel,
            setup: self.setup,
            cgroup_id,
            migrated,
        }
    }
}

/// Whether the process could be one of its pod's exec probes: same binary, same arguments.
fn is_probe(wire: &Process, probes: &[Vec<String>]) -> bool {
    probes.iter().any(|probe| {
        let Some((binary, arguments)) = probe.split_first() else { return false };
        let same_binary = if binary.contains('/') {
            *binary == wire.binary
        } else {
            wire.binary.rsplit('/').next() == Some(binary)
        };
        // Of the list, the first is the program's own name.
        let argv: Vec<&[u8]> = probe.iter().map(String::as_bytes).collect();
        same_binary
            && (text::render_arguments(&argv) == wire.arguments || arguments.join(" ") == wire.arguments)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_recognised_by_binary_and_arguments() {
        let probe = ["cat", "/tmp/ready"].map(str::to_owned).to_vec();
        let of = |binary: &str, arguments: &str| Process {
            binary: binary.to_owned(),
            arguments: arguments.to_owned(),
            ..Process::default()
        };
        let probes = [probe];
        assert!(is_probe(&of("/bin/cat", "/tmp/ready"), &probes));
        assert!(!is_probe(&of("/bin/cat", "/etc/passwd"), &probes));
        assert!(!is_probe(&of("/bin/dog", "/tmp/ready"), &probes));
        let absolute = [["/bin/cat", "/tmp/ready"].map(str::to_owned).to_vec()];
        assert!(!is_probe(&of("/usr/bin/cat", "/tmp/ready"), &absolute));
    }
}
