//! The export itself: lines in, whole lines out, rotation in between.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::backups::Names;
use super::counters::add;
use super::housekeeper::Housekeeper;
use super::output::Output;
use super::{ExportCounters, ExportError, ExportSettings, ExportTarget};

/// Lines are gathered up to this many bytes before they are written.
const GATHER_BYTES: usize = 64 << 10;
/// While the output cannot be written, this many bytes are kept.
const KEEP_BYTES: usize = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often to look whether somebody has moved the file away.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// An export under way. [`close`](Self::close) or drop writes what is left.
#[derive(Debug)]
pub struct ExportFile {
    settings: ExportSettings,
    counters: Arc<ExportCounters>,
    output: Output,
    names: Option<Names>,
    housekeeper: Option<Housekeeper>,
    /// Waiting bytes. They start in the middle of a line if the output ends in the middle of one.
    buffer: Vec<u8>,
    /// Bytes of the unfinished line at the end of the output.
    unfinished: u64,
    trouble: Option<Trouble>,
    rotated: Instant,
    rotate_again: Option<Instant>,
    looked: Instant,
}

/// The output cannot be written.
#[derive(Debug)]
struct Trouble {
    next_try: Instant,
    pause: Duration,
    /// `failed_lines` when it began.
    failed_before: u64,
}

impl ExportFile {
    /// Opens the output, making file and directory if need be.
    pub fn open(settings: ExportSettings) -> Result<Self, ExportError> {
        let (output, names) = match &settings.target {
            ExportTarget::Stdout => {
                let path = Path::new("/dev/stdout");
                let open = |error| ExportError::Open { path: path.to_owned(), error };
                (Output::stdout().map_err(open)?, None)
            }
            ExportTarget::File(path) => {
                let output = Output::open(path, settings.mode)?;
                let names = output.regular.then(|| Names::of(path));
                (output, names)
            }
        };
        let housekeeper = match &names {
            Some(names) => Some(
                Housekeeper::start(names.clone(), settings.max_backups, settings.compress)
                    .map_err(ExportError::Thread)?,
            ),
            None => None,
        };
        let now = Instant::now();
        Ok(Self {
            settings,
            counters: Arc::default(),
            output,
            names,
            housekeeper,
            buffer: Vec::with_capacity(GATHER_BYTES),
            unfinished: 0,
            trouble: None,
            rotated: now,
            rotate_again: None,
            looked: now,
        })
    }

    /// The counters, to be shown elsewhere.
    pub fn counters(&self) -> Arc<ExportCounters> {
        self.counters.clone()
    }

    /// Takes one line with its newline. It is written at the latest by the next [`flush`](Self::flush); a line that
    /// cannot be kept is counted as failed.
    pub fn write_line(&mut self, line: &[u8]) {
        let too_long = self.output.regular && line.len() as u64 > self.settings.max_bytes;
        let no_room = !self.buffer.is_empty() && self.buffer.len() + line.len() > KEEP_BYTES;
        if too_long || (no_room && self.trouble.is_some()) {
            add(&self.counters.failed_lines, 1);
            return;
        }
        self.buffer.extend_from_slice(line);
        if self.buffer.len() >= GATHER_BYTES {
            self.flush();
        }
    }

    /// Writes what waits, unless the output is in trouble and its pause is not over.
    pub fn flush(&mut self) {
        if self.trouble.as_ref().is_none_or(|trouble| Instant::now() >= trouble.next_try) {
            self.write_out();
        }
    }

    /// To be called about once a second: tries again after trouble, rotates by time, notices a file moved away.
    pub fn tick(&mut self) {
        self.flush();
        let now = Instant::now();
        if !self.output.regular {
            return;
        }
        if now.duration_since(self.looked) >= LOOK_INTERVAL {
            self.looked = now;
            if let ExportTarget::File(path) = &self.settings.target
                && !self.output.is_at(path)
            {
                self.reopen();
            }
        }
        let interval = self.settings.rotation_interval;
        if !interval.is_zero() && now.duration_since(self.rotated) >= interval && self.buffer.is_empty() {
            self.rotated = now;
            // An empty file would only push a full one out of the backups.
            if self.output.size > 0 {
                self.rotate_counted();
            }
        }
    }

    /// Rotates now, whatever the size.
    pub fn rotate(&mut self) -> Result<(), ExportError> {
        let ExportTarget::File(path) = &self.settings.target else { return Err(ExportError::NoFile) };
        let path = path.clone();
        self.write_out();
        let result = if self.buffer.is_empty() {
            self.rename_and_open()
        } else {
            Err(ExportError::Rotate { path, error: io::Error::other("lines wait that cannot be written") })
        };
        self.count_rotation(&result);
        result
    }

    /// Writes what is left and closes the output.
    pub fn close(self) {
        drop(self);
    }

    /// Writes the buffer in pieces of whole lines, rotating where the file is full.
    fn write_out(&mut self) {
        let mut start = 0;
        let mut failure = None;
        while start < self.buffer.len() {
            let length = match self.piece(&self.buffer[start..]) {
                Some(length) => length,
                None if self.rotate_counted() => continue,
                // Better a file that is too long than lost events.
                None => self.buffer.len() - start,
            };
            match self.output.write(&self.buffer[start..start + length]) {
                Ok(count) => {
                    self.account(start, count);
                    start += count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        self.buffer.drain(..start);
        match failure {
            Some(error) => self.fail(&error, start > 0),
            None => self.recover(),
        }
    }

    /// How much of `waiting` may go into the current file; `None`: rotate first.
    fn piece(&self, waiting: &[u8]) -> Option<usize> {
        if !self.output.regular || self.rotate_again.is_some_and(|time| Instant::now() < time) {
            return Some(waiting.len());
        }
        if self.output.mid_line {
            return Some(waiting.iter().position(|byte| *byte == b'\n').map_or(waiting.len(), |end| end + 1));
        }
        let room = self.settings.max_bytes.saturating_sub(self.output.size);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if waiting.len() <= room {
            return Some(waiting.len());
        }
        waiting[..room].iter().rposition(|byte| *byte == b'\n').map(|end| end + 1)
    }

    fn account(&mut self, start: usize, count: usize) {
        let written = &self.buffer[start..start + count];
        let lines = written.iter().filter(|byte| **byte == b'\n').count();
        self.unfinished = match written.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => (count - end - 1) as u64,
            None => self.unfinished + count as u64,
        };
        add(&self.counters.lines, lines as u64);
        add(&self.counters.bytes, count as u64);
    }

    fn fail(&mut self, error: &io::Error, progress: bool) {
        add(&self.counters.write_errors, 1);
        let pause = match &self.trouble {
            Some(_) if progress => FIRST_PAUSE,
            Some(trouble) => (trouble.pause * 2).min(LONGEST_PAUSE),
            None => {
                tracing::error!(error = %error, target = %self.place(), "cannot export events, trying again");
                FIRST_PAUSE
            }
        };
        let failed_before = match &self.trouble {
            Some(trouble) => trouble.failed_before,
            None => self.counters.failed_lines.load(Ordering::Relaxed),
        };
        self.trouble = Some(Trouble { next_try: Instant::now() + pause, pause, failed_before });
        self.counters.degraded.store(true, Ordering::Relaxed);
    }

    fn recover(&mut self) {
        if let Some(trouble) = self.trouble.take() {
            let lost = self.counters.failed_lines.load(Ordering::Relaxed) - trouble.failed_before;
            tracing::info!(target = %self.place(), lost_lines = lost, "exporting events again");
            self.counters.degraded.store(false, Ordering::Relaxed);
        }
    }

    fn place(&self) -> std::path::Display<'_> {
        match &self.settings.target {
            ExportTarget::Stdout => Path::new("stdout").display(),
            ExportTarget::File(path) => path.display(),
        }
    }

    /// Rotates because the file is full or old; says whether it worked.
    fn rotate_counted(&mut self) -> bool {
        let result = self.rename_and_open();
        self.count_rotation(&result);
        if let Err(error) = &result {
            tracing::warn!(error = %error, "the export file grows on");
            self.rotate_again = Some(Instant::now() + LONGEST_PAUSE);
        }
        result.is_ok()
    }

    fn count_rotation(&self, result: &Result<(), ExportError>) {
        let counter = if result.is_ok() { &self.counters.rotations } else { &self.counters.rotation_errors };
        add(counter, 1);
    }

    /// Puts a new file in the place of the current one. On failure the current one stays in use.
    fn rename_and_open(&mut self) -> Result<(), ExportError> {
        let (ExportTarget::File(path), Some(names)) = (&self.settings.target, &self.names) else {
            return Err(ExportError::NoFile);
        };
        let moved = self.output.is_at(path).then(|| names.fresh(Timestamp::now()));
        if let Some(backup) = &moved {
            std::fs::rename(path, backup)
                .map_err(|error| ExportError::Rotate { path: path.clone(), error })?;
        }
        let fresh = Output::open(path, self.settings.mode).and_then(|fresh| {
            fresh
                .take_after(&self.output)
                .map_err(|error| ExportError::Rotate { path: path.clone(), error })?;
            Ok(fresh)
        });
        match fresh {
            Ok(fresh) => {
                self.output = fresh;
                self.unfinished = 0;
                self.rotated = Instant::now();
                self.rotate_again = None;
                if let Some(housekeeper) = &self.housekeeper {
                    housekeeper.call();
                }
                Ok(())
            }
            Err(error) => {
                if let Some(backup) = moved {
                    // If that fails too, lines go on into the renamed file, and the next look finds out.
                    let _ = std::fs::rename(backup, path);
                }
                Err(error)
            }
        }
    }

    /// Goes on in a new file after somebody has moved or removed the current one.
    fn reopen(&mut self) {
        let ExportTarget::File(path) = &self.settings.target else { return };
        match Output::open(path, self.settings.mode) {
            Ok(output) => {
                if self.output.mid_line {
                    // The beginning of this line is in the other file.
                    let end = self.buffer.iter().position(|byte| *byte == b'\n');
                    self.buffer.drain(..end.map_or(self.buffer.len(), |end| end + 1));
                    add(&self.counters.failed_lines, 1);
                }
                self.output = output;
                self.unfinished = 0;
                tracing::info!(file = %path.display(), "the export file was moved away, using a new one");
            }
            Err(error) => {
                add(&self.counters.write_errors, 1);
                tracing::error!(error = %error, "the export file was moved away, still writing to it");
                self.looked += LONGEST_PAUSE;
            }
        }
    }
}

impl Drop for ExportFile {
    fn drop(&mut self) {
        self.write_out();
        if self.buffer.is_empty() {
            return;
        }
        let left = self.buffer.iter().filter(|byte| **byte == b'\n').count();
        add(&self.counters.failed_lines, left as u64);
        if self.output.regular && self.unfinished > 0 {
            // The next start repairs what cannot be cut back now.
            let _ = self.output.cut(self.unfinished);
        }
        tracing::error!(lost_lines = left, target = %self.place(), "the last events could not be exported");
    }
}

#[cfg(test)]
impl ExportFile {
    /// Waits until rotated files are compressed and removed.
    pub(super) fn finish_housekeeping(&mut self) {
        if let Some(housekeeper) = &mut self.housekeeper {
            housekeeper.finish();
        }
    }
}
