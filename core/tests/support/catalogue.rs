//! Trials that must be confirmed, one for each scenario of the catalogue, derived by hand.
//!
//! Sources: RFC 9293 (numbers: SYN and FIN take up one each, 3.4; handshake: figure 6; reset generation: 3.10.7.1), RFC
//! 2525 2.17 (close with data unread), and measurements of Linux: an active abort is RST+ACK at SND.NXT with a real
//! window and the negotiated options; the reply to a segment with ACK is RST alone at SEG.ACK, and to a segment without
//! ACK it is RST+ACK with SEQ 0, both with window 0 and no options.

/// Scenario id and evidence of each trial.
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
        // As connect-closed-port: shutdown(2) of a listener leaves it bound, and a bound socket does not listen.
        "connect-not-listening",
        "
        server shutdown(listener, SHUT_RD) = 0
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
    (
        // The segments of connect-closed-port; on loopback both are there when connect() returns.
        "connect-closed-port-nonblocking",
        "
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client getsockopt(SO_ERROR) = ECONNREFUSED
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
          < R. =0:0(0) ack 1 win 0
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ECONNREFUSED
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
          < R. =0:0(0) ack 1 win 0
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client write(1) = ECONNREFUSED
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
          < R. =0:0(0) ack 1 win 0
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client connect() = ECONNREFUSED
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
          < R. =0:0(0) ack 1 win 0
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client getsockopt(SO_ERROR) = ECONNREFUSED
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
        client connect() = ECONNREFUSED
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0
        client read(1) = ENOTCONN
        client write(1) = EPIPE
        ",
    ),
    (
        // The byte is 1, so the RST acknowledges 2.
        "listener-close-pending-accept",
        "
        handshake
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server close(listener) = 0
          < R. 1:1(0) ack 2 win 512 ts
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The byte is 1, so the RST acknowledges 2.
        "listener-shutdown-pending-accept",
        "
        handshake
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server shutdown(listener, SHUT_RD) = 0
          < R. 1:1(0) ack 2 win 512 ts
        server accept() = EINVAL
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // The byte is 1, so the RST acknowledges 2.
        "reuseport-close",
        "
        handshake
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server close(listener) = 0
          < R. 1:1(0) ack 2 win 512 ts
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // Both sides are at 1.
        "reset-in-accept-queue",
        "
        handshake
        client setsockopt(SO_LINGER {1,0}) = 0
        client close() = 0
          > R. 1:1(0) ack 1 win 512 ts
        server accept() = 0
        server getpeername() = ENOTCONN
        server read(1) = ECONNRESET
        server read(1) = 0
        server write(1) = EPIPE
        ",
    ),
    (
        // The client has sent 1 and 2, so its SND.NXT is 3.
        "reset-in-accept-queue-data",
        "
        handshake
        client write(2) = 2
          > P. 1:3(2) ack 1 win 512 ts
          < . 1:1(0) ack 3 win 512 ts
        client setsockopt(SO_LINGER {1,0}) = 0
        client close() = 0
          > R. 3:3(0) ack 1 win 512 ts
        server accept() = 0
        server read(2) = 2
        server read(1) = ECONNRESET
        server read(1) = 0
        server write(1) = EPIPE
        ",
    ),
    (
        // The byte is not acknowledged.
        "accept-queue-overflow",
        "
        handshake
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
        client poll() = OUT
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // The SYN-ACK is sent again, and acknowledged again.
        "defer-accept",
        "
        handshake
        server accept() = 0
          < S. 0:0(0) ack 1 win 65483 ts
          > . 1:1(0) ack 1 win 512 ts
        server getpeername() = 0
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // RFC 9293, 3.10.7.1: SEQ is the ACK of what is answered, 1.
        "defer-accept-listener-close",
        "
        handshake
        server close(listener) = 0
        client poll() = OUT
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < R 1:1(0) win 0
        client read(1) = ECONNRESET
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
          < R. 1:1(0) ack 3 win 512 ts
        client read(1) = ECONNRESET
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
          < R. 1:1(0) ack 2 win 512 ts
        client read(1) = ECONNRESET
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
          < R. 1:1(0) ack 3 win 512 ts
        client read(1) = ECONNRESET
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
          < R. 1:1(0) ack 3 win 512 ts
        client read(1) = ECONNRESET
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
          < R. 1:1(0) ack 3 win 512 ts
        client read(1) = ECONNRESET
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
          < R. 4:4(0) ack 3 win 512 ts
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(8) = 3
        client read(1) = ECONNRESET
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
          < R. 4097:4097(0) ack 1 win 512 ts
        client read(60000) = 4096
        client read(1) = ECONNRESET
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
          < R. 1:1(0) ack 1 win 512 ts
        server poll() = OUT|ERR|HUP
        server getsockopt(SO_ERROR) = ECONNRESET
        server read(1) = ENOTCONN
        client read(1) = ECONNRESET
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
          > R. 60001:60001(0) ack 2 win 512 ts
        server read(8000000) = 60000
        server read(1) = ECONNRESET
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
        blocked client read(1) = ECONNRESET
        server close() = 0
          < R. 1:1(0) ack 3 win 512 ts
        end client
        client read(1) = 0
        client write(1) = EPIPE
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
          < R. 1:1(0) ack 60001 win 0 ts
        end client
        client write(1) = ECONNRESET
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
          < R. 1:1(0) ack 4 win 512 ts
        client read(1) = ECONNRESET
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
          < R 2:2(0) win 0
        server getsockopt(SO_ERROR) = ECONNRESET
        client write(1) = EPIPE
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
          > R 2:2(0) win 0
        client getsockopt(SO_ERROR) = ECONNRESET
        client write(1) = EPIPE
        client read(1) = 0
        server write(1) = EPIPE
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
          < R. 2:2(0) ack 1 win 512 ts
        client read(1) = 0
        client write(1) = EPIPE
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
          < R 2:2(0) win 0
        client read(1) = 0
        client write(1) = EPIPE
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
          > R. 1:1(0) ack 3 win 512 ts
        server read(1) = ECONNRESET
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
          < R. 1:1(0) ack 3 win 512 ts
        client read(1) = ECONNRESET
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
          < R. 1:1(0) ack 3 win 512 ts
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
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
          < R 5:5(0) win 0
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(8) = 3
        client read(1) = 0
        client getsockopt(SO_ERROR) = EPIPE
        client write(1) = EPIPE
        ",
    ),
    (
        // As write-after-peer-close.
        "write-after-peer-close-late",
        "
        connected
        server setsockopt(TCP_LINGER2 1) = 0
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
        // As write-after-peer-close.
        "write-after-peer-close-gone",
        "
        connected
        server setsockopt(TCP_LINGER2 1) = 0
        server close(listener) = 0
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
        // RFC 9293, 3.8.6.1: a probe of the closed window has an old number, and is answered.
        "zero-window-user-timeout",
        "
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
    (
        // The segments of connect-closed-port: the firewall answers as the kernel would (nf_send_reset()).
        "connect-firewall-reset",
        "
        client connect() = ECONNREFUSED
          > S 0:0(0) win 65495 ts
          < R. =0:0(0) ack 1 win 0
        client read(1) = ENOTCONN
        client write(1) = EPIPE
        ",
    ),
    (
        // RFC 792: 3/3; RFC 4443: 1/4. Both quote the SYN.
        "connect-icmp-port-unreachable",
        "
        blocked client connect() = ECONNREFUSED
          > S 0:0(0) win 65495 ts
          < icmp 3/3,1/4 about >
        end client
        client getsockopt(SO_ERROR) = 0
        client read(1) = ENOTCONN
        ",
    ),
    (
        // The first error arrives while connect() holds the socket and is put aside (`tcp_v4_err()`:
        // sock_owned_by_user); the second, triggered by the retransmission, takes effect.
        "connect-icmp-reject",
        "
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
        // RFC 5927, 4.1: the quoted segment was never sent.
        "connect-icmp-bad-sequence",
        "
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
        // RFC 1122, 4.2.3.9: a soft error on an established connection.
        "icmp-established",
        "
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
        // The SYN and its retransmissions after one and two seconds get no reply.
        "connect-blackholed",
        "
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
        // RFC 2385, 2: an unsigned segment is dropped silently.
        "connect-md5-missing",
        "
        client setsockopt(TCP_SYNCNT 1) = 0
        client connect() = ETIMEDOUT
          > S 0:0(0) win 65495 ts
          > S 0:0(0) win 65495 ts
          > S 0:0(0) win 65495 ts
        client getsockopt(SO_ERROR) = 0
        ",
    ),
    (
        // No SYN is made.
        "connect-route-missing",
        "
        client connect() = ENETUNREACH
        client getsockopt(SO_ERROR) = 0
        client read(1) = ENOTCONN
        ",
    ),
    (
        // RFC 9293, 3.5.1 and 3.10.7.1: a half-open connection; the answer's number is what the data acknowledged.
        "half-open-peer-vanished",
        "
        connected
        server close(listener) = 0
        server setsockopt(TCP_REPAIR 1) = 0
        server close() = 0
        client poll() = OUT
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < R 1:1(0) win 0
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // RFC 9293, 3.8.4: a probe is one number back. tcp_send_active_reset() sends at SND.NXT.
        "keepalive-timeout",
        "
        connected
        server setsockopt(SO_ATTACH_FILTER drop) = 0
        client setsockopt(TCP_KEEPIDLE 1) = 0
        client setsockopt(TCP_KEEPINTVL 1) = 0
        client setsockopt(TCP_KEEPCNT 1) = 0
        client setsockopt(SO_KEEPALIVE 1) = 0
          > . 0:0(0) ack 1 win 512 ts
          > R. 1:1(0) ack 1 win 512 ts
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ETIMEDOUT
        client poll() = IN|OUT|HUP|RDHUP
        client write(1) = EPIPE
        client read(1) = 0
        ",
    ),
    (
        // RFC 6298: retransmitted, with the timeout doubled each time. tcp_write_err() sends nothing.
        "retransmission-timeout",
        "
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
        // RFC 5961, 3.2: before the window.
        "blind-rst-old",
        "
        connected
          < R 0:0(0) win 8192
        client poll() = OUT
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server read(1) = 1
        ",
    ),
    (
        // RFC 5961, 3.2: in the window and not exact, hence <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>.
        "blind-rst-in-window",
        "
        connected
          < R 11:11(0) win 8192
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
        connected
          < R 1:1(0) win 8192
        client poll() = IN|OUT|ERR|HUP|RDHUP
        client read(1) = ECONNRESET
        client read(1) = 0
        server poll() = OUT
        server write(1) = 1
          < P. 1:2(1) ack 1 win 512 ts
          > R 1:1(0) win 0
        server read(1) = ECONNRESET
        server write(1) = EPIPE
        ",
    ),
    (
        // RFC 2018: data received out of order is acknowledged selectively; the RST is at the edge of that block.
        "blind-rst-sack-edge",
        "
        connected
          < P. 11:21(10) ack 1 win 8192
          > . 1:1(0) ack 1 win 512 ts sack 11:21
          < R 21:21(0) win 8192
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        // RFC 1337: an exact RST ends TIME-WAIT, so that the late data is answered as RFC 9293, 3.10.7.1, says.
        "time-wait-rst",
        "
        connected
        client close() = 0
          > F. 1:1(0) ack 1 win 512 ts
        server read(1) = 0
        server close() = 0
          < F. 1:1(0) ack 2 win 512 ts
          > . 2:2(0) ack 2 win 512 ts
          < R 2:2(0) win 8192
          < P. 2:3(1) ack 2 win 8192
          > R 2:2(0) win 0
        ",
    ),
    (
        // RFC 1337, F1: the RST does not end TIME-WAIT. The server's listener does not know the connection of the
        // repeated ACK.
        "time-wait-rst-rfc1337",
        "
        connected
        client close() = 0
          > F. 1:1(0) ack 1 win 512 ts
        server read(1) = 0
        server close() = 0
          < F. 1:1(0) ack 2 win 512 ts
          > . 2:2(0) ack 2 win 512 ts
          < R 2:2(0) win 8192
          < P. 2:3(1) ack 2 win 8192
          > . 2:2(0) ack 2 win 512 ts
          < R 2:2(0) win 0
        ",
    ),
    (
        // RFC 9293, figure 9, lines 3 to 6: an unacceptable ACK in SYN-SENT triggers an RST at its number.
        "syn-sent-bad-ack",
        "
        client fcntl(O_NONBLOCK) = 0
        client connect() = EINPROGRESS
          > S 0:0(0) win 65495 ts
          < . 0:0(0) ack 1001 win 8192
          > R 1001:1001(0) win 0
        client poll() = 0
          < S. 0:0(0) ack 1 win 8192
          > . 1:1(0) ack 1 win 512
        client connect() = 0
        client poll() = OUT
        ",
    ),
    (
        // RFC 9293, 3.10.7.4: SYN-RECEIVED after a passive open returns to LISTEN, and LISTEN answers an ACK.
        "syn-received-rst",
        "
          > S 0:0(0) win 8192
          < S. 0:0(0) ack 1 win 65495
          > R 1:1(0) win 8192
          > . 1:1(0) ack 1 win 8192
          < R 1:1(0) win 0
        ",
    ),
    (
        // RFC 9293, 3.10.7.1.
        "stray-ack-closed-port",
        "
          > . 0:0(0) ack 5 win 8192
          < R 5:5(0) win 0
        ",
    ),
    (
        // RFC 7413: the SYN's data is acknowledged with it and delivered before the handshake completes.
        "fast-open-rst",
        "
          > S 0:1(1) win 8192
          < S. 0:0(0) ack 2 win 65495
        server accept() = 0
        server read(1) = 1
          > R 2:2(0) win 8192
        server read(1) = ECONNRESET
        server write(1) = EPIPE
        ",
    ),
    (
        // tcp_abort(): RST at SND.NXT.
        "sock-destroy",
        "
        connected
        server sendmsg(SOCK_DESTROY) = 0
          < R. 1:1(0) ack 1 win 512 ts
        server read(1) = ECONNABORTED
        server read(1) = 0
        server write(1) = EPIPE
        client read(1) = ECONNRESET
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
];
