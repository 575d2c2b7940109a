//! Zeek's description of a connection: `conn_state`, `history`, byte and packet counts, and end of the connection.
//!
//! Users know connections by these terms, so they follow Zeek and not RFC 9293: Zeek tracks each end separately, in
//! states of its own, and records its observations as letters. `Zeek` does the same, packet by packet, as Zeek 8 does
//! with its default scripts and without checksums (`zeek -C`): it makes the decisions of
//! `TCPSessionAdapter::Process()`, in the same order. Packets that only advance numbers, which are nearly all, take a
//! fast path.
//!
//! Not covered: `C`, because no checksum is verified; gaps where a snapshot length truncated the payload, because a
//! [`Header`] does not show them; the direction as determined by an analyzer of the payload. The module is pure: no
//! clock, no socket, no pcap.

mod end;
mod history;
mod orderly;
mod process;
mod stream;
mod summary;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Serialize, Serializer};

use self::end::{End, State, is_after, low};
use self::history::History;
pub(super) use self::orderly::{Kind, Letters, OrderlyRecord, OrderlySide};
use self::stream::Trouble;
pub use self::summary::ZeekSummary;
use crate::packet::{Flags, Header};
use crate::time::Timestamp;

/// Zeek's state of a connection (`conn_state`; `determine_state()` of `base/protocols/conn`). The variants are
/// described in the words of Zeek's documentation, which are looser than the rules; `Zeek::conn_state` has the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnState {
    /// Connection attempt without a reply.
    S0,
    /// Established, not closed.
    S1,
    /// Established and closed.
    SF,
    /// Connection attempt that was rejected.
    Rej,
    /// Established, and closed by the originator alone.
    S2,
    /// Established, and closed by the responder alone.
    S3,
    /// Established, and reset by the originator.
    Rsto,
    /// Reset by the responder.
    Rstr,
    /// SYN and RST of the originator, without a SYN of the responder.
    Rstos0,
    /// RST of the responder, without a SYN of the originator.
    Rstrh,
    /// SYN and FIN of the originator, without a SYN of the responder: half open.
    Sh,
    /// SYN and FIN of the responder, without a SYN of the originator.
    Shr,
    /// Any other connection: usually one captured mid-stream.
    Oth,
}

impl ConnState {
    /// Returns Zeek's spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::SF => "SF",
            Self::Rej => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        }
    }
}

impl fmt::Display for ConnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for ConnState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One connection, as Zeek sees it.
///
/// Side 0 is the end that sent the first packet, side 1 the other one. The side that is the originator is Zeek's guess,
/// and may change. Pairs begin with the originator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zeek {
    /// Time of the first packet.
    began: Timestamp,
    /// Time of the last packet; no longer updated once both ends have closed.
    last_time: Timestamp,
    /// Time at which Zeek removes the connection after a close.
    removal: Timestamp,
    history: History,
    /// Rare state; present only after an irregularity.
    trouble: Option<Box<Trouble>>,
    ends: [End; 2],
    /// Letters that the history records once: a bit for each [`Class`] and direction.
    seen: u16,
    originator: u8,
    /// Zeek's `is_partial`: true if the connection seems to have begun before the capture.
    is_partial: bool,
    /// True if an end has closed while data is missing or unacknowledged.
    is_close_deferred: bool,
    /// True once Zeek would have raised `connection_established`.
    is_established: bool,
    /// True for each side whose port is that of an interactive protocol.
    is_interactive: [bool; 2],
}

const SECOND: i64 = 1_000_000_000;
/// Zeek's `tcp_attempt_delay`, in nanoseconds.
const ATTEMPT_DELAY: i64 = 5 * SECOND;
/// Zeek's `tcp_close_delay` and `tcp_reset_delay`, in nanoseconds.
const CLOSE_DELAY: i64 = 5 * SECOND;
/// Time-out of `InactivityTimer` before a connection is established, in nanoseconds.
const HANDSHAKE_TIMEOUT: i64 = 60 * SECOND;
/// Zeek's `tcp_inactivity_timeout`, in nanoseconds.
const INACTIVITY_TIMEOUT: i64 = 300 * SECOND;
/// Zeek's `port_inactivity_timeouts` of `base/protocols/conn/inactivity.zeek`, in nanoseconds.
const INTERACTIVE_TIMEOUT: i64 = 3600 * SECOND;
const NEVER: Timestamp = Timestamp(i64::MAX);

impl Zeek {
    /// Creates a connection from its first packet, which has `ip_len` bytes with its IP header, given source and
    /// destination port of the packet.
    #[must_use]
    pub(crate) fn new(first: &Header, ip_len: u32, ports: [u16; 2]) -> Self {
        let mut this = Self {
            began: first.at,
            last_time: first.at,
            removal: NEVER,
            history: History::default(),
            trouble: None,
            ends: [End::default(); 2],
            seen: 0,
            originator: 0,
            is_partial: false,
            is_close_deferred: false,
            is_established: false,
            is_interactive: ports.map(has_interactive_port),
        };
        if comes_from_server(first.flags, ports) {
            this.flip();
        }
        this.take(0, first, ip_len);
        this
    }

    /// Returns true if the connection is over before this packet of the same ends, which then begins another
    /// connection: a timer has expired, or the packet is a SYN that does not belong to this connection (`IsReuse()`).
    #[cfg(test)]
    fn is_over_before(&self, header: &Header) -> bool {
        header.flags.has(Flags::SYN) && self.is_reused_by(header) || self.has_expired_by(header.at)
    }

    /// Processes the next packet, sent by `side` and of `ip_len` bytes with its IP header.
    #[inline]
    pub(crate) fn take(&mut self, side: usize, header: &Header, ip_len: u32) {
        // The mask shows the compiler that the index is in bounds.
        let side = side & 1;
        if !self.take_expected(side, header) {
            self.take_any(side, header);
        }
        self.ends[side].count(ip_len);
    }

    /// Returns true if a packet of this side is the usual one, for [`Self::take_usual`].
    #[inline]
    pub(crate) fn is_usual(&self, side: usize, header: &Header) -> bool {
        self.expects(side & 1, header)
    }

    /// Processes the next packet, for which [`Self::is_usual`] holds.
    #[inline]
    pub(crate) fn take_usual(&mut self, side: usize, header: &Header, ip_len: u32) {
        let side = side & 1;
        self.continue_by(side, header);
        self.ends[side].count(ip_len);
    }

    /// Returns the time at which the connection is over unless another packet arrives before. A packet at exactly this
    /// time begins another connection.
    #[must_use]
    pub(crate) fn expires(&self) -> Timestamp {
        let [orig, resp] = [0, 1].map(|role| self.end_of(role));
        let timeout = if orig.state.is_handshake() && resp.state.is_handshake() {
            HANDSHAKE_TIMEOUT
        } else if self.is_established && self.is_interactive[self.originator() ^ 1] {
            INTERACTIVE_TIMEOUT
        } else {
            INACTIVITY_TIMEOUT
        };
        let expires = later(self.last_time, timeout).min(self.removal);
        // In this state the first packet was the SYN, because the responder has sent nothing.
        let is_attempt = matches!(orig.state, State::SynSent | State::SynAckSent)
            && orig.before == State::Inactive
            && resp.state == State::Inactive;
        if is_attempt {
            expires.min(later(self.began, ATTEMPT_DELAY))
        } else {
            expires
        }
    }

    /// Returns the side that is the originator.
    pub(crate) fn originator(&self) -> usize {
        usize::from(self.originator & 1)
    }

    /// Returns the `conn_state` that Zeek would log if the connection were over now.
    fn conn_state(&self) -> ConnState {
        let [orig, resp] = [0, 1].map(|role| self.end_of(role).state);
        let is_partial = |state| matches!(state, State::Inactive | State::Partial);
        // Earlier arms take precedence, as in `determine_state()`.
        match (orig, resp) {
            (State::SynSent | State::SynAckSent, State::Reset) => ConnState::Rej,
            (State::Reset, State::Reset) if self.sequence_space() == [0, 0] => ConnState::Rej,
            (orig, State::Reset) if is_partial(orig) => ConnState::Rstrh,
            (_, State::Reset) => ConnState::Rstr,
            (State::Reset, resp) if !is_partial(resp) => ConnState::Rsto,
            (State::Reset, _) if self.is_syn_then_reset() => ConnState::Rstos0,
            (State::Reset, _) => ConnState::Oth,
            (State::Closed, State::Closed) => ConnState::SF,
            (State::Closed, resp) if is_partial(resp) => ConnState::Sh,
            (State::Closed, _) => ConnState::S2,
            (orig, State::Closed) if is_partial(orig) => ConnState::Shr,
            (_, State::Closed) => ConnState::S3,
            (State::SynSent, State::Inactive) => ConnState::S0,
            (State::Established, State::Established) => ConnState::S1,
            _ => ConnState::Oth,
        }
    }

    /// Returns Zeek's history letters; those of the originator are capital. An end may send any number of RSTs and FINs
    /// that each add a letter, so the history is limited to 268 letters.
    fn history(&self) -> String {
        let more = self.trouble.as_ref().map_or(&[][..], |it| &it.letters);
        self.history.text(more)
    }

    /// Returns `orig_ip_bytes` and `resp_ip_bytes`.
    fn ip_bytes(&self) -> [u64; 2] {
        [0, 1].map(|role| self.end_of(role).ip_bytes)
    }

    /// Returns `missed_bytes`: the number of bytes, over both ends, that were acknowledged but not captured.
    fn missed_bytes(&self) -> u64 {
        self.trouble.as_ref().map_or(0, |trouble| trouble.missed)
    }

    /// Returns the end of a role; role 0 is the originator.
    fn end_of(&self, role: usize) -> &End {
        &self.ends[(self.originator() ^ role) & 1]
    }

    /// Returns the number of sequence numbers that each end has used or had acknowledged, without those of SYN and FIN.
    fn sequence_space(&self) -> [u64; 2] {
        let [orig, resp] = [0, 1].map(|role| self.end_of(role));
        [orig.sequence_space(resp), resp.sequence_space(orig)]
    }

    /// Returns true if the history is one of `RSTOS0`: `^?S[^HAFGIQ]*R.*`.
    fn is_syn_then_reset(&self) -> bool {
        let history = self.history();
        let letters = history.strip_prefix('^').unwrap_or(&history);
        letters
            .strip_prefix('S')
            .and_then(|rest| {
                rest.find(['R', 'H', 'A', 'F', 'G', 'I', 'Q'])
                    .map(|at| &rest[at..])
            })
            .is_some_and(|rest| rest.starts_with('R'))
    }
}

fn later(at: Timestamp, by: i64) -> Timestamp {
    Timestamp(at.0.saturating_add(by))
}

/// End of the connection.
impl Zeek {
    /// Returns true if a timer has expired by this time, so that a packet begins another record.
    #[inline]
    pub(super) fn has_expired_by(&self, now: Timestamp) -> bool {
        const MIN_TIMEOUT: i64 = CLOSE_DELAY;
        // No timer is shorter once both ends have sent something, so for nearly all packets `expires()` is not needed.
        let is_under_way = self.removal == NEVER
            && now.since(self.last_time) < MIN_TIMEOUT
            && self.ends.iter().all(|end| end.state != State::Inactive);
        !is_under_way && now >= self.expires()
    }

    /// Returns true if this SYN does not belong to the connection (`IsReuse()`).
    #[cold]
    pub(super) fn is_reused_by(&self, syn: &Header) -> bool {
        let (orig, resp) = (self.end_of(0), self.end_of(1));
        if syn.flags.has(Flags::ACK) {
            // The SYN-ACK replies to a SYN, if there was one.
            return orig.state == State::Inactive && (resp.did_close || syn.seq != resp.start);
        }
        if orig.did_close || resp.did_close {
            return true;
        }
        let was_overtaken = orig.state == State::SynAckSent
            && resp.state == State::Inactive
            && syn.seq == resp.start;
        syn.seq != orig.start && !was_overtaken
    }

    /// Handles the FIN or RST of an end (`ConnectionClosed()`).
    fn close(&mut self, side: usize) {
        self.is_close_deferred = self.is_pending(side);
        if self.is_close_deferred || self.ends[side].did_close {
            return;
        }
        self.ends[side].did_close = true;
        let peer = &self.ends[side ^ 1];
        let is_complete = self.ends[side].state == State::Reset
            || peer.did_close
            || peer.state == State::Inactive;
        if is_complete {
            self.removal = later(self.last_time, CLOSE_DELAY);
        }
    }

    /// Completes a deferred close (`CheckEOF()`) when an end has sent all its data, and none of it is missing. This
    /// happens once, and for whichever end is first.
    fn check_eof(&mut self, side: usize) {
        let end = &self.ends[side];
        let has_ended = end.has_fin || matches!(end.state, State::Closed | State::Reset);
        if end.is_at_eof || !has_ended || self.is_pending(side) {
            return;
        }
        self.ends[side].is_at_eof = true;
        // One flag serves both ends, as in Zeek, so this end may complete the other's close.
        if self.is_close_deferred {
            self.close(side);
            self.is_close_deferred = false;
        }
    }

    /// Returns true if this end cannot be closed yet: some of its data is missing, or some of its peer's data is
    /// unacknowledged. The latter does not matter to an end that was reset.
    fn is_pending(&self, side: usize) -> bool {
        let (end, peer) = (&self.ends[side], &self.ends[side ^ 1]);
        if end.gave_up {
            return false;
        }
        // The last sequence number may be that of a FIN.
        let is_missing = is_after(low(end.last).wrapping_sub(1), end.delivered);
        is_missing || end.state != State::Reset && peer.has_unacknowledged()
    }
}

/// Choice of the originator.
impl Zeek {
    /// Returns the role of a side. The letters of role 0 are capital.
    fn role(&self, side: usize) -> usize {
        (side ^ self.originator()) & 1
    }

    fn flip(&mut self) {
        self.originator ^= 1;
        self.is_partial = false;
        self.append(History::FLIP);
    }
}

/// Returns true for the ports of interactive protocols: FTP, SSH, Telnet and rlogin.
fn has_interactive_port(port: u16) -> bool {
    matches!(port, 21 | 22 | 23 | 513)
}

/// Returns true if the sender of a connection's first packet is the responder: the packet is not a plain SYN, and its
/// source port is likely that of a server.
fn comes_from_server(flags: Flags, [source, destination]: [u16; 2]) -> bool {
    let is_syn = flags.has(Flags::SYN);
    if is_syn && !flags.has(Flags::ACK) || !is_likely_server(source) {
        return false;
    }
    !is_likely_server(destination) || !is_syn && source < destination
}

/// Returns true for the TCP ports in `likely_server_ports` of Zeek's default scripts.
fn is_likely_server(port: u16) -> bool {
    #[rustfmt::skip]
    let is_likely = matches!(
        port,
        21 | 22 | 25 | 53 | 79 | 80 | 81 | 88 | 110 | 135 | 139 | 143 | 389 | 443 | 445 | 465 | 502 | 563 | 585 | 587 | 614
        | 631 | 636 | 989 | 990 | 992 | 993 | 995 | 1080 | 1434 | 1883 | 2811 | 3128 | 3268 | 3306 | 3389 | 5222 | 5223
        | 5269 | 5432 | 6379 | 6666..=6669 | 8000 | 8080 | 8888 | 20000
    );
    is_likely
}
