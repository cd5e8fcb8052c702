//! A control group of a test's own for daemons and all they make.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Env, cgroups};

/// What a group of the old `cpuset` hierarchy must inherit by hand before it takes processes.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A control group in every hierarchy; it goes, with all processes in it, when this is dropped.
pub struct Cgroup {
    path: String,
}

impl Cgroup {
    /// Makes the group `name` of this test.
    pub fn create(env: &Env, name: &str) -> Result<Self> {
        let group = Self { path: format!("{}/{name}", env.cgroup()?) };
        for root in cgroups::hierarchies()? {
            let mut directory = root;
            for part in group.path.trim_start_matches('/').split('/') {
                directory.push(part);
                make(&directory)?;
            }
        }
        Ok(group)
    }

    /// The path that runtimes take: from the root of a hierarchy, beginning with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Makes a group below this one in the version 2 hierarchy, and returns its directory.
    pub fn unified_child(&self, name: &str) -> Result<PathBuf> {
        let directory = cgroups::directory(&self.path).join(name);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(directory)
    }

    /// Processes in it and below.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let groups = cgroups::existing(&self.path)?;
        let mut pids: Vec<u32> = groups
            .iter()
            .flat_map(|group| cgroups::processes(group))
            .filter_map(|pid| pid.as_raw_nonzero().get().try_into().ok())
            .collect();
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Kills all processes in it and removes it.
    pub fn remove(&self) -> Result<()> {
        cgroups::remove(&self.path)?;
        // The test's group goes with its last one.
        for root in cgroups::hierarchies()? {
            if let Some(test) = Path::new(self.path.trim_start_matches('/')).parent() {
                let _ = fs::remove_dir(root.join(test));
            }
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("cgroup {}: {error:#}", self.path);
        }
    }
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    for file in CPUSET.map(|file| directory.join(file)).iter().filter(|file| file.exists()) {
        // Version 2 inherits by itself, and its root has no such file.
        let above = directory.parent().map(|parent| parent.join(file.file_name().unwrap_or_default()));
        if let Some(Ok(value)) = above.map(fs::read_to_string) {
            fs::write(file, value).with_context(|| format!("write {}", file.display()))?;
        }
    }
    Ok(())
}
