//! Many trials on several workers, each a thread with a namespace, a capture and sockets of its own.
//!
//! Trials that wait for timers, and those between hosts of their own, are run side by side, one a worker, once the others are
//! through: they need no CPU, but they would hold up those that need to be alone for a moment.
//!
//! Workers take runs of trials from a common list and send what came of them over a bounded channel, some trials at a
//! time: waking the receiver for each would cost more than the trial. Asked to stop, a worker finishes the trial it is
//! at and sends what it has.

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

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Order {
    /// How.
    pub settings: Settings,
    /// Which scenarios, in this order, each over which families.
    pub pairs: Vec<(&'static Scenario, Family)>,
    /// How many times each.
    pub repeat: u32,
    /// By how many workers.
    pub jobs: usize,
    /// Whether each trial's report is wanted; else only of those that were not confirmed.
    pub every_report: bool,
    /// Where to save them.
    pub archive: Option<Archive>,
}

impl Order {
    /// Scenario by scenario, family by family: those over which it can be run at all.
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

    /// How many trials that makes.
    #[must_use]
    pub fn trials(&self) -> u64 {
        self.pairs.len() as u64 * u64::from(self.repeat)
    }
}

/// Trials that are handed out in this order.
struct Queue {
    pairs: Vec<(&'static Scenario, Family)>,
    repeat: u32,
    next: AtomicU64,
    /// How many a worker takes at a time.
    chunk: u64,
    /// Workers that take from it, or that may yet.
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

    /// A worker will not take from it. Whether it was the last one.
    fn is_left_by_last(&self) -> bool {
        self.workers.fetch_sub(1, Ordering::Relaxed) == 1
    }

    fn trials(&self) -> u64 {
        self.pairs.len() as u64 * u64::from(self.repeat)
    }

    /// The numbers of the trials that are next.
    fn take(&self) -> Option<Range<u64>> {
        let first = self.next.fetch_add(self.chunk, Ordering::Relaxed);
        let end = (first + self.chunk).min(self.trials());
        (first < end).then_some(first..end)
    }

    /// Trial number `index`: pair by pair, run by run.
    fn trial(&self, index: u64) -> Option<(&'static Scenario, Family, u32)> {
        let run = u32::try_from(index % u64::from(self.repeat)).ok()? + 1;
        let pair = usize::try_from(index / u64::from(self.repeat)).ok()?;
        let (scenario, family) = self.pairs.get(pair)?;
        Some((scenario, *family, run))
    }
}

/// A trial that has ended.
#[derive(Debug)]
pub struct Done {
    /// Its scenario.
    pub scenario: &'static Scenario,
    /// Its family.
    pub family: Family,
    /// Which repetition, from 1.
    pub run: u32,
    /// How it ended; `None` if it was skipped.
    pub verdict: Option<Verdict>,
    /// Its report, where one is wanted.
    pub report: Option<Box<TrialReport>>,
    /// That report as it was saved, if it was.
    pub text: Option<Vec<u8>>,
}

/// What workers tell.
#[derive(Debug)]
pub enum Event {
    /// A capture is open.
    Opened {
        /// Interface name.
        interface: String,
        /// BPF filter in force.
        filter: String,
    },
    /// Trials have ended.
    Done(Vec<Done>),
    /// A worker could not go on, and all stop.
    Failed(Error),
    /// A worker is through; its capture lost so many frames.
    Closed {
        /// Frames dropped.
        dropped: u64,
    },
}

/// Trials that a worker takes from the list at a time, and reports at a time.
const CHUNK: u64 = 64;

/// Most trials that wait for timers at the same time; each has a namespace and a capture of its own.
const SIDE_BY_SIDE: u64 = 48;

/// Trials that have ended are reported after this time even if there are fewer: what is known is not kept back.
const SOON: Duration = Duration::from_millis(50);

/// Messages that may wait in the channel: what bounds memory if the receiver is slower than the workers.
const CHANNEL: usize = 16;

/// Workers at work.
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
    /// A permit for each network of hosts that may be there at the same time.
    networks: Arc<Semaphore>,
}

impl Shared {
    fn queue(&self, duty: &Duty) -> &Queue {
        match duty {
            Duty::Fast { .. } => &self.fast,
            Duty::Slow { .. } => &self.slow,
        }
    }

    /// A worker cannot take from this queue, for want of files or threads. What becomes of its trials.
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

/// What becomes of the trials of a worker that there cannot be.
enum Left {
    /// Other workers do them.
    ToOthers,
    /// Nobody does, but others do other trials.
    Unplayed(Vec<Done>),
    /// There is no worker at all.
    Nobody,
}

/// Held by whoever those that wait for timers have to wait for: workers that run the others, and workers that are not
/// ready yet.
type Pass = watch::Sender<()>;

/// What a worker is for.
enum Duty {
    /// Trials that take no time.
    Fast { _pass: Pass },
    /// Trials that wait for timers, once nobody holds a pass any more.
    Slow {
        pass: Pass,
        gate: watch::Receiver<()>,
    },
}

impl Pool {
    /// Starts the workers.
    pub fn start(mut order: Order) -> Result<Self, Error> {
        let room = Room::of_process();
        // Workers are in namespaces that do not have these.
        host::read_host_limits();
        // As the thread that started this one keeps: saving files takes them.
        let pulse = Pulse::start(Kept {
            administers: false,
            makes_networks: false,
            ..order.settings.kept
        });
        order.settings.beats = pulse.as_ref().map(Pulse::beats);
        // A host's own loopback is one, so there is one worker, and it takes all in order.
        let apart = order.settings.place == Place::Private;
        let is_slow = |(scenario, _): &(&Scenario, Family)| {
            apart && (scenario.slow || scenario.network != Network::Loopback)
        };
        let (slow, fast): (Vec<_>, Vec<_>) = order.pairs.iter().copied().partition(is_slow);
        let fast = Queue::new(fast, order.repeat, CHUNK);
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

    /// The next thing that a worker tells; `None` when all have ended.
    pub async fn next(&mut self) -> Option<Event> {
        if !self.unplayed.is_empty() {
            return Some(Event::Done(mem::take(&mut self.unplayed)));
        }
        self.events.recv().await
    }

    /// Asks all workers to end after the trial that they are at.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Files that a worker has open while it runs a trial on loopback: namespace, capture, counters, listeners, sockets. 14 were counted.
const OF_WORKER: usize = 18;

/// The same of the hosts of one trial, which come on top. 17 were counted.
const OF_NETWORK: usize = 22;

/// Files that are opened beside: what is saved, and pipes to children.
const BESIDE: usize = 24;

/// How many more files this process may open.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// All that it may have open.
    limit: usize,
    /// Those that are not open yet.
    free: usize,
}

/// How many workers there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    fast: usize,
    slow: usize,
    /// Networks of hosts at the same time.
    networks: usize,
}

impl Room {
    /// What this process may have beyond what it is given is there to be asked for.
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

    /// Lets as many of these workers run side by side as there is room for. With less room than one of each kind takes there are
    /// no trials: they would be about files, not about connections.
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
        // Those that are quick come first: the others wait for them.
        let more_fast = fast.saturating_sub(1).min(left / OF_WORKER);
        let left = left - more_fast * OF_WORKER;
        // Most of those that wait have no hosts: three quarters of what is left are for workers.
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

/// A runtime for one thread: each worker has one, and so has the thread that listens to them.
pub(crate) fn runtime() -> Result<Runtime, Error> {
    let built = find_room().and_then(|()| {
        Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
    });
    built.map_err(|error| Error::io("start an event loop", &error))
}

/// Sees to it that the first runtime of this process finds enough descriptors. It opens a pair of sockets for signals, and
/// panics if there is none to be had (`OsExtraData::default` in tokio's `signal/unix.rs`).
fn find_room() -> io::Result<()> {
    static FOUND: AtomicBool = AtomicBool::new(false);
    // The pair and a copy of one of them; an epoll instance, a copy of that, and an eventfd.
    let room = || -> io::Result<[_; 3]> {
        Ok([
            UnixStream::pair()?,
            UnixStream::pair()?,
            UnixStream::pair()?,
        ])
    };
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
    // Signals are for the main thread. One that came here would end a call with EINTR, and that is no evidence.
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

/// The rest of a queue that no worker can take from.
fn all_unplayed(queue: &Queue, error: &Error) -> Vec<Done> {
    let chunks = std::iter::from_fn(|| queue.take()).flatten();
    let trials = chunks.filter_map(|index| queue.trial(index));
    trials
        .map(|(scenario, family, run)| unplayed(scenario, family, run, error))
        .collect()
}

/// Runs trials until there are no more. The receiver being gone is a reason to stop, not an error.
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
    // What it will begin with, and what takes time to build.
    let mut first = queue.take();
    if let Some((scenario, family, _)) = first.as_ref().and_then(|chunk| queue.trial(chunk.start))
        && worker.cannot_run(scenario, family).is_none()
    {
        match worker.prepare_ahead(scenario, family).await {
            // It is tried again when it is that trial's turn.
            Err(error) if !error.is_limit() => return Err(error),
            _ => {}
        }
    }
    let _pass = match duty {
        Duty::Fast { _pass: pass } => Some(pass),
        Duty::Slow { pass, mut gate } => {
            drop(pass);
            // It is an error when nobody has one.
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

/// What a worker counts from trial to trial.
#[derive(Default)]
struct Counts {
    /// Frames that its captures had no room for.
    dropped: u64,
    /// Trials, one after the other, that could not be played.
    in_a_row: u32,
}

/// If so many trials in a row cannot be played none will be, and the run ends with the error.
const MAX_IN_A_ROW: u32 = 20;

/// Trials that have ended and are not reported yet.
struct Outbox<'a> {
    events: &'a mpsc::Sender<Event>,
    done: Vec<Done>,
    sent: Instant,
    /// Whether anybody still wants to know.
    listening: bool,
}

impl Outbox<'_> {
    /// Reports them.
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
            // What went wrong in one trial says nothing of the next one.
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

/// Runs a trial and saves it, or says why it cannot be run here. The outer error is that of running it, the inner one that of
/// saving it.
async fn run_one(
    order: &Order,
    worker: &mut Worker,
    (scenario, family, run): (&'static Scenario, Family, u32),
    dropped: &mut u64,
) -> Result<Result<Done, Error>, Error> {
    let mut missing = worker.cannot_run(scenario, family);
    if missing.is_none() {
        // Only then it shows whether there can be a network.
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

/// A trial that could not be played to its end, because a limit was met or what it needs could not be set up.
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

/// Saves the trial if that is wanted, and keeps of it what is wanted.
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

    /// Whatever the limit: what runs side by side fits, and at least one of each kind runs.
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
