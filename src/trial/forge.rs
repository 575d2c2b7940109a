//! Fills in what a script says of a segment made by hand: its numbers, from the live connection.

use std::net::{IpAddr, SocketAddr};

use super::{DECOY_WINDOW, Decoy, DecoyKind};
use rstproof_core::flow::Flow;
use rstproof_core::packet::build::{Draft, Options, icmp_error, segment as built};
use rstproof_core::packet::{Flags, SeqNum, TcpTimestamps};
use rstproof_core::scenario::{Family, Forged, ForgedIcmp, Number, Role, Stamp};

/// The initial sequence number of an end that has no socket.
const INITIAL: SeqNum = SeqNum(0x1000_0000);

/// Window of all segments made by hand. A RST of Linux's has 0, or that of its connection.
const WINDOW: u16 = 8192;

/// A token of Multipath TCP that nobody has given out, as far as chance goes.
const NOBODYS_TOKEN: u32 = 0xdead_5eed;

/// The packet, and where it goes; `None` if there is no such packet.
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
            token: NOBODYS_TOKEN,
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

/// A RST in the client's name that the server has to believe; `None` if it knows of no connection.
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

/// A RST that has no part in the scenario; `None` while nobody knows which number would be right.
pub(super) fn decoy(
    flow: &Flow,
    (client, server): (SocketAddr, SocketAddr),
    decoy: Decoy,
) -> Option<(Vec<u8>, IpAddr)> {
    /// Far beyond any window.
    const ASTRAY: u32 = 1 << 30;
    let (source, mut destination) = match decoy.from {
        Role::Client => (client, server),
        Role::Server => (server, client),
    };
    let next = flow.rcv_nxt(decoy.from.peer())?;
    let mut seq = next;
    match decoy.kind {
        DecoyKind::WrongNumber => seq = next.plus(ASTRAY),
        DecoyKind::Neighbour => destination.set_port(destination.port() ^ 1),
        DecoyKind::Exact => {}
    }
    let bytes = built(&Draft {
        source,
        destination,
        flags: Flags::RST,
        seq,
        ack: SeqNum(0),
        window: DECOY_WINDOW,
        options: Options::None,
        len: 0,
    })?;
    Some((bytes, destination.ip()))
}

/// The same of an ICMP error, which comes from the other end's address.
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
