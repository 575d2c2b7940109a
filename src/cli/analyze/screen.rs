//! Screen of failures: the answer on one page, whatever the size of the capture.
//!
//! Up to [`MAX_LINES`] failures are lines in the order of their frames, explained as far as a page has room. More are counted in
//! groups. Rows are held only until it is clear that they are too many for lines, so the memory does not depend on their number.

mod cells;
mod groups;
mod histogram;
mod lines;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;

use self::cells::{Cell, Cells, Interval, Key, Ports};
use self::groups::Minutes;
use self::histogram::Histogram;
use super::facts::{EventKind, Facts};
use super::human::{in_digits, summary, text};
use super::join::clocks;
use super::renderer::{Item, View};
use super::selection::Selection;
use super::times::Zone;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Cause, Summary, Totals};
use rstproof_core::file::TextClock;
use rstproof_core::time::Timestamp;

/// Maximum number of failures that are shown one by one.
const MAX_LINES: usize = 10;

/// Maximum number of lines of a page.
const PAGE: usize = 40;

/// Maximum number of rows that are held until it is clear whether they fit a page. Several failures may become one line.
const MAX_HELD: usize = 256;

/// Maximum length of the text in bytes that `--list` keeps to sort it. Failures without an RST are known only when their
/// connection ends, after RSTs of later frames.
const MAX_SORTED: usize = 32 << 20;

/// Maximum number of failures that a page explains, if it lists them. The RSTs of connections that last to the end of a capture are all
/// reported then, before it is known that they are too many, so the number of their explanations is bounded.
pub(super) const MAX_EXPLAINED: usize = 1 << 12;

/// Property by which failures are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    /// Failure or cause
    Failure,
    /// Source address of the RST or the ICMP error
    Source,
    /// Error of the application
    Errno,
    /// Minute of the time
    Minute,
}

/// Options of the screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// True if only the summary is shown.
    pub(super) quiet: bool,
    /// True if everything known is shown.
    pub(super) verbose: bool,
    /// True if all failures are shown one by one.
    pub(super) list: bool,
    pub(super) group_by: Option<GroupBy>,
    pub(super) utc: bool,
    /// True if the input may go on for ever, so that a failure is shown when it happens.
    pub(super) is_live: bool,
    /// Number of columns.
    pub(super) width: usize,
    /// Meaning of the times.
    pub(super) clock: TextClock,
}

impl Look {
    /// Returns true if failures are shown one by one in any case.
    pub(super) fn lists_all(&self) -> bool {
        self.list || self.verbose || self.is_live
    }
}

/// Failure as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) facts: Facts,
    /// Failure in words, with its sender and the condition of its error.
    pub(super) words: String,
    /// Condition of the error; empty if there is none, or if `body` is shown.
    pub(super) condition: String,
    /// Name of the frame.
    pub(super) frame: String,
    /// Explanation: lines that are indented by two.
    pub(super) body: String,
}

/// Row with the frames of the RSTs that only repeat it.
#[derive(Debug)]
struct Held {
    row: Row,
    repeats: u64,
}

/// Numbers of failures by their kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FailureCounts {
    pub(super) resets: u64,
    pub(super) icmp_errors: u64,
    /// Connections that failed without either.
    pub(super) others: u64,
}

impl FailureCounts {
    fn add(&mut self, kind: EventKind) {
        match kind {
            EventKind::Reset => self.resets += 1,
            EventKind::Icmp => self.icmp_errors += 1,
            EventKind::Connection => self.others += 1,
        }
    }

    pub(super) fn sum(self) -> u64 {
        self.resets + self.icmp_errors + self.others
    }
}

impl AddAssign for FailureCounts {
    fn add_assign(&mut self, other: Self) {
        self.resets += other.resets;
        self.icmp_errors += other.icmp_errors;
        self.others += other.others;
    }
}

/// One line of a page: a failure, or several that belong together.
enum Line<'a> {
    Single(&'a Held),
    Series(&'a Key, &'a Cell, Interval),
    Scan(&'a Key, &'a Ports, &'a Cell),
}

impl Line<'_> {
    fn frame(&self) -> u32 {
        match self {
            Self::Single(held) => held.row.facts.frame,
            Self::Series(_, cell, _) | Self::Scan(_, _, cell) => cell.first.0,
        }
    }
}

/// Screen of one capture.
#[derive(Debug)]
pub(super) struct Screen {
    look: Look,
    selection: Selection,
    /// Text of the options that select, as the user wrote them.
    selected_by: String,
    zone: Option<Zone>,
    began: Timestamp,
    all: FailureCounts,
    shown: FailureCounts,
    /// Number of failures that are shown, or would be at another time.
    candidates: usize,
    /// Number of failures that would be shown if `--from` and `--to` were exchanged.
    reversed: u64,
    /// Number of RSTs that only repeat one that is shown.
    repeats: u64,
    cells: Cells,
    histogram: Histogram,
    minutes: Minutes,
    held: Vec<Held>,
    /// True once the failures are too many for lines. The threads that make their texts read it.
    is_crowded: Arc<AtomicBool>,
    /// Lines of `--list` by frame and number, and their length in bytes.
    sorted: BTreeMap<(u32, u64), String>,
    sorted_len: usize,
    /// True once a line was printed.
    has_begun: bool,
}

impl Screen {
    pub(super) fn new(
        look: Look,
        selection: Selection,
        selected_by: String,
        is_crowded: Arc<AtomicBool>,
    ) -> Self {
        Self {
            look,
            selection,
            selected_by,
            zone: None,
            began: Timestamp::default(),
            all: FailureCounts::default(),
            shown: FailureCounts::default(),
            candidates: 0,
            reversed: 0,
            repeats: 0,
            cells: Cells::default(),
            histogram: Histogram::new(),
            minutes: Minutes::default(),
            held: Vec::new(),
            is_crowded,
            sorted: BTreeMap::new(),
            sorted_len: 0,
            has_begun: false,
        }
    }

    fn zone_at(&mut self, totals: &Totals, at: Timestamp) -> Zone {
        let look = &self.look;
        let began = totals.began.unwrap_or(at);
        *self.zone.get_or_insert_with(|| {
            self.began = began;
            Zone::of_clock(began, look.utc, look.clock)
        })
    }

    /// Takes a failure, and returns what is to be printed at once. Rows come in the order of the capture.
    fn take_row(&mut self, row: Row, totals: &Totals) -> String {
        let facts = &row.facts;
        let zone = self.zone_at(totals, facts.at);
        self.candidates += usize::from(self.selection.may_show(facts));
        // Counted before the selection: the summary is that of the whole capture.
        self.all.add(facts.kind);
        if !self.selection.shows(facts, self.began, zone) {
            let is_reversed = self.selection.shows_reversed(facts, self.began, zone);
            self.reversed += u64::from(is_reversed);
            return String::new();
        }
        self.shown.add(facts.kind);
        if self.look.quiet {
            return String::new();
        }
        if facts.repeats_reset() && self.folds_repeat(facts) {
            self.repeats += 1;
            if !self.look.lists_all() {
                return String::new();
            }
        } else {
            self.cells.add(facts);
            self.histogram.add(facts.at);
            if self.look.group_by == Some(GroupBy::Minute) {
                self.minutes.add(facts);
            }
        }
        if self.look.lists_all() {
            return self.list(&row, zone);
        }
        self.hold(row);
        String::new()
    }

    /// Counts an RST that only repeats an earlier one at that one. Returns false if that one is not shown.
    fn folds_repeat(&mut self, facts: &Facts) -> bool {
        // Those that `--failure duplicate` asks for have lines of their own.
        if self.selection.is_failure(Cause::Duplicate.id()) {
            return false;
        }
        let is_original = |held: &&mut Held| {
            let other = &held.row.facts;
            other.connection == facts.connection && other.kind == EventKind::Reset
        };
        if let Some(held) = self.held.iter_mut().rev().find(is_original) {
            held.repeats += 1;
            return true;
        }
        // Rows are not held any more, or were printed.
        self.is_crowded.load(Ordering::Relaxed) || self.look.lists_all()
    }

    fn hold(&mut self, row: Row) {
        if self.is_crowded.load(Ordering::Relaxed) {
            return;
        }
        self.held.push(Held { row, repeats: 0 });
        // Thousands of failures may be one port scan or one series, and leave a page for the others. Their rows go only when the
        // vector is full, because a series may still turn out to be none.
        if self.held.len() >= MAX_HELD {
            let cells = &self.cells;
            self.held.retain(|held| !cells.folds(&held.row.facts));
            // Half of the vector is free again at least, so that it is not searched for every row.
            if self.held.len() >= MAX_HELD / 2 {
                self.is_crowded.store(true, Ordering::Relaxed);
                self.held = Vec::new();
            }
        }
    }

    /// Adds a failure to the list, and returns what is to be printed at once.
    fn list(&mut self, row: &Row, zone: Zone) -> String {
        let mut text = String::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            let _ = writeln!(text, "{}", zone.caption());
        }
        let line = lines::row(row, 0, &self.look, zone, self.look.verbose);
        if self.look.is_live {
            return text + &line;
        }
        self.sorted_len += line.len();
        // The number distinguishes rows of one frame, and keeps their order.
        self.sorted
            .insert((row.facts.frame, self.shown.sum()), line);
        while self.sorted_len > MAX_SORTED
            && let Some((_, line)) = self.sorted.pop_first()
        {
            self.sorted_len -= line.len();
            text += &line;
        }
        text
    }

    /// Returns the rest of the output, once the capture is read.
    fn page(&mut self, files: &FileNames, of: &Summary) -> String {
        let mut text = String::new();
        for line in std::mem::take(&mut self.sorted).into_values() {
            text += &line;
        }
        let zone = self.zone_at(&of.totals, Timestamp::default());
        let is_separate = self.has_begun;
        let mut head = summary::head(files, &of.totals, self.all.others);
        if let Some(join) = files.join() {
            head += &clocks(&join);
        }
        head += &text::about(files);
        head += &summary::missing(&of.totals, &of.tally);
        head += &self.selected();
        let has_table = self.look.quiet || self.look.verbose;
        let foot = summary::foot(files, &of.totals, &of.tally, has_table);
        if self.all.sum() == 0 && !self.look.quiet {
            head += "  no failed connection found\n";
        }
        let width = self.look.width;
        let head = lines::wrapped(&head, width);
        if is_separate {
            text.push('\n');
        }
        if self.look.quiet {
            return text + &head + &lines::wrapped(&foot, width);
        }
        // A stream of few failures has shown them all, and needs no groups.
        let lines = self.lines();
        let is_grouped = self.look.group_by.is_some()
            || lines.is_none()
                && !self.look.list
                && !self.look.verbose
                && self.shown.sum() > MAX_LINES as u64;
        if is_grouped && self.shown.sum() > 0 {
            let foot = lines::wrapped(&(foot + &self.notes(files)), width);
            let used = count(&head) + count(&foot) + 2;
            let room = PAGE.saturating_sub(used);
            let head = head + &lines::times(zone);
            return text + &head + "\n" + &self.groups(files, zone, room) + "\n" + &foot;
        }
        match lines {
            Some(lines) if !is_separate && !lines.is_empty() => {
                let stated = lines.iter().map(|it| match it {
                    Line::Single(held) => held.repeats,
                    Line::Series(..) | Line::Scan(..) => 0,
                });
                let foot = foot
                    + &further(self.repeats - stated.sum::<u64>())
                    + &more(Some("-v explains everything"), files);
                let foot = lines::wrapped(&foot, width);
                let head = head + &lines::times(zone);
                let used = count(&head) + count(&foot) + 2;
                // Beyond so many, it depends on the threads which rows have an explanation.
                let room = if self.candidates > MAX_EXPLAINED {
                    0
                } else {
                    PAGE.saturating_sub(used)
                };
                let shown = lines::page(&lines, files, &self.look, zone, room);
                text + &head + "\n" + &shown + "\n" + &foot
            }
            _ => text + &head + &lines::wrapped(&foot, width),
        }
    }

    /// Returns the lines of the page in the order of their frames; `None` if they are too many.
    fn lines(&self) -> Option<Vec<Line<'_>>> {
        if self.is_crowded.load(Ordering::Relaxed) || self.look.lists_all() {
            return None;
        }
        let mut lines: Vec<Line<'_>> = Vec::new();
        let mut singles = 0;
        for (key, cell) in self.cells.cells() {
            match cell.interval() {
                Some(interval) => lines.push(Line::Series(key, cell, interval)),
                None => singles += cell.count,
            }
        }
        lines.extend((self.cells.scans()).map(|(key, ports, cell)| Line::Scan(key, ports, cell)));
        let held = self.held.iter();
        let held: Vec<&Held> = held.filter(|it| !self.cells.folds(&it.row.facts)).collect();
        // Rows of a series that did not go on were dropped.
        if held.len() as u64 != singles || lines.len() + held.len() > MAX_LINES {
            return None;
        }
        lines.extend(held.into_iter().map(Line::Single));
        lines.sort_by_key(Line::frame);
        Some(lines)
    }

    /// Returns a line about the options that select, if there are any.
    fn selected(&self) -> String {
        if self.selection.is_all() {
            return String::new();
        }
        let (shown, all) = (self.shown.sum(), self.all.sum());
        let mut text = format!(
            "  shown: {} of {} ({})\n",
            in_digits(shown),
            count_of(all, "failure"),
            self.selected_by
        );
        if shown == 0 && self.reversed > 0 {
            let _ = writeln!(
                text,
                "  --from is the client, --to the server; exchanged, they select {}",
                in_digits(self.reversed)
            );
        }
        text
    }
}

/// Returns a line about RSTs that only repeat another one, and are counted in no other line; empty if there are none.
fn further(repeats: u64) -> String {
    if repeats == 0 {
        return String::new();
    }
    let further = count_of(repeats, "further RST");
    format!("  {further} of connections that had been reset, not counted above\n")
}

/// Returns a line with options that show more. `--connection` looks at one file.
fn more(list: Option<&str>, files: &FileNames) -> String {
    let connection = (!files.are_joined()).then_some("--connection FRAME shows one connection");
    let options: Vec<&str> = list.into_iter().chain(connection).collect();
    if options.is_empty() {
        return String::new();
    }
    format!("  more: {}\n", options.join(", "))
}

/// Returns the number of lines of a text.
fn count(text: &str) -> usize {
    text.lines().count()
}

/// Returns a number with its noun: `1 failure`, `2 failures`.
fn count_of(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", in_digits(number))
}

impl View for Screen {
    fn take(&mut self, item: Item, totals: &Totals) -> io::Result<Vec<u8>> {
        Ok(match item {
            Item::Failure(row) => self.take_row(*row, totals).into_bytes(),
            Item::Correction(text) => {
                // It was counted when it was shown.
                for counts in [&mut self.all, &mut self.shown] {
                    counts.others = counts.others.saturating_sub(1);
                }
                let is_shown = !self.look.quiet && self.selection.is_all();
                if is_shown {
                    text.into_bytes()
                } else {
                    Vec::new()
                }
            }
            Item::Json(..) => Vec::new(),
        })
    }

    fn end(&mut self, files: &FileNames, of: &Summary, _: Option<&str>) -> io::Result<Vec<u8>> {
        Ok(self.page(files, of).into_bytes())
    }

    fn counts(&self) -> FailureCounts {
        self.all
    }
}
