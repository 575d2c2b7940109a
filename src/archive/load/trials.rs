//! Iterators over the trials of a document and of a directory.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{io, iter};

use super::capture::orphan;
use super::document::{Document, only_trial, parse, text};
use super::json::are_equal;
use super::read::{Links, MAX_CAPTURE, MAX_DOCUMENT, not_read, read_file, unreadable};
use super::stored::StoredTrial;
use super::trial::Trial;
use crate::archive::{REPORT, parts_of_stem};
use crate::error::Error;
use crate::file::names_in;
use crate::host;
use rstproof_core::evidence::{Flaw, NotRead};
use rstproof_core::file::Format;
use rstproof_core::printable::printable;
use rstproof_core::report::Host;
use rstproof_core::transcript::Errno;

/// Iterator over the trials of a document, with an error for each that cannot be read.
pub(super) struct DocumentTrials {
    path: PathBuf,
    /// Captures whose trials are returned; `None` for all trials.
    only: Option<BTreeSet<String>>,
    /// Document; `None` if it cannot be read.
    opened: Option<Opened>,
    /// Error of a document that cannot be read, until it is returned.
    error: Option<Error>,
    /// Captures of the trials read so far. A document or trial that cannot be read is assumed to describe the captures
    /// of the document's own stem.
    captures: BTreeSet<String>,
}

struct Opened {
    bytes: Vec<u8>,
    document: Document,
    host: Rc<Host>,
    /// Index of the next trial.
    next: usize,
}

impl DocumentTrials {
    /// Opens a document. Returns only trials with captures in `only`, or all trials.
    pub(super) fn open(path: PathBuf, links: Links, only: Option<BTreeSet<String>>) -> Self {
        let opened = Opened::read(&path, links);
        let captures = match &opened {
            Ok(_) => BTreeSet::new(),
            Err(_) => own_captures(&path),
        };
        let (opened, error) = match opened {
            Ok(opened) => (Some(opened), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            path,
            only,
            opened,
            error,
            captures,
        }
    }

    /// Returns the names of all captures in the document, after the last trial.
    pub(super) fn captures(&self) -> &BTreeSet<String> {
        &self.captures
    }
}

impl Iterator for DocumentTrials {
    type Item = Result<Trial, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        let opened = self.opened.as_mut()?;
        loop {
            let at = opened.document.trials.get(opened.next)?.clone();
            opened.next += 1;
            let stored = match StoredTrial::read(&self.path, &opened.bytes, &at) {
                Ok(stored) => stored,
                Err(error) => {
                    self.captures.extend(own_captures(&self.path));
                    return Some(Err(error));
                }
            };
            let name = stored.capture_name().map(str::to_owned);
            let wanted =
                |only: &BTreeSet<String>| name.as_ref().is_some_and(|it| only.contains(it));
            let trial = (self.only.as_ref())
                .is_none_or(wanted)
                .then(|| opened.trial(&self.path, &at, stored, &self.captures));
            self.captures.extend(name);
            if let Some(trial) = trial {
                return Some(Ok(trial));
            }
        }
    }
}

impl Opened {
    fn read(path: &Path, links: Links) -> Result<Self, Error> {
        let bytes = read_file(path, MAX_DOCUMENT, links).map_err(|why| unreadable(path, why))?;
        let document = parse(path, &bytes)?;
        Ok(Self {
            host: Rc::new(printable_host(&document.host)),
            bytes,
            document,
            next: 0,
        })
    }

    /// Loads the trial `stored` and checks it against the trials already loaded, which have the captures `known`: no two
    /// may have the same capture, and the trial's own document may not differ from the report of the run.
    fn trial(
        &self,
        path: &Path,
        at: &Range<usize>,
        stored: StoredTrial<'_>,
        known: &BTreeSet<String>,
    ) -> Trial {
        let recorded = text(&self.bytes, at);
        let flaw = stored.capture_name().and_then(|name| {
            if known.contains(name) {
                return Some(Flaw::CaptureUsedTwice);
            }
            let (stem, _) = name.rsplit_once('.')?;
            let copy = path.with_file_name(format!("{stem}.json"));
            (self.document.is_report && !agrees(&copy, recorded)).then_some(Flaw::CopiesDiffer)
        });
        let mut trial = stored.load(path, &self.document, flaw);
        // Another version may have worded the report differently.
        if self.document.tool.version == host::this_tool().version {
            trial.recorded = Some(recorded.to_owned());
        }
        trial.host = Some(Rc::clone(&self.host));
        trial.evidence_sources = Some(self.document.evidence_sources.clone());
        trial
    }
}

/// Iterator over the trials in a directory: first those in the report of the run, then those with only their own
/// document, because the run was killed before it wrote the report, then captures without any document. Links inside
/// the directory are not followed: only its own files are judged.
pub(super) struct DirectoryTrials {
    directory: PathBuf,
    /// Documents that were not opened yet.
    documents: VecDeque<String>,
    /// Captures that were not visited yet.
    captures: VecDeque<String>,
    /// Document that is being read.
    current: Option<DocumentTrials>,
    /// Captures that documents describe.
    described: BTreeSet<String>,
    /// True if there is anything to judge, or the error that there is nothing was returned.
    has_any: bool,
}

impl DirectoryTrials {
    /// Lists the directory. Fails if it cannot be read.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let mut names =
            names(directory).map_err(|error| unreadable(directory, not_read(&error)))?;
        let report = names.take(REPORT);
        // A killed run may leave an empty file, which it had created but not yet written.
        let is_empty = |name: &String| {
            fs::symlink_metadata(directory.join(name)).is_ok_and(|it| it.is_file() && it.len() == 0)
        };
        names.retain(|name| !is_empty(name));
        let is_document = |name: &&String| {
            let stem = name.strip_suffix(".json");
            stem.is_some_and(|stem| parts_of_stem(stem).is_some())
        };
        let is_capture = |name: &&String| {
            let kind = name.rsplit_once('.').map(|(_, kind)| kind);
            kind.and_then(Format::of_extension).is_some()
        };
        Ok(Self {
            directory: directory.to_owned(),
            documents: (report.into_iter())
                .chain(names.iter().filter(is_document).cloned())
                .collect(),
            captures: names.iter().filter(is_capture).cloned().collect(),
            current: None,
            described: BTreeSet::new(),
            has_any: false,
        })
    }

    /// Opens the next document that describes a capture of which no other one does.
    fn next_document(&mut self) -> Option<DocumentTrials> {
        let described = &self.described;
        let is_known = |name: &str| captures_of(name).iter().any(|it| described.contains(it));
        let name = iter::from_fn(|| self.documents.pop_front()).find(|name| !is_known(name))?;
        Some(DocumentTrials::open(
            self.directory.join(name),
            Links::Refused,
            None,
        ))
    }

    /// Returns the next trial that a document describes.
    fn next_described(&mut self) -> Option<Result<Trial, Error>> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(trial) = current.next() {
                    return Some(trial);
                }
                self.described.extend(current.captures().iter().cloned());
            }
            self.current = self.next_document();
            self.current.as_ref()?;
            self.has_any = true;
        }
    }

    /// Returns the path of the next capture that no document describes.
    fn next_capture(&mut self) -> Option<PathBuf> {
        let described = &self.described;
        let name =
            iter::from_fn(|| self.captures.pop_front()).find(|name| !described.contains(name))?;
        Some(self.directory.join(name))
    }
}

impl Iterator for DirectoryTrials {
    type Item = Result<Trial, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(trial) = self.next_described() {
            return Some(trial);
        }
        let capture = self.next_capture();
        if capture.is_none() && self.has_any {
            return None;
        }
        self.has_any = true;
        Some(match capture {
            Some(capture) => orphan(&capture, Links::Refused),
            None => Err(Error::File {
                action: "find evidence in",
                path: self.directory.clone(),
                reason: format!(
                    "it contains no {REPORT} and no capture; expected a directory written by `rstproof run -w`"
                ),
            }),
        })
    }
}

/// Returns an iterator over the trials of these captures. The document that should describe them is in the same
/// directory.
pub(super) fn described_by(
    document: PathBuf,
    names: BTreeSet<String>,
) -> impl Iterator<Item = Result<Trial, Error>> {
    let orphans = names.clone();
    let mut trials = DocumentTrials::open(document, Links::Followed, Some(names));
    let mut orphans = orphans.into_iter();
    iter::from_fn(move || {
        trials.next().or_else(|| {
            let name = orphans.find(|name| !trials.captures().contains(name))?;
            Some(orphan(&trials.path.with_file_name(name), Links::Followed))
        })
    })
}

fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    // File names that are not UTF-8 were not written by this program.
    let names = names_in(directory)?.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// Escapes the texts of a host from an untrusted document for output.
fn printable_host(host: &Host) -> Host {
    Host {
        sysname: printable(&host.sysname),
        release: printable(&host.release),
        version: printable(&host.version),
        machine: printable(&host.machine),
        libpcap: printable(&host.libpcap),
    }
}

/// Returns the captures of the document's own stem.
fn own_captures(path: &Path) -> BTreeSet<String> {
    let name = path.file_name().and_then(OsStr::to_str);
    name.map_or_else(BTreeSet::new, |name| captures_of(name).into())
}

/// Returns the names that the capture of a document of this name may have.
fn captures_of(document: &str) -> [String; 2] {
    let stem = document.rsplit_once('.').map_or(document, |(stem, _)| stem);
    [Format::PcapNg, Format::Pcap].map(|it| format!("{stem}.{}", it.extension()))
}

/// Returns true if the trial in its own document equals the one in the report, or if there is no such document.
fn agrees(copy: &Path, trial: &str) -> bool {
    match read_file(copy, MAX_CAPTURE, Links::Refused) {
        Ok(bytes) => only_trial(&bytes).is_some_and(|own| own == trial || are_equal(own, trial)),
        Err(why) => why == NotRead::Refused(Errno::ENOENT),
    }
}
