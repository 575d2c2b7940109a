//! pcapng, as draft-ietf-opsawg-pcapng lays it out.

use rstproof_core::file::{Block, Format, Frame, Interface, Reader, Section, Statistics};
use rstproof_core::time::Timestamp;

use crate::layout::{ORDERS, Order, PcapNg};
use crate::{blocks, frames, wrong};

const COMMENT: u16 = 1;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

#[test]
fn every_block_is_read_in_both_byte_orders() {
    for order in ORDERS {
        let mut file = PcapNg::new(order);
        file.section(&[
            (2, b"hardware"),
            (3, b"os"),
            (4, b"program"),
            (COMMENT, b"s"),
        ]);
        file.interface(
            113,
            96,
            &[(2, b"eth0"), (11, b"\0tcp port 80"), (COMMENT, b"i")],
        );
        let options: [(u16, &[u8]); 3] = [(COMMENT, b"1"), (2, &[0; 4]), (COMMENT, b"2")];
        file.frame(0, 1_700_000_000_123_456, b"frame", &options);
        file.obsolete(0, 2, b"obsolete", &[(COMMENT, b"3")]);
        file.simple(6, b"simple");
        let (received, dropped) = (order.u64(1 << 40 | 3), order.u64(1 << 33));
        let options: [(u16, &[u8]); 3] = [(4, &received), (5, &dropped), (COMMENT, b"4")];
        file.statistics(0, &options);

        let frame = |ns, captured: &'static [u8], comments: &[&'static str]| {
            Block::Frame(Frame {
                interface: 0,
                at: Timestamp(ns),
                wire_len: u32::try_from(captured.len()).unwrap(),
                captured,
                comments: comments.iter().map(|comment| (*comment).into()).collect(),
            })
        };
        let expected = [
            Block::Section(Section {
                os: Some("os".into()),
                application: Some("program".into()),
                comments: vec!["s".into()],
            }),
            Block::Interface(Interface {
                link: 113,
                snaplen: 96,
                name: Some("eth0".into()),
                filter: Some("tcp port 80".into()),
                comments: vec!["i".into()],
            }),
            frame(1_700_000_000_123_456_000, b"frame", &["1", "2"]),
            frame(2_000, b"obsolete", &["3"]),
            frame(0, b"simple", &[]),
            Block::Statistics(Statistics {
                interface: 0,
                received: Some(1 << 40 | 3),
                dropped: Some(1 << 33),
                times: [None; 2],
                comments: vec!["4".into()],
            }),
        ];
        assert_eq!(blocks(&file.bytes), expected, "{order:?}");
        let reader = Reader::new(&file.bytes).unwrap();
        assert_eq!(reader.format(), Format::PcapNg);
    }
}

/// The draft numbers interfaces within their section, the reader through the file.
#[test]
fn sections_have_byte_orders_and_interfaces_of_their_own() {
    let mut file = PcapNg::with_interface(Order::Little, &[(IF_TSRESOL, &[9])]);
    file.interface(1, 0, &[]);
    file.frame(0, 5, b"a", &[]);
    file.frame(1, 5, b"b", &[]);
    file.order = Order::Big;
    file.section(&[]);
    file.interface(1, 0, &[(IF_TSRESOL, &[3])]);
    file.frame(0, 5, b"c", &[]);
    file.statistics(0, &[]);
    file.section(&[]);
    file.section(&[]);
    file.interface(1, 0, &[]);
    file.simple(1, b"d");
    file.obsolete(0, 5, b"e", &[]);
    let seen: Vec<_> = frames(&file.bytes)
        .iter()
        .map(|frame| (frame.captured[0], frame.interface, frame.at.0))
        .collect();
    let expected = [
        (b'a', 0, 5),
        (b'b', 1, 5_000),
        (b'c', 2, 5_000_000),
        (b'd', 3, 0),
        (b'e', 3, 5_000),
    ];
    assert_eq!(seen, expected);
    let counted = blocks(&file.bytes)
        .into_iter()
        .find_map(|block| match block {
            Block::Statistics(statistics) => Some(statistics.interface),
            _ => None,
        });
    assert_eq!(counted, Some(2));
    assert_eq!(
        blocks(&file.bytes)
            .iter()
            .filter(|block| matches!(block, Block::Interface(_)))
            .count(),
        4
    );

    // The second interface of the first section is not one of the second section.
    let mut file = PcapNg::with_interface(Order::Little, &[]);
    file.interface(1, 0, &[]);
    file.section(&[]);
    file.interface(1, 0, &[]);
    let offset = file.bytes.len();
    file.frame(1, 5, b"a", &[]);
    assert_eq!(
        wrong(&file.bytes),
        format!("byte {offset}: interface 1 is not among the 1 described in the section so far")
    );
}

/// 4.4: as much of the frame as the first interface keeps of any; 0 is no limit.
#[test]
fn the_snapshot_length_cuts_simple_packets() {
    for order in ORDERS {
        for (snaplen, captured) in [(0, "abcdef"), (5, "abcde"), (6, "abcdef"), (9, "abcdef")] {
            let mut file = PcapNg::new(order);
            file.section(&[]);
            file.interface(1, snaplen, &[]);
            file.simple(6, captured.as_bytes());
            let frames = frames(&file.bytes);
            assert_eq!(frames[0].captured, captured.as_bytes());
            assert_eq!(frames[0].wire_len, 6);
        }
    }
}

#[test]
fn unknown_blocks_and_options_are_skipped() {
    for order in ORDERS {
        let mut file = PcapNg::new(order);
        file.section(&[(0x8001, b"local")]);
        file.block(4, &[0; 8]); // name resolution
        file.block(10, &[0xff; 16]); // decryption secrets
        file.block(0xbad, b"12345678"); // custom
        file.block(0x8000_0001, &[]); // local use
        file.interface(1, 0, &[(15, b"hardware"), (2988, b"\0\0\0\0text")]);
        file.frame(0, 0, b"a", &[(5, &[0; 8]), (7, b"\x01verdict")]);
        file.statistics(0, &[(6, &[0; 8]), (8, &[0; 8])]); // isb_filteraccept, isb_usrdeliv
        let blocks = blocks(&file.bytes);
        assert_eq!(blocks.len(), 4);
        assert_eq!(blocks[0], Block::Section(Section::default()));
        assert_eq!(blocks[3], Block::Statistics(Statistics::default()));
    }
}

/// 4.6, `isb_starttime` and `isb_endtime`: two words each, the upper one first, in the units of the interface.
#[test]
fn statistics_say_when_the_capture_began_and_ended() {
    for order in ORDERS {
        let mut file = PcapNg::with_interface(order, &[]);
        let at = |units: u32| {
            let words = match order {
                Order::Little => [0_u32.to_le_bytes(), units.to_le_bytes()],
                Order::Big => [0_u32.to_be_bytes(), units.to_be_bytes()],
            };
            words.concat()
        };
        file.statistics(0, &[(2, &at(7)), (3, &at(9))]);
        let Block::Statistics(statistics) = &blocks(&file.bytes)[2] else {
            panic!()
        };
        let times = [7_000, 9_000].map(|ns| Some(Timestamp(ns)));
        assert_eq!(statistics.times, times);
    }
}

/// 4.2, `if_tsresol`: a power of 10, or with the upper bit one of 2; microseconds where there is none.
#[test]
fn the_resolution_of_times_is_the_interfaces() {
    for order in ORDERS {
        for (resolution, units, ns) in [
            (None, 1_500_000, 1_500_000_000),
            (Some(6), 1_500_000, 1_500_000_000),
            (Some(9), 1_500_000_001, 1_500_000_001),
            (Some(0), 1_700_000_000, 1_700_000_000_000_000_000),
            (Some(12), 1_500_999, 1_500),
            (Some(127), u64::MAX, 0),
            (Some(0x8a), 1_536, 1_500_000_000),
            (Some(0xc0), 3 << 62, 750_000_000),
            (Some(0xff), u64::MAX, 0),
        ] {
            let value = resolution.map(|byte| [byte]);
            let options: Vec<(u16, &[u8])> = value
                .iter()
                .map(|byte| (IF_TSRESOL, byte.as_slice()))
                .collect();
            let mut file = PcapNg::with_interface(order, &options);
            file.frame(0, units, b"a", &[]);
            assert_eq!(frames(&file.bytes)[0].at, Timestamp(ns), "{resolution:?}");
        }
    }
}

/// 4.2, `if_tsoffset`: seconds, signed.
#[test]
fn the_offset_of_times_is_added() {
    for order in ORDERS {
        for (offset, ns) in [
            (1_700_000_000_i64, 1_700_000_000_000_002_000),
            (-1, -999_998_000),
            (0, 2_000),
        ] {
            let value = order.u64(offset.cast_unsigned());
            let mut file = PcapNg::with_interface(order, &[(IF_TSOFFSET, &value)]);
            file.frame(0, 2, b"a", &[]);
            assert_eq!(frames(&file.bytes)[0].at, Timestamp(ns));
        }
    }
}

/// 4.1: the length of a section may be unknown. Its blocks say where it ends.
#[test]
fn the_length_of_a_section_does_not_matter() {
    for length in [-1, 0, 20, 4_000, i64::MAX, i64::MIN] {
        let mut file = PcapNg::new(Order::Big);
        file.section_of(1, 0, length, &[]);
        file.interface(1, 0, &[]);
        file.frame(0, 0, b"a", &[]);
        file.section(&[]);
        assert_eq!(blocks(&file.bytes).len(), 4);
    }
}

#[test]
fn another_version_is_an_error() {
    for (major, minor, known) in [
        (1, 0, true),
        (1, 2, true),
        (1, 1, false),
        (2, 0, false),
        (0, 0, false),
    ] {
        let mut file = PcapNg::new(Order::Big);
        file.section(&[]);
        let offset = file.bytes.len();
        file.section_of(major, minor, -1, &[]);
        if known {
            assert_eq!(blocks(&file.bytes).len(), 2);
        } else {
            let expected =
                format!("byte {offset}: version {major}.{minor} of the format is not supported");
            assert_eq!(wrong(&file.bytes), expected);
        }
    }
}

/// 3.5: a NUL ends a text, with or without bytes behind it.
#[test]
fn texts_end_at_a_nul_and_are_utf_8_or_made_so() {
    let mut file = PcapNg::with_interface(Order::Little, &[(11, b"\x01bytecode")]);
    let comments: [(u16, &[u8]); 5] = [
        (COMMENT, "é\r\n".as_bytes()),
        (COMMENT, b"a\0b"),
        (COMMENT, b"\0"),
        (COMMENT, b""),
        (COMMENT, b"a\xffb"),
    ];
    file.frame(0, 0, b"a", &comments);
    let frames = frames(&file.bytes);
    assert_eq!(frames[0].comments, ["é\r\n", "a", "", "", "a\u{fffd}b"]);
    let Block::Interface(interface) = &blocks(&file.bytes)[1] else {
        panic!("no interface")
    };
    assert_eq!(interface.filter, None, "a filter that is not a text");
}

/// 3.5: options end with the block if nothing says so before.
#[test]
fn options_need_no_end_and_nothing_counts_behind_it() {
    let one = [0, 1, 0, 3, b'o', b'n', b'e', 0];
    let end = [0, 0, 0, 0];
    for (options, comments) in [
        (one.to_vec(), &["one"][..]),
        ([one, one].concat(), &["one", "one"]),
        ([&one[..], &end, &one].concat(), &["one"]),
        ([&end[..], &one].concat(), &[]),
        (end.to_vec(), &[]),
    ] {
        let mut file = PcapNg::with_interface(Order::Big, &[]);
        let mut body = vec![0; 4];
        body.extend(file.packet(0, 1, b"a", &[]));
        body.extend(options);
        file.block(6, &body);
        assert_eq!(frames(&file.bytes)[0].comments, comments);
    }
}
