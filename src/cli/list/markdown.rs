//! Markdown output of `list`: a table for each topic, as in docs/scenarios.md.

use std::fmt::Write as _;

use rstproof_core::flow::Form;
use rstproof_core::scenario::{
    ALL, Disposition, Expect, ExpectedReset, Op, Outcome, Role, Scenario, Sender,
};

/// Head of each table.
const HEAD: &str = "| scenario | what happens | what the calls return | RST | kernel reason |\n\
                    |---|---|---|---|---|\n";

/// Renders the catalogue: a section for each topic, with an anchor that does not depend on the heading.
pub(super) fn text() -> String {
    let mut text = String::new();
    for scenarios in ALL.chunk_by(|one, next| one.topic == next.topic) {
        let topic = scenarios[0].topic;
        let heading = capitalized(topic.heading());
        // Results of writing are ignored here and below: writing to a `String` cannot fail.
        let _ = write!(
            text,
            "<a id=\"{}\"></a>\n\n## {heading}\n\n{HEAD}",
            topic.id()
        );
        for scenario in scenarios {
            let _ = writeln!(text, "{}", row(scenario));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn row(scenario: &Scenario) -> String {
    let slow = if scenario.slow { " (slow)" } else { "" };
    // A bar would end the cell, as in `ERR|HUP`.
    let title = scenario.title.replace('|', "\\|");
    let resets: Vec<String> = scenario.resets.iter().map(reset).collect();
    let resets = if resets.is_empty() {
        "none".to_owned()
    } else {
        resets.join("; ")
    };
    let cells = [
        format!("`{}`", scenario.id),
        format!("{title}{slow}"),
        results(scenario),
        resets,
        reasons(scenario),
    ];
    // An empty cell is one space.
    let cells = cells.map(|cell| {
        if cell.is_empty() {
            " ".to_owned()
        } else {
            format!(" {cell} ")
        }
    });
    format!("|{}|", cells.join("|"))
}

/// Returns the errors that calls return or report, and the reads of the end of the stream: first the client's.
fn results(scenario: &Scenario) -> String {
    let of = |wanted| {
        let calls = scenario.calls().filter(move |(role, ..)| *role == wanted);
        let results = calls.filter_map(|(_, op, expect)| result(op, expect));
        results.collect::<Vec<_>>().join(", ")
    };
    let (client, server) = (of(Role::Client), of(Role::Server));
    match (&*client, &*server) {
        ("", "") => "no error".to_owned(),
        (_, "") => client,
        ("", _) => format!("server: {server}"),
        _ => format!("{client}; server: {server}"),
    }
}

fn result(op: Op, expect: Expect) -> Option<String> {
    let name = if op == Op::SocketError {
        "`SO_ERROR`"
    } else {
        op.call()
    };
    let outcome = expect.outcome()?;
    match (outcome.errno(), op, outcome) {
        (Some(errno), ..) => Some(format!("{name} `{errno}`")),
        (None, Op::Read(_), Outcome::Returned(0)) => Some(format!("{name} 0")),
        _ => None,
    }
}

/// Returns the sender of the RST, how it came to send it, and what becomes of the RST.
fn reset(reset: &ExpectedReset) -> String {
    let answers = reset.form != Some(Form::Active);
    // Linux gives this reason to what a listener answers.
    let is_listener = reset.sender == Sender::Socket && answers && reset.reason == "TCP_FLAGS";
    let end = reset.from.name();
    let sender = match reset.sender {
        Sender::Socket if is_listener => format!("{end}'s listener, reply"),
        Sender::Socket if answers => format!("{end}, reply"),
        Sender::Socket => format!("{end}, abort"),
        Sender::Kernel => format!("{end}'s kernel, reply"),
        Sender::Firewall => "firewall".to_owned(),
        Sender::Injected => "forged".to_owned(),
        Sender::Unknown => "unknown".to_owned(),
    };
    match reset.disposition {
        Disposition::Accepted => sender,
        Disposition::Ignored => format!("{sender}, ignored"),
        Disposition::Challenged => format!("{sender}, challenged"),
        Disposition::Lost => format!("{sender}, lost"),
        Disposition::DroppedAtSender => format!("{sender}, dropped at the sender"),
    }
}

fn reasons(scenario: &Scenario) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for reset in scenario.resets.iter().filter(|it| !it.reason.is_empty()) {
        let reason = format!("`{}`", reset.reason);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join(", ")
}
