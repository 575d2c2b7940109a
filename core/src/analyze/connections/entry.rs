//! One connection under way: what each segment changes in it, and what is reported about it.

use super::super::decode::SegmentRecord;
use super::super::diagnosis;
use super::super::explain::{Explanation, as_received};
use super::super::forgery::{self, Aftermath, Context, PacketFeatures, SenderProfile};
use super::super::history::ConnectionHistory;
use super::super::zeek::Zeek;
use super::{
    CaptureGaps, Connection, Entry, MAX_COPY_AGE_NS, MAX_IN_FLIGHT, MAX_STAMPED_COPY_AGE_NS, Rare,
    ResetRecord, Step, Syn, push_bounded,
};
use crate::flow::{Flow, Form, Observed, Reset, State};
use crate::packet::{Flags, Header};
use crate::time::Timestamp;
use crate::transcript::Role;

impl Entry {
    pub(super) fn new(segment: &SegmentRecord) -> Self {
        let ports = [
            segment.ends.port(segment.sender),
            segment.ends.port(1 - segment.sender),
        ];
        let zeek = Zeek::new(&segment.header, segment.ip_len, ports);
        let flags = segment.header.flags;
        // A SYN-ACK is the server's. For any other packet Zeek's rules decide.
        let client = if flags.has(Flags::SYN.and(Flags::ACK)) {
            1 - segment.sender
        } else if zeek.originator() == 0 {
            segment.sender
        } else {
            1 - segment.sender
        };
        let small = |end: usize| u8::from(end == 1);
        Self {
            ends: segment.ends,
            hash: segment.hash,
            first: small(segment.sender),
            client: small(client),
            span: (segment.header.frame, segment.header.frame),
            depends_from: segment.header.frame,
            flow: Flow::learning(),
            zeek,
            profiles: [SenderProfile::default(); 2],
            history: ConnectionHistory::default(),
            rare: None,
            resets: 0,
            gaps: CaptureGaps {
                begins_midstream: !flags.has(Flags::SYN) || flags.has(Flags::ACK),
                ..CaptureGaps::default()
            },
            last: segment.header.at,
            idle: 0,
            has_sent: [false; 2],
            syn: Syn::default(),
            generation: 0,
            due: Timestamp(i64::MAX),
        }
    }

    /// Returns Zeek's side of an end.
    pub(super) fn side(&self, end: usize) -> usize {
        usize::from(end != usize::from(self.first))
    }

    pub(super) fn role(&self, end: usize) -> Role {
        if end == usize::from(self.client) {
            Role::Client
        } else {
            Role::Server
        }
    }

    /// Returns the effect of this segment, which has been taken in.
    pub(super) fn step(&self, segment: &SegmentRecord) -> Step {
        let (header, from) = (segment.header, self.role(segment.sender));
        // A socket connected to itself acknowledges its own sequence numbers.
        let peer = if self.ends.is_self_connection() {
            from
        } else {
            from.peer()
        };
        let latest = self.rare.as_ref().and_then(|it| it.pending.last());
        let latest = latest.filter(|record| record.reset.frame == header.frame);
        Step {
            connection: self.span.0,
            ends: self.ends,
            from,
            header,
            seq: self.flow.relative(from, header.seq),
            ack: self.flow.relative(peer, header.ack),
            states: [Role::Client, Role::Server].map(|role| self.flow.state(role)),
            triggered_by: latest.and_then(|record| record.reset.triggered_by),
        }
    }

    pub(super) fn report(&self, at: u32) -> Connection<'_> {
        let gaps = CaptureGaps {
            one_sided: !(self.has_sent[0] && self.has_sent[1]),
            ..self.gaps
        };
        Connection {
            reported_at: at,
            ends: self.ends,
            client: usize::from(self.client),
            span: self.span,
            depends_from: self.depends_from,
            zeek: &self.zeek,
            first: usize::from(self.first),
            resets: self.resets,
            frames: self.rare.as_ref().map_or(&[], |it| &it.frames),
            gaps,
            idle: self.idle,
        }
    }

    /// Returns true if this is a duplicate: the same packet, captured at another point of its path.
    pub(super) fn is_copy(&mut self, segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        let is_same = |other: &Header, sender: usize| {
            let of = |header: &Header| Header {
                frame: 0,
                at: Timestamp(0),
                ..*header
            };
            // A retransmission has a later timestamp, so equal timestamps prove a duplicate even after a long time.
            let apart = if header.timestamps.is_some() {
                MAX_STAMPED_COPY_AGE_NS
            } else {
                MAX_COPY_AGE_NS
            };
            sender == segment.sender
                && (0..apart).contains(&header.at.since(other.at))
                && of(other) == of(header)
        };
        if !self.gaps.doubled {
            // No SYN is retransmitted so soon, so a duplicate SYN shows that packets are captured twice.
            if !header.flags.has(Flags::SYN) {
                return false;
            }
            let syn = Syn::of(segment);
            if syn.is_copy_of(self.syn) {
                self.gaps.doubled = true;
                if self.syn.interface != segment.interface {
                    let mut leaving_interfaces = [segment.interface; 2];
                    leaving_interfaces[segment.sender] = self.syn.interface;
                    self.rare().leaving_interfaces = Some(leaving_interfaces);
                }
                return true;
            }
            self.syn = syn;
            return false;
        }
        let in_flight = &mut self.rare().in_flight;
        let index = in_flight
            .iter()
            .position(|(other, sender)| is_same(other, *sender));
        if let Some(index) = index {
            in_flight.remove(index);
            return true;
        }
        if in_flight.len() == MAX_IN_FLIGHT {
            // The oldest packet was probably lost on the path, and will not arrive.
            in_flight.pop_front();
        }
        in_flight.push_back((*header, segment.sender));
        false
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Follows a segment in the flow. Of a packet that is captured twice, the first copy leaves and the second arrives;
    /// if the capture points are known, each copy has the effect at its own point.
    pub(super) fn follow(
        &mut self,
        from: Role,
        segment: &SegmentRecord,
        is_copy: bool,
    ) -> Option<Observed> {
        let header = &segment.header;
        if let Some(rare) = &mut self.rare
            && let Some(mut renewed) = rare.renewed.take()
        {
            renewed.follow(from, header);
            let is_answer =
                header.flags.has(Flags::SYN.and(Flags::ACK)) && !header.flags.has(Flags::RST);
            if is_answer && renewed.state(from.peer()) == State::Established {
                // Both ends know the new connection now, and the old one no longer exists.
                self.flow = renewed;
                return None;
            }
            rare.renewed = Some(renewed);
        }
        if self.ends.is_self_connection() {
            return Some(self.flow.follow_itself(header));
        }
        if !self.gaps.doubled {
            return self.flow.follow(from, header);
        }
        let leaves = match self.rare.as_ref().and_then(|it| it.leaving_interfaces) {
            Some(leaving_interfaces) => leaving_interfaces[segment.sender] == segment.interface,
            None => !is_copy,
        };
        let at = if leaves { from } else { from.peer() };
        Some(self.flow.follow_at(from, header, at))
    }

    /// Takes in a segment. Returns true if it is an RST that is no duplicate.
    pub(super) fn take(&mut self, segment: &SegmentRecord, bytes: &[u8], is_new: bool) -> bool {
        let header = &segment.header;
        self.span.1 = header.frame;
        let was_doubled = self.gaps.doubled;
        let is_copy = self.is_copy(segment);
        let from = self.role(segment.sender);
        if is_copy && !was_doubled {
            // The flow has already taken the first SYN as one that arrived.
            return false;
        }
        let is_reset = header.flags.has(Flags::RST);
        let next = self.flow.snd_nxt(from);
        let before = is_reset.then(|| Context {
            sender_state: Some(self.flow.state(from)),
            snd_nxt: next,
            rcv_nxt: self.flow.rcv_nxt(from.peer()),
            ..Context::default()
        });
        let observed = self.follow(from, segment, is_copy);
        if is_copy {
            let arrived = observed.as_ref().and_then(|it| it.reset);
            if let Some(arrived) = arrived {
                self.replace_reset(&arrived, header);
            }
            return false;
        }
        if !is_new {
            self.zeek
                .take(self.side(segment.sender), header, segment.ip_len);
        }
        self.has_sent[segment.sender] = true;
        if let Some(context) = before {
            self.take_reset(
                segment,
                segment.packet(bytes),
                from,
                context,
                observed.as_ref(),
            );
        } else {
            if let Some(observed) = &observed
                && observed.acknowledges_unseen
                && !self.gaps.begins_midstream
            {
                self.gaps.lost.get_or_insert(header.frame);
            }
            self.history.take(from, header, next);
            self.profiles[segment.sender].take(&segment.ip, header);
            for record in self.rare.iter_mut().flat_map(|it| &mut it.pending) {
                if record.reset.from == from {
                    record.aftermath.take(&record.header, header);
                }
            }
        }
        self.idle = header.at.since(self.last).max(0);
        self.last = header.at;
        is_reset
    }

    /// Replaces an RST that was captured when it left by its duplicate that has arrived: the state on arrival is what
    /// counts.
    pub(super) fn replace_reset(&mut self, arrived: &Reset, header: &Header) {
        let Some(left) = arrived.left else { return };
        let is_it = |record: &&mut ResetRecord| record.reset.frame == left;
        let Some(rare) = &mut self.rare else { return };
        let Some(record) = rare.pending.iter_mut().rev().find(is_it) else {
            return;
        };
        let arrived = &as_received(*arrived, &record.history);
        record.explanation = Explanation::of(
            arrived,
            header,
            record.context.sender_state,
            &record.history,
            &self.gaps,
        );
        record.reset = *arrived;
        for frame in &mut rare.frames {
            if *frame == left {
                *frame = arrived.frame;
            }
        }
        self.history.take_reset(arrived, header);
    }

    pub(super) fn take_reset(
        &mut self,
        segment: &SegmentRecord,
        packet: &[u8],
        from: Role,
        context: Context,
        observed: Option<&Observed>,
    ) {
        let Some(reset) = observed.and_then(|it| it.reset) else {
            return;
        };
        // The sender has sent a SYN for a new connection, which the other end has not accepted.
        let is_opening = (self.rare.as_ref())
            .and_then(|it| it.renewed.as_ref())
            .is_some_and(|renewed| renewed.state(from) == State::SynSent);
        let context = Context {
            sender_state: if is_opening {
                Some(State::SynSent)
            } else {
                context.sender_state
            },
            ..context
        };
        let reset = Reset {
            finds_older: reset.finds_older || is_opening,
            ..as_received(reset, &self.history)
        };
        let header = segment.header;
        self.resets += 1;
        push_bounded(&mut self.rare().frames, reset.frame);
        let explanation = Explanation::of(
            &reset,
            &header,
            context.sender_state,
            &self.history,
            &self.gaps,
        );
        let context = Context {
            form: reset.form,
            differs_from_linux: Form::of(&header).is_none(),
            answers: Some(reset.triggered_by.is_some()),
            rtt_ns: self.history.rtt(from),
            reaction_ns: reset
                .triggered_by
                .and_then(|frame| self.history.since(frame, from.peer(), header.at)),
            previous: self.history.of(from).previous.as_deref().copied(),
            ..context
        };
        let indicators = PacketFeatures::of(packet).map_or_else(Vec::new, |traits| {
            forgery::facts(&traits, &header, &self.profiles[segment.sender], &context)
        });
        // `replace_reset()` needs the history without this RST.
        let history = self.history.clone();
        self.history.take_reset(&reset, &header);
        self.rare().pending.push(ResetRecord {
            history,
            reset,
            header,
            explanation,
            indicators,
            diagnostics: diagnosis::of(packet),
            context,
            aftermath: Aftermath::default(),
        });
    }

    /// Returns the number of RSTs that have not been reported.
    pub(super) fn buffered(&self) -> usize {
        self.rare.as_ref().map_or(0, |it| it.pending.len())
    }

    /// Removes and returns the RSTs that have not been reported, with the evidence that later segments gave.
    pub(super) fn pending(&mut self) -> Vec<ResetRecord> {
        let Some(rare) = &mut self.rare else {
            return Vec::new();
        };
        let mut pending = std::mem::take(&mut rare.pending);
        for record in &mut pending {
            let later = forgery::later(&record.header, &record.context, &record.aftermath);
            record.indicators.extend(later);
        }
        pending
    }
}
