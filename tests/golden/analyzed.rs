//! The evidence of every trial, analysed without its transcript: the capture alone tells of the same RSTs, in the same states and
//! as acceptable, and of the errors that the calls were told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rstproof_core::scenario::{self, Exemption, Scenario};
use rstproof_core::transcript::{Op, Role};
use serde_json::Value;

use crate::tshark;

/// The lines that the program writes of a capture.
fn lines(capture: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_rstproof"))
        .args(["analyze", "--format", "json"])
        .arg(capture)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", capture.display());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// What a capture does not show: that an end does not hear what reaches its host, or is told by a setting not to believe it.
fn hides_something(scenario: &Scenario) -> bool {
    let exemptions = scenario.exemptions();
    let hides = [
        Exemption::Blackholed(Role::Client),
        Exemption::Blackholed(Role::Server),
        Exemption::TimeWaitKept,
    ];
    hides.into_iter().any(|it| exemptions.has(it))
        || scenario.calls().any(|(_, op, _)| op == Op::Blackhole)
}

#[test]
fn the_capture_alone_shows_what_all_sources_show() {
    let (mut resets, mut held, mut errors) = (0, 0, 0);
    for path in documents() {
        let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let trial = &document["trials"][0];
        let name = path.file_stem().unwrap().to_str().unwrap();
        let scenario = scenario::find(trial["scenario"].as_str().unwrap()).unwrap();
        let lines = lines(&path.with_extension("pcapng"));
        let of = |kind: &str| -> Vec<&Value> {
            let all = lines.iter();
            all.filter(|line| line["type"] == kind).collect()
        };
        let told: BTreeMap<u64, &Value> = of("reset")
            .into_iter()
            .map(|line| (line["frame"].as_u64().unwrap(), line))
            .collect();
        let midstream: Vec<u64> = of("connection")
            .into_iter()
            .filter(|it| it["capture_gaps"]["begins_midstream"] == true)
            .map(|it| it["connection"].as_u64().unwrap())
            .collect();
        let mut errno_of = BTreeMap::new();
        for reset in trial["resets"].as_array().unwrap() {
            resets += 1;
            let frame = reset["frame"].as_u64().unwrap();
            let line = told
                .get(&frame)
                .unwrap_or_else(|| panic!("{name}: no RST in frame {frame}"));
            // A trial runs on Linux, and has no form for what looks different; a capture may be of any stack.
            if !reset["form"].is_null() {
                for field in ["form", "triggered_by"] {
                    assert_eq!(line[field], reset[field], "{name}: frame {frame}, {field}");
                }
            }
            // Who is the client a capture that begins with the answer does not tell.
            let sender = &trial[reset["from"].as_str().unwrap()];
            assert_eq!(line["source"], *sender, "{name}: frame {frame}");
            let is_midstream = midstream.contains(&line["connection"].as_u64().unwrap());
            if hides_something(scenario) || is_midstream {
                continue;
            }
            held += 1;
            for field in ["receiver_state", "acceptable"] {
                assert_eq!(line[field], reset[field], "{name}: frame {frame}, {field}");
            }
            // The analysis adds the window, if it decides.
            let told = line["acceptance"].as_str().unwrap();
            let known = reset["acceptance"].as_str().unwrap();
            // Numbers that have nothing to do with each other, or come before the initial one, are not printed.
            let is_without_numbers =
                told.starts_with("SEQ is ") && known.contains("is not RCV.NXT");
            let agrees = told.starts_with(known) || is_without_numbers;
            assert!(agrees, "{name}: frame {frame}: {told:?}, {known:?}");
            errno_of.insert(frame, &line["errno"]);
        }
        // The call that was told of an RST was told what the capture says.
        for call in trial["calls"].as_array().unwrap() {
            let frame = call["cause"]["reset"].as_u64();
            if let Some(errno) = frame.and_then(|frame| errno_of.get(&frame)) {
                errors += 1;
                let told = match &call["result"]["errno"] {
                    Value::Null => &call["result"]["so_error"],
                    errno => errno,
                };
                assert_eq!(told, *errno, "{name}: {call}");
            }
        }
    }
    // Most of them: what is left out above are scenarios of deaf ends.
    assert!(
        resets > 200 && held > 140 && errors > 120,
        "{resets} {held} {errors}"
    );
}

/// Of the RSTs that an end or its kernel sent, at most one in a hundred may have a mark against it that is not weak, and
/// none is taken for forged; of those that somebody else sent, none is taken for the end's own.
#[test]
fn the_sender_verdict_agrees_with_the_evidence_of_the_trial() {
    let (mut own, mut marked, mut forged, mut doubtful) = (0_u32, 0, 0_u32, 0);
    for path in documents() {
        let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let lines = lines(&path.with_extension("pcapng"));
        for reset in document["trials"][0]["resets"].as_array().unwrap() {
            let frame = &reset["frame"];
            let told = lines.iter().filter(|line| line["type"] == "reset");
            let Some(line) = told.into_iter().find(|line| line["frame"] == *frame) else {
                continue;
            };
            let verdict = line["sender"]["verdict"].as_str().unwrap();
            let mut indicators = line["indicators"].as_array().unwrap().iter();
            let is_marked =
                indicators.any(|it| it["supports"] == "injection" && it["weight"] != "weak");
            match reset["sender"].as_str().unwrap() {
                "socket" | "kernel" => {
                    own += 1;
                    marked += u32::from(is_marked);
                    assert_ne!(verdict, "doubtful", "{name}: frame {frame}");
                }
                "firewall" | "injected" => {
                    forged += 1;
                    doubtful += u32::from(verdict == "doubtful");
                    assert_ne!(verdict, "likely-endpoint", "{name}: frame {frame}");
                }
                _ => {}
            }
        }
    }
    assert!(own > 170 && marked * 100 <= own, "{marked} of {own}");
    // Most forged ones are perfect copies on loopback, which no packet shows.
    assert!(forged > 40 && doubtful >= 10, "{doubtful} of {forged}");
}

/// Who answers because an RST that the other end never sent was believed says so.
#[test]
fn the_reply_after_a_forged_rst_explains_that_it_was_accepted() {
    for scenario in [
        "blind-rst-exact",
        "third-party-reset",
        "firewall-reset-forward",
    ] {
        let path = format!(
            "{}/captures/{scenario}.ipv4.pcapng",
            env!("CARGO_MANIFEST_DIR")
        );
        let lines = lines(Path::new(&path));
        let told = lines.iter().filter(|line| line["type"] == "reset");
        let grounds: Vec<&str> = told
            .map(|line| line["explanation"].as_str().unwrap())
            .collect();
        let last = grounds.last().unwrap();
        assert!(
            last.contains("accepted an earlier RST from the other end's address"),
            "{scenario}: {last}"
        );
    }
}

/// tshark finds the same RSTs, and no other: in all captures, one behind the other, which is a file of as many sections.
#[test]
fn tshark_finds_the_same_resets() {
    let home = tempfile::tempdir().unwrap();
    let whole = home.path().join("all.pcapng");
    let mut bytes = Vec::new();
    for path in documents() {
        bytes.extend(fs::read(path.with_extension("pcapng")).unwrap());
    }
    fs::write(&whole, bytes).unwrap();
    let theirs = tshark::reset_frames(&whole);
    assert!(theirs.len() > 200, "{}", theirs.len());
    let lines = lines(&whole);
    let summary = lines.last().unwrap();
    assert_eq!(summary["reset_packets"].as_u64(), Some(theirs.len() as u64));
    // Of an RST that was captured at both ends the frame in which it arrived is named.
    let ours = lines.iter().filter(|line| line["type"] == "reset");
    let ours: Vec<u64> = ours.map(|line| line["frame"].as_u64().unwrap()).collect();
    assert!(ours.len() > 200);
    for frame in ours {
        assert!(theirs.contains(&frame), "{frame}");
    }
}

/// The document of each trial.
fn documents() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/captures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .filter(|path| path.with_extension("pcapng").exists())
        .collect();
    all.sort();
    all
}
