//! Lines of tcpdump, as version 4.1 and newer print them (print-ip.c, print-tcp.c and print-icmp.c of tcpdump 4.99):
//!
//! ```text
//! [NUMBER] [TIME] [INTERFACE In|Out] [LINK, length N:] IP|IP6 [(tos 0x0, ttl 64, id 1, …)] SOURCE.PORT > DESTINATION.PORT: Flags [S.],
//!     cksum 0x1234 (correct), seq 1:3, ack 1, win 64, options [nop,nop,TS val 1 ecr 2], length 2[: HTTP…]
//! ```
//!
//! With `-v` a packet of IPv4 takes two lines, divided after the IP header. SEQ is missing in an empty segment without SYN, FIN
//! and RST, unless `-vv` is given.

use super::line::{
    Content, Head, IcmpFields, IpFields, NamedEnd, Record, TcpFields, is_name, number, number_after,
};
use super::time::{self, word};
use crate::packet::Flags;

/// Mark in front of the control bits.
const FLAGS: &str = ": Flags [";

/// Result of reading a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Packet(Box<Record>),
    /// First of the two lines of a packet: the second one follows.
    Head(Box<Head>),
    /// TCP segment that the text cuts off before its window.
    Cut,
}

/// Reads a line. `head` is the first line of the packet, if it was read before. `None` if the line is of no packet.
pub(super) fn read(line: &str, head: Option<&Head>) -> Option<Read> {
    if let Some(at) = line.find(FLAGS) {
        let (left, right) = (&line[..at], &line[at + FLAGS.len()..]);
        let (before, source, destination) = ends(left)?;
        let head = start(before, head)?;
        let ends = [split_port(source)?, split_port(destination)?];
        let Some(tcp) = segment(right) else {
            return Some(Read::Cut);
        };
        let content = Content::Tcp(tcp);
        return Some(Read::Packet(Box::new(Record {
            head,
            ends: Some(ends),
            content,
        })));
    }
    if let Some(head) = first_line(line) {
        return Some(Read::Head(Box::new(head)));
    }
    other(line, head)
}

/// Splits the text in front of the control bits into what precedes the addresses, source and destination.
fn ends(left: &str) -> Option<(&str, &str, &str)> {
    let (before, destination) = left.rsplit_once(" > ")?;
    let destination = destination.trim();
    let at = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, source) = before.split_at(at);
    let is_end = |it: &str| !it.is_empty() && !it.contains(char::is_whitespace);
    (is_end(source) && is_end(destination)).then_some((before, source, destination))
}

/// Splits `ADDRESS.PORT` or `NAME.SERVICE`.
fn split_port(end: &str) -> Option<NamedEnd> {
    let (host, port) = end.rsplit_once('.')?;
    let is_host = super::line::address(host).is_some() || is_name(host);
    (is_host && is_name(port)).then(|| NamedEnd {
        host: host.to_owned(),
        port: port.to_owned(),
    })
}

/// Reads the start of a line, or takes it from the line before.
fn start(before: &str, head: Option<&Head>) -> Option<Head> {
    if before.trim().is_empty() {
        return Some(head.cloned().unwrap_or_default());
    }
    parse_head(before)
}

/// Reads the first line of a packet that takes two: it ends after the IP header.
fn first_line(line: &str) -> Option<Head> {
    let line = line.trim_end();
    if !line.ends_with(')') || !line.contains("proto ") {
        return None;
    }
    parse_head(line).filter(|head| head.ip.is_some())
}

/// Parses all that stands before the addresses. `None` if it is none of this: the line is of something else.
fn parse_head(text: &str) -> Option<Head> {
    let mut head = Head::default();
    let mut rest = text;
    // A number alone is that of the packet (`-#`), if a time or the protocol follows.
    if let Some((first, after)) = word(rest)
        && first.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = first.parse()
    {
        (head.number, rest) = (Some(number), after);
    }
    if let Some((stamp, after)) = time::split(rest) {
        (head.stamp, rest) = (Some(stamp), after);
    }
    let known = rest.len();
    if let Some((first, after)) = word(rest)
        && let Some((second, after)) = word(after)
        && let Some(kind) = packet_type(second)
    {
        // Interface names have at most 15 characters (IFNAMSIZ).
        if first.len() <= 15 {
            (head.point, rest) = (Some((first.to_owned(), kind)), after);
        }
    }
    head.ip = ip_fields(rest);
    let is = |name: &str| {
        let mut words = rest.split_whitespace();
        words.any(|it| it == name)
    };
    head.is_v6 = if is("IP6") || rest.contains("ethertype IPv6") {
        Some(true)
    } else if is("IP") || rest.contains("ethertype IPv4") {
        Some(false)
    } else {
        None
    };
    let is_known = head.is_v6.is_some() || head.ip.is_some() || rest.len() < known;
    // Without a protocol, what precedes the addresses is at most a time.
    let is_bare = head.stamp.is_some() && rest.trim().is_empty();
    (is_known || is_bare).then_some(head)
}

/// Returns the packet type of a frame on the `any` device (`pcap_datalink` `LINUX_SLL`; print-sll.c: `sll_pkttype_values`).
fn packet_type(word: &str) -> Option<u8> {
    Some(match word {
        "In" => 0,
        "B" => 1,
        "M" => 2,
        "P" => 3,
        "Out" => 4,
        _ => return None,
    })
}

/// Reads the fields of an IP header in parentheses.
fn ip_fields(text: &str) -> Option<IpFields> {
    let start = text
        .find("(tos ")
        .or_else(|| text.find("(class "))
        .or_else(|| text.find("(flowlabel "));
    let start = start.or_else(|| text.find("(hlim "))?;
    let text = text.get(start..)?;
    let small = |keyword: &str| {
        let (number, _) = number_after(text, keyword)?;
        u8::try_from(number).ok()
    };
    if let Some(ttl) = small("hlim ") {
        return Some(IpFields {
            ttl,
            class: small("(class ").unwrap_or(0),
            label: number_after(text, "flowlabel ").map_or(0, |it| it.0),
            ..IpFields::default()
        });
    }
    let id = number_after(text, ", id ")?.0;
    Some(IpFields {
        ttl: small("ttl ")?,
        class: small("(tos ")?,
        id: u16::try_from(id).ok()?,
        dont_fragment: text.contains("flags [DF"),
        label: 0,
    })
}

/// Reads a segment from its control bits on. `None` if it is cut before the window, or damaged.
fn segment(text: &str) -> Option<TcpFields> {
    let (letters, mut rest) = text.split_once(']')?;
    let mut tcp = TcpFields {
        flags: flags(letters)?,
        are_options_exact: true,
        ..TcpFields::default()
    };
    let (mut window, mut stated) = (None, None);
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        let Some((keyword, after)) = word(rest) else {
            break;
        };
        let after = after.trim_start();
        match keyword {
            "cksum" => {
                // `cksum 0x1234 (correct)`
                rest = after.split_once(')').map_or("", |it| it.1);
                continue;
            }
            "options" => {
                let Some((options, after)) = bracketed(after) else {
                    tcp.are_options_exact = false;
                    read_options(&mut tcp, after.trim_start_matches('['));
                    break;
                };
                read_options(&mut tcp, options);
                rest = after;
                continue;
            }
            "seq" | "ack" | "win" | "urg" | "length" => {}
            _ => break,
        }
        let Some((value, after)) = number(after) else {
            break;
        };
        rest = after;
        match keyword {
            "seq" => {
                tcp.seq = Some(value);
                if let Some((end, after)) = rest.strip_prefix(':').and_then(number) {
                    // A cut number would be a wrong one.
                    stated = (!after.is_empty()).then(|| end.wrapping_sub(value));
                    rest = after;
                }
            }
            "ack" => tcp.ack = Some(value),
            "win" => window = (!rest.is_empty()).then_some(value),
            "urg" => tcp.urgent = u16::try_from(value).ok()?,
            // The length is last: what follows is about the payload.
            _ => {
                stated = stated.or(Some(value));
                break;
            }
        }
    }
    tcp.window = window?;
    // SEQ alone stands for an empty segment, and no SEQ as well.
    tcp.length = stated.unwrap_or(0);
    let has_ack = tcp.flags & Flags::ACK.0 != 0;
    (has_ack == tcp.ack.is_some() && tcp.length < 1 << 24).then_some(tcp)
}

/// Returns the control bits of tcpdump's letters (`tcp_flag_values`); `none` stands for no bit.
fn flags(letters: &str) -> Option<u8> {
    if letters == "none" {
        return Some(0);
    }
    let mut flags = 0;
    for letter in letters.bytes() {
        flags |= match letter {
            b'F' => 0x01,
            b'S' => 0x02,
            b'R' => 0x04,
            b'P' => 0x08,
            b'.' => 0x10,
            b'U' => 0x20,
            b'E' => 0x40,
            b'W' => 0x80,
            b'e' => 0, // accurate ECN, in the byte before
            _ => return None,
        };
    }
    (!letters.is_empty()).then_some(flags)
}

/// Splits `[…]` off the front of a text.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('[')?.split_once(']')
}

/// Reads options, which commas divide; those in braces belong to an option.
fn read_options(tcp: &mut TcpFields, text: &str) {
    let (mut depth, mut start) = (0_u32, 0);
    for (at, letter) in text.char_indices().chain([(text.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 || at == text.len() => {
                if let Some(option) = text.get(start..at) {
                    read_option(tcp, option.trim());
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    // The end of the list fills the header up to a multiple of four.
    while !tcp.options.len().is_multiple_of(4) && tcp.sack.is_empty() {
        tcp.push_option(&[0]);
    }
}

fn read_option(tcp: &mut TcpFields, option: &str) {
    let (name, rest) = option.split_once(' ').unwrap_or((option, ""));
    let value = number(rest.trim_start()).map(|it| it.0);
    match (name, value) {
        ("nop", _) => tcp.push_option(&[1]),
        ("eol", _) => tcp.push_option(&[0]),
        ("sackOK", _) => tcp.push_option(&[4, 2]),
        ("mss", Some(mss)) => {
            let [_, _, high, low] = mss.to_be_bytes();
            tcp.push_option(&[2, 4, high, low]);
        }
        ("wscale", Some(shift)) => {
            let shift = u8::try_from(shift).unwrap_or(u8::MAX);
            tcp.scale = Some(shift);
            tcp.push_option(&[3, 3, shift]);
        }
        ("TS", _) => {
            let value = number_after(rest, "val ").map(|it| it.0);
            let echo = number_after(rest, "ecr ").map(|it| it.0);
            let (Some(value), Some(echo)) = (value, echo) else {
                tcp.are_options_exact = false;
                return;
            };
            tcp.has_timestamps = true;
            tcp.push_option(&[&[8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat());
        }
        ("sack", _) => {
            let blocks = rest.split('{').skip(1).filter_map(|block| {
                let (left, after) = number(block)?;
                Some((left, number(after.strip_prefix(':')?)?.0))
            });
            tcp.sack.extend(blocks.take(4));
        }
        ("mptcp", Some(length)) => {
            // The length of the option comes first; its content is not printed in full.
            let length = usize::try_from(length).unwrap_or(0).clamp(4, MAX_MPTCP);
            let mut bytes = vec![0; length];
            bytes[0] = 30;
            bytes[1] = u8::try_from(length).unwrap_or(4);
            bytes[2] = subtype(rest) << 4;
            tcp.are_options_exact = false;
            tcp.push_option(&bytes);
        }
        ("md5", _) => {
            let mut bytes = [0; 18];
            (bytes[0], bytes[1]) = (19, 18);
            tcp.push_option(&bytes);
        }
        ("tcp-ao", _) => {
            let mut bytes = [0; 16];
            (bytes[0], bytes[1]) = (29, 16);
            tcp.push_option(&bytes);
        }
        ("tfo", _) => {
            // The cookie is in hexadecimal digits.
            let cookie = rest.rsplit(' ').next().unwrap_or("");
            let length = if rest.contains("cookiereq") {
                2
            } else {
                2 + cookie.len() / 2
            };
            let mut bytes = vec![0; length.clamp(2, 18)];
            bytes[0] = 34;
            bytes[1] = u8::try_from(bytes.len()).unwrap_or(2);
            tcp.push_option(&bytes);
        }
        ("", _) => {}
        _ => tcp.are_options_exact = false,
    }
}

/// Length of the longest option of Multipath TCP, in bytes.
const MAX_MPTCP: usize = 28;

/// Returns the subtype of an option of Multipath TCP (RFC 8684, 8.3) by the name that tcpdump gives it (print-mptcp.c); 15, which is for
/// private use, if it is unknown.
fn subtype(text: &str) -> u8 {
    const NAMES: [(&str, u8); 8] = [
        (" capable", 0),
        (" join", 1),
        (" dss", 2),
        (" add-addr", 3),
        (" rem-addr", 4),
        (" prio", 5),
        (" fail", 6),
        (" fast-close", 7),
    ];
    let found = NAMES.iter().find(|(name, _)| text.contains(name));
    found.map_or(15, |it| it.1)
}

/// Reads a packet without TCP.
fn other(line: &str, head: Option<&Head>) -> Option<Read> {
    let record = |head: Head, ends, content| {
        Some(Read::Packet(Box::new(Record {
            head,
            ends,
            content,
        })))
    };
    // Ends of IP packets precede a colon. With -e, those of the link layer come first, and have no colon behind them.
    let found = line.match_indices(" > ").find_map(|(at, _)| {
        let end = at + 3 + line[at + 3..].find(": ")?;
        ends(&line[..end]).map(|it| (it, line[end + 2..].trim()))
    });
    if let Some(((before, source, destination), content)) = found
        && let Some(head) = start(before, head)
        && (head.is_v6.is_some() || head.ip.is_some())
        && are_ends(source, destination, content)
    {
        let bare = |host: &str| NamedEnd {
            host: host.to_owned(),
            port: String::new(),
        };
        // `-v` prints whether the checksum is right.
        let checked = content
            .strip_prefix("[icmp6 ")
            .and_then(|it| it.split_once("] "));
        let content = checked.map_or(content, |it| it.1);
        if let Some(icmp) = icmp(content) {
            let ends = Some([bare(source), bare(destination)]);
            return record(head, ends, Content::Icmp(icmp));
        }
        if content.starts_with("Flags") || "Flags".starts_with(content) {
            return Some(Read::Cut);
        }
        if content.starts_with("tcp ") {
            // `-q` prints no control bits.
            return record(
                head,
                None,
                Content::Other("TCP without flags (tcpdump -q)".into()),
            );
        }
        return record(head, None, Content::Other(name_of(content)));
    }
    let at = line.find("ARP, ")?;
    let head = parse_head(&format!("{} IP", &line[..at]))?;
    let has_start = head.stamp.is_some() || head.number.is_some() || at == 0;
    has_start.then(|| record(head, None, Content::Other("ARP".into())))?
}

/// Returns true for the ends of a packet: an address, or names in front of a protocol that prints its own name.
fn are_ends(source: &str, destination: &str, content: &str) -> bool {
    let is_address = |end: &str| {
        let bare = end.rsplit_once('.').map_or(end, |it| it.0);
        [end, bare]
            .iter()
            .any(|it| super::line::address(it).is_some())
    };
    is_address(source) || is_address(destination) || name_of(content) != "IP"
}

/// Returns the name of the protocol in front of its content.
fn name_of(content: &str) -> String {
    let end = content
        .find(|it: char| !it.is_ascii_alphanumeric())
        .unwrap_or(content.len());
    let name = &content[..end.min(12)];
    let is_name = name.bytes().filter(u8::is_ascii_uppercase).count() >= 2;
    if is_name {
        name.to_owned()
    } else {
        "IP".to_owned()
    }
}

/// Reads an ICMP error (print-icmp.c, print-icmp6.c). `None` for any other message.
fn icmp(content: &str) -> Option<IcmpFields> {
    let (is_v6, text) = match content.strip_prefix("ICMP6, ") {
        Some(text) => (true, text),
        None => (false, content.strip_prefix("ICMP ")?),
    };
    let text = text.rsplit_once(", length ").map_or(text, |it| it.0);
    let fields = |kind, code| {
        let mtu = number_after(text, "mtu ").map_or(0, |it| it.0);
        let host = text
            .split([' ', ','])
            .find(|it| super::line::address(it).is_some());
        let port = text.split_once(" tcp port ").map(|it| it.1);
        let port = port.and_then(|it| it.split([' ', ',']).next());
        Some(IcmpFields {
            is_v6,
            kind,
            code,
            mtu,
            host: host.map(str::to_owned),
            port: port.map(str::to_owned),
        })
    };
    let known = if is_v6 { &ICMP_V6[..] } else { &ICMP_V4[..] };
    let (_, kind, code) = known
        .iter()
        .find(|(words, ..)| words.iter().all(|it| text.contains(it)))?;
    fields(*kind, *code)
}

/// Message of ICMP: words that all stand in it, its type and its code.
type Message = (&'static [&'static str], u8, u8);

/// Errors of ICMP (RFC 792, RFC 1122, 3.2.2.1, RFC 1812, 5.2.7.1). Longer descriptions precede those that they contain.
const ICMP_V4: [Message; 21] = [
    (&["tcp port ", " unreachable"], 3, 3),
    (&["unreachable - need to frag"], 3, 4),
    (&["unreachable - source route failed"], 3, 5),
    (&["net ", "unreachable - unknown"], 3, 6),
    (&["host ", "unreachable - unknown"], 3, 7),
    (&["unreachable - source host isolated"], 3, 8),
    (&["net ", "unreachable - admin prohibited"], 3, 9),
    (&["host ", "unreachable - admin prohibited filter"], 3, 13),
    (&["host ", "unreachable - admin prohibited"], 3, 10),
    (&["net ", "unreachable - tos prohibited"], 3, 11),
    (&["host ", "unreachable - tos prohibited"], 3, 12),
    (&["unreachable - host precedence violation"], 3, 14),
    (&["unreachable - precedence cutoff"], 3, 15),
    (&["protocol ", " unreachable"], 3, 2),
    (&["net ", " unreachable"], 3, 0),
    (&["host ", " unreachable"], 3, 1),
    (&["source quench"], 4, 0),
    (&["time exceeded in-transit"], 11, 0),
    (&["ip reassembly time exceeded"], 11, 1),
    (&["parameter problem"], 12, 0),
    (&["redirect "], 5, 1),
];

/// Errors of `ICMPv6` (RFC 4443, 3).
const ICMP_V6: [Message; 10] = [
    (&["unreachable route"], 1, 0),
    (&["unreachable prohibited"], 1, 1),
    (&["beyond scope"], 1, 2),
    (&["unreachable address"], 1, 3),
    (&["unreachable port", " tcp port "], 1, 4),
    (&["unknown unreach code (5)"], 1, 5),
    (&["unknown unreach code (6)"], 1, 6),
    (&["packet too big"], 2, 0),
    (&["time exceeded in-transit"], 3, 0),
    (&["parameter problem, erroneous"], 4, 0),
];
