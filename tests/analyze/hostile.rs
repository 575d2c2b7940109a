//! Captures that mean harm: they are read in bounded room and time, and what is wrong is said in one line.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tempfile::TempDir;

use crate::cut::read_in_pieces;
use crate::layout::{Order, Pcap, PcapNg};
use crate::segments::{ACK, FIN, RST, SYN, Segment, refused};
use crate::{Said, analyze, analyze_for_people, analyze_stdin, analyze_within};

fn write(home: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = home.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// What is said of these bytes in a file, with one thread and with several.
fn of(bytes: &[u8]) -> Said {
    let home = tempfile::tempdir().unwrap();
    let path = write(&home, "capture", bytes);
    let path = path.to_str().unwrap();
    let said = analyze(&["--threads", "1", path]);
    let again = analyze(&["--threads", "3", path]);
    assert_eq!(
        (said.code, &said.out, &said.err),
        (again.code, &again.out, &again.err)
    );
    said
}

fn pcap() -> Pcap {
    Pcap::new(Order::Little, 0xa1b2_3c4d, (2, 4), 1)
}

fn add(file: &mut Pcap, at: (u32, u32), frame: &[u8]) {
    let length = u32::try_from(frame.len()).unwrap();
    file.record(at, (length, length), frame);
}

#[test]
fn an_invalid_block_length_ends_the_file_at_its_block() {
    for (captured, problem) in [
        (u32::MAX, "the record has a length of 4294967311 bytes"),
        (1 << 31, "the record has a length of 2147483664 bytes"),
        // It might be one that goes on, were the file longer.
        (1 << 20, "the record has a length of 1048592 bytes"),
    ] {
        let mut file = pcap();
        for (nth, segment) in (0..).zip(refused(5_000)) {
            add(&mut file, (nth, 0), &segment.frame());
        }
        let at = file.bytes.len();
        file.record((9, 0), (captured, 54), &[0; 54]);
        let said = of(&file.bytes);
        let line = said.complaint();
        assert!(line.contains(&format!("byte {at}: {problem}")), "{line}");
        assert!(line.contains("packets analyzed before it: 2"), "{line}");
        let summary = said.summary();
        assert_eq!(
            (&summary["resets"], &summary["bytes_read"]),
            (&1.into(), &at.into())
        );
    }
}

/// A length on the wire that lies is the sender's affair: what was captured is there.
#[test]
fn an_invalid_original_length_changes_nothing() {
    let mut file = pcap();
    let mut jumbo = refused(5_000)[0].frame();
    jumbo[16..18].copy_from_slice(&[0, 0]); // the packet does not say how long it is
    file.record((0, 0), (54, u32::MAX), &jumbo);
    file.record((1, 0), (54, 0), &refused(5_000)[1].frame());
    let said = of(&file.bytes).whole();
    assert_eq!(said.summary()["tcp_segments"], 2);
    assert_eq!(said.of("reset").len(), 1);
}

/// Nothing is over before it has begun, and nothing overflows.
#[test]
fn time_may_run_backwards_and_jump() {
    let mut file = pcap();
    for nth in 0..2_000_u32 {
        let second = if nth % 3 == 0 {
            u32::MAX - nth * 1_000_000
        } else {
            2_000_000 - nth * 1_000
        };
        let port = 5_000 + u16::try_from(nth / 2 % 7).unwrap();
        let segment = refused(port)[usize::try_from(nth % 2).unwrap()];
        // So many billionths of a second that they are some seconds.
        add(&mut file, (second, u32::MAX), &segment.frame());
    }
    let said = of(&file.bytes).whole();
    let summary = said.summary();
    assert_eq!(summary["reset_packets"], 1_000);
    assert_eq!(said.of("reset").len(), 1_000);
    let connections = said.of("connection");
    assert_eq!(
        connections.len() as u64,
        summary["connections"].as_u64().unwrap()
    );

    // Before and after all that nanoseconds can tell.
    let order = Order::Little;
    for (offset, units) in [(-9_223_372_036_i64, 0), (9_223_372_036, 854_775_807)] {
        let offset = order.u64(offset.cast_unsigned());
        let mut file = PcapNg::with_interface(order, &[(9, &[9]), (14, &offset)]);
        for segment in refused(5_000) {
            file.frame(0, units, &segment.frame(), &[]);
        }
        // An ordinary time behind it.
        file.interface(1, 0, &[(9, &[9])]);
        for segment in refused(5_001) {
            file.frame(1, 1_700_000_000_000_000_000, &segment.frame(), &[]);
        }
        assert_eq!(of(&file.bytes).whole().of("reset").len(), 2);
    }
}

#[test]
fn there_may_be_any_number_of_interfaces_and_sections() {
    const INTERFACES: u32 = 70_000;
    const SECTIONS: u32 = 20_000;
    let mut file = PcapNg::new(Order::Big);
    file.section(&[]);
    for nth in 0..INTERFACES {
        // Each of another kind of link, as far as there are any; the last one is Ethernet.
        let link = u16::try_from((nth + 1) % 65_536).unwrap();
        let is_last = nth + 1 == INTERFACES;
        file.interface(if is_last { 1 } else { link }, 0, &[]);
    }
    let [syn, rst] = refused(5_000);
    for interface in 0..INTERFACES {
        file.frame(interface, 0, &syn.frame(), &[]);
    }
    file.frame(INTERFACES - 1, 1, &rst.frame(), &[]);
    let at = file.bytes.len();
    let said = of(&file.bytes).whole();
    assert_eq!(said.of("reset").len(), 1);
    let summary = said.summary();
    assert_eq!(summary["packets"], INTERFACES + 1);
    let unread = summary["unsupported_link_types"].as_array().unwrap();
    assert!(unread.len() > 65_000);
    // People are told of the first few.
    let home = tempfile::tempdir().unwrap();
    let path = write(&home, "interfaces", &file.bytes);
    let told = analyze_for_people(&["-q", path.to_str().unwrap()]).whole();
    assert!(told.out.lines().count() < 15, "{}", told.out);
    assert!(
        told.out.contains("frames of other link types"),
        "{}",
        told.out
    );

    file.frame(INTERFACES, 0, &syn.frame(), &[]);
    let said = of(&file.bytes);
    let line = said.complaint();
    let problem = format!("byte {at}: interface 70000 is not among the 70000");
    assert!(line.contains(&problem), "{line}");

    let mut file = PcapNg::new(Order::Little);
    for nth in 0..SECTIONS {
        file.order = [Order::Little, Order::Big][usize::try_from(nth % 2).unwrap()];
        file.section(&[]);
        file.interface(1, 0, &[(9, &[9])]);
        let segment = refused(5_000)[usize::try_from(nth % 2).unwrap()];
        file.frame(0, nth.into(), &segment.frame(), &[]);
    }
    let said = of(&file.bytes).whole();
    assert_eq!(said.summary()["packets"], SECTIONS);
    assert_eq!(
        said.of("reset").len(),
        usize::try_from(SECTIONS / 2).unwrap()
    );
}

/// Room for what describes a capture does not grow with the file.
#[test]
fn more_interfaces_than_any_host_has_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut file = PcapNg::new(Order::Little);
    file.section(&[]);
    file.interface(1, 0, &[]);
    let interface = file.bytes[file.ends[0]..].to_vec();
    file.bytes.extend(interface.repeat(4_000_000));
    let path = write(&home, "interfaces", &file.bytes);
    let said = analyze(&[path.to_str().unwrap()]);
    let line = said.complaint();
    assert!(line.contains("interfaces"), "{line}");
}

#[test]
fn options_may_have_no_end_but_that_of_their_block() {
    let order = Order::Little;
    let [syn, rst] = refused(5_000);
    // Empty comments, up to the end of a block that no piece holds.
    let comments = [1, 0, 0, 0].repeat(2 << 20);
    let mut file = PcapNg::with_interface(order, &[]);
    let mut body = order.u32(0).to_vec();
    body.extend(file.packet(0, 54, &syn.frame(), &[]));
    body.extend(&comments);
    file.block(6, &body);
    let mut body = order.u32(0).to_vec();
    body.extend([0; 8]);
    body.extend(&comments);
    file.block(5, &body);
    file.frame(0, 1, &rst.frame(), &[]);
    let said = of(&file.bytes).whole();
    assert_eq!(said.of("reset").len(), 1);

    // A last one that is longer than its block.
    let at = file.bytes.len();
    let mut body = order.u32(0).to_vec();
    body.extend(file.packet(0, 54, &syn.frame(), &[]));
    body.extend([1, 0, 0xff, 0xff]);
    file.block(6, &body);
    let said = of(&file.bytes);
    let line = said.complaint();
    let problem = format!("byte {at}: option 1 has a length of 65535 bytes");
    assert!(line.contains(&problem), "{line}");
}

/// Headers of all the lengths that their fields can say: RFC 791 and 9293 have them from 20 bytes to 60.
#[test]
fn headers_of_any_length_are_read() {
    let mut file = pcap();
    let segment = |port: u16, flags| Segment {
        ports: [80, port],
        flags,
        seq: 0,
        ack: 1_001,
    };
    let (whole, none) = (segment(5_000, RST | ACK), [0; 0]);
    add(&mut file, (0, 0), &whole.with(&[1; 40], &[1; 40]));
    let mut count = 1;
    // An option that says it has no length, or goes on for ever; SACK blocks and timestamps that are cut.
    for options in [
        &[8, 0, 8, 10][..],
        &[5, 255, 1, 1],
        &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 8, 10],
        &[30, 2, 30, 1],
        &[0; 40],
    ] {
        add(&mut file, (0, 0), &whole.with(&none, options));
        count += 1;
    }
    let good = file.bytes.len();
    assert_eq!(of(&file.bytes).whole().of("reset").len(), count);
    // Lengths of TCP's header that are too short, or longer than the packet.
    let mut cut = 0;
    for words in (0..16_u8).filter(|words| *words != 5) {
        let mut frame = segment(5_001, RST | ACK).frame();
        frame[14 + 20 + 12] = words << 4;
        add(&mut file, (1, 0), &frame);
        cut += 1;
    }
    // Of IPv4's: what is no IP packet is no segment either.
    for words in (0..16_u8).filter(|words| *words != 5) {
        let mut frame = segment(5_002, RST | ACK).frame();
        frame[14] = 0x40 | words;
        add(&mut file, (1, 0), &frame);
    }
    let said = of(&file.bytes).whole();
    assert!(file.bytes.len() > good);
    let summary = said.summary();
    assert!(
        summary["truncated_segments"].as_u64().unwrap() >= cut,
        "{summary}"
    );
    assert_eq!(said.of("reset").len(), count);
}

/// What was cut off by a snapshot length is no RST, but is counted.
#[test]
fn a_frame_may_end_anywhere() {
    let mut file = pcap();
    let rst = refused(5_000)[1].frame();
    for length in 0..54_u32 {
        let captured = &rst[..usize::try_from(length).unwrap()];
        file.record((0, 0), (length, 54), captured);
    }
    let said = of(&file.bytes).whole();
    let summary = said.summary();
    assert_eq!(
        (&summary["packets"], &summary["tcp_segments"]),
        (&54.into(), &0.into())
    );
    assert_eq!(summary["truncated_segments"], 20);
}

#[test]
fn a_file_that_is_no_capture_is_reported_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let empty = write(&home, "empty", b"");
    let text = write(&home, "text", b"\x7fELF and so on");
    let bad = write(&home, "bad.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03 and no more");
    for (path, problem) in [
        (&empty, "the file is empty"),
        (&text, "the file is neither pcap, pcapng nor snoop"),
        (&bad, "gzip"),
    ] {
        let said = analyze(&[path.to_str().unwrap()]);
        let line = said.complaint();
        assert!(line.contains(problem), "{line}");
        assert_eq!(said.out, "");
        assert_eq!(analyze_stdin(path).complaint().lines().count(), 1);
    }
    let said = analyze(&["-"]);
    assert!(said.complaint().contains("standard input"), "{}", said.err);
}

#[test]
fn a_pipe_in_a_directory_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    mkfifo(&home.path().join("a-pipe"), Mode::S_IRWXU).unwrap();
    let directory = home.path().to_str().unwrap();
    let said = analyze(&[directory]);
    assert!(
        said.complaint().contains("find a capture in"),
        "{}",
        said.err
    );
    write(&home, "capture", &one_reset());
    write(&home, "text", b"neither");
    let said = analyze(&[directory]).whole();
    assert_eq!(said.of("reset").len(), 1);
}

fn one_reset() -> Vec<u8> {
    let mut file = pcap();
    for (nth, segment) in (0..).zip(refused(5_000)) {
        add(&mut file, (nth, 0), &segment.frame());
    }
    file.bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_capture_is_read_like_any_other_and_a_cut_one_up_to_the_cut() {
    let home = tempfile::tempdir().unwrap();
    let mut file = pcap();
    for nth in 0..20_000_u32 {
        let port = 5_000 + u16::try_from(nth / 2).unwrap();
        let segment = refused(port)[usize::try_from(nth % 2).unwrap()];
        add(&mut file, (0, nth), &segment.frame());
    }
    let plain = analyze_stdin(&write(&home, "plain", &file.bytes)).whole();
    assert_eq!(plain.of("reset").len(), 10_000);
    for (name, bytes) in [
        ("gz", gzip(&file.bytes)),
        (
            "zst",
            compress_to_vec(&file.bytes[..], CompressionLevel::Fastest),
        ),
        ("lz4", lz4(&file.bytes)),
    ] {
        let path = write(&home, name, &bytes);
        assert_eq!(analyze_stdin(&path).whole().out, plain.out, "{name}");
        let cut = write(&home, "cut", &bytes[..bytes.len() / 2]);
        let said = analyze(&[cut.to_str().unwrap()]);
        let line = said.complaint();
        assert!(
            line.contains("read all of") && line.contains("byte "),
            "{line}"
        );
        let (summary, resets) = (said.summary(), said.of("reset").len());
        assert_eq!(summary["complete"], false);
        assert_eq!(summary["resets"], resets);
    }
}

/// Where a piece begins within what somebody has sent of another capture, that looks like the capture itself.
#[test]
fn a_capture_within_a_capture_is_not_taken_for_it() {
    let [syn, rst] = refused(5_000).map(Segment::frame);
    let order = Order::Little;
    let (mut inner, mut inner_ng) = (pcap(), PcapNg::with_interface(order, &[]));
    let header = (inner.bytes.len(), inner_ng.bytes.len());
    for _ in 0..20 {
        add(&mut inner, (0, 0), &rst);
        inner_ng.frame(0, 0, &rst, &[]);
    }
    let sent = |capture: &[u8]| {
        let mut frame = syn[..34].to_vec();
        frame[14 + 9] = 17; // UDP
        frame[16..18].copy_from_slice(&[0, 0]); // as long as it is
        // So that no block of it begins where it could.
        frame.extend([0; 6]);
        frame.extend(capture);
        frame
    };
    let sent = (
        sent(&inner.bytes[header.0..]),
        sent(&inner_ng.bytes[header.1..]),
    );
    let (mut outer, mut outer_ng) = (pcap(), PcapNg::with_interface(order, &[]));
    let mut expected = BTreeSet::new();
    for nth in 0..90 {
        let (frame, frame_ng) = match nth % 3 {
            0 => (&sent.0, &sent.1),
            1 => (&syn, &syn),
            _ => (&rst, &rst),
        };
        add(&mut outer, (nth * 1_000, 0), frame);
        outer_ng.frame(0, u64::from(nth) * 1_000_000_000, frame_ng, &[]);
        if nth % 3 == 2 {
            expected.insert(nth + 1);
        }
    }
    for bytes in [outer.bytes, outer_ng.bytes] {
        for (threads, piece) in (600..1_000).step_by(7).flat_map(|it| [(1, it), (3, it)]) {
            let (read, totals, told) = read_in_pieces(&bytes, threads, piece);
            assert_eq!(read.unwrap(), bytes.len() as u64);
            assert_eq!(
                (totals.packets, totals.tcp),
                (90, 60),
                "{threads} of {piece}"
            );
            assert_eq!(told.resets, expected, "{threads} of {piece}");
        }
    }
}

/// A gibibyte of nothing in a megabyte: it takes its time, and no room.
#[test]
fn a_decompression_bomb_takes_bounded_memory() {
    let home = tempfile::tempdir().unwrap();
    // Records without a byte, and one that says it has many.
    for (name, header) in [
        ("records", &[0; 16][..]),
        ("record", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]),
    ] {
        let path = home.path().join(name);
        let mut encoder = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        encoder.write_all(&pcap().bytes).unwrap();
        encoder.write_all(header).unwrap();
        std::io::copy(&mut std::io::repeat(0).take(128 << 20), &mut encoder).unwrap();
        encoder.finish().unwrap();
        let said = analyze_stdin(&path);
        assert!(
            said.code == Some(0) || said.complaint().contains("byte "),
            "{}",
            said.err
        );
        assert!(said.summary()["packets"].as_u64().unwrap() > 1_000_000);
    }
}

/// What ends a connection is to be looked at once, and not as often as it was said; and what is over takes no room.
#[test]
fn a_flood_of_fins_rsts_and_syns_takes_bounded_time_and_memory() {
    let home = tempfile::tempdir().unwrap();
    for flags in [FIN | ACK, RST | ACK, SYN] {
        let mut file = pcap();
        let mut segment = Segment {
            ports: [5_000, 80],
            flags: SYN,
            seq: 6,
            ack: 0,
        };
        add(&mut file, (0, 0), &segment.frame());
        let answer = Segment {
            ports: [80, 5_000],
            flags: SYN | ACK,
            seq: 0,
            ack: 7,
        };
        add(&mut file, (0, 1), &answer.frame());
        // What is before it never comes.
        (segment.seq, segment.ack) = (9_000, 1);
        for nth in 0..40_000 {
            segment.flags = flags;
            segment.seq = segment.seq.wrapping_add(u32::from(flags == SYN));
            add(&mut file, (1, nth), &segment.frame());
        }
        // It is kept alive, and is looked at each time.
        segment.flags = ACK;
        for nth in 0..4_000 {
            add(&mut file, (1 + nth * 200, 0), &segment.frame());
        }
        let path = write(&home, "flood", &file.bytes);
        let said = analyze(&["--threads", "2", path.to_str().unwrap()]).whole();
        assert_eq!(said.summary()["packets"], 44_002);
    }
}

/// An RST is one whatever else its sender claims it is, and in the midst of whatever.
#[test]
fn every_rst_is_reported_once() {
    const SECONDS: u32 = 1_000;
    let segment = |from_client: bool, flags, seq, ack| Segment {
        ports: if from_client {
            [5_000, 80]
        } else {
            [80, 5_000]
        },
        flags,
        seq,
        ack,
    };
    let mut file = pcap();
    let mut resets = 0;
    for flags in (0..=u8::MAX).filter(|flags| flags & RST != 0) {
        let script = [
            segment(true, SYN, 6, 0),
            segment(false, SYN | ACK, 90, 7),
            segment(true, ACK, 7, 91),
            // Another SYN, what does not answer it, and an RST that ends the connection before it at most.
            segment(true, SYN, 5_000, 0),
            segment(false, ACK, 91, 7),
            segment(true, flags, 7, 91),
            segment(false, flags, 91, 7),
        ];
        for (nth, segment) in (0..).zip(script) {
            add(
                &mut file,
                (u32::from(flags) * SECONDS, nth),
                &segment.frame(),
            );
        }
        resets += 2;
    }
    let said = of(&file.bytes).whole();
    assert_eq!(said.summary()["reset_packets"], resets);
    assert_eq!(said.summary()["resets"], said.of("reset").len());
    assert_eq!(said.of("reset").len(), resets);
}

/// RSTs of connections that live are held until these are over, but not any number of them.
#[test]
fn memory_is_bounded_with_rsts_of_many_connections() {
    let home = tempfile::tempdir().unwrap();
    let mut file = pcap();
    for nth in 0..200_000_u32 {
        let port = 1_024 + u16::try_from(nth % 20_000).unwrap();
        let segment = Segment {
            ports: [80, port],
            flags: RST | ACK,
            seq: nth,
            ack: 1,
        };
        add(&mut file, (1, nth), &segment.frame());
    }
    let path = write(&home, "resets", &file.bytes);
    let said = analyze_within(208, &[path.to_str().unwrap()], Stdio::null()).whole();
    assert_eq!(said.out.matches("\"type\":\"reset\"").count(), 200_000);
}

/// Whoever reads no more ends the program, even if there is more and more to be read.
#[test]
fn it_ends_when_its_output_is_closed() {
    use std::process::Command;
    let mut child = Command::new(env!("CARGO_BIN_EXE_rstproof"))
        .args(["analyze", "--format", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    let mut file = pcap();
    let [syn, rst] = refused(5_000);
    input.write_all(&file.bytes).unwrap();
    let mut failed = None;
    // So much that it would be done only in some minutes.
    for second in 0..u32::MAX {
        file.bytes.clear();
        for nth in 0..10_000 {
            let segment = if nth % 2 == 0 { syn } else { rst };
            add(&mut file, (second * 10, nth), &segment.frame());
        }
        if let Err(error) = input.write_all(&file.bytes) {
            failed = Some(error.kind());
            break;
        }
        assert!(second < 2_000, "it goes on reading");
    }
    assert_eq!(failed, Some(std::io::ErrorKind::BrokenPipe));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
