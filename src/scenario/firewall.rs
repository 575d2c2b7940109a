//! Firewalls on the way: what they do looks like something that a kernel does, and is not.

use super::{
    BASE, Cause, Errno, Expect, ExpectedReset, Extent, Op, Role, Rule, Scenario, Sender, Target,
    Topic, answer_without_ack, client, dead_since_reset, returns, told_of_reset,
};
use crate::flow::State;

/// A firewall answers the SYN as the server's kernel would.
const REJECTED: ExpectedReset =
    answer_without_ack(Role::Server, State::SynSent, Sender::Firewall, "");

/// `nf_send_reset()` makes the RST by itself: neither `tcp_send_reset` nor `OutRsts` tells of it.
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
    counters: &[("AttemptFails", 1)],
    ..BASE
};

/// `nf_hook_slow()` drops the SYN after the tap: it is on the wire, and TCP never sees it.
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

/// `nf_hook_slow()` in `LOCAL_OUT` frees the SYN before the tap; `tcp_connect()` does not say so (`EPERM` is for UDP).
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
