//! `-f`: what is hidden cannot be spoken of.

use serde_json::Value;

use crate::documented::{BOTH, assert_as_documented};
use crate::run::{Run, rstproof};

fn one_trial(filter: &str) -> Run {
    let mut command = rstproof(&["run", "close-unread-data", "--family", "ipv4"]);
    Run::of(command.args(["--format", "json", "-f", filter]))
}

#[test]
fn that_hides_icmp_makes_every_trial_inconclusive() {
    let run = Run::of(&mut rstproof(&["run", "--format", "json", "-f", "tcp"])).quietly(3);
    let trials = run.trials();
    assert_eq!(trials.len(), 20);
    for trial in trials {
        assert_eq!(trial["verdict"], "inconclusive");
        assert_eq!(trial["gap"]["id"], "filter-hides");
        assert_eq!(trial["findings"], Value::Array(Vec::new()));
    }
}

#[test]
fn that_shows_nothing_but_resets_proves_nothing() {
    let trial = &one_trial("tcp[13] & 4 != 0").quietly(3).trials()[0];
    assert_eq!(trial["gap"]["id"], "filter-hides");
    let packets = trial["packets"].as_array().unwrap();
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0]["flags"], "R.");
}

#[test]
fn that_hides_nothing_of_importance_changes_nothing() {
    let arguments = ["run", "--format", "json", "-f", "tcp or icmp or icmp6"];
    let run = Run::of(&mut rstproof(&arguments)).quietly(0);
    assert_as_documented(&run.trials(), &BOTH);
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
