//! Differences in what kernels report about themselves: features of the trace, and counters.

use std::collections::BTreeSet;

use super::cause::DifferenceCause;
use super::document::Subject;
use rstproof_core::history::{self, Patch};
use rstproof_core::kernel::event::Coverage;

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
    pub cause: Option<DifferenceCause>,
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
pub(super) fn observability_differences(subjects: &[Subject]) -> Vec<ObservabilityDifference> {
    let mut all = Vec::new();
    for (what, get, patch) in FACTS {
        let tells = subjects.iter().map(|it| it.coverage.as_ref().map(get));
        all.extend(difference_in(subjects, what.to_owned(), tells, patch));
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
    all.extend(difference_in(subjects, what, names_aborts, patch));
    all.extend(differences_in_counters(subjects));
    all
}

/// Names of counters, flag for each subject that has them, and the change that added them.
type Counters<'a> = (Vec<&'a str>, Vec<Option<bool>>, Option<&'static Patch>);

/// Returns the counters that some kernels lack. Counters that the same kernels lack for the same reason share an entry.
fn differences_in_counters(subjects: &[Subject]) -> Vec<ObservabilityDifference> {
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
    let differences = known.into_iter().filter_map(|(names, counts, patch)| {
        let word = if names.len() == 1 {
            "counter"
        } else {
            "counters"
        };
        let what = format!("the {word} {}", names.join(", "));
        difference_in(subjects, what, counts.into_iter(), patch)
    });
    differences.collect()
}

/// Returns the difference in a feature, if some kernels have it and others lack it. `tells` has an entry per subject,
/// `None` if unknown.
fn difference_in(
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
        none_contradicts(subjects, &available_on, patch, true)
            && none_contradicts(subjects, &missing_on, patch, false)
    };
    let cause = patch.filter(fits).map(DifferenceCause::Patch);
    Some(ObservabilityDifference {
        feature,
        available_on,
        missing_on,
        cause,
    })
}

/// Returns true if no exact version contradicts that all of these kernels have the patch, or lack it if `has_it` is false.
fn none_contradicts(subjects: &[Subject], places: &[usize], patch: &Patch, has_it: bool) -> bool {
    let mut kernels = places.iter().map(|place| subjects[*place].kernel);
    kernels.all(|it| !it.is_exact || it.has(patch) == has_it)
}
