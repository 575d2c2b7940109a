//! Frames of one file, one after the other, with no more than a piece of the file in memory.
//!
//! Files that are merged are read in turn, so each of them is pulled from: a walk over all blocks of one file would not
//! let another file have its turn.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use super::super::pipeline::Stopped;
use crate::file::{
    Block, Format, Frame, Interface, MAX_BLOCK, Malformed, Problem, Reader, Skipped, Statistics,
};

/// Number of bytes read at once.
const PIECE: u64 = 256 << 10;

/// Number of bytes that suffice to recognize a file.
const HEADER: usize = 64;

/// Block of a file.
#[derive(Debug)]
pub(super) enum Item {
    /// Frame, which [`FrameSource::frame`] returns.
    Frame,
    /// Interface of the frames that follow.
    Interface(Interface<'static>),
    /// Counts of an interface.
    Statistics(Statistics<'static>),
}

/// Frame whose bytes are in the buffer.
#[derive(Debug)]
struct Held {
    /// The frame, without its bytes.
    frame: Frame<'static>,
    captured: Range<usize>,
}

/// Reader of the blocks of a file.
#[derive(Debug)]
pub(super) struct FrameSource<R> {
    from: R,
    has_comments: bool,
    bytes: Vec<u8>,
    /// Offset in `bytes` of the next block.
    next: usize,
    /// Offset in the file of the first of `bytes`.
    before: u64,
    reader: Option<Reader<'static>>,
    skipped: Option<Skipped>,
    held: Option<Held>,
    /// Interface that the header of the file describes.
    declared: Option<Interface<'static>>,
    is_at_end: bool,
    /// Reason why the rest of the file cannot be read.
    stopped: Option<Stopped>,
    is_over: bool,
}

/// What became of a look at the next block.
enum Look {
    Item(Item),
    /// A block of no interest.
    Nothing,
    /// The block continues behind the bytes that have been read.
    More,
    Problem(Problem),
}

impl<R: Read> FrameSource<R> {
    /// Creates the reader of a file. Comments take memory, so they are read only if asked for.
    pub(super) fn new(from: R, has_comments: bool) -> Self {
        Self {
            from,
            has_comments,
            bytes: Vec::new(),
            next: 0,
            before: 0,
            reader: None,
            skipped: None,
            held: None,
            declared: None,
            is_at_end: false,
            stopped: None,
            is_over: false,
        }
    }

    /// Returns the next block; `None` at the end of the file, or of what can be read of it.
    pub(super) fn next(&mut self) -> Option<Item> {
        self.held = None;
        while !self.is_over {
            if self.reader.is_none() {
                self.open();
                continue;
            }
            if let Some(interface) = self.declared.take() {
                return Some(Item::Interface(interface));
            }
            if self.skipped.is_some() {
                self.skip();
                continue;
            }
            match self.look() {
                Look::Item(item) => return Some(item),
                Look::Nothing => {}
                Look::More => self.fill(),
                Look::Problem(problem) => self.stop(problem),
            }
        }
        None
    }

    /// Returns the frame that [`next`](Self::next) has found.
    pub(super) fn frame(&self) -> Option<Frame<'_>> {
        let held = self.held.as_ref()?;
        Some(Frame {
            captured: self.bytes.get(held.captured.clone())?,
            comments: held.frame.comments.clone(),
            ..held.frame
        })
    }

    /// Returns the reader after the latest block, which knows the interfaces.
    pub(super) fn reader(&self) -> Option<&Reader<'static>> {
        self.reader.as_ref()
    }

    /// Returns the offset up to which the file was read.
    pub(super) fn position(&self) -> u64 {
        self.before + self.next as u64
    }

    /// Returns the reason why the rest of the file was not read.
    pub(super) fn into_stopped(self) -> Option<Stopped> {
        self.stopped
    }

    fn stop(&mut self, problem: Problem) {
        let offset = self.position();
        self.is_over = true;
        self.stopped = Some(Stopped::Malformed(Malformed { offset, problem }));
    }

    /// Recognizes the format.
    fn open(&mut self) {
        if self.bytes.len() < HEADER && !self.is_at_end {
            return self.fill();
        }
        match Reader::new(&self.bytes) {
            Ok(mut reader) => {
                self.next = reader.offset();
                // The header of a classic pcap or of snoop describes a section and an interface.
                while reader.format() != Format::PcapNg && self.declared.is_none() {
                    match reader.one_block() {
                        Ok(Some(Block::Interface(interface))) => {
                            self.declared = Some(of_file(interface));
                        }
                        Ok(Some(Block::Section(_))) => {}
                        _ => break,
                    }
                }
                let reader = reader.resume(&[]).with_unusable_times();
                self.reader = Some(if self.has_comments {
                    reader
                } else {
                    reader.without_comments()
                });
            }
            Err(error) => self.stop(error.problem),
        }
    }

    /// Ends the source: nothing is left, or the block that begins here is cut.
    fn end(&mut self) {
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        let problem = match &self.reader {
            Some(reader) if !rest.is_empty() => match reader.resume(rest).next() {
                Some(Err(error)) => Some(error.problem),
                _ => Some(Problem::Begun(reader.part())),
            },
            _ => None,
        };
        self.is_over = true;
        if let Some(problem) = problem {
            self.stop(problem);
        }
    }

    /// Reads one more piece. An error after some bytes is left to the next call.
    fn fill(&mut self) {
        if self.is_at_end {
            self.end();
            return;
        }
        self.bytes.drain(..self.next);
        self.before += self.next as u64;
        self.next = 0;
        let length = self.bytes.len();
        match (&mut self.from).take(PIECE).read_to_end(&mut self.bytes) {
            Err(error) if self.bytes.len() == length => {
                self.is_over = true;
                self.stopped = Some(Stopped::Io(error, self.before + length as u64));
            }
            _ => self.is_at_end = self.bytes.len() == length,
        }
    }

    /// Continues to skip a block of an unknown kind, which may be longer than memory.
    fn skip(&mut self) {
        let Some(block) = &mut self.skipped else {
            return;
        };
        self.next += block.pass(&self.bytes[self.next..]);
        match block.end() {
            Some(Ok(_)) => self.skipped = None,
            Some(Err(problem)) => self.stop(problem),
            None if self.is_at_end => {
                let problem = block.cut();
                self.stop(problem);
            }
            None => self.fill(),
        }
    }

    fn look(&mut self) -> Look {
        let (Some(known), Some(rest)) = (&self.reader, self.bytes.get(self.next..)) else {
            return Look::More;
        };
        if rest.is_empty() {
            return Look::More;
        }
        let mut reader = known.resume(rest);
        let start = rest.as_ptr().addr() - self.bytes.as_ptr().addr();
        let block = match reader.frame() {
            Some(frame) => Ok(Some(Block::Frame(frame))),
            None => reader.one_block(),
        };
        let look = match block {
            Ok(Some(Block::Frame(frame))) => {
                let from = frame.captured.as_ptr().addr() - rest.as_ptr().addr() + start;
                self.held = Some(Held {
                    captured: from..from + frame.captured.len(),
                    frame: Frame {
                        captured: &[],
                        comments: owned(frame.comments),
                        interface: frame.interface,
                        at: frame.at,
                        wire_len: frame.wire_len,
                    },
                });
                Look::Item(Item::Frame)
            }
            Ok(Some(Block::Interface(interface))) => {
                Look::Item(Item::Interface(of_file(interface)))
            }
            Ok(Some(Block::Statistics(counts))) => Look::Item(Item::Statistics(Statistics {
                interface: counts.interface,
                received: counts.received,
                dropped: counts.dropped,
                times: counts.times,
                comments: Vec::new(),
            })),
            Ok(None) if reader.offset() == 0 => return Look::More,
            Ok(Some(Block::Section(_)) | None) => Look::Nothing,
            Err(Problem::Begun(_)) => return Look::More,
            Err(Problem::Cut { part, length, .. }) => {
                self.skipped = known.skipped(rest);
                return match &self.skipped {
                    Some(_) => Look::Nothing,
                    None if length > MAX_BLOCK => Look::Problem(Problem::TooLong {
                        part,
                        length,
                        most: MAX_BLOCK,
                    }),
                    None => Look::More,
                };
            }
            Err(problem) => return Look::Problem(problem),
        };
        let (offset, after) = (reader.offset(), reader.resume(&[]));
        self.next += offset;
        self.reader = Some(after);
        look
    }
}

/// Returns an interface that does not borrow its texts.
fn of_file(interface: Interface<'_>) -> Interface<'static> {
    Interface {
        link: interface.link,
        snaplen: interface.snaplen,
        name: interface.name.map(|it| it.into_owned().into()),
        filter: interface.filter.map(|it| it.into_owned().into()),
        comments: owned(interface.comments),
    }
}

fn owned(comments: Vec<Cow<'_, str>>) -> Vec<Cow<'static, str>> {
    let owned = |comment: Cow<'_, str>| comment.into_owned().into();
    comments.into_iter().map(owned).collect()
}
