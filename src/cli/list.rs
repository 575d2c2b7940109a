//! `rstproof list`: prints the catalogue of scenarios, by topic.

mod markdown;

use std::fmt::Write as _;
use std::io::Write as _;

use super::ListFormat;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::report::explain::needs;
use crate::report::human::{LABEL, wrap};
use rstproof_core::scenario::ALL;

/// Width of the id column, including indent and gap, in columns.
const ID: usize = 31;

pub(super) fn list(format: ListFormat) -> Result<ExitCode, Error> {
    let text = match format {
        ListFormat::Human => human(),
        ListFormat::Markdown => markdown::text(),
    };
    anstream::stdout()
        .write_all(text.as_bytes())
        .map_err(Error::output)?;
    Ok(ExitCode::Success)
}

fn human() -> String {
    let mut text = String::new();
    let mut topic = None;
    for scenario in ALL {
        if topic != Some(scenario.topic) {
            let gap = if topic.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{LABEL}{}{LABEL:#}", scenario.topic.heading());
            topic = Some(scenario.topic);
        }
        let title = match needs(scenario) {
            Some(needs) => format!("{} ({needs})", scenario.title),
            None => scenario.title.to_owned(),
        };
        let mut id = scenario.id;
        // A long id gets a line of its own: two columns of indent and at least two of gap have to fit.
        if id.len() + 4 > ID {
            let _ = writeln!(text, "  {id}");
            id = "";
        }
        for line in wrap(&title, 79 - ID) {
            let _ = writeln!(text, "  {id:<width$}{line}", width = ID - 2);
            id = "";
        }
    }
    text
}
