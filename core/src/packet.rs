//! From raw bytes to one decoded segment, with one function between them.
//!
//! Raw bytes and meaning are two types: [`decode`] is the only way from one to the other, and the only place that
//! names etherparse, with [`build`] for the way back. It never fails: what is not TCP or an ICMP error about TCP is
//! [`Packet::Other`]. Frames are cut at the snapshot length, so lengths come from the IP header, not from what was captured.
//!
//! The way goes through [`link`], which finds the IP packet, and [`ip`], which finds what it carries; [`tunnel`] looks for
//! packets inside packets, if asked to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use etherparse::{Icmpv4Slice, Icmpv6Slice, IpNumber, TcpSlice, UdpSlice, ip_number};

use self::ip::{Ip, Part};
pub use self::link::Link;
use crate::time::Timestamp;
use crate::transcript::Role;

/// A TCP sequence number; compared and subtracted modulo 2^32 (RFC 9293, 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// `self` advanced by `len` sequence numbers.
    #[must_use]
    pub fn plus(self, len: u32) -> Self {
        Self(self.0.wrapping_add(len))
    }

    /// How far `self` lies behind `base`, modulo 2^32: the relative number that Wireshark shows.
    #[must_use]
    pub fn relative_to(self, base: Self) -> u32 {
        self.0.wrapping_sub(base.0)
    }

    /// Whether `self` comes before `other`, as `before()` in the Linux kernel decides: by the sign of the
    /// difference.
    #[must_use]
    pub fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) > u32::MAX / 2
    }

    /// Whether `self` comes after `other`.
    #[must_use]
    pub fn is_after(self, other: Self) -> bool {
        other.is_before(self)
    }
}

/// The control bits of a TCP header, shown by tcpdump's letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number is valid.
    pub const ACK: Self = Self(0x10);

    /// Whether all bits of `bits` are set.
    #[must_use]
    pub fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn and(self, bits: Self) -> Self {
        Self(self.0 | bits.0)
    }
}

impl fmt::Display for Flags {
    /// tcpdump's letters: `S`, `S.`, `P.`, `F.`, `R`, `R.`, `.`; `none` if no bit is set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(u8, &str); 8] = [
            (0x01, "F"),
            (0x02, "S"),
            (0x04, "R"),
            (0x08, "P"),
            (0x10, "."),
            (0x20, "U"),
            (0x40, "E"),
            (0x80, "W"),
        ];
        if self.0 == 0 {
            return f.pad("none");
        }
        let mut text = String::with_capacity(8);
        for (bit, letter) in LETTERS {
            if self.0 & bit != 0 {
                text.push_str(letter);
            }
        }
        f.pad(&text)
    }
}

/// Sequence ranges that the sender of a segment has received out of order (RFC 2018), at most four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks([Option<(SeqNum, SeqNum)>; 4]);

impl SackBlocks {
    /// These blocks; more than four are cut off.
    #[must_use]
    pub fn new(blocks: &[(SeqNum, SeqNum)]) -> Self {
        let mut this = Self::default();
        for (slot, block) in this.0.iter_mut().zip(blocks) {
            *slot = Some(*block);
        }
        this
    }

    /// The right edge of the block that reaches furthest.
    #[must_use]
    pub fn right_edge(self) -> Option<SeqNum> {
        self.0
            .into_iter()
            .flatten()
            .map(|(_, right)| right)
            .reduce(|a, b| if b.is_after(a) { b } else { a })
    }
}

/// Name of the interface at the client in a trial between hosts.
pub const CLIENT: &str = "client";
/// Name of the interface at the server in a trial between hosts.
pub const SERVER: &str = "server";

/// Where a frame was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tap {
    /// At both ends at once: on a loopback interface, where what leaves has arrived.
    #[default]
    Both,
    /// At the client's end only.
    Client,
    /// At the server's end only.
    Server,
}

impl Tap {
    /// The interface's name, if it is not that of both ends.
    #[must_use]
    pub fn interface(self) -> Option<&'static str> {
        match self {
            Self::Both => None,
            Self::Client => Some(CLIENT),
            Self::Server => Some(SERVER),
        }
    }

    /// Whether it shows what leaves and reaches this end.
    #[must_use]
    pub fn is_at(self, role: Role) -> bool {
        match self {
            Self::Both => true,
            Self::Client => role == Role::Client,
            Self::Server => role == Role::Server,
        }
    }
}

/// The timestamps option (RFC 7323, 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpTimestamps {
    /// `TSval`: the sender's clock.
    pub value: u32,
    /// `TSecr`: the latest value of the other end.
    pub echo: u32,
}

/// One TCP segment, as its header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the frame in its capture, from 1.
    pub frame: u32,
    /// When the kernel stamped the frame.
    pub at: Timestamp,
    /// Where it was captured.
    pub tap: Tap,
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// Control bits.
    pub flags: Flags,
    /// Sequence number field.
    pub seq: SeqNum,
    /// Acknowledgment number field, whether or not ACK says that it is valid.
    pub ack: SeqNum,
    /// Window field, not scaled.
    pub window: u16,
    /// Bytes of payload by the IP header's reckoning, captured or not.
    pub payload_len: u32,
    /// The timestamps option, if it is there (RFC 7323).
    pub timestamps: Option<TcpTimestamps>,
    /// Selective acknowledgments.
    pub sack: SackBlocks,
}

/// What the header of a segment says of its connection: all but whose it is and where it was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Number of the frame in its capture, from 1.
    pub frame: u32,
    /// When the frame was stamped.
    pub at: Timestamp,
    /// Control bits.
    pub flags: Flags,
    /// Window field, not scaled.
    pub window: u16,
    /// Sequence number field.
    pub seq: SeqNum,
    /// Acknowledgment number field, whether or not ACK says that it is valid.
    pub ack: SeqNum,
    /// Bytes of payload by the IP header's reckoning, captured or not.
    pub payload_len: u32,
    /// The timestamps option, if it is there (RFC 7323).
    pub timestamps: Option<TcpTimestamps>,
    /// Right edge of the selective acknowledgment that reaches furthest (RFC 2018).
    pub sack_edge: Option<SeqNum>,
}

impl Header {
    /// How many sequence numbers the segment takes up: payload, SYN and FIN.
    #[must_use]
    pub fn seq_len(&self) -> u32 {
        self.payload_len
            .wrapping_add(u32::from(self.flags.has(Flags::SYN)))
            .wrapping_add(u32::from(self.flags.has(Flags::FIN)))
    }

    /// The sequence number after the last one that the segment takes up.
    #[must_use]
    pub fn seq_end(&self) -> SeqNum {
        self.seq.plus(self.seq_len())
    }
}

impl Segment {
    /// What it says of its connection.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            frame: self.frame,
            at: self.at,
            flags: self.flags,
            window: self.window,
            seq: self.seq,
            ack: self.ack,
            payload_len: self.payload_len,
            timestamps: self.timestamps,
            sack_edge: self.sack.right_edge(),
        }
    }

    /// How many sequence numbers the segment takes up: payload, SYN and FIN.
    #[must_use]
    pub fn seq_len(&self) -> u32 {
        self.header().seq_len()
    }

    /// The sequence number after the last one that the segment takes up.
    #[must_use]
    pub fn seq_end(&self) -> SeqNum {
        self.seq.plus(self.seq_len())
    }
}

/// An ICMP error that quotes a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Number of the frame in its capture, from 1.
    pub frame: u32,
    /// When the kernel stamped the frame.
    pub at: Timestamp,
    /// Where it was captured.
    pub tap: Tap,
    /// Who sent the ICMP message.
    pub source: IpAddr,
    /// Type of the ICMP message.
    pub kind: u8,
    /// Code of the ICMP message.
    pub code: u8,
    /// Sender of the quoted segment.
    pub quoted_source: SocketAddr,
    /// Receiver of the quoted segment.
    pub quoted_destination: SocketAddr,
    /// Sequence number of the quoted segment, which the eight bytes that must be quoted hold (RFC 792).
    pub quoted_seq: Option<SeqNum>,
}

/// What a captured frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A TCP segment.
    Tcp(Segment),
    /// An ICMP error about a TCP segment.
    Icmp(IcmpError),
    /// A UDP datagram: who sent it and how its payload begins, if it is as long. Fences are these.
    Udp {
        /// When its frame was stamped.
        at: Timestamp,
        /// Sender.
        source: SocketAddr,
        /// First eight bytes of payload, big-endian.
        mark: Option<u64>,
        /// The 32 bytes after them.
        commitment: Option<[u8; 32]>,
    },
    /// Anything else, and what could not be decoded.
    Other,
}

impl Packet {
    /// Gives its frame another number.
    pub fn set_frame(&mut self, number: u32) {
        match self {
            Self::Tcp(segment) => segment.frame = number,
            Self::Icmp(error) => error.frame = number,
            Self::Udp { .. } | Self::Other => {}
        }
    }

    /// The same, captured there.
    #[must_use]
    pub fn at_tap(mut self, tap: Tap) -> Self {
        match &mut self {
            Self::Tcp(segment) => segment.tap = tap,
            Self::Icmp(error) => error.tap = tap,
            Self::Udp { .. } | Self::Other => {}
        }
        self
    }
}

/// Decodes one captured frame.
///
/// Of a packet in fragments the first is decoded, with the payload that it holds itself, if the TCP header is whole in it.
/// The others are [`Packet::Other`]; that one was passed over is what [`Ip::part`] of the frame's [`link::packet`] says.
#[must_use]
pub fn decode(link: Link, frame: u32, at: Timestamp, bytes: &[u8]) -> Packet {
    link::packet(link, bytes).map_or(Packet::Other, |packet| decode_ip(frame, at, packet))
}

/// Decodes one captured frame, and of packets inside packets the innermost.
#[must_use]
pub fn decode_inside(link: Link, frame: u32, at: Timestamp, bytes: &[u8]) -> Packet {
    link::packet(link, bytes).map_or(Packet::Other, |packet| {
        decode_ip(frame, at, tunnel::innermost(packet))
    })
}

/// Decodes one captured IP packet.
#[must_use]
pub fn decode_ip(frame: u32, at: Timestamp, packet: &[u8]) -> Packet {
    Ip::of(packet).map_or(Packet::Other, |ip| decode_payload(frame, at, &ip))
}

/// Decodes what an IP packet carries.
#[must_use]
pub fn decode_payload(frame: u32, at: Timestamp, ip: &Ip<'_>) -> Packet {
    if ip.part == Part::Later {
        return Packet::Other;
    }
    let decoded = match IpNumber(ip.protocol) {
        ip_number::TCP => segment(ip, frame, at).map(Packet::Tcp),
        ip_number::UDP => UdpSlice::from_slice_lax(ip.payload)
            .ok()
            .map(|udp| datagram(&udp, at, ip.source)),
        ip_number::ICMP => icmpv4(ip.payload)
            .and_then(|(error, quoted)| icmp_error(error, quoted, frame, at, ip.source)),
        ip_number::IPV6_ICMP => icmpv6(ip.payload)
            .and_then(|(error, quoted)| icmp_error(error, quoted, frame, at, ip.source)),
        _ => None,
    };
    decoded.unwrap_or(Packet::Other)
}

fn segment(ip: &Ip<'_>, frame: u32, at: Timestamp) -> Option<Segment> {
    let tcp = TcpSlice::from_slice(ip.payload).ok()?;
    let header_len = u32::from(tcp.data_offset()) * 4;
    let payload_len = ip.payload_len?.checked_sub(header_len)?;
    let (timestamps, sack) = read(tcp.options());
    Some(Segment {
        frame,
        at,
        tap: Tap::Both,
        source: SocketAddr::new(ip.source, tcp.source_port()),
        destination: SocketAddr::new(ip.destination, tcp.destination_port()),
        flags: Flags(tcp.header_slice()[13]),
        seq: SeqNum(tcp.sequence_number()),
        ack: SeqNum(tcp.acknowledgment_number()),
        window: tcp.window_size(),
        payload_len,
        timestamps,
        sack,
    })
}

/// The timestamps in the options of a TCP header, and the right edge of the selective acknowledgment that reaches furthest.
#[must_use]
pub fn options(bytes: &[u8]) -> (Option<TcpTimestamps>, Option<SeqNum>) {
    let (timestamps, sack) = read(bytes);
    (timestamps, sack.right_edge())
}

/// As `tcp_parse_options()` of the Linux kernel does: what is not known is passed over (RFC 9293, MUST-6), and nothing is read
/// behind an option whose length cannot be.
fn read(mut options: &[u8]) -> (Option<TcpTimestamps>, SackBlocks) {
    // Kinds of RFC 9293, 3.2; RFC 2018; RFC 7323.
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const SACK: u8 = 5;
    const TIMESTAMPS: u8 = 8;
    let mut timestamps = None;
    let mut sack = SackBlocks::default();
    loop {
        let (kind, length) = match options {
            [] | [END, ..] | [_] => break,
            [NO_OPERATION, rest @ ..] => {
                options = rest;
                continue;
            }
            [kind, length, ..] => (*kind, usize::from(*length)),
        };
        let Some((option, rest)) = options.split_at_checked(length) else {
            break;
        };
        let Some(value) = option.get(2..) else { break };
        options = rest;
        let (words, odd) = value.as_chunks::<4>();
        let word = |nth: usize| words.get(nth).map_or(0, |word| u32::from_be_bytes(*word));
        match (kind, words.len()) {
            (TIMESTAMPS, 2) if odd.is_empty() => {
                timestamps = Some(TcpTimestamps {
                    value: word(0),
                    echo: word(1),
                });
            }
            (SACK, 2 | 4 | 6 | 8) if odd.is_empty() => {
                let block = |nth: usize| (SeqNum(word(2 * nth)), SeqNum(word(2 * nth + 1)));
                let count = words.len() / 2;
                sack = SackBlocks(std::array::from_fn(|nth| (nth < count).then(|| block(nth))));
            }
            _ => {}
        }
    }
    (timestamps, sack)
}

fn datagram(udp: &UdpSlice<'_>, at: Timestamp, source: IpAddr) -> Packet {
    let mark = udp.payload().split_first_chunk::<8>();
    Packet::Udp {
        at,
        source: SocketAddr::new(source, udp.source_port()),
        mark: mark.map(|(mark, _)| u64::from_be_bytes(*mark)),
        commitment: mark.and_then(|(_, rest)| rest.first_chunk().copied()),
    }
}

/// Type and code of an ICMP error, and what it quotes.
fn icmpv4(payload: &[u8]) -> Option<((u8, u8), &[u8])> {
    let icmp = Icmpv4Slice::from_slice(payload).ok()?;
    // RFC 792: destination unreachable, source quench, redirect, time exceeded, parameter problem quote a packet.
    matches!(icmp.type_u8(), 3 | 4 | 5 | 11 | 12)
        .then(|| ((icmp.type_u8(), icmp.code_u8()), icmp.payload()))
}

fn icmpv6(payload: &[u8]) -> Option<((u8, u8), &[u8])> {
    let icmp = Icmpv6Slice::from_slice(payload).ok()?;
    // RFC 4443, 2.1: types below 128 are errors, and errors quote a packet.
    (icmp.type_u8() < 128).then(|| ((icmp.type_u8(), icmp.code_u8()), icmp.payload()))
}

fn icmp_error(
    (kind, code): (u8, u8),
    quoted: &[u8],
    frame: u32,
    at: Timestamp,
    source: IpAddr,
) -> Option<Packet> {
    let (quoted_source, quoted_destination, quoted_seq) = quoted_segment(quoted)?;
    Some(Packet::Icmp(IcmpError {
        frame,
        at,
        tap: Tap::Both,
        source,
        kind,
        code,
        quoted_source,
        quoted_destination,
        quoted_seq,
    }))
}

/// The ends of the TCP segment that an ICMP error quotes, and its sequence number. As few as eight bytes of its TCP
/// header need be there (RFC 792), too few for a TCP parser.
fn quoted_segment(quoted: &[u8]) -> Option<(SocketAddr, SocketAddr, Option<SeqNum>)> {
    let ip = Ip::of(quoted)?;
    if ip.part == Part::Later || IpNumber(ip.protocol) != ip_number::TCP {
        return None;
    }
    let (ports, rest) = ip.payload.split_first_chunk::<4>()?;
    let seq = rest.first_chunk().copied().map(u32::from_be_bytes);
    Some((
        SocketAddr::new(ip.source, u16::from_be_bytes([ports[0], ports[1]])),
        SocketAddr::new(ip.destination, u16::from_be_bytes([ports[2], ports[3]])),
        seq.map(SeqNum),
    ))
}

pub mod build;
pub mod ip;
pub mod link;
#[cfg(test)]
mod tests;
pub mod tunnel;
