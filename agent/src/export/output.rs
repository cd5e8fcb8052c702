//! The open file or stream below an export.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::ExportError;

/// A pipe that says it is writable takes this much without blocking.
const STREAM_CHUNK: usize = 4096;
/// How long to wait for the reader of a stream at a time.
const STREAM_PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What lines are written to.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// A regular file, which has a size and can be rotated.
    pub(super) regular: bool,
    /// Its length in bytes.
    pub(super) size: u64,
    /// The last byte written is not the end of a line.
    pub(super) mid_line: bool,
}

impl Output {
    pub(super) fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { file, regular: false, size: 0, mid_line: false })
    }

    /// Opens a file to append to; makes it, and its directory, when it is not there.
    pub(super) fn open(path: &Path, mode: u32) -> Result<Self, ExportError> {
        if path.is_dir() {
            return Err(ExportError::IsDirectory(path.to_owned()));
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .map_err(|error| ExportError::Directory { path: parent.to_owned(), error })?;
        }
        Self::append(path, mode).map_err(|error| ExportError::Open { path: path.to_owned(), error })
    }

    fn append(path: &Path, mode: u32) -> io::Result<Self> {
        // Without waiting for the reader of a named pipe: that the pipe has none is an error to report.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let mut options = File::options();
        options.append(true).mode(mode).custom_flags(flags);
        let (file, new) = match options.clone().create_new(true).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                (options.create(true).open(path)?, false)
            }
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        if new {
            // The mask of the process does not apply to what the settings ask for.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        let mut output = Self { file, regular: found.is_file(), size: found.len(), mid_line: false };
        if output.regular && ends_mid_line(path, found.len())? {
            // Left by a crash. What follows shall not be lost with it.
            output.write(b"\n")?;
        }
        Ok(output)
    }

    /// Gives the file mode and owner of another one, as far as allowed.
    pub(super) fn take_after(&self, other: &Self) -> io::Result<()> {
        let found = other.file.metadata()?;
        self.file.set_permissions(fs::Permissions::from_mode(found.mode() & 0o7777))?;
        // Only root can give files away; anyone else keeps what is theirs anyway.
        let _ = std::os::unix::fs::fchown(&self.file, Some(found.uid()), Some(found.gid()));
        Ok(())
    }

    /// Whether the path still leads to this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        match (self.file.metadata(), fs::metadata(path)) {
            (Ok(ours), Ok(found)) => ours.dev() == found.dev() && ours.ino() == found.ino(),
            _ => false,
        }
    }

    /// Writes some of the bytes, without waiting for long.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut bytes = bytes;
        if !self.regular {
            let mut wanted = [PollFd::new(&self.file, PollFlags::OUT)];
            if poll(&mut wanted, Some(&STREAM_PATIENCE))? == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            bytes = &bytes[..bytes.len().min(STREAM_CHUNK)];
        }
        let count = self.file.write(bytes)?;
        if count == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WriteZero.into());
        }
        if let Some(last) = bytes[..count].last() {
            self.mid_line = *last != b'\n';
        }
        self.size += count as u64;
        Ok(count)
    }

    /// Takes back the last bytes of a regular file.
    pub(super) fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.size = self.size.saturating_sub(bytes);
        self.mid_line = false;
        self.file.set_len(self.size)
    }
}

fn ends_mid_line(path: &Path, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    // A file that may only be appended to cannot be looked at.
    let Ok(mut file) = File::open(path) else { return Ok(false) };
    file.seek(SeekFrom::Start(length - 1))?;
    Ok(file.read(&mut last)? == 1 && last != *b"\n")
}
