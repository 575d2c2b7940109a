//! Packets of late, and which of them are one packet before and after translation.

use std::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;

use super::super::connections::max_copy_age_ns;
use super::super::decode::{FlowKey, SegmentRecord};
use super::super::forgery::IpVersion;
use super::PointTtl;
use super::recent::Recent;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            IpVersion::Unknown => (segment.ends.is_ipv6(), 0),
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

    /// Returns the hash. All numbers are in it, since scanners send packets that differ in one of them only.
    #[allow(clippy::cast_possible_truncation)] // the cast takes the lower half
    fn hash(&self, hasher: &DefaultHashBuilder) -> u32 {
        let (value, echo) = self.clock.unwrap_or_default();
        let pair = |upper: u32, lower: u32| u64::from(upper) << 32 | u64::from(lower);
        let rest = u32::from(self.window) << 16 | u32::from(self.flags);
        // Few words are hashed much faster than each field by itself.
        let words = (
            pair(self.seq, self.ack),
            pair(value, echo),
            pair(self.payload_len, self.id),
            (rest, self.options),
        );
        hasher.hash_one(words) as u32
    }
}

/// Frames of a packet between one pair of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frames {
    ends: FlowKey,
    /// Hash of `ends`.
    hash: u32,
    /// Number of the translation.
    number: u8,
    place: PointTtl,
}

/// Packet that was captured once or more.
#[derive(Debug)]
struct Packet {
    at: Timestamp,
    /// First frame, and the sender in its ends.
    own: Frames,
    sender: u8,
    /// True if another packet is alike, as those of a scanner are.
    is_ambiguous: bool,
    /// Number of the first frame.
    frame: u32,
    more: Option<Box<More>>,
}

/// Fields that packets on one side of a NAT do not need.
#[derive(Debug, Default)]
struct More {
    /// Connection and sender, if the first frame has other ends.
    original: Option<Original>,
    copies: Vec<Frames>,
}

impl Packet {
    fn original(&self) -> Original {
        let other = self.more.as_ref().and_then(|it| it.original);
        other.unwrap_or(Original {
            ends: self.own.ends,
            hash: self.own.hash,
            sender: self.sender.into(),
            frame: self.frame,
        })
    }

    fn copies(&self) -> &[Frames] {
        self.more.as_ref().map_or(&[], |it| &it.copies)
    }

    /// Returns all frames of the packet.
    fn frames(&self) -> impl Iterator<Item = &Frames> {
        [&self.own].into_iter().chain(self.copies())
    }

    fn has_ends(&self, ends: &FlowKey) -> bool {
        self.frames().any(|it| it.ends == *ends)
    }

    fn was_at(&self, place: PointTtl) -> bool {
        self.frames().any(|it| it.place == place)
    }

    fn add(&mut self, copy: Frames) {
        let copies = &mut self.more.get_or_insert_default().copies;
        if copies.len() < MAX_COPIES && !copies.contains(&copy) {
            copies.push(copy);
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
        let is_elsewhere = self.frames().all(|it| it.place.point != place.point);
        let has_id = identity.id != 0;
        if identity.clock.is_some_and(|(value, _)| value != 0) {
            // One point may be that of two files that were merged: then the TTL shows that a router is in between.
            return is_elsewhere || is_syn && has_id && self.own.place.ttl != place.ttl;
        }
        let is_short = identity.is_ipv6 || !has_id || !is_elsewhere;
        if is_short || place.ttl > self.own.place.ttl {
            return false;
        }
        let (ends, sender) = (&self.own.ends, usize::from(self.sender));
        let (other, from) = (&segment.ends, segment.sender);
        let is_shared = ends.socket(sender) == other.socket(from)
            || ends.socket(1 - sender) == other.socket(1 - from);
        is_shared && (is_syn || identity.payload_len > 0)
    }
}

/// Packets of late, by what a NAT leaves as it is.
#[derive(Debug, Default)]
pub(super) struct SentPackets {
    packets: Recent<Identity, Packet, MAX_PACKETS>,
    hasher: DefaultHashBuilder,
}

impl SentPackets {
    /// Prefetches what a SYN is compared with.
    #[inline]
    pub(super) fn prefetch(&self, segment: &SegmentRecord) {
        let flags = segment.header.flags;
        if flags.has(Flags::SYN) && !flags.has(Flags::ACK) {
            let hash = Identity::of(segment).hash(&self.hasher);
            self.packets.prefetch(hash);
        }
    }

    /// Takes in a segment, its connection, and the number of the translation that its addresses belong to. Returns the
    /// packet that it is a copy of after translation, with the places where that was captured, if its addresses are not
    /// known to be those of that packet. `is_over` holds for addresses, given with their hash, between which no copy can
    /// follow.
    pub(super) fn take(
        &mut self,
        segment: &SegmentRecord,
        original: Original,
        number: u8,
        is_over: impl Fn(u32, &FlowKey) -> bool,
    ) -> Option<(Original, Vec<(u8, PointTtl)>)> {
        let identity = Identity::of(segment);
        let hash = identity.hash(&self.hasher);
        let at = segment.header.at;
        let own = frames(segment, number);
        let is_syn = segment.header.flags.has(Flags::SYN);
        let apart = max_copy_age_ns(identity.clock.is_some());
        let apart = if is_syn {
            apart
        } else {
            apart.min(MAX_MIDSTREAM_AGE_NS)
        };
        if let Some(packet) = self.packets.get_mut(hash, &identity)
            && (0..apart).contains(&at.since(packet.at))
        {
            if packet.has_ends(&segment.ends) {
                packet.add(own);
                return None;
            }
            if packet.was_at(own.place) {
                // Two packets at one point: whoever sends them does not tell them apart.
                packet.is_ambiguous = true;
                return None;
            }
            let is_translated = packet.is_translated_to(&identity, segment);
            let mut frames = packet.frames();
            if packet.is_ambiguous || !is_translated || frames.any(|it| is_over(it.hash, &it.ends))
            {
                return None;
            }
            let places = packet.frames().map(|it| (it.number, it.place));
            return Some((packet.original(), places.collect()));
        }
        let is_own = original == Original::of(segment, original.frame);
        let packet = Packet {
            at,
            own,
            sender: u8::from(segment.sender == 1),
            is_ambiguous: false,
            frame: original.frame,
            more: (!is_own).then(|| {
                Box::new(More {
                    original: Some(original),
                    copies: Vec::new(),
                })
            }),
        };
        self.packets.push(hash, identity, packet);
        None
    }

    /// Adds the addresses of a segment, which were joined with the connection of its packet, under this number.
    pub(super) fn note(&mut self, segment: &SegmentRecord, number: u8) {
        let identity = Identity::of(segment);
        let hash = identity.hash(&self.hasher);
        if let Some(packet) = self.packets.get_mut(hash, &identity) {
            packet.add(frames(segment, number));
        }
    }
}

fn frames(segment: &SegmentRecord, number: u8) -> Frames {
    Frames {
        ends: segment.ends,
        hash: segment.hash,
        number,
        place: PointTtl::of(segment),
    }
}
