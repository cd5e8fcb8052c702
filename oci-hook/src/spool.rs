//! What the agent will be told when it is back: containers that were allowed to start without it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use prost::Message;
use tetragon_api::tetragon::{CreateContainer, RuntimeHookStage};

use crate::container::request;

/// Files. A node runs some hundred containers; more means that nobody fetches them.
const MOST: usize = 4096;
/// Bytes; the longest name that file systems take.
const LONGEST_NAME: usize = 255;

/// Keeps the message for the agent, which reads it when it starts. One file a container, named by its id.
pub(crate) fn keep(directory: &Path, mut creation: CreateContainer) -> io::Result<PathBuf> {
    let path = place(directory, &creation.container_id)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if fs::read_dir(directory)?.take(MOST).count() >= MOST {
        return Err(io::Error::other(format!("{MOST} messages are there already")));
    }
    creation.stage = RuntimeHookStage::Running.into();
    // The agent leaves names that begin with a dot alone, so it never reads half a message.
    let unfinished = directory.join(format!(".{}", std::process::id()));
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let written = written.and_then(|mut file| file.write_all(&request(creation).encode_to_vec()));
    written.and_then(|()| fs::rename(&unfinished, &path)).inspect_err(|_| {
        // It has a reason already; this one would say the same.
        let _ = fs::remove_file(&unfinished);
    })?;
    Ok(path)
}

/// Forgets what is kept for a container that is gone.
pub(crate) fn forget(directory: &Path, container_id: &str) {
    if let Ok(path) = place(directory, container_id) {
        // Nearly always there is nothing.
        let _ = fs::remove_file(path);
    }
}

fn place(directory: &Path, container_id: &str) -> io::Result<PathBuf> {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    let usable = (1..=LONGEST_NAME).contains(&container_id.len())
        && !container_id.starts_with('.')
        && container_id.bytes().all(plain);
    if usable {
        Ok(directory.join(container_id))
    } else {
        Err(io::Error::other(format!("{container_id:?} is no container id")))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tetragon_api::tetragon::RuntimeHookRequest;
    use tetragon_api::tetragon::runtime_hook_request::Event;

    use super::*;

    fn container(id: &str) -> CreateContainer {
        CreateContainer { container_id: id.to_owned(), pid: 7, ..CreateContainer::default() }
    }

    #[test]
    fn what_is_kept_can_be_read_and_forgotten() {
        let dir = tempfile::tempdir().expect("folder");
        let spool = dir.path().join("containers");
        let path = keep(&spool, container("abc")).expect("kept");
        assert_eq!(path, spool.join("abc"));
        let kept = RuntimeHookRequest::decode(&*fs::read(&path).expect("file")).expect("message");
        let Some(Event::CreateContainer(kept)) = kept.event else { panic!() };
        assert_eq!((kept.stage(), kept.pid), (RuntimeHookStage::Running, 7));
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&spool), mode(&path)), (0o700, 0o600));
        forget(&spool, "abc");
        assert_eq!(fs::read_dir(&spool).expect("folder").count(), 0);
    }

    #[test]
    fn ids_that_are_no_file_names_are_refused() {
        let dir = tempfile::tempdir().expect("folder");
        for id in ["", ".", "..", "../x", "a/b", ".hidden", "a\0", &"a".repeat(256)] {
            assert!(keep(dir.path(), container(id)).is_err(), "{id:?}");
        }
        assert!(keep(&dir.path().join("no/parent"), container("abc")).is_err());
        assert_eq!(fs::read_dir(dir.path()).expect("folder").count(), 0);
    }

    #[test]
    fn a_spool_that_nobody_reads_stops_growing() {
        let dir = tempfile::tempdir().expect("folder");
        for number in 0..MOST {
            fs::write(dir.path().join(number.to_string()), "").expect("file");
        }
        assert!(keep(dir.path(), container("abc")).is_err());
    }
}
