//! Trial in a document: restores its evidence from the document and the capture.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;

use super::capture::Capture;
use super::document::{Document, read_trial};
use super::read::{Links, MAX_CAPTURE, read_file, refused};
use super::trial::Trial;
use crate::archive::{calls_sha256, interface_of, sha256, transcript_sha256};
use crate::error::Error;
use rstproof_core::evidence::{Completeness, Evidence, Flaw, NotRead};
use rstproof_core::history::Kernel;
use rstproof_core::kernel::event::Coverage;
use rstproof_core::kernel::host::HostState;
use rstproof_core::packet::Packet;
use rstproof_core::printable::printable;
use rstproof_core::report::kernel::EventReport;
use rstproof_core::report::{
    CaptureReport, PacketReport, SavedEvidence, SourceReports, StepReport, packets,
};
use rstproof_core::scenario::{self, Family};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Call, Errno, Events, Op, Outcome, Role};
use rstproof_core::verdict::Verdict;

/// Maximum number of calls, and of steps, in a trial. A genuine script has a dozen calls.
const MAX_CALLS: usize = 1_000;

/// Trial as stored in a document, without the fields that the judge derives from the others.
#[derive(Deserialize)]
pub(super) struct StoredTrial<'a> {
    #[serde(borrow)]
    scenario: Cow<'a, str>,
    family: Family,
    run: u32,
    verdict: Option<Verdict>,
    skipped: Option<String>,
    pub(super) capture_file: Option<String>,
    capture_sha256: Option<String>,
    began_realtime_ns: i64,
    client: Option<SocketAddr>,
    server: Option<SocketAddr>,
    pub(super) calls: Vec<StoredCall>,
    #[serde(default)]
    pub(super) steps: Vec<StepReport>,
    packets: Vec<PacketReport>,
    completeness: Option<Completeness>,
    // The fields of `SourceReports`, which `read` moves to `sources`. They are not flattened: flattened fields are buffered,
    // and an error in them has no offset.
    #[serde(default)]
    kernel_events: Vec<EventReport>,
    #[serde(default)]
    trace_coverage: Option<Coverage>,
    #[serde(default)]
    counters: BTreeMap<String, u64>,
    #[serde(default)]
    unsupported_counters: Option<Vec<String>>,
    #[serde(default)]
    process_stall_ns: u64,
    #[serde(default)]
    host_state: Option<HostState>,
    /// Reports of the other evidence sources.
    #[serde(skip)]
    pub(super) sources: SourceReports,
}

#[derive(Deserialize)]
// Validated during deserialization, so that an impossible result is an error with its offset in the document.
#[serde(try_from = "RawCall<'_>")]
pub(super) struct StoredCall {
    role: Role,
    op: Op,
    began_ns: i64,
    ended_ns: i64,
    outcome: Outcome,
}

#[derive(Deserialize)]
struct RawCall<'a> {
    role: Role,
    #[serde(borrow)]
    call: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Cow<'a, str>,
    began_ns: i64,
    ended_ns: i64,
    result: StoredResult,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredResult {
    ok: Option<i64>,
    errno: Option<Errno>,
    so_error: Option<Errno>,
    revents: Option<Events>,
    unfinished: Option<bool>,
}

impl StoredResult {
    /// Returns the outcome of this call; `None` if the call cannot have this result.
    fn outcome_of(self, op: Op) -> Option<Outcome> {
        match (self.ok, self.errno, self.so_error, self.unfinished) {
            (Some(ok), None, None, None) if op == Op::Poll => self
                .revents
                .filter(|revents| ok == i64::from(*revents != Events::default()))
                .map(Outcome::Polled),
            // Only poll(2) returns events.
            _ if self.revents.is_some() => None,
            (Some(0), None, so_error, None) if op == Op::SocketError => {
                Some(Outcome::SocketError(so_error))
            }
            (Some(value), None, None, None) => Some(Outcome::Returned(value)),
            (None, Some(errno), None, None) => Some(Outcome::Failed(errno)),
            (None, None, None, Some(true)) => Some(Outcome::Unfinished),
            _ => None,
        }
    }
}

impl TryFrom<RawCall<'_>> for StoredCall {
    type Error = String;

    fn try_from(raw: RawCall<'_>) -> Result<Self, String> {
        let shown = || format!("{}({})", raw.call, raw.arguments);
        let op = Op::of_call(&raw.call, &raw.arguments)
            .ok_or_else(|| format!("unknown call {}", shown()))?;
        let outcome = raw
            .result
            .outcome_of(op)
            .ok_or_else(|| format!("invalid result of {}", shown()))?;
        Ok(Self {
            role: raw.role,
            op,
            began_ns: raw.began_ns,
            ended_ns: raw.ended_ns,
            outcome,
        })
    }
}

impl<'a> StoredTrial<'a> {
    /// Reads the trial at this position in a document. Fails if it is malformed, or too large for a genuine one.
    pub(super) fn read(path: &Path, bytes: &'a [u8], at: &Range<usize>) -> Result<Self, Error> {
        let mut stored: Self = read_trial(path, bytes, at)?;
        stored.sources = SourceReports {
            kernel_events: mem::take(&mut stored.kernel_events),
            trace_coverage: stored.trace_coverage.take(),
            counters: mem::take(&mut stored.counters),
            unsupported_counters: stored.unsupported_counters.take(),
            process_stall_ns: stored.process_stall_ns,
            host_state: stored.host_state.take(),
        };
        for (count, what) in [(stored.calls.len(), "calls"), (stored.steps.len(), "steps")] {
            if count > MAX_CALLS {
                let reason = format!("a trial has {count} {what}, more than {MAX_CALLS}");
                return Err(refused(path, reason));
            }
        }
        stored
            .sources
            .check()
            .map_err(|reason| refused(path, reason))?;
        Ok(stored)
    }

    /// Returns the file name of the capture, which is always in the directory of the document: a path is not accepted.
    /// Returns `None` for a skipped trial, which has no capture.
    pub(super) fn capture_name(&self) -> Option<&str> {
        let name = self.capture_file.as_deref()?;
        let is_name = Path::new(name).file_name() == Some(OsStr::new(name));
        (is_name && self.skipped.is_none()).then_some(name)
    }

    /// Restores the trial from the document and its capture. The capture is not read if a flaw of the document is
    /// already known.
    pub(super) fn load(self, path: &Path, document: &Document, known: Option<Flaw>) -> Trial {
        let host = &document.host;
        let kernel = Kernel::of(&host.sysname, &host.release, &host.version);
        let scenario = scenario::find(&self.scenario).map(|scenario| scenario.on(kernel));
        let capture = self.capture_name().map(|name| path.with_file_name(name));
        let file = capture.as_deref().unwrap_or(path);
        let source = SavedEvidence {
            file: printable(&file.to_string_lossy()),
            recorded_verdict: self.verdict,
            kernel_release: Some(printable(&document.host.release)),
            tool_version: Some(printable(&document.tool.version)),
        };
        let mut joined = Joined {
            evidence: self.transcript(),
            content: None,
        };
        joined.evidence.flaw = known;
        if known.is_none() && self.skipped.is_none() {
            match capture {
                Some(capture) => self.join(&capture, document, &mut joined),
                None => joined.evidence.flaw = Some(Flaw::CaptureMissing),
            }
            // Outweighs a flaw of the capture: without the scenario there is nothing to judge by.
            if scenario.is_none() {
                joined.evidence.flaw = Some(Flaw::ScenarioUnknown);
            }
        }
        Trial {
            scenario: scenario.unwrap_or(&scenario::UNKNOWN),
            kernel,
            family: self.family,
            run: self.run,
            host: None,
            evidence_sources: None,
            capture: CaptureReport {
                interface: interface_of(scenario, &document.capture.interface).to_owned(),
                ..document.capture.clone()
            },
            evidence: joined.evidence,
            name: printable(&self.scenario),
            // A skipped trial has no capture, whatever the document claims.
            capture_file: self.capture_file.filter(|_| self.skipped.is_none()),
            capture_sha256: self.capture_sha256,
            skipped: self.skipped.as_deref().map(printable),
            content: joined.content,
            source,
            recorded: None,
        }
    }

    /// Returns the evidence in the document: everything but the packets.
    fn transcript(&self) -> Evidence {
        let began = self.began_realtime_ns;
        let at = |ns: i64| Timestamp(began.saturating_add(ns));
        let calls = self.calls.iter().map(|call| Call {
            role: call.role,
            op: call.op,
            began: at(call.began_ns),
            ended: at(call.ended_ns),
            outcome: call.outcome,
        });
        let client = self.client.unwrap_or(Evidence::NOWHERE);
        let server = self.server.unwrap_or(Evidence::NOWHERE);
        let steps = self.steps.iter();
        let mut evidence = Evidence {
            calls: calls.collect(),
            steps: steps.map(|step| step.times(Timestamp(began))).collect(),
            completeness: self.completeness.unwrap_or(Completeness::UNKNOWN),
            ..Evidence::new(client, server, Timestamp(began))
        };
        self.sources.restore(&mut evidence);
        evidence
    }

    /// Adds the packets of the capture to the transcript, and the flaw if the two contradict each other.
    fn join(&self, path: &Path, document: &Document, joined: &mut Joined) {
        let evidence = &mut joined.evidence;
        let bytes = match read_file(path, MAX_CAPTURE, Links::Refused) {
            Ok(bytes) => bytes,
            Err(NotRead::Refused(Errno::ENOENT)) => {
                evidence.flaw = Some(Flaw::CaptureMissing);
                return;
            }
            Err(why) => {
                evidence.flaw = Some(Flaw::CaptureNotRead(why));
                return;
            }
        };
        let content = sha256(&bytes);
        let capture = Capture::read(&bytes);
        evidence.flaw = self.disagreement(&capture, document, evidence, &content);
        evidence.packets = capture.packets;
        // The capture decides, not the claims of the document: the fence must be its last packet, and the larger loss
        // counts.
        let fence = evidence.completeness.fence;
        let last = evidence.packets.last();
        let shows_fence = fence.zip(last).is_some_and(|(fence, last)| fence.is(last));
        evidence.completeness.fence_seen &= shows_fence;
        let losses = &mut evidence.completeness.dropped;
        *losses = (*losses).max(capture.dropped);
        joined.content = Some(content);
    }

    fn disagreement(
        &self,
        capture: &Capture,
        document: &Document,
        transcript: &Evidence,
        content: &str,
    ) -> Option<Flaw> {
        let scenario = scenario::find(&self.scenario);
        let interface = interface_of(scenario, &document.capture.interface);
        let recorder = &document.recorder;
        let calls = calls_sha256(recorder, &self.scenario, self.family, interface, transcript);
        let hash = transcript_sha256(&calls, self.run, transcript);
        // From specific to general: any change of the file changes its hash as well, which is compared last.
        if capture.flaw.is_some() {
            return capture.flaw;
        }
        if !capture.belongs_to(&calls, &hash) || !document.describes(capture, interface) {
            return Some(Flaw::TranscriptAltered);
        }
        if let Some(frame) = self.first_difference(transcript, &capture.packets, interface) {
            return Some(Flaw::FrameAltered(frame));
        }
        let is_same = self.capture_sha256.as_deref() == Some(content);
        (!is_same || !capture.is_bound()).then_some(Flaw::CaptureAltered)
    }

    /// Returns the number of the first frame in which transcript and capture differ; `None` if they agree.
    fn first_difference(
        &self,
        transcript: &Evidence,
        captured: &[Packet],
        interface: &str,
    ) -> Option<u32> {
        let seen = packets(transcript, captured, interface);
        let longest = seen.len().max(self.packets.len());
        (0..longest).find_map(|index| match (seen.get(index), self.packets.get(index)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(one), Some(other)) => Some(one.frame.min(other.frame)),
            (one, other) => one.or(other).map(|packet| packet.frame),
        })
    }
}

/// Transcript combined with its capture.
struct Joined {
    evidence: Evidence,
    /// SHA-256 of the capture file, if it could be read.
    content: Option<String>,
}
