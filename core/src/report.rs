//! Machine-readable reports of trials: one [`TrialReport`] per trial, rendered by one file per format.
//!
//! The serialised form is schema 2 of the machine output, described in `docs/schema/`: fields are added, never renamed.
//! The human form is rendered from the same value, so the two always agree.
//!
//! A trial may come from hostile files. Building its report therefore takes no more time than sorting its calls and
//! frames. Calls are ordered by index, frames and RSTs by frame number.

mod call;
pub mod kernel;
mod packet;
mod remark;
mod reset;
mod run;
pub mod sources;
mod step;

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::Serialize;

use self::reset::explained;
use crate::evidence::{Completeness, Evidence};
use crate::scenario::{Family, Scenario};
use crate::verdict::{Judgement, Verdict};

pub use self::call::{CallReport, CauseReport};
pub use self::packet::{PacketReport, packets};
pub use self::remark::Remark;
pub use self::reset::ResetReport;
pub use self::run::{CaptureReport, Header, Host, Tool};
pub use self::sources::{EvidenceSources, SourceReports};
pub use self::step::{StepReport, steps};
pub use crate::transcript::ResultReport;

/// Version of the machine output.
pub const SCHEMA: u32 = 2;

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
    pub evidence: Option<SavedEvidence>,
}

/// Saved evidence that a trial was judged from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SavedEvidence {
    /// Capture file of the trial; if there is none, the document that describes the trial.
    pub file: String,
    /// Verdict recorded with the evidence.
    pub recorded_verdict: Option<Verdict>,
    /// Release of the kernel on which the evidence was recorded, if known.
    pub kernel_release: Option<String>,
    /// Version of the program that recorded the evidence, if known.
    pub tool_version: Option<String>,
}

impl SavedEvidence {
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
            inconclusive_reason: judgement.inconclusive_reason.map(Remark::from),
            findings: judgement.findings.iter().map(Remark::from).collect(),
            began_realtime_ns: began.0,
            client: Some(evidence.client),
            server: Some(evidence.server),
            calls: evidence
                .calls
                .iter()
                .enumerate()
                .map(|(index, call)| CallReport::new(index, call, began, judgement))
                .collect(),
            steps: steps(evidence),
            packets: packets(evidence, &evidence.packets, interface),
            resets: judgement
                .resets
                .iter()
                .zip(&judgement.origins)
                .zip(explained(judgement))
                .map(|((reset, origin), explains)| ResetReport::new(reset, origin, explains))
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
