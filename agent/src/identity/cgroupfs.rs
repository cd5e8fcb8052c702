//! The v2 cgroup hierarchy as a file system: where it is, and what is in it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::{fs, iter};

use rustix::fs::statfs;
use rustix::mount::MountFlags;
use tracing::{info, warn};

use super::CgroupId;

/// From `linux/magic.h`.
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// How a machine has its cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// v2 alone.
    Unified,
    /// v1 controllers, and v2 beside them.
    Hybrid,
    /// v1 alone: containers have no v2 cgroups, so the kernel cannot tell them apart.
    Legacy,
}

impl Mode {
    /// As the status shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unified => "unified",
            Self::Hybrid => "hybrid",
            Self::Legacy => "legacy",
        }
    }
}

/// A path that can't be the cgroup of a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing is given.
    #[error("is empty")]
    Empty,
    /// It leads out of the hierarchy.
    #[error("{0:?} has a component \"..\": it must be a path below the cgroup root")]
    Parent(String),
    /// The root belongs to the host.
    #[error("{0:?} is the root of the hierarchy, not the cgroup of a container")]
    Root(String),
    /// Not a path.
    #[error("has a NUL byte")]
    Nul,
}

/// The hierarchy.
#[derive(Debug, Clone)]
pub struct CgroupFs {
    root: PathBuf,
    mode: Mode,
    procfs: PathBuf,
}

/// The path with one leading slash, no empty and no `.` components.
///
/// # Errors
/// It leads elsewhere than below the root of a hierarchy.
pub fn clean(path: &str) -> Result<String, PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.contains('\0') {
        return Err(PathError::Nul);
    }
    let mut cleaned = String::with_capacity(path.len() + 1);
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => {
                cleaned.push('/');
                cleaned.push_str(&name.to_string_lossy());
            }
            Component::ParentDir => return Err(PathError::Parent(path.to_owned())),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if cleaned.is_empty() { Err(PathError::Root(path.to_owned())) } else { Ok(cleaned) }
}

impl CgroupFs {
    /// Finds the host's hierarchy through `procfs`, else our own view of it, else mounts it at `spare`.
    ///
    /// # Errors
    /// None of that works.
    pub fn find(procfs: &Path, spare: &Path) -> io::Result<Self> {
        let host = procfs.join("1/root/sys/fs/cgroup");
        for base in [host.as_path(), Path::new("/sys/fs/cgroup")] {
            for (root, mode) in [(base.to_owned(), Mode::Unified), (base.join("unified"), Mode::Hybrid)] {
                if is_cgroup2(&root) {
                    return Ok(Self { root, mode, procfs: procfs.to_owned() });
                }
            }
        }
        if !is_cgroup2(spare) {
            fs::create_dir_all(spare)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount("cgroup2", spare, "cgroup2", flags, None)?;
            info!(path = %spare.display(), "mounted the v2 cgroup hierarchy");
        }
        warn!(
            "there is no v2 cgroup hierarchy where runtimes could use it: the kernel cannot tell containers apart"
        );
        Ok(Self { root: spare.to_owned(), mode: Mode::Legacy, procfs: procfs.to_owned() })
    }

    /// A directory in the place of the hierarchy.
    #[cfg(test)]
    pub(super) fn in_directory(root: &Path, procfs: &Path) -> Self {
        Self { root: root.to_owned(), mode: Mode::Unified, procfs: procfs.to_owned() }
    }

    /// How this machine has its cgroups.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether containers have cgroups here.
    pub fn tells_containers_apart(&self) -> bool {
        self.mode != Mode::Legacy
    }

    /// The id of the cgroup at a [clean](clean) path. Since 5.5 the kernel uses it as inode number.
    ///
    /// # Errors
    /// There is no such cgroup.
    pub fn id(&self, path: &str) -> io::Result<CgroupId> {
        let place = self.place(path);
        let meta = fs::metadata(&place)?;
        if meta.is_dir() { Ok(CgroupId(meta.ino())) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// The path of the cgroup that a process is in.
    ///
    /// # Errors
    /// There is no such process, or it cannot be looked at.
    pub fn of_process(&self, pid: u32) -> io::Result<String> {
        let text = fs::read_to_string(self.procfs.join(pid.to_string()).join("cgroup"))?;
        let path = text
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the process is in no v2 cgroup"))?;
        // Of a directory that is gone, the kernel says so in the path.
        Ok(path.strip_suffix(" (deleted)").unwrap_or(path).to_owned())
    }

    /// All cgroups below a path, parents first. Those that vanish meanwhile are left out.
    pub fn below(&self, path: &str) -> impl Iterator<Item = (CgroupId, String)> + use<> {
        let root = self.root.clone();
        let mut waiting = children(&self.place(path));
        iter::from_fn(move || {
            let (id, place) = waiting.pop()?;
            waiting.extend(children(&place));
            let path = place.strip_prefix(&root).unwrap_or(&place);
            Some((id, format!("/{}", path.display())))
        })
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

fn children(place: &Path) -> Vec<(CgroupId, PathBuf)> {
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            entry.file_type().ok()?.is_dir().then(|| entry.path())
        })
        // Not the entry's own number: that of a mount point would be another one.
        .filter_map(|place| Some((CgroupId(fs::metadata(&place).ok()?.ino()), place)))
        .collect()
}

fn is_cgroup2(path: &Path) -> bool {
    // The type of f_type differs between platforms.
    statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(CGROUP2_SUPER_MAGIC))
}

/// Moves this process into the host's cgroup namespace: in one of its own, paths of other processes' cgroups would be
/// shown relative to it. To be called before there are threads.
///
/// # Errors
/// The host's namespace cannot be opened or entered.
pub fn enter_host_namespace(procfs: &Path) -> io::Result<()> {
    let own = fs::read_link("/proc/self/ns/cgroup")?;
    // Where process 1 may not be looked at, the first kernel thread is in the same one.
    let host = ["1", "2"].map(|pid| procfs.join(pid).join("ns/cgroup"));
    let (host, namespace) = match (fs::read_link(&host[0]), fs::read_link(&host[1])) {
        (Ok(namespace), _) => (&host[0], namespace),
        (Err(_), Ok(namespace)) => (&host[1], namespace),
        (Err(error), Err(_)) => return Err(error),
    };
    if namespace == own {
        return Ok(());
    }
    let file = fs::File::open(host)?;
    rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&file),
        Some(rustix::thread::LinkNameSpaceType::ControlGroup),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        for (given, expected) in [
            ("/kubepods/pod1/x", Ok("/kubepods/pod1/x")),
            ("kubepods//pod1/./x/", Ok("/kubepods/pod1/x")),
            ("", Err(PathError::Empty)),
            ("/", Err(PathError::Root("/".to_owned()))),
            ("/a/../../etc", Err(PathError::Parent("/a/../../etc".to_owned()))),
            ("/a\0b", Err(PathError::Nul)),
        ] {
            assert_eq!(clean(given), expected.map(str::to_owned), "{given:?}");
        }
    }
}
