//! Scenarios with segments that a third party aims at a connection, or that belong to none: which segments a kernel
//! must accept, ignore or challenge (RFC 9293 3.10.7, RFC 5961, RFC 7323, RFC 1337).

use super::{
    Awaited, BASE, DEAD, DEAD_WITH_ERROR, Errno, Events, Expect, ExpectedReset, Extent, FAST_OPEN,
    Forged, Listening, OPEN, On, Op, Otherwise, PEER_CLOSED, Role, Scenario, Sender, Step, Target,
    Topic, abort, answer, answer_without_ack, challenged, client, dead_since_reset, ignored,
    injected, lost, polls, reports, returns, server, told_of_reset, would_block,
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

const BLIND_ELSEWHERE: &str = "RFC 5961 is followed by Linux (since 3.6), the BSDs and Windows; older systems believed any RST \
     within the window, and so do many middleboxes.";

// Established connections.

/// Forged RST before the window: ignored. `tcp_validate_incoming()` drops it (`TCP_OLD_SEQUENCE`).
pub(super) const RST_OLD: Scenario = Scenario {
    id: "blind-rst-old",
    topic: Topic::Blind,
    title: "a forged RST with a number of the past: ignored",
    story: "Somebody sends the client a RST in the server's name whose sequence number lies one before the next one. It cannot \
            be the server's: the client's kernel drops it in silence, and the connection goes on. That the server's kernel has \
            sent none is proof that it was forged.",
    elsewhere: BLIND_ELSEWHERE,
    advice: "A RST in a capture is no proof of a reset. Compare its sequence number with what its receiver expects next.",
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
    story: "As blind-rst-old, with a number so far ahead that it lies beyond the window: dropped in silence.",
    elsewhere: BLIND_ELSEWHERE,
    advice: "Somebody who guesses: 4,294,967,296 numbers, of which one counts.",
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
    title: "a forged RST within the window: a challenge ACK, and nothing else",
    story: "The forged RST lies within the client's window, but is not the next number. Before RFC 5961 that was enough; now the \
            client asks back with an ACK. Had the server really reset the connection, its kernel would answer that with an \
            exact RST. It has not, so it ignores the ACK, and the connection goes on.",
    elsewhere: BLIND_ELSEWHERE,
    advice: "`nstat -az TcpExtTCPChallengeACK` that grows: somebody guesses, or a middlebox sends RSTs with numbers that are a \
             little off.",
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
    title: "a forged RST with the exact number: ECONNRESET, and the server knows nothing",
    story: "The forged RST bears the very number that the client expects: the client has to believe it, and is told ECONNRESET. \
            The server has sent nothing and knows nothing: its connection is open. When it writes, the client's kernel, which has \
            no such connection any more, answers with a RST of its own, and the server is reset by the victim.",
    elsewhere: "The same everywhere: this is what injected resets of censors and middleboxes rest on.",
    advice: "Two ends that each say that the other reset them: capture at both. A RST that arrives and was never sent was made in \
             between; its TTL, window and IP ID often do not match its alleged sender's.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, RST)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        server(Op::Poll, polls(OPEN)),
        server(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(C)),
        server(Op::Read(1), told_of_reset(Errno::ECONNRESET, 1)),
        server(Op::Write(1), dead_since_reset(Errno::EPIPE, 1)),
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
    title: "a RST at the right edge of a SACK block: believed",
    story: "Data that comes out of order makes the client acknowledge it selectively: there is a hole. A RST that follows that \
            data is ahead of what the client expects next, but lies just where it would lie if the server had sent it all and \
            then reset. Linux believes it.",
    elsewhere: "Linux only (4.8): RFC 5961 would ask back with an ACK.",
    advice: "A RST that is not at RCV.NXT and that worked: look for a SACK block that ends where it lies.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        // Data after a gap of 10 bytes: the client answers with a SACK block.
        inject(Forged::new(S, DATA).off(10).with(10)),
        Step::Await(Awaited::AnswerFrom(C)),
        // The next number is the right edge of that block.
        inject(Forged::new(S, RST)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
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
    title: "after a FIN, a RST one number back: believed, EPIPE",
    story: "The server has shut its sending side down: the client is in CLOSE-WAIT. A RST whose number is that of the FIN, one \
            before the next, is believed (macOS sends such). In CLOSE-WAIT that is EPIPE for whoever writes; a reader sees the \
            end of file and never learns of it.",
    elsewhere: "Linux only (4.11), made for RSTs that macOS sends.",
    advice: "An EPIPE whose RST is one off: that is no mistake.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::ShutdownWrite, returns(0)),
        Step::Await(Awaited::FinAckedBy(C)),
        inject(Forged::new(S, RST).off(-1)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, reports(Errno::EPIPE, 0)),
        client(Op::Poll, polls(DEAD)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
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
    story: "Somebody sends a SYN in the server's name on a connection that works. Once that was a reset by itself. Now the client \
            asks back with an ACK; the server, which knows the connection, ignores that.",
    elsewhere: BLIND_ELSEWHERE,
    advice: "TCPSYNChallenge counts these: a host that has restarted and uses the same port again, or somebody who guesses.",
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
            title: "an ACK for what was never sent: dropped in silence, no RST",
            story: "A segment in the server's name acknowledges more than the client has sent. This kernel drops it without a word, and \
                    the connection goes on.",
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
    title: "an ACK for what was never sent: a challenge ACK, no RST",
    story: "A segment in the server's name acknowledges more than the client has sent. On a connection that is there this draws \
            an ACK and no RST (in SYN-SENT and SYN-RECEIVED it draws a RST).",
    elsewhere: "RFC 9293, 3.10.7.4: send an ACK and drop the segment.",
    advice: "Optimistic ACKs, or a middlebox that has lost count.",
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
    title: "an ACK from long ago: a challenge ACK, no RST",
    story: "A segment in the server's name acknowledges a number so far back that the largest window ever would not explain it. \
            Whoever made it guesses: the client asks back with an ACK.",
    elsewhere: "RFC 5961, 5.2.",
    advice: "As blind-ack-unsent.",
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
    story: "Data in the server's name has the right numbers and a timestamp of the past: it may be from before the numbers \
            wrapped. The client drops it and acknowledges what it has; its application never sees it.",
    elsewhere: "RFC 7323, 5: wherever timestamps are in use.",
    advice: "`nstat -az TcpExtPAWSEstab` that grows on connections that stall: a NAT or load balancer that mixes hosts with \
             different clocks.",
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
    title: "a RST with an old timestamp: believed all the same",
    story: "As paws-old-data, with a RST in the place of data: its timestamp does not matter, its number does. ECONNRESET.",
    elsewhere: "RFC 7323, 5.2: PAWS does not apply to RST.",
    advice: "That a RST has an odd timestamp shows who made it, and did not keep anybody from believing it.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        inject(Forged::new(S, RST).stamped(-100_000, 0)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
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
    title: "a RST ends TIME-WAIT; late data then draws RST",
    story: "Both ends have closed, the client waits in TIME-WAIT for whatever may still come. An exact RST ends that wait, which \
            RFC 1337 warns of. Late data of the server then finds nothing left, and is answered with RST.",
    elsewhere: "Linux by default; net.ipv4.tcp_rfc1337=1 keeps TIME-WAIT, as FreeBSD does (net.inet.tcp.nolocaltimewait aside).",
    advice: "A port that can be used again before TIME-WAIT is over: a RST has ended it.",
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
    title: "tcp_rfc1337=1: a RST does not end TIME-WAIT",
    story: "As time-wait-rst, with net.ipv4.tcp_rfc1337 on: the RST is ignored, though its number is exact. Late data is \
            acknowledged once more, as TIME-WAIT is there to do. (That ACK gets to the server's listener, which knows of no \
            connection and answers with a RST that is ignored as well.)",
    elsewhere: "RFC 1337's fix F1.",
    advice: "The setting costs nothing; that it is off by default is history.",
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
    title: "a RST that is not exact does not end TIME-WAIT",
    story: "As time-wait-rst, with a number that is a little off: ignored, and late data is acknowledged once more. That ACK gets to \
            the server's listener, which knows of no connection any more; its RST is exact, and ends TIME-WAIT.",
    elsewhere: "The same elsewhere.",
    advice: "To end a TIME-WAIT from outside one has to know the numbers.",
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
    title: "a SYN to what is left in FIN-WAIT-2: RST+ACK, which the client ignores",
    story: "The server has closed, the client has not: of the server's connection a small socket is left, in FIN-WAIT-2. A SYN \
            in the client's name gets RST+ACK from it, with sequence number 0, as a closed port would send. The client, whose \
            connection is in CLOSE-WAIT, ignores that: 0 is not what it expects.",
    elsewhere: "Not measured elsewhere.",
    advice: "A RST whose sequence number is 0 answers a SYN. On a connection that is there it does nothing.",
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
    target: Target::Deaf,
    raw: Some(S),
    ..BASE
};

/// Forged ACK of anything but the SYN in SYN-SENT: `tcp_rcv_synsent_state_process()` answers with an RST.
///
/// The connection attempt continues (RFC 9293, 3.10.7.3).
pub(super) const SYN_SENT_BAD_ACK: Scenario = Scenario {
    id: "syn-sent-bad-ack",
    title: "in SYN-SENT, an ACK of something else: RST, and connect goes on",
    story: "The client has sent its SYN. An ACK comes in of a number that it has never sent, as from a server that still has an \
            old connection with these ports. The client answers with RST, to clear that one, and goes on connecting: the right \
            SYN-ACK is taken.",
    elsewhere: "RFC 9293, 3.5.1, figures 8 and 9.",
    advice: "A RST from the client in the middle of a handshake that then succeeds: a leftover of an old connection at the \
             server. It heals by itself.",
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
    story: "A SYN-ACK acknowledges the client's SYN but echoes a timestamp that the client has not sent. It cannot be an answer to \
            this SYN: the client answers with RST and goes on connecting.",
    elsewhere: "Linux only, as far as is known.",
    advice: "`nstat -az TcpExtPAWSActive`: a middlebox that rewrites timestamps on one way only.",
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
    title: "in SYN-SENT only a RST that acknowledges the SYN counts",
    story: "Three forged RSTs meet a client in SYN-SENT: one without ACK, one that acknowledges something else, one that \
            acknowledges the SYN. The first two are ignored. The third is believed, whatever its sequence number: \
            ECONNREFUSED, from a host that was never asked.",
    elsewhere: "RFC 9293, 3.10.7.3.",
    advice: "Whoever can see the SYN can refuse the connection. ECONNREFUSED while the server's kernel has sent nothing: \
             capture at both ends.",
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
        client(Op::SocketError, reports(Errno::ECONNREFUSED, 2)),
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
    title: "close while connecting; the late SYN-ACK draws RST",
    story: "The client gives up connecting and closes. Nothing is sent to say so. When the SYN-ACK comes after all, the client's \
            kernel has no socket for it and answers with RST: the server, which had counted on a connection, is rid of it.",
    elsewhere: "The same everywhere.",
    advice: "RSTs that answer SYN-ACKs are clients whose patience is shorter than the way back. Servers see them as requests \
             that come to nothing, not as errors.",
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
    title: "connected and reset before anybody looks: ECONNRESET from connecting",
    story: "The client connects without waiting. The SYN-ACK comes, and a RST right after it, before the client looks. It was \
            connected for a moment, so the error is ECONNRESET and not ECONNREFUSED; SO_ERROR is where it shows.",
    elsewhere: "The same errno elsewhere.",
    advice: "\"Connection reset by peer\" while connecting: the server accepted and aborted at once, a full proxy or a limit on \
             connections most likely. A closed port would have said ECONNREFUSED.",
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(C)),
        inject(Forged::new(S, SYN_ACK)),
        Step::Await(Awaited::Established(C)),
        inject(Forged::new(S, RST)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, reports(Errno::ECONNRESET, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
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
    title: "SYNs cross, then a RST: ECONNRESET",
    story: "While the client connects, a SYN comes from the very address that it connects to: both open at once, and the client \
            answers with SYN-ACK. A RST ends that. The client was neither refused nor connected; Linux says ECONNRESET.",
    elsewhere: "The BSDs say ECONNREFUSED in SYN-RECEIVED.",
    advice: "Hole punching for peer-to-peer connections opens like this on purpose.",
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(C)),
        inject(Forged::new(S, SYN)),
        Step::Await(Awaited::AnswerFrom(C)),
        inject(Forged::new(S, RST)),
        Step::Await(Awaited::ResetFrom(S)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, reports(Errno::ECONNRESET, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
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
    story: "A SYN has been answered; the ACK that comes acknowledges something else. It is answered with RST by the listener, and \
            the request is kept: when the right ACK comes, the connection is accepted.",
    elsewhere: "RFC 9293, 3.10.7.4: SYN-RECEIVED.",
    advice: "Somebody who sends ACKs without having seen the SYN-ACK: spoofed addresses.",
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
    title: "another SYN in SYN-RECEIVED: RST+ACK, and the request is gone",
    story: "A SYN has been answered, and another one comes with the same ports and another number within the window. The \
            listener answers with RST and forgets the request: the ACK to its SYN-ACK comes too late, and is answered with RST as \
            well.",
    elsewhere: "RFC 9293 would return to LISTEN as well.",
    advice: "EmbryonicRsts counts these. Clients that use the same port again at once, or spoofed SYNs.",
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
    title: "an exact RST in SYN-RECEIVED: the request is gone, nobody is told",
    story: "A SYN has been answered; a RST with the right number follows. The request is dropped and no application learns of \
            it. The ACK that comes too late finds only the listener, and is answered with RST.",
    elsewhere: "RFC 9293: back to LISTEN.",
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
            title: "a RST in SYN-RECEIVED that is not exact: the request is gone",
            story: "As syn-received-rst, with a number within the window that is not the next: this kernel believes it all the same and \
                    drops the request (CVE-2026-68118). The ACK that comes too late finds only the listener.",
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
    title: "a RST in SYN-RECEIVED that is not exact: challenged, the request stays",
    story: "As syn-received-rst, with a number within the window that is not the next: the kernel asks back with an ACK and keeps \
            the request. Kernels without the fix of 2026 (CVE-2026-68118) dropped it, so that anybody could keep a client from \
            connecting.",
    elsewhere: "RFC 5961, 3.2.",
    advice: "See that your kernel has the fix: 6.1.192, 6.12.117, 6.18.44, 7.3.4 and later have it.",
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
            story: "The server has read the byte that came. The client, who does not know that it arrived, sends it again, together \
                    with its FIN, and the server's kernel keeps that in the queue for the sake of the FIN. The server closes: this \
                    kernel counts the byte as unread and sends RST instead of FIN.",
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
    story: "The server has read the byte that came. The client, who does not know that it arrived, sends it again, together with its \
            FIN, and the server's kernel keeps that in the queue for the sake of the FIN. The server closes. Nothing is unread, so \
            its kernel sends FIN; until 2025 Linux counted the repeated byte and sent RST.",
    elsewhere: "RFC 2525, 2.17, asks for RST where data is lost, and here none is.",
    advice: "A rare RST at the end of connections that both sides had finished with, over links that lose ACKs: update the kernel \
             of the end that sends it (6.18, 6.17.3, 6.12.53, 6.1.156, 5.10.246).",
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
    title: "SYN cookies: an ACK of a number that is no cookie draws RST",
    story: "With SYN cookies the server keeps nothing of a SYN: what it needs is in the sequence number of its SYN-ACK. An ACK of \
            another number is no answer to any SYN-ACK of its, and is answered with RST.",
    elsewhere: "SYN cookies are on the BSDs as well.",
    advice: "SyncookiesFailed that grows without a flood: ACKs that come after the cookie's minute or two.",
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

// Connections that TCP Fast Open has handed out before their handshake is complete.

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
    title: "TCP Fast Open: a wrong ACK draws RST, and the connection survives",
    story: "With TCP Fast Open the server accepts and reads what came with the SYN before the handshake is through. An ACK of more \
            than the SYN-ACK then draws RST, as always in SYN-RECEIVED; the connection, handed out already, survives, and the \
            right ACK completes it.",
    elsewhere: "Not measured elsewhere.",
    advice: "A RST from a server whose connection goes on working: the two ends disagreed for a moment only.",
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
    title: "TCP Fast Open: an ACK of long ago draws RST, and the connection survives",
    story: "As fast-open-bad-ack, with an ACK of a number from before the SYN-ACK.",
    elsewhere: "Not measured elsewhere.",
    advice: "As fast-open-bad-ack.",
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
    title: "TCP Fast Open: a RST before the handshake is through: ECONNRESET",
    story: "As fast-open-bad-ack, with an exact RST: the server, which has accepted the connection, is reset in SYN-RECEIVED. \
            Unlike a request, which is forgotten in silence, there is somebody to be told: ECONNRESET.",
    elsewhere: "Not measured elsewhere.",
    advice: "With TCP Fast Open the first read may succeed and the second say ECONNRESET though the client never was connected.",
    steps: &[
        inject(Forged::new(C, SYN).with(1)),
        server(Op::Accept, returns(0)),
        server(Op::Read(1), returns(1)),
        inject(Forged::new(C, RST)),
        Step::Await(Awaited::ResetFrom(C)),
        server(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        server(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[injected(C, State::SynReceived)],
    // tcp_check_req() counts one failure, tcp_done() from SYN-RECEIVED another.
    counters: &[("AttemptFails", 2)],
    ..FAST
};

/// Second SYN to a Fast Open connection: `tcp_check_req()` answers with an RST (`INVALID_SYN`), and the child survives.
pub(super) const FAST_OPEN_SYN: Scenario = Scenario {
    id: "fast-open-second-syn",
    title: "TCP Fast Open: another SYN draws RST, and the connection survives",
    story: "As fast-open-bad-ack, with another SYN within the window: RST+ACK, and the connection survives, where a mere request \
            would be dropped.",
    elsewhere: "Not measured elsewhere.",
    advice: "As fast-open-bad-ack.",
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
    title: "TCP Fast Open: close with the SYN's data unread, before the handshake is through: RST",
    story: "The server accepts a connection whose SYN brought data, reads none of it and closes, all before the client's ACK has \
            come: RST out of SYN-RECEIVED.",
    elsewhere: "Not measured elsewhere.",
    advice: "As close-unread-data: read what is there before closing.",
    steps: &[
        inject(Forged::new(C, SYN).with(2)),
        server(Op::Accept, returns(0)),
        server(Op::Close, returns(0)),
    ],
    resets: &[lost(super::abort(S, State::SynSent, "TCP_ABORT_ON_CLOSE"))],
    counters: &[("OutRsts", 1), ("TCPAbortOnClose", 1)],
    ..FAST
};

/// SYN with `MP_JOIN` and an unknown token: `subflow_check_req()` answers with an RST that has `MP_TCPRST` and the
/// reason `MPTCP_RST_EMPTCP`.
pub(super) const MPTCP_JOIN: Scenario = Scenario {
    id: "mptcp-join-bad-token",
    topic: Topic::Blind,
    title: "Multipath TCP: a SYN that joins a connection which is not there: RST+ACK",
    story: "A SYN to a Multipath TCP listener asks to join a connection, by a token that names none. It is answered with RST+ACK \
            that says why in an option (MP_TCPRST).",
    elsewhere: "RFC 8684, 3.2 and 3.6.",
    advice: "After a restart of the server its clients' joins come to nothing like this: they have to connect anew.",
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
        #[doc = concat!("`", $id, "`: RFC 9293, 3.10.7.1 and 3.10.7.2; the reset is its answer.")]
        pub(super) const $name: Scenario = Scenario {
            id: $id,
            topic: Topic::Blind,
            title: $title,
            story: STRAY_STORY,
            elsewhere: "RFC 9293, 3.10.7.1 and 3.10.7.2: the same everywhere, where no firewall drops what belongs to nothing.",
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

const STRAY_STORY: &str = "A segment comes in that belongs to no connection. If it has ACK, the answer is RST alone whose \
     sequence number is what it acknowledged; if not, RST+ACK with sequence number 0 that acknowledges it. A listener answers \
     itself, with reason TCP_FLAGS, and only what has ACK; where nobody listens the kernel does, with reason NO_SOCKET.";

const STRAY_ADVICE: &str = "A host that was restarted, a NAT that has forgotten, or a scan: the form of the RST tells what was sent, \
     the kernel's reason whether somebody listens.";

stray!(
    STRAY_ACK_LISTENER,
    "stray-ack-listener",
    Target::Listener,
    "an ACK out of nowhere to a listener: RST from the listener",
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
    "a SYN-ACK out of nowhere to a listener: RST from the listener",
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
    "a FIN out of nowhere to a listener: RST from the listener",
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
    "an ACK out of nowhere to a closed port: RST from the kernel",
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
    "a SYN-ACK out of nowhere to a closed port: RST from the kernel",
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
    "data out of nowhere to a closed port: RST from the kernel",
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
    "a segment without any flag to a closed port: RST+ACK from the kernel",
    Flags(0),
    State::Closed,
    answer_without_ack,
    Sender::Kernel,
    "NO_SOCKET"
);

/// Stray FIN, bare segment and RST to a listener: no answer.
///
/// `tcp_v4_do_rcv()` of a listener drops a segment without SYN and ACK, and any RST (RFC 9293, 3.10.7.2).
pub(super) const STRAY_SILENT_LISTENER: Scenario = Scenario {
    id: "stray-silent-listener",
    topic: Topic::Blind,
    title: "a FIN, a bare segment and a RST to a listener: no answer",
    story: "A listener answers what has ACK. A FIN without ACK, a segment without any flag, a RST and a SYN with FIN are dropped in \
            silence. Then an ACK shows that it is still there: RST.",
    elsewhere: "Older systems answered some of these, which port scanners use to tell systems apart.",
    advice: "A scan that tells open from closed ports by who stays silent (nmap -sF, -sN).",
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
    title: "a RST to a closed port: no answer",
    story: "A RST never draws a RST, or two hosts could go on for ever. Then an ACK shows that the port is closed: RST.",
    elsewhere: "The same everywhere.",
    advice: "Whoever answers RST with RST is no TCP.",
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
