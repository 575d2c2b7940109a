//! Human-readable form of the examination: a table, and a last line that states if trials can run.

use std::fmt::Write as _;

use anstyle::Style;

use super::{Check, Examination, Group, RUN_ON_HOST, Status};
use crate::report::human::{BAD, GOOD, LABEL, UNSURE, wrap};
use rstproof_core::printable::printable;

/// Width of the output, in columns.
const WIDTH: usize = 80;

/// Number of columns before the name of a check.
const NAME: usize = 11;

/// Number of columns before the detail of a check.
const DETAIL: usize = 38;

/// Number of columns before the costs and the fix of a check.
const MORE: usize = NAME + 8;

/// Formats the examination as a table.
#[must_use]
pub fn table(examination: &Examination) -> String {
    let mut out = heading(examination);
    for group in [Group::Trials, Group::Host, Group::Kernel, Group::Programs] {
        let all = &examination.checks;
        let mut checks = all.iter().filter(|check| check.group == group).peekable();
        if checks.peek().is_some() {
            let _ = writeln!(out, "\n{LABEL}{}{LABEL:#}", title(group));
        }
        for check in checks {
            row(&mut out, check, all);
        }
    }
    out.push('\n');
    conclusion(&mut out, examination);
    out
}

fn heading(examination: &Examination) -> String {
    let (tool, host) = (&examination.tool, &examination.host);
    let who = match examination.uid {
        0 => "as root".to_owned(),
        uid => format!("as uid {uid}"),
    };
    let kernel = [&*host.sysname, &*host.release, &*host.machine].join(" ");
    let program = format!("{} {} on {kernel}", tool.name, tool.version);
    let system = match examination.distribution.as_str() {
        "" => who,
        distribution => format!("{distribution}, {who}"),
    };
    let mut out = String::new();
    // Escaped, because os-release may have control characters.
    for text in [program, system] {
        for line in wrap(&printable(&text), WIDTH) {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Trials => "needed for trials",
        Group::Host => "needed for `run --host`",
        Group::Kernel => "optional: kernel evidence",
        Group::Programs => "optional: other programs",
    }
}

fn style(check: &Check) -> Style {
    match (check.status, check.group) {
        (Status::Ok, _) => GOOD,
        // Only trials in a private namespace are essential; everything else is optional.
        (Status::Missing, Group::Trials) => BAD,
        (Status::Missing | Status::Limited, _) => UNSURE,
    }
}

fn row(out: &mut String, check: &Check, all: &[Check]) {
    let word = match check.status {
        Status::Ok => "ok",
        Status::Limited => "limited",
        Status::Missing => "missing",
    };
    let style = style(check);
    let _ = write!(out, "  {style}{word:<7}{style:#}  ");
    let mut first = format!("{:<width$}", check.name, width = DETAIL - NAME);
    for line in wrap(&detail(check, all), WIDTH - DETAIL) {
        let _ = writeln!(out, "{first}{line}");
        first = " ".repeat(DETAIL);
    }
    // The row of the blocking check shows the costs and the fix.
    if check.blocked_by.is_some() {
        return;
    }
    if let Some(costs) = &check.without_it {
        let costs = printable(costs);
        labelled(out, "lost", Style::new(), &wrap(&costs, WIDTH - MORE));
    }
    if let Some(fix) = &check.fix {
        labelled(out, "fix", LABEL, &continued(&printable(fix)));
    }
}

/// Returns the detail of a check, or the name of the check that blocks it.
fn detail(check: &Check, all: &[Check]) -> String {
    match check.blocked_by {
        Some(id) => format!("not without {}", find(all, id).map_or(id, |it| it.name)),
        None => printable(&check.detail),
    }
}

/// Returns the result of the self-test, or the check that blocks it with its detail.
fn reason(self_test: &Check, all: &[Check]) -> String {
    match self_test.blocked_by.and_then(|id| find(all, id)) {
        Some(blocking) => format!("{}: {}", blocking.name, blocking.detail),
        None => format!("{} {}", self_test.name, self_test.detail),
    }
}

fn labelled<Line: AsRef<str>>(out: &mut String, label: &str, style: Style, lines: &[Line]) {
    let mut label = label;
    for line in lines {
        let line = line.as_ref();
        let width = MORE - NAME;
        let _ = writeln!(out, "{:NAME$}{label:<width$}{style}{line}{style:#}", "");
        label = "";
    }
}

/// Splits a command into lines that can be copied to a shell, and never within a word. A command with quotes stays on
/// one line, because blanks within them are significant.
fn continued(command: &str) -> Vec<String> {
    const CONTINUED: &str = " \\";
    if command.contains(['\'', '"']) {
        return vec![command.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in command.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() + CONTINUED.len() <= WIDTH - MORE => {
                *line += " ";
                *line += word;
            }
            Some(line) => {
                *line += CONTINUED;
                lines.push(word.to_owned());
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn find<'a>(checks: &'a [Check], id: &str) -> Option<&'a Check> {
    checks.iter().find(|check| check.id == id)
}

/// Appends the conclusion: if trials can run, and otherwise what to fix first.
fn conclusion(out: &mut String, examination: &Examination) {
    let self_test = find(&examination.checks, "self-test");
    let why = self_test.map_or_else(String::new, |it| reason(it, &examination.checks));
    let (style, word) = if examination.self_test.passed {
        (GOOD, "trials can run here")
    } else {
        (BAD, "trials cannot run here")
    };
    let fix = self_test.and_then(|it| it.fix.as_ref());
    // Any other fix makes private namespaces possible.
    let is_on_host = fix.is_some_and(|fix| fix.ends_with(RUN_ON_HOST));
    let instead = if is_on_host && !examination.self_test.passed {
        "; they can on this host's loopback:"
    } else {
        ""
    };
    let text = printable(&format!("{word}: {why}{instead}"));
    for line in wrap(&text, WIDTH) {
        let _ = match line.strip_prefix(word) {
            Some(rest) => writeln!(out, "{style}{word}{style:#}{rest}"),
            None => writeln!(out, "{line}"),
        };
    }
    for line in fix.map_or_else(Vec::new, |fix| continued(&printable(fix))) {
        let _ = writeln!(out, "  {LABEL}{line}{LABEL:#}");
    }
}
