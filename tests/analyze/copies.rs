//! Packets that were captured more than once: on a router, on the `any` device, or twice at one point.

use std::fs;

use serde_json::Value;

use crate::analyze;
use crate::layout::{Order, Pcap};
use crate::receivers::{HANDSHAKE, Wire, down, up};
use crate::segments::{ACK, RST};

const CLIENT_PORT: u16 = 20_000;

/// Packet as a router sees it: its way, its TTL and its IP ID.
#[derive(Clone, Copy)]
struct Seen {
    wire: Wire,
    is_outgoing: bool,
    ttl: u8,
    id: u16,
}

/// Frame of the `any` device (`LINKTYPE_LINUX_SLL`) with this packet.
fn cooked(seen: &Seen) -> Vec<u8> {
    let mut frame = vec![0, if seen.is_outgoing { 4 } else { 0 }, 0, 1, 0, 6];
    frame.extend([2; 8]);
    frame.extend(&seen.wire.frame(CLIENT_PORT)[12..]);
    frame[16 + 4..16 + 6].copy_from_slice(&seen.id.to_be_bytes());
    frame[16 + 8] = seen.ttl;
    frame
}

/// Packet that was routed: in with this ID, and 10 microseconds later out with one hop less.
fn routed(wire: Wire, id: u16) -> [Seen; 2] {
    let incoming = Seen {
        wire,
        is_outgoing: false,
        ttl: 64,
        id,
    };
    let outgoing = Seen {
        wire: wire.after(10),
        is_outgoing: true,
        ttl: 63,
        ..incoming
    };
    [incoming, outgoing]
}

fn resets(packets: &[Seen]) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("any.pcap");
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 113);
    let mut micros = 0;
    for packet in packets {
        micros += packet.wire.after;
        let frame = cooked(packet);
        let length = u32::try_from(frame.len()).unwrap();
        file.record((1_700_000_000, micros), (length, length), &frame);
    }
    fs::write(&path, &file.bytes).unwrap();
    analyze(&[path.to_str().unwrap()]).whole().of("reset")
}

fn request() -> Vec<Seen> {
    let request = [up(ACK, 1, 1).len(5), down(ACK, 1, 6)];
    let packets = HANDSHAKE.into_iter().chain(request).zip(1..);
    packets.flat_map(|(wire, id)| routed(wire, id)).collect()
}

/// What is seen only where it goes out to its receiver was made on the way, and arrives.
#[test]
fn a_router_that_sends_the_reset_itself_is_seen() {
    let mut packets = request();
    packets.extend(routed(up(ACK, 6, 1).len(5), 90));
    packets.push(Seen {
        wire: down(RST, 1, 0).window(0),
        is_outgoing: true,
        ttl: 64,
        id: 0,
    });
    let [row] = &resets(&packets)[..] else {
        panic!()
    };
    assert_eq!(row["required_action"], "accept", "{row}");
    assert_eq!(row["errno"], "ECONNRESET", "{row}");
    assert_eq!(row["sender"]["verdict"], "doubtful", "{row}");
    assert_eq!(row["sender"]["indicator"]["id"], "never-left", "{row}");
}

/// One RST that was routed is one, from the endpoint; also if the capture begins after the handshake.
#[test]
fn a_reset_that_was_routed_counts_once() {
    for begin in [0, 6] {
        let mut packets = request()[begin..].to_vec();
        packets.extend(routed(down(RST | ACK, 1, 6), 91));
        let [row] = &resets(&packets)[..] else {
            panic!("{begin}")
        };
        assert_eq!(row["required_action"], "accept", "{begin}: {row}");
        assert_ne!(row["sender"]["verdict"], "doubtful", "{begin}: {row}");
    }
}

/// Each packet has an IP ID of its own (RFC 6864, 4.1), so equal RSTs with different IDs are several.
#[test]
fn packets_with_different_ids_are_no_copies() {
    let mut packets: Vec<Seen> = request().into_iter().step_by(2).collect();
    packets.extend((100..103).map(|id| routed(down(RST | ACK, 1, 6), id)[0]));
    assert_eq!(resets(&packets).len(), 3);
    let mut packets = request();
    packets.extend((100..103).flat_map(|id| routed(down(RST | ACK, 1, 6), id)));
    assert_eq!(resets(&packets).len(), 3);
}
