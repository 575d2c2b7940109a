//! The form for machines: one document, in the schema of all others. Kernels are named by their place in `kernels`, from 0.

use serde::Serialize;

use super::{Aspect, Cause, Comparison, Kind, Span, members_of};
use crate::host;
use rstproof_core::report::{EvidenceSources, SCHEMA, Tool};
use rstproof_core::scenario::Family;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    tool: Tool,
    kernels: Vec<KernelOf<'a>>,
    differences: Vec<DifferenceOf<'a>>,
    observability_differences: Vec<ObservabilityDifferenceOf<'a>>,
    agreed: Vec<AgreedOf<'a>>,
    /// Trials that nothing can be said of.
    inconclusive: Vec<InconclusiveOf<'a>>,
    /// What fewer than two of them ran.
    not_compared: Vec<AloneOf<'a>>,
    /// What a report does not hold that another one does.
    not_run: Vec<NotRunOf<'a>>,
    behaviour_differs: bool,
    unexplained_differences: usize,
}

#[derive(Serialize)]
struct KernelOf<'a> {
    label: &'a str,
    sysname: &'a str,
    release: &'a str,
    version: &'a str,
    machine: &'a str,
    /// The Linux release that it is made of; null if that is not known.
    linux_version: Option<String>,
    /// Whether that is certain.
    linux_version_exact: bool,
    report: &'a str,
    evidence_sources: &'a EvidenceSources,
    /// The version of this program that ran there.
    tool_version: &'a str,
    trials: u64,
    confirmed: u64,
    refuted: u64,
    inconclusive: u64,
    skipped: u64,
}

#[derive(Serialize)]
struct DifferenceOf<'a> {
    scenario: &'a str,
    families: &'a [Family],
    kind: Kind,
    aspects: Vec<AspectOf<'a>>,
    explained: bool,
    causes: &'a [Cause],
}

#[derive(Serialize)]
struct AspectOf<'a> {
    aspect: Aspect,
    groups: Vec<GroupOf<'a>>,
}

#[derive(Serialize)]
struct GroupOf<'a> {
    kernels: &'a [usize],
    /// If they are the newest of all that are compared, the oldest of them.
    since: Option<String>,
    /// If they are the oldest, the newest of them.
    until: Option<String>,
    observed: &'a [String],
}

#[derive(Serialize)]
struct ObservabilityDifferenceOf<'a> {
    feature: &'a str,
    available_on: &'a [usize],
    missing_on: &'a [usize],
    cause: Option<Cause>,
}

#[derive(Serialize)]
struct AgreedOf<'a> {
    scenario: &'a str,
    family: Family,
    /// How many kernels ran it.
    kernel_count: usize,
    calls: &'a [String],
}

#[derive(Serialize)]
struct InconclusiveOf<'a> {
    scenario: &'a str,
    family: Family,
    kernel: usize,
    message: &'a str,
}

#[derive(Serialize)]
struct AloneOf<'a> {
    scenario: &'a str,
    family: Family,
    /// The only one that ran it, if any did.
    kernel: Option<usize>,
}

#[derive(Serialize)]
struct NotRunOf<'a> {
    kernel: usize,
    scenario: &'a str,
    family: Family,
}

/// The document, with a line feed behind it; with `all`, what agrees as well.
#[must_use]
pub fn text(comparison: &Comparison, all: bool) -> String {
    let kernels = comparison.subjects.iter().map(|it| KernelOf {
        label: &it.label,
        sysname: &it.sysname,
        release: &it.release,
        version: &it.version,
        machine: &it.machine,
        linux_version: it.kernel.version.map(|version| version.to_string()),
        linux_version_exact: it.kernel.is_exact,
        report: &it.origin,
        evidence_sources: &it.evidence_sources,
        tool_version: &it.program,
        trials: it.trials,
        confirmed: it.counts[0],
        refuted: it.counts[1],
        inconclusive: it.counts[2],
        skipped: it.counts[3],
    });
    let differences = comparison.differences.iter().map(|it| DifferenceOf {
        scenario: &it.scenario,
        families: &it.families,
        kind: it.kind,
        aspects: it
            .aspects
            .iter()
            .map(|(aspect, groups)| {
                let among = members_of(groups);
                let groups = groups.iter().map(|group| {
                    let span = comparison.span(&group.members, &among);
                    let (since, until) = match span {
                        Span::Since(label) => (Some(label), None),
                        Span::Until(label) => (None, Some(label)),
                        Span::Each(_) => (None, None),
                    };
                    GroupOf {
                        kernels: &group.members,
                        since,
                        until,
                        observed: &group.lines,
                    }
                });
                AspectOf {
                    aspect: *aspect,
                    groups: groups.collect(),
                }
            })
            .collect(),
        explained: it.is_explained(),
        causes: &it.causes,
    });
    let observability_differences = comparison.observability_differences.iter();
    let observability_differences = observability_differences.map(|it| ObservabilityDifferenceOf {
        feature: &it.feature,
        available_on: &it.available_on,
        missing_on: &it.missing_on,
        cause: it.cause,
    });
    let agreed = comparison.agreed.iter().filter(|_| all).map(|it| AgreedOf {
        scenario: &it.scenario,
        family: it.family,
        kernel_count: it.ran,
        calls: &it.calls,
    });
    let inconclusive = comparison.inconclusive.iter();
    let inconclusive = inconclusive.map(|(scenario, family, kernel, message)| InconclusiveOf {
        scenario,
        family: *family,
        kernel: *kernel,
        message,
    });
    let not_compared = comparison.alone.iter().map(|it| AloneOf {
        scenario: &it.scenario,
        family: it.family,
        kernel: it.ran,
    });
    let not_run = comparison.missing.iter().flat_map(|(kernel, absent)| {
        absent.iter().map(|(scenario, family)| NotRunOf {
            kernel: *kernel,
            scenario,
            family: *family,
        })
    });
    let document = Document {
        schema: SCHEMA,
        tool: host::this_tool(),
        kernels: kernels.collect(),
        differences: differences.collect(),
        observability_differences: observability_differences.collect(),
        agreed: agreed.collect(),
        inconclusive: inconclusive.collect(),
        not_compared: not_compared.collect(),
        not_run: not_run.collect(),
        behaviour_differs: comparison.behaviour_differs(),
        unexplained_differences: comparison.unexplained().count(),
    };
    // Nothing in it is a map whose keys are no texts, which is all that could fail.
    let mut text = serde_json::to_string(&document).unwrap_or_default();
    text.push('\n');
    text
}
