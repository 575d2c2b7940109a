//! `rstproof doctor`: checks which evidence sources this host has; prints a table or one JSON document.

use std::io::Write as _;

use super::run::Signals;
use super::{DoctorArgs, DoctorFormat};
use crate::doctor::human::table;
use crate::doctor::json::document;
use crate::doctor::{Examination, Look};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::trial::pool::runtime;

pub(super) fn doctor(args: &DoctorArgs) -> Result<ExitCode, Error> {
    let prepared = Look::now().prepare();
    let examination = runtime()?.block_on(async {
        // A signal drops the examination, and no child process that was asked for its version is left behind.
        let mut signals = Signals::new()?;
        tokio::select! {
            examination = prepared.examine() => examination.map(Ok),
            number = signals.next() => Ok(Err(ExitCode::Signal(number))),
        }
    })?;
    match examination {
        Ok(examination) => show(&examination, args.format),
        Err(interrupted) => Ok(interrupted),
    }
}

fn show(examination: &Examination, format: DoctorFormat) -> Result<ExitCode, Error> {
    let text = match format {
        DoctorFormat::Human => table(examination),
        DoctorFormat::Json => document(examination).map_err(|error| Error::output(error.into()))?,
    };
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::output)?;
    Ok(if examination.self_test.passed {
        ExitCode::Success
    } else {
        ExitCode::Failure
    })
}
