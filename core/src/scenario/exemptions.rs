//! Exemptions: the checks that the judge leaves out for a scenario, with the reason for each.

use std::fmt;

use super::{Change, Scenario, Step, Target};
use crate::transcript::Role;

/// Exemption of a scenario from one check of the judge. Its text is the reason, as one clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// Segments of this end that no call of its own has sent: the script forges some.
    ForgedSegments(Role),
    /// Payload of this end that no call of its own has written: the script forges some.
    ForgedData(Role),
    /// Payload that this end has written and that is not on the wire.
    UnsentData(Role),
    /// Payload of this end that may be on the wire all the same, since its host notices late that its link is down.
    LateLinkLoss(Role),
    /// End of file without a FIN, over Multipath TCP.
    EndWithoutFin,
    /// RST that does not end TIME-WAIT, although it is acceptable.
    TimeWaitKept,
    /// Segments to this end that were captured, and that no socket receives.
    Blackholed(Role),
    /// Calls that begin before this one (index into the transcript) has ended.
    Overlap(usize),
    /// Error of this call (index into the transcript) that the kernel puts on the socket without a trace event.
    Untraced(usize),
    /// Time that calls wait for a timer.
    TimerWaits,
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForgedSegments(role) => write!(
                f,
                "segments are forged in the {role}'s name: none of its calls needs to precede them, and they may acknowledge \
                 data that was not captured"
            ),
            Self::ForgedData(role) => write!(
                f,
                "data is forged in the {role}'s name: the number of its bytes on the wire need not match its writes"
            ),
            Self::UnsentData(role) => write!(
                f,
                "some bytes that the {role} writes are never sent: fewer bytes may be on the wire"
            ),
            Self::LateLinkLoss(role) => write!(
                f,
                "the {role}'s host may take a second to notice that the link is down: until then it sends all bytes"
            ),
            Self::EndWithoutFin => f.write_str(
                "in Multipath TCP, a DATA_FIN option ends the data: an end of file needs no FIN",
            ),
            Self::TimeWaitKept => {
                f.write_str("tcp_rfc1337 is set: an acceptable RST does not end TIME-WAIT")
            }
            Self::Blackholed(role) => write!(
                f,
                "no socket receives segments to the {role}: captured ones count as lost"
            ),
            Self::Overlap(call) => write!(
                f,
                "call {call} blocks on a thread of its own: later calls may begin before it ends"
            ),
            Self::Untraced(call) => write!(
                f,
                "this kernel sets the error of call {call} without a trace event"
            ),
            Self::TimerWaits => {
                f.write_str("calls may wait for a timer of the kernel: their time is not lost time")
            }
        }
    }
}

/// Exemptions of one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemptions(Vec<Exemption>);

impl Exemptions {
    /// Returns true if the scenario has this exemption.
    #[must_use]
    pub fn has(&self, exemption: Exemption) -> bool {
        self.0.contains(&exemption)
    }

    /// Returns the exemptions in the order of their declaration.
    pub fn iter(&self) -> impl Iterator<Item = Exemption> {
        self.0.iter().copied()
    }
}

impl Scenario {
    /// Returns the checks that the judge leaves out for the scenario.
    #[must_use]
    pub fn exemptions(&self) -> Exemptions {
        let for_ends = Role::BOTH.into_iter().flat_map(|role| self.of_end(role));
        let for_calls = (0..self.calls().count()).flat_map(|call| self.of_call(call));
        let others = [
            (self.multipath, Exemption::EndWithoutFin),
            (self.keeps_time_wait(), Exemption::TimeWaitKept),
            (self.waits_for_timers(), Exemption::TimerWaits),
        ];
        let others = others.into_iter().filter_map(|(has, it)| has.then_some(it));
        Exemptions(for_ends.chain(others).chain(for_calls).collect())
    }

    fn of_end(&self, role: Role) -> impl Iterator<Item = Exemption> + use<> {
        let is_unsent = self.unsent == Some(role);
        let exemptions = [
            (self.forges(role), Exemption::ForgedSegments(role)),
            (self.forges_data_of(role), Exemption::ForgedData(role)),
            (is_unsent, Exemption::UnsentData(role)),
            (
                is_unsent && self.loses_link(),
                Exemption::LateLinkLoss(role),
            ),
            (self.is_blackholed(role), Exemption::Blackholed(role)),
        ];
        exemptions
            .into_iter()
            .filter_map(|(has, it)| has.then_some(it))
    }

    fn of_call(&self, call: usize) -> impl Iterator<Item = Exemption> + use<> {
        let exemptions = [
            (self.blocks(call), Exemption::Overlap(call)),
            (self.unreported.contains(&call), Exemption::Untraced(call)),
        ];
        exemptions
            .into_iter()
            .filter_map(|(has, it)| has.then_some(it))
    }

    /// Returns true if the calls may wait for a timer of the kernel.
    fn waits_for_timers(&self) -> bool {
        self.slow
    }

    /// Returns true if the link between the hosts goes down.
    #[must_use]
    pub fn loses_link(&self) -> bool {
        let down = Step::Happens(Change::ServerLinkDown);
        self.steps.contains(&down)
    }

    /// Returns true if RSTs do not end TIME-WAIT in the namespace of the scenario (RFC 1337).
    fn keeps_time_wait(&self) -> bool {
        self.sysctls.contains(&("tcp_rfc1337", "1"))
    }

    /// Returns true if the end receives nothing from the beginning.
    fn is_blackholed(&self, role: Role) -> bool {
        self.raw == Some(role) || (role == Role::Server && self.target == Target::Blackholed)
    }

    /// Returns true if the script forges segments in the name of the end.
    #[must_use]
    pub fn forges(&self, role: Role) -> bool {
        let mut steps = self.steps.iter();
        self.raw == Some(role)
            || steps.any(|step| matches!(step, Step::Inject(forged) if forged.from == role))
    }

    /// Returns true if the script forges segments with data in the name of the end.
    fn forges_data_of(&self, role: Role) -> bool {
        let mut steps = self.steps.iter();
        self.raw == Some(role)
            || steps.any(|step| matches!(step, Step::Inject(forged) if forged.from == role && forged.len > 0))
    }

    /// Returns true if call number `index` is expected to block while other calls are made.
    fn blocks(&self, index: usize) -> bool {
        let calls = self.steps.iter();
        let mut calls = calls.filter(|step| matches!(step, Step::Call(..) | Step::Begin(..)));
        matches!(calls.nth(index), Some(Step::Begin(..)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn of(id: &str) -> Vec<Exemption> {
        find(id).unwrap().exemptions().iter().collect()
    }

    #[test]
    fn an_ordinary_scenario_has_none() {
        assert_eq!(of("close-unread-data"), []);
    }

    #[test]
    fn each_exemption_follows_from_the_scenario() {
        use Exemption::{
            Blackholed, EndWithoutFin, ForgedData, ForgedSegments, LateLinkLoss, Overlap,
            TimeWaitKept, TimerWaits, UnsentData,
        };
        // connect, accept, write and read are made before the read that blocks.
        assert_eq!(of("reset-blocked-reader"), [Overlap(4)]);
        assert_eq!(of("mptcp-close-unread-data"), [EndWithoutFin]);
        assert_eq!(
            of("established-link-down"),
            [
                UnsentData(Role::Client),
                LateLinkLoss(Role::Client),
                TimerWaits
            ]
        );
        assert!(of("time-wait-rst-rfc1337").contains(&TimeWaitKept));
        let raw = of("stray-rst-closed-port");
        for exemption in [ForgedSegments, ForgedData, Blackholed] {
            assert!(raw.contains(&exemption(Role::Client)), "{raw:?}");
        }
    }

    #[test]
    fn a_reason_is_one_clause() {
        for scenario in super::super::ALL {
            for form in scenario.forms() {
                for exemption in form.exemptions().iter() {
                    let reason = exemption.to_string();
                    assert!(!reason.is_empty() && !reason.ends_with('.'), "{reason}");
                }
            }
        }
    }
}
