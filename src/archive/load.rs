//! Loader of saved trials: restores their evidence, including anything missing or contradictory.
//!
//! Every file is treated as hostile: it may have any content and any length, and may refer to any other file. A defect
//! of one trial is a [`Flaw`](rstproof_core::evidence::Flaw) of that trial, and a defect of a document is an error.
//! Neither prevents the other trials from being judged.

mod capture;
mod document;
mod json;
mod read;
mod stored;
mod trial;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::iter;
use std::path::{Path, PathBuf};

use self::capture::orphan;
pub(crate) use self::document::{header as document_header, trials_of};
use self::read::{Links, not_read, unreadable};
pub(crate) use self::read::{document_bytes, refused};
pub use self::trial::Trial;
use self::trials::{DirectoryTrials, DocumentTrials, described_by};
use super::REPORT;
use crate::error::Error;
use rstproof_core::file::Format;

/// Returns an iterator over every trial in these directories, documents and captures, with an error for each part that
/// cannot be read.
pub fn trials(arguments: &[PathBuf]) -> impl Iterator<Item = Result<Trial, Error>> {
    // Captures that only the report of their run describes: each report is read once for all of its captures.
    let mut by_report: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let mut others = Vec::new();
    for argument in arguments {
        match report_of(argument) {
            Some((report, name)) => {
                by_report.entry(report).or_default().insert(name);
            }
            None => others.push(argument.clone()),
        }
    }
    let others = others.into_iter().flat_map(|argument| trials_at(&argument));
    others.chain((by_report.into_iter()).flat_map(|(report, names)| described_by(report, names)))
}

/// Returns an iterator over every trial in this directory, document or capture.
#[must_use]
pub fn trials_at(argument: &Path) -> Box<dyn Iterator<Item = Result<Trial, Error>>> {
    if argument == Path::new("-") {
        let text = "evidence cannot be read from standard input, because each trial has two files; give its directory";
        return one(Err(Error::Usage(text.to_owned())));
    }
    let kind = match fs::metadata(argument) {
        Ok(kind) => kind,
        Err(error) => return one(Err(unreadable(argument, not_read(&error)))),
    };
    if kind.is_dir() {
        return match DirectoryTrials::open(argument) {
            Ok(trials) => Box::new(trials),
            Err(error) => one(Err(error)),
        };
    }
    if argument.extension() == Some(OsStr::new("json")) {
        let document = argument.to_owned();
        return Box::new(DocumentTrials::open(document, Links::Followed, None));
    }
    trials_of_capture(argument)
}

/// Returns an iterator over the trials of a capture: those that its own document or the report of its run describes.
fn trials_of_capture(capture: &Path) -> Box<dyn Iterator<Item = Result<Trial, Error>>> {
    let own = capture.with_extension("json");
    let described = match file_name(capture) {
        Some(name) if own.exists() => Some((own, name.to_owned())),
        _ => report_of(capture),
    };
    match described {
        Some((document, name)) => Box::new(described_by(document, BTreeSet::from([name]))),
        None => one(orphan(capture, Links::Followed)),
    }
}

fn one(trial: Result<Trial, Error>) -> Box<dyn Iterator<Item = Result<Trial, Error>>> {
    Box::new(iter::once(trial))
}

/// Returns the report of the run beside this capture and the capture's name, if the capture has no document of its own.
fn report_of(capture: &Path) -> Option<(PathBuf, String)> {
    let name = file_name(capture)?;
    let (_, kind) = name.rsplit_once('.')?;
    Format::of_extension(kind)?;
    let report = capture.with_file_name(REPORT);
    // Many tools write a `report.json`; those of this program begin with the schema number.
    let is_of_ours = || {
        let mut begin = [0; 9];
        let mut file = File::open(&report).ok()?;
        file.read_exact(&mut begin).ok()?;
        (&begin == b"{\"schema\"").then_some(())
    };
    (capture.is_file() && !capture.with_extension("json").exists()).then_some(())?;
    is_of_ours()?;
    Some((report, name.to_owned()))
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}
