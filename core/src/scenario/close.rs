//! Scenarios of orderly closes, and of writes after one.

use super::notation::{
    DEAD_WITH_ERROR, OPEN, PEER_CLOSED, answer, client, fails_after_reset, fails_from_reset, polls,
    returns, server, so_error_from_reset, would_block,
};
use super::{
    Awaited, BASE, Errno, Expect, ExpectedCause, Listening, Op, Role, Scenario, Sender, Step,
    Target, Timing, Topic,
};
use crate::flow::State;

/// Control for `close-unread-data`: the same exchange, but the server reads everything before it closes.
pub(super) const CLEAN_CLOSE_EOF: Scenario = Scenario {
    id: "clean-close-eof",
    topic: Topic::Close,
    title: "control: the server reads all, then closes: FIN, read 0, no error, no RST",
    story: "The client sends two bytes, the server reads both and closes. Nothing is lost, so its kernel sends a FIN, \
            the client's read() returns 0, and there is no error and no RST. This is the control for \
            close-unread-data.",
    elsewhere: "All systems do this.",
    advice: "Nothing to fix: this is how a connection should end.",
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
    story: "The server closes cleanly: FIN, and the client's kernel acknowledges it. The client program has not \
            noticed, because it does not read, and writes. This write succeeds: TCP allows sending after the peer's \
            FIN. But the server's socket is closed, so its kernel replies to the data with an RST. The client was in \
            CLOSE-WAIT, so the error is EPIPE and never ECONNRESET; the second write reports it.",
    elsewhere: "RFC 1122 (4.2.2.13) requires this reset of every host. FreeBSD maps it to ECONNRESET even in \
                CLOSE-WAIT (from memory of its source, not measured).",
    advice: "The usual cause of \"broken pipe\" on a kept-alive connection: the server's idle timeout closed it. Read \
             (or poll for POLLRDHUP) before reusing a pooled connection, keep client timeouts shorter than the \
             server's, and retry only what is safe to repeat: the first write succeeded, but its data was lost.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
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
/// first exchange gives the client a delayed-ACK timeout of 40 ms, and `TCP_QUICKACK` 0 makes the client use it.
/// Otherwise its ACK of the FIN might come first.
pub(super) const WRITE_AFTER_PEER_CLOSE_EARLY: Scenario = Scenario {
    id: "write-after-peer-close-early",
    topic: Topic::Close,
    title: "the peer closed; data carries the ACK of its FIN: RST comes back, write EPIPE",
    story: "Like write-after-peer-close, but the client writes before its kernel has acknowledged the server's FIN: \
            the data segment carries this acknowledgment. The server is still in FIN-WAIT-1. It replies with the same \
            RST but another reason (data for a closed socket), and the client sees the same: the write succeeds, the \
            next one fails with EPIPE.",
    elsewhere: "RFC 1122 (4.2.2.13) requires this reset of every host, whether or not its FIN has been acknowledged.",
    advice: "Follow write-after-peer-close: check a pooled connection before reusing it. The two scenarios differ \
             only in the kernel's reason for the reset, which depends on whether the client sends its delayed ACK \
             (after a few milliseconds) or its data first.",
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
        client(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
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
    story: "The client shuts down its own sending side and then writes. The write fails with EPIPE for a purely local \
            reason: there is no RST, SO_ERROR is 0, and the connection still works in the other direction.",
    elsewhere: "All systems do this.",
    advice: "Look for shutdown(SHUT_WR) in the process that got EPIPE, often in another thread or in a library that \
             half-closes streams.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::ShutdownWrite, returns(0)),
        client(
            Op::Write(1),
            Expect::Fails(Errno::EPIPE, ExpectedCause::OwnShutdown),
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
    story: "The server reads everything, passes its socket to a child process and closes its own copy. The child is \
            killed with SIGKILL. Nothing is unread, so the kernel sends a FIN: a killed process looks like one that \
            closed cleanly.",
    elsewhere: "All systems do this.",
    advice: "An end of file does not mean that the peer intended to end. Only the protocol's own end marker (a \
             length, a trailer, a close_notify) shows that.",
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
    story: "The client half-closes without having sent anything; the server closes without reading. Its receive queue \
            holds a FIN but no data: nothing is lost, and its kernel sends a FIN. Both ends have closed cleanly.",
    elsewhere: "All systems do this.",
    advice: "Nothing to fix: a close without a last read() does not always reset.",
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
    title: "a response and a FIN are queued; write, RST; read returns all, then 0",
    story: "The server answers with three bytes and closes. The client has not read yet and writes: RST. It then \
            reads the whole response, and every later read returns 0: read() never reports the reset. SO_ERROR does, \
            with EPIPE.",
    elsewhere: "FreeBSD maps the reset to ECONNRESET even in CLOSE-WAIT, and read() reports it (from memory of its \
            source).",
    advice: "A request was pipelined on a connection that the server had closed: the response belongs to the earlier \
             request. The later request was lost; send it again on a new connection if that is safe.",
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
        client(Op::SocketError, so_error_from_reset(Errno::EPIPE, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
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
    story: "Like write-after-peer-close, but the client writes after the server's kernel has dropped all state of the \
            connection; only the listener on its port is left. The listener receives a segment of an unknown \
            connection and replies with an RST. The client sees the same; only the kernel's reason differs.",
    elsewhere: "RFC 9293 (3.10.7.2) requires every listener to reply to an ACK with an RST.",
    advice: "The reason TCP_FLAGS from a listener means that the server is up and no longer knows the connection: it \
             was closed long ago, or the server was restarted.",
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
        client(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
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
    title: "the peer and its listener closed long ago: RST, write EPIPE",
    story: "Like write-after-peer-close-late, but the server has closed its listener as well. No socket matches the \
            client's data, and the kernel itself replies.",
    elsewhere: "RFC 9293 (3.10.7.1) requires this of every host.",
    advice: "The reason NO_SOCKET means that the host is up, and that no socket of the server is left on this port.",
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
        client(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
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
    title: "own SHUT_RD: read 0, but later data is received and read, no RST",
    story: "The client shuts down its receiving side: nothing is sent, and read() returns 0. The server does not \
            notice and writes two bytes. They are acknowledged, and the client can still read them.",
    elsewhere: "The BSDs discard data that arrives after SHUT_RD.",
    advice: "Do not use SHUT_RD to stop a peer from sending: nothing is sent to the peer.",
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
    title: "SO_RCVTIMEO expires: EAGAIN, and the connection goes on",
    story: "The client waits 20 ms for data that does not come: read() fails with EAGAIN. Nothing is sent, and the \
            connection is intact: data that the client writes afterwards arrives.",
    elsewhere: "The BSDs and macOS do the same. Windows reports WSAETIMEDOUT.",
    advice: "EAGAIN (also called EWOULDBLOCK, \"resource temporarily unavailable\") from a blocking socket is your \
             own timeout, not a failure of the peer.",
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
            server's host answers the client's probes, so it is alive; TCP_USER_TIMEOUT still ends the connection \
            after half a second without progress: ETIMEDOUT. No RST is sent, and the server does not notice.",
    elsewhere: "Before Linux 5.11 the probes continued. Other systems have no TCP_USER_TIMEOUT, or a different one.",
    advice: "ETIMEDOUT from write() while the peer answers every probe: the peer is alive but does not read. Check \
             its Recv-Q in `ss -tn`.",
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
            Expect::Fails(Errno::ETIMEDOUT, ExpectedCause::TimedOut),
        ),
        client(
            Op::Write(1),
            Expect::Fails(Errno::EPIPE, ExpectedCause::TimedOut),
        ),
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
    story: "The server accepts and closes. Multipath TCP ends the connection with a DATA_FIN, an option in a segment \
            without FIN: the client reads the end of file. The client writes twice: the subflow is open, the server's \
            kernel acknowledges the data although its socket is closed, and both writes succeed. There is no RST and \
            no error.",
    elsewhere: "Only Linux (5.6 and later) has IPPROTO_MPTCP; macOS has Multipath TCP under another interface.",
    advice: "Over Multipath TCP, a write to a closed peer does not fail as long as the peer's kernel keeps state of \
             the connection. An acknowledgment does not mean that the application received the data: check for the \
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
