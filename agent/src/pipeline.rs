//! The one thread on which records become events.
//!
//! ```text
//! lifecycle ring --> decode --> tracker (process table) --> gate --> events --> fan-out --> export, streams
//! events ring -+--> arguments ----^     ^    ^
//!              +--> queue --> calls -----+    |
//! task iterator, /proc -------> scan --------'
//! ```
//!
//! Order: records come in the order in which the kernel reserved their places, so those of one process never change
//! places, and a parent's exec comes before its child's birth. Events leave in that order; `time` is the kernel's.
//! Records of policies come in the other ring. What a process did before the end of its image is in there by the time
//! that the record of that end can be read; so that ring is emptied in between, and older records go first. One whose
//! process is not known yet waits a little.
//!
//! Nothing here waits for a consumer. The thread sleeps when the rings are empty.

mod buffer;
pub mod calls;
pub mod gate;
mod queue;

use std::collections::HashSet;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tetragon_bpf::records::{ExecRecord, ProcessKey, kind};
use tracing::{debug, error, info, warn};

use crate::arguments::Arguments;
use crate::clock::{Clock, boot_now_ns};
use crate::decode::{self, Record};
use crate::event::{Event, Origin, Payload};
use crate::fanout::Fanout;
use crate::identity::Store;
use crate::kernel::KernelError;
use crate::kernel::ledger::KernelLedger;
use crate::kernel::rings::{Position, Ring};
use crate::kernel::sensor::{Attached, BaseSensor};
use crate::process::describe::ExecStrings;
use crate::process::procfs::ProcFs;
use crate::process::scan;
use crate::stats::{Fate, Stats};
use crate::tracker::{Tracker, Verdict};

use buffer::Buffer;
use calls::{Calls, Handled};
use gate::{Gate, Outgoing};
use queue::{Queue, Waiting};

/// Events published at once.
const BATCH: usize = 128;
/// After a burst, how long further life-cycle records may gather before the next reading: it saves a wake-up an
/// event, and delays an event by no more than this.
const GATHER: Duration = Duration::from_millis(5);
/// Records handled in one go; then it is time to look at the clock and at the wish to stop.
const DRAIN: usize = 8192;
/// Records of the events ring read in one go.
const GATHERED: usize = 1024;
/// How often clocks, losses and the age of table entries are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long an unfinished record of another CPU may hide what a process has done before it ended: in a virtual machine a
/// processor can be taken away at any instruction.
const UNFINISHED_LIMIT: Duration = Duration::from_millis(50);
/// How long pieces of an argument list may take to become visible once their exec record is.
const PIECES_LIMIT: Duration = Duration::from_millis(200);
/// Least time between two scans for lost records.
const RESCAN_PAUSE: Duration = Duration::from_secs(2);

/// All that the thread works with.
pub struct Pipeline {
    /// Keeps the programs attached.
    pub sensor: BaseSensor,
    /// The attached programs.
    pub attached: Arc<Vec<Attached>>,
    /// Exec, fork and exit records.
    pub lifecycle: Ring,
    /// Data records, and those of policies.
    pub events: Ring,
    /// The kernel's counters.
    pub ledger: Arc<KernelLedger>,
    /// The host's `/proc`.
    pub procfs: ProcFs,
    /// Processes.
    pub tracker: Tracker,
    /// Whose processes are.
    pub store: Arc<Store>,
    /// Where events wait until that is known.
    pub gate: Gate,
    /// Makes events of what policies report.
    pub calls: Calls,
    /// Kernel time to wall time.
    pub clock: Arc<Clock>,
    /// Goes into every event.
    pub origin: Arc<Origin>,
    /// Consumers.
    pub fanout: Arc<Fanout>,
    /// Figures.
    pub stats: Arc<Stats>,
}

/// What the thread keeps while it runs.
struct State {
    parts: Pipeline,
    arguments: Arguments,
    queue: Queue,
    /// Events of calls, on their way to the gate.
    called: Vec<Outgoing>,
    passing: Vec<Outgoing>,
    outgoing: Vec<Arc<Event>>,
    buffer: Buffer,
    /// Where a record of the events ring stayed unfinished for too long.
    unfinished: Option<Position>,
    /// By CPU, losses that the stream has been told of.
    reported_lost: Vec<u64>,
    skipped_seen: u64,
    lost_seen: u64,
    last_scan: Option<Instant>,
    /// Until the first scan is done.
    starting: bool,
}

/// How a visit to the rings went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    /// There was nothing.
    Nothing,
    /// All there was has been handled.
    All,
    /// There may be more.
    Some,
}

impl Pipeline {
    /// Reports what runs already, calls `ready`, and then reports what happens until `stop` becomes readable.
    pub fn run(self, stop: &OwnedFd, ready: impl FnOnce()) {
        let mut state = State {
            parts: self,
            arguments: Arguments::default(),
            queue: Queue::default(),
            called: Vec::new(),
            passing: Vec::new(),
            outgoing: Vec::new(),
            buffer: Buffer::default(),
            unfinished: None,
            reported_lost: Vec::new(),
            skipped_seen: 0,
            lost_seen: 0,
            last_scan: None,
            starting: true,
        };
        state.start();
        ready();
        state.work(stop);
        state.finish();
    }
}

impl State {
    fn start(&mut self) {
        let kernel = self.parts.tracker.kernel();
        self.push(kernel, 1);
        // What is skipped from here on may be missing in the scan.
        self.skipped_seen = self.skipped();
        if let Err(error) = self.scan("start") {
            error!(%error, "processes that run already are not known");
        }
        self.starting = false;
        self.publish();
    }

    fn work(&mut self, stop: &OwnedFd) {
        let store = Arc::clone(&self.parts.store);
        let mut next_tick = Instant::now() + TICK;
        loop {
            let drained = self.drain();
            self.let_go();
            let now = Instant::now();
            if now >= next_tick {
                self.tick();
                next_tick = now + TICK;
            }
            let stopped = match drained {
                Drained::Some => wait(&[stop.as_fd()], Duration::ZERO),
                Drained::All => wait(&[self.parts.events.as_fd(), store.changed(), stop.as_fd()], GATHER),
                Drained::Nothing => {
                    let deadlines = [self.parts.gate.next_deadline(), self.queue.next_deadline()];
                    let next = deadlines.into_iter().flatten().fold(next_tick, Instant::min);
                    let limit = next.saturating_duration_since(Instant::now());
                    let Pipeline { lifecycle, events, .. } = &self.parts;
                    wait(&[lifecycle.as_fd(), events.as_fd(), store.changed(), stop.as_fd()], limit)
                }
            };
            if stopped {
                return;
            }
        }
    }

    /// Detaches the programs, then reports what they had still written.
    fn finish(mut self) {
        self.parts.sensor.detach();
        while self.drain() == Drained::Some {}
        self.report_silent_losses();
        self.try_stranded(true);
        self.parts.calls.end_all(&mut self.called);
        self.pass_calls();
        self.show_calls();
        let Pipeline { gate, tracker, .. } = &mut self.parts;
        gate.open(tracker, &mut self.passing);
        self.publish();
        self.parts.fanout.close();
    }

    /// Empties both rings, as far as they do not fill again as fast.
    fn drain(&mut self) -> Drained {
        let mut drained = match self.gather() {
            0 => Drained::Nothing,
            GATHERED => Drained::Some,
            _ => Drained::All,
        };
        let mut buffer = mem::take(&mut self.buffer);
        let mut count = 0;
        while self.parts.lifecycle.next(|record| buffer.copy(record)).is_some() {
            if drained == Drained::Nothing {
                drained = Drained::All;
            }
            self.gather_older();
            self.handle(buffer.bytes());
            count += 1;
            if count == DRAIN {
                drained = Drained::Some;
                break;
            }
            if self.passing.len() >= BATCH {
                self.publish();
            }
        }
        self.buffer = buffer;
        self.try_stranded(false);
        self.settle_calls(u64::MAX);
        self.publish();
        if drained != Drained::Nothing {
            self.show_calls();
        }
        drained
    }

    /// Handles a life-cycle record, and before it the records of policies that are older.
    fn handle(&mut self, bytes: &[u8]) {
        let mut record_kind = 0;
        if let Some(header) = decode::header(bytes) {
            record_kind = header.kind;
            self.settle_calls(header.boot_ns);
            self.report_losses(header.cpu as usize, header.lost, header.boot_ns);
        }
        let fate = match decode::decode(bytes) {
            Ok(Record::Exec(exec, strings)) => self.exec(exec, strings),
            Ok(Record::Fork(fork)) => {
                self.parts.tracker.fork(fork);
                self.is_known(fork.key.tgid);
                Fate::Absorbed
            }
            // It ended before we could see that it was there: not one of those that we report.
            Ok(Record::Exit(exit)) if self.starting && !self.parts.tracker.has(&exit.key) => Fate::Absorbed,
            Ok(Record::Exit(exit)) => {
                self.parts.calls.end(exit.key.tgid, &mut self.called);
                self.pass_calls();
                let verdict = self.parts.tracker.exit(exit);
                self.settle(verdict, exit.header.boot_ns)
            }
            Ok(Record::Cgroup(cgroup)) => {
                self.parts.store.cgroup(cgroup);
                Fate::Absorbed
            }
            Ok(Record::Data(..) | Record::Policy(..)) => Fate::Malformed,
            Err(error) => {
                debug!(%error, "record not understood");
                Fate::Malformed
            }
        };
        self.parts.stats.count(record_kind, fate);
    }

    fn exec(&mut self, exec: &ExecRecord, inline: ExecStrings<'_>) -> Fate {
        let verdict = if exec.args_total_len > exec.args_inline_len {
            let (arguments, arguments_cut) = self.long_arguments(exec);
            let strings = ExecStrings { arguments: &arguments, arguments_cut, ..inline };
            self.parts.tracker.exec(exec, strings)
        } else {
            self.parts.tracker.exec(exec, inline)
        };
        let fate = self.settle(verdict, exec.header.boot_ns);
        self.is_known(exec.task.key.tgid);
        fate
    }

    /// Records of policies that have waited for this process come before what it does next.
    fn is_known(&mut self, tgid: u32) {
        if self.queue.strands(tgid) {
            self.try_stranded(false);
        }
    }

    /// Arguments that came in pieces, and whether some are missing.
    fn long_arguments(&mut self, exec: &ExecRecord) -> (Vec<u8>, bool) {
        let wanted = exec.args_data_len as usize;
        let deadline = Instant::now() + PIECES_LIMIT;
        // They were sent before the exec record, but another CPU's unfinished record can still hide them.
        while self.arguments.len(&exec.task.key) < wanted && Instant::now() < deadline {
            if self.gather() == 0 {
                std::thread::yield_now();
            }
        }
        let arguments = self.arguments.take(&exec.task.key);
        let cut = arguments.len() < exec.args_total_len as usize;
        (arguments, cut)
    }

    /// Reads the events ring as far as CPUs have written it now: what the process has done before comes first.
    fn gather_older(&mut self) {
        let end = self.parts.events.end();
        self.gather();
        let mut position = self.parts.events.position();
        if position.has_reached(end) || self.unfinished == Some(position) {
            return;
        }
        let deadline = Instant::now() + UNFINISHED_LIMIT;
        while !position.has_reached(end) {
            if Instant::now() >= deadline {
                self.unfinished = Some(position);
                return;
            }
            if self.gather() == 0 {
                std::thread::yield_now();
            }
            position = self.parts.events.position();
        }
    }

    /// Reads the events ring; how many records.
    fn gather(&mut self) -> usize {
        for count in 0..GATHERED {
            if self.queue.is_full() {
                self.try_stranded(true);
                self.settle_calls(u64::MAX);
            }
            let Self { parts, arguments, queue, .. } = self;
            let Some(counted) = parts.events.next(|bytes| take_in(bytes, arguments, queue)) else {
                return count;
            };
            if let Some((kind, fate)) = counted {
                parts.stats.count(kind, fate);
            }
        }
        GATHERED
    }

    /// Handles the records of policies that are older than this.
    fn settle_calls(&mut self, before_boot_ns: u64) {
        while let Some(waiting) = self.queue.pop_before(before_boot_ns) {
            self.call(waiting, false);
        }
    }

    /// Handles records whose process may be known by now. `anyway`: also if it is not.
    fn try_stranded(&mut self, anyway: bool) {
        if self.queue.next_deadline().is_none() {
            return;
        }
        for (waiting, over) in self.queue.take_stranded() {
            self.call(waiting, anyway || over);
        }
    }

    /// Handles one record of a policy. `anyway`: even if its process is not known.
    fn call(&mut self, waiting: Waiting, anyway: bool) {
        let Ok(Record::Policy(record, data)) = decode::decode(waiting.bytes()) else {
            self.parts.stats.count(kind::POLICY, Fate::Malformed);
            return self.queue.release(waiting);
        };
        let header = record.header;
        self.report_losses(header.cpu as usize, header.lost, header.boot_ns);
        let tgid = record.key.tgid;
        // Those of one process keep their order.
        let handled = if !anyway && self.queue.strands(tgid) {
            Handled::Stranger
        } else {
            let Pipeline { calls, tracker, .. } = &mut self.parts;
            calls.handle(tracker, (record, data), anyway, &mut self.called)
        };
        let fate = match handled {
            Handled::Stranger => return self.queue.strand(tgid, waiting),
            Handled::Done(fate) => fate,
            Handled::Event(event) => {
                self.called.push(event);
                Fate::Emitted
            }
        };
        self.queue.release(waiting);
        self.pass_calls();
        self.parts.stats.count(kind::POLICY, fate);
        if self.passing.len() >= BATCH {
            self.publish();
        }
    }

    fn pass_calls(&mut self) {
        let Self { parts: Pipeline { gate, tracker, .. }, called, passing, .. } = self;
        for event in called.drain(..) {
            gate.pass(tracker, event, passing);
        }
    }

    fn show_calls(&self) {
        let status = self.parts.calls.status(self.queue.len());
        self.parts.stats.policies(|shown| *shown = status);
    }

    fn settle(&mut self, verdict: Verdict, boot_ns: u64) -> Fate {
        match verdict {
            Verdict::Known => Fate::Duplicate,
            Verdict::Silent => Fate::Absorbed,
            Verdict::Event(payload) => {
                self.push(payload, boot_ns);
                Fate::Emitted
            }
            Verdict::Late(earlier, payload) => {
                // Like all that a scan finds, it carries the time of its start.
                let began = earlier.process().map_or(boot_ns, |process| process.key.start_boot_ns);
                self.push(earlier, began);
                self.push(payload, boot_ns);
                Fate::Emitted
            }
        }
    }

    fn push(&mut self, payload: Payload, boot_ns: u64) {
        let Pipeline { gate, tracker, .. } = &mut self.parts;
        gate.pass(tracker, (payload, boot_ns), &mut self.passing);
    }

    /// Lets go events whose wait is over.
    fn let_go(&mut self) {
        let Pipeline { gate, tracker, .. } = &mut self.parts;
        gate.look(tracker, &mut self.passing);
        gate.expire(tracker, &mut self.passing);
        self.publish();
    }

    fn publish(&mut self) {
        for (payload, boot_ns) in self.passing.drain(..) {
            let time = self.parts.clock.wall(boot_ns);
            self.outgoing.push(Arc::new(Event::new(payload, time, Arc::clone(&self.parts.origin))));
        }
        self.parts.fanout.publish(&self.outgoing);
        self.outgoing.clear();
    }

    /// Tells the stream of records that this CPU has lost since it last told.
    fn report_losses(&mut self, cpu: usize, lost: u64, boot_ns: u64) {
        if self.reported_lost.len() <= cpu {
            self.reported_lost.resize(cpu + 1, 0);
        }
        let new = lost.saturating_sub(self.reported_lost[cpu]);
        if new > 0 {
            self.reported_lost[cpu] = lost;
            self.push(Payload::Gap { lost: new }, boot_ns);
        }
    }

    /// Losses after which no record has come from the same CPU.
    fn report_silent_losses(&mut self) -> u64 {
        match self.parts.ledger.lost_by_cpu() {
            Ok(lost) => {
                for (cpu, count) in lost.iter().enumerate() {
                    self.report_losses(cpu, *count, boot_now_ns());
                }
                lost.iter().sum()
            }
            Err(error) => {
                warn!(%error, "losses cannot be read");
                self.lost_seen
            }
        }
    }

    fn tick(&mut self) {
        self.parts.clock.refresh();
        let now = boot_now_ns();
        self.parts.tracker.expire(now);
        self.parts.store.expire();
        self.arguments.expire(now);
        self.parts.calls.expire(&mut self.called);
        self.pass_calls();
        let lost = self.report_silent_losses();
        let skipped = self.skipped();
        let paused = self.last_scan.is_some_and(|last| last.elapsed() < RESCAN_PAUSE);
        if !paused && (lost > self.lost_seen || skipped > self.skipped_seen) {
            let cause = if skipped > self.skipped_seen { "kernel skipped a program" } else { "records lost" };
            warn!(lost, skipped, cause, "looking for processes whose records are missing");
            self.last_scan = Some(Instant::now());
            match self.scan(cause) {
                Ok(()) => (self.lost_seen, self.skipped_seen) = (lost, skipped),
                Err(error) => warn!(%error, "the search for them failed, and will be repeated"),
            }
        }
        self.publish();
        self.show_table();
    }

    fn skipped(&self) -> u64 {
        self.parts.attached.iter().filter_map(Attached::skipped).sum()
    }

    fn show_table(&self) {
        let tracker = &self.parts.tracker;
        self.parts.stats.table(|shown| tracker.show(shown));
    }

    fn scan(&mut self, cause: &str) -> Result<(), KernelError> {
        let started = Instant::now();
        let began = boot_now_ns();
        let mut waiting: Vec<Buffer> = Vec::new();
        let Self { parts, arguments, queue, .. } = self;
        let Pipeline { sensor, procfs, tracker, lifecycle, events, stats, .. } = parts;
        let mut relieve = || {
            while lifecycle
                .next(|record| {
                    let mut buffer = Buffer::default();
                    buffer.copy(record);
                    waiting.push(buffer);
                })
                .is_some()
            {}
            // What is too much stays in the ring.
            while !queue.is_full()
                && let Some(counted) = events.next(|bytes| take_in(bytes, arguments, queue))
            {
                if let Some((kind, fate)) = counted {
                    stats.count(kind, fate);
                }
            }
        };
        // What is found there can be recognised below.
        parts.store.scan();
        let outcome = scan::scan(sensor, procfs, |key| tracker.knows(key), &mut relieve)?;
        relieve();

        let live = Live::of(&waiting);
        let count = outcome.found.len() as u64;
        let mut reported = 0;
        for found in &outcome.found {
            if live.begins(&found.task.key) {
                continue;
            }
            let Some(payload) = self.parts.tracker.adopt(found) else { continue };
            reported += 1;
            self.push(payload, found.task.key.start_boot_ns);
        }
        let ended = self.parts.tracker.bury_missing(&outcome.present, &live.ended, began);
        self.publish();
        for buffer in waiting {
            self.handle(buffer.bytes());
        }
        self.publish();
        self.last_scan = Some(Instant::now());
        self.show_table();
        self.parts.stats.scan(|shown| {
            shown.scans += 1;
            cause.clone_into(&mut shown.last_cause);
            shown.processes_found += count;
            shown.processes_reported += reported;
        });
        info!(
            cause,
            found = count,
            reported,
            ended,
            took_ms = started.elapsed().as_millis(),
            "scanned processes"
        );
        Ok(())
    }
}

/// Takes a record out of the events ring. What has not only been put aside is to be counted.
fn take_in(bytes: &[u8], arguments: &mut Arguments, queue: &mut Queue) -> Option<(u32, Fate)> {
    match decode::decode(bytes) {
        Ok(Record::Data(record, piece)) => {
            arguments.add(record, piece);
            Some((kind::DATA, Fate::Absorbed))
        }
        Ok(Record::Policy(..)) => {
            queue.push(bytes);
            None
        }
        _ => Some((decode::header(bytes).map_or(kind::DATA, |header| header.kind), Fate::Malformed)),
    }
}

/// What records that are waiting will tell.
#[derive(Debug, Default)]
struct Live {
    begun: HashSet<ProcessKey>,
    ended: HashSet<(u32, u64)>,
}

impl Live {
    fn of(waiting: &[Buffer]) -> Self {
        let mut live = Self::default();
        for buffer in waiting {
            match decode::decode(buffer.bytes()) {
                Ok(Record::Exec(exec, _)) => {
                    live.begun.insert(exec.task.key);
                }
                Ok(Record::Fork(fork)) => {
                    live.begun.insert(fork.key);
                }
                Ok(Record::Exit(exit)) => {
                    live.ended.insert((exit.key.tgid, exit.key.start_boot_ns));
                }
                _ => {}
            }
        }
        live
    }

    fn begins(&self, key: &ProcessKey) -> bool {
        self.begun.contains(key)
    }
}

/// Sleeps until one of the descriptors is readable, at most for `limit`. True if the last one is: it says stop.
fn wait(descriptors: &[BorrowedFd<'_>], limit: Duration) -> bool {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    // An interrupted wait is a short wait.
    poll(&mut polled, Some(&limit)).is_ok()
        && polled.last().is_some_and(|stop| stop.revents().contains(PollFlags::IN))
}
