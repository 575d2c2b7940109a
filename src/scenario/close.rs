//! Clean closes, and what comes of writing after one.

use super::{
    Awaited, BASE, Cause, Errno, Expect, Op, Role, Scenario, Sender, Step, Timing, Topic, answer,
    client, returns, server, told_of_reset,
};
use crate::flow::State;

/// The control to `close-unread-data`: the same exchange, but the server reads everything first.
pub(super) const CLEAN_CLOSE_EOF: Scenario = Scenario {
    id: "clean-close-eof",
    topic: Topic::Close,
    title: "control: the server reads all, then closes: FIN, read 0, no error, no RST",
    story: "The client sends two bytes, the server reads both and closes. Nothing is lost, so its kernel sends FIN, \
            the client's read() gives 0, and there is no error and no RST anywhere. What close-unread-data is \
            compared with.",
    elsewhere: "The same everywhere.",
    advice: "Nothing to mend: this is how a connection ends.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(2), returns(2)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    ..BASE
};

/// Data for a connection whose owner is gone: the server is in FIN-WAIT-2, reduced to a timewait mini-socket, and
/// `tcp_timewait_state_process()` answers new data with a reset. It finds the client in CLOSE-WAIT: `EPIPE`.
pub(super) const WRITE_AFTER_PEER_CLOSE: Scenario = Scenario {
    id: "write-after-peer-close",
    topic: Topic::Close,
    title: "the peer closed; write succeeds, RST comes back, write EPIPE",
    story: "The server closes cleanly: FIN, and the client acknowledges it. The client has not noticed (it does not \
            read) and writes. That write succeeds: TCP allows sending after the other side's FIN. But nobody is left \
            to read, so the server's kernel answers the data with RST. The client was in CLOSE-WAIT, so the error is \
            EPIPE, and never ECONNRESET: the second write tells.",
    elsewhere: "RFC 1122 (4.2.2.13) asks every host for this reset. FreeBSD maps it to ECONNRESET even in CLOSE-WAIT \
                (from memory of its source, not measured).",
    advice: "The usual story behind \"broken pipe\" on a kept-alive connection: the server's idle time-out closed \
             it. Read (or poll for POLLRDHUP) before reusing a pooled connection, keep client time-outs shorter \
             than the server's, and retry only what is safe to repeat: the first write succeeded, and was lost.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Write(1), told_of_reset(Errno::EPIPE, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[answer(
        Role::Server,
        State::CloseWait,
        Sender::Kernel,
        "TCP_TIMEWAIT_SOCKET",
    )],
    timing: Some(Timing::DataAfterAckOfFin),
    ..BASE
};

/// The other timing: the server is still in FIN-WAIT-1, an orphan but a full socket, and
/// `tcp_rcv_state_process()` aborts on data. The first exchange is there to give the client a delayed-ACK time-out
/// of 40 ms, and `TCP_QUICKACK` 0 to make it use it; else its ACK of the FIN might come first.
pub(super) const WRITE_AFTER_PEER_CLOSE_EARLY: Scenario = Scenario {
    id: "write-after-peer-close-early",
    topic: Topic::Close,
    title: "the peer closed; data carries the ACK of its FIN: RST comes back, write EPIPE",
    story: "As write-after-peer-close, but the client writes before its kernel has acknowledged the server's FIN: the \
            data itself carries that acknowledgment. The server is still in FIN-WAIT-1. It answers with the same \
            RST for another reason (data for a socket that nobody owns any more), and the client is told the same: \
            the write succeeds, the next one fails with EPIPE.",
    elsewhere: "RFC 1122 (4.2.2.13) asks every host for this reset, whether or not its FIN has been acknowledged.",
    advice: "Do what write-after-peer-close advises: look before a pooled connection is used again. The two differ in \
             the reason that the kernel gives for the reset, which depends on whether a delayed ACK of a few \
             milliseconds had run out: do not read more into it.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Write(1), returns(1)),
        client(Op::Read(1), returns(1)),
        client(Op::DelayAcks, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinFrom(Role::Server)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Write(1), told_of_reset(Errno::EPIPE, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[answer(
        Role::Server,
        State::CloseWait,
        Sender::Socket,
        "TCP_ABORT_ON_DATA",
    )],
    timing: Some(Timing::DataBeforeAckOfFin),
    ..BASE
};

/// A proof of absence. `tcp_sendmsg_locked()` tests `sk_shutdown & SEND_SHUTDOWN`: the error is the caller's own.
pub(super) const SHUTDOWN_WR_THEN_WRITE: Scenario = Scenario {
    id: "shutdown-wr-then-write",
    topic: Topic::Close,
    title: "own SHUT_WR, then write: EPIPE with no RST anywhere",
    story: "The client shuts its own sending side down and then writes. That fails with EPIPE, and nothing on the \
            wire has a part in it: there is no RST, SO_ERROR is 0, and the connection still works in the other \
            direction. A \"broken pipe\" that nobody else caused.",
    elsewhere: "The same everywhere.",
    advice: "Look for a shutdown(SHUT_WR) in the process that got the EPIPE, often in another thread or in a \
             library that \"closes\" a stream by half.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::ShutdownWrite, returns(0)),
        client(
            Op::Write(1),
            Expect::Fails(Errno::EPIPE, Cause::OwnShutdown),
        ),
        client(Op::SocketError, Expect::ReportsNone),
        server(Op::Read(1), returns(0)),
        server(Op::Write(1), returns(1)),
        client(Op::Read(1), returns(1)),
    ],
    ..BASE
};
