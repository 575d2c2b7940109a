//! Timestamps of a pcapng interface (draft, 4.2: `if_tsresol` and `if_tsoffset`).

use super::Problem;
use crate::time::Timestamp;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Conversion of stored times to nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    unit: Unit,
    /// Offset in nanoseconds. The type is wider than any time, so that no sum can overflow.
    offset: i128,
}

/// Unit of stored times, in relation to a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Whole number of nanoseconds per unit.
    Longer(u64),
    /// Number of units per nanosecond; `None` if that exceeds 64 bits, and so any stored time is less than a
    /// nanosecond.
    Shorter(Option<u64>),
    /// Number of times that a second is halved, up to 127.
    Halved(u32),
}

impl Clock {
    /// Creates the clock from `if_tsresol`, which is 6 if absent, and `if_tsoffset`, in seconds.
    pub(super) fn new(resolution: u8, offset: i64) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        // The highest bit selects powers of 2 instead of powers of 10.
        let unit = match (resolution & 0x80 != 0, exponent.checked_sub(9)) {
            (true, _) => Unit::Halved(exponent),
            (false, None) => Unit::Longer(10_u64.pow(9 - exponent)),
            // 10^19 is the largest power of ten in 64 bits; the format allows an exponent of 127.
            (false, Some(finer)) => Unit::Shorter(10_u64.checked_pow(finer)),
        };
        Self {
            unit,
            offset: i128::from(offset) * i128::from(NS_PER_SECOND),
        }
    }

    /// Returns the time that is stored as `units`, cut to whole nanoseconds. Fails with [`Problem::Time`] if it does
    /// not fit.
    pub(super) fn at(self, units: u64) -> Result<Timestamp, Problem> {
        self.ns(units.into()).ok_or(Problem::Time { units })
    }

    /// Returns the time that is stored as `units`. One that does not fit is read with a sign: a clock that was not set
    /// counts from 0 backwards. If it does not fit then either, the time is [`Timestamp::UNUSABLE`].
    pub(super) fn at_or_odd(self, units: u64) -> Timestamp {
        (self.ns(units.into()))
            .or_else(|| self.ns(units.cast_signed().into()))
            .unwrap_or(Timestamp::UNUSABLE)
    }

    fn ns(self, units: i128) -> Option<Timestamp> {
        let ns = match self.unit {
            Unit::Longer(ns) => units * i128::from(ns),
            Unit::Shorter(count) => count.map_or(0, |count| units / i128::from(count)),
            // Multiplied before the shift, so that no precision is lost.
            Unit::Halved(times) => (units * i128::from(NS_PER_SECOND)) >> times,
        };
        i64::try_from(ns + self.offset).ok().map(Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the nanoseconds of `units` at a resolution, with an offset in seconds.
    fn ns(resolution: u8, offset: i64, units: u64) -> Result<i64, Problem> {
        Clock::new(resolution, offset).at(units).map(|at| at.0)
    }

    #[test]
    fn a_resolution_is_a_power_of_ten() {
        assert_eq!(ns(0, 0, 2), Ok(2_000_000_000));
        assert_eq!(ns(3, 0, 2), Ok(2_000_000));
        assert_eq!(ns(6, 0, 2), Ok(2_000));
        assert_eq!(ns(9, 0, 2), Ok(2));
        assert_eq!(ns(12, 0, 2_999), Ok(2));
        assert_eq!(ns(28, 0, u64::MAX), Ok(1)); // 10^19 of them are a nanosecond
        assert_eq!(ns(29, 0, u64::MAX), Ok(0)); // 10^20, which 64 bits do not hold
        assert_eq!(ns(127, 0, u64::MAX), Ok(0));
    }

    #[test]
    fn or_a_power_of_two() {
        assert_eq!(ns(0x80, 0, 2), Ok(2_000_000_000));
        assert_eq!(ns(0x8a, 0, 1024 + 512), Ok(1_500_000_000));
        assert_eq!(ns(0x9e, 0, 1), Ok(0)); // 0.93 ns
        assert_eq!(ns(0xc0, 0, 1 << 63), Ok(500_000_000));
        assert_eq!(ns(0xc0, 0, u64::MAX), Ok(999_999_999));
        assert_eq!(ns(0xff, 0, u64::MAX), Ok(0));
    }

    #[test]
    fn an_offset_of_seconds_is_added() {
        assert_eq!(ns(6, 3, 2), Ok(3_000_002_000));
        assert_eq!(ns(6, -1, 2), Ok(-999_998_000));
        assert_eq!(ns(127, -1, 0), Ok(-1_000_000_000));
    }

    #[test]
    fn a_time_may_be_odd() {
        let at = |resolution, units| Clock::new(resolution, 0).at_or_odd(units);
        assert_eq!(at(6, 2), Timestamp(2_000));
        // 2^64 - 1,000 microseconds.
        assert_eq!(at(6, u64::MAX - 999), Timestamp(-1_000_000));
        assert_eq!(at(9, u64::MAX), Timestamp(-1));
        assert_eq!(at(6, 1 << 63), Timestamp::UNUSABLE);
        assert_eq!(at(0, u64::MAX / 2), Timestamp::UNUSABLE);
    }

    #[test]
    fn a_time_that_nanoseconds_cannot_tell_is_a_problem() {
        let last = i64::MAX as u64;
        assert_eq!(ns(9, 0, last), Ok(i64::MAX));
        for (resolution, offset, units) in [
            (9, 0, last + 1),
            (9, 1, last),
            (0, 0, u64::MAX),
            (0x80, 0, u64::MAX),
            (6, i64::MAX, 0),
            (6, i64::MIN, u64::MAX),
        ] {
            assert_eq!(
                ns(resolution, offset, units),
                Err(Problem::Time { units }),
                "{resolution} {offset} {units}"
            );
        }
    }
}
