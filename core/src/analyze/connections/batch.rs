//! What a table takes in of one batch: segments, ICMP errors, processes and conclusions about NAT, in the order of their frames.

use super::super::decode::{Batch, ProcessRecord, SegmentRecord};
use super::{ConnectionObserver, DORMANT, Table};

impl<L: ConnectionObserver> Table<L> {
    /// Takes in the segments, ICMP errors, processes and conclusions about NAT of this table's shard in the order of their frames, and numbers
    /// these, of which `before` came earlier.
    pub(in crate::analyze) fn take(
        &mut self,
        batch: &mut Batch,
        shard: usize,
        bytes: &[u8],
        before: u32,
    ) {
        self.hidden_plain = batch.hidden_plain.clone();
        let mut segments = &mut batch.segments[shard][..];
        let mut errors = batch.errors[shard].iter_mut().peekable();
        let mut processes = batch.processes[shard].iter().peekable();
        let mut notices = batch.notices[shard].iter().peekable();
        let number = |frame: u32| frame.saturating_add(before).saturating_add(1);
        loop {
            let error = errors.peek().map_or(u32::MAX, |it| it.frame);
            let process = processes.peek().map_or(u32::MAX, |it| it.frame);
            let notice = notices.peek().map_or(u32::MAX, |it| it.frame);
            let first = error.min(process).min(notice);
            if first == notice
                && let Some(notice) = notices.next()
            {
                let next = notice.frame.saturating_add(1);
                let end = if notice.precedes_segment() {
                    notice.frame
                } else {
                    next
                };
                segments = self.take_before(segments, end, bytes, before);
                self.notice(notice, number(notice.frame));
                continue;
            }
            // A frame holds one packet, so that the segments up to it are those before what it holds besides.
            segments = self.take_before(segments, first.saturating_add(1), bytes, before);
            if first == process
                && let Some(process) = processes.next()
            {
                self.process(process);
            } else if let Some(error) = errors.next() {
                error.frame = number(error.frame);
                error.at = self.usable(error.at);
                self.error(error);
            } else {
                break;
            }
        }
        self.take_segments(segments, bytes, before);
    }

    /// Takes in the segments before this frame, and returns the others.
    fn take_before<'s>(
        &mut self,
        segments: &'s mut [SegmentRecord],
        end: u32,
        bytes: &[u8],
        before: u32,
    ) -> &'s mut [SegmentRecord] {
        let count = segments.partition_point(|it| it.header.frame < end);
        let (some, later) = segments.split_at_mut(count);
        self.take_segments(some, bytes, before);
        later
    }

    /// Notes the process of an end; the first one that is stated.
    fn process(&mut self, record: &ProcessRecord) {
        let found = self.find(record.hash, &record.ends);
        // A dormant connection has none any more.
        let open = found.filter(|index| index & DORMANT == 0);
        let open = open.map(|index| self.awake(index));
        if let Some(entry) = open.and_then(|index| self.entries.get_mut(index)) {
            entry.rare().processes[record.end].get_or_insert(record.process);
        }
    }
}
