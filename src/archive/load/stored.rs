//! One trial of a document, made evidence again together with its capture.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::capture::Capture;
use super::document::Document;
use super::{LONGEST_CAPTURE, Trial, UNKNOWN_COMPLETENESS, read_file};
use crate::archive::{sha256, transcript_sha256};
use crate::evidence::{Completeness, Evidence, Flaw};
use crate::report::human::printable;
use crate::report::{CaptureReport, PacketReport, Source, Tool, packets};
use crate::scenario::{self, Family};
use crate::time::Timestamp;
use crate::transcript::{Call, Errno, Op, Outcome, Role};
use crate::verdict::Verdict;

/// A trial as a document has it; what the judge finds out for itself is left out.
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
    calls: Vec<StoredCall>,
    packets: Vec<PacketReport>,
    completeness: Option<Completeness>,
}

#[derive(Deserialize)]
#[serde(try_from = "RawCall<'_>")]
struct StoredCall {
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
    unfinished: Option<bool>,
}

impl TryFrom<RawCall<'_>> for StoredCall {
    type Error = String;

    fn try_from(raw: RawCall<'_>) -> Result<Self, String> {
        let shown = || format!("{}({})", raw.call, raw.arguments);
        let op = Op::of_call(&raw.call, &raw.arguments)
            .ok_or_else(|| format!("this version knows no call {}", shown()))?;
        let StoredResult {
            ok,
            errno,
            so_error,
            unfinished,
        } = raw.result;
        let outcome = match (ok, errno, so_error, unfinished) {
            (Some(0), None, so_error, None) if op == Op::SocketError => {
                Outcome::SocketError(so_error)
            }
            (Some(value), None, None, None) => Outcome::Returned(value),
            (None, Some(errno), None, None) => Outcome::Failed(errno),
            (None, None, None, Some(true)) => Outcome::Unfinished,
            _ => return Err(format!("the result of {} is none", shown())),
        };
        Ok(Self {
            role: raw.role,
            op,
            began_ns: raw.began_ns,
            ended_ns: raw.ended_ns,
            outcome,
        })
    }
}

/// Where nothing is known of an address.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl StoredTrial<'_> {
    /// What its files are called, without what they end with.
    pub(super) fn stem(&self) -> Option<&str> {
        let (stem, _) = self.capture_file.as_ref()?.rsplit_once('.')?;
        Some(stem)
    }

    /// Makes evidence of it and of its capture, which lies beside the document.
    pub(super) fn load(
        self,
        document_path: &Path,
        document: &Document<'_>,
        raw: &RawValue,
    ) -> Trial {
        let known = scenario::find(&self.scenario);
        let capture = self.capture_path(document_path);
        let file = capture.as_deref().unwrap_or(document_path);
        let source = Source {
            file: printable(&file.to_string_lossy()),
            recorded: self.verdict,
            release: Some(printable(&document.host.release)),
            version: Some(printable(&document.tool.version)),
        };
        let (evidence, flaw) = match (&self.skipped, capture) {
            (Some(_), _) => (self.transcript(), None),
            (None, None) => (self.transcript(), Some(Flaw::CaptureMissing)),
            (None, Some(path)) => self.join(&path, document),
        };
        let flaw = if known.is_none() && self.skipped.is_none() {
            Some(Flaw::ScenarioUnknown)
        } else {
            flaw
        };
        Trial {
            scenario: known.unwrap_or(&scenario::UNKNOWN),
            family: self.family,
            run: self.run,
            skipped: self.skipped.as_deref().map(printable),
            host: None,
            capture: document.capture.clone(),
            evidence: Evidence { flaw, ..evidence },
            name: printable(&self.scenario),
            capture_file: self.capture_file,
            capture_sha256: self.capture_sha256,
            source,
            // Another version may have told it in other words.
            recorded: (document.tool.version == Tool::this().version).then(|| raw.get().to_owned()),
        }
    }

    /// Beside the document and nowhere else, whatever is written there.
    fn capture_path(&self, document: &Path) -> Option<PathBuf> {
        let name = Path::new(self.capture_file.as_ref()?);
        (name.file_name() == Some(name.as_os_str())).then(|| document.with_file_name(name))
    }

    /// What the sockets said.
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
        Evidence {
            client: self.client.unwrap_or(NOWHERE),
            server: self.server.unwrap_or(NOWHERE),
            began: Timestamp(began),
            calls: calls.collect(),
            packets: Vec::new(),
            completeness: self.completeness.unwrap_or(UNKNOWN_COMPLETENESS),
            flaw: None,
        }
    }

    /// Transcript and capture, and what they do not agree in.
    fn join(&self, path: &Path, document: &Document<'_>) -> (Evidence, Option<Flaw>) {
        let mut evidence = self.transcript();
        let bytes = match read_file(path, LONGEST_CAPTURE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return (evidence, Some(Flaw::CaptureMissing));
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                return (evidence, Some(Flaw::CaptureNotOpened(Errno(errno))));
            }
        };
        let mut capture = Capture::read(&bytes);
        let hash = transcript_sha256(&self.scenario, self.family, self.run, &evidence);
        evidence.packets = std::mem::take(&mut capture.packets);
        // What the files show counts, not what is written of them.
        let fence = evidence.completeness.fence;
        let last = evidence.packets.last();
        let shows_fence = fence.zip(last).is_some_and(|(fence, last)| fence.is(last));
        evidence.completeness.fence_seen &= shows_fence;
        let losses = &mut evidence.completeness.dropped;
        *losses = (*losses).max(capture.dropped);
        let flaw = if capture.flaw.is_some() {
            capture.flaw
        } else if !capture.belongs_to(&hash, document) {
            Some(Flaw::TranscriptAltered)
        } else if let Some(frame) = self.first_difference(&evidence, &document.capture) {
            Some(Flaw::FrameAltered(frame))
        } else {
            let same = self.capture_sha256.as_deref() == Some(&sha256(&bytes));
            (!same || !capture.is_bound).then_some(Flaw::CaptureAltered)
        };
        (evidence, flaw)
    }

    /// The first frame of which transcript and capture do not say the same.
    fn first_difference(&self, evidence: &Evidence, capture: &CaptureReport) -> Option<u32> {
        let seen = packets(evidence, &capture.interface);
        let longest = seen.len().max(self.packets.len());
        (0..longest).find_map(|index| match (seen.get(index), self.packets.get(index)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(one), Some(other)) => Some(one.frame.min(other.frame)),
            (one, other) => one.or(other).map(|packet| packet.frame),
        })
    }
}
