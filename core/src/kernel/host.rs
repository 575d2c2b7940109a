//! State of the host that may change the result of a trial: its memory for sockets, and the queues of its CPUs.

use serde::{Deserialize, Serialize};

/// State of the host during one trial, as far as it may have changed the trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// True if TCP was under memory pressure on the whole host when the trial ended (`press` of
    /// `/proc/net/protocols`, which is `tcp_memory_pressure`).
    #[serde(default)]
    pub tcp_memory_pressure: bool,
    /// Number of pages that TCP used on the whole host.
    #[serde(default)]
    pub tcp_pages: Option<u64>,
    /// Number of pages up to which send buffers grow: `tcp_mem[0]` (`tcp_should_expand_sndbuf()`,
    /// `net/ipv4/tcp_input.c`). In a container that hides it, a lower bound of its default.
    #[serde(default)]
    pub tcp_mem_low_pages: Option<u64>,
    /// Number of bytes that the control group of this process may use for TCP (`memory.kmem.tcp.limit_in_bytes`), if
    /// limited.
    #[serde(default)]
    pub cgroup_tcp_limit_bytes: Option<u64>,
    /// Maximum number of bytes that the control group ever used for TCP (`memory.kmem.tcp.max_usage_in_bytes`).
    #[serde(default)]
    pub cgroup_tcp_peak_bytes: Option<u64>,
    /// Number of times that the control group reached a limit of its memory during the trial (`high` and `max` of
    /// `memory.events`).
    #[serde(default)]
    pub cgroup_memory_limit_hits: u64,
    /// Number of packets that the queues of all CPUs dropped during the trial because they were full
    /// (`/proc/net/softnet_stat`).
    #[serde(default)]
    pub softnet_drops: u64,
    /// Number of entries for which the neighbour tables of the machine had no room during a trial between hosts
    /// (`table_fulls`). Packets to an address without an entry are dropped before any capture sees them.
    #[serde(default)]
    pub neighbour_table_overflows: u64,
}

impl HostState {
    /// Returns true if the state may have changed the trial.
    #[must_use]
    pub fn may_matter(&self) -> bool {
        self.is_short_of_memory() || self.softnet_drops > 0 || self.neighbour_table_overflows > 0
    }

    /// Returns true if memory for sockets was short.
    #[must_use]
    pub fn is_short_of_memory(&self) -> bool {
        self.tcp_memory_pressure
            || self.has_no_room_to_grow()
            || self.is_near_tcp_limit()
            || self.cgroup_memory_limit_hits > 0
    }

    /// Returns true if TCP uses more pages than the limit above which send buffers do not grow.
    #[must_use]
    pub(crate) fn has_no_room_to_grow(&self) -> bool {
        let pages = self.tcp_pages.zip(self.tcp_mem_low_pages);
        pages.is_some_and(|(used, low)| used > low)
    }

    /// Returns true if the control group was at three quarters of its limit for TCP or above. Charges beyond the
    /// limit fail without being counted.
    #[must_use]
    pub(crate) fn is_near_tcp_limit(&self) -> bool {
        let limit = self.cgroup_tcp_limit_bytes.zip(self.cgroup_tcp_peak_bytes);
        // Divided first, because three times a large limit would overflow.
        limit.is_some_and(|(limit, peak)| peak >= limit / 4 * 3)
    }
}
