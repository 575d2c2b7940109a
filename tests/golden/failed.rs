//! The failure of every connection, as `analyze` finds it in a capture alone, against the errors that its trial has proven.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::agrees::analyzed;
use crate::evidence::everything;

/// Errors of a trial that the rows of its connections do not have, by scenario, with the reason.
const OTHERWISE: [(&str, Unseen); 6] = [
    ("connect-firewall-output-drop", Unseen::NothingSent),
    ("established-address-gone", Unseen::NothingSent),
    ("established-link-down", Unseen::NothingSent),
    ("half-open-reconnect", Unseen::OlderConnection),
    ("icmp-established", Unseen::OnlyRecorded),
    ("icmp-established-recverr", Unseen::OnlyRecorded),
];

/// Why no row has the error of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unseen {
    /// What the call waited for never left the host: no packet shows it.
    NothingSent,
    /// The RST ends an older connection, whose row is complete when its ports begin the next one. The row of the RST has it.
    OlderConnection,
    /// ICMP has only recorded the error, and the connection goes on.
    OnlyRecorded,
}

/// Failures of scenarios without an RST, by the plan of each (docs/scenarios.md).
const WITHOUT_RST: [(&str, &str); 11] = [
    ("connect-backlog-full-timeout", "no-reply"),
    ("connect-blackholed", "no-reply"),
    ("connect-firewall-drop", "no-reply"),
    // A segment without the expected signature is dropped silently (RFC 2385, 2).
    ("connect-md5-missing", "no-reply"),
    ("connect-user-timeout", "no-reply"),
    ("icmp-then-timeout", "timed-out"),
    ("linger-timeout-close", "timed-out"),
    ("retransmission-timeout", "timed-out"),
    ("user-timeout", "timed-out"),
    ("zero-window-user-timeout", "zero-window"),
    ("connect-router-unreachable", "rejected-by-icmp"),
];

/// Rows of connections by the stem of the trial.
fn connections() -> BTreeMap<String, Vec<Value>> {
    let mut connections = BTreeMap::<String, Vec<Value>>::new();
    for (stem, row) in analyzed() {
        if row["type"] == "connection" {
            connections.entry(stem).or_default().push(row);
        }
    }
    connections
}

/// First error that a call of this end met because of packets, and not because of its own calls before.
fn met<'a>(trial: &'a Value, role: &str) -> Option<&'a str> {
    let calls = trial["calls"].as_array().unwrap().iter();
    let mut errors = calls
        .filter(|call| call["role"] == role)
        .filter_map(|call| {
            let cause = &call["cause"];
            let is_by_packets = ["reset", "icmp", "timed-out"]
                .iter()
                .any(|it| cause == it || cause[it].is_number());
            let result = &call["result"];
            let error = result["errno"].as_str().or(result["so_error"].as_str());
            error.filter(|_| is_by_packets)
        });
    errors.next()
}

#[test]
fn the_rows_of_connections_have_the_errors_that_their_trials_prove() {
    let connections = connections();
    let (mut count, mut others) = (0, BTreeSet::new());
    for golden in everything() {
        let trial = golden.trial();
        let scenario = trial["scenario"].as_str().unwrap();
        let rows = connections.get(&golden.stem).map_or(&[][..], Vec::as_slice);
        for role in ["client", "server"] {
            let Some(met) = met(&trial, role) else {
                continue;
            };
            count += 1;
            let said: Vec<&Value> = rows
                .iter()
                .map(|row| &row[format!("{role}_errno")])
                .filter(|it| !it.is_null())
                .collect();
            if said == [met] {
                continue;
            }
            let is_listed = OTHERWISE.iter().any(|it| it.0 == scenario);
            assert!(
                is_listed && said.is_empty(),
                "{} {role}: {met}, {said:?}",
                golden.stem
            );
            others.insert(scenario.to_owned());
        }
    }
    assert!(count > 180, "{count}");
    let listed: BTreeSet<String> = OTHERWISE.iter().map(|it| it.0.to_owned()).collect();
    assert_eq!(others, listed, "stale entries");
}

#[test]
fn what_fails_without_an_rst_is_named() {
    let connections = connections();
    for golden in everything() {
        let trial = golden.trial();
        let scenario = golden.scenario();
        let Some(rows) = connections.get(&golden.stem) else {
            continue;
        };
        let failures: BTreeSet<&str> = rows
            .iter()
            .filter_map(|row| row["failure"].as_str())
            .collect();
        // Not every message ends the attempt: one is about a sequence number that was never sent.
        let is_rejected = scenario.starts_with("connect-icmp") && met(&trial, "client").is_some();
        let expected = if is_rejected {
            Some("rejected-by-icmp")
        } else {
            let listed = WITHOUT_RST.iter().find(|it| it.0 == scenario);
            listed.map(|it| it.1)
        };
        if let Some(expected) = expected {
            assert_eq!(failures, BTreeSet::from([expected]), "{}", golden.stem);
            continue;
        }
        // No other scenario without an RST has an end that got an error from packets.
        let has_reset = !trial["resets"].as_array().unwrap().is_empty();
        if !has_reset {
            assert_eq!(failures, BTreeSet::new(), "{}", golden.stem);
        }
    }
}
