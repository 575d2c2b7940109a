//! Decoder of the TCP segments in one chunk of a capture.
//!
//! This code runs for every frame, on any thread and before the earlier frames are known, so it reads headers only and
//! makes no decisions. A frame with an unusual header layout takes the slow path through [`packet`](crate::packet); both paths give
//! the same result.
#![allow(clippy::inline_always)] // arguments passed in memory would stall on each frame

mod batch;
mod filter;
mod point;
mod records;
mod text;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

pub(super) use self::batch::Batch;
pub use self::filter::{CompiledFilter, FrameFilter};
pub(super) use self::point::CapturePoint;
pub(super) use self::records::{
    CommentRecord, DroppedFrames, ErrorRecord, FragmentRecord, MAX_FRAME_COMMENTS, ProcessRecord,
    UnreadCounts,
};
use super::forgery::{HostIds, IpFeatures};
use super::join::{Compared, FrameMap};
use crate::file::{Absent, Frame, Reader};
use crate::packet::fragment::Fragment;
use crate::packet::icmp::AboutSegment;
use crate::packet::ip::{Ip, Part};
use crate::packet::link::{self, Link};
use crate::packet::wire::{Ipv4Header, Ipv6Header, TCP, TcpHeader};
use crate::packet::{Header, tunnel};
use crate::time::Timestamp;

/// Number of shards that the connections are divided into. Threads follow the shards in parallel. The number of shards
/// does not depend on the number of threads, so the result does not either.
pub(super) const SHARDS: usize = 4;

/// Key of a connection: its two ends, in an order that does not depend on the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// Addresses, each with the upper half of its bits first. An IPv4 address is the 32 bits in the lower half.
    addresses: [[u64; 2]; 2],
    ports: [u16; 2],
    is_ipv6: bool,
}

/// Spreads the bits of a number by Fibonacci hashing. The upper bits of the result are the best mixed.
#[inline]
pub(super) fn spread(bits: u64) -> u64 {
    bits.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Address and port of one end. The upper half of the address comes first, so tuples compare like the addresses.
type End = ([u64; 2], u16);

/// Splits the bits of an address into their upper and lower half.
#[allow(clippy::cast_possible_truncation)] // the cast takes the lower half
fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high] = self.addresses;
        let ports = u64::from(self.ports[0]) << 16 | u64::from(self.ports[1]);
        if self.is_ipv6 {
            for half in [low[0], low[1], high[0], high[1]] {
                state.write_u64(half);
            }
        } else {
            // Both IPv4 addresses fit into one word of 64 bits.
            state.write_u64(low[1] << 32 | high[1]);
        }
        state.write_u64(ports);
    }
}

impl FlowKey {
    /// Returns the key of a segment's connection, and the index of the end that is its sender.
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

    /// Returns the bits of an end's address, the upper half first.
    pub(super) fn address_bits(&self, end: usize) -> [u64; 2] {
        self.addresses[end & 1]
    }

    /// Returns the key and the sender's index, given the bits of both addresses.
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

    /// Returns the key and the sender's index for IPv4, given the bits of both addresses.
    #[inline(always)]
    fn between_v4(from: (u64, u16), to: (u64, u16)) -> (Self, usize) {
        // An address and its port fit into 48 bits, so one comparison replaces that of two tuples.
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

    /// Returns the address and the port of an end.
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

    /// Returns true if the addresses are of IPv6.
    pub(super) fn is_ipv6(&self) -> bool {
        self.is_ipv6
    }

    /// Returns the address of an end, if it is one of IPv4.
    #[inline]
    fn ipv4(&self, end: usize) -> Option<u32> {
        if self.is_ipv6 {
            return None;
        }
        u32::try_from(self.addresses[end][1]).ok()
    }

    /// Returns the port of an end.
    #[must_use]
    pub(crate) fn port(&self, end: usize) -> u16 {
        self.ports[end]
    }

    /// Returns the index of the shard that the connection belongs to. It is the same in every run, because the order of
    /// the output depends on it.
    #[must_use]
    #[inline]
    pub(crate) fn shard(&self) -> usize {
        let [low, high] = self.addresses;
        let ports = u64::from(self.ports[0]) << 16 | u64::from(self.ports[1]);
        // Different rotations keep equal bits of both addresses from cancelling each other.
        let all =
            low[0] ^ low[1].rotate_left(7) ^ high[0].rotate_left(14) ^ high[1].rotate_left(21);
        let mixed = spread(all ^ ports.rotate_left(32));
        usize::from(mixed.to_be_bytes()[0]) % SHARDS
    }

    /// Returns true if both ends are the same socket.
    #[must_use]
    pub(crate) fn is_self_connection(&self) -> bool {
        self.is_one_host() && self.ports[0] == self.ports[1]
    }

    /// Returns true if both ends have the same address.
    pub(super) fn is_one_host(&self) -> bool {
        self.addresses[0] == self.addresses[1]
    }
}

/// TCP segment, as decoded from one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentRecord {
    /// Ends of the connection.
    pub ends: FlowKey,
    /// Hash of `ends` by the hasher of [`FrameSelection`].
    pub hash: u32,
    /// Index of the sender in `ends`.
    pub sender: usize,
    /// Number of the [translation](super::nat) that the addresses of the frame belong to; 0 if `ends` are those addresses.
    pub translation: u8,
    /// TCP header. The frame number counts from 0 within the batch.
    pub header: Header,
    /// Index of the interface in the file that captured the frame.
    pub interface: u32,
    /// Point at which the frame was captured.
    pub point: CapturePoint,
    /// What the other capture points mean for the frame, in a joined capture.
    pub compared: Compared,
    /// Features of the IP header.
    pub ip: IpFeatures,
    /// Properties that the frame lacks, because it was made from text.
    pub absent: Absent,
    /// IP IDs of the sender's host before this segment, if it is an RST; [`Batch::identify_hosts`] sets them.
    pub host: HostIds,
    /// Length of the IP packet in bytes, according to its header.
    pub ip_len: u32,
    /// Offset of the IP packet in the bytes of the batch, and its captured length.
    pub packet: (u32, u32),
}

impl SegmentRecord {
    /// Returns the captured part of the IP packet, given the bytes of the batch.
    #[must_use]
    pub(super) fn packet<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let (start, length) = (self.packet.0 as usize, self.packet.1 as usize);
        bytes.get(start..start + length).unwrap_or_default()
    }
}

/// Options of the frame decoder.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameSelection {
    /// True if the innermost packet of a tunnel is analyzed instead of the outer one.
    pub inside_tunnels: bool,
    /// Filter of the frames to analyze. `None` accepts all frames.
    pub filter: Option<FrameFilter>,
    /// True if the capture was [made from text](crate::file::Text): the interface of a frame shows what it lacks.
    pub is_text: bool,
    /// Frames of a capture that was joined from several points.
    pub joined: Option<Arc<FrameMap>>,
    /// Hasher of connection keys. It is randomly seeded, so that no capture can be crafted whose connections all
    /// collide.
    pub hasher: DefaultHashBuilder,
}

/// Frame decoder of one thread.
pub(super) struct FrameDecoder<'w> {
    wanted: &'w FrameSelection,
    /// Compiled filters by link type, for the types met so far.
    filters: BTreeMap<u16, Option<CompiledFilter>>,
}

impl<'w> FrameDecoder<'w> {
    /// Creates a decoder with these options.
    #[must_use]
    pub(super) fn new(wanted: &'w FrameSelection) -> Self {
        Self {
            wanted,
            filters: BTreeMap::new(),
        }
    }

    /// Marks the segments of a batch of a joined capture, given the number of frames before the batch.
    pub(super) fn mark_compared(&self, batch: &mut Batch, before: u32) {
        let Some(frames) = &self.wanted.joined else {
            return;
        };
        frames.with_compared(|compared| {
            for segment in batch.segments.iter_mut().flatten() {
                let frame = before
                    .saturating_add(segment.header.frame)
                    .saturating_add(1);
                segment.compared = compared(frame);
            }
        });
    }

    /// Returns true if the filter accepts the frame.
    fn accepts(&mut self, filter: &FrameFilter, kind: u16, frame: &[u8]) -> bool {
        let compiled = (self.filters.entry(kind)).or_insert_with(|| filter.compiled(kind));
        compiled.as_ref().is_some_and(|accepts| accepts(frame))
    }

    #[allow(clippy::cast_possible_truncation)] // the index needs only 32 bits
    #[inline(always)]
    fn hash(&self, ends: &FlowKey) -> u32 {
        self.wanted.hasher.hash_one(ends) as u32
    }

    /// Decodes a frame of `bytes` and adds its segment and counts to the batch.
    #[inline]
    pub(super) fn decode(
        &mut self,
        batch: &mut Batch,
        reader: &Reader<'_>,
        frame: &Frame<'_>,
        bytes: &[u8],
    ) {
        let kind = reader.link(frame.interface).unwrap_or(u16::MAX);
        if self.wanted.is_text {
            self.decode_text(batch, kind, frame, bytes);
        } else {
            self.decode_as(batch, kind, frame, bytes, Absent::default());
        }
    }

    /// Decodes a frame of this link type that lacks some properties.
    #[inline(always)]
    fn decode_as(
        &mut self,
        batch: &mut Batch,
        kind: u16,
        frame: &Frame<'_>,
        bytes: &[u8],
        absent: Absent,
    ) {
        let number = batch.frames;
        batch.frames = batch.frames.saturating_add(1);
        batch.odd_times += u32::from(frame.at.0 < 0);
        // Before the filter: times on the command line count from the first frame of the file.
        if batch.began.is_none() && frame.at.0 >= 0 {
            batch.began = Some(frame.at);
        }
        if let Some(filter) = &self.wanted.filter
            && !self.accepts(filter, kind, frame.captured)
        {
            batch.filtered += 1;
            return;
        }
        let Some(link) = Link::from_number(kind.into()) else {
            *batch.unsupported_link_types.entry(kind).or_default() += 1;
            return;
        };
        // A text without interfaces is of one point.
        let is_plain = link == Link::Ethernet || self.wanted.is_text && link == Link::Raw;
        if frame.interface != 0 || !is_plain {
            batch.points_from.get_or_insert(number);
        }
        // The fast path reads only the outer packet.
        if link == Link::Ethernet
            && !self.wanted.inside_tunnels
            && self.fast_path(batch, number, frame, bytes)
        {
            return;
        }
        let Some(mut packet) = link::packet(link, frame.captured) else {
            if let Some(what) = link::unread(link, frame.captured) {
                *batch.unread.frames.entry(what).or_default() += 1;
            }
            return;
        };
        packet = if self.wanted.inside_tunnels {
            tunnel::innermost(packet)
        } else {
            tunnel::mirrored(packet)
        };
        let ip = Ip::of(packet);
        if is_fragment_of_tcp(packet, ip.as_ref()) {
            batch.fragments.push(FragmentRecord {
                frame: number,
                at: frame.at,
                interface: frame.interface,
                location: location_of(packet, bytes),
            });
            return;
        }
        let Some(ip) = ip else {
            return;
        };
        // An IP header without a length (segmentation offload, jumbograms) means that the packet fills the frame.
        let captured = u32::try_from(frame.captured.len()).unwrap_or(u32::MAX);
        let ip = ip.or_to_the_end(frame.wire_len.saturating_sub(captured));
        if ip.protocol == TCP {
            let location = location_of(packet, bytes);
            let Some(seen) = self.record(&ip, packet, number, frame.at) else {
                batch.cut += 1;
                return;
            };
            let seen = SegmentRecord {
                interface: frame.interface,
                point: CapturePoint::of(link, frame),
                packet: location,
                absent,
                ip: if absent.has(Absent::IP_HEADER) {
                    IpFeatures::UNKNOWN
                } else {
                    seen.ip
                },
                ..seen
            };
            batch.push(seen);
            batch.push_comments(&seen, frame);
            if let Some(process) = link::process(link, frame.captured) {
                batch.push_process(&seen, process);
            }
        } else {
            let has_header = !absent.has(Absent::IP_HEADER);
            if has_header && ip.part != Part::Later && ip.source.is_ipv4() {
                batch.push_other(packet, frame);
            }
            if let Some(about) = AboutSegment::of(&ip) {
                self.push_error(batch, number, frame, (&ip, packet), about);
                if absent.has(Absent::TIME) {
                    batch.number_latest_errors(number);
                }
            } else if AboutSegment::is_error(&ip) {
                batch.unread.other_errors += 1;
            } else if !self.wanted.inside_tunnels
                && let Some(inner) = tunnel::inner(packet)
            {
                *batch.unread.tunnels.entry(inner.kind).or_default() += 1;
            }
        }
    }

    /// Decodes the segment of an IP packet, without interface and place. `None` if its header is truncated or malformed.
    fn record(
        &self,
        ip: &Ip<'_>,
        packet: &[u8],
        frame: u32,
        at: Timestamp,
    ) -> Option<SegmentRecord> {
        let (ports, header) = tcp(ip.payload, ip.payload_len?, frame, at)?;
        let (ends, sender) = FlowKey::of((ip.source, ports[0]), (ip.destination, ports[1]));
        // The payload is a slice of the packet, so the difference of the addresses is the length of the IP headers.
        let before = ip.payload.as_ptr().addr() - packet.as_ptr().addr();
        Some(SegmentRecord {
            ends,
            hash: self.hash(&ends),
            sender,
            translation: 0,
            header,
            interface: 0,
            point: CapturePoint::default(),
            compared: Compared::Single,
            ip: IpFeatures::of(packet)?,
            absent: Absent::default(),
            host: HostIds::default(),
            ip_len: u32::try_from(before).unwrap_or(0) + ip.payload_len.unwrap_or(0),
            packet: (0, 0),
        })
    }

    /// Adds the segment in a packet that was put together when this fragment came, given the offset of the packet in the
    /// bytes of the batch.
    pub(super) fn add_reassembled(
        &self,
        batch: &mut Batch,
        last: &FragmentRecord,
        packet: &[u8],
        start: usize,
    ) {
        let Some(ip) = Ip::of(packet).filter(|ip| ip.protocol == TCP) else {
            return;
        };
        let small = |number: usize| u32::try_from(number).unwrap_or(0);
        match self.record(&ip, packet, last.frame, last.at) {
            Some(seen) => batch.insert(SegmentRecord {
                interface: last.interface,
                point: CapturePoint::of_interface(last.interface),
                packet: (small(start), small(packet.len())),
                ..seen
            }),
            None => batch.cut += 1,
        }
    }

    /// Adds an ICMP error about a TCP segment.
    #[cold]
    fn push_error(
        &self,
        batch: &mut Batch,
        number: u32,
        frame: &Frame<'_>,
        (ip, packet): (&Ip<'_>, &[u8]),
        about: AboutSegment,
    ) {
        let socket = |socket: SocketAddr| (socket.ip(), socket.port());
        let (from, to) = (about.quoted.source, about.quoted.destination);
        let (ends, to) = FlowKey::of(socket(from), socket(to));
        batch.errors[ends.shard()].push(ErrorRecord {
            ends,
            hash: self.hash(&ends),
            to,
            frame: number,
            at: frame.at,
            source: ip.source,
            ip_id: Ipv4Header::split(packet)
                .filter(|_| ip.source.is_ipv4())
                .map(|(header, _)| header.id()),
            about,
        });
    }
}

/// Returns the shard and the index of a segment in a batch.
fn small_index(shard: usize, index: usize) -> (u8, u32) {
    let shard = u8::try_from(shard).unwrap_or(u8::MAX);
    (shard, u32::try_from(index).unwrap_or(u32::MAX))
}

/// Length of an Ethernet header without tags, in bytes.
const ETHERNET_HEADER: usize = 14;

impl FrameDecoder<'_> {
    /// Decodes the layout of nearly all frames: TCP in an unfragmented IPv4 packet without options, or in an IPv6
    /// packet without extension headers, on Ethernet without tags. Returns false, and changes nothing, for any other
    /// frame.
    #[inline(always)]
    fn fast_path(&self, batch: &mut Batch, number: u32, frame: &Frame<'_>, bytes: &[u8]) -> bool {
        let captured = frame.captured;
        let Some((ethernet, packet)) = captured.split_first_chunk::<ETHERNET_HEADER>() else {
            return false;
        };
        match [ethernet[12], ethernet[13]] {
            [0x08, 0x00] => self.fast_path_v4(batch, number, frame, (packet, bytes)),
            [0x86, 0xdd] => self.fast_path_v6(batch, number, frame, (packet, bytes)),
            _ => false,
        }
    }

    #[inline(always)]
    fn fast_path_v4(
        &self,
        batch: &mut Batch,
        number: u32,
        frame: &Frame<'_>,
        (packet, bytes): (&[u8], &[u8]),
    ) -> bool {
        let Some((ip, rest)) = Ipv4Header::split(packet) else {
            return false;
        };
        // 40 bytes hold both headers.
        let total = ip.total_len();
        if !ip.is_plain() || ip.protocol() != TCP || total < 40 {
            return false;
        }
        let Some((ports, header)) = tcp(rest, u32::from(total) - 20, number, frame.at) else {
            return false;
        };
        let bits = |address: Ipv4Addr| u64::from(address.to_bits());
        let from = (bits(ip.source()), ports[0]);
        let to = (bits(ip.destination()), ports[1]);
        let (ends, sender) = FlowKey::between_v4(from, to);
        let seen = SegmentRecord {
            hash: self.hash(&ends),
            ends,
            sender,
            translation: 0,
            header,
            interface: frame.interface,
            point: CapturePoint::of_interface(frame.interface),
            compared: Compared::Single,
            ip: IpFeatures::v4(ip),
            absent: Absent::default(),
            host: HostIds::default(),
            ip_len: total.into(),
            packet: location_of(packet, bytes),
        };
        batch.push(seen);
        if !frame.comments.is_empty() {
            batch.push_comments(&seen, frame);
        }
        true
    }

    fn fast_path_v6(
        &self,
        batch: &mut Batch,
        number: u32,
        frame: &Frame<'_>,
        (packet, bytes): (&[u8], &[u8]),
    ) -> bool {
        let Some((ip, rest)) = Ipv6Header::split(packet) else {
            return false;
        };
        let length = ip.payload_len();
        // A next header other than TCP, such as an extension header, takes the slow path; 20 bytes hold the TCP header.
        if ip.version() != 6 || ip.next_header() != TCP || length < 20 {
            return false;
        }
        let Some((ports, header)) = tcp(rest, length.into(), number, frame.at) else {
            return false;
        };
        let from = (halves(ip.source().to_bits()), ports[0]);
        let to = (halves(ip.destination().to_bits()), ports[1]);
        let (ends, sender) = FlowKey::between(from, to, true);
        let seen = SegmentRecord {
            hash: self.hash(&ends),
            ends,
            sender,
            translation: 0,
            header,
            interface: frame.interface,
            point: CapturePoint::of_interface(frame.interface),
            compared: Compared::Single,
            ip: IpFeatures::v6(ip),
            absent: Absent::default(),
            host: HostIds::default(),
            ip_len: 40 + u32::from(length),
            packet: location_of(packet, bytes),
        };
        batch.push(seen);
        if !frame.comments.is_empty() {
            batch.push_comments(&seen, frame);
        }
        true
    }
}

/// Returns true if the packet is a fragment that may be part of a TCP segment. The headers of a first fragment can be cut
/// by the fragmentation itself, and are then not parsed.
fn is_fragment_of_tcp(packet: &[u8], ip: Option<&Ip<'_>>) -> bool {
    let is_other = ip.is_some_and(|ip| match ip.part {
        Part::Whole => true,
        Part::First => ip.protocol != TCP,
        Part::Later => false,
    });
    !is_other && Fragment::of(packet).is_some_and(|fragment| fragment.may_hold_tcp())
}

/// Returns the offset of a packet in the bytes that contain it, and the length of the packet.
#[inline(always)]
fn location_of(packet: &[u8], bytes: &[u8]) -> (u32, u32) {
    let start = packet.as_ptr().addr() - bytes.as_ptr().addr();
    let small = |number: usize| u32::try_from(number).unwrap_or(0);
    (small(start), small(packet.len()))
}

/// Decodes the ports and the header of a TCP segment of `len` bytes, given its captured part. Returns `None` if the
/// header is truncated or malformed.
#[inline(always)]
fn tcp(captured: &[u8], len: u32, frame: u32, at: Timestamp) -> Option<([u16; 2], Header)> {
    let tcp = TcpHeader::new(captured)?;
    let header = tcp.header(frame, at, len)?;
    Some(([tcp.source_port(), tcp.destination_port()], header))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    /// Traffic of a client and of a scanner: each connection uses the next port or the next address.
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
                let mut counts = [0; SHARDS];
                for nth in 0..COUNT {
                    let (from, to) = ends(nth);
                    let (there, sender) = FlowKey::of(from, to);
                    let (back, receiver) = FlowKey::of(to, from);
                    assert_eq!((there, sender), (back, 1 - receiver));
                    counts[there.shard()] += 1;
                }
                let fair = usize::from(COUNT) / SHARDS;
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
            let (ends, sender) = FlowKey::of(pair(one), pair(other));
            assert_eq!((ends.socket(sender), ends.socket(1 - sender)), (one, other));
        }
    }
}
