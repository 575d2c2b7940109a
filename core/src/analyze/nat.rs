//! Network address translation: joins the halves of a connection that was captured on both sides of a NAT.
//!
//! A NAT changes addresses and ports, and nothing else that identifies a packet: the initial sequence number, the
//! timestamps, the window, the options and the IP ID of a SYN stay as its sender chose them. So a SYN with all of these
//! equal to those of an earlier SYN between other addresses, at another capture point or with another TTL, within the
//! time that copies may be apart, is the same packet after translation. From then on the segments between the second
//! pair of addresses belong to the connection between the first pair: the first pair is in [`SegmentRecord::ends`], and
//! [`SegmentRecord::translation`] is the number of the pair in the frame.
//!
//! Scanners and floods send the same initial number to many hosts and ports. No two of their packets are joined: packets
//! that are alike in all fields and pass the same point are different packets, and then none of them has a partner.
//!
//! The stage also knows the initial numbers of recent connections ([`strays`]): a segment whose address was not
//! translated, or was translated to other addresses than before, continues one of them under other addresses, and draws an RST.
//!
//! The connections of a capture are shared among tables that work in parallel, so this stage comes before the tables, in
//! the order of the capture. It looks at SYNs and RSTs only, unless there is more than one capture point or a joined
//! connection. Memory is bounded.

mod copies;
mod recent;
mod replies;
mod strays;

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use self::copies::{Original, SentPackets};
use self::recent::Recent;
use self::replies::Replies;
use self::strays::Handshakes;
pub(super) use self::strays::{Candidate, Differs, Initial};
use super::decode::{Batch, CapturePoint, FlowKey, SHARDS, SegmentRecord};
use crate::packet::{Flags, SeqNum};
use crate::prefetch::prefetch;

/// Maximum number of pairs of addresses that are joined with another pair. If there are more, the oldest is given up.
const MAX_ALIASES: usize = 1 << 16;

/// Maximum number of pairs of addresses that are joined with one connection: a packet passes few NATs.
const MAX_TRANSLATIONS: usize = 8;

/// Maximum number of connections whose first segments are searched for copies, if the capture lacks their SYN.
const MAX_MIDSTREAM: usize = 1 << 14;

/// Number of segments at the beginning of a connection without SYN that are searched for copies.
const MIDSTREAM_SEGMENTS: u8 = 8;

/// Capture point of a packet and its TTL there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PointTtl {
    pub point: CapturePoint,
    pub ttl: u8,
}

impl PointTtl {
    pub(super) fn of(segment: &SegmentRecord) -> Self {
        Self {
            point: segment.point.received(),
            ttl: segment.ip.ttl,
        }
    }
}

/// Conclusion for the table of a connection.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// Ends of the connection in its table.
    pub ends: FlowKey,
    /// Hash of `ends`.
    pub hash: u32,
    /// Number of the frame that shows it. It counts from 0 within the batch.
    pub frame: u32,
    pub kind: NoticeKind,
}

impl Notice {
    /// Returns true if the table needs the conclusion before it takes in the segment of the frame.
    pub(super) fn precedes_segment(&self) -> bool {
        matches!(self.kind, NoticeKind::Joined(_))
    }
}

/// Kind of a conclusion.
#[derive(Clone, Debug)]
pub(super) enum NoticeKind {
    /// The connection has other addresses on another side of a NAT.
    Joined(Box<Joined>),
    /// An RST between these ends may reply to a segment of one of these connections.
    Continues(Vec<Candidate>),
    /// An RST between other addresses may have ended one end of the connection.
    EndedElsewhere {
        /// Index in `ends` of the end that the RST goes to.
        end: usize,
        /// Sequence number of the RST.
        seq: SeqNum,
    },
}

/// Addresses of a connection on another side of a NAT.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// Number of the translation.
    pub number: u8,
    /// Ends of the connection in the frames of that side.
    pub own: FlowKey,
    /// True if the ends stand in the other order there.
    pub flips: bool,
    /// Index of the sender of the packet that shows it, in the ends of the connection.
    pub sender: usize,
    /// Places where that packet was captured, with the number of the translation there; the latest comes last.
    pub places: Vec<(u8, PointTtl)>,
    /// True if that packet is a SYN.
    pub is_syn: bool,
}

/// Pair of addresses that is joined with another pair.
#[derive(Clone, Copy, Debug)]
struct Alias {
    to: FlowKey,
    to_hash: u32,
    flips: bool,
    number: u8,
    /// First frame of the alias, and of the packet that it was found by. They count from 1 within the capture.
    from: u32,
    began: u32,
}

/// Connection that other pairs of addresses are joined with.
#[derive(Debug)]
struct Target {
    /// Sequence number of its SYN; `None` if the capture lacks the SYN.
    iss: Option<SeqNum>,
    aliases: Vec<FlowKey>,
    /// Number of the latest translation.
    count: u8,
}

/// Pairs of addresses that are joined with another pair, and what is needed to find more.
#[derive(Debug, Default)]
pub(super) struct NatTable {
    aliases: HashMap<FlowKey, Alias>,
    /// Keys of `aliases` in the order in which they began, with their first frames. A key whose frame differs is stale.
    order: VecDeque<(FlowKey, u32)>,
    targets: HashMap<FlowKey, Target>,
    /// Aliases that have ended within the batch.
    ended: Vec<(FlowKey, Alias)>,
    /// SYNs of late.
    syns: SentPackets,
    replies: Replies,
    /// First segments of connections without SYN, and segments of joined connections.
    midstream: SentPackets,
    /// Number of segments that are still searched, by connection.
    searched: Recent<FlowKey, u8, MAX_MIDSTREAM>,
    handshakes: Handshakes,
    /// True once frames may come from several capture points.
    has_points: bool,
    /// True if a segment of the batch belongs to another shard since it was translated.
    has_moved: bool,
}

impl NatTable {
    /// Takes in a batch, of which `before` frames came earlier: joins its connections, and adds notices for the tables.
    pub(super) fn take(&mut self, batch: &mut Batch, before: u32) {
        let mut next = Some([0; SHARDS]);
        if !self.has_points && self.aliases.is_empty() && batch.points_from.is_none() {
            next = self.visit_marks(batch, before);
        }
        if let Some(next) = next {
            self.visit_from(batch, before, next);
        }
        if std::mem::take(&mut self.has_moved) {
            move_to_shards(batch);
        }
        let are_some = !self.aliases.is_empty() || !self.ended.is_empty();
        let has_others = batch.errors.iter().any(|it| !it.is_empty())
            || batch.processes.iter().any(|it| !it.is_empty());
        if are_some && has_others {
            self.translate_others(batch, before);
        }
        self.ended.clear();
    }

    /// Visits the SYNs and RSTs, up to the first one that joins two connections. Returns the indices of the segments
    /// after that one: each of them may belong to the joined connection.
    fn visit_marks(&mut self, batch: &mut Batch, before: u32) -> Option<[usize; SHARDS]> {
        /// Distance of the prefetch, in marks.
        const AHEAD: usize = 8;
        for nth in 0..batch.marks.len() {
            // First the segment, then what it is compared with.
            if let Some(segment) = batch.marked(nth + 2 * AHEAD) {
                prefetch(segment);
            }
            if let Some(segment) = batch.marked(nth + AHEAD) {
                self.syns.prefetch(segment);
                self.handshakes.prefetch(segment.hash);
            }
            let (shard, index) = *batch.marks.get(nth)?;
            self.visit(batch, (shard.into(), index as usize), before);
            if !self.aliases.is_empty() {
                let segments = &batch.segments;
                let last = segments[usize::from(shard)].get(index as usize)?;
                let frame = last.header.frame;
                return Some(std::array::from_fn(|shard| {
                    segments[shard].partition_point(|it| it.header.frame <= frame)
                }));
            }
        }
        None
    }

    /// Visits the segments of each shard from an index on, in the order of the capture.
    fn visit_from(&mut self, batch: &mut Batch, before: u32, mut next: [usize; SHARDS]) {
        loop {
            let head = |shard: usize| {
                let segment = batch.segments[shard].get(next[shard])?;
                Some((segment.header.frame, shard))
            };
            let Some((_, shard)) = (0..SHARDS).filter_map(head).min() else {
                return;
            };
            self.visit(batch, (shard, next[shard]), before);
            next[shard] += 1;
        }
    }

    /// Visits the segment of a shard with this index, of a batch that has `before` frames before it.
    fn visit(&mut self, batch: &mut Batch, (shard, index): (usize, usize), before: u32) {
        let Some(segment) = batch.segments[shard].get(index) else {
            return;
        };
        let (local, flags) = (segment.header.frame, segment.header.flags);
        self.has_points |= batch.points_from.is_some_and(|from| from <= local);
        let is_marked = flags.0 & (Flags::SYN.0 | Flags::RST.0) != 0;
        // The usual segment of a connection that is not searched.
        if !is_marked
            && self.aliases.is_empty()
            && (!self.has_points || self.searched.get(segment.hash, &segment.ends) == Some(&0))
        {
            return;
        }
        let mut segment = *segment;
        let frame = before.saturating_add(local).saturating_add(1);
        let own = segment.ends;
        let has = |flag| flags.has(flag);
        if has(Flags::SYN) && !has(Flags::ACK) && !has(Flags::RST) {
            self.syn(batch, &segment, frame);
        } else if has(Flags::SYN) && !has(Flags::RST) {
            self.handshakes.reply(&segment);
            self.reply(&segment);
        } else if has(Flags::RST) && !has(Flags::ACK) {
            self.stray(batch, &segment);
        } else if has(Flags::RST) {
            self.reply(&segment);
        }
        if self.has_points && !is_marked {
            self.follow(batch, &segment, frame);
        }
        if let Some(alias) = self.aliases.get(&own) {
            alias.apply(&mut segment);
            self.has_moved |= segment.ends.shard() != shard;
            batch.segments[shard][index] = segment;
        }
    }

    /// Takes in a SYN: it begins a connection, or is the copy of another SYN after translation.
    fn syn(&mut self, batch: &mut Batch, segment: &SegmentRecord, frame: u32) {
        self.end_by(segment);
        // A connection with a SYN is not searched for copies.
        if self.has_points {
            self.search(segment, 0);
        }
        let (known, number) = self.known(segment, frame);
        // Every copy of a SYN is captured before the reply, unless the clocks of merged captures differ. Then the halves
        // would not fit together.
        let next = segment.header.seq_end();
        let is_replied = |hash, ends: &FlowKey| self.replies.latest(hash, ends) == Some(next);
        if let Some((of, places)) = self.syns.take(segment, known, number, is_replied)
            && number == 0
        {
            self.join(batch, segment, of, places, frame);
        }
        let (known, _) = self.known(segment, frame);
        self.handshakes.syn(segment, &known);
    }

    /// Notes a segment that may reply to a SYN.
    fn reply(&mut self, segment: &SegmentRecord) {
        (self.replies).add(segment.hash, segment.ends, segment.header.ack);
    }

    /// Returns the packet as one of its connection, and the number of the translation; 0 for addresses without alias.
    fn known(&self, segment: &SegmentRecord, frame: u32) -> (Original, u8) {
        match self.aliases.get(&segment.ends) {
            Some(alias) => (
                Original {
                    ends: alias.to,
                    hash: alias.to_hash,
                    sender: segment.sender ^ usize::from(alias.flips),
                    frame: alias.began,
                },
                alias.number,
            ),
            None => (Original::of(segment, frame), 0),
        }
    }

    /// Takes in a segment without SYN: it may be the copy of another one after translation.
    fn follow(&mut self, batch: &mut Batch, segment: &SegmentRecord, frame: u32) {
        let (known, number) = self.known(segment, frame);
        let is_joined = number != 0 || self.targets.contains_key(&segment.ends);
        if is_joined {
            if segment.header.payload_len == 0 {
                return;
            }
        } else {
            match self.searched.get_mut(segment.hash, &segment.ends) {
                Some(0) => return,
                Some(left) => *left -= 1,
                None => self.search(segment, MIDSTREAM_SEGMENTS - 1),
            }
        }
        if let Some((of, places)) = self.midstream.take(segment, known, number, |_, _| false)
            && !is_joined
        {
            self.join(batch, segment, of, places, frame);
        }
    }

    /// Sets the number of segments of a connection that are still searched for copies.
    fn search(&mut self, segment: &SegmentRecord, left: u8) {
        self.searched.set(segment.hash, segment.ends, left);
    }

    /// Joins the addresses of a segment with the connection of the packet that it is a copy of.
    fn join(
        &mut self,
        batch: &mut Batch,
        segment: &SegmentRecord,
        of: Original,
        places: Vec<(u8, PointTtl)>,
        frame: u32,
    ) {
        let own = segment.ends;
        let is_chained = self.aliases.contains_key(&of.ends) || self.targets.contains_key(&own);
        if own == of.ends || is_chained {
            return;
        }
        let is_syn = segment.header.flags.has(Flags::SYN);
        let target = self.targets.entry(of.ends).or_insert_with(|| Target {
            iss: is_syn.then_some(segment.header.seq),
            aliases: Vec::new(),
            count: 0,
        });
        if target.aliases.len() >= MAX_TRANSLATIONS || target.count == u8::MAX {
            return;
        }
        target.count += 1;
        target.aliases.push(own);
        let alias = Alias {
            to: of.ends,
            to_hash: of.hash,
            flips: of.sender != segment.sender,
            number: target.count,
            from: frame,
            began: of.frame,
        };
        self.aliases.insert(own, alias);
        self.order.push_back((own, frame));
        let copies = if is_syn {
            &mut self.syns
        } else {
            &mut self.midstream
        };
        copies.note(segment, alias.number);
        let mut places = places;
        places.push((alias.number, PointTtl::of(segment)));
        batch.notices[of.ends.shard()].push(Notice {
            ends: of.ends,
            hash: of.hash,
            frame: segment.header.frame,
            kind: NoticeKind::Joined(Box::new(Joined {
                number: alias.number,
                own,
                flips: alias.flips,
                sender: of.sender,
                places,
                is_syn,
            })),
        });
        while self.aliases.len() > MAX_ALIASES
            && let Some((oldest, from)) = self.order.pop_front()
        {
            if self.aliases.get(&oldest).is_some_and(|it| it.from == from) {
                self.end(&oldest);
            }
        }
        if self.order.len() > 2 * MAX_ALIASES {
            let aliases = &self.aliases;
            (self.order).retain(|(own, from)| aliases.get(own).is_some_and(|it| it.from == *from));
        }
    }

    /// Ends the aliases of the connections that a SYN replaces.
    fn end_by(&mut self, segment: &SegmentRecord) {
        let own = &segment.ends;
        let to = self.aliases.get(own).map_or(own, |alias| &alias.to);
        let Some(target) = self.targets.get(to) else {
            return;
        };
        if target.iss == Some(segment.header.seq) {
            return;
        }
        if to == own {
            let all = target.aliases.clone();
            for alias in &all {
                self.end(alias);
            }
        } else {
            self.end(own);
        }
    }

    /// Ends an alias.
    fn end(&mut self, own: &FlowKey) {
        let Some(alias) = self.aliases.remove(own) else {
            return;
        };
        self.ended.push((*own, alias));
        if let Some(target) = self.targets.get_mut(&alias.to) {
            target.aliases.retain(|it| it != own);
            if target.aliases.is_empty() {
                self.targets.remove(&alias.to);
            }
        }
    }

    /// Takes in an RST that replies to a segment with ACK: if the capture has no handshake between its addresses, it may
    /// reply to a segment of another connection.
    fn stray(&mut self, batch: &mut Batch, segment: &SegmentRecord) {
        if self.aliases.contains_key(&segment.ends) || self.targets.contains_key(&segment.ends) {
            return;
        }
        let candidates = self.handshakes.candidates(segment);
        if candidates.is_empty() {
            return;
        }
        for candidate in &candidates {
            batch.notices[candidate.ends.shard()].push(Notice {
                ends: candidate.ends,
                hash: candidate.hash,
                frame: segment.header.frame,
                kind: NoticeKind::EndedElsewhere {
                    end: candidate.receiver,
                    seq: segment.header.seq,
                },
            });
        }
        batch.notices[segment.ends.shard()].push(Notice {
            ends: segment.ends,
            hash: segment.hash,
            frame: segment.header.frame,
            kind: NoticeKind::Continues(candidates),
        });
    }

    /// Returns the alias of a pair of addresses in a frame of this number.
    fn alias(&self, own: &FlowKey, frame: u32) -> Option<Alias> {
        let ended = self.ended.iter().filter(|(it, _)| it == own);
        let live = self.aliases.get(own);
        // An ended one was used up to the SYN that ended it, which began another one or none.
        let live = live.filter(|it| it.from <= frame);
        live.or_else(|| ended.map(|(_, it)| it).find(|it| it.from <= frame))
            .copied()
    }

    /// Translates the ends of ICMP errors and processes, and moves them to the shards of their connections.
    fn translate_others(&self, batch: &mut Batch, before: u32) {
        let number = |frame: u32| before.saturating_add(frame).saturating_add(1);
        let mut moved = Vec::new();
        for errors in &mut batch.errors {
            errors.retain(|error| match self.alias(&error.ends, number(error.frame)) {
                Some(alias) => {
                    moved.push((*error, alias));
                    false
                }
                None => true,
            });
        }
        for (mut error, alias) in moved {
            (error.ends, error.hash) = (alias.to, alias.to_hash);
            error.to ^= usize::from(alias.flips);
            let errors = &mut batch.errors[error.ends.shard()];
            let at = errors.partition_point(|it| it.frame <= error.frame);
            errors.insert(at, error);
        }
        let mut moved = Vec::new();
        for processes in &mut batch.processes {
            processes.retain(|it| match self.alias(&it.ends, number(it.frame)) {
                Some(alias) => {
                    moved.push((*it, alias));
                    false
                }
                None => true,
            });
        }
        let mut shards = HashSet::new();
        for (mut process, alias) in moved {
            (process.ends, process.hash) = (alias.to, alias.to_hash);
            process.end ^= usize::from(alias.flips);
            batch.processes[process.ends.shard()].push(process);
            shards.insert(process.ends.shard());
        }
        for shard in shards {
            batch.processes[shard].sort_by_key(|it| it.frame);
        }
    }
}

impl Alias {
    /// Gives a segment the ends of the connection.
    fn apply(&self, segment: &mut SegmentRecord) {
        (segment.ends, segment.hash) = (self.to, self.to_hash);
        segment.sender ^= usize::from(self.flips);
        segment.translation = self.number;
    }
}

/// Moves the segments whose ends were translated to the shards of their connections.
fn move_to_shards(batch: &mut Batch) {
    let mut moved: Vec<SegmentRecord> = Vec::new();
    for (shard, segments) in batch.segments.iter_mut().enumerate() {
        segments.retain(|it| {
            let leaves = it.translation != 0 && it.ends.shard() != shard;
            if leaves {
                moved.push(*it);
            }
            !leaves
        });
    }
    let mut is_changed = [false; SHARDS];
    for segment in moved {
        let shard = segment.ends.shard();
        is_changed[shard] = true;
        batch.segments[shard].push(segment);
    }
    for (segments, is_changed) in batch.segments.iter_mut().zip(is_changed) {
        if is_changed {
            // A frame holds one segment, so the order is unambiguous.
            segments.sort_by_key(|it| it.header.frame);
        }
    }
}
