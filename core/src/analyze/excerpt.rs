//! Excerpt of a capture: all frames of the connections that failed or got an RST, with comments on the relevant frames.
//!
//! A connection is analyzed when it is over, and its frames have passed by then. So during the first pass an
//! [`Excerpt`] collects the first and last frames of these connections, and the comments on their frames. A second pass over
//! the capture [numbers](Excerpt::number) the frames of the copy, because a comment may name a later frame, and a third one copies
//! them to a [`Target`]; of a joined capture it copies all frames.

use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::io::{self, Read, Write};
use std::mem;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::comments;
use super::connections::{Connection, ResetRecord};
use super::continuation::{FileNames, with_frames};
use super::decode::{Batch, FlowKey, FrameDecoder};
use super::icmp::IcmpRecord;
use super::{Analysis, Followed, story};
use crate::file::pcapng::PcapNg;
use crate::file::{Block, Frame, Interface, each_block};
use crate::packet::fragment::Fragment;

/// Maximum number of RSTs, ICMP errors and failed connections in an excerpt. Each takes some hundred bytes of memory.
const MAX_ENTRIES: usize = 1 << 20;

/// Maximum number of frames whose story is in the comments, the first ones: each takes several hundred bytes.
const MAX_STORIES: usize = 1 << 16;

/// Maximum number of RSTs listed in a comment on the frame that triggered them.
const MAX_TRIGGERED_RESETS: usize = 16;

/// Number of frames before a connection in which fragments of its first segment may be.
const MAX_FRAGMENTS_BEFORE: u32 = 64;

/// Number of buffered bytes after which the output is written.
const WRITE_THRESHOLD: usize = 1 << 18;

/// Frames of a capture to be copied, and the comments on them.
#[derive(Debug)]
pub struct Excerpt {
    files: FileNames,
    /// First and last frames of the failed connections between these ends, in order. A connection that interrupted
    /// another one is explained by it, so the range includes the other.
    spans: HashMap<FlowKey, Vec<(u32, u32)>>,
    /// First and last frames of all failed connections between two hosts, the lower address first. Most fragments have no
    /// ports.
    hosts: HashMap<[IpAddr; 2], (u32, u32)>,
    notes: HashMap<u32, Notes>,
    /// Number in the copy of each frame that a comment names, 0 if it is not there.
    numbers: BTreeMap<u32, u32>,
    /// Pool of comment texts, because the same ones recur.
    texts: HashSet<Arc<str>>,
    /// Number of the last frame to copy.
    last: u32,
    count: usize,
    /// Frames with a story: the first ones.
    told: BinaryHeap<u32>,
    /// True if all frames are copied, and not only those of failed connections.
    is_whole: bool,
    /// Number of connections that failed or got an RST.
    pub connections: usize,
}

/// Comments on a frame.
#[derive(Debug, Default)]
struct Notes {
    /// Description of the connection that begins with the frame.
    begins: Option<Arc<str>>,
    /// Frame numbers of the RSTs that the frame triggers.
    triggers: Vec<u32>,
    /// Comments on the RST that the frame holds, or on the failure that it shows, the conclusion first.
    conclusion: Vec<Arc<str>>,
    /// Comment on the ICMP error that the frame holds.
    icmp: Option<Arc<str>>,
    /// Story of what the frame shows. Its sentences are hardly ever those of another frame.
    story: Vec<String>,
    /// Further comments on the RST that the frame holds.
    details: Vec<Arc<str>>,
    /// Sentence on the failure of another connection that this one may have followed from.
    preceded: Option<String>,
    /// True if the frame has a story, be it empty.
    is_told: bool,
}

impl Excerpt {
    /// Creates an empty excerpt of the capture in these files. Of captures that were joined all frames are copied: no file
    /// has them in one order.
    #[must_use]
    pub fn new(files: &FileNames) -> Self {
        Self {
            files: files.clone(),
            spans: HashMap::new(),
            hosts: HashMap::new(),
            notes: HashMap::new(),
            numbers: BTreeMap::new(),
            texts: HashSet::new(),
            last: 0,
            count: 0,
            told: BinaryHeap::new(),
            is_whole: files.are_joined(),
            connections: 0,
        }
    }

    /// Adds the comments on an RST.
    pub fn reset(&mut self, connection: &Connection<'_>, record: &ResetRecord) {
        self.count += 1;
        if self.is_too_long() {
            return;
        }
        let frame = record.reset.frame;
        let (conclusion, details) = comments::of_reset(record);
        let (conclusion, details) = (self.all_shared(conclusion), self.all_shared(details));
        let notes = self.notes.entry(frame).or_default();
        (notes.conclusion, notes.details) = (conclusion, details);
        self.tell(frame, || story::of_reset(connection, record));
        if let Some(triggered_by) = record.reset.triggered_by {
            self.numbers.insert(frame, 0);
            let triggers = &mut self.notes.entry(triggered_by).or_default().triggers;
            // One more than the maximum shows that there are more.
            if triggers.len() <= MAX_TRIGGERED_RESETS {
                triggers.push(frame);
            }
        }
    }

    /// Adds the story of what a frame shows, unless there are enough of earlier frames.
    fn tell(&mut self, frame: u32, story: impl FnOnce() -> Vec<String>) {
        if let Some(room) = self.room_for_story(frame) {
            room.story = story();
        }
    }

    /// Adds the sentence on the failure that the event of a frame may have followed from.
    pub fn followed(&mut self, followed: &Followed) {
        if let Some(room) = self.room_for_story(followed.frame) {
            room.preceded = Some(followed.preceded.sentence());
        }
    }

    /// Returns the notes for the story of a frame; `None` if there are enough of earlier frames. Threads report frames in any order, and
    /// the result does not depend on it.
    fn room_for_story(&mut self, frame: u32) -> Option<&mut Notes> {
        let is_told = |notes: &Notes| notes.is_told;
        if self.notes.get(&frame).is_some_and(is_told) {
            return self.notes.get_mut(&frame);
        }
        if self.told.len() == MAX_STORIES {
            if frame > *self.told.peek()? {
                return None;
            }
            if let Some(notes) = self.notes.get_mut(&self.told.pop()?) {
                (notes.story, notes.preceded, notes.is_told) = (Vec::new(), None, false);
            }
        }
        self.told.push(frame);
        let notes = self.notes.entry(frame).or_default();
        notes.is_told = true;
        Some(notes)
    }

    /// Adds the comment on an ICMP error. The frame is copied if its connection failed.
    pub fn icmp(&mut self, record: &IcmpRecord) {
        self.count += 1;
        if self.is_too_long() {
            return;
        }
        let text = self.shared(comments::of_icmp(record));
        self.notes.entry(record.frame).or_default().icmp = Some(text);
        self.tell(record.frame, || {
            story::of_icmp(record).into_iter().collect()
        });
    }

    /// Adds a connection that is over, if it failed or got an RST.
    pub fn connection(&mut self, connection: &Connection<'_>) {
        let failure = connection.failure.as_ref();
        if connection.resets == 0 && failure.is_none() {
            return;
        }
        self.count += 1;
        if self.is_too_long() {
            return;
        }
        let text = self.shared(comments::of_connection(connection));
        if let Some(failure) = failure.filter(|it| !it.kind.has_own_row()) {
            let conclusion = self.all_shared(comments::of_failure(failure));
            self.notes.entry(failure.frame).or_default().conclusion = conclusion;
            self.tell(failure.frame, || story::of_failure(connection, failure));
        }
        let (first, last) = connection.span;
        self.notes.entry(first).or_default().begins = Some(text);
        self.add_span(&connection.ends, (connection.depends_from, last));
        for translation in connection.translations {
            self.add_span(&translation.ends, (translation.first, last));
        }
        self.connections += 1;
        self.last = self.last.max(last);
    }

    /// Adds the first and last frames of a connection between these ends.
    fn add_span(&mut self, ends: &FlowKey, (first, last): (u32, u32)) {
        let spans = self.spans.entry(*ends).or_default();
        // Ranges that overlap are joined, so the ranges of one pair of ends are disjoint. Connections between one pair end
        // in order, unless a NAT gives that pair to another connection.
        let at = spans.partition_point(|(_, end)| *end < first);
        let end = at + spans[at..].partition_point(|(start, _)| *start <= last);
        let overlapping = spans[at..end].iter();
        let joined = overlapping.fold((first, last), |all, span| {
            (all.0.min(span.0), all.1.max(span.1))
        });
        spans.splice(at..end, [joined]);
        let mut hosts = [0, 1].map(|end| ends.socket(end).ip());
        hosts.sort_unstable();
        let span = self.hosts.entry(hosts).or_insert((u32::MAX, 0));
        *span = (span.0.min(first), span.1.max(last));
    }

    /// Returns the reason why the excerpt cannot be written, if it is too large for the memory.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.is_too_long().then(|| {
            format!(
                "it has more than {MAX_ENTRIES} RSTs, ICMP errors and failed connections; select fewer with --filter"
            )
        })
    }

    fn is_too_long(&self) -> bool {
        self.count > MAX_ENTRIES
    }

    fn all_shared(&mut self, texts: Vec<String>) -> Vec<Arc<str>> {
        texts.into_iter().map(|text| self.shared(text)).collect()
    }

    fn shared(&mut self, text: String) -> Arc<str> {
        if let Some(text) = self.texts.get(text.as_str()) {
            return Arc::clone(text);
        }
        self.note_frames(&text);
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// Notes the frames that a text names: they are looked up in the copy.
    fn note_frames(&mut self, text: &str) {
        with_frames(text, |frame| {
            self.numbers.insert(frame, 0);
            String::new()
        });
    }

    /// Returns true if this frame of a connection between these ends is part of the excerpt.
    fn holds(&self, ends: &FlowKey, frame: u32) -> bool {
        let Some(spans) = self.spans.get(ends) else {
            return false;
        };
        // The ranges are disjoint and sorted, so only the first one that ends at the frame or later can contain it.
        let next = spans.partition_point(|(_, last)| *last < frame);
        spans.get(next).is_some_and(|(first, _)| *first <= frame)
    }

    /// Returns true if this fragment is between hosts of a connection in the excerpt, within its time.
    fn holds_fragment(&self, packet: &[u8], frame: u32) -> bool {
        let Some(fragment) = Fragment::of(packet) else {
            return false;
        };
        let mut hosts = [fragment.key.source, fragment.key.destination];
        hosts.sort_unstable();
        // The first fragments of the first segment come before the frame that completes it.
        self.hosts.get(&hosts).is_some_and(|(first, last)| {
            (first.saturating_sub(MAX_FRAGMENTS_BEFORE)..=*last).contains(&frame)
        })
    }

    /// Returns the name of a frame: its number in the copy, then its number in its file.
    fn name(&self, frame: u32) -> String {
        let (file, old) = self.files.locate(frame);
        match self.numbers.get(&frame) {
            Some(0) | None => format!("frame {old} of {file}"),
            Some(new) => format!("frame {new} ({old} of {file})"),
        }
    }

    /// Returns the comments on this frame, the conclusion first, and last those in the capture. `new` is its number in the
    /// copy.
    fn comments(&self, (number, new): (u32, u32), frame: &Frame<'_>) -> Vec<String> {
        let own = frame.comments.iter().map(ToString::to_string);
        let Some(notes) = self.notes.get(&number) else {
            return own.collect();
        };
        let (file, old) = self.files.locate(number);
        let mut comments = Vec::new();
        let conclusion = notes.conclusion.iter().chain(&notes.icmp);
        let texts = (conclusion.map(AsRef::as_ref))
            .chain(notes.story.iter().map(String::as_str))
            .chain(notes.details.iter().map(AsRef::as_ref))
            .chain(notes.preceded.as_deref());
        comments.extend(texts.map(|text: &str| with_frames(text, |frame| self.name(frame))));
        if let Some(first) = comments.first_mut() {
            *first = format!("frame {new} ({old} of {file}): {first}");
        }
        for triggered in notes.triggers.iter().take(MAX_TRIGGERED_RESETS) {
            comments.push(format!("triggers the RST in {}", self.name(*triggered)));
        }
        if notes.triggers.len() > MAX_TRIGGERED_RESETS {
            comments.push("triggers more RSTs".to_owned());
        }
        if let Some(text) = &notes.begins {
            comments.push(format!("connection {old} of {file}: {text}"));
        }
        comments.extend(own);
        comments
    }

    /// Reads the capture again and numbers the frames that comments name, as they will be in the copy. Fails if the
    /// capture cannot be read.
    pub fn number(
        &mut self,
        from: &mut dyn Read,
        analysis: &Analysis,
        to: &Target<impl Write>,
    ) -> Result<(), Failed> {
        let mut new = u32::try_from(to.frames).unwrap_or(u32::MAX);
        let notes = mem::take(&mut self.notes);
        for notes in notes.values() {
            let texts = notes.story.iter().chain(&notes.preceded);
            texts.for_each(|text| self.note_frames(text));
        }
        self.notes = notes;
        let mut numbers = mem::take(&mut self.numbers);
        let numbered = self.each_frame(from, analysis, |block| {
            if let Wanted::Frame(number, _) = block {
                new = new.saturating_add(1);
                if let Some(named) = numbers.get_mut(&number) {
                    *named = new;
                }
            }
            Ok(())
        });
        self.numbers = numbers;
        numbered.map(drop)
    }

    /// Reads the capture again, with the settings of the analysis that the excerpt was collected with, and copies the
    /// frames of the excerpt to `to`. Returns `Ok(false)` if the capture has fewer frames than before. Fails if the
    /// capture cannot be read, or the copy cannot be written.
    pub fn copy(
        &self,
        from: &mut dyn Read,
        analysis: &Analysis,
        to: &mut Target<impl Write>,
    ) -> Result<bool, Failed> {
        // The interfaces of this capture follow those of earlier ones in the output.
        let earlier = to.interfaces;
        self.each_frame(from, analysis, |block| match block {
            Wanted::Interface(interface) => to.interface(interface, &self.files),
            Wanted::Frame(number, frame) => {
                let new = u32::try_from(to.frames + 1).unwrap_or(u32::MAX);
                to.frame(earlier, frame, &self.comments((number, new), frame))
            }
        })
    }

    /// Reads the capture again and takes each interface and each frame of the excerpt. Returns `Ok(false)` if the capture has
    /// fewer frames than before.
    fn each_frame(
        &self,
        from: &mut dyn Read,
        analysis: &Analysis,
        mut take: impl FnMut(Wanted<'_, '_>) -> io::Result<()>,
    ) -> Result<bool, Failed> {
        if self.spans.is_empty() && !self.is_whole {
            return Ok(true);
        }
        let mut decoder = FrameDecoder::new(&analysis.wanted);
        let mut batch = Batch::default();
        let mut number: u32 = 0;
        let ended = each_block(from, |reader, block, bytes| {
            let taken = match block {
                Block::Interface(interface) => take(Wanted::Interface(interface)),
                Block::Frame(frame) => {
                    number = number.saturating_add(1);
                    batch.clear();
                    decoder.decode(&mut batch, reader, frame, bytes);
                    if self.holds_frame(&batch, bytes, number) {
                        take(Wanted::Frame(number, frame))
                    } else {
                        Ok(())
                    }
                }
                Block::Section(_) | Block::Statistics(_) => Ok(()),
            };
            match taken {
                Err(error) => ControlFlow::Break(Err(error)),
                // No later frame is part of the excerpt.
                Ok(()) if number >= self.last && !self.is_whole => ControlFlow::Break(Ok(())),
                Ok(()) => ControlFlow::Continue(()),
            }
        });
        match ended {
            Err(error) => Err(Failed::Read(error)),
            Ok(ControlFlow::Break(Err(error))) => Err(Failed::Write(error)),
            Ok(ControlFlow::Break(Ok(()))) => Ok(true),
            Ok(ControlFlow::Continue(())) => Ok(self.is_whole),
        }
    }

    /// Returns true if the frame that was decoded into this batch is part of the excerpt.
    fn holds_frame(&self, batch: &Batch, bytes: &[u8], number: u32) -> bool {
        let segments = batch.segments.iter().flatten().map(|it| &it.ends);
        let errors = batch.errors.iter().flatten().map(|it| &it.ends);
        let mut fragments = batch.fragments.iter();
        self.is_whole && batch.filtered == 0
            || fragments.any(|it| self.holds_fragment(it.packet(bytes), number))
            || segments.chain(errors).any(|ends| self.holds(ends, number))
    }
}

/// Block of a capture that goes to the copy.
enum Wanted<'a, 'b> {
    Interface(&'a Interface<'b>),
    /// Frame, with its number in the capture.
    Frame(u32, &'a Frame<'b>),
}

/// Failure while copying.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Error while reading the capture.
    #[error("read the capture: {0}")]
    Read(io::Error),
    /// Error while writing the copy.
    #[error("write the copy: {0}")]
    Write(io::Error),
}

/// Destination of a copy: a pcapng file of one section.
#[derive(Debug)]
pub struct Target<W> {
    file: PcapNg,
    out: W,
    interfaces: u32,
    /// Number of frames written.
    pub frames: u64,
}

impl<W: Write> Target<W> {
    /// Creates the file.
    pub fn new(out: W) -> Self {
        let application = concat!("rstproof ", env!("CARGO_PKG_VERSION"));
        Self {
            file: PcapNg::begin_anywhere(None, application, &[]),
            out,
            interfaces: 0,
            frames: 0,
        }
    }

    fn interface(&mut self, interface: &Interface<'_>, files: &FileNames) -> io::Result<()> {
        self.interfaces = self.interfaces.saturating_add(1);
        let names: Vec<&str> = files.names().collect();
        let (names, owner) = (
            names.join(", "),
            if names.len() > 1 { "their" } else { "that" },
        );
        let comment = format!(
            "of {names}: in the comments, the numbers of {owner} file follow those of this one"
        );
        self.file.interface(interface, &[comment]);
        self.write_if_long()
    }

    /// Adds a frame of a capture. `earlier` is the number of interfaces of the captures before it.
    fn frame(&mut self, earlier: u32, frame: &Frame<'_>, comments: &[String]) -> io::Result<()> {
        let interface = earlier.saturating_add(frame.interface);
        self.frames += 1;
        let (at, wire_len) = (frame.at, frame.wire_len);
        (self.file).frame(interface, at, wire_len, frame.captured, comments);
        self.write_if_long()
    }

    fn write_if_long(&mut self) -> io::Result<()> {
        if self.file.bytes().len() < WRITE_THRESHOLD {
            return Ok(());
        }
        self.file.drain_to(&mut self.out)
    }

    /// Writes the rest of the file and returns the writer. Fails if writing fails.
    pub fn end(mut self) -> io::Result<W> {
        self.file.drain_to(&mut self.out)?;
        self.out.flush()?;
        Ok(self.out)
    }
}
