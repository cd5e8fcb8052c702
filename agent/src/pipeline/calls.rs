//! From records of policies to events.

use std::sync::Arc;

use tetragon_api::tetragon::kprobe_argument::Arg;
use tetragon_api::tetragon::{EventType, KprobeAction, PolicyEventStatus};
use tetragon_bpf::plan::{PolicyRecord, phase};
use tracing::debug;

use super::gate::Outgoing;
use crate::config::Config;
use crate::event::{Kin, Payload};
use crate::policies::arguments::{self, Positioned};
use crate::policies::call;
use crate::policies::joining::{CallKey, Joining};
use crate::policies::stacks::Stacks;
use crate::policies::{Call, Catalogue, PlanInfo};
use crate::stats::Fate;
use crate::tracker::Tracker;

/// For which types of events ancestors are asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ancestors {
    kprobe: bool,
    tracepoint: bool,
    lsm: bool,
    uprobe: bool,
}

impl Ancestors {
    /// As the settings say.
    pub fn of(config: &Config) -> Self {
        Self {
            kprobe: config.ancestors_for("kprobe"),
            tracepoint: config.ancestors_for("tracepoint"),
            lsm: config.ancestors_for("lsm"),
            uprobe: config.ancestors_for("uprobe"),
        }
    }

    fn wanted(self, event_type: EventType) -> bool {
        match event_type {
            EventType::ProcessTracepoint => self.tracepoint,
            EventType::ProcessLsm => self.lsm,
            EventType::ProcessUprobe => self.uprobe,
            _ => self.kprobe,
        }
    }
}

/// A call that waits for its return.
#[derive(Debug)]
struct Entered {
    kin: Kin,
    call: Call,
    args: Positioned,
    boot_ns: u64,
}

/// What became of a record.
#[derive(Debug)]
pub enum Handled {
    /// The process is not known.
    Stranger,
    /// Nothing more to do.
    Done(Fate),
    /// An event.
    Event(Outgoing),
}

/// Makes events of calls.
#[derive(Debug)]
pub struct Calls {
    catalogue: Arc<Catalogue>,
    stacks: Stacks,
    ancestors: Ancestors,
    /// Calls that are events whatever they return.
    joining: Joining<Entered>,
    /// Calls that are events only if their return says so: most of these never hear of it, and must not push out the
    /// others.
    filtered: Joining<Entered>,
    status: PolicyEventStatus,
}

impl Calls {
    /// Knows the plans of the catalogue.
    pub fn new(catalogue: Arc<Catalogue>, stacks: Stacks, ancestors: Ancestors) -> Self {
        Self {
            catalogue,
            stacks,
            ancestors,
            joining: Joining::default(),
            filtered: Joining::default(),
            status: PolicyEventStatus::default(),
        }
    }

    /// Handles a record. `anyway`: also if its process is not known. `out` gets calls that gave way.
    pub fn handle(
        &mut self,
        tracker: &mut Tracker,
        (record, data): (&PolicyRecord, &[u8]),
        anyway: bool,
        out: &mut Vec<Outgoing>,
    ) -> Handled {
        let Some(plan) = self.catalogue.get(record.plan, record.generation) else {
            debug!(plan = record.plan, generation = record.generation, "record of an unknown policy");
            self.status.unknown_policy += 1;
            return Handled::Done(Fate::Malformed);
        };
        let outcome = match u32::from(record.phase) {
            phase::RETURN => self.returns(record, data, &plan),
            phase::CANCELLED => {
                self.waiting(&plan).take(&CallKey::from(record));
                Ok(Handled::Done(Fate::Absorbed))
            }
            _ => self.enters(tracker, (record, data), plan, anyway, out),
        };
        outcome.unwrap_or_else(|error| {
            debug!(%error, "record not understood");
            Handled::Done(Fate::Malformed)
        })
    }

    fn enters(
        &mut self,
        tracker: &mut Tracker,
        (record, data): (&PolicyRecord, &[u8]),
        plan: Arc<PlanInfo>,
        anyway: bool,
        out: &mut Vec<Outgoing>,
    ) -> Result<Handled, arguments::Misread> {
        let args = arguments::at_entry(record, data, &plan.hook)?;
        let mut kin = match tracker.caller(record) {
            Some(kin) => kin,
            None if anyway => {
                self.status.unknown_process += 1;
                tracker.unknown_caller(record)
            }
            None => return Ok(Handled::Stranger),
        };
        self.count_unreadable(&args);
        let call = Call {
            plan,
            tid: record.tid,
            args: Vec::new(),
            returned: None,
            action: call::action(record.action),
            return_action: KprobeAction::Post,
            action_errno: record.action_error.saturating_neg(),
            kernel_stack: self.stacks.kernel(part(data, record.kernel_stack_at, record.kernel_stack_len)),
            user_stack: self.stacks.user(record.tid, part(data, record.user_stack_at, record.user_stack_len)),
        };
        if !self.ancestors.wanted(call.event_type()) {
            kin.ancestors = Arc::default();
        }
        let entered = Entered { kin, call, args, boot_ns: record.header.boot_ns };
        if u32::from(record.phase) != phase::ENTRY {
            return Ok(Handled::Event(entered.event()));
        }
        let waiting = self.waiting(&entered.call.plan);
        if let Some(evicted) = waiting.insert(record.into(), record.key.tgid, entered) {
            self.status.evicted += 1;
            out.extend(evicted.alone());
        }
        Ok(Handled::Done(Fate::Absorbed))
    }

    fn returns(
        &mut self,
        record: &PolicyRecord,
        data: &[u8],
        plan: &Arc<PlanInfo>,
    ) -> Result<Handled, arguments::Misread> {
        let Some(mut entered) = self.waiting(plan).take(&CallKey::from(record)) else {
            self.status.entries_missing += 1;
            return Ok(Handled::Done(Fate::Absorbed));
        };
        let Entered { call, args, .. } = &mut entered;
        call.returned = arguments::at_return(record, data, &plan.hook, args)?;
        call.return_action = call::action(record.action);
        if call.action_errno == 0 {
            call.action_errno = record.action_error.saturating_neg();
        }
        self.status.joined += 1;
        Ok(Handled::Event(entered.event()))
    }

    fn waiting(&mut self, plan: &PlanInfo) -> &mut Joining<Entered> {
        if plan.returns_unconditionally { &mut self.joining } else { &mut self.filtered }
    }

    /// A process has ended. `out` gets its calls that did not return, except where only the return says whether they
    /// are events.
    pub(super) fn end(&mut self, tgid: u32, out: &mut Vec<Outgoing>) {
        self.filtered.end(tgid);
        for entered in self.joining.end(tgid) {
            self.status.returns_missing += 1;
            out.extend(entered.alone());
        }
    }

    /// The same for all processes: nothing more will come.
    pub(super) fn end_all(&mut self, out: &mut Vec<Outgoing>) {
        for entered in self.joining.end_all() {
            self.status.returns_missing += 1;
            out.extend(entered.alone());
        }
    }

    /// Forgets plans whose last records have come. `out` gets their calls that did not return: nothing will tell of that
    /// any more.
    pub(super) fn expire(&mut self, out: &mut Vec<Outgoing>) {
        let Self { catalogue, joining, filtered, status, .. } = self;
        catalogue.expire();
        let over = |key: &CallKey| catalogue.get(key.plan, key.generation).is_none();
        filtered.end_those(over);
        for entered in joining.end_those(over) {
            status.returns_missing += 1;
            out.extend(entered.alone());
        }
    }

    /// Figures; `waiting` are records that have not been handled.
    pub(super) fn status(&self, waiting: usize) -> PolicyEventStatus {
        PolicyEventStatus {
            returns_awaited: (self.joining.len() + self.filtered.len()) as u64,
            waiting: waiting as u64,
            ..self.status
        }
    }

    fn count_unreadable(&mut self, args: &Positioned) {
        let unreadable = args.iter().filter(|(_, it)| matches!(it.arg, Some(Arg::ErrorArg(_)))).count();
        self.status.unreadable_arguments += unreadable as u64;
    }
}

/// Decoding has made sure that it is there.
fn part(data: &[u8], at: u32, len: u32) -> &[u8] {
    data.get(at as usize..).and_then(|rest| rest.get(..len as usize)).unwrap_or_default()
}

impl Entered {
    fn event(self) -> Outgoing {
        let Self { kin, mut call, args, boot_ns } = self;
        call.args = args.into_iter().map(|(_, argument)| argument).collect();
        (Payload::Call { kin, call: Arc::new(call) }, boot_ns)
    }

    /// The event of a call whose return will not be seen, unless only that would tell whether it is one.
    fn alone(self) -> Option<Outgoing> {
        self.call.plan.returns_unconditionally.then(|| self.event())
    }
}

#[cfg(test)]
mod tests;
