//! Headers laid out by hand, by the documents that define them, and frames that are made of them.
//!
//! Checksums are left at 0: nobody here computes them. All numbers on the wire are big-endian unless it is said.

use std::net::SocketAddr;

pub(crate) const PORTS: (u16, u16) = (40_000, 8080);
pub(crate) const SEQ: u32 = 0x0102_0304;
const PAYLOAD: &[u8] = b"abc";

pub(crate) const V4: ([u8; 4], [u8; 4]) = ([10, 0, 0, 1], [10, 0, 0, 2]);
pub(crate) const V6: ([u8; 16], [u8; 16]) = (fd00(1), fd00(2));
/// The ends of tunnels.
const OUTER_V4: ([u8; 4], [u8; 4]) = ([192, 0, 2, 1], [192, 0, 2, 2]);
const OUTER_V6: ([u8; 16], [u8; 16]) = (fd00(8), fd00(9));

const fn fd00(last: u8) -> [u8; 16] {
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// A frame, and the segment in it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    /// Its number in the registry of link types.
    pub(crate) link: u16,
    pub(crate) bytes: Vec<u8>,
    pub(crate) source: SocketAddr,
    pub(crate) payload_len: u32,
    /// How many bytes of the frame a reader needs at least: to the end of the TCP header.
    pub(crate) needed: usize,
}

/// One whose frame ends with the payload of the segment, and perhaps a trailer.
fn sample(name: &'static str, link: u16, v6: bool, bytes: Vec<u8>, trailer: usize) -> Sample {
    let source = if v6 {
        (V6.0, PORTS.0).into()
    } else {
        (V4.0, PORTS.0).into()
    };
    Sample {
        name,
        link,
        source,
        payload_len: 3,
        needed: bytes.len() - PAYLOAD.len() - trailer,
        bytes,
    }
}

fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

// Transport

/// RFC 9293, 3.1: ports, sequence and acknowledgment number, header length and flags, window, checksum, urgent pointer.
pub(crate) fn tcp() -> Vec<u8> {
    cat(&[
        &PORTS.0.to_be_bytes(),
        &PORTS.1.to_be_bytes(),
        &SEQ.to_be_bytes(),
        &[0, 0, 0, 7, 0x50, 0x10, 4, 0, 0, 0, 0, 0],
        PAYLOAD,
    ])
}

/// RFC 768: ports, length, checksum.
pub(crate) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let (from, to) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
    cat(&[&from, &to, &short(8 + payload.len()), &[0; 2], payload])
}

// IP

/// RFC 791, 3.1.
pub(crate) fn ipv4(
    ends: ([u8; 4], [u8; 4]),
    protocol: u8,
    fragment: u16,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    cat(&[
        &[0x40 | u8::try_from(header / 4).unwrap(), 0],
        &short(header + payload.len()),
        &[0, 1],
        &fragment.to_be_bytes(),
        &[64, protocol, 0, 0],
        &ends.0,
        &ends.1,
        options,
        payload,
    ])
}

/// RFC 8200, 3. Extension headers are a part of the payload.
pub(crate) fn ipv6(ends: ([u8; 16], [u8; 16]), next: u8, payload: &[u8]) -> Vec<u8> {
    let begin = [0x60, 0, 0, 0];
    cat(&[
        &begin,
        &short(payload.len()),
        &[next, 64],
        &ends.0,
        &ends.1,
        payload,
    ])
}

pub(crate) fn tcp4() -> Vec<u8> {
    ipv4(V4, 6, 0, &[], &tcp())
}

pub(crate) fn tcp6() -> Vec<u8> {
    ipv6(V6, 6, &tcp())
}

// Links

pub(crate) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    cat(&[
        &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1],
        &ether_type.to_be_bytes(),
        payload,
    ])
}

/// IEEE 802.1Q, 9.6: priority and VLAN, then the type of what follows.
pub(crate) fn tag(vlan: u16, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    cat(&[&vlan.to_be_bytes(), &ether_type.to_be_bytes(), payload])
}

/// Packet type, ARPHRD, length of the address, address, protocol.
fn cooked(protocol: u16, payload: &[u8]) -> Vec<u8> {
    let begin = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    cat(&[&begin, &protocol.to_be_bytes(), payload])
}

/// Protocol, two reserved bytes, interface, ARPHRD, packet type, length of the address, address.
fn cooked2(protocol: u16, payload: &[u8]) -> Vec<u8> {
    let rest = [0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    cat(&[&protocol.to_be_bytes(), &rest, payload])
}

/// RFC 2516, 4: version, type and code; session; length.
pub(crate) fn pppoe(begin: [u8; 2], payload: &[u8]) -> Vec<u8> {
    cat(&[&begin, &[0, 9], &short(payload.len()), payload])
}

/// A segment over IPv4 and one over IPv6 in frames of each kind.
#[allow(clippy::too_many_lines)] // a list
pub(crate) fn links() -> Vec<Sample> {
    let (four, six) = (&tcp4()[..], &tcp6()[..]);
    let mut samples = Vec::new();
    let mut add = |name, link, v6, bytes| samples.push(sample(name, link, v6, bytes, 0));
    add("Ethernet", 1, false, ethernet(0x0800, four));
    add("Ethernet", 1, true, ethernet(0x86dd, six));
    let tagged = |tpid, ether_type, packet: &[u8]| ethernet(tpid, &tag(7, ether_type, packet));
    add("802.1Q", 1, false, tagged(0x8100, 0x0800, four));
    add("802.1Q", 1, true, tagged(0x8100, 0x86dd, six));
    add("802.1ad", 1, false, tagged(0x88a8, 0x0800, four));
    add("QinQ of old", 1, false, tagged(0x9100, 0x0800, four));
    let double = |packet: &[u8]| tagged(0x88a8, 0x8100, &tag(0xe008, 0x0800, packet));
    add("802.1ad and 802.1Q", 1, false, double(four));
    let mut nested = tag(8, 0x86dd, six);
    for vlan in 0..7 {
        nested = tag(vlan, 0x8100, &nested);
    }
    add("eight tags", 1, true, ethernet(0x8100, &nested));
    // IEEE 802.3 with the header of RFC 1042.
    let snap = cat(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], four]);
    let length = u16::try_from(snap.len()).unwrap();
    add("SNAP", 1, false, ethernet(length, &snap));
    add("SNAP, cooked", 113, false, cooked(4, &snap));

    let session = |protocol: &[u8], packet: &[u8]| {
        let payload = cat(&[protocol, packet]);
        ethernet(0x8864, &pppoe([0x11, 0], &payload))
    };
    add("PPPoE", 1, false, session(&[0, 0x21], four));
    add("PPPoE", 1, true, session(&[0, 0x57], six));
    let behind_tag = tag(7, 0x8864, &session(&[0, 0x57], six)[14..]);
    add("PPPoE in 802.1Q", 1, true, ethernet(0x8100, &behind_tag));

    add("cooked", 113, false, cooked(0x0800, four));
    add("cooked", 113, true, cooked(0x86dd, six));
    let in_vlan = cooked(0x8100, &tag(7, 0x0800, four));
    add("cooked, 802.1Q", 113, false, in_vlan);
    add("cooked, version 2", 276, false, cooked2(0x0800, four));
    add("cooked, version 2", 276, true, cooked2(0x86dd, six));
    let in_vlan = cooked2(0x8100, &tag(7, 0x0800, four));
    add("cooked, version 2, 802.1Q", 276, false, in_vlan);

    for link in [101, 12, 14] {
        add("raw", link, false, four.to_vec());
        add("raw", link, true, six.to_vec());
    }
    add("IPv4", 228, false, four.to_vec());
    add("IPv6", 229, true, six.to_vec());

    let loopback = |family: [u8; 4], packet: &[u8]| cat(&[&family, packet]);
    for link in [0, 108] {
        add("family", link, false, loopback([0, 0, 0, 2], four));
        for family in [10, 24, 28, 30] {
            add("family", link, true, loopback([0, 0, 0, family], six));
        }
    }
    add("swapped family", 0, false, loopback([2, 0, 0, 0], four));
    for family in [10, 24, 28, 30] {
        let swapped = loopback([family, 0, 0, 0], six);
        add("swapped family", 0, true, swapped);
    }

    for link in [9, 50] {
        // RFC 1662, 3.1; RFC 1661, 6.5 and 6.6.
        let ppp = |begin: &[u8], packet: &[u8]| cat(&[begin, packet]);
        add("PPP", link, false, ppp(&[0xff, 3, 0, 0x21], four));
        add("PPP", link, true, ppp(&[0xff, 3, 0, 0x57], six));
        add("PPP, PFC", link, false, ppp(&[0xff, 3, 0x21], four));
        add("PPP, PFC", link, true, ppp(&[0xff, 3, 0x57], six));
        add("PPP, ACFC", link, false, ppp(&[0, 0x21], four));
        add("PPP, ACFC", link, true, ppp(&[0, 0x57], six));
        add("PPP, ACFC, PFC", link, false, ppp(&[0x21], four));
        add("PPP, ACFC, PFC", link, true, ppp(&[0x57], six));
    }
    // RFC 1547, 4.3.1.
    add("cHDLC", 50, false, cat(&[&[0x0f, 0, 8, 0], four]));
    add("cHDLC", 50, true, cat(&[&[0x8f, 0, 0x86, 0xdd], six]));

    samples.push(sample(
        "a trailer",
        1,
        false,
        ethernet(0x0800, &cat(&[four, &[0; 3]])),
        3,
    ));
    samples.push(sample(
        "a trailer",
        1,
        true,
        ethernet(0x86dd, &cat(&[six, &[0xff; 9]])),
        9,
    ));
    samples
}

// What stands between IP and TCP

/// Next header, length in units of eight bytes after the first eight, `PadN` (RFC 8200, 4.2 and 4.3).
pub(crate) fn padding(next: u8, units: u8) -> Vec<u8> {
    let len = 8 * (usize::from(units) + 1);
    let mut header = vec![next, units, 1, u8::try_from(len - 4).unwrap()];
    header.resize(len, 0);
    header
}

/// Next header, length, type 2, segments left, reserved, home address (RFC 6275, 6.4).
fn routing(next: u8) -> Vec<u8> {
    cat(&[&[next, 2, 2, 1, 0, 0, 0, 0], &V6.1])
}

/// Next header, reserved, offset and whether more follow, identification (RFC 8200, 4.5).
pub(crate) fn fragment(next: u8, offset_and_more: u16) -> Vec<u8> {
    let [high, low] = offset_and_more.to_be_bytes();
    vec![next, 0, high, low, 0, 0, 0, 9]
}

/// Next header, length, reserved, index, sequence number, check value (RFC 4302, 2).
fn authentication(next: u8, value: usize) -> Vec<u8> {
    let words = u8::try_from((12 + value) / 4 - 2).unwrap();
    let mut header = vec![next, words, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    header.resize(12 + value, 0xee);
    header
}

/// Segments behind options and extension headers.
pub(crate) fn packets() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |name, bytes: Vec<u8>| {
        let v6 = bytes[0] >> 4 == 6;
        samples.push(sample(name, 101, v6, bytes, 0));
    };
    let tcp = &tcp()[..];
    let options = [7, 39, 4, 10, 0, 0, 1].iter().copied(); // record route (RFC 791, 3.1), and the rest of the room
    let most: Vec<u8> = options.chain([0; 33]).collect();
    add("router alert", ipv4(V4, 6, 0, &[148, 4, 0, 0], tcp)); // RFC 2113
    add("all options", ipv4(V4, 6, 0, &most, tcp));
    add("do not fragment", ipv4(V4, 6, 0x4000, &[], tcp));
    let in_ah = cat(&[&authentication(6, 12), tcp]);
    add("AH", ipv4(V4, 51, 0, &[], &in_ah));

    let extended = |first, headers: &[&[u8]]| ipv6(V6, first, &cat(&[&headers.concat(), tcp]));
    add("hop-by-hop", extended(0, &[&padding(6, 0)]));
    add("destination", extended(60, &[&padding(6, 3)]));
    add("routing", extended(43, &[&routing(6)]));
    add("AH", extended(51, &[&authentication(6, 12)]));
    add("atomic fragment", extended(44, &[&fragment(6, 0)])); // RFC 6946
    let all = [
        &padding(60, 1)[..],
        &padding(43, 0),
        &routing(44),
        &fragment(51, 0),
        &authentication(60, 20),
        &padding(6, 0),
    ];
    add("all of them", extended(0, &all));
    samples
}

/// First fragments: a whole TCP header, and some of the payload.
pub(crate) fn first_fragments() -> Vec<Sample> {
    let tcp = &tcp()[..];
    let mut samples = vec![
        sample("fragment", 101, false, ipv4(V4, 6, 0x2000, &[], tcp), 0),
        sample(
            "fragment, AH",
            101,
            false,
            ipv4(
                V4,
                51,
                0x2000,
                &[],
                &cat(&[&authentication(6, 12), &tcp[..20]]),
            ),
            0,
        ),
        sample(
            "fragment",
            101,
            true,
            ipv6(V6, 44, &cat(&[&fragment(6, 1), tcp])),
            0,
        ),
        sample(
            "fragment, options",
            101,
            true,
            ipv6(V6, 44, &cat(&[&fragment(60, 1), &padding(6, 0), tcp])),
            0,
        ),
    ];
    samples[1].payload_len = 0;
    samples[1].needed = samples[1].bytes.len();
    samples
}

/// Frames behind headers of whoever captured them, and behind labels.
fn wrapped() -> Vec<Sample> {
    let (four, six) = (&tcp4()[..], &tcp6()[..]);
    let frame = ethernet(0x0800, four);
    let mut samples = Vec::new();
    let mut add = |name, link, v6, bytes| samples.push(sample(name, link, v6, bytes, 0));

    // Labels of 20 bits, class, last, time to live (RFC 3032, 2.1).
    let labels = |inner: &[u8]| cat(&[&[0, 0x01, 0x00, 64], &[0, 0x02, 0x01, 64], inner]);
    add("MPLS", 1, false, ethernet(0x8847, &labels(four)));
    add("MPLS", 1, true, ethernet(0x8847, &labels(six)));
    add("MPLS, multicast", 1, true, ethernet(0x8848, &labels(six)));
    add(
        "MPLS, tagged",
        1,
        false,
        ethernet(0x8100, &tag(7, 0x8847, &labels(four))),
    );
    // Pseudowires with labels of their own, which Wireshark has to be told of; with the control word and without.
    let wire = |label, inner: &[u8]| ethernet(0x8847, &cat(&[&[0, label, 0x01, 64], inner]));
    let word = cat(&[&[0, 0, 0, 9], &frame]);
    add("pseudowire", 1, false, wire(0x03, &word));
    add("pseudowire, no word", 1, false, wire(0x04, &frame));
    add(
        "MPLS in PPP",
        9,
        true,
        cat(&[&[0xff, 3, 0x02, 0x81], &labels(six)]),
    );

    add("Cisco HDLC", 104, false, cat(&[&[0x0f, 0, 8, 0], four]));
    add("Cisco HDLC", 104, true, cat(&[&[0x8f, 0, 0x86, 0xdd], six]));

    // Length without padding, family, action, reason, interface ... (OpenBSD, net/if_pflog.h).
    for (family, v6) in [(2, false), (24, true), (28, true)] {
        let mut header = [0; 64];
        (header[0], header[1]) = (61, family);
        header[4..7].copy_from_slice(b"em0");
        add(
            "PFLOG",
            117,
            v6,
            cat(&[&header, if v6 { six } else { four }]),
        );
    }

    // Family, version, resource; then length and type of each attribute, and its value (linux/netfilter/nfnetlink_log.h).
    for (family, v6) in [(2, false), (10, true)] {
        let packet = if v6 { six } else { four };
        let len = u16::try_from(packet.len() + 4).unwrap();
        let little = cat(&[
            &[
                family, 0, 0, 5, 8, 0, 1, 0, 8, 0, 1, 0, 5, 0, 10, 0, 0, 0, 0, 0,
            ],
            &len.to_le_bytes(),
            &[9, 0],
            packet,
        ]);
        add("NFLOG", 239, v6, little);
    }

    // Length, type 1, link 1; interface; flags, family, lengths; process id and name (XNU, bsd/net/pktap.h).
    let mut header = [0; 156];
    header[..12].copy_from_slice(&[156, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    header[12..15].copy_from_slice(b"en0");
    header[36] = 2;
    header[52..54].copy_from_slice(&[0x39, 5]);
    header[56..60].copy_from_slice(b"curl");
    add("PKTAP", 258, false, cat(&[&header, &frame]));

    // Data to an access point, with quality of service; LLC and SNAP (IEEE 802.11, 9.3.2.1).
    let wlan = |control: [u8; 2], more: &[u8], packet: &[u8]| {
        let snap = if packet[0] >> 4 == 4 {
            [8, 0]
        } else {
            [0x86, 0xdd]
        };
        let head = cat(&[&control, &[0, 0], &[2; 18], &[0, 0]]);
        cat(&[&head, more, &[0xaa, 0xaa, 3, 0, 0, 0], &snap, packet])
    };
    add("802.11", 105, false, wlan([0x08, 1], &[], four));
    add("802.11, QoS", 105, true, wlan([0x88, 2], &[0, 0], six));
    add(
        "802.11, four addresses",
        105,
        false,
        wlan([0x08, 3], &[2; 6], four),
    );
    // Version, padding, length, fields; none, and a clock with flags (radiotap.org).
    let none = [0, 0, 8, 0, 0, 0, 0, 0];
    add(
        "radiotap",
        127,
        false,
        cat(&[&none, &wlan([0x08, 1], &[], four)]),
    );
    let clock = [0, 0, 17, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x00];
    add(
        "radiotap, clock",
        127,
        true,
        cat(&[&clock, &wlan([0x08, 2], &[], six)]),
    );
    let padded = [0, 0, 9, 0, 2, 0, 0, 0, 0x20];
    let padded = cat(&[&padded, &wlan([0x88, 1], &[0, 0, 9, 9], four)]);
    add("radiotap, padded", 127, false, padded);
    samples
}

// Tunnels

/// VXLAN (RFC 7348, 5): flags, reserved, identifier, reserved.
pub(crate) fn vxlan(frame: &[u8]) -> Vec<u8> {
    cat(&[&[8, 0, 0, 0, 0, 0, 42, 0], frame])
}

/// Geneve (RFC 8926, 3.4): version and length of options, flags, protocol, identifier, reserved.
pub(crate) fn geneve(protocol: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = u8::try_from(options.len() / 4).unwrap();
    let protocol = protocol.to_be_bytes();
    cat(&[&[words, 0], &protocol, &[0, 0, 42, 0], options, payload])
}

/// GRE (RFC 2890, 2).
pub(crate) fn gre(flags: u16, protocol: u16, fields: &[u8], payload: &[u8]) -> Vec<u8> {
    let (flags, protocol) = (flags.to_be_bytes(), protocol.to_be_bytes());
    cat(&[&flags, &protocol, fields, payload])
}

/// In UDP over IPv4, between the ends of a tunnel.
pub(crate) fn datagram(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    ipv4(OUTER_V4, 17, 0, &[], &udp(ports, payload))
}

/// In this protocol over IPv4, between the ends of a tunnel.
pub(crate) fn outer4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4(OUTER_V4, protocol, 0, &[], payload)
}

/// In this protocol over IPv6, between the ends of a tunnel.
pub(crate) fn outer6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv6(OUTER_V6, protocol, payload)
}

/// Authentication without identifier and value (RFC 4380, 5.1.1): lengths, nonce, confirmation.
pub(crate) const TEREDO_AUTHENTICATION: [u8; 13] = [0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0];
/// The same with an identifier of four bytes and a value of two.
pub(crate) const TEREDO_LONG: [u8; 19] = [
    0, 1, 4, 2, b'n', b'a', b'm', b'e', 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0,
];
/// Where it came from: port and address, both with all bits inverted.
pub(crate) const TEREDO_ORIGIN: [u8; 8] = [0, 0, 0x63, 0xbf, 0x3f, 0xff, 0xfd, 0xfe];

/// Segments inside other packets.
pub(crate) fn tunnels() -> Vec<Sample> {
    let (four, six) = (&tcp4()[..], &tcp6()[..]);
    let mut samples = Vec::new();
    let mut add = |name, v6, bytes| samples.push(sample(name, 101, v6, bytes, 0));
    add("IPv4 in IPv4", false, outer4(4, four));
    add("IPv6 in IPv4", true, outer4(41, six));
    add("IPv4 in IPv6", false, outer6(4, four));
    add("IPv6 in IPv6", true, outer6(41, six));
    // RFC 2473, 5.1: a limit to encapsulation in front of it.
    let limited = cat(&[&[41, 0, 4, 1, 4, 1, 1, 0], six]);
    add("IPv6 in IPv6, limited", true, outer6(60, &limited));

    add("GRE", false, outer4(47, &gre(0, 0x0800, &[], four)));
    add("GRE", true, outer6(47, &gre(0, 0x86dd, &[], six)));
    let mut fields = [0_u8; 12];
    fields[7] = 42;
    for (flags, len) in [
        (0x8000, 4),
        (0x2000, 4),
        (0x1000, 4),
        (0xa000, 8),
        (0x9000, 8),
        (0x3000, 8),
        (0xb000, 12),
    ] {
        let keyed = gre(flags, 0x0800, &fields[..len], four);
        add("GRE with fields", false, outer4(47, &keyed));
    }
    let bridged = gre(0x2000, 0x6558, &[0, 0, 0, 42], &ethernet(0x86dd, six));
    add("Ethernet in GRE", true, outer4(47, &bridged));

    let frame = ethernet(0x0800, four);
    let tagged = ethernet(0x8100, &tag(7, 0x86dd, six));
    let over = |to, payload: &[u8]| datagram((50_000, to), payload);
    add("VXLAN", false, over(4789, &vxlan(&frame)));
    add("VXLAN", true, over(4789, &vxlan(&tagged)));
    let over_v6 = udp((50_000, 4789), &vxlan(&frame));
    add("VXLAN over IPv6", false, outer6(17, &over_v6));
    add("VXLAN of Linux", false, over(8472, &vxlan(&frame)));

    // Class, type, length in words, data (RFC 8926, 3.5).
    let options = [1, 2, 0x80, 1, 9, 9, 9, 9, 1, 2, 3, 0];
    add("Geneve", false, over(6081, &geneve(0x6558, &[], &frame)));
    let optional = geneve(0x6558, &options, &tagged);
    add("Geneve with options", true, over(6081, &optional));
    let bare = geneve(0x0800, &options[..8], four);
    add("IPv4 in Geneve", false, over(6081, &bare));
    add(
        "IPv6 in Geneve",
        true,
        over(6081, &geneve(0x86dd, &[], six)),
    );

    for ports in [(3544, 50_000), (50_000, 3544)] {
        let teredo = |begin: &[&[u8]]| datagram(ports, &cat(&[&begin.concat(), six]));
        add("Teredo", true, teredo(&[]));
        let authentication = &TEREDO_AUTHENTICATION;
        add("Teredo, authentication", true, teredo(&[authentication]));
        add("Teredo, origin", true, teredo(&[&TEREDO_ORIGIN]));
        let both = teredo(&[&TEREDO_LONG, &TEREDO_ORIGIN]);
        add("Teredo, both", true, both);
    }

    // GRE with a sequence number; version 1, VLAN, session, index (draft-foschiano-erspan, 4.1 and 4.2).
    let numbered = |protocol, payload: &[u8]| gre(0x1000, protocol, &[0, 0, 0, 7], payload);
    let second = cat(&[&[0x10, 1, 0, 5, 0, 0, 0, 9], &frame]);
    add("ERSPAN I", false, outer4(47, &gre(0, 0x88be, &[], &frame)));
    add("ERSPAN II", false, outer4(47, &numbered(0x88be, &second)));
    // Version 2; time; group, and in the last byte hardware, direction, granularity and whether there is more (4.3).
    let third = [0x20, 1, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0x06];
    let third = cat(&[&third, &tagged]);
    add("ERSPAN III", true, outer6(47, &numbered(0x22eb, &third)));
    let third = [0x20, 1, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0x07];
    let third = cat(&[&third, &[3, 0, 0, 0, 0, 0, 0, 1], &frame]);
    add(
        "ERSPAN III, more",
        false,
        outer4(47, &numbered(0x22eb, &third)),
    );

    // Version 1 and type; length behind eight bytes; endpoint (3GPP TS 29.281, 5.1).
    let gtp = |flags: u8, optional: &[u8], packet: &[u8]| {
        let len = short(optional.len() + packet.len());
        cat(&[&[flags, 255], &len, &[0, 0, 0, 42], optional, packet])
    };
    add("GTP-U", false, over(2152, &gtp(0x30, &[], four)));
    add("GTP-U", true, over(2152, &gtp(0x30, &[], six)));
    add(
        "GTP-U, numbered",
        false,
        over(2152, &gtp(0x32, &[0, 7, 0, 0], four)),
    );
    // The container of a 5G session: one word (type 0x85); then a UDP port (0x40).
    let container = [0, 0, 0, 0x85, 1, 0, 9, 0x40, 1, 8, 8, 0];
    add(
        "GTP-U, extended",
        false,
        over(2152, &gtp(0x34, &container, four)),
    );

    let mut deep = over(4789, &vxlan(&frame));
    deep = outer6(4, &deep);
    deep = over(4789, &vxlan(&ethernet(0x86dd, &deep)));
    deep = outer6(4, &deep);
    add("four deep", false, deep);
    samples
}

/// All of them.
pub(crate) fn samples() -> Vec<Sample> {
    [links(), wrapped(), packets(), first_fragments(), tunnels()].concat()
}
