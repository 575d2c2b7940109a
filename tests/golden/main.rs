//! The golden evidence in `captures/`: judged again from its files, whole and tampered with. No privilege is needed.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod agrees;
mod analyzed;
mod decoys;
mod edited;
mod evidence;
mod failed;
mod forged;
mod host;
mod hostile;
mod kernel;
mod pcapng;
#[path = "../../core/tests/stories/mod.rs"]
mod stories;
mod tampered;
#[path = "../support/tshark.rs"]
mod tshark;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rstproof_core::scenario::ALL;
use rstproof_core::verdict::Verdict;
use serde_json::Value;

use crate::evidence::{CAPTURES, Golden, everything, judged_in};

/// Bytes that a clone of the project has to carry.
const MAX_BYTES: u64 = 4 << 20;

#[test]
fn is_there_for_every_scenario_and_family_and_for_nothing_else() {
    let stems = ALL.iter().flat_map(|scenario| {
        let families = scenario.families.iter();
        families.map(|family| format!("{}.{}", scenario.id, family.name()))
    });
    let files = stems.flat_map(|stem| [format!("{stem}.json"), format!("{stem}.pcapng")]);
    let others = ["README.md", "report.json"].map(str::to_owned);
    let expected: BTreeSet<String> = files.chain(others).collect();
    let entries = fs::read_dir(CAPTURES).unwrap();
    let found: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let surplus: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing (scripts/record-captures.sh SCENARIO records them): {missing:?}; surplus: {surplus:?}"
    );
}

/// How many trials there are.
fn trials() -> usize {
    ALL.iter().map(|scenario| scenario.families.len()).sum()
}

#[test]
fn is_small() {
    let entries = fs::read_dir(CAPTURES).unwrap();
    let bytes: u64 = entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < MAX_BYTES, "{bytes}");
}

#[test]
fn is_confirmed() {
    let reports = judged_in(Path::new(CAPTURES));
    assert_eq!(reports.len(), trials());
    for report in reports {
        let report = report.unwrap();
        let remarks = (&report.inconclusive_reason, &report.findings);
        assert_eq!(
            report.verdict,
            Some(Verdict::Confirmed),
            "{} {remarks:?}",
            report.scenario
        );
    }
}

#[test]
fn is_confirmed_by_the_program_too_whatever_part_of_it_is_named() {
    let check = |paths: &[&Path]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
        let output = command
            .args(["check", "--format", "json"])
            .args(paths)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["trials"].as_array().unwrap().len()
    };
    let directory = Path::new(CAPTURES);
    let file = |name: &str| directory.join(name);
    assert_eq!(check(&[directory]), trials());
    assert_eq!(check(&[&file("report.json")]), trials());
    assert_eq!(check(&[&file("close-unread-data.ipv4.json")]), 1);
    assert_eq!(check(&[&file("close-unread-data.ipv4.pcapng")]), 1);
    let two = [file("clean-close-eof.ipv6.pcapng"), file("report.json")];
    assert_eq!(check(&[&two[0], &two[1]]), trials(), "each is counted once");
}

/// How many segments come before an RST may depend on buffers and timers.
#[test]
fn has_its_resets_where_their_stories_say() {
    for story in stories::all() {
        let of_story = everything().iter().filter(|it| it.scenario() == story.id);
        for golden in of_story {
            let trial = golden.trial();
            let resets = trial["resets"].as_array().unwrap();
            let written = story.resets();
            assert_eq!(resets.len(), written.len(), "{}", golden.stem);
            for (reset, written) in resets.iter().zip(written) {
                let seen = reset["frame"].as_u64().unwrap();
                let expected = written.frame.map_or(seen, |frame| frame as u64);
                assert_eq!(seen, expected, "{}", golden.stem);
                assert_eq!(reset["from"], written.from, "{}", golden.stem);
            }
        }
    }
}

#[test]
fn says_in_comments_why_each_call_failed() {
    for Golden { stem, capture, .. } in everything() {
        let golden = Golden::read(stem);
        for reset in golden.trial()["resets"].as_array().unwrap() {
            // One that nobody was told of explains nothing.
            if reset["explains_calls"] == Value::Array(Vec::new()) {
                continue;
            }
            let frame = usize::try_from(reset["frame"].as_u64().unwrap()).unwrap();
            let comments = &pcapng::frames(capture)[frame - 1].comments;
            let told = usize::try_from(reset["explains_calls"][0].as_u64().unwrap()).unwrap();
            let call = &golden.trial()["calls"][told];
            // The two clocks are one, so the interval is the difference of the two times in the document.
            let trial = golden.trial();
            let mut packets = trial["packets"].as_array().unwrap().iter();
            let packet = packets.find(|packet| packet["frame"] == reset["frame"]);
            let at = packet.unwrap()["at_ns"].as_i64().unwrap();
            let tenths = (call["ended_ns"].as_i64().unwrap() - at) / 100;
            let (name, arguments) = (call["call"].as_str().unwrap(), &call["arguments"]);
            let (result, role) = (&call["result"], call["role"].as_str().unwrap());
            let told = match result["errno"].as_str() {
                Some(errno) => format!("failed with {errno}"),
                None => format!("reported {}", result["so_error"].as_str().unwrap()),
            };
            let expected = format!(
                "this RST is why the {role}'s {name}({}) {told}, {}.{} µs later",
                arguments.as_str().unwrap(),
                tenths / 10,
                tenths % 10
            );
            // Wireshark before 3.5 shows the last of several comments only.
            assert_eq!(comments.last(), Some(&expected), "{stem}: {comments:?}");
            assert!(
                comments.iter().any(|fact| fact.starts_with("acceptable")),
                "{stem}: {comments:?}"
            );
        }
    }
}
