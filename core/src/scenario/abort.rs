//! Scenarios in which one end aborts an established connection.

use super::notation::{
    DEAD_WITH_ERROR, FAST_OPEN, OPEN, UNCONNECTED_WITH_ERROR, abort, answer, client,
    fails_after_reset, fails_from_reset, polls, returns, server,
};
use super::{
    Awaited, BASE, Errno, Expect, ExpectedCause, ExpectedReset, Listening, On, Op, Otherwise, Role,
    Scenario, Sender, Step, Target, Topic,
};
use crate::flow::State;
use crate::history;

const ABORTED_BY_SERVER: &[ExpectedReset] = &[abort(
    Role::Server,
    State::Established,
    "TCP_ABORT_ON_CLOSE",
)];

const ABORTED_AFTER_FIN: &[ExpectedReset] =
    &[abort(Role::Server, State::CloseWait, "TCP_ABORT_ON_CLOSE")];

/// Close of a server socket with unread data: RST instead of FIN.
///
/// `close()` with bytes in the receive queue aborts: `__tcp_close()` calls `tcp_send_active_reset()`, as RFC 2525 2.17
/// asks, so that the peer learns that its data was lost.
pub(super) const CLOSE_UNREAD_DATA: Scenario = Scenario {
    id: "close-unread-data",
    topic: Topic::Abort,
    title: "the server closes with a byte unread; the client reads: ECONNRESET",
    story: "The client sends two bytes. The server reads one and closes. The other byte is still in the server's \
            receive queue, so the kernel must not signal a clean close: it sends an RST instead of a FIN (RFC 2525, \
            2.17). The client's next read() fails with ECONNRESET. The error is reported once: after that, read() \
            returns 0 and write() fails with EPIPE.",
    elsewhere: "macOS aborts as well. FreeBSD sends a FIN and resets only when more data arrives.",
    advice: "The server closed without reading everything: often it answered early (413, authentication failed) or \
             stopped at a length limit. Make it read to the end, or call shutdown(SHUT_WR) and drain before close(). \
             Data that the server sent just before may be lost with the reset.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: ABORTED_BY_SERVER,
    // Both ends count in EstabResets: they share a namespace, and each closes from ESTABLISHED.
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Variant of [`CLOSE_UNREAD_DATA`] in which the client's first call after the RST is a write.
///
/// `tcp_sendmsg_locked()` returns `sk_err` (`ECONNRESET`) if it is set, and `EPIPE` only after the error was taken
/// (`sk_stream_error()`).
pub(super) const CLOSE_UNREAD_DATA_WRITE: Scenario = Scenario {
    id: "close-unread-data-write",
    topic: Topic::Abort,
    title: "the server closes with a byte unread; the client writes: ECONNRESET, then EPIPE",
    story: "Like close-unread-data, but the client's first call after the reset is write(). On Linux this write fails \
            with ECONNRESET, the error that the RST set on the socket. Only the next write fails with EPIPE (\"broken \
            pipe\"): the error has been reported by then, and the socket can no longer send.",
    elsewhere: "The best-known article about this experiment reports \"broken pipe\" for the first write, because it \
                was written on macOS. macOS and FreeBSD check whether the socket can still send before they check its \
                error, so the first write fails with EPIPE. Linux checks the error first.",
    advice: "Handle ECONNRESET and EPIPE from a write in the same way: which one comes first depends on the system \
             and on the call before it. Neither tells how much of the data arrived.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Write(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
        client(Op::Read(1), returns(0)),
    ],
    resets: ABORTED_BY_SERVER,
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// RST after a FIN: reads return 0, and `SO_ERROR` reports `EPIPE`.
///
/// `tcp_reset()` maps an RST in CLOSE-WAIT to `EPIPE`. `tcp_recvmsg_locked()` tests `SOCK_DONE` before `sk_err`, so no
/// read ever reports the error.
///
/// The close waits for the ACK of the FIN. That ACK is delayed, and `__tcp_close()` removes the socket from the hash
/// table before it sends the RST: an ACK that arrives in between finds no socket and triggers a passive RST ahead of
/// the active one. Without the wait, this happens once in some 20,000 trials.
pub(super) const FIN_THEN_RESET: Scenario = Scenario {
    id: "fin-then-reset",
    topic: Topic::Abort,
    title: "the RST comes after a FIN: read 0, SO_ERROR EPIPE, write EPIPE",
    story: "The server half-closes (FIN) with a byte unread, then closes: RST. The FIN put the client into \
            CLOSE-WAIT, and in that state the kernel maps a reset to EPIPE instead of ECONNRESET. read() never \
            reports the reset: after the FIN it always returns 0. SO_ERROR reports EPIPE once, and write() fails with \
            EPIPE.",
    elsewhere: "FreeBSD maps a reset in CLOSE-WAIT to ECONNRESET, so read() reports it there (from memory of its \
                source, not measured).",
    advice: "A reader that sees a clean end of file may still have lost data: check SO_ERROR, or check the length \
             that the protocol announces.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::ShutdownWrite, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), returns(0)),
        client(
            Op::SocketError,
            Expect::Reports(Errno::EPIPE, ExpectedCause::Reset(0)),
        ),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Read(1), returns(0)),
    ],
    resets: ABORTED_AFTER_FIN,
    // Only the client counts in EstabResets: the server closes from FIN-WAIT-2.
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Variant of [`FIN_THEN_RESET`] in which a write comes first and reports the error.
///
/// `sk_stream_error()` returns `sock_error()`, which is `EPIPE` here too, and clears it.
pub(super) const FIN_THEN_RESET_WRITE: Scenario = Scenario {
    id: "fin-then-reset-write",
    topic: Topic::Abort,
    title: "the RST comes after a FIN, and a write reports it: EPIPE at once",
    story: "Like fin-then-reset, but the client's first call that can report the error is write(). It fails with \
            EPIPE: this is the one case in which the first write after an RST reports \"broken pipe\" on Linux. The \
            write has reported the error, so SO_ERROR is 0 afterwards.",
    elsewhere: "On FreeBSD and macOS the first write fails with EPIPE after any reset, with or without a FIN before \
                it.",
    advice: "On Linux, EPIPE without an earlier ECONNRESET means that a FIN came first (or that this process shut \
             down its own sending side): the peer ended the connection, and this side kept writing.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::ShutdownWrite, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: ABORTED_AFTER_FIN,
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Close with `SO_LINGER {1, 0}`: RST instead of FIN. `__tcp_close()` calls `tcp_disconnect()`, which sends the RST.
pub(super) const LINGER_ZERO_CLOSE: Scenario = Scenario {
    id: "linger-zero-close",
    topic: Topic::Abort,
    title: "SO_LINGER 0, close: RST instead of FIN, ECONNRESET",
    story: "The server sets SO_LINGER to {on, 0 seconds} and closes. This requests an abortive close: an RST at once, \
            no FIN, unsent data discarded, no TIME-WAIT. The client's next read() fails with ECONNRESET, and the one \
            after it returns 0.",
    elsewhere: "The BSDs, macOS and Windows do the same.",
    advice: "Look for SO_LINGER with zero seconds in the peer. Load balancers and connection pools set it to avoid \
             TIME-WAIT, and can lose the end of responses that way.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    // The reason is TCP_STATE because tcp_disconnect() sends the RST, whatever made close() call it.
    resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
    // TCPAbortOnData counts a close with SO_LINGER 0, with or without unsent data.
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Variant of [`CLOSE_UNREAD_DATA`] with data that was only peeked at: `MSG_PEEK` does not advance `copied_seq`.
pub(super) const CLOSE_PEEKED_DATA: Scenario = Scenario {
    id: "close-peeked-data",
    topic: Topic::Abort,
    title: "the server only peeks at the data, then closes: RST, ECONNRESET",
    story: "The server looks at the two bytes with MSG_PEEK and closes. Peeking does not remove data from the receive \
            queue, so close() aborts.",
    elsewhere: "macOS aborts as well. FreeBSD sends a FIN and resets only when more data arrives.",
    advice: "Protocol detectors (TLS or not?) that peek and give up must read what they peeked at before they close.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Peek(2), returns(2)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Variant of [`CLOSE_UNREAD_DATA`] with an urgent byte: it is in the receive queue although a plain `read` skips it.
pub(super) const CLOSE_URGENT_DATA: Scenario = Scenario {
    id: "close-urgent-data",
    topic: Topic::Abort,
    title: "only an urgent byte is unread when the server closes: RST, ECONNRESET",
    story: "The client sends one byte of urgent data (MSG_OOB). A normal read does not return this byte, and the \
            server may not know about it. It is in the receive queue anyway, and close() aborts.",
    elsewhere: "Not measured on other systems.",
    advice: "Urgent data is rare (telnet, FTP ABOR). A server that never reads it resets every connection that uses \
            it.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::WriteUrgent, returns(1)),
        Step::Await(Awaited::DataFrom(Role::Client)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Close of a socket that two processes hold: only the last close aborts.
///
/// `__tcp_close()` runs when the last descriptor is closed (`sock_release()` from `fput()`), so a copy in another
/// process keeps the connection open.
pub(super) const CLOSE_UNREAD_SHARED: Scenario = Scenario {
    id: "close-unread-data-shared",
    topic: Topic::Abort,
    title: "two processes hold the socket: only the last close aborts",
    story: "A child process has a copy of the server's socket. The child is killed with a byte unread, and nothing is \
            sent: the server still holds the socket. The server's own close() is the last one, and it aborts.",
    elsewhere: "All systems on which processes inherit descriptors do this.",
    advice: "If connections stay open after close(), or are reset long after it, a child process has inherited the \
             socket. Open sockets with SOCK_CLOEXEC; `ss -tnp` shows which processes hold them.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Spawn, returns(0)),
        server(Op::Kill, returns(0)),
        // The close in the child is not the last one.
        client(Op::Poll, polls(OPEN)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Kill of the process that holds a socket with unread data: RST.
///
/// `do_exit()` closes descriptors with `exit_files()`, and `__tcp_close()` runs as it does for `close(2)`.
pub(super) const CLOSE_UNREAD_SIGKILL: Scenario = Scenario {
    id: "close-unread-data-sigkill",
    topic: Topic::Abort,
    title: "the process that holds the socket is killed with data unread: RST",
    story: "The server passes its socket to a child process and closes its own copy, which sends nothing. The child \
            is killed with SIGKILL. The kernel closes its descriptors, finds a byte unread, and aborts the \
            connection: the client gets ECONNRESET.",
    elsewhere: "As for close(): macOS aborts, FreeBSD sends a FIN.",
    advice: "A crash or an OOM kill shows as a reset only if data was unread; otherwise the peer sees a clean end of \
             file. Neither proves how the server ended; check its log.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Spawn, returns(0)),
        server(Op::Close, returns(0)),
        // The close in the parent is not the last one.
        client(Op::Poll, polls(OPEN)),
        server(Op::Kill, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Variant of [`CLOSE_UNREAD_SIGKILL`] in which the process exits: `exit_group(2)` ends in the same `do_exit()`.
pub(super) const CLOSE_UNREAD_EXIT: Scenario = Scenario {
    id: "close-unread-data-exit",
    topic: Topic::Abort,
    title: "the process that holds the socket exits with data unread: RST",
    story: "Like close-unread-data-sigkill, but the child exits on SIGTERM by itself, without calling close(). The \
            kernel closes its descriptors, finds a byte unread, and aborts the connection.",
    elsewhere: "As for close(): macOS aborts, FreeBSD sends a FIN.",
    advice: "A server that exits as soon as it is asked to stop resets every connection that has an unread request. \
             Make it stop accepting, answer what it has, and read to the end before it exits.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Spawn, returns(0)),
        server(Op::Close, returns(0)),
        // The close in the parent is not the last one.
        client(Op::Poll, polls(OPEN)),
        server(Op::Terminate, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Variant of [`CLOSE_UNREAD_DATA`] with a response that is queued before the RST.
///
/// Data that the client has received stays in its receive queue, and `tcp_recvmsg_locked()` returns it before the
/// error.
pub(super) const CLOSE_UNREAD_RESPONSE: Scenario = Scenario {
    id: "close-unread-data-response",
    topic: Topic::Abort,
    title: "a response is queued before the RST: read returns all of it, then ECONNRESET",
    story: "The server answers with three bytes and closes while one of the client's bytes is unread. The response \
            arrives before the RST. The client reads the whole response; only the read after it fails with \
            ECONNRESET.",
    elsewhere: "Windows discards data that was received before a reset (from memory, not measured).",
    advice: "Read the response before giving up: an early answer such as 413 or 401 is often there. It is lost only \
             if it had not been sent or received yet when the server aborted, so a server should call \
             shutdown(SHUT_WR) and drain.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Write(3), returns(3)),
        // No ACK may be in flight when the server closes: it would find no socket and trigger an RST of its own.
        Step::Await(Awaited::Acknowledged(Role::Server)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(8), returns(3)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Variant of [`LINGER_ZERO_CLOSE`] with unsent data.
///
/// `tcp_disconnect()` discards the send queue; the RST carries the number after the last byte sent.
pub(super) const LINGER_ZERO_UNSENT: Scenario = Scenario {
    id: "linger-zero-unsent",
    topic: Topic::Abort,
    title: "SO_LINGER 0 with data unsent: what was sent is read, then ECONNRESET",
    story: "The client's receive buffer is small. The server writes more than fits, sets SO_LINGER to zero and \
            closes. Data that is still in the send queue is discarded. The client reads what was sent, then gets \
            ECONNRESET instead of an end of file.",
    elsewhere: "The BSDs and macOS do the same. Windows also discards data that was already received.",
    advice: "If downloads are truncated and end with a reset, look for SO_LINGER with zero seconds on the sending \
             side.",
    unsent: Some(Role::Server),
    steps: &[
        // Small, so that some of the server's data stays unsent.
        client(Op::ReceiveBuffer(4096), returns(0)),
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Write(60_000), returns(60_000)),
        Step::Await(Awaited::Acknowledged(Role::Server)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(60_000), Expect::ReturnsSome),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Disconnect of a connected socket with `AF_UNSPEC`: RST, and `ECONNRESET` at both ends.
///
/// `tcp_disconnect()` sends an RST if `tcp_need_reset()` requires one in that state, and leaves `ECONNRESET` on its own
/// socket.
pub(super) const DISCONNECT: Scenario = Scenario {
    id: "disconnect-af-unspec",
    topic: Topic::Abort,
    title: "connect(AF_UNSPEC) on a connected socket: RST, and ECONNRESET at both ends",
    story: "The server disconnects its socket with connect(AF_UNSPEC). Its kernel sends an RST, and the client gets \
            ECONNRESET. So does the server itself, from SO_ERROR, although it received no RST; its socket is then \
            unconnected and can be used again.",
    elsewhere: "On the BSDs, connect() with AF_UNSPEC works on datagram sockets only.",
    advice: "Programs rarely do this on purpose, but connection pools and language runtimes that reuse descriptors \
             do. The kernel's reason is TCP_STATE, as for SO_LINGER 0.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Disconnect, returns(0)),
        server(Op::Poll, polls(UNCONNECTED_WITH_ERROR)),
        server(
            Op::SocketError,
            Expect::Reports(Errno::ECONNRESET, ExpectedCause::OwnDisconnect),
        ),
        server(
            Op::Read(1),
            Expect::Fails(Errno::ENOTCONN, ExpectedCause::OwnDisconnect),
        ),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Disconnect with `AF_UNSPEC` in LAST-ACK with unsent data: RST.
///
/// In LAST-ACK or CLOSING, `tcp_disconnect()` sends an RST only if SND.NXT has not reached the end of the written data
/// (`TCP_DISCONNECT_WITH_DATA`).
pub(super) const DISCONNECT_WITH_DATA: Scenario = Scenario {
    id: "disconnect-with-data",
    topic: Topic::Abort,
    title: "connect(AF_UNSPEC) in LAST-ACK with data unsent: RST, ECONNRESET",
    story: "The server half-closes. The client writes more than the server's window allows, and shuts down its \
            sending side: its FIN waits behind the unsent data, in LAST-ACK. Then the client disconnects the socket. \
            Data is lost, so its kernel sends an RST; the server reads what was sent and then gets ECONNRESET.",
    elsewhere: "On the BSDs, connect() with AF_UNSPEC works on datagram sockets only.",
    advice: "The kernel's reason is TCP_DISCONNECT_WITH_DATA: an end that was closing gave up before all of its data \
             was sent.",
    unsent: Some(Role::Client),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::ShutdownWrite, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        client(Op::NonBlocking, returns(0)),
        client(Op::Write(8_000_000), Expect::ReturnsSome),
        Step::Await(Awaited::Acknowledged(Role::Client)),
        client(Op::ShutdownWrite, returns(0)),
        client(Op::Disconnect, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        server(Op::Read(8_000_000), Expect::ReturnsSome),
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        server(Op::Read(1), returns(0)),
        server(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[abort(
        Role::Client,
        State::FinWait2,
        "TCP_DISCONNECT_WITH_DATA",
    )],
    // Neither end counts in EstabResets: the client closes from LAST-ACK, the server from FIN-WAIT-2.
    counters: &[("OutRsts", 1)],
    ..BASE
};

/// Blocked read that the RST wakes: `ECONNRESET`. `tcp_reset()` wakes the sleeper in `sk_wait_data()`, which finds
/// `sk_err`.
pub(super) const BLOCKED_READER: Scenario = Scenario {
    id: "reset-blocked-reader",
    topic: Topic::Abort,
    title: "the RST wakes a blocked read: ECONNRESET",
    story: "The client is blocked in read() when the server closes with a byte unread. The RST wakes it, and this \
            read() fails with ECONNRESET.",
    elsewhere: "The BSDs and macOS do the same where close() aborts.",
    advice: "A blocked call reports the reset at once; otherwise the next call reports it.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        Step::Begin(
            Role::Client,
            Op::Read(1),
            fails_from_reset(Errno::ECONNRESET, 0),
        ),
        server(Op::Close, returns(0)),
        Step::End(Role::Client),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Server blocked in read while the client aborts: `ECONNRESET` from `read()`, although the server did nothing.
///
/// With `SO_LINGER {1, 0}`, `__tcp_close()` calls `tcp_disconnect()`, which sends the RST (RFC 9293, 3.10.5: ABORT).
/// `tcp_reset()` sets `sk_err` and wakes the reader in `sk_wait_data()`; `tcp_recvmsg_locked()` returns the error.
pub(super) const LINGER_ZERO_BLOCKED_READER: Scenario = Scenario {
    id: "linger-zero-blocked-reader",
    topic: Topic::Abort,
    title: "the client aborts (SO_LINGER 0) while the server waits in read: ECONNRESET",
    story: "The server waits in read() for a request. The client sets SO_LINGER to {on, 0 seconds} and closes, so its \
            kernel sends RST instead of FIN. The RST wakes the server, and its read() fails with ECONNRESET. With FIN \
            that read() would have returned 0.",
    elsewhere: "The same on the BSDs, macOS and Windows.",
    advice: "A server that logs ECONNRESET from read() on an idle connection met a client that aborted instead of \
             closing: health checks, load balancers and connection pools do that. Nothing was lost if no request was \
             under way; treat it like the end of the stream.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        Step::Begin(
            Role::Server,
            Op::Read(1),
            fails_from_reset(Errno::ECONNRESET, 0),
        ),
        client(Op::LingerZero, returns(0)),
        client(Op::Close, returns(0)),
        Step::End(Role::Server),
        server(Op::Read(1), returns(0)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    // As in LINGER_ZERO_CLOSE, tcp_disconnect() sends the RST, and a close with SO_LINGER 0 counts in TCPAbortOnData.
    resets: &[abort(Role::Client, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Blocked write that the RST wakes: a partial write, then `ECONNRESET`.
///
/// `tcp_sendmsg_locked()` returns the number of bytes copied so far and leaves the error for the next call.
pub(super) const BLOCKED_WRITER: Scenario = Scenario {
    id: "reset-blocked-writer",
    topic: Topic::Abort,
    title: "the RST wakes a blocked write: a short count, then ECONNRESET",
    story: "The client is blocked in a write() that is larger than all buffers when the server closes without having \
            read anything. The RST wakes it. The write returns the number of bytes that were copied; the next write \
            fails with ECONNRESET.",
    elsewhere: "On the BSDs and macOS the next write fails with EPIPE.",
    advice: "A short count is not an error, and it does not mean that the rest can be sent: the next write in the \
             loop fails. The bytes that were counted as written may be lost with the reset.",
    unsent: Some(Role::Client),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        Step::Begin(Role::Client, Op::Write(16_000_000), Expect::ReturnsSome),
        Step::Await(Awaited::Acknowledged(Role::Client)),
        server(Op::Close, returns(0)),
        Step::End(Role::Client),
        client(Op::Write(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
        client(Op::Read(1), returns(0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// RST to a client that has sent FIN: `ECONNRESET`.
///
/// `tcp_reset()` maps FIN-WAIT-2 as it maps ESTABLISHED: only a *received* FIN makes the error `EPIPE`.
pub(super) const HALF_CLOSED: Scenario = Scenario {
    id: "half-closed-then-reset",
    topic: Topic::Abort,
    title: "the client has sent FIN when the RST comes: ECONNRESET",
    story: "The client writes two bytes and half-closes. The server reads one and closes: RST. The client, in \
            FIN-WAIT-2, gets ECONNRESET: its own FIN makes no difference. Only a FIN from the peer would have made \
            the error EPIPE.",
    elsewhere: "The BSDs and macOS do the same where close() aborts.",
    advice: "See close-unread-data. Ending the request properly with a FIN does not prevent the reset.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        client(Op::ShutdownWrite, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Server)),
        server(Op::Read(1), returns(1)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Server, State::FinWait2, "TCP_ABORT_ON_CLOSE")],
    // Only the server counts in EstabResets: the client closes from FIN-WAIT-2.
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Write to a server that has shut down both sides: RST, and an error at both ends.
///
/// In FIN-WAIT-2 with `RCV_SHUTDOWN`, `tcp_rcv_state_process()` answers new data with an RST and calls `tcp_reset()` on
/// its own socket, as if that RST had been received.
pub(super) const SHUTDOWN_RDWR_PEER_WRITES: Scenario = Scenario {
    id: "shutdown-rdwr-then-peer-write",
    topic: Topic::Abort,
    title: "the server shuts both sides down, the client writes: RST, errors on both",
    story: "The server calls shutdown(SHUT_RDWR) and keeps the socket. The client, in CLOSE-WAIT, writes: the write \
            succeeds, the server's kernel replies with an RST, and the next write fails with EPIPE. The server's own \
            socket is reset as well: its SO_ERROR is ECONNRESET, although it received no RST but sent one.",
    elsewhere: "The BSDs discard the data and send no RST (from memory, not measured).",
    advice: "ECONNRESET on the side that sent the RST: look for shutdown(SHUT_RDWR), or SHUT_WR and SHUT_RD, in that \
             process.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::ShutdownBoth, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        server(
            Op::SocketError,
            Expect::Reports(Errno::ECONNRESET, ExpectedCause::OwnReset(0)),
        ),
        client(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
        client(Op::Read(1), returns(0)),
    ],
    resets: &[answer(
        Role::Server,
        State::CloseWait,
        Sender::Socket,
        "TCP_ABORT_ON_DATA",
    )],
    // Only the client counts in EstabResets: the server closes from FIN-WAIT-2.
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Mirror of [`SHUTDOWN_RDWR_PEER_WRITES`], in which the client shuts down both sides.
pub(super) const SHUTDOWN_RDWR_OWN: Scenario = Scenario {
    id: "shutdown-rdwr-own",
    topic: Topic::Abort,
    title: "the client shuts down both sides, the server writes: the client resets itself",
    story: "The client calls shutdown(SHUT_RDWR) and keeps the socket; the server writes. The client's kernel replies \
            with an RST and closes its own socket: SO_ERROR is ECONNRESET, a \"reset by peer\" that the peer did not \
            send. The server's next write fails with EPIPE.",
    elsewhere: "The BSDs discard the data and send no RST (from memory, not measured).",
    advice: "Before blaming the peer for ECONNRESET, check which side sent the RST. Here it is the side that reports \
             the error.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::ShutdownBoth, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Server)),
        server(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        client(
            Op::SocketError,
            Expect::Reports(Errno::ECONNRESET, ExpectedCause::OwnReset(0)),
        ),
        client(
            Op::Write(1),
            Expect::Fails(Errno::EPIPE, ExpectedCause::OwnShutdown),
        ),
        client(Op::Read(1), returns(0)),
        server(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Client,
        State::CloseWait,
        Sender::Socket,
        "TCP_ABORT_ON_DATA",
    )],
    // Only the server counts in EstabResets: the client closes from FIN-WAIT-2.
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Close in FIN-WAIT-2 with a negative `TCP_LINGER2`: RST.
///
/// `__tcp_close()` calls `tcp_send_active_reset()` instead of waiting for the other FIN.
pub(super) const LINGER2_HALF_CLOSED: Scenario = Scenario {
    id: "linger2-negative-half-closed",
    topic: Topic::Abort,
    title: "TCP_LINGER2 -1: FIN acknowledged, then close: RST, EPIPE",
    story: "The server sets TCP_LINGER2 to -1, half-closes, and closes after its FIN was acknowledged. With this \
            setting it does not wait in FIN-WAIT-2 for the client's FIN: its kernel sends an RST. The client, in \
            CLOSE-WAIT, reads 0, and its write fails with EPIPE.",
    elsewhere: "Only Linux has TCP_LINGER2.",
    advice: "Look for TCP_LINGER2 in the peer; servers set it to avoid many sockets in FIN-WAIT-2. The kernel's \
             reason TCP_ABORT_ON_LINGER means this option, not SO_LINGER.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Linger2(-1), returns(0)),
        server(Op::ShutdownWrite, returns(0)),
        Step::Await(Awaited::FinAckedBy(Role::Client)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[abort(Role::Server, State::CloseWait, "TCP_ABORT_ON_LINGER")],
    // Only the client counts in EstabResets: the server closes from FIN-WAIT-2.
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnLinger", 1)],
    ..BASE
};

/// Close with a negative `TCP_LINGER2`: the ACK of the FIN is answered with an RST.
///
/// In `tcp_rcv_state_process()` the ACK finds an orphan in FIN-WAIT-1 with a negative `TCP_LINGER2`: `tcp_done()`, and
/// the RST answers the ACK.
pub(super) const LINGER2: Scenario = Scenario {
    id: "linger2-negative",
    topic: Topic::Abort,
    title: "TCP_LINGER2 -1, close: RST in reply to the ACK of the FIN, EPIPE",
    story: "The server sets TCP_LINGER2 to -1 and closes: FIN. When the client acknowledges the FIN, the server's \
            kernel drops the connection and replies to this ACK with an RST. The client did nothing wrong; it is in \
            CLOSE-WAIT and gets EPIPE.",
    elsewhere: "Only Linux has TCP_LINGER2.",
    advice: "An RST in reply to a bare ACK of a FIN: look for TCP_LINGER2. The kernel's reason is TCP_ABORT_ON_DATA, \
             although there was no data.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Linger2(-1), returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_from_reset(Errno::EPIPE, 0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[answer(
        Role::Server,
        State::CloseWait,
        Sender::Socket,
        "TCP_ABORT_ON_DATA",
    )],
    // Only the client counts in EstabResets: the server closes from FIN-WAIT-1.
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Variant of [`CLOSE_UNREAD_DATA`] after `SHUT_RD`: data is still received and queued, so `__tcp_close()` finds it.
pub(super) const SHUTDOWN_RD_CLOSE: Scenario = Scenario {
    id: "shutdown-rd-then-close",
    topic: Topic::Abort,
    title: "own SHUT_RD, data still arrives, close: RST",
    story: "The client shuts down its receiving side, which sends nothing. The server writes; the bytes are received \
            and queued as usual. The client closes with these bytes unread: RST, and the server gets ECONNRESET.",
    elsewhere: "The BSDs discard data that arrives after SHUT_RD, so nothing is unread when the socket is closed.",
    advice: "SHUT_RD does not refuse data. Read and discard it before closing.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::ShutdownRead, returns(0)),
        server(Op::Write(2), returns(2)),
        Step::Await(Awaited::DataFrom(Role::Server)),
        client(Op::Close, returns(0)),
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        server(Op::Read(1), returns(0)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Client,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// Close of a Multipath TCP socket with unread data: RST with `MP_FASTCLOSE`.
///
/// `mptcp_close()` calls `mptcp_do_fastclose()`, which resets each subflow with `MP_FASTCLOSE` (RFC 8684, 3.5; Linux
/// 5.16).
pub(super) const MPTCP_CLOSE_UNREAD: Scenario = Scenario {
    otherwise: &[
        Otherwise {
            on: On::Without(&history::MPTCP_FASTCLOSE_ONCE),
            is: &Scenario {
                resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
                unreported: &[5],
                ..MPTCP_UNREAD
            },
        },
        Otherwise {
            on: On::Without(&history::MPTCP_ERROR_REPORT),
            is: &Scenario {
                unreported: &[5],
                ..MPTCP_UNREAD
            },
        },
    ],
    ..MPTCP_UNREAD
};

/// Form of [`MPTCP_CLOSE_UNREAD`] on current kernels.
const MPTCP_UNREAD: Scenario = Scenario {
    id: "mptcp-close-unread-data",
    topic: Topic::Abort,
    title: "Multipath TCP, close with a byte unread: RST with MP_FASTCLOSE",
    story: "Like close-unread-data, over Multipath TCP: the server reads one of two bytes and closes. The RST of the \
            subflow carries MP_FASTCLOSE, which ends the whole connection and not only this path. The client gets \
            ECONNRESET.",
    elsewhere: "Only Linux (5.6 and later) has IPPROTO_MPTCP; macOS has Multipath TCP under another interface.",
    advice: "See close-unread-data. In a capture, check the TCP options of the RST: MP_FASTCLOSE aborts the whole \
             connection, not only one subflow.",
    target: Target::OwnListener(Listening::USUAL),
    multipath: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[
        ("OutRsts", 1),
        ("EstabResets", 2),
        ("MPFastcloseTx", 1),
        ("MPFastcloseRx", 1),
        ("MPRstTx", 1),
        ("MPRstRx", 1),
    ],
    ..BASE
};

/// Close of a Multipath TCP socket with `SO_LINGER` 0: RST with `MP_FASTCLOSE`.
///
/// `mptcp_close()` calls `mptcp_disconnect()`, which resets each subflow with `MP_FASTCLOSE` (RFC 8684, 3.5; Linux
/// 5.16).
pub(super) const MPTCP_LINGER_ZERO: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::Without(&history::MPTCP_LINGER_FASTCLOSE),
        is: &Scenario {
            title: "Multipath TCP, SO_LINGER 0, close: an orderly end, no RST",
            story: "Both ends have read everything. The server sets SO_LINGER 0 and closes. This kernel ignores the \
                    linger time: it sends a DATA_FIN as for any close, and the client reads the end of file.",
            steps: &[
                client(Op::Connect, returns(0)),
                server(Op::Accept, returns(0)),
                client(Op::Write(2), returns(2)),
                server(Op::Read(2), returns(2)),
                server(Op::LingerZero, returns(0)),
                server(Op::Close, returns(0)),
                client(Op::Read(1), returns(0)),
                client(Op::Read(1), returns(0)),
                client(Op::Write(1), returns(1)),
            ],
            resets: &[],
            counters: &[],
            ..MPTCP_LINGERING
        },
    }],
    ..MPTCP_LINGERING
};

/// Form of [`MPTCP_LINGER_ZERO`] on current kernels.
const MPTCP_LINGERING: Scenario = Scenario {
    id: "mptcp-linger-zero-close",
    topic: Topic::Abort,
    title: "Multipath TCP, SO_LINGER 0, close: RST with MP_FASTCLOSE",
    story: "Both ends have read everything. The server sets SO_LINGER 0 and closes: the RST of the subflow carries \
            MP_FASTCLOSE, and the client gets ECONNRESET. The kernel's reason is TCP_ABORT_ON_CLOSE, although nothing \
            was unread: Multipath TCP sends every MP_FASTCLOSE with this reason.",
    elsewhere: "Only Linux (5.6 and later) has IPPROTO_MPTCP; macOS has Multipath TCP under another interface.",
    advice: "With Multipath TCP, TCP_ABORT_ON_CLOSE does not mean that data was unread. Look for SO_LINGER with a \
             time of 0 in the closing program; without Multipath TCP the reason for that is TCP_STATE.",
    target: Target::OwnListener(Listening::USUAL),
    multipath: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(2), returns(2)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[
        ("OutRsts", 1),
        ("EstabResets", 2),
        ("MPFastcloseTx", 1),
        ("MPFastcloseRx", 1),
        ("MPRstTx", 1),
        ("MPRstRx", 1),
    ],
    ..BASE
};

/// Destruction of the server's socket by an administrator (Linux 4.5).
///
/// `tcp_abort()` puts `ECONNABORTED` on the socket, and `tcp_send_active_reset()` sends an RST with
/// `SK_RST_REASON_TCP_STATE`.
pub(super) const SOCK_DESTROY: Scenario = Scenario {
    id: "sock-destroy",
    topic: Topic::Abort,
    title: "an administrator destroys the server's socket (ss -K): ECONNABORTED there, RST",
    story: "A privileged process has the kernel destroy the server's socket, as `ss -K` does. The server, which did \
            nothing, gets ECONNABORTED. The client receives an RST and gets ECONNRESET, as if the server had aborted.",
    elsewhere: "FreeBSD has tcpdrop(8). Android destroys sockets like this when a network goes away.",
    advice: "ECONNABORTED from read() or write() on Linux means that something destroyed the socket: an \
             administrator, a network manager, or a BPF program (bpf_sock_destroy()).",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Destroy, returns(0)),
        server(
            Op::Read(1),
            Expect::Fails(Errno::ECONNABORTED, ExpectedCause::Destroyed),
        ),
        server(Op::Read(1), returns(0)),
        server(
            Op::Write(1),
            Expect::Fails(Errno::EPIPE, ExpectedCause::Destroyed),
        ),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Variant of [`CLOSE_UNREAD_DATA`] with data that came with the SYN (RFC 7413), which `__tcp_close()` counts as
/// unread, too.
pub(super) const FAST_OPEN_CLOSE: Scenario = Scenario {
    id: "fast-open-close-unread",
    topic: Topic::Abort,
    title: "TCP Fast Open: the SYN's data is left unread: RST, ECONNRESET",
    story: "With TCP Fast Open the client's first write is sent with the SYN; the connect() before it succeeds \
            without sending anything. The server accepts, reads nothing and closes: RST, as for any unread data.",
    elsewhere: "TCP Fast Open is RFC 7413. For the reset see close-unread-data.",
    advice: "See close-unread-data: read what is there, or shut down and drain, before closing.",
    target: Target::OwnListener(Listening {
        fast_open: true,
        ..Listening::USUAL
    }),
    sysctls: &[FAST_OPEN],
    steps: &[
        client(Op::FastOpenConnect, returns(0)),
        client(Op::Connect, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Accept, returns(0)),
        Step::Await(Awaited::Established(Role::Server)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(
        Role::Server,
        State::Established,
        "TCP_ABORT_ON_CLOSE",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};
