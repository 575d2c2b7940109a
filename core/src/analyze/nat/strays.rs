//! Handshakes of recent connections, and which of them an RST between other addresses may concern.
//!
//! A segment whose address was not translated, or was translated to other addresses than before, finds no socket at its receiver. The RST that it
//! draws has the acknowledgment number of the segment as its SEQ (RFC 9293, 3.10.7.1), which lies after the initial number
//! of its sender in the connection that the segment continues. Here that number narrows the connections down to a few
//! [`Candidate`]s, and the tables check the rest.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use hashbrown::DefaultHashBuilder;

use super::super::decode::{FlowKey, SegmentRecord};
use super::copies::Original;
use crate::packet::SeqNum;
use crate::prefetch::prefetch;
use crate::time::Timestamp;

/// Maximum number of handshakes that are remembered. If there are more, the oldest is forgotten.
const MAX_HANDSHAKES: usize = 1 << 15;

/// Number of buckets of the index. With fewer, most look-ups would wait for another handshake of the bucket.
const BUCKETS: u32 = 1 << 17;

/// Number of buckets of [`OwnSyns`].
const OWN_BUCKETS: usize = 1 << 14;

/// Maximum number of connections that an RST is compared with.
const MAX_COMPARED: usize = 32;

/// Maximum number of candidates for an RST.
const MAX_CANDIDATES: usize = 4;

/// Maximum number of bytes that an end has sent in a connection that a segment continues.
const MAX_SENT: u32 = 1 << 30;

/// Initial number of an end, and its clock then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) struct Initial {
    pub seq: SeqNum,
    /// Value of the timestamps option, if there is one.
    pub clock: Option<u32>,
    pub at: Timestamp,
}

impl Initial {
    fn of(segment: &SegmentRecord) -> Self {
        let header = &segment.header;
        Self {
            seq: header.seq,
            clock: header.timestamps.map(|it| it.value),
            at: header.at,
        }
    }
}

/// Address of a connection that a stray segment does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) enum Differs {
    /// The server's: it was not translated back for the client.
    Server,
    /// The client's port alone: the connection was given another one.
    ClientPort,
    /// The client's address, but not its port.
    Client,
}

/// Connection that an RST between other addresses may concern.
#[derive(Clone, Debug)]
pub(in crate::analyze) struct Candidate {
    /// Ends of the connection in its table.
    pub ends: FlowKey,
    /// Hash of `ends`.
    pub hash: u32,
    /// Number of the connection: that of its first frame.
    pub number: u32,
    /// Index in `ends` of the end that the RST goes to.
    pub receiver: usize,
    /// Addresses of client and server where the RST was captured.
    pub sockets: [SocketAddr; 2],
    /// Initial numbers of the end that has sent the RST, and of the other end.
    pub initial: [Initial; 2],
    pub differs: Differs,
}

/// SYN or SYN-ACK, at one side of a NAT.
#[derive(Debug)]
struct Part {
    /// Ends in the frame, and their hash.
    own: FlowKey,
    hash: u32,
    /// First frame of a SYN; `None` for a SYN-ACK.
    syn_frame: Option<NonZeroU32>,
    /// Connection of a SYN, if it has other ends than the frame.
    alias: Option<Box<Original>>,
    initial: Initial,
    /// Number and clock of the SYN-ACK, if it came while a SYN waited.
    syn_ack: Option<Initial>,
    ack: SeqNum,
    /// Index of the bucket of the client's socket in [`Link::Client`]. Set when the part enters the index.
    bucket: u32,
    sender: u8,
}

impl Part {
    /// Returns true for a SYN between these ends.
    fn is_syn(&self, ends: &FlowKey) -> bool {
        self.syn_frame.is_some() && self.own == *ends
    }
}

/// Latest SYNs that wait, by the hash of their ends. Nearly every RST belongs to one of them, and then the index is not needed. A
/// SYN may be missing here, because a bucket holds only the latest few.
// With the whole hash beside the number, the parts of other SYNs in the bucket need not be fetched from memory.
#[derive(Debug, Default)]
struct OwnSyns(Vec<[OwnSyn; 4]>);

/// Number of a SYN that waits, and the hash of its ends.
#[derive(Clone, Copy, Debug, Default)]
struct OwnSyn {
    number: u32,
    hash: u32,
}

impl OwnSyns {
    fn bucket(hash: u32) -> usize {
        hash as usize % OWN_BUCKETS
    }

    fn add(&mut self, hash: u32, number: u32) {
        if self.0.is_empty() {
            // 0 is the number of no SYN.
            self.0 = vec![[OwnSyn::default(); 4]; OWN_BUCKETS];
        }
        let bucket = &mut self.0[Self::bucket(hash)];
        let [first, second, third, _] = *bucket;
        *bucket = [OwnSyn { number, hash }, first, second, third];
    }

    /// Returns the numbers of the SYNs with this hash, newest first.
    fn of(&self, hash: u32) -> impl Iterator<Item = u32> {
        let bucket = self.0.get(Self::bucket(hash)).into_iter().flatten();
        let own = bucket.filter(move |it| it.hash == hash);
        own.map(|it| it.number)
    }
}

/// Handshake of a connection, at one side of a NAT.
#[derive(Debug)]
struct Handshake {
    syn: Part,
    syn_ack: Option<Initial>,
    /// Numbers of the previous handshakes in the buckets of its [`Link`]s.
    previous: [u32; 3],
}

impl Handshake {
    /// Returns the index of the client in the ends of the frames.
    fn client(&self) -> usize {
        self.syn.sender.into()
    }

    fn sockets(&self) -> [SocketAddr; 2] {
        [self.client(), 1 - self.client()].map(|end| self.syn.own.socket(end))
    }

    fn key(&self, link: Link) -> Key {
        link.key(&self.syn.own, self.client())
    }

    /// Returns the client in its connection.
    fn known(&self) -> Original {
        self.syn.alias.as_deref().copied().unwrap_or(Original {
            ends: self.syn.own,
            hash: self.syn.hash,
            sender: self.client(),
            frame: self.syn.syn_frame.map_or(0, NonZeroU32::get),
        })
    }
}

/// Property that handshakes are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Socket of the client.
    Client,
    /// Address of the client, and the server.
    ClientAddress,
    /// Port of the client, and the server.
    ClientPort,
}

/// Returns the bucket of a property.
#[allow(clippy::cast_possible_truncation)] // the bucket has fewer bits
fn bucket(hasher: &DefaultHashBuilder, key: Key) -> u32 {
    hasher.hash_one(key) as u32 % BUCKETS
}

/// Numbers of a property. Every SYN is hashed and compared by them, which socket addresses would make slow.
type Key = (u64, u64, u64, u64, u64);

impl Link {
    const ALL: [Self; 3] = [Self::Client, Self::ClientAddress, Self::ClientPort];

    /// Returns the property of a handshake between these ends, given the index of its client.
    fn key(self, ends: &FlowKey, client: usize) -> Key {
        let server = 1 - client;
        let ([c0, c1], [s0, s1]) = (ends.address_bits(client), ends.address_bits(server));
        let (from, to) = (u64::from(ends.port(client)), u64::from(ends.port(server)));
        let version = u64::from(ends.is_ipv6()) << 32;
        match self {
            Self::Client => (c0, c1, 0, 0, version | from),
            Self::ClientAddress => (c0, c1, s0, s1, version | to),
            Self::ClientPort => (0, 0, s0, s1, version | from << 16 | to),
        }
    }
}

/// Handshakes of recent connections. Most captures have no RST that needs them, so the index is built for the first one.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    waiting: VecDeque<Part>,
    /// Number of the last part of `waiting`. They count from 1.
    parts: u32,
    own: OwnSyns,
    recent: VecDeque<Handshake>,
    /// Number of the last handshake of `recent`. They count from 1.
    count: u32,
    /// Number of the latest handshake in each bucket of each link; 0 in an empty bucket.
    latest: [Vec<u32>; 3],
    hasher: DefaultHashBuilder,
}

impl Handshakes {
    /// Prefetches where the number of a SYN is noted, given the hash of its ends.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        if let Some(bucket) = self.own.0.get(OwnSyns::bucket(hash)) {
            prefetch(bucket);
        }
    }

    /// Takes in a SYN of this connection.
    pub(super) fn syn(&mut self, segment: &SegmentRecord, known: &Original) {
        let is_own = *known == Original::of(segment, known.frame);
        let alias = (!is_own).then(|| Box::new(*known));
        if alias.is_none()
            && let Some(part) = self.waiting_syn(segment, segment.sender)
            && part.initial.seq == segment.header.seq
            && part.alias.is_none()
        {
            return; // sent again, or the same SYN at another point
        }
        self.wait(segment, NonZeroU32::new(known.frame.max(1)), alias);
    }

    /// Takes in a SYN-ACK.
    pub(super) fn reply(&mut self, segment: &SegmentRecord) {
        let ack = segment.header.ack;
        match self.waiting_syn(segment, 1 - segment.sender) {
            Some(syn) if ack == syn.initial.seq.plus(1) => {
                syn.syn_ack.get_or_insert(Initial::of(segment));
            }
            // It does not belong to the latest SYN, nor then to an earlier one.
            Some(_) => {}
            None => self.wait(segment, None, None),
        }
    }

    /// Returns the latest SYN between the ends of a segment that waits, given the index of its client.
    fn waiting_syn(&mut self, segment: &SegmentRecord, client: usize) -> Option<&mut Part> {
        let numbers = self.own.of(segment.hash);
        let place = numbers.filter_map(|it| self.place_of(it)).find(|place| {
            let part = self.waiting.get(*place);
            part.is_some_and(|it| it.is_syn(&segment.ends) && usize::from(it.sender) == client)
        })?;
        self.waiting.get_mut(place)
    }

    /// Returns the place in `waiting` of the part with this number.
    fn place_of(&self, number: u32) -> Option<usize> {
        let age = usize::try_from(self.parts.checked_sub(number)?).ok()?;
        self.waiting.len().checked_sub(age.saturating_add(1))
    }

    fn wait(
        &mut self,
        segment: &SegmentRecord,
        syn_frame: Option<NonZeroU32>,
        alias: Option<Box<Original>>,
    ) {
        if self.waiting.len() >= MAX_HANDSHAKES {
            self.waiting.pop_front();
        }
        self.parts = self.parts.wrapping_add(1);
        if syn_frame.is_some() {
            self.own.add(segment.hash, self.parts);
        }
        self.waiting.push_back(Part {
            bucket: 0,
            own: segment.ends,
            hash: segment.hash,
            syn_frame,
            alias,
            initial: Initial::of(segment),
            syn_ack: None,
            ack: segment.header.ack,
            sender: u8::from(segment.sender == 1),
        });
    }

    /// Returns the connections that an RST may concern, if the capture has no handshake between its own addresses.
    pub(super) fn candidates(&mut self, reset: &SegmentRecord) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        // Handshakes that wait to enter the index may push as many older ones out of it.
        if self.has_waiting_syn(reset) || self.has_own(reset, self.waiting.len()) {
            return found;
        }
        self.index();
        let (sender, receiver) = (reset.sender, 1 - reset.sender);
        if self.has_own(reset, 0) {
            return found;
        }
        let destination = reset.ends.socket(receiver);
        let (seq, at) = (reset.header.seq, reset.header.at);
        for link in Link::ALL {
            // An RST of a client: the address of its server was not translated back. An RST of a server: the address of its
            // client was translated to another one, or not at all.
            let is_of_client = link == Link::Client;
            let client = if is_of_client { sender } else { receiver };
            let key = link.key(&reset.ends, client);
            let chain = self.chain(link, self.bucket(key), key);
            for (_, handshake) in chain.take(MAX_COMPARED) {
                let [client, server] = handshake.sockets();
                let is_linked = match link {
                    Link::Client => server != destination,
                    Link::ClientAddress => true,
                    Link::ClientPort => client.ip() != destination.ip(),
                };
                let Some(syn_ack) = handshake.syn_ack.filter(|_| is_linked) else {
                    continue;
                };
                let (own, other) = if is_of_client {
                    (handshake.syn.initial, syn_ack)
                } else {
                    (syn_ack, handshake.syn.initial)
                };
                let known = handshake.known();
                let sent = seq.0.wrapping_sub(own.seq.0);
                let is_old = found.iter().any(|it| it.ends == known.ends);
                if !(1..=MAX_SENT).contains(&sent) || at < own.at || is_old {
                    continue;
                }
                found.push(Candidate {
                    ends: known.ends,
                    hash: known.hash,
                    number: known.frame,
                    receiver: if is_of_client {
                        1 - known.sender
                    } else {
                        known.sender
                    },
                    sockets: [client, server],
                    initial: [own, other],
                    differs: match link {
                        Link::Client => Differs::Server,
                        Link::ClientAddress => Differs::ClientPort,
                        Link::ClientPort => Differs::Client,
                    },
                });
                if found.len() == MAX_CANDIDATES {
                    return found;
                }
            }
        }
        found
    }

    /// Returns true if the index has a handshake between the ends of an RST, and still has it when it takes in so many others.
    fn has_own(&self, reset: &SegmentRecord, more: usize) -> bool {
        [1 - reset.sender, reset.sender].into_iter().any(|client| {
            let bucket = self.bucket(Link::Client.key(&reset.ends, client));
            let place = self.find(bucket, &reset.ends, client);
            place.is_some_and(|it| more == 0 || self.recent.len() - it + more < MAX_HANDSHAKES)
        })
    }

    /// Returns true if a SYN between the ends of an RST waits. No more wait than the index holds.
    fn has_waiting_syn(&self, reset: &SegmentRecord) -> bool {
        let mut places = self.own.of(reset.hash).filter_map(|it| self.place_of(it));
        places.any(|place| (self.waiting.get(place)).is_some_and(|it| it.is_syn(&reset.ends)))
    }

    /// Returns the place of the latest handshake between these ends, given the index of its client and the bucket of that.
    fn find(&self, bucket: u32, ends: &FlowKey, client: usize) -> Option<usize> {
        let key = Link::Client.key(ends, client);
        let mut chain = self.chain(Link::Client, bucket, key).take(MAX_COMPARED);
        let found = chain.find(|(_, it)| it.client() == client && it.syn.own == *ends)?;
        Some(found.0)
    }

    /// Returns the handshakes with this property and their places, newest first.
    fn chain(
        &self,
        link: Link,
        bucket: u32,
        key: Key,
    ) -> impl Iterator<Item = (usize, &Handshake)> + use<'_> {
        let newest = self.latest[link as usize].get(bucket as usize).copied();
        let all = std::iter::successors(newest.and_then(|it| self.get(it)), move |(_, it)| {
            self.get(it.previous[link as usize])
        });
        all.filter(move |(_, it)| it.key(link) == key)
    }

    fn bucket(&self, key: Key) -> u32 {
        bucket(&self.hasher, key)
    }

    /// Returns the handshake with this number and its place in `recent`; `None` if it was forgotten.
    fn get(&self, number: u32) -> Option<(usize, &Handshake)> {
        let age = usize::try_from(self.count.checked_sub(number)?).ok()?;
        let place = self.recent.len().checked_sub(age.saturating_add(1))?;
        Some((place, self.recent.get(place)?))
    }

    /// Puts what waits into the index.
    fn index(&mut self) {
        /// Distance of the prefetch, in parts.
        const AHEAD: usize = 8;
        let hasher = &self.hasher;
        for part in &mut self.waiting {
            let sender = usize::from(part.sender);
            let client = if part.syn_frame.is_some() {
                sender
            } else {
                1 - sender
            };
            part.bucket = bucket(hasher, Link::Client.key(&part.own, client));
        }
        while let Some(part) = self.waiting.pop_front() {
            if let Some(ahead) = self.waiting.get(AHEAD)
                && let Some(newest) = self.latest[Link::Client as usize].get(ahead.bucket as usize)
            {
                prefetch(newest);
            }
            if part.syn_frame.is_some() {
                self.begin(part);
            } else {
                self.complete(&part);
            }
        }
    }

    fn begin(&mut self, syn: Part) {
        let client = usize::from(syn.sender);
        let known = self.find(syn.bucket, &syn.own, client);
        if let Some(known) = known.and_then(|place| self.recent.get_mut(place))
            && known.syn.initial.seq == syn.initial.seq
        {
            // A copy of the SYN from another capture point, or its retransmission.
            known.syn_ack = known.syn_ack.or(syn.syn_ack);
            return;
        }
        self.count = self.count.wrapping_add(1);
        let previous = Link::ALL.map(|link| {
            let bucket = match link {
                Link::Client => syn.bucket,
                _ => self.bucket(link.key(&syn.own, client)),
            };
            let latest = &mut self.latest[link as usize];
            if latest.is_empty() {
                *latest = vec![0; BUCKETS as usize];
            }
            std::mem::replace(&mut latest[bucket as usize], self.count)
        });
        if self.recent.len() == MAX_HANDSHAKES {
            self.recent.pop_front();
        }
        self.recent.push_back(Handshake {
            syn_ack: syn.syn_ack,
            syn,
            previous,
        });
    }

    fn complete(&mut self, part: &Part) {
        let client = 1 - usize::from(part.sender);
        let found = self.find(part.bucket, &part.own, client);
        if let Some(handshake) = found.and_then(|place| self.recent.get_mut(place))
            && part.ack == handshake.syn.initial.seq.plus(1)
        {
            handshake.syn_ack.get_or_insert(part.initial);
        }
    }
}
