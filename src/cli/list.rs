//! `rstproof list`: the catalogue, by topic.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::report::human::{LABEL, wrap};
use crate::scenario::ALL;

/// Columns of an id and the gap after it.
const ID: usize = 31;

pub(super) fn list() -> Result<ExitCode, Error> {
    let mut text = String::new();
    let mut topic = None;
    for scenario in ALL {
        if topic != Some(scenario.topic) {
            let gap = if topic.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{LABEL}{}{LABEL:#}", scenario.topic.heading());
            topic = Some(scenario.topic);
        }
        for (index, line) in wrap(scenario.title, 79 - ID).iter().enumerate() {
            let id = if index == 0 { scenario.id } else { "" };
            let _ = writeln!(text, "  {id:<width$}{line}", width = ID - 2);
        }
    }
    anstream::stdout()
        .write_all(text.as_bytes())
        .map_err(Error::output)?;
    Ok(ExitCode::Success)
}
