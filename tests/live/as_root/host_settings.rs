//! The host's own settings, with `--host`: what relies on a setting that has another value is skipped by its name, and nothing is
//! judged wrongly for it.

use std::fs;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use crate::run::{PROGRAM, Run};

/// A setting, the value that it is given, and scenarios that go otherwise with it: measured on Linux 6.18, where each was refuted.
const CHANGED: &[(&str, &str, &[&str])] = &[
    (
        "net.ipv4.tcp_syncookies",
        "2",
        &["defer-accept-listener-close", "linger-zero-unsent"],
    ),
    (
        "net.ipv4.tcp_abort_on_overflow",
        "1",
        &["accept-queue-overflow"],
    ),
    (
        "net.ipv4.tcp_max_tw_buckets",
        "0",
        &["write-after-peer-close", "write-after-peer-close-response"],
    ),
    ("net.ipv4.tcp_migrate_req", "1", &["reuseport-close"]),
    (
        "net.ipv4.tcp_notsent_lowat",
        "4096",
        &[
            "linger-zero-unsent",
            "disconnect-af-unspec",
            "disconnect-with-data",
        ],
    ),
    (
        "net.ipv4.tcp_wmem",
        "4096 4096 4096",
        &[
            "linger-zero-unsent",
            "disconnect-with-data",
            "reset-blocked-writer",
        ],
    ),
    ("net.core.somaxconn", "0", &["accept-queue-overflow"]),
];

/// In the network namespace of this thread.
fn bring_loopback_up() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let up = rtnetlink::LinkUnspec::new_with_index(1).up().build();
        handle.link().set(up).execute().await.unwrap();
    });
}

/// Runs the program in a network namespace whose loopback is up and has this setting.
fn run_with(name: &str, value: &str) -> Run {
    let file = format!("/proc/sys/{}", name.replace('.', "/"));
    let value = value.to_owned();
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        bring_loopback_up();
        fs::write(file, value).unwrap();
        Run::of(Command::new(PROGRAM).args(["run", "--host", "--format", "json"]))
    });
    thread.join().unwrap()
}

#[test]
fn what_relies_on_another_value_is_skipped_by_name() {
    for (name, value, scenarios) in CHANGED {
        let trials = run_with(name, value).quietly(0).trials();
        for scenario in *scenarios {
            let of = |trial: &&Value| trial["scenario"] == *scenario;
            let of: Vec<&Value> = trials.iter().filter(of).collect();
            assert_eq!(of.len(), 2, "{scenario}");
            for trial in of {
                let why = trial["skipped"].as_str().unwrap_or_default();
                assert!(why.contains(&format!("{name} (now {value}")), "{trial}");
                assert!(why.contains("`sudo sysctl "), "{why}");
            }
        }
        let confirmed = trials.iter().filter(|it| it["verdict"] == "confirmed");
        assert!(confirmed.count() >= 80, "{name}");
    }
}
