//! Segments of one file, as far as they are compared with those of other files.
//!
//! A segment is recognized at another point by what no device on the way changes: SEQ, ACK, control bits, payload length
//! and timestamps. Addresses and ports may be translated, and the TTL falls. A segment whose fields occur more than once
//! at one point, as a retransmission's may, is not compared at all.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;

use super::super::decode::{
    Batch, CapturePoint, DroppedFrames, FlowKey, FrameDecoder, FrameSelection, SegmentRecord,
    spread,
};
use super::super::pipeline::Stopped;
use super::source::{FrameSource, Item};
use crate::packet::{Flags, Header};
use crate::time::Timestamp;

/// Maximum number of segments that are kept, over all files. Of larger captures a part is kept, the same in each file.
const MAX_SEGMENTS: usize = 1 << 19;

/// Maximum number of RSTs that are kept of each file.
const MAX_RESETS: usize = 1 << 15;

/// Maximum number of hosts of each file.
const MAX_HOSTS: usize = 1 << 16;

/// Payload in bytes above which a segment is one that offloading has made of several.
const MAX_PLAIN_PAYLOAD: u32 = 1_500;

/// Fields of a segment that are the same at all points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::analyze) struct Key {
    seq: u32,
    ack: u32,
    clock: u32,
    echo: u32,
    payload_len: u32,
    /// Control bits but those of ECN, which routers may change.
    flags: u8,
}

impl Key {
    pub(in crate::analyze) fn of(header: &Header) -> Self {
        const WITHOUT_ECN: u8 = 0x3f;
        Self {
            seq: header.seq.0,
            ack: header.ack.0,
            clock: header.timestamps.map_or(0, |it| it.value),
            echo: header.timestamps.map_or(0, |it| it.echo),
            payload_len: header.payload_len,
            flags: header.flags.0 & WITHOUT_ECN,
        }
    }

    /// Returns a number by which a part of all segments is selected. It is the same in every run and every file.
    pub(in crate::analyze) fn rank(&self) -> u64 {
        let numbers = u64::from(self.seq) << 32 | u64::from(self.ack);
        let clocks = u64::from(self.clock) << 32 | u64::from(self.echo);
        let rest = u64::from(self.payload_len) << 8 | u64::from(self.flags);
        let mixed = spread(spread(numbers).rotate_left(32) ^ clocks);
        let mixed = spread(mixed.rotate_left(32) ^ rest);
        mixed ^ mixed >> 32
    }

    /// Returns true if the segment has timestamps.
    pub(in crate::analyze) fn has_clock(&self) -> bool {
        self.clock != 0
    }

    pub(super) fn is_reset(&self) -> bool {
        Flags(self.flags).has(Flags::RST)
    }

    /// Returns true if no payload is in the segment. Such segments are never merged with others by offloading.
    pub(in crate::analyze) fn is_empty(&self) -> bool {
        self.payload_len == 0
    }
}

/// Segment as one point has seen it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) at: i64,
    pub(super) frame: u32,
    pub(super) point: CapturePoint,
    /// IP ID; 0 for IPv6.
    pub(super) id: u16,
    pub(super) ttl: u8,
}

/// Sender and receiver of a segment: indexes of hosts of the file.
pub(super) type Way = (u32, u32);

/// Segment of a file, at the first and at the last of the points that have seen it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) first: Sighting,
    pub(super) last: Sighting,
    pub(super) way: Way,
    /// True if one point has seen it more than once.
    pub(super) is_repeated: bool,
}

/// RST of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenReset {
    pub(super) key: Key,
    pub(super) seen: Sighting,
    pub(super) way: Way,
    /// Ends of its connection.
    pub(super) ends: FlowKey,
}

/// Content of a file that is compared with other files.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) segments: HashMap<Key, Seen>,
    /// Greatest rank of the segments that are kept, unless an earlier file has them.
    pub(super) max_rank: u64,
    pub(super) resets: Vec<SeenReset>,
    /// True if there are more RSTs than are kept.
    pub(super) has_more_resets: bool,
    pub(super) hosts: Vec<IpAddr>,
    indexes: HashMap<IpAddr, u32>,
    /// Times of the first and of the last frame.
    pub(super) times: Option<(i64, i64)>,
    pub(super) frames: u32,
    /// Number of TCP segments.
    pub(super) tcp: u64,
    /// True if offloading has made one segment of several.
    pub(super) has_large: bool,
    /// Frames that the interfaces have dropped.
    dropped: DroppedFrames,
    /// Number of bytes that were read.
    pub(super) bytes: u64,
    /// Reason why the file was not read to its end.
    pub(super) stopped: Option<Stopped>,
}

impl Outline {
    /// Reads a file to its end, or as far as it can be read. Segments that one of the `earlier` files has are kept in any
    /// case.
    pub(super) fn read(
        from: &mut dyn Read,
        inside_tunnels: bool,
        earlier: &[Self],
        files: usize,
    ) -> Self {
        let wanted = FrameSelection {
            inside_tunnels,
            ..FrameSelection::default()
        };
        let most = MAX_SEGMENTS / files.max(1);
        let mut decoder = FrameDecoder::new(&wanted);
        let mut batch = Batch::default();
        let mut source = FrameSource::new(from, false);
        let mut outline = Self {
            max_rank: u64::MAX,
            ..Self::default()
        };
        let mut lasted = [None; 2];
        while let Some(item) = source.next() {
            match item {
                Item::Frame => {
                    let (Some(frame), Some(reader)) = (source.frame(), source.reader()) else {
                        continue;
                    };
                    outline.frames = outline.frames.saturating_add(1);
                    // A time before 1970 cannot be right.
                    if frame.at.0 >= 0 {
                        let at = frame.at.0;
                        let (first, last) = outline.times.unwrap_or((at, at));
                        outline.times = Some((first.min(at), last.max(at)));
                    }
                    batch.clear();
                    decoder.decode(&mut batch, reader, &frame, frame.captured);
                    for segment in batch.segments.iter().flatten() {
                        outline.take(segment, earlier, most);
                    }
                }
                Item::Statistics(counts) => {
                    lasted = [counts.times[0].or(lasted[0]), counts.times[1].or(lasted[1])];
                    outline.dropped.take(&counts);
                }
                Item::Interface(_) => {}
            }
        }
        outline.last(lasted);
        outline.bytes = source.position();
        outline.stopped = source.into_stopped();
        outline
    }

    /// Extends the times by those at which the capture began and ended, if it states them. Times between which not all
    /// frames are were stated for other frames.
    fn last(&mut self, lasted: [Option<Timestamp>; 2]) {
        if let (Some((first, last)), [Some(began), Some(ended)]) = (self.times, lasted)
            && began.0 <= first
            && ended.0 >= last
        {
            self.times = Some((began.0, ended.0));
        }
    }

    /// Forgets the segments, which have been compared.
    pub(super) fn forget(&mut self) {
        self.segments = HashMap::new();
        (self.resets, self.hosts) = (Vec::new(), Vec::new());
        self.indexes = HashMap::new();
    }

    /// Returns the number of frames that were dropped during the capture.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.sum()
    }

    /// Returns true if all segments of this rank are kept.
    pub(super) fn keeps(&self, key: &Key) -> bool {
        key.rank() <= self.max_rank
    }

    /// Returns the addresses of sender and receiver.
    pub(super) fn hosts(&self, way: Way) -> [Option<IpAddr>; 2] {
        [way.0, way.1].map(|index| self.hosts.get(index as usize).copied())
    }

    fn index_of(&mut self, host: IpAddr) -> u32 {
        if let Some(index) = self.indexes.get(&host) {
            return *index;
        }
        if self.hosts.len() >= MAX_HOSTS {
            return u32::MAX;
        }
        let index = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        self.hosts.push(host);
        self.indexes.insert(host, index);
        index
    }

    fn take(&mut self, segment: &SegmentRecord, earlier: &[Self], most: usize) {
        self.tcp += 1;
        let header = &segment.header;
        if header.at == Timestamp::UNUSABLE || header.at.0 < 0 {
            return;
        }
        self.has_large |= header.payload_len > MAX_PLAIN_PAYLOAD;
        let key = Key::of(header);
        let hosts = [segment.sender, 1 - segment.sender].map(|end| segment.ends.socket(end).ip());
        let seen = Sighting {
            at: header.at.0,
            frame: self.frames,
            point: segment.point,
            id: segment.ip.id().unwrap_or(0),
            ttl: segment.ip.ttl,
        };
        if header.flags.has(Flags::RST) {
            self.has_more_resets |= self.resets.len() == MAX_RESETS;
            if !self.has_more_resets {
                let way = (self.index_of(hosts[0]), self.index_of(hosts[1]));
                let ends = segment.ends;
                let reset = SeenReset {
                    key,
                    seen,
                    way,
                    ends,
                };
                self.resets.push(reset);
            }
        }
        if let Some(before) = self.segments.get_mut(&key) {
            let is_there = |other: &Sighting| other.point == seen.point && other.ttl == seen.ttl;
            // Another ID under the same numbers is that of a retransmission.
            before.is_repeated |=
                is_there(&before.first) || is_there(&before.last) || before.first.id != seen.id;
            before.last = seen;
            return;
        }
        // The selection by rank is the same in all files, so what is left out here has no copy elsewhere either.
        let is_known = || earlier.iter().any(|it| it.segments.contains_key(&key));
        if key.rank() > self.max_rank && !is_known() {
            return;
        }
        let way = (self.index_of(hosts[0]), self.index_of(hosts[1]));
        let seen = Seen {
            first: seen,
            last: seen,
            way,
            is_repeated: false,
        };
        self.segments.insert(key, seen);
        // Segments of earlier files are no more than those have, so each round makes room.
        let shared: usize = earlier.iter().map(|it| it.segments.len()).sum();
        while self.segments.len() > most.saturating_add(shared) && self.max_rank > 0 {
            self.max_rank /= 2;
            let max_rank = self.max_rank;
            self.segments.retain(|key, _| {
                key.rank() <= max_rank || earlier.iter().any(|it| it.segments.contains_key(key))
            });
        }
    }
}
