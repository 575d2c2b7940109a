//! The published schemas in docs/schema/ against what the commands write. Output of live trials is validated in tests/live,
//! of generated captures in tests/analyze.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[path = "support/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstproof_core::report::Remark;
use rstproof_core::transcript::{Errno, Op, Outcome, Role};
use rstproof_core::verdict::{Finding, KernelMismatch};
use serde_json::{Value, json};

use crate::schema::{assert_fits, check};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Standard output of the program, called with these arguments.
#[track_caller]
fn output(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    command.args(arguments).args(["--format", "json"]);
    let output = command.current_dir(repository()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.is_empty(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn document(arguments: &[&str]) -> Value {
    output(arguments).parse().unwrap()
}

/// With `UPDATE_SCHEMAS` set it writes the files instead.
#[test]
fn the_published_files_are_these_schemas() {
    let directory = repository().join("docs/schema");
    for (name, schema) in rstproof_core::schema::all() {
        let mut text = serde_json::to_string_pretty(&schema).unwrap();
        text.push('\n');
        let path = directory.join(name);
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap() == text,
            "{name} is not the schema; update it with `UPDATE_SCHEMAS=1 cargo test --test schema`"
        );
    }
}

fn saved_documents() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("captures")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|it| it.extension().is_some_and(|it| it == "json"))
        .collect()
}

#[test]
fn saved_evidence_fits_its_schema() {
    let documents = saved_documents();
    assert!(documents.len() > 300, "{}", documents.len());
    for path in documents {
        let value: Value = fs::read_to_string(&path).unwrap().parse().unwrap();
        let is_report = path.ends_with("report.json");
        assert_fits(if is_report { "report" } else { "evidence" }, &value);
    }
}

#[test]
fn what_check_writes_fits_its_schema() {
    let document = document(&["check", "captures"]);
    assert!(document["trials"].as_array().unwrap().len() > 300);
    assert_fits("report", &document);
    assert!(check("evidence", &document).is_err());
}

/// Findings are rare in captures: every trial there is confirmed.
#[test]
fn findings_fit_the_schema_of_a_report() {
    let mut report = document(&["check", "captures/close-unread-data.ipv4.json"]);
    for finding in [
        Finding::ResetTooLate { frame: 6, call: 5 },
        Finding::UnexpectedOutcome {
            call: 5,
            op: Op::Read(1),
            expected: None,
            seen: Outcome::SocketError(Some(Errno::EPIPE)),
        },
        Finding::Kernel(KernelMismatch::OtherReceived { role: Role::Client }),
    ] {
        let remark = Remark::from(&finding);
        report["trials"][0]["findings"] = json!([remark]);
        assert_fits("report", &report);
        report["trials"][0]["findings"][0]["details"] = json!({});
        assert!(check("report", &report).is_err());
    }
}

#[test]
fn what_analyze_writes_fits_its_schema() {
    let rows = output(&["analyze", "captures"]);
    let rows: Vec<Value> = rows.lines().map(|line| line.parse().unwrap()).collect();
    assert!(rows.len() > 800, "{}", rows.len());
    for row in &rows {
        assert_fits("analyze", row);
    }
}

/// A copy of the report of `captures/`, from another kernel, with other results.
fn older_report(report: &Value) -> Value {
    let mut older = report.clone();
    older["host"]["release"] = "5.10.200".into();
    let trials = older["trials"].as_array_mut().unwrap();
    for trial in trials.iter_mut() {
        trial["trace_coverage"]["reset_reasons"] = false.into();
        trial["trace_coverage"]["inet_sk_error_report"] = false.into();
        trial["unsupported_counters"] = json!(["PAWSOldAck"]);
    }
    trials[0]["verdict"] = "inconclusive".into();
    trials[0]["inconclusive_reason"] = json!({"id": "frames-dropped", "message": "3 lost"});
    trials[1]["skipped"] = "not here".into();
    trials[1]["verdict"] = Value::Null;
    let calls = trials[10]["calls"].as_array_mut().unwrap();
    calls.last_mut().unwrap()["result"] = json!({"errno": "EPIPE"});
    trials.truncate(300);
    older
}

/// What `compare` writes of these reports.
fn compared(reports: &[Value]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..reports.len())
        .map(|number| directory.path().join(number.to_string()))
        .map(|path| path.into_os_string().into_string().unwrap())
        .collect();
    for (path, report) in paths.iter().zip(reports) {
        fs::write(path, report.to_string()).unwrap();
    }
    let paths = paths.iter().map(String::as_str);
    let arguments: Vec<&str> = ["compare", "--all"].into_iter().chain(paths).collect();
    document(&arguments)
}

fn golden_report() -> Value {
    let text = fs::read_to_string(repository().join("captures/report.json"));
    text.unwrap().parse().unwrap()
}

#[test]
fn what_compare_writes_fits_its_schema() {
    let report = golden_report();
    let mut elsewhere = older_report(&report);
    elsewhere["host"]["sysname"] = "FreeBSD".into();
    elsewhere["evidence_sources"]["kernel_trace"] = false.into();
    elsewhere["evidence_sources"]["kernel_trace_note"] = "not Linux".into();
    elsewhere["trials"].as_array_mut().unwrap().remove(5);
    let document = compared(&[older_report(&report), report, elsewhere]);
    assert_fits("compare", &document);
    for part in [
        "kernels",
        "differences",
        "observability_differences",
        "agreed",
        "inconclusive",
        "not_run",
    ] {
        assert_ne!(document[part], json!([]), "{part}");
    }
}

/// Whether trials can run here or not.
#[test]
fn what_doctor_writes_fits_its_schema() {
    assert_fits("doctor", &document(&["doctor"]));
}

/// Every object in a document, by its JSON pointer. What is a map by its nature is none.
fn objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(_) if pointer.ends_with("/counters") && !pointer.contains("sources") => {}
        Value::Object(fields) => {
            found.push(pointer.to_owned());
            for (name, item) in fields {
                objects(item, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(item, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Adds a field to each object of the document in turn, and takes each field away: neither fits.
#[track_caller]
fn assert_is_described(name: &str, document: &Value, optional: &[&str]) {
    assert_fits(name, document);
    let mut pointers = Vec::new();
    objects(document, "", &mut pointers);
    for pointer in pointers {
        let object = document.pointer(&pointer).unwrap().as_object().unwrap();
        let mut more = document.clone();
        more.pointer_mut(&pointer).unwrap()["unheard_of"] = 1.into();
        assert!(check(name, &more).is_err(), "{name}{pointer}");
        for field in object.keys().filter(|it| !optional.contains(&&***it)) {
            let mut less = document.clone();
            let object = less.pointer_mut(&pointer).unwrap();
            object.as_object_mut().unwrap().remove(field);
            assert!(check(name, &less).is_err(), "{name}{pointer}/{field}");
        }
    }
}

/// Fields that some objects do not have.
const OPTIONAL: [&str; 14] = [
    "steps",
    "process_stall_ns",
    "host_state",
    "evidence",
    "kernel_trace_note",
    "cookie",
    "state",
    "reason",
    "errno",
    "old_state",
    "new_state",
    "reverted_in",
    // A result is another one without them.
    "so_error",
    "revents",
];

#[test]
fn a_field_too_many_or_too_few_does_not_fit() {
    let saved = ["close-unread-data.ipv4", "mptcp-close-unread-data.ipv6"].map(|stem| {
        let path = repository().join(format!("captures/{stem}.json"));
        fs::read_to_string(path).unwrap().parse::<Value>().unwrap()
    });
    for document in &saved {
        assert_is_described("evidence", document, &OPTIONAL);
    }
    let checked = document(&["check", "captures/close-unread-data.ipv4.json"]);
    assert_is_described("report", &checked, &OPTIONAL);
    let rows = output(&["analyze", "captures/mptcp-close-unread-data.ipv4.pcapng"]);
    for row in rows.lines() {
        assert_is_described("analyze", &row.parse().unwrap(), &[]);
    }
    let mut report = golden_report();
    report["trials"].as_array_mut().unwrap().truncate(12);
    let compared = compared(&[older_report(&report), report]);
    assert_is_described("compare", &compared, &OPTIONAL);
    assert_is_described("doctor", &document(&["doctor"]), &[]);
}

/// An RST over IPv4 with these TCP options and this payload, to a port of its own.
fn rst(port: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(40 + options.len() + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend([0, 80, 0x9c, port, 0, 0, 0, 9, 0, 0, 0, 7]);
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    packet.extend([words << 4, 0x14, 0, 0, 0, 0, 0, 0]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// A classic pcap of raw IP packets.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for packet in packets {
        let len = u32::try_from(packet.len()).unwrap();
        for word in [1_700_000_000, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

#[test]
fn every_kind_of_diagnostic_fits_its_schema() {
    let packets = [
        rst(1, &[], b"go away"),
        rst(2, &[], &[0, 1, 2]),
        rst(3, &[], &[0x33, 0xaa, 0, 2, 0, 0, 0, 0]),
        rst(4, &[], b"\x19\x30\x39\xa1\x03\x67no room"),
        rst(5, &[30, 4, 0x81, 6], &[]),
        rst(6, &[30, 12, 0x70, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[]),
        rst(7, &[30, 12, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[]),
        rst(8, &[30, 4, 0x70, 0], &[]),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rsts.pcap");
    fs::write(&path, pcap(&packets)).unwrap();
    let rows = output(&["analyze", path.to_str().unwrap()]);
    let mut kinds = BTreeSet::new();
    for row in rows.lines() {
        let row: Value = row.parse().unwrap();
        assert_is_described("analyze", &row, &[]);
        for diagnostic in row["diagnostics"].as_array().into_iter().flatten() {
            kinds.insert(diagnostic["id"].as_str().unwrap().to_owned());
        }
    }
    let expected = [
        "malformed",
        "mptcp-fail",
        "mptcp-fastclose",
        "mptcp-reset",
        "payload-bytes",
        "payload-reason",
        "payload-text",
    ];
    assert_eq!(kinds, expected.map(str::to_owned).into());
}

/// Names of all properties of a schema.
fn names(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                found.extend(properties.keys().cloned());
            }
            fields.values().for_each(|it| names(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| names(it, found)),
        _ => {}
    }
}

#[test]
fn no_name_of_schema_1_is_left() {
    const OLD: [&str; 40] = [
        "drawn_by",
        "ground",
        "would_tell",
        "says",
        "uncounted",
        "witnesses",
        "must",
        "why_no_errno",
        "speaks_for",
        "incomplete",
        "what",
        "marked_resets",
        "whole",
        "problem",
        "unread_links",
        "then",
        "mend",
        "costs",
        "reset_senders",
        "gap",
        "held_up_ns",
        "shown_ns",
        "gave_up",
        "explains",
        "mark",
        "told",
        "by",
        "not_by",
        "seen",
        "why",
        "unexplained",
        "undone",
        "talkers",
        "tcp",
        "cut_segments",
        "filtered",
        "main_job",
        "possible",
        "verdicts",
        "no_kernel_trace",
    ];
    for (file, schema) in rstproof_core::schema::all() {
        let mut found = BTreeSet::new();
        names(&schema, &mut found);
        for old in OLD {
            assert!(!found.contains(old), "{file}: {old}");
        }
    }
}
