//! Connections of which the capture lacks single segments, and what it can then say about the error of the receiver.
//!
//! The expectations follow from what was sent: `tcp_reset()` of Linux sets EPIPE after the peer's FIN and ECONNRESET before it, an
//! orphaned socket reports nothing (`tcp_done_with_error()`), and a request has no socket (`tcp_check_req()`). Where several
//! connections look alike in the capture, the error has to have a condition that holds for all of them.

use crate::receivers::{HANDSHAKE, Wire, down, last_reset, resets, the_reset, up};
use crate::segments::{ACK, FIN, RST};

/// Error and condition of the only RST.
fn error(connection: &[Wire]) -> (String, Option<String>) {
    let row = the_reset(connection);
    let text = |field: &str| row[field].as_str().map(str::to_owned);
    assert_eq!(row["required_action"], "accept", "{row}");
    (text("errno").unwrap_or_default(), text("errno_condition"))
}

/// Reply of a kernel without a socket.
fn reply(wire: Wire) -> Wire {
    wire.window(0)
}

#[track_caller]
fn is(connection: &[Wire], errno: &str, condition: impl Into<Option<&'static str>>) {
    let (found, of) = error(connection);
    assert_eq!((found.as_str(), of.as_deref()), (errno, condition.into()));
}

fn after_handshake(more: &[Wire]) -> Vec<Wire> {
    [&HANDSHAKE[..], more].concat()
}

/// The server has closed, its FIN is not captured, and data of the client draws an RST.
#[test]
fn a_missing_fin_of_the_sender_leaves_two_errors_open() {
    // The client has acknowledged the FIN, in the data or before.
    let data = up(ACK, 1, 2).len(10);
    is(
        &after_handshake(&[data, reply(down(RST, 2, 0))]),
        "EPIPE",
        "fin-received",
    );
    // The third segment of the handshake is missing, too.
    is(
        &[HANDSHAKE[0], HANDSHAKE[1], data, reply(down(RST, 2, 0))],
        "EPIPE",
        "fin-received",
    );
    // The capture begins later: the server may have sent a FIN before its only segment.
    is(
        &[
            down(ACK, 1, 1),
            up(ACK, 1, 1).len(10),
            reply(down(RST, 1, 0)),
        ],
        "ECONNRESET",
        "no-fin-missing",
    );
    // Nothing follows a FIN, so none is missing before data.
    is(
        &[
            down(ACK, 1, 1).len(5),
            up(ACK, 1, 6).len(10),
            reply(down(RST, 6, 0)),
        ],
        "ECONNRESET",
        None,
    );
    // And none if all that the server sent was captured.
    is(
        &after_handshake(&[up(ACK, 1, 1).len(10), reply(down(RST, 1, 0))]),
        "ECONNRESET",
        None,
    );
}

/// A FIN behind data that the capture lacks has arrived once its number is acknowledged.
#[test]
fn an_acknowledged_fin_behind_missing_data_has_arrived() {
    let packets = [
        up(FIN | ACK, 11, 1),
        down(ACK, 1, 12).len(10),
        reply(up(RST, 12, 0)),
    ];
    is(&after_handshake(&packets), "EPIPE", None);
}

/// The client has acknowledged more of the server than was captured, which may be its FIN: after `close()` nobody is told.
#[test]
fn a_missing_fin_of_the_receiver_leaves_open_whether_anybody_is_told() {
    let abort = up(RST | ACK, 1, 2);
    is(
        &after_handshake(&[up(ACK, 1, 2), abort]),
        "ECONNRESET",
        "socket-held",
    );
    is(&after_handshake(&[abort]), "ECONNRESET", "socket-held");
    // What is missing was data, since more data followed.
    let data = [
        up(ACK, 1, 11),
        down(ACK, 11, 1).len(5),
        up(ACK, 1, 16),
        up(RST | ACK, 1, 16),
    ];
    is(&after_handshake(&data), "ECONNRESET", None);
}

/// An end whose FIN was acknowledged has closed and cannot abort (RFC 9293, 3.10.7.4, fifth: LAST-ACK). If it does, the number that
/// its other end has acknowledged was that of data, and the other end is in FIN-WAIT-2 instead of TIME-WAIT.
#[test]
fn an_end_that_aborts_had_not_sent_a_fin() {
    let packets = [
        up(FIN | ACK, 1, 1),
        down(ACK, 1, 2),
        up(ACK, 2, 2),
        down(RST | ACK, 2, 2),
    ];
    is(&after_handshake(&packets), "ECONNRESET", "socket-held");
}

/// Only a socket sends data and FINs, and a server has one once the handshake is complete.
#[test]
fn a_server_that_sends_data_has_a_socket() {
    let begun = [HANDSHAKE[0], HANDSHAKE[1]];
    let data = [down(ACK, 1, 1).len(10), reply(up(RST, 1, 0))];
    is(&[&begun[..], &data].concat(), "ECONNRESET", None);
    let fin = [down(FIN | ACK, 1, 1), reply(up(RST, 1, 0))];
    is(&[&begun[..], &fin].concat(), "ECONNRESET", "socket-held");
    // The client has received data of the server that the capture lacks.
    let unseen = [up(RST | ACK, 1, 11)];
    is(&[&begun[..], &unseen].concat(), "ECONNRESET", "socket-held");
}

/// A filter for SYN, FIN and RST hides the ACK that completes a handshake. A FIN shows that there was one.
#[test]
fn a_filter_leaves_open_whether_a_handshake_was_completed() {
    let begun = [HANDSHAKE[0], HANDSHAKE[1]];
    let closed = [&begun[..], &[up(FIN | ACK, 1, 1), down(FIN | ACK, 1, 2)]].concat();
    let answered = [&begun[..], &[reply(up(RST, 1, 0))]].concat();
    let whole = after_handshake(&[up(FIN | ACK, 1, 1), down(FIN | ACK, 1, 2)]);
    for (first, errno, condition) in [
        (closed, "ECONNRESET", "handshake-completed"),
        (whole, "", ""),
    ] {
        let row = resets(&[first, answered.clone()]).remove(1).remove(0);
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (&*text("errno"), &*text("errno_condition")),
            (errno, condition),
            "{row}"
        );
        // A SYN-ACK is not known to be what it replies to, unless the segments after it are there.
        let is_abandoned = row["cause"] == "abandoned-connect";
        assert_eq!(is_abandoned, condition.is_empty(), "{row}");
    }
    // Without a sign of a missing ACK, an abort comes in its place: the health check of HAProxy does so.
    is(&[&begun[..], &[up(RST | ACK, 1, 1)]].concat(), "", None);
}

/// NOP, NOP, and the timestamps of RFC 7323.
const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7];

/// A closed port replies without window and timestamps (`tcp_v4_send_reset()`, `net/ipv4/tcp_ipv4.c`); a socket has both.
#[test]
fn a_refusal_that_looks_like_an_abort_may_be_one() {
    let abort = down(RST | ACK, 1, 1).options(&TIMESTAMPS);
    is(&[HANDSHAKE[0], abort], "ECONNREFUSED", "no-syn-ack-missing");
    is(
        &[HANDSHAKE[0], reply(down(RST | ACK, 0, 1))],
        "ECONNREFUSED",
        None,
    );
}

/// The sender aborts after its FIN, which is missing, and the server's data draws another RST.
#[test]
fn an_earlier_rst_one_number_ahead_came_after_a_fin() {
    let packets = [
        down(ACK, 1, 1).len(10),
        up(RST | ACK, 2, 12),
        reply(up(RST, 1, 0)),
    ];
    let connection = after_handshake(&packets);
    let first = resets(std::slice::from_ref(&connection))
        .remove(0)
        .remove(0);
    // Its ACK shows that the capture lacks segments.
    assert_eq!(first["required_action"], "unknown", "{first}");
    let second = last_reset(&connection);
    assert_eq!(second["errno"], "ECONNRESET", "{second}");
    assert_ne!(
        second["errno_condition"],
        serde_json::Value::Null,
        "{second}"
    );
}
