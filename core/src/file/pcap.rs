//! Writer of classic pcap (draft-ietf-opsawg-pcap), the format that every program reads.
//!
//! Files have nanosecond timestamps and the byte order of this host. The format has no room for comments or
//! statistics; captures with these are better written as [`pcapng`](super::pcapng).

use std::io::{self, Write};

use crate::packet::Link;
use crate::time::Timestamp;

const NANOSECONDS: u32 = 0xa1b2_3c4d;
const NS_PER_SECOND: i64 = 1_000_000_000;

/// Whole pcap file in memory.
#[derive(Debug)]
pub struct Pcap {
    bytes: Vec<u8>,
}

impl Pcap {
    /// Begins the file with the link type of its frames, and the maximum length to which they were cut, in bytes.
    #[must_use]
    pub fn begin(link: Link, snaplen: u32) -> Self {
        let mut this = Self {
            bytes: Vec::with_capacity(4096),
        };
        this.u32(NANOSECONDS);
        this.u16(2); // major version
        this.u16(4); // minor version
        this.u32(0); // reserved
        this.u32(0); // reserved
        this.u32(snaplen);
        this.u32(link.number().into());
        this
    }

    /// Adds a frame: its time, its length on the wire and its captured bytes.
    ///
    /// The format counts seconds since 1970 in 32 bits: a time out of that range is replaced by the nearest one in
    /// it.
    pub fn frame(&mut self, at: Timestamp, wire_len: u32, captured: &[u8]) {
        let last = i64::from(u32::MAX) * NS_PER_SECOND + NS_PER_SECOND - 1;
        let ns = at.0.clamp(0, last);
        for part in [ns / NS_PER_SECOND, ns % NS_PER_SECOND] {
            self.u32(u32::try_from(part).unwrap_or(u32::MAX));
        }
        self.u32(u32::try_from(captured.len()).unwrap_or(u32::MAX));
        self.u32(wire_len);
        self.bytes.extend_from_slice(captured);
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

    /// Writes the file to `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.bytes)
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_ne_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{Block, Interface, Reader};

    const AT: Timestamp = Timestamp(1_700_000_000_123_456_789);

    #[test]
    fn the_reader_reads_back_everything() {
        let mut file = Pcap::begin(Link::Ethernet, 96);
        file.frame(AT, 99, b"captured");
        let blocks: Vec<_> = Reader::new(file.bytes())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let [
            Block::Section(_),
            Block::Interface(interface),
            Block::Frame(frame),
        ] = &blocks[..]
        else {
            panic!("{blocks:?}")
        };
        let expected = Interface {
            link: 1,
            snaplen: 96,
            ..Interface::default()
        };
        assert_eq!(*interface, expected);
        assert_eq!((frame.at, frame.wire_len), (AT, 99));
        assert_eq!(frame.captured, b"captured");
    }

    #[test]
    fn a_time_outside_of_32_bits_of_seconds_becomes_the_nearest_one() {
        for (at, expected) in [
            (i64::MIN, 0),
            (-1, 0),
            (4_294_967_295_999_999_999, 4_294_967_295_999_999_999),
            (4_294_967_296_000_000_000, 4_294_967_295_999_999_999),
            (i64::MAX, 4_294_967_295_999_999_999),
        ] {
            let mut file = Pcap::begin(Link::Ethernet, 96);
            file.frame(Timestamp(at), 0, &[]);
            let last = Reader::new(file.bytes()).unwrap().last();
            let Some(Ok(Block::Frame(frame))) = last else {
                panic!("{last:?}")
            };
            assert_eq!(frame.at, Timestamp(expected));
        }
    }
}
