//! What is told about trials: one [`TrialReport`] a trial, rendered by one file per format.
//!
//! The serialised form is schema 2 of the machine output, described in `docs/schema/`: fields are added, never renamed. The
//! human form is made from the same value, so that both always say the same.
//!
//! A trial may come from hostile files: nothing here takes more time than its calls and frames, sorted, are worth. Its
//! calls are in the order of their index, its frames and RSTs in the order of their number.

pub mod kernel;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{Completeness, Evidence, StepTimes};
use crate::flow::{Flow, Form, Reset, State};
use crate::kernel::event::Coverage;
use crate::kernel::host::HostState;
use crate::packet::{IcmpError, Packet, Segment, Tap};
use crate::report::kernel::EventReport;
use crate::scenario::{Family, Scenario, Sender};
use crate::time::Timestamp;
use crate::transcript::{Call, Errno, Events, Outcome, Role};
use crate::verdict::{Attribution, Judgement, ResetOrigin, Verdict};

/// Version of the machine output.
pub const SCHEMA: u32 = 2;

/// What is the same for all trials of a run, known when it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of this form: [`SCHEMA`].
    pub schema: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// The host that the trials ran on.
    pub host: Host,
    /// Evidence sources that were used.
    pub evidence_sources: EvidenceSources,
}

/// The program that wrote a report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tool {
    /// `rstproof`.
    pub name: Cow<'static, str>,
    /// Its version.
    pub version: Cow<'static, str>,
}

/// The host that trials ran on, as `uname(2)` and libpcap tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are those of `struct utsname`
pub struct Host {
    pub sysname: String,
    pub release: String,
    pub version: String,
    pub machine: String,
    pub libpcap: String,
}

/// Evidence sources of the trials, besides the system calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvidenceSources {
    /// The packets on the wire.
    pub capture: bool,
    /// The kernel's trace events.
    pub kernel_trace: bool,
    /// The kernel's counters.
    pub counters: bool,
    /// Reason why there is no kernel trace, if one was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_trace_note: Option<Cow<'static, str>>,
}

/// What was captured with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CaptureReport {
    /// Interface name.
    pub interface: String,
    /// The BPF filter in force; that of the first worker, they differ in their addresses only.
    pub filter: String,
    /// Frames that the kernel had no room for, all workers together.
    pub dropped: u64,
}

/// One trial. Times are nanoseconds since `began_realtime_ns`; calls are named by their index, frames by their number.
#[derive(Clone, Debug, Serialize)]
pub struct TrialReport {
    /// Id of the scenario.
    pub scenario: Cow<'static, str>,
    /// Address family.
    pub family: Family,
    /// Which repetition, from 1.
    pub run: u32,
    /// `None` if it was skipped.
    pub verdict: Option<Verdict>,
    /// Why it was skipped.
    pub skipped: Option<String>,
    /// Reason why it is inconclusive; `None` if it is not.
    pub inconclusive_reason: Option<Remark>,
    /// What speaks against it, if it is refuted.
    pub findings: Vec<Remark>,
    /// The file that its frames were saved in, relative to the report.
    pub capture_file: Option<String>,
    /// SHA-256 of that file, in hexadecimal digits.
    pub capture_sha256: Option<String>,
    /// When it began: nanoseconds since the Unix epoch, `CLOCK_REALTIME`.
    pub began_realtime_ns: i64,
    /// The client's address.
    pub client: Option<SocketAddr>,
    /// The server's address.
    pub server: Option<SocketAddr>,
    /// What the sockets said.
    pub calls: Vec<CallReport>,
    /// When the steps of the script that are no calls were made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepReport>,
    /// What the wire showed of this connection.
    pub packets: Vec<PacketReport>,
    /// The RSTs among them.
    pub resets: Vec<ResetReport>,
    /// The kernel's trace events.
    pub kernel_events: Vec<EventReport>,
    /// Which facts they can tell of; `None` if the trace was not asked.
    pub trace_coverage: Option<Coverage>,
    /// By how much the kernel's counters moved; those that did not are left out.
    pub counters: BTreeMap<String, u64>,
    /// Those that this kernel does not count; `None` if they were not asked.
    pub unsupported_counters: Option<Vec<String>>,
    /// The longest time that the process did not run during the trial, if it was long enough to matter.
    #[serde(skip_serializing_if = "is_none_at_all")]
    pub process_stall_ns: u64,
    /// What the host says of itself, if that may have changed the trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_state: Option<HostState>,
    /// How far the capture can be taken for complete.
    pub completeness: Option<Completeness>,
    /// What it was judged again from, if it was saved evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Source>,
}

/// What serde asks of a number that is left out where it is 0.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_none_at_all(number: &u64) -> bool {
    *number == 0
}

/// Saved evidence that a trial was judged again from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Source {
    /// Its capture file, or where there is none the document that speaks of it.
    pub file: String,
    /// The verdict that was recorded with it.
    pub recorded_verdict: Option<Verdict>,
    /// Release of the kernel that it was recorded on, if that is known.
    pub kernel_release: Option<String>,
    /// Version of the program that recorded it, if that is known.
    pub tool_version: Option<String>,
}

/// A finding or a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Stable id, kebab-case.
    pub id: &'static str,
    /// One line.
    pub message: String,
}

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct CallReport {
    /// Its index.
    pub index: usize,
    /// Who made it.
    pub role: Role,
    /// The system call's name.
    pub call: &'static str,
    /// What it was called with.
    pub arguments: String,
    /// When it was entered.
    pub began_ns: i64,
    /// When it had returned.
    pub ended_ns: i64,
    /// How it ended.
    pub result: ResultReport,
    /// What its error came from, if it was told of one.
    pub cause: Option<CauseReport>,
}

impl CallReport {
    /// What people call it: the system call, or the socket option that it asks for.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.call {
            "getsockopt" => &self.arguments,
            call => call,
        }
    }
}

/// One step of the script that is no call. Times are nanoseconds since the trial began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its index in the script.
    pub step: usize,
    /// When it began.
    pub began_ns: i64,
    /// When it had ended.
    pub ended_ns: i64,
    /// When the segment was captured that it waited for; `None` if it did not wait for one, or none came.
    pub captured_ns: Option<i64>,
    /// Whether it waited in vain, until its time bound.
    pub timed_out: bool,
}

impl StepReport {
    fn new(step: &StepTimes, began: Timestamp) -> Self {
        Self {
            step: step.step,
            began_ns: step.began.since(began),
            ended_ns: step.ended.since(began),
            captured_ns: step.shown.map(|shown| shown.since(began)),
            timed_out: step.gave_up,
        }
    }

    /// The same as evidence, of a trial that began then.
    #[must_use]
    pub fn times(&self, began: Timestamp) -> StepTimes {
        let at = |ns: i64| Timestamp(began.0.saturating_add(ns));
        StepTimes {
            step: self.step,
            began: at(self.began_ns),
            ended: at(self.ended_ns),
            shown: self.captured_ns.map(at),
            gave_up: self.timed_out,
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // the fields are named after what they hold
pub enum ResultReport {
    Ok {
        ok: i64,
    },
    Failed {
        errno: Errno,
    },
    /// `getsockopt(SO_ERROR)` returned 0 and this error.
    SocketError {
        ok: i64,
        so_error: Option<Errno>,
    },
    /// `poll` returned 1, or 0 if the mask is empty.
    Polled {
        ok: i64,
        revents: Events,
    },
    Unfinished {
        unfinished: bool,
    },
}

impl From<Outcome> for ResultReport {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Returned(ok) => Self::Ok { ok },
            Outcome::Failed(errno) => Self::Failed { errno },
            Outcome::SocketError(so_error) => Self::SocketError { ok: 0, so_error },
            Outcome::Polled(revents) => Self::Polled {
                ok: (revents != Events::default()).into(),
                revents,
            },
            Outcome::Unfinished => Self::Unfinished { unfinished: true },
        }
    }
}

impl ResultReport {
    /// The error that the caller was told of.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed { errno } => Some(errno),
            Self::SocketError { so_error, .. } => so_error,
            Self::Ok { .. } | Self::Polled { .. } | Self::Unfinished { .. } => None,
        }
    }
}

impl std::fmt::Display for ResultReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.errno()) {
            (_, Some(errno)) => write!(f, "{errno}"),
            (Self::Ok { ok }, None) => write!(f, "{ok}"),
            (Self::Polled { revents, .. }, None) => write!(f, "{revents}"),
            (Self::Unfinished { .. }, None) => f.write_str("(did not return)"),
            (Self::Failed { .. } | Self::SocketError { .. }, None) => f.write_str("0"),
        }
    }
}

/// What the error of a call came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseReport {
    /// The RST in this frame, which this call was the one to be told of.
    Reset(u32),
    /// The RST in this frame had killed the connection before.
    AfterReset(u32),
    /// This earlier call had shut the caller's own sending side down.
    OwnShutdown(usize),
    /// This call had dissolved or cancelled the caller's own connection.
    OwnDisconnect(usize),
    /// The RST in this frame, with which the caller's own socket had answered.
    OwnReset(u32),
    /// The socket has no connection.
    NotConnected,
    /// This earlier call had shut the listener down.
    NotListening(usize),
    /// This earlier call had asked not to wait, or not for long.
    WouldBlock(usize),
    /// The time that this earlier call allows the other end had run out.
    TimedOut(usize),
    /// What the caller's end had sent was not acknowledged, and its kernel gave up.
    Unanswered,
    /// The ICMP error in this frame.
    Icmp(u32),
    /// An administrator had destroyed the socket in this call.
    Destroyed(usize),
    /// This host knows no way to the address.
    NoRoute,
    /// This call, of another thread, waited on the same socket.
    InUse(usize),
    /// Nothing that is known here.
    Unexplained,
}

/// One captured frame of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketReport {
    /// Its number in the capture file.
    pub frame: u32,
    /// The interface it was captured on.
    pub interface: String,
    /// When it was stamped.
    pub at_ns: i64,
    /// `tcp` or `icmp`.
    pub protocol: Cow<'static, str>,
    /// The end that sent it; `None` if neither did.
    pub from: Option<Role>,
    /// tcpdump's letters; `None` if it is not TCP.
    pub flags: Option<String>,
    /// Relative to the sender's initial number.
    pub seq: Option<u32>,
    /// Relative to the receiver's initial number.
    pub ack: Option<u32>,
    /// Bytes of payload.
    pub len: u32,
    /// Window field, not scaled.
    pub win: Option<u16>,
}

/// One RST of the connection.
#[derive(Clone, Debug, Serialize)]
pub struct ResetReport {
    /// Its frame.
    pub frame: u32,
    /// Whose address it carries as its source.
    pub from: Role,
    /// What it looks like; `None` if like nothing that Linux makes.
    pub form: Option<Form>,
    /// The state in which it found its receiver.
    pub receiver_state: State,
    /// Whether the receiver had to believe it.
    pub acceptable: bool,
    /// On what ground.
    pub acceptance: String,
    /// Who sent it, by the kernel's own word.
    pub sender: Sender,
    /// Why it was sent: the name of an `sk_rst_reason`.
    pub kernel_reason: Option<String>,
    /// The frame that it answers, if it is an answer.
    pub triggered_by: Option<u32>,
    /// The calls whose error it accounts for.
    pub explains_calls: Vec<usize>,
}

impl Source {
    /// What is to be said if the verdict that was recorded is another one.
    #[must_use]
    pub fn disagreement(&self, verdict: Option<Verdict>) -> Option<String> {
        let recorded = self
            .recorded_verdict
            .filter(|recorded| Some(*recorded) != verdict)?;
        let version = self.tool_version.as_deref().unwrap_or("?");
        Some(format!("as {} by version {version}", recorded.name()))
    }
}

impl TrialReport {
    /// The report of a trial that was run.
    #[must_use]
    pub fn new(
        scenario: &Scenario,
        family: Family,
        run: u32,
        interface: &str,
        evidence: &Evidence,
        judgement: &Judgement,
    ) -> Self {
        let began = evidence.began;
        Self {
            verdict: Some(judgement.verdict),
            inconclusive_reason: judgement.gap.map(|gap| Remark {
                id: gap.id(),
                message: gap.to_string(),
            }),
            findings: judgement
                .findings
                .iter()
                .map(|finding| Remark {
                    id: finding.id(),
                    message: finding.to_string(),
                })
                .collect(),
            began_realtime_ns: began.0,
            client: Some(evidence.client),
            server: Some(evidence.server),
            calls: evidence
                .calls
                .iter()
                .enumerate()
                .map(|(index, call)| call_report(index, call, began, judgement))
                .collect(),
            steps: steps(evidence),
            packets: packets(evidence, &evidence.packets, interface),
            resets: judgement
                .resets
                .iter()
                .zip(&judgement.origins)
                .zip(explained(judgement))
                .map(|((reset, origin), explains)| reset_report(reset, origin, explains))
                .collect(),
            kernel_events: events(evidence),
            trace_coverage: evidence.trace.as_ref().map(|trace| trace.coverage),
            counters: evidence
                .counters
                .as_ref()
                .map_or_else(BTreeMap::new, |moved| moved.by.clone()),
            unsupported_counters: evidence
                .counters
                .as_ref()
                .map(|moved| moved.unsupported_counters.clone()),
            process_stall_ns: evidence.process_stall_ns,
            host_state: evidence.host_state,
            completeness: Some(evidence.completeness),
            ..Self::blank(scenario, family, run)
        }
    }

    /// The report of a trial that this host cannot run.
    #[must_use]
    pub fn skipped(scenario: &Scenario, family: Family, run: u32, why: String) -> Self {
        Self {
            skipped: Some(why),
            ..Self::blank(scenario, family, run)
        }
    }

    /// The report of a trial that could not be played to its end, with the id of the gap and the reason: nothing is known of it.
    #[must_use]
    pub fn unplayed(
        scenario: &Scenario,
        family: Family,
        run: u32,
        (id, message): (&'static str, String),
    ) -> Self {
        Self {
            verdict: Some(Verdict::Inconclusive),
            inconclusive_reason: Some(Remark { id, message }),
            ..Self::blank(scenario, family, run)
        }
    }

    /// A trial of which nothing is known yet.
    fn blank(scenario: &Scenario, family: Family, run: u32) -> Self {
        Self {
            scenario: scenario.id.into(),
            family,
            run,
            verdict: None,
            skipped: None,
            inconclusive_reason: None,
            findings: Vec::new(),
            capture_file: None,
            capture_sha256: None,
            began_realtime_ns: 0,
            client: None,
            server: None,
            calls: Vec::new(),
            steps: Vec::new(),
            packets: Vec::new(),
            resets: Vec::new(),
            kernel_events: Vec::new(),
            trace_coverage: None,
            counters: BTreeMap::new(),
            unsupported_counters: None,
            process_stall_ns: 0,
            host_state: None,
            completeness: None,
            evidence: None,
        }
    }

    /// The first RST that accounts for the error of a call, and that call.
    #[must_use]
    pub fn proof(&self) -> Option<(&ResetReport, &CallReport)> {
        self.resets.iter().find_map(|reset| {
            let call = self.calls.get(*reset.explains_calls.first()?)?;
            Some((reset, call))
        })
    }
}

/// The steps of this trial's script that are no calls.
#[must_use]
pub fn steps(evidence: &Evidence) -> Vec<StepReport> {
    let steps = evidence.steps.iter();
    steps
        .map(|step| StepReport::new(step, evidence.began))
        .collect()
}

/// The kernel's trace events of this trial.
#[must_use]
pub fn events(evidence: &Evidence) -> Vec<EventReport> {
    let events = evidence.trace.iter().flat_map(|trace| &trace.events);
    events
        .map(|event| EventReport::new(event, evidence.began))
        .collect()
}

fn call_report(index: usize, call: &Call, began: Timestamp, judgement: &Judgement) -> CallReport {
    let frame = |reset: usize| judgement.resets.get(reset).map_or(0, |reset| reset.frame);
    let place = judgement.blames.binary_search_by_key(&index, |(of, _)| *of);
    let blame = place.ok().and_then(|place| judgement.blames.get(place));
    CallReport {
        index,
        role: call.role,
        call: call.op.call(),
        arguments: call.op.arguments().into_owned(),
        began_ns: call.began.since(began),
        ended_ns: call.ended.since(began),
        result: call.outcome.into(),
        cause: blame.map(|(_, blame)| match *blame {
            Attribution::Reset(reset) => CauseReport::Reset(frame(reset)),
            Attribution::AfterReset(reset) => CauseReport::AfterReset(frame(reset)),
            Attribution::OwnShutdown(call) => CauseReport::OwnShutdown(call),
            Attribution::OwnDisconnect(call) => CauseReport::OwnDisconnect(call),
            Attribution::OwnReset(reset) => CauseReport::OwnReset(frame(reset)),
            Attribution::NotConnected => CauseReport::NotConnected,
            Attribution::NotListening(call) => CauseReport::NotListening(call),
            Attribution::WouldBlock(call) => CauseReport::WouldBlock(call),
            Attribution::TimedOut(call) => CauseReport::TimedOut(call),
            Attribution::Unanswered => CauseReport::Unanswered,
            Attribution::Icmp(icmp) => {
                CauseReport::Icmp(judgement.icmp.get(icmp).map_or(0, |icmp| icmp.frame))
            }
            Attribution::Destroyed(call) => CauseReport::Destroyed(call),
            Attribution::NoRoute => CauseReport::NoRoute,
            Attribution::InUse(call) => CauseReport::InUse(call),
            Attribution::WrongErrno { .. }
            | Attribution::ReportedTwice(_)
            | Attribution::Unexplained => CauseReport::Unexplained,
        }),
    }
}

/// For each RST the calls whose error it accounts for: [`Judgement::explained_by`] of all of them in one pass.
fn explained(judgement: &Judgement) -> Vec<Vec<usize>> {
    let mut explained = vec![Vec::new(); judgement.resets.len()];
    for (call, blame) in &judgement.blames {
        if let Attribution::Reset(reset) = blame
            && let Some(calls) = explained.get_mut(*reset)
        {
            calls.push(*call);
        }
    }
    explained
}

fn reset_report(reset: &Reset, origin: &ResetOrigin, explains_calls: Vec<usize>) -> ResetReport {
    ResetReport {
        frame: reset.frame,
        from: reset.from,
        form: reset.form,
        receiver_state: reset.receiver_state,
        acceptable: reset.acceptance.is_acceptable(),
        acceptance: reset.acceptance.to_string(),
        sender: origin.sender,
        kernel_reason: origin.reason.clone(),
        triggered_by: reset.triggered_by,
        explains_calls,
    }
}

/// An interface's name on Linux has at most 15 characters. A stranger's file may give it thousands, and each frame repeats
/// them.
const LONGEST_INTERFACE: usize = 64;

/// The frames of this connection, in the terms of the connection.
#[must_use]
pub fn packets(evidence: &Evidence, captured: &[Packet], interface: &str) -> Vec<PacketReport> {
    let usual: String = interface.chars().take(LONGEST_INTERFACE).collect();
    let interface = |tap: Tap| tap.interface().unwrap_or(&usual);
    let mut flow = Flow::new(evidence.client, evidence.server);
    captured
        .iter()
        .filter_map(|packet| match packet {
            Packet::Tcp(segment) if segment.at >= evidence.began => {
                tcp_report(&mut flow, segment, evidence.began, interface(segment.tap))
            }
            Packet::Icmp(error) if evidence.is_about_connection(error) => {
                Some(icmp_report(error, evidence.began, interface(error.tap)))
            }
            _ => None,
        })
        .collect()
}

fn tcp_report(
    flow: &mut Flow,
    segment: &Segment,
    began: Timestamp,
    interface: &str,
) -> Option<PacketReport> {
    let observed = flow.observe(segment)?;
    Some(PacketReport {
        frame: segment.frame,
        interface: interface.to_owned(),
        at_ns: segment.at.since(began),
        protocol: "tcp".into(),
        from: Some(observed.from),
        flags: Some(segment.flags.to_string()),
        seq: observed.seq,
        ack: observed.ack,
        len: segment.payload_len,
        win: Some(segment.window),
    })
}

fn icmp_report(error: &IcmpError, began: Timestamp, interface: &str) -> PacketReport {
    PacketReport {
        frame: error.frame,
        interface: interface.to_owned(),
        at_ns: error.at.since(began),
        protocol: "icmp".into(),
        from: None,
        flags: None,
        seq: None,
        ack: None,
        len: 0,
        win: None,
    }
}
