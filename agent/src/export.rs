//! Export of events to a file or to standard output, one encoded line each.
//!
//! Plain blocking code for a thread of its own: [`ExportFile::write_line`] for each line, [`ExportFile::flush`]
//! when no line waits, [`ExportFile::tick`] about once a second. Nothing here fails for good: what cannot be
//! written is kept up to a limit, then counted, and tried again.

mod backups;
mod counters;
mod housekeeper;
mod limit;
mod output;
mod sink;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

pub use counters::{ExportCounters, ExportSnapshot};
pub use limit::RateLimiter;
pub use sink::ExportFile;

/// Where and how events are exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSettings {
    /// Where lines go.
    pub target: ExportTarget,
    /// The file is rotated before it gets longer than this, in bytes.
    pub max_bytes: u64,
    /// Rotated files to keep; 0: all.
    pub max_backups: usize,
    /// Compress rotated files with gzip.
    pub compress: bool,
    /// Rotate this often too; zero: by size only.
    pub rotation_interval: Duration,
    /// Permissions of a file that is made new.
    pub mode: u32,
}

/// The two places for lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportTarget {
    /// Standard output, without rotation.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl ExportSettings {
    /// What the settings of the agent say; `None`: export is off.
    pub fn from_config(config: &crate::config::Config) -> Option<Self> {
        let path = config.export_filename.as_deref()?;
        let stdout = path == Path::new("-") || path == Path::new("/dev/stdout");
        Some(Self {
            target: if stdout { ExportTarget::Stdout } else { ExportTarget::File(path.to_owned()) },
            max_bytes: config.export_file_max_size_mb.saturating_mul(1 << 20),
            max_backups: usize::try_from(config.export_file_max_backups).unwrap_or(usize::MAX),
            compress: config.export_file_compress,
            rotation_interval: config.export_file_rotation_interval,
            mode: config.export_file_perm,
        })
    }
}

/// Why the export cannot start, or a wanted rotation cannot be made.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The path is a directory.
    #[error("export-filename: {} is a directory; name a file in it", .0.display())]
    IsDirectory(PathBuf),
    /// The directory of the file cannot be made.
    #[error("export-filename: cannot create directory {}: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file cannot be opened.
    #[error("export-filename: cannot open {}: {error}; make it writable or export to another file", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No thread for compression and removal of old files.
    #[error("cannot start the thread that looks after rotated export files: {0}")]
    Thread(io::Error),
    /// The file cannot be rotated now.
    #[error("cannot rotate {}: {error}", path.display())]
    Rotate {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The output is not a regular file.
    #[error("the export goes to a stream, which cannot be rotated")]
    NoFile,
}

#[cfg(test)]
mod tests;
