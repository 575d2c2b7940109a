//! The document for CI, read back as its readers would.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};

use crate::documented::{of_a_run, stems};
use crate::run::{ENDLESS, ENDLESS_TRIALS, Run, Running, rstproof};

const JUNIT: [&str; 2] = ["--format", "junit"];

#[track_caller]
fn report(run: &Run) -> Report {
    Report::deserialize_from_str(&run.out).unwrap()
}

#[test]
fn has_a_case_for_every_trial() {
    let nanos = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_nanos()
    };
    let before = nanos(SystemTime::now());
    let report = report(&Run::of(rstproof(&["run"]).args(JUNIT)).quietly(0));
    let after = nanos(SystemTime::now());

    let counts = (report.tests, report.failures, report.errors, report.skipped);
    let stories = of_a_run();
    assert_eq!(counts, (stems(&stories).len(), 0, 0, 0));
    let suites = report.test_suites.iter();
    let suites: Vec<_> = suites
        .map(|suite| (suite.name.to_string(), suite.tests))
        .collect();
    // A suite for each topic, with all families of its scenarios.
    let topics = stories.chunk_by(|one, next| one.topic == next.topic);
    let expected = topics.map(|of_topic| {
        let name = format!("rstproof.{}", of_topic[0].topic);
        (name, stems(of_topic).len())
    });
    assert_eq!(suites, expected.collect::<Vec<_>>());

    let cases = report
        .test_suites
        .iter()
        .flat_map(|suite| &suite.test_cases);
    let names: BTreeSet<String> = cases.clone().map(|case| case.name.to_string()).collect();
    assert_eq!(names, stems(&stories).into_iter().collect());
    for case in cases {
        assert_eq!(case.status, TestCaseStatus::success(), "{case:?}");
        assert!(case.time.unwrap().as_nanos() < after - before, "{case:?}");
        assert!(!case.time.unwrap().is_zero(), "{case:?}");
        // Written in milliseconds.
        let began: u128 = case
            .timestamp
            .unwrap()
            .timestamp_millis()
            .try_into()
            .unwrap();
        assert!(
            (before / 1_000_000..=after / 1_000_000).contains(&began),
            "{case:?}"
        );
    }
}

#[test]
fn a_hidden_reset_is_an_error() {
    let mut command = rstproof(&["run", "close-unread-data", "--family", "ipv4"]);
    command.args(["-f", "tcp[tcpflags] & tcp-rst == 0", "--repeat", "2"]);
    let report = report(&Run::of(command.args(JUNIT)).quietly(3));
    assert_eq!((report.tests, report.errors, report.failures), (2, 2, 0));
    for (case, run) in report.test_suites[0].test_cases.iter().zip(1..) {
        assert_eq!(case.name.as_str(), format!("close-unread-data.ipv4.{run}"));
        let TestCaseStatus::NonSuccess { kind, ty, .. } = &case.status else {
            panic!("{case:?}")
        };
        assert_eq!(*kind, NonSuccessKind::Error);
        assert_eq!(ty.as_deref(), Some("filter-hides"));
    }
}

/// Waits until a trial's capture is there.
fn await_capture(watch: &Inotify) {
    let is_capture = |name: &Path| name.extension().is_some_and(|kind| kind == "pcapng");
    loop {
        let events = watch.read_events().unwrap();
        let mut names = events.iter().filter_map(|event| event.name.as_ref());
        if names.any(|name| is_capture(name.as_ref())) {
            return;
        }
    }
}

#[test]
fn is_complete_after_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let watch = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
    let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    watch.add_watch(dir.path(), flags).unwrap();
    let mut command = rstproof(&ENDLESS);
    let run = Running::start(command.args(JUNIT).arg("-w").arg(dir.path()));
    await_capture(&watch);
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert_eq!(run.code, Some(130), "{}", run.err);

    let report = report(&run);
    let said = format!(
        "rstproof: interrupted: {} of {ENDLESS_TRIALS} trials",
        report.tests
    );
    assert_eq!(run.err.trim_end(), said);
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    let expected = 2 * report.tests + 1;
    assert_eq!(
        files, expected,
        "a capture and a document each, and report.json"
    );
}

#[test]
fn nobody_reading_it_is_a_quiet_end() {
    let mut command = rstproof(&["run", "connect-closed-port"]);
    let mut run = Running::start(command.args(JUNIT));
    drop(run.out.take());
    run.finish().quietly(0);
}
