//! Link-layer headers: from a captured frame to its IP packet.
//!
//! Captures come from many kinds of interface, and each kind has its own header. [`network`] handles all of them:
//! [`decode`](super::decode) begins with it, and it also suits code that looks at more frames than are worth
//! decoding. It takes a few comparisons for an ordinary frame, allocates nothing and trusts no length field.
//!
//! Numbers and layouts are those of the `LINKTYPE_` registry (draft-ietf-opsawg-pcaplinktype), unless another source
//! is given.

use std::ops::Range;

/// Link type of a capture: the header that its frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// `LINKTYPE_NULL` (0): BSD loopback, with an address family in the byte order of the capturing host.
    Null,
    /// `LINKTYPE_ETHERNET` (1): loopback and Ethernet.
    Ethernet,
    /// `LINKTYPE_PPP` (9): PPP, with or without the address and control of HDLC.
    Ppp,
    /// `LINKTYPE_PPP_HDLC` (50): PPP in HDLC-like framing, or Cisco's HDLC.
    PppHdlc,
    /// `LINKTYPE_RAW` (101): IPv4 or IPv6, according to the version field.
    Raw,
    /// `LINKTYPE_LOOP` (108): OpenBSD's loopback, with an address family in network byte order.
    Loop,
    /// `LINKTYPE_LINUX_SLL` (113): the `any` device.
    LinuxCooked,
    /// `LINKTYPE_IPV4` (228): IPv4.
    Ipv4,
    /// `LINKTYPE_IPV6` (229): IPv6.
    Ipv6,
    /// `LINKTYPE_LINUX_SLL2` (276): the `any` device, with the interface of each frame.
    LinuxCooked2,
}

impl Link {
    /// All link types, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Null,
        Self::Ethernet,
        Self::Ppp,
        Self::PppHdlc,
        Self::Raw,
        Self::Loop,
        Self::LinuxCooked,
        Self::Ipv4,
        Self::Ipv6,
        Self::LinuxCooked2,
    ];

    /// Returns the link type of this number, if it can be decoded.
    ///
    /// 12 and 14 are the numbers that systems use themselves for raw IP (`DLT_RAW`; 14 on OpenBSD), and some programs
    /// write these instead of the registry's number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        if let 12 | 14 = number {
            return Some(Self::Raw);
        }
        let mut all = Self::ALL.into_iter();
        all.find(|link| i32::from(link.number()) == number)
    }

    /// Returns the link type of this number, if trials are captured with it: frames of another type are not evidence
    /// of a trial.
    #[must_use]
    pub fn of_trial(number: i32) -> Option<Self> {
        Self::from_number(number).filter(|link| matches!(link, Self::Ethernet | Self::LinuxCooked))
    }

    /// Returns the number in the registry of link types.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::Ppp => 9,
            Self::PppHdlc => 50,
            Self::Raw => 101,
            Self::Loop => 108,
            Self::LinuxCooked => 113,
            Self::Ipv4 => 228,
            Self::Ipv6 => 229,
            Self::LinuxCooked2 => 276,
        }
    }
}

/// Network protocol that carries TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// IPv4 (RFC 791).
    Ipv4,
    /// IPv6 (RFC 8200).
    Ipv6,
}

impl Protocol {
    /// Returns the protocol according to the version field of an IP packet; `None` for any other version.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Some(Self::Ipv4),
            6 => Some(Self::Ipv6),
            _ => None,
        }
    }
}

/// IP packet of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Network protocol, on which the link's header and the packet itself agree.
    pub protocol: Protocol,
    /// Range of the packet in the frame: from the first byte of the IP header to the end of the captured bytes. It
    /// includes a trailer, since only the IP header states where the packet ends.
    pub range: Range<usize>,
}

/// Maximum number of VLAN tags and similar headers that are skipped. Two are usual; frames with more than this are
/// crafted.
const MAX_TAGS: usize = 8;

/// Finds the IP packet in a captured frame.
///
/// `None` if there is none: the frame holds another protocol, is encrypted, cut before the packet, or malformed. Only
/// the version field of the packet itself is examined.
#[must_use]
pub fn network(link: Link, frame: &[u8]) -> Option<Network> {
    let (protocol, packet) = match link {
        Link::Ethernet => ethernet(frame),
        // The protocol field is the last one of this header, and the first one of version 2.
        Link::LinuxCooked => {
            let (header, rest) = frame.split_first_chunk::<16>()?;
            of_ether_type(u16::from_be_bytes([header[14], header[15]]), rest)
        }
        Link::LinuxCooked2 => {
            let (header, rest) = frame.split_first_chunk::<20>()?;
            of_ether_type(u16::from_be_bytes([header[0], header[1]]), rest)
        }
        Link::Raw => Some((Protocol::of(frame)?, frame)),
        Link::Ipv4 => ip(Protocol::Ipv4, frame),
        Link::Ipv6 => ip(Protocol::Ipv6, frame),
        Link::Null | Link::Loop => loopback(frame),
        Link::Ppp => ppp(frame),
        Link::PppHdlc => hdlc(frame),
    }?;
    // Headers are only taken off the front, so the packet is a suffix of the frame.
    let range = frame.len() - packet.len()..frame.len();
    Some(Network { protocol, range })
}

/// Returns the IP packet in a captured frame, including a trailer if there is one: the range of [`network`].
#[must_use]
pub fn packet(link: Link, frame: &[u8]) -> Option<&[u8]> {
    frame.get(network(link, frame)?.range)
}

/// IP packet with its protocol, if one was found.
type FoundPacket<'a> = Option<(Protocol, &'a [u8])>;

/// Finds the IP packet in an Ethernet frame without preamble.
pub(super) fn ethernet(frame: &[u8]) -> FoundPacket<'_> {
    let (header, rest) = frame.split_first_chunk::<14>()?;
    of_ether_type(u16::from_be_bytes([header[12], header[13]]), rest)
}

/// Finds the IP packet in a payload of this `EtherType`.
pub(super) fn of_ether_type(mut ether_type: u16, mut rest: &[u8]) -> FoundPacket<'_> {
    for _ in 0..=MAX_TAGS {
        (ether_type, rest) = match ether_type {
            0x0800 => return ip(Protocol::Ipv4, rest),
            0x86dd => return ip(Protocol::Ipv6, rest),
            0x8864 => return pppoe(rest),
            // IEEE 802.1Q, IEEE 802.1ad, and the number used for the latter before it was standardised.
            0x8100 | 0x88a8 | 0x9100 => tagged(rest)?,
            0x88e5 => macsec(rest)?,
            // IEEE 802.3: a value up to 1500 is a length; the cooked headers use 4 for the same payload.
            0..=1500 => subnetwork(rest)?,
            _ => return None,
        };
    }
    None
}

/// Skips a VLAN tag, which is two bytes. Returns the `EtherType` behind it and the payload.
fn tagged(rest: &[u8]) -> Option<(u16, &[u8])> {
    let (tag, rest) = rest.split_first_chunk::<4>()?;
    Some((u16::from_be_bytes([tag[2], tag[3]]), rest))
}

/// Skips the tag of `MACsec` (IEEE 802.1AE, 9.3), if it states that nothing was encrypted or changed. The integrity
/// check value remains behind the packet, as a trailer.
fn macsec(rest: &[u8]) -> Option<(u16, &[u8])> {
    const VERSION: u8 = 0x80;
    const HAS_CHANNEL: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;

    let (tag, rest) = rest.split_first_chunk::<6>()?;
    if tag[0] & (VERSION | ENCRYPTED | CHANGED) != 0 {
        return None;
    }
    // The secure channel identifier is optional, and has eight bytes.
    let channel = if tag[0] & HAS_CHANNEL == 0 { 0 } else { 8 };
    let (ether_type, rest) = rest.get(channel..)?.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*ether_type), rest))
}

/// Skips an LLC and SNAP header (RFC 1042).
fn subnetwork(rest: &[u8]) -> Option<(u16, &[u8])> {
    // DSAP and SSAP of SNAP, unnumbered information, and the organization code of Ethernet.
    let (ether_type, rest) = rest
        .strip_prefix(&[0xaa, 0xaa, 3, 0, 0, 0])?
        .split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*ether_type), rest))
}

/// Finds the IP packet in a `PPPoE` session (RFC 2516, 4): version and type 1, code 0, session, length; then PPP from
/// its protocol field on.
fn pppoe(rest: &[u8]) -> FoundPacket<'_> {
    let (header, rest) = rest.split_first_chunk::<6>()?;
    (header[..2] == [0x11, 0]).then(|| ppp_payload(rest))?
}

/// Finds the IP packet in a PPP frame. Address and control may have been left out (RFC 1661, 6.6).
fn ppp(frame: &[u8]) -> FoundPacket<'_> {
    ppp_payload(frame.strip_prefix(&[0xff, 3]).unwrap_or(frame))
}

/// Finds the IP packet in PPP from its protocol field on. A compressed protocol field takes one byte: only the last
/// byte of the field is odd (RFC 1661, 2 and 6.5).
fn ppp_payload(bytes: &[u8]) -> FoundPacket<'_> {
    match bytes {
        [0x21, rest @ ..] | [0, 0x21, rest @ ..] => ip(Protocol::Ipv4, rest), // RFC 1332, 2
        [0x57, rest @ ..] | [0, 0x57, rest @ ..] => ip(Protocol::Ipv6, rest), // RFC 5072, 2
        _ => None,
    }
}

/// Finds the IP packet in a frame of PPP, or of Cisco's HDLC (RFC 1547, 4.3.1): unicast or broadcast address, 0,
/// `EtherType`.
fn hdlc(frame: &[u8]) -> FoundPacket<'_> {
    match frame {
        [0x0f | 0x8f, 0, high, low, rest @ ..] => {
            of_ether_type(u16::from_be_bytes([*high, *low]), rest)
        }
        _ => ppp(frame),
    }
}

/// Finds the IP packet behind an address family of four bytes. The byte order of the host is unknown; but no family
/// needs more than a byte, so the smaller reading is right.
fn loopback(frame: &[u8]) -> FoundPacket<'_> {
    let (family, rest) = frame.split_first_chunk::<4>()?;
    match u32::from_be_bytes(*family).min(u32::from_le_bytes(*family)) {
        2 => ip(Protocol::Ipv4, rest),
        // AF_INET6 of Linux; of NetBSD, OpenBSD and Npcap; of FreeBSD; of Darwin.
        10 | 24 | 28 | 30 => ip(Protocol::Ipv6, rest),
        _ => None,
    }
}

/// Returns the packet if its version field agrees with this protocol: every receiver drops IP of another version.
fn ip(protocol: Protocol, packet: &[u8]) -> FoundPacket<'_> {
    (Protocol::of(packet)? == protocol).then_some((protocol, packet))
}
