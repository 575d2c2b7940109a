//! The form for pages and issue trackers: tables in Markdown, with a sentence and a source for each difference.

use std::fmt::Write as _;

use super::human::{families, reason};
use super::{Agreed, Aspect, Comparison, Difference, Group, Kind, members_of};
use crate::history::SYSTEMS;
use crate::scenario::find;

/// The comparison, as sections below a page's title; with `all`, what agrees as well.
#[must_use]
pub fn text(comparison: &Comparison, all: bool) -> String {
    let mut text =
        String::from("## Kernels\n\n| kernel | release | trials | trace |\n|---|---|---|---|\n");
    for subject in &comparison.subjects {
        let trace = if subject.coverage.is_some() {
            "yes"
        } else {
            "no"
        };
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {trace} |",
            cell(&subject.label),
            cell(&subject.release),
            subject.trials
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
            "What kernels say of the same behaviour",
        ),
    ] {
        let _ = writeln!(text, "\n## {heading}");
        if of(kind).next().is_none() {
            text.push_str("\nNo difference.\n");
        }
        for difference in of(kind) {
            one(comparison, difference, &mut text);
        }
    }
    text.push_str("\n## What can be asked\n");
    if comparison.told.is_empty() {
        text.push_str("\nThe same everywhere.\n");
    } else {
        text.push_str("\n| | by | not by | source |\n|---|---|---|---|\n");
    }
    for told in &comparison.told {
        let mut among: Vec<usize> = told.by.iter().chain(&told.not_by).copied().collect();
        among.sort_unstable();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            cell(&told.what),
            comparison.span(&told.by, &among),
            comparison.span(&told.not_by, &among),
            told.cause
                .map(reason)
                .map_or_else(String::new, |it| cell(&it)),
        );
    }
    availability(comparison, &mut text);
    inconclusive(comparison, &mut text);
    if all {
        agreed(comparison, &mut text);
    }
    systems(&mut text);
    text
}

fn inconclusive(comparison: &Comparison, text: &mut String) {
    if comparison.inconclusive.is_empty() {
        return;
    }
    text.push_str("\n## Not compared\n\nOf these trials nothing can be said.\n\n");
    for (scenario, family, place, why) in &comparison.inconclusive {
        let label = cell(&comparison.subjects[*place].label);
        let (id, why) = (cell(scenario), cell(why));
        let _ = writeln!(text, "- `{id}` ({}) on {label}: {why}", family.name());
    }
}

/// What differs nowhere; families that do the same in one row.
fn agreed(comparison: &Comparison, text: &mut String) {
    text.push_str("\n## The same everywhere\n\n| scenario | kernels | calls |\n|---|---|---|\n");
    let mut agreed = comparison.agreed.iter().peekable();
    while let Some(one) = agreed.next() {
        let mut names = one.family.name().to_owned();
        let is_same = |other: &&Agreed| {
            (&other.scenario, other.ran, &other.calls) == (&one.scenario, one.ran, &one.calls)
        };
        while let Some(other) = agreed.next_if(|other| is_same(other)) {
            names = format!("{names}, {}", other.family.name());
        }
        let calls: Vec<String> = one
            .calls
            .iter()
            .map(|it| format!("`{}`", cell(it)))
            .collect();
        let (id, ran, calls) = (cell(&one.scenario), one.ran, calls.join("<br>"));
        let _ = writeln!(text, "| `{id}` ({names}) | {ran} | {calls} |");
    }
}

/// What is known of systems that this program does not run on.
fn systems(text: &mut String) {
    text.push_str("\n## Other systems\n\nRead in their sources, not measured.\n\n");
    for system in &SYSTEMS {
        let (scenario, says, source) = (system.scenario, system.says, system.source);
        let _ = writeln!(text, "- `{scenario}`: {says} Source: {source}.");
    }
}

fn one(comparison: &Comparison, difference: &Difference, text: &mut String) {
    let families = families(&difference.families);
    let id = cell(&difference.scenario);
    let _ = writeln!(text, "\n### `{id}` ({families})\n");
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
        text.push_str("**Unexplained**: nothing that is known accounts for it.\n");
    }
}

fn row(comparison: &Comparison, aspect: Aspect, group: &Group, among: &[usize], text: &mut String) {
    let seen: Vec<String> = group
        .lines
        .iter()
        .map(|it| format!("`{}`", cell(it)))
        .collect();
    let _ = writeln!(
        text,
        "| {} | {} | {} |",
        aspect.name(),
        cell(&comparison.span(&group.members, among).to_string()),
        seen.join("<br>"),
    );
}

fn availability(comparison: &Comparison, text: &mut String) {
    text.push_str("\n## What cannot be run everywhere\n\n");
    let unavailable = comparison.unavailable();
    if unavailable.is_empty() {
        text.push_str("Everything can.\n");
        return;
    }
    text.push_str("| kernels | why | scenarios |\n|---|---|---|\n");
    let among: Vec<usize> = (0..comparison.subjects.len()).collect();
    for (groups, ids) in unavailable {
        let ids: Vec<String> = ids.iter().map(|id| format!("`{}`", cell(id))).collect();
        for group in groups {
            let span = comparison.span(&group.members, &among).to_string();
            let (span, why) = (cell(&span), cell(&group.lines.join("; ")));
            let _ = writeln!(text, "| {span} | {why} | {} |", ids.join(", "));
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// What can end neither a table's cell nor a piece of code, nor be taken for HTML.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "‹").replace('`', "'")
}
