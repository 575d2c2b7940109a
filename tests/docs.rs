//! Tables in the documentation that are made from the program: between a marker and `<!-- end -->`. What is around
//! them is written by hand.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[path = "../core/tests/stories/mod.rs"]
mod stories;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rstproof_core::analyze::{Cause, FailureKind, IdleTimeout, RULES, Rule, TimeoutEffect};
use rstproof_core::scenario::ALL;

use crate::stories::WrittenStory;

const END: &str = "<!-- end -->\n";

/// The lines between the marker and the end are those that `make` returns, which is given the lines that are there.
/// With `UPDATE_DOCS` set they are written instead.
#[track_caller]
fn assert_made(file: &str, marker: &str, make: impl FnOnce(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let page = fs::read_to_string(&path).unwrap();
    let marker = format!("<!-- {marker} -->\n");
    let (before, rest) = page.split_once(&marker).unwrap();
    let (made, after) = rest.split_once(END).unwrap();
    let expected = make(made);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{marker}{expected}{END}{after}")).unwrap();
        return;
    }
    let differs = |(seen, expected): &(&str, &str)| seen != expected;
    let first = made.lines().zip(expected.lines()).find(differs);
    assert!(
        made == expected,
        "{file} is not what the program has; update it with `UPDATE_DOCS=1 cargo test --test docs`\n{first:#?}"
    );
}

/// Output of `list --format markdown`.
fn tables() -> String {
    let mut list = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    let output = list
        .args(["list", "--format", "markdown"])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_tables_of_scenarios_are_those_of_list() {
    assert_made(
        "docs/scenarios.md",
        "rstproof list --format markdown",
        |_| format!("\n{}\n", tables()),
    );
}

#[test]
fn every_scenario_has_a_row_of_five_cells() {
    let page = tables();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    for (row, scenario) in rows.clone().zip(ALL) {
        assert!(row.starts_with(&format!("| `{}` | ", scenario.id)), "{row}");
        assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
        assert_eq!(row.contains("(slow)"), scenario.slow, "{row}");
    }
    assert_eq!(rows.count(), ALL.len());
}

/// Frame numbers are those of the stories. A remark is written by hand; the title stands in for it at first.
#[test]
fn the_table_of_captures_has_every_scenario() {
    assert_made("captures/README.md", "scenarios", |made| {
        let rows = made
            .lines()
            .filter_map(|row| row.strip_prefix("| `")?.strip_suffix(" |"));
        let remark = |row| {
            let (id, cells) = str::split_once(row, "` | ")?;
            Some((id, cells.split_once(" | ")?.1))
        };
        let remarks: HashMap<&str, &str> = rows.filter_map(remark).collect();
        let mut table = "| scenario | RST | what to look at |\n|---|---|---|\n".to_owned();
        for story in stories::all() {
            let title = || ALL.iter().find(|it| it.id == story.id).unwrap().title;
            let remark = remarks.get(story.id).copied();
            let remark = remark.map_or_else(|| title().replace('|', "\\|"), str::to_owned);
            let row = format!("| `{}` | {} | {remark} |\n", story.id, frames(story));
            table.push_str(&row);
        }
        table
    });
}

/// Returns the frame numbers of the RSTs of the story.
fn frames(story: WrittenStory) -> String {
    let resets = story.resets();
    if resets.is_empty() {
        return "none".to_owned();
    }
    let frames: Option<Vec<usize>> = resets.iter().map(|reset| reset.frame).collect();
    let frames = frames.map(|frames| frames.iter().map(usize::to_string).collect::<Vec<_>>());
    frames.map_or_else(|| "varies".to_owned(), |frames| frames.join(", "))
}

/// A link to a heading of a page that is made follows its anchor, which is the id of a topic.
#[test]
fn every_topic_can_be_linked_to() {
    let page = tables();
    for scenario in ALL {
        let anchor = format!("<a id=\"{}\"></a>\n", scenario.topic.id());
        assert_eq!(page.matches(&anchor).count(), 1, "{anchor}");
    }
}

#[test]
fn the_table_of_failures_has_every_failure() {
    assert_made("docs/analyze.md", "failures", |_| {
        let row = |kind: FailureKind| format!("| `{kind}` | {} |\n", kind.meaning());
        let rows: String = FailureKind::ALL.map(row).concat();
        format!("\n| failure | meaning |\n|---|---|\n{rows}\n")
    });
}

#[test]
fn the_table_of_causes_has_every_cause() {
    // The table is part of a list item, so each line is indented.
    assert_made("docs/analyze.md", "causes", |_| {
        let row = |cause: Cause| format!("  | `{cause}` | {} |\n", cause.meaning());
        let rows: String = Cause::ALL.map(row).concat();
        format!("\n  | cause | meaning |\n  |---|---|\n{rows}\n  ")
    });
}

#[test]
fn the_table_of_idle_timeouts_has_every_default() {
    assert_made("docs/analyze.md", "idle timeouts", |_| {
        let row = |it: IdleTimeout| {
            let published = it.published();
            let effect = match published.effect {
                TimeoutEffect::Forgets => "forgets",
                TimeoutEffect::ForgetsOrResets => "forgets, or resets if set up so",
                TimeoutEffect::Resets => "resets",
                TimeoutEffect::Closes => "closes",
                TimeoutEffect::ClosesHttp => "closes (HTTP)",
            };
            format!(
                "| `{it}` | {} | {} s | {effect} | {} |\n",
                it.meaning(),
                published.seconds,
                published.source
            )
        };
        let rows: String = IdleTimeout::ALL.map(row).concat();
        format!(
            "\n| id | device or server | time-out | effect | published in |\n|---|---|---|---|---|\n{rows}\n"
        )
    });
}

#[test]
fn the_table_of_related_scenarios_has_every_rule() {
    assert_made("docs/analyze.md", "scenarios", |_| {
        let row = |rule: &Rule| {
            let (when, scenario, advice) = (rule.when, rule.scenario, rule.advice);
            format!("| {when} | `{scenario}` | {advice} |\n")
        };
        let rows: String = RULES.iter().map(row).collect();
        format!("\n| condition | scenario | advice |\n|---|---|---|\n{rows}\n")
    });
}
