//! Ladder of each trial as it ends: the human format of single trials and of `--verbose`.

use std::path::PathBuf;
use std::time::Duration;

use super::{Console, print};
use crate::error::Error;
use crate::report::human::{self, Tally};
use crate::report::ladder::ladder;
use crate::trial::pool::FinishedTrial;
use rstproof_core::report::{CaptureReport, Header, Host};

struct Ladders {
    /// Host of the next trials.
    host: Host,
    /// Directory that trials are saved in, if they are saved.
    directory: Option<PathBuf>,
    /// Text about evidence sources for the end of the output.
    sources: Option<String>,
}

pub(super) fn begin(
    header: &Header,
    directory: Option<PathBuf>,
    sources: Option<String>,
) -> Box<dyn Console> {
    Box::new(Ladders {
        host: header.host.clone(),
        directory,
        sources,
    })
}

impl Console for Ladders {
    fn set_host(&mut self, host: Option<&Host>) {
        if Some(&self.host) != host {
            self.host = host.cloned().unwrap_or_default();
        }
    }

    fn trials(&mut self, done: Vec<FinishedTrial>) -> Result<(), Error> {
        for done in &done {
            if let Some(report) = &done.report {
                let directory = self.directory.as_deref();
                let text = ladder(done.scenario, report, &self.host, directory);
                print(&format!("{text}\n"))?;
            }
        }
        Ok(())
    }

    fn end(
        self: Box<Self>,
        _: &CaptureReport,
        tally: &Tally,
        elapsed: Duration,
    ) -> Result<(), Error> {
        // The two families of a single scenario need no summary.
        if tally.total() > 2 {
            print(&human::summary(tally, elapsed))?;
        }
        print(&self.sources.unwrap_or_default())
    }
}
