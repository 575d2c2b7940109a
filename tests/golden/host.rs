//! What the state of a host may change in a trial, and what it may not: a verdict must not depend on it, and nothing else is
//! excused by it.

use std::collections::BTreeSet;

use rstproof_core::evidence::Evidence;
use rstproof_core::kernel::counters::{PRESSURE, WATCHED};
use rstproof_core::kernel::host::HostState;
use rstproof_core::packet::{Flags, Packet};
use rstproof_core::scenario::{self, Op, Outcome, STEP_WINDOW, Scenario, Step};
use rstproof_core::time::Timestamp;
use rstproof_core::transcript::Errno;
use rstproof_core::verdict::{Finding, Judgement, Verdict, judge, missed_window};

use crate::evidence::{Golden, all, everything};
use crate::forged::{Forged, loaded};

/// The golden trial, judged after this was done to its evidence.
fn judged(golden: &'static Golden, change: impl FnOnce(&mut Evidence)) -> Judgement {
    let mut evidence = loaded(golden).clone();
    change(&mut evidence);
    judge(scenario_of(golden), &evidence)
}

fn scenario_of(golden: &Golden) -> &'static Scenario {
    scenario::find(golden.scenario()).unwrap()
}

fn moves(evidence: &mut Evidence, counter: &str, by: u64) {
    let counters = evidence.counters.as_mut().unwrap();
    *counters.by.entry(counter.to_owned()).or_default() += by;
}

/// Near 0 of the 32 bits that count the kernel's ticks, 299 to 420 s after boot for one, a listener takes an ACK of no connection
/// for a SYN cookie and counts that it is none (`tcp_synq_no_recent_overflow()`, include/net/tcp.h; `cookie_v4_check()`,
/// net/ipv4/syncookies.c). These are the scenarios in which such a segment gets to a listener; each has one.
const TO_A_LISTENER: [&str; 12] = [
    "half-open-server-restarted",
    "reset-ahead-of-lost-data",
    "reset-lost",
    "stray-ack-listener",
    "stray-fin-ack-listener",
    "stray-silent-listener",
    "syn-received-bad-ack",
    "syn-received-rst",
    "syn-received-second-syn",
    "time-wait-rst-inexact",
    "time-wait-rst-rfc1337",
    "write-after-peer-close-late",
];

#[test]
fn a_listener_may_take_an_ack_for_a_cookie_and_no_other_counter_is_excused() {
    let mut excused = BTreeSet::new();
    for golden in everything() {
        let once = judged(golden, |evidence| moves(evidence, "SyncookiesFailed", 1));
        let twice = judged(golden, |evidence| moves(evidence, "SyncookiesFailed", 2));
        assert_eq!(twice.verdict, Verdict::Refuted, "{}", golden.stem);
        if once.verdict == Verdict::Confirmed {
            excused.insert(golden.scenario());
        } else {
            assert_eq!(once.verdict, Verdict::Refuted, "{}", golden.stem);
            let ids: Vec<&str> = once.findings.iter().map(Finding::id).collect();
            assert_eq!(ids, ["counter-differs"], "{}", golden.stem);
        }
    }
    assert_eq!(excused, BTreeSet::from(TO_A_LISTENER));
}

/// `tcp_out_of_resources()` counts it for too many orphans on the host or too little memory.
const ABORTED_FOR_MEMORY: &str = "TCPAbortOnMemory";

#[test]
fn any_other_counter_that_moves_is_refuted() {
    for golden in all() {
        for counter in WATCHED {
            if ["SyncookiesFailed", ABORTED_FOR_MEMORY].contains(&counter) {
                continue;
            }
            let judgement = judged(golden, |evidence| moves(evidence, counter, 1));
            assert_eq!(
                judgement.verdict,
                Verdict::Refuted,
                "{}: {counter}",
                golden.stem
            );
        }
    }
}

/// What differs in each of these is of no account: a counter that nothing explains.
fn differs(evidence: &mut Evidence) {
    moves(evidence, "TCPAbortOnTimeout", 7);
}

#[track_caller]
fn is_inconclusive(judgement: &Judgement, id: &str, what: &str) {
    let gap = judgement
        .inconclusive_reason
        .unwrap_or_else(|| panic!("{what}: {:?}", judgement.findings));
    assert_eq!(gap.id(), id, "{what}: {gap}");
    assert_eq!(judgement.verdict, Verdict::Inconclusive, "{what}");
}

/// A trial that is as it must be is, whatever the host was like.
#[track_caller]
fn excuses(id: &str, what: impl Fn(&mut Evidence)) {
    for golden in all() {
        let fine = judged(golden, &what);
        assert_eq!(
            fine.verdict,
            Verdict::Confirmed,
            "{}: {:?}",
            golden.stem,
            fine.inconclusive_reason
        );
        let judgement = judged(golden, |evidence| {
            what(evidence);
            differs(evidence);
        });
        is_inconclusive(&judgement, id, &golden.stem);
        let judgement = judged(golden, differs);
        assert_eq!(judgement.verdict, Verdict::Refuted, "{}", golden.stem);
    }
}

#[test]
fn counters_of_pressure_excuse() {
    for counter in PRESSURE {
        let id = if counter == "TCPTimeWaitOverflow" {
            "time-wait-full"
        } else {
            "memory-short"
        };
        excuses(id, |evidence| moves(evidence, counter, 1));
    }
    for golden in all() {
        let judgement = judged(golden, |evidence| moves(evidence, ABORTED_FOR_MEMORY, 1));
        is_inconclusive(&judgement, "memory-short", &golden.stem);
    }
}

#[test]
fn a_host_that_is_short_of_memory_or_drops_packets_excuses() {
    let usual = HostState::default();
    let short = HostState {
        tcp_memory_pressure: true,
        ..usual
    };
    let many_pages = HostState {
        tcp_pages: Some(2),
        tcp_mem_low_pages: Some(1),
        ..usual
    };
    let limited = HostState {
        cgroup_tcp_limit_bytes: Some(4096),
        cgroup_tcp_peak_bytes: Some(4096),
        ..usual
    };
    let hit = HostState {
        cgroup_memory_limit_hits: 1,
        ..usual
    };
    for state in [short, many_pages, limited, hit] {
        excuses("memory-short", |evidence| evidence.host_state = Some(state));
    }
    let drops = HostState {
        softnet_drops: 1,
        ..usual
    };
    let overflows = HostState {
        neighbour_table_overflows: 1,
        ..usual
    };
    for state in [drops, overflows] {
        excuses("packets-dropped", |evidence| {
            evidence.host_state = Some(state);
        });
    }
    let few_pages = HostState {
        tcp_pages: Some(1),
        tcp_mem_low_pages: Some(1),
        ..usual
    };
    let roomy = HostState {
        cgroup_tcp_limit_bytes: Some(1 << 30),
        cgroup_tcp_peak_bytes: Some(1 << 20),
        ..usual
    };
    for state in [usual, few_pages, roomy] {
        for golden in all() {
            let judgement = judged(golden, |evidence| {
                evidence.host_state = Some(state);
                differs(evidence);
            });
            assert_eq!(judgement.verdict, Verdict::Refuted, "{}", golden.stem);
        }
    }
}

/// `SO_RCVTIMEO` of 5 s ends up to an eighth later (kernel/time/timer.c), and the process need not have been held up for that.
#[test]
fn a_missing_segment_is_not_excused_by_a_long_wait() {
    let golden = all()
        .iter()
        .find(|it| it.stem == "close-unread-data.ipv4")
        .unwrap();
    for (late_ms, held_up_ms) in [(0, 0), (263, 0), (620, 0), (263, 240)] {
        let judgement = judged(golden, |evidence| {
            let last = evidence.calls.len() - 1;
            let reset =
                |packet: &Packet| matches!(packet, Packet::Tcp(it) if it.flags.has(Flags::RST));
            evidence.packets.retain(|packet| !reset(packet));
            let read = evidence
                .calls
                .iter()
                .position(|it| it.outcome.errno().is_some())
                .unwrap();
            let bound: i64 = (5_000 + late_ms) * 1_000_000;
            let ended = evidence.calls[read].began.0 + bound;
            evidence.calls[read].ended.0 = ended;
            evidence.calls[read].outcome = Outcome::Unfinished;
            for call in &mut evidence.calls[read + 1..=last] {
                (call.began.0, call.ended.0) = (ended + 1_000, ended + 2_000);
            }
            let (trace, fence) = (&mut evidence.trace, evidence.completeness.fence.unwrap());
            *trace = None;
            evidence.counters = None;
            for packet in &mut evidence.packets {
                if let Packet::Udp { at, .. } = packet {
                    at.0 = ended + 10_000;
                }
            }
            assert!(evidence.fenced_at(&fence).is_some());
            for step in &mut evidence.steps {
                (step.began.0, step.ended.0) = (ended + 3_000, ended + 12_000);
            }
            evidence.process_stall_ns = held_up_ms * 1_000_000;
        });
        assert_eq!(
            judgement.verdict,
            Verdict::Refuted,
            "{late_ms}: {:?}",
            judgement.inconclusive_reason
        );
    }
}

#[test]
fn a_process_that_did_not_run_excuses_if_it_was_for_long() {
    let window: u64 = STEP_WINDOW.as_nanos().try_into().unwrap();
    excuses("timing-missed", |evidence| {
        evidence.process_stall_ns = window + 1;
    });
    for golden in all() {
        let judgement = judged(golden, |evidence| {
            evidence.process_stall_ns = window;
            differs(evidence);
        });
        assert_eq!(judgement.verdict, Verdict::Refuted, "{}", golden.stem);
    }
}

/// Lets everything from call `index` on happen so much later, frames and all.
fn hold_up(forged: &mut Forged, index: usize, ns: i64) {
    let from = forged.evidence.calls[index].began;
    hold_up_from(forged, from, ns);
}

/// Lets everything from this time on happen so much later.
fn hold_up_from(forged: &mut Forged, from: Timestamp, ns: i64) {
    let evidence = &mut forged.evidence;
    for call in &mut evidence.calls {
        if call.began >= from {
            call.began.0 += ns;
        }
        if call.ended > from {
            call.ended.0 += ns;
        }
    }
    for step in &mut evidence.steps {
        for at in [&mut step.began, &mut step.ended] {
            if *at >= from {
                at.0 += ns;
            }
        }
        if let Some(shown) = step.shown.as_mut().filter(|shown| **shown >= from) {
            shown.0 += ns;
        }
    }
    for event in &mut evidence.trace.as_mut().unwrap().events {
        if event.at >= from {
            event.at.0 += ns;
        }
    }
    forged.delay_frames(from, ns);
}

/// Whatever step a process is stopped before, the trial is what it was if nothing came of that, and nothing can be said if
/// something did.
#[test]
fn a_delayed_script_does_not_refute_its_scenario() {
    let long: i64 = (2 * STEP_WINDOW).as_nanos().try_into().unwrap();
    let mut tried = 0;
    for golden in all() {
        let scenario = scenario_of(golden);
        for index in 0..loaded(golden).calls.len() {
            // One that waits for its answer, or is under way meanwhile, does so for longer then.
            let mut fine = Forged::with_kernel(golden);
            hold_up(&mut fine, index, long);
            let is_missed = missed_window(scenario, &fine.evidence).is_some();
            let fine = fine.judged();
            assert_eq!(
                fine.verdict,
                Verdict::Confirmed,
                "{} {index} {:?} {:?}",
                golden.stem,
                fine.inconclusive_reason,
                fine.findings
            );
            let mut other = Forged::with_kernel(golden);
            hold_up(&mut other, index, long);
            differs(&mut other.evidence);
            let judgement = other.judged();
            if is_missed {
                is_inconclusive(&judgement, "timing-missed", &golden.stem);
                tried += 1;
            } else {
                assert_eq!(
                    judgement.verdict,
                    Verdict::Refuted,
                    "{} {index}",
                    golden.stem
                );
            }
        }
    }
    assert!(tried > 5 * all().len(), "{tried}");
}

/// Loopback answers a SYN at once, and the SYN is sent again after a second (RFC 6298, 2.1). A queue that fills later than that
/// may have met such a SYN, which the counters count. A wait in vain is as long as its bound and excuses nothing.
#[test]
fn a_queue_that_fills_late_is_inconclusive_and_one_that_never_fills_is_not() {
    let late: i64 = (4 * STEP_WINDOW).as_nanos().try_into().unwrap();
    let mut tried = BTreeSet::new();
    for golden in everything() {
        let steps = scenario_of(golden).steps;
        let Some(nth) = steps.iter().position(|it| matches!(it, Step::Others(_))) else {
            continue;
        };
        for (is_late, gave_up) in [(true, false), (true, true), (false, false)] {
            let mut forged = Forged::with_kernel(golden);
            let mut step = loaded(golden).steps.iter().filter(|it| it.step == nth);
            let ended = step.next().unwrap().ended;
            let next = loaded(golden).calls.iter().map(|call| call.began);
            let first_after = next.filter(|began| *began >= ended).min().unwrap();
            let index = (loaded(golden).calls.iter())
                .position(|call| call.began == first_after)
                .unwrap();
            if is_late {
                hold_up(&mut forged, index, late);
                let mut steps = forged.evidence.steps.iter_mut();
                let step = steps.find(|it| it.step == nth).unwrap();
                step.ended.0 += late;
                step.gave_up = gave_up;
            }
            moves(&mut forged.evidence, "ListenOverflows", 1);
            let judgement = forged.judged();
            if is_late && !gave_up {
                is_inconclusive(&judgement, "timing-missed", &golden.stem);
            } else {
                assert_eq!(judgement.verdict, Verdict::Refuted, "{}", golden.stem);
            }
        }
        tried.insert(golden.scenario());
    }
    assert!(tried.contains("connect-send-timeout"), "{tried:?}");
}

/// A call with a time-out of its own returns when that is over. If it returns a second later, its SYN has been sent again, and the
/// full queue has dropped two.
#[test]
fn a_time_out_that_is_a_second_late_is_inconclusive() {
    const SECOND: i64 = 1_000_000_000;
    let mut tried = 0;
    for golden in everything()
        .iter()
        .filter(|it| it.scenario() == "connect-send-timeout")
    {
        let recorded = loaded(golden);
        for (index, call) in recorded.calls.iter().enumerate() {
            if call.op != Op::Connect {
                continue;
            }
            let mut late = Forged::with_kernel(golden);
            hold_up_from(&mut late, call.ended, SECOND);
            late.evidence.calls[index].ended.0 = call.ended.0 + SECOND;
            moves(&mut late.evidence, "ListenOverflows", 1);
            moves(&mut late.evidence, "ListenDrops", 1);
            is_inconclusive(&late.judged(), "timing-missed", &golden.stem);
            tried += 1;
        }
        let judgement = judged(golden, |evidence| moves(evidence, "ListenOverflows", 1));
        assert_eq!(judgement.verdict, Verdict::Refuted, "{}", golden.stem);
    }
    assert_eq!(tried, 4, "two calls over both families");
}

/// On the host that they were recorded on nothing was held up, so nothing that is changed in them is excused.
#[test]
fn no_recorded_trial_was_delayed() {
    for golden in everything() {
        let evidence = loaded(golden);
        let missed = missed_window(scenario_of(golden), evidence);
        assert_eq!(missed, None, "{}", golden.stem);
        let counters = evidence.counters.as_ref().unwrap();
        for counter in PRESSURE {
            assert!(
                !counters.by.contains_key(counter),
                "{}: {counter}",
                golden.stem
            );
        }
        assert_eq!(
            (evidence.process_stall_ns, evidence.host_state),
            (0, None),
            "{}",
            golden.stem
        );
    }
}

#[test]
fn a_call_that_fails_without_descriptors_or_memory_is_inconclusive() {
    for golden in all() {
        for index in 0..loaded(golden).calls.len() {
            for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS] {
                let judgement = judged(golden, |evidence| {
                    evidence.calls[index].outcome = Outcome::Failed(errno);
                });
                let is_child = judgement
                    .inconclusive_reason
                    .is_some_and(|gap| gap.id() == "child-not-started");
                let spawns = loaded(golden).calls[index].op == Op::Spawn;
                assert_eq!(is_child, spawns, "{}", golden.stem);
                let id = if spawns {
                    "child-not-started"
                } else {
                    "resource-exhausted"
                };
                is_inconclusive(&judgement, id, &golden.stem);
                let gap = judgement.inconclusive_reason.unwrap().to_string();
                assert!(gap.contains(&errno.to_string()), "{gap}");
                assert_eq!(gap.contains("ulimit -n"), errno == Errno::EMFILE, "{gap}");
            }
        }
    }
}

#[test]
fn a_child_that_cannot_be_started_is_inconclusive() {
    let mut tried = 0;
    for golden in all() {
        let calls = &loaded(golden).calls;
        let spawns = calls.iter().position(|call| call.op == Op::Spawn);
        let Some(index) = spawns else { continue };
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::EAGAIN, Errno(0)] {
            let judgement = judged(golden, |evidence| {
                evidence.calls[index].outcome = Outcome::Failed(errno);
            });
            is_inconclusive(&judgement, "child-not-started", &golden.stem);
        }
        tried += 1;
    }
    assert!(tried >= 4, "{tried}");
}
