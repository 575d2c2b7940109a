//! JSON document, written as trials end.

use std::io::{self, BufWriter, Stdout};
use std::time::Duration;

use super::Console;
use crate::error::Error;
use crate::report::human::Tally;
use crate::report::json::JsonWriter;
use crate::trial::pool::FinishedTrial;
use rstproof_core::report::{CaptureReport, Header};

struct Json(JsonWriter<BufWriter<Stdout>>);

pub(super) fn begin(header: &Header) -> Result<Box<dyn Console>, Error> {
    let writer = JsonWriter::begin(BufWriter::new(io::stdout()), header).map_err(Error::output)?;
    Ok(Box::new(Json(writer)))
}

impl Console for Json {
    fn trials(&mut self, done: Vec<FinishedTrial>) -> Result<(), Error> {
        for done in &done {
            match (&done.text, &done.report) {
                // Serialised already for the saved report: not done twice.
                (Some(text), _) => self.0.text(text),
                (None, Some(report)) => self.0.trial(report),
                (None, None) => Ok(()),
            }
            .map_err(Error::output)?;
        }
        self.0.flush().map_err(Error::output)
    }

    fn end(self: Box<Self>, capture: &CaptureReport, _: &Tally, _: Duration) -> Result<(), Error> {
        self.0.end(capture).map(drop).map_err(Error::output)
    }
}
