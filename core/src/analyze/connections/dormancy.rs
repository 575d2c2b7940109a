//! Dormancy of connections that have ended or were silent for long: when it begins, and when it is over.

use super::super::decode::FlowKey;
use super::super::forgery::SenderProfile;
use super::arena::{LOOKUP_GROUP, MAX_STALE_TIMERS, NS_PER_SEC};
use super::dormant::Dormant;
use super::light::Light;
use super::words::{completed, words_of};
use super::{Connection, ConnectionObserver, DORMANT, Entry, HostRates, LIGHT, Table};
use crate::time::Timestamp;

impl<L: ConnectionObserver> Table<L> {
    /// Shrinks a connection that becomes dormant, and reports its RSTs.
    pub(super) fn make_dormant(&mut self, index: u32) {
        self.report_resets(index, self.frame);
        if self.free_dormant.is_empty() {
            self.free_dormant.extend(self.dormant.grow().rev());
        }
        let generation = self.generation.wrapping_add(1);
        let light = self.lights.get(index ^ LIGHT);
        let of_light = |light| Dormant::of_light(light, generation, &mut self.points);
        let shrunk = light.and_then(of_light);
        let (hash, dormant) = if let (Some(light), Some(dormant)) = (light, shrunk) {
            learn_rates(&mut self.rates, &light.ends, light.profiles());
            (light.hash, dormant)
        } else {
            let mut expanded = light.map(Light::expand);
            let Some(entry) = expanded.as_mut().or(self.entries.get_mut(index)) else {
                return;
            };
            learn_rates(&mut self.rates, &entry.ends, entry.profiles.each_ref());
            let dormant = Dormant::of(entry, generation, &mut self.points, &self.words);
            (entry.hash, dormant)
        };
        self.generation = generation;
        let slot = self.free_dormant.pop().unwrap_or(u32::MAX);
        self.dormant.set(slot, Some(dormant));
        self.release(index);
        self.asleep += 1;
        self.index.replace(hash, index, slot | DORMANT);
        self.dormant_order.push_back((slot, self.generation));
        if self.dormant_order.len() > 2 * self.asleep + MAX_STALE_TIMERS {
            let dormant = &self.dormant;
            self.dormant_order.retain(|(slot, generation)| {
                let dormant = dormant.get(*slot);
                dormant.is_some_and(|it| it.generation == *generation)
            });
        }
    }

    /// Returns the slot of a connection with its full state.
    pub(super) fn awake(&mut self, index: u32) -> u32 {
        if index & DORMANT == 0 {
            return if index & LIGHT == 0 {
                index
            } else {
                self.expand(index)
            };
        }
        let Some(dormant) = self.take_dormant(index) else {
            return u32::MAX;
        };
        let hash = dormant.hash();
        let awake = self.place(dormant.wake(&self.points));
        self.index.replace(hash, index, awake);
        awake
    }

    /// Reports a dormant connection and frees its slot.
    pub(super) fn finish_dormant(&mut self, index: u32) {
        let slot = index & !DORMANT;
        let Some(dormant) = self.dormant.get(slot) else {
            return;
        };
        let failure = dormant.failure(self.now);
        // The last messages of a connection that has failed without an RST are looked up while the cache still holds them.
        let found = match &failure {
            Some(_) if dormant.words().is_none() => words_of(&self.words, dormant.number()),
            _ => None,
        };
        let words = dormant.words().or(found.as_deref());
        let connection = Connection {
            failure: completed(failure, words),
            words,
            ..dormant.report(self.frame)
        };
        self.observer.connection(&connection, &[]);
        self.index.remove(dormant.hash(), index);
        self.dormant.set(slot, None);
        self.free_dormant.push(slot);
        self.asleep -= 1;
    }

    /// Makes room for another connection.
    pub(super) fn make_room(&mut self) {
        if self.open + self.asleep >= self.max_open {
            self.evict();
        }
    }

    /// Evicts the connection that is dormant for longest. If none is dormant, evicts the connections that were silent for
    /// longest, a sixteenth of the maximum at once, so that the scan of all connections is rare.
    fn evict(&mut self) {
        while let Some((slot, generation)) = self.dormant_order.pop_front() {
            let dormant = self.dormant.get(slot);
            if dormant.is_some_and(|it| it.generation == generation) {
                self.counts.evicted += 1;
                self.finish(slot | DORMANT);
                return;
            }
        }
        let mut all: Vec<(Timestamp, u32, u32)> = Vec::new();
        let open = self.entries.all();
        all.extend(open.map(|(index, entry)| (entry.last, entry.span.0, index)));
        let lights = self.lights.all();
        all.extend(lights.map(|(index, it)| (it.last, it.first_frame, index | LIGHT)));
        // The first frame breaks ties, so that the same connections are evicted in every run.
        all.sort_unstable();
        for (_, _, index) in all.iter().take((self.max_open / 16).max(1)) {
            self.counts.evicted += 1;
            self.finish(*index);
        }
    }

    /// Takes a dormant connection out of its slot, which is free then.
    fn take_dormant(&mut self, index: u32) -> Option<Dormant> {
        let dormant = self.dormant.take(index & !DORMANT)?;
        self.free_dormant.push(index & !DORMANT);
        self.asleep -= 1;
        Some(dormant)
    }

    /// Shrinks the connections that are dormant by now.
    pub(super) fn expire_due(&mut self) {
        while let Some(due) = self.wheel.due(self.now) {
            for (nth, (index, generation)) in due.iter().enumerate() {
                // Prefetches the slot that is needed one group later.
                if let Some((ahead, _)) = due.get(nth + LOOKUP_GROUP) {
                    self.prefetch_slot(*ahead);
                }
                if let Some((ahead, _)) = due.get(nth + LOOKUP_GROUP / 2)
                    && let Some(hash) = self.hash_at(*ahead)
                {
                    self.index.prefetch(hash);
                }
                // A stale timer may be one of the slot's former connection.
                let Some(index) = self.timed(*index, *generation) else {
                    continue;
                };
                if self.dormant_at(index) <= self.now {
                    self.make_dormant(index);
                } else {
                    self.arm_timer(index);
                }
            }
        }
    }

    /// Returns the time at which an open connection becomes dormant, unless it continues before.
    fn dormant_at(&self, index: u32) -> Timestamp {
        let of_entry = || self.entries.get(index).map(Entry::dormant_at);
        let light = self.light_at(index).map(Light::dormant_at);
        light.or_else(of_entry).unwrap_or(Timestamp(i64::MAX))
    }

    /// Sets the connection's timer to the time at which the connection becomes dormant.
    pub(super) fn arm_timer(&mut self, index: u32) {
        let due = self.dormant_at(index);
        let generation = self.generation.wrapping_add(1);
        if let Some(light) = self.lights.get_mut(index ^ LIGHT) {
            (light.generation, light.due) = (generation, due);
        } else if let Some(entry) = self.entries.get_mut(index) {
            (entry.generation, entry.due) = (generation, due);
        } else {
            return;
        }
        self.generation = generation;
        self.wheel.add(due, self.now, (index, generation));
        // A capture could add stale timers without limit while no time passes.
        if self.wheel.count > 2 * self.open + MAX_STALE_TIMERS {
            self.remove_stale_timers();
        }
    }

    /// Sets the connection's timer again, if the connection now becomes dormant earlier than the timer.
    pub(super) fn arm_timer_if_sooner(&mut self, index: u32) {
        let of_entry = || self.entries.get(index).map(|it| it.due);
        let due = self.light_at(index).map(|it| it.due).or_else(of_entry);
        // The wheel has a resolution of one second.
        let second = |at: Timestamp| at.0.div_euclid(NS_PER_SEC);
        let is_sooner = due.is_some_and(|due| {
            second(due) > second(self.now) && second(self.dormant_at(index)) < second(due)
        });
        if is_sooner {
            self.arm_timer(index);
        }
    }
}

/// Takes in the rates of the clocks that a connection has shown, which is over or dormant, given the profiles of its ends.
pub(super) fn learn_rates(rates: &mut HostRates, ends: &FlowKey, profiles: [&SenderProfile; 2]) {
    for (end, profile) in profiles.into_iter().enumerate() {
        rates.take(ends.address_bits(end), profile.clock_rate());
    }
}
