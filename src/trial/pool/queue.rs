//! Queue of trials that workers take from.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rstproof_core::scenario::{Family, Scenario};

/// Queue of trials, taken in order.
pub(super) struct Queue {
    pairs: Vec<(&'static Scenario, Family)>,
    repeat: u32,
    next: AtomicU64,
    /// Number of trials that a worker takes at a time.
    chunk: u64,
    /// Number of workers that take from the queue, or may still start to.
    workers: AtomicUsize,
}

impl Queue {
    pub(super) fn new(pairs: Vec<(&'static Scenario, Family)>, repeat: u32, chunk: u64) -> Self {
        let next = AtomicU64::new(0);
        Self {
            pairs,
            repeat,
            next,
            chunk,
            workers: AtomicUsize::new(0),
        }
    }

    /// Unregisters a worker. Returns true if it was the last one of this queue.
    ///
    /// Sequentially consistent, as is [`has_workers`](Self::has_workers): the last workers of two queues may leave at
    /// the same time, each unregisters from its own queue and then asks the other one, and at least one of them must
    /// see that nobody is left. With weaker orderings both could read the other counter as it was before.
    pub(super) fn is_left_by_last(&self) -> bool {
        self.workers.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Returns true if workers take from the queue, or may still start to.
    pub(super) fn has_workers(&self) -> bool {
        self.workers.load(Ordering::SeqCst) > 0
    }

    /// Registers the workers of this queue, before they start.
    pub(super) fn register(&self, workers: usize) {
        self.workers.store(workers, Ordering::SeqCst);
    }

    pub(super) fn trials(&self) -> u64 {
        self.pairs.len() as u64 * u64::from(self.repeat)
    }

    /// Takes the indices of the next trials; `None` if all are taken.
    pub(super) fn take(&self) -> Option<Range<u64>> {
        // Relaxed: the index is all that workers share through it.
        let first = self.next.fetch_add(self.chunk, Ordering::Relaxed);
        let end = (first + self.chunk).min(self.trials());
        (first < end).then_some(first..end)
    }

    /// Returns the trial with this index and its repetition, from 1: all repetitions of a pair follow each other.
    pub(super) fn trial(&self, index: u64) -> Option<(&'static Scenario, Family, u32)> {
        let run = u32::try_from(index % u64::from(self.repeat)).ok()? + 1;
        let pair = usize::try_from(index / u64::from(self.repeat)).ok()?;
        let (scenario, family) = self.pairs.get(pair)?;
        Some((scenario, *family, run))
    }
}
