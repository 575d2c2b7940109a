//! Scenario that teaches a failure: the table, and the captures of the catalogue.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rstproof_core::analyze::RULES;
use rstproof_core::scenario::{ALL, Disposition, ExpectedReset, Sender, find};
use serde_json::{Value, json};

use crate::analyze;

/// Every scenario of the table is in the catalogue, with its story and advice.
#[test]
fn all_scenarios_of_the_table_exist() {
    for rule in &RULES {
        assert!(
            ALL.iter().any(|it| it.id == rule.scenario),
            "{}",
            rule.scenario
        );
        assert!(
            !rule.advice.is_empty() && !rule.advice.ends_with('.'),
            "{}",
            rule.advice
        );
    }
}

/// Scenarios whose packets leave open what they are about, and why.
const OPEN: [(&str, &str); 10] = [
    (
        "blind-rst-in-window",
        "the forger has the network of the host",
    ),
    ("blind-rst-old", "the forger has the network of the host"),
    (
        "blind-rst-outside",
        "the forger has the network of the host",
    ),
    (
        "connect-firewall-reset",
        "the RST is as that of a closed port",
    ),
    ("firewall-reset-forward", "no silence precedes it"),
    ("half-open-peer-vanished", "no silence precedes it"),
    ("close-unread-data-response", "the response is not HTTP"),
    ("linger-zero-unsent", "all that was sent was acknowledged"),
    ("stray-ack-listener", "the connection has no beginning"),
    (
        "syn-sent-bad-ack",
        "the other end may have an older connection",
    ),
];

/// A scenario that the table names is found in the capture of that scenario, unless its packets leave open what it is about.
#[test]
fn the_capture_of_a_scenario_leads_to_it() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let named: BTreeSet<&str> = RULES.iter().map(|rule| rule.scenario).collect();
    let mut wrong = Vec::new();
    let is_open = |id: &str| OPEN.iter().any(|(open, _)| *open == id);
    for id in named.iter().filter(|id| !is_open(id)) {
        for family in ["ipv4", "ipv6"] {
            let path = captures.join(format!("{id}.{family}.pcapng"));
            let said = analyze(&[path.to_str().unwrap()]).whole();
            let lines = said.lines().iter();
            let found: Vec<&Value> = lines
                .filter(|line| line["scenario"].is_string())
                .map(|line| &line["scenario"])
                .collect();
            if !found.contains(&&json!(id)) {
                wrong.push(format!("{id}.{family}: {found:?}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0], "{wrong:#?}");
}

/// Nothing that a scenario says of its RST contradicts the row: sender, form, and what the receiver does in which state.
#[test]
fn no_scenario_contradicts_its_row() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut count = 0;
    for entry in fs::read_dir(captures).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "pcapng") {
            continue;
        }
        for row in analyze(&[path.to_str().unwrap()]).of("reset") {
            let Some(scenario) = row["scenario"].as_str().and_then(find) else {
                continue;
            };
            count += 1;
            // There the end that sends the SYN-ACK is the client.
            let is_swapped = scenario.id == "stray-syn-ack-closed-port";
            let is_alike = |reset: &ExpectedReset| {
                let is_lost = matches!(
                    reset.disposition,
                    Disposition::Lost | Disposition::DroppedAtSender
                );
                (is_swapped || json!(reset.from) == row["from"])
                    // A forger makes any form.
                    && (reset.sender == Sender::Injected || json!(reset.form) == row["form"])
                    && (is_lost || json!(reset.receiver_state) == row["receiver_state"])
                    && (is_lost
                        || (reset.disposition == Disposition::Accepted)
                            == (row["required_action"] == "accept"))
            };
            assert!(
                scenario.resets.iter().any(is_alike),
                "{}: {} {row:#}",
                path.display(),
                scenario.id
            );
        }
    }
    assert!(count > 100, "{count}");
}
