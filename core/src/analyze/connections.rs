//! Connection table: assigns segments to connections, detects the end of a connection and reports it.
//!
//! Segments arrive in the order of the capture. A connection is reported when it is over by Zeek's rules, or when the
//! capture ends. A table therefore holds open connections only, and its memory does not grow with the file. If there
//! are more open connections than the limit, those that were silent for longest are evicted and counted.
//!
//! The connections of a capture are [shared](super::decode::SHARDS) among several independent tables, so that threads
//! can work on them in parallel.

mod arena;
mod entry;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::ControlFlow;

use hashbrown::HashTable;

use self::arena::{Arena, LOOKUP_GROUP, MAX_STALE_TIMERS, NS_PER_SEC, Wheel};
use super::decode::{Batch, FlowKey, SHARDS, SegmentRecord, spread};
use super::diagnosis::Diagnostic;
use super::explain::{Explanation, RequiredAction};
use super::forgery::{Aftermath, Context, Indicator, SenderProfile, Weight};
use super::history::{CaptureGaps, ConnectionHistory};
use super::zeek::Zeek;
use crate::flow::{Acceptance, Flow, Reset, State};
use crate::packet::{Flags, Header};
use crate::prefetch::prefetch;
use crate::time::Timestamp;
use crate::transcript::Role;

/// Maximum number of simultaneous connections, over all tables. Each table may hold an equal part of it.
pub(super) const MAX_CONNECTIONS: usize = 1 << 20;

/// Maximum number of RSTs that are held until their connection is over. If there are more, those held so far are
/// reported early.
const MAX_RESETS_PER_CONNECTION: usize = 64;

/// Maximum number of finished connections that a table reports during one chunk; their output is kept until all tables
/// have taken in the chunk. A chunk has room for fewer new connections, so the backlog does not grow.
const MAX_FINISHED_PER_CHUNK: usize = 10_000;

/// Maximum number of RSTs that one table holds over all its connections. Beyond it each RST is reported at once.
const MAX_BUFFERED_RESETS: usize = (1 << 15) / SHARDS;

/// Record of an RST, with everything known about it.
#[derive(Debug)]
pub struct ResetRecord {
    /// RST as the flow classifies it.
    pub reset: Reset,
    /// TCP header.
    pub header: Header,
    /// Cause and effect of the RST.
    pub explanation: Explanation,
    /// Evidence for or against an injection by a third party.
    pub indicators: Vec<Indicator>,
    /// Reasons that the RST itself carries, in its options and its payload.
    pub diagnostics: Vec<Diagnostic>,
    /// State of the connection when the RST was captured, what its sender sent afterwards, and the earlier history.
    context: Context,
    aftermath: Aftermath,
    history: ConnectionHistory,
}

/// Connection that is over, or was open at the end of the capture.
#[derive(Debug)]
pub struct Connection<'a> {
    /// Number of the frame during which the connection is reported: the last frame that the table has taken in;
    /// `u32::MAX` at the end of the capture.
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
    pub zeek: &'a Zeek,
    /// Sender of the first packet, which is side 0 of `zeek`.
    pub first: usize,
    /// Number of RSTs.
    pub resets: u64,
    /// Frame numbers of the RSTs. If there are more than 64, the first 63 and the last.
    pub frames: &'a [u32],
    /// Missing parts of the connection, which limit the conclusions.
    pub gaps: CaptureGaps,
    /// Time between the last packet and the one before it, in nanoseconds.
    pub idle: i64,
}

impl Connection<'_> {
    /// Returns the number of the connection, which is that of its first frame.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.span.0
    }

    /// Returns the sort key of the output: the time of the report, then the connection's number.
    #[must_use]
    pub(crate) fn order(&self) -> (u32, u32) {
        (self.reported_at, self.number())
    }

    /// Returns the address and the port of an end.
    #[must_use]
    pub fn socket(&self, role: Role) -> SocketAddr {
        let end = match role {
            Role::Client => self.client,
            Role::Server => 1 - self.client,
        };
        self.ends.socket(end)
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

/// Receiver of events of one table's connections.
pub trait ConnectionObserver: Send {
    /// Output of the observer for a [`Sink`].
    type Output: Default + Send;

    /// True if the observer receives every segment.
    const OBSERVES_SEGMENTS: bool = false;

    /// Handles a segment, after the table has taken it in.
    fn segment(&mut self, _step: &Step) {}

    /// Handles a connection that is over, with those of its RSTs that have not been reported.
    fn connection(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]);

    /// Handles RSTs of an open connection, when there are too many to be held.
    fn resets(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]);

    /// Returns the output since the last call.
    fn take_output(&mut self) -> Self::Output;
}

/// Receiver of the output of all tables' observers, chunk by chunk, in the order of the capture.
pub trait Sink<S>: Send {
    /// Handles the output of all observers for one chunk, given the offset and the totals up to its end. Returns
    /// [`ControlFlow::Break`] to stop reading.
    fn accept(&mut self, outputs: Vec<S>, position: u64, totals: &Totals) -> ControlFlow<()>;
}

/// Counts of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Number of RSTs, without duplicates.
    pub resets: u64,
    /// Number of connections.
    pub connections: u64,
    /// Number of connections evicted before they were over.
    pub evicted: u64,
}

/// Totals of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of frames.
    pub packets: u64,
    /// Number of frames with a TCP segment.
    pub tcp: u64,
    /// Number of frames with an RST, including duplicates.
    pub reset_frames: u64,
    /// Number of RSTs, without duplicates.
    pub resets: u64,
    /// Number of connections.
    pub connections: u64,
    /// Number of frames whose link type is not supported, by the number of the type.
    pub unsupported_link_types: BTreeMap<u16, u64>,
    /// Number of IP fragments of TCP segments, including first fragments, which are read, and later ones, which are
    /// skipped.
    pub fragments: u64,
    /// Number of TCP segments whose header is truncated or malformed.
    pub cut: u64,
    /// Number of frames that the filter rejects.
    pub filtered: u64,
    /// Number of connections evicted before they were over.
    pub evicted: u64,
    /// Number of dropped frames that each interface has reported last.
    dropped: BTreeMap<u32, u64>,
}

impl Totals {
    /// Adds the counts of one chunk.
    pub(super) fn add(&mut self, batch: &Batch) {
        self.packets += u64::from(batch.frames);
        let segments = batch.segments.iter().map(|it| it.len() as u64);
        self.tcp += segments.sum::<u64>();
        self.reset_frames += u64::from(batch.resets);
        self.fragments += u64::from(batch.fragments);
        self.cut += u64::from(batch.cut);
        self.filtered += u64::from(batch.filtered);
        self.dropped.extend(&batch.dropped);
        for (kind, count) in &batch.unsupported_link_types {
            *self.unsupported_link_types.entry(*kind).or_default() += u64::from(*count);
        }
    }

    /// Returns the number of frames that were dropped during the capture: the sum over all interfaces of the total that
    /// each has reported last.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let counts = self.dropped.values();
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds the counts of one table.
    pub(super) fn count(&mut self, counts: &Counts) {
        self.resets += counts.resets;
        self.connections += counts.connections;
        self.evicted += counts.evicted;
    }
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
    zeek: Zeek,
    profiles: [SenderProfile; 2],
    last: Timestamp,
    idle: i64,
    history: ConnectionHistory,
    gaps: CaptureGaps,
    depends_from: u32,
    resets: u64,
    /// Latest SYN, for the recognition of a duplicate.
    syn: Syn,
    /// Number of the connection's current entry in the timer wheel. Entries with another number are stale.
    generation: u32,
    /// Time at which the current timer is due.
    due: Timestamp,
}

/// Fields that most connections do not need.
#[derive(Debug, Default)]
struct Rare {
    /// RSTs that have not been reported.
    pending: Vec<ResetRecord>,
    /// Frame numbers of the first RSTs, and of the last.
    frames: Vec<u32>,
    /// Interfaces at which the packets of each end leave, if packets are captured at two interfaces.
    leaving_interfaces: Option<[u32; 2]>,
    /// Packets in flight, captured where they left and not yet where they arrive, with the index of their sender. Used
    /// only if packets are captured twice.
    in_flight: VecDeque<(Header, usize)>,
    /// Flow of a new connection between the same ends, in case its SYN is accepted.
    renewed: Option<Flow>,
}

/// Fields that a SYN shares with its duplicate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Syn {
    seq: u32,
    ack: u32,
    clock: u32,
    /// Sender and control bits, plus one, so that no SYN equals the default value.
    what: u16,
    window: u16,
    at: Timestamp,
    interface: u32,
}

impl Syn {
    fn of(segment: &SegmentRecord) -> Self {
        let header = &segment.header;
        Self {
            seq: header.seq.0,
            ack: header.ack.0,
            clock: header.timestamps.map_or(0, |it| it.value),
            what: 1 + u16::from(header.flags.0) + (u16::from(segment.sender == 1) << 8),
            window: header.window,
            at: header.at,
            interface: segment.interface,
        }
    }

    fn is_copy_of(self, other: Self) -> bool {
        let apart = if self.clock == 0 {
            MAX_COPY_AGE_NS
        } else {
            MAX_STAMPED_COPY_AGE_NS
        };
        let alike = Self {
            at: other.at,
            interface: other.interface,
            ..self
        };
        alike == other && (0..apart).contains(&self.at.since(other.at))
    }
}

/// Open connections of one shard.
pub(super) struct Table<L> {
    /// Slots by hash of the ends. A slot is read only if the hash matches.
    index: HashTable<(u32, u32)>,
    entries: Arena,
    free: Vec<u32>,
    /// Timer wheel: slots to check, by second.
    wheel: Wheel,
    /// Slots whose timers are due.
    due: Vec<(u32, u32)>,
    now: Timestamp,
    next_expiry: Timestamp,
    /// Number of finished connections reported for the current chunk.
    finished: usize,
    /// Number of times that a connection was added or removed.
    changes: u64,
    generation: u32,
    open: usize,
    /// Number of RSTs that have not been reported.
    buffered: usize,
    max_open: usize,
    /// Number of the last frame taken in.
    frame: u32,
    /// Counts since they were last handed over.
    counts: Counts,
    observer: L,
}

impl ResetRecord {
    /// Returns true if strong evidence indicates that the RST was injected.
    #[must_use]
    pub fn shows_injection(&self) -> bool {
        self.indicators
            .iter()
            .any(|fact| fact.indicates_injection(Weight::Strong))
    }

    /// Returns the action required of the receiver, its state, and the reason: a clause.
    #[must_use]
    pub fn required_action(&self) -> String {
        let reset = &self.reset;
        let receiver = reset.from.peer().name();
        let must = match self.explanation.required_action {
            RequiredAction::Accept => format!("the {receiver} must accept it"),
            RequiredAction::Drop => format!("the {receiver} ignores it"),
            RequiredAction::Challenge => format!("the {receiver} challenges it"),
            RequiredAction::NotDelivered => format!("the {receiver} does not receive it"),
            RequiredAction::Unknown => format!("whether the {receiver} must accept it is unknown"),
        };
        let state = match (reset.receiver_state, reset.acceptance) {
            (State::Closed | State::Listen, Acceptance::NoConnection) => String::new(),
            (state, _) => format!(" in {state}"),
        };
        format!("{must}{state}: {}", self.explanation.acceptance)
    }
}

impl<L: ConnectionObserver> Table<L> {
    /// Creates an empty table for at most `most` connections.
    pub(super) fn new(observer: L, max_open: usize) -> Self {
        Self {
            index: HashTable::new(),
            entries: Arena::default(),
            free: Vec::new(),
            wheel: Wheel::default(),
            due: Vec::new(),
            finished: 0,
            now: Timestamp(i64::MIN),
            next_expiry: Timestamp(i64::MIN),
            changes: 0,
            generation: 0,
            open: 0,
            buffered: 0,
            max_open,
            frame: 0,
            counts: Counts::default(),
            observer,
        }
    }

    /// Takes in the segments of this table's shard, and numbers their frames, of which `before` came earlier.
    pub(super) fn take(&mut self, segments: &mut [SegmentRecord], bytes: &[u8], before: u32) {
        self.finished = 0;
        if !self.due.is_empty() {
            self.expire_due();
        }
        // A group is looked up first, so that the waits for memory overlap.
        for group in segments.chunks_mut(LOOKUP_GROUP) {
            let mut found = [None; LOOKUP_GROUP];
            for (found, segment) in found.iter_mut().zip(&mut *group) {
                // Frames are numbered from 1.
                segment.header.frame = segment
                    .header
                    .frame
                    .saturating_add(before)
                    .saturating_add(1);
                *found = self.prefetch_lookup(segment);
            }
            let changes = self.changes;
            for (segment, found) in group.iter().zip(found) {
                self.segment(segment, bytes, found, changes);
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

    /// Ends the capture. Returns the open connections, each with its first frame and its slot.
    pub(super) fn end(&mut self) -> Vec<(u32, u32)> {
        self.frame = u32::MAX;
        let open = self.entries.all();
        open.map(|(index, entry)| (entry.span.0, index)).collect()
    }

    fn find(&self, segment: &SegmentRecord) -> Option<u32> {
        let is_it = |(hash, index): &(u32, u32)| {
            *hash == segment.hash && self.is_connection_at(*index, &segment.ends)
        };
        let found = self.index.find(spread(segment.hash.into()), is_it)?;
        Some(found.1)
    }

    /// Returns the likely slot of the segment's connection, and prefetches it without waiting. The hash alone is
    /// compared.
    fn prefetch_lookup(&self, segment: &SegmentRecord) -> Option<u32> {
        let found = self
            .index
            .find(spread(segment.hash.into()), |it| it.0 == segment.hash)?;
        if let Some(slot) = self.entries.slot(found.1) {
            prefetch(slot);
        }
        Some(found.1)
    }

    fn is_connection_at(&self, index: u32, ends: &FlowKey) -> bool {
        self.entries
            .get(index)
            .is_some_and(|entry| entry.ends == *ends)
    }

    /// Reports a connection and frees its slot.
    pub(super) fn finish(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        self.changes += 1;
        self.finished += 1;
        self.open -= 1;
        let hash = entry.hash;
        let pending = entry.pending();
        self.buffered -= pending.len();
        self.observer
            .connection(&entry.report(self.frame), &pending);
        let found = self
            .index
            .find_entry(spread(hash.into()), |it| it.1 == index);
        if let Ok(found) = found {
            found.remove();
        }
        self.entries.set(index, None);
        self.free.push(index);
    }

    /// Reports the connections that are over by now, up to [`MAX_FINISHED_PER_CHUNK`] for one chunk.
    fn expire_due(&mut self) {
        while self.finished < MAX_FINISHED_PER_CHUNK {
            let Some((index, generation)) = self.due.pop() else {
                match self.wheel.due(self.now) {
                    Some(bucket) => self.due = bucket,
                    None => return,
                }
                continue;
            };
            // Prefetches the slot that is needed one group later.
            if let Some((ahead, _)) = self
                .due
                .len()
                .checked_sub(LOOKUP_GROUP)
                .map(|at| self.due[at])
                && let Some(slot) = self.entries.slot(ahead)
            {
                prefetch(slot);
            }
            let Some(entry) = self.entries.get(index) else {
                continue;
            };
            // A stale timer, or one of the slot's former connection.
            if entry.generation != generation {
                continue;
            }
            if entry.zeek.expires() <= self.now {
                self.finish(index);
            } else {
                self.arm_timer(index);
            }
        }
    }

    /// Sets the connection's timer to the time at which the connection expires.
    fn arm_timer(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        self.generation = self.generation.wrapping_add(1);
        (entry.generation, entry.due) = (self.generation, entry.zeek.expires());
        self.wheel
            .add(entry.due, self.now, (index, self.generation));
        // Each open connection has one current timer. A capture could add stale timers without limit while no time
        // passes.
        if self.wheel.count > 2 * self.open + MAX_STALE_TIMERS {
            let entries = &self.entries;
            self.wheel.retain(|(index, generation)| {
                let entry = entries.get(*index);
                entry.is_some_and(|entry| entry.generation == *generation)
            });
        }
    }

    /// Sets the connection's timer again, if the connection now expires earlier than the timer.
    fn arm_timer_if_sooner(&mut self, index: u32) {
        // The wheel has a resolution of one second.
        let second = |at: Timestamp| at.0.div_euclid(NS_PER_SEC);
        let is_sooner = |entry: &Entry| {
            second(entry.due) > second(self.now) && second(entry.zeek.expires()) < second(entry.due)
        };
        if self.entries.get(index).is_some_and(is_sooner) {
            self.arm_timer(index);
        }
    }

    /// Returns the slot of the segment's connection, and true if the connection is new.
    fn slot_of(&mut self, segment: &SegmentRecord, found: Option<u32>) -> (u32, bool) {
        let mut before = None;
        if let Some(index) = found {
            let is_over = match self.entries.get(index) {
                Some(entry) => entry.zeek.is_over_before(&segment.header),
                None => true,
            };
            if !is_over {
                return (index, false);
            }
            // By Zeek's rules a SYN can end a connection, but the ends continue theirs unless they accept the SYN. The
            // old flow is therefore kept until then.
            let goes_on = |entry: &Entry| {
                segment.header.at < entry.zeek.expires()
                    && entry.flow.state(Role::Client) != State::Closed
                    && entry.flow.state(Role::Server) != State::Closed
            };
            if let Some(entry) = self.entries.get(index)
                && segment.header.flags.has(Flags::SYN)
                && goes_on(entry)
            {
                before = Some((
                    entry.flow.clone(),
                    entry.client,
                    entry.history.clone(),
                    entry.depends_from,
                ));
            }
            self.finish(index);
        }
        if self.open >= self.max_open {
            self.evict();
        }
        self.counts.connections += 1;
        let mut entry = Entry::new(segment);
        if let Some((flow, client, history, depends_from)) = before {
            entry.depends_from = depends_from;
            entry.rare().renewed = Some(Flow::learning());
            (entry.flow, entry.client, entry.history) = (flow, client, history);
        }
        if self.free.is_empty() {
            // The slots are used from the first on.
            self.free.extend(self.entries.grow().rev());
        }
        let index = self.free.pop().unwrap_or(u32::MAX);
        if let Some(slot) = self.free.last().and_then(|next| self.entries.slot(*next)) {
            prefetch(slot); // for the connection after this one
        }
        self.entries.set(index, Some(entry));
        self.open += 1;
        let rehash = |it: &(u32, u32)| spread(it.0.into());
        self.index
            .insert_unique(spread(segment.hash.into()), (segment.hash, index), rehash);
        self.changes += 1;
        self.arm_timer(index);
        (index, true)
    }

    /// Evicts the connections that were silent for longest, a sixteenth of the maximum at once. The scan of all
    /// connections is thereby rare.
    fn evict(&mut self) {
        let mut all: Vec<(Timestamp, u32, u32)> = Vec::new();
        let open = self.entries.all();
        all.extend(open.map(|(index, entry)| (entry.last, entry.span.0, index)));
        // The first frame breaks ties, so that the same connections are evicted in every run.
        all.sort_unstable();
        for (_, _, index) in all.iter().take((self.max_open / 16).max(1)) {
            self.counts.evicted += 1;
            self.finish(*index);
        }
    }

    /// Takes in a segment. `found`, the slot of an earlier look-up, is valid if the number of changes is the same.
    fn segment(&mut self, segment: &SegmentRecord, bytes: &[u8], found: Option<u32>, changes: u64) {
        self.frame = segment.header.frame;
        // Timestamps of a capture may go back, but the clock of the table does not.
        if segment.header.at > self.now {
            self.now = segment.header.at;
            // Timers are checked once a second.
            if self.now >= self.next_expiry && self.due.is_empty() {
                self.expire_due();
                self.next_expiry = Timestamp(self.now.0.saturating_add(NS_PER_SEC));
            }
        }
        let is_right =
            |index: &u32| self.changes == changes && self.is_connection_at(*index, &segment.ends);
        let found = found.filter(is_right).or_else(|| self.find(segment));
        let (index, is_new) = self.slot_of(segment, found);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let buffered = entry.buffered();
        let is_reset = entry.take(segment, bytes, is_new);
        if L::OBSERVES_SEGMENTS {
            self.observer.segment(&entry.step(segment));
        }
        if is_reset {
            self.counts.resets += 1;
            self.buffered += entry.buffered() - buffered;
            if self.buffered > MAX_BUFFERED_RESETS || entry.buffered() > MAX_RESETS_PER_CONNECTION {
                let pending = entry.pending();
                self.buffered -= pending.len();
                self.observer.resets(&entry.report(self.frame), &pending);
            }
        }
        if is_reset || segment.header.flags.has(Flags::FIN) {
            self.arm_timer_if_sooner(index);
        }
    }
}

/// Maximum age of the original of a duplicate packet in nanoseconds: a duplicate on one host, and one captured at the
/// other end of a long path.
const MAX_COPY_AGE_NS: i64 = 1_000_000;
const MAX_STAMPED_COPY_AGE_NS: i64 = 400_000_000;

/// Maximum number of packets in flight between two capture points.
const MAX_IN_FLIGHT: usize = 64;

/// Adds the frame number of an RST. In a full list it replaces the last one, which bounds the memory for a connection
/// with any number of RSTs.
fn push_bounded(frames: &mut Vec<u32>, frame: u32) {
    frames.truncate(MAX_RESETS_PER_CONNECTION - 1);
    frames.push(frame);
}

#[cfg(test)]
mod tests;
