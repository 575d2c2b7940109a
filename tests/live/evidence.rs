//! Saved evidence: what is in the directory, and that it is whole whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::documented::{BOTH, DOCUMENTED, Documented, assert_as_documented};
use crate::run::{ENDLESS, PROGRAM, Run, Running, TRIAL, User, rstproof, trials, unshare};
use crate::wireshark::{RST, Segment, assert_agree, by_tshark, by_us, count_frames, wireshark};

fn path(dir: &TempDir) -> &str {
    dir.path().to_str().unwrap()
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), fs::read(dir.join(name)).unwrap());
    names(dir).into_iter().map(read).collect()
}

fn report(dir: &Path) -> Vec<Value> {
    trials(&fs::read_to_string(dir.join("report.json")).unwrap())
}

#[test]
fn is_named_after_its_trials_and_agrees_with_tshark() {
    let dir = tempfile::tempdir().unwrap();
    Run::of(&mut rstproof(&["run", "-w", path(&dir)])).quietly(0);
    let report = report(dir.path());
    assert_as_documented(&report, &BOTH);

    let mut expected = BTreeSet::from(["report.json".to_owned()]);
    for Documented { scenario, .. } in &DOCUMENTED {
        expected.extend(BOTH.map(|family| format!("{scenario}.{family}.pcapng")));
    }
    assert_eq!(names(dir.path()), expected);

    let mut files = Vec::new();
    for trial in &report {
        let name = trial["capture_file"].as_str().unwrap();
        let file = dir.path().join(name);
        let tshark = by_tshark(&file);
        let with_rst = |segment: &&Segment| segment.flags & RST != 0;
        let resets: Vec<u64> = tshark
            .iter()
            .filter(with_rst)
            .map(|segment| segment.frame)
            .collect();
        assert_eq!(frames(&trial["resets"]), resets, "{name}");
        assert_agree(&by_us(trial), tshark, name);
        files.push(file);
    }
    assert_eq!(count_frames(&files).len(), files.len());
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
fn belongs_to_who_ran_it_and_is_writable_by_nobody_else() {
    let user = User::new();
    let dir = user.home.path().join("evidence");
    let mut command = user.rstproof(&["run", "close-unread-data", "-w", dir.to_str().unwrap()]);
    Run::of(&mut command).quietly(0);
    assert_eq!(names(&dir).len(), 3);
    let owner = user.home.path().metadata().unwrap().uid();
    for name in names(&dir) {
        let file = dir.join(name).metadata().unwrap();
        assert_eq!(file.permissions().mode() & 0o7777 & !0o644, 0);
        assert_eq!(file.uid(), owner);
    }
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
fn is_left_whole_by_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, copy) = (dir.path().join("disk"), dir.path().join("copy"));
    fs::create_dir(&disk).unwrap();
    // The file system goes away with the namespace, so what is on it is copied.
    let script = r#"mount -t tmpfs -o size=64k tmpfs "$1" || exit 99
                    "$3" run -w "$1" --repeat 50; code=$?
                    cp -r "$1" "$2"; exit "$code""#;
    let mut command = unshare("--mount", "sh");
    command
        .args(["-c", script, "sh"])
        .args([&disk, &copy])
        .arg(PROGRAM);
    let run = Run::of(&mut command);
    let complaint = run.complaint();
    assert!(complaint.contains(disk.to_str().unwrap()), "{complaint}");
    assert!(complaint.contains("ENOSPC"), "{complaint}");

    let names = names(&copy);
    let whole =
        |name: &String| name.starts_with("connect-closed-port.") && name.ends_with(".pcapng");
    assert!(names.len() > 1 && names.iter().all(whole), "{names:?}");
    let files: Vec<PathBuf> = names.iter().map(|name| copy.join(name)).collect();
    // SYN, RST, fence.
    assert_eq!(count_frames(&files), vec![3; files.len()]);
}

fn complete_after(signal: Signal, code: i32) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = rstproof(&ENDLESS);
    command.args(["--format", "json", "-w", path(&dir)]);
    let mut run = Running::start(&mut command);
    let began = run.read_until(TRIAL);
    run.signal(signal);
    let run = run.finish();
    assert_eq!(run.code, Some(code), "{}", run.err);
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);

    let shown = trials(&format!("{began}{}", run.out));
    let said = format!("rstproof: interrupted: {} of 20000000 trials", shown.len());
    assert_eq!(run.err.trim_end(), said);
    assert_complete(dir.path(), &shown);
}

/// The report holds these trials, and every one of them has its capture, and nothing else is there.
fn assert_complete(dir: &Path, shown: &[Value]) {
    assert!(report(dir) == shown, "the report is not what was shown");
    let captures = shown
        .iter()
        .map(|trial| trial["capture_file"].as_str().unwrap());
    let expected: BTreeSet<String> = captures.chain(["report.json"]).map(str::to_owned).collect();
    assert_eq!(expected.len(), shown.len() + 1);
    assert_eq!(names(dir), expected);
}

#[test]
fn is_complete_after_sigint() {
    complete_after(Signal::SIGINT, 130);
}

#[test]
fn is_complete_after_sigterm() {
    complete_after(Signal::SIGTERM, 143);
}

#[test]
fn is_complete_after_standard_output_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = rstproof(&ENDLESS);
    command.args(["--format", "json", "-w", path(&dir)]);
    let mut run = Running::start(&mut command);
    run.read_until(TRIAL);
    drop(run.out.take());
    run.finish().quietly(0);
    assert_complete(dir.path(), &report(dir.path()));
}
