//! What is known of a connection and its resets, in words for whoever opens the capture in Wireshark: one comment a fact.
//!
//! Of several comments on one frame Wireshark shows only the last before version 3.5, so the one that matters most comes last.

use super::explain::Duty;
use super::marks::Weight;
use super::table::{Connection, Told};
use crate::flow::{Acceptance, State};
use crate::printable::printable;

/// The comments on a RST, but for where it was captured, which comes before the last.
#[must_use]
pub fn of_reset(told: &Told) -> Vec<String> {
    let (reset, explanation) = (&told.reset, &told.explanation);
    let mut comments = Vec::new();
    comments.extend(
        (told.facts.iter())
            .filter(|fact| fact.accuses(Weight::Moderate))
            .map(|fact| {
                let (weight, message) = (weight(fact.weight), printable(&fact.message));
                format!("indicates injection ({weight}): {message}")
            }),
    );
    comments.extend((told.said.iter()).map(|said| {
        let said = printable(&said.to_string());
        format!("it carries: {said}")
    }));
    comments.extend(
        explanation
            .would_tell
            .map(|what| format!("to be sure: {what}")),
    );
    let receiver = reset.from.peer().name();
    comments.push(match (explanation.errno, explanation.why_no_errno) {
        (Some(errno), _) => format!("the {receiver} application gets {errno:?}"),
        (None, Some(why)) => format!("no application gets an error: {why}"),
        (None, None) => "no application gets an error".to_owned(),
    });
    comments.push(duty(told));
    let form = reset
        .form
        .map_or("not a form that Linux sends", |form| form.name());
    let cause = explanation
        .cause
        .map_or("cause unknown", |cause| cause.id());
    comments.push(format!(
        "RST of the {}, {cause}, {form}: {}",
        reset.from, explanation.ground
    ));
    comments
}

/// How Zeek puts a connection.
#[must_use]
pub fn of_connection(connection: &Connection<'_>) -> String {
    let zeek = connection.zeek;
    format!(
        "conn_state {}, history {}",
        zeek.conn_state(),
        zeek.history()
    )
}

/// What its receiver has to do with it, in which state, and why.
#[must_use]
pub fn duty(told: &Told) -> String {
    let reset = &told.reset;
    let receiver = reset.from.peer().name();
    let must = match told.explanation.duty {
        Some(Duty::Accept) => format!("the {receiver} must accept it"),
        Some(Duty::Ignore) => format!("the {receiver} ignores it"),
        Some(Duty::Challenge) => format!("the {receiver} challenges it"),
        None if told.explanation.acceptable == Some(false) => {
            format!("the {receiver} does not receive it")
        }
        None => format!("whether the {receiver} must accept it is unknown"),
    };
    let state = match (reset.receiver_state, reset.acceptance) {
        (State::Closed | State::Listen, Acceptance::NoConnection) => String::new(),
        (state, _) => format!(" in {state}"),
    };
    format!("{must}{state}: {}", reset.acceptance)
}

/// In a word.
#[must_use]
pub fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Weak => "weak",
        Weight::Moderate => "moderate",
        Weight::Strong => "strong",
    }
}
