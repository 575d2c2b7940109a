//! What `rstproof run` and `rstproof check` write to standard output while trials end.

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
use crate::trial::pool::Done;
use rstproof_core::report::{CaptureReport, Header, Host, TrialReport};
use rstproof_core::scenario::{ALL, Family, Scenario, UNKNOWN};
use rstproof_core::verdict::Verdict;

/// Standard output in the form that was asked for.
pub(super) enum Console {
    /// One document.
    Json(JsonWriter<BufWriter<Stdout>>),
    /// One document, written at the end.
    Junit(Box<JunitReport>),
    /// The ladder of each trial as it ends, on this host, its frames saved in this directory; and what is to be said of
    /// the witnesses.
    Stories(Host, Option<PathBuf>, Option<String>),
    /// A line for each scenario and family, in catalogue order.
    Lines(Lines),
}

/// What is to be shown, and in which form.
pub(super) struct Show {
    /// The form.
    pub(super) format: Format,
    /// In the human form: each trial's ladder, not a line for many.
    pub(super) stories: bool,
    /// In the human form: only what is not confirmed.
    pub(super) quiet: bool,
    /// Where the trials are saved.
    pub(super) directory: Option<PathBuf>,
    /// Whether the witnesses are the same for all, and are to be named.
    pub(super) witnesses: bool,
    /// The lines that will come, and of how many trials each; `None` if only the end will tell.
    pub(super) lines: Option<(Vec<Pair>, u64)>,
}

type Pair = (&'static Scenario, Family);

impl Console {
    /// Begins the output.
    pub(super) fn begin(show: Show, header: &Header) -> Result<Self, Error> {
        let asked = show.witnesses.then(|| human::witnesses(&header.witnesses));
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

    /// What comes next was recorded on this host.
    pub(super) fn speaks_of(&mut self, host: Option<&Host>) {
        match self {
            Self::Stories(shown, ..) if Some(&*shown) != host => {
                *shown = host.cloned().unwrap_or_default();
            }
            Self::Junit(junit) => junit.speaks_of(host),
            Self::Json(_) | Self::Stories(..) | Self::Lines(_) => {}
        }
    }

    /// Takes in trials that have ended.
    pub(super) fn trials(&mut self, done: Vec<Done>) -> Result<(), Error> {
        match self {
            Self::Json(json) => {
                for done in &done {
                    match (&done.text, &done.report) {
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

/// Trials that went wrong and are shown under a line; the others are counted.
const MOST_SHOWN: usize = 3;

/// Maximum number of distinct skip reasons shown at the end. A run has about a dozen; untrusted files may have any number.
const MOST_REASONS: usize = 40;

/// Lines come out in catalogue order, whichever worker ends first.
pub(super) struct Lines {
    pairs: Vec<Pair>,
    /// Position of the line that is to come out next.
    next: usize,
    waiting: BTreeMap<usize, Line>,
    /// Of how many trials a line is; `None` if only the end will tell.
    repeat: Option<u64>,
    quiet: bool,
    /// What is to be said of the witnesses.
    asked: Option<String>,
    /// Why trials were skipped, and how many of them.
    skipped: BTreeMap<String, u64>,
}

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

    fn take(&mut self, done: Vec<Done>) -> Result<(), Error> {
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
        while let Some(line) = self.waiting.get(&self.next)
            && Some(line.tally.total()) == self.repeat
        {
            self.print_next()?;
        }
        Ok(())
    }

    /// What an interrupted run has left.
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
    /// A trial that was confirmed has something to say only while it is the only one.
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

/// All that there may be.
fn every_pair() -> Vec<Pair> {
    let scenarios = ALL.iter().copied().chain([&UNKNOWN]);
    scenarios
        .flat_map(|scenario| [(scenario, Family::Ipv4), (scenario, Family::Ipv6)])
        .collect()
}
