//! Evidence from the timestamps of an RST, compared with the clock of its sender.

use super::{Case, Indicator, Weight};
use crate::flow::Form;

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

/// Returns the signed difference of two timestamps, modulo 2^32.
fn difference(later: u32, earlier: u32) -> i64 {
    i64::from(later.wrapping_sub(earlier).cast_signed())
}
