//! The judge: derives a verdict from a scenario and the evidence of one trial.
//!
//! The judge is pure: it uses no clock, no socket and no pcap. A trial is *confirmed* if each rule below holds,
//! *refuted* with a [`Finding`] for each rule that does not hold, and *inconclusive* with a [`InconclusiveReason`] if the evidence is
//! insufficient:
//!
//! 1. The capture is complete: the fence was seen, no frame was dropped, the SYN was captured, no acknowledged byte is
//!    missing.
//! 2. Each expected RST belongs to this connection, comes from the expected end and has the expected form. If the form
//!    is that of an answer, the segment that triggered it was captured.
//! 3. The receiver was required to accept the RST, given its state and the captured sequence numbers.
//! 4. The RST arrived before the failing call returned, and no call began after the segment that it sent.
//! 5. The errno is the one that the receiver's state maps to and is reported once. Every other call ended as
//!    documented, the bytes on the wire are those that the calls report, and no `read` returned 0 without a FIN or an
//!    RST.
//! 6. The kernel agrees, if it is available: it sent as many RSTs as were captured, and its counters increased by
//!    exactly the amounts that the scenario expects. By its trace, each RST came from the expected sender for the
//!    expected reason, closed the socket that was required to accept it, in the expected state, and set the error that
//!    a call returned.
//! 7. Nothing else explains the error: no ICMP error, no other acceptable RST, no local cause.

mod attribution;
mod finding;
mod kernel;
mod kernel_mismatch;
mod windows;

pub use attribution::Attribution;
pub use finding::{Finding, InconclusiveReason, NOT_PLAYED, RESOURCE_EXHAUSTED};
pub use kernel::ResetOrigin;
pub use kernel_mismatch::KernelMismatch;
pub use windows::{Missed, Which, missed as missed_window};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::attribution::Facts;
use self::finding::ABORTED_FOR_MEMORY;
use self::kernel::Correlated;
use crate::evidence::Evidence;
use crate::flow::{Flow, Form, Icmp, Observed, Reset};
use crate::history::Kernel;
use crate::kernel::counters::PRESSURE;
use crate::kernel::host::HostState;
use crate::packet::{Flags, Packet, Segment, Tap};
use crate::scenario::{ExpectedReset, Extent, Family, Fate, STEP_WINDOW, Scenario, Timing, find};
use crate::time::Timestamp;
use crate::transcript::{Call, Errno, Op, Outcome, Role};

/// Result of judging a scenario by the evidence of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Outcome in which everything happened as the scenario states, and for the stated reason.
    Confirmed,
    /// Outcome in which something differs from the scenario; the findings list the differences.
    Refuted,
    /// Outcome for insufficient evidence; the gap states what is missing.
    Inconclusive,
}

impl Verdict {
    /// Returns the lower-case name: `confirmed`, `refuted` or `inconclusive`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Verdict on one trial, with the grounds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Verdict on the trial.
    pub verdict: Verdict,
    /// Reasons why the trial is refuted; empty otherwise.
    pub findings: Vec<Finding>,
    /// Reason why the trial is inconclusive; `None` otherwise.
    pub gap: Option<InconclusiveReason>,
    /// Every RST of the connection, in capture order.
    pub resets: Vec<Reset>,
    /// Sender and reason of each RST in `resets`, by the kernel trace.
    pub origins: Vec<ResetOrigin>,
    /// Every ICMP error about a segment of the connection, in capture order.
    pub icmp: Vec<Icmp>,
    /// Cause of each error that a call returned, with the index of the call in the transcript, in transcript order.
    pub blames: Vec<(usize, Attribution)>,
}

impl Judgement {
    /// Returns the calls (indices into the transcript) whose error came from this RST (index into `resets`).
    pub fn explained_by(&self, reset: usize) -> impl Iterator<Item = usize> {
        self.blames
            .iter()
            .filter(move |(_, blame)| *blame == Attribution::Reset(reset))
            .map(|(call, _)| *call)
    }
}

/// Maximum step of `CLOCK_REALTIME` during a trial, in nanoseconds. After a larger step the order of events is unknown.
const CLOCK_STEP_LIMIT_NS: u64 = 10_000;

/// Judges the evidence of one trial against its scenario.
#[must_use]
pub fn judge(scenario: &Scenario, evidence: &Evidence) -> Judgement {
    let wire = Wire::read(scenario, evidence);
    let blames = attribution::attribute(&evidence.calls, &wire.facts());
    let joined = kernel::join(evidence, &wire.resets);
    let mut gap = gap(scenario, evidence, &wire);
    if let (
        Some(InconclusiveReason::TimingMissed(_) | InconclusiveReason::FenceMissing),
        Some(state),
    ) = (gap, evidence.host_state)
        && state.is_short_of_memory()
    {
        // A shortage of memory explains why the fence is missing or the timing was missed.
        gap = Some(InconclusiveReason::Host(state));
    }
    // With a gap, a segment that is not in the capture proves nothing.
    let mut findings = if gap.is_some() {
        Vec::new()
    } else {
        findings(scenario, evidence, &wire, &blames, &joined)
    };
    if !findings.is_empty() {
        // Conditions on this host may explain the differences, which then do not count against the scenario.
        gap = excuse(scenario, evidence);
        if gap.is_some() {
            findings.clear();
        }
    }
    if findings.is_empty() && scenario.timing.is_some() && wire.timing.is_none() {
        // Everything matches, but the order of segments that the scenario is named after was not captured.
        gap = gap.or(Some(InconclusiveReason::FinNotAcknowledged));
    }
    Judgement {
        verdict: match (&gap, findings.is_empty()) {
            (Some(_), _) => Verdict::Inconclusive,
            (None, true) => Verdict::Confirmed,
            (None, false) => Verdict::Refuted,
        },
        findings,
        gap,
        icmp: wire.icmp,
        resets: wire.resets,
        origins: joined.origins,
        blames,
    }
}

/// Judges a trial that ran on `kernel`.
///
/// The version of a vendor kernel does not show which changes were backported. If such a kernel refutes the scenario,
/// the forms of the scenario for other kernels are tried too, as far as they make the same calls; a form that is
/// confirmed decides.
#[must_use]
pub fn judge_on(kernel: Kernel, scenario: &Scenario, evidence: &Evidence) -> Judgement {
    let judgement = judge(scenario, evidence);
    if kernel.is_exact || judgement.verdict != Verdict::Refuted {
        return judgement;
    }
    let forms = find(scenario.id).map(Scenario::forms).unwrap_or_default();
    let others = forms.into_iter().filter(|it| it.is_played_as(scenario));
    let mut others = others.map(|other| judge(other, evidence));
    let confirmed = others.find(|other| other.verdict == Verdict::Confirmed);
    confirmed.unwrap_or(judgement)
}

/// Facts about the connection that were read from the capture.
struct Wire {
    /// Time at which the fence was last captured.
    fence: Option<Timestamp>,
    /// Number of the connection's first frame; `None` if no segment was captured.
    first: Option<u32>,
    saw_syn: bool,
    resets: Vec<Reset>,
    /// Number of the first frame that acknowledges a segment which was not captured.
    acknowledges_unseen: Option<u32>,
    /// Order in which the client acknowledged the server's FIN and sent data, or in which its SYN was answered.
    timing: Option<Timing>,
    /// ICMP errors about segments of the connection.
    icmp: Vec<Icmp>,
    /// Number of unanswered retransmissions and probes of the client and of the server.
    unanswered: [u32; 2],
    /// Number of payload bytes that the client and the server sent.
    payload: [(Role, u32); 2],
    /// Times of the first segments of the client and of the server.
    firsts: [Firsts; 2],
}

/// Times at which an end first sent each kind of segment that only one of its own calls can cause.
#[derive(Clone, Copy, Default)]
struct Firsts {
    syn: Option<Timestamp>,
    data: Option<Timestamp>,
    fin: Option<Timestamp>,
    abort: Option<Timestamp>,
}

impl Firsts {
    fn take(&mut self, segment: &Segment, reset: Option<&Reset>) {
        let note = |first: &mut Option<Timestamp>, is_it: bool| {
            if is_it {
                first.get_or_insert(segment.at);
            }
        };
        let flags = segment.flags;
        note(
            &mut self.syn,
            flags.has(Flags::SYN) && !flags.has(Flags::ACK),
        );
        note(&mut self.data, segment.payload_len > 0);
        note(&mut self.fin, flags.has(Flags::FIN));
        note(
            &mut self.abort,
            reset.is_some_and(|it| it.form == Some(Form::Active) && it.acceptance.is_acceptable()),
        );
    }
}

/// Times at which the client and the server stopped receiving, if they did: the host still captures segments, but drops
/// them before the socket.
struct Deaf([Option<Timestamp>; 2]);

impl Deaf {
    fn of(scenario: &Scenario, evidence: &Evidence) -> Self {
        Self([Role::Client, Role::Server].map(|role| {
            if scenario.is_deaf(role) {
                return Some(evidence.began);
            }
            let done = Outcome::Returned(0);
            let mut calls = evidence.calls.iter();
            let by = calls.find(|it| it.role == role && it.op == Op::DropAll && it.outcome == done);
            by.map(|call| call.ended)
        }))
    }

    /// Returns the segment as the ends saw it: a segment to an end that receives nothing counts as captured only at its
    /// sender.
    fn heard(&self, from: Option<Role>, segment: &Segment) -> Segment {
        let mut heard = *segment;
        let Some(from) = from else { return heard };
        let since = self.0[usize::from(from.peer() == Role::Server)];
        if heard.tap == Tap::Both && since.is_some_and(|since| heard.at >= since) {
            heard.tap = match from {
                Role::Client => Tap::Client,
                Role::Server => Tap::Server,
            };
        }
        heard
    }
}

impl Wire {
    fn read(scenario: &Scenario, evidence: &Evidence) -> Self {
        let mut flow = Flow::new(evidence.client, evidence.server)
            .keeping_time_wait(scenario.keeps_time_wait());
        let deaf = Deaf::of(scenario, evidence);
        let fence = evidence.completeness.fence;
        let mut wire = Self {
            fence: fence.and_then(|fence| evidence.fenced_at(&fence)),
            first: None,
            saw_syn: false,
            resets: Vec::new(),
            acknowledges_unseen: None,
            timing: None,
            icmp: Vec::new(),
            unanswered: [0; 2],
            payload: [(Role::Client, 0), (Role::Server, 0)],
            firsts: [Firsts::default(); 2],
        };
        // The latest RST to each end that may trigger a challenge ACK, until the end sends or receives anything but an
        // RST. Index 0 is the client, index 1 the server.
        let mut unaccepted = [None; 2];
        for packet in &evidence.packets {
            match packet {
                Packet::Tcp(segment) if segment.at >= evidence.began => {
                    let heard = deaf.heard(flow.sender(segment), segment);
                    wire.take(scenario, &mut flow, &heard, &mut unaccepted);
                }
                Packet::Icmp(error) if error.at >= evidence.began => {
                    wire.icmp.extend(flow.observe_icmp(error));
                }
                Packet::Tcp(_) | Packet::Icmp(_) | Packet::Udp { .. } | Packet::Other => {}
            }
        }
        wire.saw_syn = flow.saw_syn();
        for (role, sent) in &mut wire.payload {
            *sent = flow.payload_sent(*role);
        }
        wire.unanswered = [Role::Client, Role::Server].map(|role| flow.unanswered(role));
        if scenario.timing == Some(Timing::AnsweredWhileSent) {
            wire.timing = Some(if wire.is_answered_late(evidence) {
                Timing::AnsweredWhileAwaited
            } else {
                Timing::AnsweredWhileSent
            });
        }
        wire
    }

    /// Returns true if the only ICMP error arrived more than [`AT_ONCE_NS`] after `connect` began: `connect` was
    /// waiting by then.
    fn is_answered_late(&self, evidence: &Evidence) -> bool {
        let mut calls = evidence.calls.iter();
        let connect = calls.find(|it| it.op == Op::Connect);
        connect.is_some_and(
            |connect| matches!(&self.icmp[..], [only] if only.at.since(connect.began) > AT_ONCE_NS),
        )
    }

    /// Returns the facts that errors are attributed to.
    fn facts(&self) -> Facts<'_> {
        Facts {
            resets: &self.resets,
            icmp: &self.icmp,
            unanswered: self.unanswered,
            is_silent: self.first.is_none(),
            sent: self.payload.map(|(_, sent)| sent),
        }
    }

    fn firsts(&self, role: Role) -> Firsts {
        let [client, server] = self.firsts;
        match role {
            Role::Client => client,
            Role::Server => server,
        }
    }

    fn take(
        &mut self,
        scenario: &Scenario,
        flow: &mut Flow,
        segment: &Segment,
        unaccepted: &mut [Option<usize>; 2],
    ) {
        let Some(observed) = flow.observe(segment) else {
            return;
        };
        self.first.get_or_insert(segment.frame);
        self.take_reset(segment, &observed, unaccepted);
        let [client, server] = &mut self.firsts;
        let firsts = match observed.from {
            Role::Client => client,
            Role::Server => server,
        };
        firsts.take(segment, observed.reset.as_ref());
        if observed.acknowledges_unseen && !scenario.forges(observed.from) {
            self.acknowledges_unseen.get_or_insert(segment.frame);
        }
        if observed.acknowledges_fin && observed.from == Role::Client {
            self.timing = Some(if segment.payload_len == 0 {
                Timing::DataAfterAckOfFin
            } else {
                Timing::DataBeforeAckOfFin
            });
        }
    }
}

impl Wire {
    /// Records an RST that arrives, or leaves its sender and may be lost on the way, and the challenge ACK to an RST
    /// that was not accepted.
    fn take_reset(
        &mut self,
        segment: &Segment,
        observed: &Observed,
        unaccepted: &mut [Option<usize>; 2],
    ) {
        let place = |role: Role| usize::from(role == Role::Server);
        // RSTs do not count here: anybody may forge one in this end's name. The first other segment is the challenge
        // ACK, or there is none.
        if observed.leaves
            && !segment.flags.has(Flags::RST)
            && let Some(index) = unaccepted[place(observed.from)].take()
            && segment.seq_len() == 0
            && segment.flags.has(Flags::ACK)
        {
            self.resets[index].challenged_by = Some(segment.frame);
        }
        let Some(reset) = observed.reset else {
            if observed.arrives {
                unaccepted[place(observed.from.peer())] = None;
            }
            return;
        };
        // The frame captured at the sender and this one are the same RST.
        if let Some(left) = reset.left.filter(|left| *left != reset.frame)
            && let Some(gone) = self.resets.iter().rposition(|it| it.frame == left)
        {
            self.resets.remove(gone);
            for unaccepted in unaccepted.iter_mut() {
                *unaccepted = match *unaccepted {
                    Some(index) if index == gone => None,
                    Some(index) if index > gone => Some(index - 1),
                    other => other,
                };
            }
        }
        let index = self.resets.len();
        self.resets.push(reset);
        if observed.arrives && reset.acceptance.draws_challenge() {
            unaccepted[place(reset.from.peer())] = Some(index);
        }
    }
}

/// Maximum disagreement between times of frames and calls, in nanoseconds. Both come from one clock, but CPUs may
/// differ, and a clock step within its limit adds to that; 41 µs were seen between two senders on one host.
const SLACK_NS: i64 = 60_000;

/// Maximum delay of the capture of a segment after a call that does not wait for an answer, in nanoseconds. Up to Linux
/// 6.4 (until d15121be7485), received loopback packets are left to ksoftirqd while it is running, and they are captured
/// there. 1.6 ms were seen on an emulated 6.1 kernel.
const DEFERRED_NS: i64 = 50_000_000;

/// Maximum time from the beginning of `connect` to an answer that is not deferred, in nanoseconds. Such an answer
/// arrives within microseconds; a deferred one took 32 ms.
const AT_ONCE_NS: i64 = 1_000_000;

/// Returns how long after the call returned, in nanoseconds, a segment that the call sent may still be captured.
fn capture_delay(call: &Call) -> i64 {
    match call.outcome.errno() {
        Some(Errno::EINPROGRESS) => DEFERRED_NS,
        _ => SLACK_NS,
    }
}

/// Returns the first call whose recorded times are impossible: it ends before it begins, begins before the previous
/// call has ended, or a segment that only this call can have sent was captured before it began.
fn impossible_call(scenario: &Scenario, evidence: &Evidence, wire: &Wire) -> Option<usize> {
    let after = |earlier: Timestamp, later: Timestamp| later.since(earlier) >= -SLACK_NS;
    let mut last = [None; 2];
    for (index, call) in evidence.calls.iter().enumerate() {
        let last = match call.role {
            Role::Client => &mut last[0],
            Role::Server => &mut last[1],
        };
        let within = after(evidence.began, call.began)
            && wire.fence.is_none_or(|fence| after(call.ended, fence));
        let follows = last.is_none_or(|last| after(last, call.began));
        if !after(call.began, call.ended) || !follows || !within {
            return Some(index);
        }
        // While a call blocks on a thread of its own, the same end may make other calls.
        let blocks = scenario.blocks(index);
        *last = Some(if blocks { call.began } else { call.ended });
    }
    let made = [Role::Client, Role::Server].into_iter();
    // Segments forged in an end's name were not sent by any of its calls.
    made.filter(|role| !scenario.forges(*role))
        .find_map(|role| {
            let firsts = wire.firsts(role);
            let caused_by = |sent: Option<Timestamp>, can_send: fn(Op) -> bool| {
                let mut calls = evidence.calls.iter().enumerate();
                let (index, call) = calls.find(|(_, it)| it.role == role && can_send(it.op))?;
                (call.began.since(sent?) > SLACK_NS).then_some(index)
            };
            // connect() sends the SYN before it returns, whether or not it waits for the answer.
            let mut calls = evidence.calls.iter().enumerate();
            let connect = calls.find(|(_, it)| it.role == role && it.op == Op::Connect);
            // With TCP Fast Open, the first write sends the SYN.
            let defers = |it: &Call| it.role == role && it.op == Op::FastOpenConnect;
            let returned_before = connect
                .filter(|_| !evidence.calls.iter().any(defers))
                .zip(firsts.syn)
                .filter(|((_, call), sent)| sent.since(call.ended) > capture_delay(call))
                .map(|((index, _), _)| index);
            returned_before
                .or_else(|| caused_by(firsts.syn, |op| op == Op::Connect))
                .or_else(|| {
                    caused_by(firsts.data, |op| {
                        matches!(op, Op::Write(_) | Op::WriteUrgent)
                    })
                })
                .or_else(|| caused_by(firsts.fin, Op::sends_fin))
                .or_else(|| caused_by(firsts.abort, Op::aborts))
        })
}

/// Returns the gap, if any, that makes a verdict impossible: rule 1 or the scenario's own timing does not hold.
fn gap(scenario: &Scenario, evidence: &Evidence, wire: &Wire) -> Option<InconclusiveReason> {
    if let Some(flaw) = evidence.flaw {
        return Some(InconclusiveReason::Flawed(flaw));
    }
    if let Some(exhausted) = exhausted(evidence) {
        return Some(exhausted);
    }
    let completeness = evidence.completeness;
    if completeness.dropped > 0 {
        return Some(InconclusiveReason::FramesDropped(completeness.dropped));
    }
    if !completeness.filter_passes_all {
        return Some(InconclusiveReason::FilterHides);
    }
    if !completeness.fence_seen {
        /// Largest time stamp in seconds: `tpacket3_hdr` has 32 bits for it (`linux/if_packet.h`).
        const MOST_SECONDS: i64 = u32::MAX as i64;
        let is_beyond = evidence.began.0 / 1_000_000_000 > MOST_SECONDS;
        return Some(if is_beyond {
            InconclusiveReason::DateBeyondCapture
        } else {
            InconclusiveReason::FenceMissing
        });
    }
    if completeness.clock_step_ns.unsigned_abs() > CLOCK_STEP_LIMIT_NS {
        return Some(InconclusiveReason::ClockStepped(completeness.clock_step_ns));
    }
    if evidence
        .trace
        .as_ref()
        .is_some_and(|trace| trace.coverage.overrun)
    {
        return Some(InconclusiveReason::TraceOverrun);
    }
    if !wire.saw_syn && scenario.extent == Extent::Connection {
        return Some(InconclusiveReason::SynMissing);
    }
    if let Some(frame) = wire.acknowledges_unseen {
        return Some(InconclusiveReason::SegmentMissing { frame });
    }
    if let Some(call) = impossible_call(scenario, evidence, wire) {
        return Some(InconclusiveReason::TimesDisordered { call });
    }
    let interrupted = |call: &Call| call.outcome.errno() == Some(Errno::EINTR);
    if let Some(call) = evidence.calls.iter().position(interrupted) {
        return Some(InconclusiveReason::CallInterrupted { call });
    }
    match scenario.timing {
        Some(meant) if wire.timing.is_some_and(|seen| seen != meant) => {
            Some(InconclusiveReason::TimingMissed(meant))
        }
        _ => None,
    }
}

/// Returns the gap for a condition of this host, if any, that may have changed the trial.
fn excuse(scenario: &Scenario, evidence: &Evidence) -> Option<InconclusiveReason> {
    if let Some(counter) = pressure(scenario, evidence) {
        return Some(InconclusiveReason::OutOfRoom(counter));
    }
    if let Some(state) = evidence.host_state.filter(HostState::may_matter) {
        return Some(InconclusiveReason::Host(state));
    }
    if let Some(missed) = windows::missed(scenario, evidence) {
        return Some(InconclusiveReason::WindowMissed(missed));
    }
    if let Some(call) = windows::met_in_close(scenario, evidence) {
        return Some(InconclusiveReason::MetInClose { call });
    }
    // A wait that ends in vain lasts so long that a busy machine is delayed at some point; the delay does not explain
    // it.
    let has_waited_in_vain = evidence.steps.iter().any(|step| step.gave_up)
        || evidence
            .calls
            .iter()
            .any(|call| call.outcome == Outcome::Unfinished);
    let held_up = Duration::from_nanos(evidence.process_stall_ns);
    let ms = held_up.as_millis().try_into().unwrap_or(u64::MAX);
    (held_up > STEP_WINDOW && !has_waited_in_vain).then_some(InconclusiveReason::HeldUp(ms))
}

/// Returns the first counter, not expected by the scenario, that increases only if the host lacks room or memory.
fn pressure(scenario: &Scenario, evidence: &Evidence) -> Option<&'static str> {
    let counters = evidence.counters.as_ref()?;
    let is_meant = |name: &str| scenario.counters.iter().any(|(meant, _)| *meant == name);
    let mut names = PRESSURE.into_iter().chain([ABORTED_FOR_MEMORY]);
    names.find(|name| !is_meant(name) && counters.get(name).is_some_and(|by| by > 0))
}

/// Returns the gap for a call that failed for lack of a resource unrelated to TCP: descriptors, memory or a process.
fn exhausted(evidence: &Evidence) -> Option<InconclusiveReason> {
    let mut calls = evidence.calls.iter().enumerate();
    calls.find_map(|(call, made)| match (made.op, made.outcome) {
        (Op::Spawn, Outcome::Failed(errno)) => Some(InconclusiveReason::ChildNotStarted {
            call,
            errno: Some(errno),
        }),
        (Op::Spawn, Outcome::Unfinished) => {
            Some(InconclusiveReason::ChildNotStarted { call, errno: None })
        }
        (Op::Kill | Op::Terminate, Outcome::Unfinished) => {
            Some(InconclusiveReason::ChildNotEnded { call })
        }
        (_, outcome) => {
            let errno = outcome.errno().filter(|errno| errno.is_exhaustion());
            errno.map(|errno| InconclusiveReason::Exhausted { call, errno })
        }
    })
}

fn findings(
    scenario: &Scenario,
    evidence: &Evidence,
    wire: &Wire,
    blames: &[(usize, Attribution)],
    joined: &Correlated,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let matched = match_resets(scenario, wire, joined, &mut findings);
    compare_calls(scenario, evidence, &mut findings);
    compare_payload(scenario, evidence, wire, &mut findings);
    compare_blames(scenario, evidence, wire, blames, &matched, &mut findings);
    kernel::compare_counters(scenario, evidence, wire, &matched, &mut findings);
    kernel::compare_trace(
        scenario,
        evidence,
        wire,
        blames,
        &matched,
        joined,
        &mut findings,
    );
    compare_reads(scenario, evidence, wire, blames, &mut findings);
    if !scenario.multipath {
        // In Multipath TCP the end of file is a DATA_FIN, an option of segments that need not carry a FIN.
        explain_ends_of_file(evidence, wire, blames, &mut findings);
    }
    if let (Extent::Nothing, Some(frame)) = (scenario.extent, wire.first) {
        findings.push(Finding::UnexpectedSegment { frame });
    }
    compare_icmp(scenario, evidence, wire, &mut findings);
    findings
}

/// Checks the ICMP errors for rule 7: every expected error was captured, in order, and no other.
fn compare_icmp(
    scenario: &Scenario,
    evidence: &Evidence,
    wire: &Wire,
    findings: &mut Vec<Finding>,
) {
    let family = Family::of(evidence.client.ip());
    let mut seen = wire.icmp.iter();
    for (place, meant) in scenario.icmp.iter().enumerate() {
        match seen.next() {
            Some(icmp) if (icmp.to, icmp.kind) == (meant.to, meant.over(family)) => {}
            Some(icmp) => findings.push(Finding::IcmpError { frame: icmp.frame }),
            None => findings.push(Finding::NoIcmp { place }),
        }
    }
    findings.extend(seen.map(|icmp| Finding::IcmpError { frame: icmp.frame }));
}

/// Checks rules 2, 3 and 7: every expected acceptable RST was captured, in order, and no other, and every RST that is
/// expected to have no effect was captured as well.
///
/// Returns, for each expected RST, the index of the captured RST that matches it.
fn match_resets(
    scenario: &Scenario,
    wire: &Wire,
    joined: &Correlated,
    findings: &mut Vec<Finding>,
) -> Vec<Option<usize>> {
    let mut matched = vec![None; scenario.resets.len()];
    match_resets_without_effect(scenario, wire, joined, &mut matched);
    let expected = scenario.resets.iter().enumerate();
    let mut expected = expected.filter(|(_, meant)| meant.fate == Fate::Believed);
    for (index, reset) in wire.resets.iter().enumerate() {
        if !reset.acceptance.is_acceptable() {
            // An RST that is not acceptable cannot explain an error, but it is unexpected where the scenario has no RST
            // at all.
            if scenario.resets.is_empty() {
                findings.push(Finding::UnexpectedReset { frame: reset.frame });
            }
            continue;
        }
        match expected.next() {
            Some((place, meant)) => {
                matched[place] = Some(index);
                compare_reset(*meant, reset, findings);
            }
            None => findings.push(Finding::UnexpectedReset { frame: reset.frame }),
        }
    }
    for (place, _) in expected {
        findings.push(missing(place, wire));
    }
    let places = scenario.resets.iter().enumerate();
    for (place, meant) in places.filter(|(_, meant)| meant.fate != Fate::Believed) {
        let is_there = match meant.fate {
            Fate::NeverLeft => joined.tells_of(meant),
            _ => matched[place].is_some(),
        };
        if !is_there {
            let fate = meant.fate;
            findings.push(Finding::NoSuchReset { place, fate });
        }
    }
    matched
}

/// Matches the RSTs that are expected to have no effect. Anybody may add more such RSTs, so one that fits is enough;
/// among several, the first from the expected sender is preferred.
fn match_resets_without_effect(
    scenario: &Scenario,
    wire: &Wire,
    joined: &Correlated,
    matched: &mut [Option<usize>],
) {
    let places = scenario.resets.iter().enumerate();
    for (place, meant) in places.filter(|(_, meant)| meant.fate != Fate::Believed) {
        let fits = |index: &usize| {
            let reset = &wire.resets[*index];
            // Without a captured trigger, an RST in the form of an answer may be forged.
            let answers =
                meant.form.is_none_or(|it| it == Form::Active) || reset.triggered_by.is_some();
            answers
                && (
                    reset.from,
                    reset.form,
                    reset.receiver_state,
                    Fate::of(reset),
                ) == (meant.from, meant.form, meant.receiver_state, meant.fate)
        };
        let candidates = || {
            let free = (0..wire.resets.len()).filter(|index| !matched.contains(&Some(*index)));
            free.filter(fits)
        };
        let by_sender = candidates().find(|index| joined.origins[*index].sender == meant.sender);
        matched[place] = by_sender.or_else(|| candidates().next());
    }
}

fn compare_reset(meant: ExpectedReset, seen: &Reset, findings: &mut Vec<Finding>) {
    let frame = seen.frame;
    if seen.from != meant.from {
        let expected = meant.from;
        findings.push(Finding::ResetFromWrongEnd { frame, expected });
    }
    let is_answer = meant.form.is_some_and(Form::is_answer);
    if seen.form != meant.form {
        findings.push(Finding::WrongForm {
            frame,
            expected: meant.form,
            seen: seen.form,
        });
    } else if is_answer && seen.triggered_by.is_none() {
        findings.push(Finding::DrawnByNothing { frame });
    }
    if seen.receiver_state != meant.receiver_state {
        findings.push(Finding::WrongReceiverState {
            frame,
            expected: meant.receiver_state,
            seen: seen.receiver_state,
        });
    }
}

/// Returns the finding for an expected RST that was not captured. If an RST was captured that is not acceptable, the
/// finding reports that RST.
fn missing(place: usize, wire: &Wire) -> Finding {
    wire.resets
        .iter()
        .find(|reset| !reset.acceptance.is_acceptable())
        .map_or(Finding::NoReset { place }, |reset| {
            Finding::ResetUnacceptable {
                frame: reset.frame,
                acceptance: reset.acceptance,
            }
        })
}

/// Checks the outcomes for rule 5: the whole transcript against the whole script.
fn compare_calls(scenario: &Scenario, evidence: &Evidence, findings: &mut Vec<Finding>) {
    let mut calls = evidence.calls.iter().enumerate();
    for (role, op, expect) in scenario.calls() {
        let Some((index, call)) = calls.next() else {
            findings.push(Finding::CallNotMade { role, op });
            continue;
        };
        if (call.role, call.op) != (role, op) {
            findings.push(Finding::OtherCall {
                call: index,
                role: call.role,
                op: call.op,
            });
        } else if !expect.allows(op, call.outcome) {
            findings.push(Finding::UnexpectedOutcome {
                call: index,
                op,
                expected: expect.outcome(),
                seen: call.outcome,
            });
        }
    }
    for (index, call) in calls {
        findings.push(Finding::OtherCall {
            call: index,
            role: call.role,
            op: call.op,
        });
    }
}

/// Checks the bytes for rule 5: exactly the written bytes are on the wire, and all bytes that were read were on the
/// wire. Some bytes of the end in [`Scenario::unsent`] are never sent.
fn compare_payload(
    scenario: &Scenario,
    evidence: &Evidence,
    wire: &Wire,
    findings: &mut Vec<Finding>,
) {
    for (role, sent) in wire.payload {
        let written = bytes(evidence, |call| {
            call.role == role && matches!(call.op, Op::Write(_) | Op::WriteUrgent)
        });
        // A write whose data goes out with the SYN may be sent and fail all the same.
        let defers = |call: &Call| call.role == role && call.op == Op::FastOpenConnect;
        let is_right = if scenario.forges_data_of(role) {
            true
        } else if evidence.calls.iter().any(defers) {
            let asked = bytes_of_failed_writes(evidence, role);
            [written, written.saturating_add(asked)].contains(&u64::from(sent))
        } else if scenario.unsent == Some(role) {
            // A host takes up to a second to notice that the other end of its link is down, and sends until then.
            u64::from(sent) < written || (scenario.loses_link() && u64::from(sent) == written)
        } else {
            u64::from(sent) == written
        };
        if !is_right {
            findings.push(Finding::PayloadDiffers {
                role,
                written,
                sent,
            });
        }
        let role = role.peer();
        let read = bytes(evidence, |call| {
            call.role == role && matches!(call.op, Op::Read(_))
        });
        // A socket that is connected to itself reads its own writes.
        let sent = if evidence.client == evidence.server {
            wire.payload.iter().map(|(_, sent)| sent).sum()
        } else {
            sent
        };
        if read > u64::from(sent) {
            findings.push(Finding::NotSent { role, read, sent });
        }
    }
}

/// Checks the order for rule 5: a `read` fails from an RST only after all data that arrived before it was read.
fn compare_reads(
    scenario: &Scenario,
    evidence: &Evidence,
    wire: &Wire,
    blames: &[(usize, Attribution)],
    findings: &mut Vec<Finding>,
) {
    for (index, blame) in blames {
        let Some(call) = evidence.calls.get(*index) else {
            continue;
        };
        let (Op::Read(_), Attribution::Reset(reset)) = (call.op, blame) else {
            continue;
        };
        let role = call.role;
        let read = bytes(evidence, |call| {
            call.role == role && matches!(call.op, Op::Read(_))
        });
        let sent = wire.resets[*reset].received_before;
        // A `PayloadDiffers` finding already reports bytes on the wire that were never written.
        let differs = |finding: &Finding| matches!(finding, Finding::PayloadDiffers { role: from, .. } if *from == role.peer());
        let is_known = !scenario.forges_data_of(role.peer()) && !findings.iter().any(differs);
        if is_known && u64::from(sent) > read {
            findings.push(Finding::NotRead { role, read, sent });
        }
    }
}

/// Checks the end of file for rule 5: `read` returns 0 after the other end's FIN, on a socket that an RST or a timer
/// has closed, and on a socket whose owner has shut down its receiving side.
fn explain_ends_of_file(
    evidence: &Evidence,
    wire: &Wire,
    blames: &[(usize, Attribution)],
    findings: &mut Vec<Finding>,
) {
    let ended = [Role::Client, Role::Server].map(|role| {
        let resets = wire.resets.iter();
        let killing = resets.filter(|reset| reset.puts_error_on(role).is_some());
        let killed = killing.map(|reset| reset.at).min();
        wire.firsts(role.peer()).fin.into_iter().chain(killed).min()
    });
    let mut own_doing = [false; 2];
    for (index, call) in evidence.calls.iter().enumerate() {
        let end = usize::from(call.role == Role::Server);
        let is_end = matches!(call.op, Op::Read(1..) | Op::Peek(1..))
            && call.outcome == Outcome::Returned(0);
        if is_end && !own_doing[end] && ended[end].is_none_or(|at| at >= call.ended) {
            findings.push(Finding::UnexplainedEnd { call: index });
        }
        // `blames` is in transcript order, hence sorted by call.
        let blame = blames.binary_search_by_key(&index, |(of, _)| *of);
        own_doing[end] |= match blame.map(|place| blames[place].1) {
            Ok(blame) => blame.ends_connection(),
            Err(_) => matches!(call.op, Op::ShutdownRead | Op::ShutdownBoth),
        };
    }
}

/// Returns the number of bytes that this end passed to writes that failed.
fn bytes_of_failed_writes(evidence: &Evidence, role: Role) -> u64 {
    let calls = evidence.calls.iter().filter(|call| call.role == role);
    calls
        .filter(|call| call.outcome.errno().is_some())
        .map(|call| match call.op {
            Op::Write(count) => u64::from(count),
            _ => 0,
        })
        .fold(0, u64::saturating_add)
}

/// Returns the total number of bytes that the selected calls returned.
fn bytes(evidence: &Evidence, are_they: impl Fn(&Call) -> bool) -> u64 {
    let calls = evidence.calls.iter().filter(|call| are_they(call));
    calls
        .map(|call| match call.outcome {
            Outcome::Returned(count) => u64::try_from(count).unwrap_or(0),
            _ => 0,
        })
        // Saved evidence may hold any numbers.
        .fold(0, u64::saturating_add)
}

/// Checks rules 4, 5 and 7: every error has the cause that the scenario states.
fn compare_blames(
    scenario: &Scenario,
    evidence: &Evidence,
    wire: &Wire,
    blames: &[(usize, Attribution)],
    matched: &[Option<usize>],
    findings: &mut Vec<Finding>,
) {
    for &(call, blame) in blames {
        let Some(made) = evidence.calls.get(call) else {
            continue;
        };
        match blame {
            Attribution::WrongErrno { reset, mapped } => findings.push(Finding::WrongErrno {
                call,
                frame: wire.resets[reset].frame,
                state: wire.resets[reset].receiver_state,
                expected: mapped,
            }),
            Attribution::ReportedTwice(reset) => findings.push(Finding::ReportedTwice {
                call,
                frame: wire.resets[reset].frame,
            }),
            Attribution::Unexplained => findings.push(unexplained(call, made, wire)),
            Attribution::Reset(_)
            | Attribution::AfterReset(_)
            | Attribution::OwnShutdown(_)
            | Attribution::OwnDisconnect(_)
            | Attribution::OwnReset(_)
            | Attribution::NotConnected
            | Attribution::NotListening(_)
            | Attribution::WouldBlock(_)
            | Attribution::TimedOut(_)
            | Attribution::Unanswered
            | Attribution::Icmp(_)
            | Attribution::Destroyed(_)
            | Attribution::NoRoute
            | Attribution::InUse(_) => {
                let meant = scenario
                    .calls()
                    .nth(call)
                    .and_then(|(_, _, expect)| expect.cause());
                if meant.is_some_and(|cause| !blame.is(cause, matched)) {
                    findings.push(Finding::OtherCause { call, seen: blame });
                }
            }
        }
    }
}

/// Returns the finding for an unexplained error. If an RST would explain the error but arrived too late, the finding
/// reports that RST.
fn unexplained(call: usize, made: &Call, wire: &Wire) -> Finding {
    wire.resets
        .iter()
        .find(|reset| reset.puts_error_on(made.role).is_some() && reset.at >= made.ended)
        .map_or(Finding::UnexplainedError { call }, |reset| {
            Finding::ResetTooLate {
                frame: reset.frame,
                call,
            }
        })
}
