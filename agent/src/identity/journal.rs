//! What hooks have told, kept over a restart of the agent: one file a container, in a directory that does not survive a
//! reboot. Hooks that let a container pass while there was no agent leave such a file as well.
//!
//! A file holds the request as it came. Written by a thread of its own, so that no hook waits for a disk.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use prost::Message;
use tetragon_api::tetragon::{RuntimeHookRequest, RuntimeHookStage, runtime_hook_request::Event};
use tracing::{info, warn};

use super::Source;
use super::store::Store;

/// Most files that are read and kept.
const FILES_MAX: usize = 32768;
/// Longest file that is read, bytes: annotations and labels of a pod are at most 256 KiB each.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Changes that may wait to be written.
const QUEUE: usize = 4096;
/// Stack of the thread, bytes.
const STACK_BYTES: usize = 128 * 1024;

enum Change {
    Keep(String, Box<RuntimeHookRequest>),
    Forget(String),
}

/// The directory, and the thread that writes into it.
pub struct Journal {
    directory: PathBuf,
    changes: Option<SyncSender<Change>>,
    thread: Option<JoinHandle<()>>,
    /// Changes that were not written: the queue was full, or the disk.
    dropped: Arc<AtomicU64>,
}

impl Journal {
    /// Uses this directory, which it makes if need be.
    ///
    /// # Errors
    /// The directory cannot be made, or the thread not be started.
    pub fn open(directory: PathBuf) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let (changes, waiting) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let thread = {
            let (directory, dropped) = (directory.clone(), Arc::clone(&dropped));
            let write = move || write_all(&directory, &waiting, &dropped);
            thread::Builder::new().name("journal".to_owned()).stack_size(STACK_BYTES).spawn(write)?
        };
        Ok(Self { directory, changes: Some(changes), thread: Some(thread), dropped })
    }

    /// Tells the store what is in the directory. Files of containers that are gone are removed.
    ///
    /// Returns how many containers are still there.
    pub fn replay(&self, store: &Store) -> usize {
        let mut kept = 0;
        let mut gone = 0;
        for path in files_of(&self.directory) {
            let told = read(&path).and_then(|request| {
                store
                    .replay(request)
                    .map_err(|error| io::Error::new(io::ErrorKind::NotFound, error.to_string()))
            });
            match told {
                Ok(()) => kept += 1,
                Err(error) => {
                    if error.kind() == io::ErrorKind::InvalidData {
                        warn!(path = %path.display(), %error, "a file of the journal is not understood, and removed");
                    }
                    gone += 1;
                    // One that cannot be removed is looked at again at the next start.
                    let _ = fs::remove_file(&path);
                }
            }
        }
        if kept + gone > 0 {
            info!(kept, gone, "containers of the journal");
        }
        kept
    }

    /// Keeps what a hook has told of a container that is there.
    pub fn keep(&self, id: String, request: RuntimeHookRequest) {
        self.change(Change::Keep(id, Box::new(request)));
    }

    /// A container is gone.
    pub fn forget(&self, id: String) {
        self.change(Change::Forget(id));
    }

    /// Changes that were not written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    fn change(&self, change: Change) {
        let Some(changes) = &self.changes else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = changes.try_send(change) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The thread writes what waits, and ends.
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Store {
    /// What was told in an earlier life, if the container is still there.
    fn replay(&self, request: RuntimeHookRequest) -> Result<(), super::HookError> {
        let Some(Event::CreateContainer(mut container)) = request.event else {
            return Err(super::HookError::NoEvent);
        };
        // By its cgroup alone: another process may have the pid by now.
        container.pid = 0;
        match self.container_hook_by(RuntimeHookStage::Running, Source::Journal, container)?.cgroup_id {
            0 => Err(super::HookError::NoPlace),
            _ => Ok(()),
        }
    }
}

fn write_all(directory: &Path, changes: &Receiver<Change>, dropped: &AtomicU64) {
    let mut files: HashSet<String> =
        files_of(directory).filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
    let mut warned = false;
    while let Ok(change) = changes.recv() {
        let result = match change {
            Change::Keep(id, _) if !is_file_name(&id) => Ok(()),
            Change::Keep(id, _) if files.len() >= FILES_MAX && !files.contains(&id) => {
                Err(io::Error::new(io::ErrorKind::QuotaExceeded, format!("{FILES_MAX} files are enough")))
            }
            Change::Keep(id, request) => write(directory, &id, &request).map(|()| {
                files.insert(id);
            }),
            Change::Forget(id) => {
                files.remove(&id);
                match fs::remove_file(directory.join(&id)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            dropped.fetch_add(1, Relaxed);
            if !warned {
                warn!(directory = %directory.display(), %error, "the journal of containers cannot be written");
            }
            warned = true;
        } else {
            warned = false;
        }
    }
}

/// Ids come from outside; they are names in our directory and nothing else.
fn is_file_name(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn write(directory: &Path, id: &str, request: &RuntimeHookRequest) -> io::Result<()> {
    let temporary = directory.join(format!(".{id}"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&request.encode_to_vec())?;
    drop(file);
    fs::rename(&temporary, directory.join(id))
}

fn read(path: &Path) -> io::Result<RuntimeHookRequest> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a small regular file"));
    }
    let bytes = fs::read(path)?;
    RuntimeHookRequest::decode(&*bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn files_of(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).ok().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            // Those that are being written begin with a dot.
            (!entry.file_name().as_encoded_bytes().starts_with(b".")).then(|| entry.path())
        })
        .take(FILES_MAX)
}
