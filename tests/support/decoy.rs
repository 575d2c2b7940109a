//! What may come of a RST that has no part in a scenario.

use rstproof_core::scenario::{Fate, Role, Scenario, Sender};
use rstproof_core::verdict::{Blame, Finding, Gap, Judgement, Verdict};

/// What came of a decoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// There was no connection yet, or no more, whose number could be known.
    NotSent,
    /// It had no effect, and the trial was confirmed.
    Ignored,
    /// It had none, and the scenario says that there is no RST at all.
    Named,
    /// It was believed, and nothing was confirmed.
    Believed,
    /// The kernel's trace had lost events to others' trials meanwhile, or the host was too busy to keep the trial's times. No verdict.
    Unclear,
}

/// A RST that has no part in the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stray<'a> {
    /// The end in whose name it came.
    pub(crate) from: Role,
    /// Whether its number is the one that counts, and its ports are those of the connection.
    pub(crate) is_exact: bool,
    /// In which frames it was captured.
    pub(crate) frames: &'a [u32],
}

/// What came of it, or what is wrong with that.
pub(crate) fn look_at(
    scenario: &Scenario,
    decoy: Stray<'_>,
    judgement: &Judgement,
) -> Result<Outcome, &'static str> {
    let is_confirmed = judgement.verdict == Verdict::Confirmed;
    let is_unclear = |gap: &Gap| {
        matches!(
            gap,
            Gap::TraceOverrun | Gap::WindowMissed(_) | Gap::HeldUp(_)
        )
    };
    if judgement.gap.as_ref().is_some_and(is_unclear) {
        return Ok(Outcome::Unclear);
    }
    if decoy.frames.is_empty() {
        return if is_confirmed {
            Ok(Outcome::NotSent)
        } else {
            Err("not confirmed without a decoy")
        };
    }
    // It does by hand what the decoy does, and either is forged.
    let is_its_like = scenario.resets.iter().any(|meant| {
        meant.sender == Sender::Injected && meant.from == decoy.from && meant.fate == Fate::Believed
    });
    if is_confirmed && is_its_like && decoy.is_exact {
        return Ok(Outcome::Ignored);
    }
    let is_decoy = |reset: usize| decoy.frames.contains(&judgement.resets[reset].frame);
    let blames_decoy = judgement.blames.iter().any(|(_, blame)| match blame {
        Blame::Reset(reset) | Blame::AfterReset(reset) => is_decoy(*reset),
        _ => false,
    });
    let mut seen = (0..judgement.resets.len()).filter(|reset| is_decoy(*reset));
    let counts = seen.any(|reset| judgement.resets[reset].acceptance.is_acceptable());
    if is_confirmed && (blames_decoy || counts) {
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
    // What it draws from a firewall, or moves of the counters, may be named beside it.
    if scenario.resets.is_empty() && judgement.findings.iter().any(names_decoy) {
        return Ok(Outcome::Named);
    }
    Err("a decoy without effect changed the verdict")
}
