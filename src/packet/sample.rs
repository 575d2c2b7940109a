//! Frames as they might be captured, to ask a capture filter about.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

use super::Flags;

/// Frames from `source` to `destination` that no filter may hide: every kind of segment that matters, and an ICMP
/// error.
pub(crate) fn frames(source: SocketAddr, destination: SocketAddr) -> Vec<Vec<u8>> {
    const KINDS: [Flags; 8] = [
        Flags::SYN,
        Flags::SYN.and(Flags::ACK),
        Flags::ACK,
        Flags::PSH.and(Flags::ACK),
        Flags::FIN.and(Flags::ACK),
        Flags::RST,
        Flags::RST.and(Flags::ACK),
        Flags(0),
    ];
    let mut frames: Vec<Vec<u8>> = KINDS
        .iter()
        .filter_map(|flags| segment(source, destination, *flags))
        .collect();
    frames.extend(icmp_error(source.ip(), destination.ip()));
    frames
}

fn link(source: IpAddr, destination: IpAddr) -> Option<PacketBuilderStep<IpHeaders>> {
    let link = PacketBuilder::ethernet2([0; 6], [0; 6]);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Some(link.ipv4(source.octets(), destination.octets(), 64))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Some(link.ipv6(source.octets(), destination.octets(), 64))
        }
        _ => None,
    }
}

fn segment(source: SocketAddr, destination: SocketAddr, flags: Flags) -> Option<Vec<u8>> {
    let mut tcp =
        link(source.ip(), destination.ip())?.tcp(source.port(), destination.port(), 1, 65535);
    if flags.has(Flags::SYN) {
        tcp = tcp.syn();
    }
    if flags.has(Flags::ACK) {
        tcp = tcp.ack(1);
    }
    if flags.has(Flags::PSH) {
        tcp = tcp.psh();
    }
    if flags.has(Flags::FIN) {
        tcp = tcp.fin();
    }
    if flags.has(Flags::RST) {
        tcp = tcp.rst();
    }
    let mut frame = Vec::with_capacity(tcp.size(0));
    tcp.write(&mut frame, &[]).ok().map(|()| frame)
}

fn icmp_error(source: IpAddr, destination: IpAddr) -> Option<Vec<u8>> {
    const QUOTED: [u8; 32] = [0; 32];
    let link = link(source, destination)?;
    let mut frame = Vec::with_capacity(128);
    let written = match source {
        // Destination unreachable: type 3 in ICMP, 1 in ICMPv6; code of "port unreachable".
        IpAddr::V4(_) => link.icmpv4_raw(3, 3, [0; 4]).write(&mut frame, &QUOTED),
        IpAddr::V6(_) => link.icmpv6_raw(1, 4, [0; 4]).write(&mut frame, &QUOTED),
    };
    written.ok().map(|()| frame)
}
