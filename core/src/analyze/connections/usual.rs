//! Plain segment of a connection of which nothing unusual is known: no copies, no RSTs, one capture point for each end.
//!
//! Nearly all segments are such. They leave most of the state alone, so [`Entry::take_plain`] changes only the rest, and most of them
//! continue their connection where it left off, for which each part of the state has a short way of its own. The test compares the
//! results with those of the long way.

use super::super::decode::SegmentRecord;
use super::super::exchange;
use super::super::join::Compared;
use super::super::stack::Stack;
use super::copies::Latest;
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
            let stack = Stack::of(segment.packet(bytes));
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
    use std::net::Ipv4Addr;

    use super::super::super::decode::{CapturePoint, FlowKey};
    use super::super::super::forgery::{HostIds, IpFeatures, IpVersion};
    use super::*;
    use crate::packet::{Header, SeqNum, TcpTimestamps};
    use crate::time::Timestamp;

    /// Numbers of the generator of Numerical Recipes, whose upper bits are the better ones.
    struct Random(u32);

    impl Random {
        fn below(&mut self, most: u32) -> u32 {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 8) % most
        }

        fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
            all[self.below(u32::try_from(all.len()).unwrap()) as usize]
        }
    }

    /// Conversation of two ends, with disturbances.
    struct Traffic {
        random: Random,
        /// One in so many segments is disturbed.
        rarity: u32,
        next: [u32; 2],
        ids: [u16; 2],
        frame: u32,
        at: i64,
        step: u32,
        held: Option<SegmentRecord>,
        last: Option<SegmentRecord>,
    }

    impl Traffic {
        fn new(seed: u32) -> Self {
            let mut random = Random(seed);
            Self {
                rarity: random.one_of(&[3, 10, 40]),
                next: [random.below(1 << 24) << 8, random.below(1 << 24) << 8],
                ids: [1, 60_000],
                frame: 0,
                at: 1_700_000_000_000_000_000,
                step: 0,
                held: None,
                last: None,
                random,
            }
        }

        /// Returns the next segment of the undisturbed conversation.
        fn usual(&mut self) -> SegmentRecord {
            let (syn, ack, fin) = (Flags::SYN.0, Flags::ACK.0, Flags::FIN.0);
            let (sender, flags, len) = match self.step {
                0 => (0, syn, 0),
                1 => (1, syn | ack, 0),
                2 => (0, ack, 0),
                _ => {
                    let sender = self.random.below(2);
                    let end = self.random.below(60) == 0;
                    let len = self.random.one_of(&[0, 0, 1, 100, 1_460]);
                    (sender, if end { ack | fin } else { ack }, len)
                }
            };
            self.step += 1;
            let sender = sender as usize;
            let (seq, id) = (self.next[sender], self.ids[sender]);
            let taken = len + u32::from(flags & syn != 0) + u32::from(flags & fin != 0);
            self.next[sender] = seq.wrapping_add(taken);
            self.ids[sender] = id.wrapping_add(1);
            let address = |last| {
                (
                    Ipv4Addr::new(192, 0, 2, last).into(),
                    40_000 + u16::from(last),
                )
            };
            let (ends, _) = FlowKey::of(address(1), address(2));
            let acknowledged = if flags & ack == 0 {
                0
            } else {
                self.next[1 - sender]
            };
            SegmentRecord {
                ends,
                hash: 7,
                sender,
                translation: 0,
                header: Header {
                    flags: Flags(flags),
                    window: 500,
                    seq: SeqNum(seq),
                    ack: SeqNum(acknowledged),
                    payload_len: len,
                    timestamps: Some(TcpTimestamps {
                        value: u32::try_from(self.at >> 20 & 0xffff_ffff).unwrap(),
                        echo: 1,
                    }),
                    ..Header::default()
                },
                interface: 0,
                point: CapturePoint::of_interface(0),
                compared: Compared::Single,
                ip: IpFeatures {
                    ttl: 64,
                    traffic_class: 0,
                    version: IpVersion::V4 {
                        id,
                        uncuttable: true,
                    },
                },
                host: HostIds::default(),
                ip_len: 52 + len,
                packet: (0, 0),
            }
        }

        fn disturb(&mut self, segment: &mut SegmentRecord) {
            let random = &mut self.random;
            let steps = [1, u32::MAX, 100, 1 << 20, 1 << 31];
            let header = &mut segment.header;
            match random.below(14) {
                0 => *segment = self.usual(), // the one before was lost
                1 => *segment = self.last.unwrap_or(*segment),
                2 => header.seq = header.seq.plus(random.one_of(&steps)),
                3 => header.ack = header.ack.plus(random.one_of(&steps)),
                4 => header.window = 0,
                5 => header.flags = Flags(random.one_of(&[0, 1, 2, 4, 16, 17, 18, 20, 24, 6, 7])),
                6 => {
                    self.at += random.one_of(&[-10, 1, 4, 6, 61, 301, 4_000]) * 1_000_000_000;
                }
                7 => segment.ip.ttl = random.one_of(&[0, 1, 63, 64, 128]),
                8 => {
                    segment.ip.version = IpVersion::V4 {
                        id: random.one_of(&[0, 1, 60_001]),
                        uncuttable: false,
                    };
                }
                9 => header.timestamps = None,
                10 => segment.ip.traffic_class = 0x48,
                11 => segment.point = CapturePoint::of_interface(1),
                12 => header.sack_edge = Some(header.ack.plus(3_000)),
                _ => self.held = Some(*segment), // it comes again, after others
            }
        }

        fn next(&mut self) -> SegmentRecord {
            let mut segment = match self.held {
                Some(held) if self.random.below(3) == 0 => {
                    self.held = None;
                    held
                }
                _ => self.usual(),
            };
            if self.step > 1 && self.random.below(self.rarity) == 0 {
                self.disturb(&mut segment);
            }
            self.last = Some(segment);
            self.at += i64::from(self.random.below(2_000_000));
            self.frame += 1;
            (segment.header.frame, segment.header.at) = (self.frame, Timestamp(self.at));
            segment
        }
    }

    /// Returns all that segments change in an entry.
    fn state(entry: &Entry) -> String {
        let part = (&entry.flow, &entry.zeek, &entry.profiles, &entry.history);
        let other = (&entry.timing, &entry.exchange, &entry.gaps, &entry.latest);
        let rest = (
            entry.has_sent,
            entry.span,
            entry.last,
            entry.idle,
            entry.stacks,
        );
        let counts = (entry.resets, entry.first, entry.is_record_over);
        format!(
            "{part:?}\n{other:?}\n{rest:?}\n{counts:?}\n{:?}",
            entry.rare
        )
    }

    /// Takes in a segment as a table does, and with `take` in particular.
    fn follow(
        entry: &mut Option<Entry>,
        segment: &SegmentRecord,
        take: impl Fn(&mut Entry, bool),
    ) -> String {
        let is_new = entry.as_ref().is_none_or(|it| it.is_replaced_by(segment));
        if is_new {
            *entry = Some(Entry::new(segment));
        }
        let entry = entry.as_mut().unwrap();
        let begins_record = !is_new && entry.is_record_over_by(segment.header.at);
        if begins_record {
            entry.begin_record(segment);
        }
        take(entry, is_new || begins_record);
        state(entry)
    }

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
