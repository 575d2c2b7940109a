//! Tests of each accessor against the layouts that the RFCs draw, against etherparse, and with hostile bytes.

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice};
use proptest::prelude::*;

use super::options::TcpOption;
use super::*;

/// TCP header of RFC 9293, figure 1, one row of the figure a line; every field has its own value.
#[rustfmt::skip]
const TCP_HEADER: [u8; 24] = [
    0x9c, 0x40, 0x1f, 0x90, // source port 40000, destination port 8080
    0x01, 0x02, 0x03, 0x04, // sequence number
    0xf1, 0xf2, 0xf3, 0xf4, // acknowledgment number
    0x6f, 0x94, 0xab, 0xcd, // data offset 6, reserved bits, CWR, ACK and RST; window
    0x11, 0x22, 0x33, 0x44, // checksum, urgent pointer
    1, 1, 1, 0, // options: padding and the end of the list
];

#[test]
fn fields_of_a_tcp_header() {
    let bytes = [&TCP_HEADER[..], b"data"].concat();
    let tcp = TcpHeader::new(&bytes).unwrap();
    assert_eq!((tcp.source_port(), tcp.destination_port()), (40_000, 8_080));
    assert_eq!(tcp.seq(), SeqNum(0x0102_0304));
    assert_eq!(tcp.ack(), SeqNum(0xf1f2_f3f4));
    assert_eq!((tcp.header_len(), tcp.options_len()), (24, Some(4)));
    assert_eq!(tcp.flags(), Flags(0x94));
    assert_eq!(tcp.window(), 0xabcd);
    assert_eq!(tcp.payload(), b"data");
    assert_eq!(tcp.payload_len(124), Some(100));
    assert_eq!(tcp.payload_len(24), Some(0));
    assert_eq!(tcp.payload_len(23), None);
    let header = tcp.header(9, Timestamp(7), 124).unwrap();
    let expected = Header {
        frame: 9,
        at: Timestamp(7),
        flags: Flags(0x94),
        window: 0xabcd,
        seq: SeqNum(0x0102_0304),
        ack: SeqNum(0xf1f2_f3f4),
        payload_len: 100,
        timestamps: None,
        sack_edge: None,
        options: Options::default(),
    };
    assert_eq!(header, expected);
}

#[test]
fn fields_of_an_ipv4_header() {
    // RFC 791, 3.1, and a byte of payload.
    #[rustfmt::skip]
    let bytes = [
        0x46, 0xb9, 0x01, 0x02, // version 4, 6 words; DSCP 46 with ECN 1; total length
        0x12, 0x34, 0x40, 0x00, // identification; DF; fragment offset 0
        0x3f, 0x06, 0xff, 0xff, // time to live 63, protocol TCP, checksum
        192, 0, 2, 1,
        198, 51, 100, 2,
        1,
    ];
    let (ip, rest) = Ipv4Header::split(&bytes).unwrap();
    assert_eq!(rest, [1]);
    assert_eq!((ip.header_len(), ip.total_len()), (24, 0x0102));
    assert_eq!((ip.traffic_class(), ip.id(), ip.ttl()), (0xb9, 0x1234, 63));
    assert_eq!(ip.protocol(), TCP);
    assert_eq!(ip.source(), Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(ip.destination(), Ipv4Addr::new(198, 51, 100, 2));
    // Flags and offset: reserved bit, DF, MF, and 13 bits.
    for (word, dont_fragment, more, offset) in [
        (0x4000, true, false, 0),
        (0x8000, false, false, 0),
        (0x2000, false, true, 0),
        (0x1fff, false, false, 0x1fff),
        (0x3001, false, true, 0x1001),
    ] {
        let mut bytes = bytes;
        bytes[6..8].copy_from_slice(&u16::to_be_bytes(word));
        let (ip, _) = Ipv4Header::split(&bytes).unwrap();
        assert_eq!(ip.dont_fragment(), dont_fragment, "{word:x}");
        assert_eq!((ip.more_fragments(), ip.fragment_offset()), (more, offset));
        assert!(!ip.is_plain(), "it has options");
        bytes[0] = 0x45;
        let (ip, _) = Ipv4Header::split(&bytes).unwrap();
        assert_eq!(ip.is_plain(), !more && offset == 0, "{word:x}");
        bytes[0] = 0x55;
        assert!(!Ipv4Header::split(&bytes).unwrap().0.is_plain());
    }
}

#[test]
fn fields_of_an_ipv6_header() {
    // RFC 8200, 3.
    #[rustfmt::skip]
    let bytes = [
        0x6b, 0x91, 0x23, 0x45, // version 6, DSCP 46 with ECN 1, flow label 0x12345
        0x01, 0x02, 0x06, 0x3f, // payload length, TCP, hop limit 63
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
    ];
    let (ip, rest) = Ipv6Header::split(&bytes).unwrap();
    assert!(rest.is_empty());
    assert_eq!((ip.version(), ip.traffic_class()), (6, 0xb9));
    assert_eq!((ip.flow_label(), ip.payload_len()), (0x12345, 0x0102));
    assert_eq!((ip.next_header(), ip.hop_limit()), (TCP, 63));
    assert_eq!(ip.source().to_string(), "2001:db8::1");
    assert_eq!(ip.destination().to_string(), "fe80::102:304:506:708");
}

#[test]
fn a_header_with_a_wrong_length() {
    let view = |first: u8, bytes: &'static [u8]| {
        let mut header = TCP_HEADER[..20].to_vec();
        header[12] = first;
        header.extend_from_slice(bytes);
        header
    };
    // Less than the fixed part.
    let bytes = view(0x40, b"data");
    let tcp = TcpHeader::new(&bytes).unwrap();
    assert_eq!((tcp.header_len(), tcp.options_len()), (16, None));
    assert!(tcp.options().is_none() && tcp.captured_options().is_empty());
    assert!(tcp.header(1, Timestamp(0), 24).is_none());
    // More than was captured.
    let bytes = view(0x70, &[3, 3, 7]);
    let tcp = TcpHeader::new(&bytes).unwrap();
    assert_eq!(tcp.options_len(), Some(8));
    assert!(tcp.options().is_none() && tcp.payload().is_empty());
    let window_scale = TcpOption {
        kind: 3,
        value: &[7],
    };
    assert_eq!(
        tcp.captured_options().collect::<Vec<_>>(),
        [Ok(window_scale)]
    );
    // More than the whole segment.
    let bytes = view(0x60, &[0; 4]);
    let tcp = TcpHeader::new(&bytes).unwrap();
    assert!(tcp.header(1, Timestamp(0), 24).is_some());
    assert!(tcp.header(1, Timestamp(0), 23).is_none());
}

fn option(bytes: &[u8]) -> TcpOption<'_> {
    TcpOptions::new(bytes).next().unwrap().unwrap()
}

#[test]
fn options_have_the_layouts_of_their_rfcs() {
    // RFC 7323, 3.2: kind 8, length 10, TSval, TSecr.
    let stamps = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let expected = TcpTimestamps {
        value: 0x0102_0304,
        echo: 0x0506_0708,
    };
    assert_eq!(option(&stamps).timestamps(), Some(expected));
    assert_eq!(option(&stamps).sack(), None);
    assert_eq!(option(&stamps).mptcp(), None);
    // RFC 2018, 3: kind 5, length 8n + 2, n blocks of left and right edge, at most four.
    for blocks in 0..=5_u8 {
        let edges = (0..blocks).map(|nth| [nth, 0, 0, 1, nth, 0, 0, 9]);
        let edges: Vec<u8> = edges.flatten().collect();
        let bytes = [&[5, 8 * blocks + 2], &edges[..]].concat();
        let expected: Vec<_> = (0..u32::from(blocks))
            .map(|nth| (SeqNum(nth << 24 | 1), SeqNum(nth << 24 | 9)))
            .collect();
        let is_possible = (1..=4).contains(&blocks);
        let expected = is_possible.then(|| SackBlocks::new(&expected));
        assert_eq!(option(&bytes).sack(), expected, "{blocks}");
    }
    assert_eq!(option(&[5, 9, 0, 0, 0, 0, 0, 0, 0]).sack(), None);
    // RFC 8684, 3.6: kind 30, length 4, subtype 8 with the flags U, V, W, T, reason.
    assert_eq!(option(&[30, 4, 0x81, 3]).mptcp(), Some(&[0x81, 3][..]));
    assert_eq!(option(&[30, 2]).mptcp(), Some(&[][..]));
    // A timestamps option of another length is ignored.
    assert_eq!(option(&[8, 9, 1, 2, 3, 4, 5, 6, 7]).timestamps(), None);
}

#[test]
fn the_list_of_options_ends_where_it_must() {
    let all = |bytes: &'static [u8]| TcpOptions::new(bytes).collect::<Vec<_>>();
    let mss = TcpOption {
        kind: 2,
        value: &[5, 0xb4],
    };
    // RFC 9293, 3.2: kind 1 is padding and kind 0 the end; neither has a length.
    assert_eq!(all(&[1, 1, 2, 4, 5, 0xb4, 1]), [Ok(mss)]);
    assert_eq!(all(&[0, 2, 4, 5, 0xb4]), []);
    assert_eq!(all(&[]), []);
    let no_length = |kind| Err(OptionError::NoLength { kind });
    assert_eq!(all(&[2, 4, 5, 0xb4, 3]), [Ok(mss), no_length(3)]);
    assert_eq!(all(&[9, 1, 2, 4, 5, 0xb4]), [no_length(9)]);
    assert_eq!(all(&[9, 0, 2, 4, 5, 0xb4]), [no_length(9)]);
    let too_long = Err(OptionError::TooLong { kind: 3, len: 3 });
    assert_eq!(all(&[2, 4, 5, 0xb4, 3, 3]), [Ok(mss), too_long]);
}

proptest! {
    /// No bytes make a view panic, and what it reads it reads as etherparse does.
    #[test]
    fn views_read_as_etherparse_reads(mut bytes in prop::collection::vec(any::<u8>(), 0..90), first: u8) {
        for (offset, nibble) in [(0, 4), (0, 6), (12, first >> 4)] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte = nibble << 4 | *byte & 0x0f;
            }
            assert_like_etherparse(&bytes);
        }
    }

    /// The fast path for the usual layout of options reads what the iterator reads.
    #[test]
    fn usual_options_are_read_alike(
        head in prop::sample::select(vec![[1, 1, 8, 10], [1, 1, 8, 9], [1, 8, 10, 1], [8, 10, 1, 1], [1, 1, 1, 1]]),
        rest in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let bytes = [&head[..], &rest].concat();
        let options = TcpOptions::new(&bytes);
        if let Some(stamps) = options.only_timestamps() {
            prop_assert_eq!(options.clone().decode(), (Some(stamps), SackBlocks::default(), Options::default()));
        } else {
            prop_assert!(head != [1, 1, 8, 10] || rest.len() != 8);
        }
    }
}

fn assert_like_etherparse(bytes: &[u8]) {
    if let Ok(theirs) = TcpHeaderSlice::from_slice(bytes) {
        let ours = TcpHeader::new(bytes).unwrap();
        assert_eq!(ours.source_port(), theirs.source_port());
        assert_eq!(ours.destination_port(), theirs.destination_port());
        assert_eq!(ours.seq().0, theirs.sequence_number());
        assert_eq!(ours.ack().0, theirs.acknowledgment_number());
        assert_eq!(ours.window(), theirs.window_size());
        assert_eq!(usize::from(ours.header_len()), theirs.slice().len());
        assert_eq!(ours.flags().has(Flags::RST), theirs.rst());
        assert_eq!(ours.payload(), &bytes[theirs.slice().len()..]);
        assert!(ours.options().is_some());
    } else if let Some(ours) = TcpHeader::new(bytes) {
        assert!(ours.options().is_none());
        let _ = ours.captured_options().count();
        let _ = ours.payload();
    }
    if let Ok(theirs) = Ipv4HeaderSlice::from_slice(bytes) {
        let (ours, _) = Ipv4Header::split(bytes).unwrap();
        assert_eq!(ours.header_len(), theirs.slice().len());
        assert_eq!(ours.total_len(), theirs.total_len());
        assert_eq!(ours.id(), theirs.identification());
        assert_eq!(ours.dont_fragment(), theirs.dont_fragment());
        assert_eq!(ours.more_fragments(), theirs.more_fragments());
        assert_eq!(ours.fragment_offset(), theirs.fragments_offset().value());
        assert_eq!(ours.ttl(), theirs.ttl());
        assert_eq!(ours.protocol(), theirs.protocol().0);
        assert_eq!(ours.source(), theirs.source_addr());
        assert_eq!(ours.destination(), theirs.destination_addr());
    }
    if let Ok(theirs) = Ipv6HeaderSlice::from_slice(bytes) {
        let (ours, _) = Ipv6Header::split(bytes).unwrap();
        assert_eq!(ours.traffic_class(), theirs.traffic_class());
        assert_eq!(ours.flow_label(), theirs.flow_label().value());
        assert_eq!(ours.payload_len(), theirs.payload_length());
        assert_eq!(ours.next_header(), theirs.next_header().0);
        assert_eq!(ours.hop_limit(), theirs.hop_limit());
        assert_eq!(ours.source(), theirs.source_addr());
        assert_eq!(ours.destination(), theirs.destination_addr());
    }
}

/// `tcp_options_write()` of Linux: MSS, SACK permitted, timestamps, NOP, window scale.
#[test]
fn the_options_of_a_linux_syn_are_read_as_any_others() {
    let options = |scale| {
        [
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 9, 0, 0, 2, 7, 1, 3, 3, scale,
        ]
    };
    for scale in [0, 7, 14, 15, 255] {
        let bytes = options(scale);
        let (timestamps, sack, others) = TcpOptions::new(&bytes).decode();
        assert_eq!(sack, SackBlocks::default());
        let short = TcpOptions::new(&bytes).of_linux_syn();
        assert_eq!(short, timestamps.map(|it| (it, others)));
    }
    for place in [0, 1, 4, 5, 6, 7, 16, 17, 18] {
        let mut bytes = options(7);
        bytes[place] ^= 0x40;
        assert_eq!(TcpOptions::new(&bytes).of_linux_syn(), None, "byte {place}");
    }
    assert_eq!(TcpOptions::new(&options(7)[..19]).of_linux_syn(), None);
}
