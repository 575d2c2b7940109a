//! Scenarios: scripts of socket calls, as data, with what they must lead to.
//!
//! A [`Scenario`] says which end calls what, in which order, how each call must end and why, and which RSTs must be
//! on the wire. One interpreter runs them all and one judge compares ([`crate::verdict`]), so
//! adding a scenario is adding one constant to a file of the catalogue and its name to [`ALL`].

mod abort;
mod blind;
mod close;
mod connect;
mod firewall;
mod forged;
mod half_open;
mod listener;
mod unreachable;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::forged::{Forged, ForgedIcmp, Number, Stamp};
use crate::flow::{Form, Reset, State};
use crate::history::{Kernel, Patch};
pub use crate::transcript::{Errno, Events, Op, Outcome, Role};

/// What a scenario is about; a topic is a file of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Setting a connection up.
    Connect,
    /// The listener and its queue of connections.
    Listener,
    /// Aborting an established connection.
    Abort,
    /// Closing in order, and what comes after.
    Close,
    /// No answer, no route, or ICMP in the place of one.
    Unreachable,
    /// A firewall on the way.
    Firewall,
    /// One end gone without a word, and what timers make of it.
    HalfOpen,
    /// Segments that somebody else aims at a connection, or that belong to none.
    Blind,
}

impl Topic {
    /// The name for machines; stable.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Listener => "listener",
            Self::Abort => "abort",
            Self::Close => "close",
            Self::Unreachable => "unreachable",
            Self::Firewall => "firewall",
            Self::HalfOpen => "half-open",
            Self::Blind => "blind",
        }
    }

    /// The heading in `rstproof list`.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Connect => "connection set-up",
            Self::Listener => "listener and accept queue",
            Self::Abort => "abort of an established connection",
            Self::Close => "clean close and its aftermath",
            Self::Unreachable => "no way there: routes and ICMP",
            Self::Firewall => "a firewall on the way",
            Self::HalfOpen => "half-open connections and timers",
            Self::Blind => "segments aimed at a connection",
        }
    }
}

/// The address family of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// That of this address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// `IPv4` or `IPv6`.
    #[must_use]
    pub fn proper_name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// `ipv4` or `ipv6`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// A script of socket calls and what it must lead to.
#[derive(Debug)]
pub struct Scenario {
    /// The name that people type; stable.
    pub id: &'static str,
    /// The part of the catalogue it belongs to.
    pub topic: Topic,
    /// One line for `rstproof list`.
    pub title: &'static str,
    /// What happens and why, for `rstproof explain`.
    pub story: &'static str,
    /// What other systems do, and what is said of them.
    pub elsewhere: &'static str,
    /// What to do when one meets it in production.
    pub advice: &'static str,
    /// What waits at the server's address.
    pub target: Target,
    /// The script.
    pub steps: &'static [Step],
    /// The RSTs of this connection that must be on the wire, in order. Empty: there must be none.
    pub resets: &'static [ExpectedReset],
    /// The order on the wire without which this is another scenario.
    pub timing: Option<Timing>,
    /// Whether both ends speak Multipath TCP (`IPPROTO_MPTCP`).
    pub multipath: bool,
    /// How far the connection gets on the wire.
    pub extent: Extent,
    /// The end some of whose bytes are never sent, though its writes took them.
    pub unsent: Option<Role>,
    /// The families that it can be run over.
    pub families: &'static [Family],
    /// What lies between its ends.
    pub network: Network,
    /// Settings below `net.ipv4` while its trials run, each with its value.
    pub sysctls: &'static [(&'static str, &'static str)],
    /// The end that has no socket of its own: its segments are made by hand, and what reaches it is heard by nobody.
    pub raw: Option<Role>,
    /// The ICMP errors about its connection that must be on the wire, in order.
    pub icmp: &'static [ExpectedIcmp],
    /// By how much counters of the namespace move; of those that are watched
    /// ([`crate::kernel::counters::WATCHED`]) no other may.
    pub counters: &'static [(&'static str, u64)],
    /// Calls (by index) whose error this kernel puts on the socket without a word of it in its trace.
    pub unreported: &'static [usize],
    /// What it is on other kernels; the first that applies counts.
    pub otherwise: &'static [Otherwise],
    /// It waits for a timer of a second or more: not run unless asked for.
    pub slow: bool,
}

/// What a scenario is on kernels that have a change, or do not have it.
#[derive(Debug)]
pub struct Otherwise {
    /// Those.
    pub on: On,
    /// What it is there. Its id and its topic are the same.
    pub is: &'static Scenario,
}

/// Some kernels.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// Those that have this patch.
    With(&'static Patch),
    /// Those that do not have it.
    Without(&'static Patch),
}

impl On {
    /// The patch.
    #[must_use]
    pub fn patch(self) -> &'static Patch {
        match self {
            Self::With(patch) | Self::Without(patch) => patch,
        }
    }

    /// Whether this kernel is one of them.
    #[must_use]
    pub fn is(self, kernel: Kernel) -> bool {
        match self {
            Self::With(patch) => kernel.has(patch),
            Self::Without(patch) => !kernel.has(patch),
        }
    }
}

/// What a scenario is if nothing else is said; the rest of each constant of the catalogue.
const BASE: Scenario = Scenario {
    id: "",
    topic: Topic::Connect,
    title: "",
    story: "",
    elsewhere: "",
    advice: "",
    target: Target::Listener,
    steps: &[],
    resets: &[],
    timing: None,
    multipath: false,
    extent: Extent::Connection,
    unsent: None,
    families: &[Family::Ipv4, Family::Ipv6],
    network: Network::Loopback,
    sysctls: &[],
    raw: None,
    icmp: &[],
    counters: &[],
    unreported: &[],
    otherwise: &[],
    slow: false,
};

/// What lies between the two ends of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Nothing: both are on one host, and its loopback interface shows both.
    Loopback,
    /// A link: two hosts, each captured at its end of it.
    Link,
    /// A router between two links: the client and the server are captured each at its own end.
    Routed,
}

/// What happens to the network in the midst of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The server's host goes down without a word, and one that has its address and knows nothing comes up in its place.
    ServerReboots,
    /// The server's host loses its address, so that nobody answers who asks for it on the link; who has asked before
    /// forgets the answer.
    ServerAddressGone,
    /// The client's host loses its address.
    ClientAddressGone,
    /// The server's end of its link goes down.
    ServerLinkDown,
}

/// How far a connection gets on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The client sends a SYN, and whatever follows.
    Connection,
    /// No segment at all.
    Nothing,
    /// Segments that belong to no connection: there is no SYN, or none of a connection that comes about.
    Strays,
}

impl Scenario {
    /// What it is on this kernel.
    #[must_use]
    pub fn on(&'static self, kernel: Kernel) -> &'static Self {
        let other = self.otherwise.iter().find(|other| other.on.is(kernel));
        other.map_or(self, |other| other.is.on(kernel))
    }

    /// Everything that it is on one kernel or another; itself first.
    #[must_use]
    pub fn forms(&'static self) -> Vec<&'static Self> {
        let others = self.otherwise.iter().flat_map(|other| other.is.forms());
        std::iter::once(self).chain(others).collect()
    }

    /// The patches that make it another one.
    #[must_use]
    pub fn patches(&'static self) -> Vec<&'static Patch> {
        self.patches_where(|_, _| true)
    }

    /// The patches that make it another one in this regard, which is asked of it with two of its forms.
    pub fn patches_where(
        &'static self,
        differ: impl Fn(&Self, &Self) -> bool,
    ) -> Vec<&'static Patch> {
        let mut patches: Vec<&'static Patch> = Vec::new();
        for form in self.forms() {
            for other in form.otherwise.iter().filter(|other| differ(form, other.is)) {
                if !patches.contains(&other.on.patch()) {
                    patches.push(other.on.patch());
                }
            }
        }
        patches
    }

    /// Whether both make the same calls in the same order, however they must end.
    #[must_use]
    pub fn is_played_as(&self, other: &Self) -> bool {
        let played = |step: &Step| match *step {
            Step::Call(role, op, _) => Step::Call(role, op, Expect::ReportsNone),
            Step::Begin(role, op, _) => Step::Begin(role, op, Expect::ReportsNone),
            other => other,
        };
        let steps = |it: &Self| it.steps.iter().map(played).collect::<Vec<_>>();
        steps(self) == steps(other)
    }

    /// Whether a child process has a part in it.
    #[must_use]
    pub fn has_child(&self) -> bool {
        self.calls().any(|(_, op, _)| op == Op::Spawn)
    }

    /// Whether its calls may wait for a timer, of the kernel or of their own.
    #[must_use]
    pub fn waits_for_timers(&self) -> bool {
        let bounds = |op| {
            matches!(
                op,
                Op::ReceiveTimeout(_) | Op::SendTimeout(_) | Op::Linger(_)
            )
        };
        self.slow || self.calls().any(|(_, op, _)| bounds(op))
    }

    /// Whether the link between its hosts goes down.
    #[must_use]
    pub fn loses_link(&self) -> bool {
        let down = Step::Happens(Change::ServerLinkDown);
        self.steps.contains(&down)
    }

    /// Whether it runs in a namespace of its own only: it changes settings, has a firewall, makes segments by hand, or does
    /// what only the namespace's administrator may.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs {
            // Linux lets only who administers the network put a filter on a TCP socket (6.18.44; any owner could before).
            administration: !self.sysctls.is_empty()
                || self.raw.is_some()
                || self.target == Target::Deaf,
            firewall: matches!(self.target, Target::Firewalled(_)),
            forgery: self.raw.is_some(),
            routes: matches!(self.target, Target::NoRoute(_)),
            hosts: self.network != Network::Loopback,
            destruction: false,
        };
        for step in self.steps {
            match step {
                Step::Inject(_) | Step::InjectIcmp(_) => needs.forgery = true,
                Step::Call(_, op, _) | Step::Begin(_, op, _) => {
                    needs.administration |= matches!(op, Op::Repair | Op::Destroy | Op::DropAll);
                    needs.destruction |= *op == Op::Destroy;
                }
                _ => {}
            }
        }
        needs
    }

    /// Whether no RST ends TIME-WAIT in its namespace.
    #[must_use]
    pub fn keeps_time_wait(&self) -> bool {
        self.sysctls.contains(&("tcp_rfc1337", "1"))
    }

    /// Whether this end receives nothing from the beginning.
    #[must_use]
    pub fn is_deaf(&self, role: Role) -> bool {
        self.raw == Some(role) || (role == Role::Server && self.target == Target::Deaf)
    }

    /// Whether segments are made by hand in the name of this end.
    #[must_use]
    pub fn forges(&self, role: Role) -> bool {
        let mut steps = self.steps.iter();
        self.raw == Some(role)
            || steps.any(|step| matches!(step, Step::Inject(forged) if forged.from == role))
    }

    /// Whether segments with data are made by hand in the name of this end.
    #[must_use]
    pub fn forges_data_of(&self, role: Role) -> bool {
        let mut steps = self.steps.iter();
        self.raw == Some(role)
            || steps.any(|step| matches!(step, Step::Inject(forged) if forged.from == role && forged.len > 0))
    }

    /// Whether call number `index` is to block while others are made.
    #[must_use]
    pub fn blocks(&self, index: usize) -> bool {
        let calls = self.steps.iter();
        let mut calls = calls.filter(|step| matches!(step, Step::Call(..) | Step::Begin(..)));
        matches!(calls.nth(index), Some(Step::Begin(..)))
    }

    /// The calls of the script, in the order in which they begin: who, what, and how it must end.
    pub fn calls(&self) -> impl Iterator<Item = (Role, Op, Expect)> {
        self.steps.iter().filter_map(|step| match *step {
            Step::Call(role, op, expect) | Step::Begin(role, op, expect) => {
                Some((role, op, expect))
            }
            _ => None,
        })
    }
}

/// What waits at the server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A listening socket that all such trials share.
    Listener,
    /// Nobody: the port is held by a socket that does not listen, so that nobody else can.
    ClosedPort,
    /// A listening socket of the trial's own, which it may close.
    OwnListener(Listening),
    /// The client's own address and port.
    Itself,
    /// A listening socket of the trial's own that receives nothing: whatever comes is dropped before TCP sees it, and
    /// nobody answers.
    Deaf,
    /// A listening socket of the trial's own, behind this rule of a firewall.
    Firewalled(Rule),
    /// An address that no packet gets to, because of this route.
    NoRoute(Route),
    /// An address on the client's own link that nobody has.
    Nobody,
}

/// What a firewall does to segments. Each rule has a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What comes in for the port is dropped.
    DropInput,
    /// What goes out to the port is dropped.
    DropOutput,
    /// What comes in for the port is answered with a RST, in the name of who has the port.
    RejectWithReset,
    /// What comes in for the port is answered with ICMP: port unreachable.
    RejectWithIcmp,
    /// Data that comes in for the port is answered with a RST, in the name of who has the port.
    RejectData,
    /// RSTs that go out from the port are dropped.
    DropResets,
    /// Data that is forwarded to the port is answered with a RST, in the name of who has the port.
    RejectForwarded,
    /// RSTs of sockets that abort are not forwarded from the port.
    DropForwardedAborts,
    /// Data is not forwarded from the port.
    DropForwardedData,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::DropInput,
        Self::DropOutput,
        Self::RejectWithReset,
        Self::RejectWithIcmp,
        Self::RejectData,
        Self::DropResets,
        Self::RejectForwarded,
        Self::DropForwardedAborts,
        Self::DropForwardedData,
    ];
}

/// Why no packet gets to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// There is no route at all.
    Missing,
    /// A route of type `unreachable`.
    Unreachable,
    /// A route of type `prohibit`.
    Prohibit,
    /// A route of type `blackhole`.
    Blackhole,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Missing,
        Self::Unreachable,
        Self::Prohibit,
        Self::Blackhole,
    ];
}

/// What a trial needs beside a loopback interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Rights over the namespace while it runs.
    pub administration: bool,
    /// The firewall.
    pub firewall: bool,
    /// Sockets that send whole packets.
    pub forgery: bool,
    /// Routes of its own.
    pub routes: bool,
    /// More hosts than one.
    pub hosts: bool,
    /// The destruction of sockets from outside.
    pub destruction: bool,
}

impl Needs {
    /// What any of these needs.
    pub fn of<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) -> Self {
        scenarios
            .into_iter()
            .map(Scenario::needs)
            .fold(Self::default(), |all, one| Self {
                administration: all.administration || one.administration,
                firewall: all.firewall || one.firewall,
                forgery: all.forgery || one.forgery,
                routes: all.routes || one.routes,
                hosts: all.hosts || one.hosts,
                destruction: all.destruction || one.destruction,
            })
    }

    /// Whether it needs anything.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// How a trial's own listener listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The backlog; the kernel lets one connection more into the queue.
    pub backlog: u16,
    /// `TCP_DEFER_ACCEPT`, in seconds: only connections that have sent data are accepted.
    pub defer_accept: Option<u8>,
    /// Whether a second listener shares the port (`SO_REUSEPORT`).
    pub shares_port: bool,
    /// `TCP_FASTOPEN`: data that comes with a SYN is taken.
    pub fast_open: bool,
    /// `TCP_MD5SIG`: only signed segments are taken, with a key that the client does not have.
    pub signed: bool,
}

impl Listening {
    /// As most do.
    pub const USUAL: Self = Self {
        backlog: 128,
        defer_accept: None,
        shares_port: false,
        fast_open: false,
        signed: false,
    };
}

/// One step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call, and how it must end.
    Call(Role, Op, Expect),
    /// A call that is to block, on a thread of its own: the script goes on once it sleeps in the kernel.
    Begin(Role, Op, Expect),
    /// Wait until the call that this role has begun returns.
    End(Role),
    /// Other clients connect, so many, one after the other, and stay; those behind a full queue get no answer and do
    /// not wait for one. Each sends a byte if the listener defers accepting.
    Others(u8),
    /// Wait until the capture, or the kernel, shows this.
    Await(Awaited),
    /// Somebody else sends a segment in the name of an end.
    Inject(Forged),
    /// Somebody on the way sends an ICMP error.
    InjectIcmp(ForgedIcmp),
    /// Something happens to the network.
    Happens(Change),
}

/// How much time all steps of a script together may take that they do not spend waiting: between one and the next, and in those
/// that wait for nothing. What takes longer was held up: the process was stopped, the machine paused or overloaded. The shortest
/// timer that changes what a script predicts is that of a retransmission (`TCP_RTO_MIN`, 200 ms). That of a delayed
/// acknowledgment (`TCP_DELACK_MIN`, 40 ms) is shorter, and scripts wait for it where it matters ([`Awaited::Acknowledged`]).
pub const STEP_WINDOW: Duration = Duration::from_millis(150);

/// How long a call may block. A bound on failure, not a pace.
pub const CALL_BOUND: Duration = Duration::from_secs(5);

/// How long a script waits for a frame. A bound on failure, not a pace.
pub const FRAME_BOUND: Duration = Duration::from_secs(2);

/// What a script may wait for, seen in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// This end has sent a FIN.
    FinFrom(Role),
    /// This end has acknowledged the other end's FIN.
    FinAckedBy(Role),
    /// This end has sent data, and the other end's kernel has it.
    DataFrom(Role),
    /// This end has sent a RST that the other end has to believe.
    ResetFrom(Role),
    /// Nothing is left of this end's socket, which was closed: not even what FIN-WAIT-2 keeps.
    Gone(Role),
    /// There is an error on this end's socket, or the end of all data: `POLLERR` or `POLLHUP`, which a timer brings.
    Dead(Role),
    /// The client's SYN has been sent, and its `connect` still waits.
    SynFrom(Role),
    /// This end has sent something since a segment was last made by hand.
    AnswerFrom(Role),
    /// This end has sent something again, or a probe, and has had no answer.
    AgainFrom(Role),
    /// This end's socket has left SYN-SENT and SYN-RECEIVED.
    Established(Role),
    /// The other end has acknowledged all that this end has sent, and this end knows. So nothing that is under way meets a socket
    /// that is about to be closed: up to Linux 6.4 it may be left to ksoftirqd, and a delayed ACK is a timer's.
    Acknowledged(Role),
    /// An ICMP error about the connection has come in.
    Icmp,
}

impl Awaited {
    /// How long a script waits for it before it goes on without.
    #[must_use]
    pub fn bound(self) -> Duration {
        match self {
            Self::Gone(_) | Self::Dead(_) | Self::Established(_) | Self::Acknowledged(_) => {
                CALL_BOUND
            }
            Self::FinFrom(_)
            | Self::FinAckedBy(_)
            | Self::DataFrom(_)
            | Self::ResetFrom(_)
            | Self::SynFrom(_)
            | Self::AnswerFrom(_)
            | Self::AgainFrom(_)
            | Self::Icmp => FRAME_BOUND,
        }
    }

    /// Whether a timer of the kernel brings it; everything else comes at once.
    #[must_use]
    pub fn is_up_to_timers(self) -> bool {
        matches!(
            self,
            Self::Gone(_) | Self::Dead(_) | Self::AgainFrom(_) | Self::Acknowledged(_)
        )
    }
}

/// An order on the wire that a scenario is named after. Missed, the trial is another scenario's, and inconclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// The client acknowledges the server's FIN in a segment of its own before it sends data.
    DataAfterAckOfFin,
    /// The client's data is the first to acknowledge the server's FIN.
    DataBeforeAckOfFin,
    /// The first SYN is answered while `connect` is still sending it, and holds the socket.
    AnsweredWhileSent,
    /// It is answered when `connect` waits already: what is received on loopback was left for later.
    AnsweredWhileAwaited,
}

/// How a call must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It succeeds with this value.
    Returns(i64),
    /// It succeeds with fewer bytes than it was asked for, at least one.
    ReturnsSome,
    /// `poll` gives this mask.
    Polls(Events),
    /// It fails with this errno, for this reason.
    Fails(Errno, Cause),
    /// `SO_ERROR` reports this error, for this reason.
    Reports(Errno, Cause),
    /// `SO_ERROR` reports that there is no error.
    ReportsNone,
}

impl Expect {
    /// The one outcome that is meant, without its reason; `None` if several are.
    #[must_use]
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Returns(value) => Some(Outcome::Returned(value)),
            Self::ReturnsSome => None,
            Self::Polls(events) => Some(Outcome::Polled(events)),
            Self::Fails(errno, _) => Some(Outcome::Failed(errno)),
            Self::Reports(errno, _) => Some(Outcome::SocketError(Some(errno))),
            Self::ReportsNone => Some(Outcome::SocketError(None)),
        }
    }

    /// Whether this call may end so.
    #[must_use]
    pub fn allows(self, op: Op, outcome: Outcome) -> bool {
        match (self.outcome(), op, outcome) {
            (Some(meant), _, seen) => seen == meant,
            (None, Op::Read(len) | Op::Peek(len) | Op::Write(len), Outcome::Returned(seen)) => {
                (1..i64::from(len)).contains(&seen)
            }
            (None, _, _) => false,
        }
    }

    /// Why, if it is an error.
    #[must_use]
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::Fails(_, cause) | Self::Reports(_, cause) => Some(cause),
            Self::Returns(_) | Self::ReturnsSome | Self::Polls(_) | Self::ReportsNone => None,
        }
    }
}

impl fmt::Display for Expect {
    /// What is shown of the outcome that is meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome() {
            Some(outcome) => outcome.fmt(f),
            None => f.write_str(SOME),
        }
    }
}

/// What stands for a number of bytes that is not known before.
pub(crate) const SOME: &str = "some, not all";

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The RST put this error on the socket and this call is the one that is told: index into
    /// [`Scenario::resets`] where it is expected, into the judge's resets where it is found.
    Reset(usize),
    /// That RST killed the connection; its error was reported already, this is how a dead socket answers.
    AfterReset(usize),
    /// The caller shut its own sending side down before; no RST has a part in it.
    OwnShutdown,
    /// The caller dissolved or cancelled the connection itself (`AF_UNSPEC`, `shutdown` during `connect`).
    OwnDisconnect,
    /// The socket answered with this RST itself, and its owner is told as if it had come from the other end.
    OwnReset(usize),
    /// There is no connection: the socket never had one, or is none that can have one.
    NotConnected,
    /// The listener has stopped listening.
    NotListening,
    /// The caller does not wait any longer, or at all: a time-out of its own, or `O_NONBLOCK`.
    WouldBlock,
    /// The other end did not answer in time.
    TimedOut,
    /// The kernel gave up by itself: what was sent was not acknowledged however often it was sent again.
    Unanswered,
    /// ICMP error number so many of [`Scenario::icmp`] where it is expected; where it is found, of the judge's.
    Icmp(usize),
    /// An administrator destroyed the socket.
    Destroyed,
    /// This host knows no way to the address.
    NoRoute,
    /// Another thread waits in a call on the same socket.
    InUse,
}

/// An ICMP error that must be on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedIcmp {
    /// The end whose segment it quotes.
    pub to: Role,
    /// Type and code over IPv4.
    pub ipv4: (u8, u8),
    /// Type and code over IPv6.
    pub ipv6: (u8, u8),
}

impl ExpectedIcmp {
    /// Type and code over this family.
    #[must_use]
    pub fn over(self, family: Family) -> (u8, u8) {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

/// A RST that must be on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedReset {
    /// The end that sends it.
    pub from: Role,
    /// How it must look; `None`: like none that Linux makes.
    pub form: Option<Form>,
    /// What must become of it.
    pub fate: Fate,
    /// The state of its receiver when it comes in.
    pub receiver_state: State,
    /// Who sends it.
    pub sender: Sender,
    /// The kernel's `sk_rst_reason` for it; empty where no kernel sends it.
    pub reason: &'static str,
}

/// What becomes of a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its receiver has to believe it.
    Believed,
    /// Its receiver must ignore it.
    Ignored,
    /// Its receiver must not believe it, and asks back with an ACK (RFC 5961, 3.2).
    Challenged,
    /// It does not reach its receiver.
    Lost,
    /// It does not even get to the wire at its sender's end, whose kernel has sent it all the same.
    NeverLeft,
}

impl Fate {
    /// Of this RST.
    #[must_use]
    pub fn of(reset: &Reset) -> Self {
        if reset.acceptance.is_acceptable() {
            Self::Believed
        } else if !reset.has_arrived() {
            Self::Lost
        } else if reset.challenged_by.is_some() {
            Self::Challenged
        } else {
            Self::Ignored
        }
    }

    /// `believed`, `ignored`, `challenged`, `lost` or `never left`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Believed => "believed",
            Self::Ignored => "ignored",
            Self::Challenged => "challenged",
            Self::Lost => "lost",
            Self::NeverLeft => "never left",
        }
    }
}

/// Who sent a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// A socket of that end: one that aborts, or that has no use for what came in; a listener, too.
    Socket,
    /// That end's kernel, which has no socket for what came in, or what is left of one in FIN-WAIT-2 or TIME-WAIT.
    Kernel,
    /// A firewall rule on the way, in the name of that end.
    Firewall,
    /// Somebody else, in the name of that end.
    Injected,
    /// Nobody was there to tell.
    Unknown,
}

impl Sender {
    /// `socket`, `kernel`, `firewall`, `injected` or `unknown`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Kernel => "kernel",
            Self::Firewall => "firewall",
            Self::Injected => "injected",
            Self::Unknown => "unknown",
        }
    }
}

/// The catalogue, in the order in which `list` shows it.
pub const ALL: &[&Scenario] = &[
    &connect::CLOSED_PORT,
    &connect::NOT_LISTENING,
    &connect::CLOSED_PORT_NONBLOCKING,
    &connect::CLOSED_PORT_NONBLOCKING_READ,
    &connect::CLOSED_PORT_NONBLOCKING_WRITE,
    &connect::CLOSED_PORT_NONBLOCKING_CONNECT,
    &connect::CONSUMED_ERROR,
    &connect::BACKLOG_FULL,
    &connect::BACKLOG_FULL_TIMEOUT,
    &connect::SEND_TIMEOUT,
    &connect::CANCELLED_SHUTDOWN,
    &connect::CANCELLED_DISCONNECT,
    &connect::SELF_CONNECT,
    &connect::NOT_CONNECTED,
    &connect::CLOSED_PORT_MPTCP,
    &connect::SOCK_DESTROY,
    &connect::FAST_OPEN_REFUSED,
    &connect::MD5_MISSING,
    &listener::CLOSE_PENDING,
    &listener::SHUTDOWN_PENDING,
    &listener::REUSEPORT_CLOSE,
    &listener::RESET_IN_QUEUE,
    &listener::RESET_IN_QUEUE_DATA,
    &listener::QUEUE_OVERFLOW,
    &listener::DEFER_ACCEPT,
    &listener::DEFER_ACCEPT_CLOSE,
    &listener::REUSEPORT_MIGRATE,
    &listener::ABORT_ON_OVERFLOW,
    &abort::CLOSE_UNREAD_DATA,
    &abort::CLOSE_UNREAD_DATA_WRITE,
    &abort::FIN_THEN_RESET,
    &abort::FIN_THEN_RESET_WRITE,
    &abort::LINGER_ZERO_CLOSE,
    &abort::CLOSE_PEEKED_DATA,
    &abort::CLOSE_URGENT_DATA,
    &abort::CLOSE_UNREAD_SHARED,
    &abort::CLOSE_UNREAD_SIGKILL,
    &abort::CLOSE_UNREAD_EXIT,
    &abort::CLOSE_UNREAD_RESPONSE,
    &abort::LINGER_ZERO_UNSENT,
    &abort::DISCONNECT,
    &abort::DISCONNECT_WITH_DATA,
    &abort::BLOCKED_READER,
    &abort::BLOCKED_WRITER,
    &abort::HALF_CLOSED,
    &abort::SHUTDOWN_RDWR_PEER_WRITES,
    &abort::SHUTDOWN_RDWR_OWN,
    &abort::LINGER2_HALF_CLOSED,
    &abort::LINGER2,
    &abort::SHUTDOWN_RD_CLOSE,
    &abort::MPTCP_CLOSE_UNREAD,
    &abort::MPTCP_LINGER_ZERO,
    &abort::SOCK_DESTROY,
    &abort::FAST_OPEN_CLOSE,
    &close::CLEAN_CLOSE_EOF,
    &close::WRITE_AFTER_PEER_CLOSE,
    &close::WRITE_AFTER_PEER_CLOSE_EARLY,
    &close::SHUTDOWN_WR_THEN_WRITE,
    &close::CLEAN_CLOSE_SIGKILL,
    &close::ONLY_FIN_QUEUED,
    &close::WRITE_AFTER_CLOSE_RESPONSE,
    &close::WRITE_AFTER_CLOSE_LATE,
    &close::WRITE_AFTER_CLOSE_GONE,
    &close::SHUTDOWN_RD,
    &close::RECEIVE_TIMEOUT,
    &close::MPTCP_WRITE_AFTER_CLOSE,
    &close::ZERO_WINDOW,
    &unreachable::ROUTE_MISSING,
    &unreachable::ROUTE_UNREACHABLE,
    &unreachable::ROUTE_PROHIBIT,
    &unreachable::ROUTE_BLACKHOLE,
    &unreachable::BLACKHOLED,
    &unreachable::USER_TIMEOUT,
    &unreachable::ICMP_NET,
    &unreachable::ICMP_HOST,
    &unreachable::ICMP_PROTOCOL,
    &unreachable::ICMP_PORT,
    &unreachable::ICMP_SOURCE_ROUTE,
    &unreachable::ICMP_NET_UNKNOWN,
    &unreachable::ICMP_HOST_UNKNOWN,
    &unreachable::ICMP_ISOLATED,
    &unreachable::ICMP_NET_PROHIBITED,
    &unreachable::ICMP_HOST_PROHIBITED,
    &unreachable::ICMP_NET_SERVICE,
    &unreachable::ICMP_HOST_SERVICE,
    &unreachable::ICMP_ADMIN,
    &unreachable::ICMP_PRECEDENCE,
    &unreachable::ICMP_CUTOFF,
    &unreachable::ICMP_TTL,
    &unreachable::ICMP_PARAMETER,
    &unreachable::ICMPV6_PROHIBITED,
    &unreachable::ICMPV6_SCOPE,
    &unreachable::ICMPV6_POLICY,
    &unreachable::ICMPV6_REJECT_ROUTE,
    &unreachable::ICMP_IGNORED,
    &unreachable::ICMP_BAD_SEQUENCE,
    &unreachable::ICMP_REJECT,
    &unreachable::ICMP_ESTABLISHED,
    &unreachable::ICMP_RECVERR,
    &unreachable::NO_NEIGHBOUR,
    &unreachable::ROUTER_SAYS_SO,
    &firewall::CONNECT_RESET,
    &firewall::CONNECT_DROPPED,
    &firewall::CONNECT_OUTPUT_DROPPED,
    &firewall::INPUT_RESET,
    &firewall::FORWARD_RESET,
    &firewall::RESET_LOST,
    &firewall::RESET_NEVER_LEFT,
    &firewall::RESET_AHEAD,
    &firewall::THIRD_PARTY,
    &half_open::PEER_VANISHED,
    &half_open::SERVER_RESTARTED,
    &half_open::RECONNECT,
    &half_open::KEEPALIVE_HALF_OPEN,
    &half_open::KEEPALIVE_TIMEOUT,
    &half_open::KEEPALIVE_ICMP,
    &half_open::RETRANSMISSION_TIMEOUT,
    &half_open::USER_TIMEOUT,
    &half_open::ICMP_TIMEOUT,
    &half_open::LINGER_TIMEOUT,
    &half_open::REBOOTED,
    &half_open::NEIGHBOUR_GONE,
    &half_open::LINK_DOWN,
    &half_open::ADDRESS_GONE,
    &half_open::ADDRESS_GONE_IPV6,
    &blind::RST_OLD,
    &blind::RST_OUTSIDE,
    &blind::RST_IN_WINDOW,
    &blind::RST_EXACT,
    &blind::RST_SACK_EDGE,
    &blind::RST_AFTER_FIN,
    &blind::SYN_CHALLENGED,
    &blind::ACK_UNSENT,
    &blind::ACK_TOO_OLD,
    &blind::PAWS_DATA,
    &blind::PAWS_RST,
    &blind::TIME_WAIT_RST,
    &blind::TIME_WAIT_RFC1337,
    &blind::TIME_WAIT_INEXACT,
    &blind::FIN_WAIT2_SYN,
    &blind::SYN_SENT_BAD_ACK,
    &blind::SYN_SENT_BAD_ECHO,
    &blind::SYN_SENT_RST,
    &blind::SYN_SENT_CLOSE,
    &blind::ESTABLISHED_THEN_RESET,
    &blind::SIMULTANEOUS_OPEN,
    &blind::SYN_RECV_BAD_ACK,
    &blind::SYN_RECV_SYN,
    &blind::SYN_RECV_RST,
    &blind::SYN_RECV_RST_INEXACT,
    &blind::SYN_COOKIE_BAD,
    &blind::CLOSE_REPEATED,
    &blind::FAST_OPEN_BAD_ACK,
    &blind::FAST_OPEN_OLD_ACK,
    &blind::FAST_OPEN_RST,
    &blind::FAST_OPEN_SYN,
    &blind::FAST_OPEN_CLOSE,
    &blind::MPTCP_JOIN,
    &blind::STRAY_ACK_LISTENER,
    &blind::STRAY_SYN_ACK_LISTENER,
    &blind::STRAY_FIN_ACK_LISTENER,
    &blind::STRAY_ACK_CLOSED,
    &blind::STRAY_SYN_ACK_CLOSED,
    &blind::STRAY_DATA_CLOSED,
    &blind::STRAY_FIN_CLOSED,
    &blind::STRAY_NULL_CLOSED,
    &blind::STRAY_SILENT_LISTENER,
    &blind::STRAY_RST_CLOSED,
];

/// What saved evidence of a scenario is judged by that this version does not have; not one to be run.
pub const UNKNOWN: Scenario = Scenario {
    id: "unknown",
    title: "a scenario that this version does not have",
    ..BASE
};

/// The scenario with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Scenario> {
    ALL.iter().copied().find(|scenario| scenario.id == id)
}

/// TCP Fast Open for clients (1) and servers (2), without a cookie on either side (4, 0x200): nothing is left from one trial to
/// the next.
const FAST_OPEN: (&str, &str) = ("tcp_fastopen", "519");

// The words that scripts are written in.

/// A socket of this end aborts.
const fn abort(from: Role, receiver_state: State, reason: &'static str) -> ExpectedReset {
    ExpectedReset {
        from,
        form: Some(Form::Active),
        fate: Fate::Believed,
        receiver_state,
        sender: Sender::Socket,
        reason,
    }
}

/// This end answers a segment with ACK.
const fn answer(
    from: Role,
    receiver_state: State,
    sender: Sender,
    reason: &'static str,
) -> ExpectedReset {
    ExpectedReset {
        from,
        form: Some(Form::Passive),
        fate: Fate::Believed,
        receiver_state,
        sender,
        reason,
    }
}

/// The same to a SYN or another segment without ACK.
const fn answer_without_ack(
    from: Role,
    receiver_state: State,
    sender: Sender,
    reason: &'static str,
) -> ExpectedReset {
    ExpectedReset {
        form: Some(Form::PassiveAck),
        ..answer(from, receiver_state, sender, reason)
    }
}

/// Somebody sends a RST in the name of this end.
const fn injected(from: Role, receiver_state: State) -> ExpectedReset {
    ExpectedReset {
        from,
        form: None,
        fate: Fate::Believed,
        receiver_state,
        sender: Sender::Injected,
        reason: "",
    }
}

/// The same, of which its receiver must take no notice.
const fn ignored(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        fate: Fate::Ignored,
        ..reset
    }
}

/// The same, which nobody receives.
const fn lost(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        fate: Fate::Lost,
        ..reset
    }
}

/// The same, which never gets to the wire.
const fn never_left(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        fate: Fate::NeverLeft,
        ..reset
    }
}

/// The same, which its receiver asks back about.
const fn challenged(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        fate: Fate::Challenged,
        ..reset
    }
}

const fn client(op: Op, expect: Expect) -> Step {
    Step::Call(Role::Client, op, expect)
}

const fn server(op: Op, expect: Expect) -> Step {
    Step::Call(Role::Server, op, expect)
}

const fn returns(value: i64) -> Expect {
    Expect::Returns(value)
}

/// The call is told of RST number `reset` of the scenario.
const fn told_of_reset(errno: Errno, reset: usize) -> Expect {
    Expect::Fails(errno, Cause::Reset(reset))
}

/// The call finds the socket dead of RST number `reset`, which an earlier call was told of.
const fn dead_since_reset(errno: Errno, reset: usize) -> Expect {
    Expect::Fails(errno, Cause::AfterReset(reset))
}

const fn polls(events: Events) -> Expect {
    Expect::Polls(events)
}

/// `SO_ERROR` is told of RST number `reset` of the scenario.
const fn reports(errno: Errno, reset: usize) -> Expect {
    Expect::Reports(errno, Cause::Reset(reset))
}

const fn would_block(errno: Errno) -> Expect {
    Expect::Fails(errno, Cause::WouldBlock)
}

/// Another thread waits on the socket.
const fn busy() -> Expect {
    Expect::Fails(Errno::EBUSY, Cause::InUse)
}

const fn not_connected(errno: Errno) -> Expect {
    Expect::Fails(errno, Cause::NotConnected)
}

// What poll shows of a socket (tcp_poll()).

/// It is connected, and nothing is to be read.
const OPEN: Events = Events::OUT;
/// The other end has sent FIN, or this one has shut its receiving side down.
const PEER_CLOSED: Events = Events::IN.and(Events::OUT).and(Events::RDHUP);
/// It is dead, and its error was taken.
const DEAD: Events = PEER_CLOSED.and(Events::HUP);
/// It is dead, and nobody has taken its error.
const DEAD_WITH_ERROR: Events = DEAD.and(Events::ERR);
/// It has no connection.
const UNCONNECTED: Events = Events::OUT.and(Events::HUP);
/// It has no connection any more, and nobody has taken its error.
const UNCONNECTED_WITH_ERROR: Events = UNCONNECTED.and(Events::ERR);

#[cfg(test)]
mod tests {
    use super::*;

    /// What scenarios are on one kernel or another.
    fn every_form() -> impl Iterator<Item = &'static Scenario> {
        ALL.iter().flat_map(|scenario| scenario.forms())
    }

    #[test]
    fn a_form_of_another_kernel_is_of_the_same_scenario_and_has_a_source() {
        for scenario in ALL {
            for form in scenario.forms() {
                assert_eq!((form.id, form.topic), (scenario.id, scenario.topic));
                assert_eq!(form.families, scenario.families, "{}", scenario.id);
                assert_eq!(form.slow, scenario.slow, "{}", scenario.id);
            }
            for patch in scenario.patches() {
                let (commit, title) = patch.commit;
                assert!(commit.len() == 12 && !title.is_empty(), "{}", patch.id);
                assert!(
                    !patch.since.is_empty() && patch.says.ends_with('.'),
                    "{}",
                    patch.id
                );
            }
        }
    }

    /// Up to Linux 6.4 what a call sends on loopback may arrive after it has returned (d15121be7485): the first that is told of a RST
    /// is a call that waits for it, or the script has waited for more than a FIN.
    #[test]
    fn who_is_told_of_a_reset_has_waited_for_it() {
        for scenario in every_form() {
            let (mut may_block, mut has_waited) = (true, false);
            for step in scenario.steps {
                match *step {
                    Step::Await(Awaited::FinFrom(_) | Awaited::FinAckedBy(_)) => {}
                    Step::Await(_) | Step::End(_) => has_waited = true,
                    Step::Call(_, Op::NonBlocking, _) => may_block = false,
                    Step::Call(_, op, expect)
                        if matches!(expect.cause(), Some(Cause::Reset(_))) =>
                    {
                        // With TCP Fast Open a write waits for the answer to its SYN.
                        let waits = matches!(op, Op::Read(_) | Op::Peek(_) | Op::Connect)
                            || scenario.calls().any(|(_, op, _)| op == Op::FastOpenConnect);
                        assert!(has_waited || (may_block && waits), "{}: {op}", scenario.id);
                        has_waited = true;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Each is what some kernel plays, and on a kernel of today none but the catalogue's own is.
    #[test]
    fn a_form_is_played_where_its_change_is_or_is_not() {
        let on = |release: &str| Kernel::of("Linux", release, "");
        for scenario in ALL {
            assert!(
                std::ptr::eq(scenario.on(on("7.3.4")), *scenario),
                "{}",
                scenario.id
            );
        }
        let title = |id: &str, release: &str| find(id).unwrap().on(on(release)).title;
        let before = title("mptcp-linger-zero-close", "6.18.15");
        assert!(before.ends_with("no RST"), "{before}");
        assert!(title("mptcp-linger-zero-close", "6.18.30").contains("MP_FASTCLOSE"));
        // On 6.16 two changes of one scenario are missing: the first that applies counts.
        let unread = find("mptcp-close-unread-data").unwrap();
        assert_eq!(unread.on(on("6.16.12")).resets[0].reason, "TCP_STATE");
        let (older, old) = (unread.on(on("6.17.13")), unread.on(on("6.18.9")));
        assert_eq!(older.resets[0].reason, "TCP_ABORT_ON_CLOSE");
        assert_eq!((older.unreported, old.unreported), (&[5][..], &[][..]));
    }

    #[test]
    fn ids_are_unique_kebab_case_and_grouped_by_topic() {
        for (index, scenario) in ALL.iter().enumerate() {
            assert!(
                scenario
                    .id
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                scenario.id
            );
            assert!(
                ALL[..index].iter().all(|other| other.id != scenario.id),
                "{} twice",
                scenario.id
            );
        }
        assert!(ALL.windows(2).all(|pair| pair[0].topic <= pair[1].topic));
    }

    #[test]
    fn every_expected_reset_is_what_some_call_fails_of_and_every_cause_exists() {
        for scenario in every_form() {
            // Of a RST that somebody must be told of.
            let believed = |reset: &ExpectedReset| {
                reset.fate == Fate::Believed
                    && scenario.raw != Some(reset.from.peer())
                    && scenario.calls().any(|(role, ..)| role == reset.from.peer())
            };
            let mut told = vec![false; scenario.resets.len()];
            for (_, _, expect) in scenario.calls() {
                match expect.cause() {
                    Some(Cause::Reset(reset)) => {
                        assert!(
                            !told[reset],
                            "{}: RST {reset} is reported twice",
                            scenario.id
                        );
                        told[reset] = true;
                    }
                    Some(Cause::AfterReset(reset) | Cause::OwnReset(reset)) => {
                        assert!(reset < told.len(), "{}", scenario.id);
                    }
                    _ => {}
                }
            }
            let untold = scenario.resets.iter().zip(told).filter(|(_, told)| !told);
            let silent = scenario.raw.is_some() || scenario.needs().forgery;
            assert!(
                silent || untold.into_iter().all(|(reset, _)| !believed(reset)),
                "{}",
                scenario.id
            );
        }
    }
}
