//! TCP segments in fragmented packets: they count at the frame that completes them, as in Wireshark.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::layout::{Order, Pcap};
use crate::segments::{ACK, SYN, Segment, refused};
use crate::tshark;
use crate::{Said, analyze, analyze_for_people, cut};

/// The fragments of the packet in an Ethernet frame, each with so many bytes of payload. The identification tells packets apart.
fn fragments(frame: &[u8], id: u16, length: usize) -> Vec<Vec<u8>> {
    let (head, payload) = frame[14..].split_at(20);
    let chunks: Vec<_> = payload.chunks(length).collect();
    let fragment = |(nth, chunk): (usize, &&[u8])| {
        let mut head = head.to_vec();
        let total = u16::try_from(20 + chunk.len()).unwrap();
        let more = if nth + 1 < chunks.len() { 0x2000 } else { 0 };
        let word = u16::try_from(nth * length / 8).unwrap() | more;
        head[2..4].copy_from_slice(&total.to_be_bytes());
        head[4..6].copy_from_slice(&id.to_be_bytes());
        head[6..8].copy_from_slice(&word.to_be_bytes());
        [&frame[..14], &head, chunk].concat()
    };
    chunks.iter().enumerate().map(fragment).collect()
}

/// Fragments of IPv6 with the segment of a frame over IPv4, behind destination options.
fn fragments_v6(frame: &[u8], id: u8, length: usize) -> Vec<Vec<u8>> {
    let tcp = &frame[34..];
    // In the part that is cut there are options first: next header, length, padding (RFC 8200, 4.6).
    let payload = [&[6, 0, 1, 4, 0, 0, 0, 0], tcp].concat();
    let address = |last: u8| [&[0xfd], &[0; 14][..], &[last]].concat();
    let chunks: Vec<_> = payload.chunks(length).collect();
    let fragment = |(nth, chunk): (usize, &&[u8])| {
        let more = u16::from(nth + 1 < chunks.len());
        let word = u16::try_from(nth * length).unwrap() | more;
        let [high, low] = word.to_be_bytes();
        let length = u16::try_from(8 + chunk.len()).unwrap().to_be_bytes();
        let mut packet = [
            &[2; 12],
            &[0x86, 0xdd, 0x60, 0, 0, 0][..],
            &length,
            &[44, 64],
        ]
        .concat();
        packet.extend(address(frame[29]));
        packet.extend(address(frame[33]));
        packet.extend([60, 0, high, low, 0, 0, 0, id]);
        packet.extend(*chunk);
        packet
    };
    chunks.iter().enumerate().map(fragment).collect()
}

fn file(frames: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for (nth, (at, frame)) in (0..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap();
        file.record((1_700_000_000 + at, nth), (length, length), frame);
    }
    file.bytes
}

/// Analyzes a capture of these frames, all at one time.
fn of(frames: Vec<Vec<u8>>) -> Said {
    let frames: Vec<_> = frames.into_iter().map(|frame| (0, frame)).collect();
    at(&frames)
}

/// At so many seconds each.
fn at(frames: &[(u32, Vec<u8>)]) -> Said {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.pcap");
    fs::write(&path, file(frames)).unwrap();
    let said = analyze(&[path.to_str().unwrap()]).whole();
    assert_eq!(resets(&said), tshark::reset_frames(&path), "{frames:?}");
    said
}

fn resets(said: &Said) -> Vec<u64> {
    let mut resets: Vec<u64> = (said.of("reset").iter())
        .map(|row| row["frame"].as_u64().unwrap())
        .collect();
    resets.sort_unstable();
    resets
}

fn counts(said: &Said) -> Value {
    let summary = said.summary();
    let of = |name: &str| summary[name].clone();
    json!([
        of("tcp_segments"),
        of("ip_fragments"),
        of("reassembled_packets"),
        of("unassembled_fragments"),
        of("overlapping_packets"),
    ])
}

fn frames() -> [Vec<u8>; 2] {
    refused(5_000).map(Segment::frame)
}

#[test]
fn a_segment_counts_at_the_frame_that_completes_it() {
    let [syn, rst] = frames();
    for cut in [fragments, |frame: &[u8], id, length| {
        fragments_v6(frame, u8::try_from(id).unwrap(), length)
    }] {
        let (syn, rst) = (cut(&syn, 1, 8), cut(&rst, 2, 16));
        let (first, second) = (syn.len(), rst.len());
        let mut backwards = syn.clone();
        backwards.reverse();
        for syn in [syn, backwards] {
            let said = of([syn, rst.clone()].concat());
            let reset = &said.of("reset")[0];
            assert_eq!(reset["errno"], "ECONNREFUSED");
            assert_eq!(reset["frame"], first + second);
            assert_eq!(counts(&said), json!([2, first + second, 2, 0, 0]));
        }
    }
}

/// Payload is counted in full, whatever was captured of it: a segment of 3,000 bytes, and the rest of the connection.
#[test]
fn the_whole_payload_counts() {
    let [client, server] = [[5_000, 80], [80, 5_000]];
    let segment = |ports, flags, seq, ack| {
        Segment {
            ports,
            flags,
            seq,
            ack,
        }
        .frame()
    };
    let data = [&segment(client, ACK, 1_001, 7_001)[..], &[b'x'; 3_000]].concat();
    let mut frames = vec![
        segment(client, SYN, 1_000, 0),
        segment(server, SYN | ACK, 7_000, 1_001),
        segment(client, ACK, 1_001, 7_001),
    ];
    frames.extend(fragments(&data, 9, 1_480));
    frames.push(segment(server, ACK, 7_001, 4_001));
    let said = of(frames.clone());
    let connection = &said.of("connection")[0];
    assert_eq!(connection["bytes"]["client"], 3_000);
    assert_eq!(connection["capture_gaps"]["lost_before_frame"], Value::Null);
    assert_eq!(counts(&said), json!([5, 3, 1, 0, 0]));
    // Without one of the fragments the data are missing.
    frames.remove(4);
    let said = of(frames);
    let connection = &said.of("connection")[0];
    assert_eq!(connection["capture_gaps"]["lost_before_frame"], 6);
    assert_eq!(counts(&said), json!([4, 2, 0, 2, 0]));
}

#[test]
fn what_is_not_put_together_is_said() {
    let [syn, rst] = frames();
    let cut = fragments(&rst, 2, 8);
    let said = of([vec![syn.clone()], cut[..1].to_vec()].concat());
    assert_eq!(counts(&said), json!([1, 1, 0, 1, 0]));
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.pcap");
    fs::write(&path, file(&[(0, syn), (0, cut[0].clone())])).unwrap();
    let said = analyze_for_people(&[path.to_str().unwrap()]);
    let line = "1 IP fragment was not analyzed: others of its packet are missing";
    assert!(said.out.contains(line), "{}", said.out);
}

/// RFC 5722, and `inet_frag_queue_insert()` of Linux for IPv4 as well: an overlap discards the packet, a duplicate does not.
#[test]
fn overlaps_discard_the_packet_and_duplicates_do_not() {
    let [syn, rst] = frames();
    for v6 in [false, true] {
        let cut = |frame: &[u8], id: u8, length| {
            if v6 {
                fragments_v6(frame, id, length)
            } else {
                fragments(frame, id.into(), length)
            }
        };
        let syn = cut(&syn, 1, 64);
        let (eight, sixteen) = (cut(&rst, 2, 8), cut(&rst, 2, 16));
        let twice = [syn.clone(), vec![eight[0].clone()], eight.clone()].concat();
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.pcap");
        let analyzed = |frames: &[Vec<u8>]| {
            let all: Vec<_> = frames.iter().map(|frame| (0, frame.clone())).collect();
            fs::write(&path, file(&all)).unwrap();
            analyze(&[path.to_str().unwrap()]).whole()
        };
        assert_eq!(resets(&analyzed(&twice)).len(), 1);
        let contained = [syn.clone(), vec![sixteen[0].clone()], eight.clone()].concat();
        assert_eq!(resets(&analyzed(&contained)).len(), 1);
        let overlapping = [syn.clone(), vec![eight[1].clone()], sixteen.clone()].concat();
        let said = analyzed(&overlapping);
        assert_eq!(resets(&said), [] as [u64; 0]);
        assert_eq!(said.summary()["overlapping_packets"], 1);
        assert_eq!(said.summary()["unassembled_fragments"], 0);
    }
}

#[test]
fn fragments_wait_for_others_for_so_long_and_no_longer() {
    let [syn, rst] = frames();
    for (v6, limit) in [(false, 30), (true, 60)] {
        for (wait, expected) in [(limit - 1, 1), (limit + 1, 0)] {
            let cut = if v6 {
                fragments_v6(&rst, 2, 16)
            } else {
                fragments(&rst, 2, 16)
            };
            let syn = if v6 {
                fragments_v6(&syn, 1, 64)
            } else {
                vec![syn.clone()]
            };
            let mut all: Vec<_> = syn.into_iter().map(|frame| (0, frame)).collect();
            let last = cut.len() - 1;
            let late = |(nth, frame)| (if nth == last { wait } else { 0 }, frame);
            all.extend(cut.into_iter().enumerate().map(late));
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("a.pcap");
            fs::write(&path, file(&all)).unwrap();
            let said = analyze(&[path.to_str().unwrap()]).whole();
            assert_eq!(resets(&said).len(), expected, "{wait}");
        }
    }
}

/// In pieces of any length, by any number of threads; and a copy of the reset connection has the fragments.
#[test]
fn fragments_are_found_in_pieces_of_any_length_and_copied() {
    let mut all = Vec::new();
    for id in 0..20_u16 {
        let [syn, rst] = refused(5_000 + id).map(Segment::frame);
        all.extend(fragments(&syn, 2 * id, 8));
        all.extend(fragments(&rst, 2 * id + 1, 16));
    }
    let all: Vec<_> = all.into_iter().map(|frame| (0, frame)).collect();
    let bytes = file(&all);
    let (_, totals, told) = cut::read_in_pieces(&bytes, 1, 1 << 20);
    assert_eq!((totals.resets, told.resets.len()), (20, 20));
    for piece in 64..300 {
        let (_, there, here) = cut::read_in_pieces(&bytes, 1 + piece % 3, piece);
        assert_eq!(
            (there, here.resets),
            (totals.clone(), told.resets.clone()),
            "pieces of {piece}"
        );
    }
    let home = tempfile::tempdir().unwrap();
    let (path, copy) = (home.path().join("a.pcap"), home.path().join("b.pcapng"));
    fs::write(&path, &bytes).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    analyze(&[&text(&path), "-w", &text(&copy)]).whole();
    let summary = analyze(&[&text(&copy)]).whole().summary();
    assert_eq!(summary["packets"], totals.packets);
    assert_eq!(summary["resets"], 20);
}

/// Fragments of a million packets take no more memory than those of a few.
#[test]
fn memory_is_bounded() {
    let [syn, _] = frames();
    let long = [&syn[..], &[b'x'; 1_000]].concat();
    let mut all = Vec::new();
    for id in 0..60_000_u16 {
        let mut first = fragments(&long, id, 1_000).swap_remove(0);
        first[29] = 7;
        all.push((0, first));
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.pcap");
    fs::write(&path, file(&all)).unwrap();
    let said = crate::analyze_within(100, &[path.to_str().unwrap()], std::process::Stdio::null());
    assert_eq!(said.whole().summary()["unassembled_fragments"], 60_000);
}
