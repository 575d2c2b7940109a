//! Saved evidence is whole whatever happens to the run that saves it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::run::{
    ENDLESS, ENDLESS_TRIALS, PROGRAM, Run, Running, TRIAL, rstproof, trials, unshare,
};
use crate::saved::{assert_names, assert_same, by_name, contents, files_of, names, report};

/// A run without end that saves in `dir`, with so many workers.
fn endless(dir: &Path, jobs: usize) -> Running {
    let mut command = rstproof(&ENDLESS);
    command.args(["--format", "json", "--jobs", &jobs.to_string(), "-w"]);
    Running::start(command.arg(dir))
}

/// The report holds these trials, and every one of them has its files, and nothing else is there.
#[track_caller]
fn assert_complete(dir: &Path, shown: &[Value]) {
    assert_same(shown, &report(dir));
    assert_names(dir, &files_of(shown));
}

#[track_caller]
fn complete_after(signal: Signal, code: i32) {
    let dir = tempfile::tempdir().unwrap();
    let mut run = endless(dir.path(), 2);
    let began = run.read_until(TRIAL);
    run.signal(signal);
    let run = run.finish();
    assert_eq!(run.code, Some(code), "{}", run.err);
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);

    let shown = trials(&format!("{began}{}", run.out));
    let said = format!(
        "rstproof: interrupted: {} of {ENDLESS_TRIALS} trials",
        shown.len()
    );
    assert_eq!(run.err.trim_end(), said);
    assert_complete(dir.path(), &shown);
    assert_same(&shown, &check(dir.path()).quietly(0).trials());
}

#[test]
fn after_sigint() {
    complete_after(Signal::SIGINT, 130);
}

#[test]
fn after_sigterm() {
    complete_after(Signal::SIGTERM, 143);
}

#[test]
fn after_sighup() {
    complete_after(Signal::SIGHUP, 129);
}

#[test]
fn after_standard_output_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = endless(dir.path(), 2);
    run.read_until(TRIAL);
    drop(run.out.take());
    run.finish().quietly(0);
    assert_complete(dir.path(), &report(dir.path()));
}

fn check(dir: &Path) -> Run {
    Run::of(rstproof(&["check", "--format", "json"]).arg(dir))
}

/// The trials on standard output that are there as a whole.
fn shown(out: &str) -> Vec<Value> {
    let lines = out.lines().filter(|line| line.starts_with('{'));
    lines
        .filter_map(|line| serde_json::from_str(line.trim_end_matches(',')).ok())
        .collect()
}

/// All that a killed run has left: trials that are confirmed, among them all that it had shown, and of each worker at
/// most one that is not whole.
#[track_caller]
fn assert_left_whole(dir: &Path, shown: &[Value], jobs: usize) {
    let run = check(dir);
    // Nothing at all if the only trial that there is has not even the beginning of a capture.
    let again = if run.out.is_empty() && shown.is_empty() {
        Vec::new()
    } else {
        trials(&run.out)
    };
    let (confirmed, others): (Vec<Value>, Vec<Value>) = again
        .into_iter()
        .partition(|trial| trial["verdict"] == "confirmed");
    let others: Vec<&Value> = others
        .iter()
        .map(|trial| &trial["inconclusive_reason"]["id"])
        .collect();
    assert!(others.iter().all(|gap| **gap == "transcript-missing"));
    assert!(others.len() <= jobs, "{others:?}");
    assert!(run.err.lines().count() <= jobs, "{}", run.err);

    let all = by_name(&confirmed);
    let of_shown = by_name(shown).into_keys();
    let again = of_shown.filter_map(|name| all.get(&name).copied().cloned());
    assert_same(shown, &again.collect::<Vec<_>>());

    let mut of_confirmed = files_of(&confirmed);
    of_confirmed.remove("report.json");
    let names = names(dir);
    let missing = of_confirmed.difference(&names).next();
    assert_eq!(missing, None, "a confirmed trial has both its files");
    let left: BTreeSet<&str> = names
        .difference(&of_confirmed)
        .map(|name| name.rsplit_once('.').unwrap())
        .inspect(|(stem, kind)| {
            let of_trial = stem.contains(".ipv") && !stem.starts_with('.');
            assert!(
                of_trial && matches!(*kind, "pcapng" | "json"),
                "{stem}.{kind}"
            );
        })
        .map(|(stem, _)| stem)
        .collect();
    assert!(left.len() <= jobs, "{left:?}");
}

#[test]
fn after_sigkill_when_so_many_trials_were_shown() {
    for wanted in [1, 10, 100, 1000] {
        let dir = tempfile::tempdir().unwrap();
        let mut run = endless(dir.path(), 2);
        let mut out = String::new();
        for _ in 0..wanted {
            out += &run.read_until(TRIAL);
        }
        run.signal(Signal::SIGKILL);
        let run = run.finish();
        assert_eq!(run.code, None, "{}", run.err);
        let shown = shown(&(out + &run.out));
        assert!(shown.len() >= wanted);
        assert_left_whole(dir.path(), &shown, 2);
    }
}

#[test]
fn after_sigkill_while_a_file_is_written() {
    for nth in 1..=24 {
        let dir = tempfile::tempdir().unwrap();
        let watch = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
        watch
            .add_watch(dir.path(), AddWatchFlags::IN_CREATE)
            .unwrap();
        let run = endless(dir.path(), 1);
        let mut created = 0;
        while created < nth {
            created += watch.read_events().unwrap().len();
        }
        run.signal(Signal::SIGKILL);
        let run = run.finish();
        assert_eq!(run.code, None, "{}", run.err);
        assert_left_whole(dir.path(), &shown(&run.out), 1);
    }
}

/// What a forced run replaces is whole before or after, and never half of each.
#[test]
fn after_sigkill_of_a_forced_run() {
    for wanted in [1, 10, 50] {
        let dir = tempfile::tempdir().unwrap();
        let arguments = [
            "run",
            "connect-closed-port",
            "--repeat",
            "60",
            "--jobs",
            "1",
        ];
        let mut command = rstproof(&arguments);
        command.args(["--format", "json", "-w"]).arg(dir.path());
        Run::of(&mut command).quietly(0);
        let mut run = Running::start(command.arg("--force"));
        for _ in 0..wanted {
            run.read_until(TRIAL);
        }
        run.signal(Signal::SIGKILL);
        run.finish();

        let again = trials(&check(dir.path()).out);
        assert_eq!(again.len(), 120, "after {wanted}");
        let gaps: Vec<&Value> = again
            .iter()
            .filter(|trial| trial["verdict"] != "confirmed")
            .map(|trial| &trial["inconclusive_reason"]["id"])
            .collect();
        assert!(gaps.len() <= 1, "after {wanted}: {gaps:?}");
        assert!(gaps.iter().all(|gap| **gap == "transcript-missing"));
    }
}

/// Runs `script`, whose end is the end of the run, with a small disk mounted at `$disk`; it is `$copy` afterwards.
fn on_small_disk(blocks: u64, script: &str, and_then: impl FnOnce(Run, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    let (disk, copy) = (dir.path().join("disk"), dir.path().join("copy"));
    fs::create_dir(&disk).unwrap();
    // The file system goes away with the namespace, so what is on it is copied.
    let script = format!(
        r#"disk=$1 copy=$2 program=$3
           mount -t tmpfs -o nr_blocks={blocks} tmpfs "$disk" || exit 99
           {script}
           code=$?; cp -r "$disk" "$copy"; exit "$code""#
    );
    let mut command = unshare("--mount", "sh");
    command.args(["-c", &script, "sh"]).args([&disk, &copy]);
    let run = Run::of(command.arg(PROGRAM));
    assert_ne!(run.code, Some(99), "{}", run.err);
    and_then(run, &copy);
}

/// Everything there is a whole trial that is confirmed, or a report of all of them. How many trials.
#[track_caller]
fn assert_whole_and_confirmed(dir: &Path) -> usize {
    if names(dir).is_empty() {
        return 0;
    }
    let trials = check(dir).quietly(0).trials();
    assert!(trials.iter().all(|trial| trial["verdict"] == "confirmed"));
    let mut expected = files_of(&trials);
    if !dir.join("report.json").exists() {
        expected.remove("report.json");
    }
    assert_names(dir, &expected);
    trials.len()
}

#[test]
fn after_the_disk_was_full_wherever_that_was() {
    // A file of a trial is shorter than a block, so these two times four do not leave room for the report.
    for blocks in 1..=8 {
        let script =
            r#""$program" run connect-closed-port --family ipv4 --repeat 4 --jobs 1 -w "$disk""#;
        on_small_disk(blocks, script, |run, copy| {
            let complaint = run.complaint();
            assert!(complaint.contains("ENOSPC"), "{complaint}");
            let saved = assert_whole_and_confirmed(copy) as u64;
            // The report in the making had two blocks at most, and one went to the trial that found no room.
            assert!(2 * saved + 3 >= blocks, "{saved} in {blocks} blocks");
            if copy.join("report.json").exists() {
                assert_eq!(report(copy).len() as u64, saved);
            }
        });
    }
}

#[test]
fn after_there_was_no_room_for_the_report_alone() {
    let script = r#""$program" run connect-closed-port --family ipv4 -w "$disk""#;
    // One for the capture and one for the document; with a third one the report fits as well.
    on_small_disk(2, script, |run, copy| {
        let complaint = run.complaint();
        assert!(
            complaint.contains("/report.json: no space left"),
            "{complaint}"
        );
        assert!(!copy.join("report.json").exists());
        assert_eq!(assert_whole_and_confirmed(copy), 1);
    });
    on_small_disk(3, script, |run, copy| {
        run.quietly(0);
        assert_eq!(report(copy).len(), 1);
        assert_eq!(assert_whole_and_confirmed(copy), 1);
    });
}

#[test]
fn after_a_forced_run_found_the_disk_full() {
    for free in 0..=6 {
        // The second run has trials to replace and then more to add than there is room for.
        let script = format!(
            r#"set -- run --jobs=1 --family=ipv4 --repeat=2 --quiet -w "$disk/evidence"
               "$program" "$@" connect-closed-port || exit 98
               cp -r "$disk/evidence" "$copy.before"
               left=$(($(stat -f -c %f "$disk") - {free}))
               head -c $((left * $(stat -f -c %S "$disk"))) /dev/zero >"$disk/filler" || exit 97
               "$program" "$@" --force"#
        );
        on_small_disk(64, &script, |run, copy| {
            let complaint = run.complaint();
            assert!(complaint.contains("ENOSPC"), "{complaint}");
            let evidence = copy.join("evidence");
            assert!(assert_whole_and_confirmed(&evidence) >= 2, "{free} free");
            // Less than a trial and its document take: nothing was touched.
            if free < 2 {
                let before = contents(&copy.with_extension("before"));
                assert!(contents(&evidence) == before, "{free} free");
            }
        });
    }
}
