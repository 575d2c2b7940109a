//! Reassembly of fragmented IP packets that hold TCP segments.
//!
//! The rules are those of the Linux kernel (`inet_frag_queue_insert()`): a fragment that lies within one that has come
//! before is a duplicate, and any other overlap discards the packet, for IPv6 by RFC 5722 and for IPv4 since Linux 4.19. A
//! packet has 30 seconds over IPv4 and 60 over IPv6 (`net.ipv4.ipfrag_time`; RFC 8200, 4.5).
//!
//! Memory is bounded: by a number of packets, of fragments of each, and of bytes kept. Only the beginning of a payload is
//! kept, since no more than the TCP header and the first bytes of data are looked at.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::packet::fragment::{Fragment, FragmentKey};
use crate::time::Timestamp;

/// Maximum number of packets that are put together at the same time. If there are more, the oldest is given up.
const MAX_PACKETS: usize = 4_096;

/// Maximum number of fragments of one packet.
const MAX_FRAGMENTS: usize = 512;

/// Number of bytes at the beginning of a payload that are kept: a TCP header with all options, and as much data as is
/// ever looked at.
const KEPT: usize = 2_048;

/// Maximum number of bytes that are kept for all packets together.
const MAX_KEPT: usize = 4 << 20;

/// Maximum length of a packet's payload, in bytes.
const MAX_LEN: u32 = 65_535;

const SECOND: i64 = 1_000_000_000;

/// Time for which the fragments of a complete packet count as copies of it, in nanoseconds.
const COPY_NS: i64 = SECOND;

/// Counts of fragments in one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentCounts {
    /// Packets that were put together.
    pub packets: u64,
    /// Fragments of these packets, including copies.
    pub fragments: u64,
    /// Packets that were discarded because fragments overlap or contradict each other.
    pub discarded: u64,
    /// Fragments of these packets.
    pub discarded_fragments: u64,
}

impl FragmentCounts {
    /// Adds the counts of another chunk.
    pub(super) fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.fragments += other.fragments;
        self.discarded += other.discarded;
        self.discarded_fragments += other.discarded_fragments;
    }
}

/// Identity of a packet: the interface that captured it, and what its fragments have in common.
type Key = (u32, FragmentKey);

/// Packets of which some fragments have come.
#[derive(Debug, Default)]
pub(super) struct Reassembler {
    packets: HashMap<Key, Incomplete>,
    /// Keys in the order in which the packets began, with their numbers. A key whose number differs is stale.
    order: VecDeque<(Key, u64)>,
    /// Number of packets so far.
    count: u64,
    /// Number of bytes kept.
    kept: usize,
    now: Timestamp,
}

#[derive(Debug)]
struct Incomplete {
    /// Number of the packet.
    number: u64,
    began: Timestamp,
    state: State,
    /// Fragments by offset, without overlaps.
    pieces: Vec<Piece>,
    /// Length of the payload, once the last fragment has come.
    len: Option<u32>,
    /// First fragment's headers, which become those of the packet: bytes from the IP header to the payload.
    first: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Incomplete,
    Complete,
    Discarded,
}

#[derive(Debug)]
struct Piece {
    offset: u32,
    len: u32,
    /// Captured bytes, as far as they are kept.
    bytes: Box<[u8]>,
}

impl Piece {
    fn end(&self) -> u32 {
        self.offset + self.len
    }
}

impl Reassembler {
    /// Takes in a fragment that an interface captured. Returns the packet if the fragment completes it: headers without
    /// trace of the fragmentation, and the beginning of the payload.
    pub(super) fn take(
        &mut self,
        packet: &[u8],
        interface: u32,
        at: Timestamp,
        counts: &mut FragmentCounts,
    ) -> Option<Vec<u8>> {
        // The clock of a capture may go back, and a time may be none.
        let at = if at == Timestamp::UNUSABLE {
            self.now
        } else {
            at
        };
        self.now = at;
        let fragment = Fragment::of(packet)?;
        let key = (interface, fragment.key);
        let known = self.packets.get(&key);
        if known.is_some_and(|it| it.is_over(at, fragment.key.source.is_ipv4())) {
            self.forget(&key);
        }
        if !self.packets.contains_key(&key) {
            self.begin(key, at);
        }
        let incomplete = self.packets.get_mut(&key)?;
        match incomplete.state {
            State::Complete => {
                counts.fragments += 1;
                return None;
            }
            State::Discarded => {
                counts.discarded_fragments += 1;
                return None;
            }
            State::Incomplete => {}
        }
        let before = incomplete.kept();
        let is_fit = incomplete.insert(&fragment, packet);
        let number_of_fragments = incomplete.pieces.len() as u64;
        let whole = if is_fit { incomplete.whole() } else { None };
        if !is_fit {
            counts.discarded += 1;
            // The pieces so far, and this one.
            counts.discarded_fragments += number_of_fragments + 1;
            incomplete.end(State::Discarded);
        } else if whole.is_some() {
            counts.packets += 1;
            counts.fragments += number_of_fragments;
            incomplete.end(State::Complete);
        }
        let after = incomplete.kept();
        self.kept = (self.kept + after).saturating_sub(before);
        while self.kept > MAX_KEPT && self.give_up_oldest() {}
        whole
    }

    fn begin(&mut self, key: Key, at: Timestamp) {
        while self.packets.len() >= MAX_PACKETS && self.give_up_oldest() {}
        self.count += 1;
        let incomplete = Incomplete {
            number: self.count,
            began: at,
            state: State::Incomplete,
            pieces: Vec::new(),
            len: None,
            first: None,
        };
        self.packets.insert(key, incomplete);
        self.order.push_back((key, self.count));
        // Each packet has one current key, so that few are stale.
        if self.order.len() > 2 * MAX_PACKETS {
            let packets = &self.packets;
            let is_current = |(key, number): &(Key, u64)| {
                packets.get(key).is_some_and(|it| it.number == *number)
            };
            self.order.retain(is_current);
        }
    }

    /// Forgets the packet that began first. Returns false if no packet is held.
    fn give_up_oldest(&mut self) -> bool {
        let Some((key, number)) = self.order.pop_front() else {
            return false;
        };
        if self.packets.get(&key).is_some_and(|it| it.number == number) {
            self.forget(&key);
        }
        true
    }

    fn forget(&mut self, key: &Key) {
        if let Some(incomplete) = self.packets.remove(key) {
            self.kept = self.kept.saturating_sub(incomplete.kept());
        }
    }
}

impl Incomplete {
    /// Returns true if a fragment at this time belongs to another packet with the same identification.
    fn is_over(&self, at: Timestamp, is_v4: bool) -> bool {
        let limit = match (self.state, is_v4) {
            (State::Complete, _) => COPY_NS,
            (_, true) => 30 * SECOND,
            (_, false) => 60 * SECOND,
        };
        at.since(self.began).saturating_abs() > limit
    }

    fn kept(&self) -> usize {
        let pieces = self.pieces.iter();
        pieces.map(|it| it.bytes.len() + size_of::<Piece>()).sum()
    }

    fn end(&mut self, state: State) {
        self.state = state;
        (self.pieces, self.first) = (Vec::new(), None);
    }

    /// Adds a fragment. Returns false if it overlaps or contradicts the others.
    fn insert(&mut self, fragment: &Fragment<'_>, packet: &[u8]) -> bool {
        let mut len = fragment.len;
        if fragment.has_more {
            if !len.is_multiple_of(8) && fragment.key.source.is_ipv6() {
                return false;
            }
            // Linux cuts such a fragment of IPv4.
            len &= !7;
            if len == 0 {
                return true;
            }
        }
        let (offset, end) = (fragment.offset, fragment.offset + len);
        if end > MAX_LEN || self.len.is_some_and(|all| end > all) {
            return false;
        }
        if !fragment.has_more {
            let furthest = self.pieces.last().map_or(0, Piece::end);
            if self.len.is_some_and(|all| all != end) || furthest > end {
                return false;
            }
            self.len = Some(end);
        }
        if offset == 0 && self.first.is_none() {
            let headers = packet.len() - fragment.payload.len().min(packet.len());
            self.first = packet.get(..headers).map(<[u8]>::to_vec);
        }
        let at = self.pieces.partition_point(|it| it.offset <= offset);
        let earlier = at.checked_sub(1).and_then(|it| self.pieces.get(it));
        if let Some(earlier) = earlier
            && earlier.end() > offset
        {
            // A duplicate lies within it.
            return earlier.end() >= end;
        }
        if self.pieces.get(at).is_some_and(|later| later.offset < end) {
            return false;
        }
        if self.pieces.len() == MAX_FRAGMENTS {
            return false;
        }
        let room = KEPT.saturating_sub(offset as usize).min(len as usize);
        let bytes = fragment.payload.get(..room).unwrap_or(fragment.payload);
        let piece = Piece {
            offset,
            len,
            bytes: bytes.into(),
        };
        self.pieces.insert(at, piece);
        true
    }

    /// Returns the packet, if it is complete.
    fn whole(&self) -> Option<Vec<u8>> {
        let all = self.len?;
        let held: u32 = self.pieces.iter().map(|it| it.len).sum();
        if held != all {
            return None;
        }
        let first = Fragment::of(self.first.as_ref()?)?;
        let mut packet = first.headers_of_whole(all)?;
        let mut next = 0;
        for piece in &self.pieces {
            packet.extend(&piece.bytes);
            next += piece.len;
            // What follows bytes that were not captured would be at the wrong place.
            if (piece.bytes.len() as u64) < u64::from(piece.len) || next as usize >= KEPT {
                break;
            }
        }
        Some(packet)
    }
}
