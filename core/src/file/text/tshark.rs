//! Lines of tshark, and of Wireshark's exported packet list, with the default columns (packet-tcp.c of Wireshark 4.0):
//!
//! ```text
//! NUMBER TIME SOURCE [→] DESTINATION PROTOCOL LENGTH [[NOTE]…] SOURCE-PORT → DESTINATION-PORT [SYN, ACK] Seq=0 Ack=1 Win=65483 Len=0 MSS=1460 …
//! ```
//!
//! SEQ and ACK count from the first number of each end; the window is scaled once the scale of both ends is known. Lines of
//! protocols above TCP have no ports, flags and numbers.

use super::line::{
    Content, Head, IcmpFields, NamedEnd, Record, TcpFields, address, is_name, number,
};
use super::time::{self, word};
use crate::packet::Flags;

/// Reads a line. `None` if it is of no packet.
pub(super) fn read(line: &str) -> Option<Record> {
    let (first, rest) = word(line)?;
    let first = first.trim_start_matches(['*', '→']);
    if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut head = Head {
        number: first.parse().ok(),
        ..Head::default()
    };
    let (stamp, rest) = time::split(rest)?;
    head.stamp = Some(stamp);
    let (source, rest) = word(rest)?;
    let (mut destination, mut rest) = word(rest)?;
    if is_arrow(destination) {
        (destination, rest) = word(rest)?;
    }
    let (protocol, rest) = word(rest)?;
    let (length, info) = word(rest)?;
    let is_length = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    if !is_length || !protocol.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let is_host = |it: &str| address(it).is_some() || is_name(it) || is_hardware(it);
    if !is_host(source) || !is_host(destination) {
        return None;
    }
    head.is_v6 = address(source).map(|it| it.is_ipv6());
    let end = |host: &str, port: &str| NamedEnd {
        host: host.to_owned(),
        port: port.to_owned(),
    };
    let frame_len = length.parse().ok();
    if let Some((ports, tcp)) = segment(info.trim_start(), protocol) {
        let tcp = TcpFields { frame_len, ..tcp };
        let ends = Some([end(source, ports[0]), end(destination, ports[1])]);
        return Some(Record {
            head,
            ends,
            content: Content::Tcp(tcp),
        });
    }
    if let Some(icmp) = icmp(protocol, info) {
        let ends = Some([end(source, ""), end(destination, "")]);
        return Some(Record {
            head,
            ends,
            content: Content::Icmp(icmp),
        });
    }
    let name: String = protocol.chars().take(16).collect();
    if let Some(frame_len) = frame_len.filter(|_| is_above_tcp(protocol)) {
        let ends = Some([end(source, ""), end(destination, "")]);
        let content = Content::Payload {
            protocol: name,
            frame_len,
        };
        return Some(Record {
            head,
            ends,
            content,
        });
    }
    Some(Record {
        head,
        ends: None,
        content: Content::Other(name),
    })
}

/// Returns true for protocols that use TCP, and no other transport.
fn is_above_tcp(protocol: &str) -> bool {
    const NAMES: [&str; 26] = [
        "AMQP",
        "BGP",
        "FTP",
        "FTP-DATA",
        "HTTP",
        "HTTP2",
        "IMAP",
        "IRC",
        "Kafka",
        "LDAP",
        "MONGO",
        "MQTT",
        "MySQL",
        "PGSQL",
        "POP",
        "Redis",
        "RESP",
        "RTSP",
        "SMB",
        "SMB2",
        "SMTP",
        "SSH",
        "SSHv2",
        "TDS",
        "TELNET",
        "WebSocket",
    ];
    NAMES.contains(&protocol)
        || ["HTTP/", "TLSv1", "SSLv", "SMTP/"]
            .iter()
            .any(|it| protocol.starts_with(it))
        || protocol == "SSL"
        || protocol == "TLS"
}

fn is_arrow(word: &str) -> bool {
    matches!(word, "→" | "->" | "â†’" | "\u{2192}\u{fe0f}" | "?")
}

/// Returns true for an address of the link layer, or the name of one: `Broadcast`, `00:11:22:33:44:55`, `Vendor_12:34:56`.
fn is_hardware(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.'))
}

/// Reads the info column of a segment: its ports and its fields. `None` if it is of another form.
fn segment<'a>(info: &'a str, protocol: &str) -> Option<([&'a str; 2], TcpFields)> {
    let mut tcp = TcpFields::default();
    let mut rest = info;
    // Notes of the analysis of sequence numbers precede the ports.
    while let Some(note) = rest.strip_prefix('[') {
        let (note, after) = note.split_once(']')?;
        tcp.is_port_reused |= note == "TCP Port numbers reused";
        rest = after.trim_start();
    }
    let (from, after) = word(rest)?;
    let (arrow, after) = word(after)?;
    let (to, after) = word(after)?;
    if !is_arrow(arrow) && arrow != ">" {
        return None;
    }
    let (letters, mut rest) = after.trim_start().strip_prefix('[')?.split_once(']')?;
    tcp.flags = flags(letters)?;
    let ports = [port(from)?, port(to)?];
    let (mut window, mut length) = (None, None);
    let mut stamps = (None, None);
    let (mut left, mut echoes) = (None, Vec::new());
    while let Some((field, after)) = word(rest) {
        rest = after;
        // A note about the capture may follow without a space.
        let field = field.split_once('[').map_or(field, |it| it.0);
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let Some((value, more)) = number(value) else {
            if name == "SACK_PERM" {
                echoes.extend([4, 2]);
            }
            continue;
        };
        if !more.is_empty() {
            continue;
        }
        match name {
            "Seq" => tcp.seq = Some(value),
            "Ack" => tcp.ack = Some(value),
            "Win" => window = Some(value),
            "Len" => length = Some(value),
            "Urg" => tcp.urgent = u16::try_from(value).unwrap_or(0),
            "MSS" => {
                let [_, _, high, low] = value.to_be_bytes();
                tcp.push_option(&[2, 4, high, low]);
            }
            "SACK_PERM" => echoes.extend([4, 2]),
            "TSval" => stamps.0 = Some(value),
            "TSecr" => stamps.1 = Some(value),
            // A factor, of which the option has the logarithm.
            "WS" => tcp.scale = Some(u8::try_from(value.max(1).ilog2()).unwrap_or(14)),
            "SLE" => left = Some(value),
            "SRE" => tcp.sack.extend(left.take().map(|left| (left, value))),
            _ => {}
        }
    }
    tcp.push_option(&echoes);
    if let (Some(value), Some(echo)) = stamps {
        tcp.has_timestamps = true;
        tcp.push_option(&[&[8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat());
    }
    if let Some(shift) = tcp.scale {
        tcp.push_option(&[3, 3, shift]);
    }
    if protocol == "MPTCP" {
        tcp.is_multipath = true;
        // An option of Multipath TCP, of which the column does not show more.
        tcp.push_option(&[30, 4, 0xf0, 0]);
    }
    while !tcp.options.len().is_multiple_of(4) {
        tcp.push_option(&[1]);
    }
    tcp.are_options_exact = false;
    (tcp.window, tcp.length) = (window?, length?);
    tcp.seq?;
    let has_ack = tcp.flags & Flags::ACK.0 != 0;
    if has_ack != tcp.ack.is_some() && has_ack {
        return None;
    }
    tcp.ack = tcp.ack.filter(|_| has_ack);
    tcp.sack.truncate(4);
    (tcp.length < 1 << 24).then_some((ports, tcp))
}

/// Returns the number in `80`, `http(80)` or the name in `http`.
fn port(text: &str) -> Option<&str> {
    let number = text.strip_suffix(')').and_then(|it| it.split_once('('));
    let port = number.map_or(text, |it| it.1);
    is_name(port).then_some(port)
}

/// Returns the control bits of Wireshark's names.
fn flags(names: &str) -> Option<u8> {
    if names == "<None>" {
        return Some(0);
    }
    let mut flags = 0;
    for name in names.split(", ") {
        flags |= match name {
            "FIN" => 0x01,
            "SYN" => 0x02,
            "RST" => 0x04,
            "PSH" => 0x08,
            "ACK" => 0x10,
            "URG" => 0x20,
            "ECN" | "ECE" => 0x40,
            "CWR" => 0x80,
            // Bits of the byte before.
            "NS" | "AE" | "AECN" | "Nonce" | "Reserved" => 0,
            _ => return None,
        };
    }
    Some(flags)
}

/// Reads an ICMP error by the names of its type and its code (packet-icmp.c, packet-icmpv6.c).
fn icmp(protocol: &str, info: &str) -> Option<IcmpFields> {
    const V4: [(&str, u8); 16] = [
        ("Network unreachable", 0),
        ("Host unreachable", 1),
        ("Protocol unreachable", 2),
        ("Port unreachable", 3),
        ("Fragmentation needed", 4),
        ("Source route failed", 5),
        ("Destination network unknown", 6),
        ("Destination host unknown", 7),
        ("Source host isolated", 8),
        ("Network administratively prohibited", 9),
        ("Host administratively prohibited", 10),
        ("Network unreachable for TOS", 11),
        ("Host unreachable for TOS", 12),
        ("Communication administratively filtered", 13),
        ("Host precedence violation", 14),
        ("Precedence cutoff in effect", 15),
    ];
    const V6: [(&str, u8); 7] = [
        ("no route to destination", 0),
        ("Administratively prohibited", 1),
        ("Beyond scope of source address", 2),
        ("Address unreachable", 3),
        ("Port unreachable", 4),
        ("Source address failed ingress/egress policy", 5),
        ("Reject route to destination", 6),
    ];
    let info = info.trim();
    let is_v6 = match protocol {
        "ICMP" => false,
        "ICMPv6" => true,
        _ => return None,
    };
    let (kind, code) = if let Some(reason) = inside(info, "Destination unreachable (") {
        let names: &[(&str, u8)] = if is_v6 { &V6 } else { &V4 };
        let found = names
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(reason));
        (if is_v6 { 1 } else { 3 }, found?.1)
    } else if info.starts_with("Packet Too Big") {
        (2, 0)
    } else if info.to_ascii_lowercase().starts_with("source quench") {
        (4, 0)
    } else if let Some(reason) =
        inside(info, "Time-to-live exceeded (").or_else(|| inside(info, "Time Exceeded ("))
    {
        let code = u8::from(reason.to_ascii_lowercase().contains("reassembly"));
        (if is_v6 { 3 } else { 11 }, code)
    } else if info.to_ascii_lowercase().starts_with("parameter problem") {
        (if is_v6 { 4 } else { 12 }, 0)
    } else {
        return None;
    };
    Some(IcmpFields {
        is_v6,
        kind,
        code,
        mtu: 0,
        host: None,
        port: None,
    })
}

/// Returns what stands between a prefix, in letters of either case, and the last parenthesis.
fn inside<'a>(info: &'a str, prefix: &str) -> Option<&'a str> {
    let start = info.get(..prefix.len())?;
    let rest = info.get(prefix.len()..)?;
    start
        .eq_ignore_ascii_case(prefix)
        .then(|| rest.trim_end_matches(')'))
}
