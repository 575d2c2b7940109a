//! A single trial: run the script, drain the capture, judge.
//!
//! A [`Worker`] owns an environment, a capture and a pair of sockets, all bound to one thread. It makes the calls of
//! a scenario, takes the frames that they caused from the capture's ring up to a fence, and tears the sockets down
//! only then: segments of the tear-down belong to no trial.
//!
//! Calls and capture share the thread on purpose. The tap runs inside the sending system call, so when a call has
//! returned its frames are in the ring already and no draining thread has to be woken: a wake-up per trial costs more
//! than the trial.

mod forge;
pub mod pool;
pub mod pulse;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore};
use tokio::time::interval;

use self::pulse::Beats;
use crate::archive;
use crate::capture::{self, Batch, Session, Taps, cpus};
use crate::clock;
use crate::clock::ClockCheck;
use crate::error::Error;
use crate::host;
use crate::lab::forgery::Forgery;
use crate::lab::hosts::{Host, Hosts};
use crate::lab::ports::ports;
use crate::lab::{self, Kept, Lab, Place, sysctl};
use crate::runner::{self, Runner, Sites, Stage};
use crate::sources::counters::Meter;
use crate::sources::host::HostWatch;
use crate::sources::trace::{self, Listener, Wanted};
use rstproof_core::evidence::{Completeness, Evidence, StepTimes};
use rstproof_core::flow::Flow;
use rstproof_core::history::Kernel;
use rstproof_core::kernel::event::{CounterDelta, Trace};
use rstproof_core::packet::{Flags, Packet, Tap};
use rstproof_core::scenario::{
    Awaited, Change, Family, Needs, Network, Role, Scenario, Step, Target,
};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::Transcript;
use rstproof_core::verdict::{Judgement, Verdict, judge_on};

/// Settings that all trials of a worker share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Network environment of the trials.
    pub place: Place,
    /// Name of the interface to capture on.
    pub interface: String,
    /// BPF filter given by the user.
    pub filter: Option<String>,
    /// Port that servers listen on; the one after it stays closed.
    pub port: u16,
    /// Privileges that workers keep. If files are saved, the bytes of captured frames are kept for that.
    pub kept: Kept,
    /// Facilities, in addition to a loopback interface, that the scenarios need.
    pub needs: Needs,
    /// True if the capture ring needs room for one trial only.
    pub small_ring: bool,
    /// Name of the recorder, if each trial's fence carries the hash of its calls ([`archive::recorder`]).
    pub recorder: Option<String>,
    /// Path of the program that child processes run: this one.
    pub program: PathBuf,
    /// Session of the kernel trace, if available.
    pub trace: Option<Arc<trace::Session>>,
    /// Record of the pauses of this process, if it is kept.
    pub beats: Option<Beats>,
    /// Decoy that is sent in each trial. Requires `needs.forgery`.
    pub decoy: Option<Decoy>,
}

/// An RST that is not part of the scenario, sent to test the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoy {
    /// Property that makes it a decoy.
    pub kind: DecoyKind,
    /// End whose address the decoy carries as its source.
    pub from: Role,
    /// Index of the step before which the decoy is sent; after the last step if there are fewer.
    pub before_step: usize,
}

/// Property that distinguishes a decoy from an RST of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoyKind {
    /// The sequence number is far outside of any window.
    WrongNumber,
    /// The port is next to the one of the connection.
    Neighbour,
    /// The sender is a third host; the RST is acceptable in every other respect.
    Exact,
}

/// Shortest timer of TCP: two ticks (`TCP_TIMEOUT_MIN`) of a clock with at most 1,000 ticks a second. No timer
/// expires in a trial that takes less.
const SHORTEST_TIMER: Duration = Duration::from_millis(2);

/// Window of decoys, which distinguishes them from all other segments.
pub const DECOY_WINDOW: u16 = 31_337;

impl Settings {
    /// Returns these settings with everything that this scenario needs.
    #[must_use]
    pub fn for_scenario(mut self, scenario: &Scenario) -> Self {
        self.needs = Needs::of([scenario]);
        self.kept.administers = self.needs.administration;
        self.kept.makes_networks = self.needs.hosts;
        self
    }

    /// Returns settings for a private namespace, capturing on its `lo`, with servers on this port; saves nothing and
    /// uses no kernel trace.
    #[must_use]
    pub fn private(port: u16) -> Self {
        Self {
            place: Place::Private,
            interface: "lo".to_owned(),
            filter: None,
            port,
            kept: Kept::default(),
            needs: Needs::default(),
            small_ring: false,
            recorder: None,
            program: this_program(),
            trace: None,
            beats: None,
            decoy: None,
        }
    }
}

/// Lock held for reading by trials that may run concurrently, and for writing by a trial that starts a child.
static ALONE: RwLock<()> = RwLock::const_new(());

/// Returns the path of the running program, which works even if its file was replaced or removed.
#[must_use]
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// Runs trials one after the other on the thread that opened it.
pub struct Worker {
    settings: Settings,
    /// Kernel that runs the trials.
    kernel: Kernel,
    lab: Lab,
    home: Site,
    /// Network for the next trial between hosts.
    away: Option<Away>,
    /// Scenario and family of a network that could not be built, with the reason.
    no_hosts: Option<(&'static str, Family, String)>,
    /// True if the worker's thread is bound to one CPU.
    stays_on_cpu: bool,
    /// Limit of the number of workers that have a network of hosts at the same time, if there is one.
    networks: Option<Arc<Semaphore>>,
    batch: Batch,
    evidence: Evidence,
    host: HostWatch,
    /// Hash that the fence of the latest trial carried.
    commitment: Option<[u8; 32]>,
    buffer: Vec<u8>,
}

/// Network of hosts that is built for one trial of one scenario.
struct Away {
    scenario: &'static str,
    family: Family,
    site: Site,
    is_used: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Network that trials run in, with its captures, counters and trace listener.
struct Site {
    taps: Taps,
    /// Counters of private namespaces, one per host; none on the host's own network, where other connections change
    /// them, too.
    counters: Vec<Meter>,
    trace: Option<Listener>,
    stages: BTreeMap<Family, Stage>,
    /// First client port of the next stage, after one had to be given up.
    client_ports: BTreeMap<Family, u16>,
    /// Hosts other than this one.
    hosts: Option<Hosts>,
    /// Raw sockets that send forged packets between the hosts.
    forgery: Option<Forgery>,
}

impl Site {
    /// Returns the addresses and hosts that a trial over this family uses.
    fn sites(&self, lab: &Lab, family: Family) -> Result<Sites, Error> {
        if let Some(hosts) = &self.hosts {
            return Ok(Sites {
                client: hosts.address(false, family),
                server: hosts.address(true, family),
                nobody: Some(hosts.nobody(family)),
                hosts: Some([Arc::clone(&hosts.client), Arc::clone(&hosts.server)]),
            });
        }
        let ip = lab.address(family);
        let ip = ip.map_err(|why| Error::Usage(why.to_owned()))?;
        Ok(Sites::here(ip))
    }

    /// Takes the stage for this family, or sets one up.
    fn take_stage(&mut self, lab: &Lab, family: Family, port: u16) -> Result<Stage, Error> {
        if let Some(stage) = self.stages.remove(&family) {
            return Ok(stage);
        }
        let stage = Stage::set_up(self.sites(lab, family)?, port)?;
        Ok(match self.client_ports.remove(&family) {
            Some(client_port) => stage.going_on_from(client_port),
            None => stage,
        })
    }

    /// Builds a network of hosts with a capture at both ends. The inner error is the reason why there can be none for
    /// trials over this family.
    fn between_hosts(
        settings: &Settings,
        scenario: &Scenario,
        family: Family,
    ) -> Result<Result<Self, String>, Error> {
        let mut needs = scenario.needs();
        needs.forgery |= settings.decoy.is_some();
        let firewall = needs.firewall.then_some(settings.port);
        let hosts = match Hosts::build(scenario, firewall)? {
            Ok(hosts) => hosts,
            Err(why) => return Ok(Err(why)),
        };
        // Before there is a capture that would record the datagrams.
        if let Some(why) = hosts.lacks(scenario, family)? {
            return Ok(Err(why));
        }
        let crossing = hosts.crossing()?;
        let destinations = crossing.destinations()?;
        let open = |host: &Host, tap: Tap| open_at(host, tap, &hosts, settings, &destinations);
        let client = open(&hosts.client, Tap::Client)?;
        let server = open(&hosts.server, Tap::Server)?;
        let counters = [&hosts.client, &hosts.server].map(|host| host.run(|_| Meter::open().ok()));
        let [one, other] = counters;
        let trace = settings.trace.as_ref();
        Ok(Ok(Self {
            taps: Taps::two(client, server, crossing),
            counters: one?.into_iter().chain(other?).collect(),
            trace: trace.map(|session| session.listen(hosts.addresses())),
            stages: BTreeMap::new(),
            client_ports: BTreeMap::new(),
            forgery: if needs.forgery {
                Some(hosts.forgery()?)
            } else {
                None
            },
            hosts: Some(hosts),
        }))
    }

    /// Moves the capture and the counters to the new host after the server has rebooted.
    fn follow_reboot(&mut self, settings: &Settings, batch: &mut Batch) -> Result<(), Error> {
        let (Some(hosts), Some(crossing)) = (&self.hosts, self.taps.crossing()) else {
            return Ok(());
        };
        let crossing = hosts.crossing_again(crossing)?;
        let destinations = crossing.destinations()?;
        let server = open_at(&hosts.server, Tap::Server, hosts, settings, &destinations)?;
        self.taps.replace_server(server, crossing, batch)?;
        // The old host's counters stay open: their increases belong to the trial.
        if let Some(mut new) = hosts.server.run(|_| Meter::open().ok())? {
            new.begin().map_err(|error| uncounted(&error))?;
            self.counters.push(new);
        }
        Ok(())
    }

    /// Restores an interrupted network. Segments that were held up pass then and no longer belong to the trial.
    /// Returns the end of the trial and the counter increases up to it; `None` if nothing was interrupted.
    fn repair(
        &mut self,
        batch: &mut Batch,
    ) -> Result<Option<(Timestamp, Option<CounterDelta>)>, Error> {
        if !self.hosts.as_ref().is_some_and(Hosts::is_broken) {
            return Ok(None);
        }
        let at = clock::now()?;
        let cut = (at, self.counted()?);
        batch.end(at);
        self.hosts.as_mut().map_or(Ok(()), Hosts::repair)?;
        Ok(Some(cut))
    }

    /// Applies the settings of this scenario until the returned value is dropped; on the hosts of a network, for the
    /// rest of their lifetime.
    fn change_settings(&self, scenario: &Scenario) -> Result<sysctl::Changed, Error> {
        match &self.hosts {
            Some(hosts) => {
                hosts.change_settings(scenario.sysctls)?;
                Ok(sysctl::Changed::default())
            }
            None => sysctl::Changed::make(scenario.sysctls),
        }
    }

    fn begin_counting(&mut self) -> Result<(), Error> {
        for counters in &mut self.counters {
            counters.begin().map_err(|error| uncounted(&error))?;
        }
        Ok(())
    }

    /// Returns the events of the kernel trace; `None` if it is not used.
    fn events(&self, wanted: &Wanted, clocks: ClockCheck) -> Result<Option<Trace>, Error> {
        let taken = self.trace.as_ref().map(|it| it.take(wanted, clocks));
        taken
            .transpose()
            .map_err(|error| Error::io("read the kernel's trace events", &error))
    }

    /// Returns the counter increases of all hosts together; `None` if there are no counters.
    fn counted(&mut self) -> Result<Option<CounterDelta>, Error> {
        let mut all: Option<CounterDelta> = None;
        for counters in &mut self.counters {
            let moved = counters.moved().map_err(|error| uncounted(&error))?;
            all = Some(match all {
                Some(all) => all.and(&moved),
                None => moved,
            });
        }
        Ok(all)
    }
}

/// Opens the capture at one end of the network between hosts.
fn open_at(
    host: &Host,
    tap: Tap,
    hosts: &Hosts,
    settings: &Settings,
    destinations: &[std::net::SocketAddr],
) -> Result<Session, Error> {
    let config = capture::Config {
        interface: tap.interface().unwrap_or("lo").to_owned(),
        filter: settings.filter.clone(),
        addresses: hosts.addresses(),
        ports: ports(settings.port),
        small_ring: true,
        tap,
        crossing: destinations.to_vec(),
    };
    host.run(move |_| Session::open(&config))?
}

/// Completed trial.
pub struct Trial<'a> {
    /// Evidence that the trial produced.
    pub evidence: &'a Evidence,
    /// Captured frames, if their bytes are kept.
    pub batch: &'a Batch,
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
            Lab::enter(settings.place, settings.needs, settings.port).await?
        };
        let mut worker = Self::open_in(lab, settings)?;
        worker.stays_on_cpu = stays;
        if !stays {
            worker.home.taps = worker.home.taps.roaming();
        }
        Ok(worker)
    }

    /// Like [`open`](Self::open), in an environment that this thread has entered already.
    pub(crate) fn open_in(lab: Lab, settings: Settings) -> Result<Self, Error> {
        let counters = match settings.place {
            Place::Private => Meter::open().ok(),
            Place::Host => None,
        };
        // Needs CAP_NET_RAW, so before privileges are dropped.
        let session = Session::open(&capture::Config {
            interface: settings.interface.clone(),
            filter: settings.filter.clone(),
            addresses: lab.addresses(),
            ports: ports(settings.port),
            small_ring: settings.small_ring,
            tap: Tap::Both,
            crossing: Vec::new(),
        })?;
        lab::drop_privileges(settings.kept)?;
        let trace = settings.trace.as_ref();
        let trace = trace.map(|session| session.listen(lab.addresses()));
        let client_ports = match settings.place {
            Place::Private => BTreeMap::new(),
            Place::Host => random_client_ports()?,
        };
        let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        Ok(Self {
            batch: Batch::new(settings.kept.saves_files),
            settings,
            lab,
            home: Site {
                taps: Taps::one(session),
                counters: counters.into_iter().collect(),
                trace,
                stages: BTreeMap::new(),
                client_ports,
                hosts: None,
                forgery: None,
            },
            away: None,
            kernel: host::running_kernel(),
            no_hosts: None,
            stays_on_cpu: true,
            networks: None,
            evidence: Evidence {
                client: nowhere,
                server: nowhere,
                began: Timestamp::default(),
                calls: Vec::new(),
                steps: Vec::new(),
                packets: Vec::new(),
                completeness: Completeness {
                    fence_seen: false,
                    fence: None,
                    dropped: 0,
                    filter_passes_all: true,
                    clock_step_ns: 0,
                },
                trace: None,
                counters: None,
                process_stall_ns: 0,
                host_state: None,
                flaw: None,
            },
            host: HostWatch::open(),
            commitment: None,
            buffer: Vec::new(),
        })
    }

    /// Sets the decoy of later trials.
    pub fn put_decoy(&mut self, decoy: Option<Decoy>) {
        self.settings.decoy = decoy;
    }

    /// Returns the captures on loopback.
    #[must_use]
    pub fn taps(&self) -> &Taps {
        &self.home.taps
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
        self.away = None;
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
            |away: &Away| away.scenario == scenario.id && away.family == family && !away.is_used;
        scenario.network == Network::Loopback || self.away.as_ref().is_some_and(is_for_it)
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
        match Site::between_hosts(&self.settings, scenario, family)? {
            Ok(mut site) => {
                if !self.stays_on_cpu {
                    site.taps = site.taps.roaming();
                }
                self.away = Some(Away {
                    scenario: scenario.id,
                    family,
                    site,
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
        if let Err(why) = self.lab.address(family) {
            return Some(format!("no {} here: {why}", family.proper_name()));
        }
        if scenario.multipath
            && let Some(why) = runner::no_multipath(family)
        {
            return Some(format!("no Multipath TCP here: {why}"));
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
                "it has a call that blocks, which takes threads on one CPU, and sched_setaffinity() is not allowed here"
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
    pub async fn run(&mut self, scenario: &Scenario, family: Family) -> Result<Trial<'_>, Error> {
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
            self.act(scenario, family).await?;
        } else {
            let _among_others = ALONE.read().await;
            self.act(scenario, family).await?;
        }
        let judgement = judge_on(self.kernel, scenario, &self.evidence);
        if judgement.verdict != Verdict::Confirmed {
            // State may be left, perhaps in the listener's queue, so the next trial gets a new stage.
            if let Some(stage) = self.home.stages.remove(&family) {
                let port = stage.next_client_port();
                self.home.client_ports.insert(family, port);
            }
        }
        let taps = match &self.away {
            Some(away) if scenario.network != Network::Loopback => &away.site.taps,
            _ => &self.home.taps,
        };
        Ok(Trial {
            evidence: &self.evidence,
            batch: &self.batch,
            taps,
            commitment: self.commitment,
            judgement,
        })
    }

    /// Runs the script and collects the evidence.
    async fn act(&mut self, scenario: &Scenario, family: Family) -> Result<(), Error> {
        // A network of hosts is used for one trial, and its settings end with it.
        let between_hosts = scenario.network != Network::Loopback;
        let site = match &mut self.away {
            Some(away) if between_hosts => {
                away.is_used = true;
                &mut away.site
            }
            _ => &mut self.home,
        };
        // Before the stage: listeners read some settings when they start to listen.
        let _settings = site.change_settings(scenario)?;
        let mut stage = site.take_stage(&self.lab, family, self.settings.port)?;
        // If this trial fails before its end, its ports are not used again.
        site.client_ports.insert(family, stage.next_client_port());
        // Reuses the allocation; `begin` clears it.
        self.batch.packets = std::mem::take(&mut self.evidence.packets);
        self.evidence.calls.clear();
        self.evidence.steps.clear();

        let mut runner = Runner::ready(
            &mut stage,
            scenario,
            &self.settings.program,
            &mut self.buffer,
        )?;
        let (client, server) = runner.addresses();
        site.client_ports.insert(family, runner.next_client_port());
        site.begin_counting()?;
        self.host.begin();
        let clocks = ClockCheck::sample()?;
        let began = clock::now()?;
        let acted = Instant::now();
        self.batch.begin(began);
        let mut play = Play {
            scenario,
            family,
            settings: &self.settings,
            runner: &mut runner,
            site,
            batch: &mut self.batch,
            calls: &mut self.evidence.calls,
            steps: &mut self.evidence.steps,
            forgery: self.lab.forgery(),
            forged_after: Timestamp::default(),
        };
        play.perform().await?;
        let played = clock::now()?;
        self.evidence.client = client;
        self.evidence.server = server;
        self.evidence.began = began;
        self.commitment = self.settings.recorder.as_ref().map(|recorder| {
            let interface = site.taps.interface();
            archive::calls_sha256(recorder, scenario.id, family, interface, &self.evidence)
        });
        let cut = site.repair(&mut self.batch)?;
        let may_have_timed = acted.elapsed() >= SHORTEST_TIMER;
        let (fence, fence_seen) = site
            .taps
            .drain_to_fence(&mut self.batch, self.commitment.as_ref(), may_have_timed)
            .await?;
        // Before tear-down, which changes the counters, too.
        let (ended, counted) = cut.unzip();
        self.evidence.counters = match counted {
            Some(counted) => counted,
            None => site.counted()?,
        };
        self.evidence.steps.push(StepTimes {
            step: scenario.steps.len(),
            began: played,
            ended: ended.map_or_else(clock::now, Ok)?,
            shown: None,
            gave_up: false,
        });
        let beats = self.settings.beats.as_ref();
        note_host_state(&mut self.evidence, beats, acted, &mut self.host);
        let clock_step_ns = ClockCheck::sample()?.step_since(clocks);
        self.evidence.packets = std::mem::take(&mut self.batch.packets);
        let wanted = Wanted {
            client,
            server,
            began,
            fence: ended.or_else(|| self.evidence.fenced_at(&fence)),
        };
        self.evidence.trace = site.events(&wanted, clocks)?;
        self.evidence.completeness = Completeness {
            fence_seen,
            fence: Some(fence),
            dropped: site.taps.newly_dropped()?,
            filter_passes_all: lets_all_through(&self.batch, &self.evidence),
            clock_step_ns,
        };
        let forgery = site.forgery.as_ref().or(self.lab.forgery());
        if let (Some(forgery), Some(Role::Client)) = (forgery, scenario.raw) {
            let flow = flow_of((client, server), &self.evidence.packets);
            release(forgery, &flow, (client, server))?;
        }
        runner.tear_down();
        if !between_hosts {
            site.stages.insert(family, stage);
        }
        Ok(())
    }
}

/// Returns random first client ports for the host's own loopback. Another run in another network namespace has the
/// same addresses, and the kernel trace does not distinguish namespaces; random ports make it unlikely that both use
/// the same one at once.
fn random_client_ports() -> Result<BTreeMap<Family, u16>, Error> {
    let of = |family: Family| {
        let random =
            getrandom::u32().map_err(|error| Error::lab("draw a client's port", &error))?;
        Ok((family, runner::client_port(random)))
    };
    [Family::Ipv4, Family::Ipv6].into_iter().map(of).collect()
}

/// Returns true if the user's filter hides no packet of the trial.
fn lets_all_through(batch: &Batch, evidence: &Evidence) -> bool {
    let mut hidden = batch.hidden.iter();
    !hidden.any(|packet| evidence.concerns(packet))
}

/// Adds to the evidence the state and pauses of this host that may have affected the trial.
fn note_host_state(
    evidence: &mut Evidence,
    beats: Option<&Beats>,
    began: Instant,
    host: &mut HostWatch,
) {
    let held_up = beats.map_or(Duration::ZERO, |beats| beats.longest_since(began));
    evidence.process_stall_ns = held_up.as_nanos().try_into().unwrap_or(u64::MAX);
    let state = host.read();
    evidence.host_state = state.may_matter().then_some(state);
}

/// Returns the connection between these ends, client first, as far as the packets show it.
fn flow_of((client, server): (SocketAddr, SocketAddr), packets: &[Packet]) -> Flow {
    let mut flow = Flow::new(client, server);
    for packet in packets {
        if let Packet::Tcp(segment) = packet {
            flow.observe(segment);
        }
    }
    flow
}

/// Sends an RST that ends what the server's kernel keeps of a connection to a client without a socket: a request, or
/// the remains of a closed socket. The kernel would otherwise retransmit to a port that is no longer in use, and a
/// later trial would count the answer.
fn release(forgery: &Forgery, flow: &Flow, ends: (SocketAddr, SocketAddr)) -> Result<(), Error> {
    let Some((bytes, to)) = forge::exact_reset(flow, ends) else {
        return Ok(());
    };
    let sent = forgery.send(&bytes, to);
    sent.map_err(|error| Error::io("send a packet that was made by hand", &error))
}

fn uncounted(error: &std::io::Error) -> Error {
    Error::io("read the namespace's TCP counters", error)
}

/// Script that is being run.
struct Play<'a, 'b> {
    scenario: &'a Scenario,
    family: Family,
    settings: &'a Settings,
    runner: &'a mut Runner<'b>,
    site: &'a mut Site,
    batch: &'a mut Batch,
    calls: &'a mut Transcript,
    steps: &'a mut Vec<StepTimes>,
    forgery: Option<&'a Forgery>,
    /// Time just before the latest forged segment was sent.
    forged_after: Timestamp,
}

impl Play<'_, '_> {
    /// Runs the script. Ends it early at a call whose descriptor does not exist; the judge reports the missing steps.
    async fn perform(&mut self) -> Result<(), Error> {
        for (nth, step) in self.scenario.steps.iter().enumerate() {
            self.deceive(|decoy| decoy.before_step == nth)?;
            match *step {
                Step::Call(role, op, _) => {
                    let Some(call) = self.runner.call(role, op)? else {
                        return Ok(());
                    };
                    self.calls.push(call);
                }
                Step::Begin(role, op, _) => {
                    let Some(call) = self.runner.begin(role, op, self.calls.len())? else {
                        return Ok(());
                    };
                    self.calls.push(call);
                }
                Step::End(role) => {
                    let Some((nth, call)) = self.runner.end(role)? else {
                        return Ok(());
                    };
                    self.calls[nth] = call;
                }
                Step::Others(_)
                | Step::Await(_)
                | Step::Inject(_)
                | Step::InjectIcmp(_)
                | Step::Happens(_) => {
                    let began = clock::now()?;
                    let passed = self.pass(*step).await?;
                    self.steps.push(StepTimes {
                        step: nth,
                        began,
                        ended: clock::now()?,
                        shown: passed.shown,
                        gave_up: passed.gave_up,
                    });
                }
            }
        }
        let count = self.scenario.steps.len();
        self.deceive(|decoy| decoy.before_step >= count)
    }

    /// Runs a step that is no call.
    async fn pass(&mut self, step: Step) -> Result<Passed, Error> {
        match step {
            Step::Await(awaited) => return self.wait(awaited).await,
            Step::Others(count) => {
                let defers = matches!(self.scenario.target, Target::OwnListener(listening)
                    if listening.defer_accept.is_some());
                self.runner.others(count, defers)?;
            }
            Step::Inject(forged) => {
                let flow = self.flow_so_far()?;
                self.forge(forge::segment(&flow, self.runner.addresses(), forged))?;
            }
            Step::InjectIcmp(forged) => {
                let flow = self.flow_so_far()?;
                let ends = self.runner.addresses();
                self.forge(forge::icmp(&flow, ends, self.family, forged))?;
            }
            Step::Happens(change) => {
                self.site.taps.drain(self.batch)?;
                if let Some(hosts) = &mut self.site.hosts {
                    hosts.happens(change)?;
                }
                if change == Change::ServerReboots {
                    self.site.follow_reboot(self.settings, self.batch)?;
                }
            }
            Step::Call(..) | Step::Begin(..) | Step::End(_) => {}
        }
        Ok(Passed::DONE)
    }

    /// Sends the decoy, if there is one and it is due.
    fn deceive(&mut self, is_due: impl Fn(&Decoy) -> bool) -> Result<(), Error> {
        let Some(decoy) = self.settings.decoy.filter(is_due) else {
            return Ok(());
        };
        let flow = self.flow_so_far()?;
        let Some(packet) = forge::decoy(&flow, self.runner.addresses(), decoy) else {
            return Ok(());
        };
        // `AnswerFrom` concerns the script's own segments, so a decoy must not count.
        let forged_after = self.forged_after;
        // A firewall or a broken link may keep the decoy from the wire; the trial then has none.
        let _ = self.forge(Some(packet));
        self.forged_after = forged_after;
        Ok(())
    }

    async fn wait(&mut self, awaited: Awaited) -> Result<Passed, Error> {
        let gave_up = match awaited {
            Awaited::Dead(role) => !self.runner.dies(role)?,
            Awaited::Established(role) => !self.runner.is_established(role)?,
            Awaited::Acknowledged(role) if self.runner.has_socket(role) => {
                !self.runner.is_acknowledged(role)?
            }
            Awaited::Gone(role) => !is_gone(self.runner, role).await?,
            // A segment that the user's filter hides cannot be awaited, and the trial will not be confirmed anyway.
            _ if !self.batch.hidden.is_empty() => false,
            _ => {
                let (client, server) = self.runner.addresses();
                let forged_after = self.forged_after;
                let shown_at = Cell::new(None);
                let anew = || Watch {
                    flow: Flow::new(client, server),
                    awaited,
                    forged_after,
                };
                let is_it = |watch: &mut Watch, packet: &Packet| {
                    let at = watch.is_it(packet);
                    shown_at.set(at);
                    at.is_some()
                };
                // On a timeout the script goes on, and the judge reports what is missing.
                let shown = self
                    .site
                    .taps
                    .drain_until(self.batch, awaited.bound(), anew, is_it);
                let has_come = shown.await?;
                return Ok(Passed {
                    shown: shown_at.get().filter(|_| has_come),
                    gave_up: !has_come || !self.runner.settle(awaited)?,
                });
            }
        };
        Ok(Passed {
            shown: None,
            gave_up,
        })
    }

    /// Returns the connection as far as it has been captured.
    fn flow_so_far(&mut self) -> Result<Flow, Error> {
        self.site.taps.drain(self.batch)?;
        Ok(flow_of(self.runner.addresses(), &self.batch.packets))
    }

    fn forge(&mut self, packet: Option<(Vec<u8>, IpAddr)>) -> Result<(), Error> {
        self.forged_after = clock::now()?;
        let sent = match (self.site.forgery.as_ref().or(self.forgery), packet) {
            (Some(forgery), Some((bytes, to))) => forgery.send(&bytes, to),
            _ => Err(std::io::ErrorKind::Unsupported.into()),
        };
        sent.map_err(|error| Error::io("send a packet that was made by hand", &error))
    }
}

/// Result of a step that is no call.
struct Passed {
    /// Time at which the awaited segment was captured.
    shown: Option<Timestamp>,
    /// True if the step timed out.
    gave_up: bool,
}

impl Passed {
    /// Result of a step that waits for nothing.
    const DONE: Self = Self {
        shown: None,
        gave_up: false,
    };
}

/// Polls until the kernel keeps no state of this end any more: there is no notification when a timewait socket ends.
/// Returns false if the bound was exceeded.
async fn is_gone(runner: &Runner<'_>, role: Role) -> Result<bool, Error> {
    /// Interval between two polls.
    const PACE: Duration = Duration::from_millis(10);
    let mut looks = interval(PACE);
    let deadline = Instant::now() + Awaited::Gone(role).bound();
    while runner.is_kept(role)? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        looks.tick().await;
    }
    Ok(true)
}

/// Awaited segment, and the connection as far as it has been observed.
struct Watch {
    flow: Flow,
    awaited: Awaited,
    /// Time of the latest forged segment: no earlier segment is an answer to it.
    forged_after: Timestamp,
}

impl Watch {
    /// Observes the next packet. Returns its capture time if it is the awaited one.
    fn is_it(&mut self, packet: &Packet) -> Option<Timestamp> {
        let segment = match packet {
            Packet::Tcp(segment) => segment,
            Packet::Icmp(error) if self.awaited == Awaited::Icmp => {
                return self.flow.observe_icmp(error).map(|_| error.at);
            }
            _ => return None,
        };
        let observed = self.flow.observe(segment)?;
        let is_it = match self.awaited {
            Awaited::FinFrom(role) => observed.from == role && segment.flags.has(Flags::FIN),
            Awaited::FinAckedBy(role) => observed.from == role && observed.acknowledges_fin,
            Awaited::DataFrom(role) => observed.from == role && segment.payload_len > 0,
            Awaited::SynFrom(role) => observed.from == role && segment.flags.has(Flags::SYN),
            Awaited::AnswerFrom(role) => observed.from == role && segment.at >= self.forged_after,
            Awaited::AgainFrom(role) => self.flow.unanswered(role) > 0,
            // The end has no socket to ask.
            Awaited::Acknowledged(role) => {
                let (una, nxt) = (self.flow.snd_una(role), self.flow.snd_nxt(role));
                una.is_some() && una == nxt
            }
            // Captures do not show these events.
            Awaited::Gone(_) | Awaited::Dead(_) | Awaited::Established(_) | Awaited::Icmp => false,
            Awaited::ResetFrom(role) => observed
                .reset
                .is_some_and(|reset| reset.puts_error_on(role.peer()).is_some()),
        };
        is_it.then_some(segment.at)
    }
}
