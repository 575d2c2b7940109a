//! A thread that does nothing but wake up, to notice when this process does not run.
//!
//! A process that is stopped, a machine that is paused and CPUs that are overloaded all look the same from within: nothing happens,
//! and then much time has passed, in which the kernel's timers have run or will all run at once. The times of a script's own steps
//! show that where it hurries ([`rstproof_core::verdict::missed_window`]), and not while it waits for a timer. So something is to
//! happen all the time.

use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use crate::lab::{self, Kept};

/// Between two beats.
const BEAT: Duration = Duration::from_millis(50);

/// A beat that is late by less is no pause: trials do not mind.
const PAUSE: Duration = Duration::from_millis(100);

/// Pauses that are remembered; the longest trials take some ten seconds.
const MAX_PAUSES: usize = 256;

/// Notices pauses as long as it is there.
#[derive(Debug)]
pub struct Pulse {
    _ends_thread: Sender<()>,
    beats: Beats,
}

/// What was noticed; for those that run trials.
#[derive(Clone, Debug)]
pub struct Beats(Arc<Mutex<Noticed>>);

#[derive(Debug)]
struct Noticed {
    /// When each pause ended, and how long it was.
    pauses: VecDeque<(Instant, Duration)>,
    /// When the latest beat was.
    latest: Instant,
}

impl Pulse {
    /// Starts the thread, which keeps no other rights than these. `None` if there can be no more threads: then pauses are not
    /// noticed here.
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

    /// For a thread that runs trials.
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

    /// The longest pause that has not ended before this; zero if there was none.
    #[must_use]
    pub fn longest_since(&self, began: Instant) -> Duration {
        let noticed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever asks may run again before the beat does.
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
        // What has ended before a trial began is of no concern to it.
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
