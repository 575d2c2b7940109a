//! One connection under way: what each segment changes in it, and what is reported about it.

use super::super::decode::SegmentRecord;
use super::super::diagnosis;
use super::super::explain::{Explanation, FIN_ACKNOWLEDGED_WITHIN_NS, FinEvidence, as_received};
use super::super::forgery::{
    self, Aftermath, Context, Indicator, PacketFeatures, Sender, SenderProfile, Timing,
};
use super::super::history::ConnectionHistory;
use super::super::stack::Stack;
use super::super::zeek::{Zeek, ZeekSummary};
use super::copies::{Latest, Sighting};
use super::forged::end_of;
use super::points::Place;
use super::roles::sends_as_client;
use super::{
    CaptureGaps, Connection, Entry, MIN_SILENCE_NS, Rare, ResetRecord, Step, push_bounded,
};
use crate::flow::{Acceptance, Flow, Form, Observed, Reset, State};
use crate::packet::{Flags, Header, SeqNum};
use crate::time::Timestamp;
use crate::transcript::Role;

/// Connection that a SYN asks for while the ends still have, or may have, an earlier one.
///
/// A SYN can be old or forged, and an end in TIME-WAIT may refuse it, so the earlier connection continues until the ends
/// show that they have accepted the SYN. Only segments that fit the SYN are taken in here.
#[derive(Clone, Debug)]
pub(super) struct Renewed {
    flow: Flow,
    history: ConnectionHistory,
    /// End that sent the SYN, and its sequence number.
    from: Role,
    iss: SeqNum,
    /// True if that end may have given up the earlier connection. Otherwise an RST that refuses the SYN does not affect
    /// it: the SYN may be forged.
    may_be_new: bool,
    /// Number of the earlier connection: that of its first frame.
    pub(super) earlier: u32,
}

/// Earlier connection between the same ends that a SYN interrupts.
pub(super) struct Interrupted {
    flow: Flow,
    client: u8,
    history: ConnectionHistory,
    depends_from: u32,
    renewed: Renewed,
}

/// What a segment means for a connection that a SYN has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// Nothing: it belongs to the earlier connection.
    None,
    /// It is the SYN, sent again.
    Again,
    /// The SYN was accepted or refused.
    Answer,
}

impl Renewed {
    fn reply(&self, from: Role, header: &Header) -> Reply {
        let has = |flag| header.flags.has(flag);
        let next = self.iss.plus(1);
        if from != self.from {
            // SYN-ACK, data after a SYN-ACK that was not captured, or the RST of a closed port.
            let is_credible = self.may_be_new || !has(Flags::RST);
            return if has(Flags::ACK) && header.ack == next && is_credible {
                Reply::Answer
            } else {
                Reply::None
            };
        }
        if has(Flags::SYN) && header.seq == self.iss {
            Reply::Again
        } else if !has(Flags::SYN) && !has(Flags::RST) && has(Flags::ACK) && header.seq == next {
            Reply::Answer
        } else {
            Reply::None
        }
    }

    fn take(&mut self, from: Role, header: &Header) {
        let (next, una) = (self.flow.snd_nxt(from), self.flow.snd_una(from));
        self.flow.follow(from, header);
        self.history.take(from, header, next, una);
    }
}

impl Entry {
    pub(super) fn new(segment: &SegmentRecord) -> Self {
        let ports = [
            segment.ends.port(segment.sender),
            segment.ends.port(1 - segment.sender),
        ];
        let zeek = Zeek::new(&segment.header, segment.ip_len, ports);
        let flags = segment.header.flags;
        let is_client =
            sends_as_client(&segment.header, ports).unwrap_or_else(|| zeek.originator() == 0);
        let client = if is_client {
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
            is_record_over: false,
            profiles: [SenderProfile::default(); 2],
            timing: Timing::default(),
            stacks: [None; 2],
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
            latest: Latest::default(),
            generation: 0,
            due: Timestamp(i64::MAX),
        }
    }

    /// Returns true if the segment begins another connection between the same ends: a SYN that does not belong to this
    /// one.
    pub(super) fn is_replaced_by(&self, segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        if !header.flags.has(Flags::SYN) {
            return false;
        }
        if !self.is_record_over_by(header.at) {
            return self.zeek.is_reused_by(header);
        }
        // Zeek knows nothing of the connection any more, but the flow does.
        let from = self.role(segment.sender);
        let is_initial = |role: Role, number: SeqNum| self.flow.relative(role, number) == Some(0);
        let is_again = is_initial(from, header.seq);
        let is_answer = header.flags.has(Flags::ACK)
            && is_initial(from.peer(), SeqNum(header.ack.0.wrapping_sub(1)));
        self.zeek_summary().has_closed() || !(is_again || is_answer)
    }

    /// Returns true if Zeek's record of the connection is over by this time.
    pub(super) fn is_record_over_by(&self, at: Timestamp) -> bool {
        self.is_record_over || self.zeek.has_expired_by(at)
    }

    /// Returns the time at which the connection becomes dormant, unless it continues before.
    pub(super) fn rests_at(&self) -> Timestamp {
        let silent = Timestamp(self.last.0.saturating_add(MIN_SILENCE_NS));
        self.zeek.expires().max(silent)
    }

    /// Returns the sum of Zeek's records.
    pub(super) fn zeek_summary(&self) -> ZeekSummary {
        let earlier = self.rare.as_ref().and_then(|rare| rare.earlier.as_deref());
        match earlier {
            Some(earlier) if self.is_record_over => earlier.clone(),
            Some(earlier) => self.zeek.summary(self.first.into()).after(earlier),
            None => self.zeek.summary(self.first.into()),
        }
    }

    /// Begins another record of Zeek with this segment.
    pub(super) fn begin_record(&mut self, segment: &SegmentRecord) {
        let earlier = self.zeek_summary();
        self.rare().earlier = Some(Box::new(earlier));
        let ports = [
            segment.ends.port(segment.sender),
            segment.ends.port(1 - segment.sender),
        ];
        self.zeek = Zeek::new(&segment.header, segment.ip_len, ports);
        self.first = u8::from(segment.sender == 1);
        self.is_record_over = false;
    }

    /// Returns the connection as one that this SYN interrupts; `None` if it does not continue.
    ///
    /// Zeek's rules end a connection with a SYN, but its ends have theirs until they accept the SYN.
    pub(super) fn interrupted_by(&self, segment: &SegmentRecord) -> Option<Interrupted> {
        let from = self.role(segment.sender);
        let (sender, receiver) = (self.flow.state(from), self.flow.state(from.peer()));
        let is_open = sender != State::Closed && receiver != State::Closed;
        // Linux reuses a port while the other end is in TIME-WAIT there, and is asked to try again
        // (`tcp_timewait_state_process()`).
        let waits = receiver == State::TimeWait && from == Role::Client;
        if !is_open && !waits || self.ends.is_self_connection() {
            return None;
        }
        let pending = self.rare.as_ref().and_then(|rare| rare.renewed.as_ref());
        let is_given_up = matches!(
            sender,
            State::Closed | State::Listen | State::SynSent | State::TimeWait
        );
        // No end uses a port again that it uses, unless it was restarted meanwhile.
        let was_silent = segment.header.at.since(self.last) >= MIN_SILENCE_NS;
        Some(Interrupted {
            flow: self.flow.clone(),
            client: self.client,
            history: self.history.clone(),
            depends_from: self.depends_from,
            renewed: Renewed {
                flow: Flow::learning(),
                history: ConnectionHistory::default(),
                from,
                iss: segment.header.seq,
                may_be_new: is_given_up || was_silent,
                earlier: pending.map_or(self.span.0, |it| it.earlier),
            },
        })
    }

    /// Continues the flow of an earlier connection until its ends accept the SYN of this one.
    pub(super) fn interrupts(&mut self, earlier: Interrupted) {
        self.depends_from = earlier.depends_from;
        self.rare().renewed = Some(Box::new(earlier.renewed));
        (self.flow, self.client) = (earlier.flow, earlier.client);
        self.history = earlier.history;
    }

    /// Takes in a segment for the connection that a SYN has asked for. Once its ends have accepted or refused the SYN,
    /// the earlier connection is gone.
    fn renew(&mut self, from: Role, header: &Header) {
        let Some(renewed) = (self.rare.as_mut()).and_then(|rare| rare.renewed.as_mut()) else {
            return;
        };
        match renewed.reply(from, header) {
            Reply::None => {}
            Reply::Again => renewed.take(from, header),
            Reply::Answer => self.adopt_renewed(),
        }
    }

    /// Gives up the earlier connection for the one that the SYN has asked for.
    fn adopt_renewed(&mut self) {
        if let Some(renewed) = self.rare.as_mut().and_then(|rare| rare.renewed.take()) {
            // Then the earlier connection was closed in order, and explains nothing.
            if self.flow.state(renewed.from.peer()) == State::TimeWait {
                self.depends_from = self.span.0;
            }
            (self.flow, self.history) = (renewed.flow, renewed.history);
        }
    }

    /// Returns the connection that a SYN has asked for and that is not accepted yet.
    fn renewed(&self) -> Option<&Renewed> {
        self.rare.as_ref()?.renewed.as_deref()
    }

    /// Returns the state of an end. An end that has sent the SYN of another connection, and whose earlier one is closed,
    /// waits for the reply to that SYN.
    fn state(&self, role: Role) -> State {
        match (self.flow.state(role), self.renewed()) {
            (State::Closed, Some(renewed)) if renewed.from == role => renewed.flow.state(role),
            (state, _) => state,
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
        // The numbers of a SYN are those of the connection that it asks for.
        let is_syn = header.flags.has(Flags::SYN);
        let flow = match self.renewed() {
            Some(renewed) if is_syn && renewed.from == from => &renewed.flow,
            _ => &self.flow,
        };
        Step {
            connection: self.span.0,
            ends: self.ends,
            from,
            header,
            seq: flow.relative(from, header.seq),
            ack: flow.relative(peer, header.ack),
            states: [Role::Client, Role::Server].map(|role| self.state(role)),
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
            zeek: self.zeek_summary(),
            resets: self.resets,
            frames: self.rare.as_ref().map_or(&[], |it| &it.frames),
            gaps,
            stacks: self.stacks,
            idle: self.idle,
            errors: &[],
            error_count: self.rare.as_ref().map_or(0, |it| it.error_count),
            processes: self.rare.as_ref().map_or([None; 2], |it| it.processes),
        }
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Follows a segment in the flow. If the capture points are known, each copy has the effect at its own point.
    pub(super) fn follow(
        &mut self,
        from: Role,
        segment: &SegmentRecord,
        place: Option<Place>,
    ) -> Option<Observed> {
        let header = &segment.header;
        if self.ends.is_self_connection() {
            return Some(self.flow.follow_itself(header));
        }
        // Where the points are unknown, as in another file that counts its interfaces anew, the first copy has to be taken
        // for one that arrives, since others may be missing.
        let at = match place {
            None => return self.flow.follow(from, header),
            Some(Place::Departure) => from,
            Some(Place::Arrival) => from.peer(),
        };
        Some(self.flow.follow_at(from, header, at))
    }

    /// Takes in a segment. Returns true if it is an RST that is no duplicate.
    pub(super) fn take(&mut self, segment: &SegmentRecord, bytes: &[u8], is_new: bool) -> bool {
        let header = &segment.header;
        let Sighting { copy_of, place } = self.sight(segment);
        // A socket that is connected to itself has no way between two ends.
        let place = place.filter(|_| !self.ends.is_self_connection());
        self.span.1 = header.frame;
        let is_copy = copy_of.is_some();
        let from = self.role(segment.sender);
        let is_reset = header.flags.has(Flags::RST);
        let is_at_first = self.profiles[segment.sender].is_of_point(segment.point);
        if !is_at_first && !is_reset {
            self.rare().points.take_ttl(segment);
        }
        if let Some(first) = copy_of {
            self.take_copy(segment, first, place);
            if place.is_none() {
                // The flow has already taken the first copy as one that arrived.
                return false;
            }
        }
        if !is_copy {
            self.renew(from, header);
        }
        let (next, una) = (self.flow.snd_nxt(from), self.flow.snd_una(from));
        let earlier = self.renewed().map(|renewed| renewed.earlier);
        let before = is_reset.then(|| Context {
            ttls: self.ttl_scope(segment, is_at_first),
            host: segment.host,
            sender_state: Some(self.state(from)),
            snd_nxt: next,
            rcv_nxt: self.flow.rcv_nxt(from.peer()),
            ..Context::default()
        });
        let observed = self.follow(from, segment, place);
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
            let packet = segment.packet(bytes);
            let observed = observed.as_ref();
            self.take_reset((segment, place), packet, from, context, observed, earlier);
            // The earlier connection is over, so the next segment belongs to the one that the SYN has asked for.
            let is_over = self
                .renewed()
                .is_some_and(|renewed| self.flow.state(renewed.from.peer()) == State::Closed);
            if is_over {
                self.adopt_renewed();
            }
        } else {
            if let Some(observed) = &observed {
                self.note_gap(observed, header, next);
            }
            if header.flags.has(Flags::SYN) {
                let stack = Stack::of(segment.packet(bytes));
                self.stacks[segment.sender] = stack.or(self.stacks[segment.sender]);
            }
            self.history.take(from, header, next, una);
            self.timing.take(from, header);
            self.went_on(from, header);
            self.profiles[segment.sender].take(&segment.ip, header, segment.point);
            if let Some(rare) = &mut self.rare {
                // It has the connection, whoever sent an RST in its name.
                rare.forged[end_of(from)] = None;
                for record in &mut rare.pending {
                    if record.reset.from == from {
                        record.aftermath.take(&record.header, header);
                    }
                }
            }
        }
        if let Some(place) = place {
            self.rare().points.take_first(segment, place);
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
        let unseen = record.acknowledges_unseen;
        let evidence = FinEvidence {
            age_ns: self.timing.since_highest(arrived.from, header.at),
            late_ack: None, // where the FIN arrives was captured
        };
        let arrived = &as_received(*arrived, &record.history, evidence, unseen);
        record.explanation = Explanation::of(
            arrived,
            header,
            record.context.sender_state,
            &record.history,
            &self.gaps,
        );
        record.reset = *arrived;
        record.triggers = self.flow.triggers(arrived, header);
        for frame in &mut rare.frames {
            if *frame == left {
                *frame = arrived.frame;
            }
        }
        self.history.take_reset(arrived, header);
    }

    pub(super) fn take_reset(
        &mut self,
        (segment, place): (&SegmentRecord, Option<Place>),
        packet: &[u8],
        from: Role,
        context: Context,
        observed: Option<&Observed>,
        earlier: Option<u32>,
    ) {
        let Some(reset) = observed.and_then(|it| it.reset) else {
            return;
        };
        // The sender has sent a SYN for a new connection, which the other end has not accepted.
        let is_opening = self.renewed().is_some_and(|renewed| {
            renewed.from == from && renewed.flow.state(from) == State::SynSent
        });
        let context = Context {
            sender_state: if is_opening {
                Some(State::SynSent)
            } else {
                context.sender_state
            },
            ..context
        };
        let acknowledges_unseen = self.has_not_captured(from.peer(), &segment.header);
        let reset = Reset {
            on_linux: self.stacks[1 - segment.sender] == Some(Stack::Linux),
            ..as_received(
                reset,
                &self.history,
                self.fin_evidence(from, reset.at),
                acknowledges_unseen,
            )
        };
        let header = segment.header;
        self.resets += 1;
        if matches!(reset.acceptance, Acceptance::BeyondCapture { .. }) {
            self.gaps.count_unseen();
        }
        push_bounded(&mut self.rare().frames, reset.frame);
        if self.gaps.begins_midstream
            && let Some(next) = context.snd_nxt
        {
            self.history.find_probes(&reset, &header, next, self.idle);
        }
        let explanation = Explanation::of(
            &reset,
            &header,
            context.sender_state,
            &self.history,
            &self.gaps,
        );
        let latest = self.history.of(from).latest();
        let rtt = self.timing.rtt(from);
        // A trigger may be among the packets that the capture lacks.
        let is_whole = !self.gaps.begins_midstream
            && self.gaps.lost.is_none()
            && self.has_sent[0]
            && self.has_sent[1];
        let is_triggered = reset.triggered_by.is_some();
        let context = Context {
            form: reset.form,
            differs_from_linux: Form::of(&header).is_none(),
            answers: (is_triggered || is_whole).then_some(is_triggered),
            asked_for: self.timing.latest_acks(from.peer()),
            rtt,
            reaction_ns: self.timing.reaction(from, &header),
            far_ns: self.timing.far_ns(from, self.history.rtt(from)),
            idle_ns: latest.map(|latest| header.at.since(latest.at)),
            previous: self.history.of(from).previous.as_deref().copied(),
            stack: self.stacks[segment.sender],
            ..context
        };
        let mut indicators = PacketFeatures::of(packet).map_or_else(Vec::new, |traits| {
            forgery::facts(&traits, &header, &self.profiles[segment.sender], &context)
        });
        let absence = self.absence(segment, place, &reset);
        let found = self.indicators_of_absence(&reset, &absence, &indicators);
        indicators.splice(0..0, found);
        self.pair_up(from, &header, &mut indicators);
        let if_forged = self.if_forged(&reset, &header);
        let assumes_forged = self.rare().forged[end_of(from.peer())];
        if Sender::of(&indicators).is_doubtful()
            && let Some(state) = context.sender_state
        {
            if state != State::Closed && self.flow.state(from) == State::Closed {
                // Of several the first one would have ended the connection.
                self.rare().forged[end_of(from)].get_or_insert(header.frame);
            }
            // Its sender did not abort, as far as this shows.
            self.flow.restore(from, state);
        }
        // `replace_reset()` needs the history without this RST.
        let history = self.history.clone();
        self.history.take_reset(&reset, &header);
        // A packet that ends a silence may be what the RST replies to.
        let silence = header.at.since(self.last).max(self.idle).max(0);
        let triggers = self.flow.triggers(&reset, &header);
        self.rare().pending.push(ResetRecord {
            earlier,
            silence,
            triggers,
            history,
            reset,
            header,
            explanation,
            indicators,
            diagnostics: diagnosis::of(packet),
            context,
            aftermath: Aftermath::default(),
            absence,
            if_forged,
            assumes_forged,
            acknowledges_unseen,
        });
    }

    /// Returns the evidence on the arrival of an end's FIN, if it has sent one.
    fn fin_evidence(&self, from: Role, now: Timestamp) -> FinEvidence {
        let late = self.timing.late_ack(from, FIN_ACKNOWLEDGED_WITHIN_NS);
        FinEvidence {
            age_ns: self.timing.since_highest(from, now),
            late_ack: late.and_then(|ack| self.flow.relative(from, ack)),
        }
    }

    /// Adds the evidence of two RSTs, one to each end, to both.
    fn pair_up(&mut self, from: Role, header: &Header, indicators: &mut Vec<Indicator>) {
        let pending = self.rare.iter_mut().flat_map(|it| &mut it.pending);
        let Some(other) = pending.rev().find(|it| it.reset.from == from.peer()) else {
            return;
        };
        let apart = header.at.since(other.header.at);
        let pair = |frame| forgery::reset_both(indicators, &other.indicators, frame, apart);
        let (mine, its) = (pair(other.reset.frame), pair(header.frame));
        if let Some(its) = its.filter(|it| other.indicators.iter().all(|old| old.id != it.id)) {
            other.indicators.insert(0, its);
        }
        if let Some(mine) = mine {
            indicators.insert(0, mine);
        }
    }

    /// Returns the number of RSTs and ICMP errors that have not been reported.
    pub(super) fn buffered(&self) -> usize {
        (self.rare.as_ref()).map_or(0, |it| it.pending.len() + it.errors.len())
    }

    /// Returns the frame since which RSTs and ICMP errors have not been reported.
    pub(super) fn pending_since(&self) -> Option<u32> {
        let rare = self.rare.as_ref()?;
        rare.pending_since
            .filter(|_| !rare.pending.is_empty() || !rare.errors.is_empty())
    }
}
