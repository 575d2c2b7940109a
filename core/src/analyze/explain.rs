//! Explanation of an RST: the receiver's required action, the cause, and the errors that the application receives.
//!
//! The flow determines the receiver's state and whether the RST is acceptable. The cause follows from the form of the
//! RST and from the history of the connection, and each conclusion comes with its explanation. A capture contains
//! packets, not sockets: where it leaves the cause open, the explanation names an observation that would confirm it
//! instead of a guess.

mod causes;
mod condition;

use std::borrow::Cow;

use serde::Serialize;

pub use self::causes::Cause;
use self::causes::Reason;
pub use self::condition::ErrnoCondition;
use super::history::CaptureGaps;
use super::history::ConnectionHistory;
use crate::flow::{Acceptance, FinReceipt, Form, Reset, State};
use crate::packet::Header;
use crate::transcript::Errno;

/// Action that the standards require of the receiver of an RST (RFC 9293, 3.10.7; RFC 5961, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredAction {
    /// Reset the connection.
    Accept,
    /// Drop the RST silently.
    Drop,
    /// Answer with a challenge ACK.
    Challenge,
    /// None: the RST did not reach its receiver.
    NotDelivered,
    /// Unknown from this capture.
    Unknown,
}

impl RequiredAction {
    /// Returns the action that follows from the acceptance of an RST.
    #[must_use]
    pub(crate) fn of(reset: &Reset) -> Self {
        match reset.acceptance {
            it if it.is_unknown() => Self::Unknown,
            Acceptance::NotArrived => Self::NotDelivered,
            it if it.is_acceptable() => Self::Accept,
            _ => match reset.triggers_challenge() {
                Some(true) => Self::Challenge,
                Some(false) => Self::Drop,
                None => Self::Unknown,
            },
        }
    }
}

/// Results of a later call of the receiving application, on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LaterCall {
    /// Name of the call.
    pub call: &'static str,
    /// Errno or return value if the call is the first to meet the error.
    pub first: &'static str,
    /// Result of every call after the one that reported the error.
    pub afterwards: &'static str,
}

/// Calls after a reset: `tcp_reset()` sets the error, and the first call clears it (`sock_error()`).
const RESET: [LaterCall; 2] = [
    LaterCall {
        call: "read",
        first: "ECONNRESET",
        afterwards: "0",
    },
    LaterCall {
        call: "write",
        first: "ECONNRESET",
        afterwards: "EPIPE",
    },
];

/// Calls after a reset in CLOSE-WAIT: read checks `SOCK_DONE` before the error, so it never reports the error.
const RESET_AFTER_FIN: [LaterCall; 2] = [
    LaterCall {
        call: "read",
        first: "0",
        afterwards: "0",
    },
    LaterCall {
        call: "write",
        first: "EPIPE",
        afterwards: "EPIPE",
    },
];

/// Calls after a refused connection, on a non-blocking socket. A blocking socket is unconnected again.
const REFUSED: [LaterCall; 3] = [
    LaterCall {
        call: "connect",
        first: "ECONNREFUSED",
        afterwards: "ECONNABORTED",
    },
    LaterCall {
        call: "read",
        first: "ECONNREFUSED",
        afterwards: "0",
    },
    LaterCall {
        call: "write",
        first: "ECONNREFUSED",
        afterwards: "EPIPE",
    },
];

/// Cause that an RST has if the end whose address it carries did send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Cause; `None` if it is unknown.
    pub cause: Option<Cause>,
    /// Explanation of the cause, or of why it is unknown: a clause.
    pub explanation: &'static str,
}

/// Explanation of an RST by a NAT, or another device that tracks connections, on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NatFinding {
    /// The segment that the RST replies to was captured on both sides of the NAT, and was not translated.
    NotTranslated,
    /// It was captured on both sides, and was translated to other addresses than the segments before.
    Remapped,
    /// It was outside the window of the RST's stated sender, which goes on.
    OutsideWindow,
    /// It was outside that window as well, and a device that is no NAT made the RST from it.
    OutsideTrackedWindow,
    /// It did not pass the NAT, although segments of the connection did before, and the NAT replied.
    NotPassedOn,
    /// It continues a connection with another server.
    ServerDiffers,
    /// It continues a connection from another port of the same client address.
    ClientPortDiffers,
    /// It continues a connection from the same port of another client address.
    ClientDiffers,
    /// An RST for one of these reasons had ended the sender's end.
    EndedBefore,
}

/// Explanation of one RST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// True if the receiver had to accept the RST; `None` if unknown from this capture.
    pub acceptable: Option<bool>,
    /// Action required of the receiver.
    pub required_action: RequiredAction,
    /// Reason for the required action, or why it is unknown: a clause.
    pub acceptance: Cow<'static, str>,
    /// Cause of the RST; `None` if unknown from this capture.
    pub cause: Option<Cause>,
    /// Explanation of the cause, or of why it is unknown: a clause.
    pub explanation: &'static str,
    /// Observation that would confirm the cause.
    pub to_confirm: Option<&'static str>,
    /// Cause by the RST's own account, if a third party probably sent it.
    pub claim: Option<Claim>,
    /// Error that the receiving application gets; `None` if the RST sets no error, or no socket is left to report it.
    pub errno: Option<Errno>,
    /// Condition under which the application gets the error; `None` if it gets it in any case.
    pub errno_condition: Option<ErrnoCondition>,
    /// Reason why there is no errno.
    pub errno_note: Option<&'static str>,
    /// Results of later calls of the receiving application.
    pub later: &'static [LaterCall],
}

impl Explanation {
    /// Withdraws the cause of an RST that was printed as text, unless the text shows how its SEQ relates to the connection, and which
    /// packets are copies of others.
    pub(crate) fn limit_to_text(&mut self, has_sequence: bool, has_copies: bool) {
        if has_sequence && has_copies {
            return;
        }
        (self.cause, self.to_confirm) = (None, None);
        if has_sequence {
            self.explanation = "the cause is unknown: without times the text does not show which packets are copies of others";
            return;
        }
        self.acceptance = "the text does not show how its SEQ relates to the other numbers".into();
        self.explanation = "the cause is unknown: the text does not show how the SEQ of the RST relates to the other numbers";
    }

    /// Explains an RST, given the earlier packets of its connection.
    #[must_use]
    pub(crate) fn of(
        reset: &Reset,
        header: &Header,
        sender_state: Option<State>,
        past: &ConnectionHistory,
        gaps: &CaptureGaps,
    ) -> Self {
        // In a connection captured midstream, the receiver's state and RCV.NXT are known only after a packet of the
        // sender.
        let is_known = !gaps.begins_midstream
            || past.of(reset.from).packets > 0
            || reset.triggered_by.is_some();
        // An end that has sent nothing here may have a connection, or none.
        let is_silent = past.of(reset.from.peer()).packets == 0;
        let is_known = is_known && !(is_silent && reset.acceptance == Acceptance::NoConnection);
        let required_action = match RequiredAction::of(reset) {
            // Delivery is visible in the capture itself, whatever is known of the connection.
            RequiredAction::NotDelivered => RequiredAction::NotDelivered,
            _ if !is_known => RequiredAction::Unknown,
            known => known,
        };
        let reason = causes::reason(reset, header, sender_state, past, gaps);
        let is_open = may_have_completed(reset, past, gaps);
        let errno = Reset {
            finds_request: reset.finds_request && !is_open,
            ..*reset
        }
        .puts_error_on(reset.from.peer())
        .filter(|_| is_known);
        let later: &[LaterCall] = match (errno, reset.receiver_state) {
            (None, _) => &[],
            (Some(_), State::CloseWait) => &RESET_AFTER_FIN,
            (Some(_), State::SynSent) => &REFUSED,
            (Some(_), _) => &RESET,
        };
        let acceptance = if is_known || required_action == RequiredAction::NotDelivered {
            acceptance(reset)
        } else if past.holds_only_resets() {
            "only RSTs of this connection were captured".into()
        } else if is_silent {
            "the capture holds no segment of the receiver".into()
        } else {
            "the capture begins midstream and holds no earlier packet from the sender".into()
        };
        Self {
            acceptable: match required_action {
                RequiredAction::Unknown => None,
                other => Some(other == RequiredAction::Accept),
            },
            required_action,
            acceptance,
            cause: reason.cause,
            explanation: reason.explanation,
            to_confirm: reason.to_confirm,
            claim: None,
            errno,
            errno_condition: errno.and_then(|_| condition(reset, header, past, is_open)),
            errno_note: (errno.is_none()).then(|| errno_note(reset, required_action)),
            later,
        }
    }
}

impl Explanation {
    /// Withdraws the effect of an RST on its receiver, which is unknown for the reason that its acceptance states.
    pub(super) fn leave_open(&mut self, reset: &Reset) {
        (self.acceptable, self.required_action) = (None, RequiredAction::Unknown);
        self.acceptance = acceptance(reset);
        (self.errno, self.errno_condition) = (None, None);
        (self.errno_note, self.later) = (Some(NOT_SHOWN), &[]);
    }

    /// Withdraws the cause, because what preceded the RST is unknown.
    pub(super) fn withdraw_cause(&mut self) {
        self.replace_reason(&causes::UNPLACED);
    }

    /// Returns the condition on the error, to follow its name; empty without a condition.
    #[must_use]
    pub fn condition(&self) -> String {
        self.errno_condition
            .map_or_else(String::new, |it| format!(", {}", it.meaning()))
    }

    /// Replaces the cause, because a third party probably sent the RST in the name of its source. The cause that holds if
    /// the source did send it becomes the claim.
    pub fn attribute_to_third_party(&mut self) {
        if self.claim.is_some() {
            return;
        }
        self.claim = Some(Claim {
            cause: self.cause,
            explanation: self.explanation,
        });
        self.replace_reason(&causes::THIRD_PARTY);
    }

    /// Replaces the cause by that of a NAT or another device on the path.
    pub(super) fn attribute_to_nat(&mut self, finding: NatFinding) {
        self.replace_reason(match finding {
            NatFinding::NotTranslated => &causes::NOT_TRANSLATED,
            NatFinding::Remapped => &causes::REMAPPED,
            NatFinding::OutsideWindow => &causes::OUTSIDE_WINDOW,
            NatFinding::OutsideTrackedWindow => &causes::DEVICE_TRACKS_WINDOW,
            NatFinding::NotPassedOn => &causes::SENT_AT_NAT,
            NatFinding::ServerDiffers => &causes::SERVER_DIFFERS,
            NatFinding::ClientPortDiffers => &causes::CLIENT_PORT_DIFFERS,
            NatFinding::ClientDiffers => &causes::CLIENT_DIFFERS,
            NatFinding::EndedBefore => &causes::ENDED_BEFORE,
        });
    }

    /// Replaces the observation that would confirm the cause by a better one, if the sender's operating system is known, or if
    /// the connection was idle for so long that a device on the path may have timed it out.
    pub(super) fn refine_confirmation(&mut self, is_system_known: bool, was_idle: bool) {
        let refined = |it| causes::refined(it, is_system_known, was_idle);
        self.to_confirm = self.to_confirm.map(refined);
    }

    fn replace_reason(&mut self, reason: &Reason) {
        self.cause = reason.cause;
        self.explanation = reason.explanation;
        self.to_confirm = reason.to_confirm;
    }
}

/// Time after which an unacknowledged FIN has probably not arrived, in nanoseconds: the other end acknowledges it at
/// once, and 500 ms is the longest delay that RFC 9293, 3.8.6.3, allows.
pub(super) const FIN_ACKNOWLEDGED_WITHIN_NS: i64 = 500_000_000;

/// Evidence on the arrival of a FIN that has not been acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FinEvidence {
    /// Time in nanoseconds since the FIN; `None` if it is unknown.
    pub age_ns: Option<i64>,
    /// Acknowledgment number of the receiver, relative to the initial number of the FIN's sender, if the receiver has sent
    /// it after [`FIN_ACKNOWLEDGED_WITHIN_NS`].
    pub late_ack: Option<u32>,
    /// True if the capture is known to lack segments of the connection.
    pub is_lossy: bool,
}

/// Returns the RST with the state of its receiver that the evidence supports: a FIN that the receiver has not
/// acknowledged may be lost, and a capture without any segment of the established connection lacks its data.
/// `acknowledges_unseen` is true if the RST acknowledges data that was not captured.
#[must_use]
pub(super) fn as_received(
    reset: Reset,
    past: &ConnectionHistory,
    evidence: FinEvidence,
    acknowledges_unseen: bool,
) -> Reset {
    let lacks_data = match reset.form {
        Some(Form::Active) => acknowledges_unseen,
        // The segment that it replies to.
        Some(Form::Passive) => reset.triggered_by.is_none(),
        _ => false,
    } || lacks_answer_to_syn_ack(&reset, past);
    // And the FIN of its sender, which has one number.
    let lacks_fin = reset.acceptance.ahead() == Some(1)
        && match reset.form {
            Some(Form::Passive) => reset.triggered_by.is_none(),
            Some(Form::Active) => acknowledges_unseen || evidence.is_lossy,
            _ => false,
        };
    let acceptance = match reset.acceptance {
        Acceptance::WrongSequence { seq, rcv_nxt }
            if reset.acceptance.ahead().is_some()
                && (lacks_fin || lacks_data && !past.holds_plain_segments()) =>
        {
            let captured = rcv_nxt;
            Acceptance::BeyondCapture { seq, captured }
        }
        other => other,
    };
    let reset = Reset {
        acceptance,
        ..reset
    };
    let is_late = || {
        let latest = past.of(reset.from).latest();
        let age = (evidence.age_ns).or_else(|| latest.map(|it| reset.at.since(it.at)));
        age.is_some_and(|age| age > FIN_ACKNOWLEDGED_WITHIN_NS)
    };
    // Only an end that has received the FIN accepts the number after it; SYN and FIN have a number each.
    let after_fin = reset.received_before.wrapping_add(2);
    let is_after_fin = reset.acceptance == (Acceptance::Exact { seq: after_fin });
    let late_ack = evidence
        .late_ack
        .filter(|ack| reset.fin == FinReceipt::Unacknowledged && *ack < after_fin);
    let is_lost = match reset.fin {
        _ if is_after_fin => late_ack.is_some(),
        FinReceipt::Repeated | FinReceipt::Missing => true,
        FinReceipt::Unacknowledged => is_late(),
        FinReceipt::NotSent | FinReceipt::Acknowledged | FinReceipt::Inferred => false,
    };
    let before_fin = match reset.receiver_state {
        State::CloseWait => State::Established,
        State::LastAck | State::Closing => State::FinWait1,
        State::TimeWait => State::FinWait2,
        other => other,
    };
    // Nobody acknowledges data of an end whose handshake is not complete.
    let has_sent_data =
        reset.form == Some(Form::Active) && acknowledges_unseen && reset.finds_request;
    Reset {
        receiver_state: if is_lost {
            before_fin
        } else if has_sent_data {
            State::Established
        } else {
            reset.receiver_state
        },
        finds_request: reset.finds_request && !has_sent_data,
        acceptance: match late_ack {
            Some(acknowledged) if is_after_fin => Acceptance::Unconfirmed {
                seq: after_fin,
                acknowledged,
                sent: after_fin,
            },
            _ => reset.acceptance,
        },
        ..reset
    }
}

/// Returns true if the handshake may have been completed, though the receiver is in SYN-RECEIVED as far as the capture
/// shows: its ACK may be missing. Without a sign of that an abort comes in place of the ACK, as that of a health check.
fn may_have_completed(reset: &Reset, past: &ConnectionHistory, gaps: &CaptureGaps) -> bool {
    let previous = past.of(reset.from).previous.as_deref();
    let was_aborted = previous.is_some_and(|it| Form::of(it) == Some(Form::Active));
    reset.finds_request
        && !past.holds_plain_segments()
        && (was_aborted || gaps.lacks_plain || lacks_answer_to_syn_ack(reset, past))
}

/// Returns true for an RST in reply to a SYN that has the window and the timestamps of a socket: a closed port has none
/// (`tcp_v4_send_reset()` of Linux), so the SYN-ACK may be missing.
fn is_from_a_socket(reset: &Reset, header: &Header) -> bool {
    reset.receiver_state == State::SynSent
        && reset.form == Some(Form::Active)
        && header.window > 0
        && header.timestamps.is_some()
}

/// Returns the condition on the error that an acceptable RST sets. `is_open` is true if the handshake may have been completed.
fn condition(
    reset: &Reset,
    header: &Header,
    past: &ConnectionHistory,
    is_open: bool,
) -> Option<ErrnoCondition> {
    // An earlier RST that was one number ahead came after the sender's FIN.
    let previous = past.of(reset.from).previous.as_deref();
    let may_lack_fin =
        reset.may_lack_fin || previous.is_some_and(|it| it.seq == header.seq.plus(1));
    let in_doubt = matches!(
        reset.fin,
        FinReceipt::Inferred | FinReceipt::Unacknowledged | FinReceipt::Repeated
    );
    match reset.receiver_state {
        State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => {
            Some(ErrnoCondition::SocketHeld)
        }
        State::CloseWait if in_doubt => Some(ErrnoCondition::FinReceived),
        State::Established if in_doubt => Some(ErrnoCondition::FinNotReceived),
        State::Established if reset.finds_older => Some(ErrnoCondition::NotTimeWait),
        State::Established if reset.may_find_closed => Some(ErrnoCondition::SocketHeld),
        State::Established if may_lack_fin => Some(ErrnoCondition::NoFinMissing),
        State::SynReceived if is_open => Some(ErrnoCondition::HandshakeCompleted),
        State::SynSent if is_from_a_socket(reset, header) => Some(ErrnoCondition::NoSynAckMissing),
        _ => None,
    }
}

/// Returns the reason for the required action, with the window where it decides.
fn acceptance(reset: &Reset) -> Cow<'static, str> {
    if reset.finds_older && reset.acceptance.is_acceptable() {
        // Its numbers have nothing to do with the initial numbers of the new connection.
        return "SEQ is the ACK of the receiver's own segment".into();
    }
    let clause = match reset.acceptance {
        Acceptance::WrongSequence { .. } if reset.form == Some(Form::PassiveAck) => {
            "SEQ is 0 on the wire, as in any reply to a segment without ACK, and not RCV.NXT"
                .to_owned()
        }
        Acceptance::WrongSequence { seq, rcv_nxt } => wrong_sequence(seq, rcv_nxt),
        other => other.to_string(),
    };
    if reset.acceptance.ahead().is_none() || reset.receiver_state == State::TimeWait {
        return clause.into();
    }
    match (reset.window, reset.triggers_challenge()) {
        (_, None) if reset.is_at_right_edge() => format!(
            "{clause}, but the right edge of the window: Linux challenges it, RFC 5961 has it dropped"
        ),
        (Some(window), Some(true)) if reset.is_at_right_edge() => format!(
            "{clause}, but the right edge of the window of {window}, which Linux counts as within"
        ),
        (Some(window), Some(true)) => format!("{clause}, but within the window of {window}"),
        (Some(window), _) => format!("{clause}, and outside the window of {window}"),
        (None, None) => format!(
            "{clause}, and whether it is within the window is unknown: the capture lacks the window scale"
        ),
        (None, _) => clause,
    }
    .into()
}

/// Returns why SEQ is not acceptable. Numbers that are further apart than any window have nothing to do with each other,
/// and one before the initial number has no relative form.
fn wrong_sequence(seq: u32, rcv_nxt: u32) -> String {
    const MAX_APART: u32 = 1 << 30;
    let behind = rcv_nxt.wrapping_sub(seq);
    if behind.min(behind.wrapping_neg()) > MAX_APART {
        "SEQ is not RCV.NXT, nor anywhere near it".to_owned()
    } else if seq > 1 << 31 && behind <= MAX_APART {
        format!("SEQ is {behind} before RCV.NXT")
    } else {
        Acceptance::WrongSequence { seq, rcv_nxt }.to_string()
    }
}

/// Time in nanoseconds after which a SYN-ACK without a reply is sent again (RFC 6298, 2.1).
const SYN_ACK_REPEATED_AFTER_NS: i64 = 1_000_000_000;

/// Returns true if the receiver's SYN-ACK must have been answered by now, or it would have been sent again: the answer is
/// not in the capture.
fn lacks_answer_to_syn_ack(reset: &Reset, past: &ConnectionHistory) -> bool {
    let latest = past.of(reset.from.peer()).latest();
    !past.holds_plain_segments()
        && latest.is_some_and(|sent| reset.at.since(sent.at) > SYN_ACK_REPEATED_AFTER_NS)
}

/// Reason why the error is unknown.
const NOT_SHOWN: &str = "unknown: the capture does not show whether the receiver had to accept it";

fn errno_note(reset: &Reset, required_action: RequiredAction) -> &'static str {
    match (required_action, reset.receiver_state) {
        (RequiredAction::NotDelivered, _) => {
            "it was captured at its sender, but not at its receiver"
        }
        (RequiredAction::Unknown, _) => NOT_SHOWN,
        (RequiredAction::Drop | RequiredAction::Challenge, _) => "its receiver does not accept it",
        (RequiredAction::Accept, _) if reset.finds_subflow => {
            "the RST ends one subflow of a Multipath TCP connection, which sets no error on the connection"
        }
        (RequiredAction::Accept, State::TimeWait) => {
            "a connection in TIME-WAIT has no socket that could report it"
        }
        (RequiredAction::Accept, _) => {
            "the connection is still in the SYN or accept queue, and the listener drops it"
        }
    }
}
