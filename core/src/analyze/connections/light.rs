//! Light state of a connection: one that began with its SYN, and to which nothing odd has happened since.
//!
//! Nearly all connections are such to their end: nothing is lost, repeated, out of order or captured twice, and both ends close. Of all
//! that an [`Entry`](super::Entry) knows most is then a matter of course. A light state keeps the rest, in little more than half the
//! memory, and a segment changes it in few steps. [`Light::take`] is strict: a segment that is not the usual one is left to the entry,
//! which [`Light::expand`] computes. The entry stays the one truth: the test takes in random traffic both ways and compares an expanded
//! state with the entry after each segment.

mod expand;
#[cfg(test)]
mod tests;

use super::super::decode::{FlowKey, SegmentRecord};
use super::super::exchange::{self, Exchange};
use super::super::forgery::{SenderProfile, Timing};
use super::super::join::Compared;
use super::super::last_words::{Candidate, Spoken, WordCache};
use super::super::stack::Stack;
use super::super::zeek::{Kind, Letters, Zeek};
use super::MIN_SILENCE_NS;
use super::arena::NS_PER_SEC;
use super::words::payload;
use crate::file::Absent;
use crate::flow::{RECENT_SEGMENTS, State};
use crate::packet::{Flags, Options, SeqNum};
use crate::time::Timestamp;
use crate::transcript::Role;

/// Number of bytes, and of sequence numbers, up to which a connection is usual: 32 bits hold them without a wrap.
const MAX_BYTES: u32 = 1 << 29;

/// Largest number of bytes that wait for an acknowledgment. Beyond it Zeek gives up on an end
/// (`tcp_excessive_data_without_further_acks`).
const MAX_UNACKNOWLEDGED: u32 = 10 << 20;

/// Time within which both ends must have answered in the handshake, in nanoseconds. It is shorter than any time-out there, and
/// fits 32 bits.
const MAX_HANDSHAKE_NS: u64 = 4_000_000_000;

/// Silence after which a segment may belong to another record of Zeek, in nanoseconds: `tcp_inactivity_timeout`.
const MAX_SILENCE_NS: u64 = 300_000_000_000;

/// Time for which a connection lasts after both ends have closed, in nanoseconds: Zeek's `tcp_close_delay`.
const CLOSE_DELAY_NS: i64 = 5 * NS_PER_SEC;

// Bits of `Light::bits`. Those of an end stand for the client; the server's are the next higher ones.
/// The server has answered the SYN.
const ANSWERED: u32 = 1;
/// The client has acknowledged the answer.
const ESTABLISHED: u32 = 1 << 1;
/// The latest segment is of the server.
const LATEST_OF_SERVER: u32 = 1 << 3;
/// The latest segment has timestamps.
const LATEST_HAS_CLOCK: u32 = 1 << 4;
/// A close waits for data to be acknowledged, as Zeek sees it.
const CLOSE_DEFERRED: u32 = 1 << 5;
/// The end has sent a FIN.
const FIN: u32 = 1 << 6;
/// The FIN was acknowledged.
const FIN_ACKNOWLEDGED: u32 = 1 << 8;
/// Zeek's `did_EOF` and `did_close`.
const AT_EOF: u32 = 1 << 10;
const DID_CLOSE: u32 = 1 << 12;
/// The end has sent data after the FIN of the other end.
const DATA_AFTER_FIN: u32 = 1 << 14;
/// The end has sent data without FIN, and an acknowledgment without data.
const HAS_DATA: u32 = 1 << 16;
const HAS_ACK: u32 = 1 << 18;
/// A segment without SYN and FIN was captured.
const HOLDS_PLAIN: u32 = HAS_DATA | HAS_DATA << 1 | HAS_ACK | HAS_ACK << 1;
/// An end has sent a FIN, and both have closed.
const ANY_FIN: u32 = FIN | FIN << 1;
const BOTH_CLOSED: u32 = DID_CLOSE | DID_CLOSE << 1;

/// One end of a light connection.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Side {
    profile: SenderProfile,
    iss: SeqNum,
    nxt: SeqNum,
    una: SeqNum,
    /// Latest segments, with the number that a reply takes from each, in a ring.
    recent: [(u32, SeqNum); RECENT_SEGMENTS],
}

// A segment changes both lines of its sender, and of the other end only the first.
const _: () = assert!(size_of::<Side>() == 128);

impl Side {
    /// Returns the number of bytes that have been sent, SYN and FIN included.
    fn sent(&self) -> u32 {
        self.nxt.relative_to(self.iss)
    }

    fn acked(&self) -> u32 {
        self.una.relative_to(self.iss)
    }
}

/// Light state. The fields are ordered by use, like those of an [`Entry`](super::Entry); sides are in the order client, server.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Light {
    pub(super) ends: FlowKey,
    pub(super) hash: u32,
    bits: u32,
    /// Index of the client in `ends`.
    client: u8,
    states: [State; 2],
    /// Number of empty segments in a row that the sender of the latest segment has sent.
    empties: u8,
    latest_id: u16,
    latest_flags: Flags,
    pub(super) last: Timestamp,
    sides: [Side; 2],
    timing: Timing,
    /// Time of each side's latest segment, and the silence before the latest of both.
    latest_at: [Timestamp; 2],
    idle: i64,
    packets: [u32; 2],
    ip_bytes: [u32; 2],
    exchange: Exchange,
    began: Timestamp,
    /// Time at which both had closed.
    closed: Timestamp,
    letters: Letters,
    /// Time at which the current timer is due, and its number.
    pub(super) due: Timestamp,
    pub(super) generation: u32,
    pub(super) first_frame: u32,
    latest_len: u32,
    /// `TSecr` of each side's latest timestamps.
    echoes: [u32; 2],
    /// Times from the SYN to its answer, and to the segment after that, in nanoseconds.
    parts: [u32; 2],
    stacks: [Option<Stack>; 2],
    /// Shift counts of the window scale option in the SYNs plus 1; 0 without it.
    scales: [u8; 2],
}

const _: () = assert!(size_of::<Light>() <= 640 && std::mem::offset_of!(Light, sides) == 64);

/// Returns true if the options of a SYN are usual: at most the window scale is among those that matter.
fn has_usual_options(options: Options) -> bool {
    let scale = options.window_scale();
    options
        == scale.map_or(Options::default(), |shift| {
            Options::default().with_window_scale(shift)
        })
}

impl Light {
    /// Returns true if a segment is a usual SYN, with which a light state may begin.
    #[inline]
    pub(super) fn may_begin_with(segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        let controls = Flags::SYN.0 | Flags::ACK.0 | Flags::FIN.0 | Flags::RST.0;
        header.flags.0 & controls == Flags::SYN.0
            && header.payload_len == 0
            && header.ack.0 == 0
            && header.window != 0
            && header.sack_edge.is_none()
            && has_usual_options(header.options)
            && segment.compared == Compared::Single
            && segment.absent == Absent::default()
            && !segment.ends.is_self_connection()
    }

    /// Creates the state of a connection before its first segment, which is this one.
    // Apart from what the segment changes, so that the state is built where it stays: it is too large to be moved.
    #[inline]
    pub(super) fn before(segment: &SegmentRecord) -> Self {
        let header = &segment.header;
        Self {
            ends: segment.ends,
            hash: segment.hash,
            bits: 0,
            client: u8::from(segment.sender == 1),
            states: [State::SynSent, State::Listen],
            empties: 0,
            latest_id: 0,
            latest_flags: Flags::default(),
            last: header.at,
            sides: [Side::default(); 2],
            timing: Timing::default(),
            latest_at: [Timestamp::default(); 2],
            idle: 0,
            packets: [0; 2],
            ip_bytes: [0; 2],
            exchange: Exchange::default(),
            began: header.at,
            closed: Timestamp::default(),
            letters: Letters::of_syn(),
            due: Timestamp(i64::MAX),
            generation: 0,
            first_frame: header.frame,
            latest_len: 0,
            echoes: [0; 2],
            parts: [0; 2],
            stacks: [None; 2],
            scales: [0; 2],
        }
    }

    /// Takes in the SYN that the connection begins with.
    pub(super) fn begin(&mut self, segment: &SegmentRecord, bytes: &[u8]) {
        self.take_syn(0, segment, bytes);
    }

    /// Returns the index in `ends` of a side.
    fn end(&self, side: usize) -> usize {
        (usize::from(self.client) ^ side) & 1
    }

    fn has(&self, bits: u32) -> bool {
        self.bits & bits == bits
    }

    /// Takes in a segment, if it is the usual one after those before it, and keeps the begin of its data. Returns false, and changes
    /// nothing, for any other.
    #[inline]
    pub(super) fn take(
        &mut self,
        segment: &SegmentRecord,
        bytes: &[u8],
        words: &mut WordCache,
    ) -> bool {
        let header = &segment.header;
        let controls = Flags::SYN.0 | Flags::RST.0 | Flags::ACK.0;
        let is_of_server = segment.sender != usize::from(self.client);
        if header.flags.0 & controls != Flags::ACK.0 {
            let is_answer = is_of_server && self.accepts_answer(segment);
            if is_answer {
                self.take_answer(segment, bytes);
            }
            return is_answer;
        }
        let side = usize::from(is_of_server);
        let has_fin = header.flags.0 & Flags::FIN.0 != 0;
        let is_between =
            !has_fin && self.bits & (ANSWERED | ESTABLISHED | ANY_FIN) == ANSWERED | ESTABLISHED;
        let is_usual =
            self.continues(side, segment) && (is_between || self.accepts_at_an_end(side, segment));
        if is_usual {
            if header.payload_len > 0 && self.exchange.spoken != Spoken::Other {
                self.keep_message(side, words, segment, bytes);
            }
            self.take_usual(side, segment, (bytes, is_between));
        }
        is_usual
    }

    /// Returns true if a segment with ACK, without SYN and RST, continues its side and shows nothing unusual.
    #[inline]
    fn continues(&self, side: usize, segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        let [client, server] = &self.sides;
        let (own, other) = if side == 0 {
            (client, server)
        } else {
            (server, client)
        };
        let seq_len = header.seq_len();
        let end = header.seq.plus(seq_len);
        let silence = header.at.0.wrapping_sub(self.last.0).cast_unsigned();
        let outstanding = other.nxt.relative_to(other.una);
        let is_usual = header.seq == own.nxt
            && header.ack.relative_to(other.una) <= outstanding
            // A window of 0 closes it, and an acknowledgment of 0 is implausible to Zeek.
            && header.window != 0
            && header.ack.0 != 0
            && header.sack_edge.is_none()
            && header.options == Options::default()
            && segment.compared == Compared::Single
            && segment.absent == Absent::default()
            && own.profile.is_usual(&segment.ip, segment.point)
            && header.payload_len < MAX_BYTES
            && end.relative_to(own.iss) < MAX_BYTES
            && end.relative_to(own.una) <= MAX_UNACKNOWLEDGED
            && self.ip_bytes[side] < MAX_BYTES
            // A time that goes back is a very long silence here.
            && silence < MAX_SILENCE_NS;
        if !is_usual {
            return false;
        }
        // An older timestamp is that of an old duplicate (RFC 7323, 5.3).
        if let Some(stamps) = header.timestamps
            && let Some(latest) = own.profile.clock_value()
            && SeqNum(stamps.value).is_before(SeqNum(latest))
        {
            return false;
        }
        // A copy, or a duplicate acknowledgment.
        let latest = own.recent[(self.packets[side] as usize).wrapping_sub(1) % RECENT_SEGMENTS].1;
        let is_alike =
            seq_len == 0 && header.ack == latest && header.window == own.profile.latest_window();
        !is_alike
    }

    /// Checks what matters only in the handshake and from the first FIN on.
    #[inline(never)]
    fn accepts_at_an_end(&self, side: usize, segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        if !self.has(ANSWERED) {
            return false;
        }
        if !self.has(ESTABLISHED) {
            let waited = header.at.since(self.began).cast_unsigned();
            if side != 0 || header.ack != self.sides[1].nxt || waited >= MAX_HANDSHAKE_NS {
                return false;
            }
        }
        let is_after_fin = self.has(FIN << side) && header.seq_len() > 0;
        let is_over = self.has(BOTH_CLOSED) && header.at.since(self.closed) >= CLOSE_DELAY_NS;
        !is_after_fin && !is_over
    }

    /// Returns true if a segment of the server is the usual answer to the SYN.
    fn accepts_answer(&self, segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        let controls = Flags::SYN.0 | Flags::ACK.0 | Flags::FIN.0 | Flags::RST.0;
        let [client, _] = &self.sides;
        let waited = header.at.since(self.began).cast_unsigned();
        let is_usual = !self.has(ANSWERED)
            && header.flags.0 & controls == Flags::SYN.0 | Flags::ACK.0
            && header.ack == client.nxt
            && header.ack.0 != 0
            && header.payload_len == 0
            && header.window != 0
            && header.sack_edge.is_none()
            && has_usual_options(header.options)
            && segment.compared == Compared::Single
            && segment.absent == Absent::default()
            && waited < MAX_HANDSHAKE_NS;
        // A client drops an answer with a timestamp that it has not sent.
        let echo = header.timestamps.map_or(0, |it| it.echo);
        let is_unknown = (client.profile.clock_value())
            .is_some_and(|sent| echo != 0 && SeqNum(echo).is_after(SeqNum(sent)));
        is_usual && !is_unknown
    }

    /// Takes in a segment that continues its side. `is_between` is true between handshake and close.
    #[inline]
    fn take_usual(
        &mut self,
        side: usize,
        segment: &SegmentRecord,
        (bytes, is_between): (&[u8], bool),
    ) {
        let header = &segment.header;
        let seq_len = header.seq_len();
        if !is_between && !self.has(ESTABLISHED) {
            self.establish(header.at);
        }
        let has_fin = header.flags.0 & Flags::FIN.0 != 0;
        let (bit, kind) = if has_fin {
            (FIN, Kind::Fin)
        } else if seq_len > 0 {
            (HAS_DATA, Kind::Data)
        } else {
            (HAS_ACK, Kind::Ack)
        };
        if self.bits & (bit << side) == 0 {
            self.add_letter(side, kind);
        }
        let delivered = if is_between { 0 } else { self.delivered(side) };
        if seq_len > 0 {
            let role = [Role::Client, Role::Server][side];
            let before = (Some(header.seq), Some(self.sides[side].una), self.last);
            let opening = || exchange::opening(segment.packet(bytes));
            self.exchange.take(role, header, before, opening);
            self.empties = 0;
        } else if (self.bits & LATEST_OF_SERVER != 0) == (side == 1) {
            self.empties = self.empties.saturating_add(1);
        } else {
            self.empties = 1;
        }
        let [client, server] = &mut self.sides;
        let (own, other) = if side == 0 {
            (client, server)
        } else {
            (server, client)
        };
        own.profile.take_usual(&segment.ip, header);
        own.nxt = header.seq.plus(seq_len);
        other.una = header.ack;
        self.note(side, segment, header.ack);
        if !is_between {
            self.close(side, segment, delivered);
        }
    }

    /// Notes the first segment of a kind, without the bit of a FIN: that changes the states as well.
    #[cold]
    fn add_letter(&mut self, side: usize, kind: Kind) {
        self.letters.add(side, kind);
        self.bits |= match kind {
            Kind::Data => HAS_DATA << side,
            Kind::Ack => HAS_ACK << side,
            Kind::Fin | Kind::SynAck => 0,
        };
    }

    /// Notes what every segment changes. `expected_reply` is the number that a reply takes from it.
    #[inline]
    fn note(&mut self, side: usize, segment: &SegmentRecord, expected_reply: SeqNum) {
        let header = &segment.header;
        // The mask shows the compiler that the index is in bounds.
        let side = side & 1;
        let role = if side == 0 {
            Role::Client
        } else {
            Role::Server
        };
        self.timing.take(role, header);
        let place = self.packets[side] as usize % RECENT_SEGMENTS;
        self.sides[side].recent[place] = (header.frame, expected_reply);
        self.packets[side] += 1;
        self.ip_bytes[side] += segment.ip_len;
        let mut bits = self.bits & !(LATEST_OF_SERVER | LATEST_HAS_CLOCK);
        if side == 1 {
            bits |= LATEST_OF_SERVER;
        }
        if let Some(stamps) = header.timestamps {
            bits |= LATEST_HAS_CLOCK;
            self.echoes[side] = stamps.echo;
        }
        self.bits = bits;
        self.latest_id = segment.ip.id().unwrap_or(0);
        self.latest_flags = header.flags;
        self.latest_len = header.payload_len;
        self.idle = header.at.since(self.last).max(0);
        self.latest_at[side] = header.at;
        self.last = header.at;
    }

    fn take_syn(&mut self, side: usize, segment: &SegmentRecord, bytes: &[u8]) {
        let header = &segment.header;
        let own = &mut self.sides[side];
        (own.iss, own.una) = (header.seq, header.seq);
        own.nxt = header.seq.plus(1);
        own.profile.take(&segment.ip, header, segment.point);
        self.stacks[side] = Stack::of(segment.packet(bytes));
        self.scales[side] = header.options.window_scale().map_or(0, |shift| shift + 1);
        let expected_reply = if side == 0 {
            header.seq.plus(1)
        } else {
            header.ack
        };
        self.note(side, segment, expected_reply);
    }

    #[inline(never)]
    fn take_answer(&mut self, segment: &SegmentRecord, bytes: &[u8]) {
        let header = &segment.header;
        self.bits |= ANSWERED;
        self.letters.add(1, Kind::SynAck);
        self.states = [State::Established, State::SynReceived];
        self.parts[0] = self.since_syn(header.at);
        self.sides[0].una = header.ack;
        self.take_syn(1, segment, bytes);
    }

    /// Returns the time from the SYN to this time, which is within [`MAX_HANDSHAKE_NS`].
    fn since_syn(&self, at: Timestamp) -> u32 {
        u32::try_from(at.since(self.began)).unwrap_or(u32::MAX)
    }

    /// Takes in that the client acknowledges the answer to its SYN.
    fn establish(&mut self, at: Timestamp) {
        self.bits |= ESTABLISHED;
        self.states[1] = State::Established;
        self.parts[1] = self.since_syn(at);
    }

    /// Returns the number up to which Zeek has the data of a side, which is 1 before the first byte.
    fn delivered(&self, side: usize) -> u32 {
        self.sides[side].sent() - u32::from(self.has(FIN << side))
    }

    /// Takes in what a segment of this side means for the close: it has a FIN, or comes after one. `delivered` is the number up to
    /// which the side's data had come before.
    #[inline(never)]
    fn close(&mut self, side: usize, segment: &SegmentRecord, delivered: u32) {
        let header = &segment.header;
        let other = side ^ 1;
        let has_fin = header.flags.has(Flags::FIN);
        if !has_fin && self.bits & ANY_FIN == 0 {
            return;
        }
        if header.payload_len > 0 && self.has(FIN << other) {
            self.bits |= DATA_AFTER_FIN << side;
        }
        // RFC 9293, 3.6: the sender's FIN, then the acknowledgment of the other's, then the arrival of the FIN.
        if has_fin {
            self.bits |= FIN << side;
            self.states[side] = match self.states[side] {
                State::CloseWait => State::LastAck,
                State::Established => State::FinWait1,
                state => state,
            };
        }
        let is_acknowledged = self.has(FIN << other) && header.ack == self.sides[other].nxt;
        if is_acknowledged && !self.has(FIN_ACKNOWLEDGED << other) {
            self.bits |= FIN_ACKNOWLEDGED << other;
            self.states[other] = match self.states[other] {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => State::Closed,
                state => state,
            };
        }
        if has_fin {
            self.states[other] = match self.states[other] {
                State::Established => State::CloseWait,
                State::FinWait1 => State::Closing,
                State::FinWait2 => State::TimeWait,
                state => state,
            };
        }
        // Zeek's order: it looks for the end of the other side before it has the data of the segment.
        let was_closed = self.has(BOTH_CLOSED);
        self.check_eof(other, delivered > self.sides[side].acked().max(1));
        let is_pending = self.delivered(other) > self.sides[other].acked().max(1);
        self.check_eof(side, is_pending);
        if has_fin {
            self.close_for_zeek(side, is_pending);
        }
        if !was_closed && self.has(BOTH_CLOSED) {
            self.closed = header.at;
        }
    }

    /// Does what [`Zeek::take`] does when data has come: a side that has sent all of it is at its end, unless the other one's data is
    /// not acknowledged.
    fn check_eof(&mut self, side: usize, is_pending: bool) {
        if self.has(AT_EOF << side) || !self.has(FIN << side) || is_pending {
            return;
        }
        self.bits |= AT_EOF << side;
        if self.has(CLOSE_DEFERRED) {
            self.close_for_zeek(side, false);
        }
    }

    fn close_for_zeek(&mut self, side: usize, is_pending: bool) {
        if is_pending {
            self.bits |= CLOSE_DEFERRED;
        } else {
            self.bits = self.bits & !CLOSE_DEFERRED | DID_CLOSE << side;
        }
    }

    /// Keeps the begin of a segment with data, before it is taken in, as an [`Entry`](super::Entry) does.
    #[inline(never)]
    fn keep_message(
        &mut self,
        side: usize,
        cache: &mut WordCache,
        segment: &SegmentRecord,
        bytes: &[u8],
    ) {
        let (header, data) = (&segment.header, payload(segment, bytes));
        if data.is_empty() {
            return;
        }
        let from = [Role::Client, Role::Server][side];
        self.exchange.spoken = cache.take(
            self.exchange.spoken,
            &Candidate {
                connection: self.first_frame,
                frame: header.frame,
                from,
                data,
                len: header.payload_len,
                begins_turn: !self.exchange.has_last_word(from),
                may_lack_data: header.seq.relative_to(self.sides[side].iss) != 1,
                port: self.ends.port(self.end(1)),
            },
        );
    }

    /// Returns true if a FIN took the place of an answer.
    pub(super) fn is_unanswered(&self) -> bool {
        self.exchange.unanswered().is_some()
    }

    /// Returns true if the connection may have stopped: an end closed instead of answering, or the handshake is not complete. Nothing
    /// else is outstanding in vain, because each segment continued the others.
    pub(super) fn may_have_stopped(&self) -> bool {
        !self.has(ESTABLISHED) || self.is_unanswered()
    }

    /// Returns the time at which both had closed.
    fn closed(&self) -> Option<Timestamp> {
        self.has(BOTH_CLOSED).then_some(self.closed)
    }

    /// Returns the time at which the connection becomes dormant, unless it continues before.
    pub(super) fn dormant_at(&self) -> Timestamp {
        let times = (self.began, self.last, self.closed());
        let port = self.ends.port(self.end(1));
        let expires = Zeek::orderly_expires(times, self.has(ANSWERED), port);
        expires.max(Timestamp(self.last.0.saturating_add(MIN_SILENCE_NS)))
    }
}
