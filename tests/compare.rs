//! What differs between reports, and what accounts for it. The reports are made by hand; what kernels do in them is what
//! their commits and the RFCs say.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rstproof::compare::document::{Subject, parse};
use rstproof::compare::{
    Aspect, Comparison, DifferenceCause, Kind, compare, human, json, markdown,
};
use rstproof_core::history::{self, Patch};
use rstproof_core::scenario::{self, Family};
use serde_json::{Value, json};

/// `uname -r` and `-v` of a kernel of Debian's; up to 6.1 only the second one names the release of Linux.
fn debian(version: &str) -> (String, String) {
    let abi = match version.split('.').take(2).collect::<Vec<_>>()[..] {
        ["5", "10"] => "5.10.0-46-cloud-amd64".to_owned(),
        ["6", "1"] => "6.1.0-56-cloud-amd64".to_owned(),
        _ => format!("{version}+deb13-cloud-amd64"),
    };
    (abi, format!("#1 SMP Debian {version}-1 (2026-11-01)"))
}

struct Report {
    document: Value,
}

impl Report {
    fn of(release: &str, version: &str) -> Self {
        Self {
            document: json!({
                "schema": 2,
                "tool": {"name": "rstproof", "version": "0.1.0"},
                "host": {"sysname": "Linux", "release": release, "version": version,
                         "machine": "x86_64", "libpcap": "libpcap version 1.10.3"},
                "evidence_sources": {"capture": true, "kernel_trace": true, "counters": true},
                "trials": [],
                "capture": {"interface": "lo", "filter": "", "dropped": 0},
            }),
        }
    }

    fn on(version: &str) -> Self {
        let (release, version) = debian(version);
        Self::of(&release, &version)
    }

    fn with(mut self, trial: Value) -> Self {
        self.document["trials"].as_array_mut().unwrap().push(trial);
        self
    }

    fn set(mut self, pointer: &str, value: Value) -> Self {
        *self.document.pointer_mut(pointer).unwrap() = value;
        self
    }

    fn text(&self) -> String {
        self.document.to_string()
    }

    fn subject(&self) -> Subject {
        parse(Path::new("report.json"), self.text().as_bytes()).unwrap()
    }
}

/// What a kernel since 6.12 can tell.
fn coverage() -> Value {
    json!({"overrun": false, "tcp_send_reset": true, "resets_without_socket": true, "reset_reasons": true,
           "tcp_receive_reset": true, "inet_sk_error_report": true, "inet_sock_set_state": true})
}

/// A confirmed trial over IPv4. A call is `who call(arguments) = result`, an RST `who form sender reason`.
fn trial(scenario: &str, calls: &[&str], resets: &[&str]) -> Value {
    let calls = calls.iter().enumerate().map(|(index, line)| {
        let (made, result) = line.split_once(" = ").unwrap();
        let (role, call) = made.split_once(' ').unwrap();
        let (call, arguments) = call.split_once('(').unwrap();
        let result = match result.parse::<i64>() {
            Ok(value) => json!({"ok": value}),
            Err(_) if result == "?" => json!({"unfinished": true}),
            Err(_) => json!({"errno": result}),
        };
        json!({"index": index, "role": role, "call": call, "arguments": arguments.trim_end_matches(')'),
               "began_ns": 0, "ended_ns": 1, "result": result, "cause": null})
    });
    let resets = resets.iter().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        json!({"frame": 6, "from": words[0], "form": words[1], "receiver_state": "ESTABLISHED",
               "acceptable": true, "acceptance": "", "sender": words[2],
               "kernel_reason": words.get(3), "triggered_by": null, "explains_calls": []})
    });
    json!({
        "scenario": scenario, "family": "ipv4", "run": 1, "verdict": "confirmed", "skipped": null, "inconclusive_reason": null,
        "findings": [], "capture_file": null, "capture_sha256": null, "began_realtime_ns": 0,
        "client": "127.0.0.1:20000", "server": "127.0.0.1:8080",
        "calls": calls.collect::<Vec<_>>(), "packets": [], "resets": resets.collect::<Vec<_>>(), "kernel_events": [],
        "trace_coverage": coverage(), "counters": {}, "unsupported_counters": [], "completeness": null,
    })
}

fn changed(mut trial: Value, key: &str, value: Value) -> Value {
    trial[key] = value;
    trial
}

fn skipped(scenario: &str, why: &str) -> Value {
    let trial = changed(trial(scenario, &[], &[]), "skipped", why.into());
    changed(trial, "verdict", Value::Null)
}

/// `shutdown` while `connect` waits, as `tcp_disconnect()` lets it through and as it denies it (4faeee0cf8a5).
fn cancelled(is_denied: bool) -> Value {
    let calls: &[&str] = if is_denied {
        &[
            "client setsockopt(SO_SNDTIMEO 500 ms) = 0",
            "client connect() = EINPROGRESS",
            "client shutdown(SHUT_RDWR) = EBUSY",
        ]
    } else {
        &[
            "client connect() = ECONNRESET",
            "client shutdown(SHUT_RDWR) = 0",
        ]
    };
    trial("connect-cancelled-shutdown", calls, &[])
}

/// Closing a Multipath TCP socket with a linger time of 0, with f14d6e9c3678 and without.
fn lingering(is_fast: bool) -> Value {
    let calls = |read: &str| format!("client read(1) = {read}");
    if is_fast {
        let resets = ["server active socket TCP_ABORT_ON_CLOSE"];
        trial("mptcp-linger-zero-close", &[&calls("ECONNRESET")], &resets)
    } else {
        trial("mptcp-linger-zero-close", &[&calls("0")], &[])
    }
}

fn compared(reports: &[Report]) -> Comparison {
    compare(reports.iter().map(Report::subject).collect())
}

/// Ids of what accounts for each difference, scenario by scenario.
fn causes(comparison: &Comparison) -> Vec<(&str, Vec<&str>)> {
    let differences = comparison.differences.iter();
    let id = |cause: &DifferenceCause| match cause {
        DifferenceCause::Patch(patch) => patch.id,
        DifferenceCause::System(system) => system.id,
    };
    differences
        .map(|it| (&*it.scenario, it.causes.iter().map(id).collect()))
        .collect()
}

/// For each group of an aspect who is in it, as people are told.
fn spans(comparison: &Comparison, aspect: Aspect) -> Vec<String> {
    let all = comparison.differences.iter().flat_map(|it| &it.aspects);
    let mut groups = all.filter(|(other, _)| *other == aspect);
    let (_, groups) = groups.next().unwrap();
    let among = rstproof::compare::members_of(groups);
    groups
        .iter()
        .map(|group| comparison.span(&group.members, &among).to_string())
        .collect()
}

#[test]
fn a_report_agrees_with_itself() {
    let report = || {
        Report::on("6.12.118")
            .with(cancelled(false))
            .with(lingering(true))
    };
    let comparison = compared(&[report(), report()]);
    assert!(comparison.differences.is_empty() && comparison.observability_differences.is_empty());
    assert_eq!(comparison.agreed.len(), 2);
    assert!(!comparison.behaviour_differs());
}

/// The order in which they are named is not that in which they are told of.
#[test]
fn a_known_difference_has_its_commit_and_says_since() {
    let comparison = compared(&[
        Report::on("6.12.118").with(cancelled(false)),
        Report::on("5.10.262").with(cancelled(true)),
        Report::on("6.1.192").with(cancelled(false)),
    ]);
    assert_eq!(
        causes(&comparison),
        [("connect-cancelled-shutdown", vec!["disconnect-denied"])]
    );
    assert_eq!(
        spans(&comparison, Aspect::Calls),
        ["5.10.262", "since 6.1.192"]
    );
    assert!(comparison.behaviour_differs());
    assert_eq!(comparison.unexplained().count(), 0);
}

/// 6.18.44 has the fix by backport, 6.19.14 does not have it though it is newer.
#[test]
fn a_difference_that_follows_no_order_of_versions_lists_them() {
    let comparison = compared(&[
        Report::on("6.17.13").with(lingering(false)),
        Report::on("6.18.44").with(lingering(true)),
        Report::on("6.19.14").with(lingering(false)),
        Report::on("7.0.13").with(lingering(true)),
    ]);
    assert_eq!(
        causes(&comparison),
        [("mptcp-linger-zero-close", vec!["mptcp-linger-fastclose"])]
    );
    assert_eq!(
        spans(&comparison, Aspect::Calls),
        ["6.17.13, 6.19.14", "6.18.44, 7.0.13"]
    );
}

/// 6.12.118 has f14d6e9c3678, so it must not do what kernels without it do.
#[test]
fn a_kernel_that_behaves_like_another_version_is_unexplained() {
    let comparison = compared(&[
        Report::on("6.12.118").with(lingering(false)),
        Report::on("6.18.44").with(lingering(true)),
    ]);
    assert_eq!(causes(&comparison), [("mptcp-linger-zero-close", vec![])]);
    assert_eq!(comparison.unexplained().count(), 1);
    assert!(human::text(&comparison, false).contains("UNEXPLAINED"));
}

#[test]
fn a_scenario_that_no_change_explains_is_unexplained() {
    let read = |result: &str| {
        let call = format!("client read(1) = {result}");
        trial("close-unread-data", &[&call], &[])
    };
    let comparison = compared(&[
        Report::on("6.12.118").with(read("ECONNRESET")),
        Report::on("7.0.13").with(read("EPIPE")),
    ]);
    assert_eq!(causes(&comparison), [("close-unread-data", vec![])]);
}

/// What a vendor took over its version does not tell: either way is one that is known, a third one is not.
#[test]
fn a_vendors_kernel_may_have_a_change_or_not() {
    let vendor = || Report::of("5.14.0-503.el9.x86_64", "#1 SMP PREEMPT_DYNAMIC");
    let kernels = |trial: Value| {
        [
            Report::on("6.17.13").with(lingering(false)),
            Report::on("7.0.13").with(lingering(true)),
            vendor().with(trial),
        ]
    };
    for is_fast in [false, true] {
        let comparison = compared(&kernels(lingering(is_fast)));
        assert_eq!(comparison.unexplained().count(), 0, "{is_fast}");
    }
    let third = trial("mptcp-linger-zero-close", &["client read(1) = EPIPE"], &[]);
    assert_eq!(compared(&kernels(third)).unexplained().count(), 1);
}

/// The claim that this began with: on macOS the first write is told EPIPE (`sosendcheck()`).
#[test]
fn the_error_of_the_first_write_on_macos_is_known() {
    let write = |result: &str| {
        let call = format!("client write(1) = {result}");
        trial(
            "close-unread-data-write",
            &[&call],
            &["server active socket"],
        )
    };
    let mac = Report::of("25.1.0", "Darwin Kernel Version 25.1.0")
        .set("/host/sysname", "Darwin".into())
        .with(write("EPIPE"));
    let comparison = compared(&[Report::on("7.3.4").with(write("ECONNRESET")), mac]);
    assert_eq!(
        causes(&comparison),
        [("close-unread-data-write", vec!["macos-broken-pipe"])]
    );
    assert_eq!(spans(&comparison, Aspect::Calls), ["7.3.4", "25.1.0"]);
}

/// A kernel before 6.12 gives no reason for an abort (ba0ca286c919), and resets connections as any other does.
#[test]
fn a_missing_reason_is_no_difference_of_behaviour() {
    let close = |reason: &str| {
        let reset = format!("server active socket {reason}");
        trial(
            "close-unread-data",
            &["client read(1) = ECONNRESET"],
            &[&reset],
        )
    };
    let comparison = compared(&[
        Report::on("6.11.2").with(close("NOT_SPECIFIED")),
        Report::on("6.12.118").with(close("TCP_ABORT_ON_CLOSE")),
    ]);
    assert!(comparison.differences.is_empty());
    let [told] = &comparison.observability_differences[..] else {
        panic!("{:?}", comparison.observability_differences)
    };
    assert_eq!(
        (&*told.feature, &told.available_on[..], &told.missing_on[..]),
        ("the reason of an abort", &[1][..], &[0][..])
    );
    assert!(
        matches!(told.cause, Some(DifferenceCause::Patch(patch)) if patch.commit.0 == "ba0ca286c919")
    );
}

#[test]
fn another_reason_for_the_same_rst_is_observability() {
    let close = |reason: &str| {
        let reset = format!("server active socket {reason}");
        trial(
            "mptcp-close-unread-data",
            &["client read(1) = ECONNRESET"],
            &[&reset],
        )
    };
    let comparison = compared(&[
        Report::on("6.16.12").with(close("TCP_STATE")),
        Report::on("6.17.13").with(close("TCP_ABORT_ON_CLOSE")),
    ]);
    assert_eq!(comparison.differences[0].kind, Kind::Observability);
    assert_eq!(
        causes(&comparison),
        [("mptcp-close-unread-data", vec!["mptcp-fastclose-once"])]
    );
    assert!(!comparison.behaviour_differs());
}

/// Two changes of this scenario lie between the two kernels; only one of them is about the reason.
#[test]
fn a_change_that_is_about_something_else_is_no_cause() {
    let close = |reason: &str| {
        let reset = format!("server active socket {reason}");
        trial(
            "mptcp-close-unread-data",
            &["client read(1) = ECONNRESET"],
            &[&reset],
        )
    };
    let comparison = compared(&[
        Report::on("6.16.12").with(close("TCP_STATE")),
        Report::on("6.18.44").with(close("TCP_ABORT_ON_CLOSE")),
    ]);
    assert_eq!(
        causes(&comparison),
        [("mptcp-close-unread-data", vec!["mptcp-fastclose-once"])]
    );
}

/// `PAWSOldAck` is there since 6.14: that 6.12 does not move it says nothing of what it did.
#[test]
fn a_counter_that_one_kernel_lacks_is_not_compared() {
    let counted = |unsupported_counters: &[&str], counters: Value| {
        let trial = trial("paws-old-data", &["client connect() = 0"], &[]);
        changed(
            changed(trial, "unsupported_counters", json!(unsupported_counters)),
            "counters",
            counters,
        )
    };
    let comparison = compared(&[
        Report::on("6.12.118").with(counted(&["PAWSOldAck"], json!({"PAWSEstab": 1}))),
        Report::on("6.16.12").with(counted(&[], json!({"PAWSEstab": 1, "PAWSOldAck": 1}))),
    ]);
    assert!(comparison.differences.is_empty());
    assert_eq!(comparison.observability_differences.len(), 1);
    assert_eq!(
        comparison.observability_differences[0].feature,
        "the counter PAWSOldAck"
    );
    let comparison = compared(&[
        Report::on("6.12.118").with(counted(&[], json!({"PAWSEstab": 1}))),
        Report::on("6.16.12").with(counted(&[], json!({"PAWSEstab": 2}))),
    ]);
    assert_eq!(
        spans(&comparison, Aspect::Counters),
        ["6.12.118", "6.16.12"]
    );
}

/// From 299 to 420 seconds after boot a listener takes an ACK of no connection for a SYN cookie and counts
/// `SyncookiesFailed` (`tcp_synq_no_recent_overflow()`): that is no difference between kernels. In a scenario that states the
/// counter it is one, and so it is in a trial that is not confirmed.
#[test]
fn a_counter_that_depends_on_the_uptime_is_not_compared() {
    let counted = |scenario: &str, verdict: &str, counters: Value| {
        let trial = trial(scenario, &["client connect() = 0"], &[]);
        let trial = changed(trial, "verdict", json!(verdict));
        changed(trial, "counters", counters)
    };
    let soon = json!({"OutRsts": 2, "SyncookiesFailed": 1});
    let later = json!({"OutRsts": 2});
    for (scenario, verdict, differs) in [
        ("reset-lost", "confirmed", false),
        ("reset-lost", "refuted", true),
        ("syn-cookie-bad-ack", "confirmed", true),
        ("of-a-later-version", "confirmed", true),
    ] {
        let comparison = compared(&[
            Report::on("6.12.118").with(counted(scenario, verdict, soon.clone())),
            Report::on("6.16.12").with(counted(scenario, verdict, later.clone())),
        ]);
        let counters = comparison.differences.iter().flat_map(|it| &it.aspects);
        let is_named = counters.into_iter().any(|it| it.0 == Aspect::Counters);
        assert_eq!(is_named, differs, "{scenario} {verdict}");
    }
}

#[test]
fn scenarios_that_a_kernel_cannot_run_are_differences_of_availability() {
    let comparison = compared(&[
        Report::on("5.10.262").with(skipped("mptcp-linger-zero-close", "no Multipath TCP here")),
        Report::on("6.18.44").with(lingering(true)),
        Report::on("7.0.13").with(lingering(true)),
    ]);
    assert_eq!(comparison.differences[0].kind, Kind::Availability);
    assert!(!comparison.behaviour_differs());
    assert_eq!(comparison.unexplained().count(), 0);
    let unavailable = comparison.unavailable();
    assert_eq!(unavailable.len(), 1);
    assert_eq!(
        unavailable[0].scenarios,
        [("mptcp-linger-zero-close", vec![Family::Ipv4])]
    );
    assert_eq!(unavailable[0].lacking[0].lines, ["no Multipath TCP here"]);
}

/// The capture lost frames: that it holds no RST is no difference.
#[test]
fn an_inconclusive_trial_is_not_compared() {
    let gap = json!({"id": "frames-dropped", "message": "the kernel had no room for 3 frames"});
    let lost = changed(lingering(false), "verdict", "inconclusive".into());
    let comparison = compared(&[
        Report::on("6.18.44").with(lingering(true)),
        Report::on("7.0.13").with(changed(lost, "inconclusive_reason", gap)),
    ]);
    assert!(comparison.differences.is_empty());
    let text = human::text(&comparison, false);
    for text in [text, markdown::text(&comparison, false).replace('`', "")] {
        assert!(
            text.contains("on 7.0.13: the kernel had no room for 3 frames"),
            "{text}"
        );
    }
}

#[test]
fn trials_that_differ_on_one_kernel_are_reported() {
    let read = |result: &str| {
        let call = format!("client read(1) = {result}");
        trial("close-unread-data", &["client connect() = 0", &call], &[])
    };
    let comparison = compared(&[
        Report::on("6.18.44").with(read("ECONNRESET")),
        Report::on("7.0.13")
            .with(read("ECONNRESET"))
            .with(read("0")),
    ]);
    let (_, groups) = &comparison.differences[0].aspects[0];
    let expected = [
        "sometimes client read(1) = 0",
        "sometimes client read(1) = ECONNRESET",
    ];
    assert_eq!(groups[1].lines, expected);
}

/// How much a blocked write gets rid of depends on the buffers of that day.
#[test]
fn a_partial_count_is_the_same_however_large() {
    let steps = rstproof_core::scenario::find("reset-blocked-writer").unwrap();
    let calls = |count: i64| -> Vec<String> {
        let lines = steps.calls().map(|(role, op, expect)| {
            let result = expect
                .outcome()
                .map_or(count.to_string(), |it| it.to_string());
            format!(
                "{} {}({}) = {result}",
                role.name(),
                op.call(),
                op.arguments()
            )
        });
        lines.collect()
    };
    let report = |version: &str, count: i64| {
        let calls = calls(count);
        let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
        Report::on(version).with(trial("reset-blocked-writer", &calls, &[]))
    };
    let comparison = compared(&[report("6.12.118", 2_543_000), report("7.0.13", 2_612_000)]);
    assert!(
        comparison.differences.is_empty(),
        "{:?}",
        comparison.differences
    );
}

#[test]
fn a_difference_in_both_families_is_reported_once() {
    let both = |version: &str, trial: &Value| {
        let other = changed(trial.clone(), "family", "ipv6".into());
        Report::on(version).with(trial.clone()).with(other)
    };
    let comparison = compared(&[
        both("6.17.13", &lingering(false)),
        both("7.0.13", &lingering(true)),
    ]);
    assert_eq!(comparison.differences.len(), 1);
    assert_eq!(comparison.differences[0].families.len(), 2);
}

/// Kernels that do the reverse of what their versions say were refuted, each: a known change does not account for that.
#[test]
fn a_refuted_trial_is_not_explained_by_a_known_change() {
    let refuted = |trial: Value| changed(trial, "verdict", "refuted".into());
    for (old, new) in [
        (refuted(lingering(true)), refuted(lingering(false))),
        (
            lingering(false),
            refuted(trial(
                "mptcp-linger-zero-close",
                &["client read(1) = EPIPE"],
                &[],
            )),
        ),
        // The same calls and RSTs, judged otherwise.
        (lingering(true), refuted(lingering(true))),
    ] {
        let comparison = compared(&[
            Report::on("6.17.13").with(old),
            Report::on("7.0.13").with(new),
        ]);
        assert_eq!(comparison.unexplained().count(), 1);
        let text = human::text(&comparison, false);
        assert!(text.contains("1 refuted"), "{text}");
    }
    let explained = compared(&[
        Report::on("6.17.13").with(lingering(false)),
        Report::on("7.0.13").with(lingering(true)),
    ]);
    assert_eq!(explained.unexplained().count(), 0);
}

/// Another system is known for one thing, and what else it does nobody has explained.
#[test]
fn known_differences_of_another_system_must_be_observed() {
    let write = |result: &str| {
        let call = format!("client write(1) = {result}");
        trial("close-unread-data-write", &[&call], &[])
    };
    let unexplained = |result: &str| {
        let mac = Report::on("25.1.0").set("/host/sysname", "Darwin".into());
        let comparison = compared(&[
            mac.with(write(result)),
            Report::on("7.0.13").with(write("ECONNRESET")),
        ]);
        comparison.unexplained().count()
    };
    assert_eq!(unexplained("EPIPE"), 0);
    assert_eq!(unexplained("EINTR"), 1);
}

/// Agreed is what two have done: not what one has done, nor what nobody can say.
#[test]
fn kernels_that_were_not_compared_are_not_reported_as_equal() {
    let gap = json!({"id": "frames-lost", "message": "frames were lost"});
    let unsaid = changed(
        changed(lingering(true), "verdict", "inconclusive".into()),
        "inconclusive_reason",
        gap,
    );
    let other = || trial("clean-close-eof", &["client read(1) = 0"], &[]);
    let none = "no Multipath TCP: the kernel does not support it";
    let without = || skipped("mptcp-linger-zero-close", none);
    for (one, two, expected) in [
        (lingering(true), unsaid.clone(), "only 6.17.13 ran it"),
        (lingering(true), other(), "only 6.17.13 ran it"),
        (without(), without(), "no kernel ran it"),
    ] {
        let comparison = compared(&[
            Report::on("6.17.13").with(one),
            Report::on("7.0.13").with(two),
        ]);
        assert!(comparison.agreed.is_empty() && comparison.is_empty());
        for text in [
            human::text(&comparison, true),
            markdown::text(&comparison, true).replace('`', ""),
        ] {
            assert!(text.contains(expected), "{text}");
        }
        assert!(human::text(&comparison, true).contains("nothing was compared"));
        let document: Value = serde_json::from_str(&json::text(&comparison, false)).unwrap();
        assert!(!document["not_compared"].as_array().unwrap().is_empty());
    }
    // Two that agree were compared, although a third cannot run it; one that did run it was not.
    let agreeing = |second: Value| {
        compared(&[
            Report::on("6.12.118").with(without()),
            Report::on("6.17.13").with(lingering(true)),
            Report::on("7.0.13").with(second),
        ])
    };
    for (second, is_empty) in [(lingering(true), false), (unsaid.clone(), true)] {
        let comparison = agreeing(second);
        assert_eq!(comparison.is_empty(), is_empty);
        assert!(!comparison.behaviour_differs());
        let text = human::text(&comparison, false);
        assert_eq!(text.contains("nothing was compared"), is_empty, "{text}");
    }
    let partial = compared(&[
        Report::on("6.17.13").with(lingering(true)).with(other()),
        Report::on("7.0.13").with(other()),
        Report::on("7.1.13").with(other()).with(unsaid),
    ]);
    let document: Value = serde_json::from_str(&json::text(&partial, true)).unwrap();
    assert_eq!(document["agreed"][0]["kernel_count"], 3);
    assert_eq!(document["inconclusive"][0]["kernel"], 2);
    assert_eq!(
        document["not_run"],
        json!([{"kernel": 1, "scenario": "mptcp-linger-zero-close", "family": "ipv4"}])
    );
    let text = human::text(&partial, false);
    assert!(
        text.contains("7.0.13 did not run 1 of the trials in the other reports"),
        "{text}"
    );
}

/// "Since" is said of kernels that were seen, each of them.
#[test]
fn since_covers_only_kernels_that_were_compared() {
    let gap = json!({"id": "frames-lost", "message": "frames were lost"});
    let unsaid = changed(
        changed(lingering(true), "verdict", "inconclusive".into()),
        "inconclusive_reason",
        gap,
    );
    let span = |third: Value| {
        let comparison = compared(&[
            Report::on("6.16.12").with(lingering(false)),
            Report::on("7.0.13").with(lingering(true)),
            Report::on("7.1.13").with(third),
            Report::on("7.3.4").with(lingering(true)),
        ]);
        let (_, groups) = &comparison.differences[0].aspects[0];
        let among = rstproof::compare::members_of(groups);
        comparison.span(&groups[1].members, &among).to_string()
    };
    assert_eq!(span(lingering(true)), "since 7.0.13");
    assert_eq!(span(unsaid), "7.0.13, 7.3.4");
}

/// A scenario that is skipped over one family runs over the other.
#[test]
fn a_skipped_trial_names_its_address_family() {
    let ipv6 = |trial: Value| changed(trial, "family", "ipv6".into());
    let run = || {
        trial(
            "connect-closed-port",
            &["client connect() = ECONNREFUSED"],
            &[],
        )
    };
    let comparison = compared(&[
        Report::on("6.17.13").with(run()).with(ipv6(run())),
        Report::on("7.0.13")
            .with(run())
            .with(ipv6(skipped("connect-closed-port", "no IPv6"))),
    ]);
    let text = human::text(&comparison, false);
    assert!(text.contains("connect-closed-port (ipv6)"), "{text}");
}

/// Candidates stand before their release and in their own order, and who has no version behind all others.
#[test]
fn kernels_are_in_the_order_of_their_releases() {
    let report = |release: &str| Report::of(release, "#1 SMP").with(lingering(true));
    let comparison = compared(&[
        report("next"),
        report("7.1.0"),
        report("7.1.0-rc10"),
        report("6.9.1"),
        report("6.10.1"),
        report("7.1.0-rc2"),
    ]);
    let releases: Vec<&str> = comparison.subjects.iter().map(|it| &*it.release).collect();
    assert_eq!(
        releases,
        [
            "6.9.1",
            "6.10.1",
            "7.1.0-rc2",
            "7.1.0-rc10",
            "7.1.0",
            "next"
        ]
    );
    assert!(!human::text(&comparison, false).contains("oldest kernel first"));
}

/// The longest name that a report may have, in characters of several bytes, too.
#[test]
fn a_long_name_is_wrapped() {
    for name in [
        "x".repeat(1000),
        "長".repeat(300),
        format!("9.9.0-{}", "y".repeat(80)),
    ] {
        let comparison = compared(&[
            Report::of(&name, "#1 SMP").with(lingering(true)),
            Report::on("7.0.13").with(lingering(false)),
        ]);
        let text = human::text(&comparison, true);
        let plain = anstream::adapter::strip_str(&text).to_string();
        for line in plain.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn reports_of_the_same_kernel_have_distinct_names() {
    let labels = |reports: &[Report]| -> Vec<String> {
        let comparison = compared(reports);
        comparison.subjects.into_iter().map(|it| it.label).collect()
    };
    let report = || Report::on("6.12.118").with(lingering(true));
    assert_eq!(
        labels(&[report(), report()]),
        [
            "6.12.118+deb13-cloud-amd64#1",
            "6.12.118+deb13-cloud-amd64#2"
        ]
    );
    let other = Report::of("6.12.118-arch1-1", "#1 SMP").with(lingering(true));
    assert_eq!(
        labels(&[report(), other]),
        ["6.12.118+deb13-cloud-amd64", "6.12.118-arch1-1"]
    );
}

/// What several kernels did, for the forms of the output.
fn example() -> Vec<Report> {
    let close = |reason: Option<&str>| {
        let reset = reason.map_or_else(
            || "server active socket".to_owned(),
            |reason| format!("server active socket {reason}"),
        );
        trial(
            "close-unread-data",
            &["client read(1) = ECONNRESET"],
            &[&reset],
        )
    };
    let old = changed(
        close(None),
        "trace_coverage",
        json!({"overrun": false, "tcp_send_reset": true,
        "resets_without_socket": false, "reset_reasons": false, "tcp_receive_reset": true, "inet_sk_error_report": false,
        "inet_sock_set_state": true}),
    );
    let odd = trial("clean-close-eof", &["client read(1) = EPIPE"], &[]);
    let even = || trial("clean-close-eof", &["client read(1) = 0"], &[]);
    let mut reports = vec![
        Report::on("5.10.262")
            .with(cancelled(true))
            .with(skipped(
                "mptcp-linger-zero-close",
                "no Multipath TCP: the kernel does not support it",
            ))
            .with(old)
            .with(even()),
    ];
    for version in [
        "6.16.12", "6.17.13", "6.18.15", "6.18.44", "6.19.14", "7.0.13", "7.1.13", "7.3.4",
    ] {
        let is_fast = matches!(version, "6.18.44" | "7.0.13" | "7.1.13" | "7.3.4");
        let last = if version == "7.1.13" {
            odd.clone()
        } else {
            even()
        };
        reports.push(
            Report::on(version)
                .with(cancelled(false))
                .with(lingering(is_fast))
                .with(close(Some("TCP_ABORT_ON_CLOSE")))
                .with(last),
        );
    }
    reports
}

#[test]
fn the_form_for_people_fits_eighty_columns() {
    let text = human::text(&compared(&example()), true);
    let plain = anstream::adapter::strip_str(&text).to_string();
    for line in plain.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    insta::assert_snapshot!(plain);
}

#[test]
fn the_form_for_machines_is_one_document() {
    let text = json::text(&compared(&example()[..3]), true);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], 2);
    assert_eq!(document["behaviour_differs"], true);
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}

#[test]
fn the_form_for_pages_is_markdown() {
    insta::assert_snapshot!(markdown::text(&compared(&example()), true));
}

/// All changes of Linux that a page may name.
const PATCHES: [&Patch; 16] = [
    &history::DISCONNECT_DENIED,
    &history::CLOSE_LOOKS_AT_COPIED,
    &history::SYN_LINEAR_TIMEOUTS,
    &history::SIMULTANEOUS_CONNECT,
    &history::ACK_UNSENT_CHALLENGE,
    &history::SYN_RECEIVED_CHALLENGE,
    &history::REUSEPORT_MIGRATION,
    &history::MPTCP_FASTCLOSE_ONCE,
    &history::MPTCP_ERROR_REPORT,
    &history::MPTCP_LINGER_FASTCLOSE,
    &history::TRACE_WITHOUT_SOCKET,
    &history::TRACE_REASON,
    &history::TRACE_ABORT_REASON,
    &history::TRACE_ERROR_REPORT,
    &history::MPTCP_COUNT_FASTCLOSE,
    &history::MPTCP_COUNT_RST,
];

/// docs/kernels.md is written by `scripts/kernel-matrix.sh`. A sentence that is changed on the page only is lost with the
/// next run.
#[test]
fn the_page_of_kernels_has_the_words_of_the_program() {
    let page = fs::read_to_string("docs/kernels.md").unwrap();
    let script = fs::read_to_string("scripts/kernel-matrix.sh").unwrap();
    let (introduction, _) = page.split_once("## Kernels").unwrap();
    assert!(script.contains(introduction), "{introduction}");
    let written = markdown::text(&compared(&example()), true);
    let headings = |text: &str| -> Vec<String> {
        let such = text.lines().filter(|line| line.starts_with("## "));
        such.map(str::to_owned).collect()
    };
    assert_eq!(headings(&page), headings(&written));
    for (heading, title) in page.lines().zip(page.lines().skip(2)) {
        let Some(id) = heading
            .strip_prefix("### `")
            .and_then(|it| it.split('`').next())
        else {
            continue;
        };
        let expected = scenario::find(id).unwrap().title;
        // A sentence, unless it begins with the name of a call.
        let (first, rest) = expected.split_at(1);
        let is_same = title == format!("{}{rest}.", first.to_uppercase());
        assert!(is_same || title == format!("{expected}."), "{id}: {title}");
    }
    let others = |text: &str| text.split_once("## Other systems").unwrap().1.to_owned();
    assert_eq!(others(&page), others(&written));
    let counters = ["PAWSOldAck", "PAWSTimewait"].map(|name| history::of_counter(name).unwrap());
    let causes: Vec<String> = PATCHES
        .into_iter()
        .chain(counters)
        .map(|patch| format!("{} {}.", patch.description, patch.source()))
        .collect();
    let named: Vec<&str> = page
        .lines()
        .filter(|line| line.contains(", in Linux "))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    for line in named {
        assert!(causes.iter().any(|it| line.contains(it)), "{line}");
    }
}

/// A terminal, a table and a page obey what a report says of its host: none of it may get there as it is.
#[test]
fn control_characters_of_a_hostile_report_are_escaped() {
    let hostile = "\x1b]0;owned\x07|<script>\n7\u{9b}31m\u{202e}![x](http://a/b.png) @all \\|";
    let report = |version: &str, result: &str| {
        let call = format!("client read(1) = {result}");
        Report::on(version)
            .set("/host/release", hostile.into())
            .with(trial(&format!("evil{hostile}"), &[&call], &[]))
            .with(skipped("close-unread-data", hostile))
    };
    let gap = json!({"id": "frames-lost", "message": hostile});
    let unsaid = changed(
        trial("clean-close-eof", &[], &[]),
        "verdict",
        "inconclusive".into(),
    );
    let untraced = json!({"overrun": false, "tcp_send_reset": false, "resets_without_socket": false, "reset_reasons": false,
                          "tcp_receive_reset": false, "inet_sk_error_report": false, "inet_sock_set_state": false});
    let other = Report::on("7.0.13")
        .with(changed(trial("close-unread-data", &[], &[]), "trace_coverage", untraced))
        .with(changed(unsaid, "inconclusive_reason", gap))
        .set("/evidence_sources", json!({"capture": true, "kernel_trace": false, "counters": true, "kernel_trace_note": hostile}));
    let comparison = compared(&[report("6.12.118", hostile), report("7.3.4", "0"), other]);
    assert!(!comparison.observability_differences.is_empty());
    let document = json::text(&comparison, true);
    assert!(
        !document.contains('\u{9b}') && !document.contains('\u{202e}'),
        "{document}"
    );
    let human = anstream::adapter::strip_str(&human::text(&comparison, true)).to_string();
    let page = markdown::text(&comparison, true);
    for text in [human, page.clone()] {
        assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text}");
    }
    assert!(!page.contains("<script>"), "{page}");
    // Outside of code there is no picture, link or call.
    for line in page.lines() {
        let outside: String = line.split('`').step_by(2).collect();
        assert!(
            !outside.contains("![") && !outside.contains("@all"),
            "{line}"
        );
    }
}

/// Of trials that all differ a person is shown some, and how many there are besides.
#[test]
fn a_long_list_of_outcomes_is_shortened() {
    let mut many = Report::on("7.0.13");
    for count in 0..1_000 {
        let call = format!("client read(1) = {count}");
        many = many.with(trial("close-unread-data", &[&call], &[]));
    }
    let one = trial("close-unread-data", &["client read(1) = ECONNRESET"], &[]);
    let comparison = compared(&[Report::on("6.18.44").with(one), many]);
    let (_, groups) = &comparison.differences[0].aspects[0];
    assert_eq!(groups[1].lines.len(), 201);
    assert_eq!(groups[1].lines[200], "… 800 more …");
}

mod command {
    use super::*;

    fn rstproof(arguments: &[&Path]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rstproof"));
        command.arg("compare").args(arguments).stdin(Stdio::null());
        command.env_remove("CLICOLOR_FORCE").output().unwrap()
    }

    fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// What it complains of, in one line, and its exit code.
    fn refusal(text: &str) -> (String, Option<i32>) {
        let home = tempfile::tempdir().unwrap();
        let good = Report::on("6.12.118").with(lingering(true)).text();
        let good = [
            written(home.path(), "a.json", &good),
            written(home.path(), "b.json", &good),
        ];
        let bad = written(home.path(), "bad.json", text);
        let output = rstproof(&[&good[0], &bad, &good[1]]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error.lines().count(), 1, "{error}");
        // The others are compared all the same.
        assert!(!output.stdout.is_empty());
        (error, output.status.code())
    }

    #[test]
    fn a_file_that_is_no_report_is_refused_in_one_line() {
        let good = Report::on("6.12.118").with(lingering(true));
        let without = |key: &str| {
            let mut trial = lingering(true);
            trial.as_object_mut().unwrap().remove(key);
            Report::on("6.12.118").with(trial).text()
        };
        let mut no_result = lingering(true);
        no_result["calls"][0]["result"] = json!({});
        for (text, why) in [
            (String::new(), "it is empty"),
            (" \n".to_owned(), "it is empty"),
            ("{}".to_owned(), "missing field"),
            (without("calls"), "missing field `calls`"),
            (without("resets"), "missing field `resets`"),
            (without("counters"), "missing field `counters`"),
            (
                Report::on("6.12.118")
                    .with(changed(lingering(true), "verdict", Value::Null))
                    .text(),
                "has no verdict and was not skipped",
            ),
            (
                Report::on("6.12.118").with(no_result).text(),
                "one of ok, errno and unfinished",
            ),
            (
                Report::on("6.12.118")
                    .set("/trials", json!(vec![0; 10]))
                    .text(),
                "invalid type: integer",
            ),
            ("not JSON".to_owned(), "byte 1: expected"),
            (good.text()[..200].to_owned(), "EOF while parsing"),
            (Report::on("6.12.118").text(), "it contains no trials"),
            (
                Report::on("6.12.118").set("/schema", 1.into()).text(),
                "it has schema 1, but this version reads schema 2; record it again with `rstproof run -w DIR`",
            ),
            (
                Report::on("6.12.118").set("/schema", 3.into()).text(),
                "it has schema 3, but this version reads schema 2; read it with a newer version",
            ),
            (
                Report::on("6.12.118")
                    .set("/tool/name", "other".into())
                    .text(),
                "the report is from other, expected rstproof",
            ),
        ] {
            let (error, code) = refusal(&text);
            assert!(
                error.contains("bad.json") && error.contains(why),
                "{why}: {error}"
            );
            assert_eq!(code, Some(2));
        }
    }

    /// Cut anywhere, a report is refused: none of it is taken for the whole.
    #[test]
    fn a_report_that_was_cut_is_refused_wherever_it_was_cut() {
        let text = Report::on("6.12.118").with(lingering(true)).text();
        for length in 0..text.len() {
            let cut = parse(Path::new("r"), &text.as_bytes()[..length]);
            assert!(cut.is_err(), "{length}");
        }
    }

    #[test]
    fn the_exit_code_says_whether_behaviour_differs() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, report: Report| written(home.path(), name, &report.text());
        let old = write(
            "old/report.json",
            Report::on("6.17.13").with(lingering(false)),
        );
        let new = write(
            "new/report.json",
            Report::on("7.0.13").with(lingering(true)),
        );
        let same = write("same.json", Report::on("7.1.13").with(lingering(true)));
        assert_eq!(rstproof(&[&new, &same]).status.code(), Some(0));
        assert_eq!(rstproof(&[&old, &new]).status.code(), Some(1));
        // Directories stand for their reports, and one of directories for theirs.
        let [old, new] = [old, new].map(|it| it.parent().unwrap().to_owned());
        assert_eq!(rstproof(&[&old, &new]).status.code(), Some(1));
        let all = rstproof(&[home.path()]);
        assert_eq!(all.status.code(), Some(1));
        assert!(
            String::from_utf8(all.stdout)
                .unwrap()
                .starts_with("2 reports")
        );
        // A kernel that brought out no report is not passed over.
        written(home.path(), "third/console.log", "Kernel panic");
        let all = rstproof(&[home.path()]);
        assert_eq!(all.status.code(), Some(2));
        let error = String::from_utf8(all.stderr).unwrap();
        assert!(
            error.contains("third: it contains no report.json"),
            "{error}"
        );
        // Two that have nothing in common.
        let other = trial("clean-close-eof", &["client read(1) = 0"], &[]);
        let other = write("other.json", Report::on("7.0.13").with(other));
        assert_eq!(rstproof(&[&other, &same]).status.code(), Some(3));
        let none = skipped("mptcp-linger-zero-close", "this kernel has none");
        let without = write("without.json", Report::on("6.1.1").with(none));
        assert_eq!(rstproof(&[&without, &same]).status.code(), Some(3));
        // Two that agree, beside one that cannot run it.
        let all = rstproof(&[&without, &new, &same]);
        assert_eq!(all.status.code(), Some(0));
    }

    #[test]
    fn one_report_is_not_enough() {
        let home = tempfile::tempdir().unwrap();
        let text = Report::on("6.12.118").with(lingering(true)).text();
        let only = written(home.path(), "only.json", &text);
        for (arguments, why) in [
            (vec![&*only], "need at least two reports, got 1"),
            (vec![&*only, home.path()], "contains no report.json"),
        ] {
            let output = rstproof(&arguments);
            assert_eq!(output.status.code(), Some(2));
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(why), "{error}");
        }
    }
}
