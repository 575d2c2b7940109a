//! Scenarios in which one end of a connection disappears without a notice, and timers react.

use super::{
    Awaited, BASE, Cause, Change, DEAD, DEAD_WITH_ERROR, Errno, Expect, ExpectedIcmp, Family,
    Forged, ForgedIcmp, Listening, Network, OPEN, Op, Role, Scenario, Sender, Step, Target, Topic,
    abort, answer, client, dead_since_reset, lost, polls, returns, server, told_of_reset,
};
use crate::flow::State;
use crate::packet::Flags;

/// Expects a failure because the kernel gives up its retransmissions, without an RST.
const fn unanswered(errno: Errno) -> Expect {
    Expect::Fails(errno, Cause::Unanswered)
}

const fn timed_out(errno: Errno) -> Expect {
    Expect::Fails(errno, Cause::TimedOut)
}

// The other end is gone, and its kernel answers.

/// Server that has no state for an established connection: RST to the client's data.
///
/// `tcp_close()` in repair mode calls `tcp_disconnect()`, which then sends nothing. The data finds no socket, so
/// `tcp_v4_rcv()` answers.
pub(super) const PEER_VANISHED: Scenario = Scenario {
    id: "half-open-peer-vanished",
    topic: Topic::HalfOpen,
    title: "the server has forgotten the connection: RST to the data, ECONNRESET",
    story: "The server's end of the connection is gone and nobody has told the client, as after a crash; here TCP_REPAIR lets \
            the socket be closed without a FIN or a RST. The client's write() succeeds. Its data gets to a kernel that knows \
            of no such connection and answers with RST: NO_SOCKET.",
    elsewhere: "The same everywhere (RFC 9293, 3.5.1: half-open connections).",
    advice: "A reset that answers data, of a connection that was idle, from a host that is up: it was restarted, or a NAT or load \
             balancer in front of it has forgotten the connection. Shorter keepalives find out earlier.",
    target: Target::OwnListener(Listening::USUAL),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        // Otherwise the listener would answer the data.
        server(Op::CloseListener, returns(0)),
        server(Op::Repair, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Server,
        State::Established,
        Sender::Kernel,
        "NO_SOCKET",
    )],
    // The silent close in repair mode counts in EstabResets as well.
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Variant of [`PEER_VANISHED`] with a new listener, which sends the RST.
///
/// `tcp_v4_do_rcv()` of a listener answers a segment with ACK that belongs to no connection; the reason is `TCP_FLAGS`.
pub(super) const SERVER_RESTARTED: Scenario = Scenario {
    id: "half-open-server-restarted",
    topic: Topic::HalfOpen,
    title: "the same, and a listener is there again: RST from the listener",
    story: "As half-open-peer-vanished, but a listener has the port again: the server was restarted. The client sees the same. \
            The kernel's word differs: the RST comes from the listening socket, with reason TCP_FLAGS, where a port without one \
            gives NO_SOCKET. So the two can be told apart by the server's side, and not by the wire.",
    elsewhere: "The same on the wire everywhere.",
    advice: "Resets right after a deployment, with reason TCP_FLAGS: clients that still use connections of the old process. Let \
             the old one drain before it goes.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Repair, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Server,
        State::Established,
        Sender::Socket,
        "TCP_FLAGS",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// SYN of a restarted client on the old port: a challenge ACK, and an RST in reply.
///
/// `tcp_validate_incoming()` challenges the SYN (RFC 9293, 3.5.1, figure 9; RFC 5961, 4.2). `tcp_v4_rcv()` at the
/// client's host finds no socket for the ACK.
pub(super) const RECONNECT: Scenario = Scenario {
    id: "half-open-reconnect",
    topic: Topic::HalfOpen,
    title: "the client's host is back with a SYN on the old port: challenge ACK, RST, ECONNRESET",
    story: "The client's host has lost the connection without a word, and a SYN comes from the same port: somebody opens it anew. The             server still has the old connection. It does not give it up for a SYN; it asks back with an ACK. The client's host, which             knows nothing of the old connection, answers that with RST, and the server's next read is told ECONNRESET. The             SYN is made by hand here; a kernel that had sent it would send the same RST, and the SYN again.",
    elsewhere: "RFC 9293 has it so since RFC 793 (figure 9). Where RFC 5961 is not followed, a SYN within the window resets.",
    advice: "TCPSYNChallenge that grows on a server: clients crash, or a NAT gives ports out again too soon. What such a client sees is a              connect() that takes a second longer.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Repair, returns(0)),
        client(Op::Close, returns(0)),
        server(Op::Poll, polls(OPEN)),
        // The SYN that the client's host would send for a new connection from the same port.
        Step::Inject(Forged::new(Role::Client, Flags::SYN).off(1000)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        server(Op::Poll, polls(DEAD_WITH_ERROR)),
        server(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        server(Op::Read(1), returns(0)),
        server(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Client,
        State::Established,
        Sender::Kernel,
        "NO_SOCKET",
    )],
    counters: &[
        ("OutRsts", 1),
        ("EstabResets", 2),
        ("TCPSYNChallenge", 1),
        ("TCPChallengeACK", 1),
    ],
    ..BASE
};

/// Keepalive probe to a host without the connection: RST.
///
/// To a kernel that has no socket for it, a keepalive probe is a segment like any other.
pub(super) const KEEPALIVE_HALF_OPEN: Scenario = Scenario {
    id: "keepalive-half-open",
    topic: Topic::HalfOpen,
    title: "a keepalive probe finds nobody: RST, ECONNRESET on an idle connection",
    story: "The server has forgotten the connection, and the client writes nothing; but it has keepalive on. After a second \
            its kernel sends a probe, which the server's kernel answers with RST. The client, which has done nothing, is \
            reset.",
    elsewhere: "The same everywhere; how long it takes is a matter of settings (two hours by default).",
    advice: "A reset on a connection that nobody uses, drawn by a segment without data one number back: keepalive has found \
             out that the other end is gone. That is what it is for.",
    target: Target::OwnListener(Listening::USUAL),
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        // Otherwise the listener would answer the probe.
        server(Op::CloseListener, returns(0)),
        server(Op::Repair, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::KeepIdle(1), returns(0)),
        client(Op::KeepInterval(1), returns(0)),
        client(Op::KeepAlive, returns(0)),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Server,
        State::Established,
        Sender::Kernel,
        "NO_SOCKET",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

// The other end is dark: it answers no segment.

/// Unanswered keepalive probes: `ETIMEDOUT`, and an RST.
///
/// `tcp_keepalive_timer()` is the only timer that sends an RST, with the reason `TCP_KEEPALIVE_TIMEOUT`, before
/// `tcp_write_err()`.
pub(super) const KEEPALIVE_TIMEOUT: Scenario = Scenario {
    id: "keepalive-timeout",
    topic: Topic::HalfOpen,
    title: "keepalive probes are not answered: ETIMEDOUT, and a RST of one's own",
    story: "The server is dark. The client's keepalive probe gets no answer, nor does a second; the kernel ends the \
            connection with ETIMEDOUT. It is the only timer that sends a RST as well, to whoever may still be there; here \
            nobody hears it.",
    elsewhere: "The BSDs send a RST then, too.",
    advice: "A RST from the very end that reports ETIMEDOUT, after probes one number back: its keepalive gave up. The kernel \
             says TCP_KEEPALIVE_TIMEOUT. Look for what cut the path.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        // The server receives nothing from here on.
        server(Op::DropAll, returns(0)),
        client(Op::KeepIdle(1), returns(0)),
        client(Op::KeepInterval(1), returns(0)),
        client(Op::KeepCount(1), returns(0)),
        client(Op::KeepAlive, returns(0)),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), timed_out(Errno::ETIMEDOUT)),
        client(Op::Poll, polls(DEAD)),
        client(Op::Write(1), timed_out(Errno::EPIPE)),
        client(Op::Read(1), returns(0)),
    ],
    resets: &[lost(abort(
        Role::Client,
        State::Established,
        "TCP_KEEPALIVE_TIMEOUT",
    ))],
    // Only the client counts in EstabResets: the server does not receive the RST.
    counters: &[("OutRsts", 1), ("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// ICMP error in reply to a keepalive probe: ignored.
///
/// The sequence number of a probe is one below SND.UNA, so an ICMP error that quotes it is out of the window
/// (`OutOfWindowIcmps`) and dropped.
pub(super) const KEEPALIVE_ICMP: Scenario = Scenario {
    id: "keepalive-icmp",
    topic: Topic::HalfOpen,
    title: "ICMP answers a keepalive probe: not believed, still ETIMEDOUT",
    story: "The server is dark, and a router says so: an ICMP error quotes the client's keepalive probe. But a probe bears a \
            number that was acknowledged long ago, so the error counts as made up. The connection ends with ETIMEDOUT as if \
            nobody had said anything.",
    elsewhere: "Follows from RFC 5927's check, where that is made.",
    advice: "Do not expect EHOSTUNREACH from an idle connection with keepalive, whatever the routers say.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::DropAll, returns(0)),
        client(Op::KeepIdle(1), returns(0)),
        client(Op::KeepInterval(1), returns(0)),
        client(Op::KeepCount(1), returns(0)),
        client(Op::KeepAlive, returns(0)),
        Step::Await(Awaited::AgainFrom(Role::Client)),
        Step::InjectIcmp(ForgedIcmp {
            to: Role::Client,
            ipv4: (3, 1),
            ipv6: (1, 3),
            // The sequence number of a probe: one below SND.UNA.
            off: -1,
        }),
        client(Op::SocketError, Expect::ReportsNone),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Read(1), timed_out(Errno::ETIMEDOUT)),
        client(Op::Write(1), timed_out(Errno::EPIPE)),
    ],
    icmp: &[HOST_UNREACHABLE],
    resets: &[lost(abort(
        Role::Client,
        State::Established,
        "TCP_KEEPALIVE_TIMEOUT",
    ))],
    counters: &[
        ("OutRsts", 1),
        ("EstabResets", 1),
        ("TCPAbortOnTimeout", 1),
        ("OutOfWindowIcmps", 1),
    ],
    ..BASE
};

const HOST_UNREACHABLE: ExpectedIcmp = ExpectedIcmp {
    to: Role::Client,
    ipv4: (3, 1),
    ipv6: (1, 3),
};

/// Data that is never acknowledged: `ETIMEDOUT` without an RST.
///
/// `tcp_write_timeout()` calls `tcp_write_err()` after `tcp_retries2` retransmissions.
pub(super) const RETRANSMISSION_TIMEOUT: Scenario = Scenario {
    id: "retransmission-timeout",
    topic: Topic::HalfOpen,
    title: "data is never acknowledged: ETIMEDOUT, and no RST",
    story: "The server is dark. What the client writes is sent again and again, each time after twice as long; after as many \
            times as net.ipv4.tcp_retries2 allows (2 here, 15 by default, which is some 15 minutes) the kernel gives up: \
            ETIMEDOUT. It sends no RST: the other end, if it is there, goes on believing in the connection.",
    elsewhere: "The same everywhere; Windows calls it WSAETIMEDOUT or WSAECONNABORTED and gives up after some 20 seconds.",
    advice: "ETIMEDOUT from read() or write() of a connection that was established: nothing came back. What to look for is the \
             path, not the peer. TCP_USER_TIMEOUT bounds the time.",
    sysctls: &[("tcp_retries2", "2")],
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::DropAll, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), unanswered(Errno::ETIMEDOUT)),
        client(Op::Poll, polls(DEAD)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), unanswered(Errno::EPIPE)),
        // The server's connection stays open, because no RST is sent.
        server(Op::Poll, polls(OPEN)),
    ],
    counters: &[("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Data that is not acknowledged within `TCP_USER_TIMEOUT`: `ETIMEDOUT`.
///
/// `tcp_write_timeout()` checks `icsk_user_timeout` when the retransmission timer fires.
pub(super) const USER_TIMEOUT: Scenario = Scenario {
    id: "user-timeout",
    topic: Topic::HalfOpen,
    title: "TCP_USER_TIMEOUT runs out: ETIMEDOUT, and no RST",
    story: "As retransmission-timeout, bounded by TCP_USER_TIMEOUT: half a second without an acknowledgment, rounded up to the \
            next retransmission. ETIMEDOUT, and no RST.",
    elsewhere: "The option is Linux's own; RFC 5482 has the idea. macOS has TCP_RXT_CONNDROPTIME.",
    advice: "The one option that makes a write fail in the time that an application can wait. It changes keepalive, too.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::DropAll, returns(0)),
        client(Op::UserTimeout(500), returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), timed_out(Errno::ETIMEDOUT)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), timed_out(Errno::EPIPE)),
    ],
    counters: &[("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// ICMP error followed by a time-out: the errno of the ICMP error.
///
/// `tcp_write_err()` reports `sk_err_soft`, if set, instead of `ETIMEDOUT`.
pub(super) const ICMP_TIMEOUT: Scenario = Scenario {
    id: "icmp-then-timeout",
    topic: Topic::HalfOpen,
    title: "ICMP, then nothing: the time-out says EHOSTUNREACH",
    story: "The server is dark, and a router says so by ICMP. The error is noted and the data sent again all the same; when the \
            kernel gives up, it reports what the ICMP error stands for, EHOSTUNREACH, and not ETIMEDOUT.",
    elsewhere: "The BSDs do the same with t_softerror.",
    advice: "EHOSTUNREACH from a connection that worked: somewhere in the capture, perhaps minutes before, is an ICMP error that \
             quotes it. Its source is the router that gave up.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::DropAll, returns(0)),
        client(Op::UserTimeout(500), returns(0)),
        client(Op::Write(1), returns(1)),
        Step::InjectIcmp(ForgedIcmp {
            to: Role::Client,
            ipv4: (3, 1),
            ipv6: (1, 3),
            off: 0,
        }),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(
            Op::Read(1),
            Expect::Fails(Errno::EHOSTUNREACH, Cause::Icmp(0)),
        ),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), Expect::Fails(Errno::EPIPE, Cause::Icmp(0))),
    ],
    icmp: &[HOST_UNREACHABLE],
    counters: &[("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Close that exceeds `SO_LINGER`: 0, without an RST.
///
/// `__tcp_close()` waits in `sk_stream_wait_close()` for `sk_lingertime` and returns 0 whatever the result.
pub(super) const LINGER_TIMEOUT: Scenario = Scenario {
    id: "linger-timeout-close",
    topic: Topic::HalfOpen,
    title: "SO_LINGER runs out in close: it returns 0, and no RST",
    story: "The client has written, the server is dark, and SO_LINGER lets close() wait a second for the acknowledgment. None \
            comes. close() returns 0 all the same, and no RST is sent: the kernel goes on trying by itself.",
    elsewhere: "POSIX lets close() fail with EWOULDBLOCK then, which FreeBSD does. Windows resets the connection.",
    advice: "On Linux close() with SO_LINGER does not tell whether the data arrived. To know, shut the sending side down and read \
             the other end's end of file.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::DropAll, returns(0)),
        client(Op::Write(1), returns(1)),
        client(Op::Linger(1), returns(0)),
        client(Op::Close, returns(0)),
        server(Op::Poll, polls(OPEN)),
    ],
    ..BASE
};

// The network changes.

/// Reboot of the server's host: RST to the client's data.
///
/// The new kernel has no socket for the segment, so `tcp_v4_rcv()` answers; the reason is `NO_SOCKET`.
pub(super) const REBOOTED: Scenario = Scenario {
    id: "peer-rebooted",
    topic: Topic::HalfOpen,
    title: "the server's host was rebooted: RST to the data, from a host that never knew the connection",
    story: "The server's host goes without a word and comes up again with the same address: the client's packets get to a kernel that \
            has never seen the connection. It answers with RST. The client is told ECONNRESET at its next call.",
    elsewhere: "RFC 9293, 3.5.1, figure 10.",
    advice: "Resets that answer data, from a host whose uptime is shorter than the connection's age. Virtual addresses that move from \
             one host to another look the same.",
    network: Network::Link,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Repair, returns(0)),
        server(Op::Close, returns(0)),
        Step::Happens(Change::ServerReboots),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[answer(
        Role::Server,
        State::Established,
        Sender::Kernel,
        "NO_SOCKET",
    )],
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Loss of the server's address on the link: `EHOSTUNREACH`.
///
/// After three ARP requests without an answer, `ipv4_link_failure()` sets a soft error, which `tcp_write_err()`
/// reports.
pub(super) const NEIGHBOUR_GONE: Scenario = Scenario {
    id: "established-neighbour-gone",
    topic: Topic::HalfOpen,
    title: "nobody on the link has the server's address any more: EHOSTUNREACH, and no RST",
    story: "The server's host has lost its address, and the client's kernel asks the link in vain who has it. What it wants to send \
            waits, and is dropped after three questions; each time the kernel tells itself that the host cannot be reached. When it \
            gives up, that is the error: EHOSTUNREACH, with no ICMP and no RST on the wire.",
    elsewhere: "BSDs report EHOSTDOWN for a neighbour that does not answer.",
    advice: "EHOSTUNREACH for a host on the same link: `ip neigh` shows FAILED. The capture has ARP requests (or neighbour \
             solicitations) without an answer.",
    network: Network::Link,
    sysctls: &[("tcp_retries2", "2")],
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        Step::Happens(Change::ServerAddressGone),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(
            Op::Read(1),
            Expect::Fails(Errno::EHOSTUNREACH, Cause::NoRoute),
        ),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), Expect::Fails(Errno::EPIPE, Cause::NoRoute)),
    ],
    unsent: Some(Role::Client),
    counters: &[("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Failure of the server's link: segments leave but never arrive, until `tcp_write_timeout()` gives up.
pub(super) const LINK_DOWN: Scenario = Scenario {
    id: "established-link-down",
    topic: Topic::HalfOpen,
    title: "the server's link goes down: ETIMEDOUT, and no RST",
    story: "The server's end of the link goes down. What the client sends gets nowhere; its kernel tries again and gives up with \
            ETIMEDOUT. A link that is down says nothing: no RST, no ICMP.",
    elsewhere: "The same everywhere.",
    advice: "A cable, a switch, a virtual machine that was moved: TCP finds out by time alone.",
    network: Network::Link,
    sysctls: &[("tcp_retries2", "2")],
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::UserTimeout(500), returns(0)),
        Step::Happens(Change::ServerLinkDown),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), timed_out(Errno::ETIMEDOUT)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), timed_out(Errno::EPIPE)),
    ],
    unsent: Some(Role::Client),
    counters: &[("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Loss of the client's own address: `ETIMEDOUT`, and nothing is sent.
///
/// Without its source address, `__ip_queue_xmit()` cannot send anything and reports no error; `tcp_write_timeout()`
/// gives up.
pub(super) const ADDRESS_GONE: Scenario = Scenario {
    id: "established-address-gone",
    topic: Topic::HalfOpen,
    title: "the client's own address is removed: ETIMEDOUT, nothing is sent",
    story: "The client's host loses the address that the connection has: a lease that ran out, a VPN that was closed. Linux does not \
            tell the socket. What is written cannot be sent, and the connection ends with ETIMEDOUT as if the other end were gone.",
    elsewhere: "Android destroys such sockets (SOCK_DESTROY), so that they fail at once with ECONNABORTED.",
    advice: "Connections that hang after a change of network: compare `ss -tn` with `ip address`. `ss -K src ADDRESS` ends them.",
    network: Network::Link,
    families: &[Family::Ipv4],
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::UserTimeout(500), returns(0)),
        Step::Happens(Change::ClientAddressGone),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), timed_out(Errno::ETIMEDOUT)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), timed_out(Errno::EPIPE)),
    ],
    unsent: Some(Role::Client),
    counters: &[("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Loss of the client's own IPv6 address: `ENETUNREACH`.
///
/// Unlike `__ip_queue_xmit()`, `inet6_csk_xmit()` records in `sk_err_soft` why there is no route; `tcp_write_err()`
/// reports that instead of `ETIMEDOUT`.
pub(super) const ADDRESS_GONE_IPV6: Scenario = Scenario {
    id: "established-address-gone-ipv6",
    title: "the client's own IPv6 address is removed: ENETUNREACH, nothing is sent",
    story: "As established-address-gone, over IPv6. There the kernel notes each time that it knows no route any more, and when it \
            gives up, that is the error: ENETUNREACH. Over IPv4 it notes nothing, and the same connection ends with ETIMEDOUT.",
    advice: "One service, two errors: which of the two a client logs depends on the family that it happened to connect over.",
    families: &[Family::Ipv6],
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::UserTimeout(500), returns(0)),
        Step::Happens(Change::ClientAddressGone),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::Dead(Role::Client)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(
            Op::Read(1),
            Expect::Fails(Errno::ENETUNREACH, Cause::NoRoute),
        ),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), Expect::Fails(Errno::EPIPE, Cause::NoRoute)),
    ],
    ..ADDRESS_GONE
};
