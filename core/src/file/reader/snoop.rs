//! Reader of snoop (RFC 1761), the format of Solaris: a header, then records, all in network byte order.

use super::fields::{ByteOrder, Fields};
use super::preamble::Preamble;
use super::{Part, Problem};
use crate::file::{Block, Frame, Interface, Statistics};
use crate::time::Timestamp;

const MAGIC: &[u8] = b"snoop\0\0\0";
/// Version of the format. Shomiti's analyzers write the same magic number with versions from 3 on.
const VERSION: u32 = 2;

/// Length of the file's header, in bytes.
const HEADER: usize = 16;
/// Length of the header of a record, in bytes.
const RECORD_HEADER: usize = 24;

/// Returns true if the file begins with the magic number, or with as much of it as there is.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let length = bytes.len().min(MAGIC.len());
    length >= 4 && bytes[..length] == MAGIC[..length]
}

/// Returns true if the file begins with the magic number and a version of Shomiti's.
pub(super) fn is_shomiti(bytes: &[u8]) -> bool {
    begins(bytes) && matches!(bytes.get(8..12), Some([0, 0, 0, 3..=5]))
}

/// Returns the link type of a datalink type of snoop. 26 and 27 are those of Solaris' `sys/dlpi.h` for IP without a
/// link header.
fn link(datalink: u32) -> Result<u16, Problem> {
    match datalink {
        0 | 4 => Ok(1),
        26 => Ok(228),
        27 => Ok(229),
        other => Err(Problem::Datalink(other)),
    }
}

/// Records of a file, preceded by a section and an interface.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    /// Offset of the next record.
    offset: usize,
    link: u16,
    preamble: Preamble,
    /// Number of frames lost according to the latest record.
    lost: u32,
    /// True if that number has changed since it was last returned.
    has_lost_more: bool,
}

impl<'a> Records<'a> {
    /// Reads the file's header.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Problem> {
        let length = HEADER as u64;
        let cut = Problem::Header { length };
        let mut fields = Fields::new(bytes, ByteOrder::Big);
        let _magic: [u8; 8] = fields.array().ok_or(cut)?;
        let version = fields.u32().ok_or(cut)?;
        let datalink = fields.u32().ok_or(cut)?;
        if version != VERSION {
            let major = u16::try_from(version).unwrap_or(u16::MAX);
            return Err(Problem::Version { major, minor: 0 });
        }
        Ok(Self {
            bytes,
            offset: HEADER,
            link: link(datalink)?,
            preamble: Preamble::Section,
            lost: 0,
            has_lost_more: false,
        })
    }

    /// Returns a reader of the records that begin at the first of these bytes.
    pub(super) fn resume<'b>(&self, bytes: &'b [u8]) -> Records<'b> {
        Records {
            bytes,
            offset: 0,
            link: self.link,
            preamble: Preamble::Done,
            lost: 0,
            has_lost_more: false,
        }
    }

    pub(super) fn link(&self) -> u16 {
        self.link
    }

    /// Returns the offset of the record after the one at `at`, if a plausible record begins there.
    pub(super) fn next_plausible(bytes: &[u8], at: usize) -> Option<usize> {
        const MAX_LENGTH: u32 = 262_144;
        /// Maximum padding of a record that is plausible, in bytes.
        const PADDING: u32 = 8;
        let header = bytes.get(at..)?.first_chunk::<RECORD_HEADER>()?;
        let record = Header::of(header);
        let shortest = record.captured.checked_add(24)?;
        let is_one = record.microseconds < 1_000_000
            && (14..=MAX_LENGTH).contains(&record.captured)
            && record.captured <= record.wire_len
            && record.wire_len <= MAX_LENGTH
            && (shortest..shortest + PADDING).contains(&record.length);
        is_one.then_some(at + record.length as usize)
    }

    /// Returns the offset of the next record, or of the broken one.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the next block; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Block<'a>>, Problem> {
        let link = self.link;
        let interface = || Interface {
            link,
            ..Interface::default()
        };
        if let Some(block) = self.preamble.next(interface) {
            return Ok(Some(block));
        }
        if self.has_lost_more {
            self.has_lost_more = false;
            return Ok(Some(Block::Statistics(Statistics {
                dropped: Some(self.lost.into()),
                ..Statistics::default()
            })));
        }
        Ok(self.frame()?.map(Block::Frame))
    }

    /// Returns the next frame, if the reader is at one.
    pub(super) fn frame_if_next(&mut self) -> Option<Frame<'a>> {
        if !self.preamble.is_done() || self.has_lost_more {
            return None;
        }
        self.frame().ok().flatten()
    }

    /// Returns the next frame; `None` at the end of the file.
    fn frame(&mut self) -> Result<Option<Frame<'a>>, Problem> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let header = rest
            .first_chunk::<RECORD_HEADER>()
            .ok_or(Problem::Begun(Part::Record))?;
        let record = Header::of(header);
        let (length, captured) = (record.length, record.captured);
        let shortest = u64::from(captured) + RECORD_HEADER as u64;
        if u64::from(length) < shortest {
            return Err(Problem::Record { length, captured });
        }
        let whole = rest.get(..length as usize).ok_or(Problem::Cut {
            part: Part::Record,
            length: length.into(),
            left: rest.len() as u64,
        })?;
        let captured = whole
            .get(RECORD_HEADER..RECORD_HEADER + captured as usize)
            .unwrap_or_default();
        self.offset += whole.len();
        if record.lost != self.lost {
            self.lost = record.lost;
            self.has_lost_more = true;
        }
        let ns = i64::from(record.seconds) * 1_000_000_000 + i64::from(record.microseconds) * 1_000;
        Ok(Some(Frame {
            interface: 0,
            at: Timestamp(ns),
            wire_len: record.wire_len,
            captured,
            comments: Vec::new(),
        }))
    }
}

/// Header of a record.
struct Header {
    wire_len: u32,
    captured: u32,
    /// Length of the record with its header and padding.
    length: u32,
    /// Number of frames lost between the first record and this one.
    lost: u32,
    seconds: u32,
    microseconds: u32,
}

impl Header {
    fn of(bytes: &[u8; RECORD_HEADER]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let field = |nth: usize| u32::from_be_bytes(words[nth]);
        Self {
            wire_len: field(0),
            captured: field(1),
            length: field(2),
            lost: field(3),
            seconds: field(4),
            microseconds: field(5),
        }
    }
}
