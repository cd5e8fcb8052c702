//! Turns what the kernel tells of a process into [`ProcessInfo`], under the settings that say how much to show.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tetragon_api::tetragon::{Process, UserRecord};
use tetragon_bpf::records::{
    ExecRecord, ForkRecord, Identity, Namespaces, ProcessKey, TaskInfo, exec_flags, identity_flags,
    task_flags,
};
use tetragon_filters::Redactor;

use super::flags::{self, bit};
use super::info::ProcessInfo;
use super::procfs::ProcFacts;
use super::{Belonging, credentials, text};
use crate::clock::Clock;
use crate::identity::{CgroupId, ContainerNumber, Resolved, Store, Task, name};

/// Bytes of its creator's arguments that a process shows which has not executed anything. One process with megabytes
/// of arguments could otherwise fill the memory by forking.
const CLONE_ARGUMENTS_MAX: usize = 4096;

/// How processes are shown.
#[derive(Debug, Default)]
pub struct Settings {
    /// Goes into every exec id.
    pub node_name: String,
    /// Add credentials, capabilities and binary properties.
    pub credentials: bool,
    /// Add namespaces.
    pub namespaces: bool,
    /// Add names of users in the host's namespaces.
    pub user_names: bool,
    /// Hides parts of arguments.
    pub redactor: Redactor,
}

/// The strings that travel with an exec record.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStrings<'a> {
    /// As given to the kernel.
    pub filename: &'a [u8],
    /// Name of the leaf cgroup.
    pub cgroup_name: &'a [u8],
    /// Components of the working directory, leaf first.
    pub cwd: &'a [u8],
    /// Arguments, each ended by NUL.
    pub arguments: &'a [u8],
    /// Some of the arguments are missing.
    pub arguments_cut: bool,
}

/// What a record tells of a process whose beginning was lost.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    /// Of the v2 hierarchy; 0 if unknown.
    pub cgroup_id: u64,
    /// Whose that cgroup is.
    pub identity: Identity,
    /// Process id in its own pid namespace; 0 in the host's, or not known.
    pub nspid: u32,
}

/// Makes [`ProcessInfo`].
#[derive(Debug)]
pub struct Describer {
    settings: Settings,
    clock: Arc<Clock>,
    store: Arc<Store>,
    host: Namespaces,
    users: HashMap<u32, String>,
}

/// `base64(node:nanoseconds:pid)`.
pub fn exec_id(node: &str, boot_ns: u64, pid: u32) -> String {
    // Two numbers of at most 20 and 10 digits, two colons.
    let mut plain = String::with_capacity(node.len() + 32);
    // Writing to a string cannot fail.
    let _ = write!(plain, "{node}:{boot_ns}:{pid}");
    STANDARD.encode(plain)
}

impl Describer {
    /// `procfs` is the host's `/proc`.
    pub fn new(settings: Settings, clock: Arc<Clock>, store: Arc<Store>, procfs: &Path) -> Self {
        let users = if settings.user_names { read_users(Path::new("/etc/passwd")) } else { HashMap::new() };
        Self { settings, clock, store, host: host_namespaces(procfs), users }
    }

    /// The stand-in for the kernel itself: pid 0, parent of the first processes.
    pub fn kernel(&self) -> ProcessInfo {
        let key = ProcessKey { start_boot_ns: 0, tgid: 0, exec_id: 0 };
        let wire = Process {
            exec_id: exec_id(&self.settings.node_name, 1, 0),
            pid: Some(0),
            tid: Some(0),
            uid: Some(0),
            binary: "<kernel>".to_owned(),
            flags: flags::words(bit::PROC_FS),
            start_time: Some(self.clock.wall(1)),
            auid: Some(u32::MAX),
            ..Process::default()
        };
        ProcessInfo::new(key, wire, None, true)
    }

    /// A process that has just started a new program. `before` is what it was until then.
    pub fn exec(
        &self,
        record: &ExecRecord,
        strings: ExecStrings<'_>,
        parent: Option<&ProcessInfo>,
        before: Option<&ProcessInfo>,
        cloned: bool,
    ) -> ProcessInfo {
        let task = &record.task;
        let failed = |flag| record.flags & flag != 0;
        let mut shown = bit::EXECVE | cgroup_flags(task);
        for (kernel, flag) in [
            (exec_flags::FILENAME_UNREADABLE, bit::ERROR_FILENAME),
            (exec_flags::ARGS_UNREADABLE, bit::ERROR_ARGS),
            (exec_flags::CWD_UNREADABLE, bit::ERROR_CWD),
            (exec_flags::CWD_INCOMPLETE, bit::ERROR_PATH_RESOLUTION_CWD),
            (exec_flags::CGROUP_NAME_UNREADABLE, bit::ERROR_CGROUP_NAME),
        ] {
            if failed(kernel) {
                shown |= flag;
            }
        }
        if failed(exec_flags::ARGS_TRUNCATED) || strings.arguments_cut {
            shown |= bit::TRUNC_ARGS;
        }
        if cloned {
            shown |= bit::CLONE;
        }

        let mut cwd = String::new();
        if !failed(exec_flags::CWD_UNREADABLE) {
            cwd = text::to_text(&text::join_leaf_first(strings.cwd));
            if failed(exec_flags::CWD_INCOMPLETE) {
                // Only the end of it is known.
                cwd.remove(0);
            }
            if cwd == "/" {
                shown |= bit::ROOT_CWD;
            }
        }
        let binary = text::absolute(&cwd, &text::to_text(strings.filename));
        if failed(exec_flags::CWD_UNLINKED) {
            cwd.push_str(" (deleted)");
        }

        let mut wire = self.common(task, record.header.boot_ns, parent);
        let argv = text::split_arguments(strings.arguments);
        (wire.arguments, wire.argv) = self.arguments(&binary, &argv);
        wire.cwd = cwd;
        wire.binary = binary;
        wire.flags = flags::words(shown);
        if task.identity.flags & identity_flags::FIRST != 0 {
            self.store
                .started(ContainerNumber(task.identity.container), self.clock.wall(record.header.boot_ns));
        }
        let cgroup_name = String::from_utf8_lossy(strings.cgroup_name);
        let place = Task {
            cgroup: CgroupId(task.cgroup_id),
            identity: task.identity,
            cgroup_name: Some(&cgroup_name),
        };
        let belonging = self.place(&mut wire, place, task.nspid, before);
        let properties = if self.settings.credentials {
            credentials::binary_properties(task, record.transitions)
        } else {
            None
        };
        ProcessInfo::new(task.key, wire, properties, false).belonging_to(belonging)
    }

    /// A new process that still runs its creator's program.
    pub fn fork(
        &self,
        record: &ForkRecord,
        creator: &ProcessInfo,
        parent: Option<&ProcessInfo>,
    ) -> ProcessInfo {
        let kernel_thread = record.flags & task_flags::KTHREAD != 0;
        let start = record.key.start_boot_ns;
        let image = &creator.wire;
        let long = image.arguments.len() > CLONE_ARGUMENTS_MAX;
        // Not a clone of the whole: what is its own would be copied in vain, at every fork.
        let mut wire = Process {
            exec_id: exec_id(&self.settings.node_name, start, record.key.tgid),
            pid: Some(record.key.tgid),
            tid: Some(record.key.tgid),
            start_time: Some(self.clock.wall(start)),
            flags: flags::words(if long { bit::CLONE | bit::TRUNC_ARGS } else { bit::CLONE }),
            parent_exec_id: self.parent_id(parent, &record.parent),
            uid: image.uid,
            auid: image.auid,
            cwd: image.cwd.clone(),
            binary: image.binary.clone(),
            arguments: image.arguments[..image.arguments.floor_char_boundary(CLONE_ARGUMENTS_MAX)].to_owned(),
            argv: if long { Vec::new() } else { image.argv.clone() },
            pod: None,
            docker: String::new(),
            refcnt: image.refcnt,
            cap: image.cap.clone(),
            ns: image.ns,
            process_credentials: image.process_credentials.clone(),
            binary_properties: image.binary_properties.clone(),
            user: image.user.clone(),
            in_init_tree: image.in_init_tree,
            environment_variables: image.environment_variables.clone(),
            identity: None,
        };
        if kernel_thread {
            wire.binary = kernel_thread_name(&record.comm);
            wire.arguments.clear();
            wire.argv.clear();
        }
        let place = Task { cgroup: CgroupId(record.cgroup_id), identity: record.identity, cgroup_name: None };
        let belonging = self.place(&mut wire, place, record.nspid, Some(creator));
        ProcessInfo::new(record.key, wire, None, kernel_thread).belonging_to(belonging)
    }

    /// A process that was there before us.
    pub fn scanned(&self, task: &TaskInfo, facts: &ProcFacts, parent: Option<&ProcessInfo>) -> ProcessInfo {
        let kernel_thread = task.flags & task_flags::KTHREAD != 0;
        let mut wire = self.common(task, task.key.start_boot_ns, parent);
        wire.exec_id = self.unseen_id(&task.key, parent);
        if kernel_thread {
            wire.binary = kernel_thread_name(&task.comm);
            wire.flags = flags::words(bit::PROC_FS);
            return ProcessInfo::new(task.key, wire, None, true);
        }
        let mut shown = bit::PROC_FS | bit::AUID | cgroup_flags(task);
        match &facts.cwd {
            Some(cwd) => wire.cwd = text::to_text(cwd),
            None => shown |= bit::ERROR_CWD,
        }
        if wire.cwd == "/" {
            shown |= bit::ROOT_CWD;
        }
        wire.binary = match &facts.exe {
            Some(exe) => text::to_text(exe),
            None => {
                shown |= bit::ERROR_FILENAME;
                text::to_text(text::until_nul(&task.comm))
            }
        };
        match &facts.arguments {
            Some(raw) => {
                // The kernel's mark is no part of the name that redaction filters ask for.
                let binary = wire.binary.strip_suffix(" (deleted)").unwrap_or(&wire.binary);
                (wire.arguments, wire.argv) = self.arguments(binary, &text::split_arguments(raw));
            }
            None => shown |= bit::ERROR_ARGS,
        }
        wire.flags = flags::words(shown);
        let place = Task { cgroup: CgroupId(task.cgroup_id), identity: task.identity, cgroup_name: None };
        let belonging = self.place(&mut wire, place, task.nspid, None);
        if belonging.is_none() {
            // On a machine with v1 alone, the name is all there is.
            let id = facts.cgroup.as_deref().and_then(name::container_id_of_proc_cgroup);
            wire.docker = id.map(name::shown).unwrap_or_default().to_owned();
        }
        ProcessInfo::new(task.key, wire, None, false).belonging_to(belonging)
    }

    /// A process whose beginning was lost. `seen` tells where it is.
    pub fn unknown(
        &self,
        key: ProcessKey,
        parent: Option<&ProcessInfo>,
        parent_key: &ProcessKey,
        seen: Option<Sighting>,
    ) -> ProcessInfo {
        let mut wire = Process {
            exec_id: self.unseen_id(&key, parent),
            pid: Some(key.tgid),
            tid: Some(key.tgid),
            start_time: Some(self.clock.wall(key.start_boot_ns)),
            flags: flags::words(bit::UNKNOWN),
            parent_exec_id: self.parent_id(parent, parent_key),
            ..Process::default()
        };
        let belonging = seen.and_then(|it| {
            let place = Task { cgroup: CgroupId(it.cgroup_id), identity: it.identity, cgroup_name: None };
            self.place(&mut wire, place, it.nspid, None)
        });
        ProcessInfo::new(key, wire, None, false).belonging_to(belonging)
    }

    /// The same process, if a later record shows it in another container than was known, or at another stage of that
    /// container's start. A runtime's process joins the container without a record of its own.
    pub fn moved(&self, info: &ProcessInfo, seen: Sighting) -> Option<ProcessInfo> {
        let Identity { container, flags, .. } = seen.identity;
        if container == 0 && flags & identity_flags::PATH == 0 {
            // One that has left its container stays there.
            return None;
        }
        let setup = flags & identity_flags::SETUP != 0;
        let same = |belonging: &Belonging| belonging.container.0 == container && belonging.setup == setup;
        if info.belonging.as_ref().is_some_and(same) {
            return None;
        }
        let task = Task { cgroup: CgroupId(seen.cgroup_id), identity: seen.identity, cgroup_name: None };
        let resolved = self.store.resolve(task)?;
        let nspid = info.belonging.map_or(seen.nspid, |belonging| belonging.nspid());
        let belonging = Belonging::new(&task, &resolved, nspid);
        let same =
            |before: Belonging| before.container == belonging.container && before.setup == belonging.setup;
        if info.belonging.is_some_and(same) {
            return None;
        }
        let mut wire = info.wire.clone();
        belonging.show(&mut wire, &resolved);
        wire.identity = Some(belonging.identity(seen.cgroup_id, false));
        let moved = ProcessInfo::new(info.key, wire, info.binary_properties.clone(), info.kernel_thread);
        Some(moved.belonging_to(Some(belonging)))
    }

    /// The same process, now that its container is known.
    pub fn identified(&self, info: &ProcessInfo, resolved: &Resolved) -> ProcessInfo {
        let mut wire = info.wire.clone();
        let belonging = info.belonging.map(Belonging::late);
        if let Some(belonging) = &belonging {
            belonging.show(&mut wire, resolved);
        }
        ProcessInfo::new(info.key, wire, info.binary_properties.clone(), info.kernel_thread)
            .belonging_to(belonging)
    }

    /// Finds the container of a task, and writes it into its description. A process whose former image or creator was
    /// in a container stays there, whatever cgroup it moves to.
    fn place(
        &self,
        wire: &mut Process,
        task: Task<'_>,
        nspid: u32,
        before: Option<&ProcessInfo>,
    ) -> Option<Belonging> {
        let (belonging, resolved, migrated) = match self.store.resolve(task) {
            Some(resolved) => (Belonging::new(&task, &resolved, nspid), resolved, false),
            None => {
                let before = before?;
                let belonging = before.belonging?.migrated(nspid);
                let resolved = self.store.container(belonging.container)?;
                if before.wire.identity.is_none_or(|identity| !identity.migrated) {
                    self.store.counters.migrated();
                }
                (belonging, resolved, true)
            }
        };
        belonging.show(wire, &resolved);
        wire.identity = Some(belonging.identity(task.cgroup.0, migrated));
        Some(belonging)
    }

    fn common(&self, task: &TaskInfo, began_boot_ns: u64, parent: Option<&ProcessInfo>) -> Process {
        let Settings { node_name, credentials, namespaces, user_names, .. } = &self.settings;
        let in_host = task.ns.mnt == self.host.mnt && task.ns.user == self.host.user;
        let user = if *user_names && in_host { self.users.get(&task.cred.euid) } else { None };
        Process {
            exec_id: exec_id(node_name, began_boot_ns, task.key.tgid),
            pid: Some(task.key.tgid),
            tid: Some(task.key.tgid),
            uid: Some(task.cred.euid),
            auid: Some(task.auid),
            start_time: Some(self.clock.wall(began_boot_ns)),
            parent_exec_id: self.parent_id(parent, &task.parent),
            cap: credentials.then(|| credentials::capabilities(&task.cred)),
            process_credentials: credentials.then(|| credentials::process_credentials(&task.cred)),
            ns: namespaces.then(|| credentials::namespaces(&task.ns, &self.host)),
            user: user.map(|name| UserRecord { name: name.clone() }),
            ..Process::default()
        }
    }

    /// The id of an image whose exec was not seen: by the start of its process, unless that is the id of the image
    /// before it, which then is its parent.
    fn unseen_id(&self, key: &ProcessKey, parent: Option<&ProcessInfo>) -> String {
        let later =
            parent.is_some_and(|p| (p.key.tgid, p.key.start_boot_ns) == (key.tgid, key.start_boot_ns));
        let nth = if later { u64::from(key.exec_id) } else { 0 };
        exec_id(&self.settings.node_name, key.start_boot_ns + nth, key.tgid)
    }

    /// A parent that is not in the table still has an id: the one it would have been given by a scan.
    fn parent_id(&self, parent: Option<&ProcessInfo>, key: &ProcessKey) -> String {
        parent.map_or_else(
            || exec_id(&self.settings.node_name, key.start_boot_ns, key.tgid),
            |parent| parent.wire.exec_id.clone(),
        )
    }

    /// The line of arguments, and the list itself if the line could be read in another way.
    fn arguments(&self, binary: &str, argv: &[&[u8]]) -> (String, Vec<Bytes>) {
        let line = text::render_arguments(argv);
        match self.settings.redactor.apply(binary, &line) {
            std::borrow::Cow::Borrowed(_) => {
                let exact = if text::is_ambiguous(argv) { argv } else { &[] };
                (line, exact.iter().map(|a| Bytes::copy_from_slice(a)).collect())
            }
            // The list would show what was hidden.
            std::borrow::Cow::Owned(redacted) => (redacted, Vec::new()),
        }
    }
}

fn cgroup_flags(task: &TaskInfo) -> u32 {
    if task.flags & task_flags::NO_CGROUP != 0 {
        bit::ERROR_CGROUPS
    } else if task.flags & task_flags::NO_CGROUP_ID != 0 {
        bit::ERROR_CGROUP_ID
    } else {
        0
    }
}

fn kernel_thread_name(comm: &[u8; 16]) -> String {
    format!("[{}]", text::to_text(text::until_nul(comm)))
}

/// Of pid 1. Where those cannot be read, of the first kernel thread, which is in the namespaces that the machine was
/// booted with; zeros, which are nobody's, where there is neither.
pub fn host_namespaces(procfs: &Path) -> Namespaces {
    let inum = |name: &str| -> u32 {
        ["1", "2"]
            .iter()
            .filter_map(|pid| fs::read_link(procfs.join(pid).join("ns").join(name)).ok())
            .find_map(|link| link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok())
            .unwrap_or(0)
    };
    Namespaces {
        uts: inum("uts"),
        ipc: inum("ipc"),
        mnt: inum("mnt"),
        pid: inum("pid"),
        pid_for_children: inum("pid_for_children"),
        net: inum("net"),
        time: inum("time"),
        time_for_children: inum("time_for_children"),
        cgroup: inum("cgroup"),
        user: inum("user"),
    }
}

fn read_users(passwd: &Path) -> HashMap<u32, String> {
    fs::read_to_string(passwd)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
