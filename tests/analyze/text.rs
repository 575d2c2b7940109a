//! Text output of tcpdump and tshark: the answer is that of the capture that they print, or a weaker one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{Said, analyze, analyze_for_people};

/// Captures that differ in what makes an answer: causes, states, ICMP errors, time-outs, IPv4 and IPv6. Each was captured at one
/// point.
const SAMPLE: [&str; 20] = [
    "blind-rst-in-window.ipv4",
    "blind-rst-sack-edge.ipv4",
    "close-unread-data-response.ipv6",
    "close-urgent-data.ipv4",
    "connect-closed-port.ipv4",
    "connect-closed-port.ipv6",
    "connect-icmp-bad-sequence.ipv4",
    "connect-icmp-host-unreachable.ipv6",
    "connect-icmp-reject.ipv6",
    "fast-open-second-syn.ipv4",
    "half-open-reconnect.ipv4",
    "icmp-then-timeout.ipv4",
    "keepalive-half-open.ipv4",
    "keepalive-timeout.ipv4",
    "linger-zero-close.ipv4",
    "mptcp-close-unread-data.ipv4",
    "stray-fin-closed-port.ipv6",
    "syn-received-second-syn.ipv4",
    "time-wait-rst.ipv4",
    "zero-window-user-timeout.ipv6",
];

/// Commands whose output is read, before the name of the capture. Names are looked up without asking a network.
const FORMS: [&[&str]; 9] = [
    &["tcpdump", "-nn", "-r"],
    &["tcpdump", "-nn", "-tttt", "-v", "-r"],
    &["tcpdump", "-nn", "-S", "-tt", "-r"],
    &["tcpdump", "-nn", "-X", "-r"],
    &["tcpdump", "-nn", "-XX", "-e", "-r"],
    &["tcpdump", "-nn", "-t", "-r"],
    &["tcpdump", "-n", "--number", "-ttttt", "-r"],
    &["tshark", "-n", "-r"],
    &["tshark", "-n", "-t", "ad", "-r"],
];

fn capture(name: &str) -> PathBuf {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    captures.join(format!("{name}.pcapng"))
}

/// Returns what a command prints of a capture.
fn printed(command: &[&str], capture: &Path) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .arg(capture)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Analyzes a text.
fn read(text: &str) -> Said {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("pasted");
    fs::write(&path, text).unwrap();
    analyze(&[path.to_str().unwrap()])
}

/// Fields that make the answer, by the kind of a row.
const ANSWERS: [(&str, &[&str]); 3] = [
    (
        "reset",
        &[
            "form",
            "acceptable",
            "required_action",
            "cause",
            "errno",
            "errno_condition",
            "triggered_by",
        ],
    ),
    (
        "connection",
        &[
            "failure",
            "failure_frame",
            "client_errno",
            "client_errno_condition",
            "server_errno",
            "server_errno_condition",
        ],
    ),
    ("icmp", &["effect", "errno"]),
];

/// Returns what of the answer to a text contradicts that of its capture, and whether it is weaker: unknown where the capture shows
/// more, or a third party's RST taken for what it claims to be, from a sender that is unknown.
fn compared(of_capture: &Said, of_text: &Said) -> (Vec<String>, bool) {
    let (mut different, mut is_weaker) = (Vec::new(), false);
    let has_third_party = of_capture
        .of("reset")
        .iter()
        .any(|it| it["cause"] == "third-party");
    let unassigned = of_text.summary()["text"]["unassigned_icmp_errors"]
        .as_u64()
        .unwrap();
    for (kind, fields) in ANSWERS {
        let number = if kind == "connection" {
            "connection"
        } else {
            "frame"
        };
        let (all, found) = (of_capture.of(kind), of_text.of(kind));
        let numbers =
            |rows: &[Value]| -> Vec<Value> { rows.iter().map(|it| it[number].clone()).collect() };
        if kind == "icmp"
            && all.len() == found.len() + usize::try_from(unassigned).unwrap()
            && unassigned > 0
        {
            is_weaker = true;
            continue;
        }
        if numbers(&all) != numbers(&found) {
            different.push(format!("{kind}: {:?} {:?}", numbers(&all), numbers(&found)));
            continue;
        }
        for (capture, text) in all.iter().zip(&found) {
            let is_unknown_effect = kind == "icmp" && text["effect"] == "unknown";
            for field in fields {
                let (there, here) = (&capture[field], &text[field]);
                if there == here {
                    continue;
                }
                let is_claim = *field == "cause"
                    && there == "third-party"
                    && *here == capture["claim"]["cause"]
                    && text["sender"]["verdict"] == "unknown";
                let follows_claim = kind == "connection"
                    && has_third_party
                    && capture["failure"] == "third-party-reset"
                    && field.starts_with("failure");
                let is_unknown = here.is_null() || here == "unknown" || is_unknown_effect;
                is_weaker = true;
                if !is_unknown && !is_claim && !follows_claim {
                    different.push(format!(
                        "{kind} {} {field}: {there} {here}",
                        capture[number]
                    ));
                }
            }
        }
    }
    (different, is_weaker)
}

#[test]
fn the_answer_is_that_of_the_capture_or_a_weaker_one() {
    let mut equal = 0;
    for name in SAMPLE {
        let path = capture(name);
        let of_capture = analyze(&[path.to_str().unwrap()]).whole();
        for form in FORMS {
            let text = printed(form, &path);
            let of_text = read(&text);
            assert_eq!(
                (of_text.code, of_text.err.as_str()),
                (Some(0), ""),
                "{name} {form:?}"
            );
            let (different, is_weaker) = compared(&of_capture, &of_text);
            assert!(
                different.is_empty(),
                "{name} {form:?}: {different:#?}\n{text}"
            );
            equal += usize::from(!is_weaker);
            // A hex dump is the packet itself.
            let is_dump = form.iter().any(|it| it.starts_with("-X"));
            assert!(!(is_dump && is_weaker), "{name} {form:?}");
        }
    }
    // Weaker are those whose sender, keepalive or ICMP message the text does not show.
    assert!(equal * 10 > SAMPLE.len() * FORMS.len() * 6, "{equal}");
}

/// RFC 9293, 3.10.7.1: the reply to a segment with ACK has its SEQ; tcpdump prints that of an RST without ACK absolute, and all other
/// numbers relative (`tcp_print()`).
const LINES: &str = "\
12:00:00.000100 IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [S], seq 1000, win 64240, options [mss 1460], length 0
12:00:00.000200 IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [S.], seq 5000, ack 1001, win 65160, options [mss 1460], length 0
12:00:00.000300 IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [.], ack 1, win 64240, length 0
12:00:00.000400 IP 10.0.0.1.40000 > 10.0.0.2.80: Flags [P.], seq 1:101, ack 1, win 64240, length 100: HTTP: GET / HTTP/1.1
12:00:00.000500 IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [R], seq 5001, win 0, length 0
";

/// Returns the only RST of a text.
fn reset(text: &str) -> Value {
    let said = read(text);
    let [reset] = &said.of("reset")[..] else {
        panic!("{text}{}{}", said.out, said.err)
    };
    reset.clone()
}

#[test]
fn lines_may_be_surrounded_quoted_and_numbered() {
    let expected = reset(LINES);
    assert_eq!(
        (&expected["frame"], &expected["errno"]),
        (&json!(5), &json!("ECONNRESET"))
    );
    assert_eq!(expected["triggered_by"], 4);
    assert_eq!(expected["at_ns"], Value::Null);
    let (mut quoted, mut numbered) = (String::new(), String::new());
    for (nth, line) in LINES.lines().enumerate() {
        let _ = write!(quoted, ">> {line}\r\n");
        let _ = writeln!(numbered, "{:5}  {line}", nth + 11);
    }
    let report = format!(
        "Hello,\nwe see resets (10% of 12:30 requests):\n\n```\n{LINES}```\n5 packets captured\nAny idea?\n"
    );
    for text in [
        quoted,
        report,
        LINES.replace("  ", " "),
        LINES.replace('\n', "\n\n"),
    ] {
        let found = reset(&text);
        for field in ["frame", "cause", "errno", "triggered_by", "required_action"] {
            assert_eq!(found[field], expected[field], "{text}");
        }
    }
    // The numbers of the text count, and what it lacks is no packet.
    let said = read(&numbered);
    assert_eq!(said.of("reset")[0]["frame"], 15);
    assert_eq!(said.summary()["packets"], 5);
}

#[test]
fn an_excerpt_from_the_middle_keeps_its_relative_numbers() {
    // The first lines are missing: all numbers are relative, except for that of the RST.
    let middle: String = LINES
        .lines()
        .skip(2)
        .fold(String::new(), |text, line| text + line + "\n");
    let found = reset(&middle);
    assert_eq!(found["required_action"], "unknown");
    assert_eq!(
        (&found["errno"], &found["cause"]),
        (&Value::Null, &Value::Null)
    );
    // With ACK it is relative like the others; what its receiver expects shows in an earlier packet of its sender.
    let acknowledged = "12:00:00.000450 IP 10.0.0.2.80 > 10.0.0.1.40000: Flags [.], ack 101, win 65160, length 0\n\
                        12:00:00.000500";
    let middle = middle
        .replace("[R], seq 5001", "[R.], seq 1, ack 101")
        .replace("12:00:00.000500", acknowledged);
    let found = reset(&middle);
    assert_eq!(
        (&found["required_action"], &found["errno"]),
        (&json!("accept"), &json!("ECONNRESET"))
    );
}

#[test]
fn nothing_follows_from_what_a_text_does_not_hold() {
    let said = read(LINES);
    let reset = &said.of("reset")[0];
    assert_eq!(reset["sender"]["verdict"], "unknown");
    let indicators = reset["indicators"].as_array().unwrap();
    for indicator in indicators {
        let id = indicator["id"].as_str().unwrap();
        for absent in ["ttl", "ip-id", "df-", "dscp", "flow-label"] {
            assert!(!id.starts_with(absent), "{id}");
        }
    }
    let connection = &said.of("connection")[0];
    assert_eq!(connection["stack"], json!({"client": null, "server": null}));
    let text = &said.summary()["text"];
    assert_eq!(text["missing"], json!(["TTL", "IP ID", "payload", "date"]));
    assert_eq!(text["times"], "time-of-day");
    // With -t there are no times either, and a SYN that is sent again is no copy.
    let untimed = LINES
        .replace("12:00:00.000", "")
        .lines()
        .fold(String::new(), |text, line| {
            text + line.split_once(' ').unwrap().1 + "\n"
        });
    let twice = format!("{}\n{untimed}", untimed.lines().next().unwrap());
    let said = read(&twice);
    assert_eq!(
        said.of("connection")[0]["capture_gaps"]["captured_twice"],
        false
    );
    assert_eq!(said.of("reset")[0]["silence_ns"], Value::Null);
    assert_eq!(said.summary()["text"]["times"], "none");
}

/// Two points captured each packet: without times a copy looks like a retransmission, and an RST like one that is repeated.
#[test]
fn a_text_without_times_leaves_copies_open() {
    let text = printed(&["tcpdump", "-nn", "-t", "-r"], &capture("reset-lost.ipv4"));
    let rows = read(&text).of("reset");
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!(row["cause"], Value::Null, "{row}");
        assert_eq!(row["required_action"], "unknown", "{row}");
        assert_eq!(row["errno"], Value::Null, "{row}");
    }
}

#[test]
fn names_stand_for_addresses_of_documentation() {
    let named = LINES
        .replace("10.0.0.1.", "client.example.")
        .replace("10.0.0.2.80", "203.0.113.1.http");
    let said = read(&named);
    let reset = &said.of("reset")[0];
    // RFC 5737; the first address of the range is one of the text.
    assert_eq!(
        (&reset["source"], &reset["destination"]),
        (&json!("203.0.113.1:80"), &json!("203.0.113.2:40000"))
    );
    let names = &said.summary()["text"]["names"];
    assert_eq!(
        names,
        &json!([{"name": "client.example", "stand_in": "203.0.113.2"}])
    );
}

#[test]
fn cut_lines_and_other_protocols_are_counted() {
    let cut = LINES.replace("win 64240, length 100: HTTP: GET / HTTP/1.1", "wi");
    let said = read(&format!(
        "{cut}12:00:00.000600 IP 10.0.0.1.53 > 10.0.0.2.53: UDP, length 40\n12:00:00.000700 ARP, Request who-has 10.0.0.1 tell 10.0.0.2, length 28\n"
    ));
    let text = &said.summary()["text"];
    assert_eq!(text["truncated_lines"], 1);
    assert_eq!(
        text["other_protocols"],
        json!([{"value": "ARP", "count": 1}, {"value": "UDP", "count": 1}])
    );
    assert_eq!(said.of("reset")[0]["frame"], 5);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("pasted");
    fs::write(&path, LINES).unwrap();
    let page = analyze_for_people(&[path.to_str().unwrap()]);
    assert!(page.out.contains("text output of tcpdump: no TTL, IP ID, payload or date, so hardly anything shows who really sent an RST"), "{}", page.out);
    assert!(
        page.out.contains("save a capture with `tcpdump -w`"),
        "{}",
        page.out
    );
}

#[test]
fn a_day_begins_after_midnight() {
    let late = LINES
        .replace("12:00:00.0005", "00:00:01.0005")
        .replace("12:00:00", "23:59:59");
    // 1.0001 s lie between 23:59:59.0004 and 00:00:00.0005.
    let found = reset(&late.replace("00:00:01.0005", "00:00:00.0005"));
    assert_eq!(found["silence_ns"], 1_000_100_000);
}

#[test]
fn a_text_without_packets_is_refused_in_one_line() {
    for text in [
        "Connection reset by peer\n",
        "{\"a\": 1}",
        "12:00:00 IP lookup failed > retry\n",
        "1 2 3\n",
    ] {
        let said = read(text);
        assert!(
            said.complaint()
                .contains("nor text output of tcpdump or tshark"),
            "{}",
            said.err
        );
    }
    let said = read("\u{0}\u{1}\u{2}");
    assert!(said.complaint().contains("neither pcap"), "{}", said.err);
}

#[test]
fn only_packets_of_hex_dumps_are_written_to_a_capture() {
    let home = tempfile::tempdir().unwrap();
    let (pasted, out) = (home.path().join("pasted"), home.path().join("out.pcapng"));
    let original = capture("close-unread-data.ipv4");
    let arguments = ["-w", out.to_str().unwrap(), pasted.to_str().unwrap()];
    fs::write(&pasted, LINES).unwrap();
    let said = analyze(&arguments);
    assert!(
        said.complaint()
            .contains("without a hex dump of each packet"),
        "{}",
        said.err
    );
    assert!(!out.exists());
    fs::write(
        &pasted,
        printed(&["tcpdump", "-nn", "-tt", "-X", "-r"], &original),
    )
    .unwrap();
    let said = analyze(&arguments);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let [written, there] = [&out, &original].map(|path| {
        let fields = [
            "tshark",
            "-o",
            "ip.defragment:FALSE",
            "-Y",
            "tcp",
            "-T",
            "fields",
            "-e",
            "ip.id",
            "-e",
            "tcp.seq_raw",
            "-e",
            "tcp.flags",
            "-e",
            "tcp.payload",
            "-r",
        ];
        printed(&fields, path)
    });
    assert_eq!(written, there);
}

#[test]
fn hostile_text_takes_bounded_memory() {
    let mut text = String::from(LINES);
    for nth in 0..20_000_u32 {
        let (a, b) = (nth / 250, nth % 250);
        let _ = writeln!(
            text,
            "{} IP h{nth}.x{nth} > 10.{a}.0.{b}.80: Flags [S], seq {nth}, win 1, options [mss 1,{}], length 0",
            "9".repeat(20),
            "{".repeat(30)
        );
        let _ = writeln!(
            text,
            "{}  12:00:00.1 IP 10.{a}.0.{b}.1 > 10.0.0.1.2: Flags [.], ack 1, win 1, length 0",
            1_000_000 + nth * 70_000
        );
        let _ = writeln!(text, "\t0x0000:  4500 {}", "ffff ".repeat(40));
    }
    text += &"A".repeat(3 << 20);
    let said = read(&text);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(
        said.summary()["packets"].as_u64() > Some(20_000),
        "{}",
        said.out.lines().last().unwrap()
    );
}
