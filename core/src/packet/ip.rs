//! IP header, and the headers between it and the TCP header.
//!
//! Lengths come from the header and not from the captured bytes, which may be fewer, or more by a trailer. etherparse
//! stops at every fragment; the parser here reads the first fragment on, because it holds the ports and usually the
//! whole TCP header.

use std::net::IpAddr;

use super::link::Protocol;
use super::wire::{Ipv4Header, Ipv6Header, MIN_IPV4_HEADER, TCP};

/// Part of a packet that an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Whole packet.
    Whole,
    /// First fragment, which begins with the transport header.
    First,
    /// Later fragment, which begins anywhere in the payload.
    Later,
}

impl Part {
    /// Derives the part from the fragment offset, in units of eight bytes, and the flag that more fragments follow. A
    /// fragment that is the only one is a whole packet (RFC 6946).
    fn of(offset: u16, more_follow: bool) -> Self {
        match (offset, more_follow) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            _ => Self::Later,
        }
    }
}

/// IP packet without its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip<'a> {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol number of the payload, behind all extension headers (IANA, "Protocol Numbers").
    pub protocol: u8,
    /// Part of the packet, if it is fragmented.
    pub part: Part,
    /// Captured bytes of the payload.
    pub payload: &'a [u8],
    /// Number of bytes of payload according to the header, captured or not. `None` if the header states 0 for the
    /// whole packet: in a jumbogram (RFC 2675), and in a packet that was captured before the interface split it into
    /// segments.
    pub payload_len: Option<u32>,
}

// Protocol numbers of IPv6 extension headers.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

impl<'a> Ip<'a> {
    /// Parses a packet from the first byte of its header on. `None` if it is not IP, or if its headers are malformed
    /// or were not captured completely.
    #[must_use]
    pub fn of(packet: &'a [u8]) -> Option<Self> {
        match Protocol::of(packet)? {
            Protocol::Ipv4 => Self::v4(packet),
            Protocol::Ipv6 => Self::v6(packet),
        }
    }

    /// Returns the packet with a known payload length: if the header does not state it, the packet reaches to the end
    /// of the frame, of which `uncaptured` bytes were not captured. Wireshark does the same.
    #[must_use]
    pub fn or_to_the_end(mut self, uncaptured: u32) -> Self {
        let captured = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let reckoned = captured.saturating_add(uncaptured);
        self.payload_len = self.payload_len.or(Some(reckoned));
        self
    }

    /// Parses an IPv4 packet (RFC 791, 3.1).
    fn v4(packet: &'a [u8]) -> Option<Self> {
        let (header, _) = Ipv4Header::split(packet)?;
        let header_len = header.header_len();
        if header_len < MIN_IPV4_HEADER {
            return None;
        }
        let captured = packet.get(header_len..)?;
        let stated = match header.total_len() {
            0 => None,
            total => Some(usize::from(total).checked_sub(header_len)?),
        };
        let mut this = Self {
            source: header.source().into(),
            destination: header.destination().into(),
            protocol: header.protocol(),
            part: Part::of(header.fragment_offset(), header.more_fragments()),
            payload: within(stated, captured),
            payload_len: stated.and_then(|len| u32::try_from(len).ok()),
        };
        // IPv4 has no other extension header; ESP ends the headers, since what follows it is encrypted.
        if this.protocol == AUTHENTICATION && this.part != Part::Later {
            this.pass_authentication()?;
        }
        Some(this)
    }

    /// Parses an IPv6 packet (RFC 8200, 3).
    fn v6(packet: &'a [u8]) -> Option<Self> {
        let (header, captured) = Ipv6Header::split(packet)?;
        let stated = match header.payload_len() {
            0 => None,
            len => Some(len),
        };
        let mut this = Self {
            source: header.source().into(),
            destination: header.destination().into(),
            protocol: header.next_header(),
            part: Part::Whole,
            payload: within(stated.map(usize::from), captured),
            payload_len: stated.map(u32::from),
        };
        // Hop-by-hop options are allowed directly behind the IPv6 header only (RFC 8200, 4.1).
        if this.protocol == HOP_BY_HOP {
            this.pass_options()?;
        }
        // The loop ends: each header takes at least eight bytes off the payload.
        while this.part != Part::Later {
            match this.protocol {
                ROUTING | DESTINATION => this.pass_options()?,
                AUTHENTICATION => this.pass_authentication()?,
                FRAGMENT => this.pass_fragment()?,
                _ => break,
            }
        }
        Some(this)
    }

    /// Skips options or a routing header, whose length is in units of eight bytes after the first eight (RFC 8200,
    /// 4.3 to 4.6).
    fn pass_options(&mut self) -> Option<()> {
        let units = usize::from(*self.payload.get(1)?);
        self.pass((units + 1) * 8)
    }

    /// Skips an authentication header, whose length is in words of four bytes minus two; three words are always
    /// present (RFC 4302, 2.2).
    fn pass_authentication(&mut self) -> Option<()> {
        let words = usize::from(*self.payload.get(1)?) + 2;
        if words < 3 {
            return None;
        }
        self.pass(words * 4)
    }

    /// Skips a fragment header (RFC 8200, 4.5). A header of a fragment that is the whole packet does not undo an
    /// earlier fragment header.
    fn pass_fragment(&mut self) -> Option<()> {
        let header = self.payload.first_chunk::<8>()?;
        let word = u16::from_be_bytes([header[2], header[3]]);
        // 13 bits of offset, two reserved bits, and more fragments.
        let part = Part::of(word >> 3, word & 1 != 0);
        if part != Part::Whole {
            self.part = part;
        }
        self.pass(header.len())
    }

    /// Skips a header of this length, whose first byte is the protocol of the next header.
    fn pass(&mut self, len: usize) -> Option<()> {
        let (header, rest) = self.payload.split_at_checked(len)?;
        self.protocol = *header.first()?;
        self.payload = rest;
        // A header that is longer than the stated payload leaves the length unknown, as if none were stated.
        let len = u32::try_from(len).ok()?;
        self.payload_len = self.payload_len.and_then(|all| all.checked_sub(len));
        Some(())
    }
}

/// Returns the captured payload of a packet that is a whole TCP segment behind an IP header without options or extension headers, as
/// nearly all are. `None` for any other packet, which [`Ip::of`] reads.
pub(crate) fn plain_tcp(packet: &[u8]) -> Option<&[u8]> {
    let (header, captured) = Ipv4Header::split(packet)?;
    if header.is_plain() {
        let len = usize::from(header.total_len()).checked_sub(MIN_IPV4_HEADER)?;
        return (header.protocol() == TCP).then(|| within(Some(len), captured));
    }
    let (header, captured) = Ipv6Header::split(packet)?;
    let is_plain = header.version() == 6 && header.next_header() == TCP && header.payload_len() > 0;
    is_plain.then(|| within(Some(header.payload_len().into()), captured))
}

/// Returns the captured payload without a trailer; all captured bytes if the stated length is unknown or reaches
/// further.
fn within(stated: Option<usize>, captured: &[u8]) -> &[u8] {
    let stated = stated.and_then(|len| captured.get(..len));
    stated.unwrap_or(captured)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packet of this version that states the length of its payload, with so many captured bytes of payload.
    fn packet(version: u8, stated: u8, captured: usize) -> Vec<u8> {
        let mut packet = if version == 4 {
            let mut header = vec![0x45, 0, 0, 20 + stated, 0, 1, 0x40, 0, 64, TCP, 0, 0];
            header.extend([192, 0, 2, 1, 192, 0, 2, 2]);
            header
        } else {
            let mut header = vec![0x60, 0, 0, 0, 0, stated, TCP, 64];
            header.extend([0x20; 32]);
            header
        };
        packet.extend((1..=captured).map(|it| u8::try_from(it).unwrap()));
        packet
    }

    /// Trailers, cut packets, options, fragments and other protocols.
    #[test]
    fn the_payload_of_a_plain_packet_is_that_of_the_full_parser() {
        let mut plain = 0;
        for version in [4, 6] {
            for (stated, captured) in [(20, 20), (20, 26), (40, 20), (40, 0), (0, 20)] {
                let whole = packet(version, stated, captured);
                // The bytes that decide: version, length, flags, offset and protocol.
                let changes = [
                    (0, 0x45),
                    (0, 0x46),
                    (0, 0x65),
                    (3, 0),
                    (6, 0x20),
                    (7, 1),
                    (9, 17),
                    (6, 44),
                ];
                for (place, value) in changes {
                    let mut changed = whole.clone();
                    changed[place] = value;
                    for packet in [&whole, &changed] {
                        let Some(payload) = plain_tcp(packet) else {
                            continue;
                        };
                        plain += 1;
                        let ip = Ip::of(packet).unwrap();
                        assert_eq!(
                            (ip.payload, ip.protocol, ip.part),
                            (payload, TCP, Part::Whole)
                        );
                    }
                }
            }
        }
        assert!(plain > 80, "{plain}");
    }
}
