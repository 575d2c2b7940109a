//! RSTs that have no part in a scenario, put on the wire of every scenario: no verdict may become wrong by them.
//!
//! A decoy that its receiver must not believe changes nothing, but where a scenario says that there is no RST at all. One
//! that it has to believe is what the error comes from, and then nothing is confirmed that says otherwise. Whether it has to
//! is what the judge says by the wire; the kernel, asked by its trace and counters, must agree.
//!
//! `RSTPROOF_DECOYS=N` makes N rounds of it, with the decoys at other places in each round.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

#[path = "support/decoy.rs"]
mod decoy;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rstproof::lab::RetainedPrivileges;
use rstproof::lab::ports::ports;
use rstproof::sources::tracefs::Tracefs;
use rstproof::sources::{RunSources, trace};
use rstproof::trial::{CompletedTrial, DECOY_WINDOW, Decoy, DecoyKind, Settings, Worker};
use rstproof_core::packet::{Flags, Packet};
use rstproof_core::scenario::{ALL, Family, Needs, Network, Role, Scenario};
use tokio::runtime::Builder;

use crate::decoy::{Outcome, Stray, look_at};

const PORT: u16 = 8080;

/// Workers side by side: most of them wait.
const WORKERS: usize = 40;

/// One trial that is to be run.
#[derive(Clone, Copy)]
struct Task {
    scenario: &'static Scenario,
    family: Family,
    decoy: Decoy,
}

/// Every scenario over one of its families, in the next round the other, with each decoy in each end's name. A late one comes
/// after all calls.
fn tasks(round: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (nth, scenario) in ALL.iter().enumerate() {
        // Those that wait for timers are for long runs.
        if scenario.slow && round % 8 != 1 {
            continue;
        }
        let steps = scenario.steps.len();
        let place = steps.saturating_sub(1 + (round + nth) % steps.max(1));
        let family = scenario.families[(round + nth) % scenario.families.len()];
        for from in [Role::Client, Role::Server] {
            // Of two hosts on one link it is the server's that makes them, and none to itself gets to the wire.
            if scenario.network == Network::Link && from == Role::Client {
                continue;
            }
            for (kind, before_step) in [
                (DecoyKind::WrongNumber, place),
                (DecoyKind::Neighbour, place),
                (DecoyKind::Exact, steps),
                (DecoyKind::Exact, place),
            ] {
                let decoy = Decoy {
                    kind,
                    from,
                    before_step,
                };
                tasks.push(Task {
                    scenario,
                    family,
                    decoy,
                });
            }
        }
    }
    tasks
}

fn frames_of_decoys(trial: &CompletedTrial<'_>) -> Vec<u32> {
    let decoys = trial.evidence.packets.iter();
    let decoys = decoys.filter_map(|packet| match packet {
        Packet::Tcp(it) if it.window == DECOY_WINDOW && it.flags.has(Flags::RST) => Some(it.frame),
        _ => None,
    });
    decoys.collect()
}

/// What came of it, or what is wrong.
fn looked_at(task: &Task, trial: &CompletedTrial<'_>) -> Result<Outcome, String> {
    let frames = frames_of_decoys(trial);
    let judgement = &trial.judgement;
    let decoy = Stray {
        from: task.decoy.from,
        is_exact: task.decoy.kind == DecoyKind::Exact,
        frames: &frames,
    };
    look_at(task.scenario, decoy, judgement).map_err(|what| {
        format!(
            "{} over {}, {:?}: {what}: {:?} {:?} {:?}, decoys {frames:?}, {:#?}",
            task.scenario.id,
            task.family.name(),
            task.decoy,
            judgement.verdict,
            judgement.inconclusive_reason,
            judgement.findings,
            judgement.resets,
        )
    })
}

mod as_root {
    use super::*;

    /// What came of all trials so far.
    #[derive(Default)]
    struct Results {
        counts: BTreeMap<Outcome, usize>,
        wrong: Vec<String>,
    }

    /// Runs tasks, one after the other, in a namespace of its own.
    fn work<'a>(
        settings: Settings,
        nth: usize,
        tasks: impl Iterator<Item = &'a Task>,
        results: &Mutex<Results>,
    ) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut worker = Worker::open(settings, nth).await.unwrap();
            for task in tasks {
                if let Some(why) = worker.cannot_run(task.scenario, task.family) {
                    panic!("{}: {why}", task.scenario.id);
                }
                worker.set_decoy(Some(task.decoy));
                let trial = worker.run(task.scenario, task.family).await.unwrap();
                let looked_at = looked_at(task, &trial);
                let mut results = results.lock().unwrap();
                match looked_at {
                    Ok(outcome) => *results.counts.entry(outcome).or_default() += 1,
                    Err(what) => results.wrong.push(what),
                }
            }
        });
    }

    #[test]
    fn no_verdict_becomes_wrong() {
        let rounds = std::env::var("RSTPROOF_DECOYS");
        let rounds = rounds.map_or(1, |rounds| rounds.parse().unwrap());
        let tasks: Vec<Task> = (0..rounds).flat_map(tasks).collect();
        let tracefs = Tracefs::open().unwrap_or_else(|_| panic!("no tracefs; are you root?"));
        let trace = trace::TraceSession::open(tracefs, ports(PORT), trace::RING_KIB).unwrap();
        let results = Mutex::new(Results::default());
        // While one waits, what an earlier trial has left half open may be sent again: each has a namespace of its own.
        let (slow, fast): (Vec<&Task>, Vec<&Task>) =
            tasks.iter().partition(|task| task.scenario.slow);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for nth in 0..WORKERS {
                let (fast, next, results) = (&fast, &next, &results);
                let settings = settings(&trace);
                scope.spawn(move || {
                    let next = || fast.get(next.fetch_add(1, Ordering::Relaxed)).copied();
                    work(settings, nth, std::iter::from_fn(next), results);
                });
            }
        });
        for some in slow.chunks(WORKERS) {
            thread::scope(|scope| {
                for (nth, task) in some.iter().enumerate() {
                    let (settings, results) = (settings(&trace), &results);
                    scope.spawn(move || work(settings, nth, std::iter::once(*task), results));
                }
            });
        }
        trace.close();
        let Results { counts, wrong } = results.into_inner().unwrap();
        println!("{} trials: {counts:?}", tasks.len());
        assert!(
            wrong.is_empty(),
            "{} of {}, {counts:?}:\n{}",
            wrong.len(),
            tasks.len(),
            wrong.join("\n")
        );
        let count = |outcome| counts.get(&outcome).copied().unwrap_or_default();
        assert!(count(Outcome::Ignored) > tasks.len() / 4, "{counts:?}");
        assert!(count(Outcome::Believed) > tasks.len() / 16, "{counts:?}");
        assert!(count(Outcome::Unclear) < tasks.len() / 16, "{counts:?}");
    }

    fn settings(trace: &Arc<trace::TraceSession>) -> Settings {
        let mut needs = Needs::of(ALL.iter().copied());
        needs.forgery = true;
        Settings {
            needs,
            privileges: RetainedPrivileges {
                administers: true,
                makes_networks: true,
                ..RetainedPrivileges::default()
            },
            program: PathBuf::from(env!("CARGO_BIN_EXE_rstproof")),
            sources: RunSources {
                trace: Some(Arc::clone(trace)),
            },
            ..Settings::private(PORT)
        }
    }
}
