//! `rstproof compare`: shows and explains the differences between saved reports of several kernels.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{CompareArgs, CompareFormat, complain};
use crate::archive::REPORT;
use crate::compare::document::{self, Subject};
use crate::compare::{self, Comparison, human, json, markdown};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::file::names_in;

pub(super) fn compare(args: &CompareArgs) -> Result<ExitCode, Error> {
    let mut subjects = Vec::new();
    let mut unreadable = false;
    for path in args.reports.iter().flat_map(|path| reports_in(path)) {
        match document::read(&path) {
            Ok(subject) => subjects.push(subject),
            Err(error) => {
                unreadable = true;
                complain(&error.to_string());
            }
        }
    }
    if subjects.len() < 2 {
        let left = subjects.len();
        return Err(Error::Usage(format!(
            "need at least two reports, got {left}; create one with `rstproof run -w DIR`"
        )));
    }
    let code = show(subjects, args.format, args.all)?;
    Ok(if unreadable {
        code.worst(ExitCode::Failure)
    } else {
        code
    })
}

/// Prints the comparison of the reports and returns the exit code, which shows if behaviour differs.
pub(super) fn show(
    subjects: Vec<Subject>,
    format: CompareFormat,
    all: bool,
) -> Result<ExitCode, Error> {
    let comparison = compare::compare(subjects);
    let text = match format {
        CompareFormat::Human => human::text(&comparison, all),
        CompareFormat::Json => json::text(&comparison, all),
        CompareFormat::Markdown => markdown::text(&comparison, all),
    };
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::output)?;
    Ok(code(&comparison))
}

/// Returns `Refuted` if behaviour differs, and `Inconclusive` if several reports have nothing to compare.
fn code(comparison: &Comparison) -> ExitCode {
    if comparison.behaviour_differs() {
        ExitCode::Refuted
    } else if comparison.is_empty() && comparison.subjects.len() > 1 {
        ExitCode::Inconclusive
    } else {
        ExitCode::Success
    }
}

/// Returns the reports that a path stands for: the path itself or, if its subdirectories hold reports, all of them. A
/// subdirectory without a report is included, because it may belong to a kernel that gave no result.
fn reports_in(path: &Path) -> Vec<PathBuf> {
    let itself = || vec![path.to_owned()];
    if !path.is_dir() || path.join(REPORT).exists() {
        return itself();
    }
    // Reading the path as a report fails later, with the reason.
    let Ok(names) = names_in(path) else {
        return itself();
    };
    let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    let below: Vec<PathBuf> = names
        .iter()
        .filter(|name| !is_hidden(name))
        .map(|name| path.join(name))
        .filter(|below| below.is_dir())
        .collect();
    if below.iter().any(|below| below.join(REPORT).exists()) {
        below
    } else {
        itself()
    }
}
