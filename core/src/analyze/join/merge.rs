//! Joined capture: the frames of several files in the order of their corrected times, as one pcapng.
//!
//! Each file keeps the order of its own frames. Between the files the corrected time decides; where it would put a copy
//! of a segment before the one that is nearer to the sender, the copy waits.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::super::decode::{Batch, FrameDecoder, FrameSelection};
use super::Shared;
use super::frames::Compared;
use super::source::{FrameSource, Item};
use crate::file::pcapng::{self, PcapNg};
use crate::file::{Frame, Interface, Reader, Statistics};
use crate::time::Timestamp;

/// Number of bytes that are prepared at once.
const PIECE: usize = 256 << 10;

/// Maximum length of a name and of a filter of an interface, in bytes. They are kept in memory.
const MAX_NAME: usize = 64;
const MAX_FILTER: usize = 256;

/// Frame that must not come before another one: the file and the number of that frame, and its corrected time.
pub(super) type After = (usize, u32, i64);

/// File that is merged.
#[derive(Debug)]
struct Part<R> {
    source: FrameSource<R>,
    /// Interfaces of the file, each with its number in the merged capture.
    interfaces: Vec<(Interface<'static>, Option<u32>)>,
    /// Corrected time of the next frame; `None` at the end of the file.
    next: Option<i64>,
    /// Latest time by which frames of this file were ordered.
    latest: i64,
    /// Number of frames that were taken.
    frames: u32,
}

/// Reader of a joined capture.
#[derive(Debug)]
pub struct Joined<R> {
    shared: Arc<Shared>,
    /// True if the files of the frames are recorded.
    records: bool,
    parts: Vec<Part<R>>,
    out: PcapNg,
    /// Number of bytes of `out` that have been returned.
    given: usize,
    interfaces: u32,
    added: Vec<(usize, Compared)>,
    has_begun: bool,
}

impl<R: Read> Joined<R> {
    pub(super) fn new(shared: &Arc<Shared>, sources: Vec<R>, is_for_copy: bool) -> Self {
        let shared = Arc::clone(shared);
        if !is_for_copy {
            shared.frames.clear();
        }
        let part = |from| Part {
            source: FrameSource::new(from, is_for_copy),
            interfaces: Vec::new(),
            next: None,
            latest: i64::MIN,
            frames: 0,
        };
        Self {
            shared,
            records: !is_for_copy,
            parts: sources.into_iter().map(part).collect(),
            out: PcapNg::begin_anywhere(None, "rstproof", &[]),
            given: 0,
            interfaces: 0,
            added: Vec::new(),
            has_begun: false,
        }
    }

    /// Moves on to the next frame of a file.
    fn advance(&mut self, file: usize) -> io::Result<()> {
        loop {
            let part = &mut self.parts[file];
            match part.source.next() {
                None => {
                    part.next = None;
                    return self.is_whole(file);
                }
                Some(Item::Interface(interface)) => {
                    part.interfaces.push((shortened(interface), None));
                }
                Some(Item::Statistics(counts)) => self.statistics(file, &counts),
                Some(Item::Frame) => {
                    let at = part.source.frame().map_or(0, |frame| frame.at.0);
                    let number = part.frames.saturating_add(1);
                    let at = self.shared.members[file].corrected_frame(at, number);
                    // A file keeps its order, also where its times go back.
                    part.latest = part.latest.max(at);
                    part.next = Some(part.latest);
                    return Ok(());
                }
            }
        }
    }

    /// Fails if the file has fewer frames than before.
    fn is_whole(&self, file: usize) -> io::Result<()> {
        let member = &self.shared.members[file];
        if self.parts[file].frames < member.outline.frames {
            return Err(io::Error::other(format!("{} has changed", member.name)));
        }
        Ok(())
    }

    fn statistics(&mut self, file: usize, counts: &Statistics<'_>) {
        let Some(dropped) = counts.dropped.filter(|dropped| *dropped > 0) else {
            return;
        };
        let number = self.interface(file, counts.interface);
        let counts = pcapng::Statistics {
            began: Timestamp(0),
            ended: Timestamp(0),
            received: counts.received.unwrap_or(0),
            dropped,
        };
        self.out.statistics(number, counts);
    }

    /// Returns the file whose frame comes next.
    fn next_file(&self) -> Option<usize> {
        // Of equal times the file that was given first comes first, unless its frame has to wait.
        let heads = self.parts.iter().enumerate();
        let heads = heads.filter_map(|(file, part)| Some((part.next?, file)));
        let mut file = heads.min()?.1;
        // One step for each file: a circle of frames that wait for each other is cut.
        for _ in 0..self.parts.len() {
            let number = self.parts[file].frames.saturating_add(1);
            match self.shared.after.get(&(file, number)) {
                Some((other, frame, _))
                    if self.parts[*other].frames < *frame && self.parts[*other].next.is_some() =>
                {
                    file = *other;
                }
                _ => break,
            }
        }
        Some(file)
    }

    /// Adds the next frame of a file to the output.
    fn take(&mut self, file: usize) -> io::Result<()> {
        let number = self.parts[file].frames.saturating_add(1);
        let interface = self.parts[file].source.frame().map_or(0, |it| it.interface);
        let interface = self.interface(file, interface);
        let source = &self.parts[file].source;
        let (Some(frame), Some(reader)) = (source.frame(), source.reader()) else {
            return self.advance(file);
        };
        let at = self.shared.members[file].corrected_frame(frame.at.0, number);
        let at = match self.shared.after.get(&(file, number)) {
            Some((_, _, other)) if frame.at != Timestamp::UNUSABLE => at.max(*other),
            _ => at,
        };
        // Needed only if there are more RSTs than the first pass keeps.
        let is_reset = || has_reset(reader, &frame, self.shared.inside_tunnels);
        let compared = self.shared.compared(file, number, at, is_reset);
        let comments: Vec<String> = frame.comments.iter().map(ToString::to_string).collect();
        let at = Timestamp(at);
        (self.out).odd_frame(interface, at, frame.wire_len, frame.captured, &comments);
        self.parts[file].frames = number;
        self.added.push((file, compared));
        self.advance(file)
    }

    /// Returns the number in the merged capture of an interface of a file.
    fn interface(&mut self, file: usize, interface: u32) -> u32 {
        let member = &self.shared.members[file];
        let Some((description, number)) = self.parts[file].interfaces.get_mut(interface as usize)
        else {
            return 0; // a frame names an interface that the reader knows
        };
        if let Some(number) = number {
            return *number;
        }
        let name = match &description.name {
            Some(name) => format!("{}: {name}", member.label),
            None => member.label.clone(),
        };
        let named = Interface {
            name: Some(name.into()),
            ..description.clone()
        };
        self.out.interface(&named, &[member.description()]);
        *number = Some(self.interfaces);
        self.interfaces += 1;
        self.interfaces - 1
    }

    /// Prepares the next bytes. Leaves none at the end.
    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.given = 0;
        if !self.has_begun {
            self.has_begun = true;
            self.out = PcapNg::begin_anywhere(None, "rstproof", &[]);
            for file in 0..self.parts.len() {
                self.advance(file)?;
            }
        }
        while self.out.bytes().len() < PIECE
            && let Some(file) = self.next_file()
        {
            self.take(file)?;
        }
        // Before the frames are handed out.
        if self.records {
            self.shared.frames.add(self.added.drain(..));
        }
        self.added.clear();
        Ok(())
    }
}

impl<R: Read> Read for Joined<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.given == self.out.bytes().len() || !self.has_begun {
            self.fill()?;
        }
        let rest = &self.out.bytes()[self.given..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        Ok(length)
    }
}

/// Returns an interface whose texts are short.
fn shortened(interface: Interface<'static>) -> Interface<'static> {
    let cut = |text: Cow<'static, str>, most: usize| -> Cow<'static, str> {
        let end = (0..=most.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text[..end.unwrap_or(0)].to_owned().into()
    };
    Interface {
        name: interface.name.map(|it| cut(it, MAX_NAME)),
        filter: interface.filter.map(|it| cut(it, MAX_FILTER)),
        comments: Vec::new(),
        ..interface
    }
}

/// Frames that must not come before others.
pub(super) type Waiting = HashMap<(usize, u32), After>;

/// Returns true if this frame is an RST.
fn has_reset(reader: &Reader<'_>, frame: &Frame<'_>, inside_tunnels: bool) -> bool {
    let wanted = FrameSelection {
        inside_tunnels,
        ..FrameSelection::default()
    };
    let mut batch = Batch::default();
    FrameDecoder::new(&wanted).decode(&mut batch, reader, frame, frame.captured);
    batch.resets > 0
}
