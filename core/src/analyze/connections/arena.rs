//! Storage of connections under way, and the timers that end them. Entries do not move, so the table can look one up
//! while it fetches the next from memory.

use std::collections::VecDeque;

use crate::time::Timestamp;

/// Arena of connections. Slots keep their address when the arena grows.
pub(super) struct Arena<T>(Vec<Box<[Option<T>]>>);

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Arena<T> {
    /// Number of slots that are allocated together.
    const SLOTS_PER_BLOCK: usize = 256;

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.slot(index)?.as_ref()
    }

    /// Returns a slot without a check whether it is in use: a check would wait for memory.
    pub(super) fn slot(&self, index: u32) -> Option<&Option<T>> {
        let index = index as usize;
        Some(&self.0.get(index / Self::SLOTS_PER_BLOCK)?[index % Self::SLOTS_PER_BLOCK])
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let index = index as usize;
        self.0.get_mut(index / Self::SLOTS_PER_BLOCK)?[index % Self::SLOTS_PER_BLOCK].as_mut()
    }

    /// Fills a slot with an entry, or frees it.
    pub(super) fn set(&mut self, index: u32, entry: Option<T>) {
        let index = index as usize;
        if let Some(part) = self.0.get_mut(index / Self::SLOTS_PER_BLOCK) {
            part[index % Self::SLOTS_PER_BLOCK] = entry;
        }
    }

    /// Frees a slot and returns its entry.
    pub(super) fn take(&mut self, index: u32) -> Option<T> {
        let index = index as usize;
        self.0.get_mut(index / Self::SLOTS_PER_BLOCK)?[index % Self::SLOTS_PER_BLOCK].take()
    }

    /// Allocates more slots and returns their indexes.
    pub(super) fn grow(&mut self) -> std::ops::Range<u32> {
        let first = self.len();
        let part: Vec<Option<T>> = (0..Self::SLOTS_PER_BLOCK).map(|_| None).collect();
        self.0.push(part.into_boxed_slice());
        first..self.len()
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.0.len() * Self::SLOTS_PER_BLOCK).unwrap_or(u32::MAX)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.len()).filter_map(|index| Some((index, self.get(index)?)))
    }
}

/// Timer wheel with one bucket a second. An entry holds a slot and a generation.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    /// Second that the first bucket belongs to.
    pub(super) first: Option<i64>,
    pub(super) buckets: VecDeque<Vec<(u32, u32)>>,
    /// Number of entries, including stale ones.
    pub(super) count: usize,
}

pub(super) const NS_PER_SEC: i64 = 1_000_000_000;

/// Number of segments that are looked up together.
pub(super) const LOOKUP_GROUP: usize = 16;

/// Number of stale entries in the wheel that is tolerated before they are removed.
pub(super) const MAX_STALE_TIMERS: usize = 1 << 16;

/// Maximum delay of a timer in seconds, above the longest time-out of [`Zeek`]. Later timers are due then, and are set
/// again.
pub(super) const MAX_TIMER_DELAY_SECS: i64 = 3_700;

impl Wheel {
    pub(super) fn add(&mut self, at: Timestamp, now: Timestamp, what: (u32, u32)) {
        let first = *self.first.get_or_insert(now.0.div_euclid(NS_PER_SEC));
        let second =
            at.0.div_euclid(NS_PER_SEC)
                .saturating_add(1)
                .saturating_sub(first);
        let index = usize::try_from(second.clamp(0, MAX_TIMER_DELAY_SECS)).unwrap_or(0);
        if self.buckets.len() <= index {
            self.buckets.resize_with(index + 1, Vec::new);
        }
        self.buckets[index].push(what);
        self.count += 1;
    }

    /// Removes all entries except those that are up to date.
    pub(super) fn retain(&mut self, is_up_to_date: impl Fn(&(u32, u32)) -> bool) {
        self.count = 0;
        for bucket in &mut self.buckets {
            bucket.retain(&is_up_to_date);
            self.count += bucket.len();
        }
    }

    /// Returns the next bucket that is due by now; `None` if no bucket is due.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Vec<(u32, u32)>> {
        let first = self.first.as_mut()?;
        let second = now.0.div_euclid(NS_PER_SEC);
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
