//! Captures that a filter has left without what explains their RSTs; keepalive probes where a capture begins later.

use std::fs;

use serde_json::{Value, json};

use crate::layout::{Order, Pcap};
use crate::segments::{ACK, FIN, RST, SYN, Segment};
use crate::{Said, analyze, analyze_for_people};

/// Frame with its time in milliseconds.
type Timed = (u32, Vec<u8>);

fn segment(ports: [u16; 2], flags: u8, seq: u32, ack: u32) -> Segment {
    Segment {
        ports,
        flags,
        seq,
        ack,
    }
}

/// Frame of a segment with so many bytes of data.
fn with_data(segment: Segment, bytes: usize) -> Vec<u8> {
    let mut frame = segment.frame();
    let length = u16::try_from(40 + bytes).unwrap();
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame.resize(54 + bytes, b'x');
    frame
}

/// RST with ACK and window 0.
fn without_window(segment: Segment) -> Vec<u8> {
    let mut frame = segment.frame();
    frame[48..50].fill(0);
    frame
}

fn write(frames: &[Timed], name: &str) -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for (at, frame) in frames {
        let length = u32::try_from(frame.len()).unwrap();
        file.record((at / 1000, at % 1000 * 1000), (length, length), frame);
    }
    let path = home.path().join(name);
    fs::write(&path, file.bytes).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (home, path)
}

fn of(frames: &[Timed]) -> Said {
    let (_home, path) = write(frames, "capture.pcap");
    analyze(&[&path]).whole()
}

fn for_people(frames: &[Timed], arguments: &[&str]) -> Said {
    let (_home, path) = write(frames, "capture.pcap");
    analyze_for_people(&[arguments, &[&path]].concat()).whole()
}

/// A request and its response, then an abort of the client; and a refused connection.
fn whole() -> Vec<Timed> {
    let (client, server) = ([40_000, 80], [80, 40_000]);
    let (other, refused) = ([40_001, 81], [81, 40_001]);
    vec![
        (0, segment(client, SYN, 999, 0).frame()),
        (1, segment(server, SYN | ACK, 4_999, 1_000).frame()),
        (2, segment(client, ACK, 1_000, 5_000).frame()),
        (3, with_data(segment(client, ACK, 1_000, 5_000), 100)),
        (4, with_data(segment(server, ACK, 5_000, 1_100), 300)),
        (5, segment(client, ACK, 1_100, 5_300).frame()),
        (6, segment(client, RST | ACK, 1_100, 5_300).frame()),
        (7, segment(other, SYN, 70, 0).frame()),
        (8, without_window(segment(refused, RST | ACK, 0, 71))),
    ]
}

fn flags(frame: &[u8]) -> u8 {
    frame[47]
}

fn of_port(frame: &[u8], port: u16) -> bool {
    frame[34..36] == port.to_be_bytes()
}

fn missing(said: &Said) -> Value {
    said.summary()["missing_traffic"]["id"].clone()
}

#[test]
fn a_capture_that_lacks_nothing_is_not_said_to() {
    assert_eq!(missing(&of(&whole())), Value::Null);
    // Refused connections have no other segments, nor has a scan.
    let refused: Vec<_> = whole().split_off(7);
    assert_eq!(missing(&of(&refused)), Value::Null);
    // An end that is down has no direction.
    let silent: Vec<_> = (0..4)
        .map(|nth| (nth * 1_000, segment([40_000, 80], SYN, 7, 0).frame()))
        .collect();
    assert_eq!(missing(&of(&silent)), Value::Null);
    // Without an RST there is no reply to explain, but the client resets at once (RFC 9293, 3.10.7.3).
    let checked = [
        whole()[0].clone(),
        whole()[1].clone(),
        (2, segment([40_000, 80], RST | ACK, 1_000, 5_000).frame()),
    ];
    let said = of(&checked);
    assert_eq!(missing(&said), Value::Null);
    assert_eq!(said.of("reset")[0]["cause"], "aborted-close");
}

#[test]
fn only_rsts_are_recognized_and_explained_by_their_headers() {
    let frames = [
        // Replies to a SYN, to a segment that acknowledged 5,000, and aborts (RFC 9293, 3.10.7.1; tcp_send_active_reset()).
        (
            0,
            without_window(segment([8_081, 36_043], RST | ACK, 0, 71)),
        ),
        (1, segment([80, 40_000], RST, 5_000, 0).frame()),
        (2, segment([80, 40_002], RST | ACK, 5_000, 900).frame()),
        (3, segment([40_003, 80], RST | ACK, 5_000, 900).frame()),
        (
            4,
            without_window(segment([80, 40_004], RST | ACK, 5_000, 900)),
        ),
        (5, segment([80, 40_000], RST, 5_000, 0).frame()),
    ];
    let said = of(&frames);
    assert_eq!(missing(&said), "all-but-rst");
    assert_eq!(said.summary()["missing_traffic"]["filter"], "tcp");
    let wanted = [
        ("server", "replies to a segment without ACK, usually a SYN"),
        (
            "server",
            "an RST without ACK replies to a segment whose ACK number is its SEQ",
        ),
        ("server", "is the abort of a socket"),
        ("client", "is the abort of a socket"),
        ("server", "other systems than Linux abort"),
        (
            "server",
            "an RST without ACK replies to a segment whose ACK number is its SEQ",
        ),
    ];
    let resets = said.of("reset");
    assert_eq!(resets.len(), wanted.len());
    for (reset, (from, explanation)) in resets.iter().zip(wanted) {
        assert_eq!(reset["from"], from, "{reset}");
        assert!(
            reset["explanation"].as_str().unwrap().contains(explanation),
            "{reset}"
        );
        // The header does not say which of several causes it is.
        assert_eq!(reset["cause"], Value::Null, "{reset}");
        assert_eq!(reset["required_action"], "unknown", "{reset}");
        assert_eq!(reset["errno"], Value::Null, "{reset}");
    }
    let sources: Vec<_> = said.summary()["reset_sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["role"].clone(), it["port"].clone()))
        .collect();
    assert!(
        sources.contains(&(json!("server"), json!(8_081))),
        "{sources:?}"
    );
    assert!(!said.out.contains("stray"), "{}", said.out);

    let said = for_people(&frames, &[]);
    for (line, count) in [
        ("this capture holds only RSTs", 1),
        ("record with the filter \"tcp\"", 1),
    ] {
        assert_eq!(said.out.matches(line).count(), count, "{}", said.out);
    }
    let second = said.out.lines().nth(1).unwrap();
    assert!(second.contains("this capture holds only RSTs"), "{second}");
    assert!(!said.out.contains("no error"), "{}", said.out);
    assert!(!said.out.contains("8081 (as a client)"), "{}", said.out);
    let said = for_people(&frames, &["-q"]);
    assert!(
        said.out.contains("this capture holds only RSTs"),
        "{}",
        said.out
    );
    // The filter of the analysis hides the rest in the same way.
    let said = for_people(&whole(), &["-f", "tcp[tcpflags] & tcp-rst != 0"]);
    assert!(
        said.out.contains("this capture holds only RSTs"),
        "{}",
        said.out
    );
    assert!(said.out.contains("omit -f"), "{}", said.out);
}

#[test]
fn only_syn_fin_and_rst_leave_no_numbers_to_judge_by() {
    let frames: Vec<_> = whole()
        .into_iter()
        .filter(|(_, frame)| flags(frame) & (SYN | FIN | RST) != 0)
        .collect();
    let said = of(&frames);
    assert_eq!(missing(&said), "all-but-syn-fin-rst");
    let resets = said.of("reset");
    // Its SEQ is 100 after the only number of the client that was captured.
    assert_eq!(resets[0]["required_action"], "unknown", "{}", resets[0]);
    // The refused one is all there.
    assert_eq!(resets[1]["errno"], "ECONNREFUSED", "{}", resets[1]);
}

/// A reply that comes long after the only SYN-ACK does not answer that: it would have been sent again (RFC 6298, 2.1).
#[test]
fn an_rst_long_after_the_syn_ack_does_not_answer_it() {
    let (client, server) = ([40_000, 80], [80, 40_000]);
    let frames = [
        (0, segment(client, SYN, 999, 0).frame()),
        (1, segment(server, SYN | ACK, 4_999, 1_000).frame()),
        (4_000, segment(client, RST, 1_000, 0).frame()),
    ];
    let reset = &of(&frames).of("reset")[0];
    assert_ne!(reset["cause"], "abandoned-connect", "{reset}");
    assert_eq!(reset["errno"], "ECONNRESET", "{reset}");
    assert_eq!(reset["errno_condition"], "handshake-completed", "{reset}");
}

#[test]
fn one_direction_is_recognized_and_the_other_end_unknown() {
    for port in [40_000, 80] {
        let frames: Vec<_> = whole()
            .into_iter()
            .filter(|(_, frame)| of_port(frame, port))
            .collect();
        let said = of(&frames);
        let is_client = port == 40_000;
        let wanted = if is_client {
            json!("one-direction")
        } else {
            Value::Null
        };
        // Of the server there is no acknowledgment after which it shows that more came.
        if is_client {
            assert_eq!(missing(&said), wanted);
        }
        for reset in said.of("reset") {
            assert_eq!(reset["required_action"], "unknown", "{reset}");
        }
    }
}

#[test]
fn missing_data_is_recognized_and_its_numbers_taken_from_acknowledgments() {
    let frames: Vec<_> = whole()
        .into_iter()
        .filter(|(_, frame)| frame.len() == 54)
        .collect();
    let said = of(&frames);
    assert_eq!(missing(&said), "data");
}

/// What an end has acknowledged it has received, and a server takes data only after the handshake (RFC 9293, 3.10.7.4).
#[test]
fn a_server_that_acknowledges_data_has_a_connection() {
    let (client, server) = ([40_000, 80], [80, 40_000]);
    let frames = [
        (0, segment(client, SYN, 999, 0).frame()),
        (1, segment(server, SYN | ACK, 4_999, 1_000).frame()),
        // The ACK of the client came with its data.
        (3, segment(server, ACK, 5_000, 1_030).frame()),
        (4, segment(client, RST | ACK, 1_030, 5_000).frame()),
    ];
    let reset = &of(&frames).of("reset")[0];
    assert_eq!(
        [&reset["receiver_state"], &reset["errno"]],
        ["ESTABLISHED", "ECONNRESET"],
        "{reset}"
    );
}

/// An end that has sent nothing here may have a connection, whose SYN-ACK was not captured.
#[test]
fn an_end_that_the_capture_does_not_show_may_have_a_connection() {
    let client = [40_000, 80];
    let frames = [
        (0, segment(client, SYN, 999, 0).frame()),
        (30, segment(client, RST | ACK, 1_000, 5_000).frame()),
    ];
    let reset = &of(&frames).of("reset")[0];
    assert_eq!(reset["required_action"], "unknown", "{reset}");
    assert_eq!(
        reset["acceptance"],
        "the capture holds no segment of the receiver"
    );
}

/// A reply whose segment is missing: its SEQ is one ahead of what was captured, as after a FIN that is missing, too.
#[test]
fn a_reply_after_a_fin_that_is_missing_is_not_called_inexact() {
    let (client, server) = ([40_000, 80], [80, 40_000]);
    let frames = [
        (0, segment(client, SYN, 999, 0).frame()),
        (1, segment(server, SYN | ACK, 4_999, 1_000).frame()),
        (2, segment(client, ACK, 1_000, 5_000).frame()),
        (9, segment(server, RST, 5_001, 0).frame()),
    ];
    let reset = &of(&frames).of("reset")[0];
    assert_eq!(reset["required_action"], "unknown", "{reset}");
    let explanation = reset["explanation"].as_str().unwrap();
    assert!(!explanation.contains("sent nothing since"), "{reset}");
}

/// A packet that is captured four times counts once, also where the first that was captured is an RST.
#[test]
fn further_copies_of_the_first_packet_are_no_rsts_of_their_own() {
    let mut frame = segment([80, 40_000], RST | ACK, 5_000, 900).frame();
    frame[18..20].copy_from_slice(&[7, 7]); // IP ID
    let frames = vec![(0, frame); 4];
    let said = of(&frames);
    assert_eq!(said.of("reset").len(), 1, "{}", said.out);
}

/// RFC 9293, 3.8.4: the number of a probe is one below SND.NXT. The capture begins with the first one.
fn probes(at: &[u32], reset: u32) -> Vec<Timed> {
    let client = [40_000, 80];
    let probes = at
        .iter()
        .map(|at| (*at, segment(client, ACK, 1_099, 5_300).frame()));
    let reset = (reset, segment(client, RST | ACK, 1_100, 5_300).frame());
    probes.chain([reset]).collect()
}

#[test]
fn keepalive_probes_are_recognized_where_a_capture_begins_later() {
    for interval in [1_000, 10_000, 75_000] {
        let times: Vec<u32> = (0..9).map(|nth| nth * interval).collect();
        for count in 2..9 {
            let reset = &of(&probes(&times[..count], times[count])).of("reset")[0];
            assert_eq!(
                reset["cause"], "keepalive",
                "{count} of {interval}: {reset}"
            );
            assert_eq!(reset["required_action"], "unknown", "{reset}");
        }
    }
    // One probe, or intervals that differ: an empty segment may be something else.
    for (at, reset) in [(&[0][..], 1_000), (&[0, 1_000], 9_000), (&[0, 1, 2], 3)] {
        let reset = &of(&probes(at, reset)).of("reset")[0];
        assert_eq!(reset["cause"], Value::Null, "{reset}");
        assert!(
            reset["explanation"]
                .as_str()
                .unwrap()
                .contains("may have been"),
            "{reset}"
        );
    }
}

/// The reply to a probe acknowledges one number more than the probe shows, which is no FIN.
#[test]
fn the_reply_to_a_probe_shows_no_fin() {
    let (client, server) = ([40_000, 80], [80, 40_000]);
    let frames = [
        (0, segment(client, ACK, 1_099, 5_300).frame()),
        (1, segment(server, ACK, 5_300, 1_100).frame()),
        (75_000, segment(client, ACK, 1_099, 5_300).frame()),
        (75_001, segment(server, RST, 5_300, 0).frame()),
    ];
    let reset = &of(&frames).of("reset")[0];
    assert_eq!(reset["cause"], "keepalive", "{reset}");
    assert_eq!(
        [
            &reset["receiver_state"],
            &reset["errno"],
            &reset["triggered_by"]
        ],
        [&json!("ESTABLISHED"), &json!("ECONNRESET"), &json!(3)],
        "{reset}"
    );
    let answered = [
        frames[0].clone(),
        frames[1].clone(),
        (2_000, with_data(segment(client, ACK, 1_100, 5_300), 10)),
        (2_001, segment(client, RST | ACK, 1_110, 5_300).frame()),
    ];
    let reset = &of(&answered).of("reset")[0];
    assert_eq!(
        [&reset["receiver_state"], &reset["errno"], &reset["cause"]],
        ["ESTABLISHED", "ECONNRESET", "aborted-close"],
        "{reset}"
    );
}

/// One byte that was lost and is sent again is no probe: the other end does not have it.
#[test]
fn a_byte_that_is_sent_again_is_no_probe() {
    let (client, server) = ([40_000, 80], [80, 40_000]);
    let byte = with_data(segment(client, ACK, 1_000, 5_000), 1);
    let frames = [
        (0, segment(client, SYN, 999, 0).frame()),
        (1, segment(server, SYN | ACK, 4_999, 1_000).frame()),
        (2, segment(client, ACK, 1_000, 5_000).frame()),
        (3, byte.clone()),
        (203, byte.clone()),
        (603, byte),
        (700, segment(client, RST | ACK, 1_001, 5_000).frame()),
    ];
    let reset = &of(&frames).of("reset")[0];
    assert_eq!(reset["cause"], "aborted-close", "{reset}");
}
