//! `rstproof explain`: explains a scenario without running it.

use std::io::Write as _;

use super::scenario_named;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::report::explain::text;

pub(super) fn explain(id: &str) -> Result<ExitCode, Error> {
    let scenario = scenario_named(id)?;
    anstream::stdout()
        .write_all(text(scenario).as_bytes())
        .map_err(Error::output)?;
    Ok(ExitCode::Success)
}
