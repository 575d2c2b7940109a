//! Counts of failures by what they have in common: the cells that groups, port scans and regular checks are made of.
//!
//! A capture may have any number of failures, addresses and ports. There are at most [`MAX_CELLS`] cells and [`MAX_PORTS`]
//! ports; what exceeds them is counted without its addresses.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::cli::analyze::facts::{Facts, Label, Origin, Outcome};
use crate::cli::analyze::human::in_digits;
use crate::cli::analyze::times::duration;
use rstproof_core::analyze::ResetSource;
use rstproof_core::time::Timestamp;

/// Maximum number of cells.
const MAX_CELLS: usize = 1 << 13;

/// Maximum number of ports that are remembered, for all port scans together.
const MAX_PORTS: usize = 1 << 18;

/// Number of ports of a host from which on attempts by one client are taken for a port scan.
pub(super) const MIN_SCANNED: usize = 10;

/// Number of events from which on equal intervals are taken for a series.
const MIN_SERIES: u64 = 4;

/// Shortest interval of a series in nanoseconds. Shorter ones are bursts of one program.
const MIN_INTERVAL_NS: i64 = 10_000_000;

/// What the failures of a cell have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) label: Label,
    pub(super) outcome: Outcome,
    pub(super) origin: Origin,
    pub(super) client: IpAddr,
    /// Server. Port 0 stands for the ports of a scan.
    pub(super) server: SocketAddr,
}

impl Key {
    fn of(facts: &Facts) -> Self {
        let [client, server] = facts.ends;
        Self {
            label: facts.label,
            outcome: facts.outcome,
            origin: facts.origin,
            client: client.ip(),
            server,
        }
    }

    /// Returns the key of attempts to connect to any port of the server; `None` for other failures.
    fn of_scan(self) -> Option<Self> {
        let origin = match self.origin {
            Origin::Reset(it) => Origin::Reset(ResetSource { port: None, ..it }),
            Origin::To(server) => Origin::To(SocketAddr::new(server.ip(), 0)),
            Origin::Icmp(_) | Origin::Other => return None,
        };
        self.label.is_of_attempt().then_some(Self {
            origin,
            server: SocketAddr::new(self.server.ip(), 0),
            ..self
        })
    }

    /// Returns the key of everything that exceeds the limit.
    fn without_addresses(self) -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            origin: Origin::Other,
            client: nowhere,
            server: SocketAddr::new(nowhere, 0),
            ..self
        }
    }
}

/// Failures of a kind.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) count: u64,
    /// Frame and time of the earliest failure.
    pub(super) first: (u32, Timestamp),
    pub(super) connection: u32,
    latest: Timestamp,
    /// Shortest and longest time between two failures that followed each other.
    gaps: Option<(i64, i64)>,
}

impl Cell {
    pub(super) fn of(facts: &Facts) -> Self {
        Self {
            count: 1,
            first: (facts.frame, facts.at),
            connection: facts.connection,
            latest: facts.at,
            gaps: None,
        }
    }

    fn add(&mut self, facts: &Facts) {
        // A gap is negative if frames are not in the order of their times, or if a failure is known late. Such failures are no
        // series.
        let gap = facts.at.since(self.latest);
        let (least, most) = self.gaps.unwrap_or((gap, gap));
        self.gaps = Some((least.min(gap), most.max(gap)));
        self.latest = self.latest.max(facts.at);
        self.count += 1;
        if facts.frame < self.first.0 {
            self.first = (facts.frame, facts.at);
            self.connection = facts.connection;
        }
    }

    /// Adds the failures of another cell.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.latest = self.latest.max(other.latest);
        if other.first.0 < self.first.0 {
            (self.first, self.connection) = (other.first, other.connection);
        }
        // Whether the failures of both alternate is not known.
        self.gaps = None;
    }

    /// Returns the time from the first failure to the last, in nanoseconds.
    pub(super) fn lasted(&self) -> i64 {
        self.latest.since(self.first.1)
    }

    /// Returns the interval if the failures came at regular intervals: each within a fifth of the mean.
    pub(super) fn interval(&self) -> Option<Interval> {
        let (least, most) = self.gaps?;
        let intervals = i64::try_from(self.count - 1).ok().filter(|it| *it > 0)?;
        let mean = self.lasted() / intervals;
        let is_within =
            |tolerance: i64| least >= mean - tolerance && most <= mean.saturating_add(tolerance);
        (self.count >= MIN_SERIES && is_within(mean / 5) && mean >= MIN_INTERVAL_NS).then(|| {
            Interval {
                mean,
                is_exact: is_within(mean / 50),
            }
        })
    }
}

/// Interval of a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// Mean in nanoseconds.
    mean: i64,
    /// True if each interval is within a fiftieth of the mean.
    is_exact: bool,
}

impl Interval {
    /// Returns the interval in words: `every 0.51 s`, or `about every 62 s`.
    pub(super) fn name(self) -> String {
        let about = if self.is_exact { "" } else { "about " };
        format!("{about}every {}", duration(self.mean))
    }
}

/// Ports of a host that a client tried to connect to.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports {
    /// Ports, in no order.
    seen: HashSet<u16>,
    /// True if there may be further ports.
    is_cut: bool,
    /// Attempts, once there are so many ports that they are a scan.
    scan: Option<Cell>,
}

impl Ports {
    pub(super) fn cell(&self) -> Option<&Cell> {
        self.scan.as_ref()
    }

    /// Returns the number of ports, with `at least` if there may be more, and the lowest and highest of them.
    pub(super) fn name(&self) -> String {
        let at_least = if self.is_cut { "at least " } else { "" };
        let range = self.seen.iter().min().zip(self.seen.iter().max());
        let range = range.map_or_else(String::new, |(low, high)| format!(" ({low} to {high})"));
        let count = in_digits(self.seen.len() as u64);
        format!("{at_least}{count} ports{range}")
    }
}

/// All cells.
#[derive(Debug, Default)]
pub(super) struct Cells {
    counts: BTreeMap<Key, Cell>,
    ports: BTreeMap<Key, Ports>,
    /// Number of ports in `ports`.
    remembered: usize,
    /// True if not all failures are counted with their addresses.
    pub(super) is_cut: bool,
}

impl Cells {
    /// Counts a failure.
    pub(super) fn add(&mut self, facts: &Facts) {
        let key = Key::of(facts);
        if let Some(scan) = key.of_scan()
            && self.add_attempt(scan, key, facts)
        {
            return;
        }
        let is_full = self.counts.len() >= MAX_CELLS && !self.counts.contains_key(&key);
        self.is_cut |= is_full;
        // The cells without addresses are few: one for each failure and error.
        let key = if is_full {
            key.without_addresses()
        } else {
            key
        };
        match self.counts.get_mut(&key) {
            Some(cell) => cell.add(facts),
            None => {
                self.counts.insert(key, Cell::of(facts));
            }
        }
    }

    /// Counts an attempt to connect. Returns true if it is one of a port scan.
    fn add_attempt(&mut self, scan: Key, key: Key, facts: &Facts) -> bool {
        // Beyond the limit, attempts are counted by port, as other failures are.
        if self.ports.len() >= MAX_CELLS && !self.ports.contains_key(&scan) {
            return false;
        }
        let ports = self.ports.entry(scan).or_default();
        let port = key.server.port();
        if !ports.seen.contains(&port) {
            if self.remembered < MAX_PORTS {
                ports.seen.insert(port);
                self.remembered += 1;
            } else {
                ports.is_cut = true;
            }
        }
        if let Some(cell) = &mut ports.scan {
            cell.add(facts);
            return true;
        }
        if ports.seen.len() < MIN_SCANNED {
            return false;
        }
        // The attempts so far are in cells of their own, one for each port.
        let mut cell = Cell::of(facts);
        let own: BTreeSet<Key> = (self.counts.keys())
            .filter(|key| key.of_scan() == Some(scan))
            .copied()
            .collect();
        for key in own {
            if let Some(attempts) = self.counts.remove(&key) {
                cell.merge(&attempts);
            }
        }
        ports.scan = Some(cell);
        true
    }

    /// Returns true if a failure is counted as one of a port scan, or of a series so far.
    pub(super) fn folds(&self, facts: &Facts) -> bool {
        let key = Key::of(facts);
        let scan = key.of_scan().and_then(|scan| self.ports.get(&scan));
        scan.is_some_and(|ports| ports.scan.is_some())
            || (self.counts.get(&key)).is_some_and(|cell| cell.interval().is_some())
    }

    /// Returns the port scans.
    pub(super) fn scans(&self) -> impl Iterator<Item = (&Key, &Ports, &Cell)> {
        let scans = self.ports.iter();
        scans.filter_map(|(key, ports)| Some((key, ports, ports.cell()?)))
    }

    /// Returns all cells that are not of port scans.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&Key, &Cell)> {
        self.counts.iter()
    }
}
