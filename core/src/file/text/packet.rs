//! Packets built from what a text states. What it does not state is 0, and marked as absent by the interface of the frame.

use std::net::{IpAddr, Ipv6Addr};

use super::line::{IcmpFields, IpFields, TcpFields};
use super::numbers::{End, Numbers};
use crate::packet::icmp::{ICMP, ICMPV6};
use crate::packet::wire::TCP;

/// Packet with its length on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    pub bytes: Vec<u8>,
    pub wire_len: u32,
}

/// Adds the header of an IP packet with a payload of this length.
fn push_ip(bytes: &mut Vec<u8>, from: IpAddr, to: IpAddr, protocol: u8, length: u32, ip: IpFields) {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // A packet that is too long for the field has 0 there, as with segmentation offload.
            let total = u16::try_from(length + 20).unwrap_or(0).to_be_bytes();
            let id = ip.id.to_be_bytes();
            let df = if ip.dont_fragment { 0x40 } else { 0 };
            bytes.extend([0x45, ip.class, total[0], total[1], id[0], id[1], df, 0]);
            bytes.extend([ip.ttl, protocol, 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let first = 6 << 28 | u32::from(ip.class) << 20 | ip.label & 0xf_ffff;
            bytes.extend(first.to_be_bytes());
            bytes.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
            bytes.extend([protocol, ip.ttl]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        // Names and addresses have been brought to one version before.
        _ => {}
    }
}

/// Returns the length of the IP header that [`push_ip`] adds.
fn ip_header(address: IpAddr) -> u32 {
    if address.is_ipv6() { 40 } else { 20 }
}

/// Builds a segment up to its payload, which the text does not have.
pub(super) fn segment(
    [from, to]: [End; 2],
    tcp: &TcpFields,
    numbers: &Numbers,
    ip: IpFields,
) -> Built {
    // The checksum stays 0 and the payload is left out, as with a snapshot length that covers the headers only. The lengths in the
    // headers are those of the packet, so the analysis counts the bytes that it does not have.
    let mut options = tcp.options.clone();
    let blocks = numbers
        .sack
        .len()
        .min((40 - options.len().min(40)).saturating_sub(4) / 8);
    if blocks > 0 {
        // Two NOPs align the blocks (RFC 2018, 3).
        while options.len() % 4 != 2 && options.len() < 38 {
            options.push(1);
        }
        options.extend([5, u8::try_from(2 + 8 * blocks).unwrap_or(2)]);
        for (left, right) in numbers.sack.iter().take(blocks) {
            options.extend(left.to_be_bytes());
            options.extend(right.to_be_bytes());
        }
    }
    options.truncate(40);
    while !options.len().is_multiple_of(4) {
        options.push(0);
    }
    let header = u32::try_from(20 + options.len()).unwrap_or(20);
    let length = header + tcp.length;
    let mut bytes = Vec::with_capacity(100);
    push_ip(&mut bytes, from.0, to.0, TCP, length, ip);
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    bytes.extend(numbers.seq.to_be_bytes());
    bytes.extend(numbers.ack.to_be_bytes());
    bytes.extend([u8::try_from(header / 4).unwrap_or(5) << 4, tcp.flags]);
    bytes.extend(numbers.window.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(tcp.urgent.to_be_bytes());
    bytes.extend(options);
    Built {
        bytes,
        wire_len: ip_header(from.0) + length,
    }
}

/// Segment that an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted {
    pub ends: [End; 2],
    /// SEQ; `None` if the text does not show it.
    pub seq: Option<u32>,
}

/// Builds an ICMP error. Of a segment whose SEQ is not shown only the ports are quoted.
pub(super) fn icmp(
    from: IpAddr,
    to: IpAddr,
    icmp: &IcmpFields,
    quoted: Quoted,
    ip: IpFields,
) -> Built {
    // The quoted header has a TTL and an IP ID of 0. The analysis reads neither: they are those of the packet where the error was
    // made, not where it was sent.
    let mut message = vec![icmp.kind, icmp.code, 0, 0];
    message.extend(icmp.mtu.to_be_bytes());
    let [source, destination] = quoted.ends;
    push_ip(
        &mut message,
        source.0,
        destination.0,
        TCP,
        20,
        IpFields::default(),
    );
    message.extend(source.1.to_be_bytes());
    message.extend(destination.1.to_be_bytes());
    if let Some(seq) = quoted.seq {
        message.extend(seq.to_be_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(0);
    let protocol = if icmp.is_v6 { ICMPV6 } else { ICMP };
    let mut bytes = Vec::with_capacity(100);
    push_ip(&mut bytes, from, to, protocol, length, ip);
    bytes.extend(message);
    Built {
        bytes,
        wire_len: ip_header(from) + length,
    }
}

/// Builds a packet of another protocol: it is counted, and nothing is read of it.
pub(super) fn other() -> Built {
    let mut bytes = Vec::with_capacity(40);
    let none = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    // No next header (RFC 8200, 4.7).
    push_ip(&mut bytes, none, none, 59, 0, IpFields::default());
    Built {
        bytes,
        wire_len: 40,
    }
}
