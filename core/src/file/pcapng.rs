//! Writer of pcapng (draft-ietf-opsawg-pcapng), the format that Wireshark and tcpdump read.
//!
//! A file has one section: a section header with kernel and tool, an interface with its filter and nanosecond
//! timestamps (or two interfaces, if a trial was captured at both ends), a packet block for each frame, and the
//! statistics of each interface. The section and each frame may carry comments, which Wireshark shows. The byte order
//! is that of this host, which the format allows. The crate for pcapng is not used, because it swaps the halves of
//! the statistics' timestamp and assumes a fixed unit of timestamps.

use std::io::{self, Write};

use super::Interface;
use super::number::{
    BYTE_ORDER_MAGIC, COMMENT, ENHANCED_PACKET, IF_FILTER, IF_NAME, IF_OS, IF_TSRESOL,
    INTERFACE_DESCRIPTION, INTERFACE_STATISTICS, ISB_ENDTIME, ISB_FILTERACCEPT, ISB_IFDROP,
    ISB_IFRECV, ISB_STARTTIME, LOCAL_USE, SECTION_HEADER, SHB_OS, SHB_USERAPPL,
};
use crate::packet::Link;
use crate::time::Timestamp;

/// Description of a capture, for the section header and the interfaces.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// Operating system and kernel.
    pub os: &'a str,
    /// Program and version.
    pub application: &'a str,
    /// Names of the interfaces.
    pub interfaces: &'a [&'a str],
    /// BPF filter of the capture.
    pub filter: &'a str,
    /// Link type of the frames.
    pub link: Link,
    /// Maximum length to which frames were cut, in bytes.
    pub snaplen: u16,
    /// Comments on the section.
    pub comments: &'a [String],
}

/// Counts of an interface during a trial.
#[derive(Clone, Copy, Debug)]
pub struct Statistics {
    /// Time at which the trial began.
    pub began: Timestamp,
    /// Time at which the trial ended.
    pub ended: Timestamp,
    /// Number of frames that passed the filter and are in the file.
    pub received: u64,
    /// Number of frames that the kernel dropped for lack of room.
    pub dropped: u64,
}

/// Whole pcapng file in memory: a trial has a dozen frames.
#[derive(Debug)]
pub struct PcapNg {
    bytes: Vec<u8>,
}

impl PcapNg {
    /// Begins the file of a trial.
    #[must_use]
    pub fn begin(section: &Section<'_>) -> Self {
        let mut this =
            Self::begin_anywhere(Some(section.os), section.application, section.comments);
        for interface in section.interfaces {
            this.block(INTERFACE_DESCRIPTION, |block| {
                block.u16(section.link.number());
                block.u16(0);
                block.u32(u32::from(section.snaplen));
                block.option(IF_NAME, interface.as_bytes());
                block.filter(section.filter);
                block.option(IF_TSRESOL, &[9]); // 10^-9 s
                block.option(IF_OS, section.os.as_bytes());
                block.end_of_options();
            });
        }
        this
    }

    /// Begins a file of frames that were captured elsewhere, on interfaces that [`PcapNg::interface`] adds.
    #[must_use]
    pub fn begin_anywhere(os: Option<&str>, application: &str, comments: &[String]) -> Self {
        let mut this = Self {
            bytes: Vec::with_capacity(4096),
        };
        this.block(SECTION_HEADER, |block| {
            block.u32(BYTE_ORDER_MAGIC);
            block.u16(1); // major version
            block.u16(0); // minor version
            block.u64(u64::MAX); // section length: not given
            block.comments(comments);
            if let Some(os) = os {
                block.option(SHB_OS, os.as_bytes());
            }
            block.option(SHB_USERAPPL, application.as_bytes());
            block.end_of_options();
        });
        this
    }

    /// Adds an interface of another capture, with `comments` after its own. Interfaces are numbered from 0 in the
    /// order in which they are added.
    pub fn interface(&mut self, interface: &Interface<'_>, comments: &[String]) {
        self.block(INTERFACE_DESCRIPTION, |block| {
            block.u16(interface.link);
            block.u16(0);
            block.u32(interface.snaplen);
            block.comments(&interface.comments);
            block.comments(comments);
            if let Some(name) = &interface.name {
                block.option(IF_NAME, name.as_bytes());
            }
            if let Some(filter) = &interface.filter {
                block.filter(filter);
            }
            block.option(IF_TSRESOL, &[9]); // 10^-9 s
            block.end_of_options();
        });
    }

    /// Adds a frame of this interface: its time, its length on the wire, its captured bytes and comments on it.
    ///
    /// A comment longer than 65,535 bytes is cut. Readers end a comment at its first NUL.
    pub fn frame(
        &mut self,
        interface: u32,
        at: Timestamp,
        wire_len: u32,
        captured: &[u8],
        comments: &[String],
    ) {
        self.odd_frame(
            interface,
            at.max(Timestamp(0)),
            wire_len,
            captured,
            comments,
        );
    }

    /// Adds a frame like [`frame`](Self::frame), also with a time before 1970, which is stored with its sign.
    pub(crate) fn odd_frame(
        &mut self,
        interface: u32,
        at: Timestamp,
        wire_len: u32,
        captured: &[u8],
        comments: &[String],
    ) {
        self.block(ENHANCED_PACKET, |block| {
            block.u32(interface);
            block.halves(at.0.cast_unsigned());
            block.u32(u32::try_from(captured.len()).unwrap_or(u32::MAX));
            block.u32(wire_len);
            block.padded(captured);
            if !comments.is_empty() {
                block.comments(comments);
                block.end_of_options();
            }
        });
    }

    /// Adds the statistics of an interface.
    pub fn statistics(&mut self, interface: u32, statistics: Statistics) {
        self.block(INTERFACE_STATISTICS, |block| {
            block.u32(interface);
            block.timestamp(statistics.ended);
            block.timestamp_option(ISB_STARTTIME, statistics.began);
            block.timestamp_option(ISB_ENDTIME, statistics.ended);
            block.option(ISB_IFRECV, &statistics.received.to_ne_bytes());
            block.option(ISB_IFDROP, &statistics.dropped.to_ne_bytes());
            // A frame counts as received if it passed the filter, so both counts are the same.
            block.option(ISB_FILTERACCEPT, &statistics.received.to_ne_bytes());
            block.end_of_options();
        });
    }

    /// Adds a block without content of a kind for local use (draft, 10.1), which readers skip.
    pub(crate) fn nothing(&mut self) {
        self.block(LOCAL_USE, |_| {});
    }

    /// Returns the file so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the whole file, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the blocks added since the last call and discards them, for files that are too long for memory.
    pub(crate) fn drain_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }

    /// Discards the blocks added so far.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Writes the file to `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.bytes)
    }

    /// Writes a block: type, total length, body, total length again.
    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Block<'_>)) {
        let start = self.bytes.len();
        let mut block = Block(&mut self.bytes);
        block.u32(kind);
        block.u32(0); // length, filled in below
        body(&mut block);
        let length = u32::try_from(self.bytes.len() - start + 4).unwrap_or(u32::MAX);
        self.bytes[start + 4..start + 8].copy_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&length.to_ne_bytes());
    }
}

struct Block<'a>(&'a mut Vec<u8>);

impl Block<'_> {
    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_ne_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_ne_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_ne_bytes());
    }

    fn timestamp(&mut self, at: Timestamp) {
        // A time before 1970 cannot be stored, and becomes the epoch.
        self.halves(u64::try_from(at.0).unwrap_or(0));
    }

    /// Writes 64 bits, the upper half first in either byte order.
    fn halves(&mut self, value: u64) {
        let [a, b, c, d, low @ ..] = value.to_be_bytes();
        self.u32(u32::from_be_bytes([a, b, c, d]));
        self.u32(u32::from_be_bytes(low));
    }

    fn timestamp_option(&mut self, code: u16, at: Timestamp) {
        self.u16(code);
        self.u16(8);
        self.timestamp(at);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.u16(code);
        self.u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        self.padded(value);
    }

    /// Adds the filter of an interface, in libpcap's syntax.
    fn filter(&mut self, filter: &str) {
        // It begins with its kind: 0, a string.
        let option: Vec<u8> = std::iter::once(0).chain(filter.bytes()).collect();
        self.option(IF_FILTER, &option);
    }

    fn comments(&mut self, comments: &[impl AsRef<str>]) {
        for comment in comments {
            let comment = comment.as_ref();
            // Cut at a character boundary: half a character would not be UTF-8.
            let mut end = comment.len().min(usize::from(u16::MAX));
            while !comment.is_char_boundary(end) {
                end -= 1;
            }
            self.option(COMMENT, &comment.as_bytes()[..end]);
        }
    }

    fn end_of_options(&mut self) {
        self.u32(0);
    }

    /// Writes bytes, padded to a multiple of four.
    fn padded(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let rest = bytes.len().next_multiple_of(4) - bytes.len();
        self.0.extend_from_slice(&[0; 3][..rest]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{Block, Reader};

    fn at(index: usize) -> Timestamp {
        Timestamp(1_700_000_000_123_456_789 + i64::try_from(index).unwrap())
    }

    /// Returns a file with these comments on the section and on the second of its 16 frames, which are 14 to 29 bytes
    /// long.
    fn file(on_the_section: &[String], on_a_frame: &[String]) -> PcapNg {
        let mut file = PcapNg::begin(&Section {
            os: "Linux 6.1",
            application: "rstproof 0",
            interfaces: &["lo"],
            filter: "tcp",
            link: Link::Ethernet,
            snaplen: 256,
            comments: on_the_section,
        });
        for index in 0..16 {
            let comments = if index == 1 { on_a_frame } else { &[] };
            file.frame(0, at(index), 99, &vec![7; 14 + index], comments);
        }
        file.statistics(
            0,
            Statistics {
                began: at(0),
                ended: at(16),
                received: 16,
                dropped: 2,
            },
        );
        file
    }

    fn blocks(file: &PcapNg) -> Vec<Block<'_>> {
        let blocks: Result<_, _> = Reader::new(file.bytes()).unwrap().collect();
        blocks.unwrap()
    }

    #[test]
    fn the_reader_reads_back_everything() {
        let on_the_section = ["é".to_owned()];
        let on_a_frame = ["one\ntwo".to_owned(), String::new(), "three".to_owned()];
        let file = file(&on_the_section, &on_a_frame);
        let blocks = blocks(&file);
        assert_eq!(blocks.len(), 2 + 16 + 1);
        let Block::Section(section) = &blocks[0] else {
            panic!("{:?}", blocks[0])
        };
        assert_eq!(section.os.as_deref(), Some("Linux 6.1"));
        assert_eq!(section.application.as_deref(), Some("rstproof 0"));
        assert_eq!(section.comments, on_the_section);
        let Block::Interface(interface) = &blocks[1] else {
            panic!("{:?}", blocks[1])
        };
        assert_eq!((interface.link, interface.snaplen), (1, 256));
        assert_eq!(interface.name.as_deref(), Some("lo"));
        assert_eq!(interface.filter.as_deref(), Some("tcp"));
        for (index, block) in blocks[2..18].iter().enumerate() {
            let Block::Frame(frame) = block else {
                panic!("{block:?}")
            };
            assert_eq!((frame.interface, frame.wire_len), (0, 99));
            assert_eq!(frame.at, at(index));
            assert_eq!(frame.captured, vec![7; 14 + index]);
            let comments: &[String] = if index == 1 { &on_a_frame } else { &[] };
            assert_eq!(frame.comments, comments);
        }
        let Block::Statistics(statistics) = &blocks[18] else {
            panic!("{:?}", blocks[18])
        };
        assert_eq!(statistics.received, Some(16));
        assert_eq!(statistics.dropped, Some(2));
    }

    /// The length of an option has 16 bits.
    #[test]
    fn a_long_comment_is_cut_between_characters() {
        for (long, kept) in [
            ("a".repeat(65_535), 65_535),
            ("a".repeat(65_536), 65_535),
            ("é".repeat(40_000), 65_534),
        ] {
            let file = file(&[], std::slice::from_ref(&long));
            let blocks = blocks(&file);
            let Block::Frame(frame) = &blocks[3] else {
                panic!("{:?}", blocks[3])
            };
            assert_eq!(frame.comments, [&long[..kept]]);
        }
    }

    #[test]
    fn a_frame_without_comments_has_no_options() {
        let mut with = file(&[], &[]);
        let before = with.bytes().len();
        with.frame(0, at(0), 4, &[1, 2, 3, 4], &[]);
        // Type, length, interface, time, two lengths, the frame, length.
        assert_eq!(with.bytes().len() - before, 4 + 4 + 4 + 8 + 8 + 4 + 4);
    }
}
