//! Expected results: how a call must end and why, and which RSTs and ICMP errors must be on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Family;
use crate::flow::{Form, Reset, State};
use crate::transcript::{Errno, Events, Op, Outcome, Role};

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
    Fails(Errno, ExpectedCause),
    /// Report of this error by `SO_ERROR`, for this reason.
    Reports(Errno, ExpectedCause),
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
    pub fn cause(self) -> Option<ExpectedCause> {
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
pub enum ExpectedCause {
    /// Error that this RST put on the socket and that this call reports first. The index is that in
    /// [`Scenario::resets`](super::Scenario::resets) of an expected RST, and that in the judge's resets of a captured
    /// one.
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
    /// Error that this ICMP error put on the socket. The index is that in
    /// [`Scenario::icmp`](super::Scenario::icmp) of an expected ICMP error, and that in the judge's ICMP errors of a
    /// captured one.
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
