//! Saved evidence: what is in the directory, and that Wireshark reads the same in it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::documented::{BOTH, assert_are, ids, plain, stems};
use crate::run::{Run, Running, rstproof, trials};
use crate::saved::{assert_names, assert_same, contents, report, save, saving, stem};
use crate::wireshark::{RST, Segment, assert_agree, by_tshark, by_us, fields_of, wireshark};

fn path(dir: &TempDir) -> &str {
    dir.path().to_str().unwrap()
}

#[test]
fn is_named_after_its_trials_and_agrees_with_tshark() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&["run", "-w", path(&dir)][..], &ids(&plain())].concat();
    Run::of(&mut rstproof(&arguments)).quietly(0);
    let report = report(dir.path());
    assert_are(&plain(), &report, &BOTH);

    let mut expected = BTreeSet::from(["report.json".to_owned()]);
    for stem in stems(&plain()) {
        expected.extend(["pcapng", "json"].map(|kind| format!("{stem}.{kind}")));
    }
    assert_names(dir.path(), &expected);

    let file = |trial: &Value| dir.path().join(trial["capture_file"].as_str().unwrap());
    let files: Vec<_> = report.iter().map(file).collect();
    for (trial, tshark) in report.iter().zip(by_tshark(&files)) {
        let name = trial["capture_file"].as_str().unwrap();
        let with_rst = |segment: &&Segment| segment.flags & RST != 0;
        let resets: Vec<u64> = tshark
            .iter()
            .filter(with_rst)
            .map(|segment| segment.frame)
            .collect();
        assert_eq!(frames(&trial["resets"]), resets, "{name}");
        assert_agree(&by_us(trial), tshark, name);
    }
}

/// The kernel keeps a queue of frames per CPU (`softnet_data`), and a timer may have sent something from any of them. Between hosts
/// a fence goes each way, and is captured at either end.
#[test]
fn each_cpu_has_fenced_a_trial_that_took_as_long_as_a_timer() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    for (scenario, frames_of_each) in [
        ("keepalive-half-open", 1),
        ("established-neighbour-gone", 4),
    ] {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &[scenario, "--family", "ipv4"]);
        let file = dir.path().join(format!("{scenario}.ipv4.pcapng"));
        let mut tshark = Command::new("tshark");
        let fences = wireshark(tshark.arg("-nr").arg(file).args(["-Y", "udp and not icmp"]));
        let count = fences.lines().count();
        assert!(count >= cpus * frames_of_each, "{scenario}: {fences}");
    }
}

/// Flow graphs, endpoints and filters of Wireshark are by address. A socket that is connected to itself has one.
#[test]
fn each_end_has_an_address_of_its_own() {
    let addresses = |command: &mut Command| -> Vec<BTreeSet<String>> {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::of(command.arg("-w").arg(dir.path())).quietly(0);
        let stems = crate::saved::files_of(&run.trials());
        let captures = stems.iter().filter(|name| name.ends_with(".pcapng"));
        let files: Vec<_> = captures.map(|name| dir.path().join(name)).collect();
        assert!(!files.is_empty());
        let fields = [
            "-e", "ip.src", "-e", "ip.dst", "-e", "ipv6.src", "-e", "ipv6.dst",
        ];
        let frames = fields_of(&files, "tcp", &fields).into_iter();
        let of = |frames: Vec<(u64, String)>| {
            let named = frames.iter().flat_map(|(_, line)| line.split('\t'));
            named
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect()
        };
        frames.map(of).collect()
    };
    let run = |arguments: &[&str]| {
        let mut command = rstproof(&["run", "--format", "json"]);
        command.args(arguments);
        addresses(&mut command)
    };
    for ends in run(&[
        "close-unread-data",
        "linger-zero-close",
        "connect-closed-port",
    ]) {
        assert_eq!(ends.len(), 2, "{ends:?}");
    }
    for ends in run(&["self-connect"]) {
        assert_eq!(ends.len(), 1, "{ends:?}");
    }
}

fn frames(of: &Value) -> Vec<u64> {
    let of = of.as_array().unwrap();
    of.iter()
        .map(|one| one["frame"].as_u64().unwrap())
        .collect()
}

/// The frames that the display filter in the ladder finds, and those that the report names.
fn found_and_named(scenario: &str, family: &str, named: &str) -> (Vec<u64>, Vec<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = rstproof(&["run", scenario, "--family", family]);
    let run = Run::of(command.args(["-w", path(&dir)])).quietly(0);
    let mut lines = run
        .out
        .lines()
        .skip_while(|line| line.trim() != "wireshark");
    let filter = lines.nth(1).unwrap().trim();
    let trial = &report(dir.path())[0];
    let file = dir.path().join(trial["capture_file"].as_str().unwrap());
    let mut tshark = Command::new("tshark");
    tshark.arg("-n").arg("-r").arg(file).args(["-Y", filter]);
    let found = wireshark(tshark.args(["-T", "fields", "-e", "frame.number"]));
    let found = found.lines().map(|line| line.parse().unwrap()).collect();
    (found, frames(&trial[named]))
}

#[test]
fn is_searched_for_its_resets_by_the_display_filter_of_the_ladder() {
    for family in BOTH {
        let (found, resets) = found_and_named("close-unread-data", family, "resets");
        assert_eq!(resets.len(), 1);
        assert_eq!(found, resets, "{family}");
    }
}

#[test]
fn is_searched_for_its_connection_where_there_is_no_reset() {
    let (found, connection) = found_and_named("clean-close-eof", "ipv4", "packets");
    assert_eq!(found, connection);
}

#[test]
fn is_overwritten_only_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["run", "close-unread-data", "-w", path(&dir)];
    Run::of(&mut rstproof(&arguments)).quietly(0);
    let before = contents(dir.path());

    let refused = Run::of(&mut rstproof(&arguments));
    assert!(refused.complaint().contains("--force"), "{}", refused.err);
    assert_eq!(refused.out, "");
    assert!(contents(dir.path()) == before, "it was changed");

    Run::of(rstproof(&arguments).arg("--force")).quietly(0);
    let after = contents(dir.path());
    assert!(after.keys().eq(before.keys()));
    assert!(after.iter().all(|(name, bytes)| before[name] != *bytes));
}

#[test]
fn has_a_document_for_each_trial_that_says_of_it_what_the_report_says() {
    let dir = tempfile::tempdir().unwrap();
    let shown = save(dir.path(), &[]);
    assert_same(&shown, &report(dir.path()));
    for trial in &shown {
        let document = dir.path().join(format!("{}.json", stem(trial)));
        let alone = trials(&fs::read_to_string(document).unwrap());
        assert_same(std::slice::from_ref(trial), &alone);
    }
}

#[test]
fn of_one_run_is_not_disturbed_by_another() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let arguments = ["close-unread-data", "--repeat", "50", "--jobs", "2"];
    let runs = dirs
        .each_ref()
        .map(|dir| Running::start(&mut saving(dir.path(), &arguments)));
    for (run, dir) in runs.into_iter().zip(&dirs) {
        let shown = run.finish().quietly(0).trials();
        assert_eq!(shown.len(), 100);
        assert!(shown.iter().all(|trial| trial["verdict"] == "confirmed"));
        assert_same(&shown, &report(dir.path()));
        assert_names(dir.path(), &crate::saved::files_of(&shown));
        let mut check = rstproof(&["check", "--format", "json"]);
        let again = Run::of(check.arg(dir.path())).quietly(0).trials();
        assert_same(&shown, &again);
    }
}
