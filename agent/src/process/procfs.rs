//! What only `/proc` tells of a process that already runs.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use tetragon_bpf::records::{Credentials, ProcessKey, TaskInfo};
use zerocopy::FromZeros;

/// What could be read; `None` where the process was gone or it is not ours to read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ProcFacts {
    /// Path of the executable.
    pub exe: Option<Vec<u8>>,
    /// Working directory.
    pub cwd: Option<Vec<u8>>,
    /// Arguments, each ended by NUL, `argv[0]` included.
    pub arguments: Option<Vec<u8>>,
    /// Text of the `cgroup` file.
    pub cgroup: Option<String>,
}

/// Reads below the host's `/proc`.
#[derive(Debug, Clone)]
pub struct ProcFs(PathBuf);

impl ProcFs {
    /// `root` is where the host's `/proc` is mounted.
    pub fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// A process whose task cannot be read: its key is known, ids and names are read here, the rest is left out.
    pub fn task(&self, key: ProcessKey) -> TaskInfo {
        let dir = self.0.join(key.tgid.to_string());
        let mut task = TaskInfo { key, tid: key.tgid, auid: u32::MAX, ..TaskInfo::new_zeroed() };
        let status = fs::read_to_string(dir.join("status")).unwrap_or_default();
        let ids = |name: &str| -> Option<[u32; 4]> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let mut ids = line.split_whitespace().map_while(|id| id.parse().ok());
            Some([ids.next()?, ids.next()?, ids.next()?, ids.next()?])
        };
        if let Some([uid, euid, suid, fsuid]) = ids("Uid:") {
            task.cred = Credentials { uid, euid, suid, fsuid, ..task.cred };
        }
        if let Some([gid, egid, sgid, fsgid]) = ids("Gid:") {
            task.cred = Credentials { gid, egid, sgid, fsgid, ..task.cred };
        }
        for (name, set) in [
            ("CapPrm:", &mut task.cred.permitted),
            ("CapEff:", &mut task.cred.effective),
            ("CapInh:", &mut task.cred.inheritable),
        ] {
            let text = status.lines().find_map(|line| line.strip_prefix(name));
            *set = text.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
        }
        if let Some(auid) =
            fs::read_to_string(dir.join("loginuid")).ok().and_then(|text| text.trim().parse().ok())
        {
            task.auid = auid;
        }
        if let Ok(comm) = fs::read(dir.join("comm")) {
            let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
            let len = comm.len().min(task.comm.len());
            task.comm[..len].copy_from_slice(&comm[..len]);
        }
        task
    }

    /// Everything about one process. The caller makes sure that it was the same process before and after.
    pub fn facts(&self, pid: u32) -> ProcFacts {
        let dir = self.0.join(pid.to_string());
        let link =
            |name: &str| fs::read_link(dir.join(name)).ok().map(|path| path.into_os_string().into_vec());
        ProcFacts {
            exe: link("exe"),
            cwd: link("cwd"),
            arguments: fs::read(dir.join("cmdline")).ok(),
            cgroup: fs::read_to_string(dir.join("cgroup")).ok(),
        }
    }
}
