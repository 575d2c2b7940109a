//! Markdown output of `compare`, for pages and issue trackers: tables, with a sentence and a source for each
//! difference.

use std::fmt::Write as _;

use super::human::{families, reason};
use super::{Agreed, Aspect, Comparison, Difference, Group, Kind, Span, bounded, members_of};
use rstproof_core::evidence::SourceId;
use rstproof_core::history::SYSTEMS;
use rstproof_core::scenario::find;

/// Renders the comparison as sections below a page's title. With `all`, it includes the scenarios without differences.
#[must_use]
pub fn text(comparison: &Comparison, all: bool) -> String {
    let mut text =
        String::from("## Kernels\n\n| kernel | release | trials | trace |\n|---|---|---|---|\n");
    for subject in &comparison.subjects {
        let trace = if subject.evidence_sources.has(SourceId::KernelTrace) {
            "yes"
        } else {
            "no"
        };
        // Results of writing are ignored here and below: writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {trace} |",
            code(&subject.label),
            code(&subject.release),
            subject.tally()
        );
    }
    let of = |kind| {
        comparison
            .differences
            .iter()
            .filter(move |it| it.kind == kind)
    };
    for (kind, heading) in [
        (Kind::Behaviour, "Behaviour"),
        (
            Kind::Observability,
            "Same behaviour, different kernel reports",
        ),
    ] {
        let _ = writeln!(text, "\n## {heading}");
        if of(kind).next().is_none() {
            text.push_str("\nNo differences.\n");
        }
        for difference in of(kind) {
            one(comparison, difference, &mut text);
        }
    }
    text.push_str("\n## What each kernel can report\n");
    if comparison.observability_differences.is_empty() {
        text.push_str("\nNo differences.\n");
    } else {
        text.push_str("\n| | by | not by | source |\n|---|---|---|---|\n");
    }
    for told in &comparison.observability_differences {
        let mut among: Vec<usize> = told
            .available_on
            .iter()
            .chain(&told.missing_on)
            .copied()
            .collect();
        among.sort_unstable();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            careful(&told.feature),
            spelled(&comparison.span(&told.available_on, &among)),
            spelled(&comparison.span(&told.missing_on, &among)),
            told.cause
                .map(reason)
                .map_or_else(String::new, |it| plain(&it)),
        );
    }
    availability(comparison, &mut text);
    not_compared(comparison, &mut text);
    if all {
        agreed(comparison, &mut text);
    }
    systems(&mut text);
    text
}

fn not_compared(comparison: &Comparison, text: &mut String) {
    let Comparison {
        subjects,
        inconclusive,
        alone,
        missing,
        ..
    } = comparison;
    if inconclusive.is_empty() && alone.is_empty() && missing.is_empty() {
        return;
    }
    text.push_str("\n## Not compared\n\nThese trials could not be compared.\n\n");
    let mut lines = Vec::new();
    for (scenario, family, place, why) in inconclusive {
        let (id, label, why) = (code(scenario), code(&subjects[*place].label), code(why));
        lines.push(format!("{id} ({}) on {label}: {why}", family.name()));
    }
    for one in alone {
        let by = match one.ran {
            Some(place) => format!("only {} ran it", code(&subjects[place].label)),
            None => "no kernel ran it".to_owned(),
        };
        let id = code(&one.scenario);
        lines.push(format!("{id} ({}): {by}", one.family.name()));
    }
    for (place, absent) in missing {
        let (label, many) = (code(&subjects[*place].label), absent.len());
        lines.push(format!(
            "{label} did not run {many} of the trials in the other reports"
        ));
    }
    for line in bounded(lines) {
        let _ = writeln!(text, "- {line}");
    }
}

/// Writes the scenarios without differences. Families with the same results share a row.
fn agreed(comparison: &Comparison, text: &mut String) {
    text.push_str(
        "\n## Same on every kernel that ran them\n\n| scenario | kernels | calls |\n|---|---|---|\n",
    );
    let mut agreed = comparison.agreed.iter().peekable();
    while let Some(one) = agreed.next() {
        let mut names = one.family.name().to_owned();
        let is_same = |other: &&Agreed| {
            (&other.scenario, other.ran, &other.calls) == (&one.scenario, one.ran, &one.calls)
        };
        while let Some(other) = agreed.next_if(|other| is_same(other)) {
            names = format!("{names}, {}", other.family.name());
        }
        let calls: Vec<String> = one.calls.iter().map(|it| code(it)).collect();
        let (id, ran, calls) = (code(&one.scenario), one.ran, calls.join("<br>"));
        let _ = writeln!(text, "| {id} ({names}) | {ran} | {calls} |");
    }
}

/// Writes the documented behaviour of systems that this program does not run on.
fn systems(text: &mut String) {
    text.push_str("\n## Other systems\n\nFrom their sources, not measured.\n\n");
    for system in &SYSTEMS {
        let (scenario, description, source) = (system.scenario, system.description, system.source);
        let _ = writeln!(text, "- `{scenario}`: {description} Source: {source}.");
    }
}

fn one(comparison: &Comparison, difference: &Difference, text: &mut String) {
    let families = families(&difference.families);
    let id = code(&difference.scenario);
    let _ = writeln!(text, "\n### {id} ({families})\n");
    if let Some(scenario) = find(&difference.scenario) {
        let _ = writeln!(text, "{}.\n", capital(scenario.title));
    }
    text.push_str("| | kernels | seen |\n|---|---|---|\n");
    for (aspect, groups) in &difference.aspects {
        let among = members_of(groups);
        for group in groups {
            row(comparison, *aspect, group, &among, text);
        }
    }
    text.push('\n');
    for cause in &difference.causes {
        let _ = writeln!(text, "{}", reason(*cause));
    }
    if !difference.is_explained() {
        text.push_str("**Unexplained**: no known change explains it.\n");
    }
}

fn row(comparison: &Comparison, aspect: Aspect, group: &Group, among: &[usize], text: &mut String) {
    let seen: Vec<String> = group.lines.iter().map(|it| code(it)).collect();
    let _ = writeln!(
        text,
        "| {} | {} | {} |",
        aspect.name(),
        spelled(&comparison.span(&group.members, among)),
        seen.join("<br>"),
    );
}

fn availability(comparison: &Comparison, text: &mut String) {
    text.push_str("\n## Scenarios that some kernels cannot run\n\n");
    let unavailable = comparison.unavailable();
    if unavailable.is_empty() {
        text.push_str("None.\n");
        return;
    }
    text.push_str("| kernels | why | scenarios |\n|---|---|---|\n");
    for one in unavailable {
        let ids = one.scenarios.iter().map(|(id, names)| match names[..] {
            [] => code(id),
            _ => format!("{} ({})", code(id), families(names)),
        });
        let ids = ids.collect::<Vec<_>>().join(", ");
        for group in one.lacking {
            let span = spelled(&comparison.span(&group.members, &one.among));
            let why = code(&group.lines.join("; "));
            let _ = writeln!(text, "| {span} | {why} | {ids} |");
        }
    }
}

/// Returns the label of some kernels, as code.
fn spelled(span: &Span) -> String {
    match span {
        Span::Until(last) => format!("until {}", code(last)),
        Span::Since(first) => format!("since {}", code(first)),
        Span::Each(all) => all.iter().map(|it| code(it)).collect::<Vec<_>>().join(", "),
    }
}

fn capital(text: &str) -> String {
    // A call begins with its name, which has no other spelling.
    let first = text.split(' ').next();
    if first.is_some_and(|it| it.contains('(')) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Returns text from a report as inline code: HTML, links, images and mentions in it have no effect, and it can end
/// neither the code nor the table cell.
fn code(text: &str) -> String {
    let text = text
        .replace('`', "'")
        .replace('<', "‹")
        // A backslash before the escaped `|` would undo the escape.
        .replace('\\', "∖")
        .replace('|', "\\|");
    format!("`{text}`")
}

/// Returns text of this program as it is, or as code if it has Markdown characters, which only text from a report
/// brings.
fn careful(text: &str) -> String {
    if text.contains(|it: char| "[]<>!@*&\\`|".contains(it)) {
        code(text)
    } else {
        text.to_owned()
    }
}

/// Escapes text of this program for a table cell.
fn plain(text: &str) -> String {
    text.replace('|', "\\|")
}
