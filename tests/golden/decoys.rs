//! RSTs that have no part in a trial, put into its evidence at every place: no verdict may become wrong by them.

#[path = "../support/decoy.rs"]
mod decoy;

use std::collections::BTreeMap;
use std::path::Path;

use rstproof::archive::load;
use rstproof_core::evidence::Evidence;
use rstproof_core::flow::Flow;
use rstproof_core::packet::{Flags, Options, Packet, SackBlocks, Segment, SeqNum, Tap};
use rstproof_core::scenario::Role;
use rstproof_core::time::Timestamp;
use rstproof_core::verdict::judge;

use self::decoy::{Outcome, Stray, look_at};
use crate::evidence::CAPTURES;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    WrongNumber,
    Neighbour,
    Exact,
}

/// The number of its frame: none that is in a capture.
const FRAME: u32 = 1_000_000;

/// Of large captures every so manieth place is enough.
const MAX_PLACES: usize = 48;

/// A decoy as this place of the capture would show it; `None` while nobody knows which number would be right.
fn decoy(evidence: &Evidence, place: usize, from: Role, kind: Kind) -> Option<Segment> {
    let mut flow = Flow::new(evidence.client, evidence.server);
    let mut at = evidence.began;
    let mut between_hosts = false;
    for packet in &evidence.packets[..place] {
        if let Packet::Tcp(segment) = packet {
            flow.observe(segment);
            between_hosts |= segment.tap != Tap::Both;
            at = segment.at;
        }
    }
    let next = flow.rcv_nxt(from.peer())?;
    let (source, mut destination) = match from {
        Role::Client => (evidence.client, evidence.server),
        Role::Server => (evidence.server, evidence.client),
    };
    if kind == Kind::Neighbour {
        destination.set_port(destination.port() ^ 1);
    }
    let seq = match kind {
        Kind::WrongNumber => next.plus(1 << 30),
        Kind::Neighbour | Kind::Exact => next,
    };
    Some(Segment {
        frame: FRAME,
        at: Timestamp(at.0 + 1),
        tap: match from.peer() {
            _ if !between_hosts => Tap::Both,
            Role::Client => Tap::Client,
            Role::Server => Tap::Server,
        },
        source,
        destination,
        flags: Flags::RST,
        seq,
        ack: SeqNum(0),
        window: 31_337,
        payload_len: 0,
        timestamps: None,
        sack: SackBlocks::default(),
        options: Options::default(),
    })
}

#[test]
fn no_verdict_becomes_wrong() {
    let mut results = BTreeMap::<Outcome, usize>::new();
    let mut wrong = Vec::new();
    for trial in load::trials_at(Path::new(CAPTURES)) {
        let trial = trial.unwrap();
        let scenario = trial.scenario;
        let count = trial.evidence.packets.len();
        for place in (0..=count).step_by(1 + count / MAX_PLACES) {
            for from in [Role::Client, Role::Server] {
                for kind in [Kind::WrongNumber, Kind::Neighbour, Kind::Exact] {
                    let Some(segment) = decoy(&trial.evidence, place, from, kind) else {
                        continue;
                    };
                    let mut evidence = trial.evidence.clone();
                    evidence.packets.insert(place, Packet::Tcp(segment));
                    let judgement = judge(scenario, &evidence);
                    let stray = Stray {
                        from,
                        is_exact: kind == Kind::Exact,
                        frames: &[FRAME],
                    };
                    match look_at(scenario, stray, &judgement) {
                        Ok(outcome) => *results.entry(outcome).or_default() += 1,
                        Err(what) => wrong.push(format!(
                            "{} {kind:?} by the {from:?} at {place}: {what}: {:?} {:?} {:?}",
                            scenario.id,
                            judgement.verdict,
                            judgement.inconclusive_reason,
                            judgement.findings
                        )),
                    }
                }
            }
        }
    }
    println!("{results:?}");
    assert!(
        wrong.is_empty(),
        "{} {results:?}\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let all: usize = results.values().sum();
    assert!(results[&Outcome::Ignored] > all / 2, "{results:?}");
    assert!(results[&Outcome::Believed] > all / 20, "{results:?}");
}
