//! Views: captures of several points that were merged into one file although their clocks differ.
//!
//! Such a file holds the packets of a connection once for each capture, in the order of clocks that have nothing to do with
//! each other: an end replies before the segment arrives that it replies to. Taken as one, the later capture would look
//! like retransmissions. So each view of a connection is followed by itself, as if its capture were a file of its own, and
//! an RST that several views have counts once. What is absent in one of them shows nothing, since the views cannot be
//! compared without their clocks; `--join` of the separate files does that.
//!
//! A SYN that comes again after its sender has gone on begins another view. Packets belong to a view by their interface
//! or, where several views share one, by their TTL (RFC 791, 3.2). The first view is the connection itself.

use super::super::decode::{CapturePoint, SegmentRecord, spread};
use super::super::failure::Stop;
use super::super::forgery::{HostIds, TtlScope, Ttls};
use super::super::join::Compared;
use super::absence::Absence;
use super::copies::{Copies, Latest};
use super::resets::push_bounded;
use super::{Entry, ResetRecord, Step};
use crate::flow::Acceptance;
use crate::packet::Flags;
use crate::time::Timestamp;

/// Maximum number of views beside the first one.
const MAX_OTHERS: usize = 3;

/// Maximum number of RSTs whose copies are recognized in other views.
const MAX_RESETS: usize = 64;

/// Bits of [`SeenReset::views`] for RSTs in an unknown view.
const UNCLEAR: u8 = 0b1100_0000;

/// Shortest time in nanoseconds between the SYNs of two views. Packets of one capture may be stamped out of order by less.
const MIN_APART_NS: i64 = 100_000;

/// Longest time in nanoseconds until a SYN is sent again: Linux waits for 120 s at most (`TCP_RTO_MAX`, RFC 6298, 2.5), and
/// another attempt has another number (RFC 6528).
const MAX_TIMEOUT_NS: i64 = 240_000_000_000;

/// SYN that a file holds twice, because captures were merged whose clocks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatedSyn {
    /// Number of the first frame of the connection.
    pub frame: u32,
    /// Number of the frame that repeats its SYN.
    pub copy: u32,
    /// Time between the two in nanoseconds. It is negative if the file is not in the order of time.
    pub apart_ns: i64,
}

/// View of a connection beside the first one.
struct View {
    entry: Entry,
    point: CapturePoint,
    /// True if the answer to the SYN has come again, too, so that the SYN was no old duplicate.
    is_confirmed: bool,
}

/// Relation of a segment to the views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Assigned {
    /// It belongs to the first view.
    #[default]
    First,
    /// It belongs to the view with this index.
    Other(usize),
    /// It is a copy of a packet that the first view has.
    Copy,
    /// It is an RST, and nothing shows which view it belongs to.
    Unclear,
}

/// All views of a connection but the first one.
pub(super) struct Views {
    others: Vec<View>,
    repeated: RepeatedSyn,
    /// RSTs whose copies are recognized.
    seen: Vec<SeenReset>,
    /// True if packets of another view have the interface and the TTL of the first one.
    is_alike: bool,
    /// True once the answer to the SYN has come again in such a view.
    is_alike_confirmed: bool,
    /// Relation of the latest segment.
    latest: Assigned,
}

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all = f.debug_struct("Views");
        all.field("repeated", &self.repeated)
            .finish_non_exhaustive()
    }
}

impl Views {
    /// Returns true if the file is known to hold the connection more than once.
    fn is_confirmed(&self) -> bool {
        self.is_alike_confirmed || self.others.iter().any(|it| it.is_confirmed)
    }
}

/// RST as the views have it.
#[derive(Clone, Copy, Debug)]
struct SeenReset {
    /// Hash of the fields that copies have in common.
    hash: u32,
    /// Views that have it, by bit.
    views: u8,
    /// Frame by which it is reported.
    frame: u32,
}

impl ResetRecord {
    /// Withdraws what was concluded from an RST of which the capture point is unknown. Only a TTL of neither point says
    /// something about it.
    fn withdraw(&mut self) {
        self.view = None;
        self.reset.triggered_by = None;
        self.leave_open(Acceptance::PointUnknown);
        self.explanation.withdraw_cause();
        self.indicators.retain(|it| it.id == "ttl-differs");
        self.triggers.clear();
        (self.absence, self.if_forged, self.assumes_forged) = (Absence::default(), None, None);
        (self.silence, self.quiet, self.is_outside_window) = (0, 0, false);
        (self.unanswered, self.unacknowledged) = (None, 0);
    }

    /// Withdraws the effect of the RST, for this reason.
    pub(super) fn leave_open(&mut self, acceptance: Acceptance) {
        self.reset.acceptance = acceptance;
        self.explanation.leave_open(&self.reset);
    }
}

impl Entry {
    fn views(&self) -> Option<&Views> {
        self.rare.as_ref()?.views.as_deref()
    }

    /// Returns the SYN that the file holds twice, if it holds the connection in several views.
    pub(super) fn repeated(&self) -> Option<RepeatedSyn> {
        let views = self.views().filter(|it| it.is_confirmed())?;
        Some(views.repeated)
    }

    /// Returns true if packets of other captures may follow, however long the connection is silent.
    pub(super) fn has_views(&self) -> bool {
        self.views().is_some()
    }

    /// Returns the number of RSTs of other views that have not been reported.
    pub(super) fn buffered_in_views(&self) -> usize {
        let others = self.views().into_iter().flat_map(|it| &it.others);
        others.map(|it| it.entry.buffered()).sum()
    }

    /// Removes and returns the RSTs of other views that have not been reported.
    pub(super) fn pending_in_views(&mut self) -> Vec<ResetRecord> {
        let views = self.rare.as_mut().and_then(|rare| rare.views.as_mut());
        let others = views
            .into_iter()
            .flat_map(|it| it.others.iter_mut().enumerate());
        let mut all: Vec<(usize, ResetRecord)> = Vec::new();
        for (nth, view) in others {
            all.extend(view.entry.pending().into_iter().map(|it| (nth + 1, it)));
        }
        let settled = all.into_iter().map(|(view, mut record)| {
            self.settle_arrival(&mut record, view);
            record.view = record.view.and_then(|_| u8::try_from(view).ok());
            record
        });
        settled.collect()
    }

    /// Withdraws the effect of an RST of a view, unless it is the one nearest to the receiver of those that may have it.
    pub(super) fn settle_arrival(&self, record: &mut ResetRecord, view: usize) {
        let Some(views) = self.views().filter(|it| it.is_confirmed()) else {
            return;
        };
        if record.view.is_none() || record.reset.acceptance.is_unknown() {
            return;
        }
        let sender = self.end(record.reset.from);
        let mut seen = views.seen.iter();
        let had = seen.find(|it| it.frame == record.reset.frame);
        let had = had.map_or(0, |it| it.views);
        let lacking = (0..=views.others.len()).filter(|it| had & (1 << it) == 0 && *it != view);
        for other in lacking {
            match self.is_nearer(view, other, sender) {
                Some(true) => record.leave_open(Acceptance::ArrivalUnknown),
                // It was made between the two, or the other capture lacks it.
                Some(false) => {}
                None => record.leave_open(Acceptance::PointUnknown),
            }
        }
    }

    /// Returns true if a view is nearer to the sender than another one; `None` if that is unknown.
    fn is_nearer(&self, view: usize, other: usize, sender: usize) -> Option<bool> {
        let ttls = |view: usize| -> Option<Ttls> {
            let ttls = self.view(view)?.profiles[sender].ttls();
            (ttls != Ttls::default()).then_some(ttls)
        };
        let (own, others) = (ttls(view)?, ttls(other)?);
        if own.least() > others.most() {
            Some(true)
        } else if own.most() < others.least() {
            Some(false)
        } else {
            None
        }
    }

    /// Returns the effect of a segment on the view that it belongs to; `None` for the first one.
    pub(super) fn step_in_view(&self, segment: &SegmentRecord) -> Option<Step> {
        let views = self.views()?;
        let Assigned::Other(nth) = views.latest else {
            return None;
        };
        Some(Step {
            connection: self.span.0,
            ..views.others.get(nth)?.entry.step(segment)
        })
    }

    /// Returns the TTLs of both views that share the interface of an RST.
    pub(super) fn ttls_of_views(&self, segment: &SegmentRecord) -> Option<TtlScope> {
        let views = self.views().filter(|it| it.is_confirmed())?;
        let sender = segment.sender;
        let other = views
            .others
            .iter()
            .find(|it| it.point.is_of_interface(segment.point))?;
        let [own, others] = [self, &other.entry].map(|it| it.profiles[sender].ttls());
        let is_of_first = self.profiles[sender].is_of_point(segment.point);
        let is_foreign = |ttls: Ttls| !ttls.covers(segment.ip.ttl);
        if !is_of_first || !is_foreign(own) || !is_foreign(others) {
            return None;
        }
        // Each router decrements it, so the higher one is that where packets leave.
        Some(TtlScope::Either(if own.most() > others.most() {
            [own, others]
        } else {
            [others, own]
        }))
    }

    /// Finds the view that a segment belongs to, and begins one if it is the SYN of another view. Returns false if it
    /// belongs to the first view, or to none of this connection.
    // Most connections have no views, and most packets are no SYN.
    #[inline]
    pub(super) fn enter_view(&mut self, segment: &SegmentRecord) -> bool {
        let has_views = self.rare.as_ref().is_some_and(|it| it.views.is_some());
        let flags = segment.header.flags;
        (has_views || flags.has(Flags::SYN) && !flags.has(Flags::ACK)) && self.find_view(segment)
    }

    #[inline(never)]
    fn find_view(&mut self, segment: &SegmentRecord) -> bool {
        let flags = segment.header.flags;
        let is_syn = flags.has(Flags::SYN) && !flags.has(Flags::ACK);
        if is_syn && self.repeats_syn(segment) {
            self.begin_view(segment);
        }
        let assigned = self.assign(segment);
        let is_answer = self.is_answer(segment);
        let Some(views) = self.rare.as_mut().and_then(|it| it.views.as_mut()) else {
            return false;
        };
        views.latest = assigned;
        match assigned {
            Assigned::Other(nth) => views.others[nth].is_confirmed |= is_answer,
            // The answer of the first view came before.
            Assigned::Copy => views.is_alike_confirmed |= is_answer,
            Assigned::First | Assigned::Unclear => {}
        }
        self.gaps.doubled |= self.repeated().is_some();
        assigned != Assigned::First
    }

    /// Returns true if a SYN is the one that began this connection, captured by a clock that differs: its sender has gone
    /// on since, or has stamped later packets.
    fn repeats_syn(&self, segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        let from = self.role(segment.sender);
        let is_first = self.flow.relative(from, header.seq) == Some(0);
        let apart = header.at.since(self.zeek_summary().began());
        if !is_first
            || segment.compared != Compared::Single
            || self.gaps.begins_midstream
            || usize::from(self.client) != segment.sender
            || self.ends.is_self_connection()
            || self.nat().is_some()
            || segment.translation != 0
            || apart.abs() < MIN_APART_NS
        {
            return false;
        }
        let first = &self.profiles[segment.sender];
        // One capture has one clock.
        if first.point().is_of_one_capture(segment.point) || first.ttls() == Ttls::default() {
            return false;
        }
        // The copy that comes next is one of a segment in flight.
        if Latest::of(segment).is_copy_of(self.latest, Copies::UNKNOWN) {
            return false;
        }
        // RFC 7323, 3.2: a retransmission has the time at which it was sent.
        let latest = self.flow.timestamps(from);
        let is_old = (header.timestamps.zip(latest)).is_some_and(|(own, latest)| {
            own.value != 0 && latest.value.wrapping_sub(own.value) < 1 << 31
        });
        // An end that has acknowledged the other one's SYN sends its own no more (RFC 9293, 3.10.7.3).
        let una = self.flow.snd_una(from.peer());
        let has_gone_on = una
            .and_then(|una| self.flow.relative(from.peer(), una))
            .is_some_and(|una| una > 0)
            && self.has_sent[1 - segment.sender];
        // Each packet has another IP ID (RFC 6864, 4.1). That of the latest packet is kept.
        let id = segment.ip.id().unwrap_or(0);
        let is_numbered_alike = id != 0 && first.latest_ip_id() == Some(id);
        let is_elsewhere = first.point() != segment.point || !first.ttls().covers(segment.ip.ttl);
        let is_too_late = header.at.since(self.last).abs() > MAX_TIMEOUT_NS;
        if is_elsewhere {
            return is_old || has_gone_on || is_numbered_alike || is_too_late;
        }
        // Without another place the same end may connect again with the same number, unless its clock says otherwise. After
        // dormancy it is not known any more what an end has acknowledged.
        let is_live = self.rare.as_ref().is_none_or(|it| it.earlier.is_none());
        is_old || has_gone_on && is_live && !self.zeek_summary().has_closed()
    }

    /// Begins the view of this SYN.
    fn begin_view(&mut self, segment: &SegmentRecord) {
        let first = &self.profiles[segment.sender];
        let is_elsewhere =
            !first.point().is_of_interface(segment.point) || !first.ttls().covers(segment.ip.ttl);
        let began = self.zeek_summary().began();
        let is_closed = self.zeek_summary().has_closed();
        let repeated = RepeatedSyn {
            frame: self.span.0,
            copy: segment.header.frame,
            apart_ns: segment.header.at.since(began),
        };
        let rare = self.rare();
        let views = rare.views.get_or_insert_with(|| {
            let noted = rare.reset_hashes.iter().zip(&rare.frames);
            let seen = noted.map(|(hash, frame)| SeenReset {
                hash: *hash,
                views: 1,
                frame: *frame,
            });
            Box::new(Views {
                others: Vec::new(),
                repeated,
                seen: seen.collect(),
                is_alike: false,
                is_alike_confirmed: false,
                latest: Assigned::First,
            })
        });
        let is_known = views.others.iter().any(|it| {
            let ttls = it.entry.profiles[segment.sender].ttls();
            it.point.is_of_interface(segment.point) && ttls.covers(segment.ip.ttl)
        });
        if !is_elsewhere || views.others.len() == MAX_OTHERS && !is_known {
            // Of a connection that is over, the SYN begins nothing else.
            views.is_alike = true;
            views.is_alike_confirmed |= is_closed;
        } else if !is_known {
            views.others.push(View {
                entry: Entry::new(segment),
                point: segment.point,
                is_confirmed: false,
            });
        }
    }

    /// Returns true if a segment has the numbers of the answer to the SYN that began this connection.
    fn is_answer(&self, segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        let from = self.role(segment.sender);
        let acknowledged = self.flow.relative(from.peer(), header.ack);
        let has = |flag| header.flags.has(flag);
        if usize::from(self.client) == segment.sender || !has(Flags::ACK) || acknowledged != Some(1)
        {
            return false;
        }
        has(Flags::RST) && self.has_reset(segment)
            || has(Flags::SYN) && self.flow.relative(from, header.seq) == Some(0)
    }

    /// Returns true if the first view has an RST with these fields.
    fn has_reset(&self, segment: &SegmentRecord) -> bool {
        let hash = Latest::of(segment).hash();
        let mut known = self.views().into_iter().flat_map(|it| &it.seen);
        known.any(|it| it.hash == hash && it.views & 1 != 0)
    }

    fn assign(&self, segment: &SegmentRecord) -> Assigned {
        let Some(views) = self.views() else {
            return Assigned::First;
        };
        let (header, sender) = (&segment.header, segment.sender);
        let (from, ttl) = (self.role(sender), segment.ip.ttl);
        let has = |flag| header.flags.has(flag);
        // A SYN with another number begins another connection.
        if has(Flags::SYN)
            && self
                .flow
                .relative(from, header.seq)
                .is_some_and(|it| it != 0)
        {
            return Assigned::First;
        }
        let is_of_first = |point: CapturePoint| {
            let first = self.profiles[usize::from(self.client)].point();
            first.is_of_interface(point)
        };
        let is_opening = has(Flags::SYN) || self.is_answer(segment);
        // An RST may come before the answer to the SYN.
        let is_copy_of_rst = has(Flags::RST) && self.has_reset(segment);
        let is_there = |it: &View| it.point.is_of_interface(segment.point);
        let is_shared = is_of_first(segment.point);
        if !views.is_alike && !views.others.iter().any(is_there) {
            return Assigned::First;
        }
        let there = views.others.iter().enumerate();
        let there = there.filter(|(_, it)| is_there(it));
        let mut fitting = Vec::new();
        for (nth, view) in there {
            let ttls = view.entry.profiles[sender].ttls();
            let is_first_packet = ttls == Ttls::default() && is_opening;
            if !is_shared || ttls.covers(ttl) || is_first_packet {
                fitting.push((nth, view.is_confirmed));
            }
        }
        let own = self.profiles[sender].ttls();
        // The first packet of an end in a view shows its TTL there, unless that is the one of the first view.
        let fits_first =
            is_shared && (own.covers(ttl) || own == Ttls::default() && !has(Flags::RST));
        match (fits_first, &fitting[..]) {
            (false, [(nth, is_confirmed)]) if *is_confirmed || is_opening || is_copy_of_rst => {
                Assigned::Other(*nth)
            }
            (true, []) if !views.is_alike => Assigned::First,
            _ if !views.is_confirmed() => {
                let is_again = views.is_alike && self.is_answer(segment);
                if is_again {
                    Assigned::Copy
                } else {
                    Assigned::First
                }
            }
            _ if has(Flags::RST) => Assigned::Unclear,
            _ if self.is_behind(segment) => Assigned::Copy,
            _ => Assigned::First,
        }
    }

    /// Returns true if the first view has all that a segment carries.
    fn is_behind(&self, segment: &SegmentRecord) -> bool {
        let header = &segment.header;
        let from = self.role(segment.sender);
        let next = self.flow.snd_nxt(from);
        let una = self.flow.snd_una(from.peer());
        next.is_some_and(|next| !header.seq_end().is_after(next))
            && (!header.flags.has(Flags::ACK) || una.is_some_and(|una| !header.ack.is_after(una)))
    }

    /// Takes in a segment of a connection that the file holds in several views. Returns true if it is an RST that is no
    /// copy.
    pub(super) fn take_in_view(
        &mut self,
        segment: &SegmentRecord,
        bytes: &[u8],
        is_new: bool,
    ) -> bool {
        let Some(views) = self.views() else {
            return false;
        };
        let (assigned, is_confirmed) = (views.latest, views.is_confirmed());
        // The IP IDs and clocks of a host are in the order of all clocks of the file.
        let alone = SegmentRecord {
            host: HostIds::default(),
            ..*segment
        };
        let segment = if is_confirmed { &alone } else { segment };
        match assigned {
            Assigned::First => {
                let resets = self.resets;
                self.take_alone(segment, bytes, is_new) && {
                    // The connection's own view has counted it.
                    self.resets = resets;
                    self.keep_reset(segment, 0)
                }
            }
            Assigned::Other(nth) => self.take_in_other(nth, segment, bytes),
            Assigned::Copy => {
                self.span.1 = segment.header.frame;
                false
            }
            Assigned::Unclear => {
                self.span.1 = segment.header.frame;
                if self.find_copy(segment, UNCLEAR).is_some() {
                    return false;
                }
                let flow = self.flow.clone();
                let is_kept = self.take_alone(segment, bytes, is_new);
                self.flow = flow;
                let mut pending = self.rare.iter_mut().flat_map(|it| &mut it.pending);
                if is_kept && let Some(record) = pending.next_back() {
                    record.withdraw();
                }
                is_kept
            }
        }
    }

    fn take_in_other(&mut self, nth: usize, segment: &SegmentRecord, bytes: &[u8]) -> bool {
        let frame = segment.header.frame;
        self.span.1 = frame;
        let Some(view) = self.view_mut(nth + 1) else {
            return false;
        };
        let is_new = view.span.0 == frame;
        if !view.take_alone(segment, bytes, is_new) {
            return false;
        }
        self.keep_reset(segment, nth + 1)
    }

    /// Returns the state in which a connection with several views has stopped, and the time of the last packet of the view
    /// that shows it. `None` if another view may have the reply that this one lacks.
    pub(super) fn stop_of_views(&self) -> Option<(Stop, Timestamp)> {
        // Of views that are alike none was followed for itself.
        let views = self.views().filter(|it| !it.is_alike)?;
        let all = 0..=views.others.len();
        let mut all = all.filter_map(|it| self.view(it));
        let stopped = |entry: &Self| {
            let stop = entry.latest_stop()?;
            self.is_shown_by_all(entry, &stop)
                .then_some((stop, entry.last))
        };
        all.find_map(stopped)
    }

    /// Returns true if no view contradicts that the connection has stopped as this one shows.
    fn is_shown_by_all(&self, view: &Self, stop: &Stop) -> bool {
        let others = self.views().map_or(0, |it| it.others.len());
        let mut all = (0..=others).filter_map(|it| self.view(it));
        match stop {
            // A packet of the silent end that only another view has may be the reply, lost on its way.
            Stop::Repeated(repeated) => {
                let silent = self.end(repeated.from.peer());
                let heard = |it: &Self| it.zeek_summary().packets()[silent];
                all.all(|it| heard(it) <= heard(view))
            }
            // The request may have reached the end that closed after it had closed.
            Stop::Closed(unanswered) => all.all(|it| {
                let other = it.latest_stop();
                matches!(other, Some(Stop::Closed(other)) if other.by == unanswered.by)
            }),
        }
    }

    /// Returns the entry that follows a view.
    pub(super) fn view(&self, view: usize) -> Option<&Self> {
        match view.checked_sub(1) {
            None => Some(self),
            Some(nth) => Some(&self.views()?.others.get(nth)?.entry),
        }
    }

    /// Returns the entry that follows a view, to change it.
    fn view_mut(&mut self, view: usize) -> Option<&mut Self> {
        let Some(nth) = view.checked_sub(1) else {
            return Some(self);
        };
        let views = self.rare.as_mut()?.views.as_mut()?;
        Some(&mut views.others.get_mut(nth)?.entry)
    }

    /// Decides whether the RST that a view has just taken in is another one, or a copy of an RST that other views have.
    /// Of copies the one nearest to the receiver is reported, as far as it is known. Returns true if it is another one.
    fn keep_reset(&mut self, segment: &SegmentRecord, view: usize) -> bool {
        let frame = segment.header.frame;
        // The list of the first view has it already.
        if view == 0 {
            self.rare().frames.pop_if(|it| *it == frame);
        }
        let Some((nth, earlier)) = self.find_copy(segment, 1 << view) else {
            push_bounded(&mut self.rare().frames, frame);
            self.resets += 1;
            return true;
        };
        let old = self.views().map_or(frame, |it| it.seen[nth].frame);
        let of_frame = |entry: &Self, frame: u32| {
            let pending = entry.rare.iter().flat_map(|it| &it.pending);
            let mut found = pending.filter(|it| it.reset.frame == frame);
            found.next().map(|it| it.reset.acceptance)
        };
        let acceptance = |entry: &mut Self, view: usize, frame: u32| {
            entry.view_mut(view).and_then(|it| of_frame(it, frame))
        };
        let (was, is) = (
            acceptance(self, earlier, old),
            acceptance(self, view, frame),
        );
        let is_later = self.is_nearer(earlier, view, segment.sender);
        if was.is_some() && is_later == Some(true) {
            self.drop_record(earlier, old);
            if let Some(views) = &mut self.rare().views {
                views.seen[nth].frame = frame;
            }
            for it in self.rare().frames.iter_mut().filter(|it| **it == old) {
                *it = frame;
            }
            return false;
        }
        self.drop_record(view, frame);
        if is_later.is_none() && was != is {
            let view = self.view_mut(earlier);
            let pending = view.and_then(|it| it.rare.as_mut());
            let mut pending = pending.into_iter().flat_map(|it| &mut it.pending);
            if let Some(record) = pending.find(|it| it.reset.frame == old) {
                record.withdraw();
            }
        }
        false
    }

    /// Returns the number of the RST that is reported by this frame, in the order of the first copies.
    pub(super) fn first_copy(&self, frame: u32) -> usize {
        let mut seen = self.views().into_iter().flat_map(|it| &it.seen);
        seen.position(|it| it.frame == frame).unwrap_or(usize::MAX)
    }

    /// Removes the record of an RST from a view.
    fn drop_record(&mut self, view: usize, frame: u32) {
        if let Some(rare) = self.view_mut(view).and_then(|it| it.rare.as_mut()) {
            rare.pending.retain(|it| it.reset.frame != frame);
        }
    }

    /// Finds an RST with these fields that other views have, and notes that this one has it, too. Returns its index, and
    /// the first view that has it. Otherwise adds the RST. `view` has the bit of the view, or several if it is unknown.
    fn find_copy(&mut self, segment: &SegmentRecord, view: u8) -> Option<(usize, usize)> {
        let hash = Latest::of(segment).hash();
        let seen = &mut self.rare.as_mut()?.views.as_mut()?.seen;
        for (nth, known) in seen.iter_mut().enumerate().filter(|it| it.1.hash == hash) {
            // Of those in an unknown view each second one is taken for the copy.
            let free = view & !known.views;
            if free != 0 {
                let earlier = known.views.trailing_zeros() as usize;
                known.views |= 1 << free.trailing_zeros();
                return Some((nth, earlier));
            }
        }
        if seen.len() == MAX_RESETS {
            seen.remove(0);
        }
        let views = 1 << view.trailing_zeros();
        let frame = segment.header.frame;
        seen.push(SeenReset { hash, views, frame });
        None
    }

    /// Counts an RST, and notes it so that its copies in other views are recognized.
    pub(super) fn count_reset(&mut self, segment: &SegmentRecord) {
        self.resets += 1;
        // Once there are several views, each RST is looked for in the others. The hashes go with the first frames of the list.
        if !self.has_views() {
            let hash = Latest::of(segment).hash();
            let hashes = &mut self.rare().reset_hashes;
            if hashes.len() + 1 < MAX_RESETS {
                hashes.push(hash);
            }
        }
    }
}

impl Latest {
    /// Returns a hash of the fields that all copies of a packet have in common.
    fn hash(&self) -> u32 {
        let numbers = self.common();
        let mixed = numbers.iter().fold(0_u64, |hash, number| {
            spread(hash.rotate_left(23) ^ u64::from(*number))
        });
        u32::try_from(mixed >> 32).unwrap_or(0)
    }
}
