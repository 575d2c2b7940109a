//! Reader of pcapng (draft-ietf-opsawg-pcapng): blocks that each state their length.
//!
//! The length of a section is ignored: its blocks have to be parsed anyway, and the next section header ends it. A
//! section of an unknown version is an error. The draft would have it skipped, but a partial capture must not pass
//! for the whole.

use std::borrow::Cow;
use std::sync::Arc;

use super::clock::Clock;
use super::fields::{ByteOrder, Fields};
use super::{Part, Problem};
use crate::file::number::{
    BYTE_ORDER_MAGIC, COMMENT, END_OF_OPTIONS, ENHANCED_PACKET, IF_FILTER, IF_NAME, IF_TSOFFSET,
    IF_TSRESOL, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS, ISB_ENDTIME, ISB_IFDROP, ISB_IFRECV,
    ISB_STARTTIME, OBSOLETE_PACKET, SECTION_HEADER, SHB_OS, SHB_USERAPPL, SIMPLE_PACKET,
};
use crate::file::{Block, Frame, Interface, Section, Statistics};
use crate::time::Timestamp;

/// Length of a block's type and length in front of its body, in bytes.
const HEAD: usize = 8;
/// Length of the repeated length after a block's body, in bytes.
const TRAILER: usize = 4;

/// Maximum number of interfaces in a section, whose descriptions are kept in memory until the section ends.
const MAX_INTERFACES: usize = 1 << 17;

/// Returns true if the bytes begin with a section header.
pub(super) fn begins(bytes: &[u8]) -> bool {
    // The type of a section header is a palindrome, so that the native byte order serves for both.
    bytes.starts_with(&SECTION_HEADER.to_ne_bytes())
}

/// Cursor over the blocks of a file.
#[derive(Clone, Debug)]
pub(super) struct Blocks<'a> {
    bytes: &'a [u8],
    /// Offset of the next block.
    offset: usize,
    /// Byte order of the section.
    order: ByteOrder,
    /// Interfaces of the section.
    // Shared, because every piece of a file that is read in parallel has a copy of its reader.
    interfaces: Arc<Vec<Declared>>,
    /// Number of interfaces in all sections before this one.
    earlier: u32,
    /// Number of sections and interfaces so far.
    changes: u64,
    /// Maximum number of comments of a block that are returned.
    max_comments: usize,
    /// True if a time that cannot be expressed is no error.
    has_odd_times: bool,
}

/// Properties of an interface that are needed to read its frames.
#[derive(Clone, Copy, Debug)]
struct Declared {
    link: u16,
    snaplen: u32,
    clock: Clock,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            offset: 0,
            order: ByteOrder::Little,
            interfaces: Arc::default(),
            earlier: 0,
            changes: 0,
            max_comments: usize::MAX,
            has_odd_times: false,
        }
    }

    /// Returns a reader of the blocks that begin at the first of these bytes.
    pub(super) fn resume<'b>(&self, bytes: &'b [u8]) -> Blocks<'b> {
        Blocks {
            bytes,
            offset: 0,
            order: self.order,
            interfaces: Arc::clone(&self.interfaces),
            earlier: self.earlier,
            changes: self.changes,
            max_comments: self.max_comments,
            has_odd_times: self.has_odd_times,
        }
    }

    pub(super) fn limit_comments(&mut self, most: usize) {
        self.max_comments = most;
    }

    pub(super) fn with_unusable_times(&mut self) {
        self.has_odd_times = true;
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn link(&self, interface: u32) -> Option<u16> {
        let within = interface.checked_sub(self.earlier)?;
        Some(self.interfaces.get(within as usize)?.link)
    }

    /// Returns the block at the beginning of these bytes, if it is of a kind that is skipped.
    pub(super) fn skipped(&self, bytes: &[u8]) -> Option<Skipped> {
        Skipped::new(bytes, self.order)
    }

    /// Returns the offset of the block after the one at `at`, if a plausible block begins there.
    pub(super) fn next_plausible(&self, bytes: &[u8], at: usize) -> Option<usize> {
        const MAX_LENGTH: usize = 1 << 20;
        let mut head = Fields::new(bytes.get(at..)?, self.order);
        let (kind, length) = (head.u32()?, head.u32()? as usize);
        let is_known = matches!(
            kind,
            ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET | INTERFACE_STATISTICS
        );
        // The shortest of these blocks is a simple packet without data: 16 bytes.
        if !is_known || !(16..MAX_LENGTH).contains(&length) || !length.is_multiple_of(4) {
            return None;
        }
        let end = at + length;
        let trailer = bytes.get(end - TRAILER..end)?.first_chunk()?;
        (self.order.u32(*trailer) as usize == length).then_some(end)
    }

    /// Returns the offset of the next block, or of the broken one.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the next block of a kind that is read; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Block<'a>>, Problem> {
        loop {
            let block = self.one_block()?;
            if block.is_some() || self.offset >= self.bytes.len() {
                return Ok(block);
            }
        }
    }

    /// Returns the next block; `None` if it is skipped, or at the end of the file.
    pub(super) fn one_block(&mut self) -> Result<Option<Block<'a>>, Problem> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        if begins(rest) {
            self.order = byte_order(rest)?;
        }
        let (kind, body) = body(rest, self.order)?;
        let block = self.block(kind, Fields::new(body, self.order))?;
        self.offset += HEAD + body.len() + TRAILER;
        Ok(block)
    }

    /// Returns the next block, if it is a well-formed frame. Otherwise the reader does not advance.
    pub(super) fn frame(&mut self) -> Option<Frame<'a>> {
        let rest = self.bytes.get(self.offset..)?;
        let (kind, body) = body(rest, self.order).ok()?;
        let fields = Fields::new(body, self.order);
        let frame = match kind {
            ENHANCED_PACKET => self.enhanced_packet(fields),
            SIMPLE_PACKET => self.simple_packet(fields),
            _ => return None,
        };
        let frame = frame.ok()?;
        self.offset += HEAD + body.len() + TRAILER;
        Some(frame)
    }

    /// Reads the body of a block; `None` if the block is skipped.
    fn block(&mut self, kind: u32, body: Fields<'a>) -> Result<Option<Block<'a>>, Problem> {
        Ok(Some(match kind {
            ENHANCED_PACKET => Block::Frame(self.enhanced_packet(body)?),
            SIMPLE_PACKET => Block::Frame(self.simple_packet(body)?),
            OBSOLETE_PACKET => Block::Frame(self.obsolete_packet(body)?),
            INTERFACE_DESCRIPTION => Block::Interface(self.interface(body)?),
            INTERFACE_STATISTICS => Block::Statistics(self.statistics(body)?),
            SECTION_HEADER => Block::Section(self.section(body)?),
            _ => return Ok(None),
        }))
    }

    /// Reads a section header (4.1): magic, version, length of the section, options.
    fn section(&mut self, mut body: Fields<'a>) -> Result<Section<'a>, Problem> {
        let _magic = body.u32().ok_or(Problem::Fields)?;
        let major = body.u16().ok_or(Problem::Fields)?;
        let minor = body.u16().ok_or(Problem::Fields)?;
        // Unknown (all ones) in files that were written to a pipe, and wrong in files that were cut.
        let _length: [u8; 8] = body.array().ok_or(Problem::Fields)?;
        // Some programs wrote 1.2 for the format of 1.0.
        if major != 1 || !matches!(minor, 0 | 2) {
            return Err(Problem::Version { major, minor });
        }
        let mut section = Section::default();
        for option in Options(body) {
            match option? {
                (COMMENT, value) if section.comments.len() < self.max_comments => {
                    section.comments.push(text(value));
                }
                (SHB_OS, value) => section.os = Some(text(value)),
                (SHB_USERAPPL, value) => section.application = Some(text(value)),
                _ => {}
            }
        }
        // Interfaces of the new section are numbered after those of this one.
        self.earlier = self.number(self.interfaces.len());
        self.interfaces = Arc::default();
        self.changes += 1;
        Ok(section)
    }

    /// Reads an interface description (4.2): link type, reserved, snapshot length, options.
    fn interface(&mut self, mut body: Fields<'a>) -> Result<Interface<'a>, Problem> {
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Problem::Interfaces(MAX_INTERFACES));
        }
        let link = body.u16().ok_or(Problem::Fields)?;
        let _reserved = body.u16().ok_or(Problem::Fields)?;
        let snaplen = body.u32().ok_or(Problem::Fields)?;
        let mut interface = Interface {
            link,
            snaplen,
            ..Interface::default()
        };
        // Microseconds, unless the options state another resolution.
        let (mut resolution, mut offset) = (6, 0);
        let order = body.order();
        for option in Options(body) {
            match option? {
                (COMMENT, value) if interface.comments.len() < self.max_comments => {
                    interface.comments.push(text(value));
                }
                (IF_NAME, value) => interface.name = Some(text(value)),
                // A filter begins with its kind: 0, a string in libpcap's syntax.
                (IF_FILTER, [0, filter @ ..]) => interface.filter = Some(text(filter)),
                (IF_TSRESOL, value) => [resolution] = exactly(IF_TSRESOL, value)?,
                (IF_TSOFFSET, value) => {
                    offset = order.u64(exactly(IF_TSOFFSET, value)?).cast_signed();
                }
                _ => {}
            }
        }
        // Other readers may share the table; then this copies it, and they keep theirs.
        self.changes += 1;
        Arc::make_mut(&mut self.interfaces).push(Declared {
            link,
            snaplen,
            clock: Clock::new(resolution, offset),
        });
        Ok(interface)
    }

    /// Reads an enhanced packet (4.3): interface, time, captured length, length on the wire, frame, options.
    fn enhanced_packet(&self, mut body: Fields<'a>) -> Result<Frame<'a>, Problem> {
        let interface = body.u32().ok_or(Problem::Fields)?;
        self.packet(interface, body)
    }

    /// Reads an obsolete packet (appendix A), which differs from an enhanced one in its short interface number and
    /// the number of frames lost before it.
    fn obsolete_packet(&self, mut body: Fields<'a>) -> Result<Frame<'a>, Problem> {
        let interface = body.u16().ok_or(Problem::Fields)?;
        let _lost = body.u16().ok_or(Problem::Fields)?;
        self.packet(interface.into(), body)
    }

    fn packet(&self, interface: u32, mut body: Fields<'a>) -> Result<Frame<'a>, Problem> {
        let clock = self.declared(interface)?.clock;
        let units = body.halves().ok_or(Problem::Fields)?;
        let captured = body.u32().ok_or(Problem::Fields)?;
        let wire_len = body.u32().ok_or(Problem::Fields)?;
        Ok(Frame {
            interface: self.number(interface as usize),
            at: if self.has_odd_times {
                clock.at_or_odd(units)
            } else {
                clock.at(units)?
            },
            wire_len,
            captured: frame(captured, &mut body)?,
            comments: self.comments(body)?,
        })
    }

    /// Reads a simple packet (4.4): length on the wire, frame. It belongs to the first interface, whose snapshot
    /// length gives the captured length.
    fn simple_packet(&self, mut body: Fields<'a>) -> Result<Frame<'a>, Problem> {
        let snaplen = match self.declared(0)?.snaplen {
            0 => u32::MAX,
            snaplen => snaplen,
        };
        let wire_len = body.u32().ok_or(Problem::Fields)?;
        Ok(Frame {
            interface: self.number(0),
            at: Timestamp(0),
            wire_len,
            captured: frame(wire_len.min(snaplen), &mut body)?,
            comments: Vec::new(),
        })
    }

    /// Reads interface statistics (4.6): interface, time, options.
    fn statistics(&self, mut body: Fields<'a>) -> Result<Statistics<'a>, Problem> {
        let interface = body.u32().ok_or(Problem::Fields)?;
        let clock = self.declared(interface)?.clock;
        let _units = body.halves().ok_or(Problem::Fields)?;
        let order = body.order();
        // The upper half comes first in either byte order.
        let time = |value: &'a [u8]| {
            let units = Fields::new(value, order).halves();
            units.and_then(|units| clock.at(units).ok())
        };
        let mut statistics = Statistics {
            interface: self.number(interface as usize),
            ..Statistics::default()
        };
        for option in Options(body) {
            let (code, value) = option?;
            match code {
                COMMENT if statistics.comments.len() < self.max_comments => {
                    statistics.comments.push(text(value));
                }
                ISB_STARTTIME => statistics.times[0] = time(value),
                ISB_ENDTIME => statistics.times[1] = time(value),
                ISB_IFRECV => statistics.received = Some(order.u64(exactly(code, value)?)),
                ISB_IFDROP => statistics.dropped = Some(order.u64(exactly(code, value)?)),
                _ => {}
            }
        }
        Ok(statistics)
    }

    fn comments(&self, options: Fields<'a>) -> Result<Vec<Cow<'a, str>>, Problem> {
        let mut comments = Vec::new();
        for option in Options(options) {
            let (code, value) = option?;
            if code == COMMENT && comments.len() < self.max_comments {
                comments.push(text(value));
            }
        }
        Ok(comments)
    }

    /// Returns the interface of this number within the section.
    fn declared(&self, interface: u32) -> Result<Declared, Problem> {
        self.interfaces
            .get(interface as usize)
            .copied()
            .ok_or(Problem::Interface {
                interface,
                declared: self.interfaces.len() as u64,
            })
    }

    /// Returns the number within the whole file of an interface of this section.
    fn number(&self, interface: usize) -> u32 {
        let within = u32::try_from(interface).unwrap_or(u32::MAX);
        self.earlier.saturating_add(within)
    }
}

/// Returns the byte order of the section that begins here. Its magic comes after the length, which cannot be read
/// without it.
fn byte_order(rest: &[u8]) -> Result<ByteOrder, Problem> {
    let magic = rest
        .get(HEAD..)
        .and_then(|body| body.first_chunk())
        .ok_or(Problem::Begun(Part::Block))?;
    [ByteOrder::Little, ByteOrder::Big]
        .into_iter()
        .find(|order| order.u32(*magic) == BYTE_ORDER_MAGIC)
        .ok_or(Problem::ByteOrder(u32::from_be_bytes(*magic)))
}

/// Returns type and body of the block that begins here (3.1).
fn body(rest: &[u8], order: ByteOrder) -> Result<(u32, &[u8]), Problem> {
    let mut head = Fields::new(rest, order);
    let (Some(kind), Some(length)) = (head.u32(), head.u32()) else {
        return Err(Problem::Begun(Part::Block));
    };
    let bytes = length as usize;
    if !is_length(length) {
        return Err(Problem::Length(length));
    }
    let (body, trailer) = rest
        .get(HEAD..bytes)
        .and_then(|body| body.split_last_chunk())
        .ok_or(Problem::Cut {
            part: Part::Block,
            length: length.into(),
            left: rest.len() as u64,
        })?;
    let trailer = order.u32(*trailer);
    if trailer == length {
        Ok((kind, body))
    } else {
        Err(Problem::Trailer { length, trailer })
    }
}

/// Returns true if a block can have this length.
fn is_length(length: u32) -> bool {
    length as usize >= HEAD + TRAILER && length.is_multiple_of(4)
}

/// Returns true if blocks of this kind are read, and false if they are skipped.
fn is_known(kind: u32) -> bool {
    matches!(
        kind,
        ENHANCED_PACKET
            | SIMPLE_PACKET
            | OBSOLETE_PACKET
            | INTERFACE_DESCRIPTION
            | INTERFACE_STATISTICS
            | SECTION_HEADER
    )
}

/// Block of a kind that is skipped, whose bytes are dropped as they come: it may be longer than memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skipped {
    order: ByteOrder,
    length: u32,
    /// Number of bytes of the block that have not come yet.
    left: u32,
    /// Last four bytes so far: the trailer, once the block is complete.
    last: [u8; TRAILER],
}

impl Skipped {
    /// Returns the block that begins here; `None` if it is of a kind that is read, or its length is impossible.
    fn new(bytes: &[u8], order: ByteOrder) -> Option<Self> {
        let mut head = Fields::new(bytes, order);
        let (kind, length) = (head.u32()?, head.u32()?);
        (!is_known(kind) && is_length(length)).then_some(Self {
            order,
            length,
            left: length,
            last: [0; TRAILER],
        })
    }

    /// Takes the bytes of this block from the front of `bytes`, and returns their number.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(self.left as usize);
        let bytes = &bytes[..length];
        // A piece may end within the trailer, so older bytes of it move to the front.
        let kept = TRAILER.saturating_sub(length);
        self.last.copy_within(TRAILER - kept.., 0);
        self.last[kept..].copy_from_slice(&bytes[length - (TRAILER - kept)..]);
        self.left -= u32::try_from(length).unwrap_or(self.left);
        length
    }

    /// Returns the length of the block in bytes once it is complete, or its problem; `None` before.
    pub(crate) fn end(&self) -> Option<Result<u32, Problem>> {
        let (length, trailer) = (self.length, self.order.u32(self.last));
        let end = if trailer == length {
            Ok(length)
        } else {
            Err(Problem::Trailer { length, trailer })
        };
        (self.left == 0).then_some(end)
    }

    /// Returns the problem of the block if no more bytes come.
    pub(crate) fn cut(&self) -> Problem {
        Problem::Cut {
            part: Part::Block,
            length: self.length.into(),
            left: (self.length - self.left).into(),
        }
    }
}

/// Takes the captured bytes of a frame.
fn frame<'a>(captured: u32, body: &mut Fields<'a>) -> Result<&'a [u8], Problem> {
    let room = body.rest().len() as u64;
    body.padded(captured as usize)
        .ok_or(Problem::Captured { captured, room })
}

/// Iterator over the options at the end of a block: code and value. They end with the block, or earlier with an
/// option 0 (3.5). The caller has to stop at an error.
struct Options<'a>(Fields<'a>);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, &'a [u8]), Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let (code, length) = (self.0.u16()?, self.0.u16()?);
        if code == END_OF_OPTIONS {
            return None;
        }
        let value = self.0.padded(length.into());
        Some(
            value
                .map(|value| (code, value))
                .ok_or(Problem::Option { code, length }),
        )
    }
}

/// Returns the value of an option that has a fixed length.
fn exactly<const N: usize>(code: u16, value: &[u8]) -> Result<[u8; N], Problem> {
    value.try_into().map_err(|_| Problem::OptionLength {
        code,
        length: value.len() as u64,
    })
}

/// Returns the text of an option, which ends with the option, or earlier at a NUL (3.5).
fn text(value: &[u8]) -> Cow<'_, str> {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end])
}
