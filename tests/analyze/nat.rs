//! Connections on both sides of a NAT, and segments that a NAT did not translate.
//!
//! What a NAT changes: addresses, ports and the TTL (RFC 3022, 2.2 and 4.1). What it leaves: sequence numbers, timestamps, the
//! window, and the IP ID of Linux. The stories are those of kubernetes issue 94861, where conntrack finds a segment invalid
//! and leaves it untranslated, and of a NAT that forgets an idle connection and gives it another port. An end without a
//! socket for a segment answers <SEQ=SEG.ACK><CTL=RST> (RFC 9293, 3.10.7.1).

mod strays;

use std::fs;
use std::net::SocketAddrV4;
use std::ops::ControlFlow;
use std::path::PathBuf;

use rstproof_core::analyze::continuation::FileNames;
use rstproof_core::analyze::{Analysis, Event, Source, json};
use serde_json::Value;
use tempfile::TempDir;

use crate::layout::{Order, Pcap};
use crate::segments::{ACK, FIN, RST, SYN};
use crate::{analyze, analyze_for_people, analyze_within};

const PSH: u8 = 8;

/// Initial numbers of client and server, and their clocks.
const ISS: [u32; 2] = [3_126_500_760, 1_676_265_241];
const CLOCK: [u32; 2] = [1_693_280_297, 3_832_540_734];

/// Segment as its sender made it.
#[derive(Clone, Copy)]
struct Wire {
    from_client: bool,
    flags: u8,
    seq: u32,
    ack: u32,
    len: u16,
    /// Milliseconds since the first segment.
    at: u32,
    id: u16,
    has_clock: bool,
}

/// Segment of the client, with numbers relative to the initial ones.
fn up(at: u32, flags: u8, seq: u32, ack: u32, len: u16) -> Wire {
    Wire {
        from_client: true,
        flags,
        seq: seq.wrapping_add(ISS[0]),
        ack: if flags & ACK == 0 {
            0
        } else {
            ack.wrapping_add(ISS[1])
        },
        len,
        at,
        id: 7_000 + u16::try_from(at % 50_000).unwrap(),
        has_clock: flags & RST == 0 || flags & ACK != 0,
    }
}

/// Segment of the server.
fn down(at: u32, flags: u8, seq: u32, ack: u32, len: u16) -> Wire {
    Wire {
        from_client: false,
        seq: seq.wrapping_add(ISS[1]),
        ack: if flags & ACK == 0 {
            0
        } else {
            ack.wrapping_add(ISS[0])
        },
        ..up(at, flags, seq, ack, len)
    }
}

/// RST of a kernel without a socket: Linux gives it the IP ID 0.
fn reply(wire: Wire) -> Wire {
    Wire { id: 0, ..wire }
}

/// Client and server as one side of the NAT knows them.
type Ends = [SocketAddrV4; 2];

fn ends(client: &str, server: &str) -> Ends {
    [client, server].map(|it| it.parse().unwrap())
}

/// Point of capture: an interface of the `any` device, or a plain one.
#[derive(Clone, Copy, PartialEq)]
enum Point {
    Any { interface: u8, is_outgoing: bool },
    Plain,
}

/// Packet in the capture: microseconds, addresses of client and server, point and TTL.
#[derive(Clone, Copy)]
struct Seen {
    wire: Wire,
    micros: u64,
    ends: Ends,
    point: Point,
    ttl: u8,
}

impl Seen {
    fn frame(&self) -> Vec<u8> {
        let wire = &self.wire;
        let mut options = Vec::new();
        if wire.flags & SYN != 0 {
            options.extend([2, 4, 0x05, 0xb4, 4, 2, 3, 3, 7, 1, 1, 1]);
        }
        if wire.has_clock {
            let own = usize::from(!wire.from_client);
            let echo = if wire.flags & ACK == 0 {
                0
            } else {
                CLOCK[1 - own] + wire.at.saturating_sub(1)
            };
            options.extend([1, 1, 8, 10]);
            options.extend((CLOCK[own] + wire.at).to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        let mut frame = match self.point {
            Point::Plain => {
                let mut frame = vec![2; 12];
                frame.extend([8, 0]);
                frame
            }
            Point::Any {
                interface,
                is_outgoing,
            } => {
                let kind = if is_outgoing { 4 } else { 0 };
                let mut frame = vec![8, 0, 0, 0, 0, 0, 0, interface, 0, 1, kind, 6];
                frame.extend([2; 8]);
                frame
            }
        };
        let total = 40 + u16::try_from(options.len()).unwrap() + wire.len;
        frame.extend([0x45, 0]);
        frame.extend(total.to_be_bytes());
        frame.extend(wire.id.to_be_bytes());
        frame.extend([0x40, 0, self.ttl, 6, 0, 0]);
        let [client, server] = self.ends;
        let [from, to] = if wire.from_client {
            [client, server]
        } else {
            [server, client]
        };
        frame.extend(from.ip().octets());
        frame.extend(to.ip().octets());
        frame.extend(from.port().to_be_bytes());
        frame.extend(to.port().to_be_bytes());
        frame.extend(wire.seq.to_be_bytes());
        frame.extend(wire.ack.to_be_bytes());
        frame.extend([0x50 + u8::try_from(options.len() * 4).unwrap(), wire.flags]);
        let window: u16 = if wire.flags & RST != 0 && wire.flags & ACK == 0 {
            0
        } else {
            502
        };
        frame.extend(window.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(&options);
        frame.resize(frame.len() + usize::from(wire.len), b'x');
        frame
    }
}

/// Router with a NAT, and what it captures of a segment: once on either side.
#[derive(Clone, Copy)]
struct Nat {
    /// Ends on the client's side, and on the server's.
    inside: Ends,
    outside: Ends,
    is_any: bool,
}

impl Nat {
    fn point(&self, interface: u8, is_outgoing: bool) -> Point {
        if self.is_any {
            Point::Any {
                interface,
                is_outgoing,
            }
        } else {
            Point::Plain
        }
    }

    /// Packet on one side, 12 microseconds later on the second one.
    fn at(&self, wire: Wire, is_inside: bool) -> Seen {
        let is_second = is_inside != wire.from_client;
        Seen {
            wire,
            micros: u64::from(wire.at) * 1_000 + if is_second { 12 } else { 0 },
            ends: if is_inside { self.inside } else { self.outside },
            point: self.point(if is_inside { 2 } else { 3 }, is_second),
            ttl: if is_second { 63 } else { 64 },
        }
    }

    fn both(&self, wire: Wire) -> Vec<Seen> {
        let first = self.at(wire, wire.from_client);
        vec![first, self.at(wire, !wire.from_client)]
    }

    fn all(&self, wires: &[Wire]) -> Vec<Seen> {
        wires.iter().flat_map(|wire| self.both(*wire)).collect()
    }

    /// The segment with the addresses of the server's side on both sides.
    fn untranslated(&self, wire: Wire) -> Vec<Seen> {
        let mut packets = self.both(wire);
        for packet in &mut packets {
            packet.ends = self.outside;
        }
        packets
    }
}

const KINDS: [(&str, [&str; 2], [&str; 2]); 3] = [
    (
        "masquerade",
        ["172.17.0.2:40184", "10.0.2.2:8080"],
        ["10.0.2.1:11808", "10.0.2.2:8080"],
    ),
    (
        "dnat",
        ["10.0.1.2:48218", "10.96.0.1:80"],
        ["10.0.1.2:48218", "10.0.2.2:8080"],
    ),
    (
        "both",
        ["10.0.1.2:48218", "10.96.0.1:80"],
        ["192.168.9.1:33333", "10.0.2.2:8080"],
    ),
];

fn nats() -> impl Iterator<Item = (String, Nat)> {
    let kinds = KINDS.iter().flat_map(|(name, inside, outside)| {
        [true, false].map(|is_any| {
            let nat = Nat {
                inside: ends(inside[0], inside[1]),
                outside: ends(outside[0], outside[1]),
                is_any,
            };
            (format!("{name}, {is_any}"), nat)
        })
    });
    kinds.collect::<Vec<_>>().into_iter()
}

fn handshake() -> Vec<Wire> {
    vec![
        up(0, SYN, 0, 0, 0),
        down(1, SYN | ACK, 0, 1, 0),
        up(2, ACK, 1, 1, 0),
    ]
}

fn request() -> Vec<Wire> {
    let mut wires = handshake();
    wires.extend([
        up(5, ACK | PSH, 1, 1, 3),
        down(6, ACK, 1, 4, 0),
        down(7, ACK | PSH, 1, 4, 8),
        up(8, ACK, 4, 9, 0),
    ]);
    wires
}

fn capture(packets: &[Seen]) -> (TempDir, PathBuf, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nat.pcap");
    let is_any = packets.first().is_some_and(|it| it.point != Point::Plain);
    let mut file = Pcap::new(
        Order::Little,
        0xa1b2_c3d4,
        (2, 4),
        if is_any { 276 } else { 1 },
    );
    for packet in packets {
        let frame = packet.frame();
        let length = u32::try_from(frame.len()).unwrap();
        let seconds = 1_700_000_000 + u32::try_from(packet.micros / 1_000_000).unwrap();
        let micros = u32::try_from(packet.micros % 1_000_000).unwrap();
        file.record((seconds, micros), (length, length), &frame);
    }
    fs::write(&path, &file.bytes).unwrap();
    (directory, path, file.bytes)
}

/// The rows of this kind, which are the same for any number of threads and any length of the chunks.
fn rows(packets: &[Seen]) -> Vec<Value> {
    let (_directory, path, bytes) = capture(packets);
    let expected = read(&bytes, 1, 512 << 10);
    for (threads, length) in [(1, 64), (2, 64), (2, 1 << 10), (4, 100), (4, 4 << 10)] {
        assert_eq!(
            read(&bytes, threads, length),
            expected,
            "{threads}, {length}"
        );
    }
    analyze(&[path.to_str().unwrap()]).whole().lines().to_vec()
}

fn read(bytes: &[u8], threads: usize, length: usize) -> Vec<String> {
    let bytes = bytes.to_vec();
    let source = Source::File(&bytes, bytes.len() as u64);
    let files = FileNames::one("nat.pcap");
    let mut lines = Vec::new();
    let row = |event: Event<'_>| {
        let mut out = Vec::new();
        match event {
            Event::Connection(connection) => json::connection(&mut out, &files, connection),
            Event::Reset(connection, told) => json::reset(&mut out, &files, connection, told),
            Event::Icmp(connection, record) => json::icmp(&mut out, &files, connection, record),
            Event::Failed(connection) => json::failed(&mut out, &files, connection),
        }
        .unwrap();
        Some(String::from_utf8(out).unwrap())
    };
    let analysis = Analysis::new().threads(threads).chunk_len(length);
    let summary = analysis.read(&source, row, |part| {
        lines.extend(part.items);
        ControlFlow::Continue(())
    });
    summary.read.unwrap();
    lines
}

fn of<'r>(rows: &'r [Value], kind: &str) -> Vec<&'r Value> {
    rows.iter().filter(|row| row["type"] == kind).collect()
}

/// One connection and one RST, whatever was translated and whatever tells the two sides apart.
#[test]
fn halves_of_a_connection_are_joined() {
    for (name, nat) in nats() {
        let mut packets = nat.all(&request());
        packets.extend(nat.both(down(20, RST | ACK, 9, 4, 0)));
        let rows = rows(&packets);
        let [connection] = of(&rows, "connection")[..] else {
            panic!("{name}: {rows:?}")
        };
        assert_eq!(connection["client"], nat.inside[0].to_string(), "{name}");
        assert_eq!(connection["server"], nat.inside[1].to_string(), "{name}");
        let translations = connection["translations"].as_array().unwrap();
        assert_eq!(translations.len(), 1, "{name}");
        assert_eq!(
            translations[0]["client"],
            nat.outside[0].to_string(),
            "{name}"
        );
        assert_eq!(
            translations[0]["server"],
            nat.outside[1].to_string(),
            "{name}"
        );
        assert_eq!(translations[0]["frame"], 2, "{name}");
        assert_eq!(connection["capture_gaps"]["captured_twice"], true, "{name}");
        assert_eq!(
            connection["capture_gaps"]["begins_midstream"], false,
            "{name}"
        );
        // Each packet counts once: SYN, ACK, data and ACK of the client.
        assert_eq!(connection["sent_packets"]["client"], 4, "{name}");
        assert_eq!(connection["conn_state"], "RSTR", "{name}");
        let [reset] = of(&rows, "reset")[..] else {
            panic!("{name}: {rows:?}")
        };
        assert_eq!(reset["cause"], "aborted-close", "{name}: {reset}");
        assert_eq!(reset["required_action"], "accept", "{name}: {reset}");
        assert_eq!(reset["errno"], "ECONNRESET", "{name}: {reset}");
        assert_ne!(reset["sender"]["verdict"], "doubtful", "{name}: {reset}");
    }
}

/// Where the frame of the RST has the addresses of the other side, these are in the row, and in the text.
#[test]
fn the_addresses_of_the_frame_are_stated() {
    let (_, nat) = nats().next().unwrap();
    let mut packets = nat.all(&request());
    packets.extend(nat.both(up(20, RST | ACK, 4, 9, 0)));
    let rows = rows(&packets);
    let [reset] = of(&rows, "reset")[..] else {
        panic!()
    };
    assert_eq!(reset["frame"], 16);
    assert_eq!(reset["source"], nat.inside[0].to_string());
    assert_eq!(reset["frame_source"], nat.outside[0].to_string());
    assert_eq!(reset["frame_destination"], nat.outside[1].to_string());
    let (_directory, path, _) = capture(&packets);
    let text = analyze_for_people(&[path.to_str().unwrap()]).whole().out;
    assert!(text.contains("10.0.2.1:11808 → 10.0.2.2:8080"), "{text}");
    assert!(
        text.contains(
            "NAT: the connection 172.17.0.2:40184 → 10.0.2.2:8080 is 10.0.2.1:11808 → 10.0.2.2:8080 from frame 2 on"
        ),
        "{text}"
    );
}

/// Captures of two hosts whose clocks differ, in one file: the copy of the SYN comes after the reply to it. Each half is right
/// for itself.
#[test]
fn halves_out_of_order_are_not_joined() {
    for (name, nat) in nats() {
        for offset in [5_000_i64, -5_000] {
            let mut packets = nat.all(&request());
            packets.extend(nat.both(down(20, RST | ACK, 9, 4, 0)));
            for packet in &mut packets {
                let late = if packet.ends == nat.outside {
                    offset
                } else {
                    0
                };
                packet.micros = (packet.micros + 10_000).saturating_add_signed(late);
            }
            packets.sort_by_key(|it| it.micros);
            let rows = rows(&packets);
            let connections = of(&rows, "connection");
            assert_eq!(connections.len(), 2, "{name}, {offset}: {rows:?}");
            for connection in connections {
                assert_eq!(connection["conn_state"], "RSTR", "{name}, {offset}");
                assert_eq!(connection["sent_packets"]["client"], 4, "{name}, {offset}");
            }
            let resets = of(&rows, "reset");
            assert_eq!(resets.len(), 2, "{name}, {offset}");
            for reset in resets {
                assert_eq!(
                    reset["required_action"], "accept",
                    "{name}, {offset}: {reset}"
                );
            }
        }
    }
}

/// A bridge, and then a router that masquerades: three points, as `tcpdump -i any` sees a container.
#[test]
fn a_packet_may_pass_more_points_than_two() {
    let (_, nat) = nats().next().unwrap();
    let bridged = |packets: Vec<Seen>| {
        packets.into_iter().flat_map(|packet| {
            let Point::Any {
                interface: 2,
                is_outgoing,
            } = packet.point
            else {
                return vec![packet];
            };
            let other = Seen {
                point: Point::Any {
                    interface: 5,
                    is_outgoing,
                },
                micros: packet.micros + 3,
                ..packet
            };
            vec![packet, other]
        })
    };
    let mut packets = nat.all(&request());
    packets.extend(nat.both(down(20, RST | ACK, 9, 4, 0)));
    let rows = rows(&bridged(packets).collect::<Vec<_>>());
    assert_eq!(of(&rows, "connection").len(), 1);
    let [reset] = of(&rows, "reset")[..] else {
        panic!()
    };
    assert_eq!(reset["required_action"], "accept", "{reset}");
}

fn dnat() -> Nat {
    let [_, (_, inside, outside), _] = KINDS;
    Nat {
        inside: ends(inside[0], inside[1]),
        outside: ends(outside[0], outside[1]),
        is_any: false,
    }
}

/// Without the handshake, equal numbers, timestamps and IP IDs at another point join the halves.
#[test]
fn halves_are_joined_in_midstream() {
    for (name, nat) in nats().filter(|(_, nat)| nat.is_any) {
        let mut packets = nat.all(&request()[3..]);
        packets.extend(nat.both(down(20, RST | ACK, 9, 4, 0)));
        let rows = rows(&packets);
        assert_eq!(of(&rows, "connection").len(), 1, "{name}: {rows:?}");
        assert_eq!(of(&rows, "reset").len(), 1, "{name}");
    }
}

/// The same ports, for another connection that is not translated: its SYN ends what was joined.
#[test]
fn another_syn_ends_the_alias() {
    let nat = Nat {
        is_any: true,
        ..dnat()
    };
    let mut packets = nat.all(&request());
    packets.extend(nat.all(&[down(30, FIN | ACK, 9, 4, 0), up(31, FIN | ACK, 4, 10, 0)]));
    let again = |wire: Wire| {
        let at = wire.at + 120_000;
        let moved = Wire {
            seq: wire.seq.wrapping_add(0x4000_0000),
            ack: if wire.flags & ACK == 0 {
                0
            } else {
                wire.ack.wrapping_add(0x4000_0000)
            },
            at,
            ..wire
        };
        nat.untranslated(moved)
    };
    packets.extend(request().into_iter().flat_map(again));
    packets.extend(again(down(40, RST | ACK, 9, 4, 0)));
    let rows = rows(&packets);
    let connections = of(&rows, "connection");
    assert_eq!(connections.len(), 2, "{rows:?}");
    let [reset] = of(&rows, "reset")[..] else {
        panic!()
    };
    assert_eq!(reset["destination"], nat.outside[0].to_string(), "{reset}");
    assert_eq!(reset["source"], nat.outside[1].to_string(), "{reset}");
    assert!(reset["frame_source"].is_null(), "{reset}");
}

/// Scanners send one initial number to many ports (nmap), and one IP ID in all packets (zmap).
#[test]
fn packets_of_a_scanner_are_not_joined() {
    for is_routed in [false, true] {
        for has_clock in [false, true] {
            let mut packets = Vec::new();
            for port in 1_u16..=40 {
                let target = format!("10.0.9.{}:{}", port % 4 + 1, 1_000 + port);
                let nat = Nat {
                    inside: ends("10.0.1.2:48218", &target),
                    outside: ends("10.0.1.2:48218", &target),
                    is_any: is_routed,
                };
                let syn = Wire {
                    id: 54_321,
                    has_clock,
                    ..up(0, SYN, 0, 0, 0)
                };
                let refusal = Wire {
                    seq: 0,
                    ..reply(Wire {
                        has_clock: false,
                        ..down(0, RST | ACK, 0, 1, 0)
                    })
                };
                for wire in [syn, refusal] {
                    let seen = nat.both(wire);
                    let count = if is_routed { 2 } else { 1 };
                    packets.extend(seen.into_iter().take(count).map(|packet| Seen {
                        micros: packet.micros + u64::from(port) * 20,
                        ..packet
                    }));
                }
            }
            let rows = rows(&packets);
            let connections = of(&rows, "connection");
            assert_eq!(connections.len(), 40, "{is_routed}, {has_clock}");
            assert!(
                connections
                    .iter()
                    .all(|it| it["translations"].as_array().unwrap().is_empty())
            );
        }
    }
}

/// Whatever a capture holds, the memory has a bound.
#[test]
fn a_flood_of_syns_is_bounded() {
    let mut packets = Vec::new();
    for nth in 0_u32..20_000 {
        let client = format!(
            "10.{}.{}.7:{}",
            nth >> 8 & 255,
            nth & 255,
            1_024 + nth % 60_000
        );
        let nat = Nat {
            inside: ends(&client, "10.96.0.1:80"),
            outside: ends(&client, "10.0.2.2:8080"),
            is_any: true,
        };
        let number = nth.wrapping_mul(0x9e37_79b9);
        let syn = Wire {
            seq: number,
            ..up(nth / 100, SYN, 0, 0, 0)
        };
        let stray = Wire {
            seq: number.wrapping_add(9),
            ..reply(up(nth / 100, RST, 0, 0, 0))
        };
        packets.extend(nat.both(syn));
        packets.push(nat.at(
            Wire {
                from_client: false,
                ..stray
            },
            true,
        ));
    }
    let (_directory, path, _) = capture(&packets);
    let said = analyze_within(400, &[path.to_str().unwrap()], std::process::Stdio::null()).whole();
    assert_eq!(said.summary()["connections"], 20_000);
}

/// An ICMP error that quotes the segment as it was on the other side of the NAT is one about the connection.
#[test]
fn an_icmp_error_reaches_the_joined_connection() {
    let nat = Nat {
        is_any: true,
        ..dnat()
    };
    let mut packets = nat.both(up(0, SYN, 0, 0, 0));
    let quoted = packets[1].frame();
    let (_directory, path, mut bytes) = capture(&packets);
    let mut frame = quoted[..20].to_vec();
    frame[11 - 1] = 0;
    frame.extend([
        0x45, 0, 0, 56, 0, 9, 0, 0, 64, 1, 0, 0, 10, 0, 2, 1, 10, 0, 1, 2,
    ]);
    frame.extend([3, 1, 0, 0, 0, 0, 0, 0]);
    frame.extend(&quoted[20..48]);
    let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
    bytes.extend(1_700_000_000_u32.to_le_bytes());
    bytes.extend(900_u32.to_le_bytes());
    bytes.extend([length, length].concat());
    bytes.extend(frame);
    fs::write(&path, &bytes).unwrap();
    packets.clear();
    let said = analyze(&[path.to_str().unwrap()]).whole();
    let [row] = &said.of("icmp")[..] else {
        panic!("{}", said.out)
    };
    assert_eq!(
        (&row["connection"], &row["to"]),
        (&1.into(), &"client".into()),
        "{row}"
    );
    assert_eq!(row["errno"], "EHOSTUNREACH", "{row}");
    assert_eq!(said.summary()["icmp_errors_unmatched"], 0);
}

/// The excerpt has the frames of both sides, and a connection is shown by the addresses of either.
#[test]
fn both_sides_are_copied_and_shown() {
    let nat = Nat {
        is_any: true,
        ..dnat()
    };
    let mut packets = nat.all(&request());
    packets.extend(nat.both(down(20, RST | ACK, 9, 4, 0)));
    let (directory, path, _) = capture(&packets);
    let copy = directory.path().join("copy.pcapng");
    let (path, copy) = (path.to_str().unwrap(), copy.to_str().unwrap());
    analyze(&[path, "-w", copy]).whole();
    assert_eq!(analyze(&[copy]).whole().summary()["packets"], 16);
    let by_inside =
        analyze_for_people(&[path, "--connection", "10.0.1.2:48218-10.96.0.1:80"]).whole();
    let by_outside =
        analyze_for_people(&[path, "--connection", "10.0.1.2:48218-10.0.2.2:8080"]).whole();
    let by_frame = analyze_for_people(&[path, "--connection", "2"]).whole();
    assert_eq!(by_inside.out, by_outside.out);
    assert_eq!(by_inside.out, by_frame.out);
    assert!(
        by_inside.out.contains("from frame 2 on"),
        "{}",
        by_inside.out
    );
}
