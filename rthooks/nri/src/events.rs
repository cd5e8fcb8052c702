//! Which events a plugin wants.

use std::ops::BitOr;

use crate::api::Event;

/// A set of events. The empty set is special: to the runtime it means all events it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventMask(i32);

impl EventMask {
    /// All events that the runtime knows.
    pub const ALL: Self = Self(0);
    /// The events that every runtime knows. Runtimes refuse a plugin that asks for an event they do not know, and
    /// those beyond this set came with NRI 0.10.
    pub const EVERYWHERE: Self = Self(0x7FF);

    /// The given events. [`Event::Unknown`] adds nothing.
    #[must_use]
    pub const fn of(events: &[Event]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < events.len() {
            let number = events[at] as i32;
            if number > 0 {
                bits |= 1 << (number - 1);
            }
            at += 1;
        }
        Self(bits)
    }

    /// As the wire has it: bit n-1 for event n.
    #[must_use]
    pub const fn bits(self) -> i32 {
        self.0
    }
}

impl BitOr for EventMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        // All and something is all.
        if self == Self::ALL || other == Self::ALL { Self::ALL } else { Self(self.0 | other.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_protocol() {
        let mask = EventMask::of(&[
            Event::CreateContainer,
            Event::StartContainer,
            Event::StopContainer,
            Event::RemoveContainer,
        ]);
        assert_eq!(mask.bits(), 0x628);
        assert_eq!(EventMask::of(&[Event::Unknown]).bits(), 0);
        assert_eq!(EventMask::of(&[Event::ValidateContainerAdjustment]).bits(), 0x2000);
        let everywhere: Vec<Event> = (1..=11).map(|number| Event::try_from(number).expect("known")).collect();
        assert_eq!(EventMask::of(&everywhere), EventMask::EVERYWHERE);
    }

    #[test]
    fn all_and_something_is_all() {
        assert_eq!(EventMask::ALL | EventMask::of(&[Event::StopContainer]), EventMask::ALL);
        let two = EventMask::of(&[Event::RunPodSandbox]) | EventMask::of(&[Event::StopPodSandbox]);
        assert_eq!(two.bits(), 3);
    }
}
