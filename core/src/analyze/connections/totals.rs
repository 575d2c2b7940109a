//! Totals of a capture, and what each table adds to them.

use std::collections::BTreeMap;

use super::super::decode::{Batch, DroppedFrames, UnreadCounts};
use super::super::missing::SegmentKinds;
use super::super::reassembly::FragmentCounts;
use crate::time::Timestamp;

/// Counts of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Number of RSTs, without duplicates.
    pub resets: u64,
    /// Number of connections.
    pub connections: u64,
    /// Number of connections evicted before they were replaced.
    pub evicted: u64,
    /// Number of ICMP errors about connections, without duplicates.
    pub errors: u64,
    /// Number of ICMP errors about TCP segments of no known connection.
    pub strange_errors: u64,
}

/// Totals of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of frames.
    pub packets: u64,
    /// Time of the first frame whose time is usable; `None` before it was read.
    pub began: Option<Timestamp>,
    /// Number of frames with a TCP segment.
    pub tcp: u64,
    /// Number of frames with an RST, including duplicates.
    pub reset_frames: u64,
    /// Kinds of the segments.
    pub kinds: SegmentKinds,
    /// Number of RSTs, without duplicates.
    pub resets: u64,
    /// Number of connections.
    pub connections: u64,
    /// Number of frames whose link type is not supported, by the number of the type.
    pub unsupported_link_types: BTreeMap<u16, u64>,
    /// Number of IP fragments of packets that may hold TCP segments.
    pub fragments: u64,
    /// Counts of what was made of the fragments.
    pub reassembled: FragmentCounts,
    /// Number of TCP segments whose header is truncated or malformed.
    pub cut: u64,
    /// Number of frames that the filter rejects.
    pub filtered: u64,
    /// Number of connections evicted before they were replaced.
    pub evicted: u64,
    /// Number of ICMP errors about connections, without duplicates.
    pub errors: u64,
    /// Number of ICMP errors about TCP segments of no known connection.
    pub strange_errors: u64,
    /// Frames whose content is not read.
    pub unread: UnreadCounts<u64>,
    /// Number of frames whose time cannot be right: before 1970, or none that can be expressed. The latter are analyzed
    /// with the time of an earlier frame.
    pub odd_times: u64,
    /// Frames that the interfaces have dropped.
    dropped: DroppedFrames,
}

impl Totals {
    /// Adds the counts of one chunk.
    pub(in crate::analyze) fn add(&mut self, batch: &Batch) {
        self.packets += u64::from(batch.frames - batch.padding);
        self.began = self.began.or(batch.began);
        let segments = batch.segments.iter().map(|it| it.len() as u64);
        self.tcp += segments.sum::<u64>();
        self.reset_frames += u64::from(batch.resets);
        self.kinds.merge(batch.kinds);
        self.fragments += batch.fragments.len() as u64;
        self.reassembled.add(batch.reassembled);
        self.cut += u64::from(batch.cut);
        self.filtered += u64::from(batch.filtered);
        self.odd_times += u64::from(batch.odd_times);
        self.unread.add(&batch.unread);
        self.dropped.extend(&batch.dropped);
        for (kind, count) in &batch.unsupported_link_types {
            *self.unsupported_link_types.entry(*kind).or_default() += u64::from(*count);
        }
    }

    /// Returns the number of frames that were dropped during the capture: the sum over all interfaces of the total that
    /// each has reported last.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.sum()
    }

    /// Returns the number of fragments that were not put together, because others are missing.
    #[must_use]
    pub fn unassembled(&self) -> u64 {
        let others = self.reassembled.fragments + self.reassembled.discarded_fragments;
        self.fragments.saturating_sub(others)
    }

    /// Adds the counts of one table.
    pub(in crate::analyze) fn count(&mut self, counts: &Counts) {
        self.resets += counts.resets;
        self.connections += counts.connections;
        self.evicted += counts.evicted;
        self.errors += counts.errors;
        self.strange_errors += counts.strange_errors;
    }
}
