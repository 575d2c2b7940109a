//! RSTs that have no part in a scenario, put on the wire of every scenario: no verdict may become wrong by them.
//!
//! A decoy that its receiver must not believe changes nothing, but where a scenario says that there is no RST at all. One
//! that it has to believe is what the error comes from, and then nothing is confirmed that says otherwise. Whether it has to
//! is what the judge says by the wire; the kernel, asked by its trace and counters, must agree.
//!
//! `RSTPROOF_DECOYS=N` makes N rounds of it, with the decoys at other places in each round.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rstproof::kernel::trace;
use rstproof::kernel::tracefs::Tracefs;
use rstproof::lab::Kept;
use rstproof::lab::ports::ports;
use rstproof::packet::{Flags, Packet};
use rstproof::scenario::{ALL, Family, Fate, Needs, Network, Role, Scenario, Sender};
use rstproof::trial::{DECOY_WINDOW, Decoy, DecoyKind, Settings, Trial, Worker};
use rstproof::verdict::{Blame, Finding, Verdict};
use tokio::runtime::Builder;

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

/// What came of a decoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Result {
    /// There was no connection yet, or no more, whose number could be known.
    NotSent,
    /// It had no effect, and the trial was confirmed.
    Ignored,
    /// It had none, and the scenario says that there is no RST at all.
    Named,
    /// It was believed, and nothing was confirmed.
    Believed,
}

fn frames_of_decoys(trial: &Trial<'_>) -> Vec<u32> {
    let decoys = trial.evidence.packets.iter();
    let decoys = decoys.filter_map(|packet| match packet {
        Packet::Tcp(it) if it.window == DECOY_WINDOW && it.flags.has(Flags::RST) => Some(it.frame),
        _ => None,
    });
    decoys.collect()
}

/// What came of it, or what is wrong.
fn look_at(task: &Task, trial: &Trial<'_>) -> std::result::Result<Result, String> {
    let decoys = frames_of_decoys(trial);
    let judgement = &trial.judgement;
    let wrong = |what: &str| {
        Err(format!(
            "{} over {}, {:?}: {what}: {:?} {:?} {:?}, decoys {decoys:?}, {:#?}",
            task.scenario.id,
            task.family.name(),
            task.decoy,
            judgement.verdict,
            judgement.gap,
            judgement.findings,
            judgement.resets,
        ))
    };
    let is_confirmed = judgement.verdict == Verdict::Confirmed;
    if decoys.is_empty() {
        return if is_confirmed {
            Ok(Result::NotSent)
        } else {
            wrong("not confirmed without a decoy")
        };
    }
    let is_decoy = |reset: usize| decoys.contains(&judgement.resets[reset].frame);
    let blames_decoy = judgement.blames.iter().any(|(_, blame)| match blame {
        Blame::Reset(reset) | Blame::AfterReset(reset) => is_decoy(*reset),
        _ => false,
    });
    let mut decoys_seen = (0..judgement.resets.len()).filter(|reset| is_decoy(*reset));
    let counts = decoys_seen.any(|reset| judgement.resets[reset].acceptance.is_acceptable());
    // It does by hand what the decoy does, and either is forged.
    let is_its_like = task.scenario.resets.iter().any(|meant| {
        meant.sender == Sender::Injected
            && meant.from == task.decoy.from
            && meant.fate == Fate::Believed
    });
    if is_confirmed && is_its_like && task.decoy.kind == DecoyKind::Exact {
        return Ok(Result::Ignored);
    }
    if is_confirmed && (blames_decoy || counts) {
        return wrong("confirmed by a decoy");
    }
    if counts {
        return Ok(Result::Believed);
    }
    if task.decoy.kind != DecoyKind::Exact && blames_decoy {
        return wrong("a decoy is blamed that cannot count");
    }
    if is_confirmed {
        return Ok(Result::Ignored);
    }
    let names_decoy = |finding: &Finding| matches!(finding, Finding::UnexpectedReset { frame } if decoys.contains(frame));
    let says_no_reset = task.scenario.resets.is_empty();
    if says_no_reset && judgement.findings.iter().all(names_decoy) {
        return Ok(Result::Named);
    }
    wrong("a decoy without effect changed the verdict")
}

mod as_root {
    use super::*;

    #[test]
    fn no_verdict_becomes_wrong() {
        let rounds = std::env::var("RSTPROOF_DECOYS");
        let rounds = rounds.map_or(1, |rounds| rounds.parse().unwrap());
        let tasks: Vec<Task> = (0..rounds).flat_map(tasks).collect();
        let tracefs = Tracefs::open().unwrap_or_else(|_| panic!("no tracefs; are you root?"));
        let trace = trace::Session::open(tracefs, ports(PORT), trace::RING_KIB).unwrap();
        let next = AtomicUsize::new(0);
        let results = Mutex::new(BTreeMap::<Result, usize>::new());
        let wrong = Mutex::new(Vec::<String>::new());
        thread::scope(|scope| {
            for nth in 0..WORKERS {
                let (tasks, next, results, wrong) = (&tasks, &next, &results, &wrong);
                let settings = settings(&trace);
                scope.spawn(move || {
                    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let mut worker = Worker::open(settings, nth).await.unwrap();
                        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                            if let Some(why) = worker.cannot_run(task.scenario, task.family) {
                                panic!("{}: {why}", task.scenario.id);
                            }
                            worker.put_decoy(Some(task.decoy));
                            let trial = worker.run(task.scenario, task.family).await.unwrap();
                            match look_at(task, &trial) {
                                Ok(result) => {
                                    *results.lock().unwrap().entry(result).or_default() += 1;
                                }
                                Err(what) => wrong.lock().unwrap().push(what),
                            }
                        }
                    });
                });
            }
        });
        trace.close();
        let (results, wrong) = (results.into_inner().unwrap(), wrong.into_inner().unwrap());
        println!("{} trials: {results:?}", tasks.len());
        assert!(
            wrong.is_empty(),
            "{} of {}, {results:?}:\n{}",
            wrong.len(),
            tasks.len(),
            wrong.join("\n")
        );
        let count = |result| results.get(&result).copied().unwrap_or_default();
        assert!(count(Result::Ignored) > tasks.len() / 4, "{results:?}");
        assert!(count(Result::Believed) > tasks.len() / 16, "{results:?}");
    }

    fn settings(trace: &Arc<trace::Session>) -> Settings {
        let mut needs = Needs::of(ALL.iter().copied());
        needs.forgery = true;
        Settings {
            needs,
            kept: Kept {
                administers: true,
                makes_networks: true,
                ..Kept::default()
            },
            program: PathBuf::from(env!("CARGO_BIN_EXE_rstproof")),
            trace: Some(Arc::clone(trace)),
            ..Settings::private(PORT)
        }
    }
}
