//! Summary of a dormant flow: numbers and states, without the segments behind them.

use super::endpoint::{
    AFTER_FIN, Endpoint, FIN_ACKNOWLEDGED, IRS, IS_REQUEST, ISS, KEEPS_TIME_WAIT, RCV_NXT,
    ReceiverSummary, SND_NXT, SND_UNA,
};
use super::{Flow, State};
use crate::packet::SeqNum;

/// Numbers and states of both ends of a dormant connection, in a few bytes.
///
/// What passes with time is left out: segments out of order, RSTs in flight, and all but the last segment of each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowSummary {
    client: EndSummary,
    server: EndSummary,
}

/// Numbers and state of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EndSummary {
    iss: SeqNum,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    /// Frame of the last segment that this end has sent; 0 if it has sent nothing.
    last_frame: u32,
    /// Bits of the end that remain valid without its other fields.
    bits: u16,
    state: State,
    /// Receive window and facts of the end.
    receiver: ReceiverSummary,
    /// True if the last segment has an acknowledgment number.
    has_ack: bool,
}

const _: () = assert!(size_of::<FlowSummary>() <= 48);

/// Bits that are kept.
const KEPT: u16 = SND_NXT
    | RCV_NXT
    | SND_UNA
    | ISS
    | IRS
    | AFTER_FIN
    | FIN_ACKNOWLEDGED
    | IS_REQUEST
    | KEEPS_TIME_WAIT;

impl FlowSummary {
    /// Returns the frame of the last segment of the client and of the server; 0 if an end has sent none.
    pub(crate) fn last_frames(&self) -> [u32; 2] {
        [self.client.last_frame, self.server.last_frame]
    }
}

impl EndSummary {
    fn of(end: &Endpoint) -> Self {
        let (last_frame, has_ack) = end.latest().unwrap_or_default();
        Self {
            iss: end.iss().unwrap_or_default(),
            snd_nxt: end.snd_nxt().unwrap_or_default(),
            rcv_nxt: end.rcv_nxt().unwrap_or_default(),
            last_frame,
            bits: end.bits & KEPT,
            state: end.state,
            receiver: end.receiver_summary(),
            has_ack,
        }
    }

    /// Returns the end again, given what is known of the other one.
    fn restore(&self, other: &Self) -> Endpoint {
        let has = |bit: u16| self.bits & bit == bit;
        let mut end = Endpoint::new(self.state);
        // Nothing follows a FIN, so it is the last that was sent. What the other end has received is acknowledged.
        let is_acknowledged = other.bits & RCV_NXT != 0
            && !other.rcv_nxt.is_after(self.snd_nxt)
            && !other.rcv_nxt.is_before(self.iss);
        let snd_una = if is_acknowledged {
            other.rcv_nxt
        } else {
            self.snd_nxt
        };
        end.set_iss(has(ISS).then_some(self.iss));
        end.set_snd_nxt(has(SND_NXT).then_some(self.snd_nxt));
        end.set_rcv_nxt(has(RCV_NXT).then_some(self.rcv_nxt));
        end.set_snd_una(has(SND_UNA).then_some(snd_una));
        end.set_irs((has(IRS) && other.bits & ISS != 0).then_some(other.iss));
        end.set_after_fin(has(AFTER_FIN).then_some(self.snd_nxt));
        for bit in [FIN_ACKNOWLEDGED, IS_REQUEST, KEEPS_TIME_WAIT] {
            end.set(bit, has(bit));
        }
        end.restore_receiver(self.receiver, self.rcv_nxt);
        if self.last_frame > 0 {
            let expected_reply = if self.has_ack {
                self.rcv_nxt
            } else {
                self.snd_nxt
            };
            end.remember(self.last_frame, self.has_ack, expected_reply);
        }
        end
    }
}

impl Flow {
    /// Returns the compact form of the flow for a dormant connection.
    pub(crate) fn summary(&self) -> FlowSummary {
        FlowSummary {
            client: EndSummary::of(&self.client),
            server: EndSummary::of(&self.server),
        }
    }

    /// Returns the flow of a connection that continues after dormancy.
    pub(crate) fn restored(kept: &FlowSummary) -> Self {
        Self {
            client: kept.client.restore(&kept.server),
            server: kept.server.restore(&kept.client),
            ..Self::learning()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Acceptance;
    use crate::packet::{Flags, Header};
    use crate::time::Timestamp;
    use crate::transcript::Role;

    fn header(frame: u32, flags: u8, seq: u32, ack: u32, payload_len: u32) -> Header {
        Header {
            frame,
            at: Timestamp(frame.into()),
            flags: Flags(flags),
            window: 512,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            payload_len,
            ..Header::default()
        }
    }

    const SYN: u8 = Flags::SYN.0;
    const ACK: u8 = Flags::ACK.0;
    const FIN: u8 = Flags::FIN.0;
    const RST: u8 = Flags::RST.0;

    /// Segments of a connection that is closed in order; the numbers wrap round.
    fn script() -> Vec<(Role, Header)> {
        let (client, server) = (Role::Client, Role::Server);
        let (x, y) = (u32::MAX - 2, 7_000);
        vec![
            (client, header(1, SYN, x, 0, 0)),
            (server, header(2, SYN | ACK, y, x.wrapping_add(1), 0)),
            (client, header(3, ACK, x.wrapping_add(1), y + 1, 0)),
            (client, header(4, ACK, x.wrapping_add(1), y + 1, 10)),
            (server, header(5, ACK, y + 1, x.wrapping_add(11), 20)),
            (client, header(6, FIN | ACK, x.wrapping_add(11), y + 21, 0)),
            (server, header(7, FIN | ACK, y + 21, x.wrapping_add(12), 0)),
            (client, header(8, ACK, x.wrapping_add(12), y + 22, 0)),
        ]
    }

    /// After any segment of a connection, a flow that was dormant and one that was not judge the next segments in the same way.
    #[test]
    fn a_compacted_flow_continues_in_the_same_state() {
        let segments = script();
        for rest_after in 0..=segments.len() {
            let (mut flow, mut other) = (Flow::learning(), Flow::learning());
            for (nth, (from, segment)) in segments.iter().enumerate() {
                if nth == rest_after {
                    other = Flow::restored(&other.summary());
                }
                flow.follow(*from, segment);
                other.follow(*from, segment);
                for role in [Role::Client, Role::Server] {
                    assert_eq!(flow.state(role), other.state(role), "{rest_after}, {nth}");
                    assert_eq!(flow.snd_nxt(role), other.snd_nxt(role));
                    assert_eq!(flow.rcv_nxt(role), other.rcv_nxt(role));
                    assert_eq!(flow.payload_sent(role), other.payload_sent(role));
                }
            }
            let frames = other.summary().last_frames();
            assert_eq!(frames, [8, 7]);
        }
    }

    /// RFC 9293, 3.10.7.1: a reply takes its SEQ from the ACK of the segment it answers, however long ago that was.
    #[test]
    fn an_rst_replies_to_the_last_segment_before_the_connection_was_idle() {
        let mut flow = Flow::learning();
        for (from, segment) in &script()[..4] {
            flow.follow(*from, segment);
        }
        let mut flow = Flow::restored(&flow.summary());
        let answer = Header {
            window: 0,
            ..header(9, RST, 7_001, 0, 0)
        };
        let reset = flow.follow(Role::Server, &answer).and_then(|it| it.reset);
        let reset = reset.unwrap();
        assert_eq!(reset.triggered_by, Some(4));
        assert_eq!(reset.acceptance, Acceptance::Exact { seq: 1 });
        assert_eq!(reset.receiver_state, State::Established);
    }
}
