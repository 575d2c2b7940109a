//! Findings that refute a scenario: comparable values with stable ids, texts and typed fields.

use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::flow::{Acceptance, Form, State};
use crate::scenario::{Disposition, SOME};
use crate::transcript::{Errno, Op, Outcome, Role};
use crate::verdict::{Attribution, KernelMismatch};

/// Difference between the evidence and the scenario. Its text is one line, with the expected and the actual value side
/// by side.
///
/// Calls are indices into the transcript; frames are numbers in the capture; an `index` is that of an expected item in
/// the scenario, from 0. Serialised as an object with the fields of the variant.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // the names describe the fields
pub enum Finding {
    /// Expected RST that was not captured.
    #[error("expected RST {} was not captured", .index + 1)]
    NoReset { index: usize },
    /// RST that was captured but that its receiver must not accept.
    #[error("frame {frame}: an RST that its receiver must ignore: {acceptance}")]
    ResetUnacceptable {
        frame: u32,
        #[serde(serialize_with = "as_text")]
        acceptance: Acceptance,
    },
    /// RST that the scenario does not expect, or one more than it expects.
    #[error("frame {frame}: an RST that must not be there")]
    UnexpectedReset { frame: u32 },
    /// RST that carries the other end's address.
    #[error("frame {frame}: expected an RST from the {expected}, got one from the {}", .expected.peer())]
    ResetFromWrongEnd { frame: u32, expected: Role },
    /// RST in a form other than the expected one.
    #[error("frame {frame}: expected form {}, got {}", form_name(*.expected), form_name(*.seen))]
    WrongForm {
        frame: u32,
        expected: Option<Form>,
        #[serde(rename = "actual")]
        seen: Option<Form>,
    },
    /// RST in the form of an answer that no captured segment triggered.
    #[error("frame {frame}: the RST has the form of a reply, but no captured segment triggers it")]
    UntriggeredAnswer { frame: u32 },
    /// RST that found its receiver in a state other than the expected one.
    #[error("frame {frame}: expected the receiver in {expected}, it was in {seen}")]
    WrongReceiverState {
        frame: u32,
        expected: State,
        #[serde(rename = "actual")]
        seen: State,
    },
    /// RST that arrived after the failed call had returned.
    #[error("frame {frame}: the RST came after the failed call {call} had returned")]
    ResetTooLate { frame: u32, call: usize },
    /// Error other than the one that the receiver's state maps to.
    #[error("call {call}: the RST in frame {frame} arrived in {state}, which gives {expected}")]
    WrongErrno {
        call: usize,
        frame: u32,
        state: State,
        expected: Errno,
    },
    /// Error of one RST that two calls reported.
    #[error("call {call}: the error of the RST in frame {frame} was reported a second time")]
    ReportedTwice { call: usize, frame: u32 },
    /// Failed call that nothing in the evidence explains.
    #[error("call {call} failed, and no captured RST explains it")]
    UnexplainedError { call: usize },
    /// Read that returned 0, the end of file, although nothing in the evidence ended the data.
    #[error(
        "call {call} returned end of file, and neither a captured FIN nor a captured RST explains it"
    )]
    UnexplainedEnd { call: usize },
    /// Call that failed for a reason other than the expected one.
    #[error("call {call} failed for another reason: {seen}")]
    OtherCause {
        call: usize,
        #[serde(rename = "actual", serialize_with = "as_id")]
        seen: Attribution,
    },
    /// Call with an outcome other than the expected one; `expected` is `None` if several are.
    #[error("call {call}, {op}: expected {}, got {seen}", outcome_text(*.expected))]
    UnexpectedOutcome {
        call: usize,
        #[serde(rename = "operation", serialize_with = "as_text")]
        op: Op,
        #[serde(skip_serializing_if = "Option::is_none")]
        expected: Option<Outcome>,
        #[serde(rename = "actual")]
        seen: Outcome,
    },
    /// Segment of a connection that must not send any.
    #[error("frame {frame}: a segment of a connection that must not have any")]
    UnexpectedSegment { frame: u32 },
    /// Number of this end's bytes on the wire that differs from the number that its writes returned.
    #[error(
        "the {role}'s writes returned {written} bytes in total, but {sent} of its bytes were captured"
    )]
    PayloadDiffers { role: Role, written: u64, sent: u32 },
    /// Bytes that this end's reads returned beyond those in the other end's segments.
    #[error("the {role}'s reads returned {read} bytes in total, but {sent} of the {}'s bytes were captured", .role.peer())]
    NotSent { role: Role, read: u64, sent: u32 },
    /// Disagreement between the kernel and the other evidence.
    #[error(transparent)]
    Kernel(KernelMismatch),
    /// Read that returned the error of an RST before this end had read all data that arrived earlier.
    #[error(
        "the {role}'s reads returned {read} of {sent} bytes before they failed because of the RST"
    )]
    NotRead { role: Role, read: u64, sent: u32 },
    /// Call of the script that the transcript lacks.
    #[error("the {role}'s {op} was not made")]
    CallNotMade {
        role: Role,
        #[serde(rename = "operation", serialize_with = "as_text")]
        op: Op,
    },
    /// Call of the transcript that the script lacks.
    #[error("call {call}: the {role}'s {op} is not the next call of the script")]
    OtherCall {
        call: usize,
        role: Role,
        #[serde(rename = "operation", serialize_with = "as_text")]
        op: Op,
    },
    /// Captured ICMP error about this connection that the scenario does not expect.
    #[error("frame {frame}: an ICMP error about this connection, which may explain the error")]
    IcmpError { frame: u32 },
    /// Expected ICMP error that was not captured.
    #[error("expected ICMP error {} was not captured", .index + 1)]
    NoIcmp { index: usize },
    /// RST without effect, of the expected kind, that was not captured.
    #[error("expected RST {} ({}", .index + 1, disposition_text(*.disposition))]
    NoSuchReset {
        index: usize,
        disposition: Disposition,
    },
}

/// Serialises a field as its text.
fn as_text<S: Serializer>(field: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(field)
}

/// Serialises an attribution as its id. Its call or frame is in `calls`.
fn as_id<S: Serializer>(field: &Attribution, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(field.id())
}

fn form_name(form: Option<Form>) -> &'static str {
    form.map_or("one that Linux does not send", Form::name)
}

fn outcome_text(expected: Option<Outcome>) -> String {
    expected.map_or_else(|| SOME.to_owned(), |it| it.to_string())
}

/// Returns the end of the text for an RST with this disposition that is missing, from its parenthesis on.
fn disposition_text(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Accepted => "accepted by its receiver) was not captured",
        Disposition::Ignored => "ignored by its receiver) was not captured",
        Disposition::Challenged => "answered with a challenge ACK) was not captured",
        Disposition::Lost => "lost on the way) was not captured",
        Disposition::DroppedAtSender => {
            "sent, but dropped before it could be captured) is missing from the kernel trace"
        }
    }
}

impl Finding {
    /// Returns the stable id, in kebab case.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::NoReset { .. } => "no-reset",
            Self::ResetUnacceptable { .. } => "reset-unacceptable",
            Self::UnexpectedReset { .. } => "unexpected-reset",
            Self::UnexpectedSegment { .. } => "unexpected-segment",
            Self::ResetFromWrongEnd { .. } => "reset-from-wrong-end",
            Self::WrongForm { .. } => "wrong-form",
            Self::UntriggeredAnswer { .. } => "drawn-by-nothing",
            Self::WrongReceiverState { .. } => "wrong-receiver-state",
            Self::ResetTooLate { .. } => "reset-too-late",
            Self::WrongErrno { .. } => "wrong-errno",
            Self::ReportedTwice { .. } => "error-reported-twice",
            Self::UnexplainedError { .. } => "unexplained-error",
            Self::UnexplainedEnd { .. } => "unexplained-end-of-file",
            Self::OtherCause { .. } => "other-cause",
            Self::UnexpectedOutcome { .. } => "unexpected-outcome",
            Self::PayloadDiffers { .. } => "payload-differs",
            Self::NotSent { .. } => "payload-not-sent",
            Self::NotRead { .. } => "payload-not-read",
            Self::Kernel(mismatch) => mismatch.id(),
            Self::CallNotMade { .. } => "call-not-made",
            Self::OtherCall { .. } => "other-call",
            Self::IcmpError { .. } => "icmp-error",
            Self::NoIcmp { .. } => "no-icmp-error",
            Self::NoSuchReset { .. } => "no-such-reset",
        }
    }

    /// Returns the number of the frame that the finding is about, if any.
    #[must_use]
    pub fn frame(&self) -> Option<u32> {
        match *self {
            Self::ResetUnacceptable { frame, .. }
            | Self::UnexpectedReset { frame }
            | Self::UnexpectedSegment { frame }
            | Self::ResetFromWrongEnd { frame, .. }
            | Self::WrongForm { frame, .. }
            | Self::UntriggeredAnswer { frame }
            | Self::WrongReceiverState { frame, .. }
            | Self::ResetTooLate { frame, .. }
            | Self::WrongErrno { frame, .. }
            | Self::ReportedTwice { frame, .. }
            | Self::IcmpError { frame } => Some(frame),
            Self::Kernel(ref mismatch) => mismatch.frame(),
            Self::NoReset { .. }
            | Self::NoIcmp { .. }
            | Self::NoSuchReset { .. }
            | Self::UnexplainedError { .. }
            | Self::UnexplainedEnd { .. }
            | Self::OtherCause { .. }
            | Self::UnexpectedOutcome { .. }
            | Self::PayloadDiffers { .. }
            | Self::NotSent { .. }
            | Self::NotRead { .. }
            | Self::CallNotMade { .. }
            | Self::OtherCall { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_about_an_rst_have_their_id_and_message() {
        let (call, frame) = (5, 6);
        for (finding, id, about, words) in [
            (
                Finding::NoReset { index: 0 },
                "no-reset",
                None,
                "expected RST 1 was not captured",
            ),
            (
                Finding::ResetUnacceptable {
                    frame,
                    acceptance: Acceptance::WrongSequence { seq: 2, rcv_nxt: 1 },
                },
                "reset-unacceptable",
                Some(6),
                "frame 6: an RST that its receiver must ignore: SEQ 2 is not RCV.NXT 1",
            ),
            (
                Finding::UnexpectedSegment { frame },
                "unexpected-segment",
                Some(6),
                "frame 6: a segment of a connection that must not have any",
            ),
            (
                Finding::UnexpectedReset { frame },
                "unexpected-reset",
                Some(6),
                "frame 6: an RST that must not be there",
            ),
            (
                Finding::ResetFromWrongEnd {
                    frame,
                    expected: Role::Server,
                },
                "reset-from-wrong-end",
                Some(6),
                "frame 6: expected an RST from the server, got one from the client",
            ),
            (
                Finding::WrongForm {
                    frame,
                    expected: Some(Form::Active),
                    seen: None,
                },
                "wrong-form",
                Some(6),
                "frame 6: expected form active, got one that Linux does not send",
            ),
            (
                Finding::WrongReceiverState {
                    frame,
                    expected: State::CloseWait,
                    seen: State::Established,
                },
                "wrong-receiver-state",
                Some(6),
                "frame 6: expected the receiver in CLOSE-WAIT, it was in ESTABLISHED",
            ),
            (
                Finding::ResetTooLate { frame, call },
                "reset-too-late",
                Some(6),
                "frame 6: the RST came after the failed call 5 had returned",
            ),
            (
                Finding::WrongErrno {
                    call,
                    frame,
                    state: State::CloseWait,
                    expected: Errno::EPIPE,
                },
                "wrong-errno",
                Some(6),
                "call 5: the RST in frame 6 arrived in CLOSE-WAIT, which gives EPIPE",
            ),
            (
                Finding::ReportedTwice { call, frame },
                "error-reported-twice",
                Some(6),
                "call 5: the error of the RST in frame 6 was reported a second time",
            ),
            (
                Finding::UntriggeredAnswer { frame },
                "drawn-by-nothing",
                Some(6),
                "frame 6: the RST has the form of a reply, but no captured segment triggers it",
            ),
            (
                Finding::IcmpError { frame },
                "icmp-error",
                Some(6),
                "frame 6: an ICMP error about this connection, which may explain the error",
            ),
        ] {
            assert_eq!((finding.id(), finding.frame()), (id, about));
            assert_eq!(finding.to_string(), words);
        }
    }

    #[test]
    fn findings_about_a_call_have_their_id_and_message() {
        let (call, op, role) = (5, Op::Write(1), Role::Client);
        for (finding, id, words) in [
            (
                Finding::UnexplainedError { call },
                "unexplained-error",
                "call 5 failed, and no captured RST explains it",
            ),
            (
                Finding::UnexplainedEnd { call },
                "unexplained-end-of-file",
                "call 5 returned end of file, and neither a captured FIN nor a captured RST explains it",
            ),
            (
                Finding::OtherCause {
                    call,
                    seen: Attribution::OwnShutdown(2),
                },
                "other-cause",
                "call 5 failed for another reason: call 2 had shut down the sending side",
            ),
            (
                Finding::UnexpectedOutcome {
                    call,
                    op,
                    expected: Some(Outcome::Failed(Errno::EPIPE)),
                    seen: Outcome::Returned(1),
                },
                "unexpected-outcome",
                "call 5, write(1): expected EPIPE, got 1",
            ),
            (
                Finding::PayloadDiffers {
                    role,
                    written: 1,
                    sent: 2,
                },
                "payload-differs",
                "the client's writes returned 1 bytes in total, but 2 of its bytes were captured",
            ),
            (
                Finding::NotSent {
                    role,
                    read: 2,
                    sent: 1,
                },
                "payload-not-sent",
                "the client's reads returned 2 bytes in total, but 1 of the server's bytes were captured",
            ),
            (
                Finding::NotRead {
                    role,
                    read: 1,
                    sent: 2,
                },
                "payload-not-read",
                "the client's reads returned 1 of 2 bytes before they failed because of the RST",
            ),
            (
                Finding::CallNotMade { role, op },
                "call-not-made",
                "the client's write(1) was not made",
            ),
            (
                Finding::OtherCall { call, role, op },
                "other-call",
                "call 5: the client's write(1) is not the next call of the script",
            ),
        ] {
            assert_eq!((finding.id(), finding.frame()), (id, None));
            assert_eq!(finding.to_string(), words);
        }
    }

    #[test]
    fn findings_about_an_expected_packet_have_their_id_and_message() {
        let index = 1;
        let missing = Finding::NoIcmp { index };
        assert_eq!((missing.id(), missing.frame()), ("no-icmp-error", None));
        assert_eq!(
            missing.to_string(),
            "expected ICMP error 2 was not captured"
        );
        for (disposition, words) in [
            (
                Disposition::Ignored,
                "expected RST 2 (ignored by its receiver) was not captured",
            ),
            (
                Disposition::Challenged,
                "expected RST 2 (answered with a challenge ACK) was not captured",
            ),
            (
                Disposition::Lost,
                "expected RST 2 (lost on the way) was not captured",
            ),
            (
                Disposition::DroppedAtSender,
                "expected RST 2 (sent, but dropped before it could be captured) is missing from the kernel trace",
            ),
        ] {
            let missing = Finding::NoSuchReset { index, disposition };
            assert_eq!((missing.id(), missing.frame()), ("no-such-reset", None));
            assert_eq!(missing.to_string(), words);
        }
    }

    #[test]
    fn every_attribution_has_its_message() {
        let mapped = Errno::ECONNRESET;
        for (attribution, words) in [
            (Attribution::Reset(0), "it was the first call after an RST"),
            (
                Attribution::AfterReset(0),
                "an RST had closed the connection",
            ),
            (
                Attribution::OwnShutdown(2),
                "call 2 had shut down the sending side",
            ),
            (
                Attribution::OwnDisconnect(2),
                "call 2 had disconnected the socket",
            ),
            (
                Attribution::OwnReset(0),
                "its own socket had replied with an RST",
            ),
            (Attribution::NotConnected, "the socket was not connected"),
            (
                Attribution::NotListening(2),
                "call 2 had shut down the listener",
            ),
            (
                Attribution::WouldBlock(2),
                "call 2 had made the socket non-blocking",
            ),
            (
                Attribution::InUse(2),
                "call 2 was waiting on the same socket",
            ),
            (
                Attribution::TimedOut(2),
                "the timeout set by call 2 had expired",
            ),
            (
                Attribution::WrongErrno { reset: 0, mapped },
                "an RST that gives ECONNRESET",
            ),
            (
                Attribution::ReportedTwice(0),
                "an RST whose error had already been reported",
            ),
            (Attribution::Unexplained, "unknown"),
        ] {
            assert_eq!(attribution.to_string(), words);
        }
    }
}
