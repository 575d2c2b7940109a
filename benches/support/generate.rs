//! Captures of any size whose truth is known, the same bytes in every run. Benchmarks measure with them, and a test may
//! take this module in with `#[path]` and hold an answer against [`Truth`].
//!
//! Every connection is one that Linux could have: handshake with options, numbers that add up, data both ways, and an
//! end. Nothing is lost, sent again or out of order; no four-tuple is used twice. What resets is named in [`Cause`]. In
//! between there is some ARP, UDP and ICMP.

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

/// What the capture is like, at full size.
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

    /// Of the capture at full size.
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

/// How the connections of a kind behave. Shares are in a thousand.
struct Habits {
    /// So many connections at a time,
    alive: usize,
    /// and so many from beginning to end.
    long_lived: u32,
    /// The share of the steps that these take,
    of_long_lived: u32,
    /// and that other protocols take.
    noise: u32,
    exchanges: &'static [(u32, (u32, u32))],
    /// Bytes in a segment,
    lengths: &'static [(u32, (u32, u32))],
    /// cut to this over IPv4 and IPv6, and by the timestamps that take their place,
    longest: [u32; 2],
    /// and in what is no TCP.
    longest_noise: u32,
    /// Segments in a row.
    burst: (u32, u32),
    /// Connections without timestamps.
    untimed: u32,
    /// SYNs, or SYN-ACKs, that nobody answers.
    unanswered: u32,
    /// A request and its response, each with its FIN.
    is_brief: bool,
}

/// What to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) kind: Kind,
    pub(crate) connections: u32,
    pub(crate) format: Format,
    pub(crate) resolution: Resolution,
}

impl Recipe {
    /// At full size: classic pcap in microseconds.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            connections: kind.connections(),
            format: Format::Pcap,
            resolution: Resolution::Micros,
        }
    }
}

/// Why a RST was sent, each as `net/ipv4/tcp*.c` makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A SYN to a port where nobody listens: RST+ACK, SEQ 0, the SYN acknowledged, window 0.
    Refused,
    /// A socket was closed with unread data or `SO_LINGER` 0: RST+ACK at SND.NXT with window and timestamps
    /// (`tcp_send_active_reset()`).
    Abort,
    /// Data came in after `close`: RST alone, SEQ = SEG.ACK (`tcp_v4_send_reset()`). One for each segment.
    AfterClose,
    /// A SYN-ACK reached a host that had not sent the SYN: RST alone, SEQ = SEG.ACK.
    SynAck,
    /// Data reached a host that has forgotten the connection: RST alone, SEQ = SEG.ACK.
    HalfOpen,
}

impl Cause {
    pub(crate) const ALL: [Self; 5] = [
        Self::Refused,
        Self::Abort,
        Self::AfterClose,
        Self::SynAck,
        Self::HalfOpen,
    ];
    /// One connection in a hundred is reset, in this turn.
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

/// A RST in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    /// The number of its frame; the first is 1.
    pub(crate) frame: u64,
    pub(crate) cause: Cause,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

/// What is in the capture. Every connection is counted in `connections`, and in one of the five below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    /// The length of the file.
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) tcp_packets: u64,
    /// Pairs of endpoints that have sent a segment.
    pub(crate) connections: u64,
    /// Both FINs were acknowledged.
    pub(crate) closed: u64,
    /// Neither closed nor reset when the capture ends.
    pub(crate) open: u64,
    /// SYNs that nobody answered.
    pub(crate) unanswered_syns: u64,
    /// SYN-ACKs that nobody answered.
    pub(crate) unanswered_syn_acks: u64,
    /// At least one RST.
    pub(crate) reset: u64,
    /// Of all connections.
    pub(crate) ipv6_connections: u64,
    /// In the order of the capture.
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

/// Writes the capture.
pub(crate) fn generate(path: &Path, recipe: Recipe) -> io::Result<Truth> {
    let mut traffic = Traffic::begin(path, recipe)?;
    traffic.run(recipe.connections)?;
    traffic.finish()
}
