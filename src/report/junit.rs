//! JUnit format of trials, for CI: one document with a suite for each topic of the catalogue and a case for each trial.
//!
//! A finding is a failure, a gap is an error, and a trial that this host cannot run is skipped. Many readers support
//! only one failure per case, so a single failure holds all findings: the first one sets type and message, and the text
//! lists all of them, followed by the ladder. Names are made of ids, so that a case keeps its history from run to run.
//!
//! The counts of a suite precede its cases, so nothing can be written before the end. Little is kept of a confirmed
//! trial until then; of other trials the text is kept.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstream::adapter::strip_str;
use chrono::DateTime;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::human::{abridge, texts};
use super::ladder::ladder;
use rstproof_core::printable::{is_obeyed, spelled_out};
use rstproof_core::report::{CaptureReport, Header, Host, Tool, TrialReport};
use rstproof_core::scenario::{ALL, Family, Scenario, Topic};
use rstproof_core::verdict::Verdict;

/// JUnit document that is being built.
pub struct JunitReport {
    tool: Tool,
    /// Host of the next trials.
    host: Host,
    /// Names of all hosts so far.
    hosts: Hosts,
    /// Directory that frames are saved in, if they are saved.
    directory: Option<PathBuf>,
    cases: Vec<(Place, TestCase)>,
}

/// Sort key of a case: cases are in catalogue order, whichever worker ended first.
// The derived order compares the fields from top to bottom.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Index of the scenario in the catalogue; unknown scenarios come last.
    position: usize,
    scenario: String,
    family: Family,
    run: u32,
    /// Topic of the scenario; `None` if the scenario is not in the catalogue.
    topic: Option<Topic>,
}

impl JunitReport {
    /// Creates a document without trials. `directory` is the directory that frames are saved in, if they are saved.
    #[must_use]
    pub fn new(header: &Header, directory: Option<&Path>) -> Self {
        let mut hosts = Hosts::default();
        hosts.add(&header.host);
        Self {
            tool: header.tool.clone(),
            host: header.host.clone(),
            hosts,
            directory: directory.map(Path::to_owned),
            cases: Vec::new(),
        }
    }

    /// Sets the host that the next trials were recorded on; `None` if unknown.
    pub fn set_host(&mut self, host: Option<&Host>) {
        if host != Some(&self.host) {
            self.host = host.cloned().unwrap_or_default();
            self.hosts.add(&self.host);
        }
    }

    /// Adds a trial of this scenario; `None` if the scenario is not in the catalogue.
    pub fn trial(&mut self, scenario: Option<&Scenario>, trial: &TrialReport) {
        let is_it = |other: &&Scenario| other.id == trial.scenario;
        let place = Place {
            position: ALL.iter().position(is_it).unwrap_or(ALL.len()),
            scenario: trial.scenario.clone().into_owned(),
            family: trial.family,
            run: trial.run,
            topic: scenario.map(|scenario| scenario.topic),
        };
        // The name is set at the end, when it is known if any scenario was run more than once.
        let mut case = TestCase::new("", self.status(scenario, trial));
        case.set_time(took(trial));
        if trial.verdict.is_some() {
            case.set_timestamp(DateTime::from_timestamp_nanos(trial.began_realtime_ns));
        }
        self.cases.push((place, case));
    }

    fn status(&self, scenario: Option<&Scenario>, trial: &TrialReport) -> TestCaseStatus {
        let kind = match trial.verdict {
            Some(Verdict::Confirmed) => return TestCaseStatus::success(),
            Some(Verdict::Refuted) => NonSuccessKind::Failure,
            Some(Verdict::Inconclusive) => NonSuccessKind::Error,
            None => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(visible(trial.skipped.as_deref().unwrap_or_default()));
                return status;
            }
        };
        let mut status = TestCaseStatus::non_success(kind);
        if let Some(first) = trial
            .findings
            .iter()
            .chain(&trial.inconclusive_reason)
            .next()
        {
            status.set_type(visible(first.id));
            status.set_message(visible(&first.message));
        }
        status.set_description(visible(&self.text(scenario, trial)));
        status
    }

    /// Returns the text of a failure: the findings and gaps of the trial, and its ladder without styles.
    fn text(&self, scenario: Option<&Scenario>, trial: &TrialReport) -> String {
        let mut text = String::new();
        for remark in texts(trial.findings.iter().chain(&trial.inconclusive_reason)) {
            let _ = writeln!(text, "{remark}");
        }
        if let Some(scenario) = scenario {
            let directory = self.directory.as_deref();
            let ladder = ladder(scenario, trial, &self.host, directory);
            let _ = write!(text, "\n{}", strip_str(&ladder));
        }
        text
    }

    /// Writes the document. Fails if it cannot be serialised or written.
    pub fn write(self, capture: &CaptureReport, mut out: impl io::Write) -> io::Result<()> {
        let mut document = Vec::new();
        self.document(capture)
            .serialize(&mut document)
            .map_err(io::Error::other)?;
        out.write_all(&document)?;
        out.flush()
    }

    fn document(mut self, capture: &CaptureReport) -> Report {
        self.cases.sort_by(|(a, _), (b, _)| a.cmp(b));
        let numbered = self.cases.iter().any(|(place, _)| place.run > 1);
        let tool = &*self.tool.name;
        let mut suites: Vec<TestSuite> = Vec::new();
        for (place, mut case) in mem::take(&mut self.cases) {
            let name = format!("{tool}.{}", place.topic.map_or("unknown", Topic::id));
            case.name = visible(&place.name(numbered));
            case.set_classname(&name);
            // The catalogue is grouped by topic, so the cases of a suite are adjacent.
            if suites.last().is_none_or(|suite| suite.name != name) {
                let mut suite = TestSuite::new(&name);
                suite.add_properties(self.properties(place.topic, capture));
                suites.push(suite);
            }
            if let Some(suite) = suites.last_mut() {
                add_case(suite, case);
            }
        }
        let mut report = Report::new(tool);
        for mut suite in suites {
            suite.extra.extend(precise(&mut suite.time));
            report.add_test_suite(suite);
        }
        report
    }

    /// Returns the properties of a suite: tool, hosts and capture, under the names of the JSON format.
    fn properties(
        &self,
        topic: Option<Topic>,
        capture: &CaptureReport,
    ) -> Vec<(XmlString, XmlString)> {
        let fields = [
            ("tool.version", self.tool.version.to_string()),
            ("host.sysname", joined(&self.hosts.sysname)),
            ("host.release", joined(&self.hosts.release)),
            ("host.libpcap", joined(&self.hosts.libpcap)),
            ("capture.interface", capture.interface.clone()),
            ("capture.filter", capture.filter.clone()),
            ("capture.dropped", capture.dropped.to_string()),
        ];
        topic
            .map(|topic| ("topic", topic.heading().to_owned()))
            .into_iter()
            .chain(fields)
            .map(|(name, value)| (name.into(), visible(&value)))
            .collect()
    }
}

/// Names of the hosts, kernels and libpcap versions that trials ran on, each once.
#[derive(Default)]
struct Hosts {
    sysname: BTreeSet<String>,
    release: BTreeSet<String>,
    libpcap: BTreeSet<String>,
}

impl Hosts {
    fn add(&mut self, host: &Host) {
        let fields = [
            (&mut self.sysname, &host.sysname),
            (&mut self.release, &host.release),
            (&mut self.libpcap, &host.libpcap),
        ];
        for (names, name) in fields {
            if !name.is_empty() && !names.contains(name) {
                names.insert(name.clone());
            }
        }
    }
}

/// Joins names, such as `6.12.0, 6.18.44`: evidence from several hosts may be judged at once.
fn joined(names: &BTreeSet<String>) -> String {
    let mut names: Vec<String> = names.iter().cloned().collect();
    abridge(&mut names, |left_out| left_out);
    names.join(", ")
}

impl Place {
    /// Returns the name of the case, which is that of the trial's capture file.
    fn name(&self, numbered: bool) -> String {
        let name = format!("{}.{}", self.scenario, self.family.name());
        if numbered {
            format!("{name}.{}", self.run)
        } else {
            name
        }
    }
}

/// Returns the time from the beginning of a trial to the end of its last call, or to its last packet if it has no calls.
fn took(trial: &TrialReport) -> Duration {
    // A trial without calls consists of injected segments only.
    let packets = trial.packets.iter().map(|packet| packet.at_ns);
    let calls = trial.calls.iter().map(|call| call.ended_ns);
    let ended = calls.max().or_else(|| packets.max());
    Duration::from_nanos(ended.unwrap_or_default().try_into().unwrap_or_default())
}

/// Adds a case to its suite. The suite begins with its earliest case, and its time is the sum of its cases.
fn add_case(suite: &mut TestSuite, mut case: TestCase) {
    suite.timestamp = suite.timestamp.into_iter().chain(case.timestamp).min();
    suite.time = Some(suite.time.into_iter().chain(case.time).sum());
    case.extra.extend(precise(&mut case.time));
    suite.add_test_case(case);
}

/// Replaces a time by an attribute `time` in microseconds. `quick_junit` writes milliseconds, and most trials take a
/// tenth of one.
fn precise(time: &mut Option<Duration>) -> Option<(XmlString, XmlString)> {
    let seconds = time.take()?.as_secs_f64();
    Some(("time".into(), format!("{seconds:.6}").into()))
}

/// Spells out the characters that XML cannot hold or that a terminal would obey. `quick_junit` would remove them.
fn visible(text: &str) -> XmlString {
    spelled_out(text, |letter| {
        letter != '\n' && (is_obeyed(letter) || matches!(letter, '\u{fffe}' | '\u{ffff}'))
    })
    .into()
}
