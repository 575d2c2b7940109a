//! Scenarios with firewalls on the path, whose effects look like those of a kernel.

use super::{
    Awaited, BASE, Cause, Errno, Expect, ExpectedReset, Extent, Forged, Network, OPEN, Op, Role,
    Rule, Scenario, Sender, Step, Target, Topic, abort, answer, answer_without_ack, challenged,
    client, dead_since_reset, injected, lost, never_left, polls, returns, server, told_of_reset,
};
use crate::flow::State;
use crate::packet::Flags;

/// RST from a firewall that answers the SYN as the server's kernel would.
const REJECTED: ExpectedReset =
    answer_without_ack(Role::Server, State::SynSent, Sender::Firewall, "");

/// Firewall that answers the SYN with an RST: `ECONNREFUSED`.
///
/// `nf_send_reset()` makes the RST by itself: `tcp_send_reset` does not trace it and `OutRsts` does not count it.
pub(super) const CONNECT_RESET: Scenario = Scenario {
    id: "connect-firewall-reset",
    topic: Topic::Firewall,
    title: "a firewall answers the SYN with RST: ECONNREFUSED, and the kernel knows of none",
    story: "The server listens, but a firewall rule on its host (`reject with tcp reset`) answers the client's SYN before TCP \
            sees it. On the wire the RST is byte for byte what the kernel sends from a closed port. What tells them apart is \
            that the kernel says nothing: no tcp_send_reset in its trace, and OutRsts has not moved.",
    elsewhere: "pf's `block return-rst` does the same.",
    advice: "A port that `ss -ltn` shows, and that refuses: look at OutRsts (`nstat -az TcpOutRsts`) while a client tries. If it \
             does not move on the server, something in between answers; `nft list ruleset` shows rules with counters.",
    target: Target::Firewalled(Rule::RejectWithReset),
    steps: &[
        client(Op::Connect, told_of_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), dead_since_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
    ],
    resets: &[REJECTED],
    // OutRsts does not increase, because the kernel does not send the RST.
    counters: &[("AttemptFails", 1)],
    ..BASE
};

/// Firewall that drops the incoming SYN: `ETIMEDOUT`.
///
/// `nf_hook_slow()` drops the SYN after the tap, so the SYN is on the wire, but TCP never sees it.
pub(super) const CONNECT_DROPPED: Scenario = Scenario {
    id: "connect-firewall-drop",
    topic: Topic::Firewall,
    title: "a firewall drops the SYN as it comes in: ETIMEDOUT",
    story: "The server listens, and a firewall rule on its host drops the client's SYN. A capture on that host shows the SYN all \
            the same, since it is taken before the firewall; the listener sees nothing, and its counters do not move. The client \
            sends its SYN again and gives up: ETIMEDOUT.",
    elsewhere: "The same everywhere; where the tap lies differs (on the BSDs before pf as well).",
    advice: "A SYN in the server's capture and no answer: a firewall drops it, or the accept queue is full. ListenDrops tells the \
             second; `nft list ruleset` or a trace (`nft monitor trace`) the first.",
    target: Target::Firewalled(Rule::DropInput),
    slow: true,
    steps: &[
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, Cause::TimedOut),
        ),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    counters: &[("AttemptFails", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// Firewall of the client's own host that drops the SYN: `ETIMEDOUT`, and nothing on the wire.
///
/// `nf_hook_slow()` in `LOCAL_OUT` frees the SYN before the tap. `tcp_connect()` does not report it (`EPERM` is for
/// UDP).
pub(super) const CONNECT_OUTPUT_DROPPED: Scenario = Scenario {
    id: "connect-firewall-output-drop",
    topic: Topic::Firewall,
    title: "the client's own firewall drops the SYN: ETIMEDOUT, nothing on the wire",
    story: "A firewall rule on the client's own host drops what goes out to the server's port. The SYN never gets to the wire, \
            and TCP does not tell: it tries again and gives up with ETIMEDOUT. sendto() of UDP would have said EPERM.",
    elsewhere: "On FreeBSD connect() fails with EACCES (from memory, not measured).",
    advice: "A time-out with nothing at all in the client's own capture: look at the client's own output rules.",
    target: Target::Firewalled(Rule::DropOutput),
    extent: Extent::Nothing,
    slow: true,
    steps: &[
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, Cause::TimedOut),
        ),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    counters: &[("AttemptFails", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// RST from the firewall of the server's own host, which answers incoming data.
const DATA_REJECTED: ExpectedReset = answer(Role::Server, State::Established, Sender::Firewall, "");

/// Firewall of the server's own host that RSTs the client.
///
/// `nf_send_reset()` runs in `LOCAL_IN`: the connection exists at both ends, and the rule resets only one.
pub(super) const INPUT_RESET: Scenario = Scenario {
    id: "firewall-reset-input",
    topic: Topic::Firewall,
    title: "the server's own firewall resets a connection in mid-stream, behind the server's back",
    story: "The connection works; then a firewall rule on the server's own host rejects the client's data with a RST in the \
            server's name. Captured at both ends the RST leaves the server's host and arrives at the client's, as if the server had \
            sent it. But its kernel has sent none: no tcp_send_reset, OutRsts still. The server's connection is open, and it has \
            read nothing.",
    elsewhere: "pf's `return-rst` does the same.",
    advice: "A RST that leaves the server's interface is no proof that the server sent it: ask its kernel (`nstat -az TcpOutRsts`, the \
             tracepoint tcp:tcp_send_reset).",
    network: Network::Link,
    target: Target::Firewalled(Rule::RejectData),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
        // The server's own connection is not affected.
        server(Op::Poll, polls(OPEN)),
    ],
    resets: &[DATA_REJECTED],
    counters: &[("EstabResets", 1)],
    ..BASE
};

/// Firewall between the hosts that RSTs the client.
///
/// `nf_send_reset()` runs in `FORWARD`: neither end's kernel has sent the RST, which is on one side of the router only.
pub(super) const FORWARD_RESET: Scenario = Scenario {
    id: "firewall-reset-forward",
    topic: Topic::Firewall,
    title: "a firewall between the hosts resets the client; the server goes on, and is reset by the client",
    story: "A router between the two hosts rejects the client's data with a RST in the server's name. At the client's end it \
            arrives; at the server's end there is nothing, not even the data. The client is told ECONNRESET. The server's connection \
            is open until it writes: the client's kernel, which has no such connection any more, answers that with a RST of its \
            own.",
    elsewhere: "Any firewall that rejects, and many that shape or filter traffic.",
    advice: "Capture at both ends. A RST that arrives and never left was made in between: look for the device whose TTL it bears. \
             The server then logs a reset by the client, and both blame the other.",
    network: Network::Routed,
    target: Target::Firewalled(Rule::RejectForwarded),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
        server(Op::Poll, polls(OPEN)),
        server(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        server(Op::Read(1), told_of_reset(Errno::ECONNRESET, 1)),
        server(Op::Write(1), dead_since_reset(Errno::EPIPE, 1)),
    ],
    resets: &[
        DATA_REJECTED,
        answer(
            Role::Client,
            State::Established,
            Sender::Kernel,
            "NO_SOCKET",
        ),
    ],
    // OutRsts counts the client's RST, but not that of the firewall.
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};

/// Server RST that is lost on the path: the client fails at its next write.
///
/// `nf_hook_slow()` in `FORWARD` drops the RST.
pub(super) const RESET_LOST: Scenario = Scenario {
    id: "reset-lost",
    topic: Topic::Firewall,
    title: "the server's RST is lost on the way: the client learns at its next write",
    story: "The server aborts; its RST leaves its host and is dropped by a router. The client's connection is open as far as it \
            knows. Only when it writes does an answer come back: the server's listener knows of no connection, and sends a RST \
            that gets through.",
    elsewhere: "The same everywhere: a RST is not acknowledged and not sent again.",
    advice: "A connection that the server says it has reset, and that hangs at the client: captured at both ends the RST is at one \
             only. Firewalls that drop RSTs, or anything `invalid`, cause this; keepalive heals it.",
    network: Network::Routed,
    target: Target::Firewalled(Rule::DropForwardedAborts),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        // The RST was lost, so the client's connection is still open.
        client(Op::Poll, polls(OPEN)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 1)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 1)),
    ],
    resets: &[
        lost(abort(Role::Server, State::Established, "TCP_STATE")),
        answer(
            Role::Server,
            State::Established,
            Sender::Socket,
            "TCP_FLAGS",
        ),
    ],
    counters: &[("OutRsts", 2), ("EstabResets", 2), ("TCPAbortOnData", 1)],
    ..BASE
};

/// Server RST that never reaches the wire.
///
/// `nf_hook_slow()` in `LOCAL_OUT` drops the RST that `tcp_send_active_reset()` sends. The kernel traces and counts the
/// RST, but the wire does not have it.
pub(super) const RESET_NEVER_LEFT: Scenario = Scenario {
    id: "reset-never-left",
    topic: Topic::Firewall,
    title: "the server's own firewall drops its RST: the kernel has sent it, the wire has none",
    story: "The server aborts, and a firewall rule on its own host drops the RST before it gets to the wire. The kernel's trace \
            tells of a RST that was sent, and OutRsts has moved; the capture, even on that host, shows none, and the client does not \
            learn of it.",
    elsewhere: "The same wherever packets are filtered on their way out.",
    advice: "An event is not a packet: tcp_send_reset says what the kernel wanted, the capture what came of it. If only the first is \
             there, look at output rules (`nft list ruleset`). TCPAbortFailed (`nstat -az`) tells that a RST could not be sent.",
    target: Target::Firewalled(Rule::DropResets),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Poll, polls(OPEN)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[never_left(abort(
        Role::Server,
        State::Established,
        "TCP_STATE",
    ))],
    // tcp_transmit_skb() fails, so TCPAbortFailed increases.
    counters: &[
        ("OutRsts", 1),
        ("EstabResets", 1),
        ("TCPAbortOnData", 1),
        ("TCPAbortFailed", 1),
    ],
    ..BASE
};

/// Server RST ahead of lost data: a challenge ACK, and a second RST.
///
/// `tcp_send_active_reset()` uses SND.NXT, which the client has not reached. The client's challenge ACK (RFC 5961, 3.2)
/// triggers an exact RST.
pub(super) const RESET_AHEAD: Scenario = Scenario {
    id: "reset-ahead-of-lost-data",
    topic: Topic::Firewall,
    title: "the last data is lost, the RST is ahead of it: challenge ACK, and a second RST",
    story: "The server writes four bytes and aborts. The bytes are lost on the way, the RST arrives: four ahead of what the client \
            expects next. So it is not believed; the client asks back with an ACK. The server's host, whose socket is gone, answers \
            that with a second RST, an exact one, and that counts. One close, two RSTs.",
    elsewhere: "RFC 5961, 3.2, works like this everywhere that it is followed; before, the first RST would have been believed.",
    advice: "Two RSTs a round trip apart, the first active, the second passive: data was lost just before the end. The client never \
             gets to see that data.",
    network: Network::Routed,
    target: Target::Firewalled(Rule::DropForwardedData),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Write(4), returns(4)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(4), told_of_reset(Errno::ECONNRESET, 1)),
        client(Op::Read(4), returns(0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 1)),
    ],
    resets: &[
        challenged(abort(Role::Server, State::Established, "TCP_STATE")),
        answer(
            Role::Server,
            State::Established,
            Sender::Socket,
            "TCP_FLAGS",
        ),
    ],
    counters: &[
        ("OutRsts", 2),
        ("EstabResets", 2),
        ("TCPAbortOnData", 1),
        ("TCPChallengeACK", 1),
    ],
    ..BASE
};

/// RST forged by a third host: accepted by `tcp_reset()`, and on the wire at one end only.
pub(super) const THIRD_PARTY: Scenario = Scenario {
    id: "third-party-reset",
    topic: Topic::Firewall,
    title: "a third host forges a RST: at the client's end only, and neither kernel has sent it",
    story: "A host between the two makes a RST in the server's name, with the exact number, and sends it to the client. The client has \
            to believe it. At the server's end nothing was sent: the RST arrives where it never left. The server is open, and is \
            reset by the client's kernel when it writes.",
    elsewhere: "The same everywhere; censorship by reset rests on it.",
    advice: "Capture at both ends, or ask the server's kernel: OutRsts still, no tcp_send_reset. The forged RST's window, TTL and IP ID \
             do not fit the server's other packets.",
    network: Network::Routed,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        Step::Inject(Forged::new(Role::Server, Flags::RST)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), told_of_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), dead_since_reset(Errno::EPIPE, 0)),
        server(Op::Poll, polls(OPEN)),
        server(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        server(Op::Read(1), told_of_reset(Errno::ECONNRESET, 1)),
        server(Op::Write(1), dead_since_reset(Errno::EPIPE, 1)),
    ],
    resets: &[
        injected(Role::Server, State::Established),
        answer(
            Role::Client,
            State::Established,
            Sender::Kernel,
            "NO_SOCKET",
        ),
    ],
    // OutRsts counts the client's RST, but not the forged one.
    counters: &[("OutRsts", 1), ("EstabResets", 2)],
    ..BASE
};
