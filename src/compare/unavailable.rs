//! Scenarios that some kernels cannot run.

use std::collections::BTreeMap;

use super::aspect::{Aspect, Group, IT_RAN, members_of};
use super::{Comparison, catalogue_position};
use rstproof_core::scenario::{Family, find};

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

impl Comparison {
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
            one.scenarios
                .sort_by_key(|(id, _)| (catalogue_position(id), *id));
        }
        all
    }
}
