//! What is not read is said, with the option that reads it; what is read without being asked; and processes of macOS.

use std::fs;

use serde_json::json;

use crate::layout::{Order, Pcap};
use crate::segments::{Segment, refused};
use crate::{Said, analyze, analyze_for_people};

/// A capture of these frames on a link of this number.
fn of(link: u32, frames: &[Vec<u8>], arguments: &[&str]) -> Said {
    let home = tempfile::tempdir().unwrap();
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), link);
    for (nth, frame) in (0..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap();
        file.record((1_700_000_000, nth), (length, length), frame);
    }
    let path = home.path().join("a.pcap");
    fs::write(&path, file.bytes).unwrap();
    let path = path.to_str().unwrap();
    match arguments {
        ["people", others @ ..] => analyze_for_people(&[&[path], others].concat()),
        _ => analyze(&[&[path], arguments].concat()).whole(),
    }
}

fn frames() -> [Vec<u8>; 2] {
    refused(5_000).map(Segment::frame)
}

/// The packet of each frame behind GRE of this protocol.
fn in_gre(protocol: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(24 + payload.len()).unwrap().to_be_bytes();
    let outer = [
        0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 47, 0, 0, 9, 9, 9, 1, 9, 9, 9, 2,
    ];
    [&[2; 12], &[8, 0][..], &outer, &[0, 0], &protocol, payload].concat()
}

#[test]
fn tunnels_are_named_with_the_option_that_reads_them() {
    let tunnelled = frames().map(|frame| in_gre([8, 0], &frame[14..]));
    let said = of(1, &tunnelled, &[]);
    let summary = said.summary();
    assert_eq!(
        summary["unread_tunnels"],
        json!([{"value": "gre", "count": 2}])
    );
    assert_eq!(summary["tcp_segments"], 0);
    let said = of(1, &tunnelled, &["people"]);
    assert!(
        said.out
            .contains("  2 packets of GRE: read them with --tunnels\n"),
        "{}",
        said.out
    );
    let summary = of(1, &tunnelled, &["--tunnels"]).summary();
    assert_eq!(
        (&summary["unread_tunnels"], &summary["resets"]),
        (&json!([]), &1.into())
    );
    let said = of(1, &tunnelled, &["people", "--tunnels"]);
    assert!(!said.out.contains("--tunnels"), "{}", said.out);
}

/// The outer packets of a mirror are no traffic of their own.
#[test]
fn mirrored_frames_and_labelled_packets_are_read_without_being_asked() {
    let mirrored = frames().map(|frame| in_gre([0x88, 0xbe], &frame));
    let labelled =
        frames().map(|frame| [&frame[..12], &[0x88, 0x47, 0, 1, 1, 64], &frame[14..]].concat());
    for frames in [mirrored, labelled] {
        for arguments in [&[][..], &["--tunnels"]] {
            let said = of(1, &frames, arguments);
            let reset = &said.of("reset")[0];
            assert_eq!(
                (&reset["frame"], &reset["errno"]),
                (&2.into(), &"ECONNREFUSED".into())
            );
            assert_eq!(said.summary()["unread_tunnels"], json!([]));
        }
    }
}

#[test]
fn ethertypes_that_are_not_read_are_counted_and_named() {
    let with = |kind: [u8; 2]| [&[2; 12], &kind[..], &[0; 46]].concat();
    let [syn, rst] = frames();
    let all = [
        syn,
        with([0x08, 0x06]),
        with([0x08, 0x06]),
        with([0x12, 0x34]),
        with([0, 38]),
        with([0x88, 0xe5]),
        rst,
    ];
    let said = of(1, &all, &[]);
    let expected = json!([
        {"value": 0, "count": 1},
        {"value": 0x0806, "count": 2},
        {"value": 0x1234, "count": 1},
        {"value": 0x88e5, "count": 1},
    ]);
    // MACsec of version 0 with an empty payload: EtherType 0.
    assert_eq!(
        said.summary()["unread_ethertypes"],
        expected,
        "{}",
        said.out
    );
    let said = of(1, &all, &["people"]);
    let line = "  frames without IP: 2 ARP (0x0806), 1 IEEE 802.3 (LLC), 1 EtherType 0x1234, 1 MACsec (0x88e5)\n";
    assert!(said.out.contains(line), "{}", said.out);
}

#[test]
fn encrypted_frames_are_counted() {
    let protected = [&[0x08, 0x41][..], &[0; 60]].concat();
    let said = of(105, &[protected], &[]);
    assert_eq!(said.summary()["encrypted_frames"], 1);
}

/// XNU, bsd/net/pktap.h. A process chooses its own name.
#[test]
fn a_process_is_shown_and_its_name_escaped() {
    let tapped = |frame: &[u8], is_outgoing: bool, name: &[u8]| {
        let mut header = vec![0; 156];
        header[..12].copy_from_slice(&[156, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        header[36] = if is_outgoing { 2 } else { 1 };
        header[52..54].copy_from_slice(&[0x39, 5]);
        header[56..56 + name.len()].copy_from_slice(name);
        header.extend(frame);
        header
    };
    let [syn, rst] = frames();
    let all = [
        tapped(&syn, true, b"cu\x1b[1mrl"),
        tapped(&rst, false, b"cu\x1b[1mrl"),
    ];
    for link in [258, 149] {
        let said = of(link, &all, &[]);
        let connection = &said.of("connection")[0];
        let process = json!({"pid": 1_337, "name": "cu\\u{1b}[1mrl"});
        assert_eq!(
            connection["processes"],
            json!({"client": process, "server": null})
        );
        let said = of(link, &all, &["people"]);
        let line = "  processes by the capture: client \"cu\\u{1b}[1mrl\" (pid 1337)\n";
        assert!(said.out.contains(line), "{}", said.out);
    }
    let said = of(1, &frames(), &[]);
    assert_eq!(
        said.of("connection")[0]["processes"],
        json!({"client": null, "server": null})
    );
}
