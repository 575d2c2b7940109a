//! Stored captures: readers of pcap, pcapng and snoop, and writers of pcap and pcapng.
//!
//! A [`Reader`] parses a capture in memory, classic pcap, pcapng or snoop, one [`Block`] at a time. It serves all code that
//! judges frames captured earlier, by this tool or others, and it validates every field of the file: a file may be
//! cut, damaged or hostile. The writers are [`pcapng::PcapNg`], which has room for comments and statistics, and
//! [`pcap::Pcap`], which every program can read.
//!
//! [`Content`] decompresses a file while it is read. [`Text`] reads what tcpdump or tshark has printed.

mod content;
mod number;
pub mod pcap;
pub mod pcapng;
mod read_at;
mod reader;
mod stream;
mod text;

use std::borrow::Cow;

pub use content::{Content, DecodeFailure, Undecodable};
pub use read_at::ReadAt;
pub(crate) use reader::Skipped;
pub use reader::{Compression, Foreign, Format, Malformed, Part, Problem, Reader};
pub(crate) use stream::{MAX_BLOCK, Walked, each_block, walk};
pub(crate) use text::Absent;
pub use text::{Text, TextClock, TextFacts, TextNotes};

use crate::time::Timestamp;

impl Format {
    /// Returns the extension of file names in this format, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::PcapNg => "pcapng",
            Self::Snoop => "snoop",
        }
    }

    /// Returns the format whose file names have this extension.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        let formats = [Self::Pcap, Self::PcapNg];
        formats
            .into_iter()
            .find(|format| format.extension() == extension)
    }
}

/// Part of a stored capture.
///
/// Blocks come in the order of the file: a section first, an interface before the frames that were captured on it. A
/// text ends at its first NUL, and bytes in it that are not UTF-8 are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// Start of a section. Classic pcap has one, without any text.
    Section(Section<'a>),
    /// Interface that frames were captured on. Classic pcap has one, without a name.
    Interface(Interface<'a>),
    /// Captured frame.
    Frame(Frame<'a>),
    /// Counts of an interface.
    Statistics(Statistics<'a>),
}

/// Description of the system that wrote a section of the file (pcapng draft, 4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section<'a> {
    /// Name of the operating system.
    pub os: Option<Cow<'a, str>>,
    /// Name of the program.
    pub application: Option<Cow<'a, str>>,
    /// Comments on the section.
    pub comments: Vec<Cow<'a, str>>,
}

/// Description of an interface that frames were captured on (pcapng draft, 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface<'a> {
    /// Link type of the frames: a number of the `LINKTYPE_` registry.
    pub link: u16,
    /// Maximum length to which frames were cut, in bytes; 0 if there was no limit.
    pub snaplen: u32,
    /// Name of the interface.
    pub name: Option<Cow<'a, str>>,
    /// Capture filter, in libpcap's syntax.
    pub filter: Option<Cow<'a, str>>,
    /// Comments on the interface.
    pub comments: Vec<Cow<'a, str>>,
}

/// Captured frame (pcapng draft, 4.3, 4.4 and appendix A).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Index of the [`Interface`] in the file, from 0.
    ///
    /// The format numbers the interfaces of each section from 0; here they are numbered through the whole file, in
    /// the order in which the reader returns them, so that one list of interfaces is enough.
    pub interface: u32,
    /// Time of capture, cut to whole nanoseconds. A simple packet block has no time, and gives the epoch;
    /// [`Timestamp::UNUSABLE`] if the stored time cannot be expressed and the reader continues.
    pub at: Timestamp,
    /// Length of the frame on the wire, in bytes.
    pub wire_len: u32,
    /// Captured bytes of the frame.
    pub captured: &'a [u8],
    /// Comments on the frame.
    pub comments: Vec<Cow<'a, str>>,
}

/// Counts of an interface (pcapng draft, 4.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics<'a> {
    /// Index of the [`Interface`] in the file, numbered as in [`Frame::interface`].
    pub interface: u32,
    /// Number of frames received.
    pub received: Option<u64>,
    /// Number of frames dropped for lack of room.
    pub dropped: Option<u64>,
    /// Times at which the capture began and ended.
    pub times: [Option<Timestamp>; 2],
    /// Comments on the counts.
    pub comments: Vec<Cow<'a, str>>,
}
