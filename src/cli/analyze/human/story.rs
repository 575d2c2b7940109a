//! Lines about how a connection failed: the last messages of its ends, the answer that was sent before, an idle time-out, and the
//! scenario that teaches such a failure.

use std::fmt::Write as _;
use std::num::NonZeroI64;

use super::failures::duration;
use crate::report::human::LABEL;
use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::icmp::IcmpRecord;
use rstproof_core::analyze::{
    Connection, Failure, FailureKind, IdleTimeouts, Preceded, Related, ResetRecord, Stack,
};
use rstproof_core::transcript::Role;

/// Returns the lines about an RST.
pub(super) fn of_reset(
    files: &FileNames,
    connection: &Connection<'_>,
    record: &ResetRecord,
) -> String {
    let mut text = String::new();
    // Without an effect, what came before does not matter.
    if record.failure.is_some() {
        let answer = answer(files, connection, record);
        let shown = [Role::Client, Role::Server];
        for role in shown {
            // The answer is the last message of the server.
            if role == Role::Client || answer.is_none() {
                text += &last_words(files, connection, role);
            }
        }
        text += &answer.unwrap_or_default();
        text += &timeouts(record.closed_after, record.idle_timeouts);
    }
    text + &scenario(record.related)
}

/// Returns the lines about a connection that failed without an RST and an ICMP error.
pub(super) fn of_failure(
    files: &FileNames,
    connection: &Connection<'_>,
    failure: &Failure,
) -> String {
    let mut text = String::new();
    for role in [Role::Client, Role::Server] {
        text += &last_words(files, connection, role);
    }
    text += &timeouts(failure.closed_after, failure.idle_timeouts);
    text + &scenario(failure.related)
}

/// Returns the line about an ICMP error.
pub(super) fn of_icmp(record: &IcmpRecord) -> String {
    scenario(record.related())
}

fn last_words(files: &FileNames, connection: &Connection<'_>, role: Role) -> String {
    match connection.last_words(role) {
        Some(words) => format!(
            "  last message of the {role} in {}: {}\n",
            files.frame(words.frame),
            words.text
        ),
        None => String::new(),
    }
}

/// Returns the line about the response that an abort followed, and whether the receiver can still read it.
fn answer(files: &FileNames, connection: &Connection<'_>, record: &ResetRecord) -> Option<String> {
    let words = connection.last_words(Role::Server);
    let words = words.filter(|words| record.answer == Some(words.frame))?;
    // Linux returns what it has received before it returns the error (`tcp_recvmsg_locked()`).
    let readable = match (record.unacknowledged > 0, connection.stack(Role::Client)) {
        (true, _) => "part of that may have been lost",
        (false, Some(Stack::Linux)) => "read() still returns that",
        (false, _) => {
            "on Linux read() still returns that, while another system may have discarded it"
        }
    };
    Some(format!(
        "  the server had answered in {} ({}); {readable}\n",
        files.frame(words.frame),
        words.text
    ))
}

fn timeouts(closed_after: Option<NonZeroI64>, timeouts: IdleTimeouts) -> String {
    let Some(suggested) = timeouts.suggestion() else {
        return String::new();
    };
    match closed_after {
        Some(after) => format!(
            "  the server closed {} after its last data: {suggested}\n",
            duration(after.get())
        ),
        None => format!("  {suggested}\n"),
    }
}

/// Returns the line with the scenario that teaches the failure, and the advice.
fn scenario(related: Option<Related>) -> String {
    related.map_or_else(String::new, |related| {
        let (scenario, advice) = (related.scenario(), related.advice());
        format!("  {LABEL}rstproof explain {scenario}{LABEL:#}: {advice}\n")
    })
}

/// Returns the line about the failure of another connection that may have led to this one.
pub(in crate::cli::analyze) fn preceded(files: &FileNames, preceded: &Preceded) -> String {
    let mut text = String::new();
    let how = match preceded.failure {
        FailureKind::Refused => "was refused",
        FailureKind::RejectedByIcmp => "was rejected by an ICMP error",
        _ => "was reset",
    };
    let _ = writeln!(
        text,
        "  {} before, a connection of this server's address to {} {how} ({}): if one process had both, that may be the reason",
        duration(preceded.before_ns),
        preceded.server,
        files.frame(preceded.frame)
    );
    text
}
