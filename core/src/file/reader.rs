//! Reads a stored capture block by block.
//!
//! Nothing is copied: frames and texts are slices of the file. The cost of a block is that of its own bytes, and a
//! frame without comments allocates nothing.

mod clock;
mod fields;
mod malformed;
mod pcap;
mod pcapng;

use std::iter::FusedIterator;

pub use malformed::{Compression, Malformed, Part, Problem};
pub(crate) use pcapng::Skipped;

use super::Block;

/// The two formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap (draft-ietf-opsawg-pcap), with micro- or nanoseconds.
    Pcap,
    /// pcapng (draft-ietf-opsawg-pcapng).
    PcapNg,
}

impl Format {
    /// The format of a file that begins like this; four bytes decide.
    pub fn of_beginning(bytes: &[u8]) -> Result<Self, Problem> {
        if pcapng::begins(bytes) {
            Ok(Self::PcapNg)
        } else if pcap::Encoding::of(bytes).is_some() {
            Ok(Self::Pcap)
        } else {
            Err(malformed::unrecognised(bytes))
        }
    }
}

/// The blocks of a stored capture, in order.
///
/// A file that ends between two blocks ends quietly. Whatever else is wrong ends it with an error, after all blocks
/// before the place of it; then there are no more blocks. What the format allows to be skipped is skipped: blocks and
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
}

impl<'a> Reader<'a> {
    /// Recognises the format of a whole file by how it begins. Fails if it is no capture, is compressed, or is a
    /// classic pcap whose header is cut or of a version other than 2.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let blocks = if pcapng::begins(bytes) {
            Ok(Blocks::PcapNg(pcapng::Blocks::new(bytes)))
        } else if let Some(encoding) = pcap::Encoding::of(bytes) {
            pcap::Records::new(bytes, encoding).map(Blocks::Pcap)
        } else {
            Err(malformed::unrecognised(bytes))
        };
        match blocks {
            Ok(blocks) => Ok(Self {
                blocks,
                failed: false,
            }),
            Err(problem) => Err(Malformed { offset: 0, problem }),
        }
    }

    /// The same reader, but it leaves comments away: a block may be full of empty ones, and each takes some room.
    pub(crate) fn without_comments(mut self) -> Self {
        if let Blocks::PcapNg(blocks) = &mut self.blocks {
            blocks.without_comments();
        }
        self
    }

    /// The same reader at the first byte of `bytes`, where a block begins: the next piece of a file that comes in pieces.
    #[must_use]
    pub fn go_on<'b>(&self, bytes: &'b [u8]) -> Reader<'b> {
        let blocks = match &self.blocks {
            Blocks::Pcap(records) => Blocks::Pcap(records.go_on(bytes)),
            Blocks::PcapNg(blocks) => Blocks::PcapNg(blocks.go_on(bytes)),
        };
        Reader {
            blocks,
            failed: false,
        }
    }

    /// Where the next block begins, or the one that is broken: bytes from the first one that it was given.
    #[must_use]
    pub fn offset(&self) -> usize {
        match &self.blocks {
            Blocks::Pcap(records) => records.offset(),
            Blocks::PcapNg(blocks) => blocks.offset(),
        }
    }

    /// How often a block has changed by what those behind it are read: with the same number, two readers of a file read a
    /// block alike.
    #[must_use]
    pub fn changes(&self) -> u64 {
        match &self.blocks {
            Blocks::Pcap(_) => 0,
            Blocks::PcapNg(blocks) => blocks.changes(),
        }
    }

    /// How frames begin that were captured on this interface, numbered as in [`Frame::interface`](super::Frame::interface):
    /// a number of the `LINKTYPE_` registry. Only of the section that is being read.
    #[must_use]
    pub fn link(&self, interface: u32) -> Option<u16> {
        match &self.blocks {
            Blocks::Pcap(records) => Some(records.link()),
            Blocks::PcapNg(blocks) => blocks.link(interface),
        }
    }

    /// Where in `bytes`, the midst of a file, the first block seems to begin: so that some may be read before it is known
    /// where those before them end. It may be wrong.
    #[must_use]
    pub fn guess(&self, bytes: &[u8]) -> Option<usize> {
        /// So many blocks in a row are no accident.
        const CHAIN: usize = 4;
        /// A frame that is not longer than usual ends within that.
        const FAR: usize = 70_000;
        let next = |at: usize| match &self.blocks {
            Blocks::Pcap(records) => records.next_plausible(bytes, at),
            Blocks::PcapNg(blocks) => blocks.next_plausible(bytes, at),
        };
        let step = match &self.blocks {
            Blocks::Pcap(_) => 1,
            Blocks::PcapNg(_) => 4,
        };
        let begins = |start: &usize| {
            let mut at = *start;
            for _ in 0..CHAIN {
                match next(at) {
                    Some(after) if after <= bytes.len() => at = after,
                    _ => return false,
                }
            }
            true
        };
        (0..bytes.len().min(FAR)).step_by(step).find(begins)
    }

    /// The next block, if it is a frame and nothing is wrong with it: most are.
    pub(crate) fn frame(&mut self) -> Option<super::Frame<'a>> {
        match &mut self.blocks {
            Blocks::Pcap(records) if records.is_at_frames() => records.frame().ok().flatten(),
            Blocks::Pcap(_) => None,
            Blocks::PcapNg(blocks) => blocks.frame(),
        }
    }

    /// The next block alone; `None` if it is one that is skipped, or there is none.
    pub(crate) fn one_block(&mut self) -> Result<Option<Block<'a>>, Problem> {
        match &mut self.blocks {
            Blocks::Pcap(records) => records.next(),
            Blocks::PcapNg(blocks) => blocks.one_block(),
        }
    }

    /// The block at the beginning of these bytes, if it is of a kind that is skipped.
    pub(crate) fn skipped(&self, bytes: &[u8]) -> Option<Skipped> {
        match &self.blocks {
            Blocks::Pcap(_) => None,
            Blocks::PcapNg(blocks) => blocks.skipped(bytes),
        }
    }

    /// What its file consists of.
    pub(crate) fn part(&self) -> Part {
        match self.format() {
            Format::Pcap => Part::Record,
            Format::PcapNg => Part::Block,
        }
    }

    /// Which format it is.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.blocks {
            Blocks::Pcap(_) => Format::Pcap,
            Blocks::PcapNg(_) => Format::PcapNg,
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
