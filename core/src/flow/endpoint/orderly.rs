//! End of an orderly connection, of which a few numbers determine all others.

use super::advertised::Advertised;
use super::{
    Endpoint, FIN_ACKNOWLEDGED, IS_FULL, IS_REQUEST, ONE_SENT, RECENT_SEGMENTS, Sent, State,
};
use crate::packet::{SeqNum, TcpTimestamps};

/// End of a connection that began with its SYN, and from which nothing is missing: each segment continued its sender's, and
/// acknowledged no more than was captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderlyEnd<'a> {
    /// State of the end.
    pub(crate) state: State,
    /// Initial sequence number.
    pub(crate) iss: SeqNum,
    /// Sequence number after the last one that the end has sent.
    pub(crate) nxt: SeqNum,
    /// Oldest sequence number that the other end has not acknowledged.
    pub(crate) una: SeqNum,
    /// Timestamps of its latest segment that carried the option.
    pub(crate) timestamps: Option<TcpTimestamps>,
    /// Number of its segments; 0 if it has sent nothing.
    pub(crate) segments: u32,
    /// Frames of its latest segments, each with the number that a reply takes from it, in a ring.
    pub(crate) recent: &'a [(u32, SeqNum); RECENT_SEGMENTS],
    /// True if its SYN has an acknowledgment number.
    pub(crate) syn_has_ack: bool,
    /// Window field of its latest segment.
    pub(crate) window: u16,
    /// Shift count of the window scale option in its SYN.
    pub(crate) window_scale: Option<u8>,
    /// True if it has sent a FIN.
    pub(crate) has_fin: bool,
    /// True if that FIN was acknowledged.
    pub(crate) is_fin_acknowledged: bool,
}

impl OrderlyEnd<'_> {
    /// Returns the acknowledgment number of the latest segment; `None` if no segment has one.
    fn latest_ack(&self) -> Option<SeqNum> {
        let latest = (self.segments as usize).checked_sub(1)?;
        let has_ack = self.syn_has_ack || latest > 0;
        has_ack.then(|| self.recent[latest % RECENT_SEGMENTS].1)
    }
}

impl Endpoint {
    /// Creates an end, given both ends of the connection.
    pub(in crate::flow) fn orderly(own: &OrderlyEnd<'_>, other: &OrderlyEnd<'_>) -> Self {
        let mut end = Self::new(own.state);
        if own.segments > 0 {
            end.set_iss(Some(own.iss));
            end.set_snd_nxt(Some(own.nxt));
            end.set_snd_una(Some(own.una));
            end.set_timestamps(own.timestamps);
            end.set_after_fin(own.has_fin.then_some(own.nxt));
            end.set(FIN_ACKNOWLEDGED, own.is_fin_acknowledged);
            end.set(IS_REQUEST, own.state == State::SynReceived);
            end.advertised = Advertised::orderly(
                own.latest_ack().map(|ack| (ack, own.window)),
                own.window_scale,
                own.segments == 1,
            );
        }
        if other.segments > 0 {
            end.set_rcv_nxt(Some(other.nxt));
            end.set_irs(Some(other.iss));
            end.set_ts_recent(other.timestamps.map(|it| SeqNum(it.value)));
        }
        end.latest = own.recent.map(|(frame, expected_reply)| Sent {
            frame,
            expected_reply,
        });
        let is_full = own.segments as usize >= RECENT_SEGMENTS;
        end.set(IS_FULL, is_full);
        let next = u16::try_from(own.segments as usize % RECENT_SEGMENTS).unwrap_or(0);
        end.bits += next * ONE_SENT;
        let used = if is_full { u8::MAX } else { (1 << next) - 1 };
        // The first slot holds the SYN until the ninth segment takes its place.
        let holds_syn = own.segments as usize <= RECENT_SEGMENTS;
        end.with_ack = used & !u8::from(holds_syn && !own.syn_has_ack);
        end
    }
}
