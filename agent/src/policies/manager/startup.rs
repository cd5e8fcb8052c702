//! Policies that are in files when the agent starts.

use std::io;
use std::path::{Path, PathBuf};

use tetragon_crds::{DirectoryErrors, Errors, load_directory, load_file};
use tracing::info;

use super::{ManageError, Manager};

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such directory.
    #[error("tracing-policy-dir: there is no directory {}; make it, or name another one", .0.display())]
    NoDirectory(PathBuf),
    /// It cannot be read, or policies in it are wrong.
    #[error("tracing-policy-dir {}: {errors}", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// All that is wrong.
        errors: DirectoryErrors,
    },
    /// The file cannot be read, or the policy in it is wrong.
    #[error("tracing-policy: {0}")]
    File(Errors),
    /// A policy cannot be loaded.
    #[error("{origin}: {error}")]
    Policy {
        /// Its file.
        origin: String,
        /// Why.
        error: Box<ManageError>,
    },
}

impl Manager {
    /// Loads the policies of a directory, and that of a file. If the directory `may_be_absent`, it has no policies then.
    ///
    /// # Errors
    /// Anything that is wrong: an agent that does not do what its files say must not look as if it did.
    pub fn load_files(
        &self,
        directory: &Path,
        may_be_absent: bool,
        file: Option<&Path>,
    ) -> Result<(), StartError> {
        let absent = std::fs::metadata(directory).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let mut policies = match (absent, may_be_absent) {
            (true, true) => {
                info!(directory = %directory.display(), "there is no directory of policies");
                Vec::new()
            }
            (true, false) => return Err(StartError::NoDirectory(directory.to_owned())),
            (false, _) => load_directory(directory)
                .map_err(|errors| StartError::Directory { directory: directory.to_owned(), errors })?,
        };
        if let Some(file) = file {
            policies.push(load_file(file).map_err(StartError::File)?);
        }
        for policy in policies {
            let origin = policy.origin.to_string();
            self.add(policy, false).map_err(|error| StartError::Policy { origin, error: Box::new(error) })?;
        }
        Ok(())
    }
}
