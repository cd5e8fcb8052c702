//! Cgroups as they are named on the command line.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::statfs;

/// From `linux/magic.h`: version 2, and version 1.
const MAGICS: [u64; 2] = [0x6367_7270, 0x0027_e0eb];

/// `id:<number>`, `fname:<path>`, a bare number, or else a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cgroup {
    Id(u64),
    Directory(PathBuf),
}

impl Cgroup {
    /// Reads the notation; whether a path exists is found out by [`Cgroup::id`].
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("'{text}' is no number of a cgroup"));
        if text.is_empty() {
            return Err("give a path, or id:<number>".to_owned());
        }
        if let Some(id) = text.strip_prefix("id:") {
            return Ok(Self::Id(number(id)?));
        }
        if let Some(path) = text.strip_prefix("fname:") {
            return Ok(Self::Directory(path.into()));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Id(number(text)?));
        }
        Ok(Self::Directory(text.into()))
    }

    /// The number by which the kernel knows the cgroup.
    pub(crate) fn id(&self) -> Result<u64> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Directory(path) => id_of(path),
        }
    }
}

/// Of a directory in a cgroup file system. There a file handle holds the same number as the inode: both are the
/// kernel's own id of the node, on every 64-bit kernel from 5.5 on.
fn id_of(path: &Path) -> Result<u64> {
    let shown = path.display();
    let metadata = fs::metadata(path).with_context(|| format!("cgroup {shown}"))?;
    let magic = statfs(path).with_context(|| format!("cgroup {shown}"))?.f_type;
    if !metadata.is_dir() || !u64::try_from(magic).is_ok_and(|magic| MAGICS.contains(&magic)) {
        bail!("{shown} is no cgroup: give a directory below the mount point of a cgroup file system");
    }
    Ok(metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_named_by_number_or_by_path() {
        for (text, expected) in [
            ("id:42", Cgroup::Id(42)),
            ("42", Cgroup::Id(42)),
            ("fname:42", Cgroup::Directory("42".into())),
            ("/sys/fs/cgroup/a", Cgroup::Directory("/sys/fs/cgroup/a".into())),
            ("a:b", Cgroup::Directory("a:b".into())),
        ] {
            assert_eq!(Cgroup::parse(text), Ok(expected), "{text}");
        }
        for text in ["", "id:", "id:x", "id:-1", "99999999999999999999"] {
            assert!(Cgroup::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_cgroup_has_no_number() {
        let folder = tempfile::tempdir().expect("folder");
        let error = Cgroup::Directory(folder.path().into()).id().expect_err("no cgroup").to_string();
        assert!(error.contains("is no cgroup"), "{error}");
        let error = Cgroup::Directory(folder.path().join("absent")).id().expect_err("absent");
        assert!(format!("{error:#}").contains("absent: No such file"), "{error:#}");
    }
}
