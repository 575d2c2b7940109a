//! Text output of tcpdump, tshark and Wireshark, read as a capture.
//!
//! People paste what a program has printed instead of sending a capture. [`Text`] recognizes such text by its lines, whatever
//! surrounds them, and returns it as pcapng, so that one analysis serves both. Each packet becomes a frame that holds what
//! its lines state: addresses, control bits, numbers, window and options; with `tcpdump -v` the fields of the IP header. What they
//! do not state is 0 in the frame, and the number of the frame's interface shows what is absent ([`Absent`]), so that
//! nothing follows from a value that nobody has captured. A hex dump below a line has the packet itself, and is used instead.
//!
//! The frames keep the numbers of the text, if it has any; frames that are missing are padded. [`TextFacts`] has what the
//! text is and what it lacks.

mod facts;
mod hex;
mod line;
mod names;
mod numbers;
mod packet;
mod tcpdump;
mod time;
mod translate;
mod tshark;

#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::sync::Arc;

pub use facts::{TextFacts, TextNotes};
pub use time::TextClock;

use self::translate::{Finished, Translator};

/// Number of bytes read at once.
const PIECE: usize = 64 << 10;

/// Maximum length of a line in bytes; the rest of a longer one is skipped.
const MAX_LINE: usize = 16 << 10;

/// Number of bytes within which the first packet has to be found: a pasted text may begin with a report.
const MAX_PREFACE: usize = 256 << 10;

/// Maximum number of frames that stand for packets missing in the text.
const MAX_PADDING: u32 = 10_000_000;

/// Number of such frames that are made at once.
const PADDING_AT_ONCE: u32 = 4_096;

/// Properties that a frame made from text lacks, as bits of its interface's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Absent(u32);

impl Absent {
    /// The fields of the IP header.
    pub(crate) const IP_HEADER: Self = Self(1);
    /// The relation of SEQ to the other numbers of the connection.
    pub(crate) const SEQUENCE: Self = Self(2);
    /// The time.
    pub(crate) const TIME: Self = Self(4);
    /// The order of the TCP options, or one of them.
    pub(crate) const OPTIONS: Self = Self(8);
    /// The interface; else the frame has a header of Linux cooked v2.
    pub(crate) const POINT: Self = Self(16);
    /// Everything: the frame stands for a packet that is not in the text.
    const PADDING: Self = Self(32);

    /// Returns the absent properties of a frame on this interface.
    pub(crate) fn of_interface(interface: u32) -> Self {
        Self(interface)
    }

    /// Returns true if any of these properties is absent.
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns true if the frame stands for a packet that is not in the text.
    pub(crate) fn is_padding(self) -> bool {
        self.has(Self::PADDING)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Reader of a text, which returns it as pcapng. Memory does not depend on the length of the text, except for the numbers of up
/// to 262,144 connections.
#[derive(Debug)]
pub struct Text<R> {
    from: R,
    /// Bytes of the text that have not been translated, from `start` on.
    bytes: Vec<u8>,
    start: usize,
    /// True while the rest of a line that is too long is skipped.
    is_skipping: bool,
    is_at_end: bool,
    /// True if bytes were read since output was returned last.
    has_read: bool,
    /// Failure to read more, which is returned after what was read before.
    failed: Option<io::Error>,
    translator: Translator,
    /// Packet to be written, after this many frames of padding.
    due: Option<Finished>,
    owed: u32,
    padded: u32,
    /// Output that has not been returned, from `given` on.
    out: Vec<u8>,
    given: usize,
    /// True once the end of the output was written.
    is_over: bool,
}

impl<R: Read> Text<R> {
    /// Returns true if a file that begins with these bytes may be a text: it has no control characters but those of lines, and is no
    /// UTF-16.
    #[must_use]
    pub fn may_begin(bytes: &[u8]) -> bool {
        let is_control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b);
        !bytes.is_empty() && !bytes.iter().any(is_control) && !bytes.starts_with(&[0xff, 0xfe])
    }

    /// Begins to read a text. Returns `None` if none of its first lines is one of a packet.
    pub fn new(from: R) -> Option<Self> {
        let mut text = Self {
            from,
            bytes: Vec::new(),
            start: 0,
            is_skipping: false,
            is_at_end: false,
            has_read: false,
            failed: None,
            translator: Translator::default(),
            due: None,
            owed: 0,
            padded: 0,
            out: Vec::new(),
            given: 0,
            is_over: false,
        };
        // The first times show what the times mean, and so does the first packet that there is one.
        loop {
            let probe = translate::probe(&text.bytes, text.is_at_end);
            if let Some(clock) = probe.clock(text.is_at_end || text.bytes.len() >= PIECE) {
                text.translator.begin(clock, probe.first());
                text.out = text.translator.take_output();
                return Some(text);
            }
            let is_hopeless = text.bytes.len() >= MAX_PREFACE && !probe.has_packet();
            if text.is_at_end || is_hopeless {
                return None;
            }
            text.fill();
        }
    }

    /// Returns what is known of the text, which is complete once all of it has been read.
    pub fn notes(&self) -> Arc<TextNotes> {
        self.translator.notes()
    }

    /// Returns the source of the text.
    pub fn get_ref(&self) -> &R {
        &self.from
    }

    /// Returns true if output can be returned without reading.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        self.has_output() || self.owed > 0 || self.due.is_some() || rest.contains(&b'\n')
    }

    fn has_output(&self) -> bool {
        self.given < self.out.len()
    }

    /// Reads one more piece of the text.
    fn fill(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + PIECE, 0);
        let read = loop {
            match self.from.read(&mut self.bytes[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let length = match read {
            Ok(length) => length,
            Err(error) => {
                self.failed = Some(error);
                0
            }
        };
        self.bytes.truncate(before + length);
        self.is_at_end = length == 0;
        self.has_read = true;
    }

    /// Translates the next line, if all of it has been read. Returns false if there is none.
    fn take_line(&mut self) -> bool {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, length) = match end {
            Some(end) => (&rest[..end], end + 1),
            None if rest.len() >= MAX_LINE || self.is_at_end && !rest.is_empty() => {
                (rest, rest.len())
            }
            None => return false,
        };
        // A line is parsed several times, by both programs' rules, so its length is bounded before.
        let line = &line[..line.len().min(MAX_LINE)];
        self.start += length;
        // Only the first part of a long line is one of a packet.
        let is_continued = std::mem::replace(&mut self.is_skipping, end.is_none());
        if !is_continued {
            let finished = self.translator.line(&String::from_utf8_lossy(line));
            self.note(finished);
        }
        true
    }

    /// Takes in a complete packet: what the text has before it is padded up to its number.
    fn note(&mut self, finished: Option<Finished>) {
        let Some(finished) = finished else { return };
        let next = self.translator.frames().saturating_add(1);
        let missing = finished
            .number()
            .map_or(0, |number| number.saturating_sub(next));
        // Without padding the numbers of the following frames are too low, but the text is read: a number may be a damaged one, and
        // a hostile text has any number.
        if missing <= MAX_PADDING - self.padded {
            (self.owed, self.padded) = (missing, self.padded + missing);
        }
        self.due = Some(finished);
    }

    /// Produces more output. Returns false at its end.
    fn advance(&mut self) -> bool {
        loop {
            if self.owed > 0 {
                let some = self.owed.min(PADDING_AT_ONCE);
                self.translator.pad(some);
                self.owed -= some;
            } else if let Some(due) = self.due.take() {
                self.translator.write(due);
            } else if self.take_line() {
                continue;
            } else if self.is_at_end && self.failed.is_none() {
                let finished = self.translator.finish();
                if finished.is_some() {
                    self.note(finished);
                    continue;
                }
                if self.is_over {
                    return false;
                }
                self.is_over = true;
                self.translator.write_end();
            } else if self.failed.is_some() {
                return false;
            } else if self.has_read {
                // Whoever reads a live capture waits for input by itself, so each piece of the text gives some output.
                self.has_read = false;
                self.translator.fill_in();
            } else {
                self.fill();
                continue;
            }
            self.out = self.translator.take_output();
            self.given = 0;
            if !self.out.is_empty() {
                self.has_read = false;
                return true;
            }
        }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if !self.has_output() && !self.advance() {
            return match self.failed.take() {
                Some(error) => Err(error),
                None => Ok(0),
            };
        }
        let rest = &self.out[self.given..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        Ok(length)
    }
}
