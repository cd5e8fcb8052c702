//! The hook's binary.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const MODE: u32 = 0o755;

/// Copies the binary to `target`, in one step: whoever runs `target` gets the old or the new one, whole.
pub(super) fn install(source: &Path, target: &Path) -> Result<()> {
    let content = fs::read(source).with_context(|| format!("--local-binary: {}", source.display()))?;
    let present = fs::read(target).ok();
    if present.as_ref() == Some(&content) {
        let permissions = Permissions::from_mode(MODE);
        fs::set_permissions(target, permissions).with_context(|| target.display().to_string())?;
        tracing::info!(path = %target.display(), "the binary is there already");
        return Ok(());
    }
    replace(target, &content, MODE).with_context(|| {
        format!(
            "--local-install-dir: {} is not installed; does the directory exist, and may it be written?",
            target.display()
        )
    })?;
    let what = if present.is_some() { "replaced" } else { "installed" };
    tracing::info!(path = %target.display(), bytes = content.len(), what, "the binary");
    Ok(())
}

/// Removes the binary, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Writes a file under another name, to the disk, and renames it.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = beside(path);
    let written = write(&temporary, content, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What was there before stays, and nothing else.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    // Whatever the umask.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// A name that no runtime takes for a hook, and of this process alone.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn installing_is_repeatable_and_upgrades_in_one_step() {
        let root = tempfile::tempdir().unwrap();
        let (source, target) = (root.path().join("new"), root.path().join("host/hook"));
        fs::create_dir(root.path().join("host")).unwrap();
        fs::write(&source, "one").unwrap();
        install(&source, &target).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o7777, 0o755);
        let first = fs::metadata(&target).unwrap().ino();
        install(&source, &target).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().ino(), first, "nothing to do");

        // A runtime that has opened the old one can still run it.
        let running = fs::File::open(&target).unwrap();
        fs::write(&source, "two").unwrap();
        install(&source, &target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "two");
        assert_eq!(io::read_to_string(running).unwrap(), "one");
        assert_eq!(names(&root.path().join("host")), ["hook"], "nothing is left behind");
    }

    #[test]
    fn a_failure_leaves_the_old_one() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("hook");
        fs::write(&target, "old").unwrap();
        let error = install(&root.path().join("missing"), &target).unwrap_err();
        assert!(format!("{error:#}").contains("missing"), "{error:#}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");

        let source = root.path().join("source");
        fs::write(&source, "new").unwrap();
        let error = install(&source, &root.path().join("nowhere/hook")).unwrap_err();
        assert!(format!("{error:#}").contains("nowhere/hook"), "{error:#}");

        // In the way of the rename.
        let folder = root.path().join("folder");
        fs::create_dir(&folder).unwrap();
        install(&source, &folder).unwrap_err();
        let mut left = names(root.path());
        left.sort_unstable();
        assert_eq!(left, ["folder", "hook", "source"]);
    }
}
