//! Stories of the listener and its queue.

pub(super) const STORIES: &[(&str, &str)] = &[
    (
        // The byte is 1, so the RST acknowledges 2.
        "listener-close-pending-accept",
        "
        handshake
        client write(1) = 1
          > P. 1:2(1) ack 1 win 512 ts
          < . 1:1(0) ack 2 win 512 ts
        server close(listener) = 0
          < R. 1:1(0) ack 2 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
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
          < R. 1:1(0) ack 2 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        server accept() = EINVAL
        client read(1) = ECONNRESET ; RST 1
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
          < R. 1:1(0) ack 2 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
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
          > R. 1:1(0) ack 1 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        server accept() = 0
        server getpeername() = ENOTCONN
        server read(1) = ECONNRESET ; RST 1
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
          > R. 3:3(0) ack 1 win 512 ts ; active, socket TCP_STATE, to ESTABLISHED
        server accept() = 0
        server read(2) = 2
        server read(1) = ECONNRESET ; RST 1
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
        [slow]
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
          < R 1:1(0) win 0 ; passive, kernel NO_SOCKET, to ESTABLISHED
        client read(1) = ECONNRESET ; RST 1
        client read(1) = 0
        client write(1) = EPIPE
        ",
    ),
    (
        "reuseport-migrate",
        "
        [lab]
        ...
        ",
    ),
    (
        "accept-queue-abort-on-overflow",
        "
        [lab]
        ...
          < RST ; socket INVALID_SYN, frame 20
        client read = ECONNRESET
        client write = EPIPE
        ",
    ),
];
