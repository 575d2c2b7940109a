//! `rstproof check`: verifies saved evidence from the files alone.

use std::collections::HashSet;
use std::time::Instant;

use super::console::{self, Console, Show};
use super::{CheckArgs, Format, complain};
use crate::archive::load::{self, Trial};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::host;
use crate::report::human::Tally;
use crate::trial::pool::FinishedTrial;
use rstproof_core::report::{CaptureReport, EvidenceSources, Header, Host, SCHEMA, TrialReport};
use rstproof_core::verdict::Verdict;

pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Error> {
    super::refuse_shaping(args.format, args.quiet || args.verbose)?;
    let mut check = Check::new(args);
    for trial in load::trials(&args.evidence) {
        check.take(trial)?;
    }
    check.finish()
}

/// State of a check: output, counts and the trials seen so far.
struct Check<'a> {
    args: &'a CheckArgs,
    /// Output; `None` until the first trial is shown, because the header needs the trial's host.
    console: Option<Box<dyn Console>>,
    /// First trial, held back until the second one: a single trial is shown as a ladder.
    first: Option<(Trial, TrialReport)>,
    capture: CaptureReport,
    tally: Tally,
    /// Hashes of the captures of confirmed trials. A copy of such a capture is not counted again.
    confirmed: HashSet<String>,
    copies: u64,
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
            confirmed: HashSet::new(),
            copies: 0,
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
        let report = trial.report();
        // Only a confirmed trial proves something that a copy could seem to prove twice; other copies are shown.
        if let (Some(content), Some(Verdict::Confirmed)) = (&trial.content, report.verdict)
            && !self.confirmed.insert(content.clone())
        {
            self.copies += 1;
            return Ok(());
        }
        if self.console.is_none() && self.first.is_none() {
            self.first = Some((trial, report));
            return Ok(());
        }
        if let Some((first, report)) = self.first.take() {
            self.show(&first, report, self.args.verbose)?;
        }
        self.show(&trial, report, self.args.verbose)
    }

    fn show(&mut self, trial: &Trial, report: TrialReport, as_story: bool) -> Result<(), Error> {
        if self.console.is_none() {
            self.begin_with(trial, as_story)?;
        }
        self.capture.dropped = self
            .capture
            .dropped
            .saturating_add(trial.evidence.completeness.dropped);
        self.tally.count(report.verdict);
        let done = FinishedTrial {
            scenario: trial.scenario,
            family: trial.family,
            verdict: report.verdict,
            report: Some(Box::new(report)),
            text: None,
        };
        match &mut self.console {
            Some(console) => {
                console.set_host(trial.host.as_deref());
                console.trials(vec![done])
            }
            None => Ok(()),
        }
    }

    /// Begins the output with the host, evidence sources and capture of the first trial.
    fn begin_with(&mut self, first: &Trial, as_story: bool) -> Result<(), Error> {
        self.capture = CaptureReport {
            // `show` adds up the sum over all trials.
            dropped: 0,
            ..first.capture.clone()
        };
        let sources = first.evidence_sources.clone();
        self.console = Some(self.begin(first.host.as_deref(), sources, as_story)?);
        Ok(())
    }

    fn begin(
        &self,
        host: Option<&Host>,
        sources: Option<EvidenceSources>,
        as_story: bool,
    ) -> Result<Box<dyn Console>, Error> {
        let show = Show {
            format: self.args.format,
            stories: as_story,
            quiet: self.args.quiet,
            directory: None,
            evidence_sources: false,
            lines: None,
        };
        console::begin(show, &header(host, sources))
    }

    fn finish(mut self) -> Result<ExitCode, Error> {
        if let Some((only, report)) = self.first.take() {
            self.show(&only, report, !self.args.quiet)?;
        } else if self.console.is_none() && self.args.format != Format::Human {
            // A program expects a document, even an empty one.
            self.console = Some(self.begin(None, None, false)?);
        }
        if let Some(console) = self.console.take() {
            console.end(&self.capture, &self.tally, self.began.elapsed())?;
        }
        self.report_copies();
        // If something was unreadable, its own message has been printed.
        if self.tally.total() == 0 && !self.unreadable {
            return Err(Error::Usage(
                "no trials found in the given files".to_owned(),
            ));
        }
        let code = self.tally.worst().map_or(ExitCode::Success, ExitCode::from);
        Ok(if self.unreadable {
            code.worst(ExitCode::Failure)
        } else {
            code
        })
    }

    fn report_copies(&self) {
        if self.copies == 0 {
            return;
        }
        let plural = if self.copies == 1 {
            "y was"
        } else {
            "ies were"
        };
        complain(&format!(
            "{} cop{plural} not counted: the same capture had proven its trial already",
            self.copies
        ));
    }
}

/// Returns the header of the output: this tool, the host of the trials, and the evidence sources of the host.
fn header(host: Option<&Host>, sources: Option<EvidenceSources>) -> Header {
    Header {
        schema: SCHEMA,
        tool: host::this_tool(),
        host: host.cloned().unwrap_or_default(),
        evidence_sources: sources.unwrap_or_else(EvidenceSources::capture_only),
    }
}
