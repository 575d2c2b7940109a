//! Slots of a table: each connection has one for its full state, its light state or what is kept while it is dormant. Bits of the
//! index of a slot distinguish them.

use super::super::decode::{FlowKey, SegmentRecord};
use super::dormancy::learn_rates;
use super::dormant::Dormant;
use super::light::Light;
use super::{ConnectionObserver, Entry, Table};
use crate::packet::Flags;
use crate::prefetch::prefetch;

/// Bit of the slot of a dormant connection.
pub(super) const DORMANT: u32 = 1 << 31;

/// Bit of the slot of a light state.
pub(super) const LIGHT: u32 = 1 << 30;

impl<L: ConnectionObserver> Table<L> {
    /// Prefetches a connection that is needed soon.
    pub(in crate::analyze) fn prefetch_slot(&self, index: u32) {
        if index & DORMANT != 0 {
            if let Some(slot) = self.dormant.slot(index & !DORMANT) {
                prefetch(slot);
            }
        } else if index & LIGHT != 0 {
            if let Some(slot) = self.lights.slot(index & !LIGHT) {
                prefetch(slot);
            }
        } else if let Some(slot) = self.entries.slot(index) {
            prefetch(slot);
        }
    }

    pub(super) fn is_connection_at(&self, index: u32, ends: &FlowKey) -> bool {
        let found = if index & DORMANT != 0 {
            self.dormant.get(index & !DORMANT).map(Dormant::ends)
        } else if index & LIGHT != 0 {
            self.light_at(index).map(|it| &it.ends)
        } else {
            self.entries.get(index).map(|it| &it.ends)
        };
        found == Some(ends)
    }

    /// Returns the light state in a slot; `None` if the slot is of another kind.
    #[inline]
    pub(super) fn light_at(&self, index: u32) -> Option<&Light> {
        // The bits of a slot of another kind make its index too large, or are missing.
        self.lights.get(index ^ LIGHT)
    }

    /// Returns the hash of an open connection.
    pub(super) fn hash_at(&self, index: u32) -> Option<u32> {
        match self.light_at(index) {
            Some(light) => Some(light.hash),
            None => Some(self.entries.get(index)?.hash),
        }
    }

    /// Puts an entry into a free slot, and returns the slot.
    pub(super) fn place(&mut self, entry: Entry) -> u32 {
        if self.free.is_empty() {
            // The slots are used from the first on.
            self.free.extend(self.entries.grow().rev());
        }
        let index = self.free.pop().unwrap_or(u32::MAX);
        if let Some(slot) = self.free.last().and_then(|next| self.entries.slot(*next)) {
            prefetch(slot); // for the connection after this one
        }
        self.entries.set(index, Some(entry));
        self.open += 1;
        index
    }

    /// Puts the light state of a connection that begins with this segment into a free slot, and returns the slot.
    fn place_light(&mut self, segment: &SegmentRecord, bytes: &[u8]) -> u32 {
        if self.free_lights.is_empty() {
            self.free_lights.extend(self.lights.grow().rev());
        }
        let slot = self.free_lights.pop().unwrap_or(u32::MAX);
        if let Some(next) = (self.free_lights.last()).and_then(|next| self.lights.slot(*next)) {
            prefetch(next);
        }
        self.lights.set(slot, Some(Light::before(segment)));
        if let Some(light) = self.lights.get_mut(slot) {
            light.begin(segment, bytes);
        }
        self.open += 1;
        slot | LIGHT
    }

    /// Frees the slot of an open connection.
    pub(super) fn release(&mut self, index: u32) {
        if index & LIGHT != 0 {
            self.lights.set(index & !LIGHT, None);
            self.free_lights.push(index & !LIGHT);
        } else {
            self.entries.set(index, None);
            self.free.push(index);
        }
        self.open -= 1;
    }

    /// Begins a connection with a light state, if this segment is a usual SYN. Returns false, and changes nothing, for any other.
    pub(super) fn begin_light(&mut self, segment: &SegmentRecord, bytes: &[u8]) -> bool {
        // An observer of segments needs their effects, which a light state does not have.
        if L::OBSERVES_SEGMENTS || !Light::may_begin_with(segment) {
            return false;
        }
        self.make_room();
        self.counts.connections += 1;
        let index = self.place_light(segment, bytes);
        self.index.insert(segment.hash, index);
        self.arm_timer(index);
        true
    }

    /// Takes in a segment for a light state. Returns false, and changes nothing, if the slot has none of these ends, or if the
    /// segment is not the usual one.
    #[inline]
    pub(super) fn take_lightly(
        &mut self,
        index: u32,
        segment: &SegmentRecord,
        bytes: &[u8],
    ) -> bool {
        let Some(light) = self.lights.get_mut(index ^ LIGHT) else {
            return false;
        };
        if light.ends != segment.ends || !light.take(segment, bytes, &mut self.words) {
            return false;
        }
        if segment.header.flags.has(Flags::FIN) {
            self.arm_timer_if_sooner(index);
        }
        true
    }

    /// Reports a connection with a light state, and frees its slot. Returns false, and changes nothing, if that takes its full state.
    pub(super) fn finish_light(&mut self, index: u32) -> bool {
        let Some(light) = self.lights.get(index ^ LIGHT) else {
            return false;
        };
        let Some(connection) = light.report(self.frame) else {
            return false;
        };
        learn_rates(&mut self.rates, &light.ends, light.profiles());
        self.observer.connection(&connection, &[]);
        self.index.remove(light.hash, index);
        self.release(index);
        true
    }

    /// Replaces a light state by the full one, and returns the slot of that.
    pub(super) fn expand(&mut self, index: u32) -> u32 {
        let Some(light) = self.light_at(index) else {
            return u32::MAX;
        };
        let (hash, generation, entry) = (light.hash, light.generation, light.expand());
        self.release(index);
        let expanded = self.place(entry);
        self.index.replace(hash, index, expanded);
        // The timer goes on, so that the connection is dormant at the time at which it would be otherwise.
        self.moved_timers.insert(generation, expanded);
        expanded
    }

    /// Returns the open connection that a timer belongs to; `None` if the timer is stale.
    pub(super) fn timed(&mut self, index: u32, generation: u32) -> Option<u32> {
        if index & LIGHT == 0 {
            let entry = self.entries.get(index)?;
            return (entry.generation == generation).then_some(index);
        }
        if self
            .light_at(index)
            .is_some_and(|it| it.generation == generation)
        {
            return Some(index);
        }
        let expanded = self.moved_timers.remove(&generation)?;
        let entry = self.entries.get(expanded)?;
        (entry.generation == generation).then_some(expanded)
    }

    /// Removes stale timers. Each open connection has one that is not.
    pub(super) fn remove_stale_timers(&mut self) {
        let (entries, lights) = (&self.entries, &self.lights);
        let is_of_entry = |index: u32, generation: u32| {
            let entry = entries.get(index);
            entry.is_some_and(|it| it.generation == generation)
        };
        self.moved_timers
            .retain(|generation, index| is_of_entry(*index, *generation));
        let moved = &self.moved_timers;
        self.wheel.retain(|(index, generation)| {
            let light = lights.get(index ^ LIGHT);
            light.is_some_and(|it| it.generation == *generation)
                || is_of_entry(*index, *generation)
                || index & LIGHT != 0 && moved.contains_key(generation)
        });
    }
}
