//! Connection table: assigns segments to connections, detects the end of a connection and reports it.
//!
//! Segments arrive in the order of the capture. A connection lasts until a SYN replaces it, or the capture ends: then
//! it is reported. Zeek's timers end only Zeek's [records](super::zeek) of it. A connection that has ended, or was silent
//! for long, becomes dormant: its RSTs are reported, and it shrinks to a few bytes until it continues. If a table holds
//! more connections than the limit, those that are dormant for longest are evicted and counted, then those that were
//! silent for longest.
//!
//! The connections of a capture are [shared](super::decode::SHARDS) among several independent tables, so that threads
//! can work on them in parallel.

mod absence;
mod arena;
mod batch;
mod copies;
mod dormancy;
mod dormant;
mod entry;
mod errors;
mod failing;
mod forged;
mod held;
mod index;
mod light;
mod links;
mod live;
mod nat;
mod observer;
mod points;
mod resets;
mod roles;
mod slots;
mod text;
mod totals;
#[cfg(test)]
mod traffic;
mod triggers;
mod usual;
mod views;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;

use hashbrown::HashMap;

use self::arena::{Arena, LOOKUP_GROUP, NS_PER_SEC, Wheel};
pub(super) use self::copies::max_copy_age_ns;
use self::copies::{InFlightList, Latest};
use self::dormancy::learn_rates;
use self::dormant::Dormant;
use self::entry::Renewed;
use self::failing::Outcome;
use self::index::Index;
use self::light::Light;
use self::live::Live;
pub(super) use self::live::Tick;
use self::nat::Nat;
pub use self::nat::{Continued, Translation};
pub use self::observer::{ConnectionObserver, Progress, Sink};
use self::points::{PointList, Points};
pub use self::resets::ResetRecord;
#[cfg(test)]
use self::resets::push_bounded;
use self::slots::{DORMANT, LIGHT};
pub(super) use self::totals::Counts;
pub use self::totals::Totals;
pub use self::views::RepeatedSyn;
use self::views::Views;
use self::words::{Words, completed};
use super::decode::{FlowKey, SHARDS, SegmentRecord};
use super::exchange::Exchange;
use super::failure::{Failure, Stop};
use super::forgery::{HostRates, SenderProfile, Timing};
use super::history::{CaptureGaps, ConnectionHistory};
use super::icmp::IcmpRecord;
use super::join::Compared;
use super::last_words::WordCache;
use super::stack::Stack;
use super::zeek::{Zeek, ZeekSummary};
use crate::flow::{Flow, State};
use crate::packet::link::Process;
use crate::packet::{Flags, Header};
use crate::prefetch::prefetch;
use crate::time::Timestamp;
use crate::transcript::{PerEnd, Role};

/// Maximum number of connections in memory, over all tables, including dormant ones. Each table may hold an equal
/// part of it.
pub(super) const MAX_CONNECTIONS: usize = 1 << 20;

/// Maximum number of RSTs that are held until their connection is over. If there are more, those held so far are
/// reported early.
const MAX_RESETS_PER_CONNECTION: usize = 64;

/// Maximum number of RSTs that one table holds over all its connections. Beyond it those of the connection with the
/// oldest RST are reported.
const MAX_BUFFERED_RESETS: usize = (3 << 13) / SHARDS;

/// Maximum number of frames that an RST is held for: later frames give no evidence about it. Output in the order of the
/// frames waits for the RST.
const MAX_FRAMES_HELD: u32 = 1 << 20;

/// Time in nanoseconds for which a connection is silent at least before it becomes dormant.
const MIN_SILENCE_NS: i64 = 5 * NS_PER_SEC;

/// Connection that is over, or lasts to the end of the capture.
#[derive(Debug)]
pub struct Connection<'a> {
    /// Number of the frame during which the connection or its RSTs are reported; `u32::MAX` at the end of the capture.
    pub(crate) reported_at: u32,
    /// Ends of the connection.
    pub ends: FlowKey,
    /// Index of the client in `ends`.
    pub client: usize,
    /// First and last frame, including duplicates.
    pub span: (u32, u32),
    /// First frame that the analysis depends on: the connection's own first frame, or that of the connection between
    /// the same ends that its SYN interrupted.
    pub(crate) depends_from: u32,
    /// Connection as Zeek describes it.
    pub zeek: ZeekSummary,
    /// Number of RSTs.
    pub resets: u64,
    /// Frame numbers of the RSTs. If there are more than 64, the first 63 and the last.
    pub frames: &'a [u32],
    /// Missing parts of the connection, which limit the conclusions.
    pub gaps: CaptureGaps,
    /// Likely stacks of `ends`.
    pub stacks: [Option<Stack>; 2],
    /// Time between the last packet and the one before it, in nanoseconds.
    pub idle: i64,
    /// ICMP errors about the connection that have not been reported.
    pub errors: &'a [IcmpRecord],
    /// Number of ICMP errors about the connection.
    pub error_count: u64,
    /// Process of each end, in the order of `ends`, if frames state it.
    pub processes: [Option<Process>; 2],
    /// Comments on its frames in the file, at most 16.
    pub comments: &'a [FrameComment],
    /// Addresses of the connection on other sides of a NAT.
    pub translations: &'a [Translation],
    /// Failure of the connection. `None` if it goes on or was closed in order, and as long as the connection is not over.
    pub failure: Option<Failure>,
    /// True if the failure was reported while the connection was not over: the capture is read live.
    pub was_failure_reported: bool,
    /// SYN that the file holds twice, because captures of several points were merged whose clocks differ.
    pub repeated: Option<RepeatedSyn>,
    /// Last message of each end, if it is known.
    pub(crate) words: Option<&'a Words>,
}

/// Comment on a frame, as it stands in the file: the words of its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameComment {
    /// Number of the frame.
    pub frame: u32,
    /// Text, cut to 240 bytes.
    pub text: Box<str>,
}

impl Connection<'_> {
    /// Returns the number of the connection, which is that of its first frame.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.span.0
    }

    /// Returns the address and the port of an end.
    #[must_use]
    pub fn socket(&self, role: Role) -> SocketAddr {
        self.ends.socket(self.end(role))
    }

    /// Returns the likely stack of an end; `None` if its SYN or SYN-ACK was not captured, or fits no known stack.
    #[must_use]
    pub fn stack(&self, role: Role) -> Option<Stack> {
        self.stacks[self.end(role)]
    }

    fn end(&self, role: Role) -> usize {
        match role {
            Role::Client => self.client,
            Role::Server => 1 - self.client,
        }
    }

    /// Returns the process of an end, if frames state it.
    #[must_use]
    pub fn process(&self, role: Role) -> Option<Process> {
        self.processes[self.end(role)]
    }
}

/// Effect of one segment on its connection.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// First frame of the connection.
    pub connection: u32,
    /// Ends of the connection.
    pub ends: FlowKey,
    /// Sender of the segment.
    pub from: Role,
    /// TCP header.
    pub header: Header,
    /// SEQ relative to the sender's initial sequence number; `None` if that is unknown.
    pub seq: Option<u32>,
    /// ACK relative to the receiver's initial sequence number; `None` if that is unknown.
    pub ack: Option<u32>,
    /// States of client and server after the segment.
    pub states: [State; 2],
    /// Frame that triggered the segment, if the segment is an RST in reply to a frame.
    pub triggered_by: Option<u32>,
}

/// Open connection. Its fields are ordered by use, which `repr(C)` preserves, so that the ones every segment needs
/// share the first cache lines of 64 bytes.
#[repr(C, align(64))]
struct Entry {
    ends: FlowKey,
    hash: u32,
    /// End that sent the first packet. The field after it is the client's end.
    first: u8,
    client: u8,
    /// True for each end that has sent a packet.
    has_sent: [bool; 2],
    span: (u32, u32),
    rare: Option<Box<Rare>>,
    flow: Flow,
    /// Current record of Zeek.
    zeek: Zeek,
    /// True if the current record is over, and is among the earlier ones.
    is_record_over: bool,
    /// True if both ends are one socket.
    is_self_connection: bool,
    profiles: [SenderProfile; 2],
    last: Timestamp,
    idle: i64,
    history: ConnectionHistory,
    timing: Timing,
    exchange: Exchange,
    gaps: CaptureGaps,
    stacks: [Option<Stack>; 2],
    depends_from: u32,
    resets: u64,
    /// Latest segment, for the recognition of its copy.
    latest: Latest,
    /// Number of the connection's current entry in the timer wheel. Entries with another number are stale.
    generation: u32,
    /// Time at which the current timer is due.
    due: Timestamp,
}

// The flow begins at a cache line, and no line is wasted.
const _: () = assert!(std::mem::offset_of!(Entry, flow) == 64 && size_of::<Entry>() <= 1024);

/// Fields that most connections do not need.
#[derive(Debug, Default)]
struct Rare {
    /// RSTs that have not been reported, and the frame of the first of them.
    pending: Vec<ResetRecord>,
    pending_since: Option<u32>,
    /// ICMP errors that have not been reported.
    errors: Vec<IcmpRecord>,
    /// Number of ICMP errors.
    error_count: u64,
    /// Process of each end.
    processes: [Option<Process>; 2],
    /// Comments on its frames.
    comments: Vec<FrameComment>,
    /// Frame numbers of the first RSTs, and of the last.
    frames: Vec<u32>,
    /// RST in the name of the client and of the server that would have ended its connection, and was not taken for its
    /// own. `None` once the end has sent another segment.
    forged: PerEnd<Option<u32>>,
    /// Capture points of the packets of each end.
    points: Points,
    /// True if packets of a text without times are equal.
    may_have_copies: bool,
    /// Packets that may have further copies. Used only if packets are captured twice.
    in_flight: InFlightList,
    /// The connection itself, while the flow is that of an earlier one that its SYN interrupts.
    renewed: Option<Box<Renewed>>,
    /// Sum of Zeek's earlier records.
    earlier: Option<Box<ZeekSummary>>,
    /// Other addresses of the connection, if it was captured on both sides of a NAT.
    nat: Option<Box<Nat>>,
    /// What its RSTs and ICMP errors have brought about.
    outcome: Outcome,
    /// State in which the connection had stopped before it was dormant.
    stop: Option<Stop>,
    /// Hashes of the first RSTs, by which their copies are recognized in other views of the connection.
    reset_hashes: Vec<u32>,
    /// Other views of the connection, if captures were merged whose clocks differ.
    views: Option<Box<Views>>,
    /// Last messages, once it has an RST or may have failed.
    words: Option<Box<Words>>,
}

/// Offset of TCP options in a packet over IPv4, from which the stack of a SYN's sender is read.
const SYN_OPTIONS: usize = 40;

/// Connections of one shard.
pub(super) struct Table<L> {
    /// Slots by hash of the ends. A slot is read only if the hash matches.
    index: Index,
    entries: Arena<Entry>,
    free: Vec<u32>,
    /// Light states, and their free slots.
    lights: Arena<Light>,
    free_lights: Vec<u32>,
    /// Dormant connections, and their free slots.
    dormant: Arena<Dormant>,
    free_dormant: Vec<u32>,
    /// Slots of dormant connections, oldest first, with their generations. Some are stale.
    dormant_order: VecDeque<(u32, u32)>,
    /// Number of dormant connections.
    asleep: usize,
    /// Capture points of their packets.
    points: PointList,
    /// Recent messages of the connections.
    words: WordCache,
    /// Rates of the timestamp clocks of their hosts.
    rates: HostRates,
    /// Slots of the connections with RSTs that have not been reported, by the frame of the first one.
    pending: BTreeMap<u32, u32>,
    /// Number of the frame before which none of them has been held for too long.
    next_overdue: u32,
    /// Timer wheel: slots to check, by second.
    wheel: Wheel,
    /// Slots of entries by the numbers of their timers, which began when the entry was a light state.
    moved_timers: HashMap<u32, u32>,
    now: Timestamp,
    /// Time before 1970, and the time that replaces it.
    before_epoch: Option<(Timestamp, Timestamp)>,
    next_expiry: Timestamp,
    generation: u32,
    open: usize,
    /// Number of RSTs and ICMP errors that have not been reported.
    buffered: usize,
    max_open: usize,
    /// Number of the last frame taken in.
    frame: u32,
    /// Numbers of the frames among which a capture filter hides segments without SYN, FIN and RST.
    hidden_plain: Range<u32>,
    /// Counts since they were last handed over.
    counts: Counts,
    live: Option<Box<Live>>,
    observer: L,
}

impl<L: ConnectionObserver> Table<L> {
    /// Creates an empty table for at most `most` connections.
    pub(super) fn new(observer: L, max_open: usize) -> Self {
        Self {
            index: Index::default(),
            entries: Arena::default(),
            free: Vec::new(),
            lights: Arena::default(),
            free_lights: Vec::new(),
            dormant: Arena::default(),
            free_dormant: Vec::new(),
            dormant_order: VecDeque::new(),
            asleep: 0,
            points: PointList::default(),
            words: WordCache::default(),
            rates: HostRates::default(),
            pending: BTreeMap::new(),
            next_overdue: u32::MAX,
            wheel: Wheel::default(),
            moved_timers: HashMap::new(),
            now: Timestamp(i64::MIN),
            before_epoch: None,
            next_expiry: Timestamp(i64::MIN),
            generation: 0,
            open: 0,
            buffered: 0,
            max_open,
            frame: 0,
            hidden_plain: 0..0,
            counts: Counts::default(),
            live: None,
            observer,
        }
    }

    fn take_segments(&mut self, segments: &mut [SegmentRecord], bytes: &[u8], before: u32) {
        // A group is looked up first, so that the waits for memory overlap; what the look-ups need is fetched one group earlier.
        for segment in segments.iter().take(LOOKUP_GROUP) {
            self.index.prefetch(segment.hash);
        }
        let mut left = segments;
        while !left.is_empty() {
            let (group, later) = left.split_at_mut(left.len().min(LOOKUP_GROUP));
            left = later;
            for segment in left.iter().take(LOOKUP_GROUP) {
                self.index.prefetch(segment.hash);
            }
            let mut found = [None; LOOKUP_GROUP];
            for segment in &mut *group {
                // Frames are numbered from 1.
                segment.header.frame = segment
                    .header
                    .frame
                    .saturating_add(before)
                    .saturating_add(1);
            }
            for (found, segment) in found.iter_mut().zip(&*group) {
                *found = self.prefetch_lookup(segment, bytes);
            }
            for (segment, found) in group.iter_mut().zip(found) {
                segment.header.at = self.usable(segment.header.at);
                if segment.header.flags.has(Flags::RST) {
                    let address = segment.ends.address_bits(segment.sender);
                    segment.host.set_clock_rate(self.rates.of(address));
                }
                self.segment(segment, bytes, found);
            }
        }
    }

    /// Returns the observer's output and the counts since the last call.
    pub(super) fn take_output(&mut self) -> (L::Output, Counts) {
        let counts = std::mem::take(&mut self.counts);
        (self.observer.take_output(), counts)
    }

    /// Returns the observer.
    pub(super) fn into_listener(self) -> L {
        self.observer
    }

    /// Reports the RSTs that were held for too many frames, given the last frame that was read. Returns the frame up to
    /// which all RSTs of this table are reported.
    pub(super) fn reported_through(&mut self, frame: u32) -> u32 {
        self.report_overdue(frame);
        let first = self.pending.keys().next();
        first.map_or(frame, |first| frame.min(first.saturating_sub(1)))
    }

    /// Returns the time of the latest segment.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Ends the capture at this time: reports all RSTs. Returns the connections, each with its first frame and its slot.
    pub(super) fn end(&mut self, now: Timestamp) -> Vec<(u32, u32)> {
        (self.frame, self.now) = (u32::MAX, now);
        // Nothing is looked up any more, and the removal of each connection from a large index would wait for memory.
        self.index = Index::default();
        while let Some((_, index)) = self.pending.pop_first() {
            self.report_resets(index, u32::MAX);
        }
        // There may be a million, and a vector that grows is moved again and again.
        let mut all = Vec::with_capacity(self.open + self.asleep);
        let open = self.entries.all();
        let open = open.map(|(index, entry)| (entry.span.0, index));
        let lights = self.lights.all();
        let lights = lights.map(|(index, it)| (it.first_frame, index | LIGHT));
        let dormant = self.dormant.all();
        let dormant = dormant.map(|(index, it)| (it.number(), index | DORMANT));
        all.extend(open.chain(lights).chain(dormant));
        all
    }

    /// Returns the slot of the connection between these ends, given their hash.
    fn find(&self, hash: u32, ends: &FlowKey) -> Option<u32> {
        (self.index).find(hash, |index| self.is_connection_at(index, ends))
    }

    /// Returns the likely slot of the segment's connection, and prefetches it without waiting. The hash alone is
    /// compared.
    fn prefetch_lookup(&self, segment: &SegmentRecord, bytes: &[u8]) -> Option<u32> {
        if segment.header.flags.has(Flags::SYN)
            && let Some(options) = segment.packet(bytes).get(SYN_OPTIONS)
        {
            prefetch(options);
        }
        let index = self.index.find(segment.hash, |_| true)?;
        self.prefetch_slot(index);
        Some(index)
    }

    /// Reports a connection and frees its slot.
    pub(super) fn finish(&mut self, index: u32) {
        if index & DORMANT != 0 {
            // It has reported its RSTs, and needs no full state.
            self.finish_dormant(index);
            return;
        }
        if self.finish_light(index) {
            return;
        }
        // It is reported in its slot: taking it out would move a kibibyte.
        let mut expanded = self.light_at(index).map(Light::expand);
        let Some(entry) = expanded.as_mut().or(self.entries.get_mut(index)) else {
            return;
        };
        let hash = entry.hash;
        learn_rates(&mut self.rates, &entry.ends, entry.profiles.each_ref());
        if let Some(since) = entry.pending_since() {
            self.pending.remove(&since);
        }
        let (pending, errors) = entry.take_events();
        self.buffered -= pending.len() + errors.len();
        let failure = entry.failure(self.now);
        if failure.is_some() {
            entry.note_words(&self.words);
        }
        let connection = Connection {
            errors: &errors,
            failure: completed(failure, entry.words()),
            ..entry.report(self.frame)
        };
        self.observer.connection(&connection, &pending);
        self.index.remove(hash, index);
        self.release(index);
    }

    /// Returns the slot of the segment's connection, and true if the segment begins the connection or a record of Zeek. `None` if it
    /// begins a light state, which has taken it in.
    fn slot_of(
        &mut self,
        segment: &SegmentRecord,
        bytes: &[u8],
        found: Option<u32>,
    ) -> Option<(u32, bool)> {
        let mut interrupted = None;
        if let Some(index) = found {
            let was_dormant = index & DORMANT != 0;
            let index = self.awake(index);
            if let Some(entry) = self.entries.get_mut(index) {
                let is_in_other_view = entry.enter_view(segment);
                if is_in_other_view || !entry.is_replaced_by(segment) {
                    let is_over = entry.is_record_over_by(segment.header.at);
                    let begins_record = is_over && !is_in_other_view;
                    if begins_record {
                        entry.begin_record(segment);
                    }
                    if was_dormant {
                        self.arm_timer(index);
                    }
                    return Some((index, begins_record));
                }
                interrupted = entry.interrupted_by(segment).map(Box::new);
                self.finish(index);
            }
        }
        if interrupted.is_none() && self.begin_light(segment, bytes) {
            return None;
        }
        self.make_room();
        self.counts.connections += 1;
        let index = self.place(Entry::new(segment));
        if let Some(earlier) = interrupted
            && let Some(entry) = self.entries.get_mut(index)
        {
            entry.interrupts(*earlier);
        }
        self.index.insert(segment.hash, index);
        self.arm_timer(index);
        Some((index, true))
    }

    /// Takes in a segment. `found`, the slot of an earlier look-up, is valid if the connection is still there.
    fn segment(&mut self, segment: &SegmentRecord, bytes: &[u8], found: Option<u32>) {
        if segment.compared == Compared::Between {
            return;
        }
        self.frame = segment.header.frame;
        self.report_overdue(self.frame.saturating_sub(1));
        // Timestamps of a capture may go back, but the clock of the table does not.
        if segment.header.at > self.now {
            self.now = segment.header.at;
            // Timers are checked once a second.
            if self.now >= self.next_expiry {
                self.expire_due();
                self.next_expiry = Timestamp(self.now.0.saturating_add(NS_PER_SEC));
            }
        }
        // The usual cases, without a further look-up. A dormant connection has neither state.
        if let Some(index) = found
            && index & LIGHT != 0
            && self.take_lightly(index, segment, bytes)
        {
            self.note_closed(index, segment);
            return;
        }
        if let Some(index) = found
            && let Some(entry) = self.entries.get_mut(index)
            && entry.is_continued_by(segment)
        {
            if segment.header.payload_len > 0 {
                entry.keep_words(&mut self.words, segment, bytes);
            }
            let waited = entry.client_attempts();
            entry.take(segment, bytes, false);
            let waits = waited | entry.client_attempts() != 0;
            if L::OBSERVES_SEGMENTS {
                self.observer.segment(&entry.step(segment));
            }
            if waits {
                self.note_waiting(index, Some(waited), segment);
            }
            if segment.header.flags.has(Flags::FIN) {
                self.note_closed(index, segment);
                self.arm_timer_if_sooner(index);
            }
            return;
        }
        let is_right = |index: &u32| self.is_connection_at(*index, &segment.ends);
        let find = || self.find(segment.hash, &segment.ends);
        let found = found.filter(is_right).or_else(find);
        if let Some(index) = found
            && self.take_lightly(index, segment, bytes)
        {
            self.note_closed(index, segment);
            return;
        }
        let was_dormant = found.is_some_and(|it| it & DORMANT != 0);
        let Some((index, is_new)) = self.slot_of(segment, bytes, found) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let buffered = if segment.header.flags.has(Flags::RST) {
            entry.gaps.lacks_plain = self.hidden_plain.contains(&segment.header.frame);
            entry.buffered()
        } else {
            0
        };
        if segment.header.payload_len > 0 {
            entry.keep_words(&mut self.words, segment, bytes);
        }
        let waited = (!was_dormant).then(|| entry.client_attempts());
        let is_reset = entry.take(segment, bytes, is_new);
        let waits = waited != Some(0) || entry.client_attempts() != 0;
        if L::OBSERVES_SEGMENTS {
            self.observer.segment(&entry.step(segment));
        }
        if is_reset {
            entry.note_words(&self.words);
            self.counts.resets += 1;
            let held = entry.buffered();
            self.buffered += held - buffered;
            if buffered == 0 && held > 0 {
                entry.rare().pending_since = Some(segment.header.frame);
                self.hold(segment.header.frame, index);
            }
            if held > MAX_RESETS_PER_CONNECTION {
                self.report_resets(index, self.frame);
            } else if self.buffered > MAX_BUFFERED_RESETS
                && let Some((_, oldest)) = self.pending.pop_first()
            {
                self.report_resets(oldest, self.frame);
            }
        }
        if waits {
            self.note_waiting(index, waited, segment);
        }
        if is_reset || segment.header.flags.has(Flags::FIN) {
            self.note_closed(index, segment);
            self.arm_timer_if_sooner(index);
        }
    }
}

#[cfg(test)]
mod tests;
