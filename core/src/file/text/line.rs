//! Packets as lines of text state them.

use std::net::IpAddr;

use super::time::Stamp;

/// End of a packet as a line names it: numbers, or names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedEnd {
    /// Address, or the name of a host.
    pub host: String,
    /// Port, or the name of a service.
    pub port: String,
}

/// Fields of an IP header that tcpdump prints with `-v`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IpFields {
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS field, or traffic class.
    pub class: u8,
    /// IP ID.
    pub id: u16,
    /// DF flag.
    pub dont_fragment: bool,
    /// Flow label.
    pub label: u32,
}

/// Start of a line: all before the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Number of the packet, if the line has one.
    pub number: Option<u32>,
    pub stamp: Option<Stamp>,
    /// Interface and packet type (packet(7)) of a capture on the `any` device.
    pub point: Option<(String, u8)>,
    pub ip: Option<IpFields>,
    /// True for IPv6; `None` if the line does not say.
    pub is_v6: Option<bool>,
}

/// TCP segment, with its numbers as they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TcpFields {
    /// Control bits.
    pub flags: u8,
    pub seq: Option<u32>,
    pub ack: Option<u32>,
    pub window: u32,
    pub urgent: u16,
    /// Options as bytes, without the selective acknowledgment.
    pub options: Vec<u8>,
    /// Blocks of the selective acknowledgment, with their numbers as they are printed.
    pub sack: Vec<(u32, u32)>,
    /// True if the options stand in their order, all of them.
    pub are_options_exact: bool,
    pub has_timestamps: bool,
    pub scale: Option<u8>,
    /// Length of the payload in bytes.
    pub length: u32,
    /// Notes of Wireshark in front of the ports, such as `TCP Port numbers reused`.
    pub is_port_reused: bool,
    /// Length of the frame, which Wireshark shows.
    pub frame_len: Option<u32>,
    /// True if Wireshark has found an option of Multipath TCP.
    pub is_multipath: bool,
}

/// ICMP error about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IcmpFields {
    pub is_v6: bool,
    pub kind: u8,
    pub code: u8,
    pub mtu: u32,
    /// Address that the quoted packet was sent to, and its port, as far as the line names them.
    pub host: Option<String>,
    pub port: Option<String>,
}

/// Content of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Tcp(TcpFields),
    Icmp(IcmpFields),
    /// Payload of TCP that Wireshark shows as a protocol above it, without ports and numbers.
    Payload {
        protocol: String,
        /// Length of the frame.
        frame_len: u32,
    },
    /// Packet of another protocol, with its name.
    Other(String),
}

/// Packet as one line states it, or two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub head: Head,
    /// Ends; the ports of a packet other than TCP are empty.
    pub ends: Option<[NamedEnd; 2]>,
    pub content: Content,
}

/// Number of bytes of options that fit into a TCP header.
pub(super) const MAX_OPTIONS: usize = 40;

impl TcpFields {
    /// Adds an option. One that does not fit is left out: the line is damaged.
    pub(super) fn push_option(&mut self, bytes: &[u8]) {
        if self.options.len() + bytes.len() <= MAX_OPTIONS {
            self.options.extend_from_slice(bytes);
        } else {
            self.are_options_exact = false;
        }
    }
}

/// Parses an address; `None` for the name of a host.
pub(super) fn address(host: &str) -> Option<IpAddr> {
    // A scope belongs to the host that printed it.
    let host = host.split_once('%').map_or(host, |it| it.0);
    host.parse().ok()
}

/// Returns true for what may be the name of a host, or of a service: `_gateway`, `http-alt`, `ip6-localhost`.
pub(super) fn is_name(text: &str) -> bool {
    const MAX: usize = 253;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= MAX && text.bytes().all(is_letter)
}

/// Returns the number after a keyword and a space.
pub(super) fn number_after<'a>(text: &'a str, keyword: &str) -> Option<(u32, &'a str)> {
    let at = text.find(keyword)?;
    number(text.get(at + keyword.len()..)?.trim_start())
}

/// Takes a decimal or hexadecimal number off the front of a text.
pub(super) fn number(text: &str) -> Option<(u32, &str)> {
    if let Some(digits) = text.strip_prefix("0x") {
        let end = digits
            .find(|it: char| !it.is_ascii_hexdigit())
            .unwrap_or(digits.len());
        let (digits, rest) = digits.split_at(end);
        return Some((u32::from_str_radix(digits, 16).ok()?, rest));
    }
    let end = text
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}
