//! Points in time, as nanoseconds since the Unix epoch.
//!
//! Frames on the loopback interface are stamped with `CLOCK_REALTIME`, so calls are stamped with it too: only
//! then can "the RST came before the call returned" be read off two numbers. No clock is read here: times are passed in.

/// A point in time: nanoseconds since the Unix epoch, `CLOCK_REALTIME`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Nanoseconds from `earlier` to `self`; negative if `self` came first.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}
