//! Possible effects of a decoy: an injected RST that is not part of the scenario.

use rstproof_core::scenario::{Disposition, Role, Scenario, Sender};
use rstproof_core::verdict::{Attribution, Finding, InconclusiveReason, Judgement, Verdict};

/// Effect of a decoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Not sent: there was no connection whose sequence number could be known.
    NotSent,
    /// No effect; the trial was confirmed.
    Ignored,
    /// No effect, but reported as unexpected, since the scenario has no RST at all.
    Named,
    /// Accepted by its receiver; the trial was not confirmed.
    Believed,
    /// No verdict: the kernel trace lost events to concurrent trials, or the host was too busy to keep the trial's
    /// times.
    Unclear,
}

/// RST that is not part of the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stray<'a> {
    /// End whose address the RST carries as its source.
    pub(crate) from: Role,
    /// True if its sequence number is exact and its ports are those of the connection.
    pub(crate) is_exact: bool,
    /// Frames in which the RST was captured.
    pub(crate) frames: &'a [u32],
}

/// Returns the effect of the decoy, or the error in the judgement.
pub(crate) fn look_at(
    scenario: &Scenario,
    decoy: Stray<'_>,
    judgement: &Judgement,
) -> Result<Outcome, &'static str> {
    let is_confirmed = judgement.verdict == Verdict::Confirmed;
    let is_unclear = |gap: &InconclusiveReason| {
        matches!(
            gap,
            InconclusiveReason::TraceOverrun
                | InconclusiveReason::WindowMissed(_)
                | InconclusiveReason::HeldUp(_)
        )
    };
    if judgement
        .inconclusive_reason
        .as_ref()
        .is_some_and(is_unclear)
    {
        return Ok(Outcome::Unclear);
    }
    if decoy.frames.is_empty() {
        return if is_confirmed {
            Ok(Outcome::NotSent)
        } else {
            Err("not confirmed without a decoy")
        };
    }
    // The scenario injects the same RST as the decoy, so either may be taken for the other.
    let is_its_like = scenario.resets.iter().any(|meant| {
        meant.sender == Sender::Injected
            && meant.from == decoy.from
            && meant.disposition == Disposition::Accepted
    });
    if is_confirmed && is_its_like && decoy.is_exact {
        return Ok(Outcome::Ignored);
    }
    let is_decoy = |reset: usize| decoy.frames.contains(&judgement.resets[reset].frame);
    let names_decoy = judgement
        .attributions
        .iter()
        .any(|(_, attribution)| match attribution {
            Attribution::Reset(reset) | Attribution::AfterReset(reset) => is_decoy(*reset),
            _ => false,
        });
    let mut seen = (0..judgement.resets.len()).filter(|reset| is_decoy(*reset));
    let counts = seen.any(|reset| judgement.resets[reset].acceptance.is_acceptable());
    if is_confirmed && (names_decoy || counts) {
        return Err("confirmed by a decoy");
    }
    if counts && !decoy.is_exact {
        return Err("a decoy counts that cannot");
    }
    if counts {
        return Ok(Outcome::Believed);
    }
    if is_confirmed {
        return Ok(Outcome::Ignored);
    }
    let names_decoy = |finding: &Finding| matches!(finding, Finding::UnexpectedReset { frame } if decoy.frames.contains(frame));
    // Other findings may accompany it: what the decoy triggers from a firewall, or changes in the counters.
    if scenario.resets.is_empty() && judgement.findings.iter().any(names_decoy) {
        return Ok(Outcome::Named);
    }
    Err("a decoy without effect changed the verdict")
}
