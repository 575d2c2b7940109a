//! Clocks of this host.
//!
//! `CLOCK_REALTIME` may be stepped; [`ClockCheck`] detects that by comparing it with `CLOCK_MONOTONIC` before and
//! after a trial.

use nix::time::{ClockId, clock_gettime};
use rstproof_core::time::Timestamp;

use crate::error::Error;

/// Returns the current time of `CLOCK_REALTIME`, read from the vDSO (some 20 ns).
pub(crate) fn now() -> Result<Timestamp, Error> {
    read(ClockId::CLOCK_REALTIME).map(Timestamp)
}

/// Difference between `CLOCK_REALTIME` and `CLOCK_MONOTONIC` at one moment.
#[derive(Clone, Copy, Debug)]
pub struct ClockCheck {
    realtime_minus_monotonic: i64,
}

impl ClockCheck {
    /// Samples both clocks, `CLOCK_REALTIME` between two reads of the other one. Discards samples during which the
    /// thread was preempted, which would look like a clock step.
    pub fn sample() -> Result<Self, Error> {
        // Width of the window that is good enough to stop trying.
        const TIGHT_NS: i64 = 2_000;
        const TRIES: usize = 8;
        let mut best = (i64::MAX, 0);
        for _ in 0..TRIES {
            let before = read(ClockId::CLOCK_MONOTONIC)?;
            let realtime = read(ClockId::CLOCK_REALTIME)?;
            let width = read(ClockId::CLOCK_MONOTONIC)? - before;
            if width < best.0 {
                // Assumes that `CLOCK_REALTIME` was read in the middle of the window.
                best = (width, realtime - before - width / 2);
            }
            if width <= TIGHT_NS {
                break;
            }
        }
        Ok(Self {
            realtime_minus_monotonic: best.1,
        })
    }

    /// Converts a reading of `CLOCK_MONOTONIC`, in nanoseconds, to `CLOCK_REALTIME`.
    #[must_use]
    pub fn realtime_of(self, monotonic_ns: u64) -> Timestamp {
        let monotonic = i64::try_from(monotonic_ns).unwrap_or(i64::MAX);
        Timestamp(monotonic.saturating_add(self.realtime_minus_monotonic))
    }

    /// Returns the step of `CLOCK_REALTIME` since `earlier`, in nanoseconds.
    #[must_use]
    pub fn step_since(self, earlier: Self) -> i64 {
        self.realtime_minus_monotonic - earlier.realtime_minus_monotonic
    }
}

fn read(clock: ClockId) -> Result<i64, Error> {
    let now = clock_gettime(clock).map_err(|errno| Error::system("read the clock", errno))?;
    Ok(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}
