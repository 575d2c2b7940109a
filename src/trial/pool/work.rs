//! Work of one worker: take trials from a queue, run them, save them, report them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nix::sys::signal::SigSet;
use tokio::sync::mpsc;

use super::file_limit::runtime;
use super::queue::Queue;
use super::{FinishedTrial, Orphaned, PoolEvent, PoolState, REPORT_INTERVAL, RunPlan, WorkerKind};
use crate::archive::save::Recording;
use crate::archive::stem;
use crate::capture::SNAPLEN;
use crate::error::Error;
use crate::trial::{CompletedTrial, Worker};
use rstproof_core::report::{CaptureReport, TrialReport};
use rstproof_core::scenario::{Family, Scenario};
use rstproof_core::verdict::{NOT_PLAYED, RESOURCE_EXHAUSTED, Verdict};

pub(super) fn work(
    shared: &PoolState,
    nth: usize,
    kind: WorkerKind,
    events: &mpsc::Sender<PoolEvent>,
) {
    // Signals are for the main thread: here they would end a call with EINTR, which would spoil the evidence.
    let blocked = SigSet::all()
        .thread_block()
        .map_err(|errno| Error::system("block signals in a worker", errno));
    let queue = shared.queue(&kind);
    let result = blocked
        .and_then(|()| runtime())
        .and_then(|runtime| runtime.block_on(run_trials(shared, nth, kind, events)));
    let Err(error) = result else { return };
    if error.is_limit() {
        match shared.leave(queue, &error) {
            Orphaned::TakenOver => return,
            Orphaned::Unplayed(done) => {
                let _ = events.blocking_send(PoolEvent::Finished(done));
                return;
            }
            Orphaned::NoWorkerLeft => {}
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    let _ = events.blocking_send(PoolEvent::Failed(error));
}

/// Runs trials until the queue is empty. A closed channel is a reason to stop, not an error.
async fn run_trials(
    shared: &PoolState,
    nth: usize,
    kind: WorkerKind,
    events: &mpsc::Sender<PoolEvent>,
) -> Result<(), Error> {
    let mut settings = shared.plan.settings.clone();
    let queue = shared.queue(&kind);
    if let WorkerKind::Slow { .. } = kind {
        settings.small_ring = true;
    } else {
        settings.privileges.makes_networks = false;
    }
    let mut worker = Worker::open(settings, nth).await?;
    worker.share_networks(Arc::clone(&shared.networks));
    let opened = PoolEvent::Opened {
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
    let _pass = match kind {
        WorkerKind::Fast { _pass: pass } => Some(pass),
        WorkerKind::Slow { pass, mut gate } => {
            drop(pass);
            // changed() fails once all passes are dropped.
            while gate.changed().await.is_ok() {}
            None
        }
    };
    let mut counts = WorkerTotals::default();
    while outbox.listening && !shared.stop.load(Ordering::Relaxed) {
        let Some(chunk) = first.take().or_else(|| queue.take()) else {
            break;
        };
        let result = run_chunk(shared, queue, &mut worker, chunk, &mut outbox, &mut counts).await;
        outbox.send().await;
        result?;
    }
    let dropped = counts.dropped;
    let _ = events.send(PoolEvent::Closed { dropped }).await;
    Ok(())
}

/// Totals that a worker keeps over all its trials.
#[derive(Default)]
struct WorkerTotals {
    /// Number of frames that its captures dropped.
    dropped: u64,
    /// Number of consecutive trials that could not be run.
    in_a_row: u32,
}

/// Maximum number of consecutive trials that may fail to run, before the run ends with the error.
const MAX_FAILURES_IN_A_ROW: u32 = 20;

/// Trials that have ended and are not reported yet.
struct Outbox<'a> {
    events: &'a mpsc::Sender<PoolEvent>,
    done: Vec<FinishedTrial>,
    sent: Instant,
    /// False once the receiver is gone.
    listening: bool,
}

impl Outbox<'_> {
    /// Reports the ended trials.
    async fn send(&mut self) {
        let done = std::mem::take(&mut self.done);
        if !done.is_empty() {
            self.listening &= self.events.send(PoolEvent::Finished(done)).await.is_ok();
        }
        self.sent = Instant::now();
    }
}

async fn run_chunk(
    shared: &PoolState,
    queue: &Queue,
    worker: &mut Worker,
    chunk: Range<u64>,
    outbox: &mut Outbox<'_>,
    WorkerTotals { dropped, in_a_row }: &mut WorkerTotals,
) -> Result<(), Error> {
    let plan = &shared.plan;
    for index in chunk {
        let Some((scenario, family, run)) = queue.trial(index) else {
            break;
        };
        if shared.stop.load(Ordering::Relaxed) || !outbox.listening {
            break;
        }
        let done = match run_one(plan, worker, (scenario, family, run), dropped).await {
            // A limit that one trial met may not affect the next one.
            Err(error) if error.is_limit() => unplayed(scenario, family, run, &error),
            Err(error) if error.is_of_lab() && *in_a_row < MAX_FAILURES_IN_A_ROW => {
                *in_a_row += 1;
                unplayed(scenario, family, run, &error)
            }
            done => {
                *in_a_row = 0;
                done??
            }
        };
        outbox.done.push(done);
        if outbox.sent.elapsed() > REPORT_INTERVAL {
            outbox.send().await;
        }
    }
    Ok(())
}

/// Runs a trial and saves it, or skips it with the reason. The outer error comes from running it, the inner one from
/// saving it.
async fn run_one(
    plan: &RunPlan,
    worker: &mut Worker,
    (scenario, family, run): (&'static Scenario, Family, u32),
    dropped: &mut u64,
) -> Result<Result<FinishedTrial, Error>, Error> {
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
    Ok(finished(plan, scenario, family, run, &trial))
}

/// Returns the result of a trial that could not be completed, because a limit was reached or its setup failed.
pub(super) fn unplayed(
    scenario: &'static Scenario,
    family: Family,
    run: u32,
    error: &Error,
) -> FinishedTrial {
    let id = if error.is_limit() {
        RESOURCE_EXHAUSTED
    } else {
        NOT_PLAYED
    };
    let report = TrialReport::unplayed(scenario, family, run, (id, error.to_string()));
    FinishedTrial {
        scenario,
        family,
        verdict: report.verdict,
        report: Some(Box::new(report)),
        text: None,
    }
}

fn skipped(scenario: &'static Scenario, family: Family, run: u32, why: String) -> FinishedTrial {
    FinishedTrial {
        scenario,
        family,
        verdict: None,
        report: Some(Box::new(TrialReport::skipped(scenario, family, run, why))),
        text: None,
    }
}

/// Saves the trial if there is an archive, and returns what the plan asks for.
fn finished(
    plan: &RunPlan,
    scenario: &'static Scenario,
    family: Family,
    run: u32,
    trial: &CompletedTrial<'_>,
) -> Result<FinishedTrial, Error> {
    let (evidence, judgement) = (trial.evidence, &trial.judgement);
    let verdict = judgement.verdict;
    let is_wanted = plan.every_report || verdict != Verdict::Confirmed;
    let interface = trial.taps.interface();
    let mut report = (is_wanted || plan.archive.is_some())
        .then(|| TrialReport::new(scenario, family, run, interface, evidence, judgement));
    let mut text = None;
    if let (Some(archive), Some(report)) = (&plan.archive, &mut report) {
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
        let stem = stem(scenario.id, family, (plan.repeat > 1).then_some(run));
        text = Some(archive.save(&stem, recording, report)?);
    }
    Ok(FinishedTrial {
        scenario,
        family,
        verdict: Some(verdict),
        report: report.filter(|_| is_wanted).map(Box::new),
        text,
    })
}
