//! `rstproof analyze`: what it writes for people and to files. That it is right is tested with all evidence (`golden`).

mod connection;
mod written;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn rstproof() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
    command.arg("analyze").stdin(Stdio::null());
    for variable in ["COLUMNS", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command
}

/// A capture of a trial.
fn capture(name: &str) -> PathBuf {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    captures.join(format!("{name}.pcapng"))
}

/// Runs the program, which must succeed, and returns its standard output.
fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{command:?}: {output:?}");
    assert_eq!(output.stderr, b"", "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line that it complains with.
fn complains(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let error = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{command:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// The lines of this kind that are written of a capture.
fn lines(capture: &Path, kind: &str) -> Vec<Value> {
    let text = stdout(rstproof().args(["--format", "json"]).arg(capture));
    text.lines()
        .map(|line| line.parse().unwrap())
        .filter(|line: &Value| line["type"] == kind)
        .collect()
}
