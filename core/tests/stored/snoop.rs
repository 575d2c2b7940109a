//! snoop, as RFC 1761 lays it out.

use rstproof_core::file::{Block, Foreign, Format, Frame, Malformed, Problem, Reader};
use rstproof_core::time::Timestamp;

use crate::blocks_until_wrong;

/// Begins a file of this version and datalink type.
fn begin(version: u32, datalink: u32) -> Vec<u8> {
    [
        b"snoop\0\0\0",
        &version.to_be_bytes()[..],
        &datalink.to_be_bytes(),
    ]
    .concat()
}

/// Adds a record that is padded to a multiple of four, as RFC 1761 recommends, after so many frames were lost.
fn record(file: &mut Vec<u8>, wire_len: u32, lost: u32, seconds: u32, micros: u32, frame: &[u8]) {
    let captured = u32::try_from(frame.len()).unwrap();
    let length = 24 + captured.next_multiple_of(4);
    for word in [wire_len, captured, length, lost, seconds, micros] {
        file.extend(word.to_be_bytes());
    }
    file.extend(frame);
    file.resize(file.len() + (length - 24 - captured) as usize, 0);
}

#[test]
fn frames_come_with_time_lengths_and_the_number_of_lost_ones() {
    let mut file = begin(2, 4);
    record(&mut file, 99, 0, 7, 5, b"abc");
    record(&mut file, 4, 3, u32::MAX, 999_999, b"abcd");
    record(&mut file, 0, 3, 0, 0, b"");
    let reader = Reader::new(&file).unwrap();
    assert_eq!(reader.format(), Format::Snoop);
    let (mut frames, mut dropped, mut links) = (Vec::new(), Vec::new(), Vec::new());
    for block in reader {
        match block.unwrap() {
            Block::Frame(frame) => frames.push(frame),
            Block::Statistics(statistics) => dropped.push(statistics.dropped),
            Block::Interface(interface) => links.push(interface.link),
            Block::Section(_) => {}
        }
    }
    let frame = |at, wire_len, captured| Frame {
        interface: 0,
        at: Timestamp(at),
        wire_len,
        captured,
        comments: Vec::new(),
    };
    assert_eq!(
        frames,
        [
            frame(7_000_005_000, 99, b"abc".as_slice()),
            frame(4_294_967_295_999_999_000, 4, b"abcd"),
            frame(0, 0, b""),
        ]
    );
    assert_eq!((dropped, links), (vec![Some(3)], vec![1]));
}

#[test]
fn datalink_types_are_those_of_the_registry_of_link_types() {
    // IEEE 802.3 and Ethernet (RFC 1761); IPv4 and IPv6 (Solaris, sys/dlpi.h).
    for (datalink, link) in [(0, 1), (4, 1), (26, 228), (27, 229)] {
        let file = begin(2, datalink);
        let mut reader = Reader::new(&file).unwrap();
        assert_eq!(reader.link(0), Some(link));
        assert!(reader.all(|block| block.is_ok()));
    }
    let fddi = Reader::new(&begin(2, 8)).map(|_| ()).unwrap_err();
    assert_eq!(fddi.problem, Problem::Datalink(8));
}

#[test]
fn a_truncated_or_inconsistent_record_is_an_error() {
    let mut file = begin(2, 4);
    record(&mut file, 3, 0, 7, 5, b"abc");
    for cut in 17..file.len() {
        let text = wrong_record(&file[..cut]).to_string();
        assert!(
            text.starts_with("byte 16: ") && text.contains("record"),
            "{text}"
        );
        assert!(!text.contains("block"), "{text}");
    }
    // The record is shorter than its frame.
    file[16 + 11] = 26;
    let problem = Problem::Record {
        length: 26,
        captured: 3,
    };
    assert_eq!(wrong_record(&file).problem, problem);
    for version in [0, 1, 6] {
        let version = wrong_header(&begin(version, 4));
        assert!(matches!(version, Problem::Version { .. }), "{version:?}");
    }
    // Shomiti's analyzers use the same magic number.
    assert_eq!(
        wrong_header(&begin(4, 4)),
        Problem::Foreign(Foreign::Shomiti)
    );
    assert_eq!(
        wrong_header(&begin(2, 4)[..12]),
        Problem::Header { length: 16 }
    );
}

fn wrong_header(file: &[u8]) -> Problem {
    Reader::new(file).map(|_| ()).unwrap_err().problem
}

fn wrong_record(file: &[u8]) -> Malformed {
    blocks_until_wrong(file).1.unwrap()
}
