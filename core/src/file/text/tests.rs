//! Tests of the reader of texts. Lines are those that tcpdump 4.99 and tshark 4.0 print.

use std::io::Read as _;

use super::line::Content;
use super::tcpdump::{self, Read};
use super::*;
use crate::file::{Block, Reader};
use crate::packet::link::{Link, network};
use crate::packet::{Flags, Packet, Segment, decode};

/// Returns the segments of a text, each with what is absent.
fn segments(text: &str) -> Vec<(Segment, u32)> {
    let mut bytes = Vec::new();
    Text::new(text.as_bytes())
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    let mut reader = Reader::new(&bytes).unwrap();
    let (mut segments, mut frame) = (Vec::new(), 0);
    while let Some(block) = reader.next() {
        if let Block::Frame(stored) = block.unwrap() {
            frame += 1;
            let link = Link::from_number(reader.link(stored.interface).unwrap().into()).unwrap();
            if let Packet::Tcp(segment) = decode(link, frame, stored.at, stored.captured) {
                segments.push((segment, stored.interface));
            }
        }
    }
    segments
}

/// RFC 793's numbers: SYN 100, SYN-ACK 300; tcpdump prints what follows relative to them.
const HANDSHAKE: &str = "\
00:00:01.000000 IP 10.0.0.1.1 > 10.0.0.2.2: Flags [S], seq 100, win 10, length 0
00:00:01.100000 IP 10.0.0.2.2 > 10.0.0.1.1: Flags [S.], seq 300, ack 101, win 10, length 0
00:00:01.200000 IP 10.0.0.1.1 > 10.0.0.2.2: Flags [.], ack 1, win 10, length 0
";

#[test]
fn relative_numbers_become_absolute() {
    let text = HANDSHAKE.to_owned()
        + "00:00:01.300000 IP 10.0.0.1.1 > 10.0.0.2.2: Flags [P.], seq 1:6, ack 1, win 10, length 5
00:00:01.400000 IP 10.0.0.2.2 > 10.0.0.1.1: Flags [.], ack 6, win 10, options [nop,nop,sack 1 {9:12}], length 0
00:00:01.500000 IP 10.0.0.2.2 > 10.0.0.1.1: Flags [R], seq 301, win 0, length 0
";
    let found = segments(&text);
    let numbers: Vec<_> = (found.iter()).map(|(it, _)| (it.seq.0, it.ack.0)).collect();
    // The fifth has no SEQ: it is empty.
    let expected = [
        (100, 0),
        (300, 101),
        (101, 301),
        (101, 301),
        (301, 106),
        (301, 0),
    ];
    assert_eq!(numbers, expected);
    assert_eq!(found[3].0.payload_len, 5);
    assert_eq!(found[4].0.sack.right_edge().map(|it| it.0), Some(112));
    // With -S the same numbers are printed as they are.
    let absolute = text
        .replace("seq 1:6, ack 1,", "seq 101:106, ack 301,")
        .replace("ack 1, ", "ack 301, ")
        .replace("ack 6,", "ack 106,")
        .replace("{9:12}", "{109:112}");
    let absolute = segments(&absolute);
    let numbers: Vec<_> = (absolute.iter())
        .map(|(it, _)| (it.seq.0, it.ack.0))
        .collect();
    assert_eq!(numbers, expected);
    assert_eq!(absolute[4].0.sack.right_edge().map(|it| it.0), Some(112));
}

/// RFC 9293, 3.8.4: the SEQ of a keepalive probe is SND.NXT - 1, and tcpdump does not print it.
#[test]
fn an_empty_segment_that_repeats_itself_is_a_probe() {
    let probe = |at: &str| {
        format!("00:00:{at} IP 10.0.0.1.1 > 10.0.0.2.2: Flags [.], ack 1, win 10, length 0\n")
    };
    let found = segments(&(HANDSHAKE.to_owned() + &probe("02.200000")));
    assert_eq!(found[3].0.seq.0, 100);
    // Not so soon, and not after data that it may acknowledge again.
    let found = segments(&(HANDSHAKE.to_owned() + &probe("01.210000")));
    assert_eq!(found[3].0.seq.0, 101);
    let data = "00:00:01.900000 IP 10.0.0.2.2 > 10.0.0.1.1: Flags [P.], seq 5:6, ack 1, win 10, length 1\n";
    let found = segments(&(HANDSHAKE.to_owned() + data + &probe("02.200000")));
    assert_eq!(found[4].0.seq.0, 101);
}

/// Wireshark shows the window scaled once both ends have sent their scales, and counts from the first numbers.
#[test]
fn columns_of_wireshark_are_read_with_any_arrow() {
    let rows = "  1   0.000000     10.0.0.1 → 10.0.0.2     TCP 74 1000 → 80 [SYN] Seq=0 Win=100 Len=0 MSS=1460 WS=128
  2   0.000100     10.0.0.2 → 10.0.0.1     TCP 74 80 → 1000 [SYN, ACK] Seq=0 Ack=1 Win=100 Len=0 MSS=1460 WS=4
  3   0.000200     10.0.0.1 → 10.0.0.2     TCP 66 [TCP Dup ACK 2#1] 1000 → 80 [ACK] Seq=1 Ack=1 Win=64128 Len=0
  4   0.000300     10.0.0.2 → 10.0.0.1     TCP 66 80 → 1000 [RST, ACK] Seq=1 Ack=1 Win=0 Len=0
";
    let expected = segments(rows);
    let [.., (ack, _), (reset, _)] = &expected[..] else {
        panic!("{expected:?}")
    };
    assert_eq!(ack.window, 501); // 64,128 / 128
    assert_eq!((reset.seq, reset.ack), (ack.ack, ack.seq));
    assert_eq!(reset.flags, Flags::RST.and(Flags::ACK));
    let bare = rows
        .replace("10.0.0.1 → 10.0.0.2", "10.0.0.1   10.0.0.2")
        .replace("10.0.0.2 → 10.0.0.1", "10.0.0.2   10.0.0.1");
    for other in [rows.replace('→', "->"), bare.replace('→', ">")] {
        assert_eq!(segments(&other), expected, "{other}");
    }
    // RFC 9293, 3.10.7.1: an RST that replies to a SYN has SEQ 0, which the column shows as 1.
    let refused: String = [0, 3]
        .map(|nth| rows.lines().nth(nth).unwrap().to_owned() + "\n")
        .concat();
    assert_eq!(segments(&refused)[1].0.seq.0, 0);
}

#[test]
fn the_any_device_names_interfaces_and_directions() {
    let text = "12:00:00.1 eth0  Out IP 10.0.0.1.1 > 10.0.0.2.2: Flags [S], seq 1, win 1, length 0
12:00:00.2 lo    In  IP6 ::1.1 > ::1.2: Flags [S], seq 1, win 1, length 0
12:00:00.3 ifb1  In  ifindex 3 8a:9d:a8:10:01:70 ethertype IPv4 (0x0800), length 80: 10.0.0.1.3 > 10.0.0.2.2: Flags [S], seq 1, win 1, length 0
";
    let found = segments(text);
    assert_eq!(found.len(), 3);
    for (_, interface) in found {
        assert!(!Absent::of_interface(interface).has(Absent::POINT));
        assert!(Absent::of_interface(interface).has(Absent::IP_HEADER));
    }
}

#[test]
fn fields_of_the_ip_header_are_read_from_verbose_lines() {
    let text =
        "12:00:00.1 IP (tos 0x10, ttl 57, id 4660, offset 0, flags [DF], proto TCP (6), length 40)
    10.0.0.1.1 > 10.0.0.2.2: Flags [R], cksum 0x1234 (correct), seq 1, win 0, length 0
";
    let mut bytes = Vec::new();
    Text::new(text.as_bytes())
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    let frame = Reader::new(&bytes)
        .unwrap()
        .find_map(|block| match block.unwrap() {
            Block::Frame(frame) => Some((frame.interface, frame.captured.to_vec())),
            _ => None,
        });
    let (interface, packet) = frame.unwrap();
    assert!(!Absent::of_interface(interface).has(Absent::IP_HEADER));
    assert!(network(Link::Raw, &packet).is_some());
    assert_eq!(
        packet[..12],
        [0x45, 0x10, 0, 40, 0x12, 0x34, 0x40, 0, 57, 6, 0, 0]
    );
}

#[test]
fn lines_that_are_cut_before_the_window_are_not_read() {
    let whole = "12:00:00.1 IP 10.0.0.1.1 > 10.0.0.2.2: Flags [P.], seq 1:101, ack 1, win 502, options [nop,nop,TS val 1 ecr 2], length 100";
    for end in whole.find("Flags").unwrap()..whole.len() {
        let read = tcpdump::read(&whole[..end], None);
        let Some(Read::Packet(record)) = read else {
            continue;
        };
        let Content::Tcp(tcp) = &record.content else {
            panic!("{end}")
        };
        assert_eq!((tcp.window, tcp.length), (502, 100), "{}", &whole[..end]);
    }
    let within_window = whole.find("win").unwrap() + 5;
    let cut = tcpdump::read(&whole[..within_window], None);
    assert_eq!(cut, Some(Read::Cut));
}

#[test]
fn other_text_has_no_packets() {
    for text in [
        "",
        "12:00:00 connection reset by peer\n",
        "2024-01-01 12:00:00 IP reputation > 5: ok\n",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "1 2024-01-01 10.0.0.1\n",
        "{\"type\":\"reset\"}\n",
    ] {
        assert!(Text::new(text.as_bytes()).is_none(), "{text}");
    }
    assert!(!Text::<&[u8]>::may_begin(&[0xff, 0xfe, b'1', 0]));
    assert!(!Text::<&[u8]>::may_begin(b"\x7fELF\x02\x01\x01\0"));
}

/// Lines of protocols above TCP have no ports and numbers: they continue the only connection of their hosts.
#[test]
fn payload_without_numbers_continues_the_only_connection() {
    let rows = "  1   0.000000     10.0.0.1 → 10.0.0.2     TCP 74 1000 → 80 [SYN] Seq=0 Win=100 Len=0 MSS=1460
  2   0.000100     10.0.0.2 → 10.0.0.1     TCP 74 80 → 1000 [SYN, ACK] Seq=0 Ack=1 Win=100 Len=0 MSS=1460
  3   0.000200     10.0.0.1 → 10.0.0.2     TCP 54 1000 → 80 [ACK] Seq=1 Ack=1 Win=100 Len=0
  4   0.000300     10.0.0.1 → 10.0.0.2     HTTP 154 GET / HTTP/1.1 
  5   0.000400     10.0.0.2 → 10.0.0.1     TCP 54 80 → 1000 [ACK] Seq=1 Ack=101 Win=100 Len=0
";
    let found = segments(rows);
    let [_, _, (ack, _), (get, _), (reply, _)] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((get.seq, get.payload_len), (ack.seq, 100));
    assert_eq!(reply.ack, get.seq.plus(100));
    let other = rows.lines().next().unwrap().replace("1000", "1001") + "\n";
    assert_eq!(segments(&(other + rows)).len(), 5);
}
