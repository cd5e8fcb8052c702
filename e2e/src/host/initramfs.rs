//! Writes an initramfs: a cpio archive in the `newc` format.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive being written.
pub struct Archive<W: Write> {
    out: W,
    inode: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// Starts an archive with the few nodes that the kernel itself expects.
    pub fn new(out: W) -> io::Result<Self> {
        let mut archive = Self { out, inode: 0, directories: BTreeSet::new() };
        for directory in ["dev", "bin", "proc", "sys", "tmp", "run", "etc"] {
            archive.directory(directory)?;
        }
        archive.entry("dev/console", CHARACTER_DEVICE | 0o600, (5, 1), &[])?;
        Ok(archive)
    }

    /// A directory, unless there is one already.
    pub fn directory(&mut self, name: &str) -> io::Result<()> {
        if !self.directories.insert(name.to_owned()) {
            return Ok(());
        }
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// A symbolic link.
    pub fn symlink(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.entry(name, SYMLINK | 0o777, (0, 0), target.as_bytes())
    }

    /// A file that anybody may run.
    pub fn executable(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.entry(name, REGULAR | 0o755, (0, 0), content)
    }

    /// Copies a file of this machine.
    pub fn executable_from(&mut self, name: &str, path: &Path) -> Result<()> {
        let mut content = Vec::new();
        File::open(path)
            .and_then(|mut file| file.read_to_end(&mut content))
            .with_context(|| format!("read {}", path.display()))?;
        self.executable(name, &content).context("write the initramfs")
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.directory(parent)?;
        }
        self.inode += 1;
        let size = u32::try_from(content.len()).map_err(|_| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("{name} is too large for cpio"))
        })?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        write!(self.out, "070701")?;
        // inode, mode, uid, gid, links, mtime, size, device of the file, device it is, name size, checksum
        for field in [self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0] {
            write!(self.out, "{field:08x}")?;
        }
        write!(self.out, "{name}\0")?;
        self.pad(110 + name.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..written.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn cpio_lists_what_was_written() {
        let mut archive = Archive::new(Vec::new()).unwrap();
        archive.executable("init", b"12345").unwrap();
        archive.symlink("bin/sh", "busybox").unwrap();
        archive.executable("lib/x/deep.so", b"1").unwrap();
        let bytes = archive.finish().unwrap();
        let mut cpio = Command::new("cpio")
            .args(["--list", "--verbose", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        cpio.stdin.take().unwrap().write_all(&bytes).unwrap();
        let listing = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        let line = |name: &str| listing.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line(" init").starts_with("-rwxr-xr-x") && line(" init").contains(" 5 "), "{listing}");
        assert!(line("bin/sh -> busybox").starts_with('l'), "{listing}");
        assert!(line("dev/console").contains("5,   1"), "{listing}");
        // The kernel unpacks in order, so parents come first; a directory that is there stays as it is.
        let names: Vec<&str> = listing
            .lines()
            .filter_map(|line| line.rsplit(' ').next())
            .filter(|name| name.starts_with("lib"))
            .collect();
        assert_eq!(names, ["lib", "lib/x", "lib/x/deep.so"]);
    }
}
