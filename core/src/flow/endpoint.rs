//! One end of a connection: its state and its sequence numbers, and how segments change them.

mod advertised;
mod judge;
mod orderly;

use self::advertised::Advertised;
pub(super) use self::advertised::ReceiverSummary;
pub(super) use self::judge::Receipt;
pub(crate) use self::orderly::OrderlyEnd;
use super::few::SmallList;
use super::{Form, State};
use crate::packet::{Flags, Header, SeqNum, TcpTimestamps};

/// Number of sent segments remembered per end, to find the one that triggered an RST.
pub(crate) const RECENT_SEGMENTS: usize = 8;

/// Segment that an end has sent, reduced to what identifies an RST in reply to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    frame: u32,
    /// Number that a reply takes from the segment: its acknowledgment number, or without ACK the number after the
    /// last one that it occupies.
    expected_reply: SeqNum,
}

/// Maximum number of out-of-order segments remembered per end: a hostile capture must not exhaust memory.
const MAX_OUT_OF_ORDER: usize = 64;

/// Range of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeqRange {
    start: SeqNum,
    /// Sequence number after the last one of the range.
    end: SeqNum,
    /// True if the last number is that of a FIN.
    fin: bool,
}

/// Sequence numbers of an end. An unknown number is 0 here, so that the derived comparison of two ends is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Sequence number after the last one that this end has sent.
    pub(super) snd_nxt: SeqNum,
    /// Sequence number that this end expects next from the other end.
    pub(super) rcv_nxt: SeqNum,
    /// Oldest sequence number of this end that is not acknowledged.
    pub(super) snd_una: SeqNum,
    /// `TS.Recent` (RFC 7323, 4.3), which is compared like a sequence number.
    pub(super) ts_recent: SeqNum,
    /// Right edge of the highest SACK block in this end's latest segment.
    sack_edge: SeqNum,
    /// Initial send sequence number of this end.
    iss: SeqNum,
    /// Initial sequence number of the other end.
    irs: SeqNum,
    /// Sequence number after this end's FIN, once sent.
    after_fin: SeqNum,
}

// Layout of `Endpoint::bits`. Bits 0 to 8: which of the numbers and timestamps are known.
pub(super) const SND_NXT: u16 = 1;
pub(super) const RCV_NXT: u16 = 1 << 1;
pub(super) const SND_UNA: u16 = 1 << 2;
const TS_RECENT: u16 = 1 << 3;
const SACK_EDGE: u16 = 1 << 4;
pub(super) const ISS: u16 = 1 << 5;
pub(super) const IRS: u16 = 1 << 6;
pub(super) const AFTER_FIN: u16 = 1 << 7;
const TIMESTAMPS: u16 = 1 << 8;
/// Bit 9: the other end has acknowledged this end's FIN.
pub(super) const FIN_ACKNOWLEDGED: u16 = 1 << 9;
/// Bit 10: in SYN-RECEIVED, and no socket exists for the connection yet.
pub(super) const IS_REQUEST: u16 = 1 << 10;
/// Bit 11: an RST does not end TIME-WAIT.
pub(super) const KEEPS_TIME_WAIT: u16 = 1 << 11;
/// Bits 12 to 14: number of segments put into the ring, modulo [`RECENT_SEGMENTS`].
pub(super) const ONE_SENT: u16 = 1 << 12;
/// Bit 15: set once every slot of the ring has been written.
const IS_FULL: u16 = 1 << 15;

/// One end of the connection. The fields that most segments touch come first and take 56 bytes, so that they share a
/// cache line of 64 bytes with a pointer of [`Flow`].
#[derive(Clone, Debug, PartialEq, Eq)]
// The order of the fields is their layout; `latest` and what comes after it are in the next cache line.
#[repr(C)]
pub(super) struct Endpoint {
    /// Segments received beyond `rcv_nxt`.
    pub(super) out_of_order: SmallList<SeqRange>,
    pub(super) numbers: Numbers,
    /// Timestamps of the latest segment of this end that carried the option.
    pub(super) timestamps: TcpTimestamps,
    /// Number of retransmissions and probes since the last acknowledgment of new data.
    pub(super) unanswered: u32,
    pub(super) bits: u16,
    pub(super) state: State,
    /// Bit mask with one bit for each slot of `latest`: set if the segment there has an acknowledgment number.
    with_ack: u8,
    /// Latest segments that this end has sent, in a ring.
    latest: [Sent; RECENT_SEGMENTS],
    advertised: Advertised,
}

/// Generates a getter and a setter for each sequence number, which may be unknown.
macro_rules! numbers {
    ($($name:ident, $set:ident, $bit:ident;)*) => {
        $(
            pub(super) fn $name(&self) -> Option<SeqNum> {
                self.is($bit).then_some(self.numbers.$name)
            }

            pub(super) fn $set(&mut self, number: Option<SeqNum>) {
                self.numbers.$name = number.unwrap_or_default();
                self.set($bit, number.is_some());
            }
        )*
    };
}

impl Endpoint {
    pub(super) fn new(state: State) -> Self {
        Self {
            out_of_order: SmallList::new(),
            numbers: Numbers::default(),
            timestamps: TcpTimestamps::default(),
            unanswered: 0,
            bits: 0,
            state,
            with_ack: 0,
            latest: [Sent::default(); RECENT_SEGMENTS],
            advertised: Advertised::default(),
        }
    }

    /// Returns true if all these bits are set.
    pub(super) fn is(&self, bits: u16) -> bool {
        self.bits & bits == bits
    }

    pub(super) fn set(&mut self, bit: u16, is_set: bool) {
        if is_set {
            self.bits |= bit;
        } else {
            self.bits &= !bit;
        }
    }

    numbers! {
        snd_nxt, set_snd_nxt, SND_NXT;
        rcv_nxt, set_rcv_nxt, RCV_NXT;
        snd_una, set_snd_una, SND_UNA;
        ts_recent, set_ts_recent, TS_RECENT;
        sack_edge, set_sack_edge, SACK_EDGE;
        iss, set_iss, ISS;
        irs, set_irs, IRS;
        after_fin, set_after_fin, AFTER_FIN;
    }

    pub(super) fn timestamps(&self) -> Option<TcpTimestamps> {
        self.is(TIMESTAMPS).then_some(self.timestamps)
    }

    pub(super) fn set_timestamps(&mut self, timestamps: Option<TcpTimestamps>) {
        self.timestamps = timestamps.unwrap_or_default();
        self.set(TIMESTAMPS, timestamps.is_some());
    }

    /// Returns true if this number is of something that this end has sent and that may not have arrived.
    pub(super) fn is_outstanding(&self, seq: SeqNum) -> bool {
        self.snd_una().is_some_and(|una| !seq.is_before(una))
            && self.snd_nxt().is_some_and(|snd_nxt| !seq.is_after(snd_nxt))
    }

    /// Returns a number of this end's own sequence space, relative to its initial one.
    pub(super) fn relative(&self, number: SeqNum) -> Option<u32> {
        self.iss().map(|iss| number.relative_to(iss))
    }

    /// Returns true if this number lies beyond what has been captured on its way to this end.
    pub(super) fn has_not_received(&self, number: SeqNum) -> bool {
        self.rcv_nxt()
            .is_none_or(|rcv_nxt| number.is_after(rcv_nxt))
    }

    /// Returns true if this number acknowledges the SYN of this end: ISS < SEG.ACK =< SND.NXT (RFC 9293, 3.10.7.3).
    fn is_syn_acknowledged_by(&self, ack: SeqNum) -> bool {
        self.iss().is_some_and(|iss| ack.is_after(iss))
            && self.snd_nxt().is_some_and(|snd_nxt| !ack.is_after(snd_nxt))
    }

    /// Puts a sent segment into the ring, in place of the oldest.
    pub(super) fn remember(&mut self, frame: u32, has_ack: bool, expected_reply: SeqNum) {
        let place = self.next();
        self.latest[place] = Sent {
            frame,
            expected_reply,
        };
        self.with_ack = self.with_ack & !(1 << place) | u8::from(has_ack) << place;
        // When the counter wraps, its carry sets IS_FULL. A carry into an IS_FULL that is set would clear it, hence
        // the OR.
        self.bits = self.bits.wrapping_add(ONE_SENT) | self.bits & IS_FULL;
    }

    /// Returns the ring index at which the next segment goes.
    pub(super) fn next(&self) -> usize {
        usize::from(self.bits / ONE_SENT) % RECENT_SEGMENTS
    }

    /// Returns the frame of the latest segment that this end has sent, and true if it has an acknowledgment number.
    pub(super) fn latest(&self) -> Option<(u32, bool)> {
        let next = self.next();
        if next == 0 && !self.is(IS_FULL) {
            return None;
        }
        let place = (next + RECENT_SEGMENTS - 1) % RECENT_SEGMENTS;
        Some((self.latest[place].frame, self.with_ack >> place & 1 == 1))
    }

    /// Sets the initial number and, where unknown, SND.NXT and SND.UNA of an end that is first seen mid-stream.
    pub(super) fn pick_up(&mut self, iss: SeqNum, snd_nxt: SeqNum) {
        self.set_iss(Some(iss));
        self.set_snd_nxt(self.snd_nxt().or(Some(snd_nxt)));
        self.set_snd_una(self.snd_una().or(Some(snd_nxt)));
    }

    /// Sets RCV.NXT to a number that this end has acknowledged.
    pub(super) fn learn_received(&mut self, rcv_nxt: SeqNum) {
        self.set_rcv_nxt(Some(rcv_nxt));
        self.set_irs(self.irs().or(Some(rcv_nxt.plus(u32::MAX))));
        self.out_of_order
            .retain(|range| range.end.is_after(rcv_nxt));
        self.advance_over_out_of_order();
    }

    /// Processes a segment without RST that this end sends.
    pub(super) fn send(&mut self, header: &Header) {
        self.set_sack_edge(header.sack_edge);
        let end = header.seq_end();
        let has_ack = header.flags.has(Flags::ACK);
        let expected_reply = if has_ack { header.ack } else { end };
        self.remember(header.frame, has_ack, expected_reply);
        if header.timestamps.is_some() {
            self.set_timestamps(header.timestamps);
        }
        if header.flags.has(Flags::SYN) && self.iss().is_some_and(|iss| iss != header.seq) {
            return; // from another connection between these ends, or injected
        }
        if header.payload_len > 0 && self.snd_nxt().is_none_or(|it| !end.is_before(it)) {
            self.note_latest();
        }
        if self.snd_nxt().is_none_or(|snd_nxt| end.is_after(snd_nxt)) {
            // Probes that were answered count no more: nothing acknowledges new data when they are.
            if self.snd_una() == self.snd_nxt() {
                self.unanswered = 0;
            }
            self.set_snd_nxt(Some(end));
        } else if header.seq_len() > 0 || self.snd_una() == Some(header.seq.plus(1)) {
            // A retransmission; or a keepalive probe, which has no data and the number before the expected one.
            self.unanswered += 1;
        }
        if header.flags.has(Flags::SYN) && self.iss().is_none() {
            self.set_iss(Some(header.seq));
            self.set_snd_una(Some(header.seq));
            if has_ack && self.state == State::Listen {
                // A SYN-ACK that acknowledges data of the SYN comes from a socket (Fast Open); any other comes from a
                // request.
                let acknowledges_data = self
                    .irs()
                    .is_some_and(|irs| header.ack.is_after(irs.plus(1)))
                    && !self.has_not_received(header.ack);
                self.set(IS_REQUEST, !acknowledges_data);
                // Data in the SYN counts as received only if the SYN-ACK acknowledges it (RFC 7413, 2).
                self.set_rcv_nxt(Some(header.ack));
            }
            self.state = if has_ack || self.rcv_nxt().is_some() {
                State::SynReceived
            } else {
                State::SynSent
            };
        }
        if header.flags.has(Flags::FIN) && self.after_fin().is_none() {
            self.set_after_fin(Some(end));
            self.state = match self.state {
                State::CloseWait => State::LastAck,
                State::Established | State::SynReceived => State::FinWait1,
                other => other,
            };
        }
    }

    /// Returns true if this end is a request at a listener, without a socket of its own.
    pub(super) fn is_request(&self) -> bool {
        // The bit outlasts an RST, which may show nothing about this end.
        self.is(IS_REQUEST) && self.state != State::Closed
    }

    /// Processes an acknowledgment up to `ack` of what this end has sent. Returns true if it is the first
    /// acknowledgment of this end's FIN.
    pub(super) fn take_ack(&mut self, ack: SeqNum) -> bool {
        if self.state == State::SynReceived && self.is_syn_acknowledged_by(ack) {
            self.state = State::Established;
            self.set(IS_REQUEST, false);
        }
        if self.is_outstanding(ack) && self.snd_una() != Some(ack) {
            self.set_snd_una(Some(ack));
            self.unanswered = 0;
        }
        if self.is(FIN_ACKNOWLEDGED) || self.after_fin() != Some(ack) {
            return false;
        }
        self.set(FIN_ACKNOWLEDGED, true);
        self.state = match self.state {
            State::FinWait1 => State::FinWait2,
            State::Closing => State::TimeWait,
            State::LastAck => State::Closed,
            other => other,
        };
        true
    }

    /// Processes a segment without RST that reaches this end.
    pub(super) fn receive(&mut self, header: &Header) {
        if header.flags.has(Flags::SYN) {
            self.receive_syn(header);
            return;
        }
        let Some(rcv_nxt) = self.rcv_nxt() else {
            return;
        };
        if let Some(TcpTimestamps { value, .. }) = header.timestamps
            && !self.takes_timestamp(SeqNum(value), header.seq, rcv_nxt)
        {
            return; // old duplicate or forged: PAWS drops it (RFC 7323, 5.3)
        }
        let range = SeqRange {
            start: header.seq,
            end: header.seq_end(),
            fin: header.flags.has(Flags::FIN),
        };
        if range.start.is_after(rcv_nxt) {
            if range.start != range.end && self.out_of_order.len() < MAX_OUT_OF_ORDER {
                self.out_of_order.push(range);
            }
            return;
        }
        self.advance(range);
        self.advance_over_out_of_order();
    }

    /// Processes the timestamp of a segment that begins at `seq`. Returns false if it is older than TS.Recent.
    #[inline]
    fn takes_timestamp(&mut self, value: SeqNum, seq: SeqNum, rcv_nxt: SeqNum) -> bool {
        if self
            .ts_recent()
            .is_some_and(|recent| value.is_before(recent))
        {
            return false;
        }
        // Only a segment at the left edge of the window updates TS.Recent (RFC 7323, 4.3).
        if !seq.is_after(rcv_nxt) {
            self.set_ts_recent(Some(value));
        }
        true
    }

    fn receive_syn(&mut self, header: &Header) {
        if self.rcv_nxt().is_some() {
            return; // a retransmission or injected: the first SYN counts
        }
        if self.state == State::SynSent {
            if header
                .timestamps
                .is_some_and(|it| self.has_not_sent(it.echo))
            {
                return; // the kernel replies with an RST and drops the segment
            }
            self.state = if !header.flags.has(Flags::ACK) {
                State::SynReceived // simultaneous open: figure 7
            } else if self.is_syn_acknowledged_by(header.ack) {
                State::Established
            } else {
                return; // the kernel replies with an RST and drops the segment
            };
        }
        self.set_rcv_nxt(Some(header.seq_end()));
        self.set_irs(Some(header.seq));
        self.set_ts_recent(header.timestamps.map(|it| SeqNum(it.value)));
    }

    /// Returns true if `TSecr` in a reply to this end's SYN is a value that its clock has not reached.
    // `TSecr` 0 passes, as in `tcp_rcv_synsent_state_process()` of Linux.
    fn has_not_sent(&self, echo: u32) -> bool {
        echo != 0
            && self
                .timestamps()
                .is_some_and(|sent| SeqNum(echo).is_after(SeqNum(sent.value)))
    }

    fn advance_over_out_of_order(&mut self) {
        while let Some(rcv_nxt) = self.rcv_nxt()
            && let Some(range) = self
                .out_of_order
                .swap_remove(|range| !range.start.is_after(rcv_nxt))
        {
            self.advance(range);
        }
    }

    /// Advances RCV.NXT over a range that begins at or before it. After a FIN there is no more data (RFC 9293,
    /// 3.10.7.4, seventh).
    fn advance(&mut self, range: SeqRange) {
        let is_over = matches!(
            self.state,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        );
        if is_over {
            return;
        }
        if !self
            .rcv_nxt()
            .is_some_and(|rcv_nxt| range.end.is_after(rcv_nxt))
        {
            return;
        }
        self.set_rcv_nxt(Some(range.end));
        if range.fin {
            self.receive_fin();
        }
    }

    /// Changes the state as a FIN that has arrived does (RFC 9293, 3.10.7.4, eighth).
    pub(super) fn receive_fin(&mut self) {
        self.state = match self.state {
            State::Established | State::SynReceived => State::CloseWait,
            State::FinWait1 => State::Closing,
            State::FinWait2 => State::TimeWait,
            other => other,
        };
    }

    /// Returns the frame of this end's latest segment that an RST of this form would be a reply to.
    pub(super) fn triggered_by(&self, form: Form, reset: &Header) -> Option<u32> {
        // Of several segments with the same number, the kernel has replied to the last one at the latest.
        self.triggers(form, reset).next()
    }

    /// Returns the frames of this end's latest segments that an RST of this form may be a reply to, newest first.
    pub(super) fn triggers(&self, form: Form, reset: &Header) -> impl Iterator<Item = u32> {
        let wanted = match form {
            Form::Active => None,
            Form::Passive => Some((true, reset.seq)),
            Form::PassiveAck => Some((false, reset.ack)),
        };
        let next = self.next();
        let count = if self.is(IS_FULL) {
            RECENT_SEGMENTS
        } else {
            next
        };
        let newest_first =
            (1..=count).map(move |back| (next + RECENT_SEGMENTS - back) % RECENT_SEGMENTS);
        newest_first
            .filter(move |place| {
                let has_ack = self.with_ack >> place & 1 == 1;
                Some((has_ack, self.latest[*place].expected_reply)) == wanted
            })
            .map(|place| self.latest[place].frame)
    }

    /// Returns the number of bytes between this end's SYN and its FIN.
    pub(super) fn payload_sent(&self) -> u32 {
        let (Some(iss), Some(snd_nxt)) = (self.iss(), self.snd_nxt()) else {
            return 0;
        };
        // SYN and FIN occupy a sequence number each.
        let controls = 1 + u32::from(self.after_fin().is_some());
        snd_nxt.relative_to(iss).saturating_sub(controls)
    }

    /// Returns the number of bytes of `sender` that this end has received, with none missing before them.
    pub(super) fn payload_received(&self, sender: &Self) -> u32 {
        let (Some(irs), Some(rcv_nxt)) = (self.irs(), self.rcv_nxt()) else {
            return 0;
        };
        let has_fin = sender.after_fin() == Some(rcv_nxt);
        rcv_nxt
            .relative_to(irs)
            .saturating_sub(1 + u32::from(has_fin))
    }
}
