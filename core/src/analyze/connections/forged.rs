//! RSTs in the name of an end that did not send them: the end still has its connection.

use super::super::explain::{Explanation, NatFinding, RequiredAction};
use super::super::forgery::{self, Indicator, Weight};
use super::{Entry, ResetRecord, triggers};
use crate::flow::{Acceptance, Reset, State};
use crate::packet::Header;
use crate::transcript::{PerEnd, Role};

impl Entry {
    /// Returns the RST as it is if its receiver did not send the RST that ended its connection: the frame of that RST,
    /// and this one, judged with the state before.
    pub(super) fn if_forged(&self, reset: &Reset, header: &Header) -> Option<(u32, Reset)> {
        if reset.acceptance != Acceptance::NoConnection {
            return None;
        }
        let pending = &self.rare.as_ref()?.pending;
        // Any later RST of an end that is gone ends nothing.
        let ended = pending.iter().rev().find(|it| {
            let was_open = it
                .context
                .sender_state
                .is_some_and(|it| it != State::Closed);
            it.reset.from == reset.from.peer() && was_open && it.ends_its_sender()
        })?;
        let mut flow = self.flow.clone();
        flow.restore(reset.from.peer(), ended.context.sender_state?);
        let judged = flow.follow(reset.from, header)?.reset?;
        Some((ended.reset.frame, judged))
    }

    /// Removes and returns the RSTs that have not been reported, with the evidence that later segments gave.
    pub(super) fn pending(&mut self) -> Vec<ResetRecord> {
        let rare = self.rare.as_mut();
        let mut pending = rare.map_or_else(Vec::new, |rare| std::mem::take(&mut rare.pending));
        triggers::assign(&mut pending);
        // RSTs that end their sender, if they are its own: frame, sender, and whether it is doubtful that they are.
        let mut ending: Vec<(u32, Role, bool)> = Vec::new();
        // Ends that such an RST did not end, and a later one did.
        let mut has_ended: PerEnd<bool> = PerEnd::default();
        // In their order: whether one of them is forged decides what ended the connection for those after it.
        for record in &mut pending {
            if record.view.is_none() {
                if record.sender().is_doubtful() {
                    record.explanation.attribute_to_third_party();
                }
                continue;
            }
            self.settle_absence(record);
            let later = forgery::later(&record.header, &record.context, &record.aftermath);
            record.indicators.extend(later);
            let is_doubtful = record.sender().is_doubtful() && !record.is_drawn_by_stray();
            // What ended the receiver's connection was no RST of the receiver, nor was any after it.
            let receiver = record.reset.from.peer();
            let are_forged = |frame: u32| {
                let mut since = ending.iter().filter(|it| it.1 == receiver && it.0 >= frame);
                since.all(|it| it.2)
            };
            if let Some((frame, judged)) = record.if_forged
                && !has_ended[receiver]
                && are_forged(frame)
            {
                has_ended[receiver] = judged.acceptance.is_acceptable();
                record.explanation = Explanation::of(
                    &judged,
                    &record.header,
                    record.context.sender_state,
                    &record.history,
                    &self.gaps,
                );
                record.reset = judged;
                record.explain_by_nat();
                record.assumes_forged = Some(frame);
            }
            // Without a connection the receiver ignores every RST.
            let would_be_same = matches!(
                record.explanation.required_action,
                RequiredAction::Drop | RequiredAction::NotDelivered
            );
            record.assumes_forged = record.assumes_forged.filter(|_| !would_be_same);
            if record.ends_its_sender() {
                let is_other = is_doubtful || record.is_drawn_by_stray();
                ending.push((record.reset.frame, record.reset.from, is_other));
            }
            if is_doubtful {
                record.explanation.attribute_to_third_party();
                if let Some(finding) = self.device(record) {
                    record.explanation.attribute_to_nat(finding);
                }
            }
            let is_system_known = record.context.stack.is_some();
            record
                .explanation
                .refine_confirmation(is_system_known, record.was_idle());
            record.settle_going_on();
        }
        if self.has_views() {
            for record in &mut pending {
                self.settle_arrival(record, 0);
            }
        }
        let in_views = self.pending_in_views();
        if !in_views.is_empty() {
            pending.extend(in_views);
            pending.sort_by_key(|it| it.reset.frame);
        }
        pending
    }

    /// Returns what is known of the device that sent an RST in the name of its source address.
    fn device(&self, record: &ResetRecord) -> Option<NatFinding> {
        let all = &record.indicators;
        let has = |id, weight| {
            all.iter()
                .any(|it| it.id == id && it.indicates_injection(weight))
        };
        if record.is_outside_window {
            // A NAT that does not translate passes the segment on, and a kernel replies with an IP ID of its own.
            if has("ip-id-copied", Weight::Moderate) {
                return Some(NatFinding::OutsideTrackedWindow);
            }
            let goes_on = |it: &Indicator| matches!(it.id, "went-on-data" | "went-on-ack");
            return all.iter().any(goes_on).then_some(NatFinding::OutsideWindow);
        }
        let is_at_nat = self.is_from_nat(record)
            && has("never-left", Weight::Strong)
            && has("trigger-not-arrived", Weight::Moderate);
        is_at_nat.then_some(NatFinding::NotPassedOn)
    }
}
