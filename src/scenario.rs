//! Scenarios: scripts of socket calls, as data, with what they must lead to.
//!
//! A [`Scenario`] says which end calls what, in which order, how each call must end and why, and which RSTs must be
//! on the wire. One interpreter runs them all ([`crate::runner`]) and one judge compares ([`crate::verdict`]), so
//! adding a scenario is adding one constant to a file of the catalogue and its name to [`ALL`].

mod abort;
mod close;
mod connect;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::flow::{Form, State};
pub use crate::transcript::{Errno, Op, Outcome, Role};

/// What a scenario is about; a topic is a file of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Setting a connection up.
    Connect,
    /// Aborting an established connection.
    Abort,
    /// Closing in order, and what comes after.
    Close,
}

impl Topic {
    /// The name for machines; stable.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Abort => "abort",
            Self::Close => "close",
        }
    }

    /// The heading in `rstproof list`.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Connect => "connection set-up",
            Self::Abort => "abort of an established connection",
            Self::Close => "clean close and its aftermath",
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
}

impl Scenario {
    /// The calls of the script, in order: who, what, and how it must end.
    pub fn calls(&self) -> impl Iterator<Item = (Role, Op, Expect)> {
        self.steps.iter().filter_map(|step| match *step {
            Step::Call(role, op, expect) => Some((role, op, expect)),
            Step::Await(_) => None,
        })
    }
}

/// What waits at the server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A listening socket.
    Listener,
    /// Nobody: the port is held by a socket that does not listen, so that nobody else can.
    ClosedPort,
}

/// One step of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call, and how it must end.
    Call(Role, Op, Expect),
    /// Wait until the capture shows this.
    Await(Awaited),
}

/// What a script may wait for, seen in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// This end has sent a FIN.
    FinFrom(Role),
    /// This end has acknowledged the other end's FIN.
    FinAckedBy(Role),
    /// This end has sent a RST that the other end has to believe.
    ResetFrom(Role),
}

/// An order on the wire that a scenario is named after. Missed, the trial is another scenario's, and inconclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// The client acknowledges the server's FIN in a segment of its own before it sends data.
    DataAfterAckOfFin,
    /// The client's data is the first to acknowledge the server's FIN.
    DataBeforeAckOfFin,
}

/// How a call must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It succeeds with this value.
    Returns(i64),
    /// It fails with this errno, for this reason.
    Fails(Errno, Cause),
    /// `SO_ERROR` reports this error, for this reason.
    Reports(Errno, Cause),
    /// `SO_ERROR` reports that there is no error.
    ReportsNone,
}

impl Expect {
    /// The outcome that is meant, without its reason.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Returns(value) => Outcome::Returned(value),
            Self::Fails(errno, _) => Outcome::Failed(errno),
            Self::Reports(errno, _) => Outcome::SocketError(Some(errno)),
            Self::ReportsNone => Outcome::SocketError(None),
        }
    }

    /// Why, if it is an error.
    #[must_use]
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::Fails(_, cause) | Self::Reports(_, cause) => Some(cause),
            Self::Returns(_) | Self::ReportsNone => None,
        }
    }
}

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
}

/// A RST that must be on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedReset {
    /// The end that sends it.
    pub from: Role,
    /// How it must look.
    pub form: Form,
    /// The state of its receiver when it comes in.
    pub receiver_state: State,
}

/// The catalogue, in the order in which `list` shows it.
pub const ALL: &[&Scenario] = &[
    &connect::CLOSED_PORT,
    &abort::CLOSE_UNREAD_DATA,
    &abort::CLOSE_UNREAD_DATA_WRITE,
    &abort::FIN_THEN_RESET,
    &abort::FIN_THEN_RESET_WRITE,
    &abort::LINGER_ZERO_CLOSE,
    &close::CLEAN_CLOSE_EOF,
    &close::WRITE_AFTER_PEER_CLOSE,
    &close::WRITE_AFTER_PEER_CLOSE_EARLY,
    &close::SHUTDOWN_WR_THEN_WRITE,
];

/// What saved evidence of a scenario is judged by that this version does not have; not one to be run.
pub const UNKNOWN: Scenario = Scenario {
    id: "unknown",
    topic: Topic::Connect,
    title: "a scenario that this version does not have",
    story: "",
    elsewhere: "",
    advice: "",
    target: Target::Listener,
    steps: &[],
    resets: &[],
    timing: None,
};

/// The scenario with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Scenario> {
    ALL.iter().copied().find(|scenario| scenario.id == id)
}

// The words that scripts are written in.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_kebab_case_and_grouped_by_topic() {
        for (index, scenario) in ALL.iter().enumerate() {
            assert!(
                scenario
                    .id
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '-'),
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
        for scenario in ALL {
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
                    Some(Cause::AfterReset(reset)) => {
                        assert!(reset < told.len(), "{}", scenario.id);
                    }
                    Some(Cause::OwnShutdown) | None => {}
                }
            }
            assert!(told.into_iter().all(|told| told), "{}", scenario.id);
        }
    }
}
