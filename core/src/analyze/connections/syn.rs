//! Duplicate of a SYN, which shows that packets were captured twice.

use super::super::decode::SegmentRecord;
use crate::time::Timestamp;

/// Maximum age of the original of a duplicate packet in nanoseconds: a duplicate on one host, and one captured at the
/// other end of a long path.
pub(super) const MAX_COPY_AGE_NS: i64 = 1_000_000;
pub(super) const MAX_STAMPED_COPY_AGE_NS: i64 = 400_000_000;

/// Fields that a SYN shares with its duplicate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Syn {
    seq: u32,
    ack: u32,
    clock: u32,
    /// Sender and control bits, plus one, so that no SYN equals the default value.
    what: u16,
    window: u16,
    at: Timestamp,
    pub(super) interface: u32,
}

impl Syn {
    pub(super) fn of(segment: &SegmentRecord) -> Self {
        let header = &segment.header;
        Self {
            seq: header.seq.0,
            ack: header.ack.0,
            clock: header.timestamps.map_or(0, |it| it.value),
            what: 1 + u16::from(header.flags.0) + (u16::from(segment.sender == 1) << 8),
            window: header.window,
            at: header.at,
            interface: segment.interface,
        }
    }

    pub(super) fn is_copy_of(self, other: Self) -> bool {
        let apart = if self.clock == 0 {
            MAX_COPY_AGE_NS
        } else {
            MAX_STAMPED_COPY_AGE_NS
        };
        let alike = Self {
            at: other.at,
            interface: other.interface,
            ..self
        };
        alike == other && (0..apart).contains(&self.at.since(other.at))
    }
}
