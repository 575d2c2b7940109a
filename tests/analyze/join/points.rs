//! RSTs at two points: where they were made, and whether they arrived.

use serde_json::{Value, json};

use super::wire::{MILLI, Packet, SECOND, Wire, conversation, paths};
use super::{join, second};
use crate::analyze_for_people;
use crate::layout::{Order, PcapNg};
use crate::segments::{ACK, RST, SYN};

/// A conversation, an RST after it, and another conversation before and after: both captures go on.
fn with_reset(reset: Packet) -> Vec<Packet> {
    let mut packets = conversation(0, 12);
    packets.push(reset.following(packets.last().unwrap()));
    packets.extend(conversation(SECOND, 12));
    packets
}

#[track_caller]
fn reset(wire: &Wire, packets: &[Packet]) -> Value {
    let said = join(wire, packets).1.whole();
    let [row] = &said.of("reset")[..] else {
        panic!("{}", said.out)
    };
    row.clone()
}

/// Seen where it leaves and not where it would arrive: it was not delivered.
#[test]
fn a_reset_that_is_lost_between_the_points_has_no_effect() {
    for (packet, file) in [
        (Packet::down(RST | ACK, 1, 1), "a.pcap"),
        (Packet::up(RST | ACK, 1, 1), "b.pcap"),
    ] {
        for ahead in [0, 5_000 * SECOND] {
            let wire = Wire {
                ahead,
                ..Wire::default()
            };
            let row = reset(&wire, &with_reset(packet.lost()));
            assert_eq!(row["required_action"], "not-delivered", "{row}");
            assert_eq!(row["errno"], Value::Null, "{row}");
            let elsewhere = &row["elsewhere"][0];
            assert_eq!(elsewhere["conclusion"], "absent", "{row}");
            assert_eq!(elsewhere["side"], "receiver", "{row}");
            assert!(elsewhere["file"].as_str().unwrap().ends_with(file), "{row}");
        }
    }
}

/// Seen only where it arrives: a device between the points made it.
#[test]
fn a_reset_made_between_the_points_is_recognized() {
    for packet in [
        Packet::down(RST | ACK, 1, 1),
        Packet::up(RST | ACK, 1, 1),
        Packet::down(RST, 1, 0),
    ] {
        for hops in [0, 1] {
            let wire = Wire {
                ahead: -5_000 * SECOND,
                hops,
                ..Wire::default()
            };
            let row = reset(&wire, &with_reset(packet.never_left()));
            assert_eq!(row["required_action"], "accept", "{row}");
            assert_eq!(row["errno"], "ECONNRESET", "{row}");
            assert_eq!(row["sender"]["verdict"], "doubtful", "{row}");
            assert_eq!(row["sender"]["indicator"]["id"], "never-left", "{row}");
            let elsewhere = &row["elsewhere"][0];
            assert_eq!(
                [&elsewhere["conclusion"], &elsewhere["side"]],
                ["absent", "sender"],
                "{row}"
            );
        }
    }
}

/// The capture of the other point had ended, or had not begun: its lack of the RST shows nothing.
#[test]
fn a_capture_shows_nothing_of_other_times() {
    let packets = with_reset(Packet::down(RST | ACK, 1, 1).never_left());
    let after = (i64::MIN, 13 * MILLI);
    let before = (500 * MILLI, i64::MAX);
    for (lasts, gap, text) in [
        (
            after,
            "ends-earlier",
            "if that capture still ran, a device between",
        ),
        (before, "begins-later", "begins"),
    ] {
        let wire = Wire {
            ahead: 5_000 * SECOND,
            lasts: [(i64::MIN, i64::MAX), lasts],
            ..Wire::default()
        };
        let (home, said) = join(&wire, &packets);
        let said = said.whole();
        let row = said.of("reset")[0].clone();
        assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
        assert_eq!(row["elsewhere"][0]["conclusion"], "unknown", "{row}");
        assert_eq!(row["elsewhere"][0]["unknown_because"], gap, "{row}");
        // As in the client's capture alone.
        assert_eq!(
            [
                &row["required_action"],
                &row["errno"],
                &row["receiver_state"]
            ],
            ["accept", "ECONNRESET", "ESTABLISHED"],
            "{row}"
        );
        let [a, b] = paths(home.path());
        let said = analyze_for_people(&["--join", &a, &b]).whole();
        assert!(said.out.contains(text), "{}", said.out);
        assert!(!said.out.contains("never-left"), "{}", said.out);
    }
    // The same for one that leaves and is not seen to arrive.
    let packets = with_reset(Packet::up(RST | ACK, 1, 1).lost());
    let wire = Wire {
        lasts: [(i64::MIN, i64::MAX), after],
        ..Wire::default()
    };
    let row = reset(&wire, &packets);
    assert_ne!(row["required_action"], "not-delivered", "{row}");
    assert_eq!(
        row["elsewhere"][0]["unknown_because"], "ends-earlier",
        "{row}"
    );
}

/// A capture that lacks more than the RST may have lost the RST as well.
#[test]
fn a_capture_that_lacks_other_segments_shows_nothing() {
    let mut packets = conversation(0, 12);
    let last = *packets.last().unwrap();
    // An acknowledgment of the server, sent again, is missing at the server's point, too.
    packets.push(Packet::down(ACK, 1, 1).following(&last).never_left());
    let reset_packet = Packet::down(RST | ACK, 1, 1).never_left();
    packets.push(reset_packet.following(&last).at(20 * MILLI));
    packets.extend(conversation(SECOND, 12));
    let row = reset(&Wire::default(), &packets);
    assert_eq!(
        row["elsewhere"][0]["unknown_because"], "others-missing",
        "{row}"
    );
    assert_ne!(row["sender"]["indicator"]["id"], "never-left", "{row}");
}

/// A point that captures one direction says nothing about the other one.
#[test]
fn a_point_of_one_direction_says_nothing_of_the_other() {
    let wire = Wire {
        only: Some(true),
        ..Wire::default()
    };
    let row = reset(&wire, &with_reset(Packet::down(RST | ACK, 1, 1)));
    assert_eq!(
        row["elsewhere"][0]["unknown_because"], "nothing-in-common",
        "{row}"
    );
    assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
    assert_eq!(row["errno"], "ECONNRESET", "{row}");
}

/// An RST whose addresses are translated is the same RST; it arrives.
#[test]
fn a_translated_reset_arrives() {
    let wire = Wire {
        is_translated: true,
        ahead: SECOND,
        ..Wire::default()
    };
    let said = join(&wire, &with_reset(Packet::down(RST | ACK, 1, 1)))
        .1
        .whole();
    for row in said.of("reset") {
        assert_eq!(row["elsewhere"][0]["conclusion"], "captured", "{row}");
        assert_eq!(row["elsewhere"][0]["translated"], true, "{row}");
        assert_eq!(row["errno"], "ECONNRESET", "{row}");
    }
}

/// Three points: an RST that the two nearer to the client have was made between the outer one and the middle.
#[test]
fn three_points_show_where_a_reset_was_made() {
    let home = tempfile::tempdir().unwrap();
    let near = Wire {
        ahead: -SECOND,
        ..Wire::default()
    };
    let far = Wire {
        ahead: 100 * SECOND,
        delays: [MILLI, MILLI],
        hops: 2,
        ..Wire::default()
    };
    for id in [0, 77] {
        // For the pair of client and router the RST passes both points.
        let mut made = Packet::down(RST, 1, 0);
        made.id = id;
        let [client, router] = near.write(home.path(), &with_reset(made));
        let middle = home.path().join("r.pcap");
        std::fs::rename(&router, &middle).unwrap();
        let other = tempfile::tempdir().unwrap();
        let [_, server] = far.write(other.path(), &with_reset(made.never_left()));
        let said = crate::analyze(&["--join", &client, middle.to_str().unwrap(), &server]).whole();
        let [row] = &said.of("reset")[..] else {
            panic!("{}", said.out)
        };
        assert_eq!(row["file"], json!(client), "{row}");
        assert_eq!(row["errno"], "ECONNRESET", "{row}");
        assert_eq!(row["sender"]["indicator"]["id"], "never-left", "{row}");
    }
}

/// A refused connection has one segment of each direction, and the RST has no IP ID.
#[test]
fn refused_connections_are_joined() {
    let home = tempfile::tempdir().unwrap();
    let refused: Vec<Packet> = (0..20)
        .flat_map(|nth| {
            let syn = Packet::up(SYN, 0, 0).at(nth * 20 * MILLI);
            let port = 40_000 + u16::try_from(nth).unwrap();
            let mut syn = syn.port(port);
            syn.id = 9 + u16::try_from(nth).unwrap();
            let mut reset = Packet::down(RST | ACK, 0, 1).at(nth * 20 * MILLI + MILLI);
            reset = reset.port(port);
            reset.has_clock = false;
            [syn, reset]
        })
        .collect();
    let wire = Wire {
        ahead: 77 * SECOND,
        ..Wire::default()
    };
    let [a, b] = wire.write(home.path(), &refused);
    let said = crate::analyze(&["--join", &a, &b]).whole();
    let rows = said.of("reset");
    assert_eq!(rows.len(), 20);
    for row in rows {
        assert_eq!(
            [
                &row["cause"],
                &row["errno"],
                &row["elsewhere"][0]["conclusion"]
            ],
            ["refused", "ECONNREFUSED", "captured"],
            "{row}"
        );
        assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
    }
}

/// Three points: an RST that the middle one has seen and the outer one has not was lost after the middle.
#[test]
fn three_points_show_how_far_a_reset_came() {
    let home = tempfile::tempdir().unwrap();
    // Client and router, then client and server: the server is farther away, and its clock differs.
    let near = Wire {
        ahead: -SECOND,
        ..Wire::default()
    };
    let far = Wire {
        ahead: 100 * SECOND,
        delays: [MILLI, MILLI],
        hops: 2,
        ..Wire::default()
    };
    let packets = with_reset(Packet::up(RST | ACK, 1, 1));
    let [client, router] = near.write(home.path(), &packets);
    let middle = home.path().join("r.pcap");
    std::fs::rename(&router, &middle).unwrap();
    let lost = with_reset(Packet::up(RST | ACK, 1, 1).lost());
    let [_, server] = far.write(home.path(), &lost);
    let middle = middle.to_str().unwrap();
    for order in [
        [&client[..], middle, &server[..]],
        [&server[..], &client[..], middle],
    ] {
        let said = crate::analyze(&[&["--join"][..], &order].concat()).whole();
        let [row] = &said.of("reset")[..] else {
            panic!("{}", said.out)
        };
        assert_eq!(row["required_action"], "not-delivered", "{row}");
        let elsewhere = row["elsewhere"].as_array().unwrap();
        let of = |file: &str| elsewhere.iter().find(|it| it["file"] == file).unwrap();
        assert_eq!(row["file"], json!(client), "{row}");
        assert_eq!(of(middle)["conclusion"], "captured", "{row}");
        assert_eq!(of(&server)["conclusion"], "absent", "{row}");
        assert_eq!(said.of("connection").len(), 2);
    }
    let (_, said) = join(&near, &packets);
    assert_eq!(second(&said.whole())["bounds"], "both");
}

/// A capture that states when it ended lasted until then, also without a frame (pcapng draft, 4.6).
#[test]
fn a_capture_may_state_how_long_it_lasted() {
    let packets: Vec<Packet> = {
        let mut packets = conversation(0, 12);
        let last = *packets.last().unwrap();
        let request = Packet::up(ACK, 1, 1).len(5).following(&last).lost();
        let reset = Packet::down(RST, 1, 0).never_left();
        packets.extend([request, reset.following(&last).at(4 * SECOND)]);
        packets
    };
    let home = tempfile::tempdir().unwrap();
    let wire = Wire::default();
    let [a, b] = wire.write(home.path(), &packets);
    let bytes = std::fs::read(&b).unwrap();
    for (end, conclusion) in [(60, "absent"), (1, "unknown")] {
        let ng = home.path().join("b.pcapng");
        std::fs::write(&ng, with_statistics(&bytes, end)).unwrap();
        let said = crate::analyze(&["--join", &a, ng.to_str().unwrap()]).whole();
        let [row] = &said.of("reset")[..] else {
            panic!("{}", said.out)
        };
        assert_eq!(row["elsewhere"][0]["conclusion"], conclusion, "{row}");
        assert_eq!(row["errno"], "ECONNRESET", "{row}");
    }
}

/// The same frames as pcapng, with statistics that state an end some seconds after the beginning.
fn with_statistics(pcap: &[u8], end: u64) -> Vec<u8> {
    let mut file = PcapNg::with_interface(Order::Little, &[(9, &[9])]);
    let mut rest = &pcap[24..];
    let mut begin = None;
    while !rest.is_empty() {
        let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let at = u64::from(number(0)) * 1_000_000_000 + u64::from(number(4));
        begin.get_or_insert(at);
        let length = number(8) as usize;
        file.frame(0, at, &rest[16..16 + length], &[]);
        rest = &rest[16 + length..];
    }
    let halves = |time: u64| {
        let upper = u32::try_from(time >> 32).unwrap();
        let lower = u32::try_from(time & 0xffff_ffff).unwrap();
        [upper.to_le_bytes(), lower.to_le_bytes()].concat()
    };
    let begin = begin.unwrap();
    let times = [begin, begin + end * 1_000_000_000].map(halves);
    file.statistics(0, &[(2, &times[0]), (3, &times[1])]);
    file.bytes
}
