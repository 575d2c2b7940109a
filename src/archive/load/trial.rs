//! Saved trial, restored from its files.

use std::rc::Rc;

use super::json::are_equal;
use rstproof_core::evidence::{Evidence, Flaw};
use rstproof_core::history::Kernel;
use rstproof_core::report::{CaptureReport, EvidenceSources, Host, SavedEvidence, TrialReport};
use rstproof_core::scenario::{Family, Scenario};
use rstproof_core::verdict::judge_on;

/// Saved trial.
#[derive(Debug)]
pub struct Trial {
    /// Scenario, in its form for the kernel that the trial was recorded on; [`rstproof_core::scenario::UNKNOWN`] if
    /// this version has no scenario of that name.
    pub scenario: &'static Scenario,
    /// Kernel that the trial was recorded on.
    pub kernel: Kernel,
    /// Address family.
    pub family: Family,
    /// Number of the repetition; 1 if the trial was not repeated.
    pub run: u32,
    /// Reason for skipping the trial, if it was skipped.
    pub skipped: Option<String>,
    /// Host that the trial was recorded on, if known.
    pub host: Option<Rc<Host>>,
    /// Evidence sources that were used there, if known.
    pub evidence_sources: Option<EvidenceSources>,
    /// Interface, filter and losses of the capture.
    pub capture: CaptureReport,
    /// Evidence that could be restored.
    pub evidence: Evidence,
    /// SHA-256 of the capture file as found, if it could be read.
    pub content: Option<String>,
    pub(super) name: String,
    pub(super) capture_file: Option<String>,
    pub(super) capture_sha256: Option<String>,
    pub(super) source: SavedEvidence,
    /// Recorded report as JSON text, if this version wrote it: then a new report must be equal to it.
    pub(super) recorded: Option<String>,
}

impl Trial {
    /// Judges the trial again, from the saved evidence alone. A report that differs from the recorded one gives
    /// [`Flaw::RecordAltered`].
    #[must_use]
    pub fn report(&self) -> TrialReport {
        let mut report = self.judged(&self.evidence);
        let recorded = self.recorded.as_ref();
        let recorded = recorded.filter(|_| self.evidence.flaw.is_none());
        if recorded.is_some_and(|recorded| !tells_the_same(&report, recorded)) {
            report = self.judged(&Evidence {
                flaw: Some(Flaw::RecordAltered),
                ..self.evidence.clone()
            });
        }
        report.evidence = Some(self.source.clone());
        report
    }

    fn judged(&self, evidence: &Evidence) -> TrialReport {
        let (scenario, family, run) = (self.scenario, self.family, self.run);
        // A flaw outweighs the claim that the trial was skipped.
        let skipped = self.skipped.as_ref().filter(|_| evidence.flaw.is_none());
        let mut report = if let Some(why) = skipped {
            TrialReport::skipped(scenario, family, run, why.clone())
        } else {
            let judgement = judge_on(self.kernel, scenario, evidence);
            let interface = &self.capture.interface;
            TrialReport::new(scenario, family, run, interface, evidence, &judgement)
        };
        report.scenario = self.name.clone().into();
        report.capture_file.clone_from(&self.capture_file);
        report.capture_sha256.clone_from(&self.capture_sha256);
        report
    }
}

/// Returns true if this report equals the recorded one, regardless of the JSON layout.
fn tells_the_same(report: &TrialReport, recorded: &str) -> bool {
    serde_json::to_string(report).is_ok_and(|text| text == recorded || are_equal(&text, recorded))
}
