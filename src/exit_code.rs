//! Exit codes of the program.

use rstproof_core::verdict::Verdict;

/// Result of a command. [`ExitCode::worst`] keeps the worse of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// All trials were confirmed or skipped: 0.
    Success,
    /// At least one trial was inconclusive, none refuted: 3.
    Inconclusive,
    /// At least one trial was refuted: 1.
    Refuted,
    /// A capture holds what `analyze --fail-on` names: 1.
    Found,
    /// Usage error, or the tool could not do its work: 2.
    Failure,
    /// Ended by a signal after saving the results so far: 128 + the signal's number.
    Signal(u8),
}

impl ExitCode {
    /// Returns the number for `exit(3)`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Refuted | Self::Found => 1,
            Self::Failure => 2,
            Self::Inconclusive => 3,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }

    /// Returns the worse of two results.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }

    // Order of severity, which is not that of the numbers.
    fn rank(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Inconclusive => 1,
            Self::Refuted | Self::Found => 2,
            Self::Failure => 3,
            Self::Signal(_) => 4,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Confirmed => Self::Success,
            Verdict::Refuted => Self::Refuted,
            Verdict::Inconclusive => Self::Inconclusive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_code_wins_whatever_the_order() {
        // The documented order, best first.
        let order = [
            ExitCode::Success,
            ExitCode::Inconclusive,
            ExitCode::Refuted,
            ExitCode::Failure,
            ExitCode::Signal(2),
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(a.worst(*b), order[i.max(j)]);
            }
        }
    }

    #[test]
    fn numbers_are_the_documented_ones() {
        assert_eq!(ExitCode::Success.number(), 0);
        assert_eq!(ExitCode::Refuted.number(), 1);
        assert_eq!(ExitCode::Failure.number(), 2);
        assert_eq!(ExitCode::Inconclusive.number(), 3);
        assert_eq!(ExitCode::Signal(2).number(), 130);
        assert_eq!(ExitCode::Signal(15).number(), 143);
    }
}
