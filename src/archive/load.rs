//! Loader of saved trials: restores their evidence, including anything missing or contradictory.
//!
//! Every file is treated as hostile: it may have any content and any length, and may refer to any other file. A defect
//! of one trial is a [`Flaw`] of that trial, and a defect of a document is an error. Neither prevents the other trials
//! from being judged.

mod capture;
mod document;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::unistd::geteuid;

use self::capture::orphan;
use self::document::{are_equal, each_of_document};
pub(crate) use self::document::{header as document_header, refused, trials_of};
use super::{REPORT, parts_of_stem};
use crate::error::{Error, known_number, reason};
use crate::file::names_in;
use rstproof_core::evidence::{Completeness, Evidence, Flaw, NotRead};
use rstproof_core::file::Format;
use rstproof_core::history::Kernel;
use rstproof_core::report::{CaptureReport, EvidenceSources, Host, Source, TrialReport};
use rstproof_core::scenario::{Family, Scenario};
use rstproof_core::transcript::Errno;
use rstproof_core::verdict::judge_on;

/// Maximum size of a trial's capture, and of its own document if compared with a report, in bytes. Genuine ones have
/// some kilobytes.
const LONGEST_CAPTURE: u64 = 16 << 20;

/// Maximum size of a document, in bytes. The report of 10,000 trials has some 30 MB.
const LONGEST_DOCUMENT: u64 = 1 << 30;

/// Saved trial.
#[derive(Debug)]
pub struct Trial {
    /// Scenario, in its form for the kernel that the trial was recorded on; [`rstproof_core::scenario::UNKNOWN`] if
    /// this version has no scenario of that name.
    pub scenario: &'static Scenario,
    /// Kernel that the trial was recorded on.
    pub kernel: Kernel,
    /// Address family.
    pub family: Family,
    /// Number of the repetition; 1 if the trial was not repeated.
    pub run: u32,
    /// Reason for skipping the trial, if it was skipped.
    pub skipped: Option<String>,
    /// Host that the trial was recorded on, if known.
    pub host: Option<Rc<Host>>,
    /// Evidence sources that were used there, if known.
    pub evidence_sources: Option<EvidenceSources>,
    /// Interface, filter and losses of the capture.
    pub capture: CaptureReport,
    /// Evidence that could be restored.
    pub evidence: Evidence,
    /// SHA-256 of the capture file as found, if it could be read.
    pub content: Option<String>,
    name: String,
    capture_file: Option<String>,
    capture_sha256: Option<String>,
    source: Source,
    /// Recorded report as JSON text, if this version wrote it: then a new report must be equal to it.
    recorded: Option<String>,
}

impl Trial {
    /// Judges the trial again, from the saved evidence alone. A report that differs from the recorded one gives
    /// [`Flaw::RecordAltered`].
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
        // A flaw outweighs the claim that the trial was skipped.
        let skipped = self.skipped.as_ref().filter(|_| evidence.flaw.is_none());
        let mut report = if let Some(why) = skipped {
            TrialReport::skipped(scenario, family, run, why.clone())
        } else {
            let judgement = judge_on(self.kernel, scenario, evidence);
            let interface = &self.capture.interface;
            TrialReport::new(scenario, family, run, interface, evidence, &judgement)
        };
        report.scenario = self.name.clone().into();
        report.capture_file.clone_from(&self.capture_file);
        report.capture_sha256.clone_from(&self.capture_sha256);
        report
    }
}

/// Returns true if this report equals the recorded one, regardless of the JSON layout.
fn tells_the_same(report: &TrialReport, recorded: &str) -> bool {
    serde_json::to_string(report).is_ok_and(|text| text == recorded || are_equal(&text, recorded))
}

/// Passes every trial in these directories, documents and captures to `take`, and an error for each part that cannot
/// be read. Fails only with an error of `take`.
pub fn each_of(
    arguments: &[PathBuf],
    take: &mut impl FnMut(Result<Trial, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    // Captures that only the report of their run describes: each report is read once for all of its captures.
    let mut by_report: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for argument in arguments {
        match report_of(argument) {
            Some((report, name)) => {
                by_report.entry(report).or_default().insert(name);
            }
            None => each(argument, take)?,
        }
    }
    for (report, names) in by_report {
        each_capture(&report, &names, take)?;
    }
    Ok(())
}

/// Passes every trial in this directory, document or capture to `take`. Fails only with an error of `take`.
pub fn each(
    argument: &Path,
    take: &mut impl FnMut(Result<Trial, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    if argument == Path::new("-") {
        let text = "evidence cannot be read from standard input, because each trial has two files; give its directory";
        return take(Err(Error::Usage(text.to_owned())));
    }
    let kind = match fs::metadata(argument) {
        Ok(kind) => kind,
        Err(error) => return take(Err(unreadable(argument, not_read(&error)))),
    };
    if kind.is_dir() {
        return each_in_directory(argument, take);
    }
    if argument.extension() == Some(OsStr::new("json")) {
        return each_of_document(argument, Links::Followed, None, take).map(drop);
    }
    let own = argument.with_extension("json");
    let spoken_of = match file_name(argument) {
        Some(name) if own.exists() => Some((own, name.to_owned())),
        _ => report_of(argument),
    };
    match spoken_of {
        Some((document, name)) => each_capture(&document, &BTreeSet::from([name]), take),
        None => take(orphan(argument, Links::Followed)),
    }
}

/// Passes the trials of these captures to `take`; the document that should describe them is in the same directory.
fn each_capture(document: &Path, names: &BTreeSet<String>, take: Take<'_>) -> Result<(), Error> {
    let found = each_of_document(document, Links::Followed, Some(names), take)?;
    for name in names.difference(&found) {
        take(orphan(&document.with_file_name(name), Links::Followed))?;
    }
    Ok(())
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

type Take<'a> = &'a mut dyn FnMut(Result<Trial, Error>) -> Result<(), Error>;

/// Passes every trial in a directory to `take`: first those in the report of the run, then those with only their own
/// document, because the run was killed before it wrote the report, then captures without any document. Links inside
/// the directory are not followed: only its own files are judged.
fn each_in_directory(directory: &Path, take: Take<'_>) -> Result<(), Error> {
    let names = match names(directory) {
        Ok(names) => names,
        Err(error) => return take(Err(unreadable(directory, not_read(&error)))),
    };
    let mut spoken_of = BTreeSet::new();
    let mut found = names.contains(REPORT);
    if found {
        spoken_of = each_of_document(&directory.join(REPORT), Links::Refused, None, take)?;
    }
    // A killed run may leave an empty file, which it had created but not yet written.
    let is_empty = |name: &str| {
        fs::symlink_metadata(directory.join(name)).is_ok_and(|it| it.is_file() && it.len() == 0)
    };
    for name in names.iter().filter(|name| !is_empty(name)) {
        let Some(stem) = name.strip_suffix(".json") else {
            continue;
        };
        let captures =
            [Format::PcapNg, Format::Pcap].map(|it| format!("{stem}.{}", it.extension()));
        let is_told = captures.iter().any(|capture| spoken_of.contains(capture));
        if parts_of_stem(stem).is_some() && !is_told {
            found = true;
            let path = directory.join(name);
            spoken_of.extend(each_of_document(&path, Links::Refused, None, take)?);
        }
    }
    for name in names.iter().filter(|name| !is_empty(name)) {
        let kind = name.rsplit_once('.').map(|(_, kind)| kind);
        if kind.and_then(Format::of_extension).is_some() && !spoken_of.contains(name) {
            found = true;
            take(orphan(&directory.join(name), Links::Refused))?;
        }
    }
    if found {
        return Ok(());
    }
    take(Err(Error::File {
        action: "find evidence in",
        path: directory.to_owned(),
        reason: format!(
            "it contains no {REPORT} and no capture; expected a directory written by `rstproof run -w`"
        ),
    }))
}

fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    // File names that are not UTF-8 were not written by this program.
    let names = names_in(directory)?.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// Placeholder for an unknown address.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Completeness of a capture of which nothing is known.
const UNKNOWN_COMPLETENESS: Completeness = Completeness {
    fence_seen: false,
    fence: None,
    dropped: 0,
    filter_passes_all: true,
    clock_step_ns: 0,
};

/// Policy for symbolic links: a link given on the command line is followed, but one in a directory of evidence is
/// refused, because it leads out of that directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    Refused,
}

/// Reads a document given by the user. Follows a symbolic link. Fails if the document is not a regular file or is
/// longer than [`LONGEST_DOCUMENT`].
pub(crate) fn document_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    read_file(path, LONGEST_DOCUMENT, Links::Followed).map_err(|why| unreadable(path, why))
}

/// Returns the error for an evidence file that cannot be read, with a hint if the cause is known.
fn unreadable(path: &Path, why: NotRead) -> Error {
    let hint = match why {
        NotRead::Refused(Errno::EACCES) if geteuid().is_root() => {
            "; root privileges are dropped before evidence is read, so run this as the user who owns the files"
        }
        NotRead::Refused(Errno::ELOOP) => "; symbolic links to evidence are not followed",
        _ => "",
    };
    let reason = match why {
        NotRead::Refused(errno) => reason(&io::Error::from_raw_os_error(errno.0)),
        other => other.to_string(),
    };
    Error::File {
        action: "read",
        path: path.to_owned(),
        reason: format!("{reason}{hint}"),
    }
}

fn not_read(error: &io::Error) -> NotRead {
    NotRead::Refused(known_number(error.raw_os_error().unwrap_or(libc::EIO)))
}

/// Reads a whole file. Fails if it is not a regular file (a pipe may never end) or has more than `most` bytes.
fn read_file(path: &Path, most: u64, links: Links) -> Result<Vec<u8>, NotRead> {
    let not_read = |error: io::Error| not_read(&error);
    let no_links = match links {
        Links::Followed => 0,
        Links::Refused => libc::O_NOFOLLOW,
    };
    let file = OpenOptions::new()
        .read(true)
        // Without O_NONBLOCK the open(2) of a FIFO waits for a writer.
        .custom_flags(libc::O_NONBLOCK | no_links)
        .open(path)
        .map_err(not_read)?;
    let metadata = file.metadata().map_err(not_read)?;
    if !metadata.is_file() {
        return Err(NotRead::NotRegular);
    }
    if metadata.len() > most {
        return Err(NotRead::TooLong(most));
    }
    // The length may be wrong: the file may grow meanwhile, and files in /proc have length 0. So the read is bounded
    // too, and memory is allocated only as bytes arrive.
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(not_read)?;
    if bytes.len() as u64 > most {
        return Err(NotRead::TooLong(most));
    }
    Ok(bytes)
}
