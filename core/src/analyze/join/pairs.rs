//! Segments that two files have in common, and which of the files is nearer to their senders.

use std::collections::HashMap;

use super::clock::Bound;
use super::segments::{Key, Outline, Seen, Sighting, Way};

/// Number of surely recognized segments from which on the others are not needed.
const ENOUGH: usize = 8;

/// Time in nanoseconds between two segments of opposite directions that are compared.
const MAX_APART: i64 = 1_000_000_000;

/// Largest difference in the rates of two clocks, in parts per million, while two segments are compared.
const MAX_RATE_PPM: i64 = 200;

/// Number of votes against a conclusion for each of which there must be this many for it.
const MAJORITY: u32 = 9;

/// Segment that two files have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) here: Seen,
    pub(super) there: Seen,
    /// True if timestamps or an IP ID tell the segment from a retransmission.
    is_sure: bool,
}

impl Common {
    /// Least time that the clock of the second file may be ahead by, if the first file is nearer to the sender.
    fn least(&self) -> i64 {
        self.there.first.at.saturating_sub(self.here.last.at)
    }

    fn most(&self) -> i64 {
        self.there.last.at.saturating_sub(self.here.first.at)
    }
}

/// Returns true if both files have a segment in common.
pub(super) fn have_common(here: &Outline, there: &Outline) -> bool {
    !commons(here, there).is_empty()
}

/// Returns the segments that both files have, in the order of the first one.
pub(super) fn commons(here: &Outline, there: &Outline) -> Vec<Common> {
    let are_one = |one: &Seen, other: &Seen| {
        let ids = [one.first.id, other.first.id];
        !one.is_repeated && !other.is_repeated && (ids[0] == ids[1] || ids.contains(&0))
    };
    let both = |key: &Key| Some((here.segments.get(key)?, there.segments.get(key)?));
    // Each look-up of a segment in the larger file would find nothing more.
    let smaller = if here.segments.len() <= there.segments.len() {
        here
    } else {
        there
    };
    let found = smaller.segments.keys().filter_map(|key| {
        let (one, other) = both(key)?;
        are_one(one, other).then(|| Common {
            here: *one,
            there: *other,
            is_sure: key.has_clock() || one.first.id != 0 && one.first.id == other.first.id,
        })
    });
    let mut found: Vec<Common> = found.collect();
    found.sort_unstable_by_key(|it| (it.here.first.at, it.here.first.frame));
    found
}

/// Returns the segments by which clocks are compared: of each direction those that are surely recognized, if there are
/// enough of them.
fn for_clocks(commons: &[Common]) -> impl Iterator<Item = &Common> {
    let mut sure: HashMap<Way, usize> = HashMap::new();
    for common in commons.iter().filter(|it| it.is_sure) {
        *sure.entry(common.here.way).or_default() += 1;
    }
    commons
        .iter()
        .filter(move |it| it.is_sure || sure.get(&it.here.way).is_none_or(|count| *count < ENOUGH))
}

/// Returns true if both files have the same frames at the same times: one is a copy of the other.
pub(super) fn are_copies(commons: &[Common]) -> bool {
    let is_same = |one: &Sighting, other: &Sighting| {
        (one.at, one.ttl, one.id) == (other.at, other.ttl, other.id)
    };
    !commons.is_empty()
        && commons
            .iter()
            .all(|it| is_same(&it.here.first, &it.there.first))
}

/// Votes on which file is nearer to the lower one of two hosts.
#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    here: u32,
    there: u32,
    /// Latest segment of each direction.
    latest: [Option<Common>; 2],
}

/// For the packets of each sender to each receiver, true if the first file is nearer to the sender.
#[derive(Debug, Default)]
pub(super) struct Orders(HashMap<Way, bool>);

impl Orders {
    /// Finds the orders from the times. Of two segments of opposite directions, the one is delayed on its way from the
    /// first file to the second one, and the other on its way back, whatever the clocks show. Where the times leave it open,
    /// the TTL decides: it falls on the way.
    pub(super) fn of(commons: &[Common]) -> Self {
        let mut votes: HashMap<Way, Votes> = HashMap::new();
        for common in for_clocks(commons) {
            let (from, to) = common.here.way;
            if from == to {
                continue; // the addresses do not show the direction
            }
            let pair = votes.entry((from.min(to), from.max(to))).or_default();
            let direction = usize::from(from > to);
            pair.latest[direction] = Some(*common);
            let [Some(there), Some(back)] = pair.latest else {
                continue;
            };
            let apart = there.here.first.at.abs_diff(back.here.first.at);
            let apart = i64::try_from(apart).unwrap_or(i64::MAX);
            if apart <= MAX_APART {
                let drift = apart / 1_000_000 * MAX_RATE_PPM;
                pair.here += u32::from(there.least().saturating_sub(back.most()) > drift);
                pair.there += u32::from(there.most().saturating_sub(back.least()) < -drift);
            }
        }
        let mut orders = HashMap::new();
        for ((low, high), votes) in votes {
            let is_here = if votes.here > votes.there.saturating_mul(MAJORITY) {
                true
            } else if votes.there > votes.here.saturating_mul(MAJORITY) {
                false
            } else {
                continue;
            };
            orders.insert((low, high), is_here);
            orders.insert((high, low), !is_here);
        }
        let mut orders = Self(orders);
        // A packet that passes one way only, or passes both points at once, leaves the times open.
        orders.add_by_ttl(commons);
        orders
    }

    /// Adds the orders that only the TTL shows.
    fn add_by_ttl(&mut self, commons: &[Common]) {
        let mut votes: HashMap<Way, [u32; 2]> = HashMap::new();
        for common in commons {
            if self.0.contains_key(&common.here.way) {
                continue;
            }
            let [count, other] = votes.entry(common.here.way).or_default();
            let (here, there) = (&common.here, &common.there);
            *count += u32::from(here.last.ttl > there.first.ttl);
            *other += u32::from(here.first.ttl < there.last.ttl);
        }
        for (way, [here, there]) in votes {
            if here > there.saturating_mul(MAJORITY) {
                self.0.insert(way, true);
            } else if there > here.saturating_mul(MAJORITY) {
                self.0.insert(way, false);
            }
        }
    }

    /// Returns true if the first file is nearer to the sender, false if the second one is; `None` if that is unknown.
    pub(super) fn get(&self, way: Way) -> Option<bool> {
        self.0.get(&way).copied()
    }

    /// Returns the orders for packets with the addresses that the second file has, true if that file is nearer to the
    /// sender.
    pub(super) fn reversed(&self, commons: &[Common]) -> Self {
        let known = commons.iter().filter_map(|common| {
            let is_here = self.get(common.here.way)?;
            Some((common.there.way, !is_here))
        });
        Self(known.collect())
    }

    /// Returns the bounds that these segments set for the time by which the clock of the second file is ahead.
    pub(super) fn bounds(&self, commons: &[Common]) -> Vec<Bound> {
        let mut bounds = Vec::new();
        for common in for_clocks(commons) {
            match self.get(common.here.way) {
                Some(true) => {
                    let frames = [common.here.last.frame, common.there.first.frame];
                    bounds.push(Bound::upper(common.here.last.at, common.least()).of(frames));
                }
                Some(false) => {
                    let frames = [common.here.first.frame, common.there.last.frame];
                    bounds.push(Bound::lower(common.here.first.at, common.most()).of(frames));
                }
                None => by_ttl(common, &mut bounds),
            }
        }
        bounds
    }

    /// Returns the sightings of a segment in which it was nearer to its sender and farther from it, each with true if it is
    /// of the first file. Of several points of a file, those that are nearest to each other count.
    pub(super) fn passage(&self, common: &Common) -> Option<[(bool, Sighting); 2]> {
        Some(if self.get(common.here.way)? {
            [(true, common.here.last), (false, common.there.first)]
        } else {
            [(false, common.there.last), (true, common.here.first)]
        })
    }
}

/// Adds the bounds of a segment that one file has seen on both sides of the other one: each TTL shows a side.
fn by_ttl(common: &Common, bounds: &mut Vec<Bound>) {
    for here in [common.here.first, common.here.last] {
        for there in [common.there.first, common.there.last] {
            let ahead = there.at.saturating_sub(here.at);
            let frames = [here.frame, there.frame];
            match here.ttl.cmp(&there.ttl) {
                std::cmp::Ordering::Greater => {
                    bounds.push(Bound::upper(here.at, ahead).of(frames));
                }
                std::cmp::Ordering::Less => {
                    bounds.push(Bound::lower(here.at, ahead).of(frames));
                }
                std::cmp::Ordering::Equal => {}
            }
        }
    }
}
