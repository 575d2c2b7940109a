//! The command line and the forms of the output, as snapshots. No privilege and no capture is needed for any of it.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use anstream::adapter::strip_str;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use rstproof::report::human::{Tally, line};
use rstproof::report::json::JsonWriter;
use rstproof::report::junit::JunitReport;
use rstproof::report::ladder::ladder as full_ladder;
use rstproof_core::evidence::{Completeness, Evidence};
use rstproof_core::packet::{
    Flags, Options, Packet, SackBlocks, Segment, SeqNum, Tap, TcpTimestamps,
};
use rstproof_core::report::{CaptureReport, EvidenceSources, Header, Host, Tool, TrialReport};
use rstproof_core::scenario::{ALL, Family, Op, Outcome, Role, Scenario, find};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Call, Errno};
use rstproof_core::verdict::{Verdict, judge};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rstproof");

fn rstproof(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null());
    for variable in ["COLUMNS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Runs the program, which must succeed, and returns its standard output.
fn stdout(arguments: &[&str]) -> String {
    let output = output(&mut rstproof(arguments));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    assert_eq!(text(output.stderr), "", "{arguments:?}");
    text(output.stdout)
}

/// The one line that it complains with.
fn complains(arguments: &[&str]) -> String {
    let output = output(&mut rstproof(arguments));
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert_eq!(text(output.stdout), "", "{arguments:?}");
    let error = text(output.stderr);
    assert!(
        error.ends_with('\n') && error.lines().count() == 1,
        "{error}"
    );
    error
}

fn assert_fits_eighty_columns(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

mod help {
    use super::*;

    #[test]
    fn of_the_program() {
        insta::assert_snapshot!(stdout(&["--help"]));
    }

    #[test]
    fn of_run() {
        insta::assert_snapshot!(stdout(&["run", "--help"]));
    }

    #[test]
    fn of_check() {
        insta::assert_snapshot!(stdout(&["check", "--help"]));
    }

    #[test]
    fn no_command_is_a_usage_error_and_shows_the_help() {
        let output = output(&mut rstproof(&[]));
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(output.stdout), "");
        assert!(text(output.stderr).contains("Usage: rstproof [OPTIONS] <COMMAND>"));
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        let version = concat!("rstproof ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(stdout(&["--version"]), version);
    }
}

mod catalogue {
    use super::*;

    /// A heading for each topic; below it the ids, and beside each its title in a column of its own.
    #[test]
    fn list_shows_it_by_topic() {
        let list = stdout(&["list"]);
        let sections: Vec<&str> = list.split("\n\n").collect();
        let topics: Vec<_> = ALL.chunk_by(|one, next| one.topic == next.topic).collect();
        assert_eq!(sections.len(), topics.len());
        for (section, scenarios) in sections.into_iter().zip(topics) {
            let (heading, rows) = section.split_once('\n').unwrap();
            assert_eq!(heading, scenarios[0].topic.heading());
            assert_eq!(
                rows_of(rows),
                scenarios.iter().map(|it| row(it)).collect::<Vec<_>>()
            );
        }
    }

    /// Takes the columns apart, and puts titles of several lines together again.
    fn rows_of(text: &str) -> Vec<(String, String)> {
        let mut rows: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            let line = line.strip_prefix("  ").unwrap();
            assert!(!line.ends_with(' '), "{line}");
            // A long id has a line of its own.
            let (id, title) = match line.split_once("  ") {
                Some(_) => line.split_at(29),
                None => (line, ""),
            };
            if !id.trim().is_empty() {
                rows.push((id.trim_end().to_owned(), title.to_owned()));
                continue;
            }
            assert!(!title.starts_with(' '), "{line}");
            let (_, whole) = rows.last_mut().unwrap();
            let gap = if whole.is_empty() { "" } else { " " };
            *whole = format!("{whole}{gap}{title}");
        }
        rows
    }

    fn row(scenario: &Scenario) -> (String, String) {
        let remarks = [
            (scenario.multipath, "needs Multipath TCP"),
            (scenario.slow, "slow: only with --all or by name"),
        ];
        let remarks: Vec<&str> = remarks
            .iter()
            .filter(|(is, _)| *is)
            .map(|it| it.1)
            .collect();
        let title = match &remarks[..] {
            [] => scenario.title.to_owned(),
            remarks => format!("{} ({})", scenario.title, remarks.join("; ")),
        };
        (scenario.id.to_owned(), title)
    }

    /// A check that does not apply to a scenario is listed with the reason.
    #[test]
    fn explain_lists_exemptions() {
        let section = |id: &str| {
            let text = stdout(&["explain", id]);
            let (_, rest) = text.split_once("\nExemptions from the checks\n")?;
            Some(rest.split("\n\n").next().unwrap().to_owned())
        };
        assert_eq!(section("close-unread-data"), None);
        let kept = section("time-wait-rst-rfc1337").unwrap();
        assert!(kept.contains("tcp_rfc1337 is set: an acceptable RST does not end TIME-WAIT"));
        let blackholed = section("connect-blackholed").unwrap();
        assert!(blackholed.contains("no socket receives segments to the server"));
        assert!(
            blackholed.contains("calls may wait for a timer"),
            "{blackholed}"
        );
    }

    #[test]
    fn explain_tells_of_a_reset() {
        insta::assert_snapshot!(stdout(&["explain", "close-unread-data"]));
    }

    #[test]
    fn explain_tells_of_the_absence_of_one() {
        insta::assert_snapshot!(stdout(&["explain", "shutdown-wr-then-write"]));
    }

    #[test]
    fn all_of_it_fits_eighty_columns() {
        assert_fits_eighty_columns(&stdout(&["list"]));
        for scenario in ALL {
            assert_fits_eighty_columns(&stdout(&["explain", scenario.id]));
        }
    }
}

mod errors {
    use super::*;

    #[test]
    fn name_what_was_probably_meant() {
        insta::assert_snapshot!(complains(&["run", "close-unread"]), @"rstproof: unknown scenario 'close-unread'; did you mean 'close-unread-data'? (`rstproof list` shows all scenarios)");
        insta::assert_snapshot!(complains(&["explain", "xyz"]), @"rstproof: unknown scenario 'xyz' (`rstproof list` shows all scenarios)");
        insta::assert_snapshot!(complains(&["runn"]), @"rstproof: unrecognized subcommand 'runn'; a similar subcommand exists: 'run'");
        insta::assert_snapshot!(complains(&["run", "--repeet", "3"]), @"rstproof: unexpected argument '--repeet' found; a similar argument exists: '--repeat'");
        insta::assert_snapshot!(complains(&["man", "runn"]), @"rstproof: there is no command 'runn'");
    }

    #[test]
    fn name_the_values_that_are_possible() {
        insta::assert_snapshot!(complains(&["run", "--family", "ipx"]), @"rstproof: invalid value 'ipx' for '--family <FAMILY>' [possible values: ipv4, ipv6, both]; a similar value exists: 'ipv6'");
        insta::assert_snapshot!(complains(&["run", "--repeat", "0"]), @"rstproof: invalid value '0' for '--repeat <N>': 0 is not in 1..=4294967295");
        insta::assert_snapshot!(complains(&["run", "--port", "65535"]), @"rstproof: invalid value '65535' for '--port <PORT>': 65535 is not in 1024..=65534");
        insta::assert_snapshot!(complains(&["completions", "sh"]), @"rstproof: invalid value 'sh' for '<SHELL>' [possible values: bash, elvish, fish, powershell, zsh]");
        insta::assert_snapshot!(complains(&["explain"]), @"rstproof: the following required arguments were not provided: <SCENARIO>");
    }

    #[test]
    fn say_what_cannot_go_together() {
        insta::assert_snapshot!(complains(&["run", "--verbose", "--quiet"]), @"rstproof: the argument '--verbose' cannot be used with '--quiet'");
        for format in ["json", "junit"] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(complains(&["run", "--format", format, "-q"]), @"rstproof: --quiet and --verbose apply only to --format human");
                insta::assert_snapshot!(complains(&["run", "--format", format, "-v"]), @"rstproof: --quiet and --verbose apply only to --format human");
            }
        }
        insta::assert_snapshot!(complains(&["run", "--host", "--jobs", "3"]), @"rstproof: --host has a single loopback: omit --jobs, or omit --host to give each worker its own namespace");
    }

    #[test]
    fn name_the_directory_that_cannot_be_written_to() {
        insta::assert_snapshot!(complains(&["run", "-w", "/dev/null/evidence"]), @"rstproof: cannot open /dev/null/evidence: not a directory (ENOTDIR)");
    }

    fn complains_about(held: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        std::fs::write(dir.path().join(held), "precious").unwrap();
        let error = complains(&["run", "-w", path]);
        assert_eq!(std::fs::read(dir.path().join(held)).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 1);
        error.replace(path, "DIR")
    }

    #[test]
    fn name_the_evidence_that_would_be_overwritten() {
        insta::assert_snapshot!(complains_about("report.json"), @"rstproof: DIR holds evidence already (report.json); choose another directory, or overwrite it with --force");
        insta::assert_snapshot!(complains_about("a.pcapng"), @"rstproof: DIR holds evidence already (a.pcapng); choose another directory, or overwrite it with --force");
    }
}

mod generated {
    use super::*;

    #[test]
    fn completions_exist_for_every_shell() {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let script = stdout(&["completions", shell]);
            assert!(
                script.contains("rstproof") && script.contains("explain"),
                "{shell}"
            );
        }
    }

    #[test]
    fn man_pages_are_roff_and_named_after_their_command() {
        let pages = [
            (vec!["man"], ".TH rstproof "),
            (vec!["man", "run"], ".TH rstproof-run "),
        ];
        for (arguments, title) in pages {
            let page = stdout(&arguments);
            assert!(page.lines().any(|line| line.starts_with(title)), "{page}");
        }
    }
}

mod colours {
    use super::*;

    const ESCAPE: char = '\u{1b}';

    #[test]
    fn are_shown_when_asked_for() {
        assert!(stdout(&["--color", "always", "list"]).contains(ESCAPE));
        assert!(stdout(&["list", "--color", "always"]).contains(ESCAPE));
    }

    #[test]
    fn are_not_shown_in_a_pipe_or_when_not_wanted() {
        assert!(!stdout(&["list"]).contains(ESCAPE));
        assert!(!stdout(&["--color", "never", "list"]).contains(ESCAPE));
    }

    #[test]
    fn obey_no_color() {
        let mut forced = rstproof(&["list"]);
        forced.env("CLICOLOR_FORCE", "1");
        assert!(text(output(&mut forced).stdout).contains(ESCAPE));
        forced.env("NO_COLOR", "1");
        assert!(!text(output(&mut forced).stdout).contains(ESCAPE));
    }
}

#[test]
fn a_closed_standard_output_is_a_quiet_end() {
    let commands = [
        vec!["list"],
        vec!["explain", "close-unread-data"],
        vec!["man"],
        vec!["completions", "bash"],
        vec!["--help"],
        vec!["--version"],
    ];
    for arguments in commands {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let output = output(rstproof(&arguments).stdout(write).stderr(Stdio::piped()));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(text(output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn a_standard_output_that_cannot_be_written_to_is_an_error() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = output(rstproof(&["list"]).stdout(full).stderr(Stdio::piped()));
    assert_eq!(output.status.code(), Some(2));
    let error = text(output.stderr);
    assert!(
        error.starts_with("rstproof: cannot write to standard output"),
        "{error}"
    );
}

/// The forms of a report, made from evidence that is written out by hand: a trial of `close-unread-data`.
mod report {
    use super::*;

    const BEGAN: i64 = 1_700_000_000_000_000_000;

    fn scenario() -> &'static Scenario {
        find("close-unread-data").unwrap()
    }

    fn host() -> Host {
        Host {
            sysname: "Linux".to_owned(),
            release: "6.12.0".to_owned(),
            version: "#1 SMP".to_owned(),
            machine: "x86_64".to_owned(),
            libpcap: "libpcap version 1.10.3 (with TPACKET_V3)".to_owned(),
        }
    }

    fn client() -> SocketAddr {
        SocketAddr::from(([127, 1, 2, 3], 20000))
    }

    fn server() -> SocketAddr {
        SocketAddr::from(([127, 1, 2, 3], 8080))
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp(BEGAN + micros * 1000)
    }

    /// Sent by `from`, whose initial number is 1000 if it is the client and 5000 if it is the server.
    fn segment(
        frame: u32,
        micros: i64,
        from: Role,
        flags: u8,
        (seq, ack): (u32, u32),
        payload_len: u32,
    ) -> Packet {
        let (source, destination) = match from {
            Role::Client => (client(), server()),
            Role::Server => (server(), client()),
        };
        Packet::Tcp(Segment {
            frame,
            at: at(micros),
            tap: Tap::Both,
            source,
            destination,
            flags: Flags(flags),
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            window: if flags & 0x02 == 0 { 64 } else { 65495 },
            payload_len,
            timestamps: Some(TcpTimestamps::default()),
            sack: SackBlocks::default(),
            options: Options::default(),
        })
    }

    fn call(role: Role, op: Op, micros: (i64, i64), outcome: Outcome) -> Call {
        Call {
            role,
            op,
            began: at(micros.0),
            ended: at(micros.1),
            outcome,
        }
    }

    /// The client's read waits for the RST of frame 6.
    fn evidence() -> Evidence {
        use Outcome::{Failed, Returned};
        use Role::{Client, Server};
        Evidence {
            calls: vec![
                call(Client, Op::Connect, (2, 40), Returned(0)),
                call(Server, Op::Accept, (41, 45), Returned(0)),
                call(Client, Op::Write(2), (46, 58), Returned(2)),
                call(Server, Op::Read(1), (59, 60), Returned(1)),
                call(Server, Op::Close, (63, 72), Returned(0)),
                call(Client, Op::Read(1), (62, 80), Failed(Errno::ECONNRESET)),
                call(Client, Op::Read(1), (81, 82), Returned(0)),
                call(Client, Op::Write(1), (83, 84), Failed(Errno::EPIPE)),
            ],
            packets: vec![
                segment(1, 10, Client, 0x02, (1000, 0), 0),
                segment(2, 20, Server, 0x12, (5000, 1001), 0),
                segment(3, 30, Client, 0x10, (1001, 5001), 0),
                segment(4, 50, Client, 0x18, (1001, 5001), 2),
                segment(5, 55, Server, 0x10, (5001, 1003), 0),
                segment(6, 70, Server, 0x14, (5001, 1003), 0),
            ],
            completeness: Completeness {
                fence_seen: true,
                clock_step_ns: 40,
                ..Completeness::UNKNOWN
            },
            ..Evidence::new(client(), server(), at(0))
        }
    }

    fn trial(evidence: &Evidence) -> TrialReport {
        let judgement = judge(scenario(), evidence);
        TrialReport::new(scenario(), Family::Ipv4, 1, "lo", evidence, &judgement)
    }

    /// The same trial with its RST cut out of the capture.
    fn without_reset() -> TrialReport {
        let mut evidence = evidence();
        evidence.packets.pop();
        trial(&evidence)
    }

    /// The same trial over a capture that lost frames.
    fn with_drops() -> TrialReport {
        let mut evidence = evidence();
        evidence.completeness.dropped = 7;
        trial(&evidence)
    }

    fn plain(text: &str) -> String {
        strip_str(text).to_string()
    }

    fn ladder(trial: &TrialReport) -> String {
        let ladder = plain(&full_ladder(
            scenario(),
            trial,
            &host(),
            Some("evidence".as_ref()),
        ));
        assert_fits_eighty_columns(&ladder);
        ladder
    }

    #[test]
    fn ladder_of_a_confirmed_trial() {
        let mut trial = trial(&evidence());
        trial.capture_file = Some("close-unread-data.ipv4.pcapng".to_owned());
        insta::assert_snapshot!(ladder(&trial));
    }

    #[test]
    fn ladder_of_a_refuted_trial() {
        insta::assert_snapshot!(ladder(&without_reset()));
    }

    #[test]
    fn ladder_of_an_inconclusive_trial() {
        insta::assert_snapshot!(ladder(&with_drops()));
    }

    #[test]
    fn ladder_of_a_skipped_trial() {
        let why = "no IPv6: the kernel was built without it".to_owned();
        let trial = TrialReport::skipped(scenario(), Family::Ipv6, 1, why);
        insta::assert_snapshot!(ladder(&trial));
    }

    #[test]
    fn lines_of_many_trials() {
        let trials = [trial(&evidence()), without_reset(), with_drops()];
        let mut lines = String::new();
        let mut all = Tally::default();
        for trial in &trials {
            let mut tally = Tally::default();
            tally.count(trial.verdict);
            all.count(trial.verdict);
            let shown = std::slice::from_ref(trial);
            lines.push_str(&plain(&line(scenario(), Family::Ipv4, &tally, shown)));
        }
        let shown = &trials[1..];
        lines.push_str(&plain(&line(scenario(), Family::Ipv6, &all, shown)));
        assert_fits_eighty_columns(&lines);
        insta::assert_snapshot!(lines);
    }

    fn header() -> Header {
        Header {
            schema: 1,
            tool: Tool {
                name: "rstproof".into(),
                version: "1.2.3".into(),
            },
            host: host(),
            evidence_sources: EvidenceSources::capture_only(),
        }
    }

    fn capture() -> CaptureReport {
        CaptureReport {
            interface: "lo".to_owned(),
            filter: "tcp".to_owned(),
            dropped: 7,
        }
    }

    #[test]
    fn json() {
        let skipped = TrialReport::skipped(scenario(), Family::Ipv6, 1, "no IPv6".to_owned());
        let mut json = JsonWriter::begin(Vec::new(), &header()).unwrap();
        for trial in [trial(&evidence()), without_reset(), with_drops(), skipped] {
            json.trial(&trial).unwrap();
        }
        let document = text(json.end(&capture()).unwrap());
        let value: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(value["trials"].as_array().unwrap().len(), 4);
        insta::assert_snapshot!(document);
    }

    #[test]
    fn json_without_trials_is_a_document_too() {
        let header = rstproof::host::header();
        let json = JsonWriter::begin(Vec::new(), &header).unwrap();
        let document = json.end(&CaptureReport::default()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(value["schema"], 2);
        assert_eq!(value["trials"].as_array().unwrap().len(), 0);
    }

    fn junit(trials: &[(Option<&Scenario>, TrialReport)]) -> String {
        let mut junit = JunitReport::new(&header(), Some("evidence".as_ref()));
        for (scenario, trial) in trials {
            junit.trial(*scenario, trial);
        }
        let mut document = Vec::new();
        junit.write(&capture(), &mut document).unwrap();
        text(document)
    }

    fn property(suite: &TestSuite, name: &str) -> String {
        let mut all = suite.properties.iter();
        let property = all.find(|property| &property.name == name);
        property.unwrap().value.to_string()
    }

    fn parsed(document: &str) -> Report {
        Report::deserialize_from_str(document).unwrap()
    }

    #[test]
    fn junit_of_each_verdict() {
        let mut refuted = without_reset();
        refuted.capture_file = Some("close-unread-data.ipv4.pcapng".to_owned());
        let skipped = TrialReport::skipped(scenario(), Family::Ipv6, 1, "no IPv6".to_owned());
        let trials = [trial(&evidence()), refuted, with_drops(), skipped];
        insta::assert_snapshot!(junit(&trials.map(|trial| (Some(scenario()), trial))));
    }

    #[test]
    fn junit_counts_a_finding_as_failure_and_a_gap_as_error() {
        let skipped = TrialReport::skipped(scenario(), Family::Ipv6, 1, "no IPv6".to_owned());
        let trials = [skipped, with_drops(), without_reset(), trial(&evidence())];
        let report = parsed(&junit(&trials.map(|trial| (Some(scenario()), trial))));
        assert_eq!((report.tests, report.test_suites.len()), (4, 1));
        let counts = (report.failures, report.errors, report.skipped);
        assert_eq!(counts, (1, 1, 1));
        let suite = &report.test_suites[0];
        assert_eq!(counts, (suite.failures, suite.errors, suite.skipped));
        // The last call of each of the three that ran ended 84 microseconds after its trial had begun.
        assert_eq!(suite.time.unwrap().as_micros(), 3 * 84);
        assert_eq!(suite.timestamp.unwrap().timestamp_nanos_opt(), Some(BEGAN));

        let [inconclusive, refuted, confirmed, skipped] = &suite.test_cases[..] else {
            panic!("{suite:?}")
        };
        assert_eq!(confirmed.status, TestCaseStatus::success());
        assert_eq!(confirmed.time.unwrap().as_micros(), 84);
        assert_eq!(confirmed.timestamp, suite.timestamp);
        assert_failed(refuted, NonSuccessKind::Failure, &without_reset());
        assert_failed(inconclusive, NonSuccessKind::Error, &with_drops());
        let mut why = TestCaseStatus::skipped();
        why.set_message("no IPv6");
        assert_eq!(skipped.status, why);
        assert_eq!(
            (skipped.time.unwrap().as_micros(), skipped.timestamp),
            (0, None)
        );
    }

    /// One element says it all: all that speaks against the trial, then its ladder.
    fn assert_failed(case: &TestCase, expected: NonSuccessKind, trial: &TrialReport) {
        let TestCaseStatus::NonSuccess {
            kind,
            message,
            ty,
            description,
            ..
        } = &case.status
        else {
            panic!("{case:?}")
        };
        assert_eq!(*kind, expected);
        let remarks: Vec<_> = trial
            .findings
            .iter()
            .chain(&trial.inconclusive_reason)
            .collect();
        assert_eq!(ty.as_deref(), Some(remarks[0].id));
        assert_eq!(message.as_deref(), Some(&*remarks[0].message));
        let description = description.as_deref().unwrap();
        let (listed, story) = description.split_once("\n\n").unwrap();
        let expected: Vec<String> = remarks
            .iter()
            .map(|remark| format!("{} [{}]", remark.message, remark.id))
            .collect();
        assert_eq!(listed, expected.join("\n"));
        assert_eq!(story.trim_end(), ladder(trial).trim_end());
    }

    /// Name and class of each case, in order.
    fn names(trials: &[(Option<&Scenario>, TrialReport)]) -> Vec<(String, String)> {
        let report = parsed(&junit(trials));
        let mut names = Vec::new();
        for suite in &report.test_suites {
            for case in &suite.test_cases {
                assert_eq!(case.classname, Some(suite.name.clone()));
                names.push((case.name.to_string(), suite.name.to_string()));
            }
        }
        names
    }

    #[test]
    fn junit_names_are_stable_and_in_catalogue_order() {
        let skip = |id: &str, family, run| {
            let scenario = find(id).unwrap();
            let trial = TrialReport::skipped(scenario, family, run, "no IPv6".to_owned());
            (Some(scenario), trial)
        };
        let once = [
            skip("clean-close-eof", Family::Ipv6, 1),
            skip("clean-close-eof", Family::Ipv4, 1),
            skip("connect-closed-port", Family::Ipv4, 1),
        ];
        let close = "rstproof.close".to_owned();
        let expected = [
            (
                "connect-closed-port.ipv4".to_owned(),
                "rstproof.connect".to_owned(),
            ),
            ("clean-close-eof.ipv4".to_owned(), close.clone()),
            ("clean-close-eof.ipv6".to_owned(), close.clone()),
        ];
        assert_eq!(names(&once), expected);

        let repeated = [10, 2, 1].map(|run| skip("clean-close-eof", Family::Ipv4, run));
        let expected = [1, 2, 10].map(|run| (format!("clean-close-eof.ipv4.{run}"), close.clone()));
        assert_eq!(names(&repeated), expected);
    }

    #[test]
    fn junit_shows_a_scenario_that_the_catalogue_does_not_know() {
        let trials = [
            (None, without_reset()),
            (Some(scenario()), trial(&evidence())),
        ];
        let expected = ["rstproof.abort", "rstproof.unknown"]
            .map(|class| ("close-unread-data.ipv4".to_owned(), class.to_owned()));
        let mut names = names(&trials);
        names.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn junit_holds_what_xml_cannot() {
        let why = "\0 \u{202e} \u{1b}[31mred\u{7f} \t \u{85} \u{fffe}\u{ffff} <&>\"' \u{1f480}"
            .to_owned();
        let skipped = TrialReport::skipped(scenario(), Family::Ipv4, 1, why);
        let mut junit = JunitReport::new(&header(), None);
        junit.trial(Some(scenario()), &skipped);
        let odd = CaptureReport {
            interface: "a\r\u{1b}]".to_owned(),
            filter: "tcp\n and port 1".to_owned(),
            dropped: 0,
        };
        let mut document = Vec::new();
        junit.write(&odd, &mut document).unwrap();
        let document = text(document);
        assert!(document.chars().all(|c| c == '\n' || !c.is_control()));

        let report = parsed(&document);
        let suite = &report.test_suites[0];
        assert_eq!(property(suite, "capture.interface"), r"a\r\u{1b}]");
        assert_eq!(property(suite, "capture.filter"), "tcp\n and port 1");
        let mut spelled = TestCaseStatus::skipped();
        spelled.set_message(
            "\\u{0} \\u{202e} \\u{1b}[31mred\\u{7f} \\t \\u{85} \\u{fffe}\\u{ffff} <&>\"' \u{1f480}",
        );
        assert_eq!(suite.test_cases[0].status, spelled);
    }

    #[test]
    fn junit_without_trials_is_a_document_too() {
        let report = parsed(&junit(&[]));
        assert_eq!((report.tests, report.test_suites.len()), (0, 0));
    }

    #[test]
    fn junit_tells_of_each_trial_with_the_host_that_it_was_recorded_on() {
        let other = Host {
            release: "6.1.0".to_owned(),
            ..host()
        };
        let mut junit = JunitReport::new(&header(), None);
        let trial = without_reset();
        for shown in [Some(&host()), Some(&other), None, Some(&host())] {
            junit.set_host(shown);
            junit.trial(Some(scenario()), &trial);
        }
        let mut document = Vec::new();
        junit.write(&capture(), &mut document).unwrap();
        let report = parsed(&text(document));
        let suite = &report.test_suites[0];
        let here = suite.test_cases.iter().map(|case| match &case.status {
            TestCaseStatus::NonSuccess { description, .. } => {
                let mut lines = description.as_deref().unwrap().lines();
                let here = lines.find_map(|line| line.trim().strip_prefix("this host"));
                here.map(|here| here.split(':').next().unwrap().trim().to_owned())
            }
            _ => panic!("{case:?}"),
        });
        let expected = [Some("6.12.0"), Some("6.1.0"), None, Some("6.12.0")];
        let expected = expected.map(|release| release.map(|it| format!("Linux {it}")));
        assert_eq!(here.collect::<Vec<_>>(), expected);
        assert_eq!(property(suite, "host.sysname"), "Linux");
        assert_eq!(property(suite, "host.release"), "6.1.0, 6.12.0");
    }

    #[test]
    fn check_tells_junit_of_several_hosts() {
        let captures = concat!(env!("CARGO_MANIFEST_DIR"), "/captures");
        let name = "close-unread-data.ipv4.json";
        let document = std::fs::read_to_string(format!("{captures}/{name}")).unwrap();
        let mut document: serde_json::Value = serde_json::from_str(&document).unwrap();
        // Of a trial without its capture the ladder is shown.
        let directories = ["5.10.0", "6.1.0"].map(|release| {
            let directory = tempfile::tempdir().unwrap();
            document["host"]["release"] = release.into();
            std::fs::write(directory.path().join(name), document.to_string()).unwrap();
            directory
        });
        let output = rstproof(&["check", "--format", "junit"])
            .args(directories.each_ref().map(tempfile::TempDir::path))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        let document = text(output.stdout);
        for release in ["5.10.0", "6.1.0"] {
            assert_eq!(document.matches(&format!("  Linux {release}: ")).count(), 1);
        }
        let report = parsed(&document);
        let release = property(&report.test_suites[0], "host.release");
        assert_eq!(release, "5.10.0, 6.1.0");
    }

    /// A trial with so many RSTs that nobody believes, and then so many calls that fail on a dead socket.
    fn endless(more: u32) -> Evidence {
        let mut evidence = evidence();
        for index in 0..more {
            let numbers = (9000 + index, 0);
            let micros = 100 + i64::from(index);
            let reset = segment(7 + index, micros, Role::Server, 0x04, numbers, 0);
            evidence.packets.push(reset);
            let micros = i64::from(more) + micros;
            let failed = Outcome::Failed(Errno::EPIPE);
            let write = call(Role::Client, Op::Write(1), (micros, micros + 1), failed);
            evidence.calls.push(write);
        }
        evidence
    }

    /// With work that grows with the square of the input this test does not end.
    #[test]
    fn hundreds_of_thousands_of_frames_and_calls_are_reported_quickly() {
        let refuted = trial(&endless(200_000));
        assert_eq!(refuted.verdict, Some(Verdict::Refuted));
        assert_eq!(refuted.findings.len(), 200_000);
        assert_eq!(
            (refuted.calls.len(), refuted.resets.len()),
            (200_008, 200_001)
        );
        let story = ladder(&refuted);
        let mut tally = Tally::default();
        tally.count(refuted.verdict);
        let line = line(
            scenario(),
            Family::Ipv4,
            &tally,
            std::slice::from_ref(&refuted),
        );
        let document = junit(&[(Some(scenario()), refuted)]);
        for text in [&story, &line, &document] {
            assert!(text.contains("… 199,600 more …") && text.len() < 150_000);
        }
    }

    #[test]
    fn a_long_story_shows_its_beginning_and_its_end() {
        let rows = |more: u32| {
            let mut evidence = endless(more);
            evidence.calls.truncate(8);
            let trial = trial(&evidence);
            assert_eq!(trial.verdict, Some(Verdict::Confirmed));
            let story = ladder(&trial);
            let (heading, rest) = story.split_once("µs").unwrap();
            assert!(!heading.is_empty());
            let (rows, rest) = rest.split_once("\n\n").unwrap();
            let rows: Vec<String> = rows.lines().skip(1).map(str::to_owned).collect();
            let facts = rest
                .lines()
                .filter(|line| line.starts_with("  ok  "))
                .count();
            (rows, facts)
        };
        // Eight calls, one of which waits, and six packets; six facts, and one for each RST.
        let (whole, facts) = rows(385);
        assert_eq!((whole.len(), facts), (400, 385 + 6));
        let (cut, facts) = rows(1_385);
        assert_eq!((cut.len(), facts), (401, 401));
        assert_eq!(cut[..200], whole[..200]);
        assert_eq!(cut[200].trim(), "… 1,000 more …");
        assert!(cut[400].contains(" 1391 <---"), "{}", cut[400]);
    }
}
