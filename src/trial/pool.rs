//! Runs many trials on several workers, each a thread with its own namespace, capture and sockets.
//!
//! Trials that wait for timers, and those between hosts, run concurrently, one per worker, after all others: they
//! need no CPU, but would delay trials that need to be alone for a moment.
//!
//! Workers take chunks of trials from a shared queue and send the results over a bounded channel, several trials at a
//! time: waking the receiver for each would cost more than the trial. When asked to stop, a worker finishes its
//! current trial and sends the results that it has.

mod address_space;
mod file_limit;
mod limit;
mod queue;
mod work;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

use self::address_space::address_space;
use self::file_limit::open_files;
pub(crate) use self::file_limit::runtime;
use self::queue::Queue;
use self::work::{unplayed, work};
use super::Settings;
use super::stall::StallWatch;
use crate::archive::save::Archive;
use crate::error::Error;
use crate::lab::{Environment, RetainedPrivileges};
use crate::sources::host;
use rstproof_core::report::TrialReport;
use rstproof_core::scenario::{Family, Network, Scenario};
use rstproof_core::verdict::Verdict;

/// Run of trials: scenarios, repetitions and workers.
#[derive(Clone, Debug)]
pub(crate) struct RunPlan {
    /// Settings of all trials.
    pub settings: Settings,
    /// Scenarios with the family to run them over, in order.
    pub pairs: Vec<(&'static Scenario, Family)>,
    /// Number of repetitions of each pair.
    pub repeat: u32,
    /// Maximum number of workers for fast trials.
    pub jobs: usize,
    /// True if the report of every trial is needed; otherwise only of trials that were not confirmed.
    pub every_report: bool,
    /// Archive to save trials in.
    pub archive: Option<Archive>,
}

impl RunPlan {
    /// Returns the pairs of scenarios and families that can be run, ordered by scenario, then by family.
    #[must_use]
    pub(crate) fn pairs_of(
        scenarios: &[&'static Scenario],
        families: &[Family],
    ) -> Vec<(&'static Scenario, Family)> {
        let of = |scenario: &&'static Scenario| {
            let scenario = *scenario;
            let wanted = families.iter().copied();
            wanted
                .filter(|family| scenario.families.contains(family))
                .map(move |family| (scenario, family))
        };
        scenarios.iter().flat_map(of).collect()
    }

    /// Returns the number of trials.
    #[must_use]
    pub(crate) fn trials(&self) -> u64 {
        self.pairs.len() as u64 * u64::from(self.repeat)
    }
}

/// Trial that has ended.
#[derive(Debug)]
pub(crate) struct FinishedTrial {
    /// Scenario of the trial.
    pub scenario: &'static Scenario,
    /// Address family of the trial.
    pub family: Family,
    /// Verdict; `None` if the trial was skipped.
    pub verdict: Option<Verdict>,
    /// Report, if needed.
    pub report: Option<Box<TrialReport>>,
    /// Report in the form in which it was saved, if it was.
    pub text: Option<Vec<u8>>,
}

/// Event sent by a worker.
#[derive(Debug)]
pub(crate) enum PoolEvent {
    /// A capture was opened.
    Opened {
        /// Interface name.
        interface: String,
        /// BPF filter in force.
        filter: String,
    },
    /// Trials have ended.
    Finished(Vec<FinishedTrial>),
    /// A worker failed, and all workers stop.
    Failed(Error),
    /// A worker has finished.
    Closed {
        /// Number of frames that its captures dropped.
        dropped: u64,
    },
}

/// Number of trials that a worker takes from the queue, and reports, at a time.
const CHUNK_TRIALS: u64 = 64;

/// Maximum number of concurrent trials that wait for timers; each has a namespace and a capture of its own.
const MAX_SLOW_WORKERS: u64 = 48;

/// Time after which ended trials are reported even if the chunk is not complete.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);

/// Capacity of the channel, in messages; bounds memory if the receiver is slower than the workers.
const CHANNEL_CAPACITY: usize = 16;

/// Pool of running workers.
pub(crate) struct Pool {
    /// Trials of workers that could not be started.
    unplayed: Vec<FinishedTrial>,
    events: mpsc::Receiver<PoolEvent>,
    shared: Arc<PoolState>,
    _stall_watch: Option<StallWatch>,
}

struct PoolState {
    plan: RunPlan,
    fast: Queue,
    slow: Queue,
    stop: AtomicBool,
    /// Permits for networks of hosts, one for each that may exist at the same time.
    networks: Arc<Semaphore>,
}

impl PoolState {
    fn queue(&self, kind: &WorkerKind) -> &Queue {
        match kind {
            WorkerKind::Fast { .. } => &self.fast,
            WorkerKind::Slow { .. } => &self.slow,
        }
    }

    /// Unregisters a worker that lacks files or threads from this queue. Returns what becomes of its trials.
    fn leave(&self, queue: &Queue, error: &Error) -> Orphaned {
        if !queue.is_left_by_last() {
            return Orphaned::TakenOver;
        }
        let mut queues = [&self.fast, &self.slow].into_iter();
        if queues.any(Queue::has_workers) {
            Orphaned::Unplayed(all_unplayed(queue, error))
        } else {
            Orphaned::NoWorkerLeft
        }
    }
}

/// Outcome for the trials of a worker that cannot run.
enum Orphaned {
    /// Other workers of the queue run them.
    TakenOver,
    /// No worker runs them, but other workers run other trials.
    Unplayed(Vec<FinishedTrial>),
    /// No worker is left.
    NoWorkerLeft,
}

/// Token that delays trials that wait for timers: held by workers of fast trials, and by workers that are not ready
/// yet.
type Pass = watch::Sender<()>;

/// Kind of trials that a worker runs.
enum WorkerKind {
    /// Trials that do not wait for timers.
    Fast { _pass: Pass },
    /// Trials that wait for timers, started once no pass is held any more.
    Slow {
        pass: Pass,
        gate: watch::Receiver<()>,
    },
}

impl Pool {
    /// Starts the workers. Fails if there are too few file descriptors, too little address space, or no worker could be
    /// started.
    pub(crate) fn start(mut plan: RunPlan) -> Result<Self, Error> {
        let files = open_files();
        let memory = address_space();
        // Before workers exist: their namespaces do not have these limits.
        host::read_host_limits();
        // The same as the thread that starts this one: saving files needs them.
        let stall_watch = StallWatch::start(RetainedPrivileges {
            administers: false,
            makes_networks: false,
            ..plan.settings.privileges
        });
        plan.settings.stalls = stall_watch.as_ref().map(StallWatch::stalls);
        // All trials on the host's own loopback share it, so a single worker takes them in order.
        let apart = plan.settings.environment == Environment::Private;
        let is_slow = |(scenario, _): &(&Scenario, Family)| {
            apart && (scenario.slow || scenario.network != Network::Loopback)
        };
        let (slow, fast): (Vec<_>, Vec<_>) = plan.pairs.iter().copied().partition(is_slow);
        let fast = Queue::new(fast, plan.repeat, CHUNK_TRIALS);
        // One at a time, so that slow trials spread over all workers.
        let slow = Queue::new(slow, plan.repeat, 1);
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let fast_workers = plan.jobs.min(count(fast.trials().div_ceil(CHUNK_TRIALS)));
        let slow_workers = count(slow.trials().min(MAX_SLOW_WORKERS));
        let are_between_hosts =
            |(scenario, _): &(&Scenario, _)| scenario.network != Network::Loopback;
        let hosts = plan.pairs.iter().any(are_between_hosts);
        let share = files
            .share(fast_workers, slow_workers, hosts)?
            .and(memory.share(fast_workers, slow_workers, hosts)?);
        let (fast_workers, slow_workers) = (share.fast, share.slow);
        fast.register(fast_workers);
        slow.register(slow_workers);
        let (sender, events) = mpsc::channel(CHANNEL_CAPACITY);
        let (pass, gate) = watch::channel(());
        let shared = Arc::new(PoolState {
            plan,
            fast,
            slow,
            stop: AtomicBool::new(false),
            networks: Arc::new(Semaphore::new(share.networks)),
        });
        let mut unplayed = Vec::new();
        for nth in 0..fast_workers + slow_workers {
            let (own, sender) = (Arc::clone(&shared), sender.clone());
            let pass = pass.clone();
            let kind = if nth < fast_workers {
                WorkerKind::Fast { _pass: pass }
            } else {
                let gate = gate.clone();
                WorkerKind::Slow { pass, gate }
            };
            let queue = shared.queue(&kind);
            let started = thread::Builder::new()
                .name(format!("capture-{nth}"))
                .spawn(move || work(&own, nth, kind, &sender));
            if let Err(error) = started {
                let error = Error::start("start a worker", &error);
                match shared.leave(queue, &error) {
                    Orphaned::TakenOver => {}
                    Orphaned::Unplayed(done) => unplayed.extend(done),
                    Orphaned::NoWorkerLeft => return Err(error),
                }
            }
        }
        Ok(Self {
            unplayed,
            events,
            shared,
            _stall_watch: stall_watch,
        })
    }

    /// Returns the next event of a worker; `None` when all workers have ended.
    pub(crate) async fn next(&mut self) -> Option<PoolEvent> {
        if !self.unplayed.is_empty() {
            return Some(PoolEvent::Finished(mem::take(&mut self.unplayed)));
        }
        self.events.recv().await
    }

    /// Asks all workers to end after their current trial.
    pub(crate) fn stop(&self) {
        // Relaxed: seen late, it costs one more trial at most.
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Takes the rest of a queue that has no workers, as trials that were not run.
fn all_unplayed(queue: &Queue, error: &Error) -> Vec<FinishedTrial> {
    let chunks = std::iter::from_fn(|| queue.take()).flatten();
    let trials = chunks.filter_map(|index| queue.trial(index));
    trials
        .map(|(scenario, family, run)| unplayed(scenario, family, run, error))
        .collect()
}
