//! Rule 6: the kernel's counters and trace must agree with the packets and the calls.
//!
//! Counters belong to the network namespace, so they count everything that happened in it during the trial, including
//! connections that only fill a queue. Trace events are correlated with the connection's frames by their addresses and
//! order, never by the interrupted process. An abort is traced after its RST was sent and an answer before, so neither
//! time bounds the other. Facts that this kernel cannot provide do not affect the verdict.

use std::collections::BTreeMap;

use super::kernel_mismatch::KernelMismatch;
use super::{Attribution, Finding, Wire, attribution};
use crate::evidence::Evidence;
use crate::flow::{Form, Reset, State};
use crate::kernel::counters::WATCHED;
use crate::kernel::event::{Event, Trace, What};
use crate::kernel::reason::NOT_SPECIFIED;
use crate::packet::{Flags, Packet, Segment, Tap};
use crate::scenario::{ExpectedReset, Fate, Scenario, Sender};
use crate::time::Timestamp;
use crate::transcript::{Errno, Op, Role};

/// Sender of an RST and its reason, as the kernel trace reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetOrigin {
    /// Sender of the RST.
    pub sender: Sender,
    /// Name of the `sk_rst_reason`; `None` if there is no trace or the trace gives no reason.
    pub reason: Option<String>,
}

impl ResetOrigin {
    /// Origin of an RST that no trace covers, or that the trace does not determine.
    const UNKNOWN: Self = Self {
        sender: Sender::Unknown,
        reason: None,
    };
}

/// RSTs of the connection, correlated with the kernel trace.
pub(super) struct Correlated {
    /// Origin of each RST, in capture order.
    pub(super) origins: Vec<ResetOrigin>,
    /// RSTs that the kernel sent and that match no captured RST: the sending end and the reason.
    uncaptured: Vec<(Role, Option<String>)>,
    /// Flag: the trace covers sent RSTs.
    is_told: bool,
}

impl Correlated {
    /// Returns true if the trace has an RST that was sent as expected and not captured, or if it does not cover sent
    /// RSTs.
    pub(super) fn tells_of(&self, meant: &ExpectedReset) -> bool {
        !self.is_told || self.uncaptured.iter().any(|sent| is_it(sent, meant))
    }
}

fn is_it((role, reason): &(Role, Option<String>), meant: &ExpectedReset) -> bool {
    let is_reason = |reason: &String| reason == meant.reason || reason == NOT_SPECIFIED;
    *role == meant.from && reason.as_ref().is_none_or(is_reason)
}

/// Correlates the RSTs that the kernel sent with the captured ones.
pub(super) fn join(evidence: &Evidence, resets: &[Reset]) -> Correlated {
    let mut joined = Correlated {
        origins: vec![ResetOrigin::UNKNOWN; resets.len()],
        uncaptured: Vec::new(),
        is_told: false,
    };
    let Some(trace) = &evidence.trace else {
        return joined;
    };
    joined.is_told = trace.coverage.tcp_send_reset;
    for role in [Role::Client, Role::Server] {
        let sent = sent_by(evidence, trace, role);
        let frame_of = frames_of(&sent, resets, role);
        for ((event, origin), frame) in sent.into_iter().zip(frame_of) {
            match frame {
                Some(index) => joined.origins[index] = origin,
                // The answer of a listener carries no other end's address: it may belong to another connection.
                None if evidence.are_its_ends(event.source, event.destination) => {
                    joined.uncaptured.push((role, origin.reason));
                }
                None => {}
            }
        }
    }
    let coverage = trace.coverage;
    // Only a complete trace proves that the kernel did not send an RST.
    if coverage.tcp_send_reset && coverage.resets_without_socket && !coverage.overrun {
        for (origin, reset) in joined.origins.iter_mut().zip(resets) {
            if origin.sender == Sender::Unknown {
                origin.sender = sender_outside_kernel(reset);
            }
        }
    }
    joined
}

/// Predicate that selects RSTs.
type Are = fn(&Reset) -> bool;

/// Returns, for each RST that this end sent by the trace, the index of the captured RST.
///
/// Events that only an answer can cause are matched with answers first, because an abort is traced only after
/// everything that its RST caused at once. An RST in a form that no kernel sends is never matched.
fn frames_of(sent: &[(&Event, ResetOrigin)], resets: &[Reset], role: Role) -> Vec<Option<usize>> {
    let mut frame_of = vec![None; sent.len()];
    let mut is_joined = vec![false; resets.len()];
    let answers: Are = |reset| reset.form.is_some_and(Form::is_answer);
    let kernels: Are = |reset| reset.form.is_some();
    for (only_answers, are_they) in [(true, answers), (false, kernels)] {
        let is_it = |event: &Event| !only_answers || is_answer(event);
        let events = (0..sent.len()).filter(|nth| frame_of[*nth].is_none() && is_it(sent[*nth].0));
        let events: Vec<usize> = events.collect();
        let free = (0..resets.len()).filter(|index| {
            let reset = &resets[*index];
            reset.from == role && are_they(reset) && !is_joined[*index]
        });
        let free: Vec<usize> = free.collect();
        let frame_times: Vec<Timestamp> = free.iter().map(|index| resets[*index].at).collect();
        let event_times: Vec<Timestamp> = events.iter().map(|nth| sent[*nth].0.at).collect();
        for (frame, event) in pair(&frame_times, &event_times) {
            frame_of[events[event]] = Some(free[frame]);
            is_joined[free[frame]] = true;
        }
    }
    frame_of
}

/// Returns true if the event belongs to an answer: only answers are sent without a socket, or by a socket without a
/// peer.
fn is_answer(event: &Event) -> bool {
    event.socket.is_none() || event.destination.port() == 0
}

/// Returns the sender of an RST that the kernel of the stated end did not send. A firewall answers the segment that it
/// rejects, in the form that the kernel would use.
fn sender_outside_kernel(reset: &Reset) -> Sender {
    if reset.form.is_some_and(Form::is_answer) && reset.triggered_by.is_some() {
        Sender::Firewall
    } else {
        Sender::Injected
    }
}

/// Returns the RSTs that this end sent, by the trace.
fn sent_by<'a>(evidence: &Evidence, trace: &'a Trace, role: Role) -> Vec<(&'a Event, ResetOrigin)> {
    let events = trace.events.iter().filter_map(|event| {
        let What::SendReset { state, reason } = &event.what else {
            return None;
        };
        let is_its = event.source == evidence.address(role)
            && (evidence.are_its_ends(event.source, event.destination)
                || event.destination.port() == 0);
        // In TIME-WAIT no socket is left that a process could own.
        let is_socket = event.socket.is_some() && state.as_deref() != Some("TCP_TIME_WAIT");
        let sender = if is_socket {
            Sender::Socket
        } else {
            Sender::Kernel
        };
        is_its.then(|| {
            let reason = reason.clone();
            (event, ResetOrigin { sender, reason })
        })
    });
    events.collect()
}

/// Returns the trace events about this end of the connection.
fn events_of<'a>(
    evidence: &Evidence,
    trace: &'a Trace,
    role: Role,
) -> impl Iterator<Item = &'a Event> {
    let ends = (evidence.address(role), evidence.address(role.peer()));
    let events = trace.events.iter();
    events.filter(move |event| (event.source, event.destination) == ends)
}

/// Pairs the shorter of the two lists with the longer, in order. Each element is paired with the nearest in time that
/// leaves enough for the remaining ones. Returns pairs of indices into `frames` and `events`.
fn pair(frames: &[Timestamp], events: &[Timestamp]) -> Vec<(usize, usize)> {
    let swapped = events.len() < frames.len();
    let (few, many) = if swapped {
        (events, frames)
    } else {
        (frames, events)
    };
    let spare = many.len() - few.len();
    let mut next = 0;
    let pairs = few.iter().enumerate().map(|(place, at)| {
        // Leave one element of `many` for each remaining element of `few`.
        let open = &many[next..=place + spare];
        // If all are earlier, the last one is the nearest: hence the bound, and abs() below.
        let after = open.partition_point(|it| it < at).min(open.len() - 1);
        let nearest = match after.checked_sub(1) {
            Some(before) if at.since(open[before]) < open[after].since(*at).abs() => before,
            _ => after,
        };
        let found = next + nearest;
        next = found + 1;
        if swapped {
            (found, place)
        } else {
            (place, found)
        }
    });
    pairs.collect()
}

/// Checks the trace events against the frames and the calls.
pub(super) fn compare_trace(
    scenario: &Scenario,
    evidence: &Evidence,
    wire: &Wire,
    blames: &[(usize, Attribution)],
    matched: &[Option<usize>],
    joined: &Correlated,
    findings: &mut Vec<Finding>,
) {
    let Some(trace) = &evidence.trace else {
        return;
    };
    let mut found = Vec::new();
    compare_origins(scenario, wire, matched, joined, &mut found);
    // Each expected RST accounts for one event: several may have the same sender and reason.
    let mut never_left: Vec<_> = scenario
        .resets
        .iter()
        .filter(|meant| meant.fate == Fate::NeverLeft)
        .collect();
    let uncaptured = joined.uncaptured.iter().filter(|sent| {
        let place = never_left.iter().position(|meant| is_it(sent, meant));
        place.map(|place| never_left.remove(place)).is_none()
    });
    found.extend(
        uncaptured
            .cloned()
            .map(|(role, reason)| KernelMismatch::NotCaptured { role, reason }),
    );
    for role in [Role::Client, Role::Server] {
        if trace.coverage.tcp_receive_reset {
            compare_received(evidence, trace, wire, role, &mut found);
        }
        if trace.coverage.inet_sk_error_report {
            compare_errors(scenario, evidence, trace, wire, blames, role, &mut found);
        }
    }
    findings.extend(found.into_iter().map(Finding::Kernel));
}

/// Checks the sender and the reason of each expected RST.
fn compare_origins(
    scenario: &Scenario,
    wire: &Wire,
    matched: &[Option<usize>],
    joined: &Correlated,
    found: &mut Vec<KernelMismatch>,
) {
    for (meant, index) in scenario.resets.iter().zip(matched) {
        let Some(index) = *index else { continue };
        let (reset, origin) = (&wire.resets[index], &joined.origins[index]);
        let frame = reset.frame;
        let by_kernel = |sender| matches!(sender, Sender::Socket | Sender::Kernel);
        if origin.sender == Sender::Unknown {
            continue;
        }
        if by_kernel(meant.sender) && !by_kernel(origin.sender) {
            let role = reset.from;
            found.push(KernelMismatch::NotSent { frame, role });
        } else if origin.sender != meant.sender {
            found.push(KernelMismatch::WrongSender {
                frame,
                expected: meant.sender,
                seen: origin.sender,
            });
        }
        let expected = meant.reason;
        // Kernels before Linux 6.12 give NOT_SPECIFIED for every abort: it contradicts no reason.
        let given = origin.reason.as_ref();
        if let Some(seen) = given.filter(|it| *it != expected && *it != NOT_SPECIFIED) {
            found.push(KernelMismatch::WrongReason {
                frame,
                expected,
                seen: seen.clone(),
            });
        }
    }
}

/// Checks the sockets of this end that an RST closed. A socket that answers data after `shutdown` of both sides closes
/// itself, and the trace shows it as if the socket had received the RST that it sends.
fn compare_received(
    evidence: &Evidence,
    trace: &Trace,
    wire: &Wire,
    role: Role,
    found: &mut Vec<KernelMismatch>,
) {
    let kills = wire
        .resets
        .iter()
        .filter(|it| it.puts_error_on(role).is_some());
    let kills: Vec<&Reset> = kills.collect();
    let answers = wire
        .resets
        .iter()
        .filter(|it| it.from == role && it.form != Some(Form::Active));
    let received = states_when_received(evidence, trace, role);
    for reset in kills.iter().skip(received.len()) {
        let frame = reset.frame;
        found.push(KernelMismatch::NotReceived { frame, role });
    }
    if received.len() > kills.len() + answers.count() {
        found.push(KernelMismatch::OtherReceived { role });
    }
    // Without exactly one event per RST, it is unknown which state belongs to which RST.
    if !trace.coverage.inet_sock_set_state || received.len() != kills.len() {
        return;
    }
    for (reset, state) in kills.into_iter().zip(received) {
        let expected = reset.receiver_state;
        if let Some(seen) = state.filter(|it| Some(*it) != kernel_name(expected)) {
            found.push(KernelMismatch::StateDiffers {
                frame: reset.frame,
                role,
                expected,
                seen: seen.to_owned(),
            });
        }
    }
}

/// Returns, for each socket of this end that an RST closed, its state at that time, if the trace has it.
fn states_when_received<'a>(
    evidence: &Evidence,
    trace: &'a Trace,
    role: Role,
) -> Vec<Option<&'a str>> {
    let mut states: BTreeMap<u32, &str> = BTreeMap::new();
    let mut received = Vec::new();
    for event in events_of(evidence, trace, role) {
        match (&event.what, event.socket) {
            (What::SetState { new, .. }, Some(socket)) => {
                states.insert(socket, new);
            }
            (What::ReceiveReset, Some(socket)) => received.push(states.get(&socket).copied()),
            (What::ReceiveReset, None) => received.push(None),
            _ => {}
        }
    }
    received
}

/// Returns the name in `include/net/tcp_states.h`; `None` for a state that no socket of the connection is in.
fn kernel_name(state: State) -> Option<&'static str> {
    Some(match state {
        State::SynSent => "TCP_SYN_SENT",
        State::SynReceived => "TCP_SYN_RECV",
        State::Established => "TCP_ESTABLISHED",
        State::FinWait1 => "TCP_FIN_WAIT1",
        State::FinWait2 => "TCP_FIN_WAIT2",
        State::CloseWait => "TCP_CLOSE_WAIT",
        State::Closing => "TCP_CLOSING",
        State::LastAck => "TCP_LAST_ACK",
        State::TimeWait => "TCP_TIME_WAIT",
        State::Closed => "TCP_CLOSE",
        State::Listen => return None,
    })
}

/// Checks the errors that were put on this end's socket.
fn compare_errors(
    scenario: &Scenario,
    evidence: &Evidence,
    trace: &Trace,
    wire: &Wire,
    blames: &[(usize, Attribution)],
    role: Role,
    found: &mut Vec<KernelMismatch>,
) {
    let reported = events_of(evidence, trace, role).filter_map(|event| match event.what {
        What::ErrorReport(errno) => Some(errno),
        _ => None,
    });
    let reported: Vec<Errno> = reported.collect();
    let mut explained: Vec<Errno> = wire
        .resets
        .iter()
        .filter_map(|it| it.puts_error_on(role))
        .collect();
    if wire
        .resets
        .iter()
        .any(|it| it.from == role && it.form != Some(Form::Active))
    {
        // A socket that resets itself.
        explained.push(Errno::ECONNRESET);
    }
    for (call, blame) in blames {
        let made = evidence.calls.get(*call).filter(|call| call.role == role);
        let Some(errno) = made.and_then(|call| call.outcome.errno()) else {
            continue;
        };
        let is_put_on_socket = match blame {
            Attribution::Reset(_) | Attribution::OwnReset(_) => true,
            Attribution::TimedOut(_) | Attribution::Unanswered => errno == Errno::ETIMEDOUT,
            Attribution::Destroyed(_) => errno == Errno::ECONNABORTED,
            // connect() may return the error without putting it on the socket.
            Attribution::NoRoute => {
                explained.push(errno);
                attribution::is_routing_error(errno) && evidence.calls[*call].op != Op::Connect
            }
            // A soft error goes to sk_err_soft instead of sk_err.
            Attribution::Icmp(index) => {
                explained.push(errno);
                let icmp = wire.icmp.get(*index);
                icmp.is_some_and(|it| it.state == State::SynSent && it.errno == Some(errno))
            }
            _ => false,
        };
        if !is_put_on_socket {
            continue;
        }
        explained.push(errno);
        if !reported.contains(&errno) && !scenario.unreported.contains(call) {
            found.push(KernelMismatch::ErrorNotReported { call: *call, errno });
        }
    }
    if let Some(errno) = reported
        .into_iter()
        .find(|errno| !explained.contains(errno))
    {
        found.push(KernelMismatch::OtherErrorReported { role, errno });
    }
}

/// Checks each counter against the scenario. `OutRsts` need not equal the number of captured RSTs: a firewall, or
/// anybody else, may add some to the wire.
pub(super) fn compare_counters(
    scenario: &Scenario,
    evidence: &Evidence,
    wire: &Wire,
    matched: &[Option<usize>],
    findings: &mut Vec<Finding>,
) {
    let Some(counters) = &evidence.counters else {
        return;
    };
    let captured = resets_captured(evidence);
    for name in WATCHED {
        let stated = scenario.counters.iter().find(|(stated, _)| *stated == name);
        let expected = stated.map_or(0, |(_, by)| *by);
        let Some(seen) = counters.get(name).filter(|seen| *seen != expected) else {
            continue;
        };
        if name == SYNCOOKIES_FAILED
            && stated.is_none()
            && seen <= answered_by_listener(scenario, evidence, wire, matched)
        {
            continue;
        }
        findings.push(Finding::Kernel(if name == OUT_RSTS && seen != captured {
            let sent = seen;
            KernelMismatch::ResetsSent { sent, captured }
        } else {
            KernelMismatch::Counter {
                name,
                expected,
                seen,
            }
        }));
    }
}

/// Counter of ACKs that a listener takes for an invalid SYN cookie.
///
/// A listener takes an ACK of no connection for a SYN cookie if it has sent cookies within two minutes. A listener that
/// never sent any behaves as if it had while the 32-bit tick counter is near 0: from 299 to 420 seconds after boot, and
/// for two minutes whenever the counter wraps (`tcp_synq_no_recent_overflow()`, include/net/tcp.h, with a stamp of 0;
/// `INITIAL_JIFFIES`). The listener then counts an invalid cookie, once a segment (`cookie_v4_check()`,
/// `cookie_v6_check()`), and answers with an RST as always.
const SYNCOOKIES_FAILED: &str = "SyncookiesFailed";

/// Returns the number of captured segments that a listener may have taken for a SYN cookie: with ACK, without SYN and
/// RST, and of no connection (`tcp_rcv_state_process()` in LISTEN).
fn answered_by_listener(
    scenario: &Scenario,
    evidence: &Evidence,
    wire: &Wire,
    matched: &[Option<usize>],
) -> u64 {
    let answers = |meant: &ExpectedReset| {
        meant.sender == Sender::Socket
            && meant.form == Some(Form::Passive)
            && meant.reason == "TCP_FLAGS"
    };
    let is_for_no_syn = |index: usize| {
        let frame = wire.resets[index].triggered_by;
        let mut packets = evidence.packets.iter();
        packets.any(|packet| {
            matches!(packet, Packet::Tcp(segment)
                if Some(segment.frame) == frame && !segment.flags.has(Flags::SYN))
        })
    };
    let resets = scenario.resets.iter().zip(matched);
    let answered =
        resets.filter(|(meant, index)| answers(meant) && index.is_some_and(is_for_no_syn));
    answered.count() as u64
}

/// Counter of sent segments that contain the RST flag (RFC 4022).
const OUT_RSTS: &str = "OutRsts";

fn resets_captured(evidence: &Evidence) -> u64 {
    let packets = evidence.packets.iter();
    let is_sent = |segment: &Segment| match segment.tap {
        Tap::Both => true,
        Tap::Client => segment.source.ip() == evidence.client.ip(),
        Tap::Server => segment.source.ip() == evidence.server.ip(),
    };
    let resets = packets.filter(|packet| {
        matches!(packet, Packet::Tcp(segment)
            if segment.flags.has(Flags::RST) && segment.at >= evidence.began && is_sent(segment))
    });
    resets.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(frames: &[i64], events: &[i64]) -> Vec<(usize, usize)> {
        let times = |times: &[i64]| times.iter().map(|at| Timestamp(*at)).collect::<Vec<_>>();
        pair(&times(frames), &times(events))
    }

    #[test]
    fn as_many_of_both_are_paired_in_order_however_late_one_is() {
        assert_eq!(pairs(&[10, 20], &[19, 500]), [(0, 0), (1, 1)]);
        assert_eq!(pairs(&[], &[]), []);
    }

    /// An RST forged just before the real one, and one just after it.
    #[test]
    fn of_two_frames_the_one_nearer_to_the_event_is_its() {
        assert_eq!(pairs(&[10, 50], &[49]), [(1, 0)]);
        assert_eq!(pairs(&[50, 90], &[51]), [(0, 0)]);
        assert_eq!(pairs(&[10, 50, 90], &[11, 92]), [(0, 0), (2, 1)]);
        assert_eq!(pairs(&[50], &[10, 49, 90]), [(0, 1)]);
        assert_eq!(pairs(&[], &[10]), []);
        assert_eq!(pairs(&[10], &[]), []);
    }

    /// The first two are nearest to the same event, but each is paired with an event of its own.
    #[test]
    fn none_is_paired_twice_and_times_out_of_order_are_survived() {
        assert_eq!(pairs(&[50, 51], &[10, 50, 90]), [(0, 1), (1, 2)]);
        assert_eq!(pairs(&[90, 91], &[10, 50, 60]), [(0, 1), (1, 2)]);
        assert_eq!(pairs(&[9, 1], &[8, 3, 7]).len(), 2);
    }
}
