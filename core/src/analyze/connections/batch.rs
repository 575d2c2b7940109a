//! What a table takes in of one batch: segments, ICMP errors and processes, in the order of their frames.

use super::super::decode::{Batch, ProcessRecord, SegmentRecord, spread};
use super::{ConnectionObserver, Table};

impl<L: ConnectionObserver> Table<L> {
    /// Takes in the segments, ICMP errors and processes of this table's shard in the order of their frames, and numbers
    /// these, of which `before` came earlier.
    pub(in crate::analyze) fn take(
        &mut self,
        batch: &mut Batch,
        shard: usize,
        bytes: &[u8],
        before: u32,
    ) {
        let mut segments = &mut batch.segments[shard][..];
        let errors = &mut batch.errors[shard];
        let mut processes = batch.processes[shard].iter().peekable();
        for error in errors {
            while let Some(process) = processes.next_if(|it| it.frame < error.frame) {
                segments = self.take_until(segments, process.frame, bytes, before);
                self.process(process);
            }
            // A frame holds one packet, so that the segments up to the error are those before it.
            segments = self.take_until(segments, error.frame, bytes, before);
            error.frame = error.frame.saturating_add(before).saturating_add(1);
            error.at = self.usable(error.at);
            self.error(error);
        }
        for process in processes {
            segments = self.take_until(segments, process.frame, bytes, before);
            self.process(process);
        }
        self.take_segments(segments, bytes, before);
    }

    /// Takes in the segments up to this frame, and returns the others.
    fn take_until<'s>(
        &mut self,
        segments: &'s mut [SegmentRecord],
        last: u32,
        bytes: &[u8],
        before: u32,
    ) -> &'s mut [SegmentRecord] {
        let count = segments.partition_point(|it| it.header.frame <= last);
        let (some, later) = segments.split_at_mut(count);
        self.take_segments(some, bytes, before);
        later
    }

    /// Notes the process of an end; the first one that is stated.
    fn process(&mut self, record: &ProcessRecord) {
        let is_it = |(hash, index): &(u32, u32)| {
            *hash == record.hash && self.is_connection_at(*index, &record.ends)
        };
        let found = self.index.find(spread(record.hash.into()), is_it);
        if let Some(entry) = found.and_then(|found| self.entries.get_mut(found.1)) {
            entry.rare().processes[record.end].get_or_insert(record.process);
        }
    }
}
