//! Effect of a packet on the ends and on the history (`TCPSessionAdapter::Process()`).

use super::end::{State, is_after, low};
use super::history::{Class, History, Letter};
use super::stream::MAX_UNACKNOWLEDGED_BYTES;
use super::{CLOSE_DELAY, Zeek, later};
use crate::packet::{Flags, Header};

/// Control bits that change the state of an end: SYN, FIN and RST.
const CONTROLS: u8 = Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0;

/// Packet processing.
impl Zeek {
    /// Processes a packet on the fast path: a segment without SYN, FIN and RST that continues where its sender left
    /// off, between open ends, without a new history letter. Returns false, and changes nothing, for any other packet.
    #[inline]
    pub(super) fn take_expected(&mut self, side: usize, header: &Header) -> bool {
        let is_expected = self.expects(side, header);
        if is_expected {
            self.continue_by(side, header);
        }
        is_expected
    }

    /// Returns true if a packet takes the fast path.
    #[inline]
    pub(super) fn expects(&self, side: usize, header: &Header) -> bool {
        let len = length(header);
        let class = if len > 0 { Class::Data } else { Class::Ack };
        // A window of 0 and the first packet of a class add a letter, and an acknowledgment of 0 may be implausible.
        let is_plain = header.flags.0 & (CONTROLS | Flags::ACK.0) == Flags::ACK.0
            && header.window != 0
            && header.ack.0 != 0
            && self.seen & class.bit(self.role(side)) != 0;
        if !is_plain {
            return false;
        }
        let (end, peer) = (&self.ends[side & 1], &self.ends[(side & 1) ^ 1]);
        let is_next =
            header.seq == end.number(end.last) && end.state.is_open() && peer.state.is_open();
        let delivered = end.delivered.wrapping_add(len);
        // Beyond the bound the slow path gives up on the end (`exceeds_limits()`).
        let is_in_order = end.gave_up
            || !end.has_hole
                && end.delivered == low(end.last)
                && !is_after(
                    delivered,
                    low(end.acked).wrapping_add(MAX_UNACKNOWLEDGED_BYTES),
                );
        // An acknowledgment of data that is missing would close a hole.
        let is_there =
            peer.gave_up || !is_after(header.ack.relative_to(peer.start), peer.delivered);
        is_next && is_in_order && is_there
    }

    /// Processes a packet for which [`Self::expects`] holds.
    #[inline]
    pub(super) fn continue_by(&mut self, side: usize, header: &Header) {
        let len = length(header);
        let [zero, one] = &mut self.ends;
        let (end, peer) = if side == 0 { (zero, one) } else { (one, zero) };
        self.last_time = header.at;
        end.last = end.last.saturating_add(len.into());
        if !end.gave_up {
            end.delivered = end.delivered.wrapping_add(len);
        }
        peer.take_ack(header.ack);
    }

    /// Processes any packet with Zeek's steps, in Zeek's order.
    pub(super) fn take_any(&mut self, side: usize, header: &Header) {
        let (flags, len) = (header.flags, length(header));
        let [syn, fin, rst] = [Flags::SYN, Flags::FIN, Flags::RST].map(|flag| flags.has(flag));
        let controls = u32::from(syn) + u32::from(fin);
        // The payload of an RST takes up no sequence numbers.
        let seq_len = controls + if rst { 0 } else { len };
        self.see_first(side, flags);
        self.ends[side].begin(syn, header.seq, seq_len);
        let seq = self.ends[side].position(header.seq);
        self.write_flags(side, flags, low(seq), len);
        let (end, peer) = (&self.ends[side], &self.ends[side ^ 1]);
        let is_alive = peer.state != State::Closed && end.state != State::Reset;
        if header.window == 0 && !rst && is_alive {
            self.count(side, Letter::ZeroWindow);
        }
        if !self.ends.iter().all(|end| end.did_close) {
            self.last_time = header.at;
        }
        if fin {
            self.ends[side].has_fin = true;
            self.ends[side].after_fin = low(seq).wrapping_add(seq_len);
        }
        let acknowledged = flags
            .has(Flags::ACK)
            .then(|| self.ends[side ^ 1].accept(header.ack, rst))
            .flatten();
        if self.ends[side].advance(flags, header.seq.plus(seq_len), len) {
            self.count(side, Letter::Retransmission);
        }
        let closes = self.step(side, header, len);
        if let Some(number) = acknowledged {
            self.acknowledge(side ^ 1, number);
            self.check_eof(side ^ 1);
        }
        if len > 0 && !rst && seq >= 0 {
            self.deliver(side, low(seq).wrapping_add(syn.into()), len);
        }
        self.check_eof(side);
        if closes {
            self.close(side);
        }
    }

    /// Updates `is_partial` from the first packet of an end (`SetPartialStatus()`).
    fn see_first(&mut self, side: usize, flags: Flags) {
        if self.ends[side].is_known {
            return;
        }
        self.ends[side].is_known = true;
        let is_syn = flags.has(Flags::SYN);
        if self.role(side) == 0 {
            self.is_partial = !is_syn || flags.has(Flags::ACK);
        } else {
            self.is_partial |= !is_syn;
        }
    }

    /// Updates the states of the ends (`UpdateStateMachine()`). Returns true if the segment closes its sender.
    fn step(&mut self, side: usize, header: &Header, len: u32) -> bool {
        let flags = header.flags;
        let [fin, rst] = [Flags::FIN, Flags::RST].map(|flag| flags.has(flag));
        let peer = self.ends[side ^ 1].state;
        match self.ends[side].state {
            State::Inactive => {
                self.step_from_inactive(side, flags, len);
                fin || rst
            }
            State::SynSent | State::SynAckSent => {
                self.step_to_end(side, fin, rst);
                fin || rst
            }
            State::Established | State::Partial => {
                self.step_from_open(side, flags);
                fin || rst
            }
            State::Closed if rst && peer != State::Closed => {
                self.ends[side].set(State::Reset);
                self.removal = self.removal.min(later(header.at, CLOSE_DELAY));
                !self.ends[side].did_close
            }
            State::Closed | State::Reset => false,
        }
    }

    fn step_to_end(&mut self, side: usize, fin: bool, rst: bool) {
        if fin {
            self.ends[side].set(State::Closed);
        }
        if rst {
            self.ends[side].set(State::Reset);
        }
    }

    fn step_from_inactive(&mut self, side: usize, flags: Flags, len: u32) {
        let has_ack = flags.has(Flags::ACK);
        if flags.has(Flags::SYN) {
            let state = if self.role(side) == 1 {
                self.answer_syn(side, has_ack);
                State::Established
            } else if has_ack {
                State::SynAckSent
            } else {
                State::SynSent
            };
            self.ends[side].set(state);
        }
        self.step_to_end(side, flags.has(Flags::FIN), flags.has(Flags::RST));
        if flags.0 & CONTROLS != 0 {
            return;
        }
        let peer = self.ends[side ^ 1].state;
        if self.role(side) == 1 && len == 0 && peer == State::SynSent {
            // A challenge ACK to the SYN (RFC 5961, 4.2) does not establish anything.
        } else if has_ack && peer == State::Established {
            self.ends[side].set(State::Established); // its SYN was missed
            self.is_partial = false;
        } else {
            self.ends[side].set(State::Partial);
        }
    }

    fn step_from_open(&mut self, side: usize, flags: Flags) {
        let (fin, rst) = (flags.has(Flags::FIN), flags.has(Flags::RST));
        let is_late_syn = flags.has(Flags::SYN) && !flags.has(Flags::ACK);
        let [state, peer] = [side, side ^ 1].map(|it| self.ends[it].state);
        if is_late_syn && state == State::Partial && peer == State::Inactive {
            self.ends[side].set(State::SynSent);
        }
        self.step_to_end(side, fin && !rst, rst);
        let peer = &mut self.ends[side ^ 1];
        if fin && !rst && peer.state == State::Reset && peer.before == State::Closed {
            peer.set(State::Closed); // its RST followed its FIN, so this is an orderly close
        }
    }

    /// Handles a SYN of the responder.
    fn answer_syn(&mut self, side: usize, has_ack: bool) {
        let peer = self.ends[side ^ 1].state;
        if peer == State::SynAckSent && !has_ack {
            self.flip(); // the SYN-ACK replied to this SYN; they were captured in the wrong order
            self.ends[side ^ 1].set(State::Established);
        } else if peer == State::SynSent {
            self.ends[side ^ 1].set(State::Established);
        }
        self.is_established |= peer != State::Partial;
    }
}

/// History letters.
impl Zeek {
    pub(super) fn append(&mut self, code: u8) {
        if !self.history.push(code) {
            self.trouble().append(code);
        }
    }

    pub(super) fn write(&mut self, side: usize, letter: Letter) {
        self.append(letter.code(self.role(side)));
    }

    /// Records a letter if it is the first of its class and direction. Returns true in this case.
    fn write_once(&mut self, side: usize, class: Class, letter: Letter) -> bool {
        let bit = class.bit(self.role(side));
        let is_first = self.seen & bit == 0;
        if is_first {
            self.seen |= bit;
            self.write(side, letter);
        }
        is_first
    }

    /// Records a letter if it is the first of its class and direction, or if its number differs from the previous one.
    fn write_unless_same(&mut self, side: usize, class: Class, letter: Letter, is_same: bool) {
        if !self.write_once(side, class, letter) && !is_same {
            self.write(side, letter);
        }
    }

    /// Records the letter for the segment's flags, if there is one. `seq` is relative.
    fn write_flags(&mut self, side: usize, flags: Flags, seq: u32, len: u32) {
        let has = |flag| flags.has(flag);
        match flags.0 & CONTROLS {
            0 if len > 0 => self.write_text(side, Class::Data, Letter::Data),
            0 if has(Flags::ACK) => self.write_text(side, Class::Ack, Letter::Ack),
            0 => {}
            controls if controls == Flags::SYN.0 => {
                let letter = if has(Flags::ACK) {
                    Letter::SynAck
                } else {
                    Letter::Syn
                };
                // The number is not 0 only after an end has closed, so it is stored with the rare state.
                let before = self.trouble.as_ref().map_or(0, |it| it.syn[side]);
                self.write_unless_same(side, Class::Syn, letter, before == seq);
                if before != seq {
                    self.trouble().syn[side] = seq;
                }
            }
            controls if controls == Flags::FIN.0 => {
                let number = seq.wrapping_add(len);
                let is_same = self.ends[side].fin_written == number;
                self.write_unless_same(side, Class::Fin, Letter::Fin, is_same);
                self.ends[side].fin_written = number;
            }
            controls if controls == Flags::RST.0 => {
                let is_same = self.ends[side].reset_written == seq;
                self.write_unless_same(side, Class::Reset, Letter::Reset, is_same);
                self.ends[side].reset_written = seq;
            }
            _ if has(Flags::FIN) && has(Flags::RST) => {
                self.write_once(side, Class::FinReset, Letter::FinReset);
            }
            _ => {
                self.write_once(side, Class::Mixed, Letter::Mixed);
            }
        }
    }

    /// Records data or a pure ACK. If the history is only a SYN-ACK, its sender is found to be the responder.
    fn write_text(&mut self, side: usize, class: Class, letter: Letter) {
        if self.history == History::SYN_ACK_OF_ORIGINATOR {
            self.history = History::default();
            self.flip();
            self.write(self.originator() ^ 1, Letter::SynAck);
            self.ends[self.originator()].is_known = true;
        }
        self.write_once(side, class, letter);
    }
}

/// Returns the length of the payload in bytes, at most 2^30, which no packet exceeds.
fn length(header: &Header) -> u32 {
    header.payload_len.min(1 << 30)
}
