//! Known causes of the differences between kernels.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::aspect::{Aspect, Group};
use super::document::{Seen, Subject};
use rstproof_core::history::{self, Patch, Version};
use rstproof_core::scenario::Scenario;
use rstproof_core::verdict::Verdict;

/// Cause of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceCause {
    /// Change in Linux.
    Patch(&'static Patch),
    /// Known behaviour of another system.
    System(&'static history::System),
}

impl Serialize for DifferenceCause {
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

/// Returns a minimal set of causes that explains all these differences; an empty one if any difference stays
/// unexplained.
pub(super) fn causes(
    scenario: Option<&'static Scenario>,
    subjects: &[Subject],
    seen: &[(usize, &Seen)],
    aspects: &[(Aspect, Vec<Group>)],
) -> Vec<DifferenceCause> {
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
            Some(system) if !systems.contains(&DifferenceCause::System(system)) => {
                systems.push(DifferenceCause::System(system));
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
    all.into_iter()
        .map(DifferenceCause::Patch)
        .chain(systems)
        .collect()
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
