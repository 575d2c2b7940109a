//! Map of the entries that were added last.

use crate::prefetch::prefetch;

/// Map that holds the `MAX` entries that were added last; `MAX` is a power of two. Callers pass the hash of each key.
///
/// Every SYN adds and removes an entry, so the cost of both matters: the entries are a ring in the order of their addition,
/// in which the oldest is overwritten, and those of one bucket are chained by their places in it.
#[derive(Debug)]
pub(super) struct Recent<K, V, const MAX: usize> {
    ring: Vec<Slot<K, V>>,
    /// Place of the oldest entry once the ring is full.
    oldest: usize,
    /// Link to the newest entry of each bucket. Allocated with the first entry.
    newest: Vec<Link>,
}

/// Place in the ring plus one; 0 ends a chain. Zeros need no initialization by the allocator.
type Link = u32;

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    hash: u32,
    /// Link to the next older entry of the bucket.
    older: Link,
}

impl<K, V, const MAX: usize> Default for Recent<K, V, MAX> {
    fn default() -> Self {
        Self {
            ring: Vec::new(),
            oldest: 0,
            newest: Vec::new(),
        }
    }
}

impl<K: PartialEq, V, const MAX: usize> Recent<K, V, MAX> {
    /// Prefetches the bucket of a hash.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        if let Some(link) = self.newest.get(Self::bucket(hash)) {
            prefetch(link);
        }
    }

    /// Returns the value of the newest entry with this key.
    #[inline]
    pub(super) fn get(&self, hash: u32, key: &K) -> Option<&V> {
        let place = self.place(hash, key)?;
        self.ring.get(place).map(|slot| &slot.value)
    }

    /// Returns the value of the newest entry with this key.
    #[inline]
    pub(super) fn get_mut(&mut self, hash: u32, key: &K) -> Option<&mut V> {
        let place = self.place(hash, key)?;
        self.ring.get_mut(place).map(|slot| &mut slot.value)
    }

    /// Sets the value of a key. Only a key without an entry gets a new one, so a repeated key does not become younger.
    pub(super) fn set(&mut self, hash: u32, key: K, value: V) {
        match self.get_mut(hash, &key) {
            Some(old) => *old = value,
            None => self.push(hash, key, value),
        }
    }

    /// Adds an entry, which hides older ones with the same key.
    pub(super) fn push(&mut self, hash: u32, key: K, value: V) {
        if self.newest.is_empty() {
            self.newest = vec![0; Self::BUCKETS];
        }
        let bucket = Self::bucket(hash);
        let mut new = Slot {
            key,
            value,
            hash,
            older: 0,
        };
        if self.ring.len() < MAX {
            new.older = self.newest[bucket];
            self.ring.push(new);
            self.newest[bucket] = Link::try_from(self.ring.len()).unwrap_or(0);
            return;
        }
        let place = self.oldest;
        self.oldest = (place + 1) % MAX;
        let ahead = &self.ring[(place + Self::AHEAD) % MAX];
        prefetch(&self.newest[Self::bucket(ahead.hash)]);
        self.unlink(place);
        new.older = self.newest[bucket];
        self.ring[place] = new;
        self.newest[bucket] = Link::try_from(place + 1).unwrap_or(0);
    }

    /// Number of additions after which the bucket of the oldest entry has been prefetched.
    const AHEAD: usize = 4;

    /// Number of buckets. A chain of several entries would wait for memory once for each.
    const BUCKETS: usize = 4 * MAX;

    fn bucket(hash: u32) -> usize {
        hash as usize % Self::BUCKETS
    }

    fn place(&self, hash: u32, key: &K) -> Option<usize> {
        let mut link = *self.newest.get(Self::bucket(hash))?;
        while let Some(place) = (link as usize).checked_sub(1) {
            let slot = self.ring.get(place)?;
            if slot.hash == hash && slot.key == *key {
                return Some(place);
            }
            link = slot.older;
        }
        None
    }

    /// Removes the oldest entry, at this place, from its chain. It is the last one there.
    fn unlink(&mut self, place: usize) {
        let bucket = Self::bucket(self.ring[place].hash);
        let mut link = self.newest[bucket];
        if link as usize == place + 1 {
            self.newest[bucket] = 0;
            return;
        }
        while let Some(at) = (link as usize).checked_sub(1) {
            link = self.ring[at].older;
            if link as usize == place + 1 {
                self.ring[at].older = 0;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two keys of each hash, and three hashes of each bucket.
    fn hash_of(key: u32) -> u32 {
        key % 12 % 4 + key % 12 / 4 * 32
    }

    /// A map and a queue, as the type describes itself, are the model.
    #[test]
    fn it_holds_the_entries_that_were_added_last() {
        let mut recent: Recent<u32, u32, 8> = Recent::default();
        let mut model: Vec<(u32, u32)> = Vec::new();
        let mut number = 1_u32;
        for step in 0..10_000 {
            // Numerical Recipes' generator; its upper bits are the better ones.
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (number >> 16) % 24;
            let hash = hash_of(key);
            if number >> 31 == 0 {
                recent.push(hash, key, step);
                model.push((key, step));
            } else {
                recent.set(hash, key, step);
                match model.iter_mut().rev().find(|it| it.0 == key) {
                    Some(old) => old.1 = step,
                    None => model.push((key, step)),
                }
            }
            if model.len() > 8 {
                model.remove(0);
            }
            for key in 0..24 {
                let expected = model.iter().rev().find(|it| it.0 == key);
                let found = recent.get(hash_of(key), &key);
                assert_eq!(found, expected.map(|it| &it.1), "step {step}, key {key}");
            }
        }
    }
}
