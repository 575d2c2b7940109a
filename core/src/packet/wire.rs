//! Headers as they are on the wire: views over captured bytes, with one accessor for each field.
//!
//! A view borrows the bytes and copies nothing. It requires only the fixed part of its header, so malformed headers
//! have a view, too: an accessor whose value depends on a length field returns `None` if that length is impossible.
//! Every other module reads header fields through these views.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Flags, Header, Options, SackBlocks, SeqNum, TcpTimestamps};
use crate::time::Timestamp;

mod options;
#[cfg(test)]
mod tests;

pub(crate) use options::{LinuxSyn, OptionError, TcpOptions};

/// Protocol number of TCP (IANA, "Protocol Numbers").
pub(crate) const TCP: u8 = 6;

/// Length of a TCP header without options, in bytes.
pub(crate) const MIN_TCP_HEADER: usize = 20;

/// Length of an IPv4 header without options, in bytes.
pub(crate) const MIN_IPV4_HEADER: usize = 20;

/// Length of an IPv6 header without extension headers, in bytes.
pub(crate) const IPV6_HEADER: usize = 40;

/// Returns the big-endian number of two bytes at a fixed offset.
#[inline]
fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Returns the big-endian number of four bytes at a fixed offset.
#[inline]
fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// TCP header (RFC 9293, 3.1), with all captured bytes after its fixed part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpHeader<'a> {
    fixed: &'a [u8; MIN_TCP_HEADER],
    rest: &'a [u8],
}

impl<'a> TcpHeader<'a> {
    /// Creates a view of the captured bytes of a segment. Returns `None` if the fixed part was not captured.
    #[inline]
    pub(crate) fn new(captured: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = captured.split_first_chunk()?;
        Some(Self { fixed, rest })
    }

    /// Returns the source port.
    #[inline]
    pub(crate) fn source_port(&self) -> u16 {
        u16_at(self.fixed, 0)
    }

    /// Returns the destination port.
    #[inline]
    pub(crate) fn destination_port(&self) -> u16 {
        u16_at(self.fixed, 2)
    }

    /// Returns the sequence number.
    #[inline]
    pub(crate) fn seq(&self) -> SeqNum {
        SeqNum(u32_at(self.fixed, 4))
    }

    /// Returns the acknowledgment number, even if ACK is not set.
    #[inline]
    pub(crate) fn ack(&self) -> SeqNum {
        SeqNum(u32_at(self.fixed, 8))
    }

    /// Returns the length of the header in bytes, according to its data offset. A length below
    /// [`MIN_TCP_HEADER`] is malformed.
    #[inline]
    pub(crate) fn header_len(&self) -> u8 {
        (self.fixed[12] >> 4) * 4
    }

    /// Returns the control bits.
    #[inline]
    pub(crate) fn flags(&self) -> Flags {
        Flags(self.fixed[13])
    }

    /// Returns the window field, not scaled.
    #[inline]
    pub(crate) fn window(&self) -> u16 {
        u16_at(self.fixed, 14)
    }

    /// Returns the length of the options in bytes, including padding. `None` if the data offset is malformed.
    #[inline]
    pub(crate) fn options_len(&self) -> Option<u8> {
        self.header_len().checked_sub(20)
    }

    /// Returns the options. `None` if the data offset is malformed, or if the options were not captured completely.
    #[inline]
    pub(crate) fn options(&self) -> Option<TcpOptions<'a>> {
        let options = self.rest.get(..self.options_len()?.into())?;
        Some(TcpOptions::new(options))
    }

    /// Returns the options as far as they were captured. A malformed data offset gives no options.
    pub(crate) fn captured_options(&self) -> TcpOptions<'a> {
        let len = self.options_len().unwrap_or(0).into();
        TcpOptions::new(self.rest.get(..len).unwrap_or(self.rest))
    }

    /// Returns the captured bytes after the header: the payload, and a trailer of the frame, if there is one.
    pub(crate) fn payload(&self) -> &'a [u8] {
        let len = self.options_len().unwrap_or(0).into();
        self.rest.get(len..).unwrap_or_default()
    }

    /// Returns the length of the payload in a segment of this length, which the IP header states. `None` if the header
    /// is longer than the segment.
    #[inline]
    pub(crate) fn payload_len(&self, segment_len: u32) -> Option<u32> {
        segment_len.checked_sub(self.header_len().into())
    }

    /// Returns the fields that concern the connection, for a segment of this length. `None` if the header is malformed
    /// or was not captured completely.
    #[allow(clippy::inline_always)] // a result passed in memory would stall on each frame
    #[inline(always)]
    pub(crate) fn header(&self, frame: u32, at: Timestamp, segment_len: u32) -> Option<Header> {
        let options = self.options()?;
        let payload_len = self.payload_len(segment_len)?;
        let mut header = Header {
            frame,
            at,
            flags: self.flags(),
            window: self.window(),
            seq: self.seq(),
            ack: self.ack(),
            payload_len,
            timestamps: options.only_timestamps(),
            sack_edge: None,
            options: Options::default(),
        };
        if header.timestamps.is_some() || options.is_empty() {
            return Some(header);
        }
        if let Some((timestamps, others)) = options.of_linux_syn() {
            (header.timestamps, header.options) = (Some(timestamps), others);
        } else {
            let (timestamps, sack, others) = options.decode();
            (header.timestamps, header.sack_edge) = (timestamps, sack.right_edge());
            header.options = others;
        }
        Some(header)
    }
}

/// IPv4 header (RFC 791, 3.1) without its options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ipv4Header<'a>(&'a [u8; MIN_IPV4_HEADER]);

impl<'a> Ipv4Header<'a> {
    /// Splits a packet into the fixed part of its header and the bytes after it.
    #[inline]
    pub(crate) fn split(packet: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (fixed, rest) = packet.split_first_chunk()?;
        Some((Self(fixed), rest))
    }

    /// Returns true for the header of nearly all packets: version 4, no options, and no fragment. The reserved flag may
    /// have any value.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.0[0] == 0x45 && matches!(self.0[6], 0 | 0x40 | 0x80 | 0xc0) && self.0[7] == 0
    }

    /// Returns the length of the header in bytes, with options. A length below [`MIN_IPV4_HEADER`] is malformed.
    #[inline]
    pub(crate) fn header_len(self) -> usize {
        usize::from(self.0[0] & 0x0f) * 4
    }

    /// Returns the type of service: DSCP (RFC 2474) and ECN (RFC 3168).
    #[inline]
    pub(crate) fn traffic_class(self) -> u8 {
        self.0[1]
    }

    /// Returns the length of the packet in bytes, headers included.
    #[inline]
    pub(crate) fn total_len(self) -> u16 {
        u16_at(self.0, 2)
    }

    /// Returns the IP ID (RFC 6864).
    #[inline]
    pub(crate) fn id(self) -> u16 {
        u16_at(self.0, 4)
    }

    /// Returns the DF flag.
    #[inline]
    pub(crate) fn dont_fragment(self) -> bool {
        self.0[6] & 0x40 != 0
    }

    /// Returns the MF flag.
    #[inline]
    pub(crate) fn more_fragments(self) -> bool {
        self.0[6] & 0x20 != 0
    }

    /// Returns the fragment offset, in units of eight bytes.
    #[inline]
    pub(crate) fn fragment_offset(self) -> u16 {
        u16_at(self.0, 6) & 0x1fff
    }

    /// Returns the time to live.
    #[inline]
    pub(crate) fn ttl(self) -> u8 {
        self.0[8]
    }

    /// Returns the protocol number of the payload.
    #[inline]
    pub(crate) fn protocol(self) -> u8 {
        self.0[9]
    }

    /// Returns the source address.
    #[inline]
    pub(crate) fn source(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32_at(self.0, 12))
    }

    /// Returns the destination address.
    #[inline]
    pub(crate) fn destination(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32_at(self.0, 16))
    }
}

/// IPv6 header (RFC 8200, 3) without extension headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ipv6Header<'a>(&'a [u8; IPV6_HEADER]);

impl<'a> Ipv6Header<'a> {
    /// Splits a packet into its header and the bytes after it.
    #[inline]
    pub(crate) fn split(packet: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (fixed, rest) = packet.split_first_chunk()?;
        Some((Self(fixed), rest))
    }

    /// Returns the version.
    #[inline]
    pub(crate) fn version(self) -> u8 {
        self.0[0] >> 4
    }

    /// Returns the traffic class: DSCP (RFC 2474) and ECN (RFC 3168).
    #[inline]
    pub(crate) fn traffic_class(self) -> u8 {
        (u32_at(self.0, 0) >> 20).to_be_bytes()[3]
    }

    /// Returns the flow label (RFC 6437).
    #[inline]
    pub(crate) fn flow_label(self) -> u32 {
        u32_at(self.0, 0) & 0x000f_ffff
    }

    /// Returns the length of the payload in bytes, extension headers included.
    #[inline]
    pub(crate) fn payload_len(self) -> u16 {
        u16_at(self.0, 4)
    }

    /// Returns the protocol number of the next header.
    #[inline]
    pub(crate) fn next_header(self) -> u8 {
        self.0[6]
    }

    /// Returns the hop limit.
    #[inline]
    pub(crate) fn hop_limit(self) -> u8 {
        self.0[7]
    }

    /// Returns the source address.
    #[inline]
    pub(crate) fn source(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.address(8))
    }

    /// Returns the destination address.
    #[inline]
    pub(crate) fn destination(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.address(24))
    }

    /// Returns the big-endian number of an address at a fixed offset.
    #[inline]
    fn address(self, at: usize) -> u128 {
        let words = [0, 4, 8, 12].map(|word| u32_at(self.0, at + word));
        words
            .iter()
            .fold(0, |number, word| number << 32 | u128::from(*word))
    }
}
