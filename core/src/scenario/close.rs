//! Scenarios of orderly closes, and of writes after one.

use super::{
    Awaited, BASE, Cause, DEAD_WITH_ERROR, Errno, Expect, Listening, OPEN, Op, PEER_CLOSED, Role,
    Scenario, Sender, Step, Target, Timing, Topic, answer, client, dead_since_reset, polls,
    reports, returns, server, told_of_reset, would_block,
};
use crate::flow::State;

/// Control for `close-unread-data`: the same exchange, but the server reads everything before it closes.
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

/// Write to a peer that has closed: RST, and `EPIPE`.
///
/// The data reaches a connection whose owner is gone. The server is in FIN-WAIT-2, reduced to a timewait mini-socket,
/// and `tcp_timewait_state_process()` answers new data with an RST. The RST finds the client in CLOSE-WAIT: `EPIPE`.
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
    // Only the client counts in EstabResets: the server no longer has a full socket.
    counters: &[("OutRsts", 1), ("EstabResets", 1)],
    ..BASE
};

/// Variant of [`WRITE_AFTER_PEER_CLOSE`] in which the client's data is the first to acknowledge the server's FIN.
///
/// The server is still in FIN-WAIT-1, an orphan but a full socket, and `tcp_rcv_state_process()` aborts on data. The
/// first exchange gives the client a delayed-ACK time-out of 40 ms, and `TCP_QUICKACK` 0 makes the client use it.
/// Otherwise its ACK of the FIN might come first.
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
    // Only the client counts in EstabResets: the server closes from FIN-WAIT-1.
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Write after the caller's own `SHUT_WR`: `EPIPE` without an RST.
///
/// `tcp_sendmsg_locked()` tests `sk_shutdown & SEND_SHUTDOWN`, so the error is the caller's own.
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

/// Control for `close-unread-data-sigkill`: without unread data `__tcp_close()` sends FIN, whatever closes the socket.
pub(super) const CLEAN_CLOSE_SIGKILL: Scenario = Scenario {
    id: "clean-close-sigkill",
    topic: Topic::Close,
    title: "control: the process is killed with all data read: FIN, read 0, no RST",
    story: "The server reads all, hands its socket to a child process and closes its own copy. The child is killed \
            with SIGKILL. Nothing is unread, so its kernel sends FIN: a process that was killed looks like one that \
            ended in order.",
    elsewhere: "The same everywhere.",
    advice: "An end of file does not say that the peer meant to end. Only the protocol's own end (a length, a \
            trailer, a close_notify) says that.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(2), returns(2)),
        server(Op::Spawn, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Poll, polls(OPEN)),
        server(Op::Kill, returns(0)),
        Step::Await(Awaited::FinFrom(Role::Server)),
        client(Op::Poll, polls(PEER_CLOSED)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    ..BASE
};

/// Control for `half-closed-then-reset`: `__tcp_close()` does not count the FIN as unread data.
///
/// Before Linux 2.6.37, it did in some versions.
pub(super) const ONLY_FIN_QUEUED: Scenario = Scenario {
    id: "close-only-fin-queued",
    topic: Topic::Close,
    title: "control: only a FIN is unread when the server closes: FIN, no RST",
    story: "The client half-closes without having sent anything; the server closes without reading. A FIN lies in \
            its receive queue, but no data: nothing is lost, and its kernel sends FIN. Both ends have closed in \
            order.",
    elsewhere: "The same everywhere.",
    advice: "Nothing to mend: not every close without a last read() resets.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::ShutdownWrite, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Server)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinFrom(Role::Server)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    ..BASE
};

/// Variant of [`WRITE_AFTER_PEER_CLOSE`] with a queued response, which is read in full despite the RST.
///
/// `tcp_recvmsg_locked()` returns the queued data, then tests `SOCK_DONE` before `sk_err`.
pub(super) const WRITE_AFTER_CLOSE_RESPONSE: Scenario = Scenario {
    id: "write-after-peer-close-response",
    topic: Topic::Close,
    title: "a response and a FIN are queued; write, RST; read gives all, then 0",
    story: "The server answers with three bytes and closes. The client has not read yet and writes: RST. It then \
            reads the whole response, and after it 0 for ever: read() never tells of the reset. SO_ERROR does, with \
            EPIPE.",
    elsewhere: "FreeBSD maps the reset to ECONNRESET even in CLOSE-WAIT, and read() reports it (from memory of its \
            source).",
    advice: "A pipelined request on a connection that the server has closed: the response that is read belongs to the \
            earlier one. The request was lost; send it again on a new connection if that is safe.",
    timing: Some(Timing::DataAfterAckOfFin),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Write(3), returns(3)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(8), returns(3)),
        client(Op::Read(1), returns(0)),
        client(Op::SocketError, reports(Errno::EPIPE, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Server,
        State::CloseWait,
        Sender::Kernel,
        "TCP_TIMEWAIT_SOCKET",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 1)],
    ..BASE
};

/// Variant of [`WRITE_AFTER_PEER_CLOSE`] after FIN-WAIT-2 has expired (`TCP_LINGER2`, else `tcp_fin_timeout`).
///
/// The segment now reaches the listener, which answers a segment with ACK with an RST (`tcp_rcv_state_process()`,
/// `SKB_DROP_REASON_TCP_FLAGS`).
pub(super) const WRITE_AFTER_CLOSE_LATE: Scenario = Scenario {
    id: "write-after-peer-close-late",
    topic: Topic::Close,
    title: "the peer closed long ago, its listener is there: RST, write EPIPE",
    story: "As write-after-peer-close, but the client writes when the server's kernel has forgotten the connection: \
            nothing is left of it but the listener on its port. That gets a segment of a connection it does not \
            know, and answers with RST. The client is told the same; only the kernel's reason is another one.",
    elsewhere: "RFC 9293 (3.10.7.2) asks of every listener to answer an ACK with a reset.",
    advice: "The reason TCP_FLAGS from a listener: the server is up and does not know the connection any more. It was \
            closed long ago, or the server was restarted in between.",
    timing: Some(Timing::DataAfterAckOfFin),
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        // FIN-WAIT-2 lasts one second, instead of the default of 60.
        server(Op::Linger2(1), returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        Step::Await(Awaited::Gone(Role::Server)),
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
        "TCP_FLAGS",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 1)],
    ..BASE
};

/// Variant of [`WRITE_AFTER_CLOSE_LATE`] without a listener: `tcp_v4_rcv()` finds no socket at all.
pub(super) const WRITE_AFTER_CLOSE_GONE: Scenario = Scenario {
    id: "write-after-peer-close-gone",
    topic: Topic::Close,
    title: "the peer closed long ago, and its listener, too: RST, write EPIPE",
    story: "As write-after-peer-close-late, but the server has closed its listener as well. The client's data finds \
            no socket at all, and the kernel answers it by itself.",
    elsewhere: "RFC 9293 (3.10.7.1) asks this of every host.",
    advice: "The reason NO_SOCKET: the host is up, and nothing of the server is left on that port.",
    target: Target::OwnListener(Listening::USUAL),
    timing: Some(Timing::DataAfterAckOfFin),
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        // FIN-WAIT-2 lasts one second, instead of the default of 60.
        server(Op::Linger2(1), returns(0)),
        server(Op::CloseListener, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        Step::Await(Awaited::Gone(Role::Server)),
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
        "NO_SOCKET",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 1)],
    ..BASE
};

/// Read after the caller's own `SHUT_RD`: 0, yet later data is received and read.
///
/// `tcp_shutdown()` does nothing for `RCV_SHUTDOWN`; `tcp_recvmsg_locked()` returns queued data before it returns 0.
pub(super) const SHUTDOWN_RD: Scenario = Scenario {
    id: "shutdown-rd",
    topic: Topic::Close,
    title: "own SHUT_RD: read 0, yet later data is received and read, no RST",
    story: "The client shuts its receiving side down: nothing is sent, and read() gives 0. The server, which cannot \
            know, writes two bytes. They are acknowledged, and the client can read them after all.",
    elsewhere: "The BSDs throw away what comes in after SHUT_RD.",
    advice: "Do not use SHUT_RD to stop a peer from sending: it is told nothing.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::ShutdownRead, returns(0)),
        client(Op::Poll, polls(PEER_CLOSED)),
        client(Op::Read(1), returns(0)),
        server(Op::Write(2), returns(2)),
        Step::Await(Awaited::DataFrom(Role::Server)),
        client(Op::Read(2), returns(2)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    ..BASE
};

/// Read that exceeds `SO_RCVTIMEO`: `EAGAIN`, and the connection stays as it was.
///
/// `sock_rcvtimeo()` bounds `sk_wait_data()`; `tcp_recvmsg_locked()` then returns `-EAGAIN`.
pub(super) const RECEIVE_TIMEOUT: Scenario = Scenario {
    id: "receive-timeout",
    topic: Topic::Close,
    title: "SO_RCVTIMEO runs out: EAGAIN, and the connection is as before",
    story: "The client waits 20 ms for data that does not come: read() fails with EAGAIN. Nothing is on the wire and \
            nothing is wrong with the connection: what the client writes afterwards arrives.",
    elsewhere: "The same on the BSDs and macOS. Windows reports WSAETIMEDOUT.",
    advice: "EAGAIN (also called EWOULDBLOCK, \"resource temporarily unavailable\") from a blocking socket is a \
            time-out of your own, not a failure of the peer.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::ReceiveTimeout(20), returns(0)),
        client(Op::Read(1), would_block(Errno::EAGAIN)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Write(1), returns(1)),
        server(Op::Read(1), returns(1)),
    ],
    ..BASE
};

/// Peer that never reads, and `TCP_USER_TIMEOUT`: `ETIMEDOUT` without an RST.
///
/// `tcp_probe_timer()` compares the time since the window closed with `TCP_USER_TIMEOUT` (Linux 5.11), whether or not
/// the probes are answered. `tcp_write_err()` reports the error and sends nothing.
pub(super) const ZERO_WINDOW: Scenario = Scenario {
    id: "zero-window-user-timeout",
    topic: Topic::Close,
    title: "the peer does not read; TCP_USER_TIMEOUT: ETIMEDOUT, and no RST",
    story: "The client writes more than the server, which does not read, has room for: the window closes. The \
            client's probes are answered, so the server is alive; still TCP_USER_TIMEOUT ends the connection after \
            half a second without progress: ETIMEDOUT. No RST is sent, and the server does not learn of it.",
    elsewhere: "Before Linux 5.11 the probes were let go on. Elsewhere there is no TCP_USER_TIMEOUT, or another one.",
    advice: "ETIMEDOUT from write() with a peer that answers every probe: it is alive and does not read. Look at its \
            Recv-Q in `ss -tn`.",
    unsent: Some(Role::Client),
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::UserTimeout(500), returns(0)),
        client(Op::NonBlocking, returns(0)),
        // More than the buffers of both ends hold, so that the window closes.
        client(Op::Write(16_000_000), Expect::ReturnsSome),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(
            Op::Write(1),
            Expect::Fails(Errno::ETIMEDOUT, Cause::TimedOut),
        ),
        client(Op::Write(1), Expect::Fails(Errno::EPIPE, Cause::TimedOut)),
        client(Op::Read(1), returns(0)),
    ],
    // Only the client counts in EstabResets: the server does not learn of the failure.
    counters: &[("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Write to a Multipath TCP peer that has closed: success without an RST.
///
/// `mptcp_close()` sends `DATA_FIN` instead of FIN (RFC 8684, 3.3.3). The subflow stays open, and its kernel
/// acknowledges received data while the connection is in FIN-WAIT-2.
pub(super) const MPTCP_WRITE_AFTER_CLOSE: Scenario = Scenario {
    id: "mptcp-write-after-peer-close",
    topic: Topic::Close,
    title: "Multipath TCP, the peer closed: the writes succeed, no RST",
    story: "The server accepts and closes. Multipath TCP ends the connection with a DATA_FIN, an option of a segment \
            without FIN: the client reads the end of file. It writes, and writes again: the subflow is open, the \
            server's kernel acknowledges the data though nobody is left to read it, and both writes succeed. No RST, \
            no error.",
    elsewhere: "Only Linux (5.6 and later) has IPPROTO_MPTCP; macOS has Multipath TCP under another interface.",
    advice: "Over Multipath TCP a write to a peer that has closed does not fail for as long as its kernel keeps \
             what is left of the connection. An acknowledgment does not mean that an application got it: watch for the \
             end of file.",
    target: Target::OwnListener(Listening::USUAL),
    multipath: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), returns(1)),
        client(Op::Write(1), returns(1)),
        client(Op::Poll, polls(PEER_CLOSED)),
    ],
    resets: &[],
    counters: &[],
    ..BASE
};
