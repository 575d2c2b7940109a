//! Machine output of `compare`: one document, in the schema of all others. Kernels are identified by their index in
//! `kernels`, from 0.

use serde::Serialize;

use super::{Aspect, Comparison, DifferenceCause, Kind, Span, members_of};
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
    /// Inconclusive trials, which are not compared.
    inconclusive: Vec<InconclusiveOf<'a>>,
    /// Scenarios and families that fewer than two kernels ran.
    not_compared: Vec<AloneOf<'a>>,
    /// Scenarios and families that a report lacks and another one has.
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
    /// Linux version that the kernel is based on; null if unknown.
    linux_version: Option<String>,
    /// True if the Linux version is certain.
    linux_version_exact: bool,
    report: &'a str,
    evidence_sources: &'a EvidenceSources,
    /// Version of this program that ran there.
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
    causes: &'a [DifferenceCause],
}

#[derive(Serialize)]
struct AspectOf<'a> {
    aspect: Aspect,
    groups: Vec<GroupOf<'a>>,
}

#[derive(Serialize)]
struct GroupOf<'a> {
    kernels: &'a [usize],
    /// Label of the oldest kernel of the group, if the group has all the newest kernels.
    since: Option<String>,
    /// Label of the newest kernel of the group, if the group has all the oldest kernels.
    until: Option<String>,
    observed: &'a [String],
}

#[derive(Serialize)]
struct ObservabilityDifferenceOf<'a> {
    feature: &'a str,
    available_on: &'a [usize],
    missing_on: &'a [usize],
    cause: Option<DifferenceCause>,
}

#[derive(Serialize)]
struct AgreedOf<'a> {
    scenario: &'a str,
    family: Family,
    /// Number of kernels that ran the scenario.
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
    /// Index of the only kernel that ran it, if any.
    kernel: Option<usize>,
}

#[derive(Serialize)]
struct NotRunOf<'a> {
    kernel: usize,
    scenario: &'a str,
    family: Family,
}

/// Renders the document, ending with a line feed. With `all`, it includes the scenarios without differences.
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
    // Serialisation fails only for maps with keys that are not strings, and the document has none.
    let mut text = serde_json::to_string(&document).unwrap_or_default();
    text.push('\n');
    text
}
