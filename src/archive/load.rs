//! Finds saved trials and makes evidence of them again, with whatever they lack or contradict themselves in.
//!
//! Every file here is taken for hostile: it may be anything, of any length, and name any other. What is wrong with one
//! trial is a [`Flaw`] of that trial, and what is wrong with a document an error, and neither keeps the others from
//! being judged.

mod capture;
mod document;
mod stored;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use nix::unistd::geteuid;

use self::capture::{orphan, parts_of_stem};
use self::document::each_of_document;
use super::REPORT;
use crate::error::{Error, reason};
use crate::evidence::{Completeness, Evidence, Flaw};
use crate::file::Format;
use crate::report::{CaptureReport, Host, Source, TrialReport};
use crate::scenario::{Family, Scenario};
use crate::verdict::judge;

/// The capture of a trial has some kilobytes. One of more bytes than this is none.
const LONGEST_CAPTURE: u64 = 64 << 20;

/// A saved trial.
#[derive(Debug)]
pub struct Trial {
    /// Its scenario; [`crate::scenario::UNKNOWN`] if there is none of its name here.
    pub scenario: &'static Scenario,
    /// Over which family.
    pub family: Family,
    /// Which repetition.
    pub run: u32,
    /// Why it was skipped, if it was.
    pub skipped: Option<String>,
    /// The host that it was recorded on, if that is known.
    pub host: Option<Rc<Host>>,
    /// What it was captured with.
    pub capture: CaptureReport,
    /// What is left of it.
    pub evidence: Evidence,
    name: String,
    capture_file: Option<String>,
    capture_sha256: Option<String>,
    source: Source,
    /// What was recorded of it, if by this version: then it must be told again word for word.
    recorded: Option<String>,
}

impl Trial {
    /// Judges it again, from what was saved alone.
    #[must_use]
    pub fn report(&self) -> TrialReport {
        let mut report = self.judged(&self.evidence);
        let recorded = self.recorded.as_ref();
        let recorded = recorded.filter(|_| self.evidence.flaw.is_none());
        if recorded.is_some_and(|recorded| !tells_the_same(&report, recorded)) {
            report = self.judged(&Evidence {
                flaw: Some(Flaw::RecordAltered),
                ..self.evidence.clone()
            });
        }
        report.evidence = Some(self.source.clone());
        report
    }

    fn judged(&self, evidence: &Evidence) -> TrialReport {
        let (scenario, family, run) = (self.scenario, self.family, self.run);
        let skipped = self.skipped.as_ref().filter(|_| evidence.flaw.is_none());
        let mut report = if let Some(why) = skipped {
            TrialReport::skipped(scenario, family, run, why.clone())
        } else {
            let judgement = judge(scenario, evidence);
            let interface = &self.capture.interface;
            TrialReport::new(scenario, family, run, interface, evidence, &judgement)
        };
        report.scenario = self.name.clone().into();
        report.capture_file.clone_from(&self.capture_file);
        report.capture_sha256.clone_from(&self.capture_sha256);
        report
    }
}

/// Whether this report and what was recorded are the same, however they are laid out.
fn tells_the_same(report: &TrialReport, recorded: &str) -> bool {
    serde_json::to_string(report).is_ok_and(|text| text == recorded || are_equal(&text, recorded))
}

/// Whether two texts are the same JSON.
fn are_equal(one: &str, other: &str) -> bool {
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    value(one).is_some_and(|one| Some(one) == value(other))
}

/// Gives every trial that this argument stands for: a directory, a document or a capture. What cannot be read at all
/// is an error in its place.
pub fn each(
    argument: &Path,
    take: &mut impl FnMut(Result<Trial, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    match fs::metadata(argument) {
        Err(error) => take(Err(unreadable(argument, &error))),
        Ok(kind) if kind.is_dir() => each_in_directory(argument, take),
        Ok(_) if argument.extension() == Some(OsStr::new("json")) => {
            each_of_document(argument, None, take).map(drop)
        }
        Ok(_) => each_of_capture(argument, take),
    }
}

type Take<'a> = &'a mut dyn FnMut(Result<Trial, Error>) -> Result<(), Error>;

/// The run's report first; then trials that it does not speak of, because the run was killed before it was written; then
/// captures that nothing speaks of.
fn each_in_directory(directory: &Path, take: Take<'_>) -> Result<(), Error> {
    let names = match names(directory) {
        Ok(names) => names,
        Err(error) => return take(Err(unreadable(directory, &error))),
    };
    let mut spoken_of = BTreeSet::new();
    if names.contains(REPORT) {
        spoken_of = each_of_document(&directory.join(REPORT), None, take)?;
    }
    let of = |name: &str| {
        name.rsplit_once('.')
            .map(|(stem, kind)| (stem.to_owned(), kind.to_owned()))
    };
    let mut found = !spoken_of.is_empty() || names.contains(REPORT);
    for name in &names {
        let Some((stem, kind)) = of(name) else {
            continue;
        };
        if kind == "json" && parts_of_stem(&stem).is_some() && !spoken_of.contains(&stem) {
            let path = directory.join(name);
            // A run that was killed left it before it could write anything.
            if fs::metadata(&path).is_ok_and(|file| file.len() == 0) {
                continue;
            }
            found = true;
            spoken_of.extend(each_of_document(&path, None, take)?);
        }
    }
    for name in &names {
        let Some((stem, kind)) = of(name) else {
            continue;
        };
        if Format::of_extension(&kind).is_some() && !spoken_of.contains(&stem) {
            found = true;
            take(orphan(&directory.join(name)))?;
        }
    }
    if found {
        return Ok(());
    }
    take(Err(Error::File {
        action: "find evidence in",
        path: directory.to_owned(),
        reason: format!("it holds no {REPORT} and no capture; `rstproof run -w DIR` makes them"),
    }))
}

fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        // What is not UTF-8 is none of ours.
        if let Ok(name) = entry?.file_name().into_string() {
            names.insert(name);
        }
    }
    Ok(names)
}

/// By the document of its own, or by the report of its run.
fn each_of_capture(path: &Path, take: Take<'_>) -> Result<(), Error> {
    let name = path.file_name().and_then(OsStr::to_str);
    for document in [path.with_extension("json"), path.with_file_name(REPORT)] {
        if document.exists() && document != path {
            let mut found = false;
            each_of_document(&document, name, &mut |trial| {
                found = true;
                take(trial)
            })?;
            if found {
                return Ok(());
            }
        }
    }
    take(orphan(path))
}

/// Of evidence of which nothing is known.
const UNKNOWN_COMPLETENESS: Completeness = Completeness {
    fence_seen: false,
    fence: None,
    dropped: 0,
    filter_lets_all_through: true,
    clock_step_ns: 0,
};

/// Why a file of the evidence cannot be read.
fn unreadable(path: &Path, error: &io::Error) -> Error {
    let hint = if error.kind() == io::ErrorKind::PermissionDenied && geteuid().is_root() {
        "; root's rights are given up before evidence is read, so do it as the user that it belongs to"
    } else {
        ""
    };
    Error::File {
        action: "read",
        path: path.to_owned(),
        reason: format!("{}{hint}", reason(error)),
    }
}

/// A whole file. Not a pipe, which may never end, nor a device.
fn read_file(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let refuse = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let kind = file.metadata()?;
    if !kind.is_file() {
        return Err(refuse("it is no regular file"));
    }
    if kind.len() > longest {
        return Err(refuse("it is longer than any trial's capture"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(kind.len()).unwrap_or(0).saturating_add(1));
    file.take(longest).read_to_end(&mut bytes)?;
    Ok(bytes)
}
