//! Absence of an RST, or of the segment that it replies to, at one of two capture points.
//!
//! What was captured at one point and not at the other was lost or made between them, but only if the other point
//! captured everything at that time: captures that were merged begin and end at different times, and may lack frames.

use super::super::decode::SegmentRecord;
use super::super::explain::Explanation;
use super::super::forgery::{self, Indicator, Weight};
use super::super::join::Compared;
use super::points::Place;
use super::{Entry, ResetRecord};
use crate::flow::{Acceptance, Reset};

/// Circumstances on which it depends what an absence shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Absence {
    /// Index of the sender of the RST.
    sender: usize,
    /// True if the RST was captured where packets leave the sender, and where they arrive.
    leaves: bool,
    arrives: bool,
    /// True if a copy of the RST was captured at a place that is not known: it went on from where it left.
    goes_on: bool,
    /// Frame of the RST that came first, and the number of its copies.
    first: u32,
    copies: u8,
    /// Frame of the newest packet before the RST with a known place; 0 without one, or if it is too old.
    before: u32,
    /// True if the segment that the RST replies to was captured only where it left its sender.
    lacks_trigger: bool,
    /// True if its frame was addressed to another host of the link, unlike others of its sender, and has no copy.
    is_for_other_host: bool,
    /// True if the captures were joined, and each point would have captured the RST.
    is_joined: bool,
}

impl Absence {
    /// Ids of the indicators that an absence gives.
    const IDS: [&'static str; 2] = ["never-left", "trigger-not-arrived"];
}

impl Entry {
    /// Returns what has to be known about the absence of an RST that has just been captured.
    pub(super) fn absence(
        &self,
        segment: &SegmentRecord,
        place: Option<Place>,
        reset: &Reset,
    ) -> Absence {
        /// Time in nanoseconds after which a point may have stopped capturing.
        const RECENT_NS: i64 = 60_000_000_000;
        let points = self.rare.as_ref().map(|it| it.points).unwrap_or_default();
        let (before, at) = points.newest();
        let is_recent = segment.header.at.since(at) < RECENT_NS;
        let lacks_trigger =
            (reset.triggered_by).is_some_and(|frame| self.has_only_left(1 - segment.sender, frame));
        Absence {
            sender: segment.sender,
            leaves: place == Some(Place::Departure),
            arrives: place == Some(Place::Arrival),
            goes_on: false,
            first: segment.header.frame,
            copies: 0,
            before: if is_recent { before } else { 0 },
            lacks_trigger,
            is_for_other_host: self.is_for_other_host(segment, place),
            is_joined: segment.compared == Compared::All,
        }
    }

    /// Returns true if a frame was addressed to another host of the link, although other packets of its sender came in for
    /// the host that captured it. Its IP layer drops the frame, and it is not known where else the packet went.
    pub(super) fn is_for_other_host(&self, segment: &SegmentRecord, place: Option<Place>) -> bool {
        let first = self.profiles[segment.sender].point();
        place.is_none()
            && segment.point.is_for_other_host()
            && first != segment.point
            && first.received() == segment.point.received()
    }

    /// Takes in a copy of the packet that this frame captured first.
    pub(super) fn take_copy(&mut self, segment: &SegmentRecord, first: u32, place: Option<Place>) {
        let left = segment.header.frame;
        let points = self.rare.as_ref().map(|it| it.points).unwrap_or_default();
        let is_one_capture = points.is_one_capture(segment.sender);
        for record in self.rare.iter_mut().flat_map(|it| &mut it.pending) {
            record.absence.lacks_trigger &= record.reset.triggered_by != Some(first);
            if record.absence.first == first {
                record.absence.copies = record.absence.copies.saturating_add(1);
            }
            if record.reset.frame == first {
                record.absence.is_for_other_host = false;
                // A place between the two that are known is one only if the same capture shows all three.
                let is_between = is_one_capture && !record.absence.leaves;
                record.absence.arrives |= place == Some(Place::Arrival) && is_between;
                record.absence.goes_on |= place.is_none() && !record.absence.is_joined;
                // The clock of one point is ahead, so the copy that leaves comes later.
                if place == Some(Place::Departure) {
                    record.absence.leaves = true;
                    record.reset.left.get_or_insert(left);
                }
            }
        }
    }

    /// Returns true if the point at this end was capturing when the RST was captured elsewhere.
    fn was_capturing(&self, end: usize, absence: &Absence) -> bool {
        absence.is_joined
            || self.rare.as_ref().is_some_and(|rare| {
                rare.points.is_one_capture(absence.sender)
                    || rare.points.has_reached(end, absence.before)
            })
    }

    /// Returns the evidence from what is absent, as far as it is known now.
    pub(super) fn indicators_of_absence(
        &self,
        reset: &Reset,
        absence: &Absence,
        others: &[Indicator],
    ) -> Vec<Indicator> {
        if self.gaps.lost.is_some() {
            return Vec::new();
        }
        let is_captured = self.was_capturing(absence.sender, absence);
        let mut found = Vec::new();
        if absence.arrives && !absence.leaves {
            let has_other_ttl =
                |it: &Indicator| it.id == "ttl-differs" && it.indicates_injection(Weight::Moderate);
            let is_foreign = others.iter().any(has_other_ttl);
            found.push(forgery::never_left(is_captured, is_foreign));
        }
        if let Some(trigger) = reset.triggered_by.filter(|_| absence.lacks_trigger) {
            found.push(forgery::trigger_not_arrived(trigger, is_captured));
        }
        found
    }

    /// Replaces what was concluded from an absence when the RST was captured by what follows from all packets since.
    pub(super) fn settle_absence(&self, record: &mut ResetRecord) {
        let ids = Absence::IDS;
        record.indicators.retain(|it| !ids.contains(&it.id));
        let absence = record.absence;
        let found = self.indicators_of_absence(&record.reset, &absence, &record.indicators);
        record.indicators.splice(0..0, found);
        forgery::sort(&mut record.indicators);
        let points = self.rare.as_ref().map(|it| it.points).unwrap_or_default();
        // It has left and has come to a point beyond which others may lie, which do not have it.
        let is_lacking = absence.leaves
            && !absence.is_joined
            && points.has_more_copies(absence.sender, absence.copies);
        if is_lacking && record.reset.acceptance.is_acceptable() {
            record.leave_open(Acceptance::ArrivalUnknown);
            return;
        }
        if absence.is_for_other_host && !record.reset.acceptance.is_unknown() {
            record.leave_open(Acceptance::OtherHost);
            return;
        }
        if record.reset.acceptance != Acceptance::NotArrived {
            return;
        }
        let is_certain = self.gaps.lost.is_none()
            && !absence.goes_on
            && self.was_capturing(1 - absence.sender, &absence);
        if !is_certain {
            record.reset.acceptance = Acceptance::ArrivalUnknown;
            record.explanation = Explanation::of(
                &record.reset,
                &record.header,
                record.context.sender_state,
                &record.history,
                &self.gaps,
            );
            record.explain_by_nat();
        }
    }
}
