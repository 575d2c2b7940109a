//! Machine-readable reports of trials: one [`TrialReport`] per trial, rendered by one file per format.
//!
//! The serialised form is schema 2 of the machine output, described in `docs/schema/`: fields are added, never renamed.
//! The human form is rendered from the same value, so the two always agree.
//!
//! A trial may come from hostile files. Building its report therefore takes no more time than sorting its calls and
//! frames. Calls are ordered by index, frames and RSTs by frame number.

pub mod kernel;
pub mod sources;

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{Completeness, Evidence, StepTimes};
use crate::flow::{Flow, Form, Reset, State};
use crate::packet::{IcmpError, Packet, Segment, Tap};
use crate::scenario::{Family, Scenario, Sender};
use crate::time::Timestamp;
pub use crate::transcript::ResultReport;
use crate::transcript::{Call, Role};
use crate::verdict::{Attribution, Finding, InconclusiveReason, Judgement, ResetOrigin, Verdict};

pub use self::sources::{EvidenceSources, SourceReports};

/// Version of the machine output.
pub const SCHEMA: u32 = 2;

/// Facts common to all trials of a run, known when the run begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the machine output: [`SCHEMA`].
    pub schema: u32,
    /// Program that wrote the report.
    pub tool: Tool,
    /// Host on which the trials ran.
    pub host: Host,
    /// Evidence sources that were used.
    pub evidence_sources: EvidenceSources,
}

/// Program that wrote a report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tool {
    /// Name of the program: `rstproof`.
    // Strings that this program writes are static, and owned when they are read back: hence `Cow` here and below.
    pub name: Cow<'static, str>,
    /// Version of the program.
    pub version: Cow<'static, str>,
}

/// Host on which trials ran, as reported by `uname(2)` and libpcap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are those of `struct utsname`
pub struct Host {
    pub sysname: String,
    pub release: String,
    pub version: String,
    pub machine: String,
    pub libpcap: String,
}

/// Settings and losses of the packet capture.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CaptureReport {
    /// Interface name.
    pub interface: String,
    /// BPF filter of the first worker; those of other workers differ only in their addresses.
    pub filter: String,
    /// Number of frames that the kernel dropped for lack of buffer space, in all workers together.
    pub dropped: u64,
}

/// Report of one trial. Times are nanoseconds since `began_realtime_ns`. Calls are identified by index, frames by
/// number.
#[derive(Clone, Debug, Serialize)]
pub struct TrialReport {
    /// Id of the scenario.
    pub scenario: Cow<'static, str>,
    /// Address family.
    pub family: Family,
    /// Number of the repetition, from 1.
    pub run: u32,
    /// Verdict; `None` if the trial was skipped.
    pub verdict: Option<Verdict>,
    /// Reason why the trial was skipped; `None` if it ran.
    pub skipped: Option<String>,
    /// Reason why the trial is inconclusive; `None` if it is not.
    pub inconclusive_reason: Option<Remark>,
    /// Failed checks, if the trial is refuted.
    pub findings: Vec<Remark>,
    /// Capture file with the frames of the trial, relative to the report.
    pub capture_file: Option<String>,
    /// SHA-256 of the capture file, in hexadecimal digits.
    pub capture_sha256: Option<String>,
    /// Time at which the trial began: nanoseconds since the Unix epoch, `CLOCK_REALTIME`.
    pub began_realtime_ns: i64,
    /// Address of the client.
    pub client: Option<SocketAddr>,
    /// Address of the server.
    pub server: Option<SocketAddr>,
    /// System calls of the trial.
    pub calls: Vec<CallReport>,
    /// Times of the script steps that are not calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepReport>,
    /// Captured frames of the connection.
    pub packets: Vec<PacketReport>,
    /// RSTs among the captured frames.
    pub resets: Vec<ResetReport>,
    /// Reports of the other evidence sources.
    #[serde(flatten)]
    pub sources: SourceReports,
    /// Evidence sources that this trial had. Not in the machine output, whose `sources` show them.
    #[serde(skip)]
    pub evidence_sources: EvidenceSources,
    /// Completeness of the capture.
    pub completeness: Option<Completeness>,
    /// Saved evidence that the trial was judged from; `None` for a live trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Source>,
}

/// Saved evidence that a trial was judged from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Source {
    /// Capture file of the trial; if there is none, the document that describes the trial.
    pub file: String,
    /// Verdict recorded with the evidence.
    pub recorded_verdict: Option<Verdict>,
    /// Release of the kernel on which the evidence was recorded, if known.
    pub kernel_release: Option<String>,
    /// Version of the program that recorded the evidence, if known.
    pub tool_version: Option<String>,
}

/// Finding, or reason for an inconclusive verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Stable id, kebab-case.
    pub id: &'static str,
    /// Message for people, in one line.
    pub message: String,
    /// Fields of a finding, as its id defines them; `None` for the reason of an inconclusive verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Finding>,
}

impl Remark {
    /// Creates a remark without details.
    #[must_use]
    pub fn new(id: &'static str, message: String) -> Self {
        Self {
            id,
            message,
            details: None,
        }
    }
}

impl From<&Finding> for Remark {
    fn from(finding: &Finding) -> Self {
        Self {
            details: Some(finding.clone()),
            ..Self::new(finding.id(), finding.to_string())
        }
    }
}

impl From<InconclusiveReason> for Remark {
    fn from(reason: InconclusiveReason) -> Self {
        Self::new(reason.id(), reason.to_string())
    }
}

/// One system call. Times are nanoseconds since the trial began.
#[derive(Clone, Debug, Serialize)]
pub struct CallReport {
    /// Index of the call among the calls of the trial.
    pub index: usize,
    /// End that made the call.
    pub role: Role,
    /// Name of the system call.
    pub call: &'static str,
    /// Arguments, as text.
    pub arguments: String,
    /// Time at which the call was entered.
    pub began_ns: i64,
    /// Time at which the call had returned.
    pub ended_ns: i64,
    /// Result of the call.
    pub result: ResultReport,
    /// Cause of the error, if the call returned one.
    pub cause: Option<CauseReport>,
}

impl CallReport {
    /// Returns the usual name of the call: the system call, or for `getsockopt` the socket option it reads.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.call {
            "getsockopt" => &self.arguments,
            call => call,
        }
    }
}

/// One script step that is not a call. Times are nanoseconds since the trial began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Index of the step in the script.
    pub step: usize,
    /// Time at which the step began.
    pub began_ns: i64,
    /// Time at which the step had ended.
    pub ended_ns: i64,
    /// Time at which the awaited segment was captured; `None` if the step awaited none, or none arrived.
    pub captured_ns: Option<i64>,
    /// True if the step reached its time limit without the awaited segment.
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

    /// Returns the step in the form that evidence uses. `began` is the time at which the trial began.
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

/// Cause of a call's error. Frames are numbers in the capture file, calls are indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseReport {
    /// RST in this frame, whose error this call reported.
    Reset(u32),
    /// Earlier RST in this frame, which had already closed the connection.
    AfterReset(u32),
    /// Earlier call that shut down the caller's own sending side.
    OwnShutdown(usize),
    /// Call that dissolved or cancelled the caller's own connection.
    OwnDisconnect(usize),
    /// RST in this frame, which the caller's own socket had sent as a reply.
    OwnReset(u32),
    /// Missing connection: the socket is not connected.
    NotConnected,
    /// Earlier call that shut down the listener.
    NotListening(usize),
    /// Earlier call that made the socket non-blocking, or set a short timeout.
    WouldBlock(usize),
    /// Earlier call that set the timeout for the other end, which expired.
    TimedOut(usize),
    /// Missing acknowledgment: the kernel gave up retransmitting what the caller's end had sent.
    Unanswered,
    /// ICMP error in this frame.
    Icmp(u32),
    /// Call in which an administrator destroyed the socket.
    Destroyed(usize),
    /// Missing route: this host has none to the address.
    NoRoute,
    /// Call of another thread that was waiting on the same socket.
    InUse(usize),
    /// No known cause, or an error that does not fit its cause.
    Unexplained,
}

/// One captured frame of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketReport {
    /// Number of the frame in the capture file.
    pub frame: u32,
    /// Interface on which the frame was captured.
    pub interface: String,
    /// Capture time, in nanoseconds since the trial began.
    pub at_ns: i64,
    /// Protocol: `tcp` or `icmp`.
    pub protocol: Cow<'static, str>,
    /// End that sent the frame; `None` if neither did, or for ICMP.
    pub from: Option<Role>,
    /// TCP flags in tcpdump's letters; `None` for ICMP.
    pub flags: Option<String>,
    /// Sequence number, relative to the sender's initial sequence number.
    pub seq: Option<u32>,
    /// Acknowledgment number, relative to the receiver's initial sequence number.
    pub ack: Option<u32>,
    /// Length of the payload in bytes.
    pub len: u32,
    /// Window field, not scaled; `None` for ICMP.
    pub win: Option<u16>,
}

/// One RST of the connection.
#[derive(Clone, Debug, Serialize)]
pub struct ResetReport {
    /// Number of the frame in the capture file.
    pub frame: u32,
    /// End whose address the RST carries as its source.
    pub from: Role,
    /// Form of the RST; `None` if Linux sends no RST of this form.
    pub form: Option<Form>,
    /// State of the receiver when the RST arrived.
    pub receiver_state: State,
    /// True if the receiver was required to accept the RST.
    pub acceptable: bool,
    /// Reason why the RST is acceptable or not.
    pub acceptance: String,
    /// Sender of the RST, as reported by the kernel trace.
    pub sender: Sender,
    /// Reason for sending the RST, as reported by the kernel trace: the name of an `sk_rst_reason`.
    pub kernel_reason: Option<String>,
    /// Frame that the RST replies to, if it is a reply.
    pub triggered_by: Option<u32>,
    /// Indices of the calls whose error the RST explains.
    pub explains_calls: Vec<usize>,
}

impl Source {
    /// Returns a note with the recorded verdict and tool version, if that verdict differs from `verdict`.
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
    /// Creates the report of a trial that was run.
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
            inconclusive_reason: judgement.gap.map(Remark::from),
            findings: judgement.findings.iter().map(Remark::from).collect(),
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
            sources: SourceReports::new(evidence),
            evidence_sources: EvidenceSources::of(evidence),
            completeness: Some(evidence.completeness),
            ..Self::blank(scenario, family, run)
        }
    }

    /// Creates the report of a trial that this host cannot run.
    #[must_use]
    pub fn skipped(scenario: &Scenario, family: Family, run: u32, why: String) -> Self {
        Self {
            skipped: Some(why),
            ..Self::blank(scenario, family, run)
        }
    }

    /// Creates the report of a trial that could not be run to its end: inconclusive, with this id and reason.
    #[must_use]
    pub fn unplayed(
        scenario: &Scenario,
        family: Family,
        run: u32,
        (id, message): (&'static str, String),
    ) -> Self {
        Self {
            verdict: Some(Verdict::Inconclusive),
            inconclusive_reason: Some(Remark::new(id, message)),
            ..Self::blank(scenario, family, run)
        }
    }

    /// Creates a report with no results yet.
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
            sources: SourceReports::default(),
            evidence_sources: EvidenceSources::default(),
            completeness: None,
            evidence: None,
        }
    }

    /// Returns the first RST that explains the error of a call, and that call.
    #[must_use]
    pub fn proof(&self) -> Option<(&ResetReport, &CallReport)> {
        self.resets.iter().find_map(|reset| {
            let call = self.calls.get(*reset.explains_calls.first()?)?;
            Some((reset, call))
        })
    }
}

/// Returns the script steps of this trial that are not calls.
#[must_use]
pub fn steps(evidence: &Evidence) -> Vec<StepReport> {
    let steps = evidence.steps.iter();
    steps
        .map(|step| StepReport::new(step, evidence.began))
        .collect()
}

fn call_report(index: usize, call: &Call, began: Timestamp, judgement: &Judgement) -> CallReport {
    // A report must not panic. An index out of range becomes frame 0, which no capture has.
    let frame = |reset: usize| judgement.resets.get(reset).map_or(0, |reset| reset.frame);
    // `attributions` is ordered by call. A linear search for each call would be quadratic for a hostile file.
    let place = judgement
        .attributions
        .binary_search_by_key(&index, |(of, _)| *of);
    let attribution = place
        .ok()
        .and_then(|place| judgement.attributions.get(place));
    CallReport {
        index,
        role: call.role,
        call: call.op.call(),
        arguments: call.op.arguments().into_owned(),
        began_ns: call.began.since(began),
        ended_ns: call.ended.since(began),
        result: call.outcome.into(),
        cause: attribution.map(|(_, attribution)| match *attribution {
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

/// Returns, for each RST, the calls whose error it explains: [`Judgement::explained_by`] of all RSTs in one pass.
fn explained(judgement: &Judgement) -> Vec<Vec<usize>> {
    // One pass over the errors, not one for each RST: a hostile capture may have many of both.
    let mut explained = vec![Vec::new(); judgement.resets.len()];
    for (call, attribution) in &judgement.attributions {
        if let Attribution::Reset(reset) = attribution
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

/// Maximum length in characters of an interface name. Linux allows 15, but a hostile file may contain thousands, and
/// every frame repeats the name.
const LONGEST_INTERFACE: usize = 64;

/// Returns the captured frames of this connection, with sequence numbers relative to the initial ones.
#[must_use]
pub fn packets(evidence: &Evidence, captured: &[Packet], interface: &str) -> Vec<PacketReport> {
    let usual: String = interface.chars().take(LONGEST_INTERFACE).collect();
    let interface = |tap: Tap| tap.interface().unwrap_or(&usual);
    let mut flow = Flow::new(evidence.client, evidence.server);
    captured
        .iter()
        .filter_map(|packet| match packet {
            // Segments captured before the trial began are not part of it.
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
