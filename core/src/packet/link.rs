//! From a captured frame to its IP packet: the headers of the link, and nothing else.
//!
//! Captures come from anywhere, and each kind of interface begins its frames in its own way. [`network`] is the one
//! function that knows them all: [`decode`](super::decode) begins with it, and so can whatever looks at more frames than
//! are worth decoding. It is a few comparisons for an ordinary frame, allocates nothing and believes no length.
//!
//! Numbers and layouts are those of the `LINKTYPE_` registry (draft-ietf-opsawg-pcaplinktype), unless another source is
//! given.

use std::ops::Range;

/// How the frames of a capture begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// `LINKTYPE_NULL` (0): BSD loopback. An address family in the byte order of the host that captured.
    Null,
    /// `LINKTYPE_ETHERNET` (1): loopback and Ethernet.
    Ethernet,
    /// `LINKTYPE_PPP` (9): PPP, with or without the address and control of HDLC.
    Ppp,
    /// `LINKTYPE_PPP_HDLC` (50): PPP in HDLC-like framing, or Cisco's HDLC.
    PppHdlc,
    /// `LINKTYPE_RAW` (101): IPv4 or IPv6, as its version says.
    Raw,
    /// `LINKTYPE_LOOP` (108): OpenBSD's loopback. An address family in network byte order.
    Loop,
    /// `LINKTYPE_LINUX_SLL` (113): the `any` device.
    LinuxCooked,
    /// `LINKTYPE_IPV4` (228): IPv4.
    Ipv4,
    /// `LINKTYPE_IPV6` (229): IPv6.
    Ipv6,
    /// `LINKTYPE_LINUX_SLL2` (276): the `any` device, with the interface.
    LinuxCooked2,
}

impl Link {
    /// All of them, by their numbers.
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

    /// The link type of this number, if it can be decoded.
    ///
    /// 12 and 14 are what systems call raw IP themselves (`DLT_RAW`; 14 on OpenBSD), and some programs write that
    /// instead of the registry's number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        if let 12 | 14 = number {
            return Some(Self::Raw);
        }
        let mut all = Self::ALL.into_iter();
        all.find(|link| i32::from(link.number()) == number)
    }

    /// The link type of this number, if trials are captured with it: frames that begin otherwise are no evidence of one.
    #[must_use]
    pub fn of_trial(number: i32) -> Option<Self> {
        Self::from_number(number).filter(|link| matches!(link, Self::Ethernet | Self::LinuxCooked))
    }

    /// The number in the registry of link types.
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

/// A network protocol that carries TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 791.
    Ipv4,
    /// RFC 8200.
    Ipv6,
}

impl Protocol {
    /// The version that an IP packet claims, if there is one of it.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Some(Self::Ipv4),
            6 => Some(Self::Ipv6),
            _ => None,
        }
    }
}

/// Where the IP packet of a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What the link's header and the packet itself say that it is.
    pub protocol: Protocol,
    /// Its place in the frame: from the first byte of the IP header to the end of what was captured. A trailer is in it,
    /// since only the IP header tells one from the packet.
    pub range: Range<usize>,
}

/// VLAN tags and the like that are looked through. Two are usual; more than this are somebody's joke.
const MOST_TAGS: usize = 8;

/// Finds the IP packet in a captured frame.
///
/// `None` if there is none: the frame holds another protocol, is encrypted, cut before the packet, or malformed. Of the
/// packet itself only the version has been looked at.
#[must_use]
pub fn network(link: Link, frame: &[u8]) -> Option<Network> {
    let (protocol, packet) = match link {
        Link::Ethernet => ethernet(frame),
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
    // Headers are only ever taken off its front.
    let range = frame.len() - packet.len()..frame.len();
    Some(Network { protocol, range })
}

/// The IP packet in a captured frame, and a trailer if there is one: the range of [`network`].
#[must_use]
pub fn packet(link: Link, frame: &[u8]) -> Option<&[u8]> {
    frame.get(network(link, frame)?.range)
}

/// An IP packet and what it is.
type Found<'a> = Option<(Protocol, &'a [u8])>;

/// The IP packet in an Ethernet frame without preamble.
pub(super) fn ethernet(frame: &[u8]) -> Found<'_> {
    let (header, rest) = frame.split_first_chunk::<14>()?;
    of_ether_type(u16::from_be_bytes([header[12], header[13]]), rest)
}

/// The IP packet in what has this `EtherType`.
pub(super) fn of_ether_type(mut ether_type: u16, mut rest: &[u8]) -> Found<'_> {
    for _ in 0..=MOST_TAGS {
        (ether_type, rest) = match ether_type {
            0x0800 => return ip(Protocol::Ipv4, rest),
            0x86dd => return ip(Protocol::Ipv6, rest),
            0x8864 => return pppoe(rest),
            // IEEE 802.1Q, IEEE 802.1ad, and what was used for the latter before there was a number.
            0x8100 | 0x88a8 | 0x9100 => tagged(rest)?,
            0x88e5 => macsec(rest)?,
            // IEEE 802.3: up to 1500 it is a length, and 4 is how the cooked headers call the same.
            0..=1500 => subnetwork(rest)?,
            _ => return None,
        };
    }
    None
}

/// Behind a VLAN tag, which is two bytes: the `EtherType`, and what has it.
fn tagged(rest: &[u8]) -> Option<(u16, &[u8])> {
    let (tag, rest) = rest.split_first_chunk::<4>()?;
    Some((u16::from_be_bytes([tag[2], tag[3]]), rest))
}

/// Behind the tag of `MACsec` (IEEE 802.1AE, 9.3), if it says that nothing was encrypted or changed. The integrity check
/// value stays behind the packet, as a trailer.
fn macsec(rest: &[u8]) -> Option<(u16, &[u8])> {
    const VERSION: u8 = 0x80;
    const HAS_CHANNEL: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;

    let (tag, rest) = rest.split_first_chunk::<6>()?;
    if tag[0] & (VERSION | ENCRYPTED | CHANGED) != 0 {
        return None;
    }
    let channel = if tag[0] & HAS_CHANNEL == 0 { 0 } else { 8 };
    let (ether_type, rest) = rest.get(channel..)?.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*ether_type), rest))
}

/// Behind a header of LLC and SNAP (RFC 1042).
fn subnetwork(rest: &[u8]) -> Option<(u16, &[u8])> {
    let (ether_type, rest) = rest
        .strip_prefix(&[0xaa, 0xaa, 3, 0, 0, 0])?
        .split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*ether_type), rest))
}

/// A `PPPoE` session (RFC 2516, 4): version and type 1, code 0, session, length; then PPP from its protocol field on.
fn pppoe(rest: &[u8]) -> Found<'_> {
    let (header, rest) = rest.split_first_chunk::<6>()?;
    (header[..2] == [0x11, 0]).then(|| ppp_payload(rest))?
}

/// PPP. Address and control may have been left out (RFC 1661, 6.6).
fn ppp(frame: &[u8]) -> Found<'_> {
    ppp_payload(frame.strip_prefix(&[0xff, 3]).unwrap_or(frame))
}

/// PPP from its protocol field on, which takes one byte if it was compressed: only the last of it is odd (RFC 1661, 2 and
/// 6.5).
fn ppp_payload(bytes: &[u8]) -> Found<'_> {
    match bytes {
        [0x21, rest @ ..] | [0, 0x21, rest @ ..] => ip(Protocol::Ipv4, rest), // RFC 1332, 2
        [0x57, rest @ ..] | [0, 0x57, rest @ ..] => ip(Protocol::Ipv6, rest), // RFC 5072, 2
        _ => None,
    }
}

/// PPP, or Cisco's HDLC (RFC 1547, 4.3.1): address of a unicast or a broadcast, 0, `EtherType`.
fn hdlc(frame: &[u8]) -> Found<'_> {
    match frame {
        [0x0f | 0x8f, 0, high, low, rest @ ..] => {
            of_ether_type(u16::from_be_bytes([*high, *low]), rest)
        }
        _ => ppp(frame),
    }
}

/// An address family of four bytes before an IP packet. Nothing says which byte order a host has; but no family needs more
/// than a byte, so the smaller reading is right.
fn loopback(frame: &[u8]) -> Found<'_> {
    let (family, rest) = frame.split_first_chunk::<4>()?;
    match u32::from_be_bytes(*family).min(u32::from_le_bytes(*family)) {
        2 => ip(Protocol::Ipv4, rest),
        // AF_INET6 of Linux; of NetBSD and OpenBSD, and Npcap's; of FreeBSD; of Darwin.
        10 | 24 | 28 | 30 => ip(Protocol::Ipv6, rest),
        _ => None,
    }
}

/// A packet of this protocol, if it says so as well: IP of another version is dropped by every receiver.
fn ip(protocol: Protocol, packet: &[u8]) -> Found<'_> {
    (Protocol::of(packet)? == protocol).then_some((protocol, packet))
}
