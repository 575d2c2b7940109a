//! What `analyze` says to people of connections that failed without an RST, and of what an abort left open.

use std::fmt::Write as _;

use super::{NS_PER_SEC, in_digits, processes, story, translations};
use crate::cli::analyze::screen::Row;
use crate::report::human::{BAD, LABEL};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Cause, Connection, Failure, ResetRecord};
use rstproof_core::transcript::Role;

/// Adds the texts of a connection that failed without an RST or an ICMP error to its row.
pub(super) fn fill_failed(
    row: &mut Row,
    files: &FileNames,
    connection: &Connection<'_>,
    failure: &Failure,
    explains: Option<bool>,
) {
    let roles = [Role::Client, Role::Server].into_iter();
    let conditions = roles.filter_map(|role| {
        let error = failure.errors[role]?;
        Some(format!("; {} {}", error.errno, error.condition?.meaning()))
    });
    row.words = format!("{}: {}", failure.kind, failure.kind.meaning());
    row.condition = conditions.collect();
    row.frame = files.frame(failure.frame);
    if explains.is_some() {
        row.body = failed(files, connection, failure);
    }
}

/// Returns the explanation of a connection that failed without an RST or an ICMP error.
fn failed(files: &FileNames, connection: &Connection<'_>, failure: &Failure) -> String {
    let mut text = format!("  {}\n", files.localized(&failure.explanation));
    let silence = failure.silence.unwrap_or(0) / NS_PER_SEC;
    if silence > 0 {
        let _ = writeln!(text, "  after {silence} s of silence");
    }
    let mut has_error = false;
    for role in [Role::Client, Role::Server] {
        if let Some(error) = failure.errors[role] {
            has_error = true;
            let condition = error.condition.map(|it| format!(", {}", it.meaning()));
            let condition = condition.unwrap_or_default();
            let errno = error.errno;
            let _ = writeln!(text, "  → {BAD}{errno:?}{BAD:#} for the {role}{condition}");
        }
    }
    if !has_error {
        text += "  → no error\n";
    }
    text += &story::of_failure(files, connection, failure);
    text += &translations(files, connection);
    text += &processes(connection);
    text
}

/// Returns the correction of a failure that was reported live: the connection went on.
pub(super) fn went_on(files: &FileNames, connection: &Connection<'_>) -> String {
    let [client, server] = [Role::Client, Role::Server].map(|role| connection.socket(role));
    format!(
        "{LABEL}{}{LABEL:#}  {client} → {server}  went on: the failure reported earlier was only a delay\n",
        files.frame(connection.number()),
    )
}

/// Returns what an abort left open: data of the receiver without an answer, and data of the sender without an acknowledgment.
/// Empty for an RST that no socket with the connection has sent.
pub(super) fn open_questions(files: &FileNames, record: &ResetRecord) -> String {
    let mut text = String::new();
    let aborts = matches!(
        record.explanation.cause,
        Some(Cause::AbortedClose | Cause::ResetAfterFin)
    );
    if !aborts || record.explanation.errno.is_none() || record.sender().is_doubtful() {
        return text;
    }
    let (from, receiver) = (record.reset.from, record.reset.from.peer());
    let bytes = |number: u32| {
        let plural = if number == 1 { "byte" } else { "bytes" };
        format!("{} {plural}", in_digits(number.into()))
    };
    // A response needs no answer.
    if let Some(data) = record.unanswered.filter(|_| receiver == Role::Client) {
        let _ = writeln!(
            text,
            "  the last {} of the {receiver}, since {}, {} before, had no answer",
            bytes(data.bytes),
            files.frame(data.frame),
            duration(data.age)
        );
    }
    if record.unacknowledged > 0 {
        let _ = writeln!(
            text,
            "  the last {} of the {from} were not acknowledged, and may be lost",
            bytes(record.unacknowledged)
        );
    }
    text
}

/// Formats a time in nanoseconds in a unit of its size: `35 µs`, `546 ms`, `4.0 s`.
pub(super) fn duration(ns: i64) -> String {
    match ns {
        ..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..NS_PER_SEC => format!("{} ms", ns / 1_000_000),
        _ => format!(
            "{}.{} s",
            ns / NS_PER_SEC,
            ns % NS_PER_SEC / (NS_PER_SEC / 10)
        ),
    }
}
