//! One trial: act, drain, judge.
//!
//! A [`Worker`] has a place, a capture and two sockets of its own, all of it tied to one thread. It makes the calls of
//! a scenario, takes the frames that they caused out of the capture's ring up to a fence, and only then tears the
//! sockets down: what tear-down sends belongs to no trial.
//!
//! Calls and capture share the thread on purpose. The tap runs inside the sending system call, so when a call has
//! returned its frames are in the ring already, and whoever drains need not be woken for it: waking a thread for each
//! trial costs more than the trial.

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
use rstproof_core::kernel::event::{Moved, Trace};
use rstproof_core::packet::{Flags, Packet, Tap};
use rstproof_core::scenario::{
    Awaited, Change, Family, Needs, Network, Role, Scenario, Step, Target,
};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::Transcript;
use rstproof_core::verdict::{Judgement, Verdict, judge_on};

/// How trials are to be run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub place: Place,
    /// The interface to capture on.
    pub interface: String,
    /// A BPF filter of the user's own.
    pub filter: Option<String>,
    /// The port that servers listen on; the one after it stays closed.
    pub port: u16,
    /// What is done with the frames afterwards: if they are saved, their bytes are kept.
    pub kept: Kept,
    /// What there has to be beside a loopback interface, for the scenarios that are to be run.
    pub needs: Needs,
    /// Whether its capture needs no more room than one trial takes.
    pub small_ring: bool,
    /// Who records, if each trial's fence is to carry the hash of its calls ([`archive::recorder`]).
    pub recorder: Option<String>,
    /// The program that children are: this one.
    pub program: PathBuf,
    /// The kernel's trace, if it can be asked.
    pub trace: Option<Arc<trace::Session>>,
    /// What notices when the process does not run, if anything does.
    pub beats: Option<Beats>,
    /// What is put on the wire of each trial beside. It takes `needs.forgery`.
    pub decoy: Option<Decoy>,
}

/// A RST that has no part in a scenario, put on the wire to try the judge out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoy {
    /// What is wrong with it.
    pub kind: DecoyKind,
    /// In whose name it comes.
    pub from: Role,
    /// Before this step, or after the last one if there are fewer.
    pub before_step: usize,
}

/// What is wrong with a decoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoyKind {
    /// Its number is far from any that would be believed.
    WrongNumber,
    /// It is of a connection whose port is next to the real one's.
    Neighbour,
    /// Nothing but that a third host has sent it.
    Exact,
}

/// What takes less has no timer's doing in it: the shortest of TCP's is two ticks (`TCP_TIMEOUT_MIN`), of a clock that has no more
/// than 1,000 a second.
const SHORTEST_TIMER: Duration = Duration::from_millis(2);

/// The window of decoys, by which they can be told from all others.
pub const DECOY_WINDOW: u16 = 31_337;

impl Settings {
    /// The same with all that this scenario needs.
    #[must_use]
    pub fn for_scenario(mut self, scenario: &Scenario) -> Self {
        self.needs = Needs::of([scenario]);
        self.kept.administers = self.needs.administration;
        self.kept.makes_networks = self.needs.hosts;
        self
    }

    /// In a private namespace, on its `lo`, with servers on this port; nothing is saved, and nobody asks the trace.
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

/// Trials that may run side by side hold it for reading; one that starts a child, for writing.
static ALONE: RwLock<()> = RwLock::const_new(());

/// The running program, whatever has become of its file.
#[must_use]
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// Runs trials, one after the other, on the thread that opened it.
pub struct Worker {
    settings: Settings,
    /// What runs them.
    kernel: Kernel,
    lab: Lab,
    home: Site,
    /// Where the next trial between hosts is run.
    away: Option<Away>,
    /// There was to be one for this scenario and family, and this is why there is none.
    no_hosts: Option<(&'static str, Family, String)>,
    /// Whether its thread is bound to one CPU.
    stays_on_cpu: bool,
    /// What limits how many workers have networks of hosts at the same time, if anything does.
    networks: Option<Arc<Semaphore>>,
    batch: Batch,
    evidence: Evidence,
    host: HostWatch,
    /// What the fence of the latest trial carried.
    commitment: Option<[u8; 32]>,
    buffer: Vec<u8>,
}

/// A network of other hosts, built for one trial of one scenario.
struct Away {
    scenario: &'static str,
    family: Family,
    site: Site,
    is_used: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Where trials are run, and who sees them.
struct Site {
    taps: Taps,
    /// Of namespaces of their own, one a host: on a host's they move for others, too.
    counters: Vec<Meter>,
    trace: Option<Listener>,
    stages: BTreeMap<Family, Stage>,
    /// Where clients go on when a stage had to be given up.
    client_ports: BTreeMap<Family, u16>,
    /// Other hosts than this one.
    hosts: Option<Hosts>,
    /// What sends packets made by hand between them.
    forgery: Option<Forgery>,
}

impl Site {
    /// How a trial over this family finds its sockets.
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

    /// Takes its stage for this family, or sets one up.
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

    /// Builds a network of more hosts, with a capture at both ends. Or why there cannot be one for trials over this family.
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
        // Before there is a capture to see it.
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

    /// The server's host is another one now: what was looked at in the old one is looked at in that.
    fn follow_reboot(&mut self, settings: &Settings, batch: &mut Batch) -> Result<(), Error> {
        let (Some(hosts), Some(crossing)) = (&self.hosts, self.taps.crossing()) else {
            return Ok(());
        };
        let crossing = hosts.crossing_again(crossing)?;
        let destinations = crossing.destinations()?;
        let server = open_at(&hosts.server, Tap::Server, hosts, settings, &destinations)?;
        self.taps.replace_server(server, crossing, batch)?;
        // Of the old one it counts on: what it has counted belongs to the trial.
        if let Some(mut new) = hosts.server.run(|_| Meter::open().ok())? {
            new.begin().map_err(|error| uncounted(&error))?;
            self.counters.push(new);
        }
        Ok(())
    }

    /// Makes a way that was cut passable again. What it held up comes through then, and is not of the trial any more: when that
    /// ended, and by how much the counters had moved.
    fn repair(&mut self, batch: &mut Batch) -> Result<Option<(Timestamp, Option<Moved>)>, Error> {
        if !self.hosts.as_ref().is_some_and(Hosts::is_broken) {
            return Ok(None);
        }
        let at = clock::now()?;
        let cut = (at, self.counted()?);
        batch.end(at);
        self.hosts.as_mut().map_or(Ok(()), Hosts::repair)?;
        Ok(Some(cut))
    }

    /// Makes the settings of this scenario, for as long as what is returned lives; of hosts that end with it, for good.
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

    /// What the kernel's trace says; `None` if nobody asks it.
    fn events(&self, wanted: &Wanted, clocks: ClockCheck) -> Result<Option<Trace>, Error> {
        let taken = self.trace.as_ref().map(|it| it.take(wanted, clocks));
        taken
            .transpose()
            .map_err(|error| Error::io("read the kernel's trace events", &error))
    }

    /// By how much the counters of all hosts have moved together; `None` if nobody counts.
    fn counted(&mut self) -> Result<Option<Moved>, Error> {
        let mut all: Option<Moved> = None;
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

/// Opens the capture at one end of the way between hosts.
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

/// A trial that was run.
pub struct Trial<'a> {
    /// What it left behind.
    pub evidence: &'a Evidence,
    /// The frames, if their bytes are kept.
    pub batch: &'a Batch,
    /// The captures that they came from.
    pub taps: &'a Taps,
    /// The hash of its calls, if its fence carried that.
    pub commitment: Option<[u8; 32]>,
    /// What the judge says.
    pub judgement: Judgement,
}

impl Worker {
    /// Enters the place and opens the capture, then gives up every privilege that this thread has and its trials do not take.
    /// `nth` spreads workers over CPUs.
    pub async fn open(settings: Settings, nth: usize) -> Result<Self, Error> {
        let stays = cpus::stay_on_one(nth);
        let lab = {
            // Loading a firewall takes a child.
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

    /// The same in a place that this thread has entered already.
    pub(crate) fn open_in(lab: Lab, settings: Settings) -> Result<Self, Error> {
        let counters = match settings.place {
            Place::Private => Meter::open().ok(),
            Place::Host => None,
        };
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
                    filter_lets_all_through: true,
                    clock_step_ns: 0,
                },
                trace: None,
                counters: None,
                held_up_ns: 0,
                host_state: None,
                flaw: None,
            },
            host: HostWatch::open(),
            commitment: None,
            buffer: Vec::new(),
        })
    }

    /// Changes what is put on the wire of later trials.
    pub fn put_decoy(&mut self, decoy: Option<Decoy>) {
        self.settings.decoy = decoy;
    }

    /// Its captures on loopback.
    #[must_use]
    pub fn taps(&self) -> &Taps {
        &self.home.taps
    }

    /// Takes a permit for each network of hosts from now on.
    pub(crate) fn share_networks(&mut self, networks: Arc<Semaphore>) {
        self.networks = Some(networks);
    }

    /// Builds the network that a trial of this scenario needs, if it is not built yet. Loading a firewall takes a child, so it is
    /// better done before others are at work.
    pub async fn prepare(&mut self, scenario: &Scenario, family: Family) -> Result<(), Error> {
        if self.is_ready_for(scenario, family) {
            return Ok(());
        }
        self.away = None;
        let permit = match &self.networks {
            // It is never closed.
            Some(networks) => Arc::clone(networks).acquire_owned().await.ok(),
            None => None,
        };
        self.build(scenario, family, permit).await
    }

    /// The same, but nothing is built if that takes waiting for other workers, who may wait for this one.
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

    /// Whether there is a network for a trial of this scenario, or it needs none.
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

    /// Why trials of this scenario over this family cannot run here, if they cannot.
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
        // On one CPU, whoever goes on finds the other thread asleep; on two it may still be at its call.
        let begins = |step: &Step| matches!(step, Step::Begin(..));
        if !self.stays_on_cpu && scenario.steps.iter().any(begins) {
            return Some(
                "it has a call that blocks, which takes threads on one CPU, and sched_setaffinity() is not allowed here"
                    .to_owned(),
            );
        }
        self.lab.lacks(scenario, family)
    }

    /// Forgets why a network could not be built: the next trial tries again.
    pub(crate) fn forget_obstacles(&mut self) {
        self.no_hosts = None;
    }

    /// Runs one trial and judges it.
    pub async fn run(&mut self, scenario: &Scenario, family: Family) -> Result<Trial<'_>, Error> {
        self.prepare(scenario, family).await?;
        if scenario.network != Network::Loopback
            && let Some((_, _, why)) = &self.no_hosts
        {
            // It is no trial of that scenario without them.
            return Err(Error::lab("join hosts", why));
        }
        // A child that comes into being has a copy of every descriptor of the process for a moment, and what another
        // trial closes then is not closed.
        if scenario.has_child() {
            let _alone = ALONE.write().await;
            self.act(scenario, family).await?;
        } else {
            let _among_others = ALONE.read().await;
            self.act(scenario, family).await?;
        }
        let judgement = judge_on(self.kernel, scenario, &self.evidence);
        if judgement.verdict != Verdict::Confirmed {
            // Something of it may be left, in the listener's queue perhaps: the next trial gets a stage of its own.
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

    /// Makes the calls and gathers the evidence.
    async fn act(&mut self, scenario: &Scenario, family: Family) -> Result<(), Error> {
        // Where there are hosts, each is used for one trial, and what is changed there is gone with it.
        let between_hosts = scenario.network != Network::Loopback;
        let site = match &mut self.away {
            Some(away) if between_hosts => {
                away.is_used = true;
                &mut away.site
            }
            _ => &mut self.home,
        };
        // Listeners look at some of them when they begin to listen.
        let _settings = site.change_settings(scenario)?;
        let mut stage = site.take_stage(&self.lab, family, self.settings.port)?;
        // If this trial cannot be played to its end its ports are not used again.
        site.client_ports.insert(family, stage.next_client_port());
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
        // Tear-down moves them, too.
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
            filter_lets_all_through: lets_all_through(&self.batch, &self.evidence),
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

/// Where clients begin on a host's own loopback. Another run there, in another network namespace, has the same addresses, and the
/// kernel's trace does not tell the two apart; that both are at the same port at once is not likely then.
fn random_client_ports() -> Result<BTreeMap<Family, u16>, Error> {
    let of = |family: Family| {
        let random =
            getrandom::u32().map_err(|error| Error::lab("draw a client's port", &error))?;
        Ok((family, runner::client_port(random)))
    };
    [Family::Ipv4, Family::Ipv6].into_iter().map(of).collect()
}

/// Whether nothing of the trial is among what the user's filter hides.
fn lets_all_through(batch: &Batch, evidence: &Evidence) -> bool {
    let mut hidden = batch.hidden.iter();
    !hidden.any(|packet| evidence.concerns(packet))
}

/// Adds to the evidence what this host did meanwhile that may have changed the trial.
fn note_host_state(
    evidence: &mut Evidence,
    beats: Option<&Beats>,
    began: Instant,
    host: &mut HostWatch,
) {
    let held_up = beats.map_or(Duration::ZERO, |beats| beats.longest_since(began));
    evidence.held_up_ns = held_up.as_nanos().try_into().unwrap_or(u64::MAX);
    let state = host.read();
    evidence.host_state = state.may_matter().then_some(state);
}

/// The connection between these ends, client first.
fn flow_of((client, server): (SocketAddr, SocketAddr), packets: &[Packet]) -> Flow {
    let mut flow = Flow::new(client, server);
    for packet in packets {
        if let Packet::Tcp(segment) = packet {
            flow.observe(segment);
        }
    }
    flow
}

/// Ends what the server's kernel keeps of a connection to a client that has no socket: a request, or what is left of a socket
/// that was closed. It would send again what nobody acknowledges, to a port that belongs to nobody by then, and the answer
/// would be counted in a later trial.
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

/// A script being played.
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
    /// When a segment was last made by hand.
    forged_after: Timestamp,
}

impl Play<'_, '_> {
    /// Plays the script. A call that has no descriptor to be made on ends it early, and the judge will see what is
    /// missing.
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

    /// Makes a step that is no call.
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

    /// Sends a decoy if there is one that is due.
    fn deceive(&mut self, is_due: impl Fn(&Decoy) -> bool) -> Result<(), Error> {
        let Some(decoy) = self.settings.decoy.filter(is_due) else {
            return Ok(());
        };
        let flow = self.flow_so_far()?;
        let Some(packet) = forge::decoy(&flow, self.runner.addresses(), decoy) else {
            return Ok(());
        };
        // What a script waits for answers its own.
        let forged_after = self.forged_after;
        // Where a firewall or a broken link keeps it from the wire there is none.
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
            // What a filter hides cannot be waited for, and such a trial will not be confirmed anyway.
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
                // If it does not come the script goes on, and what is missing then, the judge will say.
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

    /// The connection as far as it is on the wire.
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

/// How a step that is no call ended.
struct Passed {
    /// When the segment that it waited for was captured.
    shown: Option<Timestamp>,
    /// Whether it waited in vain.
    gave_up: bool,
}

impl Passed {
    /// It waited for nothing.
    const DONE: Self = Self {
        shown: None,
        gave_up: false,
    };
}

/// Waits until the kernel keeps nothing of this end any more. It tells nobody when a timewait socket ends, so it is
/// asked again and again. Whether that came to pass within the bound.
async fn is_gone(runner: &Runner<'_>, role: Role) -> Result<bool, Error> {
    /// Between two looks.
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

/// What a script waits for, and the connection as far as it has been looked at.
struct Watch {
    flow: Flow,
    awaited: Awaited,
    /// What was sent before is no answer to what was made by hand.
    forged_after: Timestamp,
}

impl Watch {
    /// Takes in the next packet. When it was captured, if it is what is waited for.
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
            // Of an end that has no socket.
            Awaited::Acknowledged(role) => {
                let (una, nxt) = (self.flow.snd_una(role), self.flow.snd_nxt(role));
                una.is_some() && una == nxt
            }
            // The capture does not show these.
            Awaited::Gone(_) | Awaited::Dead(_) | Awaited::Established(_) | Awaited::Icmp => false,
            Awaited::ResetFrom(role) => observed
                .reset
                .is_some_and(|reset| reset.puts_error_on(role.peer()).is_some()),
        };
        is_it.then_some(segment.at)
    }
}
