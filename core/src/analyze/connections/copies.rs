//! Copies: packets that were captured more than once, at several points of their way or by several captures of one point.

use std::collections::VecDeque;

use super::super::decode::{CapturePoint, SegmentRecord};
use super::super::join::Compared;
use super::Entry;
use super::points::Place;
use crate::file::Absent;
use crate::packet::{Flags, Header, SeqNum, TcpTimestamps};
use crate::time::Timestamp;

/// Maximum age of the original of a copy in nanoseconds, if a retransmission would differ from it: the copy may come from
/// the other end of a long path.
const LONG_NS: i64 = 400_000_000;

/// Maximum age of the original of any other copy.
const SHORT_NS: i64 = 1_000_000;

/// Maximum number of packets that may have further copies.
const MAX_IN_FLIGHT: usize = 64;

/// Returns the maximum age of the original of a copy in nanoseconds.
pub(in crate::analyze) fn max_copy_age_ns(has_timestamps: bool) -> i64 {
    if has_timestamps { LONG_NS } else { SHORT_NS }
}

/// Fields that the latest segment of a connection shares with its copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latest {
    seq: u32,
    ack: u32,
    /// Timestamps, or 0 without. The echo also holds the right edge of the selective acknowledgment.
    clock: u32,
    echo: u32,
    payload_len: u32,
    /// Sender and control bits, plus one, so that no segment equals the default value.
    flags_and_sender: u16,
    window: u16,
    /// IP ID; 0 for IPv6.
    id: u16,
    pub(super) at: Timestamp,
    pub(super) point: CapturePoint,
    pub(super) ttl: u8,
}

/// Returns a number that tells a packet without a time from the next ones, as the upper bits of `flags_and_sender`: only the
/// time tells a copy from a retransmission.
fn number_of_untimed(segment: &SegmentRecord) -> u16 {
    if segment.absent.has(Absent::TIME) {
        u16::from(segment.header.frame.to_be_bytes()[3] & 0x1f | 0x20) << 9
    } else {
        0
    }
}

impl Latest {
    pub(super) fn of(segment: &SegmentRecord) -> Self {
        let header = &segment.header;
        let edge = header.sack_edge.map_or(0, |edge| edge.0.rotate_left(16));
        Self {
            seq: header.seq.0,
            ack: header.ack.0,
            clock: header.timestamps.map_or(0, |it| it.value),
            echo: header.timestamps.map_or(0, |it| it.echo) ^ edge,
            payload_len: header.payload_len,
            flags_and_sender: 1
                + u16::from(header.flags.0)
                + (u16::from(segment.sender == 1) << 8)
                + number_of_untimed(segment),
            window: header.window,
            id: segment.ip.id().unwrap_or(0),
            at: header.at,
            point: segment.point,
            ttl: segment.ip.ttl,
        }
    }

    /// Creates the latest segment of an orderly connection, given its flags and its sender, its sequence number, acknowledgment number
    /// and length, and its timestamps.
    pub(super) fn orderly(
        (flags, sender): (Flags, usize),
        (seq, ack, payload_len): (SeqNum, SeqNum, u32),
        timestamps: Option<TcpTimestamps>,
        (id, window): (u16, u16),
        (at, point, ttl): (Timestamp, CapturePoint, u8),
    ) -> Self {
        let stamps = timestamps.unwrap_or_default();
        Self {
            seq: seq.0,
            ack: ack.0,
            clock: stamps.value,
            echo: stamps.echo,
            payload_len,
            flags_and_sender: 1 + u16::from(flags.0) + (u16::from(sender == 1) << 8),
            window,
            id,
            at,
            point,
            ttl,
        }
    }

    /// Returns the fields that all copies of a packet have in common: everything but the time, the place and the TTL.
    pub(super) fn common(&self) -> [u32; 8] {
        [
            self.seq,
            self.ack,
            self.clock,
            self.echo,
            self.payload_len,
            self.flags_and_sender.into(),
            self.window.into(),
            self.id.into(),
        ]
    }

    /// Returns true if two packets without times are equal: one is a copy or a retransmission of the other.
    fn equals_untimed(self, other: Self) -> bool {
        let flags_and_sender = |it: Self| it.flags_and_sender & 0x1ff;
        let alike = Self {
            at: other.at,
            flags_and_sender: other.flags_and_sender,
            ..self
        };
        flags_and_sender(self) == flags_and_sender(other) && alike == other
    }

    /// Returns true if a segment may be a copy of this one: both have the same numbers and length.
    #[inline]
    pub(super) fn may_be_copied_by(&self, header: &Header) -> bool {
        (self.seq, self.ack, self.payload_len) == (header.seq.0, header.ack.0, header.payload_len)
    }

    fn is_syn(&self) -> bool {
        self.flags_and_sender.wrapping_sub(1) & u16::from(Flags::SYN.0) != 0
    }

    /// Returns true if each packet like this one has another number, so that every equal one is a copy: a host gives each
    /// packet another IP ID, unless that is 0 (RFC 6864, 4.1), and sends no SYN again so soon.
    fn is_numbered(&self) -> bool {
        self.id != 0 || self.is_syn()
    }

    /// Returns true if a copy of this packet cannot be another packet that took another route: it has a number, or data
    /// with the time of their sending (RFC 7323, 3.2).
    pub(super) fn is_unmistakable(&self) -> bool {
        self.is_numbered() || self.payload_len > 0 && self.clock != 0
    }

    /// Returns true if both are the same packet.
    ///
    /// Where packets have no number, another point or another TTL shows a copy. Two equal acknowledgments from one point
    /// may be two packets, unless other packets of the connection have copies there.
    #[inline]
    pub(super) fn is_copy_of(self, first: Self, connection: Copies) -> bool {
        // Most packets differ in these, and a comparison of everything takes longer.
        if (self.seq, self.ack) != (first.seq, first.ack) {
            return false;
        }
        let alike = Self {
            at: first.at,
            point: first.point,
            ttl: first.ttl,
            ..self
        };
        if alike != first {
            return false;
        }
        let age = self.at.since(first.at);
        let is_elsewhere = self.point != first.point || self.ttl != first.ttl;
        let is_on_its_way = is_elsewhere && connection.has_copies;
        let most = if self.clock != 0 || is_on_its_way {
            LONG_NS
        } else {
            SHORT_NS
        };
        (0..most).contains(&age) && (self.is_numbered() || is_elsewhere || connection.in_place)
    }
}

/// Copies that a connection's packets are known to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies {
    /// True if packets have copies.
    has_copies: bool,
    /// True if they have copies at one point with one TTL.
    in_place: bool,
}

impl Copies {
    /// Nothing is known of copies yet.
    pub(super) const UNKNOWN: Self = Self {
        has_copies: false,
        in_place: false,
    };
}

/// Packet that may have further copies.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    first: Latest,
    frame: u32,
    /// Number of copies so far.
    copies: u8,
    /// Places at which the flow has followed it, by the bits of [`bit_of`].
    followed: u8,
}

/// All places: the flow follows a packet whose place is unknown as one that left and arrived.
const EVERYWHERE: u8 = 0b11;

fn bit_of(place: Place) -> u8 {
    match place {
        Place::Departure => 0b01,
        Place::Arrival => 0b10,
    }
}

/// Packets that may have further copies, the oldest first.
pub(super) type InFlightList = VecDeque<InFlight>;

/// Packet as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    /// Frame of the original, if this is a copy.
    pub(super) copy_of: Option<u32>,
    /// Place at which it was captured, if it is known.
    pub(super) place: Option<Place>,
}

impl Entry {
    /// Compares a segment with those before it: whether it is a copy of one of them, and where it was captured.
    pub(super) fn sight(&mut self, segment: &SegmentRecord) -> Sighting {
        let frame = segment.header.frame;
        let this = Latest::of(segment);
        // In a joined capture each packet may have a copy, also if others pass in between.
        let is_joined = segment.compared != Compared::Single;
        if !self.gaps.doubled && !is_joined {
            let first = std::mem::replace(&mut self.latest, this);
            if segment.absent.has(Absent::TIME) && this.equals_untimed(first) {
                self.rare().may_have_copies = true;
            }
            let copy_of = this
                .is_copy_of(first, Copies::UNKNOWN)
                .then_some(self.span.1);
            if let Some(copy_of) = copy_of {
                self.gaps.doubled = true;
                let rare = self.rare();
                rare.points.take_copy(segment.sender, &first, &this, 1);
                rare.in_flight.push_back(InFlight {
                    first,
                    frame: copy_of,
                    copies: 1,
                    followed: EVERYWHERE,
                });
            }
            // The flow has taken the original as one that arrived.
            return Sighting {
                copy_of,
                place: None,
            };
        }
        let rare = self.rare.get_or_insert_default();
        let copies = Copies {
            has_copies: true,
            in_place: rare.points.has_copies_in_place(),
        };
        let most = rare.points.copies();
        let is_first = |it: &&mut InFlight| {
            this.is_copy_of(it.first, copies)
                && (this.is_numbered() || it.copies < most || this.at == it.first.at)
        };
        if let Some(first) = rare.in_flight.iter_mut().find(is_first) {
            self.gaps.doubled = true;
            first.copies = first.copies.saturating_add(1);
            // How often a packet without a number was captured is not certain.
            let count = if this.is_numbered() { first.copies } else { 1 };
            let place = rare
                .points
                .take_copy(segment.sender, &first.first, &this, count);
            if let Some(place) = place {
                rare.points.mark(segment.sender, place, first.frame);
            }
            // A further copy at one place is no further packet.
            let place = place.filter(|it| first.followed & bit_of(*it) == 0);
            first.followed |= place.map_or(0, bit_of);
            return Sighting {
                copy_of: Some(first.frame),
                place,
            };
        }
        if rare.in_flight.len() == MAX_IN_FLIGHT {
            // The oldest packet was probably lost on the path, and will not arrive.
            rare.in_flight.pop_front();
        }
        let place = rare.points.place(segment);
        rare.in_flight.push_back(InFlight {
            first: this,
            frame,
            copies: 0,
            followed: place.map_or(EVERYWHERE, bit_of),
        });
        Sighting {
            copy_of: None,
            place,
        }
    }

    /// Returns true if this frame of a sender was captured where it left, and has no copy.
    pub(super) fn has_only_left(&self, sender: usize, frame: u32) -> bool {
        self.rare.as_ref().is_some_and(|rare| {
            let is_it = |it: &&InFlight| it.frame == frame;
            rare.in_flight.iter().rev().find(is_it).is_some_and(|it| {
                it.copies == 0 && rare.points.place_of(sender, &it.first) == Some(Place::Departure)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Latest {
        /// Acknowledgment with this IP ID.
        pub(in super::super) fn acknowledgment(id: u16) -> Self {
            Self {
                seq: 1,
                ack: 2,
                clock: 0,
                echo: 0,
                payload_len: 0,
                flags_and_sender: 1 + 0x10,
                window: 500,
                id,
                at: Timestamp(0),
                point: CapturePoint::default(),
                ttl: 64,
            }
        }
    }

    fn is_copy(of: Latest, has_copies: bool, in_place: bool, change: impl Fn(&mut Latest)) -> bool {
        let mut this = of;
        change(&mut this);
        let copies = Copies {
            has_copies,
            in_place,
        };
        this.is_copy_of(of, copies)
    }

    /// RFC 6864, 4.1: the IP ID of a packet that is never fragmented may be anything, so only one that is not 0 numbers
    /// it.
    #[test]
    fn a_packet_without_a_number_is_a_copy_elsewhere_only() {
        let (numbered, plain) = (Latest::acknowledgment(7), Latest::acknowledgment(0));
        for has_copies in [false, true] {
            assert!(is_copy(numbered, has_copies, false, |it| it.at.0 = 10));
            assert!(!is_copy(numbered, has_copies, true, |it| it.id = 8));
            assert!(!is_copy(plain, has_copies, false, |it| it.at.0 = 10));
            assert!(is_copy(plain, has_copies, false, |it| it.ttl = 63));
        }
        assert!(is_copy(plain, true, true, |it| it.at.0 = 10));
    }

    /// A retransmission has the timestamps of its own time (RFC 7323, 3.2).
    #[test]
    fn the_original_of_a_copy_may_be_far_away_only_if_a_retransmission_would_differ() {
        let plain = Latest::acknowledgment(0);
        let stamped = Latest { clock: 9, ..plain };
        let far = |it: &mut Latest| (it.at.0, it.ttl) = (30_000_000, 63);
        assert!(!is_copy(plain, false, false, far));
        assert!(is_copy(plain, true, false, far));
        assert!(is_copy(stamped, false, false, far));
        assert!(!is_copy(plain, true, true, |it| it.at.0 = 30_000_000));
        assert!(!is_copy(plain, true, true, |it| it.at.0 = -1));
    }
}
