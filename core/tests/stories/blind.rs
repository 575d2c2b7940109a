//! Stories of forged and unexpected segments.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // RFC 5961, 3.2: before the window.
        "blind-rst-old",
        "
        [lab]
        connected
          < R 0:0(0) win 8192 ; forged, to ESTABLISHED, not accepted
        client poll() = OUT
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server read(1) = 1
        ",
    ),
    (
        "blind-rst-outside",
        "
        [lab]
        ...
          < RST ; forged, not accepted, frame 4
        ",
    ),
    (
        // RFC 5961, 3.2: in the window and not exact, hence <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>.
        "blind-rst-in-window",
        "
        [lab]
        connected
          < R 11:11(0) win 8192 ; forged, to ESTABLISHED, not accepted
          > . 1:1(0) ack 1 win 512 ts
        client poll() = OUT
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server read(1) = 1
        ",
    ),
    (
        // RFC 5961, 3.2: exact. Then RFC 9293, 3.10.7.1: the server's data finds no connection.
        "blind-rst-exact",
        "
        [lab]
        connected
          < R 1:1(0) win 8192 ; forged, to ESTABLISHED
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        server poll() = OUT
        server write(1) = 1
          < P. 1:2(1) ack 1 win 512 ts
          > R 1:1(0) win 0 ; passive, kernel NO_SOCKET, to ESTABLISHED
        server read(1) = ECONNRESET ; RST 2
        server write(1) = EPIPE
        ",
    ),
    (
        // RFC 2018: data received out of order is acknowledged selectively; the RST is at the edge of that block.
        "blind-rst-sack-edge",
        "
        [lab]
        connected
          < P. 11:21(10) ack 1 win 8192
          > . 1:1(0) ack 1 win 512 ts sack 11:21
          < R 21:21(0) win 8192 ; forged, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        "blind-rst-after-fin",
        "
        [lab]
        ...
          < RST ; forged, frame 6
        client getsockopt = EPIPE
        client write = EPIPE
        ",
    ),
    (
        "blind-syn",
        "
        [lab]
        ...
        ",
    ),
    (
        "blind-ack-unsent",
        "
        [lab]
        ...
        ",
    ),
    (
        "blind-ack-too-old",
        "
        [lab]
        ...
        ",
    ),
    (
        "paws-old-data",
        "
        [lab]
        ...
        ",
    ),
    (
        "paws-old-rst",
        "
        [lab]
        ...
          < RST ; forged, frame 4
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        // RFC 1337: an exact RST ends TIME-WAIT, so that the late data is answered as RFC 9293, 3.10.7.1, says.
        "time-wait-rst",
        "
        [lab]
        connected
        client close() = 0
          > F. 1:1(0) ack 1 win 512 ts
        server read(1) = 0
        server close() = 0
          < F. 1:1(0) ack 2 win 512 ts
          > . 2:2(0) ack 2 win 512 ts
          < R 2:2(0) win 8192 ; forged, to TIME-WAIT, frame 8
          < P. 2:3(1) ack 2 win 8192
          > R 2:2(0) win 0 ; passive, kernel NO_SOCKET, not accepted, frame 10
        ",
    ),
    (
        // RFC 1337, F1: the RST does not end TIME-WAIT. The server's listener does not know the connection of the
        // repeated ACK.
        "time-wait-rst-rfc1337",
        "
        [lab]
        connected
        client close() = 0
          > F. 1:1(0) ack 1 win 512 ts
        server read(1) = 0
        server close() = 0
          < F. 1:1(0) ack 2 win 512 ts
          > . 2:2(0) ack 2 win 512 ts
          < R 2:2(0) win 8192 ; forged, not accepted, frame 8
          < P. 2:3(1) ack 2 win 8192
          > . 2:2(0) ack 2 win 512 ts
          < R 2:2(0) win 0 ; passive, socket TCP_FLAGS, not accepted, frame 11
        ",
    ),
    (
        "time-wait-rst-inexact",
        "
        [lab]
        ...
          < RST ; forged, not accepted, frame 8
          < RST ; socket TCP_FLAGS, frame 11
        ",
    ),
    (
        "fin-wait-2-syn",
        "
        [lab]
        ...
          < RST ; kernel TCP_TIMEWAIT_SOCKET, not accepted, frame 7
        ",
    ),
    (
        // RFC 9293, figure 9, lines 3 to 6: an unacceptable ACK in SYN-SENT triggers an RST at its number.
        "syn-sent-bad-ack",
        "
        [lab]
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < . 0:0(0) ack 1001 win 8192
          > R 1001:1001(0) win 0 ; passive, socket TCP_INVALID_ACK_SEQUENCE, not accepted
        client poll() = 0
          < S. 0:0(0) ack 1 win 8192
          > . 1:1(0) ack 1 win 512
        client connect() = 0
        client poll() = OUT
        ",
    ),
    (
        "syn-sent-bad-timestamp",
        "
        [lab]
        ...
          > RST ; socket TCP_RFC7323_PAWS, not accepted, frame 3
        client connect = EINPROGRESS
        ",
    ),
    (
        "syn-sent-blind-rst",
        "
        [lab]
        ...
          < RST ; forged, not accepted, frame 2
          < RST ; forged, not accepted, frame 3
          < RST ; forged, frame 4
        client connect = EINPROGRESS
        client getsockopt = ECONNREFUSED
        ",
    ),
    (
        "syn-sent-close",
        "
        [lab]
        ...
          > RST ; kernel NO_SOCKET, not accepted, frame 3
        client connect = EINPROGRESS
        ",
    ),
    (
        "connect-established-then-reset",
        "
        [lab]
        ...
          < RST ; forged, frame 4
        client connect = EINPROGRESS
        client getsockopt = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        "simultaneous-open-rst",
        "
        [lab]
        ...
          < RST ; forged, frame 4
        client connect = EINPROGRESS
        client getsockopt = ECONNRESET
        client write = EPIPE
        ",
    ),
    (
        "syn-received-bad-ack",
        "
        [lab]
        ...
          < RST ; socket TCP_FLAGS, not accepted, frame 4
        ",
    ),
    (
        "syn-received-second-syn",
        "
        [lab]
        ...
          < RST ; socket INVALID_SYN, not accepted, frame 4
          < RST ; socket TCP_FLAGS, not accepted, frame 6
        ",
    ),
    (
        // RFC 9293, 3.10.7.4: SYN-RECEIVED after a passive open returns to LISTEN, and LISTEN answers an ACK.
        "syn-received-rst",
        "
        [lab]
          > S 0:0(0) win 8192
          < S. 0:0(0) ack 1 win 65495
          > R 1:1(0) win 8192 ; forged, to SYN-RECEIVED
          > . 1:1(0) ack 1 win 8192
          < R 1:1(0) win 0 ; passive, socket TCP_FLAGS, not accepted
        ",
    ),
    (
        "syn-received-rst-inexact",
        "
        [lab]
        ...
          > RST ; forged, not accepted, frame 3
        ",
    ),
    (
        "syn-cookie-bad-ack",
        "
        [lab]
        ...
          < RST ; socket TCP_FLAGS, not accepted, frame 4
        ",
    ),
    (
        // RFC 2525, 2.17: nothing is lost, so the close sends FIN (5f9238530970).
        "close-repeated-data",
        "
        [lab]
        ...
        ",
    ),
    (
        "fast-open-bad-ack",
        "
        [lab]
        ...
          < RST ; socket TCP_ACK_UNSENT_DATA, not accepted, frame 4
        ",
    ),
    (
        "fast-open-old-ack",
        "
        [lab]
        ...
          < RST ; socket TCP_TOO_OLD_ACK, not accepted, frame 4
        ",
    ),
    (
        // RFC 7413: the SYN's data is acknowledged with it and delivered before the handshake completes.
        "fast-open-rst",
        "
        [lab]
          > S 0:1(1) win 8192
          < S. 0:0(0) ack 2 win 65495
        server accept() = 0
        server read(1) = 1
          > R 2:2(0) win 8192 ; forged, to SYN-RECEIVED
        server read(1) = ECONNRESET ; RST 1
        server write(1) = EPIPE
        ",
    ),
    (
        "fast-open-second-syn",
        "
        [lab]
        ...
          < RST ; socket INVALID_SYN, not accepted, frame 4
        ",
    ),
    (
        "fast-open-close-unread-early",
        "
        [lab]
        ...
          < RST ; socket TCP_ABORT_ON_CLOSE, not accepted, frame 3
        ",
    ),
    (
        "mptcp-join-bad-token",
        "
        [lab]
        ...
          < RST ; socket MPTCP_RST_EMPTCP, not accepted, frame 2
        ",
    ),
    (
        "stray-ack-listener",
        "
        [lab]
        ...
          < RST ; socket TCP_FLAGS, not accepted, frame 2
        ",
    ),
    (
        "stray-syn-ack-listener",
        "
        [lab]
        ...
          < RST ; socket TCP_FLAGS, not accepted, frame 2
        ",
    ),
    (
        "stray-fin-ack-listener",
        "
        [lab]
        ...
          < RST ; socket TCP_FLAGS, not accepted, frame 2
        ",
    ),
    (
        // RFC 9293, 3.10.7.1.
        "stray-ack-closed-port",
        "
        [lab]
          > . 0:0(0) ack 5 win 8192
          < R 5:5(0) win 0 ; passive, kernel NO_SOCKET, not accepted
        ",
    ),
    (
        "stray-syn-ack-closed-port",
        "
        [lab]
        ...
          < RST ; kernel NO_SOCKET, not accepted, frame 2
        ",
    ),
    (
        "stray-data-closed-port",
        "
        [lab]
        ...
          < RST ; kernel NO_SOCKET, not accepted, frame 2
        ",
    ),
    (
        "stray-fin-closed-port",
        "
        [lab]
        ...
          < RST ; kernel NO_SOCKET, not accepted, frame 2
        ",
    ),
    (
        "stray-null-closed-port",
        "
        [lab]
        ...
          < RST ; kernel NO_SOCKET, not accepted, frame 2
        ",
    ),
    (
        "stray-silent-listener",
        "
        [lab]
        ...
          > RST ; forged, not accepted, frame 3
          > RST ; forged, not accepted, frame 4
          < RST ; socket TCP_FLAGS, not accepted, frame 6
        ",
    ),
    (
        "stray-rst-closed-port",
        "
        [lab]
        ...
          > RST ; forged, not accepted, frame 1
          > RST ; forged, not accepted, frame 2
          < RST ; kernel NO_SOCKET, not accepted, frame 4
        ",
    ),
];
