//! Live captures: reports RSTs and failures while their connections go on, because nobody wants to wait for the end of them.
//!
//! The clock of the host decides when an RST has been held long enough, the times in the capture decide what silence means. A
//! capture that is only copied through a pipe is read much faster than it was recorded: its RSTs are held like those of a file, so
//! that they are explained with everything that follows.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::failure::{Failure, FailureKind};
use super::{Connection, ConnectionObserver, DORMANT, LIGHT, NS_PER_SEC, Table};
use crate::time::Timestamp;

/// Time for which an RST is held after it has been read. What its sender sends in that time is evidence about it: on most paths
/// a reply takes less.
const HOLD: Duration = Duration::from_millis(400);

/// Maximum time by which a live capture may gain on the clock: segments arrive in bursts.
const MAX_GAIN: Duration = Duration::from_millis(250);

/// Minimum time between two checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(50);

/// Time between two searches for failures, and the number of connections for which it is as much longer: the search visits all.
const SEARCH_INTERVAL: Duration = Duration::from_millis(300);
const CONNECTIONS_PER_INTERVAL: usize = 1 << 17;

/// Silence of a connection, in nanoseconds, after a FIN in place of an answer: segments that overtake each other are less apart.
const MIN_SILENCE_NS: i64 = NS_PER_SEC / 4;

/// Silence of a connection, in nanoseconds, after a segment that was sent again in vain: almost every reply takes less.
const MIN_SILENCE_AFTER_REPEAT_NS: i64 = NS_PER_SEC * 9 / 10;

/// State of a live capture after a read.
#[derive(Clone, Copy, Debug)]
pub(in crate::analyze) struct Tick {
    /// Last frame that was read.
    pub(in crate::analyze) frame: u32,
    /// Time of the latest segment of all tables.
    pub(in crate::analyze) latest: Timestamp,
    /// Time since reading began.
    pub(in crate::analyze) elapsed: Duration,
    /// Time since the last bytes arrived.
    pub(in crate::analyze) silent: Duration,
}

/// Progress of the reading of a live capture.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Earlier ticks, oldest first. They are less than [`HOLD`] old.
    checkpoints: VecDeque<Tick>,
    /// Time of the next search for failures.
    next_search: Duration,
}

impl Live {
    /// Takes in a tick. Returns the frame up to which RSTs have been held long enough, if that is known.
    fn held_through(&mut self, tick: &Tick) -> Option<u32> {
        let is_old = |it: &Tick| tick.elapsed.saturating_sub(it.elapsed) >= HOLD;
        let mut held = None;
        while self.checkpoints.front().is_some_and(is_old) {
            held = self.checkpoints.pop_front();
        }
        let is_due = |it: &Tick| tick.elapsed.saturating_sub(it.elapsed) >= CHECKPOINT_INTERVAL;
        if self.checkpoints.back().is_none_or(is_due) {
            self.checkpoints.push_back(*tick);
        }
        // A silent pipe has nothing more to say about any of them for now.
        if tick.silent >= HOLD {
            return Some(tick.frame);
        }
        held.filter(|it| it.keeps_pace(tick)).map(|it| it.frame)
    }
}

impl Tick {
    /// Returns true if the capture was not read faster than it was recorded, from this tick to a later one.
    fn keeps_pace(&self, later: &Self) -> bool {
        let passed = later.elapsed.saturating_sub(self.elapsed) + MAX_GAIN;
        let passed = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        later.latest.since(self.latest) <= passed
    }

    /// Returns the time that it is in the capture now.
    fn now(&self) -> Timestamp {
        let silent = i64::try_from(self.silent.as_nanos()).unwrap_or(i64::MAX);
        Timestamp(self.latest.0.saturating_add(silent))
    }
}

impl<L: ConnectionObserver> Table<L> {
    /// Reports the RSTs of a live capture that have been held long enough, and the connections that have failed by now.
    pub(in crate::analyze) fn report_live(&mut self, tick: &Tick) {
        let live = self.live.get_or_insert_default();
        let Some(through) = live.held_through(tick) else {
            return;
        };
        let is_searched = live.next_search <= tick.elapsed;
        if is_searched {
            let intervals = 1 + (self.open + self.asleep) / CONNECTIONS_PER_INTERVAL;
            let pause = SEARCH_INTERVAL * u32::try_from(intervals).unwrap_or(u32::MAX);
            live.next_search = tick.elapsed.saturating_add(pause);
        }
        // Before the failures: an RST explains why its connection is silent.
        self.report_held_since(through, |_| tick.frame);
        if is_searched {
            self.report_failures(tick.frame, tick.now());
        }
    }

    /// Reports the connections that have failed by this time without an RST or an ICMP error, each once.
    fn report_failures(&mut self, frame: u32, now: Timestamp) {
        let is_silent = |last: Timestamp| now.since(last) >= MIN_SILENCE_NS;
        let open = self.entries.all();
        let open = open.filter(|(_, entry)| {
            is_silent(entry.last)
                && entry.may_fail_unreported()
                && shows(entry.failure(now).as_ref(), now.since(entry.last))
        });
        let lights = self.lights.all();
        let lights = lights.filter(|(_, light)| {
            is_silent(light.last)
                && light.may_have_stopped()
                && shows(light.expand().failure(now).as_ref(), now.since(light.last))
        });
        let dormant = self.dormant.all();
        let dormant =
            dormant.filter(|(_, it)| it.may_fail_unreported() && it.failure(now).is_some());
        let mut failed: Vec<(u32, u32)> = open
            .map(|(index, entry)| (entry.span.0, index))
            .chain(lights.map(|(index, it)| (it.first_frame, index | LIGHT)))
            .chain(dormant.map(|(index, it)| (it.number(), index | DORMANT)))
            .collect();
        // By their first frames, so that the order does not depend on the slots.
        failed.sort_unstable();
        for (_, index) in failed {
            self.report_failure(index, frame, now);
        }
    }

    fn report_failure(&mut self, index: u32, frame: u32, now: Timestamp) {
        if index & DORMANT != 0 {
            let Some(dormant) = self.dormant.get_mut(index & !DORMANT) else {
                return;
            };
            dormant.note_reported();
            let failure = dormant.failure(now);
            let connection = Connection {
                failure,
                ..dormant.report(frame)
            };
            self.observer.failed(&connection);
            return;
        }
        // That it was reported is known of full states alone.
        let index = self.awake(index);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        entry.rare().outcome.was_reported = true;
        let failure = entry.failure(now);
        let connection = Connection {
            failure,
            ..entry.report(frame)
        };
        self.observer.failed(&connection);
    }
}

/// Returns true if this silence, in nanoseconds, suffices for the failure.
fn shows(failure: Option<&Failure>, silence: i64) -> bool {
    let Some(failure) = failure else { return false };
    failure.kind == FailureKind::ClosedBeforeResponse || silence >= MIN_SILENCE_AFTER_REPEAT_NS
}
