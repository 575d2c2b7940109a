//! Stories of connection setup.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // RFC 9293, 3.10.7.1: no connection, no ACK bit: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. A blocking connect
        // then leaves the socket unconnected.
        "connect-closed-port",
        "
        client connect() = ECONNREFUSED ; RST 1
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, kernel NO_SOCKET, to SYN-SENT
        client read(1) = ENOTCONN
        client write(1) = EPIPE
        ",
    ),
    (
        // As connect-closed-port: shutdown(2) of a listener leaves it bound, and a bound socket does not listen.
        "connect-not-listening",
        "
        server shutdown(listener, SHUT_RD) = 0
        client connect() = ECONNREFUSED ; RST 1
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, kernel NO_SOCKET, to SYN-SENT
        client read(1) = ENOTCONN
        client write(1) = EPIPE
        ",
    ),
    (
        // The segments of connect-closed-port; on loopback both are there when connect() returns.
        "connect-closed-port-nonblocking",
        "
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, kernel NO_SOCKET, to SYN-SENT
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client getsockopt(SO_ERROR) = ECONNREFUSED ; RST 1
        client poll() = IN|OUT|HUP|RDHUP
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The segments of connect-closed-port; on loopback both are there when connect() returns.
        "connect-nonblocking-read",
        "
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, kernel NO_SOCKET, to SYN-SENT
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ECONNREFUSED ; RST 1
        client getsockopt(SO_ERROR) = 0
        client poll() = IN|OUT|HUP|RDHUP
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The segments of connect-closed-port; on loopback both are there when connect() returns.
        "connect-nonblocking-write",
        "
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, kernel NO_SOCKET, to SYN-SENT
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client write(1) = ECONNREFUSED ; RST 1
        client getsockopt(SO_ERROR) = 0
        client poll() = IN|OUT|HUP|RDHUP
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The segments of connect-closed-port; on loopback both are there when connect() returns.
        "connect-nonblocking-again",
        "
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, kernel NO_SOCKET, to SYN-SENT
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client connect() = ECONNREFUSED ; RST 1
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The segments of connect-closed-port; on loopback both are there when connect() returns.
        "connect-consumed-error",
        "
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, kernel NO_SOCKET, to SYN-SENT
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client getsockopt(SO_ERROR) = ECONNREFUSED ; RST 1
        client connect() = ECONNABORTED
        ",
    ),
    (
        // The SYN is dropped, so nothing follows it.
        "connect-backlog-full",
        "
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
        client poll() = 0
        client connect() = EALREADY
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // RFC 9293, 3.8.3: the SYN is retransmitted, and then the attempt ends.
        "connect-backlog-full-timeout",
        "
        [slow]
        client setsockopt(TCP_SYNCNT 1) = 0
        client connect() = ETIMEDOUT
          > S 0:0(0) win 65495 ts
          > S 0:0(0) win 65495 ts
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The attempt is in progress; no reply arrives.
        "connect-send-timeout",
        "
        client setsockopt(SO_SNDTIMEO 20 ms) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
        client connect() = EALREADY
        ",
    ),
    (
        // No RST is sent in SYN-SENT (RFC 9293, 3.10.5: ABORT in SYN-SENT).
        "connect-cancelled-shutdown",
        "
        blocked client connect() = ECONNRESET
          > S 0:0(0) win 65495 ts
        client shutdown(SHUT_RDWR) = 0
        end client
        ",
    ),
    (
        // As connect-cancelled-shutdown.
        "connect-cancelled-disconnect",
        "
        blocked client connect() = EPIPE
          > S 0:0(0) win 65495 ts
        client connect(AF_UNSPEC) = 0
        end client
        ",
    ),
    (
        // RFC 9293, figure 7, with one side.
        "self-connect",
        "
        client connect() = 0
          >> S 0:0(0) win 65495 ts
          >> S. 0:0(0) ack 1 win 65495 ts
          >> . 1:1(0) ack 1 win 512 ts
        client getpeername() = 0
        client write(2) = 2
          >> P. 1:3(2) ack 1 win 512 ts
          >> . 3:3(0) ack 3 win 512 ts
        client read(2) = 2
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // Nothing is sent.
        "not-connected",
        "
        client poll() = OUT|HUP
        client read(1) = ENOTCONN
        client write(1) = EPIPE
        client getpeername() = ENOTCONN
        client shutdown(SHUT_RDWR) = ENOTCONN
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // As connect-closed-port.
        "mptcp-connect-closed-port",
        "
        client connect() = ECONNREFUSED ; RST 1
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0 ; passive-ack, kernel NO_SOCKET, to SYN-SENT
        client read(1) = ENOTCONN
        client write(1) = EPIPE
        ",
    ),
    (
        "connect-sock-destroy",
        "
        [lab]
        ...
        client connect = ECONNABORTED
        client read = ENOTCONN
        ",
    ),
    (
        "fast-open-connect-refused",
        "
        [lab]
        ...
          < RST ; kernel NO_SOCKET, frame 2
        client getpeername = ENOTCONN
        client write = ECONNREFUSED
        ",
    ),
    (
        // RFC 2385, 2: an unsigned segment is dropped silently.
        "connect-md5-missing",
        "
        [slow]
        client setsockopt(TCP_SYNCNT 1) = 0
        client connect() = ETIMEDOUT
          > S 0:0(0) win 65495 ts
          > S 0:0(0) win 65495 ts
          > S 0:0(0) win 65495 ts
        client getsockopt(SO_ERROR) = 0
        ",
    ),
];
