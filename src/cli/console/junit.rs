//! JUnit document, written at the end.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::Console;
use crate::error::Error;
use crate::report::human::Tally;
use crate::report::junit::JunitReport;
use crate::trial::pool::FinishedTrial;
use rstproof_core::report::{CaptureReport, Header, Host};
use rstproof_core::scenario::UNKNOWN;

struct Junit(JunitReport);

/// Starts the document. `directory` is the directory that trials are saved in, if they are saved.
pub(super) fn begin(header: &Header, directory: Option<&Path>) -> Box<dyn Console> {
    Box::new(Junit(JunitReport::new(header, directory)))
}

impl Console for Junit {
    fn set_host(&mut self, host: Option<&Host>) {
        self.0.set_host(host);
    }

    fn trials(&mut self, done: Vec<FinishedTrial>) -> Result<(), Error> {
        for done in &done {
            if let Some(report) = &done.report {
                let is_known = done.scenario.id != UNKNOWN.id;
                self.0.trial(is_known.then_some(done.scenario), report);
            }
        }
        Ok(())
    }

    fn end(self: Box<Self>, capture: &CaptureReport, _: &Tally, _: Duration) -> Result<(), Error> {
        self.0
            .write(capture, io::stdout().lock())
            .map_err(Error::output)
    }
}
