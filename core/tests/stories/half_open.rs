//! Stories of half-open connections and timers.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // RFC 9293, 3.5.1 and 3.10.7.1: a half-open connection; the answer's number is what the data acknowledged.
        "half-open-peer-vanished",
        "
        [lab]
        connected
        server close(listener) = 0
        server setsockopt(TCP_REPAIR 1) = 0
        server close() = 0
        client poll() = OUT
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < R 1:1(0) win 0 ; passive, kernel NO_SOCKET, to ESTABLISHED
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        "half-open-server-restarted",
        "
        [lab]
        ...
          < RST ; socket TCP_FLAGS, frame 5
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        "half-open-reconnect",
        "
        [lab]
        ...
          > RST ; kernel NO_SOCKET, frame 6
        server read = ECONNRESET
        server write = EPIPE
        ",
    ),
    (
        "keepalive-half-open",
        "
        [lab, slow]
        ...
          < RST ; kernel NO_SOCKET, frame 5
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        // RFC 9293, 3.8.4: a probe is one number back. tcp_send_active_reset() sends at SND.NXT.
        "keepalive-timeout",
        "
        [lab, slow]
        connected
        server setsockopt(SO_ATTACH_FILTER drop) = 0
        client setsockopt(TCP_KEEPIDLE 1) = 0
        client setsockopt(TCP_KEEPINTVL 1) = 0
        client setsockopt(TCP_KEEPCNT 1) = 0
        client setsockopt(SO_KEEPALIVE 1) = 0
          > . 0:0(0) ack 1 win 512 ts
          > R. 1:1(0) ack 1 win 512 ts ; active, socket TCP_KEEPALIVE_TIMEOUT, not accepted
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ETIMEDOUT
        client poll() = IN|OUT|HUP|RDHUP
        client write(1) = EPIPE
        client read(1) = 0
        ",
    ),
    (
        "keepalive-icmp",
        "
        [lab, slow]
        ...
          > RST ; socket TCP_KEEPALIVE_TIMEOUT, not accepted, frame 6
        client read = ETIMEDOUT
        client write = EPIPE
        ",
    ),
    (
        // RFC 6298: retransmitted, with the timeout doubled each time. tcp_write_err() sends nothing.
        "retransmission-timeout",
        "
        [lab, slow]
        connected
        server setsockopt(SO_ATTACH_FILTER drop) = 0
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          > P. 1:2(1) ack 1 win 512 ts
          > P. 1:2(1) ack 1 win 512 ts
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ETIMEDOUT
        client poll() = IN|OUT|HUP|RDHUP
        client read(1) = 0
        client write(1) = EPIPE
        server poll() = OUT
        ",
    ),
    (
        "user-timeout",
        "
        [lab, slow]
        ...
        client read = ETIMEDOUT
        client write = EPIPE
        ",
    ),
    (
        "icmp-then-timeout",
        "
        [lab, slow]
        ...
        client read = EHOSTUNREACH
        client write = EPIPE
        ",
    ),
    (
        "linger-timeout-close",
        "
        [lab, slow]
        ...
        ",
    ),
    (
        "peer-rebooted",
        "
        [lab]
        ...
          < RST ; kernel NO_SOCKET, frame varies
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        "established-neighbour-gone",
        "
        [lab, slow]
        ...
        client read = EHOSTUNREACH
        client write = EPIPE
        ",
    ),
    (
        "established-link-down",
        "
        [lab, slow]
        ...
        client read = ETIMEDOUT
        client write = EPIPE
        ",
    ),
    (
        "established-address-gone",
        "
        [lab, slow, IPv4 only]
        ...
        client read = ETIMEDOUT
        client write = EPIPE
        ",
    ),
    (
        "established-address-gone-ipv6",
        "
        [lab, slow, IPv6 only]
        ...
        client read = ENETUNREACH
        client write = EPIPE
        ",
    ),
];
