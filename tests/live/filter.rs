//! `-f`: what is hidden cannot be spoken of.

use serde_json::Value;

use crate::documented::{BOTH, assert_are, assert_as_documented, ids, plain};
use crate::run::{Run, rstproof};

fn one_trial(filter: &str) -> Run {
    let mut command = rstproof(&["run", "close-unread-data", "--family", "ipv4"]);
    Run::of(command.args(["--format", "json", "-f", filter]))
}

#[test]
fn that_hides_nothing_that_was_there_changes_nothing() {
    let ids = ids(&plain());
    let run = |filter: &'static str| {
        let mut command = rstproof(&["run", "--format", "json", "-f", filter]);
        let ids = if filter == "tcp" { &ids[..] } else { &[] };
        Run::of(command.args(ids)).quietly(0)
    };
    // Where ICMP has a part, `tcp` hides it.
    assert_are(&plain(), &run("tcp").trials(), &BOTH);
    for filter in ["tcp or icmp or icmp6", " "] {
        assert_as_documented(&run(filter).trials());
    }
}

#[test]
fn that_shows_nothing_but_resets_proves_nothing() {
    let trial = &one_trial("tcp[13] & 4 != 0").quietly(3).trials()[0];
    assert_eq!(trial["inconclusive_reason"]["id"], "filter-hides");
    let packets = trial["packets"].as_array().unwrap();
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0]["flags"], "R.");
}

#[test]
fn that_hides_a_reset_neither_confirms_nor_refutes() {
    // By flag; by its sequence number 0 (answer to a SYN); by its window 0 (passive form).
    for (scenario, filter) in [
        ("close-unread-data", "tcp[13] & 4 = 0"),
        ("connect-closed-port", "tcp[4:4] != 0"),
        ("write-after-peer-close", "tcp[14:2] != 0"),
    ] {
        let mut command = rstproof(&["run", scenario, "--family", "ipv4", "--format", "json"]);
        let run = Run::of(command.args(["-f", filter])).quietly(3);
        let trial = &run.trials()[0];
        assert_eq!(
            trial["inconclusive_reason"]["id"], "filter-hides",
            "{scenario}"
        );
        assert_eq!(trial["findings"], Value::Array(Vec::new()));
    }
}

#[test]
fn that_does_not_compile_is_a_usage_error() {
    let run = one_trial("tcp and and");
    assert!(
        run.complaint().contains("'tcp and and' does not compile"),
        "{}",
        run.err
    );
}
