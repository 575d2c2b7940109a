//! Groups of failures: a table with their counts, and the histogram over time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::cells::{Cell, Interval, Key};
use super::lines::time;
use super::{GroupBy, MAX_LINES, Screen, count_of, further, more};
use crate::cli::analyze::facts::Facts;
use crate::cli::analyze::human::in_digits;
use crate::cli::analyze::times::{Zone, duration};
use crate::report::human::{LABEL, wrap};
use rstproof_core::analyze::continuation::FileNames;

/// Maximum number of minutes that are counted: those of a week.
const MAX_MINUTES: usize = 7 * 24 * 60;

/// Number of lines besides the rows of a table: histogram, caption, the line about what is left out, and two between them.
const AROUND: usize = 5;

/// Number of columns of the counts.
const COUNT: usize = 9;

/// Minimum number of groups that are shown, if there are so many, whatever else the page has.
const MIN_ROWS: usize = 3;

/// Failures in each minute.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    counts: BTreeMap<i64, Cell>,
    /// Number of failures in further minutes.
    others: u64,
}

impl Minutes {
    pub(super) fn add(&mut self, facts: &Facts) {
        let minute = Zone::minute(facts.at);
        if let Some(cell) = self.counts.get_mut(&minute) {
            cell.count += 1;
            if facts.frame < cell.first.0 {
                cell.first = (facts.frame, facts.at);
            }
        } else if self.counts.len() < MAX_MINUTES {
            self.counts.insert(minute, Cell::of(facts));
        } else {
            self.others += 1;
        }
    }
}

/// Row of the table.
struct Group {
    /// Columns after the count.
    names: Vec<String>,
    /// Clauses about the group.
    notes: Vec<String>,
    /// Meaning of the failure: shown at the first of its groups only.
    meaning: &'static str,
    cell: Cell,
}

/// Layout of the columns.
struct Columns {
    /// Widths of the columns after the count; none if long addresses leave no room to align them.
    widths: Vec<usize>,
    /// Width of a line.
    width: usize,
}

impl Columns {
    fn of(caption: &[&str], rows: &[Group], width: usize) -> Self {
        let length = |name: Option<&String>| name.map_or(0, |it| it.chars().count());
        let widest = |(nth, caption): (usize, &&str)| {
            let names = rows.iter().map(|it| length(it.names.get(nth)));
            names.chain([caption.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = caption.iter().enumerate().map(widest).collect();
        let all = COUNT + widths.iter().map(|it| it + 2).sum::<usize>();
        Self {
            widths: if all <= width { widths } else { Vec::new() },
            width,
        }
    }

    fn line<T: AsRef<str>>(&self, count: &str, names: &[T]) -> String {
        let mut line = format!("{count:>COUNT$}");
        for (nth, name) in names.iter().enumerate() {
            let (name, width) = (name.as_ref(), self.widths.get(nth).copied().unwrap_or(0));
            let _ = write!(line, "  {name:width$}");
        }
        line.trim_end().to_owned()
    }

    /// Returns the lines of a group: its columns, and its notes in the same line if all of them fit there.
    fn row(&self, group: &Group, first: &str, meaning: &str) -> String {
        let count = in_digits(group.cell.count);
        let notes = group.notes.iter().map(String::as_str);
        let notes: Vec<&str> = ([first, meaning].into_iter().filter(|it| !it.is_empty()))
            .chain(notes)
            .collect();
        let (row, notes) = (self.line(&count, &group.names), notes.join("; "));
        let lengths = [&row, &notes].map(|it| it.chars().count());
        if lengths.iter().sum::<usize>() + 2 <= self.width {
            return format!("{row}  {notes}\n");
        }
        let (row, notes) = match group.names.split_last() {
            Some((last, others)) if lengths[0] > self.width && !others.is_empty() => {
                (self.line(&count, others), format!("{last}; {notes}"))
            }
            _ => (row, notes),
        };
        let mut text = format!("{row}\n");
        let indent = COUNT + 2;
        for note in wrap(&notes, self.width - indent) {
            let _ = writeln!(text, "{:indent$}{note}", "");
        }
        text
    }
}

impl Screen {
    /// Returns the histogram and the table of groups, in so many lines.
    pub(super) fn groups(&self, files: &FileNames, zone: Zone, room: usize) -> String {
        let (caption, mut groups) = self.table(zone);
        let most = if self.look.group_by.is_none() {
            MAX_LINES
        } else {
            usize::MAX
        };
        // Minutes stay in the order of time.
        if self.look.group_by != Some(GroupBy::Minute) {
            groups.sort_by_key(|it| (Reverse(it.cell.count), it.cell.first.0));
        }
        let columns = Columns::of(caption, &groups[..groups.len().min(most)], self.look.width);
        let mut text = self.over_time();
        let _ = writeln!(text, "{LABEL}{}{LABEL:#}", columns.line("count", caption));
        let mut left = room.saturating_sub(AROUND);
        let mut explained = BTreeSet::new();
        let mut shown = 0;
        for group in groups.iter().take(most) {
            let (frame, at) = group.cell.first;
            let time = time(zone, &self.look, at);
            let first = format!("first {}, {time}", files.frame(frame));
            // Once is enough: the same words in ten rows hide what differs.
            let is_first = explained.insert(group.meaning);
            let row = columns.row(group, &first, if is_first { group.meaning } else { "" });
            let lines = row.lines().count();
            if lines > left && shown >= MIN_ROWS {
                break;
            }
            left = left.saturating_sub(lines);
            shown += 1;
            text += &row;
        }
        text += &left_out(&groups, shown);
        if self.minutes.others > 0 {
            let others = in_digits(self.minutes.others);
            let _ = writeln!(text, "{others:>COUNT$}  in further minutes");
        }
        text
    }

    /// Returns the captions of the columns, and the groups in no order.
    fn table(&self, zone: Zone) -> (&'static [&'static str], Vec<Group>) {
        match self.look.group_by {
            None => (
                &["failure", "source address", "error"],
                self.by_failure_source_and_error(),
            ),
            Some(GroupBy::Failure) => (
                &["failure"],
                self.by(|key| (key.label.name(), key.label.meaning())),
            ),
            Some(GroupBy::Source) => (&["source address"], self.by(|key| (key.origin.name(), ""))),
            Some(GroupBy::Errno) => (
                &["error"],
                self.by(|key| {
                    let (name, condition) = (key.outcome.name(), key.outcome.condition());
                    (
                        condition.map_or_else(|| name.clone(), |it| format!("{name}: {it}")),
                        "",
                    )
                }),
            ),
            Some(GroupBy::Minute) => {
                let minutes = self.minutes.counts.iter().map(|(minute, cell)| Group {
                    names: vec![zone.time(Zone::of_minute(*minute), 1).replace(":00.0", "")],
                    notes: Vec::new(),
                    meaning: "",
                    cell: cell.clone(),
                });
                (&["minute"], minutes.collect())
            }
        }
    }

    /// Groups all failures by a property, which has a name and perhaps a meaning.
    fn by(&self, property: impl Fn(&Key) -> (String, &'static str)) -> Vec<Group> {
        let scans = self.cells.scans().map(|(key, _, cell)| (key, cell));
        let mut groups: BTreeMap<(String, &'static str), Cell> = BTreeMap::new();
        for (key, cell) in self.cells.cells().chain(scans) {
            groups
                .entry(property(key))
                .and_modify(|it| it.merge(cell))
                .or_insert_with(|| cell.clone());
        }
        let groups = groups.into_iter().map(|((name, meaning), cell)| Group {
            names: vec![name],
            notes: Vec::new(),
            meaning,
            cell,
        });
        groups.collect()
    }

    /// Groups by failure, source and error. A port scan is a group of its own, whatever the source of each reply.
    fn by_failure_source_and_error(&self) -> Vec<Group> {
        let mut groups: BTreeMap<_, (Cell, Option<Interval>)> = BTreeMap::new();
        for (key, cell) in self.cells.cells() {
            groups
                .entry((key.label, key.origin, key.outcome))
                .and_modify(|(it, interval)| {
                    it.merge(cell);
                    *interval = None;
                })
                .or_insert_with(|| (cell.clone(), cell.interval()));
        }
        let groups = groups
            .into_iter()
            .map(|((label, origin, outcome), (cell, interval))| {
                let every = interval.map(Interval::name);
                Group {
                    names: vec![label.name(), origin.name(), outcome.name()],
                    notes: every.into_iter().chain(outcome.condition()).collect(),
                    meaning: label.meaning(),
                    cell,
                }
            });
        let scans = self.cells.scans().map(|(key, ports, cell)| Group {
            names: vec![
                key.label.name(),
                key.server.ip().to_string(),
                key.outcome.name(),
            ],
            notes: vec![format!(
                "{} to {}, as in a port scan",
                key.client,
                ports.name()
            )],
            meaning: key.label.meaning(),
            cell: cell.clone(),
        });
        groups.chain(scans).collect()
    }

    /// Returns the histogram; empty if all failures are at one time.
    fn over_time(&self) -> String {
        const NAME: &str = "over time  ";
        /// Number of columns for the scale behind the bars.
        const SCALE: usize = 30;
        let columns = self.look.width - NAME.len() - SCALE;
        let Some(chart) = self.histogram.chart(columns) else {
            return String::new();
        };
        format!(
            "{LABEL}{NAME}{LABEL:#}{}  {} each, at most {}\n\n",
            chart.bars,
            duration(chart.column_ns),
            in_digits(chart.peak)
        )
    }

    /// Returns a line about what the page leaves out, and how to see it.
    pub(super) fn notes(&self, files: &FileNames) -> String {
        let mut text = further(self.repeats);
        if self.cells.is_cut {
            text += "  there were too many addresses to count each; the rest is counted as \"other addresses\"\n";
        }
        let is_listed = self.look.is_live;
        let list = (!is_listed).then_some("--list or -v shows all");
        text + &more(list, files)
    }
}

/// Returns a line about the groups after the first `shown`; empty if there are none.
fn left_out(groups: &[Group], shown: usize) -> String {
    let others = &groups[shown..];
    if others.is_empty() {
        return String::new();
    }
    let count: u64 = others.iter().map(|it| it.cell.count).sum();
    format!(
        "{:>COUNT$}  in {}: {} groups in all\n",
        in_digits(count),
        count_of(others.len() as u64, "more group"),
        in_digits(groups.len() as u64)
    )
}
