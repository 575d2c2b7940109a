//! Alignment of files: which of them have segments in common, and how their clocks are related.

use super::super::continuation::FileNames;
use super::clock::{Bound, Clock};
use super::pairs::{Common, Orders, are_copies, commons};
use super::segments::Outline;
use super::{JoinError, JoinInput, Member};

/// Files to be joined, in the order in which they were given.
pub(super) struct Files {
    names: Vec<String>,
    /// Files of each name, and a short name.
    parts: Vec<(FileNames, String)>,
    outlines: Vec<Outline>,
    /// Turn in which each file was read. A file keeps all segments of those that were read before.
    turns: Vec<usize>,
}

/// Two files that have segments in common.
pub(super) struct Comparison {
    pub(super) files: [usize; 2],
    pub(super) turns: [usize; 2],
    pub(super) commons: Vec<Common>,
    pub(super) orders: Orders,
    pub(super) bounds: Vec<Bound>,
    /// Clock of the second file by that of the first one.
    pub(super) clock: Clock,
}

/// Clock of a file, by that of another one.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// Index of the other file.
    pub(super) to: usize,
    pub(super) clock: Clock,
    /// Number of common segments.
    pub(super) segments: usize,
}

impl Files {
    /// Reads all files, the shortest first: of longer ones only a part may be kept, but all that is in shorter ones.
    pub(super) fn read(
        inputs: Vec<JoinInput<'_>>,
        inside_tunnels: bool,
    ) -> Result<Self, JoinError> {
        let count = inputs.len();
        let names: Vec<String> = inputs.iter().map(JoinInput::title).collect();
        let parts = inputs.iter();
        let parts = parts.map(|it| (it.files.clone(), it.label.clone()));
        let parts = parts.collect();
        let mut inputs: Vec<(usize, JoinInput<'_>)> = inputs.into_iter().enumerate().collect();
        inputs.sort_by_key(|(file, input)| (input.length, *file));
        let mut turns = vec![0; count];
        let mut outlines: Vec<Outline> = Vec::new();
        for (turn, (file, input)) in inputs.into_iter().enumerate() {
            let outline = Outline::read(input.from, inside_tunnels, &outlines, count);
            if outline.tcp == 0 && outline.stopped.is_none() {
                return Err(JoinError::NoTcp(input.title()));
            }
            turns[file] = turn;
            outlines.push(outline);
        }
        let mut ordered: Vec<Option<Outline>> = outlines.into_iter().map(Some).collect();
        let in_order = turns.iter().filter_map(|turn| ordered[*turn].take());
        Ok(Self {
            names,
            parts,
            outlines: in_order.collect(),
            turns,
        })
    }

    /// Compares each file with each other one. Fails if two are copies of one capture.
    pub(super) fn compare(&self) -> Result<Vec<Comparison>, JoinError> {
        let mut pairs = Vec::new();
        for other in 1..self.outlines.len() {
            for one in 0..other {
                let commons = commons(&self.outlines[one], &self.outlines[other]);
                if are_copies(&commons) {
                    let name = |file: usize| self.names[file].clone();
                    return Err(JoinError::Copies(name(one), name(other)));
                }
                let orders = Orders::of(&commons);
                let bounds = orders.bounds(&commons);
                if let Some(clock) = Clock::of(&bounds) {
                    pairs.push(Comparison {
                        files: [one, other],
                        turns: [self.turns[one], self.turns[other]],
                        commons,
                        orders,
                        bounds,
                        clock,
                    });
                }
            }
        }
        Ok(pairs)
    }

    /// Relates the clock of each file to that of the first one, directly or by way of others: the surest way. Fails if
    /// there is no way.
    pub(super) fn relations(
        &self,
        pairs: &[Comparison],
    ) -> Result<Vec<Option<Relation>>, JoinError> {
        let count = self.outlines.len();
        let mut relations: Vec<Option<Relation>> = vec![None; count];
        let mut is_related = vec![false; count];
        is_related[0] = true;
        while let Some(left) = is_related.iter().position(|it| !it) {
            let next = pairs.iter().filter(|pair| {
                let [one, other] = pair.files;
                is_related[one] != is_related[other]
            });
            // A clock with one bound is the last choice.
            let next = next.min_by_key(|pair| {
                let error = pair.clock.uncertainty_ns.unwrap_or(i64::MAX);
                (error, std::cmp::Reverse(pair.commons.len()), pair.files)
            });
            let Some(pair) = next else {
                return Err(self.unrelated(left));
            };
            let [one, other] = pair.files;
            let (to, file, clock) = if is_related[one] {
                (one, other, pair.clock.clone())
            } else {
                let reversed: Vec<Bound> = pair.bounds.iter().map(|it| it.reversed()).collect();
                match Clock::of(&reversed) {
                    Some(clock) => (other, one, clock),
                    None => return Err(self.unrelated(left)),
                }
            };
            is_related[file] = true;
            relations[file] = Some(Relation {
                to,
                clock,
                segments: pair.bounds.len(),
            });
        }
        Ok(relations)
    }

    /// Returns the file that has the most segments in common with this one, behind their number. Of equal ones, returns
    /// the first.
    fn closest(&self, file: usize) -> (usize, usize) {
        let shared = |other: usize| commons(&self.outlines[other], &self.outlines[file]).len();
        (0..self.outlines.len())
            .filter(|other| *other != file)
            .map(|other| (shared(other), other))
            .max_by_key(|(segments, other)| (*segments, std::cmp::Reverse(*other)))
            .unwrap_or((0, 0))
    }

    /// Returns the error for a file that cannot be related to the others.
    fn unrelated(&self, file: usize) -> JoinError {
        let (segments, other) = self.closest(file);
        let (one, other, pair) = if other < file {
            (other, file, [other, file])
        } else {
            (file, other, [file, other])
        };
        let (one, other) = (self.names[one].clone(), self.names[other].clone());
        if segments > 0 {
            JoinError::UnknownOrder {
                one,
                other,
                segments,
            }
        } else {
            JoinError::NothingInCommon {
                one,
                other,
                segments: pair.map(|file| self.outlines[file].tcp),
            }
        }
    }

    /// Returns the files with their clocks.
    pub(super) fn members(self, relations: &[Option<Relation>]) -> Vec<Member> {
        let files = self.names.into_iter().zip(self.parts);
        let files = files.zip(self.outlines).enumerate();
        let members = files.map(|(file, ((name, (files, label)), outline))| {
            let mut path = Vec::new();
            let mut next = file;
            while let Some(relation) = &relations[next] {
                path.push(relation.clock.clone());
                next = relation.to;
            }
            let times = outline.times;
            let mut member = Member {
                name,
                files,
                label,
                outline,
                relation: relations[file].clone(),
                path,
                times: None,
                moved: (0, 0),
            };
            member.times =
                times.map(|(a, b)| (member.corrected(a, 0), member.corrected(b, u32::MAX)));
            member
        });
        members.collect()
    }
}
