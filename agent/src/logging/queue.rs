//! The queue between those who log and the thread that writes.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::fields::Fields;
use super::{Format, Level, line};

/// Lines that may wait. At some 200 bytes each, less than a megabyte.
const CAPACITY: usize = 4096;
/// One write takes at most about this much.
const BATCH_BYTES: usize = 64 << 10;

enum Item {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Takes lines without ever waiting.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    items: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Starts the thread that writes every line to every sink.
    pub(super) fn start(sinks: Vec<Box<dyn Write + Send>>, format: Format) -> io::Result<Self> {
        let (items, waiting) = sync_channel(CAPACITY);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer { sinks, format, dropped: dropped.clone(), reported: 0 };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&waiting))?;
        Ok(Self { items, dropped })
    }

    pub(super) fn push(&self, line: Vec<u8>) {
        if self.items.try_send(Item::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let (done, wait) = sync_channel(1);
        let mut item = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = self.items.try_send(item) {
            if Instant::now() >= deadline {
                return;
            }
            item = back;
            thread::sleep(Duration::from_millis(1));
        }
        // Time is over or the writer is gone: there is nothing else to wait for.
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

struct Writer {
    sinks: Vec<Box<dyn Write + Send>>,
    format: Format,
    dropped: Arc<AtomicU64>,
    reported: u64,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Item>) {
        let mut flushes = Vec::new();
        while let Ok(first) = waiting.recv() {
            let (mut batch, mut lines) = (Vec::new(), 0);
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    Item::Line(line) => {
                        batch.extend_from_slice(&line);
                        lines += 1;
                    }
                    Item::Flush(done) => flushes.push(done),
                }
                next = if batch.len() < BATCH_BYTES { waiting.try_recv().ok() } else { None };
            }
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > self.reported {
                let mut fields = Fields::default();
                fields.text("count", (dropped - self.reported).to_string());
                batch.extend(line::format(self.format, Level::Warning, "log lines dropped", &fields));
                self.reported = dropped;
            }
            let mut written = batch.is_empty();
            for sink in &mut self.sinks {
                written |= write_fully(sink, &batch).is_ok();
            }
            if !written {
                self.dropped.fetch_add(lines, Ordering::Relaxed);
            }
            flushes.drain(..).for_each(|done: SyncSender<()>| {
                let _ = done.try_send(());
            });
        }
    }
}

/// Writes all bytes, also where the other side has made the descriptor non-blocking.
fn write_fully(sink: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error),
        }
    }
    sink.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_reach_every_sink_even_when_another_one_is_closed() {
        let (writer, reader) = UnixStream::pair().unwrap();
        let (closed, gone) = UnixStream::pair().unwrap();
        drop(gone);
        let queue = Queue::start(vec![Box::new(closed), Box::new(writer)], Format::Text).unwrap();
        queue.push(b"one\n".to_vec());
        queue.push(b"two\n".to_vec());
        queue.flush(Duration::from_secs(10));
        drop(queue);
        let mut text = String::new();
        { reader }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_closed_sink_counts_its_lines() {
        let (closed, gone) = UnixStream::pair().unwrap();
        drop(gone);
        let queue = Queue::start(vec![Box::new(closed)], Format::Text).unwrap();
        queue.push(b"one\n".to_vec());
        queue.flush(Duration::from_secs(10));
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn a_sink_that_is_not_read_holds_nobody_back_and_the_drops_are_told() {
        let (writer, reader) = UnixStream::pair().unwrap();
        let queue = Queue::start(vec![Box::new(writer)], Format::Text).unwrap();
        let line = vec![b'x'; 1023].into_iter().chain([b'\n']).collect::<Vec<_>>();
        let pushed = 3 * CAPACITY;
        let start = Instant::now();
        for _ in 0..pushed {
            queue.push(line.clone());
        }
        queue.flush(Duration::from_millis(10));
        assert!(start.elapsed() < Duration::from_secs(10));
        let dropped = queue.dropped();
        assert!(dropped > 0);

        let thread = thread::spawn(move || {
            let mut text = String::new();
            { reader }.read_to_string(&mut text).map(|_| text)
        });
        queue.flush(Duration::from_secs(10));
        queue.push(b"last\n".to_vec());
        queue.flush(Duration::from_secs(10));
        drop(queue);
        let text = thread.join().unwrap().unwrap();
        let whole = text.lines().filter(|line| line.len() == 1023).count();
        assert_eq!(whole as u64 + dropped, pushed as u64);
        assert!(text.contains("msg=\"log lines dropped\""));
        assert!(text.contains("last\n"));
    }
}
