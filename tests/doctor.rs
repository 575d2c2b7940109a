//! What `rstproof doctor` shows, as snapshots of examinations that are written out by hand.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use anstream::adapter::strip_str;
use rstproof::doctor::human::table;
use rstproof::doctor::{Check, Examination, Facts, Group, SelfTest, Status, Tried};
use rstproof::sources::format::Field;
use rstproof_core::report::{Host, Remark, Tool};
use rstproof_core::scenario::Family;
use rstproof_core::verdict::Verdict;

fn check(group: Group, id: &'static str, name: &'static str, detail: &str) -> Check {
    Check {
        id,
        name,
        group,
        status: Status::Ok,
        detail: detail.to_owned(),
        without_it: None,
        fix: None,
        blocked_by: None,
        facts: None,
    }
}

fn less(status: Status, without_it: &str, fix: Option<&str>, check: Check) -> Check {
    Check {
        status,
        without_it: Some(without_it.to_owned()),
        fix: fix.map(str::to_owned),
        ..check
    }
}

fn blocked(by: &'static str, check: Check) -> Check {
    Check {
        blocked_by: Some(by),
        ..less(Status::Missing, "something", None, check)
    }
}

fn tried(family: Family, verdict: Verdict) -> Tried {
    Tried {
        scenario: "close-unread-data",
        family,
        verdict: Some(verdict),
        skipped: None,
        inconclusive_reason: None,
        findings: Vec::new(),
    }
}

fn examination(uid: u32, self_test: SelfTest, checks: Vec<Check>) -> Examination {
    Examination {
        schema: 1,
        tool: Tool {
            name: "rstproof".into(),
            version: "1.2.3".into(),
        },
        host: Host {
            sysname: "Linux".to_owned(),
            release: "6.8.0".to_owned(),
            version: "#1 SMP".to_owned(),
            machine: "x86_64".to_owned(),
            libpcap: "libpcap version 1.10.3".to_owned(),
        },
        distribution: "Some Linux 9".to_owned(),
        uid,
        self_test,
        checks,
    }
}

/// An ordinary user on a host with an older kernel.
fn good() -> Examination {
    let verdicts = [Family::Ipv4, Family::Ipv6].map(|family| tried(family, Verdict::Confirmed));
    let field = |name: &str, declared: &str, offset, size| Field {
        name: name.to_owned(),
        declared: declared.to_owned(),
        offset,
        size,
        signed: declared == "int",
    };
    let event = Facts::Event {
        fields: vec![
            field("state", "int", 24, 4),
            field("saddr", "__u8[4]", 34, 4),
        ],
        missing_fields: vec!["reason"],
        named_reasons: 0,
    };
    let job = SelfTest {
        passed: true,
        trials: verdicts.to_vec(),
    };
    let checks = vec![
        check(
            Group::Trials,
            "user-namespaces",
            "user namespaces",
            "allowed: one was entered",
        ),
        check(
            Group::Trials,
            "self-test",
            "close-unread-data",
            "confirmed over IPv4 and IPv6",
        ),
        less(
            Status::Missing,
            "`run --host` only",
            Some(
                "sudo setcap cap_net_raw=ep /home/somebody/with/a/long/name/and/a/deep/directory/rstproof",
            ),
            check(
                Group::Host,
                "cap-net-raw",
                "CAP_NET_RAW",
                "not permitted to open packet sockets",
            ),
        ),
        blocked(
            "cap-net-raw",
            check(Group::Host, "host-capture", "capture on lo", "not shown"),
        ),
        Check {
            facts: Some(event),
            ..less(
                Status::Limited,
                "nothing now; later why the RST was sent (field reason, Linux 6.10)",
                None,
                check(
                    Group::Kernel,
                    "event-tcp-send-reset",
                    "tcp:tcp_send_reset",
                    "state, saddr",
                ),
            )
        },
        Check {
            facts: Some(Facts::Program {
                path: "/usr/bin/tshark".to_owned(),
                version: Some("TShark 4.0\u{1b}[31m".to_owned()),
            }),
            ..check(Group::Programs, "tshark", "tshark", "TShark 4.0\u{1b}[31m")
        },
    ];
    examination(1000, job, checks)
}

/// Root in a container that may not make namespaces.
fn bad(on_host: Status) -> Examination {
    let fix = (on_host == Status::Ok).then_some("'/my tools/rstproof' run --host");
    let checks = vec![
        less(
            Status::Missing,
            "trials in a private namespace",
            None,
            check(
                Group::Trials,
                "user-namespaces",
                "user namespaces",
                "user.max_user_namespaces forbids them",
            ),
        ),
        Check {
            fix: fix.map(str::to_owned),
            ..blocked(
                "user-namespaces",
                check(Group::Trials, "self-test", "close-unread-data", "not tried"),
            )
        },
        Check {
            status: on_host,
            ..check(Group::Host, "host-capture", "capture on lo", "looked at")
        },
    ];
    examination(0, SelfTest::default(), checks)
}

fn plain(examination: &Examination) -> String {
    strip_str(&table(examination)).to_string()
}

#[test]
fn a_host_that_can_run_trials() {
    let shown = plain(&good());
    // A path is not cut.
    let path = |line: &str| line.contains("/home/somebody");
    for line in shown.lines().filter(|line| !path(line)) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_host_that_can_run_them_on_its_own_loopback_only() {
    insta::assert_snapshot!(plain(&bad(Status::Ok)));
}

#[test]
fn a_host_that_cannot_run_them_at_all() {
    insta::assert_snapshot!(plain(&bad(Status::Missing)));
}

#[test]
fn a_trial_that_was_refuted_says_so_at_the_end() {
    let mut examination = good();
    examination.self_test.passed = false;
    let trial = &mut examination.checks[1];
    trial.status = Status::Missing;
    trial.detail = "refuted over IPv4: no RST [no-reset]".to_owned();
    let shown = plain(&examination);
    let last = shown.lines().next_back().unwrap();
    assert_eq!(
        last,
        "trials cannot run here: close-unread-data refuted over IPv4: no RST [no-reset]"
    );
}

/// What other programs say of themselves may hold anything.
#[test]
fn the_only_escape_sequences_are_our_own() {
    assert!(table(&good()).contains("\\u{1b}[31m"));
    assert!(!table(&good()).contains("\u{1b}[31m"));
}

#[test]
fn json() {
    let mut examination = good();
    let remark = Remark::new("no-reset", "no RST".to_owned());
    examination.self_test.trials[1].findings.push(remark);
    insta::assert_snapshot!(serde_json::to_string_pretty(&examination).unwrap());
}
