//! What is found in frames of every kind of link, behind every kind of header and inside every kind of tunnel.
//!
//! Wireshark's word on the same frames is asked for in `tests/live/links.rs`.

#![allow(clippy::unwrap_used)] // the lint's exception for tests does not reach functions that tests share

mod by_hand;

use std::net::SocketAddr;

use by_hand::{
    PORTS, SEQ, Sample, V4, V6, datagram, ethernet, fragment, geneve, gre, ipv4, ipv6, outer4,
    outer6, padding, pppoe, samples, tag, tcp, tcp4, tcp6, tunnels, udp, vxlan,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed};
use rstproof_core::packet::ip::{Ip, Part};
use rstproof_core::packet::link::{self, Network, Protocol, Unread, network};
use rstproof_core::packet::tunnel::{Kind, MAX_TUNNEL_DEPTH, inner, innermost, layers};
use rstproof_core::packet::{
    Flags, Link, Packet, SeqNum, decode, decode_inside, decode_ip, decode_payload,
};
use rstproof_core::time::Timestamp;

/// The seed is fixed: the same cases every time.
fn config() -> Config {
    Config {
        cases: 2048,
        rng_seed: RngSeed::Fixed(894),
        failure_persistence: None,
        ..Config::default()
    }
}

const AT: Timestamp = Timestamp(7);

fn link_of(sample: &Sample) -> Link {
    Link::from_number(sample.link.into()).unwrap()
}

fn inside(sample: &Sample, len: usize) -> Packet {
    decode_inside(link_of(sample), 3, AT, &sample.bytes[..len])
}

fn assert_is_segment(packet: Packet, sample: &Sample) {
    let Packet::Tcp(segment) = packet else {
        panic!("{packet:?}: {sample:?}");
    };
    let destination: SocketAddr = match sample.source {
        SocketAddr::V4(_) => (V4.1, PORTS.1).into(),
        SocketAddr::V6(_) => (V6.1, PORTS.1).into(),
    };
    let ends = (segment.source, segment.destination);
    assert_eq!(ends, (sample.source, destination), "{sample:?}");
    let numbers = (segment.seq, segment.ack, segment.flags);
    assert_eq!(numbers, (SeqNum(SEQ), SeqNum(7), Flags::ACK), "{sample:?}");
    assert_eq!(segment.payload_len, sample.payload_len, "{sample:?}");
    assert_eq!((segment.frame, segment.at), (3, AT), "{sample:?}");
}

/// How the packet in the frame is carried, and the ones in it.
fn kinds(link: Link, bytes: &[u8]) -> Vec<Kind> {
    let packet = link::packet(link, bytes).unwrap();
    layers(packet).map(|inner| inner.kind).collect()
}

fn part(packet: &[u8]) -> Option<Part> {
    Ip::of(packet).map(|ip| ip.part)
}

fn is_tcp(packet: &[u8]) -> bool {
    matches!(decode_ip(3, AT, packet), Packet::Tcp(_))
}

// Every sample

#[test]
fn a_segment_is_found_in_every_kind_of_frame() {
    for sample in samples() {
        assert_is_segment(inside(&sample, sample.bytes.len()), &sample);
        let outside = decode(link_of(&sample), 3, AT, &sample.bytes);
        if kinds(link_of(&sample), &sample.bytes).is_empty() {
            assert_is_segment(outside, &sample);
        } else {
            assert!(!matches!(outside, Packet::Tcp(_)), "{sample:?}");
        }
    }
}

#[test]
fn a_frame_may_be_cut_anywhere() {
    for sample in samples() {
        let (needed, all) = (sample.needed, sample.bytes.len());
        for len in needed..=all {
            assert_is_segment(inside(&sample, len), &sample);
        }
        for len in 0..needed {
            let cut = inside(&sample, len);
            assert!(!matches!(cut, Packet::Tcp(_)), "{len}: {sample:?}");
        }
    }
}

#[test]
fn the_protocol_and_range_of_the_packet_are_found() {
    let at = |link, bytes: &[u8]| network(link, bytes);
    let packet = |protocol, from, to| {
        let range = from..to;
        Some(Network { protocol, range })
    };
    let four = ethernet(0x8100, &tag(7, 0x0800, &tcp4()));
    assert_eq!(
        at(Link::Ethernet, &four),
        packet(Protocol::Ipv4, 18, 18 + 43)
    );
    let six = ethernet(0x86dd, &[&tcp6()[..], &[0; 5]].concat());
    assert_eq!(
        at(Link::Ethernet, &six),
        packet(Protocol::Ipv6, 14, 14 + 68)
    );
    // As much as the version is enough.
    assert_eq!(
        at(Link::Ethernet, &six[..15]),
        packet(Protocol::Ipv6, 14, 15)
    );
    assert_eq!(at(Link::Ethernet, &six[..14]), None);
    assert_eq!(at(Link::Raw, &tcp4()), packet(Protocol::Ipv4, 0, 43));
    assert_eq!(link::packet(Link::Raw, &tcp4()), Some(&tcp4()[..]));
}

// Links

#[test]
fn a_packet_must_be_of_the_protocol_that_the_link_header_names() {
    let (four, six) = (&tcp4()[..], &tcp6()[..]);
    let with = |begin: &[u8], packet: &[u8]| [begin, packet].concat();
    let mut nested = tag(8, 0x0800, four);
    for vlan in 0..8 {
        nested = tag(vlan, 0x8100, &nested);
    }
    let macsec = |tci: u8| with(&[tci, 0, 0, 0, 0, 1, 8, 0], four);
    let session = with(&[0, 0x21], four);
    for (link, bytes) in [
        (Link::Ethernet, ethernet(0x0800, six)),
        (Link::Ethernet, ethernet(0x86dd, four)),
        (Link::Ethernet, ethernet(0x0806, four)), // ARP
        (
            Link::Ethernet,
            ethernet(0x8863, &pppoe([0x11, 0], &session)),
        ), // discovery
        (
            Link::Ethernet,
            ethernet(0x8864, &pppoe([0x12, 0], &session)),
        ),
        (
            Link::Ethernet,
            ethernet(0x8864, &pppoe([0x11, 9], &session)),
        ),
        (Link::Ethernet, ethernet(0x8100, &nested)), // nine tags
        (Link::Ethernet, ethernet(0x88e5, &macsec(0x08))),
        (Link::Ethernet, ethernet(0x88e5, &macsec(0x04))),
        (Link::Ethernet, ethernet(0x88e5, &macsec(0x80))),
        (Link::Ethernet, ethernet(43, four)), // IEEE 802.3
        (Link::Ethernet, ethernet(46, &with(&[0x42, 0x42, 3], four))),
        (
            Link::Ethernet,
            ethernet(1501, &with(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], four)),
        ),
        (Link::Ipv4, six.to_vec()),
        (Link::Ipv6, four.to_vec()),
        (Link::Raw, with(&[0x50], four)),
        (Link::Null, with(&[0, 0, 2, 0], four)),
        (Link::Null, with(&[2, 0, 0, 0], six)),
        (Link::Null, with(&[0, 0, 0, 7], four)),
        (Link::Null, with(&[0, 0, 0, 30], four)),
        (Link::Ppp, with(&[0xff, 3, 0xc0, 0x21], four)), // LCP
        (Link::Ppp, with(&[0xff, 3, 0x80, 0x21], four)), // IPCP
        (Link::Ppp, with(&[0, 0x21], six)),
        (Link::Ppp, with(&[0x0f, 0, 8, 0], four)),
        (Link::PppHdlc, with(&[0x0f, 1, 8, 0], four)),
        (Link::PppHdlc, with(&[0x8f, 0, 0x80, 0x35], four)), // SLARP
    ] {
        assert_eq!(network(link, &bytes), None, "{link:?} {bytes:?}");
        assert_eq!(decode(link, 3, AT, &bytes), Packet::Other);
    }
}

#[test]
fn macsec_that_only_signs_is_looked_through() {
    // IEEE 802.1AE, 9.3: control, short length, packet number, and the channel if it is there; the check value at the end.
    let packet = [&tcp4()[..], &[0xee; 16]].concat();
    let short = [&[0, 0, 0, 0, 0, 1, 8, 0][..], &packet].concat();
    let channel = [2, 0, 0, 0, 0, 1, 0, 1];
    let long = [&[0x20, 0, 0, 0, 0, 1][..], &channel, &[8, 0], &packet].concat();
    for bytes in [short, long] {
        let frame = ethernet(0x88e5, &bytes);
        let packet = link::packet(Link::Ethernet, &frame);
        assert!(packet.is_some_and(is_tcp), "{frame:?}");
    }
}

#[test]
fn a_pseudowire_is_distinguished_from_a_packet() {
    let labelled = |inner: &[u8]| ethernet(0x8847, &[&[0, 1, 1, 64], inner].concat());
    // Addresses that begin like IPv4, IPv6, a control word, or none of these (RFC 4928, 3).
    for first in [0x45, 0x60, 0x00, 0x02, 0x1c, 0xf0] {
        let mut frame = ethernet(0x0800, &tcp4());
        // Next header of IPv6: none that packets begin with.
        (frame[0], frame[6]) = (first, 0xfc);
        let packet = labelled(&frame);
        let found = link::packet(Link::Ethernet, &packet);
        assert_eq!(found, Some(&tcp4()[..]), "{first:#x}");
    }
    // Neither bottom of the stack nor packet, and too many labels.
    for bytes in [vec![0, 1, 0, 64], [0, 1, 0, 64].repeat(50)] {
        let frame = ethernet(0x8847, &bytes);
        assert_eq!(network(Link::Ethernet, &frame), None);
    }
}

#[test]
fn pseudowires_in_pseudowires_are_followed_so_deep_and_no_deeper() {
    let step = [&[0, 1, 1, 64, 0, 0, 0, 0][..], &[2; 12], &[0x88, 0x47]].concat();
    let mut frame = [&[2; 12][..], &[0x88, 0x47]].concat();
    frame.extend(step.repeat(1 << 20));
    assert_eq!(network(Link::Ethernet, &frame), None);
}

#[test]
fn the_process_of_a_frame_is_read() {
    let samples = samples();
    let sample = samples.iter().find(|it| it.name == "PKTAP").unwrap();
    let process = link::process(Link::Pktap, &sample.bytes).unwrap();
    assert_eq!((process.pid, process.is_sender), (1_337, true));
    assert_eq!(&process.name[..5], b"curl\0");
    let mut nobody = sample.bytes.clone();
    nobody[52..56].fill(0xff);
    assert_eq!(link::process(Link::Pktap, &nobody), None);
    assert_eq!(link::process(Link::Ethernet, &sample.bytes), None);
}

#[test]
fn a_frame_without_an_ip_packet_has_its_kind() {
    let reason = |link, bytes: &[u8]| link::unread(link, bytes);
    let kind = |number| Some(Unread::EtherType(number));
    let arp = ethernet(0x0806, &[0; 28]);
    assert_eq!(reason(Link::Ethernet, &arp), kind(0x0806));
    let tagged = ethernet(0x8100, &tag(7, 0x88cc, &[0; 28]));
    assert_eq!(reason(Link::Ethernet, &tagged), kind(0x88cc));
    let spanning_tree = ethernet(38, &[0x42, 0x42, 3]);
    assert_eq!(reason(Link::Ethernet, &spanning_tree), kind(0));
    assert_eq!(reason(Link::Ethernet, &ethernet(0x0800, &tcp6())), None);
    assert_eq!(reason(Link::Ethernet, &arp[..13]), None);
    let protected = [&[0x08, 0x41][..], &[0; 40]].concat();
    assert_eq!(reason(Link::Wlan, &protected), Some(Unread::EncryptedWlan));
    let beacon = [&[0x80, 0x00][..], &[0; 40]].concat();
    assert_eq!(reason(Link::Wlan, &beacon), None);
}

// IP

#[test]
fn first_and_later_fragments_are_distinguished() {
    let tcp = &tcp()[..];
    let four = |word| ipv4(V4, 6, word, &[], tcp);
    let six = |word| ipv6(V6, 44, &[&fragment(6, word)[..], tcp].concat());
    for (packet, expected) in [
        (four(0), Part::Whole),
        (four(0x4000), Part::Whole),
        (four(0x8000), Part::Whole), // the bit that is reserved
        (four(0x2000), Part::First),
        (four(0x2001), Part::Later),
        (four(0x0001), Part::Later),
        (four(0x1fff), Part::Later),
        (four(0x1000), Part::Later),
        (six(0), Part::Whole),
        (six(6), Part::Whole), // the bits that are reserved
        (six(1), Part::First),
        (six(9), Part::Later),
        (six(8), Part::Later),
    ] {
        assert_eq!(part(&packet), Some(expected), "{packet:?}");
        assert_eq!(is_tcp(&packet), expected != Part::Later, "{packet:?}");
    }
}

#[test]
fn nothing_is_read_in_a_later_fragment() {
    // What would be headers there is data.
    let data = &[0xff; 40][..];
    for packet in [
        ipv4(V4, 51, 3, &[], data),
        ipv6(V6, 44, &[&fragment(60, 24)[..], data].concat()),
        ipv6(V6, 44, &[&fragment(51, 24)[..], data].concat()),
    ] {
        let ip = Ip::of(&packet).unwrap();
        assert_eq!((ip.part, ip.payload), (Part::Later, data));
        assert_eq!(ip.payload_len, Some(40));
    }
}

#[test]
fn one_fragment_header_does_not_undo_another() {
    let headers = |first, second| {
        let headers = [fragment(44, first), fragment(6, second), tcp()].concat();
        part(&ipv6(V6, 44, &headers))
    };
    assert_eq!(headers(1, 0), Some(Part::First));
    assert_eq!(headers(0, 1), Some(Part::First));
    assert_eq!(headers(1, 8), Some(Part::Later));
    assert_eq!(headers(8, 0), Some(Part::Later));
}

#[test]
fn a_first_fragment_without_the_whole_tcp_header_is_no_segment() {
    let half = &tcp()[..16];
    let four = ipv4(V4, 6, 0x2000, &[], half);
    let six = ipv6(V6, 44, &[&fragment(6, 1)[..], half].concat());
    for packet in [four, six] {
        assert_eq!(part(&packet), Some(Part::First));
        assert_eq!(decode_ip(3, AT, &packet), Packet::Other);
    }
}

#[test]
fn an_icmp_error_about_a_later_fragment_names_no_connection() {
    // Type, code, checksum, unused; then the packet (RFC 792).
    let about = |word| {
        let quoted = ipv4(V4, 6, word, &[], &tcp());
        let message = [&[11, 1, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
        decode_ip(3, AT, &outer4(1, &message))
    };
    assert!(matches!(about(0x2000), Packet::Icmp(_)));
    assert_eq!(about(3), Packet::Other);
}

#[test]
fn invalid_ip_headers_are_rejected() {
    let tcp = &tcp()[..];
    let words = |words: u8| {
        let mut packet = tcp4();
        packet[0] = 0x40 | words;
        packet
    };
    for short in 0..5 {
        assert_eq!(Ip::of(&words(short)), None);
    }
    assert!(Ip::of(&words(10)).is_some());
    assert_eq!(Ip::of(&words(11)), None); // 44 of 43 bytes
    // Hop-by-hop options are first or not there at all (RFC 8200, 4.1).
    let late = [&padding(0, 0)[..], &padding(6, 0), tcp].concat();
    let late = ipv6(V6, 60, &late);
    assert_eq!(Ip::of(&late).unwrap().protocol, 0);
    // An authentication header has three words at least.
    for words in [0, 1] {
        let short = [&[6, words, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1][..], tcp].concat();
        let is_none = |packet: &[u8]| Ip::of(packet).is_none();
        assert_eq!(is_none(&ipv6(V6, 51, &short)), words == 0);
        assert_eq!(is_none(&ipv4(V4, 51, 0, &[], &short)), words == 0);
    }
    // Options that reach further than the packet, which is longer by a trailer.
    let mut longer = ipv6(V6, 60, &padding(6, 1));
    longer[5] = 8;
    assert_eq!(Ip::of(&longer), None);
}

#[test]
fn an_ip_length_of_zero_is_taken_from_the_frame() {
    let mut four = tcp4();
    four[2..4].fill(0);
    let mut six = ipv6(V6, 0, &[&padding(6, 0)[..], &tcp()].concat());
    six[4..6].fill(0);
    for packet in [four, six] {
        let ip = Ip::of(&packet).unwrap();
        assert_eq!((ip.payload_len, ip.payload.len()), (None, 23));
        assert_eq!(decode_ip(3, AT, &packet), Packet::Other);
        for uncaptured in [0, 70_000] {
            match decode_payload(3, AT, &ip.or_to_the_end(uncaptured)) {
                Packet::Tcp(segment) => assert_eq!(segment.payload_len, 3 + uncaptured),
                other => panic!("{other:?}"),
            }
        }
    }
    // Any other is believed.
    let packet = tcp4();
    let ip = Ip::of(&packet).unwrap();
    assert_eq!(ip.or_to_the_end(5), ip);
    for short in 1..20 {
        let mut packet = tcp4();
        packet[3] = short;
        assert_eq!(Ip::of(&packet), None);
    }
}

// Tunnels

#[test]
fn tunnels_are_recognized_by_kind() {
    for sample in tunnels() {
        let kinds = kinds(link_of(&sample), &sample.bytes);
        let expected = match sample.name {
            "four deep" => [Kind::IpInIp, Kind::Vxlan].repeat(2),
            name if name.contains("VXLAN") => vec![Kind::Vxlan],
            name if name.contains("Geneve") => vec![Kind::Geneve],
            name if name.contains("Teredo") => vec![Kind::Teredo],
            name if name.contains("ERSPAN") => vec![Kind::Erspan],
            name if name.contains("GTP") => vec![Kind::GtpU],
            name if name.contains("GRE") => vec![Kind::Gre],
            _ => vec![Kind::IpInIp],
        };
        assert_eq!(kinds, expected, "{sample:?}");
    }
}

#[test]
fn a_tunnel_is_followed_so_deep_and_no_deeper() {
    let mut packet = tcp4();
    for depth in 0..=2 * MAX_TUNNEL_DEPTH {
        assert_eq!(layers(&packet).count(), depth.min(MAX_TUNNEL_DEPTH));
        let is_segment = is_tcp(innermost(&packet));
        assert_eq!(is_segment, depth <= MAX_TUNNEL_DEPTH, "{depth}");
        packet = outer4(4, &packet);
    }
}

#[test]
fn a_packet_without_a_tunnel_is_its_own_innermost_packet() {
    for packet in [tcp4(), tcp6(), vec![], vec![0x45]] {
        assert_eq!(inner(&packet), None);
        assert_eq!(innermost(&packet), packet);
    }
}

#[test]
fn what_is_malformed_or_carries_something_else_is_no_tunnel() {
    let (four, six) = (&tcp4()[..], &tcp6()[..]);
    let frame = ethernet(0x0800, four);
    let arp = ethernet(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1]);
    let over = |to, payload: &[u8]| datagram((50_000, to), payload);
    let changed = |mut packet: Vec<u8>, at: usize, byte: u8| {
        packet[at] = byte;
        packet
    };
    let good = over(4789, &vxlan(&frame));
    assert!(inner(&good).is_some());
    let (udp_at, payload) = (20, 28);
    let origin_twice = [&by_hand::TEREDO_ORIGIN[..], &by_hand::TEREDO_ORIGIN, six].concat();
    let wrong_order = [
        &by_hand::TEREDO_ORIGIN[..],
        &by_hand::TEREDO_AUTHENTICATION,
        six,
    ]
    .concat();
    for packet in [
        outer4(4, six),
        outer4(41, four),
        outer6(4, six),
        outer4(50, four),
        outer4(4, &four[..19]),
        ipv4(V4, 4, 1, &[], four), // a later fragment
        // The flags that have to be 0, other versions, other protocols.
        outer4(47, &gre(0x4000, 0x0800, &[0; 4], four)),
        outer4(47, &gre(0x0800, 0x0800, &[], four)),
        outer4(47, &gre(0x0400, 0x0800, &[], four)),
        outer4(47, &gre(0x2001, 0x880b, &[0; 4], four)), // PPTP
        outer4(47, &gre(0x2001, 0x0800, &[0; 4], four)),
        outer4(47, &gre(0x0004, 0x0800, &[], four)),
        outer4(47, &gre(0x2000, 0x0800, &[], four)),
        outer4(47, &gre(0, 0x0800, &[], six)),
        outer4(47, &gre(0, 0x6558, &[], four)),
        outer4(47, &gre(0, 0x6558, &[], &arp)),
        outer4(47, &[0, 0, 8]),
        changed(good.clone(), payload, 0xf7), // no identifier
        changed(good.clone(), udp_at + 3, 0), // another port
        changed(changed(good.clone(), udp_at + 4, 0), udp_at + 5, 7), // shorter than its header
        changed(changed(good.clone(), udp_at + 4, 0), udp_at + 5, 20), // ends before the packet
        over(4789, &vxlan(&arp)),
        over(4789, b"hello, world: this is something else"),
        datagram((4789, 50_000), &vxlan(&frame)),
        over(6081, &geneve(0x0806, &[], &arp[14..])),
        over(6081, &changed(geneve(0x0800, &[], four), 0, 0x40)), // version 1
        over(6081, &changed(geneve(0x0800, &[], four), 1, 0x80)), // about the tunnel
        over(6081, &changed(geneve(0x0800, &[], four), 0, 0x3f)), // options without end
        over(3544, four),
        over(3544, &origin_twice),
        over(3544, &wrong_order),
        over(3544, &[0, 1, 255, 255, 0]),
        over(3544, &[0, 0, 1]),
        over(3544, &[]),
    ] {
        assert_eq!(inner(&packet), None, "{packet:?}");
        assert_eq!(
            decode_inside(Link::Raw, 3, AT, &packet),
            decode(Link::Raw, 3, AT, &packet)
        );
    }
}

#[test]
fn a_fragment_inside_a_tunnel_is_recognized() {
    let later = outer4(4, &ipv4(V4, 6, 3, &[], &tcp()));
    assert_eq!(decode_inside(Link::Raw, 3, AT, &later), Packet::Other);
    assert_eq!(part(&later), Some(Part::Whole));
    assert_eq!(part(innermost(&later)), Some(Part::Later));
    // And the first fragment of what carries it holds its header.
    let first = ipv4(V4, 4, 0x2000, &[], &tcp4());
    assert!(is_tcp(innermost(&first)));
}

#[test]
fn a_critical_option_of_geneve_is_for_the_end_of_the_tunnel() {
    let mut header = geneve(0x0800, &[1, 2, 0x80, 0], &tcp4());
    header[1] = 0x40;
    let packet = outer6(17, &udp((50_000, 6081), &header));
    assert!(is_tcp(innermost(&packet)));
}

// Anything at all

/// A sample with a few bytes changed, cut anywhere.
fn damaged() -> impl Strategy<Value = Sample> {
    let damage = prop::collection::vec((any::<Index>(), any::<u8>()), 0..6);
    (select(samples()), damage, any::<Index>()).prop_map(|(mut sample, damage, cut)| {
        for (at, byte) in damage {
            let at = at.index(sample.bytes.len());
            sample.bytes[at] = byte;
        }
        sample.bytes.truncate(cut.index(2 * sample.bytes.len()));
        sample
    })
}

/// What holds of any bytes.
fn assert_sound(link: Link, bytes: &[u8]) {
    let outside = decode(link, 3, AT, bytes);
    let inside = decode_inside(link, 3, AT, bytes);
    let Some(Network { protocol, range }) = network(link, bytes) else {
        assert_eq!([outside, inside], [Packet::Other; 2]);
        return;
    };
    assert!(range.start < range.end && range.end == bytes.len());
    let packet = &bytes[range];
    assert_eq!(Protocol::of(packet), Some(protocol));
    assert_eq!(decode_ip(3, AT, packet), outside);
    assert!(layers(packet).count() <= MAX_TUNNEL_DEPTH);
    let mut outer = packet;
    for inner in layers(packet) {
        assert!(inner.packet.len() + 20 <= outer.len());
        assert!(Ip::of(inner.packet).is_some());
        outer = inner.packet;
    }
    assert_eq!(innermost(packet), outer);
    assert_eq!(decode_ip(3, AT, outer), inside);
    if outer == packet {
        assert_eq!(outside, inside);
    }
    for packet in [packet, outer] {
        let ip = Ip::of(packet);
        assert!(ip.is_none_or(|ip| ip.payload.len() + 20 <= packet.len()));
        if ip.is_none_or(|ip| ip.part == Part::Later) {
            assert_eq!(decode_ip(3, AT, packet), Packet::Other);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for link in Link::ALL {
            assert_sound(link, &bytes);
        }
    }

    #[test]
    fn no_damage_makes_it_panic(sample in damaged()) {
        for link in Link::ALL {
            assert_sound(link, &sample.bytes);
        }
    }

    #[test]
    fn bytes_after_the_ip_packet_are_ignored(sample in damaged(), trailer in prop::collection::vec(any::<u8>(), 0..20)) {
        // Cut where the IP header says that the packet ends, a frame is decoded as with anything behind it.
        let link = link_of(&sample);
        let Some(range) = network(link, &sample.bytes).map(|network| network.range) else {
            return Ok(());
        };
        let packet = &sample.bytes[range.clone()];
        let Some(ip) = Ip::of(packet) else {
            return Ok(());
        };
        let captured = u32::try_from(ip.payload.len()).unwrap();
        prop_assume!(ip.payload_len.is_some_and(|len| len <= captured));
        let longer = [&sample.bytes[..], &trailer].concat();
        prop_assert_eq!(decode_inside(link, 3, AT, &longer), decode_inside(link, 3, AT, &sample.bytes));
    }
}
