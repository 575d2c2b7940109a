//! Plain segment of a connection with full state of which nothing unusual is known: no copies, no RSTs, one capture point for each end.
//!
//! Such connections have no [light state](super::light), because the capture lacks their SYN, or because something odd has happened
//! before. [`Entry::take_plain`] changes only what a plain segment changes, and most of them continue their connection where it left
//! off, for which each part of the state has a short way of its own. The test compares the results with those of the long way.

use super::super::decode::SegmentRecord;
use super::super::exchange;
use super::super::join::Compared;
use super::copies::Latest;
use super::entry::stack_of;
use super::{Entry, Rare};
use crate::packet::Flags;
use crate::transcript::{PerEnd, Role};

impl Rare {
    // Out of line: most connections have no rare fields.
    #[inline(never)]
    fn is_undisturbed(&self) -> bool {
        self.pending.is_empty()
            && self.errors.is_empty()
            && self.forged == PerEnd::default()
            && self.nat.is_none()
            && self.renewed.is_none()
            && self.views.is_none()
    }
}

impl Entry {
    /// Returns true if the segment belongs to this connection and to its current record of Zeek, as one without SYN and RST does. False
    /// if that takes a closer look.
    #[inline]
    pub(super) fn is_continued_by(&self, segment: &SegmentRecord) -> bool {
        segment.header.flags.0 & (Flags::SYN.0 | Flags::RST.0) == 0
            && self.ends == segment.ends
            && self.is_undisturbed()
            && !self.is_record_over_by(segment.header.at)
    }

    /// Returns true if none of the rare fields has to do with the next plain segment. A connection that was dormant has some that have
    /// not.
    #[inline]
    fn is_undisturbed(&self) -> bool {
        self.rare.as_ref().is_none_or(|it| it.is_undisturbed())
    }

    /// Takes in a segment as [`take_alone`](Self::take_alone) does, if it is a plain one. Returns false, with the entry unchanged,
    /// for any other.
    #[inline]
    pub(super) fn take_plain(
        &mut self,
        segment: &SegmentRecord,
        bytes: &[u8],
        is_new: bool,
    ) -> bool {
        let header = &segment.header;
        let sender = segment.sender & 1;
        let is_plain = !header.flags.has(Flags::RST)
            && self.is_undisturbed()
            && segment.compared == Compared::Single
            && !self.is_self_connection
            && !self.gaps.doubled
            && !self.latest.may_be_copied_by(header)
            && self.profiles[sender].is_of_point(segment.point);
        if !is_plain {
            return false;
        }
        let from = self.role(sender);
        if is_new || !self.take_usual(from, segment, bytes) {
            self.take_unusual(from, segment, bytes, is_new);
        }
        self.latest = Latest::of(segment);
        self.span.1 = header.frame;
        self.timing.take(from, header);
        self.idle = header.at.since(self.last).max(0);
        self.last = header.at;
        true
    }

    /// Takes in a plain segment that is an ACK and continues the connection where it left off. Returns false, with the entry unchanged,
    /// for any other.
    #[inline]
    fn take_usual(&mut self, from: Role, segment: &SegmentRecord, bytes: &[u8]) -> bool {
        let header = &segment.header;
        let controls = Flags::ACK.0 | Flags::SYN.0 | Flags::FIN.0;
        let (sender, side) = (segment.sender & 1, self.side(segment.sender));
        let is_usual = header.flags.0 & controls == Flags::ACK.0
            && self.profiles[sender].is_usual(&segment.ip, segment.point)
            && self.zeek.is_usual(side, header);
        if !is_usual {
            return false;
        }
        // The flow expects the number of every segment that it takes here.
        let (next, una) = (Some(header.seq), self.flow.snd_una(from));
        if !self.flow.follow_usual(from, header) {
            return false;
        }
        self.zeek.take_usual(side, header, segment.ip_len);
        self.has_sent[sender] = true;
        if header.payload_len > 0 {
            let opening = || exchange::opening(segment.packet(bytes));
            self.exchange
                .take(from, header, (next, una, self.last), opening);
        }
        self.history.take_usual(from, header);
        self.profiles[sender].take_usual(&segment.ip, header);
        true
    }

    /// Takes in any other plain segment.
    #[inline(never)]
    fn take_unusual(&mut self, from: Role, segment: &SegmentRecord, bytes: &[u8], is_new: bool) {
        let header = &segment.header;
        let sender = segment.sender & 1;
        let (next, una) = (self.flow.snd_nxt(from), self.flow.snd_una(from));
        let observed = self.flow.follow(from, header);
        if !is_new {
            self.zeek.take(self.side(sender), header, segment.ip_len);
        }
        self.has_sent[sender] = true;
        if let Some(observed) = &observed {
            self.note_gap(observed, header, next);
        }
        if header.flags.has(Flags::SYN) {
            let stack = stack_of(segment, bytes);
            self.stacks[sender] = stack.or(self.stacks[sender]);
        }
        let opening = || exchange::opening(segment.packet(bytes));
        self.exchange
            .take(from, header, (next, una, self.last), opening);
        self.history.take(from, header, next, una);
        let profile = &mut self.profiles[sender];
        if !header.flags.has(Flags::SYN) && profile.is_usual(&segment.ip, segment.point) {
            profile.take_usual(&segment.ip, header);
        } else {
            profile.take(&segment.ip, header, segment.point);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::traffic::{Traffic, follow};

    /// Losses, copies, changed fields, reordered segments and jumps of time.
    #[test]
    fn the_short_ways_change_an_entry_as_the_long_one_does() {
        let mut usual = 0;
        for seed in 0..400 {
            let mut traffic = Traffic::new(seed);
            let (mut short, mut long) = (None, None);
            for _ in 0..120 {
                let segment = traffic.next();
                let one = follow(&mut short, &segment, |it, is_new| {
                    it.take(&segment, &[], is_new);
                });
                let other = follow(&mut long, &segment, |it, is_new| {
                    it.take_alone(&segment, &[], is_new);
                });
                usual += u32::from(short.as_ref().is_some_and(|it| it.rare.is_none()));
                assert_eq!(one, other, "seed {seed}, frame {}", segment.header.frame);
            }
        }
        assert!(usual > 5_000, "only {usual} of 48,000 segments are plain");
    }
}
