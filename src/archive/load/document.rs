//! Documents of [`SCHEMA`]: their trials, as far as these are judged again, and the offset of the first error if a
//! document is malformed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::capture::Capture;
use super::stored::StoredTrial;
use super::{LONGEST_CAPTURE, LONGEST_DOCUMENT, Links, Take, Trial, read_file, unreadable};
use crate::archive::{REPORT, names, recorder};
use crate::error::Error;
use crate::host;
use rstproof_core::evidence::{Flaw, NotRead};
use rstproof_core::printable::printable;
use rstproof_core::report::{CaptureReport, EvidenceSources, Header, Host, SCHEMA, Tool};

/// Maximum number of trials in a document. `LONGEST_DOCUMENT` allows fewer genuine trials, which have some kilobytes
/// each, but far more elements that are not trials.
const MOST_TRIALS: usize = 4_000_000;

/// Maximum number of calls, and of steps, in a trial. A genuine script has a dozen calls.
const MOST_CALLS: usize = 1_000;

/// Maximum length of the name of a kernel, program or interface, in bytes. The longest genuine ones, in
/// `struct utsname`, have 64 bytes. Names are repeated for each trial or frame, so long ones would take much memory.
const LONGEST_NAME: usize = 1024;

/// Maximum length of a filter, in bytes: a filter is stored in one option of a pcapng interface block.
const LONGEST_FILTER: usize = 65_535;

/// Document of a run or of one trial. Fields that are not needed here are ignored.
pub(super) struct Document<'a> {
    pub(super) tool: Tool,
    pub(super) host: Host,
    evidence_sources: EvidenceSources,
    pub(super) capture: CaptureReport,
    /// Result of [`recorder`], which the hashes of the trials cover.
    pub(super) recorder: String,
    /// True for the report of a whole run, whose trials were not all captured with the same filter.
    is_report: bool,
    trials: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Stored<'a> {
    tool: Tool,
    host: Host,
    evidence_sources: EvidenceSources,
    capture: CaptureReport,
    #[serde(borrow, deserialize_with = "trials")]
    trials: Vec<&'a RawValue>,
}

/// Deserializes the trials of a document. Fails if there are more than [`MOST_TRIALS`].
fn trials<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'de RawValue>, D::Error> {
    struct Trials;
    impl<'de> Visitor<'de> for Trials {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("trials")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(trial) = access.next_element()? {
                // Checked while parsing, before a hostile document has filled the memory.
                if all.len() == MOST_TRIALS {
                    return Err(de::Error::custom(format_args!(
                        "more than {MOST_TRIALS} trials"
                    )));
                }
                all.push(trial);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_seq(Trials)
}

#[derive(Deserialize)]
struct Schema {
    schema: u64,
}

impl Document<'_> {
    /// Returns true if interface, filter and losses in the document are those in the capture, as far as the capture has
    /// them.
    pub(super) fn describes(&self, capture: &Capture, interface: &str) -> bool {
        let told = &self.capture;
        let is = |saved: &Option<String>, told: &str| saved.as_ref().is_none_or(|it| it == told);
        is(&capture.interface, interface)
            && (self.is_report || is(&capture.filter, &told.filter))
            && (self.is_report || capture.filter.is_none() || capture.dropped == told.dropped)
    }

    /// Loads the trial `stored` and checks it against the trials already loaded: no two may have the same capture, and
    /// the trial's own document may not differ from the report of the run.
    fn trial(&self, path: &Path, raw: &RawValue, stored: StoredTrial<'_>, seen: &Seen) -> Trial {
        let known = stored.capture_name().and_then(|name| {
            // Otherwise one capture could prove any number of trials.
            if seen.captures.contains(name) {
                return Some(Flaw::CaptureUsedTwice);
            }
            let (stem, _) = name.rsplit_once('.')?;
            let copy = path.with_file_name(format!("{stem}.json"));
            (self.is_report && !agrees(&copy, raw.get())).then_some(Flaw::CopiesDiffer)
        });
        let mut trial = stored.load(path, self, known);
        // Another version may have worded the report differently.
        if self.tool.version == host::this_tool().version {
            trial.recorded = Some(raw.get().to_owned());
        }
        trial.host = Some(Rc::clone(&seen.host));
        trial.evidence_sources = Some(self.evidence_sources.clone());
        trial
    }
}

/// Host of a document, and the captures of the trials read so far.
struct Seen {
    host: Rc<Host>,
    captures: BTreeSet<String>,
}

/// Passes the trials of a document, or only those with captures in `only`, to `take`. Returns the names of all captures
/// in the document. A document or trial that cannot be read is assumed to describe the captures of the document's own
/// stem. Fails only with an error of `take`.
pub(super) fn each_of_document(
    path: &Path,
    links: Links,
    only: Option<&BTreeSet<String>>,
    take: Take<'_>,
) -> Result<BTreeSet<String>, Error> {
    let read = read_file(path, LONGEST_DOCUMENT, links).map_err(|why| unreadable(path, why));
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => return take(Err(error)).map(|()| own_captures(path)),
    };
    let document = match document(path, &bytes) {
        Ok(document) => document,
        Err(error) => return take(Err(error)).map(|()| own_captures(path)),
    };
    let mut seen = Seen {
        host: Rc::new(printable_host(&document.host)),
        captures: BTreeSet::new(),
    };
    for raw in &document.trials {
        let stored = match stored_trial(path, &bytes, raw) {
            Ok(stored) => stored,
            Err(error) => {
                take(Err(error))?;
                seen.captures.extend(own_captures(path));
                continue;
            }
        };
        let name = stored.capture_name().map(str::to_owned);
        let wanted = |only: &BTreeSet<String>| name.as_ref().is_some_and(|it| only.contains(it));
        if only.is_none_or(wanted) {
            take(Ok(document.trial(path, raw, stored, &seen)))?;
        }
        seen.captures.extend(name);
    }
    Ok(seen.captures)
}

/// Returns the header of a document: program, host and evidence sources. Fails if it is malformed or has
/// another schema.
pub(crate) fn header(path: &Path, bytes: &[u8]) -> Result<Header, Error> {
    let document = document(path, bytes)?;
    Ok(Header {
        schema: SCHEMA,
        tool: document.tool,
        host: document.host,
        evidence_sources: document.evidence_sources,
    })
}

/// Deserializes every trial of a document as `T` and passes it to `take`. Fails at the first malformed one.
pub(crate) fn trials_of<'a, T: Deserialize<'a>>(
    path: &Path,
    bytes: &'a [u8],
    mut take: impl FnMut(T),
) -> Result<(), Error> {
    for raw in document(path, bytes)?.trials {
        take(read_trial(path, bytes, raw)?);
    }
    Ok(())
}

fn read_trial<'a, T: Deserialize<'a>>(
    path: &Path,
    bytes: &[u8],
    raw: &'a RawValue,
) -> Result<T, Error> {
    serde_json::from_str(raw.get()).map_err(|error| {
        // A raw value borrows from `bytes`, so the distance between their addresses is its offset in the document.
        let start = raw.get().as_ptr().addr() - bytes.as_ptr().addr();
        malformed(path, start + offset(raw.get().as_bytes(), &error), &error)
    })
}

fn stored_trial<'a>(
    path: &Path,
    bytes: &[u8],
    raw: &'a RawValue,
) -> Result<StoredTrial<'a>, Error> {
    let mut stored: StoredTrial<'_> = read_trial(path, bytes, raw)?;
    // Read on its own, not flattened into the trial: then an error has its exact offset.
    stored.sources = read_trial(path, bytes, raw)?;
    if stored.calls.len() > MOST_CALLS {
        let calls = stored.calls.len();
        return Err(refused(
            path,
            format!("a trial has {calls} calls, more than {MOST_CALLS}"),
        ));
    }
    if stored.steps.len() > MOST_CALLS {
        let steps = stored.steps.len();
        return Err(refused(
            path,
            format!("a trial has {steps} steps, more than {MOST_CALLS}"),
        ));
    }
    stored
        .sources
        .check()
        .map_err(|reason| refused(path, reason))?;
    Ok(stored)
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

fn own_captures(path: &Path) -> BTreeSet<String> {
    let stem = path.file_stem().and_then(OsStr::to_str);
    stem.map(|stem| ["pcapng", "pcap"].map(|kind| format!("{stem}.{kind}")))
        .into_iter()
        .flatten()
        .collect()
}

fn document<'a>(path: &Path, bytes: &'a [u8]) -> Result<Document<'a>, Error> {
    // A document of another schema usually fails to parse as well; the schema is then the more useful error.
    let result = serde_json::from_slice::<Stored<'_>>(bytes);
    // Parsed separately, because the other fields of another schema are unknown here.
    let schema = serde_json::from_slice::<Schema>(bytes);
    if let Ok(Schema { schema }) = schema
        && schema != u64::from(SCHEMA)
    {
        let fix = if schema < u64::from(SCHEMA) {
            "record it again with `rstproof run -w DIR`"
        } else {
            "read it with a newer version"
        };
        let reason =
            format!("it has schema {schema}, but this version reads schema {SCHEMA}; {fix}");
        return Err(refused(path, reason));
    }
    let stored = result
        .and_then(|stored| schema.map(|_| stored))
        .map_err(|error| malformed(path, offset(bytes, &error), &error))?;
    let longest = names(&stored.tool, &stored.host)
        .into_iter()
        .chain([&*stored.capture.interface])
        .chain(stored.evidence_sources.reasons())
        .map(str::len)
        .max();
    if stored.capture.filter.len() > LONGEST_FILTER {
        let reason = format!("its filter is longer than {LONGEST_FILTER} bytes");
        return Err(refused(path, reason));
    }
    if longest > Some(LONGEST_NAME) {
        let reason = format!("it has a name longer than {LONGEST_NAME} bytes");
        return Err(refused(path, reason));
    }
    let header = Header {
        schema: SCHEMA,
        tool: stored.tool,
        host: stored.host,
        evidence_sources: stored.evidence_sources,
    };
    Ok(Document {
        recorder: recorder(&header),
        tool: header.tool,
        host: header.host,
        evidence_sources: header.evidence_sources,
        capture: stored.capture,
        is_report: path.file_name() == Some(OsStr::new(REPORT)),
        trials: stored.trials,
    })
}

/// Returns the error for a document that is refused, with the reason.
pub(crate) fn refused(path: &Path, reason: String) -> Error {
    Error::File {
        action: "read",
        path: path.to_owned(),
        reason,
    }
}

fn malformed(path: &Path, offset: usize, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // The message has a byte offset instead of the line and column of serde_json.
    let text = text.split(" at line ").next().unwrap_or(&text);
    refused(path, format!("byte {offset}: {text}"))
}

/// Returns the byte offset of a parse error, from its line and column.
fn offset(bytes: &[u8], error: &serde_json::Error) -> usize {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let before = lines.take(error.line().saturating_sub(1));
    before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1)
}

/// Returns true if the trial in its own document equals the one in the report, or if there is no such document.
fn agrees(copy: &Path, trial: &str) -> bool {
    let bytes = match read_file(copy, LONGEST_CAPTURE, Links::Refused) {
        Ok(bytes) => bytes,
        Err(why) => return why == NotRead::Refused(rstproof_core::transcript::Errno::ENOENT),
    };
    let Ok(stored) = serde_json::from_slice::<Stored<'_>>(&bytes) else {
        return false;
    };
    let [own] = stored.trials[..] else {
        return false;
    };
    own.get() == trial || are_equal(own.get(), trial)
}

/// Returns true if both texts are the same JSON, and neither has an object with a duplicate name. Ignores the field
/// that `check` adds to a trial.
pub(super) fn are_equal(one: &str, other: &str) -> bool {
    let value = |text| {
        let mut value = serde_json::from_str::<Unambiguous>(text).ok()?;
        if let Unambiguous::Map(fields) = &mut value {
            fields.remove("evidence");
        }
        serde_json::to_string(&value).ok()
    };
    value(one).is_some_and(|one| Some(one) == value(other))
}

/// JSON value in which a duplicate name is an error, because readers differ in which one counts.
#[derive(Serialize)]
#[serde(untagged)]
enum Unambiguous {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Unambiguous>),
    Map(BTreeMap<String, Unambiguous>),
}

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Unambiguous::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unambiguous, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, value)) = fields.next_entry::<String, Unambiguous>()? {
            if map.insert(name, value).is_some() {
                return Err(de::Error::custom("a name occurs twice"));
            }
        }
        Ok(Unambiguous::Map(map))
    }
}
