//! Scenarios with firewalls on the path, whose effects look like those of a kernel.

use super::notation::{
    OPEN, abort, answer, answer_without_ack, challenged, client, dropped_at_sender,
    fails_after_reset, fails_from_reset, injected, lost, polls, returns, server,
};
use super::{
    Awaited, BASE, Errno, Expect, ExpectedCause, ExpectedReset, Extent, Forged, Network, Op, Role,
    Rule, Scenario, Sender, Step, Target, Topic,
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
    title: "a firewall replies to the SYN with an RST: ECONNREFUSED, but the kernel sent none",
    story: "The server listens, but a firewall rule on its host (`reject with tcp reset`) replies to the client's SYN \
            before TCP sees it. On the wire the RST is byte for byte the one that the kernel sends from a closed \
            port. The difference shows in the kernel: no tcp_send_reset in its trace, and OutRsts is unchanged.",
    elsewhere: "pf's `block return-rst` does the same.",
    advice: "If `ss -ltn` shows a listener and the port refuses, watch OutRsts on the server (`nstat -az TcpOutRsts`) \
             while a client connects. If it does not increase, a firewall on the server or on the path sends the RST; \
             `nft list ruleset` shows the rules of the server, with their counters.",
    target: Target::Firewalled(Rule::RejectWithReset),
    steps: &[
        client(Op::Connect, fails_from_reset(Errno::ECONNREFUSED, 0)),
        client(Op::Read(1), fails_after_reset(Errno::ENOTCONN, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
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
    title: "a firewall drops the incoming SYN: ETIMEDOUT",
    story: "The server listens, and a firewall rule on its host drops the client's SYN. A capture on that host still \
            shows the SYN, because it is taken before the firewall; the listener sees nothing, and its counters do \
            not change. The client retransmits its SYN and gives up: ETIMEDOUT.",
    elsewhere: "All systems do this. The capture point differs; on the BSDs it is before pf as well.",
    advice: "If the server's capture shows a SYN and no reply, a firewall drops it, or the accept queue is full. \
             ListenDrops shows a full queue; `nft list ruleset` or `nft monitor trace` shows a firewall.",
    target: Target::Firewalled(Rule::DropInput),
    slow: true,
    steps: &[
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, ExpectedCause::TimedOut),
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
    story: "A firewall rule on the client's own host drops packets to the server's port. The SYN never reaches the \
            wire, and TCP reports no error: it retries and gives up with ETIMEDOUT. With UDP, sendto() would have \
            failed with EPERM.",
    elsewhere: "On FreeBSD connect() fails with EACCES (from memory, not measured).",
    advice: "If connect() times out and the client's own capture is empty, check the client's output rules.",
    target: Target::Firewalled(Rule::DropOutput),
    extent: Extent::Nothing,
    slow: true,
    steps: &[
        client(Op::SynCount(1), returns(0)),
        client(
            Op::Connect,
            Expect::Fails(Errno::ETIMEDOUT, ExpectedCause::TimedOut),
        ),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    counters: &[("AttemptFails", 1), ("TCPAbortOnTimeout", 1)],
    ..BASE
};

/// RST from the firewall of the server's own host, which answers incoming data.
const DATA_REJECTED: ExpectedReset = answer(Role::Server, State::Established, Sender::Firewall, "");

/// Reset of the client by a firewall on the server's own host.
///
/// `nf_send_reset()` runs in `LOCAL_IN`: the connection exists at both ends, and the rule resets only one.
pub(super) const INPUT_RESET: Scenario = Scenario {
    id: "firewall-reset-input",
    topic: Topic::Firewall,
    title: "the server's own firewall resets a connection; the server does not notice",
    story: "The connection works; then a firewall rule on the server's own host rejects the client's data with an RST \
            that has the server's address. In captures at both ends the RST leaves the server's host and arrives at \
            the client's, as if the server had sent it. But its kernel sent none: no tcp_send_reset, OutRsts \
            unchanged. The server's connection is open, and the server has read nothing.",
    elsewhere: "pf's `return-rst` does the same.",
    advice: "An RST that leaves the server's interface does not prove that the server sent it: check its kernel \
             (`nstat -az TcpOutRsts`, the tracepoint tcp:tcp_send_reset).",
    network: Network::Link,
    target: Target::Firewalled(Rule::RejectData),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
        // The server's own connection is not affected.
        server(Op::Poll, polls(OPEN)),
    ],
    resets: &[DATA_REJECTED],
    counters: &[("EstabResets", 1)],
    ..BASE
};

/// Firewall between the hosts that resets the client.
///
/// `nf_send_reset()` runs in `FORWARD`: neither end's kernel has sent the RST, which is on one side of the router only.
pub(super) const FORWARD_RESET: Scenario = Scenario {
    id: "firewall-reset-forward",
    topic: Topic::Firewall,
    title: "a firewall between the hosts resets the client; later the client resets the server",
    story: "A router between the two hosts rejects the client's data with an RST that has the server's address. The \
            RST arrives at the client; at the server's end neither the RST nor the data is captured. The client gets \
            ECONNRESET. The server's connection stays open until it writes: the client's kernel, which no longer has \
            the connection, replies with an RST of its own.",
    elsewhere: "Any firewall that rejects does this, and many devices that shape or filter traffic.",
    advice: "Capture at both ends. An RST that arrives but never left was created in between: its TTL shows how far \
             away that device is. The server then logs a reset by the client, and each side blames the other.",
    network: Network::Routed,
    target: Target::Firewalled(Rule::RejectForwarded),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        client(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
        server(Op::Poll, polls(OPEN)),
        server(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 1)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 1)),
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
    title: "the server's RST is lost: the client notices at its next write",
    story: "The server aborts; its RST leaves its host and is dropped by a router. The client still considers the \
            connection open. Only when it writes is there a reply: the server's listener has no such connection, and \
            sends an RST that gets through.",
    elsewhere: "All systems do this: an RST is neither acknowledged nor retransmitted.",
    advice: "If the server has reset a connection but the client hangs, capture at both ends: the RST is in one \
             capture only. Firewalls that drop RSTs or `invalid` packets cause this; keepalive ends such connections.",
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
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 1)),
        client(Op::Read(1), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 1)),
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
    title: "the server's own firewall drops its RST: the kernel sent it, the capture has none",
    story: "The server aborts, and a firewall rule on its own host drops the RST before it reaches the wire. The \
            kernel trace shows an RST that was sent, and OutRsts has increased; the capture, even on that host, shows \
            none, and the client does not notice.",
    elsewhere: "All systems that filter outgoing packets do this.",
    advice: "An event is not a packet: tcp_send_reset shows what the kernel tried to send, the capture shows what was \
             sent. If there is only the event, check output rules (`nft list ruleset`). TCPAbortFailed (`nstat -az`) \
             counts RSTs that could not be sent.",
    target: Target::Firewalled(Rule::DropResets),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        client(Op::Poll, polls(OPEN)),
        client(Op::SocketError, Expect::ReportsNone),
    ],
    resets: &[dropped_at_sender(abort(
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
    title: "the last data is lost, so the RST is not exact: challenge ACK, and a second RST",
    story: "The server writes four bytes and aborts. The bytes are lost and the RST arrives: its SEQ is four ahead of \
            what the client expects next. The client does not accept it and sends a challenge ACK. The server's host, \
            whose socket no longer exists, replies with a second RST whose SEQ is exact, and the client accepts this \
            one. One close caused two RSTs.",
    elsewhere: "Systems that follow RFC 5961 (3.2) do this; older ones accept the first RST.",
    advice: "Two RSTs one round trip apart, the first from an aborting socket, the second in reply to an ACK: data \
             was lost just before the end. The client never receives that data.",
    network: Network::Routed,
    target: Target::Firewalled(Rule::DropForwardedData),
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        server(Op::Write(4), returns(4)),
        server(Op::LingerZero, returns(0)),
        server(Op::Close, returns(0)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(4), fails_from_reset(Errno::ECONNRESET, 1)),
        client(Op::Read(4), returns(0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 1)),
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
    title: "a third host forges an RST: seen at the client's end only, sent by neither kernel",
    story: "A host between the two forges an RST with the server's address and the exact sequence number, and sends \
            it to the client, which must accept it. At the server's end nothing was sent: the RST arrives but never \
            left. The server's connection is open until it writes; then the client's kernel resets it.",
    elsewhere: "All systems accept such an RST; it is what reset-based censorship relies on.",
    advice: "Capture at both ends, or check the server's kernel: OutRsts unchanged, no tcp_send_reset. The window, \
             TTL and IP ID of a forged RST often do not fit the server's other packets.",
    network: Network::Routed,
    steps: &[
        client(Op::Connect, returns(0)),
        server(Op::Accept, returns(0)),
        Step::Inject(Forged::new(Role::Server, Flags::RST)),
        Step::Await(Awaited::ResetFrom(Role::Server)),
        client(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 0)),
        client(Op::Write(1), fails_after_reset(Errno::EPIPE, 0)),
        server(Op::Poll, polls(OPEN)),
        server(Op::Write(1), returns(1)),
        Step::Await(Awaited::ResetFrom(Role::Client)),
        server(Op::Read(1), fails_from_reset(Errno::ECONNRESET, 1)),
        server(Op::Write(1), fails_after_reset(Errno::EPIPE, 1)),
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
