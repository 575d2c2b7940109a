//! How a failed connection is told: the last messages of its ends, the answer that was sent before, idle time-outs, the failure of
//! another connection before it, and the scenario that teaches it.

mod comments;
mod proxies;
mod reused;
mod scenarios;
mod secrets;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::layout::{Order, Pcap, PcapNg};
use crate::segments::{ACK, FIN, Frame, RST, SYN};
use crate::{Said, analyze, analyze_for_people};

const PSH: u8 = 8;
const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// End of a connection: the last byte of its address, and its port.
type End = (u8, u16);

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// Frames with their times in nanoseconds.
#[derive(Default)]
struct Frames {
    all: Vec<(u64, Vec<u8>)>,
    /// IP IDs given so far: no packet is a copy of another one.
    ids: u16,
}

/// Connection whose ends acknowledge all that they receive, without segments of their own for that.
#[derive(Clone, Copy)]
struct Talk {
    ends: [End; 2],
    next: [u32; 2],
}

impl Talk {
    /// Handshake that ends at this time.
    fn open(frames: &mut Frames, at: u64, client: End, server: End) -> Self {
        let mut talk = Self {
            ends: [client, server],
            next: [1_000, 5_000],
        };
        talk.put(frames, at - 2 * MS, CLIENT, SYN, &[]);
        talk.put(frames, at - MS, SERVER, SYN | ACK, &[]);
        talk.put(frames, at, CLIENT, ACK, &[]);
        talk
    }

    fn put(&mut self, frames: &mut Frames, at: u64, from: usize, flags: u8, data: &[u8]) {
        frames.ids += 1;
        let has_ack = flags & ACK != 0;
        let mut bytes = Frame {
            from: self.ends[from],
            to: self.ends[1 - from],
            id: frames.ids,
            flags,
            seq: self.next[from],
            ack: if has_ack { self.next[1 - from] } else { 0 },
            window: if flags == RST { 0 } else { 500 },
            len: u16::try_from(data.len()).unwrap(),
            ..Frame::default()
        }
        .bytes();
        let start = bytes.len() - data.len();
        bytes[start..].copy_from_slice(data);
        let controls = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.next[from] += controls + u32::try_from(data.len()).unwrap();
        frames.all.push((at, bytes));
    }

    fn say(&mut self, frames: &mut Frames, at: u64, from: usize, data: &[u8]) {
        self.put(frames, at, from, ACK | PSH, data);
    }

    fn ack(&mut self, frames: &mut Frames, at: u64, from: usize) {
        self.put(frames, at, from, ACK, &[]);
    }

    fn fin(&mut self, frames: &mut Frames, at: u64, from: usize) {
        self.put(frames, at, from, FIN | ACK, &[]);
    }

    /// Abort of a socket: an RST with ACK and a window.
    fn abort(&mut self, frames: &mut Frames, at: u64, from: usize) {
        self.put(frames, at, from, RST | ACK, &[]);
    }

    /// Reply of a host without the connection: its SEQ is the ACK of the segment that it replies to.
    fn reject(&mut self, frames: &mut Frames, at: u64, from: usize) {
        self.put(frames, at, from, RST, &[]);
    }
}

impl Frames {
    /// Connection attempt that is refused at this time.
    fn refuse(&mut self, at: u64, client: End, server: End) {
        for (at, from, flags) in [(at - MS, CLIENT, SYN), (at, SERVER, RST | ACK)] {
            self.ids += 1;
            let ends = [client, server];
            let frame = Frame {
                from: ends[from],
                to: ends[1 - from],
                id: self.ids,
                flags,
                seq: if from == CLIENT { 77 } else { 0 },
                ack: if from == CLIENT { 0 } else { 78 },
                ..Frame::default()
            };
            self.all.push((at, frame.bytes()));
        }
    }

    fn write(&mut self, path: &Path) {
        self.all.sort_by_key(|(at, _)| *at);
        let mut file = PcapNg::with_interface(Order::Little, &[(9, &[9])]);
        for (at, frame) in &self.all {
            file.frame(0, 1_700_000_000 * SECOND + at, frame, &[]);
        }
        fs::write(path, file.bytes).unwrap();
    }

    /// Analysis of the frames in the order of their times, in JSON and for people.
    fn said(&mut self) -> (Said, String) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.pcapng");
        self.write(&path);
        let path = path.to_str().unwrap();
        (
            analyze(&[path]).whole(),
            analyze_for_people(&[path]).whole().out,
        )
    }

    /// Only row of this kind, and the output for people.
    fn row(&mut self, kind: &str) -> (Value, String) {
        let (said, text) = self.said();
        let rows = said.of(kind);
        assert_eq!(rows.len(), 1, "{rows:#?}");
        (rows[0].clone(), text)
    }
}

const HOST: End = (2, 40_000);
const WEB: End = (1, 80);

fn words(row: &Value, end: &str) -> Value {
    let words = &row[format!("{end}_last_words")];
    json!([
        words["protocol"],
        words["text"],
        words["frame"],
        words["cut"]
    ])
}

/// RFC 9112, 9.6: a server that answers before the body has arrived, and closes, resets the connection if more of the body arrives.
/// `__tcp_close()` sends an RST if data is unread. `tcp_recvmsg_locked()` returns received data before `sk_err`.
#[test]
fn an_answer_before_an_abort_can_still_be_read() {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, WEB);
    let request =
        b"POST /upload?key=1 HTTP/1.1\r\nHost: example.org\r\nContent-Length: 900000\r\n\r\n";
    talk.say(&mut frames, SECOND + MS, CLIENT, request);
    let answer = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n";
    talk.say(&mut frames, SECOND + 2 * MS, SERVER, answer);
    talk.say(&mut frames, SECOND + 3 * MS, CLIENT, &[b'x'; 1_000]);
    talk.abort(&mut frames, SECOND + 4 * MS, SERVER);
    let (row, text) = frames.row("reset");
    assert_eq!(row["cause"], "aborted-close");
    assert_eq!(row["answered_in"], 5);
    assert_eq!(row["scenario"], "close-unread-data-response");
    assert_eq!(
        words(&row, "client"),
        json!(["http", "POST /upload (Host example.org)", 4, false])
    );
    assert_eq!(
        words(&row, "server"),
        json!(["http", "HTTP/1.1 413 Content Too Large", 5, false])
    );
    assert!(
        text.contains("the server had answered in frame 5 (HTTP/1.1 413 Content Too Large); "),
        "{text}"
    );
    assert!(text.contains("read() still returns that"), "{text}");
    assert!(
        text.contains("rstproof explain close-unread-data-response: "),
        "{text}"
    );
}

/// The answer to an earlier request answers no later one, and neither does 100 Continue (RFC 9110, 15.2).
#[test]
fn an_earlier_answer_is_none() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let mut frames = Frames::default();
        let mut talk = Talk::open(&mut frames, SECOND, HOST, WEB);
        talk.say(&mut frames, SECOND + MS, CLIENT, b"GET /a HTTP/1.1\r\n\r\n");
        talk.say(&mut frames, SECOND + 2 * MS, SERVER, answer);
        let is_continue = answer.starts_with(b"HTTP/1.1 1");
        let second: &[u8] = if is_continue {
            b"body"
        } else {
            b"GET /b HTTP/1.1\r\n\r\n"
        };
        talk.say(&mut frames, SECOND + 3 * MS, CLIENT, second);
        talk.abort(&mut frames, SECOND + 9 * MS, SERVER);
        let (row, text) = frames.row("reset");
        assert_eq!(row["answered_in"], Value::Null);
        assert_eq!(row["scenario"], "close-unread-data");
        assert!(!text.contains("had answered"), "{text}");
    }
}

/// Idle connection that is used again after so many milliseconds, and rejected.
fn reused_after(silence: u64, port: u16) -> (Value, String) {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, (1, port));
    talk.say(&mut frames, SECOND + MS, CLIENT, b"question");
    talk.say(&mut frames, SECOND + 2 * MS, SERVER, b"answer");
    let again = SECOND + (2 + silence) * MS;
    talk.say(&mut frames, again, CLIENT, b"question");
    talk.reject(&mut frames, again + MS, SERVER);
    frames.row("connection")
}

/// The time-outs are those of the documents that `IdleTimeout::published` names. A device forgets a connection once it has been silent
/// for its time-out, and not before.
#[test]
fn a_silence_names_the_device() {
    let aws = json!(["aws-nlb", "aws-nat-gateway"]);
    for (silence, timeouts) in [
        (349_000, json!([])),
        (350_000, aws.clone()),
        (380_000, aws),
        (400_000, json!([])),
        (240_500, json!(["azure-load-balancer"])),
        (600_000, json!(["gcp-vpc-firewall"])),
        (901_000, json!(["linux-ipvs"])),
        (3_600_000, json!(["cisco-asa"])),
        // A time-out of servers.
        (75_000, json!([])),
    ] {
        let (row, text) = reused_after(silence, 5432);
        assert_eq!(row["failure"], "reset-after-idle");
        assert_eq!(row["silence_before_ns"], silence * MS);
        assert_eq!(row["idle_timeouts"], timeouts, "{silence}");
        assert_eq!(row["closed_after_ns"], Value::Null);
        assert_eq!(row["scenario"], "half-open-peer-vanished");
        assert_eq!(
            text.contains("if one is on the path"),
            timeouts != json!([]),
            "{text}"
        );
    }
}

/// RST of a device so many milliseconds after the last packet, which is of the client. Without ACK it has the number of a reply
/// (RFC 9293, 3.10.7.1), but no kernel replies after minutes.
fn reset_after(silence: u64, flags: u8) -> (Value, String) {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, (1, 5432));
    talk.say(&mut frames, SECOND + MS, CLIENT, b"question");
    talk.say(&mut frames, SECOND + 2 * MS, SERVER, b"answer");
    talk.ack(&mut frames, SECOND + 3 * MS, CLIENT);
    talk.put(&mut frames, SECOND + (3 + silence) * MS, SERVER, flags, &[]);
    frames.row("reset")
}

/// Azure Load Balancer sends RSTs to both ends at its time-out if TCP reset is enabled, and F5 BIG-IP by default: the documents that
/// `IdleTimeout::published` names. The timer of a device is not exact.
#[test]
fn a_device_that_resets_at_its_timeout_is_named() {
    for flags in [RST, RST | ACK] {
        for (silence, timeouts) in [
            (239_000, json!([])),
            (240_050, json!(["azure-load-balancer"])),
            (260_000, json!([])),
            (300_100, json!(["f5-big-ip"])),
            // Devices that only forget send nothing then.
            (350_000, json!([])),
        ] {
            let (row, text) = reset_after(silence, flags);
            assert_eq!(row["triggered_by"], Value::Null, "{silence}");
            assert_eq!(row["idle_timeouts"], timeouts, "{silence}");
            let is_named = text.contains("it may have reset both ends");
            assert_eq!(is_named, timeouts != json!([]), "{text}");
            assert!(!text.contains("in reply to"), "{text}");
        }
    }
    let (row, _) = reset_after(1, RST);
    assert_eq!(row["triggered_by"], 6);
}

/// A device that drops what it does not know leaves the segment without acknowledgment.
#[test]
fn a_silence_before_a_timeout_names_the_device() {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, WEB);
    talk.say(&mut frames, SECOND + MS, CLIENT, b"GET / HTTP/1.1\r\n\r\n");
    talk.say(
        &mut frames,
        SECOND + 2 * MS,
        SERVER,
        b"HTTP/1.1 200 OK\r\n\r\n",
    );
    let again = SECOND + 2 * MS + 241 * SECOND;
    let lost = talk;
    for after in [0, 200, 600, 1_400, 3_000] {
        talk = lost;
        talk.say(
            &mut frames,
            again + after * MS,
            CLIENT,
            b"GET /b HTTP/1.1\r\n\r\n",
        );
    }
    // The connection is dormant long before the capture ends.
    frames.refuse(again + 2_000 * SECOND, (7, 700), (8, 800));
    let (said, text) = frames.said();
    let row = said.of("connection")[0].clone();
    assert_eq!(row["failure"], "timed-out");
    assert_eq!(row["idle_timeouts"], json!(["azure-load-balancer"]));
    assert_eq!(row["scenario"], "retransmission-timeout");
    assert_eq!(words(&row, "client"), json!(["http", "GET /b", 6, false]));
    assert_eq!(
        words(&row, "server"),
        json!(["http", "HTTP/1.1 200 OK", 5, false])
    );
    assert!(
        text.contains("last message of the client in frame 6: GET /b"),
        "{text}"
    );
}

/// Server that closes so many milliseconds after its answer, while the next request is under way.
fn closed_after(quiet: u64, request: &[u8], answer: &[u8]) -> (Value, String) {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, WEB);
    talk.say(&mut frames, SECOND + MS, CLIENT, request);
    talk.say(&mut frames, SECOND + 2 * MS, SERVER, answer);
    // The delayed ACK of the client: the silence is shorter than the time of the server.
    talk.ack(&mut frames, SECOND + 42 * MS, CLIENT);
    let closed = SECOND + (2 + quiet) * MS;
    talk.fin(&mut frames, closed, SERVER);
    talk.ack(&mut frames, closed + MS, CLIENT);
    talk.say(&mut frames, closed + 2 * MS, CLIENT, request);
    talk.reject(&mut frames, closed + 3 * MS, SERVER);
    frames.row("connection")
}

/// A server closes when its own time-out is over, and only HTTP has kept-alive connections in the sense of these settings.
#[test]
fn a_server_that_closes_at_its_timeout_is_named() {
    let (get, ok) = (
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
    );
    for (quiet, timeouts) in [
        (4_000, json!([])),
        (5_001, json!(["apache-httpd", "node-http"])),
        (8_000, json!([])),
        (60_020, json!(["tomcat", "aws-alb", "aws-classic-lb"])),
        (75_100, json!(["nginx"])),
        // A time-out of devices.
        (240_000, json!([])),
    ] {
        let (row, text) = closed_after(quiet, get, ok);
        assert_eq!(row["failure"], "data-after-close");
        assert_eq!(row["closed_after_ns"], quiet * MS);
        assert_eq!(row["idle_timeouts"], timeouts, "{quiet}");
        assert_eq!(row["scenario"], "write-after-peer-close");
        let is_named = text.contains("if the server is one of these");
        assert_eq!(is_named, timeouts != json!([]), "{text}");
    }
    let (row, _) = closed_after(5_001, b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n");
    assert_eq!(row["closed_after_ns"], 5_001 * MS);
    assert_eq!(row["idle_timeouts"], json!([]));
}

/// A message that was not captured whole is marked, or not shown.
#[test]
fn messages_that_are_cut_are_marked() {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, WEB);
    talk.say(
        &mut frames,
        SECOND + MS,
        CLIENT,
        b"GET /path/d41d8cd9 HTTP/1.1\r\nHost: example.org\r\n\r\n",
    );
    talk.say(
        &mut frames,
        SECOND + 2 * MS,
        SERVER,
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
    );
    talk.abort(&mut frames, SECOND + 3 * MS, SERVER);
    // Headers of Ethernet, IPv4 and TCP, and the begin of the payload.
    for (snaplen, client, server) in [
        (
            54,
            json!([null, null, null, null]),
            json!([null, null, null, null]),
        ),
        (
            54 + 14,
            json!(["http", "GET /path/…", 4, true]),
            json!(["http", "HTTP/1.1 503 …", 5, true]),
        ),
        (
            54 + 200,
            json!(["http", "GET /path/d41d8cd9 (Host example.org)", 4, false]),
            json!(["http", "HTTP/1.1 503 Service Unavailable", 5, false]),
        ),
    ] {
        let mut file = Pcap::new(Order::Little, 0xa1b2_3c4d, (2, 4), 1);
        for (at, frame) in &frames.all {
            let captured = &frame[..frame.len().min(snaplen)];
            let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
            let time = (
                u32::try_from(at / SECOND).unwrap(),
                u32::try_from(at % SECOND).unwrap(),
            );
            file.record(time, (len(captured), len(frame)), captured);
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.pcap");
        fs::write(&path, file.bytes).unwrap();
        let row = analyze(&[path.to_str().unwrap()]).of("reset")[0].clone();
        assert_eq!(words(&row, "client"), client, "{snaplen}");
        assert_eq!(words(&row, "server"), server, "{snaplen}");
    }
}

/// A connection that does not fail says nothing.
#[test]
fn connections_in_order_have_no_last_words() {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, WEB);
    talk.say(&mut frames, SECOND + MS, CLIENT, b"GET / HTTP/1.1\r\n\r\n");
    talk.say(
        &mut frames,
        SECOND + 2 * MS,
        SERVER,
        b"HTTP/1.1 200 OK\r\n\r\n",
    );
    talk.fin(&mut frames, SECOND + 3 * MS, SERVER);
    talk.fin(&mut frames, SECOND + 4 * MS, CLIENT);
    talk.ack(&mut frames, SECOND + 5 * MS, SERVER);
    let (row, text) = frames.row("connection");
    assert_eq!(row["failure"], Value::Null);
    for field in [
        "client_last_words",
        "server_last_words",
        "scenario",
        "closed_after_ns",
    ] {
        assert_eq!(row[field], Value::Null, "{field}");
    }
    assert!(!text.contains("last message"), "{text}");
}
