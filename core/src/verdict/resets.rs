//! Rules 2, 3 and 7: the captured RSTs and ICMP errors are the expected ones.

use super::{Case, Finding, Wire};
use crate::flow::{Form, Reset};
use crate::scenario::{Disposition, ExpectedReset, Family, Scenario};
use crate::verdict::correlation::Correlated;

/// Returns, for each expected RST, the index of the captured RST that matches it: acceptable RSTs in order, and those
/// without effect at any position.
pub(super) fn matches(
    scenario: &Scenario,
    wire: &Wire,
    correlated: &Correlated,
) -> Vec<Option<usize>> {
    let mut matched = vec![None; scenario.resets.len()];
    let captured = wire.resets.iter().enumerate();
    let mut acceptable = captured.filter(|(_, reset)| reset.acceptance.is_acceptable());
    for (index, expected) in scenario.resets.iter().enumerate() {
        matched[index] = if expected.disposition == Disposition::Accepted {
            acceptable.next().map(|(captured, _)| captured)
        } else {
            without_effect(expected, wire, correlated, &matched)
        };
    }
    matched
}

/// Returns the captured RST that matches one that is expected to have no effect. Anybody may add more such RSTs, so one
/// that fits is enough; among several, the first from the expected sender is preferred.
fn without_effect(
    expected: &ExpectedReset,
    wire: &Wire,
    correlated: &Correlated,
    matched: &[Option<usize>],
) -> Option<usize> {
    let candidates = || {
        let captured = wire.resets.iter().enumerate();
        let fitting = captured.filter(|(_, reset)| fits(expected, reset));
        let indices = fitting.map(|(index, _)| index);
        indices.filter(|index| !matched.contains(&Some(*index)))
    };
    let is_by_sender = |index: &usize| correlated.origins[*index].sender == expected.sender;
    candidates()
        .find(is_by_sender)
        .or_else(|| candidates().next())
}

/// Returns true if the captured RST is as expected, apart from its sender.
fn fits(expected: &ExpectedReset, reset: &Reset) -> bool {
    // Without a captured trigger, an RST in the form of an answer may be forged.
    let is_active = expected.form.is_none_or(|form| form == Form::Active);
    (is_active || reset.triggered_by.is_some())
        && (reset.from, reset.form) == (expected.from, expected.form)
        && reset.receiver_state == expected.receiver_state
        && Disposition::of(reset) == expected.disposition
}

impl Case<'_> {
    /// Checks rules 2, 3 and 7: every expected acceptable RST was captured, in order, and no other, and every RST that
    /// is expected to have no effect was captured as well.
    pub(super) fn resets(&self) -> impl Iterator<Item = Finding> {
        let captured = self.wire.resets.iter().enumerate();
        let captured = captured.flat_map(|(index, reset)| self.captured_reset(index, reset));
        let expected = || self.scenario.resets.iter().enumerate();
        let missing = expected().filter_map(|(index, it)| self.missing_reset(index, it));
        let without_effect = expected().filter_map(|(index, it)| self.no_such_reset(index, it));
        captured.chain(missing).chain(without_effect)
    }

    /// Checks one captured RST.
    fn captured_reset(&self, index: usize, reset: &Reset) -> impl Iterator<Item = Finding> + use<> {
        let is_acceptable = reset.acceptance.is_acceptable();
        let mut matches = self.scenario.resets.iter().zip(&self.matched);
        let expected = matches.find(|(_, captured)| **captured == Some(index));
        let expected = expected.filter(|_| is_acceptable);
        // An RST that is not acceptable cannot explain an error, but it is unexpected where the scenario has no RST at
        // all.
        let is_unexpected =
            expected.is_none() && (is_acceptable || self.scenario.resets.is_empty());
        let frame = reset.frame;
        let unexpected = is_unexpected.then_some(Finding::UnexpectedReset { frame });
        let differences = expected.map(|(expected, _)| differences(expected, reset));
        let differences = differences.into_iter().flatten().flatten();
        unexpected.into_iter().chain(differences)
    }

    /// Checks that an expected acceptable RST was captured. If an RST was captured that is not acceptable, the finding
    /// reports that RST.
    fn missing_reset(&self, index: usize, expected: &ExpectedReset) -> Option<Finding> {
        if expected.disposition != Disposition::Accepted || self.matched[index].is_some() {
            return None;
        }
        let mut resets = self.wire.resets.iter();
        let unacceptable = resets.find(|reset| !reset.acceptance.is_acceptable());
        Some(match unacceptable {
            Some(reset) => Finding::ResetUnacceptable {
                frame: reset.frame,
                acceptance: reset.acceptance,
            },
            None => Finding::NoReset { index },
        })
    }

    /// Checks that an RST that is expected to have no effect was captured, or traced if it never reached the wire.
    fn no_such_reset(&self, index: usize, expected: &ExpectedReset) -> Option<Finding> {
        let disposition = expected.disposition;
        let is_there = match disposition {
            Disposition::Accepted => true,
            Disposition::DroppedAtSender => self.correlated.shows(expected),
            Disposition::Ignored | Disposition::Challenged | Disposition::Lost => {
                self.matched[index].is_some()
            }
        };
        (!is_there).then_some(Finding::NoSuchReset { index, disposition })
    }

    /// Checks the ICMP errors for rule 7: every expected error was captured, in order, and no other.
    pub(super) fn icmp(&self) -> impl Iterator<Item = Finding> {
        let family = Family::of(self.evidence.client.ip());
        let (captured, expected) = (&self.wire.icmp, self.scenario.icmp);
        (0..captured.len().max(expected.len())).filter_map(move |index| {
            match (captured.get(index), expected.get(index)) {
                (Some(icmp), Some(meant))
                    if (icmp.to, icmp.kind) == (meant.to, meant.over(family)) =>
                {
                    None
                }
                (Some(icmp), _) => Some(Finding::IcmpError { frame: icmp.frame }),
                (None, _) => Some(Finding::NoIcmp { index }),
            }
        })
    }
}

/// Compares a captured RST with the expected one.
fn differences(expected: &ExpectedReset, seen: &Reset) -> [Option<Finding>; 3] {
    let frame = seen.frame;
    let sender = (seen.from != expected.from).then_some(Finding::ResetFromWrongEnd {
        frame,
        expected: expected.from,
    });
    let is_answer = expected.form.is_some_and(Form::is_answer);
    let form = if seen.form == expected.form {
        (is_answer && seen.triggered_by.is_none()).then_some(Finding::UntriggeredAnswer { frame })
    } else {
        Some(Finding::WrongForm {
            frame,
            expected: expected.form,
            seen: seen.form,
        })
    };
    let is_other_state = seen.receiver_state != expected.receiver_state;
    let state = is_other_state.then_some(Finding::WrongReceiverState {
        frame,
        expected: expected.receiver_state,
        seen: seen.receiver_state,
    });
    [sender, form, state]
}
