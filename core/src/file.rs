//! Stored captures, and the files that are made of them.
//!
//! A [`Reader`] walks through a capture that is in memory, classic pcap or pcapng, and gives a [`Block`] at a time. It
//! is the one reader for whatever wants to judge frames that were captured earlier, here or elsewhere, and it believes
//! nothing that the file says without looking: a file may be cut, damaged or made to do harm. The writers are
//! [`pcapng::PcapNg`], which has room for comments and statistics, and [`pcap::Pcap`], which every program can read.
//!
//! [`Content`] decompresses what is read.

mod content;
mod number;
pub mod pcap;
pub mod pcapng;
mod read_at;
mod reader;
mod stream;

use std::borrow::Cow;

pub use content::{Cause, Content, Undecodable};
pub use read_at::ReadAt;
pub(crate) use reader::Skipped;
pub use reader::{Compression, Format, Malformed, Part, Problem, Reader};
pub use stream::LONGEST_BLOCK;
pub use stream::each_block;

use crate::time::Timestamp;

impl Format {
    /// What the names of its files end with.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::PcapNg => "pcapng",
        }
    }

    /// The format whose files' names end like this.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        let formats = [Self::Pcap, Self::PcapNg];
        formats
            .into_iter()
            .find(|format| format.extension() == extension)
    }
}

/// A part of a stored capture.
///
/// Blocks come in the order of the file: a section first, an interface before the frames that were captured on it.
/// Texts end at a NUL if they hold one; what is not UTF-8 in them is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// A section begins. Classic pcap has one, without any text.
    Section(Section<'a>),
    /// An interface that frames were captured on. Classic pcap has one, without a name.
    Interface(Interface<'a>),
    /// A captured frame.
    Frame(Frame<'a>),
    /// What an interface counted.
    Statistics(Statistics<'a>),
}

/// What a part of the file was made with (pcapng draft, 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section<'a> {
    /// Operating system.
    pub os: Option<Cow<'a, str>>,
    /// Program.
    pub application: Option<Cow<'a, str>>,
    /// Comments on the section.
    pub comments: Vec<Cow<'a, str>>,
}

/// Where frames were captured (pcapng draft, 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface<'a> {
    /// How frames begin: a number of the `LINKTYPE_` registry.
    pub link: u16,
    /// Longest prefix of a frame that was kept, in bytes; 0 if there was no limit.
    pub snaplen: u32,
    /// Name of the interface.
    pub name: Option<Cow<'a, str>>,
    /// Filter in force, in libpcap's syntax.
    pub filter: Option<Cow<'a, str>>,
    /// Comments on the interface.
    pub comments: Vec<Cow<'a, str>>,
}

/// A captured frame (pcapng draft, 4.3, 4.4 and appendix A).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which [`Interface`] of the file it was captured on, from 0.
    ///
    /// The format numbers the interfaces of each section from 0; here they are numbered through the whole file, in the
    /// order in which the reader gives them, so that one list of interfaces is enough.
    pub interface: u32,
    /// When it was captured. Finer stamps than nanoseconds are cut. A simple packet block has no time: it is the epoch.
    pub at: Timestamp,
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
    /// What was kept of it.
    pub captured: &'a [u8],
    /// Comments on the frame.
    pub comments: Vec<Cow<'a, str>>,
}

/// What an interface counted (pcapng draft, 4.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics<'a> {
    /// Which [`Interface`] of the file counted, numbered as in [`Frame::interface`].
    pub interface: u32,
    /// Frames received.
    pub received: Option<u64>,
    /// Frames that the interface had no room for.
    pub dropped: Option<u64>,
    /// Comments on the counts.
    pub comments: Vec<Cow<'a, str>>,
}
