//! Record of an orderly connection, of which a few numbers determine all others.

use super::end::{End, State};
use super::history::{Class, History, Letter};
use super::{CLOSE_DELAY, NEVER, Zeek, has_interactive_port, later};
use crate::packet::SeqNum;
use crate::time::Timestamp;

/// Letters of an orderly connection, each at most once: a SYN and its answer, and the first data, acknowledgment and FIN of each
/// side.
#[derive(Clone, Copy, Debug)]
pub(in crate::analyze) struct Letters(History);

/// Segment of an orderly connection that may add a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analyze) enum Kind {
    /// Answer to the SYN.
    SynAck,
    /// Payload, without FIN.
    Data,
    /// Acknowledgment alone.
    Ack,
    /// FIN, with payload or without.
    Fin,
}

impl Letters {
    /// Creates the letter of the SYN that begins a connection.
    pub(in crate::analyze) fn of_syn() -> Self {
        let mut history = History::default();
        history.push(Letter::Syn.code(0));
        Self(history)
    }

    /// Adds the letter of the first segment of this kind from a side.
    pub(in crate::analyze) fn add(&mut self, side: usize, kind: Kind) {
        let letter = match kind {
            Kind::SynAck => Letter::SynAck,
            Kind::Data => Letter::Data,
            Kind::Ack => Letter::Ack,
            Kind::Fin => Letter::Fin,
        };
        // Eight letters at most: there is room for twelve.
        self.0.push(letter.code(side));
    }
}

/// Side of an orderly connection. Sequence numbers are relative to that of its SYN.
#[derive(Clone, Copy, Debug)]
pub(in crate::analyze) struct OrderlySide {
    /// Initial sequence number.
    pub(in crate::analyze) start: SeqNum,
    /// Number after the last one that the side has sent; 0 if it has sent nothing.
    pub(in crate::analyze) last: u32,
    /// Number up to which the other side has acknowledged.
    pub(in crate::analyze) acked: u32,
    /// Number of its packets, and of their bytes with the IP header.
    pub(in crate::analyze) packets: u32,
    pub(in crate::analyze) ip_bytes: u32,
    /// True for what the side has sent.
    pub(in crate::analyze) has_data: bool,
    pub(in crate::analyze) has_ack: bool,
    pub(in crate::analyze) has_fin: bool,
    /// Zeek's `did_close` and `did_EOF`.
    pub(in crate::analyze) did_close: bool,
    pub(in crate::analyze) is_at_eof: bool,
}

/// Orderly connection: side 0 began it with a SYN.
#[derive(Clone, Copy, Debug)]
pub(in crate::analyze) struct OrderlyRecord {
    /// Times of the first and the last packet.
    pub(in crate::analyze) began: Timestamp,
    pub(in crate::analyze) last: Timestamp,
    /// Time at which both sides had closed.
    pub(in crate::analyze) closed: Option<Timestamp>,
    /// Letters of the history.
    pub(in crate::analyze) letters: Letters,
    /// True if a close waits for data to be acknowledged.
    pub(in crate::analyze) is_close_deferred: bool,
    /// Ports of the sides.
    pub(in crate::analyze) ports: [u16; 2],
    /// Sides.
    pub(in crate::analyze) sides: [OrderlySide; 2],
}

impl End {
    fn orderly(side: &OrderlySide, opened: State, before: State) -> Self {
        if side.packets == 0 {
            return Self::default();
        }
        let (before, state) = if side.has_fin {
            (opened, State::Closed)
        } else {
            (before, opened)
        };
        let without_fin = side.last - u32::from(side.has_fin);
        Self {
            last: side.last.into(),
            acked: side.acked.into(),
            ip_bytes: side.ip_bytes.into(),
            start: side.start,
            delivered: without_fin,
            packets: side.packets,
            after_fin: if side.has_fin { side.last } else { 0 },
            fin_written: if side.has_fin { without_fin } else { 0 },
            state,
            before,
            has_fin: side.has_fin,
            did_close: side.did_close,
            is_at_eof: side.is_at_eof,
            is_known: true,
            ..Self::default()
        }
    }
}

impl Zeek {
    /// Creates the record of an orderly connection.
    pub(in crate::analyze) fn orderly(it: &OrderlyRecord) -> Self {
        let [zero, one] = &it.sides;
        let is_established = one.packets > 0;
        let opened = if is_established {
            (State::Established, State::SynSent)
        } else {
            (State::SynSent, State::Inactive)
        };
        let mut seen = Class::Syn.bit(0);
        if is_established {
            seen |= Class::Syn.bit(1);
        }
        for (role, side) in it.sides.iter().enumerate() {
            for (has_sent, class) in [
                (side.has_data, Class::Data),
                (side.has_ack, Class::Ack),
                (side.has_fin, Class::Fin),
            ] {
                seen |= if has_sent { class.bit(role) } else { 0 };
            }
        }
        Self {
            began: it.began,
            // The last packet that counts is the one with which both had closed.
            last_time: it.closed.unwrap_or(it.last),
            removal: it.closed.map_or(NEVER, |at| later(at, CLOSE_DELAY)),
            history: it.letters.0,
            trouble: None,
            ends: [
                End::orderly(zero, opened.0, opened.1),
                End::orderly(one, State::Established, State::Inactive),
            ],
            seen,
            originator: 0,
            is_partial: false,
            is_close_deferred: it.is_close_deferred,
            is_established,
            is_interactive: it.ports.map(has_interactive_port),
        }
    }

    /// Returns the time at which an orderly connection is over unless another packet arrives, as [`Zeek::expires`] does. It is given the
    /// times of the first and the last packet and of the close of both ends, and the port of the responder.
    pub(in crate::analyze) fn orderly_expires(
        (began, last, closed): (Timestamp, Timestamp, Option<Timestamp>),
        is_answered: bool,
        responder_port: u16,
    ) -> Timestamp {
        if let Some(closed) = closed {
            return later(closed, CLOSE_DELAY);
        }
        if !is_answered {
            return later(last, super::HANDSHAKE_TIMEOUT).min(later(began, super::ATTEMPT_DELAY));
        }
        let timeout = if has_interactive_port(responder_port) {
            super::INTERACTIVE_TIMEOUT
        } else {
            super::INACTIVITY_TIMEOUT
        };
        later(last, timeout)
    }
}
