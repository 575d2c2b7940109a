//! For each scenario of the catalogue a trial that must be confirmed, derived by hand.
//!
//! From RFC 9293 (numbers: SYN and FIN take up one each, 3.4; handshake: figure 6; reset generation: 3.10.7.1), RFC 2525
//! 2.17 (close with data unread) and what was measured of Linux: an active abort is RST+ACK at SND.NXT with a real
//! window and the negotiated options; the answer to a segment with ACK is RST alone at SEG.ACK, to one without ACK it is
//! RST+ACK with SEQ 0, both with window 0 and no options.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // RFC 9293, 3.10.7.1: no connection, no ACK bit: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. A blocking connect
        // then leaves the socket unconnected.
        "connect-closed-port",
        "
        client connect() = ECONNREFUSED
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0
        client read(1) = ENOTCONN
        client write(1) = EPIPE
        ",
    ),
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
          < R. 1:1(0) ack 3 win 512 ts
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The same segments; tcp_sendmsg_locked() looks at sk_err before it says EPIPE.
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
          < R. 1:1(0) ack 3 win 512 ts
        client write(1) = ECONNRESET
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
          < R. 2:2(0) ack 3 win 512 ts
        client read(1) = 0
        client getsockopt(SO_ERROR) = EPIPE
        client write(1) = EPIPE
        client getsockopt(SO_ERROR) = 0
        client read(1) = 0
        ",
    ),
    (
        // The same segments.
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
          < R. 2:2(0) ack 3 win 512 ts
        client read(1) = 0
        client write(1) = EPIPE
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
          < R. 1:1(0) ack 1 win 512 ts
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
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
          < R 2:2(0) win 0
        client write(1) = EPIPE
        client read(1) = 0
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The server's byte is 1, its FIN 2: the client's data is the first to acknowledge 3, and draws RST at 3.
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
          < R 3:3(0) win 0
        client write(1) = EPIPE
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
];
