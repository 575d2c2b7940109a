//! ICMP errors about the connections of a capture: which end each one reaches, and what its kernel makes of it.
//!
//! The rules are those of `tcp_v4_err()` and `tcp_v6_err()` of the Linux kernel (`net/ipv4/tcp_ipv4.c`,
//! `net/ipv6/tcp_ipv6.c`): they look at the sequence number that is quoted, then at the type of the message, then at the
//! state of the socket.

use std::borrow::Cow;
use std::net::IpAddr;

use super::decode::ErrorRecord;
use super::history::CaptureGaps;
use super::related::{self, Related};
use crate::flow::{Flow, State, errno_of_message};
use crate::packet::SeqNum;
use crate::packet::icmp::IcmpKind;
use crate::time::Timestamp;
use crate::transcript::{Errno, Role};

/// Effect of an ICMP error on the end that it reaches, on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The connection attempt fails with the error.
    ConnectFails,
    /// The kernel records the error (`sk_err_soft`) and the connection goes on.
    Recorded,
    /// The kernel sends smaller segments from now on.
    PathMtu,
    /// A listener forgets the request of a client that has not completed the handshake.
    RequestDropped,
    /// The kernel ignores the message.
    Ignored,
    /// The capture does not hold what decides about the effect.
    Unknown,
}

impl Effect {
    /// All effects.
    pub const ALL: [Self; 6] = [
        Self::ConnectFails,
        Self::Recorded,
        Self::PathMtu,
        Self::RequestDropped,
        Self::Ignored,
        Self::Unknown,
    ];

    /// Returns the stable id.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::ConnectFails => "connect-fails",
            Self::Recorded => "recorded",
            Self::PathMtu => "path-mtu",
            Self::RequestDropped => "request-dropped",
            Self::Ignored => "ignored",
            Self::Unknown => "unknown",
        }
    }
}

/// ICMP error about a segment of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpRecord {
    /// Number of the frame in its capture, from 1.
    pub frame: u32,
    /// Time at which the frame was stamped.
    pub at: Timestamp,
    /// Sender of the message.
    pub source: IpAddr,
    /// Type and code of the message.
    pub kind: IcmpKind,
    /// MTU of the next link, if the message states one.
    pub mtu: Option<u32>,
    /// End that sent the quoted segment, which the message goes to.
    pub to: Role,
    /// Sequence number of the quoted segment, if it is quoted.
    pub quoted_seq: Option<SeqNum>,
    /// `quoted_seq` relative to the initial number of that end, if both are known.
    pub relative_seq: Option<u32>,
    /// Frame of the quoted segment, if it is a SYN.
    pub quoted_frame: Option<u32>,
    /// State of the receiver of the message before it.
    pub state: State,
    /// Effect on the receiver, if its system is Linux.
    pub effect: Effect,
    /// Reason for the effect.
    pub reason: &'static str,
    /// Error that the receiving application may see.
    pub errno: Option<Errno>,
    /// First frame in which the receiver carried on with an attempt that the message should have ended.
    pub went_on: Option<u32>,
    /// IP IDs of the message and of the quoted packet, which tell a copy from another message.
    ip_ids: (Option<u16>, Option<u16>),
}

impl IcmpRecord {
    /// Judges an ICMP error by the state of its connection.
    pub(super) fn of(
        error: &ErrorRecord,
        to: Role,
        flow: &Flow,
        gaps: &CaptureGaps,
        has_sent: bool,
    ) -> Self {
        let (kind, quoted) = (error.about.kind, error.about.quoted);
        let is_whole = has_sent && !gaps.begins_midstream && gaps.lost.is_none();
        let errno = errno_of_message(kind.is_v6, kind.kind, kind.code);
        let (effect, reason) = effect(kind, errno, flow, (to, is_whole), quoted.seq);
        let has_errno = matches!(
            effect,
            Effect::ConnectFails | Effect::Recorded | Effect::Unknown
        );
        let is_connecting = matches!(flow.state(to), State::SynSent);
        let frame_of_syn = |seq: SeqNum| {
            let after = [flow.snd_nxt(to), Some(seq.plus(1))];
            let mut after = after.into_iter().flatten();
            after.find_map(|next| flow.frame_of_syn(to, next))
        };
        Self {
            frame: error.frame,
            at: error.at,
            source: error.source,
            kind,
            mtu: error.about.mtu,
            to,
            quoted_seq: quoted.seq,
            relative_seq: quoted.seq.and_then(|seq| flow.relative(to, seq)),
            quoted_frame: (quoted
                .seq
                .filter(|seq| is_connecting && flow.snd_una(to) == Some(*seq)))
            .and_then(frame_of_syn),
            state: flow.state(to),
            effect,
            reason,
            errno: errno.filter(|_| has_errno),
            went_on: None,
            ip_ids: (error.ip_id, quoted.ip_id),
        }
    }

    /// Returns true if `later` is this message, captured once more.
    pub(super) fn is_copied_by(&self, later: &Self) -> bool {
        /// Maximum time between two captures of a message, in nanoseconds: with an IP ID, and without.
        const MAX_AGE: [i64; 2] = [400_000_000, 1_000_000];
        let what = |it: &Self| (it.source, it.kind, it.to, it.quoted_seq, it.ip_ids);
        let has_id = self.ip_ids.0.is_some_and(|id| id != 0);
        let age = MAX_AGE[usize::from(!has_id)];
        what(self) == what(later) && (0..age).contains(&later.at.since(self.at))
    }

    /// Returns true if the message ended the connection attempt, as far as the capture shows.
    #[must_use]
    pub fn ends_attempt(&self) -> bool {
        self.effect == Effect::ConnectFails && self.went_on.is_none()
    }

    /// Returns the scenario that teaches the error; `None` if none fits.
    #[must_use]
    pub fn related(&self) -> Option<Related> {
        related::of_icmp(self)
    }

    /// Returns the condition under which the application sees the error; `None` if it always does.
    #[must_use]
    pub fn errno_if(&self) -> Option<&'static str> {
        self.errno?;
        match self.effect {
            Effect::ConnectFails if self.went_on.is_some() => Some(
                "only as SO_ERROR: its sender went on, so the error came while connect() held the socket, or its system \
                 only records it",
            ),
            Effect::Recorded if self.state == State::Established => Some(
                "only as SO_ERROR, or in place of ETIMEDOUT if the connection times out; with IP_RECVERR the next call \
                 returns it",
            ),
            Effect::Recorded => Some(
                "only while the process holds the socket: as SO_ERROR, or in place of ETIMEDOUT if the connection times \
                 out; with IP_RECVERR the next call returns it",
            ),
            Effect::Unknown => Some("if the message is about a segment that is not acknowledged"),
            _ => None,
        }
    }

    /// Returns the quoted segment in words: `the SYN of frame 1`.
    #[must_use]
    pub fn quoted(&self) -> Cow<'static, str> {
        match (
            self.quoted_frame,
            self.state,
            self.relative_seq,
            self.quoted_seq,
        ) {
            (Some(frame), ..) => format!("the SYN of frame {frame}").into(),
            (None, State::SynSent, Some(0), _) => "the SYN".into(),
            (None, State::SynReceived, Some(0), _) => "the SYN-ACK".into(),
            (None, _, Some(seq), _) if seq < FARTHEST => {
                format!("the segment with SEQ {seq}").into()
            }
            (None, _, _, Some(seq)) => format!("the segment with SEQ {} on the wire", seq.0).into(),
            _ => "a segment".into(),
        }
    }
}

/// First relative number that is not given: it may have nothing to do with the initial number, as no window is larger
/// (RFC 7323, 2.3).
const FARTHEST: u32 = 1 << 30;

/// Reports a message that Linux ignores or handles in every state, if it is one.
fn always(kind: IcmpKind, errno: Option<Errno>) -> Option<(Effect, &'static str)> {
    if kind.is_too_big() {
        let reason = "the packet is too big for a link on its way: the sender lowers its path MTU and sends smaller segments";
        return Some((Effect::PathMtu, reason));
    }
    if errno.is_some() {
        return None;
    }
    let reason = match (kind.is_v6, kind.kind, kind.code) {
        (false, 4, _) => "source quench is obsolete (RFC 6633), and ignored",
        (false, 11, 1) => {
            "a router or host could not put fragments together in time; TCP sends again"
        }
        _ => "the code is not one that sets an error",
    };
    Some((Effect::Ignored, reason))
}

/// Returns true if a request at a listener is dropped by this message: `tcp_req_err()`, which gets the types and codes from
/// `tcp_v4_err()`, and the column `fatal` of `tab_unreach[]` from `tcp_v6_err()`.
fn drops_request(kind: IcmpKind) -> bool {
    match (kind.is_v6, kind.kind, kind.code) {
        (false, 3, 0 | 1) | (false, 11 | 12, _) | (true, 4, _) => true,
        (true, 1, code) => !matches!(code, 0 | 2 | 3),
        _ => false,
    }
}

fn effect(
    kind: IcmpKind,
    errno: Option<Errno>,
    flow: &Flow,
    (to, is_whole): (Role, bool),
    quoted: Option<SeqNum>,
) -> (Effect, &'static str) {
    let state = flow.state(to);
    let una_and_nxt = flow.snd_una(to).zip(flow.snd_nxt(to));
    match (state, una_and_nxt.is_some()) {
        (State::TimeWait, _) => {
            return (
                Effect::Ignored,
                "its receiver is in TIME-WAIT, where errors are ignored",
            );
        }
        (State::Closed | State::Listen, true) => {
            return (Effect::Ignored, "its receiver has no connection any more");
        }
        _ => {}
    }
    let Some((quoted, (una, next))) = quoted.zip(una_and_nxt) else {
        return match always(kind, errno) {
            Some((Effect::Ignored, reason)) => (Effect::Ignored, reason),
            _ => (
                Effect::Unknown,
                "the capture does not show whether the quoted segment was sent and not acknowledged",
            ),
        };
    };
    if quoted.is_before(una) {
        return (
            Effect::Ignored,
            "it quotes a segment that was acknowledged before (RFC 5927, 4.1)",
        );
    }
    if quoted.is_after(next) {
        return if is_whole {
            (
                Effect::Ignored,
                "it quotes a sequence number that its receiver has not sent (RFC 5927, 4.1)",
            )
        } else {
            (
                Effect::Unknown,
                "it quotes a segment that the capture does not hold",
            )
        };
    }
    if let Some(handled) = always(kind, errno) {
        return handled;
    }
    match state {
        State::SynSent => (
            Effect::ConnectFails,
            "it quotes the SYN, and a connection attempt ends with the first error",
        ),
        State::SynReceived if flow.is_request(to) && drops_request(kind) => (
            Effect::RequestDropped,
            "it quotes the SYN-ACK: the listener forgets the request, and no application gets an error",
        ),
        State::SynReceived if flow.is_request(to) => (
            Effect::Ignored,
            "it quotes the SYN-ACK of a request at a listener, which such an error does not end",
        ),
        State::SynReceived => (
            Effect::ConnectFails,
            "its receiver is still connecting, and an attempt ends with the first error",
        ),
        _ => (
            Effect::Recorded,
            "the connection is established and goes on: the kernel only records the error (sk_err_soft)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linux 6.18.44, measured: a peer made of raw packets sent each message about a SYN-ACK, then the ACK. The listener
    /// accepted the connection unless the message had ended its request.
    #[test]
    fn requests_are_dropped_as_by_the_kernel() {
        let dropped = |is_v6: bool, kind: u8, codes: std::ops::Range<u8>| -> Vec<u8> {
            let is_dropped = |code: &u8| {
                let message = IcmpKind {
                    is_v6,
                    kind,
                    code: *code,
                };
                let errno = errno_of_message(is_v6, kind, *code);
                always(message, errno).is_none() && drops_request(message)
            };
            codes.filter(is_dropped).collect()
        };
        assert_eq!(dropped(false, 3, 0..16), [0, 1]);
        assert_eq!(dropped(false, 11, 0..2), [0]);
        assert_eq!(dropped(false, 12, 0..1), [0]);
        assert_eq!(dropped(false, 4, 0..1), [0; 0]);
        assert_eq!(dropped(true, 1, 0..9), [1, 4, 5, 6, 7, 8]);
        assert_eq!(dropped(true, 2, 0..1), [0; 0]);
        assert_eq!(dropped(true, 3, 0..1), [0; 0]);
        assert_eq!(dropped(true, 4, 0..2), [0, 1]);
    }
}
