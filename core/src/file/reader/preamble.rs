//! Blocks in front of the frames of a format with one interface (classic pcap, snoop): its header stands for a section and
//! the interface.

use crate::file::{Block, Interface, Section};

/// Next block in front of the frames.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preamble {
    Section,
    Interface,
    /// None: the frames are next.
    Done,
}

impl Preamble {
    /// Returns the next block, and moves on to the one after it; `None` once the frames are next.
    pub(super) fn next<'a>(
        &mut self,
        interface: impl FnOnce() -> Interface<'a>,
    ) -> Option<Block<'a>> {
        match self {
            Self::Section => {
                *self = Self::Interface;
                Some(Block::Section(Section::default()))
            }
            Self::Interface => {
                *self = Self::Done;
                Some(Block::Interface(interface()))
            }
            Self::Done => None,
        }
    }

    /// Returns true if the frames are next.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Done)
    }
}
