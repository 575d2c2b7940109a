//! Result of decoding one chunk of a capture.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::forgery::{HostSample, Hosts};
use super::super::missing::SegmentKinds;
use super::super::nat::Notice;
use super::super::reassembly::FragmentCounts;
use super::{
    CommentRecord, DroppedFrames, ErrorRecord, FragmentRecord, ProcessRecord, SHARDS,
    SegmentRecord, UnreadCounts, small_index,
};
use crate::file::Frame;
use crate::packet::Flags;
use crate::packet::link::Process;
use crate::packet::wire::Ipv4Header;
use crate::time::Timestamp;

/// Segments and counts of one chunk of a capture.
#[derive(Debug, Default)]
pub(in crate::analyze) struct Batch {
    /// TCP segments, separately for each [shard](FlowKey::shard).
    pub segments: [Vec<SegmentRecord>; SHARDS],
    /// Packets of IPv4 in the order of the capture, for the counters of their hosts.
    pub hosts: Vec<HostSample>,
    /// ICMP errors about TCP segments, by the shard of the connection.
    pub errors: [Vec<ErrorRecord>; SHARDS],
    /// Shard and index of each SYN and RST in `segments`, in the order of the capture.
    pub marks: Vec<(u8, u32)>,
    /// First frame from which on frames may come from several capture points.
    pub points_from: Option<u32>,
    /// Conclusions about connections on both sides of a NAT, by the shard of the connection. The [NAT
    /// stage](super::super::nat) fills them.
    pub notices: [Vec<Notice>; SHARDS],
    /// Number of segments that are RSTs.
    pub resets: u32,
    /// Kinds of the segments.
    pub kinds: SegmentKinds,
    /// Numbers of the frames of the capture among which a filter hides segments without SYN, FIN and RST.
    pub hidden_plain: Range<u32>,
    /// Number of frames.
    pub frames: u32,
    /// Number of those that stand for packets missing in a text.
    pub padding: u32,
    /// Time of the first frame whose time is usable.
    pub began: Option<Timestamp>,
    /// Number of frames whose link type is not supported, by the number of the type.
    pub unsupported_link_types: BTreeMap<u16, u32>,
    /// IP fragments of packets that may hold TCP segments. [`reassembly`](super::reassembly) makes segments of them.
    pub fragments: Vec<FragmentRecord>,
    /// Counts of what was made of the fragments.
    pub reassembled: FragmentCounts,
    /// Number of TCP frames whose header is truncated or malformed.
    pub cut: u32,
    /// Number of frames that the filter rejects.
    pub filtered: u32,
    /// Frames whose content is not read.
    pub unread: UnreadCounts<u32>,
    /// Processes that frames belong to, by the shard of the connection.
    pub processes: [Vec<ProcessRecord>; SHARDS],
    /// Comments on frames, by the shard of the connection.
    pub comments: [Vec<CommentRecord>; SHARDS],
    /// Number of frames whose time cannot be right: before 1970, or none that can be expressed.
    pub odd_times: u32,
    /// Frames that the interfaces have dropped.
    pub dropped: DroppedFrames,
}

/// Returns true for a SYN and for an RST.
fn is_marked(seen: &SegmentRecord) -> bool {
    seen.header.flags.0 & (Flags::SYN.0 | Flags::RST.0) != 0
}

impl Batch {
    /// Clears the batch for the next chunk, and keeps the memory.
    pub(in crate::analyze) fn clear(&mut self) {
        for segments in &mut self.segments {
            segments.clear();
        }
        self.hosts.clear();
        self.marks.clear();
        self.points_from = None;
        for notices in &mut self.notices {
            notices.clear();
        }
        for errors in &mut self.errors {
            errors.clear();
        }
        for processes in &mut self.processes {
            processes.clear();
        }
        for comments in &mut self.comments {
            comments.clear();
        }
        self.unread = UnreadCounts::default();
        self.unsupported_link_types.clear();
        self.resets = 0;
        self.kinds = SegmentKinds::default();
        self.hidden_plain = 0..0;
        (self.frames, self.padding, self.cut) = (0, 0, 0);
        self.began = None;
        self.fragments.clear();
        self.reassembled = FragmentCounts::default();
        (self.filtered, self.odd_times) = (0, 0);
        self.dropped.clear();
    }

    /// Returns the segment of a mark.
    pub(in crate::analyze) fn marked(&self, nth: usize) -> Option<&SegmentRecord> {
        let (shard, index) = *self.marks.get(nth)?;
        self.segments.get(usize::from(shard))?.get(index as usize)
    }

    #[inline(always)]
    pub(super) fn push(&mut self, seen: SegmentRecord) {
        let shard = seen.ends.shard();
        let is_reset = seen.header.flags.has(Flags::RST);
        self.resets += u32::from(is_reset);
        self.kinds.add(&seen.header);
        if is_marked(&seen) {
            (self.marks).push(small_index(shard, self.segments[shard].len()));
        }
        if let (Some(id), Some(source)) = (seen.ip.id(), seen.ends.ipv4(seen.sender)) {
            self.hosts.push(HostSample {
                source,
                interface: seen.interface,
                at: seen.header.at,
                flow: seen.hash,
                id,
                reset: is_reset.then(|| small_index(shard, self.segments[shard].len())),
            });
        }
        self.segments[shard].push(seen);
    }

    /// Adds a packet without TCP, whose IP ID is from the counter of its host as well.
    pub(super) fn push_other(&mut self, packet: &[u8], frame: &Frame<'_>) {
        if let Some((ip, _)) = Ipv4Header::split(packet) {
            self.hosts.push(HostSample {
                source: ip.source().to_bits(),
                interface: frame.interface,
                at: frame.at,
                flow: 0,
                id: ip.id(),
                reset: None,
            });
        }
    }

    /// Adds the comments on a frame with this segment.
    #[cold]
    pub(super) fn push_comments(&mut self, seen: &SegmentRecord, frame: &Frame<'_>) {
        for text in &frame.comments {
            self.comments[seen.ends.shard()].push(CommentRecord {
                ends: seen.ends,
                hash: seen.hash,
                frame: seen.header.frame,
                text: CommentRecord::cut(text),
            });
        }
    }

    /// Adds the process that a frame with this segment belongs to.
    pub(super) fn push_process(&mut self, seen: &SegmentRecord, process: Process) {
        let end = if process.is_sender {
            seen.sender
        } else {
            1 - seen.sender
        };
        self.processes[seen.ends.shard()].push(ProcessRecord {
            ends: seen.ends,
            hash: seen.hash,
            end,
            frame: seen.header.frame,
            process,
        });
    }

    /// Gives the ICMP error of this frame, which has no time, a number of its own: it is no copy of an equal one.
    pub(super) fn number_latest_errors(&mut self, frame: u32) {
        let latest = self.errors.iter_mut().filter_map(|it| it.last_mut());
        for error in latest.filter(|it| it.frame == frame) {
            let [.., high, low] = frame.to_be_bytes();
            error.ip_id = Some(u16::from_be_bytes([high, low]) | 1);
        }
    }

    /// Sets the IP IDs of the host of each RST, from the packets before it. Batches are passed in the order of the
    /// capture.
    pub(in crate::analyze) fn identify_hosts(&mut self, hosts: &mut Hosts) {
        /// Distance of the prefetch, in packets. Few steps are taken for each, so that a small one would still wait for memory.
        const AHEAD: usize = 32;
        for (nth, sample) in self.hosts.iter().enumerate() {
            if let Some(ahead) = self.hosts.get(nth + AHEAD) {
                hosts.prefetch(ahead);
            }
            if let Some(before) = hosts.take(sample)
                && let Some((shard, index)) = sample.reset
                && let Some(segments) = self.segments.get_mut(usize::from(shard))
                && let Some(segment) = segments.get_mut(index as usize)
            {
                segment.host = before;
            }
        }
    }

    /// Adds the segment of a frame that is earlier than others in the batch.
    pub(super) fn insert(&mut self, seen: SegmentRecord) {
        self.resets += u32::from(seen.header.flags.has(Flags::RST));
        self.kinds.add(&seen.header);
        let shard = seen.ends.shard();
        let segments = &mut self.segments[shard];
        let at = segments.partition_point(|it| it.header.frame <= seen.header.frame);
        segments.insert(at, seen);
        let new = small_index(shard, at);
        for mark in &mut self.marks {
            if mark.0 == new.0 && mark.1 >= new.1 {
                mark.1 += 1;
            }
        }
        if is_marked(&seen) {
            let frame = |mark: &(u8, u32)| {
                let segment = self.segments[usize::from(mark.0)].get(mark.1 as usize);
                segment.map_or(0, |it| it.header.frame)
            };
            let at = (self.marks).partition_point(|mark| frame(mark) < seen.header.frame);
            self.marks.insert(at, new);
        }
    }
}
