//! Human output of `compare`: 80 columns, for any number of kernels.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::Style;

use super::{
    Alone, Aspect, Comparison, Difference, DifferenceCause, Group, Kind, MAX_LINES,
    ObservabilityDifference, Subject, members_of,
};
use crate::report::human::{BAD, LABEL, wrap};
use rstproof_core::evidence::SourceId;
use rstproof_core::scenario::{Family, find};

/// Maximum length of a label that shares its line with text. A longer label has its own line.
const MAX_LABEL_WIDTH: usize = 40;

/// Minimum number of columns that text is wrapped to.
const NARROWEST: usize = 20;

/// Width of a line in columns.
const WIDTH: usize = 80;

/// Column at which the text beside a leading word begins.
const INDENT: usize = 11;

/// Renders the whole comparison. With `all`, it includes the scenarios without differences.
#[must_use]
pub fn text(comparison: &Comparison, all: bool) -> String {
    let mut text = String::new();
    kernels(comparison, &mut text);
    let of = |kind| {
        comparison
            .differences
            .iter()
            .filter(move |it| it.kind == kind)
    };
    for (kind, heading) in [
        (
            Kind::Behaviour,
            "BEHAVIOUR: system calls return different results, or different RSTs are sent",
        ),
        (
            Kind::Observability,
            "OBSERVABILITY: same behaviour, different kernel reports",
        ),
    ] {
        let told: &[ObservabilityDifference] = match kind {
            Kind::Observability => &comparison.observability_differences,
            _ => &[],
        };
        if of(kind).next().is_none() && told.is_empty() {
            continue;
        }
        title(heading, &mut text);
        for difference in of(kind) {
            one(comparison, difference, &mut text);
        }
        if !told.is_empty() {
            heading_of("what each kernel can report", "", LABEL, &mut text);
        }
        for told in told {
            fact(comparison, told, &mut text);
        }
    }
    availability(comparison, &mut text);
    inconclusive(comparison, &mut text);
    not_compared(comparison, &mut text);
    if all {
        agreed(comparison, &mut text);
    }
    text.push('\n');
    text.push_str(&summary(comparison));
    text
}

fn kernels(comparison: &Comparison, text: &mut String) {
    let subjects = &comparison.subjects;
    let lengths = subjects.iter().map(|it| it.label.chars().count());
    // One very long label must not push the text of all others to the right.
    let width = lengths
        .filter(|it| *it <= MAX_LABEL_WIDTH)
        .max()
        .unwrap_or(0);
    let is_sorted = subjects.iter().all(|it| it.kernel.version.is_some());
    let order = if is_sorted {
        ", oldest kernel first"
    } else {
        ""
    };
    // Results of writing are ignored here and below: writing to a `String` cannot fail.
    let _ = writeln!(text, "{} reports{order}:", subjects.len());
    let programs: BTreeSet<&String> = subjects.iter().map(|it| &it.program).collect();
    for subject in subjects {
        let release = if subject.release == subject.label {
            String::new()
        } else {
            format!("{}, ", subject.release)
        };
        let trace = match (
            subject.evidence_sources.has(SourceId::KernelTrace),
            subject.evidence_sources.has(SourceId::Counters),
        ) {
            (true, _) => "",
            (false, true) => ", no kernel trace",
            (false, false) => ", no kernel trace or counters",
        };
        // Show the version if it differs: another version may have other scripts.
        let program = match programs.len() {
            1 => String::new(),
            _ => format!(", by rstproof {}", subject.program),
        };
        let said = format!("{release}{}{trace}{program}", subject.tally());
        if subject.label.chars().count() > width {
            hanging("", &subject.label, 2, text);
            hanging("", &said, width + 4, text);
        } else {
            let lead = format!("  {:width$}", subject.label);
            hanging(&lead, &said, width + 4, text);
        }
    }
}

fn title(heading: &str, text: &mut String) {
    let _ = writeln!(text, "\n{LABEL}{heading}{LABEL:#}");
}

fn heading_of(name: &str, after: &str, style: Style, text: &mut String) {
    let _ = writeln!(text, "\n{style}{name}{style:#}{after}");
}

fn one(comparison: &Comparison, difference: &Difference, text: &mut String) {
    let families = families(&difference.families);
    heading_of(&difference.scenario, &format!("  {families}"), LABEL, text);
    if let Some(scenario) = find(&difference.scenario) {
        for line in wrap(scenario.title, WIDTH - 2) {
            let _ = writeln!(text, "  {line}");
        }
    }
    for (aspect, groups) in &difference.aspects {
        aspect_of(comparison, *aspect, groups, text);
    }
    if difference.kind != Kind::Availability {
        because(&difference.causes, text);
    }
}

/// Returns the names of families, separated by commas: `ipv4, ipv6`.
pub(super) fn families(families: &[Family]) -> String {
    let names: Vec<_> = families.iter().map(|it| it.name()).collect();
    names.join(", ")
}

fn aspect_of(comparison: &Comparison, aspect: Aspect, groups: &[Group], text: &mut String) {
    let among = members_of(groups);
    let mut word = aspect.name();
    for group in groups {
        let span = comparison.span(&group.members, &among).to_string();
        hanging(&format!("  {word}"), &span, INDENT, text);
        for line in &group.lines {
            hanging("", line, INDENT + 4, text);
        }
        word = "";
    }
}

fn because(causes: &[DifferenceCause], text: &mut String) {
    if causes.is_empty() {
        let _ = writeln!(
            text,
            "  {BAD}UNEXPLAINED{BAD:#}: no known change explains it"
        );
    }
    let mut word = "because";
    for cause in causes {
        hanging(&format!("  {word}"), &reason(*cause), INDENT, text);
        word = "and";
    }
}

/// Returns the cause as a sentence, with its source.
pub(super) fn reason(cause: DifferenceCause) -> String {
    match cause {
        DifferenceCause::Patch(patch) => format!("{} {}.", patch.description, patch.source()),
        DifferenceCause::System(system) => format!("{} {}.", system.description, system.source),
    }
}

fn fact(comparison: &Comparison, told: &ObservabilityDifference, text: &mut String) {
    let mut among: Vec<usize> = told
        .available_on
        .iter()
        .chain(&told.missing_on)
        .copied()
        .collect();
    among.sort_unstable();
    let by = comparison.span(&told.available_on, &among);
    let not_by = comparison.span(&told.missing_on, &among);
    let cause = match told.cause {
        Some(cause) => reason(cause),
        None => String::new(),
    };
    let said = format!("{}: {by}; not {not_by}. {cause}", told.feature);
    hanging("  ·", said.trim_end(), 4, text);
}

fn availability(comparison: &Comparison, text: &mut String) {
    let unavailable = comparison.unavailable();
    if unavailable.is_empty() {
        return;
    }
    title("AVAILABILITY: scenarios that some kernels cannot run", text);
    for one in unavailable {
        text.push('\n');
        for group in one.lacking {
            let span = comparison.span(&group.members, &one.among);
            hanging("", &format!("{span}: {}", group.lines.join("; ")), 2, text);
        }
        let ids = one
            .scenarios
            .iter()
            .map(|(id, families)| match families[..] {
                [] => (*id).to_owned(),
                _ => format!("{id} ({})", self::families(families)),
            });
        hanging("", &ids.collect::<Vec<_>>().join(", "), 6, text);
    }
}

/// Writes the section on scenarios that were not compared.
fn not_compared(comparison: &Comparison, text: &mut String) {
    let Comparison {
        subjects,
        alone,
        missing,
        ..
    } = comparison;
    if alone.is_empty() && missing.is_empty() {
        return;
    }
    title(
        "NOT COMPARED: scenarios that fewer than two kernels ran",
        text,
    );
    text.push('\n');
    list(alone, |it| describe_alone(it, subjects), text);
    let not_run = |(place, absent): &(usize, Vec<_>)| {
        format!(
            "{} did not run {} of the trials in the other reports",
            subjects[*place].label,
            absent.len()
        )
    };
    list(missing, not_run, text);
}

fn describe_alone(one: &Alone, subjects: &[Subject]) -> String {
    let by = match one.ran {
        Some(place) => format!("only {} ran it", subjects[place].label),
        None => "no kernel ran it".to_owned(),
    };
    format!("{} {}: {by}", one.scenario, one.family.name())
}

/// Writes the first items of a list, at most [`MAX_LINES`], and how many more there are.
fn list<T>(items: &[T], describe: impl Fn(&T) -> String, text: &mut String) {
    for item in items.iter().take(MAX_LINES) {
        hanging("  ·", &describe(item), 4, text);
    }
    if let Some(more) = items.len().checked_sub(MAX_LINES).filter(|it| *it > 0) {
        let _ = writeln!(text, "  … {more} more …");
    }
}

fn inconclusive(comparison: &Comparison, text: &mut String) {
    if comparison.inconclusive.is_empty() {
        return;
    }
    title("INCONCLUSIVE: trials that are not compared", text);
    text.push('\n');
    list(
        &comparison.inconclusive,
        |(scenario, family, place, why)| {
            let label = &comparison.subjects[*place].label;
            format!("{scenario} {} on {label}: {why}", family.name())
        },
        text,
    );
}

fn agreed(comparison: &Comparison, text: &mut String) {
    title("AGREED: same on every kernel that ran them", text);
    for agreed in &comparison.agreed {
        heading_of(
            &agreed.scenario,
            &format!("  {}  {} kernels", agreed.family.name(), agreed.ran),
            Style::new(),
            text,
        );
        for call in &agreed.calls {
            hanging("", call, 4, text);
        }
    }
}

/// Returns the numbers of differences and agreements, in two lines.
#[must_use]
pub fn summary(comparison: &Comparison) -> String {
    let of = |kind| {
        let all = comparison.differences.iter();
        all.filter(move |it| it.kind == kind)
    };
    let scenarios = |kind, unexplained: bool| {
        let all = of(kind).filter(|it| !unexplained || !it.is_explained());
        let ids: BTreeSet<_> = all.map(|it| &it.scenario).collect();
        ids.len()
    };
    let behaviour = scenarios(Kind::Behaviour, false);
    let unexplained = scenarios(Kind::Behaviour, true);
    let mut text = match behaviour {
        0 if comparison.is_empty() => "nothing was compared".to_owned(),
        0 => "no difference in behaviour".to_owned(),
        1 => "behaviour differs in 1 scenario".to_owned(),
        many => format!("behaviour differs in {many} scenarios"),
    };
    let _ = match unexplained {
        0 if behaviour == 1 => write!(text, " (explained)"),
        0 if behaviour > 1 => write!(text, " (all explained)"),
        0 => Ok(()),
        many => write!(text, ", {BAD}{many} unexplained{BAD:#}"),
    };
    let said = scenarios(Kind::Observability, false) + comparison.observability_differences.len();
    let unexplained = match scenarios(Kind::Observability, true) {
        0 => String::new(),
        many => format!(", {BAD}{many} unexplained{BAD:#}"),
    };
    let same = comparison.agreed.len();
    let count = |number: usize, one: &str, many: &str| match number {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    let said = count(
        said,
        "observability difference",
        "observability differences",
    );
    let same = count(
        same,
        "trial identical on all kernels that ran it",
        "trials identical on all kernels that ran them",
    );
    let _ = writeln!(text, "\n{said}{unexplained}; {same}");
    text
}

/// Writes a word at the beginning of a line with a text beside it, wrapped.
fn hanging(word: &str, said: &str, indent: usize, text: &mut String) {
    let mut lead = word.to_owned();
    // Ids and calls are not broken at their hyphens, unless they are longer than a line.
    for line in wrap(said, WIDTH.saturating_sub(indent).max(NARROWEST)) {
        let _ = writeln!(text, "{}", format!("{lead:<indent$}{line}").trim_end());
        lead.clear();
    }
}
