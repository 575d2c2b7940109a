//! Scenarios in which one end of a connection disappears silently, and timers expire.

use super::notation::{
    DEAD, DEAD_WITH_ERROR, OPEN, abort, answer, client, fails_after_reset, fails_from_reset, lost,
    polls, returns, server,
};
use super::{
    Awaited, BASE, Change, Errno, Expect, ExpectedCause, ExpectedIcmp, Family, Forged, ForgedIcmp,
    Listening, Network, Op, Role, Scenario, Sender, Step, Target, Topic,
};
use crate::flow::State;
use crate::packet::Flags;

/// Expects a failure because the kernel gives up its retransmissions, without an RST.
const fn unanswered(errno: Errno) -> Expect {
    Expect::Fails(errno, ExpectedCause::Unanswered)
}

const fn timed_out(errno: Errno) -> Expect {
    Expect::Fails(errno, ExpectedCause::TimedOut)
}

// The other end no longer has the connection, and its kernel replies.

/// Server that has no state for an established connection: RST to the client's data.
///
/// `tcp_close()` in repair mode calls `tcp_disconnect()`, which then sends nothing. The data finds no socket, so
/// `tcp_v4_rcv()` answers.
pub(super) const PEER_VANISHED: Scenario = Scenario {
    id: "half-open-peer-vanished",
    topic: Topic::HalfOpen,
    title: "the server no longer has the connection: RST to the data, ECONNRESET",
    story: "The server's end of the connection no longer exists and the client does not know, as after a crash of the \
            server's host; here TCP_REPAIR closes the socket without a FIN or an RST. The client's write() succeeds. \
            Its data reaches a kernel that has no such connection and replies with an RST, reason NO_SOCKET.",
    elsewhere: "All systems do this (RFC 9293, 3.5.1: half-open connections).",
    advice: "An RST in reply to data on a connection that was idle, from a host that is up: the host was restarted, \
             or a NAT or load balancer in front of it dropped its state of the connection. A shorter keepalive \
             interval detects this earlier.",
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
    title: "the server was restarted and listens again: RST from the listener",
    story: "Like half-open-peer-vanished, but the server was restarted and listens on the port again. The client sees \
            the same. The kernel's reason differs: the RST comes from the listening socket, with reason TCP_FLAGS; on \
            a port without a listener the reason is NO_SOCKET. Only the server's kernel can distinguish the two \
            cases; the packets are the same.",
    elsewhere: "The packets are the same on all systems.",
    advice: "Resets right after a deployment, with reason TCP_FLAGS, come from clients that still use connections of \
             the old process. Drain the old process before it exits.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Repair, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Poll, polls(DEAD_WITH_ERROR)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
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
    title: "the client's host restarts and reuses the port: challenge ACK, RST, ECONNRESET",
    story: "The client's host has lost the connection silently, and opens a new one from the same port. The server \
            still has the old connection. The SYN does not end the old connection; the server replies with a \
            challenge ACK. The client's host has no such connection and replies to the ACK with an RST, and the \
            server's next read fails with ECONNRESET. The SYN is forged here; a kernel that had sent it would send \
            the same RST, and then retransmit the SYN.",
    elsewhere: "RFC 793 (figure 9) and RFC 9293 require this. On systems without RFC 5961 a SYN within the window resets \
                the connection.",
    advice: "If TCPSYNChallenge grows on a server, clients crash, or a NAT reuses ports too soon. For such a client \
             connect() takes longer, because it has to send its SYN again.",
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
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        server(Op::Read(1), returns(0)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
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
    title: "RST in reply to a keepalive probe: ECONNRESET on an idle connection",
    story: "The server no longer has the connection. The client writes nothing, but keepalive is on. After a second \
            the client's kernel sends a probe, and the server's kernel replies with an RST: the client's connection \
            is reset although the client did nothing.",
    elsewhere: "All systems do this; the time depends on settings (two hours by default).",
    advice: "An RST on an idle connection, in reply to a segment without data whose SEQ is one below the next: \
             keepalive has detected that the other end no longer has the connection. This is its purpose.",
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
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
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

// The other end receives no segment.

/// Unanswered keepalive probes: `ETIMEDOUT`, and an RST.
///
/// `tcp_keepalive_timer()` is the only timer that sends an RST, with the reason `TCP_KEEPALIVE_TIMEOUT`, before
/// `tcp_write_err()`.
pub(super) const KEEPALIVE_TIMEOUT: Scenario = Scenario {
    id: "keepalive-timeout",
    topic: Topic::HalfOpen,
    title: "keepalive probes get no reply: ETIMEDOUT, and the client sends an RST",
    story: "The server's host is unreachable. The client's keepalive probe gets no reply within a second, and the \
            kernel ends the connection with ETIMEDOUT (TCP_KEEPCNT is 1 here; by default 9 probes are sent). \
            Keepalive is the only timeout of a connection that also sends an RST; here the RST does not reach anyone.",
    elsewhere: "The BSDs also send an RST.",
    advice: "An RST from the end that reports ETIMEDOUT, after probes whose SEQ is one below the next, means that its \
             keepalive gave up. The kernel's reason is TCP_KEEPALIVE_TIMEOUT. Check the path between the hosts.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        // The server receives nothing from here on.
        server(Op::Blackhole, returns(0)),
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
    title: "ICMP error about a keepalive probe: ignored, still ETIMEDOUT",
    story: "The server's host is unreachable, and a router reports it: an ICMP error quotes the client's keepalive \
            probe. But the probe's sequence number was acknowledged long ago, so the kernel ignores the error as \
            possibly forged. The connection ends with ETIMEDOUT, as without the ICMP error.",
    elsewhere: "Systems that make the check of RFC 5927 do the same.",
    advice: "Do not expect EHOSTUNREACH from an idle connection with keepalive, whatever ICMP errors arrive.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Blackhole, returns(0)),
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
    story: "The server's host is unreachable. The client's data is retransmitted, each time after twice the interval. \
            After the number of retries that net.ipv4.tcp_retries2 allows (2 here; 15 by default, about 15 minutes) \
            the kernel gives up: ETIMEDOUT. It sends no RST: the other end, if it still exists, keeps the connection.",
    elsewhere: "All systems do this. Windows reports WSAETIMEDOUT or WSAECONNABORTED and gives up after about 20 \
                seconds.",
    advice: "ETIMEDOUT from read() or write() on an established connection means that no acknowledgment came back. \
             Check the path and the peer's host, not the peer's program. TCP_USER_TIMEOUT limits the time.",
    sysctls: &[("tcp_retries2", "2")],
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Blackhole, returns(0)),
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
    title: "TCP_USER_TIMEOUT expires: ETIMEDOUT, and no RST",
    story: "Like retransmission-timeout, limited by TCP_USER_TIMEOUT: after half a second without an acknowledgment, \
            rounded up to the next retransmission, the connection ends with ETIMEDOUT and no RST.",
    elsewhere: "The option is specific to Linux; RFC 5482 describes the idea. macOS has TCP_RXT_CONNDROPTIME.",
    advice: "Use this option to make a connection fail within the time that the application can wait. It also changes \
             keepalive.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Blackhole, returns(0)),
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

/// ICMP error followed by a timeout: the errno of the ICMP error.
///
/// `tcp_write_err()` reports `sk_err_soft`, if set, instead of `ETIMEDOUT`.
pub(super) const ICMP_TIMEOUT: Scenario = Scenario {
    id: "icmp-then-timeout",
    topic: Topic::HalfOpen,
    title: "ICMP error, then timeout: EHOSTUNREACH instead of ETIMEDOUT",
    story: "The server's host is unreachable, and a router reports it by ICMP. The kernel records the error and keeps \
            retransmitting; when it gives up, it reports the error that the ICMP message maps to, EHOSTUNREACH, \
            instead of ETIMEDOUT.",
    elsewhere: "The BSDs do the same with t_softerror.",
    advice: "For EHOSTUNREACH on a connection that worked, look in the capture, perhaps minutes earlier, for an ICMP \
             error that quotes the connection. Its source is the router that could not deliver.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Blackhole, returns(0)),
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
            Expect::Fails(Errno::EHOSTUNREACH, ExpectedCause::Icmp(0)),
        ),
        client(Op::Read(1), returns(0)),
        client(
            Op::Write(1),
            Expect::Fails(Errno::EPIPE, ExpectedCause::Icmp(0)),
        ),
    ],
    icmp: &[HOST_UNREACHABLE],
    counters: &[("EstabResets", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Close that exceeds the `SO_LINGER` time: it returns 0, without an RST.
///
/// `__tcp_close()` waits in `sk_stream_wait_close()` for `sk_lingertime` and returns 0 whatever the result.
pub(super) const LINGER_TIMEOUT: Scenario = Scenario {
    id: "linger-timeout-close",
    topic: Topic::HalfOpen,
    title: "SO_LINGER expires in close: close returns 0, and no RST",
    story: "The client has written, the server's host is unreachable, and SO_LINGER makes close() wait up to a second \
            for the acknowledgment. None arrives. close() still returns 0, and no RST is sent: the kernel keeps \
            retransmitting.",
    elsewhere: "POSIX allows close() to fail with EWOULDBLOCK, as on FreeBSD. Windows resets the connection.",
    advice: "On Linux the result of close() with SO_LINGER does not show whether the data arrived. To find out, shut \
             down the sending side and read until the peer's end of file.",
    slow: true,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Blackhole, returns(0)),
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
    title: "the server's host was rebooted: RST to the data, from a host without the connection",
    story: "The server's host disappears and comes up again with the same address. The client's write() succeeds, and \
            its data reaches a kernel that has never had the connection and replies with an RST. The client's next \
            read() fails with ECONNRESET.",
    elsewhere: "RFC 9293 (3.5.1, figure 10) describes this.",
    advice: "RSTs in reply to data, from a host whose uptime is shorter than the connection's age. A virtual address \
             that moves from one host to another looks the same.",
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
    title: "no host on the link has the server's address any more: EHOSTUNREACH, and no RST",
    story: "The server's host has lost its address, and the client's ARP requests (or neighbour solicitations) get no \
            reply. Packets wait and are dropped after three requests; each time the kernel records an internal \
            host-unreachable error. When the kernel gives up, it reports this error: EHOSTUNREACH, with no ICMP and \
            no RST on the wire.",
    elsewhere: "The BSDs report EHOSTDOWN for a neighbour that does not reply.",
    advice: "For EHOSTUNREACH with a host on the same link, `ip neigh` shows FAILED, and the capture shows ARP \
             requests (or neighbour solicitations) without a reply.",
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
            Expect::Fails(Errno::EHOSTUNREACH, ExpectedCause::NoRoute),
        ),
        client(Op::Read(1), returns(0)),
        client(
            Op::Write(1),
            Expect::Fails(Errno::EPIPE, ExpectedCause::NoRoute),
        ),
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
    story: "The server's end of the link goes down. The client's segments are lost; its kernel retransmits and gives \
            up with ETIMEDOUT. A link that is down causes no RST and no ICMP error.",
    elsewhere: "All systems do this.",
    advice: "Check cables, switches and virtual machines that were moved: TCP detects such a loss by timeout only.",
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
    story: "The client's host loses the address that the connection uses: a lease that expired, a VPN that was \
            closed. Linux does not report this to the socket. Data cannot be sent, and the connection ends with \
            ETIMEDOUT as if the other end were unreachable.",
    elsewhere: "Android destroys such sockets (SOCK_DESTROY), so that they fail at once with ECONNABORTED.",
    advice: "If connections hang after a change of network, compare `ss -tn` with `ip address`. `ss -K src ADDRESS` \
             ends them.",
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
    story: "Like established-address-gone, over IPv6. There the kernel records at each attempt that it has no route \
            any more, and reports this error when it gives up: ENETUNREACH. Over IPv4 it records nothing, and the \
            same connection ends with ETIMEDOUT.",
    advice: "The same failure has two errors: which one a client logs depends on the address family of its \
             connection.",
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
            Expect::Fails(Errno::ENETUNREACH, ExpectedCause::NoRoute),
        ),
        client(Op::Read(1), returns(0)),
        client(
            Op::Write(1),
            Expect::Fails(Errno::EPIPE, ExpectedCause::NoRoute),
        ),
    ],
    ..ADDRESS_GONE
};
