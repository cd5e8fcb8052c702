//! The last step before the fan-out: events of containers that nobody has told of yet wait a little.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::event::Payload;
use crate::identity::{ContainerNumber, Knowledge, Store, Waiting};
use crate::tracker::Tracker;

/// How long events wait where hooks are the only source. The sandbox of a pod runs before any hook tells of it.
const HOOKS_LIMIT: Duration = Duration::from_secs(2);

/// Containers that nobody tells of before it is believed that there are no hooks.
const DISAPPOINTMENTS: u32 = 3;

/// Asks somebody who may know a container, by the beginning of its id. Must not wait.
pub type Ask = Box<dyn Fn(&str) + Send>;

/// An event on its way out, and its time on the boot clock, ns.
pub type Outgoing = (Payload, u64);

/// Lets events pass, or wait.
pub struct Gate {
    store: Arc<Store>,
    ask: Option<Ask>,
    waiting: Waiting<Outgoing>,
    /// Containers that have been waited for in vain.
    disappointed: u32,
}

impl Gate {
    /// With somebody to `ask`, events wait up to `limit`.
    pub fn new(store: Arc<Store>, ask: Option<Ask>, limit: Duration) -> Self {
        let limit = if ask.is_some() { limit } else { limit.min(HOOKS_LIMIT) };
        Self { store, ask, waiting: Waiting::new(limit), disappointed: 0 }
    }

    /// An event wants to leave; `out` gets those that do, in order.
    pub fn pass(&mut self, tracker: &mut Tracker, event: Outgoing, out: &mut Vec<Outgoing>) {
        let Some(belonging) = event.0.process().and_then(|process| process.belonging) else {
            out.push(event);
            return;
        };
        let container = belonging.container;
        if belonging.complete {
            if self.waiting.holds(container) {
                self.release(tracker, container, out);
            }
            self.leave(event, out);
            return;
        }
        let hopeless = self.store.container(container).is_none_or(|it| it.hopeless);
        let nobody_tells =
            self.ask.is_none() && !self.store.has_hooks() && self.disappointed >= DISAPPOINTMENTS;
        if !self.waiting.is_enabled() || hopeless || nobody_tells {
            self.leave(event, out);
            return;
        }
        if self.waiting.park(container, event, Instant::now()) {
            // First this, then the question, then a look: whatever comes in between is noticed.
            self.store.await_container(container, true);
            if let (Some(ask), Some(id)) = (&self.ask, self.store.id_of(container)) {
                ask(&id);
            }
        }
        if self.store.container(container).is_some_and(|it| it.complete) {
            self.release(tracker, container, out);
        }
        self.store.counters.set_waiting(self.waiting.len());
    }

    /// Something has become known.
    pub fn look(&mut self, tracker: &mut Tracker, out: &mut Vec<Outgoing>) {
        self.store.acknowledge();
        for container in self.waiting.containers() {
            if self.store.container(container).is_none_or(|it| it.complete || it.hopeless) {
                self.release(tracker, container, out);
            }
        }
    }

    /// Lets go what has waited long enough.
    pub fn expire(&mut self, tracker: &mut Tracker, out: &mut Vec<Outgoing>) {
        while let Some(container) = self.waiting.overdue(Instant::now()) {
            debug!(container = self.store.id_of(container), "nobody has told whose this container is");
            self.disappointed = self.disappointed.saturating_add(1);
            self.release(tracker, container, out);
        }
    }

    /// Lets go everything.
    pub fn open(&mut self, tracker: &mut Tracker, out: &mut Vec<Outgoing>) {
        for container in self.waiting.containers() {
            self.release(tracker, container, out);
        }
    }

    /// When the next event will have waited long enough.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting.next_deadline()
    }

    fn release(&mut self, tracker: &mut Tracker, container: ContainerNumber, out: &mut Vec<Outgoing>) {
        self.store.await_container(container, false);
        let events = self.waiting.take(container);
        let known = self.store.container(container).filter(|it| it.complete);
        let mut renewal = known.map(|resolved| tracker.identify(resolved));
        for (payload, boot_ns) in events {
            let payload = match &mut renewal {
                Some(renewal) => tracker.renewed(renewal, payload),
                None => payload,
            };
            self.leave((payload, boot_ns), out);
        }
        self.store.counters.set_waiting(self.waiting.len());
    }

    fn leave(&self, event: Outgoing, out: &mut Vec<Outgoing>) {
        if let Some(belonging) = event.0.process().and_then(|process| process.belonging) {
            let knowledge = if belonging.complete { belonging.knowledge } else { Knowledge::Unknown };
            self.store.counters.event(knowledge, belonging.setup);
        }
        out.push(event);
    }
}
