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

/// Bytes of arguments that may wait. Beyond, the container that has waited longest is let go.
const BYTES_MAX: usize = 32 << 20;

/// Asks somebody who may know a container, by the beginning of its id. Must not wait.
pub type Ask = Box<dyn Fn(&str) + Send>;

/// An event on its way out, and its time on the boot clock, ns.
pub type Outgoing = (Payload, u64);

/// Lets events pass, or wait.
pub struct Gate {
    store: Arc<Store>,
    ask: Option<Ask>,
    waiting: Waiting<Outgoing>,
    /// Of arguments.
    waiting_bytes: usize,
    /// Containers that have been waited for in vain.
    disappointed: u32,
}

impl Gate {
    /// With somebody to `ask`, events wait up to `limit`.
    pub fn new(store: Arc<Store>, ask: Option<Ask>, limit: Duration) -> Self {
        let limit = if ask.is_some() { limit } else { limit.min(HOOKS_LIMIT) };
        Self { store, ask, waiting: Waiting::new(limit), waiting_bytes: 0, disappointed: 0 }
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
        self.waiting_bytes += event.0.own_weight();
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
        if self.waiting_bytes > BYTES_MAX
            && let Some(longest) = self.waiting.containers().first()
        {
            self.release(tracker, *longest, out);
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
        let bytes: usize = events.iter().map(|(payload, _)| payload.own_weight()).sum();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
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

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::kprobe_argument::Arg;
    use tetragon_api::tetragon::{KprobeAction, KprobeArgument};
    use tetragon_bpf::records::{CgroupRecord, ProcessKey, cgroup_action, identity_flags};
    use zerocopy::FromZeros;

    use super::*;
    use crate::event::Kin;
    use crate::policies::Call;
    use crate::policies::stacks::{KernelStack, UserStack};
    use crate::process::describe::Settings;
    use crate::samples::{mk_describer_of, mk_exec, mk_key, mk_plan, mk_store, mk_strings};
    use crate::tracker::Verdict;

    /// A container of which nobody has told, in the cgroup of this number.
    fn add_container(store: &Store, cgroup: u64) {
        let mut made = CgroupRecord::new_zeroed();
        let path = format!("/kubepods/cri-containerd-{cgroup:064x}.scope");
        made.path[..path.len()].copy_from_slice(path.as_bytes());
        (made.cgroup_id, made.parent_id, made.path_len) = (cgroup, 2, u32::try_from(path.len()).unwrap());
        (made.action, made.identity.flags) = (cgroup_action::MADE, identity_flags::PATH);
        store.cgroup(&made);
    }

    fn kin(tracker: &mut Tracker, pid: u32, cgroup: u64) -> Kin {
        let mut record = mk_exec(mk_key(pid, 1, 1), ProcessKey::default(), 1);
        (record.task.cgroup_id, record.task.identity.flags) = (cgroup, identity_flags::PATH);
        match tracker.exec(&record, mk_strings("/x")) {
            Verdict::Event(Payload::Exec(kin)) => kin,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_with_much_data_do_not_wait_beyond_a_limit() {
        let store = mk_store();
        [10, 11].into_iter().for_each(|cgroup| add_container(&store, cgroup));
        let describer = mk_describer_of(Settings::default(), Arc::clone(&store));
        let mut tracker = Tracker::new(describer, 100, false);
        let [first, second] =
            [10, 11].map(|cgroup| kin(&mut tracker, u32::try_from(cgroup).unwrap(), cgroup));
        let bytes = Arg::BytesArg(vec![0; BYTES_MAX / 4].into());
        let call = Arc::new(Call {
            plan: Arc::new(mk_plan("policy", vec![])),
            tid: 1,
            args: vec![KprobeArgument { label: String::new(), arg: Some(bytes) }],
            returned: None,
            action: KprobeAction::Post,
            return_action: KprobeAction::Post,
            action_errno: 0,
            kernel_stack: KernelStack::default(),
            user_stack: UserStack::default(),
        });
        let event = |kin: &Kin| (Payload::Call { kin: kin.clone(), call: Arc::clone(&call) }, 1);
        let mut gate = Gate::new(store, None, Duration::from_secs(60));
        let mut out = Vec::new();
        for kin in [&first, &first, &second, &second] {
            gate.pass(&mut tracker, event(kin), &mut out);
        }
        assert!(out.is_empty());
        gate.pass(&mut tracker, event(&second), &mut out);
        let released: Vec<u32> = out.iter().map(|(it, _)| it.process().unwrap().key.tgid).collect();
        assert_eq!(released, [10, 10], "those that have waited longest");
        gate.open(&mut tracker, &mut out);
        assert_eq!((out.len(), gate.waiting_bytes), (5, 0));
    }
}
