//! One end of a connection, in Zeek's terms (`TCP_Endpoint`).

use crate::packet::{Flags, SeqNum};

/// Zeek's states of an end (`EndpointState`), which are not those of RFC 9293.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing of it has been seen that counts.
    #[default]
    Inactive,
    SynSent,
    SynAckSent,
    /// It was seen first in the middle of a connection.
    Partial,
    Established,
    /// It has sent a FIN.
    Closed,
    /// It has sent a RST.
    Reset,
}

impl State {
    pub(super) fn is_handshake(self) -> bool {
        matches!(self, Self::Inactive | Self::SynSent | Self::SynAckSent)
    }

    /// Data may come and go.
    #[inline]
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Established | Self::Partial)
    }
}

/// Of jumps further than this a SYN, a RST or an acknowledgment of 0 is not believed.
const LARGEST_JUMP: u32 = 1 << 20;

/// One end. Its sequence numbers are relative to `start`, so that its SYN is 0 and its first byte 1. They grow beyond 32 bits
/// where that matters, and are the low 32 bits of that elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The number after the last one that it has sent.
    pub(super) last: i64,
    /// The number up to which its peer has acknowledged.
    pub(super) acked: i64,
    pub(super) ip_bytes: u64,
    /// Its initial sequence number; if its SYN was not seen, what that would have been, had its first segment come next.
    pub(super) start: SeqNum,
    /// The number before which nothing is missing, or what is missing has been given up.
    pub(super) delivered: u32,
    pub(super) packets: u32,
    /// The number after its latest FIN.
    pub(super) after_fin: u32,
    /// Number of the latest FIN that was one for the history.
    pub(super) fin_written: u32,
    /// Number of the latest RST that was one for the history.
    pub(super) reset_written: u32,
    pub(super) state: State,
    /// The state before that one.
    pub(super) before: State,
    pub(super) has_fin: bool,
    /// Zeek's `did_close`: it has sent its FIN or RST, and what came before.
    pub(super) did_close: bool,
    /// Zeek's `did_EOF`.
    pub(super) is_at_eof: bool,
    /// Nothing more is put in order.
    pub(super) gave_up: bool,
    /// Something waits ahead of a hole.
    pub(super) has_hole: bool,
    /// It has sent a packet.
    pub(super) is_known: bool,
}

impl Default for End {
    fn default() -> Self {
        Self {
            last: 0,
            acked: 0,
            ip_bytes: 0,
            start: SeqNum(0),
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

    /// The number on the wire.
    #[inline]
    pub(super) fn number(&self, relative: i64) -> SeqNum {
        self.start.plus(low(relative))
    }

    /// Where this number lies, near what it has sent last. Negative if before its SYN.
    pub(super) fn position(&self, number: SeqNum) -> i64 {
        self.last + i64::from(distance(number, self.number(self.last)))
    }

    /// Finds out where its numbers start, if this segment tells (`init_endpoint()`).
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

    /// Its peer acknowledges what it has sent, up to the number that comes back; `None` if that cannot be. A RST is not
    /// trusted.
    pub(super) fn hear(&mut self, ack: SeqNum, rst: bool) -> Option<i64> {
        if self.state == State::Inactive {
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

    /// The same where nothing is wrong with it.
    #[inline]
    pub(super) fn take_ack(&mut self, ack: SeqNum) {
        let jump = distance(ack, self.number(self.acked));
        self.acked = self.acked.saturating_add(jump.max(0).into());
    }

    /// It sends a segment that ends before `next` (`update_last_seq()`). Whether its payload is nothing new.
    pub(super) fn advance(&mut self, flags: Flags, next: SeqNum, len: u32) -> bool {
        let last = self.number(self.last);
        let jump = distance(next, last);
        if (flags.has(Flags::SYN) || flags.has(Flags::RST)) && jump.unsigned_abs() > LARGEST_JUMP {
            return false;
        }
        if flags.has(Flags::FIN) && low(self.last) == 1 {
            // All between SYN and FIN may be missing, however much.
            self.last = self.last.saturating_add(next.relative_to(last).into());
        } else if self.state != State::Reset {
            self.last = self.last.saturating_add(jump.max(0).into());
            return jump <= 0 && len > 0;
        }
        false
    }

    /// Whether some of the data that it has sent has not been acknowledged.
    pub(super) fn has_unacknowledged(&self) -> bool {
        !self.gave_up && (self.has_hole || is_after(self.delivered, low(self.acked.max(1))))
    }

    /// Sequence numbers that it has taken up, without those of SYN and FIN (`TCP_Endpoint::Size()`).
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

    /// Whether its peer has acknowledged more than the SYN.
    pub(super) fn has_been_acknowledged(&self) -> bool {
        !(0..=1).contains(&self.acked)
    }
}

/// The low 32 bits.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // that is what is wanted
pub(super) fn low(number: i64) -> u32 {
    number as u32
}

/// How far `number` lies ahead of `base`, or behind it.
#[inline]
fn distance(number: SeqNum, base: SeqNum) -> i32 {
    number.relative_to(base).cast_signed()
}

/// Whether one relative number comes after another, by the sign of their difference.
#[inline]
pub(super) fn is_after(number: u32, base: u32) -> bool {
    number.wrapping_sub(base).cast_signed() > 0
}
