//! The form for people: 80 columns, however many kernels there are.

use std::fmt::Write as _;

use anstyle::Style;

use super::{Aspect, Cause, Comparison, Difference, Group, Kind, Told, members_of};
use crate::report::human::{BAD, LABEL, wrap};
use crate::scenario::{Family, find};

/// Columns of a line.
const WIDTH: usize = 80;

/// Where what belongs to a word at the beginning of a line stands.
const INDENT: usize = 11;

/// The whole comparison; with `all`, what agrees as well.
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
            "BEHAVIOUR: calls end otherwise, or other RSTs are sent",
        ),
        (
            Kind::Observability,
            "OBSERVABILITY: the same behaviour, and the kernel says other things of it",
        ),
    ] {
        let told: &[Told] = match kind {
            Kind::Observability => &comparison.told,
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
            heading_of("what can be asked", "", LABEL, &mut text);
        }
        for told in told {
            fact(comparison, told, &mut text);
        }
    }
    availability(comparison, &mut text);
    inconclusive(comparison, &mut text);
    if all {
        agreed(comparison, &mut text);
    }
    text.push('\n');
    text.push_str(&summary(comparison));
    text
}

fn kernels(comparison: &Comparison, text: &mut String) {
    let subjects = &comparison.subjects;
    let width = subjects.iter().map(|it| it.label.len()).max().unwrap_or(0);
    let _ = writeln!(text, "{} reports, oldest kernel first:", subjects.len());
    for subject in subjects {
        let release = if subject.release == subject.label {
            String::new()
        } else {
            format!("{}, ", subject.release)
        };
        let trace = match (&subject.coverage, subject.witnesses.counters) {
            (Some(_), _) => "",
            (None, true) => ", no kernel trace",
            (None, false) => ", no word of the kernel",
        };
        let said = format!("{release}{} trials{trace}", subject.trials);
        hanging(
            &format!("  {:width$}", subject.label),
            &said,
            width + 4,
            text,
        );
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

/// `ipv4, ipv6`.
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

fn because(causes: &[Cause], text: &mut String) {
    if causes.is_empty() {
        let _ = writeln!(
            text,
            "  {BAD}UNEXPLAINED{BAD:#}: nothing that is known here accounts for it"
        );
    }
    let mut word = "because";
    for cause in causes {
        hanging(&format!("  {word}"), &reason(*cause), INDENT, text);
        word = "and";
    }
}

/// A sentence, and where it is from.
pub(super) fn reason(cause: Cause) -> String {
    match cause {
        Cause::Patch(patch) => format!("{} {}.", patch.says, patch.source()),
        Cause::System(system) => format!("{} {}.", system.says, system.source),
    }
}

fn fact(comparison: &Comparison, told: &Told, text: &mut String) {
    let mut among: Vec<usize> = told.by.iter().chain(&told.not_by).copied().collect();
    among.sort_unstable();
    let by = comparison.span(&told.by, &among);
    let not_by = comparison.span(&told.not_by, &among);
    let cause = match told.cause {
        Some(cause) => reason(cause),
        None => String::new(),
    };
    let said = format!("{}: {by}; not {not_by}. {cause}", told.what);
    hanging("  ·", said.trim_end(), 4, text);
}

fn availability(comparison: &Comparison, text: &mut String) {
    let unavailable = comparison.unavailable();
    if unavailable.is_empty() {
        return;
    }
    title("AVAILABILITY: not every kernel can run these", text);
    let among: Vec<usize> = (0..comparison.subjects.len()).collect();
    for (groups, ids) in unavailable {
        text.push('\n');
        for group in groups {
            let span = comparison.span(&group.members, &among);
            hanging("", &format!("{span}: {}", group.lines.join("; ")), 2, text);
        }
        hanging("", &ids.join(", "), 6, text);
    }
}

fn inconclusive(comparison: &Comparison, text: &mut String) {
    if comparison.inconclusive.is_empty() {
        return;
    }
    title("INCONCLUSIVE: these trials are not compared", text);
    text.push('\n');
    for (scenario, family, place, why) in &comparison.inconclusive {
        let label = &comparison.subjects[*place].label;
        let said = format!("{scenario} {} on {label}: {why}", family.name());
        hanging("  ·", &said, 4, text);
    }
}

fn agreed(comparison: &Comparison, text: &mut String) {
    title("AGREED: the same everywhere", text);
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

/// How much of what there is, in two lines.
#[must_use]
pub fn summary(comparison: &Comparison) -> String {
    let of = |kind| {
        let all = comparison.differences.iter();
        all.filter(move |it| it.kind == kind)
    };
    let scenarios = |kind| {
        let mut ids: Vec<_> = of(kind).map(|it| it.scenario.as_str()).collect();
        ids.dedup();
        ids.len()
    };
    let behaviour = scenarios(Kind::Behaviour);
    let unexplained = comparison.unexplained().count();
    let mut text = match behaviour {
        0 => "no difference of behaviour".to_owned(),
        1 => "behaviour differs in 1 scenario".to_owned(),
        many => format!("behaviour differs in {many} scenarios"),
    };
    let _ = match unexplained {
        0 if behaviour > 0 => write!(text, ", all of it explained"),
        0 => Ok(()),
        many => write!(text, ", {BAD}{many} unexplained{BAD:#}"),
    };
    let said = scenarios(Kind::Observability) + comparison.told.len();
    let same = comparison.agreed.len();
    let count = |number: usize, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    let said = count(said, "difference", "differences");
    let same = count(same, "trial is", "trials are");
    let _ = writeln!(
        text,
        "\n{said} of observability; {same} the same everywhere"
    );
    text
}

/// A word at the beginning of a line and a text beside it, wrapped.
fn hanging(word: &str, said: &str, indent: usize, text: &mut String) {
    let mut lead = word.to_owned();
    // Ids and calls are not to be torn apart at their hyphens; what is longer than a line is.
    for line in wrap(said, WIDTH - indent) {
        let _ = writeln!(text, "{}", format!("{lead:<indent$}{line}").trim_end());
        lead.clear();
    }
}
