//! Notes for the agent's next start: which containers run that it could not be told of.
//!
//! One file a container, named by its id, holding the encoded request. The agent reads them when it starts.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use prost::Message as _;
use tetragon_api::tetragon::RuntimeHookRequest;

/// Most notes at a time; the agent's own limit too.
const MAX_FILES: usize = 4096;

/// The folder of notes.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
}

/// Why a note was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("container id {0:?} cannot be the name of a file")]
    Id(String),
    #[error("{} holds {MAX_FILES} notes already; is an agent running that reads them?", .0.display())]
    Full(PathBuf),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl Spool {
    /// Notes in a folder that is made when there is something to note, if its parent exists.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes or replaces the note about container `id`. Blocks for a moment.
    pub(crate) fn write(&self, id: &str, request: &RuntimeHookRequest) -> Result<(), SpoolError> {
        let name = file_name(id)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| SpoolError::Io { path, error }
        };
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&self.folder)(error));
            }
            _ => {}
        }
        let path = self.folder.join(name);
        let notes = fs::read_dir(&self.folder).map_err(failed(&self.folder))?.count();
        if notes >= MAX_FILES && !path.exists() {
            return Err(SpoolError::Full(self.folder.clone()));
        }
        let temporary = self.folder.join(format!(".{name}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(failed(&temporary))?;
        file.write_all(&request.encode_to_vec()).map_err(failed(&temporary))?;
        fs::rename(&temporary, &path).map_err(failed(&path))
    }

    /// Removes the note about container `id`, if there is one.
    pub(crate) fn remove(&self, id: &str) -> Result<(), SpoolError> {
        let path = self.folder.join(file_name(id)?);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SpoolError::Io { path, error }),
            _ => Ok(()),
        }
    }
}

/// Ids come from the runtime, which is trusted, and become paths, so they are looked at all the same.
fn file_name(id: &str) -> Result<&str, SpoolError> {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"_.-".contains(&it);
    if id.is_empty() || id.len() > 200 || id.starts_with('.') || !id.bytes().all(plain) {
        return Err(SpoolError::Id(id.to_owned()));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tetragon_api::tetragon::{CreateContainer, runtime_hook_request::Event};

    use super::*;

    fn request(name: &str) -> RuntimeHookRequest {
        let container = CreateContainer { container_name: name.to_owned(), ..CreateContainer::default() };
        RuntimeHookRequest { event: Some(Event::CreateContainer(container)) }
    }

    #[test]
    fn a_note_is_whole_private_and_replaceable() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::new(root.path().join("containers"));
        spool.write("abc", &request("one")).unwrap();
        spool.write("abc", &request("two")).unwrap();
        let path = root.path().join("containers/abc");
        assert_eq!(RuntimeHookRequest::decode(&*fs::read(&path).unwrap()).unwrap(), request("two"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let folder = root.path().join("containers");
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
        spool.remove("abc").unwrap();
        spool.remove("abc").unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn ids_cannot_lead_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        for id in ["", "../x", ".hidden", "a/b", &"x".repeat(300)] {
            let error = Spool::new(root.path().join("containers")).write(id, &request("x")).unwrap_err();
            assert!(matches!(error, SpoolError::Id(_)), "{id}: {error}");
        }
    }

    #[test]
    fn without_a_run_directory_there_are_no_notes() {
        let root = tempfile::tempdir().unwrap();
        let error =
            Spool::new(root.path().join("missing/containers")).write("abc", &request("x")).unwrap_err();
        assert!(error.to_string().contains("missing/containers"), "{error}");
    }

    #[test]
    fn notes_are_bounded_in_number() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::new(root.path().join("containers"));
        spool.write("first", &request("x")).unwrap();
        for number in 1..MAX_FILES {
            fs::File::create(root.path().join(format!("containers/{number}"))).unwrap();
        }
        let error = spool.write("late", &request("x")).unwrap_err();
        assert!(matches!(error, SpoolError::Full(_)), "{error}");
        spool.write("first", &request("y")).expect("replacing one takes no more room");
    }
}
