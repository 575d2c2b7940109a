//! Decoding of captured frames into TCP segments and ICMP errors.
//!
//! Raw bytes and meaning are two types, and [`decode`] is the way from one to the other. Headers of IP and TCP are read
//! through the views of `wire`, here and everywhere else. Only this module uses etherparse: for UDP and ICMP, and in
//! [`build`] for the reverse direction. Decoding never fails: a frame that is neither TCP nor an ICMP error about TCP
//! is [`Packet::Other`]. Frames are cut at the snapshot length, so lengths come from the IP header, not from the
//! captured bytes.
//!
//! [`link`] finds the IP packet in a frame, and [`ip`] finds the payload of the packet; [`tunnel`] looks for packets
//! inside packets, on request.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use etherparse::{Icmpv4Slice, Icmpv6Slice, IpNumber, UdpSlice, ip_number};

use self::ip::{Ip, Part};
pub use self::link::Link;
use self::wire::TcpHeader;
use crate::time::Timestamp;
use crate::transcript::Role;

/// TCP sequence number; compared and subtracted modulo 2^32 (RFC 9293, 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Returns `self` advanced by `len` sequence numbers.
    #[must_use]
    pub fn plus(self, len: u32) -> Self {
        Self(self.0.wrapping_add(len))
    }

    /// Returns the distance from `base` to `self`, modulo 2^32: the relative number that Wireshark shows.
    #[must_use]
    pub fn relative_to(self, base: Self) -> u32 {
        self.0.wrapping_sub(base.0)
    }

    /// Returns true if `self` comes before `other`, by the sign of the difference as in `before()` of the Linux
    /// kernel.
    #[must_use]
    pub fn is_before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) > u32::MAX / 2
    }

    /// Returns true if `self` comes after `other`.
    #[must_use]
    pub fn is_after(self, other: Self) -> bool {
        other.is_before(self)
    }
}

/// Control bits of a TCP header, shown by tcpdump's letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// FIN: no more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// SYN: synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// RST: reset the connection.
    pub const RST: Self = Self(0x04);
    /// PSH: push.
    pub const PSH: Self = Self(0x08);
    /// ACK: the acknowledgment number is valid.
    pub const ACK: Self = Self(0x10);

    /// Returns true if all bits of `bits` are set.
    #[must_use]
    pub fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Returns the union of both sets of bits.
    #[must_use]
    pub const fn and(self, bits: Self) -> Self {
        Self(self.0 | bits.0)
    }
}

impl fmt::Display for Flags {
    /// Writes tcpdump's letters: `S`, `S.`, `P.`, `F.`, `R`, `R.`, `.`; `none` if no bit is set.
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
    /// Creates the list from these blocks; blocks after the fourth are ignored.
    #[must_use]
    pub fn new(blocks: &[(SeqNum, SeqNum)]) -> Self {
        let mut this = Self::default();
        for (slot, block) in this.0.iter_mut().zip(blocks) {
            *slot = Some(*block);
        }
        this
    }

    /// Returns the right edge of the block that reaches furthest.
    #[must_use]
    pub fn right_edge(self) -> Option<SeqNum> {
        self.0
            .into_iter()
            .flatten()
            .map(|(_, right)| right)
            .reduce(|a, b| if b.is_after(a) { b } else { a })
    }
}

/// Name of the client's interface in a trial between hosts.
pub const CLIENT: &str = "client";
/// Name of the server's interface in a trial between hosts.
pub const SERVER: &str = "server";

/// Point at which a frame was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tap {
    /// Loopback interface: both ends at once, because a segment that leaves has arrived.
    #[default]
    Both,
    /// The client's end only.
    Client,
    /// The server's end only.
    Server,
}

impl Tap {
    /// Returns the name of the interface, unless it is that of both ends.
    #[must_use]
    pub fn interface(self) -> Option<&'static str> {
        match self {
            Self::Both => None,
            Self::Client => Some(CLIENT),
            Self::Server => Some(SERVER),
        }
    }

    /// Returns true if segments that leave or reach this end are captured here.
    #[must_use]
    pub(crate) fn is_at(self, role: Role) -> bool {
        match self {
            Self::Both => true,
            Self::Client => role == Role::Client,
            Self::Server => role == Role::Server,
        }
    }
}

/// Value of the timestamps option (RFC 7323, 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpTimestamps {
    /// `TSval`: the sender's clock.
    pub value: u32,
    /// `TSecr`: the latest value received from the other end.
    pub echo: u32,
}

/// Options of a segment that decide what an RST does to its connection, apart from timestamps and selective
/// acknowledgments. One byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options(u8);

impl Options {
    /// Bits 0 to 3: shift count of the window scale option plus one; 0 without the option.
    const SCALE: u8 = 0x0f;
    const SIGNED: u8 = 1 << 4;
    const MULTIPATH: u8 = 1 << 5;
    const FAST_CLOSE: u8 = 1 << 6;

    /// Largest shift count (RFC 7323, 2.3). A larger one counts as this one.
    pub const MAX_WINDOW_SCALE: u8 = 14;

    /// Returns the options with the window scale option (RFC 7323, 2.2).
    #[must_use]
    pub fn with_window_scale(self, shift: u8) -> Self {
        Self(self.0 & !Self::SCALE | (shift.min(Self::MAX_WINDOW_SCALE) + 1))
    }

    /// Returns the options with a signature: TCP MD5 (option 19, RFC 2385) or TCP-AO (option 29, RFC 5925).
    #[must_use]
    pub fn with_signature(self) -> Self {
        Self(self.0 | Self::SIGNED)
    }

    /// Returns the options with an option of Multipath TCP (option 30, RFC 8684).
    #[must_use]
    pub fn with_multipath(self) -> Self {
        Self(self.0 | Self::MULTIPATH)
    }

    /// Returns the options with `MP_FASTCLOSE` (RFC 8684, 3.5).
    #[must_use]
    pub fn with_fast_close(self) -> Self {
        Self(self.0 | Self::MULTIPATH | Self::FAST_CLOSE)
    }

    /// Returns the shift count of the window scale option.
    #[must_use]
    pub fn window_scale(self) -> Option<u8> {
        (self.0 & Self::SCALE).checked_sub(1)
    }

    /// Returns true with a signature.
    #[must_use]
    pub fn is_signed(self) -> bool {
        self.0 & Self::SIGNED != 0
    }

    /// Returns true with an option of Multipath TCP.
    #[must_use]
    pub fn has_multipath(self) -> bool {
        self.0 & Self::MULTIPATH != 0
    }

    /// Returns true with `MP_FASTCLOSE`, which aborts the whole connection and not only one subflow.
    #[must_use]
    pub fn has_fast_close(self) -> bool {
        self.0 & Self::FAST_CLOSE != 0
    }
}

/// TCP segment, decoded from its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the frame in its capture, from 1.
    pub frame: u32,
    /// Time at which the kernel stamped the frame.
    pub at: Timestamp,
    /// Point at which the frame was captured.
    pub tap: Tap,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Control bits.
    pub flags: Flags,
    /// Sequence number field.
    pub seq: SeqNum,
    /// Acknowledgment number field, even if ACK is not set.
    pub ack: SeqNum,
    /// Window field, not scaled.
    pub window: u16,
    /// Number of bytes of payload according to the IP header, captured or not.
    pub payload_len: u32,
    /// Timestamps option, if present (RFC 7323).
    pub timestamps: Option<TcpTimestamps>,
    /// Selective acknowledgments.
    pub sack: SackBlocks,
    /// Other options that concern an RST.
    pub options: Options,
}

/// Header fields of a segment that concern its connection, without the addresses and the point of capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Number of the frame in its capture, from 1.
    pub frame: u32,
    /// Time at which the frame was stamped.
    pub at: Timestamp,
    /// Control bits.
    pub flags: Flags,
    /// Window field, not scaled.
    pub window: u16,
    /// Sequence number field.
    pub seq: SeqNum,
    /// Acknowledgment number field, even if ACK is not set.
    pub ack: SeqNum,
    /// Number of bytes of payload according to the IP header, captured or not.
    pub payload_len: u32,
    /// Timestamps option, if present (RFC 7323).
    pub timestamps: Option<TcpTimestamps>,
    /// Right edge of the selective acknowledgment that reaches furthest (RFC 2018).
    pub sack_edge: Option<SeqNum>,
    /// Other options that concern an RST.
    pub options: Options,
}

impl Header {
    /// Returns the number of sequence numbers that the segment occupies: payload, SYN and FIN.
    #[must_use]
    pub(crate) fn seq_len(&self) -> u32 {
        self.payload_len
            .wrapping_add(u32::from(self.flags.has(Flags::SYN)))
            .wrapping_add(u32::from(self.flags.has(Flags::FIN)))
    }

    /// Returns the sequence number after the last one that the segment occupies.
    #[must_use]
    pub(crate) fn seq_end(&self) -> SeqNum {
        self.seq.plus(self.seq_len())
    }
}

impl Segment {
    /// Returns the header fields that concern the connection.
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
            options: self.options,
        }
    }

    /// Returns the number of sequence numbers that the segment occupies: payload, SYN and FIN.
    #[must_use]
    pub fn seq_len(&self) -> u32 {
        self.header().seq_len()
    }

    /// Returns the sequence number after the last one that the segment occupies.
    #[must_use]
    pub fn seq_end(&self) -> SeqNum {
        self.seq.plus(self.seq_len())
    }
}

/// ICMP error that quotes a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Number of the frame in its capture, from 1.
    pub frame: u32,
    /// Time at which the kernel stamped the frame.
    pub at: Timestamp,
    /// Point at which the frame was captured.
    pub tap: Tap,
    /// Address that sent the ICMP message.
    pub source: IpAddr,
    /// Type of the ICMP message.
    pub kind: u8,
    /// Code of the ICMP message.
    pub code: u8,
    /// Source of the quoted segment.
    pub quoted_source: SocketAddr,
    /// Destination of the quoted segment.
    pub quoted_destination: SocketAddr,
    /// Sequence number of the quoted segment, which is within the eight bytes that must be quoted (RFC 792).
    pub quoted_seq: Option<SeqNum>,
}

/// Decoded content of a captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// TCP segment.
    Tcp(Segment),
    /// ICMP error about a TCP segment.
    Icmp(IcmpError),
    /// UDP datagram, with the beginning of its payload if that is long enough. Fences are UDP datagrams.
    Udp {
        /// Time at which the frame was stamped.
        at: Timestamp,
        /// Source address and port.
        source: SocketAddr,
        /// First eight bytes of payload, big-endian.
        mark: Option<u64>,
        /// The 32 bytes of payload after the mark.
        commitment: Option<[u8; 32]>,
    },
    /// Any other frame, or one that cannot be decoded.
    Other,
}

impl Packet {
    /// Sets the number of the frame.
    pub fn set_frame(&mut self, number: u32) {
        match self {
            Self::Tcp(segment) => segment.frame = number,
            Self::Icmp(error) => error.frame = number,
            Self::Udp { .. } | Self::Other => {}
        }
    }

    /// Returns the packet with another point of capture.
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
/// Of a fragmented packet the first fragment is decoded, with the payload that it holds itself, if the whole TCP
/// header is in it. Later fragments are [`Packet::Other`]; [`Ip::part`] of the frame's [`link::packet`] distinguishes
/// them from other frames.
#[must_use]
pub fn decode(link: Link, frame: u32, at: Timestamp, bytes: &[u8]) -> Packet {
    link::packet(link, bytes).map_or(Packet::Other, |packet| decode_ip(frame, at, packet))
}

/// Decodes one captured frame, or the innermost packet if packets are carried inside packets.
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

/// Decodes the payload of an IP packet.
#[must_use]
pub fn decode_payload(frame: u32, at: Timestamp, ip: &Ip<'_>) -> Packet {
    // A later fragment has no transport header, and its data must not be read as one.
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
    let tcp = TcpHeader::new(ip.payload)?;
    // A stated length that is shorter than the header would make the payload negative: such a segment is malformed.
    let payload_len = tcp.payload_len(ip.payload_len?)?;
    let (timestamps, sack, options) = tcp.options()?.decode();
    Some(Segment {
        frame,
        at,
        tap: Tap::Both,
        source: SocketAddr::new(ip.source, tcp.source_port()),
        destination: SocketAddr::new(ip.destination, tcp.destination_port()),
        flags: tcp.flags(),
        seq: tcp.seq(),
        ack: tcp.ack(),
        window: tcp.window(),
        payload_len,
        timestamps,
        sack,
        options,
    })
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

/// Returns type and code of an ICMP error, and the quoted packet.
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

/// Returns the ends and the sequence number of the TCP segment that an ICMP error quotes. Only eight bytes of its TCP
/// header are certain to be there (RFC 792), too few for a TCP parser.
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
pub mod fragment;
pub mod icmp;
pub mod ip;
pub mod link;
#[cfg(test)]
mod tests;
pub mod tunnel;
pub(crate) mod wire;
