//! Language in which tests write evidence: packetdrill's segments, strace's calls.
//!
//! It is that of the [`stories`], which are the good evidence of each scenario. Every line is one microsecond after the
//! line before, a call returns after its last segment, and frames are numbered from 1.

#![allow(dead_code)] // each test file uses a part
#![allow(clippy::unwrap_used)] // the lint's exception for tests does not reach functions that tests share

pub(crate) mod changes;
#[path = "../stories/mod.rs"]
pub(crate) mod stories;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rstproof_core::evidence::{Completeness, Evidence};
use rstproof_core::packet::{
    Flags, IcmpError, Options, Packet, SackBlocks, Segment, SeqNum, Tap, TcpTimestamps,
};
use rstproof_core::scenario::{self, Family, Scenario, Target};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Call, Errno, Events, Op, Outcome, Role};
use rstproof_core::verdict::{Finding, InconclusiveReason, Judgement, Verdict, judge};

use stories::lines;

pub(crate) const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// Initial sequence number of the client, far from any relative number.
pub(crate) const CLIENT_ISS: SeqNum = SeqNum(1_000_000_000);
/// Initial sequence number of the server, far from any relative number.
pub(crate) const SERVER_ISS: SeqNum = SeqNum(3_000_000_000);

/// Time at which every trial begins.
pub(crate) const BEGAN: Timestamp = Timestamp(1_700_000_000_000_000_000);
/// Time between two lines, in nanoseconds.
const TICK_NS: i64 = 1_000;

/// Placeholder for the end of a blocked call that has not returned yet.
const BLOCKED: Timestamp = Timestamp(i64::MAX);

/// Returns the addresses of the client and the server.
pub(crate) fn ends(family: Family) -> (SocketAddr, SocketAddr) {
    let ip = match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(127, 7, 0, 1)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    (SocketAddr::new(ip, 40_000), SocketAddr::new(ip, 8080))
}

/// Complete evidence: nothing dropped or hidden by a filter, and no step of the clock.
pub(crate) const COMPLETE: Completeness = Completeness {
    fence_seen: true,
    ..Completeness::UNKNOWN
};

/// Evidence of a trial, line by line.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) scenario: &'static Scenario,
    lines: Vec<String>,
}

/// Returns the scenarios whose story is whole.
pub(crate) fn scenarios_with_stories() -> Vec<&'static Scenario> {
    let whole = stories::all().filter(|story| story.is_whole());
    whole
        .map(|story| scenario::find(story.id).unwrap_or_else(|| panic!("there is no {}", story.id)))
        .collect()
}

/// Returns the trial of this scenario that must be confirmed.
pub(crate) fn story(id: &str) -> Story {
    let written = stories::all()
        .find(|story| story.id == id && story.is_whole())
        .unwrap_or_else(|| panic!("{id}: no whole story is written down"));
    Story {
        scenario: scenario::find(id).unwrap(),
        lines: written.evidence(),
    }
}

impl Story {
    /// Replaces a line, which must occur once. Both `old` and `new` may be several lines; `new` may be none.
    #[track_caller]
    pub(crate) fn with(mut self, old: &str, new: &str) -> Self {
        let old = lines(old);
        let mut places = (0..self.lines.len()).filter(|&at| self.lines[at..].starts_with(&old));
        let at = places.next().unwrap_or_else(|| panic!("no {old:?}"));
        assert!(places.next().is_none(), "{old:?} twice");
        self.lines.splice(at..at + old.len(), lines(new));
        self
    }

    /// Removes a line.
    pub(crate) fn without(self, line: &str) -> Self {
        self.with(line, "")
    }

    /// Inserts a line after this one.
    pub(crate) fn after(self, line: &str, new: &str) -> Self {
        self.with(line, &format!("{line}\n{new}"))
    }

    /// Inserts a line before this one.
    pub(crate) fn before(self, line: &str, new: &str) -> Self {
        self.with(line, &format!("{new}\n{line}"))
    }

    /// Builds the evidence that the lines describe.
    pub(crate) fn evidence(&self, family: Family) -> Evidence {
        let (client, mut server) = ends(family);
        if self.scenario.target == Target::Itself {
            server = client;
        }
        let mut evidence = Evidence {
            completeness: COMPLETE,
            ..Evidence::new(client, server, BEGAN)
        };
        for (line, ticks) in self.lines.iter().zip(1..) {
            let now = Timestamp(BEGAN.0 + ticks * TICK_NS);
            if line.starts_with(['>', '<']) {
                let frame = u32::try_from(evidence.packets.len()).unwrap() + 1;
                evidence.packets.push(packet(line, family, frame, now));
                let last = evidence.calls.last_mut();
                if let Some(call) = last.filter(|call| call.ended != BLOCKED) {
                    call.ended.0 = now.0 + TICK_NS / 2;
                }
            } else if let Some(role) = line.strip_prefix("end ") {
                let is_it = |call: &&mut Call| call.role.name() == role && call.ended == BLOCKED;
                let mut calls = evidence.calls.iter_mut();
                calls.find(is_it).unwrap().ended = now;
            } else if let Some(line) = line.strip_prefix("blocked ") {
                let ended = BLOCKED;
                evidence.calls.push(Call {
                    ended,
                    ..call(line, now)
                });
            } else {
                evidence.calls.push(call(line, now));
            }
        }
        evidence
    }

    /// Returns the judgement, which must be the same for both families.
    #[track_caller]
    pub(crate) fn judged(&self) -> Judgement {
        self.judged_after(|_| ())
    }

    /// Returns the judgement after a change to the evidence that the language cannot express.
    #[track_caller]
    pub(crate) fn judged_after(&self, change: impl Fn(&mut Evidence)) -> Judgement {
        let [ipv4, ipv6] = FAMILIES.map(|family| {
            let mut evidence = self.evidence(family);
            change(&mut evidence);
            judge(self.scenario, &evidence)
        });
        // Only types and codes of ICMP depend on the family.
        let alike = |judgement: &Judgement| {
            let mut alike = judgement.clone();
            for icmp in &mut alike.icmp {
                (icmp.kind, icmp.errno) = ((0, 0), None);
            }
            alike
        };
        assert_eq!(alike(&ipv4), alike(&ipv6), "the families differ");
        ipv4
    }

    #[track_caller]
    pub(crate) fn is_confirmed(&self) {
        self.judged().is_confirmed();
    }

    #[track_caller]
    pub(crate) fn is_refuted_by(&self, findings: &[Finding]) {
        self.judged().is_refuted_by(findings);
    }

    #[track_caller]
    pub(crate) fn is_inconclusive_for(&self, gap: InconclusiveReason) {
        self.judged().is_inconclusive_for(gap);
    }
}

/// Assertions on a judgement.
pub(crate) trait Says {
    fn is_confirmed(&self);
    fn is_refuted_by(&self, findings: &[Finding]);
    fn is_inconclusive_for(&self, gap: InconclusiveReason);
}

impl Says for Judgement {
    #[track_caller]
    fn is_confirmed(&self) {
        assert_eq!(
            (
                self.verdict,
                self.findings.as_slice(),
                self.inconclusive_reason
            ),
            (Verdict::Confirmed, [].as_slice(), None)
        );
    }

    #[track_caller]
    fn is_refuted_by(&self, findings: &[Finding]) {
        assert_eq!(
            (
                self.verdict,
                self.findings.as_slice(),
                self.inconclusive_reason
            ),
            (Verdict::Refuted, findings, None)
        );
    }

    #[track_caller]
    fn is_inconclusive_for(&self, gap: InconclusiveReason) {
        assert_eq!(
            (
                self.verdict,
                self.findings.as_slice(),
                self.inconclusive_reason
            ),
            (Verdict::Inconclusive, [].as_slice(), Some(gap))
        );
    }
}

/// Returns the TCP segments among the packets.
pub(crate) fn segments(evidence: &mut Evidence) -> impl Iterator<Item = &mut Segment> {
    evidence.packets.iter_mut().filter_map(|packet| {
        let Packet::Tcp(segment) = packet else {
            return None;
        };
        Some(segment)
    })
}

/// Returns the only RST.
pub(crate) fn the_reset(evidence: &mut Evidence) -> &mut Segment {
    let mut resets = segments(evidence).filter(|segment| segment.flags.has(Flags::RST));
    let reset = resets.next().unwrap();
    assert!(resets.next().is_none(), "two RSTs");
    reset
}

/// Parses the line of a segment.
pub(crate) fn segment(line: &str, family: Family, frame: u32, at: Timestamp) -> Segment {
    let Packet::Tcp(segment) = packet(line, family, frame, at) else {
        panic!("{line}: no TCP segment");
    };
    segment
}

fn packet(line: &str, family: Family, frame: u32, at: Timestamp) -> Packet {
    let mut words = line.split_whitespace();
    let ((source, iss), (destination, peer_iss)) = direction(words.next().unwrap(), family);
    let first = words.next().unwrap();
    if first == "icmp" {
        let kinds = words.next().unwrap();
        let (ipv4, ipv6) = kinds.split_once(',').unwrap_or((kinds, kinds));
        let kind = if family == Family::Ipv4 { ipv4 } else { ipv6 };
        let (kind, code) = kind.split_once('/').unwrap();
        assert_eq!(words.next(), Some("about"), "{line}");
        let ((quoted_source, quoted_iss), (quoted_destination, _)) =
            direction(words.next().unwrap(), family);
        return Packet::Icmp(IcmpError {
            frame,
            at,
            tap: Tap::Both,
            source: source.ip(),
            kind: kind.parse().unwrap(),
            code: code.parse().unwrap(),
            quoted_source,
            quoted_destination,
            quoted_seq: Some(match words.next() {
                Some(quoted) => number(quoted, quoted_iss),
                None => quoted_iss,
            }),
        });
    }
    let (seq, payload_len) = range(words.next().unwrap(), iss);
    let mut segment = Segment {
        frame,
        at,
        tap: Tap::Both,
        source,
        destination,
        flags: flags(first),
        seq,
        ack: SeqNum(0),
        window: 0,
        payload_len,
        timestamps: None,
        sack: SackBlocks::default(),
        options: Options::default(),
    };
    let mut blocks = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "ack" => segment.ack = number(words.next().unwrap(), peer_iss),
            "win" => segment.window = words.next().unwrap().parse().unwrap(),
            "ts" => segment.timestamps = Some(TcpTimestamps::default()),
            "sack" => {
                let (left, right) = words.next().unwrap().split_once(':').unwrap();
                blocks.push((number(left, peer_iss), number(right, peer_iss)));
            }
            other => panic!("{line}: {other}?"),
        }
    }
    segment.sack = SackBlocks::new(&blocks);
    Packet::Tcp(segment)
}

/// Address of an end and its initial sequence number.
type End = (SocketAddr, SeqNum);

/// Returns the sender and the receiver of a direction.
fn direction(arrow: &str, family: Family) -> (End, End) {
    let (client, server) = ends(family);
    match arrow {
        ">" => ((client, CLIENT_ISS), (server, SERVER_ISS)),
        "<" => ((server, SERVER_ISS), (client, CLIENT_ISS)),
        // A socket connected to itself.
        ">>" => ((client, CLIENT_ISS), (client, CLIENT_ISS)),
        other => panic!("{other} is no direction"),
    }
}

/// Parses `1:3(2)` into the sequence number and the length. The fields are the first number, the number after the last
/// byte, and the number of bytes.
fn range(text: &str, iss: SeqNum) -> (SeqNum, u32) {
    let (range, len) = text.trim_end_matches(')').split_once('(').unwrap();
    let (start, end) = range.split_once(':').unwrap();
    let len: u32 = len.parse().unwrap();
    let from = start.trim_start_matches('=').parse::<i64>().unwrap();
    assert_eq!(end.parse::<i64>().unwrap(), from + i64::from(len), "{text}");
    (number(start, iss), len)
}

/// Parses a sequence number, which may be before the initial one.
fn number(text: &str, iss: SeqNum) -> SeqNum {
    if let Some(on_the_wire) = text.strip_prefix('=') {
        return SeqNum(on_the_wire.parse().unwrap());
    }
    iss.plus(
        text.parse::<i64>()
            .unwrap()
            .rem_euclid(1 << 32)
            .try_into()
            .unwrap(),
    )
}

/// Parses flags in packetdrill's letters.
pub(crate) fn flags(letters: &str) -> Flags {
    letters.chars().fold(Flags::default(), |flags, letter| {
        flags.and(match letter {
            'F' => Flags::FIN,
            'S' => Flags::SYN,
            'R' => Flags::RST,
            'P' => Flags::PSH,
            '.' => Flags::ACK,
            '-' => Flags::default(),
            other => panic!("{other} is no flag"),
        })
    })
}

fn call(line: &str, began: Timestamp) -> Call {
    let (made, result) = line.split_once(" = ").unwrap();
    let (role, op) = made.split_once(' ').unwrap();
    let op = op_of(op);
    let role = match role {
        "client" => Role::Client,
        "server" => Role::Server,
        other => panic!("{other} is no end"),
    };
    Call {
        role,
        op,
        began,
        ended: Timestamp(began.0 + TICK_NS / 2),
        outcome: outcome(op, result),
    }
}

fn op_of(text: &str) -> Op {
    let (name, arguments) = text.trim_end_matches(')').split_once('(').unwrap();
    Op::of_call(name, arguments).unwrap_or_else(|| panic!("{text} is no call"))
}

fn outcome(op: Op, text: &str) -> Outcome {
    if op == Op::Poll {
        return Outcome::Polled(Events::of_text(text).unwrap());
    }
    let errno = match text {
        "?" => return Outcome::Unfinished,
        "EPIPE" => Errno::EPIPE,
        "ECONNRESET" => Errno::ECONNRESET,
        "ECONNREFUSED" => Errno::ECONNREFUSED,
        "ENOTCONN" => Errno::ENOTCONN,
        "EAGAIN" => Errno::EAGAIN,
        "EINPROGRESS" => Errno::EINPROGRESS,
        "EALREADY" => Errno::EALREADY,
        "EINVAL" => Errno::EINVAL,
        "ETIMEDOUT" => Errno::ETIMEDOUT,
        "ECONNABORTED" => Errno::ECONNABORTED,
        "ENETUNREACH" => Errno::ENETUNREACH,
        "0" if op == Op::SocketError => return Outcome::SocketError(None),
        value => return Outcome::Returned(value.parse().unwrap()),
    };
    if op == Op::SocketError {
        Outcome::SocketError(Some(errno))
    } else {
        Outcome::Failed(errno)
    }
}
