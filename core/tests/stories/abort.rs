//! Stories of aborting an established connection.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // RFC 2525, 2.17. SND.NXT of the server is 1, its RCV.NXT 3. The client's read blocks or not: on loopback the
        // RST has arrived when close() returns.
        "close-unread-data",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server close() = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The segments of close-unread-data; tcp_sendmsg_locked() checks sk_err before it returns EPIPE.
        "close-unread-data-write",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server close() = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        client write(1) = ECONNRESET ; RST 1
        client write(1) = EPIPE
        client read(1) = 0
        ",
    ),
    (
        // The FIN takes up number 1, so SND.NXT is 2 when the server aborts, which it does once its FIN is acknowledged.
        "fin-then-reset",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server shutdown(SHUT_WR) = 0
          < F. 1:1(0) ack 3 win 512 ts
          > . 3:3(0) ack 2 win 512 ts
        server close() = 0
          < R. 2:2(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to CLOSE-WAIT
        client read(1) = 0
        client getsockopt(SO_ERROR) = EPIPE ; RST 1
        client write(1) = EPIPE
        client getsockopt(SO_ERROR) = 0
        client read(1) = 0
        ",
    ),
    (
        // The segments of fin-then-reset.
        "fin-then-reset-write",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server shutdown(SHUT_WR) = 0
          < F. 1:1(0) ack 3 win 512 ts
          > . 3:3(0) ack 2 win 512 ts
        server close() = 0
          < R. 2:2(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to CLOSE-WAIT
        client read(1) = 0
        client write(1) = EPIPE ; RST 1
        client getsockopt(SO_ERROR) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // No byte was exchanged: both sides are at 1.
        "linger-zero-close",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        server setsockopt(SO_LINGER {1,0}) = 0
        server close() = 0
          < R. 1:1(0) ack 1 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // As close-unread-data.
        "close-peeked-data",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server recv(2, MSG_PEEK) = 2
        server close() = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The urgent byte takes up number 1.
        "close-urgent-data",
        "
        connected
        client send(1, MSG_OOB) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server close() = 0
          < R. 1:1(0) ack 2 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // Only the close of the last descriptor sends an RST.
        "close-unread-data-shared",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server posix_spawn() = 0
        server kill(child, SIGKILL) = 0
        client poll() = OUT
        server close() = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // As close-unread-data-shared, but the exit of the child closes the last descriptor.
        "close-unread-data-sigkill",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server posix_spawn() = 0
        server close() = 0
        client poll() = OUT
        server kill(child, SIGKILL) = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // As close-unread-data-sigkill: killing a child and its own exit look the same.
        "close-unread-data-exit",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server posix_spawn() = 0
        server close() = 0
        client poll() = OUT
        server kill(child, SIGTERM) = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The response takes up 1 to 3.
        "close-unread-data-response",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server write(3) = 3
          < P. 1:4(3) ack 3 win 512 ts
          > . 3:3(0) ack 4 win 512 ts
        server close() = 0
          < R. 4:4(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(8) = 3
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // Of the bytes 4096 are sent, so SND.NXT is 4097.
        "linger-zero-unsent",
        "
        client setsockopt(SO_RCVBUF 4096) = 0
        connected
        server write(60000) = 60000
          < P. 1:4097(4096) ack 1 win 512 ts
          > . 1:1(0) ack 4097 win 0 ts
        server setsockopt(SO_LINGER {1,0}) = 0
        server close() = 0
          < R. 4097:4097(0) ack 1 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED, numbers vary, frame varies
        client read(60000) = 4096
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // Both sides are at 1.
        "disconnect-af-unspec",
        "
        connected
        server connect(AF_UNSPEC) = 0
          < R. 1:1(0) ack 1 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        server poll() = OUT|ERR|HUP
        server getsockopt(SO_ERROR) = ECONNRESET
        server read(1) = ENOTCONN
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The server's FIN is 1. The client's own FIN waits behind data that the window has no room for.
        "disconnect-with-data",
        "
        connected
        server shutdown(SHUT_WR) = 0
          < F. 1:1(0) ack 1 win 512 ts
          > . 1:1(0) ack 2 win 512 ts
        client fcntl(O_NONBLOCK) = 0
        client write(8000000) = 3000000
          > . 1:60001(60000) ack 2 win 512 ts
          < . 2:2(0) ack 60001 win 0 ts
        client shutdown(SHUT_WR) = 0
        client connect(AF_UNSPEC) = 0
          > R. 60001:60001(0) ack 2 win 512 ts ; active, socket TCP_DISCONNECT_WITH_DATA, to FIN-WAIT-2, numbers vary, frame varies
        server read(8000000) = 60000
        server read(1) = ECONNRESET ; RST 1
        server read(1) = 0
        server getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The blocked call returns the error.
        "reset-blocked-reader",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        blocked client read(1) = ECONNRESET ; RST 1
        server close() = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        end client
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // RFC 9293, 3.10.5: ABORT in ESTABLISHED is <SEQ=SND.NXT><CTL=RST>, and Linux adds ACK. No byte was exchanged:
        // both sides are at 1. The blocked call returns the error.
        "linger-zero-blocked-reader",
        "
        connected
        blocked server read(1) = ECONNRESET ; RST 1
        client setsockopt(SO_LINGER {1,0}) = 0
        client close() = 0
          > R. 1:1(0) ack 1 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        end server
        server read(1) = 0
        server write(1) = EPIPE
        ",
    ),
    (
        // The blocked write returns the number of bytes that it has copied.
        "reset-blocked-writer",
        "
        connected
        blocked client write(16000000) = 3000000
          > . 1:60001(60000) ack 1 win 512 ts
          < . 1:1(0) ack 60001 win 0 ts
        server close() = 0
          < R. 1:1(0) ack 60001 win 0 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED, numbers vary, frame varies
        end client
        client write(1) = ECONNRESET ; RST 1
        client write(1) = EPIPE
        client read(1) = 0
        ",
    ),
    (
        // The client's FIN takes up 3.
        "half-closed-then-reset",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        client shutdown(SHUT_WR) = 0
          > F. 3:3(0) ack 1 win 512 ts
          < . 1:1(0) ack 4 win 512 ts
        server read(1) = 1
        server close() = 0
          < R. 1:1(0) ack 4 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to FIN-WAIT-2
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // RFC 1122, 4.2.2.13: the RST answers data that can no longer be received; SEQ is its ACK, 2.
        "shutdown-rdwr-then-peer-write",
        "
        connected
        server shutdown(SHUT_RDWR) = 0
          < F. 1:1(0) ack 1 win 512 ts
          > . 1:1(0) ack 2 win 512 ts
        client write(1) = 1
          > P. 1:2(1) ack 2 win 512 ts
          < R 2:2(0) win 0 ; passive, socket TCP_ABORT_ON_DATA, to CLOSE-WAIT
        server getsockopt(SO_ERROR) = ECONNRESET
        client write(1) = EPIPE ; RST 1
        client read(1) = 0
        ",
    ),
    (
        // The mirror image.
        "shutdown-rdwr-own",
        "
        connected
        client shutdown(SHUT_RDWR) = 0
          > F. 1:1(0) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server write(1) = 1
          < P. 1:2(1) ack 2 win 512 ts
          > R 2:2(0) win 0 ; passive, socket TCP_ABORT_ON_DATA, to CLOSE-WAIT
        client getsockopt(SO_ERROR) = ECONNRESET
        client write(1) = EPIPE
        client read(1) = 0
        server write(1) = EPIPE ; RST 1
        ",
    ),
    (
        // The FIN takes up 1.
        "linger2-negative-half-closed",
        "
        connected
        server setsockopt(TCP_LINGER2 -1) = 0
        server shutdown(SHUT_WR) = 0
          < F. 1:1(0) ack 1 win 512 ts
          > . 1:1(0) ack 2 win 512 ts
        server close() = 0
          < R. 2:2(0) ack 1 win 512 ts ; active, socket TCP_ABORT_ON_LINGER, to CLOSE-WAIT
        client read(1) = 0
        client write(1) = EPIPE ; RST 1
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The RST answers the ACK of the FIN, so its SEQ is 2.
        "linger2-negative",
        "
        connected
        server setsockopt(TCP_LINGER2 -1) = 0
        server close() = 0
          < F. 1:1(0) ack 1 win 512 ts
          > . 1:1(0) ack 2 win 512 ts
          < R 2:2(0) win 0 ; passive, socket TCP_ABORT_ON_DATA, to CLOSE-WAIT
        client read(1) = 0
        client write(1) = EPIPE ; RST 1
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The bytes take up 1 and 2.
        "shutdown-rd-then-close",
        "
        connected
        client shutdown(SHUT_RD) = 0
        server write(2) = 2
          < P. 1:3(2) ack 1 win 512 ts
          > . 1:1(0) ack 3 win 512 ts
        client close() = 0
          > R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED
        server read(1) = ECONNRESET ; RST 1
        server read(1) = 0
        server write(1) = EPIPE
        ",
    ),
    (
        // As close-unread-data; the options of the RST are not looked at.
        "mptcp-close-unread-data",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(1) = 1
        server close() = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED, frame varies
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // As linger-zero-close after two bytes; the options of the RST are not looked at.
        "mptcp-linger-zero-close",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(2) = 2
        server setsockopt(SO_LINGER {1,0}) = 0
        server close() = 0
          < R. 1:1(0) ack 3 win 512 ts ; active, socket TCP_ABORT_ON_CLOSE, to ESTABLISHED, frame varies
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // tcp_abort(): RST at SND.NXT.
        "sock-destroy",
        "
        [lab]
        connected
        server sendmsg(SOCK_DESTROY) = 0
          < R. 1:1(0) ack 1 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        server read(1) = ECONNABORTED
        server read(1) = 0
        server write(1) = EPIPE
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        "fast-open-close-unread",
        "
        [lab]
        ...
          < RST ; socket TCP_ABORT_ON_CLOSE, frame 4
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
];
