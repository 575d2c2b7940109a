//! Captures of any size whose content is known, with the same bytes in every run. Benchmarks measure with them, and a
//! test may include this module with `#[path]` and compare a result with [`Truth`].
//!
//! Every connection is one that Linux could have: a handshake with options, consistent numbers, data both ways, and an
//! end. Nothing is lost, retransmitted or out of order; no four-tuple is used twice. [`Cause`] lists the reasons for
//! RSTs. Some ARP, UDP and ICMP is interspersed.

#![allow(dead_code)] // each of those that include it uses a part

mod connection;
mod frame;
mod payload;
mod random;
mod recording;
mod traffic;

use std::io;
use std::net::SocketAddr;
use std::path::Path;

pub(crate) use recording::{Format, Resolution};
use traffic::Traffic;

/// Kind of capture, at full size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 5 M packets of all sizes in 100,000 connections, 1.03 GB.
    Mixed,
    /// 10 M packets of at most 90 bytes (SYNs over IPv6: 94) in 100,000 connections, 0.9 GB.
    Small,
    /// 1 M connections of 5 packets each, 0.8 GB.
    Flows,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Mixed, Self::Small, Self::Flows];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Small => "small",
            Self::Flows => "flows",
        }
    }

    /// Returns the number of connections at full size.
    pub(crate) fn connections(self) -> u32 {
        match self {
            Self::Mixed | Self::Small => 100_000,
            Self::Flows => 1_000_000,
        }
    }

    fn habits(self) -> &'static Habits {
        match self {
            Self::Mixed => &Habits {
                alive: 300,
                long_lived: 24,
                of_long_lived: 60,
                noise: 40,
                exchanges: &[(800, (1, 11)), (180, (11, 52)), (20, (80, 260))],
                lengths: &[(780, (1, 135)), (160, (130, 500)), (60, (1_500, 1_500))],
                longest: [1_460, 1_440],
                longest_noise: 400,
                burst: (1, 3),
                untimed: 40,
                unanswered: 5,
                is_brief: false,
            },
            Self::Small => &Habits {
                alive: 200,
                long_lived: 24,
                of_long_lived: 60,
                noise: 20,
                exchanges: &[(1_000, (10, 95))],
                lengths: &[(1_000, (1, 24))],
                longest: [24, 4],
                longest_noise: 24,
                burst: (1, 1),
                untimed: 0,
                unanswered: 5,
                is_brief: false,
            },
            Self::Flows => &Habits {
                alive: 400,
                long_lived: 24,
                of_long_lived: 8,
                noise: 25,
                exchanges: &[(1_000, (1, 1))],
                lengths: &[(800, (1, 200)), (200, (200, 700))],
                longest: [1_460, 1_440],
                longest_noise: 400,
                burst: (1, 1),
                untimed: 20,
                unanswered: 80,
                is_brief: true,
            },
        }
    }
}

/// Behaviour of the connections of a kind. Shares are per mille.
struct Habits {
    /// Maximum number of ordinary connections at a time.
    alive: usize,
    /// Number of connections that last from the beginning to the end.
    long_lived: u32,
    /// Chance that a long-lived connection makes a step as well, per step of an ordinary one.
    of_long_lived: u32,
    /// Chance of a packet of another protocol and its answer, per step of an ordinary connection.
    noise: u32,
    /// Number of exchanges of a connection: shares, each with a range.
    exchanges: &'static [(u32, (u32, u32))],
    /// Length of a segment's payload in bytes: shares, each with a range.
    lengths: &'static [(u32, (u32, u32))],
    /// Maximum payload length over IPv4 and IPv6, in bytes, before the room for the timestamps option.
    longest: [u32; 2],
    /// Maximum payload length of other protocols, in bytes.
    longest_noise: u32,
    /// Range of the number of segments in a burst.
    burst: (u32, u32),
    /// Share of connections without timestamps.
    untimed: u32,
    /// Share of connections whose SYN or SYN-ACK is not answered.
    unanswered: u32,
    /// True if a connection may be a request and its response, each with a FIN.
    is_brief: bool,
}

/// Parameters of a capture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) kind: Kind,
    pub(crate) connections: u32,
    pub(crate) format: Format,
    pub(crate) resolution: Resolution,
}

impl Recipe {
    /// Returns the parameters of the full size: classic pcap in microseconds.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            connections: kind.connections(),
            format: Format::Pcap,
            resolution: Resolution::Micros,
        }
    }
}

/// Reason why an RST is sent. Each RST has the form in which `net/ipv4/tcp*.c` sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A SYN to a closed port: RST+ACK, SEQ 0, the SYN acknowledged, window 0.
    Refused,
    /// A socket closed with unread data or `SO_LINGER` 0: RST+ACK at SND.NXT with window and timestamps
    /// (`tcp_send_active_reset()`).
    Abort,
    /// Data received after `close`: RST alone, SEQ = SEG.ACK (`tcp_v4_send_reset()`). One for each segment.
    AfterClose,
    /// A SYN-ACK received by a host that had not sent the SYN: RST alone, SEQ = SEG.ACK.
    SynAck,
    /// Data received by a host that has forgotten the connection: RST alone, SEQ = SEG.ACK.
    HalfOpen,
}

impl Cause {
    /// All causes.
    pub(crate) const ALL: [Self; 5] = [
        Self::Refused,
        Self::Abort,
        Self::AfterClose,
        Self::SynAck,
        Self::HalfOpen,
    ];
    /// Order of the causes: one connection in a hundred is reset, by the next one.
    const TURN: [Self; 10] = [
        Self::Abort,
        Self::AfterClose,
        Self::Refused,
        Self::Abort,
        Self::SynAck,
        Self::HalfOpen,
        Self::Abort,
        Self::Refused,
        Self::AfterClose,
        Self::Abort,
    ];
}

/// RST in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    /// Number of the RST's frame; the first frame is 1.
    pub(crate) frame: u64,
    pub(crate) cause: Cause,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

/// Known content of a capture. Every connection is counted in `connections`, and in one of `closed`, `open`,
/// `unanswered_syns`, `unanswered_syn_acks` and `reset`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Length of the file in bytes.
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) tcp_packets: u64,
    /// Number of pairs of endpoints with at least one segment.
    pub(crate) connections: u64,
    /// Number of connections closed with both FINs acknowledged.
    pub(crate) closed: u64,
    /// Number of connections neither closed nor reset at the end of the capture.
    pub(crate) open: u64,
    /// Number of connections whose SYN was not answered.
    pub(crate) unanswered_syns: u64,
    /// Number of connections whose SYN-ACK was not answered.
    pub(crate) unanswered_syn_acks: u64,
    /// Number of connections with at least one RST.
    pub(crate) reset: u64,
    /// Number of connections over IPv6.
    pub(crate) ipv6_connections: u64,
    /// All RSTs, in the order of the capture.
    pub(crate) resets: Vec<Reset>,
}

impl Truth {
    pub(crate) fn resets_by(&self, cause: Cause) -> usize {
        self.resets.iter().filter(|it| it.cause == cause).count()
    }

    pub(crate) fn ipv6_resets(&self) -> usize {
        self.resets.iter().filter(|it| it.from.is_ipv6()).count()
    }

    pub(crate) fn ipv4_resets(&self) -> usize {
        self.resets.len() - self.ipv6_resets()
    }
}

/// Writes a capture and returns its known content.
pub(crate) fn generate(path: &Path, recipe: Recipe) -> io::Result<Truth> {
    let mut traffic = Traffic::begin(path, recipe)?;
    traffic.run(recipe.connections)?;
    traffic.finish()
}
