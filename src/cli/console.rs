//! Standard output of `rstproof run` and `rstproof check`, written as trials end.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::Format;
use crate::error::Error;
use crate::report::human::{self, Tally};
use crate::report::json::JsonWriter;
use crate::report::junit::JunitReport;
use crate::report::ladder::ladder;
use crate::trial::pool::FinishedTrial;
use rstproof_core::report::{CaptureReport, Header, Host, TrialReport};
use rstproof_core::scenario::{ALL, Family, Scenario, UNKNOWN};
use rstproof_core::verdict::Verdict;

/// Standard output in the requested format.
pub(super) enum Console {
    /// JSON document, written as trials end.
    Json(JsonWriter<BufWriter<Stdout>>),
    /// JUnit document, written at the end.
    Junit(Box<JunitReport>),
    /// Ladder of each trial as it ends: with the host of the next trials, the directory that frames are saved in, and
    /// the text about evidence sources for the end.
    Stories(Host, Option<PathBuf>, Option<String>),
    /// Line for each scenario and family, in the order of the trials.
    Lines(Lines),
}

/// Options of the output.
pub(super) struct Show {
    /// Output format.
    pub(super) format: Format,
    /// True if the human format shows the ladder of each trial instead of a line for each scenario and family.
    pub(super) stories: bool,
    /// True if the human format leaves out confirmed trials.
    pub(super) quiet: bool,
    /// Directory that trials are saved in, if they are saved.
    pub(super) directory: Option<PathBuf>,
    /// True if the evidence sources, which then are the same for all trials, are listed at the end.
    pub(super) evidence_sources: bool,
    /// Pairs to show a line for, and the number of trials of each; `None` if both are known only at the end.
    pub(super) lines: Option<(Vec<Pair>, u64)>,
}

/// Scenario and the family to run it over.
type Pair = (&'static Scenario, Family);

impl Console {
    /// Starts the output.
    pub(super) fn begin(show: Show, header: &Header) -> Result<Self, Error> {
        let asked = show
            .evidence_sources
            .then(|| human::evidence_sources(&header.evidence_sources));
        Ok(match show.format {
            Format::Json => Self::Json(
                JsonWriter::begin(BufWriter::new(io::stdout()), header).map_err(Error::output)?,
            ),
            Format::Junit => {
                let junit = JunitReport::new(header, show.directory.as_deref());
                Self::Junit(Box::new(junit))
            }
            Format::Human if show.stories => {
                Self::Stories(header.host.clone(), show.directory, asked)
            }
            Format::Human => Self::Lines(Lines::new(show.lines, show.quiet, asked)),
        })
    }

    /// Sets the host that the next trials were recorded on; `None` if unknown.
    pub(super) fn speaks_of(&mut self, host: Option<&Host>) {
        match self {
            Self::Stories(shown, ..) if Some(&*shown) != host => {
                *shown = host.cloned().unwrap_or_default();
            }
            Self::Junit(junit) => junit.speaks_of(host),
            Self::Json(_) | Self::Stories(..) | Self::Lines(_) => {}
        }
    }

    /// Adds trials that have ended.
    pub(super) fn trials(&mut self, done: Vec<FinishedTrial>) -> Result<(), Error> {
        match self {
            Self::Json(json) => {
                for done in &done {
                    match (&done.text, &done.report) {
                        // Serialised already for the saved report: not done twice.
                        (Some(text), _) => json.text(text),
                        (None, Some(report)) => json.trial(report),
                        (None, None) => Ok(()),
                    }
                    .map_err(Error::output)?;
                }
                json.flush().map_err(Error::output)
            }
            Self::Junit(junit) => {
                for done in &done {
                    if let Some(report) = &done.report {
                        let is_known = done.scenario.id != UNKNOWN.id;
                        junit.trial(is_known.then_some(done.scenario), report);
                    }
                }
                Ok(())
            }
            Self::Stories(host, directory, _) => {
                for done in &done {
                    if let Some(report) = &done.report {
                        print(&format!(
                            "{}\n",
                            ladder(done.scenario, report, host, directory.as_deref())
                        ))?;
                    }
                }
                Ok(())
            }
            Self::Lines(lines) => lines.take(done),
        }
    }

    /// Ends the output.
    pub(super) fn end(
        self,
        capture: &CaptureReport,
        tally: &Tally,
        elapsed: Duration,
    ) -> Result<(), Error> {
        match self {
            Self::Json(json) => json.end(capture).map(drop).map_err(Error::output),
            Self::Junit(junit) => junit
                .write(capture, io::stdout().lock())
                .map_err(Error::output),
            Self::Stories(_, _, asked) => {
                // The two families of a single scenario need no summary.
                if tally.total() > 2 {
                    print(&human::summary(tally, elapsed))?;
                }
                print(&asked.unwrap_or_default())
            }
            Self::Lines(mut lines) => {
                lines.rest()?;
                if lines.quiet || tally.total() == 0 {
                    return Ok(());
                }
                let asked = lines.asked.unwrap_or_default();
                let skips = human::skips(&lines.skipped);
                print(&format!(
                    "\n{skips}{}{asked}",
                    human::summary(tally, elapsed)
                ))
            }
        }
    }
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::output)
}

/// Maximum number of unconfirmed trials shown below a line; all are counted.
const MOST_SHOWN: usize = 3;

/// Maximum number of distinct skip reasons shown at the end. A run has about a dozen, untrusted files any number.
const MOST_REASONS: usize = 40;

/// Lines of the human format, printed in the order of the pairs, whichever worker ends first.
pub(super) struct Lines {
    pairs: Vec<Pair>,
    /// Index in `pairs` of the next line to print.
    next: usize,
    /// Lines that are not printed yet, by their index in `pairs`.
    waiting: BTreeMap<usize, Line>,
    /// Number of trials of each line; `None` if known only at the end.
    repeat: Option<u64>,
    quiet: bool,
    /// Text about evidence sources for the end of the output.
    asked: Option<String>,
    /// Number of skipped trials, by reason; at most [`MOST_REASONS`].
    skipped: BTreeMap<String, u64>,
}

/// Trials of one scenario over one family.
#[derive(Default)]
struct Line {
    tally: Tally,
    shown: Vec<TrialReport>,
}

impl Lines {
    fn new(expected: Option<(Vec<Pair>, u64)>, quiet: bool, asked: Option<String>) -> Self {
        let (pairs, repeat) = match expected {
            Some((pairs, repeat)) => (pairs, Some(repeat)),
            None => (every_pair(), None),
        };
        Self {
            pairs,
            next: 0,
            waiting: BTreeMap::new(),
            repeat,
            quiet,
            asked,
            skipped: BTreeMap::new(),
        }
    }

    fn take(&mut self, done: Vec<FinishedTrial>) -> Result<(), Error> {
        for done in done {
            let is_it = |(scenario, family): &Pair| {
                scenario.id == done.scenario.id && *family == done.family
            };
            let Some(position) = self.pairs.iter().position(is_it) else {
                continue;
            };
            if let Some(why) = done.report.as_ref().and_then(|it| it.skipped.as_ref())
                && (self.skipped.len() < MOST_REASONS || self.skipped.contains_key(why))
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
            && self.shown.len() < MOST_SHOWN
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
