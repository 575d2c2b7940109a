//! Stories of clean closes and what follows.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // RFC 9293, figure 12, first half.
        "clean-close-eof",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(2) = 2
        server close() = 0
          < F. 1:1(0) ack 3 win 512 ts
        client read(1) = 0
          > . 3:3(0) ack 2 win 512 ts
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The data acknowledges 2, so the answer is RST at 2 (RFC 9293, 3.10.7.1), which is what the client, in
        // CLOSE-WAIT, expects next.
        "write-after-peer-close",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        server close() = 0
          < F. 1:1(0) ack 1 win 512 ts
          > . 1:1(0) ack 2 win 512 ts
        client write(1) = 1
          > P. 1:2(1) ack 2 win 512 ts
          < R 2:2(0) win 0 ; passive, kernel TCP_TIMEWAIT_SOCKET, to CLOSE-WAIT
        client write(1) = EPIPE ; RST 1
        client read(1) = 0
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The server's byte is 1, its FIN 2: the client's data is the first to acknowledge 3, and triggers an RST at 3.
        "write-after-peer-close-early",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        server write(1) = 1
          < P. 1:2(1) ack 1 win 512 ts
          > . 1:1(0) ack 2 win 512 ts
        client read(1) = 1
        client setsockopt(TCP_QUICKACK 0) = 0
        server close() = 0
          < F. 2:2(0) ack 1 win 512 ts
        client write(1) = 1
          > P. 1:2(1) ack 3 win 512 ts
          < R 3:3(0) win 0 ; passive, socket TCP_ABORT_ON_DATA, to CLOSE-WAIT
        client write(1) = EPIPE ; RST 1
        client read(1) = 0
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The client's FIN takes up 1; the server still sends (RFC 9293, 3.6: half-close).
        "shutdown-wr-then-write",
        "
        client connect() = 0
          > S 0:0(0) win 65495 ts
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server accept() = 0
        client shutdown(SHUT_WR) = 0
          > F. 1:1(0) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        client write(1) = EPIPE
        client getsockopt(SO_ERROR) = 0
        server read(1) = 0
        server write(1) = 1
          < P. 1:2(1) ack 2 win 512 ts
          > . 2:2(0) ack 2 win 512 ts
        client read(1) = 1
        ",
    ),
    (
        // RFC 9293, figure 12, first half.
        "clean-close-sigkill",
        "
        connected
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        server read(2) = 2
        server posix_spawn() = 0
        server close() = 0
        client poll() = OUT
        server kill(child, SIGKILL) = 0
          < F. 1:1(0) ack 3 win 512 ts
        client poll() = IN|OUT|RDHUP
        client read(1) = 0
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // RFC 9293, figure 12.
        "close-only-fin-queued",
        "
        connected
        client shutdown(SHUT_WR) = 0
          > F. 1:1(0) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server close() = 0
          < F. 1:1(0) ack 2 win 512 ts
          > . 2:2(0) ack 2 win 512 ts
        client read(1) = 0
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The response takes up 1 to 3 and the FIN 4, so the RST has 5.
        "write-after-peer-close-response",
        "
        connected
        server write(3) = 3
          < P. 1:4(3) ack 1 win 512 ts
          > . 1:1(0) ack 4 win 512 ts
        server close() = 0
          < F. 4:4(0) ack 1 win 512 ts
          > . 1:1(0) ack 5 win 512 ts
        client write(1) = 1
          > P. 1:2(1) ack 5 win 512 ts
          < R 5:5(0) win 0 ; passive, kernel TCP_TIMEWAIT_SOCKET, to CLOSE-WAIT
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(8) = 3
        client read(1) = 0
        client getsockopt(SO_ERROR) = EPIPE ; RST 1
        client write(1) = EPIPE
        ",
    ),
    (
        // As write-after-peer-close.
        "write-after-peer-close-late",
        "
        [slow]
        connected
        server setsockopt(TCP_LINGER2 1) = 0
        server close() = 0
          < F. 1:1(0) ack 1 win 512 ts
          > . 1:1(0) ack 2 win 512 ts
        client write(1) = 1
          > P. 1:2(1) ack 2 win 512 ts
          < R 2:2(0) win 0 ; passive, socket TCP_FLAGS, to CLOSE-WAIT
        client write(1) = EPIPE ; RST 1
        client read(1) = 0
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // As write-after-peer-close.
        "write-after-peer-close-gone",
        "
        [slow]
        connected
        server setsockopt(TCP_LINGER2 1) = 0
        server close(listener) = 0
        server close() = 0
          < F. 1:1(0) ack 1 win 512 ts
          > . 1:1(0) ack 2 win 512 ts
        client write(1) = 1
          > P. 1:2(1) ack 2 win 512 ts
          < R 2:2(0) win 0 ; passive, kernel NO_SOCKET, to CLOSE-WAIT
        client write(1) = EPIPE ; RST 1
        client read(1) = 0
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The shutdown sends nothing; the bytes are received.
        "shutdown-rd",
        "
        connected
        client shutdown(SHUT_RD) = 0
        client poll() = IN|OUT|RDHUP
        client read(1) = 0
        server write(2) = 2
          < P. 1:3(2) ack 1 win 512 ts
          > . 1:1(0) ack 3 win 512 ts
        client read(2) = 2
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // Nothing is sent until the client writes.
        "receive-timeout",
        "
        connected
        client setsockopt(SO_RCVTIMEO 20 ms) = 0
        client read(1) = EAGAIN
        client getsockopt(SO_ERROR) = 0
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server read(1) = 1
        ",
    ),
    (
        // RFC 8684, 3.3.3: DATA_FIN takes up a number of the connection, none of the subflow; it and its acknowledgment are
        // segments without payload there.
        "mptcp-write-after-peer-close",
        "
        connected
        server close() = 0
          < . 1:1(0) ack 1 win 512 ts
          > . 1:1(0) ack 1 win 512 ts
        client read(1) = 0
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        client write(1) = 1
          > P. 2:3(1) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        client poll() = IN|OUT|RDHUP
        ",
    ),
    (
        // RFC 9293, 3.8.6.1: a probe of the closed window has an old number, and is answered.
        "zero-window-user-timeout",
        "
        [slow]
        connected
        client setsockopt(TCP_USER_TIMEOUT 500 ms) = 0
        client fcntl(O_NONBLOCK) = 0
        client write(16000000) = 3000000
          > . 1:60001(60000) ack 1 win 512 ts
          < . 1:1(0) ack 60001 win 0 ts
          > . 60000:60000(0) ack 1 win 512 ts
          < . 1:1(0) ack 60001 win 0 ts
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client write(1) = ETIMEDOUT
        client write(1) = EPIPE
        client read(1) = 0
        ",
    ),
];
