//! What is seen in a piece of a capture: of each TCP segment the numbers that its connection is followed by.
//!
//! This runs for every frame, on any thread and before it is known which frames came before, so it touches headers only and
//! decides nothing. Where the usual layout of a header is not met the long way is taken, which is
//! [`packet`]'s own; both read the same.
#![allow(clippy::inline_always)] // what goes from one function to another through memory is waited for, for each frame

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::marks::{IpTraits, TCP};
use crate::file::{Frame, Reader, Statistics};
use crate::packet::ip::{Ip, Part};
use crate::packet::link::{self, Link};
use crate::packet::{self, Flags, Header, SeqNum, TcpTimestamps, tunnel};

/// Into so many shares the connections fall. Threads follow them side by side; the number does not depend on that of threads, so
/// neither does the answer.
pub const SHARES: usize = 4;

/// The two ends of a connection, in an order that does not depend on who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Addresses, the upper halves of their bits first; of IPv4 the 32 bits alone.
    addresses: [[u64; 2]; 2],
    ports: [u16; 2],
    is_ipv6: bool,
}

/// Fibonacci hashing: of what comes of it the upper bits are the good ones.
#[inline]
pub(super) fn spread(bits: u64) -> u64 {
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// An address and a port. The order of the halves is that of the whole.
type End = ([u64; 2], u16);

/// The halves of these bits.
#[allow(clippy::cast_possible_truncation)] // the lower half is what is meant
fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

impl Hash for Ends {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high] = self.addresses;
        let ports = u64::from(self.ports[0]) << 16 | u64::from(self.ports[1]);
        if self.is_ipv6 {
            for half in [low[0], low[1], high[0], high[1]] {
                state.write_u64(half);
            }
        } else {
            // They are 32 bits each.
            state.write_u64(low[1] << 32 | high[1]);
        }
        state.write_u64(ports);
    }
}

impl Ends {
    /// The ends of a segment from here to there, and which of them the sender is.
    #[must_use]
    pub fn of(source: (IpAddr, u16), destination: (IpAddr, u16)) -> (Self, usize) {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => [0, address.to_bits().into()],
            IpAddr::V6(address) => halves(address.to_bits()),
        };
        let from = (bits(source.0), source.1);
        let to = (bits(destination.0), destination.1);
        Self::between(from, to, source.0.is_ipv6())
    }

    /// The same of the bits of addresses.
    #[inline]
    fn between(from: End, to: End, is_ipv6: bool) -> (Self, usize) {
        let is_low = from <= to;
        let (low, high) = if is_low { (from, to) } else { (to, from) };
        let ends = Self {
            addresses: [low.0, high.0],
            ports: [low.1, high.1],
            is_ipv6,
        };
        (ends, usize::from(!is_low))
    }

    /// The same of IPv4.
    #[inline(always)]
    fn between_v4(from: (u64, u16), to: (u64, u16)) -> (Self, usize) {
        let whole = |(address, port): (u64, u16)| address << 16 | u64::from(port);
        let is_low = whole(from) <= whole(to);
        let (low, high) = if is_low { (from, to) } else { (to, from) };
        let ends = Self {
            addresses: [[0, low.0], [0, high.0]],
            ports: [low.1, high.1],
            is_ipv6: false,
        };
        (ends, usize::from(!is_low))
    }

    /// Address and port of an end.
    #[must_use]
    pub fn socket(&self, end: usize) -> std::net::SocketAddr {
        let [upper, lower] = self.addresses[end];
        let address = if self.is_ipv6 {
            IpAddr::V6((u128::from(upper) << 64 | u128::from(lower)).into())
        } else {
            IpAddr::V4(u32::try_from(lower).unwrap_or(0).into())
        };
        std::net::SocketAddr::new(address, self.ports[end])
    }

    /// The port of an end.
    #[must_use]
    pub fn port(&self, end: usize) -> u16 {
        self.ports[end]
    }

    /// Which of the shares it belongs to. The same in every run: what is told of first depends on it.
    #[must_use]
    #[inline]
    pub fn share(&self) -> usize {
        let [low, high] = self.addresses;
        let ports = u64::from(self.ports[0]) << 16 | u64::from(self.ports[1]);
        let all =
            low[0] ^ low[1].rotate_left(7) ^ high[0].rotate_left(14) ^ high[1].rotate_left(21);
        let mixed = spread(all ^ ports.rotate_left(32));
        usize::from(mixed.to_be_bytes()[0]) % SHARES
    }

    /// Whether both ends are the same.
    #[must_use]
    pub fn is_itself(&self) -> bool {
        self.addresses[0] == self.addresses[1] && self.ports[0] == self.ports[1]
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Between whom.
    pub ends: Ends,
    /// What that is hashed to by the hasher of [`Wanted`].
    pub hash: u32,
    /// Which of the two sent it.
    pub sender: usize,
    /// Its header. The frame's number counts from 0 in the batch.
    pub header: Header,
    /// Which interface of the file it was captured on.
    pub interface: u32,
    /// What its IP header shows.
    pub ip: IpTraits,
    /// Bytes of the IP packet, by its own reckoning.
    pub ip_len: u32,
    /// Where the IP packet is in the bytes of the batch, and how much of it was captured.
    pub packet: (u32, u32),
}

impl Seen {
    /// What was captured of the IP packet, in these bytes.
    #[must_use]
    pub fn packet<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let (start, length) = (self.packet.0 as usize, self.packet.1 as usize);
        bytes.get(start..start + length).unwrap_or_default()
    }
}

/// What is seen in a piece.
#[derive(Debug, Default)]
pub struct Batch {
    /// The TCP segments, those of each [share](Ends::share) by themselves.
    pub segments: [Vec<Seen>; SHARES],
    /// How many of them are RSTs.
    pub resets: u32,
    /// How many frames there are.
    pub frames: u32,
    /// Frames whose link cannot be read, by the number of its type.
    pub unread_links: BTreeMap<u16, u32>,
    /// Fragments of IP packets that were passed over: what they carry is not in them.
    pub fragments: u32,
    /// Frames that are TCP and were cut before their header ended, or are malformed.
    pub cut: u32,
    /// Frames that the filter does not let through.
    pub filtered: u32,
    /// Frames that the interfaces say they had no room for.
    pub dropped: u64,
}

impl Batch {
    /// Makes room for another piece.
    pub fn clear(&mut self) {
        for segments in &mut self.segments {
            segments.clear();
        }
        self.unread_links.clear();
        self.resets = 0;
        (self.frames, self.fragments, self.cut) = (0, 0, 0);
        (self.filtered, self.dropped) = (0, 0);
    }

    #[inline(always)]
    fn push(&mut self, seen: Seen) {
        if seen.header.flags.has(Flags::RST) {
            self.resets += 1;
        }
        self.segments[seen.ends.share()].push(seen);
    }

    /// Takes in what an interface counted.
    pub fn count(&mut self, counted: &Statistics<'_>) {
        self.dropped = self.dropped.max(counted.dropped.unwrap_or(0));
    }
}

/// Filter of frames, made for each link type that a capture has: a BPF program is compiled for one of them.
#[derive(Clone)]
pub struct FrameFilter(Arc<MakeFilter>);

type MakeFilter = dyn Fn(u16) -> Option<CompiledFilter> + Send + Sync;

/// Whether a frame of one link type counts, by its captured bytes.
pub type CompiledFilter = Box<dyn Fn(&[u8]) -> bool>;

impl FrameFilter {
    /// A filter that is made by this function for each number of the `LINKTYPE_` registry. Where there is none for a link type, no frame
    /// of it counts.
    pub fn new(make: impl Fn(u16) -> Option<CompiledFilter> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl fmt::Debug for FrameFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameFilter").finish_non_exhaustive()
    }
}

/// How frames are looked at.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Whether packets inside of packets count in the place of those.
    pub inside_tunnels: bool,
    /// Which frames count; none means all.
    pub filter: Option<FrameFilter>,
    /// What ends are hashed by: nobody can make a capture whose connections all fall on one another.
    pub hasher: DefaultHashBuilder,
}

/// Looks at frames, in a thread of its own.
pub struct Look<'w> {
    wanted: &'w Wanted,
    /// The filter for each link type that was met.
    filters: BTreeMap<u16, Option<CompiledFilter>>,
}

impl<'w> Look<'w> {
    /// Looks for what is wanted.
    #[must_use]
    pub fn new(wanted: &'w Wanted) -> Self {
        Self {
            wanted,
            filters: BTreeMap::new(),
        }
    }

    /// Whether this filter lets a frame through.
    fn lets_through(&mut self, filter: &FrameFilter, kind: u16, frame: &[u8]) -> bool {
        let compiled = self.filters.entry(kind).or_insert_with(|| filter.0(kind));
        compiled
            .as_ref()
            .is_some_and(|lets_through| lets_through(frame))
    }

    #[allow(clippy::cast_possible_truncation)] // half of it is enough
    #[inline(always)]
    fn hash(&self, ends: &Ends) -> u32 {
        self.wanted.hasher.hash_one(ends) as u32
    }

    /// Looks at a frame of these bytes.
    #[inline]
    pub fn at(&mut self, batch: &mut Batch, reader: &Reader<'_>, frame: &Frame<'_>, bytes: &[u8]) {
        let number = batch.frames;
        batch.frames = batch.frames.saturating_add(1);
        let kind = reader.link(frame.interface).unwrap_or(u16::MAX);
        if let Some(filter) = &self.wanted.filter
            && !self.lets_through(filter, kind, frame.captured)
        {
            batch.filtered += 1;
            return;
        }
        let Some(link) = Link::from_number(kind.into()) else {
            *batch.unread_links.entry(kind).or_default() += 1;
            return;
        };
        if link == Link::Ethernet
            && !self.wanted.inside_tunnels
            && self.usual(batch, number, frame, bytes)
        {
            return;
        }
        let Some(mut packet) = link::packet(link, frame.captured) else {
            return;
        };
        if self.wanted.inside_tunnels {
            packet = tunnel::innermost(packet);
        }
        let Some(ip) = Ip::of(packet) else {
            return;
        };
        let captured = u32::try_from(frame.captured.len()).unwrap_or(u32::MAX);
        let ip = ip.or_to_the_end(frame.wire_len.saturating_sub(captured));
        if ip.protocol == TCP {
            if ip.part == Part::Later {
                batch.fragments += 1;
                return;
            }
            batch.fragments += u32::from(ip.part == Part::First);
            match segment(&ip, number, frame).zip(IpTraits::of(packet)) {
                Some(((ports, header), traits)) => {
                    let (ends, sender) =
                        Ends::of((ip.source, ports[0]), (ip.destination, ports[1]));
                    let before = ip.payload.as_ptr().addr() - packet.as_ptr().addr();
                    let ip_len = u32::try_from(before).unwrap_or(0) + ip.payload_len.unwrap_or(0);
                    batch.push(Seen {
                        ends,
                        hash: self.hash(&ends),
                        sender,
                        header,
                        interface: frame.interface,
                        ip: traits,
                        ip_len,
                        packet: place_of(packet, bytes),
                    });
                }
                None => batch.cut += 1,
            }
        }
    }
}

/// Length of the header of Ethernet.
const ETHERNET_HEADER: usize = 14;

impl Look<'_> {
    /// Takes in what nearly all frames are: Ethernet without tags, IPv4 without options or IPv6 without extension headers, whole,
    /// and TCP. Whether it is one; of any other nothing is said.
    #[inline(always)]
    fn usual(&self, batch: &mut Batch, number: u32, frame: &Frame<'_>, bytes: &[u8]) -> bool {
        let captured = frame.captured;
        let Some((ethernet, packet)) = captured.split_first_chunk::<ETHERNET_HEADER>() else {
            return false;
        };
        match [ethernet[12], ethernet[13]] {
            [0x08, 0x00] => {
                let Some((ip, rest)) = packet.split_first_chunk::<20>() else {
                    return false;
                };
                let total = u16::from_be_bytes([ip[2], ip[3]]);
                // Not a fragment; and long enough for two headers.
                let is_usual = ip[0] == 0x45
                    && ip[9] == TCP
                    && matches!(ip[6], 0 | 0x40 | 0x80 | 0xc0)
                    && ip[7] == 0
                    && total >= 40;
                if !is_usual {
                    return false;
                }
                let Some((ports, header)) = tcp(rest, u32::from(total) - 20, number, frame) else {
                    return false;
                };
                let address = |at: usize| {
                    let bytes = [ip[at], ip[at + 1], ip[at + 2], ip[at + 3]];
                    u64::from(u32::from_be_bytes(bytes))
                };
                let (ends, sender) =
                    Ends::between_v4((address(12), ports[0]), (address(16), ports[1]));
                batch.push(Seen {
                    hash: self.hash(&ends),
                    ends,
                    sender,
                    header,
                    interface: frame.interface,
                    ip: IpTraits::v4(ip),
                    ip_len: total.into(),
                    packet: place_of(packet, bytes),
                });
                true
            }
            [0x86, 0xdd] => self.usual_v6(batch, number, frame, (packet, bytes)),
            _ => false,
        }
    }

    fn usual_v6(
        &self,
        batch: &mut Batch,
        number: u32,
        frame: &Frame<'_>,
        (packet, bytes): (&[u8], &[u8]),
    ) -> bool {
        let Some((ip, rest)) = packet.split_first_chunk::<40>() else {
            return false;
        };
        let length = u16::from_be_bytes([ip[4], ip[5]]);
        if ip[0] >> 4 != 6 || ip[6] != TCP || length < 20 {
            return false;
        }
        let Some((ports, header)) = tcp(rest, length.into(), number, frame) else {
            return false;
        };
        let (words, _) = ip.as_chunks::<8>();
        let word = |nth: usize| u64::from_be_bytes(words[nth]);
        let from = ([word(1), word(2)], ports[0]);
        let to = ([word(3), word(4)], ports[1]);
        let (ends, sender) = Ends::between(from, to, true);
        batch.push(Seen {
            hash: self.hash(&ends),
            ends,
            sender,
            header,
            interface: frame.interface,
            ip: IpTraits::v6(&words[0]),
            ip_len: 40 + u32::from(length),
            packet: place_of(packet, bytes),
        });
        true
    }
}

/// Where a packet is in these bytes, which it is a part of, and its length.
#[inline(always)]
fn place_of(packet: &[u8], bytes: &[u8]) -> (u32, u32) {
    let place = packet.as_ptr().addr() - bytes.as_ptr().addr();
    let small = |number: usize| u32::try_from(number).unwrap_or(0);
    (small(place), small(packet.len()))
}

/// Reads the header of TCP in an IP packet.
fn segment(ip: &Ip<'_>, frame: u32, of: &Frame<'_>) -> Option<([u16; 2], Header)> {
    tcp(ip.payload, ip.payload_len?, frame, of)
}

/// Reads the header of TCP (RFC 9293, 3.1) at the beginning of what was captured of a segment, which is so long.
#[inline(always)]
fn tcp(captured: &[u8], length: u32, frame: u32, of: &Frame<'_>) -> Option<([u16; 2], Header)> {
    let fixed = captured.first_chunk::<20>()?;
    let u16_at = |place: usize| u16::from_be_bytes([fixed[place], fixed[place + 1]]);
    let u32_at = |place: usize| {
        u32::from_be_bytes([
            fixed[place],
            fixed[place + 1],
            fixed[place + 2],
            fixed[place + 3],
        ])
    };
    let header_len = usize::from(fixed[12] >> 4) * 4;
    let options = captured.get(20..header_len)?;
    let payload_len = length.checked_sub(u32::from(fixed[12] >> 4) * 4)?;
    let mut header = Header {
        frame,
        at: of.at,
        flags: Flags(fixed[13]),
        window: u16_at(14),
        seq: SeqNum(u32_at(4)),
        ack: SeqNum(u32_at(8)),
        payload_len,
        timestamps: None,
        sack_edge: None,
    };
    // What Linux, the BSDs and Windows send all the time (RFC 7323, appendix A).
    if let [1, 1, 8, 10, rest @ ..] = options
        && let Some((times, [])) = rest.split_first_chunk::<8>()
    {
        header.timestamps = Some(timestamps(*times));
    } else if !options.is_empty() {
        (header.timestamps, header.sack_edge) = packet::options(options);
    }
    Some(([u16_at(0), u16_at(2)], header))
}

fn timestamps(bytes: [u8; 8]) -> TcpTimestamps {
    let (words, _) = bytes.as_chunks::<4>();
    TcpTimestamps {
        value: u32::from_be_bytes(words[0]),
        echo: u32::from_be_bytes(words[1]),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// What a client's kernel and a scanner do: the next port for each connection, or the next address.
    #[test]
    fn connections_that_differ_by_little_are_shared_out_evenly() {
        const COUNT: u16 = 4_000;
        let v4 = |last: u16| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + u32::from(last)));
        let v6 = |last: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        for address in [&v4 as &dyn Fn(u16) -> IpAddr, &v6] {
            let by_port = |nth: u16| ((address(1), 30_000 + nth), (address(2), 443_u16));
            let by_two = |nth: u16| ((address(1), 30_000 + 2 * nth), (address(2), 443_u16));
            let by_address = |nth: u16| ((address(1), 443), (address(2 + nth), 22_u16));
            for ends in [&by_port as &dyn Fn(u16) -> _, &by_two, &by_address] {
                let mut counts = [0; SHARES];
                for nth in 0..COUNT {
                    let (from, to) = ends(nth);
                    let (there, sender) = Ends::of(from, to);
                    let (back, receiver) = Ends::of(to, from);
                    assert_eq!((there, sender), (back, 1 - receiver));
                    counts[there.share()] += 1;
                }
                let fair = usize::from(COUNT) / SHARES;
                let is_fair = |count: &usize| (fair * 3 / 4..fair * 5 / 4).contains(count);
                assert!(counts.iter().all(is_fair), "{counts:?}");
            }
        }
    }

    #[test]
    fn ends_are_what_they_were_made_of() {
        let v4 = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
        for (one, other) in [
            ("10.0.0.1:80", "10.0.0.2:1"),
            ("255.255.255.255:65535", "0.0.0.0:0"),
            ("[2001:db8::1]:80", "[2001:db8::1]:79"),
            ("[ffff:ffff::]:1", "[::ffff]:2"),
        ] {
            let (one, other) = (v4(one), v4(other));
            let pair = |it: std::net::SocketAddr| (it.ip(), it.port());
            let (ends, sender) = Ends::of(pair(one), pair(other));
            assert_eq!((ends.socket(sender), ends.socket(1 - sender)), (one, other));
        }
    }
}
