//! Established connections that one end aborts.

use super::{
    Awaited, BASE, Cause, Errno, Expect, ExpectedReset, Op, Role, Scenario, Step, Topic, abort,
    client, dead_since_reset, returns, server, told_of_reset,
};
use crate::flow::State;

const ABORTED_BY_SERVER: &[ExpectedReset] = &[abort(
    Role::Server,
    State::Established,
    "TCP_ABORT_ON_CLOSE",
)];

const ABORTED_AFTER_FIN: &[ExpectedReset] =
    &[abort(Role::Server, State::CloseWait, "TCP_ABORT_ON_CLOSE")];

/// `close()` with bytes in the receive queue aborts: `__tcp_close()` calls `tcp_send_active_reset()`, as RFC 2525
/// 2.17 asks, so that the peer learns that its data was lost.
pub(super) const CLOSE_UNREAD_DATA: Scenario = Scenario {
    id: "close-unread-data",
    topic: Topic::Abort,
    title: "the server closes with a byte unread; the client reads: ECONNRESET",
    story: "The client sends two bytes. The server reads one and closes. The other byte is still in the server's \
            receive queue, so its kernel must not pretend that all went well: instead of FIN it sends RST (RFC 2525, \
            2.17). The client's next read() fails with ECONNRESET. The error is reported once: after it read() gives \
            0, and write() gives EPIPE.",
    elsewhere: "macOS aborts as well. FreeBSD sends FIN and resets only when more data comes in.",
    advice: "The server closed without reading all that was sent: often it answered early (413, authentication \
             failed) or stopped at a length limit. Let it read to the end, or shutdown(SHUT_WR) and drain before \
             close. Data that the server sent just before may be lost with the reset.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: ABORTED_BY_SERVER,
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// As [`CLOSE_UNREAD_DATA`], but the client's first call after the RST is a write: `tcp_sendmsg_locked()` returns
/// `sk_err` (`ECONNRESET`) if there is one, and `EPIPE` only once it has been taken (`sk_stream_error()`).
pub(super) const CLOSE_UNREAD_DATA_WRITE: Scenario = Scenario {
    id: "close-unread-data-write",
    topic: Topic::Abort,
    title: "the server closes with a byte unread; the client writes: ECONNRESET, then EPIPE",
    story: "As close-unread-data, but the client's first call after the reset is write(). On Linux that write fails \
            with ECONNRESET, the error that the RST put on the socket; only the next one fails with EPIPE (\"broken \
            pipe\"), because by then the error has been taken and what is left is a socket that cannot send.",
    elsewhere: "The article that made this experiment known reports \"broken pipe\" for the first write: it was written \
                on macOS. macOS and FreeBSD test whether the socket can still send before they look at its error, \
                so there the first write gives EPIPE. Linux looks at the error first.",
    advice: "Treat ECONNRESET and EPIPE from a write alike: which one comes first depends on the system and on \
             which call came before. Neither says how much of the data arrived.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(2), returns(2)),
        server(Op::Read(1), returns(1)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Write(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
        client(Op::Read(1), returns(0)),
    ],
    resets: ABORTED_BY_SERVER,
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnClose", 1)],
    ..BASE
};

/// `tcp_reset()` maps a reset in CLOSE-WAIT to `EPIPE`; `tcp_recvmsg_locked()` tests `SOCK_DONE` before `sk_err`, so
/// that no read ever reports it.
///
/// The close waits for the ACK of the FIN. It is a delayed one, and `__tcp_close()` takes the socket out of the hash
/// table before it sends the reset: an ACK that comes in between finds no socket and draws a passive reset ahead of
/// the active one. Left to chance, that happens once in some 20,000 trials.
pub(super) const FIN_THEN_RESET: Scenario = Scenario {
    id: "fin-then-reset",
    topic: Topic::Abort,
    title: "the RST comes after a FIN: read 0, SO_ERROR EPIPE, write EPIPE",
    story: "The server half-closes (FIN) with a byte unread, then closes: RST. The FIN put the client into \
            CLOSE-WAIT, and in that state the kernel maps a reset to EPIPE instead of ECONNRESET. read() never \
            tells: having seen the FIN it returns 0 for ever. SO_ERROR reports EPIPE, once, and write() fails with \
            EPIPE.",
    elsewhere: "FreeBSD maps a reset in CLOSE-WAIT to ECONNRESET, so read() reports it there (from memory of its \
                source, not measured).",
    advice: "A reader that sees a clean end of file may have lost data all the same: check SO_ERROR, or that what \
             was read is complete by the protocol's own count.",
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
            Expect::Reports(Errno::EPIPE, Cause::Reset(0)),
        ),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Read(1), returns(0)),
    ],
    resets: ABORTED_AFTER_FIN,
    ..BASE
};

/// As [`FIN_THEN_RESET`], but the write comes first and takes the error: `sk_stream_error()` returns
/// `sock_error()`, which is `EPIPE` here too, and clears it.
pub(super) const FIN_THEN_RESET_WRITE: Scenario = Scenario {
    id: "fin-then-reset-write",
    topic: Topic::Abort,
    title: "the RST comes after a FIN, and a write takes its error: EPIPE at once",
    story: "As fin-then-reset, but the client's first call that can report the error is write(). It fails with \
            EPIPE, the one case in which a first write after a RST gives \"broken pipe\" on Linux. That took the \
            error: SO_ERROR then says 0.",
    elsewhere: "On FreeBSD and macOS a first write gives EPIPE after any reset, whether or not a FIN came before.",
    advice: "EPIPE without an ECONNRESET before it means on Linux that a FIN came first (or that this process shut \
             its own side down): the peer meant to end the connection, and this side kept writing.",
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
        client(Op::Write(1), told_of_reset(Errno::EPIPE, 0)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: ABORTED_AFTER_FIN,
    ..BASE
};

/// `SO_LINGER {1, 0}` makes `close()` abort: `__tcp_close()` calls `tcp_disconnect()`, which sends the reset.
pub(super) const LINGER_ZERO_CLOSE: Scenario = Scenario {
    id: "linger-zero-close",
    topic: Topic::Abort,
    title: "SO_LINGER 0, close: RST instead of FIN, ECONNRESET",
    story: "The server sets SO_LINGER to {on, 0 seconds} and closes. That asks for an abortive close: RST at once, no \
            FIN, unsent data thrown away, no TIME-WAIT. The client's next read() fails with ECONNRESET, the one \
            after it gives 0.",
    elsewhere: "The same on the BSDs, macOS and Windows.",
    advice: "Look for SO_LINGER with zero seconds in the peer: load balancers and connection pools set it to avoid \
             TIME-WAIT, and lose the tail of responses with it.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    // The kernel says TCP_STATE: tcp_disconnect() sends it, whatever made close() call that.
    resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
    ..BASE
};
