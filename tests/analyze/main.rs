//! `rstproof analyze` on captures of strangers: large ones whose truth is known, ones that are cut at any byte, and ones that
//! mean harm.

#![allow(clippy::unwrap_used)] // the lint's exception for tests does not reach functions that tests share

mod causes;
mod columns;
mod consistent;
mod continued;
mod copies;
mod cut;
mod failures;
mod formats;
mod fragments;
#[path = "../../benches/support/generate.rs"]
mod generate;
mod generated;
mod hostile;
mod icmp;
mod join;
#[path = "../../core/tests/stored/layout.rs"]
#[allow(dead_code)] // other tests use the rest
mod layout;
mod live;
mod lossy;
mod missing;
mod nat;
mod points;
mod receivers;
mod said;
#[path = "../support/schema.rs"]
mod schema;
mod screen;
mod segments;
mod senders;
mod story;
mod text;
mod texts;
#[path = "../support/tshark.rs"]
mod tshark;
mod unread;
mod views;
mod wording;

use std::cell::OnceCell;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What the program says of what it was given.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
    /// Lines of `out`, once they are parsed.
    parsed: OnceCell<Vec<Value>>,
}

impl Said {
    /// The lines of standard output. The first of them, and the last, are held to their schema.
    fn lines(&self) -> &[Value] {
        const HELD: usize = 1_000;
        self.parsed.get_or_init(|| {
            let lines = self.out.lines();
            let lines: Vec<Value> = lines.map(|line| line.parse().unwrap()).collect();
            let last = lines.iter().skip(HELD).next_back();
            for line in lines.iter().take(HELD).chain(last) {
                schema::assert_fits("analyze", line);
            }
            lines
        })
    }

    /// Those of this type.
    fn of(&self, kind: &str) -> Vec<Value> {
        let lines = self.lines().iter();
        lines.filter(|line| line["type"] == kind).cloned().collect()
    }

    /// The line about the only file.
    fn summary(&self) -> Value {
        let [summary] = &self.of("summary")[..] else {
            panic!("{}{}", self.out, self.err)
        };
        summary.clone()
    }

    /// All was read, and nothing is to be complained of.
    fn whole(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""));
        self
    }

    /// The one line that it complains with.
    fn complaint(&self) -> &str {
        assert_eq!(self.code, Some(2), "{}{}", self.out, self.err);
        assert!(self.err.ends_with('\n'), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        self.err.trim_end()
    }
}

/// Analyses, with arguments and standard input, in no more than so many MiB of address space and a minute of computing.
fn analyze_within(mebibytes: u64, arguments: &[&str], stdin: Stdio) -> Said {
    within(
        mebibytes,
        &[&["--format", "json"], arguments].concat(),
        stdin,
    )
}

/// The same in the form for people, with each wrapped line in one.
fn analyze_for_people(arguments: &[&str]) -> Said {
    let said = within(300, arguments, Stdio::null());
    let mut out = String::new();
    for line in said.out.lines() {
        // What continues a line is indented by 6, as is a row of a table that begins with a short number.
        let is_row = |it: &str| {
            let (word, _) = it.split_once("  ").unwrap_or_default();
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
        };
        let continued = (line.strip_prefix("      "))
            .filter(|it| !it.starts_with(' ') && !is_row(it) && !out.is_empty());
        match continued {
            Some(rest) => {
                out.pop();
                // The outcome follows its reason after two spaces, where a line may end.
                out += if rest.starts_with('→') { "  " } else { " " };
                out += rest;
            }
            None => out += line,
        }
        out.push('\n');
    }
    Said { out, ..said }
}

fn within(mebibytes: u64, arguments: &[&str], stdin: Stdio) -> Said {
    let limits = format!("ulimit -v {} -t 60; exec \"$@\"", mebibytes << 10);
    let output = Command::new("bash")
        .args(["-c", &limits, "bash", env!("CARGO_BIN_EXE_rstproof")])
        .arg("analyze")
        .args(arguments)
        // Else each thread reserves much more than it uses.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(stdin)
        .output()
        .unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        parsed: OnceCell::new(),
    }
}

/// In as much room as nearly any capture takes.
fn analyze(arguments: &[&str]) -> Said {
    analyze_within(300, arguments, Stdio::null())
}

/// From standard input.
fn analyze_stdin(path: &Path) -> Said {
    let file = File::open(path).unwrap();
    analyze_within(300, &["-"], file.into())
}
