//! Waiting between attempts.

use std::hash::{BuildHasher as _, RandomState};
use std::iter;
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);

/// Delays that double from one second up to an hour, each spread by a fifth so that many clients do not come at once.
pub(super) fn delays() -> impl Iterator<Item = Duration> {
    iter::successors(Some(FIRST), |delay| Some((*delay * 2).min(LONGEST)))
        .map(|delay| delay.mul_f64(0.8 + 0.4 * random_fraction()).min(LONGEST))
}

/// A number from 0 to 1. The hasher's key is random, which is good enough here.
fn random_fraction() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 40;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(1_u32 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_end_at_an_hour() {
        let mut nominal = 1.0;
        for delay in delays().take(12) {
            let ratio = delay.as_secs_f64() / nominal;
            assert!((0.8..=1.2).contains(&ratio), "{delay:?} for {nominal}");
            nominal *= 2.0;
        }
        assert!(delays().take(40).all(|delay| delay <= LONGEST));
    }

    #[test]
    fn clients_do_not_wait_in_step() {
        let first: Vec<_> = (0..8).filter_map(|_| delays().next()).collect();
        assert!(first.iter().any(|delay| *delay != first[0]), "{first:?}");
    }
}
