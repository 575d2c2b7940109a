//! Encoding of segments and ICMP errors that a third party might send, without a link header.
//!
//! These packets look unlike any that the Linux kernel sends: TTL 64 and missing options may be the kernel's own, but
//! an RST built here has a window that none of the kernel's RSTs has. So it is never mistaken for one, neither here
//! nor in Wireshark.

use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};

use super::{Flags, SeqNum, TcpTimestamps};

/// Time to live, or hop limit, of the packets.
const TTL: u8 = 64;

/// Segment to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Source address and port that the segment carries.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Control bits.
    pub flags: Flags,
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgment number, which is written even if ACK is not set.
    pub ack: SeqNum,
    /// Window field, not scaled.
    pub window: u16,
    /// TCP options.
    pub options: Options,
    /// Number of bytes of payload.
    pub len: u16,
}

/// TCP options of a segment to be built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Options {
    /// No options.
    #[default]
    None,
    /// Timestamps (RFC 7323).
    Timestamps(TcpTimestamps),
    /// `MP_JOIN` in a SYN with this token (RFC 8684, 3.2).
    Join {
        /// The receiver's token, which identifies a connection.
        token: u32,
    },
}

impl Options {
    /// Encodes the options as in the header, padded to whole words.
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Timestamps(TcpTimestamps { value, echo }) => {
                // Two no-operation options align the words of the values, as RFC 7323, appendix A, recommends.
                let mut bytes = vec![1, 1, 8, 10];
                bytes.extend(value.to_be_bytes());
                bytes.extend(echo.to_be_bytes());
                bytes
            }
            Self::Join { token } => {
                // Kind, length, subtype 1 and flags, address ID, token, random number.
                let mut bytes = vec![30, 12, 0x10, 1];
                bytes.extend(token.to_be_bytes());
                bytes.extend(0x5eed_5eed_u32.to_be_bytes());
                bytes
            }
        }
    }
}

/// Builds the IP packet that holds this segment; `None` if its addresses are of two families.
#[must_use]
pub fn segment(draft: &Draft) -> Option<Vec<u8>> {
    let (source, destination) = (draft.source, draft.destination);
    let mut header = TcpHeader::new(source.port(), destination.port(), draft.seq.0, draft.window);
    header.acknowledgment_number = draft.ack.0;
    header.fin = draft.flags.has(Flags::FIN);
    header.syn = draft.flags.has(Flags::SYN);
    header.rst = draft.flags.has(Flags::RST);
    header.psh = draft.flags.has(Flags::PSH);
    header.ack = draft.flags.has(Flags::ACK);
    header.set_options_raw(&draft.options.bytes()).ok()?;
    let builder = ip(source.ip(), destination.ip())?.tcp_header(header);
    let payload = vec![b'!'; usize::from(draft.len)];
    let mut bytes = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut bytes, &payload).ok()?;
    Some(bytes)
}

/// Builds an ICMP or `ICMPv6` error of this type and code from `source`. It quotes a segment with this sequence
/// number between these ends, and goes to the sender of that segment. `None` if the addresses are of two families.
#[must_use]
pub fn icmp_error(
    (kind, code): (u8, u8),
    source: IpAddr,
    (from, to): (SocketAddr, SocketAddr),
    seq: SeqNum,
) -> Option<Vec<u8>> {
    let quoted = segment(&Draft {
        source: from,
        destination: to,
        flags: Flags::ACK,
        seq,
        ack: SeqNum(0),
        window: 0,
        options: Options::None,
        len: 0,
    })?;
    // 48: the length of an IPv6 header and an ICMP header.
    let mut bytes = Vec::with_capacity(quoted.len() + 48);
    let ip = ip(source, from.ip())?;
    let written = if source.is_ipv4() {
        ip.icmpv4_raw(kind, code, [0; 4]).write(&mut bytes, &quoted)
    } else {
        ip.icmpv6_raw(kind, code, [0; 4]).write(&mut bytes, &quoted)
    };
    written.ok()?;
    Some(bytes)
}

fn ip(source: IpAddr, destination: IpAddr) -> Option<PacketBuilderStep<etherparse::IpHeaders>> {
    Some(match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            PacketBuilder::ipv4(source.octets(), destination.octets(), TTL)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            PacketBuilder::ipv6(source.octets(), destination.octets(), TTL)
        }
        _ => return None,
    })
}
