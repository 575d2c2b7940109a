//! Story of a failure in sentences, for reports and for packet comments: what came before it, what it left open, the last messages of
//! the ends, and what to do about it.
//!
//! Frames are named `frame 7`, and each reader of the sentences gives them its own names. Text that an end has sent stands between two
//! `QUOTE`s, because a frame in it is none of the capture.

use std::num::NonZeroI64;

use super::connections::{Connection, ResetRecord};
use super::continuation::QUOTE;
use super::explain::Cause;
use super::failure::{Failure, FailureKind};
use super::icmp::IcmpRecord;
use super::idle_timeouts::IdleTimeouts;
use super::last_words::LastWords;
use super::preceded::Preceded;
use super::related::Related;
use super::stack::Stack;
use crate::printable::grouped;
use crate::transcript::Role;

const NS_PER_SEC: i64 = 1_000_000_000;

/// Returns the sentences about an RST.
#[must_use]
pub fn of_reset(connection: &Connection<'_>, record: &ResetRecord) -> Vec<String> {
    let mut story = preceding(connection, record);
    story.extend(open_questions(record));
    // Without an effect, what came before does not matter.
    if record.failure.is_some() {
        story.extend(last_message(connection, Role::Client));
        // The answer is the last message of the server.
        let server = || last_message(connection, Role::Server);
        story.extend(answer(connection, record).or_else(server));
        story.extend(timeouts(record.closed_after, record.idle_timeouts));
    }
    story.extend(scenario(record.related));
    story
}

/// Returns the sentences about a connection that failed without an RST and an ICMP error.
#[must_use]
pub fn of_failure(connection: &Connection<'_>, failure: &Failure) -> Vec<String> {
    let messages = [Role::Client, Role::Server].map(|role| last_message(connection, role));
    let mut story: Vec<String> = messages.into_iter().flatten().collect();
    story.extend(timeouts(failure.closed_after, failure.idle_timeouts));
    story.extend(scenario(failure.related));
    story
}

/// Returns the sentence about an ICMP error.
#[must_use]
pub fn of_icmp(record: &IcmpRecord) -> Option<String> {
    scenario(record.related())
}

/// Returns the words about a silence of this many nanoseconds; `None` if it is shorter than a second.
#[must_use]
pub fn silence(ns: i64) -> Option<String> {
    let seconds = ns / NS_PER_SEC;
    (seconds > 0).then(|| format!("after {seconds} s of silence"))
}

/// Returns what preceded an RST: the packet that it replies to, silence, and another connection that it belongs to.
fn preceding(connection: &Connection<'_>, record: &ResetRecord) -> Vec<String> {
    let mut story = Vec::new();
    let reset = &record.reset;
    let or_earlier = if record.triggers.len() > 1 {
        " or an earlier segment with the same number"
    } else {
        ""
    };
    let trigger = (reset.triggered_by).map(|it| format!("in reply to frame {it}{or_earlier}"));
    let parts: Vec<String> = trigger.into_iter().chain(silence(record.silence)).collect();
    if !parts.is_empty() {
        story.push(parts.join(", "));
    }
    if let Some(earlier) = record.earlier {
        let number = connection.number();
        // A segment with SYN and RST begins a connection of its own.
        let not_this = if number == reset.frame {
            String::new()
        } else {
            format!(", not to the one that begins with frame {number}")
        };
        story.push(format!(
            "it belongs to the connection that began with frame {earlier}{not_this}"
        ));
    }
    if let (Some(continued), Some(frame)) = (&record.continues, reset.triggered_by) {
        story.push(format!(
            "frame {frame} continues the connection {} → {} that began with frame {}",
            continued.client, continued.server, continued.number
        ));
    }
    if let Some(frame) = record.consequence_of {
        story.push(format!("consequence of the RST in frame {frame}"));
    }
    story
}

/// Returns what an abort left open: data of the receiver without an answer, and data of the sender without an acknowledgment.
/// Empty for an RST that no socket with the connection has sent.
fn open_questions(record: &ResetRecord) -> Vec<String> {
    let mut story = Vec::new();
    let aborts = matches!(
        record.explanation.cause,
        Some(Cause::AbortedClose | Cause::ResetAfterFin)
    );
    if !aborts || record.explanation.errno.is_none() || record.sender().is_doubtful() {
        return story;
    }
    let (from, receiver) = (record.reset.from, record.reset.from.peer());
    let bytes = |number: u32| {
        let plural = if number == 1 { "byte" } else { "bytes" };
        format!("{} {plural}", grouped(number.into()))
    };
    // A response needs no answer.
    if let Some(data) = record.unanswered.filter(|_| receiver == Role::Client) {
        story.push(format!(
            "the last {} of the {receiver}, since frame {}, {} before, had no answer",
            bytes(data.bytes),
            data.frame,
            duration(data.age)
        ));
    }
    if record.unacknowledged > 0 {
        story.push(format!(
            "the last {} of the {from} were not acknowledged, and may be lost",
            bytes(record.unacknowledged)
        ));
    }
    story
}

fn quoted(words: &LastWords) -> String {
    format!("{QUOTE}{}{QUOTE}", words.text)
}

fn last_message(connection: &Connection<'_>, role: Role) -> Option<String> {
    let words = connection.last_words(role)?;
    let (frame, text) = (words.frame, quoted(words));
    Some(format!(
        "last message of the {role} in frame {frame}: {text}"
    ))
}

/// Returns the sentence about the response that an abort followed, and whether the receiver can still read it.
fn answer(connection: &Connection<'_>, record: &ResetRecord) -> Option<String> {
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
    let (frame, text) = (words.frame, quoted(words));
    Some(format!(
        "the server had answered in frame {frame} ({text}); {readable}"
    ))
}

fn timeouts(closed_after: Option<NonZeroI64>, timeouts: IdleTimeouts) -> Option<String> {
    let suggested = timeouts.suggestion()?;
    Some(match closed_after {
        Some(after) if !timeouts.are_of_resets() => format!(
            "the server closed {} after its last data: {suggested}",
            duration(after.get())
        ),
        _ => suggested,
    })
}

/// Returns the sentence with the scenario that teaches the failure, and the advice.
fn scenario(related: Option<Related>) -> Option<String> {
    let related = related?;
    let (scenario, advice) = (related.scenario(), related.advice());
    Some(format!("rstproof explain {scenario}: {advice}"))
}

impl Preceded {
    /// Returns the sentence about the failure of another connection that may have led to this one.
    #[must_use]
    pub fn sentence(&self) -> String {
        const CONNECTED: &str = "a connection of this server's address to ";
        let (server, frame) = (self.server, self.frame);
        let (begin, end) = match self.failure {
            FailureKind::Refused => (CONNECTED, " was refused"),
            FailureKind::RejectedByIcmp => (CONNECTED, " was rejected by an ICMP error"),
            FailureKind::NoReply => (
                "this server's address had begun to connect to ",
                ", which had not replied yet",
            ),
            FailureKind::TimedOut => (
                "this server's address had sent data to ",
                ", which had not acknowledged it yet",
            ),
            FailureKind::ClosedBeforeResponse => (
                "",
                " closed a connection of this server's address instead of answering",
            ),
            _ => (CONNECTED, " was reset"),
        };
        let others = match self.candidates {
            1 => String::new(),
            more => format!("; {more} connections of this address had failed or waited then"),
        };
        format!(
            "{} before, {begin}{server}{end} (frame {frame}{others}): if one process had both, that may be the reason",
            duration(self.before_ns)
        )
    }
}

/// Formats a time in nanoseconds in a unit of its size: `35 µs`, `546 ms`, `4.0 s`.
fn duration(ns: i64) -> String {
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
