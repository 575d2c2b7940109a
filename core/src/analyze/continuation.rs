//! Captures that are stored in several files: rotated rings, and captures that were split.
//!
//! Two files are read as one capture if they have the same format, do not overlap in time, and either a connection of
//! the first one continues in the second, with its sequence numbers, or their names are those of one ring and little time
//! lies between them. Initial sequence numbers are random (RFC 6528), so the numbers of two connections hardly ever agree
//! by accident.
//!
//! Captures of two points look alike where the clock of one host is an hour ahead, as in another time zone: one file seems to
//! begin after the end of the other, and the same connections are in both. But then the same packets are in both, while
//! the files of one capture have each packet once.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::decode::{Batch, FlowKey, FrameDecoder, FrameSelection, SegmentRecord, spread};
use super::join::{Join, Key, OtherPoint, Shared};
use crate::file::{Block, TextClock, TextFacts, TextNotes, Walked, walk};
use crate::packet::{Flags, SeqNum};
use crate::time::Timestamp;

/// Number of connections at the beginning and at the end of a file that are compared with those of other files.
const MAX_COMPARED: usize = 256;

/// Largest distance of sequence numbers at which a connection continues: what was not captured between two files, or sent
/// again.
const MAX_SEQ_DISTANCE: u32 = 1 << 16;

const SECOND: i64 = 1_000_000_000;
/// Maximum time in nanoseconds between two files of a ring.
const MAX_RING_GAP: i64 = 3_600 * SECOND;
/// Maximum time in nanoseconds between two files in which a connection continues.
const MAX_GAP: i64 = 86_400 * SECOND;
/// Time in nanoseconds by which the beginning of a file may lie before the end of the file before: frames of different
/// CPUs are not stored strictly in order.
const MAX_OVERLAP: i64 = SECOND / 10;

/// Evidence that a file continues another one.
#[derive(Clone, Debug)]
pub struct FileOutline {
    /// Header of a classic pcap, without the fields that have no meaning any more. Empty for pcapng.
    header: Vec<u8>,
    /// Link types of the interfaces.
    links: Vec<u16>,
    /// Times of the first frame and of the latest one; `None` if there is no frame.
    times: Option<(Timestamp, Timestamp)>,
    /// Number of frames.
    pub frames: u32,
    /// Number of bytes, decompressed.
    pub bytes: u64,
    /// True if the file can be read to its end.
    pub is_whole: bool,
    /// First segment of each of the first connections, unless it is a SYN: ends, sender and SEQ.
    first: Vec<(FlowKey, usize, SeqNum)>,
    /// Next sequence numbers of both ends of the latest connections.
    last: Vec<(FlowKey, [Option<SeqNum>; 2])>,
    packets: Sample,
}

/// Part of a file's packets, the same part in each file: those with the lowest hashes.
#[derive(Clone, Debug, Default)]
struct Sample(BTreeSet<u64>);

impl Sample {
    /// Maximum number of packets.
    const MAX: usize = 1 << 12;

    fn take(&mut self, segment: &SegmentRecord) {
        let key = Key::of(&segment.header);
        let id = segment.ip.id().unwrap_or(0);
        // Only an IP ID, or the time of its sending, tells a packet from its retransmission.
        if id == 0 && (!key.has_clock() || key.is_empty()) {
            return;
        }
        self.keep(spread(key.rank() ^ u64::from(id)));
    }

    fn keep(&mut self, hash: u64) {
        let is_full = self.0.len() == Self::MAX;
        // Most packets of a large file are above the highest hash that is kept.
        if is_full && self.0.last().is_some_and(|highest| hash >= *highest) {
            return;
        }
        if self.0.insert(hash) && is_full {
            self.0.pop_last();
        }
    }

    /// Returns true if both files have the same packets: several, or a good part of a small file.
    fn overlaps(&self, other: &Self) -> bool {
        /// Number that chance does not reach. Some hosts send a packet again unchanged.
        const MANY: usize = 3;
        let common = self.0.intersection(&other.0).count();
        common >= MANY || common > 0 && common * 4 >= self.0.len().min(other.0.len())
    }
}

/// Length of the header of a classic pcap, in bytes.
pub const PCAP_HEADER: usize = 24;

/// Reader that counts bytes.
struct Counted<'a>(&'a mut dyn Read, u64);

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// Connections of a file, as far as they are compared with those of other files.
#[derive(Default)]
struct Compared {
    first: Vec<(FlowKey, usize, SeqNum)>,
    /// Latest frame and next sequence numbers by connection.
    last: HashMap<FlowKey, (u32, [Option<SeqNum>; 2])>,
    /// True once `first` is complete.
    is_full: bool,
    packets: Sample,
}

impl Compared {
    fn take(&mut self, batch: &Batch, number: u32) {
        for segment in batch.segments.iter().flatten() {
            let (header, sender) = (&segment.header, segment.sender);
            self.packets.take(segment);
            if !self.is_full && !self.last.contains_key(&segment.ends) {
                if !header.flags.has(Flags::SYN) {
                    self.first.push((segment.ends, sender, header.seq));
                }
                self.is_full = self.last.len() >= MAX_COMPARED;
            }
            let (latest, next) = self.last.entry(segment.ends).or_default();
            *latest = number;
            if !header.flags.has(Flags::RST) {
                next[sender] = Some(header.seq_end());
            }
            if header.flags.has(Flags::ACK) {
                next[1 - sender].get_or_insert(header.ack);
            }
            if self.last.len() > 4 * MAX_COMPARED {
                self.forget();
            }
        }
    }

    /// Forgets all but the latest connections.
    fn forget(&mut self) {
        let mut frames: Vec<u32> = self.last.values().map(|(frame, _)| *frame).collect();
        frames.sort_unstable();
        let keep = frames.len().saturating_sub(MAX_COMPARED);
        let oldest = frames.get(keep).copied().unwrap_or(0);
        self.last.retain(|_, (frame, _)| *frame >= oldest);
        self.is_full = true;
    }
}

impl FileOutline {
    /// Reads a capture to its end. Fails if it cannot be read.
    pub fn read(from: &mut dyn Read) -> io::Result<Self> {
        let mut from = Counted(from, 0);
        let mut beginning = Vec::new();
        (&mut from)
            .take(PCAP_HEADER as u64)
            .read_to_end(&mut beginning)?;
        let wanted = FrameSelection::default();
        let mut decoder = FrameDecoder::new(&wanted);
        let (mut batch, mut compared) = (Batch::default(), Compared::default());
        let (mut frames, mut links) = (0_u32, Vec::new());
        let mut times: Option<(Timestamp, Timestamp)> = None;
        let mut is_classic = true;
        let walked = walk(
            &mut beginning.as_slice().chain(&mut from),
            |reader, block, bytes| {
                match block {
                    Block::Interface(interface) => {
                        // The description of a classic pcap is its header.
                        is_classic = reader.format() == crate::file::Format::Pcap;
                        if links.len() < MAX_COMPARED {
                            links.push(interface.link);
                        }
                    }
                    Block::Frame(frame) => {
                        frames = frames.saturating_add(1);
                        let (first, latest) = times.unwrap_or((frame.at, frame.at));
                        times = Some((first, latest.max(frame.at)));
                        batch.clear();
                        decoder.decode(&mut batch, reader, frame, bytes);
                        compared.take(&batch, frames);
                    }
                    Block::Section(_) | Block::Statistics(_) => {}
                }
                ControlFlow::<()>::Continue(())
            },
        )?;
        compared.forget();
        let header = if is_classic { beginning } else { Vec::new() };
        let last = compared.last.into_iter();
        Ok(Self {
            header: header
                .iter()
                .enumerate()
                .filter(|(at, _)| !(8..16).contains(at))
                .map(|it| *it.1)
                .collect(),
            links,
            times,
            frames,
            bytes: from.1,
            is_whole: walked == Walked::Whole,
            first: compared.first,
            packets: compared.packets,
            last: last.map(|(ends, (_, next))| (ends, next)).collect(),
        })
    }

    /// Returns the time of the first frame.
    #[must_use]
    pub fn begins(&self) -> Option<Timestamp> {
        Some(self.times?.0)
    }

    /// Returns true if the file is a classic pcap.
    #[must_use]
    pub fn is_classic(&self) -> bool {
        !self.header.is_empty()
    }

    /// Returns true if `next` continues this file. `are_of_a_ring` is true if the names say so.
    #[must_use]
    pub fn is_continued_by(&self, next: &Self, are_of_a_ring: bool) -> bool {
        let (Some((_, end)), Some((begin, _))) = (self.times, next.times) else {
            return false;
        };
        let gap = begin.since(end);
        let is_alike = self.header == next.header && self.links == next.links;
        let is_near = |most: i64| (-MAX_OVERLAP..=most).contains(&gap);
        self.is_whole
            && is_alike
            && (are_of_a_ring && is_near(MAX_RING_GAP) || is_near(MAX_GAP) && self.goes_on_in(next))
            && !self.packets.overlaps(&next.packets)
    }

    /// Returns true if a connection continues in the next file, with its sequence numbers.
    fn goes_on_in(&self, next: &Self) -> bool {
        next.first.iter().any(|(ends, sender, seq)| {
            let before = self.last.iter().find(|(other, _)| other == ends);
            let expected = before.and_then(|(_, numbers)| numbers[*sender]);
            expected.is_some_and(|expected| {
                let ahead = seq.relative_to(expected);
                ahead.min(ahead.wrapping_neg()) <= MAX_SEQ_DISTANCE
            })
        })
    }
}

/// Names of the files that a capture is stored in, and which frames each of them has.
#[derive(Clone, Debug)]
pub struct FileNames {
    /// Names, each with the number of frames before the file.
    files: Vec<(u32, String)>,
    /// Frames of files that were merged.
    joined: Option<Arc<Shared>>,
    /// What is known of the text, if the capture is one.
    text: Option<Arc<TextNotes>>,
}

impl FileNames {
    /// Creates the names of a capture in one file.
    #[must_use]
    pub fn one(name: &str) -> Self {
        Self {
            files: vec![(0, name.to_owned())],
            joined: None,
            text: None,
        }
    }

    /// Sets what is known of the text that the capture was printed as.
    #[must_use]
    pub fn of_text(mut self, text: Option<Arc<TextNotes>>) -> Self {
        self.text = text;
        self
    }

    /// Returns what is known of the text; `None` if the capture is in a file format.
    #[must_use]
    pub fn text(&self) -> Option<TextFacts> {
        self.text.as_ref().map(|it| it.facts())
    }

    /// Returns the meaning of the times of the capture.
    #[must_use]
    pub fn clock(&self) -> TextClock {
        self.text
            .as_ref()
            .map_or(TextClock::Absolute, |it| it.clock())
    }

    /// Creates the names of a capture in several files, each with its number of frames.
    #[must_use]
    pub fn several<'a>(files: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut before = 0_u32;
        let files = files.into_iter().map(|(name, frames)| {
            let first = before;
            before = before.saturating_add(frames);
            (first, name.to_owned())
        });
        Self {
            files: files.collect(),
            joined: None,
            text: None,
        }
    }

    /// Creates the names of captures of several points that are read as one.
    pub(super) fn joined<'a>(names: impl Iterator<Item = &'a str>, frames: Arc<Shared>) -> Self {
        Self {
            files: names.map(|name| (0, name.to_owned())).collect(),
            joined: Some(frames),
            text: None,
        }
    }

    /// Returns true if the files are captures of several points.
    #[must_use]
    pub fn are_joined(&self) -> bool {
        self.joined.is_some()
    }

    /// Returns the captures of several points; `None` if the files are not of that kind.
    #[must_use]
    pub fn join(&self) -> Option<Join> {
        self.joined.clone().map(Join::from_shared)
    }

    /// Returns what the captures of other points have of the RST in this frame.
    #[must_use]
    pub fn elsewhere(&self, frame: u32) -> Vec<OtherPoint<'_>> {
        let joined = self.joined.as_ref();
        joined.map_or_else(Vec::new, |joined| joined.elsewhere(frame))
    }

    /// Returns the names.
    #[must_use]
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.files.iter().map(|(_, name)| name.as_str())
    }

    /// Returns true if the capture is stored in several files.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.files.len() > 1
    }

    /// Returns the file that holds this frame of the capture, and its number there.
    #[must_use]
    pub fn locate(&self, frame: u32) -> (&str, u32) {
        if let Some(joined) = &self.joined {
            return joined.locate(frame).unwrap_or(("", frame));
        }
        // The first file has no frames before it, so the index is not 0.
        let index = self
            .files
            .partition_point(|(before, _)| *before < frame.max(1));
        match self.files.get(index.saturating_sub(1)) {
            Some((before, name)) => (name, frame - before),
            None => ("", frame),
        }
    }

    /// Returns the name of a frame in a sentence: `frame 7`, or with several files `frame 7 of NAME`.
    #[must_use]
    pub fn frame(&self, frame: u32) -> String {
        match self.locate(frame) {
            (name, number) if self.are_several() => format!("frame {number} of {name}"),
            _ => format!("frame {frame}"),
        }
    }

    /// Returns a text in which each frame has the number that it has in its file.
    #[must_use]
    pub fn localized(&self, text: &str) -> String {
        with_frames(text, |frame| self.frame(frame))
    }
}

/// Mark at the begin and at the end of text that an end has sent. Such text is printable, and so does not contain it.
pub(super) const QUOTE: char = '\u{1}';

/// Returns a text in which each frame, as `frame 7`, has another name. Quoted text stays as it is, without its [marks](QUOTE).
pub(super) fn with_frames(text: &str, mut name: impl FnMut(u32) -> String) -> String {
    const FRAME: &str = "frame ";
    let mut named = String::with_capacity(text.len());
    for (nth, part) in text.split(QUOTE).enumerate() {
        if nth % 2 == 1 {
            named += part;
            continue;
        }
        let mut parts = part.split(FRAME);
        named += parts.next().unwrap_or_default();
        for part in parts {
            let end = part.find(|letter: char| !letter.is_ascii_digit());
            let (digits, rest) = part.split_at(end.unwrap_or(part.len()));
            match digits.parse() {
                Ok(frame) => named += &name(frame),
                Err(_) => named = named + FRAME + digits,
            }
            named += rest;
        }
    }
    named
}

#[cfg(test)]
mod tests;
