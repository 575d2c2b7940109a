//! Copies: packets that were captured more than once, at several points of their way.

use super::super::decode::SegmentRecord;
use crate::packet::Flags;
use crate::time::Timestamp;

/// Maximum age of the original of a copy in nanoseconds: of a copy on one host, and of one captured at the other end of
/// a long path.
pub(super) const MAX_COPY_AGE_NS: i64 = 1_000_000;
pub(super) const MAX_STAMPED_COPY_AGE_NS: i64 = 400_000_000;

/// Fields that the latest segment of a connection shares with its copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latest {
    seq: u32,
    ack: u32,
    /// Timestamps, or 0 without.
    clock: u32,
    echo: u32,
    payload_len: u32,
    /// Sender and control bits, plus one, so that no segment equals the default value.
    what: u16,
    window: u16,
    /// IP ID; 0 for IPv6.
    id: u16,
    at: Timestamp,
    pub(super) point: u32,
    ttl: u8,
}

impl Latest {
    pub(super) fn of(segment: &SegmentRecord) -> Self {
        let header = &segment.header;
        Self {
            seq: header.seq.0,
            ack: header.ack.0,
            clock: header.timestamps.map_or(0, |it| it.value),
            echo: header.timestamps.map_or(0, |it| it.echo),
            payload_len: header.payload_len,
            what: 1 + u16::from(header.flags.0) + (u16::from(segment.sender == 1) << 8),
            window: header.window,
            id: segment.ip.id().unwrap_or(0),
            at: header.at,
            point: segment.point,
            ttl: segment.ip.ttl,
        }
    }

    /// Returns true if both are the same packet.
    ///
    /// A host gives each packet another IP ID. Where the ID is 0, another point or another TTL shows a copy, and no SYN
    /// is sent again so soon: two equal acknowledgments from one point may be two packets.
    pub(super) fn is_copy_of(self, other: Self) -> bool {
        let apart = if self.clock == 0 {
            MAX_COPY_AGE_NS
        } else {
            MAX_STAMPED_COPY_AGE_NS
        };
        let alike = Self {
            at: other.at,
            point: other.point,
            ttl: other.ttl,
            ..self
        };
        let is_syn = (self.what - 1) & u16::from(Flags::SYN.0) != 0;
        let is_elsewhere = self.point != other.point || self.ttl != other.ttl;
        alike == other
            && (0..apart).contains(&self.at.since(other.at))
            && (self.id != 0 || is_elsewhere || is_syn)
    }
}

/// Capture points that the packets of each end pass: where they leave it, and where they arrive at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Points([Passage; 2]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passage {
    leave: u32,
    arrive: u32,
}

impl Points {
    /// Returns the points, given those of one packet and its copy. The packets of the other end take the way back.
    pub(super) fn of(sender: usize, first: u32, second: u32) -> Self {
        let there = Passage {
            leave: first,
            arrive: second,
        };
        let back = Passage {
            leave: reversed(second),
            arrive: reversed(first),
        };
        Self(if sender == 0 {
            [there, back]
        } else {
            [back, there]
        })
    }

    /// Returns true if packets of this sender leave it at this point, false if they arrive there; `None` at any other
    /// point.
    pub(super) fn leaves(&self, sender: usize, point: u32) -> Option<bool> {
        let passage = self.0[sender & 1];
        if point == passage.leave {
            Some(true)
        } else {
            (point == passage.arrive).then_some(false)
        }
    }
}

/// Returns the point at which packets of the other direction pass the same interface.
fn reversed(point: u32) -> u32 {
    match point >> DIRECTION_SHIFT {
        0 => point,
        _ => point ^ 3 << DIRECTION_SHIFT,
    }
}

/// Place of the direction in a capture point: 1 for incoming packets, 2 for outgoing ones, 0 if it is unknown.
pub(in crate::analyze) const DIRECTION_SHIFT: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_passes_the_same_points_in_the_other_order() {
        let points = Points::of(1, 5, 9);
        assert_eq!(
            [points.leaves(1, 5), points.leaves(1, 9)],
            [Some(true), Some(false)]
        );
        assert_eq!(
            [points.leaves(0, 9), points.leaves(0, 5)],
            [Some(true), Some(false)]
        );
        assert_eq!(points.leaves(0, 7), None);
        // A router: in at one interface and out of the other.
        let (incoming, outgoing) = (1 << DIRECTION_SHIFT, 2 << DIRECTION_SHIFT);
        let routed = Points::of(0, incoming | 3, outgoing | 4);
        assert_eq!(routed.leaves(1, incoming | 4), Some(true));
        assert_eq!(routed.leaves(1, outgoing | 3), Some(false));
        assert_eq!(routed.leaves(1, incoming | 3), None);
    }
}
