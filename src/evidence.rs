//! Everything that one trial left behind, side by side: what the sockets said and what the wire showed.
//!
//! A [`Verdict`](crate::verdict::Verdict) is a function of a scenario and its evidence, and of nothing else.

use std::net::SocketAddr;

use serde::Serialize;

use crate::packet::{IcmpError, Packet};
use crate::time::Timestamp;
use crate::transcript::Transcript;

/// The evidence of one trial.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The client's address, which its socket was bound to before it connected.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub server: SocketAddr,
    /// When the trial began. Frames from before belong to what was there earlier.
    pub began: Timestamp,
    /// What the sockets said.
    pub calls: Transcript,
    /// What the wire showed, in the order in which it was captured: frame `n` is at index `n - 1`.
    pub packets: Vec<Packet>,
    /// What may be missing of it.
    pub completeness: Completeness,
}

impl Evidence {
    /// Whether this ICMP error came in during the trial and quotes a segment of its connection.
    #[must_use]
    pub fn is_about_connection(&self, error: &IcmpError) -> bool {
        error.at >= self.began && self.are_its_ends(error.quoted_source, error.quoted_destination)
    }

    /// Whether this packet has a part in the connection: one of its segments, or an ICMP error about one.
    #[must_use]
    pub fn concerns(&self, packet: &Packet) -> bool {
        match packet {
            Packet::Tcp(segment) => self.are_its_ends(segment.source, segment.destination),
            Packet::Icmp(error) => self.is_about_connection(error),
            Packet::Udp { .. } | Packet::Other => false,
        }
    }

    fn are_its_ends(&self, one: SocketAddr, other: SocketAddr) -> bool {
        [(self.client, self.server), (self.server, self.client)].contains(&(one, other))
    }
}

/// Whether the capture can be taken for all that there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// The datagram sent after the last call was captured: all that came before it was, too.
    pub fence_seen: bool,
    /// Frames that the kernel had no room for.
    pub dropped: u64,
    /// Whether the user's filter, if there is one, let through every segment of the connection that was captured, and
    /// every ICMP error about it.
    pub filter_lets_all_through: bool,
    /// By how much `CLOCK_REALTIME` was stepped during the trial, in nanoseconds.
    pub clock_step_ns: i64,
}
