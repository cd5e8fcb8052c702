//! Kernel time and wall time.
//!
//! Records carry the boot clock, which goes on while the machine is suspended; so does the offset that turns it into
//! wall time, and events keep their true time across a suspend.

use std::sync::atomic::{AtomicI64, Ordering};

use prost_types::Timestamp;
use rustix::time::{ClockId, clock_gettime};

const SECOND_NS: i64 = 1_000_000_000;

/// Converts boot-clock nanoseconds to wall time.
#[derive(Debug)]
pub struct Clock {
    /// Wall clock minus boot clock, ns. Changes when the wall clock is set.
    offset_ns: AtomicI64,
}

fn now_ns(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * SECOND_NS + now.tv_nsec
}

/// The boot clock now, ns.
pub fn boot_now_ns() -> u64 {
    now_ns(ClockId::Boottime).cast_unsigned()
}

impl Clock {
    /// Reads both clocks.
    pub fn new() -> Self {
        let clock = Self { offset_ns: AtomicI64::new(0) };
        clock.refresh();
        clock
    }

    /// Follows adjustments of the wall clock; cheap, to be called about every second.
    pub fn refresh(&self) {
        let before = now_ns(ClockId::Boottime);
        let wall = now_ns(ClockId::Realtime);
        let after = now_ns(ClockId::Boottime);
        // The boot clock is read on both sides so that a preemption in between is halved.
        let offset = wall - (before + (after - before) / 2);
        let old = self.offset_ns.load(Ordering::Relaxed);
        // Below a microsecond it is noise of the reading, and times of one process should stay comparable.
        if (offset - old).abs() > 1_000 {
            self.offset_ns.store(offset, Ordering::Relaxed);
        }
    }

    /// The wall time of a moment on the boot clock.
    pub fn wall(&self, boot_ns: u64) -> Timestamp {
        let wall = boot_ns.cast_signed().saturating_add(self.offset_ns.load(Ordering::Relaxed));
        Timestamp {
            seconds: wall.div_euclid(SECOND_NS),
            nanos: i32::try_from(wall.rem_euclid(SECOND_NS)).unwrap_or(0),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_of_now_is_now() {
        let clock = Clock::new();
        let now = clock.wall(boot_now_ns());
        let real = now_ns(ClockId::Realtime);
        let shown = now.seconds * SECOND_NS + i64::from(now.nanos);
        assert!((real - shown).abs() < SECOND_NS, "{real} {shown}");
    }

    #[test]
    fn differences_survive_the_conversion() {
        let clock = Clock::new();
        let (a, b) = (clock.wall(5_000_000_001), clock.wall(7_500_000_000));
        let ns = |t: &Timestamp| t.seconds * SECOND_NS + i64::from(t.nanos);
        assert_eq!(ns(&b) - ns(&a), 2_499_999_999);
    }
}
