//! Documents of schema 1, as far as they are judged again: which trials they speak of, and where it goes wrong if they
//! are none.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stored::StoredTrial;
use super::{Take, are_equal, read_file, unreadable};
use crate::archive::REPORT;
use crate::error::Error;
use crate::evidence::Flaw;
use crate::report::human::printable;
use crate::report::{CaptureReport, Host, SCHEMA, Tool};

/// A document of schema 1; fields that are not needed here are passed over.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    schema: u32,
    pub(super) tool: Tool,
    pub(super) host: Host,
    #[serde(borrow)]
    trials: Vec<&'a RawValue>,
    pub(super) capture: CaptureReport,
}

/// The trials of a document, or only that of this capture. Gives the stems of the captures that it speaks of; of one
/// that cannot be read it is not known, but its own may be meant.
pub(super) fn each_of_document(
    path: &Path,
    only: Option<&str>,
    take: Take<'_>,
) -> Result<BTreeSet<String>, Error> {
    let mut stems = BTreeSet::new();
    let read = read_file(path, u64::MAX).map_err(|error| unreadable(path, &error));
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => return take(Err(error)).map(|()| own_stem(path)),
    };
    let document = match document(path, &bytes) {
        Ok(document) => document,
        Err(error) => return take(Err(error)).map(|()| own_stem(path)),
    };
    let host = Rc::new(printable_host(&document.host));
    let is_report = path.file_name() == Some(OsStr::new(REPORT));
    for raw in &document.trials {
        let stored: StoredTrial<'_> = match serde_json::from_str(raw.get()) {
            Ok(stored) => stored,
            Err(error) => {
                let start = raw.get().as_ptr().addr() - bytes.as_ptr().addr();
                let at = start + offset(raw.get().as_bytes(), &error);
                take(Err(malformed(path, at, &error)))?;
                continue;
            }
        };
        if only.is_some() && stored.capture_file.as_deref() != only {
            continue;
        }
        let stem = stored.stem().map(str::to_owned);
        let mut trial = stored.load(path, &document, raw);
        trial.host = Some(Rc::clone(&host));
        if let Some(stem) = &stem
            && is_report
            && !agrees(&path.with_file_name(format!("{stem}.json")), raw.get())
        {
            trial.evidence.flaw.get_or_insert(Flaw::CopiesDiffer);
        }
        take(Ok(trial))?;
        stems.extend(stem);
    }
    Ok(stems)
}

/// What people are shown of a stranger's host.
fn printable_host(host: &Host) -> Host {
    Host {
        sysname: printable(&host.sysname),
        release: printable(&host.release),
        version: printable(&host.version),
        machine: printable(&host.machine),
        libpcap: printable(&host.libpcap),
    }
}

fn own_stem(path: &Path) -> BTreeSet<String> {
    let stem = path.file_stem().and_then(OsStr::to_str);
    stem.map(str::to_owned).into_iter().collect()
}

fn document<'a>(path: &Path, bytes: &'a [u8]) -> Result<Document<'a>, Error> {
    let result = serde_json::from_slice(bytes);
    let schema = match &result {
        Ok(Document { schema, .. }) => Some(*schema),
        // It may be of a schema whose other fields are not known here.
        Err(_) => serde_json::from_slice::<Schema>(bytes)
            .ok()
            .map(|it| it.schema),
    };
    match (result, schema) {
        (_, Some(schema)) if schema != SCHEMA => Err(Error::File {
            action: "read",
            path: path.to_owned(),
            reason: format!("it is of schema {schema}, and this version reads schema {SCHEMA}"),
        }),
        (Ok(document), _) => Ok(document),
        (Err(error), _) => Err(malformed(path, offset(bytes, &error), &error)),
    }
}

#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

fn malformed(path: &Path, offset: usize, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // Where it is, is said in bytes.
    let text = text.split(" at line ").next().unwrap_or(&text);
    Error::File {
        action: "read",
        path: path.to_owned(),
        reason: format!("byte {offset}: {text}"),
    }
}

/// The byte that the parser was at.
fn offset(bytes: &[u8], error: &serde_json::Error) -> usize {
    let before = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1));
    before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1)
}

/// Whether the trial's own document, if there is one, says the same of it as the report does.
fn agrees(copy: &Path, trial: &str) -> bool {
    let bytes = match read_file(copy, u64::MAX) {
        Ok(bytes) => bytes,
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
    };
    let Ok(document) = serde_json::from_slice::<Document<'_>>(&bytes) else {
        return false;
    };
    let [own] = document.trials[..] else {
        return false;
    };
    own.get() == trial || are_equal(own.get(), trial)
}
