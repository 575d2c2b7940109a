//! Worker: an environment, its captures and its sockets, bound to one thread that runs one trial after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore};

use super::decoy::Decoy;
use super::run::TrialRun;
use super::settings::Settings;
use super::test_bed::{HostsBed, TestBed};
use crate::capture::{self, CaptureSession, Taps, TrialFrames, cpus};
use crate::error::Error;
use crate::host;
use crate::lab::ports::ports;
use crate::lab::{self, Environment, Lab};
use crate::runner;
use crate::sources::host::HostWatch;
use crate::sources::{HostSources, TrialSources};
use rstproof_core::evidence::Evidence;
use rstproof_core::history::Kernel;
use rstproof_core::packet::Tap;
use rstproof_core::scenario::{Family, Network, Scenario, Step};
use rstproof_core::time::Timestamp;
use rstproof_core::verdict::{Judgement, Verdict, judge_on};

/// Lock held for reading by trials that may run concurrently, and for writing by a trial that starts a child.
static ALONE: RwLock<()> = RwLock::const_new(());

/// Runs trials one after the other on the thread that opened it.
pub struct Worker {
    settings: Settings,
    /// Kernel that runs the trials.
    kernel: Kernel,
    lab: Lab,
    loopback_bed: TestBed,
    /// Network for the next trial between hosts.
    hosts_bed: Option<HostsBed>,
    /// Scenario and family of a network that could not be built, with the reason.
    no_hosts: Option<(&'static str, Family, String)>,
    /// True if the worker's thread is bound to one CPU.
    stays_on_cpu: bool,
    /// Limit of the number of workers that have a network of hosts at the same time, if there is one.
    networks: Option<Arc<Semaphore>>,
    batch: TrialFrames,
    evidence: Evidence,
    host: HostWatch,
    /// Hash that the fence of the latest trial carried.
    commitment: Option<[u8; 32]>,
    buffer: Vec<u8>,
}

/// Completed trial.
pub struct CompletedTrial<'a> {
    /// Evidence that the trial produced.
    pub evidence: &'a Evidence,
    /// Captured frames, if their bytes are kept.
    pub batch: &'a TrialFrames,
    /// Captures that the frames came from.
    pub taps: &'a Taps,
    /// Hash of the trial's calls, if its fence carried one.
    pub commitment: Option<[u8; 32]>,
    /// Judgement of the evidence.
    pub judgement: Judgement,
}

impl Worker {
    /// Enters the environment and opens the capture, then drops every privilege of this thread that trials do not
    /// need. `nth` distributes workers over CPUs.
    pub async fn open(settings: Settings, nth: usize) -> Result<Self, Error> {
        let stays = cpus::stay_on_one(nth);
        let lab = {
            // Loading a firewall starts a child.
            let _alone = ALONE.write().await;
            Lab::enter(settings.environment, settings.needs, settings.port).await?
        };
        let mut worker = Self::open_in(lab, settings)?;
        worker.stays_on_cpu = stays;
        if !stays {
            worker.loopback_bed.taps = worker.loopback_bed.taps.roaming();
        }
        Ok(worker)
    }

    /// Like [`open`](Self::open), in an environment that this thread has entered already.
    pub(crate) fn open_in(lab: Lab, settings: Settings) -> Result<Self, Error> {
        let host_sources = match settings.environment {
            Environment::Private => HostSources::open(),
            Environment::Host => HostSources::default(),
        };
        // Needs CAP_NET_RAW, so before privileges are dropped.
        let session = CaptureSession::open(&capture::Config {
            interface: settings.interface.clone(),
            filter: settings.filter.clone(),
            addresses: lab.addresses(),
            ports: ports(settings.port),
            small_ring: settings.small_ring,
            tap: Tap::Both,
            crossing: Vec::new(),
        })?;
        lab::drop_privileges(settings.privileges)?;
        let sources = TrialSources::new(&settings.sources, [host_sources], lab.addresses());
        Ok(Self {
            batch: TrialFrames::new(settings.privileges.saves_files),
            settings,
            lab,
            loopback_bed: TestBed {
                taps: Taps::one(session),
                sources,
                socket_sets: BTreeMap::new(),
                client_ports: random_client_ports()?,
                hosts: None,
                forgery: None,
            },
            hosts_bed: None,
            kernel: host::running_kernel(),
            no_hosts: None,
            stays_on_cpu: true,
            networks: None,
            evidence: Evidence::new(Evidence::NOWHERE, Evidence::NOWHERE, Timestamp::default()),
            host: HostWatch::open(),
            commitment: None,
            buffer: Vec::new(),
        })
    }

    /// Sets the decoy of later trials.
    pub fn set_decoy(&mut self, decoy: Option<Decoy>) {
        self.settings.decoy = decoy;
    }

    /// Returns the captures on loopback.
    #[must_use]
    pub fn taps(&self) -> &Taps {
        &self.loopback_bed.taps
    }

    /// Makes the worker acquire a permit for each network of hosts from now on.
    pub(crate) fn share_networks(&mut self, networks: Arc<Semaphore>) {
        self.networks = Some(networks);
    }

    /// Builds the network that a trial of this scenario needs, unless it is built already. Loading a firewall starts
    /// a child, so this is better done before other workers run trials.
    pub async fn prepare(&mut self, scenario: &Scenario, family: Family) -> Result<(), Error> {
        if self.is_ready_for(scenario, family) {
            return Ok(());
        }
        self.hosts_bed = None;
        let permit = match &self.networks {
            // The semaphore is never closed.
            Some(networks) => Arc::clone(networks).acquire_owned().await.ok(),
            None => None,
        };
        self.build(scenario, family, permit).await
    }

    /// Like [`prepare`](Self::prepare), but builds nothing if that means waiting for other workers, which may be
    /// waiting for this one.
    pub(crate) async fn prepare_ahead(
        &mut self,
        scenario: &Scenario,
        family: Family,
    ) -> Result<(), Error> {
        if self.is_ready_for(scenario, family) {
            return Ok(());
        }
        let permit = match &self.networks {
            Some(networks) => match Arc::clone(networks).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => return Ok(()),
            },
            None => None,
        };
        self.build(scenario, family, permit).await
    }

    /// Returns true if a network for a trial of this scenario is ready, or none is needed.
    fn is_ready_for(&self, scenario: &Scenario, family: Family) -> bool {
        let is_for_it =
            |bed: &HostsBed| bed.scenario == scenario.id && bed.family == family && !bed.is_used;
        scenario.network == Network::Loopback || self.hosts_bed.as_ref().is_some_and(is_for_it)
    }

    async fn build(
        &mut self,
        scenario: &Scenario,
        family: Family,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Error> {
        let _alone = if scenario.needs().firewall {
            Some(ALONE.write().await)
        } else {
            None
        };
        self.no_hosts = None;
        match TestBed::between_hosts(&self.settings, scenario, family)? {
            Ok(mut bed) => {
                if !self.stays_on_cpu {
                    bed.taps = bed.taps.roaming();
                }
                self.hosts_bed = Some(HostsBed {
                    scenario: scenario.id,
                    family,
                    bed,
                    is_used: false,
                    _permit: permit,
                });
            }
            Err(mut why) => {
                let state = self.host.read();
                if state.is_short_of_memory() {
                    why = format!("{why}; {state}");
                }
                self.no_hosts = Some((scenario.id, family, why));
            }
        }
        Ok(())
    }

    /// Returns the reason why trials of this scenario over this family cannot run here; `None` if they can.
    #[must_use]
    pub fn cannot_run(&self, scenario: &Scenario, family: Family) -> Option<String> {
        if let Err(why) = self.lab.ends(family) {
            return Some(format!("no {}: {why}", family.proper_name()));
        }
        if scenario.multipath
            && let Some(why) = runner::no_multipath(family)
        {
            return Some(format!("no Multipath TCP: {why}"));
        }
        if let Some((id, of, why)) = &self.no_hosts
            && (*id, *of) == (scenario.id, family)
        {
            return Some(why.clone());
        }
        // On one CPU, a thread that runs knows that the other one sleeps in its call; on two, the call may not have
        // blocked yet.
        let begins = |step: &Step| matches!(step, Step::Begin(..));
        if !self.stays_on_cpu && scenario.steps.iter().any(begins) {
            return Some(
                "it has a blocking call, which needs threads on one CPU, but sched_setaffinity() is not permitted"
                    .to_owned(),
            );
        }
        self.lab.lacks(scenario, family)
    }

    /// Clears the reason why a network could not be built, so that the next trial tries again.
    pub(crate) fn forget_obstacles(&mut self) {
        self.no_hosts = None;
    }

    /// Runs one trial and judges it.
    pub async fn run(
        &mut self,
        scenario: &Scenario,
        family: Family,
    ) -> Result<CompletedTrial<'_>, Error> {
        self.prepare(scenario, family).await?;
        if scenario.network != Network::Loopback
            && let Some((_, _, why)) = &self.no_hosts
        {
            // Without its hosts the scenario cannot be run.
            return Err(Error::lab("join hosts", why));
        }
        // A new child has a copy of every descriptor of the process for a moment, and what another trial closes
        // meanwhile is not really closed.
        if scenario.has_child() {
            let _alone = ALONE.write().await;
            self.run_trial(scenario, family).await?;
        } else {
            let _among_others = ALONE.read().await;
            self.run_trial(scenario, family).await?;
        }
        let judgement = judge_on(self.kernel, scenario, &self.evidence);
        if judgement.verdict != Verdict::Confirmed {
            // State may be left, perhaps in the listener's queue, so the next trial gets a new socket set.
            if let Some(socket_set) = self.loopback_bed.socket_sets.remove(&family) {
                let port = socket_set.next_client_port();
                self.loopback_bed.client_ports.insert(family, port);
            }
        }
        let taps = match &self.hosts_bed {
            Some(hosts_bed) if scenario.network != Network::Loopback => &hosts_bed.bed.taps,
            _ => &self.loopback_bed.taps,
        };
        Ok(CompletedTrial {
            evidence: &self.evidence,
            batch: &self.batch,
            taps,
            commitment: self.commitment,
            judgement,
        })
    }

    /// Runs one trial and leaves its evidence in this worker.
    async fn run_trial(&mut self, scenario: &Scenario, family: Family) -> Result<(), Error> {
        let bed = match &mut self.hosts_bed {
            Some(hosts_bed) if scenario.network != Network::Loopback => {
                hosts_bed.is_used = true;
                &mut hosts_bed.bed
            }
            _ => &mut self.loopback_bed,
        };
        let mut run = TrialRun {
            scenario,
            family,
            settings: &self.settings,
            lab: &self.lab,
            bed,
            batch: &mut self.batch,
            evidence: &mut self.evidence,
            host: &mut self.host,
        };
        let mut prepared = run.setup(&mut self.buffer)?;
        let script_ended = run.play(&mut prepared).await?;
        let drained = run.drain(&prepared).await?;
        self.commitment = drained.commitment;
        run.collect(&prepared, script_ended, drained)?;
        run.teardown(prepared)
    }
}

/// Returns random first client ports. Another run in another network namespace may have the same addresses, and the
/// kernel trace does not distinguish namespaces; random ports make it unlikely that both use the same one at once.
fn random_client_ports() -> Result<BTreeMap<Family, u16>, Error> {
    let of = |family: Family| {
        let random =
            getrandom::u32().map_err(|error| Error::lab("choose a client port", &error))?;
        Ok((family, runner::client_port(random)))
    };
    [Family::Ipv4, Family::Ipv6].into_iter().map(of).collect()
}
