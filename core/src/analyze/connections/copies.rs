//! Copies: packets that were captured more than once, at several points of their way.

use super::super::decode::{CapturePoint, SegmentRecord};
use crate::packet::Flags;
use crate::time::Timestamp;

/// Returns the maximum age of the original of a copy in nanoseconds. With timestamps, which a retransmission changes,
/// the copy may come from the other end of a long path; without, only from the same host.
pub(super) fn max_copy_age_ns(has_timestamps: bool) -> i64 {
    if has_timestamps {
        400_000_000
    } else {
        1_000_000
    }
}

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
    flags_and_sender: u16,
    window: u16,
    /// IP ID; 0 for IPv6.
    id: u16,
    at: Timestamp,
    pub(super) point: CapturePoint,
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
            flags_and_sender: 1 + u16::from(header.flags.0) + (u16::from(segment.sender == 1) << 8),
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
        let apart = max_copy_age_ns(self.clock != 0);
        let alike = Self {
            at: other.at,
            point: other.point,
            ttl: other.ttl,
            ..self
        };
        let is_syn = (self.flags_and_sender - 1) & u16::from(Flags::SYN.0) != 0;
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
    leave: CapturePoint,
    arrive: CapturePoint,
}

impl Points {
    /// Returns the points, given those of one packet and its copy. The packets of the other end take the way back.
    pub(super) fn of(sender: usize, first: CapturePoint, second: CapturePoint) -> Self {
        let there = Passage {
            leave: first,
            arrive: second,
        };
        let back = Passage {
            leave: second.reversed(),
            arrive: first.reversed(),
        };
        Self(if sender == 0 {
            [there, back]
        } else {
            [back, there]
        })
    }

    /// Returns true if packets of this sender leave it at this point, false if they arrive there; `None` at any other
    /// point.
    pub(super) fn leaves(&self, sender: usize, point: CapturePoint) -> Option<bool> {
        let passage = self.0[sender & 1];
        if point == passage.leave {
            Some(true)
        } else {
            (point == passage.arrive).then_some(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Frame;
    use crate::packet::link::Link;

    /// Point of the `any` device: an interface of the host, and the packet type.
    fn cooked(own: u8, kind: u8) -> CapturePoint {
        let header = [8, 0, 0, 0, 0, 0, 0, own, 0, 1, kind, 6];
        let frame = Frame {
            interface: 0,
            at: Timestamp(0),
            wire_len: 60,
            captured: &header,
            comments: Vec::new(),
        };
        CapturePoint::of(Link::LinuxCooked2, &frame)
    }

    #[test]
    fn the_way_back_passes_the_same_points_in_the_other_order() {
        let [five, seven, nine] = [5, 7, 9].map(CapturePoint::of_interface);
        let points = Points::of(1, five, nine);
        assert_eq!(
            [points.leaves(1, five), points.leaves(1, nine)],
            [Some(true), Some(false)]
        );
        assert_eq!(
            [points.leaves(0, nine), points.leaves(0, five)],
            [Some(true), Some(false)]
        );
        assert_eq!(points.leaves(0, seven), None);
        // A router: in at one interface and out of the other.
        let (incoming, outgoing) = (|own| cooked(own, 0), |own| cooked(own, 4));
        let routed = Points::of(0, incoming(3), outgoing(4));
        assert_eq!(routed.leaves(1, incoming(4)), Some(true));
        assert_eq!(routed.leaves(1, outgoing(3)), Some(false));
        assert_eq!(routed.leaves(1, incoming(3)), None);
    }
}
