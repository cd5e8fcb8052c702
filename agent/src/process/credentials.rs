//! Credentials, capabilities, namespaces and privilege changes in their wire form.

use tetragon_api::tetragon::{
    BinaryProperties, Capabilities, FileProperties, InodeProperties, Namespace, Namespaces,
    ProcessCredentials, ProcessPrivilegesChanged,
};
use tetragon_bpf::records::{self, Credentials, TaskInfo, transitions};

fn bits(mask: u64) -> Vec<i32> {
    (0..64).filter(|bit| mask >> bit & 1 != 0).collect()
}

/// Capability sets, ascending.
pub fn capabilities(cred: &Credentials) -> Capabilities {
    Capabilities {
        permitted: bits(cred.permitted),
        effective: bits(cred.effective),
        inheritable: bits(cred.inheritable),
    }
}

/// All ids, and secure bits ascending.
pub fn process_credentials(cred: &Credentials) -> ProcessCredentials {
    ProcessCredentials {
        uid: Some(cred.uid),
        gid: Some(cred.gid),
        euid: Some(cred.euid),
        egid: Some(cred.egid),
        suid: Some(cred.suid),
        sgid: Some(cred.sgid),
        fsuid: Some(cred.fsuid),
        fsgid: Some(cred.fsgid),
        securebits: (0..8).map(|bit| 1 << bit).filter(|bit| cred.securebits & *bit as u32 != 0).collect(),
        caps: None,
        user_ns: None,
    }
}

/// Namespaces, each compared with the host's.
pub fn namespaces(ns: &records::Namespaces, host: &records::Namespaces) -> Namespaces {
    let one = |inum: u32, host: u32| Some(Namespace { inum, is_host: inum == host });
    let time = |inum: u32, host: u32| if ns.time == 0 { None } else { one(inum, host) };
    Namespaces {
        uts: one(ns.uts, host.uts),
        ipc: one(ns.ipc, host.ipc),
        mnt: one(ns.mnt, host.mnt),
        pid: one(ns.pid, host.pid),
        pid_for_children: one(ns.pid_for_children, host.pid_for_children),
        net: one(ns.net, host.net),
        time: time(ns.time, host.time),
        time_for_children: time(ns.time_for_children, host.time_for_children),
        cgroup: one(ns.cgroup, host.cgroup),
        user: one(ns.user, host.user),
    }
}

/// What is special about the binary of an exec; `None` if nothing is.
pub fn binary_properties(task: &TaskInfo, changed: u32) -> Option<BinaryProperties> {
    let has = |bit| changed & bit != 0;
    let mut privileges_changed = Vec::new();
    for (bit, reason) in [
        (transitions::FILE_CAPS, ProcessPrivilegesChanged::PrivilegesRaisedExecFileCap),
        (transitions::ROOT_UID, ProcessPrivilegesChanged::PrivilegesRaisedExecFileSetuid),
        (transitions::ROOT_GID, ProcessPrivilegesChanged::PrivilegesRaisedExecFileSetgid),
    ] {
        if has(bit) {
            privileges_changed.push(reason.into());
        }
    }
    let unlinked = task.exe_links == 0 && task.exe_inode != 0;
    let found = BinaryProperties {
        setuid: has(transitions::EUID).then_some(task.cred.euid),
        setgid: has(transitions::EGID).then_some(task.cred.egid),
        privileges_changed,
        file: unlinked.then(|| FileProperties {
            inode: Some(InodeProperties { number: task.exe_inode, links: Some(0) }),
            path: String::new(),
        }),
    };
    (found != BinaryProperties::default()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_become_ascending_lists() {
        assert_eq!(bits(0), Vec::<i32>::new());
        assert_eq!(bits(1 << 40 | 1 << 21 | 1), [0, 21, 40]);
    }

    #[test]
    fn secure_bits_are_values_not_positions() {
        let cred = Credentials { securebits: 0b1010_0001, ..zeroed() };
        assert_eq!(process_credentials(&cred).securebits, [1, 32, 128]);
    }

    fn zeroed() -> Credentials {
        zerocopy::FromZeros::new_zeroed()
    }
}
