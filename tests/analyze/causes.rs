//! Cause of an RST: one table of all causes, for each the scenarios and small captures whose RST must have it. A new cause
//! needs its rows here and no other test.

use std::collections::BTreeSet;

use rstproof_core::analyze::Cause;

use crate::analyze;
use crate::generate;
use crate::receivers::{HANDSHAKE, RAW_ZERO, Wire, down, the_reset, up};
use crate::segments::{ACK, FIN, RST, SYN};

/// Scenarios with the cause of each RST in their golden evidence: what the scenario is about (`rstproof explain`).
const SCENARIOS: [(&str, &[&str]); 23] = [
    ("close-unread-data", &["aborted-close"]),
    ("linger-zero-close", &["aborted-close"]),
    ("sock-destroy", &["aborted-close"]),
    ("connect-closed-port", &["refused"]),
    ("connect-firewall-reset", &["refused"]),
    ("mptcp-connect-closed-port", &["refused"]),
    ("write-after-peer-close", &["data-after-close"]),
    ("shutdown-rdwr-then-peer-write", &["data-after-close"]),
    ("fin-then-reset", &["reset-after-fin"]),
    ("linger2-negative-half-closed", &["reset-after-fin"]),
    ("half-open-peer-vanished", &["half-open-peer"]),
    // RFC 9293, 3.5.1, figure 9: the SYN meets an older connection.
    ("half-open-reconnect", &["older-connection"]),
    ("peer-rebooted", &["half-open-peer"]),
    ("syn-sent-close", &["abandoned-connect"]),
    // The client is still connecting, and what it replies to belongs to another connection.
    ("syn-sent-bad-ack", &["older-connection"]),
    ("syn-sent-bad-timestamp", &["older-connection"]),
    // The client has sent no SYN.
    ("stray-syn-ack-closed-port", &["half-open-peer"]),
    ("keepalive-half-open", &["keepalive"]),
    ("keepalive-timeout", &["keepalive"]),
    // The RST that ended it, and what the one that was cut off answers to data.
    ("reset-ahead-of-lost-data", &["aborted-close", "duplicate"]),
    ("reset-lost", &["aborted-close", "duplicate"]),
    ("time-wait-rst", &["third-party", "duplicate"]),
    ("third-party-reset", &["third-party", "half-open-peer"]),
];

/// Returns small captures: cause of the only RST, part of its explanation, and the segments. Captures of one cause differ from
/// those of another by one segment.
fn small_captures() -> Vec<(&'static str, &'static str, Vec<Wire>)> {
    let syn = up(SYN, 0, 0);
    let syn_ack = down(SYN | ACK, 0, 1).after(SECOND);
    let reset = up(RST, 1, 0).window(0);
    let handshake = |more: &[Wire]| [&HANDSHAKE[..], more].concat();
    vec![
        // RFC 9293: in SYN-SENT an end replies with RST only to an ACK of something else than its SYN (3.10.7.3). CLOSE
        // deletes the connection without a segment (3.10.4), and the SYN-ACK then meets CLOSED, which replies
        // <SEQ=SEG.ACK><CTL=RST> (3.10.7.1).
        (
            "abandoned-connect",
            "the packets do not show which",
            vec![syn, syn_ack, reset],
        ),
        (
            "abandoned-connect",
            "the packets do not show which",
            vec![
                syn,
                syn.after(SECOND),
                syn.after(2 * SECOND),
                syn_ack,
                reset,
            ],
        ),
        // The ACK is of something else: the client may still be connecting.
        (
            "older-connection",
            "still connecting",
            vec![
                syn,
                down(SYN | ACK, 0, 601).after(SECOND),
                up(RST, 601, 0).window(0),
            ],
        ),
        // No SYN was captured with the SYN-ACK, or it is so long ago that it is another attempt.
        ("half-open-peer", "sent no SYN", vec![syn_ack, reset]),
        (
            "half-open-peer",
            "sent no SYN",
            vec![syn, syn_ack.after(9 * SECOND), reset],
        ),
        // RFC 9293, 3.10.7.1: CLOSED replies to a SYN with <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>.
        (
            "refused",
            "reply to a SYN",
            vec![syn, down(RST | ACK, RAW_ZERO, 1).window(0)],
        ),
        // The client completed the handshake, and lost the connection after it.
        ("half-open-peer", "", handshake(&[down(ACK, 1, 1), reset])),
        // A proxy that completes the handshake keeps its window closed until the server has answered (`nft synproxy`).
        (
            "refused-behind-proxy",
            "a proxy completed the handshake",
            vec![
                syn,
                syn_ack.window(0),
                up(ACK, 1, 1),
                down(RST | ACK, 1, 1).window(0),
            ],
        ),
        // RFC 9293, 3.10.7.2: in LISTEN any acknowledgment is bad, and gets <SEQ=SEG.ACK><CTL=RST>.
        (
            "listener-answer",
            "sent by a listener, or for a closed port",
            vec![syn, up(ACK, 1, 1), down(RST, 1, 0).window(0)],
        ),
        // The same reply of an end that has sent its FIN, and nothing but an RST.
        (
            "data-after-close",
            "data arrived for a socket that no longer exists",
            handshake(&[
                down(FIN | ACK, 1, 1),
                up(ACK, 1, 2).len(5),
                down(RST, 2, 0).window(0),
            ]),
        ),
        // RFC 9293, 3.10.7.1: with ACK and SEQ 0 it replies to a segment without ACK, and the client has sent none but its SYN.
        (
            "stray",
            "its receiver has sent none that fits",
            handshake(&[down(RST | ACK, 0_u32.wrapping_sub(5_000), 700).window(0)]),
        ),
    ]
}

/// Causes of a connection that has other addresses on the other side of a NAT; the tests in `nat` have captures of them.
const OF_SEVERAL_ADDRESSES: [&str; 2] = ["untranslated", "nat-remapped"];

/// A second, in microseconds.
const SECOND: u32 = 1_000_000;

/// Returns the cause of a kind of RST in the generated captures.
pub(crate) fn of_generated(kind: generate::Cause) -> &'static str {
    use generate::Cause as Kind;
    match kind {
        Kind::Refused => "refused",
        Kind::Abort => "aborted-close",
        Kind::AfterClose => "data-after-close",
        Kind::SynAck => "abandoned-connect",
        Kind::HalfOpen => "half-open-peer",
    }
}

#[test]
fn rsts_of_scenarios_have_the_expected_causes() {
    for (scenario, expected) in SCENARIOS {
        let directory = env!("CARGO_MANIFEST_DIR");
        let path = format!("{directory}/captures/{scenario}.ipv4.pcapng");
        let rows = analyze(&[&path]).whole().of("reset");
        let causes: Vec<&str> = rows
            .iter()
            .map(|row| row["cause"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(causes, expected, "{scenario}");
    }
}

#[test]
fn rsts_of_small_captures_have_the_expected_causes() {
    for (expected, words, segments) in small_captures() {
        let row = the_reset(&segments);
        assert_eq!(row["cause"], expected, "{row}");
        let explanation = row["explanation"].as_str().unwrap();
        assert!(explanation.contains(words), "{expected}: {explanation}");
    }
}

#[test]
fn every_cause_is_tested() {
    let of_scenarios = SCENARIOS.iter().flat_map(|(_, causes)| *causes).copied();
    let of_captures = small_captures().into_iter().map(|(cause, ..)| cause);
    let tested = of_scenarios.chain(of_captures).chain(OF_SEVERAL_ADDRESSES);
    let tested: BTreeSet<&str> = tested.collect();
    assert_eq!(
        tested,
        Cause::ALL.map(Cause::id).into(),
        "a row for each cause"
    );
}
