//! Scenarios: scripts of socket calls, as data, with their expected results.
//!
//! A [`Scenario`] states which end makes which call, in which order, how each call must end and why, and which RSTs
//! must be on the wire. One interpreter runs every scenario and one judge compares the result ([`crate::verdict`]), so
//! a new scenario needs only one constant in the file of its [`Topic`] and its name in [`ALL`].
//!
//! To read a script, begin with [`Step`] (the calls and waits) and [`Expect`] (the expected result of a call), then
//! [`ExpectedReset`]. [`Target`] and [`Network`] describe the surroundings, and [`Otherwise`] the variants on other
//! kernels. [`Needs`] and [`Exemptions`] are derived from a scenario.

mod abort;
mod blind;
mod catalogue;
mod close;
mod connect;
mod exemptions;
mod expectation;
mod firewall;
mod forged;
mod form;
mod half_open;
mod listener;
mod needs;
mod network;
mod notation;
mod step;
mod target;
#[cfg(test)]
mod tests;
mod topic;
mod unreachable;

pub use self::catalogue::{ALL, UNKNOWN, find};
pub use self::exemptions::{Exemption, Exemptions};
pub(crate) use self::expectation::SOME;
pub use self::expectation::{
    Disposition, Expect, ExpectedCause, ExpectedIcmp, ExpectedReset, Sender,
};
pub use self::forged::{Forged, ForgedIcmp, Number, Stamp};
pub use self::form::{On, Otherwise};
pub use self::needs::Needs;
pub use self::network::{Change, Family, Network};
pub use self::step::{Awaited, CALL_BOUND, FRAME_BOUND, STEP_WINDOW, Step, Timing};
pub use self::target::{Listening, Route, Rule, Target};
pub use self::topic::Topic;
pub use crate::transcript::{Errno, Events, Op, Outcome, Role};

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
    /// Returns the calls of the script in the order in which they begin: the end, the call and its expected outcome.
    pub fn calls(&self) -> impl Iterator<Item = (Role, Op, Expect)> {
        self.steps.iter().filter_map(|step| match *step {
            Step::Call(role, op, expect) | Step::Begin(role, op, expect) => {
                Some((role, op, expect))
            }
            _ => None,
        })
    }

    /// Returns true if the script uses a child process.
    #[must_use]
    pub fn has_child(&self) -> bool {
        self.calls().any(|(_, op, _)| op == Op::Spawn)
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
}
