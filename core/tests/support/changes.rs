//! Random changes to evidence, one at a time.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use rstproof_core::evidence::Evidence;
use rstproof_core::packet::{
    Flags, IcmpError, Options, Packet, SackBlocks, Segment, SeqNum, Tap, TcpTimestamps,
};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Call, Errno, Op, Outcome};

use super::{BEGAN, CLIENT_ISS, SERVER_ISS, segments};

/// Change to evidence. Each index selects a segment, packet or call.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Seq(Index, i32),
    Ack(Index, i32),
    Flags(Index, Flags),
    Len(Index, u32),
    Window(Index, u16),
    Timestamps(Index),
    Sack(Index, u32),
    At(Index, i64),
    Direction(Index),
    Again(Index),
    Order(Index),
    Remove(Index),
    Icmp(Index),
    Outcome(Index, Outcome),
    Op(Index, Op),
    Role(Index),
    Ended(Index, i64),
    NoCall(Index),
    Calls(Index),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    use Change as C;
    let at = any::<Index>;
    let near = || prop_oneof![4 => -3..=3_i32, 1 => any::<i32>()];
    let ns = || -20_000..20_000_i64;
    prop_oneof![
        (at(), near()).prop_map(|(at, by)| C::Seq(at, by)),
        (at(), near()).prop_map(|(at, by)| C::Ack(at, by)),
        (at(), flags()).prop_map(|(at, flags)| C::Flags(at, flags)),
        (at(), 0..4_u32).prop_map(|(at, len)| C::Len(at, len)),
        (at(), select(vec![1, 512, 65_535])).prop_map(|(at, window)| C::Window(at, window)),
        at().prop_map(C::Timestamps),
        (at(), 0..9_u32).prop_map(|(at, edge)| C::Sack(at, edge)),
        (at(), ns()).prop_map(|(at, by)| C::At(at, by)),
        at().prop_map(C::Direction),
        at().prop_map(C::Again),
        at().prop_map(C::Order),
        at().prop_map(C::Remove),
        at().prop_map(C::Icmp),
        (at(), outcome()).prop_map(|(at, outcome)| C::Outcome(at, outcome)),
        (at(), op()).prop_map(|(at, op)| C::Op(at, op)),
        at().prop_map(C::Role),
        (at(), ns()).prop_map(|(at, by)| C::Ended(at, by)),
        at().prop_map(C::NoCall),
        at().prop_map(C::Calls),
    ]
}

fn flags() -> impl Strategy<Value = Flags> {
    select(&["R", "R.", ".", "P.", "F.", "F", "S", "S.", "-"]).prop_map(super::flags)
}

pub(crate) fn outcome() -> impl Strategy<Value = Outcome> {
    let errno = select(vec![
        Errno::EPIPE,
        Errno::ECONNRESET,
        Errno::ECONNREFUSED,
        Errno::ENOTCONN,
        Errno::EAGAIN,
    ]);
    prop_oneof![
        (-1..3_i64).prop_map(Outcome::Returned),
        errno.clone().prop_map(Outcome::Failed),
        prop::option::of(errno).prop_map(Outcome::SocketError),
        Just(Outcome::Unfinished),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    select(vec![
        Op::Connect,
        Op::Accept,
        Op::Read(1),
        Op::Write(1),
        Op::ShutdownWrite,
        Op::LingerZero,
        Op::DelayAcks,
        Op::SocketError,
        Op::Close,
    ])
}

impl Change {
    /// Applies the change. Returns the frame number of the changed segment, if the change is to a segment.
    pub(crate) fn apply(&self, evidence: &mut Evidence) -> Option<u32> {
        self.apply_to_calls(&mut evidence.calls);
        self.apply_to_order(&mut evidence.packets);
        let index = self.segment()?;
        let mut all: Vec<_> = segments(evidence).collect();
        if all.is_empty() {
            return None;
        }
        let nth = index.index(all.len());
        let segment = &mut *all[nth];
        match *self {
            Self::Seq(_, by) => segment.seq.0 = segment.seq.0.wrapping_add_signed(by),
            Self::Ack(_, by) if segment.flags.has(Flags::ACK) => {
                segment.ack.0 = segment.ack.0.wrapping_add_signed(by);
            }
            Self::Flags(_, flags) => segment.flags = flags,
            Self::Len(_, len) => segment.payload_len = len,
            Self::Window(_, window) => segment.window = window,
            Self::Timestamps(_) => {
                segment.timestamps = match segment.timestamps {
                    Some(_) => None,
                    None => Some(TcpTimestamps::default()),
                };
            }
            Self::Sack(_, edge) => {
                let left = segment.ack.plus(edge);
                segment.sack = SackBlocks::new(&[(left, left.plus(1))]);
            }
            Self::At(_, by) => segment.at.0 += by,
            Self::Direction(_) => {
                (segment.source, segment.destination) = (segment.destination, segment.source);
            }
            _ => {}
        }
        Some(segment.frame)
    }

    fn segment(&self) -> Option<Index> {
        match *self {
            Self::Seq(at, _)
            | Self::Ack(at, _)
            | Self::Flags(at, _)
            | Self::Len(at, _)
            | Self::Window(at, _)
            | Self::Timestamps(at)
            | Self::Sack(at, _)
            | Self::At(at, _)
            | Self::Direction(at) => Some(at),
            _ => None,
        }
    }

    fn apply_to_calls(&self, calls: &mut Vec<Call>) {
        if calls.is_empty() {
            return;
        }
        let count = calls.len();
        match *self {
            Self::Outcome(at, outcome) => calls[at.index(count)].outcome = outcome,
            Self::Op(at, op) => calls[at.index(count)].op = op,
            Self::Role(at) => {
                let call = &mut calls[at.index(count)];
                call.role = call.role.peer();
            }
            Self::Ended(at, by) => calls[at.index(count)].ended.0 += by,
            Self::NoCall(at) => drop(calls.remove(at.index(count))),
            Self::Calls(at) => {
                let at = at.index(count);
                calls.swap(at, (at + 1) % count);
            }
            _ => {}
        }
    }

    fn apply_to_order(&self, packets: &mut Vec<Packet>) {
        if packets.is_empty() {
            return;
        }
        let count = packets.len();
        match *self {
            Self::Again(at) => {
                let at = at.index(count);
                packets.insert(at, packets[at]);
            }
            Self::Order(at) => {
                let at = at.index(count);
                packets.swap(at, (at + 1) % count);
            }
            Self::Remove(at) => drop(packets.remove(at.index(count))),
            Self::Icmp(at) => {
                let at = at.index(count);
                if let Packet::Tcp(segment) = packets[at] {
                    packets.insert(at, icmp_about(&segment, 500));
                }
            }
            _ => {}
        }
    }
}

fn icmp_about(segment: &Segment, frame: u32) -> Packet {
    Packet::Icmp(IcmpError {
        frame,
        at: segment.at,
        tap: Tap::Both,
        source: segment.destination.ip(),
        kind: 3,
        code: 3,
        quoted_source: segment.source,
        quoted_destination: segment.destination,
        quoted_seq: Some(segment.seq),
    })
}

/// Packet that does not belong to the connection, though it may resemble one that does.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    protocol: u8,
    /// Selector of the source and destination (see `ends`).
    between: (Index, Index),
    flags: Flags,
    numbers: (i32, i32),
    len: u32,
    window: u16,
    at: i64,
}

pub(crate) fn stranger() -> impl Strategy<Value = Stranger> {
    let numbers = || prop_oneof![-2..5_i32, any::<i32>()];
    (
        0..8_u8,
        any::<(Index, Index)>(),
        flags(),
        (numbers(), numbers()),
        0..3_u32,
        select(vec![0, 512]),
        -30_000..30_000_i64,
    )
        .prop_map(
            |(protocol, between, flags, numbers, len, window, at)| Stranger {
                protocol,
                between,
                flags,
                numbers,
                len,
                window,
                at,
            },
        )
}

impl Stranger {
    pub(crate) fn of(&self, client: SocketAddr, server: SocketAddr) -> Packet {
        let (source, destination) = self.ends(client, server);
        let at = Timestamp(BEGAN.0 + self.at);
        let segment = Segment {
            frame: 1000,
            at,
            tap: Tap::Both,
            source,
            destination,
            flags: self.flags,
            // Relative to the initial numbers, so that some are plausible for the connection.
            seq: SeqNum(SERVER_ISS.0.wrapping_add_signed(self.numbers.0)),
            ack: SeqNum(CLIENT_ISS.0.wrapping_add_signed(self.numbers.1)),
            window: self.window,
            payload_len: self.len,
            timestamps: None,
            sack: SackBlocks::default(),
            options: Options::default(),
        };
        match self.protocol {
            0 => Packet::Other,
            // UDP between the two ends is not part of the connection either.
            1 => Packet::Udp {
                at: segment.at,
                source: client,
                mark: Some(1),
                commitment: None,
            },
            2 => icmp_about(&segment, 1000),
            _ => Packet::Tcp(segment),
        }
    }

    /// Returns the source and destination: any combination of the ends' addresses and ports, another address and
    /// neighbouring ports, except the connection itself.
    fn ends(&self, client: SocketAddr, server: SocketAddr) -> (SocketAddr, SocketAddr) {
        let other = match client.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 7, 0, 2]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 2]),
        };
        let ports = [
            client.port(),
            server.port(),
            client.port() + 1,
            server.port() - 1,
        ];
        let all: Vec<_> = [client.ip(), other]
            .into_iter()
            .flat_map(|ip| ports.map(|port| SocketAddr::new(ip, port)))
            .collect();
        let pairs: Vec<_> = all
            .iter()
            .flat_map(|from| all.iter().map(move |to| (*from, *to)))
            .filter(|pair| *pair != (client, server) && *pair != (server, client))
            .collect();
        // Sum of both indices, so that proptest can shrink either.
        let nth = self.between.0.index(pairs.len()) + self.between.1.index(pairs.len());
        pairs[nth % pairs.len()]
    }
}
