//! What a table takes in of one batch: segments, ICMP errors, processes, comments and conclusions about NAT, in the order of their frames.

use super::super::decode::{Batch, CommentRecord, FlowKey, ProcessRecord, SegmentRecord};
use super::{ConnectionObserver, DORMANT, Entry, FrameComment, Table};

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
        let mut comments = batch.comments[shard].iter().peekable();
        let mut notices = batch.notices[shard].iter().peekable();
        let number = |frame: u32| frame.saturating_add(before).saturating_add(1);
        loop {
            let error = errors.peek().map_or(u32::MAX, |it| it.frame);
            let process = processes.peek().map_or(u32::MAX, |it| it.frame);
            let notice = notices.peek().map_or(u32::MAX, |it| it.frame);
            let comment = comments.peek().map_or(u32::MAX, |it| it.frame);
            let first = error.min(process).min(comment).min(notice);
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
            } else if first == comment
                && let Some(comment) = comments.next()
            {
                self.comment(comment, number(comment.frame));
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

    /// Keeps a comment on a frame of a connection, if there are not too many.
    fn comment(&mut self, record: &CommentRecord, frame: u32) {
        /// Maximum number of comments of a connection, and of those on frames other than RSTs.
        const MAX: usize = 16;
        const MAX_OTHERS: usize = 8;
        let Some(entry) = self.open_entry(record.hash, &record.ends) else {
            return;
        };
        let rare = entry.rare();
        let is_reset = rare.pending.iter().any(|it| it.reset.frame == frame);
        if rare.comments.len() < if is_reset { MAX } else { MAX_OTHERS } {
            let text = record.text.clone();
            rare.comments.push(FrameComment { frame, text });
        }
    }

    /// Notes the process of an end; the first one that is stated.
    fn process(&mut self, record: &ProcessRecord) {
        if let Some(entry) = self.open_entry(record.hash, &record.ends) {
            entry.rare().processes[record.end].get_or_insert(record.process);
        }
    }

    /// Returns the full state of the connection between these ends, given their hash; `None` if it is dormant.
    fn open_entry(&mut self, hash: u32, ends: &FlowKey) -> Option<&mut Entry> {
        let open = (self.find(hash, ends)).filter(|index| index & DORMANT == 0)?;
        let index = self.awake(open);
        self.entries.get_mut(index)
    }
}
