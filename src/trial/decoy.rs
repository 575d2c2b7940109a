//! Decoys: RSTs that are not part of a scenario, sent into its connection to test that the judge is not misled.

use std::net::{IpAddr, SocketAddr};

use rstproof_core::flow::Flow;
use rstproof_core::packet::build::{Draft, Options, segment};
use rstproof_core::packet::{Flags, SeqNum};
use rstproof_core::scenario::Role;

/// An RST that is not part of the scenario, sent to test the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoy {
    /// Property that makes it a decoy.
    pub kind: DecoyKind,
    /// End whose address the decoy carries as its source.
    pub from: Role,
    /// Index of the step before which the decoy is sent; after the last step if there are fewer.
    pub before_step: usize,
}

/// Property that distinguishes a decoy from an RST of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoyKind {
    /// The sequence number is far outside of any window.
    WrongNumber,
    /// The port is next to the one of the connection.
    Neighbour,
    /// The sender is a third host; the RST is acceptable in every other respect.
    Exact,
}

/// Window of decoys, which distinguishes them from all other segments.
pub const DECOY_WINDOW: u16 = 31_337;

/// Returns the packet of a decoy and its destination; `None` until the expected sequence number is known.
pub(super) fn packet(
    flow: &Flow,
    (client, server): (SocketAddr, SocketAddr),
    decoy: Decoy,
) -> Option<(Vec<u8>, IpAddr)> {
    /// Offset far beyond any window.
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
    let bytes = segment(&Draft {
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
