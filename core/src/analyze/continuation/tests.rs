//! Tests of files that continue each other, and of those that do not.

use super::*;
use crate::file::pcap::Pcap;
use crate::packet::Link;

const SYN: u8 = Flags::SYN.0;
const ACK: u8 = Flags::ACK.0;
const RST: u8 = Flags::RST.0;

/// Frame of Ethernet, IPv4 and TCP without payload, from the client or to it.
fn frame(from_client: bool, flags: u8, seq: u32, ack: u32) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    let (from, to) = if from_client { (1, 2) } else { (2, 1) };
    frame.extend([10, 0, 0, from, 10, 0, 0, to]);
    let ports: [u16; 2] = if from_client {
        [40_000, 80]
    } else {
        [80, 40_000]
    };
    frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    frame.extend(seq.to_be_bytes());
    frame.extend(ack.to_be_bytes());
    frame.extend([0x50, flags, 2, 0, 0, 0, 0, 0]);
    frame
}

fn bytes(frames: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Pcap::begin(Link::Ethernet, 0);
    for (second, frame) in frames {
        let length = u32::try_from(frame.len()).unwrap();
        file.frame(Timestamp(second * SECOND), length, frame);
    }
    file.into_bytes()
}

fn outline(frames: &[(i64, Vec<u8>)]) -> FileOutline {
    FileOutline::read(&mut bytes(frames).as_slice()).unwrap()
}

fn beginning() -> Vec<(i64, Vec<u8>)> {
    vec![
        (10, frame(true, SYN, 99, 0)),
        (10, frame(false, SYN | ACK, 499, 100)),
        (11, frame(true, ACK, 100, 500)),
    ]
}

#[test]
fn a_connection_that_goes_on_joins_two_files() {
    let one = outline(&beginning());
    assert_eq!(
        (one.frames, one.is_whole, one.bytes),
        (3, true, 24 + 3 * 70)
    );
    for (second, flags, seq) in [(12, RST | ACK, 500), (4_000, ACK, 500), (12, ACK, 480)] {
        let next = outline(&[(second, frame(false, flags, seq, 100))]);
        assert!(one.is_continued_by(&next, false), "{second} {flags} {seq}");
        assert!(!next.is_continued_by(&one, false));
    }
}

/// RFC 9293, 3.4.1: another connection has another initial sequence number.
#[test]
fn equal_addresses_alone_do_not_join_files() {
    let one = outline(&beginning());
    for next in [
        frame(true, SYN, 99, 0),
        frame(true, ACK, 7_000_000, 1),
        frame(false, ACK, 499 + (1 << 20), 100),
    ] {
        assert!(!one.is_continued_by(&outline(&[(12, next)]), false));
    }
    // Not before the end of the first file, nor days later.
    for second in [5, 200_000] {
        let next = outline(&[(second, frame(false, ACK, 500, 100))]);
        assert!(!one.is_continued_by(&next, false), "{second}");
        assert!(!one.is_continued_by(&next, true), "{second}");
    }
}

#[test]
fn the_files_of_a_ring_need_no_connection_in_common() {
    let one = outline(&beginning());
    let next = outline(&[(13, frame(true, SYN, 9, 0))]);
    assert!(one.is_continued_by(&next, true));
    // After a file that is cut, a frame is missing; another link type is another capture.
    let mut cut = bytes(&beginning());
    cut.pop();
    let cut = FileOutline::read(&mut cut.as_slice()).unwrap();
    assert_eq!((cut.frames, cut.is_whole), (2, false));
    assert!(!cut.is_continued_by(&next, true));
    let mut other = bytes(&[(13, frame(true, SYN, 9, 0))]);
    other[20] = 101;
    let other = FileOutline::read(&mut other.as_slice()).unwrap();
    assert!(!one.is_continued_by(&other, true));
}

/// Returns segments of the client with IP IDs from this one on, ten bytes of data each.
fn numbered(second: i64, id: u16, count: u16) -> Vec<(i64, Vec<u8>)> {
    let segment = |nth: u16| {
        let mut frame = frame(true, ACK, 100 + 10 * u32::from(nth), 500);
        frame[17] += 10;
        frame[18..20].copy_from_slice(&(id + nth).to_be_bytes());
        frame.extend([b'x'; 10]);
        (second + i64::from(nth), frame)
    };
    (0..count).map(segment).collect()
}

/// A host whose clock is an hour ahead has captured the same packets, with another TTL; the next file of a capture has
/// others, which may repeat data (RFC 791, 3.1: another packet has another IP ID).
#[test]
fn captures_of_two_hosts_do_not_continue_each_other() {
    let one = outline(&numbered(10, 1_000, 20));
    let elsewhere = |count: usize, first: usize| {
        let mut frames = numbered(3_610, 1_000, 20);
        for (_, frame) in &mut frames {
            frame[22] -= 9;
        }
        outline(&frames[first..first + count])
    };
    for (count, first) in [(20, 0), (5, 0), (1, 19), (3, 17)] {
        assert!(!one.is_continued_by(&elsewhere(count, first), false));
        assert!(!one.is_continued_by(&elsewhere(count, first), true));
    }
    let mut again = numbered(3_610, 1_020, 20);
    assert!(one.is_continued_by(&outline(&again), false));
    // A packet that was sent again unchanged.
    let last = numbered(10, 1_000, 20).pop().map(|it| it.1).unwrap();
    again.insert(0, (3_609, last));
    assert!(one.is_continued_by(&outline(&again), false));
}

#[test]
fn memory_is_bounded_with_many_connections() {
    let frames: Vec<_> = (0..5_000_u16)
        .map(|nth| {
            let mut frame = frame(true, ACK, 1, 1);
            frame[34..36].copy_from_slice(&nth.to_be_bytes());
            (1, frame)
        })
        .collect();
    let outline = outline(&frames);
    assert_eq!(outline.last.len(), MAX_COMPARED);
    assert!((MAX_COMPARED..=MAX_COMPARED + 1).contains(&outline.first.len()));
    let mut sample = Sample::default();
    let all = 0..3 * u64::try_from(Sample::MAX).unwrap();
    for hash in all.clone().rev() {
        sample.keep(hash);
    }
    // The lowest ones, in whatever order they come.
    assert!(sample.0.iter().copied().eq(all.take(Sample::MAX)));
}

#[test]
fn a_frame_has_the_number_that_it_has_in_its_file() {
    let one = FileNames::one("a");
    assert_eq!(one.locate(7), ("a", 7));
    assert_eq!(one.localized("in frame 7, x"), "in frame 7, x");
    let files = FileNames::several([("a", 3), ("b", 0), ("c", 4)]);
    assert_eq!(files.locate(1), ("a", 1));
    assert_eq!(files.locate(3), ("a", 3));
    assert_eq!(files.locate(4), ("c", 1));
    assert_eq!(files.locate(9), ("c", 6));
    let text = "frame 4 follows frame 3, in a frame of frame 2";
    let expected = "frame 1 of c follows frame 3 of a, in a frame of frame 2 of a";
    assert_eq!(files.localized(text), expected);
}
