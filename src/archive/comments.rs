//! Comments on the packets of a capture file, each with one fact.
//!
//! The comments are for readers who open the file in Wireshark without the transcript. No verdict depends on them.
//! Before version 3.5 Wireshark shows only the last comment on a packet, so the most important one comes last.

use rstproof_core::evidence::Evidence;
use rstproof_core::flow::{Acceptance, Flow, Form, Observed, Reset};
use rstproof_core::kernel::reason;
use rstproof_core::packet::{Flags, Packet, Segment};
use rstproof_core::scenario::Sender;
use rstproof_core::transcript::{Call, Op, Outcome, Role};
use rstproof_core::verdict::{Attribution, Judgement, ResetOrigin};

/// Returns the facts that each frame proves, in the order of the file.
pub(super) fn of_frames(evidence: &Evidence, judgement: &Judgement) -> Vec<Vec<String>> {
    let mut flow = Flow::new(evidence.client, evidence.server);
    let mut comments = vec![Vec::new(); evidence.packets.len()];
    for (packet, facts) in evidence.packets.iter().zip(&mut comments) {
        match packet {
            Packet::Tcp(segment) if segment.at >= evidence.began => {
                if let Some(observed) = flow.observe(segment) {
                    segment_facts(evidence, judgement, &flow, segment, observed, facts);
                }
            }
            Packet::Icmp(error) if evidence.is_about_connection(error) => facts.push(format!(
                "ICMP error {}/{} about this connection",
                error.kind, error.code
            )),
            other
                if evidence
                    .completeness
                    .fence
                    .is_some_and(|fence| fence.is(other)) =>
            {
                facts.push(
                    "fence: sent after the last call, so everything sent before it is in this file"
                        .to_owned(),
                );
            }
            _ => {}
        }
    }
    // After all other facts: a finding is the most important one, and old versions of Wireshark show only the last.
    for finding in &judgement.findings {
        let facts = finding
            .frame()
            // Frame numbers start at 1, as in Wireshark.
            .and_then(|frame| comments.get_mut(usize::try_from(frame).ok()?.checked_sub(1)?));
        if let Some(facts) = facts {
            facts.push(format!("{finding} [{}]", finding.id()));
        }
    }
    comments
}

/// Returns the facts about the whole trial: its verdict, findings that are not about one frame, and the number of
/// dropped frames. The interface statistics have that number too, but few programs show it.
pub(super) fn of_trial(name: &str, evidence: &Evidence, judgement: &Judgement) -> Vec<String> {
    let mut facts = vec![format!("{name}: {}", judgement.verdict.name())];
    let findings = judgement.findings.iter();
    facts.extend(
        findings
            .filter(|finding| finding.frame().is_none())
            .map(|finding| format!("{finding} [{}]", finding.id())),
    );
    let reason = judgement.inconclusive_reason;
    facts.extend(reason.map(|it| format!("{it} [{}]", it.id())));
    let (received, dropped) = (evidence.packets.len(), evidence.completeness.dropped);
    facts.push(format!("{received} frames received, {dropped} dropped"));
    facts
}

fn segment_facts(
    evidence: &Evidence,
    judgement: &Judgement,
    flow: &Flow,
    segment: &Segment,
    observed: Observed,
    facts: &mut Vec<String>,
) {
    let from = observed.from;
    // A bare ACK is sent at a time that the kernel chooses, so no call is its cause.
    if (segment.seq_len() > 0 || observed.reset.is_some())
        && let Some(call) = call_of_sender(evidence, from, segment)
    {
        facts.push(format!("sent while the {from}'s {} ran", call.op));
    }
    if let Some(reset) = observed.reset {
        reset_facts(evidence, judgement, &reset, facts);
    } else {
        syn_and_fin_facts(flow, segment, observed, facts);
        let resets = judgement.resets.iter();
        for reset in resets.filter(|reset| reset.triggered_by == Some(segment.frame)) {
            facts.push(format!("triggers the RST in frame {}", reset.frame));
        }
    }
}

/// Adds a fact for the first SYN of a connection, and for a FIN.
fn syn_and_fin_facts(flow: &Flow, segment: &Segment, observed: Observed, facts: &mut Vec<String>) {
    let (from, flags) = (observed.from, segment.flags);
    if flags.has(Flags::SYN) && !flags.has(Flags::ACK) && observed.seq == Some(0) {
        facts.push(format!(
            "SYN of the {from}: the capture holds the connection from its first segment"
        ));
    }
    if flags.has(Flags::FIN) {
        let (peer, state) = (from.peer(), flow.state(from.peer()));
        facts.push(format!("FIN of the {from}: the {peer} is now in {state}"));
    }
}

/// Returns the sender's call that was in progress when the segment was sent. Skips read(2), accept(2) and
/// `getsockopt(SO_ERROR)`, which send no data.
fn call_of_sender<'a>(evidence: &'a Evidence, sender: Role, segment: &Segment) -> Option<&'a Call> {
    evidence.calls.iter().find(|call| {
        let sends = !matches!(call.op, Op::Read(_) | Op::Accept | Op::SocketError);
        call.role == sender && sends && (call.began..call.ended).contains(&segment.at)
    })
}

fn reset_facts(evidence: &Evidence, judgement: &Judgement, reset: &Reset, facts: &mut Vec<String>) {
    let (from, victim) = (reset.from, reset.from.peer());
    let why = match (reset.form, reset.triggered_by) {
        (Some(Form::Active), _) => {
            "sent by a socket that aborted, not in reply to a segment".to_owned()
        }
        (Some(Form::Passive), Some(frame)) => {
            format!("in reply to frame {frame}, whose ACK is its SEQ")
        }
        (Some(Form::PassiveAck), Some(frame)) => {
            format!("in reply to frame {frame}, which it acknowledges")
        }
        (Some(Form::Passive | Form::PassiveAck), None) => {
            "in the form of a reply, but no captured segment triggers it".to_owned()
        }
        (None, _) => "in a form that Linux does not send".to_owned(),
    };
    facts.push(format!("RST from the {from}, {why}"));
    let (state, acceptance) = (reset.receiver_state, reset.acceptance);
    facts.push(match acceptance {
        Acceptance::Exact { .. } => format!("acceptable: {acceptance} of the {victim}, in {state}"),
        _ if acceptance.is_acceptable() => {
            format!("acceptable to the {victim}, in {state}: {acceptance}")
        }
        _ => format!("not acceptable to the {victim}, in {state}: {acceptance}"),
    });
    let nth = judgement.resets.iter().position(|other| other == reset);
    let nth = nth.unwrap_or(usize::MAX);
    if let Some(origin) = judgement.origins.get(nth) {
        facts.extend(origin_fact(origin));
    }
    let calls_blaming = |wanted: Attribution| {
        let attributions = judgement.attributions.iter();
        let calls = attributions.filter(move |(_, attribution)| *attribution == wanted);
        calls.filter_map(|(index, _)| evidence.calls.get(*index))
    };
    facts.extend(calls_blaming(Attribution::AfterReset(nth)).map(|call| {
        let (role, op, told) = (call.role, call.op, told(call.outcome));
        format!("it left the connection dead, which is why the {role}'s {op} {told}")
    }));
    facts.extend(calls_blaming(Attribution::Reset(nth)).map(|call| {
        let (role, op, told) = (call.role, call.op, told(call.outcome));
        let later = microseconds(call.ended.since(reset.at));
        format!("this RST is why the {role}'s {op} {told}, {later} µs later")
    }));
}

/// Describes who sent an RST and why, according to the kernel trace; `None` if the sender is unknown.
fn origin_fact(origin: &ResetOrigin) -> Option<String> {
    let who = match origin.sender {
        Sender::Socket => "sent by a socket",
        Sender::Kernel => "sent by the kernel, for no socket",
        Sender::Firewall => "not sent by a kernel, but by a firewall",
        Sender::Injected => "not sent by a kernel, but by a third party",
        Sender::Unknown => return None,
    };
    let why = origin.reason.as_ref().map_or_else(String::new, |name| {
        let meaning = reason::find(name).map_or_else(String::new, |it| format!(": {}", it.meaning));
        format!(", reason {name}{meaning}")
    });
    Some(format!("kernel trace: {who}{why}"))
}

fn told(outcome: Outcome) -> String {
    match outcome {
        Outcome::SocketError(_) => format!("reported {outcome}"),
        _ => format!("failed with {outcome}"),
    }
}

/// Formats nanoseconds as microseconds, with one decimal.
fn microseconds(ns: i64) -> String {
    format!("{}.{}", ns / 1000, ns % 1000 / 100)
}
