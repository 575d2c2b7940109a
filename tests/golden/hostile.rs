//! Documents that mean harm, or come from elsewhere: they are judged, or refused in one line, and reach nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::evidence::{Golden, Said, scratch};

fn golden() -> Golden {
    Golden::read("close-unread-data.ipv4")
}

fn with_trial(change: impl FnOnce(&mut Value)) -> Golden {
    golden().with_value(|document| change(&mut document["trials"][0]))
}

#[test]
fn a_trial_that_was_run_cannot_be_passed_off_as_skipped() {
    let skipped = with_trial(|trial| {
        trial["skipped"] = "no IPv4 here".into();
        trial["verdict"] = Value::Null;
    });
    skipped.judged().is_gap("record-altered", "skipped");
}

#[test]
fn a_scenario_that_is_not_known_here_is_not_judged() {
    let newer = with_trial(|trial| trial["scenario"] = "close-on-tuesday".into());
    newer.judged().is_gap("scenario-unknown", "scenario");
}

#[test]
fn a_document_of_another_schema_is_refused_by_its_number() {
    let newer = golden().with_value(|document| {
        document["schema"] = 2.into();
        document["trials"] = "elsewhere".into();
    });
    let Said::Error(line) = newer.judged() else {
        panic!("it was judged");
    };
    assert!(line.contains("schema 2"), "{line}");
}

#[test]
fn what_another_version_recorded_in_its_own_words_is_judged_by_its_evidence() {
    // The capture names the version, too, so that of the capture has to be another one as well.
    let golden = golden();
    let at = golden
        .capture
        .windows(14)
        .position(|it| it == b"rstproof 0.1.0");
    let mut other = with_trial(|trial| trial["findings"] = json!([{"id": "x", "message": "y"}]));
    other.document = other
        .document
        .replace(r#""version":"0.1.0""#, r#""version":"0.0.9""#);
    other.judged().is_gap("transcript-altered", "version");
    let at = at.unwrap();
    other.capture[at..at + 14].copy_from_slice(b"rstproof 0.0.9");
    other.judged().is_gap("capture-altered", "version");
}

#[test]
fn no_file_is_read_but_those_beside_the_document() {
    let outside = scratch();
    golden().put_into(outside.path());
    let capture = outside.path().join("close-unread-data.ipv4.pcapng");
    let inside = scratch();
    for name in [
        capture.to_str().unwrap().to_owned(),
        "../close-unread-data.ipv4.pcapng".to_owned(),
        "x/../close-unread-data.ipv4.pcapng".to_owned(),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "/".to_owned(),
    ] {
        let document = with_trial(|trial| trial["capture_file"] = name.clone().into()).document;
        fs::write(inside.path().join("close-unread-data.ipv4.json"), document).unwrap();
        let said = crate::evidence::judged_in(inside.path());
        let gaps = said
            .into_iter()
            .map(|report| report.unwrap().gap.unwrap().id);
        assert_eq!(gaps.collect::<Vec<_>>(), ["capture-missing"], "{name}");
    }
}

/// The program's answer about this path: exit code, standard output, standard error.
fn check(path: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    let output = command.arg("check").arg(path).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_pipe_or_a_device_is_refused_and_not_waited_for() {
    let dir = scratch();
    let pipe = dir.path().join("pipe.json");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let zero = dir.path().join("zero.pcapng");
    symlink("/dev/zero", &zero).unwrap();
    for path in [pipe, zero] {
        let (code, out, err) = check(&path);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.contains("regular file"), "{err}");
    }
}

#[test]
fn nothing_in_a_document_reaches_the_terminal_as_a_command() {
    const COMMAND: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J";
    let dir = scratch();
    for change in [
        (|trial: &mut Value| trial["scenario"] = format!("x{COMMAND}").into()) as fn(&mut Value),
        |trial| trial["skipped"] = COMMAND.into(),
        |trial| trial["capture_file"] = format!("{COMMAND}.pcapng").into(),
    ] {
        let mut golden = with_trial(change);
        golden.document = golden.document.replace("6.18", r"\u001b[2J");
        golden.put_into(dir.path());
        let (_, out, err) = check(&dir.path().join("close-unread-data.ipv4.json"));
        let printed = out + &err;
        assert!(!printed.is_empty());
        let obeyed = |letter: char| letter.is_control() && letter != '\n';
        assert!(!printed.contains(obeyed), "{printed:?}");
    }
}

#[test]
fn a_broken_trial_does_not_keep_the_others_from_being_judged() {
    let golden = golden();
    let dir = scratch();
    golden.put_into(dir.path());
    let mut document: Value = serde_json::from_str(&golden.document).unwrap();
    let whole = document["trials"][0].clone();
    let mut broken = whole.clone();
    broken["calls"][0]["call"] = "frobnicate".into();
    document["trials"] = json!([broken, whole]);
    fs::write(dir.path().join("report.json"), document.to_string()).unwrap();
    let (code, out, err) = check(&dir.path().join("report.json"));
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(
        out.starts_with("close-unread-data over ipv4: confirmed"),
        "{out}"
    );
    assert!(err.contains("byte ") && err.contains("frobnicate"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_directory_without_evidence_says_so() {
    let dir = scratch();
    fs::write(dir.path().join("package.json"), "{}").unwrap();
    let (code, out, err) = check(dir.path());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.contains("rstproof run -w"), "{err}");
    let (code, _, err) = check(&dir.path().join("nowhere"));
    assert_eq!(code, Some(2));
    assert!(err.contains("ENOENT"), "{err}");
}

#[test]
fn a_machine_gets_a_document_even_if_nothing_could_be_judged() {
    let dir = scratch();
    for (format, holds) in [("json", "\"trials\":["), ("junit", "<testsuites")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
        command.args(["check", "--format", format]).arg(dir.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.contains(holds), "{out}");
        if format == "json" {
            let document: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(document["trials"], json!([]));
        }
    }
}
