//! Resources that a scenario needs from its host.

use super::{Network, Scenario, Step, Target};
use crate::transcript::Op;

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

impl Scenario {
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
}
