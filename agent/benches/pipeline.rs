//! What one event costs in user space: decode, enrich, queue, encode. Without the kernel, files and sockets.
//!
//! One iteration is one process: three records (fork, exec, exit), two events (exec, exit). Figures per event are half
//! of those shown; the throughput is in events.

#![expect(clippy::unwrap_used, reason = "a benchmark of records it has made itself")]

#[path = "pipeline/records.rs"]
mod records;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use records::Life;
use tetragon::clock::Clock;
use tetragon::decode::{self, Record};
use tetragon::event::{Event, Origin, Payload};
use tetragon::fanout::{Fanout, Item, Subscription};
use tetragon::identity::{Options, Store};
use tetragon::process::Describer;
use tetragon::process::describe::Settings;
use tetragon::tracker::{Tracker, Verdict};
use tetragon_bpf::records::ProcessKey;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const EVENTS: u32 = 2;
/// A thousand processes a second: five thousand ended ones stay in the table.
const PACE_NS: u64 = 1_000_000;
const BETWEEN_EXPIRIES: u64 = 1_000;
const NODE: &str = "worker-1.example.org";

fn main() {
    divan::main();
}

/// Who takes the events.
#[derive(Debug, Clone, Copy)]
enum Consumer {
    Json,
    Proto,
}

/// The agent between its rings and its outputs.
struct Agent {
    tracker: Tracker,
    clock: Clock,
    origin: Arc<Origin>,
    fanout: Arc<Fanout>,
    consumers: Vec<(Consumer, Subscription)>,
    taken: Vec<Item>,
    life: Life,
    processes: u64,
}

impl Agent {
    fn new(settings: Settings, consumers: &[Consumer]) -> Self {
        let origin = Arc::new(Origin { node_name: NODE.to_owned(), cluster_name: String::new() });
        let settings = Settings { node_name: NODE.to_owned(), ..settings };
        let store = Arc::new(Store::new(None, Options::default()).unwrap());
        let describer = Describer::new(settings, Arc::new(Clock::new()), store, Path::new("/proc"));
        let mut tracker = Tracker::new(describer, 65_536, false);
        // The shell that starts them all.
        let shell = ProcessKey { start_boot_ns: 1_000_000, tgid: 1_000, exec_id: 2 };
        let mut first = Life::below(ProcessKey::default());
        first.of(shell.tgid, shell.start_boot_ns);
        let Ok(Record::Exec(exec, strings)) = decode::decode(first.exec.as_slice()) else {
            unreachable!("an exec record")
        };
        assert!(matches!(tracker.exec(exec, strings), Verdict::Event(_)));
        let fanout = Arc::new(Fanout::new(10_000));
        let consumers =
            consumers.iter().map(|consumer| (*consumer, fanout.subscribe("bench", None))).collect();
        Self {
            tracker,
            clock: Clock::new(),
            origin,
            fanout,
            consumers,
            taken: Vec::new(),
            life: Life::below(shell),
            processes: 0,
        }
    }

    /// One process from its birth to the last byte of its last event.
    fn follow_one_process(&mut self) {
        self.processes += 1;
        let start = self.processes * PACE_NS + 1_000_000_000;
        let tgid = u32::try_from(2_000 + self.processes % 4_000_000).unwrap();
        self.life.of(tgid, start);
        let events = [
            self.read(|life| life.fork.as_slice()),
            self.read(|life| life.exec.as_slice()),
            self.read(|life| life.exit.as_slice()),
        ];
        let events: Vec<Arc<Event>> = events.into_iter().flatten().collect();
        assert_eq!(events.len(), EVENTS as usize);
        self.fanout.publish(&events);
        drop(events);
        self.consume();
        if self.processes.is_multiple_of(BETWEEN_EXPIRIES) {
            self.tracker.expire(start);
        }
    }

    fn read(&mut self, record: impl FnOnce(&Life) -> &[u8]) -> Option<Arc<Event>> {
        let (payload, boot_ns) = match decode::decode(black_box(record(&self.life))).unwrap() {
            Record::Fork(fork) => {
                self.tracker.fork(fork);
                return None;
            }
            Record::Exec(exec, strings) => (self.tracker.exec(exec, strings), exec.header.boot_ns),
            Record::Exit(exit) => (self.tracker.exit(exit), exit.header.boot_ns),
            Record::Data(..) | Record::Cgroup(_) | Record::Policy(..) => unreachable!("there are none"),
        };
        let Verdict::Event(payload) = payload else { unreachable!("every image is new: {payload:?}") };
        Some(self.event(payload, boot_ns))
    }

    fn event(&self, payload: Payload, boot_ns: u64) -> Arc<Event> {
        Arc::new(Event::new(payload, self.clock.wall(boot_ns), Arc::clone(&self.origin)))
    }

    fn consume(&mut self) {
        for (consumer, subscription) in &self.consumers {
            subscription.receive_blocking(&mut self.taken, Duration::ZERO);
            for item in self.taken.drain(..) {
                let Item::Event(event) = item else { unreachable!("the queue is never full") };
                let encoded = match consumer {
                    Consumer::Json => event.json(),
                    Consumer::Proto => event.proto(),
                };
                black_box(encoded.len());
            }
            subscription.settled(u64::from(EVENTS), 0);
        }
    }
}

fn run(bencher: Bencher<'_, '_>, settings: Settings, consumers: &[Consumer]) {
    let mut agent = Agent::new(settings, consumers);
    // The table as it is after some seconds.
    for _ in 0..6 * BETWEEN_EXPIRIES {
        agent.follow_one_process();
    }
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| agent.follow_one_process());
}

/// Nobody listens: decode and enrich.
#[divan::bench(sample_size = 500)]
fn nobody(bencher: Bencher<'_, '_>) {
    run(bencher, Settings::default(), &[]);
}

/// The export file.
#[divan::bench(sample_size = 500)]
fn json(bencher: Bencher<'_, '_>) {
    run(bencher, Settings::default(), &[Consumer::Json]);
}

/// A gRPC stream.
#[divan::bench(sample_size = 500)]
fn proto(bencher: Bencher<'_, '_>) {
    run(bencher, Settings::default(), &[Consumer::Proto]);
}

/// The export file and two streams, which share what is encoded.
#[divan::bench(sample_size = 500)]
fn json_and_two_streams(bencher: Bencher<'_, '_>) {
    run(bencher, Settings::default(), &[Consumer::Json, Consumer::Proto, Consumer::Proto]);
}

/// The export file, with credentials, capabilities and namespaces of each process.
#[divan::bench(sample_size = 500)]
fn json_with_credentials_and_namespaces(bencher: Bencher<'_, '_>) {
    let settings = Settings { credentials: true, namespaces: true, ..Settings::default() };
    run(bencher, settings, &[Consumer::Json]);
}
