//! Segments that a NAT did not translate like the others, the RSTs that they draw, and what follows from these.

use super::{
    KINDS, Nat, PSH, Point, Seen, Wire, capture, dnat, down, ends, nats, of, reply, request, rows,
    up,
};
use crate::analyze_for_people;
use crate::segments::{ACK, RST};

/// A segment outside the window passes without translation: the client's kernel resets, which ends the server's end, and
/// the client's next request is answered by an RST (kubernetes issue 94861).
#[test]
fn an_untranslated_segment_draws_an_rst() {
    for (name, nat) in nats().filter(|(name, _)| name.starts_with("dnat")) {
        let mut packets = nat.all(&request());
        packets.extend(nat.untranslated(down(1_300, ACK, 1_000_009, 4, 200)));
        packets.extend(nat.untranslated(reply(up(1_301, RST, 4, 0, 0))));
        packets.extend(nat.all(&[
            up(2_500, ACK | PSH, 4, 9, 3),
            reply(down(2_501, RST, 9, 0, 0)),
        ]));
        let rows = rows(&packets);
        assert_eq!(of(&rows, "connection").len(), 1, "{name}");
        let [one, two] = of(&rows, "reset")[..] else {
            panic!("{name}: {:?}", of(&rows, "reset"))
        };
        assert_eq!(one["cause"], "untranslated", "{name}: {one}");
        assert_eq!(one["from"], "client", "{name}: {one}");
        assert_eq!(one["triggered_by"], 16, "{name}: {one}");
        assert_eq!(one["required_action"], "accept", "{name}: {one}");
        assert_eq!(one["errno"], "ECONNRESET", "{name}: {one}");
        assert_ne!(one["sender"]["verdict"], "doubtful", "{name}: {one}");
        assert_eq!(two["from"], "server", "{name}: {two}");
        assert_eq!(two["cause"], "half-open-peer", "{name}: {two}");
        assert_eq!(two["consequence_of"], one["frame"], "{name}: {two}");
        assert_eq!(two["required_action"], "accept", "{name}: {two}");
        assert_eq!(two["errno"], "ECONNRESET", "{name}: {two}");
        assert!(two["assumes_forged_frame"].is_null(), "{name}: {two}");
    }
}

/// Only the client's side: the untranslated segment and its RST have addresses of their own.
fn client_side(nat: &Nat, stray: Wire) -> Vec<Seen> {
    let seen = |wire: Wire| Seen {
        point: Point::Plain,
        ..nat.at(wire, true)
    };
    let foreign = |wire: Wire| Seen {
        ends: nat.outside,
        ..seen(wire)
    };
    let mut packets: Vec<Seen> = request().into_iter().map(seen).collect();
    packets.push(foreign(stray));
    packets.push(foreign(Wire {
        seq: stray.ack,
        ..reply(up(1_301, RST, 0, 0, 0))
    }));
    packets.push(seen(up(2_500, ACK | PSH, 4, 9, 3)));
    packets.push(seen(reply(down(2_501, RST, 9, 0, 0))));
    packets
}

#[test]
fn a_stray_segment_is_recognized_by_its_numbers() {
    for has_clock in [true, false] {
        let stray = Wire {
            has_clock,
            ..down(1_300, ACK, 1_000_009, 4, 200)
        };
        let packets = client_side(&dnat(), stray);
        let rows = rows(&packets);
        let [one, two] = of(&rows, "reset")[..] else {
            panic!()
        };
        assert_eq!(
            (&one["frame"], &one["cause"]),
            (&9.into(), &"untranslated".into())
        );
        assert_eq!(one["continues_connection"], 1, "{one}");
        assert_eq!(one["continues_client"], "10.0.1.2:48218", "{one}");
        assert_eq!(one["continues_server"], "10.96.0.1:80", "{one}");
        assert_eq!(one["required_action"], "accept", "{one}");
        assert!(
            one["to_confirm"]
                .as_str()
                .unwrap()
                .contains("nf_conntrack_tcp_be_liberal")
        );
        assert_eq!(two["cause"], "half-open-peer", "{two}");
        assert_eq!(two["consequence_of"], 9, "{two}");
        let (_directory, path, _) = capture(&packets);
        let text = analyze_for_people(&[path.to_str().unwrap()]).whole().out;
        let line = "frame 8 continues the connection 10.0.1.2:48218 → 10.96.0.1:80 that began with frame 1";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("consequence of the RST in frame 9"), "{text}");
    }
}

/// Only the server's side: the RST carries the client's address, and replies to a segment outside the client's window. A
/// socket answers such a segment with an ACK (RFC 9293, 3.10.7.4), and this client goes on.
#[test]
fn a_reply_to_a_segment_outside_the_window_points_to_a_nat() {
    let nat = dnat();
    let seen = |wire: Wire| Seen {
        point: Point::Plain,
        ..nat.at(wire, false)
    };
    for (beyond, cause) in [(1_000_000, "untranslated"), (0, "third-party")] {
        let mut wires = request();
        wires.extend([
            down(1_300, ACK, 9 + beyond, 4, 200),
            reply(up(1_301, RST, 4, 0, 0)),
            up(2_500, ACK | PSH, 4, 9, 3),
            reply(down(2_501, RST, 9, 0, 0)),
        ]);
        let packets: Vec<Seen> = wires.into_iter().map(seen).collect();
        let rows = rows(&packets);
        let [one, two] = of(&rows, "reset")[..] else {
            panic!()
        };
        assert_eq!(one["cause"], cause, "{one}");
        assert_eq!(one["sender"]["verdict"], "doubtful", "{one}");
        assert_eq!(one["claim"]["cause"], "half-open-peer", "{one}");
        assert_eq!(one["errno"], "ECONNRESET", "{one}");
        // The client has sent a segment since, so it has the connection, whoever sent the RST before.
        assert!(two["assumes_forged_frame"].is_null(), "{two}");
        assert_eq!(two["errno"], "ECONNRESET", "{two}");
    }
}

/// Numbers or clocks that do not fit are those of another connection.
#[test]
fn a_segment_with_other_numbers_is_no_stray() {
    let right = down(1_300, ACK, 1_000_009, 4, 200);
    let wrong = [
        Wire {
            has_clock: false,
            ack: right.ack.wrapping_add(1 << 28),
            ..right
        },
        Wire {
            has_clock: false,
            seq: right.seq.wrapping_add(1 << 28),
            ..right
        },
        Wire {
            ack: right.ack.wrapping_sub(1 << 20),
            ..right
        },
        // Its clock is an hour ahead.
        Wire {
            at: 3_600_000 + 1_300,
            ..right
        },
    ];
    for (nth, stray) in wrong.into_iter().enumerate() {
        let mut packets = client_side(&dnat(), stray);
        let before = packets[6].micros;
        packets[7].micros = before + 1_000_000;
        let rows = rows(&packets);
        let resets = of(&rows, "reset");
        assert_eq!(resets.len(), 2, "{nth}");
        for reset in resets {
            assert!(reset["continues_connection"].is_null(), "{nth}: {reset}");
            assert_ne!(reset["cause"], "untranslated", "{nth}: {reset}");
        }
    }
}

/// The NAT has forgotten an idle connection, and gives it another port: the server's kernel has no socket for that.
#[test]
fn a_connection_that_was_remapped_is_recognized() {
    let [(_, inside, outside), ..] = KINDS;
    let nat = Nat {
        inside: ends(inside[0], inside[1]),
        outside: ends(outside[0], outside[1]),
        is_any: false,
    };
    let other = Nat {
        outside: ends("10.0.2.1:46359", outside[1]),
        ..nat
    };
    let stray = up(9_000, ACK | PSH, 4, 9, 1);
    let reset = reply(down(9_001, RST, 9, 0, 0));
    let seen = |nat: &Nat, wire| Seen {
        point: Point::Plain,
        ..nat.at(wire, false)
    };
    let mut packets: Vec<Seen> = request().into_iter().map(|wire| seen(&nat, wire)).collect();
    packets.extend([seen(&other, stray), seen(&other, reset)]);
    let rows_of_server = rows(&packets);
    let [row] = of(&rows_of_server, "reset")[..] else {
        panic!()
    };
    assert_eq!(row["cause"], "nat-remapped", "{row}");
    assert_eq!(row["continues_connection"], 1, "{row}");
    assert_eq!(row["continues_client"], outside[0], "{row}");
    assert_eq!(of(&rows_of_server, "connection").len(), 2);
    // On the router, all of it is one connection.
    let (nat, other) = (
        Nat {
            is_any: true,
            ..nat
        },
        Nat {
            is_any: true,
            ..other
        },
    );
    let mut packets = nat.all(&request());
    packets.extend(other.all(&[stray, reset]));
    let rows = rows(&packets);
    assert_eq!(of(&rows, "connection").len(), 1, "{rows:?}");
    let [row] = of(&rows, "reset")[..] else {
        panic!()
    };
    assert_eq!(row["cause"], "nat-remapped", "{row}");
    assert_eq!(row["required_action"], "accept", "{row}");
    assert_eq!(row["errno"], "ECONNRESET", "{row}");
    assert_ne!(row["sender"]["verdict"], "doubtful", "{row}");
}

/// A router that has forgotten an idle connection takes the server's segment for its own, because it carries its address,
/// and finds no socket; the client's next segment passes with the port as before (`nf_conntrack_tcp_loose`). A firewall rule
/// with the same effect needs no silence.
#[test]
fn an_rst_of_a_nat_that_forgot_the_connection_is_explained() {
    let is_translated = |name: &str| !name.starts_with("dnat");
    for (name, nat) in nats().filter(|(name, nat)| is_translated(name) && nat.is_any) {
        let capture = |at: u32, beyond: u32, is_passed: bool| {
            let mut packets = nat.all(&request());
            let data = down(at, ACK | PSH, 9 + beyond, 4, 20);
            packets.push(nat.at(data, false));
            if is_passed {
                packets.push(nat.at(data, true));
            }
            packets.push(Seen {
                ttl: 64,
                ..nat.at(reply(up(at, RST, 4, 0, 0)), false)
            });
            packets.extend(nat.all(&[
                up(at + 1_000, ACK | PSH, 4, 9, 3),
                reply(down(at + 1_001, RST, 9, 0, 0)),
            ]));
            packets
        };
        let first = |packets: &[Seen]| of(&rows(packets), "reset")[0].clone();
        let forgot = |reset: &serde_json::Value| {
            let text = reset["explanation"].as_str().unwrap();
            text.contains("the NAT had probably forgotten the connection")
        };
        let reset = first(&capture(300_000, 0, false));
        assert!(forgot(&reset), "{name}: {reset}");
        assert_eq!(reset["cause"], "third-party", "{name}: {reset}");
        assert_eq!(reset["errno"], "ECONNRESET", "{name}: {reset}");
        let confirm = reset["to_confirm"].as_str().unwrap();
        assert!(confirm.contains("nf_conntrack_tcp_timeout_established"));
        // At once after other segments, outside the window, and passed on to the client.
        for (at, beyond, is_passed) in [
            (20, 0, false),
            (300_000, 1_000_000, false),
            (300_000, 0, true),
        ] {
            let reset = first(&capture(at, beyond, is_passed));
            assert!(!forgot(&reset), "{name}: {reset}");
        }
    }
}
