//! Causes of RSTs that differ by one segment of the capture.

use std::fs;

use crate::analyze;
use crate::layout::{Order, Pcap};
use crate::segments::{ACK, RST, SYN, Segment};

const CLIENT: u16 = 40_000;
const SERVER: u16 = 80;

/// Segment of the client, whose initial sequence number is 99.
fn client(flags: u8, seq: u32, ack: u32) -> Segment {
    let ports = [CLIENT, SERVER];
    Segment {
        ports,
        flags,
        seq,
        ack,
    }
}

/// Segment of the server, whose initial sequence number is 499.
fn server(flags: u8, seq: u32, ack: u32) -> Segment {
    let ports = [SERVER, CLIENT];
    Segment {
        ports,
        flags,
        seq,
        ack,
    }
}

/// Returns cause and explanation of the only RST in a capture of these segments, each with its second.
fn cause(segments: &[(u32, Segment)]) -> (String, String) {
    let mut file = Pcap::new(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for (second, segment) in segments {
        let frame = segment.frame();
        let length = u32::try_from(frame.len()).unwrap();
        file.record((*second, 0), (length, length), &frame);
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("capture");
    fs::write(&path, file.bytes).unwrap();
    let said = analyze(&[path.to_str().unwrap()]).whole();
    let [reset] = &said.of("reset")[..] else {
        panic!("{}", said.out)
    };
    let text = |field: &str| reset[field].as_str().unwrap().to_owned();
    (text("cause"), text("explanation"))
}

/// RFC 9293: in SYN-SENT an end replies with RST only to an ACK of something else than its SYN (3.10.7.3). CLOSE deletes
/// the connection without a segment (3.10.4), and the SYN-ACK then meets CLOSED, which replies <SEQ=SEG.ACK><CTL=RST>
/// (3.10.7.1).
#[test]
fn a_syn_ack_that_comes_too_late_has_a_cause_of_its_own() {
    let syn = client(SYN, 99, 0);
    let syn_ack = server(SYN | ACK, 499, 100);
    let reset = client(RST, 100, 0);
    for late in [
        &[(0, syn), (1, syn_ack), (1, reset)][..],
        &[(0, syn), (1, syn), (3, syn), (4, syn_ack), (4, reset)],
    ] {
        let (cause, explanation) = cause(late);
        assert_eq!(cause, "abandoned-connect", "{explanation}");
        assert!(explanation.contains("the packets do not show which"));
    }

    // The ACK is of something else: the client may still be connecting.
    let (other, explanation) = cause(&[
        (0, syn),
        (1, server(SYN | ACK, 499, 700)),
        (1, client(RST, 700, 0)),
    ]);
    assert_eq!(other, "older-connection");
    assert!(explanation.contains("still connecting"), "{explanation}");

    // No SYN was captured with the SYN-ACK, or it is so long ago that it is another attempt.
    for without_syn in [
        &[(9, syn_ack), (9, reset)][..],
        &[(0, syn), (9, syn_ack), (9, reset)],
    ] {
        let (other, explanation) = cause(without_syn);
        assert_eq!(other, "half-open-peer");
        assert!(explanation.contains("sent no SYN"), "{explanation}");
    }

    // The client completed the handshake, and lost the connection after it.
    let (other, explanation) = cause(&[
        (0, syn),
        (1, syn_ack),
        (1, client(ACK, 100, 500)),
        (2, server(ACK, 500, 100)),
        (2, reset),
    ]);
    assert_eq!(other, "half-open-peer", "{explanation}");
}
