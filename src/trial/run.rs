//! One trial, from the first setting to the last socket, in five phases.
//!
//! 1. **Setup** applies settings and creates the sockets. Nothing has been sent yet.
//! 2. **Play** runs the script.
//! 3. **Drain** marks the end of the trial on the wire with a fence and takes all frames up to it.
//! 4. **Collect** reads the other sources, before anything else happens that they would show.
//! 5. **Teardown** closes the sockets. Their segments belong to no trial.
//!
//! A phase that fails ends the trial. [`PreparedTrial`] then closes the sockets and restores the settings when it is
//! dropped, and the listeners are not used again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::forge::{self, flow_of};
use super::script::ScriptRunner;
use super::settings::Settings;
use super::stall::Stalls;
use super::test_bed::TestBed;
use crate::archive;
use crate::capture::TrialFrames;
use crate::clock;
use crate::clock::ClockCheck;
use crate::error::Error;
use crate::lab::forgery::Forgery;
use crate::lab::{Lab, sysctl};
use crate::runner::Runner;
use crate::sources::HostReadings;
use crate::sources::host::HostWatch;
use crate::sources::trace::EventFilter;
use rstproof_core::evidence::{Completeness, Evidence, Fence, StepTimes};
use rstproof_core::flow::Flow;
use rstproof_core::kernel::host::HostState;
use rstproof_core::scenario::{Family, Network, Role, Scenario};
use rstproof_core::time::Timestamp;

/// Shortest timer of TCP: two ticks (`TCP_TIMEOUT_MIN`) of a clock with at most 1,000 ticks a second. No timer
/// expires in a trial that takes less.
const SHORTEST_TIMER: Duration = Duration::from_millis(2);

/// Trial that is being run, with the parts of its worker that it uses.
pub(super) struct TrialRun<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) family: Family,
    pub(super) settings: &'a Settings,
    pub(super) lab: &'a Lab,
    pub(super) bed: &'a mut TestBed,
    pub(super) batch: &'a mut TrialFrames,
    pub(super) evidence: &'a mut Evidence,
    pub(super) host: &'a mut HostWatch,
}

/// Sockets that are ready for the script, and the state of clocks just before it. Fields are dropped in this order.
pub(super) struct PreparedTrial<'a> {
    runner: Runner<'a>,
    clocks: ClockCheck,
    began: Timestamp,
    started: Instant,
    /// Number of overflows of the neighbour tables before the trial, if it is between hosts.
    overflows: Option<u64>,
    _settings: sysctl::Changed,
}

/// End of a trial on the wire.
pub(super) struct Drained {
    /// Hash of the trial's calls that the fence carries, if it does.
    pub(super) commitment: Option<[u8; 32]>,
    fence: Fence,
    fence_seen: bool,
    /// End of the trial and the readings of the hosts up to it, if its network had to be restored before the fence.
    cut: Option<(Timestamp, HostReadings)>,
}

impl<'a> TrialRun<'a> {
    /// Applies the scenario's settings, creates the sockets, and starts counting and capturing.
    pub(super) fn setup(&mut self, buffer: &'a mut Vec<u8>) -> Result<PreparedTrial<'a>, Error> {
        // Before the socket set: listeners read some settings when they start to listen.
        let settings = self.bed.change_settings(self.scenario)?;
        let runner = self.open_sockets(buffer)?;
        self.bed.sources.begin()?;
        self.host.begin();
        let overflows = self.bed.neighbour_table_overflows();
        let clocks = ClockCheck::sample()?;
        let began = clock::now()?;
        let started = Instant::now();
        self.batch.begin(began);
        Ok(PreparedTrial {
            runner,
            clocks,
            began,
            started,
            overflows,
            _settings: settings,
        })
    }

    /// Creates the sockets of the trial. Clears what the previous trial has left, after its listeners are taken.
    fn open_sockets(&mut self, buffer: &'a mut Vec<u8>) -> Result<Runner<'a>, Error> {
        let port = self.settings.port;
        let socket_set = self.bed.take_socket_set(self.lab, self.family, port)?;
        // If this trial fails before its end, its ports are not used again.
        let ports = &mut self.bed.client_ports;
        ports.insert(self.family, socket_set.next_client_port());
        // Reuses the allocation; `begin` clears it.
        self.batch.packets = std::mem::take(&mut self.evidence.packets);
        self.evidence.calls.clear();
        self.evidence.steps.clear();
        let runner = Runner::ready(socket_set, self.scenario, &self.settings.program, buffer)?;
        ports.insert(self.family, runner.next_client_port());
        Ok(runner)
    }

    /// Runs the script. Returns the time at which it ended.
    pub(super) async fn play(
        &mut self,
        prepared: &mut PreparedTrial<'_>,
    ) -> Result<Timestamp, Error> {
        let mut script = ScriptRunner {
            scenario: self.scenario,
            family: self.family,
            settings: self.settings,
            runner: &mut prepared.runner,
            bed: self.bed,
            batch: self.batch,
            calls: &mut self.evidence.calls,
            steps: &mut self.evidence.steps,
            forgery: self.lab.forgery(),
            forged_after: Timestamp::default(),
        };
        script.run_script().await?;
        let ended = clock::now()?;
        (self.evidence.client, self.evidence.server) = prepared.runner.addresses();
        self.evidence.began = prepared.began;
        Ok(ended)
    }

    /// Sends the fence and takes all frames up to it. A network that the script has interrupted is restored for that.
    pub(super) async fn drain(&mut self, prepared: &PreparedTrial<'_>) -> Result<Drained, Error> {
        let commitment = self.commitment();
        let cut = self.bed.repair(self.batch)?;
        let may_have_timed = prepared.started.elapsed() >= SHORTEST_TIMER;
        let (fence, fence_seen) = self
            .bed
            .taps
            .drain_to_fence(self.batch, commitment.as_ref(), may_have_timed)
            .await?;
        Ok(Drained {
            commitment,
            fence,
            fence_seen,
            cut,
        })
    }

    /// Returns the hash of the calls, if fences carry it.
    fn commitment(&self) -> Option<[u8; 32]> {
        let recorder = self.settings.recorder.as_ref()?;
        let (id, interface) = (self.scenario.id, self.bed.taps.interface());
        Some(archive::calls_sha256(
            recorder,
            id,
            self.family,
            interface,
            self.evidence,
        ))
    }

    /// Completes the evidence with everything besides calls: counters, host state, packets, kernel trace. Comes before
    /// teardown, which changes the counters, too.
    pub(super) fn collect(
        &mut self,
        prepared: &PreparedTrial<'_>,
        script_ended: Timestamp,
        drained: Drained,
    ) -> Result<(), Error> {
        let (ended, readings) = drained.cut.unzip();
        let readings = match readings {
            Some(readings) => readings,
            None => self.bed.sources.read_hosts()?,
        };
        self.evidence.steps.push(StepTimes {
            step: self.scenario.steps.len(),
            began: script_ended,
            ended: ended.map_or_else(clock::now, Ok)?,
            shown: None,
            gave_up: false,
        });
        let stalls = self.settings.stalls.as_ref();
        let overflows = self.bed.neighbour_table_overflows().zip(prepared.overflows);
        let state = HostState {
            neighbour_table_overflows: overflows
                .map_or(0, |(after, before)| after.saturating_sub(before)),
            ..self.host.read()
        };
        self.evidence.host_state = state.may_matter().then_some(state);
        self.evidence.process_stall_ns = longest_stall_ns(stalls, prepared.started);
        let clock_step_ns = ClockCheck::sample()?.step_since(prepared.clocks);
        self.evidence.packets = std::mem::take(&mut self.batch.packets);
        let filter = EventFilter {
            client: self.evidence.client,
            server: self.evidence.server,
            began: prepared.began,
            fence: ended.or_else(|| self.evidence.fenced_at(&drained.fence)),
        };
        let sources = &self.bed.sources;
        sources.collect(readings, &filter, prepared.clocks, self.evidence)?;
        self.evidence.completeness = Completeness {
            fence_seen: drained.fence_seen,
            fence: Some(drained.fence),
            dropped: self.bed.taps.newly_dropped()?,
            filter_passes_all: lets_all_through(self.batch, self.evidence),
            clock_step_ns,
        };
        Ok(())
    }

    /// Ends what the kernel keeps of the connection, closes the trial's sockets, and restores the settings. The
    /// listeners on loopback are kept for the next trial.
    pub(super) fn teardown(&mut self, prepared: PreparedTrial<'_>) -> Result<(), Error> {
        let forgery = self.bed.forgery.as_ref().or(self.lab.forgery());
        if let (Some(forgery), Some(Role::Client)) = (forgery, self.scenario.raw) {
            let ends = prepared.runner.addresses();
            let flow = flow_of(ends, &self.evidence.packets);
            release(forgery, &flow, ends)?;
        }
        let socket_set = prepared.runner.tear_down();
        // A network of hosts is used for one trial only.
        if self.scenario.network == Network::Loopback {
            self.bed.socket_sets.insert(self.family, socket_set);
        }
        Ok(())
    }
}

/// Returns true if the user's filter hides no packet of the trial.
fn lets_all_through(batch: &TrialFrames, evidence: &Evidence) -> bool {
    let mut hidden = batch.hidden.iter();
    !hidden.any(|packet| evidence.concerns(packet))
}

/// Returns the longest time since the start of the trial for which this process did not run, in nanoseconds.
fn longest_stall_ns(stalls: Option<&Stalls>, began: Instant) -> u64 {
    let longest = stalls.map_or(Duration::ZERO, |stalls| stalls.longest_since(began));
    longest.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Sends an RST that ends what the server's kernel keeps of a connection to a client without a socket: a request, or
/// the remains of a closed socket. The kernel would otherwise retransmit to a port that is no longer in use, and a
/// later trial would count the answer.
fn release(forgery: &Forgery, flow: &Flow, ends: (SocketAddr, SocketAddr)) -> Result<(), Error> {
    let Some((bytes, to)) = forge::exact_reset(flow, ends) else {
        return Ok(());
    };
    let sent = forgery.send(&bytes, to);
    sent.map_err(|error| Error::io("send a forged packet", &error))
}
