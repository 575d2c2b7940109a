//! Aspects in which the results of trials differ, with the groups of kernels that agree.

use std::collections::BTreeSet;

use serde::Serialize;

use super::document::{Seen, Subject, shortened};

/// Kind of a difference, the most serious first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Different results of calls, or different RSTs.
    Behaviour,
    /// Different reports of the kernel about the same behaviour.
    Observability,
    /// Scenario that some kernels cannot run, while the others agree.
    Availability,
}

impl Kind {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Behaviour => "behaviour",
            Self::Availability => "availability",
            Self::Observability => "observability",
        }
    }
}

/// Aspect of a trial that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// Trial run or skipped.
    Ran,
    /// Results of the calls.
    Calls,
    /// RSTs on the wire.
    Resets,
    /// Senders and reasons of the RSTs, as reported by the kernel.
    Reasons,
    /// Counters that increased.
    Counters,
    /// Verdict on the trial.
    Verdict,
}

impl Aspect {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Calls => "calls",
            Self::Resets => "RSTs",
            Self::Reasons => "reasons",
            Self::Counters => "counters",
            Self::Verdict => "verdict",
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Ran => Kind::Availability,
            Self::Calls | Self::Resets => Kind::Behaviour,
            Self::Reasons | Self::Counters | Self::Verdict => Kind::Observability,
        }
    }
}

/// Kernels that agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Indices of the kernels among the subjects.
    pub members: Vec<usize>,
    /// Results that these kernels share, as far as they differ from those of other groups.
    pub lines: Vec<String>,
}

/// Returns the members of all groups, in ascending order.
#[must_use]
pub fn members_of(groups: &[Group]) -> Vec<usize> {
    let members: BTreeSet<usize> = groups.iter().flat_map(|it| it.members.clone()).collect();
    members.into_iter().collect()
}

/// Text for a scenario that was not skipped.
pub(super) const IT_RAN: &str = "it ran";

/// Returns the aspects that differ between the subjects that have a scenario.
pub(super) fn aspects(subjects: &[Subject], seen: &[(usize, &Seen)]) -> Vec<(Aspect, Vec<Group>)> {
    let mut all = Vec::new();
    let mut compared = |aspect, groups: Vec<Group>| {
        if groups.len() > 1 {
            all.push((aspect, groups));
        }
    };
    let ran = grouped(seen.iter().map(|(place, it)| {
        let ran = it.skipped.as_deref().unwrap_or(IT_RAN).to_owned();
        (*place, BTreeSet::from([vec![ran]]))
    }));
    compared(Aspect::Ran, ran);
    let ran: Vec<_> = seen
        .iter()
        // Skipped and inconclusive trials have no verdict here.
        .filter(|(_, it)| !it.verdicts.is_empty())
        .collect();
    let of = |get: fn(&Seen) -> BTreeSet<Vec<String>>| {
        grouped(ran.iter().map(|(place, it)| (*place, get(it))))
    };
    compared(Aspect::Calls, of(|it| it.calls.clone()));
    compared(Aspect::Resets, of(|it| counted(&it.resets)));
    // A missing reason is not a difference in behaviour: only kernels that report reasons are compared.
    let told = ran.iter().filter(|(_, it)| !it.reasons.is_empty());
    let told = grouped(told.map(|(place, it)| (*place, it.reasons.clone())));
    compared(Aspect::Reasons, told);
    let counting = ran.iter().filter(|(_, it)| !it.counters.is_empty());
    let counting: Vec<_> = counting.collect();
    // A counter that one of the kernels lacks cannot be compared. The lack itself is an observability difference.
    let nowhere: BTreeSet<&String> = counting
        .iter()
        .filter_map(|(place, _)| subjects[*place].unsupported_counters.as_ref())
        .flatten()
        .collect();
    let moved = counting.iter().map(|(place, it)| {
        let lines = it.counters.iter().map(|counters| {
            let told = counters.iter().filter(|(name, _)| !nowhere.contains(name));
            told.map(|(name, by)| format!("{name} {by}")).collect()
        });
        (*place, lines.collect())
    });
    compared(Aspect::Counters, grouped(moved));
    compared(
        Aspect::Verdict,
        of(|it| {
            let names = it.verdicts.iter().map(|it| (*it).to_owned());
            BTreeSet::from([names.collect()])
        }),
    );
    all
}

/// Counts repeated lines: two of `server active` become `server active ×2`. Only consecutive lines are joined, because
/// the order of RSTs matters.
fn counted(trials: &BTreeSet<Vec<String>>) -> BTreeSet<Vec<String>> {
    let counted = |lines: &Vec<String>| {
        let mut counted: Vec<(String, usize)> = Vec::new();
        for line in lines {
            match counted.last_mut().filter(|(last, _)| last == line) {
                Some((_, times)) => *times += 1,
                None => counted.push((line.clone(), 1)),
            }
        }
        let text = |(line, times)| match times {
            1 => line,
            times => format!("{line} ×{times}"),
        };
        counted.into_iter().map(text).collect()
    };
    trials.iter().map(counted).collect()
}

/// Returns groups of kernels with the same results, the group of the oldest kernel first. Lines that are common to all
/// kernels are left out.
fn grouped(seen: impl Iterator<Item = (usize, BTreeSet<Vec<String>>)>) -> Vec<Group> {
    // Subjects come in ascending order of version, so a group is created by its oldest member.
    let mut groups: Vec<(BTreeSet<Vec<String>>, Vec<usize>)> = Vec::new();
    for (place, lines) in seen {
        match groups.iter_mut().find(|(other, _)| *other == lines) {
            Some((_, members)) => members.push(place),
            None => groups.push((lines, vec![place])),
        }
    }
    let common = lines_in_common(&groups);
    groups
        .into_iter()
        .map(|(trials, members)| Group {
            members,
            lines: bounded(shown(&trials, &common)),
        })
        .collect()
}

/// Returns the indices of the lines that all trials share; none if the trials differ in their number of lines.
fn lines_in_common(groups: &[(BTreeSet<Vec<String>>, Vec<usize>)]) -> BTreeSet<usize> {
    let mut trials = groups.iter().flat_map(|(trials, _)| trials);
    let Some(first) = trials.next() else {
        return BTreeSet::new();
    };
    let rest: Vec<_> = trials.collect();
    if rest.iter().any(|it| it.len() != first.len()) {
        return BTreeSet::new();
    }
    let is_common = |place: &usize| rest.iter().all(|it| it[*place] == first[*place]);
    (0..first.len()).filter(is_common).collect()
}

/// Returns the lines to show: one for each call or RST, or one for each trial if the trials differ among themselves.
fn shown(trials: &BTreeSet<Vec<String>>, common: &BTreeSet<usize>) -> Vec<String> {
    let of = |lines: &Vec<String>| -> Vec<String> {
        let lines = lines.iter().enumerate();
        let own = lines.filter(|(place, _)| !common.contains(place));
        own.map(|(_, line)| line.clone()).collect()
    };
    let none = || vec!["none".to_owned()];
    match trials.len() {
        0 => none(),
        1 => trials
            .first()
            .map(of)
            .filter(|it| !it.is_empty())
            .unwrap_or_else(none),
        _ => {
            let each = trials.iter().map(|lines| match &of(lines)[..] {
                [] => "none".to_owned(),
                lines => lines.join("; "),
            });
            each.map(|lines| format!("sometimes {lines}")).collect()
        }
    }
}

/// Limits a list to `MAX_LINES` lines of limited length. No scenario produces a tenth of these lines, but a hostile
/// report may contain any number.
pub(super) fn bounded(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    for line in &mut lines {
        *line = shortened(line);
    }
    if more > 0 {
        lines.push(format!("… {more} more …"));
    }
    lines
}

/// Maximum number of lines in a list.
pub(super) const MAX_LINES: usize = 200;
