//! Dormant connections: they have ended, or have been silent for long. A connection lasts until a SYN replaces it, so it
//! is kept, but shrinks to a few bytes. It gets its full state back when it continues.

use super::super::decode::FlowKey;
use super::super::exchange::Exchange;
use super::super::failure::{Attempt, Failure, Stop};
use super::super::forgery::{ProfileSummary, ReplySummary, SenderProfile, Timing};
use super::super::history::HistorySummary;
use super::super::last_words::WordCache;
use super::super::stack::Stack;
use super::super::zeek::{Zeek, ZeekSummary};
use super::copies::Latest;
use super::entry::Renewed;
use super::failing::{Outcome, without_reply};
use super::light::Light;
use super::nat::Nat;
use super::points::{PointList, Points};
use super::words::{Words, words_of};
use super::{CaptureGaps, Connection, ConnectionHistory, Entry, FrameComment, Rare};
use crate::flow::{Flow, FlowSummary};
use crate::packet::Header;
use crate::packet::link::Process;
use crate::time::Timestamp;
use crate::transcript::{PerEnd, Role};

/// State that explains the next packet of a dormant connection: numbers and state of each end, its last frame, TTL, IP ID and
/// shortest reply.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Summary {
    flow: FlowSummary,
    profiles: [ProfileSummary; 2],
    replies: ReplySummary,
    /// Capture point of each end's first packet, as a number in the list of the table.
    points: [u8; 2],
    history: HistorySummary,
    stacks: [Option<Stack>; 2],
    flags: u8,
}

// A capture may have a million dormant connections.
const _: () = assert!(size_of::<Summary>() <= 96);

impl Summary {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

// Bits of `Summary::flags`.
const FIRST: u8 = 1;
const CLIENT: u8 = 1 << 1;
const HAS_SENT: [u8; 2] = [1 << 2, 1 << 3];
const BEGINS_MIDSTREAM: u8 = 1 << 4;
const DOUBLED: u8 = 1 << 5;
/// Shift of the number of segments that show a gap.
const UNSEEN: u32 = 6;
const _: () = assert!(CaptureGaps::MOST_UNSEEN == 3);

/// Dormant connection: its summary, and what its row in the output needs.
#[derive(Debug)]
pub(super) struct Dormant {
    ends: FlowKey,
    summary: Summary,
    zeek: ZeekSummary,
    last: Timestamp,
    idle: i64,
    more: Option<Box<More>>,
    span: (u32, u32),
    hash: u32,
    /// Number that distinguishes this connection from others that were dormant in the same slot before.
    pub(super) generation: u32,
}

const _: () = assert!(size_of::<Dormant>() <= 232);

/// Fields that most connections do not need.
#[derive(Debug, Default)]
struct More {
    frames: Box<[u32]>,
    reset_hashes: Box<[u32]>,
    resets: u64,
    depends_from: u32,
    lost: Option<u32>,
    points: Points,
    error_count: u64,
    processes: [Option<Process>; 2],
    comments: Vec<FrameComment>,
    renewed: Option<Box<Renewed>>,
    forged: PerEnd<Option<u32>>,
    nat: Option<Box<Nat>>,
    /// Latest RST of the client and of the server that was not accepted.
    previous: [Option<Box<Header>>; 2],
    outcome: Outcome,
    /// State in which the connection has stopped, unless its SYN got no reply: many of those may be scans.
    stop: Option<Stop>,
    words: Option<Box<Words>>,
}

impl Dormant {
    /// Shrinks a connection whose RSTs have been reported. Takes what the entry owns; moving all of it would take longer
    /// than the rest.
    pub(super) fn of(
        entry: &mut Entry,
        generation: u32,
        points: &mut PointList,
        words: &WordCache,
    ) -> Self {
        let zeek = entry.zeek_summary();
        let stop = entry.stop().filter(|stop| !stop.is_without_reply());
        let summary = Summary {
            flow: entry.flow.summary(),
            profiles: entry.profiles.each_ref().map(SenderProfile::summary),
            replies: entry.timing.summary(),
            points: entry
                .profiles
                .each_ref()
                .map(|it| points.number(it.point())),
            history: entry.history.summary(),
            stacks: entry.stacks,
            flags: [
                (entry.first == 1, FIRST),
                (entry.client == 1, CLIENT),
                (entry.has_sent[0], HAS_SENT[0]),
                (entry.has_sent[1], HAS_SENT[1]),
                (entry.gaps.begins_midstream, BEGINS_MIDSTREAM),
                (entry.gaps.doubled, DOUBLED),
            ]
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .fold(entry.gaps.unseen << UNSEEN, |flags, (_, bit)| flags | bit),
        };
        let previous = entry.history.take_previous();
        let rare = entry.rare.take().map(|it| *it).unwrap_or_default();
        // Until the capture ends, they may have left the cache.
        let noted = (stop.is_some() && rare.words.is_none()).then(|| words_of(words, entry.span.0));
        let stop = stop.or(rare.stop);
        let needs_more = entry.resets > 0
            || entry.depends_from != entry.span.0
            || entry.gaps.lost.is_some()
            || rare.points != Points::default()
            || rare.renewed.is_some()
            || rare.nat.is_some()
            || rare.error_count > 0
            || rare.outcome != Outcome::default()
            || stop.is_some()
            || rare.processes.iter().any(Option::is_some)
            || !rare.comments.is_empty()
            || previous.iter().any(Option::is_some);
        Self {
            ends: entry.ends,
            summary,
            zeek,
            last: entry.last,
            idle: entry.idle,
            more: needs_more.then(|| {
                Box::new(More {
                    frames: rare.frames.into(),
                    reset_hashes: rare.reset_hashes.into(),
                    resets: entry.resets,
                    depends_from: entry.depends_from,
                    lost: entry.gaps.lost,
                    points: rare.points,
                    error_count: rare.error_count,
                    processes: rare.processes,
                    comments: rare.comments,
                    renewed: rare.renewed,
                    forged: rare.forged,
                    nat: rare.nat,
                    previous,
                    outcome: rare.outcome,
                    stop,
                    words: rare.words.or(noted.flatten()),
                })
            }),
            span: entry.span,
            hash: entry.hash,
            generation,
        }
    }

    /// Shrinks a connection with a light state, unless it [may have stopped](Light::may_have_stopped): then there is more to keep than a
    /// summary.
    pub(super) fn of_light(light: &Light, generation: u32, points: &mut PointList) -> Option<Self> {
        if light.may_have_stopped() {
            return None;
        }
        let profiles = light.profiles();
        let client = light.client();
        let of_client = if client == 1 { FIRST | CLIENT } else { 0 };
        Some(Self {
            ends: light.ends,
            summary: Summary {
                flow: light.flow().summary(),
                profiles: profiles.map(SenderProfile::summary),
                replies: light.timing().summary(),
                points: profiles.map(|it| points.number(it.point())),
                history: light.history().summary(),
                stacks: light.stacks(),
                // Both ends have sent, and nothing is missing.
                flags: of_client | HAS_SENT[0] | HAS_SENT[1],
            },
            zeek: light.zeek().summary(client),
            last: light.last,
            idle: light.idle(),
            more: None,
            span: light.span(),
            hash: light.hash,
            generation,
        })
    }

    pub(super) fn ends(&self) -> &FlowKey {
        &self.ends
    }

    pub(super) fn hash(&self) -> u32 {
        self.hash
    }

    /// Returns the number of the connection: that of its first frame.
    pub(super) fn number(&self) -> u32 {
        self.span.0
    }

    /// Returns the connection as it is reported during frame `at`.
    pub(super) fn report(&self, at: u32) -> Connection<'_> {
        let more = self.more.as_deref();
        let [client, server] = HAS_SENT.map(|bit| self.summary.has(bit));
        Connection {
            reported_at: at,
            ends: self.ends,
            client: usize::from(self.summary.has(CLIENT)),
            span: self.span,
            depends_from: more.map_or(self.span.0, |it| it.depends_from),
            zeek: self.zeek.clone(),
            resets: more.map_or(0, |it| it.resets),
            frames: more.map_or(&[], |it| &it.frames),
            gaps: CaptureGaps {
                one_sided: !(client && server),
                ..self.gaps()
            },
            stacks: self.summary.stacks,
            idle: self.idle,
            // Errors were reported before the connection became dormant.
            errors: &[],
            error_count: more.map_or(0, |it| it.error_count),
            processes: more.map_or([None; 2], |it| it.processes),
            comments: more.map_or(&[], |it| &it.comments),
            translations: (more.and_then(|it| it.nat.as_deref())).map_or(&[], Nat::translations),
            failure: None,
            was_failure_reported: more.is_some_and(|it| it.outcome.was_reported),
            repeated: None,
            words: self.words(),
        }
    }

    /// Returns the failure of the connection, given the time at which the capture ends or another connection begins.
    pub(super) fn failure(&self, ended: Timestamp) -> Option<Failure> {
        let none = Outcome::default();
        let outcome = self.more.as_ref().map_or(&none, |more| &more.outcome);
        let stop = self.more.as_ref().and_then(|more| more.stop.as_ref());
        let count = self.summary.history.syns_without_reply();
        let unanswered = count
            .filter(|_| stop.is_none() && !self.gaps().begins_midstream)
            .map(|count| {
                let times = (self.zeek.began(), self.last);
                without_reply(
                    Attempt::Connect,
                    self.span.0,
                    count,
                    times,
                    outcome.soft(Role::Client),
                )
            });
        outcome.failure(stop.or(unanswered.as_ref()), ended)
    }

    /// Returns true if no failure of the connection was reported.
    pub(super) fn may_fail_unreported(&self) -> bool {
        let outcome = self.more.as_ref().map(|more| &more.outcome);
        outcome.is_none_or(Outcome::is_open)
    }

    /// Notes that the failure of the connection is reported.
    pub(super) fn note_reported(&mut self) {
        let more = self.more.get_or_insert_with(|| {
            Box::new(More {
                depends_from: self.span.0,
                ..More::default()
            })
        });
        more.outcome.was_reported = true;
    }

    /// Returns the last messages that were kept.
    pub(super) fn words(&self) -> Option<&Words> {
        self.more.as_ref()?.words.as_deref()
    }

    fn gaps(&self) -> CaptureGaps {
        CaptureGaps {
            begins_midstream: self.summary.has(BEGINS_MIDSTREAM),
            doubled: self.summary.has(DOUBLED),
            unseen: self.summary.flags >> UNSEEN,
            lost: self.more.as_ref().and_then(|it| it.lost),
            ..CaptureGaps::default()
        }
    }

    /// Returns the connection with its full state. Its record of Zeek is over.
    pub(super) fn wake(self, points: &PointList) -> Entry {
        let kept = self.summary;
        let gaps = self.gaps();
        let has = |bit: u8| kept.has(bit);
        let frames = kept.flow.last_frames();
        let mut history = ConnectionHistory::restored(kept.history, frames, self.last);
        let mut rare = Rare {
            earlier: Some(Box::new(self.zeek)),
            ..Rare::default()
        };
        let (mut resets, mut depends_from) = (0, self.span.0);
        if let Some(more) = self.more {
            (resets, depends_from) = (more.resets, more.depends_from);
            rare.frames = more.frames.into();
            rare.reset_hashes = more.reset_hashes.into();
            rare.points = more.points;
            (rare.error_count, rare.processes) = (more.error_count, more.processes);
            rare.comments = more.comments;
            rare.renewed = more.renewed;
            rare.forged = more.forged;
            rare.nat = more.nat;
            history.set_previous(more.previous);
            (rare.outcome, rare.stop) = (more.outcome, more.stop);
            rare.words = more.words;
        }
        Entry {
            stacks: kept.stacks,
            // Times of single packets are over: another packet begins new ones.
            timing: Timing::restored(kept.replies),
            exchange: Exchange::default(),
            ends: self.ends,
            hash: self.hash,
            first: u8::from(has(FIRST)),
            client: u8::from(has(CLIENT)),
            has_sent: HAS_SENT.map(has),
            is_self_connection: self.ends.is_self_connection(),
            span: self.span,
            rare: Some(Box::new(rare)),
            flow: Flow::restored(&kept.flow),
            zeek: Zeek::new(&Header::default(), 0, [0, 0]),
            is_record_over: true,
            profiles: [0, 1].map(|end: usize| {
                SenderProfile::restored(kept.profiles[end], points.point(kept.points[end]))
            }),
            last: self.last,
            idle: self.idle,
            history,
            gaps,
            depends_from,
            resets,
            latest: Latest::default(),
            generation: 0,
            due: Timestamp(i64::MAX),
        }
    }
}
