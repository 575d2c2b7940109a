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

pub use malformed::{Compression, Malformed, Problem};

use super::Block;

/// The two formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap (draft-ietf-opsawg-pcap), with micro- or nanoseconds.
    Pcap,
    /// pcapng (draft-ietf-opsawg-pcapng).
    PcapNg,
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
