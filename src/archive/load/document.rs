//! Documents of [`SCHEMA`]: their trials, as far as these are judged again, and the offset of the first error if a
//! document is malformed.

use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::capture::Capture;
use super::read::refused;
use crate::archive::{REPORT, names, recorder};
use crate::error::Error;
use rstproof_core::report::{CaptureReport, EvidenceSources, Header, Host, SCHEMA, Tool};

/// Maximum number of trials in a document. `MAX_DOCUMENT` allows fewer genuine trials, which have some kilobytes
/// each, but far more elements that are not trials.
const MAX_TRIALS: usize = 4_000_000;

/// Maximum length of the name of a kernel, program or interface, in bytes. The longest genuine ones, in
/// `struct utsname`, have 64 bytes. Names are repeated for each trial or frame, so long ones would take much memory.
const MAX_NAME: usize = 1024;

/// Maximum length of a filter, in bytes: a filter is stored in one option of a pcapng interface block.
const MAX_FILTER: usize = 65_535;

/// Document of a run or of one trial. Fields that are not needed here are ignored.
pub(super) struct Document {
    pub(super) tool: Tool,
    pub(super) host: Host,
    pub(super) evidence_sources: EvidenceSources,
    pub(super) capture: CaptureReport,
    /// Result of [`recorder`], which the hashes of the trials cover.
    pub(super) recorder: String,
    /// True for the report of a whole run, whose trials were not all captured with the same filter.
    pub(super) is_report: bool,
    /// Positions of the trials in the bytes of the document.
    pub(super) trials: Vec<Range<usize>>,
}

#[derive(Deserialize)]
struct Stored<'a> {
    /// Schema, not interpreted: whatever it is, an error in another field is reported first.
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    tool: Tool,
    host: Host,
    evidence_sources: EvidenceSources,
    capture: CaptureReport,
    #[serde(borrow, deserialize_with = "trials")]
    trials: Vec<&'a RawValue>,
}

/// Deserializes the trials of a document. Fails if there are more than [`MAX_TRIALS`].
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
                if all.len() == MAX_TRIALS {
                    return Err(de::Error::custom(format_args!(
                        "more than {MAX_TRIALS} trials"
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

impl Document {
    /// Returns true if interface, filter and losses in the document are those in the capture, as far as the capture has
    /// them.
    pub(super) fn describes(&self, capture: &Capture, interface: &str) -> bool {
        let told = &self.capture;
        let is = |saved: &Option<String>, told: &str| saved.as_ref().is_none_or(|it| it == told);
        is(&capture.interface, interface)
            && (self.is_report || is(&capture.filter, &told.filter))
            && (self.is_report || capture.filter.is_none() || capture.dropped == told.dropped)
    }
}

/// Returns the header of a document: program, host and evidence sources. Fails if it is malformed or has
/// another schema.
pub(crate) fn header(path: &Path, bytes: &[u8]) -> Result<Header, Error> {
    let document = parse(path, bytes)?;
    Ok(Header {
        schema: SCHEMA,
        tool: document.tool,
        host: document.host,
        evidence_sources: document.evidence_sources,
    })
}

/// Returns an iterator over the trials of a document, each deserialized as `T`, or the error of a malformed one.
pub(crate) fn trials_of<'a, T: Deserialize<'a>>(
    path: &'a Path,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = Result<T, Error>> + 'a, Error> {
    let trials = parse(path, bytes)?.trials.into_iter();
    Ok(trials.map(|at| read_trial(path, bytes, &at)))
}

/// Deserializes the trial at this position in the document. Fails if it is malformed.
pub(super) fn read_trial<'a, T: Deserialize<'a>>(
    path: &Path,
    bytes: &'a [u8],
    at: &Range<usize>,
) -> Result<T, Error> {
    let text = text(bytes, at);
    serde_json::from_str(text)
        .map_err(|error| malformed(path, at.start + offset(text.as_bytes(), &error), &error))
}

/// Returns the text of the trial at this position in the document.
pub(super) fn text<'a>(bytes: &'a [u8], at: &Range<usize>) -> &'a str {
    // The document was parsed, so the position is that of a text.
    let text = bytes.get(at.clone()).map(std::str::from_utf8);
    text.and_then(Result::ok).unwrap_or_default()
}

/// Returns the text of the only trial in a document; `None` if it is malformed or has another number of trials.
pub(super) fn only_trial(bytes: &[u8]) -> Option<&str> {
    match serde_json::from_slice::<Stored<'_>>(bytes).ok()?.trials[..] {
        [trial] => Some(trial.get()),
        _ => None,
    }
}

/// Parses a document. Fails if it is malformed or has another schema.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Document, Error> {
    // A document of another schema usually fails to parse as well; the schema is then the more useful error.
    let result = serde_json::from_slice::<Stored<'_>>(bytes);
    let schema = result.as_ref().ok().and_then(|it| it.schema);
    let schema = match schema.map(|it| serde_json::from_str(it.get())) {
        Some(Ok(schema)) => Ok(Schema { schema }),
        // Parsed separately, because the other fields of another schema are unknown here, and for the offset of an error.
        _ => serde_json::from_slice(bytes),
    };
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
    if stored.capture.filter.len() > MAX_FILTER {
        let reason = format!("its filter is longer than {MAX_FILTER} bytes");
        return Err(refused(path, reason));
    }
    if longest > Some(MAX_NAME) {
        let reason = format!("it has a name longer than {MAX_NAME} bytes");
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
        trials: stored.trials.iter().map(|it| range(bytes, it)).collect(),
    })
}

/// Returns the position of a trial in the bytes of its document, from which it was read.
fn range(bytes: &[u8], trial: &RawValue) -> Range<usize> {
    // A raw value borrows from `bytes`, so the distance between their addresses is its offset in the document.
    let start = trial.get().as_ptr().addr() - bytes.as_ptr().addr();
    start..start + trial.get().len()
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
