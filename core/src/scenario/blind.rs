//! Scenarios with segments that a third party aims at a connection, or that belong to no connection: which segments
//! a kernel must accept, ignore or challenge (RFC 9293 3.10.7, RFC 5961, RFC 7323, RFC 1337).

use super::notation::{
    DEAD, DEAD_WITH_ERROR, FAST_OPEN, OPEN, PEER_CLOSED, abort, answer, answer_without_ack,
    challenged, client, fails_after_reset, fails_from_reset, ignored, injected, lost, polls,
    returns, server, so_error_from_reset, would_block,
};
use super::{
    Awaited, BASE, Errno, Events, Expect, ExpectedReset, Extent, Forged, Listening, On, Op,
    Otherwise, Role, Scenario, Sender, Step, Target, Topic,
};
use crate::flow::{Form, State};
use crate::history;
use crate::packet::Flags;

const C: Role = Role::Client;
const S: Role = Role::Server;

const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const RST: Flags = Flags::RST;
const FIN: Flags = Flags::FIN;
const SYN_ACK: Flags = Flags::SYN.and(Flags::ACK);
const FIN_ACK: Flags = Flags::FIN.and(Flags::ACK);
const RST_ACK: Flags = Flags::RST.and(Flags::ACK);
const DATA: Flags = Flags::PSH.and(Flags::ACK);

const fn inject(forged: Forged) -> Step {
    Step::Inject(forged)
}

/// Returns a forged RST with ACK, which has the form of an RST from a socket that aborts.
const fn injected_with_ack(from: Role, receiver_state: State) -> ExpectedReset {
    ExpectedReset {
        form: Some(Form::Active),
        ..injected(from, receiver_state)
    }
}

const BLIND_ELSEWHERE: &str = "Linux (since 3.6), the BSDs and Windows follow RFC 5961; older systems accept any RST \
     within the window, and so do many middleboxes.";

// Established connections.

/// Forged RST before the window: ignored. `tcp_validate_incoming()` drops it (`TCP_OLD_SEQUENCE`).
pub(super) const RST_OLD: Scenario = Scenario {
    id: "blind-rst-old",
    topic: Topic::Blind,
    title: "a forged RST with an old sequence number: ignored",
    story: "Somebody sends the client an RST in the server's name, with a sequence number one below the next. The \
            client's kernel drops the RST silently, and the connection goes on. The server's kernel has sent no RST, \
            which proves that this one was forged.",
    elsewhere: BLIND_ELSEWHERE,
    advice: "An RST in a capture does not prove that a connection was reset. Compare its sequence number with the one \
             that the receiver expects.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, RST).off(-1)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(C)),
        server(Op::Read(1), returns(1)),
    ],
    resets: &[ignored(injected(S, State::Established))],
    ..BASE
};

/// Forged RST beyond the window: ignored. `tcp_validate_incoming()` drops it (`TCP_INVALID_SEQUENCE`).
pub(super) const RST_OUTSIDE: Scenario = Scenario {
    id: "blind-rst-outside",
    topic: Topic::Blind,
    title: "a forged RST far beyond the window: ignored",
    story: "Like blind-rst-old, but the sequence number is far beyond the window: the client's kernel drops the RST \
            silently.",
    elsewhere: BLIND_ELSEWHERE,
    advice: "Somebody is guessing: only one of 4,294,967,296 sequence numbers is the right one.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, RST).off(100_000_000)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(C)),
        server(Op::Read(1), returns(1)),
    ],
    resets: &[ignored(injected(S, State::Established))],
    ..BASE
};

/// Forged RST in the window but not exact: a challenge ACK (`tcp_validate_incoming()`, `tcp_send_challenge_ack()`).
pub(super) const RST_IN_WINDOW: Scenario = Scenario {
    id: "blind-rst-in-window",
    topic: Topic::Blind,
    title: "a forged RST in the window, but not exact: a challenge ACK, no reset",
    story: "The sequence number of the forged RST is within the client's window, but is not the next one. Before RFC \
            5961 this was enough for a reset; now the client replies with a challenge ACK. If the server had really \
            reset the connection, its kernel would reply to this ACK with an exact RST. The server did not, so it \
            ignores the ACK, and the connection goes on.",
    elsewhere: BLIND_ELSEWHERE,
    advice: "If `nstat -az TcpExtTCPChallengeACK` grows, somebody is guessing, or a middlebox sends RSTs with \
             slightly wrong sequence numbers.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, RST).off(10)),
        Step::Await(Awaited::AnswerFrom(C)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(C)),
        server(Op::Read(1), returns(1)),
    ],
    resets: &[challenged(injected(S, State::Established))],
    counters: &[("TCPChallengeACK", 1)],
    ..BASE
};

/// Forged RST with the exact sequence number: accepted. Nothing in the segment shows `tcp_reset()` who made it.
pub(super) const RST_EXACT: Scenario = Scenario {
    id: "blind-rst-exact",
    topic: Topic::Blind,
    title: "a forged RST with the exact number: ECONNRESET, and the server does not notice",
    story: "The forged RST carries exactly the sequence number that the client expects. The client has to accept it, \
            and read() fails with ECONNRESET. The server has sent nothing and does not notice: its connection stays \
            open. When the server writes, the client's kernel, which no longer has the connection, replies with an \
            RST of its own, so the victim resets the server.",
    elsewhere: "All systems do this; it is what injected resets of censors and middleboxes rely on.",
    advice: "If each end reports that the other one reset the connection, capture at both ends. An RST that arrives \
             but was never sent was made in between; its TTL, window and IP ID often do not match those of the stated \
             sender.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, RST)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        server(Op::Poll, polls(OPEN)),
        server(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(C)),
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 1)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 1)),
    ],
    resets: &[
        injected(S, State::Established),
        answer(C, State::Established, Sender::Kernel, "NO_SOCKET"),
    ],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Forged RST at the right edge of a SACK block: accepted.
///
/// Since Linux 4.8 `tcp_validate_incoming()` accepts the right edge of the highest SACK block like RCV.NXT, because the
/// data in between was lost.
pub(super) const RST_SACK_EDGE: Scenario = Scenario {
    id: "blind-rst-sack-edge",
    topic: Topic::Blind,
    title: "an RST at the right edge of a SACK block: accepted",
    story: "Data arrives out of order, so the client sends a selective acknowledgment: the data before it is missing. \
            An RST that follows the data is ahead of the sequence number that the client expects, but it is exactly \
            where the RST of the server would be if the missing data was lost. Linux accepts the RST.",
    elsewhere: "Linux only (since 4.8): by RFC 5961 the client would reply with a challenge ACK.",
    advice: "If an RST that is not at RCV.NXT reset the connection, look for a SACK block that ends at its sequence \
             number.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        // Data after a gap of 10 bytes: the client answers with a SACK block.
        inject(Forged::new(S, DATA).off(10).with(10)),
        Step::Await(Awaited::AnswerFrom(C)),
        // The next number is the right edge of that block.
        inject(Forged::new(S, RST)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[injected(S, State::Established)],
    counters: &[("EstabResets", 1)],
    ..BASE
};

/// Forged RST at RCV.NXT - 1 after a FIN: accepted since Linux 4.11 (`tcp_reset_check()`), because some systems send
/// that.
pub(super) const RST_AFTER_FIN: Scenario = Scenario {
    id: "blind-rst-after-fin",
    topic: Topic::Blind,
    title: "an RST one below the next number, after a FIN: accepted, EPIPE",
    story: "The server has shut down its sending side, so the client is in CLOSE-WAIT. The kernel accepts an RST with \
            the sequence number of the FIN, one below the next (macOS sends such RSTs). In CLOSE-WAIT the error is \
            EPIPE: SO_ERROR or a write reports it. A read returns 0 and never reports the reset.",
    elsewhere: "Linux only (since 4.11), for RSTs that macOS sends.",
    advice: "If the RST that led to EPIPE is one below the next sequence number, this is not a mistake: Linux accepts \
             it on purpose.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::ShutdownWrite, returns(0)),
        Step::Await(Awaited::FinAckedBy(C)),
        inject(Forged::new(S, RST).off(-1)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, so_error_from_reset(Errno::EPIPE, 0)),
        client(Op::Poll, polls(DEAD)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[injected(S, State::CloseWait)],
    counters: &[("EstabResets", 1)],
    ..BASE
};

/// Forged SYN on an established connection: a challenge ACK.
///
/// `tcp_validate_incoming()` challenges the SYN whatever its sequence number (`TCPSYNChallenge`; RFC 5961, 4.2).
pub(super) const SYN_CHALLENGED: Scenario = Scenario {
    id: "blind-syn",
    topic: Topic::Blind,
    title: "a forged SYN: a challenge ACK, and the connection goes on",
    story: "Somebody sends a SYN in the server's name on a working connection. Before RFC 5961 such a SYN could reset \
            the connection. Now the client replies with a challenge ACK; the server has the connection and ignores \
            this ACK.",
    elsewhere: BLIND_ELSEWHERE,
    advice: "TCPSYNChallenge counts these: a host has restarted and uses the same port again, or somebody is \
             guessing.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, SYN).off(1000)),
        Step::Await(Awaited::AnswerFrom(C)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(C)),
        server(Op::Read(1), returns(1)),
    ],
    counters: &[("TCPSYNChallenge", 1), ("TCPChallengeACK", 1)],
    ..BASE
};

/// Forged ACK of data that was never sent: dropped by `tcp_ack()` (`TCP_ACK_UNSENT_DATA`).
///
/// Since 42726ec644cb (2026) a challenge ACK answers the segment.
pub(super) const ACK_UNSENT: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::Without(&history::ACK_UNSENT_CHALLENGE),
        is: &Scenario {
            title: "an ACK of data that was never sent: dropped silently, no RST",
            story: "A segment in the server's name acknowledges more than the client has sent. This kernel drops the \
                    segment silently, and the connection goes on.",
            steps: &[
                client(Op::Connect, returns(0)),
                server(Op::Accept, returns(0)),
                inject(Forged::new(S, ACK).ack_off(1000)),
                client(Op::Poll, polls(OPEN)),
                client(Op::Write(1), returns(1)),
                Step::Await(Awaited::DataFrom(C)),
                server(Op::Read(1), returns(1)),
            ],
            counters: &[],
            ..ACK_OF_UNSENT
        },
    }],
    ..ACK_OF_UNSENT
};

/// Form of [`ACK_UNSENT`] on current kernels.
const ACK_OF_UNSENT: Scenario = Scenario {
    id: "blind-ack-unsent",
    topic: Topic::Blind,
    title: "an ACK of data that was never sent: a challenge ACK, no RST",
    story: "A segment in the server's name acknowledges more than the client has sent. On an established connection \
            the client replies with an ACK, not with an RST (in SYN-SENT and SYN-RECEIVED the reply is an RST).",
    elsewhere: "RFC 9293, 3.10.7.4: send an ACK and drop the segment.",
    advice: "The peer acknowledges data that it has not received (optimistic ACKs), or a middlebox has lost count of \
             the sequence numbers.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, ACK).ack_off(1000)),
        Step::Await(Awaited::AnswerFrom(C)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(C)),
        server(Op::Read(1), returns(1)),
    ],
    counters: &[("TCPChallengeACK", 1)],
    ..BASE
};

/// Forged ACK before SND.UNA - MAX.SND.WND (RFC 5961, 5.2): `TCP_TOO_OLD_ACK` in `tcp_ack()`, and a challenge ACK.
pub(super) const ACK_TOO_OLD: Scenario = Scenario {
    id: "blind-ack-too-old",
    topic: Topic::Blind,
    title: "an ACK that is far too old: a challenge ACK, no RST",
    story: "A segment in the server's name acknowledges a number so far back that not even the largest window seen so \
            far explains it. The sender is guessing: the client replies with a challenge ACK.",
    elsewhere: "RFC 5961, 5.2.",
    advice: "See blind-ack-unsent.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, ACK).ack_off(-100_000_000)),
        Step::Await(Awaited::AnswerFrom(C)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(C)),
        server(Op::Read(1), returns(1)),
    ],
    counters: &[("TCPChallengeACK", 1)],
    ..BASE
};

/// Forged data with a timestamp older than TS.Recent (RFC 7323, 5.3): dropped and acknowledged.
///
/// `tcp_validate_incoming()` counts `PAWSEstab`.
pub(super) const PAWS_DATA: Scenario = Scenario {
    id: "paws-old-data",
    topic: Topic::Blind,
    title: "data with an old timestamp: dropped, acknowledged again, no RST",
    story: "Data in the server's name has the right sequence number but an old timestamp: it may be from before the \
            sequence numbers wrapped. The client drops the data and acknowledges again what it has; the application \
            never sees the data.",
    elsewhere: "All systems do this where timestamps are in use (RFC 7323, 5).",
    advice: "If `nstat -az TcpExtPAWSEstab` grows and connections stall, a NAT or load balancer mixes hosts with \
             different timestamp clocks.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, DATA).with(1).stamped(-100_000, 0)),
        Step::Await(Awaited::AnswerFrom(C)),
        client(Op::Poll, polls(OPEN)),
        server(Op::Write(2), returns(2)),
        client(Op::Read(8), returns(2)),
    ],
    counters: &[("PAWSEstab", 1)],
    ..BASE
};

/// Forged RST with an old timestamp: accepted. `tcp_validate_incoming()` ignores the timestamps of an RST (RFC 7323,
/// 5.2).
pub(super) const PAWS_RST: Scenario = Scenario {
    id: "paws-old-rst",
    topic: Topic::Blind,
    title: "an RST with an old timestamp: accepted",
    story: "Like paws-old-data, but with an RST instead of data: the timestamp of an RST does not matter, only its \
            sequence number does. The client gets ECONNRESET.",
    elsewhere: "RFC 7323, 5.2: PAWS does not apply to an RST.",
    advice: "An odd timestamp helps to find out who made the RST, but it does not keep the receiver from accepting \
             it.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, RST).stamped(-100_000, 0)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[injected(S, State::Established)],
    counters: &[("EstabResets", 1)],
    ..BASE
};

// Closed connections.

/// Exact RST to a connection in TIME-WAIT: TIME-WAIT assassination (RFC 1337).
///
/// With `tcp_rfc1337` 0, the RST ends TIME-WAIT in `tcp_timewait_state_process()`. The late data then finds no socket.
pub(super) const TIME_WAIT_RST: Scenario = Scenario {
    id: "time-wait-rst",
    topic: Topic::Blind,
    title: "an RST ends TIME-WAIT; late data then triggers an RST",
    story: "Both ends have closed, and the client is in TIME-WAIT in case segments arrive late. An exact RST ends \
            TIME-WAIT, as RFC 1337 warns. Late data from the server then finds no socket, and the client's kernel \
            replies with an RST.",
    elsewhere: "Linux does this by default; net.ipv4.tcp_rfc1337=1 keeps TIME-WAIT, as FreeBSD does \
                (net.inet.tcp.nolocaltimewait aside).",
    advice: "If a port can be used again before TIME-WAIT is over, an RST may have ended it.",
    sysctls: &[("tcp_rfc1337", "0")],
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(S)),
        server(Op::Read(1), returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(C)),
        inject(Forged::new(S, RST)),
        inject(Forged::new(S, DATA).with(1)),
        Step::Await(Awaited::AnswerFrom(C)),
    ],
    resets: &[
        injected(S, State::TimeWait),
        ignored(answer(C, State::Closed, Sender::Kernel, "NO_SOCKET")),
    ],
    counters: &[("OutRsts", 1)],
    ..BASE
};

/// RST to a connection in TIME-WAIT with `tcp_rfc1337` 1: ignored by `tcp_timewait_state_process()`.
pub(super) const TIME_WAIT_RFC1337: Scenario = Scenario {
    id: "time-wait-rst-rfc1337",
    topic: Topic::Blind,
    title: "tcp_rfc1337=1: an RST does not end TIME-WAIT",
    story: "Like time-wait-rst, with net.ipv4.tcp_rfc1337 on: the client ignores the RST although its sequence number \
            is exact. It acknowledges late data again, which is the purpose of TIME-WAIT. (The server's listener \
            receives this ACK, knows no such connection, and replies with an RST that the client ignores as well.)",
    elsewhere: "This is fix F1 of RFC 1337.",
    advice: "The setting costs nothing; it is off by default for historical reasons.",
    sysctls: &[("tcp_rfc1337", "1")],
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(S)),
        server(Op::Read(1), returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(C)),
        inject(Forged::new(S, RST)),
        inject(Forged::new(S, DATA).with(1)),
        Step::Await(Awaited::AnswerFrom(C)),
    ],
    resets: &[
        ignored(injected(S, State::TimeWait)),
        ignored(LISTENERS_ANSWER),
    ],
    counters: &[("OutRsts", 1)],
    ..BASE
};

/// RST of the server's listener, which the ACK from TIME-WAIT reaches because the server has closed.
const LISTENERS_ANSWER: ExpectedReset = answer(S, State::TimeWait, Sender::Socket, "TCP_FLAGS");

/// RST with an inexact sequence number to a connection in TIME-WAIT: ignored by `tcp_timewait_state_process()`.
pub(super) const TIME_WAIT_INEXACT: Scenario = Scenario {
    id: "time-wait-rst-inexact",
    topic: Topic::Blind,
    title: "an RST that is not exact does not end TIME-WAIT",
    story: "Like time-wait-rst, but the sequence number is slightly wrong: the client ignores the RST, and \
            acknowledges late data again. The server's listener receives this ACK and knows no such connection; it \
            replies with an exact RST, which ends TIME-WAIT.",
    elsewhere: "Other systems do the same.",
    advice: "To end TIME-WAIT from outside, a sender has to know the sequence numbers.",
    sysctls: &[("tcp_rfc1337", "0")],
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(S)),
        server(Op::Read(1), returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(C)),
        inject(Forged::new(S, RST).off(5)),
        inject(Forged::new(S, DATA).with(1)),
        Step::Await(Awaited::AnswerFrom(C)),
    ],
    resets: &[ignored(injected(S, State::TimeWait)), LISTENERS_ANSWER],
    counters: &[("OutRsts", 1)],
    ..BASE
};

/// SYN in the window of a closed socket in FIN-WAIT-2: `tcp_timewait_state_process()` answers with an RST
/// (`TCP_TW_RST`).
pub(super) const FIN_WAIT2_SYN: Scenario = Scenario {
    id: "fin-wait-2-syn",
    topic: Topic::Blind,
    title: "a SYN to a closed socket in FIN-WAIT-2: RST+ACK, which the client ignores",
    story: "The server has closed, the client has not: the server's kernel keeps only a small timewait socket, in \
            FIN-WAIT-2. It replies to a SYN in the client's name with RST+ACK and sequence number 0, as a closed port \
            would. The client's connection is in CLOSE-WAIT. It ignores the RST, because 0 is not the sequence number \
            that it expects.",
    elsewhere: "Not measured on other systems.",
    advice: "An RST with sequence number 0 replies to a segment without ACK, usually a SYN. It does not reset an \
             established connection.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(C)),
        inject(Forged::new(C, SYN)),
        Step::Await(Awaited::AnswerFrom(S)),
        client(Op::Poll, polls(PEER_CLOSED)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[ignored(answer_without_ack(
        S,
        State::CloseWait,
        Sender::Kernel,
        "TCP_TIMEWAIT_SOCKET",
    ))],
    counters: &[("OutRsts", 1)],
    ..BASE
};

// SYN-SENT. The server has no socket: the segments that it "sends" are forged.

/// Defaults of a scenario whose server never answers by itself.
const NOBODY: Scenario = Scenario {
    topic: Topic::Blind,
    target: Target::Blackholed,
    raw: Some(S),
    ..BASE
};

/// Forged ACK of anything but the SYN in SYN-SENT: `tcp_rcv_synsent_state_process()` answers with an RST.
///
/// The connection attempt continues (RFC 9293, 3.10.7.3).
pub(super) const SYN_SENT_BAD_ACK: Scenario = Scenario {
    id: "syn-sent-bad-ack",
    title: "in SYN-SENT, an ACK of something else: RST, and connect goes on",
    story: "The client has sent its SYN. An ACK arrives for a number that the client never sent, as from a server \
            that still has an old connection on these ports. The client replies with an RST, which ends the old \
            connection, and continues to connect: it accepts the right SYN-ACK.",
    elsewhere: "RFC 9293, 3.5.1, figures 8 and 9.",
    advice: "An RST from the client in the middle of a handshake that then succeeds: the server still had an old \
             connection. There is nothing to fix.",
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(C)),
        inject(Forged::new(S, ACK).ack_off(1000)),
        Step::Await(Awaited::AnswerFrom(C)),
        client(Op::Poll, polls(Events(0))),
        inject(Forged::new(S, SYN_ACK)),
        Step::Await(Awaited::Established(C)),
        client(Op::Connect, returns(0)),
        client(Op::Poll, polls(OPEN)),
    ],
    resets: &[lost(answer(
        C,
        State::Listen,
        Sender::Socket,
        "TCP_INVALID_ACK_SEQUENCE",
    ))],
    counters: &[("OutRsts", 1)],
    ..NOBODY
};

/// Forged SYN-ACK that echoes a timestamp which was never sent: RST.
///
/// `tcp_rcv_synsent_state_process()` counts `PAWSActive`.
pub(super) const SYN_SENT_BAD_ECHO: Scenario = Scenario {
    id: "syn-sent-bad-timestamp",
    title: "a SYN-ACK that echoes a timestamp never sent: RST, and connect goes on",
    story: "A SYN-ACK acknowledges the client's SYN but echoes a timestamp that the client never sent. It cannot be a \
            reply to this SYN: the client replies with an RST and continues to connect.",
    elsewhere: "Linux only, as far as is known.",
    advice: "If `nstat -az TcpExtPAWSActive` grows, a middlebox rewrites timestamps in one direction only.",
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(C)),
        inject(Forged::new(S, SYN_ACK).stamped(1, 1_000_000)),
        Step::Await(Awaited::AnswerFrom(C)),
        client(Op::Poll, polls(Events(0))),
        // Repeat the initial sequence number, which the first SYN-ACK has used.
        inject(Forged::new(S, SYN_ACK).off(-1)),
        Step::Await(Awaited::Established(C)),
        client(Op::Connect, returns(0)),
        client(Op::Poll, polls(OPEN)),
    ],
    resets: &[lost(answer(
        C,
        State::SynReceived,
        Sender::Socket,
        "TCP_RFC7323_PAWS",
    ))],
    counters: &[("OutRsts", 1), ("PAWSActive", 1)],
    ..NOBODY
};

/// Forged RSTs in SYN-SENT: `tcp_rcv_synsent_state_process()` accepts only one that acknowledges the SYN.
pub(super) const SYN_SENT_RST: Scenario = Scenario {
    id: "syn-sent-blind-rst",
    title: "in SYN-SENT, only an RST that acknowledges the SYN is accepted",
    story: "Three forged RSTs reach a client in SYN-SENT: one without ACK, one that acknowledges something else, and \
            one that acknowledges the SYN. The client ignores the first two. It accepts the third, whatever its \
            sequence number: ECONNREFUSED, although the server has sent nothing.",
    elsewhere: "RFC 9293, 3.10.7.3.",
    advice: "Anyone who can see the SYN can refuse the connection. If connect() fails with ECONNREFUSED but the \
             server's kernel has sent no RST, capture at both ends.",
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(C)),
        inject(Forged::new(S, RST)),
        client(Op::Poll, polls(Events(0))),
        inject(Forged::new(S, RST_ACK).ack_off(1000)),
        client(Op::Poll, polls(Events(0))),
        inject(Forged::new(S, RST_ACK)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, so_error_from_reset(Errno::ECONNREFUSED, 2)),
    ],
    resets: &[
        ignored(injected(S, State::SynSent)),
        ignored(injected_with_ack(S, State::SynSent)),
        injected_with_ack(S, State::SynSent),
    ],
    counters: &[("AttemptFails", 1)],
    ..NOBODY
};

/// Close while connecting: the late SYN-ACK triggers an RST, because `tcp_close()` in SYN-SENT leaves no state.
pub(super) const SYN_SENT_CLOSE: Scenario = Scenario {
    id: "syn-sent-close",
    title: "close while connecting; the late SYN-ACK triggers an RST",
    story: "The client gives up connecting and closes, which sends nothing. When the SYN-ACK arrives, the client's \
            kernel has no socket for it and replies with an RST, so that the server can drop the connection.",
    elsewhere: "All systems do this.",
    advice: "RSTs in reply to SYN-ACKs come from clients whose timeout is shorter than the round trip, or from hosts \
             that sent no SYN because their address was spoofed. The server's application does not see them as \
             errors.",
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(C)),
        client(Op::Close, returns(0)),
        inject(Forged::new(S, SYN_ACK)),
        Step::Await(Awaited::AnswerFrom(C)),
    ],
    resets: &[lost(answer(
        C,
        State::SynReceived,
        Sender::Kernel,
        "NO_SOCKET",
    ))],
    counters: &[("OutRsts", 1)],
    ..NOBODY
};

/// Forged RST right after the handshake, before any call looks at the socket.
///
/// `tcp_reset()` runs in ESTABLISHED, so `connect` and `SO_ERROR` report `ECONNRESET`, not `ECONNREFUSED`.
pub(super) const ESTABLISHED_THEN_RESET: Scenario = Scenario {
    id: "connect-established-then-reset",
    title: "connected and reset before the next call: connecting fails with ECONNRESET",
    story: "The client connects without waiting. The SYN-ACK arrives, and an RST right after it, before the client \
            makes another call. The connection was established for a moment, so the error is ECONNRESET and not \
            ECONNREFUSED; here SO_ERROR reports it.",
    elsewhere: "Other systems report the same error.",
    advice: "\"Connection reset by peer\" while connecting: the server accepted the connection and aborted it at \
             once, most likely a full proxy or a connection limit. A closed port gives ECONNREFUSED.",
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(C)),
        inject(Forged::new(S, SYN_ACK)),
        Step::Await(Awaited::Established(C)),
        inject(Forged::new(S, RST)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, so_error_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[injected(S, State::Established)],
    counters: &[("EstabResets", 1)],
    ..NOBODY
};

/// Forged RST after crossed SYNs (RFC 9293, figure 7): `ECONNRESET`.
///
/// `tcp_reset()` runs on a socket in SYN-RECEIVED; the BSDs return `ECONNREFUSED`.
pub(super) const SIMULTANEOUS_OPEN: Scenario = Scenario {
    id: "simultaneous-open-rst",
    title: "SYNs cross, then an RST: ECONNRESET",
    story: "While the client connects, a SYN arrives from the address that it connects to: both ends open at once, \
            and the client replies with a SYN-ACK. An RST ends the attempt. The client was neither refused nor \
            connected; Linux reports ECONNRESET.",
    elsewhere: "The BSDs report ECONNREFUSED in SYN-RECEIVED.",
    advice: "Hole punching for peer-to-peer connections opens them like this on purpose.",
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(C)),
        inject(Forged::new(S, SYN)),
        Step::Await(Awaited::AnswerFrom(C)),
        inject(Forged::new(S, RST)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, so_error_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[injected(S, State::SynReceived)],
    counters: &[("AttemptFails", 1)],
    ..NOBODY
};

// SYN-RECEIVED. The client has no socket.

/// Defaults of a scenario whose client has no socket, with the listener that all such trials share.
const NOBODYS: Scenario = Scenario {
    topic: Topic::Blind,
    raw: Some(C),
    ..BASE
};

/// Forged ACK of anything but the SYN-ACK: RST, and the request stays.
///
/// `tcp_check_req()` leaves the ACK to the listener, which answers with an RST (`TCP_FLAGS`).
pub(super) const SYN_RECV_BAD_ACK: Scenario = Scenario {
    id: "syn-received-bad-ack",
    title: "a wrong ACK to the SYN-ACK: RST, and the request stays",
    story: "The server has replied to a SYN; then an ACK arrives that acknowledges something else. The listener \
            replies with an RST and keeps the request: when the right ACK arrives, the connection is accepted.",
    elsewhere: "RFC 9293, 3.10.7.4: SYN-RECEIVED.",
    advice: "Somebody sends ACKs without having seen the SYN-ACK: spoofed addresses.",
    steps: &[
        inject(Forged::new(C, SYN)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, ACK).ack_off(5000)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, ACK)),
        server(Op::Accept, returns(0)),
        server(Op::Poll, polls(OPEN)),
    ],
    resets: &[lost(answer(S, State::SynSent, Sender::Socket, "TCP_FLAGS"))],
    counters: &[("OutRsts", 1)],
    ..NOBODYS
};

/// Second SYN within the window in SYN-RECEIVED: `tcp_check_req()` answers with an RST and drops the request
/// (`EmbryonicRsts`).
pub(super) const SYN_RECV_SYN: Scenario = Scenario {
    id: "syn-received-second-syn",
    title: "another SYN in SYN-RECEIVED: RST+ACK, and the request is dropped",
    story: "The server has replied to a SYN; then another SYN arrives from the same port, with a different sequence \
            number within the window. The listener replies with RST+ACK and drops the request. The ACK of its SYN-ACK \
            arrives too late, and the listener replies to it with an RST as well.",
    elsewhere: "By RFC 9293 the connection returns to LISTEN as well.",
    advice: "EmbryonicRsts counts these: clients that use the same port again at once, or spoofed SYNs.",
    steps: &[
        inject(Forged::new(C, SYN)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, SYN).off(100)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, ACK)),
        Step::Await(Awaited::AnswerFrom(S)),
    ],
    resets: &[
        lost(answer_without_ack(
            S,
            State::SynSent,
            Sender::Socket,
            "INVALID_SYN",
        )),
        lost(answer(S, State::SynSent, Sender::Socket, "TCP_FLAGS")),
    ],
    counters: &[("OutRsts", 2), ("AttemptFails", 1), ("EmbryonicRsts", 1)],
    ..NOBODYS
};

/// Exact RST in SYN-RECEIVED: `tcp_check_req()` drops the request (`EmbryonicRsts`), and no call reports an error.
pub(super) const SYN_RECV_RST: Scenario = Scenario {
    id: "syn-received-rst",
    title: "an exact RST in SYN-RECEIVED: the request is dropped, no call fails",
    story: "The server has replied to a SYN; then an RST with the right sequence number arrives. The kernel drops the \
            request, and no application notices. The late ACK finds only the listener, which replies with an RST.",
    elsewhere: "RFC 9293: the connection returns to LISTEN.",
    advice: "Half-open scans look like this: SYN, SYN-ACK, RST. Only EmbryonicRsts and AttemptFails count them.",
    steps: &[
        inject(Forged::new(C, SYN)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, RST)),
        inject(Forged::new(C, ACK)),
        Step::Await(Awaited::AnswerFrom(S)),
    ],
    resets: &[
        injected(C, State::SynReceived),
        lost(answer(S, State::SynSent, Sender::Socket, "TCP_FLAGS")),
    ],
    counters: &[("OutRsts", 1), ("AttemptFails", 1), ("EmbryonicRsts", 1)],
    ..NOBODYS
};

/// Inexact RST within the window in SYN-RECEIVED: a challenge ACK.
///
/// Before the fix for CVE-2026-68118, `tcp_check_req()` dropped the request.
pub(super) const SYN_RECV_RST_INEXACT: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::Without(&history::SYN_RECEIVED_CHALLENGE),
        is: &Scenario {
            title: "an RST in SYN-RECEIVED that is not exact: the request is dropped",
            story: "Like syn-received-rst, but the sequence number is in the window and is not the next one: this \
                    kernel accepts the RST anyway and drops the request (CVE-2026-68118). The late ACK finds only the \
                    listener.",
            steps: &[
                inject(Forged::new(C, SYN)),
                Step::Await(Awaited::AnswerFrom(S)),
                inject(Forged::new(C, RST).off(5)),
                inject(Forged::new(C, ACK)),
                Step::Await(Awaited::AnswerFrom(S)),
            ],
            // By RFC 5961 the RST has no effect. The counters and the answer to the ACK show that the request is gone.
            resets: &[
                ignored(injected(C, State::SynReceived)),
                lost(answer(S, State::SynSent, Sender::Socket, "TCP_FLAGS")),
            ],
            counters: &[("OutRsts", 1), ("AttemptFails", 1), ("EmbryonicRsts", 1)],
            ..INEXACT_RST
        },
    }],
    ..INEXACT_RST
};

/// Form of [`SYN_RECV_RST_INEXACT`] on current kernels.
const INEXACT_RST: Scenario = Scenario {
    id: "syn-received-rst-inexact",
    title: "an RST in SYN-RECEIVED that is not exact: a challenge ACK, the request stays",
    story: "Like syn-received-rst, but the sequence number is in the window and is not the next one: the kernel \
            replies with a challenge ACK and keeps the request. Kernels without the fix of 2026 (CVE-2026-68118) drop \
            the request, so anybody can keep a client from connecting.",
    elsewhere: "RFC 5961, 3.2.",
    advice: "Check that your kernel has the fix: 6.1.192, 6.12.117, 6.18.44, 7.3.4 and later have it.",
    steps: &[
        inject(Forged::new(C, SYN)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, RST).off(5)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, ACK)),
        server(Op::Accept, returns(0)),
        server(Op::Poll, polls(OPEN)),
    ],
    resets: &[challenged(injected(C, State::SynReceived))],
    counters: &[("TCPChallengeACK", 1)],
    ..NOBODYS
};

/// Close with repeated data in the receive queue: FIN, because nothing is unread (RFC 2525, 2.17).
///
/// Data before `copied_seq` was read, even if `__tcp_close()` still finds it in the queue.
pub(super) const CLOSE_REPEATED: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::Without(&history::CLOSE_LOOKS_AT_COPIED),
        is: &Scenario {
            title: "close with nothing unread, but a repeated byte in the queue: RST",
            story: "The server has read the byte that arrived. The client does not know that the byte arrived and \
                    sends it again, together with its FIN. The server's kernel queues this segment because of the \
                    FIN. The server closes: this kernel counts the byte as unread and sends an RST instead of a FIN.",
            resets: &[lost(abort(S, State::SynSent, "TCP_ABORT_ON_CLOSE"))],
            counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnClose", 1)],
            ..REPEATED
        },
    }],
    ..REPEATED
};

/// Form of [`CLOSE_REPEATED`] on current kernels.
const REPEATED: Scenario = Scenario {
    id: "close-repeated-data",
    title: "close with nothing unread, but a repeated byte in the queue: FIN",
    story: "The server has read the byte that arrived. The client does not know that the byte arrived and sends it \
            again, together with its FIN. The server's kernel queues this segment because of the FIN. The server \
            closes. Nothing is unread, so its kernel sends a FIN; until 2025 Linux counted the repeated byte as \
            unread and sent an RST.",
    elsewhere: "RFC 2525, 2.17, asks for an RST if data is lost; here no data is lost.",
    advice: "If finished connections occasionally end with an RST, over links that lose ACKs, update the kernel of \
             the end that sends the RST (6.18, 6.17.3, 6.12.53, 6.1.156, 5.10.246).",
    steps: &[
        inject(Forged::new(C, SYN)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, ACK)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(C, DATA).with(1)),
        Step::Await(Awaited::DataFrom(C)),
        server(Op::Read(1), returns(1)),
        // A retransmission of the byte, together with a FIN.
        inject(Forged::new(C, FIN_ACK).off(-1).with(1)),
        Step::Await(Awaited::FinAckedBy(S)),
        server(Op::Close, returns(0)),
    ],
    ..NOBODYS
};

/// Forged ACK of a number that is no SYN cookie: RST from the listener.
///
/// `cookie_v4_check()` does not recognize the acknowledged number and counts `SyncookiesFailed`.
pub(super) const SYN_COOKIE_BAD: Scenario = Scenario {
    id: "syn-cookie-bad-ack",
    title: "SYN cookies: an ACK without a valid cookie triggers an RST",
    story: "With SYN cookies the server keeps no state for a SYN: what it needs is in the sequence number of its \
            SYN-ACK. An ACK of another number does not match any SYN-ACK, and the listener replies with an RST.",
    elsewhere: "The BSDs have SYN cookies as well.",
    advice: "If SyncookiesFailed grows without a flood, ACKs arrive after the cookie has expired (a minute or two).",
    sysctls: &[("tcp_syncookies", "2")],
    target: Target::OwnListener(Listening::USUAL),
    steps: &[
        inject(Forged::new(C, SYN)),
        Step::Await(Awaited::AnswerFrom(S)),
        inject(Forged::new(C, ACK).ack_off(7777)),
        Step::Await(Awaited::AnswerFrom(S)),
    ],
    resets: &[lost(answer(S, State::SynSent, Sender::Socket, "TCP_FLAGS"))],
    counters: &[("OutRsts", 1), ("SyncookiesFailed", 1)],
    ..NOBODYS
};

// Connections that TCP Fast Open lets a server accept before the handshake is complete.

/// Defaults of a scenario with a listener that accepts data with the SYN and a client without a socket.
const FAST: Scenario = Scenario {
    topic: Topic::Blind,
    raw: Some(C),
    target: Target::OwnListener(Listening {
        fast_open: true,
        ..Listening::USUAL
    }),
    sysctls: &[FAST_OPEN],
    ..BASE
};

/// Forged ACK of unsent data to a Fast Open connection: RST (`TCP_ACK_UNSENT_DATA`), and the connection survives.
///
/// The segment meets a socket in SYN-RECEIVED in `tcp_rcv_state_process()`.
pub(super) const FAST_OPEN_BAD_ACK: Scenario = Scenario {
    id: "fast-open-bad-ack",
    title: "TCP Fast Open: a wrong ACK triggers an RST, and the connection survives",
    story: "With TCP Fast Open, the server accepts the connection and reads the data of the SYN before the handshake \
            is complete. An ACK of more than the SYN-ACK triggers an RST, as always in SYN-RECEIVED; the accepted \
            connection survives, and the right ACK completes it.",
    elsewhere: "Not measured on other systems.",
    advice: "If a server sends an RST and its connection still works, the RST was the reply to one wrong ACK.",
    steps: &[
        inject(Forged::new(C, SYN).with(1)),
        server(Op::Accept, returns(0)),
        server(Op::Read(1), returns(1)),
        inject(Forged::new(C, ACK).ack_off(1000)),
        Step::Await(Awaited::AnswerFrom(S)),
        server(Op::Poll, polls(OPEN)),
        inject(Forged::new(C, ACK)),
        server(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[lost(answer(
        S,
        State::SynSent,
        Sender::Socket,
        "TCP_ACK_UNSENT_DATA",
    ))],
    counters: &[("OutRsts", 1)],
    ..FAST
};

/// Variant of [`FAST_OPEN_BAD_ACK`] with an old ACK: `TCP_TOO_OLD_ACK`.
pub(super) const FAST_OPEN_OLD_ACK: Scenario = Scenario {
    id: "fast-open-old-ack",
    title: "TCP Fast Open: an old ACK triggers an RST, and the connection survives",
    story: "Like fast-open-bad-ack, with an ACK of a number from long before the SYN-ACK.",
    elsewhere: "Not measured on other systems.",
    advice: "See fast-open-bad-ack.",
    steps: &[
        inject(Forged::new(C, SYN).with(1)),
        server(Op::Accept, returns(0)),
        server(Op::Read(1), returns(1)),
        inject(Forged::new(C, ACK).ack_off(-100_000_000)),
        Step::Await(Awaited::AnswerFrom(S)),
        server(Op::Poll, polls(OPEN)),
        inject(Forged::new(C, ACK)),
        server(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[lost(answer(
        S,
        State::SynSent,
        Sender::Socket,
        "TCP_TOO_OLD_ACK",
    ))],
    counters: &[("OutRsts", 1)],
    ..FAST
};

/// RST to a Fast Open connection before its handshake is complete: `ECONNRESET`.
///
/// `tcp_check_req()` calls `tcp_reset()` on the child socket, in SYN-RECEIVED.
pub(super) const FAST_OPEN_RST: Scenario = Scenario {
    id: "fast-open-rst",
    title: "TCP Fast Open: an RST before the handshake is complete: ECONNRESET",
    story: "Like fast-open-bad-ack, but with an exact RST: the accepted connection is reset in SYN-RECEIVED. A \
            request would be dropped silently; here the server has a socket, and its next read() fails with \
            ECONNRESET.",
    elsewhere: "Not measured on other systems.",
    advice: "With TCP Fast Open the first read can succeed and the second fail with ECONNRESET although the handshake \
             was never completed.",
    steps: &[
        inject(Forged::new(C, SYN).with(1)),
        server(Op::Accept, returns(0)),
        server(Op::Read(1), returns(1)),
        inject(Forged::new(C, RST)),
        Step::Await(Awaited::ResetFrom(C)),
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[injected(C, State::SynReceived)],
    // tcp_check_req() counts one failure, tcp_done() from SYN-RECEIVED another.
    counters: &[("AttemptFails", 2)],
    ..FAST
};

/// Second SYN to a Fast Open connection: `tcp_check_req()` answers with an RST (`INVALID_SYN`), and the child survives.
pub(super) const FAST_OPEN_SYN: Scenario = Scenario {
    id: "fast-open-second-syn",
    title: "TCP Fast Open: another SYN triggers an RST, and the connection survives",
    story: "Like fast-open-bad-ack, but with another SYN within the window: the kernel replies with RST+ACK, and the \
            connection survives. A request without Fast Open would be dropped.",
    elsewhere: "Not measured on other systems.",
    advice: "See fast-open-bad-ack.",
    steps: &[
        inject(Forged::new(C, SYN).with(1)),
        server(Op::Accept, returns(0)),
        server(Op::Read(1), returns(1)),
        inject(Forged::new(C, SYN).off(100)),
        Step::Await(Awaited::AnswerFrom(S)),
        server(Op::Poll, polls(OPEN)),
        inject(Forged::new(C, ACK)),
        server(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[lost(answer_without_ack(
        S,
        State::SynSent,
        Sender::Socket,
        "INVALID_SYN",
    ))],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..FAST
};

/// Close of a Fast Open connection with unread data before its handshake is complete: RST.
///
/// `__tcp_close()` runs in SYN-RECEIVED; the reason is `TCP_ABORT_ON_CLOSE`.
pub(super) const FAST_OPEN_CLOSE: Scenario = Scenario {
    id: "fast-open-close-unread-early",
    title: "TCP Fast Open: close with the SYN's data unread, before the handshake is complete: RST",
    story: "The server accepts a connection whose SYN carried data, reads none of the data and closes, before the \
            client's ACK arrives: its kernel sends an RST from SYN-RECEIVED.",
    elsewhere: "Not measured on other systems.",
    advice: "See close-unread-data: read the received data before closing.",
    steps: &[
        inject(Forged::new(C, SYN).with(2)),
        server(Op::Accept, returns(0)),
        server(Op::Close, returns(0)),
    ],
    resets: &[lost(abort(S, State::SynSent, "TCP_ABORT_ON_CLOSE"))],
    counters: &[("OutRsts", 1), ("TCPAbortOnClose", 1)],
    ..FAST
};

/// SYN with `MP_JOIN` and an unknown token: `subflow_check_req()` answers with an RST that has `MP_TCPRST` and the
/// reason `MPTCP_RST_EMPTCP`.
pub(super) const MPTCP_JOIN: Scenario = Scenario {
    id: "mptcp-join-bad-token",
    topic: Topic::Blind,
    title: "Multipath TCP: a SYN joins an unknown connection: RST+ACK",
    story: "A SYN to a Multipath TCP listener asks to join a connection, with a token that belongs to no connection. \
            The listener replies with RST+ACK, and an option of the RST (MP_TCPRST) gives the reason.",
    elsewhere: "RFC 8684, 3.2 and 3.6.",
    advice: "After a restart of the server, the joins of its clients fail like this: the clients have to connect \
             again.",
    raw: Some(C),
    target: Target::OwnListener(Listening::USUAL),
    multipath: true,
    steps: &[
        inject(Forged {
            stamp: super::Stamp::Join,
            ..Forged::new(C, SYN)
        }),
        Step::Await(Awaited::AnswerFrom(S)),
    ],
    resets: &[lost(answer_without_ack(
        S,
        State::SynSent,
        Sender::Socket,
        "MPTCP_RST_EMPTCP",
    ))],
    counters: &[("OutRsts", 1), ("ListenDrops", 1)],
    ..BASE
};

// Segments that belong to no connection.

/// Defines a scenario of a stray segment that is answered: RFC 9293, 3.10.7.1 (CLOSED) and 3.10.7.2 (LISTEN).
macro_rules! stray {
    ($name:ident, $id:literal, $target:expr, $title:literal, $flags:expr, $state:expr, $answer:ident, $sender:expr, $reason:literal) => {
        #[doc = concat!("`", $id, "`: RFC 9293, 3.10.7.1 and 3.10.7.2: an RST replies to the segment.")]
        pub(super) const $name: Scenario = Scenario {
            id: $id,
            topic: Topic::Blind,
            title: $title,
            story: STRAY_STORY,
            elsewhere: "All systems do this (RFC 9293, 3.10.7.1 and 3.10.7.2), unless a firewall drops such segments.",
            advice: STRAY_ADVICE,
            raw: Some(C),
            target: $target,
            extent: Extent::Strays,
            steps: &[
                inject(Forged::new(C, $flags)),
                Step::Await(Awaited::AnswerFrom(S)),
            ],
            resets: &[lost($answer(S, $state, $sender, $reason))],
            counters: &[("OutRsts", 1)],
            ..BASE
        };
    };
}

const STRAY_STORY: &str = "A segment arrives that belongs to no connection. If it has ACK, the reply is an RST \
     without ACK, whose sequence number is the acknowledged number; if not, the reply is RST+ACK with sequence number \
     0, which acknowledges the segment. A listener replies only to segments with ACK, with reason TCP_FLAGS. Without \
     a listener the kernel itself replies, with reason NO_SOCKET.";

const STRAY_ADVICE: &str = "The host was restarted, a NAT has lost its state, or somebody scans. The form of the RST \
     shows what was sent; the kernel's reason shows whether a listener exists.";

stray!(
    STRAY_ACK_LISTENER,
    "stray-ack-listener",
    Target::Listener,
    "an unsolicited ACK to a listener: RST from the listener",
    ACK,
    State::Closed,
    answer,
    Sender::Socket,
    "TCP_FLAGS"
);
stray!(
    STRAY_SYN_ACK_LISTENER,
    "stray-syn-ack-listener",
    Target::Listener,
    "an unsolicited SYN-ACK to a listener: RST from the listener",
    SYN_ACK,
    State::SynReceived,
    answer,
    Sender::Socket,
    "TCP_FLAGS"
);
stray!(
    STRAY_FIN_ACK_LISTENER,
    "stray-fin-ack-listener",
    Target::Listener,
    "an unsolicited FIN to a listener: RST from the listener",
    FIN_ACK,
    State::Closed,
    answer,
    Sender::Socket,
    "TCP_FLAGS"
);
stray!(
    STRAY_ACK_CLOSED,
    "stray-ack-closed-port",
    Target::ClosedPort,
    "an unsolicited ACK to a closed port: RST from the kernel",
    ACK,
    State::Closed,
    answer,
    Sender::Kernel,
    "NO_SOCKET"
);
stray!(
    STRAY_SYN_ACK_CLOSED,
    "stray-syn-ack-closed-port",
    Target::ClosedPort,
    "an unsolicited SYN-ACK to a closed port: RST from the kernel",
    SYN_ACK,
    State::SynReceived,
    answer,
    Sender::Kernel,
    "NO_SOCKET"
);
stray!(
    STRAY_DATA_CLOSED,
    "stray-data-closed-port",
    Target::ClosedPort,
    "unsolicited data to a closed port: RST from the kernel",
    DATA,
    State::Closed,
    answer,
    Sender::Kernel,
    "NO_SOCKET"
);
stray!(
    STRAY_FIN_CLOSED,
    "stray-fin-closed-port",
    Target::ClosedPort,
    "a FIN without ACK to a closed port: RST+ACK from the kernel",
    FIN,
    State::Closed,
    answer_without_ack,
    Sender::Kernel,
    "NO_SOCKET"
);
stray!(
    STRAY_NULL_CLOSED,
    "stray-null-closed-port",
    Target::ClosedPort,
    "a segment without flags to a closed port: RST+ACK from the kernel",
    Flags(0),
    State::Closed,
    answer_without_ack,
    Sender::Kernel,
    "NO_SOCKET"
);

/// Stray FIN, segment without flags, and RST to a listener: no answer.
///
/// `tcp_v4_do_rcv()` of a listener drops a segment without SYN and ACK, and any RST (RFC 9293, 3.10.7.2).
pub(super) const STRAY_SILENT_LISTENER: Scenario = Scenario {
    id: "stray-silent-listener",
    topic: Topic::Blind,
    title: "a FIN, a segment without flags and an RST to a listener: no reply",
    story: "A listener sends an RST only in reply to a segment with ACK. It drops silently a FIN without ACK, a \
            segment without flags, an RST, and a SYN with RST. The ACK at the end triggers an RST, which shows that \
            the listener still exists.",
    elsewhere: "Older systems replied to some of these segments; port scanners identify systems by the difference.",
    advice: "A scan that finds open ports by their silence (nmap -sF, -sN).",
    raw: Some(C),
    extent: Extent::Strays,
    steps: &[
        inject(Forged::new(C, FIN)),
        inject(Forged::new(C, Flags(0))),
        inject(Forged::new(C, RST)),
        inject(Forged::new(C, Flags::SYN.and(Flags::RST))),
        // The ACK is answered, which shows that the segments before it were not.
        inject(Forged::new(C, ACK)),
        Step::Await(Awaited::AnswerFrom(S)),
    ],
    resets: &[
        ignored(injected(C, State::Listen)),
        ignored(injected(C, State::Listen)),
        lost(answer(S, State::Closed, Sender::Socket, "TCP_FLAGS")),
    ],
    counters: &[("OutRsts", 1)],
    ..BASE
};

/// Stray RST to a closed port: no answer. `tcp_v4_send_reset()` never answers an RST (RFC 9293, 3.10.7.1).
pub(super) const STRAY_RST_CLOSED: Scenario = Scenario {
    id: "stray-rst-closed-port",
    topic: Topic::Blind,
    title: "an RST to a closed port: no reply",
    story: "An RST never triggers an RST, or two hosts could reply to each other forever. The ACK at the end \
            triggers an RST, which shows that the port is closed.",
    elsewhere: "All systems do this.",
    advice: "A host that replies to an RST with an RST violates RFC 9293 (3.10.7.1).",
    raw: Some(C),
    target: Target::ClosedPort,
    extent: Extent::Strays,
    steps: &[
        inject(Forged::new(C, RST)),
        inject(Forged::new(C, RST_ACK)),
        // The ACK is answered, which shows that the segments before it were not.
        inject(Forged::new(C, ACK)),
        Step::Await(Awaited::AnswerFrom(S)),
    ],
    resets: &[
        ignored(injected(C, State::Listen)),
        ignored(injected_with_ack(C, State::Listen)),
        lost(answer(S, State::Closed, Sender::Kernel, "NO_SOCKET")),
    ],
    counters: &[("OutRsts", 1)],
    ..BASE
};
