//! Packet comments for Wireshark: one comment for each fact about a connection, its RSTs and its failure.
//!
//! Wireshark shows the comments of a frame in their order, so the conclusion comes first. The story follows, in the order and the words
//! of the report.

use std::fmt::Write as _;

use super::connections::{Connection, ResetRecord};
use super::continuation::QUOTE;
use super::explain::RequiredAction;
use super::failure::Failure;
use super::forgery::Weight;
use super::icmp::{Effect, IcmpRecord};
use super::story::silence;
use crate::printable::printable;
use crate::transcript::Role;

/// Returns the comments on an RST: those before its story, the conclusion first, and those after it.
#[must_use]
pub(super) fn of_reset(record: &ResetRecord) -> (Vec<String>, Vec<String>) {
    let (reset, explanation) = (&record.reset, &record.explanation);
    let receiver = reset.from.peer().name();
    let form = reset.form.map_or("form unknown", |form| form.name());
    let cause = explanation
        .cause
        .map_or("cause unknown", |cause| cause.id());
    let of = if record.sender().is_doubtful() {
        "in the name of"
    } else {
        "of"
    };
    let mut comments = vec![format!(
        "RST {of} the {}, {cause}, {form}: {}",
        reset.from, explanation.explanation
    )];
    comments.extend(explanation.claim.map(|claim| {
        let cause = claim.cause.map_or("cause unknown", |cause| cause.id());
        format!(
            "if the {} did send it: {cause}: {}",
            reset.from, claim.explanation
        )
    }));
    comments.push(record.required_action());
    comments.push(match (explanation.errno, explanation.errno_note) {
        (Some(errno), _) => format!(
            "the {receiver} application gets {errno:?}{}",
            explanation.condition()
        ),
        (None, Some(why)) if explanation.required_action == RequiredAction::Unknown => {
            format!("whether an application gets an error is {why}")
        }
        (None, Some(why)) => format!("no application gets an error: {why}"),
        (None, None) => "no application gets an error".to_owned(),
    });
    let confirm = explanation
        .to_confirm
        .map(|what| format!("to be sure: {what}"));
    let mut details: Vec<String> = confirm.into_iter().collect();
    details.extend((record.diagnostics.iter()).map(|diagnostic| {
        let text = printable(&diagnostic.to_string());
        format!("it carries: {QUOTE}{text}{QUOTE}")
    }));
    details.extend(
        (record.indicators.iter())
            .filter(|fact| fact.indicates_injection(Weight::Moderate))
            .map(|fact| {
                let (weight, message) = (fact.weight.name(), printable(&fact.message));
                format!("indicates injection ({weight}): {message}")
            }),
    );
    (comments, details)
}

/// Returns the comments on a failure that no RST and no ICMP error shows, the conclusion first.
#[must_use]
pub(super) fn of_failure(failure: &Failure) -> Vec<String> {
    let mut comments = vec![format!("{}: {}", failure.kind, failure.explanation)];
    comments.extend(failure.silence.and_then(silence));
    let mut has_error = false;
    for role in [Role::Client, Role::Server] {
        if let Some(error) = failure.errors[role] {
            has_error = true;
            let condition = error.condition.map(|it| format!(", {}", it.meaning()));
            let condition = condition.unwrap_or_default();
            comments.push(format!(
                "the {role} application gets {:?}{condition}",
                error.errno
            ));
        }
    }
    if !has_error {
        comments.push("no application gets an error".to_owned());
    }
    comments
}

/// Returns the comment on a connection, in Zeek's terms.
#[must_use]
pub(super) fn of_connection(connection: &Connection<'_>) -> String {
    let zeek = &connection.zeek;
    let mut text = format!(
        "conn_state {}, history {}",
        zeek.conn_state(),
        zeek.history()
    );
    for translation in connection.translations {
        let [client, server] = connection.translated(translation);
        let _ = write!(text, "; beyond a NAT {client} → {server}");
    }
    text
}

/// Returns the comment on an ICMP error.
#[must_use]
pub(super) fn of_icmp(record: &IcmpRecord) -> String {
    let error = match (record.errno, record.errno_if()) {
        (Some(errno), None) => format!("the {} application gets {errno:?}", record.to),
        (Some(errno), Some(condition)) => {
            format!(
                "the {} application may get {errno:?}: {condition}",
                record.to
            )
        }
        (None, _) if record.effect == Effect::Unknown => {
            "whether an application gets an error is unknown".to_owned()
        }
        (None, _) => "no application gets an error".to_owned(),
    };
    format!(
        "ICMP {} from {}, about {}: {error}: {}",
        record.kind.name(),
        record.source,
        record.quoted(),
        record.reason
    )
}
