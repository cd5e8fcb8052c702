//! The files by which others find this agent: the pid file, which also keeps a second agent from starting, and
//! the info file, from which the command line client takes the address of the server.

mod info;
mod pid;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use info::{InfoFile, find_program};
pub use pid::{PidFile, own_pid};

/// Why a file cannot be written.
#[derive(Debug, Error)]
pub enum RunFileError {
    /// The directory cannot be made.
    #[error("run-dir: cannot create directory {}: {error}; run as root or set run-dir", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another agent runs.
    #[error(
        "failed to create pid file '{}', another Tetragon instance seems to be up and running ({holder}); stop it first",
        path.display()
    )]
    Running {
        /// The pid file.
        path: PathBuf,
        /// What is known of the other agent.
        holder: String,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Makes the directory of these files.
pub fn create_directory(path: &Path) -> Result<(), RunFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|error| RunFileError::Directory { path: path.to_owned(), error })
}
