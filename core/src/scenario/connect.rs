//! Scenarios of connection set-up and its failures.

use super::{
    Awaited, BASE, Cause, DEAD, DEAD_WITH_ERROR, Errno, Events, Expect, ExpectedReset, Extent,
    FAST_OPEN, Fate, Listening, On, Op, Otherwise, Role, Scenario, Sender, Step, Target, Topic,
    UNCONNECTED, busy, client, dead_since_reset, not_connected, polls, reports, returns, server,
    told_of_reset, would_block,
};
use crate::flow::{Form, State};
use crate::history;

/// RST from the server's kernel, which has no socket for the SYN.
const REFUSAL: ExpectedReset = ExpectedReset {
    from: Role::Server,
    form: Some(Form::PassiveAck),
    fate: Fate::Believed,
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
    title: "nobody listens: RST+ACK to the SYN, ECONNREFUSED",
    story: "The client connects to a port where nobody listens. The kernel answers the SYN with RST+ACK: sequence \
            number 0, the SYN acknowledged. In SYN-SENT a reset is believed because of that acknowledgment, not \
            because of its sequence number, and it becomes ECONNREFUSED, once. A blocking connect() then puts the \
            socket back to unconnected: read() gives ENOTCONN, write() gives EPIPE.",
    elsewhere: "The same errno on the BSDs and macOS. Windows tries the SYN again for some two seconds before it \
                reports WSAECONNREFUSED.",
    advice: "ECONNREFUSED means that a host answered. Look whether the server runs and listens on this address and \
             family (`ss -ltn`); a server bound to 127.0.0.1 refuses on every other address. A firewall that rejects \
             with a TCP reset looks the same on the wire.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::Connect, told_of_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), dead_since_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
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
    story: "The server's listener is shut down and stays open: its port is still taken, and bind() of another socket to \
            it fails. But nobody listens, so the kernel answers the SYN as on a port that nobody uses: RST+ACK, \
            ECONNREFUSED.",
    elsewhere: "The same everywhere that shutdown() of a listener is allowed; POSIX leaves that open, and BSDs fail it \
                with ENOTCONN (from memory, not measured).",
    advice: "That a port is in use does not mean that anybody listens on it: `ss -ltn` shows who listens, `ss -tan` does not \
             show sockets that are only bound. A server that forgot listen() looks like this.",
    target: Target::OwnListener(Listening::USUAL),
    steps: &[
        server(Op::ShutdownListener, returns(0)),
        client(Op::Connect, told_of_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), dead_since_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
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

/// Variant of [`CLOSED_PORT`] with a non-blocking `connect`, in which `SO_ERROR` takes the error.
///
/// On loopback the SYN, the answer and `tcp_reset()` all happen within `connect(2)`, which returns `EINPROGRESS` all
/// the same (`__inet_stream_connect()`).
pub(super) const CLOSED_PORT_NONBLOCKING: Scenario = Scenario {
    id: "connect-closed-port-nonblocking",
    topic: Topic::Connect,
    title: "O_NONBLOCK: connect EINPROGRESS, poll ERR|HUP, SO_ERROR ECONNREFUSED",
    story: "The client does not wait for connect(). It returns EINPROGRESS although on loopback the RST has come in \
            by then: poll() shows it at once (IN, OUT, ERR, HUP and RDHUP). The error is told to whoever asks first, \
            here SO_ERROR, and to nobody else; unlike after a blocking connect the socket is then dead and not \
            unconnected.",
    elsewhere: "BSD and macOS report it through SO_ERROR as well. Windows tries the SYN again for some two seconds.",
    advice: "Wait for POLLOUT, then ask SO_ERROR before anything else: writable does not mean connected. A library \
            that just writes gets ECONNREFUSED from write() and may call it a broken connection.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, reports(Errno::ECONNREFUSED, 0)),
        // The error was taken, but the connection stays closed.
        client(Op::Poll, polls(DEAD)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Variant of [`CLOSED_PORT`] with a non-blocking `connect`, in which a read takes the error (`tcp_recvmsg_locked()`).
///
/// On loopback the SYN, the answer and `tcp_reset()` all happen within `connect(2)`, which returns `EINPROGRESS` all
/// the same (`__inet_stream_connect()`).
pub(super) const CLOSED_PORT_NONBLOCKING_READ: Scenario = Scenario {
    id: "connect-nonblocking-read",
    topic: Topic::Connect,
    title: "O_NONBLOCK: the first read is told ECONNREFUSED",
    story: "The client does not wait for connect(). It returns EINPROGRESS although on loopback the RST has come in \
            by then: poll() shows it at once (IN, OUT, ERR, HUP and RDHUP). The error is told to whoever asks first, \
            here read(), and to nobody else; unlike after a blocking connect the socket is then dead and not \
            unconnected.",
    elsewhere: "BSD and macOS report it through SO_ERROR as well. Windows tries the SYN again for some two seconds.",
    advice: "Wait for POLLOUT, then ask SO_ERROR before anything else: writable does not mean connected. A library \
            that just writes gets ECONNREFUSED from write() and may call it a broken connection.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), told_of_reset(Errno::ECONNREFUSED, 0)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Poll, polls(DEAD)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Variant of [`CLOSED_PORT`] with a non-blocking `connect`, in which a write takes the error (`sk_stream_error()`).
///
/// On loopback the SYN, the answer and `tcp_reset()` all happen within `connect(2)`, which returns `EINPROGRESS` all
/// the same (`__inet_stream_connect()`).
pub(super) const CLOSED_PORT_NONBLOCKING_WRITE: Scenario = Scenario {
    id: "connect-nonblocking-write",
    topic: Topic::Connect,
    title: "O_NONBLOCK: the first write is told ECONNREFUSED",
    story: "The client does not wait for connect(). It returns EINPROGRESS although on loopback the RST has come in \
            by then: poll() shows it at once (IN, OUT, ERR, HUP and RDHUP). The error is told to whoever asks first, \
            here write(), and to nobody else; unlike after a blocking connect the socket is then dead and not \
            unconnected.",
    elsewhere: "BSD and macOS report it through SO_ERROR as well. Windows tries the SYN again for some two seconds.",
    advice: "Wait for POLLOUT, then ask SO_ERROR before anything else: writable does not mean connected. A library \
            that just writes gets ECONNREFUSED from write() and may call it a broken connection.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Write(1), told_of_reset(Errno::ECONNREFUSED, 0)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Poll, polls(DEAD)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REFUSAL],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};

/// Variant of [`CLOSED_PORT`] with a non-blocking `connect`, in which a second `connect` takes the error
/// (`sock_error()`).
///
/// On loopback the SYN, the answer and `tcp_reset()` all happen within `connect(2)`, which returns `EINPROGRESS` all
/// the same (`__inet_stream_connect()`).
pub(super) const CLOSED_PORT_NONBLOCKING_CONNECT: Scenario = Scenario {
    id: "connect-nonblocking-again",
    topic: Topic::Connect,
    title: "O_NONBLOCK: a second connect is told ECONNREFUSED",
    story: "The client does not wait for connect(). It returns EINPROGRESS although on loopback the RST has come in \
            by then: poll() shows it at once (IN, OUT, ERR, HUP and RDHUP). The error is told to whoever asks first, \
            here connect(), and to nobody else; unlike after a blocking connect the socket is then dead and not \
            unconnected.",
    elsewhere: "BSD and macOS report it through SO_ERROR as well. Windows tries the SYN again for some two seconds.",
    advice: "Wait for POLLOUT, then ask SO_ERROR before anything else: writable does not mean connected. A library \
            that just writes gets ECONNREFUSED from write() and may call it a broken connection.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Connect, told_of_reset(Errno::ECONNREFUSED, 0)),
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
    title: "SO_ERROR takes ECONNREFUSED; the next connect says ECONNABORTED",
    story: "A non-blocking connect is refused. SO_ERROR reports ECONNREFUSED and takes it. A second connect() on the \
            socket has to say that the first one failed, but the reason is gone: ECONNABORTED, an error that no \
            segment carries.",
    elsewhere: "Not measured elsewhere.",
    advice: "ECONNABORTED from connect() on Linux means that somebody in this process asked SO_ERROR before: log what \
            that said. Make a new socket for each attempt.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::SocketError, reports(Errno::ECONNREFUSED, 0)),
        client(Op::Connect, dead_since_reset(Errno::ECONNABORTED, 0)),
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
    title: "the accept queue is full: the SYN is dropped, connect is not answered",
    story: "The listener has a backlog of 0 and one connection waits in its queue that nobody accepts. The client's \
            SYN is dropped without an answer, on purpose: the kernel hopes that the queue drains before the SYN is \
            sent again. connect() stays in progress, and a second one says EALREADY. There is no RST; only \
            ListenOverflows and ListenDrops tell.",
    elsewhere: "FreeBSD drops the SYN as well. Windows answers with RST, so there it is a refused connection.",
    advice: "Connects that take 1, 3 or 7 seconds, or time out, while the server is up: look at `nstat -az \
            TcpExtListenOverflows` and at Recv-Q and Send-Q of `ss -ltn`. Raise the backlog and net.core.somaxconn, \
            or accept faster.",
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
    story: "As connect-backlog-full, but the client waits, and lets its SYN be sent again for three seconds only. When none \
            has been answered by then, connect() fails with ETIMEDOUT. Nobody sent a RST: the error comes from the \
            client's own timer.",
    elsewhere: "The same on the BSDs and macOS, after 75 seconds by default. Linux takes 133 seconds.",
    advice: "ETIMEDOUT from connect() says that nothing came back: a firewall that drops, a host that is down, or a \
            full accept queue on a server that is up. Only the server's ListenOverflows tells the last one.",
    target: FULL,
    slow: true,
    steps: &[
        Step::Others(1),
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, Cause::TimedOut),
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
    title: "SO_SNDTIMEO runs out in connect: EINPROGRESS, not ETIMEDOUT",
    story: "Nobody answers the client's SYN, and SO_SNDTIMEO lets it wait 20 ms only. connect() then fails with \
            EINPROGRESS, the error of a call that does not wait at all, and a second one with EALREADY. The attempt \
            itself goes on.",
    elsewhere: "Elsewhere SO_SNDTIMEO does not bound connect (from memory, not measured).",
    advice: "EINPROGRESS from a blocking socket is a time-out of your own. Close the socket: the kernel keeps sending \
            SYNs for it.",
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
/// takes the error.
pub(super) const CANCELLED_SHUTDOWN: Scenario = Scenario {
    otherwise: &[Otherwise {
        on: On::With(&history::DISCONNECT_DENIED),
        is: &Scenario {
            title: "shutdown while connect waits: EBUSY, and connect waits on",
            story: "One thread waits in connect() for an answer that does not come; another calls shutdown() on the socket, and is \
                    refused: EBUSY. The first waits on until its own time-out (SO_SNDTIMEO) ends it with EINPROGRESS.",
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

/// Time-out of a `connect` that cannot be cancelled, in milliseconds: long enough for the other call, but too short for
/// a retransmission of the SYN.
const PATIENCE_MS: u16 = 500;

/// Form of [`CANCELLED_SHUTDOWN`] on current kernels.
const SHUTDOWN_WHILE_CONNECTING: Scenario = Scenario {
    id: "connect-cancelled-shutdown",
    topic: Topic::Connect,
    title: "shutdown while connect waits: ECONNRESET with no RST anywhere",
    story: "One thread waits in connect() for an answer that does not come; another calls shutdown() on the socket. \
            The first is told ECONNRESET, \"connection reset by peer\", although no peer has sent anything: the wire \
            shows the SYN and nothing else.",
    elsewhere: "Not measured elsewhere.",
    advice: "ECONNRESET from connect() without a RST in the capture: look for a thread of your own that shuts the \
            socket down, a time-out handler most likely.",
    target: FULL,
    steps: &[
        Step::Others(1),
        Step::Begin(
            Role::Client,
            Op::Connect,
            Expect::Fails(Errno::ECONNRESET, Cause::OwnDisconnect),
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
            title: "connect(AF_UNSPEC) while connect waits: EBUSY, and connect waits on",
            story: "As connect-cancelled-shutdown: connect(AF_UNSPEC) is refused with EBUSY, and the thread that waits in connect() \
                    waits on until its own time-out.",
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
    story: "As connect-cancelled-shutdown, but the other thread dissolves the association with connect(AF_UNSPEC). \
            The thread that waits in connect() is told EPIPE, \"broken pipe\", before anything could be written.",
    elsewhere: "Not measured elsewhere.",
    advice: "EPIPE from connect() can only be this: another thread of the same process has dissolved the association.",
    target: FULL,
    steps: &[
        Step::Others(1),
        Step::Begin(
            Role::Client,
            Op::Connect,
            Expect::Fails(Errno::EPIPE, Cause::OwnDisconnect),
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
    title: "connect to one's own port: success without a server, no RST",
    story: "The client connects to the very address and port that it is bound to. Its SYN meets its own socket, \
            which takes it for the SYN of a peer that opens at the same time: the connection is established, with \
            itself, and reads what it writes.",
    elsewhere: "The same on the BSDs. Windows refuses it (from memory, not measured).",
    advice: "A program that retries connecting to a local port in the ephemeral range while the server is down will \
            some day connect to itself and then keep the server from binding. Keep servers out of \
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
    story: "A socket that was never connected: poll() says OUT and HUP, read() fails with ENOTCONN, write() with \
            EPIPE, shutdown() and getpeername() with ENOTCONN. No segment has a part in any of it.",
    elsewhere: "On the BSDs write() gives ENOTCONN as well.",
    advice: "\"Broken pipe\" at once and for every write, with nothing in a capture: the socket is not connected, \
            perhaps because a failed blocking connect() was not noticed.",
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
    title: "Multipath TCP, nobody listens: RST+ACK to the SYN, ECONNREFUSED",
    story: "The client's socket is IPPROTO_MPTCP. Its SYN offers Multipath TCP, and the kernel of a host where \
            nobody listens answers as it answers any SYN: RST+ACK. The error reaches the owner as it would on a \
            plain socket.",
    elsewhere: "Only Linux (5.6 and later) has IPPROTO_MPTCP; macOS has Multipath TCP under another interface.",
    advice: "Do what connect-closed-port advises. Multipath TCP changes nothing here.",
    target: Target::ClosedPort,
    multipath: true,
    steps: &[
        client(Op::Connect, told_of_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), dead_since_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
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
    story: "The client waits in connect() for an answer that does not come. Somebody with the right to do so has the kernel destroy \
            the socket, as `ss -K` does: connect() fails with ECONNABORTED. In SYN-SENT no RST is sent.",
    elsewhere: "FreeBSD has tcpdrop(8).",
    advice: "ECONNABORTED from connect(): an administrator or a network manager, or SO_ERROR was asked before \
             (connect-consumed-error).",
    target: Target::Deaf,
    steps: &[
        Step::Begin(
            Role::Client,
            Op::Connect,
            Expect::Fails(Errno::ECONNABORTED, Cause::Destroyed),
        ),
        Step::Await(Awaited::SynFrom(Role::Client)),
        client(Op::Destroy, returns(0)),
        Step::End(Role::Client),
        client(Op::SocketError, Expect::ReportsNone),
        client(
            Op::Read(1),
            Expect::Fails(Errno::ENOTCONN, Cause::Destroyed),
        ),
    ],
    counters: &[("AttemptFails", 1)],
    ..BASE
};

/// TCP Fast Open to a closed port: `connect` succeeds, the first write is refused.
///
/// With `fastopen_connect`, `tcp_v4_connect()` sends nothing before the first write, which takes the error of the SYN.
pub(super) const FAST_OPEN_REFUSED: Scenario = Scenario {
    id: "fast-open-connect-refused",
    topic: Topic::Connect,
    title: "TCP Fast Open to a closed port: connect succeeds, the write is refused",
    story: "With TCP_FASTOPEN_CONNECT connect() succeeds at once and sends nothing: getpeername() says ENOTCONN. The first write \
            sends the SYN with its data, nobody listens, and it is the write that is told ECONNREFUSED.",
    elsewhere: "macOS has connectx(2) with the same effect.",
    advice: "A successful connect() proves nothing with TCP Fast Open, and ECONNREFUSED may come from write(): look for \
             TCP_FASTOPEN_CONNECT in the client's library.",
    target: Target::ClosedPort,
    sysctls: &[FAST_OPEN],
    steps: &[
        client(Op::FastOpenConnect, returns(0)),
        client(Op::Connect, returns(0)),
        client(Op::PeerName, not_connected(Errno::ENOTCONN)),
        client(Op::Write(2), told_of_reset(Errno::ECONNREFUSED, 0)),
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
    title: "the listener wants TCP-MD5 and the client has no key: ETIMEDOUT, no RST",
    story: "The listener takes only segments that are signed (RFC 2385), and the client signs none. Its SYNs are dropped before \
            anything else is looked at, without an answer: connect() times out though the port is open.",
    elsewhere: "RFC 2385, 2: such a segment must be dropped silently.",
    advice: "A BGP session that does not come up, with SYNs and no answer: compare the keys. `nstat -az \
             TcpExtTCPMD5NotFound` counts those without a signature, TCPMD5Unexpected those with one that nobody wants.",
    target: Target::OwnListener(Listening {
        signed: true,
        ..Listening::USUAL
    }),
    slow: true,
    steps: &[
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, Cause::TimedOut),
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
