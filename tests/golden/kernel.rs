//! Forged kernel trace events and counters, in evidence that is otherwise unchanged: the other sources contradict them.

use rstproof_core::evidence::Evidence;
use rstproof_core::kernel::event::{Event, EventKind};
use rstproof_core::scenario::{self, Role, Scenario, Sender};
use rstproof_core::transcript::Errno;
use rstproof_core::verdict::{Finding, InconclusiveReason, Judgement, Verdict};

use crate::evidence::{Golden, all};
use crate::forged::Forged;

/// The golden trial, judged after this was done to its evidence.
fn judged(golden: &'static Golden, forge: impl FnOnce(&mut Evidence)) -> Judgement {
    let mut forged = Forged::with_kernel(golden);
    forge(&mut forged.evidence);
    forged.judged()
}

fn events(evidence: &mut Evidence) -> &mut Vec<Event> {
    &mut evidence.trace.as_mut().unwrap().events
}

fn scenario_of(golden: &Golden) -> &'static Scenario {
    scenario::find(golden.scenario()).unwrap()
}

/// All events of the golden set of which this holds: the trial, and the place among its events.
fn places(wanted: impl Fn(&EventKind) -> bool) -> Vec<(&'static Golden, usize)> {
    let mut places = Vec::new();
    for golden in all() {
        let mut evidence = Forged::with_kernel(golden).evidence;
        let found = events(&mut evidence).iter().enumerate();
        let found = found.filter(|(_, event)| wanted(&event.kind));
        places.extend(found.map(|(place, _)| (golden, place)));
    }
    places
}

fn is_sent(what: &EventKind) -> bool {
    matches!(what, EventKind::SendReset { .. })
}

#[track_caller]
fn is_refuted_by(judgement: &Judgement, id: &str, what: &str) {
    let ids: Vec<&str> = judgement.findings.iter().map(Finding::id).collect();
    assert!(ids.contains(&id), "{what}: {id} is not in {ids:?}");
    assert_eq!(judgement.verdict, Verdict::Refuted, "{what}");
}

/// Every RST of the catalogue is told of by its sender, and by whom it kills; self-connect and the like have none.
#[test]
fn every_trial_has_the_events_that_its_scenario_asks_for() {
    let mut sent = 0;
    for golden in all() {
        let judgement = judged(golden, |_| {});
        let meant = scenario_of(golden).resets;
        assert_eq!(judgement.origins.len(), meant.len(), "{}", golden.stem);
        for (origin, meant) in judgement.origins.iter().zip(meant) {
            assert_eq!(origin.sender, meant.sender, "{}", golden.stem);
            assert_eq!(
                origin.reason.as_deref(),
                Some(meant.reason),
                "{}",
                golden.stem
            );
        }
        sent += meant.len();
    }
    assert_eq!(places(is_sent).len(), sent);
}

#[test]
fn a_missing_kernel_event_of_an_rst_is_refuted() {
    for (golden, place) in places(is_sent) {
        let judgement = judged(golden, |evidence| drop(events(evidence).remove(place)));
        is_refuted_by(&judgement, "kernel-sent-no-reset", &golden.stem);
        let sender = judgement.origins[0].sender;
        assert!(
            matches!(sender, Sender::Firewall | Sender::Injected),
            "{}",
            golden.stem
        );
    }
}

#[test]
fn a_further_rst_in_the_kernel_trace_is_refuted() {
    for (golden, place) in places(is_sent) {
        let judgement = judged(golden, |evidence| {
            let (client, server) = (evidence.client, evidence.server);
            let mut event = events(evidence)[place].clone();
            // A listener's names no other end, so it may be to anybody.
            if event.destination.port() == 0 {
                event.destination = client;
            }
            assert!([client, server].contains(&event.source));
            events(evidence).insert(place, event);
        });
        is_refuted_by(&judgement, "kernel-reset-not-captured", &golden.stem);
    }
}

#[test]
fn another_reason_in_the_kernel_trace_is_refuted() {
    for (golden, place) in places(is_sent) {
        let with = |other: Option<&str>| {
            judged(golden, |evidence| {
                let EventKind::SendReset { reason, .. } = &mut events(evidence)[place].kind else {
                    panic!("no reset");
                };
                *reason = other.map(str::to_owned);
            })
        };
        is_refuted_by(
            &with(Some("TCP_KEEPALIVE_TIMEOUT")),
            "wrong-reason",
            &golden.stem,
        );
        is_refuted_by(&with(Some("26")), "wrong-reason", &golden.stem);
        // Older kernels give none, or say that they give none: that is unavailable, and counts neither way.
        for none in [None, Some("NOT_SPECIFIED")] {
            assert_eq!(with(none).verdict, Verdict::Confirmed, "{}", golden.stem);
        }
    }
}

#[test]
fn another_sender_in_the_kernel_trace_is_refuted() {
    for (golden, place) in places(is_sent) {
        let judgement = judged(golden, |evidence| {
            let event = &mut events(evidence)[place];
            let EventKind::SendReset { state, .. } = &mut event.kind else {
                panic!("no reset");
            };
            if event.socket.is_none() || state.as_deref() == Some("TCP_TIME_WAIT") {
                (event.socket, *state) = (Some(9), Some("TCP_CLOSE".to_owned()));
            } else {
                event.socket = None;
            }
        });
        is_refuted_by(&judgement, "wrong-sender", &golden.stem);
    }
}

#[test]
fn no_socket_was_killed_or_one_more() {
    let received = places(|what| *what == EventKind::ReceiveReset);
    for (golden, place) in received {
        let mut killed_itself = false;
        let judgement = judged(golden, |evidence| {
            let source = events(evidence).remove(place).source;
            let role = if source == evidence.client {
                Role::Client
            } else {
                Role::Server
            };
            killed_itself = scenario_of(golden)
                .resets
                .iter()
                .any(|reset| reset.from == role);
        });
        // After shutdown of both sides a socket may be told of as killed by what it sends; that is not asked for.
        if !killed_itself {
            is_refuted_by(&judgement, "kernel-received-no-reset", &golden.stem);
        }
        let judgement = judged(golden, |evidence| {
            let event = events(evidence)[place].clone();
            events(evidence).insert(place, event.clone());
            events(evidence).insert(place, event);
        });
        is_refuted_by(&judgement, "kernel-received-other-reset", &golden.stem);
    }
}

#[test]
fn the_socket_was_in_another_state() {
    let mut tried = 0;
    for (golden, place) in places(|what| *what == EventKind::ReceiveReset) {
        let mut is_told = false;
        let judgement = judged(golden, |evidence| {
            let events = events(evidence);
            let killed = events[place].socket;
            let before = events[..place].iter_mut().rev();
            let mut states = before.filter(|event| event.socket == killed);
            if let Some(EventKind::SetState { new, .. }) = states.next().map(|it| &mut it.kind) {
                "TCP_LAST_ACK".clone_into(new);
                is_told = true;
            }
        });
        let itself = scenario_of(golden).id.starts_with("shutdown-rdwr");
        if is_told && !itself {
            is_refuted_by(&judgement, "kernel-state-differs", &golden.stem);
            tried += 1;
        }
    }
    assert!(tried > all().len() / 2, "{tried}");
}

#[test]
fn the_socket_was_given_another_error_or_one_more() {
    for (golden, place) in places(|what| matches!(what, EventKind::ErrorReport(_))) {
        let other = judged(golden, |evidence| {
            events(evidence)[place].kind = EventKind::ErrorReport(Errno(113)); // EHOSTUNREACH
        });
        is_refuted_by(&other, "kernel-reported-other-error", &golden.stem);
        let more = judged(golden, |evidence| {
            let mut event = events(evidence)[place].clone();
            event.kind = EventKind::ErrorReport(Errno::ETIMEDOUT);
            events(evidence).push(event);
        });
        let timed_out = golden.document.contains("ETIMEDOUT");
        assert_eq!(
            more.verdict == Verdict::Confirmed,
            timed_out,
            "{}",
            golden.stem
        );
        // Whether any call asks for it depends on the scenario.
        let gone = judged(golden, |evidence| drop(events(evidence).remove(place)));
        if gone.verdict != Verdict::Confirmed {
            is_refuted_by(&gone, "kernel-reported-no-error", &golden.stem);
        }
    }
    let mut all = all().iter();
    let golden = all.find(|it| it.stem == "close-unread-data.ipv4").unwrap();
    let gone = judged(golden, |evidence| {
        events(evidence).retain(|event| !matches!(event.kind, EventKind::ErrorReport(_)));
    });
    is_refuted_by(&gone, "kernel-reported-no-error", &golden.stem);
}

#[test]
fn lost_kernel_events_are_inconclusive() {
    for golden in all() {
        let judgement = judged(golden, |evidence| {
            let trace = evidence.trace.as_mut().unwrap();
            trace.coverage.overrun = true;
            trace.events.clear();
        });
        assert_eq!(
            judgement.inconclusive_reason,
            Some(InconclusiveReason::TraceOverrun),
            "{}",
            golden.stem
        );
        assert!(
            judgement
                .origins
                .iter()
                .all(|it| it.sender == Sender::Unknown)
        );
    }
}

/// Each without the other, and neither.
#[test]
fn a_source_that_is_not_available_changes_no_verdict() {
    for golden in all() {
        for (trace, counters) in [(false, true), (true, false), (false, false)] {
            let judgement = judged(golden, |evidence| {
                evidence.trace = evidence.trace.take().filter(|_| trace);
                evidence.counters = evidence.counters.take().filter(|_| counters);
            });
            assert_eq!(judgement.verdict, Verdict::Confirmed, "{}", golden.stem);
        }
    }
}

/// As capture.md has the history: until Linux 6.9 an RST that no full socket sends is not traced, until 6.11 no abort has a
/// reason; the error is traced since 5.14.
#[test]
fn events_missing_on_older_kernels_are_not_required() {
    for golden in all() {
        let linux_6_11 = judged(golden, |evidence| {
            for event in events(evidence) {
                if let EventKind::SendReset {
                    reason: Some(reason),
                    ..
                } = &mut event.kind
                    && ["TCP_STATE", "TCP_ABORT_ON_CLOSE"].contains(&reason.as_str())
                {
                    "NOT_SPECIFIED".clone_into(reason);
                }
            }
        });
        let linux_6_9 = judged(golden, |evidence| {
            let trace = evidence.trace.as_mut().unwrap();
            trace.coverage.resets_without_socket = false;
            trace.coverage.reset_reasons = false;
            trace.events.retain_mut(|event| {
                let EventKind::SendReset { state, reason } = &mut event.kind else {
                    return true;
                };
                *reason = None;
                event.socket.is_some() && state.as_deref() != Some("TCP_TIME_WAIT")
            });
        });
        let linux_5_10 = judged(golden, |evidence| {
            let trace = evidence.trace.as_mut().unwrap();
            trace.coverage.inet_sk_error_report = false;
            let kept = |event: &Event| !matches!(event.kind, EventKind::ErrorReport(_));
            trace.events.retain(kept);
        });
        for judgement in [linux_6_11, linux_6_9, linux_5_10] {
            assert_eq!(judgement.verdict, Verdict::Confirmed, "{}", golden.stem);
        }
    }
}

/// A neighbouring port, another address, another program's listener: of another connection.
#[test]
fn kernel_events_of_other_connections_are_ignored() {
    for golden in all() {
        let judgement = judged(golden, |evidence| {
            let of_others: Vec<Event> = events(evidence)
                .iter()
                .flat_map(|event| {
                    let mut neighbour = event.clone();
                    neighbour
                        .source
                        .set_port(event.source.port().wrapping_add(1));
                    let mut stranger = event.clone();
                    stranger.destination = "192.0.2.1:443".parse().unwrap();
                    [neighbour, stranger]
                })
                .filter(|event| event.source != event.destination)
                .collect();
            let mut others_first = of_others.clone();
            others_first.append(events(evidence));
            others_first.extend(of_others.into_iter().filter(|event| is_sent(&event.kind)));
            *events(evidence) = others_first;
        });
        let what = (&golden.stem, &judgement.findings);
        assert_eq!(judgement.verdict, Verdict::Confirmed, "{what:?}");
    }
}

/// An abort is traced after it was sent and an answer before, and whoever traces may be interrupted in between.
#[test]
fn a_small_difference_of_event_times_is_allowed() {
    for golden in all() {
        for shift_ns in [-5_000_000, 5_000_000] {
            let judgement = judged(golden, |evidence| {
                for event in events(evidence) {
                    event.at.0 += shift_ns;
                }
            });
            assert_eq!(judgement.verdict, Verdict::Confirmed, "{}", golden.stem);
        }
    }
}
