//! From the two ring options of the contract to the two rings of this agent.

use thiserror::Error;

/// The kernel stores the size of a ring in 32 bits and wants a power of two.
pub const LARGEST_RING_BYTES: u64 = 1 << 31;

/// Size of the events ring when nothing is asked for. The life-cycle ring is always half of it.
pub const DEFAULT_EVENTS_BYTES: u64 = 1 << 20;

/// The sizes of the two kernel ring buffers; each a power of two of whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    /// The ring of events and their arguments.
    pub events_bytes: u32,
    /// The small ring of exec, fork and exit records, which no flood of events can fill.
    pub lifecycle_bytes: u32,
}

/// Why no ring of the wanted size can be made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RingError {
    /// Per-CPU size times the number of CPUs is more than one ring can hold.
    #[error(
        "rb-size: {per_cpu} bytes for each of {cpus} cpus are more than the 2G that the kernel allows for a ring; \
         use at most {most} bytes or set rb-size-total"
    )]
    TooLarge {
        /// Bytes asked for each CPU.
        per_cpu: u64,
        /// CPUs of this machine.
        cpus: u64,
        /// The largest size per CPU that works.
        most: u64,
    },
}

impl RingSizes {
    /// Sizes for `rb-size` or `rb-size-total` in bytes (0 = not set), on a machine with so many CPUs and pages of
    /// so many bytes.
    pub fn new(per_cpu: u64, total: u64, cpus: usize, page_bytes: usize) -> Result<Self, RingError> {
        let cpus = u64::try_from(cpus).unwrap_or(u64::MAX).max(1);
        let wanted = if total > 0 {
            total
        } else if per_cpu > 0 {
            per_cpu
                .checked_mul(cpus)
                .filter(|bytes| *bytes <= LARGEST_RING_BYTES)
                .ok_or(RingError::TooLarge { per_cpu, cpus, most: LARGEST_RING_BYTES / cpus })?
        } else {
            DEFAULT_EVENTS_BYTES
        };
        let round = |bytes: u64| {
            let page = u64::try_from(page_bytes).unwrap_or(4096).clamp(1, LARGEST_RING_BYTES);
            let pages = bytes.div_ceil(page).max(1).next_power_of_two();
            u32::try_from(pages.saturating_mul(page).min(LARGEST_RING_BYTES)).unwrap_or(1 << 31)
        };
        Ok(Self { events_bytes: round(wanted), lifecycle_bytes: round(wanted / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sizes(per_cpu: u64, total: u64, cpus: usize) -> (u32, u32) {
        let rings = RingSizes::new(per_cpu, total, cpus, 4096).unwrap();
        (rings.events_bytes, rings.lifecycle_bytes)
    }

    #[test]
    fn nothing_asked_gives_two_and_one_mebibytes() {
        assert_eq!(sizes(0, 0, 64), (1 << 20, 1 << 19));
    }

    #[test]
    fn a_total_is_rounded_up_and_halved_for_the_life_cycle_ring() {
        assert_eq!(sizes(0, 3 << 20, 4), (4 << 20, 2 << 20));
        assert_eq!(sizes(0, 1, 4), (4096, 4096));
        assert_eq!(sizes(0, 12_288, 4), (16_384, 8192));
    }

    #[test]
    fn a_size_per_cpu_is_multiplied() {
        assert_eq!(sizes(65_536, 0, 4), (262_144, 131_072));
    }

    #[test]
    fn more_than_the_kernel_allows_is_an_error_with_the_largest_size() {
        assert_eq!(
            RingSizes::new(1 << 30, 0, 4, 4096),
            Err(RingError::TooLarge { per_cpu: 1 << 30, cpus: 4, most: 1 << 29 })
        );
    }

    proptest! {
        #[test]
        fn rings_are_powers_of_two_of_pages(total in 1..=LARGEST_RING_BYTES, page in prop_oneof![Just(4096), Just(65536)]) {
            let rings = RingSizes::new(0, total, 1, page).unwrap();
            for bytes in [rings.events_bytes, rings.lifecycle_bytes] {
                prop_assert!(bytes.is_power_of_two() && (bytes as usize).is_multiple_of(page));
            }
            prop_assert!(u64::from(rings.events_bytes) >= total);
        }
    }
}
