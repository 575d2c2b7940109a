//! Comparison of reports of the same scenarios from different kernels: their differences and the known causes.
//!
//! **Behaviour** is visible to a program or its peer: the results of calls and the RSTs on the wire. **Observability**
//! is what a kernel can report: a kernel that gives no reasons resets connections like any other. **Availability** is
//! the set of scenarios that a kernel can run. A cause is looked up in [`history`], through the scenario's own
//! expectations; a difference without a known cause is marked as unexplained. Everything here is pure: reports in,
//! differences out.

pub mod document;
pub mod human;
pub mod json;
pub mod markdown;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use self::document::{Seen, Subject, shortened};
use rstproof_core::history::{self, Patch, Version};
use rstproof_core::kernel::event::Coverage;
use rstproof_core::scenario::{Family, Scenario, find};
use rstproof_core::verdict::Verdict;

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

    fn kind(self) -> Kind {
        match self {
            Self::Ran => Kind::Availability,
            Self::Calls | Self::Resets => Kind::Behaviour,
            Self::Reasons | Self::Counters | Self::Verdict => Kind::Observability,
        }
    }
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
    pub causes: Vec<Cause>,
}

impl Difference {
    /// Returns true if the difference has a known cause. A skipped scenario is explained by its own reason.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        self.kind == Kind::Availability || !self.causes.is_empty()
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

/// Feature of the trace or the counters that some kernels have and others lack.
#[derive(Clone, Debug)]
pub struct ObservabilityDifference {
    /// Name of the feature: a noun phrase.
    pub feature: String,
    /// Indices of the kernels that have the feature.
    pub available_on: Vec<usize>,
    /// Indices of the kernels that lack the feature.
    pub missing_on: Vec<usize>,
    /// Known cause.
    pub cause: Option<Cause>,
}

/// Cause of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Change in Linux.
    Patch(&'static Patch),
    /// Known behaviour of another system.
    System(&'static history::System),
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Patch(patch) => {
                map.serialize_entry("id", patch.id)?;
                map.serialize_entry("description", patch.description)?;
                map.serialize_entry("commit", patch.commit.0)?;
                map.serialize_entry("title", patch.commit.1)?;
                let texts =
                    |all: &[Version]| all.iter().map(Version::to_string).collect::<Vec<_>>();
                map.serialize_entry("since", &texts(patch.since))?;
                if !patch.reverted_in.is_empty() {
                    map.serialize_entry("reverted_in", &texts(patch.reverted_in))?;
                }
            }
            Self::System(system) => {
                map.serialize_entry("id", system.id)?;
                map.serialize_entry("description", system.description)?;
                map.serialize_entry("source", system.source)?;
            }
        }
        map.end()
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
    subjects.sort_by(|a, b| {
        // Unknown versions come last, and release candidates before their release.
        let key = |it: &Subject| {
            let version = it.kernel.version;
            let by_release = (it.kernel.candidate.is_none(), it.kernel.candidate);
            let names = (it.release.clone(), it.origin.clone());
            (version.is_none(), version, by_release, names)
        };
        key(a).cmp(&key(b))
    });
    tell_apart(&mut subjects);
    let mut keys: Vec<(String, Family)> = subjects
        .iter()
        .flat_map(|subject| subject.seen.keys().cloned())
        .collect();
    keys.sort_by_key(|(scenario, family)| (place(scenario), scenario.clone(), *family));
    // A scenario occurs once in each report; sorting has put its occurrences next to each other.
    keys.dedup();
    let mut differences: Vec<Difference> = Vec::new();
    let mut agreed = Vec::new();
    let mut inconclusive = Vec::new();
    let mut alone = Vec::new();
    let missing = missing(&subjects, &keys);
    for (scenario, family) in keys {
        let seen: Vec<(usize, &Seen)> = subjects
            .iter()
            .enumerate()
            .filter_map(|(place, subject)| {
                Some((place, subject.seen.get(&(scenario.clone(), family))?))
            })
            .collect();
        let unsaid = seen.iter().filter_map(|(place, it)| {
            let why = it.inconclusive.clone()?;
            Some((scenario.clone(), family, *place, why))
        });
        inconclusive.extend(unsaid);
        let aspects = aspects(&subjects, &seen);
        let ran: Vec<usize> = seen
            .iter()
            .filter(|(_, it)| !it.verdicts.is_empty())
            .map(|(place, _)| *place)
            .collect();
        // No minimum means that no aspect differs.
        let Some(kind) = aspects.iter().map(|(aspect, _)| aspect.kind()).min() else {
            if ran.len() < 2 {
                let ran = ran.first().copied();
                alone.push(Alone {
                    scenario,
                    family,
                    ran,
                });
                continue;
            }
            agreed.push(Agreed {
                ran: ran.len(),
                calls: seen
                    .iter()
                    .find_map(|(_, it)| it.calls.first().filter(|_| it.calls.len() == 1).cloned())
                    .unwrap_or_default(),
                scenario,
                family,
            });
            continue;
        };
        let causes = causes(find(&scenario), &subjects, &seen, &aspects);
        // Keys are sorted, so the families of a scenario are consecutive.
        let same = differences
            .last_mut()
            .filter(|it| it.scenario == scenario && it.aspects == aspects);
        if let Some(same) = same {
            same.families.push(family);
            same.ran = same.ran.max(ran.len());
            continue;
        }
        differences.push(Difference {
            scenario,
            families: vec![family],
            kind,
            ran: ran.len(),
            aspects,
            causes,
        });
    }
    // The sort is stable: within a kind, differences stay in catalogue order.
    differences.sort_by_key(|it| it.kind);
    let observability_differences = observability_differences(&subjects);
    Comparison {
        subjects,
        differences,
        observability_differences,
        agreed,
        inconclusive,
        alone,
        missing,
    }
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

    /// Returns the label of some kernels among others: a bound if they are all kernels up to it or all from it on,
    /// otherwise a list.
    #[must_use]
    pub fn span(&self, members: &[usize], among: &[usize]) -> Span {
        let label = |place: &usize| self.subjects[*place].label.clone();
        let each = || Span::Each(members.iter().map(label).collect());
        let (Some(first), Some(last)) = (members.first(), members.last()) else {
            return each();
        };
        // A bound makes sense only for three kernels or more, and is ambiguous if a kernel outside has the same version
        // as the one at the bound.
        let version = |place: &usize| self.subjects[*place].kernel.version;
        let others: Vec<&usize> = among.iter().filter(|it| !members.contains(it)).collect();
        let known = among.iter().all(|it| version(it).is_some());
        if !known || among.len() < 3 || others.is_empty() {
            return each();
        }
        // A bound must not include a subject whose result is unknown.
        let all = || 0..self.subjects.len();
        let holds_for =
            |mut range: Box<dyn Iterator<Item = usize> + '_>| range.all(|it| members.contains(&it));
        let from_first = all().filter(|it| version(it) >= version(first));
        let up_to_last = all().filter(|it| version(it).is_some() && version(it) <= version(last));
        if others.iter().all(|it| version(it) < version(first)) && holds_for(Box::new(from_first)) {
            Span::Since(label(first))
        } else if members.len() > 1
            && others.iter().all(|it| version(it) > version(last))
            && holds_for(Box::new(up_to_last))
        {
            Span::Until(label(last))
        } else {
            each()
        }
    }

    /// Returns the scenarios that some kernels cannot run, with the reasons. Scenarios that the same kernels cannot run
    /// for the same reason share an entry.
    #[must_use]
    pub fn unavailable(&self) -> Vec<Unavailable<'_>> {
        let mut known: BTreeMap<Vec<&Group>, usize> = BTreeMap::new();
        let mut all: Vec<Unavailable<'_>> = Vec::new();
        for difference in &self.differences {
            let aspects = difference.aspects.iter();
            let ran = aspects.filter(|(aspect, _)| *aspect == Aspect::Ran);
            for (_, groups) in ran {
                let lacking: Vec<&Group> =
                    groups.iter().filter(|it| it.lines != [IT_RAN]).collect();
                let nth = *known.entry(lacking.clone()).or_insert(all.len());
                if nth == all.len() {
                    all.push(Unavailable {
                        among: members_of(groups),
                        lacking,
                        scenarios: Vec::new(),
                    });
                }
                let same = &mut all[nth].scenarios;
                let known = same.iter_mut().find(|it| it.0 == difference.scenario);
                match known {
                    Some((_, families)) => families.extend(&difference.families),
                    None => same.push((&difference.scenario, difference.families.clone())),
                }
            }
        }
        for one in &mut all {
            for (id, families) in &mut one.scenarios {
                families.sort();
                families.dedup();
                // An empty list means all families of the scenario.
                if find(id).is_some_and(|it| it.families.len() == families.len()) {
                    families.clear();
                }
            }
            one.scenarios.sort_by_key(|(id, _)| (place(id), *id));
        }
        all
    }
}

/// Scenarios that some kernels cannot run, while others can, or cannot for another reason.
#[derive(Clone, Debug)]
pub struct Unavailable<'a> {
    /// Indices of all kernels for which the scenarios were requested.
    pub among: Vec<usize>,
    /// Groups of kernels that cannot run them, each with its reason.
    pub lacking: Vec<&'a Group>,
    /// Ids of the scenarios with the families affected; an empty list means all families.
    pub scenarios: Vec<(&'a str, Vec<Family>)>,
}

/// Label of some kernels among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Kernels from the oldest up to this one.
    Until(String),
    /// Kernels from this one to the newest.
    Since(String),
    /// List of the kernels.
    Each(Vec<String>),
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Until(last) => write!(f, "until {last}"),
            Self::Since(first) => write!(f, "since {first}"),
            Self::Each(all) => f.write_str(&all.join(", ")),
        }
    }
}

/// Returns the members of all groups, in ascending order.
#[must_use]
pub fn members_of(groups: &[Group]) -> Vec<usize> {
    let members: BTreeSet<usize> = groups.iter().flat_map(|it| it.members.clone()).collect();
    members.into_iter().collect()
}

/// Returns the position of a scenario in the catalogue; unknown scenarios come last.
fn place(scenario: &str) -> usize {
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

/// Text for a scenario that was not skipped.
const IT_RAN: &str = "it ran";

/// Returns the aspects that differ between the subjects that have a scenario.
fn aspects(subjects: &[Subject], seen: &[(usize, &Seen)]) -> Vec<(Aspect, Vec<Group>)> {
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

/// Limits a list to `MOST_LINES` lines of limited length. No scenario produces a tenth of these lines, but a hostile
/// report may contain any number.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    for line in &mut lines {
        *line = shortened(line);
    }
    if more > 0 {
        lines.push(format!("… {more} more …"));
    }
    lines
}

/// Maximum number of lines in a list.
const MOST_LINES: usize = 200;

/// Returns a minimal set of causes that explains all these differences; an empty one if any difference stays
/// unexplained.
fn causes(
    scenario: Option<&'static Scenario>,
    subjects: &[Subject],
    seen: &[(usize, &Seen)],
    aspects: &[(Aspect, Vec<Group>)],
) -> Vec<Cause> {
    let Some(scenario) = scenario else {
        return Vec::new();
    };
    // A trial is judged by the known behaviour of its own kernel version. If it is refuted, no known change explains
    // it.
    let is_linux = |place: &usize| subjects[*place].sysname == "Linux";
    let refuted = Verdict::Refuted.name();
    if seen
        .iter()
        .any(|(place, it)| is_linux(place) && it.verdicts.contains(refuted))
    {
        return Vec::new();
    }
    // Another system is explained only if it behaves as documented.
    let mut systems = Vec::new();
    for (place, it) in seen.iter().filter(|(place, _)| !is_linux(place)) {
        let known = history::SYSTEMS.iter().find(|system| {
            let does = |calls: &Vec<String>| calls.iter().any(|call| call == system.call);
            system.sysname == subjects[*place].sysname
                && system.scenario == scenario.id
                && it.calls.iter().all(does)
        });
        match known {
            Some(system) if !systems.contains(&Cause::System(system)) => {
                systems.push(Cause::System(system));
            }
            Some(_) => {}
            None => return Vec::new(),
        }
    }
    let mut all: Vec<&'static Patch> = Vec::new();
    for (aspect, groups) in aspects.iter().filter(|(aspect, _)| *aspect != Aspect::Ran) {
        let account = |patches: &[&'static Patch]| accounts_for(patches, subjects, groups);
        let mut patches = scenario.patches_where(|one, other| differ(one, other, *aspect));
        if !account(&patches) {
            return Vec::new();
        }
        // Drop each patch that the explanation does not need.
        for patch in patches.clone() {
            let fewer: Vec<_> = patches.iter().copied().filter(|it| *it != patch).collect();
            if account(&fewer) {
                patches = fewer;
            }
        }
        patches.retain(|patch| !all.contains(patch));
        all.append(&mut patches);
    }
    all.into_iter().map(Cause::Patch).chain(systems).collect()
}

/// Returns true if two variants of a scenario expect different results for an aspect.
fn differ(one: &Scenario, other: &Scenario, aspect: Aspect) -> bool {
    let calls = |it: &Scenario| it.calls().collect::<Vec<_>>();
    let resets = |it: &Scenario| {
        let resets = it.resets.iter();
        resets
            .map(|reset| (reset.from, reset.form))
            .collect::<Vec<_>>()
    };
    match aspect {
        // No expectation covers these: each kernel is judged by the known behaviour of its own version.
        Aspect::Ran | Aspect::Verdict => false,
        Aspect::Calls => calls(one) != calls(other),
        Aspect::Resets => resets(one) != resets(other),
        Aspect::Reasons => one.resets != other.resets,
        Aspect::Counters => one.counters != other.counters,
    }
}

/// Returns true if kernels with the same subset of these patches are always in the same group.
///
/// The version of a vendor kernel does not show which patches the vendor has applied, so such a kernel may be in any
/// group. The number of groups must then not exceed the number of possible combinations.
fn accounts_for(patches: &[&'static Patch], subjects: &[Subject], groups: &[Group]) -> bool {
    let mut group_of: BTreeMap<(&str, Vec<bool>), usize> = BTreeMap::new();
    for (nth, group) in groups.iter().enumerate() {
        for member in &group.members {
            let Subject {
                kernel, sysname, ..
            } = &subjects[*member];
            if kernel.version.is_some() && !kernel.is_exact {
                continue;
            }
            let has = patches.iter().map(|patch| kernel.has(patch)).collect();
            // Patches are those of Linux, so each system is compared only with itself.
            if *group_of.entry((sysname, has)).or_insert(nth) != nth {
                return false;
            }
        }
    }
    let systems: BTreeSet<&str> = subjects.iter().map(|it| &*it.sysname).collect();
    // An overflow means more combinations than there can be groups.
    let combinations = u32::try_from(patches.len())
        .ok()
        .and_then(|it| 2_usize.checked_pow(it));
    groups.len()
        <= combinations
            .unwrap_or(usize::MAX)
            .saturating_mul(systems.len())
}

/// Fact that a trace can report: name, test for it, and the change that added it.
type Fact = (&'static str, fn(&Coverage) -> bool, Option<&'static Patch>);

/// All facts that traces are compared by.
const FACTS: [Fact; 6] = [
    (
        "the trace event tcp_send_reset",
        |it| it.tcp_send_reset,
        None,
    ),
    (
        "tcp_send_reset for RSTs sent without a full socket",
        |it| it.resets_without_socket,
        Some(&history::TRACE_WITHOUT_SOCKET),
    ),
    (
        "the reason of an RST that is a reply",
        |it| it.reset_reasons,
        Some(&history::TRACE_REASON),
    ),
    (
        "the trace event tcp_receive_reset",
        |it| it.tcp_receive_reset,
        None,
    ),
    (
        "the trace event inet_sk_error_report",
        |it| it.inet_sk_error_report,
        Some(&history::TRACE_ERROR_REPORT),
    ),
    (
        "the trace event inet_sock_set_state",
        |it| it.inet_sock_set_state,
        None,
    ),
];

/// Returns the features that some kernels have and others lack.
fn observability_differences(subjects: &[Subject]) -> Vec<ObservabilityDifference> {
    let mut all = Vec::new();
    for (what, get, patch) in FACTS {
        let tells = subjects.iter().map(|it| it.coverage.as_ref().map(get));
        all.extend(one_told(subjects, what.to_owned(), tells, patch));
    }
    let names_aborts = subjects
        .iter()
        .map(|it| match (it.names_aborts, it.coverage) {
            (Some(named), _) => Some(named),
            // A kernel whose events have no reason field cannot give one for an abort.
            (None, Some(coverage)) if !coverage.reset_reasons => Some(false),
            _ => None,
        });
    let what = "the reason of an abort".to_owned();
    let patch = Some(&history::TRACE_ABORT_REASON);
    all.extend(one_told(subjects, what, names_aborts, patch));
    all.extend(told_of_counters(subjects));
    all
}

/// Names of counters, flag for each subject that has them, and the change that added them.
type Counters<'a> = (Vec<&'a str>, Vec<Option<bool>>, Option<&'static Patch>);

/// Returns the counters that some kernels lack. Counters that the same kernels lack for the same reason share an entry.
fn told_of_counters(subjects: &[Subject]) -> Vec<ObservabilityDifference> {
    let mut known: Vec<Counters<'_>> = Vec::new();
    let unsupported_counters = subjects
        .iter()
        .filter_map(|it| it.unsupported_counters.as_ref());
    let names: BTreeSet<&String> = unsupported_counters.flatten().collect();
    for name in names {
        let patch = history::of_counter(name);
        let counts =
            |subject: &Subject| Some(!subject.unsupported_counters.as_ref()?.contains(name));
        let counts: Vec<Option<bool>> = subjects.iter().map(counts).collect();
        let mut same = known.iter_mut();
        match same.find(|(_, other, cause)| *other == counts && *cause == patch) {
            Some((names, ..)) => names.push(name),
            None => known.push((vec![name], counts, patch)),
        }
    }
    let told = known.into_iter().filter_map(|(names, counts, patch)| {
        let word = if names.len() == 1 {
            "counter"
        } else {
            "counters"
        };
        let what = format!("the {word} {}", names.join(", "));
        one_told(subjects, what, counts.into_iter(), patch)
    });
    told.collect()
}

/// Returns the difference in a feature, if some kernels have it and others lack it. `tells` has an entry per subject,
/// `None` if unknown.
fn one_told(
    subjects: &[Subject],
    feature: String,
    tells: impl Iterator<Item = Option<bool>>,
    patch: Option<&'static Patch>,
) -> Option<ObservabilityDifference> {
    let tells: Vec<Option<bool>> = tells.collect();
    let places = |wanted: bool| -> Vec<usize> {
        let places = 0..subjects.len();
        places
            .filter(|place| tells[*place] == Some(wanted))
            .collect()
    };
    let (available_on, missing_on) = (places(true), places(false));
    if available_on.is_empty() || missing_on.is_empty() {
        return None;
    }
    // A patch is the cause only if no kernel with an exact version contradicts it.
    let fits = |patch: &&'static Patch| {
        let are = |places: &[usize], wanted: bool| {
            let mut kernels = places.iter().map(|place| subjects[*place].kernel);
            kernels.all(|it| !it.is_exact || it.has(patch) == wanted)
        };
        are(&available_on, true) && are(&missing_on, false)
    };
    let cause = patch.filter(fits).map(Cause::Patch);
    Some(ObservabilityDifference {
        feature,
        available_on,
        missing_on,
        cause,
    })
}
