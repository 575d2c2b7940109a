//! Classic pcap, as draft-ietf-opsawg-pcap lays it out.

use rstproof_core::file::{Block, Format, Frame, Interface, Reader, Section};
use rstproof_core::time::Timestamp;

use crate::layout::{ORDERS, Order, Pcap};
use crate::{blocks, frames, wrong};

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

#[test]
fn both_byte_orders_and_both_units_are_read() {
    for order in ORDERS {
        for (magic, ns) in [(MICROSECONDS, 500_000_000_000), (NANOSECONDS, 500_000_000)] {
            let mut file = Pcap::new(order, magic, (2, 4), 113);
            file.record((7, 500_000_000), (3, 99), b"abc");
            file.record((u32::MAX, 0), (0, 0), b"");
            let interface = Interface {
                link: 113,
                snaplen: 262_144,
                ..Interface::default()
            };
            let frame = |at, wire_len, captured| {
                Block::Frame(Frame {
                    interface: 0,
                    at: Timestamp(at),
                    wire_len,
                    captured,
                    comments: Vec::new(),
                })
            };
            let expected = [
                Block::Section(Section::default()),
                Block::Interface(interface),
                frame(7_000_000_000 + ns, 99, b"abc".as_slice()),
                frame(4_294_967_295_000_000_000, 0, b""),
            ];
            assert_eq!(blocks(&file.bytes), expected, "{order:?} {magic:x}");
            let reader = Reader::new(&file.bytes).unwrap();
            assert_eq!(reader.format(), Format::Pcap);
        }
    }
}

/// The upper bits say how long the frame check sequence is, if at all.
#[test]
fn the_link_type_is_the_lower_half_of_its_field() {
    for field in [1, 0x2400_0001, 0xffff_0001] {
        let file = Pcap::new(Order::Little, MICROSECONDS, (2, 4), field);
        let Block::Interface(interface) = &blocks(&file.bytes)[1] else {
            panic!("no interface")
        };
        assert_eq!(interface.link, 1);
    }
}

/// Programs before version 2.4 did not agree which of the two comes first.
#[test]
fn the_captured_length_of_an_old_file_is_the_smaller_one() {
    for (minor, lengths) in [(2, (9, 3)), (3, (9, 3)), (3, (3, 9)), (4, (3, 9))] {
        let mut file = Pcap::new(Order::Big, MICROSECONDS, (2, minor), 1);
        file.record((0, 0), lengths, b"abc");
        let frames = frames(&file.bytes);
        assert_eq!(frames[0].captured, b"abc");
        assert_eq!(frames[0].wire_len, 9);
    }
}

#[test]
fn another_version_is_an_error() {
    for version in [(1, 0), (3, 0), (512, 1024)] {
        let file = Pcap::new(Order::Little, MICROSECONDS, version, 1);
        assert_eq!(
            wrong(&file.bytes),
            format!(
                "byte 0: version {}.{} of the format is not supported",
                version.0, version.1
            )
        );
    }
}

#[test]
fn a_frame_longer_than_the_file_is_an_error() {
    let mut file = Pcap::new(Order::Little, MICROSECONDS, (2, 4), 1);
    file.record((0, 0), (3, 3), b"abc");
    file.record((0, 0), (u32::MAX, u32::MAX), b"abc");
    assert_eq!(
        wrong(&file.bytes),
        "byte 43: the record has a length of 4294967311 bytes, but only 19 are left"
    );
}
