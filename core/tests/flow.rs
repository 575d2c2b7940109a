//! The state of each end after each segment, and of each RST whether it had to be believed.
//!
//! From the figures of RFC 9293 (3.5 and 3.6). One thing is otherwise on purpose: the server is in LISTEN until it
//! answers, since before that nothing on the wire says that anybody listens.

#![allow(clippy::unwrap_used)] // the lint's exception for tests does not reach functions that tests share

mod support;

use rstproof_core::flow::{Acceptance, Flow, Form, Observed, Reset, State};
use rstproof_core::packet::{Segment, SeqNum};
use rstproof_core::scenario::Family;
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::{Errno, Role};
use support::{CLIENT_ISS, FAMILIES, ends, flags, segment};

/// Each line is a segment, then the state of client and server after it.
#[track_caller]
fn follow(lines: &str) -> Flow {
    let mut flow = flow();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [sent, client, server] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}: segment | client | server");
        };
        observe(&mut flow, sent);
        let states = [Role::Client, Role::Server].map(|role| flow.state(role).name());
        assert_eq!(states, [client, server], "after {sent}");
    }
    flow
}

fn flow() -> Flow {
    let (client, server) = ends(Family::Ipv4);
    Flow::new(client, server)
}

#[track_caller]
fn observe(flow: &mut Flow, line: &str) -> Observed {
    flow.observe(&a_segment(line)).unwrap()
}

fn a_segment(line: &str) -> Segment {
    segment(line, Family::Ipv4, 1, Timestamp(0))
}

/// Whether the last of these segments, an RST, had to be believed, and in which state it found its receiver.
fn reset_after(lines: &[&str]) -> (Acceptance, State) {
    let mut flow = flow();
    let observed = lines.iter().map(|line| observe(&mut flow, line));
    let reset = observed.last().unwrap().reset.unwrap();
    (reset.acceptance, reset.receiver_state)
}

const HANDSHAKE: &str = "
    > S 0:0(0) win 512          | SYN-SENT    | LISTEN
    < S. 0:0(0) ack 1 win 512   | ESTABLISHED | SYN-RECEIVED
    > . 1:1(0) ack 1 win 512    | ESTABLISHED | ESTABLISHED
";

#[test]
fn before_the_first_segment_only_the_server_is_there() {
    let flow = flow();
    assert_eq!(flow.state(Role::Client), State::Closed);
    assert_eq!(flow.state(Role::Server), State::Listen);
    assert!(!flow.saw_syn());
}

#[test]
fn basic_three_way_handshake_figure_6() {
    assert!(follow(HANDSHAKE).saw_syn());
}

#[test]
fn data_completes_the_handshake_as_well() {
    follow(
        "> S 0:0(0) win 512          | SYN-SENT    | LISTEN
         < S. 0:0(0) ack 1 win 512   | ESTABLISHED | SYN-RECEIVED
         > P. 1:3(2) ack 1 win 512   | ESTABLISHED | ESTABLISHED",
    );
}

#[test]
fn simultaneous_connection_synchronization_figure_7() {
    // The two SYNs cross: when the second is on the wire both ends are about to receive one.
    follow(
        "> S 0:0(0) win 512          | SYN-SENT     | LISTEN
         < S 0:0(0) win 512          | SYN-RECEIVED | SYN-RECEIVED
         > S. 0:0(0) ack 1 win 512   | SYN-RECEIVED | ESTABLISHED
         < S. 0:0(0) ack 1 win 512   | ESTABLISHED  | ESTABLISHED",
    );
}

#[test]
fn an_rst_between_crossed_syns_finds_syn_received() {
    let (acceptance, state) = reset_after(&[
        "> S 0:0(0) win 512",
        "< S 0:0(0) win 512",
        "< R. 1:1(0) ack 1 win 512",
    ]);
    assert_eq!(acceptance, Acceptance::Exact { seq: 1 });
    assert_eq!(state, State::SynReceived);
}

#[test]
fn segments_sent_again_change_nothing() {
    follow(
        "> S 0:0(0) win 512          | SYN-SENT    | LISTEN
         > S 0:0(0) win 512          | SYN-SENT    | LISTEN
         < S. 0:0(0) ack 1 win 512   | ESTABLISHED | SYN-RECEIVED
         < S. 0:0(0) ack 1 win 512   | ESTABLISHED | SYN-RECEIVED
         > . 1:1(0) ack 1 win 512    | ESTABLISHED | ESTABLISHED
         < S. 0:0(0) ack 1 win 512   | ESTABLISHED | ESTABLISHED
         > S 0:0(0) win 512          | ESTABLISHED | ESTABLISHED",
    );
}

#[test]
fn a_syn_with_another_number_does_not_begin_the_connection_anew() {
    // RFC 5961, 4.2: in a synchronised state a SYN draws an ACK and changes nothing.
    let mut flow = follow(HANDSHAKE);
    assert_eq!(observe(&mut flow, "> S 900:900(0) win 512").seq, Some(900));
    let reset = observe(&mut flow, "> R 1:1(0) win 0").reset.unwrap();
    assert_eq!(reset.acceptance, Acceptance::Exact { seq: 1 });
}

#[test]
fn a_syn_ack_must_acknowledge_the_syn() {
    // RFC 9293, 3.10.7.3: SEG.ACK =< ISS or SEG.ACK > SND.NXT is answered with an RST and dropped.
    for ack in [0, -1, 2, 900] {
        let mut flow = flow();
        observe(&mut flow, "> S 0:0(0) win 512");
        observe(&mut flow, &format!("< S. 0:0(0) ack {ack} win 512"));
        assert_eq!(flow.state(Role::Client), State::SynSent, "ack {ack}");
        observe(&mut flow, "< S. 0:0(0) ack 1 win 512");
        assert_eq!(flow.state(Role::Client), State::Established, "ack {ack}");
    }
}

#[test]
fn a_syn_that_carries_data_may_be_acknowledged_with_or_without_it() {
    // RFC 7413: the SYN's data takes up 1 to 4.
    for ack in [1, 3, 5] {
        let mut flow = flow();
        observe(&mut flow, "> S 0:4(4) win 512");
        observe(&mut flow, &format!("< S. 0:0(0) ack {ack} win 512"));
        assert_eq!(flow.state(Role::Client), State::Established, "ack {ack}");
    }
    let refused = reset_after(&["> S 0:4(4) win 512", "< R. =0:0(0) ack 5 win 0"]);
    assert_eq!(refused, (Acceptance::AcknowledgesSyn, State::SynSent));
}

#[test]
fn only_an_ack_of_the_syn_ack_establishes_the_server() {
    for ack in [0, 2, -5] {
        let mut flow = flow();
        observe(&mut flow, "> S 0:0(0) win 512");
        observe(&mut flow, "< S. 0:0(0) ack 1 win 512");
        observe(&mut flow, &format!("> . 1:1(0) ack {ack} win 512"));
        assert_eq!(flow.state(Role::Server), State::SynReceived, "ack {ack}");
    }
}

#[test]
fn normal_close_sequence_figure_12() {
    follow(&format!(
        "{HANDSHAKE}
         > F. 1:1(0) ack 1 win 512   | FIN-WAIT-1 | CLOSE-WAIT
         < . 1:1(0) ack 2 win 512    | FIN-WAIT-2 | CLOSE-WAIT
         < F. 1:1(0) ack 2 win 512   | TIME-WAIT  | LAST-ACK
         > . 2:2(0) ack 2 win 512    | TIME-WAIT  | CLOSED"
    ));
}

#[test]
fn the_server_may_close_first_and_fin_and_ack_may_be_one_segment() {
    follow(&format!(
        "{HANDSHAKE}
         < F. 1:1(0) ack 1 win 512   | CLOSE-WAIT | FIN-WAIT-1
         > F. 1:1(0) ack 2 win 512   | LAST-ACK   | TIME-WAIT
         < . 2:2(0) ack 2 win 512    | CLOSED     | TIME-WAIT"
    ));
}

#[test]
fn simultaneous_close_sequence_figure_13() {
    follow(&format!(
        "{HANDSHAKE}
         > F. 1:1(0) ack 1 win 512   | FIN-WAIT-1 | CLOSE-WAIT
         < F. 1:1(0) ack 1 win 512   | CLOSING    | LAST-ACK
         > . 2:2(0) ack 2 win 512    | CLOSING    | CLOSED
         < . 2:2(0) ack 2 win 512    | TIME-WAIT  | CLOSED"
    ));
}

#[test]
fn half_close_leaves_the_other_direction_open() {
    follow(&format!(
        "{HANDSHAKE}
         > F. 1:1(0) ack 1 win 512   | FIN-WAIT-1 | CLOSE-WAIT
         < . 1:1(0) ack 2 win 512    | FIN-WAIT-2 | CLOSE-WAIT
         < P. 1:9(8) ack 2 win 512   | FIN-WAIT-2 | CLOSE-WAIT
         > . 2:2(0) ack 9 win 512    | FIN-WAIT-2 | CLOSE-WAIT
         < F. 9:9(0) ack 2 win 512   | TIME-WAIT  | LAST-ACK
         > . 2:2(0) ack 10 win 512   | TIME-WAIT  | CLOSED"
    ));
}

#[test]
fn a_fin_sent_again_changes_nothing() {
    follow(&format!(
        "{HANDSHAKE}
         > F. 1:1(0) ack 1 win 512   | FIN-WAIT-1 | CLOSE-WAIT
         > F. 1:1(0) ack 1 win 512   | FIN-WAIT-1 | CLOSE-WAIT
         < F. 1:1(0) ack 2 win 512   | TIME-WAIT  | LAST-ACK
         < F. 1:1(0) ack 2 win 512   | TIME-WAIT  | LAST-ACK"
    ));
}

#[test]
fn a_fin_is_acknowledged_by_its_own_number_only() {
    let mut flow = follow(&format!(
        "{HANDSHAKE}
         > P. 1:3(2) ack 1 win 512   | ESTABLISHED | ESTABLISHED
         > F. 3:3(0) ack 1 win 512   | FIN-WAIT-1  | CLOSE-WAIT"
    ));
    assert!(!observe(&mut flow, "< . 1:1(0) ack 3 win 512").acknowledges_fin);
    assert_eq!(flow.state(Role::Client), State::FinWait1);
    assert!(observe(&mut flow, "< . 1:1(0) ack 4 win 512").acknowledges_fin);
    assert_eq!(flow.state(Role::Client), State::FinWait2);
    // The first one counts.
    assert!(!observe(&mut flow, "< . 1:1(0) ack 4 win 512").acknowledges_fin);
}

#[test]
fn without_the_ack_flag_nothing_is_acknowledged() {
    let mut flow = follow(&format!(
        "{HANDSHAKE}
         > F. 1:1(0) ack 1 win 512   | FIN-WAIT-1  | CLOSE-WAIT"
    ));
    let observed = observe(&mut flow, "< P 1:2(1) ack 2 win 512");
    assert_eq!((observed.ack, observed.acknowledges_fin), (None, false));
    assert!(!observe(&mut flow, "< - 2:2(0) ack 900 win 512").acknowledges_unseen);
    assert_eq!(flow.state(Role::Client), State::FinWait1);
}

#[test]
fn a_fin_is_received_once_all_before_it_has_been() {
    follow(&format!(
        "{HANDSHAKE}
         > F. 4:4(0) ack 1 win 512   | FIN-WAIT-1  | ESTABLISHED
         > P. 3:4(1) ack 1 win 512   | FIN-WAIT-1  | ESTABLISHED
         > P. 1:3(2) ack 1 win 512   | FIN-WAIT-1  | CLOSE-WAIT
         < . 1:1(0) ack 5 win 512    | FIN-WAIT-2  | CLOSE-WAIT"
    ));
}

#[test]
fn a_fin_before_the_handshake_is_complete() {
    // RFC 9293, 3.10.4: CLOSE in SYN-RECEIVED sends FIN; 3.10.7.4: FIN in SYN-RECEIVED leads to CLOSE-WAIT.
    follow(
        "> S 0:0(0) win 512          | SYN-SENT    | LISTEN
         < S. 0:0(0) ack 1 win 512   | ESTABLISHED | SYN-RECEIVED
         < F. 1:1(0) ack 1 win 512   | CLOSE-WAIT  | FIN-WAIT-1
         > . 1:1(0) ack 2 win 512    | CLOSE-WAIT  | FIN-WAIT-2",
    );
    follow(
        "> S 0:0(0) win 512          | SYN-SENT    | LISTEN
         < S. 0:0(0) ack 1 win 512   | ESTABLISHED | SYN-RECEIVED
         > F 1:1(0) win 512          | FIN-WAIT-1  | CLOSE-WAIT",
    );
}

#[test]
fn an_accepted_rst_closes_its_receiver_and_an_abort_its_sender() {
    follow(&format!(
        "{HANDSHAKE}
         < R. 1:1(0) ack 1 win 512 ts | CLOSED      | CLOSED"
    ));
    follow(&format!(
        "{HANDSHAKE}
         < R 1:1(0) win 0             | CLOSED      | ESTABLISHED"
    ));
    follow(
        "> S 0:0(0) win 512           | SYN-SENT    | LISTEN
         < R. =0:0(0) ack 1 win 0     | CLOSED      | LISTEN",
    );
}

#[test]
fn an_unaccepted_rst_closes_no_end() {
    follow(&format!(
        "{HANDSHAKE}
         < R. 9:9(0) ack 1 win 512 ts | ESTABLISHED | ESTABLISHED
         > R. 9:9(0) ack 1 win 512 ts | ESTABLISHED | ESTABLISHED
         < R 9:9(0) win 0             | ESTABLISHED | ESTABLISHED"
    ));
}

#[test]
fn an_rst_is_judged_in_the_state_that_it_finds() {
    // SND.NXT of the server is 2 once it has sent FIN, so RCV.NXT - 1 is 1.
    let handshake = [
        "> S 0:0(0) win 512",
        "< S. 0:0(0) ack 1 win 512",
        "> . 1:1(0) ack 1 win 512",
    ];
    let fin = "< F. 1:1(0) ack 1 win 512";
    let own_fin = "> F. 1:1(0) ack 1 win 512";
    let own_fin_late = "> F. 1:1(0) ack 2 win 512";
    let exact = Acceptance::Exact { seq: 2 };
    let before_fin = Acceptance::BeforeFin { seq: 1 };
    let refused = Acceptance::WrongSequence { seq: 1, rcv_nxt: 2 };
    for (between, state, at_rcv_nxt, one_before) in [
        (vec![fin], State::CloseWait, exact, before_fin),
        (vec![fin, own_fin_late], State::LastAck, exact, before_fin),
        (vec![own_fin, fin], State::Closing, exact, before_fin),
        (
            vec![own_fin, "< . 1:1(0) ack 2 win 512", fin],
            State::TimeWait,
            exact,
            refused,
        ),
        (
            vec!["< P. 1:2(1) ack 1 win 512"],
            State::Established,
            exact,
            refused,
        ),
        (
            vec!["< P. 1:2(1) ack 1 win 512", own_fin],
            State::FinWait1,
            exact,
            refused,
        ),
        (
            vec![own_fin, "< P. 1:2(1) ack 2 win 512"],
            State::FinWait2,
            exact,
            refused,
        ),
    ] {
        for (rst, acceptance) in [
            ("< R 2:2(0) win 0", at_rcv_nxt),
            ("< R 1:1(0) win 0", one_before),
        ] {
            let lines = [&handshake, &between[..], &[rst]].concat();
            assert_eq!(reset_after(&lines), (acceptance, state), "{lines:?}");
        }
    }
}

#[test]
fn an_rst_to_the_server_is_judged_by_what_the_client_sent() {
    let exact = reset_after(&[
        "> S 0:0(0) win 512",
        "< S. 0:0(0) ack 1 win 512",
        "> R 1:1(0) win 0",
    ]);
    assert_eq!(exact, (Acceptance::Exact { seq: 1 }, State::SynReceived));
    let listening = reset_after(&["> S 0:0(0) win 512", "> R 1:1(0) win 0"]);
    assert_eq!(listening, (Acceptance::NoConnection, State::Listen));
}

#[test]
fn rcv_nxt_cannot_be_computed_without_the_syn() {
    let unknown = reset_after(&["< S. 0:0(0) ack 1 win 512", "> R 1:1(0) win 0"]);
    assert_eq!(unknown, (Acceptance::Unknown, State::SynReceived));
    assert!(!Acceptance::Unknown.is_acceptable());
}

#[test]
fn a_last_ack_leaves_no_connection_to_reset() {
    let closed = reset_after(&[
        "> S 0:0(0) win 512",
        "< S. 0:0(0) ack 1 win 512",
        "< F. 1:1(0) ack 1 win 512",
        "> F. 1:1(0) ack 2 win 512",
        "< . 2:2(0) ack 2 win 512",
        "< R 2:2(0) win 0",
    ]);
    assert_eq!(closed, (Acceptance::NoConnection, State::Closed));
}

#[test]
fn numbers_are_relative_to_the_side_that_they_count() {
    let mut flow = flow();
    let numbers = |observed: Observed| (observed.from, observed.seq, observed.ack);
    let mut see = |line| numbers(observe(&mut flow, line));
    assert_eq!(see("< . 1:1(0) ack 1 win 512"), (Role::Server, None, None));
    assert_eq!(see("> S 0:0(0) win 512"), (Role::Client, Some(0), None));
    assert_eq!(
        see("< S. 0:0(0) ack 1 win 512"),
        (Role::Server, Some(0), Some(1))
    );
    assert_eq!(
        see("> P. 1:3(2) ack 1 win 512"),
        (Role::Client, Some(1), Some(1))
    );
    assert_eq!(
        see("< R. 1:1(0) ack 3 win 512"),
        (Role::Server, Some(1), Some(3))
    );
    assert_eq!(see("< R 1:1(0) ack 3 win 0"), (Role::Server, Some(1), None));
}

#[test]
fn an_ack_beyond_what_was_captured_tells_of_a_missing_frame() {
    let unseen = |line| observe(&mut follow(HANDSHAKE), line).acknowledges_unseen;
    assert!(!unseen("> . 1:1(0) ack 1 win 512"));
    assert!(unseen("> . 1:1(0) ack 2 win 512"));
    assert!(!unseen("> . 1:1(0) ack 0 win 512"));
    // An RST says so only if it is believed.
    assert!(unseen("< R. 1:1(0) ack 2 win 512"));
    assert!(!unseen("< R. 2:2(0) ack 2 win 512"));
    assert!(!unseen("< R 1:1(0) ack 2 win 0"));
}

#[test]
fn an_ack_over_a_hole_tells_of_a_missing_frame() {
    let mut flow = follow(HANDSHAKE);
    observe(&mut flow, "> P. 3:5(2) ack 1 win 512");
    assert!(observe(&mut flow, "< . 1:1(0) ack 5 win 512").acknowledges_unseen);
    observe(&mut flow, "> P. 1:3(2) ack 1 win 512");
    assert!(!observe(&mut flow, "< . 1:1(0) ack 5 win 512").acknowledges_unseen);
}

#[test]
fn what_waits_behind_a_hole_is_bounded() {
    let after_waiting = |segments: u32| {
        let mut flow = follow(HANDSHAKE);
        for nth in (0..segments).rev() {
            let (start, end) = (2 + nth, 3 + nth);
            observe(&mut flow, &format!("> P. {start}:{end}(1) ack 1 win 512"));
        }
        observe(&mut flow, "> P. 1:2(1) ack 1 win 512");
        let end = 2 + segments;
        observe(&mut flow, &format!("> R {end}:{end}(0) win 0"))
            .reset
            .unwrap()
            .acceptance
    };
    assert_eq!(after_waiting(64), Acceptance::Exact { seq: 66 });
    // The last to come, which was the nearest, found no room.
    let hole = Acceptance::WrongSequence {
        seq: 67,
        rcv_nxt: 2,
    };
    assert_eq!(after_waiting(65), hole);
}

#[test]
fn bare_acks_beyond_a_hole_take_up_no_room() {
    let mut flow = follow(HANDSHAKE);
    for _ in 0..64 {
        observe(&mut flow, "> . 9:9(0) ack 1 win 512");
    }
    observe(&mut flow, "> P. 2:3(1) ack 1 win 512");
    observe(&mut flow, "> P. 1:2(1) ack 1 win 512");
    let reset = observe(&mut flow, "> R 3:3(0) win 0").reset.unwrap();
    assert_eq!(reset.acceptance, Acceptance::Exact { seq: 3 });
}

#[test]
fn segments_of_other_connections_are_not_observed() {
    for family in FAMILIES {
        let (client, server) = ends(family);
        let mut flow = Flow::new(client, server);
        let syn = segment("> S 0:0(0) win 512", family, 1, Timestamp(0));
        let stranger = |change: fn(&mut Segment)| {
            let mut segment = syn;
            change(&mut segment);
            segment
        };
        for segment in [
            stranger(|segment| segment.source.set_port(40_001)),
            stranger(|segment| segment.destination.set_port(8081)),
            stranger(|segment| segment.source = segment.destination),
            stranger(|segment| segment.destination = segment.source),
        ] {
            assert_eq!(flow.sender(&segment), None);
            assert_eq!(flow.observe(&segment), None);
        }
        assert!(!flow.saw_syn());
        assert_eq!(flow.sender(&syn), Some(Role::Client));
    }
}

#[test]
fn the_state_decides_the_error_of_the_application() {
    // tcp_reset() of Linux.
    for (state, name, errno) in [
        (State::Listen, "LISTEN", None),
        (State::SynSent, "SYN-SENT", Some(Errno::ECONNREFUSED)),
        (State::SynReceived, "SYN-RECEIVED", Some(Errno::ECONNRESET)),
        (State::Established, "ESTABLISHED", Some(Errno::ECONNRESET)),
        (State::FinWait1, "FIN-WAIT-1", Some(Errno::ECONNRESET)),
        (State::FinWait2, "FIN-WAIT-2", Some(Errno::ECONNRESET)),
        (State::CloseWait, "CLOSE-WAIT", Some(Errno::EPIPE)),
        (State::Closing, "CLOSING", Some(Errno::ECONNRESET)),
        (State::LastAck, "LAST-ACK", Some(Errno::ECONNRESET)),
        (State::TimeWait, "TIME-WAIT", None),
        (State::Closed, "CLOSED", None),
    ] {
        assert_eq!(state.errno_of_reset(), errno, "{state}");
        assert_eq!((state.name(), state.to_string().as_str()), (name, name));
    }
}

#[test]
fn an_accepted_rst_sets_an_error_on_its_receiver() {
    let reset = |line: &str| observe(&mut follow(HANDSHAKE), line).reset.unwrap();
    let errors = |reset: Reset| [Role::Client, Role::Server].map(|role| reset.puts_error_on(role));
    assert_eq!(
        errors(reset("< R 1:1(0) win 0")),
        [Some(Errno::ECONNRESET), None]
    );
    assert_eq!(
        errors(reset("> R 1:1(0) win 0")),
        [None, Some(Errno::ECONNRESET)]
    );
    assert_eq!(errors(reset("< R 2:2(0) win 0")), [None, None]);
}

#[test]
fn the_form_shows_why_linux_sent_an_rst() {
    let form = |line| Form::of(&a_segment(line).header());
    let (active, passive, passive_ack) = (
        Some(Form::Active),
        Some(Form::Passive),
        Some(Form::PassiveAck),
    );
    for (line, form_of_it) in [
        ("< R. 1:1(0) ack 1 win 512 ts", active),
        ("< R. 1:1(0) ack 1 win 512", active),
        ("< R. 1:1(0) ack 1 win 0 ts", active),
        // its window may be closed and timestamps not negotiated
        ("< R. 1:1(0) ack 1 win 0", active),
        ("< R. =0:0(0) ack 1 win 512", active),
        ("< R. =0:0(0) ack 1 win 0 ts", active),
        ("< R. =0:0(0) ack 1 win 0", passive_ack),
        ("< R 1:1(0) ack =0 win 0", passive),
        ("< R =0:0(0) ack =0 win 0", passive),
        ("< R 1:1(0) ack 1 win 0", None),
        ("< R 1:1(0) ack =0 win 512", None),
        ("< R 1:1(0) ack =0 win 0 ts", None),
        ("< R 1:1(0) ack 1 win 512 ts", None),
    ] {
        assert_eq!(form(line), form_of_it, "{line}");
    }
    let names = [Form::Active, Form::Passive, Form::PassiveAck].map(Form::name);
    assert_eq!(names, ["active", "passive", "passive-ack"]);
    assert_eq!(Form::PassiveAck.to_string(), "passive-ack");
}

#[test]
fn kinds_of_acceptance_that_are_acceptable() {
    for acceptance in [
        Acceptance::Exact { seq: 1 },
        Acceptance::AcknowledgesSyn,
        Acceptance::SackEdge { seq: 1 },
        Acceptance::BeforeFin { seq: 1 },
    ] {
        assert!(acceptance.is_acceptable(), "{acceptance}");
    }
    for acceptance in [
        Acceptance::NoConnection,
        Acceptance::SynNotAcknowledged,
        Acceptance::WrongSequence { seq: 1, rcv_nxt: 2 },
        Acceptance::Unknown,
    ] {
        assert!(!acceptance.is_acceptable(), "{acceptance}");
    }
    let refused = Acceptance::WrongSequence { seq: 1, rcv_nxt: 2 };
    assert_eq!(refused.to_string(), "SEQ 1 is not RCV.NXT 2");
}

#[test]
fn the_notation_of_the_tests_means_what_it_shows() {
    let segment = a_segment("> FP. 1:3(2) ack 5 win 9 ts sack 7:8");
    assert_eq!(segment.flags, flags("PF."));
    assert_eq!(segment.seq, CLIENT_ISS.plus(1));
    assert_eq!(segment.seq_end(), CLIENT_ISS.plus(4));
    assert_eq!((segment.payload_len, segment.window), (2, 9));
    assert!(segment.timestamps.is_some());
    assert_eq!(a_segment("> R =7:7(0)").seq, SeqNum(7));
}
