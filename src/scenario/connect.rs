//! Connection set-up that a RST ends.

use super::{
    BASE, Errno, ExpectedReset, Op, Role, Scenario, Sender, Target, Topic, client,
    dead_since_reset, told_of_reset,
};
use crate::flow::{Form, State};

/// A SYN to a port where nobody listens draws RST+ACK that acknowledges the SYN (RFC 9293, 3.10.7.1): the reset is
/// acceptable in SYN-SENT, where `tcp_reset()` maps it to `ECONNREFUSED`. A blocking `connect` leaves the socket
/// unconnected, hence `ENOTCONN` and `EPIPE` afterwards.
pub(super) const CLOSED_PORT: Scenario = Scenario {
    id: "connect-closed-port",
    topic: Topic::Connect,
    title: "nobody listens: RST+ACK to the SYN, ECONNREFUSED",
    story: "The client connects to a port where nobody listens. The kernel answers the SYN with RST+ACK: sequence \
            number 0, the SYN acknowledged. In SYN-SENT a reset is believed because of that acknowledgment, not \
            because of its sequence number, and it becomes ECONNREFUSED, once. A blocking connect() then puts the \
            socket back to unconnected: read() gives ENOTCONN, write() gives EPIPE.",
    elsewhere: "The same errno on the BSDs and macOS. Windows tries the SYN again for some two seconds before it \
                reports WSAECONNREFUSED.",
    advice: "ECONNREFUSED means that a host answered. Look whether the server runs and listens on this address and \
             family (`ss -ltn`); a server bound to 127.0.0.1 refuses on every other address. A firewall that rejects \
             with a TCP reset looks the same on the wire.",
    target: Target::ClosedPort,
    steps: &[
        client(Op::Connect, told_of_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), dead_since_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[ExpectedReset {
        from: Role::Server,
        form: Form::PassiveAck,
        receiver_state: State::SynSent,
        sender: Sender::Kernel,
        reason: "NO_SOCKET",
    }],
    counters: &[("OutRsts", 1), ("AttemptFails", 1)],
    ..BASE
};
