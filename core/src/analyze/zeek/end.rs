//! End of a connection, in Zeek's terms (`TCP_Endpoint`).

use crate::packet::{Flags, SeqNum};

/// Zeek's state of an end (`EndpointState`), which is not one of RFC 9293.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// No relevant packet of the end was captured.
    #[default]
    Inactive,
    SynSent,
    SynAckSent,
    /// End first seen in the middle of a connection.
    Partial,
    Established,
    /// End that has sent a FIN.
    Closed,
    /// End that has sent an RST.
    Reset,
}

impl State {
    pub(super) fn is_handshake(self) -> bool {
        matches!(self, Self::Inactive | Self::SynSent | Self::SynAckSent)
    }

    /// Returns true if the end can send and receive data.
    #[inline]
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Established | Self::Partial)
    }
}

/// Largest jump of a sequence number that is accepted from a SYN, an RST or an acknowledgment of 0.
const LARGEST_JUMP: u32 = 1 << 20;

/// One end of a connection.
///
/// Sequence numbers are relative to `start`, so that the SYN is 0 and the first byte 1. They exceed 32 bits where that
/// matters; other fields keep only the low 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Number after the last one that the end has sent.
    pub(super) last: i64,
    /// Number up to which the peer has acknowledged.
    pub(super) acked: i64,
    pub(super) ip_bytes: u64,
    /// Initial sequence number. If the SYN was not captured, the number it would have, if it directly preceded the
    /// first segment.
    pub(super) start: SeqNum,
    /// Number before which no data is missing, or missing data has been given up.
    pub(super) delivered: u32,
    pub(super) packets: u32,
    /// Number after the latest FIN.
    pub(super) after_fin: u32,
    /// Number of the latest FIN that was considered for the history.
    pub(super) fin_written: u32,
    /// Number of the latest RST that was considered for the history.
    pub(super) reset_written: u32,
    pub(super) state: State,
    /// Previous state.
    pub(super) before: State,
    pub(super) has_fin: bool,
    /// Zeek's `did_close`: the end has sent its FIN or RST, and all data before it.
    pub(super) did_close: bool,
    /// Zeek's `did_EOF`.
    pub(super) is_at_eof: bool,
    /// True once Zeek has given up reassembling the data.
    pub(super) gave_up: bool,
    /// True if data waits ahead of a hole.
    pub(super) has_hole: bool,
    /// True if the end has sent a packet.
    pub(super) is_known: bool,
}

impl Default for End {
    fn default() -> Self {
        Self {
            last: 0,
            acked: 0,
            ip_bytes: 0,
            start: SeqNum(0),
            // The SYN is number 0, so the first byte of data is 1.
            delivered: 1,
            packets: 0,
            after_fin: 0,
            fin_written: 0,
            reset_written: 0,
            state: State::Inactive,
            before: State::Inactive,
            has_fin: false,
            did_close: false,
            is_at_eof: false,
            gave_up: false,
            has_hole: false,
            is_known: false,
        }
    }
}

impl End {
    pub(super) fn set(&mut self, state: State) {
        if state != self.state {
            self.before = self.state;
            self.state = state;
        }
    }

    /// Counts a packet of this length in bytes.
    #[inline]
    pub(super) fn count(&mut self, ip_len: u32) {
        self.packets = self.packets.saturating_add(1);
        self.ip_bytes = self.ip_bytes.saturating_add(ip_len.into());
    }

    /// Returns the sequence number on the wire.
    #[inline]
    pub(super) fn number(&self, relative: i64) -> SeqNum {
        self.start.plus(low(relative))
    }

    /// Returns the relative number that is nearest to the last one sent; negative if it lies before the SYN.
    pub(super) fn position(&self, number: SeqNum) -> i64 {
        self.last + i64::from(distance(number, self.number(self.last)))
    }

    /// Sets the start of the sequence numbers, if this segment determines it (`init_endpoint()`).
    pub(super) fn begin(&mut self, syn: bool, seq: SeqNum, seq_len: u32) {
        let begins = match self.state {
            State::Inactive => true,
            State::SynSent | State::SynAckSent => syn && seq != self.start,
            State::Established | State::Partial => syn,
            State::Reset => syn && self.before == State::Inactive,
            State::Closed => false,
        };
        if begins {
            let (start, last) = if syn {
                (seq, seq_len)
            } else {
                (SeqNum(seq.0.wrapping_sub(1)), 1)
            };
            self.start = start;
            self.acked = 0;
            self.last = last.into();
        }
    }

    /// Handles an acknowledgment by the peer. Returns the relative number up to which it acknowledges; `None` if that
    /// is impossible. The acknowledgment of an RST does not change `acked`.
    pub(super) fn accept(&mut self, ack: SeqNum, rst: bool) -> Option<i64> {
        if self.state == State::Inactive {
            // The end has sent nothing yet, so this is taken for the acknowledgment of its SYN.
            self.start = SeqNum(ack.0.wrapping_sub(1));
            self.acked = 0;
            self.last = 0;
            return Some(1);
        }
        let jump = distance(ack, self.number(self.acked));
        let number = self.acked.saturating_add(jump.into());
        if number < 0 || ack == SeqNum(0) && jump > LARGEST_JUMP.cast_signed() {
            return None;
        }
        if !rst {
            self.take_ack(ack);
        }
        Some(number)
    }

    /// Advances `acked` for an acknowledgment that is known to be possible.
    #[inline]
    pub(super) fn take_ack(&mut self, ack: SeqNum) {
        let jump = distance(ack, self.number(self.acked));
        self.acked = self.acked.saturating_add(jump.max(0).into());
    }

    /// Handles a segment that ends before `next` (`update_last_seq()`). Returns true if its payload is a
    /// retransmission.
    pub(super) fn advance(&mut self, flags: Flags, next: SeqNum, len: u32) -> bool {
        let last = self.number(self.last);
        let jump = distance(next, last);
        if (flags.has(Flags::SYN) || flags.has(Flags::RST)) && jump.unsigned_abs() > LARGEST_JUMP {
            return false;
        }
        if flags.has(Flags::FIN) && low(self.last) == 1 {
            // All data between SYN and FIN may be missing, however much it is.
            self.last = self.last.saturating_add(next.relative_to(last).into());
        } else if self.state != State::Reset {
            self.last = self.last.saturating_add(jump.max(0).into());
            return jump <= 0 && len > 0;
        }
        false
    }

    /// Returns true if some data that the end has sent is unacknowledged.
    pub(super) fn has_unacknowledged(&self) -> bool {
        !self.gave_up && (self.has_hole || is_after(self.delivered, low(self.acked.max(1))))
    }

    /// Returns the number of sequence numbers used, without those of SYN and FIN (`TCP_Endpoint::Size()`).
    pub(super) fn sequence_space(&self, peer: &Self) -> u64 {
        let is_attempt_reset = self.before == State::SynSent
            && self.state == State::Reset
            && peer.state == State::Inactive;
        if is_attempt_reset && self.has_been_acknowledged() {
            return 0;
        }
        let size = u64::try_from(self.last.max(self.acked)).unwrap_or(0);
        size.saturating_sub(1).saturating_sub(self.has_fin.into())
    }

    /// Returns true if the peer has acknowledged more than the SYN.
    pub(super) fn has_been_acknowledged(&self) -> bool {
        !(0..=1).contains(&self.acked)
    }
}

/// Returns the low 32 bits.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the cast takes the low bits
pub(super) fn low(number: i64) -> u32 {
    number as u32
}

/// Returns the signed distance from `base` to `number`, modulo 2^32.
#[inline]
fn distance(number: SeqNum, base: SeqNum) -> i32 {
    number.relative_to(base).cast_signed()
}

/// Returns true if one relative number comes after another, by the sign of their difference.
#[inline]
pub(super) fn is_after(number: u32, base: u32) -> bool {
    number.wrapping_sub(base).cast_signed() > 0
}
