//! Reports as they are compared: what each trial did, in words, and what its kernel could tell of it.

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
use rstproof_core::verdict::Verdict;

/// Of what was not confirmed so much is kept: nobody reads more.
const MOST_AMISS: usize = 200;

/// Longer lines are cut: none that this program writes has half of that.
const LONGEST_LINE: usize = 500;

/// A line that a person may read to its end.
pub(super) fn shortened(line: &str) -> String {
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// One report: what one kernel did.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is called among the others: its version, or its release where two have the same.
    pub label: String,
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// `uname -s`.
    pub sysname: String,
    /// `uname -m`.
    pub machine: String,
    /// Which Linux that is.
    pub kernel: Kernel,
    /// Version of this program that ran there.
    pub program: String,
    /// The file that it was read from.
    pub origin: String,
    /// Who was asked there.
    pub evidence_sources: EvidenceSources,
    /// How many trials it holds.
    pub trials: u64,
    /// What was seen, by scenario and family.
    pub seen: BTreeMap<(String, Family), Seen>,
    /// What its trace can tell of; `None` if it was not asked.
    pub coverage: Option<Coverage>,
    /// Whether aborts are given a reason; `None` if none was seen whose event has the field.
    pub names_aborts: Option<bool>,
    /// Counters that it does not have; `None` if they were not asked.
    pub unsupported_counters: Option<BTreeSet<String>>,
    /// How many trials were confirmed, refuted, inconclusive, skipped.
    pub counts: [u64; 4],
    /// What was not confirmed and why, a line each.
    pub amiss: Vec<String>,
}

/// What the trials of one scenario over one family did; sets, for there may be many trials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why they were skipped, if they were.
    pub skipped: Option<String>,
    /// How those were judged of which something can be said.
    pub verdicts: BTreeSet<&'static str>,
    /// Why nothing can be said of others. What is missing of them may be anything, so they are not compared.
    pub inconclusive: Option<String>,
    /// The calls, a line each.
    pub calls: BTreeSet<Vec<String>>,
    /// The RSTs, a line each.
    pub resets: BTreeSet<Vec<String>>,
    /// By whose word each RST was sent, and why; of those of which all was told.
    pub reasons: BTreeSet<Vec<String>>,
    /// The counters that moved.
    pub counters: BTreeSet<BTreeMap<String, u64>>,
}

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

/// One of the forms of [`ResultReport`](rstproof_core::report::ResultReport).
#[derive(Deserialize)]
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

/// Reads the report that a path stands for: a file, or a directory that `run -w` wrote.
pub fn read(path: &Path) -> Result<Subject, Error> {
    let file = if path.is_dir() {
        path.join(REPORT)
    } else {
        path.to_owned()
    };
    // One that may not be looked at is another matter.
    let is_missing = || fs::metadata(&file).is_err_and(|it| it.kind() == io::ErrorKind::NotFound);
    if path.is_dir() && is_missing() {
        return Err(Error::File {
            action: "find a report in",
            path: path.to_owned(),
            reason: format!(
                "it holds no {REPORT}; name the directory that `rstproof run -w` wrote"
            ),
        });
    }
    parse(&file, &document_bytes(&file)?)
}

/// The report that these bytes are; `path` is where they are from.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Subject, Error> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(refused(path, "it is empty".to_owned()));
    }
    let header = document_header(path, bytes)?;
    if header.tool.name != host::this_tool().name {
        let reason = format!(
            "it is a report of {}, not of {}",
            printable(&header.tool.name),
            host::this_tool().name
        );
        return Err(refused(path, reason));
    }
    let mut subject = Subject::new(path, header);
    let mut unjudged = None;
    trials_of(path, bytes, |trial: StoredTrial<'_>| {
        if trial.verdict.is_none() && trial.skipped.is_none() {
            unjudged.get_or_insert(trial.scenario.into_owned());
        } else {
            subject.take(&trial);
        }
    })?;
    if let Some(scenario) = unjudged {
        let reason = format!(
            "a trial of '{}' has no verdict and was not skipped",
            printable(&scenario)
        );
        return Err(refused(path, reason));
    }
    if subject.trials == 0 {
        return Err(refused(path, "it holds no trial".to_owned()));
    }
    Ok(subject)
}

impl Subject {
    fn new(path: &Path, header: Header) -> Self {
        let host = &header.host;
        let kernel = Kernel::of(&host.sysname, &host.release, &host.version);
        let label = match kernel.version {
            Some(version) if kernel.is_exact => version.to_string(),
            _ => printable(&host.release),
        };
        let mut evidence_sources = header.evidence_sources;
        if let Some(why) = &mut evidence_sources.kernel_trace_note {
            *why = printable(why).into();
        }
        Self {
            label,
            program: printable(&header.tool.version),
            release: printable(&host.release),
            version: printable(&host.version),
            sysname: printable(&host.sysname),
            machine: printable(&host.machine),
            kernel,
            origin: printable(&path.to_string_lossy()),
            evidence_sources,
            trials: 0,
            seen: BTreeMap::new(),
            coverage: None,
            names_aborts: None,
            unsupported_counters: None,
            counts: [0; 4],
            amiss: Vec::new(),
        }
    }

    /// `270 trials, 1 refuted, 10 skipped`.
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
                if self.amiss.len() < MOST_AMISS {
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
            let counters = trial.counters.iter();
            let counters = counters.map(|(name, by)| (printable(name), *by));
            seen.counters.insert(counters.collect());
        }
    }
}

impl StoredCall<'_> {
    /// `client read(1) = ECONNRESET`.
    fn line(&self, scenario: Option<&Scenario>, index: usize) -> String {
        let name = match &*self.call {
            "getsockopt" => self.arguments.to_string(),
            call => format!("{call}({})", self.arguments),
        };
        let expected = scenario.and_then(|scenario| scenario.calls().nth(index));
        let result = match (expected, self.result.0.ok) {
            // How many depends on how large buffers are that day.
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
    /// `server active`.
    fn line(&self) -> String {
        let form = self.form.as_deref().unwrap_or("of no known form");
        printable(&format!("{} {form}", self.from))
    }

    /// `server: socket, TCP_STATE`; `None` if not all of it was told.
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
