//! Reports in the form that is compared: the results of each trial as text, and the observability of its kernel.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use serde::Deserialize;

use crate::archive::REPORT;
use crate::archive::load::{document_bytes, document_header, refused, trials_of};
use crate::error::Error;
use crate::host;
use rstproof_core::history::Kernel;
use rstproof_core::kernel::event::Coverage;
use rstproof_core::kernel::reason::NOT_SPECIFIED;
use rstproof_core::printable::printable;
use rstproof_core::report::{EvidenceSources, Header};
use rstproof_core::scenario::{Expect, Family, Scenario, find};
use rstproof_core::verdict::{self, Verdict};

/// Maximum number of unconfirmed trials that are kept with their reason; more would not be read.
const MAX_UNCONFIRMED: usize = 200;

/// Maximum length of a line in characters. No line that this program writes has half of it.
const MAX_LINE: usize = 500;

/// Returns the line, cut to `MAX_LINE` characters.
pub(super) fn shortened(line: &str) -> String {
    match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Contents of one report, from one kernel.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Label in the output: the version if it is known exactly, otherwise the release. `compare` makes labels unique.
    pub label: String,
    /// Release of the kernel: `uname -r`.
    pub release: String,
    /// Version string of the kernel: `uname -v`.
    pub version: String,
    /// Name of the system: `uname -s`.
    pub sysname: String,
    /// Hardware name: `uname -m`.
    pub machine: String,
    /// Linux version that the kernel corresponds to.
    pub kernel: Kernel,
    /// Version of this program that ran there.
    pub program: String,
    /// File that the report was read from.
    pub origin: String,
    /// Evidence sources of the report, besides the system calls.
    pub evidence_sources: EvidenceSources,
    /// Number of trials in the report.
    pub trials: u64,
    /// Results by scenario and family.
    pub seen: BTreeMap<(String, Family), Seen>,
    /// Facts that the trace covers; `None` if the trace was not available.
    pub coverage: Option<Coverage>,
    /// True if the trace gives reasons for aborts; `None` if no abort event had a reason field.
    pub names_aborts: Option<bool>,
    /// Counters that the kernel does not have; `None` if the counters were not read.
    pub unsupported_counters: Option<BTreeSet<String>>,
    /// Numbers of confirmed, refuted, inconclusive and skipped trials.
    pub counts: [u64; 4],
    /// Unconfirmed trials with their reasons, one line per trial.
    pub amiss: Vec<String>,
}

/// Results of the trials of one scenario over one family. Sets hold each distinct result once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Reason why the trials were skipped, if they were.
    pub skipped: Option<String>,
    /// Verdicts on the trials that are not inconclusive.
    pub verdicts: BTreeSet<&'static str>,
    /// Reason why other trials are inconclusive. Any part of their results may be missing, so they are not compared.
    pub inconclusive: Option<String>,
    /// Calls with their results, one line per call.
    pub calls: BTreeSet<Vec<String>>,
    /// RSTs, one line per RST.
    pub resets: BTreeSet<Vec<String>>,
    /// Senders and reasons of the RSTs, one line per RST; only from trials in which they are known for every RST.
    pub reasons: BTreeSet<Vec<String>>,
    /// Counters that increased, with the amounts.
    pub counters: BTreeSet<BTreeMap<String, u64>>,
}

// The stored types list only the fields that are compared, and borrow from the document: a report may have many trials.
#[derive(Deserialize)]
struct StoredTrial<'a> {
    #[serde(borrow)]
    scenario: Cow<'a, str>,
    family: Family,
    verdict: Option<Verdict>,
    skipped: Option<String>,
    #[serde(default)]
    findings: Vec<StoredRemark>,
    inconclusive_reason: Option<StoredRemark>,
    #[serde(borrow)]
    calls: Vec<StoredCall<'a>>,
    #[serde(borrow)]
    resets: Vec<StoredReset<'a>>,
    counters: BTreeMap<String, u64>,
    trace_coverage: Option<Coverage>,
    unsupported_counters: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct StoredRemark {
    message: String,
}

#[derive(Deserialize)]
struct StoredCall<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    call: Cow<'a, str>,
    #[serde(borrow)]
    arguments: Cow<'a, str>,
    result: StoredResult,
}

/// Stored result of a call: one of the variants of [`ResultReport`](rstproof_core::report::ResultReport).
#[derive(Deserialize)]
// An object may have any combination of these fields; the conversion accepts only those that are a result.
#[serde(try_from = "StoredWords")]
struct StoredResult(StoredWords);

#[derive(Deserialize)]
struct StoredWords {
    ok: Option<i64>,
    errno: Option<String>,
    so_error: Option<String>,
    revents: Option<String>,
    unfinished: Option<bool>,
}

impl TryFrom<StoredWords> for StoredResult {
    type Error = &'static str;

    fn try_from(words: StoredWords) -> Result<Self, Self::Error> {
        match (words.ok, &words.errno, words.unfinished) {
            (Some(_), None, None) | (None, Some(_), None) | (None, None, Some(true)) => {
                Ok(Self(words))
            }
            _ => Err("the result of a call is one of ok, errno and unfinished"),
        }
    }
}

#[derive(Deserialize)]
struct StoredReset<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    form: Option<String>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    kernel_reason: Option<String>,
}

/// Reads the report at a path: a file, or a directory written by `run -w`.
///
/// Fails if the file is missing or cannot be read, or if it is not a valid report.
pub fn read(path: &Path) -> Result<Subject, Error> {
    let file = if path.is_dir() {
        path.join(REPORT)
    } else {
        path.to_owned()
    };
    // Only a missing file gets this message: a file that may not be read fails with its own error below.
    let is_missing = || fs::metadata(&file).is_err_and(|it| it.kind() == io::ErrorKind::NotFound);
    if path.is_dir() && is_missing() {
        return Err(Error::File {
            action: "find a report in",
            path: path.to_owned(),
            reason: format!(
                "it contains no {REPORT}; expected a directory written by `rstproof run -w`"
            ),
        });
    }
    parse(&file, &document_bytes(&file)?)
}

/// Parses a report. `path` is used in error messages.
///
/// Fails if the document is empty, malformed or from another program, has a trial that was neither judged nor skipped,
/// or has no trials.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Subject, Error> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(refused(path, "it is empty".to_owned()));
    }
    let header = document_header(path, bytes)?;
    if header.tool.name != host::this_tool().name {
        let reason = format!(
            "the report is from {}, expected {}",
            printable(&header.tool.name),
            host::this_tool().name
        );
        return Err(refused(path, reason));
    }
    let mut subject = Subject::new(path, header);
    // A malformed trial is reported first, wherever it is.
    let mut unjudged = None;
    for trial in trials_of(path, bytes)? {
        let trial: StoredTrial<'_> = trial?;
        if trial.verdict.is_none() && trial.skipped.is_none() {
            unjudged.get_or_insert(trial.scenario.into_owned());
        } else {
            subject.take(&trial);
        }
    }
    if let Some(scenario) = unjudged {
        let reason = format!(
            "a trial of '{}' has no verdict and was not skipped",
            printable(&scenario)
        );
        return Err(refused(path, reason));
    }
    if subject.trials == 0 {
        return Err(refused(path, "it contains no trials".to_owned()));
    }
    Ok(subject)
}

impl Subject {
    fn new(path: &Path, header: Header) -> Self {
        let host = &header.host;
        let kernel = Kernel::of(&host.sysname, &host.release, &host.version);
        // An inexact version would hide which vendor's kernel it is.
        let label = match kernel.version {
            Some(version) if kernel.is_exact => version.to_string(),
            _ => printable(&host.release),
        };
        // A report may come from anyone, so no control characters of it may reach a terminal.
        Self {
            label,
            program: printable(&header.tool.version),
            release: printable(&host.release),
            version: printable(&host.version),
            sysname: printable(&host.sysname),
            machine: printable(&host.machine),
            kernel,
            origin: printable(&path.to_string_lossy()),
            evidence_sources: header.evidence_sources.printable(),
            trials: 0,
            seen: BTreeMap::new(),
            coverage: None,
            names_aborts: None,
            unsupported_counters: None,
            counts: [0; 4],
            amiss: Vec::new(),
        }
    }

    /// Returns the counts as text: `270 trials, 259 confirmed, 1 refuted, 10 skipped`.
    #[must_use]
    pub fn tally(&self) -> String {
        let [confirmed, refuted, inconclusive, skipped] = self.counts;
        let trials = if self.trials == 1 { "trial" } else { "trials" };
        let mut text = format!("{} {trials}, {confirmed} confirmed", self.trials);
        for (count, word) in [
            (refuted, "refuted"),
            (inconclusive, "inconclusive"),
            (skipped, "skipped"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {count} {word}");
            }
        }
        text
    }

    fn take(&mut self, trial: &StoredTrial<'_>) {
        self.trials += 1;
        let name = printable(&trial.scenario);
        // Expectations differ between kernels, and `StoredCall::line` needs those of this one.
        let scenario = find(&name).map(|scenario| scenario.on(self.kernel));
        let seen = self.seen.entry((name, trial.family)).or_default();
        if let Some(why) = &trial.skipped {
            seen.skipped = Some(shortened(&printable(why)));
            self.counts[3] += 1;
            return;
        }
        if let Some(verdict) = trial.verdict {
            match verdict {
                Verdict::Confirmed => self.counts[0] += 1,
                Verdict::Refuted => self.counts[1] += 1,
                Verdict::Inconclusive => self.counts[2] += 1,
            }
            if verdict != Verdict::Confirmed {
                let why = trial.findings.iter().chain(&trial.inconclusive_reason);
                let why: Vec<_> = why.map(|it| &*it.message).collect();
                let (id, family) = (&trial.scenario, trial.family.name());
                let line = format!("{} {id} {family}: {}", verdict.name(), why.join("; "));
                if self.amiss.len() < MAX_UNCONFIRMED {
                    self.amiss.push(shortened(&printable(&line)));
                }
            }
            if verdict == Verdict::Inconclusive {
                let gap = trial.inconclusive_reason.as_ref();
                let gap = gap.map(|it| shortened(&printable(&it.message)));
                seen.inconclusive = Some(gap.unwrap_or_default());
                return;
            }
            seen.verdicts.insert(verdict.name());
        }
        let calls = trial.calls.iter().enumerate();
        let calls = calls.map(|(index, call)| call.line(scenario, index));
        seen.calls.insert(calls.collect());
        seen.resets
            .insert(trial.resets.iter().map(StoredReset::line).collect());
        // A partial list would differ from the list of a kernel that reports everything.
        let told = trial.resets.iter().map(StoredReset::origin);
        if let Some(told) = told.collect::<Option<Vec<_>>>() {
            seen.reasons.insert(told);
        }
        for reset in &trial.resets {
            if reset.form.as_deref() == Some("active")
                && let Some(reason) = &reset.kernel_reason
            {
                let named = self.names_aborts.get_or_insert(false);
                *named |= reason != NOT_SPECIFIED;
            }
        }
        if let Some(coverage) = trial.trace_coverage {
            // An overrun is an accident of one trial, not a property of the kernel.
            let overrun = false;
            self.coverage = Some(Coverage {
                overrun,
                ..coverage
            });
        }
        if let Some(unsupported_counters) = &trial.unsupported_counters {
            self.unsupported_counters = Some(
                unsupported_counters
                    .iter()
                    .map(|it| printable(it))
                    .collect(),
            );
            // In a confirmed trial the judge has allowed for the uptime of the host.
            let is_of_host = |name: &str| {
                trial.verdict == Some(Verdict::Confirmed)
                    && scenario.is_some_and(|it| verdict::depends_on_uptime(it, name))
            };
            let counters = trial.counters.iter().filter(|(name, _)| !is_of_host(name));
            let counters = counters.map(|(name, by)| (printable(name), *by));
            seen.counters.insert(counters.collect());
        }
    }
}

impl StoredCall<'_> {
    /// Returns the call as a line: `client read(1) = ECONNRESET`.
    fn line(&self, scenario: Option<&Scenario>, index: usize) -> String {
        let name = match &*self.call {
            "getsockopt" => self.arguments.to_string(),
            call => format!("{call}({})", self.arguments),
        };
        let expected = scenario.and_then(|scenario| scenario.calls().nth(index));
        let result = match (expected, self.result.0.ok) {
            // The number of bytes depends on buffer sizes and varies from run to run.
            (Some((_, _, Expect::ReturnsSome)), Some(1..)) => "some".to_owned(),
            _ => self.result.text(),
        };
        printable(&format!("{} {name} = {result}", self.role))
    }
}

impl StoredResult {
    fn text(&self) -> String {
        let words = [&self.0.errno, &self.0.so_error, &self.0.revents];
        let word = words.into_iter().flatten().next();
        match (word, self.0.ok) {
            (Some(word), _) => word.clone(),
            (None, Some(value)) => value.to_string(),
            (None, None) => "did not return".to_owned(),
        }
    }
}

impl StoredReset<'_> {
    /// Returns the RST as a line: `server active`.
    fn line(&self) -> String {
        let form = self.form.as_deref().unwrap_or("of no known form");
        printable(&format!("{} {form}", self.from))
    }

    /// Returns sender and reason as a line: `server: socket, TCP_STATE`; `None` if they are not both known.
    fn origin(&self) -> Option<String> {
        let sender = Some(&*self.sender).filter(|it| *it != "unknown")?;
        let reason = match self.kernel_reason.as_deref() {
            Some(NOT_SPECIFIED) => return None,
            Some(reason) => format!(", {reason}"),
            None if matches!(sender, "socket" | "kernel") => return None,
            None => String::new(),
        };
        Some(printable(&format!("{}: {sender}{reason}", self.from)))
    }
}
