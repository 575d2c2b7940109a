//! Builds the forged packets of scripts, with numbers from the live connection.

use std::net::{IpAddr, SocketAddr};

use rstproof_core::flow::Flow;
use rstproof_core::packet::build::{Draft, Options, icmp_error, segment as built};
use rstproof_core::packet::{Flags, Packet, SeqNum, TcpTimestamps};
use rstproof_core::scenario::{Family, Forged, ForgedIcmp, Number, Role, Stamp};

/// Initial sequence number of an end that has no socket.
const INITIAL: SeqNum = SeqNum(0x1000_0000);

/// Window of all forged segments. An RST from Linux has 0, or the window of its connection.
const WINDOW: u16 = 8192;

/// Token of Multipath TCP that, in all probability, belongs to no connection.
const UNUSED_TOKEN: u32 = 0xdead_5eed;

/// Returns the forged segment and its destination; `None` if it cannot be built.
pub(super) fn segment(
    flow: &Flow,
    (client, server): (SocketAddr, SocketAddr),
    forged: Forged,
) -> Option<(Vec<u8>, IpAddr)> {
    let (source, destination) = match forged.from {
        Role::Client => (client, server),
        Role::Server => (server, client),
    };
    let next = |role: Role| flow.snd_nxt(role).unwrap_or(INITIAL);
    let number = |role: Role, number: Number| match number {
        Number::Next(off) => SeqNum(next(role).0.wrapping_add_signed(off)),
        Number::Exactly(number) => SeqNum(number),
    };
    let peer = forged.from.peer();
    let clock = |role: Role, off: i32| {
        let latest = flow.timestamps(role).map_or(0, |it| it.value);
        latest.wrapping_add_signed(off)
    };
    let options = match forged.stamp {
        Stamp::None => Options::None,
        Stamp::Off { value, echo } => Options::Timestamps(TcpTimestamps {
            value: clock(forged.from, value),
            echo: clock(peer, echo),
        }),
        Stamp::Join => Options::Join {
            token: UNUSED_TOKEN,
        },
    };
    let bytes = built(&Draft {
        source,
        destination,
        flags: forged.flags,
        seq: number(forged.from, forged.seq),
        ack: number(peer, forged.ack),
        window: WINDOW,
        options,
        len: forged.len,
    })?;
    Some((bytes, destination.ip()))
}

/// Returns an RST from the client's address that the server has to accept; `None` if the server has received no SYN.
pub(super) fn exact_reset(
    flow: &Flow,
    (client, server): (SocketAddr, SocketAddr),
) -> Option<(Vec<u8>, IpAddr)> {
    let bytes = built(&Draft {
        source: client,
        destination: server,
        flags: Flags::RST,
        seq: flow.rcv_nxt(Role::Server)?,
        ack: SeqNum(0),
        window: WINDOW,
        options: Options::None,
        len: 0,
    })?;
    Some((bytes, server.ip()))
}

/// Returns the forged ICMP error, sent from the other end's address, and its destination; `None` if that end has sent
/// nothing to quote.
pub(super) fn icmp(
    flow: &Flow,
    (client, server): (SocketAddr, SocketAddr),
    family: Family,
    forged: ForgedIcmp,
) -> Option<(Vec<u8>, IpAddr)> {
    let (own, peer) = match forged.to {
        Role::Client => (client, server),
        Role::Server => (server, client),
    };
    let kind = match family {
        Family::Ipv4 => forged.ipv4,
        Family::Ipv6 => forged.ipv6,
    };
    let seq = flow.snd_una(forged.to)?.0.wrapping_add_signed(forged.off);
    let bytes = icmp_error(kind, peer.ip(), (own, peer), SeqNum(seq))?;
    Some((bytes, own.ip()))
}

/// Returns the connection between these ends, client first, as far as the packets show it.
pub(super) fn flow_of((client, server): (SocketAddr, SocketAddr), packets: &[Packet]) -> Flow {
    let mut flow = Flow::new(client, server);
    for packet in packets {
        if let Packet::Tcp(segment) = packet {
            flow.observe(segment);
        }
    }
    flow
}
