//! What `analyze` says to people of connections that failed without an RST.

use std::fmt::Write as _;

use super::{comments, lines_of, processes, translations};
use crate::cli::analyze::screen::Row;
use crate::report::human::{BAD, LABEL};
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Connection, Failure, story};
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
    if let Some(verbose) = explains {
        row.body = failed(files, connection, failure);
        if verbose {
            row.body += &comments(files, connection, |_| true);
        }
    }
}

/// Returns the explanation of a connection that failed without an RST or an ICMP error.
fn failed(files: &FileNames, connection: &Connection<'_>, failure: &Failure) -> String {
    let mut text = format!("  {}\n", files.localized(&failure.explanation));
    text += &lines_of(files, failure.silence.and_then(story::silence));
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
    text += &lines_of(files, story::of_failure(connection, failure));
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
