//! Link-layer headers: from a captured frame to its IP packet.
//!
//! Captures come from many kinds of interface, and each kind has its own header. [`network`] handles all of them:
//! [`decode`](super::decode) begins with it, and it also suits code that looks at more frames than are worth
//! decoding. It takes a few comparisons for an ordinary frame, allocates nothing and trusts no length field.
//!
//! Numbers and layouts are those of the `LINKTYPE_` registry (draft-ietf-opsawg-pcaplinktype), unless another source
//! is given.

mod wrapped;

use std::ops::Range;

use super::wire::{Ipv4Header, MIN_IPV4_HEADER};
pub use wrapped::Process;

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
    /// `LINKTYPE_C_HDLC` (104): Cisco's HDLC.
    CiscoHdlc,
    /// `LINKTYPE_IEEE802_11` (105): wireless LAN.
    Wlan,
    /// `LINKTYPE_LOOP` (108): OpenBSD's loopback, with an address family in network byte order.
    Loop,
    /// `LINKTYPE_LINUX_SLL` (113): the `any` device.
    LinuxCooked,
    /// `LINKTYPE_PFLOG` (117): log of the packet filter of the BSDs.
    PfLog,
    /// `LINKTYPE_IEEE802_11_RADIOTAP` (127): wireless LAN with information of the radio.
    Radiotap,
    /// `LINKTYPE_IPV4` (228): IPv4.
    Ipv4,
    /// `LINKTYPE_IPV6` (229): IPv6.
    Ipv6,
    /// `LINKTYPE_NFLOG` (239): log of the packet filter of Linux.
    NfLog,
    /// `LINKTYPE_PKTAP` (258): frames of macOS with the process that they belong to.
    Pktap,
    /// `LINKTYPE_LINUX_SLL2` (276): the `any` device, with the interface of each frame.
    LinuxCooked2,
}

impl Link {
    /// All link types, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Null,
        Self::Ethernet,
        Self::Ppp,
        Self::PppHdlc,
        Self::Raw,
        Self::CiscoHdlc,
        Self::Wlan,
        Self::Loop,
        Self::LinuxCooked,
        Self::PfLog,
        Self::Radiotap,
        Self::Ipv4,
        Self::Ipv6,
        Self::NfLog,
        Self::Pktap,
        Self::LinuxCooked2,
    ];

    /// Returns the link type of this number, if it can be decoded.
    ///
    /// 12 and 14 are the numbers that systems use themselves for raw IP (`DLT_RAW`; 14 on OpenBSD), and some programs
    /// write these instead of the registry's number. 149 is the number that macOS uses itself for `PKTAP`.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        match number {
            12 | 14 => return Some(Self::Raw),
            149 => return Some(Self::Pktap),
            _ => {}
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
            Self::CiscoHdlc => 104,
            Self::Wlan => 105,
            Self::Loop => 108,
            Self::LinuxCooked => 113,
            Self::PfLog => 117,
            Self::Radiotap => 127,
            Self::Ipv4 => 228,
            Self::Ipv6 => 229,
            Self::NfLog => 239,
            Self::Pktap => 258,
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
    let (protocol, packet) = found(link, frame)?;
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

/// Finds the IP packet in a frame of this link type.
fn found(link: Link, frame: &[u8]) -> FoundPacket<'_> {
    match link {
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
        Link::CiscoHdlc => cisco_hdlc(frame),
        Link::Wlan => wlan(frame, false),
        Link::Radiotap => {
            let (frame, is_padded) = wrapped::radiotap(frame)?;
            wlan(frame, is_padded)
        }
        Link::PfLog => {
            let (family, rest) = wrapped::pflog(frame)?;
            of_family(family, rest)
        }
        Link::NfLog => {
            let (family, rest) = wrapped::nflog(frame)?;
            of_family(family, rest)
        }
        Link::Pktap => {
            let (link, rest, _) = wrapped::pktap(frame)?;
            found(link, rest)
        }
    }
}

/// Returns the process that a frame belongs to, if its link type states it.
#[must_use]
pub fn process(link: Link, frame: &[u8]) -> Option<Process> {
    if link != Link::Pktap {
        return None;
    }
    let (_, _, process) = wrapped::pktap(frame)?;
    process
}

/// Reason why a frame holds no IP packet that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unread {
    /// Payload of this `EtherType`; 0 for IEEE 802.3 with LLC, which has a length in its place.
    EtherType(u16),
    /// Encrypted payload of 802.11.
    EncryptedWlan,
}

impl Unread {
    /// Returns the name of the protocol, for those that are common; `None` for others.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let Self::EtherType(number) = self else {
            return Some("encrypted 802.11");
        };
        // IEEE, "Ethertype registry"; 0x8847 to 0x8864 if what they carry is not IP.
        Some(match number {
            0 => "IEEE 802.3 (LLC)",
            0x0806 => "ARP",
            0x0842 => "Wake-on-LAN",
            0x22f0 => "AVTP",
            0x22f3 => "TRILL",
            0x8035 => "RARP",
            0x8137 => "IPX",
            0x8808 => "Ethernet flow control",
            0x8809 => "LACP",
            0x8847 | 0x8848 => "MPLS without IP",
            0x8863 => "PPPoE discovery",
            0x8864 => "PPPoE without IP",
            0x888e => "EAPOL",
            0x8892 => "PROFINET",
            0x88a2 => "ATA over Ethernet",
            0x88a4 => "EtherCAT",
            0x88b8 => "GOOSE",
            0x88cc => "LLDP",
            0x88e5 => "MACsec",
            0x88e7 => "PBB",
            0x88f7 => "PTP",
            0x8902 => "CFM",
            0x8903 => "FabricPath",
            0x8906 => "FCoE",
            0x8915 => "RoCE",
            0x894f => "NSH",
            0x9000 => "loopback test",
            _ => return None,
        })
    }
}

/// Returns the reason why [`network`] finds no packet in a frame. `None` if the frame is too short or malformed.
#[must_use]
pub fn unread(link: Link, frame: &[u8]) -> Option<Unread> {
    let (mut ether_type, mut rest) = match link {
        Link::Ethernet => {
            let (header, rest) = frame.split_first_chunk::<14>()?;
            (u16::from_be_bytes([header[12], header[13]]), rest)
        }
        Link::LinuxCooked => {
            let (header, rest) = frame.split_first_chunk::<16>()?;
            (u16::from_be_bytes([header[14], header[15]]), rest)
        }
        Link::LinuxCooked2 => {
            let (header, rest) = frame.split_first_chunk::<20>()?;
            (u16::from_be_bytes([header[0], header[1]]), rest)
        }
        Link::Wlan => return wrapped::is_encrypted_wlan(frame).then_some(Unread::EncryptedWlan),
        Link::Radiotap => {
            let (frame, _) = wrapped::radiotap(frame)?;
            return wrapped::is_encrypted_wlan(frame).then_some(Unread::EncryptedWlan);
        }
        Link::Pktap => {
            let (link, rest, _) = wrapped::pktap(frame)?;
            return unread(link, rest);
        }
        _ => return None,
    };
    for _ in 0..MAX_TAGS {
        (ether_type, rest) = match ether_type {
            0x8100 | 0x88a8 | 0x9100 => tagged(rest)?,
            _ => break,
        };
    }
    // An EtherType that is read, whose payload is malformed.
    let is_read = matches!(ether_type, 0x0800 | 0x86dd);
    // A length says nothing about the payload, so that all are counted together.
    let number = if ether_type <= 1_500 { 0 } else { ether_type };
    (!is_read).then_some(Unread::EtherType(number))
}

/// Finds the IP packet in an Ethernet frame without preamble.
pub(super) fn ethernet(frame: &[u8]) -> FoundPacket<'_> {
    let (header, rest) = frame.split_first_chunk::<14>()?;
    of_ether_type(u16::from_be_bytes([header[12], header[13]]), rest)
}

/// Finds the IP packet in a payload of this `EtherType`.
pub(super) fn of_ether_type(ether_type: u16, rest: &[u8]) -> FoundPacket<'_> {
    at_depth(ether_type, rest, 0)
}

/// Finds the IP packet like [`of_ether_type`], inside so many pseudowires.
fn at_depth(mut ether_type: u16, mut rest: &[u8], depth: usize) -> FoundPacket<'_> {
    for _ in 0..=MAX_TAGS {
        (ether_type, rest) = match ether_type {
            0x0800 => return ip(Protocol::Ipv4, rest),
            0x86dd => return ip(Protocol::Ipv6, rest),
            0x8864 => return pppoe(rest),
            // MPLS (RFC 3032, 5), and the number that was for multicast once (RFC 5332).
            0x8847 | 0x8848 => return mpls(rest, depth),
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

/// Maximum number of nested pseudowires.
const MAX_PSEUDOWIRES: usize = 4;

/// Maximum number of labels in a stack of MPLS.
const MAX_LABELS: usize = 16;

/// Finds the IP packet behind the label stack of MPLS (RFC 3032, 2.1): of each word the bit 23 marks the last one.
///
/// Nothing in the stack states what follows. A packet is recognised by its header; else it is a frame in an Ethernet
/// pseudowire (RFC 4448), with or without the control word, whose first four bits are 0.
fn mpls(mut rest: &[u8], depth: usize) -> FoundPacket<'_> {
    const IS_LAST: u8 = 1;

    let mut labels = 0;
    loop {
        let (label, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        labels += 1;
        if label[2] & IS_LAST != 0 {
            break;
        }
        if labels == MAX_LABELS {
            return None;
        }
    }
    let pseudowire = |frame: &'_ [u8]| -> Option<usize> {
        if depth == MAX_PSEUDOWIRES {
            return None;
        }
        let (header, payload) = frame.split_first_chunk::<14>()?;
        let ether_type = u16::from_be_bytes([header[12], header[13]]);
        let (_, packet) = at_depth(ether_type, payload, depth + 1)?;
        Some(packet.len())
    };
    let suffix = |length: usize| {
        let packet = rest.get(rest.len() - length..)?;
        Some((Protocol::of(packet)?, packet))
    };
    let framed = || pseudowire(rest).and_then(suffix);
    match rest.first()? >> 4 {
        0 => {
            let behind = rest.get(4..).and_then(pseudowire);
            suffix(behind.or_else(|| pseudowire(rest))?)
        }
        // The addresses of a frame may begin with these digits as well (RFC 4928, 3).
        4 if has_checksum(rest) => ip(Protocol::Ipv4, rest),
        4 => framed().or_else(|| ip(Protocol::Ipv4, rest)),
        6 => {
            let framed = framed();
            let is_sound = framed.is_some_and(|(_, packet)| has_checksum(packet));
            match framed {
                Some(framed) if is_sound || !is_plausible_v6(rest) => Some(framed),
                _ => ip(Protocol::Ipv6, rest),
            }
        }
        _ => framed(),
    }
}

/// Returns true if the bytes begin with a header of IPv4 whose checksum is right.
fn has_checksum(packet: &[u8]) -> bool {
    let Some((header, _)) = Ipv4Header::split(packet) else {
        return false;
    };
    let length = header.header_len();
    let (Some(Protocol::Ipv4), Some(bytes)) = (Protocol::of(packet), packet.get(..length)) else {
        return false;
    };
    let (words, _) = bytes.as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    // The sum has at most 30 words, so that two folds bring all carries in.
    let folded = (sum & 0xffff) + (sum >> 16);
    length >= MIN_IPV4_HEADER && (folded & 0xffff) + (folded >> 16) == 0xffff
}

/// Returns true if the next header of IPv6 is one that packets begin with: TCP, UDP, ICMP, a tunnel or an extension.
fn is_plausible_v6(packet: &[u8]) -> bool {
    matches!(
        packet.get(6),
        None | Some(0 | 4 | 6 | 17 | 41 | 43 | 44 | 47 | 50 | 51 | 58 | 60 | 89 | 103 | 132)
    )
}

/// Finds the IP packet in a frame of 802.11.
fn wlan(frame: &[u8], is_padded: bool) -> FoundPacket<'_> {
    let (ether_type, rest) = subnetwork(wrapped::wlan(frame, is_padded)?)?;
    of_ether_type(ether_type, rest)
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
        [0x02, 0x81 | 0x83, rest @ ..] => mpls(rest, 0),                      // RFC 3032, 4.3
        _ => None,
    }
}

/// Finds the IP packet in a frame of PPP, or of Cisco's HDLC.
fn hdlc(frame: &[u8]) -> FoundPacket<'_> {
    match frame {
        [0x0f | 0x8f, 0, ..] => cisco_hdlc(frame),
        _ => ppp(frame),
    }
}

/// Finds the IP packet in a frame of Cisco's HDLC (RFC 1547, 4.3.1): unicast or broadcast address, 0, `EtherType`.
fn cisco_hdlc(frame: &[u8]) -> FoundPacket<'_> {
    match frame {
        [0x0f | 0x8f, 0, high, low, rest @ ..] => {
            of_ether_type(u16::from_be_bytes([*high, *low]), rest)
        }
        _ => None,
    }
}

/// Finds the IP packet behind an address family of four bytes. The byte order of the host is unknown; but no family
/// needs more than a byte, so the smaller reading is right.
fn loopback(frame: &[u8]) -> FoundPacket<'_> {
    let (family, rest) = frame.split_first_chunk::<4>()?;
    let family = u32::from_be_bytes(*family).min(u32::from_le_bytes(*family));
    of_family(family, rest)
}

/// Finds the IP packet of an address family.
fn of_family(family: u32, rest: &[u8]) -> FoundPacket<'_> {
    match family {
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
