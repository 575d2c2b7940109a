//! Tests of the table of connections: how long a connection lasts, in which order it is reported, and what is bounded.

use std::ops::ControlFlow;
use std::sync::Mutex;

use super::*;
use crate::analyze::decode::Batch;
use crate::analyze::explain::{Cause, RequiredAction};
use crate::analyze::zeek::ConnState;
use crate::analyze::{Analysis, Event, Source};
use crate::file::Statistics;
use crate::file::pcap::Pcap;
use crate::packet::Link;
use crate::transcript::Errno;

/// pcapng draft, 4.6: the counts of an interface begin with the capture, so its latest block has its total.
#[test]
fn drops_are_the_sum_of_the_latest_counts_of_all_interfaces() {
    let mut totals = Totals::default();
    assert_eq!(totals.dropped(), 0);
    for (interface, dropped) in [(0, Some(5)), (1, Some(7)), (0, Some(9)), (1, None)] {
        let mut batch = Batch::default();
        batch.dropped.take(&Statistics {
            interface,
            dropped,
            ..Statistics::default()
        });
        totals.add(&batch);
    }
    assert_eq!(totals.dropped(), 9 + 7);
    let mut batch = Batch::default();
    for dropped in [10, 11] {
        batch.dropped.take(&Statistics {
            dropped: Some(dropped),
            ..Statistics::default()
        });
    }
    totals.add(&batch);
    assert_eq!(totals.dropped(), 11 + 7);
}

#[test]
fn the_first_resets_and_the_last_are_listed() {
    let mut frames = Vec::new();
    for frame in 1..=64 {
        push_bounded(&mut frames, frame);
    }
    assert_eq!(frames, (1..=64).collect::<Vec<_>>());
    push_bounded(&mut frames, 70);
    push_bounded(&mut frames, 99);
    let expected: Vec<_> = (1..=63).chain([99]).collect();
    assert_eq!(frames, expected);
}

const SYN: u8 = Flags::SYN.0;
const ACK: u8 = Flags::ACK.0;
const FIN: u8 = Flags::FIN.0;
const RST: u8 = Flags::RST.0;

/// Segment of a script: milliseconds, port of the client, true if the client sends it, flags, SEQ, ACK, payload.
type Sent = (i64, u16, bool, u8, u32, u32, u16);

/// Frame of Ethernet, IPv4 and TCP. RSTs without ACK have no window, as Linux sends them.
fn frame(&(_, port, from_client, flags, seq, ack, payload): &Sent) -> Vec<u8> {
    let mut frame = vec![2; 12];
    let length = (40 + payload).to_be_bytes();
    frame.extend([
        8, 0, 0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, 6, 0, 0,
    ]);
    let (from, to) = if from_client { (1, 2) } else { (2, 1) };
    frame.extend([10, 0, 0, from, 10, 0, 0, to]);
    let ports = if from_client { [port, 80] } else { [80, port] };
    frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    frame.extend(seq.to_be_bytes());
    frame.extend(ack.to_be_bytes());
    let window = if flags == RST || flags == RST | ACK && seq == 0 {
        0
    } else {
        2
    };
    frame.extend([0x50, flags, window, 0, 0, 0, 0, 0]);
    frame.resize(frame.len() + usize::from(payload), 7);
    frame
}

/// What is reported of a script, in order.
#[derive(Debug, Clone, PartialEq)]
enum Row {
    Connection {
        number: u32,
        state: ConnState,
        history: String,
        records: u32,
        packets: [u64; 2],
        resets: u64,
        idle: i64,
    },
    Reset {
        frame: u32,
        connection: u32,
        cause: Option<Cause>,
        action: RequiredAction,
        state: State,
        errno: Option<Errno>,
        triggered_by: Option<u32>,
        earlier: Option<u32>,
        silence: i64,
    },
}

fn row(event: Event<'_>) -> Row {
    match event {
        Event::Connection(connection) => Row::Connection {
            number: connection.number(),
            state: connection.zeek.conn_state(),
            history: connection.zeek.history(),
            records: connection.zeek.records(),
            packets: connection.zeek.packets(),
            resets: connection.resets,
            idle: connection.idle,
        },
        Event::Reset(connection, record) => Row::Reset {
            frame: record.reset.frame,
            connection: connection.number(),
            cause: record.explanation.cause,
            action: record.explanation.required_action,
            state: record.reset.receiver_state,
            errno: record.explanation.errno,
            triggered_by: record.reset.triggered_by,
            earlier: record.earlier,
            silence: record.silence,
        },
        Event::Icmp(..) | Event::Failed(_) => panic!("no connection and no RST"),
    }
}

fn read(bytes: &[u8], analysis: &Analysis) -> (Vec<Row>, Totals) {
    let mut rest = bytes;
    let source = Source::Stream(Mutex::new(&mut rest));
    let mut rows = Vec::new();
    let summary = analysis.read(
        &source,
        |event| Some(row(event)),
        |part| {
            rows.extend(part.items);
            ControlFlow::Continue(())
        },
    );
    (rows, summary.totals)
}

fn capture(script: &[Sent]) -> Vec<u8> {
    let mut file = Pcap::begin(Link::Ethernet, 0);
    for sent in script {
        let frame = frame(sent);
        let length = u32::try_from(frame.len()).unwrap();
        file.frame(Timestamp(sent.0 * 1_000_000), length, &frame);
    }
    file.into_bytes()
}

/// What is reported of a script, by any number of threads and with chunks of any length.
fn rows_and_totals(script: &[Sent], analysis: &Analysis) -> (Vec<Row>, Totals) {
    let bytes = capture(script);
    let expected = read(&bytes, analysis);
    for (threads, length) in [(1, 64), (3, 400), (2, 5_000)] {
        let other = analysis.clone().threads(threads).chunk_len(length);
        assert_eq!(read(&bytes, &other), expected, "{threads}, {length}");
    }
    expected
}

fn rows(script: &[Sent]) -> Vec<Row> {
    rows_and_totals(script, &Analysis::new()).0
}

/// Rows of connections and of RSTs.
fn parts(script: &[Sent]) -> (Vec<Row>, Vec<Row>) {
    let rows = rows(script).into_iter();
    rows.partition(|row| matches!(row, Row::Connection { .. }))
}

/// Handshake on this port, at this time.
fn handshake(at: i64, port: u16, seq: u32) -> Vec<Sent> {
    vec![
        (at, port, true, SYN, seq, 0, 0),
        (at + 1, port, false, SYN | ACK, 7_000, seq + 1, 0),
        (at + 2, port, true, ACK, seq + 1, 7_001, 0),
    ]
}

const PORT: u16 = 40_000;
const MS: i64 = 1_000_000;

/// RFC 9293, 3.10.7: a connection has no time-out, so the receiver is in ESTABLISHED after any silence, and accepts an
/// RST at RCV.NXT. Zeek's record ends after 300 s (`tcp_inactivity_timeout`).
#[test]
fn a_connection_outlives_any_silence() {
    let mut script = handshake(0, PORT, 99);
    script.extend([
        (908_000, PORT, true, ACK, 100, 7_001, 5),
        (908_001, PORT, false, RST, 7_001, 0, 0),
    ]);
    let (connections, resets) = parts(&script);
    let expected = Row::Reset {
        frame: 5,
        connection: 1,
        cause: Some(Cause::HalfOpenPeer),
        action: RequiredAction::Accept,
        state: State::Established,
        errno: Some(Errno::ECONNRESET),
        triggered_by: Some(4),
        earlier: None,
        silence: 907_998 * MS,
    };
    assert_eq!(resets, [expected]);
    let [
        Row::Connection {
            number,
            history,
            records,
            packets,
            resets,
            idle,
            ..
        },
    ] = &connections[..]
    else {
        panic!("{connections:?}")
    };
    assert_eq!((*number, *records, *resets, *idle), (1, 2, 1, MS));
    // Zeek's last record has the last two packets.
    assert_eq!((history.as_str(), packets.iter().sum::<u64>()), ("Dr", 5));
}

/// An abort is one after 290 s as after 310 s.
#[test]
fn the_cause_does_not_depend_on_the_silence() {
    for pause in [1, 290_000, 310_000, 5_000_000] {
        let mut script = handshake(0, PORT, 99);
        script.push((pause + 2, PORT, true, RST | ACK, 100, 7_001, 0));
        let (connections, resets) = parts(&script);
        assert_eq!(connections.len(), 1);
        let [
            Row::Reset {
                cause,
                state,
                errno,
                silence,
                ..
            },
        ] = &resets[..]
        else {
            panic!("{resets:?}")
        };
        assert_eq!(*cause, Some(Cause::AbortedClose), "{pause}");
        assert_eq!(
            (*state, *errno),
            (State::Established, Some(Errno::ECONNRESET))
        );
        assert_eq!(*silence, (pause * MS).max(MS));
    }
}

/// A FIN that nobody answers is sent again for minutes, and then the sender aborts.
#[test]
fn segments_long_after_a_fin_belong_to_its_connection() {
    let mut script = handshake(0, PORT, 99);
    for second in [1, 3, 7, 15, 31, 63, 400] {
        script.push((second * 1_000, PORT, true, FIN | ACK, 100, 7_001, 0));
    }
    script.push((800_000, PORT, true, RST | ACK, 101, 7_001, 0));
    let (connections, resets) = parts(&script);
    assert_eq!(connections.len(), 1);
    let [
        Row::Reset {
            cause, connection, ..
        },
    ] = &resets[..]
    else {
        panic!("{resets:?}")
    };
    assert_eq!((*cause, *connection), (Some(Cause::ResetAfterFin), 1));
}

/// Zeek's `tcp_attempt_delay` of 5 s ends its record, and a SYN that is sent again begins another one of the same
/// connection. RFC 9293, 3.4.1: another connection has another initial sequence number.
#[test]
fn a_syn_sent_again_is_no_new_connection() {
    let again = [0, 1, 3, 7, 15].map(|second| (second * 1_000, PORT, true, SYN, 99, 0, 0));
    let (connections, _) = parts(&again);
    let [
        Row::Connection {
            state,
            records,
            packets,
            ..
        },
    ] = &connections[..]
    else {
        panic!("{connections:?}")
    };
    assert_eq!((*state, *records), (ConnState::S0, 3));
    assert_eq!(packets.iter().sum::<u64>(), 5);
    // The reply after the record has ended, and another SYN.
    for (pause, seq) in [(1_000, 5_000), (6_000, 5_000), (400_000, 5_000)] {
        let mut script = vec![(0, PORT, true, SYN, 99, 0, 0)];
        script.push((pause, PORT, true, SYN, seq, 0, 0));
        assert_eq!(parts(&script).0.len(), 2, "{pause}");
        script[1] = (pause, PORT, false, SYN | ACK, 7_000, 100, 0);
        assert_eq!(parts(&script).0.len(), 1, "{pause}");
    }
}

/// RFC 9293, 3.10.7.1: an RST that acknowledges a SYN refuses it. After a silence its sender may have been restarted. A
/// forged SYN in the midst of a connection is among the golden captures (`fin-wait-2-syn`).
#[test]
fn a_port_that_is_used_again_may_be_refused() {
    for pause in [10_000, 100_000, 1_000_000] {
        let mut script = handshake(0, PORT, 99);
        script.extend([
            (pause, PORT, true, SYN, 50_000, 0, 0),
            (pause + 1, PORT, false, RST | ACK, 0, 50_001, 0),
        ]);
        let (connections, resets) = parts(&script);
        assert_eq!(connections.len(), 2);
        let [
            Row::Reset {
                cause,
                state,
                errno,
                connection,
                earlier,
                ..
            },
        ] = &resets[..]
        else {
            panic!("{resets:?}")
        };
        assert_eq!(
            (*cause, *connection, *earlier),
            (Some(Cause::Refused), 4, None)
        );
        assert_eq!(
            (*state, *errno),
            (State::SynSent, Some(Errno::ECONNREFUSED))
        );
    }
}

/// Connection that is closed by the server first, so that the server waits (RFC 9293, 3.6).
fn closed(port: u16) -> Vec<Sent> {
    let mut script = handshake(0, port, 99);
    script.extend([
        (10, port, false, FIN | ACK, 7_001, 100, 0),
        (11, port, true, FIN | ACK, 100, 7_002, 0),
        (12, port, false, ACK, 7_002, 101, 0),
    ]);
    script
}

/// RFC 9293, 3.6.1 and 3.10.7.4: an end in TIME-WAIT answers a SYN that is too old with an ACK, and the RST in reply to
/// that ACK ends TIME-WAIT (RFC 1337, 2). No application has the socket any more.
#[test]
fn a_reset_in_time_wait_belongs_to_the_earlier_connection() {
    for pause in [1_000, 20_000] {
        let mut script = closed(PORT);
        script.extend([
            (pause, PORT, true, SYN, 40, 0, 0),
            (pause + 1, PORT, false, ACK, 7_002, 101, 0),
            (pause + 2, PORT, true, RST, 101, 0, 0),
            (pause + 1_000, PORT, true, SYN, 40, 0, 0),
            (pause + 1_001, PORT, false, SYN | ACK, 90_000, 41, 0),
            (pause + 1_002, PORT, true, ACK, 41, 90_001, 0),
            (pause + 1_003, PORT, false, RST | ACK, 90_001, 41, 0),
        ]);
        let (connections, resets) = parts(&script);
        let numbers: Vec<_> = connections
            .iter()
            .map(|row| match row {
                Row::Connection { number, resets, .. } => (*number, *resets),
                Row::Reset { .. } => (0, 0),
            })
            .collect();
        assert_eq!(numbers, [(1, 0), (7, 1), (10, 1)]);
        let [
            Row::Reset {
                state,
                errno,
                action,
                earlier,
                triggered_by,
                cause,
                ..
            },
            last,
        ] = &resets[..]
        else {
            panic!("{resets:?}")
        };
        assert_eq!((*state, *errno, *earlier), (State::TimeWait, None, Some(1)));
        assert_eq!((*action, *triggered_by), (RequiredAction::Accept, Some(8)));
        assert_eq!(*cause, Some(Cause::OlderConnection));
        let Row::Reset {
            state,
            errno,
            earlier,
            cause,
            ..
        } = last
        else {
            panic!("{last:?}")
        };
        assert_eq!(
            (*state, *errno, *earlier),
            (State::Established, Some(Errno::ECONNRESET), None)
        );
        assert_eq!(*cause, Some(Cause::AbortedClose));
    }
}

/// A SYN that an end in TIME-WAIT accepts replaces the earlier connection: its FINs do not explain later RSTs.
#[test]
fn a_connection_after_time_wait_has_a_history_of_its_own() {
    let mut script = closed(PORT);
    script.extend(handshake(2_000, PORT, 60_000).into_iter().map(|mut sent| {
        // Another initial number of the server.
        if !sent.2 {
            sent.4 += 100_000;
        } else if sent.5 > 0 {
            sent.5 += 100_000;
        }
        sent
    }));
    script.push((2_100, PORT, true, RST | ACK, 60_001, 107_001, 0));
    let (_, resets) = parts(&script);
    let [
        Row::Reset {
            cause,
            state,
            earlier,
            connection,
            ..
        },
    ] = &resets[..]
    else {
        panic!("{resets:?}")
    };
    assert_eq!(
        (*cause, *state),
        (Some(Cause::AbortedClose), State::Established)
    );
    assert_eq!((*earlier, *connection), (None, 7));
}

/// RSTs come in the order of their frames, although some connections end long before others.
#[test]
fn resets_are_reported_in_the_order_of_their_frames() {
    let mut script = Vec::new();
    for nth in 0..200_u16 {
        let (at, port) = (i64::from(nth) * 400, 30_000 + nth);
        script.extend(handshake(at, port, 99));
        // Every third is not accepted, and the connection goes on.
        let seq = if nth % 3 == 0 { 900_000 } else { 7_001 };
        script.push((at + 3, port, false, RST, seq, 0, 0));
        if nth % 3 == 0 {
            script.push((at + 90_000, port, true, ACK, 100, 7_001, 1));
        }
    }
    script.sort_by_key(|sent| sent.0);
    let frames: Vec<u32> = rows(&script)
        .iter()
        .filter_map(|row| match row {
            Row::Reset { frame, .. } => Some(*frame),
            Row::Connection { .. } => None,
        })
        .collect();
    assert_eq!(frames.len(), 200);
    assert!(frames.is_sorted(), "{frames:?}");
}

/// Of more connections than there is room for, those that have ended are evicted first, the oldest of them first.
#[test]
fn idle_connections_are_evicted_first() {
    let most = 16;
    let live: Vec<u16> = (0..4).map(|nth| 20_000 + nth).collect();
    let mut script: Vec<Sent> = Vec::new();
    for port in &live {
        script.extend(handshake(0, *port, 99));
    }
    for nth in 0..100_u16 {
        let at = 10 + i64::from(nth) * 10_000;
        let port = 30_000 + nth;
        script.push((at, port, true, SYN, 99, 0, 0));
        script.push((at + 1, port, false, RST | ACK, 0, 100, 0));
        // These speak all the time.
        for port in &live {
            script.push((at + 2, *port, true, ACK, 100, 7_001, 0));
        }
    }
    let analysis = Analysis::new().max_connections(most * SHARDS);
    let (rows, totals) = rows_and_totals(&script, &analysis);
    assert_eq!(totals.connections, 104);
    assert!(
        (1..=104 - 16).contains(&totals.evicted),
        "{}",
        totals.evicted
    );
    for row in &rows {
        if let Row::Connection {
            packets, records, ..
        } = row
        {
            let sum: u64 = packets.iter().sum();
            assert!(sum == 2 || sum == 103 && *records == 1, "{row:?}");
        }
    }
}

/// A million connections may rest, so the room for each is bounded.
#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Option<Dormant>>() <= 232);
    assert!(3 * size_of::<Option<Dormant>>() < size_of::<Option<Entry>>());
}
