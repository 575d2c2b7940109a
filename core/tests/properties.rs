//! What must hold of every verdict, whatever the evidence.
//!
//! Each property starts from the good evidence of some scenario, and changes something that must not matter, or
//! something that must. The seed is fixed: the same cases every time.

mod support;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed};
use rstproof_core::evidence::{Completeness, Evidence};
use rstproof_core::flow::{Acceptance, State};
use rstproof_core::packet::{Flags, Options, Packet, SackBlocks, Segment, SeqNum, Tap};
use rstproof_core::scenario::{ExpectedCause, Family, Scenario, Topic};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Op, Outcome};
use rstproof_core::verdict::{Finding, Judgement, Verdict, judge};
use support::changes::{Change, change, op, outcome, stranger};
use support::{
    BEGAN, CLIENT_ISS, COMPLETE, FAMILIES, SERVER_ISS, ends, scenarios_with_stories, segments,
    story, the_reset,
};

fn config() -> Config {
    Config {
        cases: 1024,
        rng_seed: RngSeed::Fixed(5961),
        failure_persistence: None,
        ..Config::default()
    }
}

/// A scenario, and evidence for it.
#[derive(Clone, Debug)]
struct Trial {
    scenario: &'static Scenario,
    evidence: Evidence,
}

impl Trial {
    fn judged(&self) -> Judgement {
        judge(self.scenario, &self.evidence)
    }

    fn verdict(&self) -> Verdict {
        self.judged().verdict
    }
}

fn trial_of(scenarios: Vec<&'static Scenario>) -> impl Strategy<Value = Trial> {
    (select(scenarios), select(&FAMILIES)).prop_map(|(scenario, family)| Trial {
        scenario,
        evidence: story(scenario.id).evidence(family),
    })
}

/// The scenarios in which nothing is made by hand and no timer or ICMP error has a part: what an end does is what its calls
/// say, and all of it was captured.
fn ordinary() -> Vec<&'static Scenario> {
    let special = [
        Topic::Unreachable,
        Topic::Firewall,
        Topic::HalfOpen,
        Topic::Blind,
    ];
    let mut scenarios = scenarios_with_stories();
    scenarios.retain(|scenario| !special.contains(&scenario.topic));
    scenarios
}

/// Any ordinary scenario with the evidence that confirms it.
fn good() -> impl Strategy<Value = Trial> {
    trial_of(ordinary())
}

/// One of those that are about an RST.
fn good_with_reset() -> impl Strategy<Value = Trial> {
    let about_resets = ordinary().into_iter();
    trial_of(
        about_resets
            .filter(|scenario| !scenario.resets.is_empty())
            .collect(),
    )
}

/// Evidence in which up to four things are changed. Also gives the frames that were touched.
fn changed() -> impl Strategy<Value = (Trial, Vec<u32>)> {
    (good(), prop::collection::vec(change(), 0..=4)).prop_map(|(mut trial, changes)| {
        let touched = changes
            .iter()
            .filter_map(|change| change.apply(&mut trial.evidence))
            .collect();
        (trial, touched)
    })
}

// What must not matter

proptest! {
    #![proptest_config(config())]

    #[test]
    fn packets_of_other_connections_do_not_change_the_verdict(
        (trial, _) in changed(),
        strangers in prop::collection::vec((any::<Index>(), stranger()), 0..12),
    ) {
        let mut among_strangers = trial.clone();
        for (at, stranger) in strangers {
            let packets = &mut among_strangers.evidence.packets;
            let (client, server) = (trial.evidence.client, trial.evidence.server);
            packets.insert(at.index(packets.len() + 1), stranger.of(client, server));
        }
        prop_assert_eq!(among_strangers.judged(), trial.judged());
    }

    #[test]
    fn initial_sequence_numbers_do_not_matter(
        (trial, _) in changed(),
        client_iss in initial_number(CLIENT_ISS),
        server_iss in initial_number(SERVER_ISS),
    ) {
        // Of a socket that is connected to itself they are the same number.
        prop_assume!(trial.evidence.client != trial.evidence.server);
        let client = client_iss.0.wrapping_sub(CLIENT_ISS.0);
        let server = server_iss.0.wrapping_sub(SERVER_ISS.0);
        let mut shifted = trial.clone();
        let client_end = trial.evidence.client;
        for segment in segments(&mut shifted.evidence) {
            let (own, peer) = if segment.source == client_end { (client, server) } else { (server, client) };
            // The answer to a segment without ACK has SEQ 0 whatever the numbers; without ACK the field counts nothing.
            if segment.seq != SeqNum(0) || !segment.flags.has(Flags::RST) {
                segment.seq = segment.seq.plus(own);
            }
            if segment.flags.has(Flags::ACK) {
                segment.ack = segment.ack.plus(peer);
                segment.sack = shifted_blocks(segment.sack, peer);
            }
        }
        for packet in &mut shifted.evidence.packets {
            if let Packet::Icmp(error) = packet {
                let own = if error.quoted_source == client_end { client } else { server };
                error.quoted_seq = error.quoted_seq.map(|seq| seq.plus(own));
            }
        }
        // An RST's number that happens to be 0 now, or was before, would be taken for the absence of one, and SEQ 0 stays
        // the same only where SEQ does not count.
        let judgement = trial.judged();
        let in_syn_sent = judgement.resets.iter().all(|reset| reset.receiver_state == State::SynSent);
        let zeros = zeros_of_resets(&trial.evidence);
        prop_assume!(zeros == zeros_of_resets(&shifted.evidence));
        prop_assume!(in_syn_sent || zeros.iter().all(|(seq, _)| !seq));
        prop_assert_eq!(shifted.judged(), judgement);
    }

    #[test]
    fn the_time_of_day_does_not_matter((trial, _) in changed(), by in -1_i64 << 60..1 << 60) {
        let mut later = trial.clone();
        later.evidence.began.0 += by;
        for call in &mut later.evidence.calls {
            call.began.0 += by;
            call.ended.0 += by;
        }
        for packet in &mut later.evidence.packets {
            match packet {
                Packet::Tcp(segment) => segment.at.0 += by,
                Packet::Icmp(error) => error.at.0 += by,
                Packet::Udp { .. } | Packet::Other => {}
            }
        }
        let mut judged = later.judged();
        for reset in &mut judged.resets {
            reset.at.0 -= by;
        }
        for icmp in &mut judged.icmp {
            icmp.at.0 -= by;
        }
        prop_assert_eq!(judged, trial.judged());
    }

    #[test]
    fn judging_the_same_evidence_twice_gives_the_same_judgement((trial, _) in changed()) {
        prop_assert_eq!(trial.judged(), trial.judged());
    }

    #[test]
    fn the_parts_of_a_judgement_agree((trial, _) in changed()) {
        let judgement = trial.judged();
        let parts = (judgement.inconclusive_reason.is_some(), !judgement.findings.is_empty());
        let meant = match judgement.verdict {
            Verdict::Confirmed => (false, false),
            Verdict::Refuted => (false, true),
            Verdict::Inconclusive => (true, false),
        };
        prop_assert_eq!(parts, meant);
        let errors = trial.evidence.calls.iter().enumerate();
        let errors = errors.filter(|(_, call)| call.outcome.errno().is_some()).map(|(index, _)| index);
        let attributed = judgement.attributions.iter().map(|(call, _)| *call);
        prop_assert!(attributed.eq(errors), "each error has its cause, and nothing else has");
    }
}

/// For each RST, whether its SEQ and its ACK field are 0.
fn zeros_of_resets(evidence: &Evidence) -> Vec<(bool, bool)> {
    let resets = evidence.packets.iter().filter_map(|packet| match packet {
        Packet::Tcp(segment) if segment.flags.has(Flags::RST) => Some(segment),
        _ => None,
    });
    resets
        .map(|reset| (reset.seq == SeqNum(0), reset.ack == SeqNum(0)))
        .collect()
}

fn shifted_blocks(blocks: SackBlocks, by: u32) -> SackBlocks {
    match blocks.right_edge() {
        None => blocks,
        Some(edge) => SackBlocks::new(&[(edge.plus(by).plus(u32::MAX), edge.plus(by))]),
    }
}

/// Any number, and above all such that 2^32 or 2^31 is crossed while the connection lives.
fn initial_number(usual: SeqNum) -> impl Strategy<Value = SeqNum> {
    prop_oneof![
        any::<u32>(),
        (0..6_u32).prop_map(|before| 0_u32.wrapping_sub(before)),
        (0..6_u32).prop_map(|before| (1 << 31) - before),
        Just(usual.0),
    ]
    .prop_map(SeqNum)
}

// What must matter

proptest! {
    #![proptest_config(config())]

    #[test]
    fn without_its_rst_nothing_is_confirmed(mut trial in good_with_reset()) {
        let frame = the_reset(&mut trial.evidence).frame;
        trial.evidence.packets.retain(|packet| frame_of(packet) != Some(frame));
        prop_assert_ne!(trial.verdict(), Verdict::Confirmed);
    }

    #[test]
    fn removing_another_frame_never_confirms_a_changed_trial((trial, touched) in changed()) {
        let judgement = trial.judged();
        let named: Vec<u32> = judgement.findings.iter().filter_map(Finding::frame).collect();
        for (index, packet) in trial.evidence.packets.iter().enumerate() {
            // What was made wrong, or is found wrong, may be taken away again.
            let frame = frame_of(packet);
            if frame.is_some_and(|frame| touched.contains(&frame) || named.contains(&frame)) {
                continue;
            }
            // Of a SYN that was sent twice either does, and a change made the other a segment of something else.
            let is_syn = |packet: &Packet| {
                matches!(packet, Packet::Tcp(it) if it.flags.has(Flags::SYN) && !it.flags.has(Flags::ACK))
            };
            if is_syn(packet) && trial.evidence.packets.iter().filter(|it| is_syn(it)).count() > 1 {
                continue;
            }
            let mut without = trial.clone();
            without.evidence.packets.remove(index);
            let healed = judgement.verdict == Verdict::Refuted && without.verdict() == Verdict::Confirmed;
            prop_assert!(!healed, "without frame {:?}: {:?}", frame, judgement.findings);
        }
    }

    #[test]
    fn any_other_outcome_is_not_confirmed(mut trial in good(), at in any::<Index>(), outcome in outcome()) {
        let call = at.get_mut(&mut trial.evidence.calls);
        prop_assume!(call.outcome != outcome);
        call.outcome = outcome;
        // What becomes of a child process is no behaviour of TCP.
        let is_the_hosts = matches!(
            (call.op, outcome),
            (Op::Spawn, Outcome::Failed(_)) | (Op::Spawn | Op::Kill | Op::Terminate, Outcome::Unfinished)
        );
        let meant = if is_the_hosts { Verdict::Inconclusive } else { Verdict::Refuted };
        prop_assert_eq!(trial.verdict(), meant);
    }

    #[test]
    fn any_other_call_is_not_confirmed(mut trial in good(), at in any::<Index>(), other in op()) {
        let call = at.get_mut(&mut trial.evidence.calls);
        prop_assume!(call.op != other);
        call.op = other;
        prop_assert_eq!(trial.verdict(), Verdict::Refuted);
    }

    #[test]
    fn a_call_of_the_other_end_is_not_confirmed(mut trial in good(), at in any::<Index>()) {
        let call = at.get_mut(&mut trial.evidence.calls);
        call.role = call.role.peer();
        prop_assert_eq!(trial.verdict(), Verdict::Refuted);
    }

    #[test]
    fn calls_in_another_order_are_not_confirmed(mut trial in good(), a in any::<Index>(), b in any::<Index>()) {
        let calls = &mut trial.evidence.calls;
        let (a, b) = (a.index(calls.len()), b.index(calls.len()));
        let what = |index: usize| (calls[index].role, calls[index].op, calls[index].outcome);
        prop_assume!(what(a) != what(b));
        calls.swap(a, b);
        prop_assert_eq!(trial.verdict(), Verdict::Refuted);
    }

    #[test]
    fn a_call_more_or_less_is_not_confirmed(trial in good(), at in any::<Index>(), to in any::<Index>()) {
        let at = at.index(trial.evidence.calls.len());
        let mut fewer = trial.clone();
        let call = fewer.evidence.calls.remove(at);
        prop_assert_eq!(fewer.verdict(), Verdict::Refuted);
        let mut more = trial;
        let to = to.index(more.evidence.calls.len() + 1);
        more.evidence.calls.insert(to, call);
        prop_assert_eq!(more.verdict(), Verdict::Refuted);
    }

    #[test]
    fn an_rst_at_another_number_is_not_confirmed(
        mut trial in good_with_reset(),
        by in prop_oneof![-3..=3_i32, any::<i32>()],
    ) {
        prop_assume!(by != 0);
        let reset = the_reset(&mut trial.evidence);
        reset.seq.0 = reset.seq.0.wrapping_add_signed(by);
        // Linux believes one number more once a FIN has come in.
        let after_fin = trial.scenario.resets[0].receiver_state == State::CloseWait;
        let judgement = trial.judged();
        if after_fin && by == -1 {
            let acceptance = judgement.resets[0].acceptance;
            prop_assert!(matches!(acceptance, Acceptance::BeforeFin { .. }), "{}", acceptance);
        } else {
            prop_assert_ne!(judgement.verdict, Verdict::Confirmed);
        }
    }

    #[test]
    fn an_rst_the_other_way_is_not_confirmed(mut trial in good_with_reset(), by in any::<u32>()) {
        let reset = the_reset(&mut trial.evidence);
        (reset.source, reset.destination) = (reset.destination, reset.source);
        prop_assert_ne!(trial.verdict(), Verdict::Confirmed);
        // Nor where it would be believed.
        let mut exact = trial.clone();
        let ack = the_reset(&mut exact.evidence).ack;
        the_reset(&mut exact.evidence).seq = ack;
        prop_assert_ne!(exact.verdict(), Verdict::Confirmed);
        the_reset(&mut exact.evidence).seq = SeqNum(by);
        prop_assert_ne!(exact.verdict(), Verdict::Confirmed);
    }

    #[test]
    fn an_rst_after_the_failing_call_is_not_confirmed(
        mut trial in good_with_reset(),
        by in prop_oneof![0..3_i64, 0..1_i64 << 40],
    ) {
        let told = trial.scenario.calls().position(|(_, _, expect)| expect.cause() == Some(ExpectedCause::Reset(0)));
        let ended = trial.evidence.calls[told.unwrap()].ended;
        the_reset(&mut trial.evidence).at = Timestamp(ended.0 + by);
        prop_assert_eq!(trial.verdict(), Verdict::Refuted);
    }

    #[test]
    fn an_rst_at_any_time_before_the_return_is_confirmed(mut trial in good_with_reset(), at in any::<Index>()) {
        // The first of them that any end was told, or felt it.
        let of_reset = [ExpectedCause::Reset(0), ExpectedCause::AfterReset(0), ExpectedCause::OwnReset(0)];
        let felt = trial.scenario.calls().enumerate().filter(|(_, (_, _, expect))| {
            expect.cause().is_some_and(|cause| of_reset.contains(&cause))
        });
        let ended = felt.map(|(index, _)| trial.evidence.calls[index].ended).min().unwrap();
        let reset = the_reset(&mut trial.evidence);
        let span = usize::try_from(ended.since(reset.at)).unwrap();
        reset.at.0 += i64::try_from(at.index(span)).unwrap();
        prop_assert_eq!(trial.verdict(), Verdict::Confirmed);
    }

    #[test]
    fn an_icmp_error_about_the_connection_is_not_confirmed(mut trial in good(), at in any::<Index>()) {
        prop_assume!(!trial.evidence.packets.is_empty());
        Change::Icmp(at).apply(&mut trial.evidence);
        prop_assert_eq!(trial.verdict(), Verdict::Refuted);
    }

    #[test]
    fn where_capture_has_a_gap_nothing_can_be_said((mut trial, _) in changed(), completeness in incomplete()) {
        trial.evidence.completeness = completeness;
        prop_assert_eq!(trial.verdict(), Verdict::Inconclusive);
    }

    #[test]
    fn frames_in_any_order_and_of_any_kind_are_judged(
        scenario in select(scenarios_with_stories()),
        segments in prop::collection::vec(any_segment(), 0..40),
    ) {
        // Only that it comes back, and that an RST is needed.
        let mut trial = Trial { scenario, evidence: story(scenario.id).evidence(Family::Ipv4) };
        trial.evidence.packets = segments.into_iter().map(Packet::Tcp).collect();
        let judgement = trial.judged();
        prop_assert!(judgement.verdict != Verdict::Confirmed || judgement.resets.len() >= scenario.resets.len());
    }
}

fn frame_of(packet: &Packet) -> Option<u32> {
    match packet {
        Packet::Tcp(segment) => Some(segment.frame),
        Packet::Icmp(error) => Some(error.frame),
        Packet::Udp { .. } | Packet::Other => None,
    }
}

/// At least one reason why the capture may not be all that there was.
fn incomplete() -> impl Strategy<Value = Completeness> {
    let step = prop_oneof![
        -10_000..=10_000_i64,
        any::<i64>(),
        Just(10_001),
        Just(-10_001),
    ];
    (any::<bool>(), 0..3_u64, any::<bool>(), step)
        .prop_map(
            |(fence_seen, dropped, filter_passes_all, clock_step_ns)| Completeness {
                fence_seen,
                fence: None,
                dropped,
                filter_passes_all,
                clock_step_ns,
            },
        )
        .prop_filter("complete", |completeness| {
            let small_step = (-10_000..=10_000).contains(&completeness.clock_step_ns);
            let steady = Completeness {
                clock_step_ns: 0,
                ..*completeness
            };
            steady != COMPLETE || !small_step
        })
}

/// Any segment between the two ends, with numbers near their initial ones.
fn any_segment() -> impl Strategy<Value = Segment> {
    (
        any::<bool>(),
        any::<u8>(),
        -2..6_i32,
        -2..6_i32,
        0..4_u32,
        0..60_000_i64,
    )
        .prop_map(|(to_server, flags, seq, ack, len, at)| {
            let (client, server) = ends(Family::Ipv4);
            let ((source, iss), (destination, peer_iss)) = if to_server {
                ((client, CLIENT_ISS), (server, SERVER_ISS))
            } else {
                ((server, SERVER_ISS), (client, CLIENT_ISS))
            };
            Segment {
                frame: 1,
                at: Timestamp(BEGAN.0 + at),
                tap: Tap::Both,
                source,
                destination,
                flags: Flags(flags),
                seq: SeqNum(iss.0.wrapping_add_signed(seq)),
                ack: SeqNum(peer_iss.0.wrapping_add_signed(ack)),
                window: 0,
                payload_len: len,
                timestamps: None,
                sack: SackBlocks::new(&[(peer_iss, peer_iss.plus(len))]),
                options: Options::default(),
            }
        })
}
