//! SYNs from a port of which the server still has an earlier connection: RFC 9293, 3.5.1 and figure 9; RFC 5961, 4.2.

use serde_json::{Value, json};

use super::{CLIENT, Frames, HOST, MS, SECOND, SERVER, SYN, Talk, WEB};
use crate::segments::{ACK, RST};

/// Open connection, which its client forgets.
fn forgotten(frames: &mut Frames) -> Talk {
    let mut talk = Talk::open(frames, SECOND, HOST, WEB);
    talk.say(frames, SECOND + MS, CLIENT, b"question");
    talk.say(frames, SECOND + 2 * MS, SERVER, b"answer");
    talk.ack(frames, SECOND + 3 * MS, CLIENT);
    talk
}

/// SYN of the same port at this time.
fn syn(frames: &mut Frames, at: u64) -> Talk {
    let mut again = Talk {
        ends: [HOST, WEB],
        next: [900_000, 0],
    };
    again.put(frames, at, CLIENT, SYN, &[]);
    again
}

/// Challenge ACK of the server, and the RST of the client, whose SEQ is the ACK of that segment.
fn challenge(frames: &mut Frames, talk: &mut Talk, at: u64, has_reset: bool) {
    talk.put(frames, at, SERVER, ACK, &[]);
    if has_reset {
        talk.put(frames, at + MS, CLIENT, RST, &[]);
    }
}

/// Row of the connection with this number, and the output for people. The capture lasts to this time.
fn row_of(number: u64, mut frames: Frames, until: u64) -> (Value, String) {
    frames.refuse(until, (7, 700), (8, 800));
    let (said, text) = frames.said();
    let rows = said.of("connection");
    let row = rows.iter().find(|row| row["connection"] == number);
    (row.unwrap().clone(), text)
}

fn verdict(row: &Value) -> Value {
    let fields = [
        "failure",
        "failure_frame",
        "client_errno",
        "client_errno_condition",
    ];
    fields.map(|field| row[field].clone()).as_slice().into()
}

/// A firewall drops the RSTs of the client. Linux repeats its SYN 2 ms after the first segment that does not acknowledge it
/// (`tcp_rcv_synsent_state_process()`, `TCP_TIMEOUT_MIN`), then after 1 and 3 s. The RST in the capture refuses nothing: it is what the
/// client sends about the connection that it has forgotten.
#[test]
fn a_server_that_keeps_the_earlier_connection_accepts_no_syn() {
    for has_reset in [true, false] {
        let mut frames = Frames::default();
        let talk = forgotten(&mut frames);
        for after in [0, 10, 1_010, 3_010, 7_010] {
            let at = 20 * SECOND + after * MS;
            syn(&mut frames, at);
            let mut reply = talk;
            challenge(&mut frames, &mut reply, at + MS, has_reset);
        }
        // For Zeek an RST ends a connection, so that each of five rounds of three frames is one. Else the SYNs are those of one.
        let number = if has_reset { 19 } else { 7 };
        let (row, text) = row_of(number, frames, 90 * SECOND);
        let expected = json!(["earlier-connection", number, "ETIMEDOUT", "kernel-gave-up"]);
        assert_eq!(verdict(&row), expected, "{text}");
        let explanation = row["failure_explanation"].as_str().unwrap();
        let beginning = "the server replied to the SYN of the client only from the connection that began with frame 1";
        assert!(explanation.starts_with(beginning), "{explanation}");
        let about = "; the RST in frame 21 is about that one, and refuses no SYN";
        assert_eq!(explanation.ends_with(about), has_reset, "{explanation}");
    }
}

/// The server gives the earlier connection up for the RST, and accepts the next SYN. That is no failure.
#[test]
fn an_rst_that_clears_the_earlier_connection_is_no_failure() {
    let mut frames = Frames::default();
    let mut talk = forgotten(&mut frames);
    syn(&mut frames, 20 * SECOND);
    challenge(&mut frames, &mut talk, 20 * SECOND + MS, true);
    let mut again = syn(&mut frames, 20 * SECOND + 4 * MS);
    again.next[SERVER] = 700_000;
    again.put(&mut frames, 20 * SECOND + 5 * MS, SERVER, SYN | ACK, &[]);
    again.ack(&mut frames, 20 * SECOND + 6 * MS, CLIENT);
    let (row, _) = row_of(7, frames, 90 * SECOND);
    assert_eq!(row["failure"], Value::Null);
}

/// The host of the server is gone: no reply at all, from any connection.
#[test]
fn a_syn_without_reply_from_a_used_port_is_one_without_reply() {
    let mut frames = Frames::default();
    forgotten(&mut frames);
    for after in [0, 1, 3] {
        syn(&mut frames, (20 + after) * SECOND);
    }
    let (row, _) = row_of(7, frames, 90 * SECOND);
    assert_eq!(
        verdict(&row),
        json!(["no-reply", 7, "ETIMEDOUT", "kernel-gave-up"])
    );
}

/// The reply to the second SYN may still come.
#[test]
fn a_syn_that_was_repeated_once_may_be_accepted_yet() {
    let mut frames = Frames::default();
    let mut talk = forgotten(&mut frames);
    syn(&mut frames, 20 * SECOND);
    challenge(&mut frames, &mut talk, 20 * SECOND + MS, true);
    syn(&mut frames, 20 * SECOND + 4 * MS);
    let (row, _) = row_of(7, frames, 20 * SECOND + 50 * MS);
    assert_eq!(row["failure"], Value::Null);
}
