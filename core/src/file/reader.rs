//! Reader of stored captures, block by block.
//!
//! Nothing is copied: frames and texts are slices of the file. The cost of a block is proportional to its length, and
//! a frame without comments allocates nothing.

mod clock;
mod fields;
mod foreign;
mod malformed;
mod pcap;
mod pcapng;
mod preamble;
mod snoop;

use std::iter::FusedIterator;

pub use foreign::Foreign;
pub use malformed::{Compression, Malformed, Part, Problem};
pub(crate) use pcapng::Skipped;

use super::Block;

/// Format of a capture that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap (draft-ietf-opsawg-pcap), with microseconds or nanoseconds.
    Pcap,
    /// pcapng (draft-ietf-opsawg-pcapng).
    PcapNg,
    /// snoop (RFC 1761).
    Snoop,
}

impl Format {
    /// Recognises the format of a file by its first 24 bytes; four are enough for a format that can be read. Fails with
    /// the problem of any other file.
    pub fn of_beginning(bytes: &[u8]) -> Result<Self, Problem> {
        if pcapng::begins(bytes) {
            Ok(Self::PcapNg)
        } else if pcap::Encoding::of(bytes).is_some() {
            Ok(Self::Pcap)
        } else if snoop::is_shomiti(bytes) {
            Err(Problem::Foreign(Foreign::Shomiti))
        } else if snoop::begins(bytes) {
            Ok(Self::Snoop)
        } else {
            Err(malformed::unrecognised(bytes))
        }
    }
}

/// Iterator over the blocks of a stored capture, in order.
///
/// A file that ends between two blocks ends without an error. Any other problem is returned as an error, after all
/// blocks before it, and ends the iterator. Blocks that the format allows a reader to skip are skipped: blocks and
/// options of unknown kinds, names of hosts, secrets.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    blocks: Blocks<'a>,
    failed: bool,
}

#[derive(Clone, Debug)]
enum Blocks<'a> {
    Pcap(pcap::Records<'a>),
    PcapNg(pcapng::Blocks<'a>),
    Snoop(snoop::Records<'a>),
}

impl<'a> Reader<'a> {
    /// Recognises the format of a whole file by its first bytes. Fails if the file is not a capture, is compressed,
    /// or is a classic pcap or snoop whose header is cut or of an unknown version.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let blocks = match pcap::Encoding::of(bytes) {
            Some(encoding) => pcap::Records::new(bytes, encoding).map(Blocks::Pcap),
            None => match Format::of_beginning(bytes) {
                Ok(Format::Snoop) => snoop::Records::new(bytes).map(Blocks::Snoop),
                Ok(_) => Ok(Blocks::PcapNg(pcapng::Blocks::new(bytes))),
                Err(problem) => Err(problem),
            },
        };
        match blocks {
            Ok(blocks) => Ok(Self {
                blocks,
                failed: false,
            }),
            Err(problem) => Err(Malformed { offset: 0, problem }),
        }
    }

    /// Returns a reader that ignores comments: a hostile block may be full of empty ones, and each takes memory.
    pub(crate) fn without_comments(self) -> Self {
        self.with_comments(0)
    }

    /// Returns a reader that returns at most so many comments of each block.
    pub(crate) fn with_comments(mut self, most: usize) -> Self {
        if let Blocks::PcapNg(blocks) = &mut self.blocks {
            blocks.limit_comments(most);
        }
        self
    }

    /// Returns a reader that continues after a time that cannot be expressed. Read with a sign, such a time is before 1970; if
    /// that does not fit either, it is [`Timestamp::UNUSABLE`](crate::time::Timestamp::UNUSABLE).
    pub(crate) fn with_unusable_times(mut self) -> Self {
        if let Blocks::PcapNg(blocks) = &mut self.blocks {
            blocks.with_unusable_times();
        }
        self
    }

    /// Returns a reader that continues at the first byte of `bytes`, where a block begins: the next piece of a file
    /// that is read in pieces.
    #[must_use]
    pub(crate) fn resume<'b>(&self, bytes: &'b [u8]) -> Reader<'b> {
        let blocks = match &self.blocks {
            Blocks::Pcap(records) => Blocks::Pcap(records.resume(bytes)),
            Blocks::PcapNg(blocks) => Blocks::PcapNg(blocks.resume(bytes)),
            Blocks::Snoop(records) => Blocks::Snoop(records.resume(bytes)),
        };
        Reader {
            blocks,
            failed: false,
        }
    }

    /// Returns the offset of the next block, or of the broken one, in bytes from the start of the reader's input.
    #[must_use]
    pub fn offset(&self) -> usize {
        match &self.blocks {
            Blocks::Pcap(records) => records.offset(),
            Blocks::PcapNg(blocks) => blocks.offset(),
            Blocks::Snoop(records) => records.offset(),
        }
    }

    /// Returns the number of blocks so far that change how later blocks are read (sections and interfaces). Two
    /// readers of one file with the same number read a block in the same way.
    #[must_use]
    pub(crate) fn changes(&self) -> u64 {
        match &self.blocks {
            Blocks::Pcap(_) | Blocks::Snoop(_) => 0,
            Blocks::PcapNg(blocks) => blocks.changes(),
        }
    }

    /// Returns the link type of this interface, numbered as in [`Frame::interface`](super::Frame::interface): a
    /// number of the `LINKTYPE_` registry. `None` if the interface is not of the current section.
    #[must_use]
    pub fn link(&self, interface: u32) -> Option<u16> {
        match &self.blocks {
            Blocks::Pcap(records) => Some(records.link()),
            Blocks::PcapNg(blocks) => blocks.link(interface),
            Blocks::Snoop(records) => Some(records.link()),
        }
    }

    /// Guesses the offset of the first block in `bytes`, a part from the middle of a file, so that blocks can be read
    /// before the end of the blocks in front of them is known. The guess may be wrong.
    #[must_use]
    pub(crate) fn guess(&self, bytes: &[u8]) -> Option<usize> {
        /// Number of plausible blocks in a row that cannot be chance.
        const MIN_BLOCKS: usize = 4;
        /// Number of bytes to search: a frame of usual length ends within it.
        const SEARCH_LENGTH: usize = 70_000;
        // Blocks of pcapng have lengths that are multiples of 4; records of pcap have any length, and those of snoop as
        // well: their padding is up to the writer.
        let step = match &self.blocks {
            Blocks::Pcap(_) | Blocks::Snoop(_) => 1,
            Blocks::PcapNg(_) => 4,
        };
        let begins = |start: &usize| {
            let mut at = *start;
            for _ in 0..MIN_BLOCKS {
                match self.next_plausible(bytes, at) {
                    Some(after) if after <= bytes.len() => at = after,
                    _ => return false,
                }
            }
            true
        };
        (0..bytes.len().min(SEARCH_LENGTH))
            .step_by(step)
            .find(begins)
    }

    /// Returns the offset behind the block at this offset; `None` if no plausible block begins there.
    fn next_plausible(&self, bytes: &[u8], at: usize) -> Option<usize> {
        match &self.blocks {
            Blocks::Pcap(records) => records.next_plausible(bytes, at),
            Blocks::PcapNg(blocks) => blocks.next_plausible(bytes, at),
            Blocks::Snoop(_) => snoop::Records::next_plausible(bytes, at),
        }
    }

    /// Returns the next block, if it is a well-formed frame, as most blocks are. Otherwise the reader does not
    /// advance.
    pub(crate) fn frame(&mut self) -> Option<super::Frame<'a>> {
        match &mut self.blocks {
            Blocks::Pcap(records) if records.is_at_frames() => records.frame().ok().flatten(),
            Blocks::Pcap(_) => None,
            Blocks::PcapNg(blocks) => blocks.frame(),
            Blocks::Snoop(records) => records.frame_if_next(),
        }
    }

    /// Reads exactly one block. Returns `None` if that block is skipped, or at the end.
    pub(crate) fn one_block(&mut self) -> Result<Option<Block<'a>>, Problem> {
        match &mut self.blocks {
            Blocks::Pcap(records) => records.next(),
            Blocks::PcapNg(blocks) => blocks.one_block(),
            Blocks::Snoop(records) => records.next(),
        }
    }

    /// Returns the block at the start of these bytes, if readers skip its type.
    pub(crate) fn skipped(&self, bytes: &[u8]) -> Option<Skipped> {
        match &self.blocks {
            Blocks::Pcap(_) | Blocks::Snoop(_) => None,
            Blocks::PcapNg(blocks) => blocks.skipped(bytes),
        }
    }

    /// Returns the unit of the format: record or block.
    pub(crate) fn part(&self) -> Part {
        match self.format() {
            Format::Pcap | Format::Snoop => Part::Record,
            Format::PcapNg => Part::Block,
        }
    }

    /// Returns the format of the file.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.blocks {
            Blocks::Pcap(_) => Format::Pcap,
            Blocks::PcapNg(_) => Format::PcapNg,
            Blocks::Snoop(_) => Format::Snoop,
        }
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Block<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (block, offset) = match &mut self.blocks {
            Blocks::Pcap(records) => (records.next(), records.offset()),
            Blocks::PcapNg(blocks) => (blocks.next(), blocks.offset()),
            Blocks::Snoop(records) => (records.next(), records.offset()),
        };
        match block {
            Ok(block) => block.map(Ok),
            Err(problem) => {
                self.failed = true;
                Some(Err(Malformed {
                    offset: offset as u64,
                    problem,
                }))
            }
        }
    }
}

impl FusedIterator for Reader<'_> {}
