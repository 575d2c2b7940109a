//! The part of a capture that its resets are about: all frames of the connections that had one, each that matters commented.
//!
//! What is known of a connection is known when it is over, and its frames have passed by then. So while a capture is read an
//! [`Excerpt`] collects where the connections that were reset begin and end, and what there is to say of which frame; then the
//! capture is read once more, and what belongs to them is copied to a [`Target`].

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::batch::{Batch, Ends, Look, Wanted};
use super::comments;
use super::table::{Connection, Told};
use crate::file::pcapng::PcapNg;
use crate::file::{Block, Frame, Interface, each_block};

/// Resets and connections of a capture of which is known what belongs to them. Each takes some hundred bytes.
const MOST: usize = 1 << 20;

/// A frame may draw any number of RSTs; so many are named.
const MOST_DRAWN: usize = 16;

/// A file is written in pieces of this length, in bytes.
const PIECE: usize = 1 << 18;

/// What of a capture is to be copied, and what there is to say of it.
#[derive(Debug)]
pub struct Excerpt {
    file: String,
    /// The first and the last frame of each connection between these ends that was reset, in their order. One that began in
    /// the midst of another is explained by that, and has it with it.
    spans: HashMap<Ends, Vec<(u32, u32)>>,
    notes: HashMap<u32, Notes>,
    /// Texts are the same again and again.
    texts: HashSet<Arc<str>>,
    /// The last frame that is wanted.
    last: u32,
    count: usize,
    /// Connections that were reset.
    pub connections: usize,
}

/// What there is to say of a frame.
#[derive(Debug, Default)]
struct Notes {
    /// It is the first of a connection, of which this is said.
    begins: Option<Arc<str>>,
    /// It draws the RSTs in these frames.
    draws: Vec<u32>,
    /// It is a RST.
    reset: Vec<Arc<str>>,
}

impl Excerpt {
    /// Of the capture in this file, before anything of it has been read.
    #[must_use]
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            spans: HashMap::new(),
            notes: HashMap::new(),
            texts: HashSet::new(),
            last: 0,
            count: 0,
            connections: 0,
        }
    }

    /// Takes in RSTs.
    pub fn resets(&mut self, resets: &[Told]) {
        for told in resets {
            self.count += 1;
            if self.is_too_long() {
                return;
            }
            let comments = comments::of_reset(told);
            let comments = comments.into_iter().map(|text| self.shared(text)).collect();
            let frame = told.reset.frame;
            self.notes.entry(frame).or_default().reset = comments;
            if let Some(drawn_by) = told.reset.drawn_by {
                let draws = &mut self.notes.entry(drawn_by).or_default().draws;
                // One more than is named tells that there are more.
                if draws.len() <= MOST_DRAWN {
                    draws.push(frame);
                }
            }
        }
    }

    /// Takes in a connection that is over.
    pub fn connection(&mut self, connection: &Connection<'_>) {
        if connection.resets == 0 {
            return;
        }
        self.count += 1;
        if self.is_too_long() {
            return;
        }
        let text = self.shared(comments::of_connection(connection));
        let (first, last) = connection.span;
        self.notes.entry(first).or_default().begins = Some(text);
        let spans = self.spans.entry(connection.ends).or_default();
        match spans.last_mut() {
            Some(before) if before.1 >= connection.rests_on => before.1 = last,
            _ => spans.push((connection.rests_on, last)),
        }
        self.connections += 1;
        self.last = self.last.max(last);
    }

    /// Takes in what was noted of other connections of the same capture.
    pub fn merge(&mut self, other: Self) {
        // A frame is of one connection, so of one of the two.
        self.notes.extend(other.notes);
        self.spans.extend(other.spans);
        self.last = self.last.max(other.last);
        self.count += other.count;
        self.connections += other.connections;
    }

    /// Why it cannot be written, if it cannot: it would take too much memory.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.is_too_long().then(|| {
            format!("it has more than {MOST} resets and connections that were reset; let fewer through with --filter")
        })
    }

    fn is_too_long(&self) -> bool {
        self.count > MOST
    }

    fn shared(&mut self, text: String) -> Arc<str> {
        if let Some(text) = self.texts.get(text.as_str()) {
            return Arc::clone(text);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// Whether this frame of a connection between these ends is wanted.
    fn holds(&self, ends: &Ends, frame: u32) -> bool {
        let Some(spans) = self.spans.get(ends) else {
            return false;
        };
        let next = spans.partition_point(|(_, last)| *last < frame);
        spans.get(next).is_some_and(|(first, _)| *first <= frame)
    }

    /// The comments on this frame, those of the capture first.
    fn comments(&self, number: u32, frame: &Frame<'_>) -> Vec<String> {
        let mut comments: Vec<String> = frame.comments.iter().map(ToString::to_string).collect();
        let Some(notes) = self.notes.get(&number) else {
            return comments;
        };
        let file = &self.file;
        if let Some(text) = &notes.begins {
            comments.push(format!("connection {number} of {file}: {text}"));
        }
        for drawn in notes.draws.iter().take(MOST_DRAWN) {
            comments.push(format!("triggers the RST in frame {drawn} of {file}"));
        }
        if notes.draws.len() > MOST_DRAWN {
            comments.push("triggers more RSTs".to_owned());
        }
        if let [others @ .., last] = &*notes.reset {
            comments.extend(others.iter().map(ToString::to_string));
            comments.push(format!("frame {number} of {file}: {last}"));
        }
        comments
    }

    /// Reads the capture once more, looking at it as before, and copies what is wanted to this. `Ok(false)` if it is not the same
    /// any more.
    pub fn copy(
        &self,
        from: &mut dyn Read,
        wanted: &Wanted,
        to: &mut Target<impl Write>,
    ) -> Result<bool, Failed> {
        if self.spans.is_empty() {
            return Ok(true);
        }
        let mut look = Look::new(wanted);
        let mut batch = Batch::default();
        let mut number: u32 = 0;
        let earlier = to.interfaces;
        let ended = each_block(from, |reader, block, bytes| {
            let written = match block {
                Block::Interface(interface) => to.interface(interface, &self.file),
                Block::Frame(frame) => {
                    number = number.saturating_add(1);
                    batch.clear();
                    look.at(&mut batch, reader, frame, bytes);
                    let is_wanted = |seen| self.holds(seen, number);
                    let mut seen = batch.segments.iter().flatten();
                    if seen.next().is_some_and(|it| is_wanted(&it.ends)) {
                        to.frame(earlier, frame, &self.comments(number, frame))
                    } else {
                        Ok(())
                    }
                }
                Block::Section(_) | Block::Statistics(_) => Ok(()),
            };
            match written {
                Err(error) => ControlFlow::Break(Err(error)),
                Ok(()) if number >= self.last => ControlFlow::Break(Ok(())),
                Ok(()) => ControlFlow::Continue(()),
            }
        });
        match ended {
            Err(error) => Err(Failed::Read(error)),
            Ok(ControlFlow::Break(Err(error))) => Err(Failed::Write(error)),
            Ok(ControlFlow::Break(Ok(()))) => Ok(true),
            Ok(ControlFlow::Continue(())) => Ok(false),
        }
    }
}

/// What has failed in copying.
#[derive(Debug)]
pub enum Failed {
    /// Reading the capture.
    Read(io::Error),
    /// Writing the copy.
    Write(io::Error),
}

/// What is copied to: a pcapng of one section.
#[derive(Debug)]
pub struct Target<W> {
    file: PcapNg,
    out: W,
    interfaces: u32,
    /// How many frames it has.
    pub frames: u64,
}

impl<W: Write> Target<W> {
    /// Begins the file.
    pub fn new(out: W) -> Self {
        let application = concat!("rstproof ", env!("CARGO_PKG_VERSION"));
        Self {
            file: PcapNg::begin_anywhere(None, application, &[]),
            out,
            interfaces: 0,
            frames: 0,
        }
    }

    fn interface(&mut self, interface: &Interface<'_>, file: &str) -> io::Result<()> {
        self.interfaces = self.interfaces.saturating_add(1);
        let comment =
            format!("of {file}: the numbers of frames in the comments are those of that file");
        self.file.interface(interface, &[comment]);
        self.write_if_long()
    }

    /// Adds a frame of a capture that has so many interfaces before its own.
    fn frame(&mut self, earlier: u32, frame: &Frame<'_>, comments: &[String]) -> io::Result<()> {
        let interface = earlier.saturating_add(frame.interface);
        self.frames += 1;
        let (at, wire_len) = (frame.at, frame.wire_len);
        (self.file).frame(interface, at, wire_len, frame.captured, comments);
        self.write_if_long()
    }

    fn write_if_long(&mut self) -> io::Result<()> {
        if self.file.bytes().len() < PIECE {
            return Ok(());
        }
        self.file.drain_to(&mut self.out)
    }

    /// All is in it: writes what is left, and gives back what it was written to.
    pub fn end(mut self) -> io::Result<W> {
        self.file.drain_to(&mut self.out)?;
        self.out.flush()?;
        Ok(self.out)
    }
}
