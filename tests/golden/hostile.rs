//! Documents that mean harm, or come from elsewhere: they are judged, or refused in one line, and reach nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::evidence::{Golden, Said, judged_in, scratch};

fn golden() -> Golden {
    Golden::read("close-unread-data.ipv4")
}

fn with_trial(change: impl FnOnce(&mut Value)) -> Golden {
    golden().with_value(|document| change(&mut document["trials"][0]))
}

#[test]
fn a_trial_that_was_run_cannot_be_passed_off_as_skipped() {
    let dir = scratch();
    for verdict in ["confirmed".into(), Value::Null] {
        let skipped = with_trial(|trial| {
            trial["skipped"] = "no IPv4 here".into();
            trial["verdict"] = verdict;
        });
        skipped.put_into(dir.path());
        let said = judged_in(dir.path());
        let gaps = said
            .into_iter()
            .map(|report| report.unwrap().inconclusive_reason.unwrap().id);
        // Nothing that was skipped has a capture, so that is nobody's now.
        assert_eq!(
            gaps.collect::<Vec<_>>(),
            ["record-altered", "transcript-missing"]
        );
    }
}

#[test]
fn a_scenario_that_is_not_known_here_is_not_judged() {
    let newer = with_trial(|trial| trial["scenario"] = "close-on-tuesday".into());
    newer
        .judged()
        .is_inconclusive("scenario-unknown", "scenario");
}

#[test]
fn a_document_of_another_schema_is_refused_by_its_number() {
    let newer = golden().with_value(|document| {
        document["schema"] = 3.into();
        document["trials"] = "elsewhere".into();
    });
    let Said::Error(line) = newer.judged() else {
        panic!("it was judged");
    };
    assert!(line.contains("schema 3"), "{line}");
}

#[test]
fn another_version_cannot_be_claimed_to_have_recorded_it() {
    // Then what it recorded would not have to be told again word for word.
    let mut other = with_trial(|trial| trial["findings"] = json!([{"id": "x", "message": "y"}]));
    let this = concat!(r#""version":""#, env!("CARGO_PKG_VERSION"), '"');
    other.document = other.document.replace(this, r#""version":"0.0.9""#);
    other
        .judged()
        .is_inconclusive("transcript-altered", "version");
    let maker = concat!("rstproof ", env!("CARGO_PKG_VERSION")).as_bytes();
    let mut places = other.capture.windows(maker.len());
    let at = places.position(|it| it == maker).unwrap();
    other.capture[at..at + maker.len()].copy_from_slice(b"rstproof 0.0.9");
    other
        .judged()
        .is_inconclusive("transcript-altered", "version");
}

#[test]
fn a_duplicate_json_name_alters_the_record() {
    for (old, new) in [
        (r#""index":0"#, r#""index":99,"index":0"#),
        (
            r#""inconclusive_reason":null"#,
            r#""inconclusive_reason":{"id":"x","message":"y"},"inconclusive_reason":null"#,
        ),
    ] {
        let twice = golden().with_text(old, new);
        twice.judged().is_inconclusive("record-altered", new);
    }
}

#[test]
fn interface_filter_and_losses_must_match_the_capture() {
    for (name, value) in [
        ("interface", json!("eth0")),
        ("filter", json!("port 1")),
        ("dropped", json!(77)),
    ] {
        let changed = golden().with_value(|document| document["capture"][name] = value);
        changed.judged().is_inconclusive("transcript-altered", name);
    }
    for source in ["capture", "kernel_trace", "counters"] {
        let changed = golden().with_value(|document| {
            let asked = document["evidence_sources"][source].as_bool().unwrap();
            document["evidence_sources"][source] = (!asked).into();
        });
        changed
            .judged()
            .is_inconclusive("transcript-altered", source);
    }
    // Moving the border between two names leaves their sum as it was.
    let changed = golden().with_value(|document| {
        let host = &mut document["host"];
        let (release, version) = (
            host["release"].as_str().unwrap(),
            host["version"].as_str().unwrap(),
        );
        let (first, rest) = version.split_once(' ').unwrap();
        let (release, version) = (format!("{release} {first}"), rest.to_owned());
        host["release"] = release.into();
        host["version"] = version.into();
    });
    changed
        .judged()
        .is_inconclusive("transcript-altered", "host");
}

#[test]
fn two_trials_cannot_share_a_capture_or_its_copy() {
    let golden = golden();
    let dir = scratch();
    let mut document: Value = serde_json::from_str(&golden.document).unwrap();
    let trial = document["trials"][0].clone();
    document["trials"] = json!([trial, trial, trial]);
    golden.put_into(dir.path());
    fs::write(dir.path().join("report.json"), document.to_string()).unwrap();
    let said = judged_in(dir.path());
    let gaps: Vec<_> = said
        .into_iter()
        .map(|report| report.unwrap().inconclusive_reason.map(|gap| gap.id))
        .collect();
    assert_eq!(
        gaps,
        [None, Some("capture-used-twice"), Some("capture-used-twice")]
    );

    fs::remove_file(dir.path().join("report.json")).unwrap();
    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    golden.put_into(&copy);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    let output = command
        .args(["check", "--format", "json"])
        .args([dir.path(), &copy])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["trials"].as_array().unwrap().len(), 1);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("1 copy was not counted"), "{said}");
}

#[test]
fn what_check_itself_wrote_is_evidence_too() {
    let dir = scratch();
    golden().put_into(dir.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    let output = command
        .args(["check", "--format", "json"])
        .arg(dir.path())
        .output()
        .unwrap();
    let again = String::from_utf8(output.stdout).unwrap();
    assert!(again.contains("\"evidence\":{"), "{again}");
    let again = Golden {
        document: again,
        ..golden()
    };
    assert_eq!(again.judged(), Said::Confirmed);
}

#[test]
fn a_call_at_an_impossible_time_proves_nothing_even_if_the_hashes_fit() {
    // See `forged`: there the hashes are left out. Here they are what refuses it.
    let late = with_trial(|trial| {
        for call in trial["calls"].as_array_mut().unwrap() {
            for name in ["began_ns", "ended_ns"] {
                call[name] = (call[name].as_i64().unwrap() + 1_000_000).into();
            }
        }
    });
    late.judged().is_inconclusive("transcript-altered", "late");
}

#[test]
fn symbolic_links_in_the_directory_are_not_followed() {
    let golden = golden();
    let outside = scratch();
    golden.put_into(outside.path());
    for kind in ["pcapng", "json"] {
        let inside = scratch();
        golden.put_into(inside.path());
        let name = format!("{}.{kind}", golden.stem);
        fs::remove_file(inside.path().join(&name)).unwrap();
        symlink(outside.path().join(&name), inside.path().join(&name)).unwrap();
        for said in judged_in(inside.path()) {
            match said {
                Ok(report) => {
                    assert_eq!(report.inconclusive_reason.unwrap().id, "capture-not-read");
                }
                Err(error) => assert!(error.to_string().contains("ELOOP"), "{error}"),
            }
        }
        // What was typed may be a link.
        let typed = scratch().keep().join("evidence");
        symlink(outside.path(), &typed).unwrap();
        assert_eq!(
            judged_in(&typed)
                .pop()
                .unwrap()
                .unwrap()
                .inconclusive_reason,
            None
        );
        fs::remove_dir_all(typed.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_name_that_is_longer_than_any_is_refused_before_it_is_repeated() {
    for (object, name) in [
        ("host", "release"),
        ("tool", "version"),
        ("capture", "interface"),
    ] {
        let long = golden().with_value(|document| {
            document[object][name] = "x".repeat(2000).into();
        });
        let Said::Error(line) = long.judged() else {
            panic!("{name} was taken");
        };
        assert!(line.len() < 300 && line.contains("longer"), "{line}");
    }
}

#[test]
fn a_file_of_any_length_takes_no_more_memory_than_is_allowed() {
    let golden = golden();
    let dir = scratch();
    golden.put_into(dir.path());
    let capture = dir.path().join(format!("{}.pcapng", golden.stem));
    let sparse = fs::File::options().write(true).open(capture).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let said = judged_in(dir.path()).pop().unwrap().unwrap();
    assert_eq!(said.inconclusive_reason.unwrap().id, "capture-not-read");
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
        let said = judged_in(inside.path());
        let gaps = said
            .into_iter()
            .map(|report| report.unwrap().inconclusive_reason.unwrap().id);
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
fn control_characters_in_a_document_are_escaped() {
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

/// Classic pcap, as `pcap-savefile(5)` lays it out, of a connection that is reset again and again by segments that nobody
/// believes.
fn flood(resets: u32) -> Vec<u8> {
    let ip = [127, 1, 1, 1];
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 256, 1] {
        file.extend(word.to_le_bytes());
    }
    let mut add = |nth: u32, [source, destination]: [u16; 2], seq: u32, flags: u8| {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        frame.extend(ip);
        frame.extend(ip);
        frame.extend(source.to_be_bytes());
        frame.extend(destination.to_be_bytes());
        frame.extend(seq.to_be_bytes());
        frame.extend(1001_u32.to_be_bytes());
        frame.extend([0x50, flags, 2, 0, 0, 0, 0, 0]);
        let length = u32::try_from(frame.len()).unwrap();
        for word in [1_700_000_000, nth, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    };
    add(0, [20_000, 8080], 1000, 0x02);
    add(1, [8080, 20_000], 5000, 0x12);
    for nth in 0..resets {
        add(2 + nth, [8080, 20_000], 99_999_999, 0x14);
    }
    file
}

/// Quadratic time would take hours here.
#[test]
fn judging_a_flood_of_rsts_takes_bounded_time_and_memory() {
    const RESETS: u32 = 60_000;
    let dir = scratch();
    let path = dir.path().join("flood.pcap");
    fs::write(&path, flood(RESETS)).unwrap();
    let (code, out, err) = check(&path);
    assert_eq!((code, err.as_str()), (Some(3), ""));
    assert!(out.contains(" more …\n"), "{}", out.len());
    assert!(out.lines().count() < 500);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    let output = command
        .args(["check", "--format", "json"])
        .arg(&path)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let resets = document["trials"][0]["resets"].as_array().unwrap();
    assert_eq!(resets.len(), usize::try_from(RESETS).unwrap());
}
