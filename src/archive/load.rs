//! Finds saved trials and makes evidence of them again, with whatever they lack or contradict themselves in.
//!
//! Every file here is taken for hostile: it may be anything, of any length, and name any other. What is wrong with one
//! trial is a [`Flaw`] of that trial, and what is wrong with a document an error, and neither keeps the others from
//! being judged.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::save::system;
use super::{REPORT, TRANSCRIPT, sha256, transcript_sha256};
use crate::error::{Error, reason};
use crate::evidence::{Completeness, Evidence, Flaw};
use crate::file::{Block, Format, Malformed, Reader};
use crate::packet::{Flags, Link, Packet, decode};
use crate::report::{
    CaptureReport, Host, PacketReport, SCHEMA, Source, Tool, TrialReport, packets,
};
use crate::scenario::{self, Family, Scenario};
use crate::time::Timestamp;
use crate::transcript::{Call, Errno, Op, Outcome, Role};
use crate::verdict::{Verdict, judge};

/// The capture of a trial has some kilobytes. One of more bytes than this is none.
const LONGEST_CAPTURE: u64 = 256 << 20;

/// A saved trial.
#[derive(Debug)]
pub struct Trial {
    /// Its scenario; [`scenario::UNKNOWN`] if there is none of its name here.
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
}

impl Trial {
    /// Judges it again, from what was saved alone.
    #[must_use]
    pub fn report(&self) -> TrialReport {
        let (scenario, family, run) = (self.scenario, self.family, self.run);
        let mut report = if let Some(why) = &self.skipped {
            TrialReport::skipped(scenario, family, run, why.clone())
        } else {
            let (interface, evidence) = (&self.capture.interface, &self.evidence);
            let judgement = judge(scenario, evidence);
            TrialReport::new(scenario, family, run, interface, evidence, &judgement)
        };
        report.scenario = self.name.clone().into();
        report.capture_file.clone_from(&self.capture_file);
        report.capture_sha256.clone_from(&self.capture_sha256);
        report.evidence = Some(self.source.clone());
        report
    }
}

/// Gives every trial that this argument stands for: a directory, a document or a capture. What cannot be read at all
/// is an error in its place.
pub fn each(
    argument: &Path,
    take: &mut impl FnMut(Result<Trial, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    match fs::metadata(argument) {
        Err(error) => take(Err(Error::file("open", argument, &error))),
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
        Err(error) => return take(Err(Error::file("read", directory, &error))),
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
            spoken_of.insert(stem);
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

/// A document of schema 1; fields that are not needed here are passed over.
#[derive(Deserialize)]
struct Document<'a> {
    schema: u32,
    tool: Tool,
    host: Rc<Host>,
    #[serde(borrow)]
    trials: Vec<&'a RawValue>,
    capture: CaptureReport,
}

/// The trials of a document, or only that of this capture. Gives the stems of the files that it speaks of.
fn each_of_document(
    path: &Path,
    only: Option<&str>,
    take: Take<'_>,
) -> Result<BTreeSet<String>, Error> {
    let mut stems = BTreeSet::new();
    let bytes = match read_file(path, u64::MAX) {
        Ok(bytes) => bytes,
        Err(error) => return take(Err(Error::file("read", path, &error))).map(|()| stems),
    };
    let document = match document(path, &bytes) {
        Ok(document) => document,
        Err(error) => return take(Err(error)).map(|()| stems),
    };
    let is_report = path.file_name() == Some(OsStr::new(REPORT));
    for raw in &document.trials {
        let stored: StoredTrial<'_> = match serde_json::from_str(raw.get()) {
            Ok(stored) => stored,
            Err(error) => {
                let start = raw.get().as_ptr().addr() - bytes.as_ptr().addr();
                take(Err(malformed(
                    path,
                    start + offset(raw.get().as_bytes(), &error),
                    &error,
                )))?;
                continue;
            }
        };
        if only.is_some() && stored.capture_file.as_deref() != only {
            continue;
        }
        let stem = stored
            .capture_file
            .as_deref()
            .and_then(|name| name.rsplit_once('.'));
        let stem = stem.map(|(stem, _)| stem.to_owned());
        let copy = stem
            .as_ref()
            .filter(|_| is_report)
            .map(|stem| path.with_file_name(format!("{stem}.json")));
        let copies_agree = copy.is_none_or(|copy| agrees(&copy, raw.get()));
        let mut trial = stored.load(path, &document);
        if !copies_agree && trial.evidence.flaw.is_none() {
            trial.evidence.flaw = Some(Flaw::CopiesDiffer);
        }
        take(Ok(trial))?;
        stems.extend(stem);
    }
    Ok(stems)
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
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    own.get() == trial || value(own.get()).is_some_and(|own| Some(own) == value(trial))
}

/// A trial as a document has it; what the judge finds out for itself is left out.
#[derive(Deserialize)]
struct StoredTrial<'a> {
    #[serde(borrow)]
    scenario: Cow<'a, str>,
    family: Family,
    run: u32,
    verdict: Option<Verdict>,
    skipped: Option<String>,
    capture_file: Option<String>,
    capture_sha256: Option<String>,
    began_realtime_ns: i64,
    client: Option<SocketAddr>,
    server: Option<SocketAddr>,
    calls: Vec<StoredCall>,
    packets: Vec<PacketReport>,
    completeness: Option<Completeness>,
}

#[derive(Deserialize)]
#[serde(try_from = "RawCall<'_>")]
struct StoredCall {
    role: Role,
    op: Op,
    began_ns: i64,
    ended_ns: i64,
    outcome: Outcome,
}

#[derive(Deserialize)]
struct RawCall<'a> {
    role: Role,
    #[serde(borrow)]
    call: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Cow<'a, str>,
    began_ns: i64,
    ended_ns: i64,
    result: StoredResult,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredResult {
    ok: Option<i64>,
    errno: Option<Errno>,
    so_error: Option<Errno>,
    unfinished: Option<bool>,
}

impl TryFrom<RawCall<'_>> for StoredCall {
    type Error = String;

    fn try_from(raw: RawCall<'_>) -> Result<Self, String> {
        let shown = || format!("{}({})", raw.call, raw.arguments);
        let op = Op::of_call(&raw.call, &raw.arguments)
            .ok_or_else(|| format!("this version knows no call {}", shown()))?;
        let StoredResult {
            ok,
            errno,
            so_error,
            unfinished,
        } = raw.result;
        let outcome = match (ok, errno, so_error, unfinished) {
            (Some(0), None, so_error, None) if op == Op::SocketError => {
                Outcome::SocketError(so_error)
            }
            (Some(value), None, None, None) => Outcome::Returned(value),
            (None, Some(errno), None, None) => Outcome::Failed(errno),
            (None, None, None, Some(true)) => Outcome::Unfinished,
            _ => return Err(format!("the result of {} is none", shown())),
        };
        Ok(Self {
            role: raw.role,
            op,
            began_ns: raw.began_ns,
            ended_ns: raw.ended_ns,
            outcome,
        })
    }
}

/// Where nothing is known of an address.
const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

const UNKNOWN_COMPLETENESS: Completeness = Completeness {
    fence_seen: false,
    fence: None,
    dropped: 0,
    filter_lets_all_through: true,
    clock_step_ns: 0,
};

impl StoredTrial<'_> {
    /// Makes evidence of it and of its capture, which lies beside the document.
    fn load(self, document_path: &Path, document: &Document<'_>) -> Trial {
        let known = scenario::find(&self.scenario);
        let capture = self.capture_path(document_path);
        let file = capture.as_deref().unwrap_or(document_path);
        let source = Source {
            file: file.display().to_string(),
            recorded: self.verdict,
            release: Some(document.host.release.clone()),
            version: Some(document.tool.version.to_string()),
        };
        let (evidence, flaw) = match (&self.skipped, capture) {
            (Some(_), _) => (self.transcript(), None),
            (None, None) => (self.transcript(), Some(Flaw::CaptureMissing)),
            (None, Some(path)) => self.join(&path, document),
        };
        let flaw = if known.is_none() && self.skipped.is_none() {
            Some(Flaw::ScenarioUnknown)
        } else {
            flaw
        };
        Trial {
            scenario: known.unwrap_or(&scenario::UNKNOWN),
            family: self.family,
            run: self.run,
            skipped: self.skipped,
            host: Some(Rc::clone(&document.host)),
            capture: document.capture.clone(),
            evidence: Evidence { flaw, ..evidence },
            name: self.scenario.into_owned(),
            capture_file: self.capture_file,
            capture_sha256: self.capture_sha256,
            source,
        }
    }

    /// Beside the document and nowhere else, whatever is written there.
    fn capture_path(&self, document: &Path) -> Option<PathBuf> {
        let name = Path::new(self.capture_file.as_ref()?);
        (name.file_name() == Some(name.as_os_str())).then(|| document.with_file_name(name))
    }

    /// What the sockets said.
    fn transcript(&self) -> Evidence {
        let began = self.began_realtime_ns;
        let at = |ns: i64| Timestamp(began.saturating_add(ns));
        let calls = self.calls.iter().map(|call| Call {
            role: call.role,
            op: call.op,
            began: at(call.began_ns),
            ended: at(call.ended_ns),
            outcome: call.outcome,
        });
        Evidence {
            client: self.client.unwrap_or(NOWHERE),
            server: self.server.unwrap_or(NOWHERE),
            began: Timestamp(began),
            calls: calls.collect(),
            packets: Vec::new(),
            completeness: self.completeness.unwrap_or(UNKNOWN_COMPLETENESS),
            flaw: None,
        }
    }

    /// Transcript and capture, and what they do not agree in.
    fn join(&self, path: &Path, document: &Document<'_>) -> (Evidence, Option<Flaw>) {
        let mut evidence = self.transcript();
        let bytes = match read_file(path, LONGEST_CAPTURE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return (evidence, Some(Flaw::CaptureMissing));
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
                return (evidence, Some(Flaw::CaptureNotOpened(Errno(errno))));
            }
        };
        let capture = Capture::read(&bytes);
        let hash = transcript_sha256(&self.scenario, self.family, self.run, &evidence);
        evidence.packets = capture.packets;
        // What the files show counts, not what is written of them.
        let fence = evidence.completeness.fence;
        evidence.completeness.fence_seen &= fence
            .zip(evidence.packets.last())
            .is_some_and(|(fence, last)| fence.is(last));
        let losses = &mut evidence.completeness.dropped;
        *losses = (*losses).max(capture.dropped);
        let of_this_host = capture.os.is_none_or(|os| os == system(&document.host));
        let flaw = if let Some(flaw) = capture.flaw {
            Some(flaw)
        } else if capture.transcript.is_some_and(|of| of != hash) || !of_this_host {
            Some(Flaw::TranscriptAltered)
        } else if let Some(frame) = self.first_difference(&evidence, &document.capture) {
            Some(Flaw::FrameAltered(frame))
        } else {
            let same = self.capture_sha256.as_deref() == Some(&sha256(&bytes));
            (!same || !capture.is_bound).then_some(Flaw::CaptureAltered)
        };
        (evidence, flaw)
    }

    /// The first frame of which transcript and capture do not say the same.
    fn first_difference(&self, evidence: &Evidence, capture: &CaptureReport) -> Option<u32> {
        let seen = packets(evidence, &capture.interface);
        let longest = seen.len().max(self.packets.len());
        (0..longest).find_map(|index| match (seen.get(index), self.packets.get(index)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(one), Some(other)) => Some(one.frame.min(other.frame)),
            (one, other) => one.or(other).map(|packet| packet.frame),
        })
    }
}

/// A capture file, as far as it can be read.
#[derive(Default)]
struct Capture {
    packets: Vec<Packet>,
    /// When its first frame was stamped.
    began: Option<Timestamp>,
    interface: Option<String>,
    filter: Option<String>,
    os: Option<String>,
    /// The hash of the transcript that it was saved with.
    transcript: Option<String>,
    /// Whether it says by itself which transcript it belongs to, if its format can.
    is_bound: bool,
    dropped: u64,
    flaw: Option<Flaw>,
}

impl Capture {
    fn read(bytes: &[u8]) -> Self {
        let mut this = Self::default();
        match this.take_all(bytes) {
            Ok(()) => {}
            Err(flaw) => this.flaw = Some(flaw),
        }
        this
    }

    fn take_all(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let malformed = |malformed: Malformed| Flaw::CaptureMalformed(malformed);
        let reader = Reader::new(bytes).map_err(malformed)?;
        let format = reader.format();
        // By number; the reader numbers interfaces through the whole file.
        let mut links = Vec::new();
        let mut received = None;
        for block in reader {
            match block.map_err(malformed)? {
                Block::Section(section) => {
                    self.os = section.os.map(Cow::into_owned);
                    let hash = section
                        .comments
                        .iter()
                        .find_map(|text| text.strip_prefix(TRANSCRIPT));
                    self.transcript = hash.map(str::to_owned);
                }
                Block::Interface(interface) => {
                    links.push(interface.link);
                    self.interface = interface.name.map(Cow::into_owned);
                    self.filter = interface.filter.map(Cow::into_owned);
                }
                Block::Frame(frame) => {
                    let index = usize::try_from(frame.interface).unwrap_or(usize::MAX);
                    let link = links.get(index).copied().unwrap_or_default();
                    let link = Link::from_number(link.into()).ok_or(Flaw::LinkType(link))?;
                    let number = u32::try_from(self.packets.len() + 1).unwrap_or(u32::MAX);
                    self.began.get_or_insert(frame.at);
                    self.packets
                        .push(decode(link, number, frame.at, frame.captured));
                }
                Block::Statistics(statistics) => {
                    received = statistics.received;
                    self.dropped = statistics.dropped.unwrap_or(0);
                }
            }
        }
        self.is_bound = format == Format::Pcap || self.transcript.is_some();
        let held = self.packets.len() as u64;
        if format == Format::PcapNg && received != Some(held) {
            return Err(Flaw::FramesMissing { held, received });
        }
        Ok(())
    }
}

/// A capture that nothing speaks of: what it shows is shown, but of what the sockets said nothing is known.
fn orphan(path: &Path) -> Result<Trial, Error> {
    let failed = |reason: String| Error::File {
        action: "read",
        path: path.to_owned(),
        reason,
    };
    let bytes = read_file(path, LONGEST_CAPTURE).map_err(|error| failed(reason(&error)))?;
    let capture = Capture::read(&bytes);
    let Some((client, server)) = ends(&capture.packets) else {
        return Err(failed(match capture.flaw {
            Some(Flaw::CaptureMalformed(malformed)) => malformed.to_string(),
            Some(flaw) => flaw.to_string(),
            None => "it holds no TCP segment, so there is nothing to judge".to_owned(),
        }));
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
    let (scenario, family, run) = parts_of_stem(stem).unwrap_or_else(|| {
        let family = if client.is_ipv4() {
            Family::Ipv4
        } else {
            Family::Ipv6
        };
        (stem, family, 1)
    });
    let known = scenario::find(scenario);
    Ok(Trial {
        scenario: known.unwrap_or(&scenario::UNKNOWN),
        family,
        run,
        skipped: None,
        host: None,
        capture: CaptureReport {
            interface: capture.interface.unwrap_or_default(),
            filter: capture.filter.unwrap_or_default(),
            dropped: capture.dropped,
        },
        evidence: Evidence {
            client,
            server,
            began: capture.began.unwrap_or_default(),
            calls: Vec::new(),
            packets: capture.packets,
            completeness: UNKNOWN_COMPLETENESS,
            flaw: Some(Flaw::TranscriptMissing),
        },
        name: scenario.to_owned(),
        capture_file: Some(name.clone().into_owned()),
        capture_sha256: Some(sha256(&bytes)),
        source: Source {
            file: path.display().to_string(),
            recorded: None,
            release: None,
            version: None,
        },
    })
}

/// Client and server: who sends the first SYN and to whom, or who sends the first segment.
fn ends(packets: &[Packet]) -> Option<(SocketAddr, SocketAddr)> {
    let segments = packets.iter().filter_map(|packet| match packet {
        Packet::Tcp(segment) => Some(segment),
        _ => None,
    });
    let opens = |flags: Flags| flags.has(Flags::SYN) && !flags.has(Flags::ACK);
    let first = segments.clone().find(|segment| opens(segment.flags));
    let first = first.or_else(|| segments.clone().next())?;
    Some((first.source, first.destination))
}

/// Scenario, family and run that a trial's files are named after.
fn parts_of_stem(stem: &str) -> Option<(&str, Family, u32)> {
    let family = |name| match name {
        "ipv4" => Some(Family::Ipv4),
        "ipv6" => Some(Family::Ipv6),
        _ => None,
    };
    let (rest, last) = stem.rsplit_once('.')?;
    if let Some(family) = family(last) {
        return Some((rest, family, 1));
    }
    let (scenario, name) = rest.rsplit_once('.')?;
    Some((scenario, family(name)?, last.parse().ok()?))
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
