//! The pid file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::RunFileError;

/// The pid of this process as the given proc file system shows it: the host's, when that is the host's.
pub fn own_pid(procfs: &Path) -> u32 {
    let seen = fs::read_link(procfs.join("self"));
    seen.ok()
        .and_then(|target| target.to_str().and_then(|text| text.parse().ok()))
        // Our own pid namespace does not show up there; what we know ourselves is the next best thing.
        .unwrap_or_else(std::process::id)
}

/// A pid file that is held by this process. Removed on drop; after a crash the kernel lets go of the lock.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Takes the pid file for the process `pid`. An old file is taken over unless its agent still runs: one of ours
    /// holds a lock on it, any other is looked up by name in `procfs`.
    pub fn acquire(path: &Path, pid: u32, procfs: &Path) -> Result<Self, RunFileError> {
        let failed = |error: io::Error| RunFileError::Io { path: path.to_owned(), error };
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .open(path)
                .map_err(failed)?;
            let mut text = String::new();
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let _ = file.read_to_string(&mut text);
                    let holder = format!("pid {}", text.trim());
                    return Err(RunFileError::Running { path: path.to_owned(), holder });
                }
                Err(error) => return Err(failed(error.into())),
            }
            // The agent that held the lock until now may have removed the file, and someone may have made another.
            if !is_at(&file, path) {
                continue;
            }
            // Not even text: then no agent has written it.
            let _ = file.read_to_string(&mut text);
            if let Some(other) = text.trim().parse::<u32>().ok().filter(|other| *other != pid)
                && is_agent(procfs, other)
            {
                let holder = format!("pid {other}");
                return Err(RunFileError::Running { path: path.to_owned(), holder });
            }
            file.set_len(0).map_err(failed)?;
            io::Seek::rewind(&mut file).map_err(failed)?;
            file.write_all(pid.to_string().as_bytes()).map_err(failed)?;
            return Ok(Self { path: path.to_owned(), file });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            // A file that stays is taken over by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(found)) => ours.dev() == found.dev() && ours.ino() == found.ino(),
        _ => false,
    }
}

/// Whether the process is an agent, ours or another that does not lock its file. Anything else only happens to
/// have the pid of an agent that is gone.
fn is_agent(procfs: &Path, pid: u32) -> bool {
    let process = procfs.join(pid.to_string());
    match fs::read_link(process.join("exe")) {
        Ok(exe) => exe.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.strip_suffix(" (deleted)").unwrap_or(&name) == "tetragon"
        }),
        Err(_) => fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim_end() == "tetragon"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn proc_with(pid: u32, exe: &str) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join(pid.to_string());
        fs::create_dir(&process).unwrap();
        symlink(exe, process.join("exe")).unwrap();
        proc
    }

    #[test]
    fn the_file_holds_the_bare_pid_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tetragon.pid");
        let held = PidFile::acquire(&path, 4321, Path::new("/proc")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4321");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o133, 0);
        let error = PidFile::acquire(&path, 4322, Path::new("/proc")).unwrap_err();
        assert!(
            error.to_string().contains("another Tetragon instance seems to be up and running (pid 4321)")
        );
        drop(held);
        assert!(!path.exists());
        PidFile::acquire(&path, 4322, Path::new("/proc")).unwrap();
    }

    #[test]
    fn what_a_dead_agent_left_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tetragon.pid");
        let proc = proc_with(77, "/usr/bin/sleep");
        for content in ["76", "77", "", "garbage", "-1", "99999999999999999999", "4321"] {
            fs::write(&path, content).unwrap();
            let held = PidFile::acquire(&path, 4321, proc.path()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "4321");
            drop(held);
        }
        fs::write(&path, [0xff; 10]).unwrap();
        PidFile::acquire(&path, 1, proc.path()).unwrap();
    }

    #[test]
    fn a_living_agent_without_a_lock_is_respected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tetragon.pid");
        for exe in ["/usr/bin/tetragon", "/usr/local/bin/tetragon (deleted)"] {
            let proc = proc_with(77, exe);
            fs::write(&path, "77").unwrap();
            let error = PidFile::acquire(&path, 4321, proc.path()).unwrap_err();
            assert!(matches!(error, RunFileError::Running { .. }));
            assert_eq!(fs::read_to_string(&path).unwrap(), "77");
        }
        // Our own pid, in the same container after a restart, is not another agent.
        PidFile::acquire(&path, 77, proc_with(77, "/usr/bin/tetragon").path()).unwrap();
    }

    #[test]
    fn the_own_pid_comes_from_the_proc_file_system() {
        assert_eq!(own_pid(Path::new("/proc")), std::process::id());
        assert_eq!(own_pid(Path::new("/no/such/proc")), std::process::id());
    }
}
