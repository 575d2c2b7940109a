//! Points in time, as nanoseconds since the Unix epoch.
//!
//! Frames on the loopback interface are stamped with `CLOCK_REALTIME`, so calls are stamped with it too: only then does
//! a comparison of two timestamps show that an RST came before a call returned. This crate reads no clock; callers pass
//! times in.

/// Point in time: nanoseconds since the Unix epoch, by `CLOCK_REALTIME`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Value of a stored time that cannot be expressed in nanoseconds.
    pub const UNUSABLE: Self = Self(i64::MIN);

    /// Returns the nanoseconds from `earlier` to `self`; negative if `self` is the earlier one.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}
