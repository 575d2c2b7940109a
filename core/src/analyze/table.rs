//! The connections of a capture: which segment belongs to which, when one is over, and what is told of it then.
//!
//! Segments come in the order of the capture. A connection is told of when it is over by Zeek's reckoning, or when the capture
//! ends; so a table holds those that live, and its memory does not grow with the file. When more live than it may hold, the
//! one that has been silent for longest has to go, and that is said.
//!
//! The connections of a capture are [shared](super::batch::SHARES) among some tables, each for itself, so that threads can be at
//! work on them side by side.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::ControlFlow;

use hashbrown::HashTable;

use super::batch::{Batch, Ends, SHARES, Seen, spread};
use super::diagnosis::{self, Said};
use super::explain::{Explanation, Past};
use super::marks::{self, Context, Fact, Habits, Sequel, Traits, Weight};
use super::zeek::Zeek;
use crate::flow::{Flow, Observed, Reset, State};
use crate::packet::{Flags, Header};
use crate::prefetch::prefetch;
use crate::time::Timestamp;
use crate::transcript::Role;

/// Connections that live at the same time; more are not held, and of each share no more than its part of that.
pub const MOST_CONNECTIONS: usize = 1 << 20;

/// RSTs of a connection that are held until it is over; of more the oldest are told of before.
const MOST_RESETS: usize = 64;

/// Connections of a table that are told of as being over while one piece is taken in: what is said of them is held until all tables
/// have taken it in. More than a piece has room for, so the rest does not grow.
const MOST_TOLD: usize = 10_000;

/// The same of all connections of a table together: of more each is told of at once.
const MOST_HELD: usize = (1 << 15) / SHARES;

/// A RST, and all that can be said of it.
#[derive(Debug)]
pub struct Told {
    /// As the flow has it.
    pub reset: Reset,
    /// Its header.
    pub header: Header,
    /// What it means.
    pub explanation: Explanation,
    /// What speaks for or against a third party.
    pub facts: Vec<Fact>,
    /// What it says itself.
    pub said: Vec<Said>,
    /// What was known when it passed, and what its sender did then.
    context: Context,
    sequel: Sequel,
    past: Past,
}

/// A connection that is over, or was when the capture ended.
#[derive(Debug)]
pub struct Connection<'a> {
    /// In the midst of which frame this is told: the last one that was taken in; `u32::MAX` after all.
    pub told_at: u32,
    /// Its ends.
    pub ends: Ends,
    /// Which of them is the client.
    pub client: usize,
    /// Its first frame and its last one, copies included.
    pub span: (u32, u32),
    /// The first frame that what is known of it rests on: its own, or that of a connection of the same ends that its SYN
    /// came in the midst of.
    pub rests_on: u32,
    /// As Zeek sees it.
    pub zeek: &'a Zeek,
    /// Sender of the first packet, which Zeek's sides are counted from.
    pub first: usize,
    /// How many RSTs it had.
    pub resets: u64,
    /// Frames of its RSTs, the last of them.
    pub frames: &'a [u32],
    /// What lowers the claims that may be made of it.
    pub gaps: Gaps,
    /// How long nothing had been sent when the last packet came, in nanoseconds.
    pub idle: i64,
}

impl Connection<'_> {
    /// What it is called by: the number of its first frame.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.span.0
    }

    /// What is said of it comes in this order: by when it is told, and then by its number.
    #[must_use]
    pub fn order(&self) -> (u32, u32) {
        (self.told_at, self.number())
    }

    /// Address and port of an end.
    #[must_use]
    pub fn socket(&self, role: Role) -> SocketAddr {
        let end = match role {
            Role::Client => self.client,
            Role::Server => 1 - self.client,
        };
        self.ends.socket(end)
    }
}

/// What a capture lacks of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// It does not hold the beginning.
    pub begins_midstream: bool,
    /// A frame acknowledges what was not captured: this is the first that does.
    pub lost: Option<u32>,
    /// Nothing of one end was captured.
    pub one_sided: bool,
    /// Packets were captured twice.
    pub doubled: bool,
}

/// What a segment has done to its connection.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The first frame of the connection.
    pub connection: u32,
    /// Its ends.
    pub ends: Ends,
    /// Who sent it.
    pub from: Role,
    /// Its header.
    pub header: Header,
    /// SEQ and ACK relative to the initial numbers; `None` if those are unknown.
    pub seq: Option<u32>,
    /// See `seq`.
    pub ack: Option<u32>,
    /// States of client and server after it.
    pub states: [State; 2],
    /// The frame that drew it, if it is a RST that answers one.
    pub drawn_by: Option<u32>,
}

/// Who is told of the connections of one table, as they come to be known.
pub trait Listener: Send {
    /// What it has to say of them.
    type Said: Default + Send;

    /// Whether it is told of every segment.
    const FOLLOWS: bool = false;

    /// A segment has been taken in.
    fn segment(&mut self, _step: &Step) {}

    /// A connection is over, with its RSTs that have not been told of.
    fn connection(&mut self, connection: &Connection<'_>, resets: &[Told]);

    /// Some RSTs of a connection that has too many to be held.
    fn resets(&mut self, connection: &Connection<'_>, resets: &[Told]);

    /// Hands over what it has had to say since it last did.
    fn hand_over(&mut self) -> Self::Said;
}

/// Who hears what the listeners of all tables say, piece by piece, in the order of the capture.
pub trait Audience<S>: Send {
    /// What each of them has said of a piece. So many bytes have been read; whether to go on.
    fn hear(&mut self, said: Vec<S>, position: u64, totals: &Totals) -> ControlFlow<()>;
}

/// What tables count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// RSTs, each once.
    pub resets: u64,
    /// Connections.
    pub connections: u64,
    /// Connections that had to go before they were over.
    pub evicted: u64,
}

/// What a capture amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames.
    pub packets: u64,
    /// Frames that hold a TCP segment.
    pub tcp: u64,
    /// Frames that hold a RST, copies included.
    pub reset_frames: u64,
    /// RSTs, each once.
    pub resets: u64,
    /// Connections.
    pub connections: u64,
    /// Frames whose link cannot be read, by the number of its type.
    pub unread_links: BTreeMap<u16, u64>,
    /// Fragments of IP packets that were passed over, or whose other fragments were.
    pub fragments: u64,
    /// TCP segments whose header was cut or malformed.
    pub cut: u64,
    /// Frames that the filter did not let through.
    pub filtered: u64,
    /// Frames that interfaces had no room for.
    pub dropped: u64,
    /// Connections that had to go before they were over.
    pub evicted: u64,
}

impl Totals {
    /// Counts what was seen in a piece.
    pub(super) fn add(&mut self, batch: &Batch) {
        self.packets += u64::from(batch.frames);
        let segments = batch.segments.iter().map(|it| it.len() as u64);
        self.tcp += segments.sum::<u64>();
        self.reset_frames += u64::from(batch.resets);
        self.fragments += u64::from(batch.fragments);
        self.cut += u64::from(batch.cut);
        self.filtered += u64::from(batch.filtered);
        self.dropped = self.dropped.max(batch.dropped);
        for (kind, count) in &batch.unread_links {
            *self.unread_links.entry(*kind).or_default() += u64::from(*count);
        }
    }

    /// Counts what tables have found in it.
    pub(super) fn count(&mut self, counts: &Counts) {
        self.resets += counts.resets;
        self.connections += counts.connections;
        self.evicted += counts.evicted;
    }
}

/// A connection. Its parts are in lines of 64 bytes, what each segment has to do with first.
#[repr(C, align(64))]
struct Entry {
    ends: Ends,
    hash: u32,
    /// The end that sent its first packet, and the one that is the client.
    first: u8,
    client: u8,
    /// Who has sent anything.
    heard: [bool; 2],
    span: (u32, u32),
    rare: Option<Box<Rare>>,
    flow: Flow,
    zeek: Zeek,
    habits: [Habits; 2],
    last: Timestamp,
    idle: i64,
    past: Past,
    gaps: Gaps,
    rests_on: u32,
    resets: u64,
    /// The latest SYN, to know a copy by.
    syn: Syn,
    /// Number of its place in the wheel; one with another number is out of date.
    generation: u32,
    /// When it is to be looked at.
    due: Timestamp,
}

/// What most connections have no need of.
#[derive(Debug, Default)]
struct Rare {
    /// RSTs that have not been told of.
    pending: Vec<Told>,
    /// Frames of RSTs.
    frames: Vec<u32>,
    /// The interfaces at which each end's packets leave, if packets are captured twice, and at two.
    places: Option<[u32; 2]>,
    /// What was captured where it left and not yet where it arrives, if packets are captured twice.
    under_way: VecDeque<(Header, usize)>,
    /// The connection as it is if a new SYN is believed.
    renewed: Option<Flow>,
}

/// What a copy of a SYN has in common with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Syn {
    seq: u32,
    ack: u32,
    clock: u32,
    /// Sender and control bits, one more, so that none is 0.
    what: u16,
    window: u16,
    at: Timestamp,
    interface: u32,
}

impl Syn {
    fn of(seen: &Seen) -> Self {
        let header = &seen.header;
        Self {
            seq: header.seq.0,
            ack: header.ack.0,
            clock: header.timestamps.map_or(0, |it| it.value),
            what: 1 + u16::from(header.flags.0) + (u16::from(seen.sender == 1) << 8),
            window: header.window,
            at: header.at,
            interface: seen.interface,
        }
    }

    fn is_copy_of(self, other: Self) -> bool {
        let apart = if self.clock == 0 {
            COPY_NS
        } else {
            LONG_WAY_NS
        };
        let alike = Self {
            at: other.at,
            interface: other.interface,
            ..self
        };
        alike == other && (0..apart).contains(&self.at.since(other.at))
    }
}

/// The connections that live.
pub struct Table<L> {
    /// Each place with what its ends are hashed to: they are looked at only if that is the same.
    index: HashTable<(u32, u32)>,
    entries: Slab,
    free: Vec<u32>,
    /// Places to look at when this time has come, by second.
    wheel: Wheel,
    /// What is to be looked at now.
    due: Vec<(u32, u32)>,
    now: Timestamp,
    next_look: Timestamp,
    /// How many connections that are over were told of since segments were taken in last.
    told: usize,
    /// How often a connection has come or gone.
    changes: u64,
    generation: u32,
    living: usize,
    /// How many RSTs have not been told of.
    held: usize,
    most: usize,
    /// The last frame that was taken in.
    frame: u32,
    /// What was counted so far.
    counts: Counts,
    listener: L,
}

/// Places for connections, which do not move when there are more of them.
#[derive(Default)]
struct Slab(Vec<Box<[Option<Entry>]>>);

impl Slab {
    /// So many places are made together.
    const PART: usize = 256;

    fn get(&self, place: u32) -> Option<&Entry> {
        self.slot(place)?.as_ref()
    }

    /// A place, whether or not it is anybody's: that could not be told without waiting for the memory.
    fn slot(&self, place: u32) -> Option<&Option<Entry>> {
        let place = place as usize;
        Some(&self.0.get(place / Self::PART)?[place % Self::PART])
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Entry> {
        let place = place as usize;
        self.0.get_mut(place / Self::PART)?[place % Self::PART].as_mut()
    }

    /// Makes a place the one of this entry, or nobody's.
    fn set(&mut self, place: u32, entry: Option<Entry>) {
        let place = place as usize;
        if let Some(part) = self.0.get_mut(place / Self::PART) {
            part[place % Self::PART] = entry;
        }
    }

    /// Makes more places, and gives them.
    fn grow(&mut self) -> std::ops::Range<u32> {
        let first = self.len();
        let part: Vec<Option<Entry>> = (0..Self::PART).map(|_| None).collect();
        self.0.push(part.into_boxed_slice());
        first..self.len()
    }

    fn len(&self) -> u32 {
        u32::try_from(self.0.len() * Self::PART).unwrap_or(u32::MAX)
    }

    fn all(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0..self.len()).filter_map(|place| Some((place, self.get(place)?)))
    }
}

/// What is to be looked at in some seconds.
#[derive(Debug, Default)]
struct Wheel {
    /// The second of the first bucket.
    first: Option<i64>,
    buckets: VecDeque<Vec<(u32, u32)>>,
    /// How many there are, those included that are out of date.
    count: usize,
}

const NS: i64 = 1_000_000_000;

/// So many segments are looked up together.
const GROUP: usize = 16;

/// So many in the wheel may be out of date before they are looked for.
const MOST_OUT_OF_DATE: usize = 1 << 16;

/// Nothing is waited for longer than this, in seconds; then it is looked at again.
const LONGEST_WAIT: i64 = 3_700;

impl Wheel {
    fn add(&mut self, at: Timestamp, now: Timestamp, what: (u32, u32)) {
        let first = *self.first.get_or_insert(now.0.div_euclid(NS));
        let second = at.0.div_euclid(NS).saturating_add(1).saturating_sub(first);
        let place = usize::try_from(second.clamp(0, LONGEST_WAIT)).unwrap_or(0);
        if self.buckets.len() <= place {
            self.buckets.resize_with(place + 1, Vec::new);
        }
        self.buckets[place].push(what);
        self.count += 1;
    }

    /// Keeps those alone that are up to date.
    fn retain(&mut self, is_up_to_date: impl Fn(&(u32, u32)) -> bool) {
        self.count = 0;
        for bucket in &mut self.buckets {
            bucket.retain(&is_up_to_date);
            self.count += bucket.len();
        }
    }

    /// What is due by now: one bucket of it.
    fn due(&mut self, now: Timestamp) -> Option<Vec<(u32, u32)>> {
        let first = self.first.as_mut()?;
        let second = now.0.div_euclid(NS);
        while *first < second {
            match self.buckets.pop_front() {
                None => *first = second,
                Some(bucket) => {
                    *first += 1;
                    if !bucket.is_empty() {
                        self.count -= bucket.len();
                        return Some(bucket);
                    }
                }
            }
        }
        None
    }
}

impl Told {
    /// Whether something about it hardly comes from the end itself.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.facts.iter().any(|fact| fact.accuses(Weight::Strong))
    }
}

impl<L: Listener> Table<L> {
    /// An empty one, which holds no more than so many connections.
    pub(super) fn new(listener: L, most: usize) -> Self {
        Self {
            index: HashTable::new(),
            entries: Slab::default(),
            free: Vec::new(),
            wheel: Wheel::default(),
            due: Vec::new(),
            told: 0,
            now: Timestamp(i64::MIN),
            next_look: Timestamp(i64::MIN),
            changes: 0,
            generation: 0,
            living: 0,
            held: 0,
            most,
            frame: 0,
            counts: Counts::default(),
            listener,
        }
    }

    /// Takes in segments of this table's share, and numbers their frames: so many came before.
    pub(super) fn take(&mut self, segments: &mut [Seen], bytes: &[u8], before: u32) {
        self.told = 0;
        if !self.due.is_empty() {
            self.look_around();
        }
        // Some are looked up together, so that memory is waited for once and not for each.
        for group in segments.chunks_mut(GROUP) {
            let mut found = [None; GROUP];
            for (found, seen) in found.iter_mut().zip(&mut *group) {
                // From 1.
                seen.header.frame = seen.header.frame.saturating_add(before).saturating_add(1);
                *found = self.foresee(seen);
            }
            let changes = self.changes;
            for (seen, found) in group.iter().zip(found) {
                self.segment(seen, bytes, found, changes);
            }
        }
    }

    /// What there is to say, and what was counted, since this was asked last.
    pub(super) fn hand_over(&mut self) -> (L::Said, Counts) {
        let counts = std::mem::take(&mut self.counts);
        (self.listener.hand_over(), counts)
    }

    /// Who was told.
    pub(super) fn into_listener(self) -> L {
        self.listener
    }

    /// The capture is at its end: what still lives, each with its first frame.
    pub(super) fn end(&mut self) -> Vec<(u32, u32)> {
        self.frame = u32::MAX;
        let living = self.entries.all();
        living.map(|(place, entry)| (entry.span.0, place)).collect()
    }

    fn find(&self, seen: &Seen) -> Option<u32> {
        let is_it =
            |(hash, place): &(u32, u32)| *hash == seen.hash && self.is_at(*place, &seen.ends);
        let found = self.index.find(spread(seen.hash.into()), is_it)?;
        Some(found.1)
    }

    /// Where this segment's connection likely is. Asks the processor for what is there, and does not wait for it.
    fn foresee(&self, seen: &Seen) -> Option<u32> {
        let found = self
            .index
            .find(spread(seen.hash.into()), |it| it.0 == seen.hash)?;
        if let Some(slot) = self.entries.slot(found.1) {
            prefetch(slot);
        }
        Some(found.1)
    }

    fn is_at(&self, place: u32, ends: &Ends) -> bool {
        self.entries
            .get(place)
            .is_some_and(|entry| entry.ends == *ends)
    }

    /// Tells of a connection and forgets it.
    pub(super) fn retire(&mut self, place: u32) {
        let Some(entry) = self.entries.get_mut(place) else {
            return;
        };
        self.changes += 1;
        self.told += 1;
        self.living -= 1;
        let hash = entry.hash;
        let pending = entry.pending();
        self.held -= pending.len();
        self.listener.connection(&entry.told(self.frame), &pending);
        let found = self
            .index
            .find_entry(spread(hash.into()), |it| it.1 == place);
        if let Ok(found) = found {
            found.remove();
        }
        self.entries.set(place, None);
        self.free.push(place);
    }

    /// Forgets what is over by now, and no more of it at once than can be told of at once.
    fn look_around(&mut self) {
        while self.told < MOST_TOLD {
            let Some((place, generation)) = self.due.pop() else {
                match self.wheel.due(self.now) {
                    Some(bucket) => self.due = bucket,
                    None => return,
                }
                continue;
            };
            if let Some((ahead, _)) = self.due.len().checked_sub(GROUP).map(|at| self.due[at])
                && let Some(slot) = self.entries.slot(ahead)
            {
                prefetch(slot);
            }
            let Some(entry) = self.entries.get(place) else {
                continue;
            };
            if entry.generation != generation {
                continue;
            }
            if entry.zeek.expires() <= self.now {
                self.retire(place);
            } else {
                self.watch(place);
            }
        }
    }

    /// Has this one looked at when it expires, and not before.
    fn watch(&mut self, place: u32) {
        let Some(entry) = self.entries.get_mut(place) else {
            return;
        };
        self.generation = self.generation.wrapping_add(1);
        (entry.generation, entry.due) = (self.generation, entry.zeek.expires());
        self.wheel
            .add(entry.due, self.now, (place, self.generation));
        // One is up to date of each that lives. A capture may have others made without end, and no time pass.
        if self.wheel.count > 2 * self.living + MOST_OUT_OF_DATE {
            let entries = &self.entries;
            self.wheel.retain(|(place, generation)| {
                let entry = entries.get(*place);
                entry.is_some_and(|entry| entry.generation == *generation)
            });
        }
    }

    /// The same, if that is sooner than it is to be looked at.
    fn watch_closer(&mut self, place: u32) {
        let second = |at: Timestamp| at.0.div_euclid(NS);
        let is_sooner = |entry: &Entry| {
            second(entry.due) > second(self.now) && second(entry.zeek.expires()) < second(entry.due)
        };
        if self.entries.get(place).is_some_and(is_sooner) {
            self.watch(place);
        }
    }

    /// The place of the connection that this segment belongs to; a new one, if there is none.
    fn place_of(&mut self, seen: &Seen, found: Option<u32>) -> (u32, bool) {
        let mut before = None;
        if let Some(place) = found {
            let is_over = match self.entries.get(place) {
                Some(entry) => entry.zeek.is_over_before(&seen.header),
                None => true,
            };
            if !is_over {
                return (place, false);
            }
            // By a SYN a connection is over for Zeek, and for its ends only if they believe it.
            let goes_on = |entry: &Entry| {
                seen.header.at < entry.zeek.expires()
                    && entry.flow.state(Role::Client) != State::Closed
                    && entry.flow.state(Role::Server) != State::Closed
            };
            if let Some(entry) = self.entries.get(place)
                && seen.header.flags.has(Flags::SYN)
                && goes_on(entry)
            {
                before = Some((
                    entry.flow.clone(),
                    entry.client,
                    entry.past.clone(),
                    entry.rests_on,
                ));
            }
            self.retire(place);
        }
        if self.living >= self.most {
            self.evict();
        }
        self.counts.connections += 1;
        let mut entry = Entry::new(seen);
        if let Some((flow, client, past, rests_on)) = before {
            entry.rests_on = rests_on;
            entry.rare().renewed = Some(Flow::learning());
            (entry.flow, entry.client, entry.past) = (flow, client, past);
        }
        if self.free.is_empty() {
            // The first of them is taken first.
            self.free.extend(self.entries.grow().rev());
        }
        let place = self.free.pop().unwrap_or(u32::MAX);
        if let Some(slot) = self.free.last().and_then(|next| self.entries.slot(*next)) {
            prefetch(slot); // for the connection after this one
        }
        self.entries.set(place, Some(entry));
        self.living += 1;
        let rehash = |it: &(u32, u32)| spread(it.0.into());
        self.index
            .insert_unique(spread(seen.hash.into()), (seen.hash, place), rehash);
        self.changes += 1;
        self.watch(place);
        (place, true)
    }

    /// Makes room: those that were silent for longest go, a sixteenth of all at once.
    fn evict(&mut self) {
        let mut all: Vec<(Timestamp, u32, u32)> = Vec::new();
        let living = self.entries.all();
        all.extend(living.map(|(place, entry)| (entry.last, entry.span.0, place)));
        all.sort_unstable();
        for (_, _, place) in all.iter().take((self.most / 16).max(1)) {
            self.counts.evicted += 1;
            self.retire(*place);
        }
    }

    /// Takes in a segment. Where its connection was found is still right if nothing has changed since.
    fn segment(&mut self, seen: &Seen, bytes: &[u8], found: Option<u32>, changes: u64) {
        self.frame = seen.header.frame;
        if seen.header.at > self.now {
            self.now = seen.header.at;
            // What is over is looked for once a second.
            if self.now >= self.next_look && self.due.is_empty() {
                self.look_around();
                self.next_look = Timestamp(self.now.0.saturating_add(NS));
            }
        }
        let is_right = |place: &u32| self.changes == changes && self.is_at(*place, &seen.ends);
        let found = found.filter(is_right).or_else(|| self.find(seen));
        let (place, is_new) = self.place_of(seen, found);
        let Some(entry) = self.entries.get_mut(place) else {
            return;
        };
        let held = entry.held();
        let is_reset = entry.take(seen, bytes, is_new);
        if L::FOLLOWS {
            self.listener.segment(&entry.step(seen));
        }
        if is_reset {
            self.counts.resets += 1;
            self.held += entry.held() - held;
            if self.held > MOST_HELD || entry.held() > MOST_RESETS {
                let pending = entry.pending();
                self.held -= pending.len();
                self.listener.resets(&entry.told(self.frame), &pending);
            }
        }
        if is_reset || seen.header.flags.has(Flags::FIN) {
            self.watch_closer(place);
        }
    }
}

/// A copy of a packet is captured as soon after it, in nanoseconds: a copy on one host, and one at the other end of a long way.
const COPY_NS: i64 = 1_000_000;
const LONG_WAY_NS: i64 = 400_000_000;

/// So many packets may be on their way between two places of capture.
const MOST_UNDER_WAY: usize = 64;

impl Entry {
    fn new(seen: &Seen) -> Self {
        let ports = [seen.ends.port(seen.sender), seen.ends.port(1 - seen.sender)];
        let zeek = Zeek::new(&seen.header, seen.ip_len, ports);
        let flags = seen.header.flags;
        // An answer to a SYN is the server's; else it is as Zeek has it.
        let client = if flags.has(Flags::SYN.and(Flags::ACK)) {
            1 - seen.sender
        } else if zeek.originator() == 0 {
            seen.sender
        } else {
            1 - seen.sender
        };
        let small = |end: usize| u8::from(end == 1);
        Self {
            ends: seen.ends,
            hash: seen.hash,
            first: small(seen.sender),
            client: small(client),
            span: (seen.header.frame, seen.header.frame),
            rests_on: seen.header.frame,
            flow: Flow::learning(),
            zeek,
            habits: [Habits::default(); 2],
            past: Past::default(),
            rare: None,
            resets: 0,
            gaps: Gaps {
                begins_midstream: !flags.has(Flags::SYN) || flags.has(Flags::ACK),
                ..Gaps::default()
            },
            last: seen.header.at,
            idle: 0,
            heard: [false; 2],
            syn: Syn::default(),
            generation: 0,
            due: Timestamp(i64::MAX),
        }
    }

    /// Zeek's side of an end.
    fn side(&self, end: usize) -> usize {
        usize::from(end != usize::from(self.first))
    }

    fn role(&self, end: usize) -> Role {
        if end == usize::from(self.client) {
            Role::Client
        } else {
            Role::Server
        }
    }

    /// What this segment, which has been taken in, has done.
    fn step(&self, seen: &Seen) -> Step {
        let (header, from) = (seen.header, self.role(seen.sender));
        let peer = if self.ends.is_itself() {
            from
        } else {
            from.peer()
        };
        let latest = self.rare.as_ref().and_then(|it| it.pending.last());
        let latest = latest.filter(|told| told.reset.frame == header.frame);
        Step {
            connection: self.span.0,
            ends: self.ends,
            from,
            header,
            seq: self.flow.relative(from, header.seq),
            ack: self.flow.relative(peer, header.ack),
            states: [Role::Client, Role::Server].map(|role| self.flow.state(role)),
            drawn_by: latest.and_then(|told| told.reset.drawn_by),
        }
    }

    fn told(&self, at: u32) -> Connection<'_> {
        let gaps = Gaps {
            one_sided: !(self.heard[0] && self.heard[1]),
            ..self.gaps
        };
        Connection {
            told_at: at,
            ends: self.ends,
            client: usize::from(self.client),
            span: self.span,
            rests_on: self.rests_on,
            zeek: &self.zeek,
            first: usize::from(self.first),
            resets: self.resets,
            frames: self.rare.as_ref().map_or(&[], |it| &it.frames),
            gaps,
            idle: self.idle,
        }
    }

    /// Whether this is a packet once more, captured at another place of its way.
    fn is_copy(&mut self, seen: &Seen) -> bool {
        let header = &seen.header;
        let is_same = |other: &Header, sender: usize| {
            let of = |header: &Header| Header {
                frame: 0,
                at: Timestamp(0),
                ..*header
            };
            // With a clock in it a packet that is sent again is another one.
            let apart = if header.timestamps.is_some() {
                LONG_WAY_NS
            } else {
                COPY_NS
            };
            sender == seen.sender
                && (0..apart).contains(&header.at.since(other.at))
                && of(other) == of(header)
        };
        if !self.gaps.doubled {
            // A SYN is not sent again so soon: what is captured twice shows at once.
            if !header.flags.has(Flags::SYN) {
                return false;
            }
            let syn = Syn::of(seen);
            if syn.is_copy_of(self.syn) {
                self.gaps.doubled = true;
                if self.syn.interface != seen.interface {
                    let mut places = [seen.interface; 2];
                    places[seen.sender] = self.syn.interface;
                    self.rare().places = Some(places);
                }
                return true;
            }
            self.syn = syn;
            return false;
        }
        let under_way = &mut self.rare().under_way;
        let place = under_way
            .iter()
            .position(|(other, sender)| is_same(other, *sender));
        if let Some(place) = place {
            under_way.remove(place);
            return true;
        }
        if under_way.len() == MOST_UNDER_WAY {
            under_way.pop_front();
        }
        under_way.push_back((*header, seen.sender));
        false
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What this segment does to the connection. Of a packet that is captured twice the first copy leaves and the second
    /// arrives, or each does what is done where it was captured.
    fn follow(&mut self, from: Role, seen: &Seen, is_copy: bool) -> Option<Observed> {
        let header = &seen.header;
        if let Some(rare) = &mut self.rare
            && let Some(mut renewed) = rare.renewed.take()
        {
            renewed.follow(from, header);
            let is_answer =
                header.flags.has(Flags::SYN.and(Flags::ACK)) && !header.flags.has(Flags::RST);
            if is_answer && renewed.state(from.peer()) == State::Established {
                // Both know of the new connection now, and the old one is gone.
                self.flow = renewed;
                return None;
            }
            rare.renewed = Some(renewed);
        }
        if self.ends.is_itself() {
            return Some(self.flow.follow_itself(header));
        }
        if !self.gaps.doubled {
            return self.flow.follow(from, header);
        }
        let leaves = match self.rare.as_ref().and_then(|it| it.places) {
            Some(places) => places[seen.sender] == seen.interface,
            None => !is_copy,
        };
        let at = if leaves { from } else { from.peer() };
        Some(self.flow.follow_at(from, header, at))
    }

    /// Takes in a segment; whether it is a RST that was not seen before.
    fn take(&mut self, seen: &Seen, bytes: &[u8], is_new: bool) -> bool {
        let header = &seen.header;
        self.span.1 = header.frame;
        let was_doubled = self.gaps.doubled;
        let is_copy = self.is_copy(seen);
        let from = self.role(seen.sender);
        if is_copy && !was_doubled {
            // The first SYN was taken as one that had arrived.
            return false;
        }
        let is_reset = header.flags.has(Flags::RST);
        let next = self.flow.snd_nxt(from);
        let before = is_reset.then(|| Context {
            sender_state: Some(self.flow.state(from)),
            snd_nxt: next,
            rcv_nxt: self.flow.rcv_nxt(from.peer()),
            ..Context::default()
        });
        let observed = self.follow(from, seen, is_copy);
        if is_copy {
            let arrived = observed.as_ref().and_then(|it| it.reset);
            if let Some(arrived) = arrived {
                self.replace_reset(&arrived, header);
            }
            return false;
        }
        if !is_new {
            self.zeek.take(self.side(seen.sender), header, seen.ip_len);
        }
        self.heard[seen.sender] = true;
        if let Some(context) = before {
            self.take_reset(seen, seen.packet(bytes), from, context, observed.as_ref());
        } else {
            if let Some(observed) = &observed
                && observed.acknowledges_unseen
                && !self.gaps.begins_midstream
            {
                self.gaps.lost.get_or_insert(header.frame);
            }
            self.past.take(from, header, next);
            self.habits[seen.sender].take(&seen.ip, header);
            for told in self.rare.iter_mut().flat_map(|it| &mut it.pending) {
                if told.reset.from == from {
                    told.sequel.take(&told.header, header);
                }
            }
        }
        self.idle = header.at.since(self.last).max(0);
        self.last = header.at;
        is_reset
    }

    /// A RST that was captured as it left has arrived: that is what counts.
    fn replace_reset(&mut self, arrived: &Reset, header: &Header) {
        let Some(left) = arrived.left else { return };
        let is_it = |told: &&mut Told| told.reset.frame == left;
        let Some(rare) = &mut self.rare else { return };
        let Some(told) = rare.pending.iter_mut().rev().find(is_it) else {
            return;
        };
        told.explanation = Explanation::of(
            arrived,
            header,
            told.context.sender_state,
            &told.past,
            &self.gaps,
        );
        told.reset = *arrived;
        for frame in &mut rare.frames {
            if *frame == left {
                *frame = arrived.frame;
            }
        }
        self.past.take_reset(arrived, header);
    }

    fn take_reset(
        &mut self,
        seen: &Seen,
        packet: &[u8],
        from: Role,
        context: Context,
        observed: Option<&Observed>,
    ) {
        let Some(reset) = observed.and_then(|it| it.reset) else {
            return;
        };
        let header = seen.header;
        self.resets += 1;
        let frames = &mut self.rare().frames;
        if frames.len() < MOST_RESETS {
            frames.push(reset.frame);
        }
        let explanation = Explanation::of(
            &reset,
            &header,
            context.sender_state,
            &self.past,
            &self.gaps,
        );
        let context = Context {
            form: reset.form,
            answers: Some(reset.drawn_by.is_some()),
            rtt_ns: self.past.rtt(from),
            reaction_ns: reset
                .drawn_by
                .and_then(|frame| self.past.since(frame, from.peer(), header.at)),
            previous: self.past.of(from).previous.as_deref().copied(),
            ..context
        };
        let facts = Traits::of(packet).map_or_else(Vec::new, |traits| {
            marks::facts(&traits, &header, &self.habits[seen.sender], &context)
        });
        let past = self.past.clone();
        self.past.take_reset(&reset, &header);
        self.rare().pending.push(Told {
            past,
            reset,
            header,
            explanation,
            facts,
            said: diagnosis::of(packet),
            context,
            sequel: Sequel::default(),
        });
    }

    /// How many RSTs have not been told of.
    fn held(&self) -> usize {
        self.rare.as_ref().map_or(0, |it| it.pending.len())
    }

    /// The RSTs that have not been told of, with what has become known since.
    fn pending(&mut self) -> Vec<Told> {
        let Some(rare) = &mut self.rare else {
            return Vec::new();
        };
        let mut pending = std::mem::take(&mut rare.pending);
        for told in &mut pending {
            let later = marks::later(&told.header, &told.context, &told.sequel);
            told.facts.extend(later);
        }
        pending
    }
}
