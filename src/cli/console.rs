//! Standard output of `rstproof run` and `rstproof check`, written as trials end: one module per format.

mod json;
mod junit;
mod ladders;
mod lines;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::Format;
use crate::error::Error;
use crate::report::human::{self, Tally};
use crate::trial::pool::FinishedTrial;
use rstproof_core::report::{CaptureReport, Header, Host};
use rstproof_core::scenario::{Family, Scenario};

/// Standard output of trials in one format.
pub(super) trait Console {
    /// Sets the host that the next trials were recorded on; `None` if unknown.
    fn set_host(&mut self, _host: Option<&Host>) {}

    /// Adds trials that have ended.
    fn trials(&mut self, done: Vec<FinishedTrial>) -> Result<(), Error>;

    /// Ends the output.
    fn end(
        self: Box<Self>,
        capture: &CaptureReport,
        tally: &Tally,
        elapsed: Duration,
    ) -> Result<(), Error>;
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

/// Starts the output.
pub(super) fn begin(show: Show, header: &Header) -> Result<Box<dyn Console>, Error> {
    let sources = show
        .evidence_sources
        .then(|| human::evidence_sources(&header.evidence_sources));
    Ok(match show.format {
        Format::Json => json::begin(header)?,
        Format::Junit => junit::begin(header, show.directory.as_deref()),
        Format::Human if show.stories => ladders::begin(header, show.directory, sources),
        Format::Human => lines::begin(show.lines, show.quiet, sources),
    })
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::output)
}
