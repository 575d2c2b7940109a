//! Acceptability of an RST to an end, in the state that the end is in.

use super::advertised::{HAS_ACK, MIN_DUPLICATES, SIGNED};
use super::{Endpoint, KEEPS_TIME_WAIT};
use crate::flow::{Acceptance, State};
use crate::packet::{Flags, Header, SeqNum};

/// Unacknowledged data beyond this size is no data in flight: no window is larger (RFC 7323, 2.3).
const MAX_UNACKNOWLEDGED: u32 = 1 << 30;

/// Knowledge about what an end has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) enum Receipt {
    /// Every segment was captured where it arrived.
    Captured,
    /// Segments may have been lost after they were captured, or missed by the capture.
    Inferred {
        /// True if the RST replies to a captured segment of this end.
        is_answer: bool,
    },
}

impl Endpoint {
    /// Returns the acceptability of this RST from `sender` to this end in its current state. `evidence` tells how this
    /// end's RCV.NXT is known.
    pub(in crate::flow) fn judge_reset(
        &self,
        sender: &Self,
        reset: &Header,
        evidence: Receipt,
    ) -> Acceptance {
        let signed = self.has(SIGNED) && !matches!(self.state, State::Listen | State::Closed);
        if signed && !reset.options.is_signed() {
            return Acceptance::NotSigned;
        }
        match self.state {
            State::Listen | State::Closed => return Acceptance::NoConnection,
            State::SynSent => {
                let acknowledged = self.is_syn_acknowledged_by(reset.ack);
                return if reset.flags.has(Flags::ACK) && acknowledged {
                    Acceptance::AcknowledgesSyn
                } else {
                    Acceptance::SynNotAcknowledged
                };
            }
            State::TimeWait if self.is(KEEPS_TIME_WAIT) => return Acceptance::KeepsTimeWait,
            _ => {}
        }
        let (Some(rcv_nxt), Some(iss)) = (self.rcv_nxt(), sender.iss()) else {
            return Acceptance::Unknown;
        };
        if signed {
            return Acceptance::SignatureUnchecked;
        }
        let seq = reset.seq.relative_to(iss);
        if let Receipt::Inferred { is_answer } = evidence
            && let Some(acceptance) = self.judge_inferred(sender, reset, rcv_nxt, iss, is_answer)
        {
            return acceptance;
        }
        let fin_received = matches!(
            self.state,
            State::CloseWait | State::LastAck | State::Closing
        );
        if reset.seq == rcv_nxt {
            Acceptance::Exact { seq }
        } else if fin_received && reset.seq.plus(1) == rcv_nxt {
            Acceptance::BeforeFin { seq }
        } else if self.sack_edge() == Some(reset.seq) && reset.seq.is_after(rcv_nxt) {
            Acceptance::SackEdge { seq }
        } else {
            let rcv_nxt = rcv_nxt.relative_to(iss);
            Acceptance::WrongSequence { seq, rcv_nxt }
        }
    }

    /// Judges an RST where a capture shows what was sent to this end, but not whether it has arrived: this end has
    /// received what it has acknowledged, and may have received what was sent after that. Returns `None` if both are
    /// the same.
    fn judge_inferred(
        &self,
        sender: &Self,
        reset: &Header,
        rcv_nxt: SeqNum,
        iss: SeqNum,
        is_answer: bool,
    ) -> Option<Acceptance> {
        if !self.has_sent() {
            return Some(Acceptance::Unknown);
        }
        let relative = |number: SeqNum| number.relative_to(iss);
        let seq = relative(reset.seq);
        // All of it has been sent and captured: what a number beyond it would be exact for is not in the capture.
        let is_beyond =
            reset.seq.is_after(rcv_nxt) && reset.seq.relative_to(rcv_nxt) < MAX_UNACKNOWLEDGED;
        let is_sent = || {
            let next = sender.snd_nxt();
            sender.has_jumped() && next.is_some_and(|next| !reset.seq.is_after(next))
        };
        if is_beyond
            && (self.has_received_unseen() || is_sent())
            && self.sack_edge() != Some(reset.seq)
        {
            let captured = relative(rcv_nxt);
            return Some(Acceptance::BeyondCapture { seq, captured });
        }
        // Numbers of an older connection have nothing to do with SND.UNA of the new one.
        let is_acknowledged =
            |una: &SeqNum| una.is_before(rcv_nxt) && rcv_nxt.relative_to(*una) < MAX_UNACKNOWLEDGED;
        let acked = sender
            .snd_una()
            .filter(is_acknowledged)
            .filter(|_| self.has(HAS_ACK) && !self.is_older())?;
        let acknowledged = relative(acked);
        let was_repeated = sender.unanswered > 0;
        if reset.seq.is_before(acked) {
            let rcv_nxt = acknowledged;
            return Some(Acceptance::WrongSequence { seq, rcv_nxt });
        }
        if self.advertised.duplicates >= MIN_DUPLICATES && !was_repeated {
            // The data after `acked` is missing at this end.
            return Some(if reset.seq == acked {
                Acceptance::Exact { seq }
            } else if self.sack_edge() == Some(reset.seq) {
                Acceptance::SackEdge { seq }
            } else {
                let rcv_nxt = acknowledged;
                Acceptance::WrongSequence { seq, rcv_nxt }
            });
        }
        if is_answer && reset.seq == acked {
            // The segment that it replies to has this number as its ACK, so its sender had received nothing after it.
            return Some(Acceptance::Acknowledged { seq });
        }
        let is_open = if reset.seq == rcv_nxt {
            was_repeated
        } else {
            let is_before_fin = sender.after_fin() == Some(rcv_nxt)
                && reset.seq.plus(1) == rcv_nxt
                && (!was_repeated || reset.seq == acked);
            !is_beyond && !is_before_fin
        };
        is_open.then_some(Acceptance::Unconfirmed {
            seq,
            acknowledged,
            sent: relative(rcv_nxt),
        })
    }
}
