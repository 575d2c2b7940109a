//! `rstproof check`: saved evidence, judged again from the files alone.

use std::time::Instant;

use super::console::{Console, Show};
use super::{CheckArgs, Format, complain};
use crate::archive::load::{self, Trial};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::report::human::Tally;
use crate::report::{CaptureReport, Header, Host, SCHEMA, Tool, Witnesses};
use crate::trial::pool::Done;

pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Error> {
    super::refuse_shaping(args.format, args.quiet || args.verbose)?;
    let mut check = Check::new(args);
    for argument in &args.evidence {
        load::each(argument, &mut |trial| check.take(trial))?;
    }
    check.finish()
}

/// A check under way.
struct Check<'a> {
    args: &'a CheckArgs,
    /// Begins with the first trial: that says which host to speak of.
    console: Option<Console>,
    /// A single trial is told as a story, and whether there is another one shows only when it comes.
    first: Option<Trial>,
    capture: CaptureReport,
    tally: Tally,
    unreadable: bool,
    began: Instant,
}

impl<'a> Check<'a> {
    fn new(args: &'a CheckArgs) -> Self {
        Self {
            args,
            console: None,
            first: None,
            capture: CaptureReport::default(),
            tally: Tally::default(),
            unreadable: false,
            began: Instant::now(),
        }
    }

    fn take(&mut self, trial: Result<Trial, Error>) -> Result<(), Error> {
        let trial = match trial {
            Ok(trial) => trial,
            Err(error) => {
                self.unreadable = true;
                complain(&error.to_string());
                return Ok(());
            }
        };
        if self.console.is_none() && self.first.is_none() {
            self.first = Some(trial);
            return Ok(());
        }
        if let Some(first) = self.first.take() {
            self.show(&first, self.args.verbose)?;
        }
        self.show(&trial, self.args.verbose)
    }

    /// Judges one and shows it.
    fn show(&mut self, trial: &Trial, as_story: bool) -> Result<(), Error> {
        let host = trial.host.as_deref();
        if self.console.is_none() {
            self.capture = CaptureReport {
                dropped: 0,
                ..trial.capture.clone()
            };
            self.console = Some(self.begin(host, as_story)?);
        }
        let report = trial.report();
        self.capture.dropped = self
            .capture
            .dropped
            .saturating_add(trial.evidence.completeness.dropped);
        self.tally.count(report.verdict);
        let done = Done {
            scenario: trial.scenario,
            family: trial.family,
            run: trial.run,
            verdict: report.verdict,
            report: Some(Box::new(report)),
            text: None,
        };
        match &mut self.console {
            Some(console) => {
                console.speaks_of(host);
                console.trials(vec![done])
            }
            None => Ok(()),
        }
    }

    fn begin(&self, host: Option<&Host>, as_story: bool) -> Result<Console, Error> {
        let show = Show {
            format: self.args.format,
            stories: as_story,
            quiet: self.args.quiet,
            directory: None,
            lines: None,
        };
        Console::begin(show, &header(host))
    }

    fn finish(mut self) -> Result<ExitCode, Error> {
        if let Some(only) = self.first.take() {
            self.show(&only, !self.args.quiet)?;
        } else if self.console.is_none() && self.args.format != Format::Human {
            // A machine wants a document, even if there is nothing in it.
            self.console = Some(self.begin(None, false)?);
        }
        if let Some(console) = self.console.take() {
            console.end(&self.capture, &self.tally, self.began.elapsed())?;
        }
        let code = self.tally.worst().map_or(ExitCode::Success, ExitCode::from);
        Ok(if self.unreadable {
            code.worst(ExitCode::Failure)
        } else {
            code
        })
    }
}

/// Who says it, and of which host.
fn header(host: Option<&Host>) -> Header {
    Header {
        schema: SCHEMA,
        tool: Tool::this(),
        host: host.cloned().unwrap_or_default(),
        witnesses: Witnesses {
            capture: true,
            kernel_trace: false,
            counters: false,
        },
    }
}
