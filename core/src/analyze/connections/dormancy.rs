//! Dormancy of connections that have ended or were silent for long: when it begins, and when it is over.

use super::arena::{LOOKUP_GROUP, MAX_STALE_TIMERS, NS_PER_SEC};
use super::dormant::Dormant;
use super::words::{completed, words_of};
use super::{Connection, ConnectionObserver, DORMANT, Entry, HostRates, Table};
use crate::prefetch::prefetch;
use crate::time::Timestamp;

impl<L: ConnectionObserver> Table<L> {
    /// Shrinks a connection that becomes dormant, and reports its RSTs.
    pub(super) fn make_dormant(&mut self, index: u32) {
        self.report_resets(index, self.frame);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        learn_rates(&mut self.rates, entry);
        if self.free_dormant.is_empty() {
            self.free_dormant.extend(self.dormant.grow().rev());
        }
        let slot = self.free_dormant.pop().unwrap_or(u32::MAX);
        self.generation = self.generation.wrapping_add(1);
        let hash = entry.hash;
        let dormant = Dormant::of(entry, self.generation, &mut self.points, &self.words);
        self.dormant.set(slot, Some(dormant));
        self.entries.set(index, None);
        self.free.push(index);
        self.open -= 1;
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
            return index;
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
                if let Some((ahead, _)) = due.get(nth + LOOKUP_GROUP)
                    && let Some(slot) = self.entries.slot(*ahead)
                {
                    prefetch(slot);
                }
                if let Some((ahead, _)) = due.get(nth + LOOKUP_GROUP / 2)
                    && let Some(entry) = self.entries.get(*ahead)
                {
                    self.index.prefetch(entry.hash);
                }
                let Some(entry) = self.entries.get(*index) else {
                    continue;
                };
                // A stale timer, or one of the slot's former connection.
                if entry.generation != *generation {
                    continue;
                }
                if entry.dormant_at() <= self.now {
                    self.make_dormant(*index);
                } else {
                    self.arm_timer(*index);
                }
            }
        }
    }

    /// Sets the connection's timer to the time at which the connection becomes dormant.
    pub(super) fn arm_timer(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        self.generation = self.generation.wrapping_add(1);
        (entry.generation, entry.due) = (self.generation, entry.dormant_at());
        self.wheel
            .add(entry.due, self.now, (index, self.generation));
        // Each open connection has one current timer. A capture could add stale timers without limit while no time
        // passes.
        if self.wheel.count > 2 * self.open + MAX_STALE_TIMERS {
            let entries = &self.entries;
            self.wheel.retain(|(index, generation)| {
                let entry = entries.get(*index);
                entry.is_some_and(|entry| entry.generation == *generation)
            });
        }
    }

    /// Sets the connection's timer again, if the connection now becomes dormant earlier than the timer.
    pub(super) fn arm_timer_if_sooner(&mut self, index: u32) {
        // The wheel has a resolution of one second.
        let second = |at: Timestamp| at.0.div_euclid(NS_PER_SEC);
        let is_sooner = |entry: &Entry| {
            second(entry.due) > second(self.now) && second(entry.dormant_at()) < second(entry.due)
        };
        if self.entries.get(index).is_some_and(is_sooner) {
            self.arm_timer(index);
        }
    }
}

/// Takes in the rates of the clocks that a connection has shown, which is over or dormant.
pub(super) fn learn_rates(rates: &mut HostRates, entry: &Entry) {
    for (end, profile) in entry.profiles.iter().enumerate() {
        rates.take(entry.ends.address_bits(end), profile.clock_rate());
    }
}
