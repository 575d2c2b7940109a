//! The judge: derives a verdict from a scenario and the evidence of one trial.
//!
//! The judge is pure: it uses no clock, no socket and no pcap. A trial is *confirmed* if each rule below holds,
//! *refuted* with a [`Finding`] for each rule that does not hold, and *inconclusive* with an [`InconclusiveReason`] if the evidence is
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
mod calls;
mod completeness;
mod correlation;
mod finding;
mod inconclusive;
mod kernel;
mod kernel_mismatch;
mod resets;
mod windows;
mod wire;

pub use attribution::Attribution;
pub use correlation::ResetOrigin;
pub use finding::Finding;
pub use inconclusive::{InconclusiveReason, NOT_PLAYED, RESOURCE_EXHAUSTED};
pub use kernel::depends_on_uptime;
pub use kernel_mismatch::KernelMismatch;
pub use windows::{Missed, Which, missed as missed_window};

use serde::{Deserialize, Serialize};

use self::calls::Bytes;
use self::correlation::Correlated;
use self::wire::Wire;
use crate::evidence::Evidence;
use crate::flow::{Icmp, Reset};
use crate::history::Kernel;
use crate::scenario::{Exemption, Exemptions, Extent, Scenario, find};
use crate::transcript::PerEnd;

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
    pub inconclusive_reason: Option<InconclusiveReason>,
    /// Every RST of the connection, in capture order.
    pub resets: Vec<Reset>,
    /// Sender and reason of each RST in `resets`, by the kernel trace.
    pub origins: Vec<ResetOrigin>,
    /// Every ICMP error about a segment of the connection, in capture order.
    pub icmp: Vec<Icmp>,
    /// Cause of each error that a call returned, with the index of the call in the transcript, in transcript order.
    pub attributions: Vec<(usize, Attribution)>,
}

impl Judgement {
    /// Returns the calls (indices into the transcript) whose error came from this RST (index into `resets`).
    pub fn explained_by(&self, reset: usize) -> impl Iterator<Item = usize> {
        self.attributions
            .iter()
            .filter(move |(_, attribution)| *attribution == Attribution::Reset(reset))
            .map(|(call, _)| *call)
    }
}

/// Judges the evidence of one trial against its scenario.
#[must_use]
pub fn judge(scenario: &Scenario, evidence: &Evidence) -> Judgement {
    let case = Case::new(scenario, evidence);
    // With a gap, a segment that is not in the capture proves nothing.
    match case.inconclusive_reason() {
        Some(reason) => case.inconclusive(reason),
        None => case.complete(),
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

/// Evidence of one trial beside its scenario, with the facts that the rules need.
struct Case<'a> {
    scenario: &'a Scenario,
    /// Checks that are left out for the scenario.
    exemptions: Exemptions,
    evidence: &'a Evidence,
    wire: Wire,
    /// Number of bytes that the calls of each end wrote and read.
    bytes: PerEnd<Bytes>,
    /// Cause of each error that a call returned, with the index of the call, in transcript order.
    attributions: Vec<(usize, Attribution)>,
    /// RSTs of the connection, correlated with the kernel trace.
    correlated: Correlated,
    /// Index of the captured RST that matches each expected one.
    matched: Vec<Option<usize>>,
}

impl<'a> Case<'a> {
    fn new(scenario: &'a Scenario, evidence: &'a Evidence) -> Self {
        let exemptions = scenario.exemptions();
        let wire = Wire::read(scenario.timing, &exemptions, evidence);
        let correlated = Correlated::new(evidence, &wire.resets);
        Self {
            scenario,
            exemptions,
            evidence,
            bytes: Bytes::of(evidence),
            attributions: attribution::attribute(&evidence.calls, &wire.facts()),
            matched: resets::matches(scenario, &wire, &correlated),
            correlated,
            wire,
        }
    }

    /// Returns true if the scenario is exempt from this check.
    fn is_exempt(&self, exemption: Exemption) -> bool {
        self.exemptions.has(exemption)
    }

    /// Applies rules 2 to 7, in the order in which findings are reported.
    fn findings(&self) -> Vec<Finding> {
        let findings = self.resets().chain(self.outcomes()).chain(self.payload());
        let kernel = self.counters().chain(self.trace()).map(Finding::Kernel);
        let findings = findings.chain(self.causes()).chain(kernel);
        let findings = findings.chain(self.reads()).chain(self.ends_of_file());
        findings.chain(self.extent()).chain(self.icmp()).collect()
    }

    /// Checks that a connection that must not send any segment did not.
    fn extent(&self) -> Option<Finding> {
        let frame = self.wire.first?;
        let is_none_allowed = self.scenario.extent == Extent::Nothing;
        is_none_allowed.then_some(Finding::UnexpectedSegment { frame })
    }

    /// Judges evidence without gaps.
    fn complete(self) -> Judgement {
        let findings = self.findings();
        if !findings.is_empty() {
            // Conditions on this host may explain the differences, which then do not count against the scenario.
            return match self.excuse() {
                Some(excuse) => self.inconclusive(excuse),
                None => self.judgement(Verdict::Refuted, findings, None),
            };
        }
        // Everything matches, but the order of segments that the scenario is named after may not have been captured.
        if self.scenario.timing.is_some() && self.wire.timing.is_none() {
            return self.inconclusive(InconclusiveReason::FinNotAcknowledged);
        }
        self.judgement(Verdict::Confirmed, findings, None)
    }

    fn inconclusive(self, reason: InconclusiveReason) -> Judgement {
        self.judgement(Verdict::Inconclusive, Vec::new(), Some(reason))
    }

    fn judgement(
        self,
        verdict: Verdict,
        findings: Vec<Finding>,
        inconclusive_reason: Option<InconclusiveReason>,
    ) -> Judgement {
        Judgement {
            verdict,
            findings,
            inconclusive_reason,
            icmp: self.wire.icmp,
            resets: self.wire.resets,
            origins: self.correlated.origins,
            attributions: self.attributions,
        }
    }
}
