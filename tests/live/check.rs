//! Saved evidence judged again: the same verdicts as the live run's, whatever it is given and whoever asks.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use quick_junit::Report;
use serde_json::Value;
use tempfile::TempDir;

use crate::documented::{BOTH, assert_are, assert_as_documented, ids, of_a_run, plain, stems};
use crate::program;
use crate::run::{PROGRAM, Run, User, rstproof, unshare};
use crate::saved::{assert_same, contents, names, report, save, saving, stem};
use crate::wireshark::{assert_agree, by_tshark, by_us};

/// `check` of these, and how it ended.
fn check<P: AsRef<OsStr>>(options: &[&str], evidence: &[P]) -> Run {
    Run::of(rstproof(&["check"]).args(options).args(evidence))
}

const JSON: [&str; 2] = ["--format", "json"];

#[track_caller]
fn judged_again<P: AsRef<OsStr>>(evidence: &[P]) -> Vec<Value> {
    check(&JSON, evidence).quietly(0).trials()
}

/// The whole catalogue, saved; and what was said of it live.
fn saved() -> (TempDir, Vec<Value>) {
    let dir = tempfile::tempdir().unwrap();
    let live = save(dir.path(), &[]);
    assert_as_documented(&live);
    (dir, live)
}

/// The files of this kind that trials have.
fn files(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let names = names(dir).into_iter().filter(|name| name != "report.json");
    let paths = names.map(|name| dir.join(name));
    paths
        .filter(|path| path.extension() == Some(OsStr::new(kind)))
        .collect()
}

fn remove(files: &[PathBuf]) {
    for file in files {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn gives_the_same_result_for_file_and_directory() {
    let (dir, live) = saved();
    let path = dir.path();
    assert_same(&live, &judged_again(&[path]));
    assert_same(&live, &judged_again(&[path.join("report.json")]));
    for kind in ["json", "pcapng"] {
        let files = files(path, kind);
        assert_same(&live, &judged_again(&files));
        for trial in &live {
            let alone = path.join(format!("{}.{kind}", stem(trial)));
            assert_same(std::slice::from_ref(trial), &judged_again(&[alone]));
        }
    }
}

#[test]
fn names_what_it_was_judged_from_and_what_was_said_then() {
    let (dir, _) = saved();
    let kernel = nix::sys::utsname::uname().unwrap();
    for trial in judged_again(&[dir.path()]) {
        let evidence = &trial["evidence"];
        let file = dir.path().join(trial["capture_file"].as_str().unwrap());
        assert_eq!(evidence["file"], file.to_str().unwrap());
        assert_eq!(evidence["recorded_verdict"], "confirmed");
        assert_eq!(
            evidence["kernel_release"],
            kernel.release().to_str().unwrap()
        );
        assert_eq!(evidence["tool_version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn takes_several_directories_at_once() {
    let (one, live) = saved();
    let two = tempfile::tempdir().unwrap();
    let others = save(two.path(), &["linger-zero-close", "--repeat", "3"]);
    let trials = judged_again(&[one.path(), two.path()]);
    let (first, second) = trials.split_at(live.len());
    assert_same(&live, first);
    assert_same(&others, second);
    assert!(
        Run::of(&mut saving(two.path(), &[]))
            .complaint()
            .contains("--force")
    );

    // The worst of all counts.
    remove(&files(two.path(), "pcapng"));
    let run = check(&["-q"], &[one.path(), two.path()]).quietly(3);
    assert!(run.out.contains("capture-missing"), "{}", run.out);
    let nowhere = one.path().join("nowhere");
    let run = check(&JSON, &[nowhere.as_path(), one.path()]);
    assert!(run.complaint().contains("ENOENT"), "{}", run.err);
    assert_same(&live, &run.trials());
}

/// A line for each scenario and family, and of the summary what does not depend on the time. The sources of evidence come last, and
/// after a run only: what is checked may be of several.
fn lines(out: &str) -> Vec<&str> {
    let lines = out
        .lines()
        .take_while(|line| !line.starts_with("evidence from: "))
        .map(|line| match line.rsplit_once(" s: ") {
            Some((_, counts)) => counts,
            None => line,
        });
    lines.collect()
}

#[test]
fn prints_the_same_as_the_live_run() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["run"][..], &["run", "--repeat", "2", "--force"]] {
        let live = Run::of(rstproof(arguments).arg("-w").arg(dir.path())).quietly(0);
        let again = check(&[], &[dir.path().join("report.json")]).quietly(0);
        assert_eq!(lines(&again.out), lines(&live.out));
        // A line for each, an empty one and the summary; long words take a second line.
        assert!(lines(&again.out).len() >= stems(&of_a_run()).len() + 2);
    }
    assert_eq!(check(&["-q"], &[dir.path()]).quietly(0).out, "");
}

/// What a ladder says before it names files.
fn ladder(out: &str) -> &str {
    let (ladder, files) = out.rsplit_once("  wireshark\n").unwrap();
    assert!(files.contains("tcp.flags.reset == 1"), "{files}");
    ladder
}

#[test]
fn prints_the_same_ladder_as_the_live_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = rstproof(&["run", "close-unread-data", "--family", "ipv6"]);
    let live = Run::of(run.arg("-w").arg(dir.path())).quietly(0);
    let capture = files(dir.path(), "pcapng");
    for options in [&[][..], &["-v"]] {
        let again = check(options, &[dir.path()]).quietly(0);
        assert_eq!(ladder(&again.out), ladder(&live.out));
        assert!(again.out.contains("  verified from\n"), "{}", again.out);
        assert_eq!(check(options, &capture).quietly(0).out, again.out);
    }
    // Of several trials only on request, and copies are no further trials.
    let other = tempfile::tempdir().unwrap();
    save(other.path(), &["close-unread-data", "--family", "ipv4"]);
    let both = [dir.path(), other.path()];
    let stories = check(&["--verbose"], &both).quietly(0).out;
    assert_eq!(stories.matches("  verified from\n").count(), 2);
    let short = check(&[], &both).quietly(0).out;
    assert!(!short.contains("verified from"), "{short}");
    let twice = check(&[], &[dir.path(), dir.path()]);
    assert_eq!(
        (twice.code, ladder(&twice.out)),
        (Some(0), ladder(&live.out))
    );
    assert!(
        twice.err.contains("1 copy was not counted"),
        "{}",
        twice.err
    );
}

#[test]
fn writes_the_same_junit_report_as_the_live_run() {
    let (dir, live) = saved();
    let run = check(&["--format", "junit"], &[dir.path()]).quietly(0);
    let junit = Report::deserialize_from_str(&run.out).unwrap();
    let trials = stems(&of_a_run()).len();
    assert_eq!((junit.tests, junit.failures, junit.errors), (trials, 0, 0));
    let cases = junit.test_suites.iter().flat_map(|suite| &suite.test_cases);
    let mut names: Vec<_> = cases.map(|case| case.name.to_string()).collect();
    let mut expected: Vec<_> = live.iter().map(stem).collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);

    remove(&files(dir.path(), "pcapng")[..1]);
    let run = check(&["--format", "junit"], &[dir.path()]).quietly(3);
    let junit = Report::deserialize_from_str(&run.out).unwrap();
    assert_eq!((junit.tests, junit.failures, junit.errors), (trials, 0, 1));
}

#[test]
fn works_with_either_kind_of_document() {
    let (dir, live) = saved();
    let report_file = dir.path().join("report.json");
    let report_bytes = fs::read(&report_file).unwrap();
    fs::remove_file(&report_file).unwrap();
    assert_same(&live, &judged_again(&[dir.path()]));
    assert_same(&live, &judged_again(&files(dir.path(), "pcapng")));

    fs::write(&report_file, report_bytes).unwrap();
    remove(&files(dir.path(), "json"));
    assert_same(&live, &judged_again(&[dir.path()]));
    assert_same(&live, &judged_again(&files(dir.path(), "pcapng")));
}

/// The gaps of all trials that are not confirmed.
fn gaps(trials: &[Value]) -> Vec<(String, &Value)> {
    let others = trials
        .iter()
        .filter(|trial| trial["verdict"] != "confirmed");
    let gap = |trial| (stem(trial), &trial["inconclusive_reason"]["id"]);
    others.map(gap).collect()
}

#[test]
fn reports_missing_files_and_judges_the_rest() {
    let (dir, live) = saved();
    let missing = stem(&live[3]);
    let capture = dir.path().join(format!("{missing}.pcapng"));
    let bytes = fs::read(&capture).unwrap();
    fs::remove_file(&capture).unwrap();
    let run = check(&JSON, &[dir.path()]).quietly(3);
    let trials = run.trials();
    assert_eq!(trials.len(), live.len());
    assert_eq!(
        gaps(&trials),
        [(missing.clone(), &"capture-missing".into())]
    );

    fs::write(&capture, bytes).unwrap();
    assert_same(&live, &judged_again(&[dir.path()]));
    remove(&[
        dir.path().join("report.json"),
        dir.path().join(format!("{missing}.json")),
    ]);
    for evidence in [dir.path(), &capture] {
        let trials = check(&JSON, &[evidence]).quietly(3).trials();
        assert_eq!(
            gaps(&trials),
            [(missing.clone(), &"transcript-missing".into())]
        );
    }
    let trials = check(&JSON, &[dir.path()]).quietly(3).trials();
    assert_eq!(trials.len(), live.len());
}

/// As a run that was killed leaves it.
#[test]
fn treats_an_empty_document_as_missing() {
    let (dir, live) = saved();
    let killed = stem(&live[3]);
    let document = dir.path().join(format!("{killed}.json"));
    fs::remove_file(dir.path().join("report.json")).unwrap();
    fs::write(&document, "").unwrap();
    let trials = check(&JSON, &[dir.path()]).quietly(3).trials();
    assert_eq!(trials.len(), live.len());
    assert_eq!(gaps(&trials), [(killed, &"transcript-missing".into())]);
    // Where there is nothing else nothing was judged, and that is no success.
    for name in names(dir.path()) {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    fs::write(&document, "").unwrap();
    let run = check(&[], &[dir.path()]);
    assert!(
        run.complaint().contains("cannot find evidence"),
        "{}",
        run.err
    );
}

#[test]
fn does_not_know_more_than_the_live_run_did() {
    let dir = tempfile::tempdir().unwrap();
    let hidden = ["close-unread-data", "-f", "tcp[tcpflags] & tcp-rst == 0"];
    let arguments = [&hidden[..], &["--family", "ipv4"]].concat();
    let live = Run::of(&mut saving(dir.path(), &arguments)).quietly(3);
    let live = live.trials();
    assert_eq!(live[0]["inconclusive_reason"]["id"], "filter-hides");
    let again = check(&JSON, &[dir.path()]).quietly(3).trials();
    assert_same(&live, &again);
    // Neither alone.
    for kind in ["json", "pcapng"] {
        let again = check(&JSON, &files(dir.path(), kind)).quietly(3).trials();
        assert_same(&live, &again);
    }
}

#[test]
fn judges_classic_pcap_too() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&["--pcap"][..], &ids(&plain())].concat();
    let run = Run::of(&mut saving(dir.path(), &arguments));
    assert_eq!(run.code, Some(0));
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    assert!(run.err.contains("comments"), "{}", run.err);
    let live = run.trials();
    assert_are(&plain(), &live, &BOTH);
    assert_eq!(files(dir.path(), "pcapng"), [] as [PathBuf; 0]);
    let captures = files(dir.path(), "pcap");
    assert_eq!(captures.len(), live.len());
    let file = |trial: &Value| dir.path().join(trial["capture_file"].as_str().unwrap());
    let in_order: Vec<_> = live.iter().map(file).collect();
    for (trial, tshark) in live.iter().zip(by_tshark(&in_order)) {
        assert_agree(
            &by_us(trial),
            tshark,
            trial["capture_file"].as_str().unwrap(),
        );
    }
    assert_same(&live, &judged_again(&[dir.path()]));
    assert_same(&live, &judged_again(&captures));
}

/// Which end it was captured at would be lost.
#[test]
fn judges_what_classic_pcap_has_no_room_for() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--pcap", "reset-lost", "close-unread-data"];
    let run = Run::of(&mut saving(dir.path(), &arguments));
    assert_eq!(run.code, Some(0));
    assert_eq!(run.err.lines().count(), 2, "{}", run.err);
    assert!(run.err.contains("pcapng"), "{}", run.err);
    let stems = |scenario: &str, kind| BOTH.map(|family| format!("{scenario}.{family}.{kind}"));
    let captures = |kind| {
        let files = files(dir.path(), kind).into_iter();
        files.map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
    };
    assert!(captures("pcapng").eq(stems("reset-lost", "pcapng")));
    assert!(captures("pcap").eq(stems("close-unread-data", "pcap")));
    assert_same(&run.trials(), &judged_again(&[dir.path()]));
}

#[test]
fn refuses_a_record_that_the_frames_of_a_classic_pcap_were_not_captured_with() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["close-unread-data", "--family", "ipv4", "--pcap"];
    assert_eq!(Run::of(&mut saving(dir.path(), &arguments)).code, Some(0));
    // In this one the server should have set SO_LINGER. Classic pcap has no room for a hash, but the fence has.
    let document = dir.path().join("close-unread-data.ipv4.json");
    let text = fs::read_to_string(&document).unwrap();
    let (told, claimed) = ("\"close-unread-data\"", "\"linger-zero-close\"");
    assert_eq!(text.matches(told).count(), 1);
    fs::write(&document, text.replace(told, claimed)).unwrap();
    let trials = check(&JSON, &[&document]).quietly(3).trials();
    assert_eq!(trials[0]["scenario"], "linger-zero-close");
    assert_eq!(trials[0]["inconclusive_reason"]["id"], "transcript-altered");
    // What cannot be read is worse.
    let evidence = [Path::new("/nonexistent"), &document];
    check(&JSON, &evidence).complaint();
}

/// Lets everybody read evidence. Temporary directories are for their owner alone, and under a umask of 077 all files are.
fn open_to_all(evidence: &Path) {
    program::open_to_all(evidence);
    for name in names(evidence) {
        let readable = fs::Permissions::from_mode(0o644);
        fs::set_permissions(evidence.join(name), readable).unwrap();
    }
}

#[test]
fn needs_only_read_access_to_the_files() {
    let user = User::new();
    let (dir, live) = saved();
    open_to_all(dir.path());
    let mut command = user.rstproof(&["check", "--format", "json"]);
    let run = Run::of(command.arg(dir.path())).quietly(0);
    assert_same(&live, &run.trials());

    // And the other way round.
    let evidence = user.path("evidence");
    let mut command = user.rstproof(&["run", "--format", "json", "-w"]);
    let live = Run::of(command.arg(&evidence)).quietly(0).trials();
    program::open_to_all(user.home.path());
    open_to_all(&evidence);
    assert_same(&live, &judged_again(&[evidence]));
}

#[test]
fn writes_nothing() {
    let (dir, live) = saved();
    let before = contents(dir.path());
    let script = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99
                    cd "$1" && touch x 2>/dev/null && exit 98
                    exec "$2" check --format json ."#;
    let mut command = unshare("--mount", "sh");
    command.args(["-c", script, "sh"]).arg(dir.path());
    let run = Run::of(command.arg(PROGRAM)).quietly(0);
    assert_same(&live, &run.trials());
    assert!(contents(dir.path()) == before, "it was changed");
}

/// In a network namespace of this thread's own: these have to be run as root.
mod as_root {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::geteuid;
    use rtnetlink::LinkUnspec;

    /// Takes this thread, and what it starts, to where there is a loopback without IPv6.
    fn enter_namespace_without_ipv6() {
        assert!(geteuid().is_root(), "this test has to be run as root");
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let threads_own = "/proc/thread-self/net/if_inet6";
        fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_io().build().unwrap();
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            let up = LinkUnspec::new_with_index(1).up().build();
            handle.link().set(up).execute().await.unwrap();
        });
        assert_eq!(fs::read_to_string(threads_own).unwrap(), "");
    }

    #[test]
    fn a_skipped_trial_stays_skipped() {
        let (dir, live) = std::thread::spawn(|| {
            enter_namespace_without_ipv6();
            let dir = tempfile::tempdir().unwrap();
            let live = save(dir.path(), &["linger-zero-close", "--host"]);
            (dir, live)
        })
        .join()
        .unwrap();
        let verdicts: Vec<_> = live.iter().map(|trial| &trial["verdict"]).collect();
        assert_eq!(verdicts, [&"confirmed".into(), &Value::Null]);
        assert!(live[1]["skipped"].as_str().unwrap().contains("::1"));

        assert_same(&live, &report(dir.path()));
        let again = judged_again(&[dir.path()]);
        assert_same(&live, &again);
        let run = check(&[], &[dir.path()]).quietly(0);
        assert!(
            run.out.ends_with(": 1 confirmed, 1 skipped\n"),
            "{}",
            run.out
        );
        // There is one file for all that is known of it.
        fs::remove_file(dir.path().join("report.json")).unwrap();
        assert_same(&live[..1], &judged_again(&[dir.path()]));
    }
}
