//! Stall watch: a thread that wakes up regularly, to detect stalls of this process.
//!
//! A stopped process, a paused machine and overloaded CPUs look the same from within: nothing happens, and then much
//! time has passed, in which kernel timers have expired or will all expire at once. The times of a script's own steps
//! show a stall only where the script hurries ([`rstproof_core::verdict::missed_window`]), not while it waits for a
//! timer. This thread covers all times.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use crate::lab::{self, RetainedPrivileges};

/// Interval between two wake-ups.
const TICK_INTERVAL: Duration = Duration::from_millis(50);

/// Minimum delay of a wake-up that counts as a stall: shorter ones do not affect trials.
const MIN_STALL: Duration = Duration::from_millis(100);

/// Maximum number of stalls that are kept; the longest trials take some ten seconds.
const MAX_STALLS: usize = 256;

/// Handle of the thread that detects stalls; dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct StallWatch {
    _ends_thread: Sender<()>,
    stalls: Stalls,
}

/// Record of stalls, shared with the threads that run trials.
#[derive(Clone, Debug)]
pub struct Stalls(Arc<Mutex<StallLog>>);

#[derive(Debug)]
struct StallLog {
    /// End and length of each stall.
    stalls: VecDeque<(Instant, Duration)>,
    /// Time of the latest wake-up.
    latest: Instant,
}

impl StallWatch {
    /// Starts the thread, which keeps only these privileges. Returns `None` if no thread can be started: stalls are
    /// not detected then.
    #[must_use]
    pub(crate) fn start(privileges: RetainedPrivileges) -> Option<Self> {
        let stalls = Stalls(Arc::new(Mutex::new(StallLog {
            stalls: VecDeque::new(),
            latest: Instant::now(),
        })));
        let (sender, ended) = channel();
        let log = stalls.clone();
        let watch = move || {
            // Signals are for the main thread.
            let _ = SigSet::all().thread_block();
            let _ = lab::drop_privileges(privileges);
            log.note(Instant::now());
            while ended.recv_timeout(TICK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                log.note(Instant::now());
            }
        };
        thread::Builder::new()
            .name("stall-watch".to_owned())
            .spawn(watch)
            .ok()?;
        Some(Self {
            _ends_thread: sender,
            stalls,
        })
    }

    /// Returns the record of stalls, for a thread that runs trials.
    #[must_use]
    pub(crate) fn stalls(&self) -> Stalls {
        self.stalls.clone()
    }
}

impl Stalls {
    fn note(&self, now: Instant) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let late = now.duration_since(log.latest).saturating_sub(TICK_INTERVAL);
        log.latest = now;
        if late >= MIN_STALL {
            if log.stalls.len() == MAX_STALLS {
                log.stalls.pop_front();
            }
            log.stalls.push_back((now, late));
        }
    }

    /// Returns the longest stall that ended after `began` or has not ended yet; zero if there was none.
    #[must_use]
    pub fn longest_since(&self, began: Instant) -> Duration {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // After a stall, the calling thread may run again before that thread does.
        let late = log.latest.elapsed().saturating_sub(TICK_INTERVAL);
        let under_way = (late >= MIN_STALL).then_some(late);
        let ended = log.stalls.iter().filter(|(ended, _)| *ended >= began);
        let lengths = ended.map(|(_, length)| *length);
        lengths.chain(under_way).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stalls() -> (Stalls, Instant) {
        let now = Instant::now();
        let log = StallLog {
            stalls: VecDeque::new(),
            latest: now,
        };
        (Stalls(Arc::new(Mutex::new(log))), now)
    }

    #[test]
    fn only_a_wake_up_that_comes_much_too_late_is_a_stall() {
        let (stalls, began) = stalls();
        let mut at = began;
        for late in [0, 99, 20] {
            at += TICK_INTERVAL + Duration::from_millis(late);
            stalls.note(at);
        }
        assert_eq!(stalls.longest_since(began), Duration::ZERO);
        for late in [100, 4_000, 300] {
            at += TICK_INTERVAL + Duration::from_millis(late);
            stalls.note(at);
        }
        assert_eq!(stalls.longest_since(began), Duration::from_secs(4));
        // A stall that ended before a trial began does not affect it.
        assert_eq!(stalls.longest_since(at), Duration::from_millis(300));
        assert_eq!(stalls.longest_since(at + TICK_INTERVAL), Duration::ZERO);
    }

    #[test]
    fn only_the_latest_stalls_are_kept() {
        let (stalls, mut at) = stalls();
        for _ in 0..2 * MAX_STALLS {
            at += TICK_INTERVAL + MIN_STALL;
            stalls.note(at);
        }
        let log = stalls.0.lock().unwrap();
        assert_eq!(log.stalls.len(), MAX_STALLS);
    }

    #[test]
    fn the_thread_ends_when_the_watch_is_dropped() {
        let watch = StallWatch::start(RetainedPrivileges::default()).unwrap();
        let stalls = watch.stalls();
        drop(watch);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Arc::strong_count(&stalls.0) > 1 && Instant::now() < deadline {
            thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&stalls.0), 1);
    }
}
