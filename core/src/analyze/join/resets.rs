//! RSTs at the other capture points: whether each of the other files has them, and what follows if one has not.
//!
//! That a point lacks an RST shows something only if the point would have it: its capture lasted at that time, dropped no
//! frame, and has what was sent in the same direction shortly before and after.

use std::collections::{HashMap, HashSet};

use super::Member;
use super::pairs::Orders;
use super::segments::{Key, SeenReset, Way};

/// Largest time in nanoseconds that an RST takes from one point to the next.
const MAX_DELAY: i64 = 400_000_000;

/// Number of segments before an RST, and after it, that must not be missing.
const NEIGHBOURS: usize = 2;

/// RST at the capture point of another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherPoint<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// True if that point is nearer to the sender; `None` if that is unknown.
    pub is_nearer: Option<bool>,
    /// What the file has of the RST.
    pub elsewhere: Elsewhere,
}

/// What another file has of an RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// The file has the RST in this frame, some nanoseconds later (or earlier, if negative).
    Captured {
        /// Frame number in that file.
        frame: u32,
        /// Nanoseconds from the RST to this copy.
        after_ns: i64,
        /// True if the addresses or ports are others there: they are translated between the points.
        is_translated: bool,
    },
    /// The file lacks the RST, and would have it if it had passed there.
    Absent,
    /// The file lacks the RST, which shows nothing, for this reason.
    Unknown(Gap),
}

/// Reason why the absence of an RST in a file shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The file begins this many nanoseconds after the RST.
    BeginsLater(i64),
    /// The last frame of the file is this many nanoseconds before the RST.
    EndsEarlier(i64),
    /// The RST is so close to the beginning or the end of the file that it may have passed outside of it.
    AtEdge,
    /// The capture of the file dropped this number of frames.
    Dropped(u64),
    /// The file also lacks other segments that were sent in the same direction at that time.
    OthersMissing,
    /// The files have no segment of this direction in common.
    NothingInCommon,
    /// There are more RSTs than are compared.
    TooMany,
}

impl Gap {
    /// Stable id of the reason.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::BeginsLater(_) => "begins-later",
            Self::EndsEarlier(_) => "ends-earlier",
            Self::AtEdge => "at-edge",
            Self::Dropped(_) => "frames-dropped",
            Self::OthersMissing => "others-missing",
            Self::NothingInCommon => "nothing-in-common",
            Self::TooMany => "too-many-resets",
        }
    }

    /// Ids of all reasons.
    pub const IDS: [&'static str; 7] = [
        "begins-later",
        "ends-earlier",
        "at-edge",
        "frames-dropped",
        "others-missing",
        "nothing-in-common",
        "too-many-resets",
    ];
}

/// What another file has of an RST: the file, true if its point is nearer to the sender, and the conclusion.
pub(super) type Known = (usize, Option<bool>, Elsewhere);

/// RSTs of all files, by file and frame, with what each of the other files has of them.
pub(super) type AllResets = HashMap<(usize, u32), Vec<Known>>;

/// Two files that are compared.
pub(super) struct Pair<'a> {
    pub(super) here: &'a Member,
    pub(super) there: &'a Member,
    /// For the packets of this file, true if it is the one nearer to their sender.
    pub(super) orders: &'a Orders,
    /// Longest time between the points, in nanoseconds.
    pub(super) margin: i64,
    /// True if all segments of this file were looked for in the other one.
    pub(super) are_all_kept: bool,
}

impl Pair<'_> {
    /// Returns what the other file has of each RST of this one.
    pub(super) fn resets(&self) -> Vec<(u32, Option<bool>, Elsewhere)> {
        let (here, there) = (&self.here.outline, &self.there.outline);
        let mut copies: HashMap<Key, Vec<&SeenReset>> = HashMap::new();
        for reset in &there.resets {
            copies.entry(reset.key).or_default().push(reset);
        }
        let neighbours = self.neighbours();
        let mut taken = HashSet::new();
        let each = here.resets.iter().map(|reset| {
            let at = self.here.corrected(reset.seen.at, reset.seen.frame);
            let same = copies.get(&reset.key).into_iter().flatten();
            let mut found: Vec<(i64, &SeenReset)> = same
                .filter(|other| {
                    let ids = [reset.seen.id, other.seen.id];
                    ids[0] == ids[1] || ids.contains(&0)
                })
                .map(|other| {
                    (
                        self.there
                            .corrected(other.seen.at, other.seen.frame)
                            .saturating_sub(at),
                        *other,
                    )
                })
                .filter(|(after, _)| after.abs() <= MAX_DELAY.saturating_add(self.margin))
                .collect();
            found.sort_by_key(|(after, other)| (after.abs(), other.seen.frame));
            // Equal RSTs pass in order, each of them once; a file with several points has each of them more than once.
            let copy = (found.iter().find(|it| !taken.contains(&it.1.seen.frame)))
                .or_else(|| found.first())
                .copied();
            let elsewhere = match copy {
                Some((after_ns, other)) => {
                    taken.insert(other.seen.frame);
                    Elsewhere::Captured {
                        frame: other.seen.frame,
                        after_ns,
                        is_translated: other.ends != reset.ends,
                    }
                }
                None => match self.gap(reset, at, &neighbours) {
                    Some(gap) => Elsewhere::Unknown(gap),
                    None => Elsewhere::Absent,
                },
            };
            let is_nearer = self.orders.get(reset.way).map(|is_here| !is_here);
            (reset.seen.frame, is_nearer, elsewhere)
        });
        each.collect()
    }

    /// Returns the reason why the absence of this RST in the other file shows nothing; `None` if it does show that the RST
    /// did not pass there.
    fn gap(
        &self,
        reset: &SeenReset,
        at: i64,
        near: &HashMap<Way, Vec<(i64, bool)>>,
    ) -> Option<Gap> {
        let other = &self.there.outline;
        let (Some((begin, end)), Some(_)) = (self.there.times, self.orders.get(reset.way)) else {
            return Some(Gap::NothingInCommon);
        };
        if at < begin {
            return Some(Gap::BeginsLater(begin - at));
        }
        if at > end {
            return Some(Gap::EndsEarlier(at - end));
        }
        if at < begin.saturating_add(self.margin) || at > end.saturating_sub(self.margin) {
            return Some(Gap::AtEdge);
        }
        if other.dropped() > 0 {
            return Some(Gap::Dropped(other.dropped()));
        }
        if other.has_more_resets {
            return Some(Gap::TooMany);
        }
        // Both sides count: a capture may begin to lose frames just before, or just after.
        let near = near.get(&reset.way).map_or(&[][..], Vec::as_slice);
        let next = near.partition_point(|(time, _)| *time <= at);
        let before = &near[next.saturating_sub(NEIGHBOURS)..next];
        let after = &near[next..near.len().min(next + NEIGHBOURS)];
        if before.is_empty() && after.is_empty() {
            return Some(Gap::NothingInCommon);
        }
        let is_missing = |(_, is_there): &(i64, bool)| !is_there;
        (before.iter().chain(after).any(is_missing)).then_some(Gap::OthersMissing)
    }

    /// Returns the segments of the directions that have RSTs: times, and whether the other file has them, too.
    fn neighbours(&self) -> HashMap<Way, Vec<(i64, bool)>> {
        let (here, there) = (&self.here.outline, &self.there.outline);
        let mut near: HashMap<Way, Vec<(i64, bool)>> =
            here.resets.iter().map(|it| (it.way, Vec::new())).collect();
        let Some((begin, end)) = self.there.times else {
            return near;
        };
        let are_merged = here.has_large || there.has_large;
        for (key, seen) in &here.segments {
            let Some(list) = near.get_mut(&seen.way) else {
                continue;
            };
            let at = self.here.corrected(seen.first.at, seen.first.frame);
            let is_covered =
                at >= begin.saturating_add(self.margin) && at <= end.saturating_sub(self.margin);
            let copy = there.segments.get(key);
            // What is not unique, or may be in a larger segment there, shows nothing.
            let is_unclear = key.is_reset()
                || seen.is_repeated
                || copy.is_none() && !key.is_empty() && are_merged
                || copy.is_none() && !(self.are_all_kept || there.keeps(key))
                || copy.is_none() && !is_covered;
            if !is_unclear {
                list.push((at, copy.is_some()));
            }
        }
        for list in near.values_mut() {
            list.sort_unstable();
        }
        near
    }
}
