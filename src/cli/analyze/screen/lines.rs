//! Lines of single failures, port scans and series.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::Style;

use super::cells::Key;
use super::{Held, Line, Look, Row, count, count_of};
use crate::cli::analyze::facts::Origin;
use crate::cli::analyze::human::in_digits;
use crate::cli::analyze::times::{Zone, duration};
use crate::report::human::{BAD, LABEL, wrap};
use rstproof_core::analyze::continuation::FileNames;

/// Indentation of what follows the first line of a failure.
const INDENT: usize = 4;

/// Width from which on there is room for microseconds.
const WIDE: usize = 100;

/// How much of the explanation of each failure is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    All,
    /// The condition of the error, if there is one.
    Condition,
}

/// Returns a line about the zone and the day of the times.
pub(super) fn times(zone: Zone) -> String {
    format!("  {}\n", zone.caption())
}

/// Returns the lines of a page. All failures are explained if that fits into so many lines, otherwise the first one of each kind as
/// far as there is room.
pub(super) fn page(
    lines: &[Line<'_>],
    files: &FileNames,
    look: &Look,
    zone: Zone,
    room: usize,
) -> String {
    let of = |line: &Line<'_>, detail: Detail| self::line(line, files, look, zone, detail);
    let all = |detail: Detail| lines.iter().map(move |it| (of(it, detail), detail));
    let explained: Vec<_> = all(Detail::All).collect();
    if count(&divided(&explained)) <= room {
        return divided(&explained);
    }
    let mut shown: Vec<_> = all(Detail::Condition).collect();
    let mut kinds = BTreeSet::new();
    for (nth, line) in lines.iter().enumerate() {
        if let Line::Single(held) = line
            && kinds.insert((held.row.facts.label, held.row.facts.outcome))
        {
            let short = std::mem::replace(&mut shown[nth], explained[nth].clone());
            if count(&divided(&shown)) > room {
                shown[nth] = short;
            }
        }
    }
    divided(&shown)
}

/// Joins the lines of failures. A blank line is before and after those that are explained.
fn divided(shown: &[(String, Detail)]) -> String {
    let mut text = String::new();
    for (nth, (lines, detail)) in shown.iter().enumerate() {
        // Lines of two kinds would be hard to distinguish without it: both may be indented.
        let before = nth.checked_sub(1).and_then(|it| shown.get(it));
        if before.is_some_and(|(_, before)| [*before, *detail].contains(&Detail::All)) {
            text.push('\n');
        }
        text += lines;
    }
    text
}

fn line(line: &Line<'_>, files: &FileNames, look: &Look, zone: Zone, detail: Detail) -> String {
    match line {
        Line::Single(Held { row: it, repeats }) => {
            row(it, *repeats, look, zone, detail == Detail::All)
        }
        Line::Series(key, cell, interval) => {
            let parts = [
                (time(zone, look, cell.first.1), Style::new()),
                (files.frame(cell.first.0), LABEL),
                (format!("{} → {}", key.client, key.server), Style::new()),
                (
                    key.outcome.name(),
                    error_style(key.outcome.errors().next().is_some()),
                ),
            ];
            let words = format!(
                "{} × {}{}: {}",
                in_digits(cell.count),
                interval.name(),
                match key.origin {
                    Origin::Reset(_) | Origin::Icmp(_) => format!(" from {}", key.origin.name()),
                    Origin::To(_) | Origin::Other => String::new(),
                },
                meaning(key)
            );
            flow(&parts, &words, look.width)
        }
        Line::Scan(key, ports, cell) => {
            let parts = [
                (time(zone, look, cell.first.1), Style::new()),
                (files.frame(cell.first.0), LABEL),
                (
                    format!("{} → {}", key.client, key.server.ip()),
                    Style::new(),
                ),
                (
                    key.outcome.name(),
                    error_style(key.outcome.errors().next().is_some()),
                ),
            ];
            let words = format!(
                "{} to {} within {}, as in a port scan: {}",
                count_of(cell.count, "attempt"),
                ports.name(),
                duration(cell.lasted()),
                meaning(key)
            );
            flow(&parts, &words, look.width)
        }
    }
}

/// Returns the lines of a failure.
pub(super) fn row(row: &Row, repeats: u64, look: &Look, zone: Zone, is_explained: bool) -> String {
    let facts = &row.facts;
    let [client, server] = facts.ends;
    let parts = [
        (time(zone, look, facts.at), Style::new()),
        (row.frame.clone(), LABEL),
        (format!("{client} → {server}"), Style::new()),
        (
            facts.outcome.name(),
            error_style(facts.outcome.errors().next().is_some()),
        ),
    ];
    let mut words = row.words.clone();
    if !is_explained {
        words += &row.condition;
    }
    if repeats > 0 {
        let _ = write!(words, "; followed by {}", count_of(repeats, "more RST"));
    }
    let mut text = flow(&parts, &words, look.width);
    if is_explained {
        for line in row.body.lines() {
            let deeper = line.len() - line.trim_start().len();
            let indent = INDENT + deeper.saturating_sub(2);
            indented(
                &mut text,
                line.trim_start(),
                look.width,
                (indent, indent + 2),
            );
        }
    }
    text
}

/// Returns the failure of a key in words, with the condition of its error.
fn meaning(key: &Key) -> String {
    let words = described(key.label.name(), key.label.meaning());
    let condition = key.outcome.condition();
    condition.map_or_else(|| words.clone(), |it| format!("{words}; {it}"))
}

/// Returns a name with its meaning, if it has one.
pub(super) fn described(name: String, meaning: &str) -> String {
    if meaning.is_empty() {
        name
    } else {
        format!("{name}: {meaning}")
    }
}

pub(super) fn time(zone: Zone, look: &Look, at: rstproof_core::time::Timestamp) -> String {
    zone.time(at, if look.width >= WIDE { 6 } else { 3 })
}

fn error_style(is_error: bool) -> Style {
    if is_error { BAD } else { Style::new() }
}

/// Puts the time, the frame, the addresses and the error of a failure in one line, and a text behind them: in the same line if
/// all of it fits there, else in lines of its own, with the error if that did not fit either.
fn flow(parts: &[(String, Style); 4], text: &str, width: usize) -> String {
    let [before @ .., (error, style)] = parts;
    // Its length is that without the style, which takes no columns.
    let error = (format!("{style}{error}{style:#}"), error.chars().count());
    let mut shown = String::new();
    let mut used = 0;
    for (part, style) in before {
        let length = part.chars().count();
        if used > 0 && used + 2 + length > width {
            shown += "\n    ";
            used = INDENT;
        } else if used > 0 {
            shown += "  ";
            used += 2;
        }
        let _ = write!(shown, "{style}{part}{style:#}");
        used += length;
    }
    let length = text.chars().count();
    if used + 2 + error.1 > width {
        shown.push('\n');
        indented(
            &mut shown,
            &format!("{}  {text}", error.0),
            width,
            (INDENT, INDENT + 2),
        );
    } else if used + 4 + error.1 + length <= width {
        let _ = writeln!(shown, "  {}  {text}", error.0);
    } else {
        let _ = writeln!(shown, "  {}", error.0);
        indented(&mut shown, text, width, (INDENT, INDENT + 2));
    }
    shown
}

/// Appends a text, wrapped, with an indentation of its first line and of all others.
fn indented(shown: &mut String, text: &str, width: usize, (first, others): (usize, usize)) {
    let lines = wrap(text, width - first.max(others));
    for (nth, line) in lines.iter().enumerate() {
        let indent = if nth == 0 { first } else { others };
        let _ = writeln!(shown, "{:indent$}{line}", "");
    }
}

/// Returns lines that are wrapped. What continues a line is indented by 6.
pub(super) fn wrapped(text: &str, width: usize) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        indented(&mut shown, line.trim_start(), width, (indent, INDENT + 2));
    }
    shown
}
