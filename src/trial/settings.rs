//! Settings that all trials of a worker share: what to capture, what to keep and what scenarios need.

use std::path::PathBuf;

use super::decoy::Decoy;
use super::stall::Stalls;
use crate::lab::{Environment, RetainedPrivileges};
use crate::sources::RunSources;
use rstproof_core::scenario::{Needs, Scenario};

/// Settings that all trials of a worker share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Network environment of the trials.
    pub environment: Environment,
    /// Name of the interface to capture on.
    pub interface: String,
    /// BPF filter given by the user.
    pub filter: Option<String>,
    /// Port that servers listen on; the one after it stays closed.
    pub port: u16,
    /// Privileges that workers keep. If files are saved, the bytes of captured frames are kept for that.
    pub privileges: RetainedPrivileges,
    /// Facilities, in addition to a loopback interface, that the scenarios need.
    pub needs: Needs,
    /// True if the capture ring needs room for one trial only.
    pub small_ring: bool,
    /// Name of the recorder, if each trial's fence carries the hash of its calls (`archive::recorder`).
    pub recorder: Option<String>,
    /// Path of the program that child processes run: this one.
    pub program: PathBuf,
    /// Sources of the run.
    pub sources: RunSources,
    /// Record of the stalls of this process, if it is kept.
    pub stalls: Option<Stalls>,
    /// Decoy that is sent in each trial. Requires `needs.forgery`.
    pub decoy: Option<Decoy>,
}

impl Settings {
    /// Returns these settings with everything that this scenario needs.
    #[must_use]
    pub fn for_scenario(mut self, scenario: &Scenario) -> Self {
        self.needs = Needs::of([scenario]);
        self.privileges.administers = self.needs.administration;
        self.privileges.makes_networks = self.needs.hosts;
        self
    }

    /// Returns settings for a private namespace, capturing on its `lo`, with servers on this port; saves nothing and
    /// uses no kernel trace.
    #[must_use]
    pub fn private(port: u16) -> Self {
        Self {
            environment: Environment::Private,
            interface: "lo".to_owned(),
            filter: None,
            port,
            privileges: RetainedPrivileges::default(),
            needs: Needs::default(),
            small_ring: false,
            recorder: None,
            program: this_program(),
            sources: RunSources::default(),
            stalls: None,
            decoy: None,
        }
    }
}

/// Returns the path of the running program, which works even if its file was replaced or removed.
#[must_use]
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}
