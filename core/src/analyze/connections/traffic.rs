//! Random traffic of one connection, and what segments change in an entry: for tests that compare two ways to take them in.

use std::net::Ipv4Addr;

use super::super::decode::{CapturePoint, FlowKey, SegmentRecord};
use super::super::forgery::{HostIds, IpFeatures, IpVersion};
use super::super::join::Compared;
use super::Entry;
use crate::file::Absent;
use crate::packet::{Flags, Header, SeqNum, TcpTimestamps};
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
pub(super) struct Traffic {
    random: Random,
    /// One in so many segments is disturbed.
    rarity: u32,
    /// One in so many segments has a FIN.
    brevity: u32,
    has_closed: [bool; 2],
    next: [u32; 2],
    /// Number that each end has acknowledged last.
    acknowledged: [u32; 2],
    is_ipv6: bool,
    has_timestamps: bool,
    ids: [u16; 2],
    frame: u32,
    at: i64,
    step: u32,
    held: Option<SegmentRecord>,
    last: Option<SegmentRecord>,
}

impl Traffic {
    pub(super) fn new(seed: u32) -> Self {
        let mut random = Random(seed);
        Self {
            rarity: random.one_of(&[3, 10, 40, 400]),
            brevity: random.one_of(&[3, 10, 60]),
            has_closed: [false; 2],
            next: [random.below(1 << 24) << 8, random.below(1 << 24) << 8],
            acknowledged: [0; 2],
            is_ipv6: random.below(4) == 0,
            has_timestamps: random.below(4) > 0,
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
            2 if self.random.below(2) == 0 => (0, ack, 0),
            step => {
                let sender = if step == 2 { 0 } else { self.random.below(2) };
                // After its FIN an end only acknowledges, nearly always.
                let is_over = self.has_closed[sender as usize] && self.random.below(40) > 0;
                let end = !is_over && self.random.below(self.brevity) == 0;
                let len = self.random.one_of(&[0, 0, 1, 100, 1_460]);
                let len = if is_over { 0 } else { len };
                (sender, if end { ack | fin } else { ack }, len)
            }
        };
        self.step += 1;
        let sender = sender as usize;
        let acknowledged = if flags & ack == 0 {
            0
        } else if self.step > 3 && self.random.below(4) == 0 {
            self.acknowledged[sender] // the latest segments are still under way
        } else {
            self.next[1 - sender]
        };
        // Without anything to acknowledge an end sends data, nearly always.
        let is_news = acknowledged != self.acknowledged[sender];
        let is_empty = flags & (syn | fin) == 0 && len == 0;
        let len = if is_empty && !is_news && !self.has_closed[sender] && self.random.below(20) > 0 {
            10
        } else {
            len
        };
        self.acknowledged[sender] = acknowledged;
        self.has_closed[sender] |= flags & fin != 0;
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
                timestamps: self.has_timestamps.then(|| TcpTimestamps {
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
                version: if self.is_ipv6 {
                    IpVersion::V6 { label: 9 }
                } else {
                    IpVersion::V4 {
                        id,
                        uncuttable: true,
                    }
                },
            },
            absent: Absent::default(),
            host: HostIds::default(),
            ip_len: 52 + len,
            packet: (0, 0),
        }
    }

    fn disturb(&mut self, segment: &mut SegmentRecord) {
        let random = &mut self.random;
        let steps = [1, u32::MAX, 100, 1 << 20, 1 << 31];
        let header = &mut segment.header;
        match random.below(16) {
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
            13 => segment.translation = 1, // it passed a NAT
            14 => header.window = header.window.wrapping_add(1),
            _ => self.held = Some(*segment), // it comes again, after others
        }
    }

    pub(super) fn next(&mut self) -> SegmentRecord {
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
pub(super) fn state(entry: &Entry) -> String {
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
pub(super) fn follow(
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
