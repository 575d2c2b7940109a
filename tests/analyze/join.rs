//! Captures of two points, read as one: clocks, order, and what absence at a point shows.

mod errors;
mod points;
pub(crate) mod wire;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use self::wire::{MICRO, MILLI, Packet, SECOND, Wire, conversation, paths};
use crate::segments::{ACK, RST};
use crate::{Said, analyze, analyze_for_people};

/// Writes the captures of both points and joins them, the client's first.
fn join(wire: &Wire, packets: &[Packet]) -> (TempDir, Said) {
    let home = tempfile::tempdir().unwrap();
    let [a, b] = wire.write(home.path(), packets);
    let said = analyze(&["--join", &a, &b]);
    (home, said)
}

/// The entry of the second file in the row of the summary.
fn second(said: &Said) -> Value {
    said.summary()["joined"][1].clone()
}

#[track_caller]
fn assert_near(entry: &Value, ahead: i64, most: i64) {
    let found = entry["ahead_ns"].as_i64().unwrap();
    assert!((found - ahead).abs() <= most, "{entry}");
    let stated = entry["uncertainty_ns"].as_i64().unwrap();
    assert!((found - ahead).abs() <= stated, "{entry}");
}

/// RFC 5905, 8: the middle between the bounds of both directions is off by half the difference of the delays.
#[test]
fn the_difference_of_the_clocks_is_found_within_the_delays() {
    for ahead in [
        0,
        2_300 * MICRO,
        -40 * MILLI,
        4_000 * SECOND,
        -86_400 * SECOND,
    ] {
        let wire = Wire {
            ahead,
            ..Wire::default()
        };
        let said = join(&wire, &conversation(0, 20)).1.whole();
        let entry = second(&said);
        assert_near(&entry, ahead, 1);
        assert!(
            entry["uncertainty_ns"].as_i64().unwrap() < 210 * MICRO,
            "{entry}"
        );
        assert_eq!(entry["bounds"], "both");
        assert_eq!(entry["moved_packets"], 0);
        assert_eq!(said.of("connection").len(), 1);
        assert_eq!(
            said.of("connection")[0]["capture_gaps"]["captured_twice"],
            true
        );
        // 9 ms one way and 1 ms the other: no clock shows the difference.
        let wire = Wire {
            delays: [9 * MILLI, MILLI],
            ..wire
        };
        let said = join(&wire, &conversation(0, 20)).1.whole();
        assert_near(&second(&said), ahead, 4 * MILLI + 1);
    }
}

/// The same for IPv6, without IP IDs; with timestamps, and without.
#[test]
fn segments_are_recognized_without_an_ip_id() {
    for has_clock in [true, false] {
        for (is_v6, id) in [(true, 0), (false, 0), (false, 100)] {
            let wire = Wire {
                ahead: 7 * SECOND,
                is_v6,
                delays: [30 * MILLI, 30 * MILLI],
                ..Wire::default()
            };
            let mut packets = conversation(0, 20);
            for (nth, packet) in packets.iter_mut().enumerate() {
                *packet = packet.at(i64::try_from(nth).unwrap() * 70 * MILLI);
                packet.has_clock = has_clock;
                packet.id = if id == 0 {
                    0
                } else {
                    id + u16::try_from(nth).unwrap()
                };
            }
            let said = join(&wire, &packets).1.whole();
            assert_near(&second(&said), 7 * SECOND, 1);
            let [row] = &said.of("connection")[..] else {
                panic!("{}", said.out)
            };
            let counts = [
                &row["sent_packets"]["client"],
                &row["sent_packets"]["server"],
            ];
            let sent = |up| packets.iter().filter(|it| it.is_up == up).count();
            assert_eq!(counts, [&json!(sent(true)), &json!(sent(false))], "{row}");
        }
    }
}

/// Addresses and ports may be translated between the points.
#[test]
fn addresses_may_differ() {
    let wire = Wire {
        ahead: -3 * SECOND,
        is_translated: true,
        ..Wire::default()
    };
    let said = join(&wire, &conversation(0, 20)).1.whole();
    assert_near(&second(&said), -3 * SECOND, 1);
}

/// A clock that runs faster than the other one: 50 ppm for an hour are 180 ms, and the path takes 0.2 ms.
#[test]
fn a_clock_may_gain() {
    let wire = Wire {
        ahead: SECOND,
        gain_ppm: 50,
        ..Wire::default()
    };
    let packets: Vec<Packet> = (0..60)
        .flat_map(|minute| conversation(minute * 60 * SECOND, 4))
        .collect();
    let (home, said) = join(&wire, &packets);
    let said = said.whole();
    let entry = second(&said);
    assert_eq!(entry["leads"].as_array().unwrap().len(), 1, "{entry}");
    let rate = entry["leads"][0]["rate_ppb"].as_i64().unwrap();
    assert!((rate - 50_000).abs() < 500, "{entry}");
    assert_eq!(entry["moved_packets"], 0);
    let [a, b] =
        ["a.pcap", "b.pcap"].map(|name| home.path().join(name).to_str().unwrap().to_owned());
    let said = analyze_for_people(&["--join", &a, &b]).whole();
    assert!(said.out.contains("and gains 50.0 ppm"), "{}", said.out);
}

/// A clock that is set during the capture.
#[test]
fn a_clock_may_be_set() {
    let home = tempfile::tempdir().unwrap();
    let packets: Vec<Packet> = (0..20)
        .flat_map(|nth| conversation(nth * SECOND, 6))
        .collect();
    for step in [5 * SECOND, -5 * SECOND, -30 * MILLI] {
        let wire = Wire {
            step: Some((10 * SECOND, step)),
            ..Wire::default()
        };
        let [a, b] = wire.write(home.path(), &packets);
        let said = analyze(&["--join", &a, &b]).whole();
        let entry = second(&said);
        let leads = entry["leads"].as_array().unwrap();
        let ahead: Vec<i64> = leads
            .iter()
            .map(|it| it["ahead_ns"].as_i64().unwrap())
            .collect();
        assert_eq!(ahead.len(), 2, "{entry}");
        assert!(
            ahead[0].abs() <= 1 && (ahead[1] - step).abs() <= 1,
            "{entry}"
        );
        // Each connection is seen at both points, before and after.
        let rows = said.of("connection");
        assert_eq!(rows.len(), 20);
        let are_twice = rows
            .iter()
            .all(|row| row["capture_gaps"]["captured_twice"] == true);
        assert!(are_twice, "{}", said.out);
    }
}

/// With segments of one direction only, the shortest delay counts as 0.
#[test]
fn one_direction_gives_one_bound() {
    for is_up in [true, false] {
        let wire = Wire {
            ahead: SECOND,
            only: Some(is_up),
            ..Wire::default()
        };
        let (home, said) = join(&wire, &conversation(0, 20));
        let entry = second(&said.whole());
        let delay = if is_up { 200 } else { -200 } * MICRO;
        let found = entry["ahead_ns"].as_i64().unwrap();
        assert!((found - SECOND - delay).abs() <= 1, "{entry}");
        assert_eq!(entry["bounds"], if is_up { "upper" } else { "lower" });
        assert_eq!(entry["uncertainty_ns"], Value::Null);
        let [a, b] = paths(home.path());
        let said = analyze_for_people(&["--join", &a, &b]).whole();
        assert!(said.out.contains("of one direction"), "{}", said.out);
    }
}

/// On one link the TTL is the same at both ends; the times of both directions show who is nearer.
#[test]
fn the_ttl_need_not_differ() {
    let wire = Wire {
        ahead: -SECOND,
        hops: 0,
        ..Wire::default()
    };
    let mut packets = conversation(0, 20);
    packets.push(Packet::down(RST | ACK, 1, 1).at(30 * MILLI).never_left());
    packets.extend(conversation(SECOND, 20));
    let said = join(&wire, &packets).1.whole();
    assert_near(&second(&said), -SECOND, 1);
    assert_eq!(said.of("reset")[0]["elsewhere"][0]["side"], "sender");
}

/// What is joined is what was split: a capture of one point, and the same seen from two points whose clocks differ by any
/// time, give the same conclusions.
#[test]
fn joined_captures_give_the_conclusions_of_one() {
    // Endings: who resets, the numbers, and whether data follows.
    let endings: [&[Packet]; 5] = [
        &[Packet::down(RST | ACK, 1, 1)],
        &[Packet::up(RST | ACK, 1, 1)],
        &[Packet::down(RST, 1, 0)],
        &[Packet::up(ACK, 1, 1).len(7), Packet::down(RST | ACK, 1, 8)],
        &[Packet::down(RST | ACK, 900_000, 1)],
    ];
    let mut random = 1_u64;
    for ending in endings {
        for _ in 0..4 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let span = 200_000 * SECOND.unsigned_abs();
            let ahead = i64::try_from(random % span).unwrap() - 100_000 * SECOND;
            let mut packets = conversation(0, 12);
            for packet in ending {
                let last = packets.last().unwrap();
                packets.push(packet.following(last));
            }
            // The captures go on.
            packets.extend(conversation(SECOND, 4));
            let wire = Wire {
                ahead,
                ..Wire::default()
            };
            let (home, said) = join(&wire, &packets);
            let said = said.whole();
            let alone = wire.one(home.path(), &packets);
            let alone = analyze(&[&alone]).whole();
            let conclusions = |said: &Said| -> Vec<Vec<Value>> {
                let rows = said.of("reset");
                let fields = [
                    "cause",
                    "required_action",
                    "receiver_state",
                    "errno",
                    "form",
                ];
                let one = |row: &Value| fields.iter().map(|it| row[it].clone()).collect();
                rows.iter().map(one).collect()
            };
            assert_eq!(conclusions(&said), conclusions(&alone), "{ahead}");
            assert_eq!(said.of("connection").len(), alone.of("connection").len());
            assert_eq!(second(&said)["moved_packets"], 0);
        }
    }
}

/// The frames have their numbers and the names of their files, and a copy of the joined capture says so.
#[test]
fn frames_are_named_with_their_files() {
    let wire = Wire {
        ahead: SECOND,
        ..Wire::default()
    };
    let mut packets = conversation(0, 12);
    let last = *packets.last().unwrap();
    packets.push(Packet::down(RST | ACK, 1, 1).following(&last));
    let (home, said) = join(&wire, &packets);
    let [a, b] = paths(home.path());
    let said = said.whole();
    let count = packets.len();
    let [row] = &said.of("reset")[..] else {
        panic!("{}", said.out)
    };
    // The RST counts where it arrives, by the clock of the first file.
    assert_eq!([&row["file"], &row["frame"]], [&json!(a), &json!(count)]);
    assert_eq!(
        row["elsewhere"],
        json!([{
            "file": b, "side": "sender", "conclusion": "captured", "frame": count, "after_ns": -200_000,
            "translated": false, "unknown_because": null,
        }])
    );
    assert_eq!(said.summary()["files"], json!([a, b]));
    let copy = home.path().join("copy.pcapng");
    let copy = copy.to_str().unwrap();
    analyze(&["--join", "-w", copy, &a, &b]).whole();
    let again = analyze(&[copy]).whole();
    assert_eq!(again.summary()["packets"], 2 * count);
    assert_eq!(again.of("reset")[0]["errno"], row["errno"]);
    assert_eq!(again.of("reset")[0]["at_ns"], row["at_ns"]);
    let bytes = fs::read(copy).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for wanted in [
        "captured in a.pcap: its clock is the one of all times".to_owned(),
        "captured in b.pcap: its times are corrected: its clock was 1000000000 ns ahead".to_owned(),
        format!("({count} of {a}): RST"),
    ] {
        assert!(text.contains(&wanted), "{wanted}");
    }
    let said = analyze_for_people(&["--join", &a, &b]).whole();
    // A name is as short as it differs from the others.
    let clock = "clock of b.pcap: 1.000000 s ahead of a.pcap, ±";
    assert!(said.out.contains(clock), "{}", said.out);
    let elsewhere = format!("also frame {count} of b.pcap, nearer to the sender, 200 µs earlier");
    assert!(said.out.contains(&elsewhere), "{}", said.out);
}

/// The result does not depend on threads; chunks are cut anywhere.
#[test]
fn threads_change_nothing() {
    let wire = Wire {
        ahead: SECOND,
        ..Wire::default()
    };
    let packets: Vec<Packet> = (0..300)
        .flat_map(|nth| {
            let mut packets = conversation(nth * 20 * MILLI, 6);
            let last = *packets.last().unwrap();
            packets.push(Packet::down(RST | ACK, 1, 1).following(&last));
            packets
        })
        .collect();
    let (home, said) = join(&wire, &packets);
    let [a, b] = paths(home.path());
    let said = said.whole();
    assert_eq!(said.of("reset").len(), 300);
    for threads in ["1", "2", "4"] {
        let other = analyze(&["--join", "--threads", threads, &a, &b]);
        assert_eq!(other.out, said.out);
    }
}

fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

/// Files of a ring are one point, as they are without `--join`: an RST in the second file of a ring is named with that file.
#[test]
fn rotated_files_are_captures_of_one_point() {
    let home = tempfile::tempdir().unwrap();
    let wire = Wire {
        ahead: 77 * SECOND,
        ..Wire::default()
    };
    let mut packets = conversation(0, 20);
    packets.push(Packet::down(RST | ACK, 1, 1).following(packets.last().unwrap()));
    let count = packets.len();
    let [a, b] = wire.write(home.path(), &packets);
    let whole = analyze(&["--join", &a, &b]).whole();
    // The client's capture was rotated after 10 frames.
    let bytes = fs::read(&a).unwrap();
    let mut end = 24;
    for _ in 0..10 {
        let length = u32::from_le_bytes(bytes[end + 8..end + 12].try_into().unwrap());
        end += 16 + length as usize;
    }
    for names in [["r.pcap", "r.pcap1"], ["one.pcap", "two.pcap"]] {
        let [first, second] = names.map(|name| home.path().join(name));
        fs::write(&first, &bytes[..end]).unwrap();
        fs::write(&second, [&bytes[..24], &bytes[end..]].concat()).unwrap();
        let [first, second] = [&first, &second].map(|it| it.to_str().unwrap());
        for order in [[first, second, &b], [&b, second, first]] {
            let said = analyze(&[&["--join"][..], &order].concat()).whole();
            assert_eq!(said.summary()["joined"].as_array().unwrap().len(), 2);
            let [row] = &said.of("reset")[..] else {
                panic!("{}", said.out)
            };
            assert_eq!(
                [&row["file"], &row["frame"]],
                [&json!(second), &json!(count - 10)]
            );
            assert_eq!(row["elsewhere"][0]["file"], json!(b), "{row}");
            let whole = &whole.of("reset")[0];
            for field in ["required_action", "errno", "cause", "receiver_state"] {
                assert_eq!(row[field], whole[field], "{row}");
            }
        }
        let said = analyze_for_people(&["--join", first, second, &b]).whole();
        let place = format!("frame {} of {}", count - 10, names[1]);
        assert!(said.out.contains(&place), "{}", said.out);
    }
}

/// Captures of two points whose clocks differ by an hour look like successive ones, but have the same segments.
#[test]
fn points_with_other_clocks_are_no_rotated_files() {
    let home = tempfile::tempdir().unwrap();
    // They begin in the middle of a connection.
    let packets = conversation(0, 20).split_off(3);
    let wire = |ahead: i64, hops: u8| Wire {
        ahead,
        hops,
        delays: [i64::from(hops) * 200 * MICRO; 2],
        ..Wire::default()
    };
    let [a, b] = wire(3_600 * SECOND, 1).write(home.path(), &packets);
    let other = tempfile::tempdir().unwrap();
    let [_, c] = wire(7_200 * SECOND, 2).write(other.path(), &packets);
    let said = analyze(&["--join", &a, &b, &c]).whole();
    assert_eq!(said.summary()["joined"].as_array().unwrap().len(), 3);
}
