//! IP IDs of each host over all its connections, as far as a capture shows them.
//!
//! A stack takes IP IDs from one counter for all its packets (Windows up to 7, the older BSDs), from one for each
//! socket or each pair of addresses (Linux), or at random (OpenBSD, FreeBSD since 10), see RFC 7739, 5, and Bellovin,
//! "A Technique for Counting `NATted` Hosts" (IMW 2002). In the first case the previous packet of the *host* is what an
//! RST has to be compared with, whatever connection that packet belongs to.
//!
//! [`Hosts`] sees the packets in the order of the capture, those without TCP included, before the connections are
//! divided into shards. It attaches to each RST the [`HostIds`] of its source address. The table has a fixed size: a
//! host whose slot is taken over by another one is forgotten.

use super::clock::ClockRate;
use crate::prefetch::prefetch;
use crate::time::Timestamp;

/// Packet of IPv4, reduced to what the counter of its host depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostSample {
    /// Source address.
    pub source: u32,
    /// Index of the interface that captured it.
    pub interface: u32,
    /// Capture time.
    pub at: Timestamp,
    /// Number that differs between connections.
    pub flow: u32,
    /// IP ID.
    pub id: u16,
    /// Shard and index of the segment in the batch, if the packet is an RST.
    pub reset: Option<(u8, u32)>,
}

/// Counter of a host before an RST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostIds {
    /// Time in milliseconds since the host's latest packet.
    age_ms: u32,
    /// IP ID of that packet.
    last: u16,
    /// Use of the counter.
    scope: Scope,
    /// True if the counter is sent in little-endian byte order.
    is_swapped: bool,
    /// True if there is an earlier packet.
    is_known: bool,
    /// Rate of the host's timestamp clock, as other connections have shown it.
    clock_rate: ClockRate,
}

/// Packets that a host numbers with one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scope {
    /// Unknown.
    #[default]
    Unknown,
    /// All packets of the host.
    Host,
    /// Packets of one connection.
    Connection,
}

impl HostIds {
    /// Creates the counter of a host that sent `last` some milliseconds ago.
    #[cfg(test)]
    pub(super) fn new(last: u16, age_ms: u32, scope: Scope) -> Self {
        Self {
            age_ms,
            last,
            scope,
            is_swapped: false,
            is_known: true,
            clock_rate: ClockRate::Unknown,
        }
    }

    /// Returns the rate of the host's timestamp clock.
    pub(super) fn clock_rate(&self) -> ClockRate {
        self.clock_rate
    }

    /// Sets the rate of the host's timestamp clock.
    pub(in crate::analyze) fn set_clock_rate(&mut self, rate: ClockRate) {
        self.clock_rate = rate;
    }

    /// Returns the use of the counter.
    pub(super) fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns the IP ID of the host's latest packet, and its age in milliseconds.
    pub(super) fn last(&self) -> Option<(u16, i64)> {
        self.is_known.then_some((self.last, self.age_ms.into()))
    }

    /// Returns the distance from the latest IP ID to this one, in the byte order of the counter.
    pub(super) fn advance(&self, id: u16) -> u16 {
        if self.is_swapped {
            id.swap_bytes().wrapping_sub(self.last.swap_bytes())
        } else {
            id.wrapping_sub(self.last)
        }
    }
}

/// Largest advance from one packet to the next that shows a counter. The capture may lack packets to other hosts.
pub(super) const SMALL_ADVANCE: u16 = 64;

/// Number of slots of the table.
const SLOTS: usize = 1 << 15;

/// Number of observations that show the use of a counter.
const MANY: u8 = 4;

/// Counters of the hosts.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// Allocated with the first packet.
    slots: Vec<Slot>,
}

/// Counter of one host. An empty slot has no packets.
// Aligned to its size, so that none lies across two cache lines, of which a prefetch fetches the first only.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Slot {
    source: u32,
    interface: u32,
    at: Timestamp,
    flow: u32,
    last: u16,
    is_used: bool,
    /// Numbers of small and of other steps between packets of different connections.
    across: Steps,
    /// Numbers of small and of other steps between packets of one connection.
    within: Steps,
    /// Numbers of steps that are small in network byte order only, and in the other order only.
    order: [u8; 2],
}

const _: () = assert!(size_of::<Slot>() == 32);

/// Numbers of steps.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    small: u8,
    other: u8,
}

impl Steps {
    fn count(&mut self, is_small: bool) {
        let count = if is_small {
            &mut self.small
        } else {
            &mut self.other
        };
        *count += 1;
        if *count == u8::MAX {
            // The ratio is kept, and recent steps count for more.
            self.small /= 2;
            self.other /= 2;
        }
    }

    fn are_small(self) -> bool {
        self.small >= MANY && self.other <= self.small / 16
    }

    fn are_other(self) -> bool {
        self.other >= MANY && self.small <= self.other / 16
    }
}

impl Hosts {
    /// Prefetches the slot of a packet's host.
    #[inline]
    pub(crate) fn prefetch(&self, sample: &HostSample) {
        if let Some(slot) = self.slots.get(Self::index(sample)) {
            prefetch(slot);
        }
    }

    fn index(sample: &HostSample) -> usize {
        let key = u64::from(sample.interface) << 32 | u64::from(sample.source);
        // A fixed hash: the result must be the same in every run.
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(hash >> 49).unwrap_or(0) % SLOTS
    }

    /// Takes in a packet. Returns the counter of its host before the packet, if that is an RST.
    pub(crate) fn take(&mut self, sample: &HostSample) -> Option<HostIds> {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); SLOTS];
        }
        let slot = &mut self.slots[Self::index(sample)];
        // Only RSTs are judged by the counter, and most packets are none.
        let is_reset = sample.reset.is_some();
        let is_it =
            slot.is_used && (slot.source, slot.interface) == (sample.source, sample.interface);
        let before = is_reset.then(|| {
            if is_it {
                slot.ids(sample.at)
            } else {
                HostIds::default()
            }
        });
        // A packet that is never fragmented may have the ID 0 (RFC 6864), which is not from the counter.
        if sample.id == 0 {
            return before;
        }
        if is_it {
            slot.take(sample);
        } else if !is_reset {
            *slot = Slot::of(sample);
        }
        before
    }
}

impl Slot {
    /// Returns the slot of a host after its first packet.
    fn of(sample: &HostSample) -> Self {
        Self {
            source: sample.source,
            interface: sample.interface,
            at: sample.at,
            flow: sample.flow,
            last: sample.id,
            is_used: true,
            ..Self::default()
        }
    }

    fn ids(&self, now: Timestamp) -> HostIds {
        let age = now.since(self.at).max(0) / 1_000_000;
        let scope = if self.across.are_small() {
            Scope::Host
        } else if self.across.are_other() && self.within.are_small() {
            Scope::Connection
        } else {
            Scope::Unknown
        };
        HostIds {
            age_ms: u32::try_from(age).unwrap_or(u32::MAX),
            last: self.last,
            scope,
            is_swapped: self.order[1] > self.order[0],
            is_known: true,
            clock_rate: ClockRate::Unknown,
        }
    }

    fn take(&mut self, sample: &HostSample) {
        let small = 1..=SMALL_ADVANCE;
        let mut is_next = small.contains(&sample.id.wrapping_sub(self.last));
        // A step that is small in one byte order changes the upper byte in the other one.
        let order = if is_next {
            Some(0)
        } else {
            // A copy, a fragment, or packets that overtook each other.
            if self.last.wrapping_sub(sample.id) <= SMALL_ADVANCE {
                return;
            }
            let swapped = sample.id.swap_bytes();
            is_next = small.contains(&swapped.wrapping_sub(self.last.swap_bytes()));
            // An RST is what is to be judged: it continues the counter, or it is not taken for one of the host.
            if !is_next && sample.reset.is_some() {
                return;
            }
            is_next.then_some(1)
        };
        if let Some(order) = order {
            let count = &mut self.order[order];
            *count = count.saturating_add(1);
        }
        let steps = if sample.flow == self.flow {
            &mut self.within
        } else {
            &mut self.across
        };
        steps.count(is_next);
        (self.at, self.flow, self.last) = (sample.at, sample.flow, sample.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(flow: u32, id: u16, ms: i64) -> HostSample {
        HostSample {
            source: 0xc0a8_0001,
            interface: 0,
            at: Timestamp(ms * 1_000_000),
            flow,
            id,
            reset: None,
        }
    }

    fn rst(flow: u32, id: u16, ms: i64) -> HostSample {
        HostSample {
            reset: Some((0, 0)),
            ..sample(flow, id, ms)
        }
    }

    #[test]
    fn one_counter_for_all_connections_is_recognized() {
        let mut hosts = Hosts::default();
        for n in 0..8_u16 {
            hosts.take(&sample(u32::from(n % 3), 100 + n, i64::from(n)));
        }
        let ids = hosts.take(&rst(9, 110, 20)).unwrap();
        assert_eq!(ids, HostIds::new(107, 13, Scope::Host));
        assert_eq!(ids.advance(110), 3);
        // The RST belongs to the host, so the next one follows it.
        assert_eq!(hosts.take(&rst(8, 111, 21)).unwrap().last(), Some((110, 1)));
    }

    #[test]
    fn a_counter_of_each_connection_is_recognized() {
        let mut hosts = Hosts::default();
        for n in 0..20_u16 {
            let flow = n / 2 % 2;
            hosts.take(&sample(flow.into(), flow * 30_000 + 5 + n, i64::from(n)));
        }
        assert_eq!(
            hosts.take(&rst(1, 1, 30)).unwrap().scope(),
            Scope::Connection
        );
    }

    /// The counter of another machine does not become that of the host, however many RSTs it sends.
    #[test]
    fn a_reset_that_does_not_continue_the_counter_does_not_move_it() {
        let mut hosts = Hosts::default();
        for n in 0..8_u16 {
            hosts.take(&sample(u32::from(n % 3), 100 + n, i64::from(n)));
        }
        for n in 0..4 {
            let ids = hosts.take(&rst(9, 46_339 + n, 20)).unwrap();
            assert_eq!(ids.last(), Some((107, 13)));
        }
    }

    #[test]
    fn a_counter_in_little_endian_order_is_recognized() {
        let mut hosts = Hosts::default();
        for n in 0..8_u16 {
            let id = (0x8ed0 + 25 * n).swap_bytes();
            hosts.take(&sample(u32::from(n % 2), id, i64::from(n)));
        }
        let next = (0x8ed0 + 25 * 8_u16).swap_bytes();
        let ids = hosts.take(&rst(5, next, 9)).unwrap();
        assert_eq!((ids.scope(), ids.advance(next)), (Scope::Host, 25));
    }

    #[test]
    fn hosts_and_interfaces_are_kept_apart() {
        let mut hosts = Hosts::default();
        hosts.take(&sample(0, 7, 0));
        let other = HostSample {
            source: 1,
            ..rst(0, 8, 0)
        };
        assert_eq!(hosts.take(&other).unwrap().last(), None);
        let elsewhere = HostSample {
            interface: 1,
            ..rst(0, 8, 0)
        };
        assert_eq!(hosts.take(&elsewhere).unwrap().last(), None);
        assert_eq!(hosts.take(&rst(0, 8, 1)).unwrap().last(), Some((7, 1)));
    }
}
