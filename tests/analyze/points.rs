//! Capture points: two captures merged into one file, one that ended early, and the same file merged more than once.
//!
//! A router decrements the TTL of each packet (RFC 791, 3.2), so two captures of one way have different TTLs, whether the
//! file holds them as two interfaces or as one (`mergecap -I all`).

use std::fs;

use serde_json::Value;

use crate::analyze;
use crate::layout::{Order, Pcap, PcapNg};
use crate::receivers::{HANDSHAKE, RAW_ZERO, Wire, down, up};
use crate::segments::{ACK, FIN, RST};

/// Packet at one capture point.
#[derive(Clone, Copy)]
struct Seen {
    wire: Wire,
    ttl: u8,
    id: u16,
    interface: u32,
}

impl Seen {
    fn new(wire: Wire, ttl: u8, id: u16) -> Self {
        Self {
            wire,
            ttl,
            id,
            interface: 0,
        }
    }

    fn at(self, interface: u32) -> Self {
        Self { interface, ..self }
    }
}

/// Packet that a router forwards: with TTL 64 where it leaves its sender, and with 63 where it arrives.
fn routed(wire: Wire, id: u16) -> Vec<Seen> {
    vec![Seen::new(wire, 64, id), Seen::new(wire.after(300), 63, id)]
}

/// Handshake and an answered request, captured on both sides of the router. Linux gives a SYN-ACK the IP ID 0.
fn request() -> Vec<Seen> {
    let more = [up(ACK, 1, 1).len(5), down(ACK, 1, 6)];
    let ids = [100, 0, 101, 102, 7_000];
    let packets = HANDSHAKE.into_iter().chain(more).zip(ids);
    packets.flat_map(|(wire, id)| routed(wire, id)).collect()
}

/// Rows of a capture of these packets.
fn rows(packets: &[Seen]) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("merged.pcapng");
    let mut file = PcapNg::with_interface(Order::Little, &[]);
    for _ in 1..4 {
        file.interface(1, 0, &[]);
    }
    let mut micros = 1_700_000_000_000_000;
    for packet in packets {
        micros += u64::from(packet.wire.after);
        let mut frame = packet.wire.frame(20_000);
        frame[18..20].copy_from_slice(&packet.id.to_be_bytes());
        frame[22] = packet.ttl;
        file.frame(packet.interface, micros, &frame, &[]);
    }
    fs::write(&path, &file.bytes).unwrap();
    let path = path.to_str().unwrap();
    let lines = analyze(&[path]).whole().lines().to_vec();
    assert_eq!(analyze(&["--threads", "4", path]).whole().lines(), lines);
    lines
}

fn resets(packets: &[Seen]) -> Vec<Value> {
    let mut rows = rows(packets);
    rows.retain(|row| row["type"] == "reset");
    rows
}

#[track_caller]
fn the_reset(packets: &[Seen]) -> Value {
    let mut resets = resets(packets);
    assert_eq!(resets.len(), 1, "{resets:?}");
    resets.remove(0)
}

/// Weight of an indicator of this RST, and its message.
fn indicator<'a>(reset: &'a Value, id: &str) -> Option<(&'a str, &'a str)> {
    let all = reset["indicators"].as_array().unwrap();
    let found = all.iter().find(|it| it["id"] == id)?;
    Some((found["weight"].as_str()?, found["message"].as_str()?))
}

fn weight<'a>(reset: &'a Value, id: &str) -> Option<&'a str> {
    Some(indicator(reset, id)?.0)
}

/// Puts the copy of each pair first that has travelled farther: the clock of its point is ahead of the other.
fn inverted(mut packets: Vec<Seen>) -> Vec<Seen> {
    for pair in packets.chunks_mut(2) {
        if let [one, two] = pair {
            (one.ttl, two.ttl) = (two.ttl, one.ttl);
            (one.interface, two.interface) = (two.interface, one.interface);
        }
    }
    packets
}

/// The packets as two interfaces hold them: the client's side is interface 0.
fn marked(packets: &[Seen]) -> Vec<Seen> {
    let at = |it: &Seen| {
        let is_up = it.wire.to_server();
        it.at(u32::from((it.ttl == 64) != is_up))
    };
    packets.iter().map(at).collect()
}

/// All forms in which a file may hold packets of the two points.
fn forms(packets: &[Seen]) -> [Vec<Seen>; 4] {
    let marked = marked(packets);
    [
        packets.to_vec(),
        inverted(packets.to_vec()),
        inverted(marked.clone()),
        marked,
    ]
}

/// An endpoint's RST that passed both points is one, and the endpoint's own.
#[test]
fn a_reset_that_passed_both_points_is_its_sender_s() {
    for (wire, id) in [
        (down(RST | ACK, 1, 6), 7_001),
        (down(RST, 1, 0).window(0), 0),
    ] {
        let mut packets = request();
        packets.extend(routed(wire, id));
        for packets in forms(&packets) {
            let row = the_reset(&packets);
            assert_eq!(row["required_action"], "accept", "{row}");
            assert_eq!(row["errno"], "ECONNRESET", "{row}");
            assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
            assert_eq!(weight(&row, "ttl-differs"), None, "{row}");
            assert_eq!(weight(&row, "never-left"), None, "{row}");
        }
    }
}

/// A device between the points imitates the TTL that the server's packets have where they arrive. The server's side was
/// capturing until then, and did not see the RST.
#[test]
fn a_reset_that_was_captured_only_where_packets_arrive_was_made_on_the_way() {
    let mut packets = request();
    packets.push(Seen::new(down(RST | ACK, 1, 6), 63, 9_000));
    for packets in [packets.clone(), marked(&packets)] {
        let row = the_reset(&packets);
        assert_eq!(row["required_action"], "accept", "{row}");
        assert_eq!(row["errno"], "ECONNRESET", "{row}");
        assert_eq!(weight(&row, "never-left"), Some("strong"), "{row}");
        assert_eq!(row["sender"]["verdict"], "doubtful", "{row}");
        assert_eq!(
            weight(&row, "ttl-differs"),
            None,
            "63 is right there: {row}"
        );
    }
}

/// The same RST lost between the points does not reach the client.
#[test]
fn a_reset_that_was_captured_only_where_packets_leave_did_not_arrive() {
    let mut packets = request();
    packets.push(Seen::new(down(RST | ACK, 1, 6), 64, 7_001));
    for packets in [packets.clone(), marked(&packets)] {
        let row = the_reset(&packets);
        assert_eq!(row["required_action"], "not-delivered", "{row}");
        assert_eq!(row["errno"], Value::Null, "{row}");
        assert_eq!(weight(&row, "ttl-differs"), None, "{row}");
        assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
    }
}

/// A capture that has ended shows no absence. One side's capture was stopped, and the connection went on.
#[test]
fn a_capture_that_may_have_ended_shows_no_absence() {
    // Only the client's side captures: the client's request leaves, and the server's RST arrives.
    let mut packets = request();
    packets.push(Seen::new(up(ACK, 6, 1).len(5), 64, 103));
    packets.push(Seen::new(down(ACK, 1, 11), 63, 7_001));
    packets.push(Seen::new(down(RST | ACK, 1, 11), 63, 7_002));
    for packets in [packets.clone(), marked(&packets)] {
        let row = the_reset(&packets);
        assert_eq!(row["required_action"], "accept", "{row}");
        assert_eq!(weight(&row, "never-left"), Some("weak"), "{row}");
        assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
    }
    // Only the server's side captures.
    let mut packets = request();
    packets.push(Seen::new(up(ACK, 6, 1).len(5), 63, 103));
    packets.push(Seen::new(down(ACK, 1, 11), 64, 7_001));
    packets.push(Seen::new(down(RST | ACK, 1, 11), 64, 7_002));
    for packets in [packets.clone(), marked(&packets)] {
        let row = the_reset(&packets);
        assert_eq!(row["required_action"], "unknown", "{row}");
        assert_eq!(row["errno"], Value::Null, "{row}");
        assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
    }
}

/// A router that has forgotten an idle flow resets it with a TTL of its own (`nf_send_reset()` takes `net.ipv4.ip_default_ttl`
/// of the router). The RST has the TTL of neither point, and replies to a segment that did not reach the server.
#[test]
fn a_reset_with_the_ttl_of_neither_point_is_not_from_its_sender() {
    let mut packets = request();
    packets.push(Seen::new(up(ACK, 6, 1).len(3).after(4_000_000), 64, 103));
    packets.push(Seen::new(down(RST, 1, 0).window(0), 128, 0));
    let alone = the_reset(&packets);
    assert_eq!(alone["required_action"], "accept", "{alone}");
    assert_eq!(alone["errno"], "ECONNRESET", "{alone}");
    assert_eq!(alone["sender"]["verdict"], "doubtful", "{alone}");
    let (weight_of_ttl, message) = indicator(&alone, "ttl-differs").unwrap();
    assert_eq!(weight_of_ttl, "moderate");
    assert!(
        message.contains("64 where they leave, 63 where they arrive"),
        "{message}"
    );
    // The capture at the server may have been over by then.
    assert_eq!(
        weight(&alone, "trigger-not-arrived"),
        Some("weak"),
        "{alone}"
    );
    // A later segment shows that it was not.
    packets.extend(routed(down(ACK, 0, 6).after(1_000_000), 7_001));
    for packets in [
        packets.clone(),
        marked(&packets[..10]),
        packets[..10].to_vec(),
    ] {
        let more = resets(&packets);
        assert!(more.len() < 2);
    }
    let row = the_reset(&packets);
    assert_eq!(
        weight(&row, "trigger-not-arrived"),
        Some("moderate"),
        "{row}"
    );
}

/// The TTL of an RST is compared with those of packets at the same point: here one hop nearer than the server's others
/// on the client's side, though 64 is what they have where they leave.
#[test]
fn a_ttl_is_compared_at_its_own_point() {
    let mut packets = marked(&request());
    packets.push(Seen::new(up(ACK, 6, 1).len(3), 64, 103).at(0));
    packets.push(Seen::new(down(RST, 1, 0).window(0), 64, 0).at(0));
    let row = the_reset(&packets);
    let (_, message) = indicator(&row, "ttl-differs").unwrap();
    assert!(message.contains("TTL 64, 1 different"), "{message}");
    assert_eq!(weight(&row, "never-left"), Some("strong"), "{row}");
    assert_eq!(row["errno"], "ECONNRESET", "{row}");
}

/// Packets of one end that come by another interface have another TTL there, also after an hour of silence. Nothing is
/// said about a point that has captured no other packet of the end.
#[test]
fn another_interface_has_ttls_of_its_own() {
    for silence in [100, 3_600_000_000] {
        let one_sided = |ttl: u8| {
            let mut packets: Vec<Seen> = request().into_iter().step_by(2).collect();
            for packet in &mut packets {
                packet.ttl = if packet.wire.to_server() { 64 } else { 57 };
            }
            let reset = down(RST | ACK, 1, 6).after(silence);
            packets.push(Seen::new(reset, ttl, 7_001).at(1));
            packets
        };
        let row = the_reset(&one_sided(50));
        assert_eq!(weight(&row, "ttl-differs"), None, "{row}");
        assert_eq!(weight(&row, "ttl-same"), None, "{row}");
        // Its other packets there agree.
        let mut packets = one_sided(50);
        let other = down(ACK, 1, 6).len(10);
        packets.insert(5, Seen::new(other, 50, 7_001).at(1));
        let reset = packets.last_mut().unwrap();
        reset.wire = down(RST | ACK, 11, 6).after(silence);
        let row = the_reset(&packets);
        assert_eq!(weight(&row, "ttl-same"), Some("moderate"), "{row}");
        packets.last_mut().unwrap().ttl = 57;
        let row = the_reset(&packets);
        assert_eq!(weight(&row, "ttl-differs"), Some("moderate"), "{row}");
    }
}

/// The same file merged twice or more (`mergecap a a a`) says what it says once.
#[test]
fn identical_frames_that_were_merged_are_one() {
    let mut packets: Vec<Seen> = request().into_iter().step_by(2).collect();
    packets.push(Seen::new(down(FIN | ACK, 1, 6), 64, 7_001));
    packets.push(Seen::new(up(ACK, 6, 1).len(4), 64, 103));
    packets.push(Seen::new(down(RST, 1, 0).window(0), 64, 0));
    packets.push(Seen::new(up(ACK, 10, 1).len(4), 64, 104));
    packets.push(Seen::new(down(RST, 1, 0).window(0), 64, 0));
    let facts = |packets: &[Seen]| {
        let rows = rows(packets);
        let of = |kind: &str, fields: &[&str]| -> Vec<Value> {
            let rows = rows.iter().filter(|row| row["type"] == kind);
            rows.flat_map(|row| fields.iter().map(|field| row[*field].clone()))
                .collect()
        };
        let fields = [
            "cause",
            "required_action",
            "errno",
            "receiver_state",
            "sender",
        ];
        [
            of("reset", &fields),
            of(
                "connection",
                &["bytes", "packets", "conn_state", "history", "reset_count"],
            ),
        ]
    };
    let once = facts(&packets);
    for times in 2..5 {
        let merged: Vec<Seen> = packets
            .iter()
            .flat_map(|packet| {
                let copy = Seen {
                    wire: packet.wire.after(0),
                    ..*packet
                };
                std::iter::once(*packet).chain(std::iter::repeat_n(copy, times - 1))
            })
            .collect();
        assert_eq!(facts(&merged), once, "{times} times");
    }
}

/// Where copies are told apart by their TTL, two equal packets of one TTL are two packets, also without an IP ID.
#[test]
fn equal_packets_at_one_point_are_several() {
    let mut packets = request();
    packets.extend(routed(up(ACK, 6, 1).len(5), 103));
    for _ in 0..3 {
        packets.extend(routed(down(RST, 1, 0).window(0), 0));
    }
    for packets in [packets.clone(), marked(&packets)] {
        assert_eq!(resets(&packets).len(), 3);
    }
    // In flight together.
    let tail = packets.split_off(12);
    packets.extend(tail.iter().step_by(2).chain(tail.iter().skip(1).step_by(2)));
    for packets in [packets.clone(), marked(&packets)] {
        assert_eq!(resets(&packets).len(), 3);
    }
}

/// Both ends are 40 ms apart, and nothing but the TTL and the addresses tells their packets from retransmissions.
#[test]
fn copies_may_be_far_apart_where_the_points_are_known() {
    let mut packets = request();
    packets.extend(routed(down(RST, 1, 0).window(0), 0));
    let last = packets.last_mut().unwrap();
    last.wire = last.wire.after(40_000);
    for packets in [packets.clone(), marked(&packets)] {
        let row = the_reset(&packets);
        assert_eq!(row["required_action"], "accept", "{row}");
        assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
    }
}

/// Each packet twice at each point, as where captures of both points were merged with themselves: a further copy is no
/// retransmission. A FIN that was sent once and arrived has moved its receiver to CLOSE-WAIT (RFC 9293, 3.10.7.4), and one
/// SYN draws one RST.
#[test]
fn copies_at_the_same_point_are_no_retransmissions() {
    let twice = |wire: Wire, id: u16| -> Vec<Seen> {
        let seen = |ttl: u8, after: u32| Seen::new(wire.after(after), ttl, id);
        vec![seen(64, 300), seen(64, 5), seen(63, 100), seen(63, 5)]
    };
    let mut packets: Vec<Seen> = (HANDSHAKE.into_iter().zip(100..))
        .flat_map(|(wire, id)| twice(wire, id))
        .collect();
    packets.extend(twice(down(FIN | ACK, 1, 1), 7_000));
    packets.extend(twice(down(RST | ACK, 2, 1), 7_001));
    let reset = the_reset(&packets);
    assert_eq!(reset["receiver_state"], "CLOSE-WAIT", "{reset}");
    assert_eq!(reset["errno"], "EPIPE", "{reset}");

    let mut refused = twice(HANDSHAKE[0], 100);
    refused.extend(twice(down(RST | ACK, RAW_ZERO, 1).window(0), 7_000));
    let reset = the_reset(&refused);
    assert_eq!(reset["cause"], "refused", "{reset}");
    assert_eq!(reset["trigger_candidates"], 1, "{reset}");
}

/// Packet at the client, at both interfaces of a router, and at the server: four captures merged, from the sender's end on.
fn along(wire: Wire, id: u16) -> [Seen; 4] {
    let seen = |nth: u32, ttl: u8| {
        let interface = if wire.to_server() { nth } else { 3 - nth };
        Seen::new(wire.after(100), ttl, id).at(interface)
    };
    [seen(0, 64), seen(1, 64), seen(2, 63), seen(3, 63)]
}

/// Handshake and an answered request at four points.
fn request_along() -> Vec<Seen> {
    let more = [up(ACK, 1, 1).len(5), down(ACK, 1, 6)];
    let packets = HANDSHAKE.into_iter().chain(more).zip(100..);
    packets.flat_map(|(wire, id)| along(wire, id)).collect()
}

/// The outermost points count. An RST that some points lack was made, or lost, between those that have it and those that
/// lack it.
#[test]
fn four_points_show_how_far_an_rst_came() {
    for reset in [down(RST | ACK, 1, 6), up(RST | ACK, 6, 1)] {
        let seen = along(reset, 105);
        let row = |seen: &[Seen]| the_reset(&[&request_along()[..], seen].concat());
        let whole = row(&seen);
        assert_eq!(whole["required_action"], "accept", "{whole}");
        assert_eq!(whole["errno"], "ECONNRESET", "{whole}");
        assert_eq!(weight(&whole, "never-left"), None, "{whole}");
        assert_ne!(whole["sender"]["verdict"], "doubtful", "{whole}");
        // The router made it.
        let made = row(&seen[2..]);
        assert_eq!(made["required_action"], "accept", "{made}");
        assert_eq!(weight(&made, "never-left"), Some("strong"), "{made}");
        // The receiver's point captured the packet before, but not the RST. A point between shows that it went on from its
        // sender, and not how far.
        for (length, action) in [(1, "not-delivered"), (2, "unknown"), (3, "unknown")] {
            let lost = row(&seen[..length]);
            assert_eq!(lost["required_action"], action, "{length}: {lost}");
            assert_eq!(lost["errno"], Value::Null, "{length}: {lost}");
            assert_ne!(lost["sender"]["verdict"], "doubtful", "{length}: {lost}");
        }
    }
}

/// Three captures in one interface: the TTLs in the middle show neither where a packet leaves nor where it arrives.
#[test]
fn three_points_may_share_an_interface() {
    let thrice = |wire: Wire, id: u16| -> [Seen; 3] {
        [64, 63, 62].map(|ttl| Seen::new(wire.after(100), ttl, id))
    };
    let more = [up(ACK, 1, 1).len(5), down(ACK, 1, 6)];
    let packets = HANDSHAKE.into_iter().chain(more).zip(100..);
    let request: Vec<Seen> = packets.flat_map(|(wire, id)| thrice(wire, id)).collect();
    let seen = thrice(down(RST | ACK, 1, 6), 7_001);
    for (some, action, never_left) in [
        (&seen[..], "accept", None),
        (&seen[..2], "unknown", None),
        (&seen[2..], "accept", Some("strong")),
    ] {
        let row = the_reset(&[&request[..], some].concat());
        assert_eq!(row["required_action"], action, "{row}");
        assert_eq!(weight(&row, "never-left"), never_left, "{row}");
    }
}

/// The RSTs of a capture of the `any` device that holds these packets, each with its packet type (packet(7)), TTL and IP ID.
fn resets_on_any(packets: &[(Wire, u8, u8, u16)]) -> Vec<Value> {
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 113);
    for ((wire, kind, ttl, id), micros) in packets.iter().zip((50..).step_by(50)) {
        let mut frame = vec![0, *kind, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0];
        frame.extend(&wire.frame(20_000)[14..]);
        frame[20..22].copy_from_slice(&id.to_be_bytes());
        frame[24] = *ttl;
        let length = u32::try_from(frame.len()).unwrap();
        file.record((1_700_000_000, micros), (length, length), &frame);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("any.pcap");
    fs::write(&path, &file.bytes).unwrap();
    analyze(&[path.to_str().unwrap()]).whole().of("reset")
}

/// `PACKET_HOST`, `PACKET_OTHERHOST` and `PACKET_OUTGOING`: a frame that comes in, one for another host, and one that goes
/// out.
const HOST: u8 = 0;
const OTHER_HOST: u8 = 3;
const OUTGOING: u8 = 4;

/// Handshake that a host forwards.
fn forwarded() -> Vec<(Wire, u8, u8, u16)> {
    (HANDSHAKE.into_iter().zip(100..))
        .flat_map(|(wire, id)| [(wire, HOST, 64, id), (wire, OUTGOING, 63, id)])
        .collect()
}

/// A host that forwards packets and hears them on another interface, too, captures a further copy: no retransmission, so a
/// FIN was sent once, and has moved its receiver to CLOSE-WAIT (RFC 9293, 3.10.7.4).
#[test]
fn a_copy_for_another_host_is_no_retransmission() {
    let mut packets = forwarded();
    let fin = down(FIN | ACK, 1, 1);
    packets.extend([(fin, HOST, 64, 7_000), (fin, OUTGOING, 63, 7_000)]);
    packets.push((fin, OTHER_HOST, 63, 7_000));
    let reset = down(RST | ACK, 2, 1);
    packets.extend([(reset, HOST, 64, 7_001), (reset, OUTGOING, 63, 7_001)]);
    let rows = resets_on_any(&packets);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["receiver_state"], "CLOSE-WAIT", "{}", rows[0]);
    assert_eq!(rows[0]["errno"], "EPIPE", "{}", rows[0]);
}

/// A copy at a place that is not known has gone on from where the RST left: then nothing shows that it did not arrive. A
/// frame for another host comes from an interface that is not stated.
#[test]
fn an_rst_with_a_copy_elsewhere_is_not_called_lost() {
    let mut packets = forwarded();
    let reset = down(RST | ACK, 1, 1);
    packets.extend([(reset, OTHER_HOST, 64, 0), (reset, OTHER_HOST, 63, 0)]);
    let rows = resets_on_any(&packets);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_ne!(rows[0]["required_action"], "not-delivered", "{}", rows[0]);
}

/// The IP layer drops a frame for another host (`ip_rcv_core()`), so a router does not forward it, and an end does not
/// receive it. Whether the packet reached its receiver by another way is not known.
#[test]
fn a_frame_for_another_host_shows_no_delivery() {
    let at_an_end: Vec<(Wire, u8, u8, u16)> = (HANDSHAKE.into_iter().zip(100..))
        .map(|(wire, id)| (wire, if wire.to_server() { OUTGOING } else { HOST }, 64, id))
        .collect();
    for mut packets in [forwarded(), at_an_end] {
        packets.push((down(RST | ACK, 1, 1), OTHER_HOST, 64, 7_000));
        let rows = resets_on_any(&packets);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0]["required_action"], "unknown", "{}", rows[0]);
        assert_eq!(rows[0]["errno"], Value::Null, "{}", rows[0]);
        // The connection is as it was.
        packets.push((down(RST | ACK, 1, 1), HOST, 64, 7_001));
        packets.push((down(RST | ACK, 1, 1), OUTGOING, 63, 7_001));
        let rows = resets_on_any(&packets);
        assert_eq!(rows[1]["errno"], "ECONNRESET", "{}", rows[1]);
    }
}

/// A bridge takes frames on that are addressed to others, and does not decrement the TTL: what comes in and does not go out was
/// dropped there, in both directions.
#[test]
fn a_bridge_forwards_frames_for_other_hosts() {
    let bridged = |wire: Wire, id: u16| [(wire, OTHER_HOST, 64, id), (wire, OUTGOING, 64, id)];
    let handshake: Vec<_> = (HANDSHAKE.into_iter().zip(100..))
        .flat_map(|(wire, id)| bridged(wire, id))
        .collect();
    for reset in [down(RST | ACK, 1, 1), up(RST | ACK, 1, 1)] {
        let passed = bridged(reset, 7_000);
        for (seen, action, errno) in [
            (&passed[..], "accept", "ECONNRESET".into()),
            (&passed[..1], "not-delivered", Value::Null),
        ] {
            let packets: Vec<_> = handshake.iter().chain(seen).copied().collect();
            let rows = resets_on_any(&packets);
            assert_eq!(rows.len(), 1, "{rows:?}");
            assert_eq!(rows[0]["required_action"], action, "{}", rows[0]);
            assert_eq!(rows[0]["errno"], errno, "{}", rows[0]);
        }
    }
}
