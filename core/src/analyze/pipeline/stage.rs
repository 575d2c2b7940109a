//! Stage of the pipeline: lets the chunks through in the order of the file, whichever thread brings them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::lock;

/// Stage that chunks pass one by one, in the order of the file.
pub(super) struct OrderedStage<T> {
    turn: Mutex<StageState<T>>,
    next_turn: Condvar,
    /// Copy of the chunk number in `turn`, readable without the lock.
    turn_number: AtomicU64,
}

struct StageState<T> {
    /// Number of the chunk that may enter the stage next.
    chunk: u64,
    value: T,
}

impl<T> OrderedStage<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            turn: Mutex::new(StageState { chunk: 0, value }),
            next_turn: Condvar::new(),
            turn_number: AtomicU64::new(0),
        }
    }

    /// Runs a function once all earlier chunks have passed the stage, and then lets the next chunk in. Returns `None`
    /// if reading is over before that.
    pub(super) fn pass<R>(
        &self,
        chunk: u64,
        is_over: &AtomicBool,
        value: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        self.spin_until_turn(chunk, is_over);
        let mut turn = lock(&self.turn);
        while turn.chunk != chunk {
            if is_over.load(Ordering::Relaxed) {
                return None;
            }
            turn = self
                .next_turn
                .wait(turn)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let result = value(&mut turn.value);
        turn.chunk += 1;
        self.turn_number.store(turn.chunk, Ordering::Release);
        // Unlocks before waking, so that the woken thread does not block on the mutex. Each thread waits for another
        // chunk, so all are woken.
        drop(turn);
        self.next_turn.notify_all();
        Some(result)
    }

    /// Spins, then yields, until the stage is free for this chunk or a limit is reached.
    ///
    /// The wait is usually shorter than the time to wake a sleeping thread, so this is only an optimization:
    /// [`Self::pass`] sleeps if the turn has not come by then.
    fn spin_until_turn(&self, chunk: u64, is_over: &AtomicBool) {
        const SPINS: u32 = 1_000;
        const YIELDS: u32 = 100;
        for look in 0..SPINS + YIELDS {
            if self.turn_number.load(Ordering::Acquire) == chunk || is_over.load(Ordering::Relaxed)
            {
                return;
            }
            if look < SPINS {
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }

    pub(super) fn into_inner(self) -> T {
        let turn = self.turn.into_inner();
        turn.unwrap_or_else(PoisonError::into_inner).value
    }
}
