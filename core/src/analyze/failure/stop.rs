//! Connections that stop without an RST or an ICMP error: an end repeats what is never acknowledged, or closes instead of
//! answering.
//!
//! A connection may stop long before the capture ends, and only the rest of the capture shows that nothing follows. So the state
//! in which it stopped is kept, and judged at the end.

use super::{EndError, Failure, FailureKind};
use crate::analyze::exchange::{Asked, Unanswered};
use crate::analyze::explain::ErrnoCondition;
use crate::analyze::idle_timeouts::IdleTimeouts;
use crate::analyze::related;
use crate::time::Timestamp;
use crate::transcript::{Errno, PerEnd, Role};

/// What an end tries in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) enum Attempt {
    /// SYN without any reply.
    Connect,
    /// SYN while the other end may still have an earlier connection between these ends.
    Reconnect(Reconnect),
    /// SYN-ACK without the ACK that completes the handshake. `true` if the client repeats its SYN.
    Accept(bool),
    /// Data or a FIN without acknowledgment.
    Send,
    /// Large segments without acknowledgment, after small ones with it.
    SendLarge,
    /// Keepalive probes without reply.
    Probe,
    /// Probes of a closed window.
    ProbeWindow,
}

/// Circumstances of a SYN from a port of which the other end may still have an earlier connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) struct Reconnect {
    /// Number of the earlier connection.
    pub(in crate::analyze) earlier: u32,
    /// Latest RST after the SYN.
    pub(in crate::analyze) reset: Option<u32>,
    /// True if the other end has sent segments after the SYN, which are not about it.
    pub(in crate::analyze) has_replied: bool,
}

/// State in which a connection has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) enum Stop {
    /// An end has repeated something.
    Repeated(Repeated),
    /// An end has closed instead of answering.
    Closed(Unanswered),
}

/// Packets that an end has repeated in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) struct Repeated {
    /// What it tries.
    pub(in crate::analyze) attempt: Attempt,
    /// End that tries.
    pub(in crate::analyze) from: Role,
    /// Number of packets: all SYNs and SYN-ACKs, or the retransmissions and probes.
    pub(in crate::analyze) count: u32,
    /// Frame that shows it: the first SYN, or the last attempt.
    pub(in crate::analyze) frame: u32,
    /// Capture time of that frame.
    pub(in crate::analyze) at: Timestamp,
    /// Latest frame of the other end; 0 if it has sent none.
    pub(in crate::analyze) heard: u32,
    /// Capture time of that frame, or of the first attempt.
    pub(in crate::analyze) since: Timestamp,
    /// Time of the connection's last packet.
    pub(in crate::analyze) last: Timestamp,
    /// First segment that was not acknowledged, if it is known.
    pub(in crate::analyze) asked: Option<Asked>,
    /// Error that ICMP has recorded for this end.
    pub(in crate::analyze) soft: Option<Errno>,
    /// True if this end has sent a FIN.
    pub(in crate::analyze) has_closed: bool,
}

/// Number of SYNs that Linux sends by default before it gives up: `tcp_syn_retries` 6.
const LINUX_SYNS: u32 = 7;

/// Number of retransmissions of data before Linux gives up by default: `tcp_retries2`.
const LINUX_RETRIES: u32 = 15;

/// Silence in nanoseconds after which a single SYN will not be repeated: the first retransmission comes after a second
/// (RFC 6298, 2.1), on older systems after three.
const MAX_FIRST_TIMEOUT_NS: i64 = 4_000_000_000;

/// Slack, in nanoseconds, for the time until the next retransmission.
const SLACK_NS: i64 = 1_000_000_000;

impl Stop {
    /// Returns true if it is a SYN without any reply.
    pub(in crate::analyze) fn is_without_reply(&self) -> bool {
        matches!(self, Self::Repeated(it) if it.attempt == Attempt::Connect)
    }
    /// Returns the end that repeats something in vain, if there is one.
    pub(in crate::analyze) fn from(&self) -> Option<Role> {
        match self {
            Self::Closed(_) => None,
            Self::Repeated(repeated) => Some(repeated.from),
        }
    }

    /// Returns the failure, if nothing follows until `ended`, the time at which the capture ends or another connection begins.
    pub(in crate::analyze) fn failure(&self, ended: Timestamp) -> Option<Failure> {
        match self {
            Self::Closed(unanswered) => Some(closed(unanswered)),
            Self::Repeated(repeated) => repeated.failure(ended),
        }
    }
}

impl Repeated {
    fn failure(&self, ended: Timestamp) -> Option<Failure> {
        let (attempt, count, silence) = (self.attempt, self.count, ended.since(self.last));
        // The interval doubles each time (RFC 6298, 5.5), so the next attempt comes after no more than all that has passed.
        let has_stopped = silence > self.tried().saturating_add(SLACK_NS);
        let is_enough = match attempt {
            Attempt::Connect => count > 1 || silence >= MAX_FIRST_TIMEOUT_NS,
            Attempt::Accept(_) | Attempt::ProbeWindow => count > 1,
            // After a segment of an earlier connection Linux repeats its SYN within milliseconds
            // (`tcp_rcv_synsent_state_process()`).
            Attempt::Reconnect(_) => count > 2 || has_stopped && silence >= MAX_FIRST_TIMEOUT_NS,
            Attempt::Send | Attempt::SendLarge | Attempt::Probe => {
                count > 2 || count == 2 && has_stopped
            }
        };
        if !is_enough {
            return None;
        }
        // Linux reports a recorded ICMP error in place of the time-out (`tcp_write_err()`).
        let error = EndError {
            errno: self.soft.unwrap_or(Errno::ETIMEDOUT),
            condition: self.condition(has_stopped),
        };
        let (kind, has_error) = match attempt {
            Attempt::Reconnect(it) if it.has_replied => (FailureKind::EarlierConnection, true),
            Attempt::Connect | Attempt::Reconnect(_) => (FailureKind::NoReply, true),
            // No process has the connection yet: accept() does not return.
            Attempt::Accept(_) => (FailureKind::HandshakeIncomplete, false),
            Attempt::Send | Attempt::Probe => (FailureKind::TimedOut, true),
            Attempt::SendLarge => (FailureKind::MtuBlackHole, true),
            Attempt::ProbeWindow => (FailureKind::ZeroWindow, true),
        };
        let mut errors = PerEnd::default();
        errors[self.from] = has_error.then_some(error);
        Some(Failure {
            kind,
            frame: self.frame,
            at: self.at,
            errors,
            by: None,
            silence: self.asked.map(|it| it.silence),
            explanation: self.explanation().into(),
            related: related::of_failure(
                kind,
                self.from,
                has_error.then_some(error.errno),
                attempt == Attempt::Send,
            ),
            closed_after: None,
            idle_timeouts: IdleTimeouts::default(),
        })
    }

    /// Returns the condition of the error, if there is one. `has_stopped` is true if the end has not tried any longer.
    fn condition(&self, has_stopped: bool) -> Option<ErrnoCondition> {
        let most = match self.attempt {
            Attempt::Connect | Attempt::Reconnect(_) => LINUX_SYNS,
            _ => LINUX_RETRIES,
        };
        if self.has_closed {
            // After close() no call is left that could report it, whatever happens.
            Some(ErrnoCondition::SocketHeld)
        } else if self.attempt == Attempt::ProbeWindow && !has_stopped {
            Some(ErrnoCondition::UserTimeout)
        } else if !has_stopped {
            Some(ErrnoCondition::NoLaterReply)
        } else {
            (self.count < most).then_some(ErrnoCondition::KernelGaveUp)
        }
    }

    /// Returns the time in nanoseconds for which the end has tried.
    fn tried(&self) -> i64 {
        self.last.since(self.since).max(0)
    }

    fn explanation(&self) -> String {
        let (from, count, heard) = (self.from, self.count, self.heard);
        let (within, other) = (seconds(self.tried()), from.peer());
        match self.attempt {
            Attempt::Reconnect(it) if it.has_replied => {
                let reset = it.reset.map_or_else(String::new, |frame| {
                    format!("; the RST in frame {frame} is about that one, and refuses no SYN")
                });
                format!(
                    "the {other} replied to the SYN of the {from} only from the connection that began with frame {}{reset}",
                    it.earlier
                )
            }
            Attempt::Connect | Attempt::Reconnect(_) if count == 1 => {
                format!("the {from} sent its SYN once, and no reply was captured")
            }
            Attempt::Connect | Attempt::Reconnect(_) => format!(
                "the {from} sent its SYN {} within {within}, and no reply was captured",
                times(count)
            ),
            Attempt::Accept(true) => format!(
                "the {from} sent its SYN-ACK {} within {within}, and the {other} repeated its SYN: the SYN-ACK did not reach it",
                times(count)
            ),
            Attempt::Accept(false) => format!(
                "the {from} sent its SYN-ACK {} within {within}, and the {other} sent nothing after its SYN: the SYN-ACK was lost, or the \
             SYN came from a scan or a forged address",
                times(count)
            ),
            Attempt::Send => {
                let what = match self.asked {
                    Some(_) => "this segment",
                    None => "segments",
                };
                format!(
                    "{what} of the {from} never got an acknowledgment, though repeated {} within {within}; the last packet of the {other} is \
                 that of frame {heard}",
                    times(count)
                )
            }
            Attempt::SendLarge => format!(
                "the {from} repeated a large segment {} within {within}, and none of its large segments was ever acknowledged, though small \
             ones were: a link on the path has a smaller MTU, and the ICMP error that says so was not captured",
                times(count)
            ),
            Attempt::Probe => format!(
                "the {other} answered none of {count} keepalive probes within {within}; its last packet is that of frame {heard}"
            ),
            Attempt::ProbeWindow => format!(
                "the receive window of the {other} stayed at 0, and the {from} probed it {}: the process of the {other} had stopped \
             reading",
                times(count)
            ),
        }
    }
}

/// Formats a time in nanoseconds: `12.6 s`.
fn seconds(ns: i64) -> String {
    let tenths = ns / 100_000_000;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        // Counts of handshake packets are kept in a byte.
        255 => "255 times or more".to_owned(),
        _ => format!("{count} times"),
    }
}

/// Returns the failure of a connection in which an end closed instead of answering.
fn closed(unanswered: &Unanswered) -> Failure {
    let Unanswered {
        by,
        fin,
        frame,
        bytes,
        request,
        was_silent,
        quiet,
    } = *unanswered;
    let plural = if bytes == 1 { "" } else { "s" };
    let before = if was_silent {
        "without having sent any data"
    } else {
        "without an answer"
    };
    Failure {
        kind: FailureKind::ClosedBeforeResponse,
        frame: fin.frame,
        at: fin.at,
        // read() returns 0, which is no error.
        errors: PerEnd::default(),
        by: Some(by),
        silence: Some(fin.silence),
        explanation: format!(
            "the {by} closed (FIN) {before}: {request} of {bytes} byte{plural} had come from frame {frame} on; read() returns 0 there, and \
             programs call it an empty or missing response"
        )
        .into(),
        related: related::of_failure(FailureKind::ClosedBeforeResponse, by, None, false),
        closed_after: quiet,
        idle_timeouts: IdleTimeouts::default(),
    }
}
