//! Full state of a connection, computed from its light one.

use super::super::super::forgery::{SenderProfile, Timing};
use super::super::super::history::{ConnectionHistory, OrderlyHistory};
use super::super::super::stack::Stack;
use super::super::super::zeek::{OrderlyRecord, OrderlySide, Zeek};
use super::super::copies::Latest;
use super::super::{CaptureGaps, Connection, Entry};
use super::{
    ANSWERED, AT_EOF, CLOSE_DEFERRED, DATA_AFTER_FIN, DID_CLOSE, ESTABLISHED, FIN,
    FIN_ACKNOWLEDGED, HAS_ACK, HAS_DATA, HOLDS_PLAIN, LATEST_HAS_CLOCK, LATEST_OF_SERVER, Light,
};
use crate::flow::{Flow, OrderlyEnd, RECENT_SEGMENTS};
use crate::packet::{Flags, SeqNum, TcpTimestamps};
use crate::time::Timestamp;

impl Light {
    /// Returns the full state.
    pub(in crate::analyze::connections) fn expand(&self) -> Entry {
        Entry {
            ends: self.ends,
            hash: self.hash,
            first: self.client,
            client: self.client,
            has_sent: self.by_end(|side| self.packets[side] > 0),
            span: self.span(),
            rare: None,
            flow: self.flow(),
            zeek: self.zeek(),
            is_record_over: false,
            is_self_connection: false,
            profiles: self.by_end(|side| self.sides[side].profile),
            last: self.last,
            idle: self.idle,
            history: self.history(),
            timing: self.timing,
            exchange: self.exchange,
            gaps: CaptureGaps::default(),
            stacks: self.stacks(),
            depends_from: self.first_frame,
            resets: 0,
            latest: self.latest(),
            generation: self.generation,
            due: self.due,
        }
    }

    /// Returns the connection as it is reported during frame `at`; `None` if it [may have stopped](Self::may_have_stopped), because the
    /// full state shows how.
    pub(in crate::analyze::connections) fn report(&self, at: u32) -> Option<Connection<'static>> {
        (!self.may_have_stopped()).then(|| Connection {
            reported_at: at,
            ends: self.ends,
            client: self.client(),
            span: self.span(),
            depends_from: self.first_frame,
            zeek: self.zeek().summary(self.client()),
            resets: 0,
            frames: &[],
            // Both ends have sent, and nothing is missing.
            gaps: CaptureGaps::default(),
            stacks: self.stacks(),
            idle: self.idle,
            errors: &[],
            comments: &[],
            error_count: 0,
            processes: [None; 2],
            translations: &[],
            failure: None,
            was_failure_reported: false,
            repeated: None,
            words: None,
        })
    }

    /// Returns a value for each end, in the order of `ends`.
    fn by_end<T>(&self, of_side: impl Fn(usize) -> T) -> [T; 2] {
        [0, 1].map(|end| of_side(self.end(end)))
    }

    pub(in crate::analyze::connections) fn client(&self) -> usize {
        usize::from(self.client)
    }

    /// Returns the profiles of both ends.
    pub(in crate::analyze::connections) fn profiles(&self) -> [&SenderProfile; 2] {
        [0, 1].map(|end| &self.sides[self.end(end)].profile)
    }

    /// Returns the likely stacks of both ends.
    pub(in crate::analyze::connections) fn stacks(&self) -> [Option<Stack>; 2] {
        self.by_end(|side| self.stacks[side])
    }

    pub(in crate::analyze::connections) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(in crate::analyze::connections) fn idle(&self) -> i64 {
        self.idle
    }

    /// Returns the first and the last frame.
    pub(in crate::analyze::connections) fn span(&self) -> (u32, u32) {
        (self.first_frame, self.latest_frame(self.latest_side()))
    }

    /// Returns the side of the latest segment.
    fn latest_side(&self) -> usize {
        usize::from(self.has(LATEST_OF_SERVER))
    }

    /// Returns the frame of a side's latest segment; 0 if it has sent none.
    fn latest_frame(&self, side: usize) -> u32 {
        self.latest_of_ring(side).map_or(0, |it| it.0)
    }

    fn latest_of_ring(&self, side: usize) -> Option<(u32, SeqNum)> {
        let latest = (self.packets[side] as usize).checked_sub(1)?;
        Some(self.sides[side].recent[latest % RECENT_SEGMENTS])
    }

    fn timestamps(&self, side: usize) -> Option<TcpTimestamps> {
        let value = self.sides[side].profile.clock_value()?;
        let echo = self.echoes[side];
        Some(TcpTimestamps { value, echo })
    }

    pub(in crate::analyze::connections) fn flow(&self) -> Flow {
        let end = |side: usize| {
            let own = &self.sides[side];
            OrderlyEnd {
                state: self.states[side],
                iss: own.iss,
                nxt: own.nxt,
                una: own.una,
                timestamps: self.timestamps(side),
                segments: self.packets[side],
                recent: &own.recent,
                syn_has_ack: side == 1,
                window: own.profile.latest_window(),
                window_scale: self.scales[side].checked_sub(1),
                has_fin: self.has(FIN << side),
                is_fin_acknowledged: self.has(FIN_ACKNOWLEDGED << side),
            }
        };
        Flow::orderly(&end(0), &end(1))
    }

    pub(in crate::analyze::connections) fn zeek(&self) -> Zeek {
        let side = |side: usize| {
            let own = &self.sides[side];
            OrderlySide {
                start: own.iss,
                last: own.sent(),
                acked: own.acked(),
                packets: self.packets[side],
                ip_bytes: self.ip_bytes[side],
                has_data: self.has(HAS_DATA << side),
                has_ack: self.has(HAS_ACK << side),
                has_fin: self.has(FIN << side),
                did_close: self.has(DID_CLOSE << side),
                is_at_eof: self.has(AT_EOF << side),
            }
        };
        Zeek::orderly(&OrderlyRecord {
            began: self.began,
            last: self.last,
            closed: self.closed(),
            letters: self.letters,
            is_close_deferred: self.has(CLOSE_DEFERRED),
            ports: [0, 1].map(|side| self.ends.port(self.end(side))),
            sides: [side(0), side(1)],
        })
    }

    pub(in crate::analyze::connections) fn history(&self) -> ConnectionHistory {
        let latest = self.latest_side();
        let end = |side: usize| OrderlyHistory {
            latest: (self.latest_frame(side), self.latest_at[side]),
            packets: self.packets[side],
            empties: if side == latest { self.empties } else { 0 },
            has_fin: self.has(FIN << side),
            has_data_after_fin: self.has(DATA_AFTER_FIN << side),
        };
        let at = |after: u32| Timestamp(self.began.0 + i64::from(after));
        let parts = [self.began, at(self.parts[0]), at(self.parts[1])];
        let count = 1 + usize::from(self.has(ANSWERED)) + usize::from(self.has(ESTABLISHED));
        ConnectionHistory::orderly(
            &[end(0), end(1)],
            &parts[..count],
            self.bits & HOLDS_PLAIN != 0,
        )
    }

    fn latest(&self) -> Latest {
        let side = self.latest_side();
        let own = &self.sides[side];
        let flags = self.latest_flags;
        let controls = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        let seq = own.nxt.0.wrapping_sub(self.latest_len + controls);
        // A SYN acknowledges nothing, and has the number 0 there.
        let ack = self.latest_of_ring(side).map(|it| it.1);
        let ack = ack.filter(|_| flags.has(Flags::ACK)).unwrap_or_default();
        let stamps = self.timestamps(side).filter(|_| self.has(LATEST_HAS_CLOCK));
        Latest::orderly(
            (flags, self.end(side)),
            (SeqNum(seq), ack, self.latest_len),
            stamps,
            (self.latest_id, own.profile.latest_window()),
            (self.last, own.profile.point(), own.profile.ttls().least()),
        )
    }
}
