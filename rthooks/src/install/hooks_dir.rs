//! The file that makes CRI-O and podman call the hook.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use super::binary::replace;

/// The reference's mode of such files.
const MODE: u32 = 0o755;

/// The file's place.
#[derive(Debug)]
pub(super) struct HookFile {
    path: PathBuf,
}

/// A file as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    device: u64,
    inode: u64,
    /// An inode's number may be used again.
    changed: (i64, i64),
}

/// A hook, in the form of the OCI hooks directory, version 1.0.0.
#[derive(Debug, Serialize)]
struct Config<'a> {
    version: &'a str,
    hook: Hook<'a>,
    when: When,
    stages: [&'a str; 1],
}

#[derive(Debug, Serialize)]
struct Hook<'a> {
    path: &'a str,
    args: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct When {
    always: bool,
}

/// The file's content, for a binary of the host.
pub(super) fn content(binary: &Path, args: &[String]) -> Result<Vec<u8>> {
    let path = binary.to_str().with_context(|| format!("{} is not UTF-8", binary.display()))?;
    let args = [path, "createRuntime"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let config = Config {
        version: "1.0.0",
        // Without a time limit: the hook has its own, and decides what happens then.
        hook: Hook { path, args },
        when: When { always: true },
        stages: ["createRuntime"],
    };
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"   ");
    config.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl HookFile {
    /// The file for the binary of this name.
    pub(super) fn at(folder: &Path, binary: &str) -> Self {
        Self { path: folder.join(format!("{binary}.json")) }
    }

    /// Writes the file, in one step. It is another file each time, also if it says the same.
    pub(super) fn write(&self, content: &[u8]) -> Result<Written> {
        replace(&self.path, content, MODE).with_context(|| {
            format!(
                "--oci-hooks.local-dir: {} is not written; is this the runtime's hooks directory, and may it be \
                 written?",
                self.path.display()
            )
        })?;
        tracing::info!(path = %self.path.display(), "the runtime is told of the hook");
        self.state()?.with_context(|| format!("{} has vanished", self.path.display()))
    }

    fn state(&self) -> Result<Option<Written>> {
        match fs::metadata(&self.path) {
            Ok(meta) => Ok(Some(Written {
                device: meta.dev(),
                inode: meta.ino(),
                changed: (meta.ctime(), meta.ctime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| self.path.display().to_string()),
        }
    }

    /// Removes the file if it is still that one; false if it is not.
    pub(super) fn remove_if(&self, written: &Written) -> Result<bool> {
        if self.state()?.is_none_or(|now| now != *written) {
            tracing::info!(path = %self.path.display(), "left to the newer installation");
            return Ok(false);
        }
        self.remove()?;
        Ok(true)
    }

    /// Removes the file, if it is there.
    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::info!(path = %self.path.display(), "the runtime forgets the hook"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| self.path.display().to_string()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_documented_form() {
        let args = ["--log-fname", "/opt/tetragon/tetragon-oci-hook.log"].map(str::to_owned);
        let text = content("/opt/tetragon/tetragon-oci-hook".as_ref(), &args).unwrap();
        let expected = r#"{
   "version": "1.0.0",
   "hook": {
      "path": "/opt/tetragon/tetragon-oci-hook",
      "args": [
         "/opt/tetragon/tetragon-oci-hook",
         "createRuntime",
         "--log-fname",
         "/opt/tetragon/tetragon-oci-hook.log"
      ]
   },
   "when": {
      "always": true
   },
   "stages": [
      "createRuntime"
   ]
}
"#;
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn an_older_installation_does_not_remove_the_newers_file() {
        let root = tempfile::tempdir().unwrap();
        let file = HookFile::at(root.path(), "hook");
        let old = file.write(b"{}").unwrap();
        let new = file.write(b"{}").unwrap();
        assert!(!file.remove_if(&old).unwrap());
        assert!(root.path().join("hook.json").exists());
        assert!(file.remove_if(&new).unwrap());
        assert!(!file.remove_if(&new).unwrap(), "it is gone");
        file.remove().unwrap();
    }
}
