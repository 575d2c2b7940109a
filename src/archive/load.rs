//! Finds saved trials and makes evidence of them again, with whatever they lack or contradict themselves in.
//!
//! Every file here is taken for hostile: it may be anything, of any length, and name any other. What is wrong with one
//! trial is a [`Flaw`] of that trial, and what is wrong with a document an error, and neither keeps the others from
//! being judged.

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

/// The capture of a trial has some kilobytes, and so has its document. One of more bytes than this is none.
const LONGEST_CAPTURE: u64 = 16 << 20;

/// The report of 10,000 trials has some 30 MB.
const LONGEST_DOCUMENT: u64 = 1 << 30;

/// A saved trial.
#[derive(Debug)]
pub struct Trial {
    /// Its scenario, as the kernel that it was recorded on plays it; [`rstproof_core::scenario::UNKNOWN`] if there is none of its name
    /// here.
    pub scenario: &'static Scenario,
    /// What it was recorded on.
    pub kernel: Kernel,
    /// Over which family.
    pub family: Family,
    /// Which repetition.
    pub run: u32,
    /// Why it was skipped, if it was.
    pub skipped: Option<String>,
    /// The host that it was recorded on, if that is known.
    pub host: Option<Rc<Host>>,
    /// Which witnesses were asked there, if that is known.
    pub evidence_sources: Option<EvidenceSources>,
    /// What it was captured with.
    pub capture: CaptureReport,
    /// What is left of it.
    pub evidence: Evidence,
    /// SHA-256 of its capture file, as it is.
    pub content: Option<String>,
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

/// Whether this report and what was recorded are the same, however they are laid out.
fn tells_the_same(report: &TrialReport, recorded: &str) -> bool {
    serde_json::to_string(report).is_ok_and(|text| text == recorded || are_equal(&text, recorded))
}

/// Gives every trial that these arguments stand for: directories, documents and captures. What cannot be read at all is
/// an error in its place.
pub fn each_of(
    arguments: &[PathBuf],
    take: &mut impl FnMut(Result<Trial, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    // Captures that only the report of their run speaks of: that is read once for all of them.
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

/// Gives every trial that one argument stands for.
pub fn each(
    argument: &Path,
    take: &mut impl FnMut(Result<Trial, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    if argument == Path::new("-") {
        let text = "evidence is two files a trial, so it is not read from standard input; name its directory";
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

/// The trials of these captures, which lie beside the document that should speak of them.
fn each_capture(document: &Path, names: &BTreeSet<String>, take: Take<'_>) -> Result<(), Error> {
    let found = each_of_document(document, Links::Followed, Some(names), take)?;
    for name in names.difference(&found) {
        take(orphan(&document.with_file_name(name), Links::Followed))?;
    }
    Ok(())
}

/// The report that speaks of this capture, if nothing nearer does, and the capture's name.
fn report_of(capture: &Path) -> Option<(PathBuf, String)> {
    let name = file_name(capture)?;
    let (_, kind) = name.rsplit_once('.')?;
    Format::of_extension(kind)?;
    let report = capture.with_file_name(REPORT);
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

/// The run's report first; then trials that it does not speak of, because the run was killed before it was written; then
/// captures that nothing speaks of. Links inside the directory are not followed: what it holds is what is judged.
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
    // A run that was killed leaves a file that it could not write anything into yet.
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
            "it holds no {REPORT} and no capture; name the directory that `rstproof run -w` wrote"
        ),
    }))
}

fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    // File names that are not UTF-8 were not written by this program.
    let names = names_in(directory)?.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// Where nothing is known of an address.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Of evidence of which nothing is known.
const UNKNOWN_COMPLETENESS: Completeness = Completeness {
    fence_seen: false,
    fence: None,
    dropped: 0,
    filter_passes_all: true,
    clock_step_ns: 0,
};

/// Whether a symbolic link may stand for a file: one that was typed may, one that lies in a directory of evidence leads out
/// of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    Refused,
}

/// The bytes of a document that was named.
pub(crate) fn document_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    read_file(path, LONGEST_DOCUMENT, Links::Followed).map_err(|why| unreadable(path, why))
}

/// Why a file of the evidence cannot be read.
fn unreadable(path: &Path, why: NotRead) -> Error {
    let hint = match why {
        NotRead::Refused(Errno::EACCES) if geteuid().is_root() => {
            "; root's rights are given up before evidence is read, so do it as the user that it belongs to"
        }
        NotRead::Refused(Errno::ELOOP) => "; symbolic links among the evidence are not followed",
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

/// A whole file. Not a pipe, which may never end, nor a device, nor more than so many bytes.
fn read_file(path: &Path, most: u64, links: Links) -> Result<Vec<u8>, NotRead> {
    let not_read = |error: io::Error| not_read(&error);
    let no_links = match links {
        Links::Followed => 0,
        Links::Refused => libc::O_NOFOLLOW,
    };
    let file = OpenOptions::new()
        .read(true)
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
    // It may grow meanwhile, and files that the kernel makes up have no length, so memory is taken only as it is read.
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(not_read)?;
    if bytes.len() as u64 > most {
        return Err(NotRead::TooLong(most));
    }
    Ok(bytes)
}
