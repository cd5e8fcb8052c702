//! Numbers, and sets of them.

use serde::Serialize;

use crate::spec::ArgType;

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NumberKind {
    /// Its width: 8, 16, 32 or 64.
    pub bits: u8,
    /// Whether it has a sign.
    pub signed: bool,
}

impl NumberKind {
    /// How values of a type are compared, if they are numbers.
    #[must_use]
    pub fn of(ty: ArgType) -> Option<Self> {
        let (bits, signed) = match ty {
            ArgType::Int8 => (8, true),
            ArgType::Uint8 => (8, false),
            ArgType::Int16 => (16, true),
            ArgType::Uint16 => (16, false),
            ArgType::Int | ArgType::Int32 => (32, true),
            ArgType::Uint32 => (32, false),
            ArgType::Int64 => (64, true),
            ArgType::Uint64
            | ArgType::SizeT
            | ArgType::Syscall64
            | ArgType::KernelCap
            | ArgType::CapInheritable
            | ArgType::CapPermitted
            | ArgType::CapEffective => (64, false),
            _ => return None,
        };
        Some(Self { bits, signed })
    }

    /// The smallest value.
    #[must_use]
    pub fn least(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    /// The greatest value.
    #[must_use]
    pub fn most(self) -> i128 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }
}

/// A set of whole numbers, as ranges that include both ends, ascending, without overlap or touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ranges(Vec<(i128, i128)>);

impl Ranges {
    /// The ranges, from the lowest to the highest.
    pub fn iter(&self) -> impl Iterator<Item = (i128, i128)> + '_ {
        self.0.iter().copied()
    }

    /// Whether the number is in it.
    #[must_use]
    pub fn contains(&self, number: i128) -> bool {
        let after = self.0.partition_point(|(low, _)| *low <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, high)| number <= *high)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers are in it.
    #[must_use]
    pub fn count(&self) -> u128 {
        self.0.iter().map(|(low, high)| high.abs_diff(*low) + 1).sum()
    }
}

impl FromIterator<(i128, i128)> for Ranges {
    /// Ends may be given in any order.
    fn from_iter<I: IntoIterator<Item = (i128, i128)>>(ranges: I) -> Self {
        let mut all: Vec<_> = ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        all.sort_unstable();
        let mut joined: Vec<(i128, i128)> = Vec::with_capacity(all.len());
        for (low, high) in all {
            match joined.last_mut() {
                Some((_, end)) if low <= end.saturating_add(1) => *end = high.max(*end),
                _ => joined.push((low, high)),
            }
        }
        Self(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_searched() {
        let ranges: Ranges = [(5, 5), (10, 7), (1, 2), (6, 6), (3, 3), (9, 20)].into_iter().collect();
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(1, 3), (5, 20)]);
        assert_eq!(ranges.count(), 19);
        for (number, inside) in [(0, false), (1, true), (3, true), (4, false), (20, true), (21, false)] {
            assert_eq!(ranges.contains(number), inside, "{number}");
        }
        assert!(Ranges::default().is_empty() && !Ranges::default().contains(0));
    }

    #[test]
    fn kinds_have_their_limits() {
        let limits = |ty| NumberKind::of(ty).map(|kind| (kind.least(), kind.most()));
        assert_eq!(limits(ArgType::Int8), Some((-128, 127)));
        assert_eq!(limits(ArgType::Uint32), Some((0, i128::from(u32::MAX))));
        assert_eq!(limits(ArgType::Int64), Some((i128::from(i64::MIN), i128::from(i64::MAX))));
        assert_eq!(limits(ArgType::SizeT), Some((0, i128::from(u64::MAX))));
        assert_eq!(limits(ArgType::String), None);
    }
}
