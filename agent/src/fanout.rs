//! From the one pipeline to every consumer, over one bounded queue each.
//!
//! Publishing never waits: what does not fit into a consumer's queue is dropped for that consumer alone, counted, and
//! shown to it as a gap at the place where it happened.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tetragon_api::tetragon::SinkLedger;
use tokio::sync::Notify;

use crate::event::Event;

/// Most that a consumer takes at once: enough to spread the cost of waking, few enough that the queue's bound holds.
const BATCH: usize = 256;
/// Most that a queue holds of events' strings. Only events with enormous arguments reach it before they reach the
/// bound in events: without it, whoever makes such processes could make a slow reader's queue fill the memory.
const QUEUE_BYTES: usize = 32 << 20;
/// Ended consumers that stay visible in the ledger.
const REMEMBERED: usize = 16;

/// What a consumer receives.
#[derive(Debug, Clone)]
pub enum Item {
    /// An event.
    Event(Arc<Event>),
    /// So many events were dropped here because the queue was full.
    Gap(u64),
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Weight of the events in it.
    bytes: usize,
    closed: bool,
}

/// What happened to the events offered to one consumer: `offered = delivered + filtered + dropped + failed + queued`,
/// where queued counts those that the consumer has taken and not settled yet.
#[derive(Debug, Default)]
struct Counters {
    offered: AtomicU64,
    delivered: AtomicU64,
    filtered: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// One consumer's end of the fan-out. Ends with its last clone but the fan-out's own.
#[derive(Debug)]
pub struct Sink {
    name: String,
    capacity: usize,
    queue: Mutex<Queue>,
    arrived: Condvar,
    notify: Notify,
    counters: Counters,
    active: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves plain data that is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// As the ledger shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn offer(&self, events: &[Arc<Event>]) {
        let mut queue = lock(&self.queue);
        self.counters.offered.fetch_add(events.len() as u64, Relaxed);
        for event in events {
            // A single event always has room, whatever it weighs.
            let light = queue.bytes == 0 || queue.bytes + event.weight() <= QUEUE_BYTES;
            if light && queue.items.len() < self.capacity {
                queue.bytes += event.weight();
                queue.items.push_back(Item::Event(Arc::clone(event)));
                continue;
            }
            self.counters.dropped.fetch_add(1, Relaxed);
            match queue.items.back_mut() {
                Some(Item::Gap(count)) => *count += 1,
                _ => queue.items.push_back(Item::Gap(1)),
            }
        }
        drop(queue);
        self.arrived.notify_one();
        self.notify.notify_one();
    }

    fn close(&self) {
        lock(&self.queue).closed = true;
        self.arrived.notify_all();
        self.notify.notify_one();
    }

    fn take(queue: &mut Queue, into: &mut Vec<Item>) {
        let count = queue.items.len().min(BATCH);
        for item in queue.items.drain(..count) {
            if let Item::Event(event) = &item {
                queue.bytes -= event.weight();
            }
            into.push(item);
        }
        if queue.items.is_empty() && queue.items.capacity() > 4 * BATCH {
            queue.items.shrink_to(BATCH);
        }
    }

    /// Waits for items, on a thread of the consumer's own. False when there will be no more.
    pub fn receive_blocking(&self, into: &mut Vec<Item>, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut queue = lock(&self.queue);
        loop {
            Self::take(&mut queue, into);
            if !into.is_empty() {
                return true;
            }
            if queue.closed {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            queue = self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for items. False when there will be no more. Cancel-safe.
    pub async fn receive(&self, into: &mut Vec<Item>) -> bool {
        loop {
            let notified = self.notify.notified();
            {
                let mut queue = lock(&self.queue);
                Self::take(&mut queue, into);
                if !into.is_empty() {
                    return true;
                }
                if queue.closed {
                    return false;
                }
            }
            notified.await;
        }
    }

    /// The consumer did not want the event.
    pub fn filtered(&self) {
        self.counters.filtered.fetch_add(1, Relaxed);
    }

    /// The consumer's own limit did not let the event pass.
    pub fn dropped(&self) {
        self.counters.dropped.fetch_add(1, Relaxed);
    }

    /// So many items, of those taken and not settled, reached the consumer, and so many never will.
    pub fn settled(&self, delivered: u64, failed: u64) {
        self.counters.delivered.fetch_add(delivered, Relaxed);
        self.counters.failed.fetch_add(failed, Relaxed);
    }

    /// The consumer's own side adds an item, such as a notice of a gap.
    pub fn added(&self) {
        self.counters.offered.fetch_add(1, Relaxed);
    }

    /// Where the events offered to it went.
    pub fn ledger(&self) -> SinkLedger {
        // Settled ones first: an event that is settled while we read then counts as queued, never twice.
        let [delivered, filtered, dropped, failed] = [
            &self.counters.delivered,
            &self.counters.filtered,
            &self.counters.dropped,
            &self.counters.failed,
        ]
        .map(|counter| counter.load(Relaxed));
        let offered = self.counters.offered.load(Relaxed);
        SinkLedger {
            name: self.name.clone(),
            offered,
            delivered,
            filtered,
            dropped,
            failed,
            queued: offered.saturating_sub(delivered + filtered + dropped + failed),
            active: self.active.load(Relaxed),
        }
    }
}

/// Takes its sink out of the fan-out when dropped.
#[derive(Debug)]
pub struct Subscription {
    sink: Arc<Sink>,
    fanout: Arc<Fanout>,
}

impl std::ops::Deref for Subscription {
    type Target = Arc<Sink>;

    fn deref(&self) -> &Arc<Sink> {
        &self.sink
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.fanout.remove(&self.sink);
    }
}

#[derive(Debug, Default)]
struct Sinks {
    active: Vec<Arc<Sink>>,
    ended: VecDeque<SinkLedger>,
    closed: bool,
}

/// All consumers.
#[derive(Debug)]
pub struct Fanout {
    sinks: RwLock<Sinks>,
    queue_capacity: usize,
    emitted: AtomicU64,
    next_id: AtomicU64,
}

impl Fanout {
    /// `queue_capacity` is in events, for each consumer.
    pub fn new(queue_capacity: usize) -> Self {
        Self {
            sinks: RwLock::default(),
            queue_capacity,
            emitted: AtomicU64::new(0),
            next_id: AtomicU64::new(1),
        }
    }

    /// Adds a consumer: it sees every event from here on. `kind` and a number, or `name` if given, name it.
    pub fn subscribe(self: &Arc<Self>, kind: &str, name: Option<&str>) -> Subscription {
        let name = match name {
            Some(name) => format!("{kind}:{name}"),
            None => format!("{kind}:{}", self.next_id.fetch_add(1, Relaxed)),
        };
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        let sink = Arc::new(Sink {
            name,
            capacity: self.queue_capacity,
            queue: Mutex::new(Queue { closed: sinks.closed, ..Queue::default() }),
            arrived: Condvar::new(),
            notify: Notify::new(),
            counters: Counters::default(),
            active: AtomicBool::new(true),
        });
        sinks.active.push(Arc::clone(&sink));
        Subscription { sink, fanout: Arc::clone(self) }
    }

    fn remove(&self, sink: &Arc<Sink>) {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        sinks.active.retain(|other| !Arc::ptr_eq(other, sink));
        sink.active.store(false, Relaxed);
        // What it had not settled will never reach it.
        let mut ledger = sink.ledger();
        ledger.dropped += ledger.queued;
        ledger.queued = 0;
        if sinks.ended.len() == REMEMBERED {
            sinks.ended.pop_front();
        }
        sinks.ended.push_back(ledger);
    }

    /// Offers events to everybody, in this order.
    pub fn publish(&self, events: &[Arc<Event>]) {
        if events.is_empty() {
            return;
        }
        self.emitted.fetch_add(events.len() as u64, Relaxed);
        for sink in &self.sinks.read().unwrap_or_else(PoisonError::into_inner).active {
            sink.offer(events);
        }
    }

    /// Nothing will be published any more: consumers finish what they have.
    pub fn close(&self) {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        sinks.closed = true;
        sinks.active.iter().for_each(|sink| sink.close());
    }

    /// Events published so far.
    pub fn emitted(&self) -> u64 {
        self.emitted.load(Relaxed)
    }

    /// Every consumer's ledger, ended ones last.
    pub fn ledgers(&self) -> Vec<SinkLedger> {
        let sinks = self.sinks.read().unwrap_or_else(PoisonError::into_inner);
        sinks.active.iter().map(|sink| sink.ledger()).chain(sinks.ended.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests;
