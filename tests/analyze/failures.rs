//! Connections that failed with or without an RST, and connections that did not fail.

use std::fs;

use serde_json::{Value, json};

use crate::layout::{Order, PcapNg};
use crate::segments::{ACK, FIN, Frame, RST, SYN};
use crate::{Said, analyze, analyze_for_people};

const PSH: u8 = 8;
const SECOND: u64 = 1_000;

/// Packets of one connection, from 10.0.0.2:40000 to port 80 of 10.0.0.1. Numbers count from the SYN, which is 0.
#[derive(Clone, Default)]
struct Packets {
    /// Time in milliseconds, and the frame.
    all: Vec<(u64, Vec<u8>)>,
    /// IP IDs given so far: no packet is a copy of another one.
    ids: u16,
}

const CLIENT: bool = true;
const SERVER: bool = false;

/// What a segment carries.
#[derive(Clone, Copy)]
enum Load<'a> {
    Text(&'a [u8]),
    /// So many bytes of no known protocol.
    Bytes(u16),
}

impl Packets {
    fn put(&mut self, at: u64, is_client: bool, frame: Frame<'_>, text: &[u8]) {
        self.ids += 1;
        let ends = [(2, 40_000), (1, 80)];
        let [from, to] = if is_client { ends } else { [ends[1], ends[0]] };
        let (mine, its) = if is_client {
            (1_000, 5_000)
        } else {
            (5_000, 1_000)
        };
        let mut bytes = Frame {
            from,
            to,
            id: self.ids,
            seq: frame.seq.wrapping_add(mine),
            ack: if frame.flags & ACK == 0 {
                0
            } else {
                frame.ack.wrapping_add(its)
            },
            ..frame
        }
        .bytes();
        let start = bytes.len() - text.len();
        bytes[start..].copy_from_slice(text);
        self.all.push((at, bytes));
    }

    fn segment(mut self, at: u64, is_client: bool, flags: u8, (seq, ack): (u32, u32)) -> Self {
        let frame = Frame {
            flags,
            seq,
            ack,
            window: 500,
            ..Frame::default()
        };
        self.put(at, is_client, frame, &[]);
        self
    }

    fn window(mut self, at: u64, is_client: bool, (seq, ack): (u32, u32), window: u16) -> Self {
        let frame = Frame {
            flags: ACK,
            seq,
            ack,
            window,
            ..Frame::default()
        };
        self.put(at, is_client, frame, &[]);
        self
    }

    fn data(mut self, at: u64, is_client: bool, (seq, ack): (u32, u32), load: Load<'_>) -> Self {
        let (len, text) = match load {
            Load::Text(text) => (u16::try_from(text.len()).unwrap(), text),
            Load::Bytes(len) => (len, &[][..]),
        };
        let frame = Frame {
            flags: ACK | PSH,
            seq,
            ack,
            window: 500,
            len,
            ..Frame::default()
        };
        self.put(at, is_client, frame, text);
        self
    }

    /// Handshake at 0 s.
    fn open() -> Self {
        Self::default()
            .segment(0, CLIENT, SYN, (0, 0))
            .segment(10, SERVER, SYN | ACK, (0, 1))
            .segment(20, CLIENT, ACK, (1, 1))
    }

    /// Packet of another connection: the capture lasts to this time.
    fn until(mut self, at: u64) -> Self {
        let frame = Frame {
            from: (7, 700),
            to: (8, 800),
            flags: ACK,
            ..Frame::default()
        };
        self.all.push((at, frame.bytes()));
        self
    }

    fn pcapng(&self) -> Vec<u8> {
        let mut file = PcapNg::with_interface(Order::Little, &[(9, &[9])]);
        for (at, frame) in &self.all {
            file.frame(0, (1_700_000_000_000 + at) * 1_000_000, frame, &[]);
        }
        file.bytes
    }

    fn said(&self, is_for_people: bool) -> Said {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.pcapng");
        fs::write(&path, self.pcapng()).unwrap();
        let path = path.to_str().unwrap();
        if is_for_people {
            analyze_for_people(&[path]).whole()
        } else {
            analyze(&[path]).whole()
        }
    }

    fn row(&self) -> Value {
        let rows = self.said(false).of("connection");
        let row = rows.into_iter().find(|row| row["connection"] == 1);
        row.unwrap()
    }

    /// Failure, its frame, and errno and condition of client and server.
    fn verdict(&self) -> Value {
        let row = self.row();
        json!([
            row["failure"],
            row["failure_frame"],
            [row["client_errno"], row["client_errno_condition"]],
            [row["server_errno"], row["server_errno_condition"]],
        ])
    }
}

const NONE: [Value; 2] = [Value::Null, Value::Null];

/// SYNs at these seconds.
fn syns(at: &[u64]) -> Packets {
    at.iter().fold(Packets::default(), |packets, at| {
        packets.segment(at * SECOND, CLIENT, SYN, (0, 0))
    })
}

/// `tcp_syn_retries` is 6 by default: 7 SYNs, at intervals that double from 1 s on (RFC 6298, 2.1 and 5.5), and ETIMEDOUT
/// 127 s after the first.
#[test]
fn a_syn_without_reply_times_out() {
    let all = [0, 1, 3, 7, 15, 31, 63];
    let failed =
        |errno_condition: Value| json!(["no-reply", 1, ["ETIMEDOUT", errno_condition], NONE]);
    assert_eq!(
        syns(&all).until(200 * SECOND).verdict(),
        failed(Value::Null)
    );
    // After 63 s the next one would come 64 s later.
    assert_eq!(
        syns(&all).until(100 * SECOND).verdict(),
        failed(json!("no-later-reply"))
    );
    assert_eq!(syns(&all[..3]).verdict(), failed(json!("no-later-reply")));
    // A kernel with the default would have sent the fourth at 7 s.
    assert_eq!(
        syns(&all[..3]).until(10 * SECOND).verdict(),
        failed(json!("kernel-gave-up"))
    );
    let text = syns(&all[..3]).said(true).out;
    assert!(
        text.contains("the client sent its SYN 3 times within 3.0 s, and no reply was captured"),
        "{text}"
    );
    assert!(
        text.contains(
            "→ ETIMEDOUT for the client, unless a reply came after the end of the capture"
        ),
        "{text}"
    );
}

/// The first retransmission comes after a second, or after three on older systems (RFC 6298, 2.1; RFC 2988, 2.1).
#[test]
fn one_syn_at_the_end_of_a_capture_may_be_answered_yet() {
    let none = json!([null, null, NONE, NONE]);
    assert_eq!(syns(&[0]).verdict(), none);
    assert_eq!(syns(&[0]).until(2 * SECOND).verdict(), none);
    assert_eq!(syns(&[0]).until(5 * SECOND).verdict()[0], "no-reply");
    // A reply came, even if its end has nothing more to say.
    assert_eq!(Packets::open().until(900 * SECOND).verdict(), none);
}

/// RFC 9293, 3.10.7.4: without the ACK the server stays in SYN-RECEIVED, and `accept()` does not return.
#[test]
fn a_handshake_may_lack_its_last_segment() {
    let replies = |packets: Packets| {
        packets
            .segment(10, SERVER, SYN | ACK, (0, 1))
            .segment(1_010, SERVER, SYN | ACK, (0, 1))
            .segment(3_010, SERVER, SYN | ACK, (0, 1))
    };
    let silent = replies(syns(&[0]));
    assert_eq!(
        silent.verdict(),
        json!(["handshake-incomplete", 4, NONE, NONE])
    );
    let text = silent.row()["failure_explanation"].to_string();
    assert!(
        text.contains("SYN-ACK 3 times") && text.contains("a scan or a forged address"),
        "{text}"
    );
    let mut repeated = replies(syns(&[0]))
        .segment(3_020, CLIENT, SYN, (0, 0))
        .segment(3_030, SERVER, SYN | ACK, (0, 1));
    repeated.all.sort_by_key(|it| it.0);
    let text = repeated.row()["failure_explanation"].to_string();
    assert!(
        text.contains("repeated its SYN: the SYN-ACK did not reach it"),
        "{text}"
    );
    // The client's ACK arrives at last.
    let row = silent.segment(3_020, CLIENT, ACK, (1, 1)).row();
    assert_eq!(row["failure"], Value::Null);
}

/// Retransmissions of 100 bytes at SEQ 1, the first at this time and then at intervals that double.
fn retransmissions(
    mut packets: Packets,
    is_client: bool,
    mut at: u64,
    count: u32,
    load: Load<'_>,
    seq: u32,
) -> Packets {
    let mut interval = 200;
    for _ in 0..=count {
        packets = packets.data(at, is_client, (seq, 1), load);
        at += interval;
        // TCP_RTO_MAX is 120 s.
        interval = (2 * interval).min(120_000);
    }
    packets
}

/// `tcp_write_timeout()`: after `tcp_retries2` (15) retransmissions the error is ETIMEDOUT, or what ICMP has recorded.
#[test]
fn data_that_is_never_acknowledged_times_out() {
    // Silence of 9.98 s, then data.
    let some = |count| {
        retransmissions(
            Packets::open(),
            CLIENT,
            10 * SECOND,
            count,
            Load::Bytes(100),
            1,
        )
    };
    let failed = |condition: Value| json!(["timed-out", 4, ["ETIMEDOUT", condition], NONE]);
    assert_eq!(some(5).verdict(), failed(json!("no-later-reply")));
    assert_eq!(
        some(5).until(60 * SECOND).verdict(),
        failed(json!("kernel-gave-up"))
    );
    assert_eq!(
        some(15).until(100_000 * SECOND).verdict(),
        failed(Value::Null)
    );
    let row = some(5).row();
    assert_eq!(row["silence_before_ns"], 9_980_000_000_u64);
    let text = some(5).said(true).out;
    // 200 + 400 + 800 + 1,600 + 3,200 ms.
    assert!(
        text.contains(
            "though repeated 5 times within 6.2 s; the last packet of the server is that of frame 2"
        ),
        "{text}"
    );
    assert!(text.contains("after 9 s of silence"), "{text}");
    // One or two of them happen in every lossy network.
    for count in 0..=2 {
        assert_eq!(some(count).verdict()[0], Value::Null, "{count}");
    }
    // The acknowledgment came after all.
    let acknowledged = some(5).segment(17 * SECOND, SERVER, ACK, (1, 101));
    assert_eq!(acknowledged.verdict()[0], Value::Null);
    // After its FIN no call of the process is left, unless it has only shut down its half.
    let closed = Packets::open().segment(100, SERVER, FIN | ACK, (1, 1));
    let closed = [300, 700, 1_500, 3_100]
        .into_iter()
        .fold(closed, |it, at| it.segment(at, SERVER, FIN | ACK, (1, 1)));
    assert_eq!(
        closed.verdict(),
        json!(["timed-out", 4, NONE, ["ETIMEDOUT", "socket-held"]])
    );
}

/// RFC 9293, 3.8.4: a probe has the number before the next one, and is answered without new data. Then data is under way for the first
/// time.
#[test]
fn answered_probes_are_no_retransmissions() {
    let mut packets = Packets::open().data(100, CLIENT, (1, 1), Load::Bytes(100));
    packets = packets.segment(110, SERVER, ACK, (1, 101));
    for at in [10, 20, 30, 40] {
        packets = packets.segment(at * SECOND, CLIENT, ACK, (100, 1)).segment(
            at * SECOND + 10,
            SERVER,
            ACK,
            (1, 101),
        );
    }
    let asked = packets.data(50 * SECOND, CLIENT, (101, 1), Load::Bytes(100));
    assert_eq!(asked.verdict()[0], Value::Null);
}

/// `tcp_reset()` ends the connection, and a socket that was reset sends no data again: an RST whose receiver goes on was lost after the
/// capture point, or not accepted. What had left before the RST arrived shows nothing.
#[test]
fn a_receiver_that_goes_on_was_not_reset() {
    let aborted = Packets::open().segment(1_000, CLIENT, RST | ACK, (1, 1));
    let action = |packets: &Packets| {
        let reset = packets.said(false).of("reset")[0].clone();
        json!([reset["required_action"], reset["errno"]])
    };
    let in_flight = aborted
        .clone()
        .data(1_030, SERVER, (1, 1), Load::Bytes(100));
    assert_eq!(action(&in_flight), json!(["accept", "ECONNRESET"]));
    let later = in_flight.data(2_100, SERVER, (1, 1), Load::Bytes(100));
    assert_eq!(action(&later), json!(["unknown", null]));
    let text = later.said(true).out;
    assert!(
        text.contains(
            "its receiver still sends 1.1 s later: the RST did not reach it, or was not accepted"
        ),
        "{text}"
    );
}

/// RFC 1191, 2: a router drops what is too large for the next link, and its ICMP error may be lost as well.
#[test]
fn only_large_segments_are_lost_where_the_mtu_shrinks() {
    let request = |len| {
        Packets::open()
            .data(100, CLIENT, (1, 1), Load::Bytes(200))
            .segment(110, SERVER, ACK, (1, 201))
            .data(120, CLIENT, (201, 1), Load::Bytes(len))
    };
    let lost = |len| retransmissions(request(len), CLIENT, 320, 4, Load::Bytes(len), 201);
    assert_eq!(
        lost(1_448).verdict(),
        json!(["mtu-black-hole", 6, ["ETIMEDOUT", "no-later-reply"], NONE])
    );
    assert_eq!(lost(400).verdict()[0], "timed-out");
    // Another large segment had arrived.
    let arrived = request(1_448).segment(130, SERVER, ACK, (1, 1_649));
    let broken = retransmissions(arrived, CLIENT, 320, 4, Load::Bytes(1_448), 1_649);
    assert_eq!(broken.verdict()[0], "timed-out");
}

/// RFC 9293, 3.8.6.1: probes that are answered go on, and only `TCP_USER_TIMEOUT` ends them.
#[test]
fn a_window_may_stay_closed() {
    let mut full = Packets::open()
        .data(100, CLIENT, (1, 1), Load::Bytes(500))
        .window(110, SERVER, (1, 501), 0);
    for at in [400, 1_000, 2_200] {
        full = full
            .segment(at, CLIENT, ACK, (500, 1))
            .window(at + 10, SERVER, (1, 501), 0);
    }
    assert_eq!(
        full.verdict(),
        json!(["zero-window", 10, ["ETIMEDOUT", "user-timeout"], NONE])
    );
    let text = full.row()["failure_explanation"].to_string();
    assert!(
        text.contains(
            "the receive window of the server stayed at 0, and the client probed it 3 times"
        ),
        "{text}"
    );
    let open = full.window(2_300, SERVER, (1, 501), 500);
    assert_eq!(open.verdict()[0], Value::Null);
}

/// RFC 9293, 3.8.4: keepalive probes have the number before the next one.
#[test]
fn keepalive_probes_may_find_no_answer() {
    let probes = [60, 70, 80]
        .into_iter()
        .fold(Packets::open(), |packets, at| {
            packets.segment(at * SECOND, SERVER, ACK, (0, 1))
        });
    assert_eq!(
        probes.verdict(),
        json!(["timed-out", 6, NONE, ["ETIMEDOUT", "no-later-reply"]])
    );
    let text = probes.row()["failure_explanation"].to_string();
    assert!(
        text.contains("the client answered none of 3 keepalive probes"),
        "{text}"
    );
    assert_eq!(
        probes.segment(81 * SECOND, CLIENT, ACK, (1, 1)).verdict()[0],
        Value::Null
    );
}

/// A request, then the FIN of the server.
fn closed_after(request: &[u8]) -> Packets {
    let end = 1 + u32::try_from(request.len()).unwrap();
    Packets::open()
        .data(100, CLIENT, (1, 1), Load::Text(request))
        .segment(110, SERVER, ACK, (1, end))
        .segment(300, SERVER, FIN | ACK, (1, end))
        .segment(310, CLIENT, FIN | ACK, (end, 2))
        .segment(320, SERVER, ACK, (2, end + 1))
}

#[test]
fn a_request_without_an_answer_is_a_failure() {
    let requests: [(&[u8], &str); 9] = [
        (b"GET / HTTP/1.1\r\n\r\n", "an HTTP request"),
        (
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
            "a TLS ClientHello",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "an HTTP/2 preface"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "an SSH identification"),
        (b"*1\r\n$4\r\nPING\r\n", "a Redis command"),
        (b"Q\x00\x00\x00\x0dSELECT 1\x00", "a PostgreSQL request"),
        (b"\x09\x00\x00\x00\x03SELECT 1", "a MySQL query"),
        (
            b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
            "an MQTT CONNECT",
        ),
        (b"EHLO a.example\r\n", "an SMTP greeting"),
    ];
    for (request, name) in requests {
        let row = closed_after(request).row();
        assert_eq!(row["failure"], "closed-before-response", "{name}");
        assert_eq!(row["failure_frame"], 6, "{name}");
        assert_eq!(
            [&row["client_errno"], &row["server_errno"]],
            [&Value::Null; 2],
            "{name}"
        );
        // 200 ms before the FIN the request was acknowledged.
        assert_eq!(row["silence_before_ns"], 190_000_000, "{name}");
        let text = row["failure_explanation"].as_str().unwrap();
        let said = format!("{name} of {} bytes had come from frame 4 on", request.len());
        assert!(text.contains(&said), "{text}");
    }
    // Of a connection that is kept alive, one answer is not that to the next request.
    let (get, ok) = (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n");
    let again = Packets::open()
        .data(100, CLIENT, (1, 1), Load::Text(get))
        .data(200, SERVER, (1, 19), Load::Text(ok))
        .data(5_000, CLIENT, (19, 20), Load::Text(get))
        .segment(5_010, SERVER, FIN | ACK, (20, 37));
    assert_eq!(again.verdict()[0], "closed-before-response");
}

#[test]
fn a_farewell_needs_no_answer() {
    let farewells: [&[u8]; 6] = [
        // Alert close_notify (RFC 8446, 6.1), in TLS 1.2 and, encrypted, in TLS 1.3.
        b"\x15\x03\x03\x00\x02\x01\x00",
        b"\x17\x03\x03\x00\x13xxxxxxxxxxxxxxxxxxx",
        // Terminate (PostgreSQL), COM_QUIT (MySQL), DISCONNECT (MQTT), Close of a client (RFC 6455, 5.5.1).
        b"X\x00\x00\x00\x04",
        b"\x01\x00\x00\x00\x01",
        b"\xe0\x00",
        b"\x88\x82abcdef",
    ];
    for farewell in farewells {
        assert_eq!(
            closed_after(farewell).verdict()[0],
            Value::Null,
            "{farewell:?}"
        );
    }
}

#[test]
fn a_connection_that_ends_well_has_not_failed() {
    let (get, ok) = (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n");
    let answered = Packets::open()
        .data(100, CLIENT, (1, 1), Load::Text(get))
        // A long poll: the answer comes minutes later.
        .segment(110, SERVER, ACK, (1, 19))
        .data(300_000, SERVER, (1, 19), Load::Text(ok))
        .segment(300_010, CLIENT, ACK, (19, 20));
    let kinds = [
        answered.clone(),
        answered
            .clone()
            .segment(301_000, SERVER, FIN | ACK, (20, 19))
            .segment(301_010, CLIENT, FIN | ACK, (19, 21))
            .segment(301_020, SERVER, ACK, (21, 20)),
        // Both at once (RFC 9293, figure 13).
        answered
            .clone()
            .segment(301_000, SERVER, FIN | ACK, (20, 19))
            .segment(301_001, CLIENT, FIN | ACK, (19, 20))
            .segment(301_010, SERVER, ACK, (21, 20))
            .segment(301_011, CLIENT, ACK, (20, 21)),
        // Half-close: the client shuts down its half before the answer.
        Packets::open()
            .data(100, CLIENT, (1, 1), Load::Text(get))
            .segment(101, CLIENT, FIN | ACK, (19, 1))
            .segment(110, SERVER, ACK, (1, 20))
            .data(400, SERVER, (1, 20), Load::Text(ok))
            .segment(401, SERVER, FIN | ACK, (20, 20))
            .segment(410, CLIENT, ACK, (20, 21)),
        // An upload without an answer.
        Packets::open()
            .data(100, CLIENT, (1, 1), Load::Bytes(400))
            .segment(101, CLIENT, FIN | ACK, (401, 1))
            .segment(110, SERVER, ACK, (1, 402))
            .segment(111, SERVER, FIN | ACK, (1, 402))
            .segment(120, CLIENT, ACK, (402, 2)),
        // A check whether the server is there: it reads the greeting and goes (RFC 4253, 4.2).
        Packets::open()
            .data(100, SERVER, (1, 1), Load::Text(b"SSH-2.0-OpenSSH_9.6\r\n"))
            .segment(110, CLIENT, FIN | ACK, (1, 22))
            .segment(111, SERVER, FIN | ACK, (22, 2))
            .segment(112, CLIENT, ACK, (2, 23)),
        // The capture ends while data is under way.
        answered
            .clone()
            .data(300_100, SERVER, (20, 19), Load::Bytes(1_400)),
        // The client is done, and its socket refuses what it does not need any more.
        answered
            .segment(301_000, SERVER, FIN | ACK, (20, 19))
            .segment(301_010, CLIENT, FIN | ACK, (19, 21))
            .segment(301_011, CLIENT, RST, (20, 0)),
    ];
    for (nth, packets) in kinds.iter().enumerate() {
        let verdict = packets.clone().until(4_000_000).verdict();
        assert_eq!(verdict, json!([null, null, NONE, NONE]), "{nth}");
    }
}

/// A connection that has stopped becomes dormant, long before the capture ends.
#[test]
fn a_connection_that_failed_hours_ago_has_failed() {
    let hours = 9_000 * SECOND;
    let cases = [
        (syns(&[0, 1, 3]), "no-reply"),
        (
            retransmissions(Packets::open(), SERVER, 1_000, 6, Load::Bytes(100), 1),
            "timed-out",
        ),
        (
            closed_after(b"GET / HTTP/1.1\r\n\r\n"),
            "closed-before-response",
        ),
        (
            Packets::open().segment(100, SERVER, RST | ACK, (1, 1)),
            "aborted",
        ),
    ];
    for (packets, failure) in cases {
        let row = packets.clone().until(hours).row();
        assert_eq!(row["failure"], failure);
        let mut now = packets.row();
        // Only the condition may depend on what came later.
        for field in ["client_errno_condition", "server_errno_condition"] {
            now[field] = row[field].clone();
        }
        let of = |row: &Value| {
            [
                &row["failure_frame"],
                &row["client_errno"],
                &row["server_errno"],
            ]
            .map(Value::clone)
        };
        assert_eq!(of(&row), of(&now), "{failure}");
    }
}

/// Without the packets of one direction nothing shows what was acknowledged.
#[test]
fn a_capture_of_one_direction_shows_no_failure() {
    let mut packets = retransmissions(Packets::open(), CLIENT, 1_000, 6, Load::Bytes(100), 1);
    packets.all.remove(1);
    assert_eq!(packets.verdict()[0], Value::Null);
}

#[test]
fn the_summary_counts_failures() {
    let said = syns(&[0, 1, 3]).until(10 * SECOND).said(false);
    let summary = said.summary();
    assert_eq!(
        summary["failures"],
        json!([{"value": "no-reply", "count": 1}])
    );
    assert_eq!(summary["failed_connections"], 1);
}

/// The server aborts with this much left open: what it says of it to people, and in JSON.
fn left_open(packets: &Packets) -> (String, Value) {
    let rows = packets.said(false).of("reset");
    let fields = [
        "unanswered_frame",
        "unanswered_bytes",
        "unanswered_age_ns",
        "unacknowledged_bytes",
    ];
    let fields = fields.map(|field| rows[0][field].clone());
    (packets.said(true).out, json!(fields))
}

#[test]
fn an_abort_says_what_it_left_open() {
    let request = Packets::open()
        .data(100, CLIENT, (1, 1), Load::Bytes(40))
        .data(110, CLIENT, (41, 1), Load::Bytes(10))
        .segment(120, SERVER, ACK, (1, 51));
    let (text, fields) = left_open(&request.clone().segment(646, SERVER, RST | ACK, (1, 51)));
    assert_eq!(fields, json!([4, 50, 546_000_000, 0]));
    let line = "the last 50 bytes of the client, since frame 4, 546 ms before, had no answer\n";
    assert!(text.contains(line), "{text}");
    assert!(!text.contains("not acknowledged"), "{text}");

    let answer = request.data(200, SERVER, (1, 51), Load::Bytes(1_000));
    let (text, fields) = left_open(&answer.clone().segment(300, SERVER, RST | ACK, (1_001, 51)));
    assert_eq!(fields, json!([null, 0, null, 1_000]));
    let line = "the last 1,000 bytes of the server were not acknowledged, and may be lost\n";
    assert!(text.contains(line), "{text}");
    assert!(!text.contains("had no answer"), "{text}");

    // A response needs no answer, and an RST that ends nothing loses nothing.
    let (text, _) = left_open(&answer.clone().segment(300, CLIENT, RST | ACK, (51, 1_001)));
    assert!(
        text.contains("ECONNRESET") && !text.contains("had no answer"),
        "{text}"
    );

    let whole = answer.segment(210, CLIENT, ACK, (51, 1_001));
    let (text, fields) = left_open(&whole.segment(300, SERVER, RST | ACK, (1_001, 51)));
    assert_eq!(fields, json!([null, 0, null, 0]));
    assert!(
        !text.contains("not acknowledged") && !text.contains("had no answer"),
        "{text}"
    );
}

/// Exit codes for CI: 1 if the capture holds what is named.
#[test]
fn a_capture_fails_on_what_is_named() {
    let home = tempfile::tempdir().unwrap();
    let refused = "captures/connect-closed-port.ipv4.pcapng";
    let good = "captures/clean-close-eof.ipv4.pcapng";
    let closed = home.path().join("closed.pcap");
    fs::write(&closed, closed_after(b"GET / HTTP/1.1\r\n\r\n").pcapng()).unwrap();
    let closed = closed.to_str().unwrap();
    for (path, what, code) in [
        (refused, "reset", 1),
        (refused, "failure", 1),
        (good, "reset", 0),
        (good, "failure", 0),
        // No RST.
        (closed, "reset", 0),
        (closed, "failure", 1),
    ] {
        for said in [
            analyze(&["--fail-on", what, path]),
            analyze_for_people(&["--fail-on", what, path]),
        ] {
            assert_eq!((said.code, &*said.err), (Some(code), ""), "{path} {what}");
        }
    }
    let said = analyze(&["--fail-on", "reset", "--errno", "EPIPE", good]);
    assert!(said.complaint().contains("--fail-on"), "{}", said.err);
    // A file that cannot be read is worse.
    let said = analyze(&["--fail-on", "reset", refused, "/dev/null/x"]);
    assert_eq!(said.code, Some(2));
}
