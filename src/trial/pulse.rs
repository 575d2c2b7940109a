//! Pulse: a thread that wakes up regularly, to detect pauses of this process.
//!
//! A stopped process, a paused machine and overloaded CPUs look the same from within: nothing happens, and then much
//! time has passed, in which kernel timers have expired or will all expire at once. The times of a script's own steps
//! show a pause only where the script hurries ([`rstproof_core::verdict::missed_window`]), not while it waits for a
//! timer. The pulse covers all times.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use crate::lab::{self, Kept};

/// Interval between two beats.
const BEAT: Duration = Duration::from_millis(50);

/// Minimum delay of a beat that counts as a pause: shorter ones do not affect trials.
const PAUSE: Duration = Duration::from_millis(100);

/// Maximum number of pauses that are kept; the longest trials take some ten seconds.
const MAX_PAUSES: usize = 256;

/// Handle of the thread that detects pauses; dropping it ends the thread.
#[derive(Debug)]
pub struct Pulse {
    _ends_thread: Sender<()>,
    beats: Beats,
}

/// Record of pauses, shared with the threads that run trials.
#[derive(Clone, Debug)]
pub struct Beats(Arc<Mutex<Noticed>>);

#[derive(Debug)]
struct Noticed {
    /// End and length of each pause.
    pauses: VecDeque<(Instant, Duration)>,
    /// Time of the latest beat.
    latest: Instant,
}

impl Pulse {
    /// Starts the thread, which keeps only these privileges. Returns `None` if no thread can be started: pauses are
    /// not detected then.
    #[must_use]
    pub fn start(kept: Kept) -> Option<Self> {
        let beats = Beats(Arc::new(Mutex::new(Noticed {
            pauses: VecDeque::new(),
            latest: Instant::now(),
        })));
        let (sender, ended) = channel();
        let noticed = beats.clone();
        let beat = move || {
            // Signals are for the main thread.
            let _ = SigSet::all().thread_block();
            let _ = lab::drop_privileges(kept);
            noticed.note(Instant::now());
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                noticed.note(Instant::now());
            }
        };
        thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(beat)
            .ok()?;
        Some(Self {
            _ends_thread: sender,
            beats,
        })
    }

    /// Returns the record of pauses, for a thread that runs trials.
    #[must_use]
    pub fn beats(&self) -> Beats {
        self.beats.clone()
    }
}

impl Beats {
    fn note(&self, now: Instant) {
        let mut noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let late = now.duration_since(noticed.latest).saturating_sub(BEAT);
        noticed.latest = now;
        if late >= PAUSE {
            if noticed.pauses.len() == MAX_PAUSES {
                noticed.pauses.pop_front();
            }
            noticed.pauses.push_back((now, late));
        }
    }

    /// Returns the longest pause that ended after `began` or has not ended yet; zero if there was none.
    #[must_use]
    pub fn longest_since(&self, began: Instant) -> Duration {
        let noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // After a pause, the calling thread may run again before the pulse does.
        let late = noticed.latest.elapsed().saturating_sub(BEAT);
        let under_way = (late >= PAUSE).then_some(late);
        let ended = noticed.pauses.iter().filter(|(ended, _)| *ended >= began);
        let lengths = ended.map(|(_, length)| *length);
        lengths.chain(under_way).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats() -> (Beats, Instant) {
        let now = Instant::now();
        let noticed = Noticed {
            pauses: VecDeque::new(),
            latest: now,
        };
        (Beats(Arc::new(Mutex::new(noticed))), now)
    }

    #[test]
    fn a_beat_that_comes_much_too_late_is_a_pause_and_one_a_little_late_is_none() {
        let (beats, began) = beats();
        let mut at = began;
        for late in [0, 99, 20] {
            at += BEAT + Duration::from_millis(late);
            beats.note(at);
        }
        assert_eq!(beats.longest_since(began), Duration::ZERO);
        for late in [100, 4_000, 300] {
            at += BEAT + Duration::from_millis(late);
            beats.note(at);
        }
        assert_eq!(beats.longest_since(began), Duration::from_secs(4));
        // A pause that ended before a trial began does not affect it.
        assert_eq!(beats.longest_since(at), Duration::from_millis(300));
        assert_eq!(beats.longest_since(at + BEAT), Duration::ZERO);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let (beats, mut at) = beats();
        for _ in 0..2 * MAX_PAUSES {
            at += BEAT + PAUSE;
            beats.note(at);
        }
        let noticed = beats.0.lock().unwrap();
        assert_eq!(noticed.pauses.len(), MAX_PAUSES);
    }

    #[test]
    fn its_thread_ends_with_it() {
        let pulse = Pulse::start(Kept::default()).unwrap();
        let beats = pulse.beats();
        drop(pulse);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Arc::strong_count(&beats.0) > 1 && Instant::now() < deadline {
            thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&beats.0), 1);
    }
}
