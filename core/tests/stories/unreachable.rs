//! Stories of routes and ICMP errors.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // No SYN is made.
        "connect-route-missing",
        "
        [lab]
        client connect() = ENETUNREACH
        client getsockopt(SO_ERROR) = 0
        client read(1) = ENOTCONN
        ",
    ),
    (
        "connect-route-unreachable",
        "
        [lab]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-route-prohibit",
        "
        [lab]
        ...
        client connect = EACCES
        client read = ENOTCONN
        ",
    ),
    (
        "connect-route-blackhole",
        "
        [lab]
        ...
        client connect = EINVAL
        client read = ENOTCONN
        ",
    ),
    (
        // The SYN and its retransmissions after one and two seconds get no reply.
        "connect-blackholed",
        "
        [lab, slow]
        client setsockopt(TCP_SYNCNT 1) = 0
        client connect() = ETIMEDOUT
          > S 0:0(0) win 65495 ts
          > S 0:0(0) win 65495 ts
          > S 0:0(0) win 65495 ts
        client getsockopt(SO_ERROR) = 0
        client read(1) = ENOTCONN
        ",
    ),
    (
        "connect-user-timeout",
        "
        [lab, slow]
        ...
        client connect = ETIMEDOUT
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-net-unreachable",
        "
        [lab]
        ...
        client connect = ENETUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-host-unreachable",
        "
        [lab]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-protocol-unreachable",
        "
        [lab, IPv4 only]
        ...
        client connect = ENOPROTOOPT
        client read = ENOTCONN
        ",
    ),
    (
        // RFC 792: 3/3; RFC 4443: 1/4. Both quote the SYN.
        "connect-icmp-port-unreachable",
        "
        [lab]
        blocked client connect() = ECONNREFUSED
          > S 0:0(0) win 65495 ts
          < icmp 3/3,1/4 about >
        end client
        client getsockopt(SO_ERROR) = 0
        client read(1) = ENOTCONN
        ",
    ),
    (
        "connect-icmp-source-route-failed",
        "
        [lab, IPv4 only]
        ...
        client connect = EOPNOTSUPP
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-net-unknown",
        "
        [lab, IPv4 only]
        ...
        client connect = ENETUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-host-unknown",
        "
        [lab, IPv4 only]
        ...
        client connect = EHOSTDOWN
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-source-isolated",
        "
        [lab, IPv4 only]
        ...
        client connect = ENONET
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-net-prohibited",
        "
        [lab, IPv4 only]
        ...
        client connect = ENETUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-host-prohibited",
        "
        [lab, IPv4 only]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-net-service",
        "
        [lab, IPv4 only]
        ...
        client connect = ENETUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-host-service",
        "
        [lab, IPv4 only]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-admin-prohibited",
        "
        [lab, IPv4 only]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-precedence-violation",
        "
        [lab, IPv4 only]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-precedence-cutoff",
        "
        [lab, IPv4 only]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-ttl-exceeded",
        "
        [lab]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-parameter-problem",
        "
        [lab]
        ...
        client connect = EPROTO
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmpv6-prohibited",
        "
        [lab, IPv6 only]
        ...
        client connect = EACCES
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmpv6-beyond-scope",
        "
        [lab, IPv6 only]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmpv6-source-policy",
        "
        [lab, IPv6 only]
        ...
        client connect = EACCES
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmpv6-reject-route",
        "
        [lab, IPv6 only]
        ...
        client connect = EACCES
        client read = ENOTCONN
        ",
    ),
    (
        "connect-icmp-ignored",
        "
        [lab]
        ...
        client connect = EINPROGRESS
        client connect = EALREADY
        ",
    ),
    (
        // RFC 5927, 4.1: the quoted segment was never sent.
        "connect-icmp-bad-sequence",
        "
        [lab]
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < icmp 3/3,1/4 about > 100000
        client poll() = 0
        client getsockopt(SO_ERROR) = 0
        client connect() = EALREADY
        ",
    ),
    (
        // The first error arrives while connect() holds the socket and is put aside (`tcp_v4_err()`:
        // sock_owned_by_user); the second, triggered by the retransmission, takes effect.
        "connect-icmp-reject",
        "
        [lab, slow]
        blocked client connect() = ECONNREFUSED
          > S 0:0(0) win 65495 ts
          < icmp 3/3,1/4 about >
          > S 0:0(0) win 65495 ts
          < icmp 3/3,1/4 about >
        end client
        client getsockopt(SO_ERROR) = ECONNREFUSED
        client read(1) = ENOTCONN
        ",
    ),
    (
        // RFC 1122, 4.2.3.9: a soft error on an established connection.
        "icmp-established",
        "
        [lab]
        connected
          < icmp 3/3,1/4 about > 1
        client poll() = OUT
        client getsockopt(SO_ERROR) = ECONNREFUSED
        client getsockopt(SO_ERROR) = 0
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server read(1) = 1
        server write(1) = 1
          < P. 1:2(1) ack 2 win 512 ts
          > . 2:2(0) ack 2 win 512 ts
        client read(1) = 1
        ",
    ),
    (
        "icmp-established-recverr",
        "
        [lab]
        ...
        client read = ECONNREFUSED
        ",
    ),
    (
        "connect-no-neighbour",
        "
        [lab, slow]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
    (
        "connect-router-unreachable",
        "
        [lab, slow]
        ...
        client connect = EHOSTUNREACH
        client read = ENOTCONN
        ",
    ),
];
