//! Packets of late, and which of them are one packet before and after translation.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::super::connections::max_copy_age_ns;
use super::super::decode::{FlowKey, SegmentRecord};
use super::super::forgery::IpVersion;
use super::PointTtl;
use crate::packet::{Flags, Options};
use crate::time::Timestamp;

/// Maximum number of packets that are remembered. If there are more, the oldest is forgotten.
const MAX_PACKETS: usize = 1 << 13;

/// Maximum number of copies of a packet whose places are remembered.
const MAX_COPIES: usize = 16;

/// Maximum time between a segment without SYN and its copy, in nanoseconds: on one host, the copy follows before other
/// segments of the connection.
const MAX_MIDSTREAM_AGE_NS: i64 = 5_000_000;

/// Connection and sender of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Original {
    /// Ends of the connection in its table.
    pub ends: FlowKey,
    /// Hash of `ends`.
    pub hash: u32,
    /// Index of the sender in `ends`.
    pub sender: usize,
    /// First frame of the packet. It counts from 1 within the capture.
    pub frame: u32,
}

impl Original {
    pub(super) fn of(segment: &SegmentRecord, frame: u32) -> Self {
        Self {
            ends: segment.ends,
            hash: segment.hash,
            sender: segment.sender,
            frame,
        }
    }
}

/// What a NAT leaves as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    seq: u32,
    ack: u32,
    /// Timestamps; `None` without the option.
    clock: Option<(u32, u32)>,
    payload_len: u32,
    flags: u8,
    is_ipv6: bool,
    window: u16,
    options: Options,
    /// IP ID, or flow label.
    id: u32,
}

impl Identity {
    fn of(segment: &SegmentRecord) -> Self {
        let header = &segment.header;
        let (is_ipv6, id) = match segment.ip.version {
            IpVersion::V4 { id, .. } => (false, id.into()),
            IpVersion::V6 { label } => (true, label),
        };
        Self {
            seq: header.seq.0,
            ack: header.ack.0,
            clock: header.timestamps.map(|it| (it.value, it.echo)),
            payload_len: header.payload_len,
            flags: header.flags.0,
            is_ipv6,
            window: header.window,
            options: header.options,
            id,
        }
    }
}

/// Packet that was captured once or more.
#[derive(Debug)]
struct Packet {
    serial: u64,
    at: Timestamp,
    original: Original,
    /// Ends and sender in the first frame of the packet.
    own: (FlowKey, usize),
    /// Number of the translation in that frame, and its place.
    number: u8,
    place: PointTtl,
    /// Ends, translation and place of the copies.
    copies: Vec<(FlowKey, u8, PointTtl)>,
    /// True if another packet is alike, as those of a scanner are.
    is_ambiguous: bool,
}

impl Packet {
    /// Returns the addresses in the frames of the packet.
    fn ends(&self) -> impl Iterator<Item = &FlowKey> {
        [&self.own.0]
            .into_iter()
            .chain(self.copies.iter().map(|it| &it.0))
    }

    fn has_ends(&self, ends: &FlowKey) -> bool {
        self.ends().any(|it| it == ends)
    }

    fn was_at(&self, place: PointTtl) -> bool {
        self.place == place || self.copies.iter().any(|it| it.2 == place)
    }

    fn add(&mut self, ends: FlowKey, number: u8, place: PointTtl) {
        if self.copies.len() < MAX_COPIES && !self.copies.contains(&(ends, number, place)) {
            self.copies.push((ends, number, place));
        }
    }

    /// Returns true if a segment with the same identity between other addresses must be this packet.
    ///
    /// Real hosts choose an initial number and timestamps that no other connection has. Without timestamps the IP ID, the
    /// way from one point to another within a millisecond, and an address that has not changed take their place: scanners
    /// use one number for many packets.
    fn is_translated_to(&self, identity: &Identity, segment: &SegmentRecord) -> bool {
        let place = PointTtl::of(segment);
        let is_syn = segment.header.flags.has(Flags::SYN);
        let is_elsewhere = self.place.point != place.point
            && self.copies.iter().all(|it| it.2.point != place.point);
        let has_id = identity.id != 0;
        if identity.clock.is_some_and(|(value, _)| value != 0) {
            // One point may be that of two files that were merged: then the TTL shows that a router is in between.
            return is_elsewhere || is_syn && has_id && self.place.ttl != place.ttl;
        }
        let is_short = identity.is_ipv6 || !has_id || !is_elsewhere;
        if is_short || place.ttl > self.place.ttl {
            return false;
        }
        let (ends, sender) = self.own;
        let (other, from) = (&segment.ends, segment.sender);
        let is_shared = ends.socket(sender) == other.socket(from)
            || ends.socket(1 - sender) == other.socket(1 - from);
        is_shared && (is_syn || identity.payload_len > 0)
    }
}

/// Packets of late, by what a NAT leaves as it is.
#[derive(Debug, Default)]
pub(super) struct SentPackets {
    packets: HashMap<Identity, Packet>,
    /// Identities in the order of their packets, with the packets' numbers. One whose number differs is stale.
    order: VecDeque<(Identity, u64)>,
    count: u64,
}

impl SentPackets {
    /// Takes in a segment, its connection, and the number of the translation that its addresses belong to. Returns the
    /// packet that it is a copy of after translation, with the places where that was captured, if its addresses are not
    /// known to be those of that packet. `is_over` holds for addresses between which no copy can follow.
    pub(super) fn take(
        &mut self,
        segment: &SegmentRecord,
        original: Original,
        number: u8,
        is_over: impl Fn(&FlowKey) -> bool,
    ) -> Option<(Original, Vec<(u8, PointTtl)>)> {
        let identity = Identity::of(segment);
        let (at, place) = (segment.header.at, PointTtl::of(segment));
        let is_syn = segment.header.flags.has(Flags::SYN);
        let apart = max_copy_age_ns(identity.clock.is_some());
        let apart = if is_syn {
            apart
        } else {
            apart.min(MAX_MIDSTREAM_AGE_NS)
        };
        if let Some(packet) = self.packets.get_mut(&identity)
            && (0..apart).contains(&at.since(packet.at))
        {
            if packet.has_ends(&segment.ends) {
                packet.add(segment.ends, number, place);
                return None;
            }
            if packet.was_at(place) {
                // Two packets at one point: whoever sends them does not tell them apart.
                packet.is_ambiguous = true;
                return None;
            }
            let is_translated = packet.is_translated_to(&identity, segment);
            if packet.is_ambiguous || !is_translated || packet.ends().any(is_over) {
                return None;
            }
            let copies = packet.copies.iter().map(|it| (it.1, it.2));
            let places = [(packet.number, packet.place)].into_iter().chain(copies);
            return Some((packet.original, places.collect()));
        }
        self.count += 1;
        let packet = Packet {
            serial: self.count,
            at,
            original,
            own: (segment.ends, segment.sender),
            number,
            place,
            copies: Vec::new(),
            is_ambiguous: false,
        };
        self.packets.insert(identity, packet);
        self.order.push_back((identity, self.count));
        if self.order.len() > MAX_PACKETS
            && let Some((oldest, serial)) = self.order.pop_front()
            && self
                .packets
                .get(&oldest)
                .is_some_and(|it| it.serial == serial)
        {
            self.packets.remove(&oldest);
        }
        None
    }

    /// Adds the addresses of a segment, which were joined with the connection of its packet, under this number.
    pub(super) fn note(&mut self, segment: &SegmentRecord, number: u8) {
        if let Some(packet) = self.packets.get_mut(&Identity::of(segment)) {
            packet.add(segment.ends, number, PointTtl::of(segment));
        }
    }
}
