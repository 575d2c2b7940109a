//! IP packets that are carried inside IP packets.
//!
//! Who captures on a host of containers, in a data centre or behind a tunnel broker sees the connections that matter
//! wrapped up. Nobody has to unwrap them: a datagram to a port is VXLAN by convention only, and the outer packet is as
//! real as the inner one. So [`decode`](super::decode) does not, and [`decode_inside`](super::decode_inside) does.
//!
//! What is malformed, encrypted, or carries something else than IP is no tunnel. Nor is a later fragment, whose headers are
//! elsewhere.

use std::iter;

use super::ip::{Ip, Part};
use super::link::{self, Protocol};

/// How a packet is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

/// A packet that another one carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner<'a> {
    /// How it is carried.
    pub kind: Kind,
    /// The packet from its IP header on, as much as was captured. Its headers are whole.
    pub packet: &'a [u8],
}

/// How many tunnels inside one another are looked into.
pub const DEEPEST: usize = 4;

/// The packet that this IP packet carries, if it carries one.
#[must_use]
pub fn inner(packet: &[u8]) -> Option<Inner<'_>> {
    let outer = Ip::of(packet)?;
    if outer.part == Part::Later {
        return None;
    }
    let (kind, packet) = match outer.protocol {
        4 => (Kind::IpInIp, of_version(Protocol::Ipv4, outer.payload)?),
        41 => (Kind::IpInIp, of_version(Protocol::Ipv6, outer.payload)?),
        47 => (Kind::Gre, gre(outer.payload)?),
        17 => datagram(outer.payload)?,
        _ => return None,
    };
    Ip::of(packet).map(|_| Inner { kind, packet })
}

/// All packets that this IP packet carries inside one another, the outermost first; at most [`DEEPEST`].
pub fn layers(packet: &[u8]) -> impl Iterator<Item = Inner<'_>> {
    iter::successors(inner(packet), |outer| inner(outer.packet)).take(DEEPEST)
}

/// The packet furthest inside this IP packet: itself, if it carries none.
#[must_use]
pub fn innermost(packet: &[u8]) -> &[u8] {
    layers(packet).last().map_or(packet, |inner| inner.packet)
}

fn of_version(version: Protocol, packet: &[u8]) -> Option<&[u8]> {
    (Protocol::of(packet)? == version).then_some(packet)
}

/// GRE: flags and version, protocol; then checksum, key and sequence number, each of them if its flag is set (RFC 2890, 2).
fn gre(bytes: &[u8]) -> Option<&[u8]> {
    const CHECKSUM: u16 = 0x8000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    /// Routing and what belongs to it, which have to be 0 (RFC 2784, 2.3), and the version.
    const REFUSED: u16 = 0x4c07;

    let (header, rest) = bytes.split_first_chunk::<4>()?;
    let flags = u16::from_be_bytes([header[0], header[1]]);
    if flags & REFUSED != 0 {
        return None;
    }
    let fields = [CHECKSUM, KEY, SEQUENCE].into_iter();
    let words = fields.filter(|field| flags & field != 0).count();
    let protocol = u16::from_be_bytes([header[2], header[3]]);
    carried(protocol, rest.get(words * 4..)?)
}

/// What has this protocol in GRE and Geneve: an `EtherType`, and one more for a whole Ethernet frame.
fn carried(protocol: u16, payload: &[u8]) -> Option<&[u8]> {
    const TRANSPARENT_ETHERNET: u16 = 0x6558;

    let (_, packet) = match protocol {
        TRANSPARENT_ETHERNET => link::ethernet(payload),
        _ => link::of_ether_type(protocol, payload),
    }?;
    Some(packet)
}

/// UDP, by the registered port of its receiver. Teredo's server has one; between two clients no port is known.
fn datagram(bytes: &[u8]) -> Option<(Kind, &[u8])> {
    let (header, captured) = bytes.split_first_chunk::<8>()?;
    let [source, destination, len] =
        [0, 2, 4].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    let len = usize::from(len).checked_sub(header.len())?;
    let payload = captured.get(..len).unwrap_or(captured);
    match (source, destination) {
        // 8472 is Linux's own, from before there was a registered one: its driver's default still (`vxlan_init_module`).
        (_, 4789 | 8472) => Some((Kind::Vxlan, vxlan(payload)?)),
        (_, 6081) => Some((Kind::Geneve, geneve(payload)?)),
        (3544, _) | (_, 3544) => Some((Kind::Teredo, teredo(payload)?)),
        _ => None,
    }
}

/// VXLAN: a flag that says that there is an identifier, the identifier, and what is reserved (RFC 7348, 5).
fn vxlan(payload: &[u8]) -> Option<&[u8]> {
    const HAS_IDENTIFIER: u8 = 0x08;

    let (header, frame) = payload.split_first_chunk::<8>()?;
    if header[0] & HAS_IDENTIFIER == 0 {
        return None;
    }
    link::ethernet(frame).map(|(_, packet)| packet)
}

/// Geneve: version and words of options, flags, protocol, identifier; then the options (RFC 8926, 3.4).
fn geneve(payload: &[u8]) -> Option<&[u8]> {
    const VERSION: u8 = 0xc0;
    /// It is about the tunnel itself, and what follows is no tenant's.
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

/// Teredo: an IPv6 packet, behind an authentication and an origin indication if they are there (RFC 4380, 5.1.1).
fn teredo(payload: &[u8]) -> Option<&[u8]> {
    let packet = match payload {
        // Lengths of identifier and value, these two; then a nonce of eight bytes and a confirmation of one.
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
