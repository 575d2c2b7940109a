//! What is known of a connection between two of its steps.

#![allow(clippy::cast_possible_truncation)] // a port fits its field

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Cause;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Reset(Cause),
    UnansweredSyn,
    UnansweredSynAck,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Syn,
    SynAck,
    Ack,
    /// Who has the turn sends data.
    Talk,
    /// The other end acknowledges.
    Answer,
    /// The steps to its end, and how many are done.
    Ending(u8),
    Over,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    /// SND.NXT.
    pub(super) next: u32,
    pub(super) window: u16,
    /// What its clock of timestamps is ahead by.
    pub(super) clock: u32,
    /// The other's clock in what came last.
    pub(super) echo: u32,
    pub(super) id: u16,
}

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// The client is behind the wire; the server's host captures.
    pub(super) ends: [Endpoint; 2],
    pub(super) has_timestamps: bool,
    pub(super) end: End,
    pub(super) phase: Phase,
    /// Left to do before it ends.
    pub(super) exchanges: u32,
    pub(super) turn: usize,
    /// Where each segment of the last burst ended.
    pub(super) burst: [u32; 3],
    pub(super) burst_length: usize,
}

/// A client's endpoint that no other number has, and one of sixteen servers'.
pub(super) fn endpoints(number: u32, server: u32, is_ipv6: bool) -> [SocketAddr; 2] {
    const HOSTS: u32 = 4_000;
    /// Those that no protocol has: 49152 to 65535 (RFC 6335, 6), lest a payload be taken for one.
    const PORTS: u32 = 16_384;
    const SERVICES: [u16; 4] = [80, 443, 8080, 9000];
    let (host, turn) = (number % HOSTS, number / HOSTS);
    // Coprime, so that a host's ports come in no order, but each once.
    let port = 49_152 + (turn * 7_919 + host * 131) % PORTS;
    let [.., high, low] = (host + 1).to_be_bytes();
    let [.., last] = (server + 1).to_be_bytes();
    let (client_ip, server_ip): (IpAddr, IpAddr) = if is_ipv6 {
        let address = |net, host| Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host);
        (
            address(1, u16::from_be_bytes([high, low])).into(),
            address(0, last.into()).into(),
        )
    } else {
        (
            Ipv4Addr::new(10, 1, high, low).into(),
            Ipv4Addr::new(10, 0, 0, last).into(),
        )
    };
    [
        SocketAddr::new(client_ip, port as u16),
        SocketAddr::new(server_ip, SERVICES[server as usize % SERVICES.len()]),
    ]
}
