//! Scenarios of connection set-up and its failures.

use super::notation::{
    DEAD, DEAD_WITH_ERROR, FAST_OPEN, UNCONNECTED, busy, client, fails_after_reset,
    fails_from_reset, not_connected, polls, returns, server, so_error_from_reset, would_block,
};
use super::{
    Awaited, BASE, Disposition, Errno, Events, Expect, ExpectedCause, ExpectedReset, Extent,
    Listening, On, Op, Otherwise, Role, Scenario, Sender, Step, Target, Topic,
};
use crate::flow::{Form, State};
use crate::history;

/// RST from the server's kernel, which has no socket for the SYN.
const REFUSAL: ExpectedReset = ExpectedReset {
    from: Role::Server,
    form: Some(Form::PassiveAck),
    disposition: Disposition::Accepted,
    receiver_state: State::SynSent,
    sender: Sender::Kernel,
    reason: "NO_SOCKET",
};

/// Connect to a closed port: RST+ACK, and `ECONNREFUSED`.
///
/// A SYN to a port without a listener triggers an RST+ACK that acknowledges the SYN (RFC 9293, 3.10.7.1). The RST is
/// acceptable in SYN-SENT, where `tcp_reset()` maps it to `ECONNREFUSED`. A blocking `connect` leaves the socket
/// unconnected, so later calls fail with `ENOTCONN` and `EPIPE`.
pub(super) const CLOSED_PORT: Scenario = Scenario {
    id: "connect-closed-port",
    topic: Topic::Connect,
    title: "nothing listens: RST+ACK to the SYN, ECONNREFUSED",
    story: "The client connects to a port where nothing listens. The kernel replies to the SYN with RST+ACK: sequence \
            number 0, and an acknowledgment of the SYN. In SYN-SENT an RST is accepted because of this \
            acknowledgment, not because of its sequence number. It becomes ECONNREFUSED, reported once. After a \
            failed blocking connect() the socket is unconnected: read() fails with ENOTCONN, write() with EPIPE.",
    elsewhere: "The BSDs and macOS return the same errno. Windows retries the SYN for about two seconds before it \
                reports WSAECONNREFUSED.",
    advice: "ECONNREFUSED means that a host answered. Check that the server runs and listens on this address and \
             family (`ss -ltn`): with a server bound to 127.0.0.1, every other address refuses. A firewall that \
             rejects with a TCP reset looks the same on the wire.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::Connect, fails_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), fails_after_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Variant of [`CLOSED_PORT`] with a socket that is bound to the port but does not listen.
///
/// `inet_csk_listen_stop()` has removed the socket from the listening hash, and being bound does not put it back.
pub(super) const NOT_LISTENING: Scenario = Scenario {
    id: "connect-not-listening",
    topic: Topic::Connect,
    title: "a socket is bound to the port but does not listen: ECONNREFUSED",
    story: "The server's listener is shut down but stays open: its port is still in use, and another socket cannot \
            bind to it. But nothing listens, so the kernel replies to the SYN as on an unused port: RST+ACK, \
            ECONNREFUSED.",
    elsewhere: "Systems that allow shutdown() on a listener do the same. POSIX leaves that open, and on the BSDs it \
                fails with ENOTCONN (from memory, not measured).",
    advice: "A port that is in use need not have a listener: `ss -ltn` shows listeners, and `ss -tan` does not show \
             sockets that are only bound. A server that forgot to call listen() looks like this.",
    target: Target::OwnListener(Listening::USUAL),
    steps: &[
        server(Op::ShutdownListener, returns(0)),
        client(Op::Connect, fails_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), fails_after_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Listener with a backlog of 0: a single waiting connection fills its queue.
const FULL: Target = Target::OwnListener(Listening {
    backlog: 0,
    ..Listening::USUAL
});

/// Variant of [`CLOSED_PORT`] with a non-blocking `connect`, in which `SO_ERROR` reports the error.
///
/// On loopback the SYN, the answer and `tcp_reset()` all happen within `connect(2)`, which returns `EINPROGRESS` all
/// the same (`__inet_stream_connect()`).
pub(super) const CLOSED_PORT_NONBLOCKING: Scenario = Scenario {
    id: "connect-closed-port-nonblocking",
    topic: Topic::Connect,
    title: "O_NONBLOCK: connect EINPROGRESS, poll ERR|HUP, SO_ERROR ECONNREFUSED",
    story: "connect() on a non-blocking socket fails with EINPROGRESS, although on loopback the RST has arrived by \
            then. poll() shows it at once (IN, OUT, ERR, HUP and RDHUP). The error is reported once, by the first \
            call that can report it, here SO_ERROR. Unlike after a blocking connect() the socket is then closed, not \
            unconnected: read() returns 0.",
    elsewhere: "The BSDs and macOS report it in SO_ERROR as well. Windows retries the SYN for about two seconds.",
    advice: "Wait for POLLOUT, then check SO_ERROR first: writable does not mean connected. A library that just \
             writes gets ECONNREFUSED from write() and may report a broken connection.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, so_error_from_reset(Errno::ECONNREFUSED, 0)),
        // The error was reported, but the connection stays closed.
        client(Op::Poll, polls(DEAD)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Variant of [`CLOSED_PORT`] with a non-blocking `connect`, in which a read reports the error
/// (`tcp_recvmsg_locked()`).
///
/// On loopback the SYN, the answer and `tcp_reset()` all happen within `connect(2)`, which returns `EINPROGRESS` all
/// the same (`__inet_stream_connect()`).
pub(super) const CLOSED_PORT_NONBLOCKING_READ: Scenario = Scenario {
    id: "connect-nonblocking-read",
    topic: Topic::Connect,
    title: "O_NONBLOCK: the first read fails with ECONNREFUSED",
    story: "connect() on a non-blocking socket fails with EINPROGRESS, although on loopback the RST has arrived by \
            then. poll() shows it at once (IN, OUT, ERR, HUP and RDHUP). The error is reported once, by the first \
            call that can report it, here read(). Unlike after a blocking connect() the socket is then closed, not \
            unconnected: the next read() returns 0.",
    elsewhere: "The BSDs and macOS report it in SO_ERROR as well. Windows retries the SYN for about two seconds.",
    advice: "Wait for POLLOUT, then check SO_ERROR first: writable does not mean connected. A library that just \
             writes gets ECONNREFUSED from write() and may report a broken connection.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Poll, polls(DEAD)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Variant of [`CLOSED_PORT`] with a non-blocking `connect`, in which a write reports the error (`sk_stream_error()`).
///
/// On loopback the SYN, the answer and `tcp_reset()` all happen within `connect(2)`, which returns `EINPROGRESS` all
/// the same (`__inet_stream_connect()`).
pub(super) const CLOSED_PORT_NONBLOCKING_WRITE: Scenario = Scenario {
    id: "connect-nonblocking-write",
    topic: Topic::Connect,
    title: "O_NONBLOCK: the first write fails with ECONNREFUSED",
    story: "connect() on a non-blocking socket fails with EINPROGRESS, although on loopback the RST has arrived by \
            then. poll() shows it at once (IN, OUT, ERR, HUP and RDHUP). The error is reported once, by the first \
            call that can report it, here write(). Unlike after a blocking connect() the socket is then closed, not \
            unconnected: read() returns 0.",
    elsewhere: "The BSDs and macOS report it in SO_ERROR as well. Windows retries the SYN for about two seconds.",
    advice: "Wait for POLLOUT, then check SO_ERROR first: writable does not mean connected. A library that just \
             writes gets ECONNREFUSED from write() and may report a broken connection.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Write(1), fails_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Poll, polls(DEAD)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Variant of [`CLOSED_PORT`] with a non-blocking `connect`, in which a second `connect` reports the error
/// (`sock_error()`).
///
/// On loopback the SYN, the answer and `tcp_reset()` all happen within `connect(2)`, which returns `EINPROGRESS` all
/// the same (`__inet_stream_connect()`).
pub(super) const CLOSED_PORT_NONBLOCKING_CONNECT: Scenario = Scenario {
    id: "connect-nonblocking-again",
    topic: Topic::Connect,
    title: "O_NONBLOCK: a second connect fails with ECONNREFUSED",
    story: "connect() on a non-blocking socket fails with EINPROGRESS, although on loopback the RST has arrived by \
            then. poll() shows it at once (IN, OUT, ERR, HUP and RDHUP). The error is reported once, by the first \
            call that can report it, here a second connect(). SO_ERROR is 0 afterwards.",
    elsewhere: "The BSDs and macOS report it in SO_ERROR as well. Windows retries the SYN for about two seconds.",
    advice: "Wait for POLLOUT, then check SO_ERROR first: writable does not mean connected. A library that just \
             writes gets ECONNREFUSED from write() and may report a broken connection.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Connect, fails_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Connect on a failed connection whose error `SO_ERROR` has taken: `ECONNABORTED`.
///
/// For a failed connection `__inet_stream_connect()` returns `sock_error(sk) ?: -ECONNABORTED`.
pub(super) const CONSUMED_ERROR: Scenario = Scenario {
    id: "connect-consumed-error",
    topic: Topic::Connect,
    title: "SO_ERROR reports ECONNREFUSED; the next connect fails with ECONNABORTED",
    story: "A non-blocking connect is refused. SO_ERROR reports ECONNREFUSED and clears the error. A second connect() \
            on the socket has to report that the first one failed, but the reason is gone: it fails with \
            ECONNABORTED, an error that no segment causes.",
    elsewhere: "Not measured on other systems.",
    advice: "ECONNABORTED from connect() on Linux usually means that this process read SO_ERROR before: log its \
             value. Create a new socket for each attempt.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, so_error_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Connect, fails_after_reset(Errno::ECONNABORTED, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Connect to a listener with a full accept queue: the SYN is dropped.
///
/// `tcp_conn_request()` drops a SYN if `sk_acceptq_is_full()`, which a backlog of 0 is with one waiting connection.
/// Nothing is sent, not even an RST, so that the client tries again.
pub(super) const BACKLOG_FULL: Scenario = Scenario {
    id: "connect-backlog-full",
    topic: Topic::Connect,
    title: "the accept queue is full: the SYN is dropped, connect gets no reply",
    story: "The listener has a backlog of 0, and one connection waits in its queue without being accepted. The kernel \
            drops the client's SYN without a reply, on purpose: the queue may drain before the SYN is retransmitted. \
            connect() stays in progress, and a second one fails with EALREADY. There is no RST; only ListenOverflows \
            and ListenDrops show it.",
    elsewhere: "FreeBSD drops the SYN as well. Windows replies with an RST, so there the connection is refused.",
    advice: "If connects take one or more whole seconds (1, 2, 3 …; 1, 3, 7 … before Linux 6.5), or time out, while \
             the server is up, check `nstat -az TcpExtListenOverflows` and Recv-Q and Send-Q in `ss -ltn`. Raise the \
             backlog and net.core.somaxconn, or accept faster.",
    target: FULL,
    steps: &[
        Step::Others(1),
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        // No event: the attempt is still in progress.
        client(Op::Poll, polls(Events(0))),
        client(Op::Connect, would_block(Errno::EALREADY)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    counters: &[("ListenOverflows", 1), ("ListenDrops", 1)],
    ..BASE
};

/// Variant of [`BACKLOG_FULL`] with a blocking `connect` and `TCP_SYNCNT` 1: `ETIMEDOUT`.
///
/// `retransmits_timed_out()` gives up after the time that one retransmission takes with doubled intervals, 3 seconds.
/// Since `tcp_syn_linear_timeouts` (Linux 6.5) two retransmissions fit into that time, a second apart, so the SYN is
/// sent three times. `tcp_write_err()` reports `ETIMEDOUT` and sends nothing.
pub(super) const BACKLOG_FULL_TIMEOUT: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::Without(&history::SYN_LINEAR_TIMEOUTS),
        is: &Scenario {
            // SYNs are sent after 0 s and 1 s; the next one would be due when the time is up.
            counters: &[
                ("ListenOverflows", 2),
                ("ListenDrops", 2),
                ("AttemptFails", 1),
                ("TCPAbortOnTimeout", 1),
            ],
            ..UNANSWERED_BY_FULL
        },
    }],
    ..UNANSWERED_BY_FULL
};

/// Form of [`BACKLOG_FULL_TIMEOUT`] on current kernels.
const UNANSWERED_BY_FULL: Scenario = Scenario {
    id: "connect-backlog-full-timeout",
    topic: Topic::Connect,
    title: "the accept queue stays full: ETIMEDOUT, and no RST",
    story: "Like connect-backlog-full, but the client waits and limits SYN retransmissions to about three seconds. \
            When no SYN has been answered by then, connect() fails with ETIMEDOUT. There is no RST: the error comes \
            from the client's own timer.",
    elsewhere: "The BSDs and macOS do the same after 75 seconds by default, Linux after about 130.",
    advice: "ETIMEDOUT from connect() means that nothing came back: a firewall that drops, a host that is down, or a \
             full accept queue on a server that is up. Only the server's ListenOverflows identifies the last case.",
    target: FULL,
    slow: true,
    steps: &[
        Step::Others(1),
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, ExpectedCause::TimedOut),
        ),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    counters: &[
        ("ListenOverflows", 3),
        ("ListenDrops", 3),
        ("AttemptFails", 1),
        ("TCPAbortOnTimeout", 1),
    ],
    ..BASE
};

/// Connect that exceeds `SO_SNDTIMEO`: `EINPROGRESS`, and `EALREADY` the second time.
///
/// `inet_wait_for_connect()` waits for `sock_sndtimeo()` and then returns the error that was prepared before the wait.
pub(super) const SEND_TIMEOUT: Scenario = Scenario {
    id: "connect-send-timeout",
    topic: Topic::Connect,
    title: "SO_SNDTIMEO expires in connect: EINPROGRESS, not ETIMEDOUT",
    story: "The client's SYN gets no reply, and SO_SNDTIMEO limits the wait to 20 ms. connect() then fails with \
            EINPROGRESS, the error of a non-blocking call, and a second connect() with EALREADY. The attempt itself \
            goes on.",
    elsewhere: "On other systems SO_SNDTIMEO does not limit connect() (from memory, not measured).",
    advice: "EINPROGRESS from a blocking socket is your own timeout. Close the socket: the kernel keeps \
             retransmitting its SYN.",
    target: FULL,
    steps: &[
        Step::Others(1),
        client(Op::SendTimeout(20), returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        client(Op::Connect, would_block(Errno::EALREADY)),
    ],
    counters: &[("ListenOverflows", 1), ("ListenDrops", 1)],
    ..BASE
};

/// Shutdown of a socket while `connect` waits: `ECONNRESET` without an RST.
///
/// `inet_shutdown()` in SYN-SENT calls `tcp_disconnect()`, which puts `ECONNRESET` on the socket; the waiting `connect`
/// reports the error.
pub(super) const CANCELLED_SHUTDOWN: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::With(&history::DISCONNECT_DENIED),
        is: &Scenario {
            title: "shutdown while connect waits: EBUSY, and connect goes on waiting",
            story: "One thread waits in connect() for a reply that does not come. Another thread calls shutdown() on \
                    the socket, which fails with EBUSY. The first one waits until its own timeout (SO_SNDTIMEO) ends \
                    connect() with EINPROGRESS.",
            steps: &[
                Step::Others(1),
                client(Op::SendTimeout(PATIENCE_MS), returns(0)),
                Step::Begin(Role::Client, Op::Connect, would_block(Errno::EINPROGRESS)),
                Step::Await(Awaited::SynFrom(Role::Client)),
                client(Op::ShutdownBoth, busy()),
                Step::End(Role::Client),
            ],
            ..SHUTDOWN_WHILE_CONNECTING
        },
    }],
    ..SHUTDOWN_WHILE_CONNECTING
};

/// Timeout of a `connect` that cannot be cancelled, in milliseconds: long enough for the other call, but too short for
/// a retransmission of the SYN.
const PATIENCE_MS: u16 = 500;

/// Form of [`CANCELLED_SHUTDOWN`] on current kernels.
const SHUTDOWN_WHILE_CONNECTING: Scenario = Scenario {
    id: "connect-cancelled-shutdown",
    topic: Topic::Connect,
    title: "shutdown while connect waits: ECONNRESET with no RST anywhere",
    story: "One thread waits in connect() for a reply that does not come. Another thread calls shutdown() on the \
            socket. connect() fails with ECONNRESET (\"connection reset by peer\"), although no peer sent anything: \
            the capture shows the SYN and nothing else.",
    elsewhere: "Not measured on other systems.",
    advice: "For ECONNRESET from connect() without an RST in the capture, look for a thread of the same process that \
             shuts down the socket, most likely a timeout handler.",
    target: FULL,
    steps: &[
        Step::Others(1),
        Step::Begin(
            Role::Client,
            Op::Connect,
            Expect::Fails(Errno::ECONNRESET, ExpectedCause::OwnDisconnect),
        ),
        Step::Await(Awaited::SynFrom(Role::Client)),
        client(Op::ShutdownBoth, returns(0)),
        Step::End(Role::Client),
    ],
    counters: &[("ListenOverflows", 1), ("ListenDrops", 1)],
    ..BASE
};

/// Disconnect of a socket with `AF_UNSPEC` while `connect` waits: `EPIPE` without an RST.
///
/// `tcp_disconnect()` counts `sk_disconnects` (Linux 6.6); `inet_wait_for_connect()` returns `-EPIPE` if the count has
/// changed. Linux 6.4 and 6.5, and some earlier stable kernels, refused the second call with `EBUSY`.
pub(super) const CANCELLED_DISCONNECT: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::With(&history::DISCONNECT_DENIED),
        is: &Scenario {
            title: "connect(AF_UNSPEC) while connect waits: EBUSY, and connect goes on waiting",
            story: "Like connect-cancelled-shutdown: connect(AF_UNSPEC) fails with EBUSY, and the other thread waits \
                    in connect() until its own timeout.",
            steps: &[
                Step::Others(1),
                client(Op::SendTimeout(PATIENCE_MS), returns(0)),
                Step::Begin(Role::Client, Op::Connect, would_block(Errno::EINPROGRESS)),
                Step::Await(Awaited::SynFrom(Role::Client)),
                client(Op::Disconnect, busy()),
                Step::End(Role::Client),
            ],
            ..DISCONNECT_WHILE_CONNECTING
        },
    }],
    ..DISCONNECT_WHILE_CONNECTING
};

/// Form of [`CANCELLED_DISCONNECT`] on current kernels.
const DISCONNECT_WHILE_CONNECTING: Scenario = Scenario {
    id: "connect-cancelled-disconnect",
    topic: Topic::Connect,
    title: "connect(AF_UNSPEC) while connect waits: EPIPE with no RST anywhere",
    story: "Like connect-cancelled-shutdown, but the other thread disconnects the socket with connect(AF_UNSPEC). The \
            waiting connect() fails with EPIPE (\"broken pipe\") before anything could be written.",
    elsewhere: "Not measured on other systems.",
    advice: "EPIPE from connect() on Linux means that another thread disconnected the socket.",
    target: FULL,
    steps: &[
        Step::Others(1),
        Step::Begin(
            Role::Client,
            Op::Connect,
            Expect::Fails(Errno::EPIPE, ExpectedCause::OwnDisconnect),
        ),
        Step::Await(Awaited::SynFrom(Role::Client)),
        client(Op::Disconnect, returns(0)),
        Step::End(Role::Client),
    ],
    counters: &[("ListenOverflows", 1), ("ListenDrops", 1)],
    ..BASE
};

/// Connect of a socket to its own address: success.
///
/// A SYN that meets its own socket in SYN-SENT is a simultaneous open (RFC 9293, figure 7;
/// `tcp_rcv_synsent_state_process()`).
pub(super) const SELF_CONNECT: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::Without(&history::SIMULTANEOUS_CONNECT),
        is: &Scenario {
            // The SYN-ACK that meets the socket in SYN-RECEIVED is treated as a SYN on an existing connection (RFC
            // 5961, 4.2).
            counters: &[("TCPChallengeACK", 1), ("TCPSYNChallenge", 1)],
            ..CONNECT_TO_ITSELF
        },
    }],
    ..CONNECT_TO_ITSELF
};

/// Form of [`SELF_CONNECT`] on current kernels.
const CONNECT_TO_ITSELF: Scenario = Scenario {
    id: "self-connect",
    topic: Topic::Connect,
    title: "connect to the socket's own port: success without a server, no RST",
    story: "The client connects to the address and port that it is bound to. Its own socket receives the SYN and \
            treats it as a simultaneous open: the socket is connected to itself, and reads what it writes.",
    elsewhere: "The BSDs do the same. Windows refuses (from memory, not measured).",
    advice: "A program that keeps connecting to a local port in the ephemeral range while the server is down will \
             eventually connect to itself, and then the server cannot bind. Keep server ports out of \
             net.ipv4.ip_local_port_range, and compare getsockname() with getpeername().",
    target: Target::Itself,
    steps: &[
        client(Op::Connect, returns(0)),
        client(Op::PeerName, returns(0)),
        client(Op::Write(2), returns(2)),
        client(Op::Read(2), returns(2)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    ..BASE
};

/// Calls on a socket that was never connected: `ENOTCONN` for a read, `EPIPE` for a write.
///
/// `tcp_recvmsg_locked()` returns `ENOTCONN` in CLOSE; `tcp_sendmsg_locked()` reaches `EPIPE` through
/// `sk_stream_wait_connect()`.
pub(super) const NOT_CONNECTED: Scenario = Scenario {
    id: "not-connected",
    topic: Topic::Connect,
    title: "a socket without a connection: read ENOTCONN, write EPIPE, nothing sent",
    story: "The socket was never connected: poll() reports OUT and HUP, read() fails with ENOTCONN, write() with \
            EPIPE, shutdown() and getpeername() with ENOTCONN. No segment is sent or received.",
    elsewhere: "On the BSDs write() fails with ENOTCONN as well.",
    advice: "If every write fails with \"broken pipe\" at once and the capture is empty, the socket is not connected, \
             perhaps because a failed blocking connect() went unnoticed.",
    extent: Extent::Nothing,
    steps: &[
        client(Op::Poll, polls(UNCONNECTED)),
        client(Op::Read(1), not_connected(Errno::ENOTCONN)),
        client(Op::Write(1), not_connected(Errno::EPIPE)),
        client(Op::PeerName, not_connected(Errno::ENOTCONN)),
        client(Op::ShutdownBoth, not_connected(Errno::ENOTCONN)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    ..BASE
};

/// Variant of [`CLOSED_PORT`] with Multipath TCP.
///
/// The SYN of the subflow carries `MP_CAPABLE`, which a kernel without a socket ignores.
pub(super) const CLOSED_PORT_MPTCP: Scenario = Scenario {
    id: "mptcp-connect-closed-port",
    topic: Topic::Connect,
    title: "Multipath TCP, nothing listens: RST+ACK to the SYN, ECONNREFUSED",
    story: "The client's socket is IPPROTO_MPTCP. Its SYN offers Multipath TCP. Where nothing listens, the kernel \
            replies as to any SYN: RST+ACK. The socket reports the same error as a plain TCP socket.",
    elsewhere: "Only Linux (5.6 and later) has IPPROTO_MPTCP; macOS has Multipath TCP under another interface.",
    advice: "See connect-closed-port. Multipath TCP makes no difference here.",
    target: Target::ClosedPort,
    multipath: true,
    steps: &[
        client(Op::Connect, fails_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), fails_after_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    // If RPS lets another CPU receive the RST while `connect()` holds the socket, Linux 6.18 traces no event for the
    // error.
    unreported: &[0],
    ..BASE
};

/// Destruction of a connecting socket by an administrator: `ECONNABORTED` without an RST.
///
/// `tcp_abort()` sends no RST in SYN-SENT, because the other end does not know the connection.
pub(super) const SOCK_DESTROY: Scenario = Scenario {
    id: "connect-sock-destroy",
    topic: Topic::Connect,
    title: "an administrator destroys the connecting socket (ss -K): ECONNABORTED, no RST",
    story: "The client waits in connect() for a reply that does not come. A privileged process has the kernel destroy \
            the socket, as `ss -K` does: connect() fails with ECONNABORTED. In SYN-SENT no RST is sent.",
    elsewhere: "FreeBSD has tcpdrop(8).",
    advice: "ECONNABORTED from connect() means that an administrator or a network manager destroyed the socket, or \
             that SO_ERROR was read before (connect-consumed-error).",
    target: Target::Blackholed,
    steps: &[
        Step::Begin(
            Role::Client,
            Op::Connect,
            Expect::Fails(Errno::ECONNABORTED, ExpectedCause::Destroyed),
        ),
        Step::Await(Awaited::SynFrom(Role::Client)),
        client(Op::Destroy, returns(0)),
        Step::End(Role::Client),
        client(Op::SocketError, Expect::ReportsNone),
        client(
            Op::Read(1),
            Expect::Fails(Errno::ENOTCONN, ExpectedCause::Destroyed),
        ),
    ],
    counters: &[("AttemptFails", 1)],
    ..BASE
};

/// TCP Fast Open to a closed port: `connect` succeeds, the first write is refused.
///
/// With `fastopen_connect`, `tcp_v4_connect()` sends nothing before the first write, which reports the error of the
/// SYN.
pub(super) const FAST_OPEN_REFUSED: Scenario = Scenario {
    id: "fast-open-connect-refused",
    topic: Topic::Connect,
    title: "TCP Fast Open to a closed port: connect succeeds, the write is refused",
    story: "With TCP_FASTOPEN_CONNECT, connect() succeeds at once and sends nothing: getpeername() fails with \
            ENOTCONN. The first write sends the SYN with its data. Nothing listens, and this write fails with \
            ECONNREFUSED.",
    elsewhere: "macOS has connectx(2) with the same effect.",
    advice: "With TCP Fast Open a successful connect() proves nothing, and write() may fail with ECONNREFUSED: look \
             for TCP_FASTOPEN_CONNECT in the client's library.",
    target: Target::ClosedPort,
    sysctls: &[FAST_OPEN],
    steps: &[
        client(Op::FastOpenConnect, returns(0)),
        client(Op::Connect, returns(0)),
        client(Op::PeerName, not_connected(Errno::ENOTCONN)),
        client(Op::Write(2), fails_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Connect to a listener that requires TCP-MD5 signatures: `ETIMEDOUT`.
///
/// `tcp_inbound_hash()` drops a segment without the required signature (`TCPMD5NotFound`).
pub(super) const MD5_MISSING: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::Without(&history::SYN_LINEAR_TIMEOUTS),
        is: &Scenario {
            // SYNs are sent after 0 s and 1 s; the next one would be due when the time is up.
            counters: &[
                ("AttemptFails", 1),
                ("TCPAbortOnTimeout", 1),
                ("TCPMD5NotFound", 2),
            ],
            ..UNSIGNED
        },
    }],
    ..UNSIGNED
};

/// Form of [`MD5_MISSING`] on current kernels.
const UNSIGNED: Scenario = Scenario {
    id: "connect-md5-missing",
    topic: Topic::Connect,
    title: "the listener requires TCP-MD5 and the client has no key: ETIMEDOUT, no RST",
    story: "The listener accepts only signed segments (RFC 2385), and the client does not sign. Its SYNs are dropped \
            without a reply before anything else is checked: connect() times out although the port is open.",
    elsewhere: "RFC 2385 (section 2) requires that such a segment is dropped silently.",
    advice: "If a BGP session does not come up and its SYNs get no reply, compare the keys. `nstat -az \
             TcpExtTCPMD5NotFound` counts segments without a required signature, TCPMD5Unexpected segments with an \
             unexpected one.",
    target: Target::OwnListener(Listening {
        signed: true,
        ..Listening::USUAL
    }),
    slow: true,
    steps: &[
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, ExpectedCause::TimedOut),
        ),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    counters: &[
        ("AttemptFails", 1),
        ("TCPAbortOnTimeout", 1),
        ("TCPMD5NotFound", 3),
    ],
    ..BASE
};
