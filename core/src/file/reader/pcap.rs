//! Reader of classic pcap (draft-ietf-opsawg-pcap): a header, then records.

use super::fields::{ByteOrder, Fields};
use super::preamble::Preamble;
use super::{Part, Problem};
use crate::file::{Block, Frame, Interface};
use crate::time::Timestamp;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// Length of the file's header, in bytes.
const HEADER: usize = 24;
/// Length of the header of a record, in bytes.
const RECORD_HEADER: usize = 16;

/// Byte order and time unit, which the magic number states.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    order: ByteOrder,
    /// Unit of the fractions of a second, in nanoseconds.
    unit: u32,
}

impl Encoding {
    /// Returns the encoding; `None` if the file does not begin with one of the magic numbers.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let magic = *bytes.first_chunk()?;
        [ByteOrder::Little, ByteOrder::Big]
            .into_iter()
            .find_map(|order| {
                let unit = match order.u32(magic) {
                    MICROSECONDS => 1_000,
                    NANOSECONDS => 1,
                    _ => return None,
                };
                Some(Self { order, unit })
            })
    }
}

/// Records of a file, preceded by a section and an interface.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    /// Offset of the next record.
    offset: usize,
    encoding: Encoding,
    minor: u16,
    link: u16,
    snaplen: u32,
    preamble: Preamble,
}

impl<'a> Records<'a> {
    /// Reads the file's header.
    pub(super) fn new(bytes: &'a [u8], encoding: Encoding) -> Result<Self, Problem> {
        let length = HEADER as u64;
        let cut = Problem::Header { length };
        let mut fields = Fields::new(bytes, encoding.order);
        let _magic = fields.u32().ok_or(cut)?;
        let major = fields.u16().ok_or(cut)?;
        let minor = fields.u16().ok_or(cut)?;
        // Time zone and accuracy of the clock: zero in practice, and libpcap ignores both.
        let _reserved: [u8; 8] = fields.array().ok_or(cut)?;
        let snaplen = fields.u32().ok_or(cut)?;
        let link = fields.u32().ok_or(cut)?;
        if major != 2 {
            return Err(Problem::Version { major, minor });
        }
        Ok(Self {
            bytes,
            offset: HEADER,
            encoding,
            minor,
            link: (link & 0xffff) as u16, // above it: the length of the frame check sequence
            snaplen,
            preamble: Preamble::Section,
        })
    }

    /// Returns a reader of the records that begin at the first of these bytes.
    pub(super) fn resume<'b>(&self, bytes: &'b [u8]) -> Records<'b> {
        Records {
            bytes,
            offset: 0,
            encoding: self.encoding,
            minor: self.minor,
            link: self.link,
            snaplen: self.snaplen,
            preamble: Preamble::Done,
        }
    }

    /// Returns true if the section and the interface in front of the frames have been returned.
    pub(super) fn is_at_frames(&self) -> bool {
        self.preamble.is_done()
    }

    pub(super) fn link(&self) -> u16 {
        self.link
    }

    /// Returns the offset of the record after the one at `at`, if a plausible record begins there.
    pub(super) fn next_plausible(&self, bytes: &[u8], at: usize) -> Option<usize> {
        const MAX_LENGTH: u32 = 262_144;
        let header = bytes.get(at..)?.first_chunk::<RECORD_HEADER>()?;
        let order = self.encoding.order;
        let (words, _) = header.as_chunks::<4>();
        let field = |nth: usize| order.u32(words[nth]);
        let (parts, captured, wire_len) = (field(1), field(2), field(3));
        // No frame is shorter than an Ethernet header, and libpcap and Wireshark limit frames to MAX_LENGTH.
        let is_one = parts < 1_000_000_000 / self.encoding.unit
            && (14..=MAX_LENGTH).contains(&captured)
            && captured <= wire_len
            && wire_len <= MAX_LENGTH;
        is_one.then_some(at + RECORD_HEADER + captured as usize)
    }

    /// Returns the offset of the next record, or of the broken one.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the next block; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Block<'a>>, Problem> {
        let (link, snaplen) = (self.link, self.snaplen);
        let interface = || Interface {
            link,
            snaplen,
            ..Interface::default()
        };
        match self.preamble.next(interface) {
            Some(block) => Ok(Some(block)),
            None => Ok(self.frame()?.map(Block::Frame)),
        }
    }

    /// Returns the next frame; `None` at the end of the file.
    pub(super) fn frame(&mut self) -> Result<Option<Frame<'a>>, Problem> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let left = rest.len() as u64;
        let (header, rest) = rest
            .split_first_chunk::<RECORD_HEADER>()
            .ok_or(Problem::Begun(Part::Record))?;
        let order = self.encoding.order;
        let (words, _) = header.as_chunks::<4>();
        let field = |nth: usize| order.u32(words[nth]);
        let (mut captured, mut wire_len) = (field(2), field(3));
        if self.minor < 4 && captured > wire_len {
            // Before version 2.4 the order of the two lengths was not fixed.
            (captured, wire_len) = (wire_len, captured);
        }
        let captured = rest.get(..captured as usize).ok_or(Problem::Cut {
            part: Part::Record,
            length: RECORD_HEADER as u64 + u64::from(captured),
            left,
        })?;
        self.offset += RECORD_HEADER + captured.len();
        // Seconds are unsigned, so the format lasts until 2106.
        let ns = i64::from(field(0)) * 1_000_000_000
            + i64::from(field(1)) * i64::from(self.encoding.unit);
        Ok(Some(Frame {
            interface: 0,
            at: Timestamp(ns),
            wire_len,
            captured,
            comments: Vec::new(),
        }))
    }
}
