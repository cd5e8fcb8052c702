//! The limit of exported events per minute.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// A bucket of as many tokens as events are allowed per minute, full at the start.
#[derive(Debug)]
pub struct RateLimiter {
    /// Events per minute; `None`: no limit.
    limit: Option<u64>,
    /// Time saved up, in nanoseconds; one event costs a minute divided by the limit.
    saved: u64,
    last: Instant,
    dropped: u64,
    reported: Instant,
}

impl RateLimiter {
    /// Allows so many events per minute; negative: all, 0: none.
    pub fn new(per_minute: i64, now: Instant) -> Self {
        let limit = u64::try_from(per_minute).ok();
        Self { limit, saved: nanos(MINUTE), last: now, dropped: 0, reported: now }
    }

    /// Whether an event may pass now. If not, it is counted as dropped.
    pub fn allow(&mut self, now: Instant) -> bool {
        let Some(limit) = self.limit else { return true };
        let passed = nanos(now.saturating_duration_since(self.last));
        self.last = self.last.max(now);
        self.saved = self.saved.saturating_add(passed).min(nanos(MINUTE));
        match nanos(MINUTE).checked_div(limit) {
            Some(cost) if self.saved >= cost => {
                self.saved -= cost;
                true
            }
            _ => {
                self.dropped += 1;
                false
            }
        }
    }

    /// Once a minute: how many events were dropped since the last report, if any were.
    pub fn report(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.reported) < MINUTE {
            return None;
        }
        self.reported = now;
        Some(std::mem::take(&mut self.dropped)).filter(|count| *count > 0)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed(limiter: &mut RateLimiter, now: Instant, events: u64) -> u64 {
        (0..events).filter(|_| limiter.allow(now)).count() as u64
    }

    #[test]
    fn a_burst_of_a_minute_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(60, start);
        assert_eq!(passed(&mut limiter, start, 100), 60);
        assert_eq!(passed(&mut limiter, start + Duration::from_secs(10), 100), 10);
        assert_eq!(limiter.report(start + Duration::from_secs(59)), None);
        assert_eq!(limiter.report(start + Duration::from_secs(60)), Some(130));
        assert_eq!(limiter.report(start + Duration::from_secs(120)), None);
        assert_eq!(passed(&mut limiter, start + Duration::from_secs(3600), 100), 60);
    }

    #[test]
    fn a_negative_limit_passes_all_and_zero_none() {
        let now = Instant::now();
        assert_eq!(passed(&mut RateLimiter::new(-1, now), now, 1000), 1000);
        let mut none = RateLimiter::new(0, now);
        assert_eq!(passed(&mut none, now + MINUTE, 10), 0);
        assert_eq!(none.report(now + MINUTE), Some(10));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_pass(
            limit in 1..2000_u32,
            steps in prop::collection::vec((0..10_000_u64, 0..300_u64), 1..40)
        ) {
            let start = Instant::now();
            let mut limiter = RateLimiter::new(limit.into(), start);
            let (mut elapsed, mut count, mut asked) = (0, 0, 0);
            for (millis, events) in steps {
                elapsed += millis;
                asked += events;
                count += passed(&mut limiter, start + Duration::from_millis(elapsed), events);
            }
            let most = u64::from(limit) + u64::from(limit) * elapsed / 60_000 + 1;
            prop_assert!(count <= most);
            prop_assert_eq!(count + limiter.report(start + Duration::from_millis(elapsed) + MINUTE).unwrap_or(0), asked);
        }
    }
}
