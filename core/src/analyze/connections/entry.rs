//! One connection under way: what each segment changes in it, and what is reported about it.

use super::super::decode::SegmentRecord;
use super::super::exchange::{self, Exchange};
use super::super::forgery::{Context, ReceiverIds, SenderProfile, Timing, TtlScope};
use super::super::history::ConnectionHistory;
use super::super::join::Compared;
use super::super::stack::Stack;
use super::super::zeek::{Zeek, ZeekSummary};
use super::copies::{Latest, Sighting};
use super::nat::Nat;
use super::points::Place;
use super::roles::sends_as_client;
use super::{CaptureGaps, Connection, Entry, MIN_SILENCE_NS, Rare, Step};
use crate::file::Absent;
use crate::flow::{Flow, Observed, State};
use crate::packet::{Flags, Header, SeqNum};
use crate::time::Timestamp;
use crate::transcript::Role;

/// Connection that a SYN asks for while the ends still have, or may have, an earlier one.
///
/// A SYN can be old or forged, and an end in TIME-WAIT may refuse it, so the earlier connection continues until the ends
/// show that they have accepted the SYN. Only segments that fit the SYN are taken in here.
#[derive(Clone, Debug)]
pub(super) struct Renewed {
    pub(super) flow: Flow,
    pub(super) history: ConnectionHistory,
    /// End that sent the SYN, and its sequence number.
    pub(super) from: Role,
    iss: SeqNum,
    /// True if that end may have given up the earlier connection. Otherwise an RST that refuses the SYN does not affect
    /// it: the SYN may be forged.
    may_be_new: bool,
    /// Number of the earlier connection: that of its first frame.
    pub(super) earlier: u32,
}

/// Returns the likely stack of the sender of a SYN; `None` also if a text lacks what shows it.
pub(super) fn stack_of(segment: &SegmentRecord, bytes: &[u8]) -> Option<Stack> {
    let shows = Absent::IP_HEADER.and(Absent::OPTIONS);
    let is_shown = !segment.absent.has(shows);
    is_shown.then(|| Stack::of(segment.packet(bytes)))?
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
            exchange: Exchange::default(),
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
            is_self_connection: segment.ends.is_self_connection(),
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
        let is_initial = |role: Role, number: SeqNum| {
            let renewed = self.renewed().filter(|it| it.from == role);
            self.flow.relative(role, number) == Some(0)
                || renewed.is_some_and(|it| it.iss == number)
        };
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
    pub(super) fn dormant_at(&self) -> Timestamp {
        if self.has_views() {
            return Timestamp(i64::MAX);
        }
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
        // What an unaccepted SYN has interrupted is still the earlier connection.
        let pending = self.renewed().map(|it| it.earlier);
        let earlier = pending.or_else(|| Some(self.reconnecting()?.0));
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
                earlier: earlier.unwrap_or(self.span.0),
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
    pub(super) fn renewed(&self) -> Option<&Renewed> {
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

    /// Returns the IP IDs of the other end; none if both ends are one host, which may have one counter for both.
    fn receiver_ids(&self, sender: usize) -> ReceiverIds {
        if self.ends.is_one_host() {
            return ReceiverIds::default();
        }
        ReceiverIds::of(&self.profiles[1 - sender])
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
        if let Some(step) = self.step_in_view(segment) {
            return step;
        }
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
            comments: self.rare.as_ref().map_or(&[], |it| &it.comments),
            translations: self.nat().map_or(&[], Nat::translations),
            failure: None,
            was_failure_reported: (self.rare.as_ref()).is_some_and(|it| it.outcome.was_reported),
            repeated: self.repeated(),
            words: self.words(),
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
        if self.take_plain(segment, bytes, is_new) {
            return false;
        }
        if self.has_views() {
            self.take_in_view(segment, bytes, is_new)
        } else {
            self.take_alone(segment, bytes, is_new)
        }
    }

    /// Returns the state of the connection before an RST. `is_at_first` is true if the point of its sender's first packet
    /// captured it.
    fn context(&self, segment: &SegmentRecord, is_at_first: bool) -> Context {
        let from = self.role(segment.sender);
        Context {
            ttls: if segment.ip.is_known() {
                self.ttl_scope(segment, is_at_first)
            } else {
                TtlScope::Unknown
            },
            host: segment.host,
            receiver_ids: self.receiver_ids(segment.sender),
            sender_state: Some(self.state(from)),
            snd_nxt: self.flow.snd_nxt(from),
            rcv_nxt: self.flow.rcv_nxt(from.peer()),
            ..Context::default()
        }
    }

    /// Takes in a segment of the first view. Returns true if it is an RST that is no duplicate.
    pub(super) fn take_alone(
        &mut self,
        segment: &SegmentRecord,
        bytes: &[u8],
        is_new: bool,
    ) -> bool {
        let header = &segment.header;
        let Sighting { copy_of, place } = self.sight(segment);
        // A socket that is connected to itself has no way between two ends; nor does a place mean anything at a time at
        // which the other point captured nothing.
        let has_way = !self.is_self_connection
            && segment.compared != Compared::Alone
            && !segment.absent.has(Absent::POINT);
        let place = place.filter(|_| has_way);
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
                self.is_stray(from, segment, true);
                return false;
            }
        }
        if self.is_stray(from, segment, is_copy) {
            return false;
        }
        let state = self.flow.state(from);
        if !is_copy {
            self.renew(from, header);
        }
        let (next, una) = (self.flow.snd_nxt(from), self.flow.snd_una(from));
        let earlier = self.renewed().map(|renewed| renewed.earlier);
        let before = is_reset.then(|| self.context(segment, is_at_first));
        // The host that captured it drops it.
        let is_dropped = is_reset && self.is_for_other_host(segment, place);
        let flow = is_dropped.then(|| self.flow.clone());
        let observed = self.follow(from, segment, place);
        if is_copy {
            let arrived = observed.as_ref().and_then(|it| it.reset);
            if let Some(arrived) = arrived {
                if self.drawn_by_stray(&arrived, segment, false).is_some() {
                    self.flow.restore(from, state);
                }
                self.replace_reset(&arrived, segment);
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
            if let Some(flow) = flow {
                self.flow = flow;
            }
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
                let stack = stack_of(segment, bytes);
                self.stacks[segment.sender] = stack.or(self.stacks[segment.sender]);
            }
            self.exchange
                .take(from, header, (next, una, self.last), || {
                    exchange::opening(segment.packet(bytes))
                });
            self.history.take(from, header, next, una);
            self.timing.take(from, header);
            self.went_on(from, header);
            self.profiles[segment.sender].take(&segment.ip, header, segment.point);
            if let Some(rare) = &mut self.rare {
                // It has the connection, whoever sent an RST in its name.
                rare.forged[from] = None;
                for record in &mut rare.pending {
                    if record.reset.from != from {
                        record.take_of_receiver(header);
                    } else if !record.is_drawn_by_stray() {
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

    /// Returns the number of RSTs and ICMP errors that have not been reported.
    pub(super) fn buffered(&self) -> usize {
        let own = (self.rare.as_ref()).map_or(0, |it| it.pending.len() + it.errors.len());
        own + self.buffered_in_views()
    }

    /// Returns the frame since which RSTs and ICMP errors have not been reported.
    pub(super) fn pending_since(&self) -> Option<u32> {
        let rare = self.rare.as_ref()?;
        rare.pending_since.filter(|_| self.buffered() > 0)
    }
}
