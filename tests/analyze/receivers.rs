//! What a receiver does with an RST, in each state and for each sequence number: the grid of RFC 9293, 3.10.7, and RFC
//! 5961, 3.2, as Linux implements it, and what the evidence of a capture leaves open.
//!
//! Sources of the expectations: `tcp_validate_incoming()`, `tcp_reset()` and `tcp_timewait_state_process()` of the Linux
//! kernel, and FreeBSD's tests `rcv-rst-*`, which agree on all that is not named here.

use std::fs;

use serde_json::Value;

use crate::analyze;
use crate::layout::{Order, Pcap};
use crate::segments::{ACK, FIN, Frame, RST, SYN};

/// Segment between the client's port and port 80, with numbers relative to the initial ones.
#[derive(Clone, Copy)]
pub(crate) struct Wire {
    to_server: bool,
    flags: u8,
    seq: u32,
    ack: u32,
    window: u16,
    len: u16,
    options: &'static [u8],
    /// Time since the segment before it, in microseconds.
    pub(crate) after: u32,
    /// Field of a segment without ACK that other systems fill.
    raw_ack: u32,
}

const WINDOW: u16 = 64_240;

/// Segment of the client.
pub(crate) const fn up(flags: u8, seq: u32, ack: u32) -> Wire {
    Wire {
        to_server: true,
        flags,
        seq,
        ack,
        window: WINDOW,
        len: 0,
        options: &[],
        after: 100,
        raw_ack: 0,
    }
}

/// Segment of the server.
pub(crate) const fn down(flags: u8, seq: u32, ack: u32) -> Wire {
    Wire {
        to_server: false,
        ..up(flags, seq, ack)
    }
}

impl Wire {
    pub(crate) const fn len(self, len: u16) -> Self {
        Self { len, ..self }
    }

    pub(crate) const fn after(self, microseconds: u32) -> Self {
        Self {
            after: microseconds,
            ..self
        }
    }

    pub(crate) const fn options(self, options: &'static [u8]) -> Self {
        Self { options, ..self }
    }

    pub(crate) const fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    pub(crate) const fn to_server(self) -> bool {
        self.to_server
    }

    pub(crate) fn frame(&self, port: u16) -> Vec<u8> {
        let (own, other) = if self.to_server {
            (1_000, 5_000)
        } else {
            (5_000, 1_000)
        };
        let ends = [(2, port), (1, 80)];
        let (from, to) = if self.to_server {
            (ends[0], ends[1])
        } else {
            (ends[1], ends[0])
        };
        Frame {
            from,
            to,
            flags: self.flags,
            seq: if self.seq == RAW_ZERO {
                0
            } else {
                self.seq.wrapping_add(own)
            },
            ack: if self.flags & ACK == 0 {
                self.raw_ack
            } else {
                self.ack.wrapping_add(other)
            },
            window: self.window,
            options: self.options,
            len: self.len,
            ..Frame::default()
        }
        .bytes()
    }
}

/// Stands for the sequence number 0 on the wire.
pub(crate) const RAW_ZERO: u32 = 0xffff_0000;

/// The RSTs of these connections, which have ports of their own, in order.
pub(crate) fn resets(connections: &[Vec<Wire>]) -> Vec<Vec<Value>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.pcap");
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    let mut at = 1_700_000_000_000_000_u64;
    for (port, connection) in (20_000_u16..).zip(connections) {
        for wire in connection {
            at += u64::from(wire.after);
            let frame = wire.frame(port);
            let length = u32::try_from(frame.len()).unwrap();
            let time = |micros: u64| u32::try_from(micros).unwrap();
            file.record(
                (time(at / 1_000_000), time(at % 1_000_000)),
                (length, length),
                &frame,
            );
        }
    }
    fs::write(&path, &file.bytes).unwrap();
    let rows = analyze(&[path.to_str().unwrap()]).whole().of("reset");
    let port = |row: &Value| -> u16 {
        let ends = [&row["source"], &row["destination"]];
        let ports = ends.map(|end| {
            end.as_str()
                .unwrap()
                .rsplit(':')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        });
        ports.into_iter().find(|port| *port != 80).unwrap()
    };
    let mut found = vec![Vec::new(); connections.len()];
    for row in rows {
        found[usize::from(port(&row) - 20_000)].push(row);
    }
    for of_one in &mut found {
        of_one.sort_by_key(|row| row["frame"].as_u64());
    }
    found
}

/// The only RST of one connection.
#[track_caller]
pub(crate) fn the_reset(connection: &[Wire]) -> Value {
    let mut found = resets(&[connection.to_vec()]);
    let [reset] = &mut found[0][..] else {
        panic!("{found:?}");
    };
    reset.take()
}

/// The last RST of one connection.
#[track_caller]
pub(crate) fn last_reset(connection: &[Wire]) -> Value {
    resets(&[connection.to_vec()]).remove(0).pop().unwrap()
}

pub(crate) const HANDSHAKE: [Wire; 3] = [up(SYN, 0, 0), down(SYN | ACK, 0, 1), up(ACK, 1, 1)];

fn after_handshake(more: &[Wire]) -> Vec<Wire> {
    [&HANDSHAKE[..], more].concat()
}

/// State of the server, the segments that lead to it, its RCV.NXT and its SND.NXT.
type Reached = (&'static str, Vec<Wire>, u32, u32);

fn states() -> [Reached; 8] {
    [
        ("SYN-RECEIVED", HANDSHAKE[..2].to_vec(), 1, 1),
        // The server acknowledges 10 bytes, so its window is that of its latest segment.
        (
            "ESTABLISHED",
            after_handshake(&[up(ACK, 1, 1).len(10), down(ACK, 1, 11)]),
            11,
            1,
        ),
        (
            "CLOSE-WAIT",
            after_handshake(&[up(FIN | ACK, 1, 1), down(ACK, 1, 2)]),
            2,
            1,
        ),
        (
            "FIN-WAIT-1",
            after_handshake(&[down(FIN | ACK, 1, 1)]),
            1,
            2,
        ),
        (
            "FIN-WAIT-2",
            after_handshake(&[down(FIN | ACK, 1, 1), up(ACK, 1, 2)]),
            1,
            2,
        ),
        (
            "CLOSING",
            after_handshake(&[down(FIN | ACK, 1, 1), up(FIN | ACK, 1, 1), down(ACK, 2, 2)]),
            2,
            2,
        ),
        (
            "LAST-ACK",
            after_handshake(&[up(FIN | ACK, 1, 1), down(FIN | ACK, 1, 2)]),
            2,
            2,
        ),
        (
            "TIME-WAIT",
            after_handshake(&[
                down(FIN | ACK, 1, 1),
                up(ACK, 1, 2),
                up(FIN | ACK, 1, 2),
                down(ACK, 2, 2),
            ]),
            2,
            2,
        ),
    ]
}

/// Every cell of the table: state of the server, position of SEQ, with and without ACK.
#[test]
fn each_state_takes_a_reset_at_each_position_as_the_standards_require() {
    let window = u32::from(WINDOW);
    let positions = [
        ("one before", u32::MAX),
        ("exact", 0),
        ("one after", 1),
        ("in window", window / 2),
        ("last of window", window - 1),
        ("right edge", window),
        ("beyond", window + 1),
        ("far beyond", 1_000_000_000),
    ];
    let mut cells = Vec::new();
    let mut connections = Vec::new();
    for (state, segments, rcv_nxt, snd_nxt) in &states() {
        for (position, offset) in positions {
            for flags in [RST, RST | ACK] {
                let reset = up(flags, rcv_nxt.wrapping_add(offset), *snd_nxt);
                cells.push((*state, position, flags));
                connections.push([&segments[..], &[reset]].concat());
            }
        }
    }
    let found = resets(&connections);
    assert_eq!(found.len(), 128);
    for ((state, position, flags), rows) in cells.into_iter().zip(found) {
        let [row] = &rows[..] else {
            panic!("{state}, {position}: {rows:?}");
        };
        let holds_fin = matches!(state, "CLOSE-WAIT" | "CLOSING" | "LAST-ACK");
        let expected = match position {
            "exact" => "accept",
            // `tcp_reset_check()`.
            "one before" if holds_fin => "accept",
            "one before" | "beyond" | "far beyond" => "drop",
            // `tcp_timewait_state_process()` sends nothing in reply to an RST.
            _ if state == "TIME-WAIT" => "drop",
            // Nothing tells the stack of this server: Linux challenges it (`tcp_sequence()`), RFC 5961 has it dropped.
            "right edge" => "unknown",
            _ => "challenge",
        };
        let (errno, condition) = match (expected, state) {
            ("accept", "ESTABLISHED") => (Value::from("ECONNRESET"), Value::Null),
            // The sender's FIN is acknowledged, so there is no condition.
            ("accept", "CLOSE-WAIT") => ("EPIPE".into(), Value::Null),
            ("accept", "FIN-WAIT-1" | "FIN-WAIT-2" | "CLOSING" | "LAST-ACK") => {
                ("ECONNRESET".into(), "socket-held".into())
            }
            _ => (Value::Null, Value::Null),
        };
        let told = [
            &row["receiver_state"],
            &row["required_action"],
            &row["errno"],
            &row["errno_condition"],
        ];
        assert_eq!(
            told,
            [&state.into(), &expected.into(), &errno, &condition],
            "{state}, {position}, flags {flags}: {}",
            row["acceptance"]
        );
    }
}

/// RFC 9293, 3.10.7.1: the SEQ of a reply is the ACK of the segment. Its receiver had received no more by then, whatever
/// was sent to it and lost.
#[test]
fn a_reply_is_exact_for_what_its_receiver_has_acknowledged() {
    // The server's byte never arrived: the client's next segment acknowledges nothing of it.
    let lost = [
        down(ACK, 1, 1).len(1),
        up(ACK, 1, 1).len(3).after(1_500_000),
        down(RST, 1, 0).window(0),
    ];
    let row = the_reset(&after_handshake(&lost));
    assert_eq!(row["required_action"], "accept", "{row}");
    assert_eq!(row["errno"], "ECONNRESET", "{row}");

    // The client has acknowledged more since: the reply is behind RCV.NXT.
    let late = [
        up(ACK, 1, 1).len(3),
        down(ACK, 1, 1).len(1),
        up(ACK, 4, 2),
        down(RST, 1, 0).window(0),
    ];
    let row = the_reset(&after_handshake(&late));
    assert_eq!(row["required_action"], "drop", "{row}");

    // The capture begins with the segment that it replies to.
    let midstream = [up(FIN | ACK, 700, 900), down(RST, 900, 0).window(0)];
    let row = the_reset(&midstream);
    assert_eq!(row["required_action"], "accept", "{row}");
    assert_eq!(row["errno_condition"], "socket-held", "{row}");
}

#[test]
fn a_fin_that_nobody_has_acknowledged_makes_the_error_conditional() {
    let data = |after| {
        [
            down(FIN | ACK, 1, 1),
            up(ACK, 1, 1).len(3).after(after),
            down(RST, 1, 0).window(0),
        ]
    };
    // In flight, or lost: 500 ms is the longest delay of an acknowledgment (RFC 9293, 3.8.6.3).
    let in_flight = the_reset(&after_handshake(&data(1_000)));
    let told = [&in_flight["errno"], &in_flight["errno_condition"]];
    assert_eq!(told, ["EPIPE", "fin-received"], "{in_flight}");
    let lost = the_reset(&after_handshake(&data(900_000)));
    let told = [
        &lost["errno"],
        &lost["errno_condition"],
        &lost["receiver_state"],
    ];
    assert_eq!(
        told,
        ["ECONNRESET", "fin-not-received", "ESTABLISHED"],
        "{lost}"
    );
    let repeated = [
        down(FIN | ACK, 1, 1),
        down(FIN | ACK, 1, 1).after(200_000),
        up(ACK, 1, 1).len(3),
        down(RST, 1, 0).window(0),
    ];
    let repeated = the_reset(&after_handshake(&repeated));
    assert_eq!(
        repeated["errno_condition"], "fin-not-received",
        "{repeated}"
    );

    // A server that has sent its FIN goes on to acknowledge, which does not make its FIN a later one. What the client sends
    // shows that it lacks the FIN, so SEQ 2 is not what it expects, unless the FIN has arrived meanwhile.
    let half_closed = [
        down(FIN | ACK, 1, 1),
        up(ACK, 1, 1).len(3).after(900_000),
        down(ACK, 2, 4),
        up(ACK, 4, 1).len(3),
        down(RST | ACK, 2, 7),
    ];
    let half_closed = the_reset(&after_handshake(&half_closed));
    assert_eq!(half_closed["required_action"], "unknown", "{half_closed}");
    assert_eq!(
        half_closed["receiver_state"], "ESTABLISHED",
        "{half_closed}"
    );

    // The FIN is missing from the capture, and one number was acknowledged.
    let missed = [up(ACK, 1, 2).len(3), down(RST, 2, 0).window(0)];
    let missed = the_reset(&after_handshake(&missed));
    let told = [
        &missed["cause"],
        &missed["errno"],
        &missed["errno_condition"],
    ];
    assert_eq!(
        told,
        ["data-after-close", "EPIPE", "fin-received"],
        "{missed}"
    );
}

/// RFC 5681, 2, and RFC 2018, 4: duplicate acknowledgments show that a segment is missing. A FIN after it is not processed
/// (RFC 9293, 3.10.7.4, eighth), so the receiver is in ESTABLISHED, whatever the time.
#[test]
fn a_fin_behind_missing_data_has_not_been_processed() {
    let sack = down(FIN | ACK, 11, 1);
    let missing = [
        down(ACK, 1, 1).len(10),
        sack,
        up(ACK, 1, 1).options(&SACK_OF_THE_FIN),
        up(ACK, 1, 1).len(3),
        down(RST, 1, 0).window(0),
    ];
    let duplicates = [
        down(ACK, 1, 1).len(10),
        down(ACK, 11, 1).len(10),
        down(FIN | ACK, 21, 1),
        up(ACK, 1, 1),
        up(ACK, 1, 1),
        up(ACK, 1, 1).len(3),
        down(RST, 1, 0).window(0),
    ];
    for packets in [&missing[..], &duplicates] {
        let row = the_reset(&after_handshake(packets));
        let told = [
            &row["receiver_state"],
            &row["required_action"],
            &row["errno"],
            &row["errno_condition"],
        ];
        let expected = [
            "ESTABLISHED".into(),
            "accept".into(),
            "ECONNRESET".into(),
            Value::Null,
        ];
        assert_eq!(told, expected.each_ref(), "{row}");
    }
}

/// Options with a selective acknowledgment of the number 11 of the server: NOP, NOP, kind 5 (RFC 2018, 3).
const SACK_OF_THE_FIN: [u8; 12] = {
    let [a, b, c, d] = 5_011_u32.to_be_bytes();
    let [e, f, g, h] = 5_012_u32.to_be_bytes();
    [1, 1, 5, 10, a, b, c, d, e, f, g, h]
};

#[test]
fn what_the_capture_lacks_is_unknown() {
    // Data of the server is missing; the RST after it is ahead of what was captured.
    let gap = [
        down(ACK, 1, 1).len(10),
        up(ACK, 1, 31),
        down(RST | ACK, 41, 1),
    ];
    let row = the_reset(&after_handshake(&gap));
    assert_eq!(row["required_action"], "unknown", "{row}");
    assert_eq!(row["errno"], Value::Null, "{row}");
    // The RST follows data that was sent again and again, and never acknowledged.
    let data = down(ACK, 1, 1).len(10);
    let unanswered = [
        data,
        data.after(200_000),
        data.after(400_000),
        down(RST | ACK, 11, 1),
    ];
    let row = the_reset(&after_handshake(&unanswered));
    assert_eq!(row["required_action"], "unknown", "{row}");
    // Two duplicate acknowledgments show that the data after them is missing at the receiver (RFC 5681, 2).
    let hole = [
        down(ACK, 1, 1).len(10),
        down(ACK, 11, 1).len(10),
        up(ACK, 1, 1),
        up(ACK, 1, 1),
        up(ACK, 1, 1),
        down(RST | ACK, 1, 1),
    ];
    let row = the_reset(&after_handshake(&hole));
    assert_eq!(row["required_action"], "accept", "{row}");
    // Only one end was captured.
    let one_sided = [up(ACK, 1, 1).len(5), up(RST | ACK, 6, 1)];
    let row = the_reset(&one_sided);
    assert_eq!(row["required_action"], "unknown", "{row}");
    // Without the handshake the scale of the window is unknown, and without a window a challenge.
    let ahead = [up(ACK, 1, 1).len(5), down(ACK, 1, 6), down(RST, 500, 0)];
    let row = the_reset(&ahead);
    assert_eq!(row["required_action"], "unknown", "{row}");
    let words = row["acceptance"].as_str().unwrap();
    assert!(words.contains("scale"), "{words}");
}

/// The window of a segment is scaled if both SYNs have the option, that of a SYN never is (RFC 7323, 1.3 and 2.2).
#[test]
fn windows_are_scaled_as_the_handshake_agrees() {
    const SCALE_3: &[u8] = &[1, 3, 3, 3];
    let connection = |server: &'static [u8], ahead: u32| {
        vec![
            up(SYN, 0, 0).options(SCALE_3),
            down(SYN | ACK, 0, 1).options(server),
            up(ACK, 1, 1).window(100),
            down(RST | ACK, 1 + ahead, 1),
        ]
    };
    for (server, ahead, action) in [
        (SCALE_3, 799, "challenge"),
        (SCALE_3, 801, "drop"),
        (&[], 99, "challenge"),
        (&[], 101, "drop"),
    ] {
        let row = the_reset(&connection(server, ahead));
        assert_eq!(row["required_action"], action, "{ahead}: {row}");
    }
}

/// RFC 2385, 2, and RFC 5925, 7.2: a segment without the signature of the connection is dropped.
#[test]
fn an_unsigned_reset_on_a_signed_connection_is_dropped() {
    const MD5: &[u8] = &[
        19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 1,
    ];
    const AUTHENTICATION: &[u8] = &[29, 16, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    for signature in [MD5, AUTHENTICATION] {
        let signed = HANDSHAKE.map(|wire| wire.options(signature));
        let unsigned = the_reset(&[&signed[..], &[down(RST | ACK, 1, 1)]].concat());
        assert_eq!(unsigned["required_action"], "drop", "{unsigned}");
        assert_eq!(unsigned["errno"], Value::Null, "{unsigned}");
        // Without the key nobody can tell whether the signature is right.
        let reset = down(RST | ACK, 1, 1).options(signature);
        let checked = the_reset(&[&signed[..], &[reset]].concat());
        assert_eq!(checked["required_action"], "unknown", "{checked}");
    }
}

/// RFC 8684, 3.5 and 3.6: an RST ends one subflow, and only `MP_FASTCLOSE` the connection.
#[test]
fn a_reset_of_a_subflow_is_no_error_of_the_application() {
    const CAPABLE: &[u8] = &[30, 4, 0, 0x81];
    const FAST_CLOSE: &[u8] = &[30, 12, 0x70, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let both = HANDSHAKE.map(|wire| wire.options(CAPABLE));
    let reset =
        |options| the_reset(&[&both[..], &[down(RST | ACK, 1, 1).options(options)]].concat());
    let plain = reset(&[]);
    assert_eq!(plain["required_action"], "accept", "{plain}");
    assert_eq!(plain["errno"], Value::Null, "{plain}");
    assert_eq!(reset(FAST_CLOSE)["errno"], "ECONNRESET");
    // A server that does not know the option has an ordinary connection.
    let mut fallback = both;
    fallback[1].options = &[];
    let row = the_reset(&[&fallback[..], &[down(RST | ACK, 1, 1)]].concat());
    assert_eq!(row["errno"], "ECONNRESET", "{row}");
}

/// An end that has replied "no socket" has none for an RST to reach; one that goes on has.
#[test]
fn an_end_without_a_socket_gets_no_error() {
    let gone = [
        up(ACK, 1, 1).len(3),
        down(RST, 1, 0).window(0),
        up(RST | ACK, 4, 1),
    ];
    let row = last_reset(&after_handshake(&gone));
    assert_eq!(row["required_action"], "drop", "{row}");
    assert_eq!(row["errno"], Value::Null, "{row}");
}

/// SYN-ACKs for a SYN with a forged source address: each of them draws an RST, and the listener drops the request without a word
/// to the program (`tcp_check_req()`, `net/ipv4/tcp_minisocks.c`), whether or not it got the RSTs before.
#[test]
fn a_request_that_is_reset_again_is_no_error_of_the_program() {
    let reply = up(RST, 1, 0);
    for start in [vec![up(SYN, 0, 0)], vec![]] {
        for pause in [50_000, 1_000_000] {
            let again = [down(SYN | ACK, 0, 1).after(pause), reply];
            let connection = [&start[..], &[down(SYN | ACK, 0, 1), reply], &again, &again].concat();
            let rows = resets(&[connection]).remove(0);
            assert_eq!(rows.len(), 3);
            for row in rows {
                assert_eq!(row["required_action"], "accept", "{row}");
                assert_eq!(row["receiver_state"], "SYN-RECEIVED", "{row}");
                assert_eq!(row["errno"], Value::Null, "{row}");
            }
        }
    }
}

/// RFC 9293, 3.5.1, figure 9: the SYN meets an older connection. No number of one connection is shown relative to the other.
#[test]
fn a_syn_that_meets_an_older_connection_ends_that_one() {
    let connection = [
        up(SYN, 0, 0),
        down(ACK, 70_000, 900_000),
        up(RST, 900_000, 0).window(0),
        up(SYN, 0, 0).after(1_000_000),
        down(SYN | ACK, 0, 1),
        up(ACK, 1, 1),
    ];
    let row = the_reset(&connection);
    assert_eq!(row["cause"], "older-connection", "{row}");
    assert_eq!(row["triggered_by"], 2, "{row}");
    assert_eq!(row["required_action"], "accept", "{row}");
    assert_eq!(row["errno_condition"], "not-time-wait", "{row}");
    let words = row["acceptance"].as_str().unwrap();
    assert!(!words.contains(|it: char| it.is_ascii_digit()), "{words}");
}

/// RFC 9293, 3.1: the acknowledgment number of a segment without ACK means nothing. Windows and the BSDs fill it.
#[test]
fn the_form_of_a_reset_is_what_it_does() {
    let closed = [down(FIN | ACK, 1, 1), up(ACK, 1, 2), up(ACK, 1, 2).len(5)];
    let mut reply = down(RST, 2, 0).window(0);
    reply.raw_ack = 12_345;
    let row = the_reset(&[&HANDSHAKE[..], &closed, &[reply]].concat());
    assert_eq!(
        [&row["form"], &row["cause"]],
        ["passive", "data-after-close"],
        "{row}"
    );
    assert_eq!(row["triggered_by"], 6, "{row}");
    // Windows replies to data after its FIN with ACK and window 0.
    let windows = [&HANDSHAKE[..], &closed, &[down(RST | ACK, 2, 6).window(0)]].concat();
    let row = the_reset(&windows);
    assert_eq!(row["cause"], "data-after-close", "{row}");
    // A refusal with a window is one, too.
    let mut refusal = down(RST | ACK, RAW_ZERO, 1);
    refusal.window = 512;
    let row = the_reset(&[up(SYN, 0, 0), refusal]);
    assert_eq!(
        [&row["cause"], &row["errno"]],
        ["refused", "ECONNREFUSED"],
        "{row}"
    );
}

/// A proxy that completes the handshake keeps its window closed until the server has answered (`nft synproxy`).
#[test]
fn a_refusal_behind_a_proxy_is_recognized() {
    let connection = [
        up(SYN, 0, 0),
        down(SYN | ACK, 0, 1).window(0),
        up(ACK, 1, 1),
        down(RST | ACK, 1, 1).window(0),
    ];
    let row = the_reset(&connection);
    assert_eq!(row["cause"], "refused-behind-proxy", "{row}");
    assert_eq!(row["errno"], "ECONNRESET", "{row}");
}

/// `tcp_sequence()` of Linux counts the first number after the window as within, RFC 5961, 3.2, does not.
#[test]
fn the_right_edge_of_the_window_depends_on_the_system() {
    // The option layout of a Linux SYN-ACK (`tcp_synack_options()`).
    const LINUX: &[u8] = &[
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1, 1, 3, 3, 7,
    ];
    const LINUX_SYN: &[u8] = &[
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
    ];
    const STAMPS: &[u8] = &[1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 1];
    let connection = |ahead: u32| {
        vec![
            up(SYN, 0, 0).options(LINUX_SYN),
            down(SYN | ACK, 0, 1).window(65_160).options(LINUX),
            up(ACK, 1, 1).window(502).options(STAMPS),
            down(RST | ACK, 1 + ahead, 1),
        ]
    };
    for (ahead, action) in [(502 << 7, "challenge"), ((502 << 7) + 1, "drop")] {
        let row = the_reset(&connection(ahead));
        assert_eq!(row["required_action"], action, "{ahead}: {row}");
    }
}

/// Each segment for a socket that is gone draws an RST with the ACK of that segment as its SEQ (RFC 9293, 3.10.7.1), so
/// as many RSTs as segments with that ACK pair up; fewer leave open which segments they reply to.
#[test]
fn rsts_with_one_number_are_paired_with_the_segments_that_they_reply_to() {
    let closed = |segments: usize, resets: usize| {
        let mut all = vec![
            up(SYN, 0, 0),
            down(SYN | ACK, 0, 1),
            up(ACK, 1, 1),
            up(FIN | ACK, 1, 1),
            down(ACK, 1, 2),
            // A sign of life: the segment before it drew no RST.
            up(ACK, 2, 1),
        ];
        all.extend(
            (0_u32..)
                .take(segments)
                .map(|nth| down(ACK, 1 + 100 * nth, 2).len(100)),
        );
        all.extend([up(RST, 2, 0).window(0)].repeat(resets));
        all
    };
    let triggers = |rows: &[Value]| -> Vec<(Value, Value)> {
        let of = |row: &Value| {
            (
                row["triggered_by"].clone(),
                row["trigger_candidates"].clone(),
            )
        };
        rows.iter().map(of).collect()
    };
    let found = resets(&[closed(1, 1), closed(3, 3), closed(3, 2), closed(2, 1)]);
    let first = [0, 8, 20, 31].map(|before: u32| before + 7);
    let pair = |frame: u32, candidates: u32| (frame.into(), candidates.into());
    assert_eq!(triggers(&found[0]), [pair(first[0], 1)]);
    assert_eq!(
        triggers(&found[1]),
        [0, 1, 2].map(|nth| pair(first[1] + nth, 1))
    );
    assert_eq!(
        triggers(&found[2]),
        [pair(first[2] + 2, 3), pair(first[2] + 2, 3)]
    );
    assert_eq!(triggers(&found[3]), [pair(first[3] + 1, 2)]);
}
