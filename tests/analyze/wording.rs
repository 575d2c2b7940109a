//! Sentences that a capture contradicts, or that leave out what it shows: small captures, and what must not be said of them.

use std::fs;

use serde_json::Value;

use crate::analyze;
use crate::layout::{Order, Pcap};
use crate::segments::{ACK, Frame, RST, SYN};

/// Frame at a time in milliseconds.
type At<'a> = (u32, Frame<'a>);

/// SYN options of Windows (`p0f.fp` 3.09b: `mss,nop,ws,nop,nop,sok`).
const WINDOWS: [u8; 12] = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];

fn up(flags: u8, seq: u32, ack: u32) -> Frame<'static> {
    Frame {
        ttl: 128,
        flags,
        seq: 1_000 + seq,
        ack: if flags & ACK == 0 { 0 } else { 5_000 + ack },
        window: 8_192,
        ..Frame::default()
    }
}

fn down(flags: u8, seq: u32, ack: u32) -> Frame<'static> {
    let up = up(flags, 0, 0);
    Frame {
        from: up.to,
        to: up.from,
        ttl: 57,
        seq: 5_000 + seq,
        ack: if flags & ACK == 0 { 0 } else { 1_000 + ack },
        window: if flags == RST { 0 } else { 8_192 },
        ..up
    }
}

/// A handshake, a request and its acknowledgment within 60 milliseconds.
fn request(options: &[u8]) -> Vec<At<'_>> {
    let syn = Frame {
        options,
        ..up(SYN, 0, 0)
    };
    let request = Frame {
        len: 9,
        ..up(ACK, 1, 1)
    };
    vec![
        (0, syn),
        (20, down(SYN | ACK, 0, 1)),
        (21, up(ACK, 1, 1)),
        (40, request),
        (60, down(ACK, 1, 10)),
    ]
}

fn resets(frames: &[At<'_>]) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.pcap");
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for (at, frame) in frames {
        let bytes = frame.bytes();
        let length = u32::try_from(bytes.len()).unwrap();
        let time = (1_700_000_000 + at / 1_000, at % 1_000 * 1_000);
        file.record(time, (length, length), &bytes);
    }
    fs::write(&path, &file.bytes).unwrap();
    analyze(&[path.to_str().unwrap()]).whole().of("reset")
}

fn has(reset: &Value, indicator: &str) -> bool {
    let all = reset["indicators"].as_array().unwrap();
    all.iter().any(|it| it["id"] == indicator)
}

/// An end that has been reset expects no number (RFC 9293, 3.10.7.1: CLOSED), and of an end that the capture does not show, no
/// number is known.
#[test]
fn no_number_is_expected_without_a_connection() {
    let mut frames = request(&[]);
    frames.push((80, down(RST, 1, 0)));
    frames.push((81, down(RST, 1, 0)));
    let [first, second] = &resets(&frames)[..] else {
        panic!()
    };
    assert!(has(first, "seq-exact"), "{first}");
    assert_eq!(second["required_action"], "drop");
    assert_eq!(second["acceptance"], "there is no connection to reset");
    assert!(!has(second, "seq-exact"), "{second}");
    let [reset] = &resets(&[(0, up(ACK, 1, 1)), (9, down(RST | ACK, 1, 1))])[..] else {
        panic!()
    };
    assert_eq!(reset["required_action"], "unknown", "{reset}");
    assert!(!has(reset, "seq-exact"), "{reset}");
}

/// Who has recognized the sender as Windows, which aborts with window 0, is not asked to do so.
#[test]
fn a_system_that_is_known_need_not_be_identified() {
    let confirm = |options| {
        let mut frames = request(options);
        let abort = Frame {
            window: 0,
            ..up(RST | ACK, 10, 1)
        };
        frames.push((80, abort));
        let [reset] = &resets(&frames)[..] else {
            panic!()
        };
        assert_eq!(reset["cause"], "aborted-close", "{reset}");
        reset["to_confirm"].as_str().unwrap().to_owned()
    };
    assert!(confirm(&WINDOWS).starts_with("trace the sender"));
    assert!(confirm(&[]).starts_with("identify the operating system"));
}

/// NATs, firewalls and load balancers forget idle connections (RFC 5382, REQ-5), and some reply with an RST to what comes then.
#[test]
fn idle_timeouts_are_named_after_a_silence() {
    for (silence, is_named) in [(1_000, false), (350_000, true)] {
        let mut frames = request(&[]);
        let more = Frame {
            len: 9,
            ..up(ACK, 10, 1)
        };
        frames.push((60 + silence, more));
        frames.push((80 + silence, down(RST, 1, 0)));
        let [reset] = &resets(&frames)[..] else {
            panic!()
        };
        assert_eq!(reset["cause"], "half-open-peer", "{reset}");
        let confirm = reset["to_confirm"].as_str().unwrap();
        assert_eq!(confirm.contains("idle timeouts"), is_named, "{reset}");
    }
}

/// A load balancer that times an idle connection out needs no segment to reply to.
#[test]
fn idle_timeouts_are_named_for_a_device_that_resets_by_itself() {
    let mut frames = request(&[]);
    let reset = Frame {
        ttl: 200,
        ..down(RST | ACK, 1, 10)
    };
    frames.push((350_060, reset));
    let [reset] = &resets(&frames)[..] else {
        panic!()
    };
    assert_eq!(reset["cause"], "third-party", "{reset}");
    let confirm = reset["to_confirm"].as_str().unwrap();
    assert!(confirm.contains("idle timeouts"), "{reset}");
}
