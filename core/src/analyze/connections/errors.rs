//! ICMP errors about the connections of a table, and times that cannot be right.

use super::super::decode::ErrorRecord;
use super::super::icmp::{Effect, IcmpRecord};
use super::words::{answer, protocol};
use super::{
    ConnectionObserver, Entry, MAX_BUFFERED_RESETS, MAX_RESETS_PER_CONNECTION, ResetRecord, Table,
};
use crate::packet::{Flags, Header};
use crate::time::Timestamp;
use crate::transcript::Role;

impl Entry {
    /// Takes in an ICMP error. Returns false if it is a copy of an earlier one.
    fn take_error(&mut self, error: &ErrorRecord) -> bool {
        let to = self.role(error.to);
        let record = IcmpRecord::of(error, to, &self.flow, &self.gaps, self.has_sent[error.to]);
        self.span.1 = self.span.1.max(error.frame);
        let rare = self.rare();
        let mut latest = rare.errors.iter().rev().take(MAX_RESETS_PER_CONNECTION);
        if latest.any(|earlier| earlier.is_copied_by(&record)) {
            return false;
        }
        rare.error_count += 1;
        rare.errors.push(record);
        true
    }

    /// Notes that an end carries on after an ICMP error.
    pub(super) fn went_on(&mut self, from: Role, header: &Header) {
        let Some(rare) = &mut self.rare else { return };
        if header.flags.has(Flags::RST) {
            return;
        }
        for error in &mut rare.errors {
            // A SYN with another number is a new attempt from the same port.
            let is_new = header.flags.has(Flags::SYN) && error.quoted_seq != Some(header.seq);
            if error.to == from && error.effect == Effect::ConnectFails && !is_new {
                error.went_on.get_or_insert(header.frame);
            }
        }
    }

    /// Removes and returns the RSTs and the ICMP errors that have not been reported, and keeps what they have brought about.
    pub(super) fn take_events(&mut self) -> (Vec<ResetRecord>, Vec<IcmpRecord>) {
        if self.rare.is_none() {
            return (Vec::new(), Vec::new());
        }
        let mut resets = self.pending();
        let Some(rare) = self.rare.as_mut() else {
            return (resets, Vec::new());
        };
        let errors = std::mem::take(&mut rare.errors);
        let mut outcome = std::mem::take(&mut rare.outcome);
        outcome.take_errors(&errors);
        let words = self.words();
        let protocol = words.and_then(protocol);
        let answer = words.and_then(answer);
        for record in &mut resets {
            // An answer of the sender, before the RST.
            let is_before =
                |frame: &u32| *frame < record.reset.frame && record.reset.from == Role::Server;
            record.answer = answer.filter(is_before);
        }
        let mut in_order: Vec<&mut ResetRecord> = resets.iter_mut().collect();
        if self.has_views() {
            // Some are reported by a later copy.
            in_order.sort_by_key(|it| self.first_copy(it.reset.frame));
        }
        for record in in_order {
            let judged = record
                .view
                .and_then(|it| self.view(it.into()))
                .unwrap_or(self);
            outcome.take_reset(record, (&judged.exchange, &judged.flow), protocol);
        }
        self.rare().outcome = outcome;
        (resets, errors)
    }
}

impl<L: ConnectionObserver> Table<L> {
    /// Returns the time of a frame. A time before 1970 cannot be right: it continues the latest time of this shard, by as
    /// much as such times are apart. One that cannot be expressed is replaced by the latest time.
    #[inline]
    pub(super) fn usable(&mut self, at: Timestamp) -> Timestamp {
        if at.0 >= 0 { at } else { self.usable_time(at) }
    }

    /// Returns the time that replaces one before 1970.
    #[cold]
    fn usable_time(&mut self, at: Timestamp) -> Timestamp {
        /// Maximum time between two such times of one clock, in nanoseconds: an hour.
        const MAX_APART: i64 = 3_600_000_000_000;
        let latest = Timestamp(self.now.0.max(0));
        if at == Timestamp::UNUSABLE {
            return latest;
        }
        if let Some((earlier, substitute)) = self.before_epoch
            && at.since(earlier).saturating_abs() <= MAX_APART
        {
            return Timestamp(substitute.0.saturating_add(at.since(earlier)).max(0));
        }
        self.before_epoch = Some((at, latest));
        latest
    }

    /// Takes in an ICMP error. An error about an unknown connection is counted and creates none.
    pub(super) fn error(&mut self, error: &ErrorRecord) {
        self.frame = error.frame;
        let found = self.find(error.hash, &error.ends);
        let Some(index) = found else {
            self.counts.strange_errors += 1;
            return;
        };
        let index = self.awake(index);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let before = entry.buffered();
        if !entry.take_error(error) {
            return;
        }
        let held = entry.buffered();
        if before == 0 {
            entry.rare().pending_since = Some(error.frame);
            self.hold(error.frame, index);
        }
        self.counts.errors += 1;
        self.buffered += 1;
        if held > MAX_RESETS_PER_CONNECTION {
            self.report_resets(index, self.frame);
        } else if self.buffered > MAX_BUFFERED_RESETS
            && let Some((_, oldest)) = self.pending.pop_first()
        {
            self.report_resets(oldest, self.frame);
        }
    }
}
