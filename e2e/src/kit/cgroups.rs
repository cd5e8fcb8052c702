//! Control groups: of a test's own, whatever hierarchies this place has.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use super::Env;
use crate::runner;

const ROOT: &str = "/sys/fs/cgroup";
/// The hierarchy of version 2 beside those of version 1.
const HYBRID: &str = "/sys/fs/cgroup/unified";
/// How long killed processes may keep their cgroup.
const REMOVE_CAP: Duration = Duration::from_secs(20);

impl Env {
    /// The cgroup, below the root of every hierarchy, that all cgroups of this test belong in. Whoever makes one makes
    /// it too; once the test's process has ended, however it did, all below it is killed and removed.
    pub fn cgroup(&self) -> Result<String> {
        let run =
            self.dir().parent().and_then(Path::file_name).context("the test's directory has no parent")?;
        Ok(format!("/{}", run.to_str().context("the directory's name is not text")?))
    }
}

/// The root of the version 2 hierarchy.
pub fn unified() -> &'static Path {
    Path::new(if is_unified() { ROOT } else { HYBRID })
}

/// Whether there is no other hierarchy than that.
pub fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.procs").exists()
}

/// The roots of all hierarchies.
pub fn hierarchies() -> Result<Vec<PathBuf>> {
    if is_unified() {
        return Ok(vec![ROOT.into()]);
    }
    let entries = fs::read_dir(ROOT).with_context(|| format!("list {ROOT}"))?;
    let roots: BTreeSet<PathBuf> = entries
        .filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok())
        .filter(|root| root.join("cgroup.procs").exists())
        .collect();
    Ok(roots.into_iter().collect())
}

/// The directory of a cgroup in the version 2 hierarchy.
pub fn directory(cgroup: &str) -> PathBuf {
    unified().join(cgroup.trim_start_matches('/'))
}

/// The kernel's number of a cgroup: the inode of its directory, since 5.5.
pub fn id(directory: &Path) -> Result<u64> {
    let metadata = fs::metadata(directory).with_context(|| format!("cgroup {}", directory.display()))?;
    Ok(metadata.ino())
}

/// The version 2 cgroup of a process.
pub fn of(pid: u32) -> Result<String> {
    let lines =
        fs::read_to_string(format!("/proc/{pid}/cgroup")).with_context(|| format!("process {pid}"))?;
    let line = lines.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(line.context("no version 2 cgroup")?.to_owned())
}

/// All cgroups below this one, in all hierarchies, and itself.
pub fn existing(cgroup: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for root in hierarchies()? {
        walk(&root.join(cgroup.trim_start_matches('/')), &mut found);
    }
    Ok(found)
}

/// Parents come before their children; what vanishes meanwhile is left out.
fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    found.push(directory.to_owned());
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), found);
        }
    }
}

/// Whether no process is in this cgroup and below, in any hierarchy.
pub fn is_empty(cgroup: &str) -> Result<bool> {
    Ok(existing(cgroup)?.iter().all(|directory| processes(directory).is_empty()))
}

/// Names of runs that have cgroups, whether they still go on or not.
pub(crate) fn runs() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for root in hierarchies()? {
        let entries = fs::read_dir(&root).with_context(|| format!("list {}", root.display()))?;
        let all = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.extend(all.filter(|name| name.starts_with(runner::PREFIX)));
    }
    Ok(names)
}

/// Kills every process in `cgroup` and below, and removes it from all hierarchies.
pub(crate) fn remove(cgroup: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let left = existing(cgroup)?;
        if left.is_empty() {
            return Ok(());
        }
        for directory in left.iter().rev() {
            for pid in processes(directory) {
                // It may just have died by itself.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            // Refused while it has members; the next round finds it again.
            let _ = fs::remove_dir(directory);
        }
        if begun.elapsed() > REMOVE_CAP {
            bail!("cgroups of the test cannot be removed: {left:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Processes in this cgroup itself.
pub(super) fn processes(directory: &Path) -> Vec<Pid> {
    let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    members.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
