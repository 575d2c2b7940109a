//! Script steps in a report that are not calls.

use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, StepTimes};
use crate::time::Timestamp;

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

/// Returns the script steps of this trial that are not calls.
#[must_use]
pub fn steps(evidence: &Evidence) -> Vec<StepReport> {
    let steps = evidence.steps.iter();
    steps
        .map(|step| StepReport::new(step, evidence.began))
        .collect()
}
