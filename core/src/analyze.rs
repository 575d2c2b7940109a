//! Analysis of existing captures: every connection in them, and an explanation of every RST.
//!
//! A capture is read once, from front to back, at about the speed of reading the file. Each connection is followed by
//! the same [`Flow`](crate::flow::Flow) that judges live trials, so states, RCV.NXT and acceptability are computed in
//! one place only. Each connection also has Zeek's `conn_state` and `history`, for comparison with Zeek's logs.
//!
//! [`Analysis`] is the entry point: it reads a [`Source`], emits [`Event`]s and returns a [`Summary`].
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use rstproof_core::analyze::{Analysis, Event, Source};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures/close-unread-data.ipv4.pcapng");
//! let capture = std::fs::read(path)?;
//! let source = Source::File(&capture, capture.len() as u64);
//! let mut resets = Vec::new();
//! let summary = Analysis::new().read(
//!     &source,
//!     |event| match event {
//!         Event::Reset(connection, reset) => {
//!             Some((reset.reset.frame, connection.socket(reset.reset.from), reset.explanation.cause))
//!         }
//!         _ => None,
//!     },
//!     |part| {
//!         resets.extend(part.items);
//!         ControlFlow::Continue(())
//!     },
//! );
//! summary.read?; // fails if the capture could not be read to its end
//! assert_eq!(summary.totals.connections, 1);
//! let [(frame, sender, cause)] = resets[..] else { panic!("one RST") };
//! println!("frame {frame}: RST from {sender}: {cause:?}");
//! # Ok(())
//! # }
//! ```
//!
//! A [`Connection`] has its ends, its frames, its [gaps](CaptureGaps), and its fields in Zeek's `conn.log` ([`ZeekSummary`]). A
//! [`ResetRecord`] has the state and the action of the receiver ([`Reset`](crate::flow::Reset), [`RequiredAction`]), the
//! [`Cause`] of the RST with its [`Explanation`], observations about its sender ([`Indicator`]), and the reasons that
//! the RST itself carries ([`Diagnostic`]). [`Tally`] counts both. [`json`] writes them as rows, and [`excerpt`] copies
//! the frames of reset connections to another file.

// In the order in which a frame passes through them: `pipeline` cuts a capture into chunks that threads read in
// parallel, `decode` decodes headers, `nat` joins connections on both sides of a NAT, `connections` follows connections
// with `zeek`, `history` and `exchange`, `last_words` keeps the begin of messages, `explain` finds the cause of an RST,
// `failure` judges how a connection failed, `related` and `idle_timeouts` add what is known of such failures, `preceded` finds others
// that they may have followed from, `story` puts it into sentences,
// `forgery` collects evidence about its sender, `stack` recognizes the stacks of the ends, and `diagnosis` decodes its
// payload.
mod comments;
mod connections;
pub mod continuation;
mod decode;
mod diagnosis;
pub mod excerpt;
mod exchange;
mod explain;
mod failure;
mod forgery;
mod history;
pub mod icmp;
mod identified;
mod idle_timeouts;
pub mod join;
pub mod json;
mod last_words;
mod missing;
mod nat;
mod pipeline;
mod preceded;
mod reassembly;
mod related;
mod stack;
pub mod story;
mod tally;
mod zeek;

use std::collections::BTreeMap;
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;

pub use self::connections::{
    Connection, ConnectionObserver, Continued, FrameComment, Progress, RepeatedSyn, ResetRecord,
    Sink, Step, Totals, Translation,
};
use self::decode::FrameSelection;
pub use self::decode::{CompiledFilter, FlowKey, FrameFilter};
pub use self::diagnosis::Diagnostic;
pub use self::exchange::Pending;
pub use self::explain::{Cause, Claim, ErrnoCondition, Explanation, LaterCall, RequiredAction};
pub use self::failure::{EndError, Failure, FailureKind};
pub use self::forgery::{Indicator, Sender, SenderVerdict, Supports, Weight};
pub use self::history::CaptureGaps;
pub use self::icmp::IcmpRecord;
pub use self::idle_timeouts::{Effect as TimeoutEffect, IdleTimeout, IdleTimeouts, Published};
pub use self::last_words::{LastWords, Protocol};
pub use self::missing::{MissingTraffic, SegmentKinds};
pub use self::pipeline::{Ended, LiveRead, LiveSource, Source, Stopped};
pub use self::preceded::Preceded;
use self::preceded::{Link, Recent};
pub use self::related::{RULES, Related, Rule};
pub use self::stack::{ErrnoElsewhere, Stack, System, errno_elsewhere, errno_on};
pub use self::tally::{MAX_COUNTED_SENDERS, ResetSource, Tally};
pub use self::zeek::{ConnState, ZeekSummary};

/// Settings of an analysis: frames to include, number of threads and limits.
#[derive(Clone, Debug)]
pub struct Analysis {
    threads: usize,
    chunk_len: usize,
    max_connections: usize,
    wanted: FrameSelection,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            threads: 1,
            chunk_len: pipeline::CHUNK_LEN,
            max_connections: connections::MAX_CONNECTIONS,
            wanted: FrameSelection::default(),
        }
    }
}

impl Analysis {
    /// Creates an analysis of all frames, in the thread of the caller.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of threads that read, including the caller's. The number does not change the result. If fewer
    /// threads can be started, fewer read.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the filter: only frames that match it are analyzed.
    #[must_use]
    pub fn filter(mut self, filter: FrameFilter) -> Self {
        self.wanted.filter = Some(filter);
        self
    }

    /// Sets the analyzed packet of tunnelled frames: with `true` the innermost packet, otherwise the outer one.
    #[must_use]
    pub fn inside_tunnels(mut self, inside: bool) -> Self {
        self.wanted.inside_tunnels = inside;
        self
    }

    /// Sets the frames of a [joined](join::Join) capture, which say about which frames its points say nothing.
    #[must_use]
    pub fn joined(mut self, frames: Arc<join::FrameMap>) -> Self {
        self.wanted.joined = Some(frames);
        self
    }

    /// Sets whether the capture is [made from text](crate::file::Text), whose frames lack some properties of packets.
    #[must_use]
    pub fn text(mut self, is_text: bool) -> Self {
        self.wanted.is_text = is_text;
        self
    }

    /// Sets the maximum number of connections in memory, by default 2^20. If a capture has more, those that have ended or
    /// were silent longest are reported early and counted in [`Totals::evicted`].
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets the length in bytes of the chunks that threads read, by default 512 KiB. The length does not change the
    /// result.
    #[must_use]
    pub fn chunk_len(mut self, bytes: usize) -> Self {
        self.chunk_len = bytes;
        self
    }

    /// Reads a capture to its end, or as far as it can be read.
    ///
    /// `map` is called for each event, on the thread that found it, and returns an item or nothing. `sink` receives the
    /// items in the order of the capture, part by part; [`ControlFlow::Break`] ends the analysis with
    /// [`Stopped::Unwanted`].
    pub fn read<T: Send>(
        &self,
        source: &Source<'_>,
        map: impl Fn(Event<'_>) -> Option<T> + Sync,
        sink: impl FnMut(Part<'_, T>) -> ControlFlow<()> + Send,
    ) -> Summary {
        let mapper = || Mapper {
            map: &map,
            items: Vec::new(),
            tally: Tally::default(),
        };
        let mut in_order = InOrder {
            sink,
            held: BTreeMap::new(),
            count: 0,
            recent: Recent::default(),
        };
        let ended = self.observe(source, mapper, &mut in_order);
        let mut tally = Tally::default();
        // Each shard has its own counts, so threads need no lock. Sums do not depend on the order of the shards.
        for mapper in ended.observers {
            tally.merge(mapper.tally);
        }
        Summary {
            read: ended.read,
            position: ended.position,
            totals: ended.totals,
            tally,
        }
    }

    /// Reads a capture like [`read`](Self::read), with observers that keep their own state and may follow every
    /// segment: one observer for each of the shards that the connections are divided into.
    pub fn observe<L: ConnectionObserver, A: Sink<L::Output>>(
        &self,
        source: &Source<'_>,
        observer: impl Fn() -> L,
        audience: &mut A,
    ) -> Ended<L> {
        pipeline::read_all(source, self, observer, audience)
    }
}

/// Event found in a capture.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Connection that a SYN has replaced, or that lasts to the end of the capture. Its RSTs were reported before.
    Connection(&'a Connection<'a>),
    /// RST with its connection. RSTs are reported in the order of their frames, if not very many are held.
    Reset(&'a Connection<'a>, &'a ResetRecord),
    /// ICMP error about a segment of the connection, reported together with its RSTs, in the order of the frames.
    Icmp(&'a Connection<'a>, &'a IcmpRecord),
    /// Connection of a [live capture](Source::Live) that has failed without an RST or an ICMP error. It is reported as a
    /// [connection](Self::Connection), too, once it is over.
    Failed(&'a Connection<'a>),
}

/// Items made from the events in one part of a capture.
#[derive(Debug)]
pub struct Part<'a, T> {
    /// Items in the order of the capture.
    pub items: Vec<T>,
    /// Events that may have followed from the failure of another connection.
    pub followed: Vec<Followed>,
    /// Number of bytes of the capture that have been read.
    pub position: u64,
    /// Totals so far.
    pub totals: &'a Totals,
    /// True if the totals are those of the whole capture.
    pub is_whole: bool,
}

/// Event that may have followed from the failure of another connection.
#[derive(Clone, Copy, Debug)]
pub struct Followed {
    /// Index of its item, if it has one.
    pub item: Option<usize>,
    /// Frame of the event.
    pub frame: u32,
    /// Failure of the other connection.
    pub preceded: Preceded,
}

/// Result of reading a capture.
#[derive(Debug)]
pub struct Summary {
    /// Length of the capture in bytes, or the reason why it was not read to its end.
    pub read: Result<u64, Stopped>,
    /// Number of bytes that were read.
    pub position: u64,
    /// Totals of what was read.
    pub totals: Totals,
    /// Counts of RSTs by cause and sender, and of connections by their final state.
    pub tally: Tally,
}

/// Sort key of an item: its frame, 0 for a connection and 1 for an RST, and its connection. The frame is that of the RST,
/// or that during which the connection is reported.
type Order = (u32, u8, u32);

/// Item of an event, with its link to other failures.
struct Item<T> {
    /// `None` if the event has no row, but may have led to one that has, or is the end that a later row shows.
    item: Option<T>,
    link: Option<Box<Link>>,
}

/// Item of an event, with the frame during which it was reported.
type Reported<T> = (u32, Order, Item<T>);

/// Maximum number of items that wait for an RST of an earlier frame.
const MAX_HELD: usize = 1 << 14;

/// Observer that maps the events of one shard of the connections to items.
struct Mapper<'m, F, T> {
    map: &'m F,
    items: Vec<Reported<T>>,
    tally: Tally,
}

impl<F: Fn(Event<'_>) -> Option<T> + Sync, T: Send> Mapper<'_, F, T> {
    fn take(&mut self, connection: &Connection<'_>, event: Event<'_>) {
        let (at, number) = (connection.reported_at, connection.number());
        let order = match event {
            Event::Connection(_) | Event::Failed(_) => (at, 0, number),
            Event::Reset(_, reset) => (reset.reset.frame, 1, number),
            Event::Icmp(_, error) => (error.frame, 1, number),
        };
        let item = (self.map)(event);
        let link = match event {
            Event::Connection(connection) | Event::Failed(connection) => {
                Link::of_connection(connection)
            }
            Event::Reset(connection, reset) => Link::of_reset(connection, reset),
            Event::Icmp(connection, error) => Link::of_icmp(connection, error),
        };
        let link = link.map(Box::new);
        if item.is_some() || link.is_some() {
            self.items.push((at, order, Item { item, link }));
        }
    }

    fn error(&mut self, connection: &Connection<'_>, error: &IcmpRecord) {
        self.tally.icmp(error);
        self.take(connection, Event::Icmp(connection, error));
    }
}

impl<F: Fn(Event<'_>) -> Option<T> + Sync, T: Send> ConnectionObserver for Mapper<'_, F, T> {
    type Output = Vec<Reported<T>>;

    fn connection(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]) {
        self.tally.connection(connection);
        self.take(connection, Event::Connection(connection));
        self.resets(connection, resets);
    }

    fn resets(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]) {
        let mut errors = connection.errors.iter().peekable();
        for reset in resets {
            while let Some(error) = errors.next_if(|it| it.frame < reset.reset.frame) {
                self.error(connection, error);
            }
            self.tally.reset(connection, reset);
            self.take(connection, Event::Reset(connection, reset));
        }
        for error in errors {
            self.error(connection, error);
        }
    }

    fn failed(&mut self, connection: &Connection<'_>) {
        self.take(connection, Event::Failed(connection));
    }

    fn link(&mut self, frame: u32, link: Link) {
        let order = (frame, 1, link.connection());
        let link = Some(Box::new(link));
        self.items.push((frame, order, Item { item: None, link }));
    }

    fn take_output(&mut self) -> Self::Output {
        mem::take(&mut self.items)
    }
}

/// Sink that merges the items of all shards into the order of the capture. Items wait until no RST of an earlier frame can
/// follow.
struct InOrder<S, T> {
    sink: S,
    /// Waiting items. The last part of the key distinguishes items of the same order.
    held: BTreeMap<(Order, u64), Item<T>>,
    count: u64,
    recent: Recent,
}

impl<S, T> InOrder<S, T> {
    /// Hands an item over.
    fn pass(&mut self, item: Item<T>, items: &mut Vec<T>, followed: &mut Vec<Followed>) {
        let found = item.link.and_then(|link| self.recent.take(&link));
        if let Some((frame, preceded)) = found {
            followed.push(Followed {
                item: item.item.as_ref().map(|_| items.len()),
                frame,
                preceded,
            });
        }
        items.extend(item.item);
    }
}

impl<T: Send, S: FnMut(Part<'_, T>) -> ControlFlow<()> + Send> Sink<Vec<Reported<T>>>
    for InOrder<S, T>
{
    fn accept(
        &mut self,
        batches: Vec<Vec<Reported<T>>>,
        progress: &Progress<'_>,
    ) -> ControlFlow<()> {
        let mut reported: Vec<_> = batches.into_iter().flatten().collect();
        // Sorting makes the result independent of the number of threads. The sort is stable.
        reported.sort_by_key(|(at, order, _)| (*at, *order));
        let (mut items, mut followed) = (Vec::new(), Vec::new());
        // One after the other, so that the result does not depend on the length of a chunk either if too many wait.
        for (_, order, item) in reported {
            self.held.insert((order, self.count), item);
            self.count += 1;
            if self.held.len() > MAX_HELD
                && let Some((_, item)) = self.held.pop_first()
            {
                self.pass(item, &mut items, &mut followed);
            }
        }
        while let Some(first) = self.held.first_entry()
            && first.key().0.0 <= progress.through
        {
            let item = first.remove();
            self.pass(item, &mut items, &mut followed);
        }
        (self.sink)(Part {
            items,
            followed,
            position: progress.position,
            totals: progress.totals,
            is_whole: progress.through == u32::MAX,
        })
    }
}
