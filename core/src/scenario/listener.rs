//! Scenarios of connections that were not accepted yet.

use super::notation::{
    OPEN, abort, answer, client, fails_after_reset, fails_from_reset, polls, returns, server,
};
use super::{
    Awaited, BASE, Errno, Expect, ExpectedCause, Listening, On, Op, Otherwise, Role, Scenario,
    Sender, Step, Target, Topic,
};
use crate::flow::State;
use crate::history;

/// Close of a listener with a connection in its queue: RST.
///
/// `inet_csk_listen_stop()` removes each connection from the queue and calls `tcp_disconnect()` on it, which sends the
/// RST.
pub(super) const CLOSE_PENDING: Scenario = Scenario {
    id: "listener-close-pending-accept",
    topic: Topic::Listener,
    title: "the listener is closed before accept: RST, ECONNRESET",
    story: "The client connects and writes; both succeed, because the kernel completes handshakes without the \
            application. The server never accepts and closes its listener. The kernel aborts every connection in the \
            accept queue: the client, which is connected, is reset.",
    elsewhere: "The BSDs and macOS do the same.",
    advice: "A server that restarts resets the connections that it has not accepted. connect() and the first write \
             succeed: a client that takes this for success loses its request. Pass on the listening socket (systemd \
             socket activation), or drain the queue first.",
    target: Target::OwnListener(Listening::USUAL),
    steps: &[
        client(Op::Connect, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Acknowledged(Role::Client)),
        server(Op::CloseListener, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Shutdown of a listener with a connection in its queue: RST, and `EINVAL` for `accept`.
///
/// `inet_shutdown()` with `RCV_SHUTDOWN` on a listener calls `tcp_disconnect()`, and so `inet_csk_listen_stop()`.
/// `accept` then finds no listener (`inet_csk_accept()`: `EINVAL`).
pub(super) const SHUTDOWN_PENDING: Scenario = Scenario {
    id: "listener-shutdown-pending-accept",
    topic: Topic::Listener,
    title: "the listener is shut down before accept: RST, and accept EINVAL",
    story: "Like listener-close-pending-accept, but the server calls shutdown(SHUT_RD) on its listener and keeps it. \
            This ends listening as well: waiting connections are reset, and accept() fails with EINVAL from then on.",
    elsewhere: "On the BSDs and macOS shutdown() on a listener fails with ENOTCONN (from memory, not measured).",
    advice: "EINVAL from accept() usually means that another thread has shut down the listener. This ends an accept \
             loop on Linux only, and it resets clients that have just connected.",
    target: Target::OwnListener(Listening::USUAL),
    steps: &[
        client(Op::Connect, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Acknowledged(Role::Client)),
        server(Op::ShutdownListener, returns(0)),
        server(
            Op::Accept,
            Expect::Fails(Errno::EINVAL, ExpectedCause::NotListening),
        ),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Close of one of two listeners on a port (`SO_REUSEPORT`): the connections in its queue are reset.
///
/// A connection belongs to the queue of the listener that `reuseport_select_sock()` chose for its SYN. Unless
/// `net.ipv4.tcp_migrate_req` is set (Linux 5.14), closing that listener resets the connection although the other one
/// still listens.
pub(super) const REUSEPORT_CLOSE: Scenario = Scenario {
    id: "reuseport-close",
    topic: Topic::Listener,
    title: "SO_REUSEPORT: one of two listeners is closed, its queue is reset",
    story: "Two listeners share one port. The client's connection waits in the queue of one of them. This listener is \
            closed. The other one goes on listening but does not take over the connection: the client is reset.",
    elsewhere: "On the BSDs SO_REUSEPORT alone does not distribute connections over listeners.",
    advice: "Rolling restarts with SO_REUSEPORT lose connections that have not been accepted yet. Set \
             net.ipv4.tcp_migrate_req=1, or drain the queue before closing.",
    target: Target::OwnListener(Listening {
        shares_port: true,
        ..Listening::USUAL
    }),
    steps: &[
        client(Op::Connect, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Acknowledged(Role::Client)),
        server(Op::CloseListener, returns(0)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Server, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Abort by the client before `accept`: `accept` succeeds, and a read fails.
///
/// `inet_csk_accept()` returns every connection in the queue; on Linux it never fails with `ECONNABORTED`.
pub(super) const RESET_IN_QUEUE: Scenario = Scenario {
    id: "reset-in-accept-queue",
    topic: Topic::Listener,
    title: "the client aborts before accept: accept succeeds, read ECONNRESET",
    story: "The client connects and aborts (SO_LINGER 0) before the server accepts. Linux leaves the reset connection \
            in the queue: accept() succeeds, getpeername() fails with ENOTCONN, and the first read() fails with \
            ECONNRESET.",
    elsewhere: "POSIX allows accept() to fail with ECONNABORTED, as on BSD and System V. Linux returns the reset \
                socket.",
    advice: "An accepted socket may already be reset. Do not log the peer's address with getpeername(); use the \
             address that accept() returns.",
    steps: &[
        client(Op::Connect, returns(0)),
        client(Op::LingerZero, returns(0)),
        client(Op::Close, returns(0)),
        server(Op::Accept, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        server(Op::PeerName, fails_after_reset(Errno::ENOTCONN, 0)),
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        server(Op::Read(1), returns(0)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Client, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Variant of [`RESET_IN_QUEUE`] with data, which is read before the error.
///
/// `tcp_reset()` keeps the receive queue, and `tcp_recvmsg_locked()` reads it first.
pub(super) const RESET_IN_QUEUE_DATA: Scenario = Scenario {
    id: "reset-in-accept-queue-data",
    topic: Topic::Listener,
    title: "the client writes and aborts before accept: data first, then ECONNRESET",
    story: "Like reset-in-accept-queue, but the client wrote two bytes before. They were received and acknowledged: \
            the server reads them first, and only the read after that fails.",
    elsewhere: "Windows discards data that was received before a reset (from memory, not measured).",
    advice: "A server can read a whole request from a connection that is already reset. Check before doing costly \
             work, and expect the response to fail.",
    steps: &[
        client(Op::Connect, returns(0)),
        client(Op::Write(2), returns(2)),
        Step::Await(Awaited::Acknowledged(Role::Client)),
        client(Op::LingerZero, returns(0)),
        client(Op::Close, returns(0)),
        server(Op::Accept, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        server(Op::Read(2), returns(2)),
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        server(Op::Read(1), returns(0)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[abort(Role::Client, State::Established, "TCP_STATE")],
    counters: &[("OutRsts", 1), ("EstabResets", 2), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Overflow of the accept queue by the first data of a connection.
///
/// With `TCP_DEFER_ACCEPT` the first data enters the queue. `tcp_v4_syn_recv_sock()` finds it full, counts
/// `ListenOverflows` and `ListenDrops`, and drops the segment. The request stays, and the SYN-ACK is sent again later.
pub(super) const QUEUE_OVERFLOW: Scenario = Scenario {
    id: "accept-queue-overflow",
    topic: Topic::Listener,
    title: "the queue overflows at the data: connect and write succeed, no reply",
    story: "The listener has a backlog of 2 and TCP_DEFER_ACCEPT: a connection enters the queue when its first data \
            arrives. Three other connections fill the queue. The client's connect() succeeds (its SYN was answered), \
            its write() succeeds, and its data is dropped silently. No call fails on either side, and there is no \
            RST.",
    elsewhere: "Only Linux has TCP_DEFER_ACCEPT; FreeBSD's accept filters behave differently.",
    advice: "Symptom: the request is never acknowledged, and the server has no such connection. Check ListenOverflows \
             and `ss -ltn`. The connection recovers after a retransmission, once the queue has drained.",
    target: Target::OwnListener(Listening {
        backlog: 2,
        defer_accept: Some(5),
        ..Listening::USUAL
    }),
    steps: &[
        client(Op::Connect, returns(0)),
        // The data of these clients fills the queue, which takes one connection more than the backlog.
        Step::Others(3),
        client(Op::Write(1), returns(1)),
        client(Op::Poll, polls(OPEN)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    // TCPDeferAcceptDrop counts the bare ACK of each of the four clients.
    counters: &[
        ("ListenOverflows", 1),
        ("ListenDrops", 1),
        ("TCPDeferAcceptDrop", 4),
    ],
    ..BASE
};

/// `TCP_DEFER_ACCEPT` with a client that sends no data: accepted a second later.
///
/// `tcp_check_req()` drops the bare ACK and counts `TCPDeferAcceptDrop`. When the time has run out, the SYN-ACK is sent
/// once more. The client is established by then and treats it as an unexpected SYN, which it answers with a challenge
/// ACK (RFC 5961, 4.2). That ACK completes the connection.
pub(super) const DEFER_ACCEPT: Scenario = Scenario {
    id: "defer-accept",
    topic: Topic::Listener,
    title: "TCP_DEFER_ACCEPT and a silent client: accepted a second later, no RST",
    story: "The listener defers accepting until there is data, for at most a second, and the client sends nothing. \
            The kernel ignores the client's ACK; a second later it sends the SYN-ACK again, the client acknowledges \
            it again, and the connection is accepted. Nothing is reset.",
    elsewhere: "Only Linux has TCP_DEFER_ACCEPT.",
    advice: "In protocols in which the server speaks first (SMTP, SSH, MySQL), TCP_DEFER_ACCEPT only adds delay.",
    target: Target::OwnListener(Listening {
        defer_accept: Some(1),
        ..Listening::USUAL
    }),
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::PeerName, returns(0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    counters: &[
        ("TCPDeferAcceptDrop", 1),
        ("TCPChallengeACK", 1),
        ("TCPSYNChallenge", 1),
    ],
    ..BASE
};

/// Close of a listener with a deferred connection: no segment, and an RST to the client's data.
///
/// Before the first data there is only a request, and `inet_csk_listen_stop()` drops requests without an RST. The data
/// then finds no socket, so `tcp_v4_rcv()` answers with an RST.
pub(super) const DEFER_ACCEPT_CLOSE: Scenario = Scenario {
    id: "defer-accept-listener-close",
    topic: Topic::Listener,
    title: "the listener is closed while a connection is deferred: no RST until data comes",
    story: "The listener defers accepting until there is data. The client is connected, but the server's kernel has \
            only a request socket for it. The listener is closed. Nothing is sent: the kernel drops request sockets \
            silently. Only when the client writes does the kernel, which no longer knows the connection, reply with \
            an RST.",
    elsewhere: "Only Linux has TCP_DEFER_ACCEPT.",
    advice: "An RST in reply to the first data after the handshake: the server was probably restarted. The kernel's \
             reason is NO_SOCKET; for an accepted connection that the server closed with unread data it would be \
             TCP_ABORT_ON_CLOSE.",
    target: Target::OwnListener(Listening {
        defer_accept: Some(5),
        ..Listening::USUAL
    }),
    steps: &[
        client(Op::Connect, returns(0)),
        Step::Await(Awaited::Acknowledged(Role::Server)),
        server(Op::CloseListener, returns(0)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Server,
        State::Established,
        Sender::Kernel,
        "NO_SOCKET",
    )],
    counters: &[
        ("OutRsts", 1),
        ("EstabResets", 1),
        ("TCPDeferAcceptDrop", 1),
    ],
    ..BASE
};

/// Close of one of two listeners with `net.ipv4.tcp_migrate_req`: the other listener takes over the queue.
///
/// `inet_csk_listen_stop()` calls `inet_csk_reqsk_queue_add()` for another listener of the group (Linux 5.14,
/// `TCPMigrateReqSuccess`).
pub(super) const REUSEPORT_MIGRATE: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::Without(&history::REUSEPORT_MIGRATION),
        is: &Scenario {
            id: "reuseport-migrate",
            title: "SO_REUSEPORT with tcp_migrate_req=1: this kernel migrates nothing",
            story: "Like reuseport-close: the setting net.ipv4.tcp_migrate_req exists, but this kernel does not \
                    implement it. The queue of the closed listener is reset.",
            sysctls: &[("tcp_migrate_req", "1")],
            ..REUSEPORT_CLOSE
        },
    }],
    ..MIGRATION
};

/// Form of [`REUSEPORT_MIGRATE`] on current kernels.
const MIGRATION: Scenario = Scenario {
    id: "reuseport-migrate",
    topic: Topic::Listener,
    title: "SO_REUSEPORT with tcp_migrate_req=1: the other listener takes over the queue",
    story: "Like reuseport-close, with net.ipv4.tcp_migrate_req on: connections in the queue of the closed listener \
            move to the other listener, which accepts them. The client notices nothing, and no RST is sent.",
    elsewhere: "Linux only, since 5.14.",
    advice: "With this setting, rolling restarts with SO_REUSEPORT lose no connections that wait in the queue. It is \
             per network namespace and off by default.",
    target: Target::OwnListener(Listening {
        shares_port: true,
        ..Listening::USUAL
    }),
    sysctls: &[("tcp_migrate_req", "1")],
    steps: &[
        client(Op::Connect, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(Role::Client)),
        server(Op::CloseListener, returns(0)),
        client(Op::Poll, polls(OPEN)),
        server(Op::Accept, returns(0)),
        server(Op::Read(1), returns(1)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    counters: &[("TCPMigrateReqSuccess", 1)],
    ..BASE
};

/// Variant of [`QUEUE_OVERFLOW`] with `net.ipv4.tcp_abort_on_overflow`: RST.
///
/// `tcp_check_req()` answers with an RST, with the misleading reason `INVALID_SYN`. With SYN cookies it would not
/// answer.
pub(super) const ABORT_ON_OVERFLOW: Scenario = Scenario {
    id: "accept-queue-abort-on-overflow",
    topic: Topic::Listener,
    title: "the queue overflows with tcp_abort_on_overflow=1: RST, ECONNRESET",
    story: "Like accept-queue-overflow, with net.ipv4.tcp_abort_on_overflow on: the kernel replies with an RST to \
            data that arrives while the queue is full. connect() and write() have succeeded by then; the client's \
            next call fails with ECONNRESET. The kernel's reason is INVALID_SYN, although the SYN was valid.",
    elsewhere: "Linux only.",
    advice: "ECONNRESET right after connecting, with EmbryonicRsts and ListenOverflows on the server, means that its \
             queue is full and this setting is on. Leave the setting off: it rejects clients that would have been \
             served a moment later.",
    target: Target::OwnListener(Listening {
        backlog: 2,
        defer_accept: Some(5),
        ..Listening::USUAL
    }),
    sysctls: &[("tcp_abort_on_overflow", "1"), ("tcp_syncookies", "0")],
    steps: &[
        client(Op::Connect, returns(0)),
        Step::Others(3),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Server,
        State::Established,
        Sender::Socket,
        "INVALID_SYN",
    )],
    // TCPDeferAcceptDrop counts the bare ACK of each of the four clients.
    counters: &[
        ("OutRsts", 1),
        ("EstabResets", 1),
        ("EmbryonicRsts", 1),
        ("ListenOverflows", 1),
        ("ListenDrops", 1),
        ("TCPDeferAcceptDrop", 4),
    ],
    ..BASE
};
