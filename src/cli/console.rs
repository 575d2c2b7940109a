//! What `rstproof run` writes to standard output while trials end.

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
use crate::report::{CaptureReport, Header, Host, TrialReport};
use crate::scenario::{Family, Scenario};
use crate::trial::pool::{Done, Order};

/// Standard output in the form that was asked for.
pub(super) enum Console {
    /// One document.
    Json(JsonWriter<BufWriter<Stdout>>),
    /// One document, written at the end.
    Junit(JunitReport),
    /// The ladder of each trial as it ends, on this host, its frames saved in this directory.
    Stories(Host, Option<PathBuf>),
    /// A line for each scenario and family, in catalogue order.
    Lines(Lines),
}

impl Console {
    /// Begins the output.
    pub(super) fn begin(
        format: Format,
        stories: bool,
        header: &Header,
        order: &Order,
        quiet: bool,
    ) -> Result<Self, Error> {
        let directory = order.save.as_ref().map(|save| save.directory.clone());
        Ok(match format {
            Format::Json => Self::Json(
                JsonWriter::begin(BufWriter::new(io::stdout()), header).map_err(Error::output)?,
            ),
            Format::Junit => Self::Junit(JunitReport::new(header, directory.as_deref())),
            Format::Human if stories => Self::Stories(header.host.clone(), directory),
            Format::Human => Self::Lines(Lines::new(order, quiet)),
        })
    }

    /// Takes in trials that have ended.
    pub(super) fn trials(&mut self, done: Vec<Done>) -> Result<(), Error> {
        match self {
            Self::Json(json) => {
                for report in done.iter().filter_map(|done| done.report.as_ref()) {
                    json.trial(report).map_err(Error::output)?;
                }
                json.flush().map_err(Error::output)
            }
            Self::Junit(junit) => {
                for done in &done {
                    if let Some(report) = &done.report {
                        junit.trial(Some(done.scenario), report);
                    }
                }
                Ok(())
            }
            Self::Stories(host, directory) => {
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
            Self::Stories(..) if tally.total() <= 2 => Ok(()),
            Self::Stories(..) => print(&human::summary(tally, elapsed)),
            Self::Lines(mut lines) => {
                lines.rest()?;
                if lines.quiet || tally.total() == 0 {
                    return Ok(());
                }
                print(&format!("\n{}", human::summary(tally, elapsed)))
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

/// Lines come out in catalogue order, whichever worker ends first.
pub(super) struct Lines {
    pairs: Vec<(&'static Scenario, Family)>,
    /// Position of the line that is to come out next.
    next: usize,
    waiting: BTreeMap<usize, Line>,
    repeat: u64,
    quiet: bool,
}

#[derive(Default)]
struct Line {
    tally: Tally,
    shown: Vec<TrialReport>,
}

impl Lines {
    fn new(order: &Order, quiet: bool) -> Self {
        let pairs = order
            .scenarios
            .iter()
            .flat_map(|scenario| {
                order
                    .families
                    .iter()
                    .map(move |family| (*scenario, *family))
            })
            .collect();
        Self {
            pairs,
            next: 0,
            waiting: BTreeMap::new(),
            repeat: u64::from(order.repeat),
            quiet,
        }
    }

    fn take(&mut self, done: Vec<Done>) -> Result<(), Error> {
        for done in done {
            let is_it = |(scenario, family): &(&Scenario, Family)| {
                scenario.id == done.scenario.id && *family == done.family
            };
            let Some(position) = self.pairs.iter().position(is_it) else {
                continue;
            };
            let line = self.waiting.entry(position).or_default();
            line.tally.count(done.verdict);
            if let Some(report) = done.report
                && line.shown.len() < MOST_SHOWN
            {
                line.shown.push(*report);
            }
        }
        while let Some(line) = self.waiting.get(&self.next)
            && line.tally.total() == self.repeat
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
