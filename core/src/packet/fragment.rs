//! Fragments of IP packets, as they are on the wire (RFC 791, 3.2; RFC 8200, 4.5).

use std::net::IpAddr;

use super::link::Protocol;
use super::wire::{Ipv4Header, Ipv6Header, MIN_IPV4_HEADER};

/// What the fragments of one packet have in common. IPv6 compares no protocol (RFC 8200, 4.5), so that it is 0 there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Identification.
    pub id: u32,
    /// Protocol of the payload.
    pub protocol: u8,
}

/// Fragment of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Identity of the packet.
    pub key: FragmentKey,
    /// Offset of its payload in the payload of the packet, in bytes.
    pub offset: u32,
    /// Length of its payload in bytes, captured or not.
    pub len: u32,
    /// True if more fragments follow.
    pub has_more: bool,
    /// Captured bytes of the payload.
    pub payload: &'a [u8],
    /// Headers that every fragment repeats, without the fragment header of IPv6.
    headers: &'a [u8],
    /// Protocol of the payload, and its place in the headers.
    next: (u8, usize),
}

// Protocol numbers of the IPv6 headers that may precede a fragment header.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

impl<'a> Fragment<'a> {
    /// Parses a fragment. `None` if the packet is whole, or its headers are malformed or cut.
    #[must_use]
    pub fn of(packet: &'a [u8]) -> Option<Self> {
        match Protocol::of(packet)? {
            Protocol::Ipv4 => Self::v4(packet),
            Protocol::Ipv6 => Self::v6(packet),
        }
    }

    fn v4(packet: &'a [u8]) -> Option<Self> {
        let (header, _) = Ipv4Header::split(packet)?;
        let (header_len, total) = (header.header_len(), usize::from(header.total_len()));
        let len = total.checked_sub(header_len)?;
        if header_len < MIN_IPV4_HEADER
            || (header.fragment_offset() == 0 && !header.more_fragments())
        {
            return None;
        }
        let (headers, rest) = packet.split_at_checked(header_len)?;
        Some(Self {
            key: FragmentKey {
                source: header.source().into(),
                destination: header.destination().into(),
                id: header.id().into(),
                protocol: header.protocol(),
            },
            offset: u32::from(header.fragment_offset()) * 8,
            len: u32::try_from(len).ok()?,
            has_more: header.more_fragments(),
            payload: rest.get(..len).unwrap_or(rest),
            headers,
            next: (header.protocol(), 9),
        })
    }

    fn v6(packet: &'a [u8]) -> Option<Self> {
        let (header, _) = Ipv6Header::split(packet)?;
        let (mut kind, mut kind_at, mut at) = (header.next_header(), 6, 40);
        // The loop ends: each header takes at least eight bytes.
        while kind != FRAGMENT {
            if !matches!(kind, HOP_BY_HOP | ROUTING | DESTINATION) {
                return None;
            }
            let extension = packet.get(at..)?.first_chunk::<2>()?;
            (kind, kind_at) = (extension[0], at);
            at += (usize::from(extension[1]) + 1) * 8;
        }
        let fields = packet.get(at..)?.first_chunk::<8>()?;
        let word = u16::from_be_bytes([fields[2], fields[3]]);
        let (offset, has_more) = (u32::from(word >> 3) * 8, word & 1 != 0);
        if offset == 0 && !has_more {
            return None;
        }
        let end = 40 + usize::from(header.payload_len());
        let len = end.checked_sub(at + fields.len())?;
        let rest = packet.get(at + fields.len()..)?;
        Some(Self {
            key: FragmentKey {
                source: header.source().into(),
                destination: header.destination().into(),
                id: u32::from_be_bytes([fields[4], fields[5], fields[6], fields[7]]),
                protocol: 0,
            },
            offset,
            len: u32::try_from(len).ok()?,
            has_more,
            payload: rest.get(..len).unwrap_or(rest),
            headers: packet.get(..at)?,
            next: (fields[0], kind_at),
        })
    }

    /// Returns true if the packet may hold a TCP segment. In a later fragment of IPv6 the protocol may be that of
    /// another extension header.
    #[must_use]
    pub fn may_hold_tcp(&self) -> bool {
        const TCP: u8 = 6;
        const AUTHENTICATION: u8 = 51;

        match self.next.0 {
            TCP | AUTHENTICATION => true,
            DESTINATION | ROUTING => self.key.source.is_ipv6(),
            _ => false,
        }
    }

    /// Returns the headers of the whole packet, whose payload has this length, given its first fragment. `None` if such
    /// a packet would be longer than any.
    #[must_use]
    pub fn headers_of_whole(&self, len: u32) -> Option<Vec<u8>> {
        let mut headers = self.headers.to_vec();
        let (kind, kind_at) = self.next;
        *headers.get_mut(kind_at)? = kind;
        if self.key.source.is_ipv4() {
            let total = u16::try_from(u32::try_from(headers.len()).ok()? + len).ok()?;
            headers.get_mut(2..4)?.copy_from_slice(&total.to_be_bytes());
            // Neither offset nor more fragments; the reserved flag and DF stay.
            let flags = headers.get_mut(6)?;
            *flags &= 0xc0;
            *headers.get_mut(7)? = 0;
        } else {
            let extensions = u32::try_from(headers.len().checked_sub(40)?).ok()?;
            let payload = u16::try_from(extensions + len).ok()?;
            headers
                .get_mut(4..6)?
                .copy_from_slice(&payload.to_be_bytes());
        }
        Some(headers)
    }
}
