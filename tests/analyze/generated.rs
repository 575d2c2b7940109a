//! Captures that were generated, so that it is known what is in them: the answer is right, and always the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::generate::{Cause, Format, Kind, Recipe, Resolution, Truth, generate};
use crate::{Said, analyze, analyze_stdin, causes, tshark};

/// Some dozen pieces.
const CONNECTIONS: u32 = 2_500;

fn capture(home: &TempDir, kind: Kind, format: Format, resolution: Resolution) -> (PathBuf, Truth) {
    let path = home.path().join(format!("{}-{format:?}", kind.name()));
    let recipe = Recipe {
        connections: CONNECTIONS,
        format,
        resolution,
        ..Recipe::new(kind)
    };
    let truth = generate(&path, recipe).unwrap();
    (path, truth)
}

/// The answer with so many threads.
fn with_threads(path: &Path, threads: &str) -> String {
    let path = path.to_str().unwrap();
    analyze(&["--threads", threads, path]).whole().out
}

/// The answer about the same bytes in another file.
fn renamed(answer: &str, from: &Path, to: &str) -> String {
    let name = |name: &str| format!("\"{name}\"");
    answer.replace(&name(from.to_str().unwrap()), &name(to))
}

#[test]
fn the_answer_is_the_same_for_any_number_of_threads_and_from_any_place() {
    let home = tempfile::tempdir().unwrap();
    for (format, resolution) in [
        (Format::Pcap, Resolution::Micros),
        (Format::PcapNg, Resolution::Nanos),
    ] {
        let (path, truth) = capture(&home, Kind::Mixed, format, resolution);
        assert!(truth.bytes > 20 << 20, "{}", truth.bytes);
        let one = with_threads(&path, "1");
        for threads in ["2", "3", "7"] {
            assert!(with_threads(&path, threads) == one, "{threads} threads");
        }
        let piped = analyze_stdin(&path).whole().out;
        assert!(piped == renamed(&one, &path, "-"));

        let compressed = home.path().join("compressed");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&fs::read(&path).unwrap()).unwrap();
        fs::write(&compressed, encoder.finish().unwrap()).unwrap();
        let compressed = with_threads(&compressed, "3");
        assert!(compressed == renamed(&one, &path, compressed_name(&compressed)));
    }
}

/// How the file is called in the first line.
fn compressed_name(answer: &str) -> &str {
    let (_, rest) = answer.split_once("\"file\":\"").unwrap();
    rest.split_once('"').unwrap().0
}

/// An RST as told, or as true: its frame, and from where to where it goes.
type Reset = (u64, String, String);

#[test]
fn every_rst_is_found_with_its_cause() {
    let home = tempfile::tempdir().unwrap();
    for kind in Kind::ALL {
        let (path, truth) = capture(&home, kind, Format::Pcap, Resolution::Micros);
        let said = analyze(&[path.to_str().unwrap()]).whole();
        let told: BTreeMap<Reset, String> = said
            .of("reset")
            .into_iter()
            .map(|line| {
                let text = |field: &str| line[field].as_str().unwrap_or("none").to_owned();
                let reset = (
                    line["frame"].as_u64().unwrap(),
                    text("source"),
                    text("destination"),
                );
                (reset, text("cause"))
            })
            .collect();
        let mut aborted = Vec::new();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for reset in &truth.resets {
            let (from, to) = (reset.from.to_string(), reset.to.to_string());
            let cause = told[&(reset.frame, from.clone(), to.clone())].as_str();
            let own = causes::of_generated(reset.cause);
            let expected = match reset.cause {
                Cause::AfterClose if aborted.contains(&(reset.from, reset.to)) => "duplicate",
                Cause::AfterClose => first_or_duplicate(cause, own),
                _ => own,
            };
            assert_eq!(cause, expected, "{}: {reset:?}", kind.name());
            if reset.cause == Cause::Abort {
                aborted.push((reset.from, reset.to));
            }
            *counts.entry((name(reset.cause), expected)).or_default() += 1;
        }
        assert_eq!(told.len(), truth.resets.len());
        // There is something of each.
        for cause in Cause::ALL {
            let of_cause = counts.iter().filter(|it| it.0.0 == name(cause));
            let sum: usize = of_cause.map(|it| it.1).sum();
            assert_eq!(sum, truth.resets_by(cause));
            assert!(sum > 0, "{}: no {cause:?}", kind.name());
        }
        assert!(counts.contains_key(&("after-close", "data-after-close")));
        totals(&said, &truth);
    }
}

fn name(cause: Cause) -> &'static str {
    match cause {
        Cause::Refused => "refused",
        Cause::Abort => "abort",
        Cause::AfterClose => "after-close",
        Cause::SynAck => "syn-ack",
        Cause::HalfOpen => "half-open",
    }
}

/// Of several answers to what came after a close the first one ends the connection.
fn first_or_duplicate(cause: &str, first: &'static str) -> &'static str {
    if cause == "duplicate" {
        "duplicate"
    } else {
        first
    }
}

fn totals(said: &Said, truth: &Truth) {
    let summary = said.summary();
    let resets = truth.resets.len() as u64;
    for (field, expected) in [
        ("packets", truth.packets),
        ("tcp_segments", truth.tcp_packets),
        ("bytes_read", truth.bytes),
        ("resets", resets),
        ("reset_packets", resets),
        ("connections", truth.connections),
        ("ip_fragments", 0),
        ("truncated_segments", 0),
        ("evicted_connections", 0),
        ("incomplete_connections", 0),
    ] {
        let told = summary[field].as_u64().unwrap();
        let failures = summary["failures"].as_array().unwrap();
        let counted = failures.iter().find(|it| it["value"] == "no-reply");
        let without_reply = counted.map_or(0, |it| it["count"].as_u64().unwrap());
        // What nobody has answered is one-sided, unless it has failed for lack of a reply.
        let expected = if field == "incomplete_connections" {
            truth.unanswered_syns - without_reply
        } else {
            expected
        };
        assert_eq!(told, expected, "{field}");
    }
}

/// The frames in which tshark finds an RST.
#[test]
fn tshark_finds_the_same_resets() {
    let home = tempfile::tempdir().unwrap();
    for (format, resolution) in [
        (Format::Pcap, Resolution::Nanos),
        (Format::PcapNg, Resolution::Micros),
    ] {
        let (path, truth) = capture(&home, Kind::Flows, format, resolution);
        let theirs = tshark::reset_frames(&path);
        let said = analyze(&[path.to_str().unwrap()]).whole();
        let of_line = |line: &serde_json::Value| line["frame"].as_u64().unwrap();
        let mut ours: Vec<u64> = said.of("reset").iter().map(of_line).collect();
        ours.sort_unstable();
        let truth: Vec<u64> = truth.resets.iter().map(|it| it.frame).collect();
        assert_eq!(ours, truth);
        assert_eq!(theirs, truth);
    }
}
