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
    pub fn is_answer(self) -> bool {
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

/// Acceptability of an RST to its receiver, with the ground for it. Sequence numbers are relative to the sender's
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
                | Self::SackEdge { .. }
                | Self::BeforeFin { .. }
        )
    }

    /// Returns true if the receiver may have to send a challenge ACK (RFC 5961, 3.2): SEQ is not exact, and ahead of
    /// RCV.NXT by less than the largest window (RFC 7323, 2.3). An RST outside of that window is dropped without a
    /// reply.
    #[must_use]
    pub fn triggers_challenge(self) -> bool {
        const LARGEST_WINDOW: u32 = 1 << 30;
        matches!(self, Self::WrongSequence { seq, rcv_nxt }
            if seq.wrapping_sub(rcv_nxt) < LARGEST_WINDOW)
    }
}

impl fmt::Display for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { seq } => write!(f, "SEQ {seq} = RCV.NXT"),
            Self::AcknowledgesSyn => f.write_str("it acknowledges the SYN"),
            Self::SackEdge { seq } => write!(f, "SEQ {seq} = right edge of the highest SACK block"),
            Self::BeforeFin { seq } => write!(f, "SEQ {seq} = RCV.NXT - 1 after a FIN"),
            Self::NoConnection => f.write_str("its receiver has no connection left to reset"),
            Self::KeepsTimeWait => f.write_str("no RST ends TIME-WAIT here (RFC 1337)"),
            Self::SynNotAcknowledged => f.write_str("it does not acknowledge the SYN"),
            Self::WrongSequence { seq, rcv_nxt } => write!(f, "SEQ {seq} is not RCV.NXT {rcv_nxt}"),
            Self::NotArrived => f.write_str("it did not reach its receiver"),
            Self::Unknown => f.write_str("RCV.NXT cannot be computed from this capture"),
        }
    }
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
    /// Frame number of the receiver's segment that triggered the RST, if the RST is a reply and that frame was
    /// captured: the latest one whose ACK is the SEQ of the RST, or that the RST acknowledges (RFC 9293, 3.10.7.1).
    pub triggered_by: Option<u32>,
    /// Frame in which the RST left the end that is its stated source; `None` if it never left that end, and so was
    /// injected between the ends.
    pub left: Option<u32>,
    /// True if the receiver is a connection that has not been accepted and has no socket of its own: a request, which
    /// the listener drops.
    pub finds_request: bool,
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
        (self.from == role.peer() && self.acceptance.is_acceptable() && !self.finds_request)
            .then(|| self.receiver_state.errno_of_reset())
            .flatten()
    }

    /// Returns true if the RST arrived at its destination.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.acceptance != Acceptance::NotArrived
    }
}
