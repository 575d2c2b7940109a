//! IP packets that are carried inside IP packets.
//!
//! Captures from container hosts, data centres and tunnel brokers hold the connections of interest in encapsulated
//! form. Decapsulation is optional: a datagram to a port is VXLAN by convention only, and the outer packet is as real
//! as the inner one. So [`decode`](super::decode) leaves packets as they are, and
//! [`decode_inside`](super::decode_inside) decapsulates them.
//!
//! A payload that is malformed, encrypted, or not IP is not a tunnel. Nor is a later fragment, whose headers are in
//! another packet.

use std::iter;

use super::ip::{Ip, Part};
use super::link::{self, Protocol};

/// Encapsulation of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// IP in IP: RFC 2003 for IPv4, RFC 4213 (3) and RFC 2473 for IPv6.
    IpInIp,
    /// Generic routing encapsulation (RFC 2784, RFC 2890).
    Gre,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// Teredo (RFC 4380).
    Teredo,
    /// ERSPAN of type I, II or III: a mirrored frame in GRE (draft-foschiano-erspan).
    Erspan,
    /// GTP-U: a subscriber's packet in a mobile network (3GPP TS 29.281).
    GtpU,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::IpInIp,
        Self::Gre,
        Self::Vxlan,
        Self::Geneve,
        Self::Teredo,
        Self::Erspan,
        Self::GtpU,
    ];

    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IpInIp => "IP in IP",
            Self::Gre => "GRE",
            Self::Vxlan => "VXLAN",
            Self::Geneve => "Geneve",
            Self::Teredo => "Teredo",
            Self::Erspan => "ERSPAN",
            Self::GtpU => "GTP-U",
        }
    }

    /// Returns the stable id.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::IpInIp => "ip-in-ip",
            Self::Gre => "gre",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Teredo => "teredo",
            Self::Erspan => "erspan",
            Self::GtpU => "gtp-u",
        }
    }
}

/// Packet that another packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner<'a> {
    /// Encapsulation in which the packet is carried.
    pub kind: Kind,
    /// Captured bytes of the packet from its IP header on. Its headers are complete.
    pub packet: &'a [u8],
}

/// Maximum number of nested tunnels that are decapsulated.
pub const MAX_TUNNEL_DEPTH: usize = 4;

/// Returns the packet that this IP packet carries, if it carries one.
#[must_use]
pub fn inner(packet: &[u8]) -> Option<Inner<'_>> {
    let outer = Ip::of(packet)?;
    if outer.part == Part::Later {
        return None;
    }
    let (kind, packet) = match outer.protocol {
        4 => (Kind::IpInIp, of_version(Protocol::Ipv4, outer.payload)?),
        41 => (Kind::IpInIp, of_version(Protocol::Ipv6, outer.payload)?),
        GRE => gre(outer.payload)?,
        17 => datagram(outer.payload)?,
        _ => return None,
    };
    Ip::of(packet).map(|_| Inner { kind, packet })
}

/// Returns an iterator over the packets that this IP packet carries inside one another, outermost first; at most
/// [`MAX_TUNNEL_DEPTH`].
pub fn layers(packet: &[u8]) -> impl Iterator<Item = Inner<'_>> {
    iter::successors(inner(packet), |outer| inner(outer.packet)).take(MAX_TUNNEL_DEPTH)
}

/// Returns the innermost packet carried by this IP packet; the packet itself, if it carries none.
#[must_use]
pub fn innermost(packet: &[u8]) -> &[u8] {
    layers(packet).last().map_or(packet, |inner| inner.packet)
}

/// Returns the packet in a mirrored frame that this IP packet carries; the packet itself, if it carries none. The outer
/// packet is then not traffic of its own, but the way of the copy to whoever captures.
#[must_use]
pub fn mirrored(packet: &[u8]) -> &[u8] {
    let protocol = match Protocol::of(packet) {
        Some(Protocol::Ipv4) => packet.get(9),
        Some(Protocol::Ipv6) => packet.get(6),
        None => None,
    };
    if protocol != Some(&GRE) {
        return packet;
    }
    match inner(packet) {
        Some(Inner {
            kind: Kind::Erspan,
            packet,
        }) => packet,
        _ => packet,
    }
}

/// Protocol number of GRE (IANA, "Protocol Numbers").
const GRE: u8 = 47;

fn of_version(version: Protocol, packet: &[u8]) -> Option<&[u8]> {
    (Protocol::of(packet)? == version).then_some(packet)
}

/// Finds the packet in GRE: flags and version, protocol; then checksum, key and sequence number, each if its flag is
/// set (RFC 2890, 2).
fn gre(bytes: &[u8]) -> Option<(Kind, &[u8])> {
    const CHECKSUM: u16 = 0x8000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    /// Flags of routing and its fields, which have to be 0 (RFC 2784, 2.3), and the version.
    const REFUSED: u16 = 0x4c07;

    let (header, rest) = bytes.split_first_chunk::<4>()?;
    let flags = u16::from_be_bytes([header[0], header[1]]);
    if flags & REFUSED != 0 {
        return None;
    }
    let fields = [CHECKSUM, KEY, SEQUENCE].into_iter();
    let words = fields.filter(|field| flags & field != 0).count();
    let protocol = u16::from_be_bytes([header[2], header[3]]);
    let payload = rest.get(words * 4..)?;
    let packet = match protocol {
        0x88be => erspan(payload, flags & SEQUENCE != 0)?,
        0x22eb => erspan_3(payload)?,
        _ => return Some((Kind::Gre, carried(protocol, payload)?)),
    };
    Some((Kind::Erspan, packet))
}

/// Finds the packet in a mirrored frame of ERSPAN type I or II. Both have the same protocol number; type II has a header
/// of eight bytes, version 1 first, and always a sequence number.
fn erspan(payload: &[u8], is_numbered: bool) -> Option<&[u8]> {
    let frame = match payload {
        [version, ..] if is_numbered && version >> 4 == 1 => payload.get(8..)?,
        _ if is_numbered => return None,
        _ => payload,
    };
    link::ethernet(frame).map(|(_, packet)| packet)
}

/// Finds the packet in a mirrored frame or packet of ERSPAN type III: a header of twelve bytes, version 2 first, with
/// the kind of the frame (0 Ethernet, 2 IP) and the flag that eight more bytes follow in its last word.
fn erspan_3(payload: &[u8]) -> Option<&[u8]> {
    let (header, rest) = payload.split_first_chunk::<12>()?;
    if header[0] >> 4 != 2 {
        return None;
    }
    let rest = if header[11] & 1 == 0 {
        rest
    } else {
        rest.get(8..)?
    };
    match header[10] >> 2 & 0x1f {
        0 => link::ethernet(rest).map(|(_, packet)| packet),
        2 => Protocol::of(rest).map(|_| rest),
        _ => None,
    }
}

/// Returns the packet in a payload of this GRE or Geneve protocol: an `EtherType`, or the number of a whole Ethernet
/// frame.
fn carried(protocol: u16, payload: &[u8]) -> Option<&[u8]> {
    const TRANSPARENT_ETHERNET: u16 = 0x6558;

    let (_, packet) = match protocol {
        TRANSPARENT_ETHERNET => link::ethernet(payload),
        _ => link::of_ether_type(protocol, payload),
    }?;
    Some(packet)
}

/// Finds the packet in a UDP datagram, by the registered port of its receiver. A Teredo server has such a port on
/// either side of the datagram; between two Teredo clients no port is known.
fn datagram(bytes: &[u8]) -> Option<(Kind, &[u8])> {
    let (header, captured) = bytes.split_first_chunk::<8>()?;
    let [source, destination, len] =
        [0, 2, 4].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    let len = usize::from(len).checked_sub(header.len())?;
    // The capture may end before the datagram, or the datagram before a trailer.
    let payload = captured.get(..len).unwrap_or(captured);
    match (source, destination) {
        // 8472 is older than the registered port, and still the default of Linux's driver (`vxlan_init_module`).
        (_, 4789 | 8472) => Some((Kind::Vxlan, vxlan(payload)?)),
        (_, 6081) => Some((Kind::Geneve, geneve(payload)?)),
        (_, 2152) => Some((Kind::GtpU, gtp_u(payload)?)),
        (3544, _) | (_, 3544) => Some((Kind::Teredo, teredo(payload)?)),
        _ => None,
    }
}

/// Finds the packet in VXLAN: a flag that an identifier is present, the identifier, reserved bytes (RFC 7348, 5).
fn vxlan(payload: &[u8]) -> Option<&[u8]> {
    const HAS_IDENTIFIER: u8 = 0x08;

    let (header, frame) = payload.split_first_chunk::<8>()?;
    if header[0] & HAS_IDENTIFIER == 0 {
        return None;
    }
    link::ethernet(frame).map(|(_, packet)| packet)
}

/// Finds the packet in Geneve: version and words of options, flags, protocol, identifier; then the options (RFC 8926,
/// 3.4).
fn geneve(payload: &[u8]) -> Option<&[u8]> {
    const VERSION: u8 = 0xc0;
    /// Flag of a control packet, which concerns the tunnel itself and carries no tenant's packet.
    const CONTROL: u8 = 0x80;

    let (header, rest) = payload.split_first_chunk::<8>()?;
    if header[0] & VERSION != 0 || header[1] & CONTROL != 0 {
        return None;
    }
    let options = usize::from(header[0] & 0x3f) * 4;
    carried(
        u16::from_be_bytes([header[2], header[3]]),
        rest.get(options..)?,
    )
}

/// Finds the packet in GTP-U (3GPP TS 29.281, 5): flags, type 255 for a user's packet, length, endpoint. If any of three
/// flags is set, a sequence number, an N-PDU number and the type of the next extension header follow; an extension
/// header has its length in words first and the type of the next one last.
fn gtp_u(payload: &[u8]) -> Option<&[u8]> {
    const VERSION_AND_PROTOCOL: u8 = 0xf0;
    const OPTIONAL_FIELDS: u8 = 0x07;
    const PACKET: u8 = 255;

    let (header, mut rest) = payload.split_first_chunk::<8>()?;
    // Version 1, protocol type 1 (not GTP'); the fourth bit is spare.
    if header[0] & VERSION_AND_PROTOCOL != 0x30 || header[1] != PACKET {
        return None;
    }
    if header[0] & OPTIONAL_FIELDS != 0 {
        let (fields, behind) = rest.split_first_chunk::<4>()?;
        // The type counts only if its own flag is set.
        let next = if header[0] & 0x04 == 0 { 0 } else { fields[3] };
        rest = skip_extensions(behind, next)?;
    }
    Protocol::of(rest).map(|_| rest)
}

/// Skips the extension headers of GTP-U, the first of which has the type `next`; the type 0 ends them.
fn skip_extensions(mut rest: &[u8], mut next: u8) -> Option<&[u8]> {
    /// Maximum number of extension headers.
    const MAX_EXTENSIONS: usize = 16;

    let mut count = 0;
    while next != 0 {
        let length = usize::from(*rest.first()?) * 4;
        let (extension, behind) = rest.split_at_checked(length)?;
        next = *extension.last()?;
        rest = behind;
        count += 1;
        if count > MAX_EXTENSIONS {
            return None;
        }
    }
    Some(rest)
}

/// Finds the packet in Teredo: IPv6, behind an authentication and an origin indication if present (RFC 4380, 5.1.1).
fn teredo(payload: &[u8]) -> Option<&[u8]> {
    let packet = match payload {
        // Lengths of client identifier and authentication value, these two; then a nonce of eight bytes and a
        // confirmation byte.
        [0, 1, identifier, value, rest @ ..] => {
            rest.get(usize::from(*identifier) + usize::from(*value) + 9..)?
        }
        _ => payload,
    };
    let packet = match packet {
        [0, 0, rest @ ..] => rest.get(6..)?, // port and address
        _ => packet,
    };
    of_version(Protocol::Ipv6, packet)
}
