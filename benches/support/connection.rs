//! State of a simulated connection between two steps.

#![allow(clippy::cast_possible_truncation)] // a port fits its field

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Cause;

/// End of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Reset(Cause),
    UnansweredSyn,
    UnansweredSynAck,
}

/// Next step of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Syn,
    SynAck,
    Ack,
    /// The end whose turn it is sends data.
    Talk,
    /// The other end acknowledges the data.
    Answer,
    /// The connection ends: number of its final steps that are done.
    Ending(u8),
    Over,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    /// SND.NXT.
    pub(super) next: u32,
    pub(super) window: u16,
    /// Offset of the end's TCP timestamp clock from the time of the capture, in milliseconds.
    pub(super) clock: u32,
    /// `TSval` last received from the other end, to be echoed in `TSecr`.
    pub(super) echo: u32,
    pub(super) id: u16,
}

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

/// Connection being simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// Client and server. The capture is made on the server's host.
    pub(super) ends: [Endpoint; 2],
    pub(super) has_timestamps: bool,
    pub(super) end: End,
    pub(super) phase: Phase,
    /// Number of exchanges left before the connection ends.
    pub(super) exchanges: u32,
    /// Index of the end that sends next.
    pub(super) turn: usize,
    /// Sequence number after each segment of the last burst.
    pub(super) burst: [u32; 3],
    pub(super) burst_length: usize,
}

/// Returns the endpoints of connection `number`: a client endpoint that no other number has, and that of one of sixteen
/// servers.
pub(super) fn endpoints(number: u32, server: u32, is_ipv6: bool) -> [SocketAddr; 2] {
    const HOSTS: u32 = 4_000;
    /// Number of dynamic ports, 49152 to 65535 (RFC 6335, 6): no protocol is registered for them, so that no payload is
    /// taken for one.
    const PORTS: u32 = 16_384;
    const SERVICES: [u16; 4] = [80, 443, 8080, 9000];
    let (host, turn) = (number % HOSTS, number / HOSTS);
    // 7,919 is coprime to the number of ports, so that a host uses its ports out of order and each only once.
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
