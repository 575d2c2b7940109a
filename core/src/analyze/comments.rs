//! Packet comments for Wireshark: one comment for each fact about a connection and its RSTs.
//!
//! If a frame has several comments, Wireshark before version 3.5 shows only the last, so the most important one comes
//! last.

use std::fmt::Write as _;

use super::connections::{Connection, ResetRecord};
use super::explain::RequiredAction;
use super::forgery::Weight;
use super::icmp::{Effect, IcmpRecord};
use crate::printable::printable;

/// Returns the comments on an RST. The caller adds the frame number to the last one.
#[must_use]
pub(super) fn of_reset(record: &ResetRecord) -> Vec<String> {
    let (reset, explanation) = (&record.reset, &record.explanation);
    let mut comments = Vec::new();
    comments.extend(
        (record.indicators.iter())
            .filter(|fact| fact.indicates_injection(Weight::Moderate))
            .map(|fact| {
                let (weight, message) = (fact.weight.name(), printable(&fact.message));
                format!("indicates injection ({weight}): {message}")
            }),
    );
    comments.extend((record.diagnostics.iter()).map(|diagnostic| {
        let text = printable(&diagnostic.to_string());
        format!("it carries: {text}")
    }));
    comments.extend(
        explanation
            .to_confirm
            .map(|what| format!("to be sure: {what}")),
    );
    if let Some(continued) = &record.continues {
        comments.push(format!(
            "the segment that it replies to continues the connection {} → {} that began with frame {}",
            continued.client, continued.server, continued.number
        ));
    }
    if let Some(frame) = record.consequence_of {
        comments.push(format!("consequence of the RST in frame {frame}"));
    }
    let receiver = reset.from.peer().name();
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
    comments.push(record.required_action());
    let form = reset.form.map_or("form unknown", |form| form.name());
    let cause = explanation
        .cause
        .map_or("cause unknown", |cause| cause.id());
    let claims = explanation.claim.map(|claim| {
        let cause = claim.cause.map_or("cause unknown", |cause| cause.id());
        format!(
            "if the {} did send it: {cause}: {}",
            reset.from, claim.explanation
        )
    });
    comments.extend(claims);
    let of = if record.sender().is_doubtful() {
        "in the name of"
    } else {
        "of"
    };
    comments.push(format!(
        "RST {of} the {}, {cause}, {form}: {}",
        reset.from, explanation.explanation
    ));
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
