//! The program over a real loopback: what it says against what is documented, and against tshark.
//!
//! Where capturing is not possible these tests fail; none is skipped. Run as root they also try the program as an
//! ordinary user (`setpriv`); those in `as_root` need root. Needed beside the program: tshark with capinfos, and
//! util-linux (setpriv, unshare, mount).
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod as_root;
mod check;
mod comments;
mod container;
mod doctor;
mod documented;
mod evidence;
mod files;
mod filter;
mod junit;
mod links;
mod obstacle;
mod piped;
mod process;
#[path = "../support/program.rs"]
mod program;
mod run;
mod saved;
#[path = "../support/schema.rs"]
mod schema;
#[path = "../../core/tests/stories/mod.rs"]
mod stories;
mod whole;
mod wireshark;

use std::fs;
use std::process::Stdio;

use crate::documented::{BOTH, assert_are, assert_as_documented, ids, slow, slow_in_the_lab};
use crate::run::{ENDLESS, Run, Running, TRIAL, User, rstproof};

#[test]
fn every_scenario_goes_as_documented() {
    let run = Run::of(&mut rstproof(&["run", "--format", "json"])).quietly(0);
    assert_as_documented(&run.trials());
}

#[test]
fn every_scenario_goes_as_documented_for_an_ordinary_user() {
    let user = User::new();
    let run = Run::of(&mut user.rstproof(&["run", "--format", "json"])).quietly(0);
    assert_as_documented(&run.trials());
}

#[test]
fn every_slow_scenario_goes_as_documented() {
    let slow = slow();
    let arguments = [&["run", "--format", "json", "--jobs", "8"], &ids(&slow)[..]].concat();
    let run = Run::of(&mut rstproof(&arguments)).quietly(0);
    assert_are(&slow, &run.trials(), &BOTH);
}

#[test]
fn every_slow_scenario_in_the_lab_goes_as_documented() {
    let slow = slow_in_the_lab();
    let arguments = [&["run", "--format", "json"], &ids(&slow)[..]].concat();
    let run = Run::of(&mut rstproof(&arguments)).quietly(0);
    assert_are(&slow, &run.trials(), &BOTH);
}

/// These do not depend on how long anything takes.
const UNTIMED: [&str; 4] = [
    "connect-closed-port",
    "close-unread-data",
    "linger-zero-close",
    "shutdown-wr-then-write",
];

#[test]
fn thousands_of_trials_are_confirmed_while_another_run_does_the_same() {
    let arguments = [&["run", "--repeat", "300", "--jobs", "4"], &UNTIMED[..]].concat();
    let runs = [(); 2].map(|()| Running::start(&mut rstproof(&arguments)));
    for run in runs {
        let run = run.finish().quietly(0);
        let summary = run.out.lines().find(|line| line.contains(" trials in "));
        let (_, counts) = summary.unwrap().rsplit_once(": ").unwrap();
        assert_eq!(counts, "2400 confirmed", "{}", run.out);
    }
}

#[test]
fn the_output_for_people_fits_eighty_columns_and_a_pipe_gets_no_colours() {
    for arguments in [
        &["run"][..],
        &["run", "--verbose"],
        &["run", "--repeat", "3"],
    ] {
        let run = Run::of(&mut rstproof(arguments));
        // A busy host may leave a trial inconclusive, which is shown in lines of the same form.
        assert!(matches!(run.code, Some(0 | 3)), "{}", run.out);
        assert_eq!(run.err, "");
        assert!(run.out.lines().count() >= 20, "{}", run.out);
        assert!(!run.out.contains('\u{1b}'), "{}", run.out);
        for line in run.out.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn quiet_says_nothing_if_all_is_confirmed() {
    assert_eq!(
        Run::of(&mut rstproof(&["run", "--quiet"])).quietly(0).out,
        ""
    );
}

#[test]
fn a_closed_standard_output_is_a_quiet_end() {
    let mut run = Running::start(rstproof(&ENDLESS).args(["--format", "json"]));
    run.read_until(TRIAL);
    drop(run.out.take());
    run.finish().quietly(0);
}

#[test]
fn a_standard_output_that_cannot_be_written_to_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = rstproof(&["run", "--format", "json"]);
    let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(
        error.contains("standard output") && error.contains("os error 28"),
        "{error}"
    );
}
