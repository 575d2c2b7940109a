//! What the segments of an end show about it as a receiver, and when it reopens after an RST.

use super::{Endpoint, FIN_ACKNOWLEDGED};
use crate::flow::{FinReceipt, State};
use crate::packet::{Flags, Header, Options, SeqNum};
use crate::time::Timestamp;

/// What the latest segments of an end show about it as a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Advertised {
    /// Acknowledgment number of the latest segment with ACK.
    ack: SeqNum,
    /// Time at which an RST ended this end, in units of 2^20 ns modulo 2^32.
    closed_at: u32,
    /// Window field of the latest segment with ACK, not scaled.
    window: u16,
    /// Offer in this end's SYN: 0 if its SYN is unknown, 1 without the window scale option, shift count plus 2 with it.
    scale: u8,
    /// Number of duplicate acknowledgments since the last one of new data.
    pub(super) duplicates: u8,
    /// Bits, see below.
    facts: u8,
    /// True if this end has sent the RST that ended it.
    is_gone: bool,
    /// Bits, see below.
    gaps: u8,
    /// State before an RST ended this end.
    state_before: Option<State>,
}

/// Compact form of [`Advertised`] for a dormant connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) struct ReceiverSummary {
    window: u16,
    scale: u8,
    facts: u8,
}

// Layout of `Advertised::facts`.
/// The end has sent an ACK.
pub(super) const HAS_ACK: u8 = 1;
/// The latest segment with ACK was a SYN, whose window is never scaled (RFC 7323, 2.2).
const OF_SYN: u8 = 1 << 1;
/// The end signs its segments.
pub(super) const SIGNED: u8 = 1 << 2;
/// The end uses Multipath TCP.
const MULTIPATH: u8 = 1 << 3;
/// The end has acknowledged data that the capture lacks.
const RECEIVED_UNSEEN: u8 = 1 << 4;
/// The end has replied to a SYN from an older connection between the same ports.
const OLDER: u8 = 1 << 5;
/// The FIN of the end was not captured: its other end has acknowledged it.
const FIN_INFERRED: u8 = 1 << 6;
/// The end has sent a segment other than an RST.
const HAS_SENT: u8 = 1 << 7;

// Layout of `Advertised::gaps`.
/// A segment of the end began after the next number: the capture lacks what is between.
const HAS_JUMPED: u8 = 1;
/// The capture lacks what the end has sent last, except for empty segments: data, or a FIN.
const LACKS_LATEST: u8 = 1 << 1;

/// The other end has acknowledged what the capture lacks.
const LACKS_ACKNOWLEDGED: u8 = 1 << 2;

/// Bits of `ReceiverSummary::scale`, whose other values are at most 16, that keep `LACKS_LATEST` and `LACKS_ACKNOWLEDGED`.
const KEPT_GAPS_SHIFT: u32 = 5;
const KEPT_GAPS: u8 = LACKS_LATEST | LACKS_ACKNOWLEDGED;
const SCALE: u8 = (1 << KEPT_GAPS_SHIFT) - 1;

/// Number of duplicate acknowledgments that show a missing segment.
pub(super) const MIN_DUPLICATES: u8 = 2;

/// Time after which a segment of an end shows that it never accepted an RST: what was in flight has arrived by then.
const IN_FLIGHT_TICKS: u32 = 1_000; // of 2^20 ns, about a second

impl Advertised {
    /// Creates what an end shows that has signed nothing and lacks nothing, given the latest acknowledgment number with its window,
    /// and the shift count in the end's SYN.
    pub(super) fn orderly(
        latest: Option<(SeqNum, u16)>,
        window_scale: Option<u8>,
        has_only_syn: bool,
    ) -> Self {
        let (ack, window) = latest.unwrap_or_default();
        let of_syn = if has_only_syn { OF_SYN } else { 0 };
        Self {
            ack,
            window,
            scale: window_scale.map_or(1, |shift| shift + 2),
            facts: HAS_SENT | latest.map_or(0, |_| HAS_ACK | of_syn),
            ..Self::default()
        }
    }
}

impl Endpoint {
    /// Returns the compact form for a dormant connection.
    pub(in crate::flow) fn receiver_summary(&self) -> ReceiverSummary {
        ReceiverSummary {
            window: self.advertised.window,
            scale: self.advertised.scale | (self.advertised.gaps & KEPT_GAPS) << KEPT_GAPS_SHIFT,
            facts: self.advertised.facts,
        }
    }

    /// Restores an end as a receiver that has acknowledged all that it has received.
    pub(in crate::flow) fn restore_receiver(&mut self, kept: ReceiverSummary, ack: SeqNum) {
        self.advertised = Advertised {
            ack,
            window: kept.window,
            scale: kept.scale & SCALE,
            facts: kept.facts,
            gaps: kept.scale >> KEPT_GAPS_SHIFT & KEPT_GAPS,
            ..Advertised::default()
        };
    }

    pub(super) fn has(&self, fact: u8) -> bool {
        self.advertised.facts & fact != 0
    }

    /// Returns true if this end uses Multipath TCP.
    pub(in crate::flow) fn is_multipath(&self) -> bool {
        self.has(MULTIPATH)
    }

    /// Returns true if this end belongs to an older connection between the same ports.
    pub(in crate::flow) fn is_older(&self) -> bool {
        self.has(OLDER)
    }

    /// Returns true if this is the acknowledgment number of this end's latest segment.
    pub(in crate::flow) fn has_just_acknowledged(&self, number: SeqNum) -> bool {
        self.has(HAS_ACK) && self.advertised.ack == number
    }

    /// Returns true if this end's latest segment with ACK was a SYN-ACK with window 0.
    pub(in crate::flow) fn has_opened_with_window_0(&self) -> bool {
        self.has(OF_SYN) && self.advertised.window == 0
    }

    /// Returns true if this end's latest acknowledgment came with window 0.
    pub(in crate::flow) fn has_closed_window(&self) -> bool {
        self.has(HAS_ACK) && !self.has(OF_SYN) && self.advertised.window == 0
    }

    /// Returns true if a segment of this end other than an RST has been captured.
    pub(in crate::flow) fn has_sent(&self) -> bool {
        self.has(HAS_SENT)
    }

    /// Returns what is known about the arrival of this end's FIN at the other end.
    pub(in crate::flow) fn fin_receipt(&self, receiver: &Self) -> FinReceipt {
        if self.has(FIN_INFERRED) {
            FinReceipt::Inferred
        } else if self.after_fin().is_none() {
            FinReceipt::NotSent
        } else if self.is(FIN_ACKNOWLEDGED) {
            FinReceipt::Acknowledged
        } else if self.unanswered > 0 {
            FinReceipt::Repeated
        } else if receiver.advertised.duplicates >= MIN_DUPLICATES {
            FinReceipt::Missing
        } else {
            FinReceipt::Unacknowledged
        }
    }

    /// Returns true if a FIN may be what this end sends next.
    pub(in crate::flow) fn can_send_fin(&self) -> bool {
        // An end in SYN-RECEIVED whose FIN is acknowledged has completed the handshake.
        self.after_fin().is_none()
            && matches!(
                self.state,
                State::SynReceived | State::Established | State::CloseWait
            )
    }

    /// Returns true if the capture holds only empty segments of this end at one number, and not its SYN: they may be
    /// keepalive probes, whose number is one below SND.NXT (RFC 9293, 3.8.4).
    pub(in crate::flow) fn may_have_sent_probe(&self) -> bool {
        let number = self.snd_nxt().and_then(|next| self.relative(next));
        self.has_sent() && self.advertised.scale == 0 && number == Some(1)
    }

    /// Returns true if a FIN of this end is inferred.
    pub(in crate::flow) fn is_fin_inferred(&self) -> bool {
        self.has(FIN_INFERRED)
    }

    /// Infers a FIN that was not captured: the other end has acknowledged one number after all that was captured.
    pub(in crate::flow) fn infer_fin(&mut self) {
        self.advertised.facts |= FIN_INFERRED;
    }

    /// Notes what a segment of this end shows about it as a receiver. `outstanding` is true if the other end has sent
    /// more than this segment acknowledges.
    #[inline]
    pub(in crate::flow) fn advertise(&mut self, header: &Header, outstanding: bool) {
        let it = &mut self.advertised;
        it.facts |= HAS_SENT;
        if header.seq_len() > 0 {
            // After a FIN there is no more data, and a captured FIN needs no inference.
            it.facts &= !FIN_INFERRED;
        }
        if header.options != Options::default() {
            let options = header.options;
            it.facts |= if options.is_signed() { SIGNED } else { 0 };
            it.facts |= if options.has_multipath() {
                MULTIPATH
            } else {
                0
            };
        }
        let is_syn = header.flags.has(Flags::SYN);
        if is_syn {
            it.scale = header.options.window_scale().map_or(1, |shift| shift + 2);
        }
        if !header.flags.has(Flags::ACK) {
            return;
        }
        if it.facts & HAS_ACK == 0 || it.ack != header.ack {
            it.duplicates = 0;
        } else if outstanding && header.seq_len() == 0 && it.window == header.window {
            // RFC 5681, 2.
            it.duplicates = it.duplicates.saturating_add(1);
        }
        // A selective acknowledgment of later data shows the same at once (RFC 2018, 4).
        if outstanding
            && header
                .sack_edge
                .is_some_and(|edge| edge.is_after(header.ack))
        {
            it.duplicates = it.duplicates.max(MIN_DUPLICATES);
        }
        it.ack = header.ack;
        it.window = header.window;
        it.facts = it.facts & !OF_SYN | HAS_ACK | if is_syn { OF_SYN } else { 0 };
    }

    /// Returns the first number after the window that this end has advertised last; `None` if its size is unknown,
    /// because the SYNs with the scale were not captured.
    pub(in crate::flow) fn window_end(&self, peer: &Self) -> Option<SeqNum> {
        let it = &self.advertised;
        if !self.has(HAS_ACK) {
            return None;
        }
        let shift = if self.has(OF_SYN) {
            0
        } else {
            match (it.scale, peer.advertised.scale) {
                // The option is in effect only if both ends have sent it (RFC 7323, 1.3).
                (1, _) | (_, 1) => 0,
                (0, _) | (_, 0) => return None,
                (own, _) => own - 2,
            }
        };
        Some(it.ack.plus(u32::from(it.window) << shift))
    }

    /// Ends this end by an RST that it has received.
    pub(in crate::flow) fn close(&mut self, at: Timestamp) {
        if self.state != State::Closed {
            self.advertised.state_before = Some(self.state);
            self.advertised.closed_at = ticks(at);
            self.advertised.is_gone = false;
        }
        self.state = State::Closed;
    }

    /// Ends this end by an RST that it has sent itself.
    pub(in crate::flow) fn leave(&mut self, at: Timestamp) {
        if self.state != State::Closed {
            self.close(at);
            self.advertised.is_gone = true;
        }
    }

    /// Returns this end to the state before an RST, if that RST shows nothing about it.
    pub(in crate::flow) fn reopen(&mut self) {
        if let Some(state) = self.advertised.state_before.take() {
            self.state = state;
        }
    }

    /// Sets this end back to an earlier state.
    pub(in crate::flow) fn restore(&mut self, state: State) {
        self.advertised.state_before = None;
        self.state = state;
    }

    /// Reopens this end if it continues after an RST. After one that it has accepted, a segment that was in flight shows
    /// nothing; after one in its own name, every segment does.
    pub(in crate::flow) fn reopen_if_it_goes_on(&mut self, header: &Header) {
        let Some(before) = self.advertised.state_before else {
            return;
        };
        let age = ticks(header.at).wrapping_sub(self.advertised.closed_at);
        // A reply to a SYN comes from a listener, which an RST does not end.
        let is_new_reply = header.flags.has(Flags::SYN) && before == State::SynReceived;
        let is_late = (IN_FLIGHT_TICKS..u32::MAX / 2).contains(&age);
        if is_new_reply || is_late || self.advertised.is_gone {
            self.reopen();
        }
    }

    /// Takes up an older connection: this end has replied to a SYN with an acknowledgment of other data.
    pub(in crate::flow) fn take_up_older(&mut self, header: &Header) {
        self.pick_up(header.seq.plus(u32::MAX), header.seq);
        self.set_rcv_nxt(Some(header.ack));
        self.set_irs(Some(header.ack.plus(u32::MAX)));
        self.set_ts_recent(None);
        self.advertised.facts |= OLDER;
        self.state = State::Established;
    }

    /// Notes that this end has acknowledged data that the capture lacks.
    pub(in crate::flow) fn note_unseen(&mut self) {
        self.advertised.facts |= RECEIVED_UNSEEN;
    }

    /// Notes whether a segment of this end begins after the next number.
    pub(in crate::flow) fn note_jump(&mut self, header: &Header) {
        let ahead = self.snd_nxt().map(|next| header.seq.relative_to(next));
        if ahead.is_some_and(|ahead| (1..1 << 30).contains(&ahead)) {
            self.advertised.gaps |= HAS_JUMPED | LACKS_LATEST;
        }
    }

    /// Notes that the capture lacks what this end has sent last: data, or a FIN. `is_acknowledged` is true if the other end has
    /// acknowledged it.
    pub(in crate::flow) fn note_lacking(&mut self, is_acknowledged: bool) {
        self.advertised.gaps |= LACKS_LATEST;
        if is_acknowledged {
            self.advertised.gaps |= LACKS_ACKNOWLEDGED;
        }
    }

    /// Notes that the data that this end has sent last were captured. Nothing follows a FIN, so none is missing before them.
    #[inline]
    pub(in crate::flow) fn note_latest(&mut self) {
        self.advertised.gaps &= !KEPT_GAPS;
    }

    /// Returns true if the other end has acknowledged what this end has sent last, and the capture lacks it.
    pub(in crate::flow) fn lacks_acknowledged(&self) -> bool {
        self.advertised.gaps & LACKS_ACKNOWLEDGED != 0
    }

    /// Returns true if the capture may lack a FIN of this end.
    pub(in crate::flow) fn lacks_latest(&self) -> bool {
        self.advertised.gaps & LACKS_LATEST != 0
    }

    /// Returns true if the capture lacks data that this end has sent before its latest segments.
    pub(in crate::flow) fn has_jumped(&self) -> bool {
        self.advertised.gaps & HAS_JUMPED != 0
    }

    /// Returns true if the capture lacks data that this end has received.
    pub(in crate::flow) fn has_received_unseen(&self) -> bool {
        self.has(RECEIVED_UNSEEN)
    }
}

/// Returns the time in units of 2^20 ns, modulo 2^32 units.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the cast is the modulo
fn ticks(at: Timestamp) -> u32 {
    (at.0 >> 20) as u32
}
