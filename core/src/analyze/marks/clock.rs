//! The timestamps of a RST beside the clock of its sender.

use super::{Case, Fact, Weight};
use crate::flow::Form;

impl Case<'_> {
    /// Where timestamps were negotiated, RFC 7323, 3.2, asks for them in a RST as well: an abort of Linux has them, its answers
    /// and the aborts of the BSDs do not.
    pub(super) fn timestamps(&self) -> Option<Fact> {
        let Some(stamps) = self.reset.timestamps else {
            return self.missing();
        };
        if self.sender.is_stamped() == Some(false) {
            return Some(Fact::against(
                "timestamps-unused",
                Weight::Moderate,
                "has timestamps, but the sender's other segments have none".into(),
            ));
        }
        self.clock(stamps.value)
    }

    fn missing(&self) -> Option<Fact> {
        let is_missing = self.sender.is_stamped() == Some(true)
            && !self.is_answer()
            && self.context.form == Some(Form::Active);
        is_missing.then(|| {
            Fact::against(
                "timestamps-missing",
                Weight::Weak,
                "no timestamps, but the sender's other segments have them; Linux aborts carry timestamps, BSD aborts do not"
                    .into(),
            )
        })
    }

    /// A clock of timestamps ticks once a second at least and once a millisecond at most (RFC 7323, 5.4); that of Linux may tick
    /// once a microsecond (`tcp_usec_ts`, 6.7).
    fn clock(&self, value: u32) -> Option<Fact> {
        /// Packets overtake each other.
        const SLACK: i64 = 10;
        /// Longer than a tick of the slowest clock, in milliseconds.
        const TWO_TICKS: i64 = 2000;
        let (last, elapsed) = self.sender.clock(self.header.at)?;
        let (ran, elapsed) = (difference(value, last), i64::from(elapsed));
        let ran_in =
            format!("TSval {value}, {ran} after the sender's last TSval, {elapsed} ms later");
        if ran < -SLACK {
            let message = format!(
                "TSval {value} is {} before the sender's last TSval, {last}",
                -ran
            );
            Some(Fact::against("clock-behind", Weight::Moderate, message))
        } else if ran > (elapsed + SLACK) * 1100 {
            Some(Fact::against("clock-ahead", Weight::Moderate, ran_in))
        } else if ran == 0 && elapsed > TWO_TICKS {
            Some(Fact::against("clock-stopped", Weight::Moderate, ran_in))
        } else if (0..=elapsed / 20 + elapsed + SLACK).contains(&ran) {
            // A copy of what was seen last fits as well, as long as that is fresh.
            let weight = if ran > 0 {
                Weight::Moderate
            } else {
                Weight::Weak
            };
            Some(Fact::supports("clock-fits", weight, ran_in))
        } else {
            None
        }
    }
}

/// From `earlier` to `later`, whichever comes first modulo 2^32.
fn difference(later: u32, earlier: u32) -> i64 {
    i64::from(later.wrapping_sub(earlier).cast_signed())
}
