//! Captures in every format that is read, and the names of those that are not; times that are none.

use std::fs;
use std::process::Command;

use crate::layout::{Order, Pcap, PcapNg};
use crate::segments::{Segment, refused};
use crate::{analyze, analyze_for_people, cut};

/// A connection that is refused, as a file of snoop (RFC 1761).
fn snoop() -> Vec<u8> {
    let mut file = b"snoop\0\0\0\0\0\0\x02\0\0\0\x04".to_vec();
    for (nth, segment) in (0..).zip(refused(5_000)) {
        let frame = segment.frame();
        let length = u32::try_from(frame.len()).unwrap();
        // 54 bytes are padded to 56; two frames were lost before the second.
        for word in [length, length, 24 + 56, 2 * nth, 1_700_000_000, nth] {
            file.extend(word.to_be_bytes());
        }
        file.extend(frame);
        file.extend([0, 0]);
    }
    file
}

#[test]
fn snoop_is_read_in_pieces_of_any_length() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.snoop");
    fs::write(&path, snoop()).unwrap();
    let said = analyze(&[path.to_str().unwrap()]).whole();
    let [reset] = &said.of("reset")[..] else {
        panic!("{}", said.out)
    };
    assert_eq!(
        (&reset["frame"], &reset["errno"]),
        (&2.into(), &"ECONNREFUSED".into())
    );
    assert_eq!(reset["at_ns"], 1_700_000_000_000_001_000_i64);
    assert_eq!(said.summary()["frames_dropped"], 2);
    let mut long = snoop()[..16].to_vec();
    for _ in 0..20 {
        long.extend(&snoop()[16..]);
    }
    let (_, totals, all) = cut::read_in_pieces(&long, 1, 1 << 20);
    assert_eq!((totals.packets, totals.resets), (40, 20));
    for piece in 64..400 {
        let (read, there, told) = cut::read_in_pieces(&long, 1 + piece % 3, piece);
        assert_eq!(read.unwrap(), long.len() as u64, "pieces of {piece}");
        assert_eq!((there.packets, told.resets), (40, all.resets.clone()));
    }
}

/// Wireshark's editcap is the authority on what the formats are.
#[test]
fn formats_that_are_not_read_are_named_with_the_command_that_converts_them() {
    let home = tempfile::tempdir().unwrap();
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for segment in refused(5_000) {
        let frame = segment.frame();
        file.record((1_700_000_000, 0), (54, 54), &frame);
    }
    let path = home.path().join("a.pcap");
    fs::write(&path, file.bytes).unwrap();
    for (format, name) in [
        ("netmon1", "Network Monitor 1"),
        ("netmon2", "Network Monitor 2"),
        ("ngsniffer", "Sniffer (DOS)"),
        ("ngwsniffer_1_1", "NetXRay"),
        ("ngwsniffer_2_0", "NetXRay"),
        ("5views", "5View"),
        ("lanalyzer", "LANalyzer"),
        ("nettl", "nettl"),
        ("observer", "Observer"),
        ("visual", "Visual Networks"),
        ("modpcap", "modified pcap"),
    ] {
        let other = home.path().join(format);
        let made = Command::new("editcap")
            .args(["-F", format])
            .args([&path, &other])
            .output()
            .unwrap();
        assert!(made.status.success(), "{format}: {made:?}");
        let said = analyze(&[other.to_str().unwrap()]);
        let line = said.complaint();
        assert!(line.contains(name), "{format}: {line}");
        assert!(
            line.contains("`editcap -F pcap IN OUT`"),
            "{format}: {line}"
        );
    }
    // What editcap calls snoop is read.
    let other = home.path().join("snoop");
    let made = Command::new("editcap")
        .args(["-F", "snoop"])
        .args([&path, &other])
        .status();
    assert!(made.unwrap().success());
    let summary = analyze(&[other.to_str().unwrap()]).whole().summary();
    assert_eq!(
        (&summary["packets"], &summary["resets"]),
        (&2.into(), &1.into())
    );
}

/// 2^64 - 1,000 units of a microsecond: a clock that was set back, stored without a sign.
#[test]
fn a_time_that_is_none_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    let [syn, rst] = refused(5_000).map(Segment::frame);
    let mut file = PcapNg::with_interface(Order::Little, &[]);
    file.frame(0, 1_700_000_000_000_000, &syn, &[]);
    file.frame(0, u64::MAX - 999, &rst, &[]);
    let [syn, rst] = refused(5_001).map(Segment::frame);
    file.frame(0, u64::MAX, &syn, &[]);
    file.frame(0, 1_700_000_000_000_001, &rst, &[]);
    let path = home.path().join("a.pcapng");
    fs::write(&path, &file.bytes).unwrap();
    let path = path.to_str().unwrap();
    let said = analyze(&[path]).whole();
    let resets = said.of("reset");
    let frames: Vec<_> = resets.iter().map(|row| row["frame"].clone()).collect();
    assert_eq!(frames, [2, 4]);
    assert!(
        resets.iter().all(|row| row["errno"] == "ECONNREFUSED"),
        "{}",
        said.out
    );
    let summary = said.summary();
    assert_eq!(
        (&summary["packets"], &summary["unusable_times"]),
        (&4.into(), &2.into())
    );
    let said = analyze_for_people(&[path]);
    assert!(
        said.out
            .contains("2 frames have times that cannot be right"),
        "{}",
        said.out
    );
    // What is copied keeps its frames.
    let copy = home.path().join("copy.pcapng");
    analyze(&[path, "-w", copy.to_str().unwrap()]).whole();
    let summary = analyze(&[copy.to_str().unwrap()]).whole().summary();
    assert_eq!(
        (&summary["packets"], &summary["resets"]),
        (&4.into(), &2.into())
    );
}

/// Times of an interface whose clock was never set: only how far they are apart means something.
#[test]
fn odd_times_are_as_far_apart_as_they_say() {
    let home = tempfile::tempdir().unwrap();
    let [first, _] = refused(5_001).map(Segment::frame);
    let [syn, rst] = refused(5_000).map(Segment::frame);
    let mut file = PcapNg::with_interface(Order::Little, &[]);
    file.frame(0, 1_700_000_000_000_000, &first, &[]);
    file.frame(0, u64::MAX - 500_000_000, &syn, &[]);
    file.frame(0, u64::MAX - 499_999_500, &rst, &[]);
    let path = home.path().join("a.pcapng");
    fs::write(&path, &file.bytes).unwrap();
    let said = analyze(&[path.to_str().unwrap()]).whole();
    let connections = said.of("connection");
    let refused = connections.iter().find(|row| row["conn_state"] == "REJ");
    assert_eq!(refused.unwrap()["duration_ns"], 500_000, "{}", said.out);
}

/// Nanoseconds beyond a second: the seconds and the rest are added, as Wireshark does.
#[test]
fn a_fraction_beyond_a_second_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut file = Pcap::new(Order::Little, 0xa1b2_3c4d, (2, 4), 1);
    for segment in refused(5_000) {
        file.record((1_700_000_000, 3_000_000_000), (54, 54), &segment.frame());
    }
    let path = home.path().join("a.pcap");
    fs::write(&path, &file.bytes).unwrap();
    let said = analyze(&[path.to_str().unwrap()]).whole();
    assert_eq!(said.of("reset")[0]["at_ns"], 1_700_000_003_000_000_000_i64);
}

/// Classic pcap consists of records, and so does snoop; only pcapng has blocks.
#[test]
fn a_record_is_not_called_a_block() {
    let home = tempfile::tempdir().unwrap();
    let mut pcap = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for segment in refused(5_000) {
        pcap.record((1, 0), (54, 54), &segment.frame());
    }
    let mut too_long = pcap.bytes[..24].to_vec();
    too_long.extend([0; 8]);
    too_long.extend([0xff, 0xff, 0xff, 0x7f].repeat(2));
    too_long.extend([0; 100]);
    let mut short = snoop();
    short[16 + 8..16 + 12].copy_from_slice(&30_u32.to_be_bytes());
    for bytes in [
        &pcap.bytes[..pcap.bytes.len() - 1],
        &pcap.bytes[..30],
        &too_long,
        &snoop()[..100],
        &short,
    ] {
        let path = home.path().join("cut");
        fs::write(&path, bytes).unwrap();
        let said = analyze(&[path.to_str().unwrap()]);
        let line = said.complaint();
        assert!(
            line.contains("the record") && !line.contains("block"),
            "{line}"
        );
    }
}
