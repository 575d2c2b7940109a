//! Scenarios: scripts of socket calls, as data, with their expected results.
//!
//! A [`Scenario`] states which end makes which call, in which order, how each call must end and why, and which RSTs
//! must be on the wire. One interpreter runs every scenario and one judge compares the result ([`crate::verdict`]), so
//! a new scenario needs only one constant in a file of the catalogue and its name in [`ALL`].

mod abort;
mod blind;
mod close;
mod connect;
mod exemptions;
mod firewall;
mod forged;
mod half_open;
mod listener;
mod unreachable;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::exemptions::{Exemption, Exemptions};
pub use self::forged::{Forged, ForgedIcmp, Number, Stamp};
use crate::flow::{Form, Reset, State};
use crate::history::{Kernel, Patch};
pub use crate::transcript::{Errno, Events, Op, Outcome, Role};

/// Topic of a scenario. Each topic is a file of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Connection set-up.
    Connect,
    /// Listener and its queue of connections.
    Listener,
    /// Abort of an established connection.
    Abort,
    /// Orderly close and its aftermath.
    Close,
    /// Connection attempts without an answer, without a route, or answered by ICMP.
    Unreachable,
    /// Firewalls on the path.
    Firewall,
    /// Half-open connections, of which one end is gone without a notice, and timers.
    HalfOpen,
    /// Segments that a third party aims at a connection, or that belong to no connection.
    Blind,
}

impl Topic {
    /// Returns the stable name for machine-readable output.
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

    /// Returns the heading in `rstproof list`.
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

/// Address family of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Returns the family of the address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Returns the proper name: `IPv4` or `IPv6`.
    #[must_use]
    pub fn proper_name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// Returns the lower-case name: `ipv4` or `ipv6`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Script of socket calls and its expected results.
#[derive(Debug)]
pub struct Scenario {
    /// Stable name, as users type it.
    pub id: &'static str,
    /// Topic that the scenario belongs to.
    pub topic: Topic,
    /// Summary of one line, for `rstproof list`.
    pub title: &'static str,
    /// Explanation of the events and their reasons, for `rstproof explain`.
    pub story: &'static str,
    /// Behaviour of other systems, with its sources.
    pub elsewhere: &'static str,
    /// Advice for readers who meet the failure in production.
    pub advice: &'static str,
    /// Socket, rule or route at the server's address.
    pub target: Target,
    /// Steps of the script.
    pub steps: &'static [Step],
    /// RSTs of the connection that must be on the wire, in order. If empty, there must be none.
    pub resets: &'static [ExpectedReset],
    /// Order of segments without which the trial is that of another scenario.
    pub timing: Option<Timing>,
    /// Flag: both ends use Multipath TCP (`IPPROTO_MPTCP`).
    pub multipath: bool,
    /// Extent of the connection on the wire.
    pub extent: Extent,
    /// End whose writes succeed although some of their bytes are never sent.
    pub unsent: Option<Role>,
    /// Address families that the scenario runs over.
    pub families: &'static [Family],
    /// Network between the two ends.
    pub network: Network,
    /// Settings below `net.ipv4` during the trials, each with its value.
    pub sysctls: &'static [(&'static str, &'static str)],
    /// End that has no socket of its own: its segments are forged, and no socket receives the segments sent to it.
    pub raw: Option<Role>,
    /// ICMP errors about the connection that must be on the wire, in order.
    pub icmp: &'static [ExpectedIcmp],
    /// Expected increase of counters of the namespace. No other watched counter ([`crate::kernel::counters::WATCHED`])
    /// may increase.
    pub counters: &'static [(&'static str, u64)],
    /// Calls (by index) whose error this kernel puts on the socket without a trace event.
    pub unreported: &'static [usize],
    /// Variants of the scenario on other kernels; the first that applies is used.
    pub otherwise: &'static [Otherwise],
    /// Flag: the scenario waits for a timer of a second or more, and runs only on request.
    pub slow: bool,
}

/// Variant of a scenario on kernels that have a certain patch, or that lack it.
#[derive(Debug)]
pub struct Otherwise {
    /// Kernels that the variant applies to.
    pub on: On,
    /// Scenario on these kernels, with the same id and topic.
    pub is: &'static Scenario,
}

/// Set of kernels, defined by one patch.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// Kernels that have this patch.
    With(&'static Patch),
    /// Kernels that lack this patch.
    Without(&'static Patch),
}

impl On {
    /// Returns the patch that defines the set.
    #[must_use]
    pub fn patch(self) -> &'static Patch {
        match self {
            Self::With(patch) | Self::Without(patch) => patch,
        }
    }

    /// Returns true if the kernel belongs to the set.
    #[must_use]
    pub fn is(self, kernel: Kernel) -> bool {
        match self {
            Self::With(patch) => kernel.has(patch),
            Self::Without(patch) => !kernel.has(patch),
        }
    }
}

/// Default values of a scenario, for the fields that a constant of the catalogue does not set.
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

/// Network between the two ends of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback interface of one host, which both ends are on and which captures both.
    Loopback,
    /// Link between two hosts, captured at each end.
    Link,
    /// Router between two links. The client and the server are each captured at their own end.
    Routed,
}

/// Change of the network during a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Reboot of the server's host: it goes down without a notice, and a host that has its address and no state
    /// replaces it.
    ServerReboots,
    /// Loss of the server's address: requests for it on the link stay unanswered, and earlier answers are forgotten.
    ServerAddressGone,
    /// Loss of the client's address.
    ClientAddressGone,
    /// Failure of the server's end of its link.
    ServerLinkDown,
}

/// Extent of a connection on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// SYN of the client and all segments that follow.
    Connection,
    /// No segment at all.
    Nothing,
    /// Segments that belong to no connection: there is no SYN, or only one that leads to no connection.
    Strays,
}

impl Scenario {
    /// Returns the form of the scenario on this kernel.
    #[must_use]
    pub fn on(&'static self, kernel: Kernel) -> &'static Self {
        let other = self.otherwise.iter().find(|other| other.on.is(kernel));
        // A variant may have variants of its own.
        other.map_or(self, |other| other.is.on(kernel))
    }

    /// Returns all forms of the scenario on different kernels, beginning with the scenario itself.
    #[must_use]
    pub fn forms(&'static self) -> Vec<&'static Self> {
        let others = self.otherwise.iter().flat_map(|other| other.is.forms());
        std::iter::once(self).chain(others).collect()
    }

    /// Returns the patches that change the scenario.
    #[must_use]
    pub fn patches(&'static self) -> Vec<&'static Patch> {
        self.patches_where(|_, _| true)
    }

    /// Returns the patches that change the scenario in some respect: `differ` compares two of its forms.
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

    /// Returns true if both scenarios make the same calls in the same order, regardless of the expected outcomes.
    #[must_use]
    pub fn is_played_as(&self, other: &Self) -> bool {
        // One placeholder for every expected outcome, so that only the calls are compared.
        let played = |step: &Step| match *step {
            Step::Call(role, op, _) => Step::Call(role, op, Expect::ReportsNone),
            Step::Begin(role, op, _) => Step::Begin(role, op, Expect::ReportsNone),
            other => other,
        };
        let steps = |it: &Self| it.steps.iter().map(played).collect::<Vec<_>>();
        steps(self) == steps(other)
    }

    /// Returns true if the script uses a child process.
    #[must_use]
    pub fn has_child(&self) -> bool {
        self.calls().any(|(_, op, _)| op == Op::Spawn)
    }

    /// Returns the resources that the scenario needs beyond a loopback interface.
    ///
    /// A scenario that needs any runs only in a namespace of its own: it changes settings, has a firewall, forges
    /// segments, or does something that only the administrator of the namespace may do.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs {
            // Only a network administrator may put a filter on a TCP socket (Linux 6.18.44; before, any owner of the
            // socket).
            administration: !self.sysctls.is_empty()
                || self.raw.is_some()
                || self.target == Target::Blackholed,
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
                    // TCP_REPAIR and SOCK_DESTROY need CAP_NET_ADMIN, as filters do.
                    needs.administration |= matches!(op, Op::Repair | Op::Destroy | Op::Blackhole);
                    needs.destruction |= *op == Op::Destroy;
                }
                _ => {}
            }
        }
        needs
    }

    /// Returns the calls of the script in the order in which they begin: the end, the call and its expected outcome.
    pub fn calls(&self) -> impl Iterator<Item = (Role, Op, Expect)> {
        self.steps.iter().filter_map(|step| match *step {
            Step::Call(role, op, expect) | Step::Begin(role, op, expect) => {
                Some((role, op, expect))
            }
            _ => None,
        })
    }
}

/// Socket, rule or route at the server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Listening socket that all such trials share.
    Listener,
    /// Closed port, reserved by a socket that does not listen, so that no other process can listen there.
    ClosedPort,
    /// Listening socket of the trial's own, which the script may close.
    OwnListener(Listening),
    /// Client's own address and port.
    Itself,
    /// Listening socket of the trial's own that receives nothing: every segment is dropped before TCP sees it, and none
    /// is answered.
    Blackholed,
    /// Listening socket of the trial's own, behind this firewall rule.
    Firewalled(Rule),
    /// Address that no packet reaches, because of this route.
    NoRoute(Route),
    /// Address on the client's own link that no host has.
    Nobody,
}

/// Firewall rule. Each rule has a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Drop of all incoming segments for the port.
    DropInput,
    /// Drop of all outgoing segments to the port.
    DropOutput,
    /// Reject of all incoming segments for the port with an RST, in the name of the owner of the port.
    RejectWithReset,
    /// Reject of all incoming segments for the port with an ICMP error, port unreachable.
    RejectWithIcmp,
    /// Reject of incoming data for the port with an RST, in the name of the owner of the port.
    RejectData,
    /// Drop of outgoing RSTs from the port.
    DropResets,
    /// Reject of forwarded data for the port with an RST, in the name of the owner of the port.
    RejectForwarded,
    /// Drop of forwarded RSTs of aborting sockets from the port.
    DropForwardedAborts,
    /// Drop of forwarded data from the port.
    DropForwardedData,
}

impl Rule {
    /// Every rule, in the order of declaration.
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

/// Type of a route over which no packet reaches an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// No route at all.
    Missing,
    /// Route of type `unreachable`.
    Unreachable,
    /// Route of type `prohibit`.
    Prohibit,
    /// Route of type `blackhole`.
    Blackhole,
}

impl Route {
    /// Every type, in the order of declaration.
    pub const ALL: [Self; 4] = [
        Self::Missing,
        Self::Unreachable,
        Self::Prohibit,
        Self::Blackhole,
    ];
}

/// Resources that a trial needs beyond a loopback interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Administrative rights over the namespace during the trial.
    pub administration: bool,
    /// Firewall.
    pub firewall: bool,
    /// Sockets that send whole packets.
    pub forgery: bool,
    /// Routes of the trial's own.
    pub routes: bool,
    /// More than one host.
    pub hosts: bool,
    /// Destruction of sockets from outside (`SOCK_DESTROY`).
    pub destruction: bool,
}

impl Needs {
    /// Returns the union of the needs of the scenarios.
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

    /// Returns true if anything is needed.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// Options of a trial's own listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Backlog. The kernel lets one connection more into the queue.
    pub backlog: u16,
    /// Time of `TCP_DEFER_ACCEPT`, in seconds: only connections that have sent data are accepted.
    pub defer_accept: Option<u8>,
    /// Flag: a second listener shares the port (`SO_REUSEPORT`).
    pub shares_port: bool,
    /// Flag: data that comes with a SYN is accepted (`TCP_FASTOPEN`).
    pub fast_open: bool,
    /// Flag: only segments signed with a key that the client does not have are accepted (`TCP_MD5SIG`).
    pub signed: bool,
}

impl Listening {
    /// Options that most listeners have.
    pub const USUAL: Self = Self {
        backlog: 128,
        defer_accept: None,
        shares_port: false,
        fast_open: false,
        signed: false,
    };
}

/// Step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call, with its expected outcome.
    Call(Role, Op, Expect),
    /// Call that is expected to block, on a thread of its own: the script continues once the call sleeps in the kernel.
    Begin(Role, Op, Expect),
    /// Wait for the return of the call that this role has begun.
    End(Role),
    /// Connections of this many other clients, one after the other, which stay open. Clients behind a full queue get no
    /// answer and do not wait for one. Each client sends a byte if the listener defers accepting.
    Others(u8),
    /// Wait until the capture, or the kernel, shows this.
    Await(Awaited),
    /// Segment that a third party sends in the name of an end.
    Inject(Forged),
    /// ICMP error that a third party on the path sends.
    InjectIcmp(ForgedIcmp),
    /// Change of the network.
    Happens(Change),
}

/// Maximum time that a whole script may lose between its steps and in steps that wait for nothing.
///
/// A trial that loses more was held up: the process was stopped, the machine paused or overloaded. The shortest timer
/// that changes what a script predicts is that of a retransmission (`TCP_RTO_MIN`, 200 ms). The timer of a delayed
/// acknowledgment (`TCP_DELACK_MIN`, 40 ms) is shorter, and scripts wait for it where it matters
/// ([`Awaited::Acknowledged`]).
pub const STEP_WINDOW: Duration = Duration::from_millis(150);

/// Maximum time that a call may block. A bound on failure, not a pace.
pub const CALL_BOUND: Duration = Duration::from_secs(5);

/// Maximum time that a script waits for a frame. A bound on failure, not a pace.
pub const FRAME_BOUND: Duration = Duration::from_secs(2);

/// Event that a script waits for, seen in the capture or in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// FIN sent by this end.
    FinFrom(Role),
    /// Acknowledgment by this end of the other end's FIN.
    FinAckedBy(Role),
    /// Data sent by this end and received by the other end's kernel.
    DataFrom(Role),
    /// RST sent by this end that the other end is required to accept.
    ResetFrom(Role),
    /// Disappearance of this end's closed socket, including the remains in FIN-WAIT-2.
    Gone(Role),
    /// Error or end of data on this end's socket, caused by a timer: `POLLERR` or `POLLHUP`.
    Dead(Role),
    /// SYN of the client, while its `connect` still waits.
    SynFrom(Role),
    /// Segment sent by this end since the last forged one.
    AnswerFrom(Role),
    /// Retransmission or probe of this end that had no answer.
    AgainFrom(Role),
    /// Departure of this end's socket from SYN-SENT and SYN-RECEIVED.
    Established(Role),
    /// Acknowledgment by the other end of all segments from this end, received by this end.
    ///
    /// After this wait, no segment in flight can meet a socket that is about to be closed: up to Linux 6.4, a received
    /// segment may be left to ksoftirqd, and a delayed ACK waits for a timer.
    Acknowledged(Role),
    /// ICMP error about the connection.
    Icmp,
}

impl Awaited {
    /// Returns the maximum time that a script waits before it continues without the event.
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

    /// Returns true if the event depends on a kernel timer. Every other event happens at once.
    #[must_use]
    pub fn is_up_to_timers(self) -> bool {
        matches!(
            self,
            Self::Gone(_) | Self::Dead(_) | Self::AgainFrom(_) | Self::Acknowledged(_)
        )
    }
}

/// Order of segments that a scenario is named after. If the order is missed, the trial is that of another scenario, and
/// inconclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Acknowledgment of the server's FIN by the client in a segment of its own, before the client's data.
    DataAfterAckOfFin,
    /// Acknowledgment of the server's FIN by the client's data, which is the first to acknowledge it.
    DataBeforeAckOfFin,
    /// Answer to the first SYN while `connect` is still sending it and holds the socket.
    AnsweredWhileSent,
    /// Answer to the first SYN while `connect` already waits, because processing of the received loopback packet was
    /// deferred.
    AnsweredWhileAwaited,
}

/// Expected outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Success with this value.
    Returns(i64),
    /// Success with fewer bytes than requested, but at least one.
    ReturnsSome,
    /// Success of `poll` with this mask.
    Polls(Events),
    /// Failure with this errno, for this reason.
    Fails(Errno, Cause),
    /// Report of this error by `SO_ERROR`, for this reason.
    Reports(Errno, Cause),
    /// Report by `SO_ERROR` that there is no error.
    ReportsNone,
}

impl Expect {
    /// Returns the only expected outcome, without its reason; `None` if several outcomes are expected.
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

    /// Returns true if the call may end with this outcome.
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

    /// Returns the reason of an expected error; `None` if no error is expected.
    #[must_use]
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::Fails(_, cause) | Self::Reports(_, cause) => Some(cause),
            Self::Returns(_) | Self::ReturnsSome | Self::Polls(_) | Self::ReportsNone => None,
        }
    }
}

impl fmt::Display for Expect {
    /// Writes the expected outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome() {
            Some(outcome) => outcome.fmt(f),
            None => f.write_str(SOME),
        }
    }
}

/// Text for a number of bytes that is not known in advance.
pub(crate) const SOME: &str = "some, not all";

/// Reason why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Error that this RST put on the socket and that this call reports first. The index is that in
    /// [`Scenario::resets`] of an expected RST, and that in the judge's resets of a captured one.
    Reset(usize),
    /// Failure on a connection that this RST closed, after the error of the RST was reported.
    AfterReset(usize),
    /// Failure because the caller had shut down its own sending side. No RST is involved.
    OwnShutdown,
    /// Failure because the caller dissolved or cancelled the connection itself (`AF_UNSPEC`, `shutdown` during
    /// `connect`).
    OwnDisconnect,
    /// Error that the socket put on itself when it answered with this RST, as if the RST had come from the other end.
    OwnReset(usize),
    /// Failure on a socket that never had a connection, or cannot have one.
    NotConnected,
    /// Failure because the listener no longer listens.
    NotListening,
    /// Failure because the caller does not wait, or no longer: `O_NONBLOCK`, or a time-out of its own.
    WouldBlock,
    /// Time-out of a limit that the caller set for the other end's answer.
    TimedOut,
    /// Time-out of the kernel's own: no retransmission was acknowledged.
    Unanswered,
    /// Error that this ICMP error put on the socket. The index is that in [`Scenario::icmp`] of an expected ICMP error,
    /// and that in the judge's ICMP errors of a captured one.
    Icmp(usize),
    /// Error that an administrator put on the socket by destroying it.
    Destroyed,
    /// Failure because this host has no route to the address.
    NoRoute,
    /// Failure because another thread is waiting in a call on the same socket.
    InUse,
}

/// ICMP error that must be on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedIcmp {
    /// End whose segment the ICMP error quotes.
    pub to: Role,
    /// Type and code over IPv4.
    pub ipv4: (u8, u8),
    /// Type and code over IPv6.
    pub ipv6: (u8, u8),
}

impl ExpectedIcmp {
    /// Returns the type and code over this family.
    #[must_use]
    pub fn over(self, family: Family) -> (u8, u8) {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

/// RST that must be on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedReset {
    /// End that the RST comes from.
    pub from: Role,
    /// Form of the RST; `None` for a form that Linux does not make.
    pub form: Option<Form>,
    /// Expected disposition of the RST.
    pub disposition: Disposition,
    /// State of the receiver when the RST arrives.
    pub receiver_state: State,
    /// Sender of the RST.
    pub sender: Sender,
    /// Kernel's `sk_rst_reason` of the RST; empty if no kernel sends it.
    pub reason: &'static str,
}

/// Disposition of an RST: what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Acceptance: the receiver is required to accept the RST.
    Accepted,
    /// Silence: the receiver must ignore the RST.
    Ignored,
    /// Challenge: the receiver must not accept the RST, and answers with a challenge ACK (RFC 5961, 3.2).
    Challenged,
    /// Loss on the path: the RST does not reach its receiver.
    Lost,
    /// Loss at the sender: the sender's kernel has sent the RST, but it never reaches the wire.
    DroppedAtSender,
}

impl Disposition {
    /// Returns the disposition of a captured RST.
    #[must_use]
    pub fn of(reset: &Reset) -> Self {
        if reset.acceptance.is_acceptable() {
            Self::Accepted
        } else if !reset.has_arrived() {
            Self::Lost
        } else if reset.challenged_by.is_some() {
            Self::Challenged
        } else {
            Self::Ignored
        }
    }
}

/// Sender of an RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// Socket of the stated end: one that aborts, one that cannot use a received segment, or a listener.
    Socket,
    /// Kernel of the stated end, which has no socket for a received segment, or only the remains of one in FIN-WAIT-2
    /// or TIME-WAIT.
    Kernel,
    /// Firewall rule on the path, in the name of the stated end.
    Firewall,
    /// Third party, in the name of the stated end.
    Injected,
    /// Sender that the evidence does not determine.
    Unknown,
}

impl Sender {
    /// Returns the name: `socket`, `kernel`, `firewall`, `injected` or `unknown`.
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

/// Catalogue of all scenarios, in the order of `rstproof list`.
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
    &abort::LINGER_ZERO_BLOCKED_READER,
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

/// Placeholder by which saved evidence of a scenario unknown to this version is judged. It cannot be run.
pub const UNKNOWN: Scenario = Scenario {
    id: "unknown",
    title: "a scenario that this version does not have",
    ..BASE
};

/// Returns the scenario with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Scenario> {
    ALL.iter().copied().find(|scenario| scenario.id == id)
}

/// Setting that enables TCP Fast Open for clients (1) and servers (2), without a cookie on either side (4, 0x200): one
/// trial leaves no state for the next.
const FAST_OPEN: (&str, &str) = ("tcp_fastopen", "519");

// Constructors that scripts are written with.

/// Returns an RST of a socket of this end that aborts.
const fn abort(from: Role, receiver_state: State, reason: &'static str) -> ExpectedReset {
    ExpectedReset {
        from,
        form: Some(Form::Active),
        disposition: Disposition::Accepted,
        receiver_state,
        sender: Sender::Socket,
        reason,
    }
}

/// Returns the RST with which this end answers a segment that has ACK.
const fn answer(
    from: Role,
    receiver_state: State,
    sender: Sender,
    reason: &'static str,
) -> ExpectedReset {
    ExpectedReset {
        from,
        form: Some(Form::Passive),
        disposition: Disposition::Accepted,
        receiver_state,
        sender,
        reason,
    }
}

/// Returns the RST with which this end answers a SYN or another segment without ACK.
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

/// Returns an RST that a third party sends in the name of this end.
const fn injected(from: Role, receiver_state: State) -> ExpectedReset {
    ExpectedReset {
        from,
        form: None,
        disposition: Disposition::Accepted,
        receiver_state,
        sender: Sender::Injected,
        reason: "",
    }
}

/// Marks an RST as one that its receiver must ignore.
const fn ignored(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        disposition: Disposition::Ignored,
        ..reset
    }
}

/// Marks an RST as one that is lost on the path.
const fn lost(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        disposition: Disposition::Lost,
        ..reset
    }
}

/// Marks an RST as one that never reaches the wire.
const fn dropped_at_sender(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        disposition: Disposition::DroppedAtSender,
        ..reset
    }
}

/// Marks an RST as one that its receiver answers with a challenge ACK.
const fn challenged(reset: ExpectedReset) -> ExpectedReset {
    ExpectedReset {
        disposition: Disposition::Challenged,
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

/// Expects a failure with the error of RST number `reset` of the scenario.
const fn fails_from_reset(errno: Errno, reset: usize) -> Expect {
    Expect::Fails(errno, Cause::Reset(reset))
}

/// Expects a failure on the socket that RST number `reset` closed, after an earlier call reported the error.
const fn fails_after_reset(errno: Errno, reset: usize) -> Expect {
    Expect::Fails(errno, Cause::AfterReset(reset))
}

const fn polls(events: Events) -> Expect {
    Expect::Polls(events)
}

/// Expects a report by `SO_ERROR` of the error of RST number `reset` of the scenario.
const fn so_error_from_reset(errno: Errno, reset: usize) -> Expect {
    Expect::Reports(errno, Cause::Reset(reset))
}

const fn would_block(errno: Errno) -> Expect {
    Expect::Fails(errno, Cause::WouldBlock)
}

/// Expects a failure because another thread waits on the socket.
const fn busy() -> Expect {
    Expect::Fails(Errno::EBUSY, Cause::InUse)
}

const fn not_connected(errno: Errno) -> Expect {
    Expect::Fails(errno, Cause::NotConnected)
}

// Events that poll reports for a socket (tcp_poll()).

/// Events of a connected socket without data to read.
const OPEN: Events = Events::OUT;
/// Events of a socket whose peer has sent FIN, or whose own receiving side is shut down.
const PEER_CLOSED: Events = Events::IN.and(Events::OUT).and(Events::RDHUP);
/// Events of a closed connection whose error was taken.
const DEAD: Events = PEER_CLOSED.and(Events::HUP);
/// Events of a closed connection whose error was not taken yet.
const DEAD_WITH_ERROR: Events = DEAD.and(Events::ERR);
/// Events of a socket without a connection.
const UNCONNECTED: Events = Events::OUT.and(Events::HUP);
/// Events of a socket that no longer has a connection and whose error was not taken yet.
const UNCONNECTED_WITH_ERROR: Events = UNCONNECTED.and(Events::ERR);

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every form of every scenario, on any kernel.
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
                    !patch.since.is_empty() && patch.description.ends_with('.'),
                    "{}",
                    patch.id
                );
            }
        }
    }

    /// Up to Linux 6.4, a segment that a call sends on loopback may arrive after the call has returned (d15121be7485).
    /// So the first call that reports an RST is one that waits for it, or the script has waited for more than a FIN
    /// before.
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
                        // With TCP Fast Open, a write waits for the answer to its SYN.
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

    /// Each form is selected on some kernel, and a current kernel selects only the forms of the catalogue itself.
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
        // Linux 6.16 lacks two changes of one scenario: the first that applies is used.
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
            // An accepted RST that some call must report.
            let accepted = |reset: &ExpectedReset| {
                reset.disposition == Disposition::Accepted
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
                silent || untold.into_iter().all(|(reset, _)| !accepted(reset)),
                "{}",
                scenario.id
            );
        }
    }
}
