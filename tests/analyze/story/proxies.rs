//! Failures of proxies that follow from a failure of their backend. A proxy has two connections: it is the server of one, and the client
//! of the other.

use rstproof_core::analyze::FailureKind;
use serde_json::Value;

use super::{CLIENT, End, Frames, HOST, MS, SECOND, SERVER, SYN, Talk, WEB};
use crate::segments::{ACK, Frame};
use crate::{analyze, analyze_for_people};

const BACKEND: End = (3, 5432);

/// Client that is aborted by a server 1 ms after a connection of some host was refused.
fn aborted_after_refusal(client: End, backend: End, before: u64, by: usize) -> (Value, String) {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, 10 * SECOND, HOST, WEB);
    talk.say(
        &mut frames,
        10 * SECOND + MS,
        CLIENT,
        b"GET / HTTP/1.1\r\n\r\n",
    );
    let ended = 10 * SECOND + 900 * MS;
    frames.refuse(ended - before, client, backend);
    talk.abort(&mut frames, ended, by);
    let (said, text) = frames.said();
    let rows = said.of("reset");
    let row = rows.iter().find(|row| row["connection"] == 1).unwrap();
    for other in rows.iter().filter(|row| row["connection"] != 1) {
        assert_eq!(other["preceded_by"], Value::Null);
    }
    (row["preceded_by"].clone(), text)
}

/// A proxy has two connections: it is the server of one, and the client of the other.
#[test]
fn a_failure_of_the_same_host_just_before_is_named() {
    let proxy = (1, 50_000);
    let (preceded, text) = aborted_after_refusal(proxy, BACKEND, MS, SERVER);
    assert_eq!(preceded["connection"], 5);
    assert_eq!(preceded["frame"], 6);
    assert_eq!(preceded["failure"], "refused");
    assert_eq!(preceded["server"], "10.0.0.3:5432");
    assert_eq!(preceded["before_ns"], MS);
    assert!(
        text.contains("1 ms before, a connection of this server's address to 10.0.0.3:5432 was refused (frame 6)"),
        "{text}"
    );
    for (what, client, backend, before, by) in [
        ("another host", (9, 50_000), BACKEND, MS, SERVER),
        ("the client", proxy, BACKEND, MS, CLIENT),
        ("the same server", proxy, WEB, MS, SERVER),
        ("before the connection", proxy, BACKEND, 905 * MS, SERVER),
    ] {
        let (preceded, text) = aborted_after_refusal(client, backend, before, by);
        assert_eq!(preceded, Value::Null, "{what}");
        assert!(!text.contains("of this server's address"), "{what}: {text}");
    }
}

/// A FIN in place of an answer may follow from the failure of a backend as well. It is shown in the row of the connection.
#[test]
fn a_server_that_closes_without_an_answer_may_be_a_proxy() {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, SECOND, HOST, WEB);
    talk.say(&mut frames, SECOND + MS, CLIENT, b"GET / HTTP/1.1\r\n\r\n");
    frames.refuse(SECOND + 5 * MS, (1, 50_000), BACKEND);
    talk.fin(&mut frames, SECOND + 6 * MS, SERVER);
    let (said, _) = frames.said();
    let rows = said.of("connection");
    assert_eq!(rows[0]["failure"], FailureKind::ClosedBeforeResponse.id());
    assert_eq!(rows[0]["preceded_by"]["frame"], 6);
    assert_eq!(rows[0]["preceded_by"]["before_ns"], MS);
    assert_eq!(rows[1]["preceded_by"], Value::Null);
}

/// Proxy as the client of its backend.
const PROXY: End = (1, 50_000);

/// Time at which the client of the proxy connects, and that of its request.
const CONNECTED: u64 = 10 * SECOND;
const ASKED: u64 = CONNECTED + MS;

/// Row of the client whose server, the proxy, aborts at this time, and the output for people. `backend` adds the packets of the proxy's
/// own connection.
fn aborted_at(ended: u64, backend: impl FnOnce(&mut Frames)) -> (Value, String) {
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, CONNECTED, HOST, WEB);
    talk.say(&mut frames, ASKED, CLIENT, b"GET / HTTP/1.1\r\n\r\n");
    backend(&mut frames);
    talk.abort(&mut frames, ended, SERVER);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.pcapng");
    frames.write(&path);
    let path = path.to_str().unwrap();
    let rows = analyze(&[path]).whole().of("reset");
    let row = rows.iter().find(|row| row["source"] == "10.0.0.1:80");
    let text = analyze_for_people(&["-v", path]).whole().out;
    (row.unwrap()["preceded_by"].clone(), text)
}

/// SYNs of the proxy to its backend at these times after the request.
fn syns(frames: &mut Frames, client: End, after: &[u64]) {
    for after in after {
        frames.ids += 1;
        let syn = Frame {
            from: client,
            to: BACKEND,
            id: frames.ids,
            flags: SYN,
            seq: 77,
            ..Frame::default()
        };
        frames.all.push((ASKED + after, syn.bytes()));
    }
}

/// SYN-ACK of the backend so long after the request.
fn accept(frames: &mut Frames, after: u64) {
    frames.ids += 1;
    let reply = Frame {
        from: BACKEND,
        to: PROXY,
        id: frames.ids,
        flags: SYN | ACK,
        seq: 9_000,
        ack: 78,
        window: 500,
        ..Frame::default()
    };
    frames.all.push((ASKED + after, reply.bytes()));
}

/// A SYN is repeated after 1, 3 and 7 s (RFC 6298, 2.1 and 5.5). A proxy with a time-out of 5 s gives up in between, which sends nothing.
#[test]
fn a_proxy_that_waits_for_its_backend_is_named() {
    let begun = [0, SECOND, 3 * SECOND];
    let ended = ASKED + 5 * SECOND;
    let (preceded, text) = aborted_at(ended, |frames| syns(frames, PROXY, &begun));
    // The fifth frame, after the handshake and the request of the client.
    assert_eq!(preceded["failure"], "no-reply");
    assert_eq!(preceded["connection"], 5);
    assert_eq!(preceded["frame"], 5);
    assert_eq!(preceded["server"], "10.0.0.3:5432");
    assert_eq!(preceded["before_ns"], 5 * SECOND);
    assert_eq!(preceded["candidates"], 1);
    let expected = "5.0 s before, this server's address had begun to connect to 10.0.0.3:5432, which had not replied yet (frame 5): if one \
                    process had both, that may be the reason";
    assert!(text.contains(expected), "{text}");
    // What comes later does not make it false.
    let (later, _) = aborted_at(ended, |frames| {
        syns(frames, PROXY, &begun);
        accept(frames, 6 * SECOND);
    });
    for field in ["failure", "frame", "before_ns", "candidates"] {
        assert_eq!(later[field], preceded[field], "{field}");
    }
}

/// A connection that may still be usual, has its reply, or was given up for another reason explains nothing.
#[test]
fn a_proxy_that_does_not_wait_is_not_named() {
    let ended = ASKED + 5 * SECOND;
    let none = |what: &str, ended: u64, backend: &dyn Fn(&mut Frames)| {
        let (preceded, text) = aborted_at(ended, backend);
        assert_eq!(preceded, Value::Null, "{what}");
        assert!(!text.contains("this server's address"), "{what}: {text}");
    };
    none("one SYN", ASKED + SECOND / 2, &|frames| {
        syns(frames, PROXY, &[0]);
    });
    none("a reply before", ended, &|frames| {
        syns(frames, PROXY, &[0, SECOND, 3 * SECOND]);
        accept(frames, 4 * SECOND);
    });
    // The third SYN would have come at 3 s.
    none("given up before", ended, &|frames| {
        syns(frames, PROXY, &[0, SECOND]);
    });
    none("another host", ended, &|frames| {
        syns(frames, (9, 50_000), &[0, SECOND, 3 * SECOND]);
    });
    none("begun before the client", ASKED + SECOND, &|frames| {
        let early = |after: u64| ASKED - 3 * SECOND + after;
        for (after, at) in [
            (0, early(0)),
            (SECOND, early(SECOND)),
            (3 * SECOND, early(3 * SECOND)),
        ] {
            syns(frames, PROXY, &[after]);
            frames.all.last_mut().unwrap().0 = at;
        }
    });
}

/// `TCP_RTO_MIN` is 200 ms, and the interval doubles (RFC 6298, 5.5). The connection of a pool is older than that of the client.
#[test]
fn data_without_acknowledgment_is_named() {
    let sent = |frames: &mut Frames, acknowledged: Option<u64>| {
        let first = Talk::open(frames, SECOND, PROXY, BACKEND);
        let mut latest = first;
        for after in [0, 200, 600, 1_400] {
            latest = first;
            latest.say(frames, ASKED + after * MS, CLIENT, b"question");
        }
        if let Some(after) = acknowledged {
            latest.ack(frames, ASKED + after * MS, SERVER);
        }
    };
    let ended = ASKED + 2 * SECOND;
    let (preceded, text) = aborted_at(ended, |frames| sent(frames, None));
    assert_eq!(preceded["failure"], "timed-out");
    // Both handshakes and the request of the client come before.
    assert_eq!(preceded["frame"], 8);
    assert_eq!(preceded["connection"], 1);
    assert_eq!(preceded["before_ns"], 2 * SECOND);
    let expected = "2.0 s before, this server's address had sent data to 10.0.0.3:5432, which had not acknowledged it yet (frame 8)";
    assert!(text.contains(expected), "{text}");
    let (preceded, _) = aborted_at(ended, |frames| sent(frames, Some(1_500)));
    assert_eq!(preceded, Value::Null);
}

/// A backend that closes instead of answering. Its request is of a protocol that answers.
#[test]
fn a_backend_that_closes_without_an_answer_is_named() {
    let closes = |frames: &mut Frames, at: u64| {
        let mut talk = Talk::open(frames, ASKED + 3 * MS, PROXY, BACKEND);
        talk.say(frames, ASKED + 4 * MS, CLIENT, b"GET / HTTP/1.1\r\n\r\n");
        talk.fin(frames, at, SERVER);
    };
    let closed = ASKED + 9 * MS;
    let (preceded, text) = aborted_at(closed + 2 * MS, |frames| closes(frames, closed));
    assert_eq!(preceded["failure"], FailureKind::ClosedBeforeResponse.id());
    assert_eq!(preceded["frame"], 9);
    assert_eq!(preceded["before_ns"], 2 * MS);
    let expected = "2 ms before, 10.0.0.3:5432 closed a connection of this server's address instead of answering (frame 9)";
    assert!(text.contains(expected), "{text}");
    let (preceded, _) = aborted_at(closed + 1_001 * MS, |frames| closes(frames, closed));
    assert_eq!(preceded, Value::Null);
    // The proxy closes in the same way: its row comes when the connection is over.
    let mut frames = Frames::default();
    let mut talk = Talk::open(&mut frames, CONNECTED, HOST, WEB);
    talk.say(&mut frames, ASKED, CLIENT, b"GET / HTTP/1.1\r\n\r\n");
    closes(&mut frames, closed);
    talk.fin(&mut frames, closed + 2 * MS, SERVER);
    // Many failures later, what the proxy did is still known.
    for nth in 0..2_000 {
        frames.refuse(closed + (100 + 2 * nth) * MS, (1, 60_000), (3, 9_999));
    }
    let (said, _) = frames.said();
    let rows = said.of("connection");
    let row = rows.iter().find(|row| row["connection"] == 1).unwrap();
    assert_eq!(row["preceded_by"]["frame"], 9);
    assert_eq!(row["preceded_by"]["candidates"], 1);
    let backend = rows.iter().find(|row| row["connection"] == 5).unwrap();
    assert_eq!(backend["failure"], FailureKind::ClosedBeforeResponse.id());
    assert_eq!(backend["preceded_by"], Value::Null);
}

/// A proxy tries several backends, and has other clients: which failure this one followed from is not known.
#[test]
fn several_failures_are_counted() {
    let ended = ASKED + 50 * MS;
    let (preceded, text) = aborted_at(ended, |frames| {
        for (nth, last) in [(1, 4), (2, 5), (3, 6)] {
            frames.refuse(ASKED + 10 * MS * nth, (1, 50_000 + last), (3, 5_000 + last));
        }
    });
    assert_eq!(preceded["candidates"], 3);
    assert_eq!(preceded["server"], "10.0.0.3:5006");
    let expected = "to 10.0.0.3:5006 was refused (frame 10; 3 connections of this address had failed or waited then)";
    assert!(text.contains(expected), "{text}");
}
