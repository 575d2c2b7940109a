//! Captures of two points that were merged into one file although their clocks differ: each of them is followed by itself.
//!
//! What is expected is known from how the captures are made: the packets, where each of them was captured, and the
//! difference of the clocks.

use std::fs;

use serde_json::Value;

use crate::join::wire::{MICRO, MILLI, Packet, SECOND, Wire, conversation};
use crate::layout::{Order, PcapNg};
use crate::segments::{ACK, RST, SYN};
use crate::{Said, analyze, analyze_for_people};

/// Offset of the TTL in a frame of IPv4.
const TTL: usize = 22;

/// Differences that put packets of one end before those that they reply to: the delay is 200 µs, and a reply comes a
/// millisecond later.
const LEADS: [i64; 7] = [
    500 * MILLI,
    -500 * MILLI,
    3_600 * SECOND,
    -3_600 * SECOND,
    -1_500 * MICRO,
    2 * MILLI,
    -2 * SECOND,
];

/// Frames of two captures in the order of their times, as `mergecap` writes them: with an interface for each file, or with
/// one for both (`-I all`). `change` gets each frame.
fn merged(files: &[String], is_marked: bool, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut frames: Vec<(u64, u32, Vec<u8>)> = Vec::new();
    for (file, interface) in files.iter().zip(0..) {
        let bytes = fs::read(file).unwrap();
        let mut rest = &bytes[24..];
        while !rest.is_empty() {
            let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let at = u64::from(number(0)) * 1_000_000_000 + u64::from(number(4));
            let length = number(8) as usize;
            let mut frame = rest[16..16 + length].to_vec();
            change(&mut frame);
            frames.push((at, if is_marked { interface } else { 0 }, frame));
            rest = &rest[16 + length..];
        }
    }
    frames.sort_by_key(|it| it.0);
    let mut file = PcapNg::with_interface(Order::Little, &[(9, &[9])]);
    for _ in 1..files.len() {
        file.interface(1, 0, &[(9, &[9])]);
    }
    for (at, interface, frame) in frames {
        file.frame(interface, at, &frame, &[]);
    }
    file.bytes
}

/// Analyzes a file with these bytes.
fn rows(bytes: &[u8]) -> Said {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("merged.pcapng");
    fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    let said = analyze(&[path]).whole();
    assert_eq!(analyze(&["--threads", "4", path]).whole().out, said.out);
    said
}

/// What is captured of these packets at both points, merged.
fn capture(wire: &Wire, packets: &[Packet], is_marked: bool) -> Vec<u8> {
    let home = tempfile::tempdir().unwrap();
    merged(&wire.write(home.path(), packets), is_marked, |_| {})
}

fn with_reset(reset: Packet) -> Vec<Packet> {
    let mut packets = conversation(0, 12);
    packets.push(reset.following(packets.last().unwrap()));
    packets
}

#[track_caller]
fn the_reset(said: &Said) -> Value {
    let [row] = &said.of("reset")[..] else {
        panic!("{}", said.out)
    };
    row.clone()
}

#[track_caller]
fn the_connection(said: &Said) -> Value {
    let [row] = &said.of("connection")[..] else {
        panic!("{}", said.out)
    };
    row.clone()
}

/// An RST that passed both points is one, and has the effect that it has where it arrives.
#[test]
fn packets_count_once_and_an_rst_has_its_effect() {
    for ahead in LEADS {
        for (is_marked, is_v6) in [(true, false), (false, false), (true, true), (false, true)] {
            let wire = Wire {
                ahead,
                is_v6,
                ..Wire::default()
            };
            for mut reset in [Packet::up(RST | ACK, 1, 1), Packet::down(RST | ACK, 1, 1)] {
                reset.id = 900;
                let said = rows(&capture(&wire, &with_reset(reset), is_marked));
                let (row, connection) = (the_reset(&said), the_connection(&said));
                let case = format!("{ahead} {is_marked} {is_v6}: {row} {connection}");
                let effect = [
                    &row["required_action"],
                    &row["errno"],
                    &row["receiver_state"],
                ];
                assert_eq!(effect, ["accept", "ECONNRESET", "ESTABLISHED"], "{case}");
                assert_eq!(row["cause"], "aborted-close", "{case}");
                assert_ne!(row["sender"]["verdict"], "doubtful", "{case}");
                // Three of the handshake, six of each end, and the RST.
                let count = |end: &str| connection["sent_packets"][end].as_u64().unwrap();
                let is_first_seen = count("client") + count("server");
                assert_eq!(is_first_seen, 16, "{case}");
                assert_eq!(connection["reset_count"], 1, "{case}");
                // The receiver's end alone gets an error.
                let [gets, sends] = match row["from"].as_str() {
                    Some("server") => ["client_errno", "server_errno"],
                    _ => ["server_errno", "client_errno"],
                };
                assert_eq!(connection["failure"], "aborted", "{case}");
                assert_eq!(connection["failure_frame"], row["frame"], "{case}");
                assert_eq!(connection[gets], "ECONNRESET", "{case}");
                assert_eq!(connection[sends], Value::Null, "{case}");
                assert_eq!(connection["capture_gaps"]["captured_twice"], true, "{case}");
                assert_eq!(said.summary()["repeated_connections"], 1, "{case}");
                let repeated = &connection["repeated"];
                assert_eq!(repeated["frame"], 1, "{case}");
                let apart = repeated["apart_ns"].as_i64().unwrap();
                // The SYN took 200 µs from the client's point to the server's.
                assert_eq!(apart, (ahead + 200 * MICRO).abs(), "{case}");
            }
        }
    }
}

/// Clocks that differ by less than the packets take leave them in order, and the two points are compared.
#[test]
fn a_small_difference_changes_nothing() {
    let wire = Wire {
        ahead: 100 * MICRO,
        ..Wire::default()
    };
    for is_marked in [true, false] {
        let reset = Packet::down(RST | ACK, 1, 1).lost();
        let said = rows(&capture(&wire, &with_reset(reset), is_marked));
        assert_eq!(
            the_connection(&said)["repeated"],
            Value::Null,
            "{}",
            said.out
        );
        let row = the_reset(&said);
        assert_eq!(row["required_action"], "not-delivered", "{row}");
    }
}

/// Captured only where it leaves: without the order of the clocks, nothing shows whether the other point would have
/// captured it.
#[test]
fn an_rst_at_its_sender_alone_may_not_have_arrived() {
    for ahead in LEADS.into_iter().filter(|it| it.abs() < 3_600 * SECOND) {
        for is_marked in [true, false] {
            let wire = Wire {
                ahead,
                ..Wire::default()
            };
            for reset in [Packet::up(RST | ACK, 1, 1), Packet::down(RST | ACK, 1, 1)] {
                let said = rows(&capture(&wire, &with_reset(reset.lost()), is_marked));
                let row = the_reset(&said);
                assert_eq!(row["required_action"], "unknown", "{ahead}: {row}");
                assert_eq!(row["errno"], Value::Null, "{ahead}: {row}");
                assert_ne!(row["sender"]["verdict"], "doubtful", "{ahead}: {row}");
            }
        }
    }
}

/// Captured only where it arrives, with the TTL of packets there: it is analyzed as in that capture alone.
#[test]
fn an_rst_at_its_receiver_alone_has_its_effect() {
    for ahead in LEADS {
        for is_marked in [true, false] {
            let wire = Wire {
                ahead,
                ..Wire::default()
            };
            for reset in [Packet::up(RST | ACK, 1, 1), Packet::down(RST | ACK, 1, 1)] {
                let said = rows(&capture(&wire, &with_reset(reset.never_left()), is_marked));
                let row = the_reset(&said);
                let effect = [
                    &row["required_action"],
                    &row["errno"],
                    &row["receiver_state"],
                ];
                assert_eq!(
                    effect,
                    ["accept", "ECONNRESET", "ESTABLISHED"],
                    "{ahead}: {row}"
                );
            }
        }
    }
}

/// A device on the way sends an RST with a TTL of its own. If an interface shows which point captured it, it arrives; else
/// nothing shows where it was, but no other packet of its stated sender has this TTL.
#[test]
fn a_ttl_of_neither_point_shows_no_point() {
    let home = tempfile::tempdir().unwrap();
    let reset = Packet::down(RST | ACK, 1, 1).never_left();
    for ahead in [500 * MILLI, -500 * MILLI] {
        let wire = Wire {
            ahead,
            ..Wire::default()
        };
        let files = wire.write(home.path(), &with_reset(reset));
        for is_marked in [true, false] {
            let said = rows(&merged(&files, is_marked, |frame| {
                if frame[47] & RST != 0 {
                    frame[TTL] = 128;
                }
            }));
            let row = the_reset(&said);
            // Before the other capture begins, there is one point only.
            let (action, errno) = if is_marked || ahead > 0 {
                ("accept", "ECONNRESET".into())
            } else {
                ("unknown", Value::Null)
            };
            assert_eq!(row["required_action"], action, "{ahead} {row}");
            assert_eq!(row["errno"], errno, "{ahead} {row}");
            assert_eq!(row["cause"], "third-party", "{ahead} {row}");
            assert_eq!(row["sender"]["indicator"]["id"], "ttl-differs", "{row}");
        }
    }
}

/// Two hosts on one network, merged into one interface: neither TTL nor interface shows the point.
#[test]
fn alike_captures_of_one_interface_leave_the_effect_open() {
    let wire = Wire {
        ahead: 500 * MILLI,
        hops: 0,
        ..Wire::default()
    };
    let mut packets = conversation(0, 12);
    // It continues, so that the captures overlap in time.
    let last = *packets.last().unwrap();
    let mut late = Packet::up(ACK, 1, 1)
        .len(10)
        .following(&last)
        .at(900 * MILLI);
    late.id = 800;
    packets.push(late);
    let mut answer = Packet::down(ACK, 1, 1).following(&late);
    answer.id = 801;
    packets.push(answer);
    for id in [0, 900] {
        let mut reset = Packet::down(RST | ACK, 1, 1).following(&answer);
        reset.id = id;
        let all: Vec<Packet> = packets.iter().copied().chain([reset]).collect();
        let said = rows(&capture(&wire, &all, false));
        let (row, connection) = (the_reset(&said), the_connection(&said));
        assert_eq!(row["required_action"], "unknown", "{row}");
        assert_eq!(row["errno"], Value::Null, "{row}");
        assert_eq!(row["cause"], Value::Null, "{row}");
        assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
        assert_eq!(connection["repeated"]["copy_frame"], 16, "{connection}");
        assert_eq!(connection["failure"], "reset", "{connection}");
        assert_eq!(connection["client_errno"], Value::Null, "{connection}");
        assert_eq!(connection["silence_before_ns"], Value::Null, "{connection}");
    }
}

/// Two equal RSTs without a number are two, if both points have two.
#[test]
fn equal_rsts_are_as_many_as_one_point_has() {
    for ahead in LEADS {
        for is_marked in [true, false] {
            let wire = Wire {
                ahead,
                ..Wire::default()
            };
            let mut packets = with_reset(Packet::down(RST, 1, 0));
            let mut reset = *packets.last().unwrap();
            for at in [30, 40] {
                reset = reset.at(at * MILLI);
                reset.has_clock = false;
                packets.push(reset);
            }
            packets.remove(15);
            let said = rows(&capture(&wire, &packets, is_marked));
            assert_eq!(
                said.of("reset").len(),
                2,
                "{ahead} {is_marked}: {}",
                said.out
            );
            assert_eq!(the_connection(&said)["reset_count"], 2);
        }
    }
}

/// A SYN that is sent again has the time of its own sending (RFC 7323, 3.2), also on another way.
#[test]
fn a_syn_that_is_sent_again_begins_no_view() {
    let wire = Wire::default();
    let home = tempfile::tempdir().unwrap();
    let mut packets: Vec<Packet> = [0, SECOND, 3 * SECOND]
        .map(|at| Packet::up(SYN, 0, 0).at(at))
        .to_vec();
    packets.push(Packet::down(SYN | ACK, 0, 1).at(3 * SECOND + MILLI));
    packets.push(Packet::up(ACK, 1, 1).at(3 * SECOND + 2 * MILLI));
    packets.push(Packet::down(RST | ACK, 1, 1).at(4 * SECOND));
    for (packet, id) in packets.iter_mut().zip(10..) {
        packet.id = id;
    }
    let [a, _] = wire.write(home.path(), &packets);
    let nth = std::cell::Cell::new(0);
    let said = rows(&merged(&[a], false, |frame| {
        nth.set(nth.get() + 1);
        // The second SYN takes another route before the point.
        frame[TTL] -= u8::from(nth.get() == 2);
    }));
    assert_eq!(the_connection(&said)["repeated"], Value::Null);
    let row = the_reset(&said);
    assert_eq!(row["required_action"], "accept", "{row}");
}

#[test]
fn people_read_what_is_twice_and_what_helps() {
    let home = tempfile::tempdir().unwrap();
    let wire = Wire {
        ahead: 500 * MILLI,
        ..Wire::default()
    };
    let packets = with_reset(Packet::down(RST | ACK, 1, 1));
    let path = home.path().join("m.pcapng");
    fs::write(&path, capture(&wire, &packets, true)).unwrap();
    let said = analyze_for_people(&[path.to_str().unwrap()]).whole();
    let text = "the packets of 1 connection are in the file more than once: frame 17 repeats the SYN of frame 1 500.200 ms later";
    assert!(said.out.contains(text), "{}", said.out);
    assert!(said.out.contains("rstproof analyze --join"), "{}", said.out);
    // The states of each point are those of its own packets.
    let said = analyze_for_people(&["--connection", "1", path.to_str().unwrap()]).whole();
    assert!(!said.out.contains("retransmission"), "{}", said.out);
}

/// Times of four retransmissions after their segment, with a time-out that doubles (RFC 6298, 5.5).
const RETRANSMISSIONS: [i64; 4] = [200 * MILLI, 600 * MILLI, 1_400 * MILLI, 3_000 * MILLI];

/// Segment of the client and its retransmissions, each with an acknowledgment if `is_answered`.
fn repeated(is_answered: bool, change: impl Fn(Packet) -> Packet) -> Vec<Packet> {
    let mut packets = conversation(0, 12);
    let mut first = Packet::up(ACK, 1, 1)
        .len(10)
        .following(packets.last().unwrap());
    let begin = 15 * MILLI;
    for (after, id) in [0]
        .into_iter()
        .chain(RETRANSMISSIONS)
        .zip((200..).step_by(2))
    {
        first = first.at(begin + after);
        first.id = id;
        packets.push(change(first));
        if is_answered {
            let mut answer = Packet::down(ACK, 1, 1).following(&first);
            answer.id = id + 1;
            packets.push(answer.lost());
        }
    }
    packets
}

fn failure_of(wire: &Wire, packets: &[Packet], is_marked: bool) -> Value {
    let connection = the_connection(&rows(&capture(wire, packets, is_marked)));
    assert_eq!(connection["repeated"]["frame"], 1, "{connection}");
    connection
}

/// Each point shows four retransmissions, at the sender at least: a packet of the other view is none.
#[test]
fn a_segment_without_acknowledgment_is_repeated_as_often_as_one_point_has_it() {
    for ahead in LEADS {
        for is_marked in [true, false] {
            let wire = Wire {
                ahead,
                ..Wire::default()
            };
            let all: [fn(Packet) -> Packet; 2] = [|it| it, Packet::lost];
            for change in all {
                let row = failure_of(&wire, &repeated(false, change), is_marked);
                let case = format!("{ahead} {is_marked}: {row}");
                assert_eq!(row["failure"], "timed-out", "{case}");
                let why = row["failure_explanation"].as_str().unwrap();
                assert!(why.contains("repeated 4 times within 3.0 s"), "{case}");
                assert_eq!(row["client_errno"], "ETIMEDOUT", "{case}");
                // Nothing shows how long each capture went on.
                assert_eq!(row["client_errno_condition"], "no-later-reply", "{case}");
                assert_eq!(row["server_errno"], Value::Null, "{case}");
            }
        }
    }
}

/// The server's point has acknowledgments that were lost on their way: the client's alone would show a time-out.
#[test]
fn what_one_point_has_acknowledged_has_not_timed_out() {
    for ahead in LEADS {
        for is_marked in [true, false] {
            let wire = Wire {
                ahead,
                ..Wire::default()
            };
            let row = failure_of(&wire, &repeated(true, |it| it), is_marked);
            assert_eq!(row["failure"], Value::Null, "{ahead} {is_marked}: {row}");
        }
    }
}

/// Nothing failed: the copies of all packets are no retransmissions.
#[test]
fn a_connection_that_goes_on_has_no_failure() {
    for ahead in LEADS {
        for hops in [0, 1] {
            for is_marked in [true, false] {
                let wire = Wire {
                    ahead,
                    hops,
                    ..Wire::default()
                };
                let said = rows(&capture(&wire, &conversation(0, 12), is_marked));
                let row = the_connection(&said);
                assert_eq!(
                    row["failure"],
                    Value::Null,
                    "{ahead} {hops} {is_marked}: {row}"
                );
            }
        }
    }
}

/// SYNs of which each point has three, and the answers of the server that its point alone may have.
#[test]
fn a_syn_without_reply_counts_once_for_each_point() {
    let syns = [0, SECOND, 3 * SECOND].map(|at| Packet::up(SYN, 0, 0).at(at));
    let answers = [0, SECOND, 3 * SECOND].map(|at| Packet::down(SYN | ACK, 0, 1).at(at + MILLI));
    for ahead in LEADS {
        for is_marked in [true, false] {
            let wire = Wire {
                ahead,
                ..Wire::default()
            };
            let row = |packets: Vec<Packet>| {
                let mut packets = packets;
                for (packet, id) in packets.iter_mut().zip(10..) {
                    packet.id = id;
                }
                the_connection(&rows(&capture(&wire, &packets, is_marked)))
            };
            let silent = row(syns.to_vec());
            let case = format!("{ahead} {is_marked}: {silent}");
            assert_eq!(silent["failure"], "no-reply", "{case}");
            let why = silent["failure_explanation"].as_str().unwrap();
            assert!(why.contains("SYN 3 times within 3.0 s"), "{case}");
            assert_eq!(silent["client_errno"], "ETIMEDOUT", "{case}");
            let answered = row(syns.into_iter().chain(answers.map(Packet::lost)).collect());
            assert_ne!(
                answered["failure"], "no-reply",
                "{ahead} {is_marked}: {answered}"
            );
        }
    }
}

/// The first of two RSTs in opposite directions is the failure, also if its later copy reports it: the end that it reached has
/// no connection any more.
#[test]
fn the_first_rst_is_the_failure_whichever_copy_reports_it() {
    let mut packets = conversation(0, 12);
    let mut first = Packet::up(RST | ACK, 1, 1).following(packets.last().unwrap());
    // They cross: each leaves before the other one arrives.
    let mut second = Packet::down(RST, 1, 0)
        .following(packets.last().unwrap())
        .at(15 * MILLI + 300 * MICRO);
    (first.id, second.id) = (900, 901);
    packets.extend([first, second]);
    for ahead in LEADS.into_iter().filter(|it| it.abs() < 3_600 * SECOND) {
        let wire = Wire {
            ahead,
            ..Wire::default()
        };
        let said = rows(&capture(&wire, &packets, true));
        let row = the_connection(&said);
        let resets = said.of("reset");
        let first = resets.iter().find(|it| it["from"] == "client").unwrap();
        assert_eq!(row["failure_frame"], first["frame"], "{ahead}: {row}");
        assert_eq!(row["server_errno"], "ECONNRESET", "{ahead}: {row}");
    }
}
