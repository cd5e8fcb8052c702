//! Says what an event should look like, and if none does, which came nearest.

use std::fmt::Write;
use std::path::Path;

use super::events::{Event, EventExt};

/// How many of the nearest misses an error shows.
const SHOWN: usize = 4;

type Check = Box<dyn Fn(&Event) -> bool>;

/// Expectations of one event.
pub struct Expect {
    conditions: Vec<(String, Check)>,
}

/// An exec event.
pub fn exec() -> Expect {
    Expect { conditions: Vec::new() }.that("is an exec", |event| event.exec().is_some())
}

/// An exit event.
pub fn exit() -> Expect {
    Expect { conditions: Vec::new() }.that("is an exit", |event| event.exit().is_some())
}

impl Expect {
    /// Any event at all.
    pub fn any() -> Self {
        Self { conditions: Vec::new() }
    }

    /// Adds a condition and how it is shown.
    #[must_use]
    pub fn that(mut self, description: impl Into<String>, check: impl Fn(&Event) -> bool + 'static) -> Self {
        self.conditions.push((description.into(), Box::new(check)));
        self
    }

    /// About the process with this id.
    #[must_use]
    pub fn pid(self, pid: u32) -> Self {
        self.that(format!("pid = {pid}"), move |event| event.pid() == pid)
    }

    /// Whose parent has this process id.
    #[must_use]
    pub fn parent_pid(self, pid: u32) -> Self {
        self.that(format!("parent's pid = {pid}"), move |event| {
            event.parent().is_some_and(|parent| parent.pid == Some(pid))
        })
    }

    /// Whose binary is shown as this path.
    #[must_use]
    pub fn binary(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.that(format!("binary = {path:?}"), move |event| {
            event.process().is_some_and(|process| process.binary == path)
        })
    }

    /// Whose arguments are shown as this text.
    #[must_use]
    pub fn arguments(self, text: impl Into<String>) -> Self {
        let text = text.into();
        self.that(format!("arguments = {text:?}"), move |event| {
            event.process().is_some_and(|process| process.arguments == text)
        })
    }

    /// Which belongs to this exec id.
    #[must_use]
    pub fn exec_id(self, id: impl Into<String>) -> Self {
        let id = id.into();
        self.that(format!("exec id = {id}"), move |event| {
            event.process().is_some_and(|process| process.exec_id == id)
        })
    }

    /// An exit with this status.
    #[must_use]
    pub fn status(self, status: u32) -> Self {
        self.that(format!("status = {status}"), move |event| {
            event.exit().is_some_and(|exit| exit.status == status)
        })
    }

    /// An exit by this signal.
    #[must_use]
    pub fn signal(self, name: &'static str) -> Self {
        self.that(format!("signal = {name:?}"), move |event| {
            event.exit().is_some_and(|exit| exit.signal == name)
        })
    }

    /// Whether an event meets all conditions.
    pub fn is_met_by(&self, event: &Event) -> bool {
        self.conditions.iter().all(|(_, check)| check(event))
    }

    fn unmet(&self, event: &Event) -> Vec<&str> {
        self.conditions.iter().filter(|(_, check)| !check(event)).map(|(what, _)| what.as_str()).collect()
    }
}

/// Says that nothing met `expected`, and what came nearest.
pub(super) fn misses(expected: &Expect, events: &[Event]) -> String {
    let conditions: Vec<&str> = expected.conditions.iter().map(|(what, _)| what.as_str()).collect();
    let mut text = format!("none of {} events: {}", events.len(), conditions.join(", "));
    let mut near: Vec<_> = events
        .iter()
        .map(|event| (expected.unmet(event), event))
        .filter(|(unmet, _)| unmet.len() < conditions.len())
        .collect();
    near.sort_by_key(|(unmet, _)| unmet.len());
    for (unmet, event) in near.iter().take(SHOWN) {
        let _ = write!(text, "\n  not {}: {}", unmet.join(", not "), event.json());
    }
    if near.is_empty() {
        text.push_str("; none is near");
    }
    text
}

#[cfg(test)]
mod tests {
    use tetragon_api::tetragon::get_events_response::Event as Payload;
    use tetragon_api::tetragon::{Process, ProcessExec};

    use super::*;

    fn executed(pid: u32, binary: &str) -> Event {
        let process = Process { pid: Some(pid), binary: binary.into(), ..Process::default() };
        let exec = ProcessExec { process: Some(process), ..ProcessExec::default() };
        Event { event: Some(Payload::ProcessExec(exec)), ..Event::default() }
    }

    #[test]
    fn an_event_has_to_meet_every_condition() {
        let expected = exec().pid(7).binary("/bin/a");
        assert!(expected.is_met_by(&executed(7, "/bin/a")));
        assert!(!expected.is_met_by(&executed(7, "/bin/b")));
    }

    #[test]
    fn the_nearest_miss_comes_first_with_what_it_misses() {
        let events = [executed(1, "/bin/b"), executed(7, "/bin/b")];
        let text = misses(&exec().pid(7).binary("/bin/a"), &events);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("  not binary = \"/bin/a\": ") && lines[1].contains("\"pid\":7"),
            "{text}"
        );
        assert!(lines[2].starts_with("  not pid = 7, not binary"), "{text}");
    }
}
