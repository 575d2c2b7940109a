//! Line for each scenario and family, in the order of the trials: the human format of many trials.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Console, Pair, print};
use crate::error::Error;
use crate::report::human::{self, Tally};
use crate::trial::pool::FinishedTrial;
use rstproof_core::report::{CaptureReport, TrialReport};
use rstproof_core::scenario::{ALL, Family, UNKNOWN};
use rstproof_core::verdict::Verdict;

/// Maximum number of unconfirmed trials shown below a line; all are counted.
const MAX_SHOWN: usize = 3;

/// Maximum number of distinct skip reasons shown at the end. A run has about a dozen, untrusted files any number.
const MAX_REASONS: usize = 40;

/// Lines of the human format, printed in the order of the pairs, whichever worker ends first.
struct Lines {
    pairs: Vec<Pair>,
    /// Index in `pairs` of the next line to print.
    next: usize,
    /// Lines that are not printed yet, by their index in `pairs`.
    waiting: BTreeMap<usize, Line>,
    /// Number of trials of each line; `None` if known only at the end.
    repeat: Option<u64>,
    quiet: bool,
    /// Text about evidence sources for the end of the output.
    sources: Option<String>,
    /// Number of skipped trials, by reason; at most [`MAX_REASONS`].
    skipped: BTreeMap<String, u64>,
}

/// Trials of one scenario over one family.
#[derive(Default)]
struct Line {
    tally: Tally,
    shown: Vec<TrialReport>,
}

/// Starts the output. `expected` are the pairs to show a line for, and the number of trials of each; `None` if both are
/// known only at the end.
pub(super) fn begin(
    expected: Option<(Vec<Pair>, u64)>,
    quiet: bool,
    sources: Option<String>,
) -> Box<dyn Console> {
    let (pairs, repeat) = match expected {
        Some((pairs, repeat)) => (pairs, Some(repeat)),
        None => (every_pair(), None),
    };
    Box::new(Lines {
        pairs,
        next: 0,
        waiting: BTreeMap::new(),
        repeat,
        quiet,
        sources,
        skipped: BTreeMap::new(),
    })
}

impl Console for Lines {
    fn trials(&mut self, done: Vec<FinishedTrial>) -> Result<(), Error> {
        for done in done {
            let is_it = |(scenario, family): &Pair| {
                scenario.id == done.scenario.id && *family == done.family
            };
            let Some(position) = self.pairs.iter().position(is_it) else {
                continue;
            };
            if let Some(why) = done.report.as_ref().and_then(|it| it.skipped.as_ref())
                && (self.skipped.len() < MAX_REASONS || self.skipped.contains_key(why))
            {
                *self.skipped.entry(why.clone()).or_default() += 1;
            }
            let line = self.waiting.entry(position).or_default();
            line.tally.count(done.verdict);
            line.show(done.report);
        }
        // Without a known number of trials no line is complete before the end.
        while let Some(line) = self.waiting.get(&self.next)
            && Some(line.tally.total()) == self.repeat
        {
            self.print_next()?;
        }
        Ok(())
    }

    fn end(
        mut self: Box<Self>,
        _: &CaptureReport,
        tally: &Tally,
        elapsed: Duration,
    ) -> Result<(), Error> {
        self.rest()?;
        if self.quiet || tally.total() == 0 {
            return Ok(());
        }
        let sources = self.sources.unwrap_or_default();
        let skips = human::skips(&self.skipped);
        print(&format!(
            "\n{skips}{}{sources}",
            human::summary(tally, elapsed)
        ))
    }
}

impl Lines {
    /// Prints the remaining lines, also incomplete ones of an interrupted run.
    fn rest(&mut self) -> Result<(), Error> {
        while self.next < self.pairs.len() {
            self.print_next()?;
        }
        Ok(())
    }

    fn print_next(&mut self) -> Result<(), Error> {
        let line = self.waiting.remove(&self.next);
        let pair = self.pairs.get(self.next);
        self.next += 1;
        let (Some(line), Some((scenario, family))) = (line, pair) else {
            return Ok(());
        };
        if self.quiet && line.tally.confirmed == line.tally.total() {
            return Ok(());
        }
        print(&human::line(scenario, *family, &line.tally, &line.shown))
    }
}

impl Line {
    /// Adds a report to those shown below the line. A confirmed trial is shown only while it is the only one.
    fn show(&mut self, report: Option<Box<TrialReport>>) {
        let is_confirmed = |report: &TrialReport| report.verdict == Some(Verdict::Confirmed);
        let single = self.tally.total() == 1;
        if !single {
            self.shown.retain(|report| !is_confirmed(report));
        }
        if let Some(report) = report
            && self.shown.len() < MAX_SHOWN
            && (single || !is_confirmed(&report))
        {
            self.shown.push(*report);
        }
    }
}

/// Returns every pair of scenario and family that saved evidence may have.
fn every_pair() -> Vec<Pair> {
    let scenarios = ALL.iter().copied().chain([&UNKNOWN]);
    scenarios
        .flat_map(|scenario| [(scenario, Family::Ipv4), (scenario, Family::Ipv6)])
        .collect()
}
