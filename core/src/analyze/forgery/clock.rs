//! Evidence from the timestamps of an RST, compared with the clock of its sender.
//!
//! Linux adds a random offset to its clock, one for each pair of addresses (`secure_tcp_ts_off()`, `tcp_timestamps` 1), so
//! values of different connections are not comparable. The *rate* is the same for all connections of a host. It is
//! learned from each connection that lasts long enough; [`HostRates`] keeps it for those that do not.

use super::{Case, Indicator, Weight};
use crate::flow::Form;

/// Number of ticks that a timestamp clock counts in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::analyze) enum ClockRate {
    /// Not known yet.
    #[default]
    Unknown,
    /// Place in [`RATES`].
    Known(u8),
    /// Measurements contradict each other: several hosts behind one address, or a clock that was stopped.
    Void,
}

/// Rates of common stacks, in ticks per second: the BSDs of old 2, Windows 10 to 1000, Linux its `HZ` (100, 250, 300,
/// 1000), 1000 since 4.13, or a million (`tcp_usec_ts`, 6.7).
const RATES: [u32; 8] = [1, 2, 10, 100, 250, 300, 1_000, 1_000_000];

/// Shortest time in milliseconds over which a rate is measured: segments may be late by a tenth of it.
pub(super) const MEASURED_MS: i64 = 2_000;

impl ClockRate {
    /// Returns the rate of a clock that ran this many ticks in some milliseconds; `Unknown` if no stack has it.
    pub(super) fn measure(ticks: i64, elapsed_ms: i64) -> Self {
        /// Largest deviation: one part in this many.
        const TOLERANCE: i64 = 12;
        if ticks <= 0 || elapsed_ms < MEASURED_MS {
            return Self::Unknown;
        }
        // Two ticks of a slow clock say little.
        let is_it = |rate: &u32| {
            let expected = i64::from(*rate) * elapsed_ms / 1_000;
            expected >= TOLERANCE && (ticks - expected).abs() <= expected / TOLERANCE
        };
        let place = RATES.iter().position(is_it);
        let place = place.and_then(|place| u8::try_from(place).ok());
        place.map_or(Self::Unknown, Self::Known)
    }

    /// Returns the rate after another measurement.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (it, Self::Unknown) | (Self::Unknown, it) => it,
            (one, two) if one == two => one,
            _ => Self::Void,
        }
    }

    /// Returns the number of ticks in a second.
    fn per_second(self) -> Option<i64> {
        match self {
            Self::Known(place) => RATES.get(usize::from(place)).map(|rate| (*rate).into()),
            Self::Unknown | Self::Void => None,
        }
    }
}

/// Number of slots of the table of rates. A host whose slot is taken over by another one is forgotten.
const SLOTS: usize = 1 << 10;

/// Rates of the clocks of hosts, as far as connections that are over have shown them.
#[derive(Debug, Default)]
pub(in crate::analyze) struct HostRates {
    /// Address and rate. Allocated with the first rate.
    slots: Vec<([u64; 2], ClockRate)>,
}

impl HostRates {
    fn slot(address: [u64; 2]) -> usize {
        // A fixed hash: the result must be the same in every run.
        let hash = (address[0] ^ address[1].rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(hash >> 54).unwrap_or(0) % SLOTS
    }

    /// Takes in the rate that a connection of a host has shown.
    pub(in crate::analyze) fn take(&mut self, address: [u64; 2], rate: ClockRate) {
        if rate == ClockRate::Unknown {
            return;
        }
        if self.slots.is_empty() {
            self.slots = vec![Default::default(); SLOTS];
        }
        let slot = &mut self.slots[Self::slot(address)];
        *slot = if slot.0 == address {
            (address, slot.1.and(rate))
        } else {
            (address, rate)
        };
    }

    /// Returns the rate of a host.
    pub(in crate::analyze) fn of(&self, address: [u64; 2]) -> ClockRate {
        let slot = self.slots.get(Self::slot(address));
        slot.filter(|(known, _)| *known == address)
            .map_or(ClockRate::Unknown, |slot| slot.1)
    }
}

impl Case<'_> {
    /// Checks the timestamps option.
    ///
    /// Where timestamps were negotiated, RFC 7323, 3.2, asks for them in an RST as well. Aborts of Linux carry them;
    /// replies of Linux and aborts of the BSDs do not.
    pub(super) fn timestamps(&self) -> Option<Indicator> {
        let Some(stamps) = self.reset.timestamps else {
            return self.missing();
        };
        if self.sender.is_stamped() == Some(false) {
            return Some(Indicator::against(
                "timestamps-unused",
                Weight::Moderate,
                "has timestamps, but the sender's other segments have none".into(),
            ));
        }
        self.clock(stamps.value)
    }

    fn missing(&self) -> Option<Indicator> {
        let is_missing = self.sender.is_stamped() == Some(true)
            && !self.is_answer()
            && self.context.form == Some(Form::Active);
        is_missing.then(|| {
            Indicator::against(
                "timestamps-missing",
                Weight::Weak,
                "no timestamps, but the sender's other segments have them; Linux aborts carry timestamps, BSD aborts do not"
                    .into(),
            )
        })
    }

    /// Compares the `TSval` with the sender's clock.
    ///
    /// A timestamp clock ticks at least once a second and at most once a millisecond (RFC 7323, 5.4). The clock of
    /// Linux may tick once a microsecond (`tcp_usec_ts`, 6.7).
    fn clock(&self, value: u32) -> Option<Indicator> {
        /// Tolerance for reordered packets, in ticks and in milliseconds.
        const SLACK: i64 = 10;
        /// Two ticks of the slowest clock, in milliseconds.
        const TWO_TICKS: i64 = 2000;
        /// Ticks in a millisecond of the fastest clock, which counts microseconds, with a tolerance of 5 %.
        const MAX_TICKS: i64 = 1050;
        /// Largest drift of a clock of milliseconds against the capture: one part in this many.
        const MAX_DRIFT: i64 = 700;
        /// Time in milliseconds beyond which a rate is not compared.
        const AN_HOUR: i64 = 3_600_000;
        let (last, elapsed) = self.sender.clock(self.header.at)?;
        let ran = difference(value, last);
        let ran_in =
            format!("TSval {value}, {ran} after the sender's last TSval, {elapsed} ms later");
        if ran < -SLACK {
            let message = format!(
                "TSval {value} is {} before the sender's last TSval, {last}",
                -ran
            );
            Some(Indicator::against(
                "clock-behind",
                Weight::Moderate,
                message,
            ))
        } else if ran > (elapsed + SLACK) * MAX_TICKS {
            Some(Indicator::against("clock-ahead", Weight::Moderate, ran_in))
        } else if ran == 0 && elapsed > TWO_TICKS {
            Some(Indicator::against(
                "clock-stopped",
                Weight::Moderate,
                ran_in,
            ))
        } else if let Some(rate) = self.rate().filter(|_| (0..AN_HOUR).contains(&elapsed)) {
            advance(rate, ran, elapsed, ran_in)
        } else if (0..=elapsed + elapsed / MAX_DRIFT + SLACK).contains(&ran) {
            // A copy of the last TSval fits as well, as long as it is fresh.
            let weight = if ran > 0 {
                Weight::Moderate
            } else {
                Weight::Weak
            };
            Some(Indicator::supports("clock-fits", weight, ran_in))
        } else {
            None
        }
    }
}

impl Case<'_> {
    /// Returns the number of ticks in a second that the connection, or else other connections of the host have shown, and
    /// the weight of a clock that runs faster.
    fn rate(&self) -> Option<(i64, Weight)> {
        let own = self.sender.clock_rate();
        match own.per_second() {
            Some(rate) => Some((rate, Weight::Moderate)),
            // Several hosts may be behind one address.
            None if own == ClockRate::Unknown => {
                let rate = self.context.host.clock_rate().per_second()?;
                Some((rate, Weight::Weak))
            }
            None => None,
        }
    }
}

/// Compares the advance of a clock with its rate.
fn advance(
    (rate, weight): (i64, Weight),
    ran: i64,
    elapsed: i64,
    ran_in: String,
) -> Option<Indicator> {
    /// Time in milliseconds by which the last segment may have been late.
    const LATE_MS: i64 = 1_000;
    /// Largest deviation of the rate: one part in this many.
    const TOLERANCE: i64 = 10;
    /// Largest drift of a clock against the capture: one part in this many.
    const MAX_DRIFT: i64 = 700;
    let expected = rate * elapsed / 1_000;
    let most = expected + expected / MAX_DRIFT + rate / 100 + 10;
    let slack = expected / TOLERANCE + rate * LATE_MS / 1_000 + 10;
    let more = format!("{ran_in}, but the clock of this sender ticks {rate} times a second");
    if ran > expected + slack {
        Some(Indicator::against("clock-ahead", weight, more))
    } else if ran < expected - slack {
        // The sender may have been suspended, which stops its clock.
        Some(Indicator::against("clock-slow", Weight::Weak, more))
    } else {
        let weight = if ran > 0 {
            Weight::Moderate
        } else {
            Weight::Weak
        };
        let fits = || Indicator::supports("clock-fits", weight, ran_in);
        (0..=most).contains(&ran).then(fits)
    }
}

/// Returns the signed difference of two timestamps, modulo 2^32.
pub(super) fn difference(later: u32, earlier: u32) -> i64 {
    i64::from(later.wrapping_sub(earlier).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7323, 5.4: between a tick a millisecond and a tick a second; Linux counts its `HZ`, or microseconds.
    #[test]
    fn a_rate_is_known_once_it_was_measured_for_long_enough() {
        let known = |rate: u32| RATES.iter().position(|it| *it == rate);
        for (ticks, ms, rate) in [
            (2_000, 2_000, Some(1_000)),
            (2_150, 2_000, Some(1_000)),
            (500, 2_000, Some(250)),
            (1_000_000_000, 1_000_000, Some(1_000_000)),
            (1_999, 1_999, None),
            (3_000, 2_000, None),
            (4, 2_000, None),
            (20, 10_000, Some(2)),
            (-5, 2_000, None),
        ] {
            let expected = rate.and_then(known).map_or(ClockRate::Unknown, |place| {
                ClockRate::Known(u8::try_from(place).unwrap())
            });
            assert_eq!(ClockRate::measure(ticks, ms), expected, "{ticks} in {ms}");
        }
    }

    #[test]
    fn hosts_that_share_an_address_have_no_rate() {
        let (mut rates, one, two) = (HostRates::default(), [0, 1], [0, 2]);
        assert_eq!(rates.of(one), ClockRate::Unknown);
        rates.take(one, ClockRate::Known(6));
        rates.take(one, ClockRate::Unknown);
        rates.take(one, ClockRate::Known(6));
        assert_eq!(rates.of(one), ClockRate::Known(6));
        assert_eq!(rates.of(two), ClockRate::Unknown);
        rates.take(one, ClockRate::Known(3));
        assert_eq!(rates.of(one), ClockRate::Void);
    }
}
