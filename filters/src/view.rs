//! What filters look at.

use tetragon_api::tetragon::get_events_response::Event;
use tetragon_api::tetragon::{EventType, GetEventsResponse, Process};

/// An event as filters see it, whatever it is kept in.
pub trait EventView {
    /// Kind of the event.
    fn event_type(&self) -> EventType;

    /// The process it is about, if it is about one.
    fn process(&self) -> Option<&Process>;

    /// The parent of that process, if known.
    fn parent(&self) -> Option<&Process>;

    /// Whether the test holds for one of the ancestors, which begin at the parent's parent.
    fn any_ancestor(&self, test: &mut dyn FnMut(&Process) -> bool) -> bool;

    /// Name of the policy that caused it, if one did.
    fn policy_name(&self) -> Option<&str>;
}

/// The process, parent and ancestors of a payload.
type Family<'a> = (Option<&'a Process>, Option<&'a Process>, &'a [Process]);

fn family(event: &GetEventsResponse) -> Family<'_> {
    macro_rules! family {
        ($payload:expr) => {
            ($payload.process.as_ref(), $payload.parent.as_ref(), &$payload.ancestors)
        };
    }
    match &event.event {
        Some(Event::ProcessExec(it)) => family!(it),
        Some(Event::ProcessExit(it)) => family!(it),
        Some(Event::ProcessKprobe(it)) => family!(it),
        Some(Event::ProcessTracepoint(it)) => family!(it),
        Some(Event::ProcessLoader(it)) => family!(it),
        Some(Event::ProcessUprobe(it)) => family!(it),
        Some(Event::ProcessLsm(it)) => family!(it),
        Some(Event::ProcessUsdt(it)) => family!(it),
        Some(Event::ProcessThrottle(_) | Event::Test(_) | Event::RateLimitInfo(_)) | None => {
            (None, None, &[])
        }
    }
}

impl EventView for GetEventsResponse {
    fn event_type(&self) -> EventType {
        match &self.event {
            Some(Event::ProcessExec(_)) => EventType::ProcessExec,
            Some(Event::ProcessExit(_)) => EventType::ProcessExit,
            Some(Event::ProcessKprobe(_)) => EventType::ProcessKprobe,
            Some(Event::ProcessTracepoint(_)) => EventType::ProcessTracepoint,
            Some(Event::ProcessLoader(_)) => EventType::ProcessLoader,
            Some(Event::ProcessUprobe(_)) => EventType::ProcessUprobe,
            Some(Event::ProcessThrottle(_)) => EventType::ProcessThrottle,
            Some(Event::ProcessLsm(_)) => EventType::ProcessLsm,
            Some(Event::ProcessUsdt(_)) => EventType::ProcessUsdt,
            Some(Event::Test(_)) => EventType::Test,
            Some(Event::RateLimitInfo(_)) => EventType::RateLimitInfo,
            None => EventType::Undef,
        }
    }

    fn process(&self) -> Option<&Process> {
        family(self).0
    }

    fn parent(&self) -> Option<&Process> {
        family(self).1
    }

    fn any_ancestor(&self, test: &mut dyn FnMut(&Process) -> bool) -> bool {
        family(self).2.iter().any(test)
    }

    fn policy_name(&self) -> Option<&str> {
        match &self.event {
            Some(Event::ProcessKprobe(it)) => Some(&it.policy_name),
            Some(Event::ProcessTracepoint(it)) => Some(&it.policy_name),
            Some(Event::ProcessUprobe(it)) => Some(&it.policy_name),
            Some(Event::ProcessLsm(it)) => Some(&it.policy_name),
            Some(Event::ProcessUsdt(it)) => Some(&it.policy_name),
            _ => None,
        }
    }
}
