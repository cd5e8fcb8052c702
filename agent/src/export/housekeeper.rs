//! The thread that removes and compresses rotated files.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::backups::{Names, compressed_name};

/// Looks after rotated files when told. Dropping it stops a compression under way.
#[derive(Debug)]
pub(super) struct Housekeeper {
    calls: Option<SyncSender<()>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeper {
    pub(super) fn start(names: Names, max_backups: usize, compress: bool) -> io::Result<Self> {
        let (calls, waiting) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("export-files".to_owned()).spawn(move || {
            while waiting.recv().is_ok() && !stopped.load(Ordering::Relaxed) {
                if let Err(error) = tidy(&names, max_backups, compress, &stopped) {
                    tracing::warn!(error = %error, "cannot tidy rotated export files, trying again at the next rotation");
                }
            }
        })?;
        let keeper = Self { calls: Some(calls), stop, thread: Some(thread) };
        keeper.call();
        Ok(keeper)
    }

    /// Asks for a round; one that waits already covers this one too.
    pub(super) fn call(&self) {
        if let Some(calls) = &self.calls {
            let _ = calls.try_send(());
        }
    }

    /// Waits until all rounds asked for are done.
    #[cfg(test)]
    pub(super) fn finish(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the housekeeper has panicked");
        }
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been logged; there is nothing left to look after.
            let _ = thread.join();
        }
    }
}

fn tidy(names: &Names, max_backups: usize, compress: bool, stop: &AtomicBool) -> io::Result<()> {
    let (mut backups, leftovers) = names.list()?;
    leftovers.iter().try_for_each(fs::remove_file)?;
    if max_backups > 0 {
        while backups.len() > max_backups {
            let Some((_, oldest)) = backups.pop_first() else { break };
            for path in [oldest.plain, oldest.compressed].into_iter().flatten() {
                fs::remove_file(path)?;
            }
        }
    }
    if compress {
        for path in backups.into_values().filter_map(|backup| backup.plain) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            compress_file(&path, stop)?;
        }
    }
    Ok(())
}

/// Replaces a file by its compressed form. The new name appears only when the content is complete.
fn compress_file(path: &Path, stop: &AtomicBool) -> io::Result<()> {
    let mut source = File::open(path)?;
    let found = source.metadata()?;
    let target = compressed_name(path);
    let mut partial = target.clone().into_os_string();
    partial.push(".tmp");
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    let mut encoder = GzEncoder::new(file, Compression::default());
    let mut chunk = vec![0; 64 << 10];
    let done = loop {
        match source.read(&mut chunk) {
            Ok(0) => break encoder.finish(),
            Ok(_) if stop.load(Ordering::Relaxed) => {
                fs::remove_file(&partial)?;
                return Ok(());
            }
            Ok(count) => {
                if let Err(error) = encoder.write_all(&chunk[..count]) {
                    break Err(error);
                }
            }
            Err(error) => break Err(error),
        }
    };
    let finished = done.and_then(|file| {
        file.set_permissions(fs::Permissions::from_mode(found.mode() & 0o777))?;
        // Only root can give files away; anyone else keeps what is theirs anyway.
        let _ = std::os::unix::fs::fchown(&file, Some(found.uid()), Some(found.gid()));
        fs::rename(&partial, &target)
    });
    if finished.is_err() {
        let _ = fs::remove_file(&partial);
    }
    finished?;
    fs::remove_file(path)
}
