//! Screen of failures: one page for any number of them, the options that select and group, and the order of the lines.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::layout::{Order, Pcap};
use crate::segments::{ACK, FIN, Frame, RST, SYN};
use crate::within;

/// Time of the first frame in seconds: 2023-11-14T22:13:20Z (`date -u -d @1700000000`).
const BEGAN: u32 = 1_700_000_000;

const PSH: u8 = 8;

/// Address, by its last byte, and port.
type End = (u8, u16);

/// Frames of a capture, with their times in microseconds.
#[derive(Clone, Default)]
struct Traffic {
    frames: Vec<(u64, Vec<u8>)>,
    /// IP IDs given so far: no packet is a copy of another one.
    ids: u16,
}

impl Traffic {
    fn put(&mut self, at: u64, from: End, to: End, frame: Frame<'_>) {
        self.ids = self.ids.checked_add(1).unwrap_or(1);
        let frame = Frame {
            from,
            to,
            id: self.ids,
            ..frame
        };
        self.frames.push((at, frame.bytes()));
    }

    fn segment(
        &mut self,
        at: u64,
        from: End,
        to: End,
        flags: u8,
        (seq, ack, len): (u32, u32, u16),
    ) {
        let frame = Frame {
            flags,
            seq,
            ack,
            len,
            window: 500,
            ..Frame::default()
        };
        self.put(at, from, to, frame);
    }

    /// A handshake; initial numbers are 1,000 for the client and 5,000 for the server.
    fn open(&mut self, at: u64, client: End, server: End) {
        self.segment(at, client, server, SYN, (1_000, 0, 0));
        self.segment(at + 100, server, client, SYN | ACK, (5_000, 1_001, 0));
        self.segment(at + 200, client, server, ACK, (1_001, 5_001, 0));
    }

    /// A SYN to a closed port: RST+ACK with SEQ 0 and without a window, as `tcp_v4_send_reset()` makes it. ECONNREFUSED.
    fn refused(&mut self, at: u64, client: End, server: End) {
        self.segment(at, client, server, SYN, (1_000, 0, 0));
        let reset = Frame {
            flags: RST | ACK,
            ack: 1_001,
            ..Frame::default()
        };
        self.put(at + 100, server, client, reset);
    }

    /// A request that the server answers with an RST with a window, as `tcp_send_active_reset()` makes it. ECONNRESET for the
    /// client.
    fn aborted(&mut self, at: u64, client: End, server: End) {
        self.open(at, client, server);
        self.segment(at + 300, client, server, ACK | PSH, (1_001, 5_001, 20));
        self.segment(at + 400, server, client, RST | ACK, (5_001, 1_021, 0));
    }

    /// Data for a server that has closed: RST with the ACK of the data as its SEQ (RFC 9293, 3.10.7.1), for each of `segments`
    /// segments. EPIPE for the client, which has received the FIN.
    fn after_close(&mut self, at: u64, client: End, server: End, segments: u16) {
        self.open(at, client, server);
        self.segment(at + 300, server, client, FIN | ACK, (5_001, 1_001, 0));
        self.segment(at + 400, client, server, ACK, (1_001, 5_002, 0));
        for nth in 0..segments {
            let sent = (1_001 + u32::from(nth) * 20, 5_002, 20);
            self.segment(at + 500 + u64::from(nth), client, server, ACK | PSH, sent);
        }
        for nth in 0..segments {
            let reset = Frame {
                flags: RST,
                seq: 5_002,
                ..Frame::default()
            };
            self.put(at + 600 + u64::from(nth), server, client, reset);
        }
    }

    /// A SYN that is repeated after 1 s and after 3 s, as by default (RFC 6298, 5.5), and never answered. ETIMEDOUT.
    fn unanswered(&mut self, at: u64, client: End, server: End) {
        for later in [0, 1_000_000, 3_000_000] {
            self.segment(at + later, client, server, SYN, (1_000, 0, 0));
        }
    }

    /// A connection that is closed in order.
    fn closed(&mut self, at: u64, client: End, server: End) {
        self.open(at, client, server);
        self.segment(at + 300, client, server, FIN | ACK, (1_001, 5_001, 0));
        self.segment(at + 400, server, client, FIN | ACK, (5_001, 1_002, 0));
        self.segment(at + 500, client, server, ACK, (1_002, 5_002, 0));
    }

    fn write(&self, path: &Path) {
        let mut frames = self.frames.clone();
        frames.sort_by_key(|(at, _)| *at);
        let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
        for (at, frame) in &frames {
            let length = u32::try_from(frame.len()).unwrap();
            let seconds = BEGAN + u32::try_from(at / 1_000_000).unwrap();
            let micros = u32::try_from(at % 1_000_000).unwrap();
            file.record((seconds, micros), (length, length), frame);
        }
        fs::write(path, file.bytes).unwrap();
    }

    /// Output about the capture, whose name is `a.pcap`.
    fn shown(&self, columns: u32, arguments: &[&str]) -> String {
        let home = tempfile::tempdir().unwrap();
        self.write(&home.path().join("a.pcap"));
        let (out, err) = rstproof(
            home.path(),
            "UTC",
            columns,
            &[&["a.pcap"], arguments].concat(),
        );
        assert_eq!(err, "");
        out
    }

    fn rows(&self, kind: &str, arguments: &[&str]) -> Vec<Value> {
        let out = self.shown(80, &[&["--format", "json"], arguments].concat());
        let rows = out.lines().map(|line| line.parse::<Value>().unwrap());
        rows.filter(|row| row["type"] == kind).collect()
    }
}

fn rstproof(home: &Path, zone: &str, columns: u32, arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rstproof"))
        .arg("analyze")
        .args(arguments)
        .current_dir(home)
        .env("COLUMNS", columns.to_string())
        .env("TZ", zone)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

const SERVERS: [End; 3] = [(1, 80), (1, 443), (3, 5_432)];

/// A capture with so many failures, at times without a pattern, and as many connections that are closed in order.
fn failing(count: u32) -> Traffic {
    let mut traffic = Traffic::default();
    // The generator of Knuth's MMIX.
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut at = 0;
    for nth in 0..count {
        at += 1_000 + random(40_000);
        let host = 10 + u8::try_from(random(5)).unwrap();
        let port = |of: u32| 1_024 + u16::try_from((nth * 2 + of) % 60_000).unwrap();
        let server = SERVERS[usize::try_from(random(3)).unwrap()];
        let client = (host, port(0));
        match random(10) {
            0..3 => traffic.refused(at, client, (server.0, 8_081)),
            3..7 => traffic.aborted(at, client, server),
            7..9 => traffic.after_close(at, client, server, 1),
            _ => traffic.unanswered(at, client, (9, 22)),
        }
        traffic.closed(at + 10, (host, port(1)), server);
    }
    // The capture goes on, so that the last SYNs might have been answered.
    traffic.closed(at + 300_000_000, (2, 1_000), (1, 80));
    traffic
}

fn count(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn the_page_is_as_large_for_any_number_of_failures() {
    for (name, traffic) in [
        ("none", failing(0)),
        ("3", failing(3)),
        ("300", failing(300)),
        ("30000", failing(30_000)),
    ] {
        for columns in [80, 120] {
            let shown = traffic.shown(columns, &[]);
            assert!(count(&shown) <= 40, "{shown}");
            for line in shown.lines() {
                assert!(line.chars().count() <= columns as usize, "{line}");
            }
            insta::assert_snapshot!(format!("failures_{name}_columns_{columns}"), shown);
        }
    }
}

/// Number before each failure in a table of `--group-by failure`.
fn by_failure(shown: &str) -> BTreeMap<String, u64> {
    let table = shown
        .lines()
        .skip_while(|line| !line.starts_with("    count"));
    let rows = table.skip(1).take_while(|line| !line.is_empty());
    let row = |line: &str| {
        let (count, rest) = line.trim_start().split_once("  ")?;
        let count = count.replace(',', "").parse().ok()?;
        let name = rest.split([':', ' ']).next()?;
        Some((name.to_owned(), count))
    };
    rows.filter_map(row).collect()
}

/// Sum of the counts in a table of groups, with that of the groups that are left out.
fn sum_of_groups(shown: &str) -> u64 {
    let table = shown
        .lines()
        .skip_while(|line| !line.starts_with("    count"))
        .skip(1);
    let counts = table
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("          "))
        .map(|line| line.split_whitespace().next().unwrap().replace(',', ""));
    counts.map(|it| it.parse::<u64>().unwrap()).sum()
}

/// RSTs from 100,000 sockets, which no page can count one by one.
#[test]
fn memory_is_bounded_and_no_failure_is_lost() {
    let mut traffic = Traffic::default();
    for nth in 0..100_000_u32 {
        let host = u8::try_from(nth % 200).unwrap() + 3;
        let port = 1_000 + u16::try_from(nth / 200).unwrap();
        let reset = Frame {
            flags: RST | ACK,
            seq: nth,
            ack: 1,
            ..Frame::default()
        };
        traffic.put(u64::from(nth) * 1_000, (host, port), (2, 50_000), reset);
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.pcap");
    traffic.write(&path);
    let path = path.to_str().unwrap();
    let shown = within(200, &[path], Stdio::null()).whole().out;
    assert_eq!(sum_of_groups(&shown), 100_000, "{shown}");
    assert!(count(&shown) <= 40, "{shown}");
    // The summary counts 65,536 addresses one by one, and states the sum of all others.
    let in_one = shown.replace("\n      ", " ");
    assert!(
        in_one.contains(" and at least 65,531 more: 99,995\n"),
        "{shown}"
    );
    let listed = within(300, &[path, "--list"], Stdio::null()).whole().out;
    assert_eq!(frames(&listed).len(), 100_000);
}

#[test]
fn groups_have_the_counts_of_json() {
    let traffic = failing(2_000);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for row in traffic.rows("reset", &[]) {
        *expected
            .entry(row["cause"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    for row in traffic.rows("connection", &[]) {
        if row["failure"] == "no-reply" {
            *expected.entry("no-reply".to_owned()).or_default() += 1;
        }
    }
    assert_eq!(expected.values().sum::<u64>(), 2_000);
    assert_eq!(expected.len(), 4, "{expected:?}");
    let shown = traffic.shown(120, &["--group-by", "failure"]);
    assert_eq!(by_failure(&shown), expected, "{shown}");
    // The groups of each other property have the same sum, with those that are left out.
    for property in [
        &["--group-by", "source"][..],
        &["--group-by", "errno"],
        &["--group-by", "minute"],
        &[],
    ] {
        let shown = traffic.shown(120, property);
        assert_eq!(sum_of_groups(&shown), 2_000, "{shown}");
    }
}

/// Frame numbers of a list, and of a page.
fn frames(shown: &str) -> Vec<u64> {
    let lines = shown.lines().filter(|line| !line.starts_with(' '));
    let frame = |line: &str| {
        line.split_once("  frame ")?
            .1
            .split(' ')
            .next()?
            .parse()
            .ok()
    };
    lines.filter_map(frame).collect()
}

#[test]
fn lists_are_in_the_order_of_frames() {
    for (count, arguments) in [
        (8, &[][..]),
        (8, &["--list"]),
        (400, &["--list"]),
        (400, &["-v"]),
    ] {
        let traffic = failing(count);
        let frames = frames(&traffic.shown(80, arguments));
        assert_eq!(frames.len(), count as usize, "{arguments:?}");
        assert!(frames.is_sorted(), "{frames:?}");
    }
}

/// Of a page, completeness is stated: the groups that are left out, and their failures.
#[test]
fn what_a_page_leaves_out_is_counted() {
    let mut traffic = Traffic::default();
    for nth in 0..30_u8 {
        for more in 0..=u64::from(nth) {
            let port = 2_000 + u16::try_from(more).unwrap();
            // Squares: at no regular intervals.
            traffic.aborted(
                u64::from(nth) * 100_000 + more * more * 500,
                (2, port),
                (100 + nth, 80),
            );
        }
    }
    // 30 sources have 1 to 30 RSTs: 465 in all, of which the 10 largest have 30 to 21, 255.
    let shown = traffic.shown(80, &[]);
    assert!(
        shown.contains("      210  in 20 more groups: 30 groups in all\n"),
        "{shown}"
    );
    assert!(count(&shown) <= 40, "{shown}");
}

#[test]
fn a_port_scan_is_one_line() {
    let mut traffic = Traffic::default();
    for port in 1..=500_u16 {
        traffic.refused(
            u64::from(port) * (u64::from(port) + 400),
            (66, 40_000 + port),
            (1, port),
        );
    }
    traffic.aborted(2_000_000, (2, 2_000), (1, 80));
    let shown = traffic.shown(80, &[]);
    assert_eq!(frames(&shown), [2, 1_005], "{shown}");
    // From 0.0005 s to 0.4501 s.
    assert!(
        shown.contains("  10.0.0.66 → 10.0.0.1  ECONNREFUSED (client)\n    500 attempts to 500 ports (1 to 500) within 0.45 s"),
        "{shown}"
    );
    // Few ports are no scan.
    let mut traffic = Traffic::default();
    for port in 1..=9_u16 {
        traffic.refused(
            u64::from(port * port) * 1_000,
            (66, 40_000 + port),
            (1, port),
        );
    }
    assert_eq!(frames(&traffic.shown(80, &[])).len(), 9);
}

#[test]
fn checks_at_regular_intervals_are_one_line() {
    let mut traffic = Traffic::default();
    for nth in 0..40 {
        // Every 510 ms, with a jitter of at most 2 ms.
        let port = 2_000 + u16::try_from(nth).unwrap();
        traffic.aborted(nth * 510_000 + nth % 3 * 1_000, (2, port), (1, 80));
    }
    let shown = traffic.shown(80, &[]);
    assert_eq!(frames(&shown), [5], "{shown}");
    assert!(
        shown.contains("    40 × every 0.51 s from 10.0.0.1:80: aborted-close: "),
        "{shown}"
    );
    // The same number at other times is no series.
    let mut traffic = Traffic::default();
    for nth in 0..8 {
        let port = 2_000 + u16::try_from(nth).unwrap();
        traffic.aborted(nth * nth * 510_000, (2, port), (1, 80));
    }
    let shown = traffic.shown(80, &[]);
    assert_eq!(frames(&shown).len(), 8, "{shown}");
}

/// Three segments for a closed socket draw three RSTs, and only the first one has an effect.
#[test]
fn rsts_that_repeat_another_one_are_counted_at_its_line() {
    let mut traffic = Traffic::default();
    traffic.after_close(0, (2, 2_000), (1, 80), 3);
    assert_eq!(traffic.rows("reset", &[]).len(), 3);
    let shown = traffic.shown(120, &[]);
    assert_eq!(frames(&shown), [9], "{shown}");
    let in_one = shown.replace("\n      ", " ");
    assert!(in_one.contains("; followed by 2 more RSTs\n"), "{shown}");
    assert_eq!(frames(&traffic.shown(80, &["--list"])), [9, 10, 11]);
    // A series has no room for them in its line.
    let mut traffic = Traffic::default();
    for nth in 0..5 {
        let port = 2_000 + u16::try_from(nth).unwrap();
        traffic.after_close(nth * 1_000_000, (2, port), (1, 80), 3);
    }
    let shown = traffic.shown(80, &[]);
    assert!(
        shown.contains("    5 × every 1 s from 10.0.0.1:80: "),
        "{shown}"
    );
    assert!(
        shown.contains("  10 further RSTs of connections that had been reset,"),
        "{shown}"
    );
    let traffic = {
        let mut traffic = Traffic::default();
        traffic.after_close(0, (2, 2_000), (1, 80), 3);
        traffic
    };
    assert_eq!(
        frames(&traffic.shown(80, &["--failure", "duplicate"])),
        [10, 11]
    );
}

/// One connection of each kind, a minute apart: their RSTs are frames 2, 7 and 14, and the SYN without a reply is frame 15.
fn mixed() -> Traffic {
    let mut traffic = Traffic::default();
    traffic.refused(0, (2, 2_000), (1, 81));
    traffic.aborted(60_000_000, (3, 2_000), (1, 80));
    traffic.after_close(120_000_000, (4, 2_000), (5, 80), 1);
    traffic.unanswered(180_000_000, (2, 2_001), (9, 22));
    traffic.closed(600_000_000, (2, 2_002), (1, 80));
    traffic
}

#[test]
fn options_select_what_is_shown() {
    let traffic = mixed();
    let all = [2, 7, 14, 15];
    let cases: [(&[&str], &[u64]); 18] = [
        (&[], &all),
        (&["--from", "10.0.0.2"], &[2, 15]),
        (&["--from", "10.0.0.2:2001"], &[15]),
        (&["--from", "10.0.0.2/31"], &[2, 7, 15]),
        (&["--from", "10.0.0.77"], &[]),
        (&["--to", "10.0.0.1"], &[2, 7]),
        (&["--to", "10.0.0.1:80"], &[7]),
        (&["--to", "10.0.0.1:82"], &[]),
        (&["--failure", "no-reply"], &[15]),
        // By the failure of its connection, and by its own cause.
        (&["--failure", "aborted"], &[7]),
        (&["--failure", "aborted-close"], &[7]),
        (&["--errno", "EPIPE"], &[14]),
        (&["--errno", "econnrefused"], &[2]),
        (&["--errno", "EPROTO"], &[]),
        // The RST of frame 7 is 400 µs after the minute.
        (&["--since", "2023-11-14T22:14:20.0004Z"], &[7, 14, 15]),
        (
            &["--since", "22:14:20.000401", "--until", "+120.001"],
            &[14],
        ),
        (&["--until", "+60"], &[2]),
        (&["--to", "10.0.0.1", "--errno", "ECONNRESET"], &[7]),
    ];
    for (arguments, expected) in cases {
        let shown = traffic.shown(80, arguments);
        assert_eq!(frames(&shown), expected, "{arguments:?}: {shown}");
        let is_all = arguments.is_empty();
        assert_eq!(shown.contains("  shown: "), !is_all, "{shown}");
        let of_all = format!("  shown: {} of 4 failures (", expected.len());
        assert_eq!(shown.contains(&of_all), !is_all, "{shown}");
        // JSON has the same RSTs and the same failed connections.
        let resets = traffic.rows("reset", arguments);
        let mut found: Vec<u64> = resets
            .iter()
            .map(|row| row["frame"].as_u64().unwrap())
            .collect();
        let connections = traffic.rows("connection", arguments);
        let failed = connections
            .iter()
            .filter(|row| row["failure"] == "no-reply");
        found.extend(failed.map(|row| row["failure_frame"].as_u64().unwrap()));
        assert_eq!(found, expected, "{arguments:?}");
        let summary = &traffic.rows("summary", arguments)[0];
        assert_eq!(summary["resets"], 3);
        assert_eq!(summary.get("shown").is_none(), is_all);
        if !is_all {
            assert_eq!(summary["shown"]["resets"], resets.len());
            assert_eq!(summary["shown"]["connections"], connections.len());
        }
    }
    // Few of many have lines, whatever selects them.
    let mut many = failing(5_000);
    many.refused(1_000_000_000, (77, 2_000), (1, 81));
    for arguments in [["--from", "10.0.0.77"], ["--since", "+900"]] {
        let shown = many.shown(80, &arguments);
        assert_eq!(frames(&shown), [many.frames.len() as u64], "{shown}");
    }
    // Whoever takes an RST's source for the client is shown what to do.
    let shown = traffic.shown(80, &["--from", "10.0.0.1:80"]);
    assert!(shown.contains("exchanged, they select 1\n"), "{shown}");
}

#[test]
fn a_wrong_value_is_refused_with_the_valid_ones() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, valid) in [
        (["--failure", "x"], "half-open-peer"),
        (["--errno", "x"], "ECONNRESET"),
        (["--since", "x"], "HH:MM:SS[.FRACTION]"),
        (["--until", "12:00"], "RFC 3339"),
        (["--from", "x"], "ADDR/BITS"),
        (["--to", "10.0.0.1/33"], "ADDR:PORT"),
        (["--group-by", "x"], "minute"),
        (["--connection=1", "--errno=EPIPE"], "--errno EPIPE"),
    ] {
        let (out, err) = rstproof(
            home.path(),
            "UTC",
            80,
            &[&["a.pcap"], &arguments[..]].concat(),
        );
        assert_eq!((out.as_str(), count(&err)), ("", 1), "{err}");
        assert!(err.contains(valid), "{err}");
    }
}

/// POSIX, 8.3: `CET-1` is an hour east of Greenwich.
#[test]
fn times_are_local_unless_utc_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    mixed().write(&home.path().join("a.pcap"));
    let shown = |zone: &str, arguments: &[&str]| {
        rstproof(home.path(), zone, 80, &[&["a.pcap"], arguments].concat()).0
    };
    let local = shown("CET-1", &[]);
    assert!(
        local.contains("  times are UTC+01:00, 2023-11-14\n"),
        "{local}"
    );
    assert!(local.contains("\n23:13:20.000  frame 2  "), "{local}");
    let utc = shown("CET-1", &["--utc"]);
    assert!(utc.contains("  times are UTC, 2023-11-14\n"), "{utc}");
    assert!(utc.contains("\n22:13:20.000  frame 2  "), "{utc}");
    // A time of day is one of the same zone.
    let since = ["--since", "23:15:00"];
    assert_eq!(frames(&shown("CET-1", &since)), [14, 15]);
    assert_eq!(frames(&shown("UTC", &since)), [] as [u64; 0]);
    // Two hours further east a day begins within the capture.
    let next = shown("<+0145>-1:45", &[]);
    assert!(next.contains("times are UTC+01:45, 2023-11-14\n"), "{next}");
    assert!(next.contains("\n23:58:20.000  frame 2  "), "{next}");
    assert!(next.contains("\n11-15 00:00:20.000  frame 14  "), "{next}");
}

#[test]
fn several_captures_have_one_total() {
    let home = tempfile::tempdir().unwrap();
    mixed().write(&home.path().join("a.pcap"));
    failing(300).write(&home.path().join("b.pcap"));
    let one = |arguments: &[&str]| rstproof(home.path(), "UTC", 80, arguments).0;
    let both = one(&["--separate", "a.pcap", "b.pcap"]);
    let count = |kind: &str| failing(300).rows(kind, &[]);
    let failed = count("connection")
        .iter()
        .filter(|it| it["failure"] == "no-reply")
        .count();
    let packets = mixed().frames.len() + failing(300).frames.len();
    let packets = format!("{},{:03}", packets / 1_000, packets % 1_000);
    let expected = format!(
        "all 2 captures: {packets} packets in {} connections, {} resets, {} other failures\n",
        5 + 601,
        3 + count("reset").len(),
        1 + failed
    );
    assert!(both.ends_with(&expected), "{expected}{both}");
    assert!(!one(&["a.pcap"]).contains("captures"));
}

/// A stream may go on for ever, so its failures are shown one by one, and counted at its end.
#[test]
fn failures_of_a_stream_are_shown_one_by_one() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.pcap");
    let traffic = failing(20);
    traffic.write(&path);
    let mut child = Command::new(env!("CARGO_BIN_EXE_rstproof"))
        .args(["analyze", "-"])
        .env("TZ", "UTC")
        .env_remove("COLUMNS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Less than a pipe holds.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&fs::read(&path).unwrap())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(frames(&shown).len(), 20, "{shown}");
    assert!(shown.starts_with("times are UTC, 2023-11-14\n"), "{shown}");
    assert!(shown.contains("\n    count  failure"), "{shown}");
}

#[test]
fn a_wide_ladder_has_flags_in_words_and_the_time_of_day() {
    let traffic = mixed();
    let narrow = traffic.shown(80, &["--connection", "7"]);
    assert!(narrow.contains("--- S seq 0 len 0 win 500 -"), "{narrow}");
    let wide = traffic.shown(120, &["--connection", "7"]);
    for wanted in [
        "--- [SYN] seq 0 ",
        " [SYN, ACK] seq 0 ack 1 ",
        " [RST, ACK] seq 1 ",
    ] {
        assert!(wide.contains(wanted), "{wide}");
    }
    let began = "times are seconds after 2023-11-14 22:14:20.000000 UTC\n";
    for shown in [&narrow, &wide] {
        assert!(shown.contains(began), "{shown}");
    }
    let longest = wide.lines().map(|line| line.chars().count()).max();
    assert_eq!(longest, Some(120), "{wide}");
}
