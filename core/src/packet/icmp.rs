//! ICMP errors and the TCP segments that they quote (RFC 792, RFC 4443, RFC 4884).

use std::net::SocketAddr;

use super::ip::{Ip, Part};
use super::wire::{Ipv4Header, MIN_IPV4_HEADER, TCP};
use super::{Flags, SeqNum};

/// Protocol numbers of ICMP and `ICMPv6` (IANA, "Protocol Numbers").
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;

/// Length of the header of a message that quotes a packet, in bytes.
const HEADER: usize = 8;

/// Type and code of an ICMP error, with its version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpKind {
    /// True for `ICMPv6`.
    pub is_v6: bool,
    /// Type of the message.
    pub kind: u8,
    /// Code of the message.
    pub code: u8,
}

impl IcmpKind {
    /// Returns true if messages of this type are errors about a packet that they quote: in ICMP destination unreachable,
    /// source quench, time exceeded and parameter problem (RFC 792), in `ICMPv6` the same with packet too big in place of
    /// source quench (RFC 4443, 3).
    #[must_use]
    pub fn is_error(self) -> bool {
        if self.is_v6 {
            matches!(self.kind, 1..=4)
        } else {
            matches!(self.kind, 3 | 4 | 11 | 12)
        }
    }

    /// Returns true if the message says that the packet is too long for a link on its way (RFC 1191; RFC 8201).
    #[must_use]
    pub fn is_too_big(self) -> bool {
        if self.is_v6 {
            self.kind == 2
        } else {
            (self.kind, self.code) == (3, 4)
        }
    }

    /// Returns the name of the message (IANA, "ICMP Parameters" and "`ICMPv6` Parameters").
    #[must_use]
    pub fn name(self) -> &'static str {
        if self.is_v6 {
            return self.name_v6();
        }
        match (self.kind, self.code) {
            (3, code) => name_of_unreachable(code),
            (4, _) => "source quench",
            (11, 0) => "time to live exceeded in transit",
            (11, 1) => "fragment reassembly time exceeded",
            (11, _) => "time exceeded",
            (12, _) => "parameter problem",
            _ => "message",
        }
    }

    fn name_v6(self) -> &'static str {
        match (self.kind, self.code) {
            (1, 0) => "no route to destination",
            (1, 1) => "communication administratively prohibited",
            (1, 2) => "beyond scope of source address",
            (1, 3) => "address unreachable",
            (1, 4) => "port unreachable",
            (1, 5) => "source address failed ingress/egress policy",
            (1, 6) => "reject route to destination",
            (1, 7) => "error in source routing header",
            (1, _) => "destination unreachable",
            (2, _) => "packet too big",
            (3, 0) => "hop limit exceeded in transit",
            (3, 1) => "fragment reassembly time exceeded",
            (3, _) => "time exceeded",
            (4, _) => "parameter problem",
            _ => "message",
        }
    }
}

/// Returns the name of a code of "destination unreachable".
fn name_of_unreachable(code: u8) -> &'static str {
    match code {
        0 => "network unreachable",
        1 => "host unreachable",
        2 => "protocol unreachable",
        3 => "port unreachable",
        4 => "fragmentation needed",
        5 => "source route failed",
        6 => "network unknown",
        7 => "host unknown",
        8 => "source host isolated",
        9 => "network administratively prohibited",
        10 => "host administratively prohibited",
        11 => "network unreachable for this type of service",
        12 => "host unreachable for this type of service",
        13 => "communication administratively prohibited",
        14 => "host precedence violation",
        15 => "precedence cutoff in effect",
        _ => "destination unreachable",
    }
}

/// TCP segment as far as an ICMP error quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedSegment {
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Sequence number, which is within the eight bytes that must be quoted (RFC 792).
    pub seq: Option<SeqNum>,
    /// Control bits, if they are quoted.
    pub flags: Option<Flags>,
    /// IP ID; `None` over IPv6.
    pub ip_id: Option<u16>,
}

impl QuotedSegment {
    /// Parses a quoted packet; `None` if it does not begin with a TCP segment.
    fn of(quoted: &[u8]) -> Option<Self> {
        let (source, destination, ip_id, tcp) = if quoted.first()? >> 4 == 4 {
            // The length field is not looked at: some hosts quote it in their own byte order.
            let (header, _) = Ipv4Header::split(quoted)?;
            let is_first = header.fragment_offset() == 0 && header.protocol() == TCP;
            if !is_first || header.header_len() < MIN_IPV4_HEADER {
                return None;
            }
            let tcp = quoted.get(header.header_len()..)?;
            let (from, to) = (header.source().into(), header.destination().into());
            (from, to, Some(header.id()), tcp)
        } else {
            let ip = Ip::of(quoted)?;
            if ip.part == Part::Later || ip.protocol != TCP {
                return None;
            }
            (ip.source, ip.destination, None, ip.payload)
        };
        let (ports, rest) = tcp.split_first_chunk::<4>()?;
        let seq = rest.first_chunk().copied().map(u32::from_be_bytes);
        // A header has at least five words; RFC 4884 pads a shorter quotation with zeros.
        let flags = match tcp.get(12..14) {
            Some([words, flags]) if *words >= 0x50 => Some(Flags(*flags)),
            _ => None,
        };
        Some(Self {
            source: SocketAddr::new(source, u16::from_be_bytes([ports[0], ports[1]])),
            destination: SocketAddr::new(destination, u16::from_be_bytes([ports[2], ports[3]])),
            seq: seq.map(SeqNum),
            flags,
            ip_id,
        })
    }
}

/// ICMP error about a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AboutSegment {
    /// Type and code.
    pub kind: IcmpKind,
    /// MTU of the next link, if the message states one.
    pub mtu: Option<u32>,
    /// Quoted segment.
    pub quoted: QuotedSegment,
}

/// Splits an ICMP error into its kind, its header and the quoted packet.
fn split<'a>(ip: &Ip<'a>) -> Option<(IcmpKind, &'a [u8; HEADER], &'a [u8])> {
    let is_v6 = match (ip.protocol, ip.source.is_ipv6()) {
        (ICMP, false) => false,
        (ICMPV6, true) => true,
        _ => return None,
    };
    if ip.part == Part::Later {
        return None;
    }
    let (header, quoted) = ip.payload.split_first_chunk::<HEADER>()?;
    let kind = IcmpKind {
        is_v6,
        kind: header[0],
        code: header[1],
    };
    kind.is_error().then_some((kind, header, quoted))
}

impl AboutSegment {
    /// Returns true if an IP packet is an ICMP error, whatever it quotes.
    #[must_use]
    pub fn is_error(ip: &Ip<'_>) -> bool {
        split(ip).is_some()
    }

    /// Parses the payload of an IP packet. `None` if it is no ICMP error, or quotes no TCP segment.
    #[must_use]
    pub fn of(ip: &Ip<'_>) -> Option<Self> {
        let (kind, header, quoted) = split(ip)?;
        let is_v6 = kind.is_v6;
        let [_, _, _, _, a, b, c, d] = *header;
        let mtu = if is_v6 {
            u32::from_be_bytes([a, b, c, d])
        } else {
            // RFC 1191, 4: the lower half; 0 from routers that are older than it.
            u32::from(u16::from_be_bytes([c, d]))
        };
        Some(Self {
            kind,
            mtu: (kind.is_too_big() && mtu > 0).then_some(mtu),
            quoted: QuotedSegment::of(quoted)?,
        })
    }
}
