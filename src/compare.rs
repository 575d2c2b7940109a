//! Comparison of reports of the same scenarios from different kernels: their differences and the known causes.
//!
//! **Behaviour** is visible to a program or its peer: the results of calls and the RSTs on the wire. **Observability**
//! is what a kernel can report: a kernel that gives no reasons resets connections like any other. **Availability** is
//! the set of scenarios that a kernel can run. A cause is looked up in [`history`](rstproof_core::history), through the
//! scenario's own expectations; a difference without a known cause is marked as unexplained. Everything here is pure:
//! reports in, differences out.

mod aspect;
mod cause;
pub mod document;
pub mod human;
pub mod json;
pub mod markdown;
mod observability;
mod span;
mod unavailable;

use std::collections::BTreeMap;

pub use self::aspect::{Aspect, Group, Kind, members_of};
use self::aspect::{MAX_LINES, aspects, bounded};
pub use self::cause::DifferenceCause;
use self::cause::causes;
use self::document::{Seen, Subject};
pub use self::observability::ObservabilityDifference;
use self::observability::observability_differences;
pub use self::span::Span;
pub use self::unavailable::Unavailable;
use rstproof_core::scenario::{Family, find};

/// Result of comparing reports.
#[derive(Debug)]
pub struct Comparison {
    /// Compared reports, by version.
    pub subjects: Vec<Subject>,
    /// Differences in the results of trials: behaviour first, then in catalogue order.
    pub differences: Vec<Difference>,
    /// Differences in what kernels report about themselves.
    pub observability_differences: Vec<ObservabilityDifference>,
    /// Scenarios and families without differences, with their results.
    pub agreed: Vec<Agreed>,
    /// Inconclusive trials: scenario, family, index of the subject, and reason.
    pub inconclusive: Vec<(String, Family, usize, String)>,
    /// Scenarios and families that fewer than two subjects have run, so that there is nothing to compare.
    pub alone: Vec<Alone>,
    /// Scenarios and families that a subject lacks and another one has. Subjects that lack nothing are left out.
    pub missing: Vec<(usize, Vec<(String, Family)>)>,
}

/// Scenario and family that at most one subject has run.
#[derive(Clone, Debug)]
pub struct Alone {
    /// Id of the scenario.
    pub scenario: String,
    /// Address family.
    pub family: Family,
    /// Index of the only subject that has run it, if any.
    pub ran: Option<usize>,
}

/// Scenario whose results differ between kernels.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Id of the scenario.
    pub scenario: String,
    /// Address families, all with the same difference.
    pub families: Vec<Family>,
    /// Most serious kind among the aspects.
    pub kind: Kind,
    /// Number of kernels that ran it with a verdict; the largest of the families.
    pub ran: usize,
    /// Aspects that differ, each with the groups of kernels that agree.
    pub aspects: Vec<(Aspect, Vec<Group>)>,
    /// Known causes; empty if none explains the difference.
    pub causes: Vec<DifferenceCause>,
}

impl Difference {
    /// Returns true if the difference has a known cause. A skipped scenario is explained by its own reason.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        self.kind == Kind::Availability || !self.causes.is_empty()
    }
}

/// Scenario and family whose results are the same on all kernels that ran it.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// Id of the scenario.
    pub scenario: String,
    /// Address family.
    pub family: Family,
    /// Number of kernels that ran it.
    pub ran: usize,
    /// Results of the calls, from a kernel whose trials all had the same ones; empty if there is none.
    pub calls: Vec<String>,
}

/// Compares reports.
#[must_use]
pub fn compare(mut subjects: Vec<Subject>) -> Comparison {
    sort(&mut subjects);
    tell_apart(&mut subjects);
    let keys = keys(&subjects);
    let mut comparison = Comparison {
        missing: missing(&subjects, &keys),
        observability_differences: observability_differences(&subjects),
        subjects,
        differences: Vec::new(),
        agreed: Vec::new(),
        inconclusive: Vec::new(),
        alone: Vec::new(),
    };
    for (scenario, family) in keys {
        comparison.add(scenario, family);
    }
    // The sort is stable: within a kind, differences stay in catalogue order.
    comparison.differences.sort_by_key(|it| it.kind);
    comparison
}

/// Sorts reports by version: unknown versions come last, and release candidates before their release.
fn sort(subjects: &mut [Subject]) {
    let key = |it: &Subject| {
        let version = it.kernel.version;
        let by_release = (it.kernel.candidate.is_none(), it.kernel.candidate);
        let names = (it.release.clone(), it.origin.clone());
        (version.is_none(), version, by_release, names)
    };
    subjects.sort_by_key(key);
}

/// Returns the scenarios and families of all subjects, in catalogue order.
fn keys(subjects: &[Subject]) -> Vec<(String, Family)> {
    let mut keys: Vec<(String, Family)> = subjects
        .iter()
        .flat_map(|subject| subject.seen.keys().cloned())
        .collect();
    keys.sort_by_key(|(scenario, family)| {
        (catalogue_position(scenario), scenario.clone(), *family)
    });
    // A scenario occurs once in each report; sorting has put its occurrences next to each other.
    keys.dedup();
    keys
}

/// Returns, for each subject that lacks any, the scenarios and families that only other subjects have.
fn missing(subjects: &[Subject], keys: &[(String, Family)]) -> Vec<(usize, Vec<(String, Family)>)> {
    let of = |subject: &Subject| -> Vec<_> {
        let absent = keys.iter().filter(|key| !subject.seen.contains_key(key));
        absent.cloned().collect()
    };
    let all = subjects.iter().map(of).enumerate();
    all.filter(|(_, absent)| !absent.is_empty()).collect()
}

impl Comparison {
    /// Compares the results of a scenario over a family. Families of a scenario are added one after the other.
    fn add(&mut self, scenario: String, family: Family) {
        let subjects = self.subjects.iter().enumerate();
        let seen: Vec<(usize, &Seen)> = subjects
            .filter_map(|(place, subject)| {
                Some((place, subject.seen.get(&(scenario.clone(), family))?))
            })
            .collect();
        let unsaid = seen.iter().filter_map(|(place, it)| {
            let why = it.inconclusive.clone()?;
            Some((scenario.clone(), family, *place, why))
        });
        self.inconclusive.extend(unsaid);
        let ran: Vec<usize> = seen
            .iter()
            .filter(|(_, it)| !it.verdicts.is_empty())
            .map(|(place, _)| *place)
            .collect();
        let aspects = aspects(&self.subjects, &seen);
        // No minimum means that no aspect differs.
        if let Some(kind) = aspects.iter().map(|(aspect, _)| aspect.kind()).min() {
            let causes = causes(find(&scenario), &self.subjects, &seen, &aspects);
            self.add_difference(Difference {
                scenario,
                families: vec![family],
                kind,
                ran: ran.len(),
                aspects,
                causes,
            });
        } else if ran.len() < 2 {
            let ran = ran.first().copied();
            self.alone.push(Alone {
                scenario,
                family,
                ran,
            });
        } else {
            self.agreed.push(Agreed {
                ran: ran.len(),
                calls: seen
                    .iter()
                    .find_map(|(_, it)| it.calls.first().filter(|_| it.calls.len() == 1).cloned())
                    .unwrap_or_default(),
                scenario,
                family,
            });
        }
    }

    /// Adds a difference, to that of the scenario's previous family if both differ in the same way.
    fn add_difference(&mut self, new: Difference) {
        let last = self.differences.last_mut();
        match last.filter(|it| it.scenario == new.scenario && it.aspects == new.aspects) {
            Some(same) => {
                same.families.extend(new.families);
                same.ran = same.ran.max(new.ran);
            }
            None => self.differences.push(new),
        }
    }

    /// Returns true if no results were compared, because no two kernels ran the same scenario. Kernels that agree on a
    /// scenario that another one cannot run were compared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.agreed.is_empty() && self.differences.iter().all(|it| it.ran < 2)
    }

    /// Returns true if the behaviour differs in any scenario.
    #[must_use]
    pub fn behaviour_differs(&self) -> bool {
        self.differences.iter().any(|it| it.kind == Kind::Behaviour)
    }

    /// Returns the differences without a known cause.
    pub fn unexplained(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|it| !it.is_explained())
    }
}

/// Returns the position of a scenario in the catalogue; unknown scenarios come last.
fn catalogue_position(scenario: &str) -> usize {
    let all = rstproof_core::scenario::ALL.iter();
    let mut ids = all.map(|it| it.id);
    ids.position(|id| id == scenario).unwrap_or(usize::MAX)
}

/// Makes labels unique: subjects with the same label get their release as label, and a number if that is shared as
/// well.
fn tell_apart(subjects: &mut [Subject]) {
    let labels = |subjects: &[Subject]| {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for subject in subjects {
            *count.entry(subject.label.clone()).or_default() += 1;
        }
        count
    };
    let count = labels(subjects);
    for subject in subjects.iter_mut() {
        if count[&subject.label] > 1 {
            subject.label.clone_from(&subject.release);
        }
    }
    // Releases may be shared as well, so count once more.
    let count = labels(subjects);
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for subject in subjects.iter_mut() {
        if count[&subject.label] > 1 {
            let number = next.entry(subject.label.clone()).or_default();
            *number += 1;
            subject.label = format!("{}#{number}", subject.label);
        }
    }
}
