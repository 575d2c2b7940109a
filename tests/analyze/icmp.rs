//! ICMP errors that quote a segment belong to its connection. What the kernel makes of them was measured: the captures are
//! those of trials that the kernel's sockets confirm, and the scenario of that name tells how.

use std::fs;

use serde_json::{Value, json};

use crate::layout::{Order, Pcap};
use crate::segments::{ACK, SYN, Segment, refused};
use crate::{Said, analyze, analyze_for_people};

fn captured(name: &str) -> Said {
    let path = format!("{}/captures/{name}.pcapng", env!("CARGO_MANIFEST_DIR"));
    analyze(&[&path]).whole()
}

/// Effect, errno, and the frame in which the receiver carried on, of each ICMP error.
fn effects(said: &Said) -> Vec<Value> {
    let row = |row: &Value| json!([row["frame"], row["effect"], row["errno"], row["went_on_in"]]);
    said.of("icmp").iter().map(row).collect()
}

#[test]
fn the_effect_of_an_icmp_error_is_that_of_the_kernel() {
    for (name, expected) in [
        (
            "connect-icmp-net-unreachable.ipv4",
            json!([2, "connect-fails", "ENETUNREACH", null]),
        ),
        (
            "connect-icmp-host-unreachable.ipv6",
            json!([2, "connect-fails", "EHOSTUNREACH", null]),
        ),
        (
            "connect-icmp-protocol-unreachable.ipv4",
            json!([2, "connect-fails", "ENOPROTOOPT", null]),
        ),
        (
            "connect-icmp-port-unreachable.ipv4",
            json!([2, "connect-fails", "ECONNREFUSED", null]),
        ),
        (
            "connect-icmp-port-unreachable.ipv6",
            json!([2, "connect-fails", "ECONNREFUSED", null]),
        ),
        (
            "connect-icmp-host-unknown.ipv4",
            json!([2, "connect-fails", "EHOSTDOWN", null]),
        ),
        (
            "connect-icmp-source-isolated.ipv4",
            json!([2, "connect-fails", "ENONET", null]),
        ),
        (
            "connect-icmp-host-prohibited.ipv4",
            json!([2, "connect-fails", "EHOSTUNREACH", null]),
        ),
        (
            "connect-icmp-ttl-exceeded.ipv4",
            json!([2, "connect-fails", "EHOSTUNREACH", null]),
        ),
        (
            "connect-icmp-parameter-problem.ipv6",
            json!([2, "connect-fails", "EPROTO", null]),
        ),
        (
            "connect-icmpv6-prohibited.ipv6",
            json!([2, "connect-fails", "EACCES", null]),
        ),
        (
            "connect-router-unreachable.ipv4",
            json!([5, "connect-fails", "EHOSTUNREACH", null]),
        ),
        (
            "connect-icmp-ignored.ipv4",
            json!([2, "ignored", null, null]),
        ),
        (
            "connect-icmp-ignored.ipv6",
            json!([2, "path-mtu", null, null]),
        ),
        (
            "connect-icmp-bad-sequence.ipv4",
            json!([2, "ignored", null, null]),
        ),
        (
            "icmp-established.ipv4",
            json!([4, "recorded", "ECONNREFUSED", null]),
        ),
        (
            "icmp-established-recverr.ipv6",
            json!([4, "recorded", "ECONNREFUSED", null]),
        ),
        (
            "icmp-then-timeout.ipv4",
            json!([5, "recorded", "EHOSTUNREACH", null]),
        ),
        ("keepalive-icmp.ipv4", json!([5, "ignored", null, null])),
    ] {
        let said = captured(name);
        assert_eq!(effects(&said), [expected], "{name}");
        let summary = said.summary();
        let failed = u64::from(said.of("icmp")[0]["effect"] == "connect-fails");
        assert_eq!(summary["failed_by_icmp"], failed, "{name}");
        assert_eq!(said.of("connection")[0]["icmp_count"], 1, "{name}");
    }
    // The first error came while connect() held the socket: the kernel only recorded it, and the SYN was sent again.
    let said = captured("connect-icmp-reject.ipv4");
    let expected = [
        json!([2, "connect-fails", "ECONNREFUSED", 3]),
        json!([4, "connect-fails", "ECONNREFUSED", null]),
    ];
    assert_eq!(effects(&said), expected);
    let [first, second] = &said.of("icmp")[..] else {
        panic!()
    };
    assert!(first["errno_if"].as_str().unwrap().contains("SO_ERROR"));
    assert_eq!(
        (&second["errno_if"], &second["quoted_frame"]),
        (&Value::Null, &3.into())
    );
    assert_eq!(said.summary()["failed_by_icmp"], 1);
}

fn segment(ports: [u16; 2], flags: u8, seq: u32, ack: u32) -> Vec<u8> {
    let segment = Segment {
        ports,
        flags,
        seq,
        ack,
    };
    segment.frame()
}

/// An ICMP error from a router, in an Ethernet frame, that quotes so many bytes of the packet in a frame.
fn error(kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    let length = u16::try_from(28 + quoted.len()).unwrap();
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([0, 9, 0, 0, 64, 1, 0, 0, 10, 0, 0, 254, 10, 0, 0, 2]);
    frame.extend([kind, code, 0, 0]);
    frame.extend(rest);
    frame.extend(quoted);
    frame
}

/// Analyzes a capture of these frames, a millisecond apart.
fn of(frames: &[Vec<u8>], arguments: &[&str]) -> Said {
    let home = tempfile::tempdir().unwrap();
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for (nth, frame) in (0..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap();
        file.record((1_700_000_000, 1_000 * nth), (length, length), frame);
    }
    let path = home.path().join("a.pcap");
    fs::write(&path, file.bytes).unwrap();
    let path = path.to_str().unwrap();
    if arguments == ["people"] {
        return analyze_for_people(&[path]);
    }
    analyze(&[&[path], arguments].concat()).whole()
}

fn syn() -> Vec<u8> {
    segment([5_000, 80], SYN, 1_000, 0)
}

#[test]
fn eight_bytes_and_extensions_are_enough_and_not_too_much() {
    let packet = &syn()[14..];
    // RFC 792 asks for 8 bytes of the segment; RFC 4884 pads to 128 bytes and appends an extension, with its length in
    // words in the header. The padding is no acknowledgment number.
    let padded = |bytes: usize| {
        let mut quoted = packet[..bytes].to_vec();
        quoted.resize(128, 0);
        quoted.extend([0x20, 0, 0, 0, 0, 8, 1, 1, 0, 0, 0, 1]);
        quoted
    };
    for (rest, quoted) in [
        ([0; 4], packet[..28].to_vec()),
        ([0; 4], packet.to_vec()),
        ([0, 32, 0, 0], padded(40)),
        ([0, 32, 0, 0], padded(28)),
        ([0; 4], padded(40)), // by routers that do not state the length
    ] {
        let said = of(&[syn(), error(3, 1, rest, &quoted)], &[]);
        let row = &said.of("icmp")[0];
        assert_eq!(row["errno"], "EHOSTUNREACH", "{row}");
        assert_eq!(
            (&row["quoted_frame"], &row["quoted_seq"]),
            (&1.into(), &1_000.into())
        );
        assert_eq!(
            (&row["source"], &row["to"]),
            (&"10.0.0.254".into(), &"client".into())
        );
        assert_eq!(row["mtu"], Value::Null);
    }
    // With less, the connection is known, and what was sent is not.
    let said = of(&[syn(), error(3, 1, [0; 4], &packet[..24])], &[]);
    assert_eq!(
        effects(&said),
        [json!([2, "unknown", "EHOSTUNREACH", null])]
    );
    // Not even the ports.
    let said = of(&[syn(), error(3, 1, [0; 4], &packet[..23])], &[]);
    assert_eq!(effects(&said), [] as [Value; 0]);
}

#[test]
fn icmp_sentences_name_the_segment_and_the_sender() {
    let said = of(&[syn(), error(3, 10, [0; 4], &syn()[14..])], &["people"]);
    let expected = "frame 2  10.0.0.2:5000 → 10.0.0.1:80  EHOSTUNREACH (client)\n    ICMP host administratively prohibited (3/10) \
                    from 10.0.0.254, about the SYN of frame 1\n    the client's connection attempt fails in SYN-SENT  → EHOSTUNREACH\n";
    assert!(said.out.contains(expected), "{}", said.out);
    assert!(
        said.out
            .contains("1 connection attempt failed by an ICMP error, without an RST")
    );
}

#[test]
fn a_connection_is_shown_with_its_errors() {
    let home = tempfile::tempdir().unwrap();
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for frame in [syn(), error(3, 1, [0; 4], &syn()[14..]), syn()] {
        let length = u32::try_from(frame.len()).unwrap();
        file.record((1_700_000_000, 0), (length, length), &frame);
    }
    let path = home.path().join("a.pcap");
    fs::write(&path, file.bytes).unwrap();
    for frame in ["1", "2", "3"] {
        let said = analyze_for_people(&[path.to_str().unwrap(), "--connection", frame]);
        let at = |text: &str| {
            said.out
                .find(text)
                .unwrap_or_else(|| panic!("{}", said.out))
        };
        let (error, again) = (
            at("frame 2  ICMP host unreachable"),
            at("      3    0.000000"),
        );
        assert!(
            at("      1    0.000000") < error && error < again,
            "{}",
            said.out
        );
    }
}

#[test]
fn icmp_errors_inside_vlans_and_tunnels_are_found() {
    let tagged = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat();
    let gre = |frame: &[u8]| {
        let packet = &frame[14..];
        let length = u16::try_from(24 + packet.len()).unwrap().to_be_bytes();
        let outer = [
            0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 47, 0, 0, 9, 9, 9, 1, 9, 9, 9, 2,
        ];
        [&frame[..14], &outer, &[0, 0, 8, 0], packet].concat()
    };
    let frames = [syn(), error(3, 3, [0; 4], &syn()[14..])];
    let expected = [json!([2, "connect-fails", "ECONNREFUSED", null])];
    let in_vlan = frames.each_ref().map(|frame| tagged(frame));
    assert_eq!(effects(&of(&in_vlan, &[])), expected);
    let in_gre = frames.each_ref().map(|frame| gre(frame));
    assert_eq!(effects(&of(&in_gre, &[])), [] as [Value; 0]);
    assert_eq!(effects(&of(&in_gre, &["--tunnels"])), expected);
}

#[test]
fn an_error_about_an_unknown_connection_creates_none() {
    let other = segment([5_001, 80], SYN, 1_000, 0);
    let udp = [&syn()[14..23], &[17], &syn()[24..]].concat();
    let said = of(
        &[
            syn(),
            error(3, 1, [0; 4], &other[14..]),
            error(3, 3, [0; 4], &udp),
        ],
        &[],
    );
    assert_eq!(effects(&said), [] as [Value; 0]);
    let summary = said.summary();
    assert_eq!(summary["icmp_errors_unmatched"], 1);
    assert_eq!(
        (&summary["connections"], &summary["icmp_errors"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn a_copy_counts_once_and_an_answer_to_each_syn_for_itself() {
    let message = |id: u8| {
        let mut frame = error(3, 1, [0; 4], &syn()[14..]);
        frame[19] = id;
        frame
    };
    let said = of(&[syn(), message(9), message(9)], &[]);
    assert_eq!(said.of("icmp").len(), 1);
    let said = of(&[syn(), message(9), syn(), message(10)], &[]);
    let expected = [
        json!([2, "connect-fails", "EHOSTUNREACH", 3]),
        json!([4, "connect-fails", "EHOSTUNREACH", null]),
    ];
    assert_eq!(effects(&said), expected);
}

#[test]
fn state_and_sequence_number_decide() {
    let [client, server] = [[5_000, 80], [80, 5_000]];
    let opened = [
        syn(),
        segment(server, SYN | ACK, 7_000, 1_001),
        segment(client, ACK, 1_001, 7_001),
    ];
    let with = |frame: Vec<u8>| of(&[&opened[..], &[frame]].concat(), &[]);
    // RFC 1191: the next-hop MTU is in the lower half of the second word.
    let said = with(error(3, 4, [0, 0, 0x05, 0x14], &opened[2][14..]));
    assert_eq!(effects(&said), [json!([4, "path-mtu", null, null])]);
    assert_eq!(said.of("icmp")[0]["mtu"], 1_300);
    // tcp_v4_err(): `between(seq, snd_una, snd_nxt)`, else OutOfWindowIcmps.
    for (seq, effect) in [(1_001, "recorded"), (1_000, "ignored"), (1_002, "ignored")] {
        let quoted = segment(client, ACK, seq, 7_001);
        let said = with(error(3, 1, [0; 4], &quoted[14..]));
        assert_eq!(said.of("icmp")[0]["effect"], effect, "{seq}");
    }
    // tcp_req_err(): net and host unreachable, time exceeded and parameter problems drop a request; others do not.
    for (kind, code, effect) in [
        (3, 0, "request-dropped"),
        (3, 1, "request-dropped"),
        (11, 0, "request-dropped"),
        (12, 0, "request-dropped"),
        (3, 3, "ignored"),
        (3, 13, "ignored"),
    ] {
        let said = of(
            &[
                syn(),
                opened[1].clone(),
                error(kind, code, [0; 4], &opened[1][14..]),
            ],
            &[],
        );
        let row = &said.of("icmp")[0];
        assert_eq!(
            (&row["to"], &row["effect"]),
            (&"server".into(), &effect.into())
        );
        assert_eq!(row["errno"], Value::Null);
    }
    // What the receiver sent was not captured.
    let said = of(
        &[
            opened[1].clone(),
            error(3, 1, [0; 4], &segment(client, ACK, 9_000, 7_001)[14..]),
        ],
        &[],
    );
    assert_eq!(said.of("icmp")[0]["effect"], "unknown");
    // After the RST nobody is left.
    let [first, rst] = refused(5_000).map(Segment::frame);
    let said = of(&[first, rst, error(3, 1, [0; 4], &syn()[14..])], &[]);
    assert_eq!(said.of("icmp")[0]["effect"], "ignored");
}
