//! Runs many trials on several workers, each a thread with its own namespace, capture and sockets.
//!
//! Trials that wait for timers, and those between hosts, run concurrently, one per worker, after all others: they
//! need no CPU, but would delay trials that need to be alone for a moment.
//!
//! Workers take chunks of trials from a shared queue and send the results over a bounded channel, several trials at a
//! time: waking the receiver for each would cost more than the trial. When asked to stop, a worker finishes its
//! current trial and sends the results that it has.

use std::io;
use std::mem;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};

use super::pulse::Pulse;
use super::{Settings, Trial, Worker};
use crate::archive::save::{Archive, Recording};
use crate::archive::stem;
use crate::capture::SNAPLEN;
use crate::error::Error;
use crate::lab::{Kept, Place};
use crate::sources::host;
use rstproof_core::report::{CaptureReport, TrialReport};
use rstproof_core::scenario::{Family, Network, Scenario};
use rstproof_core::verdict::{NOT_PLAYED, RESOURCE_EXHAUSTED, Verdict};

/// Run of trials: scenarios, repetitions and workers.
#[derive(Clone, Debug)]
pub struct Order {
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

impl Order {
    /// Returns the pairs of scenarios and families that can be run, ordered by scenario, then by family.
    #[must_use]
    pub fn pairs_of(
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
    pub fn trials(&self) -> u64 {
        self.pairs.len() as u64 * u64::from(self.repeat)
    }
}

/// Queue of trials, taken in order.
struct Queue {
    pairs: Vec<(&'static Scenario, Family)>,
    repeat: u32,
    next: AtomicU64,
    /// Number of trials that a worker takes at a time.
    chunk: u64,
    /// Number of workers that take from the queue, or may still start to.
    workers: AtomicUsize,
}

impl Queue {
    fn new(pairs: Vec<(&'static Scenario, Family)>, repeat: u32, chunk: u64) -> Self {
        let next = AtomicU64::new(0);
        Self {
            pairs,
            repeat,
            next,
            chunk,
            workers: AtomicUsize::new(0),
        }
    }

    /// Unregisters a worker. Returns true if it was the last one of this queue.
    fn is_left_by_last(&self) -> bool {
        self.workers.fetch_sub(1, Ordering::Relaxed) == 1
    }

    fn trials(&self) -> u64 {
        self.pairs.len() as u64 * u64::from(self.repeat)
    }

    /// Takes the indices of the next trials; `None` if all are taken.
    fn take(&self) -> Option<Range<u64>> {
        // Relaxed: the index is all that workers share through it.
        let first = self.next.fetch_add(self.chunk, Ordering::Relaxed);
        let end = (first + self.chunk).min(self.trials());
        (first < end).then_some(first..end)
    }

    /// Returns the trial with this index and its repetition, from 1: all repetitions of a pair follow each other.
    fn trial(&self, index: u64) -> Option<(&'static Scenario, Family, u32)> {
        let run = u32::try_from(index % u64::from(self.repeat)).ok()? + 1;
        let pair = usize::try_from(index / u64::from(self.repeat)).ok()?;
        let (scenario, family) = self.pairs.get(pair)?;
        Some((scenario, *family, run))
    }
}

/// Trial that has ended.
#[derive(Debug)]
pub struct Done {
    /// Scenario of the trial.
    pub scenario: &'static Scenario,
    /// Address family of the trial.
    pub family: Family,
    /// Number of the repetition, from 1.
    pub run: u32,
    /// Verdict; `None` if the trial was skipped.
    pub verdict: Option<Verdict>,
    /// Report, if needed.
    pub report: Option<Box<TrialReport>>,
    /// Report in the form in which it was saved, if it was.
    pub text: Option<Vec<u8>>,
}

/// Event sent by a worker.
#[derive(Debug)]
pub enum Event {
    /// A capture was opened.
    Opened {
        /// Interface name.
        interface: String,
        /// BPF filter in force.
        filter: String,
    },
    /// Trials have ended.
    Done(Vec<Done>),
    /// A worker failed, and all workers stop.
    Failed(Error),
    /// A worker has finished.
    Closed {
        /// Number of frames that its captures dropped.
        dropped: u64,
    },
}

/// Number of trials that a worker takes from the queue, and reports, at a time.
const CHUNK: u64 = 64;

/// Maximum number of concurrent trials that wait for timers; each has a namespace and a capture of its own.
const SIDE_BY_SIDE: u64 = 48;

/// Time after which ended trials are reported even if the chunk is not complete.
const SOON: Duration = Duration::from_millis(50);

/// Capacity of the channel, in messages; bounds memory if the receiver is slower than the workers.
const CHANNEL: usize = 16;

/// Pool of running workers.
pub struct Pool {
    /// Trials of workers that could not be started.
    unplayed: Vec<Done>,
    events: mpsc::Receiver<Event>,
    shared: Arc<Shared>,
    _pulse: Option<Pulse>,
}

struct Shared {
    order: Order,
    fast: Queue,
    slow: Queue,
    stop: AtomicBool,
    /// Permits for networks of hosts, one for each that may exist at the same time.
    networks: Arc<Semaphore>,
}

impl Shared {
    fn queue(&self, duty: &Duty) -> &Queue {
        match duty {
            Duty::Fast { .. } => &self.fast,
            Duty::Slow { .. } => &self.slow,
        }
    }

    /// Unregisters a worker that lacks files or threads from this queue. Returns what becomes of its trials.
    fn leave(&self, queue: &Queue, error: &Error) -> Left {
        if !queue.is_left_by_last() {
            return Left::ToOthers;
        }
        let mut queues = [&self.fast, &self.slow].into_iter();
        if queues.any(|queue| queue.workers.load(Ordering::Relaxed) > 0) {
            Left::Unplayed(all_unplayed(queue, error))
        } else {
            Left::Nobody
        }
    }
}

/// Outcome for the trials of a worker that cannot run.
enum Left {
    /// Other workers of the queue run them.
    ToOthers,
    /// No worker runs them, but other workers run other trials.
    Unplayed(Vec<Done>),
    /// No worker is left.
    Nobody,
}

/// Token that delays trials that wait for timers: held by workers of fast trials, and by workers that are not ready
/// yet.
type Pass = watch::Sender<()>;

/// Kind of trials that a worker runs.
enum Duty {
    /// Trials that do not wait for timers.
    Fast { _pass: Pass },
    /// Trials that wait for timers, started once no pass is held any more.
    Slow {
        pass: Pass,
        gate: watch::Receiver<()>,
    },
}

impl Pool {
    /// Starts the workers. Fails if there are too few file descriptors or no worker could be started.
    pub fn start(mut order: Order) -> Result<Self, Error> {
        let room = Room::of_process();
        // Before workers exist: their namespaces do not have these limits.
        host::read_host_limits();
        // The same as the thread that starts this one: saving files needs them.
        let pulse = Pulse::start(Kept {
            administers: false,
            makes_networks: false,
            ..order.settings.kept
        });
        order.settings.beats = pulse.as_ref().map(Pulse::beats);
        // All trials on the host's own loopback share it, so a single worker takes them in order.
        let apart = order.settings.place == Place::Private;
        let is_slow = |(scenario, _): &(&Scenario, Family)| {
            apart && (scenario.slow || scenario.network != Network::Loopback)
        };
        let (slow, fast): (Vec<_>, Vec<_>) = order.pairs.iter().copied().partition(is_slow);
        let fast = Queue::new(fast, order.repeat, CHUNK);
        // One at a time, so that slow trials spread over all workers.
        let slow = Queue::new(slow, order.repeat, 1);
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let fast_workers = order.jobs.min(count(fast.trials().div_ceil(CHUNK)));
        let slow_workers = count(slow.trials().min(SIDE_BY_SIDE));
        let are_between_hosts =
            |(scenario, _): &(&Scenario, _)| scenario.network != Network::Loopback;
        let hosts = order.pairs.iter().any(are_between_hosts);
        let share = room.share(fast_workers, slow_workers, hosts)?;
        let (fast_workers, slow_workers) = (share.fast, share.slow);
        fast.workers.store(fast_workers, Ordering::Relaxed);
        slow.workers.store(slow_workers, Ordering::Relaxed);
        let (sender, events) = mpsc::channel(CHANNEL);
        let (pass, gate) = watch::channel(());
        let shared = Arc::new(Shared {
            order,
            fast,
            slow,
            stop: AtomicBool::new(false),
            networks: Arc::new(Semaphore::new(share.networks)),
        });
        let mut unplayed = Vec::new();
        for nth in 0..fast_workers + slow_workers {
            let (own, sender) = (Arc::clone(&shared), sender.clone());
            let pass = pass.clone();
            let duty = if nth < fast_workers {
                Duty::Fast { _pass: pass }
            } else {
                let gate = gate.clone();
                Duty::Slow { pass, gate }
            };
            let queue = shared.queue(&duty);
            let started = thread::Builder::new()
                .name(format!("capture-{nth}"))
                .spawn(move || work(&own, nth, duty, &sender));
            if let Err(error) = started {
                let error = Error::start("start a worker", &error);
                match shared.leave(queue, &error) {
                    Left::ToOthers => {}
                    Left::Unplayed(done) => unplayed.extend(done),
                    Left::Nobody => return Err(error),
                }
            }
        }
        Ok(Self {
            unplayed,
            events,
            shared,
            _pulse: pulse,
        })
    }

    /// Returns the next event of a worker; `None` when all workers have ended.
    pub async fn next(&mut self) -> Option<Event> {
        if !self.unplayed.is_empty() {
            return Some(Event::Done(mem::take(&mut self.unplayed)));
        }
        self.events.recv().await
    }

    /// Asks all workers to end after their current trial.
    pub fn stop(&self) {
        // Relaxed: seen late, it costs one more trial at most.
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Number of files that a worker has open during a trial on loopback: namespace, capture, counters, listeners,
/// sockets. Measured: 14.
const OF_WORKER: usize = 18;

/// Number of additional files for the hosts of one trial. Measured: 17.
const OF_NETWORK: usize = 22;

/// Number of other files: saved evidence, and pipes to children.
const BESIDE: usize = 24;

/// Number of files that this process may open.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Maximum number of open files.
    limit: usize,
    /// Number of files that may still be opened.
    free: usize,
}

/// Number of workers that the file limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    fast: usize,
    slow: usize,
    /// Maximum number of networks of hosts at the same time.
    networks: usize,
}

impl Room {
    /// Raises the soft limit of open files to the hard limit and counts the files that are open.
    fn of_process() -> Self {
        let unknown = Self {
            limit: usize::MAX,
            free: usize::MAX,
        };
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
            return unknown;
        };
        let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
        let limit = usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX);
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            limit,
            free: limit.saturating_sub(open + BESIDE),
        }
    }

    /// Returns how many of these workers can run concurrently. Fails if there is less room than one of each kind
    /// takes: the results would depend on files, not on connections.
    fn share(self, fast: usize, slow: usize, hosts: bool) -> Result<Share, Error> {
        let network = if hosts { OF_NETWORK } else { 0 };
        let least = (fast.min(1) + slow.min(1)) * OF_WORKER + network;
        let Some(left) = self.free.checked_sub(least) else {
            return Err(Error::Usage(format!(
                "this process may have {} files open at once, and trials take {} more; allow more with `ulimit -n 1024` (the hard limit as root, or with LimitNOFILE= or `docker run --ulimit nofile=1024`)",
                self.limit,
                least - self.free
            )));
        };
        // Fast trials come first: the slow ones wait for them.
        let more_fast = fast.saturating_sub(1).min(left / OF_WORKER);
        let left = left - more_fast * OF_WORKER;
        // Most slow trials have no hosts, so workers get three quarters of the room that is left.
        let for_workers = if hosts { left - left / 4 } else { left };
        let more_slow = slow.saturating_sub(1).min(for_workers / OF_WORKER);
        let left = left - more_slow * OF_WORKER;
        let slow = slow.min(1) + more_slow;
        Ok(Share {
            fast: fast.min(1) + more_fast,
            slow,
            networks: if hosts {
                (1 + left / OF_NETWORK).min(slow.max(1))
            } else {
                1
            },
        })
    }
}

/// Builds a runtime for one thread: each worker has one, and so has the thread that receives their events.
pub(crate) fn runtime() -> Result<Runtime, Error> {
    let built = find_room().and_then(|()| {
        Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
    });
    built.map_err(|error| Error::io("start an event loop", &error))
}

/// Makes sure that the first runtime of this process finds enough descriptors, and raises the limit if not. The runtime
/// opens a pair of sockets for signals, and panics if that fails (`OsExtraData::default` in tokio's `signal/unix.rs`).
fn find_room() -> io::Result<()> {
    static FOUND: AtomicBool = AtomicBool::new(false);
    // Six descriptors: the pair and a copy of one of them; an epoll instance, a copy of that, and an eventfd.
    let room = || -> io::Result<[_; 3]> {
        Ok([
            UnixStream::pair()?,
            UnixStream::pair()?,
            UnixStream::pair()?,
        ])
    };
    // Relaxed: a second check by another thread does no harm.
    if !FOUND.load(Ordering::Relaxed) {
        if room().is_err() {
            let _ = Room::of_process();
            room()?;
        }
        FOUND.store(true, Ordering::Relaxed);
    }
    Ok(())
}

fn work(shared: &Shared, nth: usize, duty: Duty, events: &mpsc::Sender<Event>) {
    // Signals are for the main thread: here they would end a call with EINTR, which would spoil the evidence.
    let blocked = SigSet::all()
        .thread_block()
        .map_err(|errno| Error::system("block signals in a worker", errno));
    let queue = shared.queue(&duty);
    let result = blocked
        .and_then(|()| runtime())
        .and_then(|runtime| runtime.block_on(run_trials(shared, nth, duty, events)));
    let Err(error) = result else { return };
    if error.is_limit() {
        match shared.leave(queue, &error) {
            Left::ToOthers => return,
            Left::Unplayed(done) => {
                let _ = events.blocking_send(Event::Done(done));
                return;
            }
            Left::Nobody => {}
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    let _ = events.blocking_send(Event::Failed(error));
}

/// Takes the rest of a queue that has no workers, as trials that were not run.
fn all_unplayed(queue: &Queue, error: &Error) -> Vec<Done> {
    let chunks = std::iter::from_fn(|| queue.take()).flatten();
    let trials = chunks.filter_map(|index| queue.trial(index));
    trials
        .map(|(scenario, family, run)| unplayed(scenario, family, run, error))
        .collect()
}

/// Runs trials until the queue is empty. A closed channel is a reason to stop, not an error.
async fn run_trials(
    shared: &Shared,
    nth: usize,
    duty: Duty,
    events: &mpsc::Sender<Event>,
) -> Result<(), Error> {
    let mut settings = shared.order.settings.clone();
    let queue = shared.queue(&duty);
    if let Duty::Slow { .. } = duty {
        settings.small_ring = true;
    } else {
        settings.kept.makes_networks = false;
    }
    let mut worker = Worker::open(settings, nth).await?;
    worker.share_networks(Arc::clone(&shared.networks));
    let opened = Event::Opened {
        interface: worker.taps().interface().to_owned(),
        filter: worker.taps().filter().to_owned(),
    };
    let mut outbox = Outbox {
        events,
        done: Vec::new(),
        sent: Instant::now(),
        listening: events.send(opened).await.is_ok(),
    };
    // Builds the network for the first trial before the others begin, because that takes time.
    let mut first = queue.take();
    if let Some((scenario, family, _)) = first.as_ref().and_then(|chunk| queue.trial(chunk.start))
        && worker.cannot_run(scenario, family).is_none()
    {
        match worker.prepare_ahead(scenario, family).await {
            // The trial itself tries again.
            Err(error) if !error.is_limit() => return Err(error),
            _ => {}
        }
    }
    let _pass = match duty {
        Duty::Fast { _pass: pass } => Some(pass),
        Duty::Slow { pass, mut gate } => {
            drop(pass);
            // changed() fails once all passes are dropped.
            while gate.changed().await.is_ok() {}
            None
        }
    };
    let mut counts = Counts::default();
    while outbox.listening && !shared.stop.load(Ordering::Relaxed) {
        let Some(chunk) = first.take().or_else(|| queue.take()) else {
            break;
        };
        let result = run_chunk(shared, queue, &mut worker, chunk, &mut outbox, &mut counts).await;
        outbox.send().await;
        result?;
    }
    let dropped = counts.dropped;
    let _ = events.send(Event::Closed { dropped }).await;
    Ok(())
}

/// Counts that a worker keeps over all its trials.
#[derive(Default)]
struct Counts {
    /// Number of frames that its captures dropped.
    dropped: u64,
    /// Number of consecutive trials that could not be run.
    in_a_row: u32,
}

/// Maximum number of consecutive trials that may fail to run, before the run ends with the error.
const MAX_IN_A_ROW: u32 = 20;

/// Trials that have ended and are not reported yet.
struct Outbox<'a> {
    events: &'a mpsc::Sender<Event>,
    done: Vec<Done>,
    sent: Instant,
    /// False once the receiver is gone.
    listening: bool,
}

impl Outbox<'_> {
    /// Reports the ended trials.
    async fn send(&mut self) {
        let done = std::mem::take(&mut self.done);
        if !done.is_empty() {
            self.listening &= self.events.send(Event::Done(done)).await.is_ok();
        }
        self.sent = Instant::now();
    }
}

async fn run_chunk(
    shared: &Shared,
    queue: &Queue,
    worker: &mut Worker,
    chunk: Range<u64>,
    outbox: &mut Outbox<'_>,
    Counts { dropped, in_a_row }: &mut Counts,
) -> Result<(), Error> {
    let order = &shared.order;
    for index in chunk {
        let Some((scenario, family, run)) = queue.trial(index) else {
            break;
        };
        if shared.stop.load(Ordering::Relaxed) || !outbox.listening {
            break;
        }
        let done = match run_one(order, worker, (scenario, family, run), dropped).await {
            // A limit that one trial met may not affect the next one.
            Err(error) if error.is_limit() => unplayed(scenario, family, run, &error),
            Err(error) if error.is_of_lab() && *in_a_row < MAX_IN_A_ROW => {
                *in_a_row += 1;
                unplayed(scenario, family, run, &error)
            }
            done => {
                *in_a_row = 0;
                done??
            }
        };
        outbox.done.push(done);
        if outbox.sent.elapsed() > SOON {
            outbox.send().await;
        }
    }
    Ok(())
}

/// Runs a trial and saves it, or skips it with the reason. The outer error comes from running it, the inner one from
/// saving it.
async fn run_one(
    order: &Order,
    worker: &mut Worker,
    (scenario, family, run): (&'static Scenario, Family, u32),
    dropped: &mut u64,
) -> Result<Result<Done, Error>, Error> {
    let mut missing = worker.cannot_run(scenario, family);
    if missing.is_none() {
        // Only an attempt shows if the network can be built.
        worker.prepare(scenario, family).await?;
        missing = worker.cannot_run(scenario, family);
    }
    if let Some(why) = missing {
        worker.forget_obstacles();
        return Ok(Ok(skipped(scenario, family, run, why)));
    }
    let trial = worker.run(scenario, family).await?;
    *dropped += trial.evidence.completeness.dropped;
    Ok(finished(order, scenario, family, run, &trial))
}

/// Returns the result of a trial that could not be completed, because a limit was reached or its setup failed.
fn unplayed(scenario: &'static Scenario, family: Family, run: u32, error: &Error) -> Done {
    let id = if error.is_limit() {
        RESOURCE_EXHAUSTED
    } else {
        NOT_PLAYED
    };
    let report = TrialReport::unplayed(scenario, family, run, (id, error.to_string()));
    Done {
        scenario,
        family,
        run,
        verdict: report.verdict,
        report: Some(Box::new(report)),
        text: None,
    }
}

fn skipped(scenario: &'static Scenario, family: Family, run: u32, why: String) -> Done {
    Done {
        scenario,
        family,
        run,
        verdict: None,
        report: Some(Box::new(TrialReport::skipped(scenario, family, run, why))),
        text: None,
    }
}

/// Saves the trial if there is an archive, and returns what the order asks for.
fn finished(
    order: &Order,
    scenario: &'static Scenario,
    family: Family,
    run: u32,
    trial: &Trial<'_>,
) -> Result<Done, Error> {
    let (evidence, judgement) = (trial.evidence, &trial.judgement);
    let verdict = judgement.verdict;
    let is_wanted = order.every_report || verdict != Verdict::Confirmed;
    let interface = trial.taps.interface();
    let mut report = (is_wanted || order.archive.is_some())
        .then(|| TrialReport::new(scenario, family, run, interface, evidence, judgement));
    let mut text = None;
    if let (Some(archive), Some(report)) = (&order.archive, &mut report) {
        let calls = trial
            .commitment
            .ok_or_else(|| Error::lab("save a trial", &"its fence carried no hash of its calls"))?;
        let recording = Recording {
            evidence,
            judgement,
            calls,
            capture: CaptureReport {
                interface: interface.to_owned(),
                filter: trial.taps.filter().to_owned(),
                dropped: evidence.completeness.dropped,
            },
            link: trial.taps.link(),
            snaplen: SNAPLEN,
            frames: trial.batch.frames(),
        };
        let stem = stem(scenario.id, family, (order.repeat > 1).then_some(run));
        text = Some(archive.save(&stem, recording, report)?);
    }
    Ok(Done {
        scenario,
        family,
        run,
        verdict: Some(verdict),
        report: report.filter(|_| is_wanted).map(Box::new),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(free: usize) -> Room {
        Room {
            limit: free + 40,
            free,
        }
    }

    #[test]
    fn with_room_enough_all_run_side_by_side() {
        let all = room(100_000).share(4, 48, true).unwrap();
        let expected = Share {
            fast: 4,
            slow: 48,
            networks: 48,
        };
        assert_eq!(all, expected);
    }

    /// Concurrent workers fit into every limit, and at least one of each kind runs.
    #[test]
    fn with_less_room_fewer_run_and_all_of_them_fit() {
        for free in 0..3000 {
            for (fast, slow, hosts) in [(2, 48, true), (2, 48, false), (8, 0, false), (0, 3, true)]
            {
                let Ok(share) = room(free).share(fast, slow, hosts) else {
                    assert!(free < 2 * OF_WORKER + OF_NETWORK, "{free}");
                    continue;
                };
                let networks = if hosts {
                    share.networks * OF_NETWORK
                } else {
                    0
                };
                assert!(
                    (share.fast + share.slow) * OF_WORKER + networks <= free,
                    "{free}: {share:?}"
                );
                assert_eq!(
                    (share.fast > 0, share.slow > 0),
                    (fast > 0, slow > 0),
                    "{free}"
                );
                assert!(share.networks > 0);
            }
        }
    }

    #[test]
    fn without_room_for_one_the_limit_is_named_with_what_fixes_it() {
        let error = room(10).share(2, 0, false).unwrap_err().to_string();
        assert!(
            error.contains("50 files") && error.contains("ulimit -n"),
            "{error}"
        );
    }
}
