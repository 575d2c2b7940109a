//! Facts about the connection that the judge reads from the capture.

use super::attribution::Facts;
use crate::evidence::Evidence;
use crate::flow::{Flow, Form, Icmp, Observed, Reset};
use crate::packet::{Flags, IcmpError, Packet, Segment, Tap};
use crate::scenario::{Exemption, Exemptions, Timing};
use crate::time::Timestamp;
use crate::transcript::{Op, Outcome, PerEnd, Role};

/// Maximum time from the beginning of `connect` to an answer that is not deferred, in nanoseconds. Such an answer
/// arrives within microseconds; a deferred one took 32 ms.
const AT_ONCE_NS: i64 = 1_000_000;

/// Facts about the connection that were read from the capture.
#[derive(Default)]
pub(super) struct Wire {
    /// Time at which the fence was last captured.
    pub(super) fence: Option<Timestamp>,
    /// Number of the connection's first frame; `None` if no segment was captured.
    pub(super) first: Option<u32>,
    /// Flag: the SYN that begins the connection was captured.
    pub(super) saw_syn: bool,
    /// RSTs of the connection, in capture order.
    pub(super) resets: Vec<Reset>,
    /// Number of the first frame that acknowledges a segment which was not captured.
    pub(super) acknowledges_unseen: Option<u32>,
    /// Order in which the client acknowledged the server's FIN and sent data, or in which its SYN was answered.
    pub(super) timing: Option<Timing>,
    /// ICMP errors about segments of the connection.
    pub(super) icmp: Vec<Icmp>,
    /// Number of unanswered retransmissions and probes of each end.
    pub(super) unanswered: PerEnd<u32>,
    /// Number of payload bytes that each end sent.
    pub(super) payload: PerEnd<u32>,
    /// Times of the first segments of each end.
    pub(super) firsts: PerEnd<Firsts>,
}

impl Wire {
    /// Reads the capture of a trial.
    pub(super) fn read(
        timing: Option<Timing>,
        exemptions: &Exemptions,
        evidence: &Evidence,
    ) -> Self {
        let mut reader = Reader::new(exemptions, evidence);
        for packet in &evidence.packets {
            match packet {
                Packet::Tcp(segment) if segment.at >= evidence.began => reader.segment(segment),
                Packet::Icmp(error) if error.at >= evidence.began => reader.icmp(error),
                Packet::Tcp(_) | Packet::Icmp(_) | Packet::Udp { .. } | Packet::Other => {}
            }
        }
        let mut wire = reader.finish();
        if timing == Some(Timing::AnsweredWhileSent) {
            wire.timing = Some(if wire.is_answered_late(evidence) {
                Timing::AnsweredWhileAwaited
            } else {
                Timing::AnsweredWhileSent
            });
        }
        wire
    }

    /// Returns the facts that errors are attributed to.
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            resets: &self.resets,
            icmp: &self.icmp,
            unanswered: self.unanswered,
            is_silent: self.first.is_none(),
            sent: self.payload,
        }
    }

    /// Returns true if the only ICMP error arrived more than [`AT_ONCE_NS`] after `connect` began: `connect` was
    /// waiting by then.
    fn is_answered_late(&self, evidence: &Evidence) -> bool {
        let mut calls = evidence.calls.iter();
        let connect = calls.find(|it| it.op == Op::Connect);
        connect.is_some_and(
            |connect| matches!(&self.icmp[..], [only] if only.at.since(connect.began) > AT_ONCE_NS),
        )
    }

    /// Removes the RST in this frame. Returns its index, if it is there.
    fn remove_reset(&mut self, frame: u32) -> Option<usize> {
        let index = self.resets.iter().rposition(|it| it.frame == frame)?;
        self.resets.remove(index);
        Some(index)
    }
}

/// Times at which an end first sent each kind of segment that only one of its own calls can cause.
#[derive(Clone, Copy, Default)]
pub(super) struct Firsts {
    pub(super) syn: Option<Timestamp>,
    pub(super) data: Option<Timestamp>,
    pub(super) fin: Option<Timestamp>,
    pub(super) abort: Option<Timestamp>,
}

impl Firsts {
    fn take(&mut self, segment: &Segment, reset: Option<&Reset>) {
        let flags = segment.flags;
        let is_syn = flags.has(Flags::SYN) && !flags.has(Flags::ACK);
        let is_abort = |it: &Reset| it.form == Some(Form::Active) && it.acceptance.is_acceptable();
        for (first, is_it) in [
            (&mut self.syn, is_syn),
            (&mut self.data, segment.payload_len > 0),
            (&mut self.fin, flags.has(Flags::FIN)),
            (&mut self.abort, reset.is_some_and(is_abort)),
        ] {
            if is_it {
                first.get_or_insert(segment.at);
            }
        }
    }
}

/// Time at which each end stopped receiving, if it did: the host still captures segments, but drops them before the
/// socket.
struct Blackholed(PerEnd<Option<Timestamp>>);

impl Blackholed {
    fn of(exemptions: &Exemptions, evidence: &Evidence) -> Self {
        Self(PerEnd::of(|role| {
            if exemptions.has(Exemption::Blackholed(role)) {
                return Some(evidence.began);
            }
            let done = Outcome::Returned(0);
            let mut calls = evidence.calls.iter();
            let by =
                calls.find(|it| it.role == role && it.op == Op::Blackhole && it.outcome == done);
            by.map(|call| call.ended)
        }))
    }

    /// Returns the segment as the ends saw it: a segment to an end that receives nothing counts as captured only at its
    /// sender.
    fn as_received(&self, from: Option<Role>, segment: &Segment) -> Segment {
        let mut received = *segment;
        let Some(from) = from else { return received };
        let since = self.0[from.peer()];
        if segment.tap == Tap::Both && since.is_some_and(|since| segment.at >= since) {
            received.tap = match from {
                Role::Client => Tap::Client,
                Role::Server => Tap::Server,
            };
        }
        received
    }
}

/// Capture of a trial while it is read, packet by packet.
struct Reader<'a> {
    exemptions: &'a Exemptions,
    flow: Flow,
    blackholed: Blackholed,
    /// Latest RST to each end (index into the RSTs read) that may trigger a challenge ACK, until the end sends or
    /// receives anything but an RST.
    unaccepted: PerEnd<Option<usize>>,
    wire: Wire,
}

impl<'a> Reader<'a> {
    fn new(exemptions: &'a Exemptions, evidence: &Evidence) -> Self {
        let fence = evidence.completeness.fence;
        Self {
            exemptions,
            flow: Flow::new(evidence.client, evidence.server)
                .keeping_time_wait(exemptions.has(Exemption::TimeWaitKept)),
            blackholed: Blackholed::of(exemptions, evidence),
            unaccepted: PerEnd::default(),
            wire: Wire {
                fence: fence.and_then(|fence| evidence.fenced_at(&fence)),
                ..Wire::default()
            },
        }
    }

    fn icmp(&mut self, error: &IcmpError) {
        self.wire.icmp.extend(self.flow.observe_icmp(error));
    }

    fn segment(&mut self, captured: &Segment) {
        let from = self.flow.sender(captured);
        let segment = self.blackholed.as_received(from, captured);
        let Some(observed) = self.flow.observe(&segment) else {
            return;
        };
        self.wire.first.get_or_insert(segment.frame);
        self.challenge(&segment, &observed);
        self.reset(&observed);
        self.wire.firsts[observed.from].take(&segment, observed.reset.as_ref());
        let is_exempt = self
            .exemptions
            .has(Exemption::ForgedSegments(observed.from));
        if observed.acknowledges_unseen && !is_exempt {
            self.wire.acknowledges_unseen.get_or_insert(segment.frame);
        }
        if observed.acknowledges_fin && observed.from == Role::Client {
            self.wire.timing = Some(if segment.payload_len == 0 {
                Timing::DataAfterAckOfFin
            } else {
                Timing::DataBeforeAckOfFin
            });
        }
    }

    /// Records the challenge ACK to an RST that was not accepted.
    ///
    /// RSTs do not count here: anybody may forge one in this end's name. The first other segment is the challenge ACK,
    /// or there is none.
    fn challenge(&mut self, segment: &Segment, observed: &Observed) {
        if observed.leaves
            && !segment.flags.has(Flags::RST)
            && let Some(index) = self.unaccepted[observed.from].take()
            && segment.seq_len() == 0
            && segment.flags.has(Flags::ACK)
        {
            self.wire.resets[index].challenged_by = Some(segment.frame);
        }
        if observed.arrives && observed.reset.is_none() {
            self.unaccepted[observed.from.peer()] = None;
        }
    }

    /// Records an RST that arrives, or leaves its sender and may be lost on the way.
    fn reset(&mut self, observed: &Observed) {
        let Some(reset) = observed.reset else { return };
        // The frame captured at the sender and this one are the same RST.
        if let Some(left) = reset.left.filter(|left| *left != reset.frame)
            && let Some(gone) = self.wire.remove_reset(left)
        {
            for unaccepted in self.unaccepted.iter_mut() {
                *unaccepted = match *unaccepted {
                    Some(index) if index == gone => None,
                    Some(index) if index > gone => Some(index - 1),
                    other => other,
                };
            }
        }
        if observed.arrives && reset.triggers_challenge() != Some(false) {
            self.unaccepted[reset.from.peer()] = Some(self.wire.resets.len());
        }
        self.wire.resets.push(reset);
    }

    fn finish(self) -> Wire {
        Wire {
            saw_syn: self.flow.saw_syn(),
            payload: PerEnd::of(|role| self.flow.payload_sent(role)),
            unanswered: PerEnd::of(|role| self.flow.unanswered(role)),
            ..self.wire
        }
    }
}
