//! Index of a table: the slot of each connection, by the hash of its ends.

use super::super::decode::spread;
use crate::prefetch::prefetch;

/// Index with linear probing. A table may hold a quarter of a million connections, so nearly each look-up waits for memory:
/// hash and slot share a cache line, and callers prefetch it.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Hash of the ends, and slot; at least half of the places are empty. Their number is a power of two.
    places: Vec<(u32, u32)>,
    count: usize,
}

/// Slot in an empty place.
const EMPTY: u32 = u32::MAX;

/// Number of places of the smallest index that is not empty.
const MIN_PLACES: usize = 64;

impl Index {
    /// Prefetches the place of a hash.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        if let Some(place) = self.places.get(self.home(hash)) {
            prefetch(place);
        }
    }

    /// Returns the first slot with this hash that is the wanted one.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let place = self.place(hash, is_it)?;
        Some(self.places.get(place)?.1)
    }

    /// Adds a slot.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        if 2 * (self.count + 1) > self.places.len() {
            self.grow();
        }
        self.count += 1;
        self.put(hash, slot);
    }

    /// Replaces a slot by another one.
    pub(super) fn replace(&mut self, hash: u32, from: u32, to: u32) {
        if let Some(place) = self.place(hash, |it| it == from) {
            self.places[place].1 = to;
        }
    }

    /// Removes a slot.
    pub(super) fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mut hole) = self.place(hash, |it| it == slot) else {
            return;
        };
        self.count -= 1;
        let mask = self.places.len() - 1;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let (hash, slot) = self.places[next];
            if slot == EMPTY {
                break;
            }
            // An entry moves into the hole, unless its own place lies behind the hole.
            let distance = next.wrapping_sub(self.home(hash)) & mask;
            if distance >= next.wrapping_sub(hole) & mask {
                self.places[hole] = (hash, slot);
                hole = next;
            }
        }
        self.places[hole] = (0, EMPTY);
    }

    #[inline]
    fn place(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut place = self.home(hash);
        loop {
            // An index without places has nothing.
            let (other, slot) = *self.places.get(place)?;
            if slot == EMPTY {
                return None;
            }
            if other == hash && is_it(slot) {
                return Some(place);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
    }

    /// Returns the place where the search for a hash begins.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the upper bits are the best mixed, and enough for any index
    fn home(&self, hash: u32) -> usize {
        (spread(hash.into()) >> 32) as usize & self.places.len().wrapping_sub(1)
    }

    fn put(&mut self, hash: u32, slot: u32) {
        let mut place = self.home(hash);
        while self.places[place].1 != EMPTY {
            place = (place + 1) & (self.places.len() - 1);
        }
        self.places[place] = (hash, slot);
    }

    fn grow(&mut self) {
        let count = (2 * self.places.len()).max(MIN_PLACES);
        let old = std::mem::replace(&mut self.places, vec![(0, EMPTY); count]);
        for (hash, slot) in old.into_iter().filter(|it| it.1 != EMPTY) {
            self.put(hash, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A set is the model. Few hashes, so that entries with one hash and with neighbouring places are common.
    #[test]
    fn it_holds_what_was_added_and_not_removed() {
        let mut index = Index::default();
        let mut model: BTreeSet<(u32, u32)> = BTreeSet::new();
        let mut number = 1_u32;
        for step in 0..20_000 {
            // Numerical Recipes' generator; its upper bits are the better ones.
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (hash, slot) = (number >> 16 & 63, number >> 24 & 7);
            match number >> 30 {
                0 => {
                    index.remove(hash, slot);
                    model.remove(&(hash, slot));
                }
                1 if !model.contains(&(hash, slot + 8)) && model.remove(&(hash, slot)) => {
                    index.replace(hash, slot, slot + 8);
                    model.insert((hash, slot + 8));
                }
                _ if model.insert((hash, slot)) => index.insert(hash, slot),
                _ => {}
            }
            assert_eq!(index.count, model.len(), "step {step}");
            for slot in 0..16 {
                let found = index.find(hash, |it| it == slot).is_some();
                assert_eq!(found, model.contains(&(hash, slot)), "step {step}");
            }
        }
        assert!(index.places.len() >= 2 * index.count);
    }
}
