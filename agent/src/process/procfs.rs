//! What only `/proc` tells of a process that already runs.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

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
