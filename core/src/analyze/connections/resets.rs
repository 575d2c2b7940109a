//! RSTs of a connection: their records, and what later segments add to them.

use std::net::SocketAddr;
use std::num::NonZeroI64;

use super::super::decode::SegmentRecord;
use super::super::diagnosis::{self, Diagnostic};
use super::super::exchange::Pending;
use super::super::explain::{
    Explanation, FIN_ACKNOWLEDGED_WITHIN_NS, FinEvidence, NatFinding, RequiredAction, as_received,
};
use super::super::failure::FailureKind;
use super::super::forgery::{self, Aftermath, Context, Indicator, Sender};
use super::super::history::ConnectionHistory;
use super::super::idle_timeouts::IdleTimeouts;
use super::super::related::Related;
use super::super::stack::Stack;
use super::absence::Absence;
use super::points::Place;
use super::text::ShownByText;
use super::{Continued, Entry, MAX_RESETS_PER_CONNECTION};
use crate::flow::{Acceptance, Form, Observed, Reset, State};
use crate::packet::{Flags, Header};
use crate::time::Timestamp;
use crate::transcript::Role;

/// Record of an RST, with everything known about it.
#[derive(Debug)]
pub struct ResetRecord {
    /// Number of the earlier connection between the same ends that the RST belongs to, if its own connection has only
    /// sent a SYN that no end has accepted yet.
    pub earlier: Option<u32>,
    /// Silence of the connection in nanoseconds: before the RST, or before the packet that precedes it, whichever is
    /// longer.
    pub silence: i64,
    /// Silence of the connection right before the RST, in nanoseconds.
    pub(in crate::analyze) quiet: i64,
    /// Data of the receiver that the sender had not answered when it sent the RST; `None` if the sender has sent data last, or
    /// there was none.
    pub unanswered: Option<Pending>,
    /// Number of bytes that the sender had sent and the receiver had not acknowledged.
    pub unacknowledged: u32,
    /// True if all data of the receiver was acknowledged, at the latest by the RST.
    pub(in crate::analyze) is_receiver_done: bool,
    /// Frame of the final response to the last request, if the sender is a server that had sent one.
    pub answer: Option<u32>,
    /// Failure that the RST brings about; `None` if it changes nothing for an application, or belongs to another connection.
    pub failure: Option<FailureKind>,
    /// Scenario that teaches the RST; `None` if none fits.
    pub related: Option<Related>,
    /// Time from the last data of the server to its FIN, or to the RST if it is an abort, in nanoseconds.
    pub closed_after: Option<NonZeroI64>,
    /// Devices or servers with an idle time-out that explains the failure.
    pub idle_timeouts: IdleTimeouts,
    /// RST as the flow classifies it.
    pub reset: Reset,
    /// TCP header.
    pub header: Header,
    /// Cause and effect of the RST.
    pub explanation: Explanation,
    /// Frames of the segments that the RST may be a reply to, oldest first. The last one is that of `reset`.
    pub triggers: Vec<u32>,
    /// Evidence for or against an injection by a third party.
    pub indicators: Vec<Indicator>,
    /// Reasons that the RST itself carries, in its options and its payload.
    pub diagnostics: Vec<Diagnostic>,
    /// Frame of an earlier RST in the receiver's name that a third party probably sent, and that would have ended the
    /// connection: the action of the receiver assumes that it did not send that RST. `None` if that changes nothing.
    pub assumes_forged: Option<u32>,
    /// State of the connection when the RST was captured, what its sender sent afterwards, and the earlier history.
    pub(super) context: Context,
    pub(super) aftermath: Aftermath,
    pub(in crate::analyze) history: ConnectionHistory,
    /// What the absence of the RST at another capture point depends on.
    pub(super) absence: Absence,
    /// Frame of an earlier RST that carries the receiver's address, and this RST as it is if the receiver did not send
    /// that one and still has its connection.
    pub(super) if_forged: Option<(u32, Reset)>,
    /// True if the RST acknowledges data that was not captured.
    acknowledges_unseen: bool,
    /// Addresses of the frame, those of the sender first, if they are not those of the connection: the frame was captured
    /// on another side of a NAT.
    pub sockets: Option<Box<[SocketAddr; 2]>>,
    /// Connection that the segment before the RST continues under other addresses.
    pub continues: Option<Box<Continued>>,
    /// Frame of an earlier RST that had ended the sender's end, although the other end's socket did not send it.
    pub consequence_of: Option<u32>,
    /// True if the segment that the RST replies to is outside the window of the stated sender.
    pub(super) is_outside_window: bool,
    /// Explanation of the RST by a NAT.
    pub(super) finding: Option<NatFinding>,
    /// Time from the RST to a segment of its receiver that it would have prevented, in nanoseconds.
    went_on: Option<i64>,
    /// IP ID; `None` for IPv6.
    ip_id: Option<u16>,
    /// View of the connection in which it was judged, 0 for the first one; `None` if nothing shows at which of several points it
    /// was captured.
    pub(super) view: Option<u8>,
    /// True if it was printed as text, which does not show how its SEQ relates to the connection, or which point captured it.
    pub(super) is_unjudged: bool,
}

impl ResetRecord {
    /// Returns true if the RST shows that its stated sender has no connection any more, if that end did send it: it has
    /// aborted, or has replied that it has no socket.
    pub(super) fn ends_its_sender(&self) -> bool {
        match self.reset.form {
            Some(Form::Active) => self.reset.acceptance.is_acceptable(),
            Some(Form::Passive) => self.reset.triggered_by.is_some(),
            _ => false,
        }
    }

    /// Returns true if the RST replies to a segment that a NAT did not translate like the others: the stated sender's kernel
    /// sent it, and its socket goes on.
    pub(super) fn is_drawn_by_stray(&self) -> bool {
        (self.finding).is_some_and(|finding| finding != NatFinding::EndedBefore)
    }

    /// Returns true if the RST, or the segment that it replies to, ended a long silence.
    pub(super) fn was_idle(&self) -> bool {
        /// Shortest silence, in nanoseconds, after which devices time connections out by default.
        const MIN_NS: i64 = 10_000_000_000;
        self.silence >= MIN_NS
    }

    /// Takes in a later segment of the receiver.
    pub(super) fn take_of_receiver(&mut self, header: &Header) {
        /// Time in nanoseconds after which no segment is left that the receiver had sent before the RST arrived.
        const MIN_NS: i64 = 1_000_000_000;
        let rtt = self.context.rtt.map_or(0, |it| it.least_ns);
        let after = header.at.since(self.reset.at);
        let is_of_another = header.flags.has(Flags::SYN) || header.flags.has(Flags::RST);
        if !is_of_another && after >= MIN_NS.max(rtt.saturating_mul(4)) {
            self.went_on.get_or_insert(after);
        }
    }

    /// Withdraws the effect of an RST whose receiver went on: a socket that was reset sends nothing but RSTs.
    pub(super) fn settle_going_on(&mut self) {
        let Some(after) = self.went_on.filter(|_| self.explanation.errno.is_some()) else {
            return;
        };
        let after_ms = u32::try_from(after / 1_000_000).unwrap_or(u32::MAX);
        self.leave_open(Acceptance::ReceiverWentOn { after_ms });
    }

    /// Returns the conclusion about the sender of the RST.
    #[must_use]
    pub fn sender(&self) -> Sender<'_> {
        Sender::of(&self.indicators)
    }

    /// Returns the action required of the receiver, its state, and the reason: a clause.
    #[must_use]
    pub fn required_action(&self) -> String {
        let reset = &self.reset;
        let receiver = reset.from.peer().name();
        let state = match reset.receiver_state {
            State::Closed | State::Listen => String::new(),
            state => format!(" in {state}"),
        };
        let why = &self.explanation.acceptance;
        match self.explanation.required_action {
            RequiredAction::Accept => format!("the {receiver} must accept it{state}: {why}"),
            RequiredAction::Drop => format!("the {receiver} ignores it{state}: {why}"),
            RequiredAction::Challenge => format!("the {receiver} challenges it{state}: {why}"),
            RequiredAction::NotDelivered => {
                let why = self.explanation.errno_note.unwrap_or(why);
                format!("the {receiver} does not receive it: {why}")
            }
            RequiredAction::Unknown => {
                format!("whether the {receiver} must accept it{state} is unknown: {why}")
            }
        }
    }
}

impl Entry {
    /// Replaces an RST that was captured when it left by its duplicate that has arrived: the state on arrival is what
    /// counts.
    pub(super) fn replace_reset(&mut self, arrived: &Reset, segment: &SegmentRecord) {
        let Some(left) = arrived.left else { return };
        let header = &segment.header;
        let sockets = self.frame_sockets(segment).map(Box::new);
        let is_it = |record: &&mut ResetRecord| record.reset.frame == left;
        let Some(rare) = &mut self.rare else { return };
        let Some(record) = rare.pending.iter_mut().rev().find(is_it) else {
            return;
        };
        let unseen = record.acknowledges_unseen;
        let evidence = FinEvidence {
            age_ns: self.timing.since_highest(arrived.from, header.at),
            late_ack: None, // where the FIN arrives was captured
            is_lossy: self.gaps.lost.is_some(),
        };
        let mut arrived = as_received(*arrived, &record.history, evidence, unseen);
        let mut triggers = self.flow.triggers(&arrived, header);
        arrived = without_late_trigger(arrived, header, &record.history);
        if arrived.triggered_by.is_none() {
            triggers.clear();
        }
        if record.is_drawn_by_stray() {
            arrived.triggered_by = record.reset.triggered_by;
            triggers.clone_from(&record.triggers);
        }
        let arrived = &arrived;
        record.explanation = Explanation::of(
            arrived,
            header,
            record.context.sender_state,
            &record.history,
            &self.gaps,
        );
        record.reset = *arrived;
        (record.triggers, record.sockets) = (triggers, sockets);
        record.explain_by_nat();
        let is_drawn_by_stray = record.is_drawn_by_stray();
        for frame in &mut rare.frames {
            if *frame == left {
                *frame = arrived.frame;
            }
        }
        if is_drawn_by_stray {
            self.note_ended(arrived);
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
        let context = self.with_new_attempt(context, from);
        let acknowledges_unseen = self.has_not_captured(from.peer(), &segment.header);
        let mut reset = self.received(reset, segment, acknowledges_unseen);
        let shown = self.limit_by_text(segment, &mut reset);
        let never_left =
            place == Some(Place::Arrival) && reset.left.is_none() && self.gaps.lost.is_none();
        let stray = self.drawn_by_stray(&reset, segment, never_left);
        reset.triggered_by = stray.map(|it| it.0).or(reset.triggered_by);
        let header = segment.header;
        self.count_reset(segment);
        if matches!(reset.acceptance, Acceptance::BeyondCapture { .. }) {
            self.gaps.count_unseen();
        }
        push_bounded(&mut self.rare().frames, reset.frame);
        if self.gaps.begins_midstream
            && let Some(next) = context.snd_nxt
        {
            self.history.find_probes(&reset, &header, next, self.idle);
        }
        let mut explanation = Explanation::of(
            &reset,
            &header,
            context.sender_state,
            &self.history,
            &self.gaps,
        );
        explanation.limit_to_text(shown.sequence, shown.copies);
        let context = Context {
            expects_nothing: reset.acceptance == Acceptance::NoConnection
                || explanation.required_action == RequiredAction::Unknown,
            ..self.completed(&context, &reset, segment)
        };
        let mut indicators = self.facts(segment, packet, &context, shown);
        let absence = self.absence(segment, place, &reset);
        let found = self.indicators_of_absence(&reset, &absence, &indicators);
        indicators.splice(0..0, found);
        self.pair_up(from, &header, &mut indicators);
        self.compare_copied(from, segment.ip.id(), &mut indicators);
        let if_forged = self.if_forged(&reset, &header);
        let assumes_forged = self.rare().forged[from.peer()];
        let is_doubtful = Sender::of(&indicators).is_doubtful();
        self.keep_sender(&reset, context.sender_state, is_doubtful, stray.is_some());
        // `replace_reset()` needs the history without this RST.
        let history = self.history.clone();
        self.history.take_reset(&reset, &header);
        // A packet that ends a silence may be what the RST replies to.
        let silence = header.at.since(self.last).max(self.idle).max(0);
        let triggers = self.possible_triggers(&reset, &header, stray.map(|it| it.0));
        let mut record = ResetRecord {
            unanswered: self.exchange.pending(from.peer(), header.at),
            unacknowledged: self.flow.unacknowledged(from),
            is_receiver_done: self.flow.unacknowledged(from.peer()) == 0
                || header.flags.has(Flags::ACK)
                    && self.flow.snd_nxt(from.peer()) == Some(header.ack),
            answer: None,
            failure: None,
            related: None,
            closed_after: None,
            idle_timeouts: IdleTimeouts::default(),
            earlier,
            silence,
            quiet: header.at.since(self.last).max(0),
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
            sockets: self.frame_sockets(segment).map(Box::new),
            continues: None,
            consequence_of: None,
            is_outside_window: self.replies_outside_window(&reset),
            finding: stray.map(|it| it.1),
            went_on: None,
            ip_id: segment.ip.id(),
            view: Some(0),
            is_unjudged: shown != ShownByText::ALL,
        };
        record.explain_by_nat();
        self.explain_consequence(&mut record);
        let pending = &mut self.rare().pending;
        // Most connections have one RST, and a vector would begin with room for four records of almost a kilobyte.
        pending.reserve_exact(usize::from(pending.is_empty()));
        pending.push(record);
    }

    /// Returns an RST with the state and the stack of its receiver that the evidence supports, and without a trigger that is too old.
    fn received(
        &mut self,
        reset: Reset,
        segment: &SegmentRecord,
        acknowledges_unseen: bool,
    ) -> Reset {
        self.gaps.lacks_plain |= self.skips_ids(segment);
        let fin = self.fin_evidence(reset.from, reset.at);
        let reset = Reset {
            on_linux: self.stacks[1 - segment.sender] == Some(Stack::Linux),
            ..as_received(reset, &self.history, fin, acknowledges_unseen)
        };
        without_late_trigger(reset, &segment.header, &self.history)
    }

    /// Returns the context with the state of a sender that has sent a SYN for a new connection, which the other end has not
    /// accepted.
    fn with_new_attempt(&self, context: Context, from: Role) -> Context {
        let is_opening = self.renewed().is_some_and(|renewed| {
            renewed.from == from && renewed.flow.state(from) == State::SynSent
        });
        let opening = is_opening.then_some(State::SynSent);
        Context {
            sender_state: opening.or(context.sender_state),
            ..context
        }
    }

    /// Returns the frames of the segments that an RST may be a reply to, oldest first. `stray` is the segment that a NAT did not
    /// translate, if it replies to one.
    fn possible_triggers(&self, reset: &Reset, header: &Header, stray: Option<u32>) -> Vec<u32> {
        match stray {
            Some(frame) => vec![frame],
            None if reset.triggered_by.is_none() || self.is_prompt(reset) => {
                reset.triggered_by.into_iter().collect()
            }
            None => self.flow.triggers(reset, header),
        }
    }

    /// Keeps the connection of the stated sender if its socket did not send the RST: it is doubtful, or replies to a segment
    /// that a NAT did not translate like the others.
    fn keep_sender(
        &mut self,
        reset: &Reset,
        before: Option<State>,
        is_doubtful: bool,
        is_stray: bool,
    ) {
        let from = reset.from;
        if let Some(state) = before {
            let would_have_ended = state != State::Closed && self.flow.state(from) == State::Closed;
            if is_doubtful && !is_stray && would_have_ended {
                // Of several the first one would have ended the connection.
                self.rare().forged[from].get_or_insert(reset.frame);
            }
            if is_doubtful || is_stray {
                self.flow.restore(from, state);
            }
        }
        if is_stray {
            self.note_ended(reset);
        }
    }

    /// Returns true if the RST replies to a segment outside the window of the RST's stated sender.
    fn replies_outside_window(&self, reset: &Reset) -> bool {
        let receiver = reset.from.peer();
        let latest = self.history.of(receiver).latest().map(|it| it.frame);
        // The window is known if no acknowledgment is missing.
        self.is_whole()
            && reset.form == Some(Form::Passive)
            && reset.triggered_by.is_some()
            && latest == reset.triggered_by
            && self.flow.has_sent_beyond_window(receiver)
    }

    /// Returns true if the RST replies to the segment that ended a silence: it came at once after that one, and long after
    /// any other.
    fn is_prompt(&self, reset: &Reset) -> bool {
        /// Shortest silence, in nanoseconds: no reply takes so long on most paths.
        const MIN_GAP_NS: i64 = 200_000_000;
        let latest = self.history.of(reset.from.peer()).latest();
        let is_latest =
            latest.is_some_and(|it| reset.triggered_by == Some(it.frame) && it.at == self.last);
        // An RST in reply to an earlier segment would have come about as soon after that one.
        let took = reset.at.since(self.last).max(0);
        is_latest && self.idle >= MIN_GAP_NS && took.saturating_mul(10) <= self.idle
    }

    /// Returns true if no packet of the connection is known to be missing.
    fn is_whole(&self) -> bool {
        !self.gaps.begins_midstream
            && self.gaps.lost.is_none()
            && self.has_sent[0]
            && self.has_sent[1]
    }

    /// Returns the state of the connection with what is known of an RST's sender and of its reaction.
    fn completed(&self, context: &Context, reset: &Reset, segment: &SegmentRecord) -> Context {
        let (header, from) = (&segment.header, reset.from);
        let latest = self.history.of(from).latest();
        // A trigger may be among the packets that the capture lacks.
        let is_triggered = reset.triggered_by.is_some();
        Context {
            form: reset.form,
            differs_from_linux: Form::of(header).is_none(),
            answers: (is_triggered || self.is_whole()).then_some(is_triggered),
            asked_for: self.timing.latest_acks(from.peer()),
            rtt: self.timing.rtt(from),
            reaction_ns: self.timing.reaction(from, header),
            far_ns: self.timing.far_ns(from, self.history.rtt(from)),
            idle_ns: latest.map(|latest| header.at.since(latest.at)),
            previous: self.history.of(from).previous.as_deref().copied(),
            stack: self.stacks[segment.sender],
            ..*context
        }
    }

    /// Returns the evidence on the arrival of an end's FIN, if it has sent one.
    /// Returns true if the IP ID of a segment shows that the capture lacks some of its sender's packets before it. A socket of
    /// Linux numbers its packets one by one (`ip_select_ident_segs()`).
    fn skips_ids(&self, segment: &SegmentRecord) -> bool {
        /// Maximum number of packets that are missing in a capture that holds the others.
        const MAX_MISSING: u16 = 8;
        let ids = (segment.ip.id()).zip(self.profiles[segment.sender].latest_ip_id());
        self.stacks[segment.sender] == Some(Stack::Linux)
            && ids.is_some_and(|(id, last)| (2..=MAX_MISSING).contains(&id.wrapping_sub(last)))
    }

    fn fin_evidence(&self, from: Role, now: Timestamp) -> FinEvidence {
        let late = self.timing.late_ack(from, FIN_ACKNOWLEDGED_WITHIN_NS);
        FinEvidence {
            age_ns: self.timing.since_highest(from, now),
            late_ack: late.and_then(|ack| self.flow.relative(from, ack)),
            is_lossy: self.gaps.lost.is_some(),
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

    /// Weighs the IP ID of an RST together with that of an earlier one from the same address.
    fn compare_copied(&mut self, from: Role, id: Option<u16>, indicators: &mut [Indicator]) {
        let pending = self.rare.iter_mut().flat_map(|it| &mut it.pending);
        // Copies of one RST that a device sends several times prove no more than one.
        let other = pending
            .rev()
            .find(|it| it.reset.from == from && it.ip_id != id);
        if let Some(other) = other {
            forgery::copied_twice(indicators, &mut other.indicators);
        }
    }
}

/// Returns an RST without ACK as one that replies to nothing, if it came long after the latest segment that it could reply to: a device
/// that resets by itself gives it the same number.
fn without_late_trigger(reset: Reset, header: &Header, history: &ConnectionHistory) -> Reset {
    /// Longest time of a reply, in nanoseconds: that of a very slow path, with the resolution of an address.
    const MAX_NS: i64 = 5_000_000_000;
    let latest = history.of(reset.from.peer()).latest();
    let is_late = latest.is_some_and(|it| reset.at.since(it.at) > MAX_NS);
    if reset.triggered_by.is_none() || header.flags.has(Flags::ACK) || !is_late {
        return reset;
    }
    Reset {
        form: Some(Form::Active),
        triggered_by: None,
        ..reset
    }
}

/// Adds the frame number of an RST. In a full list it replaces the last one, which bounds the memory for a connection
/// with any number of RSTs.
pub(super) fn push_bounded(frames: &mut Vec<u32>, frame: u32) {
    frames.truncate(MAX_RESETS_PER_CONNECTION - 1);
    frames.push(frame);
}
