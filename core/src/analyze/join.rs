//! Captures of the same traffic, made at several points at the same time by hosts whose clocks differ.
//!
//! A first pass over the files finds the segments that they have in common. Their times show by how much the clocks
//! differ, and which file is nearer to each sender. The files are then merged in the order of the corrected times into one
//! capture, in which each file is a capture point of its own: the analysis that follows sees what left at one point and
//! what arrived at the other.
//!
//! Absence at a point proves something only while the file of that point lasts. Frames outside of that time are marked, and
//! are analyzed as those of a single capture; so are RSTs whose absence elsewhere shows nothing.

mod align;
mod clock;
mod frames;
mod merge;
mod pairs;
mod resets;
mod segments;
mod source;

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use self::align::{Comparison, Files, Relation};
pub use self::clock::{Bounds, Clock, Lead};
pub(super) use self::frames::Compared;
pub use self::frames::FrameMap;
use self::frames::MAX_FILES;
pub use self::merge::Joined;
use self::merge::Waiting;
use self::pairs::Common;
use self::resets::{AllResets, Known, Pair};
pub use self::resets::{Elsewhere, Gap, OtherPoint};
pub(super) use self::segments::Key;
use self::segments::Outline;
use super::continuation::FileNames;
use super::pipeline::Stopped;
use crate::printable::printable;

/// Least time in nanoseconds that a segment may take from one point to the next.
const MIN_MARGIN: i64 = 1_000_000;

/// Largest time in nanoseconds by which a copy may wait for the segment that is nearer to the sender. More is no error of
/// the clocks.
const MAX_WAIT: i64 = 400_000_000;

/// Bits of a frame that has a copy farther from the sender, and of one that has a copy nearer to it.
const HAS_NEXT: u8 = 1;
const HAS_PREVIOUS: u8 = 2;
const BETWEEN: u8 = HAS_NEXT | HAS_PREVIOUS;

/// File to join.
pub struct JoinInput<'a> {
    /// Names in the output of the file, or of the files that continue each other.
    pub files: FileNames,
    /// Short name of all of them, which interfaces of the joined capture have.
    pub label: String,
    /// Length in bytes, as far as it is known. Shorter files are read first.
    pub length: u64,
    /// Content, decompressed.
    pub from: &'a mut dyn Read,
}

impl JoinInput<'_> {
    /// Returns the name of the capture: that of its file, or of its first and last file.
    fn title(&self) -> String {
        let mut names = self.files.names();
        match (names.next(), names.next_back()) {
            (Some(first), Some(last)) => format!("{first} … {last}"),
            (first, _) => first.unwrap_or_default().to_owned(),
        }
    }
}

/// Reason why files cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The number of files is not supported.
    #[error("it takes at least 2 captures to join, and at most {MAX_FILES}; got {0}")]
    Count(usize),
    /// A file has no TCP segment.
    #[error("{0} has no TCP segment, so it cannot be compared with other captures")]
    NoTcp(String),
    /// Two files are copies of one capture.
    #[error(
        "{0} and {1} have the same frames at the same times: they are copies of one capture, not captures of two points"
    )]
    Copies(String, String),
    /// No segment is in both files.
    #[error(
        "no segment is in both {one} and {other}: {} and {} TCP segments were compared by SEQ, ACK, flags, length, timestamps \
         and IP ID; captures made at the same time are needed, without a proxy between the points, because a proxy sends \
         segments of its own",
        segments[0],
        segments[1]
    )]
    NothingInCommon {
        /// Name of the first file.
        one: String,
        /// Name of the second file.
        other: String,
        /// Numbers of TCP segments.
        segments: [u64; 2],
    },
    /// The common segments do not show which file is nearer to the sender.
    #[error(
        "cannot tell which of {one} and {other} is nearer to the senders: their {segments} common segments have the same TTL \
         in both files, and their times do not decide it either; captures of both directions, from two different hosts, are \
         needed"
    )]
    UnknownOrder {
        /// Name of the first file.
        one: String,
        /// Name of the second file.
        other: String,
        /// Number of common segments.
        segments: usize,
    },
}

/// File of a joined capture.
#[derive(Debug)]
pub struct Member {
    /// Name in the output.
    pub name: String,
    files: FileNames,
    label: String,
    outline: Outline,
    /// Clock, unless the other files are corrected to it.
    relation: Option<Relation>,
    /// Clocks that lead to the time of the first file.
    path: Vec<Clock>,
    /// Corrected times of the first and the last frame, in nanoseconds since the epoch.
    pub times: Option<(i64, i64)>,
    /// Number of frames that were moved behind the copies nearer to their senders, and the longest time in nanoseconds.
    pub moved: (u32, i64),
}

/// Difference of a file's clock.
#[derive(Clone, Copy, Debug)]
pub struct Difference<'a> {
    /// Name of the file whose clock it is compared with.
    pub to: &'a str,
    /// The difference.
    pub clock: &'a Clock,
    /// Number of common segments that show it.
    pub segments: usize,
}

impl Member {
    /// Returns a time by the clock of the first file, given one by the clock of this file and the frame that has it.
    fn corrected(&self, own: i64, frame: u32) -> i64 {
        let clocks = self.path.iter().enumerate();
        clocks.fold(own, |at, (nth, clock)| {
            clock.corrected(at, (nth == 0).then_some(frame))
        })
    }

    /// Returns the corrected time of a frame. A time that cannot be right stays as it is.
    fn corrected_frame(&self, own: i64, frame: u32) -> i64 {
        if own < 0 {
            own
        } else {
            self.corrected(own, frame)
        }
    }

    /// Returns the number of frames.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.outline.frames
    }

    /// Returns the number of bytes that were read, decompressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.outline.bytes
    }

    /// Returns the reason why the file was not read to its end.
    #[must_use]
    pub fn stopped(&self) -> Option<&Stopped> {
        self.outline.stopped.as_ref()
    }

    /// Returns the comment on the interfaces of the file.
    fn description(&self) -> String {
        let lead = match &self.relation {
            None => "its clock is the one of all times here".to_owned(),
            Some(_) if self.path.len() > 1 => "its times are corrected".to_owned(),
            Some(relation) => {
                let lead = relation.clock.leads.first();
                let ahead = lead.map_or(0, |lead| lead.ahead_ns);
                format!("its times are corrected: its clock was {ahead} ns ahead")
            }
        };
        format!("captured in {}: {lead}", printable(&self.label))
    }
}

/// State that a joined capture shares with its readers.
#[derive(Debug)]
pub(in crate::analyze) struct Shared {
    members: Vec<Member>,
    frames: Arc<FrameMap>,
    resets: AllResets,
    after: Waiting,
    /// Copies of frames before and after them on their way, if there are more than two files.
    passages: HashMap<(usize, u32), u8>,
    /// For each file, the times in which all other files last.
    common_times: Vec<(i64, i64)>,
    /// True if there are too many RSTs to know each of them.
    has_more_resets: bool,
    inside_tunnels: bool,
}

impl Shared {
    /// Returns what the points of other files mean for a frame, given its corrected time.
    fn compared(&self, file: usize, frame: u32, at: i64, is_reset: impl Fn() -> bool) -> Compared {
        if self.passages.get(&(file, frame)) == Some(&BETWEEN) {
            return Compared::Between;
        }
        let is_alone = if let Some(known) = self.resets.get(&(file, frame)) {
            let side = |is_nearer| Side::of(known, is_nearer);
            let (sender, receiver) = (side(true), side(false));
            // The copy that is farthest from the sender shows more than one between two points.
            if receiver.has_copy && !sender.is_empty && sender.is_decided() {
                return Compared::Between;
            }
            let is_related = known.iter().any(|it| it.1.is_some());
            // Beside a copy the frame itself is one, which the analysis has to see.
            let has_copy = sender.has_copy || receiver.has_copy;
            !(is_related && (has_copy || sender.is_decided() && receiver.is_decided()))
        } else {
            let (begin, end) = self.common_times.get(file).copied().unwrap_or_default();
            !(begin..=end).contains(&at) || self.has_more_resets && is_reset()
        };
        if is_alone {
            Compared::Alone
        } else {
            Compared::All
        }
    }

    /// Returns what the other files have of the RST in this frame of the joined capture, each with its name.
    pub(in crate::analyze) fn elsewhere(&self, frame: u32) -> Vec<OtherPoint<'_>> {
        let found = self.frames.locate(frame);
        let found = found.and_then(|place| self.resets.get(&place));
        let known = found.into_iter().flatten();
        let points = known.filter_map(|(file, is_nearer, elsewhere)| {
            let member = self.members.get(*file)?;
            let (mut name, mut elsewhere) = (&member.name[..], *elsewhere);
            if let Elsewhere::Captured { frame, .. } = &mut elsewhere {
                (name, *frame) = member.files.locate(*frame);
            }
            Some(OtherPoint {
                file: name,
                is_nearer: *is_nearer,
                elsewhere,
            })
        });
        points.collect()
    }

    /// Returns the name of the file of a frame of the joined capture, and its number there.
    pub(in crate::analyze) fn locate(&self, frame: u32) -> Option<(&str, u32)> {
        let (file, number) = self.frames.locate(frame)?;
        Some(self.members.get(file)?.files.locate(number))
    }
}

/// What the files on one side of an RST have of it.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// True if no file is on that side.
    is_empty: bool,
    /// True if one of them has the RST, under the same addresses.
    has_copy: bool,
    /// True if one of them lacks the RST, and would have it if it had passed there.
    is_absent: bool,
}

impl Side {
    /// Returns what the files nearer to the sender have, or those nearer to the receiver.
    fn of(known: &[Known], is_nearer: bool) -> Self {
        let side = || known.iter().filter(|it| it.1 == Some(is_nearer));
        let has = |wanted: bool| {
            side().any(|it| {
                matches!(it.2, Elsewhere::Captured { is_translated, .. } if is_translated == wanted)
            })
        };
        Self {
            is_empty: side().next().is_none(),
            has_copy: has(false),
            // A copy under other addresses did pass.
            is_absent: !has(true) && side().any(|it| it.2 == Elsewhere::Absent),
        }
    }

    /// Returns true if it is known whether the RST passed there, or if nothing is there.
    fn is_decided(self) -> bool {
        self.is_empty || self.has_copy || self.is_absent
    }
}

/// Returns true if two of these files have a segment in common, so that they were captured at the same time.
#[must_use]
pub fn share_segments(files: Vec<&mut dyn Read>, inside_tunnels: bool) -> bool {
    let mut outlines: Vec<Outline> = Vec::new();
    let count = files.len();
    for from in files {
        let outline = Outline::read(from, inside_tunnels, &outlines, count);
        if outlines.iter().any(|it| pairs::have_common(it, &outline)) {
            return true;
        }
        outlines.push(outline);
    }
    false
}

/// Captures of several points that are read as one.
#[derive(Clone, Debug)]
pub struct Join {
    shared: Arc<Shared>,
}

impl Join {
    /// Reads all files once, and finds out how they belong together. Fails if that cannot be found out.
    pub fn of(inputs: Vec<JoinInput<'_>>, inside_tunnels: bool) -> Result<Self, JoinError> {
        let count = inputs.len();
        if !(2..=MAX_FILES).contains(&count) {
            return Err(JoinError::Count(count));
        }
        let files = Files::read(inputs, inside_tunnels)?;
        let pairs = files.compare()?;
        let relations = files.relations(&pairs)?;
        let members = files.members(&relations);
        let mut shared = Shared {
            resets: AllResets::new(),
            after: Waiting::new(),
            passages: HashMap::new(),
            common_times: vec![(i64::MIN, i64::MAX); count],
            has_more_resets: members.iter().any(|it| it.outline.has_more_resets),
            frames: Arc::default(),
            members,
            inside_tunnels,
        };
        for pair in &pairs {
            shared.compare(pair);
        }
        // All that is needed of the segments is known now, and the analysis needs the memory.
        for member in &mut shared.members {
            member.outline.forget();
        }
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    pub(super) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the files, in the order in which they were given.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.shared.members
    }

    /// Returns the difference of a file's clock; `None` for the file whose clock all times are by.
    #[must_use]
    pub fn difference(&self, file: usize) -> Option<Difference<'_>> {
        let relation = self.shared.members.get(file)?.relation.as_ref()?;
        Some(Difference {
            to: &self.shared.members.get(relation.to)?.name,
            clock: &relation.clock,
            segments: relation.segments,
        })
    }

    /// Returns the names of the files of each frame. They are known for the frames that a reader has returned.
    #[must_use]
    pub fn names(&self) -> FileNames {
        let names = self.shared.members.iter().flat_map(|it| it.files.names());
        FileNames::joined(names, Arc::clone(&self.shared))
    }

    /// Returns the frames of the joined capture, for [`Analysis::joined`](super::Analysis::joined).
    #[must_use]
    pub fn frames(&self) -> Arc<FrameMap> {
        Arc::clone(&self.shared.frames)
    }

    /// Returns a reader of the joined capture, given the contents of the files in the same order. A copy of frames that
    /// were read before has their comments.
    #[must_use]
    pub fn open<R: Read>(&self, sources: Vec<R>, is_for_copy: bool) -> Joined<R> {
        Joined::new(&self.shared, sources, is_for_copy)
    }
}

impl Shared {
    /// Takes in what two files have in common: the RSTs, the times in which both last, and frames that have to wait.
    fn compare(&mut self, pair: &Comparison) {
        let [one, other] = pair.files;
        let margin = self.margin(pair);
        for (own, file) in [(one, other), (other, one)] {
            let Some((begin, end)) = self.members[file].times else {
                continue;
            };
            let common = &mut self.common_times[own];
            common.0 = common.0.max(begin.saturating_sub(margin));
            common.1 = common.1.min(end.saturating_add(margin));
        }
        for common in &pair.commons {
            let Some([first, second]) = pair.orders.passage(common) else {
                continue;
            };
            let file = |is_one: bool| if is_one { one } else { other };
            let place = |(is_one, seen): (bool, segments::Sighting)| {
                let file = file(is_one);
                (
                    file,
                    seen.frame,
                    self.members[file].corrected(seen.at, seen.frame),
                )
            };
            let (first, second) = (place(first), place(second));
            self.wait(first, second);
            if self.members.len() > 2 {
                self.pass(pair, common, first.0);
            }
        }
        let reversed = pair.orders.reversed(&pair.commons);
        let [turn, other_turn] = pair.turns;
        for (here, there, orders, is_first) in [
            (one, other, &pair.orders, turn < other_turn),
            (other, one, &reversed, other_turn < turn),
        ] {
            let found = Pair {
                here: &self.members[here],
                there: &self.members[there],
                orders,
                margin,
                are_all_kept: is_first,
            }
            .resets();
            for (frame, is_nearer, elsewhere) in found {
                let known = self.resets.entry((here, frame)).or_default();
                known.push((there, is_nearer, elsewhere));
            }
        }
    }

    /// Notes that a segment has a copy on its way after the point of file `first`, and one before the point of the other
    /// file.
    fn pass(&mut self, pair: &Comparison, common: &Common, first: usize) {
        let [one, other] = pair.files.map(|file| &self.members[file].outline);
        if one.hosts(common.here.way) != other.hosts(common.there.way) {
            return; // with other addresses it belongs to another connection
        }
        for (file, seen) in pair.files.into_iter().zip([&common.here, &common.there]) {
            let bit = if file == first {
                HAS_NEXT
            } else {
                HAS_PREVIOUS
            };
            for frame in [seen.first.frame, seen.last.frame] {
                *self.passages.entry((file, frame)).or_default() |= bit;
            }
        }
    }

    /// Lets a frame wait for the one that is nearer to the sender, if the times would have it come first. Each is given by
    /// its file, its number and its corrected time.
    fn wait(&mut self, first: (usize, u32, i64), second: (usize, u32, i64)) {
        let early = first.2.saturating_sub(second.2);
        if !(0..=MAX_WAIT).contains(&early) {
            return;
        }
        // With several copies, the frame waits for the latest of those that precede it on the way.
        let waiting = self.after.entry((second.0, second.1)).or_insert(first);
        if waiting.2 < first.2 {
            *waiting = first;
        }
        if early > 0 {
            let moved = &mut self.members[second.0].moved;
            *moved = (moved.0.saturating_add(1), moved.1.max(early));
        }
    }

    /// Returns the longest time that a segment may take between the points of two files.
    fn margin(&self, pair: &Comparison) -> i64 {
        let [one, other] = pair.files.map(|file| &self.members[file]);
        let passages = pair.commons.iter().filter_map(|it| pair.orders.passage(it));
        let delays = passages.map(|passage| {
            let [first, second] = passage.map(|(is_one, seen)| {
                let member = if is_one { one } else { other };
                member.corrected(seen.at, seen.frame)
            });
            second.saturating_sub(first)
        });
        let longest = delays.filter(|it| *it <= MAX_WAIT).max().unwrap_or(0);
        // With one direction only, the times say nothing about the delay that all segments share.
        let unknown = pair.clock.uncertainty_ns.unwrap_or(MAX_WAIT);
        longest.max(MIN_MARGIN).saturating_add(unknown)
    }
}
