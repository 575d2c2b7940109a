//! Tests of frames built by etherparse, or by hand where it has no builder, and of what they decode to.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::err::Layer;
use etherparse::{
    LaxNetSlice, LaxSlicedPacket, PacketBuilder, PacketBuilderStep, TcpOptionElement as Opt,
    VlanId, ether_type,
};
use proptest::prelude::*;

use super::*;

const CLIENT: u16 = 40_000;
const SERVER: u16 = 8080;
const AT: Timestamp = Timestamp(7);

// Sequence numbers and flags

#[test]
fn sequence_numbers_are_compared_by_the_sign_of_their_difference() {
    let after = |a: u32, b: u32| SeqNum(a).is_after(SeqNum(b));
    for base in [0, 1, 1 << 31, u32::MAX] {
        let ahead = |by: u32| base.wrapping_add(by);
        assert!(!after(base, base));
        assert!(after(ahead(1), base) && !after(base, ahead(1)));
        let furthest = (1 << 31) - 1;
        assert!(after(ahead(furthest), base) && !after(base, ahead(furthest)));
        assert!(!after(ahead(furthest + 2), base) && after(base, ahead(furthest + 2)));
        // Half-way round each lies before the other, as in Linux: (s32)(a - b) < 0.
        assert!(SeqNum(ahead(1 << 31)).is_before(SeqNum(base)));
        assert!(SeqNum(base).is_before(SeqNum(ahead(1 << 31))));
    }
}

#[test]
fn sequence_numbers_wrap() {
    assert_eq!(SeqNum(u32::MAX).plus(1), SeqNum(0));
    assert_eq!(SeqNum(u32::MAX - 1).plus(5), SeqNum(3));
    assert_eq!(SeqNum(3).relative_to(SeqNum(u32::MAX - 1)), 5);
    assert_eq!(SeqNum(0).relative_to(SeqNum(1)), u32::MAX);
}

#[test]
fn flags_are_shown_by_tcpdumps_letters() {
    let shown = |flags: &[Flags]| {
        flags
            .iter()
            .fold(Flags::default(), |all, flag| all.and(*flag))
            .to_string()
    };
    assert_eq!(shown(&[]), "none");
    assert_eq!(shown(&[Flags::SYN]), "S");
    assert_eq!(shown(&[Flags::SYN, Flags::ACK]), "S.");
    assert_eq!(shown(&[Flags::RST, Flags::ACK]), "R.");
    assert_eq!(shown(&[Flags::FIN, Flags::PSH, Flags::ACK]), "FP.");
    assert_eq!(Flags(0xff).to_string(), "FSRP.UEW");
    let both = Flags::SYN.and(Flags::ACK);
    assert!(both.has(Flags::SYN) && both.has(both) && !both.has(Flags::RST));
    assert!(!Flags::SYN.has(both));
}

#[test]
fn syn_and_fin_take_up_a_number_each() {
    let len = |flags: Flags| {
        let mut segment = tcp(v4().tcp(CLIENT, SERVER, u32::MAX, 0), b"abc");
        segment.flags = flags;
        (segment.seq_len(), segment.seq_end())
    };
    assert_eq!(len(Flags::ACK), (3, SeqNum(2)));
    assert_eq!(len(Flags::SYN), (4, SeqNum(3)));
    assert_eq!(len(Flags::FIN), (4, SeqNum(3)));
    assert_eq!(len(Flags::SYN.and(Flags::FIN)), (5, SeqNum(4)));
}

#[test]
fn the_highest_sack_block_is_found_across_zero() {
    let edge = |blocks: &[(u32, u32)]| {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|(l, r)| (SeqNum(*l), SeqNum(*r)))
            .collect();
        SackBlocks::new(&blocks).right_edge()
    };
    assert_eq!(edge(&[]), None);
    assert_eq!(edge(&[(1, 2), (5, 6), (3, 4)]), Some(SeqNum(6)));
    assert_eq!(edge(&[(u32::MAX - 3, u32::MAX), (0, 2)]), Some(SeqNum(2)));
    let five = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)];
    assert_eq!(edge(&five), Some(SeqNum(8)));
}

// TCP

#[test]
fn a_segment_over_ipv4() {
    let syn_ack = v4().tcp(CLIENT, SERVER, 77, 512).syn().ack(99);
    let segment = tcp(syn_ack, b"hello");
    assert_eq!((segment.frame, segment.at), (3, AT));
    assert_eq!(segment.source, "127.7.0.1:40000".parse().unwrap());
    assert_eq!(segment.destination, "127.7.0.2:8080".parse().unwrap());
    assert_eq!(segment.flags, Flags::SYN.and(Flags::ACK));
    assert_eq!((segment.seq, segment.ack), (SeqNum(77), SeqNum(99)));
    assert_eq!((segment.window, segment.payload_len), (512, 5));
    assert_eq!(segment.timestamps, None);
    assert_eq!(segment.sack, SackBlocks::default());
}

#[test]
fn a_segment_over_ipv6() {
    let segment = tcp(v6().tcp(SERVER, CLIENT, 1, 2).rst(), &[]);
    assert_eq!(segment.source, "[::1]:8080".parse().unwrap());
    assert_eq!(segment.destination, "[fd00::2]:40000".parse().unwrap());
    assert_eq!((segment.flags, segment.payload_len), (Flags::RST, 0));
}

#[test]
fn every_flag_is_read() {
    let all = v4()
        .tcp(1, 2, 3, 4)
        .fin()
        .syn()
        .rst()
        .psh()
        .ack(0)
        .urg(0)
        .ece()
        .cwr();
    assert_eq!(tcp(all, &[]).flags, Flags(0xff));
    assert_eq!(tcp(v4().tcp(1, 2, 3, 4), &[]).flags, Flags(0));
}

#[test]
fn the_ack_field_is_there_whether_or_not_it_counts() {
    let mut bytes = frame(v4().tcp(1, 2, 3, 4).rst(), &[]);
    bytes[ETHERNET + IPV4 + 8..][..4].copy_from_slice(&[0, 0, 0, 9]);
    let segment = segment_of(decode(Link::Ethernet, 3, AT, &bytes));
    assert_eq!((segment.flags, segment.ack), (Flags::RST, SeqNum(9)));
}

#[test]
fn options_are_read() {
    let options = |options: &[Opt]| {
        let step = v4()
            .tcp(CLIENT, SERVER, 1, 2)
            .ack(3)
            .options(options)
            .unwrap();
        let segment = tcp(step, b"xy");
        assert_eq!(segment.payload_len, 2);
        (segment.timestamps.is_some(), segment.sack)
    };
    let blocks = |blocks: &[(u32, u32)]| {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|(l, r)| (SeqNum(*l), SeqNum(*r)))
            .collect();
        SackBlocks::new(&blocks)
    };
    let time = Opt::Timestamp(1, 2);
    let pad = Opt::Noop;
    let none = SackBlocks::default();
    assert_eq!(
        options(&[pad.clone(), pad.clone(), time.clone()]),
        (true, none)
    );
    let syn = [
        Opt::MaximumSegmentSize(65_495),
        Opt::SelectiveAcknowledgementPermitted,
        time.clone(),
    ];
    assert_eq!(options(&syn), (true, none));
    let one = Opt::SelectiveAcknowledgement((5, 7), [None; 3]);
    assert_eq!(
        options(std::slice::from_ref(&one)),
        (false, blocks(&[(5, 7)]))
    );
    assert_eq!(
        options(&[pad, time.clone(), one]),
        (true, blocks(&[(5, 7)]))
    );
    let four = Opt::SelectiveAcknowledgement((1, 2), [Some((3, 4)), Some((5, 6)), Some((7, 8))]);
    assert_eq!(
        options(&[four]),
        (false, blocks(&[(1, 2), (3, 4), (5, 6), (7, 8)]))
    );
}

#[test]
fn options_after_an_invalid_one_are_ignored_and_the_header_is_kept() {
    let timestamps = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    for garbage in [
        [5, 0],   // a length that would not move on
        [5, 255], // longer than the header
        [8, 3],   // timestamps are ten long
        [99, 1],
    ] {
        let raw = [&garbage[..], &timestamps].concat();
        let step = v4()
            .tcp(CLIENT, SERVER, 5, 6)
            .ack(7)
            .options_raw(&raw)
            .unwrap();
        let segment = tcp(step, b"z");
        assert_eq!(segment.timestamps, None, "{garbage:?}");
        assert_eq!((segment.seq, segment.payload_len), (SeqNum(5), 1));
    }
    // Bytes after the end of the list are not options.
    let raw = [&[0, 0][..], &timestamps].concat();
    let step = v4().tcp(CLIENT, SERVER, 5, 6).options_raw(&raw).unwrap();
    assert_eq!(tcp(step, &[]).timestamps, None);
}

#[test]
fn vlan_tags_are_looked_through() {
    let tagged = |step: PacketBuilderStep<etherparse::VlanHeader>| {
        let step = step
            .ipv4([127, 7, 0, 1], [127, 7, 0, 2], 64)
            .tcp(CLIENT, SERVER, 5, 6);
        tcp(step, b"abc")
    };
    let vlan = |id: u16| VlanId::try_new(id).unwrap();
    let one = tagged(PacketBuilder::ethernet2([0; 6], [0; 6]).single_vlan(vlan(7)));
    let two = tagged(PacketBuilder::ethernet2([0; 6], [0; 6]).double_vlan(vlan(7), vlan(8)));
    let none = tcp(v4().tcp(CLIENT, SERVER, 5, 6), b"abc");
    assert_eq!([one, two], [none, none]);
}

#[test]
fn the_linux_cooked_header_is_looked_through() {
    for bytes in [
        frame(v4().tcp(CLIENT, SERVER, 5, 6).ack(7), b"abc"),
        frame(v6().tcp(CLIENT, SERVER, 5, 6).ack(7), b"abc"),
    ] {
        let cooked = decode(Link::LinuxCooked, 3, AT, &cooked(&bytes));
        assert_eq!(cooked, decode(Link::Ethernet, 3, AT, &bytes));
        assert_eq!(segment_of(cooked).payload_len, 3);
    }
}

#[test]
fn link_types_have_their_numbers() {
    for link in Link::ALL {
        assert_eq!(Link::from_number(link.number().into()), Some(link));
    }
    let numbers = [
        0, 1, 9, 50, 101, 104, 105, 108, 113, 117, 127, 228, 229, 239, 258, 276,
    ];
    assert_eq!(Link::ALL.map(Link::number), numbers);
    assert_eq!([12, 14].map(Link::from_number), [Some(Link::Raw); 2]);
    assert_eq!([13, 277, 65_536, -1].map(Link::from_number), [None; 4]);
    assert_eq!(
        [1, 113].map(Link::of_trial),
        [Some(Link::Ethernet), Some(Link::LinuxCooked)]
    );
    assert_eq!([0, 12, 101, 276, -1].map(Link::of_trial), [None; 5]);
}

// Truncated frames and false lengths

#[test]
fn the_payload_length_is_from_the_ip_header_not_the_captured_length() {
    let options = [Opt::Timestamp(1, 2)];
    let payload = [7; 1000];
    let over = |ip: fn() -> PacketBuilderStep<etherparse::IpHeaders>| {
        let step = ip().tcp(CLIENT, SERVER, 5, 6).options(&options).unwrap();
        frame(step, &payload)
    };
    for (bytes, header) in [
        (over(v4), ETHERNET + IPV4 + 32),
        (over(v6), ETHERNET + IPV6 + 32),
    ] {
        let whole = decode(Link::Ethernet, 3, AT, &bytes);
        assert_eq!(segment_of(whole).payload_len, 1000);
        for snapped in header..bytes.len() {
            assert_eq!(
                decode(Link::Ethernet, 3, AT, &bytes[..snapped]),
                whole,
                "{snapped}"
            );
        }
        for snapped in 0..header {
            assert_eq!(
                decode(Link::Ethernet, 3, AT, &bytes[..snapped]),
                Packet::Other,
                "{snapped}"
            );
        }
    }
}

#[test]
fn every_kind_of_frame_may_be_cut_anywhere() {
    for bytes in [
        frame(v4().tcp(CLIENT, SERVER, 5, 6), b"abc"),
        frame(v6().tcp(CLIENT, SERVER, 5, 6), b"abc"),
        frame_of_udp(b"12345678"),
        icmp_v4(3, &quoted_v4(ip_number::TCP.0, 20)),
        icmp_v6(1, &quoted_v6(20)),
    ] {
        for snapped in 0..bytes.len() {
            let _ = decode(Link::Ethernet, 1, AT, &bytes[..snapped]);
            let _ = decode(Link::LinuxCooked, 1, AT, &cooked(&bytes)[..snapped]);
        }
    }
}

#[test]
fn a_wrong_ipv4_length_is_used_only_if_the_headers_fit() {
    let total_len = |total: u16| {
        let mut bytes = frame(v4().tcp(CLIENT, SERVER, 5, 6), b"abc");
        bytes[ETHERNET + 2..][..2].copy_from_slice(&total.to_be_bytes());
        match decode(Link::Ethernet, 3, AT, &bytes) {
            Packet::Tcp(segment) => Some(segment.payload_len),
            _ => None,
        }
    };
    assert_eq!(total_len(43), Some(3));
    assert_eq!(total_len(u16::MAX), Some(65_495));
    assert_eq!(total_len(42), Some(2)); // the rest is the trailer of the frame
    assert_eq!(total_len(40), Some(0));
    for too_short in [39, 20, 19, 1, 0] {
        assert_eq!(total_len(too_short), None, "{too_short}");
    }
}

#[test]
fn a_wrong_ipv6_length_is_used_only_if_the_headers_fit() {
    let payload_len = |len: u16| {
        let mut bytes = frame(v6().tcp(CLIENT, SERVER, 5, 6), b"abc");
        bytes[ETHERNET + 4..][..2].copy_from_slice(&len.to_be_bytes());
        match decode(Link::Ethernet, 3, AT, &bytes) {
            Packet::Tcp(segment) => Some(segment.payload_len),
            _ => None,
        }
    };
    assert_eq!(payload_len(23), Some(3));
    assert_eq!(payload_len(u16::MAX), Some(65_515));
    assert_eq!(payload_len(20), Some(0));
    for too_short in [19, 1, 0] {
        assert_eq!(payload_len(too_short), None, "{too_short}");
    }
}

#[test]
fn a_wrong_tcp_header_length_is_no_segment() {
    for words in 0..16_u8 {
        let mut bytes = frame(v4().tcp(CLIENT, SERVER, 5, 6), b"abc");
        bytes[ETHERNET + IPV4 + 12] = words << 4;
        let packet = decode(Link::Ethernet, 3, AT, &bytes);
        assert_eq!(
            matches!(packet, Packet::Tcp(_)),
            words == 5,
            "{words} words"
        );
    }
}

#[test]
fn ipv6_extension_headers_are_no_payload() {
    let mut bytes = frame(v6().tcp(CLIENT, SERVER, 5, 6), b"abc");
    let hop_by_hop = [6, 0, 1, 4, 0, 0, 0, 0]; // next header TCP, eight bytes, PadN
    bytes[ETHERNET + 6] = 0;
    bytes[ETHERNET + 5] += 8;
    bytes.splice(ETHERNET + IPV6..ETHERNET + IPV6, hop_by_hop);
    let segment = segment_of(decode(Link::Ethernet, 3, AT, &bytes));
    assert_eq!((segment.seq, segment.payload_len), (SeqNum(5), 3));
}

#[test]
fn a_later_fragment_is_no_segment() {
    let mut bytes = frame(v4().tcp(CLIENT, SERVER, 5, 6), b"abc");
    bytes[ETHERNET + 7] = 3; // offset 24
    assert_eq!(decode(Link::Ethernet, 3, AT, &bytes), Packet::Other);
}

// ICMP

#[test]
fn icmp_errors_name_the_connection_that_they_are_about() {
    // RFC 792: as few as eight bytes of the segment are quoted.
    for (kind, quoted) in [(3, 8), (3, 20), (3, 4), (4, 8), (5, 8), (11, 8), (12, 8)] {
        let bytes = icmp_v4(kind, &quoted_v4(ip_number::TCP.0, quoted));
        let error = Packet::Icmp(IcmpError {
            frame: 3,
            at: AT,
            tap: Tap::Both,
            source: Ipv4Addr::new(127, 7, 0, 1).into(),
            kind,
            code: 1,
            quoted_source: "10.0.0.1:40000".parse().unwrap(),
            quoted_destination: "10.0.0.2:8080".parse().unwrap(),
            quoted_seq: (quoted >= 8).then_some(SeqNum(5)),
        });
        assert_eq!(decode(Link::Ethernet, 3, AT, &bytes), error, "{kind}");
    }
}

#[test]
fn icmpv6_errors_name_the_connection_that_they_are_about() {
    for (kind, quoted) in [(1, 8), (1, 20), (2, 8), (3, 8), (4, 8), (127, 8)] {
        let bytes = icmp_v6(kind, &quoted_v6(quoted));
        let error = Packet::Icmp(IcmpError {
            frame: 3,
            at: AT,
            tap: Tap::Both,
            source: Ipv6Addr::LOCALHOST.into(),
            kind,
            code: 1,
            quoted_source: "[fd00::1]:40000".parse().unwrap(),
            quoted_destination: "[fd00::2]:8080".parse().unwrap(),
            quoted_seq: Some(SeqNum(5)),
        });
        assert_eq!(decode(Link::Ethernet, 3, AT, &bytes), error, "{kind}");
    }
}

#[test]
fn icmp_that_is_no_error_about_tcp_is_something_else() {
    for bytes in [
        icmp_v4(0, &quoted_v4(ip_number::TCP.0, 8)), // echo reply
        icmp_v4(8, &quoted_v4(ip_number::TCP.0, 8)),
        icmp_v6(128, &quoted_v6(8)),
        icmp_v6(255, &quoted_v6(8)),
        icmp_v4(3, &quoted_v4(ip_number::UDP.0, 8)),
        icmp_v4(3, &quoted_v4(ip_number::TCP.0, 3)), // half of the ports
        icmp_v4(3, &quoted_v4(ip_number::TCP.0, 8)[..19]),
        icmp_v4(3, &[]),
        icmp_v6(1, &[0; 40]),
    ] {
        assert_eq!(decode(Link::Ethernet, 3, AT, &bytes), Packet::Other);
    }
}

// Other packets

#[test]
fn a_datagram_shows_its_first_eight_bytes_and_the_next_thirty_two() {
    let begin = |payload: &[u8]| match decode(Link::Ethernet, 3, AT, &frame_of_udp(payload)) {
        Packet::Udp {
            at,
            source,
            mark,
            commitment,
        } => {
            assert_eq!(at, AT);
            assert_eq!(source, "127.7.0.1:40000".parse().unwrap());
            (mark, commitment)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(begin(&[0, 0, 0, 0, 0, 0, 1, 2]), (Some(258), None));
    assert_eq!(
        begin(&[1, 0, 0, 0, 0, 0, 0, 0, 9, 9]),
        (Some(1 << 56), None)
    );
    assert_eq!(begin(&[1; 7]), (None, None));
    assert_eq!(begin(&[]), (None, None));
    let longer = [[0; 8].as_slice(), &[7; 32], &[9]].concat();
    assert_eq!(begin(&longer), (Some(0), Some([7; 32])));
    assert_eq!(begin(&longer[..39]), (Some(0), None));
}

#[test]
fn what_is_not_ip_is_something_else() {
    let mut arp = vec![0xff; 12];
    arp.extend(ether_type::ARP.0.to_be_bytes());
    arp.extend([
        0, 1, 8, 0, 6, 4, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ]);
    let mut unknown = arp.clone();
    unknown[12..14].copy_from_slice(&[0x88, 0xb5]);
    for bytes in [arp, unknown, Vec::new(), vec![0; 14], vec![0xff; 200]] {
        assert_eq!(decode(Link::Ethernet, 3, AT, &bytes), Packet::Other);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for link in Link::ALL {
            let _ = decode(link, 1, AT, &bytes);
        }
    }

    #[test]
    fn no_damage_to_a_frame_makes_it_panic(
        nth in 0..5_usize,
        damage in prop::collection::vec((0..120_usize, any::<u8>()), 1..6),
        snapped in 0..200_usize,
    ) {
        let mut bytes = match nth {
            0 => frame(v4().tcp(CLIENT, SERVER, 5, 6).options(&[Opt::Timestamp(1, 2)]).unwrap(), b"abc"),
            1 => frame(v6().tcp(CLIENT, SERVER, 5, 6), b"abc"),
            2 => icmp_v4(3, &quoted_v4(ip_number::TCP.0, 8)),
            3 => icmp_v6(1, &quoted_v6(8)),
            _ => frame_of_udp(b"12345678"),
        };
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(snapped);
        prop_assert_eq!(headers(&bytes), headers_by_etherparse(&bytes));
    }
}

/// Addresses, protocol and captured payload of an IP packet.
type Headers<'a> = (IpAddr, IpAddr, u8, &'a [u8]);

fn headers(bytes: &[u8]) -> Option<Headers<'_>> {
    let ip = Ip::of(link::packet(Link::Ethernet, bytes)?)?;
    // etherparse parses later fragments as well.
    (ip.part == Part::Whole).then_some((ip.source, ip.destination, ip.protocol, ip.payload))
}

/// Headers according to etherparse, for comparison.
fn headers_by_etherparse(bytes: &[u8]) -> Option<Headers<'_>> {
    let sliced = LaxSlicedPacket::from_ethernet(bytes).ok()?;
    let net = sliced.net?;
    let payload = net.ip_payload_ref()?;
    let (source, destination) = match &net {
        LaxNetSlice::Ipv4(ip) => (
            IpAddr::from(ip.header().source_addr()),
            IpAddr::from(ip.header().destination_addr()),
        ),
        LaxNetSlice::Ipv6(ip) => (
            IpAddr::from(ip.header().source_addr()),
            IpAddr::from(ip.header().destination_addr()),
        ),
        LaxNetSlice::Arp(_) => return None,
    };
    // etherparse ignores a total length that is shorter than the header.
    if matches!(&net, LaxNetSlice::Ipv4(ip) if (1..u16::from(ip.header().ihl()) * 4).contains(&ip.header().total_len()))
    {
        return None;
    }
    // etherparse trusts the version field alone, and returns the rest of a header that is cut.
    let ether_type = match source {
        IpAddr::V4(_) => ether_type::IPV4,
        IpAddr::V6(_) => ether_type::IPV6,
    };
    let is_cut = sliced.stop_err.is_some_and(|(_, layer)| {
        matches!(
            layer,
            Layer::IpAuthHeader
                | Layer::Ipv6ExtHeader
                | Layer::Ipv6DestOptionsHeader
                | Layer::Ipv6RouteHeader
                | Layer::Ipv6FragHeader
        ) || layer == Layer::Ipv6HopByHopHeader && payload.ip_number == IpNumber(bytes[20])
    });
    if is_cut || payload.fragmented || bytes[12..14] != ether_type.0.to_be_bytes() {
        return None;
    }
    Some((source, destination, payload.ip_number.0, payload.payload))
}

// Frames

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;

fn v4() -> PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2([0; 6], [0; 6]).ipv4([127, 7, 0, 1], [127, 7, 0, 2], 64)
}

fn v6() -> PacketBuilderStep<etherparse::IpHeaders> {
    let far = "fd00::2".parse::<Ipv6Addr>().unwrap().octets();
    PacketBuilder::ethernet2([0; 6], [0; 6]).ipv6(Ipv6Addr::LOCALHOST.octets(), far, 64)
}

fn frame(step: PacketBuilderStep<etherparse::TcpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    step.write(&mut bytes, payload).unwrap();
    bytes
}

fn frame_of_udp(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    v4().udp(CLIENT, 9).write(&mut bytes, payload).unwrap();
    bytes
}

/// Frame with the cooked header in place of the Ethernet one.
fn cooked(ethernet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(&ethernet[12..]);
    bytes
}

fn icmp_v4(kind: u8, quoted: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    v4().icmpv4_raw(kind, 1, [0; 4])
        .write(&mut bytes, quoted)
        .unwrap();
    bytes
}

fn icmp_v6(kind: u8, quoted: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    v6().icmpv6_raw(kind, 1, [0; 4])
        .write(&mut bytes, quoted)
        .unwrap();
    bytes
}

/// IP packet that is cut after `transport` bytes of the transport header.
fn quoted_v4(protocol: u8, transport: usize) -> Vec<u8> {
    let step = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    let mut bytes = Vec::new();
    step.tcp(CLIENT, SERVER, 5, 6)
        .write(&mut bytes, b"data")
        .unwrap();
    bytes[9] = protocol;
    bytes.truncate(IPV4 + transport);
    bytes
}

fn quoted_v6(transport: usize) -> Vec<u8> {
    let ends = ["fd00::1", "fd00::2"].map(|ip| ip.parse::<Ipv6Addr>().unwrap().octets());
    let mut bytes = Vec::new();
    let step = PacketBuilder::ipv6(ends[0], ends[1], 64).tcp(CLIENT, SERVER, 5, 6);
    step.write(&mut bytes, b"data").unwrap();
    bytes.truncate(IPV6 + transport);
    bytes
}

fn tcp(step: PacketBuilderStep<etherparse::TcpHeader>, payload: &[u8]) -> Segment {
    segment_of(decode(Link::Ethernet, 3, AT, &frame(step, payload)))
}

fn segment_of(packet: Packet) -> Segment {
    match packet {
        Packet::Tcp(segment) => segment,
        other => panic!("{other:?}"),
    }
}

// Options

/// Returns the timestamps in these options, and the right edge of the selective acknowledgment that reaches furthest.
fn edges(options: &[u8]) -> (Option<TcpTimestamps>, Option<SeqNum>) {
    let (timestamps, sack, _) = wire::TcpOptions::new(options).decode();
    (timestamps, sack.right_edge())
}

/// `tcp_parse_options()` of the Linux kernel reads these options in the same way.
#[test]
fn options_that_are_not_known_are_passed_over() {
    let stamps = [8, 10, 0, 0, 0, 5, 0, 0, 0, 6];
    let expected = Some(TcpTimestamps { value: 5, echo: 6 });
    let md5 = [[1, 1, 19, 18].as_slice(), &[0xaa; 16]].concat();
    for before in [
        &md5[..],
        &[0xfe, 4, 0xf9, 0x89],
        &[29, 4, 1, 2],
        &[2, 4, 5, 180, 3, 3, 7, 4, 2],
        // Timestamps of another length are ignored.
        &[8, 9, 0, 0, 0, 0, 0, 0, 0],
        &[77, 2],
    ] {
        let options = [before, &stamps].concat();
        assert_eq!(edges(&options), (expected, None), "{before:?}");
    }
    let sack = [[5, 10].as_slice(), &[0, 0, 0, 1, 0, 0, 0, 9]].concat();
    let both = [&md5[..], &sack, &stamps].concat();
    assert_eq!(edges(&both), (expected, Some(SeqNum(9))));
    // Parsing stops at an impossible length, which is too short or exceeds the list, and at the end of the list.
    for before in [&[77, 0][..], &[77, 1], &[0], &[77, 200]] {
        let options = [before, &stamps].concat();
        assert_eq!(edges(&options), (None, None), "{before:?}");
    }
    assert_eq!(edges(&[1, 77]), (None, None));
    assert_eq!(edges(&stamps[..9]), (None, None));
}

proptest! {
    /// etherparse reads the same values, as long as it knows all options.
    #[test]
    fn options_are_read_as_etherparse_reads_them(
        bytes in prop::collection::vec(prop_oneof![0..11_u8, any::<u8>()], 0..40),
    ) {
        let (mut stamps, mut edge) = (None, None);
        for option in etherparse::TcpOptionsIterator::from_slice(&bytes) {
            match option {
                Ok(Opt::Timestamp(value, echo)) => stamps = Some(TcpTimestamps { value, echo }),
                Ok(Opt::SelectiveAcknowledgement(first, rest)) => {
                    let rest = rest.into_iter().flatten();
                    let all: Vec<_> = std::iter::once(first).chain(rest).collect();
                    let blocks = all.iter().map(|(left, right)| (SeqNum(*left), SeqNum(*right)));
                    edge = SackBlocks::new(&blocks.collect::<Vec<_>>()).right_edge();
                }
                Ok(_) => {}
                Err(_) => return Ok(()),
            }
        }
        prop_assert_eq!(edges(&bytes), (stamps, edge));
    }
}
