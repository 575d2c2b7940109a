//! RST of a connection: its form, and whether its receiver was required to accept it.

use std::fmt;

use serde::Serialize;

use super::State;
use crate::packet::{Flags, Header, SeqNum};
use crate::time::Timestamp;
use crate::transcript::{Errno, Role};

/// Form of an RST, which shows what made the Linux kernel send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Sent by a socket that aborted (`tcp_send_active_reset()`): RST+ACK at SND.NXT with a real window, and
    /// timestamps if they were negotiated.
    Active,
    /// Reply to a segment with ACK (`tcp_v4_send_reset()`): RST alone, SEQ = SEG.ACK, ACK field and window 0.
    Passive,
    /// Reply to a segment without ACK: RST+ACK, SEQ 0, the segment acknowledged, window 0.
    PassiveAck,
}

impl Form {
    /// Returns the form of this RST; `None` if the Linux kernel sends none like it.
    #[must_use]
    pub fn of(reset: &Header) -> Option<Self> {
        let bare = reset.window == 0 && reset.timestamps.is_none();
        if reset.flags.has(Flags::ACK) {
            let answers = bare && reset.seq == SeqNum(0);
            Some(if answers {
                Self::PassiveAck
            } else {
                Self::Active
            })
        } else {
            (bare && reset.ack == SeqNum(0)).then_some(Self::Passive)
        }
    }

    /// Returns true if the RST is a reply to a segment.
    #[must_use]
    pub(crate) fn is_answer(self) -> bool {
        self != Self::Active
    }

    /// Returns the name: `active`, `passive` or `passive-ack`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::PassiveAck => "passive-ack",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Acceptability of an RST to its receiver, with the reason. Sequence numbers are relative to the sender's
/// initial one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Acceptable: SEQ is exactly the receiver's RCV.NXT (RFC 5961, 3.2).
    Exact {
        /// SEQ of the RST, equal to RCV.NXT.
        seq: u32,
    },
    /// Acceptable in SYN-SENT: the RST acknowledges the SYN (RFC 9293, 3.10.7.3); its SEQ does not matter.
    AcknowledgesSyn,
    /// Acceptable: SEQ is the right edge of the highest block that the receiver has selectively acknowledged
    /// (`tcp_validate_incoming()`, Linux 4.8).
    SackEdge {
        /// SEQ of the RST.
        seq: u32,
    },
    /// Acceptable: the RST replies to a segment of the receiver with the ACK of that segment as its SEQ, and the
    /// receiver has acknowledged nothing more since (RFC 9293, 3.10.7.1). What was sent to it after that may be lost.
    Acknowledged {
        /// SEQ of the RST.
        seq: u32,
    },
    /// Acceptable: SEQ is RCV.NXT − 1 after a FIN (`tcp_reset_check()`, Linux 4.11).
    BeforeFin {
        /// SEQ of the RST.
        seq: u32,
    },
    /// Not acceptable: the receiver has no connection to reset.
    NoConnection,
    /// Not acceptable in SYN-SENT: the RST does not acknowledge the SYN.
    SynNotAcknowledged,
    /// Not acceptable in TIME-WAIT, which no RST ends there (RFC 1337, 3, fix F1; `net.ipv4.tcp_rfc1337`).
    KeepsTimeWait,
    /// Not acceptable: SEQ differs from RCV.NXT.
    WrongSequence {
        /// SEQ of the RST.
        seq: u32,
        /// RCV.NXT of the receiver.
        rcv_nxt: u32,
    },
    /// Not acceptable: the RST never reached its receiver.
    NotArrived,
    /// Not acceptable: the receiver signs its segments, and the RST has no signature (RFC 2385, 2; RFC 5925, 7.2).
    NotSigned,
    /// Undetermined: the RST is signed, and only the ends know the key.
    SignatureUnchecked,
    /// Undetermined: the RST was captured where it left its sender, and the capture does not show whether it arrived.
    ArrivalUnknown,
    /// Undetermined: the file holds captures of several points whose clocks differ, and nothing shows which of them is
    /// nearer to the receiver, or which of them has the RST.
    PointUnknown,
    /// Undetermined: the frame was addressed to another host of the link than the one that captured it.
    OtherHost,
    /// Undetermined: the receiver still sent so many milliseconds later, when it would have had the RST.
    ReceiverWentOn {
        /// Milliseconds from the RST to that segment.
        after_ms: u32,
    },
    /// Undetermined: exact if the receiver had received just the data before SEQ, which the capture does not show.
    Unconfirmed {
        /// SEQ of the RST.
        seq: u32,
        /// Number up to which the receiver has acknowledged.
        acknowledged: u32,
        /// Number up to which data was sent to the receiver.
        sent: u32,
    },
    /// Undetermined: SEQ is ahead of the data in the capture, which lacks some of what the receiver has received.
    BeyondCapture {
        /// SEQ of the RST.
        seq: u32,
        /// Number up to which data was captured.
        captured: u32,
    },
    /// Undetermined: the capture lacks the segments from which RCV.NXT is computed.
    Unknown,
}

impl Acceptance {
    /// Returns true if the receiver is required to accept the RST.
    #[must_use]
    pub fn is_acceptable(self) -> bool {
        matches!(
            self,
            Self::Exact { .. }
                | Self::AcknowledgesSyn
                | Self::Acknowledged { .. }
                | Self::SackEdge { .. }
                | Self::BeforeFin { .. }
        )
    }

    /// Returns true if the capture does not show whether the receiver is required to accept the RST.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        matches!(
            self,
            Self::Unknown
                | Self::ArrivalUnknown
                | Self::PointUnknown
                | Self::OtherHost
                | Self::SignatureUnchecked
                | Self::ReceiverWentOn { .. }
                | Self::Unconfirmed { .. }
                | Self::BeyondCapture { .. }
        )
    }

    /// Returns the distance of SEQ from RCV.NXT, if SEQ is ahead of it and therefore may be within the window.
    #[must_use]
    pub fn ahead(self) -> Option<u32> {
        let Self::WrongSequence { seq, rcv_nxt } = self else {
            return None;
        };
        let ahead = seq.wrapping_sub(rcv_nxt);
        (1..1 << 31).contains(&ahead).then_some(ahead)
    }
}

impl fmt::Display for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { seq } => write!(f, "SEQ {seq} = RCV.NXT"),
            Self::AcknowledgesSyn => f.write_str("it acknowledges the SYN"),
            Self::SackEdge { seq } => write!(f, "SEQ {seq} = right edge of the highest SACK block"),
            Self::BeforeFin { seq } => write!(f, "SEQ {seq} = RCV.NXT - 1 after a FIN"),
            Self::NoConnection => f.write_str("there is no connection to reset"),
            Self::KeepsTimeWait => f.write_str("no RST ends TIME-WAIT here (RFC 1337)"),
            Self::SynNotAcknowledged => f.write_str("it does not acknowledge the SYN"),
            Self::WrongSequence { seq, rcv_nxt } => write!(f, "SEQ {seq} is not RCV.NXT {rcv_nxt}"),
            Self::Acknowledged { seq } => write!(f, "SEQ {seq} = the receiver's own ACK"),
            Self::NotSigned => {
                f.write_str("the receiver signs its segments, and the RST has no signature")
            }
            Self::SignatureUnchecked => {
                f.write_str("it is signed, and the signature cannot be checked without the key")
            }
            Self::Unconfirmed {
                seq,
                acknowledged,
                sent,
            } => write!(
                f,
                "SEQ {seq}: {sent} was sent to the receiver, which had acknowledged {acknowledged}"
            ),
            Self::BeyondCapture { seq, captured } => write!(
                f,
                "SEQ {seq} is ahead of the last number captured, {captured}, and data is missing from the capture"
            ),
            Self::NotArrived => f.write_str("it did not reach its receiver"),
            Self::ArrivalUnknown => f.write_str(
                "it was captured where it left its sender, and the capture where it would arrive may have stopped or lack frames",
            ),
            Self::OtherHost => f.write_str(
                "its frame is addressed to another host of the link, unlike others of its sender, and nothing shows where it went",
            ),
            Self::PointUnknown => f.write_str(
                "the file holds captures of several points whose clocks differ, and nothing shows how it reached its receiver",
            ),
            Self::ReceiverWentOn { after_ms } => write!(
                f,
                "its receiver still sends {}.{} s later: the RST did not reach it, or was not accepted",
                after_ms / 1_000,
                after_ms % 1_000 / 100
            ),
            Self::Unknown => f.write_str("RCV.NXT cannot be computed from this capture"),
        }
    }
}

/// Largest window (RFC 7323, 2.3).
const LARGEST_WINDOW: u32 = 1 << 30;

/// Arrival of an end's FIN at the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinReceipt {
    /// The end has sent no FIN.
    #[default]
    NotSent,
    /// The other end has acknowledged the FIN.
    Acknowledged,
    /// The other end has acknowledged one number after all that was captured, and the end has sent nothing since: the
    /// FIN is missing from the capture.
    Inferred,
    /// The other end has not acknowledged the FIN, and may have received it.
    Unacknowledged,
    /// The other end has not acknowledged the FIN, although it was sent again.
    Repeated,
    /// Duplicate acknowledgments show that the other end lacks the FIN, or data before it, and nothing was sent again: it
    /// processes a FIN only after all data before it (RFC 9293, 3.10.7.4, eighth).
    Missing,
}

/// RST of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Number of its frame in the capture.
    pub frame: u32,
    /// Time at which the frame was stamped.
    pub at: Timestamp,
    /// End whose address is the source address of the RST.
    pub from: Role,
    /// Form of the RST; `None` if the Linux kernel sends none like it.
    pub form: Option<Form>,
    /// State of the receiver when the RST arrives.
    pub receiver_state: State,
    /// Acceptability of the RST to its receiver.
    pub acceptance: Acceptance,
    /// Size of the window that the receiver has advertised last, from RCV.NXT on; `None` if it is unknown.
    pub window: Option<u32>,
    /// Frame number of the receiver's segment that triggered the RST, if the RST is a reply and that frame was
    /// captured: the latest one whose ACK is the SEQ of the RST, or that the RST acknowledges (RFC 9293, 3.10.7.1).
    pub triggered_by: Option<u32>,
    /// Frame in which the RST left the end that is its stated source; `None` if it never left that end, and so was
    /// injected between the ends.
    pub left: Option<u32>,
    /// True if the receiver is a connection that has not been accepted and has no socket of its own: a request, which
    /// the listener drops.
    pub finds_request: bool,
    /// True if the receiver is known to run Linux.
    pub on_linux: bool,
    /// True if the receiver is the end of an older connection between the same ports, which the sender does not have.
    pub finds_older: bool,
    /// True if the connection is a subflow of Multipath TCP, and the RST resets no more than that.
    pub finds_subflow: bool,
    /// True if the sender has sent a SYN-ACK with window 0 and nothing with ACK since.
    pub opened_with_window_0: bool,
    /// Arrival of the sender's FIN at the receiver.
    pub fin: FinReceipt,
    /// True if the capture may lack a FIN that its sender sent before: it lacks what that end sent last.
    pub may_lack_fin: bool,
    /// True if the capture may lack a FIN of its receiver: its sender has acknowledged more than was captured.
    pub may_find_closed: bool,
    /// Number of bytes that the receiver had received before, with none missing before them.
    pub received_before: u32,
    /// Frame number of the challenge ACK with which the receiver replies to an RST that is not acceptable (RFC 5961,
    /// 3.2). If the sender of the RST has no connection, it replies to the challenge with an exact RST. [`Flow`](super::Flow)
    /// leaves this field `None`; the judge sets it.
    pub challenged_by: Option<u32>,
}

impl Reset {
    /// Returns the error that the RST sets on this end's socket; `None` if the RST does not go to that end, is not
    /// acceptable or finds no socket there.
    #[must_use]
    pub fn puts_error_on(&self, role: Role) -> Option<Errno> {
        let is_reported = !self.finds_request && !self.finds_subflow;
        (self.from == role.peer() && self.acceptance.is_acceptable() && is_reported)
            .then(|| self.receiver_state.errno_of_reset())
            .flatten()
    }

    /// Returns whether the receiver may reply with a challenge ACK (RFC 5961, 3.2): SEQ is not exact, but within the
    /// window. Beyond it the RST is dropped without a reply, and so is every RST in TIME-WAIT that is not exact.
    /// `None` if the size of the window is unknown, and at its right edge: Linux counts that number as within
    /// (`tcp_sequence()`), RFC 5961 does not.
    #[must_use]
    pub fn triggers_challenge(&self) -> Option<bool> {
        let Some(ahead) = self.acceptance.ahead() else {
            return Some(false);
        };
        if self.receiver_state == State::TimeWait || ahead > LARGEST_WINDOW {
            return Some(false);
        }
        let window = self.window?;
        if ahead == window {
            return self.on_linux.then_some(true);
        }
        Some(ahead < window)
    }

    /// Returns true if SEQ is the right edge of the window.
    #[must_use]
    pub fn is_at_right_edge(&self) -> bool {
        self.acceptance.ahead().is_some() && self.acceptance.ahead() == self.window
    }

    /// Returns true if the RST arrived at its destination.
    #[must_use]
    pub(crate) fn has_arrived(&self) -> bool {
        self.acceptance != Acceptance::NotArrived
    }
}
