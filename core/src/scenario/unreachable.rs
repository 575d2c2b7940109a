//! Scenarios of unreachable addresses: this host has no route, no host answers, or an ICMP error arrives.

use super::notation::{OPEN, client, not_connected, returns, server, would_block};
use super::{
    Awaited, BASE, Change, Errno, Events, Expect, ExpectedCause, ExpectedIcmp, Extent, Family,
    ForgedIcmp, Network, Op, Role, Route, Rule, Scenario, Step, Target, Timing, Topic,
};

// No route on this host.

/// Expects a failure because `ip_route_connect()` fails in `connect`, before a SYN is made.
const fn no_route(errno: Errno) -> Expect {
    Expect::Fails(errno, ExpectedCause::NoRoute)
}

const NO_ROUTE_STORY: &str = "Before the client's kernel sends a SYN, it looks up a route. There is none, or its type \
                              rejects, so connect() fails at once with a local error: nothing is sent, and no RST or \
                              ICMP error is received. The socket remains usable.";

/// Connect without a route: `fib_lookup()` finds nothing, `ENETUNREACH`.
pub(super) const ROUTE_MISSING: Scenario = Scenario {
    id: "connect-route-missing",
    topic: Topic::Unreachable,
    title: "no route: ENETUNREACH at once, nothing is sent",
    story: NO_ROUTE_STORY,
    elsewhere: "The BSDs and macOS report ENETUNREACH as well, or EHOSTUNREACH in some cases (from memory).",
    advice: "ENETUNREACH at once is a local error: `ip route get ADDRESS` shows the kernel's routing decision. \
             Usually the address is of a family without a default route.",
    target: Target::NoRoute(Route::Missing),
    extent: Extent::Nothing,
    steps: &[
        client(Op::Connect, no_route(Errno::ENETUNREACH)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Read(1), not_connected(Errno::ENOTCONN)),
    ],
    ..BASE
};

/// Connect over a route of type `unreachable`: `fib_props[RTN_UNREACHABLE]`, `EHOSTUNREACH`.
pub(super) const ROUTE_UNREACHABLE: Scenario = Scenario {
    id: "connect-route-unreachable",
    topic: Topic::Unreachable,
    title: "a route of type unreachable: EHOSTUNREACH at once",
    story: NO_ROUTE_STORY,
    elsewhere: "On the BSDs such a route has the flag `-reject` (`route add -reject`) and causes the same error.",
    advice: "`ip route get ADDRESS` fails with the same error, and `ip route show` lists the route. VPN software and \
             container networks add such routes to prevent traffic from leaking.",
    target: Target::NoRoute(Route::Unreachable),
    extent: Extent::Nothing,
    steps: &[
        client(Op::Connect, no_route(Errno::EHOSTUNREACH)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Read(1), not_connected(Errno::ENOTCONN)),
    ],
    ..BASE
};

/// Connect over a route of type `prohibit`: `fib_props[RTN_PROHIBIT]`, `EACCES`.
pub(super) const ROUTE_PROHIBIT: Scenario = Scenario {
    id: "connect-route-prohibit",
    topic: Topic::Unreachable,
    title: "a route of type prohibit: EACCES at once",
    story: NO_ROUTE_STORY,
    elsewhere: "Only Linux has this type of route.",
    advice: "EACCES from connect() over IPv4 comes from a route of type prohibit (`ip route show`) or from a security \
             module; over IPv6 an ICMPv6 error can cause it, too.",
    target: Target::NoRoute(Route::Prohibit),
    extent: Extent::Nothing,
    steps: &[
        client(Op::Connect, no_route(Errno::EACCES)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Read(1), not_connected(Errno::ENOTCONN)),
    ],
    ..BASE
};

/// Connect over a route of type `blackhole`: `fib_props[RTN_BLACKHOLE]`, `EINVAL`.
pub(super) const ROUTE_BLACKHOLE: Scenario = Scenario {
    id: "connect-route-blackhole",
    topic: Topic::Unreachable,
    title: "a route of type blackhole: EINVAL at once",
    story: NO_ROUTE_STORY,
    elsewhere: "On the BSDs a blackhole route drops silently, and connect() waits (from memory, not measured).",
    advice: "A blackhole route drops forwarded packets silently, but on the host itself connect() fails with EINVAL. \
             If connect() fails with EINVAL although its arguments are valid, look for such a route with `ip route \
             show`.",
    target: Target::NoRoute(Route::Blackhole),
    extent: Extent::Nothing,
    steps: &[
        client(Op::Connect, no_route(Errno::EINVAL)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Read(1), not_connected(Errno::ENOTCONN)),
    ],
    ..BASE
};

// No answer.

/// Connect without an answer: `ETIMEDOUT`, and no segment reports the failure.
///
/// `retransmits_timed_out()` and `tcp_write_err()` end the attempt. `TCP_SYNCNT` 1 allows 3 seconds.
pub(super) const BLACKHOLED: Scenario = Scenario {
    id: "connect-blackholed",
    topic: Topic::Unreachable,
    title: "the SYN is lost: ETIMEDOUT, and no RST",
    story: "The client's SYN reaches the server's address and is dropped there without a reply. The client \
            retransmits it as often as TCP_SYNCNT allows; then connect() fails with ETIMEDOUT. There is no RST and no \
            ICMP error: the error comes from the client's own timer.",
    elsewhere: "The BSDs and macOS do the same after 75 seconds by default, Linux after about 130, Windows after 21.",
    advice: "A timeout shows that nothing came back, not why. Capture at the server: does the SYN arrive? Does a \
             reply leave?",
    target: Target::Blackholed,
    slow: true,
    steps: &[
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, ExpectedCause::TimedOut),
        ),
        client(Op::SocketError, Expect::ReportsNone),
        client(
            Op::Read(1),
            Expect::Fails(Errno::ENOTCONN, ExpectedCause::TimedOut),
        ),
    ],
    counters: &[("AttemptFails", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Connect without an answer within `TCP_USER_TIMEOUT`: `ETIMEDOUT`.
///
/// `tcp_write_timeout()` checks `icsk_user_timeout` in SYN-SENT as well, each time that the SYN is due again.
pub(super) const USER_TIMEOUT: Scenario = Scenario {
    id: "connect-user-timeout",
    topic: Topic::Unreachable,
    title: "TCP_USER_TIMEOUT limits connect: ETIMEDOUT after a second",
    story: "Like connect-blackholed, with TCP_USER_TIMEOUT of half a second. The kernel checks it when the SYN is due \
            for retransmission, after one second: then connect() fails with ETIMEDOUT.",
    elsewhere: "The option is specific to Linux. macOS has TCP_CONNECTIONTIMEOUT.",
    advice: "TCP_USER_TIMEOUT limits connect() as well as writes, rounded up to the next retransmission. The SYN is \
             sent again after 1, 2, 3 … seconds; before Linux 6.5 after 1, 3, 7 … seconds.",
    target: Target::Blackholed,
    slow: true,
    steps: &[
        client(Op::UserTimeout(500), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, ExpectedCause::TimedOut),
        ),
        client(Op::SocketError, Expect::ReportsNone),
        client(
            Op::Read(1),
            Expect::Fails(Errno::ENOTCONN, ExpectedCause::TimedOut),
        ),
    ],
    counters: &[("AttemptFails", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

// Answers by ICMP. RFC 1122, 4.2.3.9, allows TCP to abort on hard errors in any state and asks it not to abort on soft
// ones. Linux treats all of them as hard in SYN-SENT, and as soft later.

const ICMP_STORY: &str = "The client waits in connect(). Instead of a SYN-ACK, an ICMP error arrives that quotes the \
     client's SYN: a router, or the server's own host, reports that the SYN cannot be delivered. In SYN-SENT the \
     kernel treats such an error as final: connect() fails at once with the errno that the ICMP error maps to. There \
     is no RST.";

const ICMP_ELSEWHERE: &str = "Most other systems only record such an error while they connect, and keep trying (RFC \
     1122 calls most of these errors soft); connect() reports the error when it times out. On Linux connect() fails \
     at once.";

/// Defines a scenario of a `connect` that fails from an ICMP error: `tcp_v4_err()` and `tcp_v6_err()` call
/// `tcp_done_with_error()` in SYN-SENT.
macro_rules! icmp_error {
    ($name:ident, $id:literal, $title:literal, $families:expr, $ipv4:expr, $ipv6:expr, $errno:expr, $advice:literal) => {
        #[doc = concat!("`", $id, "`: `tcp_v4_err()` and `tcp_v6_err()` call `tcp_done_with_error()` in SYN-SENT.")]
        pub(super) const $name: Scenario = Scenario {
            id: $id,
            topic: Topic::Unreachable,
            title: $title,
            story: ICMP_STORY,
            elsewhere: ICMP_ELSEWHERE,
            advice: $advice,
            target: Target::Blackholed,
            families: $families,
            steps: &[
                Step::Begin(
                    Role::Client,
                    Op::Connect,
                    Expect::Fails($errno, ExpectedCause::Icmp(0)),
                ),
                Step::Await(Awaited::SynFrom(Role::Client)),
                Step::InjectIcmp(ForgedIcmp {
                    to: Role::Client,
                    ipv4: $ipv4,
                    ipv6: $ipv6,
                    off: 0,
                }),
                Step::End(Role::Client),
                client(Op::SocketError, Expect::ReportsNone),
                client(
                    Op::Read(1),
                    Expect::Fails(Errno::ENOTCONN, ExpectedCause::Icmp(0)),
                ),
            ],
            icmp: &[ExpectedIcmp {
                to: Role::Client,
                ipv4: $ipv4,
                ipv6: $ipv6,
            }],
            counters: &[("AttemptFails", 1)],
            ..BASE
        };
    };
}

const BOTH: &[Family] = &[Family::Ipv4, Family::Ipv6];
const IPV4: &[Family] = &[Family::Ipv4];
const IPV6: &[Family] = &[Family::Ipv6];

icmp_error!(
    ICMP_NET,
    "connect-icmp-net-unreachable",
    "ICMP: no route to the network: ENETUNREACH",
    BOTH,
    (3, 0),
    (1, 0),
    Errno::ENETUNREACH,
    "The source of the ICMP message is the router without a route: check its routes, not the server. `ip route get \
     ADDRESS` shows whether the error is local."
);
icmp_error!(
    ICMP_HOST,
    "connect-icmp-host-unreachable",
    "ICMP: host unreachable: EHOSTUNREACH",
    BOTH,
    (3, 1),
    (1, 3),
    Errno::EHOSTUNREACH,
    "The last router asked for the host's link address and got no reply: the host is down, or not in this network. \
     Firewalls that reject packets can send the same message."
);
icmp_error!(
    ICMP_PROTOCOL,
    "connect-icmp-protocol-unreachable",
    "ICMP: protocol unreachable, the host has no TCP: ENOPROTOOPT",
    IPV4,
    (3, 2),
    (3, 2),
    Errno::ENOPROTOOPT,
    "\"Protocol not available\" from connect() does not mean a missing socket option: the other host, or a firewall \
     in its place, reports that it has no TCP."
);
icmp_error!(
    ICMP_PORT,
    "connect-icmp-port-unreachable",
    "ICMP: port unreachable: ECONNREFUSED without an RST",
    BOTH,
    (3, 3),
    (1, 4),
    Errno::ECONNREFUSED,
    "ECONNREFUSED with no RST in the capture: a kernel replies with an RST if a TCP port is closed, so this ICMP \
     message comes from a firewall (the default of `reject` in nft and iptables)."
);
icmp_error!(
    ICMP_SOURCE_ROUTE,
    "connect-icmp-source-route-failed",
    "ICMP: source route failed: EOPNOTSUPP",
    IPV4,
    (3, 5),
    (3, 5),
    Errno::EOPNOTSUPP,
    "Source routes are obsolete: most likely a device on the path made up this ICMP message."
);
icmp_error!(
    ICMP_NET_UNKNOWN,
    "connect-icmp-net-unknown",
    "ICMP: network unknown: ENETUNREACH",
    IPV4,
    (3, 6),
    (3, 6),
    Errno::ENETUNREACH,
    "RFC 1812 tells routers to send 3/0 instead: the sender of this message is old, or is not a router."
);
icmp_error!(
    ICMP_HOST_UNKNOWN,
    "connect-icmp-host-unknown",
    "ICMP: host unknown: EHOSTDOWN",
    IPV4,
    (3, 7),
    (3, 7),
    Errno::EHOSTDOWN,
    "EHOSTDOWN has hardly any other cause than this message: the last router knows from the link layer that the host \
     does not exist."
);
icmp_error!(
    ICMP_ISOLATED,
    "connect-icmp-source-isolated",
    "ICMP: source host isolated: ENONET",
    IPV4,
    (3, 8),
    (3, 8),
    Errno::ENONET,
    "\"Machine is not on the network\" comes from this message, which RFC 1812 tells routers not to send."
);
icmp_error!(
    ICMP_NET_PROHIBITED,
    "connect-icmp-net-prohibited",
    "ICMP: network administratively prohibited: ENETUNREACH",
    IPV4,
    (3, 9),
    (3, 9),
    Errno::ENETUNREACH,
    "A firewall (`reject with icmp net-prohibited`), not a missing route. The errno is the same; the ICMP code in the \
     capture shows the difference."
);
icmp_error!(
    ICMP_HOST_PROHIBITED,
    "connect-icmp-host-prohibited",
    "ICMP: host administratively prohibited: EHOSTUNREACH",
    IPV4,
    (3, 10),
    (3, 10),
    Errno::EHOSTUNREACH,
    "\"No route to host\" while ping works: a firewall rejects with host-prohibited, as firewalld does when it uses \
     iptables. Look for ICMP 3/10 in the capture."
);
icmp_error!(
    ICMP_NET_SERVICE,
    "connect-icmp-net-service",
    "ICMP: network unreachable for this type of service: ENETUNREACH",
    IPV4,
    (3, 11),
    (3, 11),
    Errno::ENETUNREACH,
    "A router has routes by type of service, and no route for this one: check the DSCP field of the SYN."
);
icmp_error!(
    ICMP_HOST_SERVICE,
    "connect-icmp-host-service",
    "ICMP: host unreachable for this type of service: EHOSTUNREACH",
    IPV4,
    (3, 12),
    (3, 12),
    Errno::EHOSTUNREACH,
    "Like connect-icmp-net-service, but for one host: check the DSCP field of the SYN."
);
icmp_error!(
    ICMP_ADMIN,
    "connect-icmp-admin-prohibited",
    "ICMP: communication administratively prohibited: EHOSTUNREACH",
    IPV4,
    (3, 13),
    (3, 13),
    Errno::EHOSTUNREACH,
    "\"No route to host\" from the access list of a router or from a firewall: the capture shows ICMP 3/13, and its \
     source address is the router's. Over IPv6 the corresponding message gives EACCES."
);
icmp_error!(
    ICMP_PRECEDENCE,
    "connect-icmp-precedence-violation",
    "ICMP: precedence violation: EHOSTUNREACH",
    IPV4,
    (3, 14),
    (3, 14),
    Errno::EHOSTUNREACH,
    "The first router does not allow this precedence: check the DSCP field of the SYN."
);
icmp_error!(
    ICMP_CUTOFF,
    "connect-icmp-precedence-cutoff",
    "ICMP: precedence cutoff in effect: EHOSTUNREACH",
    IPV4,
    (3, 15),
    (3, 15),
    Errno::EHOSTUNREACH,
    "Like connect-icmp-precedence-violation, but the network's operator has set a minimum precedence."
);
icmp_error!(
    ICMP_TTL,
    "connect-icmp-ttl-exceeded",
    "ICMP: time to live exceeded: EHOSTUNREACH",
    BOTH,
    (11, 0),
    (3, 0),
    Errno::EHOSTUNREACH,
    "\"No route to host\" because of a routing loop: `traceroute -T` shows the same routers repeatedly."
);
icmp_error!(
    ICMP_PARAMETER,
    "connect-icmp-parameter-problem",
    "ICMP: parameter problem: EPROTO",
    BOTH,
    (12, 0),
    (4, 0),
    Errno::EPROTO,
    "\"Protocol error\" from connect(): a host on the path rejects a field of the IP header, most often an option or \
     an extension header."
);
icmp_error!(
    ICMPV6_PROHIBITED,
    "connect-icmpv6-prohibited",
    "ICMPv6: administratively prohibited: EACCES",
    IPV6,
    (1, 1),
    (1, 1),
    Errno::EACCES,
    "\"Permission denied\" from connect() over IPv6 can come from a firewall on the path, not only from a missing \
     permission on this host."
);
icmp_error!(
    ICMPV6_SCOPE,
    "connect-icmpv6-beyond-scope",
    "ICMPv6: beyond the scope of the source address: EHOSTUNREACH",
    IPV6,
    (1, 2),
    (1, 2),
    Errno::EHOSTUNREACH,
    "The scope of the source address is too small (link-local or site-local): check which address the client is bound \
     to."
);
icmp_error!(
    ICMPV6_POLICY,
    "connect-icmpv6-source-policy",
    "ICMPv6: the source address fails a policy: EACCES",
    IPV6,
    (1, 5),
    (1, 5),
    Errno::EACCES,
    "A router does not forward this source address (ingress filtering): with several providers, the packet left \
     through the wrong one."
);
icmp_error!(
    ICMPV6_REJECT_ROUTE,
    "connect-icmpv6-reject-route",
    "ICMPv6: reject route to the destination: EACCES",
    IPV6,
    (1, 6),
    (1, 6),
    Errno::EACCES,
    "A router has a route of type prohibit or reject to this destination."
);

/// ICMP errors that do not end a connection attempt.
///
/// `icmp_unreach()` drops 11/1 (`ICMP_EXC_FRAGTIME`), and `tcp_v4_err()` ignores source quench (RFC 6633). The `ICMPv6`
/// error for a packet that is too big concerns the path MTU.
pub(super) const ICMP_IGNORED: Scenario = Scenario {
    id: "connect-icmp-ignored",
    topic: Topic::Unreachable,
    title: "ICMP source quench, ICMPv6 packet too big: connect goes on waiting",
    story: "Not every ICMP message ends a connection attempt. A source quench (4/0, over IPv4) or a packet too big \
            (2/0, over IPv6) that quotes the client's SYN leaves connect() waiting and sets no error.",
    elsewhere: "RFC 6633 deprecated source quench; systems had ignored it long before.",
    advice: "An ICMP message in the capture does not prove that it caused the error: its type and code have to map to \
             that errno.",
    target: Target::Blackholed,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(Role::Client)),
        Step::InjectIcmp(ForgedIcmp {
            to: Role::Client,
            ipv4: (4, 0),
            ipv6: (2, 0),
            off: 0,
        }),
        client(Op::Poll, Expect::Polls(Events(0))),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Connect, would_block(Errno::EALREADY)),
    ],
    icmp: &[ExpectedIcmp {
        to: Role::Client,
        ipv4: (4, 0),
        ipv6: (2, 0),
    }],
    ..BASE
};

/// ICMP error that quotes a sequence number outside SND.UNA … SND.NXT: ignored.
///
/// `tcp_v4_err()` counts it (`OutOfWindowIcmps`) and drops it (RFC 5927, 4.1).
pub(super) const ICMP_BAD_SEQUENCE: Scenario = Scenario {
    id: "connect-icmp-bad-sequence",
    topic: Topic::Unreachable,
    title: "ICMP error that quotes a sequence number never sent: ignored",
    story: "An ICMP error arrives that matches the client's connection, but quotes a sequence number that the client \
            never sent. Its sender has not seen the SYN: the kernel counts and ignores the error, and connect() goes \
            on waiting.",
    elsewhere: "RFC 5927 recommends this check; the BSDs make it as well.",
    advice: "If `nstat -az TcpExtOutOfWindowIcmps` grows, someone is guessing, or a middlebox rewrites sequence \
             numbers but not those quoted in ICMP.",
    target: Target::Blackholed,
    steps: &[
        client(Op::NonBlocking, returns(0)),
        client(Op::Connect, would_block(Errno::EINPROGRESS)),
        Step::Await(Awaited::SynFrom(Role::Client)),
        Step::InjectIcmp(ForgedIcmp {
            to: Role::Client,
            ipv4: (3, 3),
            ipv6: (1, 4),
            off: 100_000,
        }),
        client(Op::Poll, Expect::Polls(Events(0))),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Connect, would_block(Errno::EALREADY)),
    ],
    icmp: &[ExpectedIcmp {
        to: Role::Client,
        ipv4: (3, 3),
        ipv6: (1, 4),
    }],
    counters: &[("OutOfWindowIcmps", 1)],
    ..BASE
};

/// ICMP error from this host's own firewall while `connect` holds the socket: `ECONNREFUSED` a second later.
///
/// `tcp_v4_err()` sets the error aside (`LockDroppedIcmps`) because the owner is in a call on the socket. The SYN is
/// sent again after a second and triggers another error.
pub(super) const ICMP_REJECT: Scenario = Scenario {
    id: "connect-icmp-reject",
    topic: Topic::Unreachable,
    title: "this host's firewall rejects with ICMP: ECONNREFUSED, a second late",
    story: "A firewall rule on the server's own host replies to the SYN with ICMP port unreachable. With both ends on \
            one host, this error arrives while connect() is still sending the SYN and holds the socket, so the kernel \
            only records it as a soft error. A second later the SYN is retransmitted and triggers another ICMP error, \
            which takes effect: ECONNREFUSED, a second late. The recorded error is still set: SO_ERROR reports it, \
            although connect() has already reported the error.",
    elsewhere: "This depends on how Linux locks sockets.",
    advice: "If a connection to a local port is refused after exactly one second, a rule rejects it with ICMP (`nft \
             list ruleset`); a TCP reset (`reject with tcp reset`) would be faster.",
    target: Target::Firewalled(Rule::RejectWithIcmp),
    timing: Some(Timing::AnsweredWhileSent),
    slow: true,
    steps: &[
        client(
            Op::Connect,
            Expect::Fails(Errno::ECONNREFUSED, ExpectedCause::Icmp(1)),
        ),
        client(
            Op::SocketError,
            Expect::Reports(Errno::ECONNREFUSED, ExpectedCause::Icmp(0)),
        ),
        client(
            Op::Read(1),
            Expect::Fails(Errno::ENOTCONN, ExpectedCause::Icmp(1)),
        ),
    ],
    icmp: &[PORT_UNREACHABLE, PORT_UNREACHABLE],
    counters: &[("AttemptFails", 1), ("LockDroppedIcmps", 1)],
    ..BASE
};

const PORT_UNREACHABLE: ExpectedIcmp = ExpectedIcmp {
    to: Role::Client,
    ipv4: (3, 3),
    ipv6: (1, 4),
};

/// ICMP error on an established connection without `IP_RECVERR`: only `SO_ERROR` reports it.
///
/// `tcp_v4_err()` sets `sk_err_soft` in ESTABLISHED.
pub(super) const ICMP_ESTABLISHED: Scenario = Scenario {
    id: "icmp-established",
    topic: Topic::Unreachable,
    title: "ICMP error on an established connection: only SO_ERROR shows it",
    story: "The kernel only records an ICMP error about an established connection: poll() does not show it, and reads \
            and writes go on. But getsockopt(SO_ERROR) reports ECONNREFUSED once, on a connection that works.",
    elsewhere: "The BSDs record soft errors as well (t_softerror), and report them when the connection times out.",
    advice: "Do not close a connection because SO_ERROR is not 0: check poll() first. Health checks that only read \
             SO_ERROR close connections because of one stray ICMP message.",
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        Step::InjectIcmp(ForgedIcmp {
            to: Role::Client,
            ipv4: (3, 3),
            ipv6: (1, 4),
            off: 0,
        }),
        Step::Await(Awaited::Icmp),
        client(Op::Poll, Expect::Polls(OPEN)),
        client(
            Op::SocketError,
            Expect::Reports(Errno::ECONNREFUSED, ExpectedCause::Icmp(0)),
        ),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(Role::Client)),
        server(Op::Read(1), returns(1)),
        server(Op::Write(1), returns(1)),
        client(Op::Read(1), returns(1)),
    ],
    icmp: &[PORT_UNREACHABLE],
    ..BASE
};

/// ICMP error on an established connection with `IP_RECVERR`: reported at once.
///
/// `tcp_v4_err()` sets `sk_err` and calls `sk_error_report()`; the connection stays as it was.
pub(super) const ICMP_RECVERR: Scenario = Scenario {
    id: "icmp-established-recverr",
    topic: Topic::Unreachable,
    title: "IP_RECVERR: a read reports the ICMP error, and the connection goes on",
    story: "With IP_RECVERR the client asks for ICMP errors. An error about its connection makes the next read() fail \
            with ECONNREFUSED, once; after that the connection goes on normally.",
    elsewhere: "Linux only.",
    advice: "With IP_RECVERR an error from read() does not mean that the connection has ended. Do not set it on TCP \
             sockets without need.",
    steps: &[
        client(Op::ReceiveErrors, returns(0)),
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        Step::InjectIcmp(ForgedIcmp {
            to: Role::Client,
            ipv4: (3, 3),
            ipv6: (1, 4),
            off: 0,
        }),
        client(
            Op::Read(1),
            Expect::Fails(Errno::ECONNREFUSED, ExpectedCause::Icmp(0)),
        ),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::DataFrom(Role::Client)),
        server(Op::Read(1), returns(1)),
        server(Op::Write(1), returns(1)),
        client(Op::Read(1), returns(1)),
    ],
    icmp: &[PORT_UNREACHABLE],
    ..BASE
};

/// Connect to an address on the link that no host has: `EHOSTUNREACH`.
///
/// `ipv4_link_failure()` runs after three ARP requests without an answer, and `tcp_v4_err()` in SYN-SENT.
pub(super) const NO_NEIGHBOUR: Scenario = Scenario {
    id: "connect-no-neighbour",
    topic: Topic::Unreachable,
    title: "an unused address on the link: EHOSTUNREACH after three ARP requests",
    story: "The client connects to an unused address on its own link. Its kernel sends three ARP requests (or \
            neighbour solicitations), one per second by default and faster here; the SYN waits for the reply and \
            never reaches the wire. Then connect() fails with EHOSTUNREACH: there is no RST and no ICMP message on \
            the wire, only an internal error of the kernel.",
    elsewhere: "The BSDs report EHOSTDOWN.",
    advice: "\"No route to host\" after three seconds, for an address on the same network, means that no host uses \
             the address. `ip neigh` shows FAILED.",
    network: Network::Link,
    target: Target::Nobody,
    extent: Extent::Nothing,
    slow: true,
    steps: &[
        client(Op::Connect, no_route(Errno::EHOSTUNREACH)),
        client(Op::SocketError, Expect::ReportsNone),
        client(Op::Read(1), not_connected(Errno::ENOTCONN)),
    ],
    counters: &[("AttemptFails", 1)],
    ..BASE
};

/// Connect to an address that no host on the link of the router has: ICMP host unreachable.
///
/// `arp_error_report()` at the router calls `icmp_send()` with 3/1, or 1/3 over IPv6, to the client in SYN-SENT.
pub(super) const ROUTER_SAYS_SO: Scenario = Scenario {
    id: "connect-router-unreachable",
    topic: Topic::Unreachable,
    title: "a router cannot find the host: ICMP host unreachable, EHOSTUNREACH",
    story: "The server's host has lost its address. The SYN reaches the router, whose ARP requests (or neighbour \
            solicitations) get no reply. After three requests the router sends ICMP host unreachable to the client, \
            and connect() fails with EHOSTUNREACH. The source of the ICMP message is the router.",
    elsewhere: ICMP_ELSEWHERE,
    advice: "The source address of the ICMP message is the last router that was reached: look for the fault behind \
             that router.",
    network: Network::Routed,
    slow: true,
    steps: &[
        Step::Happens(Change::ServerAddressGone),
        client(
            Op::Connect,
            Expect::Fails(Errno::EHOSTUNREACH, ExpectedCause::Icmp(0)),
        ),
        client(Op::SocketError, Expect::ReportsNone),
        client(
            Op::Read(1),
            Expect::Fails(Errno::ENOTCONN, ExpectedCause::Icmp(0)),
        ),
    ],
    icmp: &[ExpectedIcmp {
        to: Role::Client,
        ipv4: (3, 1),
        ipv6: (1, 3),
    }],
    counters: &[("AttemptFails", 1)],
    ..BASE
};
