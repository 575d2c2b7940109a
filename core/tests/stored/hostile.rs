//! Files that are cut, damaged, or no captures at all: no panic, no end that does not come, and never a quiet loss.

use proptest::prelude::*;
use rstproof_core::file::{Block, Malformed, Part, Problem};

use crate::layout::{ORDERS, Order, Pcap, PcapNg};
use crate::{blocks, blocks_until_wrong, config, wrong};

/// A pcapng file with a block of each kind, each of which the reader gives.
fn pcapng(order: Order) -> PcapNg {
    let mut file = PcapNg::new(order);
    file.section(&[(3, b"os"), (1, b"comment")]);
    file.interface(1, 96, &[(2, b"eth0"), (9, &[9]), (11, b"\0tcp")]);
    file.frame(0, 1_700_000_000_000_000_000, b"frame", &[(1, b"comment")]);
    file.frame(0, 0, b"", &[]);
    file.obsolete(0, 2, b"obsolete", &[(1, b"comment")]);
    file.simple(6, b"simple");
    let counts = order.u64(5);
    file.statistics(0, &[(4, &counts), (5, &counts)]);
    file.section(&[]);
    file.interface(1, 0, &[(14, &counts)]);
    file.frame(0, 0, b"last", &[]);
    file
}

fn pcap(order: Order) -> Pcap {
    let mut file = Pcap::new(order, 0xa1b2_c3d4, (2, 4), 1);
    file.record((1, 2), (5, 9), b"frame");
    file.record((1, 2), (0, 0), b"");
    file.record((1, 2), (4, 4), b"last");
    file
}

/// Files, and where their blocks end.
fn files() -> Vec<(Vec<u8>, Vec<usize>)> {
    let mut files = Vec::new();
    for order in ORDERS {
        let (a, b) = (pcapng(order), pcap(order));
        files.push((a.bytes, a.ends));
        files.push((b.bytes, b.ends));
    }
    files
}

/// What begins before the cut and does not end before it is the error, and where it begins is where that is.
#[test]
fn a_cut_file_gives_what_is_before_the_cut_and_then_an_error() {
    for (bytes, ends) in files() {
        let whole = blocks(&bytes);
        // The header of a classic pcap is two blocks.
        let more = whole.len() - ends.len();
        for cut in 0..bytes.len() {
            let (blocks, malformed) = blocks_until_wrong(&bytes[..cut]);
            let complete = ends.iter().filter(|end| **end <= cut).count();
            let given = if complete == 0 { 0 } else { complete + more };
            assert_eq!(blocks, whole[..given], "cut at {cut}");
            let begun = if complete == 0 { 0 } else { ends[complete - 1] };
            if cut == begun && cut > 0 {
                assert_eq!(malformed, None, "cut at {cut}");
            } else {
                assert_eq!(malformed.unwrap().offset, begun as u64, "cut at {cut}");
            }
        }
    }
}

/// Reads all of it, whatever it is. Every block takes bytes, so there cannot be more of them.
fn survives(bytes: &[u8]) {
    let (blocks, malformed) = blocks_until_wrong(bytes);
    assert!(blocks.len() <= 2 + bytes.len() / 12);
    for block in &blocks {
        if let Block::Frame(frame) = block {
            assert!(bytes.as_ptr_range().contains(&frame.captured.as_ptr()));
        }
    }
    if let Some(malformed) = malformed {
        assert!(malformed.offset <= bytes.len() as u64);
        let text = malformed.to_string();
        assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
    }
}

#[test]
fn any_byte_may_be_any_other() {
    for (mut bytes, _) in files() {
        for index in 0..bytes.len() {
            let right = bytes[index];
            for wrong in 0..=u8::MAX {
                bytes[index] = wrong;
                survives(&bytes);
            }
            bytes[index] = right;
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_may_come(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survives(&bytes);
        for (mut file, _) in files() {
            file.extend_from_slice(&bytes);
            survives(&file);
        }
    }

    /// Blocks that are whole, but of whatever kind and content; small numbers are those that mean something.
    #[test]
    fn any_blocks_may_come(
        big in any::<bool>(),
        blocks in prop::collection::vec(
            (0_u32..8, prop::collection::vec(prop_oneof![0_u8..16, any::<u8>()], 0..80)),
            0..8,
        ),
    ) {
        let mut file = pcapng(if big { Order::Big } else { Order::Little });
        for (kind, mut body) in blocks {
            body.truncate(body.len() / 4 * 4);
            file.block(kind, &body);
        }
        survives(&file.bytes);
    }
}

#[test]
fn a_file_that_is_no_capture_is_reported_with_the_reason() {
    for (bytes, expected) in [
        (&b""[..], "the file is empty"),
        (b"\n", "the file is neither pcap, pcapng nor snoop"),
        (
            b"{\"schema\":1}",
            "the file is neither pcap, pcapng nor snoop",
        ),
        (
            b"\x7fELF\x02\x01\x01",
            "the file is neither pcap, pcapng nor snoop",
        ),
        (
            b"\xd4\xc3\xb2",
            "the file is neither pcap, pcapng nor snoop",
        ),
        (
            b"\x1f\x8b\x08\0\0\0\0\0",
            "the file is compressed; decompress it first, with gzip -d",
        ),
        (
            b"\x28\xb5\x2f\xfd\x04\x00",
            "the file is compressed; decompress it first, with zstd -d",
        ),
        (
            b"\xfd7zXZ\0",
            "the file is compressed; decompress it first, with xz -d",
        ),
        (
            b"BZh9",
            "the file is compressed; decompress it first, with bzip2 -d",
        ),
        (
            b"\x04\x22\x4d\x18",
            "the file is compressed; decompress it first, with lz4 -d",
        ),
    ] {
        assert_eq!(wrong(bytes), format!("byte 0: {expected}"));
    }
}

/// A file with one more block, and what is wrong with that.
fn wrong_with(change: impl Fn(&mut PcapNg)) -> Vec<Problem> {
    ORDERS
        .into_iter()
        .map(|order| {
            let mut file = PcapNg::with_interface(order, &[]);
            file.frame(0, 0, b"frame", &[]);
            let before = blocks(&file.bytes).len();
            let offset = file.bytes.len();
            change(&mut file);
            let (blocks, malformed) = blocks_until_wrong(&file.bytes);
            assert_eq!(blocks.len(), before);
            let Malformed {
                offset: at,
                problem,
            } = malformed.unwrap();
            assert_eq!(at, offset as u64);
            problem
        })
        .collect()
}

fn changed_last(file: &mut PcapNg, from_the_end: usize, value: u32) {
    let at = file.bytes.len() - from_the_end;
    let value = file.order.u32(value);
    file.bytes[at..at + 4].copy_from_slice(&value);
}

#[test]
fn the_lengths_of_a_block_must_be_lengths_and_agree() {
    // An empty block is 12 bytes: type, length, length.
    for length in [0, 4, 8, 11, 13, 14, 15, u32::MAX] {
        let problems = wrong_with(|file| {
            file.block(99, &[]);
            changed_last(file, 8, length);
        });
        assert_eq!(problems, [Problem::Length(length); 2]);
    }
    for trailer in [0, 8, 16, u32::MAX] {
        let problems = wrong_with(|file| {
            file.block(99, &[]);
            changed_last(file, 4, trailer);
        });
        let length = 12;
        assert_eq!(problems, [Problem::Trailer { length, trailer }; 2]);
    }
    let problems = wrong_with(|file| {
        file.block(99, &[]);
        changed_last(file, 8, 0xffff_fffc);
    });
    let (length, left) = (0xffff_fffc, 12);
    let part = Part::Block;
    assert_eq!(problems, [Problem::Cut { part, length, left }; 2]);
}

#[test]
fn a_block_must_have_the_fields_of_its_kind() {
    for (kind, body) in [(1, 4), (2, 16), (3, 0), (5, 8), (6, 16), (0x0a0d_0d0a, 12)] {
        let problems = wrong_with(|file| {
            let mut bytes = vec![0; body];
            if kind == 0x0a0d_0d0a {
                bytes[..4].copy_from_slice(&file.order.u32(0x1a2b_3c4d));
            }
            file.block(kind, &bytes);
        });
        assert_eq!(problems, [Problem::Fields; 2], "block {kind}");
    }
}

#[test]
fn a_frame_must_be_within_its_block() {
    for captured in [5, 8, 1 << 31, u32::MAX] {
        let problems = wrong_with(|file| {
            let mut body = vec![0; 4];
            body.extend(file.packet(0, captured as usize, b"four", &[]));
            file.block(6, &body);
        });
        assert_eq!(problems, [Problem::Captured { captured, room: 4 }; 2]);
    }
    let problems = wrong_with(|file| file.simple(5, b"four"));
    let (captured, room) = (5, 4);
    assert_eq!(problems, [Problem::Captured { captured, room }; 2]);
}

#[test]
fn an_option_must_be_within_its_block_and_as_long_as_its_kind() {
    for length in [1, 4, u16::MAX] {
        let problems = wrong_with(|file| {
            let mut body = vec![0; 12]; // statistics without options
            body.extend(file.order.u16(9));
            body.extend(file.order.u16(length));
            file.block(5, &body);
        });
        assert_eq!(problems, [Problem::Option { code: 9, length }; 2]);
    }
    let problems = wrong_with(|file| file.interface(1, 0, &[(9, &[6, 6])]));
    let (code, length) = (9, 2);
    assert_eq!(problems, [Problem::OptionLength { code, length }; 2]);
    let problems = wrong_with(|file| file.interface(1, 0, &[(14, &[0; 4])]));
    let (code, length) = (14, 4);
    assert_eq!(problems, [Problem::OptionLength { code, length }; 2]);
    let problems = wrong_with(|file| file.statistics(0, &[(4, &[0; 9])]));
    let (code, length) = (4, 9);
    assert_eq!(problems, [Problem::OptionLength { code, length }; 2]);
}

#[test]
fn an_interface_must_be_there_before_what_is_of_it() {
    let problem = |interface, declared| Problem::Interface {
        interface,
        declared,
    };
    let problems = wrong_with(|file| file.frame(u32::MAX, 0, b"a", &[]));
    assert_eq!(problems, [problem(u32::MAX, 1); 2]);
    let problems = wrong_with(|file| file.obsolete(1, 0, b"a", &[]));
    assert_eq!(problems, [problem(1, 1); 2]);
    let problems = wrong_with(|file| file.statistics(1, &[]));
    assert_eq!(problems, [problem(1, 1); 2]);
    for order in ORDERS {
        let mut file = PcapNg::new(order);
        file.section(&[]);
        file.simple(0, b"");
        let (_, malformed) = blocks_until_wrong(&file.bytes);
        assert_eq!(malformed.unwrap().problem, problem(0, 0));
    }
}

#[test]
fn a_time_must_be_one_that_nanoseconds_can_tell() {
    let units = u64::MAX;
    let problems = wrong_with(|file| file.frame(0, units, b"a", &[]));
    assert_eq!(problems, [Problem::Time { units }; 2]);
}

#[test]
fn a_section_must_have_a_byte_order() {
    let problems = wrong_with(|file| {
        let order = file.order;
        let offset = file.bytes.len();
        file.section(&[]);
        let magic = order.u32(0x1a2b_3c4e);
        file.bytes[offset + 8..offset + 12].copy_from_slice(&magic);
    });
    let expected = [0x4e3c_2b1a, 0x1a2b_3c4e].map(Problem::ByteOrder);
    assert_eq!(problems, expected);
}

/// Every problem is told in one lower-case line without a full stop.
#[test]
fn problems_are_described_in_words() {
    let told = |problem: Problem| Malformed { offset: 9, problem }.to_string();
    let (length, left) = (92, 40);
    for (part, name) in [(Part::Block, "block"), (Part::Record, "record")] {
        assert_eq!(
            told(Problem::Cut { part, length, left }),
            format!("byte 9: the {name} has a length of 92 bytes, but only 40 are left")
        );
        assert_eq!(
            told(Problem::Begun(part)),
            format!("byte 9: the file ends before the length of the {name}")
        );
        let most = 64;
        assert_eq!(
            told(Problem::TooLong { part, length, most }),
            format!("byte 9: the {name} has a length of 92 bytes, more than the maximum of 64")
        );
    }
    assert_eq!(
        told(Problem::Header { length: 24 }),
        "byte 9: the file ends within its header, which is 24 bytes long"
    );
    assert_eq!(
        told(Problem::ByteOrder(0x12)),
        "byte 9: the section's byte-order magic 0x00000012 is invalid"
    );
    assert_eq!(
        told(Problem::Length(13)),
        "byte 9: the block has a length of 13 bytes, which is not a multiple of 4 of at least 12"
    );
    let (length, trailer) = (12, 16);
    assert_eq!(
        told(Problem::Trailer { length, trailer }),
        "byte 9: the block has a length of 12 bytes at its start, but 16 at its end"
    );
}
